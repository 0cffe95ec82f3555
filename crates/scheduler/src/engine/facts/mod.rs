//! Facts: options and rules evaluated, resources unfolded into instances, histories read.
//!
//! After this pass it is known of each node how it stands, and of each resource what it is, where it is
//! active, and what has failed. Nothing was decided yet about where anything shall go.

mod active;
mod bundle;
mod failure;
mod history;
mod launch;
mod locate;
mod migration;
mod nodes;
mod options;
mod unfold;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString as _},
    vec::Vec,
};
use core::iter;

use heart_model::policy::{Cluster, NodeState, Role, Score, State};

pub(crate) use active::{STAYS, clean_places, has_reconnect_interval};
pub(crate) use failure::without_instance;
pub(crate) use failure::{option as operation_option, written as written_operation};
pub(crate) use nodes::{attribute, fence as fence_node};
pub(crate) use unfold::is_connection;

use super::{
    absences::{self, Absences, Meanings},
    arena::{Arena, ClearWhy, NodeIx, NodeKind, NodeTable, ResIx},
    names::{Names, NodeNames},
    rules::{self, Context},
    trace::{self, Given},
};

/// Gathers what is known.
pub(crate) fn gather<'s>(spec: &'s Cluster, state: &'s State) -> Arena<'s> {
    gather_part(spec, state, &trace::NOTHING)
}

/// The same, where it was noted which histories say no more than that something is not there.
pub(crate) fn gather_noted<'s>(spec: &'s Cluster, state: &'s State, absences: &'s Absences) -> Arena<'s> {
    gather_all(spec, state, &trace::NOTHING, absences)
}

/// Gathers what is known of a part of a cluster.
pub(crate) fn gather_part<'s>(spec: &'s Cluster, state: &'s State, given: &'s Given) -> Arena<'s> {
    gather_all(spec, state, given, &absences::NONE)
}

fn gather_all<'s>(
    spec: &'s Cluster,
    state: &'s State,
    given: &'s Given,
    absences: &'s Absences,
) -> Arena<'s> {
    let now = state.now;
    let context = Context { now, ..Context::default() };
    let options = options::read(&rules::values(&spec.options, &context), state);
    let nodes = nodes::of_file(spec, &options, now);
    let mut arena = Arena {
        spec,
        state,
        options,
        nodes,
        resources: Vec::new(),
        top: Vec::new(),
        by_id: Names::default(),
        colocations: Vec::new(),
        role_locations: Vec::new(),
        clear_failures: Vec::new(),
        delete_history: Vec::new(),
        unlocked: Vec::new(),
        forget_operations: Vec::new(),
        again: BTreeSet::new(),
        bans: Vec::new(),
        stays: Vec::new(),
        leader: None,
        look_again: None,
        unfencing: false,
        given,
        absences,
        standings: Vec::new(),
        nodes_changed: false,
        foresees: true,
        active_after: None,
        turns: Vec::new(),
        restless: BTreeSet::new(),
    };
    arena.options.fencing_possible |= given.fencing_possible;
    unfold::announce_remote_nodes(&mut arena);
    unfold::unfold(&mut arena);
    let mut seen = see_nodes(&mut arena);
    arena.standings = trace::standings(&arena);
    read_histories(&mut arena, &mut seen);
    finish(&mut arena);
    arena
}

/// The nodes that the entries of a state speak of, in their order.
pub(crate) fn nodes_of(arena: &Arena<'_>, state: &State) -> Vec<Option<NodeIx>> {
    let names = NodeNames::of(&arena.nodes);
    state.nodes.iter().map(|entry| nodes::find(&names, entry)).collect()
}

fn is_full(arena: &Arena<'_>, node: NodeIx) -> bool {
    matches!(arena.node(node).kind, NodeKind::Member | NodeKind::Ping)
}

/// The entries of the state, each with its node.
fn entries<'s>(arena: &Arena<'s>) -> Vec<(NodeIx, &'s NodeState)> {
    let state = arena.state;
    let names = NodeNames::of(&arena.nodes);
    state.nodes.iter().filter_map(|entry| Some((nodes::find(&names, entry)?, entry))).collect()
}

/// Takes in how the nodes stand; the entries of the state that were used for that.
fn see_nodes(arena: &mut Arena<'_>) -> BTreeSet<NodeIx> {
    let fence_all = arena.options.no_quorum == super::arena::NoQuorum::Fence && !arena.state.quorum;
    for (node, entry) in entries(arena) {
        if is_full(arena, node) {
            nodes::see(arena, node, entry);
            if fence_all && arena.node(node).online {
                nodes::must_be_fenced(arena.node_mut(node), "the quorum is lost");
            }
        } else {
            nodes::see_remote(arena, node, Some(entry));
        }
    }
    entries(arena).into_iter().map(|(node, _)| node).collect()
}

/// Reads the histories of all nodes. What runs on a node that is reached through a connection is read only
/// when it is known that the connection is there, so this goes on until no more can be read.
fn read_histories(arena: &mut Arena<'_>, seen: &mut BTreeSet<NodeIx>) {
    let meanings = Meanings::of(arena);
    let mut read: BTreeSet<usize> = BTreeSet::new();
    // Bounded: each turn but the last reads at least one of the entries.
    while read_some(arena, &meanings, &mut read, seen, history::is_readable) {}
    if arena.options.fencing {
        read_some(arena, &meanings, &mut read, seen, |_, _| true);
    }
    for node in arena.node_numbers().filter(|node| !is_full(arena, *node)).collect::<Vec<_>>() {
        stop_connection_of_leaving(arena, node);
        if !seen.contains(&node) {
            nodes::judge_remote(arena, node);
        }
    }
}

/// Reads what can be read now; false if that is nothing. A removed connection may make a node known
/// while others are read, so the entries are looked up again each time.
fn read_some(
    arena: &mut Arena<'_>,
    meanings: &Meanings,
    read: &mut BTreeSet<usize>,
    seen: &mut BTreeSet<NodeIx>,
    is_readable: impl Fn(&Arena<'_>, NodeIx) -> bool,
) -> bool {
    let counts = failure::counts(arena);
    let state = arena.state;
    let before = read.len();
    let mut names = NodeNames::of(&arena.nodes);
    for (place, entry) in state.nodes.iter().enumerate() {
        if names.is_old(&arena.nodes) {
            names = NodeNames::of(&arena.nodes);
        }
        let Some(node) = nodes::find(&names, entry) else { continue };
        if read.contains(&place) || !is_readable(arena, node) {
            continue;
        }
        read.insert(place);
        if !is_full(arena, node) {
            if seen.insert(node) {
                nodes::see_remote(arena, node, Some(entry));
            }
            nodes::judge_remote(arena, node);
        }
        let absent = arena.absences.on(place, entry).iter();
        let absent = absent.map(|absence| absence.and_then(|absence| meanings.of_one(absence)));
        let all = entry.history.iter().zip(absent.chain(iter::repeat(None)));
        history::read(arena, &counts, node, all.clone());
        locate::bind_removed(arena, all.filter(|(_, absent)| absent.is_none()).map(|(entry, _)| entry));
    }
    read.len() > before
}

/// A node that leaves takes its connection with it.
fn stop_connection_of_leaving(arena: &mut Arena<'_>, node: NodeIx) {
    let connection = match arena.node(node).kind {
        NodeKind::Remote { connection } => connection,
        NodeKind::Guest { connection, .. } => Some(connection),
        NodeKind::Member | NodeKind::Ping => None,
    };
    if let Some(connection) = connection.filter(|_| arena.node(node).shutting_down) {
        arena[connection].next_role = Role::Stopped;
    }
}

/// Notes to which node a resource belongs that was shut down in order. It does no longer if it took too long,
/// or if the resource is active elsewhere.
fn lock(arena: &mut Arena<'_>, number: ResIx) {
    let limit_s = i64::try_from(arena.options.shutdown_lock_limit_s).unwrap_or(i64::MAX);
    let is_over =
        |since: i64| limit_s > 0 && arena.state.now.is_some_and(|now| now > since.saturating_add(limit_s));
    let (mut held, mut free) = (None, Vec::new());
    for history in &arena[number].history {
        match history.entry.locked_at {
            Some(since) if is_over(since) || !arena[number].active_on.is_empty() => free.push(history.node),
            Some(_) => held = held.or(Some(history.node)),
            None => {}
        }
    }
    arena[number].lock = held;
    arena.unlocked.extend(free.into_iter().map(|node| (number, node)));
}

fn finish(arena: &mut Arena<'_>) {
    for node in arena.node_numbers() {
        let heard = arena.is_available(node) || arena.node(node).maintenance;
        let node = arena.node_mut(node);
        node.heard = heard;
        node.was_online = node.online;
    }
    let places = arena.nodes.len();
    for number in arena.resource_numbers() {
        arena[number].allowed = NodeTable::new(places);
        if let Some(role) = arena[number].active_roles.values().copied().max() {
            arena[number].role = arena[number].role.max(role);
        }
        if arena.options.shutdown_lock {
            lock(arena, number);
        }
    }
    let counts = failure::counts(arena);
    if counts.is_empty() {
        return;
    }
    let mut named: BTreeMap<String, Vec<ResIx>> = BTreeMap::new();
    for number in arena.resource_numbers() {
        named.entry(without_instance(&arena[number].name).to_string()).or_default().push(number);
    }
    for (node, name) in counts.keys() {
        for number in named.get(name).cloned().unwrap_or_default() {
            let failures = failure::effective(arena, &counts, number, *node);
            if failures.count > Score::ZERO {
                arena[number].failures.insert(*node, failures);
                if arena[number].removed {
                    arena.clear_failures.push((number, *node, ClearWhy::Removed));
                }
            }
        }
    }
}
