//! How long things take by which a node is switched off over a disk that all share.
//!
//! As those of a [watchdog](Timing::watchdog), none of these times is written by anybody: they follow from how soon
//! the cluster calls a node lost.

use crate::{Duration, Timing};

/// The least and the most that is between two looks at the disk.
const LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));
/// How much longer than lost-after a disk may stand still before a node that has no lease either resets itself: a path
/// of several that fails over takes a few seconds.
const STALL: Duration = Duration::from_secs(5);
/// How long one use of the disk may take that an attempt to switch a node off makes.
pub const DISK_USE_MAX: Duration = Duration::from_secs(3);
/// How many uses of the disk an attempt makes beside looking: it is opened, the message is written, and withdrawn.
const USES: u32 = 3;
/// How much later than it was told a watchdog may fire: many count in whole seconds.
const TICK: Duration = Duration::from_secs(1);

impl Timing {
    /// How often a node looks for messages on the disk, and says that it did.
    #[must_use]
    pub fn disk_look(&self) -> Duration {
        self.lost_after.clamp(LOOK.0, LOOK.1)
    }

    /// How long after the beginning of its last whole look at the disk a node that has no lease may go on.
    #[must_use]
    pub fn disk_patience(&self) -> Duration {
        self.lost_after + STALL
    }

    /// How long after a node has said that it obeys it is off, if the reset itself hangs: whole seconds. Its watchdog
    /// may be fed once more by who was stopped just before, as late as it lets that happen, and then fires.
    #[must_use]
    pub fn disk_reset(&self) -> Duration {
        surely(self.watchdog() * 2 + TICK)
    }

    /// How long after a message stands on the disk a node is off that does not read it: whole seconds. Its lease ends
    /// one lost-after later at the latest, its patience with the disk too, and then nothing feeds its watchdog.
    #[must_use]
    pub fn disk_off_within(&self) -> Duration {
        surely(self.disk_patience() + self.lost_after + self.watchdog() * 2 + TICK)
    }

    /// How long an attempt to switch a node off over the disk may take, all in all: whole seconds.
    #[must_use]
    pub fn disk_fence(&self) -> Duration {
        surely(self.disk_off_within() + self.disk_look() * 4 + DISK_USE_MAX * USES)
    }
}

/// The next whole second of a time that another machine counts: clocks are up to 1 % wrong, each in its direction.
fn surely(length: Duration) -> Duration {
    let length = length * 103 / 100;
    Duration::from_secs(length.as_secs() + u64::from(length.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    #[test]
    fn the_times_follow_from_lost_after() {
        for (millis, look, patience, reset, off_within, fence) in
            [(20, 200, 5_020, 8, 13, 24), (600, 600, 5_600, 10, 16, 29), (10_000, 1_000, 15_000, 34, 60, 76)]
        {
            let lost_after = Duration::from_millis(millis);
            let timing = Timing { lost_after, ..Timing::of(Profile::Default) };
            let found = [timing.disk_look(), timing.disk_patience()].map(|length| length.as_millis());
            assert_eq!(found, [look, patience], "{millis} ms");
            let found = [timing.disk_reset(), timing.disk_off_within(), timing.disk_fence()];
            assert_eq!(found.map(|length| length.as_secs()), [reset, off_within, fence], "{millis} ms");
        }
    }

    #[test]
    fn who_obeys_is_off_before_who_does_not() {
        for millis in [10, 600, 300_000] {
            let timing = Timing { lost_after: Duration::from_millis(millis), ..Timing::of(Profile::Default) };
            // Its lease is over, and it has looked once more and said so.
            let obeys = timing.lost_after + timing.disk_look() * 2 + timing.disk_reset();
            assert!(obeys <= timing.disk_fence(), "{millis} ms");
        }
    }
}
