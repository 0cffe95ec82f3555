//! Histories read: what a resource is on a node after everything that was done there.
//!
//! Each result is judged against what was expected of it. The last word on the role counts; the strongest
//! answer to a failure counts until a success takes it back.

use alloc::vec::Vec;

use heart_model::policy::{Operation, OperationStatus, ResourceHistory, Role, Score};

use super::{
    active::{self, has_reconnect_interval},
    failure::{self, Counts},
    locate::locate,
    migration,
};
use crate::engine::{
    arena::{Arena, Cause, ClearWhy, History, Kind, NoQuorum, NodeIx, NodeKind, OnFail, Operations, ResIx},
    compare,
};

/// What agents answer (OCF agent API 1.1, "Exit Status Codes").
pub(super) mod answers {
    pub(in crate::engine::facts) const OK: i32 = 0;
    pub(in crate::engine::facts) const ARGUMENTS: i32 = 2;
    pub(in crate::engine::facts) const UNIMPLEMENTED: i32 = 3;
    pub(in crate::engine::facts) const PERMISSION: i32 = 4;
    pub(in crate::engine::facts) const NOT_INSTALLED: i32 = 5;
    pub(in crate::engine::facts) const NOT_CONFIGURED: i32 = 6;
    pub(in crate::engine::facts) const NOT_RUNNING: i32 = 7;
    pub(in crate::engine::facts) const PROMOTED: i32 = 8;
    pub(in crate::engine::facts) const PROMOTED_FAILED: i32 = 9;
    pub(in crate::engine::facts) const DEGRADED: i32 = 190;
    pub(in crate::engine::facts) const PROMOTED_DEGRADED: i32 = 191;
}

/// What is thought of a resource on a node while its history is read.
pub(super) struct Reading<'o> {
    pub(super) resource: ResIx,
    pub(super) node: NodeIx,
    /// What it is there; None while nothing is known.
    pub(super) role: Option<Role>,
    pub(super) on_fail: OnFail,
    /// The last failure: its name and interval.
    pub(super) last_failure: Option<(&'o str, u64)>,
}

/// How one operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Unknown,
    Success,
    Failure,
    /// No other try on this node mends it.
    Hard,
    /// No other try anywhere mends it.
    Fatal,
    /// A probe could not look: whatever it is, it cannot run there.
    Masked,
    Nothing,
}

/// Reads everything that was done on a node: histories, each with the resource of which it is known that it says no
/// more than that this is not there.
pub(super) fn read<'s>(
    arena: &mut Arena<'s>,
    counts: &Counts,
    node: NodeIx,
    entries: impl Iterator<Item = (&'s ResourceHistory, Option<ResIx>)>,
) {
    for (entry, absent) in entries {
        match absent {
            Some(resource) => note_absence(arena, resource, node, entry),
            None if entry.operations.is_empty() => {}
            None => read_entry(arena, counts, node, entry),
        }
    }
}

/// What is not there is known not to be there; nothing else follows.
fn note_absence<'s>(arena: &mut Arena<'s>, resource: ResIx, node: NodeIx, entry: &'s ResourceHistory) {
    // There is one only.
    let operations = Operations::AsTold(entry);
    let history = History { node, entry, operations, recurs: false, is_absence: true };
    arena[resource].history.push(history);
    active::know(arena, resource, node);
}

fn read_entry<'s>(arena: &mut Arena<'s>, counts: &Counts, node: NodeIx, entry: &'s ResourceHistory) {
    let resource = locate(arena, node, entry);
    let history = History {
        node,
        entry,
        operations: in_order(entry),
        recurs: entry.operations.iter().any(|operation| operation.every_ms > 0),
        is_absence: false,
    };
    arena[resource].history.push(history);
    if entry.resource != arena[resource].id {
        arena[resource].known_as = Some(entry.resource.as_str());
    }
    let runs = read_one(arena, counts, resource, node);
    if !runs && arena[resource].known_as.is_some_and(|name| name.contains(':')) {
        // What is stopped has left the number that it had then.
        arena[resource].known_as = None;
    }
}

/// Operations count in the order in which they were asked for. One that has no number yet has the place
/// that its transition has among those of the same scheduler, and is last where that cannot be told. What is
/// part of no transition comes after everything that is.
fn in_order(entry: &ResourceHistory) -> Operations<'_> {
    let place = |operation: &Operation| (operation.call, operation.changed_at);
    let operations = entry.operations.as_slice();
    if let [_] = operations {
        return Operations::AsTold(entry);
    }
    if operations.iter().all(|operation| operation.call >= 0) && operations.is_sorted_by_key(place) {
        return Operations::AsTold(entry);
    }
    let (mut ordered, open): (Vec<&Operation>, Vec<&Operation>) =
        operations.iter().partition(|operation| operation.call >= 0);
    ordered.sort_by_key(|operation| place(operation));
    for operation in open {
        let is_behind = |numbered: &&Operation| match (&numbered.transition, &operation.transition) {
            (Some((later, _, whose)), Some((transition, _, same))) if whose == same => {
                *transition >= 0 && (*later < 0 || later > transition)
            }
            (_, _) => false,
        };
        let place = ordered.iter().position(is_behind).unwrap_or(ordered.len());
        ordered.insert(place, operation);
    }
    Operations::Sorted(ordered)
}

/// Reads the last history of a resource; whether it is active there.
fn read_one(arena: &mut Arena<'_>, counts: &Counts, resource: ResIx, node: NodeIx) -> bool {
    let mut reading = Reading { resource, node, role: None, on_fail: OnFail::Ignore, last_failure: None };
    let last = arena[resource].history.len().saturating_sub(1);
    let mut place = 0;
    // Bounded: nothing adds to a history that is being read.
    while let Some(operation) =
        arena[resource].history.get(last).and_then(|history| history.operations.get(place))
    {
        take(arena, counts, &mut reading, operation);
        place += 1;
    }
    active::settle(arena, resource, node, reading.role, reading.on_fail);
    reading.role.is_some_and(Role::is_running)
}

fn take<'o>(arena: &mut Arena<'_>, counts: &Counts, reading: &mut Reading<'o>, operation: &'o Operation) {
    let is_probe = operation.name == "monitor" && operation.every_ms == 0;
    let ending = judge(arena, reading, operation, is_probe);
    let failed = matches!(ending, Ending::Failure | Ending::Hard | Ending::Fatal | Ending::Masked);
    // A count may be left of a failure that nothing tells of any more, so successes are asked, too.
    let expired = has_expired(arena, counts, reading, operation, is_probe);
    if failed && expired {
        if operation.every_ms > 0 {
            let key = (reading.resource, reading.node, operation.name.clone(), operation.every_ms);
            arena.again.insert(key);
        }
        return;
    }
    match ending {
        Ending::Nothing => {}
        Ending::Unknown => pending(arena, reading, operation, is_probe),
        Ending::Success => succeed(arena, reading, operation),
        Ending::Masked => {
            let whole = anonymous_whole(arena, reading.resource);
            arena.bans.push((whole, Some(reading.node), Cause::HardFailure));
            reading.role.get_or_insert(Role::Stopped);
        }
        Ending::Failure => fail(arena, reading, operation),
        Ending::Hard => {
            if operation.name == "stop" && !can_fence(arena, reading.node) {
                arena[reading.resource].managed = false;
                arena[reading.resource].blocked = true;
            }
            if fail_unless_ignored(arena, reading, operation) {
                let whole = anonymous_whole(arena, reading.resource);
                arena.bans.push((whole, Some(reading.node), Cause::HardFailure));
            }
        }
        Ending::Fatal => {
            if fail_unless_ignored(arena, reading, operation) {
                let whole = anonymous_whole(arena, reading.resource);
                arena.bans.push((whole, None, Cause::HardFailure));
            }
        }
    }
}

/// Whether a node could be fenced now.
fn can_fence(arena: &Arena<'_>, node: NodeIx) -> bool {
    if let NodeKind::Guest { container, .. } = arena.node(node).kind {
        let hosts = &arena[container].active_on;
        return hosts.iter().any(|host| arena.node(*host).online || can_fence_full(arena, *host));
    }
    can_fence_full(arena, node)
}

fn can_fence_full(arena: &Arena<'_>, node: NodeIx) -> bool {
    let options = &arena.options;
    options.fencing
        && options.fencing_possible
        && (arena.state.quorum || options.no_quorum == NoQuorum::Ignore || arena.node(node).online)
}

/// The clone, for an instance that is like all others; else the resource.
fn anonymous_whole(arena: &Arena<'_>, resource: ResIx) -> ResIx {
    arena.clone_of(resource).filter(|clone| !arena[*clone].unique).unwrap_or(resource)
}

/// What an operation says, without what follows from it.
fn judge(arena: &Arena<'_>, reading: &Reading<'_>, operation: &Operation, is_probe: bool) -> Ending {
    use answers as a;
    match operation.status {
        OperationStatus::Pending => return Ending::Unknown,
        OperationStatus::Cancelled => return Ending::Nothing,
        OperationStatus::NotInstalled | OperationStatus::ErrorHard => {
            return if is_probe && !in_bundle(arena, reading.resource) {
                Ending::Masked
            } else {
                Ending::Hard
            };
        }
        OperationStatus::ErrorFatal => return Ending::Fatal,
        OperationStatus::TimedOut
        | OperationStatus::NotSupported
        | OperationStatus::Error
        | OperationStatus::NotConnected
        | OperationStatus::Invalid
        | OperationStatus::Done => {}
    }
    let answer = match operation.answer {
        a::DEGRADED => a::OK,
        a::PROMOTED_DEGRADED => a::PROMOTED,
        answer => answer,
    };
    let managed = arena[reading.resource].managed;
    let done = operation.status == OperationStatus::Done;
    match answer {
        a::OK if done && (is_probe || operation.expected.is_none_or(|expected| expected == a::OK)) => {
            Ending::Success
        }
        a::NOT_RUNNING if is_probe || operation.expected == Some(a::NOT_RUNNING) || !managed => {
            Ending::Success
        }
        a::PROMOTED if is_probe || operation.expected == Some(a::PROMOTED) => Ending::Success,
        a::UNIMPLEMENTED if operation.every_ms > 0 => Ending::Failure,
        a::ARGUMENTS | a::NOT_INSTALLED if is_probe && !in_bundle(arena, reading.resource) => Ending::Masked,
        a::ARGUMENTS | a::UNIMPLEMENTED | a::PERMISSION | a::NOT_INSTALLED => Ending::Hard,
        a::NOT_CONFIGURED => Ending::Fatal,
        _ => Ending::Failure,
    }
}

fn in_bundle(arena: &Arena<'_>, resource: ResIx) -> bool {
    arena[arena.outermost(resource)].kind == Kind::Bundle
}

/// Something was asked for and has no answer.
fn pending(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation, is_probe: bool) {
    match operation.name.as_str() {
        "start" => {
            // Nobody waits for an answer of a node that is not there.
            arena[reading.resource].start_pending |= arena.node(reading.node).online;
            reading.role = Some(started(arena, reading.resource));
        }
        "promote" => reading.role = Some(Role::Promoted),
        "migrate_to" if arena.node(reading.node).unclean => migration::lost(arena, reading, operation),
        _ => {}
    }
    if !is_probe && arena[reading.resource].pending_task.is_none() {
        arena[reading.resource].pending_task = Some(operation.name.clone());
        arena[reading.resource].pending_at = Some(reading.node);
    }
}

/// What a running resource is before anybody promotes it.
fn started(arena: &Arena<'_>, resource: ResIx) -> Role {
    let clone = arena.clone_of(resource).and_then(|clone| arena[clone].clone);
    if clone.is_some_and(|clone| clone.promotable) { Role::Unpromoted } else { Role::Started }
}

fn is_running(reading: &Reading<'_>) -> bool {
    reading.role.is_some_and(Role::is_running)
}

fn succeed(arena: &mut Arena<'_>, reading: &mut Reading<'_>, operation: &Operation) {
    let resource = reading.resource;
    let takes_back = match (operation.answer, operation.name.as_str()) {
        (answers::NOT_RUNNING, _) => {
            reading.role = Some(Role::Stopped);
            true
        }
        (answers::PROMOTED | answers::PROMOTED_DEGRADED, "monitor") => {
            reading.role = Some(Role::Promoted);
            takes_back_monitor(reading, operation)
        }
        (_, "monitor") => {
            if !is_running(reading) {
                reading.role = Some(started(arena, resource));
            }
            takes_back_monitor(reading, operation)
        }
        (_, "start") => {
            reading.role = Some(started(arena, resource));
            true
        }
        (_, "stop") => {
            reading.role = Some(Role::Stopped);
            arena[resource].dangling.retain(|node| *node != reading.node);
            true
        }
        (_, "promote") => {
            reading.role = Some(Role::Promoted);
            true
        }
        (_, "demote") => {
            let answered = reading.on_fail == OnFail::Demote;
            reading.role = Some(Role::Unpromoted);
            if answered {
                arena[resource].demote_wanted = false;
            }
            answered || reading.on_fail == OnFail::Ignore
        }
        (_, "migrate_from") => {
            reading.role = Some(Role::Started);
            true
        }
        (_, "migrate_to") => {
            migration::left(arena, reading, operation);
            false
        }
        (_, _) => {
            if !is_running(reading) {
                reading.role = Some(started(arena, resource));
            }
            false
        }
    };
    if takes_back {
        match reading.on_fail {
            OnFail::Stop | OnFail::Ban | OnFail::Standby | OnFail::Fence => {}
            OnFail::Ignore | OnFail::Demote | OnFail::Restart | OnFail::RestartContainer | OnFail::Block => {
                reading.on_fail = OnFail::Ignore;
            }
            OnFail::ResetRemote => {
                if !has_reconnect_interval(arena, resource) {
                    reading.on_fail = OnFail::Ignore;
                }
            }
        }
    }
}

/// A monitor that succeeds takes back only its own failure.
fn takes_back_monitor(reading: &Reading<'_>, operation: &Operation) -> bool {
    reading.last_failure.is_some_and(|(name, every)| name == operation.name && every == operation.every_ms)
}

/// Notes a failure, unless somebody said that it shall be ignored; then it counts as a success that is
/// listed.
fn fail_unless_ignored<'o>(
    arena: &mut Arena<'_>,
    reading: &mut Reading<'o>,
    operation: &'o Operation,
) -> bool {
    fail(arena, reading, operation);
    failure::answer(arena, reading.resource, operation) != OnFail::Ignore
}

fn fail<'o>(arena: &mut Arena<'_>, reading: &mut Reading<'o>, operation: &'o Operation) {
    let resource = reading.resource;
    let answer = failure::answer(arena, resource, operation);
    let in_container = answer == OnFail::RestartContainer && operation.name == "stop";
    if answer == OnFail::Ignore && operation.status == OperationStatus::NotInstalled {
        // Whoever said so thought of a service that may fail, not of one that is not there.
        reading.on_fail = reading.on_fail.max(OnFail::Ban);
        reading.role.get_or_insert(Role::Stopped);
        return;
    }
    if answer == OnFail::Ignore || in_container {
        arena[resource].failure_ignored = true;
        let mut mended = operation.clone();
        mended.answer = operation.expected.unwrap_or(answers::OK);
        mended.status = OperationStatus::Done;
        succeed(arena, reading, &mended);
        if in_container && reading.on_fail <= OnFail::Restart {
            reading.on_fail = answer;
        }
        return;
    }
    reading.last_failure = Some((operation.name.as_str(), operation.every_ms));
    reading.on_fail = reading.on_fail.max(answer);
    if operation.answer == answers::PROMOTED_FAILED
        || (operation.answer == answers::PROMOTED && operation.name == "monitor")
    {
        reading.role = Some(Role::Promoted);
    }
    match operation.name.as_str() {
        "stop" => arena.bans.push((resource, Some(reading.node), Cause::HardFailure)),
        "migrate_to" => migration::failed_to(arena, reading, operation),
        "migrate_from" => migration::failed_from(arena, reading, operation),
        "promote" => reading.role = Some(Role::Promoted),
        "demote" => {
            reading.role = Some(match answer {
                OnFail::Block => {
                    arena[resource].next_role = Role::Stopped;
                    Role::Promoted
                }
                _ => Role::Unpromoted,
            });
        }
        _ => {}
    }
    let gone =
        operation.answer == answers::NOT_INSTALLED && operation.name == "monitor" && operation.every_ms == 0;
    if gone {
        reading.role.get_or_insert(Role::Stopped);
    } else if !is_running(reading) {
        reading.role = Some(started(arena, resource));
    }
    if answer == OnFail::Stop {
        arena[resource].next_role = Role::Stopped;
        let whole = anonymous_whole(arena, resource);
        arena.bans.push((whole, None, Cause::Failures));
    }
}

/// Whether the time of an operation is over, should it have failed; and whether the count of failures has
/// to be cleared.
fn has_expired(
    arena: &mut Arena<'_>,
    counts: &Counts,
    reading: &Reading<'_>,
    operation: &Operation,
    is_probe: bool,
) -> bool {
    let (resource, node) = (reading.resource, reading.node);
    if operation.status == OperationStatus::Invalid {
        return false;
    }
    let is_last_failure = operation.id.ends_with("_last_failure_0");
    let mut expired = false;
    let mut clear = None;
    let timeout = arena[resource].failure_timeout_s;
    if let Some((at, now)) = operation.changed_at.zip(arena.state.now).filter(|_| timeout > 0) {
        let raw = failure::raw(arena, counts, resource, node);
        let counting = failure::effective(arena, counts, resource, node);
        expired = at.saturating_add(timeout) <= now
            && !failure::waits_for_a_person(arena, resource, node)
            && !waits_for_fencing(arena, resource, operation);
        if let Some(last) = counting.last.filter(|_| counting.count > Score::ZERO) {
            look_again_at(arena, last.saturating_add(timeout), now);
        }
        if expired && raw.count > Score::ZERO {
            if counting.count == Score::ZERO {
                clear = Some(ClearWhy::Expired);
            } else {
                expired = false;
            }
        } else if expired && is_last_failure && has_reconnect_interval(arena, resource) {
            clear = Some(ClearWhy::Reconnect);
        }
    }
    if !expired && is_last_failure && compare::deserves_another_try(arena, resource, node, operation) {
        clear = Some(ClearWhy::Changed);
    }
    if let Some(why) = clear {
        let is_new = !arena.clear_failures.iter().any(|(known, at, _)| *known == resource && *at == node);
        if is_new {
            arena.clear_failures.push((resource, node, why));
        }
    }
    // What a probe has found stays true.
    let told = matches!(
        operation.answer,
        answers::OK
            | answers::NOT_RUNNING
            | answers::PROMOTED
            | answers::PROMOTED_FAILED
            | answers::DEGRADED
            | answers::PROMOTED_DEGRADED
    );
    expired && !(is_probe && told)
}

fn look_again_at(arena: &mut Arena<'_>, at: i64, now: i64) {
    if at > now {
        arena.look_again = Some(arena.look_again.map_or(at, |earlier| earlier.min(at)));
    }
}

/// The monitor of a connection that is tried again only after a while: its failure stays until the node was
/// fenced.
fn waits_for_fencing(arena: &Arena<'_>, resource: ResIx, operation: &Operation) -> bool {
    let Some(remote) = arena[resource].connection_to.filter(|_| arena.options.fencing) else { return false };
    operation.name == "monitor"
        && operation.every_ms > 0
        && has_reconnect_interval(arena, resource)
        && !arena.node(remote).remote_was_fenced
}

/// Whether everything that a node that is reached through a connection rests on is there.
pub(super) fn is_readable(arena: &Arena<'_>, node: NodeIx) -> bool {
    match arena.node(node).kind {
        NodeKind::Member | NodeKind::Ping => {
            arena.options.fencing || arena.options.shutdown_lock || arena.node(node).online
        }
        NodeKind::Remote { connection } => {
            connection.is_some_and(|connection| arena[connection].role.is_running())
        }
        NodeKind::Guest { connection, container } => {
            arena[connection].role.is_running() && arena[container].role.is_running()
        }
    }
}
