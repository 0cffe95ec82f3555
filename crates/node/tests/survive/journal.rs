//! The log reader: whatever is on the disk, what it takes up was written.

use std::collections::BTreeSet;

use heart_node::journal::{self, Batch, Damage, Recovered};
use raft::eraftpb::{Entry, HardState, Snapshot, SnapshotMetadata};

use super::script::Script;

/// Most batches of an imagined log.
const BATCHES: usize = 12;

/// Obeys a script: any bytes as a file, any bytes behind a fitting checksum, or a log that something
/// happened to.
pub(crate) fn journal(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    match script.byte() % 3 {
        0 => {
            let _ = read(script.rest());
        }
        1 => checked(script),
        _ => damaged(script),
    }
}

/// Reads a file; what is good of it reads the same without its torn end.
fn read(bytes: &[u8]) -> Result<Recovered, Damage> {
    let recovered = journal::recover(bytes)?;
    assert!(recovered.length <= bytes.len());
    assert_eq!(journal::recover(&bytes[..recovered.length]).as_ref(), Ok(&recovered), "a torn tail");
    let first = recovered.snapshot.metadata.as_ref().map_or(0, |metadata| metadata.index) + 1;
    assert!(recovered.entries.iter().zip(first..).all(|(entry, index)| entry.index == index), "no gaps");
    Ok(recovered)
}

/// Bodies that say anything, with checksums that fit.
fn checked(mut script: Script<'_>) {
    let mut file = Vec::new();
    while !script.is_over() && file.len() < 1 << 16 {
        let body = script.bytes(300);
        file.extend_from_slice(&(body.len() as u32).to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        file.extend_from_slice(body);
    }
    let _ = read(&file);
}

/// A log as a node writes it: what its batches are, and where each ends.
struct Written {
    file: Vec<u8>,
    ends: Vec<usize>,
    entries: BTreeSet<(u64, u64, Vec<u8>)>,
    /// Terms, and what was committed in each.
    states: BTreeSet<(u64, u64)>,
}

fn write(script: &mut Script<'_>) -> Written {
    let mut written = Written {
        file: Vec::new(),
        ends: vec![0],
        entries: BTreeSet::new(),
        states: BTreeSet::from([(0, 0)]),
    };
    let (mut first, mut next, mut commit) = (1, 1, 0);
    for term in 1..=1 + script.below(BATCHES) as u64 {
        let mut batch = Batch { raft_id: (term == 1).then_some(7), ..Batch::default() };
        if script.byte().is_multiple_of(4) {
            (first, next, commit) = (next, next, next - 1);
            let metadata = SnapshotMetadata { index: next - 1, term, ..SnapshotMetadata::default() };
            let data = script.bytes(20).into();
            batch.snapshot = Some(Snapshot { metadata: Some(metadata), data });
        }
        // A new leader may replace what was not committed.
        let replaced = (next - 1).saturating_sub(commit.max(first - 1));
        next -= u64::from(script.byte() % 4).min(replaced);
        for _ in 0..script.byte() % 4 {
            let entry = Entry { index: next, term, data: script.bytes(40).into(), ..Entry::default() };
            written.entries.insert((next, term, entry.data.clone()));
            batch.entries.push(entry);
            next += 1;
        }
        commit += u64::from(script.byte() % 4).min(next - 1 - commit);
        batch.hard_state = Some(HardState { term, vote: 1, commit });
        written.states.insert((term, commit));
        written.file.extend(batch.encode_framed());
        written.ends.push(written.file.len());
    }
    written
}

/// What a disk, or a person, does to a log.
fn damaged(mut script: Script<'_>) {
    let written = write(&mut script);
    let whole = read(&written.file).expect("what was written is read");
    assert_eq!(whole.length, written.file.len());
    let cut = script.below(written.file.len() + 1);
    let torn = read(&written.file[..cut]).expect("a torn tail is no damage");
    let before = written.ends.iter().rfind(|end| **end <= cut).expect("the first is at 0");
    assert_eq!(torn.length, *before, "the batches before the tear are all there");
    let mut file = written.file.clone();
    for _ in 0..=script.byte() % 3 {
        damage(&mut file, &mut script);
    }
    if let Ok(recovered) = read(&file) {
        for entry in &recovered.entries {
            let key = (entry.index, entry.term, entry.data.clone());
            assert!(written.entries.contains(&key), "nobody wrote {key:?}");
        }
        let state = &recovered.hard_state;
        assert!(written.states.contains(&(state.term, state.commit)), "nobody wrote {state:?}");
    }
}

fn damage(file: &mut Vec<u8>, script: &mut Script<'_>) {
    if file.is_empty() {
        return;
    }
    let at = script.below(file.len());
    let end = (at + script.below(200)).min(file.len());
    match script.byte() % 5 {
        0 => file[at] ^= 1 << (script.byte() % 8),
        1 => file.truncate(at),
        2 => file[at..end].fill(0),
        3 => drop(file.drain(at..end)),
        _ => {
            // A sector that was written twice, or to the wrong place.
            let piece = file[at..end].to_vec();
            let to = script.below(file.len() + 1);
            file.splice(to..to, piece);
        }
    }
}
