//! What may come from a network as an answer to a ping.

use heart_node::echo::{self, Family};

/// Any bytes are an answer or none; one with our cookie names the number that was asked for.
pub(crate) fn answer(bytes: &[u8]) {
    let Some((first, datagram)) = bytes.split_first() else { return };
    let (family, has_header) = match first % 3 {
        0 => (Family::Four, true),
        1 => (Family::Four, false),
        _ => (Family::Six, false),
    };
    let cookie = datagram.last_chunk::<8>().map_or(0, |last| u64::from_be_bytes(*last));
    if let Some(sequence) = echo::answer(family, has_header, cookie, datagram) {
        let asked = echo::request(family, 0, cookie, sequence);
        let found = datagram.windows(2).any(|pair| pair == &asked[6..8]);
        assert!(found, "{sequence} stands nowhere in {datagram:?}");
    }
}
