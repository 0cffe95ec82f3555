//! Bridges, cables and addresses.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use rustix::io::Errno;

use super::{Message, NLM_F_CREATE, NLM_F_EXCL, Netlink};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_F_NODAD: u8 = 2;
const IFF_UP: u32 = 1;

/// Changes links and addresses of one network namespace.
pub(crate) struct Links(Netlink);

/// One cable: a port of a switch here, an interface of a machine there.
pub(crate) struct Cable<'a> {
    pub(crate) port: &'a str,
    pub(crate) bridge: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) mac: [u8; 6],
    /// A process in the machine's network namespace.
    pub(crate) pid: i32,
}

impl Links {
    pub(crate) fn open() -> io::Result<Links> {
        Netlink::open(None).map(Links)
    }

    /// Makes a bridge. It floods multicast: there is no querier to learn groups from.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: [u8; 6]) -> io::Result<()> {
        let info = |m: Message| {
            m.text(IFLA_INFO_KIND, "bridge")
                .nest(IFLA_INFO_DATA, |m| m.attribute(IFLA_BR_MCAST_SNOOPING, &[0]))
        };
        let message =
            new_link(IFF_UP).text(IFLA_IFNAME, name).attribute(IFLA_ADDRESS, &mac).nest(IFLA_LINKINFO, info);
        self.0.request(&[message])
    }

    /// Plugs a new cable in; the switch's side is up, the machine's is for the machine to raise.
    pub(crate) fn add_cable(&mut self, cable: &Cable<'_>) -> io::Result<()> {
        let peer = |m: Message| {
            m.raw(&header(0, 0))
                .text(IFLA_IFNAME, cable.interface)
                .attribute(IFLA_ADDRESS, &cable.mac)
                .attribute(IFLA_NET_NS_PID, &cable.pid.to_ne_bytes())
        };
        let info = |m: Message| {
            m.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |m| m.nest(VETH_INFO_PEER, peer))
        };
        let message = new_link(IFF_UP)
            .text(IFLA_IFNAME, cable.port)
            .attribute(IFLA_MASTER, &index(cable.bridge)?.to_ne_bytes())
            .nest(IFLA_LINKINFO, info);
        self.0.request(&[message])
    }

    /// Raises or lowers interfaces. One that does not exist is an error.
    pub(crate) fn set_up(&mut self, names: &[String], up: bool) -> io::Result<()> {
        let flags = if up { IFF_UP } else { 0 };
        let messages: Vec<Message> = names
            .iter()
            .map(|name| Message::new(RTM_NEWLINK, 0).raw(&header(flags, IFF_UP)).text(IFLA_IFNAME, name))
            .collect();
        self.0.request(&messages)
    }

    /// Removes an interface; one that is gone already is fine.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        let message = Message::new(RTM_DELLINK, 0).raw(&header(0, 0)).text(IFLA_IFNAME, name);
        match self.0.request(&[message]) {
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(()),
            outcome => outcome,
        }
    }

    /// Gives an interface an address. IPv6 addresses are usable at once: the lab knows that
    /// nobody else has them.
    pub(crate) fn add_address(&mut self, interface: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
        let index = index(interface)?.to_ne_bytes();
        let head = |family: u8, flags: u8| [family, prefix, flags, 0, index[0], index[1], index[2], index[3]];
        let message = Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
        let message = match address {
            IpAddr::V4(v4) => {
                let broadcast =
                    Ipv4Addr::from(u32::from(v4) | u32::MAX.checked_shr(prefix.into()).unwrap_or(0));
                message
                    .raw(&head(libc::AF_INET as u8, 0))
                    .attribute(IFA_LOCAL, &v4.octets())
                    .attribute(IFA_ADDRESS, &v4.octets())
                    .attribute(IFA_BROADCAST, &broadcast.octets())
            }
            IpAddr::V6(v6) => {
                message.raw(&head(libc::AF_INET6 as u8, IFA_F_NODAD)).attribute(IFA_ADDRESS, &v6.octets())
            }
        };
        self.0.request(&[message])
    }
}

/// The index of an interface of this network namespace.
pub(crate) fn index(name: &str) -> io::Result<u32> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    Ok(rustix::net::netdevice::name_to_index(socket, name)?)
}

fn new_link(flags: u32) -> Message {
    Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL).raw(&header(flags, flags))
}

/// `struct ifinfomsg`, with the interface left to be named by an attribute.
fn header(flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}
