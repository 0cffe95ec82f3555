//! What is done on a remote node or a guest is done through its connection.
//!
//! So it comes after the connection's start and before its stop. If the connection is lost and nobody can
//! have it again, the node has to be fenced before what runs there can run elsewhere.

use heart_model::policy::{Role, Verb};

use super::{
    draft::Draft,
    relation::{End, Properties as P},
    table::{ActionIx, Doing, START, STOP},
};
use crate::engine::{
    arena::{NodeIx, NodeKind, ResIx},
    facts,
};

/// How a remote node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// It can be told anything.
    Alive,
    /// It will be connected from elsewhere.
    Resting,
    /// It is not connected, and nobody knows better.
    Unknown,
    /// Its connection ends in order.
    Stopped,
    /// Its connection is lost.
    Failed,
}

/// Notes the relations of everything that is done on remote nodes and guests.
pub(super) fn relate(draft: &mut Draft<'_, '_>) {
    for action in draft.table.numbers() {
        let found = &draft.table[action];
        let (Some(resource), Some(node), doing) = (found.resource, found.node, found.doing) else { continue };
        if doing == Doing::ClearFailures && draft.arena[resource].connection_to.is_some() {
            draft.relate(End::Action(action), End::Of(resource, START), P::ORDERED);
            continue;
        }
        if draft.table[action].point || matches!(doing, Doing::Cancel(_)) {
            continue;
        }
        match draft.arena.node(node).kind {
            NodeKind::Member | NodeKind::Ping | NodeKind::Remote { connection: None } => {}
            NodeKind::Remote { connection: Some(connection) } => {
                keep_until_connected(draft, resource, node, doing, connection);
                through_remote(draft, action, node, connection);
            }
            NodeKind::Guest { connection, container } => {
                keep_until_connected(draft, resource, node, doing, connection);
                through_guest(draft, action, node, connection, container);
            }
        }
    }
}

/// What moves to a remote node keeps running elsewhere until the connection is there.
fn keep_until_connected(
    draft: &mut Draft<'_, '_>,
    resource: ResIx,
    node: NodeIx,
    doing: Doing,
    connection: ResIx,
) {
    if doing != START {
        return;
    }
    for stop in draft.table.of(resource, STOP) {
        if draft.table[stop].node != Some(node) {
            draft.relate(End::Of(connection, START), End::Action(stop), P::ORDERED);
        }
    }
}

fn after_start(draft: &mut Draft<'_, '_>, of: ResIx, action: ActionIx, more: P) {
    let properties = P::ORDERED | P::BLOCKS_THEN | more;
    draft.relate(End::Of(of, START), End::Action(action), properties);
}

fn before_stop(draft: &mut Draft<'_, '_>, of: ResIx, action: ActionIx, more: P) {
    draft.relate(End::Action(action), End::Of(of, STOP), P::ORDERED | more);
}

/// Whether a remote node is not there and its connection is lost for good.
pub(super) fn is_lost(draft: &Draft<'_, '_>, node: NodeIx) -> bool {
    let found = draft.arena.node(node);
    match found.kind {
        NodeKind::Remote { connection: Some(connection) } => {
            !found.online && state_of(draft, node, connection) == Connection::Failed
        }
        NodeKind::Remote { connection: None }
        | NodeKind::Member
        | NodeKind::Ping
        | NodeKind::Guest { .. } => false,
    }
}

fn state_of(draft: &Draft<'_, '_>, node: NodeIx, connection: ResIx) -> Connection {
    let found = &draft.arena[connection];
    let host = found.active_on.first().map(|host| draft.arena.node(*host));
    if found.assigned.is_none() || found.next_role == Role::Stopped {
        if host.is_some_and(|host| host.unclean) {
            return Connection::Failed;
        }
        if !found.failed {
            return Connection::Stopped;
        }
        let waits = facts::has_reconnect_interval(draft.arena, connection);
        let remote = draft.arena.node(node);
        let tries_again =
            found.next_role == Role::Stopped && waits && remote.remote_was_fenced && !remote.shutting_down;
        return if tries_again { Connection::Unknown } else { Connection::Failed };
    }
    match host {
        None => Connection::Unknown,
        Some(host) if host.unclean || !host.online => Connection::Resting,
        Some(_) if found.active_on.len() > 1 && found.migration.is_some() => Connection::Resting,
        Some(_) => Connection::Alive,
    }
}

fn through_remote(draft: &mut Draft<'_, '_>, action: ActionIx, node: NodeIx, connection: ResIx) {
    let state = state_of(draft, node, connection);
    let none = P::default();
    match draft.table[action].doing {
        Doing::Do(Verb::Start | Verb::Promote) => {
            let more = if state == Connection::Failed { P::FORCES_THEN } else { none };
            after_start(draft, connection, action, more);
        }
        Doing::Do(Verb::Stop) => match state {
            Connection::Alive => before_stop(draft, connection, action, P::NEEDED_BY_THEN),
            Connection::Failed => {
                facts::fence_node(draft.arena, node, "what runs there is reached no more");
            }
            Connection::Resting | Connection::Unknown | Connection::Stopped => {
                if draft.arena[connection].next_role == Role::Stopped {
                    before_stop(draft, connection, action, P::NEEDED_BY_THEN);
                } else {
                    after_start(draft, connection, action, none);
                }
            }
        },
        Doing::Do(Verb::Demote) => match state {
            Connection::Resting | Connection::Unknown => after_start(draft, connection, action, none),
            Connection::Alive | Connection::Stopped | Connection::Failed => {}
        },
        Doing::Recur(_) => after_start(draft, connection, action, P::FORCES_THEN),
        Doing::Probe => {
            if state == Connection::Failed {
                facts::fence_node(draft.arena, node, "nobody knows what runs there");
            }
            if state == Connection::Stopped && !draft.arena[connection].active_on.is_empty() {
                before_stop(draft, connection, action, P::BLOCKS_THEN);
            } else {
                after_start(draft, connection, action, none);
            }
        }
        _ => after_start(draft, connection, action, none),
    }
}

fn through_guest(
    draft: &mut Draft<'_, '_>,
    action: ActionIx,
    node: NodeIx,
    connection: ResIx,
    container: ResIx,
) {
    let container_failed = draft.arena[container].failed;
    if container_failed {
        facts::fence_node(draft.arena, node, "its container failed");
    }
    let none = P::default();
    match draft.table[action].doing {
        Doing::Do(Verb::Start | Verb::Promote) => {
            after_start(draft, container, action, P::FORCES_THEN);
            after_start(draft, connection, action, none);
        }
        Doing::Do(Verb::Stop | Verb::Demote) => {
            // If the container failed, its stop implies this one.
            if !container_failed {
                before_stop(draft, connection, action, none);
            }
        }
        Doing::Recur(_) => after_start(draft, connection, action, P::FORCES_THEN),
        _ => after_start(draft, connection, action, none),
    }
}
