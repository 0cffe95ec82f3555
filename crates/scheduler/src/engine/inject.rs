//! What is known of nodes and resources, if one failed, or came back.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::policy::{
    Cluster, JoinState, NodeState, Operation, OperationStatus, ResourceHistory, Role, Score, State,
};

use super::{
    arena::Kind,
    explain,
    facts::{self, without_instance},
    failures, planner, values,
};

/// What agents answer when something is wrong, and what is expected of them (OCF agent API 1.1, "Exit Status
/// Codes").
const ERROR: i32 = 1;
const OK: i32 = 0;
const PROMOTED: i32 = 8;

/// The place of a node's state, made if nothing is known of it; None if there is no such node.
fn place_of(cluster: &Cluster, state: &mut State, name: &str) -> Option<usize> {
    let configured = cluster.nodes.iter().find(|node| node.name == name);
    let is_it = |known: &NodeState| {
        let named = known.name.as_deref() == Some(name) || known.id == name;
        named || configured.is_some_and(|node| node.id == known.id)
    };
    state.nodes.iter().position(is_it).or_else(|| {
        let node = configured?;
        let (id, name) = (node.id.clone(), Some(node.name.clone()));
        state.nodes.push(NodeState { id, name, ..NodeState::default() });
        Some(state.nodes.len() - 1)
    })
}

/// What is known of a node; made if nothing is. One that nobody has written down is a remote node.
pub fn entry<'s>(cluster: &Cluster, state: &'s mut State, name: &str) -> &'s mut NodeState {
    let place = place_of(cluster, state, name).unwrap_or_else(|| {
        let (id, name) = (String::from(name), Some(String::from(name)));
        state.nodes.push(NodeState { id, name, remote: true, ..NodeState::default() });
        state.nodes.len() - 1
    });
    &mut state.nodes[place]
}

/// The node is lost all at once. Whether there is such a node.
pub fn fail(cluster: &Cluster, state: &mut State, name: &str) -> bool {
    let Some(place) = place_of(cluster, state, name) else { return false };
    let node = &mut state.nodes[place];
    node.member = Some(0);
    node.process = Some(0);
    node.join = Some(JoinState::Down);
    node.expected_up = Some(true);
    true
}

/// The node is there and takes part. Whether there is such a node.
pub fn recover(cluster: &Cluster, state: &mut State, name: &str) -> bool {
    let Some(place) = place_of(cluster, state, name) else { return false };
    let node = &mut state.nodes[place];
    node.member = Some(1);
    node.process = Some(1);
    node.join = Some(JoinState::Member);
    node.expected_up = Some(true);
    true
}

/// Why a resource can be made neither to fail nor to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such resource.
    Resource,
    /// There is no such node.
    Node,
    /// It is not active there; it is active on these nodes.
    Inactive(Vec<String>),
    /// Nothing is known there of a failure of it; something is on these nodes.
    Unfailed(Vec<String>),
}

/// A monitor of the resource finds an error where it is active: on one node, or on all. So it is with
/// everything that a group, a clone, a bundle or a tag of that name is made of.
///
/// # Errors
/// If there is no such resource or node, or if it is not active there.
pub fn fail_resource(
    cluster: &Cluster,
    state: &mut State,
    resource: &str,
    node: Option<&str>,
) -> Result<(), Refused> {
    let active = active(cluster, state, resource)?;
    let is_meant = |at: &Active| node.is_none_or(|node| node == at.node);
    if !active.iter().any(is_meant) {
        return Err(absent(cluster, state, node, Refused::Inactive, active.into_iter().map(|at| at.node)));
    }
    let now = state.now;
    for at in active.into_iter().filter(is_meant) {
        note_failure(entry(cluster, state, &at.node), &at, now);
    }
    Ok(())
}

/// All failures of the resource are forgotten: on one node, or on all. So it is with everything that a group, a
/// clone, a bundle or a tag of that name is made of.
///
/// # Errors
/// If there is no such resource or node, or if nothing is known of a failure of it there.
pub fn recover_resource(
    cluster: &Cluster,
    state: &mut State,
    resource: &str,
    node: Option<&str>,
) -> Result<(), Refused> {
    let names = primitives(cluster, state, resource)?;
    let failed = state.nodes.iter().filter(|known| {
        let mut forgetful = (*known).clone();
        names.iter().any(|name| failures::forget(&mut forgetful, name))
    });
    let failed: Vec<String> = failed.map(|known| name_of(cluster, known)).collect();
    if !failed.iter().any(|at| node.is_none_or(|node| node == at)) {
        return Err(absent(cluster, state, node, Refused::Unfailed, failed.into_iter()));
    }
    for at in failed.iter().filter(|at| node.is_none_or(|node| node == *at)) {
        let known = entry(cluster, state, at);
        for name in &names {
            failures::forget(known, name);
        }
    }
    Ok(())
}

/// A primitive where it is active.
struct Active {
    name: String,
    node: String,
    role: Role,
    /// How often somebody wants it to be watched, in this role: milliseconds; 0 if nobody does.
    every_ms: u64,
}

/// Where what a name means is active.
fn active(cluster: &Cluster, state: &State, resource: &str) -> Result<Vec<Active>, Refused> {
    let names = primitives(cluster, state, resource)?;
    let is_meant = |name: &str| names.contains(name) || names.contains(without_instance(name));
    let arena = facts::gather(cluster, state);
    let mut active = Vec::new();
    for number in arena.resource_numbers() {
        let found = &arena[number];
        if found.kind != Kind::Primitive || !is_meant(&found.name) && !is_meant(&found.id) {
            continue;
        }
        for node in &found.active_on {
            let role = found.active_roles.get(node).copied().unwrap_or(found.role);
            let operations = found.source.into_iter().flat_map(|source| &source.operations);
            let watches =
                operations.filter(|operation| operation.name == "monitor" && operation.every_ms > 0);
            let of_role = |wanted: Option<Role>| (wanted == Some(Role::Promoted)) == (role == Role::Promoted);
            let every_ms = watches.filter(|watch| of_role(watch.role)).map(|watch| watch.every_ms).next();
            let (name, node) = (found.name.clone(), arena.node(*node).name.clone());
            active.push(Active { name, node, role, every_ms: every_ms.unwrap_or(0) });
        }
    }
    Ok(active)
}

/// The primitives that a name means, those that nobody has written included.
fn primitives(cluster: &Cluster, state: &State, name: &str) -> Result<BTreeSet<String>, Refused> {
    let written: BTreeSet<String> = explain::primitives(cluster, name).into_iter().collect();
    if !written.is_empty() {
        return Ok(written);
    }
    let arena = facts::gather(cluster, state);
    let is_it = |number| arena[number].kind == Kind::Primitive && arena[number].id == name;
    match arena.resource_numbers().any(is_it) {
        true => Ok(BTreeSet::from([String::from(name)])),
        false => Err(Refused::Resource),
    }
}

/// Why nothing is there to be changed.
fn absent(
    cluster: &Cluster,
    state: &State,
    node: Option<&str>,
    refused: impl Fn(Vec<String>) -> Refused,
    on: impl Iterator<Item = String>,
) -> Refused {
    let is_node = |name: &str| {
        let known = || state.nodes.iter().any(|known| name_of(cluster, known) == name);
        cluster.nodes.iter().any(|node| node.name == name) || known()
    };
    match node {
        Some(node) if !is_node(node) => Refused::Node,
        _ => {
            let on: BTreeSet<String> = on.collect();
            refused(on.into_iter().collect())
        }
    }
}

fn name_of(cluster: &Cluster, known: &NodeState) -> String {
    let configured = cluster.nodes.iter().find(|node| node.id == known.id);
    let name = configured.map(|node| &node.name).or(known.name.as_ref());
    name.unwrap_or(&known.id).clone()
}

/// Notes what a node tells of a monitor that finds an error, and counts it.
fn note_failure(known: &mut NodeState, at: &Active, now: Option<i64>) {
    let calls = known.history.iter().flat_map(|history| &history.operations).map(|operation| operation.call);
    let call = calls.max().unwrap_or(0).max(0).saturating_add(1);
    let is_it = |told: &str| told == at.name || without_instance(told) == at.name;
    let place = known.history.iter().position(|history| is_it(&history.resource));
    let place = place.unwrap_or_else(|| {
        known.history.push(ResourceHistory { resource: at.name.clone(), ..ResourceHistory::default() });
        known.history.len() - 1
    });
    let history = &mut known.history[place];
    let watches = |operation: &&Operation| operation.name == "monitor" && operation.every_ms > 0;
    let is_watched = history.operations.iter().find(watches).cloned();
    let every_ms = match at.every_ms {
        0 => is_watched.map_or(0, |watched| watched.every_ms),
        every_ms => every_ms,
    };
    history.operations.push(Operation {
        id: format!("{}_last_failure_0", history.resource),
        name: String::from("monitor"),
        every_ms,
        status: OperationStatus::Done,
        answer: ERROR,
        expected: Some(if at.role == Role::Promoted { PROMOTED } else { OK }),
        call,
        changed_at: now,
        ran_at: now,
        ..Operation::default()
    });
    let tail = format!("{}#monitor_{every_ms}", without_instance(&at.name));
    let (count, last) = (format!("{}{tail}", failures::COUNT), format!("{}{tail}", failures::LAST));
    let counted = known.attributes.iter().find_map(|set| set.values.get(&count));
    let counted = counted.and_then(|text| values::score(text)).unwrap_or(Score::ZERO);
    planner::note_attribute(known, &count, Some((counted + Score::new(1)).to_string()));
    if let Some(now) = now {
        planner::note_attribute(known, &last, Some(now.to_string()));
    }
}
