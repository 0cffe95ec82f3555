//! What is left when everything was handed on: the plan.
//!
//! It has what is required and can be done, and points in time that have to be there for the order. An action
//! that waits for something that is not in the plan does not wait. Points are taken out again at the end, so
//! that what they come between is said directly.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString as _},
    vec,
    vec::Vec,
};

use heart_model::policy::Verb;

use super::{
    draft::Draft,
    loops,
    relation::Properties as P,
    table::{Action, ActionIx, Before, DEMOTE, Doing, PROMOTE, START, STOP, When},
};
use crate::engine::{
    arena::{NodeIx, NodeKind, ResIx},
    outcome,
};

/// The actions of the plan, and their order.
pub(super) struct Plan {
    /// Everything that is part of it, points too, in an order in which it can be done.
    pub(super) sequence: Vec<ActionIx>,
    /// What is carried out, in the order in which it is listed.
    pub(super) listed: Vec<ActionIx>,
    /// Pairs of places in `listed`; numbers behind its end are points.
    pub(super) order: Vec<(usize, usize)>,
    /// How many points there are in the order.
    pub(super) points: usize,
}

/// Takes what is to be done out of all actions.
pub(super) fn plan(draft: &mut Draft<'_, '_>) -> Plan {
    make_migrations_whole(draft);
    let chosen: Vec<ActionIx> = draft.table.numbers().filter(|action| is_done(draft, *action)).collect();
    let place: BTreeMap<ActionIx, usize> = chosen.iter().copied().zip(0..).collect();
    let mut before: Vec<Vec<loops::Edge>> = vec![Vec::new(); chosen.len()];
    for (then_place, then) in chosen.iter().enumerate() {
        for input in &draft.table[*then].before {
            if let Some(first) = place.get(&input.first).filter(|_| holds(draft, *then, input)) {
                let bond = bond(draft, *then, input);
                before[then_place].push(loops::Edge { first: *first, bond });
            }
        }
    }
    let sequence = loops::sort(&mut before);
    let listed: Vec<usize> = {
        let mut listed: Vec<usize> =
            (0..chosen.len()).filter(|place| is_listed(draft, chosen[*place])).collect();
        listed.sort_by_cached_key(|place| action(draft, chosen[*place]));
        listed
    };
    let (order, points) = direct(&before, &sequence, &listed);
    Plan {
        points,
        sequence: sequence.into_iter().map(|place| chosen[place]).collect(),
        listed: listed.into_iter().map(|place| chosen[place]).collect(),
        order,
    }
}

/// How much a relation says to what comes then.
fn bond(draft: &Draft<'_, '_>, then: ActionIx, input: &Before) -> loops::Bond {
    if is_safety(draft, input.first, then) {
        loops::Bond::Safety
    } else if input.properties.has(P::SAME_NODE_OR_TARGET) && draft.table[then].doing == Doing::MigrateTo {
        loops::Bond::Room
    } else if input.properties.is_order_only() && !is_notice(draft, input.first, then) {
        loops::Bond::Order
    } else {
        loops::Bond::Need
    }
}

/// Whether a relation keeps a resource from being in two places, or in two roles, at once.
fn is_safety(draft: &Draft<'_, '_>, first: ActionIx, then: ActionIx) -> bool {
    let (one, other) = (&draft.table[first], &draft.table[then]);
    let ends_first = match one.doing {
        STOP => matches!(other.doing, START | PROMOTE),
        DEMOTE => matches!(other.doing, STOP | START | PROMOTE),
        Doing::MigrateTo => other.doing == Doing::MigrateFrom,
        Doing::MigrateFrom => other.doing == STOP,
        _ => false,
    };
    let is_own = one.resource.is_some() && one.resource == other.resource;
    (is_own && ends_first) || one.doing == Doing::Fence
}

/// Whether a relation keeps what a clone's instances are told of, and its steps, in their order: told too late, or
/// too early, it would be wrong.
fn is_notice(draft: &Draft<'_, '_>, first: ActionIx, then: ActionIx) -> bool {
    let clone = |action: ActionIx| {
        let resource = draft.table[action].resource?;
        let is_clone = draft.arena[resource].clone.is_some();
        if is_clone { Some(resource) } else { draft.arena.clone_of(resource) }
    };
    let tells = |action: ActionIx| {
        matches!(draft.table[action].doing, Doing::Tell(..) | Doing::Told(..) | Doing::Notify(..))
    };
    (tells(first) || tells(then)) && clone(first) == clone(then)
}

/// A start that a migration replaces is a point in time.
fn make_migrations_whole(draft: &mut Draft<'_, '_>) {
    for action in draft.table.numbers() {
        let found = &draft.table[action];
        if found.doing == START && found.migratable {
            let arrives = found
                .resource
                .zip(found.node)
                .and_then(|(resource, node)| draft.table.on(resource, Doing::MigrateFrom, node));
            let does = arrives
                .is_some_and(|arrives| draft.table[arrives].is_required() && draft.table[arrives].runnable);
            if does {
                draft.table[action].point = true;
            }
        }
    }
}

/// Whether an action is part of the plan.
pub(super) fn is_done(draft: &Draft<'_, '_>, action: ActionIx) -> bool {
    let found = &draft.table[action];
    if !found.runnable || !(found.is_required() || found.shown) {
        return false;
    }
    let watches = matches!(found.doing, Doing::Recur(_) | Doing::Cancel(_) | Doing::Probe);
    if found.resource.is_some_and(|resource| !draft.arena[resource].managed) && !watches && !found.point {
        return false;
    }
    found.point || found.by_leader || found.node.is_some_and(|node| can_be_told(draft, node))
}

/// Whether anybody is there who could do something on this node.
pub(super) fn can_be_told(draft: &Draft<'_, '_>, node: NodeIx) -> bool {
    let node = draft.arena.node(node);
    match node.kind {
        NodeKind::Guest { .. } => !node.reset_remote || (node.online && !node.unclean),
        NodeKind::Remote { .. } => !node.unclean,
        NodeKind::Member | NodeKind::Ping => node.online && !node.unclean,
    }
}

/// Whether a relation is one of the plan.
fn holds(draft: &Draft<'_, '_>, then: ActionIx, input: &Before) -> bool {
    if input.dropped {
        return false;
    }
    let (first, after, properties) = (&draft.table[input.first], &draft.table[then], input.properties);
    let nodes_differ =
        |one: &Action, other: &Action| one.node.zip(other.node).is_some_and(|(one, other)| one != other);
    if properties.has(P::SAME_NODE_IF_REQUIRED) {
        return !nodes_differ(first, after) && first.is_required();
    }
    if properties.has(P::SAME_NODE_OR_TARGET) {
        let target = match after.doing {
            Doing::MigrateTo => after.resource.and_then(|resource| draft.arena[resource].assigned),
            _ => after.node,
        };
        let differs = first.node.zip(target).is_some_and(|(one, other)| one != other);
        return !differs && first.is_required();
    }
    if first.doing == STOP && first.migratable && properties == P::ORDERED {
        // What is left of a migration is ended whenever it is ready: nothing else has to be.
        return false;
    }
    if properties.has(P::UNLESS_FIRST_MIGRATES) && first.migratable {
        return false;
    }
    true
}

/// Whether something is carried out, not only passed by.
fn is_listed(draft: &Draft<'_, '_>, action: ActionIx) -> bool {
    let found = &draft.table[action];
    !found.point || found.doing == Doing::Fence
}

/// Points that come behind more than so many actions stay in the order if several wait for them: said
/// directly, many times many would be too much to say.
const DIRECT_MAX: usize = 16;

/// The order of what is listed, with what is between taken out. Points that stay are numbered behind
/// what is listed; how many there are.
fn direct(before: &[Vec<loops::Edge>], sequence: &[usize], listed: &[usize]) -> (Vec<(usize, usize)>, usize) {
    let mut number: Vec<Option<usize>> = vec![None; before.len()];
    for (place, action) in listed.iter().enumerate() {
        number[*action] = Some(place);
    }
    let mut waiting = vec![0_usize; before.len()];
    for edge in before.iter().flatten() {
        waiting[edge.first] += 1;
    }
    // For a point that is taken out, what it hands on.
    let mut reached: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    let (mut order, mut points) = (Vec::new(), 0);
    for action in sequence {
        let mut firsts = Vec::new();
        for edge in &before[*action] {
            match number[edge.first] {
                Some(place) => firsts.push(place),
                None => firsts.extend_from_slice(&reached[edge.first]),
            }
        }
        firsts.sort_unstable();
        firsts.dedup();
        if number[*action].is_none() && firsts.len() > DIRECT_MAX && waiting[*action] > 1 {
            number[*action] = Some(listed.len() + points);
            points += 1;
        }
        match number[*action] {
            Some(then) => order.extend(firsts.into_iter().map(|first| (first, then))),
            None => reached[*action] = firsts,
        }
    }
    order.sort_unstable();
    (order, points)
}

/// All that is carried out.
pub(super) fn actions(draft: &Draft<'_, '_>, plan: &Plan) -> Vec<outcome::Action> {
    plan.listed.iter().map(|listed| action(draft, *listed)).collect()
}

/// What fencing does by itself.
pub(super) fn implied(draft: &Draft<'_, '_>, plan: &Plan) -> Vec<outcome::Action> {
    let mut implied: Vec<outcome::Action> = plan
        .sequence
        .iter()
        .filter(|action| {
            draft.table[**action].implied && matches!(draft.table[**action].doing, STOP | DEMOTE)
        })
        .map(|implied| action(draft, *implied))
        .collect();
    implied.sort();
    implied
}

/// What a step is called.
pub(super) fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "start",
        Verb::Stop => "stop",
        Verb::Promote => "promote",
        Verb::Demote => "demote",
    }
}

/// An action as others see it.
pub(super) fn action(draft: &Draft<'_, '_>, number: ActionIx) -> outcome::Action {
    let found = &draft.table[number];
    let (mut every_ms, mut kind) = (0, None);
    let name: String = match found.doing {
        Doing::Do(verb) | Doing::Done(verb) => word(verb).to_string(),
        Doing::MigrateTo => "migrate_to".to_string(),
        Doing::MigrateFrom => "migrate_from".to_string(),
        Doing::Reload => "reload-agent".to_string(),
        Doing::Probe => "probe".to_string(),
        Doing::Recur(operation) => {
            let (name, every) = draft.table.operation_name(operation);
            every_ms = every;
            name.to_string()
        }
        Doing::Cancel(operation) => {
            let (name, every) = draft.table.operation_name(operation);
            every_ms = every;
            kind = Some(name.to_string());
            "cancel".to_string()
        }
        Doing::DeleteHistory => "delete".to_string(),
        Doing::Forget => "lrm_delete".to_string(),
        Doing::ClearFailures => "clear_failcount".to_string(),
        Doing::Fence => {
            kind = Some(fence_word(draft, number));
            let guest =
                found.node.is_some_and(|node| matches!(draft.arena.node(node).kind, NodeKind::Guest { .. }));
            if guest { "fence-guest" } else { "fence" }.to_string()
        }
        Doing::Unfence => {
            kind = Some("on".to_string());
            "fence".to_string()
        }
        Doing::Shutdown => "shutdown".to_string(),
        Doing::Tell(..) | Doing::Told(..) => "notify".to_string(),
        Doing::Notify(when, verb) => {
            let when = match when {
                When::Before => "pre",
                When::After => "post",
            };
            kind = Some(alloc::format!("{when}-{}", word(verb)));
            "notify".to_string()
        }
        Doing::Freed | Doing::Enough(_) => "wait".to_string(),
    };
    outcome::Action {
        name,
        resource: found.resource.map(|resource| name_for_agents(draft, resource)),
        node: found.node.map(|node| draft.arena.node(node).name.clone()).unwrap_or_default(),
        every_ms,
        kind,
    }
}

/// What a resource is called by those who do something with it: one instance too many has the name under
/// which they know it, so that they do not take another for it.
fn name_for_agents(draft: &Draft<'_, '_>, resource: ResIx) -> String {
    let found = &draft.arena[resource];
    match found.known_as {
        Some(name) if found.removed => name.to_string(),
        Some(_) | None => found.name.clone(),
    }
}

/// How a node is fenced: a guest comes back if its container is started again.
pub(super) fn fence_word(draft: &Draft<'_, '_>, fence: ActionIx) -> String {
    let node = draft.table[fence].node.map(|node| draft.arena.node(node).kind);
    match node {
        Some(NodeKind::Guest { container, .. }) => {
            let starts = draft.table.of(container, START);
            let comes_back = starts.iter().any(|start| draft.table[*start].node.is_some());
            let word = if comes_back { "reboot" } else { "off" };
            word.to_string()
        }
        Some(NodeKind::Member | NodeKind::Ping | NodeKind::Remote { .. }) | None => {
            draft.arena.options.fencing_action.clone()
        }
    }
}
