//! A disk that all nodes of a cluster share, as tie-break and as fence.
//!
//! Nobody can compare and set a block of a disk: there are only reads and writes, and a write that loses its power
//! may stop in the middle. So each block has one writer, who keeps two copies of it ([`layout`]); a tie-break's value
//! is agreed on by everybody writing his own block and reading those of all others ([`ballot`]); and a node is told to
//! reset itself in a block of whoever tells it, and says in its own that it does ([`pill`]).
//!
//! Nothing here reads or writes a disk, nor a clock: drivers do, in the daemon and in tests. It is `no_std`.
#![no_std]
extern crate alloc;

pub mod ballot;
pub mod layout;
pub mod pill;
pub mod plant;
pub mod records;

pub use layout::{Area, BLOCK, COPIES, DeviceId, Geometry, PAIR, SLOTS_MAX, Slot};
