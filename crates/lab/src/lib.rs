//! Nodes as network namespaces on one machine, with faults and probes.
//!
//! A lab is a few machines that are not there: each node has its own network, processes, mounts,
//! host name and inter-process communication, its own `/etc`, `/var`, `/run`, `/tmp` and `/dev`,
//! and two cables, one to each of two switches. A client hangs on the same switches and measures
//! what users would notice. The kernel, its network stack and every program are the real ones; what
//! a lab cannot show is what a kernel or a disk does when it breaks.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let lab = heart_lab::Lab::builder().nodes(3).start()?;
//! lab.node("n1").shell("ip address add 10.77.0.100/24 dev eth0")?;
//! lab.partition(&[&["n1"], &["n2", "n3"]])?;
//! lab.heal()?;
//! lab.power_cut("n1")?;
//! # Ok(()) }
//! ```
//!
//! Nothing of a lab is seen outside, and everything of it ends with it: its *holder* is the first
//! process of a pid namespace that contains all machines, and lives in the network namespace of
//! the switches. It obeys requests on a socket. The binary that uses this crate is started again
//! as holder, as first process of each machine, and as probe: its `main` must call
//! [`hidden_main`] before anything else.
//!
//! What a power cut does not do here: lose data that were written but not flushed. The layers
//! that keep a machine's files are in memory that the lab holds.

mod children;
mod cli;
mod demo;
mod faults;
mod flood;
mod freezer;
mod hidden;
mod hold;
mod init;
mod janitor;
mod lab;
mod layout;
mod ledger;
mod machine;
mod message;
mod netlink;
mod node;
mod probe;
mod process;
mod rootfs;
mod stamp;
mod stores;
mod sys;
mod watchdog;
mod wire;

pub use cli::{Cli, cli};
pub use demo::{Options as DemoOptions, demo};
pub use hidden::hidden_main;
pub use lab::{Builder, Lab};
pub use layout::{CLIENT, Network, SWITCH, SWITCHES};
pub use ledger::{Conflict, Tenure, conflicts, tenures};
pub use message::{Exit, MachineState, MachineStatus, Status, Target};
pub use node::Node;
pub use probe::{
    Event, Outage, Probe, Question, Way,
    watch::{Overlap, Sighting, Watch},
};
pub use process::{Output, Process};
pub use rootfs::{DISK, FOLDER};
pub use stamp::{Stamp, milliseconds};
pub use stores::{Conditions, EtcdGateway, ObjectStore};
