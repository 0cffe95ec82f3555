//! What cannot start keeps others from starting that have to be together with it.

use alloc::vec::Vec;

use heart_model::policy::{Role, Score};

use super::{
    collective::brings_up,
    draft::Draft,
    table::{ActionIx, Doing, PROMOTE, START},
};
use crate::engine::arena::ResIx;

/// What cannot be done because this cannot.
pub(super) fn dependents_of(draft: &Draft<'_, '_>, action: ActionIx) -> Vec<ActionIx> {
    let found = &draft.table[action];
    let (Some(resource), doing) = (found.resource, found.doing) else { return Vec::new() };
    if found.runnable || !brings_up(doing) {
        return Vec::new();
    }
    let whole = draft.arena.outermost(resource);
    if whole != resource && !is_blocked_as_a_whole(draft, whole, doing) {
        return Vec::new();
    }
    let mut blocked = Vec::new();
    for pair in &draft.arena[whole].followed_by {
        let pair = &draft.arena.colocations[pair.0 as usize];
        let of_promoted = pair.primary_role == Some(Role::Promoted);
        if pair.score < Score::INFINITY || (doing == PROMOTE && !of_promoted) {
            continue;
        }
        let step = if pair.dependent_role == Some(Role::Promoted) { PROMOTE } else { START };
        let dependent = pair.dependent;
        block(draft, dependent, step, &mut blocked);
    }
    blocked
}

/// Whether nothing of a collective can do it.
fn is_blocked_as_a_whole(draft: &Draft<'_, '_>, whole: ResIx, doing: Doing) -> bool {
    super::collective::instances_for(draft, whole, doing).into_iter().all(|instance| {
        let step = super::collective::member_action(draft, instance, doing);
        step.is_some_and(|step| !draft.table[step].runnable)
    })
}

fn block(draft: &Draft<'_, '_>, resource: ResIx, doing: Doing, blocked: &mut Vec<ActionIx>) {
    blocked.extend(draft.table.of(resource, doing));
    for part in draft.parts(resource) {
        block(draft, part, doing, blocked);
    }
}
