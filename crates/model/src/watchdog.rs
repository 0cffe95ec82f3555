//! The timer that resets a machine on which Heart does not get on, and how long it waits.
//!
//! A watchdog is fed by the guardian, and only as long as this node may go on: the core gets on, and what others count
//! on having been let go has been let go. None of its times is written by anybody: they follow from how soon the
//! cluster calls a node lost.

use crate::{Duration, Timing};

/// How long a node of which all processes were killed takes at most until a guardian feeds its watchdog again:
/// starting one takes a fraction of a second, on a machine that is busy too.
const ALL_KILLED: Duration = Duration::from_secs(2);
/// How much longer than lost-after a core may take at most to start: it reads its log, and builds the state of the
/// cluster from it.
const CORE_START: Duration = Duration::from_secs(2);
/// How much later than it was told a watchdog may fire: many count in whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// How many times a watchdog is fed in the time that it waits.
pub const FEEDS_PER_DEADLINE: u32 = 4;

impl Timing {
    /// How long a watchdog waits to be fed before it resets the machine: whole seconds, as the kernel counts them, and
    /// at least three.
    ///
    /// It is fed every quarter of that ([`FEEDS_PER_DEADLINE`]). So three quarters are left at any moment for what must
    /// not reset a machine: a stall that the lease survives, which is shorter than lost-after, and a start anew of all
    /// of Heart's processes.
    #[must_use]
    pub const fn watchdog(&self) -> Duration {
        let needed = self.lost_after.saturating_add(ALL_KILLED);
        whole_seconds(needed.saturating_mul(FEEDS_PER_DEADLINE).checked_div(FEEDS_PER_DEADLINE - 1))
    }

    /// How long a core may show no progress before it is started anew, and after that before the watchdog is left
    /// alone; and how long a node whose lease has ended may take to stop what others take over by the clock.
    ///
    /// A core that is started anew stands still for as long as its start takes, and a machine for as long as a lease
    /// survives: both together, and once more the latter, as they may meet.
    #[must_use]
    pub const fn watchdog_patience(&self) -> Duration {
        self.lost_after.saturating_mul(2).saturating_add(CORE_START)
    }

    /// How long nothing must have been heard of a node that resets itself, counted from the moment at which somebody
    /// was given the right to take it for off, before it is: whole seconds.
    ///
    /// What it was promised ends one lost-after later at the latest, and its lease before. It then has its patience to
    /// stop what it runs. A guardian that was stopped just between looking and feeding may feed once more, as late as
    /// the watchdog lets it; and then that fires, by its own clock a tick later. Clocks are up to 1 % wrong, each in
    /// its direction.
    #[must_use]
    pub const fn self_fence(&self) -> Duration {
        let lets_go = self.lost_after.saturating_add(self.watchdog_patience());
        let fires = self.watchdog().saturating_mul(2).saturating_add(TICK);
        whole_seconds(lets_go.saturating_add(fires).saturating_mul(103).checked_div(100))
    }
}

/// The next whole second.
const fn whole_seconds(length: Option<Duration>) -> Duration {
    let Some(length) = length else { return Duration::MAX };
    let more = if length.subsec_nanos() > 0 { 1 } else { 0 };
    Duration::from_secs(length.as_secs().saturating_add(more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    fn lost_after(millis: u64) -> Timing {
        Timing { lost_after: Duration::from_millis(millis), ..Timing::of(Profile::Default) }
    }

    #[test]
    fn the_deadline_follows_from_lost_after() {
        for (millis, watchdog, patience, self_fence) in [
            (20, 3, 2_040, 10),
            (600, 4, 3_200, 14),
            (10_000, 16, 22_000, 67),
            (300_000, 403, 602_000, 1_761),
        ] {
            let timing = lost_after(millis);
            assert_eq!(timing.watchdog(), Duration::from_secs(watchdog), "{millis} ms");
            assert_eq!(timing.watchdog_patience(), Duration::from_millis(patience), "{millis} ms");
            assert_eq!(timing.self_fence(), Duration::from_secs(self_fence), "{millis} ms");
        }
    }

    #[test]
    fn a_stall_that_the_lease_survives_and_a_start_of_everything_leave_a_machine_alone() {
        for millis in [10, 20, 333, 600, 1_001, 60_000, 300_000] {
            let timing = lost_after(millis);
            let left = timing.watchdog() - timing.watchdog() / FEEDS_PER_DEADLINE;
            assert!(left >= timing.lost_after + ALL_KILLED, "{millis} ms");
            assert!(timing.watchdog_patience() > timing.lost_after + CORE_START, "{millis} ms");
        }
    }
}
