//! A control group for what a resource starts and does not contain: so that a stop can reach all of it.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::{proc::Stat, sys, wait::timespec};

/// Most processes that are named to people.
const NAMED_MAX: usize = 3;
/// How long somebody else may take to bury what was killed.
const BURIED_WITHIN: Duration = Duration::from_secs(1);
/// How often those are killed that were forked meanwhile, on kernels that cannot kill a group at once.
const KILL_EVERY: Duration = Duration::from_millis(50);
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
    let procs = open(&path)?;
    Ok((path, procs))
}

/// Where a process joins this group.
///
/// # Errors
/// When it is not there, or cannot be written.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(fs::OpenOptions::new().write(true).open(path.join("cgroup.procs"))?.into())
}

/// The group of this resource, if it has one.
///
/// # Errors
/// When that cannot be found out: then there may be one.
pub(crate) fn find(resource: &str) -> io::Result<Option<PathBuf>> {
    match place(resource) {
        Ok(path) => Ok(path.try_exists()?.then_some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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
    kill_members(path).ok();
    remove(path);
}

/// Kernels before 5.14 cannot kill a group at once: there each one is killed by itself.
fn kill_members(path: &Path) -> io::Result<()> {
    let at_once = path.join("cgroup.kill");
    if at_once.exists() {
        return fs::write(at_once, "1");
    }
    let members = fs::read_to_string(path.join("cgroup.procs"))?;
    for pid in members.lines().filter_map(|pid| pid.parse().ok()) {
        sys::kill(pid, libc::SIGKILL).ok();
    }
    Ok(())
}

/// Removes the group if nothing is in it.
pub(crate) fn remove(path: &Path) {
    // Still busy while the dead are being buried: an empty group does no harm, and is used again.
    fs::remove_dir(path).ok();
}

/// Kills everything in the group, children of children too, and waits until it is gone; whether there was anything.
///
/// # Errors
/// When the group cannot be read or killed, or something outlives that.
pub(crate) fn kill_all(path: &Path, until: Instant) -> io::Result<bool> {
    Ok(kill_known(path, until)?.is_some())
}

/// The same, and waits a moment until they are buried: agents take a process for alive as long as nobody has done that.
///
/// # Errors
/// When the group cannot be read or killed, or something outlives that.
pub(crate) fn kill_and_bury_all(path: &Path, until: Instant) -> io::Result<bool> {
    let Some(known) = kill_known(path, until)? else { return Ok(false) };
    let is_there = |pid: &str| Path::new("/proc").join(pid).exists();
    let until = until.min(Instant::now() + BURIED_WITHIN);
    while known.lines().any(is_there) && Instant::now() < until {
        poll(&mut [], Some(&timespec(LOOK_EVERY)))?;
    }
    Ok(true)
}

/// The numbers of those who were killed, if there was anybody.
fn kill_known(path: &Path, until: Instant) -> io::Result<Option<String>> {
    if !path.try_exists()? {
        return Ok(None);
    }
    match kill_until_empty(path, until) {
        // Somebody else was faster, and has removed it: it is only removed when nobody is in it.
        Err(_) if !path.try_exists()? => Ok(Some(String::new())),
        other => other,
    }
}

fn kill_until_empty(path: &Path, until: Instant) -> io::Result<Option<String>> {
    if !is_populated(path)? {
        return Ok(None);
    }
    // The kernel says on this file when the last one has gone (cgroup-v2, "cgroup.events").
    let events = fs::File::open(path.join("cgroup.events"))?;
    let known = fs::read_to_string(path.join("cgroup.procs"))?;
    kill_members(path)?;
    while is_populated(path)? {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(outlived(path));
        }
        poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timespec(left.min(KILL_EVERY))))?;
        kill_members(path)?;
        // What was read is what the next change is told against.
        io::read_to_string(&events)?;
    }
    Ok(Some(known))
}

fn outlived(path: &Path) -> io::Error {
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let named = members.lines().take(NAMED_MAX).filter_map(|pid| Stat::of(pid.parse().ok()?).ok()?);
    let named: Vec<_> = named.map(|stat| stat.to_string()).collect();
    let why = format!("some processes outlive being killed: {}", named.join("; "));
    io::Error::new(io::ErrorKind::TimedOut, why)
}

/// Whether anything in the group has not ended.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn is_populated(path: &Path) -> io::Result<bool> {
    let events = fs::read_to_string(path.join("cgroup.events"))?;
    Ok(events.lines().any(|line| line == "populated 1"))
}
