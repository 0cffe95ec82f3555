//! What happened, as far as it is kept for people.

use heart_model::{FenceOutcome, LogIndex};
use serde::{Deserialize, Serialize};

use super::{Change, Ledger};

/// How many entries of the timeline are kept.
pub const TIMELINE_MAX: usize = 1000;
/// How many of these are kept although younger ones are not: what people and devices said of nodes that are off.
const LASTING_MAX: usize = 300;

/// An entry of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// Where it stands in the log.
    pub index: LogIndex,
    /// The entry; a configuration without its text.
    pub at: u64,
    /// What it changed.
    pub what: What,
}

/// What the timeline keeps of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A configuration came into force.
    Configured {
        /// Its digest.
        digest: u64,
    },
    /// Any other change, whole.
    Changed(Change),
    /// A voter or member came, went or changed its part.
    Members {
        /// What was changed, for people.
        text: String,
    },
}

impl What {
    /// Whether it is about switching nodes off or on, or about going on without them: rare, and asked for long after.
    #[must_use]
    pub fn is_fencing(&self) -> bool {
        let What::Changed(change) = self else { return false };
        matches!(
            change,
            Change::Force(_)
                | Change::Fence { .. }
                | Change::Fenced { .. }
                | Change::ConfirmOff { .. }
                | Change::FenceAgain { .. }
                | Change::OrderOff { .. }
                | Change::WithdrawOff { .. }
                | Change::OrderOn { .. }
                | Change::TurnedOn { .. }
        )
    }

    /// Whether it is kept for longer: what people said and what was proven, not each attempt of a device that is broken.
    fn lasts(&self) -> bool {
        let is_proof = |outcome: &FenceOutcome| !matches!(outcome, FenceOutcome::Failed { .. });
        match self {
            What::Changed(Change::Fenced { outcome, .. }) => is_proof(outcome),
            What::Changed(Change::Fence { .. } | Change::FenceAgain { who: None, .. }) => false,
            what => what.is_fencing(),
        }
    }
}

impl Ledger {
    /// Adds to the timeline. A service that comes and goes all day pushes out what is like it, not who was switched off.
    pub fn note(&mut self, index: LogIndex, at: u64, what: What) {
        self.timeline.push_back(Happened { index, at, what });
        if self.timeline.len() > TIMELINE_MAX {
            let lasting = self.timeline.iter().take(LASTING_MAX + 1).take_while(|known| known.what.lasts());
            let oldest = lasting.count() % (LASTING_MAX + 1);
            self.timeline.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::NodeName;

    /// How many entries about fencing are kept, of so many, with so many others between and after them.
    #[track_caller]
    fn check(fencing: u64, others: u64, kept: core::ops::RangeInclusive<usize>) {
        let mut ledger = Ledger::default();
        let node = NodeName::new("ada").unwrap();
        for index in 0..fencing + others {
            let is_fencing =
                index % (1 + others / fencing.max(1)) == 0 && index / (1 + others / fencing.max(1)) < fencing;
            let change = match is_fencing {
                true => Change::OrderOn { node: node.clone(), who: "eve".into() },
                false => Change::Settle { configuration: index },
            };
            ledger.note(LogIndex(index), index, What::Changed(change));
        }
        let found = ledger.timeline.iter().filter(|known| known.what.is_fencing()).count();
        assert!(kept.contains(&found), "{found} of {fencing} and {others}");
        assert!(
            ledger.timeline.len() <= TIMELINE_MAX
                && ledger.timeline.iter().is_sorted_by_key(|known| known.index)
        );
    }

    #[test]
    fn who_was_switched_off_is_known_for_longer_than_what_comes_and_goes() {
        check(5, 900, 5..=5);
        check(5, 20_000, 5..=5);
        check(200, 20_000, 200..=200);
        check(2_000, 20_000, 300..=400);
        check(5_000, 0, 1_000..=1_000);
    }
}
