//! A cluster in the words of a policy engine: everything that can be asked of one, with scores.
//!
//! Heart's own file speaks of preferences and needs; it is lowered to these words before planning.
//! So are the files of other cluster managers. What is said here is said as written: nothing is
//! defaulted, no rule is evaluated, no constraint is applied. That is the scheduler's work, and it
//! depends on the time and on what nodes say of themselves.
//!
//! Positions in lists are meaningful: resources and constraints keep the order in which they were
//! written, because it decides where nothing else does.

pub mod calendar;
mod constraint;
mod resource;
mod rule;
mod score;
mod state;

pub use constraint::{
    Colocation, ColocationSets, Constraint, Discovery, Location, LossPolicy, Order, OrderKind, OrderSets,
    ResourceSet, TicketUse, Where,
};
pub use resource::{
    AgentName, Body, Bundle, FencingLevel, FencingTarget, NamedOperation, Node, NodeKind, Resource, Verb,
};
pub use rule::{
    AttributeSet, Combine, Compare, DateSpec, Rule, ScoredRule, Span, Test, ValueSource, ValueType,
};
pub use score::Score;
pub use state::{
    Digests, JoinState, NodeState, Operation, OperationStatus, ResourceHistory, State, TicketState,
};

use alloc::{collections::BTreeMap, string::String, vec::Vec};

/// A whole cluster, as its administrators want it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Options of the cluster as a whole; where several sets name one, the first that applies counts.
    pub options: Vec<AttributeSet>,
    /// The machines, in the order in which they were written.
    pub nodes: Vec<Node>,
    /// The resources that are part of no other, in the order in which they were written.
    pub resources: Vec<Resource>,
    /// What all resources are told unless they say otherwise.
    pub resource_defaults: Vec<AttributeSet>,
    /// What all operations are told unless they say otherwise.
    pub operation_defaults: Vec<AttributeSet>,
    /// Where things may run, together with what, and in which order.
    pub constraints: Vec<Constraint>,
    /// How nodes are switched off, where that takes more than one device.
    pub fencing_levels: Vec<FencingLevel>,
    /// Names for several things at once.
    pub tags: BTreeMap<String, Vec<String>>,
}

impl Cluster {
    /// The resource with this id, on whatever level.
    #[must_use]
    pub fn resource(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find_map(|resource| resource.find(id))
    }

    /// The same, to be changed.
    pub fn resource_mut(&mut self, id: &str) -> Option<&mut Resource> {
        self.resources.iter_mut().find_map(|resource| resource.find_mut(id))
    }
}

/// What a resource does, or shall do, on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Nothing.
    #[default]
    Stopped,
    /// It runs.
    Started,
    /// It runs, and could be promoted.
    Unpromoted,
    /// It runs, and is the one that serves.
    Promoted,
}

impl Role {
    /// Whether it runs at all.
    #[must_use]
    pub fn is_running(self) -> bool {
        self != Role::Stopped
    }
}
