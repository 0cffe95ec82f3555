//! A plan carried out in thought: every action succeeds, and what would be known afterwards is the next state.
//!
//! [`Outcome::after`] says how everything looks then. Here it is written down as nodes would tell of it, so that
//! it can be planned again from there. [`places`] is the short answer to the same question: it reads from the
//! plan alone where everything ends up, at a small part of what it costs to look ahead.

use alloc::{
    borrow::ToOwned as _,
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec,
    vec::Vec,
};

use heart_model::policy::{
    AgentName, AttributeSet, Cluster, Digests, JoinState, NodeState, Operation, OperationStatus,
    ResourceHistory, Role, State,
};

use super::{
    arena::Kind,
    facts::{self, without_instance},
    failures, inject,
    outcome::{Action, Outcome, ResourceView},
};

/// What agents answer when all is well, and when it does not run, and when it is promoted (OCF agent API 1.1,
/// "Exit Status Codes").
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

/// What is known when all of it has succeeded; `now` is what the clocks of the nodes say.
#[must_use]
pub fn carry_out(cluster: &Cluster, state: &State, now: i64, outcome: &Outcome) -> State {
    let written = Written::of(cluster, state);
    let mut rehearsal = Rehearsal { cluster, outcome, written, now, state: state.clone() };
    for place in sequence(outcome) {
        // Behind the actions are points, at which nothing is done.
        if let Some(action) = outcome.actions.get(place) {
            rehearsal.succeed(action);
        }
    }
    rehearsal.state
}

/// Where things are, each with the nodes and the role there: a node more than once if several instances are there.
pub type Places<'o> = BTreeMap<&'o str, Vec<(&'o str, Role)>>;

/// Where each primitive is when all of it has succeeded, read from the plan alone. Bundles and what runs in
/// guests are not followed: what a container takes with it is not in a plan.
#[must_use]
pub fn places(outcome: &Outcome) -> Places<'_> {
    let mut places = Places::new();
    for (name, view) in &outcome.before.resources {
        places.insert(name, view.on.iter().map(|(node, role, _)| (node.as_str(), *role)).collect());
    }
    let fenced = outcome.actions.iter().filter(|action| action.name == "fence" && action.resource.is_none());
    let fenced: Vec<&str> = fenced
        .filter(|action| action.kind.as_deref() != Some("on"))
        .map(|action| action.node.as_str())
        .collect();
    places.values_mut().for_each(|on| on.retain(|(node, _)| !fenced.contains(node)));
    // What ends comes before what begins: so it is with each resource.
    let ends =
        outcome.actions.iter().chain(&outcome.implied).filter(|action| !fenced.contains(&&*action.node));
    for action in ends {
        let Some(on) = action.resource.as_deref().and_then(|resource| places.get_mut(resource)) else {
            continue;
        };
        let Some(there) = on.iter().position(|(node, _)| *node == action.node) else { continue };
        match action.name.as_str() {
            "stop" | "migrate_to" => drop(on.swap_remove(there)),
            "demote" => on[there].1 = Role::Unpromoted,
            _ => {}
        }
    }
    for action in &outcome.actions {
        let on = action.resource.as_deref().and_then(|resource| places.get_mut(resource));
        if let (Some(on), "start" | "migrate_from") = (on, action.name.as_str()) {
            on.push((&action.node, Role::Started));
        }
    }
    for action in outcome.actions.iter().filter(|action| action.name == "promote") {
        let on = action.resource.as_deref().and_then(|resource| places.get_mut(resource));
        let there =
            on.into_iter().flatten().find(|(node, role)| *node == action.node && *role != Role::Promoted);
        if let Some((_, role)) = there {
            *role = Role::Promoted;
        }
    }
    places
}

/// What was written of primitives, and of what containers and guests are made of.
struct Written {
    /// Their agents, by id; and whether somebody wrote it, or it follows from something else.
    primitives: BTreeMap<String, (AgentName, bool)>,
}

impl Written {
    fn of(cluster: &Cluster, state: &State) -> Written {
        let arena = facts::gather(cluster, state);
        let mut primitives = BTreeMap::new();
        for number in arena.resource_numbers() {
            let found = &arena[number];
            if found.kind == Kind::Primitive && !found.removed {
                let (id, agent) = (without_instance(&found.id), found.agent.clone());
                primitives.entry(id.to_owned()).or_insert((agent, found.source.is_some()));
            }
        }
        Written { primitives }
    }

    /// A primitive, by the name that actions have for it.
    fn primitive(&self, name: &str) -> Option<&(AgentName, bool)> {
        self.primitives.get(name).or_else(|| self.primitives.get(without_instance(name)))
    }
}

/// A plan while it is carried out.
struct Rehearsal<'o> {
    cluster: &'o Cluster,
    outcome: &'o Outcome,
    written: Written,
    now: i64,
    state: State,
}

impl Rehearsal<'_> {
    fn succeed(&mut self, action: &Action) {
        let Some(resource) = action.resource.as_deref() else {
            let node = inject::entry(self.cluster, &mut self.state, &action.node);
            match (action.name.as_str(), action.kind.as_deref()) {
                ("fence", Some("on")) => say(node, "#node-unfenced", "1"),
                ("fence" | "fence-guest", _) => switched_off(node),
                ("shutdown", _) => left(node),
                _ => {}
            }
            return;
        };
        let done = self.operation(action, resource);
        let node = inject::entry(self.cluster, &mut self.state, &action.node);
        match action.name.as_str() {
            "cancel" => cancel(node, resource, action),
            "clear_failcount" => {
                failures::forget(node, resource);
                node.history.retain(|history| !history.operations.is_empty());
            }
            "delete" | "lrm_delete" => node.history.retain(|history| !is_meant(&history.resource, resource)),
            _ => {
                if let Some(done) = done {
                    let agent = self.written.primitive(resource).map(|(agent, _)| agent.clone());
                    note(node, agent, resource, done);
                }
            }
        }
    }

    /// What a node would tell of an action; None of what no history tells.
    fn operation(&self, action: &Action, resource: &str) -> Option<Operation> {
        let Outcome { before, after, actions, .. } = self.outcome;
        let mut done = Operation {
            id: format!("{}_{}", action.name, action.every_ms),
            name: action.name.clone(),
            every_ms: action.every_ms,
            expected: Some(OK),
            changed_at: Some(self.now),
            ran_at: Some(self.now),
            ..Operation::default()
        };
        match action.name.as_str() {
            "start" | "reload-agent" | "stop" | "promote" | "demote" => {}
            "migrate_to" | "migrate_from" => {
                let at = |name: &str| {
                    let is_it =
                        |other: &&Action| other.name == name && other.resource.as_deref() == Some(resource);
                    actions.iter().find(is_it).map(|other| other.node.clone())
                };
                // Something may be found already where it was to go.
                let other = || {
                    let on = &before.resources.get(resource)?.on;
                    on.iter().map(|(node, _, _)| node).find(|node| **node != action.node).cloned()
                };
                done.migrate_source = at("migrate_to").or_else(other);
                done.migrate_target = at("migrate_from");
            }
            "monitor" => {
                // Connections of guests and parts of bundles are in no picture; they are watched where they run.
                let is_written = self.written.primitive(resource).is_some_and(|(_, is_written)| *is_written);
                done.answer = match after.resources.get(resource).filter(|_| is_written) {
                    Some(view) => answer(Some(view), &action.node),
                    None => OK,
                };
                done.expected = Some(done.answer);
            }
            "probe" => {
                done.name = "monitor".to_string();
                done.answer = answer(before.resources.get(resource), &action.node);
                done.expected = Some(NOT_RUNNING);
            }
            _ => return None,
        }
        Some(done)
    }
}

/// What an agent answers of a resource on a node.
fn answer(view: Option<&ResourceView>, node: &str) -> i32 {
    let on = view.into_iter().flat_map(|view| &view.on);
    match on.filter(|(at, _, _)| at == node).map(|(_, role, _)| *role).max().unwrap_or_default() {
        Role::Stopped => NOT_RUNNING,
        Role::Started | Role::Unpromoted => OK,
        Role::Promoted => PROMOTED,
    }
}

/// Notes what was done. What recurs ends when the role changes.
fn note(node: &mut NodeState, agent: Option<AgentName>, resource: &str, mut done: Operation) {
    let calls = node.history.iter().flat_map(|history| &history.operations).map(|old| old.call);
    done.call = calls.max().unwrap_or(0).max(0).saturating_add(1);
    let place = node.history.iter().position(|history| history.resource == resource);
    // Instances that are all alike may be told of with a number.
    let alike = || node.history.iter().position(|history| without_instance(&history.resource) == resource);
    let place = place.or_else(alike).unwrap_or_else(|| {
        node.history.push(ResourceHistory { resource: resource.to_owned(), ..ResourceHistory::default() });
        node.history.len() - 1
    });
    let history = &mut node.history[place];
    if let Some(agent) = agent {
        history.agent = agent;
    }
    history.locked_at = None;
    let forgets = matches!(done.name.as_str(), "stop" | "promote" | "demote" | "migrate_to" | "migrate_from");
    history.operations.retain(|old| {
        let same = old.name == done.name && old.every_ms == done.every_ms;
        let ends = forgets && old.every_ms > 0;
        // Of what does not recur only the last one is kept, and what failed.
        let replaced = done.every_ms == 0 && old.every_ms == 0 && !failures::has_failed(old);
        !(same || ends || replaced || old.status == OperationStatus::Pending)
    });
    if done.name == "reload-agent" {
        history.operations.iter_mut().for_each(|old| old.digests = Digests::default());
    }
    history.operations.push(done);
}

/// Whether a history is that of what an action names. Instances that are all alike may be told of with a number.
fn is_meant(history: &str, resource: &str) -> bool {
    history == resource || without_instance(history) == resource
}

/// What recurs is ended, and nobody tells of it any more.
fn cancel(node: &mut NodeState, resource: &str, action: &Action) {
    let name = action.kind.as_deref().unwrap_or("monitor");
    for history in node.history.iter_mut().filter(|history| is_meant(&history.resource, resource)) {
        history.operations.retain(|old| old.name != name || old.every_ms != action.every_ms);
    }
}

fn say(node: &mut NodeState, name: &str, value: &str) {
    if node.attributes.is_empty() {
        node.attributes.push(AttributeSet::default());
    }
    node.attributes[0].values.insert(name.to_owned(), value.to_owned());
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
