//! What follows from failures: how each is answered, how often something failed, and when that is
//! forgotten.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString as _},
};

use heart_model::policy::{AttributeSet, NamedOperation, Operation, OperationStatus, Role, Score};

use super::unfold::is_connection;
use crate::engine::{
    arena::{Arena, Failures, NodeIx, OnFail, ResIx},
    failures::FINE,
    rules::{self, Context},
    values::{integer, score, truth},
};

/// Fail counts as nodes tell them, by node and the resource's name there.
pub(super) type Counts = BTreeMap<(NodeIx, String), Failures>;

/// Reads the fail counts that nodes tell.
pub(super) fn counts(arena: &Arena<'_>) -> Counts {
    let mut counts = Counts::new();
    for number in arena.node_numbers() {
        for (name, value) in &arena.node(number).attributes {
            let (tail, is_count) =
                match (name.strip_prefix("fail-count-"), name.strip_prefix("last-failure-")) {
                    (Some(tail), _) => (tail, true),
                    (None, Some(tail)) => (tail, false),
                    (None, None) => continue,
                };
            let name = tail.rsplit_once('#').map_or(tail, |(name, _)| name);
            let found = counts.entry((number, without_instance(name).to_string())).or_default();
            if is_count {
                found.count += score(value).unwrap_or(Score::ZERO);
            } else {
                found.last = found.last.max(integer(value));
            }
        }
    }
    counts
}

/// A name without the number of an instance.
pub(crate) fn without_instance(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((base, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            base
        }
        Some(_) | None => name,
    }
}

/// The count of a resource on a node, whether or not its time is over.
pub(super) fn raw(arena: &Arena<'_>, counts: &Counts, resource: ResIx, node: NodeIx) -> Failures {
    let name = without_instance(&arena[resource].name).to_string();
    counts.get(&(node, name)).copied().unwrap_or_default()
}

/// The count as far as it still counts: one whose time is over does not, unless something waits for a
/// person.
pub(super) fn effective(arena: &Arena<'_>, counts: &Counts, resource: ResIx, node: NodeIx) -> Failures {
    let found = raw(arena, counts, resource, node);
    let timeout = arena[resource].failure_timeout_s;
    let over = timeout > 0
        && found.last.zip(arena.state.now).is_some_and(|(last, now)| last.saturating_add(timeout) < now);
    if over && !waits_for_a_person(arena, resource, node) { Failures::default() } else { found }
}

/// Whether something failed there whose answer is to leave it alone.
pub(super) fn waits_for_a_person(arena: &Arena<'_>, resource: ResIx, node: NodeIx) -> bool {
    let history = arena[resource].history.iter().find(|history| history.node == node);
    history.is_some_and(|history| {
        history.operations.iter().any(|operation| {
            // Only what somebody wrote is meant: that a stop cannot be fenced is no wish.
            let written = written(arena, resource, &operation.name, operation.every_ms);
            let said = written.and_then(|written| written.options.values.get("on-fail"));
            said.is_some_and(|word| word.eq_ignore_ascii_case("block")) && is_failure(operation)
        })
    })
}

/// Whether an operation ended otherwise than expected, as far as its own entry tells.
pub(super) fn is_failure(operation: &Operation) -> bool {
    let expected = operation.expected.unwrap_or(0);
    let is_probe = operation.name == "monitor" && operation.every_ms == 0;
    let answered_badly = operation.answer != expected && !(is_probe && FINE.contains(&operation.answer));
    operation.status.is_failure() || (operation.status == OperationStatus::Done && answered_badly)
}

/// What was written of an operation.
pub(crate) fn written<'s>(
    arena: &Arena<'s>,
    resource: ResIx,
    name: &str,
    every_ms: u64,
) -> Option<&'s NamedOperation> {
    let source = arena[resource].source?;
    source.operations.iter().find(|operation| operation.name == name && operation.every_ms == every_ms)
}

/// What is said of an option of an operation: what was written directly, else under conditions, else the defaults.
pub(crate) fn option<'s>(
    arena: &Arena<'s>,
    resource: ResIx,
    name: &str,
    every_ms: u64,
    option: &str,
) -> Option<&'s str> {
    let context = Context {
        now: arena.state.now,
        agent: Some(&arena[resource].agent),
        operation: Some((name, every_ms)),
        ..Context::default()
    };
    let said = |sets: &'s [AttributeSet]| rules::value(sets, &context, option);
    let written = written(arena, resource, name, every_ms);
    let directly = written.and_then(|written| written.options.values.get(option).map(String::as_str));
    directly.or_else(|| said(&written?.meta)).or_else(|| said(&arena.spec.operation_defaults))
}

/// How the failure of an operation is answered.
pub(super) fn answer(arena: &Arena<'_>, resource: ResIx, operation: &Operation) -> OnFail {
    let (name, every) = (operation.name.as_str(), operation.every_ms);
    let said = option(arena, resource, name, every, "on-fail");
    let fencing = arena.options.fencing;
    let said = said.and_then(|word| on_fail(word, fencing));
    let is_stop = name == "stop";
    let fits = |answer: &OnFail| {
        let means_nothing = matches!(answer, OnFail::Standby | OnFail::Demote | OnFail::Stop);
        let may = *answer != OnFail::Demote || may_demote(arena, resource, operation);
        may && !(is_stop && means_nothing)
    };
    said.filter(fits).unwrap_or_else(|| by_default(arena, resource, operation, fencing))
}

fn may_demote(arena: &Arena<'_>, resource: ResIx, operation: &Operation) -> bool {
    match operation.name.as_str() {
        "promote" => true,
        "monitor" => {
            let written = written(arena, resource, &operation.name, operation.every_ms);
            operation.every_ms > 0 && written.is_some_and(|written| written.role == Some(Role::Promoted))
        }
        _ => false,
    }
}

fn on_fail(word: &str, fencing: bool) -> Option<OnFail> {
    Some(match word.to_ascii_lowercase().as_str() {
        "ignore" | "nothing" => OnFail::Ignore,
        "demote" => OnFail::Demote,
        "restart" => OnFail::Restart,
        "restart-container" => OnFail::RestartContainer,
        "migrate" => OnFail::Ban,
        "block" => OnFail::Block,
        "stop" => OnFail::Stop,
        "standby" => OnFail::Standby,
        "fence" if fencing => OnFail::Fence,
        "fence" => OnFail::Stop,
        _ => return None,
    })
}

fn by_default(arena: &Arena<'_>, resource: ResIx, operation: &Operation, fencing: bool) -> OnFail {
    let found = &arena[resource];
    let is_probe = operation.name == "monitor" && operation.every_ms == 0;
    if operation.name == "stop" && found.container.is_none() {
        return if fencing { OnFail::Fence } else { OnFail::Block };
    }
    if operation.name == "demote"
        && let Some(answer) = of_promoted_monitor(arena, resource, fencing)
    {
        return answer;
    }
    if is_connection(&found.agent) && operation.name != "start" && !is_probe {
        return OnFail::ResetRemote;
    }
    if found.container.is_some() { OnFail::RestartContainer } else { OnFail::Restart }
}

/// A failed demotion is answered as a failed monitor of the promoted role is, if somebody said how.
fn of_promoted_monitor(arena: &Arena<'_>, resource: ResIx, fencing: bool) -> Option<OnFail> {
    let source = arena[resource].source?;
    let monitors = source.operations.iter().filter(|operation| {
        operation.name == "monitor" && operation.every_ms > 0 && operation.role == Some(Role::Promoted)
    });
    let mut answers = monitors.filter_map(|monitor| {
        let said = |name| option(arena, resource, &monitor.name, monitor.every_ms, name);
        let enabled = said("enabled").and_then(truth) != Some(false);
        said("on-fail").filter(|_| enabled).and_then(|word| on_fail(word, fencing))
    });
    answers.next().filter(|answer| *answer != OnFail::Demote)
}
