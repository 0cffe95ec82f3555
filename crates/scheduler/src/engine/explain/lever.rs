//! What can be taken away by itself.

use alloc::{borrow::Cow, collections::BTreeSet, string::String, vec::Vec};

use heart_model::policy::{
    AttributeSet, Body, Cluster, Constraint, JoinState, NodeState, Operation, OperationStatus,
    ResourceHistory, State,
};

use super::{
    LEVERS_MAX,
    related::{Family, Related, related},
};
use crate::engine::{facts::without_instance, failures, inject};

/// Something that decides, and that could be otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A constraint that was written.
    Constraint {
        /// Its place in [`Cluster::constraints`].
        place: usize,
        /// What it is called.
        id: String,
    },
    /// A node cannot be given anything.
    Node {
        /// Which.
        node: String,
        /// Why not.
        trouble: NodeTrouble,
    },
    /// There is no majority.
    Quorum,
    /// An option of a resource, or of what contains it.
    ResourceOption {
        /// Which resource.
        resource: String,
        /// The option's name.
        name: String,
    },
    /// An option that all resources have unless they say otherwise.
    Default {
        /// Its name.
        name: String,
    },
    /// An option of the cluster.
    ClusterOption {
        /// Its name.
        name: String,
    },
    /// A resource failed on a node.
    Failed {
        /// Which.
        resource: String,
        /// Where.
        node: String,
    },
    /// A resource is, or was, active on a node.
    Active {
        /// Which.
        resource: String,
        /// Where.
        node: String,
    },
    /// A ticket is not here.
    Ticket {
        /// Which.
        ticket: String,
    },
    /// What a resource needs of a node.
    Needs {
        /// Which.
        resource: String,
    },
}

/// Why a node cannot be given anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeTrouble {
    /// It was put into standby.
    Standby,
    /// It is left alone.
    Maintenance,
    /// It is not there, or leaves, or nobody knows how it is.
    Absent,
    /// It says that it is not healthy.
    Health,
}

/// Options that say where or whether something runs.
const RESOURCE_OPTIONS: [&str; 13] = [
    "target-role",
    "is-managed",
    "maintenance",
    "resource-stickiness",
    "migration-threshold",
    "priority",
    "clone-max",
    "clone-node-max",
    "promoted-max",
    "promoted-node-max",
    "multiple-active",
    "requires",
    "critical",
];

/// How many instances of a clone a node may have: one, also where it is not written.
const PER_NODE: &str = "clone-node-max";
/// As many instances as nobody has.
const MANY: &str = "1000";

/// Options of the cluster that hinder, each with the value with which it does not.
const CLUSTER_OPTIONS: [(&str, &str); 12] = [
    ("stop-all-resources", "false"),
    ("maintenance-mode", "false"),
    ("is-managed-default", "true"),
    ("symmetric-cluster", "true"),
    ("fencing-enabled", "false"),
    ("stonith-enabled", "false"),
    ("stop-orphan-resources", "false"),
    ("stop-removed-resources", "false"),
    ("placement-strategy", "default"),
    ("node-health-strategy", "none"),
    ("default-resource-stickiness", "0"),
    ("shutdown-lock", "false"),
];
/// Names of the one option that hinders also where it is not written.
const FENCING: [&str; 2] = ["fencing-enabled", "stonith-enabled"];

/// What agents answer of something that does not run (OCF agent API 1.1, "Exit Status Codes").
const NOT_RUNNING: i32 = 7;

/// Everything that could be taken away and has to do with a resource, the nearest first; and whether
/// there was more.
pub(super) fn levers(
    cluster: &Cluster,
    state: &State,
    family: &Family<'_>,
    resource: &str,
    node: Option<&str>,
) -> (Vec<Cause>, bool) {
    let related = related(cluster, family, resource);
    let mut levers = Vec::new();
    if !state.quorum {
        levers.push(Cause::Quorum);
    }
    of_nodes(cluster, state, node, &mut levers);
    of_options(cluster, &related, &mut levers);
    of_histories(cluster, state, &related, &mut levers);
    for place in &related.constraints {
        let constraint = &cluster.constraints[*place];
        if let Constraint::Ticket(ticket) = constraint
            && !state.tickets.get(&ticket.ticket).is_some_and(|ticket| ticket.granted && !ticket.standby)
        {
            levers.push(Cause::Ticket { ticket: ticket.ticket.clone() });
        }
        levers.push(Cause::Constraint { place: *place, id: id_of(constraint).into() });
    }
    let mut seen = BTreeSet::new();
    levers.retain(|lever| seen.insert(lever.clone()));
    let cut = levers.len() > LEVERS_MAX;
    levers.truncate(LEVERS_MAX);
    (levers, cut)
}

fn id_of(constraint: &Constraint) -> &str {
    match constraint {
        Constraint::Location(it) => &it.id,
        Constraint::Colocation(it) => &it.id,
        Constraint::ColocationSets(it) => &it.id,
        Constraint::Order(it) => &it.id,
        Constraint::OrderSets(it) => &it.id,
        Constraint::Ticket(it) => &it.id,
    }
}

/// The troubles of nodes, that of the one that was asked about first.
fn of_nodes(cluster: &Cluster, state: &State, asked: Option<&str>, levers: &mut Vec<Cause>) {
    let mut nodes: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
    nodes.sort_by_key(|name| Some(*name) != asked);
    for node in nodes {
        let says = |wanted: &dyn Fn(&str) -> bool| {
            let known = state.nodes.iter().filter(|known| is_node(cluster, known, node));
            let configured = cluster.nodes.iter().filter(|known| known.name == node);
            let of_state = known.flat_map(|known| &known.attributes);
            let sets = configured.flat_map(|known| &known.attributes).chain(of_state);
            sets.flat_map(|set| set.values.keys()).any(|name| wanted(name))
        };
        let mut push = |trouble| levers.push(Cause::Node { node: node.into(), trouble });
        let known = state.nodes.iter().find(|known| is_node(cluster, known, node));
        if !known.is_some_and(is_there) {
            push(NodeTrouble::Absent);
        }
        if says(&|name| name == "standby") {
            push(NodeTrouble::Standby);
        }
        if says(&|name| name == "maintenance") {
            push(NodeTrouble::Maintenance);
        }
        if says(&|name| name.starts_with("#health")) {
            push(NodeTrouble::Health);
        }
    }
}

/// Whether nothing speaks against a node's being there.
fn is_there(node: &NodeState) -> bool {
    let is_up = |since: Option<i64>| since.is_none_or(|since| since > 0);
    let joined = node.join.is_none_or(|join| join == JoinState::Member);
    is_up(node.member) && is_up(node.process) && joined && node.expected_up != Some(false) && !node.fenced
}

fn of_options(cluster: &Cluster, related: &Related<'_>, levers: &mut Vec<Cause>) {
    let has = |sets: &[AttributeSet], name: &str| sets.iter().any(|set| set.values.contains_key(name));
    for name in &related.resources {
        let Some(here) = cluster.resource(name) else { continue };
        let said = RESOURCE_OPTIONS.iter().filter(|name| has(&here.meta, name));
        levers.extend(
            said.map(|option| Cause::ResourceOption { resource: (*name).into(), name: (*option).into() }),
        );
        if matches!(here.body, Body::Clone(_)) && !has(&here.meta, PER_NODE) {
            levers.push(Cause::ResourceOption { resource: (*name).into(), name: PER_NODE.into() });
        }
        if here.utilization.iter().any(|set| !set.values.is_empty()) {
            levers.push(Cause::Needs { resource: (*name).into() });
        }
    }
    let of_all = RESOURCE_OPTIONS.iter().filter(|name| has(&cluster.resource_defaults, name));
    levers.extend(of_all.map(|name| Cause::Default { name: (*name).into() }));
    let said = |name: &str| cluster.options.iter().find_map(|set| set.values.get(name));
    let hinders = |(name, free): &&(&str, &str)| said(name).is_some_and(|said| said != free);
    let of_cluster = CLUSTER_OPTIONS.iter().filter(hinders).map(|(name, _)| *name);
    let unsaid = FENCING.iter().all(|name| said(name).is_none()).then_some(FENCING[0]);
    levers.extend(of_cluster.chain(unsaid).map(|name| Cause::ClusterOption { name: name.into() }));
}

/// Failures before activity: what failed is also, or was, active.
fn of_histories(cluster: &Cluster, state: &State, related: &Related<'_>, levers: &mut Vec<Cause>) {
    for resource in &related.resources {
        let mut active = Vec::new();
        for node in &state.nodes {
            let name = name_of(cluster, node);
            let (resource, node_name) = (String::from(*resource), name.clone());
            let histories =
                || node.history.iter().filter(|history| without_instance(&history.resource) == resource);
            let failed = histories().any(|history| history.operations.iter().any(failures::has_failed));
            let counted = node.attributes.iter().flat_map(|set| set.values.keys());
            if failed || counted.into_iter().any(|name| failures::counts(name, &resource)) {
                levers.push(Cause::Failed { resource: resource.clone(), node: node_name.clone() });
            }
            if histories().any(tells_of_more_than_absence) {
                active.push(Cause::Active { resource, node: node_name });
            }
        }
        levers.extend(active);
    }
}

/// Whether a history says more than that somebody looked and found nothing.
fn tells_of_more_than_absence(history: &ResourceHistory) -> bool {
    let found_nothing = |operation: &Operation| {
        let is_probe = operation.name == "monitor" && operation.every_ms == 0;
        is_probe && operation.status == OperationStatus::Done && operation.answer == NOT_RUNNING
    };
    !history.operations.iter().all(found_nothing)
}

fn is_node(cluster: &Cluster, known: &NodeState, name: &str) -> bool {
    name_of(cluster, known) == name
}

fn name_of(cluster: &Cluster, known: &NodeState) -> String {
    let configured =
        cluster.nodes.iter().find(|node| node.id == known.id || Some(&node.name) == known.name.as_ref());
    match (configured, &known.name) {
        (Some(node), _) => node.name.clone(),
        (None, Some(name)) => name.clone(),
        (None, None) => known.id.clone(),
    }
}

/// The same cluster with these causes gone: what an [`Explanation`](super::Explanation) was proven with.
#[must_use]
pub fn without(cluster: &Cluster, state: &State, causes: &[&Cause]) -> (Cluster, State) {
    let (cluster, state) = taken(cluster, state, causes);
    (cluster, state.into_owned())
}

/// The same. What is known is large, and most causes have nothing to do with it.
pub(super) fn taken<'s>(cluster: &Cluster, state: &'s State, causes: &[&Cause]) -> (Cluster, Cow<'s, State>) {
    let (mut cluster, mut state) = (cluster.clone(), Cow::Borrowed(state));
    let mut gone = BTreeSet::new();
    for cause in causes {
        match cause {
            Cause::Constraint { place, .. } => {
                gone.insert(*place);
            }
            Cause::Node { node, trouble } => mend_node(&mut cluster, state.to_mut(), node, *trouble),
            Cause::Quorum => state.to_mut().quorum = true,
            Cause::ResourceOption { resource, name } => {
                let Some(resource) = cluster.resource_mut(resource) else { continue };
                remove(&mut resource.meta, &|known| known == name);
                if name == PER_NODE {
                    say(&mut resource.meta, name, MANY);
                }
            }
            Cause::Default { name } => remove(&mut cluster.resource_defaults, &|known| known == name),
            Cause::ClusterOption { name } => free_option(&mut cluster, name),
            Cause::Failed { resource, node } => forget_failures(&cluster, state.to_mut(), resource, node),
            Cause::Active { resource, node } => {
                let known = state.to_mut().nodes.iter_mut();
                for known in known.filter(|known| is_node(&cluster, known, node)) {
                    known.history.retain(|history| without_instance(&history.resource) != resource);
                }
            }
            Cause::Ticket { ticket } => {
                let ticket = state.to_mut().tickets.entry(ticket.clone()).or_default();
                (ticket.granted, ticket.standby) = (true, false);
            }
            Cause::Needs { resource } => {
                if let Some(resource) = cluster.resource_mut(resource) {
                    resource.utilization.clear();
                }
            }
        }
    }
    let mut place = 0;
    cluster.constraints.retain(|_| {
        place += 1;
        !gone.contains(&(place - 1))
    });
    (cluster, state)
}

fn remove(sets: &mut [AttributeSet], which: &dyn Fn(&str) -> bool) {
    for set in sets {
        set.values.retain(|name, _| !which(name));
    }
}

/// Gives an option of the cluster the value with which it hinders nothing.
fn free_option(cluster: &mut Cluster, name: &str) {
    let Some((_, free)) = CLUSTER_OPTIONS.iter().find(|(known, _)| *known == name) else { return };
    remove(&mut cluster.options, &|known| known == name);
    say(&mut cluster.options, name, free);
}

fn say(sets: &mut Vec<AttributeSet>, name: &str, value: &str) {
    if sets.is_empty() {
        sets.push(AttributeSet::default());
    }
    sets[0].values.insert(name.into(), value.into());
}

fn mend_node(cluster: &mut Cluster, state: &mut State, name: &str, trouble: NodeTrouble) {
    let says: &dyn Fn(&str) -> bool = match trouble {
        NodeTrouble::Absent => return bring_back(cluster, state, name),
        NodeTrouble::Standby => &|attribute| attribute == "standby",
        NodeTrouble::Maintenance => &|attribute| attribute == "maintenance",
        NodeTrouble::Health => &|attribute| attribute.starts_with("#health"),
    };
    for known in state.nodes.iter_mut().filter(|known| is_node(cluster, known, name)) {
        remove(&mut known.attributes, says);
        known.in_maintenance &= trouble != NodeTrouble::Maintenance;
    }
    for known in cluster.nodes.iter_mut().filter(|known| known.name == name) {
        remove(&mut known.attributes, says);
    }
}

fn bring_back(cluster: &Cluster, state: &mut State, name: &str) {
    inject::recover(cluster, state, name);
    for node in state.nodes.iter_mut().filter(|known| is_node(cluster, known, name)) {
        node.fenced = false;
        remove(&mut node.attributes, &|attribute| attribute == "shutdown");
    }
}

fn forget_failures(cluster: &Cluster, state: &mut State, resource: &str, node: &str) {
    for known in state.nodes.iter_mut().filter(|known| is_node(cluster, known, node)) {
        failures::forget(known, resource);
    }
}
