//! Sockets that ask hosts for an echo, and hear what they answer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

use heart_node::echo::{self, ANSWER_MAX, Family};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto, socket_with,
};

use crate::sys;

/// What the echoes of one process are known by, so that nobody answers them who was not asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    identifier: u16,
    cookie: u64,
}

impl Mark {
    /// Draws one.
    ///
    /// # Errors
    /// When the kernel gives no chance.
    pub(crate) fn draw() -> io::Result<Mark> {
        let mut drawn = [0; 10];
        getrandom::fill(&mut drawn).map_err(io::Error::other)?;
        let [high, low, cookie @ ..] = drawn;
        Ok(Mark { identifier: u16::from_be_bytes([high, low]), cookie: u64::from_be_bytes(cookie) })
    }
}

/// The sockets, each if the kernel gives one.
pub(crate) struct Sockets {
    pub(crate) all: Vec<Socket>,
    /// Why there is none of a family.
    pub(crate) refused: Vec<String>,
}

/// A socket of one family.
pub(crate) struct Socket {
    pub(crate) fd: OwnedFd,
    family: Family,
    /// It hands over the header of IPv4 too.
    is_raw: bool,
}

impl Sockets {
    /// Opens what is needed, as long as this process may: nothing is sent yet.
    pub(crate) fn open() -> Sockets {
        let mut sockets = Sockets { all: Vec::new(), refused: Vec::new() };
        for family in [Family::Four, Family::Six] {
            match Socket::open(family) {
                Ok(socket) => sockets.all.push(socket),
                Err(error) => sockets.refused.push(error.to_string()),
            }
        }
        sockets
    }

    /// The one by which this host is asked.
    pub(crate) fn of(&self, host: IpAddr) -> Option<&Socket> {
        let family = if host.is_ipv4() { Family::Four } else { Family::Six };
        self.all.iter().find(|socket| socket.family == family)
    }
}

impl Socket {
    /// The kernel's own socket for pings, which hears nothing but answers to its requests, where
    /// `net.ipv4.ping_group_range` allows that; a raw one otherwise.
    fn open(family: Family) -> io::Result<Socket> {
        let (domain, protocol) = match family {
            Family::Four => (AddressFamily::INET, ipproto::ICMP),
            Family::Six => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let open = |kind| socket_with(domain, kind, flags, Some(protocol));
        if let Ok(fd) = open(SocketType::DGRAM) {
            return Ok(Socket { fd, family, is_raw: false });
        }
        let fd = open(SocketType::RAW)?;
        sys::only_echo_answers(fd.as_raw_fd(), family == Family::Six)?;
        Ok(Socket { fd, family, is_raw: true })
    }

    /// Asks a host once.
    pub(crate) fn ask(&self, host: IpAddr, mark: Mark, sequence: u16) {
        let request = echo::request(self.family, mark.identifier, mark.cookie, sequence);
        // That it cannot be sent, because there is no route or no room, is as good as no answer.
        sendto(&self.fd, &request, SendFlags::empty(), &SocketAddr::new(host, 0)).ok();
    }

    /// What the next datagram answers, or nothing if it is no answer.
    ///
    /// # Errors
    /// When there is no datagram.
    pub(crate) fn hear(&self, mark: Mark) -> io::Result<Option<(IpAddr, u16)>> {
        let mut buffer = [0; ANSWER_MAX];
        let (length, _, from) = recvfrom(&self.fd, &mut buffer[..], RecvFlags::empty())?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).map(|from| from.ip());
        let has_header = self.is_raw && self.family == Family::Four;
        let sequence = echo::answer(self.family, has_header, mark.cookie, &buffer[..length]);
        Ok(from.map(plain).zip(sequence))
    }
}

/// An address of IPv4 in the clothes of IPv6 is one of IPv4.
fn plain(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(_) => host,
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(IpAddr::V6(six), |four: Ipv4Addr| IpAddr::V4(four)),
    }
}
