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

use anyhow::{Context, bail};
use heart_agents::wait::timespec;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize};

use super::{FIRST_FD, has_ended};
use crate::{
    setup::{Places, replace},
    sys,
};

/// Starts that a role may need in quick succession without waiting.
const BURST: u32 = 20;
/// How often it may start beyond that. One that cannot run does not eat the machine, and one that is
/// killed over and over is back well within a lease.
const PACE: Duration = Duration::from_millis(250);

/// How long a guardian that takes office waits for the end of a child that was killed.
pub(super) const DYING_PATIENCE: Duration = Duration::from_secs(5);

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

impl Child {
    /// Whether its first thread has ended. Another one may still be in the kernel, and do what it was asked to.
    pub(super) fn is_dying(&self) -> bool {
        stat(self.pid.as_raw_nonzero().get()).is_none_or(|stat| stat.is_dying)
    }

    /// Waits for its end, that of all its threads.
    ///
    /// # Errors
    /// When it has not come `until` then.
    fn await_end(&self, until: Instant) -> anyhow::Result<()> {
        // Bounded by the signals that arrive; the end stays where it is.
        while !has_ended(&self.pidfd) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "the {} of an earlier guardian (process {1}) has not ended, and nothing is begun beside it\n\
                     hint: /proc/{1}/task/*/stack tells what it waits for in the kernel; if it does not end, boot this \
                     machine",
                    self.role.word(),
                    self.pid
                );
            }
            poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timespec(left))).ok();
        }
        Ok(())
    }
}

/// Waits until none of an earlier guardian's children is there any more.
///
/// # Errors
/// When one of them does not end.
pub(super) fn await_all(places: &Places) -> anyhow::Result<()> {
    let until = Instant::now() + DYING_PATIENCE;
    ROLES.into_iter().filter_map(|role| find(places, role)).try_for_each(|child| child.await_end(until))
}

/// What the first of these has that can be taken from it: one that was killed has nothing any more. None if none of them
/// has, when all of them have ended.
///
/// # Errors
/// When one from whom it could not be taken does not end within `patience`.
pub(super) fn take_from_first<T>(
    children: &[Child],
    patience: Duration,
    take: impl Fn(&Child) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let mut refused = Vec::new();
    for child in children {
        match take(child) {
            Ok(taken) => return Ok(Some(taken)),
            Err(why) => refused.push((child, why)),
        }
    }
    let until = Instant::now() + patience;
    for (child, why) in refused {
        child.await_end(until).map_err(|error| error.context(format!("{why:#}")))?;
    }
    Ok(None)
}

fn record_path(places: &Places, role: Role) -> PathBuf {
    places.run.join(format!("{}.pid", role.word()))
}

/// Writes a process down, whole or not at all: a guardian may be killed in the middle.
pub(super) fn write_down(path: &Path, pid: i32) -> anyhow::Result<()> {
    let record = Record { pid, started: stat(pid).map_or(0, |stat| stat.started) };
    replace(path, &serde_json::to_vec(&record)?).with_context(|| format!("cannot write {}", path.display()))
}

/// The process that was written down here, until all its threads have ended.
pub(super) fn find_recorded(path: &Path) -> Option<(Pid, OwnedFd)> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let pid = Pid::from_raw(record.pid)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let is_it = stat(record.pid).is_some_and(|stat| stat.started == record.started);
    (is_it && !has_ended(&pidfd)).then_some((pid, pidfd))
}

/// The child of an earlier guardian, if it lives.
pub(super) fn find(places: &Places, role: Role) -> Option<Child> {
    let (pid, pidfd) = find_recorded(&record_path(places, role))?;
    Some(Child { role, pid, pidfd })
}

/// What the kernel says of a process.
struct Stat {
    /// Whether its first thread has ended.
    is_dying: bool,
    started: u64,
}

/// Fields 3 and 22 of `/proc/PID/stat` (proc(5)). None for one that was buried.
fn stat(pid: i32) -> Option<Stat> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let behind_name = stat.rsplit_once(')')?.1;
    let mut fields = behind_name.split_ascii_whitespace();
    let is_dying = matches!(fields.next()?, "Z" | "X");
    Some(Stat { is_dying, started: fields.nth(18)?.parse().ok()? })
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
        let other = Record { pid: me, started: stat(me).unwrap().started + 1 };
        fs::write(&path, serde_json::to_vec(&other).unwrap()).unwrap();
        assert!(find_recorded(&path).is_none(), "another process had this number");
        fs::write(&path, b"{").unwrap();
        assert!(find_recorded(&path).is_none());
    }

    /// Ends a process of the test and buries it.
    struct Ends(Pid);

    impl Drop for Ends {
        fn drop(&mut self) {
            rustix::process::kill_process(self.0, rustix::process::Signal::KILL).ok();
            rustix::process::waitpid(Some(self.0), rustix::process::WaitOptions::empty()).ok();
        }
    }

    #[test]
    fn a_child_counts_as_there_until_the_last_of_its_threads_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { run: folder.path().to_owned(), ..Places::default() };
        let pid = sys::fork_one_whose_first_thread_ends();
        let ends = Ends(Pid::from_raw(pid).unwrap());
        while !stat(pid).unwrap().is_dying {
            std::thread::yield_now();
        }
        write_down(&record_path(&places, Role::Executor), pid).unwrap();
        let child = find(&places, Role::Executor).expect("one of its threads lives");
        assert!(child.is_dying());
        let nothing = |child: &Child| -> anyhow::Result<Pid> { bail!("{} has nothing", child.pid) };
        let why = take_from_first(std::slice::from_ref(&child), Duration::ZERO, nothing).unwrap_err();
        assert!(format!("{why:#}").contains("nothing is begun beside it"), "{why:#}");
        let other = Child {
            role: Role::Core,
            pid: rustix::process::getpid(),
            pidfd: child.pidfd.try_clone().unwrap(),
        };
        let both = [child, other];
        let from_the_other = |child: &Child| match child.role {
            Role::Executor => nothing(child),
            Role::Core | Role::Gateway => Ok(child.pid),
        };
        assert_eq!(take_from_first(&both, Duration::ZERO, from_the_other).unwrap(), Some(both[1].pid));
        drop(ends);
        assert!(find(&places, Role::Executor).is_none());
        assert_eq!(take_from_first(&both, Duration::ZERO, nothing).unwrap(), None);
        await_all(&places).unwrap();
    }
}
