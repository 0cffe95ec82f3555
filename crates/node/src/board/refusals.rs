//! What was not taken from the network, counted for people.

use ::core::sync::atomic::Ordering::Relaxed;
use heart_model::NODES_MAX;

use super::Board;
use crate::frame::Rejected;

/// Datagrams that were not taken in this boot, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// By [`Rejected::place`].
    pub counts: [u64; Rejected::KINDS],
    /// The forged ones, by the slot of the node that they name.
    pub forged: [u64; NODES_MAX],
    /// Those that the kernel dropped: refused by the filter, or without room to wait.
    pub filtered: u64,
}

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals { counts: [0; Rejected::KINDS], forged: [0; NODES_MAX], filtered: 0 }
    }
}

impl Board {
    /// Counts a datagram that was not taken. Written by the pulse.
    pub fn refuse(&self, rejected: Rejected) {
        self.refusals[rejected.place()].fetch_add(1, Relaxed);
        if let Rejected::Forged(slot) = rejected {
            self.forged[slot].fetch_add(1, Relaxed);
        }
    }

    /// Counts datagrams that the kernel dropped before anybody saw them.
    pub fn add_filtered(&self, more: u64) {
        self.filtered.fetch_add(more, Relaxed);
    }

    /// What was not taken so far.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        Refusals {
            counts: ::core::array::from_fn(|place| self.refusals[place].load(Relaxed)),
            forged: ::core::array::from_fn(|slot| self.forged[slot].load(Relaxed)),
            filtered: self.filtered.load(Relaxed),
        }
    }
}
