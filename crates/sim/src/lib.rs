//! The simulated world: many nodes, one thread, one seed.
//!
//! The nodes are the real ones, `heart-node`, driven as the daemon drives them; the network, the
//! disks, the clocks, the kernels and the executors are simulated, and so is what goes wrong. After
//! every step the standing claims are checked: one leader a term, one owner a resource at every
//! instant of true time, nothing owned without a right to it, nothing committed lost.
//!
//! A world is its seed: the same seed gives the same events. A failure is a seed.

mod ballot;
mod chance;
pub mod chaos;
mod claims;
mod clocks;
mod executor;
pub mod family;
mod fault;
mod fence;
mod kernel;
mod lives;
mod machine;
mod network;
mod operators;
mod parting;
mod pinging;
mod pings;
mod queue;
mod rough;
mod settings;
mod shared_disk;
mod sickness;
mod tie_break;
mod view;
mod watchdog;
mod world;

pub use ballot::with_tie_break_on_disk;
pub use chance::Chance;
pub use claims::Broken;
pub use fault::Fault;
pub use fence::{Device, with_devices, with_levels, with_storage_devices};
pub use machine::{Machine, Power};
pub use operators::Word;
pub use pings::with_targets;
pub use settings::WorldSettings;
pub use shared_disk::with_fences_on_disk;
pub use tie_break::with_tie_break;
pub use watchdog::with_watchdogs;
pub use world::World;

/// True time in nanoseconds since the world began.
pub type Nanos = u64;

/// Milliseconds as [`Nanos`].
#[must_use]
pub const fn ms(count: u64) -> Nanos {
    count * 1_000_000
}
