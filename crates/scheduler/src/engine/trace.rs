//! How a part of a cluster is decided as if the rest of it were there, and what is noted for that.
//!
//! Parts that nothing joins still share the nodes: how they stand, and how much was put on them before. What
//! a part needs of that is *given*; what others need of it is its *trace*.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use heart_model::policy::NodeKind as WrittenKind;

use super::arena::{Arena, Kind, NodeIx, NodeKind, NodeTable, Placement, ResIx};

/// What is given from outside, where only a part of a cluster is decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// Another part has a fence device.
    pub(crate) fencing_possible: bool,
    /// Another part has something that is managed.
    pub(crate) any_managed: bool,
    /// For each turn, how many primitives of other parts each node has been given before it.
    pub(crate) loads: Vec<Vec<i64>>,
    /// What stays where it is, and where that is.
    pub(crate) pinned: Vec<Place>,
}

/// Where an instance of a clone, or a member of one, was placed: its id, and the node.
pub(crate) type Place = (String, Option<NodeIx>);

/// What others hear of a resource before it is placed: its id, what it thinks of nodes, where it is active,
/// and whether it is managed.
pub(crate) type Said = (String, NodeTable, Vec<NodeIx>, bool);

/// Nothing is given: the cluster is decided as a whole.
pub(crate) static NOTHING: Given =
    Given { fencing_possible: false, any_managed: false, loads: Vec::new(), pinned: Vec::new() };

/// One resource that is part of no other was placed, with all that had to be placed before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The resource's id.
    pub(crate) top: String,
    /// How many primitives each node was given, where that is not nothing; in the order of the nodes.
    pub(crate) load: Vec<(NodeIx, i64)>,
    /// Something depended on how much each node had been given before.
    pub(crate) heeds_load: bool,
}

/// What is noted of a decision, beside the decision itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// In the order in which things were placed.
    pub(crate) turns: Vec<Turn>,
    /// Resources that are part of no other, by id, and nodes on which something of them counts as active.
    pub(crate) active_before: Vec<(String, String)>,
    /// The same when everything is done.
    pub(crate) active_after: Vec<(String, String)>,
    /// A resource has changed how a node stands.
    pub(crate) nodes_changed: bool,
    /// What is not joined by a constraint is not joined in another way, either.
    pub(crate) separable: bool,
    pub(crate) any_fence_device: bool,
    /// How many resources that are part of no other have something that is managed.
    pub(crate) managed: Vec<String>,
    /// Clones by id, of which something has to be done, or would have if it could.
    pub(crate) restless: BTreeSet<String>,
    /// Where the instances of each clone were placed, by its id.
    pub(crate) places: BTreeMap<String, Vec<Place>>,
}

/// How a node stands, as far as resources may change it.
pub(crate) type Standing = [bool; 9];

/// How all nodes stand.
pub(crate) fn standings(arena: &Arena<'_>) -> Vec<Standing> {
    let of = |node: &super::arena::Node| {
        [
            node.online,
            node.pending,
            node.unclean,
            node.standby,
            node.standby_by_failure,
            node.maintenance,
            node.shutting_down,
            node.unseen,
            node.reset_remote,
        ]
    };
    arena.nodes.iter().map(of).collect()
}

/// Whether what is not joined by a constraint is not joined in another way, either: by a container, by what
/// nodes have to give, by nodes that are resources.
pub(crate) fn is_separable(arena: &Arena<'_>) -> bool {
    let plain_nodes = arena.nodes.iter().all(|node| node.kind == NodeKind::Member && !node.shutting_down)
        && arena.spec.nodes.iter().all(|node| node.kind == WrittenKind::Member);
    let plain_resources = arena.resources.iter().all(|resource| {
        resource.kind != Kind::Bundle
            && resource.connection_to.is_none()
            && resource.container.is_none()
            && resource.contains.is_empty()
    });
    let options = &arena.options;
    plain_nodes
        && plain_resources
        && options.placement == Placement::Default
        && !options.shutdown_lock
        && !arena.unfencing
        && arena.state.quorum
}

/// Which resources that are part of no other count as active where.
pub(crate) fn active(arena: &Arena<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for node in &arena.nodes {
        let begin = all.len();
        for resource in &node.running {
            let found = &arena[*resource];
            if found.managed || found.role.is_running() {
                let top = arena[arena.outermost(*resource)].id.clone();
                all.push((top, node.name.clone()));
            }
        }
        all[begin..].sort_unstable();
    }
    all.dedup();
    all
}

/// Resources that are part of no other and have something that is managed.
pub(crate) fn managed(arena: &Arena<'_>) -> Vec<String> {
    let managed = arena.resource_numbers().filter(|resource| arena[*resource].managed);
    let mut tops: Vec<_> = managed.map(|resource| arena.outermost(resource)).collect();
    tops.sort_unstable();
    tops.dedup();
    tops.into_iter().map(|top| arena[top].id.clone()).collect()
}

/// Where the instances of each clone that is part of nothing were placed, members too.
pub(crate) fn places(arena: &Arena<'_>) -> BTreeMap<String, Vec<Place>> {
    fn collect(arena: &Arena<'_>, resource: ResIx, places: &mut Vec<Place>) {
        for child in &arena[resource].children {
            places.push((arena[*child].id.clone(), arena[*child].assigned));
            collect(arena, *child, places);
        }
    }
    let clones = arena.top.iter().filter(|top| arena[**top].kind == Kind::Clone);
    let of = |clone: &ResIx| {
        let mut places = Vec::new();
        collect(arena, *clone, &mut places);
        (arena[*clone].id.clone(), places)
    };
    clones.map(of).collect()
}

/// What others hear of all resources.
pub(crate) fn said(arena: &Arena<'_>) -> Vec<Said> {
    let of = |found: &super::arena::Res<'_>| {
        (found.id.clone(), found.allowed.clone(), found.active_on.clone(), found.managed)
    };
    arena.resources.iter().map(of).collect()
}
