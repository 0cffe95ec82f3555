//! Migrations that were begun: what they left where.
//!
//! A migration is told twice: the source says that it sent, the target that it took. Until both have
//! said so, and the source has been stopped, the resource is on both, or may be.

use alloc::string::String;

use heart_model::policy::{NodeState, Operation, OperationStatus, Role};

use super::{
    active,
    history::{Reading, answers},
};
use crate::engine::arena::{Arena, NodeIx, ResIx};

fn named(arena: &Arena<'_>, name: Option<&String>) -> Option<NodeIx> {
    let name = name?;
    arena.node_numbers().find(|node| arena.node(*node).name.eq_ignore_ascii_case(name))
}

/// What a node's state tells of a resource.
fn told<'s>(arena: &Arena<'s>, resource: ResIx, node: NodeIx) -> impl Iterator<Item = &'s Operation> {
    let known = arena.node(node);
    let named = |entry: &&'s NodeState| {
        entry.id == known.id || entry.name.as_deref().is_some_and(|name| name == known.name)
    };
    let ids = [arena[resource].id.clone(), arena[resource].name.clone()];
    let entry = arena.state.nodes.iter().find(named);
    let histories = entry.into_iter().flat_map(|entry| &entry.history);
    histories.filter(move |history| ids.contains(&history.resource)).flat_map(|history| &history.operations)
}

/// Whether `operation` happened after `than`. Numbers of calls are comparable on one node only, and
/// between nodes there are only their clocks.
fn is_newer(operation: &Operation, than: &Operation, same_node: bool) -> bool {
    if same_node {
        return operation.call > than.call;
    }
    operation.changed_at.zip(than.changed_at).is_some_and(|(at, before)| at > before)
}

/// Whether something happened on a node after this that makes it old.
fn has_newer_state(
    arena: &Arena<'_>,
    resource: ResIx,
    node: NodeIx,
    than: &Operation,
    same_node: bool,
) -> bool {
    told(arena, resource, node).any(|operation| {
        let tells = match operation.name.as_str() {
            "monitor" => operation.answer == answers::NOT_RUNNING,
            _ => true,
        };
        tells && operation.status != OperationStatus::Pending && is_newer(operation, than, same_node)
    })
}

/// Whether anything but a stop was done on the node itself since.
fn went_on(arena: &Arena<'_>, resource: ResIx, node: NodeIx, since: &Operation) -> bool {
    told(arena, resource, node).any(|operation| operation.name != "stop" && is_newer(operation, since, true))
}

fn is_unknown(arena: &Arena<'_>, resource: ResIx, node: NodeIx) -> bool {
    told(arena, resource, node).next().is_none()
}

fn is_between(arena: &Arena<'_>, operation: &Operation, source: NodeIx, target: NodeIx) -> bool {
    named(arena, operation.migrate_source.as_ref()) == Some(source)
        && named(arena, operation.migrate_target.as_ref()).is_none_or(|found| found == target)
}

/// Its migration cannot go on: it is started anew where it is.
fn recover(arena: &mut Arena<'_>, resource: ResIx) {
    arena[resource].failed = true;
    arena[resource].stop_wanted = true;
    arena[resource].allow_migrate = false;
}

/// It has left for another node, and may have to be stopped where it came from.
pub(super) fn left(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    let (resource, source) = (reading.resource, reading.node);
    if operation.migrate_target.is_none() {
        // Nobody knows where it went.
        return;
    }
    let target = named(arena, operation.migrate_target.as_ref());
    let arrival = target.and_then(|target| {
        told(arena, resource, target)
            .filter(|told| told.name == "migrate_from" && is_between(arena, told, source, target))
            .max_by_key(|told| told.call)
    });
    let went_on = went_on(arena, resource, source, operation);
    if let Some(arrival) = arrival
        && arrival.status == OperationStatus::Done
        && arrival.answer == answers::OK
    {
        if !went_on {
            // Complete but for the stop where it came from.
            reading.role = Some(Role::Stopped);
            arena[resource].dangling.push(source);
        }
        return;
    }
    reading.role = Some(Role::Started);
    let there = target.filter(|target| {
        let (than, same_node) = arrival.map_or((operation, false), |arrival| (arrival, true));
        arena.node(*target).online && !has_newer_state(arena, resource, *target, than, same_node)
    });
    if arrival.is_some_and(|arrival| arrival.status != OperationStatus::Pending) {
        match there {
            Some(target) => active::add(arena, resource, target, Role::Started),
            None => recover(arena, resource),
        }
        return;
    }
    // What an online node knows nothing of was forgotten on purpose, and will be looked for.
    if target.is_some_and(|target| arena.node(target).online && is_unknown(arena, resource, target)) {
        return;
    }
    match there {
        Some(target) => {
            active::add(arena, resource, target, Role::Started);
            if arena.node(source).online {
                arena[resource].migration = Some((source, target));
            }
        }
        None if !went_on => recover(arena, resource),
        None => {}
    }
}

/// It was leaving when its node was lost: nobody knows how far it came, unless something was done since where it was
/// to go.
pub(super) fn lost(arena: &mut Arena<'_>, reading: &Reading<'_>, operation: &Operation) {
    let target = named(arena, operation.migrate_target.as_ref());
    let resource = reading.resource;
    if let Some(target) = target.filter(|at| !has_newer_state(arena, resource, *at, operation, false)) {
        arena[resource].perhaps_on.push(target);
    }
}

/// It could not leave: it is where it was, and perhaps where it was to go.
pub(super) fn failed_to(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    reading.role = Some(Role::Started);
    let (resource, source) = (reading.resource, reading.node);
    let Some(target) = named(arena, operation.migrate_target.as_ref()) else { return };
    let arrival = told(arena, resource, target)
        .filter(|told| told.name == "migrate_from" && is_between(arena, told, source, target))
        .max_by_key(|told| told.call);
    let (than, same_node) = arrival.map_or((operation, false), |arrival| (arrival, true));
    let ended = |told: &Operation| matches!(told.name.as_str(), "stop" | "start");
    let was_ended = told(arena, resource, source).any(|told| ended(told) && is_newer(told, operation, true));
    let is_unknown = is_unknown(arena, resource, target) || was_ended;
    if !is_unknown && !has_newer_state(arena, resource, target, than, same_node) {
        if arena.node(target).online {
            active::add(arena, resource, target, Role::Started);
        }
    } else if !went_on(arena, resource, source, operation) {
        arena[resource].dangling.push(source);
    }
}

/// It could not arrive: it is where it was to go in whatever state, and perhaps where it came from.
pub(super) fn failed_from(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    reading.role = Some(Role::Started);
    let (resource, target) = (reading.resource, reading.node);
    let Some(source) = named(arena, operation.migrate_source.as_ref()) else { return };
    let departure = told(arena, resource, source)
        .filter(|told| told.name == "migrate_to" && told.answer == answers::OK)
        .filter(|told| is_between(arena, told, source, target))
        .max_by_key(|told| told.call);
    let (than, same_node) = departure.map_or((operation, false), |departure| (departure, true));
    if !is_unknown(arena, resource, source)
        && !has_newer_state(arena, resource, source, than, same_node)
        && arena.node(source).online
    {
        active::add(arena, resource, source, Role::Started);
    }
}
