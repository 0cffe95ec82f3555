//! Where each unit shall run.
//!
//! A unit that is somewhere stays there if it may. Only then are the others placed, so that they
//! see how much each node has to do already: first where they are preferred, else where least
//! runs, else by name. While a cluster gathers, what never ran waits a while for the node it prefers:
//! placed elsewhere it would stay there.

use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::cmp::Reverse;
use heart_model::{NodeName, NodeState, Reason, Refusal};

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
    /// Why the other members can run nowhere.
    pub(crate) nowhere: Option<Reason>,
}

impl<'f> Place<'f> {
    /// A place for the whole unit.
    fn whole(unit: &Unit<'f>, target: &'f NodeName, reasons: Vec<Reason>) -> Place<'f> {
        Place { target: Some(target), keep: unit.members.len(), reasons, nowhere: None }
    }
}

/// Places every unit.
pub(crate) fn place<'f>(facts: &Facts<'f>, candidates: &[Candidates<'_>]) -> Vec<Place<'f>> {
    let mut loads: Vec<u32> = vec![0; facts.nodes.len()];
    let mut places: Vec<Option<Place<'f>>> = facts.units.iter().map(|_| None).collect();
    // Those that have a choice come last, so that they see what the others leave.
    for turn in [stay, go_where_preferred, go_where_least_runs] {
        for (number, unit) in facts.units.iter().enumerate().filter(|(_, unit)| !unit.members.is_empty()) {
            if places[number].is_some() {
                continue;
            }
            places[number] = turn(facts, unit, &candidates[number], &loads);
            let target = places[number].as_ref().and_then(|place| facts.number(place.target?));
            if let Some(node) = target {
                loads[node] += weight(unit);
            }
        }
    }
    let nowhere = || Place { target: None, keep: 0, reasons: Vec::new(), nowhere: None };
    places.into_iter().map(|place| place.unwrap_or_else(nowhere)).collect()
}

/// The place of a unit that has to go somewhere and is told where, or by its preferences.
fn go_where_preferred<'f>(
    facts: &Facts<'f>,
    unit: &Unit<'f>,
    candidates: &Candidates<'_>,
    loads: &[u32],
) -> Option<Place<'f>> {
    let place = go(facts, unit, candidates, loads);
    let spread = |reason: &Reason| matches!(reason, Reason::Spread { .. });
    (!place.reasons.iter().any(spread)).then_some(place)
}

/// The place of a unit that has to go somewhere.
fn go_where_least_runs<'f>(
    facts: &Facts<'f>,
    unit: &Unit<'f>,
    candidates: &Candidates<'_>,
    loads: &[u32],
) -> Option<Place<'f>> {
    Some(go(facts, unit, candidates, loads))
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
    let mut holders: BTreeMap<&NodeName, (usize, Reverse<usize>)> = BTreeMap::new();
    for (place, node) in unit.members.iter().filter_map(live).enumerate() {
        holders.entry(node).or_insert((0, Reverse(place))).0 += 1;
    }
    let most_live = holders.into_iter().max_by_key(|(_, weight)| *weight).map(|(node, _)| node);
    most_live.or_else(|| {
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
fn stay<'f>(
    facts: &Facts<'f>,
    unit: &Unit<'f>,
    candidates: &Candidates<'_>,
    _loads: &[u32],
) -> Option<Place<'f>> {
    if let Some(node) = unheard(unit) {
        let refusal = facts.number(node).and_then(|number| candidates.refusal(number)).cloned();
        let refusal = refusal.unwrap_or(Refusal::Absent);
        let reasons = vec![Reason::NotOn { node: node.clone(), refusal }];
        return Some(Place::whole(unit, node, reasons));
    }
    let home = home(facts, unit)?;
    let number = facts.number(home)?;
    if candidates.refusal(number).is_some() {
        return None;
    }
    let mut reasons = Vec::new();
    if let Some(asked) = unit.asked.as_ref().filter(|asked| asked.from == home) {
        reasons.push(Reason::Asked { to: asked.to.cloned() });
        match wish(facts, asked, candidates) {
            Wish::To(node) => {
                return Some(Place::whole(unit, facts.nodes[node].name, reasons));
            }
            Wish::Anywhere => return None,
            Wish::Unfulfilled(refusals) => reasons.extend(refusals),
        }
    }
    reasons.push(Reason::Stays { node: home.clone() });
    Some(Place::whole(unit, home, reasons))
}

/// What can become of a request to move.
enum Wish {
    To(Node),
    Anywhere,
    /// Nothing, and why.
    Unfulfilled(Vec<Reason>),
}

fn wish(facts: &Facts<'_>, asked: &Asked<'_>, candidates: &Candidates<'_>) -> Wish {
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
fn go<'f>(facts: &Facts<'f>, unit: &Unit<'f>, candidates: &Candidates<'_>, loads: &[u32]) -> Place<'f> {
    if let Some(wait) = waits_for_preferred(facts, unit, candidates) {
        return Place { target: None, keep: 0, reasons: vec![wait], nowhere: None };
    }
    let home = home(facts, unit);
    let mut reasons = causes(facts, unit, candidates, home);
    // From where somebody wants it gone it does not go, wherever it is now.
    let avoid = unit.asked.as_ref().and_then(|asked| facts.number(asked.from));
    if let Some(asked) = unit.asked.as_ref().filter(|asked| home.is_none_or(|home| home == asked.from)) {
        reasons.push(Reason::Asked { to: asked.to.cloned() });
        match wish(facts, asked, candidates) {
            Wish::To(node) => return Place::whole(unit, facts.nodes[node].name, reasons),
            Wish::Anywhere => {}
            Wish::Unfulfilled(refusals) => reasons.extend(refusals),
        }
    }
    let chosen = choose(facts, unit, candidates, loads, avoid, &mut reasons)
        .or_else(|| choose(facts, unit, candidates, loads, None, &mut reasons));
    if let Some(node) = chosen {
        return Place::whole(unit, facts.nodes[node].name, reasons);
    }
    let nowhere = Some(nowhere(facts, candidates));
    match home.and_then(|home| Some((home, worn_out(facts, unit, candidates, home)?))) {
        Some((home, keep)) => {
            reasons.push(Reason::Stays { node: home.clone() });
            Place { target: Some(home), keep, reasons, nowhere }
        }
        None => Place { target: None, keep: 0, reasons, nowhere },
    }
}

/// What a unit waits for that nobody ran when the cluster began: the best node it prefers, if that
/// may still be on its way. A unit of which a member is held is placed at once.
fn waits_for_preferred(facts: &Facts<'_>, unit: &Unit<'_>, candidates: &Candidates<'_>) -> Option<Reason> {
    let gathering = facts.gathering?;
    let rests = |member: &crate::facts::Member<'_>| {
        matches!(member.holding, Holding::Free) && gathering.resources.contains(member.name)
    };
    if !unit.members.iter().all(rests) {
        return None;
    }
    let best = unit.prefers.iter().copied().find(|&node| {
        let node_facts = &facts.nodes[node];
        let on_its_way = match node_facts.state {
            // Lost, too: of a node that was never heard since the start, the log may know an old life.
            NodeState::Absent | NodeState::Joining | NodeState::Lost => !node_facts.standby,
            NodeState::Online | NodeState::Fenced | NodeState::Leaving => false,
        };
        candidates.refusal(node).is_none() || (on_its_way && candidates.may_come(node))
    })?;
    candidates.refusal(best)?;
    let node = facts.nodes[best].name.clone();
    Some(Reason::WaitsForPreferred { node, left_ms: gathering.left_ms })
}

/// How many members may stay where they are although one behind them has worn out there: there is
/// no use in stopping them when there is nowhere to go.
fn worn_out(
    facts: &Facts<'_>,
    unit: &Unit<'_>,
    candidates: &Candidates<'_>,
    home: &NodeName,
) -> Option<usize> {
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
    candidates: &Candidates<'_>,
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
    candidates: &Candidates<'_>,
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
        let said = Reason::NodeLost { node: name(node) };
        if !reasons.contains(&passed_over) && !reasons.contains(&said) {
            reasons.push(passed_over);
        }
    }
    let free =
        (0..facts.nodes.len()).filter(|&node| candidates.refusal(node).is_none() && Some(node) != avoid);
    let node = free.min_by_key(|&node| (loads[node], node))?;
    reasons.push(Reason::Spread { node: name(node), load: loads[node] });
    Some(node)
}

fn nowhere(facts: &Facts<'_>, candidates: &Candidates<'_>) -> Reason {
    let refusal = |(number, node): (Node, &crate::facts::NodeFacts<'_>)| {
        Some((node.name.clone(), candidates.refusal(number)?.clone()))
    };
    Reason::Nowhere { refusals: facts.nodes.iter().enumerate().filter_map(refusal).collect() }
}
