//! A plan carried out in thought: every action succeeds, and what is known afterwards is the next state.

use heart_model::policy::{JoinState, NodeState, Operation, OperationStatus, ResourceHistory, Role};
use heart_scheduler::engine::{Outcome, outcome::Action};

use crate::{Situation, grow::NOW, known::Known};

/// What agents answer when all is well, and when it does not run, and when it is promoted.
const OK: i32 = 0;
const NOT_RUNNING: i32 = 7;
const PROMOTED: i32 = 8;

/// An order in which the actions can be carried out, as places in the list, with the points between them, which
/// have the places behind; what can never begin is left out.
#[must_use]
pub fn sequence(outcome: &Outcome) -> Vec<usize> {
    let count = outcome.actions.len() + outcome.points;
    let mut waits = vec![0_usize; count];
    let mut after = vec![Vec::new(); count];
    for (first, then) in &outcome.order {
        if *first < count && *then < count {
            waits[*then] += 1;
            after[*first].push(*then);
        } else if *then < count {
            // It waits for something that is not in the plan.
            waits[*then] += 1;
        }
    }
    let mut sequence: Vec<usize> = (0..count).filter(|action| waits[*action] == 0).collect();
    let mut next = 0;
    // Bounded: each turn looks at one action that was not looked at.
    while next < sequence.len() {
        for then in &after[sequence[next]] {
            waits[*then] -= 1;
            if waits[*then] == 0 {
                sequence.push(*then);
            }
        }
        next += 1;
    }
    sequence
}

/// What is known when all of it has succeeded.
#[must_use]
pub fn carry_out(situation: &Situation, outcome: &Outcome) -> Situation {
    let mut next = situation.clone();
    let known = Known::of(&situation.cluster);
    for place in sequence(outcome).into_iter().filter(|place| *place < outcome.actions.len()) {
        succeed(&mut next, &known, outcome, &outcome.actions[place]);
    }
    next
}

fn succeed(next: &mut Situation, known: &Known<'_>, outcome: &Outcome, action: &Action) {
    // Nodes have clocks, also where nobody knows the time.
    let now = Some(next.state.now.unwrap_or(NOW));
    let node = entry(next, &action.node);
    let Some(resource) = action.resource.as_deref() else {
        match (action.name.as_str(), action.kind.as_deref()) {
            ("fence", Some("on")) => say(node, "#node-unfenced", "1"),
            ("fence" | "fence-guest", _) => switched_off(node),
            ("shutdown", _) => left(node),
            _ => {}
        }
        return;
    };
    let at = |name: &str| {
        let moves = |other: &&Action| other.name == name && other.resource.as_deref() == Some(resource);
        outcome.actions.iter().find(moves).map(|other| other.node.clone())
    };
    let mut done = Operation {
        id: format!("{}_{}", action.name, action.every_ms),
        name: action.name.clone(),
        every_ms: action.every_ms,
        expected: Some(OK),
        changed_at: now,
        ran_at: now,
        ..Operation::default()
    };
    let mut forgets = false;
    match action.name.as_str() {
        "start" | "reload-agent" => {}
        "stop" | "promote" | "demote" => forgets = true,
        "migrate_to" | "migrate_from" => {
            forgets = true;
            (done.migrate_source, done.migrate_target) = (at("migrate_to"), at("migrate_from"));
            done.migrate_source = done.migrate_source.or_else(|| sent_from(outcome, resource, &action.node));
        }
        "monitor" => {
            // Connections of guests and parts of bundles are in no picture; they are watched where they run.
            let is_seen =
                known.primitive(resource).is_some() && outcome.after.resources.contains_key(resource);
            let role = role(&outcome.after.resources, resource, &action.node);
            let role = if is_seen { role } else { Role::Started };
            done.answer = answer_of(role);
            done.expected = Some(done.answer);
        }
        "probe" => {
            done.name = "monitor".to_owned();
            done.answer = answer_of(role(&outcome.before.resources, resource, &action.node));
            done.expected = Some(NOT_RUNNING);
        }
        "cancel" => {
            let name = action.kind.as_deref().unwrap_or("monitor");
            let is_it = |old: &Operation| old.name == name && old.every_ms == action.every_ms;
            for history in of_resource(node, resource) {
                history.operations.retain(|old| !is_it(old));
            }
            return;
        }
        "clear_failcount" => return clear_failures(node, resource),
        "delete" | "lrm_delete" => {
            return node.history.retain(|history| !is_called(&history.resource, resource));
        }
        _ => return,
    }
    note(node, known, resource, done, forgets);
}

/// Where something is that is found already where it was to go.
fn sent_from(outcome: &Outcome, resource: &str, target: &str) -> Option<String> {
    let on = &outcome.before.resources.get(resource)?.on;
    on.iter().map(|(node, _, _)| node).find(|node| *node != target).cloned()
}

fn role(
    resources: &std::collections::BTreeMap<String, heart_scheduler::engine::outcome::ResourceView>,
    resource: &str,
    node: &str,
) -> Role {
    let on = resources.get(resource).into_iter().flat_map(|view| &view.on);
    on.filter(|(at, _, _)| at == node).map(|(_, role, _)| *role).max().unwrap_or_default()
}

fn answer_of(role: Role) -> i32 {
    match role {
        Role::Stopped => NOT_RUNNING,
        Role::Started | Role::Unpromoted => OK,
        Role::Promoted => PROMOTED,
    }
}

/// Notes what was done. What recurs ends when the role changes.
fn note(node: &mut NodeState, known: &Known<'_>, resource: &str, mut done: Operation, forgets: bool) {
    let calls = node.history.iter().flat_map(|history| &history.operations).map(|old| old.call);
    done.call = calls.max().unwrap_or(0).max(0) + 1;
    let place = node.history.iter().position(|history| history.resource == resource);
    // Instances that are all alike may be told of with a number.
    let alike = || node.history.iter().position(|history| without_instance(&history.resource) == resource);
    let place = place.or_else(alike);
    let place = place.unwrap_or_else(|| {
        let agent = known.agent(resource).unwrap_or_default();
        let resource = resource.to_owned();
        node.history.push(ResourceHistory { resource, agent, ..ResourceHistory::default() });
        node.history.len() - 1
    });
    let history = &mut node.history[place];
    if let Some(agent) = known.agent(resource) {
        history.agent = agent;
    }
    history.locked_at = None;
    history.operations.retain(|old| {
        let same = old.name == done.name && old.every_ms == done.every_ms;
        let ends = forgets && old.every_ms > 0;
        // Of what does not recur only the last one is kept, and what failed.
        let replaced = done.every_ms == 0 && old.every_ms == 0 && !is_failure(old);
        !(same || ends || replaced || old.status == OperationStatus::Pending)
    });
    for old in &mut history.operations {
        if done.name == "reload-agent" {
            old.digests = heart_model::policy::Digests::default();
        }
    }
    history.operations.push(done);
}

fn is_failure(operation: &Operation) -> bool {
    operation.status != OperationStatus::Done
        || operation.expected.is_some_and(|answer| answer != operation.answer)
}

fn of_resource<'n>(node: &'n mut NodeState, resource: &str) -> impl Iterator<Item = &'n mut ResourceHistory> {
    node.history.iter_mut().filter(move |history| is_called(&history.resource, resource))
}

/// Whether a history is that of what an action names. Instances that are all alike may be told of with a number.
fn is_called(history: &str, resource: &str) -> bool {
    history == resource || without_instance(history) == resource
}

fn clear_failures(node: &mut NodeState, resource: &str) {
    let base = without_instance(resource);
    let counts = |name: &str| {
        let tail = name.strip_prefix("fail-count-").or_else(|| name.strip_prefix("last-failure-"));
        tail.is_some_and(|tail| without_instance(tail.split('#').next().unwrap_or(tail)) == base)
    };
    for said in &mut node.attributes {
        said.values.retain(|name, _| !counts(name));
    }
    for history in node.history.iter_mut().filter(|history| without_instance(&history.resource) == base) {
        history.operations.retain(|old| !is_failure(old) || old.status == OperationStatus::Pending);
    }
    node.history.retain(|history| !history.operations.is_empty());
}

/// A name without the number of an instance.
pub(crate) fn without_instance(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

fn say(node: &mut NodeState, name: &str, value: &str) {
    if node.attributes.is_empty() {
        node.attributes.push(heart_model::policy::AttributeSet::default());
    }
    for said in node.attributes.iter_mut().take(1) {
        said.values.insert(name.to_owned(), value.to_owned());
    }
}

/// A node that was fenced knows nothing any more.
fn switched_off(node: &mut NodeState) {
    node.history.clear();
    left(node);
    node.fenced = node.remote;
}

fn left(node: &mut NodeState) {
    node.attributes.clear();
    if node.remote {
        return;
    }
    (node.member, node.process, node.join) = (Some(0), Some(0), Some(JoinState::Down));
    node.expected_up = Some(false);
}

/// What is known of a node; made if nothing is.
pub(crate) fn entry<'s>(situation: &'s mut Situation, name: &str) -> &'s mut NodeState {
    let written = situation.cluster.nodes.iter().find(|node| node.name == name);
    let id = written.map_or_else(|| name.to_owned(), |node| node.id.clone());
    let nodes = &mut situation.state.nodes;
    let place = nodes.iter().position(|node| node.id == id);
    let place = place.unwrap_or_else(|| {
        let name = Some(name.to_owned());
        nodes.push(NodeState { id, name, remote: written.is_none(), ..NodeState::default() });
        nodes.len() - 1
    });
    &mut nodes[place]
}
