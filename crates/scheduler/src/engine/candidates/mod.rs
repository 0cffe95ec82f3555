//! Candidates: where each resource may run at all, and how gladly, before anybody looks at what runs
//! together with what.
//!
//! Everything here adds to tables of nodes. Sums do not depend on their order, so no step takes back
//! what another one said.

pub(super) mod health;
mod lock;
mod ticket;

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use heart_model::policy::{Constraint, Discovery, Location, Role, Score, Where};

use super::{
    arena::{Arena, Cause, Kind, NodeIx, NodeKind, ResIx, RoleLocation},
    facts::{STAYS, attribute, is_connection},
    names::NodeNames,
    rules::{self, Context},
    values,
};

/// The score of a bundle's own node for what runs in that bundle.
const OWN_NODE: i64 = 500;

/// Fills the tables of all resources.
pub(crate) fn admit(arena: &mut Arena<'_>) {
    if arena.options.symmetric {
        // As written: whether a node can be used now is asked when one is chosen. What is on a node that
        // is gone has a claim to be placed before what was nowhere.
        let written: BTreeMap<&str, Score> =
            arena.spec.nodes.iter().map(|node| (node.name.as_str(), node.score)).collect();
        let score = |node: NodeIx| written.get(arena.node(node).name.as_str()).copied().unwrap_or_default();
        let scores: Vec<(NodeIx, Score)> = arena.node_numbers().map(|node| (node, score(node))).collect();
        for resource in arena.resource_numbers() {
            for (node, score) in &scores {
                arena[resource].allowed.admit(*node, *score, Cause::Node);
            }
        }
    }
    close_bundle_nodes(arena);
    health::apply(arena);
    locate(arena);
    ticket::apply(arena);
    lock::apply(arena);
    stick(arena);
    apply_bans(arena);
    apply_thresholds(arena);
    exclude_undiscovered(arena);
    keep_off_remote_nodes(arena);
}

/// Adds a score on a node for a resource and for what it is made of.
///
/// What is said of a group decides about its first member; the others follow it, so they only learn that
/// the node is theirs, too.
fn add(
    arena: &mut Arena<'_>,
    resource: ResIx,
    node: NodeIx,
    score: Score,
    discovery: Discovery,
    cause: Cause,
) {
    let own = arena.node(node).score;
    let table = &mut arena[resource].allowed;
    if table.get(node).is_some() {
        table.add(node, score, cause);
    } else {
        table.admit(node, score + own, cause);
    }
    if let Some(allowed) = table.get_mut(node) {
        allowed.discovery = allowed.discovery.max(discovery);
    }
    match arena[resource].kind {
        Kind::Primitive => {}
        Kind::Group => {
            for (place, member) in arena[resource].children.clone().into_iter().enumerate() {
                let score = if place == 0 { score } else { Score::ZERO };
                add(arena, member, node, score, discovery, cause);
            }
        }
        Kind::Clone => {
            for child in arena[resource].children.clone() {
                add(arena, child, node, score, discovery, cause);
            }
        }
        Kind::Bundle => {
            let replicas = arena[resource].bundle.as_ref().map(|bundle| bundle.replicas.clone());
            for replica in replicas.unwrap_or_default() {
                let parts = core::iter::once(replica.container).chain(replica.address);
                parts.for_each(|part| add(arena, part, node, score, discovery, cause));
            }
        }
    }
}

fn add_everywhere(arena: &mut Arena<'_>, resource: ResIx, score: Score, cause: Cause) {
    for node in arena.node_numbers() {
        add(arena, resource, node, score, Discovery::Always, cause);
    }
}

/// Nodes inside a bundle are for what runs in that bundle, and that runs nowhere else.
fn close_bundle_nodes(arena: &mut Arena<'_>) {
    let mut own = Vec::new();
    for number in arena.resource_numbers() {
        let replicas =
            arena[number].bundle.as_ref().map(|bundle| bundle.replicas.clone()).unwrap_or_default();
        own.extend(replicas.into_iter().filter_map(|replica| Some((replica.node?, replica.inner))));
    }
    if own.is_empty() {
        return;
    }
    let mut inside = BTreeMap::new();
    for (node, instance) in own.iter().filter_map(|(node, instance)| Some((*node, (*instance)?))) {
        let members = arena[instance].children.clone();
        core::iter::once(instance).chain(members).for_each(|part| {
            inside.insert(part, node);
        });
    }
    for resource in arena.resource_numbers() {
        if let Some(home) = inside.get(&resource).copied() {
            let places = arena.nodes.len();
            let table = &mut arena[resource].allowed;
            *table = super::arena::NodeTable::new(places);
            table.admit(home, Score::new(OWN_NODE), Cause::Node);
            if let Some(allowed) = table.get_mut(home) {
                allowed.discovery = Discovery::Exclusive;
            }
            continue;
        }
        let holds = arena[resource].children.iter().any(|child| inside.contains_key(child));
        if holds {
            let places = arena.nodes.len();
            let table = &mut arena[resource].allowed;
            *table = super::arena::NodeTable::new(places);
            own.iter().for_each(|(node, _)| table.admit(*node, Score::ZERO, Cause::Node));
            continue;
        }
        for (node, _) in &own {
            if let Some(allowed) = arena[resource].allowed.get_mut(*node) {
                allowed.score = Score::NEVER;
                allowed.discovery = Discovery::Never;
                allowed.cause = Cause::Unsuitable;
            }
        }
    }
}

/// Applies what was written about where things may run.
fn locate(arena: &mut Arena<'_>) {
    let spec = arena.spec;
    let names = NodeNames::of(&arena.nodes);
    for (place, constraint) in spec.constraints.iter().enumerate() {
        if let Constraint::Location(location) = constraint {
            apply_location(arena, &names, location, Cause::Constraint(place as u32));
        }
    }
}

fn apply_location(arena: &mut Arena<'_>, names: &NodeNames, location: &Location, cause: Cause) {
    let Some(resource) = arena.by_id.get(&location.resource).copied() else { return };
    match &location.at {
        Where::Node { node, score } => {
            let scores: Vec<(NodeIx, Score)> =
                names.named(node).map(|node| (node, *score)).into_iter().collect();
            apply_scores(arena, resource, &scores, location.role, location.discovery, cause);
        }
        Where::Rules(written) => {
            let sets = arena[resource].source.map(|source| source.parameters.as_slice()).unwrap_or_default();
            let same_everywhere = sets.iter().all(|set| set.rule.is_none());
            let everywhere = same_everywhere.then(|| parameters(arena, resource, None));
            for scored in written {
                let score_on = |node: NodeIx| {
                    let known = |name: &str| attribute(arena.node(node), name);
                    let there = match &everywhere {
                        Some(parameters) => parameters,
                        None => &parameters(arena, resource, Some(node)),
                    };
                    let context = Context {
                        now: arena.state.now,
                        attribute: Some(&known),
                        parameters: Some(there),
                        meta: Some(&arena[resource].meta),
                        ..Context::default()
                    };
                    if !rules::holds(&scored.rule, &context) {
                        return None;
                    }
                    match &scored.score_attribute {
                        Some(name) => known(name).as_deref().and_then(values::score),
                        None => Some(scored.score),
                    }
                };
                let scores: Vec<(NodeIx, Score)> =
                    arena.node_numbers().filter_map(|node| Some((node, score_on(node)?))).collect();
                if let Some(next) = arena.state.now.and_then(|now| rules::next_change(&scored.rule, now)) {
                    arena.look_again = Some(arena.look_again.map_or(next, |earlier| earlier.min(next)));
                }
                let role = scored.role.or(location.role);
                apply_scores(arena, resource, &scores, role, location.discovery, cause);
            }
        }
    }
}

/// What a resource would be told, on a node if that matters.
fn parameters(arena: &Arena<'_>, resource: ResIx, node: Option<NodeIx>) -> BTreeMap<String, String> {
    let known = |name: &str| attribute(arena.node(node?), name);
    let context = Context { now: arena.state.now, attribute: Some(&known), ..Context::default() };
    arena[resource].source.map(|source| rules::values(&source.parameters, &context)).unwrap_or_default()
}

/// What is said of the promoted role alone counts when promotions are chosen.
fn apply_scores(
    arena: &mut Arena<'_>,
    resource: ResIx,
    scores: &[(NodeIx, Score)],
    role: Option<Role>,
    discovery: Discovery,
    cause: Cause,
) {
    if role == Some(Role::Promoted) {
        let scores = scores.to_vec();
        arena.role_locations.push(RoleLocation { resource, role: Role::Promoted, scores });
        return;
    }
    for (node, score) in scores {
        add(arena, resource, *node, *score, discovery, cause);
    }
}

/// What is where it is likes to stay there.
fn stick(arena: &mut Arena<'_>) {
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        if !resource.children.is_empty() || !resource.managed || resource.stickiness < Score::ONE {
            continue;
        }
        let [node] = resource.active_on.as_slice() else { continue };
        let (node, stickiness) = (*node, resource.stickiness);
        if arena.options.symmetric || resource.allowed.get(node).is_some() {
            add(arena, number, node, stickiness, Discovery::Always, Cause::Stickiness);
        }
    }
}

fn apply_bans(arena: &mut Arena<'_>) {
    for (resource, node, cause) in core::mem::take(&mut arena.bans) {
        match node {
            Some(node) => add(arena, resource, node, Score::NEVER, Discovery::Always, cause),
            None => add_everywhere(arena, resource, Score::NEVER, cause),
        }
    }
    for (resource, node) in core::mem::take(&mut arena.stays) {
        let own = arena.node(node).score;
        let table = &mut arena[resource].allowed;
        if table.get(node).is_some() {
            table.add(node, STAYS, Cause::Stickiness);
        } else {
            table.admit(node, STAYS + own, Cause::Stickiness);
        }
    }
    for number in arena.resource_numbers() {
        if arena[number].removed {
            add_everywhere(arena, number, Score::NEVER, Cause::Removed);
        }
    }
}

/// What failed too often on a node does not run there; of what is anonymous, no instance does.
fn apply_thresholds(arena: &mut Arena<'_>) {
    let mut bans = Vec::new();
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        let never = resource.migration_threshold <= Score::ZERO || resource.failure_ignored;
        if resource.kind != Kind::Primitive || never {
            continue;
        }
        // A container answers for what it keeps, unless that is a bundle's own affair.
        let is_bundled = arena[arena.outermost(number)].kind == Kind::Bundle;
        let kept: &[ResIx] = if is_bundled { &[] } else { &resource.contains };
        let within = kept.iter().flat_map(|part| arena[*part].failures.keys());
        for node in resource.failures.keys().chain(within) {
            let of =
                |part: ResIx| arena[part].failures.get(node).map_or(Score::ZERO, |failures| failures.count);
            let count = kept.iter().fold(of(number), |sum, part| sum + of(*part));
            let cleared = arena.clear_failures.iter().any(|(known, at, _)| *known == number && at == node);
            if count >= resource.migration_threshold && !cleared && resource.managed {
                let whole = arena.clone_of(number).filter(|_| !resource.unique).unwrap_or(number);
                bans.push((whole, *node));
            }
        }
    }
    bans.sort_unstable();
    bans.dedup();
    for (resource, node) in bans {
        add(arena, resource, node, Score::NEVER, Discovery::Always, Cause::Failures);
    }
}

/// What is looked for on some nodes only runs on no others.
fn exclude_undiscovered(arena: &mut Arena<'_>) {
    for number in arena.resource_numbers() {
        let is_exclusive =
            arena[number].allowed.iter().any(|(_, allowed)| allowed.discovery == Discovery::Exclusive);
        if !is_exclusive {
            continue;
        }
        for (_, allowed) in arena[number].allowed.iter_mut() {
            if allowed.discovery != Discovery::Exclusive {
                allowed.score = Score::NEVER;
                allowed.cause = Cause::Discovery;
            }
        }
    }
}

/// Fence devices and connections run on full nodes; so do containers of guests.
fn keep_off_remote_nodes(arena: &mut Arena<'_>) {
    let is_full =
        |arena: &Arena<'_>, node: NodeIx| matches!(arena.node(node).kind, NodeKind::Member | NodeKind::Ping);
    let remote: Vec<NodeIx> = arena.node_numbers().filter(|node| !is_full(arena, *node)).collect();
    if remote.is_empty() {
        return;
    }
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        let holds_guest = resource.contains.iter().any(|part| {
            is_connection(&arena[*part].agent) && arena[arena.outermost(*part)].kind != Kind::Bundle
        });
        if resource.fence_device || is_connection(&resource.agent) || holds_guest {
            for node in &remote {
                if let Some(allowed) = arena[number].allowed.get_mut(*node) {
                    allowed.score = Score::NEVER;
                    allowed.cause = Cause::Unsuitable;
                }
            }
        }
    }
}
