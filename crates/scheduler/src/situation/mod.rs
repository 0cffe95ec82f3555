//! The question that the policy engine is asked: the configuration in its words, and what is known now.
//!
//! Everything that is a matter of ownership was decided before: who may be given anything, what has worn out
//! where, what a person asked for. It becomes locations and options here, and what acts becomes a history,
//! so that what is left to the engine is what it is good at: what suits whom best, all things considered.

mod peace;
mod told;

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use heart_model::{
    Name, Refusal,
    policy::{AttributeSet, Role, State, TicketState},
};

use crate::{
    candidates::Candidates,
    engine,
    facts::{Facts, Kind, Node, Unit},
    gathering::waits_for_preferred,
    lower,
};
use peace::{ids_that_stay, leave_in_peace, settled, surplus};
use told::Told;

/// The node of each unit, as the engine has it. What has to wait goes nowhere.
pub(crate) fn ask(
    facts: &Facts<'_>,
    of_nodes: &[Option<Refusal>],
    candidates: &[Candidates<'_>],
) -> Vec<Option<Node>> {
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
        told.turn();
        if let Some(node) = settled[number] {
            told.pin(node);
            continue;
        }
        if waits_for_preferred(facts, unit, candidates).is_some() {
            told.option("target-role", "Stopped");
        }
        told.refusals();
        told.activity();
        told.followers();
        told.request();
    }
    let staying = ids_that_stay(facts, candidates);
    cluster.constraints.iter_mut().for_each(|constraint| leave_in_peace(constraint, &staying));
    nodes(of_nodes, &pinned, &mut state);
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

/// Which nodes may be given anything. One that is not heard yet counts as there for what it may hold.
fn nodes(of_nodes: &[Option<Refusal>], pinned: &[Node], state: &mut State) {
    for (number, _) in of_nodes.iter().enumerate().filter(|(_, refusal)| refusal.is_some()) {
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
