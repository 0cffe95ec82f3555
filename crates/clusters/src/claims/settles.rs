//! When plan after plan is carried out, soon nothing is left to do.

use heart_scheduler::engine::{Outcome, decide};

use super::{Broken, Claim, broken, of_plan, tangle};
use crate::{Situation, run, show};

/// How many plans it may take until nothing is left to do.
pub const ROUNDS_MAX: usize = 8;

/// Plans and carries out until nothing is left to do; the claim that does not hold, and what is at the end.
pub(super) fn run(mut situation: Situation) -> (Option<Broken>, Situation) {
    let mut last = Outcome::default();
    for round in 1..=ROUNDS_MAX {
        let outcome = decide(&situation.cluster, &situation.state);
        if let Some(mut broken) = of_plan(&situation, &outcome) {
            broken.round = round;
            return (Some(broken), situation);
        }
        if outcome.actions.is_empty() {
            return (None, situation);
        }
        situation = run::carry_out(&situation, &outcome);
        last = outcome;
    }
    if tangle::may_turn(&situation.cluster) {
        return (None, situation);
    }
    let actions: Vec<String> = last.actions.iter().map(show::action).collect();
    let mut broken = broken(Claim::Settles, format!("still to do: {}", actions.join(", ")));
    broken.round = ROUNDS_MAX;
    (Some(broken), situation)
}
