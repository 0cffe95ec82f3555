//! The executor: does what the core orders, and tells what happens.
//!
//! It decides nothing about where things run. It refuses what is certainly wrong (a start whose
//! epoch was closed, or without a lease), obeys the rest, and reports. It may be killed at any
//! moment: what runs keeps running, and the next executor finds it by the records in `/run`.
//!
//! ```text
//! core ⇄ channel ─▶ unit (pure, one a resource) ─▶ records, crew (threads) ─▶ agents
//!                     ▲                                   │
//!                     └── ends of operations, deaths, notices ◀──┘
//! ```
//!
//! It also switches other nodes off when the core says so, and tries whether it could; see `attempts` and `proofs`.
//! And it changes the value that decides between two halves; see `tie_breaks`.

mod attempts;
mod awake;
mod crew;
mod fencing;
mod proofs;
mod records;
mod silence;
mod slow;
mod terms;
mod tie_breaks;
mod unit;
mod work;

#[cfg(test)]
mod unit_tests;

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsString,
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use heart_agents::{
    Agents, Happened, Job, LeaseView, Setup, Stop, ToldLease,
    fence::{Fencing, Places},
    lease, memory,
    process::KeeperSetup,
    refused,
    tie_break::{self, words::WitnessKey},
    wait::{Bell, timespec},
};
use heart_model::{
    Act, Duration, FenceDevice, FromExecutor, Guard, NodeName, Order, Outcome, Report, ResourceName,
    ResourceSpec, Session, TieBreakOrder, ToExecutor,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{WaitId, WaitIdOptions, waitid},
};

use crate::{
    channel::{Channel, ChannelError, Incoming},
    sys,
};
use attempts::Attempts;
use awake::Awake;
use crew::{Crew, Task};
use fencing::Spared;
use proofs::Proofs;
use records::Records;
use slow::Strain;
use terms::{Action, Event, Operation};
use tie_breaks::TieBreaks;
use unit::Unit;

/// Priority of the executor and of its threads among the real-time ones: below the core, which they work for, and above
/// everything that is no part of this.
const PRIORITY: i32 = 4;

/// What an executor needs to know.
pub struct Options {
    /// The node's name.
    pub node: NodeName,
    /// Where records, plans and logs are: `/run/heart/executor`.
    pub run_dir: PathBuf,
    /// The command that becomes a keeper; the path of its plan is appended.
    pub keeper: Vec<OsString>,
    /// The file in which keepers read the lease.
    pub board: PathBuf,
    /// Where the lease can be read. If not given, [`ToExecutor::Lease`] tells it.
    pub lease: Option<Arc<dyn LeaseView>>,
    /// Signalled when the lease was over and goes on again.
    pub wake: Option<OwnedFd>,
    /// Where OCF agents are: [`heart_agents::ocf::OCF_ROOT`].
    pub ocf_root: PathBuf,
    /// Where the programs are that switch nodes off.
    pub fence: Places,
    /// The cluster's name: nodes have slots on disks of their cluster only.
    pub cluster: String,
    /// The disks over which nodes are told to reset themselves.
    pub disks: Vec<FenceDevice>,
    /// Proves to a witness that this node belongs to its cluster.
    pub witness_key: WitnessKey,
}

/// Why an executor ended. Nothing was stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The channel to the core is unusable.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The records cannot be read or written: then nothing may be confirmed.
    #[error("cannot keep records in {}: {cause}", folder.display())]
    Records {
        /// Where.
        folder: PathBuf,
        /// What was said.
        cause: io::Error,
    },
    /// The kernel refuses what an event loop needs.
    #[error("cannot wait for events: {0}")]
    Wait(#[from] io::Error),
}

/// Runs an executor until the other end of the connection is closed for good.
///
/// # Errors
/// Why it had to end. Whatever runs keeps running.
pub fn run(connection: OwnedFd, options: Options) -> Result<(), ExecutorError> {
    let mut executor = Executor::begin(connection, options)?;
    memory::forget_the_start();
    hurry();
    loop {
        match executor.turn() {
            Ok(()) => {}
            Err(ExecutorError::Channel(ChannelError::Closed)) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Sees to it that on a busy machine, too, the death of a service is noticed at once, and what is started or stopped is
/// so in time. What agents run does not inherit that.
fn hurry() {
    if let Err(error) = sys::become_real_time(PRIORITY) {
        tracing::warn!("the executor runs without real-time priority, and may be late under load: {error}");
    }
    if let Err(error) = sys::lock_memory() {
        tracing::warn!("the executor's memory may be paged out, and be late when it is needed: {error}");
    }
}

/// A session that is being let go.
struct LettingGo {
    session: Session,
    everything: bool,
    /// What stops one after the other, because others may rest on it: the last started first.
    queue: VecDeque<ResourceName>,
}

struct Executor {
    channel: Channel,
    agents: Arc<Agents>,
    lease: Arc<dyn LeaseView>,
    told: Option<Arc<ToldLease>>,
    records: Records,
    run_dir: PathBuf,
    crew: Crew,
    attempts: Attempts,
    spared: Arc<Spared>,
    proofs: Proofs,
    tie_breaks: TieBreaks,
    units: BTreeMap<ResourceName, Unit>,
    due: BTreeMap<ResourceName, Instant>,
    watches: BTreeMap<ResourceName, OwnedFd>,
    letting_go: Option<LettingGo>,
    over: Option<Session>,
    sequence: u64,
    awake: Awake,
    /// Processes that the kernel refused to make, when they were last told of.
    refused: u64,
}

impl Executor {
    fn begin(connection: OwnedFd, options: Options) -> Result<Executor, ExecutorError> {
        let told = options.lease.is_none().then(|| Arc::new(ToldLease::default()));
        let lease: Arc<dyn LeaseView> = match (&options.lease, &told) {
            (Some(lease), _) => Arc::clone(lease),
            (None, Some(told)) => Arc::clone(told) as Arc<dyn LeaseView>,
            (None, None) => unreachable!("one of them is there"),
        };
        let run_dir = options.run_dir;
        let wrong = |cause| ExecutorError::Records { folder: run_dir.clone(), cause };
        let records = Records::open(&run_dir).map_err(wrong)?;
        let left = records.read().map_err(wrong)?;
        let me = options.node.clone();
        let keeper = KeeperSetup { command: options.keeper, run_dir: run_dir.clone(), board: options.board };
        let agents = Arc::new(Agents::new(Setup {
            node: options.node.to_string(),
            lease: Arc::clone(&lease),
            wake: options.wake,
            keeper,
            ocf_root: options.ocf_root,
        })?);
        let fencing = Fencing::new(options.fence).of(&options.cluster, &options.node);
        let (attempts, proofs, spared) = fencing::begin(fencing, options.disks, &lease)?;
        let change = move |order: &TieBreakOrder, cancel: &Bell| {
            tie_break::carry_out(order, &me, &options.witness_key, cancel)
        };
        let over = records.session();
        let mut executor = Executor {
            channel: Channel::new(connection)?,
            crew: Crew::new(Arc::clone(&agents))?,
            attempts,
            spared,
            proofs,
            tie_breaks: TieBreaks::new(Arc::new(change))?,
            agents,
            lease,
            told,
            records,
            run_dir,
            sequence: left.iter().map(|record| record.sequence).max().unwrap_or_default(),
            units: left
                .into_iter()
                .map(|record| (record.resource.clone(), Unit::from_record(record)))
                .collect(),
            due: BTreeMap::new(),
            watches: BTreeMap::new(),
            letting_go: None,
            over,
            awake: Awake::begin()?,
            refused: refused::count(),
        };
        executor.adopt()?;
        Ok(executor)
    }

    /// Takes up what an earlier executor left.
    fn adopt(&mut self) -> Result<(), ExecutorError> {
        let specs = self.units.values().filter_map(|unit| unit.held()).map(|held| &held.spec);
        if let Err(error) = self.agents.reclaim(specs) {
            tracing::error!("the gate cannot be taken up, addresses go silent with the lease: {error}");
        }
        for name in self.units.keys().cloned().collect::<Vec<_>>() {
            self.step(&name, Event::Adopt)?;
        }
        Ok(())
    }

    /// Waits for something to happen, and deals with all that has.
    fn turn(&mut self) -> Result<(), ExecutorError> {
        let ended = self.wait()?;
        for name in ended {
            self.on_death(&name)?;
        }
        self.channel.flush()?;
        for incoming in self.channel.receive()? {
            match incoming {
                Incoming::Hello => self.tell_inventory()?,
                Incoming::Message(message) => self.on_message(message)?,
            }
        }
        for done in self.crew.finished() {
            let late = (done.outcome == Outcome::TimedOut).then(|| Strain::now(done.late).stalled());
            let (ticket, outcome, stalled) = (done.ticket, done.outcome, late.flatten());
            self.step(&done.resource, Event::Ended { ticket, outcome, stalled })?;
        }
        self.tell_refused()?;
        for report in self.attempts.finished() {
            self.channel.send(&FromExecutor::Fenced(report))?;
        }
        for (proof, finding) in self.proofs.finished() {
            self.channel.send(&FromExecutor::Proved { proof, finding })?;
        }
        for report in self.tie_breaks.finished() {
            self.channel.send(&FromExecutor::TieBroken(report))?;
        }
        self.on_notices()?;
        self.on_time()?;
        self.go_on_letting_go()?;
        self.awake.follow(self.units.values().any(|unit| unit.held().is_some()));
        Ok(())
    }

    /// Waits; which resources' processes have ended meanwhile.
    fn wait(&mut self) -> Result<Vec<ResourceName>, ExecutorError> {
        let now = Instant::now();
        let left = self.due.values().min().map(|at| at.saturating_duration_since(now)).map(timespec);
        let writing = if self.channel.wants_to_write() { PollFlags::OUT } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(&self.channel, PollFlags::IN | writing),
            PollFd::new(&self.crew, PollFlags::IN),
            PollFd::new(self.agents.notices(), PollFlags::IN),
            PollFd::new(&self.attempts, PollFlags::IN),
            PollFd::new(&self.proofs, PollFlags::IN),
            PollFd::new(&self.tie_breaks, PollFlags::IN),
        ];
        let ours = fds.len();
        fds.extend(self.watches.values().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ExecutorError::Wait(error.into())),
        }
        let ended = self.watches.keys().zip(&fds[ours..]).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ended.map(|(name, _)| name.clone()).collect())
    }

    /// Tells of processes that the kernel refused to make since the last time.
    fn tell_refused(&mut self) -> Result<(), ExecutorError> {
        let count = refused::count();
        let before = std::mem::replace(&mut self.refused, count);
        if count == before {
            return Ok(());
        }
        let why = format!("{} for agents: too many processes, or too little memory", count - before);
        Ok(self.channel.send(&FromExecutor::NoProcess(why))?)
    }

    fn on_message(&mut self, message: ToExecutor) -> Result<(), ExecutorError> {
        match message {
            ToExecutor::Configure { resources } => self.configure(resources),
            ToExecutor::Obey(order) => self.obey(order),
            ToExecutor::LetGo { session, everything } => self.let_go(session, everything),
            ToExecutor::Lease { until } => {
                if let Some(told) = &self.told {
                    told.tell(until);
                }
                Ok(())
            }
            ToExecutor::Inventory => self.tell_inventory(),
            ToExecutor::Fence(order) => {
                self.attempts.take(order);
                Ok(())
            }
            ToExecutor::Spare { node, attempt } => {
                self.spared.note(node, attempt);
                Ok(())
            }
            ToExecutor::Prove(proof) => {
                self.proofs.take(proof);
                Ok(())
            }
            ToExecutor::TieBreak(order) => {
                self.tie_breaks.take(*order);
                Ok(())
            }
        }
    }

    fn configure(&mut self, resources: Vec<(ResourceName, ResourceSpec)>) -> Result<(), ExecutorError> {
        let mut wanted: BTreeMap<_, _> = resources.into_iter().collect();
        for name in self.units.keys().cloned().collect::<Vec<_>>() {
            let spec = wanted.remove(&name);
            self.step(&name, Event::Configured(spec.map(Box::new)))?;
        }
        for (name, spec) in wanted {
            self.units.insert(name.clone(), Unit::new(name.clone()));
            self.step(&name, Event::Configured(Some(Box::new(spec))))?;
        }
        self.forget();
        Ok(())
    }

    /// Forgets what is neither configured nor of any consequence.
    fn forget(&mut self) {
        let (records, due) = (&self.records, &mut self.due);
        self.units.retain(|name, unit| {
            let keep = !unit.is_forgotten();
            if !keep {
                records.remove(name);
                due.remove(name);
            }
            keep
        });
    }

    fn obey(&mut self, order: Order) -> Result<(), ExecutorError> {
        let name = order.resource.clone();
        let over = self
            .over
            .is_some_and(|over| over.boot == order.session.boot && order.session.number <= over.number);
        let lease_left = if over { Duration::ZERO } else { lease::remaining(&*self.lease) };
        let unit = self.units.entry(name.clone()).or_insert_with(|| Unit::new(name.clone()));
        if unit.held().is_none() && order.act == Act::Start {
            self.sequence += 1;
            unit.sequence = self.sequence;
        }
        self.step(&name, Event::Ordered { order, lease_left })
    }

    /// The right to run things is over: silence first, then stop.
    fn let_go(&mut self, session: Session, everything: bool) -> Result<(), ExecutorError> {
        let cut = self.units.values().filter(|unit| unit.is_guarded_by_lease());
        self.agents.cut(cut.filter_map(|unit| unit.held()).map(|held| &held.spec));
        if everything {
            self.over = Some(session);
            self.records.end_session(session).map_err(|cause| self.cannot_record(cause))?;
        }
        let mut held: Vec<_> = self.units.iter().filter(|(_, unit)| unit.held().is_some()).collect();
        held.sort_by_key(|(_, unit)| std::cmp::Reverse(unit.sequence));
        let (at_once, in_turn): (Vec<_>, Vec<_>) = held
            .into_iter()
            .map(|(name, unit)| (name.clone(), unit.is_guarded_by_lease()))
            .partition(|one| one.1);
        let queue = if everything { in_turn.into_iter().map(|one| one.0).collect() } else { VecDeque::new() };
        for (name, _) in at_once {
            self.step(&name, Event::LetGo { session, how: Stop::AtOnce })?;
        }
        self.letting_go = Some(LettingGo { session, everything, queue });
        Ok(())
    }

    /// Stops the next one in turn; tells when nothing is left.
    fn go_on_letting_go(&mut self) -> Result<(), ExecutorError> {
        let Some(mut letting_go) = self.letting_go.take() else { return Ok(()) };
        let session = letting_go.session;
        // Bounded by the queue: each round takes one off, or ends.
        while let Some(name) = letting_go.queue.front().cloned() {
            self.step(&name, Event::LetGo { session, how: Stop::Orderly })?;
            let waits = self.units.get(&name).is_some_and(|unit| unit.held().is_some() && !unit.is_stuck());
            if waits {
                break;
            }
            letting_go.queue.pop_front();
        }
        let left = self.units.values().filter_map(|unit| unit.held()).any(|held| {
            let old = held.session.boot != session.boot || held.session.number <= session.number;
            old && (letting_go.everything || held.spec.guard == Guard::Lease)
        });
        if left {
            self.letting_go = Some(letting_go);
            return Ok(());
        }
        Ok(self.channel.send(&FromExecutor::LetGo { session })?)
    }

    fn tell_inventory(&mut self) -> Result<(), ExecutorError> {
        let all = self.units.values().map(Unit::inventory).collect();
        Ok(self.channel.send(&FromExecutor::Inventory(all))?)
    }

    /// The process behind a resource has ended.
    fn on_death(&mut self, name: &ResourceName) -> Result<(), ExecutorError> {
        if let Some(fd) = self.watches.remove(name) {
            // If it is our child, nobody else takes its exit status.
            waitid(WaitId::PidFd(fd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok();
        }
        let why = self.post_mortem(name).unwrap_or_else(|| "its process has ended".to_owned());
        self.step(name, Event::Lost(why))
    }

    /// Asks the agent what something that has ended died of.
    fn post_mortem(&self, name: &ResourceName) -> Option<String> {
        let held = self.units.get(name)?.held()?;
        let agent = self.agents.get(&held.spec.agent).ok()?;
        let cancel = Bell::new().ok()?;
        let job = Job {
            resource: name,
            spec: &held.spec,
            epoch: held.epoch,
            session: held.session,
            deadline: Instant::now(),
            cancel: &cancel,
        };
        match agent.status(&job) {
            Outcome::Failed(why) => Some(why),
            _ => None,
        }
    }

    fn on_notices(&mut self) -> Result<(), ExecutorError> {
        let (notices, overflown) = self.agents.notices().take();
        for notice in notices {
            let event = match notice.what {
                Happened::Lost(why) => Event::Lost(why),
                Happened::Restored(what) => {
                    tracing::warn!("{}: {what}", notice.resource);
                    Event::Regained
                }
            };
            self.step(&notice.resource, event)?;
        }
        if overflown {
            for name in self.units.keys().cloned().collect::<Vec<_>>() {
                self.step(&name, Event::Due)?;
            }
        }
        Ok(())
    }

    fn on_time(&mut self) -> Result<(), ExecutorError> {
        let now = Instant::now();
        let due: Vec<_> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.due.remove(&name);
            self.step(&name, Event::Due)?;
        }
        Ok(())
    }

    /// Hands an event to a unit, and does what it says.
    fn step(&mut self, name: &ResourceName, event: Event) -> Result<(), ExecutorError> {
        let Some(unit) = self.units.get_mut(name) else { return Ok(()) };
        let actions = unit.step(event);
        for action in actions {
            self.perform(name, action)?;
        }
        Ok(())
    }

    fn perform(&mut self, name: &ResourceName, action: Action) -> Result<(), ExecutorError> {
        let Some(unit) = self.units.get_mut(name) else { return Ok(()) };
        match action {
            Action::Record => {
                let record = unit.record();
                self.records.write(&record).map_err(|cause| self.cannot_record(cause))?;
            }
            Action::Run { ticket, operation, held } => {
                if matches!(operation, Operation::Stop(_)) {
                    self.watches.remove(name);
                    self.due.remove(name);
                }
                self.crew.take(Task { resource: name.clone(), ticket, operation, held: *held });
            }
            Action::Cancel(ticket) => self.crew.cancel(name, ticket),
            Action::Report(id, outcome) => {
                let report = Report { id, outcome, resource: unit.inventory() };
                self.channel.send(&FromExecutor::Report(report))?;
            }
            Action::Changed => {
                let inventory = unit.inventory();
                self.channel.send(&FromExecutor::Changed(inventory))?;
            }
            Action::Watch => self.watch(name),
            Action::WakeAfter(wait) => {
                self.due.insert(name.clone(), Instant::now() + wait);
            }
        }
        Ok(())
    }

    fn watch(&mut self, name: &ResourceName) {
        let Some(held) = self.units.get(name).and_then(Unit::held) else { return };
        let (Ok(agent), Ok(cancel)) = (self.agents.get(&held.spec.agent), Bell::new()) else { return };
        let job = Job {
            resource: name,
            spec: &held.spec,
            epoch: held.epoch,
            session: held.session,
            deadline: Instant::now(),
            cancel: &cancel,
        };
        if let Some(fd) = agent.watch(&job) {
            self.watches.insert(name.clone(), fd);
        }
    }

    fn cannot_record(&self, cause: io::Error) -> ExecutorError {
        ExecutorError::Records { folder: self.run_dir.clone(), cause }
    }
}
