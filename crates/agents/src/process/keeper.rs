//! The keeper: a small process that runs one service and dies with the lease.
//!
//! ```text
//! executor ─ starts ─▶ keeper ─ PDEATHSIG ─▶ first process ─▶ service ─▶ whatever it forks
//!                       │  ▲                 └────── process namespace ──────┘
//!                       │  └ a timer of the kernel's: SIGKILL before the lease ends
//!                       └ reads the lease and pushes the timer forward
//! ```
//!
//! What the kernel guarantees without anybody's help, even if all of Heart is stopped:
//!
//! - guard `lease`, contained (the default with that guard): before the end of the lease, when nine
//!   tenths of what was left at the last push are over, the keeper is killed, with it the first
//!   process of the namespace, with it everything in the namespace. Both are real-time: who has to
//!   die needs a turn for it.
//! - guard `lease`, `contain = false`: the keeper and the service's first process are killed. What
//!   the service forked may survive until the executor, if it runs, sweeps its control group.
//! - other guards: there is no timer. The service runs on while its keeper lives.
//!
//! SIGTERM asks the keeper to stop the service: first the service's own stop signal, then SIGTERM
//! to all of it, then SIGKILL. SIGKILL to the keeper is the fast way.

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid},
};

use super::{
    contain::{self, Contained},
    launch,
    log::Log,
    plan::{Phase, Plan, Record},
    ready::Watch,
};
use crate::{
    cgroup, clock,
    lease::LeaseView,
    memory,
    proc::Stat,
    refused,
    sys::{self, DeathTimer},
    wait,
};

/// What the keeper says when the service serves.
pub(super) const READY: &str = "ready";
/// How often the timer is pushed forward, of what is left. With the default timing that is about as often as a lease is
/// renewed: by reckoning, the timer has half of a lease left at least.
const PUSHES_PER_LEASE: u32 = 6;
/// The timer is not pushed more often than this.
const PUSH_EVERY_MIN: Duration = Duration::from_millis(2);
/// The part of the time to stop, in percent, after which SIGTERM goes to all of the service.
const TERM_ALL_AFTER: u64 = 60;
/// The part of the time to stop, in percent, after which all of it is killed.
const KILL_ALL_AFTER: u64 = 85;
/// Priority among the real-time ones: that of the gate, as what it keeps alive hangs on the same lease. The service
/// does not inherit it.
pub(super) const PRIORITY: i32 = 10;
/// How much output is still taken after the end.
const LAST_WORDS_MAX: usize = 64;

/// Opens the place where the lease can be read: a file that the core's heartbeat thread writes.
pub type OpenBoard = fn(&Path) -> io::Result<Box<dyn LeaseView>>;

/// Runs a keeper, as soon as whoever started it says on its standard input that it is written down. The one argument is
/// the path of its plan; the caller must have one thread.
///
/// The end of the process that calls this is the end of the service.
pub fn keeper_main(arguments: impl IntoIterator<Item = OsString>, open_board: OpenBoard) -> ExitCode {
    // Else nobody knows of it, or nobody wants it any more.
    if !launch::wait_at(io::stdin()) {
        return ExitCode::FAILURE;
    }
    let Some(path) = arguments.into_iter().next() else {
        report("a keeper needs the path of its plan; it is started by the executor, not by hand");
        return ExitCode::from(2);
    };
    let plan =
        fs::read(&path).and_then(|bytes| serde_json::from_slice::<Plan>(&bytes).map_err(io::Error::other));
    let begun = plan.map_err(|error| format!("cannot read {}: {error}", Path::new(&path).display()));
    match begun.and_then(|plan| Keeper::begin(plan, open_board)) {
        Ok(mut keeper) => {
            memory::forget_the_start();
            keeper.hurry();
            keeper.keep();
            ExitCode::SUCCESS
        }
        Err(why) => {
            report(&why);
            ExitCode::FAILURE
        }
    }
}

/// Tells the executor, if it still listens.
fn report(line: &str) {
    let mut out = io::stdout();
    writeln!(out, "{}", line.replace('\n', " ")).and_then(|()| out.flush()).ok();
}

/// How the keeper holds the service.
enum Hold {
    Direct(i32),
    Contained(Contained),
}

impl Hold {
    fn pid(&self) -> i32 {
        match self {
            Hold::Direct(pid) => *pid,
            Hold::Contained(contained) => contained.pid,
        }
    }
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rung {
    /// Nobody asked for a stop.
    Serving,
    /// The service was asked.
    Asked,
    /// All of it was told.
    Told,
    /// All of it was killed.
    Killed,
}

struct Keeper {
    plan: Plan,
    hold: Hold,
    /// Readable when the service, or the first process of its namespace, has ended.
    end: OwnedFd,
    signals: OwnedFd,
    output: Option<OwnedFd>,
    log: Log,
    watch: Option<Watch>,
    record: Record,
    death: Option<(DeathTimer, Box<dyn LeaseView>)>,
    push_at: Option<Instant>,
    rung: (Rung, Instant),
}

impl Keeper {
    fn begin(plan: Plan, open_board: OpenBoard) -> Result<Keeper, String> {
        // A keeper must not be killed by what is meant for the executor's group.
        rustix::process::setsid().ok();
        let death = plan.guarded.then(|| arm(&plan.board, open_board)).transpose()?;
        let watch = Watch::begin(plan.ready.clone(), &plan.notify)
            .map_err(|error| format!("cannot listen for the service's readiness: {error}"))?;
        let (output, written) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|error| format!("cannot make a pipe for the service's output: {error}"))?;
        rustix::io::ioctl_fionbio(&written, false).ok();
        let joined = plan.cgroup.as_deref().map(cgroup::open).transpose();
        let joined = joined.map_err(|error| format!("cannot open the service's control group: {error}"))?;
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let mut record = Record::new(&plan, own, started(own)?);
        let hold = start(&plan, &written, joined, |pid| {
            record.service = Some((pid, started(pid)?));
            let written = record.write(&plan.record);
            written.map_err(|error| format!("cannot write {}: {error}", plan.record.display()))
        })?;
        drop(written);
        let signals = sys::signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGCHLD])
            .map_err(|error| format!("cannot listen for signals: {error}"))?;
        let end = Pid::from_raw(hold.pid())
            .ok_or(io::Error::from(io::ErrorKind::NotFound))
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?))
            .map_err(|error| format!("cannot watch the service: {error}"))?;
        let log = Log::open(plan.log.clone(), plan.log_size);
        let rung = (Rung::Serving, Instant::now());
        let push_at = death.is_some().then(Instant::now);
        Ok(Keeper {
            plan,
            hold,
            end,
            signals,
            output: Some(output),
            log,
            watch: Some(watch),
            record,
            death,
            push_at,
            rung,
        })
    }

    /// Sees to it that the timer is pushed in time when memory is short, too, if there is one: late is dead.
    fn hurry(&self) {
        if self.death.is_some() {
            sys::lock_memory().ok();
        }
    }

    /// Keeps the service until it ends.
    fn keep(&mut self) {
        loop {
            let ended = self.wait();
            if ended {
                return self.bury();
            }
            let now = Instant::now();
            if self.push_at.is_some_and(|at| now >= at) {
                self.push();
            }
            self.look();
            self.climb(now);
        }
    }

    /// Waits for something to do; whether the service has ended.
    fn wait(&mut self) -> bool {
        let due = [self.push_at, self.watch.as_ref().and_then(Watch::look_at), self.rung_at()];
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.end.as_fd(), self.signals.as_fd()];
        fds.extend(self.watch.as_ref().and_then(Watch::fd));
        let output_at = fds.len();
        fds.extend(self.output.as_ref().map(AsFd::as_fd));
        let Ok(ready) = wait::any(&fds, due.into_iter().flatten().min()) else { return true };
        let (ended, signalled) = (ready[0], ready[1]);
        let talks = ready.get(output_at).copied().unwrap_or_default();
        if talks && self.output.as_ref().is_some_and(|pipe| !self.log.take(pipe)) {
            self.output = None;
        }
        if signalled {
            self.hear();
        }
        ended
    }

    /// Reads which signals came. The number is the first field of what is read.
    fn hear(&mut self) {
        let mut info = [0u8; 128];
        while let Ok(length) = rustix::io::read(&self.signals, &mut info) {
            let number = info.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
            if length > 0 && number != libc::SIGCHLD && self.rung.0 == Rung::Serving {
                self.ask();
            }
        }
    }

    /// Pushes the time of death forward, as far as the lease goes.
    fn push(&mut self) {
        let Some((timer, lease)) = &self.death else { return };
        let until = lease.until();
        let now = clock::now();
        let left = now.at_least_until(until);
        // A lease that is over was taken from us, or ends now; then the timer fires in this moment anyway.
        if left.is_zero() || timer.set(now.boottime.after(clock::for_kernel(left)).0).is_err() {
            self.signal_all(libc::SIGKILL);
        }
        self.push_at = Some(Instant::now() + (left / PUSHES_PER_LEASE).max(PUSH_EVERY_MIN));
    }

    /// Looks whether the service serves by now.
    fn look(&mut self) {
        if self.rung.0 == Rung::Serving && self.watch.as_ref().is_some_and(Watch::is_ready) {
            self.watch = None;
            self.note(Phase::Ready, String::new());
            report(READY);
        }
    }

    fn note(&mut self, phase: Phase, message: String) {
        self.record.phase = phase;
        self.record.message = message;
        if let Err(error) = self.record.write(&self.plan.record) {
            // An executor that does not find the record takes the service for dead and stops it.
            report(&format!("cannot write {}: {error}", self.plan.record.display()));
        }
    }

    /// Begins to stop.
    fn ask(&mut self) {
        self.watch = None;
        self.note(Phase::Stopping, "it is being stopped".to_owned());
        match &self.hold {
            Hold::Direct(pid) => {
                sys::kill(*pid, self.plan.stop_signal).ok();
            }
            Hold::Contained(contained) => contained.signal(self.plan.stop_signal, false),
        }
        self.rung = (Rung::Asked, Instant::now());
    }

    fn rung_at(&self) -> Option<Instant> {
        let after =
            |percent: u64| self.rung.1 + Duration::from_millis(self.plan.stop_ms) * percent as u32 / 100;
        match self.rung.0 {
            Rung::Serving | Rung::Killed => None,
            Rung::Asked => Some(after(TERM_ALL_AFTER)),
            Rung::Told => Some(after(KILL_ALL_AFTER - TERM_ALL_AFTER)),
        }
    }

    /// Takes the next rung of the stop ladder when the last one did not help in time.
    fn climb(&mut self, now: Instant) {
        if self.rung_at().is_none_or(|at| now < at) {
            return;
        }
        let (next, signal) = match self.rung.0 {
            Rung::Asked => (Rung::Told, libc::SIGTERM),
            Rung::Told => (Rung::Killed, libc::SIGKILL),
            Rung::Serving | Rung::Killed => return,
        };
        self.signal_all(signal);
        self.rung = (next, now);
    }

    fn signal_all(&self, signal: i32) {
        match &self.hold {
            Hold::Direct(pid) => {
                sys::kill_group(*pid, signal).ok();
            }
            // Killing the first process is killing all.
            Hold::Contained(contained) if signal == libc::SIGKILL => {
                sys::kill(contained.pid, signal).ok();
            }
            Hold::Contained(contained) => contained.signal(signal, true),
        }
    }

    /// The service has ended: nothing of it stays, and what it died of is written down.
    fn bury(&mut self) {
        for _ in 0..LAST_WORDS_MAX {
            let more = self.output.as_ref().is_some_and(|pipe| {
                wait::any(&[pipe.as_fd()], Some(Instant::now())).is_ok_and(|ready| ready[0])
                    && self.log.take(pipe)
            });
            if !more {
                break;
            }
        }
        sys::kill_group(self.hold.pid(), libc::SIGKILL).ok();
        if let Some(cgroup) = &self.record.cgroup {
            cgroup::kill(cgroup);
        }
        let status = Pid::from_raw(self.hold.pid())
            .and_then(|pid| waitpid(Some(pid), WaitOptions::NOHANG).ok().flatten());
        let how = status.map_or("it ended".to_owned(), |(_, status)| {
            match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("it ended with exit code {code}"),
                (None, Some(signal)) => format!("signal {signal} killed it"),
                (None, None) => "it ended".to_owned(),
            }
        });
        let message = format!("{how}; its output is in {}", self.plan.log.display());
        if self.record.phase == Phase::Starting {
            report(&format!("it did not become ready: {message}"));
        }
        self.note(Phase::Ended, message);
    }
}

/// When a process was started; it is ours, and not yet buried.
fn started(pid: i32) -> Result<u64, String> {
    match Stat::of(pid) {
        Ok(Some(stat)) => Ok(stat.started),
        Ok(None) => Err(format!("cannot read when process {pid} was started: it is not there")),
        Err(error) => Err(format!("cannot read when process {pid} was started: {error}")),
    }
}

/// Opens the lease and sets the time of death, before anything is started.
fn arm(board: &Path, open_board: OpenBoard) -> Result<(DeathTimer, Box<dyn LeaseView>), String> {
    let lease = open_board(board)
        .map_err(|error| format!("cannot read the lease in {}: {error}", board.display()))?;
    let timer = DeathTimer::new().map_err(|error| format!("cannot make a timer: {error}"))?;
    let (now, until) = (clock::now(), lease.until());
    let left = now.at_least_until(until);
    if left.is_zero() {
        return Err("this node has no lease".to_owned());
    }
    timer
        .set(now.boottime.after(clock::for_kernel(left)).0)
        .map_err(|error| format!("cannot set a timer: {error}"))?;
    Ok((timer, lease))
}

/// Starts the service, contained or not, when `write_down` knows its number.
fn start(
    plan: &Plan,
    output: &OwnedFd,
    joined: Option<OwnedFd>,
    write_down: impl FnOnce(i32) -> Result<(), String>,
) -> Result<Hold, String> {
    if plan.contained {
        let spawn = || {
            let child = command(plan, output, None)?
                .spawn()
                .map_err(|error| refused::told(&error, cannot_run(plan, &error)))?;
            i32::try_from(child.id()).map_err(|_| "the service has no process number".to_owned())
        };
        return contain::start(spawn, write_down).map(Hold::Contained);
    }
    let started = launch::start(&mut command(plan, output, joined)?, write_down);
    started.map(Hold::Direct).map_err(|why| refused::told_more(&why, |why| cannot_run(plan, why)))
}

fn cannot_run(plan: &Plan, why: impl std::fmt::Display) -> String {
    let program = plan.command.first().map_or("nothing", String::as_str);
    format!("cannot run {program} in {}: {why}", plan.directory.display())
}

fn command(plan: &Plan, output: &OwnedFd, joined: Option<OwnedFd>) -> Result<Command, String> {
    let identity = match &plan.user {
        None => None,
        Some(user) => Some(sys::identity(user).ok_or_else(|| format!("this node has no user `{user}`"))?),
    };
    let (program, arguments) = plan.command.split_first().ok_or("the command is empty")?;
    let copy =
        || output.try_clone().map(Stdio::from).map_err(|error| format!("cannot share a pipe: {error}"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&plan.directory).stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
    command.envs(&plan.environment);
    if plan.ready == super::ready::Readiness::Notify {
        command.env("NOTIFY_SOCKET", &plan.notify);
    }
    sys::prepare_service(&mut command, identity, joined);
    Ok(command)
}
