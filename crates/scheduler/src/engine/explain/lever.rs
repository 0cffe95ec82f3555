//! What can be taken away by itself.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use heart_model::policy::{
    AttributeSet, Body, Cluster, Constraint, JoinState, NodeState, Operation, OperationStatus, Resource,
    ResourceHistory, State,
};

use super::{
    LEVERS_MAX,
    related::{Family, Related, related},
};
use crate::engine::{Outcome, facts::without_instance, failures, values};

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
    /// A resource was begun on a node otherwise than it is written now.
    Changed {
        /// Which.
        resource: String,
        /// Where.
        node: String,
    },
    /// A node says how gladly a resource would be promoted there.
    PromotionScore {
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
    STICKINESS,
    "migration-threshold",
    "priority",
    INSTANCES,
    PER_NODE,
    "promoted-max",
    "promoted-node-max",
    "multiple-active",
    "requires",
    "critical",
];

/// How many instances a clone has: as many as there are nodes, where it is not written.
const INSTANCES: &str = "clone-max";
/// How many instances of a clone a node may have: one, also where it is not written.
pub(super) const PER_NODE: &str = "clone-node-max";
/// What says that instances are not alike: only of such may a node have several.
const UNIQUE: &str = "globally-unique";

/// What holds something where it runs; also where it is not written.
pub(super) const STICKINESS: &str = "resource-stickiness";

/// How attributes begin in which a node says how gladly something would be promoted there; the resource follows.
const PROMOTION: &str = "master-";

/// What decides whether it matters how much something needs of a node, and when it does not.
const STRATEGY: (&str, &str) = ("placement-strategy", "default");

/// What a node says, or others say of it, when it leaves.
pub(super) const SHUTDOWN: &str = "shutdown";

/// Options of the cluster that hinder, each with the value with which it does not.
pub(super) const CLUSTER_OPTIONS: [(&str, &str); 12] = [
    ("stop-all-resources", "false"),
    ("maintenance-mode", "false"),
    ("is-managed-default", "true"),
    ("symmetric-cluster", "true"),
    ("fencing-enabled", "false"),
    ("stonith-enabled", "false"),
    ("stop-orphan-resources", "false"),
    ("stop-removed-resources", "false"),
    STRATEGY,
    ("node-health-strategy", "none"),
    ("default-resource-stickiness", "0"),
    ("shutdown-lock", "false"),
];
/// Names of the one option that hinders also where it is not written.
const FENCING: [&str; 2] = ["fencing-enabled", "stonith-enabled"];

/// What agents answer of something that does not run (OCF agent API 1.1, "Exit Status Codes").
const NOT_RUNNING: i32 = 7;

/// Everything that could be taken away and has to do with a resource, the nearest first; and whether
/// there was more. What is done anyway is known by `outcome`.
pub(super) fn levers(
    cluster: &Cluster,
    state: &State,
    family: &Family<'_>,
    (resource, node): (&str, Option<&str>),
    outcome: &Outcome,
) -> (Vec<Cause>, bool) {
    let ran = state.nodes.iter().filter(|known| {
        known.history.iter().any(|history| without_instance(&history.resource) == without_instance(resource))
    });
    let nodes: Vec<String> = ran.map(|known| name_of(cluster, known)).chain(node.map(String::from)).collect();
    let related = related(cluster, family, resource, &nodes);
    let mut levers = Vec::new();
    if !state.quorum {
        levers.push(Cause::Quorum);
    }
    of_nodes(cluster, state, node, &mut levers);
    of_options(cluster, &related, &mut levers);
    of_needs(cluster, &related, &mut levers);
    of_promotion(cluster, state, &related, &mut levers);
    of_histories(cluster, state, &related, &mut levers);
    of_changes(cluster, state, &related, outcome, &mut levers);
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

/// What is asked where nothing that is there is a cause: that nothing holds it where it runs.
pub(super) fn holds(cluster: &Cluster, family: &Family<'_>, resource: &str) -> Vec<Cause> {
    let written = family.line(without_instance(resource)).into_iter();
    let written = written.filter_map(|name| cluster.resource(name));
    written.map(|here| Cause::ResourceOption { resource: here.id.clone(), name: STICKINESS.into() }).collect()
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

/// The troubles of nodes, also of guests, that of the one that was asked about first.
fn of_nodes(cluster: &Cluster, state: &State, asked: Option<&str>, levers: &mut Vec<Cause>) {
    let written = cluster.nodes.iter().map(|node| node.name.clone());
    let told = state.nodes.iter().map(|known| name_of(cluster, known));
    let mut seen = BTreeSet::new();
    let mut nodes: Vec<String> = written.chain(told).filter(|name| seen.insert(name.clone())).collect();
    nodes.sort_by_key(|name| Some(name.as_str()) != asked);
    for node in &nodes {
        let configured = cluster.nodes.iter().find(|known| known.name == *node);
        let known = state.nodes.iter().filter(|known| is_node(cluster, known, node));
        let of_state = || known.clone().flat_map(|known| &known.attributes);
        let sets = configured.into_iter().flat_map(|known| &known.attributes).chain(of_state());
        let names: BTreeSet<&String> = sets.flat_map(|set| set.values.keys()).collect();
        let says = |wanted: &str| names.iter().any(|name| *name == wanted);
        let mut push = |trouble| levers.push(Cause::Node { node: node.clone(), trouble });
        let is_there = known.clone().next().is_some_and(is_there);
        let mut asked_to_leave = of_state().filter_map(|set| set.values.get(SHUTDOWN));
        let leaves = asked_to_leave.any(|since| !since.is_empty() && since != "0");
        if !is_there || leaves {
            push(NodeTrouble::Absent);
        }
        if says("standby") {
            push(NodeTrouble::Standby);
        }
        if says("maintenance") || known.clone().any(|known| known.in_maintenance) {
            push(NodeTrouble::Maintenance);
        }
        if names.iter().any(|name| name.starts_with("#health")) {
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
        let has_several = may_have_several(cluster, here);
        let said = RESOURCE_OPTIONS.iter().filter(|name| has(&here.meta, name));
        // An anonymous clone has one instance on a node, whatever is written.
        let said = said.filter(|name| **name != PER_NODE || has_several);
        levers.extend(
            said.map(|option| Cause::ResourceOption { resource: (*name).into(), name: (*option).into() }),
        );
        if has_several && !has(&here.meta, PER_NODE) {
            levers.push(Cause::ResourceOption { resource: (*name).into(), name: PER_NODE.into() });
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

/// What is needed of a node: by what is related, and by all others where they compete for it.
fn of_needs(cluster: &Cluster, related: &Related<'_>, levers: &mut Vec<Cause>) {
    let mut written: Vec<&str> = related.resources.clone();
    let (name, free) = STRATEGY;
    if cluster.options.iter().filter_map(|set| set.values.get(name)).any(|said| said != free) {
        let mut open: Vec<&Resource> = cluster.resources.iter().collect();
        while let Some(resource) = open.pop() {
            written.push(&resource.id);
            open.extend(resource.parts());
        }
    }
    let needs = |name: &&str| {
        let here = cluster.resource(name);
        here.is_some_and(|here| here.utilization.iter().any(|set| !set.values.is_empty()))
    };
    levers.extend(written.into_iter().filter(needs).map(|name| Cause::Needs { resource: name.into() }));
}

/// What nodes say of promotion.
fn of_promotion(cluster: &Cluster, state: &State, related: &Related<'_>, levers: &mut Vec<Cause>) {
    let of_state = state.nodes.iter().map(|node| (name_of(cluster, node), &node.attributes));
    let written = cluster.nodes.iter().map(|node| (node.name.clone(), &node.attributes));
    for (node, said) in of_state.chain(written) {
        let names = said.iter().flat_map(|set| set.values.keys());
        let promoted: BTreeSet<&str> = names.filter_map(|name| promotes(name)).collect();
        let known = related.resources.iter().filter(|resource| promoted.contains(**resource));
        levers.extend(
            known.map(|resource| Cause::PromotionScore { resource: (*resource).into(), node: node.clone() }),
        );
    }
}

/// Of which resource an attribute says how gladly it would be promoted.
pub(super) fn promotes(attribute: &str) -> Option<&str> {
    attribute.strip_prefix(PROMOTION).map(without_instance)
}

/// Whether a clone may have more instances than there are nodes: to take that away leaves it fewer.
pub(super) fn gives_more(cluster: &Cluster, cause: &Cause) -> bool {
    let Cause::ResourceOption { resource, name } = cause else { return false };
    let said = cluster.resource(resource).into_iter().flat_map(|here| &here.meta);
    let mut said = said.filter_map(|set| set.values.get(name));
    name == INSTANCES && said.any(|said| said.parse::<usize>().is_ok_and(|count| count > cluster.nodes.len()))
}

/// Whether a node may have several instances of this.
fn may_have_several(cluster: &Cluster, here: &Resource) -> bool {
    let says = |name: &str, one: &dyn Fn(&str) -> bool| {
        let sets = here.meta.iter().chain(&cluster.resource_defaults);
        sets.filter_map(|set| set.values.get(name)).any(|value| one(value))
    };
    let is_clone = matches!(here.body, Body::Clone(_));
    let is_many = |value: &str| value.parse::<u32>().is_ok_and(|count| count > 1);
    is_clone && (says(UNIQUE, &|value| values::truth(value) == Some(true)) || says(PER_NODE, &is_many))
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

/// What is done anew, or anything else that is done with it where it runs, may be for what is written of it now.
fn of_changes(
    cluster: &Cluster,
    state: &State,
    related: &Related<'_>,
    outcome: &Outcome,
    levers: &mut Vec<Cause>,
) {
    let busy: BTreeSet<&str> =
        outcome.decisions.iter().map(|decision| without_instance(&decision.subject)).collect();
    for resource in related.resources.iter().filter(|resource| busy.contains(**resource)) {
        for node in &state.nodes {
            let mut histories =
                node.history.iter().filter(|history| without_instance(&history.resource) == *resource);
            if histories.any(tells_of_more_than_absence) {
                levers.push(Cause::Changed { resource: (*resource).into(), node: name_of(cluster, node) });
            }
        }
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

pub(super) fn is_node(cluster: &Cluster, known: &NodeState, name: &str) -> bool {
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
