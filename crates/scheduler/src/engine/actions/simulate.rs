//! What will be when all of it has succeeded.
//!
//! Every success is written down as a node would tell of it, and then all that is told is read again, as it
//! was read before: what is shown afterwards is what the next decision would begin with.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::policy::{JoinState, NodeState, Operation, OperationStatus, ResourceHistory, Role, State};

use super::{
    draft::Draft,
    emit::{self, Plan},
    table::{ActionIx, Doing},
};
use crate::engine::{
    arena::{NodeIx, NodeKind, ResIx},
    facts,
    outcome::Picture,
    picture, trace,
};

/// Agents answer this when something runs, is stopped, or is promoted (OCF agent API 1.1, "Exit Status Codes").
const RUNNING: i32 = 0;
const NOT_RUNNING: i32 = 7;
const RUNNING_PROMOTED: i32 = 8;

/// As whom simulated successes are signed: the transition and the scheduler that asked for them. Tools of
/// Pacemaker sign theirs like this, so that a description that one of them has written goes on as it began.
const SIMULATED: (i32, &str) = (-1, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");

/// The picture after everything in the plan has succeeded, and what is active where then; None if that is
/// what is active now.
pub(super) fn after(
    draft: &Draft<'_, '_>,
    plan: &Plan,
    before: &Picture,
) -> (Picture, Option<Vec<(String, String)>>) {
    // With what has no answer yet, it must not matter whether anything else is to be done: a part of a cluster
    // is decided without the rest.
    let is_pending = draft.arena.resources.iter().any(|resource| resource.pending_task.is_some());
    if plan.listed.is_empty() && !is_pending {
        return (before.clone(), None);
    }
    let mut told = Told::new(draft);
    for action in &plan.sequence {
        if !draft.table[*action].point {
            succeed(draft, *action, &mut told);
        }
    }
    let mut arena = facts::gather_part(draft.arena.spec, &told.state, draft.arena.given);
    // By then everything has an answer.
    arena.resources.iter_mut().for_each(|resource| {
        resource.pending_task = None;
        resource.pending_at = None;
    });
    (picture::before(&arena), Some(trace::active(&arena)))
}

/// What is told, with what was done.
struct Told {
    state: State,
    /// Where in it each node is.
    places: BTreeMap<NodeIx, usize>,
}

impl Told {
    fn new(draft: &Draft<'_, '_>) -> Told {
        let state = draft.arena.state.clone();
        let mut places = BTreeMap::new();
        for (place, node) in facts::nodes_of(draft.arena, &state).into_iter().enumerate() {
            if let Some(node) = node {
                places.entry(node).or_insert(place);
            }
        }
        Told { state, places }
    }

    /// What is told of a node; made, if nothing is.
    fn entry(&mut self, draft: &Draft<'_, '_>, node: NodeIx) -> &mut NodeState {
        let nodes = &mut self.state.nodes;
        let place = *self.places.entry(node).or_insert_with(|| {
            let found = draft.arena.node(node);
            let remote = matches!(found.kind, NodeKind::Remote { .. } | NodeKind::Guest { .. });
            let (id, name) = (found.id.clone(), Some(found.name.clone()));
            nodes.push(NodeState { id, name, remote, ..NodeState::default() });
            nodes.len() - 1
        });
        &mut nodes[place]
    }
}

fn succeed(draft: &Draft<'_, '_>, action: ActionIx, told: &mut Told) {
    let found = &draft.table[action];
    let Some(node) = found.node else { return };
    let Some(resource) = found.resource else {
        if found.doing == Doing::Fence {
            fenced(told.entry(draft, node));
        }
        return;
    };
    let name = match found.doing {
        Doing::Do(verb) => emit::word(verb),
        Doing::MigrateTo => "migrate_to",
        Doing::MigrateFrom => "migrate_from",
        Doing::Reload => "reload",
        Doing::Probe => "monitor",
        Doing::Recur(operation) => {
            let (name, every_ms) = draft.table.operation_name(operation);
            let answer = answer(draft, resource, node);
            note(draft, told, resource, node, (name, every_ms, answer));
            return;
        }
        // Whoever looks at what is left does not see whether these were done.
        Doing::Done(_)
        | Doing::Cancel(_)
        | Doing::DeleteHistory
        | Doing::Forget
        | Doing::ClearFailures
        | Doing::Tell(..)
        | Doing::Told(..)
        | Doing::Notify(..)
        | Doing::Fence
        | Doing::Unfence
        | Doing::Shutdown
        | Doing::Freed
        | Doing::Enough(_) => return,
    };
    let answer = if found.doing == Doing::Probe { answer_before(draft, resource, node) } else { RUNNING };
    note(draft, told, resource, node, (name, 0, answer));
}

/// What a monitor will find.
fn answer(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx) -> i32 {
    let found = &draft.arena[resource];
    let (at, role) = if found.managed {
        (found.assigned == Some(node), found.next_role)
    } else {
        (found.active_on.contains(&node), found.role)
    };
    answer_of(at, role)
}

/// What a probe finds, if nothing has changed since it was known.
fn answer_before(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx) -> i32 {
    let found = &draft.arena[resource];
    answer_of(found.active_on.contains(&node), found.role)
}

fn answer_of(is_there: bool, role: Role) -> i32 {
    match role {
        Role::Promoted if is_there => RUNNING_PROMOTED,
        Role::Started | Role::Unpromoted if is_there => RUNNING,
        Role::Stopped | Role::Started | Role::Unpromoted | Role::Promoted => NOT_RUNNING,
    }
}

/// Nothing is left on a node that was fenced, and nobody expects it back.
fn fenced(entry: &mut NodeState) {
    entry.member = Some(0);
    entry.process = Some(0);
    entry.join = Some(JoinState::Down);
    entry.expected_up = Some(false);
    entry.attributes.clear();
    entry.history.clear();
}

/// Notes what was done, how often it recurs, and what was answered. Of what does not recur, the last counts.
fn note(
    draft: &Draft<'_, '_>,
    told: &mut Told,
    resource: ResIx,
    node: NodeIx,
    (name, every_ms, answer): (&str, u64, i32),
) {
    let now = told.state.now;
    let history = history(draft, resource, told.entry(draft, node));
    let has_place_of_its_own = every_ms > 0 || matches!(name, "migrate_to" | "migrate_from");
    let id = if has_place_of_its_own {
        format!("{}_{name}_{every_ms}", history.resource)
    } else {
        format!("{}_last_0", history.resource)
    };
    let call = history.operations.iter().map(|operation| operation.call).max().unwrap_or(0).saturating_add(1);
    let migration = if matches!(name, "migrate_to" | "migrate_from") {
        let found = &draft.arena[resource];
        let source = found.migration.map(|(source, _)| source).or(found.active_on.first().copied());
        [source, found.assigned].map(|end| end.map(|end| draft.arena.node(end).name.clone()))
    } else {
        [None, None]
    };
    let [migrate_source, migrate_target] = migration;
    let operation = Operation {
        id,
        name: name.to_string(),
        every_ms,
        status: OperationStatus::Done,
        answer,
        expected: Some(answer),
        call,
        transition: Some((SIMULATED.0, 0, SIMULATED.1.to_string())),
        changed_at: now,
        ran_at: now,
        migrate_source,
        migrate_target,
        ..Operation::default()
    };
    match history.operations.iter_mut().find(|known| known.id == operation.id) {
        Some(known) => *known = operation,
        None => history.operations.push(operation),
    }
}

/// What is told of a resource on a node; made, if nothing is.
fn history<'t>(draft: &Draft<'_, '_>, resource: ResIx, entry: &'t mut NodeState) -> &'t mut ResourceHistory {
    let found = &draft.arena[resource];
    // A name that is there twice names nothing.
    let called = |name: &str| {
        let mut named = (0..entry.history.len()).filter(|place| entry.history[*place].resource == name);
        named.next().filter(|_| named.next().is_none())
    };
    let known_as = found.known_as.unwrap_or(&found.id);
    let place = called(known_as).or_else(|| called(&found.name)).unwrap_or_else(|| {
        let container = found.container.map(|container| draft.arena[container].id.clone());
        let operations: Vec<Operation> = Vec::new();
        let resource: String = found.name.clone();
        let agent = found.agent.clone();
        entry.history.push(ResourceHistory { resource, agent, container, operations, locked_at: None });
        entry.history.len() - 1
    });
    &mut entry.history[place]
}
