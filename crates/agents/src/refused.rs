//! Processes that the kernel refused to make.
//!
//! That concerns the machine, not the resource for which somebody tried; so it is counted here, for whoever looks
//! after the machine.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// What a child of ours begins with that says to us why it failed, if the kernel refused it a process.
const TOLD: &str = "no process is to be had: ";

/// How many processes and threads the kernel refused to make for this process so far.
#[must_use]
pub fn count() -> u64 {
    COUNT.load(Relaxed)
}

/// Counts an error of an attempt to make a process or a thread, if it is the machine's fault.
///
/// fork(2): `EAGAIN` is a limit of processes, `ENOMEM` a lack of memory.
pub fn note(error: &io::Error) {
    if is_refusal(error) {
        COUNT.fetch_add(1, Relaxed);
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
}

/// What a child of ours says to us, and in the end to people, of such an error: its own count dies with it.
pub(crate) fn told(error: &io::Error, why: String) -> String {
    if is_refusal(error) { format!("{TOLD}{why}") } else { why }
}

/// Says more of what a child of ours said: it stays of [`told`] if it was.
pub(crate) fn told_more(why: &str, more: impl FnOnce(&str) -> String) -> String {
    match why.strip_prefix(TOLD) {
        Some(why) => format!("{TOLD}{}", more(why)),
        None => more(why),
    }
}

/// Counts what a child of ours said, if that is of [`told`].
pub(crate) fn note_told(why: &str) {
    if why.starts_with(TOLD) {
        COUNT.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_not_the_machines_fault() {
        let counts = |code| {
            let before = count();
            note(&io::Error::from_raw_os_error(code));
            count() - before
        };
        let all = [libc::ENOENT, libc::EACCES, libc::EAGAIN, libc::ENOMEM].map(counts);
        assert_eq!(all, [0, 0, 1, 1]);
        let told = |code| {
            let before = count();
            let why = told(&io::Error::from_raw_os_error(code), "no more".into());
            note_told(&told_more(&why, |why| format!("cannot run /bin/true: {why}")));
            count() - before
        };
        assert_eq!([libc::ENOENT, libc::EAGAIN].map(told), [0, 1], "of a child");
    }
}
