//! The same input gives the same plan, and lists whose order says nothing may come in any order.
//!
//! What was done is ordered by the numbers of calls, so a history may be told in any order.

use heart_scheduler::engine::{Outcome, decide};

use super::{Broken, Claim, broken};
use crate::Situation;

pub(super) fn twice(situation: &Situation, first: &Outcome) -> Option<Broken> {
    let differs = decide(&situation.cluster, &situation.state) != *first;
    differs.then(|| broken(Claim::SameTwice, "a second time it decides otherwise".to_owned()))
}

pub(super) fn in_any_order(situation: &Situation, first: Outcome) -> Option<Broken> {
    let outcome = sorted(first);
    let other = backwards(situation);
    let turned = sorted(decide(&other.cluster, &other.state));
    if outcome == turned {
        return None;
    }
    let differs = outcome.actions.iter().find(|action| !turned.actions.contains(action));
    let more = turned.actions.iter().find(|action| !outcome.actions.contains(action));
    let said = differs.or(more).map_or_else(|| "the order, or the picture".to_owned(), crate::show::action);
    Some(broken(Claim::SameInAnyOrder, format!("turned around, it decides otherwise: {said}")))
}

/// What people are told is told in the order in which things were found.
fn sorted(mut outcome: Outcome) -> Outcome {
    outcome.decisions.sort();
    outcome
}

fn backwards(situation: &Situation) -> Situation {
    let mut other = situation.clone();
    for node in &mut other.state.nodes {
        for history in &mut node.history {
            history.operations.reverse();
        }
    }
    other.cluster.fencing_levels.reverse();
    other
}
