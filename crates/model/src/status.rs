//! What is: the facts that planning starts from.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use serde::{Deserialize, Serialize};

use crate::{Activity, Ailment, Ended, Epoch, Guard, LogIndex, Name, NodeName, Reach, ResourceName, Session};

/// The cluster as its leader knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What is known of each node.
    pub nodes: BTreeMap<NodeName, NodeStatus>,
    /// What is known of each resource.
    pub resources: BTreeMap<ResourceName, ResourceStatus>,
    /// What people asked for in one line, beside the configuration.
    pub intents: Vec<Intent>,
    /// Whether a majority of the voters takes part.
    pub quorum: bool,
    /// The cluster has just begun, and nodes may still be on their way.
    #[serde(default)]
    pub gathering: Option<Gathering>,
    /// What runs on a sick node is left there: without the disks of those that are sick nothing is agreed on,
    /// so that it may not start elsewhere, or somebody fell sick just now, and others may follow.
    #[serde(default)]
    pub bound_to_sick: bool,
    /// The time by the leader's wall clock, in seconds since 1970. Nothing with a time runs without it.
    #[serde(default)]
    pub now: Option<i64>,
}

/// A cluster begins: nothing ran anywhere when its leader took over, and not every node is there
/// with the first. For a short while, what prefers a node that is not there yet waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// What may wait: nobody ran it when this leader began, and nobody was given it since. What lost
    /// its owner is never among these.
    pub resources: BTreeSet<ResourceName>,
    /// For how many milliseconds more.
    pub left_ms: u64,
}

/// What is known of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// How it stands to the cluster.
    pub state: NodeState,
    /// The session in which it can be granted things.
    pub session: Option<Session>,
    /// What it is sick with, or was until a moment ago, of what makes a node hand over.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sick: BTreeSet<Ailment>,
    /// It was lost so often that it is avoided for a while.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub quarantined: bool,
    /// How many ping targets it reaches.
    #[serde(default, skip_serializing_if = "Reach::is_unknown")]
    pub reach: Reach,
}

impl NodeStatus {
    /// A node that is well.
    #[must_use]
    pub fn well(state: NodeState, session: Option<Session>) -> NodeStatus {
        NodeStatus { state, session, sick: BTreeSet::new(), quarantined: false, reach: Reach::UNKNOWN }
    }
}

/// How a node stands to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Never heard since this leader began, or left in order.
    Absent,
    /// Heard, but its session is not admitted yet.
    Joining,
    /// Takes part.
    Online,
    /// Not heard any more; it may still run what it ran.
    Lost,
    /// Not heard any more, and known to be off; or silent for so long that it has let go if it is not.
    Fenced,
    /// About to leave in order.
    Leaving,
}

/// What is known of one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Who has the right to run it, and the state there.
    pub state: ResourceState,
    /// How often it failed on each node since the last success that counts, or the last clearing.
    pub failures: BTreeMap<NodeName, u32>,
    /// The last failure on each node, for people.
    pub last_failure: BTreeMap<NodeName, String>,
    /// Who held the last grant that was closed: while that session lasts, it starts there again.
    #[serde(default)]
    pub last: Option<(NodeName, Session)>,
    /// The last move that somebody asked for, if it ended before it was done.
    #[serde(default)]
    pub ended: Option<EndedMove>,
    /// It was taken over so often that it is not, for a while: it runs where it ran last, or nowhere.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub held: bool,
    /// What guards it where it is, if the file has said something else since it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// A move that ended before it was done. It is remembered until the next one, or until the resource
/// loses its owner: then what it was about is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedMove {
    /// The entry of the log that ended it.
    pub at: LogIndex,
    /// Where it was to go; anywhere else if not said.
    pub to: Option<NodeName>,
    /// Why it ended.
    pub because: Ended,
}

/// Who has the right to run a resource, and what it does there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceState {
    /// Nobody has the right to run it.
    #[default]
    Ungranted,
    /// One node has.
    Granted {
        /// Which node.
        node: NodeName,
        /// In which session of it.
        session: Session,
        /// Under which epoch.
        epoch: Epoch,
        /// What it does there, as far as was reported.
        activity: Activity,
    },
}

/// What a person asked for in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Nothing shall run on this node.
    Standby {
        /// Which node.
        node: NodeName,
    },
    /// Move this resource, with its group; over as soon as it runs there.
    Move {
        /// Which resource.
        resource: ResourceName,
        /// From where it shall go.
        from: NodeName,
        /// To where; anywhere else if not said.
        to: Option<NodeName>,
    },
    /// This cluster has a ticket.
    Ticket {
        /// Which.
        ticket: Name,
    },
}
