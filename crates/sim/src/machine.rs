//! One simulated machine: its clocks, its kernel, its disk, its executor and the real node in it.

use heart_model::{
    Act, Activity, BootId, Epoch, FromExecutor, Guard, Instant, Inventory, Moment, NodeId, NodeName, Order,
    Outcome, Report, ResourceName, ResourceSpec, Session, Spec, ToExecutor,
};
use heart_node::{
    agreement::{Ticket, Write},
    board::Board,
    core::{self, Core, Log},
    frame::{ClusterKey, Sealer},
    journal,
    pulse::{self, Member, Pulse},
};
use std::collections::{BTreeMap, VecDeque};

use crate::Nanos;

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
}

impl Clock {
    fn read(self, now: Nanos) -> Instant {
        let wrong = i128::from(now) * i128::from(self.fast_ppm) / 1_000_000;
        Instant(self.start + u64::try_from(i128::from(now) + wrong).unwrap_or(0))
    }

    /// The true time at which it shows `at`, rounded up.
    fn when(self, at: Instant) -> Nanos {
        let shown = i128::from(at.0.saturating_sub(self.start));
        u64::try_from(shown * 1_000_000 / i128::from(1_000_000 + self.fast_ppm) + 1).unwrap_or(u64::MAX)
    }
}

/// What the kernel does for one resource, also when nobody of us runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kernel {
    present: bool,
    /// Until when the gate is open; `None` for what no lease guards.
    open_until: Option<Moment>,
    epoch: Epoch,
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
}

/// What the executor has done; its memory of closed epochs is in `/run`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Executor {
    pub(crate) specs: BTreeMap<ResourceName, ResourceSpec>,
    pub(crate) known: BTreeMap<ResourceName, Inventory>,
}

/// See the module.
pub struct Machine {
    /// Its name.
    pub name: NodeName,
    pub(crate) id: NodeId,
    pub(crate) power: Power,
    boottime: Clock,
    raw: Clock,
    pub(crate) board: Board,
    pub(crate) pulse: Option<Pulse>,
    pub(crate) core: Option<Core>,
    pub(crate) sealer: Sealer,
    pub(crate) disk: Disk,
    pub(crate) disk_stalled: bool,
    pub(crate) executor: Executor,
    pub(crate) kernel: BTreeMap<ResourceName, Kernel>,
    /// The whole machine, all of Heart, or one half does not run before this true time.
    pub(crate) frozen_until: Nanos,
    pub(crate) core_stalled_until: Nanos,
    pub(crate) pulse_wake: Nanos,
    pub(crate) core_wake: Nanos,
    pub(crate) boots: u64,
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
            boottime: Clock { start: 1_000_000_000 + seed % 1_000_000_007, fast_ppm },
            raw: Clock { start: 2_000_000_000 + seed % 998_244_353, fast_ppm: raw_fast_ppm },
            board: Board::default(),
            pulse: None,
            core: None,
            sealer: Sealer::new(&key(spec), id, BootId(0)),
            disk: Disk::default(),
            disk_stalled: false,
            executor: Executor::default(),
            kernel: BTreeMap::new(),
            frozen_until: 0,
            core_stalled_until: 0,
            pulse_wake: u64::MAX,
            core_wake: u64::MAX,
            boots: 0,
            seed,
        }
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

    /// What its clocks show at a true time.
    pub(crate) fn now(&self, now: Nanos) -> Moment {
        Moment { boottime: self.boottime.read(now), raw: self.raw.read(now) }
    }

    /// The true time at which a deadline of its clocks has come, by the earlier clock.
    pub(crate) fn when(&self, at: Moment) -> Nanos {
        self.boottime.when(at.boottime)
    }

    /// Switches it on: a new life with what the disk has kept.
    pub(crate) fn boot(&mut self, now: Nanos, spec: &Spec, digest: u64) {
        self.boots += 1;
        self.power = Power::On;
        self.kernel.clear();
        self.executor = Executor::default();
        self.disk.waiting.clear();
        let boot = BootId(u128::from(self.seed) << 64 | u128::from(self.boots) << 32 | 7);
        self.board = Board::default();
        let ids: Vec<NodeId> = members(spec).iter().map(|member| member.id).collect();
        let local = self.now(now);
        self.board.begin(boot, &ids, local.after(spec.timing.lost_after));
        self.sealer = Sealer::new(&key(spec), self.id, boot);
        self.start_pulse(now, spec, digest);
        self.start_core(now, spec, digest, false);
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

    fn start_core(&mut self, now: Nanos, spec: &Spec, digest: u64, handed_over: bool) {
        let log = match &self.disk.durable {
            None => Log::Empty,
            Some(bytes) => journal::recover(bytes).map_or(Log::Damaged, |recovered| {
                let length = recovered.length;
                self.disk.durable.as_mut().expect("looked at above").truncate(length);
                Log::Recovered(recovered)
            }),
        };
        let settings = core::Settings {
            me: self.name.clone(),
            spec: spec.clone(),
            digest,
            seed: self.seed ^ self.boots,
            handed_over,
        };
        self.core = Some(Core::new(self.now(now), settings, log, &self.board));
        self.core_wake = now;
    }

    /// The core process is killed and comes back: the board stays, `/run` stays, the kernel stays.
    pub(crate) fn restart_core(&mut self, now: Nanos, spec: &Spec, digest: u64) {
        // What was written but not synced is in the page cache, which outlives the process.
        for write in ::core::mem::take(&mut self.disk.waiting) {
            self.disk.make_durable(&write);
        }
        self.start_pulse(now, spec, digest);
        self.start_core(now, spec, digest, true);
    }

    pub(crate) fn cut_power(&mut self) {
        self.power = Power::Off;
        self.pulse = None;
        self.core = None;
        self.kernel.clear();
        self.disk.waiting.clear();
        self.pulse_wake = u64::MAX;
        self.core_wake = u64::MAX;
    }

    /// Whether this machine answers for `resource` at this true time.
    pub(crate) fn owns(&self, resource: &ResourceName, now: Nanos) -> Option<Epoch> {
        let kernel = self.kernel.get(resource).filter(|kernel| kernel.present && self.power == Power::On)?;
        let local = self.now(now);
        let open = kernel.open_until.is_none_or(|until| !local.may_have_reached(until));
        open.then_some(kernel.epoch)
    }

    /// The gate thread: opens what is started, for nine tenths of what is left of the lease.
    pub(crate) fn refresh_gates(&mut self, now: Nanos) -> Vec<ResourceName> {
        let local = self.now(now);
        let left = local.at_least_until(self.board.lease_until());
        let mut opened = Vec::new();
        if left.is_zero() {
            return opened;
        }
        for (name, kernel) in &mut self.kernel {
            if kernel.present && kernel.open_until.is_some() {
                kernel.open_until = Some(local.after(left * 9 / 10));
                opened.push(name.clone());
            }
        }
        opened
    }

    /// Carries out what the core tells its executor; slow operations are the world's business.
    pub(crate) fn inventory(&self, resource: &ResourceName) -> Inventory {
        self.executor.known.get(resource).cloned().unwrap_or_else(|| Inventory {
            resource: resource.clone(),
            epoch: Epoch(0),
            session: self.board.session(),
            activity: Activity::Stopped,
            closed: Epoch(0),
        })
    }

    /// An order takes effect.
    pub(crate) fn perform(&mut self, now: Nanos, order: &Order, works: bool) -> FromExecutor {
        let mut inventory = self.inventory(&order.resource);
        let report = |outcome: Outcome, resource: Inventory| {
            FromExecutor::Report(Report { id: order.id, outcome, resource })
        };
        match order.act {
            Act::Start if order.epoch <= inventory.closed || order.epoch < inventory.epoch => {
                report(Outcome::Refused("its epoch is over".into()), inventory)
            }
            Act::Start if !works => {
                inventory.epoch = order.epoch;
                inventory.session = order.session;
                inventory.activity = Activity::Failed("it does not start".into());
                self.executor.known.insert(order.resource.clone(), inventory.clone());
                report(Outcome::Failed("it does not start".into()), inventory)
            }
            Act::Start => {
                inventory.epoch = order.epoch;
                inventory.session = order.session;
                inventory.activity = Activity::Running;
                let guarded =
                    self.executor.specs.get(&order.resource).is_none_or(|spec| spec.guard == Guard::Lease);
                let open_until = guarded.then(Moment::default);
                let kernel = Kernel { present: true, open_until, epoch: order.epoch };
                self.kernel.insert(order.resource.clone(), kernel);
                self.refresh_gates(now);
                self.executor.known.insert(order.resource.clone(), inventory.clone());
                report(Outcome::Done, inventory)
            }
            Act::Stop => {
                self.close(&order.resource, order.epoch);
                report(Outcome::Done, self.inventory(&order.resource))
            }
        }
    }

    fn close(&mut self, resource: &ResourceName, epoch: Epoch) {
        let mut inventory = self.inventory(resource);
        self.kernel.remove(resource);
        inventory.activity = Activity::Stopped;
        inventory.closed = inventory.closed.max(epoch).max(inventory.epoch);
        self.executor.known.insert(resource.clone(), inventory);
    }

    /// Lets go of everything, or of what the lease guards.
    pub(crate) fn let_go(&mut self, session: Session, everything: bool) -> FromExecutor {
        let held: Vec<ResourceName> = self.executor.known.keys().cloned().collect();
        for name in held {
            let guarded = self.executor.specs.get(&name).is_none_or(|spec| spec.guard == Guard::Lease);
            if everything || guarded {
                let epoch = self.inventory(&name).epoch;
                self.close(&name, epoch);
            }
        }
        FromExecutor::LetGo { session }
    }

    /// What the executor knows, as it tells it.
    pub(crate) fn on_configure(&mut self, told: &ToExecutor) -> Option<FromExecutor> {
        match told {
            ToExecutor::Configure { resources } => {
                self.executor.specs = resources.iter().cloned().collect();
                None
            }
            ToExecutor::Inventory => {
                Some(FromExecutor::Inventory(self.executor.known.values().cloned().collect()))
            }
            ToExecutor::Obey(_) | ToExecutor::LetGo { .. } | ToExecutor::Lease { .. } => None,
        }
    }

    /// The service dies by itself; the executor notices.
    pub(crate) fn kill_service(&mut self, resource: &ResourceName) -> Option<FromExecutor> {
        self.kernel.remove(resource)?;
        let known = self.executor.known.get_mut(resource)?;
        known.activity = Activity::Failed("it died".into());
        Some(FromExecutor::Changed(known.clone()))
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
