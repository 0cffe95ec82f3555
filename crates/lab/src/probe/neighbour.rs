//! How the watch asks for an address on the wire, and who an answer is from: ARP for IPv4, neighbour discovery for IPv6.
//!
//! Pure data. The switch asks in its own name, so that an answer ends there: the watch sees what is for the switch, not
//! what is on its way through. A question from nobody would be a probe (RFC 5227, 2.1.1; RFC 4862, 5.4), and whoever is
//! about to start the address would take it for a rival's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::layout::bridge_mac;

const ETHER_ARP: u16 = 0x0806;
const ETHER_IPV6: u16 = 0x86dd;
/// The length of an Ethernet header.
const ETHERNET: usize = 14;
/// The length of an IPv6 header.
const IPV6: usize = 40;
/// An ARP frame for IPv4 over Ethernet.
const ARP_FRAME: usize = 42;
const ARP_REPLY: u8 = 2;
const ICMPV6: u8 = 58;
/// RFC 4861, 7.1: what has another hop limit came from beyond a router, and does not count.
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// A solicitation and an advertisement, each with one option that holds an Ethernet address.
const DISCOVERY: usize = 32;
/// RFC 4861, 4.6.1: of eight bytes, the address of who asks, or of who is asked for.
const SOURCE_OPTION: [u8; 2] = [1, 1];
const TARGET_OPTION: [u8; 2] = [2, 1];

/// The type of the frames in which an address is asked for, and which bring the answers.
pub(super) fn ether_type(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => ETHER_ARP,
        IpAddr::V6(_) => ETHER_IPV6,
    }
}

/// "Who has `address`?", from a neighbour that is none of the lab's.
pub(super) fn question(address: IpAddr, switch: usize) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => request(address, switch),
        IpAddr::V6(address) => solicitation(address, switch),
    }
}

/// The number of the node that says in this frame that it has `address`.
pub(super) fn answerer(frame: &[u8], address: IpAddr) -> Option<u8> {
    let mac = match address {
        IpAddr::V4(address) => read_reply(frame, address),
        IpAddr::V6(address) => read_advertisement(frame, address),
    }?;
    mac.strip_prefix(&[0x02, 0x68])?.last().copied()
}

fn request(address: Ipv4Addr, switch: usize) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], switch, ETHER_ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(bridge_mac(switch));
    frame.extend(neighbour_of(address).octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// An address beside `address` in the same subnet, however small, at the end of its 256: no node and no client has it.
fn neighbour_of(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, if d == 254 { 253 } else { 254 })
}

fn read_reply(frame: &[u8], address: Ipv4Addr) -> Option<&[u8]> {
    let arp = frame.get(ETHERNET..ARP_FRAME)?;
    let is_reply = is_of(frame, ETHER_ARP) && arp[7] == ARP_REPLY;
    (is_reply && arp[14..18] == address.octets()).then(|| &arp[8..14])
}

/// It goes to the group of whoever has an address that ends like this one (RFC 4291, 2.7.1), and says where the answer
/// is to go: without that option a node would have to ask back first.
fn solicitation(address: Ipv6Addr, switch: usize) -> Vec<u8> {
    let [.., a, b, c] = address.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(address.octets());
    message.extend(SOURCE_OPTION);
    message.extend(bridge_mac(switch));
    let from = link_local(switch);
    let sum = checksum(from, group, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet([0x33, 0x33, 0xff, a, b, c], switch, ETHER_IPV6);
    frame.extend([0x60, 0, 0, 0, 0, DISCOVERY as u8, ICMPV6, HOP_LIMIT]);
    frame.extend(from.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// Who asks: an address that every node can answer to, whichever subnets it is in, and that nobody has.
fn link_local(switch: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0268, 0, 0xffff, u16::try_from(switch).unwrap_or(u16::MAX))
}

fn read_advertisement(frame: &[u8], address: Ipv6Addr) -> Option<&[u8]> {
    let (header, message) = frame.get(ETHERNET..ETHERNET + IPV6 + DISCOVERY)?.split_at(IPV6);
    let end_to_end = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
    let is_discovery = is_of(frame, ETHER_IPV6) && header[4..8] == [0, DISCOVERY as u8, ICMPV6, HOP_LIMIT];
    let is_sound = checksum(end_to_end(8)?, end_to_end(24)?, message) == 0;
    let is_wanted = message[0] == ADVERTISEMENT && message[8..24] == address.octets();
    // The kernel of a node names its hardware address in every answer to a question that went to a group.
    (is_discovery && is_sound && is_wanted && message[24..26] == TARGET_OPTION).then(|| &message[26..32])
}

fn ethernet(to: [u8; 6], switch: usize, ether_type: u16) -> Vec<u8> {
    [&to[..], &bridge_mac(switch), &ether_type.to_be_bytes()].concat()
}

fn is_of(frame: &[u8], ether_type: u16) -> bool {
    frame.get(12..ETHERNET) == Some(&ether_type.to_be_bytes())
}

/// RFC 4443, 2.3: over the addresses, the length, the protocol, and the message, which is of an even length. Nothing
/// if the message has its sum in it already.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let all = [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, ICMPV6], message].concat();
    let sum: u32 = all.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: [u8; 6] = [0x02, 0x68, 0, 0, 1, 3];

    #[test]
    fn an_arp_answer_names_its_node() {
        let address = Ipv4Addr::new(10, 77, 0, 100);
        let mut frame = question(address.into(), 0);
        assert_eq!(frame.len(), ARP_FRAME);
        assert_eq!(answerer(&frame, address.into()), None, "our own question");
        frame[21] = ARP_REPLY;
        frame[22..28].copy_from_slice(&NODE);
        frame[28..32].copy_from_slice(&address.octets());
        assert_eq!(answerer(&frame, address.into()), Some(3));
        assert_eq!(answerer(&frame, Ipv4Addr::new(10, 77, 0, 101).into()), None);
        assert_eq!(answerer(&frame, "fd77::100".parse().unwrap()), None, "of the other family");
        assert_eq!(answerer(&frame[..20], address.into()), None);
    }

    /// Checked against what a kernel computes: `tcpdump -vv` calls this sum correct.
    #[test]
    fn a_solicitation_goes_to_the_group_of_the_address_and_says_who_asks() {
        let address: Ipv6Addr = "fd77::12:3456".parse().unwrap();
        let frame = question(address.into(), 1);
        assert_eq!(frame.len(), ETHERNET + IPV6 + DISCOVERY);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!(frame[6..12], bridge_mac(1));
        assert_eq!(frame[12..14], [0x86, 0xdd]);
        let (header, message) = frame[ETHERNET..].split_at(IPV6);
        assert_eq!(header[..8], [0x60, 0, 0, 0, 0, 32, 58, 255]);
        assert_eq!(header[8..24], "fe80::268:0:ffff:1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(header[24..], "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!((message[0], message[1]), (SOLICITATION, 0));
        assert_eq!(message[8..24], address.octets());
        assert_eq!(message[24..], [&SOURCE_OPTION[..], &bridge_mac(1)].concat());
        let (from, to) = (link_local(1), "ff02::1:ff12:3456".parse().unwrap());
        assert_eq!(checksum(from, to, message), 0, "with its sum in it, it sums up to nothing");
        assert_ne!(message[2..4], [0, 0]);
    }

    /// RFC 4443 has no example: this sum was added up by hand.
    #[test]
    fn the_sum_is_over_addresses_length_protocol_and_message() {
        let (from, to) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        // 1 + 1 + 4 + 58 + 0x8000 + 0x0102 = 0x8142.
        assert_eq!(checksum(from, to, &[0x80, 0, 1, 2]), !0x8142);
        // Sixteen bits are not enough: what is carried is added again, twice.
        assert_eq!(checksum(from, to, &[0xff, 0xff, 0xff, 0xff]), !0x0040);
    }

    /// What the kernel of a node answers.
    fn advertisement(address: Ipv6Addr) -> Vec<u8> {
        let mut message = [&[ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0][..], &address.octets()].concat();
        message.extend([&TARGET_OPTION[..], &NODE].concat());
        let sum = checksum(address, link_local(0), &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut frame = [&bridge_mac(0)[..], &NODE, &ETHER_IPV6.to_be_bytes()].concat();
        frame.extend([0x60, 0, 0, 0, 0, DISCOVERY as u8, ICMPV6, HOP_LIMIT]);
        frame.extend([address.octets(), link_local(0).octets()].concat());
        frame.extend(message);
        frame
    }

    #[test]
    fn an_advertisement_names_its_node() {
        let address: Ipv6Addr = "fd77::100".parse().unwrap();
        assert_eq!(answerer(&question(address.into(), 0), address.into()), None, "our own question");
        let frame = advertisement(address);
        assert_eq!(answerer(&frame, address.into()), Some(3));
        assert_eq!(answerer(&frame, "fd77::101".parse().unwrap()), None);
        assert_eq!(answerer(&frame, Ipv4Addr::new(10, 77, 0, 100).into()), None, "of the other family");
        assert_eq!(answerer(&frame[..frame.len() - 1], address.into()), None, "cut short");
        // Type, next header, hop limit, message, sum, option: with any of them changed it says nothing.
        for place in [13, 20, 21, 54, 57, 78] {
            let mut changed = frame.clone();
            changed[place] ^= 1;
            assert_eq!(answerer(&changed, address.into()), None, "byte {place}");
        }
    }
}
