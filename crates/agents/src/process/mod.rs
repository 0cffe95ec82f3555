//! The agent `process`: a program that is kept running, and dies with the lease.
//!
//! Every service has a [`keeper`], a small process between the executor and it. The executor may
//! die and come back: the keeper stays, and is found again by its record in the run directory.
//!
//! With the guard `lease`, the kernel kills the keeper when the lease ends, and with the keeper
//! all of the service: see [`keeper`] for what exactly is guaranteed.

mod contain;
pub mod keeper;
mod launch;
mod log;
mod plan;
mod ready;

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use heart_model::{AgentInfo, Outcome, builtin_agent};
use rustix::process::{Signal, pidfd_send_signal};

use crate::{
    agent::{Agent, Job, Stop},
    cgroup, descriptors,
    lease::{self, LeaseView},
    proc::{self, Stat},
    refused, sys, wait,
};
use plan::{Phase, Plan, Record};

/// How long a process that was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How often a record is read again while a keeper that was found is still starting.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What is said of a keeper that ends before it has said anything.
const DIED: &str = "its keeper died while it started";
/// Most bytes of a keeper's report that are read.
const REPORT_MAX: usize = heart_model::AGENT_MESSAGE_MAX;

/// Where things are that keepers need.
#[derive(Clone, Debug)]
pub struct KeeperSetup {
    /// The command that becomes a keeper; the path of its plan is appended.
    pub command: Vec<OsString>,
    /// Where plans, records, logs and sockets of the keepers are.
    pub run_dir: PathBuf,
    /// Where the end of the lease can be read: handed to the keeper's hook.
    pub board: PathBuf,
}

/// The agent.
pub struct ProcessAgent {
    setup: KeeperSetup,
    lease: Arc<dyn LeaseView>,
}

/// A keeper that lives.
struct Found {
    fd: OwnedFd,
    record: Record,
}

impl ProcessAgent {
    /// Makes the agent.
    #[must_use]
    pub fn new(setup: KeeperSetup, lease: Arc<dyn LeaseView>) -> ProcessAgent {
        ProcessAgent { setup, lease }
    }

    fn record_path(&self, job: &Job<'_>) -> PathBuf {
        self.setup.run_dir.join(format!("{}.process", job.resource))
    }

    /// What the keeper of this resource wrote, if there was one.
    fn record(&self, job: &Job<'_>) -> Result<Option<Record>, String> {
        let path = self.record_path(job);
        Record::read(&path).map_err(|error| format!("cannot read what runs in {}: {error}", path.display()))
    }

    /// The keeper of this resource, if it lives. Whoever cannot be looked at may live: that is an error.
    fn find(&self, job: &Job<'_>) -> Result<Option<Found>, String> {
        let Some(record) = self.record(job)? else { return Ok(None) };
        let fd = proc::open(record.keeper, record.keeper_started);
        let fd = fd.map_err(|error| {
            format!("cannot find out whether its keeper, process {}, lives: {error}", record.keeper)
        })?;
        Ok(fd.map(|fd| Found { fd, record }))
    }

    fn try_start(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let mut plan = Plan::read(job, &self.setup).map_err(Outcome::Misconfigured)?;
        if plan.guarded && lease::remaining(&*self.lease).is_zero() {
            return Err(Outcome::Refused("this node has no lease".to_owned()));
        }
        if let Some(found) = self.find(job).map_err(Outcome::Failed)? {
            return self.wait_until_ready(job, found);
        }
        self.sweep(job).map_err(Outcome::Failed)?;
        fs::create_dir_all(&self.setup.run_dir)
            .map_err(|error| failed(&format!("make {}", self.setup.run_dir.display()), &error))?;
        fs::remove_file(self.record_path(job)).ok();
        plan.cgroup = group(job, plan.contained);
        let path = self.setup.run_dir.join(format!("{}.plan", job.resource));
        plan.write(&path).map_err(|error| failed(&format!("write {}", path.display()), &error))?;
        let mut child = self.spawn_keeper(job, &plan, &path)?;
        let report = child.stdout.take().expect("it was piped just now");
        let said = read_report(job, &report);
        if matches!(said, Ok(ref text) if text == keeper::READY) {
            return Ok(());
        }
        child.kill().ok();
        // Else whoever stops it is told.
        self.sweep(job).ok();
        child.try_wait().ok();
        Err(match said {
            Ok(text) if text.is_empty() => Outcome::Failed(DIED.to_owned()),
            Ok(text) => {
                refused::note_told(&text);
                Outcome::Failed(text)
            }
            Err(outcome) => outcome,
        })
    }

    /// Starts a keeper, writes it down, and only then lets it begin.
    fn spawn_keeper(&self, job: &Job<'_>, plan: &Plan, path: &Path) -> Result<Child, Outcome> {
        let (program, arguments) = self
            .setup
            .command
            .split_first()
            .ok_or_else(|| Outcome::Unable("no keeper is configured".into()))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        descriptors::as_before(&mut command);
        let child = command.spawn().inspect_err(refused::note);
        let mut child = child.map_err(|error| failed("start a keeper", &error))?;
        // At once, and not by itself: on a busy machine it would first have to wait for its turn. Where it is not allowed,
        // the gate of the same node says so.
        i32::try_from(child.id()).map(|pid| sys::make_real_time(pid, keeper::PRIORITY)).ok();
        let written = write_down(&child, plan, &self.record_path(job));
        let opened = written.and_then(|()| {
            let mut gate = child.stdin.take().expect("it was piped just now");
            gate.write_all(launch::OPEN)
        });
        if let Err(error) = opened {
            // It waits at its gate, if it lives.
            child.kill().ok();
            child.try_wait().ok();
            return Err(match error.kind() {
                io::ErrorKind::BrokenPipe => Outcome::Failed(DIED.to_owned()),
                _ => failed("write down the keeper that was started", &error),
            });
        }
        Ok(child)
    }

    /// Waits for a service that was begun before, perhaps by an earlier executor.
    fn wait_until_ready(&self, job: &Job<'_>, mut found: Found) -> Result<(), Outcome> {
        loop {
            match found.record.phase {
                Phase::Ready => return Ok(()),
                Phase::Ended | Phase::Stopping => return Err(Outcome::NotRunning),
                Phase::Starting if job.is_over() => return Err(Outcome::TimedOut),
                Phase::Starting => {}
            }
            // Bounded by the job's deadline.
            let look = Instant::now() + LOOK_EVERY;
            wait::any(&[found.fd.as_fd(), job.cancel.as_fd()], Some(look)).map_err(|error| {
                Outcome::Failed(format!("cannot wait for the service to become ready: {error}"))
            })?;
            found = self.find(job).map_err(Outcome::Failed)?.ok_or(Outcome::NotRunning)?;
        }
    }

    fn try_stop(&self, job: &Job<'_>, how: Stop) -> Result<(), String> {
        if let Some(found) = self.find(job)?.filter(|_| how == Stop::Orderly) {
            pidfd_send_signal(&found.fd, Signal::TERM).ok();
            // Cancelling a stop means: faster. So does not being able to wait.
            wait::any(&[found.fd.as_fd(), job.cancel.as_fd()], Some(job.deadline)).ok();
        }
        self.sweep(job)?;
        let path = self.record_path(job);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("it is stopped, but cannot remove {}: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Kills the keeper, and what a dead one may have left.
    ///
    /// # Errors
    /// What of it does not end, or why nobody knows whether anything is left.
    fn sweep(&self, job: &Job<'_>) -> Result<(), String> {
        let until = Instant::now() + GONE_WITHIN;
        let mut record = self.record(job)?;
        if let Some(before) = record.take() {
            end(
                &format!("its keeper, process {}", before.keeper),
                before.keeper,
                before.keeper_started,
                until,
            )?;
            // It may have written down what it started until it was dead.
            let record = record.insert(self.record(job)?.unwrap_or(before));
            if let Some((pid, started)) = record.service {
                end_service(record, pid, started, until)?;
            }
        }
        // Also without a record: who could have made it may have been killed before it wrote one.
        let group = match record.and_then(|record| record.cgroup) {
            Some(group) => Some(group),
            None => cgroup::find(job.resource.as_str())
                .map_err(|error| format!("cannot find out whether it has a control group: {error}"))?,
        };
        let Some(group) = group else { return Ok(()) };
        cgroup::kill_all(&group, until).map_err(|error| {
            format!("something of the service may still run in {}: {error}", group.display())
        })?;
        cgroup::remove(&group);
        Ok(())
    }

    fn try_status(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let Some(found) = self.find(job).map_err(Outcome::Failed)? else {
            let record = self.record(job).map_err(Outcome::Failed)?;
            let ended = record.filter(|record| record.phase == Phase::Ended);
            return Err(ended.map_or(Outcome::NotRunning, |record| Outcome::Failed(record.message)));
        };
        match found.record.phase {
            Phase::Ready => Ok(()),
            Phase::Starting => Err(Outcome::Failed("it has not become ready yet".to_owned())),
            Phase::Stopping | Phase::Ended => Err(Outcome::Failed(found.record.message)),
        }
    }
}

/// Reads what the keeper says about the start: one line.
fn read_report(job: &Job<'_>, report: &impl AsFd) -> Result<String, Outcome> {
    let mut text = Vec::new();
    let mut buffer = [0u8; 512];
    while !text.ends_with(b"\n") && text.len() < REPORT_MAX {
        let ready = wait::any(&[report.as_fd(), job.cancel.as_fd()], Some(job.deadline))
            .map_err(|error| Outcome::Failed(format!("cannot wait for the keeper: {error}")))?;
        if !ready[0] {
            return Err(Outcome::TimedOut);
        }
        match rustix::io::read(report, &mut buffer) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Outcome::Failed(format!("cannot hear the keeper: {error}"))),
        }
    }
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

fn write_down(keeper: &Child, plan: &Plan, path: &Path) -> io::Result<()> {
    let pid = i32::try_from(keeper.id()).map_err(io::Error::other)?;
    let stat = Stat::of(pid)?.ok_or_else(|| io::Error::other("it is not there"))?;
    Record::new(plan, pid, stat.started).write(path)
}

/// A control group for what is not contained: without one nobody can see to it that nothing stays.
fn group(job: &Job<'_>, contained: bool) -> Option<PathBuf> {
    if contained {
        return None;
    }
    let made = cgroup::create(job.resource.as_str()).inspect_err(|error| {
        tracing::warn!(
            "{}: there is no control group for it, so what it starts in sessions of their own may outlive it: {error}. \
             Give it `contain = true`, or this machine unified control groups",
            job.resource
        );
    });
    made.ok().map(|(path, _)| path)
}

/// Kills one process.
fn end(what: &str, pid: i32, started: u64, until: Instant) -> Result<(), String> {
    match proc::end(pid, started, until) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{what}, was killed and is still there: {}", held(pid))),
        Err(error) => Err(format!("cannot find out whether {what}, is still there: {error}")),
    }
}

/// For people: what holds a process that was killed, and what to do.
fn held(pid: i32) -> String {
    let process = Stat::of(pid)
        .ok()
        .flatten()
        .map_or_else(|| "the kernel holds it".to_owned(), |stat| stat.to_string());
    format!("{process}. Mend what it waits for, which is mostly storage, or have this node switched off")
}

/// Kills the service, and if anybody shares its group, or may without a control group have left that, its session.
fn end_service(record: &Record, pid: i32, started: u64, until: Instant) -> Result<(), String> {
    end(&format!("the service, process {pid}"), pid, started, until)?;
    let has_others = record.cgroup.is_none() || sys::is_group(pid);
    if record.contained || !has_others {
        return Ok(());
    }
    let unknown = |error: io::Error| format!("cannot find out what is left of the service: {error}");
    // Its number was given to somebody else since: then nothing of it was left at some time.
    if Stat::of(pid).map_err(unknown)?.is_some_and(|now| now.started != started) {
        return Ok(());
    }
    // Bounded by time: each round ends everybody who is found, or fails.
    loop {
        let mut others = Stat::all(|stat| stat.session == pid && stat.started >= started).map_err(unknown)?;
        others.retain(|other| !matches!(proc::open(other.pid, other.started), Ok(None)));
        if others.is_empty() {
            return Ok(());
        }
        for other in others {
            let what = format!("what the service has started, process {}", other.pid);
            end(&what, other.pid, other.started, until)?;
        }
    }
}

fn failed(what: &str, error: &io::Error) -> Outcome {
    Outcome::Failed(format!("cannot {what}: {error}"))
}

impl Agent for ProcessAgent {
    fn start(&self, job: &Job<'_>) -> Outcome {
        self.try_start(job).err().unwrap_or(Outcome::Done)
    }

    fn stop(&self, job: &Job<'_>, how: Stop) -> Outcome {
        self.try_stop(job, how).err().map_or(Outcome::Done, Outcome::Failed)
    }

    fn status(&self, job: &Job<'_>) -> Outcome {
        self.try_status(job).err().unwrap_or(Outcome::Done)
    }

    fn adopt(&self, job: &Job<'_>) -> Outcome {
        match self.find(job) {
            Ok(Some(found)) => self.wait_until_ready(job, found).err().unwrap_or(Outcome::Done),
            Ok(None) => self.status(job),
            Err(why) => Outcome::Failed(why),
        }
    }

    fn watch(&self, job: &Job<'_>) -> Option<OwnedFd> {
        // It may have ended just after it became ready: that is to be heard, too.
        match self.find(job) {
            Ok(found) => found.map(|found| found.fd).or_else(|| wait::Bell::rung().ok()),
            // It is asked later.
            Err(why) => {
                tracing::warn!("{}: its end will be noticed late: {why}", job.resource);
                None
            }
        }
    }

    fn info(&self) -> Result<AgentInfo, String> {
        builtin_agent("process").ok_or_else(|| "the agent `process` is not described".to_owned())
    }
}
