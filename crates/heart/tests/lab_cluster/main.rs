//! Real daemons, real faults: what a cluster has to withstand, as stories.
//!
//! Each story starts a cluster in a lab, breaks something, and looks at what a client noticed (a
//! probe), whether two nodes ever had the address (the watch, past all faults), and whether
//! anything was started again (the service itself keeps count). Bounds on time are generous, so
//! that a busy machine does not fail a test; what was measured is printed.
//!
//! Needs namespaces, as the tests of the lab do; with `HEART_LAB_REQUIRED=1` they may not be missing.
//! The long runs are ignored: `cargo test -p heart --test lab_cluster -- --ignored`.

mod cluster;
mod controllers;
mod copies;
mod dice;
mod disks;
mod fences;
mod hands;
mod hosts;
mod kills;
mod links;
mod owners;
mod pairs;
mod partitions;
mod pings;
mod power;
mod reload;
mod sick;
mod starts;
mod stops;
mod strangers;
mod ties;
mod unread;
mod watchdogs;
