//! How the processes of a lab talk: one JSON text per packet, with file descriptors beside it.
//!
//! Sequenced-packet sockets keep the boundaries, so nothing is framed or buffered here.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::Stamp;

/// Longest message, in bytes.
pub(crate) const MESSAGE_MAX: usize = 64 * 1024;
/// Most descriptors beside one message: the three standard streams.
const DESCRIPTORS_MAX: usize = 3;

/// Two connected ends.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("cannot make a pair of sockets")
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(to: impl AsFd, message: &T) -> Result<()> {
    send_with(to, message, &[])
}

/// Sends one message and copies of `descriptors`.
pub(crate) fn send_with<T: Serialize>(
    to: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > MESSAGE_MAX {
        bail!("a message of {} bytes is longer than the {MESSAGE_MAX} allowed: pass less", text.len());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        bail!("more than {DESCRIPTORS_MAX} descriptors in one message");
    }
    loop {
        match sendmsg(to.as_fd(), &[IoSlice::new(&text)], &mut beside, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            outcome => return outcome.map(drop).context("the other end of a lab's socket does not listen"),
        }
    }
}

/// Receives one message; `None` when the other end is closed.
pub(crate) fn receive<T: DeserializeOwned>(from: impl AsFd) -> Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        let into = &mut [IoSliceMut::new(&mut text)];
        match recvmsg(from.as_fd(), into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            outcome => break outcome.context("cannot read from a lab's socket")?.bytes,
        }
    };
    if length == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    let message = serde_json::from_slice(&text[..length]).with_context(|| {
        format!("not a message of this version of the lab: {}", String::from_utf8_lossy(&text[..length]))
    })?;
    Ok(Some((message, descriptors)))
}

/// Receives one message, waiting no longer than `wait`.
pub(crate) fn receive_within<T: DeserializeOwned>(from: impl AsFd, wait: Duration) -> Result<Option<T>> {
    if !readable_within(&from, wait)? {
        bail!("no answer within {wait:?}");
    }
    Ok(receive(from)?.map(|(message, _)| message))
}

/// Whether there is something to read (or an end to notice) within `wait`.
pub(crate) fn readable_within(from: impl AsFd, wait: Duration) -> Result<bool> {
    let deadline = Stamp::now().after(wait);
    loop {
        let mut fds = [PollFd::new(&from, PollFlags::IN)];
        match poll(&mut fds, Some(&timespec(deadline.remaining()))) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for a descriptor"),
        }
    }
}

/// A duration as the kernel wants it.
pub(crate) fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(wait.subsec_nanos()),
    }
}
