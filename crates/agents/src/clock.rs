//! The clocks of this machine.

use heart_model::{Duration, Instant, Moment};
use rustix::time::{ClockId, clock_gettime};

/// Both clocks that leases are counted by, now.
#[must_use]
pub fn now() -> Moment {
    Moment {
        boottime: Instant(nanoseconds(clock_gettime(ClockId::Boottime))),
        raw: Instant(nanoseconds(clock_gettime(ClockId::MonotonicRaw))),
    }
}

/// The time of day, in nanoseconds since 1970.
#[must_use]
pub fn realtime() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// What a holder may still count on of a lease that ends at `until`.
#[must_use]
pub fn remaining(until: Moment) -> Duration {
    now().at_least_until(until)
}

/// The part of the remaining lease for which the kernel is told to go on, as it then counts by one clock only. That one
/// may be slewed: while somebody sets it right, by a twelfth of its speed at most.
const KERNEL_COUNTS: (u32, u32) = (9, 10);

/// What to tell the kernel of what is left of a lease.
pub(crate) fn for_kernel(left: Duration) -> Duration {
    left * KERNEL_COUNTS.0 / KERNEL_COUNTS.1
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    // The clocks count from the boot or from 1970: never negative, and good for centuries.
    (time.tv_sec.cast_unsigned()) * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
