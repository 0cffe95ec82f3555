//! What agents tell without being asked.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use heart_model::ResourceName;

use crate::wait::Bell;

/// Most notices that wait to be read. Beyond, they are dropped, and the reader is told to look at
/// everything itself.
pub const NOTICES_MAX: usize = 256;

/// Something happened to a resource by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// To which resource.
    pub resource: ResourceName,
    /// What.
    pub what: Happened,
}

/// What can happen to a resource by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It is gone or does not work, and will not come back by itself; why, for people.
    Lost(String),
    /// It was taken from us and is back already; what happened, for people.
    Restored(String),
}

/// Where notices are put in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NoticeSender {
    queue: mpsc::SyncSender<Notice>,
    overflown: Arc<AtomicBool>,
    bell: Arc<Bell>,
}

/// Where notices come out. Its descriptor can be read while there are any.
#[derive(Debug)]
pub struct Notices {
    queue: Mutex<mpsc::Receiver<Notice>>,
    overflown: Arc<AtomicBool>,
    bell: Arc<Bell>,
}

/// Makes both ends.
///
/// # Errors
/// When the process has no file descriptor left.
pub fn notices() -> io::Result<(NoticeSender, Notices)> {
    let (sender, receiver) = mpsc::sync_channel(NOTICES_MAX);
    let overflown = Arc::new(AtomicBool::new(false));
    let bell = Arc::new(Bell::new()?);
    let notices =
        Notices { queue: Mutex::new(receiver), overflown: Arc::clone(&overflown), bell: Arc::clone(&bell) };
    Ok((NoticeSender { queue: sender, overflown, bell }, notices))
}

impl NoticeSender {
    /// Tells; never blocks.
    pub fn tell(&self, resource: &ResourceName, what: Happened) {
        if self.queue.try_send(Notice { resource: resource.clone(), what }).is_err() {
            self.overflown.store(true, Ordering::Release);
        }
        self.bell.ring();
    }
}

impl Notices {
    /// All notices so far, and whether some were dropped since the last call.
    #[must_use]
    pub fn take(&self) -> (Vec<Notice>, bool) {
        self.bell.silence();
        let overflown = self.overflown.swap(false, Ordering::AcqRel);
        let queue = self.queue.lock().expect("no holder of this lock can panic");
        (queue.try_iter().take(NOTICES_MAX).collect(), overflown)
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
