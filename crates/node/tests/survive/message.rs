//! What cores say to each other, and what stands in the log: read, written and read again.

use heart_model::LogIndex;
use heart_node::{agreement, core, ledger};

/// Reads bytes as everything that they could be; what can be read is written so that it reads the same.
pub(crate) fn message(bytes: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<core::Message>(bytes) {
        let written = serde_json::to_vec(&message).expect("plain data");
        assert_eq!(serde_json::from_slice::<core::Message>(&written).ok().as_ref(), Some(&message));
    }
    if let Ok(entry) = ledger::read(bytes) {
        assert_eq!(ledger::read(&ledger::write(&entry)).ok().as_ref(), Some(&entry));
    }
    if let Ok(ledger) = ledger::Ledger::restore(bytes) {
        assert_eq!(ledger::Ledger::restore(&ledger.save()).ok().as_ref(), Some(&ledger));
    }
    let _ = agreement::envelope(bytes);
    let _ = agreement::nothing_here(bytes);
    history(bytes);
}

/// Lines as entries of one log: what does not hold changes nothing, and nothing breaks the ledger.
fn history(bytes: &[u8]) {
    let mut ledger = ledger::Ledger::default();
    let entries = bytes.split(|byte| *byte == b'\n').filter_map(|line| ledger::read(line).ok());
    for (entry, index) in entries.zip(1..) {
        let before = ledger.clone();
        if !ledger.apply(LogIndex(index), &entry) {
            assert_eq!(ledger, before, "{entry:?} did not hold");
        }
    }
}
