//! Colocations that nobody wrote: members of a group go where the one before them is, what belongs to a
//! container goes where that is.

use alloc::{string::String, vec::Vec};

use heart_model::policy::Score;

use super::{
    super::arena::{Arena, Cause, Kind, NodeIx, NodeKind, Pair, ResIx},
    pair_up,
};

/// How gladly the connection into a bundle's container is where the container is. It is no must: a
/// container may be on a remote node, where no connection can be.
const CONNECTION: i64 = 10_000;

/// Adds all of them, and keeps what is in a guest within it.
pub(super) fn imply(arena: &mut Arena<'_>) {
    for resource in arena.resource_numbers() {
        match arena[resource].kind {
            Kind::Group => members(arena, resource),
            Kind::Bundle => replicas(arena, resource),
            Kind::Primitive => contents(arena, resource),
            Kind::Clone => {}
        }
    }
}

/// A pair that nobody wrote.
fn implied(id: &str, score: Score, dependent: ResIx, primary: ResIx, influence: bool) -> Pair {
    Pair {
        cause: Cause::Implied(dependent),
        id: String::from(id),
        score,
        dependent,
        dependent_role: None,
        primary,
        primary_role: None,
        attribute: None,
        influence,
    }
}

/// Each member of a group follows the one before it.
fn members(arena: &mut Arena<'_>, group: ResIx) {
    if !is_together(arena, group) {
        return;
    }
    for place in 1..arena[group].children.len() {
        let (earlier, member) = (arena[group].children[place - 1], arena[group].children[place]);
        let influence = arena[member].critical;
        pair_up(arena, implied("#member", Score::INFINITY, member, earlier, influence));
    }
}

/// Whether the members of a group are on one node. Old files may say that they need not be.
pub(crate) fn is_together(arena: &Arena<'_>, group: ResIx) -> bool {
    let said = arena[group].meta.get("collocated").or_else(|| arena[group].meta.get("colocated"));
    !said.is_some_and(|said| ["false", "no", "off", "0", "n"].contains(&said.as_str()))
}

/// Address and connection of a container go where it is.
fn replicas(arena: &mut Arena<'_>, bundle: ResIx) {
    let count = arena[bundle].bundle.as_ref().map_or(0, |facts| facts.replicas.len());
    for place in 0..count {
        let Some(replica) = arena[bundle].bundle.as_ref().map(|facts| facts.replicas[place]) else { return };
        if let Some(address) = replica.address {
            pair_up(arena, implied("#address", Score::INFINITY, address, replica.container, true));
        }
        if let Some(connection) = replica.connection {
            admit_with(arena, connection, replica.container);
            pair_up(arena, implied("#content", Score::new(CONNECTION), connection, replica.container, true));
        }
    }
}

/// What a container keeps goes where it is; what runs in one that is a node itself, on that node.
fn contents(arena: &mut Arena<'_>, resource: ResIx) {
    let Some(container) = arena[resource].container else { return };
    if arena[arena.outermost(resource)].kind == Kind::Bundle {
        return;
    }
    let inside = match arena[container].connection_to {
        Some(node) => Some(node),
        None if arena[resource].connection_to.is_some() => None,
        None => guest_of(arena, container),
    };
    match inside {
        Some(inside) => {
            for (node, allowed) in arena[resource].allowed.iter_mut() {
                if node != inside {
                    allowed.score = Score::NEVER;
                    allowed.cause = Cause::Implied(container);
                }
            }
        }
        None => {
            admit_with(arena, resource, container);
            pair_up(arena, implied("#content", Score::INFINITY, resource, container, true));
        }
    }
}

/// Where nothing may run unless somebody says so, a connection may be where its container may.
fn admit_with(arena: &mut Arena<'_>, connection: ResIx, container: ResIx) {
    if arena.options.symmetric || arena[connection].connection_to.is_none() {
        return;
    }
    let is_full = |node: &NodeIx| matches!(arena.node(*node).kind, NodeKind::Member);
    let nodes: Vec<NodeIx> = arena[container].allowed.iter().map(|(node, _)| node).filter(is_full).collect();
    for node in nodes {
        let score = arena.node(node).score;
        arena[connection].allowed.admit(node, score, Cause::Node);
    }
}

/// The node that is inside this container.
fn guest_of(arena: &Arena<'_>, container: ResIx) -> Option<NodeIx> {
    let held = arena[container].contains.iter().filter_map(|held| arena[*held].connection_to);
    held.filter(|node| matches!(arena.node(*node).kind, NodeKind::Guest { .. })).min()
}
