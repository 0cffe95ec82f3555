//! From what was measured to what is said: when a node falls sick, and when it is well again.
//!
//! Between what is bad and what is good lies what changes nothing, and what is good has to stay so for a while.
//! So each ailment begins and ends once, however its figures tremble.

use std::{collections::BTreeMap, time::Duration};

use heart_model::{Ailment, HealthChange};

use crate::pressure::{self, PERCENT, Share};

/// How long a write may take before the disk has stalled. Disks that are shared or that wake up take a second or two.
const STALLED_AFTER: Duration = Duration::from_secs(3);
/// How fast a disk writes that is well.
const WRITTEN_WITHIN: Duration = Duration::from_millis(500);
/// What is left of a file system that is full: this, or if it is small a fiftieth of it.
const FULL_BELOW: Room = Room { bytes: 16 << 20, inodes: 64 };
const FULL_PART: u64 = 50;
/// So many times as much has to be free again.
const ROOM_AGAIN: u64 = 3;
/// Everything waits for memory so much of the time: the machine is short of it.
const SHORT_OF_MEMORY: Share = 20 * PERCENT;
/// So little is well.
const ENOUGH_MEMORY: Share = 5 * PERCENT;
/// A step of the wall clock that is told. Whoever sets a clock in order moves it far more slowly.
const JUMP: Duration = Duration::from_secs(1);
/// Fewer processes than that may still be started.
const PROCESSES_LOW: u64 = 32;
/// So many is well.
const PROCESSES_ENOUGH: u64 = 128;

/// How long all has to be good before an ailment has ended.
fn good_for(ailment: Ailment) -> Duration {
    Duration::from_secs(match ailment {
        Ailment::DiskStalled | Ailment::DiskFull | Ailment::ReadOnly | Ailment::MemoryPressure => 10,
        // Nobody tries all the time.
        Ailment::NoProcesses => 30,
        // The core finds that out by itself.
        Ailment::NoWatchdog => 0,
        // It is over at once; people should still see it.
        Ailment::ClockJumped => 300,
    })
}

/// What is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

/// A file system that this node needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// What people know it by.
    pub(super) path: String,
    pub(super) free: Room,
    /// How much there is in all; without inodes where these are made as needed.
    pub(super) size: Room,
    /// It can only be read, and that is not how it is meant to be.
    pub(super) read_only: bool,
}

/// How the small write that is made again and again fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Probe {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It was durable after so long.
    Took(Duration),
    /// It was begun so long ago and is not durable yet.
    Hangs(Duration),
    /// It was refused, as nothing may be written there.
    ReadOnly,
    /// It was refused; why.
    Refused(String),
}

/// How many more processes may be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Headroom {
    pub(super) left: u64,
    pub(super) limit: u64,
    /// Who sets the limit: a file.
    pub(super) by: String,
}

/// All that was measured in one look; what was not looked at is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// The folder that is written to, for people.
    pub(super) folder: String,
    pub(super) probe: Probe,
    pub(super) places: Option<Vec<Place>>,
    /// How much of the time everything waits for memory.
    pub(super) memory: Option<Share>,
    /// By how many milliseconds the wall clock moved away since the last look.
    pub(super) jump_ms: Option<i64>,
    pub(super) processes: Option<Headroom>,
    /// The kernel refused to make a process since the last look; why.
    pub(super) refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Bad(String),
    Between,
    Good,
}

/// What one look says of one ailment.
fn verdict(ailment: Ailment, sample: &Sample) -> Verdict {
    match ailment {
        Ailment::DiskStalled => of_probe(&sample.folder, &sample.probe),
        Ailment::DiskFull => of_places(sample, fullness),
        Ailment::ReadOnly => of_reading(sample),
        Ailment::NoProcesses => match (&sample.refused, &sample.processes) {
            (Some(why), _) => Verdict::Bad(format!("the kernel refused {why}")),
            (None, Some(room)) if room.left < PROCESSES_LOW => {
                Verdict::Bad(format!("{} of {} by {} are left", room.left, room.limit, room.by))
            }
            (None, Some(room)) if room.left >= PROCESSES_ENOUGH.min(room.limit / 2) => Verdict::Good,
            (None, _) => Verdict::Between,
        },
        Ailment::NoWatchdog => Verdict::Good,
        Ailment::MemoryPressure => match sample.memory {
            Some(share) if share >= SHORT_OF_MEMORY => {
                let share = pressure::print(share);
                Verdict::Bad(format!("for {share} of the last 10 s everything waited for it"))
            }
            Some(share) if share < ENOUGH_MEMORY => Verdict::Good,
            Some(_) | None => Verdict::Between,
        },
        Ailment::ClockJumped => match sample.jump_ms {
            Some(jump) if u128::from(jump.unsigned_abs()) > JUMP.as_millis() => {
                let (whole, rest) = (jump.unsigned_abs() / 1000, jump.unsigned_abs() % 1000 / 100);
                let way = if jump > 0 { "forward" } else { "back" };
                Verdict::Bad(format!("by {whole}.{rest} s {way}"))
            }
            Some(_) | None => Verdict::Good,
        },
    }
}

/// A file system in which the kernel has found a mistake takes nothing more, and need not say of itself that it is
/// read-only: ext4 did once, and does not any more (seen with Linux 6.18). So the write has a say, too.
fn of_reading(sample: &Sample) -> Verdict {
    let mounted = of_places(sample, |place| match place.read_only {
        true => Verdict::Bad(format!("{} is mounted read-only", place.path)),
        false => Verdict::Good,
    });
    match (mounted, &sample.probe) {
        (Verdict::Good | Verdict::Between, Probe::ReadOnly) => {
            Verdict::Bad(format!("a write in {} was refused: nothing may be written there", sample.folder))
        }
        (mounted, _) => mounted,
    }
}

fn of_probe(folder: &str, probe: &Probe) -> Verdict {
    let seconds = |time: &Duration| format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100);
    match probe {
        Probe::Hangs(time) if *time >= STALLED_AFTER => {
            Verdict::Bad(format!("a write in {folder} has taken {} so far", seconds(time)))
        }
        Probe::Took(time) if *time >= STALLED_AFTER => {
            Verdict::Bad(format!("a write in {folder} took {}", seconds(time)))
        }
        Probe::Refused(why) => Verdict::Bad(format!("a write in {folder} was refused: {why}")),
        Probe::Took(time) if *time < WRITTEN_WITHIN => Verdict::Good,
        Probe::Took(_) | Probe::Hangs(_) | Probe::ReadOnly | Probe::Unknown => Verdict::Between,
    }
}

/// The worst that is said of any of the file systems.
fn of_places(sample: &Sample, judge: impl Fn(&Place) -> Verdict) -> Verdict {
    let Some(places) = &sample.places else { return Verdict::Between };
    let mut all: Vec<Verdict> = places.iter().map(judge).collect();
    if let Some(bad) = all.iter().position(|verdict| matches!(verdict, Verdict::Bad(_))) {
        return all.swap_remove(bad);
    }
    if all.contains(&Verdict::Between) { Verdict::Between } else { Verdict::Good }
}

fn fullness(place: &Place) -> Verdict {
    let Place { path, free, size, .. } = place;
    let least = |size: u64, below: u64| below.min(size / FULL_PART).max(1);
    let (bytes, inodes) = (least(size.bytes, FULL_BELOW.bytes), least(size.inodes, FULL_BELOW.inodes));
    if free.bytes < bytes {
        let (free, size) = (amount(free.bytes), amount(size.bytes));
        return Verdict::Bad(format!("{free} of {size} are free on {path}"));
    }
    // Where there are none in all, they are made as needed.
    if size.inodes > 0 && free.inodes < inodes {
        return Verdict::Bad(format!("{} of {} inodes are free on {path}", free.inodes, size.inodes));
    }
    let again = free.bytes >= bytes * ROOM_AGAIN && (size.inodes == 0 || free.inodes >= inodes * ROOM_AGAIN);
    if again { Verdict::Good } else { Verdict::Between }
}

/// Bytes for people.
fn amount(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// What the node is sick with, and since when all is good again.
    sick: BTreeMap<Ailment, Option<Duration>>,
}

impl Judge {
    /// What changes by this look, which is `at` so long after the first.
    pub(super) fn look(&mut self, at: Duration, sample: &Sample) -> Vec<HealthChange> {
        let mut changes = Vec::new();
        for ailment in Ailment::ALL {
            match (verdict(ailment, sample), self.sick.get_mut(&ailment)) {
                (Verdict::Bad(figures), None) => {
                    self.sick.insert(ailment, None);
                    changes.push(HealthChange::Began(ailment, figures));
                }
                (Verdict::Bad(_), Some(good_since)) => *good_since = None,
                (Verdict::Good, Some(good_since)) => {
                    let since = *good_since.get_or_insert(at);
                    if at.saturating_sub(since) >= good_for(ailment) {
                        self.sick.remove(&ailment);
                        changes.push(HealthChange::Ended(ailment));
                    }
                }
                (Verdict::Between, _) | (Verdict::Good, None) => {}
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(millis: u64) -> Sample {
        Sample { folder: "/d".into(), probe: Probe::Took(Duration::from_millis(millis)), ..Sample::default() }
    }

    fn place(free: Room, size: Room) -> Sample {
        let place = Place { path: "/d".into(), free, size, read_only: false };
        Sample { places: Some(vec![place]), ..Sample::default() }
    }

    fn bytes(free: u64, size: u64) -> Sample {
        place(Room { bytes: free, inodes: 0 }, Room { bytes: size, inodes: 0 })
    }

    fn left(left: u64, limit: u64) -> Sample {
        Sample { processes: Some(Headroom { left, limit, by: "pids.max".into() }), ..Sample::default() }
    }

    #[test]
    fn figures_have_a_meaning() {
        use Ailment::*;
        let probe = |probe| Sample { folder: "/d".into(), probe, ..Sample::default() };
        let inodes = place(Room { bytes: 1 << 30, inodes: 3 }, Room { bytes: 1 << 31, inodes: 1000 });
        let read_only = Place { path: "/".into(), read_only: true, ..Place::default() };
        let refuses_to_write = Sample { probe: Probe::ReadOnly, folder: "/d".into(), ..bytes(1, 1) };
        let memory = |percent| Sample { memory: Some(percent * PERCENT), ..Sample::default() };
        let jump = |jump_ms| Sample { jump_ms: Some(jump_ms), ..Sample::default() };
        let refused = Sample { refused: Some("2 for agents".into()), ..left(9999, 10_000) };
        let table = [
            (DiskStalled, took(3), "good"),
            (DiskStalled, took(499), "good"),
            (DiskStalled, took(500), "between"),
            (DiskStalled, took(3100), "a write in /d took 3.1 s"),
            (DiskStalled, probe(Probe::Hangs(Duration::from_millis(2999))), "between"),
            (
                DiskStalled,
                probe(Probe::Hangs(Duration::from_millis(3200))),
                "a write in /d has taken 3.2 s so far",
            ),
            (DiskStalled, probe(Probe::Refused("I/O error".into())), "a write in /d was refused: I/O error"),
            (DiskStalled, probe(Probe::Unknown), "between"),
            (DiskStalled, probe(Probe::ReadOnly), "between"),
            (DiskFull, bytes(1 << 40, 1 << 41), "good"),
            (DiskFull, bytes(15 << 20, 1 << 41), "15 MiB of 2048 GiB are free on /d"),
            (DiskFull, bytes(20 << 20, 1 << 41), "between"),
            (DiskFull, bytes(0, 256 << 10), "0 bytes of 256 KiB are free on /d"),
            (DiskFull, bytes(8 << 10, 256 << 10), "between"),
            (DiskFull, bytes(200 << 10, 256 << 10), "good"),
            (DiskFull, inodes, "3 of 1000 inodes are free on /d"),
            (DiskFull, Sample::default(), "between"),
            (
                ReadOnly,
                Sample { places: Some(vec![read_only]), ..Sample::default() },
                "/ is mounted read-only",
            ),
            (ReadOnly, bytes(1, 1), "good"),
            (ReadOnly, refuses_to_write, "a write in /d was refused: nothing may be written there"),
            (MemoryPressure, memory(0), "good"),
            (MemoryPressure, memory(10), "between"),
            (MemoryPressure, memory(33), "for 33.0 % of the last 10 s everything waited for it"),
            (MemoryPressure, Sample::default(), "between"),
            (ClockJumped, jump(0), "good"),
            (ClockJumped, jump(-1000), "good"),
            (ClockJumped, jump(-1500), "by 1.5 s back"),
            (ClockJumped, jump(3_600_000), "by 3600.0 s forward"),
            (NoProcesses, left(31, 4096), "31 of 4096 by pids.max are left"),
            (NoProcesses, left(100, 4096), "between"),
            (NoProcesses, left(200, 4096), "good"),
            (NoProcesses, refused, "the kernel refused 2 for agents"),
        ];
        for (ailment, sample, expected) in table {
            let said = match verdict(ailment, &sample) {
                Verdict::Bad(figures) => figures,
                Verdict::Between => "between".to_owned(),
                Verdict::Good => "good".to_owned(),
            };
            assert_eq!(said, expected, "{ailment:?} {sample:?}");
        }
    }

    /// Runs looks a second apart; at which seconds something began or ended.
    fn story(looks: impl IntoIterator<Item = Sample>) -> Vec<(usize, &'static str)> {
        let mut judge = Judge::default();
        let mut told = Vec::new();
        for (second, sample) in looks.into_iter().enumerate() {
            for change in judge.look(Duration::from_secs(second as u64), &sample) {
                let word = match change {
                    HealthChange::Began(..) => "began",
                    HealthChange::Ended(_) => "ended",
                };
                told.push((second, word));
            }
        }
        told
    }

    #[test]
    fn an_ailment_begins_at_once_and_ends_when_all_was_good_for_a_while() {
        let one = std::iter::repeat_n(took(4000), 5).chain(std::iter::repeat_n(took(5), 20));
        assert_eq!(story(one), [(0, "began"), (15, "ended")]);
    }

    #[test]
    fn figures_that_tremble_are_told_once() {
        let trembling = (0..200).map(|second| took(if second % 8 == 0 { 3500 } else { 20 }));
        assert_eq!(story(trembling), [(0, "began")]);
        let between = (0..200).map(|second| took(if second == 0 { 3500 } else { 900 }));
        assert_eq!(story(between), [(0, "began")]);
    }

    /// Of every five looks one sees how it is mounted, and every third one how a write fared.
    #[test]
    fn what_is_mounted_to_be_written_and_refuses_to_is_told_once_and_not_well_before_it_takes_something() {
        let look = |second: usize| {
            let probe = match second % 3 {
                0 if second < 60 => Probe::ReadOnly,
                0 => Probe::Took(Duration::from_millis(2)),
                _ => Probe::Unknown,
            };
            let places = bytes(1, 1).places.filter(|_| second.is_multiple_of(5));
            Sample { folder: "/d".into(), probe, places, ..Sample::default() }
        };
        assert_eq!(story((0..200).map(look)), [(0, "began"), (70, "ended")]);
    }

    #[test]
    fn a_clock_that_was_set_once_is_told_for_some_minutes() {
        let jump =
            |second: usize| Sample { jump_ms: Some(if second == 3 { 5000 } else { 0 }), ..Sample::default() };
        assert_eq!(story((0..400).map(jump)), [(3, "began"), (304, "ended")]);
    }
}
