//! What people asked for that cannot be done any more.
//!
//! A move waits for nothing that may never come: it ends when the node it should go to is lost, in
//! standby, about to leave, or when it failed there as often as it may, and when somebody else has the
//! resource by now. Only a node that is still joining is waited for.

use alloc::vec::Vec;
use heart_model::{Ended, Intent, NodeName, Refusal};

use crate::{
    facts::{Holding, Member, Node},
    refusals::Refusals,
};

/// Every move that is to end, and why.
pub(crate) fn ended(refusals: &Refusals<'_, '_>, intents: &[Intent]) -> Vec<(Intent, Ended)> {
    let why = |intent: &Intent| {
        let Intent::Move { resource, from, to } = intent else { return None };
        let found = refusals.facts.units.iter().enumerate().find_map(|(number, unit)| {
            Some((number, unit.members.iter().find(|member| member.name == *resource)?))
        });
        let because = match found {
            None => Some(Ended::Removed),
            Some((number, member)) => end_of(refusals, number, member, from, to.as_ref()),
        };
        because.map(|because| (intent.clone(), because))
    };
    intents.iter().filter_map(why).collect()
}

/// Why the move of a member is to end.
fn end_of(
    refusals: &Refusals<'_, '_>,
    unit: usize,
    member: &Member<'_>,
    from: &NodeName,
    to: Option<&NodeName>,
) -> Option<Ended> {
    let facts = refusals.facts;
    let holder = match member.holding {
        Holding::Live { node, .. } => Some(node),
        Holding::Free | Holding::Lost { .. } | Holding::Unheard { .. } => None,
    };
    let Some(to) = to else {
        let mut others = (0..facts.nodes.len()).filter(|&node| facts.nodes[node].name != from);
        let moved = holder.is_some_and(|node| node != from);
        let stuck = others.all(|node| refusals.of(unit, node).as_ref().is_some_and(lasts));
        return (stuck && !moved).then_some(Ended::Nowhere);
    };
    if let Some(node) = holder.filter(|&node| node != from && node != to) {
        return Some(Ended::Elsewhere { node: node.clone() });
    }
    // Of a node that is not configured any more nothing is known: it is not there.
    let refused = |number: Node| refusals.of(unit, number);
    let refusal = facts.number(to).map_or(Some(Refusal::Absent), refused).filter(lasts)?;
    Some(Ended::NotOn { node: to.clone(), refusal })
}

/// Whether somebody has to do something before this changes.
fn lasts(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Joining => false,
        Refusal::Absent
        | Refusal::Lost
        | Refusal::Fenced
        | Refusal::Leaving
        | Refusal::Standby
        | Refusal::Sick { .. }
        | Refusal::Fewer { .. }
        | Refusal::Quarantined
        | Refusal::Held
        | Refusal::Failed { .. }
        | Refusal::MovedAway
        | Refusal::Never
        | Refusal::Apart { .. }
        | Refusal::NotWith { .. }
        | Refusal::NoRoom { .. }
        | Refusal::NoCopy
        | Refusal::Outweighed => true,
    }
}
