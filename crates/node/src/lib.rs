//! One node of a cluster as a deterministic state machine, without IO.
//!
//! It has two halves, because they must not wait for each other:
//!
//! - [`pulse`]: heartbeats, liveness, promises and the lease. In the daemon it runs on its own
//!   real-time thread; after its first beats it allocates nothing.
//! - [`core`]: agreement (the log), ownership (grants and sessions) and the conductor (what the
//!   leader orders).
//!
//! They share a [`board::Board`] of atomics and a queue of [`pulse::Sighting`]s, nothing else. Both are stepped
//! with the time and an event and hand back actions; the daemon performs them, and so does the
//! simulator, where many nodes live in one thread.
//!
//! Invariant: no clock, socket, file, randomness or hash order in here. The same events give the
//! same actions.

pub mod agreement;
pub mod beat;
pub mod board;
pub mod conductor;
pub mod core;
pub mod echo;
#[cfg(test)]
mod example;
pub mod frame;
pub mod half;
pub mod journal;
pub mod ledger;
pub mod ownership;
pub mod pinger;
pub mod plant;
pub mod pulse;
pub mod stream;
pub mod watchdog;

mod chance;
