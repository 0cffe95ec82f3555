//! The log on disk: an append-only file of batches, each with its checksum.
//!
//! A batch is written with one write and made durable with one sync, and it is read back whole or
//! not at all: the commit index can never outlive, or fall behind, the entries it came with
//! (SAFETY rule 15). A batch at the end that was cut short by a power loss is dropped. A damaged
//! batch with good ones behind it is not a torn tail but a lost log, and is said so.
//!
//! Layout of a batch: length of what follows the checksum (4), CRC-32 of it (4), a prost message.

use prost::Message;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

/// Longest batch that is read back, in bytes.
pub const BATCH_MAX: usize = 64 * 1024 * 1024;
const HEADER: usize = 8;

/// What is made durable at once.
#[derive(Clone, PartialEq, Message)]
pub struct Batch {
    /// The raft id this log belongs to; only in the first batch.
    #[prost(uint64, optional, tag = "1")]
    pub raft_id: Option<u64>,
    /// Term, vote and commit index.
    #[prost(message, optional, tag = "2")]
    pub hard_state: Option<HardState>,
    /// Replaces everything before it, the log included.
    #[prost(message, optional, tag = "3")]
    pub snapshot: Option<Snapshot>,
    /// Entries; the first replaces whatever stood at its place and behind it.
    #[prost(message, repeated, tag = "4")]
    pub entries: Vec<Entry>,
    /// The members that this log began with; only in the first batch of one that began empty. The
    /// configuration file may say something else by the time it is read back.
    #[prost(message, optional, tag = "5")]
    pub founders: Option<ConfState>,
    /// This log turned out to be shorter than it once was: nothing before this is to be taken up.
    #[prost(bool, tag = "6")]
    pub lost: bool,
}

impl Batch {
    /// The bytes to append to the file.
    #[must_use]
    pub fn encode_framed(&self) -> Vec<u8> {
        let body = self.encode_to_vec();
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&u32::try_from(body.len()).expect("a batch is bounded").to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

/// What a file held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The raft id it belongs to.
    pub raft_id: u64,
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// The last snapshot.
    pub snapshot: Snapshot,
    /// The entries behind the snapshot, without gaps.
    pub entries: Vec<Entry>,
    /// The members that it began with, if it was not begun by a snapshot.
    pub founders: Option<ConfState>,
    /// It was found out to be shorter than it once was, and is not to be taken up.
    pub lost: bool,
    /// How many bytes of the file are good; what follows was torn off and has to be cut.
    pub length: usize,
}

/// Why a log cannot be taken up. The node has to come back under a new raft id (SAFETY rule 16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A batch does not fit its checksum, and good ones follow it.
    Checksum {
        /// Where the batch starts, in bytes.
        at: usize,
    },
    /// A batch fits its checksum but cannot be understood.
    Content {
        /// Where the batch starts, in bytes.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl ::core::fmt::Display for Damage {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Damage::Checksum { at } => {
                write!(to, "the batch at byte {at} does not fit its checksum, and good ones follow it")
            }
            Damage::Content { at, what } => write!(to, "the batch at byte {at} makes no sense: {what}"),
        }
    }
}

/// Reads a whole file.
///
/// # Errors
/// When it is damaged elsewhere than at its end.
pub fn recover(bytes: &[u8]) -> Result<Recovered, Damage> {
    let mut recovered = Recovered::default();
    let mut at = 0;
    while let Some((body, next)) = batch_at(bytes, at) {
        let batch = Batch::decode(body).map_err(|_| Damage::Content { at, what: "it is no batch" })?;
        take(&mut recovered, batch).map_err(|what| Damage::Content { at, what })?;
        at = next;
    }
    recovered.length = at;
    if let Some(next) = claimed_end(bytes, at)
        && batch_at(bytes, next).is_some()
    {
        return Err(Damage::Checksum { at });
    }
    if recovered.hard_state.commit > last_index(&recovered) {
        return Err(Damage::Content { at, what: "more was committed than is there" });
    }
    Ok(recovered)
}

fn claimed_end(bytes: &[u8], at: usize) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
    (length != 0 && length <= BATCH_MAX).then(|| at + HEADER + length)
}

/// The good batch at `at`, and where the next one starts.
fn batch_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let end = claimed_end(bytes, at)?;
    let body = bytes.get(at + HEADER..end)?;
    let sum = u32::from_le_bytes(bytes[at + 4..at + HEADER].try_into().ok()?);
    (crc32fast::hash(body) == sum).then_some((body, end))
}

fn last_index(recovered: &Recovered) -> u64 {
    let behind = recovered.snapshot.metadata.as_ref().map_or(0, |metadata| metadata.index);
    recovered.entries.last().map_or(behind, |entry| entry.index)
}

fn take(recovered: &mut Recovered, batch: Batch) -> Result<(), &'static str> {
    recovered.lost |= batch.lost;
    if let Some(raft_id) = batch.raft_id {
        recovered.raft_id = raft_id;
    }
    if batch.founders.is_some() {
        recovered.founders = batch.founders;
    }
    if let Some(snapshot) = batch.snapshot {
        recovered.snapshot = snapshot;
        recovered.entries.clear();
    }
    let first = recovered.snapshot.metadata.as_ref().map_or(0, |metadata| metadata.index) + 1;
    for entry in batch.entries {
        let Some(place) = entry.index.checked_sub(first) else {
            return Err("an entry lies before the snapshot");
        };
        if place > recovered.entries.len() as u64 {
            return Err("entries are missing");
        }
        recovered.entries.truncate(place as usize);
        recovered.entries.push(entry);
    }
    if let Some(hard_state) = batch.hard_state {
        recovered.hard_state = hard_state;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64, data: &str) -> Entry {
        Entry { index, term, data: data.into(), ..Entry::default() }
    }

    fn batch(commit: u64, entries: &[Entry]) -> Vec<u8> {
        let hard_state = HardState { term: 1, vote: 1, commit };
        Batch { hard_state: Some(hard_state), entries: entries.to_vec(), ..Batch::default() }.encode_framed()
    }

    #[test]
    fn every_way_to_tear_the_last_batch_leaves_the_ones_before_it() {
        let first = batch(0, &[entry(1, 1, "a"), entry(2, 1, "b")]);
        let whole = [first.clone(), batch(2, &[entry(3, 1, "c")])].concat();
        assert_eq!(recover(&whole).expect("whole").entries.len(), 3);
        for cut in first.len()..whole.len() {
            let recovered = recover(&whole[..cut]).expect("a torn tail is no damage");
            assert_eq!((recovered.entries.len(), recovered.hard_state.commit), (2, 0), "cut at {cut}");
            assert_eq!(recovered.length, first.len());
        }
    }

    #[test]
    fn zeroes_of_a_preallocated_file_are_its_end() {
        let first = batch(0, &[entry(1, 1, "a")]);
        let recovered = recover(&[first.clone(), vec![0; 4096]].concat()).expect("whole");
        assert_eq!(recovered.length, first.len());
    }

    #[test]
    fn damage_before_good_batches_is_a_lost_log() {
        let (first, second) = (batch(0, &[entry(1, 1, "a")]), batch(1, &[entry(2, 1, "b")]));
        let mut whole = [first.clone(), second].concat();
        whole[first.len() - 1] ^= 1;
        assert_eq!(recover(&whole), Err(Damage::Checksum { at: 0 }));
    }

    #[test]
    fn a_later_entry_replaces_what_stood_at_its_place_and_behind() {
        let whole = [
            batch(0, &[entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c")]),
            batch(0, &[entry(2, 2, "x")]),
        ]
        .concat();
        let terms: Vec<u64> =
            recover(&whole).expect("whole").entries.iter().map(|entry| entry.term).collect();
        assert_eq!(terms, [1, 2]);
    }

    #[test]
    fn a_gap_is_damage() {
        let whole = [batch(0, &[entry(1, 1, "a")]), batch(0, &[entry(3, 1, "c")])].concat();
        assert!(matches!(recover(&whole), Err(Damage::Content { .. })));
    }
}
