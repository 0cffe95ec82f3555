//! The nodes: which there are, and how each stands.
//!
//! A node of which nothing is known may run anything, so where there is fencing it has to be fenced
//! before what it may run is started elsewhere. One that left in order does not.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::policy::{self, JoinState, NodeState, Score};

use crate::engine::{
    arena::{Arena, Node, NodeIx, NodeKind, Options},
    names::NodeNames,
    rules::{self, Context},
    values::{integer, truth},
};

/// A node of which nothing is known yet.
pub(super) fn unheard(id: &str, name: &str, kind: NodeKind) -> Node {
    Node {
        id: id.to_string(),
        name: name.to_string(),
        kind,
        score: Score::ZERO,
        online: false,
        pending: false,
        unclean: false,
        standby: false,
        standby_by_failure: false,
        maintenance: false,
        shutting_down: false,
        unseen: true,
        expected_up: false,
        reset_remote: false,
        remote_was_fenced: false,
        was_online: false,
        heard: false,
        no_discovery: false,
        fence_why: None,
        attributes: BTreeMap::new(),
        capacity: BTreeMap::new(),
        running: Vec::new(),
        assigned: 0,
        health: Score::ZERO,
    }
}

/// The nodes of the file. Those that are reached through a connection become more when resources are
/// unfolded.
pub(super) fn of_file(spec: &policy::Cluster, options: &Options, now: Option<i64>) -> Vec<Node> {
    let node = |written: &policy::Node| {
        let kind = match written.kind {
            policy::NodeKind::Member => NodeKind::Member,
            policy::NodeKind::Ping => NodeKind::Ping,
            policy::NodeKind::Remote => NodeKind::Remote { connection: None },
        };
        let mut node = unheard(&written.id, &written.name, kind);
        node.score = written.score;
        node.unclean = options.fencing && options.startup_fencing && kind == NodeKind::Member;
        add_attributes(&mut node, &written.attributes, now);
        add_capacity(&mut node, &written.utilization, now);
        node
    };
    spec.nodes.iter().map(node).collect()
}

/// Adds what a node has to give; what was said before counts.
fn add_capacity(node: &mut Node, sets: &[policy::AttributeSet], now: Option<i64>) {
    for (name, text) in rules::values(sets, &Context { now, ..Context::default() }) {
        if let Some(amount) = integer(&text) {
            node.capacity.entry(name).or_insert(amount);
        }
    }
}

/// Adds what a node says of itself; what it said before counts.
fn add_attributes(node: &mut Node, sets: &[policy::AttributeSet], now: Option<i64>) {
    let values = {
        let known = |name: &str| attribute(node, name);
        rules::values(sets, &Context { now, attribute: Some(&known), ..Context::default() })
    };
    for (name, value) in values {
        node.attributes.entry(name).or_insert(value);
    }
}

/// An attribute that rules may ask for.
pub(crate) fn attribute(node: &Node, name: &str) -> Option<String> {
    match name {
        "#uname" => Some(node.name.clone()),
        "#id" => Some(node.id.clone()),
        "#kind" => Some(kind_word(node.kind).to_string()),
        _ => node.attributes.get(name).cloned(),
    }
}

fn kind_word(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Member => "cluster",
        NodeKind::Ping => "ping",
        NodeKind::Remote { .. } => "remote",
        NodeKind::Guest { .. } => "container",
    }
}

/// The node that an entry of the state speaks of.
pub(super) fn find(names: &NodeNames, entry: &NodeState) -> Option<NodeIx> {
    names.with_id(&entry.id).or_else(|| names.named(entry.name.as_ref()?))
}

/// Takes in what is known of a full node.
pub(super) fn see(arena: &mut Arena<'_>, number: NodeIx, entry: &NodeState) {
    let (now, options) = (arena.state.now, arena.options.clone());
    let is_leader = arena.state.leader.as_deref().is_some_and(|leader| leader == entry.id);
    if is_leader {
        arena.leader = Some(number);
    }
    let node = arena.node_mut(number);
    node.unseen = false;
    node.unclean = false;
    node.attributes.insert("#is_dc".to_string(), is_leader.to_string());
    take_transient(node, entry, now);
    node.shutting_down =
        node.attributes.get("shutdown").is_some_and(|value| value != "0" && !value.is_empty());
    node.expected_up = entry.expected_up == Some(true);
    node.standby = is_true(node, "standby");
    node.maintenance |= is_true(node, "maintenance");
    node.no_discovery =
        node.attributes.get("resource-discovery-enabled").and_then(|text| truth(text)) == Some(false);
    node.online =
        if options.fencing { with_fencing(node, entry, &options, now) } else { without_fencing(node, entry) };
    if !node.online || node.shutting_down {
        node.score = Score::NEVER;
    }
}

/// What a node says of itself for now is stronger than what was written.
fn take_transient(node: &mut Node, entry: &NodeState, now: Option<i64>) {
    let values = {
        let known = |name: &str| attribute(node, name);
        rules::values(&entry.attributes, &Context { now, attribute: Some(&known), ..Context::default() })
    };
    node.attributes.extend(values);
    add_capacity(node, &entry.utilization, now);
}

fn is_true(node: &Node, name: &str) -> bool {
    node.attributes.get(name).and_then(|text| truth(text)) == Some(true)
}

fn is_there(since: Option<i64>) -> bool {
    since.is_some_and(|since| since > 0)
}

fn without_fencing(node: &mut Node, entry: &NodeState) -> bool {
    if !is_there(entry.member) {
        return false;
    }
    if is_there(entry.process) {
        return entry.join == Some(JoinState::Member);
    }
    if node.expected_up {
        must_be_fenced(node, "its cluster process is gone");
    }
    false
}

fn with_fencing(node: &mut Node, entry: &NodeState, options: &Options, now: Option<i64>) -> bool {
    let (member, process) = (is_there(entry.member), is_there(entry.process));
    let asked_to_end = node
        .attributes
        .get("terminate")
        .is_some_and(|value| truth(value) == Some(true) || integer(value).is_some_and(|since| since > 0));
    if node.shutting_down {
        return process;
    }
    if entry.member.is_none() {
        must_be_fenced(node, "it has not been seen by the cluster");
    } else if entry.join == Some(JoinState::Banned) {
        must_be_fenced(node, "it was refused as a member");
    } else if asked_to_end {
        let is_gone = !member && !process && matches!(entry.join, Some(JoinState::Down) | None);
        if !is_gone {
            must_be_fenced(node, "it was asked for");
        }
    } else if !node.expected_up {
        if member || process {
            see_pending(node, entry, options, now);
        }
    } else if !member {
        must_be_fenced(node, "it is no longer part of the cluster");
    } else if !process {
        must_be_fenced(node, "its cluster process is gone");
    } else {
        match entry.join {
            Some(JoinState::Member) => {}
            Some(JoinState::Pending | JoinState::Down) => {
                node.pending = true;
                node.standby = true;
            }
            Some(JoinState::Banned) | None => must_be_fenced(node, "it is in an unknown state"),
        }
    }
    member
}

/// A node on its way gets nothing; one that is on its way for too long is fenced.
fn see_pending(node: &mut Node, entry: &NodeState, options: &Options, now: Option<i64>) {
    let limit = options.node_pending_timeout_s as i64;
    let since = entry.member.filter(|since| *since > 1 && !is_there(entry.process));
    let too_long = since.zip(now).is_some_and(|(since, now)| limit > 0 && now - since >= limit);
    if too_long {
        must_be_fenced(node, "it is on its way for too long");
    } else {
        node.pending = true;
        node.standby = true;
    }
}

/// Notes that a node has to be fenced, and the first reason for it.
pub(super) fn must_be_fenced(node: &mut Node, why: &str) {
    node.unclean = true;
    node.fence_why.get_or_insert_with(|| why.to_string());
}

/// Notes that a node has to be fenced: the container of a guest, the connection of a remote node.
pub(crate) fn fence(arena: &mut Arena<'_>, number: NodeIx, why: &str) {
    match arena.node(number).kind {
        NodeKind::Guest { container, .. } => {
            // A guest is fenced by recovering its container; that is for its managed container only.
            if !arena[container].failed && arena[container].managed {
                arena.node_mut(number).reset_remote = true;
                let container = &mut arena[container];
                container.failed = true;
                container.stop_wanted = true;
            }
        }
        NodeKind::Remote { connection } => {
            if connection.is_some_and(|connection| !arena[connection].managed) {
                return;
            }
            let node = arena.node_mut(number);
            if !node.remote_was_fenced {
                node.reset_remote = true;
                must_be_fenced(node, why);
            }
        }
        NodeKind::Member | NodeKind::Ping => must_be_fenced(arena.node_mut(number), why),
    }
}

/// Takes in what is known of a node that is reached through a connection: it is as its connection is.
pub(super) fn see_remote(arena: &mut Arena<'_>, number: NodeIx, entry: Option<&NodeState>) {
    let now = arena.state.now;
    let node = arena.node_mut(number);
    if let Some(entry) = entry {
        node.unseen = false;
        node.unclean = false;
        node.remote_was_fenced = entry.fenced;
        take_transient(node, entry, now);
        node.maintenance |= entry.in_maintenance;
    }
    node.shutting_down =
        node.attributes.get("shutdown").is_some_and(|value| value != "0" && !value.is_empty());
    node.standby = is_true(node, "standby");
    node.maintenance |= is_true(node, "maintenance");
    node.no_discovery =
        node.attributes.get("resource-discovery-enabled").and_then(|text| truth(text)) == Some(false);
}

/// Whether a node that is reached through a connection is there.
pub(super) fn judge_remote(arena: &mut Arena<'_>, number: NodeIx) {
    use heart_model::policy::Role;
    let (connection, container) = match arena.node(number).kind {
        NodeKind::Remote { connection: Some(connection) } => (connection, None),
        NodeKind::Guest { connection, container } => (connection, Some(container)),
        NodeKind::Remote { connection: None } | NodeKind::Member | NodeKind::Ping => return,
    };
    let container_failed = container.is_some_and(|container| arena[container].failed);
    let container_stopped = container.is_some_and(|container| !arena[container].role.is_running());
    let host = container.and_then(|container| match arena[container].active_on.as_slice() {
        [host] => Some(*host),
        [] | [_, ..] => None,
    });
    let host_is_gone = host.is_some_and(|host| !arena.node(host).online && arena.node(host).unclean);
    let resource = &arena[connection];
    let (role, next, failed) = (resource.role, resource.next_role, resource.failed);
    let node = arena.node_mut(number);
    if role.is_running() && next == Role::Stopped {
        node.shutting_down = true;
    }
    if role.is_running() {
        node.online = true;
    }
    if container_failed {
        node.online = false;
        node.reset_remote = true;
    } else if failed {
        node.online = false;
    } else if !role.is_running() || container_stopped {
        node.online = false;
        node.reset_remote = false;
    } else if host_is_gone {
        node.online = false;
        node.reset_remote = true;
    }
}
