//! Ping targets: what a node should reach beside the others, such as the gateway of its users.
//!
//! A target answers and does nothing else. That it is reached or not may move what runs, and may keep half of the
//! voters from beginning anything; it never lets anybody do something (SAFETY rule 20).

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{fmt, net::IpAddr};
use serde::{Deserialize, Serialize};

use crate::{Duration, Name, NodeName};

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingSpec {
    /// Any one of these that answers is enough; between 1 and [`PING_HOSTS_MAX`](crate::PING_HOSTS_MAX).
    pub hosts: Vec<IpAddr>,
    /// How often each is asked.
    pub interval: Duration,
    /// How long none may answer before the target counts as not reached, and how long it has to be answered before
    /// it counts as reached again; at least three intervals.
    pub lost_after: Duration,
}

/// What a machine found out about its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingChange {
    /// It reaches this one, for the first time or again.
    Reached(Name),
    /// It does not reach this one, from the beginning or no longer.
    Missed(Name),
    /// One of its targets answered what was asked for a question with this number ([`PingOrder::Ask`]).
    Answered(u64),
    /// It cannot find out: why, for people.
    Blind(String),
}

/// What a node says of its targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingFacts {
    /// How many it reaches; nothing as long as that is not known of each.
    #[serde(default)]
    pub reaches: Option<u32>,
    /// Those that it does not reach.
    #[serde(default)]
    pub missed: Vec<Name>,
    /// Why it cannot find out, if it cannot.
    #[serde(default)]
    pub blind: Option<String>,
}

/// What the core wants of what pings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingOrder {
    /// These are the targets from now on; of each is told anew whether it is reached.
    Watch(BTreeMap<Name, PingSpec>),
    /// Ask all of them at once, beside the usual; the first answer is told with this number.
    Ask(u64),
}

/// How many targets a node reaches, as far as is known for certain.
///
/// What is not settled counts for the node as well as against it: it is not known to reach fewer than another, nor
/// more. So nothing moves before a difference has lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// It reached at least so many all the while.
    pub least: u32,
    /// It reached at most so many all the while.
    pub most: u32,
}

impl Reach {
    /// Nothing is known of it.
    pub const UNKNOWN: Reach = Reach { least: 0, most: u32::MAX };

    /// Whether nothing is known of it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Reach::UNKNOWN
    }
}

impl Default for Reach {
    fn default() -> Reach {
        Reach::UNKNOWN
    }
}

/// That a node reaches fewer targets than another, as it is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fewer {
    /// How many it reaches.
    pub reaches: u32,
    /// Of how many that are configured.
    pub of: u32,
    /// A node that reaches more.
    pub other: NodeName,
    /// How many that one reaches.
    pub others: u32,
}

impl fmt::Display for Fewer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fewer { reaches, of, other, others } = self;
        write!(to, "reaches {reaches} of {of} ping targets, {other} {others}")
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Reach { least, most } if least == most => write!(to, "{least}"),
            Reach { least: 0, most: u32::MAX } => to.write_str("an unknown number"),
            Reach { least, most } => write!(to, "{least} to {most}"),
        }
    }
}
