//! Slow is not failed: what to make of it that an agent did not answer in time how something is.
//!
//! On a machine that is stalled nobody answers in time, whatever is asked, and to restart it all would be the
//! last straw. So there the answer is *slow*: it is asked again, and told. On a machine that is well the same
//! silence is a failure, if it is kept twice.

use heart_model::Duration;

use crate::pressure::{self, PERCENT, Pressure, Share};

/// How often in a row an answer is slow before it counts as if the machine were well: what has hung for so long is
/// not waiting for the machine.
pub(super) const SLOW_MAX: u32 = 10;
/// Questions in a row on a machine that is well; the last one counts.
const LATE_MAX: u32 = 2;

/// Everything waits for memory so much of the time.
const MEMORY: Share = 10 * PERCENT;
/// Everything waits for disks so much of the time.
const DISKS: Share = 40 * PERCENT;
/// Something waits for a processor so much of the time.
const PROCESSORS: Share = 80 * PERCENT;
/// So much later than it should did the executor's own thread wake.
const LATE: Duration = Duration::from_millis(500);

/// What holds a machine up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strain {
    pub(super) memory: Option<Pressure>,
    pub(super) disks: Option<Pressure>,
    pub(super) processors: Option<Pressure>,
    /// By how much a thread of ours was late that had nothing to do but to wait.
    pub(super) late: Duration,
}

impl Strain {
    /// How it is now, for an operation that ended so much later than it should have.
    pub(super) fn now(late: Duration) -> Strain {
        let read = pressure::read;
        Strain { memory: read("memory"), disks: read("io"), processors: read("cpu"), late }
    }

    /// Why the machine counts as stalled, with figures; nothing if it does not.
    pub(super) fn stalled(&self) -> Option<String> {
        let waits = |of: Option<Share>, limit: Share, who: &str, what: &str| {
            let share = of.filter(|share| *share >= limit)?;
            Some(format!("for {} of the last 10 s {who} waited for {what}", pressure::print(share)))
        };
        let full = |of: Option<Pressure>| of.map(|pressure| pressure.full);
        waits(full(self.memory), MEMORY, "everything", "memory")
            .or_else(|| waits(full(self.disks), DISKS, "everything", "disks"))
            .or_else(|| waits(self.processors.map(|cpu| cpu.some), PROCESSORS, "something", "a processor"))
            .or_else(|| (self.late >= LATE).then(|| format!("a timer was {} ms late", self.late.as_millis())))
    }
}

/// How often in a row it was asked in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vain {
    /// While the machine was well.
    pub(super) late: u32,
    /// While it was stalled.
    pub(super) slow: u32,
}

/// What follows from an answer that did not come in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask again.
    Again(Vain),
    /// The same; it is told that it is slow.
    Slow(Vain),
    /// It does not work; why.
    Failed(String),
}

/// Judges an answer that did not come in time, after these; `stalled`: the machine is.
pub(super) fn judge(before: Vain, stalled: bool) -> Verdict {
    if stalled && before.slow < SLOW_MAX {
        return Verdict::Slow(Vain { slow: before.slow + 1, ..before });
    }
    let late = before.late + 1;
    match (late < LATE_MAX, before.slow) {
        (true, _) => Verdict::Again(Vain { late, ..before }),
        (false, 0) => Verdict::Failed("it did not answer twice how it is".to_owned()),
        (false, slow) => {
            let all = late + slow;
            Verdict::Failed(format!(
                "it did not answer {all} times how it is, {slow} of them while the machine was stalled"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_stalled_when_everything_waits() {
        let of = |some, full| Some(Pressure { some: some * PERCENT, full: full * PERCENT });
        let calm =
            Strain { memory: of(1, 0), disks: of(30, 20), processors: of(50, 0), late: Duration::ZERO };
        let table = [
            (calm, None),
            (Strain { memory: of(20, 9), ..calm }, None),
            (
                Strain { memory: of(20, 10), ..calm },
                Some("for 10.0 % of the last 10 s everything waited for memory"),
            ),
            (
                Strain { disks: of(99, 40), ..calm },
                Some("for 40.0 % of the last 10 s everything waited for disks"),
            ),
            (Strain { disks: of(99, 39), ..calm }, None),
            (
                Strain { processors: of(80, 0), ..calm },
                Some("for 80.0 % of the last 10 s something waited for a processor"),
            ),
            (Strain { late: Duration::from_millis(499), ..calm }, None),
            (Strain { late: Duration::from_millis(700), ..calm }, Some("a timer was 700 ms late")),
            // Not every kernel keeps account.
            (Strain::default(), None),
        ];
        for (strain, expected) in table {
            assert_eq!(strain.stalled().as_deref(), expected, "{strain:?}");
        }
    }

    #[test]
    fn slow_is_not_failed_and_has_an_end() {
        let vain = |late, slow| Vain { late, slow };
        let table = [
            (vain(0, 0), false, Verdict::Again(vain(1, 0))),
            (vain(1, 0), false, Verdict::Failed("it did not answer twice how it is".into())),
            (vain(0, 0), true, Verdict::Slow(vain(0, 1))),
            (vain(1, 0), true, Verdict::Slow(vain(1, 1))),
            (vain(0, 9), true, Verdict::Slow(vain(0, 10))),
            (vain(0, 10), true, Verdict::Again(vain(1, 10))),
            (
                vain(1, 10),
                true,
                Verdict::Failed(
                    "it did not answer 12 times how it is, 10 of them while the machine was stalled".into(),
                ),
            ),
            (vain(0, 3), false, Verdict::Again(vain(1, 3))),
        ];
        for (before, stalled, expected) in table {
            assert_eq!(judge(before, stalled), expected, "{before:?}, stalled: {stalled}");
        }
    }
}
