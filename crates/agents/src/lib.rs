//! The ways to run a resource: the built-in agents `ip` and `process`, and those of the Open
//! Cluster Framework.
//!
//! An agent has four member functions: start, stop, status, info. It does what it is told, on this
//! node, and decides nothing: whether a resource may run here was settled before, by grant, order
//! and lease. Operations run on threads of their own, have a deadline and can be cancelled. What
//! happens between operations, a process that dies or an address that somebody removes, is told
//! as an event.
//!
//! What switches another node off is no agent of a resource: see [`fence`]. Nor is what changes the value that decides
//! between two halves: see [`tie_break`]. Both can be a [`disk`] that all nodes share.
//!
//! Beside the agents stand the things that let go without them: the [`gate`] in the kernel for
//! addresses, and the [`process::keeper`] for processes.

mod agent;
mod begun;
mod cgroup;
pub mod clock;
pub mod descriptors;
pub mod disk;
pub mod fence;
pub mod gate;
mod hanging;
pub mod ip;
pub mod lease;
pub mod memory;
mod netlink;
mod notice;
pub mod ocf;
mod parameters;
mod proc;
pub mod process;
pub mod refused;
mod registry;
mod run;
mod sys;
pub mod tie_break;
pub mod wait;
mod whole;

pub use agent::{Agent, Job, Stop};
pub use lease::{LeaseView, ToldLease};
pub use notice::{Happened, NOTICES_MAX, Notice, NoticeSender, Notices, notices};
pub use registry::{Agents, Setup};
