//! The sockets of all links, and where each node is on them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::Context;
use heart_model::{LinkKind, NodeName, NodeSpec, Spec};
use heart_node::frame::{DATAGRAM_MAX, HEADER, MAGIC, SEAL, cluster_tag};
use rustix::net::sockopt;

use crate::sys::{self, Wanted};

/// Room for datagrams that wait while this node does not read: a second of the largest cluster.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Opens the socket of each link of `me`, in the order in which the pulse counts them: the node's
/// own addresses first, then the links that reach all nodes at once.
///
/// # Errors
/// Which address could not be used, and what to look at.
pub(crate) fn open(spec: &Spec, me: &NodeName) -> anyhow::Result<Vec<OwnedFd>> {
    let port = spec.cluster.port;
    let own = spec.nodes[me].addresses.iter().map(|address| address.0);
    let mut sockets = Vec::new();
    for (place, address) in own.enumerate() {
        let socket = UdpSocket::bind((address, port)).with_context(|| {
            format!(
                "cannot listen on {address} port {port}, an address of `{me}`\n\
                 hint: is the address on an interface of this machine, and the port free? `ip address` and \
                 `ss -ulpn` tell"
            )
        })?;
        sockets.push(prepare(socket, &wanted(spec, me, Some(place)))?);
    }
    for link in &spec.cluster.links {
        let socket = open_shared(link.kind, link.address, &link.interface)
            .with_context(|| format!("cannot use {} on interface {}", link.address, link.interface))?;
        sockets.push(prepare(socket, &wanted(spec, me, None))?);
    }
    Ok(sockets)
}

/// What the kernel lets through: everything that may be a frame for us, and our own where it comes back.
/// On the unicast link at `place` a node sends from its own address, what it passes on for others, too; by
/// which of its addresses it speaks on a shared link, only that node knows.
fn wanted(spec: &Spec, me: &NodeName, place: Option<usize>) -> Wanted {
    let others = spec.nodes.iter().filter(|(name, _)| *name != me);
    let address = |(_, node): (_, &NodeSpec)| Some(node.addresses.get(place?)?.0);
    let cluster = cluster_tag(spec.cluster.name.as_str()).to_le_bytes();
    Wanted {
        marks: [MAGIC, cluster],
        lengths: (HEADER + SEAL, DATAGRAM_MAX),
        senders: spec.nodes.keys().map(|name| name.id().0.to_le_bytes()).collect(),
        sources: others.filter_map(address).collect(),
    }
}

fn filter(socket: &impl AsRawFd, wanted: &Wanted) {
    if let Err(error) = sys::filter(socket.as_raw_fd(), wanted) {
        tracing::warn!("the kernel does not filter what comes over a link: {error}");
    }
}

fn prepare(socket: UdpSocket, wanted: &Wanted) -> anyhow::Result<OwnedFd> {
    socket.set_nonblocking(true).context("cannot make a socket non-blocking")?;
    sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER))
        .context("cannot make room for datagrams")?;
    filter(&socket, wanted);
    Ok(socket.into())
}

fn open_shared(kind: LinkKind, address: SocketAddr, interface: &str) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Bound to the group or broadcast address, so that it hears nothing else of that port.
    let bind_to = if kind == LinkKind::Unicast { any } else { address.ip() };
    let family =
        if address.is_ipv4() { rustix::net::AddressFamily::INET } else { rustix::net::AddressFamily::INET6 };
    let fd = rustix::net::socket_with(
        family,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    sockopt::set_socket_broadcast(&fd, kind == LinkKind::Broadcast)?;
    let index = rustix::net::netdevice::name_to_index(&fd, interface)?;
    rustix::net::bind(&fd, &on_interface(SocketAddr::new(bind_to, address.port()), index))?;
    match (kind, address.ip()) {
        (LinkKind::Multicast, IpAddr::V4(group)) => {
            sockopt::set_ip_add_membership_with_ifindex(&fd, &group, &Ipv4Addr::UNSPECIFIED, index)?;
            sockopt::set_ip_multicast_if_with_ifindex(&fd, &group, &Ipv4Addr::UNSPECIFIED, index)?;
            sockopt::set_ip_multicast_loop(&fd, false)?;
        }
        (LinkKind::Multicast, IpAddr::V6(group)) => {
            sockopt::set_ipv6_add_membership(&fd, &group, index)?;
            sockopt::set_ipv6_multicast_loop(&fd, false)?;
        }
        (LinkKind::Unicast | LinkKind::Broadcast, _) => {}
    }
    Ok(fd.into())
}

/// An IPv6 address of one link, such as ff02::694, means nothing without its interface.
fn on_interface(address: SocketAddr, index: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(six) => SocketAddrV6::new(*six.ip(), six.port(), 0, index).into(),
        SocketAddr::V4(_) => address,
    }
}

/// One link, in use.
#[derive(Debug)]
struct Link {
    socket: UdpSocket,
    /// Where each node is on it, by slot; the same for all on a link that reaches all at once.
    nodes: Vec<SocketAddr>,
    shared: bool,
}

/// All links, in use.
#[derive(Debug)]
pub(crate) struct Links(Vec<Link>);

impl Links {
    /// Takes up the sockets that were opened for `me`. The file may know other nodes by now than it did
    /// then: those are let through that it knows.
    pub(crate) fn take_up(sockets: Vec<OwnedFd>, spec: &Spec, me: &NodeName, names: &[NodeName]) -> Links {
        let unicast = spec.nodes.values().map(|node| node.addresses.len()).min().unwrap_or(0);
        let port = spec.cluster.port;
        let link = |(place, fd): (usize, OwnedFd)| {
            let shared = place.checked_sub(unicast).and_then(|place| spec.cluster.links.get(place));
            let reach_all = shared.map(|link| {
                // An interface that is gone is like a link that is down.
                let index = rustix::net::netdevice::name_to_index(&fd, &link.interface).unwrap_or(0);
                on_interface(link.address, index)
            });
            filter(&fd, &wanted(spec, me, Some(place).filter(|_| shared.is_none())));
            let node = |name: &NodeName| match reach_all {
                Some(address) => address,
                None => SocketAddr::new(spec.nodes[name].addresses[place].0, port),
            };
            let nodes = names.iter().map(node).collect();
            Link { socket: fd.into(), nodes, shared: shared.is_some() }
        };
        Links(sockets.into_iter().enumerate().map(link).collect())
    }

    /// A second set of handles to the same sockets, for another thread.
    pub(crate) fn share(&self) -> io::Result<Links> {
        let link = |link: &Link| {
            Ok(Link { socket: link.socket.try_clone()?, nodes: link.nodes.clone(), shared: link.shared })
        };
        self.0.iter().map(link).collect::<io::Result<Vec<Link>>>().map(Links)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.0.iter().map(|link| &link.socket)
    }

    /// Whether a link reaches all nodes with one datagram.
    pub(crate) fn is_shared(&self, link: usize) -> bool {
        self.0[link].shared
    }

    /// Sends to the node in this slot over one link. What cannot be sent is lost, like any datagram.
    pub(crate) fn send(&self, link: usize, to: usize, bytes: &[u8]) {
        let link = &self.0[link];
        link.socket.send_to(bytes, link.nodes[to]).ok();
    }

    /// Sends to one node over all links.
    pub(crate) fn send_all(&self, to: usize, bytes: &[u8]) {
        (0..self.0.len()).for_each(|link| self.send(link, to, bytes));
    }

    /// Takes one datagram off a link; `None` if none waits.
    pub(crate) fn receive(&self, link: usize, into: &mut [u8]) -> Option<usize> {
        // An unreachable port is reported as an error of the next call: no datagram, but go on.
        for _ in 0..ERRORS_MAX {
            match self.0[link].socket.recv_from(into) {
                Ok((length, _)) => return Some(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Takes several datagrams off a link at once; none wait if there are none.
    pub(crate) fn receive_many(&self, link: usize, into: &mut Batch) -> usize {
        let socket = self.0[link].socket.as_raw_fd();
        let taken = (0..ERRORS_MAX).find_map(|_| {
            match sys::receive_many(socket, &mut into.bytes, &mut into.lengths) {
                Ok(count) => Some(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
                Err(_) => None,
            }
        });
        taken.unwrap_or(0)
    }

    /// How many datagrams the kernel has dropped on a link; the number wraps around.
    pub(crate) fn dropped(&self, link: usize) -> u32 {
        sys::dropped(self.0[link].socket.as_raw_fd()).unwrap_or(0)
    }
}

/// Room for datagrams that are taken at once.
pub(crate) struct Batch {
    bytes: [[u8; DATAGRAM_MAX + 1]; BATCH_MAX],
    lengths: [usize; BATCH_MAX],
}

impl Batch {
    /// Room that is not used yet.
    pub(crate) fn new() -> Box<Batch> {
        Box::new(Batch { bytes: [[0; DATAGRAM_MAX + 1]; BATCH_MAX], lengths: [0; BATCH_MAX] })
    }

    /// The first `count` datagrams.
    pub(crate) fn iter_mut(&mut self, count: usize) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.iter_mut().zip(&self.lengths).take(count).map(|(bytes, &length)| &mut bytes[..length])
    }
}

/// Most datagrams that are taken at once.
pub(crate) const BATCH_MAX: usize = 32;
/// Errors that one look at a socket passes over.
const ERRORS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use heart_node::frame::BODY_MAX;

    const CLUSTER: [u8; 4] = *b"tag!";
    const SENDER: [u8; 4] = 64u32.to_le_bytes();

    /// What looks like a frame to somebody without the key.
    fn frame(marks: [[u8; 4]; 2], sender: [u8; 4], body: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + SEAL + body];
        bytes[..4].copy_from_slice(&marks[0]);
        bytes[8..12].copy_from_slice(&marks[1]);
        bytes[12..16].copy_from_slice(&sender);
        bytes
    }

    /// The kernel's own network shows what its filter lets through, from one address to itself.
    fn check(own: IpAddr, strangers: &[IpAddr]) {
        let known = |mut sources: Vec<IpAddr>, own: Option<IpAddr>| {
            sources.extend(own);
            Wanted {
                marks: [MAGIC, CLUSTER],
                lengths: (HEADER + SEAL, DATAGRAM_MAX),
                senders: (1..=64u32).map(u32::to_le_bytes).collect(),
                sources,
            }
        };
        let truth = [MAGIC, CLUSTER];
        for (what, wanted, bytes, passes) in [
            ("anybody's", known(Vec::new(), None), frame(truth, SENDER, 9), true),
            ("a node's", known(strangers.to_vec(), Some(own)), frame(truth, SENDER, 9), true),
            ("a stranger's", known(strangers.to_vec(), None), frame(truth, SENDER, 9), false),
            ("the longest", known(Vec::new(), None), frame(truth, SENDER, BODY_MAX), true),
            ("longer", known(Vec::new(), None), frame(truth, SENDER, BODY_MAX + 1), false),
            ("the shortest", known(Vec::new(), None), frame(truth, SENDER, 0), true),
            ("shorter", known(Vec::new(), None), frame(truth, SENDER, 0)[1..].to_vec(), false),
            ("not ours", known(Vec::new(), None), frame([*b"HRT0", CLUSTER], SENDER, 9), false),
            ("another cluster's", known(Vec::new(), None), frame([MAGIC, *b"tag?"], SENDER, 9), false),
            ("no node's", known(Vec::new(), None), frame(truth, 65u32.to_le_bytes(), 9), false),
        ] {
            let socket = UdpSocket::bind((own, 0)).unwrap();
            let fd = prepare(socket.try_clone().unwrap(), &wanted).unwrap();
            socket.send_to(&bytes, socket.local_addr().unwrap()).unwrap();
            // A datagram to oneself is there when the call returns.
            let came = socket.recv_from(&mut [0; 2000]).is_ok();
            assert_eq!(came, passes, "{what} to {own}");
            assert_eq!(sys::dropped(fd.as_raw_fd()).unwrap(), u32::from(!passes), "{what} to {own}");
        }
    }

    #[test]
    fn the_kernel_lets_through_what_may_be_a_frame_of_a_node() {
        let four: Vec<IpAddr> = (1..64).map(|last| Ipv4Addr::new(127, 0, 1, last).into()).collect();
        check(Ipv4Addr::LOCALHOST.into(), &four);
        // Each differs from the true one in another of its four words.
        let six = [[1, 0, 0, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0, 1], [0; 8]];
        let six: Vec<IpAddr> =
            six.iter().cycle().take(63).map(|&parts| Ipv6Addr::from(parts).into()).collect();
        if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            check(Ipv6Addr::LOCALHOST.into(), &six);
        } else {
            println!("skipped: no IPv6 on this machine");
        }
    }
}
