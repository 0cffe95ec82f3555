//! What the processes of a lab say to each other.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Stamp, layout::Layout};

/// From a user of the lab to its holder, one per connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// How is everything?
    Status,
    /// Start a program; its three standard streams come with the message.
    Spawn { machine: String, command: CommandLine },
    /// Send a signal to processes of a machine.
    Signal { machine: String, target: Target, signal: i32 },
    /// Start machines that are off.
    Boot { machines: Vec<String> },
    /// Cut the power of machines.
    PowerCut { machines: Vec<String> },
    /// Stop every process of a machine in its tracks.
    Freeze { machine: String },
    /// Let them go on.
    Thaw { machine: String },
    /// Plug or unplug a machine's cable to one switch, or to all.
    Link { machine: String, switch: Option<usize>, up: bool },
    /// Unplug and plug a cable, over and over; it ends plugged.
    Flap { machine: String, switch: usize, times: u32, down_ms: u64, up_ms: u64 },
    /// Lose a part of what goes one way between machines.
    Loss { from: Vec<String>, to: Vec<String>, switch: Option<usize>, percent: u8 },
    /// Cut everything between machines of different groups.
    Partition { groups: Vec<Vec<String>>, switch: Option<usize> },
    /// Undo everything that was done to the network.
    Heal,
    /// End the lab.
    Stop,
}

/// From the holder to a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// It took hold at this time.
    Done { at: Stamp },
    /// It was not done, and why.
    Failed { message: String },
    /// A program runs.
    Spawned { pid: i32 },
    /// It has ended; the last message of a connection.
    Exited(Exit),
    /// How everything is.
    Status(Status),
}

/// From the holder to the first process of a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToInit {
    /// Leave for your own namespaces.
    Go,
    /// Become this machine of the layout.
    Become { layout: Box<Layout>, index: usize },
    /// Start a program.
    Spawn { id: u64, command: CommandLine },
    /// Send a signal.
    Signal { id: u64, target: Target, signal: i32 },
}

/// From the first process of a machine to the holder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromInit {
    /// The process that will be the machine's first one, as the holder sees it.
    Started { pid: i32 },
    /// The machine is up.
    Ready,
    /// The machine could not come up.
    Failed { message: String },
    /// A program runs.
    Spawned { id: u64, pid: i32 },
    /// A program could not be started, or a signal not be sent.
    Refused { id: u64, message: String },
    /// A program has ended.
    Exited { id: u64, exit: Exit },
    /// The signal went to this many processes.
    Signalled { id: u64, count: usize },
}

/// What to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CommandLine {
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    /// Variables beside the machine's own.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Which processes of a machine are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The one with this id, as the machine itself sees it.
    Pid(i32),
    /// The one with this id and everything in its process group.
    Group(i32),
    /// All with this name, as in `/proc/PID/comm`.
    Name(String),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It ended by itself, with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It went down with its machine.
    PowerLost,
}

impl Exit {
    /// Whether it ended with status 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(to, "status {code}"),
            Exit::Signal(signal) => write!(to, "signal {signal}"),
            Exit::PowerLost => to.write_str("its machine lost power"),
        }
    }
}

/// How everything in a lab is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The lab's name.
    pub name: String,
    /// The machines, nodes first, the client last.
    pub machines: Vec<MachineStatus>,
    /// What is lost on the way: from, to, switch, percent.
    pub losses: Vec<(String, String, usize, u8)>,
}

/// How one machine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: MachineState,
    /// Its first process, as seen from the namespace of the lab.
    pub pid: Option<i32>,
    /// Whether its cable to each switch is plugged.
    pub links: Vec<bool>,
    /// Its IPv4 address on each switch.
    pub addresses: Vec<String>,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// It has no power.
    Off,
    /// It runs.
    Up,
    /// All its processes are stopped.
    Frozen,
}

impl fmt::Display for MachineState {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(match self {
            MachineState::Off => "off",
            MachineState::Up => "up",
            MachineState::Frozen => "frozen",
        })
    }
}
