//! The question that the policy engine is asked: the configuration in its words, and what is known now.
//!
//! Everything that is a matter of ownership was decided before: who may be given anything, what has worn out
//! where, what a person asked for. It becomes locations and options here, and what acts becomes a history,
//! so that what is left to the engine is what it is good at: what suits whom best, all things considered.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use heart_model::{
    Refusal,
    policy::{
        AttributeSet, Cluster, Constraint, Discovery, Location, Operation, OperationStatus, ResourceHistory,
        Role, Score, State, TicketState, Where,
    },
};

use crate::{
    candidates::{Candidates, worn_out},
    engine,
    facts::{Facts, Holding, Kind, Node, Unit},
    gathering::waits_for_preferred,
    lower,
};

/// What a person's request is worth: more than what any word of the file but *never* and *with* is.
const ASKED: i64 = 500_000;

/// What it is worth that a node may be promoted at all.
const PROMOTABLE: i64 = 1;

/// For what is active: the order in which it came about.
const STARTED: i32 = 1;
const PROMOTED: i32 = 2;

/// The node of each unit, as the engine has it. What has to wait goes nowhere.
pub(crate) fn ask(facts: &Facts<'_>, candidates: &[Candidates<'_>]) -> Vec<Option<Node>> {
    let mut cluster = lower::lower(facts.spec, facts.now);
    let mut state = State { now: facts.now, ..lower::at_rest(&cluster) };
    let held = |name: &&heart_model::Name| {
        (name.as_str().into(), TicketState { granted: true, ..TicketState::default() })
    };
    state.tickets = facts.tickets.iter().map(held).collect();
    let mut pinned: Vec<Node> = Vec::new();
    for (unit, candidates) in facts.units.iter().zip(candidates).filter(|(unit, _)| !unit.members.is_empty())
    {
        let mut told = Told { facts, unit, candidates, cluster: &mut cluster, state: &mut state };
        if let Some(node) = unit.unheard().and_then(|node| facts.number(node)) {
            told.pin(node);
            pinned.push(node);
            continue;
        }
        if waits_for_preferred(facts, unit, candidates).is_some() {
            told.option("target-role", "Stopped");
        }
        told.turn();
        told.refusals();
        told.activity();
        told.request();
    }
    nodes(facts, candidates, &pinned, &mut state);
    let places = engine::places(&cluster, &state);
    facts.units.iter().map(|unit| place(facts, unit, &places)).collect()
}

/// Where a unit goes by the answer of the engine.
fn place(facts: &Facts<'_>, unit: &Unit<'_>, places: &BTreeMap<String, Vec<(String, Role)>>) -> Option<Node> {
    let first = unit.members.first()?;
    let id = first.name.copy().map_or(first.name.as_str(), |(of, _)| of);
    let on = places.get(id)?;
    let number = |name: &str| facts.nodes.iter().position(|node| node.name.as_str() == name);
    let mut all = on.iter().filter_map(|(name, role)| Some((number(name)?, *role)));
    match unit.kind {
        Kind::Whole => all.next().map(|(node, _)| node),
        Kind::Copy(own) => all.any(|(node, _)| node == own).then_some(own),
        Kind::Promotion => all.find(|(_, role)| *role == Role::Promoted).map(|(node, _)| node),
    }
}

/// Which nodes may be given anything. One that is not heard yet counts as there for what it may hold.
fn nodes(facts: &Facts<'_>, candidates: &[Candidates<'_>], pinned: &[Node], state: &mut State) {
    let refused = |node: Node| candidates.first().is_some_and(|one| one.refusal_of_node(node).is_some());
    for (number, _) in facts.nodes.iter().enumerate().filter(|(number, _)| refused(*number)) {
        let node = &mut state.nodes[number];
        let values = BTreeMap::from([("standby".into(), "on".into())]);
        node.attributes.push(AttributeSet { values, ..AttributeSet::default() });
        let holds = !node.history.is_empty() || pinned.contains(&number);
        if !holds {
            (node.member, node.process, node.join) = (Some(0), Some(0), None);
            node.expected_up = Some(false);
        }
    }
}

/// What the engine is told of one unit.
struct Told<'t, 'f> {
    facts: &'t Facts<'f>,
    unit: &'t Unit<'f>,
    candidates: &'t Candidates<'t>,
    cluster: &'t mut Cluster,
    state: &'t mut State,
}

impl Told<'_, '_> {
    /// What the engine calls it.
    fn id(&self) -> String {
        match self.unit.kind {
            Kind::Whole => self.unit.name.into(),
            Kind::Copy(_) | Kind::Promotion => lower::all_copies(self.unit.name),
        }
    }

    fn option(&mut self, name: &str, value: &str) {
        let id = self.id();
        if let (Kind::Whole, Some(resource)) = (self.unit.kind, self.cluster.resource_mut(&id)) {
            lower::tell(resource, name, value);
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

    /// It may be active on a node that was not heard yet: there it is left alone.
    fn pin(&mut self, node: Node) {
        self.option("is-managed", "false");
        for place in 0..self.unit.members.len() {
            self.was_started(place, node);
        }
    }

    /// When it is placed: what has a choice comes last, so that it sees what the others leave.
    fn turn(&mut self) {
        let stays = self.unit.home(self.facts).and_then(|home| self.facts.number(home));
        let stays = stays.is_some_and(|home| self.candidates.refusal(home).is_none());
        let wants = !self.unit.prefers.is_empty() || self.unit.asked.is_some();
        match (stays, wants) {
            (true, _) => self.option("priority", "2"),
            (false, true) => self.option("priority", "1"),
            (false, false) => {}
        }
    }

    /// Where it may not go.
    fn refusals(&mut self) {
        if self.unit.kind == Kind::Promotion {
            for node in 0..self.facts.nodes.len() {
                let score = match self.candidates.own_refusal(node) {
                    Some(_) => Score::NEVER,
                    None => Score::new(PROMOTABLE),
                };
                self.location(node, score);
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
            if mine && !said && kept != Some(node) {
                self.location(node, Score::NEVER);
            }
        }
    }

    /// Where it is active, or would go on.
    fn activity(&mut self) {
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
            (false, Kind::Whole | Kind::Copy(_) | Kind::Promotion) => self.location(home, Score::INFINITY),
        }
        self.follow_no_one(home);
    }

    /// What stays does not go because something that only follows it cannot stay.
    fn follow_no_one(&mut self, home: Node) {
        if self.candidates.refusal(home).is_some() {
            return;
        }
        let id = self.id();
        let members: Vec<&str> = self.unit.members.iter().map(|member| member.name.as_str()).collect();
        for constraint in &mut self.cluster.constraints {
            if let Constraint::Colocation(pair) = constraint
                && (pair.primary == id || members.contains(&pair.primary.as_str()))
                && pair.score > Score::ZERO
            {
                pair.influence = Some(false);
            }
        }
    }

    /// What a person asked for.
    fn request(&mut self) {
        let Some(asked) = &self.unit.asked else { return };
        let home = self.unit.home(self.facts);
        let from = self.facts.number(asked.from);
        let may = |node: &Node| self.candidates.refusal(*node).is_none();
        let to = match asked.to {
            Some(to) if home.is_none_or(|home| home == asked.from) => self.facts.number(to).filter(may),
            Some(_) => None,
            None => None,
        };
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
                    Some(heart_model::policy::Body::Primitive(agent)) => agent.clone(),
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
