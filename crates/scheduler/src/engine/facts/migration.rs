//! Migrations that were begun: what they left where.
//!
//! A migration is told twice: the source says that it sent, the target that it took. Until both have
//! said so, and the source has been stopped, the resource is on both, or may be.

use alloc::string::String;

use heart_model::policy::{Operation, OperationStatus, Role};

use super::{active, history::Reading};
use crate::engine::arena::{Arena, NodeIx, ResIx};

fn named(arena: &Arena<'_>, name: Option<&String>) -> Option<NodeIx> {
    let name = name?;
    arena.node_numbers().find(|node| arena.node(*node).name.eq_ignore_ascii_case(name))
}

/// The last operation of this name on a node, as its state tells.
fn find<'s>(
    arena: &Arena<'s>,
    resource: ResIx,
    node: NodeIx,
    fits: impl Fn(&Operation) -> bool,
) -> Option<&'s Operation> {
    let told = arena.node(node);
    let entry = arena
        .state
        .nodes
        .iter()
        .find(|entry| entry.id == told.id || entry.name.as_deref().unwrap_or(&entry.id) == told.name)?;
    let ids = [arena[resource].id.as_str(), arena[resource].name.as_str()];
    let histories = entry.history.iter().filter(|history| ids.contains(&history.resource.as_str()));
    histories
        .flat_map(|history| &history.operations)
        .filter(|operation| fits(operation))
        .max_by_key(|operation| operation.call)
}

/// Whether something happened on a node after this call that makes it old.
fn has_newer(arena: &Arena<'_>, resource: ResIx, node: NodeIx, than: &Operation, same_node: bool) -> bool {
    let is_newer = |operation: &Operation| {
        if same_node { operation.call > than.call } else { operation.changed_at > than.changed_at }
    };
    let tells = |operation: &Operation| {
        is_newer(operation)
            && operation.status != OperationStatus::Pending
            && (matches!(operation.name.as_str(), "start" | "stop" | "migrate_from" | "migrate_to")
                || (operation.name == "monitor" && operation.every_ms == 0))
    };
    find(arena, resource, node, tells).is_some()
}

/// It was asked to leave, and has not answered.
pub(super) fn pending(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    let target = named(arena, operation.migrate_target.as_ref());
    reading.role = Some(Role::Started);
    // If a migration is begun, whatever was said of a start before is over.
    if let Some(target) = target.filter(|target| arena.node(*target).online) {
        arena[reading.resource].migration = Some((reading.node, target));
    }
}

/// It has left for another node, and may have to be stopped where it came from.
pub(super) fn left(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    let resource = reading.resource;
    let Some(target) = named(arena, operation.migrate_target.as_ref()) else { return };
    let source = reading.node;
    let source_name = arena.node(source).name.clone();
    let arrival = find(arena, resource, target, |told| {
        told.name == "migrate_from"
            && told.migrate_source.as_ref().is_some_and(|from| from.eq_ignore_ascii_case(&source_name))
    });
    if has_newer(arena, resource, source, operation, true) {
        return;
    }
    let newer_there = |than: &Operation, same: bool| has_newer(arena, resource, target, than, same);
    let is_over = match arrival {
        Some(arrival) => newer_there(arrival, true),
        None => newer_there(operation, false),
    };
    reading.role = Some(Role::Started);
    match arrival {
        Some(arrival) if arrival.status == OperationStatus::Done && arrival.answer == 0 => {
            // Complete but for the stop where it came from.
            if is_over && !arena.node(target).online {
                return;
            }
            reading.role = Some(Role::Stopped);
            arena[resource].dangling.push(source);
        }
        Some(arrival) if arrival.status != OperationStatus::Pending => {
            if !is_over && arena.node(target).online {
                active::add(arena, resource, target, Role::Started);
            }
        }
        Some(_) | None => continue_or_recover(arena, reading, target, is_over),
    }
}

fn continue_or_recover(arena: &mut Arena<'_>, reading: &mut Reading<'_>, target: NodeIx, is_over: bool) {
    let resource = reading.resource;
    if is_over || !arena.node(target).online {
        // Consider it failed here: it is started anew, not migrated.
        arena[resource].failed = true;
        arena[resource].stop_wanted = true;
        arena[resource].allow_migrate = false;
        return;
    }
    active::add(arena, resource, target, Role::Started);
    if arena.node(reading.node).online {
        arena[resource].migration = Some((reading.node, target));
    }
}

/// It could not leave: it is where it was, and perhaps where it was to go.
pub(super) fn failed_to(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    reading.role = Some(Role::Started);
    let Some(target) = named(arena, operation.migrate_target.as_ref()) else { return };
    let is_over = has_newer(arena, reading.resource, target, operation, false);
    if !is_over && arena.node(target).online {
        active::add(arena, reading.resource, target, Role::Started);
    }
}

/// It could not arrive: it is where it was to go in whatever state, and where it came from.
pub(super) fn failed_from(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    reading.role = Some(Role::Started);
    let Some(source) = named(arena, operation.migrate_source.as_ref()) else { return };
    let is_over = has_newer(arena, reading.resource, source, operation, false);
    if !is_over && arena.node(source).online {
        active::add(arena, reading.resource, source, Role::Started);
        arena[reading.resource].failed = true;
        arena[reading.resource].stop_wanted = true;
    }
}
