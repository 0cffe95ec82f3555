//! One clock for everybody.
//!
//! `CLOCK_MONOTONIC` is the same in every namespace of a lab, so a test, its probes and the
//! holder can compare their readings directly.

use std::{fmt, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A reading of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Reads the clock.
    #[must_use]
    pub fn now() -> Stamp {
        let time = clock_gettime(ClockId::Monotonic);
        Stamp(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
    }

    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Stamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The stamp `wait` after this one.
    #[must_use]
    pub fn after(self, wait: Duration) -> Stamp {
        Stamp(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The stamp `wait` before this one.
    #[must_use]
    pub fn before(self, wait: Duration) -> Stamp {
        Stamp(self.0.saturating_sub(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// What is left until this stamp; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.since(Stamp::now())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{:06}", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1000)
    }
}

/// A duration in milliseconds with one decimal, for people.
#[must_use]
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
