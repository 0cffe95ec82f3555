//! The agent `process`: a program that is kept running, and dies with the lease.
//!
//! Every service has a [`keeper`], a small process between the executor and it. The executor may
//! die and come back: the keeper stays, and is found again by its record in the run directory.
//!
//! With the guard `lease`, the kernel kills the keeper when the lease ends, and with the keeper
//! all of the service: see [`keeper`] for what exactly is guaranteed.

mod contain;
pub mod keeper;
mod log;
mod plan;
mod ready;

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use heart_model::{AgentInfo, Outcome, builtin_agent};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use crate::{
    agent::{Agent, Job, Stop},
    cgroup,
    lease::{self, LeaseView},
    proc::Stat,
    refused, sys, wait,
};
use plan::{Phase, Plan, Record};

/// How long a process that was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How often a record is read again while a keeper that was found is still starting.
const LOOK_EVERY: Duration = Duration::from_millis(10);
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

    /// The keeper of this resource, if it lives.
    fn find(&self, job: &Job<'_>) -> Option<Found> {
        let record = Record::read(&self.record_path(job)).ok()?;
        let fd = pidfd_open(Pid::from_raw(record.keeper)?, PidfdFlags::empty()).ok()?;
        // The number may have gone to another process since: its start tells.
        (still_is(record.keeper, record.keeper_started) && !has_ended(&fd)).then_some(Found { fd, record })
    }

    fn try_start(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let plan = Plan::read(job, &self.setup).map_err(Outcome::Misconfigured)?;
        if plan.guarded && lease::remaining(&*self.lease).is_zero() {
            return Err(Outcome::Refused("this node has no lease".to_owned()));
        }
        if let Some(found) = self.find(job) {
            return self.wait_until_ready(job, found);
        }
        let failed = |what: &str, error: io::Error| Outcome::Failed(format!("cannot {what}: {error}"));
        fs::create_dir_all(&self.setup.run_dir)
            .map_err(|error| failed(&format!("make {}", self.setup.run_dir.display()), error))?;
        fs::remove_file(self.record_path(job)).ok();
        let path = self.setup.run_dir.join(format!("{}.plan", job.resource));
        plan.write(&path).map_err(|error| failed(&format!("write {}", path.display()), error))?;
        let (program, arguments) = self
            .setup
            .command
            .split_first()
            .ok_or_else(|| Outcome::Unable("no keeper is configured".into()))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(&path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().inspect_err(refused::note);
        let mut child = child.map_err(|error| failed("start a keeper", error))?;
        // At once, and not by itself: on a busy machine it would first have to wait for its turn. Where it is not allowed,
        // the gate of the same node says so.
        i32::try_from(child.id()).map(|pid| sys::make_real_time(pid, keeper::PRIORITY)).ok();
        let report = child.stdout.take().expect("it was piped just now");
        let said = read_report(job, &report);
        if matches!(said, Ok(ref text) if text == keeper::READY) {
            return Ok(());
        }
        child.kill().ok();
        child.wait().ok();
        self.sweep(job);
        Err(match said {
            Ok(text) if text.is_empty() => Outcome::Failed("its keeper died while it started".to_owned()),
            Ok(text) => {
                refused::note_told(&text);
                Outcome::Failed(text)
            }
            Err(outcome) => outcome,
        })
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
            found = self.find(job).ok_or(Outcome::NotRunning)?;
        }
    }

    fn try_stop(&self, job: &Job<'_>, how: Stop) -> Result<(), Outcome> {
        if let Some(found) = self.find(job) {
            let gone = how == Stop::Orderly && {
                pidfd_send_signal(&found.fd, Signal::TERM).ok();
                // Cancelling a stop means: faster.
                wait::any(&[found.fd.as_fd(), job.cancel.as_fd()], Some(job.deadline))
                    .is_ok_and(|ready| ready[0])
            };
            if !gone {
                pidfd_send_signal(&found.fd, Signal::KILL).ok();
                if !wait_gone(&found.fd, Instant::now() + GONE_WITHIN) {
                    return Err(Outcome::Failed(format!(
                        "its keeper, process {}, was killed but is still there: the kernel holds it",
                        found.record.keeper
                    )));
                }
            }
            reap(&found.fd);
        }
        if !self.sweep(job) {
            return Err(Outcome::Failed(
                "the service was killed but is still there: the kernel holds it".to_owned(),
            ));
        }
        fs::remove_file(self.record_path(job)).ok();
        Ok(())
    }

    /// Kills what a dead keeper may have left; whether nothing is left.
    fn sweep(&self, job: &Job<'_>) -> bool {
        let Ok(record) = Record::read(&self.record_path(job)) else { return true };
        if let Some(keeper) =
            Pid::from_raw(record.keeper).filter(|_| still_is(record.keeper, record.keeper_started))
        {
            waitid(WaitId::Pid(keeper), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok();
        }
        if let Some(cgroup) = &record.cgroup {
            cgroup::kill(Path::new(cgroup));
        }
        let Some((pid, started)) = record.service else { return true };
        let Some(pid) = Pid::from_raw(pid) else { return true };
        // Opened before the start is read: what is killed is what was looked at.
        let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
        if !still_is(pid.as_raw_nonzero().get(), started) {
            return true;
        }
        rustix::process::kill_process_group(pid, Signal::KILL).ok();
        pidfd_send_signal(&fd, Signal::KILL).ok();
        wait_gone(&fd, Instant::now() + GONE_WITHIN)
    }

    fn try_status(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let Some(found) = self.find(job) else {
            let record = Record::read(&self.record_path(job)).ok();
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

/// Whether this is the process that was meant, and not a later one with its number.
fn still_is(pid: i32, started: u64) -> bool {
    Stat::of(pid).is_ok_and(|stat| stat.is_some_and(|stat| stat.started == started))
}

fn has_ended(fd: &OwnedFd) -> bool {
    wait::any(&[fd.as_fd()], Some(Instant::now())).is_ok_and(|ready| ready[0])
}

fn wait_gone(fd: &OwnedFd, end: Instant) -> bool {
    wait::any(&[fd.as_fd()], Some(end)).is_ok_and(|ready| ready[0])
}

/// Takes the exit status of a keeper that is our child; others' children are reaped by them.
fn reap(fd: &OwnedFd) {
    waitid(WaitId::PidFd(fd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok();
}

impl Agent for ProcessAgent {
    fn start(&self, job: &Job<'_>) -> Outcome {
        self.try_start(job).err().unwrap_or(Outcome::Done)
    }

    fn stop(&self, job: &Job<'_>, how: Stop) -> Outcome {
        self.try_stop(job, how).err().unwrap_or(Outcome::Done)
    }

    fn status(&self, job: &Job<'_>) -> Outcome {
        self.try_status(job).err().unwrap_or(Outcome::Done)
    }

    fn adopt(&self, job: &Job<'_>) -> Outcome {
        match self.find(job) {
            Some(found) => self.wait_until_ready(job, found).err().unwrap_or(Outcome::Done),
            None => self.status(job),
        }
    }

    fn watch(&self, job: &Job<'_>) -> Option<OwnedFd> {
        // It may have ended just after it became ready: that is to be heard, too.
        self.find(job).map(|found| found.fd).or_else(|| wait::Bell::rung().ok())
    }

    fn info(&self) -> Result<AgentInfo, String> {
        builtin_agent("process").ok_or_else(|| "the agent `process` is not described".to_owned())
    }
}
