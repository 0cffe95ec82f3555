//! What has changed since something was told: histories are compared with what is wanted today.
//!
//! A change that takes a restart makes the start required; one that the agent can take in while it runs, a
//! reload. Monitors that were told something else are asked for again, and those that nobody wants any more
//! are ended. What is not configured any more is forgotten once it is stopped.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use heart_model::policy::{Operation, OperationStatus};

use super::{
    draft::Draft,
    fencing, ladder, monitors,
    relation::{End, Properties as P},
    table::{Doing, START, STOP},
};
use crate::engine::{
    arena::{ClearWhy, Kind, NodeIx, ResIx},
    digest::Told,
    facts,
    rules::{self, Context},
    values::milliseconds,
};

/// How long a monitor may take if nobody says so.
const TIMEOUT_MS: u64 = 20_000;

/// What of its history a resource no longer agrees with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    /// Only what is secret may have changed; nobody can tell.
    Reload,
    Restart,
}

/// Compares all histories.
pub(super) fn compare(draft: &mut Draft<'_, '_>) {
    for resource in draft.arena.resource_numbers() {
        if draft.arena[resource].kind != Kind::Primitive {
            continue;
        }
        monitors::note_running(draft, resource);
        for place in 0..draft.arena[resource].history.len() {
            let node = draft.arena[resource].history[place].node;
            if draft.arena.is_available(node) || draft.arena.node(node).maintenance {
                compare_one(draft, resource, place, node);
            }
        }
    }
    for (resource, node) in draft.arena.delete_history.clone() {
        delete_history(draft, resource, node, true);
    }
    for (resource, node, name, every_ms) in draft.arena.forget_operations.clone() {
        let operation = draft.table.operation(&name, every_ms);
        monitors::cancel_before(draft, resource, node, operation, None);
    }
}

fn compare_one(draft: &mut Draft<'_, '_>, resource: ResIx, place: usize, node: NodeIx) {
    let found = &draft.arena[resource];
    if !found.history[place].is_own {
        // It is the history of another instance.
        return;
    }
    if found.removed {
        // Instances of anonymous clones share their history with those that are left.
        let is_anonymous = draft.arena.clone_of(resource).is_some() && !found.unique;
        if !is_anonymous && draft.arena.options.stop_removed_resources {
            delete_history(draft, resource, node, true);
        }
        return;
    }
    let is_active = found.active_on.contains(&node);
    if found.history[place].other_agent {
        if is_active {
            draft.start_anew.insert(resource);
            fencing::unfence_anew(draft, resource, node);
        }
        delete_history(draft, resource, node, true);
    }
    if !is_active {
        return;
    }
    let run: Vec<&Operation> = monitors::current_run(&draft.arena[resource].history[place]).to_vec();
    let in_maintenance = draft.arena[resource].maintenance || draft.arena.node(node).maintenance;
    let mut changed = false;
    for operation in run {
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
    // What nobody has written down is made of what contains it; nobody tells of a change of that.
    let is_implied = draft.arena[resource].source.is_none();
    if !is_told || is_open || is_implied || operation.digests.all.is_none() {
        return false;
    }
    match change_of(draft, resource, node, operation) {
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

fn change_of(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx, operation: &Operation) -> Change {
    let recurs = operation.every_ms > 0;
    let task = match operation.name.as_str() {
        "monitor" | "migrate_from" | "migrate_to" | "promote" if !recurs => "start",
        name => name,
    };
    let parameters = parameters(draft, resource, node, task, operation.every_ms);
    let timeout_ms = recurs.then(|| {
        let options = facts::operation_options(draft.arena, resource, task, operation.every_ms);
        options.get("timeout").and_then(|text| milliseconds(text)).unwrap_or(TIMEOUT_MS)
    });
    let fence_device = draft.arena[resource].fence_device;
    let told = Told { parameters: &parameters, timeout_ms, fence_device };
    let history = &operation.digests;
    if told.is_as_in(history, true) {
        return Change::None;
    }
    let names_known = history.restart_names.as_ref().is_some_and(|names| !names.is_empty());
    if history.restart.is_some() && names_known && told.restart(history) != history.restart {
        return Change::Restart;
    }
    // What is told only of this operation is nothing that an agent could reload.
    let written = facts::written_operation(draft.arena, resource, task, operation.every_ms);
    if !recurs && written.is_some_and(|written| !written.parameters.is_empty()) {
        return Change::Restart;
    }
    Change::Reload
}

/// What an operation is told today.
fn parameters(
    draft: &Draft<'_, '_>,
    resource: ResIx,
    node: NodeIx,
    task: &str,
    every_ms: u64,
) -> BTreeMap<String, String> {
    let arena = &*draft.arena;
    let attribute = |name: &str| facts::attribute(arena.node(node), name);
    let context = Context {
        now: arena.state.now,
        attribute: Some(&attribute),
        agent: Some(&arena[resource].agent),
        operation: Some((task, every_ms)),
        ..Context::default()
    };
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    if let Some(written) = facts::written_operation(arena, resource, task, every_ms) {
        all.extend(rules::values(&written.parameters, &context));
    }
    let mut at = Some(resource);
    // Bounded by how deep resources are nested.
    while let Some(of) = at {
        if let Some(source) = arena[of].source {
            for (name, value) in rules::values(&source.parameters, &context) {
                all.entry(name).or_insert(value);
            }
        }
        at = arena[of].parent;
    }
    all
}

/// Deletes what is remembered of a resource on a node, after its stop and before its start.
pub(super) fn delete_history(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx, required: bool) {
    let place = draft.arena.node(node);
    if !place.online || place.unclean || draft.arena[resource].failed {
        return;
    }
    let delete = draft.table.make(Some(resource), Doing::DeleteHistory, Some(node));
    draft.table[delete].required |= required;
    let properties = if required { P::ORDERED | P::FORCES_THEN } else { P::ORDERED };
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
        match why {
            ClearWhy::Removed => draft.relate(End::Action(clear), End::Of(resource, STOP), P::ORDERED),
            ClearWhy::Expired | ClearWhy::Changed | ClearWhy::Reconnect => {}
        }
    }
}
