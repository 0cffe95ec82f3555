//! Interfaces, addresses and routes of this machine, asked and changed over rtnetlink.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::netlink::{ACK, Batch, CREATE, DUMP, EXCLUSIVE, Message, REPLACE, Socket, attributes, number};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

/// The groups that hear of links and of addresses of both families.
const EVENTS: u32 = 1 | 1 << (5 - 1) | 1 << (9 - 1);

const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `IFF_UP`: an administrator wants it up.
const UP: u32 = 1;
/// `IFF_LOWER_UP`: there is somebody at the other end of the cable.
const CARRIER: u32 = 0x1_0000;
/// `IFF_NOARP`: nobody resolves addresses there.
const NO_ARP: u32 = 0x80;
/// `IFA_F_NODAD`: we have looked for duplicates ourselves.
const NO_DETECTION: u32 = 2;
/// `IFA_F_NOPREFIXROUTE` is not set: a shared address comes with the route to its neighbours.
const UNICAST: u8 = 1;
const MAIN_TABLE: u32 = 254;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    /// Its link-layer address; empty for tunnels and the like.
    pub(super) hardware: Vec<u8>,
    /// Where broadcasts go on the link layer.
    pub(super) broadcast: Vec<u8>,
    pub(super) up: bool,
    pub(super) carrier: bool,
    /// Whether addresses are resolved there at all.
    pub(super) resolves: bool,
}

impl Interface {
    /// Why nothing can be reached through it, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        match (self.up, self.carrier) {
            (true, true) => None,
            (false, _) => Some(format!("interface {} is down: `ip link set {} up`", self.name, self.name)),
            (true, false) => {
                Some(format!("interface {} has no carrier: look at cable and switch", self.name))
            }
        }
    }
}

/// One address on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    pub(super) interface: u32,
}

/// A subnet that is reached directly through an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connected {
    pub(super) network: IpAddr,
    pub(super) prefix: u8,
    pub(super) interface: u32,
}

/// What to put on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addition<'a> {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    pub(super) interface: u32,
    pub(super) broadcast: Option<Ipv4Addr>,
    pub(super) label: Option<&'a str>,
    /// After how many seconds the kernel takes it away by itself; never if not given.
    pub(super) lifetime: Option<u32>,
}

/// Something that happened to the network of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An address was added, or its lifetime changed.
    Added(Held),
    /// An address is gone.
    Removed(Held),
    /// An interface changed.
    Link(Interface),
    /// An interface is gone.
    LinkGone(u32),
}

/// Asks and changes. One socket for the life of the process.
pub(super) struct Route {
    socket: Socket,
    batch: Batch,
}

impl Route {
    pub(super) fn open() -> io::Result<Route> {
        Ok(Route { socket: Socket::open(None, 0)?, batch: Batch::default() })
    }

    /// The interface with this name; `None` if there is none.
    pub(super) fn interface_named(&mut self, name: &str) -> io::Result<Option<Interface>> {
        self.one_interface(0, Some(name))
    }

    /// The interface with this index; `None` if there is none.
    pub(super) fn interface(&mut self, index: u32) -> io::Result<Option<Interface>> {
        self.one_interface(index, None)
    }

    fn one_interface(&mut self, index: u32, name: Option<&str>) -> io::Result<Option<Interface>> {
        let mut fixed = [0u8; 16];
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        self.batch.clear();
        self.batch.message(GET_LINK, ACK, &fixed, |to| {
            if let Some(name) = name {
                to.text(3, name);
            }
        });
        let mut found = None;
        match self.socket.ask(&self.batch, 1, |message| found = read_interface(message.body).or(found.take()))
        {
            Ok(()) => Ok(found),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every place where `address` is on this machine.
    pub(super) fn places_of(&mut self, address: IpAddr) -> io::Result<Vec<Held>> {
        let mut found = Vec::new();
        self.batch.clear();
        self.batch.message(GET_ADDRESS, DUMP, &[family(address), 0, 0, 0, 0, 0, 0, 0], |_| ());
        self.socket.ask(&self.batch, 1, |message| {
            if message.kind == NEW_ADDRESS {
                found.extend(read_address(message.body).filter(|held| held.address == address));
            }
        })?;
        Ok(found)
    }

    /// The subnets that are reached directly and contain `address`, narrowest first.
    pub(super) fn connected(&mut self, address: IpAddr) -> io::Result<Vec<Connected>> {
        let mut found = Vec::new();
        let fixed = [family(address), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.batch.clear();
        self.batch.message(GET_ROUTE, DUMP, &fixed, |_| ());
        self.socket.ask(&self.batch, 1, |message| {
            if message.kind == NEW_ROUTE {
                found.extend(read_connected(message.body).filter(|route| contains(route, address)));
            }
        })?;
        found.sort_by_key(|route| std::cmp::Reverse(route.prefix));
        Ok(found)
    }

    /// Puts an address on an interface; if it is there, gives it the new lifetime.
    pub(super) fn add(&mut self, addition: &Addition<'_>) -> io::Result<()> {
        self.put(addition, CREATE | REPLACE)
    }

    /// Puts an address on an interface where it must not be.
    pub(super) fn add_new(&mut self, addition: &Addition<'_>) -> io::Result<()> {
        self.put(addition, CREATE | EXCLUSIVE)
    }

    fn put(&mut self, addition: &Addition<'_>, flags: u16) -> io::Result<()> {
        let octets = octets(addition.address);
        self.batch.clear();
        let fixed = address_message(addition.address, addition.prefix, addition.interface);
        self.batch.message(NEW_ADDRESS, flags | ACK, &fixed, |to| {
            to.bytes(1, &octets);
            to.bytes(2, &octets);
            if let Some(label) = addition.label {
                to.text(3, label);
            }
            if let Some(broadcast) = addition.broadcast {
                to.bytes(4, &broadcast.octets());
            }
            if let Some(seconds) = addition.lifetime {
                let mut lifetime = [0u8; 16];
                lifetime[0..4].copy_from_slice(&seconds.to_ne_bytes());
                lifetime[4..8].copy_from_slice(&seconds.to_ne_bytes());
                to.bytes(6, &lifetime);
            }
            if addition.address.is_ipv6() {
                to.number(8, NO_DETECTION);
            }
        });
        self.socket.ask(&self.batch, 1, |_| ())
    }

    /// Takes an address off an interface. It is no mistake if it is not there.
    pub(super) fn delete(&mut self, held: Held) -> io::Result<()> {
        self.batch.clear();
        let fixed = address_message(held.address, held.prefix, held.interface);
        self.batch.message(DELETE_ADDRESS, ACK, &fixed, |to| {
            to.bytes(2, &octets(held.address));
            to.bytes(1, &octets(held.address));
        });
        match self.socket.ask(&self.batch, 1, |_| ()) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(()),
            done => done,
        }
    }
}

/// A socket that hears of everything that happens to links and addresses.
pub(super) fn events() -> io::Result<Socket> {
    Socket::open(None, EVENTS)
}

/// What an event message says, if it is of interest.
pub(super) fn read_event(message: Message<'_>) -> Option<Event> {
    match message.kind {
        NEW_ADDRESS => read_address(message.body).map(Event::Added),
        DELETE_ADDRESS => read_address(message.body).map(Event::Removed),
        NEW_LINK => read_interface(message.body).map(Event::Link),
        DELETE_LINK => read_interface(message.body).map(|interface| Event::LinkGone(interface.index)),
        _ => None,
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { IPV4 } else { IPV6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address_message(address: IpAddr, prefix: u8, interface: u32) -> [u8; 8] {
    let index = interface.to_ne_bytes();
    [family(address), prefix, 0, 0, index[0], index[1], index[2], index[3]]
}

fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn read_interface(body: &[u8]) -> Option<Interface> {
    let flags = number(body, 8)?;
    let mut interface = Interface {
        index: number(body, 4)?,
        name: String::new(),
        hardware: Vec::new(),
        broadcast: Vec::new(),
        up: flags & UP != 0,
        carrier: flags & CARRIER != 0,
        resolves: flags & NO_ARP == 0,
    };
    for (kind, value) in attributes(body, 16) {
        match kind {
            1 => interface.hardware = value.to_vec(),
            2 => interface.broadcast = value.to_vec(),
            3 => interface.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
            _ => {}
        }
    }
    (!interface.name.is_empty()).then_some(interface)
}

fn read_address(body: &[u8]) -> Option<Held> {
    let prefix = *body.get(1)?;
    let interface = number(body, 4)?;
    let (mut local, mut peer) = (None, None);
    for (kind, value) in attributes(body, 8) {
        match kind {
            1 => peer = read_ip(value),
            2 => local = read_ip(value),
            _ => {}
        }
    }
    Some(Held { address: local.or(peer)?, prefix, interface })
}

fn read_connected(body: &[u8]) -> Option<Connected> {
    let (prefix, kind) = (*body.get(1)?, *body.get(7)?);
    let mut table = u32::from(*body.get(4)?);
    let (mut network, mut interface, mut via) = (None, None, false);
    for (kind, value) in attributes(body, 12) {
        match kind {
            1 => network = read_ip(value),
            4 => interface = number(value, 0),
            5 | 9 => via = true,
            15 => table = number(value, 0)?,
            _ => {}
        }
    }
    let direct = kind == UNICAST && !via && table == MAIN_TABLE && prefix > 0;
    direct.then_some(Connected { network: network?, prefix, interface: interface? })
}

fn contains(route: &Connected, address: IpAddr) -> bool {
    let (network, address) = match (route.network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(u32::from(network)) << 96, u128::from(u32::from(address)) << 96)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (u128::from(network), u128::from(address)),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let different = network ^ address;
    different.leading_zeros() >= u32::from(route.prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_contains_what_begins_like_it() {
        for (network, prefix, address, inside) in [
            ("10.0.0.0", 24, "10.0.0.200", true),
            ("10.0.0.0", 24, "10.0.1.200", false),
            ("10.0.0.0", 32, "10.0.0.0", true),
            ("10.0.0.0", 32, "10.0.0.1", false),
            ("fd00::", 64, "fd00::1", true),
            ("fd00::", 64, "fd00:0:0:1::1", false),
            ("10.0.0.0", 24, "::", false),
        ] {
            let route = Connected { network: network.parse().unwrap(), prefix, interface: 1 };
            assert_eq!(contains(&route, address.parse().unwrap()), inside, "{address} in {network}/{prefix}");
        }
    }
}
