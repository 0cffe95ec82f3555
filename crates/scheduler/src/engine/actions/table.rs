//! All actions of one plan, under numbers.
//!
//! An action is something that is done with a resource or a node, or a point in time: that of a group
//! which begins to start, that of a clone which has stopped. What is said of an action only ever
//! moves one way, from *may be* to *must be* and from *can* to *cannot*, so that whoever hands such things
//! on along relations comes to an end.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString as _},
    vec::Vec,
};
use core::ops;

use heart_model::policy::Verb;

use super::relation::Properties;
use crate::engine::arena::{NodeIx, ResIx};

/// An action, by its place in the [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ActionIx(pub(super) u32);

/// A recurring operation, by its place in the [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OperationIx(u32);

/// Before or after what a notification tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    Before,
    After,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    /// A step of a primitive; of what has members, the point at which it begins.
    Do(Verb),
    /// The point at which a step of all members is complete.
    Done(Verb),
    /// A live migration begins where it runs.
    MigrateTo,
    /// A live migration is completed where it goes.
    MigrateFrom,
    /// The agent is told of new parameters.
    Reload,
    /// It is looked whether it runs.
    Probe,
    /// A recurring operation begins.
    Recur(OperationIx),
    /// A recurring operation ends.
    Cancel(OperationIx),
    /// What is remembered of it is deleted.
    DeleteHistory,
    /// What is remembered of it is forgotten by the leader, wherever its node is.
    Forget,
    /// Its failures are forgotten.
    ClearFailures,
    /// The point at which instances are told of a step.
    Tell(When, Verb),
    /// The point at which all of them have been told.
    Told(When, Verb),
    /// An instance is told of a step.
    Notify(When, Verb),
    /// A node is fenced.
    Fence,
    /// A node is let in again by its fence devices.
    Unfence,
    /// A node is shut down.
    Shutdown,
    /// The point at which a node has as much to give as was counted with.
    Freed,
    /// The point at which enough of several things have been done.
    Enough(u32),
}

pub(super) const START: Doing = Doing::Do(Verb::Start);
pub(super) const STOP: Doing = Doing::Do(Verb::Stop);
pub(super) const PROMOTE: Doing = Doing::Do(Verb::Promote);
pub(super) const DEMOTE: Doing = Doing::Do(Verb::Demote);
pub(super) const RUNNING: Doing = Doing::Done(Verb::Start);
pub(super) const STOPPED: Doing = Doing::Done(Verb::Stop);
pub(super) const PROMOTED: Doing = Doing::Done(Verb::Promote);
pub(super) const DEMOTED: Doing = Doing::Done(Verb::Demote);

/// What comes before an action.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) first: ActionIx,
    pub(super) properties: Properties,
    /// It was replaced by a more exact one, or does not apply.
    pub(super) dropped: bool,
}

/// An action.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) resource: Option<ResIx>,
    pub(super) doing: Doing,
    pub(super) node: Option<NodeIx>,
    /// It is a point in time: nothing is carried out.
    pub(super) point: bool,
    /// Fencing does it by itself.
    pub(super) implied: bool,
    /// It has to be done.
    pub(super) required: bool,
    /// It became needless.
    pub(super) cancelled: bool,
    /// It can be done.
    pub(super) runnable: bool,
    /// It can be replaced by a live migration.
    pub(super) migratable: bool,
    /// A point that is part of the plan although nothing requires it.
    pub(super) shown: bool,
    /// It ends what a migration has left behind.
    pub(super) leftover: bool,
    /// The leader does it by itself: no matter how its node stands.
    pub(super) by_leader: bool,
    /// How many of those it counts are needed.
    pub(super) needed: Option<u32>,
    pub(super) before: Vec<Before>,
    pub(super) after: Vec<ActionIx>,
}

impl Action {
    /// Whether it has to be done and nothing has made it needless.
    pub(super) fn is_required(&self) -> bool {
        self.required && !self.cancelled
    }
}

/// Actions of one resource by what is done and where, in this order.
type Steps = Vec<(Doing, Option<NodeIx>, ActionIx)>;

/// All actions.
#[derive(Default)]
pub(super) struct Table {
    actions: Vec<Action>,
    /// By resource.
    of_resources: Vec<Steps>,
    of_nodes: BTreeMap<(Doing, Option<NodeIx>), ActionIx>,
    joined: BTreeSet<(ActionIx, ActionIx, Properties)>,
    operations: Vec<(String, u64)>,
    operation_numbers: BTreeMap<(String, u64), OperationIx>,
    gates: u32,
    /// What each resource is part of.
    parents: Vec<Option<ResIx>>,
    /// When an action of each resource, or of something that is part of it, was last changed.
    changed: Vec<u64>,
    now: u64,
}

impl Table {
    /// An empty table, for resources that are parts of these.
    pub(super) fn new(parents: Vec<Option<ResIx>>) -> Table {
        Table {
            of_resources: alloc::vec![Steps::new(); parents.len()],
            changed: alloc::vec![1; parents.len()],
            now: 1,
            parents,
            ..Table::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.actions.len()
    }

    /// All actions, in the order in which they were made.
    pub(super) fn numbers(&self) -> impl Iterator<Item = ActionIx> + use<> {
        (0..self.actions.len() as u32).map(ActionIx)
    }

    fn steps(&self, resource: ResIx) -> &[(Doing, Option<NodeIx>, ActionIx)] {
        self.of_resources.get(resource.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// The action with exactly this key.
    pub(super) fn get(
        &self,
        resource: Option<ResIx>,
        doing: Doing,
        node: Option<NodeIx>,
    ) -> Option<ActionIx> {
        let Some(resource) = resource else { return self.of_nodes.get(&(doing, node)).copied() };
        let steps = self.steps(resource);
        let place = steps.binary_search_by(|step| (step.0, step.1).cmp(&(doing, node))).ok()?;
        Some(steps[place].2)
    }

    /// What is done in this way with a resource on a node.
    pub(super) fn on(&self, resource: ResIx, doing: Doing, node: NodeIx) -> Option<ActionIx> {
        self.get(Some(resource), doing, Some(node))
    }

    /// What is done in this way with a resource, wherever, in the order of the nodes.
    pub(super) fn each(&self, resource: ResIx, doing: Doing) -> impl Iterator<Item = ActionIx> + use<'_> {
        let steps = self.steps(resource);
        let begin = steps.partition_point(|step| step.0 < doing);
        steps[begin..].iter().take_while(move |step| step.0 == doing).map(|step| step.2)
    }

    /// The same, to be kept while the table changes.
    pub(super) fn of(&self, resource: ResIx, doing: Doing) -> Vec<ActionIx> {
        self.each(resource, doing).collect()
    }

    /// The first thing that is done in this way with a resource.
    pub(super) fn any(&self, resource: ResIx, doing: Doing) -> Option<ActionIx> {
        self.each(resource, doing).next()
    }

    /// Everything that is done with a resource.
    pub(super) fn all_of(&self, resource: ResIx) -> Vec<ActionIx> {
        let mut actions: Vec<ActionIx> = self.steps(resource).iter().map(|step| step.2).collect();
        actions.sort_unstable();
        actions
    }

    /// Makes an action, or finds it.
    pub(super) fn make(&mut self, resource: Option<ResIx>, doing: Doing, node: Option<NodeIx>) -> ActionIx {
        if let Some(known) = self.get(resource, doing, node) {
            return known;
        }
        let number = ActionIx(self.actions.len() as u32);
        self.actions.push(Action {
            resource,
            doing,
            node,
            point: false,
            implied: false,
            required: false,
            cancelled: false,
            runnable: true,
            migratable: false,
            shown: false,
            leftover: false,
            by_leader: false,
            needed: None,
            before: Vec::new(),
            after: Vec::new(),
        });
        match resource {
            Some(resource) => {
                let place = resource.0 as usize;
                if self.of_resources.len() <= place {
                    self.of_resources.resize(place + 1, Steps::new());
                }
                let steps = &mut self.of_resources[place];
                let at = steps.partition_point(|step| (step.0, step.1) < (doing, node));
                steps.insert(at, (doing, node, number));
                self.note_change(resource);
            }
            None => {
                self.of_nodes.insert((doing, node), number);
            }
        }
        number
    }

    /// Something of a resource has changed, and so of all that it is part of.
    fn note_change(&mut self, resource: ResIx) {
        self.now += 1;
        let mut at = Some(resource);
        // Bounded by how deep resources are nested.
        while let Some(number) = at {
            let place = number.0 as usize;
            if let Some(changed) = self.changed.get_mut(place) {
                *changed = self.now;
            }
            at = self.parents.get(place).copied().flatten();
        }
    }

    /// When an action of a resource, or of something that is part of it, was last changed: grows with every
    /// change.
    pub(super) fn changed_at(&self, resource: ResIx) -> u64 {
        self.changed.get(resource.0 as usize).copied().unwrap_or(self.now)
    }

    /// Gives up one thing that an action waits for.
    pub(super) fn drop_before(&mut self, action: ActionIx, place: usize) {
        if let Some(before) = self.actions[action.0 as usize].before.get_mut(place) {
            before.dropped = true;
        }
    }

    /// A point at which as many of several things as are needed have been done.
    pub(super) fn gate(&mut self, needed: u32) -> ActionIx {
        let gate = self.make(None, Doing::Enough(self.gates), None);
        self.gates += 1;
        self[gate].point = true;
        self[gate].needed = Some(needed.max(1));
        gate
    }

    /// Joins two actions; whether that is new.
    pub(super) fn join(&mut self, first: ActionIx, then: ActionIx, properties: Properties) -> bool {
        if first == then || !self.joined.insert((first, then, properties)) {
            return false;
        }
        self.actions[then.0 as usize].before.push(Before { first, properties, dropped: false });
        self.actions[first.0 as usize].after.push(then);
        true
    }

    /// The number of a recurring operation.
    pub(super) fn operation(&mut self, name: &str, every_ms: u64) -> OperationIx {
        let key = (name.to_string(), every_ms);
        if let Some(known) = self.operation_numbers.get(&key) {
            return *known;
        }
        let number = OperationIx(self.operations.len() as u32);
        self.operations.push(key.clone());
        self.operation_numbers.insert(key, number);
        number
    }

    /// The name of a recurring operation, and how often it recurs.
    pub(super) fn operation_name(&self, operation: OperationIx) -> (&str, u64) {
        let (name, every_ms) = &self.operations[operation.0 as usize];
        (name, *every_ms)
    }
}

impl ops::Index<ActionIx> for Table {
    type Output = Action;

    fn index(&self, action: ActionIx) -> &Action {
        &self.actions[action.0 as usize]
    }
}

impl ops::IndexMut<ActionIx> for Table {
    fn index_mut(&mut self, action: ActionIx) -> &mut Action {
        if let Some(resource) = self.actions[action.0 as usize].resource {
            self.note_change(resource);
        }
        &mut self.actions[action.0 as usize]
    }
}
