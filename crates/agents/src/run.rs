//! Running a command that has to come to an end.

use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{descriptors, refused, sys, wait, wait::Bell};

/// Most bytes of each output that are kept: the last ones of errors, the first ones of answers.
pub(crate) const OUTPUT_MAX: usize = 512 * 1024;
/// How long a command that was told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How long a command that was killed is waited for, if somebody remembers it.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Where the programs are that agents call.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this exit code.
    Exit(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// We killed it: time was over, or nobody wanted it any more.
    Cut,
}

/// What a command left behind.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ended {
    /// The last thing it said, errors first, with at most `most` characters.
    pub(crate) fn last_words(&self, most: usize) -> Option<String> {
        self.last_words_but(&[], most)
    }

    /// The same without lines that end with one of these, which tell nobody anything.
    pub(crate) fn last_words_but(&self, empty: &[&str], most: usize) -> Option<String> {
        let says = |line: &&str| {
            let line = line.trim();
            !line.is_empty() && !empty.iter().any(|ending| line.ends_with(ending))
        };
        let last = |text: &str| text.lines().rfind(says).map(str::to_owned);
        let said = last(&self.errors).or_else(|| last(&self.output))?;
        Some(said.trim().chars().take(most).collect())
    }
}

/// What becomes of the processes that a command leaves in the background.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leftovers {
    /// They keep running: a start may leave a service.
    Stay,
    /// They end with it.
    Go,
}

/// Runs a command in a process group of its own, until it ends, or until the deadline or the bell.
/// What it leaves in the background keeps running. If it was cut, it or others of its group may still be there.
pub(crate) fn run(mut command: Command, deadline: Instant, cancel: &Bell) -> io::Result<Ended> {
    command.stdin(Stdio::null());
    finish(command, Leftovers::Stay, deadline, cancel)
}

/// The same for a command that reads `input`, and of which nothing goes on: nothing in the background once it has
/// ended, and it ends with the thread that calls this.
pub(crate) fn run_whole(
    mut command: Command,
    input: &str,
    deadline: Instant,
    cancel: &Bell,
) -> io::Result<Ended> {
    // In memory, so that what is secret touches no disk, and no reader can make us wait.
    let mut told = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    told.write_all(input.as_bytes())?;
    told.rewind()?;
    command.stdin(Stdio::from(told));
    sys::end_with_thread(&mut command);
    finish(command, Leftovers::Go, deadline, cancel)
}

fn finish(mut command: Command, left: Leftovers, deadline: Instant, cancel: &Bell) -> io::Result<Ended> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    descriptors::as_before(&mut command);
    let mut child = command.spawn().inspect_err(refused::note)?;
    let group = i32::try_from(child.id()).map_err(io::Error::other)?;
    let watched = watch(&mut child, group);
    let followed =
        watched.and_then(|(pidfd, pipes)| follow(&mut child, (group, left), &pidfd, pipes, deadline, cancel));
    let (end, pipes) = followed.inspect_err(|_| {
        sys::kill_group(group, libc::SIGKILL).ok();
        // Who is waited for without a bound may hang: whoever wrote it down buries it.
        if left == Leftovers::Go {
            child.wait().ok()
        } else {
            child.try_wait().ok().flatten()
        };
    })?;
    let [output, errors] = pipes.map(|pipe| String::from_utf8_lossy(&pipe.bytes).into_owned());
    Ok(Ended { end, output, errors })
}

/// One output of a command.
struct Pipe {
    fd: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Pipe {
    fn new(fd: OwnedFd) -> io::Result<Pipe> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Pipe { fd: Some(fd), bytes: Vec::new() })
    }

    /// Takes what is there; what exceeds the bound is read and thrown away.
    fn take(&mut self) {
        let mut buffer = [0u8; 4096];
        while let Some(fd) = &self.fd {
            match rustix::io::read(fd, &mut buffer) {
                Ok(0) => self.fd = None,
                Ok(length) => {
                    let room = OUTPUT_MAX.saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(_) => return,
            }
        }
    }
}

fn watch(child: &mut Child, pid: i32) -> io::Result<(OwnedFd, [Pipe; 2])> {
    let pid = Pid::from_raw(pid).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let output = child.stdout.take().map(OwnedFd::from);
    let errors = child.stderr.take().map(OwnedFd::from);
    match (output, errors) {
        (Some(output), Some(errors)) => Ok((pidfd, [Pipe::new(output)?, Pipe::new(errors)?])),
        _ => Err(io::Error::other("the command has no pipes")),
    }
}

/// How near the end of a command is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waiting,
    Told,
    Killed,
}

/// How long what was killed is waited for. Of what nobody remembers nothing may be left.
fn killed_until(left: Leftovers) -> Option<Instant> {
    match left {
        Leftovers::Stay => Some(Instant::now() + GONE_WITHIN),
        Leftovers::Go => None,
    }
}

fn follow(
    child: &mut Child,
    (group, left): (i32, Leftovers),
    pidfd: &OwnedFd,
    mut pipes: [Pipe; 2],
    deadline: Instant,
    cancel: &Bell,
) -> io::Result<(End, [Pipe; 2])> {
    let mut patience = Patience::Waiting;
    let mut until = Some(deadline);
    // Bounded by time: each round waits, and nobody waits for longer than [`killed_until`] in the end.
    loop {
        let mut fds = vec![pidfd.as_fd()];
        fds.extend(pipes.iter().filter_map(|pipe| pipe.fd.as_ref()).map(AsFd::as_fd));
        if patience == Patience::Waiting {
            fds.push(cancel.as_fd());
        }
        let ready = wait::any(&fds, until)?;
        pipes.iter_mut().for_each(Pipe::take);
        if ready[0] {
            break;
        }
        let cancelled = patience == Patience::Waiting && ready.last() == Some(&true);
        if !cancelled && until.is_none_or(|until| Instant::now() < until) {
            continue;
        }
        let signal = match patience {
            Patience::Waiting => libc::SIGTERM,
            Patience::Told | Patience::Killed => libc::SIGKILL,
        };
        sys::kill_group(group, signal).ok();
        (patience, until) = match patience {
            Patience::Waiting => (Patience::Told, Some(Instant::now() + GRACE)),
            Patience::Told => (Patience::Killed, killed_until(left)),
            // The kernel holds it: whoever wrote it down sees to it.
            Patience::Killed => return Ok((End::Cut, pipes)),
        };
    }
    if left == Leftovers::Go {
        // Before its number is given back: nobody else's group can have it yet.
        sys::kill_group(group, libc::SIGKILL).ok();
    }
    let status = child.wait()?;
    if patience != Patience::Waiting {
        // It went; what it had started for this operation goes as well.
        sys::kill_group(group, libc::SIGKILL).ok();
        return Ok((End::Cut, pipes));
    }
    let end = status.code().map_or_else(|| End::Signal(status.signal().unwrap_or_default()), End::Exit);
    Ok((end, pipes))
}
