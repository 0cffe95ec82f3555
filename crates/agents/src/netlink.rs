//! Netlink, as far as addresses, routes and packet filters need it.
//!
//! A request is bytes in one buffer, an answer is bytes in another; the kernel answers within the
//! call that sends. So there is nothing asynchronous here, and one socket serves for the life of
//! the process.
//!
//! This module knows how messages and attributes are laid out. What they mean is for its users.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink,
    sockopt,
};

use crate::wait::{self, Ready};

/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: answer also when all went well.
pub(crate) const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: tell all of them.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_REPLACE`: change it if it is there.
pub(crate) const REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`: fail if it is there.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`: make it if it is not there.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: put it behind the others.
pub(crate) const APPEND: u16 = 0x800;

/// `NLMSG_ERROR`: how a request ended; code 0 is an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: a dump is complete.
const DONE: u16 = 3;
/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;
/// The part of an attribute's type that is not a flag.
const KIND_MASK: u16 = 0x3fff;
/// A message's own header.
const HEADER: usize = 16;
/// What one receive can take; the kernel fills at most this much of a dump at a time.
const RECEIVE_MAX: usize = 64 * 1024;
/// Most receives one answer may take: dumps of thousands of routes stay far below.
const RECEIVES_MAX: usize = 4096;
/// The kernel answers at once. What takes longer will not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// One or more requests, built one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    messages: u32,
    /// Where the last message begins.
    last: usize,
}

impl Batch {
    /// Appends one message: its fixed part, then its attributes.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.bytes.len();
        self.last = start;
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.messages.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(fixed);
        pad(&mut self.bytes);
        fill(&mut Attributes { bytes: &mut self.bytes });
        let length = length32(self.bytes.len() - start);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.messages += 1;
    }

    /// Has the message that was appended last acknowledged.
    pub(crate) fn acknowledge_last(&mut self) {
        let flags = self.last + 6;
        let with_ack = short(&self.bytes, flags).unwrap_or_default() | ACK;
        self.bytes[flags..flags + 2].copy_from_slice(&with_ack.to_ne_bytes());
    }

    /// How many messages there are.
    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// Forgets everything and keeps the buffer.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.messages, self.last) = (0, 0);
    }
}

/// Where attributes are written to.
pub(crate) struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    /// One attribute of raw bytes.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = length16(value.len() + 4);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        pad(self.bytes);
    }

    /// A number in the machine's order, as rtnetlink wants it.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A number in network order, as nfnetlink wants it.
    pub(crate) fn network(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A long number in network order.
    pub(crate) fn network64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A text, with the zero byte that ends it.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// An attribute that holds attributes.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0u16.to_ne_bytes());
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(&mut Attributes { bytes: self.bytes });
        let length = length16(self.bytes.len() - start);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn length32(length: usize) -> u32 {
    u32::try_from(length).expect("a netlink batch stays far below 4 GiB")
}

fn length16(length: usize) -> u16 {
    u16::try_from(length).expect("a netlink attribute stays below 64 KiB")
}

/// One message as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Its type.
    pub(crate) kind: u16,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

/// Takes received bytes apart. What is cut off or lies about its length ends the list.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = number(bytes, 0)? as usize;
        if length < HEADER || length > bytes.len() {
            return None;
        }
        let kind = short(bytes, 4)?;
        let body = &bytes[HEADER..length];
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, body })
    })
}

/// The attributes behind a message's fixed part, which is `fixed` bytes long.
pub(crate) fn attributes(body: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut bytes = body.get(fixed..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(short(bytes, 0)?);
        let kind = short(bytes, 2)? & KIND_MASK;
        if length < 4 || length > bytes.len() {
            return None;
        }
        let value = &bytes[4..length];
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The 32-bit number at `offset`, in the machine's order.
pub(crate) fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
    port: u32,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Opens a socket of `protocol` (none: routes and addresses) that also hears `groups` (a bit for each).
    pub(crate) fn open(protocol: Option<Protocol>, groups: u32) -> io::Result<Socket> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            protocol,
        )?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        let address = SocketAddrNetlink::try_from(rustix::net::getsockname(&fd)?)?;
        // Events come in bursts; losing one costs a full look at everything.
        sockopt::set_socket_recv_buffer_size_force(&fd, 1024 * 1024).ok();
        Ok(Socket { fd, buffer: vec![0; RECEIVE_MAX], port: address.pid() })
    }

    /// The socket's own port: messages with this port were caused by it.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Sends everything in the batch and hands each message of the answer to `each`.
    ///
    /// `ends` is the number of messages that end with an acknowledgement or a dump.
    ///
    /// # Errors
    /// The first error that the kernel answered, or why it could not be asked.
    pub(crate) fn ask(
        &mut self,
        batch: &Batch,
        ends: usize,
        mut each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        // Of a question that failed more may have been answered than its failure.
        for _ in 0..RECEIVES_MAX {
            if self.receive()?.is_none() {
                break;
            }
        }
        rustix::net::sendto(&self.fd, &batch.bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut ended = 0;
        let mut failure: Option<io::Error> = None;
        for _ in 0..RECEIVES_MAX {
            if ended >= ends || failure.is_some() {
                break;
            }
            let Some(received) = self.receive()? else {
                match wait::readable(self.fd.as_fd(), ANSWER_WITHIN)? {
                    Ready::Yes => continue,
                    Ready::No => return Err(io::Error::from(io::ErrorKind::TimedOut)),
                }
            };
            for message in messages(&self.buffer[..received]) {
                match (message.kind, number(message.body, 0)) {
                    (ERROR, Some(0)) | (DONE, _) => ended += 1,
                    (ERROR, code) => {
                        let code = code.unwrap_or_default().cast_signed();
                        failure.get_or_insert_with(|| io::Error::from_raw_os_error(code.saturating_neg()));
                    }
                    _ => each(message),
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Hands every waiting event to `each`; `false` if some were lost because we were too slow.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Message<'_>)) -> io::Result<bool> {
        for _ in 0..RECEIVES_MAX {
            match self.receive() {
                Ok(Some(received)) => messages(&self.buffer[..received]).for_each(&mut each),
                Ok(None) => return Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// What is there to read: its length in the buffer.
    fn receive(&mut self) -> io::Result<Option<usize>> {
        match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
            Ok((_, length)) => Ok(Some(length.min(RECEIVE_MAX))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut batch = Batch::default();
        batch.message(7, 0, &[9, 9], |to| {
            to.text(1, "ab");
            to.nested(2, |to| to.network(3, 0x0102_0304));
        });
        let flags = |batch: &Batch| short(&batch.bytes, 6).unwrap();
        assert_eq!(flags(&batch), REQUEST);
        batch.acknowledge_last();
        assert_eq!((flags(&batch), batch.messages()), (REQUEST | ACK, 1));
        let read: Vec<_> = messages(&batch.bytes).collect();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].kind, 7);
        let found: Vec<_> = attributes(read[0].body, 4).collect();
        assert_eq!(found[0], (1, &b"ab\0"[..]));
        assert_eq!(attributes(found[1].1, 0).next(), Some((3, &[1, 2, 3, 4][..])));
    }

    #[test]
    fn lies_about_lengths_end_the_list() {
        for bytes in [&[][..], &[1, 0, 0, 0], &[255; 16], &[0; 64], &[16, 0, 0, 0, 1, 0, 0]] {
            assert_eq!(messages(bytes).count(), 0, "{bytes:?}");
        }
        assert_eq!(attributes(&[200, 0, 1, 0, 5], 0).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0], 0).count(), 0);
        assert_eq!(attributes(&[], 8).count(), 0);
    }
}
