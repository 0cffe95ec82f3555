//! Stopping all processes of a machine at once, and letting them go on.
//!
//! The kernel's cgroup freezer does it properly: nobody inside can notice or refuse. Where no
//! cgroup may be made (an ordinary user), every process is sent SIGSTOP until none is left running.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, kill_process},
};

use crate::{Stamp, children::processes, wire::timespec};

/// Where the second version of cgroups may be mounted.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Where the first version may be mounted in which a test limits how many processes a machine may have.
const LIMITS: &str = "/sys/fs/cgroup/pids";
/// How long a freeze may take.
const FREEZE_TIME_MAX: Duration = Duration::from_secs(2);
/// How often to look for processes that were forked while others were being stopped.
const STOP_PASSES_MAX: usize = 100;

/// Freezes the machines of one lab.
#[derive(Clone, Debug)]
pub(crate) enum Freezer {
    /// By a control group for each machine, below this one.
    Groups(PathBuf),
    /// By signals.
    Signals,
}

impl Freezer {
    /// Makes the control group of a lab if that is allowed here.
    pub(crate) fn make(lab: &str) -> Freezer {
        for mount in MOUNTS.map(Path::new).iter().filter(|mount| mount.join("cgroup.procs").exists()) {
            let group = mount.join(format!("heart-lab-{lab}"));
            if fs::create_dir_all(&group).is_ok() && group.join("cgroup.freeze").exists() {
                // Of use to what limits processes on a machine; it does without where that is not allowed.
                let _ = fs::write(group.join("cgroup.subtree_control"), "+pids");
                return Freezer::Groups(group);
            }
        }
        Freezer::Signals
    }

    /// Puts a process into the group of its machine, before it has children.
    pub(crate) fn admit(&self, machine: &str, pid: u32) -> Result<()> {
        if let Freezer::Groups(group) = self {
            let own = group.join(machine);
            fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
            fs::write(own.join("cgroup.procs"), pid.to_string())
                .with_context(|| format!("cannot move a process into {}", own.display()))?;
        }
        Ok(())
    }

    /// Stops everything on a machine; `init` is its first process. Returns when all stand still.
    pub(crate) fn freeze(&self, machine: &str, init: i32) -> Result<()> {
        match self {
            Freezer::Groups(group) => {
                set_frozen(&group.join(machine), true)?;
                wait_until_frozen(&group.join(machine).join("cgroup.events"))
            }
            Freezer::Signals => stop_all(init),
        }
    }

    /// Lets everything on a machine go on.
    pub(crate) fn thaw(&self, machine: &str, init: i32) -> Result<()> {
        match self {
            Freezer::Groups(group) => set_frozen(&group.join(machine), false),
            Freezer::Signals => {
                for pid in members(init)? {
                    let _ = kill_process(pid, Signal::CONT);
                }
                Ok(())
            }
        }
    }

    /// Forgets a machine's freeze when its life is over.
    pub(crate) fn forget(&self, machine: &str) -> Result<()> {
        match self {
            Freezer::Groups(group) => set_frozen(&group.join(machine), false),
            Freezer::Signals => Ok(()),
        }
    }

    /// Removes the lab's groups; called from outside when everything has ended.
    pub(crate) fn remove(lab: &str) {
        for mount in MOUNTS.into_iter().chain([LIMITS]) {
            remove_tree(&Path::new(mount).join(format!("heart-lab-{lab}")));
        }
    }
}

/// Control groups are removed leaf first; their files cannot be.
fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn set_frozen(group: &Path, frozen: bool) -> Result<()> {
    let file = group.join("cgroup.freeze");
    fs::write(&file, if frozen { "1" } else { "0" })
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The kernel freezes in its own time, and marks the file as changed when it is done.
fn wait_until_frozen(events: &Path) -> Result<()> {
    let deadline = Stamp::now().after(FREEZE_TIME_MAX);
    let file = fs::File::open(events).with_context(|| format!("cannot open {}", events.display()))?;
    while !deadline.remaining().is_zero() {
        if fs::read_to_string(events)?.contains("frozen 1") {
            return Ok(());
        }
        // A change between the read above and this wait would be missed, hence the short wait.
        let wait = deadline.remaining().min(Duration::from_millis(5));
        poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&timespec(wait)))?;
    }
    bail!("not everything stood still within {FREEZE_TIME_MAX:?}: {}", events.display())
}

/// The processes in the pid namespace that `init` began.
fn members(init: i32) -> Result<Vec<Pid>> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(init).with_context(|| format!("process {init} of the lab is gone"))?;
    Ok(processes()?
        .into_iter()
        .filter(|&pid| namespace(pid).as_ref() == Some(&own))
        .filter_map(Pid::from_raw)
        .collect())
}

fn stop_all(init: i32) -> Result<()> {
    for _ in 0..STOP_PASSES_MAX {
        let running: Vec<Pid> = members(init)?.into_iter().filter(|&pid| !stands_still(pid)).collect();
        if running.is_empty() {
            return Ok(());
        }
        for pid in running {
            let _ = kill_process(pid, Signal::STOP);
        }
        std::thread::yield_now();
    }
    bail!("after {STOP_PASSES_MAX} passes of SIGSTOP something still runs")
}

/// Stopped, or a zombie that will never run again.
fn stands_still(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    matches!(state, Some('T' | 't' | 'Z' | 'X') | None)
}
