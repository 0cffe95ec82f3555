//! Probes: where nobody knows whether something runs, it is looked.
//!
//! All of them come before any start of the same resource, wherever that is: it could run already.

use alloc::vec::Vec;

use heart_model::policy::Discovery;

use super::{
    draft::Draft,
    fencing,
    relation::{End, Properties as P},
    remote,
    table::{Doing, START},
};
use crate::engine::{
    arena::{Kind, NodeIx, NodeKind, Replica, ResIx},
    facts,
};

/// Makes all probes that are needed.
pub(super) fn schedule(draft: &mut Draft<'_, '_>) {
    if !draft.arena.options.startup_probes {
        return;
    }
    for node in draft.arena.node_numbers() {
        if remote::is_lost(draft, node) {
            facts::fence_node(draft.arena, node, "its connection cannot be had again");
        }
        let place = draft.arena.node(node);
        let is_member = matches!(place.kind, NodeKind::Member | NodeKind::Ping);
        if !place.online || place.unclean || place.reset_remote || (place.no_discovery && !is_member) {
            continue;
        }
        for resource in draft.arena.top.clone() {
            probe(draft, resource, node);
        }
    }
}

/// Probes a resource on a node; whether anything is probed.
fn probe(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx) -> bool {
    match draft.arena[resource].kind {
        Kind::Primitive => primitive(draft, resource, node),
        Kind::Group => all(draft, &draft.arena[resource].children.clone(), node),
        Kind::Clone => {
            let instances = draft.arena[resource].children.clone();
            if draft.arena[resource].unique {
                return all(draft, &instances, node);
            }
            let of = one_of(draft, &instances, node);
            of.is_some_and(|instance| probe(draft, instance, node))
        }
        Kind::Bundle => bundle(draft, resource, node),
    }
}

fn all(draft: &mut Draft<'_, '_>, parts: &[ResIx], node: NodeIx) -> bool {
    parts.iter().fold(false, |any, part| probe(draft, *part, node) | any)
}

/// Of instances that are all alike one is enough: that which is known there, or shall be there, or any.
fn one_of(draft: &Draft<'_, '_>, instances: &[ResIx], node: NodeIx) -> Option<ResIx> {
    let is_known = |instance: &&ResIx| {
        draft.primitives(**instance).iter().any(|part| draft.arena[*part].known_on.contains(node))
    };
    let goes_there = |instance: &&ResIx| draft.place(**instance, false) == Some(node);
    let known = instances.iter().find(is_known);
    known.or_else(|| instances.iter().find(goes_there)).or(instances.first()).copied()
}

fn can_be_known(draft: &Draft<'_, '_>, resource: ResIx, node: NodeIx) -> bool {
    let found = &draft.arena[resource];
    let top = draft.arena.outermost(resource);
    let is_connection = found.connection_to.is_some();
    let in_bundle = draft.arena[top].kind == Kind::Bundle;
    if found.removed || found.known_on.contains(node) {
        return false;
    }
    if found.container.is_some() && !is_connection && !in_bundle {
        return false;
    }
    match draft.arena.node(node).kind {
        NodeKind::Member | NodeKind::Ping => {}
        NodeKind::Remote { .. } if found.fence_device || is_connection => return false,
        NodeKind::Remote { .. } => {}
        NodeKind::Guest { container, .. } => {
            let holds_guest = found.contains.iter().any(|inner| draft.arena[*inner].connection_to.is_some());
            if found.fence_device || is_connection || holds_guest || !stays(draft, container) {
                return false;
            }
        }
    }
    is_looked_for(draft, resource, top, node)
}

/// Whether a container runs, and stays where it is.
fn stays(draft: &Draft<'_, '_>, container: ResIx) -> bool {
    let found = &draft.arena[container];
    found.role.is_running()
        && found.next_role.is_running()
        && found.active_on.first() == found.assigned.as_ref()
}

fn is_looked_for(draft: &Draft<'_, '_>, resource: ResIx, top: ResIx, node: NodeIx) -> bool {
    let exclusive = |of: ResIx| {
        draft.arena[of].allowed.iter().any(|(_, allowed)| allowed.discovery == Discovery::Exclusive)
    };
    let allowed = draft.arena[resource].allowed.get(node).or_else(|| draft.arena[top].allowed.get(node));
    let discovery = allowed.map(|allowed| allowed.discovery);
    let is_bundle = draft.arena[top].kind == Kind::Bundle;
    if exclusive(resource) || (!is_bundle && exclusive(top)) {
        return discovery == Some(Discovery::Exclusive);
    }
    discovery != Some(Discovery::Never)
}

fn primitive(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx) -> bool {
    if !can_be_known(draft, resource, node) {
        return false;
    }
    let probe = draft.need(resource, Doing::Probe, Some(node), true);
    fencing::after_unfencing(draft, resource, Some(node), probe, P::ORDERED);
    let top = draft.arena.outermost(resource);
    let starts = match draft.arena[top].kind {
        Kind::Clone => top,
        Kind::Bundle => draft.arena.clone_of(resource).unwrap_or(resource),
        Kind::Primitive | Kind::Group => resource,
    };
    let mut before = P::ORDERED;
    if !draft.table[probe].runnable && !draft.is_active(starts) {
        before |= P::BLOCKS_THEN;
    }
    draft.relate(End::Action(probe), End::Of(starts, START), before);
    draft.relate(End::Action(probe), End::Of(starts, Doing::Reload), P::ORDERED);
    true
}

fn bundle(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx) -> bool {
    let Some(facts) = draft.arena[resource].bundle.clone() else { return false };
    let mut any = false;
    for replica in &facts.replicas {
        if let Some(address) = replica.address {
            any |= primitive(draft, address, node);
        }
        if let Some(inner) = replica.inner.filter(|_| replica.node == Some(node)) {
            any |= probe(draft, inner, node);
        }
        if primitive(draft, replica.container, node) {
            any = true;
            // What is inside starts when it is known where all containers are.
            if let Some((inner, probe)) =
                facts.inner.zip(draft.table.on(replica.container, Doing::Probe, node))
            {
                draft.relate(End::Action(probe), End::Of(inner, START), P::ORDERED);
            }
            if facts.per_host == 1 {
                before_others(draft, &facts.replicas, replica, node);
            }
        }
        if let Some(connection) = replica.connection
            && primitive(draft, connection, node)
        {
            any = true;
            // Where the connection leads is known only once the container runs.
            if let Some(probe) = draft.table.on(connection, Doing::Probe, node) {
                let runs = draft.is_active(replica.container);
                let properties = if runs { P::ORDERED } else { P::ORDERED | P::BLOCKS_THEN };
                draft.relate(End::Of(replica.container, START), End::Action(probe), properties);
            }
        }
    }
    any
}

/// No container of a bundle starts on a node before it is known that no other one runs there.
fn before_others(draft: &mut Draft<'_, '_>, replicas: &[Replica], replica: &Replica, node: NodeIx) {
    let Some(probe) = draft.table.on(replica.container, Doing::Probe, node) else { return };
    let others: Vec<ResIx> = replicas
        .iter()
        .map(|other| other.container)
        .filter(|container| *container != replica.container)
        .collect();
    for other in others {
        draft.relate(End::Action(probe), End::Of(other, START), P::ORDERED | P::SAME_NODE);
    }
}
