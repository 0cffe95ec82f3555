//! Where things may run, together with what, and in which order.

use alloc::{string::String, vec::Vec};

use super::{Role, Score, Verb, rule::ScoredRule};

/// One wish about where, with what or when.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Where.
    Location(Location),
    /// Together with what.
    Colocation(Colocation),
    /// Together with what, for many.
    ColocationSets(ColocationSets),
    /// In which order.
    Order(Order),
    /// In which order, for many.
    OrderSets(OrderSets),
    /// Only with a ticket.
    Ticket(TicketUse),
}

/// Where a resource may run, and how gladly.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// What it is called where it was written.
    pub id: String,
    /// Of which resource.
    pub resource: String,
    /// Where.
    pub at: Where,
    /// In which role; in any if not said.
    pub role: Option<Role>,
    /// Where it is looked for.
    pub discovery: Discovery,
}

/// Which nodes a location is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    /// One node.
    Node {
        /// Its name.
        node: String,
        /// How gladly.
        score: Score,
    },
    /// Those for which a rule holds; each rule is a location of its own.
    Rules(Vec<ScoredRule>),
}

/// On which nodes it is looked whether a resource runs already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discovery {
    /// On all.
    #[default]
    Always,
    /// Not there.
    Never,
    /// There, and nowhere else.
    Exclusive,
}

/// One resource goes where another is.
#[derive(Clone, Debug, PartialEq)]
pub struct Colocation {
    /// What it is called where it was written.
    pub id: String,
    /// How gladly; below zero, how gladly not.
    pub score: Score,
    /// What follows.
    pub dependent: String,
    /// In which role; in any if not said.
    pub dependent_role: Option<Role>,
    /// What it follows.
    pub primary: String,
    /// In which role; in any if not said.
    pub primary_role: Option<Role>,
    /// The attribute that has to be the same of both nodes; the node itself if not said.
    pub node_attribute: Option<String>,
    /// Whether what follows may have a say where the other goes; as its options say if not said.
    pub influence: Option<bool>,
}

/// Many resources go where others are.
#[derive(Clone, Debug, PartialEq)]
pub struct ColocationSets {
    /// What it is called where it was written.
    pub id: String,
    /// How gladly, for sets that do not say themselves.
    pub score: Score,
    /// The sets: each follows the next one.
    pub sets: Vec<ResourceSet>,
    /// The attribute that has to be the same of both nodes; the node itself if not said.
    pub node_attribute: Option<String>,
    /// Whether what follows may have a say where the other goes.
    pub influence: Option<bool>,
}

/// Resources that a constraint speaks of together.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceSet {
    /// What it is called where it was written.
    pub id: String,
    /// Its members, in their order.
    pub members: Vec<String>,
    /// Whether members depend on one another in their order; as the constraint has it if not said.
    pub sequential: Option<bool>,
    /// Whether all members are needed.
    pub require_all: Option<bool>,
    /// In which role.
    pub role: Option<Role>,
    /// Of which action an order speaks.
    pub action: Option<Verb>,
    /// How gladly, for a colocation.
    pub score: Option<Score>,
    /// How strict, for an order.
    pub kind: Option<OrderKind>,
}

/// One action comes before another.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What it is called where it was written.
    pub id: String,
    /// The resource that comes first.
    pub first: String,
    /// What is done with it.
    pub first_action: Verb,
    /// The instance of it, if it is a clone and only one is meant.
    pub first_instance: Option<u32>,
    /// The resource that comes then.
    pub then: String,
    /// What is done with it.
    pub then_action: Verb,
    /// The instance of it, if it is a clone and only one is meant.
    pub then_instance: Option<u32>,
    /// How strict it is.
    pub kind: OrderKind,
    /// Whether the inverse holds, too; as its kind has it if not said.
    pub symmetrical: Option<bool>,
    /// Whether all instances of what comes first are needed.
    pub require_all: Option<bool>,
}

/// Many actions come before others.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderSets {
    /// What it is called where it was written.
    pub id: String,
    /// How strict it is, for sets that do not say themselves.
    pub kind: OrderKind,
    /// Whether the inverse holds, too; as its kind has it if not said.
    pub symmetrical: Option<bool>,
    /// The sets, in order.
    pub sets: Vec<ResourceSet>,
}

/// How strict an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderKind {
    /// Only if both happen.
    Optional,
    /// What comes then needs what comes first.
    #[default]
    Mandatory,
    /// Never both at the same time.
    Serialize,
}

/// A resource may run only where a ticket is.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketUse {
    /// What it is called where it was written.
    pub id: String,
    /// Which ticket.
    pub ticket: String,
    /// Which resource.
    pub resource: String,
    /// Only in this role.
    pub role: Option<Role>,
    /// What happens when the ticket is lost; as the role has it if not said.
    pub loss: Option<LossPolicy>,
}

/// What happens to a resource when its ticket is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossPolicy {
    /// It is stopped.
    Stop,
    /// It is demoted.
    Demote,
    /// Its nodes are fenced.
    Fence,
    /// It is left as it is.
    Freeze,
}
