//! Recurring monitors: begun where something runs, ended where nobody wants them any more.
//!
//! What runs unchanged stays, as long as the resource is not started anew.

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::policy::{NamedOperation, Operation, OperationStatus, Role, Verb};

use super::{
    draft::Draft,
    relation::{End, Properties as P},
    table::{ActionIx, DEMOTE, Doing, OperationIx, PROMOTE, START, STOP},
};
use crate::engine::{
    arena::{History, Kind, NodeIx, ResIx},
    facts,
    values::truth,
};

/// How often a container, or the address of one, is looked at if nobody says so.
const CONTAINER_EVERY_MS: u64 = 60_000;

/// How often a connection is looked at if nobody says so.
const CONNECTION_EVERY_MS: u64 = 30_000;

/// A recurring operation that is wanted.
#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    every_ms: u64,
    role: Option<Role>,
}

/// The recurring operations that are configured and enabled.
fn wanted(draft: &Draft<'_, '_>, resource: ResIx) -> Vec<Wanted> {
    let found = &draft.arena[resource];
    let Some(source) = found.source else {
        if found.removed {
            return Vec::new();
        }
        let is_connection = found.connection_to.is_some();
        let every_ms = if is_connection { CONNECTION_EVERY_MS } else { CONTAINER_EVERY_MS };
        return alloc::vec![Wanted { name: "monitor".to_string(), every_ms, role: None }];
    };
    let mut all = Vec::new();
    for operation in &source.operations {
        if is_enabled(draft, resource, operation) {
            let role = operation.role;
            all.push(Wanted { name: operation.name.clone(), every_ms: operation.every_ms, role });
        }
    }
    all
}

/// Whether an operation recurs and is enabled.
fn is_enabled(draft: &Draft<'_, '_>, resource: ResIx, operation: &NamedOperation) -> bool {
    let (name, every_ms) = (operation.name.as_str(), operation.every_ms);
    let is_step = matches!(name, "start" | "stop" | "promote" | "demote");
    let enabled = || facts::operation_option(draft.arena, resource, name, every_ms, "enabled");
    every_ms > 0 && !is_step && enabled().and_then(truth).unwrap_or(true)
}

/// Whether a recurring operation is configured and enabled.
pub(super) fn is_wanted(draft: &Draft<'_, '_>, resource: ResIx, name: &str, every_ms: u64) -> bool {
    match draft.arena[resource].source {
        Some(source) => {
            let mut operations = source.operations.iter();
            operations.any(|operation| {
                operation.name == name
                    && operation.every_ms == every_ms
                    && is_enabled(draft, resource, operation)
            })
        }
        None => {
            let all = wanted(draft, resource);
            all.iter().any(|wanted| wanted.name == name && wanted.every_ms == every_ms)
        }
    }
}

/// What a history tells of the last run; nothing if what was begun last has been stopped.
pub(super) fn current_run<'h, 's>(
    history: &'h History<'s>,
) -> impl Iterator<Item = &'s Operation> + use<'h, 's> {
    let (mut stopped, mut started, mut seen, mut changed) = (None, None, None, None);
    for (place, operation) in history.operations.iter().enumerate() {
        let succeeded = operation.status == OperationStatus::Done && operation.answer == 0;
        match operation.name.as_str() {
            "stop" if succeeded => stopped = Some(place),
            "start" | "migrate_from" => started = Some(place),
            "monitor" if seen <= stopped && matches!(operation.answer, 0 | 8) => seen = Some(place),
            "promote" | "demote" => changed = Some(place),
            _ => {}
        }
    }
    let begin = match (started.or(changed).or(seen), stopped) {
        (Some(begin), stopped) if stopped.is_none_or(|stopped| stopped < begin) => begin,
        (None, None) => 0,
        (Some(_) | None, _) => usize::MAX,
    };
    history.operations.iter().skip(begin)
}

/// Notes which recurring operations run where.
pub(super) fn note_running(draft: &mut Draft<'_, '_>, resource: ResIx) {
    let mut running: Vec<(NodeIx, String, u64)> = Vec::new();
    for history in draft.arena[resource].history.iter().filter(|history| history.recurs) {
        if !draft.arena.node(history.node).was_online {
            continue;
        }
        let is_stop = |operation: &Operation| {
            operation.name == "stop" && operation.status == OperationStatus::Done && operation.answer == 0
        };
        let stops = history.operations.iter().enumerate().filter(|(_, operation)| is_stop(operation));
        let behind_stop = stops.last().map_or(0, |(stopped, _)| stopped + 1);
        let mut note = |operation: &Operation| {
            if operation.every_ms > 0 && operation.status != OperationStatus::Pending {
                running.push((history.node, operation.name.clone(), operation.every_ms));
            }
        };
        let mut run = current_run(history).peekable();
        match run.peek() {
            Some(_) => run.for_each(&mut note),
            // What is looked at while it is stopped goes on behind the stop.
            None => history.operations.iter().skip(behind_stop).for_each(&mut note),
        }
    }
    for (node, name, every_ms) in running {
        draft.recurring.entry((resource, node)).or_default().insert((name, every_ms));
    }
}

fn runs(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx, wanted: &Wanted) -> bool {
    let key = (wanted.name.clone(), wanted.every_ms);
    draft.recurring.get(&(resource, node)).is_some_and(|running| running.contains(&key))
}

/// Whether what is known last of a recurring operation is that it succeeded.
fn succeeded_last(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx, wanted: &Wanted) -> bool {
    let there = draft.arena[resource].history.iter().filter(|history| history.node == node);
    let same = there
        .flat_map(|history| history.operations.iter())
        .filter(|operation| operation.name == wanted.name && operation.every_ms == wanted.every_ms);
    let last = same.max_by_key(|operation| operation.call);
    last.is_some_and(|last| last.status == OperationStatus::Done && last.answer == last.expected.unwrap_or(0))
}

/// Makes the monitors of a primitive.
pub(super) fn make(draft: &mut Draft<'_, '_>, resource: ResIx) {
    let found = &draft.arena[resource];
    if found.kind != Kind::Primitive || found.blocked || found.maintenance {
        return;
    }
    let (next, managed) = (found.next_role, found.managed);
    let node = found.assigned.filter(|node| !draft.arena.node(*node).maintenance);
    let start = node
        .filter(|_| next.is_running() || !managed)
        .map(|node| (node, draft.need(resource, START, Some(node), false)));
    let all = wanted(draft, resource);
    for wanted in &all {
        // Which of several is meant, nobody can tell: they share their place in histories.
        let same = |other: &&Wanted| (&other.name, other.every_ms) == (&wanted.name, wanted.every_ms);
        if all.iter().filter(same).count() > 1 {
            continue;
        }
        if wanted.role == Some(Role::Stopped) {
            while_stopped(draft, resource, wanted);
        } else if let Some((node, start)) = start {
            while_running(draft, resource, node, start, wanted);
        }
    }
}

fn while_running(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx, start: ActionIx, wanted: &Wanted) {
    let (role, next) = (draft.arena[resource].role, draft.arena[resource].next_role);
    let operation = draft.table.operation(&wanted.name, wanted.every_ms);
    let key = (resource, node, wanted.name.clone(), wanted.every_ms);
    let has_expired = draft.arena.again.contains(&key) && !succeeded_last(draft, resource, node, wanted);
    let again = draft.ask_again.contains(&key) || has_expired;
    let goes_on = runs(draft, resource, node, wanted) && !again && !draft.table[start].required;
    let fits = match wanted.role {
        Some(role) => role == next,
        None => next != Role::Promoted,
    };
    if !fits {
        if goes_on {
            let then = match (role, next) {
                (Role::Promoted, _) => Some(DEMOTE),
                (Role::Started | Role::Unpromoted, Role::Promoted) => Some(PROMOTE),
                (Role::Started | Role::Unpromoted, Role::Stopped) => Some(STOP),
                (_, _) => None,
            };
            cancel_before(draft, resource, node, operation, then);
        }
        return;
    }
    let monitor = draft.need(resource, Doing::Recur(operation), Some(node), !goes_on);
    let place = draft.arena.node(node);
    if !draft.table[start].runnable || !place.online || place.unclean {
        draft.table[monitor].runnable = false;
    }
    if !draft.arena[resource].managed {
        return;
    }
    let after = P::ORDERED | P::FORCES_THEN | P::BLOCKS_THEN;
    draft.relate(End::Of(resource, START), End::Action(monitor), after);
    draft.relate(End::Of(resource, Doing::Reload), End::Action(monitor), after);
    let changes_role = P::ORDERED | P::BLOCKS_THEN;
    if next == Role::Promoted {
        draft.relate(End::Of(resource, PROMOTE), End::Action(monitor), changes_role);
    } else if role == Role::Promoted {
        draft.relate(End::Of(resource, DEMOTE), End::Action(monitor), changes_role);
    }
}

/// Ends a recurring operation, before something else if that is said.
pub(super) fn cancel_before(
    draft: &mut Draft<'_, '_>,
    resource: ResIx,
    node: NodeIx,
    operation: OperationIx,
    then: Option<Doing>,
) {
    let cancel = draft.need(resource, Doing::Cancel(operation), Some(node), true);
    if let Some(then) = then {
        let properties = P::ORDERED | P::BLOCKS_THEN;
        draft.relate(End::Action(cancel), End::Of(resource, then), properties);
    }
}

/// On all nodes where it does not run, after it was probed and stopped there.
fn while_stopped(draft: &mut Draft<'_, '_>, resource: ResIx, wanted: &Wanted) {
    let found = &draft.arena[resource];
    let is_anonymous = draft.arena.clone_of(resource).is_some() && !found.unique;
    if is_anonymous || found.removed {
        // Of what is removed nothing is remembered: looking at it would be the next thing to forget.
        return;
    }
    let runs_on = found.assigned.filter(|_| found.next_role.is_running());
    let managed = found.managed;
    let operation = draft.table.operation(&wanted.name, wanted.every_ms);
    for node in draft.arena.node_numbers() {
        let goes_on = runs(draft, resource, node, wanted);
        if runs_on == Some(node) {
            if goes_on {
                let next = draft.arena[resource].next_role;
                let then = matches!(next, Role::Started | Role::Unpromoted).then_some(START);
                cancel_before(draft, resource, node, operation, then);
            }
            continue;
        }
        let monitor = draft.need(resource, Doing::Recur(operation), Some(node), !goes_on);
        if managed {
            let properties = P::ORDERED | P::BLOCKS_THEN;
            if let Some(probe) = draft.table.on(resource, Doing::Probe, node) {
                draft.relate(End::Action(probe), End::Action(monitor), properties);
            }
        }
        if let Some(stop) = draft.table.on(resource, Doing::Do(Verb::Stop), node) {
            if draft.table[stop].required && !draft.table[stop].runnable {
                draft.table[monitor].runnable = false;
            }
            if managed {
                let properties = P::ORDERED | P::FORCES_THEN | P::BLOCKS_THEN;
                draft.relate(End::Action(stop), End::Action(monitor), properties);
            }
        }
        let place = draft.arena.node(node);
        if !place.online || place.unclean {
            draft.table[monitor].runnable = false;
        }
    }
}
