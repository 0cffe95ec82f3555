//! Away from nodes that are sick, or were lost over and over, but only if that costs nothing that runs.
//!
//! A sick node still runs things, and somebody has to. So sickness is no score that is weighed against others: it
//! is planned twice, once as if nobody were sick and once as if those who are could not be used. What would run by
//! the first plan and not by the second is *spared*: it goes by what it may, sick or not, and is planned anew with
//! the rest. So nothing ever ends, or does not start, because a node is sick; that needs no proof beyond this file.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

use heart_model::{Activity, NodeName, Plan, ResourceName, StepAction};

use crate::facts::{Facts, Holding, Kind, Unit, is_called};

/// Plans until nothing is missing any more; more often than that, and everybody counts as well.
const ROUNDS_MAX: usize = 8;

/// The units to which it does not matter that a node is sick.
pub(crate) enum Spared {
    /// Everything.
    All,
    /// These, by number.
    Some(BTreeSet<usize>),
}

impl Spared {
    /// Whether this unit is among them.
    pub(crate) fn contains(&self, unit: usize) -> bool {
        match self {
            Spared::All => true,
            Spared::Some(units) => units.contains(&unit),
        }
    }
}

/// The plan that avoids sick nodes as far as everything still runs that would without that. What is `bound` stays
/// where it acts.
pub(crate) fn plan<'f>(facts: &Facts<'f>, bound: bool, make: impl Fn(&Spared) -> Plan) -> Plan {
    let heedless = make(&Spared::All);
    let is_sick =
        |name: &NodeName| facts.number(name).is_some_and(|number| facts.nodes[number].avoided().is_some());
    if !heedless.placement.values().flatten().any(is_sick) {
        return heedless;
    }
    let wanted = Served::by(facts, &heedless);
    let acts_on_sick = |(_, unit): &(usize, &Unit<'_>)| unit.acts_on().is_some_and(is_sick);
    let staying = facts.units.iter().enumerate().filter(acts_on_sick).filter(|_| bound);
    let mut spared: BTreeSet<usize> = staying.map(|(number, _)| number).collect();
    for _ in 0..ROUNDS_MAX {
        let plan = make(&Spared::Some(spared.clone()));
        let missing = wanted.missing_from(facts, &Served::by(facts, &plan));
        if missing.is_empty() {
            return plan;
        }
        let before = spared.len();
        spared.extend(&missing);
        if spared.len() > before {
            continue;
        }
        // It was spared, and what it needs was not.
        missing.into_iter().for_each(|unit| spare_needed(facts, unit, &mut spared));
        if spared.len() == before {
            break;
        }
    }
    heedless
}

/// Spares all that a unit can only run with, directly or not.
fn spare_needed(facts: &Facts<'_>, unit: usize, spared: &mut BTreeSet<usize>) {
    let one = &facts.units[unit];
    let is_needed = |other: &Unit<'_>| {
        other.name == one.name || one.wishes.with.iter().any(|name| is_called(other, name.as_str()))
    };
    for (number, _) in facts.units.iter().enumerate().filter(|(_, other)| is_needed(other)) {
        if spared.insert(number) {
            spare_needed(facts, number, spared);
        }
    }
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
                starts.contains(&member.name) || (goes_on && !stops.contains(&member.name))
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
