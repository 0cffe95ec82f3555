//! The few packets we write ourselves: ARP and neighbour discovery.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Length of an Ethernet address. Others do not occur with ARP in practice.
pub(super) const HARDWARE: usize = 6;

/// Which ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arp {
    /// "Who has it?", asked by nobody, so that nobody learns anything from the question.
    Probe,
    /// "I have it", as a question for oneself: the form that RFC 5227 asks for.
    Announcement,
    /// "I have it", as an answer that nobody asked for: some only learn from this one.
    Answer,
}

/// An ARP packet about `address`, without the Ethernet header.
pub(super) fn arp(form: Arp, hardware: [u8; HARDWARE], address: Ipv4Addr) -> Vec<u8> {
    let (operation, sender, target) = match form {
        Arp::Probe => (1, Ipv4Addr::UNSPECIFIED, [0; HARDWARE]),
        Arp::Announcement => (1, address, [0; HARDWARE]),
        Arp::Answer => (2, address, hardware),
    };
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend_from_slice(&hardware);
    packet.extend_from_slice(&sender.octets());
    packet.extend_from_slice(&target);
    packet.extend_from_slice(&address.octets());
    packet
}

/// Who claims or wants which address in an ARP packet: the hardware address, and the address.
pub(super) fn read_arp(packet: &[u8]) -> Option<([u8; HARDWARE], Ipv4Addr)> {
    let hardware = packet.get(8..14)?.try_into().ok()?;
    let sender = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(14..18)?).ok()?);
    let target = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(24..28)?).ok()?);
    // RFC 5227, 2.1.1: a probe of another host for the same address is a conflict as well.
    Some((hardware, if sender.is_unspecified() { target } else { sender }))
}

/// A neighbour solicitation for `address` from nobody: "does anybody have it?" With its IPv6
/// header, and the Ethernet group it goes to.
pub(super) fn solicitation(address: Ipv6Addr) -> ([u8; HARDWARE], Vec<u8>) {
    let octets = address.octets();
    let group =
        Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, octets[13], octets[14], octets[15]]);
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&octets);
    (ethernet_group(group), icmp6(Ipv6Addr::UNSPECIFIED, group, message))
}

/// An unsolicited neighbour advertisement: "I have it, forget who had it before".
pub(super) fn advertisement(hardware: [u8; HARDWARE], address: Ipv6Addr) -> ([u8; HARDWARE], Vec<u8>) {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    // RFC 4861, 4.4: the override flag is the third bit.
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend_from_slice(&address.octets());
    message.extend_from_slice(&[2, 1]);
    message.extend_from_slice(&hardware);
    (ethernet_group(all), icmp6(address, all, message))
}

/// The target of a neighbour advertisement, and the hardware address it names.
pub(super) fn read_advertisement(message: &[u8]) -> Option<(Option<[u8; HARDWARE]>, Ipv6Addr)> {
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(message.get(8..24)?).ok()?);
    let named = message.get(24..26) == Some(&[2, 1]);
    let hardware = message.get(26..32).filter(|_| named).and_then(|bytes| bytes.try_into().ok());
    (message[0] == 136).then_some((hardware, target))
}

/// RFC 2464, 7: the last four bytes of a group, behind 33:33.
fn ethernet_group(group: Ipv6Addr) -> [u8; HARDWARE] {
    let octets = group.octets();
    [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
}

/// Puts IPv6 header and checksum to an ICMPv6 message. RFC 4861, 7.1: the hop limit is 255.
fn icmp6(from: Ipv6Addr, to: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("these messages are short");
    let mut pseudo = [from.octets(), to.octets()].concat();
    pseudo.extend_from_slice(&[0, 0, length.to_be_bytes()[0], length.to_be_bytes()[1], 0, 0, 0, 58]);
    pseudo.extend_from_slice(&message);
    let sum = checksum(&pseudo);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&[58, 255]);
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(&message);
    packet
}

/// RFC 1071: the one's complement of the one's complement sum; `bytes` are even in number.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_can_be_read() {
        let (mac, address) = ([2, 0, 0, 0, 0, 7], Ipv4Addr::new(10, 0, 0, 9));
        for form in [Arp::Probe, Arp::Announcement, Arp::Answer] {
            let packet = arp(form, mac, address);
            assert_eq!(packet.len(), 28);
            assert_eq!(read_arp(&packet), Some((mac, address)), "{form:?}");
        }
        assert_eq!(read_arp(&[0; 27]), None);
    }

    #[test]
    fn a_checksummed_message_sums_up_to_nothing() {
        let address: Ipv6Addr = "fd00::12:3456".parse().unwrap();
        let (group, packet) = solicitation(address);
        assert_eq!(group, [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        let mut pseudo = packet[8..40].to_vec();
        pseudo.extend_from_slice(&[0, 0, 0, 24, 0, 0, 0, 58]);
        pseudo.extend_from_slice(&packet[40..]);
        assert_eq!(checksum(&pseudo), 0);
        let (_, packet) = advertisement([1, 2, 3, 4, 5, 6], address);
        assert_eq!(read_advertisement(&packet[40..]), Some((Some([1, 2, 3, 4, 5, 6]), address)));
    }
}
