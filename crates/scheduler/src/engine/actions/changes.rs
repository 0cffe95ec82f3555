//! What has changed since something was told: histories are compared with what is wanted today.
//!
//! A change that takes a restart makes the start required; one that the agent can take in while it runs, a
//! reload. Monitors that were told something else are asked for again, and those that nobody wants any more
//! are ended. What is not configured any more is forgotten once it is stopped.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::policy::{Operation, OperationStatus};

use super::{
    draft::Draft,
    fencing, ladder, monitors,
    relation::{End, Properties as P},
    table::{Doing, START, STOP},
};
use crate::engine::{
    arena::{ClearWhy, History, Kind, NodeIx, ResIx},
    compare::{self, Change},
    facts,
};

/// Compares all histories.
pub(super) fn compare(draft: &mut Draft<'_, '_>) {
    let primitives: Vec<ResIx> = draft
        .arena
        .resource_numbers()
        .filter(|resource| draft.arena[*resource].kind == Kind::Primitive)
        .collect();
    primitives.iter().for_each(|resource| monitors::note_running(draft, *resource));
    let also_called = also_called(draft, &primitives);
    for owner in primitives {
        for place in 0..draft.arena[owner].history.len() {
            let history = &draft.arena[owner].history[place];
            let is_of_no_use = history.is_absence && !has_to_be_absent(draft, owner, history.node);
            if is_of_no_use || !draft.arena.node(history.node).heard {
                continue;
            }
            let (name, history) = (&history.entry.resource, history.clone());
            // Instances that changed their numbers may have a name in common: whoever is called so is meant.
            let own = draft.arena.by_id.get(name).copied();
            let own = own.filter(|own| draft.arena[*own].kind == Kind::Primitive);
            let mut meant = also_called.get(name.as_str()).cloned().unwrap_or_default();
            meant.extend(own);
            meant.sort_unstable();
            for resource in meant {
                compare_one(draft, resource, &history);
            }
        }
    }
    for (resource, node) in draft.arena.delete_history.clone() {
        delete_history(draft, resource, node, true);
    }
    for (resource, node) in draft.arena.unlocked.clone() {
        let forget = draft.table.make(Some(resource), Doing::Forget, Some(node));
        draft.table[forget].required = true;
        draft.table[forget].by_leader = true;
    }
    for (resource, node, name, every_ms) in draft.arena.forget_operations.clone() {
        let operation = draft.table.operation(&name, every_ms);
        monitors::cancel_before(draft, resource, node, operation, None);
    }
}

/// What has a name beside the one that leads to it: under which a history knows it, or which it shares.
fn also_called(draft: &Draft<'_, '_>, primitives: &[ResIx]) -> BTreeMap<String, Vec<ResIx>> {
    let mut called: BTreeMap<String, Vec<ResIx>> = BTreeMap::new();
    for resource in primitives {
        let found = &draft.arena[*resource];
        let is_shared = draft.arena.by_id.get(&found.id) != Some(resource);
        for name in found.known_as.into_iter().chain(is_shared.then_some(found.id.as_str())) {
            called.entry(name.to_string()).or_default().push(*resource);
        }
    }
    called
}

/// Whether it makes a difference that something was not found on a node.
fn has_to_be_absent(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx) -> bool {
    draft.arena[resource].removed || draft.arena[resource].active_on.contains(&node)
}

fn compare_one(draft: &mut Draft<'_, '_>, resource: ResIx, history: &History<'_>) {
    let (found, node) = (&draft.arena[resource], history.node);
    if found.removed {
        // Instances of anonymous clones share their history with those that are left.
        let is_anonymous = draft.arena.clone_of(resource).is_some() && !found.unique;
        if !is_anonymous && draft.arena.options.stop_removed_resources {
            delete_history(draft, resource, node, true);
        }
        return;
    }
    let is_active = found.active_on.contains(&node);
    if agent_changed(draft, resource, history) {
        if is_active {
            draft.start_anew.insert(resource);
            fencing::unfence_anew(draft, resource, node);
        }
        let managed = draft.arena[resource].managed;
        delete_history(draft, resource, node, managed);
    }
    if !is_active {
        return;
    }
    let in_maintenance = draft.arena[resource].maintenance || draft.arena.node(node).maintenance;
    let mut changed = false;
    for operation in monitors::current_run(history) {
        let every_ms = operation.every_ms;
        if every_ms > 0 && in_maintenance {
            cancel(draft, resource, node, operation);
        } else if every_ms > 0 && !monitors::is_wanted(draft, resource, &operation.name, every_ms) {
            if draft.arena.options.stop_removed_actions {
                cancel(draft, resource, node, operation);
                changed = true;
            }
        } else {
            changed |= compare_operation(draft, resource, node, operation);
        }
    }
    let failed = draft.arena[resource].failures.contains_key(&node);
    if changed && failed {
        draft.arena.clear_failures.push((resource, node, ClearWhy::Changed));
    }
}

/// Ends an operation that nobody wants any more; a stop ends it anyway.
fn cancel(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx, operation: &Operation) {
    let number = draft.table.operation(&operation.name, operation.every_ms);
    monitors::cancel_before(draft, resource, node, number, None);
    if let Some(cancel) = draft.table.on(resource, Doing::Cancel(number), node) {
        draft.relate(End::Of(resource, STOP), End::Action(cancel), P::ORDERED);
    }
}

fn agent_changed(draft: &Draft<'_, '_>, resource: ResIx, history: &History<'_>) -> bool {
    let found = &draft.arena[resource];
    let told = &history.entry.agent;
    found.source.is_some()
        && (told.class != found.agent.class
            || told.agent_type != found.agent.agent_type
            || told.provider != found.agent.provider)
}

/// Compares one operation; whether something has changed.
fn compare_operation(
    draft: &mut Draft<'_, '_>,
    resource: ResIx,
    node: NodeIx,
    operation: &Operation,
) -> bool {
    let is_told = operation.every_ms > 0
        || matches!(operation.name.as_str(), "monitor" | "start" | "promote" | "migrate_from");
    let is_open = matches!(operation.status, OperationStatus::Pending | OperationStatus::Cancelled);
    let is_known = compare::is_known(draft.arena, resource);
    if !is_told || is_open || !is_known || operation.digests.all.is_none() {
        return false;
    }
    match compare::change(draft.arena, resource, node, operation) {
        Change::None => return false,
        Change::Restart => {
            draft.start_anew.insert(resource);
            fencing::unfence_anew(draft, resource, node);
        }
        Change::Reload if operation.every_ms > 0 => {
            draft.ask_again.insert((resource, node, operation.name.clone(), operation.every_ms));
        }
        Change::Reload if operation.digests.restart.is_some() => ladder::reload(draft, resource, node),
        Change::Reload => {
            draft.start_anew.insert(resource);
            fencing::unfence_anew(draft, resource, node);
        }
    }
    true
}

/// Deletes what is remembered of a resource on a node, after its stop and before its start.
pub(super) fn delete_history(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx, required: bool) {
    let place = draft.arena.node(node);
    if !place.online || place.unclean || draft.arena[resource].failed {
        return;
    }
    let delete = draft.table.make(Some(resource), Doing::DeleteHistory, Some(node));
    draft.table[delete].required |= required;
    // What may have to be deleted has to be if the stop is done; what has to be is so for its own sake.
    let properties = if required { P::ORDERED } else { P::ORDERED | P::FORCES_THEN };
    draft.relate(End::Of(resource, STOP), End::Action(delete), properties);
    draft.relate(End::Action(delete), End::Of(resource, START), properties);
}

/// Clears fail counts.
pub(super) fn clear_failures(draft: &mut Draft<'_, '_>) {
    for (resource, node, why) in draft.arena.clear_failures.clone() {
        let is_instance = draft.arena[resource].parent.is_some();
        if why == ClearWhy::Removed && (is_instance || !draft.arena.node(node).online) {
            // What is counted for instances that are alike is counted for those that are left.
            continue;
        }
        let clear = draft.need(resource, Doing::ClearFailures, Some(node), false);
        draft.table[clear].required = true;
        if let Some(remote) = draft.arena[resource].connection_to
            && facts::has_reconnect_interval(draft.arena, resource)
        {
            let fence = draft.table.make(None, Doing::Fence, Some(remote));
            draft.table[fence].by_leader = true;
            draft.table.join(fence, clear, P::ORDERED);
        }
        match why {
            ClearWhy::Removed => draft.relate(End::Action(clear), End::Of(resource, STOP), P::ORDERED),
            ClearWhy::Expired | ClearWhy::Changed | ClearWhy::Reconnect => {}
        }
    }
}
