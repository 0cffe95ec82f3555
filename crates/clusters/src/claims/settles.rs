//! When plan after plan is carried out, soon nothing is left to do.

use heart_scheduler::engine::{Outcome, decide};

use super::{Broken, Claim, broken, of_plan, tangle};
use crate::{Situation, run, show};

/// How many plans it may take until nothing is left to do.
pub const ROUNDS_MAX: usize = 8;

/// What became of a cluster.
pub(super) struct Course {
    /// The claim that does not hold.
    pub(super) broken: Option<Broken>,
    /// What was decided first.
    pub(super) first: Outcome,
    /// What is at the end, and what was decided there last.
    pub(super) settled: Situation,
    pub(super) last: Outcome,
}

/// Plans and carries out until nothing is left to do.
pub(super) fn run(situation: &Situation) -> Course {
    let first = decide(&situation.cluster, &situation.state);
    let last = first.clone();
    let mut course = Course { broken: None, first, settled: situation.clone(), last };
    for round in 1..=ROUNDS_MAX {
        course.broken = of_plan(&course.settled, &course.last).map(|broken| Broken { round, ..broken });
        if course.broken.is_some() || course.last.actions.is_empty() {
            return course;
        }
        course.settled = run::carry_out(&course.settled, &course.last);
        course.last = decide(&course.settled.cluster, &course.settled.state);
    }
    if !course.last.actions.is_empty() && !tangle::may_turn(situation, &course.first) {
        let actions: Vec<String> = course.last.actions.iter().map(show::action).collect();
        let broken = broken(Claim::Settles, format!("still to do: {}", actions.join(", ")));
        course.broken = Some(Broken { round: ROUNDS_MAX, ..broken });
    }
    course
}
