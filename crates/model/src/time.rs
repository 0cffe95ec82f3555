//! Time, as an argument.
//!
//! A node has two clocks that may disagree: `CLOCK_BOOTTIME` counts on through suspend,
//! `CLOCK_MONOTONIC_RAW` is never slewed. Whoever holds a lease believes the one by which more
//! time has passed, whoever gave a promise the one by which less has (SAFETY rule 3).

pub use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A point on one clock of one boot, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `wait` from this one; saturates.
    #[must_use]
    pub fn after(self, wait: Duration) -> Instant {
        Instant(self.0.saturating_add(nanoseconds(wait)))
    }

    /// The instant `wait` before this one; saturates.
    #[must_use]
    pub fn before(self, wait: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanoseconds(wait)))
    }

    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// One reading of both clocks of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `CLOCK_BOOTTIME`: counts on while the machine sleeps.
    pub boottime: Instant,
    /// `CLOCK_MONOTONIC_RAW`: never slewed.
    pub raw: Instant,
}

impl Moment {
    /// A reading in which both clocks agree; for tests and for the simulator.
    #[must_use]
    pub fn both(at: Instant) -> Moment {
        Moment { boottime: at, raw: at }
    }

    /// The longest time that may have passed since `earlier`: what a lease holder believes.
    #[must_use]
    pub fn longest_since(self, earlier: Moment) -> Duration {
        self.boottime.since(earlier.boottime).max(self.raw.since(earlier.raw))
    }

    /// The shortest time that may have passed since `earlier`: what a voter believes.
    #[must_use]
    pub fn shortest_since(self, earlier: Moment) -> Duration {
        self.boottime.since(earlier.boottime).min(self.raw.since(earlier.raw))
    }

    /// The moment `wait` later on both clocks.
    #[must_use]
    pub fn after(self, wait: Duration) -> Moment {
        Moment { boottime: self.boottime.after(wait), raw: self.raw.after(wait) }
    }

    /// The moment `wait` earlier on both clocks.
    #[must_use]
    pub fn before(self, wait: Duration) -> Moment {
        Moment { boottime: self.boottime.before(wait), raw: self.raw.before(wait) }
    }

    /// Whether either clock has reached `deadline`: a lease that ends there is over.
    #[must_use]
    pub fn may_have_reached(self, deadline: Moment) -> bool {
        self.boottime >= deadline.boottime || self.raw >= deadline.raw
    }

    /// Whether both clocks have reached `deadline`: a promise that ends there is over.
    #[must_use]
    pub fn has_surely_reached(self, deadline: Moment) -> bool {
        self.boottime >= deadline.boottime && self.raw >= deadline.raw
    }

    /// What a holder may still count on until `deadline`: the lesser of the two clocks' views.
    #[must_use]
    pub fn at_least_until(self, deadline: Moment) -> Duration {
        deadline.boottime.since(self.boottime).min(deadline.raw.since(self.raw))
    }

    /// What a voter still has to wait until `deadline`: the greater of the two clocks' views.
    #[must_use]
    pub fn at_most_until(self, deadline: Moment) -> Duration {
        deadline.boottime.since(self.boottime).max(deadline.raw.since(self.raw))
    }

    /// How long to wait before `deadline` is looked at again: until one clock has reached it, as a holder counts; and
    /// from then on until both have, as a voter counts.
    #[must_use]
    pub fn wait_until(self, deadline: Moment) -> Duration {
        let first = self.at_least_until(deadline);
        if first.is_zero() { self.at_most_until(deadline) } else { first }
    }

    /// The later of two moments, clock by clock.
    #[must_use]
    pub fn later(self, other: Moment) -> Moment {
        Moment { boottime: self.boottime.max(other.boottime), raw: self.raw.max(other.raw) }
    }
}

fn nanoseconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(wait.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_woken_when_the_first_clock_is_there_and_again_when_both_are() {
        let at = |boottime, raw| Moment { boottime: Instant(boottime), raw: Instant(raw) };
        let check = |now: Moment, nanos: u64| {
            assert_eq!(now.wait_until(at(100, 103)), Duration::from_nanos(nanos), "{now:?}");
        };
        check(at(50, 51), 50);
        check(at(50, 60), 43);
        check(at(100, 101), 2);
        check(at(99, 103), 1);
        check(at(100, 103), 0);
        check(at(200, 200), 0);
    }
}
