//! The heartbeat: what a node tells everybody, several times a second, in a fixed layout that is
//! written and read without allocating.
//!
//! A beat is also the acknowledgement of everybody else's beats, and each acknowledgement of a
//! voter is a promise (SAFETY rule 1). That halves the datagrams, and a beat that acknowledges one
//! of ours is the proof that its sender speaks now and hears us.
//!
//! Layout: lengths of the fixed part and of one entry come first, so that a later version can add
//! fields to both and an earlier one skips them.

use crate::agreement::ConfigurationId;
use heart_model::{BootId, Duration, LogIndex, NODES_MAX, NodeId, SessionNumber, Term};

/// Length of the fixed part that this version writes, in bytes.
const FIXED: usize = 82;
/// Length of one entry that this version writes, in bytes.
const ENTRY: usize = 17;
/// Longest beat, in bytes.
pub const BEAT_MAX: usize = FIXED + ENTRY * ENTRIES_MAX;
/// Most entries of one beat: one for each node, and some for boots without proof.
pub const ENTRIES_MAX: usize = NODES_MAX + CLAIMS_MAX;
/// Most boots without proof that one beat answers.
pub const CLAIMS_MAX: usize = 8;

const _: () = assert!(BEAT_MAX <= crate::frame::BODY_MAX, "a beat of the largest cluster fits a frame");

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Counts the beats of this boot.
    pub sequence: u64,
    /// The session the sender is in.
    pub session: SessionNumber,
    /// The link it was sent over.
    pub link: u8,
    /// It leads `term`, and a quorum lets it (SAFETY rule 14).
    pub leads: bool,
    /// What else it tells of itself: see [`crate::board::flag`].
    pub flags: u8,
    /// The term it is in.
    pub term: Term,
    /// The leader that it hears with authority.
    pub follows: Option<NodeId>,
    /// Term of its last log entry.
    pub log_term: Term,
    /// Place of its last log entry.
    pub log_index: LogIndex,
    /// The last voter configuration it appended.
    pub configuration: ConfigurationId,
    /// How long each of its promises lasts; zero if it is no voter.
    pub promise: Duration,
    /// A digest of its configuration file.
    pub digest: u64,
    /// The history its log belongs to; zero while it has none.
    pub era: u64,
    /// How often it had to begin its log anew, this time included; zero while it has no identity.
    pub incarnation: u32,
}

/// What a node says of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Of whom.
    pub node: NodeId,
    /// Low 32 bits of the boot it heard.
    pub boot: u32,
    /// The session it heard.
    pub session: u32,
    /// Low 32 bits of the newest sequence number it heard.
    pub sequence: u32,
    /// It heard the node within lost-after.
    pub heard: bool,
    /// The node heard it, too, within lost-after.
    pub both_ways: bool,
    /// The session was taken over, and that is committed: let go (SAFETY rule 24). A voter that has
    /// only appended the takeover does not vouch any more, but nobody may ever have agreed to it.
    pub deposed: bool,
    /// This is a promise, if a voter says it: for P it will not say that the node is lost.
    pub vouches: bool,
}

/// The part of a boot that acknowledgements carry.
#[must_use]
pub fn boot_tag(boot: BootId) -> u32 {
    boot.0 as u32
}

/// The whole sequence number of which an acknowledgement carried the low half, if the sender of
/// the beat, whose last number is `last`, can have meant one.
#[must_use]
pub fn whole_sequence(low: u32, last: u64) -> Option<u64> {
    let behind = (last as u32).wrapping_sub(low);
    (behind < u32::MAX / 2).then(|| last.checked_sub(u64::from(behind))).flatten().filter(|&n| n > 0)
}

struct Writer<'a> {
    to: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.to[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Writes a beat; returns its length.
///
/// # Panics
/// When `to` is shorter than [`BEAT_MAX`], or there are more than [`ENTRIES_MAX`] entries.
pub fn write(beat: &Beat, acks: impl Iterator<Item = Ack>, to: &mut [u8; BEAT_MAX]) -> usize {
    let mut writer = Writer { to, at: 0 };
    writer.put(&(FIXED as u16).to_le_bytes());
    writer.put(&(ENTRY as u16).to_le_bytes());
    writer.put(&beat.sequence.to_le_bytes());
    writer.put(&(beat.session.0 as u32).to_le_bytes());
    writer.put(&[beat.link, u8::from(beat.leads), beat.flags, 0]);
    writer.put(&beat.term.0.to_le_bytes());
    writer.put(&beat.follows.map_or(0, |node| node.0).to_le_bytes());
    writer.put(&beat.log_term.0.to_le_bytes());
    writer.put(&beat.log_index.0.to_le_bytes());
    writer.put(&beat.configuration.0.to_le_bytes());
    let micros = u32::try_from(beat.promise.as_micros()).unwrap_or(u32::MAX);
    writer.put(&micros.to_le_bytes());
    writer.put(&beat.digest.to_le_bytes());
    writer.put(&beat.era.to_le_bytes());
    writer.put(&beat.incarnation.to_le_bytes());
    let count = writer.at;
    writer.put(&[0; 2]);
    let mut entries: u16 = 0;
    writer.at = FIXED;
    for ack in acks {
        let bits = u8::from(ack.heard) | u8::from(ack.both_ways) << 1;
        let bits = bits | u8::from(ack.deposed) << 2 | u8::from(ack.vouches) << 3;
        writer.put(&ack.node.0.to_le_bytes());
        writer.put(&ack.boot.to_le_bytes());
        writer.put(&ack.session.to_le_bytes());
        writer.put(&ack.sequence.to_le_bytes());
        writer.put(&[bits]);
        entries += 1;
    }
    let length = writer.at;
    to[count..count + 2].copy_from_slice(&entries.to_le_bytes());
    length
}

struct Reader<'a> {
    from: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.from.split_first_chunk::<N>()?;
        self.from = rest;
        Some(*taken)
    }

    fn skip(&mut self, length: usize) -> Option<&'a [u8]> {
        let (skipped, rest) = self.from.split_at_checked(length)?;
        self.from = rest;
        Some(skipped)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
}

/// The acknowledgements of a beat, read one by one.
#[derive(Clone, Debug)]
pub struct Acks<'a> {
    from: &'a [u8],
    each: usize,
    left: usize,
}

impl Iterator for Acks<'_> {
    type Item = Ack;

    fn next(&mut self) -> Option<Ack> {
        self.left = self.left.checked_sub(1)?;
        let (entry, rest) = self.from.split_at_checked(self.each)?;
        self.from = rest;
        let mut reader = Reader { from: entry };
        let ack = Ack {
            node: NodeId(reader.u32()?),
            boot: reader.u32()?,
            session: reader.u32()?,
            sequence: reader.u32()?,
            heard: false,
            both_ways: false,
            deposed: false,
            vouches: false,
        };
        let [bits] = reader.take()?;
        let bit = |place: u8| bits >> place & 1 == 1;
        Some(Ack { heard: bit(0), both_ways: bit(1), deposed: bit(2), vouches: bit(3), ..ack })
    }
}

/// Reads a beat; `None` if the bytes are none. They were sealed by a node of this cluster, so this
/// speaks of a version that we do not understand, never of an attack.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<(Beat, Acks<'_>)> {
    let mut reader = Reader { from: bytes };
    let fixed = usize::from(reader.take().map(u16::from_le_bytes)?);
    let each = usize::from(reader.take().map(u16::from_le_bytes)?);
    if fixed < FIXED || each < ENTRY {
        return None;
    }
    let mut fixed = Reader { from: reader.skip(fixed - 4)? };
    let sequence = fixed.u64()?;
    let session = SessionNumber(u64::from(fixed.u32()?));
    let [link, leads, flags, _] = fixed.take()?;
    let beat = Beat {
        sequence,
        session,
        link,
        leads: leads != 0,
        flags,
        term: Term(fixed.u64()?),
        follows: Some(fixed.u32()?).filter(|&node| node != 0).map(NodeId),
        log_term: Term(fixed.u64()?),
        log_index: LogIndex(fixed.u64()?),
        configuration: ConfigurationId(fixed.u64()?),
        promise: Duration::from_micros(u64::from(fixed.u32()?)),
        digest: fixed.u64()?,
        era: fixed.u64()?,
        incarnation: fixed.u32()?,
    };
    let left = usize::from(fixed.take().map(u16::from_le_bytes)?);
    (left <= ENTRIES_MAX).then_some((beat, Acks { from: reader.from, each, left }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat() -> Beat {
        Beat {
            sequence: 0x1_0000_0005,
            session: SessionNumber(3),
            link: 1,
            leads: true,
            flags: 2,
            term: Term(9),
            follows: Some(NodeId(7)),
            log_term: Term(8),
            log_index: LogIndex(77),
            configuration: ConfigurationId(5),
            promise: Duration::from_millis(600),
            digest: 0xdead,
            era: 6,
            incarnation: 1,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let ack = Ack {
            node: NodeId(1),
            boot: 2,
            session: 3,
            sequence: 4,
            heard: true,
            both_ways: false,
            deposed: true,
            vouches: false,
        };
        let all = [ack, Ack { node: NodeId(9), heard: false, ..ack }];
        let mut bytes = [0; BEAT_MAX];
        let length = write(&beat(), all.into_iter(), &mut bytes);
        let (read_beat, acks) = read(&bytes[..length]).expect("a whole beat");
        assert_eq!(read_beat, beat());
        assert!(acks.eq(all));
        for cut in 0..FIXED {
            assert!(read(&bytes[..cut]).is_none(), "{cut} bytes are no beat");
        }
    }

    #[test]
    fn half_a_sequence_number_means_the_nearest_one_already_sent() {
        for (low, last, whole) in [
            (5, 5, Some(5)),
            (4, 5, Some(4)),
            (6, 5, None),
            (u32::MAX, 0x1_0000_0002, Some(0xffff_ffff)),
            (0, 3, None),
        ] {
            assert_eq!(whole_sequence(low, last), whole, "{low:x} after {last:x}");
        }
    }
}
