//! Which resource a history speaks of.
//!
//! Instances of an anonymous clone are alike, so a history names none of them: it is given to the instance
//! that is active on that node already, else to one that is active nowhere, else to an extra one that is
//! to go.

use alloc::{collections::BTreeMap, format, string::String};

use heart_model::policy::ResourceHistory;

use super::{
    failure::without_instance,
    unfold::{add_instance, insert, is_connection, join_node},
};
use crate::engine::arena::{Arena, Cause, Kind, NodeIx, NodeKind, Requires, ResIx};

/// The resource that this history speaks of; one that is not configured is made up, to be stopped.
pub(super) fn locate(arena: &mut Arena<'_>, node: NodeIx, entry: &ResourceHistory) -> ResIx {
    let id = entry.resource.as_str();
    let exact = arena.by_id.get(id).copied();
    if let Some(found) = exact.filter(|found| arena[*found].kind == Kind::Primitive)
        && arena.clone_of(found).is_none()
    {
        return found;
    }
    let base = without_instance(id);
    let found = exact
        .or_else(|| arena.by_id.get(base).copied())
        .or_else(|| arena.by_id.get(format!("{base}:0").as_str()).copied());
    let found = found.filter(|found| arena[*found].kind == Kind::Primitive);
    let Some(found) = found else { return make_up(arena, entry) };
    let Some(clone) = arena.clone_of(found) else {
        return exact.filter(|exact| *exact == found).unwrap_or_else(|| make_up(arena, entry));
    };
    if arena[clone].unique {
        return exact.unwrap_or_else(|| one_too_many(arena, found, entry));
    }
    anonymous(arena, clone, node, base)
}

/// The instance of an anonymous clone that this history is given to.
fn anonymous(arena: &mut Arena<'_>, clone: ResIx, node: NodeIx, base: &str) -> ResIx {
    if let Some(inside) = of_bundle(arena, clone, node) {
        return member_called(arena, inside, base).unwrap_or(inside);
    }
    let (mut chosen, mut idle, mut only_active) = (None, None, false);
    for child in arena[clone].children.iter().copied() {
        let is_here = arena[child].active_on.first() == Some(&node);
        let is_open = idle.is_none() && arena[child].active_on.is_empty();
        // Most are neither, and there may be very many.
        if !is_here && !is_open {
            continue;
        }
        let Some(member) = member_called(arena, child, base) else { continue };
        if is_here {
            // A second history of the same name is of an instance that is one too many.
            if arena[member].active_on.is_empty() {
                chosen = Some(member);
                break;
            }
            only_active = true;
            continue;
        }
        let is_idle = is_open && !arena[member].blocked;
        let taken = arena[member]
            .history
            .iter()
            .any(|history| history.node != node && arena[member].pending_task.is_some());
        if is_idle && !taken {
            idle = Some(member);
        }
    }
    let chosen = chosen.or(idle.filter(|_| !only_active));
    let unclean = !arena.node(node).online || arena.node(node).unclean;
    let is_guest = matches!(arena.node(node).kind, NodeKind::Guest { .. });
    // With an instance for every node there is none to be spared.
    let universal = arena[clone].clone.is_some_and(|facts| facts.max as usize == arena.nodes.len());
    let spare = chosen.filter(|chosen| {
        !unclean
            || is_guest
            || universal
            || matches!(arena[*chosen].requires, Requires::Fencing | Requires::Unfencing)
    });
    spare.unwrap_or_else(|| extra(arena, clone, base))
}

/// Inside a bundle each node has its own instance.
fn of_bundle(arena: &Arena<'_>, clone: ResIx, node: NodeIx) -> Option<ResIx> {
    let bundle = arena[arena[clone].parent?].bundle.as_ref()?;
    bundle.replicas.iter().find(|replica| replica.node == Some(node))?.inner
}

fn member_called(arena: &Arena<'_>, instance: ResIx, base: &str) -> Option<ResIx> {
    if without_instance(&arena[instance].id) == base {
        return Some(instance);
    }
    arena[instance].children.iter().copied().find(|member| without_instance(&arena[*member].id) == base)
}

/// One instance more than the clone shall have.
fn extra(arena: &mut Arena<'_>, clone: ResIx, base: &str) -> ResIx {
    let inner = match arena[clone].source.map(|source| &source.body) {
        Some(heart_model::policy::Body::Clone(inner)) => Some(&**inner),
        _ => arena[clone].children.first().and_then(|child| arena[*child].source),
    };
    let number = arena[clone].children.len() as u32;
    let Some(inner) = inner else { return clone };
    let instance = add_instance(arena, clone, inner, number);
    let members = arena[instance].children.clone();
    for part in core::iter::once(instance).chain(members) {
        arena[part].removed = true;
    }
    member_called(arena, instance, base).unwrap_or(instance)
}

/// An instance that a clone shall not have is to go, unless the clone is to be left alone.
fn one_too_many(arena: &mut Arena<'_>, alike: ResIx, entry: &ResourceHistory) -> ResIx {
    let made = make_up(arena, entry);
    let (managed, maintenance) = (arena[alike].managed, arena[alike].maintenance);
    arena[made].managed &= managed;
    arena[made].maintenance |= maintenance;
    made
}

/// Makes up a resource that is not configured any more: it is to be stopped, and forgotten.
fn make_up(arena: &mut Arena<'_>, entry: &ResourceHistory) -> ResIx {
    if let Some(known) = arena.by_id.get(&entry.resource).filter(|known| arena[**known].removed) {
        return *known;
    }
    let meta: BTreeMap<String, String> = BTreeMap::new();
    let id = entry.resource.clone();
    let made = insert(arena, id.clone(), id.clone(), None, Kind::Primitive, entry.agent.clone(), None, meta);
    arena.top.push(made);
    arena[made].removed = true;
    arena[made].requires =
        if arena.options.fencing && !arena[made].fence_device { Requires::Fencing } else { Requires::Quorum };
    if !arena.options.stop_removed_resources {
        arena[made].managed = false;
    }
    if is_connection(&entry.agent) {
        join_node(arena, made, &id, NodeKind::Remote { connection: Some(made) });
        if let Some(node) = arena[made].connection_to {
            arena.node_mut(node).shutting_down = true;
        }
    }
    arena.bans.push((made, None, Cause::Removed));
    made
}

/// Binds removed resources to the containers that held them, as soon as those are known, too.
pub(super) fn bind_removed<'s>(arena: &mut Arena<'_>, entries: impl Iterator<Item = &'s ResourceHistory>) {
    for entry in entries {
        let Some(container) = entry.container.as_ref().and_then(|name| arena.by_id.get(name)).copied() else {
            continue;
        };
        let Some(part) = arena.by_id.get(&entry.resource).copied() else { continue };
        if !arena[part].removed || arena[part].container.is_some() || part == container {
            continue;
        }
        arena[part].container = Some(container);
        arena[container].contains.push(part);
        if let Some(node) = arena[part].connection_to {
            arena.node_mut(node).kind = NodeKind::Guest { connection: part, container };
        }
    }
}
