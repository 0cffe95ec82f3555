//! What is: nodes as they are seen, and what was done on them.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use super::AttributeSet;

/// The cluster as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The time, in seconds since 1970 (UTC). Without it, rules with dates and timeouts of failures do not
    /// hold.
    pub now: Option<i64>,
    /// Whether a majority takes part.
    pub quorum: bool,
    /// Whether a majority once took part, and takes the loss of it seriously.
    pub had_quorum: bool,
    /// The id of the node that leads.
    pub leader: Option<String>,
    /// Whether nodes have a watchdog that counts as a fence device.
    pub watchdog: bool,
    /// What is known of nodes, in the order in which it was found.
    pub nodes: Vec<NodeState>,
    /// Tickets, by name.
    pub tickets: BTreeMap<String, TicketState>,
}

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeState {
    /// Its id; of a remote node, its name.
    pub id: String,
    /// Its name, if it was told.
    pub name: Option<String>,
    /// Whether it is a remote node.
    pub remote: bool,
    /// Whether it is a member; since when, in seconds since 1970, where that is told (`1` and `0` where
    /// only yes and no are). None if nothing is known.
    pub member: Option<i64>,
    /// Whether its cluster process is there; since when. None if nothing is known.
    pub process: Option<i64>,
    /// How far it has joined. None if nothing is known.
    pub join: Option<JoinState>,
    /// What it is expected to do: to be up (`member`) or to be down. None if nothing is known.
    pub expected_up: Option<bool>,
    /// A remote node was fenced and has not been seen since.
    pub fenced: bool,
    /// A remote node is in maintenance as far as it knows.
    pub in_maintenance: bool,
    /// What it says of itself for now.
    pub attributes: Vec<AttributeSet>,
    /// What it has to give until it leaves the cluster, beside what was written.
    pub utilization: Vec<AttributeSet>,
    /// What was done there, in the order in which it was found.
    pub history: Vec<ResourceHistory>,
}

/// How far a node has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinState {
    /// It takes part.
    Member,
    /// It was told what to do, or is about to be.
    Pending,
    /// It does not take part.
    Down,
    /// It was refused.
    Banned,
}

/// What was done with a resource on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceHistory {
    /// The resource; instances of clones may have a number behind a colon.
    pub resource: String,
    /// The agent it had.
    pub agent: super::AgentName,
    /// The resource that contained it, if it was in a container.
    pub container: Option<String>,
    /// Since when it has belonged to this node, which was shut down in order: seconds since 1970. None if it
    /// does not.
    pub locked_at: Option<i64>,
    /// What was done, in the order in which it was found.
    pub operations: Vec<Operation>,
}

/// An operation that was done, or is being done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// What it is called where it was found.
    pub id: String,
    /// The operation's name: `start`, `monitor`.
    pub name: String,
    /// How often it recurs: milliseconds; 0 if it does not.
    pub every_ms: u64,
    /// How it stands.
    pub status: OperationStatus,
    /// What the agent answered.
    pub answer: i32,
    /// What was expected of it, where that is known.
    pub expected: Option<i32>,
    /// The order in which a node's executor was asked; -1 if it was not.
    pub call: i32,
    /// The transition it belongs to, as far as that is known: number, action within it, and the scheduler's
    /// identity.
    pub transition: Option<(i32, i32, String)>,
    /// When its result last changed, in seconds since 1970.
    pub changed_at: Option<i64>,
    /// When it was last run, in seconds since 1970.
    pub ran_at: Option<i64>,
    /// Where a migration came from.
    pub migrate_source: Option<String>,
    /// Where a migration went to.
    pub migrate_target: Option<String>,
    /// On which node it was done, if not on that whose history it is in.
    pub on_node: Option<String>,
    /// What it said when it failed.
    pub exit_reason: Option<String>,
    /// Of what it was told.
    pub digests: Digests,
}

/// Digests of what an operation was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// Of everything.
    pub all: Option<String>,
    /// Of what takes a restart when it changes.
    pub restart: Option<String>,
    /// Names of what takes a restart; everything does if not said.
    pub restart_names: Option<Vec<String>>,
    /// Of what is no secret.
    pub public: Option<String>,
    /// Names of what is secret.
    pub secret_names: Vec<String>,
    /// The version of the executor, which decides how the digest was made.
    pub feature_set: Option<String>,
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperationStatus {
    /// It was asked for and has no result.
    Pending,
    /// It was carried out, and its answer counts.
    #[default]
    Done,
    /// It was called off.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// The agent cannot do it.
    NotSupported,
    /// It could not be carried out.
    Error,
    /// It could not be carried out because of what the node has: every node, too.
    ErrorHard,
    /// It could not be carried out because of what was told: every node, too.
    ErrorFatal,
    /// The agent, or the executor, is not there.
    NotInstalled,
    /// The executor was not connected.
    NotConnected,
    /// What it was to do turned out wrong.
    Invalid,
}

impl OperationStatus {
    /// Whether this alone says that it failed, whatever the agent answered.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            OperationStatus::Pending | OperationStatus::Cancelled | OperationStatus::Done => false,
            OperationStatus::TimedOut
            | OperationStatus::NotSupported
            | OperationStatus::Error
            | OperationStatus::ErrorHard
            | OperationStatus::ErrorFatal
            | OperationStatus::NotInstalled
            | OperationStatus::NotConnected
            | OperationStatus::Invalid => true,
        }
    }
}

/// How a ticket stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketState {
    /// This site has it.
    pub granted: bool,
    /// What depends on it is to be stopped in order.
    pub standby: bool,
    /// When it was granted last, in seconds since 1970.
    pub last_granted: Option<i64>,
    /// What else is known of it.
    pub attributes: BTreeMap<String, String>,
}
