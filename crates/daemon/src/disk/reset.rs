//! Resetting this machine, at once: nothing is stopped and nothing is written before.

use std::{fs, thread, time::Duration};

use rustix::system::{RebootCommand, reboot};

/// The namespace of processes that a kernel begins with (`PROC_PID_INIT_INO`): in any other one this is no machine but a
/// container, or one of a lab, and ends alone.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
/// How often a reset that did not happen is tried again; the watchdog is not fed meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// Resets the machine, and does not come back.
pub(super) fn reset(why: &str) -> ! {
    tracing::error!("this machine is reset: {why}");
    let is_machine =
        fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.to_string_lossy() == FIRST_NAMESPACE);
    // Ends with the machine, or with its watchdog.
    loop {
        if is_machine {
            // The kernel does it on the spot, without asking drivers or services.
            fs::write("/proc/sysrq-trigger", "b").ok();
        }
        if let Err(error) = reboot(RebootCommand::Restart) {
            tracing::error!("the kernel does not reset this machine: {error}; its watchdog will");
        }
        #[expect(clippy::disallowed_methods, reason = "there is nothing else to do any more")]
        thread::sleep(AGAIN);
    }
}
