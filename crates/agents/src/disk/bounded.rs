//! Doing something that may hang, on a thread that can be given up.

use std::{
    os::fd::AsFd as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{hanging::Hanging, wait, wait::Bell};

/// Most threads that work or hang at one disk.
const AT_WORK_MAX: usize = 8;
/// Most of them at all disks.
const AT_WORK_ALL: usize = 32;
/// Enough for reading a device of full length.
const STACK: usize = 512 * 1024;

/// The threads of this process that work at disks, given up or not.
static AT_WORK: Hanging = Hanging::new(AT_WORK_MAX, AT_WORK_ALL);

/// Does it at that disk, and waits no longer than so, or until `cancel` is rung. What hangs is left behind on its
/// thread, and ends when the kernel lets it.
///
/// # Errors
/// What it says, or that it did not come to an end; for people.
pub fn bounded<T: Send + 'static>(
    disk: &Path,
    within: Duration,
    cancel: &Bell,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let place: Arc<str> = disk.to_string_lossy().into();
    AT_WORK
        .may_begin(&place)
        .map_err(|hang| format!("{place} was not asked, as {hang}; see the kernel's log about it"))?;
    let no_room = |error| format!("this node has no thread for it: {error}; see what takes up its threads");
    let done = Arc::new(Bell::new().map_err(no_room)?);
    // One outcome, of one thread.
    let (says, said) = mpsc::sync_channel(1);
    let (rings, ends_at) = (Arc::clone(&done), Arc::clone(&place));
    let whole = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err("what asks it broke down; the log says where".into()));
        AT_WORK.end(&ends_at);
        says.send(outcome).ok();
        rings.ring();
    };
    AT_WORK.begin(&place);
    if let Err(error) = thread::Builder::new().name("heart-disk-io".into()).stack_size(STACK).spawn(whole) {
        AT_WORK.end(&place);
        return Err(no_room(error));
    }
    wait::any(&[done.as_fd(), cancel.as_fd()], Some(Instant::now() + within)).map_err(no_room)?;
    match said.try_recv() {
        Ok(outcome) => outcome,
        Err(_) if cancel.is_rung() => Err("it had not answered when nobody wanted to know any more".into()),
        Err(_) => Err(format!("it did not answer within {within:?}; see the kernel's log about this disk")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_given_up_and_what_breaks_down_is_said() {
        let (cancel, disk) = (Bell::new().unwrap(), Path::new("/dev/none"));
        assert_eq!(bounded(disk, Duration::from_secs(10), &cancel, || Ok(7)), Ok(7));
        let broken = bounded::<()>(disk, Duration::from_secs(10), &cancel, || panic!("on purpose"));
        assert!(broken.unwrap_err().contains("broke down"));
        let (end, ends) = mpsc::channel::<()>();
        let hangs = move || ends.recv().map_err(|_| String::new());
        let given_up = bounded(disk, Duration::from_millis(10), &cancel, hangs).unwrap_err();
        assert!(given_up.contains("did not answer within 10ms"), "{given_up}");
        drop(end);
        cancel.ring();
        let (_end, ends) = mpsc::channel::<()>();
        let hangs = move || ends.recv().map_err(|_| String::new());
        assert!(
            bounded(disk, Duration::from_secs(10), &cancel, hangs).unwrap_err().contains("nobody wanted")
        );
    }
}
