//! The guardian's spares: processes that wait for its place.
//!
//! A spare is a copy of the guardian, with all descriptors in hand, that waits for the guardian's
//! file lock. The kernel opens the lock when the guardian dies, and one spare has it. There are two,
//! because the one that takes over may be killed in the same moment, before it has forked another.
//!
//! A spare that nobody has written down would outlive a node that was stopped. So it waits at a gate
//! first, as the other children do: a pipe that closes with the guardian.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::{
    child::{OPEN, find_recorded, write_down},
    open_lock,
};
use crate::sys;

/// How many wait for the guardian's place.
pub(super) const SPARES: usize = 2;
/// Below the heartbeats and the gate. Who takes over does nothing else, and must not wait for those
/// who eat the machine.
const PRIORITY: i32 = 1;

/// One that waits.
pub(super) struct Spare {
    /// Which of the [`SPARES`] it is.
    pub(super) slot: usize,
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

fn record_path(run: &Path, slot: usize) -> PathBuf {
    run.join(format!("spare-{slot}.pid"))
}

/// Those that an earlier guardian has left, without this process itself.
pub(super) fn find_all(run: &Path) -> Vec<Spare> {
    let me = rustix::process::getpid();
    let find = |slot| find_recorded(&record_path(run, slot)).map(|(pid, pidfd)| Spare { slot, pid, pidfd });
    (0..SPARES).filter_map(find).filter(|spare| spare.pid != me).collect()
}

/// Who returns from a [`fork`].
pub(super) enum Forked {
    /// The guardian, and this is its spare.
    Guardian(Spare),
    /// The spare, and this is what it has to wait at first.
    Spare(Gate),
}

/// Where a spare waits until it is written down.
pub(super) struct Gate(OwnedFd);

/// Forks a spare, writes it down and opens its gate.
///
/// # Errors
/// When the kernel refuses; only the guardian returns with one.
pub(super) fn fork(run: &Path, slot: usize) -> anyhow::Result<Forked> {
    let (gate, opener) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a gate for a spare")?;
    let Some(pid) = sys::fork().context("cannot fork a spare")? else {
        sys::name_process("heart-spare");
        rustix::process::setpgid(None, None).ok();
        return Ok(Forked::Spare(Gate(gate)));
    };
    let pid = Pid::from_raw(pid).context("a process without a number")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    write_down(&record_path(run, slot), pid.as_raw_nonzero().get())?;
    // One that was killed already is noticed by its end, not here.
    rustix::io::write(&opener, OPEN).ok();
    Ok(Forked::Guardian(Spare { slot, pid, pidfd }))
}

impl Gate {
    fn pass(self) -> io::Result<()> {
        let mut heard = [0; OPEN.len()];
        // Bounded by the guardian's life: it opens the gate, or its end of the pipe is closed.
        loop {
            match rustix::io::read(&self.0, &mut heard) {
                Ok(count) if heard[..count] == *OPEN => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits for the guardian's end, and takes the lock that its place comes with.
pub(super) fn wait_for_place(lock: &mut File, run: &Path, gate: Gate) -> anyhow::Result<()> {
    gate.pass().context("the guardian ended before it had written its spare down")?;
    hurry();
    // A lock belongs to the opening of a file, and the guardian's is shared by the fork: with it the
    // spare would keep the lock from everybody.
    *lock = open_lock(run)?;
    // Bounded by the guardian's life.
    while let Err(error) = flock(&*lock, FlockOperation::LockExclusive) {
        if error != Errno::INTR {
            return Err(error).context("cannot wait for the guardian's lock");
        }
    }
    Ok(())
}

/// Puts this process before everybody who is not real-time, if the kernel lets it.
pub(super) fn hurry() {
    if let Err(error) = sys::become_real_time(PRIORITY) {
        tracing::debug!("no real-time priority for whom starts the others: {error}");
    }
}
