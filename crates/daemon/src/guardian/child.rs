//! The guardian's children: how one is started, written down, found again, and how often it may die.

use std::{
    fs, io,
    io::Write as _,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::FIRST_FD;
use crate::{
    setup::{Places, replace},
    sys,
};

/// Starts that a role may need in quick succession without waiting.
const BURST: u32 = 20;
/// How often it may start beyond that. One that cannot run does not eat the machine, and one that is
/// killed over and over is back well within a lease.
const PACE: Duration = Duration::from_millis(250);

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Liveness, agreement, orders.
    Core,
    /// Runs agents.
    Executor,
    /// Talks to people.
    Gateway,
}

/// In the order in which they are started.
pub(super) const ROLES: [Role; 3] = [Role::Executor, Role::Core, Role::Gateway];

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

/// What is written down of a process, so that the next guardian finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: i32,
    /// When it was started, in ticks since the boot: a number that is used again has another.
    started: u64,
}

pub(super) struct Child {
    pub(super) role: Role,
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

fn record_path(places: &Places, role: Role) -> PathBuf {
    places.run.join(format!("{}.pid", role.word()))
}

/// Writes a process down, whole or not at all: a guardian may be killed in the middle.
pub(super) fn write_down(path: &Path, pid: i32) -> anyhow::Result<()> {
    let record = Record { pid, started: started(pid).unwrap_or(0) };
    replace(path, &serde_json::to_vec(&record)?).with_context(|| format!("cannot write {}", path.display()))
}

/// The process that was written down here, if it lives.
pub(super) fn find_recorded(path: &Path) -> Option<(Pid, OwnedFd)> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let pid = Pid::from_raw(record.pid)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    (started(record.pid) == Some(record.started)).then_some((pid, pidfd))
}

/// The child of an earlier guardian, if it lives.
pub(super) fn find(places: &Places, role: Role) -> Option<Child> {
    let (pid, pidfd) = find_recorded(&record_path(places, role))?;
    Some(Child { role, pid, pidfd })
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

/// Starts a child, writes it down, and only then lets it begin: one that nobody has written down
/// would be started twice if the guardian were killed in between. It waits at a gate, its standard
/// input, and ends if the guardian does before the gate opens ([`wait_at_gate`]).
pub(super) fn start(places: &Places, role: Role, fds: &[OwnedFd]) -> anyhow::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("heart").args(["internal", role.word()]).arg(&places.run);
    let fds = fds.iter().enumerate();
    let fds = fds.map(|(place, fd)| (fd.as_raw_fd(), FIRST_FD + place as RawFd)).collect();
    sys::hand_over(&mut command, fds);
    // Of its own group, so that what a terminal signals reaches the guardian alone.
    let mut child = command.stdin(Stdio::piped()).process_group(0).spawn()?;
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    write_down(&record_path(places, role), pid.as_raw_nonzero().get())?;
    let mut gate = child.stdin.take().context("a child without a gate")?;
    // One that was killed already is noticed by its end, not here.
    gate.write_all(OPEN).ok();
    Ok(Child { role, pid, pidfd })
}

/// What a child hears at its gate when it may begin.
pub(super) const OPEN: &[u8] = b"!";

/// Waits until the guardian has written this process down; false if it was killed before.
pub(crate) fn wait_at_gate() -> io::Result<bool> {
    let mut heard = [0; OPEN.len()];
    match io::Read::read_exact(&mut io::stdin().lock(), &mut heard) {
        Ok(()) => Ok(heard == *OPEN),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// How often something may be started: [`BURST`] times at once, and then once each [`PACE`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restarts {
    /// When the starts so far would have happened, had they been spread evenly.
    spread_until: Option<Instant>,
}

impl Restarts {
    /// Counts a start that is wanted at `now`; how long it has to wait.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let from = self.spread_until.map_or(now, |until| until.max(now));
        let until = from + PACE;
        self.spread_until = Some(until);
        until.duration_since(now).saturating_sub(PACE * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_killed_now_and_then_is_back_at_once_and_one_that_cannot_run_waits() {
        let began = Instant::now();
        let mut killed = Restarts::default();
        for second in 0..100 {
            assert_eq!(killed.take(began + Duration::from_secs(second)), Duration::ZERO);
        }
        let mut broken = Restarts::default();
        let waits: Vec<Duration> = (0..BURST + 3).map(|_| broken.take(began)).collect();
        assert!(waits[..BURST as usize].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[BURST as usize..], [PACE, PACE * 2, PACE * 3]);
        assert_eq!(broken.take(began + Duration::from_secs(60)), Duration::ZERO);
    }

    #[test]
    fn a_process_is_found_while_it_lives_and_not_by_its_number_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.pid");
        assert!(find_recorded(&path).is_none());
        let me = std::process::id() as i32;
        write_down(&path, me).unwrap();
        assert_eq!(find_recorded(&path).unwrap().0.as_raw_nonzero().get(), me);
        let other = Record { pid: me, started: started(me).unwrap() + 1 };
        fs::write(&path, serde_json::to_vec(&other).unwrap()).unwrap();
        assert!(find_recorded(&path).is_none(), "another process had this number");
        fs::write(&path, b"{").unwrap();
        assert!(find_recorded(&path).is_none());
    }
}
