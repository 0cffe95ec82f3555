//! A control group for what a resource starts and does not contain: so that a stop can reach all of it.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::wait::timespec;

/// How long somebody else may take to bury what was killed.
const BURIED_WITHIN: Duration = Duration::from_secs(1);
/// How often is looked whether that was done: nothing tells it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Makes a group for this resource below our own; its directory, and where a process joins it.
///
/// # Errors
/// When there is no unified hierarchy, or it cannot be written.
pub(crate) fn create(resource: &str) -> io::Result<(PathBuf, OwnedFd)> {
    let path = place(resource)?;
    if !path.exists() {
        fs::create_dir(&path)?;
    }
    let procs = fs::OpenOptions::new().write(true).open(path.join("cgroup.procs"))?;
    Ok((path, procs.into()))
}

/// The group of this resource, if it has one.
pub(crate) fn find(resource: &str) -> Option<PathBuf> {
    place(resource).ok().filter(|path| path.exists())
}

fn place(resource: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no unified control group hierarchy");
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let root = mounts.lines().find_map(unified_root).ok_or_else(missing)?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).ok_or_else(missing)?;
    Ok(Path::new(root).join(own).join(format!("heart-{resource}")))
}

/// Where the unified hierarchy is, if this line of `mountinfo` is about it.
fn unified_root(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(" - ")?;
    after.starts_with("cgroup2 ").then(|| before.split(' ').nth(4)).flatten()
}

/// Kills everything in the group, children of children too, and removes it once it is empty.
pub(crate) fn kill(path: &Path) {
    fs::write(path.join("cgroup.kill"), "1").ok();
    remove(path);
}

/// Removes the group if nothing is in it.
pub(crate) fn remove(path: &Path) {
    // Still busy while the dead are being buried: an empty group does no harm, and is used again.
    fs::remove_dir(path).ok();
}

/// Whether there was anything in the group, of which nothing is left: it was killed, and is gone by then.
///
/// # Errors
/// When the group cannot be read or killed (kernels before 5.14 cannot), or something outlives that.
pub(crate) fn kill_all(path: &Path, until: Instant) -> io::Result<bool> {
    if !is_populated(path)? {
        return Ok(false);
    }
    // The kernel says on this file when the last one has gone (cgroup-v2, "cgroup.events").
    let events = fs::File::open(path.join("cgroup.events"))?;
    let known = fs::read_to_string(path.join("cgroup.procs"))?;
    fs::write(path.join("cgroup.kill"), "1")?;
    while is_populated(path)? {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "some processes outlive being killed"));
        }
        poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timespec(left)))?;
        // What was read is what the next change is told against.
        io::read_to_string(&events)?;
    }
    // Agents take a process for alive as long as nobody has buried it.
    let is_there = |pid: &str| Path::new("/proc").join(pid).exists();
    let until = until.min(Instant::now() + BURIED_WITHIN);
    while known.lines().any(is_there) && Instant::now() < until {
        poll(&mut [], Some(&timespec(LOOK_EVERY)))?;
    }
    Ok(true)
}

/// Whether anything in the group has not ended.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn is_populated(path: &Path) -> io::Result<bool> {
    let events = fs::read_to_string(path.join("cgroup.events"))?;
    Ok(events.lines().any(|line| line == "populated 1"))
}
