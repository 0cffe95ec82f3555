//! Where each unit shall run.
//!
//! A unit that is somewhere stays there if it may. Only then are the others placed, so that they
//! see how much each node has to do already: first where they are preferred, else where least
//! runs, else by name.

use alloc::{vec, vec::Vec};
use heart_model::{NodeName, Reason, Refusal};

use crate::{
    candidates::{Candidates, is_worn_out},
    facts::{Asked, Facts, Holding, Node, Unit},
};

/// Where a unit shall run.
pub(crate) struct Place<'f> {
    /// On which node; nothing if it can run nowhere.
    pub(crate) target: Option<&'f NodeName>,
    /// How many of its members, from the first on: all, unless one has worn out and there is
    /// nowhere else to go.
    pub(crate) keep: usize,
    /// Why, cause first.
    pub(crate) reasons: Vec<Reason>,
}

/// Places every unit.
pub(crate) fn place<'f>(facts: &Facts<'f>, candidates: &[Candidates]) -> Vec<Place<'f>> {
    let mut loads: Vec<u32> = vec![0; facts.nodes.len()];
    let mut places: Vec<Option<Place<'f>>> = Vec::new();
    for (unit, candidates) in facts.units.iter().zip(candidates) {
        let place = stay(facts, unit, candidates);
        if let Some(node) = place.as_ref().and_then(|place| facts.number(place.target?)) {
            loads[node] += weight(unit);
        }
        places.push(place);
    }
    let units = facts.units.iter().zip(candidates);
    units
        .zip(places)
        .map(|((unit, candidates), place)| {
            place.unwrap_or_else(|| {
                let place = go(facts, unit, candidates, &loads);
                if let Some(node) = place.target.and_then(|name| facts.number(name)) {
                    loads[node] += weight(unit);
                }
                place
            })
        })
        .collect()
}

fn weight(unit: &Unit<'_>) -> u32 {
    u32::try_from(unit.members.len()).unwrap_or(u32::MAX)
}

/// Where a unit is: where most of its members act; of two such nodes, where the first of them
/// does. If none acts, where it would go on: its last holder, as long as that session lasts.
fn home<'f>(facts: &Facts<'f>, unit: &Unit<'f>) -> Option<&'f NodeName> {
    let live = |member: &crate::facts::Member<'f>| match member.holding {
        Holding::Live { node, .. } => Some(node),
        Holding::Free | Holding::Lost { .. } | Holding::Unheard { .. } => None,
    };
    let holders: Vec<&NodeName> = unit.members.iter().filter_map(live).collect();
    let most = holders.iter().map(|node| holders.iter().filter(|other| other == &node).count()).max();
    let most_live =
        holders.iter().find(|node| Some(holders.iter().filter(|other| other == node).count()) == most);
    most_live.copied().or_else(|| {
        unit.members.iter().find_map(|member| {
            let (node, session) = member.status?.last.as_ref()?;
            let number = facts.number(node)?;
            (facts.nodes[number].session == Some(*session)).then_some(node)
        })
    })
}

/// The node that holds something of the unit and was not heard yet.
fn unheard<'f>(unit: &Unit<'f>) -> Option<&'f NodeName> {
    unit.members.iter().find_map(|member| match member.holding {
        Holding::Unheard { node } => Some(node),
        Holding::Free | Holding::Live { .. } | Holding::Lost { .. } => None,
    })
}

/// The place of a unit that has one already: it stays, or goes where a person asked for.
fn stay<'f>(facts: &Facts<'f>, unit: &Unit<'f>, candidates: &Candidates) -> Option<Place<'f>> {
    let all = unit.members.len();
    if let Some(node) = unheard(unit) {
        let reasons = vec![Reason::NotOn { node: node.clone(), refusal: Refusal::Absent }];
        return Some(Place { target: Some(node), keep: all, reasons });
    }
    let home = home(facts, unit)?;
    let number = facts.number(home)?;
    let may_stay = match candidates.refusal(number) {
        None => true,
        // It acts there; that the node is joining says no more than that nothing new goes there.
        Some(Refusal::Joining) => true,
        Some(_) => false,
    };
    if !may_stay {
        return None;
    }
    let mut reasons = Vec::new();
    if let Some(asked) = unit.asked.as_ref().filter(|asked| asked.from == home) {
        reasons.push(Reason::Asked { to: asked.to.cloned() });
        match wish(facts, asked, candidates) {
            Wish::To(node) => {
                return Some(Place { target: Some(facts.nodes[node].name), keep: all, reasons });
            }
            Wish::Anywhere => return None,
            Wish::Unfulfilled(refusals) => reasons.extend(refusals),
        }
    }
    reasons.push(Reason::Stays { node: home.clone() });
    Some(Place { target: Some(home), keep: all, reasons })
}

/// What can become of a request to move.
enum Wish {
    To(Node),
    Anywhere,
    /// Nothing, and why.
    Unfulfilled(Vec<Reason>),
}

fn wish(facts: &Facts<'_>, asked: &Asked<'_>, candidates: &Candidates) -> Wish {
    let not_on = |node: Node| {
        let refusal = candidates.refusal(node)?.clone();
        Some(Reason::NotOn { node: facts.nodes[node].name.clone(), refusal })
    };
    let others = || (0..facts.nodes.len()).filter(|&node| facts.nodes[node].name != asked.from);
    match asked.to {
        Some(name) => match facts.number(name) {
            Some(node) => match not_on(node) {
                None => Wish::To(node),
                Some(why_not) => Wish::Unfulfilled(vec![why_not]),
            },
            None => {
                let refusal = Refusal::Absent;
                Wish::Unfulfilled(vec![Reason::NotOn { node: name.clone(), refusal }])
            }
        },
        None if others().any(|node| candidates.refusal(node).is_none()) => Wish::Anywhere,
        None => Wish::Unfulfilled(others().filter_map(not_on).collect()),
    }
}

/// The place of a unit that has to go somewhere.
fn go<'f>(facts: &Facts<'f>, unit: &Unit<'f>, candidates: &Candidates, loads: &[u32]) -> Place<'f> {
    let all = unit.members.len();
    let home = home(facts, unit);
    let mut reasons = causes(facts, unit, candidates, home);
    let mut avoid = None;
    if let Some(asked) = unit.asked.as_ref().filter(|asked| home.is_none_or(|home| home == asked.from)) {
        reasons.push(Reason::Asked { to: asked.to.cloned() });
        match wish(facts, asked, candidates) {
            Wish::To(node) => {
                return Place { target: Some(facts.nodes[node].name), keep: all, reasons };
            }
            Wish::Anywhere => avoid = facts.number(asked.from),
            Wish::Unfulfilled(refusals) => reasons.extend(refusals),
        }
    }
    if let Some(node) = choose(facts, unit, candidates, loads, avoid, &mut reasons) {
        return Place { target: Some(facts.nodes[node].name), keep: all, reasons };
    }
    reasons.push(nowhere(facts, candidates));
    match home.and_then(|home| Some((home, worn_out(facts, unit, candidates, home)?))) {
        Some((home, keep)) => Place { target: Some(home), keep, reasons },
        None => Place { target: None, keep: 0, reasons },
    }
}

/// How many members may stay where they are although one behind them has worn out there: there is
/// no use in stopping them when there is nowhere to go.
fn worn_out(facts: &Facts<'_>, unit: &Unit<'_>, candidates: &Candidates, home: &NodeName) -> Option<usize> {
    let number = facts.number(home)?;
    match candidates.refusal(number)? {
        Refusal::Failed { .. } => {
            unit.members.iter().position(|member| is_worn_out(member, home)).filter(|keep| *keep > 0)
        }
        _ => None,
    }
}

/// Why the unit is not where it was.
fn causes(
    facts: &Facts<'_>,
    unit: &Unit<'_>,
    candidates: &Candidates,
    home: Option<&NodeName>,
) -> Vec<Reason> {
    let lost = unit.members.iter().find_map(|member| match member.holding {
        Holding::Lost { node } => Some(node),
        Holding::Free | Holding::Live { .. } | Holding::Unheard { .. } => None,
    });
    let mut reasons: Vec<Reason> =
        lost.into_iter().map(|node| Reason::NodeLost { node: node.clone() }).collect();
    if let Some(home) = home {
        // A node that is configured no more is on its way out.
        let refusal = facts.number(home).map_or(Some(&Refusal::Leaving), |node| candidates.refusal(node));
        reasons.extend(refusal.map(|refusal| Reason::NotOn { node: home.clone(), refusal: refusal.clone() }));
    }
    reasons
}

/// The best of the nodes that may be.
fn choose(
    facts: &Facts<'_>,
    unit: &Unit<'_>,
    candidates: &Candidates,
    loads: &[u32],
    avoid: Option<Node>,
    reasons: &mut Vec<Reason>,
) -> Option<Node> {
    let name = |node: Node| facts.nodes[node].name.clone();
    for &node in &unit.prefers {
        let refusal = match candidates.refusal(node) {
            Some(refusal) => refusal.clone(),
            None if Some(node) == avoid => Refusal::MovedAway,
            None => {
                reasons.push(Reason::Preferred { node: name(node) });
                return Some(node);
            }
        };
        let passed_over = Reason::NotOn { node: name(node), refusal };
        if !reasons.contains(&passed_over) {
            reasons.push(passed_over);
        }
    }
    let free =
        (0..facts.nodes.len()).filter(|&node| candidates.refusal(node).is_none() && Some(node) != avoid);
    let node = free.min_by_key(|&node| (loads[node], node))?;
    reasons.push(Reason::Spread { node: name(node), load: loads[node] });
    Some(node)
}

fn nowhere(facts: &Facts<'_>, candidates: &Candidates) -> Reason {
    let refusal = |(number, node): (Node, &crate::facts::NodeFacts<'_>)| {
        Some((node.name.clone(), candidates.refusal(number)?.clone()))
    };
    Reason::Nowhere { refusals: facts.nodes.iter().enumerate().filter_map(refusal).collect() }
}
