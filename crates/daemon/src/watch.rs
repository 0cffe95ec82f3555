//! Sees to it that somebody guards the node: the executor starts a new guardian when the old one
//! and its spares were killed.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use heart_agents::descriptors;
use rustix::event::{PollFd, PollFlags, poll};

use crate::guardian::find_guardian;

/// How long a spare is given to take over.
const COURTESY: Duration = Duration::from_millis(10);
/// How long a new guardian may take to say that it is there.
const START: Duration = Duration::from_millis(200);

/// Starts the thread that watches the guardian.
pub(crate) fn start(run: &Path) -> anyhow::Result<()> {
    let run = run.to_owned();
    thread::Builder::new().name("watch".into()).spawn(move || watch(&run))?;
    Ok(())
}

fn watch(run: &Path) {
    loop {
        if let Some(pidfd) = find_guardian(run) {
            // Bounded by the guardian's life.
            while poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).is_err() {}
        }
        pause(COURTESY);
        if find_guardian(run).is_some() {
            continue;
        }
        if let Err(error) = start_guardian(run) {
            tracing::error!("cannot start a new guardian: {error}");
        }
        pause(START);
    }
}

fn pause(wait: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
    thread::sleep(wait);
}

fn start_guardian(run: &Path) -> anyhow::Result<()> {
    tracing::warn!("the guardian and its spares have ended; starting a new guardian");
    let mut command = Command::new("/proc/self/exe");
    command.arg0("heart").args(["internal", "guardian"]).arg(run);
    command.stdin(Stdio::null()).process_group(0);
    descriptors::as_before(&mut command);
    let child = command.spawn()?;
    // Reaped here when it ends: it is this process's child.
    thread::Builder::new().name("reaper".into()).spawn(move || {
        let mut child = child;
        child.wait().ok();
    })?;
    Ok(())
}
