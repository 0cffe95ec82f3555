//! The guardian: starts the other three, and starts them again when they die.
//!
//! It is small, single-threaded, and decides nothing about the cluster. What must outlive a child
//! it has opened: the channels between them and the sockets of the links, handed to every child
//! under fixed numbers. So every child has all of them, and a guardian that was killed itself gets
//! them back from any child that lives: the executor starts a new guardian, which adopts the rest.

use std::{
    fs::{self, File, OpenOptions},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::{fs::OpenOptionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};
use serde::{Deserialize, Serialize};

use crate::{
    channel,
    core::links,
    setup::{Places, Setup},
    sys,
};

/// The first number under which descriptors are handed to children.
pub(crate) const FIRST_FD: RawFd = 40;
/// The channels, in order: core and executor ends of theirs, core and gateway ends of theirs.
const CHANNELS: usize = 4;
/// How long a child must have lived for its next start not to wait.
const STEADY: Duration = Duration::from_secs(2);
/// The longest wait between two starts of a child that keeps dying.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// How long the others may take when the node is asked to stop, before they are killed.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long a new guardian waits for the lock of one that is about to end.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Liveness, agreement, orders.
    Core,
    /// Runs agents.
    Executor,
    /// Talks to people.
    Gateway,
}

const ROLES: [Role; 3] = [Role::Executor, Role::Core, Role::Gateway];

impl Role {
    /// Its word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Core => "core",
            Role::Executor => "executor",
            Role::Gateway => "gateway",
        }
    }

    /// The role with this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Role> {
        ROLES.into_iter().find(|role| role.word() == word)
    }
}

/// What is written down of a child, so that the next guardian finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: i32,
    /// When it was started, in ticks since the boot: a number that is used again has another.
    started: u64,
}

struct Child {
    role: Role,
    pid: Pid,
    pidfd: OwnedFd,
    since: Instant,
}

struct Guardian {
    setup: Setup,
    fds: Vec<OwnedFd>,
    children: Vec<Child>,
    /// Who is to be started, when, and how long the last wait was.
    due: Vec<(Role, Instant, Duration)>,
    signals: OwnedFd,
    stopping: Option<Instant>,
}

/// Runs a node until it is asked to stop.
///
/// # Errors
/// Why it cannot run: the configuration with every mistake, or what this machine refuses.
pub fn run(places: &Places) -> anyhow::Result<()> {
    let setup = Setup::read(places)?;
    // Read now, so that a missing key is said here and not by a child that dies.
    setup.key()?;
    for folder in [&places.run, &places.state] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let _lock = lock(places)?;
    let me =
        Record { pid: std::process::id() as i32, started: started(std::process::id() as i32).unwrap_or(0) };
    fs::write(places.run.join("guardian.pid"), serde_json::to_vec(&me)?)?;
    setup.boot()?;
    sys::adopt_orphans().context("cannot take care of orphans")?;
    let signals =
        sys::signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGCHLD]).context("cannot hear signals")?;
    let living: Vec<Child> = ROLES.into_iter().filter_map(|role| find(places, role)).collect();
    let fds = match living.first() {
        Some(child) => take_back(child, &setup)?,
        None => open(&setup)?,
    };
    let now = Instant::now();
    let missing = ROLES.into_iter().filter(|role| living.iter().all(|child| child.role != *role));
    let due = missing.map(|role| (role, now, Duration::ZERO)).collect();
    let mut guardian = Guardian { setup, fds, children: living, due, signals, stopping: None };
    tracing::info!("{} guards this node", guardian.setup.me);
    guardian.guard()
}

fn lock(places: &Places) -> anyhow::Result<File> {
    let path = places.run.join("guardian.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    let end = Instant::now() + LOCK_PATIENCE;
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > end {
            bail!("another `heart daemon` runs with {}\nhint: `heart status` shows it", places.run.display());
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        poll(&mut [], Some(&pause)).ok();
    }
    Ok(file)
}

/// The descriptors of a node that starts from nothing.
fn open(setup: &Setup) -> anyhow::Result<Vec<OwnedFd>> {
    let (core_executor, executor) = channel::pair()?;
    let (core_gateway, gateway) = channel::pair()?;
    let mut fds = vec![core_executor, executor, core_gateway, gateway];
    fds.extend(links::open(&setup.spec, &setup.me)?);
    Ok(fds)
}

/// The descriptors that a living child has from an earlier guardian.
fn take_back(child: &Child, setup: &Setup) -> anyhow::Result<Vec<OwnedFd>> {
    let links = setup.spec.nodes[&setup.me].addresses.len() + setup.spec.cluster.links.len();
    let copy = |place: usize| sys::copy_fd(&child.pidfd, FIRST_FD + place as RawFd);
    (0..CHANNELS + links)
        .map(copy)
        .collect::<std::io::Result<_>>()
        .with_context(|| format!("cannot take the channels over from the {} that runs", child.role.word()))
}

fn record_path(places: &Places, role: Role) -> PathBuf {
    places.run.join(format!("{}.pid", role.word()))
}

/// The child of an earlier guardian, if it lives.
fn find(places: &Places, role: Role) -> Option<Child> {
    let (pid, pidfd) = find_recorded(&record_path(places, role))?;
    Some(Child { role, pid, pidfd, since: Instant::now() })
}

/// The guardian that runs with these places, if one does.
pub(crate) fn find_guardian(places: &Places) -> Option<OwnedFd> {
    find_recorded(&places.run.join("guardian.pid")).map(|(_, pidfd)| pidfd)
}

fn find_recorded(path: &Path) -> Option<(Pid, OwnedFd)> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let pid = Pid::from_raw(record.pid)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    (started(record.pid) == Some(record.started)).then_some((pid, pidfd))
}

/// When a process was started: field 22 of `/proc/PID/stat` (proc(5)). None for one that has ended.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let behind_name = stat.rsplit_once(')')?.1;
    let mut fields = behind_name.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl Guardian {
    fn guard(&mut self) -> anyhow::Result<()> {
        loop {
            self.start_due()?;
            if self.stopping.is_some() && self.children.is_empty() {
                return Ok(());
            }
            self.wait()?;
            self.hear_signals();
            self.bury();
            self.go_on_stopping();
        }
    }

    fn start_due(&mut self) -> anyhow::Result<()> {
        if self.stopping.is_some() {
            self.due.clear();
            return Ok(());
        }
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = self.due.drain(..).partition(|(_, at, _)| *at <= now);
        self.due = later;
        for (role, _, _) in due {
            let child = self.start(role).with_context(|| format!("cannot start the {}", role.word()))?;
            self.children.push(child);
        }
        Ok(())
    }

    fn start(&self, role: Role) -> anyhow::Result<Child> {
        let places = &self.setup.places;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("heart").args(["internal", role.word()]);
        command.arg(serde_json::to_string(places)?);
        let fds = self.fds.iter().enumerate();
        let fds = fds.map(|(place, fd)| (fd.as_raw_fd(), FIRST_FD + place as RawFd)).collect();
        sys::hand_over(&mut command, fds);
        // Of its own group, so that what a terminal signals reaches the guardian alone.
        let child = command.process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let record =
            Record { pid: pid.as_raw_nonzero().get(), started: started(child.id() as i32).unwrap_or(0) };
        fs::write(record_path(places, role), serde_json::to_vec(&record)?)?;
        Ok(Child { role, pid, pidfd, since: Instant::now() })
    }

    fn wait(&self) -> anyhow::Result<()> {
        let now = Instant::now();
        let due = self.due.iter().map(|(_, at, _)| *at).chain(self.stopping).min();
        let left = due.map(|at| at.saturating_duration_since(now));
        let left = left
            .map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) });
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        fds.extend(
            self.children.iter().map(|child| PollFd::from_borrowed_fd(child.pidfd.as_fd(), PollFlags::IN)),
        );
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
            if number != libc::SIGCHLD && self.stopping.is_none() {
                tracing::info!("asked to stop: handing over what runs here");
                self.stopping = Some(Instant::now() + STOP_PATIENCE);
                self.signal(Role::Core, Signal::TERM);
            }
        }
    }

    fn signal(&self, role: Role, signal: Signal) {
        for child in self.children.iter().filter(|child| child.role == role) {
            pidfd_send_signal(&child.pidfd, signal).ok();
        }
    }

    /// Takes note of who has died, children of an earlier guardian too, and reaps orphans.
    fn bury(&mut self) {
        let now = Instant::now();
        let mut dead = Vec::new();
        self.children.retain(|child| {
            let mut fd = [PollFd::from_borrowed_fd(child.pidfd.as_fd(), PollFlags::IN)];
            let ended = poll(&mut fd, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0);
            if ended {
                dead.push((child.role, child.pid, now.duration_since(child.since)));
            }
            !ended
        });
        for (role, pid, lived) in dead {
            let wait = if lived >= STEADY { Duration::ZERO } else { Guardian::back_off(lived) };
            tracing::warn!("the {} (process {pid}) has ended; it is started again", role.word());
            self.due.push((role, now + wait, wait));
        }
        for _ in 0..ORPHANS_PER_TURN {
            match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// The shorter it lived the longer it waits, so that one that cannot run does not eat the
    /// machine, and one that was killed is back at once.
    fn back_off(lived: Duration) -> Duration {
        let missing = STEADY.saturating_sub(lived);
        if lived < SHORT { (missing / 4).min(BACK_OFF_MAX) } else { Duration::ZERO }
    }

    fn go_on_stopping(&mut self) {
        let Some(until) = self.stopping else { return };
        let core = self.children.iter().any(|child| child.role == Role::Core);
        if !core {
            self.signal(Role::Executor, Signal::TERM);
            self.signal(Role::Gateway, Signal::TERM);
        }
        if Instant::now() >= until {
            for role in ROLES {
                self.signal(role, Signal::KILL);
            }
        }
    }
}

/// A child that lived shorter than this cannot run.
const SHORT: Duration = Duration::from_millis(20);
/// Orphans that are reaped in one turn.
const ORPHANS_PER_TURN: usize = 64;
