//! What the records of a device say.

use alloc::{string::String, vec::Vec};
use heart_model::{BootId, Duration, NodeName, Standing};
use serde::{Deserialize, Serialize};

use crate::Slot;

/// Most messages that one node tells at once; attempts to switch nodes off are fewer.
pub const MESSAGES_MAX: usize = 16;

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Whose cluster it belongs to.
    pub cluster: String,
    /// How many slots it has.
    pub slots: u16,
}

/// Whose a slot is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The node; nobody yet, if there is none.
    pub node: Option<NodeName>,
}

/// That a machine lives, and reads this disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Which life of it; none before the first.
    pub boot: Option<BootId>,
    /// Counts its rounds: all messages are read, then this is written.
    pub round: u64,
    /// When that was, by that machine's wall clock, in milliseconds since 1970. For people: nothing is decided by it.
    pub at: u64,
    /// What its watchdog sees to; none if it has none that is armed.
    pub pledge: Option<Pledge>,
    /// The message that it obeys: nothing is written here afterwards.
    pub obeys: Option<Obeyed>,
}

/// After how long a machine is off, whatever becomes of Heart there: its watchdog resets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pledge {
    /// After the beginning of a round, if it does not get through another one and has no lease.
    pub off_within: Duration,
    /// After it has said that it obeys a message.
    pub reset: Duration,
}

/// A message that is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Obeyed {
    /// Who wrote it.
    pub by: Slot,
    /// Which one of theirs.
    pub number: u64,
}

/// All that one node tells others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// The number of the newest message that was ever written here.
    pub newest: u64,
    /// Those that hold; what is not among them any more was withdrawn.
    pub all: Vec<Message>,
}

/// That a machine is to reset itself at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Counts the messages of one writer.
    pub number: u64,
    /// Whose machine.
    pub to: Slot,
    /// Which lives of it are to end: the one that is meant, and the one that its slot names, if that is another.
    pub boots: Vec<BootId>,
}

/// One node's part in agreeing on the value of the tie-break: see [`ballot`](crate::ballot).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// How often the value was changed, as far as this node knows.
    pub changes: u64,
    /// What it is since.
    pub standing: Option<Standing>,
    /// The highest attempt at the next change that this node has begun; 0 if none.
    pub begun: u64,
    /// What this node wanted it to be next, and in which attempt.
    pub wanted: Option<(u64, Standing)>,
}
