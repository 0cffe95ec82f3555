//! What happened, as far as it is kept for people.

use heart_model::LogIndex;
use serde::{Deserialize, Serialize};

use super::{Change, Ledger};

/// How many entries of the timeline are kept.
pub const TIMELINE_MAX: usize = 1000;

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

impl Ledger {
    /// Adds to the timeline.
    pub fn note(&mut self, index: LogIndex, at: u64, what: What) {
        self.timeline.push_back(Happened { index, at, what });
        if self.timeline.len() > TIMELINE_MAX {
            self.timeline.pop_front();
        }
    }
}
