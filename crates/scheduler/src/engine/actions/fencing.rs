//! Fencing: which nodes, in which order, and what it does by itself.
//!
//! What runs on a node that is fenced needs no stop any more: the fencing implies it. What needs fencing
//! waits for all fencing that is part of the plan.

use alloc::{string::String, vec::Vec};

use heart_model::policy::Verb;

use super::{
    draft::Draft,
    guests,
    relation::{End, Properties as P},
    table::{ActionIx, DEMOTE, Doing, PROMOTE, START, STOP},
};
use crate::engine::{
    arena::{Allowed, Cause, Kind, NodeIx, NodeKind, Requires, ResIx},
    compare,
};

/// Makes the fencing of all nodes that need it.
pub(super) fn schedule(draft: &mut Draft<'_, '_>) {
    let any_managed =
        draft.arena.given.any_managed || draft.arena.resources.iter().any(|resource| resource.managed);
    let leader = draft.leader();
    let (mut others, mut of_leader): (Vec<ActionIx>, Option<ActionIx>) = (Vec::new(), None);
    for node in by_name(draft) {
        let place = draft.arena.node(node);
        if matches!(place.kind, NodeKind::Guest { .. }) {
            if place.reset_remote && draft.can_fence(node) {
                guests::fence(draft, node);
            }
            continue;
        }
        if !(any_managed && place.unclean && draft.can_fence(node)) {
            continue;
        }
        let fence = of_node(draft, node);
        around(draft, node, fence);
        if leader == Some(node) {
            of_leader = Some(fence);
            continue;
        }
        if !draft.arena.options.concurrent_fencing
            && let Some(last) = others.last()
        {
            draft.table.join(*last, fence, P::ORDERED);
        }
        others.push(fence);
    }
    if let Some(of_leader) = of_leader {
        leader_last(draft, &others, of_leader);
    }
    draft.fencings = others;
}

/// All nodes in the order of their names, numbers in them as numbers.
fn by_name(draft: &Draft<'_, '_>) -> Vec<NodeIx> {
    let mut nodes: Vec<NodeIx> = draft.arena.node_numbers().collect();
    nodes.sort_by_cached_key(|node| name_key(&draft.arena.node(*node).name));
    nodes
}

/// A name in pieces: text, and numbers by their size.
fn name_key(name: &str) -> Vec<(String, u64)> {
    let mut pieces: Vec<(String, u64)> = Vec::new();
    let mut in_number = true;
    for letter in name.chars() {
        let digit = letter.to_digit(10);
        match (digit, pieces.last_mut()) {
            (Some(digit), Some((_, number))) => {
                *number = number.saturating_mul(10).saturating_add(u64::from(digit));
                in_number = true;
            }
            (Some(digit), None) => {
                pieces.push((String::new(), u64::from(digit)));
            }
            (None, Some((text, _))) if !in_number => text.extend(letter.to_lowercase()),
            (None, _) => {
                pieces.push((letter.to_lowercase().collect(), 0));
                in_number = false;
            }
        }
    }
    pieces
}

/// Whoever leads is fenced, or shut down, last.
pub(super) fn leader_last(draft: &mut Draft<'_, '_>, others: &[ActionIx], of_leader: ActionIx) {
    let waits_for = if draft.arena.options.concurrent_fencing {
        others
    } else {
        others.last().map_or(&[][..], core::slice::from_ref)
    };
    for other in waits_for {
        draft.table.join(*other, of_leader, P::ORDERED);
    }
}

/// The fencing of a node.
pub(super) fn of_node(draft: &mut Draft<'_, '_>, node: NodeIx) -> ActionIx {
    let fence = draft.table.make(None, Doing::Fence, Some(node));
    draft.table[fence].required = true;
    draft.table[fence].by_leader = true;
    fence
}

/// Everything that fencing a node means for resources.
pub(super) fn around(draft: &mut Draft<'_, '_>, node: NodeIx, fence: ActionIx) {
    for resource in draft.arena.resource_numbers() {
        if draft.arena[resource].kind == Kind::Primitive {
            starts_wait(draft, resource, node, fence);
            stops_are_implied(draft, resource, node, fence);
        }
    }
}

/// What needs fencing waits for all of it; what needs a quorum only where nobody knows whether it ran there.
fn starts_wait(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx, fence: ActionIx) {
    let found = &draft.arena[resource];
    // What belongs to a bundle is there for what runs in it alone.
    let is_of_bundle = match draft.arena.node(node).kind {
        NodeKind::Guest { container, .. } => {
            draft.arena[draft.arena.outermost(container)].kind == Kind::Bundle
        }
        NodeKind::Member | NodeKind::Ping | NodeKind::Remote { .. } => false,
    };
    let can_be_there = |allowed: &Allowed| !is_of_bundle || allowed.cause != Cause::Unsuitable;
    let can_run = found.allowed.get(node).is_some_and(can_be_there);
    let unknown = can_run && found.requires == Requires::Quorum && !is_known(draft, resource, node);
    match found.requires {
        Requires::Nothing => {}
        Requires::Fencing | Requires::Unfencing => {
            // A guest goes with its container: as long as that is there, so is what runs in it.
            let is_guest = matches!(draft.arena.node(node).kind, NodeKind::Guest { .. });
            let runs_there = is_guest && found.active_on.contains(&node);
            let properties = if runs_there { P::ORDERED | P::BLOCKS_THEN } else { P::ORDERED };
            let moves = draft.continuing.contains(&resource);
            let moves = if moves { Doing::MigrateFrom } else { Doing::MigrateTo };
            for step in [START, PROMOTE, moves] {
                for action in draft.table.of(resource, step) {
                    draft.table.join(fence, action, properties);
                }
            }
        }
        Requires::Quorum if unknown => {
            for start in draft.table.of(resource, START) {
                draft.table.join(fence, start, P::ORDERED | P::BLOCKS_THEN);
            }
        }
        Requires::Quorum => {}
    }
}

/// Whether it is known what a resource, or any instance that is like it, does on a node. A member of a group that
/// is cloned is looked for itself: others of its group may be known where it is not.
fn is_known(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx) -> bool {
    let found = &draft.arena[resource];
    if found.known_on.contains(node) {
        return true;
    }
    let clone = found.parent.filter(|parent| draft.arena[*parent].kind == Kind::Clone && !found.unique);
    clone.is_some_and(|clone| draft.arena[clone].known_on.contains(node))
}

fn stops_are_implied(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx, fence: ActionIx) {
    let top = draft.arena.outermost(resource);
    let in_bundle = draft.arena[top].kind == Kind::Bundle && draft.arena.clone_of(resource).is_some();
    let is_guest = matches!(draft.arena.node(node).kind, NodeKind::Guest { .. });
    let in_order = is_guest || draft.needs_fencing(resource);
    if let Some(stop) = draft.table.on(resource, STOP, node) {
        imply(draft, stop);
        if in_order {
            if !in_bundle {
                draft.table.join(fence, stop, P::ORDERED);
            }
            // A bundle stops with its containers; what is in it is fenced by that.
            let is_bundle = draft.arena[top].kind == Kind::Bundle;
            let whole = if is_bundle { draft.arena.clone_of(resource) } else { Some(top) };
            if let Some(whole) = whole.filter(|whole| *whole != resource)
                && let Some(of_top) = draft.table.any(whole, STOP)
            {
                draft.table.join(fence, of_top, P::ORDERED);
            }
        }
        super::notify::after_fencing(draft, resource, Verb::Stop, fence);
    }
    if let Some(demote) = draft.table.on(resource, DEMOTE, node) {
        let place = draft.arena.node(node);
        if !place.online || place.unclean || draft.arena[resource].failed {
            imply(draft, demote);
            super::notify::after_fencing(draft, resource, Verb::Demote, fence);
            if in_order && !in_bundle {
                draft.table.join(fence, demote, P::ORDERED);
            }
        }
    }
}

/// The fencing does it by itself.
fn imply(draft: &mut Draft<'_, '_>, action: ActionIx) {
    let found = &mut draft.table[action];
    found.point = true;
    found.implied = true;
    found.runnable = true;
}

/// Whether a resource runs only where its node was let in by fence devices.
fn needs_unfencing(draft: &Draft<'_, '_>, resource: ResIx) -> bool {
    let found = &draft.arena[resource];
    draft.arena.unfencing && (found.fence_device || found.requires == Requires::Unfencing)
}

fn was_unfenced(draft: &Draft<'_, '_>, node: NodeIx) -> bool {
    let value = draft.arena.node(node).attributes.get("#node-unfenced");
    value.is_some_and(|value| value != "0" && !value.is_empty())
}

fn unfence(draft: &mut Draft<'_, '_>, node: NodeIx) -> ActionIx {
    if let Some(known) = draft.table.get(None, Doing::Unfence, Some(node)) {
        return known;
    }
    let unfence = draft.table.make(None, Doing::Unfence, Some(node));
    draft.table[unfence].by_leader = true;
    let provides = |resource: &ResIx| {
        let found = &draft.arena[*resource];
        found.fence_device && found.meta.get("provides").is_some_and(|word| word == "unfencing")
    };
    let mut devices = draft.arena.resource_numbers().filter(provides);
    let changed = devices.any(|device| compare::lets_in_anew(draft.arena, device, node));
    draft.table[unfence].required = changed;
    unfence
}

/// Starts and probes come after the node was let in; a node that never was has to be.
pub(super) fn after_unfencing(
    draft: &mut Draft<'_, '_>,
    resource: ResIx,
    node: Option<NodeIx>,
    action: ActionIx,
    properties: P,
) {
    let Some(node) = node.filter(|_| needs_unfencing(draft, resource)) else { return };
    let unfence = unfence(draft, node);
    draft.table.join(unfence, action, P::ORDERED | properties);
    if !was_unfenced(draft, node) {
        draft.table[unfence].required = true;
    }
}

/// What needs unfencing is stopped before, and restarted after.
pub(super) fn unfencing_around(draft: &mut Draft<'_, '_>, resource: ResIx) {
    if !draft.arena.unfencing || draft.arena[resource].requires != Requires::Unfencing {
        return;
    }
    let nodes: Vec<NodeIx> = draft.arena[resource].allowed.iter().map(|(node, _)| node).collect();
    for node in nodes {
        let unfence = End::Action(unfence(draft, node));
        draft.relate(End::Of(resource, STOP), unfence, P::ORDERED | P::SAME_NODE);
        let start = End::Of(resource, START);
        draft.relate(unfence, start, P::FORCES_THEN_THERE | P::SAME_NODE);
    }
}

/// A fence device that has changed lets nodes in anew.
pub(super) fn unfence_anew(draft: &mut Draft<'_, '_>, device: ResIx, node: NodeIx) {
    let place = draft.arena.node(node);
    let can_be_told = place.online && !place.unclean && !place.shutting_down;
    // One that is left alone goes on with what it was told.
    let can_be_told = can_be_told && draft.arena[device].managed;
    if draft.arena.unfencing && draft.arena[device].fence_device && can_be_told {
        let unfence = unfence(draft, node);
        draft.table[unfence].required = true;
    }
}

/// What needs unfencing stops before its node is let in anew.
pub(super) fn stop_before_unfencing(
    draft: &mut Draft<'_, '_>,
    resource: ResIx,
    node: NodeIx,
    stop: ActionIx,
) {
    let requires = draft.arena[resource].requires == Requires::Unfencing;
    if !draft.arena.unfencing || !requires {
        return;
    }
    let unfence = unfence(draft, node);
    draft.table.join(stop, unfence, P::NEEDED_BY_THEN);
    if !was_unfenced(draft, node) {
        draft.table[unfence].required = true;
    }
}
