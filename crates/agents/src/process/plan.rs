//! What a keeper is told, and what it tells: two small files in the run directory.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use heart_model::Guard;
use serde::{Deserialize, Serialize};

use super::{KeeperSetup, ready::Readiness};
use crate::{agent::Job, parameters::Parameters, whole::write_whole};

/// The names of all parameters.
const NAMES: [&str; 8] =
    ["command", "user", "directory", "environment", "ready", "stop_signal", "log_size", "contain"];
/// How much output is kept, unless the configuration says otherwise.
const LOG_SIZE: u32 = 1024 * 1024;
/// More output than this is not kept here: that is what log servers are for.
const LOG_SIZE_MAX: u32 = 1024 * 1024 * 1024;

/// Everything a keeper needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) resource: String,
    pub(super) epoch: u64,
    pub(super) command: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) directory: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) ready: Readiness,
    pub(super) stop_signal: i32,
    pub(super) stop_ms: u64,
    pub(super) log: PathBuf,
    pub(super) log_size: u64,
    /// Whether the service dies with the lease.
    pub(super) guarded: bool,
    /// Whether it has a process namespace of its own.
    pub(super) contained: bool,
    /// The control group of what is not contained, if there are any.
    pub(super) cgroup: Option<PathBuf>,
    pub(super) board: PathBuf,
    pub(super) record: PathBuf,
    pub(super) notify: PathBuf,
}

impl Plan {
    /// Reads the parameters of a resource.
    ///
    /// # Errors
    /// The first mistake, with what may be written instead.
    pub(super) fn read(job: &Job<'_>, setup: &KeeperSetup) -> Result<Plan, String> {
        let given = Parameters(&job.spec.parameters);
        given.only(&NAMES)?;
        let command = given
            .words("command")?
            .ok_or("`command` is missing: write command = [\"/usr/sbin/program\", \"-x\"]")?;
        let guarded = job.spec.guard == Guard::Lease;
        let file = |ending: &str| setup.run_dir.join(format!("{}.{ending}", job.resource));
        let mut environment = given.table("environment")?;
        environment.insert("HEART_RESOURCE".to_owned(), job.resource.to_string());
        environment.insert("HEART_EPOCH".to_owned(), job.epoch.to_string());
        environment.insert("HEART_SESSION".to_owned(), job.session.to_string());
        Ok(Plan {
            resource: job.resource.to_string(),
            epoch: job.epoch.0,
            command,
            user: given.text("user")?.map(str::to_owned),
            directory: given.text("directory")?.unwrap_or("/").into(),
            environment,
            ready: Readiness::read(&given)?,
            stop_signal: signal(given.text("stop_signal")?.unwrap_or("TERM"))?,
            stop_ms: u64::try_from(job.spec.timeouts.stop.as_millis()).unwrap_or(u64::MAX),
            log: file("log"),
            log_size: given.number("log_size", LOG_SIZE_MAX)?.unwrap_or(LOG_SIZE).into(),
            guarded,
            contained: given.boolean("contain")?.unwrap_or(guarded),
            cgroup: None,
            board: setup.board.clone(),
            record: file("process"),
            notify: file("notify"),
        })
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_vec(self).map_err(io::Error::other)?)
    }
}

/// How far a service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Starting,
    Ready,
    Stopping,
    Ended,
}

/// What a keeper writes down about itself, for executors to come. The executor that starts it does that first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) keeper: i32,
    /// When the keeper started, in the kernel's own count: tells it from a later process.
    pub(super) keeper_started: u64,
    /// The service's first process and when it started. Contained: the one that contains it.
    pub(super) service: Option<(i32, u64)>,
    pub(super) cgroup: Option<PathBuf>,
    /// Whether all of it ends with that first process.
    #[serde(default)]
    pub(super) contained: bool,
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    pub(super) message: String,
}

impl Record {
    /// Of a keeper that has started nothing yet.
    pub(super) fn new(plan: &Plan, keeper: i32, keeper_started: u64) -> Record {
        Record {
            keeper,
            keeper_started,
            service: None,
            cgroup: plan.cgroup.clone(),
            contained: plan.contained,
            epoch: plan.epoch,
            phase: Phase::Starting,
            message: String::new(),
        }
    }

    /// What a keeper wrote, if any did.
    ///
    /// # Errors
    /// When that cannot be read: then something may run.
    pub(super) fn read(path: &Path) -> io::Result<Option<Record>> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_vec(self).map_err(io::Error::other)?)
    }
}

fn signal(name: &str) -> Result<i32, String> {
    match name.strip_prefix("SIG").unwrap_or(name) {
        "TERM" => Ok(libc::SIGTERM),
        "INT" => Ok(libc::SIGINT),
        "QUIT" => Ok(libc::SIGQUIT),
        "HUP" => Ok(libc::SIGHUP),
        "USR1" => Ok(libc::SIGUSR1),
        "USR2" => Ok(libc::SIGUSR2),
        "WINCH" => Ok(libc::SIGWINCH),
        "KILL" => Ok(libc::SIGKILL),
        _ => Err(format!("`stop_signal` is `{name}`: write TERM, INT, QUIT, HUP, USR1, USR2, WINCH or KILL")),
    }
}
