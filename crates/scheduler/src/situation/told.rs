//! What the engine is told of one unit.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use heart_model::{
    Copies, Refusal,
    policy::{
        Body, Cluster, Constraint, Discovery, Location, Operation, OperationStatus, ResourceHistory, Role,
        Score, State, Where,
    },
};

use super::peace::{is_kept_from, lacks_room, stays};
use crate::{
    candidates::{Candidates, worn_out},
    facts::{Facts, Holding, Kind, Node, Unit, is_called},
    lower,
};

/// What a person's request is worth: more than what any word of the file but *never* and *with* is.
const ASKED: i64 = 500_000;

/// How far apart in priority those are who are placed in one turn and those in the next.
const TURN: usize = 1000;

/// What it is worth that it ran there before: more than what the file prefers.
const AGAIN: i64 = 50_000;

/// What it is worth that something runs there already that goes with it.
const FOLLOWED: i64 = 40_000;

/// What it is worth that a node may be promoted at all.
const PROMOTABLE: i64 = 1;

/// For what is active: the order in which it came about.
const STARTED: i32 = 1;
const PROMOTED: i32 = 2;

/// What the engine is told of one unit.
pub(super) struct Told<'t, 'f> {
    pub(super) facts: &'t Facts<'f>,
    pub(super) unit: &'t Unit<'f>,
    pub(super) candidates: &'t Candidates<'t>,
    /// It is a copy, or the promotion of one, that is not kept where it is.
    pub(super) surplus: bool,
    pub(super) cluster: &'t mut Cluster,
    pub(super) state: &'t mut State,
}

impl Told<'_, '_> {
    /// What the engine calls it.
    fn id(&self) -> String {
        match self.unit.kind {
            Kind::Whole => self.unit.name.into(),
            Kind::Copy(_) | Kind::Promotion => lower::all_copies(self.unit.name),
        }
    }

    pub(super) fn option(&mut self, name: &str, value: &str) {
        let id = self.id();
        if let (Kind::Whole, Some(resource)) = (self.unit.kind, self.cluster.resource_mut(&id)) {
            lower::tell(resource, name, value);
        }
    }

    /// Of copies that may run on nodes that are not heard yet, nobody looks for a place.
    fn leave_out_unheard(&mut self) {
        let Some(Copies::Of(most)) = self.unit.wishes.copies else { return };
        let left = (most as usize).saturating_sub(self.facts.unheard_copies(self.unit.name));
        let id = self.id();
        if let Some(copies) = self.cluster.resource_mut(&id) {
            lower::tell(copies, "clone-max", &left.to_string());
        }
    }

    fn location(&mut self, node: Node, score: Score) {
        let id = self.id();
        let name = self.facts.nodes[node].name.as_str();
        self.cluster.constraints.push(Constraint::Location(Location {
            id: format!("{id} on {name} now"),
            resource: id,
            at: Where::Node { node: name.into(), score },
            role: (self.unit.kind == Kind::Promotion).then_some(Role::Promoted),
            discovery: Discovery::Always,
        }));
    }

    /// It is left alone where it is, or may be, or goes for certain.
    pub(super) fn pin(&mut self, node: Node) {
        match self.unit.kind {
            Kind::Whole => self.option("is-managed", "false"),
            Kind::Promotion => return self.location(node, Score::INFINITY),
            Kind::Copy(_) => return self.leave_out_unheard(),
        }
        for place in 0..self.unit.members.len() {
            self.was_started(place, node);
        }
    }

    /// When it is placed: what has a choice comes last, so that it sees what the others leave.
    pub(super) fn turn(&mut self) {
        let stays = stays(self.facts, self.unit, self.candidates);
        let wants = !self.unit.prefers.is_empty() || self.unit.asked.is_some();
        let turn = match (stays, wants) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        // What fits on few nodes comes before what fits on many.
        let full =
            (0..self.facts.nodes.len()).filter(|node| lacks_room(self.facts, self.unit, *node)).count();
        let priority = turn * TURN + full.min(TURN - 1);
        if priority > 0 {
            self.option("priority", &priority.to_string());
        }
    }

    /// Where it may not go.
    pub(super) fn refusals(&mut self) {
        if self.unit.kind == Kind::Promotion {
            for node in 0..self.facts.nodes.len() {
                let refused =
                    self.candidates.own_refusal(node).is_some() || is_kept_from(self.facts, self.unit, node);
                self.location(node, if refused { Score::NEVER } else { Score::new(PROMOTABLE) });
            }
            return;
        }
        let kept = worn_out(self.facts, self.unit, self.candidates).map(|(node, _)| node);
        for node in 0..self.facts.nodes.len() {
            let mine = match self.unit.kind {
                Kind::Copy(own) => own == node,
                Kind::Whole | Kind::Promotion => true,
            };
            // What the configuration says never of, it says itself.
            let said = matches!(self.candidates.own_refusal(node), None | Some(Refusal::Never));
            let taken = lacks_room(self.facts, self.unit, node) || is_kept_from(self.facts, self.unit, node);
            if mine && (taken || !said) && kept != Some(node) {
                self.location(node, Score::NEVER);
            }
        }
    }

    /// Where it is active, or would go on.
    pub(super) fn activity(&mut self) {
        if self.surplus {
            return;
        }
        let Some(home) = self.unit.home(self.facts).and_then(|home| self.facts.number(home)) else { return };
        let acts = self.unit.acts_on().is_some();
        match self.unit.kind {
            Kind::Promotion if acts => self.was_promoted(home),
            Kind::Whole | Kind::Copy(_) if acts => {
                for place in 0..self.unit.members.len() {
                    let name = self.facts.nodes[home].name;
                    let there = matches!(self.unit.members[place].holding, Holding::Live { node, .. } if node == name);
                    if there {
                        self.was_started(place, home);
                    }
                }
            }
            Kind::Whole | Kind::Copy(_) | Kind::Promotion => {}
        }
        // A request outweighs that it is there.
        let asked_away =
            self.unit.asked.as_ref().is_some_and(|asked| *asked.from == *self.facts.nodes[home].name);
        match (asked_away, self.unit.kind) {
            (true, _) => self.option("resource-stickiness", "0"),
            (false, Kind::Copy(_)) if acts => {}
            (false, Kind::Whole | Kind::Promotion) if acts => self.location(home, Score::INFINITY),
            (false, Kind::Whole | Kind::Copy(_) | Kind::Promotion) => {
                self.location(home, Score::new(AGAIN));
            }
        }
    }

    /// What runs already and goes with it would rather stay where it is, too.
    pub(super) fn followers(&mut self) {
        if self.unit.acts_on().is_some() || self.unit.kind != Kind::Whole {
            return;
        }
        let goes_with =
            |other: &&Unit<'_>| other.wishes.with.iter().any(|name| is_called(self.unit, name.as_str()));
        let homes: BTreeSet<Node> = self
            .facts
            .units
            .iter()
            .filter(goes_with)
            .filter_map(|other| self.facts.number(other.acts_on()?))
            .collect();
        homes.into_iter().for_each(|home| self.location(home, Score::new(FOLLOWED)));
    }

    /// What a person asked for.
    pub(super) fn request(&mut self) {
        let Some(asked) = &self.unit.asked else { return };
        let home = self.unit.home(self.facts);
        let from = self.facts.number(asked.from);
        let may = |node: &Node| self.candidates.refusal(*node).is_none();
        let to = asked.to.filter(|_| home.is_none_or(|home| home == asked.from));
        let to = to.and_then(|to| self.facts.number(to)).filter(may);
        let wanted: Vec<Node> = match to {
            Some(to) => Vec::from([to]),
            None => (0..self.facts.nodes.len()).filter(|node| Some(*node) != from && may(node)).collect(),
        };
        let fulfilled = asked.to.is_none() || to.is_some();
        match from.filter(|from| home == Some(self.facts.nodes[*from].name) && may(from)) {
            // It cannot be done, so it stays.
            Some(from) if !fulfilled || wanted.is_empty() => self.location(from, Score::INFINITY),
            Some(_) | None => wanted.into_iter().for_each(|node| self.location(node, Score::new(ASKED))),
        }
    }

    fn was_started(&mut self, place: usize, node: Node) {
        let member = &self.unit.members[place];
        let id = member.name.copy().map_or(member.name.as_str(), |(of, _)| of);
        self.history(id.into(), node, "start", STARTED);
    }

    fn was_promoted(&mut self, node: Node) {
        self.history(self.unit.name.into(), node, "promote", PROMOTED);
    }

    fn history(&mut self, id: String, node: Node, name: &str, call: i32) {
        let operation = Operation {
            id: format!("{id}-{name}"),
            name: name.into(),
            status: OperationStatus::Done,
            call,
            ..Operation::default()
        };
        let histories = &mut self.state.nodes[node].history;
        match histories.iter_mut().find(|history| history.resource == id) {
            Some(history) => history.operations.push(operation),
            None => {
                let agent = self.cluster.resource(&id).map(|found| &found.body);
                let agent = match agent {
                    Some(Body::Primitive(agent)) => agent.clone(),
                    Some(_) | None => return,
                };
                let operations = Vec::from([operation]);
                histories.push(ResourceHistory {
                    resource: id,
                    agent,
                    operations,
                    ..ResourceHistory::default()
                });
            }
        }
    }
}
