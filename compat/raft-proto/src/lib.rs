//! The messages of the raft crate, written by hand as prost messages.
//!
//! raft 0.7 expects a crate `raft-proto` made by a code generator that needs `protoc` and pulls in
//! stale dependencies. This one has the same names, field numbers and meaning on the wire, which
//! are facts of the protocol, and needs neither. What is here is what raft 0.7 and a user of its
//! `RawNode` call, and no more.

mod change;
pub mod eraftpb;
mod state;

pub use change::{ConfChangeI, new_conf_change_single};
pub use state::conf_state_eq;

/// The names that raft's own prelude passes on.
pub mod prelude {
    pub use crate::eraftpb::{
        ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
        EntryType, HardState, Message, MessageType, Snapshot, SnapshotMetadata,
    };
}
