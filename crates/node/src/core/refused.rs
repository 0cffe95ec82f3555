//! What the network brought that was not taken, as people and programs read it.
//!
//! All of it is counted since the node booted. Told is only what came lately, and so much of it that
//! somebody should look: single datagrams go astray everywhere.

use heart_model::{Duration, Moment, NodeName};

use super::RefusedView;
use crate::{
    board::{Board, Refusals},
    frame::Rejected,
};

/// How far apart the samples are that tell what came lately.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// From how many on, in one or two minutes, forgeries and frames of another version are told.
const WRONG_MIN: u64 = 20;
/// The same for repeated frames.
const REPEATED_MIN: u64 = 100;
/// The same for what is not of the cluster at all.
const FOREIGN_MIN: u64 = 1000;

/// What was counted one and two samples ago.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    older: Refusals,
    newer: Refusals,
    sampled_at: Moment,
}

impl Recent {
    /// Takes a sample if it is time.
    pub(super) fn sample(&mut self, now: Moment, board: &Board) {
        if now.longest_since(self.sampled_at) >= SAMPLE_EVERY {
            *self = Recent { older: self.newer, newer: board.refusals(), sampled_at: now };
        }
    }

    /// What somebody should look at; `heard` says of a slot whether its node is heard.
    pub(super) fn problems(
        &self,
        board: &Board,
        names: &[NodeName],
        heard: impl Fn(usize) -> bool,
    ) -> Vec<String> {
        let all = board.refusals();
        let lately =
            |kind: Rejected| all.counts[kind.place()].saturating_sub(self.older.counts[kind.place()]);
        let mut said = Vec::new();
        for (slot, name) in names.iter().enumerate() {
            let count = all.forged[slot].saturating_sub(self.older.forged[slot]);
            if count >= WRONG_MIN && heard(slot) {
                said.push(format!(
                    "somebody sends frames in the name of {name} or changes them on the way: {count} did not \
                     open and were refused"
                ));
            } else if count >= WRONG_MIN {
                said.push(format!(
                    "{count} frames in the name of {name} did not open: compare its key file with that of this \
                     node; if they are the same, somebody else sends them"
                ));
            }
        }
        let count = lately(Rejected::Unknown);
        if count >= WRONG_MIN {
            said.push(format!("{count} frames of another version of Heart were refused: update all nodes"));
        }
        let count = lately(Rejected::Replayed);
        if count >= REPEATED_MIN {
            said.push(format!("somebody on the network repeats frames: {count} were refused"));
        }
        let kinds =
            [Rejected::NotAFrame, Rejected::TooLong, Rejected::OtherCluster, Rejected::Stranger].map(lately);
        let count = kinds.iter().sum::<u64>() + all.filtered.saturating_sub(self.older.filtered);
        if count >= FOREIGN_MIN {
            said.push(format!(
                "somebody floods the port of the heartbeats: {count} datagrams were dropped; nothing else \
                 comes of it, but keep strangers off that network, and if a node was added, give the new \
                 configuration file to all others too"
            ));
        }
        said
    }
}

impl RefusedView {
    /// What a node counted.
    pub(super) fn of(refusals: &Refusals, names: &[NodeName]) -> RefusedView {
        let count = |kind: Rejected| refusals.counts[kind.place()];
        let forged = names.iter().zip(refusals.forged).filter(|(_, count)| *count > 0);
        RefusedView {
            by_kernel: refusals.filtered,
            not_a_frame: count(Rejected::NotAFrame),
            too_long: count(Rejected::TooLong),
            other_cluster: count(Rejected::OtherCluster),
            unknown: count(Rejected::Unknown),
            stranger: count(Rejected::Stranger),
            own: count(Rejected::Own),
            replayed: count(Rejected::Replayed),
            copies: count(Rejected::Copy),
            forged: count(Rejected::Forged(0)),
            forged_as: forged.map(|(name, count)| (name.to_string(), count)).collect(),
            old_boot: count(Rejected::OldBoot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::Instant;

    #[test]
    fn what_is_told_says_what_to_look_at_and_ends_when_it_ends() {
        let names = ["ada", "bob"].map(|name| NodeName::new(name).expect("a name"));
        let at = |seconds: u64| Moment::both(Instant(seconds * 1_000_000_000));
        let told = |rejected: Rejected, count: u64, heard: bool| {
            let (board, mut recent) = (Board::default(), Recent::default());
            recent.sample(at(100), &board);
            (0..count).for_each(|_| board.refuse(rejected));
            recent.sample(at(130), &board);
            let said = recent.problems(&board, &names, |_| heard);
            recent.sample(at(160), &board);
            recent.sample(at(220), &board);
            assert_eq!(recent.problems(&board, &names, |_| heard), Vec::<String>::new(), "it is long ago");
            said.join("; ")
        };
        for (rejected, count, heard, words) in [
            (Rejected::Forged(1), 20, false, "in the name of bob did not open: compare its key file"),
            (Rejected::Forged(0), 20, true, "sends frames in the name of ada or changes them"),
            (Rejected::Forged(1), 19, false, ""),
            (Rejected::Replayed, 100, true, "repeats frames: 100 were refused"),
            (Rejected::Copy, 100_000, true, ""),
            (Rejected::Own, 100_000, true, ""),
            (Rejected::Unknown, 20, true, "another version"),
            (Rejected::NotAFrame, 1000, true, "floods the port of the heartbeats: 1000"),
            (Rejected::NotAFrame, 999, true, ""),
        ] {
            let said = told(rejected, count, heard);
            assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{rejected:?}: {said}");
        }
    }
}
