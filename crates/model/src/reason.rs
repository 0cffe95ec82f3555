//! Why. The same value feeds `heart why`, the log, the status page and the tests.

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::{Ailment, Fewer, GroupName, Guard, Name, NodeName, ResourceName};

/// One link in a chain of causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Reason {
    /// It stays, because nothing healthy moves without need.
    Stays {
        /// Where it is.
        node: NodeName,
    },
    /// It does not run, and starts again where it did: nothing speaks against it.
    Again {
        /// Where it was.
        node: NodeName,
    },
    /// The configuration prefers this node, and it can be had.
    Preferred {
        /// The node.
        node: NodeName,
    },
    /// The cluster has just begun, and the node that the configuration prefers is not there yet.
    WaitsForPreferred {
        /// The node.
        node: NodeName,
        /// For how many milliseconds more it is waited for.
        left_ms: u64,
    },
    /// No preference decides: it goes where least runs, then by name.
    Spread {
        /// The node.
        node: NodeName,
        /// How many resources run there already.
        load: u32,
    },
    /// It runs only where this runs.
    With {
        /// The resource or group.
        other: Name,
    },
    /// It runs only where this runs, and that runs nowhere.
    WithoutOther {
        /// The resource or group.
        other: Name,
    },
    /// A copy of it shall run there.
    Copy {
        /// The node.
        node: NodeName,
    },
    /// One of its copies is promoted: this one.
    Promoted {
        /// The node.
        node: NodeName,
    },
    /// As many copies as are wanted run on other nodes.
    EnoughCopies {
        /// How many are wanted.
        copies: u32,
    },
    /// It runs only during certain times, and now is none of them.
    NotNow {
        /// Their names.
        during: Vec<Name>,
    },
    /// It runs only with a ticket that this cluster has not.
    NoTicket {
        /// The ticket.
        ticket: Name,
    },
    /// It goes where its group goes.
    WithGroup {
        /// The group.
        group: GroupName,
    },
    /// A person asked for it.
    Asked {
        /// Where it shall go; anywhere else if not said.
        to: Option<NodeName>,
    },
    /// A person asked for it to move, and that ended before it was done.
    MoveEnded {
        /// Where it was to go; anywhere else if not said.
        to: Option<NodeName>,
        /// Why it ended.
        because: Ended,
    },
    /// The node is sick, and none that is well can take it.
    OnSick {
        /// The node.
        node: NodeName,
        /// With what.
        with: Vec<Ailment>,
    },
    /// The node reaches fewer ping targets than others, and none of these can take it.
    OnFewer {
        /// The node.
        node: NodeName,
        /// How many, and how many another reaches.
        fewer: Fewer,
    },
    /// The node it ran on is lost.
    NodeLost {
        /// The node.
        node: NodeName,
    },
    /// It failed where it ran.
    FailedThere {
        /// The node.
        node: NodeName,
        /// How often by now.
        failures: u32,
        /// How often it may before it moves.
        limit: u32,
        /// What was said of the last failure.
        message: String,
    },
    /// It waits for another member of its group to start.
    WaitsFor {
        /// The member before it.
        resource: ResourceName,
    },
    /// The node that held it is lost but may still run it, and its guard asks for proof.
    WaitsForGuard {
        /// The node that held it.
        node: NodeName,
        /// The guard.
        guard: Guard,
    },
    /// A stop did not succeed, so it may still run there; nothing else is started before it ends.
    StopStuck {
        /// Where.
        node: NodeName,
        /// What was said.
        message: String,
    },
    /// Too few voters take part to decide anything.
    NoQuorum,
    /// Nobody leads at the moment.
    NoLeader,
    /// What the node that answers knew last, from the log.
    LastKnown {
        /// Who had the right to run it.
        node: NodeName,
    },
    /// The configuration does not name it any more.
    Removed,
    /// No node can run it; each with its reason.
    Nowhere {
        /// Every node, and why not there.
        refusals: Vec<(NodeName, Refusal)>,
    },
    /// A node was passed over.
    NotOn {
        /// The node.
        node: NodeName,
        /// Why.
        refusal: Refusal,
    },
}

impl Reason {
    /// Whether the resource does not run because the configuration says that it shall not, as things are.
    #[must_use]
    pub fn is_as_configured(&self) -> bool {
        matches!(
            self,
            Reason::NotNow { .. }
                | Reason::NoTicket { .. }
                | Reason::EnoughCopies { .. }
                | Reason::NotOn { refusal: Refusal::Never, .. }
        )
    }

    /// Whether the resource does not run, or waits, because of this.
    #[must_use]
    pub fn is_obstacle(&self) -> bool {
        match self {
            Reason::WaitsFor { .. }
            | Reason::WaitsForPreferred { .. }
            | Reason::WaitsForGuard { .. }
            | Reason::StopStuck { .. }
            | Reason::NoQuorum
            | Reason::NoLeader
            | Reason::Removed
            | Reason::WithoutOther { .. }
            | Reason::NotNow { .. }
            | Reason::NoTicket { .. }
            | Reason::Nowhere { .. } => true,
            Reason::Stays { .. }
            | Reason::Again { .. }
            | Reason::Preferred { .. }
            | Reason::Spread { .. }
            | Reason::With { .. }
            | Reason::Copy { .. }
            | Reason::Promoted { .. }
            | Reason::EnoughCopies { .. }
            | Reason::WithGroup { .. }
            | Reason::Asked { .. }
            | Reason::MoveEnded { .. }
            | Reason::OnSick { .. }
            | Reason::OnFewer { .. }
            | Reason::NodeLost { .. }
            | Reason::LastKnown { .. }
            | Reason::FailedThere { .. }
            | Reason::NotOn { .. } => false,
        }
    }
}

/// Why something may not run on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refusal")]
pub enum Refusal {
    /// The node was not heard since the leader began, or left.
    Absent,
    /// Its session is not admitted yet.
    Joining,
    /// It is lost.
    Lost,
    /// It is known to be off.
    Fenced,
    /// It is about to leave.
    Leaving,
    /// A person put it in standby.
    Standby,
    /// It is sick, or was until a moment ago, and another node can take it.
    Sick {
        /// With what.
        with: Vec<Ailment>,
    },
    /// It reaches fewer ping targets than another node that can take it.
    Fewer {
        /// How many, and how many the other one reaches.
        fewer: Fewer,
    },
    /// It was lost several times a short while ago, and is avoided.
    Quarantined,
    /// What is placed was taken over too often: it is held where it was.
    Held,
    /// It failed there as often as it may.
    Failed {
        /// How often.
        failures: u32,
        /// How often it may.
        limit: u32,
        /// Which resource: another member of the group can be the cause.
        resource: ResourceName,
    },
    /// A person asked for it to go from there.
    MovedAway,
    /// The configuration says so.
    Never,
    /// What it keeps away from runs there, or what runs there keeps away from it.
    Apart {
        /// The resource or group.
        other: Name,
    },
    /// What it runs only with does not run there.
    NotWith {
        /// The resource or group.
        other: Name,
    },
    /// Too little is left of what it needs.
    NoRoom {
        /// Of what.
        of: Name,
        /// How much it needs.
        needs: u64,
        /// How much is left.
        left: u64,
    },
    /// No copy of it that could be promoted runs there.
    NoCopy,
    /// It would be in the way of others, or others come first.
    Outweighed,
}

/// Why a move that somebody asked for ended before it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ended")]
pub enum Ended {
    /// Somebody called it off.
    Cancelled,
    /// The node it was to go to cannot take it.
    NotOn {
        /// That node.
        node: NodeName,
        /// Why.
        refusal: Refusal,
    },
    /// No other node can take it.
    Nowhere,
    /// Another node than that has it now.
    Elsewhere {
        /// Which.
        node: NodeName,
    },
    /// The configuration does not name it any more.
    Removed,
}

impl fmt::Display for Ended {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Cancelled => to.write_str("was called off"),
            Ended::NotOn { node, refusal: Refusal::Failed { failures, limit, resource } } => {
                write!(to, "was given up: {resource} failed on {node} {}", out_of(*failures, *limit))
            }
            Ended::NotOn { node, refusal } => match refusal.of_node() {
                Some(what) => write!(to, "was given up: {node} {what}"),
                None => write!(to, "was given up: not on {node}: {refusal}"),
            },
            Ended::Nowhere => to.write_str("was given up: no other node can take it"),
            Ended::Elsewhere { node } => write!(to, "was given up: it is on {node} now"),
            Ended::Removed => to.write_str("was given up: the configuration does not name it any more"),
        }
    }
}

/// `3 of 3 times`, or `once, and may not again`.
fn out_of(failures: u32, limit: u32) -> String {
    match (failures, limit) {
        (1, 1) => "once, and may not again".into(),
        _ => alloc::format!("{failures} of {limit} times"),
    }
}

impl Refusal {
    /// What is said of the node itself, whatever is refused there.
    fn of_node(&self) -> Option<&'static str> {
        match self {
            Refusal::Absent => Some("is not there"),
            Refusal::Joining => Some("is still joining"),
            Refusal::Lost => Some("is lost"),
            Refusal::Fenced => Some("is off"),
            Refusal::Leaving => Some("is leaving"),
            Refusal::Standby => Some("is in standby"),
            Refusal::Sick { .. }
            | Refusal::Fewer { .. }
            | Refusal::Quarantined
            | Refusal::Held
            | Refusal::Failed { .. }
            | Refusal::MovedAway
            | Refusal::Never
            | Refusal::Apart { .. }
            | Refusal::NotWith { .. }
            | Refusal::NoRoom { .. }
            | Refusal::NoCopy
            | Refusal::Outweighed => None,
        }
    }
}

/// `: its disk is full, and it cannot start processes`.
fn list(to: &mut fmt::Formatter<'_>, ailments: &[Ailment]) -> fmt::Result {
    for (place, ailment) in ailments.iter().enumerate() {
        write!(to, "{}{ailment}", if place == 0 { ": " } else { ", and " })?;
    }
    Ok(())
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Absent
            | Refusal::Joining
            | Refusal::Lost
            | Refusal::Fenced
            | Refusal::Leaving
            | Refusal::Standby => write!(to, "it {}", self.of_node().unwrap_or_default()),
            Refusal::Sick { with } => {
                to.write_str("it is sick, or was until a moment ago")?;
                list(to, with)
            }
            Refusal::Fewer { fewer } => write!(to, "it {fewer}"),
            Refusal::Quarantined => to.write_str("it was lost several times a short while ago"),
            Refusal::Held => to.write_str("nowhere else by itself: it was taken over too often"),
            Refusal::Failed { failures, limit, resource } => {
                write!(to, "{resource} failed there {}", out_of(*failures, *limit))
            }
            Refusal::MovedAway => to.write_str("somebody asked for it to go from there"),
            Refusal::Never => to.write_str("the configuration says never"),
            Refusal::Apart { other } => write!(to, "{other} runs there, and they keep apart"),
            Refusal::NotWith { other } => write!(to, "{other} does not run there"),
            Refusal::NoRoom { of, needs, left } => write!(to, "it needs {needs} of {of}, and {left} is left"),
            Refusal::NoCopy => to.write_str("no copy of it runs there"),
            Refusal::Outweighed => to.write_str("another node suits it, and what it goes with, better"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Stays { node } => {
                write!(to, "runs on {node} and stays: nothing healthy moves without need")
            }
            Reason::Again { node } => write!(to, "starts again on {node}: nothing speaks against it"),
            Reason::Preferred { node } => write!(to, "the configuration prefers {node}"),
            Reason::WaitsForPreferred { node, left_ms } => {
                write!(to, "waits for {node}, which it prefers and which is not there yet: {left_ms} ms more")
            }
            Reason::Spread { node, load } => write!(to, "{node} has least to do (it runs {load})"),
            Reason::With { other } => write!(to, "goes where {other} goes"),
            Reason::WithoutOther { other } => write!(to, "runs only with {other}, which runs nowhere"),
            Reason::Promoted { node } => write!(to, "of its copies, that on {node} is promoted"),
            Reason::Copy { node } => write!(to, "a copy of it shall run on {node}"),
            Reason::EnoughCopies { copies: 1 } => to.write_str("one copy is wanted, and it runs elsewhere"),
            Reason::EnoughCopies { copies } => {
                write!(to, "{copies} copies are wanted, and they run elsewhere")
            }
            Reason::NotNow { during } => {
                let names: Vec<String> = during.iter().map(Name::to_string).collect();
                write!(to, "runs only during {}, and that is not now", names.join(" or "))
            }
            Reason::NoTicket { ticket } => {
                write!(to, "runs only with the ticket {ticket}, and this cluster does not have it")
            }
            Reason::WithGroup { group } => write!(to, "belongs to group {group}, which is placed as a whole"),
            Reason::Asked { to: Some(node) } => write!(to, "somebody asked for it to move to {node}"),
            Reason::Asked { to: None } => to.write_str("somebody asked for it to move away"),
            Reason::MoveEnded { to: Some(node), because } => write!(to, "its move to {node} {because}"),
            Reason::MoveEnded { to: None, because } => write!(to, "its move away {because}"),
            Reason::OnSick { node, with } => {
                write!(to, "{node} is sick, or was until a moment ago")?;
                list(to, with)?;
                to.write_str("; no node that is well can take it")
            }
            Reason::OnFewer { node, fewer } => {
                write!(to, "{node} {fewer}; no node that reaches more can take it")
            }
            Reason::NodeLost { node } => write!(to, "{node}, which ran it, is lost"),
            Reason::FailedThere { node, failures, limit, message } => {
                write!(to, "failed on {node} ({failures} of {limit}): {message}")
            }
            Reason::WaitsFor { resource } => write!(to, "waits for {resource}, which starts before it"),
            Reason::WaitsForGuard { node, guard: Guard::Fence } => {
                write!(to, "waits until {node} is proven off: it may still run there")
            }
            Reason::WaitsForGuard { node, guard: Guard::Lease | Guard::None } => {
                write!(to, "waits until the lease of {node} has surely run out")
            }
            Reason::StopStuck { node, message } => write!(to, "could not be stopped on {node}: {message}"),
            Reason::Removed => to.write_str("the configuration does not name it any more"),
            Reason::NoQuorum => to.write_str("too few voters are heard to decide anything"),
            Reason::NoLeader => to.write_str("nobody leads at the moment, so nothing is decided"),
            Reason::LastKnown { node } => {
                write!(to, "{node} had it when the log was last heard; it may be elsewhere by now")
            }
            Reason::Nowhere { refusals } => {
                to.write_str("can run nowhere")?;
                for (place, (node, refusal)) in refusals.iter().enumerate() {
                    write!(to, "{} not on {node}: {refusal}", if place == 0 { ":" } else { ";" })?;
                }
                Ok(())
            }
            Reason::NotOn { node, refusal } => write!(to, "not on {node}: {refusal}"),
        }
    }
}
