//! How two processes of one node talk: messages over a socket pair that outlives both of them.
//!
//! The guardian makes the pair and keeps both ends, so that either process can die and come back
//! to the same socket. What was said to its predecessor, and half of a message perhaps, is still
//! in there. Therefore:
//!
//! - a message is cut into packets; each names its message and its place, the last one says so;
//! - whoever starts says *hello* first. Whoever hears that tells all that the other needs to know,
//!   anew; what was waiting for the predecessor is dropped;
//! - half a message is dropped as soon as something else follows.
//!
//! So a message can be lost only if a hello follows, and can arrive twice: messages are states and
//! orders that are harmless twice.
//!
//! ```text
//! packet   version  kind  0  0  message:u32  place:u32  bytes…
//! ```

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use heart_model::LOCAL_MESSAGE_MAX;
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair},
};
use serde::{Serialize, de::DeserializeOwned};

/// The version of the packets. Processes of one node are of one version, except for moments.
const VERSION: u8 = 1;
/// Longest packet, header included.
const PACKET_MAX: usize = 64 * 1024;
const HEADER: usize = 12;
/// Most bytes that wait for a reader that does not read. Beyond, all of it is dropped: such a
/// reader is dead, and says hello when it is back.
const BACKLOG_MAX: usize = 2 * LOCAL_MESSAGE_MAX;
/// Most packets that are read in one go, so that a fast talker does not keep us from the rest.
const PACKETS_PER_TURN: usize = 256;

const HELLO: u8 = 0;
const PART: u8 = 1;
const LAST: u8 = 2;

/// What came out of a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<T> {
    /// The other process has started: tell it everything again.
    Hello,
    /// It says this.
    Message(T),
}

/// Why a channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Nobody holds the other end any more: the guardian has ended too.
    #[error("the other end of the channel is closed for good")]
    Closed,
    /// The socket refused.
    #[error("cannot use the channel's socket: {0}")]
    Socket(#[from] io::Error),
    /// A message is longer than the other side would accept.
    #[error("a message of {length} bytes is longer than the {LOCAL_MESSAGE_MAX} that are allowed")]
    Long {
        /// Its length.
        length: usize,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot write a message: {0}")]
    Write(serde_json::Error),
}

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
    number: u32,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    partial: Option<Partial>,
}

/// A message of which not all has come.
#[derive(Debug)]
struct Partial {
    message: u32,
    next: u32,
    bytes: Vec<u8>,
}

/// Makes the socket pair for a channel.
///
/// # Errors
/// When the process has no file descriptor left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Channel {
    /// Takes up one end, and says hello.
    ///
    /// # Errors
    /// When the socket refuses.
    pub fn new(fd: OwnedFd) -> Result<Channel, ChannelError> {
        let mut channel =
            Channel { fd, number: 0, waiting: VecDeque::new(), waiting_bytes: 0, partial: None };
        channel.queue(packet(HELLO, 0, 0, &[]));
        channel.flush()?;
        Ok(channel)
    }

    /// Sends a message; what the socket does not take at once waits for [`Channel::flush`].
    ///
    /// # Errors
    /// When the message is too long, or the channel is unusable.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message).map_err(ChannelError::Write)?;
        if bytes.len() > LOCAL_MESSAGE_MAX {
            return Err(ChannelError::Long { length: bytes.len() });
        }
        if self.waiting_bytes + bytes.len() > BACKLOG_MAX {
            tracing::warn!("the other process does not read: {} bytes are dropped", self.waiting_bytes);
            self.forget_waiting();
        }
        self.number = self.number.wrapping_add(1);
        let mut place = 0;
        let mut parts = bytes.chunks(PACKET_MAX - HEADER).peekable();
        while let Some(part) = parts.next() {
            let kind = if parts.peek().is_some() { PART } else { LAST };
            self.queue(packet(kind, self.number, place, part));
            place += 1;
        }
        self.flush()
    }

    /// Whether something waits until the socket can be written.
    #[must_use]
    pub fn wants_to_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// When the channel is unusable.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some(packet) = self.waiting.front() {
            match send(&self.fd, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => {
                    self.waiting_bytes -= packet.len();
                    self.waiting.pop_front();
                }
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(ChannelError::Socket(error.into())),
            }
        }
        Ok(())
    }

    /// Takes what has come, without waiting.
    ///
    /// # Errors
    /// When the channel is unusable.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Vec<Incoming<T>>, ChannelError> {
        let mut incoming = Vec::new();
        let mut buffer = Vec::new();
        for _ in 0..PACKETS_PER_TURN {
            match self.next_packet(&mut buffer) {
                Ok(0) => return Err(ChannelError::Closed),
                Ok(length) => incoming.extend(self.take(&buffer[..length])),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(ChannelError::Socket(error.into())),
            }
        }
        Ok(incoming)
    }

    /// Reads one packet into `buffer`; its length, 0 at the end of all.
    ///
    /// Its length is asked for first: clearing room for the longest one each time costs more than all
    /// the rest of an idle process's turn, and memory.
    fn next_packet(&self, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
        let look = RecvFlags::DONTWAIT | RecvFlags::PEEK | RecvFlags::TRUNC;
        let (_, length) = recv(&self.fd, &mut [0u8; 1][..], look)?;
        buffer.resize(length.clamp(1, PACKET_MAX), 0);
        Ok(recv(&self.fd, &mut buffer[..], RecvFlags::DONTWAIT)?.1)
    }

    /// What a packet completes, if it completes something.
    fn take<T: DeserializeOwned>(&mut self, packet: &[u8]) -> Option<Incoming<T>> {
        let (header, bytes) = packet.split_first_chunk::<HEADER>()?;
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (message, place) = (number(4), number(8));
        if header[0] != VERSION {
            // The other process is of another version, and about to be replaced.
            tracing::warn!("a packet of version {} was dropped, this is version {VERSION}", header[0]);
            return None;
        }
        if header[1] == HELLO {
            self.partial = None;
            self.forget_waiting();
            return Some(Incoming::Hello);
        }
        let mut partial = match self.partial.take() {
            Some(partial) if partial.message == message && partial.next == place => partial,
            // The rest of what a predecessor had begun to read: its writer will be told hello.
            _ if place != 0 => return None,
            _ => Partial { message, next: 0, bytes: Vec::new() },
        };
        if partial.bytes.len() + bytes.len() > LOCAL_MESSAGE_MAX {
            return None;
        }
        partial.bytes.extend_from_slice(bytes);
        partial.next += 1;
        if header[1] != LAST {
            self.partial = Some(partial);
            return None;
        }
        match serde_json::from_slice(&partial.bytes) {
            Ok(message) => Some(Incoming::Message(message)),
            Err(error) => {
                tracing::error!("a message cannot be read, it is dropped: {error}");
                None
            }
        }
    }

    fn queue(&mut self, packet: Vec<u8>) {
        self.waiting_bytes += packet.len();
        self.waiting.push_back(packet);
    }

    /// Drops what waits for a reader that has gone, except that we have started.
    fn forget_waiting(&mut self) {
        self.waiting.retain(|packet| packet[1] == HELLO);
        self.waiting_bytes = self.waiting.iter().map(Vec::len).sum();
    }
}

fn packet(kind: u8, message: u32, place: u32, bytes: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + bytes.len());
    packet.extend_from_slice(&[VERSION, kind, 0, 0]);
    packet.extend_from_slice(&message.to_le_bytes());
    packet.extend_from_slice(&place.to_le_bytes());
    packet.extend_from_slice(bytes);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> (Channel, Channel, (OwnedFd, OwnedFd)) {
        let (one, other) = pair().unwrap();
        // What the guardian keeps.
        let kept = (one.try_clone().unwrap(), other.try_clone().unwrap());
        (Channel::new(one).unwrap(), Channel::new(other).unwrap(), kept)
    }

    /// Everything that comes until nothing moves any more.
    fn all(from: &mut Channel, to: &mut Channel) -> Vec<Incoming<String>> {
        let mut found = Vec::new();
        loop {
            from.flush().unwrap();
            let more = to.receive().unwrap();
            if more.is_empty() && !from.wants_to_write() {
                return found;
            }
            found.extend(more);
        }
    }

    #[test]
    fn messages_of_any_length_arrive_whole() {
        let (mut one, mut other, _kept) = both();
        assert_eq!(all(&mut one, &mut other), [Incoming::Hello]);
        for length in [0, 1, PACKET_MAX - HEADER - 2, PACKET_MAX, 1_000_000, LOCAL_MESSAGE_MAX - 2] {
            let text = "x".repeat(length);
            one.send(&text).unwrap();
            assert_eq!(all(&mut one, &mut other), [Incoming::Message(text)], "{length}");
        }
        let long = "x".repeat(LOCAL_MESSAGE_MAX - 1);
        assert!(matches!(one.send(&long), Err(ChannelError::Long { .. })));
    }

    #[test]
    fn a_writer_that_dies_in_the_middle_is_forgotten() {
        let (mut one, mut other, kept) = both();
        all(&mut one, &mut other);
        // More than the socket takes: the first packets leave, then the writer dies.
        one.send(&"x".repeat(4_000_000)).unwrap();
        assert!(one.wants_to_write());
        assert_eq!(other.receive::<String>().unwrap(), []);
        drop(one);
        let mut one = Channel::new(kept.0).unwrap();
        one.send(&"new").unwrap();
        assert_eq!(all(&mut one, &mut other), [Incoming::Hello, Incoming::Message("new".into())]);
    }

    #[test]
    fn a_reader_that_dies_in_the_middle_misses_what_it_had_begun() {
        let (mut one, mut other, kept) = both();
        all(&mut one, &mut other);
        one.send(&"x".repeat(4_000_000)).unwrap();
        assert_eq!(other.receive::<String>().unwrap(), []);
        drop(other);
        let mut other = Channel::new(kept.1).unwrap();
        one.receive::<String>()
            .unwrap()
            .into_iter()
            .for_each(|incoming| assert_eq!(incoming, Incoming::Hello));
        one.send(&"again").unwrap();
        assert_eq!(all(&mut one, &mut other), [Incoming::Message("again".into())]);
    }

    #[test]
    fn garbage_is_dropped() {
        let (mut one, mut other, kept) = both();
        all(&mut one, &mut other);
        for bytes in
            [&[9u8, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], &[1, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'{'], &[1]]
        {
            send(&kept.0, bytes, SendFlags::empty()).unwrap();
        }
        one.send(&"fine").unwrap();
        assert_eq!(all(&mut one, &mut other), [Incoming::Message("fine".into())]);
    }

    #[test]
    fn it_is_over_when_nobody_holds_the_other_end() {
        let (one, mut other, kept) = both();
        drop((one, kept));
        assert!(matches!(
            other.receive::<String>().and_then(|_| other.receive::<String>()),
            Err(ChannelError::Closed)
        ));
    }
}
