//! What belongs to a node that was shut down in order waits for it, if the cluster is told so.

use heart_model::policy::{Discovery, Score};

use super::add;
use crate::engine::{
    arena::{Arena, Cause, Kind, NodeIx, ResIx},
    values::integer,
};

/// Bans what is locked from all nodes but its own.
pub(super) fn apply(arena: &mut Arena<'_>) {
    if !arena.options.shutdown_lock {
        return;
    }
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        let lockable = resource.kind == Kind::Primitive
            && !resource.fence_device
            && resource.connection_to.is_none()
            && arena.clone_of(number).is_none()
            && arena[arena.outermost(number)].kind != Kind::Bundle;
        if let Some((node, since)) = lock_of(arena, number).filter(|_| lockable) {
            lock(arena, number, node, since);
        }
    }
}

/// Whose the resource is, and since when.
fn lock_of(arena: &Arena<'_>, number: ResIx) -> Option<(NodeIx, Option<i64>)> {
    let resource = &arena[number];
    if let [node] = resource.active_on.as_slice() {
        let told = arena.node(*node);
        let since = told.attributes.get("shutdown").and_then(|text| integer(text));
        return (told.shutting_down && !told.unclean).then_some((*node, since));
    }
    let node = resource.lock?;
    let history = resource.history.iter().find(|history| history.node == node);
    Some((node, history.and_then(|history| history.entry.locked_at)))
}

fn lock(arena: &mut Arena<'_>, number: ResIx, node: NodeIx, since: Option<i64>) {
    let limit = i64::try_from(arena.options.shutdown_lock_limit_s).unwrap_or(i64::MAX);
    if limit > 0
        && let Some((since, now)) = since.zip(arena.state.now)
    {
        // What is over only then was found to be over already.
        let end = since.saturating_add(limit).saturating_add(1).max(now);
        arena.look_again = Some(arena.look_again.map_or(end, |earlier| earlier.min(end)));
    }
    arena[number].lock = Some(node);
    for other in arena.node_numbers().filter(|other| *other != node) {
        add(arena, number, other, Score::NEVER, Discovery::Always, Cause::Locked);
    }
}
