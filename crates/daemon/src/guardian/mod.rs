//! The guardian: starts the other three, and starts them again when they die.
//!
//! It is small, single-threaded, and decides nothing about the cluster. What must outlive a child
//! it has opened: the channels between them, the sockets of the links, and the one that people
//! connect to; they are handed to every child under fixed numbers. What the cluster is it has read
//! once, and keeps in a file of the boot: a file that is edited into nonsense does no harm to what
//! runs.
//!
//! It may be killed like the others. Two spares, forked off when it began, wait for its lock: the
//! kernel opens that when the guardian dies, and one spare is the guardian within a millisecond. If
//! all are killed at once the executor starts a new one, which gets the descriptors back from any
//! child that lives, and adopts them all.

mod child;
mod spare;
mod stop;
mod watchdog;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    os::{
        fd::{AsFd, OwnedFd, RawFd},
        unix::{
            fs::{OpenOptionsExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use heart_agents::{memory, wait::timespec};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FlockOperation, flock},
    process::{Pid, Signal, WaitOptions, pidfd_send_signal, wait},
};

use crate::{
    channel,
    core::links,
    life::{self, MachineRun},
    rights::User,
    setup::{Places, Running},
    sys,
};
pub use child::Role;
pub(crate) use child::wait_at_gate;
use child::{
    Child, DYING_PATIENCE, ROLES, Restarts, await_all, find, find_recorded, start, take_from_first,
    write_down,
};
use spare::{Forked, Gate, SPARES, Spare};
use stop::{Next, Stop};
use watchdog::Watchdog;
pub(crate) use watchdog::is_guest;

/// The first number under which descriptors are handed to children.
pub(crate) const FIRST_FD: RawFd = 40;
/// Where the descriptors are, counted from [`FIRST_FD`].
pub(crate) mod place {
    /// The core's end of its channel to the executor.
    pub(crate) const CORE_TO_EXECUTOR: usize = 0;
    /// The executor's end of it.
    pub(crate) const EXECUTOR_TO_CORE: usize = 1;
    /// The core's end of its channel to the gateway.
    pub(crate) const CORE_TO_GATEWAY: usize = 2;
    /// The gateway's end of it.
    pub(crate) const GATEWAY_TO_CORE: usize = 3;
    /// The socket to which people connect.
    pub(crate) const LISTENER: usize = 4;
    /// The sockets of the links, from here on.
    pub(crate) const LINKS: usize = 5;
}

/// The wait before something that could not be started is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long a guardian that a person starts waits for the lock of one that is about to end.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// How long something waits before it looks for the lock again.
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Orphans that are reaped in one turn.
const ORPHANS_PER_TURN: usize = 64;

/// What is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Post {
    /// One that works.
    Child(Role),
    /// One that waits for the guardian's place.
    Spare(usize),
}

impl Post {
    /// Its place among [`Guardian::restarts`].
    fn number(self) -> usize {
        match self {
            Post::Child(role) => role as usize,
            Post::Spare(slot) => ROLES.len() + slot,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Post::Child(role) => role.word(),
            Post::Spare(_) => "spare",
        }
    }
}

struct Guardian {
    running: Running,
    /// Held as long as this process is the guardian.
    lock: File,
    fds: Vec<OwnedFd>,
    children: Vec<Child>,
    spares: Vec<Spare>,
    /// Who is to be started, and when.
    due: Vec<(Post, Instant)>,
    restarts: [Restarts; ROLES.len() + SPARES],
    signals: OwnedFd,
    stopping: Option<Stop>,
    watchdog: Watchdog,
}

/// Runs a node until it is asked to stop.
///
/// # Errors
/// Why it cannot run: the configuration with every mistake, or what this machine refuses.
pub fn run(places: &Places) -> anyhow::Result<()> {
    fs::create_dir_all(&places.run)
        .with_context(|| format!("cannot make the folder {}", places.run.display()))?;
    // Of an earlier guardian's children some may live: then what they run with is what counts.
    if let Some(running) = Running::find(&places.run).filter(|running| is_served(&running.setup.places)) {
        let lock = lock(&places.run, LOCK_PATIENCE)?;
        return Guardian::adopt(running, lock)?.guard();
    }
    let running = Running::read(places)?;
    let lock = lock(&places.run, LOCK_PATIENCE)?;
    Guardian::begin(running, lock)?.guard()
}

/// Takes up what runs in this directory, if nobody else guards it. For the executor, when guardian
/// and spare are gone.
///
/// # Errors
/// What this machine refuses.
pub fn take_over(run: &Path) -> anyhow::Result<()> {
    let Ok(lock) = lock(run, Duration::ZERO) else { return Ok(()) };
    let running = Running::find(run).with_context(|| format!("{} tells nothing", run.display()))?;
    Guardian::adopt(running, lock)?.guard()
}

fn is_served(places: &Places) -> bool {
    ROLES.into_iter().any(|role| find(places, role).is_some_and(|child| !child.is_dying()))
}

fn open_lock(run: &Path) -> anyhow::Result<File> {
    let path = run.join("guardian.lock");
    let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    options.with_context(|| format!("cannot open {}", path.display()))
}

fn lock(run: &Path, patience: Duration) -> anyhow::Result<File> {
    let file = open_lock(run)?;
    let end = Instant::now() + patience;
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= end {
            bail!("another `heart daemon` runs with {}\nhint: `heart status` shows it", run.display());
        }
        poll(&mut [], Some(&timespec(LOCK_PAUSE))).ok();
    }
    Ok(file)
}

/// The descriptors of a node that starts from nothing.
fn open(running: &Running) -> anyhow::Result<Vec<OwnedFd>> {
    let setup = &running.setup;
    let (core_executor, executor) = channel::pair()?;
    let (core_gateway, gateway) = channel::pair()?;
    let mut fds = vec![core_executor, executor, core_gateway, gateway, listen(&setup.places.socket())?];
    fds.extend(links::open(&setup.spec, &setup.me)?);
    Ok(fds)
}

/// The socket that people connect to; whoever waits there is not turned away while a gateway starts.
fn listen(path: &Path) -> anyhow::Result<OwnedFd> {
    fs::remove_file(path).ok();
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    // Whoever may write to it may move resources: root only.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// The descriptors that a living child has from an earlier guardian.
fn take_back(child: &Child, running: &Running) -> anyhow::Result<Vec<OwnedFd>> {
    let copy = |place: usize| sys::copy_fd(&child.pidfd, FIRST_FD + place as RawFd);
    (0..place::LINKS + running.setup.links())
        .map(copy)
        .collect::<std::io::Result<_>>()
        .with_context(|| format!("cannot take the channels over from the {} that runs", child.role.word()))
}

fn record_path(run: &Path) -> PathBuf {
    run.join("guardian.pid")
}

/// The guardian that runs in this directory, if one does.
pub(crate) fn find_guardian(run: &Path) -> Option<OwnedFd> {
    find_recorded(&record_path(run)).map(|(_, pidfd)| pidfd)
}

impl Guardian {
    /// A node that starts from nothing.
    fn begin(running: Running, lock: File) -> anyhow::Result<Guardian> {
        let places = &running.setup.places;
        await_all(places)?;
        fs::create_dir_all(&places.state)
            .with_context(|| format!("cannot make the folder {}", places.state.display()))?;
        if let Err(error) = User::of_core().own(&places.state) {
            tracing::warn!("{} stays root's, and the core with it: {error}", places.state.display());
        }
        life::take(places, &MachineRun::this()?)?;
        running.write()?;
        stop::forget(&places.run);
        let fds = open(&running)?;
        Guardian::new(running, lock, fds, true)
    }

    /// A node whose guardian was killed, and of whose children some may live.
    fn adopt(running: Running, lock: File) -> anyhow::Result<Guardian> {
        let places = &running.setup.places;
        let living: Vec<Child> =
            [Role::Executor, Role::Core].into_iter().filter_map(|role| find(places, role)).collect();
        let fds = match take_from_first(&living, DYING_PATIENCE, |child| take_back(child, &running))? {
            Some(fds) => fds,
            None => {
                // What it has is not enough to go on with; nobody would miss it.
                find(places, Role::Gateway).iter().for_each(|gateway| end(&gateway.pidfd));
                open(&running)?
            }
        };
        Guardian::new(running, lock, fds, false)
    }

    fn new(running: Running, lock: File, fds: Vec<OwnedFd>, begins: bool) -> anyhow::Result<Guardian> {
        let signals = hear()?;
        let watchdog = Watchdog::begin(&running, begins)?;
        let mut guardian = Guardian {
            running,
            lock,
            fds,
            children: Vec::new(),
            spares: Vec::new(),
            due: Vec::new(),
            restarts: Default::default(),
            signals,
            stopping: None,
            watchdog,
        };
        spare::hurry();
        guardian.take_office()?;
        tracing::info!("{} guards this node", guardian.running.setup.me);
        Ok(guardian)
    }

    fn run_dir(&self) -> &Path {
        &self.running.setup.places.run
    }

    /// Finds out who lives, and who is missing.
    fn take_office(&mut self) -> anyhow::Result<()> {
        let places = &self.running.setup.places;
        write_down(&record_path(&places.run), std::process::id() as i32)?;
        sys::adopt_orphans().context("cannot take care of orphans")?;
        self.children = ROLES.into_iter().filter_map(|role| find(places, role)).collect();
        self.spares = spare::find_all(&places.run);
        let children = ROLES.into_iter().filter(|role| self.children.iter().all(|child| child.role != *role));
        let spares = (0..SPARES).filter(|slot| self.spares.iter().all(|spare| spare.slot != *slot));
        let now = Instant::now();
        // Nothing is more urgent than that somebody could take this place.
        let missing = spares.map(Post::Spare).chain(children.map(Post::Child));
        self.due = missing.map(|post| (post, now)).collect();
        if stop::is_asked_for(&places.run) {
            self.stop();
        }
        Ok(())
    }

    fn guard(&mut self) -> anyhow::Result<()> {
        self.start_due()?;
        memory::forget_the_start();
        loop {
            self.start_due()?;
            if let Some(stop) = self.stopping.take_if(|stop| stop.is_ending() && self.children.is_empty()) {
                self.leave_office();
                if stop.is_in_order() {
                    life::stopped_in_order(&self.running.setup.places);
                }
                return stop.end();
            }
            self.wait()?;
            self.hear_signals();
            self.bury();
            self.go_on_stopping();
            self.look_after_core();
        }
    }

    /// Feeds the watchdog if that is in order, and does something about a core that does not get on.
    fn look_after_core(&mut self) {
        let wanted = self.watchdog.turn();
        if wanted.restart_core {
            tracing::error!("the core shows no progress; it is started anew");
            self.signal(Role::Core, Signal::KILL);
        }
        if wanted.renew_spares {
            for spare in &self.spares {
                pidfd_send_signal(&spare.pidfd, Signal::KILL).ok();
            }
        }
        if wanted.stop && self.stopping.is_none() {
            tracing::error!("others count on a watchdog that cannot be fed any more: this node stops");
            self.stop();
        }
    }

    /// Everything has ended: nobody is to take over.
    fn leave_office(&mut self) {
        let places = &self.running.setup.places;
        // A spare that has the lock finds nobody whose place it could take: see `serve_as_spare`.
        for path in [record_path(&places.run), places.socket()] {
            fs::remove_file(path).ok();
        }
        stop::forget(&places.run);
        self.spares.drain(..).for_each(|spare| end(&spare.pidfd));
        self.watchdog.end();
    }

    fn start_due(&mut self) -> anyhow::Result<()> {
        if self.stopping.as_ref().is_some_and(Stop::is_ending) {
            self.due.clear();
            return Ok(());
        }
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = self.due.drain(..).partition(|(_, at)| *at <= now);
        self.due = later;
        for (post, _) in due {
            let done = match post {
                Post::Child(role) => start(&self.running.setup.places, role, &self.fds)
                    .map(|child| self.children.push(child))
                    .with_context(|| format!("cannot start the {}", role.word())),
                Post::Spare(slot) => match spare::fork(self.run_dir(), slot) {
                    Ok(Forked::Guardian(spare)) => {
                        self.spares.push(spare);
                        Ok(())
                    }
                    Ok(Forked::Spare(gate)) => return self.serve_as_spare(gate),
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = done {
                tracing::error!("{error:#}; trying again in {TRY_AGAIN:?}");
                self.due.push((post, now + TRY_AGAIN));
            }
            self.stopping.iter_mut().for_each(|stop| stop.look_at_once(now));
        }
        Ok(())
    }

    /// Waits for the guardian's end, and takes its place: who returns from here is the guardian.
    ///
    /// # Errors
    /// Why it cannot be; then it has to end.
    fn serve_as_spare(&mut self, gate: Gate) -> anyhow::Result<()> {
        self.children.clear();
        self.spares.clear();
        let run = &self.running.setup.places.run;
        spare::wait_for_place(&mut self.lock, run, gate).context("the spare cannot guard this node")?;
        anyhow::ensure!(
            record_path(self.run_dir()).exists(),
            "the node was stopped: nothing is to be guarded"
        );
        sys::name_process("heart-guardian");
        self.signals = hear()?;
        // The file may have been read again since this spare was made.
        if let Some(running) = Running::find(self.run_dir()) {
            self.running = running;
        }
        self.watchdog.take_over(&self.running.setup);
        self.take_office()?;
        tracing::warn!("the guardian has ended; its spare guards this node");
        Ok(())
    }

    fn wait(&self) -> anyhow::Result<()> {
        let now = Instant::now();
        let due = self
            .due
            .iter()
            .map(|(_, at)| *at)
            .chain(self.stopping.as_ref().map(Stop::due))
            .chain(self.watchdog.due())
            .min();
        let left = due.map(|at| timespec(at.saturating_duration_since(now)));
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let processes = self.children.iter().map(|child| &child.pidfd);
        let processes = processes.chain(self.spares.iter().map(|spare| &spare.pidfd));
        fds.extend(processes.map(|pidfd| PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for children"),
        }
    }

    fn hear_signals(&mut self) {
        let mut bytes = [0u8; 128];
        // One structure of 128 bytes a signal; the number is its first field (signalfd(2)).
        while let Ok(128) = rustix::io::read(&self.signals, &mut bytes) {
            let number = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if number == libc::SIGHUP {
                self.reload();
            } else if number != libc::SIGCHLD && self.stopping.is_none() {
                tracing::info!("asked to stop: handing over what runs here");
                self.stop();
            }
        }
    }

    /// Reads the file again. If all of it is right, the core takes it up in its next life; else
    /// everything stays as it is.
    fn reload(&mut self) {
        let done = self.running.read_again().and_then(|new| {
            new.write()?;
            self.running = new;
            self.watchdog.configure(&self.running.setup);
            Ok(())
        });
        match done {
            Ok(()) => {
                tracing::info!("the configuration was read again; the core starts anew with it");
                self.signal(Role::Core, Signal::KILL);
            }
            Err(error) => tracing::error!("everything stays as it is: {error:#}"),
        }
    }

    fn stop(&mut self) {
        let now = Instant::now();
        self.stopping = Some(Stop::begin(self.run_dir(), &self.running.setup.me, now));
        self.go_on_stopping();
    }

    fn signal(&self, role: Role, signal: Signal) {
        for child in self.children.iter().filter(|child| child.role == role) {
            pidfd_send_signal(&child.pidfd, signal).ok();
        }
    }

    /// Takes note of who has died, children of an earlier guardian too, and reaps orphans.
    fn bury(&mut self) {
        let core = self.children.iter().find(|child| child.role == Role::Core).map(|core| core.pid);
        let mut dead = Vec::new();
        for child in self.children.extract_if(.., |child| has_ended(&child.pidfd)) {
            dead.push((Post::Child(child.role), child.pid));
        }
        for spare in self.spares.extract_if(.., |spare| has_ended(&spare.pidfd)) {
            dead.push((Post::Spare(spare.slot), spare.pid));
        }
        let core_left = reap(core);
        let now = Instant::now();
        if let Some(stop) = self.stopping.as_mut() {
            // How somebody else's child ended nobody can tell: one more leaves, as it has nothing to hand over.
            let core_died = dead.iter().any(|(post, _)| *post == Post::Child(Role::Core));
            if core_left || core_died {
                stop.on_core(core_left, now);
            }
        }
        if self.stopping.as_ref().is_some_and(Stop::is_ending) {
            return;
        }
        for (post, pid) in dead {
            tracing::warn!("the {} (process {pid}) has ended; it is started again", post.word());
            self.due.push((post, now + self.restarts[post.number()].take(now)));
        }
    }

    fn go_on_stopping(&mut self) {
        let now = Instant::now();
        match self.stopping.as_mut().and_then(|stop| stop.look(now)) {
            None => {}
            // One that starts just now has not been told; others do not mind to be told again.
            Some(Next::Leave) => self.signal(Role::Core, Signal::TERM),
            Some(Next::End) => {
                self.signal(Role::Executor, Signal::TERM);
                self.signal(Role::Gateway, Signal::TERM);
            }
            Some(Next::Kill) => ROLES.into_iter().for_each(|role| self.signal(role, Signal::KILL)),
        }
    }
}

/// Reaps who has ended; whether this one did so with success.
fn reap(core: Option<Pid>) -> bool {
    let mut succeeded = false;
    for _ in 0..ORPHANS_PER_TURN {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => succeeded |= Some(pid) == core && status.exit_status() == Some(0),
            Ok(None) | Err(_) => break,
        }
    }
    succeeded
}

/// Hears what the guardian has to hear: asked to stop, a child that died, and to read its file again.
fn hear() -> anyhow::Result<OwnedFd> {
    let all = [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGHUP];
    sys::signals(&all).context("cannot hear signals")
}

/// Has the guardian in this run directory read its file again.
///
/// # Errors
/// When none runs, or the file would not be taken: every mistake, and what takes a restart.
pub fn reload(run: &Path) -> anyhow::Result<Reload> {
    let none = || format!("no daemon runs with {}", run.display());
    let running = Running::find(run).with_context(none)?;
    let guardian = find_guardian(run).with_context(none)?;
    let new = running.read_again()?;
    let (file, node) = (new.setup.places.config.clone(), new.setup.me.clone());
    if new.setup.digest == running.setup.digest {
        return Ok(Reload { file, node, changed: false });
    }
    pidfd_send_signal(&guardian, Signal::HUP).context("cannot tell the guardian")?;
    Ok(Reload { file, node, changed: true })
}

/// What came of a [`reload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The file that was read.
    pub file: PathBuf,
    /// Of which node.
    pub node: heart_model::NodeName,
    /// Whether it says anything new.
    pub changed: bool,
}

/// Kills a process, and waits for its end.
fn end(pidfd: &OwnedFd) {
    pidfd_send_signal(pidfd, Signal::KILL).ok();
    // What was killed ends, also if it is the child of somebody else.
    while poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fd = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut fd, Some(&timespec(Duration::ZERO))).is_ok_and(|count| count > 0)
}
