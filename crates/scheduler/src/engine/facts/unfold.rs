//! Resources unfolded: members of groups, instances of clones, containers of bundles, connections of
//! guests, each a resource of its own.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::policy::{AgentName, Body, Resource, Role, Score};

use super::{bundle, nodes::unheard};
use crate::engine::{
    arena::{Arena, CloneFacts, Kind, MultipleActive, NoQuorum, NodeKind, Requires, Res, ResIx},
    rules::{self, Context},
    values::{flag, integer, milliseconds, number, score},
};

/// Instances that a clone has at the most, whatever is written.
const INSTANCES_MAX: i64 = 100_000;

/// The agent of the connection to a remote node.
pub(super) fn connection_agent() -> AgentName {
    AgentName {
        class: "ocf".to_string(),
        provider: Some("pacemaker".to_string()),
        agent_type: "remote".to_string(),
    }
}

/// Whether this agent is the connection to a remote node.
pub(crate) fn is_connection(agent: &AgentName) -> bool {
    agent.class == "ocf" && agent.provider.as_deref() == Some("pacemaker") && agent.agent_type == "remote"
}

/// Unfolds all resources of the file.
pub(super) fn unfold(arena: &mut Arena<'_>) {
    let spec = arena.spec;
    let mut guests = Vec::new();
    for resource in &spec.resources {
        let top = add(arena, resource, None, None);
        arena.top.push(top);
        collect_guests(arena, top, &mut guests);
    }
    for container in guests {
        add_guest(arena, container);
    }
    bind_remote_nodes(arena);
    find_containers(arena);
    settle_requirements(arena);
}

/// Adds a resource with everything that is part of it; `instance` is the number that its instances of a
/// clone around it have.
pub(super) fn add<'s>(
    arena: &mut Arena<'s>,
    source: &'s Resource,
    parent: Option<ResIx>,
    instance: Option<u32>,
) -> ResIx {
    let id = instance.map_or_else(|| source.id.clone(), |number| format!("{}:{number}", source.id));
    let kind = match &source.body {
        Body::Primitive(_) => Kind::Primitive,
        Body::Group(_) => Kind::Group,
        Body::Clone(_) => Kind::Clone,
        Body::Bundle(_) => Kind::Bundle,
    };
    let agent = match &source.body {
        Body::Primitive(agent) => agent.clone(),
        Body::Group(_) | Body::Clone(_) | Body::Bundle(_) => AgentName::default(),
    };
    let meta = options(arena, source, &agent, kind, parent);
    let number = insert(arena, id, source.id.clone(), Some(source), kind, agent, parent, meta);
    match &source.body {
        Body::Primitive(_) => {}
        Body::Group(members) => {
            for member in members {
                let member = add(arena, member, Some(number), instance);
                arena[number].children.push(member);
            }
        }
        Body::Clone(inner) => {
            let mut facts = clone_facts(&arena[number].meta, arena.nodes.len());
            if facts.unique && !knows_numbers(inner) {
                facts.unique = false;
                facts.node_max = facts.node_max.min(1);
                facts.max = facts.max.min(arena.nodes.len() as u32);
            }
            make_clone(arena, number, inner, facts);
        }
        Body::Bundle(written) => bundle::unfold(arena, number, source, written),
    }
    number
}

/// Gives a clone its instances.
pub(super) fn make_clone<'s>(arena: &mut Arena<'s>, clone: ResIx, inner: &'s Resource, facts: CloneFacts) {
    arena[clone].clone = Some(facts);
    arena[clone].unique = facts.unique;
    arena[clone].notify = facts.notify;
    if facts.promotable && arena[clone].next_role == Role::Started {
        arena[clone].next_role = Role::Promoted;
    }
    for instance in 0..facts.max.max(1) {
        let child = add_instance(arena, clone, inner, instance);
        if facts.max == 0 {
            // Somebody has to be there for what was left behind.
            let members = arena[child].children.clone();
            core::iter::once(child).chain(members).for_each(|part| arena[part].removed = true);
        }
    }
}

/// Adds one instance to a clone.
pub(super) fn add_instance<'s>(
    arena: &mut Arena<'s>,
    clone: ResIx,
    inner: &'s Resource,
    instance: u32,
) -> ResIx {
    let child = add(arena, inner, Some(clone), Some(instance));
    arena[clone].children.push(child);
    let Some(facts) = arena[clone].clone else { return child };
    let members = arena[child].children.clone();
    for part in core::iter::once(child).chain(members) {
        let part = &mut arena[part];
        part.unique = facts.unique;
        part.notify = facts.notify;
        if facts.unique {
            part.name = part.id.clone();
        }
        if facts.promotable && part.next_role == Role::Started {
            part.next_role = Role::Promoted;
        }
    }
    child
}

/// Whether the agents of a resource could tell instances from one another: services of the system are told
/// nothing that would let them.
fn knows_numbers(resource: &Resource) -> bool {
    match &resource.body {
        Body::Primitive(agent) => matches!(agent.class.as_str(), "ocf" | "stonith"),
        Body::Group(members) => members.iter().all(knows_numbers),
        Body::Clone(_) | Body::Bundle(_) => true,
    }
}

fn clone_facts(meta: &BTreeMap<String, String>, nodes: usize) -> CloneFacts {
    let count = |names: &[&str], otherwise: i64| {
        let said = names.iter().find_map(|name| number(meta, name));
        said.unwrap_or(otherwise).clamp(0, INSTANCES_MAX) as u32
    };
    let node_max = count(&["clone-node-max"], 1);
    let unique = flag(meta, "globally-unique", meta.contains_key("clone-node-max") && node_max > 1);
    let promotable = flag(meta, "promotable", false);
    CloneFacts {
        max: count(&["clone-max"], (nodes as i64).max(1)),
        node_max: if unique { node_max } else { node_max.min(1) },
        min: count(&["clone-min"], 0),
        unique,
        ordered: flag(meta, "ordered", false),
        interleave: flag(meta, "interleave", false),
        notify: flag(meta, "notify", false),
        promotable,
        promoted_max: count(&["promoted-max", "master-max"], 1),
        promoted_node_max: count(&["promoted-node-max", "master-node-max"], 1),
    }
}

/// The options of a resource: its own, those said of what is around it, the defaults of the file, and last
/// what is around it was given by default.
fn options(
    arena: &Arena<'_>,
    source: &Resource,
    agent: &AgentName,
    kind: Kind,
    parent: Option<ResIx>,
) -> BTreeMap<String, String> {
    let primitive = (kind == Kind::Primitive).then_some(agent);
    let context = Context { now: arena.state.now, agent: primitive, ..Context::default() };
    let mut meta = rules::values(&source.meta, &context);
    let mut add = |values: BTreeMap<String, String>| {
        for (name, value) in values {
            meta.entry(name).or_insert(value);
        }
    };
    let mut around = parent;
    // Bounded by how deep resources are nested.
    while let Some(parent) = around {
        if let Some(source) = arena[parent].source {
            add(rules::values(&source.meta, &Context { now: arena.state.now, ..Context::default() }));
        }
        around = arena[parent].parent;
    }
    add(rules::values(&arena.spec.resource_defaults, &context));
    if let Some(parent) = parent {
        add(arena[parent].meta.clone());
    }
    if kind == Kind::Clone {
        meta.entry("resource-stickiness".to_string()).or_insert_with(|| "1".to_string());
    }
    meta
}

/// Puts a resource with these options into the arena.
#[expect(clippy::too_many_arguments, reason = "what a resource begins with, said once")]
pub(super) fn insert<'s>(
    arena: &mut Arena<'s>,
    id: String,
    name: String,
    source: Option<&'s Resource>,
    kind: Kind,
    agent: AgentName,
    parent: Option<ResIx>,
    meta: BTreeMap<String, String>,
) -> ResIx {
    let in_maintenance = arena.options.maintenance || flag(&meta, "maintenance", false);
    let connection = is_connection(&agent);
    let number = ResIx(arena.resources.len() as u32);
    let context = Context { now: arena.state.now, ..Context::default() };
    let needs = source.map(|source| rules::values(&source.utilization, &context)).unwrap_or_default();
    let needs = needs.iter().filter_map(|(name, text)| Some((name.clone(), integer(text)?))).collect();
    let resource = Res {
        id: id.clone(),
        name,
        source,
        kind,
        fence_device: agent.class == "stonith",
        agent,
        parent,
        needs,
        priority: integer_of(&meta, "priority"),
        stickiness: score_of(&meta, "resource-stickiness", Score::ZERO),
        migration_threshold: score_of(&meta, "migration-threshold", Score::INFINITY),
        failure_timeout_s: seconds_of(&meta, "failure-timeout"),
        multiple_active: multiple_active(&meta),
        managed: !in_maintenance && flag(&meta, "is-managed", true),
        maintenance: in_maintenance,
        critical: flag(&meta, "critical", true),
        allow_migrate: flag(&meta, "allow-migrate", connection),
        allow_unhealthy: flag(&meta, "allow-unhealthy-nodes", false),
        unique: true,
        next_role: target_role(&meta),
        meta,
        ..Res::default()
    };
    arena.resources.push(resource);
    arena.by_id.insert(id, number);
    if connection && let Some(wait_s) = super::active::reconnects_after_s(arena, number) {
        // A connection is tried again when the wait is over, whatever is said of failures.
        arena[number].failure_timeout_s = wait_s;
    }
    number
}

fn integer_of(meta: &BTreeMap<String, String>, name: &str) -> i32 {
    meta.get(name).and_then(|text| score(text)).map_or(0, Score::value)
}

fn score_of(meta: &BTreeMap<String, String>, name: &str, otherwise: Score) -> Score {
    meta.get(name).and_then(|text| score(text)).unwrap_or(otherwise)
}

fn seconds_of(meta: &BTreeMap<String, String>, name: &str) -> i64 {
    let said = meta.get(name).and_then(|text| milliseconds(text)).unwrap_or(0);
    i64::try_from(said / 1000).unwrap_or(i64::MAX)
}

fn multiple_active(meta: &BTreeMap<String, String>) -> MultipleActive {
    match meta.get("multiple-active").map(String::as_str) {
        Some("stop_only") => MultipleActive::StopOnly,
        Some("block") => MultipleActive::Block,
        Some("stop_unexpected") => MultipleActive::StopUnexpected,
        Some(_) | None => MultipleActive::StopStart,
    }
}

/// The role that a resource may have at the most: what is asked for can only lower it.
pub(super) fn target_role(meta: &BTreeMap<String, String>) -> Role {
    let said = meta.get("target-role").map(|word| word.to_ascii_lowercase());
    match said.as_deref() {
        Some("stopped") => Role::Stopped,
        Some("unpromoted" | "slave") => {
            if flag(meta, "promotable", false) {
                Role::Unpromoted
            } else {
                Role::Started
            }
        }
        Some(_) | None => Role::Started,
    }
}

/// Resources that say `remote-node` are containers of guests.
fn collect_guests(arena: &Arena<'_>, at: ResIx, guests: &mut Vec<ResIx>) {
    if arena[at].kind == Kind::Primitive && own_guest(arena, at).is_some() {
        guests.push(at);
    }
    for child in &arena[at].children {
        collect_guests(arena, *child, guests);
    }
}

fn own_guest(arena: &Arena<'_>, container: ResIx) -> Option<String> {
    let own = &arena[container].source?.meta;
    let context = Context { now: arena.state.now, ..Context::default() };
    rules::values(own, &context).remove("remote-node")
}

/// Adds the guest inside a container, and the connection to it.
fn add_guest(arena: &mut Arena<'_>, container: ResIx) {
    let Some(name) = own_guest(arena, container) else { return };
    if arena.by_id.contains_key(&name) {
        return;
    }
    let mut meta = BTreeMap::from([("container".to_string(), arena[container].id.clone())]);
    if let Some(allow) = arena[container].meta.get("remote-allow-migrate") {
        meta.insert("allow-migrate".to_string(), allow.clone());
    }
    if let Some(managed) = arena[container].meta.get("is-managed") {
        meta.insert("is-managed".to_string(), managed.clone());
    }
    let defaults = Context { now: arena.state.now, ..Context::default() };
    for (option, value) in rules::values(&arena.spec.resource_defaults, &defaults) {
        meta.entry(option).or_insert(value);
    }
    let connection =
        insert(arena, name.clone(), name.clone(), None, Kind::Primitive, connection_agent(), None, meta);
    arena.top.push(connection);
    join_node(arena, connection, &name, NodeKind::Guest { connection, container });
}

/// Binds a connection to its node, which is made if the file does not name it.
pub(super) fn join_node(arena: &mut Arena<'_>, connection: ResIx, name: &str, kind: NodeKind) {
    use crate::engine::arena::NodeIx;
    let known = arena.nodes.iter().position(|node| node.id == name || node.name == name);
    let place = known.unwrap_or_else(|| {
        arena.nodes.push(unheard(name, name, kind));
        arena.nodes.len() - 1
    });
    arena.nodes[place].kind = kind;
    // A guest is as its container is; of a remote node nothing is known before it was seen.
    let unseen_is_unclean = arena.options.fencing && arena.options.startup_fencing;
    arena.nodes[place].unclean = unseen_is_unclean && matches!(kind, NodeKind::Remote { .. });
    arena[connection].connection_to = Some(NodeIx(place as u32));
}

/// Connections that were written themselves make remote nodes.
fn bind_remote_nodes(arena: &mut Arena<'_>) {
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        if is_connection(&resource.agent) && resource.connection_to.is_none() {
            let name = resource.id.clone();
            join_node(arena, number, &name, NodeKind::Remote { connection: Some(number) });
        }
    }
}

/// Makes room for the nodes that connections make before clones count the nodes: a clone has as many
/// instances as there are nodes of any kind.
pub(super) fn announce_remote_nodes(arena: &mut Arena<'_>) {
    fn names(resource: &Resource, now: Option<i64>, found: &mut Vec<String>) {
        match &resource.body {
            Body::Primitive(agent) if is_connection(agent) => found.push(resource.id.clone()),
            Body::Primitive(_) => {
                let context = Context { now, ..Context::default() };
                found.extend(rules::values(&resource.meta, &context).remove("remote-node"));
            }
            Body::Group(members) => members.iter().for_each(|member| names(member, now, found)),
            Body::Clone(inner) => names(inner, now, found),
            Body::Bundle(_) => {}
        }
    }
    let mut found = Vec::new();
    arena.spec.resources.iter().for_each(|resource| names(resource, arena.state.now, &mut found));
    for name in found {
        if !arena.nodes.iter().any(|node| node.id == name || node.name == name) {
            arena.nodes.push(unheard(&name, &name, NodeKind::Remote { connection: None }));
        }
    }
}

/// Resolves what resources say of the container that they are kept by.
fn find_containers(arena: &mut Arena<'_>) {
    for number in arena.resource_numbers() {
        let Some(name) = arena[number].meta.get("container") else { continue };
        let Some(container) = arena.by_id.get(name).copied().filter(|found| *found != number) else {
            continue;
        };
        arena[number].container = Some(container);
        arena[container].contains.push(number);
    }
}

/// What has to be there before each resource starts. Only after all are known is it clear whether nodes
/// have to be unfenced.
fn settle_requirements(arena: &mut Arena<'_>) {
    let says = |resource: &Res<'_>, option: &str| {
        resource.meta.get(option).is_some_and(|word| word.eq_ignore_ascii_case("unfencing"))
    };
    let asks = |resource: &Res<'_>| {
        (resource.fence_device && says(resource, "provides")) || says(resource, "requires")
    };
    arena.unfencing = arena.options.fencing && arena.resources.iter().any(asks);
    arena.options.fencing_possible |= arena.resources.iter().any(|resource| resource.fence_device);
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        let plain = resource.fence_device || is_connection(&resource.agent);
        let said = resource.meta.get("requires").map(|word| word.to_ascii_lowercase());
        let fencing = arena.options.fencing;
        arena[number].requires = match said.as_deref() {
            Some("nothing") => Requires::Nothing,
            Some("quorum") => Requires::Quorum,
            Some("fencing") => Requires::Fencing,
            Some("unfencing") if plain || !fencing => Requires::Quorum,
            Some("unfencing") => Requires::Unfencing,
            Some(_) | None if plain => Requires::Quorum,
            Some(_) | None if arena.unfencing && fencing => Requires::Unfencing,
            Some(_) | None if fencing => Requires::Fencing,
            Some(_) | None if arena.options.no_quorum == NoQuorum::Ignore => Requires::Nothing,
            Some(_) | None => Requires::Quorum,
        };
    }
}
