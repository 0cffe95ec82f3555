//! What will be when all of it has succeeded.
//!
//! What is done is done to the arena itself: nobody reads it after this.

use alloc::vec::Vec;

use heart_model::policy::{Role, Verb};

use super::{
    draft::Draft,
    emit::Plan,
    table::{ActionIx, Doing},
};
use crate::engine::{
    arena::{Kind, NodeIx, NodeKind, ResIx},
    outcome::Picture,
    picture,
};

/// The picture after everything in the plan has succeeded.
pub(super) fn after(draft: &mut Draft<'_, '_>, plan: &Plan) -> Picture {
    for action in &plan.sequence {
        succeed(draft, *action);
    }
    follow_connections(draft);
    count_active(draft);
    picture::before(draft.arena)
}

fn succeed(draft: &mut Draft<'_, '_>, action: ActionIx) {
    let found = &draft.table[action];
    let (resource, node, doing) = (found.resource, found.node, found.doing);
    let Some(node) = node else { return };
    let Some(resource) = resource else {
        if doing == Doing::Fence {
            fenced(draft, node);
        }
        return;
    };
    match doing {
        Doing::Do(Verb::Stop) => leave(draft, resource, node),
        Doing::Do(Verb::Start) | Doing::MigrateFrom => arrive(draft, resource, node),
        Doing::Do(Verb::Promote) => change(draft, resource, Role::Promoted),
        Doing::Do(Verb::Demote) => change(draft, resource, Role::Unpromoted),
        Doing::Done(_)
        | Doing::MigrateTo
        | Doing::Reload
        | Doing::Probe
        | Doing::Recur(_)
        | Doing::Cancel(_)
        | Doing::DeleteHistory
        | Doing::ClearFailures
        | Doing::Tell(..)
        | Doing::Told(..)
        | Doing::Fence
        | Doing::Unfence
        | Doing::Shutdown
        | Doing::Freed
        | Doing::Enough(_) => {}
    }
}

fn leave(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx) {
    let found = &mut draft.arena[resource];
    found.active_on.retain(|at| *at != node);
    found.active_roles.remove(&node);
    found.pending_task = None;
    if found.active_on.is_empty() {
        found.role = Role::Stopped;
    }
}

fn arrive(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx) {
    let clone = draft.arena.clone_of(resource).and_then(|clone| draft.arena[clone].clone);
    let promotable = clone.is_some_and(|clone| clone.promotable);
    let found = &mut draft.arena[resource];
    found.pending_task = None;
    found.failed = false;
    if !found.active_on.contains(&node) {
        found.active_on.push(node);
    }
    if !found.role.is_running() {
        found.role = if promotable { Role::Unpromoted } else { Role::Started };
    }
}

fn change(draft: &mut Draft<'_, '_>, resource: ResIx, role: Role) {
    let found = &mut draft.arena[resource];
    found.pending_task = None;
    if !found.active_on.is_empty() {
        found.role = role;
    }
}

/// Nothing is left on a node that was fenced.
fn fenced(draft: &mut Draft<'_, '_>, node: NodeIx) {
    for resource in draft.arena.resource_numbers() {
        if draft.arena[resource].active_on.contains(&node) {
            leave(draft, resource, node);
        }
    }
    let found = draft.arena.node_mut(node);
    found.online = false;
    found.unclean = false;
    found.pending = false;
    found.standby_by_failure = false;
    found.shutting_down = false;
}

/// A remote node or a guest is there when its connection is.
fn follow_connections(draft: &mut Draft<'_, '_>) {
    for node in draft.arena.node_numbers() {
        let (connection, container) = match draft.arena.node(node).kind {
            NodeKind::Remote { connection: Some(connection) } => (connection, None),
            NodeKind::Guest { connection, container } => (connection, Some(container)),
            NodeKind::Remote { connection: None } | NodeKind::Member | NodeKind::Ping => continue,
        };
        let runs = |of: ResIx| draft.arena[of].role.is_running() && !draft.arena[of].active_on.is_empty();
        let is_connected = runs(connection) && container.is_none_or(runs);
        let found = draft.arena.node_mut(node);
        found.unclean &= !is_connected;
        found.online = is_connected;
    }
}

/// Notes what is active on each node.
fn count_active(draft: &mut Draft<'_, '_>) {
    let mut running: Vec<Vec<ResIx>> = alloc::vec![Vec::new(); draft.arena.nodes.len()];
    for resource in draft.arena.resource_numbers() {
        if draft.arena[resource].kind == Kind::Primitive {
            for node in &draft.arena[resource].active_on {
                running[node.0 as usize].push(resource);
            }
        }
    }
    for (node, running) in draft.arena.node_numbers().zip(running) {
        draft.arena.node_mut(node).running = running;
    }
}
