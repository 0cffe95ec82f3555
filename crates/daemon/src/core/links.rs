//! The sockets of all links, and where each node is on them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::Context;
use heart_model::{LinkKind, NodeName, Spec};
use heart_node::frame::{MAGIC, cluster_tag};
use rustix::net::sockopt;

use crate::sys;

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
    for address in own {
        let socket = UdpSocket::bind((address, port)).with_context(|| {
            format!(
                "cannot listen on {address} port {port}, an address of `{me}`\n\
                 hint: is the address on an interface of this machine, and the port free? `ip address` and \
                 `ss -ulpn` tell"
            )
        })?;
        sockets.push(prepare(socket, spec, address)?);
    }
    for link in &spec.cluster.links {
        let socket = open_shared(link.kind, link.address, &link.interface)
            .with_context(|| format!("cannot use {} on interface {}", link.address, link.interface))?;
        sockets.push(prepare(socket, spec, link.address.ip())?);
    }
    Ok(sockets)
}

fn prepare(socket: UdpSocket, spec: &Spec, address: IpAddr) -> anyhow::Result<OwnedFd> {
    socket.set_nonblocking(true).context("cannot make a socket non-blocking")?;
    sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER))
        .context("cannot make room for datagrams")?;
    let cluster = cluster_tag(spec.cluster.name.as_str()).to_le_bytes();
    let filtered = sys::filter(socket.as_raw_fd(), u32::from_be_bytes(MAGIC), u32::from_be_bytes(cluster));
    if let Err(error) = filtered {
        tracing::warn!("the kernel does not filter datagrams for {address}: {error}");
    }
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
    /// Takes up the sockets that were opened for `me`.
    pub(crate) fn take_up(sockets: Vec<OwnedFd>, spec: &Spec, names: &[NodeName]) -> Links {
        let unicast = spec.nodes.values().map(|node| node.addresses.len()).min().unwrap_or(0);
        let port = spec.cluster.port;
        let link = |(place, fd): (usize, OwnedFd)| {
            let shared = place.checked_sub(unicast).and_then(|place| spec.cluster.links.get(place));
            let reach_all = shared.map(|link| {
                // An interface that is gone is like a link that is down.
                let index = rustix::net::netdevice::name_to_index(&fd, &link.interface).unwrap_or(0);
                on_interface(link.address, index)
            });
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
}

/// Errors that one look at a socket passes over.
const ERRORS_MAX: usize = 16;
