//! Requests to the kernel's network, without starting a program for each.
//!
//! A fault must take hold at once: starting `ip` or `nft` costs several milliseconds, a netlink
//! request some ten microseconds. Only what the lab needs is here: messages are built attribute
//! by attribute, sent, and their acknowledgements read.

pub(crate) mod link;
pub(crate) mod nft;

use std::{io, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const NLA_F_NESTED: u16 = 0x8000;
const HEADER: usize = 16;
/// An acknowledgement repeats at most the header of its request.
const ANSWER_MAX: usize = 16 * 1024;

/// A socket to one part of the kernel's network.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace that this process is in; no protocol is routes and
    /// links.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Netlink> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends messages in one go and waits until the kernel has done them all.
    pub(crate) fn request(&mut self, messages: &[Message]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut awaited = 0;
        for message in messages {
            self.sequence += 1;
            bytes.extend(message.finish(self.sequence));
            awaited += usize::from(message.acknowledged);
        }
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut outcome = Ok(());
        let mut answer = vec![0; ANSWER_MAX];
        while awaited > 0 {
            let (length, _) = recv(&self.socket, answer.as_mut_slice(), RecvFlags::empty())?;
            for error in acknowledgements(&answer[..length]) {
                awaited = awaited.saturating_sub(1);
                if error != 0 && outcome.is_ok() {
                    outcome = Err(io::Error::from_raw_os_error(-error));
                }
            }
        }
        outcome
    }
}

/// The error number of every acknowledgement in `bytes`; 0 is success.
fn acknowledgements(mut bytes: &[u8]) -> Vec<i32> {
    let mut errors = Vec::new();
    while bytes.len() >= HEADER + 4 {
        let length = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if u16::from_ne_bytes([bytes[4], bytes[5]]) == NLMSG_ERROR {
            errors.push(i32::from_ne_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]));
        }
        bytes = bytes.get(align(length.max(HEADER))..).unwrap_or_default();
    }
    errors
}

/// One request being built.
pub(crate) struct Message {
    bytes: Vec<u8>,
    acknowledged: bool,
}

impl Message {
    /// A request that the kernel acknowledges.
    pub(crate) fn new(kind: u16, flags: u16) -> Message {
        Message::with(kind, flags | NLM_F_REQUEST | NLM_F_ACK, true)
    }

    /// A request without an answer of its own.
    pub(crate) fn unacknowledged(kind: u16) -> Message {
        Message::with(kind, NLM_F_REQUEST, false)
    }

    fn with(kind: u16, flags: u16, acknowledged: bool) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Message { bytes, acknowledged }
    }

    /// Appends the fixed part that follows the header, or that opens some attributes.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Message {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(value);
        self.close(start, kind);
        self
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Message {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Appends an attribute that is made of attributes.
    pub(crate) fn nest(mut self, kind: u16, fill: impl FnOnce(Message) -> Message) -> Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let mut whole = fill(self);
        whole.close(start, kind | NLA_F_NESTED);
        whole
    }

    fn close(&mut self, start: usize, kind: u16) {
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self.bytes.resize(align(self.bytes.len()), 0);
    }

    fn finish(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(align(bytes.len()), 0);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes
    }
}

/// Netlink pads everything to four bytes.
fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let message = Message::new(16, 0).nest(18, |m| m.text(1, "abc").attribute(2, &[7])).finish(9);
        assert_eq!(message.len(), HEADER + 4 + 8 + 8);
        assert_eq!(message[0], 36);
        assert_eq!(message[16..20], [20, 0, 18, 0x80]);
        assert_eq!(message[20..28], [8, 0, 1, 0, b'a', b'b', b'c', 0]);
        assert_eq!(message[28..36], [5, 0, 2, 0, 7, 0, 0, 0]);
    }

    #[test]
    fn a_torn_answer_ends_the_reading() {
        assert!(acknowledgements(&[1, 2, 3]).is_empty());
        let mut answer = vec![0; 36];
        answer[0] = 36;
        answer[4] = 2;
        answer[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        assert_eq!(acknowledgements(&answer), [-17]);
        answer[0] = 0;
        assert_eq!(acknowledgements(&answer), [-17]);
    }
}
