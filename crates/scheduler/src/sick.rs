//! Away from nodes that are sick, or were lost over and over, but only if that costs nothing that runs.
//!
//! A sick node still runs things, and somebody has to. So sickness is no score that is weighed against others: it
//! is planned twice, once as if nobody were sick and once as if those who are could not be used. What would run by
//! the first plan and not by the second is *spared*: it goes by what it may, sick or not, and is planned anew with
//! the rest. So nothing ever ends, or does not start, because a node is sick; that needs no proof beyond this file.
//! That a node reaches fewer ping targets than another is treated alike, in steps; see [`reach`](crate::reach).

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

use heart_model::{Activity, NodeName, PINGS_MAX, Plan, ResourceName, StepAction};

use crate::{
    facts::{Facts, Holding, Kind, Unit, is_called},
    reach::Levels,
};

/// Plans until nothing is missing any more; more often than that, and everybody counts as well.
const ROUNDS_MAX: usize = 8 + PINGS_MAX;

/// What does not matter to some units.
pub(crate) enum Spared {
    /// Nothing matters to anything.
    All,
    /// The rest matters.
    Some {
        /// The units, by number, to which it does not matter that a node is sick.
        units: BTreeSet<usize>,
        /// How many ping targets a node has to reach for a unit.
        levels: Levels,
    },
}

impl Spared {
    /// Whether it does not matter to this unit that a node is sick.
    pub(crate) fn contains(&self, unit: usize) -> bool {
        match self {
            Spared::All => true,
            Spared::Some { units, .. } => units.contains(&unit),
        }
    }

    /// How many ping targets a node has to reach for this unit.
    pub(crate) fn reaches(&self, unit: usize) -> u32 {
        match self {
            Spared::All => 0,
            Spared::Some { levels, .. } => levels.of(unit),
        }
    }

    /// Less is asked for on behalf of this unit: first that a node reaches so many targets, then that it is well.
    /// Whether anything is left to give up.
    fn relent(&mut self, unit: usize) -> bool {
        match self {
            Spared::All => false,
            Spared::Some { units, levels } => levels.lower(unit) || units.insert(unit),
        }
    }
}

/// The plan that avoids sick nodes, and those that reach fewer ping targets, as far as everything still runs that
/// would without that. What is `bound` stays where it acts.
pub(crate) fn plan<'f>(facts: &Facts<'f>, bound: bool, make: impl Fn(&Spared) -> Plan) -> Plan {
    let heedless = make(&Spared::All);
    let is_sick =
        |name: &NodeName| facts.number(name).is_some_and(|number| facts.nodes[number].avoided().is_some());
    let levels = Levels::of_nodes(facts);
    let is_avoided = |name: &NodeName| is_sick(name) || levels.is_below(facts, name);
    if !heedless.placement.values().flatten().any(is_avoided) {
        return heedless;
    }
    let wanted = Served::by(facts, &heedless);
    let acts_on_sick = |(_, unit): &(usize, &Unit<'_>)| unit.acts_on().is_some_and(is_sick);
    let staying = facts.units.iter().enumerate().filter(acts_on_sick).filter(|_| bound);
    let mut levels = levels;
    let units: BTreeSet<usize> = staying.map(|(number, _)| number).collect();
    // What stays on a sick node stays there however little that reaches.
    units.iter().for_each(|unit| levels.drop(*unit));
    let mut spared = Spared::Some { units, levels };
    for _ in 0..ROUNDS_MAX {
        let plan = make(&spared);
        let missing = wanted.missing_from(facts, &Served::by(facts, &plan));
        if missing.is_empty() {
            return plan;
        }
        let relented = missing.iter().filter(|unit| spared.relent(**unit)).count();
        if relented > 0 {
            continue;
        }
        // Nothing was asked for on its behalf, and of what it needs something was.
        let needed: BTreeSet<usize> = missing.into_iter().flat_map(|unit| needed(facts, unit)).collect();
        if needed.into_iter().filter(|unit| spared.relent(*unit)).count() == 0 {
            break;
        }
    }
    heedless
}

/// All that a unit can only run with, directly or not.
fn needed(facts: &Facts<'_>, unit: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    let mut next = Vec::from([unit]);
    while let Some(unit) = next.pop() {
        let one = &facts.units[unit];
        let is_needed = |other: &Unit<'_>| {
            other.name == one.name || one.wishes.with.iter().any(|name| is_called(other, name.as_str()))
        };
        let found = facts.units.iter().enumerate().filter(|(_, other)| is_needed(other));
        next.extend(found.map(|(number, _)| number).filter(|number| all.insert(*number)));
    }
    all
}

/// How much of everything runs once a plan is carried out.
struct Served<'f> {
    /// How many members of each unit.
    of_units: Vec<usize>,
    /// The same for what counts as one thing: copies of something are as good as one another.
    of_names: BTreeMap<(&'f str, bool), usize>,
}

impl<'f> Served<'f> {
    fn by(facts: &Facts<'f>, plan: &Plan) -> Served<'f> {
        let with = |action: StepAction| -> BTreeSet<&ResourceName> {
            let steps = plan.steps.iter().filter(|step| step.action == action);
            steps.map(|step| &step.resource).collect()
        };
        let (starts, stops) = (with(StepAction::Start), with(StepAction::Stop));
        let mut served = Served { of_units: vec![0; facts.units.len()], of_names: BTreeMap::new() };
        for (number, unit) in facts.units.iter().enumerate() {
            let runs = unit.members.iter().filter(|member| {
                let goes_on = matches!(member.holding, Holding::Live { activity: Activity::Running, .. });
                // What waits for its lost node to be off starts where it is placed, as soon as that is so.
                let place = plan.placement.get(&member.name).and_then(Option::as_ref);
                let waits =
                    matches!(member.holding, Holding::Lost { node } if place.is_some_and(|at| at != node));
                starts.contains(&member.name) || waits || (goes_on && !stops.contains(&member.name))
            });
            served.of_units[number] = runs.count();
            *served.of_names.entry(key(unit)).or_default() += served.of_units[number];
        }
        served
    }

    /// The units of which less runs by another plan, where nothing else makes up for it.
    fn missing_from(&self, facts: &Facts<'f>, other: &Served<'f>) -> BTreeSet<usize> {
        let is_less = |number: &usize| {
            let key = key(&facts.units[*number]);
            other.of_names.get(&key) < self.of_names.get(&key)
                && other.of_units[*number] < self.of_units[*number]
        };
        (0..facts.units.len()).filter(is_less).collect()
    }
}

/// What counts as one thing: its name, and whether it is the promotion of one of its copies.
fn key<'f>(unit: &Unit<'f>) -> (&'f str, bool) {
    (unit.name, unit.kind == Kind::Promotion)
}
