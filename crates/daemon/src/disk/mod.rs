//! This machine's part on disks over which it can be told to reset itself.
//!
//! A process of its own, a child of the executor, reads the messages on each of them in rounds and says in this node's
//! slot that it did; what follows is for [`heart_disk::pill`] to say. A disk that stalls lets a process go as little
//! as a thread, so it is none of those that a node cannot do without, and there is one at a time: the lock of one that
//! hangs is held until the kernel lets it end.
//!
//! It writes down until when this machine may go on without a lease: who feeds the watchdog has to look there
//! ([`may_feed`]), as others count on its reset. Where it is alive itself it does not wait for that.

mod pledge;
mod reset;

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use heart_agents::{
    LeaseView as _, clock, descriptors,
    disk::{Disk, bounded},
    wait::{self, Bell},
};
use heart_disk::{
    Area, Slot,
    layout::Stands,
    pill::{Look, Rounds, Seen},
    records::{Beat, Messages, Pledge},
};
use heart_model::{BootId, FenceDevice, NodeName, Spec};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Signal, getppid, set_parent_process_death_signal},
};

use crate::{
    setup::{BoardLease, Running},
    sys,
    sys::MappedBoard,
};
use pledge::Pledged;
pub use pledge::{Fed, may_feed};
use reset::reset;

/// How long is waited before a process that has ended is started again, and before files are looked at again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long writing that a message is obeyed may take: then the machine is reset without.
const SAY_MAX: Duration = Duration::from_secs(1);
/// How long the disks are given to take note that this process ends in order.
const END_MAX: Duration = Duration::from_secs(2);

/// The disks over which nodes of a cluster are told to reset themselves, each once.
#[must_use]
pub fn all(spec: &Spec) -> Vec<FenceDevice> {
    let mut known = BTreeSet::new();
    let devices = spec.nodes.values().flat_map(|node| node.fence.iter().flatten());
    devices.filter(|device| device.disk().is_some_and(|path| known.insert(path))).cloned().collect()
}

/// The disks over which one node is told to reset itself.
fn of_node(spec: &Spec, node: &NodeName) -> BTreeSet<PathBuf> {
    let devices = spec.nodes.get(node).into_iter().flat_map(|node| node.fence.iter().flatten());
    devices.filter_map(FenceDevice::disk).map(PathBuf::from).collect()
}

/// Starts the thread that keeps the process running where the file names a disk for this node.
pub(crate) fn start(run: &Path) -> anyhow::Result<()> {
    let run = run.to_owned();
    thread::Builder::new().name("heart-disks".into()).spawn(move || keep(&run))?;
    Ok(())
}

/// Starts it, again and again, as long as this process lives.
fn keep(run: &Path) {
    let mut read = None;
    let mut needed = false;
    loop {
        let changed = changed_at(run);
        if changed != read {
            read = changed;
            needed =
                Running::find(run).is_some_and(|now| !of_node(&now.setup.spec, &now.setup.me).is_empty());
        }
        if needed {
            let mut command = Command::new("/proc/self/exe");
            command.arg0("heart").args(["internal", "disk"]).arg(run).stdin(Stdio::null());
            descriptors::as_before(&mut command);
            let ended = command.spawn().and_then(|mut child| child.wait());
            match ended {
                Ok(exit) if exit.success() => {}
                Ok(exit) => {
                    tracing::error!("who looks at the shared disk ended ({exit}); it is started again");
                }
                Err(error) => tracing::error!("nobody can look at the shared disk: {error}"),
            }
        }
        pause(AGAIN);
    }
}

fn pause(wait: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
    thread::sleep(wait);
}

/// When what this node runs with was written.
fn changed_at(run: &Path) -> Option<SystemTime> {
    std::fs::metadata(crate::setup::running_path(run)).and_then(|metadata| metadata.modified()).ok()
}

/// Looks at the disks of this node until it is told to end, or the file names others.
///
/// # Errors
/// What this machine refuses.
pub(crate) fn run(run: &Path) -> anyhow::Result<()> {
    sys::name_process("heart-disk");
    let signals = sys::signals(&[libc::SIGTERM]).context("cannot hear signals")?;
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot end with the executor")?;
    if !is_child_of_executor() {
        return Ok(());
    }
    let path = run.join("disk.lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    // Held by an earlier one as long as it hangs at a disk; nothing is done meanwhile, and the watchdog knows.
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        if is_told(&signals, AGAIN) {
            return Ok(());
        }
    }
    let running = Running::find(run)
        .with_context(|| format!("{} does not tell what this node runs with", run.display()))?;
    let (setup, since) = (&running.setup, changed_at(run));
    let pledged = Arc::new(
        Pledged::open(run).with_context(|| format!("cannot read what was pledged in {}", run.display()))?,
    );
    let ends = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for device in of_node(&setup.spec, &setup.me) {
        let reader = Reader::new(&running, device, &pledged, &ends)?;
        readers.push(thread::Builder::new().name("heart-rounds".into()).spawn(move || reader.read_on())?);
    }
    let lease = BoardLease::open(&setup.places.board())?;
    loop {
        let look = setup.spec.timing.disk_look();
        if is_told(&signals, look) || changed_at(run) != since {
            break;
        }
        if !pledged.may_go_on(clock::now(), &lease) {
            reset("it has no lease, and did not get through a look at the shared disk for too long");
        }
    }
    ends.store(true, Ordering::SeqCst);
    let end = Instant::now() + END_MAX;
    while readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < end {
        pause(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether a signal that ends this process has come, or comes within that time.
fn is_told(signals: &OwnedFd, within: Duration) -> bool {
    wait::any(&[signals.as_fd()], Some(Instant::now() + within)).is_ok_and(|ready| ready[0])
}

/// Whether the executor lives, at whose end this process is told to end: it may have died just before that was asked.
fn is_child_of_executor() -> bool {
    let parent = getppid().map(|pid| format!("/proc/{}/comm", pid.as_raw_nonzero()));
    parent.is_some_and(|path| std::fs::read_to_string(path).is_ok_and(|name| name.trim() == "heart-executor"))
}

/// The rounds on one disk.
struct Reader {
    device: PathBuf,
    cluster: String,
    me: NodeName,
    boot: BootId,
    look_every: Duration,
    patience: Duration,
    lost_after: Duration,
    /// What the watchdog of this node sees to, once it is armed and if this machine is never paused.
    pledge: Option<Pledge>,
    board: MappedBoard,
    lease: BoardLease,
    pledged: Arc<Pledged>,
    ends: Arc<AtomicBool>,
}

impl Reader {
    fn new(
        running: &Running,
        device: PathBuf,
        pledged: &Arc<Pledged>,
        ends: &Arc<AtomicBool>,
    ) -> anyhow::Result<Reader> {
        let setup = &running.setup;
        let timing = setup.spec.timing;
        let watched =
            setup.spec.nodes.get(&setup.me).is_some_and(|node| node.watchdog.is_some() && node.never_paused);
        let pledge = Pledge { off_within: timing.disk_off_within(), reset: timing.disk_reset() };
        Ok(Reader {
            device,
            cluster: setup.spec.cluster.name.to_string(),
            me: setup.me.clone(),
            boot: setup.boot()?,
            look_every: timing.disk_look(),
            patience: timing.disk_patience(),
            lost_after: timing.lost_after,
            pledge: watched.then_some(pledge),
            lease: BoardLease::open(&setup.places.board())?,
            board: setup.board()?,
            pledged: Arc::clone(pledged),
            ends: Arc::clone(ends),
        })
    }

    /// Makes rounds until this process ends.
    fn read_on(&self) {
        let (mut failed, mut seen) = (None, Seen::default());
        while !self.ends.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let found = self.round(&mut seen);
            match (&found, &failed) {
                (Err(why), None) => {
                    tracing::error!(
                        "this node cannot be told over {} to reset itself: {why}",
                        self.device.display()
                    );
                }
                (Ok(()), Some(_)) => tracing::info!("{} is read again", self.device.display()),
                _ => {}
            }
            failed = found.err();
            pause(self.look_every.saturating_sub(begun.elapsed()).max(self.look_every / 4));
        }
        // Nobody is to count on the watchdog of a machine on which Heart was stopped.
        if let Err(why) = self.take_back() {
            tracing::error!("others may count on this node's watchdog as before: {why}");
        }
    }

    /// Reads all messages, and says so.
    fn round(&self, seen: &mut Seen) -> Result<(), String> {
        let begun = clock::now();
        let (disk, slot) = Disk::open_as(&self.device, &self.cluster, &self.me)?;
        let mut stands = disk.read::<Beat>(Area::Beats, slot)?;
        let pledge = self.pledge.filter(|_| self.board.board().is_watched());
        let read = disk.read_all::<Messages>(Area::Messages)?;
        let all: Vec<(Slot, Messages)> =
            (0..).map(Slot).zip(read.into_iter().map(|one| one.record)).collect();
        let look = Look { now: begun, lease_until: self.lease.until(), lost_after: self.lost_after };
        let told = seen.told(slot, self.boot, &all, &look);
        let rounds = &mut Rounds::new(self.boot, &stands.record, pledge);
        let (mut beat, obeys) = rounds.go_on(told, clock::realtime() / 1_000_000);
        if obeys {
            self.obey(disk, slot, stands, beat);
        }
        // Before others are told that they can count on it.
        let (pledge, kept) = pledge::told(&self.pledged, pledge, &self.device, begun.after(self.patience));
        beat.pledge = pledge;
        disk.write(Area::Beats, slot, &mut stands, beat)?;
        kept
    }

    /// Says that this machine obeys, and resets it, whether or not that could be said.
    fn obey(&self, disk: Disk, slot: Slot, mut stands: Stands<Beat>, mut beat: Beat) -> ! {
        // First of all: from now on nobody feeds the watchdog. Where somebody may, nobody is to count on it.
        if let Err(why) = self.pledged.condemn() {
            tracing::error!("the watchdog may still be fed: {why}");
            beat.pledge = None;
        }
        let said = Bell::new().map_err(|error| error.to_string()).and_then(|cancel| {
            bounded(&self.device, SAY_MAX, &cancel, move || disk.write(Area::Beats, slot, &mut stands, beat))
        });
        if let Err(why) = said {
            tracing::error!("that it obeys could not be written: {why}");
        }
        reset("another node told it to, over the shared disk")
    }

    fn take_back(&self) -> Result<(), String> {
        let (disk, slot) = Disk::open_as(&self.device, &self.cluster, &self.me)?;
        let mut stands = disk.read::<Beat>(Area::Beats, slot)?;
        if stands.record.boot != Some(self.boot) || stands.record.obeys.is_some() {
            return Ok(());
        }
        let beat = Beat { pledge: None, ..stands.record.clone() };
        disk.write(Area::Beats, slot, &mut stands, beat)?;
        self.pledged.take_back(&self.device)
    }
}
