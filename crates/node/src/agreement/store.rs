//! The log in memory.

use prost::Message as _;
use raft::{
    GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{ConfState, Entry, HardState, Snapshot},
};
use std::collections::VecDeque;

/// The log in memory, as raft reads it. The disk is a step behind; raft knows how far.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Snapshot,
    pub(super) entries: VecDeque<Entry>,
    pub(super) conf: ConfState,
}

impl Store {
    pub(super) fn snapshot_index(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    /// The place before the first entry, and its term.
    pub(super) fn before(&self) -> (u64, u64) {
        (self.snapshot.get_metadata().index, self.snapshot.get_metadata().term)
    }

    pub(super) fn last(&self) -> u64 {
        self.entries.back().map_or(self.before().0, |entry| entry.index)
    }

    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let keep = first.index.saturating_sub(self.before().0 + 1);
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        self.entries.extend(entries.iter().cloned());
    }

    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        let (before, term) = self.before();
        if index == before {
            return Some(term);
        }
        self.entries.get(usize::try_from(index.checked_sub(before + 1)?).ok()?).map(|entry| entry.term)
    }
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState { hard_state: self.hard_state, conf_state: self.conf.clone() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let first = self.before().0 + 1;
        if low < first {
            return Err(StorageError::Compacted.into());
        }
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0;
        let (from, count) = ((low - first) as usize, (high - low) as usize);
        let fits = |entry: &&Entry| {
            let is_first = size == 0;
            size += entry.encoded_len() as u64;
            is_first || size <= limit
        };
        Ok(self.entries.iter().skip(from).take(count).take_while(fits).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let lost = if index < self.before().0 { StorageError::Compacted } else { StorageError::Unavailable };
        self.term_at(index).ok_or_else(|| lost.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before().0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.snapshot_index() == 0 || self.snapshot_index() < request_index {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(self.snapshot.clone())
    }
}
