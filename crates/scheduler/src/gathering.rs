//! The first moments of a cluster: what never ran waits a while for the node it prefers. Placed elsewhere, it
//! would stay there.

use heart_model::{NodeState, Reason};

use crate::{
    candidates::Candidates,
    facts::{Facts, Holding, Kind, Unit},
};

/// What a unit waits for that nobody ran when the cluster began: the best node it prefers, if that
/// may still be on its way. A unit of which a member is held is placed at once.
pub(crate) fn waits_for_preferred(
    facts: &Facts<'_>,
    unit: &Unit<'_>,
    candidates: &Candidates<'_>,
) -> Option<Reason> {
    let gathering = facts.gathering?;
    let rests = |member: &crate::facts::Member<'_>| {
        matches!(member.holding, Holding::Free) && gathering.resources.contains(&member.name)
    };
    let copy = matches!(unit.kind, Kind::Copy(_));
    if copy || unit.home(facts).is_some() || !unit.members.iter().all(rests) {
        return None;
    }
    let best = unit.prefers.iter().copied().find(|&node| {
        let node_facts = &facts.nodes[node];
        let on_its_way = match node_facts.state {
            // Lost, too: of a node that was never heard since the start, the log may know an old life.
            NodeState::Absent | NodeState::Joining | NodeState::Lost => !node_facts.standby,
            NodeState::Online | NodeState::Fenced | NodeState::Leaving => false,
        };
        let may_come = candidates.own_refusal(node).is_none();
        candidates.refusal(node).is_none() || (on_its_way && may_come)
    })?;
    candidates.refusal(best)?;
    let node = facts.nodes[best].name.clone();
    Some(Reason::WaitsForPreferred { node, left_ms: gathering.left_ms })
}
