//! The nouns of a cluster.
//!
//! Plain data, each thing once: identifiers, time, what should be ([`Spec`]), what is
//! ([`Status`]), what will be done ([`Plan`]) and why ([`Reason`]). Every other crate speaks in
//! these words; `docs/glossary.md` fixes what they mean.
//!
//! This crate decides nothing. It is `no_std`: there is no clock, socket or disk to reach for.
#![no_std]
extern crate alloc;

mod agent;
mod builtin;
mod disk;
mod fence;
mod health;
mod hours;
mod id;
mod limits;
mod order;
mod ping;
mod plan;
mod plant;
pub mod policy;
mod proof;
mod reason;
mod spec;
mod status;
mod tie_break;
mod time;
mod watchdog;
mod wishes;

pub use agent::{AgentInfo, AgentRef, Outcome, ParameterInfo, ParameterKind};
pub use builtin::{READY, builtin_agent, builtin_agents};
pub use disk::DISK_USE_MAX;
pub use fence::{
    ATTEMPTS_OF_HALF, ATTEMPTS_TO_BE_LET_IN, AfterFence, FENCE_DEVICES_MAX, FENCE_PLUGIN_FOLDER,
    FENCE_PROGRAM_FOLDERS, FenceAct, FenceAgent, FenceDevice, FenceOrder, FenceOutcome, FenceParameter,
    FenceProof, FenceReport, FenceRight, Finding, NoFenceAgent, OffOrder, Power, WhyOff, longest_fence,
    series, voters_left,
};
pub use health::{Ailment, HealthChange, HealthFact, WhenSick};
pub use hours::Hours;
pub use id::{
    BootId, Epoch, GroupName, LogIndex, Name, NameError, NodeId, NodeName, ResourceName, Session,
    SessionNumber, Term,
};
pub use limits::*;
pub use order::{Act, Activity, FromExecutor, Inventory, Order, OrderId, Report, ToExecutor};
pub use ping::{Fewer, PingChange, PingFacts, PingOrder, PingSpec, Reach};
pub use plan::{Plan, Step, StepAction};
pub use proof::NoProof;
pub use reason::{Ended, Reason, Refusal};
pub use spec::{
    ClusterSpec, FAILOVERS, FAILOVERS_OF_CLUSTER, GroupSpec, Guard, Link, LinkAddress, LinkKind,
    LogicalTimeouts, NodeSpec, Profile, ResourceSpec, Spec, Timing, Value, WhenStuck,
};
pub use status::{
    EndedMove, Gathering, Intent, NodeState, NodeStatus, ResourceState, ResourceStatus, Status,
};
pub use tie_break::{Standing, TieBreakOrder, TieBreakOutcome, TieBreakPlace, TieBreakReport, TieBreakSpec};
pub use time::{Duration, Instant, Moment};
pub use watchdog::FEEDS_PER_DEADLINE;
pub use wishes::{Copies, Instead, Other, Wishes};
