//! Echo requests and their answers, as they stand in a datagram (RFC 792 and RFC 4443, section 4).
//!
//! What comes in may be anything: of all answers only those count that carry the cookie of this process, which is drawn
//! once and told to nobody but who is asked. Who is between can forge an answer; nothing is ever allowed because of one.

/// Length of a request, in bytes: a header of eight, and the cookie.
pub const LENGTH: usize = 16;
/// Longest datagram that may be an answer, with the longest header of IPv4 before it.
pub const ANSWER_MAX: usize = 60 + LENGTH;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// ICMP.
    Four,
    /// ICMPv6.
    Six,
}

impl Family {
    fn request_type(self) -> u8 {
        match self {
            Family::Four => 8,
            Family::Six => 128,
        }
    }

    fn answer_type(self) -> u8 {
        match self {
            Family::Four => 0,
            Family::Six => 129,
        }
    }
}

/// A request. The checksum of ICMPv6 covers addresses that only the kernel knows: it fills that in.
#[must_use]
pub fn request(family: Family, identifier: u16, cookie: u64, sequence: u16) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = family.request_type();
    bytes[4..6].copy_from_slice(&identifier.to_be_bytes());
    bytes[6..8].copy_from_slice(&sequence.to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    if family == Family::Four {
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// The number of what is answered, if this is an answer with this cookie. Sockets of the kernel's own for pings hand
/// over what follows the header of IP, as all do with IPv6; raw ones hand over that of IPv4 too (`has_header`).
#[must_use]
pub fn answer(family: Family, has_header: bool, cookie: u64, datagram: &[u8]) -> Option<u16> {
    let header = match (has_header, datagram.first()) {
        (false, _) => 0,
        (true, Some(first)) if first >> 4 == 4 => usize::from(first & 0xf) * 4,
        (true, _) => return None,
    };
    if has_header && header < 20 {
        return None;
    }
    let message = datagram.get(header..)?;
    let (head, rest) = message.split_first_chunk::<8>()?;
    let [kind, code, _, _, _, _, high, low] = *head;
    let is_ours = rest.first_chunk::<8>().is_some_and(|found| u64::from_be_bytes(*found) == cookie);
    (kind == family.answer_type() && code == 0 && is_ours).then_some(u16::from_be_bytes([high, low]))
}

/// The checksum of the internet (RFC 1071) over bytes in which it is zero.
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a host makes of a request.
    fn answered(family: Family, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[0] = family.answer_type();
        bytes
    }

    #[test]
    fn a_request_has_the_checksum_that_makes_it_sum_up_to_nothing() {
        let bytes = request(Family::Four, 0xabcd, 0x0123_4567_89ab_cdef, 7);
        assert_eq!(checksum(&bytes), 0);
    }

    #[test]
    fn only_answers_with_the_cookie_count() {
        let cookie = 0xfeed_beef_dead_cafe;
        for family in [Family::Four, Family::Six] {
            let plain = answered(family, request(family, 1, cookie, 513).to_vec());
            let header = [&[0x46; 1][..], &[0; 23]].concat();
            let raw = [header.as_slice(), &plain].concat();
            let check = |has_header, bytes: &[u8], expected| {
                assert_eq!(answer(family, has_header, cookie, bytes), expected, "{family:?} {bytes:?}");
            };
            check(false, &plain, Some(513));
            check(true, &raw, Some(513));
            check(false, &request(family, 1, cookie, 513), None);
            check(false, &answered(family, request(family, 1, cookie + 1, 513).to_vec()), None);
            let other = if family == Family::Four { Family::Six } else { Family::Four };
            check(false, &answered(other, request(family, 1, cookie, 513).to_vec()), None);
            for length in 0..plain.len() {
                check(false, &plain[..length], None);
                check(true, &raw[..length], None);
            }
            check(true, &[&[0x41; 4][..], &plain].concat(), None);
        }
    }
}
