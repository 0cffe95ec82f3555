//! Sees to it that somebody guards the node: the executor starts a new guardian when the old one
//! was killed. A service manager may do so too; the second one finds the lock taken and ends.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::{guardian::find_guardian, setup::Places};

/// How long a service manager is given to start a guardian first.
const COURTESY: Duration = Duration::from_millis(20);
/// How long a new guardian may take to say that it is there.
const START: Duration = Duration::from_millis(200);

/// Starts the thread that watches the guardian.
pub(crate) fn start(places: &Places) -> anyhow::Result<()> {
    let places = places.clone();
    thread::Builder::new().name("watch".into()).spawn(move || watch(&places))?;
    Ok(())
}

fn watch(places: &Places) {
    loop {
        if let Some(pidfd) = find_guardian(places) {
            // Bounded by the guardian's life.
            while poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).is_err() {}
        }
        pause(COURTESY);
        if find_guardian(places).is_some() {
            continue;
        }
        if let Err(error) = start_guardian(places) {
            tracing::error!("cannot start a new guardian: {error}");
        }
        pause(START);
    }
}

fn pause(wait: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
    thread::sleep(wait);
}

fn start_guardian(places: &Places) -> anyhow::Result<()> {
    tracing::warn!("the guardian has ended; starting a new one");
    let mut command = Command::new("/proc/self/exe");
    command.arg0("heart").arg("daemon").arg("--config").arg(&places.config);
    command.arg("--state").arg(&places.state).arg("--run").arg(&places.run);
    if let Some(node) = &places.node {
        command.args(["--node", node]);
    }
    let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
    // Reaped here when it ends: it is this process's child.
    thread::Builder::new().name("reaper".into()).spawn(move || {
        let mut child = child;
        child.wait().ok();
    })?;
    Ok(())
}
