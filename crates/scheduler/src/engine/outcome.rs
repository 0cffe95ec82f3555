//! What the engine has decided, as plain data.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use heart_model::policy::Role;

/// What was understood, what is to be done, and what will be then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What was understood.
    pub before: Picture,
    /// What people see: what happens to each resource and node that something happens to.
    pub decisions: Vec<Decision>,
    /// What is to be done. Positions in this list are what [`Outcome::order`] speaks of.
    pub actions: Vec<Action>,
    /// What fencing does by itself: stops and demotions.
    pub implied: Vec<Action>,
    /// Pairs of positions in [`Outcome::actions`]: the first must complete before the second begins. What
    /// only points in time come between is said directly, unless that would be many times many: positions
    /// behind the last action are such points. Nothing is done at a point; it is reached when all that comes
    /// before it is complete.
    pub order: Vec<(usize, usize)>,
    /// How many points there are in [`Outcome::order`].
    pub points: usize,
    /// What will be when all of it has succeeded.
    pub after: Picture,
    /// When it has to be looked again, because something depends on the time: seconds since 1970.
    pub look_again: Option<i64>,
}

/// Nodes and resources at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Each node, by name.
    pub nodes: BTreeMap<String, NodeView>,
    /// Each primitive, by id; instances of anonymous clones under the id that they share.
    pub resources: BTreeMap<String, ResourceView>,
}

/// How a node is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// It takes part.
    pub online: bool,
    /// It is on its way.
    pub pending: bool,
    /// It has to be fenced.
    pub unclean: bool,
    /// Nothing is to be given to it.
    pub standby: bool,
    /// It is in standby because something failed there.
    pub standby_by_failure: bool,
    /// It is left alone.
    pub maintenance: bool,
    /// It is leaving.
    pub shutting_down: bool,
    /// Something is active there.
    pub active: bool,
    /// It is a guest, in a container.
    pub guest: bool,
    /// It is a remote node.
    pub remote: bool,
    /// How healthy it is, where that counts.
    pub health: Health,
}

/// How healthy a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    #[default]
    Green,
    /// Not quite.
    Yellow,
    /// Not at all.
    Red,
}

/// How a primitive is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceView {
    /// Where it is active, in which role, and what was asked of it that has no answer: a node more than
    /// once if several instances are there. In the order of the nodes' names.
    pub on: Vec<(String, Role, Option<String>)>,
    /// Flags: F failed, B blocked, M unmanaged, X in maintenance, D disabled, O not configured, L locked,
    /// I failure ignored.
    pub flags: String,
}

/// What happens to a resource or to a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decision {
    /// `Start`, `Stop`, `Move`, `Recover`, `Restart`, `Promote`, `Demote`, `Re-promote`, `Migrate`,
    /// `Reload`, `Fence/reboot`, and more.
    pub verb: String,
    /// The resource, or the node.
    pub subject: String,
    /// Where, or from where to where, or from which role to which.
    pub detail: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Action {
    /// `start`, `stop`, `monitor`, `probe`, `fence`, `shutdown`, `notify` and more; `cancel` ends the recurring
    /// operation that is its kind.
    pub name: String,
    /// The resource; None if a node as a whole is meant.
    pub resource: Option<String>,
    /// Where it is done; for a fencing, to whom.
    pub node: String,
    /// How often it recurs: milliseconds; 0 if it does not.
    pub every_ms: u64,
    /// What else belongs to it: `reboot` of a fencing, `pre-start` of a notification.
    pub kind: Option<String>,
}
