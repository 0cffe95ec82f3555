//! The processes of a node.

pub mod channel;
pub mod executor;
