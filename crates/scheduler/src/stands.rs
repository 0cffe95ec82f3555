//! What stands on what, across units: the orders of the file, for the copies that there will be.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use heart_model::{Name, ResourceName};

use crate::{
    facts::{Facts, Kind, Node},
    placement::Place,
};

/// A member of a unit: the number of the unit, and its place in it.
pub(crate) type Spot = (usize, usize);

/// Something that has to run below.
pub(crate) struct Needs {
    /// What the file calls it.
    pub(crate) name: ResourceName,
    /// One of these has to run. If none of them is anywhere, it does not run.
    pub(crate) any_of: Vec<Spot>,
}

/// See the module.
pub(crate) struct Stands {
    /// What each member stands on where it is now, and where it goes.
    stay: Vec<Vec<Vec<Needs>>>,
    start: Vec<Vec<Vec<Needs>>>,
    /// What stands on each member now.
    above: Vec<Vec<Vec<Spot>>>,
    /// Units that stand on one another, those below first.
    parts: Vec<Vec<usize>>,
}

impl Stands {
    /// Finds out what stands on what.
    pub(crate) fn of(facts: &Facts<'_>, places: &[Place<'_>]) -> Stands {
        let of = |at: &dyn Fn(usize) -> Option<Node>| -> Vec<Vec<Vec<Needs>>> {
            let unit = |number: usize| {
                let members = 0..facts.units[number].members.len();
                members.map(|place| needs(facts, places, (number, place), at(number))).collect()
            };
            (0..facts.units.len()).map(unit).collect()
        };
        let now = |number: usize| facts.number(facts.units[number].acts_on()?);
        let then = |number: usize| facts.number(places[number].target?);
        let (stay, start) = (of(&now), of(&then));
        let mut above: Vec<Vec<Vec<Spot>>> =
            facts.units.iter().map(|unit| vec![Vec::new(); unit.members.len()]).collect();
        for (number, members) in stay.iter().enumerate() {
            for (place, needs) in members.iter().enumerate() {
                for below in needs.iter().flat_map(|need| &need.any_of) {
                    above[below.0][below.1].push((number, place));
                }
            }
        }
        let parts = parts(facts.units.len(), [&stay, &start]);
        Stands { stay, start, above, parts }
    }

    /// What a member stands on where it is.
    pub(crate) fn to_stay(&self, (unit, place): Spot) -> &[Needs] {
        &self.stay[unit][place]
    }

    /// What has to run before a member starts where it goes.
    pub(crate) fn to_start(&self, (unit, place): Spot) -> &[Needs] {
        &self.start[unit][place]
    }

    /// What stands on a member now.
    pub(crate) fn above(&self, (unit, place): Spot) -> &[Spot] {
        &self.above[unit][place]
    }

    /// Units that stand on one another, those below first; a unit that stands on nothing and has nothing
    /// on it, alone.
    pub(crate) fn parts(&self) -> &[Vec<usize>] {
        &self.parts
    }
}

/// What a member stands on if its unit is on a node.
fn needs(facts: &Facts<'_>, places: &[Place<'_>], (number, place): Spot, at: Option<Node>) -> Vec<Needs> {
    let unit = &facts.units[number];
    let mut all = Vec::new();
    if unit.kind == Kind::Promotion {
        let copy = |(other, found): (usize, &crate::facts::Unit<'_>)| {
            (found.name == unit.name && Some(found.kind) == at.map(Kind::Copy)).then_some((other, 0))
        };
        let any_of: Vec<Spot> = facts.units.iter().enumerate().filter_map(copy).collect();
        all.extend(unit.members.first().map(|member| Needs { name: member.name.clone(), any_of }));
    }
    // The order of a promotable resource is that of its copies.
    let of_unit: &[Name] = match (place, unit.kind) {
        (0, Kind::Whole | Kind::Copy(_)) => &unit.wishes.after,
        (_, Kind::Whole | Kind::Copy(_) | Kind::Promotion) => &[],
    };
    let of_member: &[Name] = match unit.group {
        Some(_) => &unit.members[place].spec.wishes.after,
        None => &[],
    };
    for name in of_unit.iter().chain(of_member) {
        let Ok(shown) = ResourceName::new(name.as_str()) else { continue };
        all.push(Needs { name: shown, any_of: below(facts, places, name, at) });
    }
    all
}

/// What a name means to something on a node: the copy that is there if there is one, else any.
fn below(facts: &Facts<'_>, places: &[Place<'_>], name: &Name, at: Option<Node>) -> Vec<Spot> {
    let member = |number: usize| {
        let unit = &facts.units[number];
        if unit.name == name.as_str() {
            return unit.members.len().checked_sub(1);
        }
        let of = |one: &ResourceName| {
            one.copy().map_or(one.as_str() == name.as_str(), |(of, _)| of == name.as_str())
        };
        unit.members.iter().position(|one| of(&one.name))
    };
    let all: Vec<Spot> =
        (0..facts.units.len()).filter_map(|number| Some((number, member(number)?))).collect();
    let is = |spot: &&Spot, kind: Kind| facts.units[spot.0].kind == kind;
    if let Some(promoted) = all.iter().find(|spot| is(spot, Kind::Promotion)) {
        return vec![*promoted];
    }
    match at.and_then(|node| all.iter().find(|spot| is(spot, Kind::Copy(node)))) {
        Some(here) if places[here.0].target.is_some() => vec![*here],
        Some(_) | None => all,
    }
}

/// Takes apart what has nothing to do with one another, and sorts the rest.
fn parts(count: usize, needs: [&Vec<Vec<Vec<Needs>>>; 2]) -> Vec<Vec<usize>> {
    let mut below: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    for all in needs {
        for (number, members) in all.iter().enumerate() {
            let units = members.iter().flatten().flat_map(|need| &need.any_of).map(|(unit, _)| *unit);
            below[number].extend(units.filter(|unit| *unit != number));
        }
    }
    let mut around = below.clone();
    for (number, others) in below.iter().enumerate() {
        for other in others {
            around[*other].insert(number);
        }
    }
    let mut seen = vec![false; count];
    let mut parts = Vec::new();
    for first in 0..count {
        let mut part = reach(first, &around, &mut seen);
        part.sort_unstable();
        let mut placed = vec![false; if part.len() > 1 { count } else { 0 }];
        match part.as_slice() {
            [] => {}
            [_] => parts.push(part),
            [..] => {
                let mut sorted = Vec::new();
                part.iter().for_each(|unit| descend(*unit, &below, &mut placed, &mut sorted));
                parts.push(sorted);
            }
        }
    }
    parts
}

/// Everything that is connected with a unit and was not seen yet.
fn reach(first: usize, around: &[BTreeSet<usize>], seen: &mut [bool]) -> Vec<usize> {
    let (mut found, mut open) = (Vec::new(), vec![first]);
    while let Some(unit) = open.pop() {
        if !core::mem::replace(&mut seen[unit], true) {
            found.push(unit);
            open.extend(&around[unit]);
        }
    }
    found
}

/// Sorts what is below a unit before it. A ring, which the configuration refuses, is cut where it closes.
fn descend(unit: usize, below: &[BTreeSet<usize>], placed: &mut [bool], sorted: &mut Vec<usize>) {
    // Each entry is a unit and what of those below it is still to be looked at.
    let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
    let enter = |unit: usize, path: &mut Vec<(usize, Vec<usize>)>, placed: &mut [bool]| {
        if !core::mem::replace(&mut placed[unit], true) {
            path.push((unit, below[unit].iter().rev().copied().collect()));
        }
    };
    enter(unit, &mut path, placed);
    while let Some((here, left)) = path.last_mut() {
        match left.pop() {
            Some(next) => enter(next, &mut path, placed),
            None => {
                sorted.push(*here);
                path.pop();
            }
        }
    }
}
