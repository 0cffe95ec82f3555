//! A control group for a service that is not contained: so that a stop reaches all of it.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Makes a group for this resource below our own; its directory, and where a process joins it.
///
/// # Errors
/// When there is no unified hierarchy, or it cannot be written.
pub(super) fn create(resource: &str) -> io::Result<(PathBuf, OwnedFd)> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no unified control group hierarchy");
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let root = mounts.lines().find_map(unified_root).ok_or_else(missing)?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).ok_or_else(missing)?;
    let path = Path::new(root).join(own).join(format!("heart-{resource}"));
    if !path.exists() {
        fs::create_dir(&path)?;
    }
    let procs = fs::OpenOptions::new().write(true).open(path.join("cgroup.procs"))?;
    Ok((path, procs.into()))
}

/// Where the unified hierarchy is, if this line of `mountinfo` is about it.
fn unified_root(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(" - ")?;
    after.starts_with("cgroup2 ").then(|| before.split(' ').nth(4)).flatten()
}

/// Kills everything in the group, children of children too, and removes it once it is empty.
pub(super) fn kill(path: &Path) {
    fs::write(path.join("cgroup.kill"), "1").ok();
    // Still busy while the dead are being buried: an empty group does no harm, and is used again.
    fs::remove_dir(path).ok();
}
