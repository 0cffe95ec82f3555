//! Nodes that leave: everything that runs there stops first.

use alloc::vec::Vec;

use super::{
    draft::Draft,
    fencing,
    relation::Properties as P,
    table::{ActionIx, Doing, STOP},
};
use crate::engine::arena::{NodeIx, NodeKind};

/// Makes the shutdown of all nodes that asked for it.
pub(super) fn schedule(draft: &mut Draft<'_, '_>) {
    let leader = draft.leader();
    let (mut others, mut of_leader): (Vec<ActionIx>, Option<ActionIx>) = (Vec::new(), None);
    for node in draft.arena.node_numbers() {
        let place = draft.arena.node(node);
        let is_member = matches!(place.kind, NodeKind::Member | NodeKind::Ping);
        let is_fenced = draft.table.get(None, Doing::Fence, Some(node)).is_some();
        if !is_member || !place.online || !place.shutting_down || is_fenced {
            continue;
        }
        let shutdown = draft.table.make(None, Doing::Shutdown, Some(node));
        draft.table[shutdown].required = true;
        draft.table[shutdown].by_leader = true;
        after_stops(draft, node, shutdown);
        if leader == Some(node) {
            of_leader = Some(shutdown);
        } else {
            others.push(shutdown);
        }
    }
    if let Some(of_leader) = of_leader {
        for other in others {
            draft.table.join(other, of_leader, P::ORDERED);
        }
        let fencings = draft.fencings.clone();
        fencing::leader_last(draft, &fencings, of_leader);
    }
}

fn after_stops(draft: &mut Draft<'_, '_>, node: NodeIx, shutdown: ActionIx) {
    let in_maintenance = draft.arena.node(node).maintenance;
    for resource in draft.arena.resource_numbers() {
        let Some(stop) = draft.table.on(resource, STOP, node) else { continue };
        let found = &draft.arena[resource];
        if found.maintenance || in_maintenance || (!found.managed && !found.blocked) {
            continue;
        }
        draft.require(stop);
        draft.table.join(stop, shutdown, P::ORDERED | P::BLOCKS_THEN);
    }
}
