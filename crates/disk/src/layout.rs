//! Where what stands on the device, and how a block looks.
//!
//! ```text
//! block 0, 1        the header, twice
//! then, for each area, a pair of blocks for each slot:
//! owners            whose slot it is             written by `heart disk format` only
//! beats             that a machine lives         written by the node of the slot
//! messages          what it tells others         written by the node of the slot
//! ballots           its part in the tie-break    written by the node of the slot
//! ```
//!
//! A block has 4096 bytes wherever it is, so that it can be written alone on a disk with sectors of 512 bytes and on
//! one with sectors of 4096:
//!
//! ```text
//!  0  magic     8   "HEARTDSK"
//!  8  version   1   1
//!  9  area      1   0 header, 1 owners, 2 beats, 3 messages, 4 ballots
//! 10  slot      2   0 in the header
//! 12  device    8   drawn when the device was formatted
//! 20  sequence  8   counts how often this block was written
//! 28  length    4   of the record
//! 32  record        JSON; zeros behind it
//! 4092 checksum 4   CRC-32 of all before it
//! ```
//!
//! All numbers are little-endian. Each block stands there twice. Whoever writes it writes the copy that is older or
//! damaged first, and the other one when that is done, both with the same sequence. So whatever a write does that is
//! cut short, one whole copy is left: a block whose checksum is wrong counts as the older of the two.

use alloc::{format, string::String, vec, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How many bytes a block has.
pub const BLOCK: usize = 4096;
/// How often each block stands on the device.
pub const COPIES: usize = 2;
/// How many bytes the copies of one block have together.
pub const PAIR: usize = BLOCK * COPIES;
/// Most slots a device can have: one for each node.
pub const SLOTS_MAX: u16 = 64;
/// Longest record, in bytes.
pub const RECORD_MAX: usize = CHECKSUM_AT - RECORD_AT;
/// The version of the layout that is written and read here.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 8] = *b"HEARTDSK";
const RECORD_AT: usize = 32;
const CHECKSUM_AT: usize = BLOCK - 4;

const _: () = assert!(SLOTS_MAX as usize >= heart_model::NODES_MAX, "every node can have a slot");

/// One of the slots of a device, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u16);

impl fmt::Display for Slot {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "slot {}", self.0)
    }
}

/// A number that is drawn when a device is formatted: blocks of an earlier life of it are none of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub u64);

impl fmt::Display for DeviceId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:016x}", self.0)
    }
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// What the device is.
    Header,
    /// Whose each slot is.
    Owners,
    /// That machines live.
    Beats,
    /// What nodes tell each other.
    Messages,
    /// The tie-break.
    Ballots,
}

impl Area {
    /// As it stands in each block.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Area::Header => 0,
            Area::Owners => 1,
            Area::Beats => 2,
            Area::Messages => 3,
            Area::Ballots => 4,
        }
    }

    /// For people.
    fn name(self) -> &'static str {
        match self {
            Area::Header => "the header",
            Area::Owners => "the owner's name",
            Area::Beats => "the heartbeat",
            Area::Messages => "the messages",
            Area::Ballots => "the tie-break's part",
        }
    }
}

/// What is known of a device once its header was read: where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Which device.
    pub device: DeviceId,
    /// How many slots it has: 1 to [`SLOTS_MAX`].
    pub slots: u16,
}

impl Geometry {
    /// How many bytes a device needs for so many slots.
    #[must_use]
    pub fn bytes(slots: u16) -> u64 {
        (PAIR + usize::from(slots) * PAIR * 4) as u64
    }

    /// Where the first copy of the first block of an area is, in bytes.
    #[must_use]
    pub fn start(&self, area: Area) -> u64 {
        let before = match area {
            Area::Header => return 0,
            of_slots => usize::from(of_slots.number() - 1) * usize::from(self.slots),
        };
        (PAIR + before * PAIR) as u64
    }

    /// Where the first copy of a slot's block is, in bytes; the second one follows.
    #[must_use]
    pub fn offset(&self, area: Area, slot: Slot) -> u64 {
        match area {
            Area::Header => 0,
            _ => self.start(area) + (usize::from(slot.0) * PAIR) as u64,
        }
    }

    /// How many bytes an area has.
    #[must_use]
    pub fn length(&self, area: Area) -> usize {
        match area {
            Area::Header => PAIR,
            _ => usize::from(self.slots) * PAIR,
        }
    }
}

/// A record as it stands on the device, and how often its block was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Stands<T> {
    /// Counts the writes.
    pub sequence: u64,
    /// Which copy is to be written next: the older or the damaged one.
    pub next: usize,
    /// What it says.
    pub record: T,
}

/// Writes a block.
///
/// # Errors
/// When the record is longer than [`RECORD_MAX`]; for people.
pub fn write<T: Serialize>(
    device: DeviceId,
    area: Area,
    slot: Slot,
    sequence: u64,
    record: &T,
) -> Result<Vec<u8>, String> {
    let record = serde_json::to_vec(record)
        .map_err(|error| format!("{} of {slot} cannot be written: {error}", area.name()))?;
    if record.len() > RECORD_MAX {
        let (length, name) = (record.len(), area.name());
        return Err(format!("{name} of {slot} has {length} bytes, and may have {RECORD_MAX}"));
    }
    let mut block = vec![0; BLOCK];
    block[..8].copy_from_slice(&MAGIC);
    block[8] = VERSION;
    block[9] = area.number();
    block[10..12].copy_from_slice(&slot.0.to_le_bytes());
    block[12..20].copy_from_slice(&device.0.to_le_bytes());
    block[20..28].copy_from_slice(&sequence.to_le_bytes());
    block[28..32].copy_from_slice(&(record.len() as u32).to_le_bytes());
    block[RECORD_AT..RECORD_AT + record.len()].copy_from_slice(&record);
    let checksum = crc32fast::hash(&block[..CHECKSUM_AT]);
    block[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    Ok(block)
}

/// Reads the copies of one block.
///
/// # Errors
/// When neither is whole, or both are and contradict each other: what was found, for people.
pub fn read<T: DeserializeOwned>(
    device: DeviceId,
    area: Area,
    slot: Slot,
    pair: &[u8],
) -> Result<Stands<T>, String> {
    let of = || format!("{} of {slot}", area.name());
    let copies = read_copies(area, slot, pair)?;
    let own = copies.map(|copy| copy.filter(|copy| copy.device == device));
    let (at, found) = match own {
        [Some(one), Some(other)] if one.sequence == other.sequence && one.record != other.record => {
            return Err(format!(
                "{} was written by two at once: two nodes use one slot, or the disk carried out a write long after \
                 it had refused it",
                of()
            ));
        }
        [Some(one), Some(other)] if other.sequence > one.sequence => (1, other),
        [Some(one), _] => (0, one),
        [None, Some(other)] => (1, other),
        [None, None] => {
            let foreign = copies.iter().flatten().next().map(|copy| copy.device);
            let found = foreign.map_or_else(
                || "is damaged in both copies".into(),
                |id| format!("belongs to device {id}, and this is {device}"),
            );
            return Err(format!("{} {found}", of()));
        }
    };
    let record = serde_json::from_slice(found.record)
        .map_err(|error| format!("{} was written by another version of Heart: {error}", of()))?;
    Ok(Stands { sequence: found.sequence, next: 1 - at, record })
}

/// Which device a header names, without knowing it before; the record is the caller's to judge.
///
/// # Errors
/// When there is no header, or a damaged one: what was found, for people.
pub fn read_header<T: DeserializeOwned>(pair: &[u8]) -> Result<(DeviceId, Stands<T>), String> {
    let copies = read_copies(Area::Header, Slot(0), pair)?;
    let newest = copies.iter().flatten().max_by_key(|copy| copy.sequence);
    let device = newest.ok_or("its header is damaged in both copies")?.device;
    Ok((device, read(device, Area::Header, Slot(0), pair)?))
}

/// Whether these bytes, from the beginning of a device, were never written.
#[must_use]
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// One whole copy.
#[derive(Clone, Copy)]
struct Copy<'a> {
    device: DeviceId,
    sequence: u64,
    record: &'a [u8],
}

fn read_copies(area: Area, slot: Slot, pair: &[u8]) -> Result<[Option<Copy<'_>>; COPIES], String> {
    let (blocks, rest) = pair.as_chunks::<BLOCK>();
    let [one, other] = blocks else {
        return Err(format!("{} of {slot} has {} bytes, and needs {PAIR}", area.name(), pair.len()));
    };
    if !rest.is_empty() {
        return Err(format!("{} of {slot} has {} bytes too many", area.name(), rest.len()));
    }
    let newer = [one, other].into_iter().find(|block| block[..8] == MAGIC && block[8] != VERSION);
    match newer {
        Some(block) if is_whole(block) => {
            Err(format!("it has version {} of the layout, and this Heart knows version {VERSION}", block[8]))
        }
        _ => Ok([copy(area, slot, one), copy(area, slot, other)]),
    }
}

fn is_whole(block: &[u8; BLOCK]) -> bool {
    number::<4>(block, CHECKSUM_AT) == u64::from(crc32fast::hash(&block[..CHECKSUM_AT]))
}

/// Takes one copy apart; nothing if it is not whole, or stands where it does not belong.
fn copy(area: Area, slot: Slot, block: &[u8; BLOCK]) -> Option<Copy<'_>> {
    let belongs = block[..8] == MAGIC
        && block[8] == VERSION
        && block[9] == area.number()
        && number::<2>(block, 10) == u64::from(slot.0);
    if !belongs || !is_whole(block) {
        return None;
    }
    let length = usize::try_from(number::<4>(block, 28)).ok().filter(|&length| length <= RECORD_MAX)?;
    let record = &block[RECORD_AT..RECORD_AT + length];
    Some(Copy { device: DeviceId(number::<8>(block, 12)), sequence: number::<8>(block, 20), record })
}

/// A number of so many bytes, little-endian.
fn number<const BYTES: usize>(block: &[u8; BLOCK], at: usize) -> u64 {
    block[at..at + BYTES].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId(7);
    const SLOT: Slot = Slot(3);

    fn block(sequence: u64, record: &str) -> Vec<u8> {
        write(DEVICE, Area::Beats, SLOT, sequence, &record).unwrap()
    }

    fn stands(one: &[u8], other: &[u8]) -> Result<(u64, usize, String), String> {
        read(DEVICE, Area::Beats, SLOT, &[one, other].concat())
            .map(|Stands { sequence, next, record }| (sequence, next, record))
    }

    #[test]
    fn the_newer_whole_copy_counts_and_the_other_is_written_next() {
        let (old, new) = (block(1, "old"), block(2, "new"));
        let mut torn = block(3, "torn");
        torn[BLOCK / 2..].copy_from_slice(&old[BLOCK / 2..]);
        torn[100] ^= 1;
        for (one, other, expected) in [
            (&old, &new, (2, 0, "new")),
            (&new, &old, (2, 1, "new")),
            (&new, &new, (2, 1, "new")),
            (&torn, &new, (2, 0, "new")),
            (&old, &torn, (1, 1, "old")),
        ] {
            let (sequence, next, record) = expected;
            assert_eq!(stands(one, other), Ok((sequence, next, record.into())));
        }
        assert!(stands(&torn, &torn).unwrap_err().contains("damaged in both copies"));
    }

    /// However far a write came, on sectors of 512 bytes in any order: the block is as it was, or as it was to be.
    #[test]
    fn a_write_that_is_cut_short_leaves_the_old_or_the_new() {
        let (old, new) = (block(1, "old"), block(2, "new"));
        for written in 0..=u8::MAX {
            let mut torn = old.clone();
            for sector in (0..8).filter(|sector| written & 1 << sector != 0) {
                let bytes = sector * 512..(sector + 1) * 512;
                torn[bytes.clone()].copy_from_slice(&new[bytes]);
            }
            for found in [stands(&torn, &old), stands(&old, &torn), stands(&torn, &new), stands(&new, &torn)]
            {
                let (sequence, _, record) = found.unwrap();
                assert!(matches!((sequence, record.as_str()), (1, "old") | (2, "new")), "{written:08b}");
            }
        }
    }

    #[test]
    fn what_stands_elsewhere_or_is_of_another_device_is_not_read() {
        let block = block(1, "x");
        let pair = [&block[..], &block[..]].concat();
        let read = |device, area, slot, pair: &[u8]| read::<String>(device, area, slot, pair).unwrap_err();
        assert!(read(DeviceId(8), Area::Beats, SLOT, &pair).contains("belongs to device 0000000000000007"));
        assert!(read(DEVICE, Area::Messages, SLOT, &pair).contains("damaged"));
        assert!(read(DEVICE, Area::Beats, Slot(4), &pair).contains("damaged"));
        assert!(read(DEVICE, Area::Beats, SLOT, &[0; PAIR]).contains("the heartbeat of slot 3 is damaged"));
        assert!(read(DEVICE, Area::Beats, SLOT, &pair[..BLOCK]).contains("needs 8192"));
    }

    #[test]
    fn two_writers_of_one_block_are_found_out() {
        assert!(
            stands(&block(4, "mine"), &block(4, "yours")).unwrap_err().contains("two nodes use one slot")
        );
    }

    #[test]
    fn another_version_is_said() {
        let mut block = block(1, "x");
        block[8] = 2;
        let checksum = crc32fast::hash(&block[..CHECKSUM_AT]);
        block[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        assert!(stands(&block, &block).unwrap_err().contains("version 2 of the layout"));
    }

    #[test]
    fn no_two_blocks_overlap_and_all_are_within_the_device() {
        for slots in [1, 2, 16, SLOTS_MAX] {
            let geometry = Geometry { device: DEVICE, slots };
            let mut next = PAIR as u64;
            for area in [Area::Owners, Area::Beats, Area::Messages, Area::Ballots] {
                assert_eq!(geometry.start(area), next);
                for slot in 0..slots {
                    assert_eq!(geometry.offset(area, Slot(slot)), next);
                    next += PAIR as u64;
                }
            }
            assert_eq!(next, Geometry::bytes(slots));
        }
    }
}
