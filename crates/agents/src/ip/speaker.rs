//! Asking whether an address is taken, and telling everybody that it is ours now.
//!
//! Two packet sockets serve for the life of the process: closing one costs 16 ms. One asks; while
//! nobody does, a filter keeps it deaf, so that other people's ARP does not wake us. The other
//! announces; what it sends is marked, and the gate lets it out before the end of the lease only.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, OwnedFd},
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::net::RecvFlags;

use super::{
    route::Interface,
    wire::{self, Arp, HARDWARE},
};
use crate::{
    gate::MARK,
    sys::{self, ETHER_ARP, ETHER_IPV6},
    wait::{self, Bell},
};

/// How often the question is asked while waiting for an answer.
const PROBES: u32 = 2;
/// Most packets that are looked at in one go.
const PACKETS_MAX: usize = 64;
/// `ICMPv6` neighbour advertisement.
const ADVERTISEMENT: u8 = 136;

/// Who has an address that we want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder(pub(super) Option<[u8; HARDWARE]>);

impl fmt::Display for Holder {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some([a, b, c, d, e, f]) => write!(to, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
            None => to.write_str("a host that did not name its hardware address"),
        }
    }
}

/// What those who wait for answers share: any of them may receive the answer of another.
#[derive(Default)]
struct Questions {
    /// The addresses that are asked for, by whom they must not be claimed, and who claimed them.
    open: BTreeMap<IpAddr, Question>,
}

struct Question {
    own: [u8; HARDWARE],
    holder: Option<Holder>,
}

/// The one who speaks ARP and neighbour discovery on all interfaces.
pub(super) struct Speaker {
    packets: OwnedFd,
    /// Never hears anything.
    announcements: OwnedFd,
    advertisements: OwnedFd,
    questions: Mutex<Questions>,
}

impl Speaker {
    pub(super) fn open() -> io::Result<Speaker> {
        let packets = sys::packet_socket()?;
        sys::hear_nothing(packets.as_fd())?;
        let announcements = sys::packet_socket()?;
        sys::hear_nothing(announcements.as_fd())?;
        sys::mark(announcements.as_fd(), MARK)?;
        let advertisements = sys::icmp6_socket(ADVERTISEMENT)?;
        sys::hear_nothing(advertisements.as_fd())?;
        Ok(Speaker { packets, announcements, advertisements, questions: Mutex::default() })
    }

    /// Asks whether somebody else has `address`, and waits for an answer for as long as said.
    /// While the answer is on its way, `meanwhile` is done.
    pub(super) fn detect(
        &self,
        interface: &Interface,
        address: IpAddr,
        within: Duration,
        cancel: &Bell,
        meanwhile: impl FnOnce(),
    ) -> io::Result<Option<Holder>> {
        let Some(own) = ethernet(interface).filter(|_| !within.is_zero()) else {
            meanwhile();
            return Ok(None);
        };
        self.begin(address, own)?;
        let mut meanwhile = Some(meanwhile);
        let mut found = Ok(None);
        for _ in 0..PROBES {
            let end = Instant::now() + within / PROBES;
            found = self.ask(interface, address, own);
            if let Some(meanwhile) = meanwhile.take() {
                meanwhile();
            }
            if found.is_ok() {
                found = self.wait_for(address, end, cancel);
            }
            if !matches!(found, Ok(None)) || cancel.is_rung() {
                break;
            }
        }
        self.end(address);
        found
    }

    fn begin(&self, address: IpAddr, own: [u8; HARDWARE]) -> io::Result<()> {
        let mut questions = self.questions.lock().expect("no holder of this lock can panic");
        if questions.open.is_empty() {
            self.discard();
        }
        questions.open.insert(address, Question { own, holder: None });
        self.listen(&questions)
    }

    fn end(&self, address: IpAddr) {
        let mut questions = self.questions.lock().expect("no holder of this lock can panic");
        questions.open.remove(&address);
        // A socket that hears too much costs time, not correctness.
        self.listen(&questions).ok();
    }

    /// Lets the sockets hear what the open questions need, and nothing else.
    fn listen(&self, questions: &Questions) -> io::Result<()> {
        let mut v4 = questions.open.keys().filter_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        match (v4.next(), v4.next()) {
            (None, _) => sys::hear_nothing(self.packets.as_fd())?,
            (Some(one), None) => sys::hear_arp_of(self.packets.as_fd(), one.octets())?,
            (Some(_), Some(_)) => sys::hear_all(self.packets.as_fd())?,
        }
        if questions.open.keys().any(IpAddr::is_ipv6) {
            sys::hear_all(self.advertisements.as_fd())
        } else {
            sys::hear_nothing(self.advertisements.as_fd())
        }
    }

    /// Throws away what arrived before anybody asked.
    fn discard(&self) {
        for socket in [&self.packets, &self.advertisements] {
            for _ in 0..PACKETS_MAX {
                if rustix::net::recv(socket, &mut [0u8; 64][..], RecvFlags::empty()).is_err() {
                    break;
                }
            }
        }
    }

    fn ask(&self, interface: &Interface, address: IpAddr, own: [u8; HARDWARE]) -> io::Result<Option<Holder>> {
        match address {
            IpAddr::V4(address) => {
                let packet = wire::arp(Arp::Probe, own, address);
                Self::send(&self.packets, interface, ETHER_ARP, &interface.broadcast, &packet)?;
            }
            IpAddr::V6(address) => {
                let (group, packet) = wire::solicitation(address);
                Self::send(&self.packets, interface, ETHER_IPV6, &group, &packet)?;
            }
        }
        Ok(None)
    }

    fn wait_for(&self, address: IpAddr, end: Instant, cancel: &Bell) -> io::Result<Option<Holder>> {
        let socket = if address.is_ipv4() { self.packets.as_fd() } else { self.advertisements.as_fd() };
        loop {
            let ready = wait::any(&[socket, cancel.as_fd()], Some(end))?;
            let mut questions = self.questions.lock().expect("no holder of this lock can panic");
            self.collect(&mut questions);
            let holder = questions.open.get(&address).and_then(|question| question.holder);
            // Bounded by the end; each round has eaten what woke us.
            if holder.is_some() || ready[1] || Instant::now() >= end {
                return Ok(holder);
            }
        }
    }

    /// Reads what has arrived and notes who claims what.
    fn collect(&self, questions: &mut Questions) {
        let mut buffer = [0u8; 128];
        for _ in 0..PACKETS_MAX {
            let Ok((length, _)) = rustix::net::recv(&self.packets, &mut buffer[..], RecvFlags::empty())
            else {
                break;
            };
            if let Some((hardware, address)) = wire::read_arp(&buffer[..length]) {
                questions.claim(address.into(), Some(hardware));
            }
        }
        for _ in 0..PACKETS_MAX {
            let Ok((length, _)) =
                rustix::net::recv(&self.advertisements, &mut buffer[..], RecvFlags::empty())
            else {
                break;
            };
            if let Some((hardware, address)) = wire::read_advertisement(&buffer[..length]) {
                questions.claim(address.into(), hardware);
            }
        }
    }

    /// Tells everybody on the link that `address` is here now, in both forms that ARP has.
    pub(super) fn announce(&self, interface: &Interface, address: IpAddr) -> io::Result<()> {
        let Some(own) = ethernet(interface) else { return Ok(()) };
        match address {
            IpAddr::V4(address) => {
                self.announce_form(interface, Arp::Announcement, own, address)?;
                self.announce_form(interface, Arp::Answer, own, address)
            }
            IpAddr::V6(address) => {
                let (group, packet) = wire::advertisement(own, address);
                Self::send(&self.announcements, interface, ETHER_IPV6, &group, &packet)
            }
        }
    }

    fn announce_form(
        &self,
        interface: &Interface,
        form: Arp,
        own: [u8; HARDWARE],
        address: Ipv4Addr,
    ) -> io::Result<()> {
        Self::send(
            &self.announcements,
            interface,
            ETHER_ARP,
            &interface.broadcast,
            &wire::arp(form, own, address),
        )
    }

    fn send(by: &OwnedFd, interface: &Interface, ether: u16, to: &[u8], packet: &[u8]) -> io::Result<()> {
        sys::send_frame(by.as_fd(), interface.index, ether, to, packet)
    }
}

impl Questions {
    fn claim(&mut self, address: IpAddr, hardware: Option<[u8; HARDWARE]>) {
        if let Some(question) = self.open.get_mut(&address)
            && hardware != Some(question.own)
        {
            question.holder.get_or_insert(Holder(hardware));
        }
    }
}

/// The interface's Ethernet address; none where addresses are not resolved.
fn ethernet(interface: &Interface) -> Option<[u8; HARDWARE]> {
    interface.hardware.as_slice().try_into().ok().filter(|_| interface.resolves)
}
