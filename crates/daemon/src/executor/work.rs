//! Work that is done on threads, and what comes of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use heart_agents::{refused, wait::Bell};

use super::PRIORITY;
use crate::sys;

/// Enough for parsing what a program says of itself.
const STACK: usize = 512 * 1024;

/// One piece of work, with what tells that it has ended.
type Piece = Box<dyn FnOnce() + Send>;

/// One thread for each piece of work under way, and none else but one in reserve, if that was wanted; readable when
/// something has ended.
pub(super) struct Work<T> {
    done: mpsc::Receiver<T>,
    finished: mpsc::Sender<T>,
    bell: Arc<Bell>,
    /// Leads to a thread that waits for what no other can be made for.
    reserve: Option<mpsc::Sender<Piece>>,
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
        Ok(Work { done, finished, bell: Arc::new(Bell::new()?), reserve: None })
    }

    /// With a thread that is made now, while there are any, for what has to be done when there are none.
    pub(super) fn with_reserve() -> io::Result<Work<T>> {
        // Bounded by the work under way, which is for the caller to bound.
        let (reserve, pieces) = mpsc::channel::<Piece>();
        let wait = move || pieces.into_iter().for_each(|piece| piece());
        let thread = thread::Builder::new().name("heart-reserve".into()).stack_size(STACK).spawn(wait)?;
        sys::make_real_time(&thread, PRIORITY).ok();
        Ok(Work { reserve: Some(reserve), ..Work::new()? })
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
        begin(name, self.piece(work, broken)).map_err(|(error, _)| error)
    }

    /// The same for what needs no right and must not be kept from anybody: if there is no thread to be had it is done by
    /// the one in reserve, after what that has to do already.
    ///
    /// # Errors
    /// When there is none in reserve either.
    pub(super) fn begin_in_any_case(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
        broken: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<()> {
        let Err((error, piece)) = begin(name, self.piece(work, broken)) else { return Ok(()) };
        match (&self.reserve, piece) {
            (Some(reserve), Some(piece)) => reserve.send(piece).map_err(|_| error),
            (None, _) | (_, None) => Err(error),
        }
    }

    fn piece(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        broken: impl FnOnce() -> T + Send + 'static,
    ) -> Piece {
        let (finished, bell) = (self.finished.clone(), Arc::clone(&self.bell));
        Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| broken());
            finished.send(outcome).ok();
            bell.ring();
        })
    }
}

/// Gives it back if there is no thread to be had.
fn begin(name: &str, piece: Piece) -> Result<(), (io::Error, Option<Piece>)> {
    // What is given to a thread that was not made is gone, so it is laid down where both find it.
    let place = Arc::new(Mutex::new(Some(piece)));
    let take = |place: &Mutex<Option<Piece>>| place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let theirs = Arc::clone(&place);
    let whole = move || take(&theirs).into_iter().for_each(|piece| piece());
    let begun = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(whole);
    let thread = begun.inspect_err(refused::note).map_err(|error| (error, take(&place)))?;
    // Threads do not inherit it, and one that did it itself would first have to wait for its turn. Where it is not
    // allowed, the executor has said so.
    sys::make_real_time(&thread, PRIORITY).ok();
    Ok(())
}
