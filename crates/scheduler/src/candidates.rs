//! Where each unit may run, and why not elsewhere.
//!
//! Only what forbids is looked at here; what is better or worse is for the placement.

use alloc::{collections::BTreeMap, vec::Vec};
use heart_model::{Activity, NodeName, NodeState, Other, Refusal};

use crate::{
    facts::{Facts, Holding, Kind, Member, Node, NodeFacts, Unit},
    reach,
    sick::Spared,
};

/// Why a unit may not run on some of the nodes.
pub(crate) struct Candidates<'c> {
    /// What holds for every unit, by node.
    of_nodes: &'c [Option<Refusal>],
    /// What holds for this one.
    own: BTreeMap<Node, Refusal>,
}

impl Candidates<'_> {
    /// Why the unit may not run there; nothing if it may.
    pub(crate) fn refusal(&self, node: Node) -> Option<&Refusal> {
        self.of_nodes[node].as_ref().or_else(|| self.own.get(&node))
    }

    /// Why this unit may not run there, even if the node takes part.
    pub(crate) fn own_refusal(&self, node: Node) -> Option<&Refusal> {
        self.own.get(&node)
    }
}

/// Why nothing new may run on each of the nodes.
pub(crate) fn of_nodes(facts: &Facts<'_>) -> Vec<Option<Refusal>> {
    facts.nodes.iter().map(of_node).collect()
}

/// Looks at every unit; those that `spared` names go by what they may, whoever is to be avoided.
pub(crate) fn candidates<'c>(
    facts: &Facts<'_>,
    of_nodes: &'c [Option<Refusal>],
    spared: &Spared,
) -> Vec<Candidates<'c>> {
    let one = |(number, unit)| {
        let mut own = of_unit(facts, unit);
        if !spared.contains(number) {
            avoid(facts, &mut own);
        }
        reach::avoid(facts, unit, spared.reaches(number), &mut own);
        Candidates { of_nodes, own }
    };
    facts.units.iter().enumerate().map(one).collect()
}

/// Nothing goes to a node that is sick or was lost over and over, or stays there.
fn avoid(facts: &Facts<'_>, refused: &mut BTreeMap<Node, Refusal>) {
    for (node, known) in facts.nodes.iter().enumerate() {
        if let Some(why) = known.avoided() {
            refused.entry(node).or_insert(why);
        }
    }
}

/// Why nothing new may run on a node.
fn of_node(node: &NodeFacts<'_>) -> Option<Refusal> {
    match node.state {
        NodeState::Absent => Some(Refusal::Absent),
        NodeState::Joining => Some(Refusal::Joining),
        NodeState::Lost => Some(Refusal::Lost),
        NodeState::Fenced => Some(Refusal::Fenced),
        NodeState::Leaving => Some(Refusal::Leaving),
        NodeState::Online if node.session.is_none() => Some(Refusal::Joining),
        NodeState::Online if node.standby => Some(Refusal::Standby),
        NodeState::Online => None,
    }
}

/// Where the configuration says that it never runs, and where its members failed too often.
fn of_unit(facts: &Facts<'_>, unit: &Unit<'_>) -> BTreeMap<Node, Refusal> {
    let never = unit.wishes.never.iter().filter_map(|other| match other {
        Other::Node(name) => Some((facts.number(name)?, Refusal::Never)),
        Other::Unit(_) => None,
    });
    let mut refused: BTreeMap<Node, Refusal> = never.collect();
    for member in &unit.members {
        for name in member.status.iter().flat_map(|status| status.failures.keys()) {
            if let (true, Some(node)) = (is_worn_out(member, name), facts.number(name)) {
                let (failures, limit) = (member.failures(name), member.limit());
                let refusal = Refusal::Failed { failures, limit, resource: member.name.clone() };
                refused.entry(node).or_insert(refusal);
            }
        }
    }
    hold(facts, unit, &mut refused);
    refused
}

/// What was taken over too often goes nowhere else by itself: not from a node that is lost, nor from one where it
/// failed. What runs can be moved in order.
fn hold(facts: &Facts<'_>, unit: &Unit<'_>, refused: &mut BTreeMap<Node, Refusal>) {
    let status = || unit.members.iter().filter_map(|member| member.status);
    let there = unit.acts_on().and_then(|name| facts.number(name));
    let failed = there.is_some_and(|node| matches!(refused.get(&node), Some(Refusal::Failed { .. })));
    if !status().any(|status| status.held) || (there.is_some() && !failed) {
        return;
    }
    let last = there.or_else(|| status().find_map(|status| facts.number(&status.last.as_ref()?.0)));
    for node in (0..facts.nodes.len()).filter(|node| Some(*node) != last) {
        refused.entry(node).or_insert(Refusal::Held);
    }
}

/// Whether a resource failed on a node as often as it may. While it runs there, or is about to,
/// its earlier failures are history.
pub(crate) fn is_worn_out(member: &Member<'_>, name: &NodeName) -> bool {
    let runs_there = match member.holding {
        Holding::Live { node, activity: Activity::Running | Activity::Starting } => node == name,
        Holding::Live { .. } | Holding::Free | Holding::Lost { .. } | Holding::Unheard { .. } => false,
    };
    member.failures(name) >= member.limit() && !runs_there
}

/// Where it stays although one of its members has worn out there, and how many of those before that one do:
/// there is no use in stopping them when there is nowhere to go.
pub(crate) fn worn_out(
    facts: &Facts<'_>,
    unit: &Unit<'_>,
    candidates: &Candidates<'_>,
) -> Option<(Node, usize)> {
    let home = facts.number(unit.home(facts)?)?;
    let elsewhere = match unit.kind {
        Kind::Whole | Kind::Promotion => {
            (0..facts.nodes.len()).any(|node| candidates.refusal(node).is_none())
        }
        Kind::Copy(_) => false,
    };
    if elsewhere || !matches!(candidates.refusal(home), Some(Refusal::Failed { .. })) {
        return None;
    }
    let name = facts.nodes[home].name;
    let keep = unit.members.iter().position(|member| is_worn_out(member, name)).filter(|keep| *keep > 0)?;
    Some((home, keep))
}
