//! Taking away what can be.
//!
//! What is taken away is as if nobody had written it, or as if it had not happened. Where a default does the
//! same, what does not is said instead.

use alloc::{borrow::Cow, collections::BTreeSet, vec::Vec};

use heart_model::policy::{AttributeSet, Body, Cluster, Digests, NodeState, Resource, State};

use super::lever::{CLUSTER_OPTIONS, Cause, NodeTrouble, PER_NODE, SHUTDOWN, STICKINESS, is_node, promotes};
use crate::engine::{facts::without_instance, failures, inject};

/// As many instances as nobody has.
const MANY: &str = "1000";

/// What holds nothing.
const NO_STICKINESS: &str = "0";
/// What holds it in any case.
const ALL_STICKINESS: &str = "INFINITY";

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
                if let Some(resource) = cluster.resource_mut(resource) {
                    free_resource_option(resource, name);
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
            Cause::Changed { resource, node } => begin_as_written(&cluster, state.to_mut(), resource, node),
            Cause::PromotionScore { resource, node } => {
                say_nothing(&mut cluster, state.to_mut(), node, &|name| promotes(name) == Some(resource));
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

/// The places of the nodes of the state of which something else is known with these causes gone.
pub(super) fn touched(cluster: &Cluster, state: &State, causes: &[&Cause]) -> Vec<usize> {
    let of = |cause: &&Cause| match cause {
        Cause::Node { node, .. }
        | Cause::Failed { node, .. }
        | Cause::Active { node, .. }
        | Cause::Changed { node, .. }
        | Cause::PromotionScore { node, .. } => Some(node.clone()),
        Cause::Constraint { .. }
        | Cause::Quorum
        | Cause::ResourceOption { .. }
        | Cause::Default { .. }
        | Cause::ClusterOption { .. }
        | Cause::Ticket { .. }
        | Cause::Needs { .. } => None,
    };
    let names: BTreeSet<_> = causes.iter().filter_map(of).collect();
    let is_called = |known: &NodeState| {
        let written = cluster.nodes.iter().find(|node| node.id == known.id).map(|node| &node.name);
        [Some(&known.id), known.name.as_ref(), written].into_iter().flatten().any(|name| names.contains(name))
    };
    let all = state.nodes.iter().enumerate().filter(|_| !names.is_empty());
    all.filter(|(_, known)| is_called(known)).map(|(place, _)| place).collect()
}

fn remove(sets: &mut [AttributeSet], which: &dyn Fn(&str) -> bool) {
    for set in sets {
        set.values.retain(|name, _| !which(name));
    }
}

/// Takes away what an option of a resource does, also where it does so without being written.
fn free_resource_option(resource: &mut Resource, name: &str) {
    let said = resource.meta.iter().filter_map(|set| set.values.get(name));
    let holds = said.clone().any(|value| value != NO_STICKINESS);
    remove(&mut resource.meta, &|known| known == name);
    match name {
        PER_NODE => say(&mut resource.meta, name, MANY),
        STICKINESS if !holds => say(&mut resource.meta, name, ALL_STICKINESS),
        _ => {}
    }
}

/// Gives an option of the cluster the value with which it hinders nothing.
fn free_option(cluster: &mut Cluster, name: &str) {
    let Some((_, free)) = CLUSTER_OPTIONS.iter().find(|(known, _)| *known == name) else { return };
    remove(&mut cluster.options, &|known| known == name);
    say(&mut cluster.options, name, free);
}

/// Says it in a set that holds always; what others said of it is gone.
fn say(sets: &mut Vec<AttributeSet>, name: &str, value: &str) {
    let place = sets.iter().position(|set| set.rule.is_none()).unwrap_or_else(|| {
        sets.push(AttributeSet::default());
        sets.len() - 1
    });
    sets[place].values.insert(name.into(), value.into());
}

fn mend_node(cluster: &mut Cluster, state: &mut State, name: &str, trouble: NodeTrouble) {
    let says: &dyn Fn(&str) -> bool = match trouble {
        NodeTrouble::Absent => return bring_back(cluster, state, name),
        NodeTrouble::Standby => &|attribute| attribute == "standby",
        NodeTrouble::Maintenance => &|attribute| attribute == "maintenance",
        NodeTrouble::Health => &|attribute| attribute.starts_with("#health"),
    };
    for known in state.nodes.iter_mut().filter(|known| is_node(cluster, known, name)) {
        known.in_maintenance &= trouble != NodeTrouble::Maintenance;
    }
    say_nothing(cluster, state, name, says);
}

/// Nobody says these things of a node any more.
fn say_nothing(cluster: &mut Cluster, state: &mut State, node: &str, which: &dyn Fn(&str) -> bool) {
    for known in state.nodes.iter_mut().filter(|known| is_node(cluster, known, node)) {
        remove(&mut known.attributes, which);
    }
    for known in cluster.nodes.iter_mut().filter(|known| known.name == node) {
        remove(&mut known.attributes, which);
    }
}

fn bring_back(cluster: &Cluster, state: &mut State, name: &str) {
    inject::recover(cluster, state, name);
    for node in state.nodes.iter_mut().filter(|known| is_node(cluster, known, name)) {
        node.fenced = false;
        remove(&mut node.attributes, &|attribute| attribute == SHUTDOWN);
    }
}

/// What runs there was begun as it is written now: by the same agent, and told the same.
fn begin_as_written(cluster: &Cluster, state: &mut State, resource: &str, node: &str) {
    let agent = cluster.resource(resource).and_then(|resource| match &resource.body {
        Body::Primitive(agent) => Some(agent),
        Body::Group(_) | Body::Clone(_) | Body::Bundle(_) => None,
    });
    for known in state.nodes.iter_mut().filter(|known| is_node(cluster, known, node)) {
        let histories = known.history.iter_mut();
        for history in histories.filter(|history| without_instance(&history.resource) == resource) {
            if let Some(agent) = agent {
                history.agent.clone_from(agent);
            }
            // What nobody knows is not compared.
            history.operations.iter_mut().for_each(|operation| operation.digests = Digests::default());
        }
    }
}

fn forget_failures(cluster: &Cluster, state: &mut State, resource: &str, node: &str) {
    for known in state.nodes.iter_mut().filter(|known| is_node(cluster, known, node)) {
        failures::forget(known, resource);
    }
}
