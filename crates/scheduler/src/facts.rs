//! What is known, in the shape in which the other passes ask for it.
//!
//! Nodes and resources become numbers here, so that nothing behind has to search by name. The one
//! judgement made is what a grant is worth: whether its holder may still act under it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use heart_model::{
    Activity, Gathering, GroupName, Intent, NodeName, NodeState, ResourceName, ResourceSpec, ResourceState,
    ResourceStatus, Session, Spec, Status,
};

/// The number of a node: its place among all that are configured, by name.
pub(crate) type Node = usize;

/// Everything that planning starts from.
pub(crate) struct Facts<'f> {
    /// The nodes that are configured, by name.
    pub(crate) nodes: Vec<NodeFacts<'f>>,
    /// What is placed as a whole: groups and resources outside of groups, by name.
    pub(crate) units: Vec<Unit<'f>>,
    /// Resources that have a grant and are configured no more.
    pub(crate) removed: Vec<(&'f ResourceName, Holding<'f>)>,
    /// The cluster has just begun.
    pub(crate) gathering: Option<&'f Gathering>,
}

/// What is known of a node.
pub(crate) struct NodeFacts<'f> {
    pub(crate) name: &'f NodeName,
    pub(crate) state: NodeState,
    /// The session in which it can be granted things.
    pub(crate) session: Option<Session>,
    pub(crate) standby: bool,
}

/// What is placed as a whole.
pub(crate) struct Unit<'f> {
    /// The group, if it is one.
    pub(crate) group: Option<&'f GroupName>,
    /// Its resources, in the order of their start.
    pub(crate) members: Vec<Member<'f>>,
    /// The nodes it prefers, best first.
    pub(crate) prefers: Vec<Node>,
    /// What a person asked for, the latest if there are several.
    pub(crate) asked: Option<Asked<'f>>,
}

/// A request to move.
pub(crate) struct Asked<'f> {
    pub(crate) from: &'f NodeName,
    pub(crate) to: Option<&'f NodeName>,
}

/// A resource of a unit.
pub(crate) struct Member<'f> {
    pub(crate) name: &'f ResourceName,
    pub(crate) spec: &'f ResourceSpec,
    pub(crate) status: Option<&'f ResourceStatus>,
    pub(crate) holding: Holding<'f>,
}

/// What the grant of a resource is worth.
#[derive(Clone, Copy)]
pub(crate) enum Holding<'f> {
    /// There is none, or the session it was given in is over: it may be given anew.
    Free,
    /// Its holder is there and acts under it.
    Live {
        /// The holder; it may be configured no more.
        node: &'f NodeName,
        activity: &'f Activity,
    },
    /// Its holder is lost and may still act under it.
    Lost { node: &'f NodeName },
    /// Its holder was not heard yet, or is not admitted yet: nothing is known.
    Unheard { node: &'f NodeName },
}

impl<'f> Facts<'f> {
    /// Gathers what is known.
    pub(crate) fn of(spec: &'f Spec, status: &'f Status) -> Facts<'f> {
        let nodes: Vec<NodeFacts<'f>> = spec.nodes.keys().map(|name| node(name, status)).collect();
        let numbers: BTreeMap<&NodeName, Node> =
            nodes.iter().enumerate().map(|(number, node)| (node.name, number)).collect();
        let mut units = units(spec, status, &numbers);
        ask(&mut units, status);
        let removed = status
            .resources
            .iter()
            .filter(|(name, _)| !spec.resources.contains_key(*name))
            .map(|(name, resource)| (name, holding(&resource.state, status)))
            .collect();
        Facts { nodes, units, removed, gathering: status.gathering.as_ref() }
    }

    /// The number of a node, if it is configured.
    pub(crate) fn number(&self, name: &NodeName) -> Option<Node> {
        self.nodes.binary_search_by(|node| node.name.cmp(name)).ok()
    }
}

fn node<'f>(name: &'f NodeName, status: &'f Status) -> NodeFacts<'f> {
    let known = status.nodes.get(name);
    let standby = |intent: &Intent| matches!(intent, Intent::Standby { node } if node == name);
    NodeFacts {
        name,
        state: known.map_or(NodeState::Absent, |node| node.state),
        session: known.and_then(|node| node.session),
        standby: status.intents.iter().any(standby),
    }
}

fn units<'f>(spec: &'f Spec, status: &'f Status, numbers: &BTreeMap<&NodeName, Node>) -> Vec<Unit<'f>> {
    let member = |name: &'f ResourceName, spec: &'f ResourceSpec| {
        let known = status.resources.get(name);
        let holding = known.map_or(Holding::Free, |resource| holding(&resource.state, status));
        Member { name, spec, status: known, holding }
    };
    let prefers = |names: &[NodeName]| names.iter().filter_map(|name| numbers.get(name).copied()).collect();
    let mut grouped: BTreeSet<&ResourceName> = BTreeSet::new();
    let mut units = Vec::new();
    for (name, group) in &spec.groups {
        // A member of two groups, or twice in one, counts where it comes first.
        let fresh = |member: &&'f ResourceName| grouped.insert(*member);
        let members = group.members.iter().filter(fresh);
        let members = members.filter_map(|name| Some(member(name, spec.resources.get(name)?))).collect();
        units.push(Unit { group: Some(name), members, prefers: prefers(&group.wishes.prefers), asked: None });
    }
    for (name, resource) in spec.resources.iter().filter(|(name, _)| !grouped.contains(name)) {
        let members = Vec::from([member(name, resource)]);
        units.push(Unit { group: None, members, prefers: prefers(&resource.wishes.prefers), asked: None });
    }
    units
}

/// Gives every unit the request that concerns it.
fn ask<'f>(units: &mut [Unit<'f>], status: &'f Status) {
    if status.intents.is_empty() {
        return;
    }
    let mut moves = BTreeMap::new();
    for intent in &status.intents {
        if let Intent::Move { resource, from, to } = intent {
            moves.insert(resource, (from, to.as_ref()));
        }
    }
    for unit in units {
        let asked = unit.members.iter().find_map(|member| moves.get(member.name));
        unit.asked = asked.map(|&(from, to)| Asked { from, to });
    }
}

/// What a grant is worth.
fn holding<'f>(state: &'f ResourceState, status: &'f Status) -> Holding<'f> {
    let ResourceState::Granted { node, session, activity, .. } = state else { return Holding::Free };
    let Some(holder) = status.nodes.get(node) else { return Holding::Unheard { node } };
    // A newer session begins only after the older one has let everything go; a newer boot proves
    // that the older one is over.
    let over = holder.session.is_some_and(|now| now.boot != session.boot || now.number > session.number);
    match holder.state {
        _ if over => Holding::Free,
        NodeState::Fenced => Holding::Free,
        NodeState::Lost => Holding::Lost { node },
        NodeState::Absent | NodeState::Joining => Holding::Unheard { node },
        NodeState::Online | NodeState::Leaving => Holding::Live { node, activity },
    }
}

impl Member<'_> {
    /// How often it failed on a node.
    pub(crate) fn failures(&self, node: &NodeName) -> u32 {
        self.status.and_then(|status| status.failures.get(node)).copied().unwrap_or(0)
    }

    /// How often it may fail on a node before it moves.
    pub(crate) fn limit(&self) -> u32 {
        self.spec.failures_max.max(1)
    }
}
