//! What was looked for and not found.
//!
//! Where every node was asked for every resource, nearly all that is known are answers that it is not there, and
//! they are the same in every decision about that state. To read one of them takes a dozen looks into memory
//! that nothing else needs. So whoever decides often about the same histories notes once which of them say no
//! more than that: then a decision takes them in without looking at them again.
//!
//! What is noted speaks of histories alone, by their places. Whether a name means something for which an
//! absence has no other consequence is found out in each decision, once for each name.

use alloc::{string::String, sync::Arc, vec::Vec};

use heart_model::policy::{AgentName, NodeState, Operation, OperationStatus, ResourceHistory, State};

use super::{
    arena::{Arena, Kind, ResIx},
    facts::without_instance,
    names::Names,
};

/// What agents answer of something that does not run (OCF agent API 1.1, "Exit Status Codes").
const NOT_RUNNING: i32 = 7;

/// Nothing was noted: every history is read.
pub(crate) static NONE: Absences = Absences { nodes: Vec::new(), names: None };

/// Which histories of a state say no more than that something was looked for and not found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absences {
    /// For each node of the state, in its order, and for each of its histories, in their order.
    nodes: Vec<Arc<[Option<Absence>]>>,
    names: Option<Arc<Words>>,
}

/// Names that absences have in common.
#[derive(Debug, Default)]
struct Words {
    resources: Vec<String>,
    agents: Vec<AgentName>,
}

/// Something was looked for by an agent and not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    resource: u32,
    agent: u32,
}

impl Absences {
    /// Notes them.
    pub(crate) fn of(state: &State) -> Absences {
        let (mut words, mut numbers) = (Words::default(), Names::default());
        let nodes = state.nodes.iter().map(|node| {
            let histories = node.history.iter();
            histories.map(|history| is_absence(history).then(|| words.note(&mut numbers, history))).collect()
        });
        let nodes = nodes.collect();
        Absences { nodes, names: Some(Arc::new(words)) }
    }

    /// The same for a state in which the histories of these nodes are no longer what they were.
    pub(crate) fn without(&self, changed: &[usize]) -> Absences {
        let mut absences = self.clone();
        for place in changed {
            if let Some(node) = absences.nodes.get_mut(*place) {
                *node = Arc::default();
            }
        }
        absences
    }

    /// Which histories of a node are absences, by its place in the state.
    pub(crate) fn on(&self, place: usize, node: &NodeState) -> &[Option<Absence>] {
        let known = self.nodes.get(place).filter(|known| known.len() == node.history.len());
        known.map_or(&[], |known| known)
    }
}

impl Words {
    fn note(&mut self, numbers: &mut Names<u32>, history: &ResourceHistory) -> Absence {
        let resource = numbers.get(&history.resource).copied().unwrap_or_else(|| {
            let number = self.resources.len() as u32;
            self.resources.push(history.resource.clone());
            numbers.insert(history.resource.clone(), number);
            number
        });
        // There are few.
        let agent = self.agents.iter().position(|agent| *agent == history.agent).unwrap_or_else(|| {
            self.agents.push(history.agent.clone());
            self.agents.len() - 1
        });
        Absence { resource, agent: agent as u32 }
    }
}

fn is_absence(history: &ResourceHistory) -> bool {
    let [operation] = history.operations.as_slice() else { return false };
    let Operation { id, name, every_ms, status, answer, .. } = operation;
    let found_nothing = *status == OperationStatus::Done && *answer == NOT_RUNNING;
    // A number belongs to an instance, and which that is depends on what else is told.
    let is_plain = history.container.is_none()
        && history.locked_at.is_none()
        && without_instance(&history.resource) == history.resource;
    found_nothing && *every_ms == 0 && name == "monitor" && !id.ends_with("_last_failure_0") && is_plain
}

/// What the names of absences mean in one decision.
pub(crate) struct Meanings(Vec<Option<Meaning>>);

/// A resource of which it is of no other consequence that it was looked for and not found.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    resource: ResIx,
    agent: u32,
}

impl Meanings {
    /// Looks all of them up, before any history is read.
    pub(crate) fn of(arena: &Arena<'_>) -> Meanings {
        // Where two have the same name, a history speaks of both.
        let Some(words) =
            arena.absences.names.as_ref().filter(|_| arena.by_id.len() == arena.resources.len())
        else {
            return Meanings(Vec::new());
        };
        let meaning = |name: &String| {
            let resource = *arena.by_id.get(name)?;
            let found = &arena[resource];
            let is_plain = found.kind == Kind::Primitive
                && found.source.is_some()
                && found.connection_to.is_none()
                && found.failure_timeout_s <= 0
                && arena.clone_of(resource).is_none();
            let agent = words.agents.iter().position(|agent| *agent == found.agent);
            Some(Meaning { resource, agent: agent? as u32 }).filter(|_| is_plain)
        };
        Meanings(words.resources.iter().map(meaning).collect())
    }

    /// The resource that is absent, if that is all that is to be known.
    pub(crate) fn of_one(&self, absence: Absence) -> Option<ResIx> {
        let Meaning { resource, agent } = (*self.0.get(absence.resource as usize)?)?;
        (agent == absence.agent).then_some(resource)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec, vec::Vec};

    use heart_model::policy::NodeState;

    use super::*;

    fn looked_for(resource: &str) -> ResourceHistory {
        let operation = Operation {
            id: "a_last_0".to_string(),
            name: "monitor".to_string(),
            answer: NOT_RUNNING,
            ..Operation::default()
        };
        let resource = resource.to_string();
        ResourceHistory { resource, operations: vec![operation], ..ResourceHistory::default() }
    }

    fn with(change: impl FnOnce(&mut ResourceHistory)) -> ResourceHistory {
        let mut history = looked_for("a");
        change(&mut history);
        history
    }

    #[test]
    fn only_what_says_nothing_else_is_an_absence() {
        for (what, history, expected) in [
            ("not found", looked_for("a"), true),
            ("an instance", looked_for("a:0"), false),
            ("found", with(|history| history.operations[0].answer = 0), false),
            ("no answer", with(|history| history.operations[0].status = OperationStatus::Pending), false),
            ("a failed look", with(|history| history.operations[0].status = OperationStatus::Error), false),
            ("a monitor", with(|history| history.operations[0].every_ms = 10_000), false),
            ("a stop", with(|history| history.operations[0].name = "stop".to_string()), false),
            ("a failure", with(|history| history.operations[0].id = "a_last_failure_0".to_string()), false),
            ("more than one", with(|history| history.operations.push(Operation::default())), false),
            ("nothing", with(|history| history.operations.clear()), false),
            ("in a container", with(|history| history.container = Some("c".to_string())), false),
            ("shut down in order", with(|history| history.locked_at = Some(1)), false),
        ] {
            assert_eq!(is_absence(&history), expected, "{what}");
        }
    }

    #[test]
    fn what_has_changed_is_read_again() {
        let history: Vec<ResourceHistory> = vec![looked_for("a"), looked_for("b"), looked_for("a")];
        let mut node = NodeState { history, ..NodeState::default() };
        let state = State { nodes: vec![node.clone(), node.clone()], ..State::default() };
        let noted = Absences::of(&state);
        let names: Vec<u32> = noted.on(1, &node).iter().flatten().map(|absence| absence.resource).collect();
        assert_eq!(names, [0, 1, 0]);
        assert!(noted.without(&[1]).on(1, &node).is_empty());
        assert!(!noted.without(&[1]).on(0, &node).is_empty());
        node.history.pop();
        assert!(noted.on(1, &node).is_empty(), "it is of another history");
    }
}
