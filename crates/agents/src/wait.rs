//! Waiting for file descriptors, and giving up.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};

/// Whether there is something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// There is.
    Yes,
    /// The time is over.
    No,
}

/// Waits until `fd` can be read, but not longer than `within`.
pub(crate) fn readable(fd: BorrowedFd<'_>, within: Duration) -> io::Result<Ready> {
    let end = Instant::now() + within;
    let ready = any(&[fd], Some(end))?;
    Ok(if ready[0] { Ready::Yes } else { Ready::No })
}

/// Waits until one of the descriptors can be read or has been closed by the other side, or until
/// `end`. Tells for each whether it is ready.
///
/// # Errors
/// When the kernel does not let us wait.
pub fn any(fds: &[BorrowedFd<'_>], end: Option<Instant>) -> io::Result<Vec<bool>> {
    loop {
        let mut polled: Vec<PollFd<'_>> =
            fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let left = end.map(|end| timespec(end.saturating_duration_since(Instant::now())));
        match poll(&mut polled, left.as_ref()) {
            Ok(_) => return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
            // Bounded by the signals that arrive; the end stays where it is.
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How long to wait before something that ends in `left` is renewed: as long as `reserve` remains,
/// but at least a `parts`th of it.
///
/// What was renewed meanwhile is seen then, so renewing more often makes nothing safer; only being
/// late has to be reckoned with, and how late somebody may be does not depend on what is left.
#[must_use]
pub fn before(left: Duration, reserve: Duration, parts: u32) -> Duration {
    left.saturating_sub(reserve).max(left / parts)
}

/// A length of time as the kernel wants it.
#[must_use]
pub fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    }
}

/// A bell: whoever has it can ring, and whoever polls it hears.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// Makes a bell.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Rings. It stays rung until somebody calls [`Bell::silence`].
    pub fn ring(&self) {
        // It can only fail by having been rung 2^64 - 2 times.
        rustix::io::write(&self.0, &1u64.to_ne_bytes()).ok();
    }

    /// A descriptor that can be read at once and for ever.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn rung() -> io::Result<OwnedFd> {
        let bell = Bell::new()?;
        bell.ring();
        Ok(bell.0)
    }

    /// Takes note of all ringing so far.
    pub fn silence(&self) {
        rustix::io::read(&self.0, &mut [0u8; 8]).ok();
    }

    /// Whether it was rung.
    #[must_use]
    pub fn is_rung(&self) -> bool {
        any(&[self.0.as_fd()], Some(Instant::now())).is_ok_and(|ready| ready[0])
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_renewed_in_time_and_not_much_earlier() {
        let ms = Duration::from_millis;
        for (left, wait) in [(530, 230), (450, 150), (420, 140), (18, 6), (0, 0), (5000, 4700)] {
            assert_eq!(before(ms(left), ms(300), 3), ms(wait), "{left} ms are left");
        }
    }
}
