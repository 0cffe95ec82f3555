//! The question that the policy engine is asked: the configuration in its words, and what is known now.
//!
//! Everything that is a matter of ownership was decided before: who may be given anything, what has worn out
//! where, what a person asked for. It becomes locations and options here, and what acts becomes a history,
//! so that what is left to the engine is what it is good at: what suits whom best, all things considered.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use heart_model::{
    Copies, Name, Other, Refusal,
    policy::{
        AttributeSet, Cluster, Constraint, Discovery, Location, Operation, OperationStatus, ResourceHistory,
        Role, Score, State, TicketState, Where,
    },
};

use crate::{
    candidates::{Candidates, worn_out},
    engine,
    facts::{Facts, Holding, Kind, Node, Unit, is_called},
    gathering::waits_for_preferred,
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

/// The node of each unit, as the engine has it. What has to wait goes nowhere.
pub(crate) fn ask(facts: &Facts<'_>, candidates: &[Candidates<'_>]) -> Vec<Option<Node>> {
    let mut cluster = lower::lower(facts.spec, facts.now);
    let mut state = State { now: facts.now, ..lower::at_rest(&cluster) };
    let held = |name: &&Name| (name.as_str().into(), TicketState { granted: true, ..TicketState::default() });
    state.tickets = facts.tickets.iter().map(held).collect();
    let mut pinned: Vec<Node> = Vec::new();
    let surplus = surplus(facts, candidates);
    let settled: Vec<Option<Node>> =
        (0..facts.units.len()).map(|unit| settled(facts, unit, &candidates[unit])).collect();
    for (number, unit) in facts.units.iter().enumerate().filter(|(_, unit)| !unit.members.is_empty()) {
        let candidates = &candidates[number];
        let surplus = surplus.contains(&number);
        let mut told = Told { facts, unit, candidates, surplus, cluster: &mut cluster, state: &mut state };
        if let Some(node) = unit.unheard().and_then(|node| facts.number(node)) {
            told.pin(node);
            pinned.push(node);
            continue;
        }
        if waits_for_preferred(facts, unit, candidates).is_some() {
            told.option("target-role", "Stopped");
        }
        told.turn();
        if settled[number].is_some() {
            told.option("is-managed", "false");
        }
        told.refusals();
        told.activity();
        told.followers();
        told.request();
    }
    let stays = |id: &str, role: Option<Role>| {
        let mut units = facts.units.iter().zip(candidates);
        units.any(|(unit, candidates)| stays(facts, unit, candidates) && is_meant(unit, id, role))
    };
    cluster.constraints.iter_mut().for_each(|constraint| leave_in_peace(constraint, stays));
    nodes(facts, candidates, &pinned, &mut state);
    let places = engine::places(&cluster, &state);
    let place = |(unit, settled): (_, Option<Node>)| settled.or_else(|| place(facts, unit, &places));
    facts.units.iter().zip(settled).map(place).collect()
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

/// Whether a unit acts somewhere and may stay there.
fn stays(facts: &Facts<'_>, unit: &Unit<'_>, candidates: &Candidates<'_>) -> bool {
    let home = unit.acts_on().and_then(|home| facts.number(home));
    home.is_some_and(|home| candidates.refusal(home).is_none())
}

/// Where a unit is that stays whatever the others do: it may stay, nobody asked for it to move, and what it must
/// not be beside, or has to be with, is as it should be, since there is no such thing.
fn settled(facts: &Facts<'_>, number: usize, candidates: &Candidates<'_>) -> Option<Node> {
    let unit = &facts.units[number];
    let home = unit.acts_on().and_then(|home| facts.number(home))?;
    let wishes = &unit.wishes;
    let free = wishes.with.is_empty() && !is_beside(facts, unit, home);
    let runs = lower::runs_now(facts.spec, wishes, facts.now)
        && wishes.ticket.as_ref().is_none_or(|ticket| facts.tickets.contains(ticket));
    let stays = unit.kind == Kind::Whole && unit.asked.is_none() && stays(facts, unit, candidates);
    (free && runs && stays).then_some(home)
}

/// Whether something acts on a node that a unit is never to be beside of.
fn is_beside(facts: &Facts<'_>, unit: &Unit<'_>, node: Node) -> bool {
    let acts_there = |unit: &Unit<'_>| unit.acts_on() == Some(facts.nodes[node].name);
    unit.wishes.never.iter().any(|other| match other {
        Other::Node(_) => false,
        Other::Unit(name) => facts.named(name.as_str()).any(|(_, one)| acts_there(one)),
    })
}

/// Whether a constraint that names this id in a role means the unit, or a member of it.
fn is_meant(unit: &Unit<'_>, id: &str, role: Option<Role>) -> bool {
    let promoted = role == Some(Role::Promoted);
    match unit.kind {
        Kind::Whole => is_called(unit, id),
        Kind::Copy(_) => !promoted && lower::all_copies(unit.name) == id,
        Kind::Promotion => promoted && lower::all_copies(unit.name) == id,
    }
}

/// What stays does not go because of something that does not: neither because what goes with it cannot stay,
/// nor because something comes that keeps apart from it.
fn leave_in_peace(constraint: &mut Constraint, stays: impl Fn(&str, Option<Role>) -> bool) {
    let Constraint::Colocation(pair) = constraint else { return };
    // To keep apart is the same from both sides, but what comes second has to give way.
    let primary_stays = stays(&pair.primary, pair.primary_role);
    let dependent_stays = stays(&pair.dependent, pair.dependent_role);
    if pair.score < Score::ZERO && dependent_stays && !primary_stays {
        core::mem::swap(&mut pair.primary, &mut pair.dependent);
        core::mem::swap(&mut pair.primary_role, &mut pair.dependent_role);
    }
    if primary_stays || (pair.score < Score::ZERO && dependent_stays) {
        pair.influence = Some(false);
    }
}

/// Copies that are not kept where they are: those on nodes that are to be emptied, and what is more than wanted.
/// Of those that may stay, what is promoted stays before what is preferred, and that before the others.
fn surplus(facts: &Facts<'_>, candidates: &[Candidates<'_>]) -> BTreeSet<usize> {
    let mut surplus = BTreeSet::new();
    let mut staying: BTreeMap<&str, Vec<(usize, Node)>> = BTreeMap::new();
    let mut unheard: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, unit) in facts.units.iter().enumerate() {
        let Kind::Copy(node) = unit.kind else { continue };
        if unit.unheard().is_some() {
            *unheard.entry(unit.name).or_default() += 1;
        } else if stays(facts, unit, &candidates[number]) {
            staying.entry(unit.name).or_default().push((number, node));
        } else if unit.acts_on().is_some() {
            surplus.insert(number);
        }
    }
    for (name, mut copies) in staying {
        let wanted = copies.first().and_then(|(number, _)| facts.units[*number].wishes.copies);
        let Some(Copies::Of(most)) = wanted else { continue };
        let most = (most as usize).saturating_sub(unheard.get(name).copied().unwrap_or(0));
        let promoted = facts.units.iter().find(|unit| unit.name == name && unit.kind == Kind::Promotion);
        let promoted = promoted.and_then(|unit| facts.number(unit.acts_on()?));
        copies.sort_by_key(|&(number, node)| {
            let prefers = &facts.units[number].prefers;
            let place = prefers.iter().position(|preferred| *preferred == node).unwrap_or(usize::MAX);
            (promoted != Some(node), is_beside(facts, &facts.units[number], node), place, node)
        });
        surplus.extend(copies.into_iter().skip(most).map(|(number, _)| number));
    }
    surplus
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
    /// It is a copy that nobody has to keep in mind where it is.
    surplus: bool,
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

    fn one_less(&mut self) {
        let (Some(Copies::Of(_)), id) = (self.unit.wishes.copies, self.id()) else { return };
        let Some(copies) = self.cluster.resource_mut(&id) else { return };
        let most = copies.meta.iter().find_map(|set| set.values.get("clone-max"));
        let most: u32 = most.and_then(|most| most.parse().ok()).unwrap_or(1);
        lower::tell(copies, "clone-max", &most.saturating_sub(1).to_string());
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

    /// It may be active on a node that was not heard yet: there it is left alone. Of copies, it is one less
    /// that is looked for a place for.
    fn pin(&mut self, node: Node) {
        match self.unit.kind {
            Kind::Whole => self.option("is-managed", "false"),
            Kind::Promotion => return self.location(node, Score::INFINITY),
            Kind::Copy(_) => return self.one_less(),
        }
        for place in 0..self.unit.members.len() {
            self.was_started(place, node);
        }
    }

    /// When it is placed: what has a choice comes last, so that it sees what the others leave.
    fn turn(&mut self) {
        let stays = stays(self.facts, self.unit, self.candidates);
        let wants = !self.unit.prefers.is_empty() || self.unit.asked.is_some();
        let turn = match (stays, wants) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        // What fits on few nodes comes before what fits on many.
        let full = (0..self.facts.nodes.len()).filter(|node| self.lacks_room(*node)).count();
        let priority = turn * TURN + full.min(TURN - 1);
        if priority > 0 {
            self.option("priority", &priority.to_string());
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
            let full = self.lacks_room(node);
            if mine && (full || !said) && kept != Some(node) {
                self.location(node, Score::NEVER);
            }
        }
    }

    /// Whether a node has too little room for it beside what stays there: what is healthy does not make room.
    fn lacks_room(&self, node: Node) -> bool {
        let wants = self.unit.members.iter().any(|member| !member.spec.needs.is_empty());
        if !wants || self.unit.acts_on() == Some(self.facts.nodes[node].name) {
            return false;
        }
        let needs = |unit: &Unit<'_>, name: &Name| -> u64 {
            unit.members.iter().filter_map(|member| member.spec.needs.get(name)).sum()
        };
        let stay = |unit: &&Unit<'_>| {
            unit.kind != Kind::Promotion && unit.acts_on() == Some(self.facts.nodes[node].name)
        };
        let capacity = self.facts.nodes[node].capacity;
        let names = self.unit.members.iter().flat_map(|member| member.spec.needs.keys());
        names.into_iter().any(|name| {
            let taken: u64 = self.facts.units.iter().filter(stay).map(|unit| needs(unit, name)).sum();
            taken + needs(self.unit, name) > capacity.get(name).copied().unwrap_or(0)
        })
    }

    /// Where it is active, or would go on.
    fn activity(&mut self) {
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
    fn followers(&mut self) {
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
