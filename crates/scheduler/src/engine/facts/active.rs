//! What is active where, and what follows when it is active where it should not be.

use heart_model::policy::{Role, Score};

use super::{nodes::fence, unfold::is_connection};
use crate::engine::{
    arena::{Arena, Cause, Kind, MultipleActive, NodeIx, NodeKind, OnFail, Requires, ResIx},
    rules::{self, Context},
    values::milliseconds,
};

/// Notes that a primitive is active on a node, with everything that it is part of.
pub(super) fn add(arena: &mut Arena<'_>, resource: ResIx, node: NodeIx, role: Role) {
    let known = arena[resource].active_roles.entry(node).or_insert(role);
    *known = role.max(*known);
    if arena[resource].active_on.contains(&node) {
        return;
    }
    arena[resource].active_on.push(node);
    if arena[resource].kind == Kind::Primitive {
        arena.node_mut(node).running.push(resource);
        if arena.node(node).maintenance {
            arena[resource].managed = false;
            arena[resource].maintenance = true;
        }
    }
    if arena[resource].managed {
        judge_many(arena, resource);
    } else {
        let mut at = Some(resource);
        // What is not ours to touch stays where it is. Bounded by how deep resources are nested.
        while let Some(number) = at {
            arena.stays.push((number, node));
            at = arena[number].parent;
        }
    }
    if let Some(parent) = arena[resource].parent {
        add(arena, parent, node, role);
    }
}

/// What is active on several nodes is dealt with as its options say.
fn judge_many(arena: &mut Arena<'_>, resource: ResIx) {
    if arena[resource].kind != Kind::Primitive || arena[resource].active_on.len() < 2 {
        return;
    }
    match arena[resource].multiple_active {
        MultipleActive::StopStart | MultipleActive::StopUnexpected => {}
        MultipleActive::StopOnly => arena.bans.push((resource, None, Cause::TargetRole)),
        MultipleActive::Block => block_all(arena, resource),
    }
}

fn block_all(arena: &mut Arena<'_>, resource: ResIx) {
    let parent = arena[resource].parent;
    let whole = parent.filter(|parent| {
        matches!(arena[*parent].kind, Kind::Group | Kind::Bundle)
            && arena[*parent].multiple_active == MultipleActive::Block
    });
    let members = whole.map(|whole| arena[whole].children.clone()).unwrap_or_default();
    for part in core::iter::once(resource).chain(members) {
        arena[part].managed = false;
        arena[part].blocked = true;
    }
}

/// Where a primitive counts as active: one that needs no fencing is not looked for on nodes that may be
/// off.
pub(crate) fn clean_places(arena: &Arena<'_>, resource: ResIx) -> impl Iterator<Item = NodeIx> {
    let needs_fencing = matches!(arena[resource].requires, Requires::Fencing | Requires::Unfencing);
    let fits = move |node: &NodeIx| needs_fencing || (arena.node(*node).online && !arena.node(*node).unclean);
    arena[resource].active_on.iter().copied().filter(fits)
}

/// Draws the consequences of what was read of a resource on a node.
pub(super) fn settle(
    arena: &mut Arena<'_>,
    resource: ResIx,
    node: NodeIx,
    role: Option<Role>,
    on_fail: OnFail,
) {
    let Some(role) = role else { return };
    know(arena, resource, node);
    doubt(arena, resource, node, role);
    let effective = if arena.node(node).unclean { OnFail::Ignore } else { on_fail };
    act_on(arena, resource, node, role, effective);
    mark_connection(arena, resource);
    if role.is_running() {
        match effective {
            OnFail::Ignore => {}
            OnFail::Demote | OnFail::Block => arena[resource].failed = true,
            OnFail::Restart
            | OnFail::ResetRemote
            | OnFail::RestartContainer
            | OnFail::Ban
            | OnFail::Stop
            | OnFail::Standby
            | OnFail::Fence => {
                arena[resource].failed = true;
                arena[resource].stop_wanted = true;
            }
        }
        add(arena, resource, node, role);
    }
    arena[resource].role = arena[resource].role.max(role);
}

/// What should be running on a node that is not there may run still.
fn doubt(arena: &mut Arena<'_>, resource: ResIx, node: NodeIx, role: Role) {
    let found = arena.node(node);
    if !role.is_running() || found.online || found.maintenance || !arena[resource].managed {
        return;
    }
    let why = "what runs there cannot be stopped otherwise";
    match found.kind {
        NodeKind::Guest { .. } => {
            arena[resource].failed = true;
            arena[resource].stop_wanted = true;
            fence(arena, node, why);
        }
        NodeKind::Remote { connection } if arena.options.fencing => {
            // If its connection may come up somewhere else, that is tried first.
            if connection.is_some_and(|connection| !arena[connection].failed) {
                arena.node_mut(node).unseen = true;
            }
            fence(arena, node, why);
        }
        NodeKind::Member | NodeKind::Ping if arena.options.fencing => fence(arena, node, why),
        NodeKind::Remote { .. } | NodeKind::Member | NodeKind::Ping => {}
    }
}

/// Notes that the state on a node is known, also of what the resource is an anonymous part of.
pub(super) fn know(arena: &mut Arena<'_>, resource: ResIx, node: NodeIx) {
    let mut at = Some(resource);
    // Bounded by how deep resources are nested.
    while let Some(number) = at {
        arena[number].known_on.insert(node);
        at = arena[number].parent.filter(|_| !arena[number].unique);
    }
}

fn act_on(arena: &mut Arena<'_>, resource: ResIx, node: NodeIx, role: Role, on_fail: OnFail) {
    match on_fail {
        OnFail::Ignore => {}
        OnFail::Demote => arena[resource].demote_wanted = true,
        OnFail::Fence => fence(arena, node, "a failure there is answered with it"),
        OnFail::Standby => {
            arena.node_mut(node).standby = true;
            arena.node_mut(node).standby_by_failure = true;
        }
        OnFail::Block => {
            arena[resource].managed = false;
            arena[resource].blocked = true;
        }
        OnFail::Ban => arena.bans.push((resource, Some(node), Cause::Failures)),
        OnFail::Stop => arena[resource].next_role = Role::Stopped,
        OnFail::Restart => fail(arena, resource, role),
        OnFail::RestartContainer => {
            arena[resource].failed = true;
            arena[resource].stop_wanted = true;
            if let Some(container) = arena[resource].container {
                arena[container].stop_wanted = true;
            }
        }
        OnFail::ResetRemote => {
            arena[resource].failed = true;
            arena[resource].stop_wanted = true;
            if arena.options.fencing
                && let Some(remote) = arena[resource].connection_to
                && !arena.node(remote).remote_was_fenced
            {
                fence(arena, remote, "its connection cannot be had again");
            }
            if has_reconnect_interval(arena, resource) {
                arena[resource].next_role = Role::Stopped;
            }
        }
    }
}

/// Whether a connection that failed is left alone for a while before it is tried again.
pub(crate) fn has_reconnect_interval(arena: &Arena<'_>, resource: ResIx) -> bool {
    reconnects_after_s(arena, resource).is_some()
}

/// For how long a connection that failed is left alone: seconds; None if it is not.
pub(super) fn reconnects_after_s(arena: &Arena<'_>, resource: ResIx) -> Option<i64> {
    let source = arena[resource].source.filter(|_| is_connection(&arena[resource].agent))?;
    let context = Context { now: arena.state.now, ..Context::default() };
    let parameters = rules::values(&source.parameters, &context);
    let said = parameters.get("reconnect_interval").and_then(|text| milliseconds(text));
    let wait_s = said.filter(|wait| *wait > 0)? / 1000;
    Some(i64::try_from(wait_s).unwrap_or(i64::MAX))
}

fn fail(arena: &mut Arena<'_>, resource: ResIx, role: Role) {
    if role.is_running() {
        arena[resource].failed = true;
        arena[resource].stop_wanted = true;
    }
}

/// Where a connection failed, its node is fenced whether or not it comes up again.
fn mark_connection(arena: &mut Arena<'_>, resource: ResIx) {
    if let Some(remote) = arena[resource].connection_to.filter(|_| arena[resource].failed)
        && arena.node(remote).unclean
    {
        arena.node_mut(remote).unseen = false;
    }
}

/// What an unmanaged resource likes best is where it is.
pub(crate) const STAYS: Score = Score::INFINITY;
