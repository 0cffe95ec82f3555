//! One simulated machine: its clocks, its kernel, its disk, its executor and the real node in it.

use heart_model::{
    Ailment, BootId, Epoch, FenceReport, Guard, Instant, Moment, NodeId, NodeName, ResourceName, Spec, Timing,
};
use heart_node::{
    agreement::{Ticket, Write},
    board::Board,
    core::{self, Core, Log, promised_before},
    frame::{ClusterKey, Sealer},
    journal,
    pinger::Pinger,
    pulse::{self, Member, Pulse},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{Chance, Nanos, clocks::Wall, executor::Executor, watchdog::Watchdog};

/// How far a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    On,
    /// It is off: memory and `/run` are gone, the disk is what was durable.
    Off,
}

/// A clock that is wrong by a constant part.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: u64,
    /// Parts per million by which it is fast.
    fast_ppm: i64,
    /// True time that it did not count, because its machine was paused.
    missed: u64,
}

impl Clock {
    fn read(self, now: Nanos) -> Instant {
        let now = now.saturating_sub(self.missed);
        let wrong = part_of(now, self.fast_ppm, 1_000_000);
        Instant(self.start + u64::try_from(i128::from(now) + wrong).unwrap_or(0))
    }

    /// The true time at which it shows `at`, rounded up.
    fn when(self, at: Instant) -> Nanos {
        let shown = at.0.saturating_sub(self.start);
        let when = u64::try_from(part_of(shown, 1_000_000, 1_000_000 + self.fast_ppm) + 1);
        when.unwrap_or(u64::MAX).saturating_add(self.missed)
    }
}

/// `time * of / all`, in the narrow numbers that nearly every time fits.
fn part_of(time: u64, of: i64, all: i64) -> i128 {
    let narrow = i64::try_from(time).ok().and_then(|time| time.checked_mul(of));
    narrow
        .map_or_else(|| i128::from(time) * i128::from(of) / i128::from(all), |product| (product / all).into())
}

/// What the kernel does for one resource, also when nobody of us runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    pub(crate) present: bool,
    /// What it was started under, whatever the file says since.
    pub(crate) guard: Guard,
    /// Until when the gate is open; `None` for what no lease guards.
    pub(crate) open_until: Option<Moment>,
    pub(crate) epoch: Epoch,
}

/// A file that survives a power cut as far as it was made durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) durable: Option<Vec<u8>>,
    pub(crate) waiting: VecDeque<Write>,
}

impl Disk {
    pub(crate) fn make_durable(&mut self, write: &Write) {
        if write.replaces {
            self.durable = Some(write.bytes.clone());
        } else {
            self.durable.get_or_insert_with(Vec::new).extend_from_slice(&write.bytes);
        }
    }

    /// Power is lost: of what was being written, of which nobody was told that it is durable, nothing is there, or all
    /// of it, or its beginning, perhaps with nothing but zeros behind. A file that replaces another does so whole.
    fn tear(&mut self, chance: &mut Chance) {
        while let Some(write) = self.waiting.pop_front() {
            if chance.happens(400) {
                self.make_durable(&write);
                continue;
            }
            if !write.replaces && chance.happens(500) {
                let file = self.durable.get_or_insert_with(Vec::new);
                let whole = file.len() + write.bytes.len();
                file.extend_from_slice(&write.bytes[..chance.below(write.bytes.len() as u64) as usize]);
                if chance.happens(500) {
                    file.resize(whole, 0);
                }
            }
            break;
        }
    }
}

/// See the module.
pub struct Machine {
    /// Its name.
    pub name: NodeName,
    pub(crate) id: NodeId,
    pub(crate) power: Power,
    boottime: Clock,
    raw: Clock,
    pub(crate) wall: Wall,
    pub(crate) board: Board,
    pub(crate) pulse: Option<Pulse>,
    pub(crate) core: Option<Core>,
    pub(crate) sealer: Sealer,
    pub(crate) disk: Disk,
    pub(crate) disk_stalled: bool,
    /// A power cut leaves behind some of what was being written.
    pub(crate) tears: bool,
    /// What it found out that it is sick with.
    pub(crate) sick: BTreeSet<Ailment>,
    /// What pings, and for which core.
    pub(crate) pinger: (u64, Pinger),
    pub(crate) executor: Executor,
    /// It cannot use what a fence guards until it is let in again, also after a reboot.
    pub(crate) shut_out: bool,
    pub(crate) kernel: BTreeMap<ResourceName, Kernel>,
    /// The whole machine, all of Heart, or one half does not run before this true time.
    pub(crate) frozen_until: Nanos,
    paused_until: Nanos,
    pub(crate) core_stalled_until: Nanos,
    pub(crate) pulse_stalled_until: Nanos,
    pub(crate) executor_stalled_until: Nanos,
    /// When the last event of each kind reaches the core: events of a kind keep their order.
    pub(crate) core_last: [Nanos; 3],
    /// When the last message reaches the executor.
    pub(crate) executor_last: Nanos,
    /// What its executor tells devices at the moment: which node, which life of it, which attempt.
    pub(crate) fencing: BTreeSet<(NodeName, BootId, u32)>,
    /// Whom it does not switch off any more, in which attempt.
    pub(crate) spared: BTreeMap<NodeName, u32>,
    /// How the last attempt at each node ended: an executor makes none again that it knows.
    pub(crate) fenced: BTreeMap<NodeName, FenceReport>,
    /// What its file says of time, as far as it has read that.
    pub(crate) timing: Timing,
    pub(crate) watchdog: Option<Watchdog>,
    pub(crate) guardian_stalled_until: Nanos,
    /// The gate thread is awake.
    pub(crate) gating: bool,
    pub(crate) pulse_wake: Nanos,
    pub(crate) core_wake: Nanos,
    /// When its core began, and when it did anything last.
    pub(crate) core_began: Nanos,
    pub(crate) core_stepped: Nanos,
    pub(crate) boots: u64,
    /// Counts cores: what was meant for the last one does not reach the next.
    pub(crate) lives: u64,
    pub(crate) seed: u64,
}

impl ::core::fmt::Debug for Machine {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "{} ({:?})", self.name, self.power)
    }
}

fn members(spec: &Spec) -> Vec<Member> {
    let mut members: Vec<Member> =
        spec.nodes.iter().map(|(name, node)| Member { id: name.id(), voter: node.voter }).collect();
    members.sort_unstable_by_key(|member| member.id);
    members
}

impl Machine {
    /// A machine that is off. Its clocks are wrong by `fast_ppm` and `raw_fast_ppm`.
    pub(crate) fn new(name: NodeName, spec: &Spec, seed: u64, fast_ppm: i64, raw_fast_ppm: i64) -> Machine {
        let id = name.id();
        Machine {
            id,
            name,
            power: Power::Off,
            boottime: Clock { start: 1_000_000_000 + seed % 1_000_000_007, fast_ppm, missed: 0 },
            raw: Clock { start: 2_000_000_000 + seed % 998_244_353, fast_ppm: raw_fast_ppm, missed: 0 },
            wall: Wall::default(),
            board: Board::default(),
            pulse: None,
            core: None,
            sealer: Sealer::new(&key(spec), id, BootId(0)),
            disk: Disk::default(),
            disk_stalled: false,
            tears: false,
            sick: BTreeSet::new(),
            pinger: (0, Pinger::default()),
            executor: Executor::default(),
            shut_out: false,
            kernel: BTreeMap::new(),
            frozen_until: 0,
            paused_until: 0,
            core_stalled_until: 0,
            pulse_stalled_until: 0,
            executor_stalled_until: 0,
            core_last: [0; 3],
            executor_last: 0,
            fencing: BTreeSet::new(),
            spared: BTreeMap::new(),
            fenced: BTreeMap::new(),
            timing: spec.timing,
            watchdog: None,
            guardian_stalled_until: 0,
            gating: false,
            pulse_wake: u64::MAX,
            core_wake: u64::MAX,
            core_began: 0,
            core_stepped: 0,
            boots: 0,
            lives: 0,
            seed,
        }
    }

    /// Whether it has power.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.power == Power::On
    }

    /// The core that runs on it, if one does.
    #[must_use]
    pub fn core(&self) -> Option<&Core> {
        self.core.as_ref()
    }

    /// Whether its disk holds any entry of the log.
    pub(crate) fn has_log(&self) -> bool {
        let recovered = self.disk.durable.as_ref().and_then(|bytes| journal::recover(bytes).ok());
        recovered.is_some_and(|log| !log.entries.is_empty() || log.snapshot.get_metadata().index > 0)
    }

    /// Whether it knows that a history has begun: entries alone may be of a leader that nobody followed.
    pub(crate) fn knows_history(&self) -> bool {
        self.core.as_ref().is_some_and(Core::has_history)
    }

    /// Whether it votes with a log that it has kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.core.as_ref().is_some_and(Core::votes) && self.has_log()
    }

    /// What its clocks show at a true time.
    pub(crate) fn now(&self, now: Nanos) -> Moment {
        Moment { boottime: self.boottime.read(now), raw: self.raw.read(now) }
    }

    /// The true time at which a driver that waits for a deadline wakes: see [`Moment::wait_until`].
    pub(crate) fn when(&self, now: Nanos, at: Moment) -> Nanos {
        let (boottime, raw) = (self.boottime.when(at.boottime), self.raw.when(at.raw));
        let first = boottime.min(raw);
        if first > now { first } else { boottime.max(raw) }
    }

    /// Switches it on: a new life with what the disk has kept.
    pub(crate) fn boot(&mut self, now: Nanos, spec: &Spec, digest: u64) {
        self.boots += 1;
        self.power = Power::On;
        self.kernel.clear();
        self.executor = Executor::default();
        self.fencing.clear();
        self.spared.clear();
        self.fenced.clear();
        self.gating = false;
        self.disk.waiting.clear();
        let mut chance = Chance::new(self.seed ^ self.boots << 48);
        let boot = BootId(u128::from(chance.draw()) << 64 | u128::from(chance.draw()));
        self.board = Board::default();
        let ids: Vec<NodeId> = members(spec).iter().map(|member| member.id).collect();
        let log = self.log();
        self.board.begin(boot, &ids, self.now(now).after(promised_before(&log, spec)));
        self.sealer = Sealer::new(&key(spec), self.id, boot);
        self.start_pulse(now, spec, digest);
        self.start_core(now, spec, digest, log, false);
    }

    fn start_pulse(&mut self, now: Nanos, spec: &Spec, digest: u64) {
        let settings = pulse::Settings {
            me: self.id,
            members: members(spec),
            links: spec.nodes[&self.name].addresses.len(),
            timing: spec.timing,
            key: key(spec),
            digest,
        };
        self.pulse = Some(Pulse::new(self.now(now), settings, &self.board));
        self.pulse_wake = now;
    }

    /// What the disk has kept, without a torn end.
    fn log(&mut self) -> Log {
        let Some(bytes) = self.disk.durable.as_mut().filter(|bytes| !bytes.is_empty()) else {
            return Log::Empty;
        };
        journal::recover(bytes).map_or(Log::Damaged, |recovered| {
            bytes.truncate(recovered.length);
            Log::Recovered(Box::new(recovered))
        })
    }

    /// What another core of the same life of the machine reads: what was written but not synced is in the page cache, which
    /// outlives the process and not the power.
    fn cached_log(&mut self) -> Log {
        if self.disk.waiting.is_empty() {
            return self.log();
        }
        let mut cached = Disk { durable: self.disk.durable.clone(), waiting: VecDeque::new() };
        for write in &mut self.disk.waiting {
            cached.make_durable(write);
            // Nobody waits for it any more.
            write.ticket = Ticket(0);
        }
        let bytes = cached.durable.filter(|bytes| !bytes.is_empty());
        let read = |bytes: Vec<u8>| {
            journal::recover(&bytes).map_or(Log::Damaged, |log| Log::Recovered(Box::new(log)))
        };
        bytes.map_or(Log::Empty, read)
    }

    fn start_core(&mut self, now: Nanos, spec: &Spec, digest: u64, log: Log, handed_over: bool) {
        let settings = core::Settings {
            me: self.name.clone(),
            spec: spec.clone(),
            digest,
            seed: self.seed ^ self.boots,
            handed_over,
        };
        (self.lives, self.timing) = (self.lives + 1, spec.timing);
        self.core = Some(Core::new(self.now(now), settings, log, &self.board));
        (self.core_wake, self.core_began) = (now, now);
    }

    /// The core process is killed and comes back: the board stays, `/run` stays, the kernel stays.
    pub(crate) fn restart_core(&mut self, now: Nanos, spec: &Spec, digest: u64) {
        let ids: Vec<NodeId> = members(spec).iter().map(|member| member.id).collect();
        let log = self.cached_log();
        self.board.seat(&ids, self.now(now).after(promised_before(&log, spec)));
        self.start_pulse(now, spec, digest);
        self.start_core(now, spec, digest, log, true);
    }

    /// Nothing of it runs until then, and when it does it does not know.
    pub(crate) fn pause(&mut self, now: Nanos, lasts: Nanos) {
        self.paused_until = now + lasts;
        self.frozen_until = self.frozen_until.max(now + lasts);
        self.boottime.missed += lasts;
        self.raw.missed += lasts;
        self.pulse_wake += lasts;
        self.core_wake += lasts;
    }

    pub(crate) fn cut_power(&mut self) {
        self.power = Power::Off;
        self.watchdog = None;
        (self.frozen_until, self.paused_until, self.guardian_stalled_until) = (0, 0, 0);
        (self.core_stalled_until, self.pulse_stalled_until, self.executor_stalled_until) = (0, 0, 0);
        self.pulse = None;
        self.core = None;
        self.kernel.clear();
        if self.tears {
            self.disk.tear(&mut Chance::new(self.seed ^ self.boots.rotate_left(24)));
        }
        self.disk.waiting.clear();
        self.pulse_wake = u64::MAX;
        self.core_wake = u64::MAX;
    }

    /// Whether it is paused, and its clocks with it.
    pub(crate) fn is_paused(&self, now: Nanos) -> bool {
        now < self.paused_until
    }

    /// Whether its clocks stood still with it, now or until a lease ago: by them its lease may run although it is over. It
    /// cannot know that before somebody answers it.
    pub(crate) fn may_be_misled(&self, now: Nanos) -> bool {
        // What was promised by an earlier file still runs.
        let promised = self.core.as_ref().map_or(self.timing.lost_after, |core| core.ledger().promised);
        let lease = self.timing.lost_after.max(promised).as_nanos() as Nanos;
        self.paused_until > 0 && now < self.paused_until + lease
    }

    /// Whether this machine answers for `resource` at this true time.
    pub(crate) fn owns(&self, resource: &ResourceName, now: Nanos) -> Option<Epoch> {
        let runs = self.power == Power::On && now >= self.paused_until;
        let kernel = self.kernel.get(resource).filter(|kernel| kernel.present && runs)?;
        if self.shut_out && !self.is_guarded_by_lease(resource) {
            return None;
        }
        let local = self.now(now);
        let open = kernel.open_until.is_none_or(|until| !local.may_have_reached(until));
        open.then_some(kernel.epoch)
    }

    /// The gate thread: opens what is started, for nine tenths of what is left of the lease. Returns
    /// what it opened, and the true time at which that ends.
    pub(crate) fn refresh_gates(&mut self, now: Nanos) -> (Vec<ResourceName>, Nanos) {
        let local = self.now(now);
        let left = local.at_least_until(self.board.lease_until());
        let mut opened = Vec::new();
        if left.is_zero() {
            return (opened, now);
        }
        let until = local.after(left * 9 / 10);
        for (name, kernel) in &mut self.kernel {
            if kernel.present && kernel.open_until.is_some() {
                kernel.open_until = Some(until);
                opened.push(name.clone());
            }
        }
        (opened, self.boottime.when(until.boottime).min(self.raw.when(until.raw)))
    }

    /// Whether a quorum vouches for what it has at a true time.
    pub(crate) fn has_lease(&self, now: Nanos) -> bool {
        !self.board.is_deposed() && !self.now(now).may_have_reached(self.board.lease_until())
    }

    /// Whether it hears a majority of those that vote, as far as it knows, and these hear it.
    pub(crate) fn hears_majority(&self, machines: &[Machine]) -> bool {
        let Some(core) = &self.core else { return false };
        let votes = machines.iter().filter(|other| core.elects(other.id));
        let (mut all, mut heard) = (0, 0);
        for other in votes {
            all += 1;
            let hears = || core.hears(&other.name).is_some_and(|(_, both_ways)| both_ways);
            heard += usize::from(other.id == self.id || hears());
        }
        heard > all / 2
    }

    /// The next write to become durable.
    pub(crate) fn sync(&mut self) -> Option<Ticket> {
        let write = self.disk.waiting.pop_front()?;
        self.disk.make_durable(&write);
        Some(write.ticket)
    }
}

/// The key of every simulated cluster.
pub(crate) fn key(spec: &Spec) -> ClusterKey {
    ClusterKey::new(spec.cluster.name.as_str(), [7; 32], 1)
}
