//! Starting programs and reaping everything, as the first process of a namespace must.

use std::{
    collections::BTreeMap,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, kill_process, kill_process_group, pidfd_open,
        pidfd_send_signal, wait,
    },
};

use crate::message::{CommandLine, Exit, Target};

/// What every program finds in its environment: nothing depends on who started the lab.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/run/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
];

/// The programs that somebody waits for, by process id.
#[derive(Default)]
pub(crate) struct Children(BTreeMap<i32, u64>);

/// A process that has ended.
pub(crate) struct Reaped {
    /// Under which number it was started, if it was.
    pub(crate) id: Option<u64>,
    pub(crate) exit: Exit,
}

impl Children {
    /// Starts a program in its own process group, with these standard streams.
    pub(crate) fn spawn(&mut self, id: u64, line: &CommandLine, streams: Vec<OwnedFd>) -> Result<i32> {
        let (program, arguments) = line.words.split_first().context("no program was named")?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(ENVIRONMENT).envs(&line.environment).process_group(0);
        let mut streams = streams.into_iter();
        let mut next = || streams.next().map_or_else(Stdio::null, Stdio::from);
        command.stdin(next()).stdout(next()).stderr(next());
        let child = command.spawn().with_context(|| format!("cannot start `{program}`"))?;
        let pid = i32::try_from(child.id())?;
        self.0.insert(pid, id);
        Ok(pid)
    }

    /// Collects every process that has ended, also orphans that were handed to us.
    pub(crate) fn reap(&mut self) -> Vec<Reaped> {
        let mut reaped = Vec::new();
        // Ends with ECHILD (nobody is left) or None (nobody has ended); each turn takes one
        // process off the kernel's table.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let exit = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => continue,
            };
            reaped.push(Reaped { id: self.0.remove(&pid.as_raw_nonzero().get()), exit });
        }
        reaped
    }
}

/// How long it is waited for the end of what was killed: the kernel lets a process end what it is doing
/// inside of it first.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// Sends a signal within this process's pid namespace; returns to how many processes. What was killed
/// by name has ended when this returns.
pub(crate) fn signal(target: &Target, number: i32) -> Result<usize> {
    let signal = Signal::from_named_raw(number).with_context(|| format!("there is no signal {number}"))?;
    let process = |pid: i32| Pid::from_raw(pid).with_context(|| format!("{pid} is no process id"));
    match target {
        Target::Pid(pid) => {
            kill_process(process(*pid)?, signal).with_context(|| format!("cannot signal process {pid}"))?;
            Ok(1)
        }
        Target::Group(pid) => {
            kill_process_group(process(*pid)?, signal)
                .with_context(|| format!("cannot signal group {pid}"))?;
            Ok(1)
        }
        Target::Name(name) => {
            let mut hit = Vec::new();
            for pid in processes()? {
                let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                if pid == 1 || comm.trim_end() != name {
                    continue;
                }
                // One that ended meanwhile is none of those that were meant.
                let Ok(pidfd) = pidfd_open(process(pid)?, PidfdFlags::empty()) else { continue };
                if pidfd_send_signal(&pidfd, signal).is_ok() {
                    hit.push(pidfd);
                }
            }
            anyhow::ensure!(!hit.is_empty(), "no process is called `{name}`");
            if signal == Signal::KILL {
                await_ends(&hit);
            }
            Ok(hit.len())
        }
    }
}

fn await_ends(killed: &[OwnedFd]) {
    let until = Instant::now() + END_PATIENCE;
    for pidfd in killed {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let _ = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&left));
    }
}

/// The process ids that `/proc` shows.
pub(crate) fn processes() -> Result<Vec<i32>> {
    let entries = std::fs::read_dir("/proc").context("cannot read /proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}
