//! What the core and the guardian show each other for the sake of the watchdog.
//!
//! The guardian outlives cores and is outlived by its successors, so what it has to remember for the next one stands
//! here as well.

use ::core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use heart_model::{Duration, Moment};

use super::{Board, Stamp};

/// See [`Board`].
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What the guardian found: [`ARMED`], [`GUEST`].
    machine: AtomicU64,
    /// What the core has: see [`Held`].
    held: AtomicU64,
    /// Lost-after in nanoseconds, as far as it was agreed on; 0 if nothing was.
    lost_after: AtomicU64,
    excused_until: Stamp,
    given_time_at: Stamp,
}

/// A watchdog is armed, and fed by the guardian.
const ARMED: u64 = 1;
/// The machine is a guest of a hypervisor, which can pause it.
const GUEST: u64 = 2;

/// What a node runs, or may run as far as its core knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Nothing.
    #[default]
    Nothing,
    /// Something.
    Something,
    /// Something that others start by the clock, because this node resets itself.
    TakenByTheClock,
}

impl Board {
    /// What this node runs or may run, in this life of the core or the one before.
    #[must_use]
    pub fn held(&self) -> Held {
        match self.watched.held.load(SeqCst) {
            0 => Held::Nothing,
            1 => Held::Something,
            // Whatever stands there that nobody writes is no reason to feed.
            _ => Held::TakenByTheClock,
        }
    }

    /// Says what this node runs or may run. Written by the core, before anybody else is told to start anything.
    pub fn set_held(&self, held: Held) {
        self.watched.held.store(held as u64, SeqCst);
    }

    /// Lost-after as the cluster has agreed on it, if it has.
    #[must_use]
    pub fn agreed_lost_after(&self) -> Option<Duration> {
        Some(self.watched.lost_after.load(SeqCst)).filter(|&nanos| nanos != 0).map(Duration::from_nanos)
    }

    /// Says what the cluster has agreed on. Written by the core.
    pub fn set_agreed_lost_after(&self, lost_after: Option<Duration>) {
        let nanos = lost_after.map_or(0, |length| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        self.watched.lost_after.store(nanos, SeqCst);
    }

    /// Whether a watchdog is armed that resets this machine.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.machine.load(SeqCst) & ARMED != 0
    }

    /// Whether this machine is a guest of a hypervisor, which can pause it together with its watchdog.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.watched.machine.load(SeqCst) & GUEST != 0
    }

    /// Says what is known of this machine. Written by the guardian.
    pub fn set_machine(&self, is_watched: bool, is_guest: bool) {
        let bits = (u64::from(is_watched) * ARMED) | (u64::from(is_guest) * GUEST);
        self.watched.machine.store(bits, SeqCst);
    }

    /// Until when it was last known to be in order that this node runs what it runs.
    pub(crate) fn excused_until(&self) -> Moment {
        self.watched.excused_until.load()
    }

    /// Says until when. Written by the guardian.
    pub(crate) fn set_excused_until(&self, until: Moment) {
        self.watched.excused_until.store(until);
    }

    /// When the core was last given time to show progress: this node began, or its core was started anew.
    pub(crate) fn given_time_at(&self) -> Moment {
        self.watched.given_time_at.load()
    }

    /// Says when. Written by the guardian.
    pub(crate) fn set_given_time_at(&self, at: Moment) {
        self.watched.given_time_at.store(at);
    }
}
