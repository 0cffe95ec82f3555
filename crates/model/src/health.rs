//! What can be wrong with a machine that still runs: it is *sick*, not dead.
//!
//! Each of these is a fact that a node finds out about itself. It begins and ends, and each is told once.

use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a machine can be sick with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ailment {
    /// What is written to its disk does not get there, or takes far too long.
    DiskStalled,
    /// A file system that it needs takes nothing more.
    DiskFull,
    /// A file system that it needs can only be read.
    ReadOnly,
    /// It cannot start processes, or is about to be unable to.
    NoProcesses,
    /// Others count on its watchdog, and it is not armed.
    NoWatchdog,
    /// Everything on it waits for memory much of the time.
    MemoryPressure,
    /// Its wall clock was set, or jumped.
    ClockJumped,
}

impl Ailment {
    /// Every one, worst first.
    pub const ALL: [Ailment; 7] = [
        Ailment::DiskStalled,
        Ailment::DiskFull,
        Ailment::ReadOnly,
        Ailment::NoProcesses,
        Ailment::NoWatchdog,
        Ailment::MemoryPressure,
        Ailment::ClockJumped,
    ];

    /// Whether what runs there is better off elsewhere. The others are only reported: they pass, or a move
    /// would not help.
    #[must_use]
    pub fn hands_over(self) -> bool {
        match self {
            Ailment::DiskStalled
            | Ailment::DiskFull
            | Ailment::ReadOnly
            | Ailment::NoProcesses
            | Ailment::NoWatchdog => true,
            Ailment::MemoryPressure | Ailment::ClockJumped => false,
        }
    }

    /// Whether its disk may not take what the log has to keep: nothing can be agreed on with its vote then.
    #[must_use]
    pub fn is_of_disk(self) -> bool {
        match self {
            Ailment::DiskStalled | Ailment::DiskFull | Ailment::ReadOnly => true,
            Ailment::NoProcesses | Ailment::NoWatchdog | Ailment::MemoryPressure | Ailment::ClockJumped => {
                false
            }
        }
    }

    /// What a person does about it, in the imperative.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Ailment::DiskStalled => "look for errors of the disk or of what it is reached by: `dmesg -T`",
            Ailment::DiskFull => "make room: `df -h` and `df -i` show where there is none",
            Ailment::ReadOnly => "see in `dmesg -T` why it can only be read, mend that, and mount it anew",
            Ailment::NoProcesses => {
                "find what has so many processes: `ps -eLf`; or raise the limit, `systemctl show -p TasksMax`"
            }
            Ailment::NoWatchdog => "see in this node's log why it cannot be armed: `journalctl -u heart`",
            Ailment::MemoryPressure => {
                "find what takes the memory: `ps aux --sort -rss`; or give the machine more"
            }
            Ailment::ClockJumped => "see that one service alone sets the clock: `timedatectl`",
        }
    }
}

impl fmt::Display for Ailment {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Ailment::DiskStalled => "its disk has stalled",
            Ailment::DiskFull => "its disk is full",
            Ailment::ReadOnly => "its disk can only be read",
            Ailment::NoProcesses => "it cannot start processes",
            Ailment::NoWatchdog => "its watchdog is not armed",
            Ailment::MemoryPressure => "it is short of memory",
            Ailment::ClockJumped => "its clock jumped",
        })
    }
}

/// That a node is sick, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthFact {
    /// With what.
    pub ailment: Ailment,
    /// What was measured, with figures, for people; no sentence of its own: `0 of 262144 bytes are free`.
    pub figures: String,
    /// Since when, in milliseconds since 1970 by the node's wall clock.
    pub since: u64,
    /// Since when it is well again, if it is, likewise; until it was well for long enough, it is avoided.
    #[serde(default)]
    pub well_since: Option<u64>,
}

/// What a machine found out about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// It fell sick; the figures as in [`HealthFact::figures`].
    Began(Ailment, String),
    /// It is well again, as far as this is concerned.
    Ended(Ailment),
}

/// What follows from it that a node is sick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenSick {
    /// What runs there moves in order, if another node can take it; the node does not lead if another can.
    #[default]
    Move,
    /// It is told, and nothing else.
    Report,
}
