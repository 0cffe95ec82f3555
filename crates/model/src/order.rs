//! What the core and the executor of one node say to each other.
//!
//! The leader's conductor makes orders; they travel through the log's own channel to the owner's
//! core, which checks grant and lease (SAFETY rule 10), and from there to the executor. Obeying an
//! order twice is harmless.

use alloc::{boxed::Box, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{
    Epoch, FenceOrder, FenceProof, FenceReport, Finding, Guard, LogIndex, Moment, NodeId, NodeName, Outcome,
    ResourceName, ResourceSpec, Session, Term, TieBreakOrder, TieBreakReport,
};

/// Names one order: who gave it, and which one of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderId {
    /// The term of the leader that gave it.
    pub term: Term,
    /// Counts the orders of that term.
    pub number: u64,
}

/// One thing to do with one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Which order it is.
    pub id: OrderId,
    /// The commit index the leader decided by: the owner waits until it has applied as much.
    pub commit: LogIndex,
    /// For whom, and in which session.
    pub node: NodeId,
    /// The session in which the grant was given.
    pub session: Session,
    /// With which resource.
    pub resource: ResourceName,
    /// Under which grant.
    pub epoch: Epoch,
    /// What.
    pub act: Act,
}

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Start it.
    Start,
    /// Stop it, and close its epoch for good.
    Stop,
}

/// What a resource does on one node, as its executor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "activity", content = "message")]
pub enum Activity {
    /// It does not run.
    Stopped,
    /// A start is under way.
    Starting,
    /// It runs.
    Running,
    /// A stop is under way.
    Stopping,
    /// It ran and does no longer, or does not work; why, for people. A stop cleans up.
    Failed(String),
    /// A stop did not succeed; it may still run. Why, for people.
    Stuck(String),
}

/// From the core to the executor of the same node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToExecutor {
    /// What the cluster's resources are: agents, parameters, timeouts. Sent first, and when changed.
    Configure {
        /// Every resource of the cluster.
        resources: Vec<(ResourceName, ResourceSpec)>,
    },
    /// Do this. A start carries the spec it was decided by.
    Obey(Order),
    /// Stop everything that is guarded by a lease, at once: the lease is over or the session was
    /// taken over. Answered by [`FromExecutor::LetGo`].
    LetGo {
        /// The session that is over.
        session: Session,
        /// Also what is guarded by a fence or by nothing: an administrator's stop, or below half.
        everything: bool,
    },
    /// The lease of this node runs until this moment of this boot's clocks.
    Lease {
        /// When it ends.
        until: Moment,
    },
    /// Tell the whole inventory.
    Inventory,
    /// Switch another node off. Answered by [`FromExecutor::Fenced`]; told twice, it is done once.
    Fence(FenceOrder),
    /// A node is heard again that was to be switched off in this attempt: no device is told any more that was not told
    /// yet. Not answered by itself: the attempt ends as one that failed.
    Spare {
        /// Which node.
        node: NodeName,
        /// Which attempt.
        attempt: u32,
    },
    /// Compare and set the value of the tie-break. Answered by [`FromExecutor::TieBroken`].
    TieBreak(Box<TieBreakOrder>),
    /// Try a device without doing anything. Answered by [`FromExecutor::Proved`]. One is tried at a time: another
    /// one takes its place, and told twice, it is done once.
    Prove(FenceProof),
}

/// From the executor to the core of the same node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromExecutor {
    /// An order was carried out, or not.
    Report(Report),
    /// A resource changed by itself: died, was removed by somebody, came back.
    Changed(Inventory),
    /// All that this executor has.
    Inventory(Vec<Inventory>),
    /// Everything of that session was let go.
    LetGo {
        /// The session that was let go.
        session: Session,
    },
    /// An attempt to switch another node off has ended.
    Fenced(FenceReport),
    /// What came of comparing and setting the value of the tie-break.
    TieBroken(TieBreakReport),
    /// A device was tried, or not.
    Proved {
        /// What was to be tried.
        proof: FenceProof,
        /// What was found; none if it gave way to an attempt to switch a node off, or to another device.
        finding: Option<Finding>,
    },
    /// The kernel refused to make a process for an agent; why. Who looks after the machine weighs it.
    NoProcess(String),
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which order.
    pub id: OrderId,
    /// What came of it.
    pub outcome: Outcome,
    /// How the resource is afterwards.
    pub resource: Inventory,
}

/// One resource on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Which.
    pub resource: ResourceName,
    /// The grant it runs under, or ran under last.
    pub epoch: Epoch,
    /// The session of that grant.
    pub session: Session,
    /// What it does.
    pub activity: Activity,
    /// The highest epoch that was closed here for good; nothing up to it starts again.
    pub closed: Epoch,
    /// It does not say in time how it is, because the machine is stalled; how, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<String>,
    /// It could not be stopped by any means, and is not tried again by itself.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub given_up: bool,
    /// What guards it, as it was started; none if nothing is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}
