//! Work that is done on threads, and what comes of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

use heart_agents::{refused, wait::Bell};

use super::PRIORITY;
use crate::sys;

/// Enough for parsing what a program says of itself.
const STACK: usize = 512 * 1024;

/// One thread for each piece of work under way, none else; readable when something has ended.
pub(super) struct Work<T> {
    done: mpsc::Receiver<T>,
    finished: mpsc::Sender<T>,
    bell: Arc<Bell>,
}

impl<T> AsFd for Work<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl<T: Send + 'static> Work<T> {
    pub(super) fn new() -> io::Result<Work<T>> {
        // Bounded by the work under way, which is for the caller to bound.
        let (finished, done) = mpsc::channel();
        Ok(Work { done, finished, bell: Arc::new(Bell::new()?) })
    }

    /// What has ended since the last call.
    pub(super) fn ended(&self) -> Vec<T> {
        self.bell.silence();
        self.done.try_iter().collect()
    }

    /// Wakes whoever waits for something to end.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// Something has ended that needed no thread.
    pub(super) fn end(&self, outcome: T) {
        // Nobody hears it only when this is gone.
        self.finished.send(outcome).ok();
        self.bell.ring();
    }

    /// Does it on a thread; `broken` is what comes of it if it panics.
    ///
    /// # Errors
    /// When there is no thread to be had: then nothing ends.
    pub(super) fn begin(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
        broken: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<()> {
        let (finished, bell) = (self.finished.clone(), Arc::clone(&self.bell));
        let whole = move || {
            let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| broken());
            finished.send(outcome).ok();
            bell.ring();
        };
        let begun = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(whole);
        let thread = begun.inspect_err(refused::note)?;
        // Threads do not inherit it, and one that did it itself would first have to wait for its turn. Where it is not
        // allowed, the executor has said so.
        sys::make_real_time(&thread, PRIORITY).ok();
        Ok(())
    }
}
