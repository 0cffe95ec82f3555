//! What is left in peace: it stays where it is, whatever the others do.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use heart_model::{
    Copies, Name,
    policy::{Constraint, Role},
};

use crate::{
    candidates::Candidates,
    facts::{Facts, Kind, Node, Unit},
    lower,
};

/// Whether a unit acts somewhere and may stay there.
pub(super) fn stays(facts: &Facts<'_>, unit: &Unit<'_>, candidates: &Candidates<'_>) -> bool {
    let home = unit.acts_on().and_then(|home| facts.number(home));
    home.is_some_and(|home| candidates.refusal(home).is_none())
}

/// Where a unit is that stays whatever the others do, or goes because a person said where: it may be there, and it
/// has to be with nobody.
pub(super) fn settled(facts: &Facts<'_>, number: usize, candidates: &Candidates<'_>) -> Option<Node> {
    let unit = &facts.units[number];
    let wishes = &unit.wishes;
    let runs = lower::runs_now(facts.spec, wishes, facts.now)
        && wishes.ticket.as_ref().is_none_or(|ticket| facts.tickets.contains(ticket));
    if unit.kind != Kind::Whole || !wishes.with.is_empty() || !runs {
        return None;
    }
    let acts_on = unit.acts_on().and_then(|home| facts.number(home));
    let Some(asked) = &unit.asked else {
        return acts_on.filter(|home| stays(facts, unit, candidates) && !is_beside(facts, unit, *home));
    };
    let home = unit.home(facts);
    let may_leave = home.is_none_or(|home| home == asked.from || Some(home) == asked.to);
    let to = asked.to.filter(|_| may_leave).and_then(|to| facts.number(to))?;
    let may = candidates.refusal(to).is_none();
    (may && !is_kept_from(facts, unit, to) && !lacks_room(facts, unit, to)).then_some(to)
}

/// Whether something acts on a node that a unit is never to be beside.
fn is_beside(facts: &Facts<'_>, unit: &Unit<'_>, node: Node) -> bool {
    let name = facts.nodes[node].name;
    facts.units.iter().any(|other| other.acts_on() == Some(name) && facts.is_never_beside(unit, other))
}

/// Whether something acts on a node from which a unit keeps apart, or that keeps apart from it: what is healthy does
/// not give way.
pub(super) fn is_kept_from(facts: &Facts<'_>, unit: &Unit<'_>, node: Node) -> bool {
    let name = facts.nodes[node].name;
    let is_in_the_way = |other: &Unit<'_>| other.acts_on() == Some(name) && facts.keep_apart(unit, other);
    unit.acts_on() != Some(name) && facts.units.iter().any(is_in_the_way)
}

/// Whether a node has too little room for a unit beside what acts there: what is healthy does not make room.
pub(super) fn lacks_room(facts: &Facts<'_>, unit: &Unit<'_>, node: Node) -> bool {
    let name = facts.nodes[node].name;
    let wants = unit.members.iter().any(|member| !member.spec.needs.is_empty());
    if !wants || unit.acts_on() == Some(name) {
        return false;
    }
    let acts = |other: &&Unit<'_>| other.kind != Kind::Promotion && other.acts_on() == Some(name);
    let mut names = unit.members.iter().flat_map(|member| member.spec.needs.keys());
    names.any(|name: &Name| {
        let taken: u64 = facts.units.iter().filter(acts).map(|other| other.needs(name)).sum();
        taken + unit.needs(name) > facts.nodes[node].capacity.get(name).copied().unwrap_or(0)
    })
}

/// What constraints name and what stays: the engine's ids, each with whether its promoted copy is meant.
pub(super) fn ids_that_stay(facts: &Facts<'_>, candidates: &[Candidates<'_>]) -> BTreeSet<(String, bool)> {
    let mut ids = BTreeSet::new();
    for (unit, candidates) in facts.units.iter().zip(candidates) {
        if unit.asked.is_some() || !stays(facts, unit, candidates) {
            continue;
        }
        match unit.kind {
            Kind::Whole => {
                ids.insert((unit.name.into(), false));
                ids.extend(unit.members.iter().map(|member| (member.name.as_str().into(), false)));
            }
            Kind::Copy(_) => drop(ids.insert((lower::all_copies(unit.name), false))),
            Kind::Promotion => drop(ids.insert((lower::all_copies(unit.name), true))),
        }
    }
    ids
}

/// What stays does not go because what goes with it cannot stay.
pub(super) fn leave_in_peace(constraint: &mut Constraint, ids_that_stay: &BTreeSet<(String, bool)>) {
    let Constraint::Colocation(pair) = constraint else { return };
    let promoted = pair.primary_role == Some(Role::Promoted);
    if ids_that_stay.contains(&(pair.primary.clone(), promoted)) {
        pair.influence = Some(false);
    }
}

/// Copies that are not kept where they are: those on nodes that are to be emptied, and what is more than wanted.
/// Of those that may stay, what is promoted stays before what fits better, and that before what is preferred.
pub(super) fn surplus(facts: &Facts<'_>, candidates: &[Candidates<'_>]) -> BTreeSet<usize> {
    let mut surplus = BTreeSet::new();
    let mut staying: BTreeMap<&str, Vec<(usize, Node)>> = BTreeMap::new();
    for (number, unit) in facts.units.iter().enumerate() {
        let Kind::Copy(node) = unit.kind else { continue };
        if stays(facts, unit, &candidates[number]) {
            staying.entry(unit.name).or_default().push((number, node));
        } else if unit.acts_on().is_some() {
            surplus.insert(number);
        }
    }
    for (name, mut copies) in staying {
        let wanted = copies.first().and_then(|(number, _)| facts.units[*number].wishes.copies);
        let Some(Copies::Of(most)) = wanted else { continue };
        let most = (most as usize).saturating_sub(facts.unheard_copies(name));
        let promoted = facts.promotion_of(name).and_then(|unit| facts.number(unit.acts_on()?));
        copies.sort_by_key(|&(number, node)| {
            let unit = &facts.units[number];
            let ill_fitting = is_beside(facts, unit, node) || unit.is_too_large_for(&facts.nodes[node]);
            let place = unit.prefers.iter().position(|preferred| *preferred == node).unwrap_or(usize::MAX);
            (promoted != Some(node), ill_fitting, place, node)
        });
        surplus.extend(copies.into_iter().skip(most).map(|(number, _)| number));
    }
    // A promotion ends with its copy.
    for (number, unit) in facts.units.iter().enumerate().filter(|(_, unit)| unit.kind == Kind::Promotion) {
        let Some(node) = unit.acts_on().and_then(|node| facts.number(node)) else { continue };
        let mut copies = facts.units.iter().enumerate();
        let copy = copies.find(|(_, copy)| copy.name == unit.name && copy.kind == Kind::Copy(node));
        if copy.is_none_or(|(copy, found)| surplus.contains(&copy) || found.acts_on().is_none()) {
            surplus.insert(number);
        }
    }
    surplus
}
