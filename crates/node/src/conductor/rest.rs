//! When the leader has nothing to do, and need not look to know that.
//!
//! A leader is woken many times a second: beats arrive, leases are renewed, raft ticks. What it does is a function of
//! what it looks at. So if it found nothing to do, and sees the same as then, there is nothing to do now.

use heart_model::{Duration, LogIndex, Moment, NodeName, Session};

use super::{Conductor, Score};
use crate::ownership::Sights;

/// After how many lost-afters the leader looks again, whatever it sees.
const RESTS_MAX: u32 = 1;

/// What a leader saw when it found nothing to do.
#[derive(Debug)]
pub(super) struct Rest {
    until: Moment,
    applied: LogIndex,
    sights: Sights,
    session: Session,
    left_out: Vec<NodeName>,
    leaving: bool,
    leaves: Vec<usize>,
    losing_votes: Vec<usize>,
    flags: u64,
    may_judge: bool,
}

impl Rest {
    fn new(until: Moment, score: &Score<'_>) -> Rest {
        Rest {
            until,
            applied: score.applied,
            sights: score.sights.clone(),
            session: score.session,
            left_out: score.left_out.to_vec(),
            leaving: score.leaving,
            leaves: score.leaves.to_vec(),
            losing_votes: score.losing_votes.to_vec(),
            flags: score.flags,
            may_judge: score.may_judge,
        }
    }

    /// Whether the leader sees now what it saw then. The ledger is what was applied, wall clocks come with deadlines, and
    /// the file is the same as long as the core is.
    fn is_as_it_was(&self, score: &Score<'_>) -> bool {
        self.applied == score.applied
            && self.flags == score.flags
            && self.session == score.session
            && (self.leaving, self.may_judge) == (score.leaving, score.may_judge)
            && self.leaves == score.leaves
            && self.losing_votes == score.losing_votes
            && self.left_out == score.left_out
            && self.sights == *score.sights
    }
}

impl Conductor {
    /// Whether nothing has changed since there was nothing to do.
    pub(super) fn rests(&self, now: Moment, score: &Score<'_>) -> bool {
        let due = |at: Moment| now.may_have_reached(at);
        let rest = self.rest.as_ref().filter(|rest| !due(rest.until) && !self.deadline.is_some_and(due));
        rest.is_some_and(|rest| rest.is_as_it_was(score))
    }

    /// There is nothing to do until something changes.
    pub(super) fn take_rest(&mut self, now: Moment, score: &Score<'_>) {
        let lasts: Duration = self.lost_after * RESTS_MAX;
        self.rest = Some(Rest::new(now.after(lasts), score));
    }

    /// Something was said that changes what there is to do.
    pub(super) fn stir(&mut self) {
        self.rest = None;
    }
}
