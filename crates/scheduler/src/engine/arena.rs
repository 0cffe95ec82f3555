//! Everything that the passes of the engine share: nodes and resources under numbers, so that nothing
//! has to search by name.
//!
//! A pass reads what earlier passes wrote and adds its own; none takes back what was decided before.
//! Which pass owns which field stands beside the field.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use heart_model::policy::{self, AgentName, Discovery, Role, Score};

pub(crate) use super::node_table::{NodeSet, NodeTable};
pub(crate) use super::settings::{NoQuorum, Options, Placement};
use super::{
    absences::Absences,
    names::Names,
    trace::{Given, Standing, Turn},
};

/// A node, by its place in [`Arena::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIx(pub(crate) u32);

/// A resource, by its place in [`Arena::resources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResIx(pub(crate) u32);

/// A colocation of two resources, by its place in [`Arena::colocations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ColocationIx(pub(crate) u32);

/// What all passes share.
pub(crate) struct Arena<'s> {
    /// What was asked for.
    pub(crate) spec: &'s policy::Cluster,
    /// What is.
    pub(crate) state: &'s policy::State,
    /// The options of the cluster, read. (facts)
    pub(crate) options: Options,
    /// The nodes: members in the order of the file, then remote and guest nodes. (facts)
    pub(crate) nodes: Vec<Node>,
    /// All resources, instances and members too. (facts)
    pub(crate) resources: Vec<Res<'s>>,
    /// Those that are part of no other, in the order of the file; removed ones behind them. (facts)
    pub(crate) top: Vec<ResIx>,
    /// Resources by id, instances under theirs (`web:1`), clones and groups too. (facts)
    pub(crate) by_id: Names<ResIx>,
    /// Colocations of two resources, sets taken apart. (colocation)
    pub(crate) colocations: Vec<Pair>,
    /// Locations that speak of one role only: asked when promotions are chosen. (candidates)
    pub(crate) role_locations: Vec<RoleLocation>,
    /// Fail counts to be cleared, each with whether a start waits for it. (facts)
    pub(crate) clear_failures: Vec<(ResIx, NodeIx, ClearWhy)>,
    /// Histories to be deleted, because what they tell of is gone or has changed its agent. (facts)
    pub(crate) delete_history: Vec<(ResIx, NodeIx)>,
    /// Histories that hold what has become free again: the leader forgets them. (facts)
    pub(crate) unlocked: Vec<(ResIx, NodeIx)>,
    /// Recurring operations to be ended that nobody wants any more: resource, node, operation. (facts)
    pub(crate) forget_operations: Vec<(ResIx, NodeIx, String, u64)>,
    /// Monitors that have to be asked for again, because their failure has expired. (facts)
    pub(crate) again: BTreeSet<(ResIx, NodeIx, String, u64)>,
    /// What may not run somewhere, or nowhere at all, because of what happened. (facts; candidates)
    pub(crate) bans: Vec<(ResIx, Option<NodeIx>, Cause)>,
    /// What is not ours to touch stays where it is. (facts; candidates)
    pub(crate) stays: Vec<(ResIx, NodeIx)>,
    /// The leading node. (facts)
    pub(crate) leader: Option<NodeIx>,
    /// When it has to be looked again, because something depends on the time: seconds since 1970. (facts)
    pub(crate) look_again: Option<i64>,
    /// Whether any resource needs unfencing. (facts)
    pub(crate) unfencing: bool,
    /// What is given from outside, where this is a part of a cluster.
    pub(crate) given: &'s Given,
    /// Which histories say no more than that something is not there, as far as that was noted.
    pub(crate) absences: &'s Absences,
    /// How nodes stood before anything was read of resources. (facts)
    pub(crate) standings: Vec<Standing>,
    /// Whether a resource has changed how a node stands. (actions)
    pub(crate) nodes_changed: bool,
    /// Whether anybody asks what will be when everything is done. (whoever decides)
    pub(crate) foresees: bool,
    /// What is active where once everything is done, if that is not what is active now: resources that are part
    /// of no other, and nodes. (actions)
    pub(crate) active_after: Option<Vec<(String, String)>>,
    /// What was placed, in order. (assignment)
    pub(crate) turns: Vec<Turn>,
    /// Clones of which something has to be done, or would have if it could. (actions)
    pub(crate) restless: BTreeSet<String>,
}

/// Why a fail count is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClearWhy {
    /// Its time is over.
    Expired,
    /// The resource is not configured any more.
    Removed,
    /// What the operation was told has changed since.
    Changed,
    /// The connection to a remote node was fenced and is to be tried again.
    Reconnect,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Member,
    Ping,
    /// Reached through this connection.
    Remote {
        connection: Option<ResIx>,
    },
    /// Inside this container, reached through this connection.
    Guest {
        connection: ResIx,
        container: ResIx,
    },
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: NodeKind,
    /// Its own score: for everything that may run there.
    pub(crate) score: Score,
    pub(crate) online: bool,
    pub(crate) pending: bool,
    /// It may run anything: it has to be fenced before what needs fencing runs elsewhere.
    pub(crate) unclean: bool,
    pub(crate) standby: bool,
    /// It is in standby because something failed there.
    pub(crate) standby_by_failure: bool,
    pub(crate) maintenance: bool,
    pub(crate) shutting_down: bool,
    /// Nothing at all is known of it.
    pub(crate) unseen: bool,
    pub(crate) expected_up: bool,
    /// A remote node whose connection failed: it is fenced if its connection cannot be had elsewhere.
    pub(crate) reset_remote: bool,
    /// A remote node that was fenced.
    pub(crate) remote_was_fenced: bool,
    /// It was there when all was read, whatever comes of it: what runs there goes on. (facts)
    pub(crate) was_online: bool,
    /// It could be told something when all was read: what was told there is compared with today. (facts)
    pub(crate) heard: bool,
    /// It is not looked there for what runs.
    pub(crate) no_discovery: bool,
    /// Why it has to be fenced; the first reason.
    pub(crate) fence_why: Option<String>,
    /// All that it says of itself, permanent over transient; `#uname` and the like are added when rules ask.
    pub(crate) attributes: BTreeMap<String, String>,
    /// What it has left to give. (facts; assignment takes from it)
    pub(crate) capacity: BTreeMap<String, i64>,
    /// What is active there. (facts)
    pub(crate) running: Vec<ResIx>,
    /// How many primitives were given to it. (assignment)
    pub(crate) assigned: u32,
    /// What its health adds to every score there. (facts)
    pub(crate) health: Score,
}

/// What a resource is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Primitive,
    Group,
    Clone,
    Bundle,
}

/// What has to be there before something may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Requires {
    #[default]
    Nothing,
    Quorum,
    Fencing,
    Unfencing,
}

/// What is done when something is active on several nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MultipleActive {
    #[default]
    StopStart,
    StopOnly,
    Block,
    StopUnexpected,
}

/// The answer to a failure; stronger ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OnFail {
    Ignore,
    Demote,
    Restart,
    ResetRemote,
    RestartContainer,
    Ban,
    Block,
    Stop,
    Standby,
    Fence,
}

/// What a clone is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CloneFacts {
    pub(crate) max: u32,
    pub(crate) node_max: u32,
    pub(crate) min: u32,
    pub(crate) unique: bool,
    pub(crate) ordered: bool,
    pub(crate) interleave: bool,
    pub(crate) notify: bool,
    pub(crate) promotable: bool,
    pub(crate) promoted_max: u32,
    pub(crate) promoted_node_max: u32,
}

/// One container of a bundle with what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replica {
    pub(crate) address: Option<ResIx>,
    pub(crate) container: ResIx,
    pub(crate) connection: Option<ResIx>,
    /// The instance inside.
    pub(crate) inner: Option<ResIx>,
    /// The node inside.
    pub(crate) node: Option<NodeIx>,
}

/// What a bundle is made of.
#[derive(Clone, Debug)]
pub(crate) struct BundleFacts {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) per_host: u32,
    /// The clone inside.
    pub(crate) inner: Option<ResIx>,
}

/// How a resource may run on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) score: Score,
    pub(crate) discovery: Discovery,
    /// What decided the score last, where it forbids or commands.
    pub(crate) cause: Cause,
}

/// What changed a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nothing yet.
    #[default]
    None,
    /// The node's own score.
    Node,
    /// A constraint, by its place in the specification.
    Constraint(u32),
    /// A colocation that nobody wrote: of a group, a bundle, a container.
    Implied(ResIx),
    /// It is there and likes to stay.
    Stickiness,
    /// It failed there too often.
    Failures,
    /// It failed there in a way that another try does not mend.
    HardFailure,
    /// It is looked for elsewhere only.
    Discovery,
    /// The health of the node.
    Health,
    /// A ticket is not here: the constraint.
    Ticket(u32),
    /// It belongs to a node that was shut down in order.
    Locked,
    /// It shall not run.
    TargetRole,
    /// It is not configured any more.
    Removed,
    /// The node has too little to give.
    Capacity,
    /// All instances are placed.
    Full,
    /// What it cannot run on by its kind: a connection on a remote node, a guest in itself.
    Unsuitable,
    /// It has to be stopped everywhere.
    StopAll,
    /// What its agent says of promotion.
    Promotion,
}

/// A fail count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures {
    /// How often it failed there, as far as that counts still; [`Score::INFINITY`] means too often.
    pub(crate) count: Score,
    /// When it failed last: seconds since 1970.
    pub(crate) last: Option<i64>,
}

/// What was done with a resource on a node, in order.
#[derive(Clone, Debug)]
pub(crate) struct History<'s> {
    pub(crate) node: NodeIx,
    /// What the history itself says: agent, container.
    pub(crate) entry: &'s policy::ResourceHistory,
    /// Its operations in the order in which they count.
    pub(crate) operations: Operations<'s>,
    /// Some operations recur.
    pub(crate) recurs: bool,
    /// It says no more than that the resource was looked for and not found, by the agent that it has today.
    pub(crate) is_absence: bool,
}

/// The operations of a history in the order in which they count. That is the order in which they were told, nearly
/// always; then nothing is looked at before somebody asks.
#[derive(Clone, Debug)]
pub(crate) enum Operations<'s> {
    AsTold(&'s policy::ResourceHistory),
    Sorted(Vec<&'s policy::Operation>),
}

impl<'s> Operations<'s> {
    pub(crate) fn get(&self, place: usize) -> Option<&'s policy::Operation> {
        match self {
            Operations::AsTold(entry) => entry.operations.get(place),
            Operations::Sorted(sorted) => sorted.get(place).copied(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Operations::AsTold(entry) => entry.operations.len(),
            Operations::Sorted(sorted) => sorted.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &'s policy::Operation> + Clone {
        (0..self.len()).filter_map(|place| self.get(place))
    }
}

/// A resource, a group, a clone, an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Res<'s> {
    /// Its id, with the number of the instance (`web:1`).
    pub(crate) id: String,
    /// Its id without the number of an anonymous instance: as histories and fail counts have it.
    pub(crate) name: String,
    /// What was written of it; None for what a bundle implies and for what is not configured any more.
    pub(crate) source: Option<&'s policy::Resource>,
    /// What it is told because of what contains it, where nobody wrote it and that is known.
    pub(crate) implied: Option<BTreeMap<String, String>>,
    pub(crate) kind: Kind,
    pub(crate) agent: AgentName,
    pub(crate) parent: Option<ResIx>,
    pub(crate) children: Vec<ResIx>,
    /// Its options, inherited ones and defaults of the file too.
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) clone: Option<CloneFacts>,
    pub(crate) bundle: Option<BundleFacts>,
    /// What it needs of a node.
    pub(crate) needs: BTreeMap<String, i64>,

    pub(crate) priority: i32,
    pub(crate) stickiness: Score,
    pub(crate) migration_threshold: Score,
    pub(crate) failure_timeout_s: i64,
    pub(crate) multiple_active: MultipleActive,
    pub(crate) requires: Requires,
    pub(crate) managed: bool,
    pub(crate) maintenance: bool,
    pub(crate) critical: bool,
    pub(crate) allow_migrate: bool,
    pub(crate) allow_unhealthy: bool,
    /// Whether instances differ from one another, or it is no instance.
    pub(crate) unique: bool,
    pub(crate) notify: bool,
    /// It switches nodes off.
    pub(crate) fence_device: bool,
    /// It is the connection to this node.
    pub(crate) connection_to: Option<NodeIx>,
    /// It runs in, or is kept by, this container.
    pub(crate) container: Option<ResIx>,
    /// What runs in it, or is kept by it.
    pub(crate) contains: Vec<ResIx>,

    /// It is not configured any more.
    pub(crate) removed: bool,
    /// It failed and has to be stopped.
    pub(crate) failed: bool,
    /// Its failure is listed, but was not to be acted on.
    pub(crate) failure_ignored: bool,
    /// It is left as it is, for a person to mend.
    pub(crate) blocked: bool,
    /// It has to be demoted, not more.
    pub(crate) demote_wanted: bool,
    /// A start was asked for and has no answer: it is neither moved alive nor told anew.
    pub(crate) start_pending: bool,
    /// It has to be stopped before anything else happens to it.
    pub(crate) stop_wanted: bool,
    /// It may not be promoted.
    pub(crate) no_promotion: bool,
    /// The operation that was asked for and has no answer: its name.
    pub(crate) pending_task: Option<String>,
    /// Where that was asked for.
    pub(crate) pending_at: Option<NodeIx>,
    /// What it is. (facts)
    pub(crate) role: Role,
    /// What it shall be. (facts: at most this; assignment)
    pub(crate) next_role: Role,
    /// Where it is active. The first is where it is meant to be. (facts)
    pub(crate) active_on: Vec<NodeIx>,
    /// Where it was found in which role. (facts)
    pub(crate) active_roles: BTreeMap<NodeIx, Role>,
    /// Where its state is known. (facts)
    pub(crate) known_on: NodeSet,
    /// A migration that was begun: from where, to where. (facts)
    pub(crate) migration: Option<(NodeIx, NodeIx)>,
    /// A migration that was begun and cannot be completed: what it left running is stopped there. (facts)
    pub(crate) dangling: Vec<NodeIx>,
    /// Where it may have arrived from a node that can be asked no more: it is stopped there. (facts)
    pub(crate) perhaps_on: Vec<NodeIx>,
    /// It belongs to this node, which was shut down in order. (facts)
    pub(crate) lock: Option<NodeIx>,
    /// The name under which a history knows an instance, if that is not its own. (facts)
    pub(crate) known_as: Option<&'s str>,
    /// What was done with it. (facts)
    pub(crate) history: Vec<History<'s>>,
    /// How often it failed where. (facts)
    pub(crate) failures: BTreeMap<NodeIx, Failures>,

    /// Where it may run, and how gladly. (candidates; assignment)
    pub(crate) allowed: NodeTable,
    /// Colocations in which it follows. (colocation)
    pub(crate) follows: Vec<ColocationIx>,
    /// Colocations in which others follow it. (colocation)
    pub(crate) followed_by: Vec<ColocationIx>,
    /// Whether it was decided where it goes. (assignment)
    pub(crate) decided: bool,
    /// It is being decided: whoever comes back here has found a loop. (assignment)
    pub(crate) deciding: bool,
    /// Where it goes. (assignment)
    pub(crate) assigned: Option<NodeIx>,
    /// How gladly it would be promoted. (assignment)
    pub(crate) promotion: Score,
}

/// One resource goes where another is.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// The constraint it comes from, or what implied it.
    pub(crate) cause: Cause,
    /// What it is called; decides between equals.
    pub(crate) id: String,
    pub(crate) score: Score,
    pub(crate) dependent: ResIx,
    pub(crate) dependent_role: Option<Role>,
    pub(crate) primary: ResIx,
    pub(crate) primary_role: Option<Role>,
    /// The attribute that has to be the same; `#uname` if not said.
    pub(crate) attribute: Option<String>,
    /// Whether the dependent has a say where the primary goes, also while that is active.
    pub(crate) influence: bool,
}

/// A location that speaks of one role.
#[derive(Clone, Debug)]
pub(crate) struct RoleLocation {
    pub(crate) resource: ResIx,
    pub(crate) role: Role,
    pub(crate) scores: Vec<(NodeIx, Score)>,
}

impl Arena<'_> {
    pub(crate) fn node(&self, node: NodeIx) -> &Node {
        &self.nodes[node.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, node: NodeIx) -> &mut Node {
        &mut self.nodes[node.0 as usize]
    }

    /// All nodes, by their numbers.
    pub(crate) fn node_numbers(&self) -> impl Iterator<Item = NodeIx> + use<> {
        (0..self.nodes.len() as u32).map(NodeIx)
    }

    /// All resources, by their numbers.
    pub(crate) fn resource_numbers(&self) -> impl Iterator<Item = ResIx> + use<> {
        (0..self.resources.len() as u32).map(ResIx)
    }

    /// Whether something can be given to this node now.
    pub(crate) fn is_available(&self, node: NodeIx) -> bool {
        let node = self.node(node);
        node.online
            && !node.shutting_down
            && !node.unclean
            && !node.standby
            && !node.standby_by_failure
            && !node.maintenance
            && !node.pending
    }

    /// The outermost resource that this one is part of; itself if it is part of none.
    pub(crate) fn outermost(&self, resource: ResIx) -> ResIx {
        let mut at = resource;
        // Bounded by how deep resources are nested.
        while let Some(parent) = self[at].parent {
            at = parent;
        }
        at
    }

    /// The clone that this is an instance of, or a member of an instance of.
    pub(crate) fn clone_of(&self, resource: ResIx) -> Option<ResIx> {
        let mut at = Some(resource);
        // Bounded by how deep resources are nested.
        while let Some(resource) = at {
            if self[resource].kind == Kind::Clone {
                return Some(resource);
            }
            at = self[resource].parent;
        }
        None
    }
}

impl<'s> core::ops::Index<ResIx> for Arena<'s> {
    type Output = Res<'s>;

    fn index(&self, resource: ResIx) -> &Res<'s> {
        &self.resources[resource.0 as usize]
    }
}

impl core::ops::IndexMut<ResIx> for Arena<'_> {
    fn index_mut(&mut self, resource: ResIx) -> &mut Self::Output {
        &mut self.resources[resource.0 as usize]
    }
}
