//! Towards nodes that reach more ping targets, but only if that costs nothing that runs.
//!
//! For each unit there is a *level*: how many targets a node has to reach. It begins with what the best node that
//! takes part reaches, and goes down step by step for what could not run otherwise ([`sick`](crate::sick)). What is
//! not known for certain counts in favour of the node on which something acts, and against all others: it leaves
//! only for a node that has reached more all the while.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use heart_model::{Fewer, NodeName, NodeState, Reason, Refusal};

use crate::facts::{Facts, Node, NodeFacts, Unit};

/// How many targets a node has to reach for each unit.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    /// What there is to ask for, least first; 0 is not among them.
    steps: Vec<u32>,
    /// How many of these are given up for a unit, by number, if any.
    given_up: BTreeMap<usize, usize>,
}

impl Levels {
    /// The steps between the nodes that take part, with nothing given up yet.
    pub(crate) fn of_nodes(facts: &Facts<'_>) -> Levels {
        let known = facts.nodes.iter().filter(|node| takes_part(node)).map(|node| node.reach.least);
        let steps: BTreeSet<u32> = known.filter(|least| *least > 0).collect();
        Levels { steps: steps.into_iter().collect(), given_up: BTreeMap::new() }
    }

    /// The level of a unit.
    pub(crate) fn of(&self, unit: usize) -> u32 {
        let given_up = self.given_up.get(&unit).copied().unwrap_or(0);
        self.steps.iter().rev().nth(given_up).copied().unwrap_or(0)
    }

    /// Asks for one step less; false if nothing is asked for already.
    pub(crate) fn lower(&mut self, unit: usize) -> bool {
        let given_up = self.given_up.entry(unit).or_default();
        let any = *given_up < self.steps.len();
        *given_up += usize::from(any);
        any
    }

    /// Asks for nothing any more.
    pub(crate) fn drop(&mut self, unit: usize) {
        self.given_up.insert(unit, self.steps.len());
    }

    /// Whether a node is not known to reach as many as the best.
    pub(crate) fn is_below(&self, facts: &Facts<'_>, name: &NodeName) -> bool {
        let node = facts.number(name).map(|number| &facts.nodes[number]);
        node.is_some_and(|node| self.steps.last().is_some_and(|best| node.reach.least < *best))
    }
}

fn takes_part(node: &NodeFacts<'_>) -> bool {
    node.state == NodeState::Online && node.session.is_some() && !node.standby && node.avoided().is_none()
}

/// Nothing of this unit goes to a node that may reach fewer than that, or stays where certainly fewer are reached.
pub(crate) fn avoid(facts: &Facts<'_>, unit: &Unit<'_>, level: u32, refused: &mut BTreeMap<Node, Refusal>) {
    let acts_on = unit.acts_on();
    for (number, node) in facts.nodes.iter().enumerate().filter(|_| level > 0) {
        let reaches = if acts_on == Some(node.name) { node.reach.most } else { node.reach.least };
        if reaches < level
            && let Some(fewer) = fewer(facts, node, reaches)
        {
            refused.entry(number).or_insert(Refusal::Fewer { fewer });
        }
    }
}

/// That it is where fewer targets are reached than elsewhere, because nobody else can take it.
pub(crate) fn on_fewer(facts: &Facts<'_>, node: Node) -> Option<Reason> {
    let node = &facts.nodes[node];
    let fewer = fewer(facts, node, node.reach.most)?;
    Some(Reason::OnFewer { node: node.name.clone(), fewer })
}

/// How many a node reaches, beside the one that reaches most of those that take part, if that is more.
fn fewer(facts: &Facts<'_>, node: &NodeFacts<'_>, reaches: u32) -> Option<Fewer> {
    let others = facts.nodes.iter().filter(|other| takes_part(other));
    // Of several the first by name.
    let best = others.rev().max_by_key(|other| other.reach.least)?;
    let of = u32::try_from(facts.spec.pings.len()).unwrap_or(u32::MAX);
    let fewer = Fewer { reaches, of, other: best.name.clone(), others: best.reach.least };
    (reaches < best.reach.least && best.name != node.name).then_some(fewer)
}
