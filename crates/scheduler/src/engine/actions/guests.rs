//! Guests: a node inside a container is fenced by recovering its container, so its fencing is a point in
//! time behind the container's stop.

use super::{draft::Draft, fencing, relation::Properties as P, table::STOP};
use crate::engine::arena::{NodeIx, NodeKind};

/// Makes the fencing of a guest.
pub(super) fn fence(draft: &mut Draft<'_, '_>, node: NodeIx) {
    let NodeKind::Guest { connection, container } = draft.arena.node(node).kind else { return };
    let fence = fencing::of_node(draft, node);
    draft.table[fence].point = true;
    if let Some(stop) = draft.table.any(container, STOP) {
        let implies = P::ORDERED | P::BLOCKS_THEN | P::FORCES_THEN;
        let host = draft.table[stop].node;
        match host.filter(|_| draft.table[stop].implied) {
            Some(host) => {
                let of_host = fencing::of_node(draft, host);
                draft.table.join(of_host, fence, implies);
            }
            None => {
                draft.table.join(stop, fence, implies);
            }
        }
    } else if let Some(stop) = draft.table.any(connection, STOP) {
        draft.table.join(stop, fence, P::ORDERED);
    }
    fencing::around(draft, node, fence);
}
