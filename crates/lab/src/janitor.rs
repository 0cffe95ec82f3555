//! Starts the holder in a pid namespace of its own, waits for its end, and sweeps up.
//!
//! The janitor is the only process of a lab that lives outside; what is visible outside (a
//! directory with a socket, a control group) is its to remove, however the lab ended.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use rustix::{
    process::{getegid, geteuid},
    thread::UnshareFlags,
};

use crate::{freezer::Freezer, hold, layout::Layout, message::Reply, sys, wire};

/// What the program that starts a lab tells the janitor; the listener comes with it.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Begin {
    pub(crate) layout: Layout,
    /// Whether the lab outlives the program that starts it.
    pub(crate) keep: bool,
}

/// Runs the janitor. Standard input is the socket to the program that wants the lab.
pub(crate) fn run() -> Result<()> {
    let starter = std::io::stdin().as_fd().try_clone_to_owned()?;
    let Some((begin, descriptors)) = wire::receive::<Begin>(&starter)? else { return Ok(()) };
    let outcome = run_holder(&starter, &begin, &descriptors);
    if let Err(error) = &outcome {
        let _ = wire::send(&starter, &Reply::Failed { message: format!("{error:#}") });
    }
    sweep(&begin.layout.name, &begin.layout.directory);
    outcome
}

fn run_holder(starter: &OwnedFd, begin: &Begin, descriptors: &[OwnedFd]) -> Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let mut namespaces = UnshareFlags::NEWPID;
    if uid != 0 {
        namespaces |= UnshareFlags::NEWUSER;
    }
    sys::unshare(namespaces).context(
        "cannot make namespaces: run as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)",
    )?;
    if uid != 0 {
        // Who may not change groups may map its own ids.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    let (ours, theirs) = wire::pair()?;
    let mut holder = Command::new("/proc/self/exe")
        .arg("lab-hold")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?))
        .spawn()
        .context("cannot start the holder")?;
    let mut passed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    passed.insert(0, starter.as_fd());
    wire::send_with(&ours, begin, &passed)?;
    let status = holder.wait()?;
    anyhow::ensure!(status.success(), "the holder ended with {status}");
    Ok(())
}

/// Runs the holder. Standard input is the socket to the janitor.
pub(crate) fn run_hold() -> Result<()> {
    let janitor = std::io::stdin().as_fd().try_clone_to_owned()?;
    let (begin, descriptors) = wire::receive::<Begin>(&janitor)?.context("the janitor left")?;
    let mut descriptors = descriptors.into_iter();
    let starter = descriptors.next().context("no socket to the starter")?;
    let listener = descriptors.next().context("no listener")?;
    hold::run(begin.layout, listener, starter, begin.keep)
}

fn sweep(lab: &str, directory: &Path) {
    Freezer::remove(lab);
    let _ = fs::remove_dir_all(directory);
}
