//! What goes into agreement and what comes out.

use heart_model::NodeId;
use raft::eraftpb::{Entry, Snapshot};

/// A voter's identity in the log: which node, and how often it had to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RaftId(pub u64);

impl RaftId {
    /// The `incarnation`th identity of `node`, counted from 1.
    #[must_use]
    pub fn new(node: NodeId, incarnation: u32) -> RaftId {
        RaftId(u64::from(incarnation) << 32 | u64::from(node.0))
    }

    /// The node it belongs to.
    #[must_use]
    pub fn node(self) -> NodeId {
        NodeId(self.0 as u32)
    }

    /// How often that node began anew, this time included.
    #[must_use]
    pub fn incarnation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Names a configuration of voters: the entry that last changed which nodes vote, by its term and its
/// place in the log. Two entries at the same place are two configurations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationId(pub u64);

impl ConfigurationId {
    /// Bits of the place; the term takes the rest. A thousand entries a second fill them in 34 years.
    const PLACE_BITS: u32 = 40;

    /// The place of its entry in the log.
    #[must_use]
    pub fn place(self) -> u64 {
        self.0 & ((1 << ConfigurationId::PLACE_BITS) - 1)
    }

    /// The place in the log from which on it is known: the first one, for one that a log begins with.
    #[must_use]
    pub fn index(self) -> u64 {
        if self.0 >> ConfigurationId::PLACE_BITS == 0 { 1 } else { self.place() }
    }

    /// The configuration that a log begins with: by its voters, in any order. No entry has the term zero.
    #[must_use]
    pub fn of_founders(voters: &[u64]) -> ConfigurationId {
        let mut sorted = voters.to_vec();
        sorted.sort_unstable();
        let bytes: Vec<u8> = sorted.iter().flat_map(|id| id.to_le_bytes()).collect();
        ConfigurationId(u64::from(crc32fast::hash(&bytes)))
    }

    /// The configuration that came with this entry.
    #[must_use]
    pub fn of(entry: &Entry) -> ConfigurationId {
        ConfigurationId::at(entry.term, entry.index)
    }

    /// The configuration that came with what stands at this place of the log.
    #[must_use]
    pub fn at(term: u64, index: u64) -> ConfigurationId {
        ConfigurationId(term << ConfigurationId::PLACE_BITS | index)
    }
}

/// Names one write to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What must be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which write it is; they are made in order.
    pub ticket: Ticket,
    /// Replaces the whole file, instead of being appended.
    pub replaces: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What came out of a step.
#[derive(Debug, Default)]
pub struct Output {
    /// Messages to send, encoded, with the node they go to.
    pub messages: Vec<(NodeId, Vec<u8>)>,
    /// What must be made durable.
    pub writes: Vec<Write>,
    /// Entries that were appended just now, durable or not (SAFETY rule 4 acts on these).
    pub appended: Vec<Entry>,
    /// The state to take over whole, before any entry that is applied after.
    pub restored: Option<Snapshot>,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no message, or not for this identity.
    NotForUs,
    /// It proves that this log is shorter than it once was: never vote with it again (rule 16).
    LogLost,
}

/// How the crate's own timers run; they are back-stops.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Ticks without a leader before it campaigns by itself.
    pub election_ticks: usize,
    /// Ticks between two of a leader's own heartbeats.
    pub heartbeat_ticks: usize,
}

/// The members that a log begins with, as the configuration file has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Founders {
    /// Raft ids of the voters; all others are taken in later.
    pub voters: Vec<u64>,
}

/// A change of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It votes from now on.
    AddVoter,
    /// It follows, without a vote.
    AddLearner,
    /// It is a member no longer.
    Remove,
}
