//! Notifications: instances of a clone are told before and after something happens to any of them.
//!
//! Instances are told between two points in time, before and after a step of the clone. Whoever waits for the
//! step from outside waits until all have been told.

use alloc::vec::Vec;

use heart_model::policy::{Role, Verb};

use super::{
    draft::Draft,
    emit,
    relation::Properties as P,
    table::{ActionIx, Doing, START, STOP, When},
};
use crate::engine::arena::{NodeIx, ResIx};

/// The steps that instances are told of.
const STEPS: [Verb; 4] = [Verb::Start, Verb::Stop, Verb::Promote, Verb::Demote];

/// Somebody who is told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    pub(super) when: When,
    pub(super) verb: Verb,
    pub(super) resource: ResIx,
    pub(super) node: NodeIx,
}

/// Makes the points around each step of a clone that notifies.
pub(super) fn make_points(draft: &mut Draft<'_, '_>, clone: ResIx) {
    let Some(facts) = draft.arena[clone].clone.filter(|facts| facts.notify) else { return };
    for verb in STEPS {
        if matches!(verb, Verb::Promote | Verb::Demote) && !facts.promotable {
            continue;
        }
        let begins = draft.point(Some(clone), Doing::Do(verb));
        let done = draft.point(Some(clone), Doing::Done(verb));
        let [tell, told] =
            [Doing::Tell, Doing::Told].map(|point| draft.point(Some(clone), point(When::Before, verb)));
        draft.table.join(tell, told, P::ORDERED | P::SHOWS_FIRST);
        draft.table.join(told, begins, P::ORDERED | P::SHOWS_FIRST);
        let [tell_after, told_after] =
            [Doing::Tell, Doing::Told].map(|point| draft.point(Some(clone), point(When::After, verb)));
        draft.table.join(done, tell_after, P::ORDERED | P::FORCES_THEN | P::BLOCKS_THEN);
        draft.table.join(tell_after, told_after, P::ORDERED | P::FORCES_THEN | P::BLOCKS_THEN);
        draft.table.join(told, tell_after, P::ORDERED);
        for point in [tell, told] {
            draft.table[point].required = draft.table[begins].required;
        }
    }
}

/// What is told after a fencing has stopped an instance is told after the fencing.
pub(super) fn after_fencing(draft: &mut Draft<'_, '_>, resource: ResIx, fence: ActionIx) {
    let Some(clone) = draft.arena.clone_of(resource) else { return };
    if let Some(tell) = draft.table.any(clone, Doing::Tell(When::After, Verb::Stop)) {
        draft.table.join(fence, tell, P::ORDERED);
    }
}

/// Decides who is told what, once it is known what is really done; monitors wait until everybody was told.
pub(super) fn tell(draft: &mut Draft<'_, '_>) {
    let clones: Vec<ResIx> = draft
        .arena
        .resource_numbers()
        .filter(|resource| draft.arena[*resource].clone.is_some_and(|facts| facts.notify))
        .collect();
    for clone in clones {
        let parts = draft.primitives(clone);
        for verb in STEPS {
            tell_of(draft, clone, &parts, verb);
        }
    }
}

fn tell_of(draft: &mut Draft<'_, '_>, clone: ResIx, parts: &[ResIx], verb: Verb) {
    let is_done = parts.iter().any(|part| {
        let steps = draft.table.of(*part, Doing::Do(verb));
        steps.iter().any(|step| draft.table[*step].is_required() && emit::is_done(draft, *step))
    });
    if !is_done || draft.table.any(clone, Doing::Tell(When::After, verb)).is_none() {
        return;
    }
    let managed: Vec<ResIx> = parts.iter().copied().filter(|part| draft.arena[*part].managed).collect();
    for part in managed {
        for node in draft.arena[part].active_on.clone() {
            if is_reachable(draft, node) {
                draft.told.insert(Told { when: When::Before, verb, resource: part, node });
            }
        }
        if let Some(node) = runs_afterwards(draft, part, verb).filter(|node| is_reachable(draft, *node)) {
            draft.told.insert(Told { when: When::After, verb, resource: part, node });
            monitors_wait(draft, clone, part, verb);
        }
    }
}

fn is_reachable(draft: &Draft<'_, '_>, node: NodeIx) -> bool {
    draft.arena.node(node).online && !draft.arena.node(node).unclean
}

/// Where an instance is when a step of its clone is complete, if it is anywhere.
fn runs_afterwards(draft: &Draft<'_, '_>, part: ResIx, verb: Verb) -> Option<NodeIx> {
    let node = draft.assigned(part);
    let does = |step: Doing| {
        let steps = draft.table.of(part, step);
        steps.into_iter().any(|step| draft.table[step].is_required() && draft.table[step].runnable)
    };
    let (role, stops, starts) = (draft.arena[part].role, does(STOP), does(START));
    match verb {
        Verb::Demote => draft.arena[part].active_on.first().copied(),
        Verb::Stop if role.is_running() && !stops => draft.arena[part].active_on.first().copied(),
        Verb::Stop => None,
        Verb::Start | Verb::Promote if starts || (role != Role::Stopped && !stops) => node,
        Verb::Start | Verb::Promote => None,
    }
}

/// Whoever is told afterwards is monitored only when everybody has been told.
fn monitors_wait(draft: &mut Draft<'_, '_>, clone: ResIx, part: ResIx, verb: Verb) {
    let Some(told) = draft.table.any(clone, Doing::Told(When::After, verb)) else { return };
    for action in draft.table.all_of(part) {
        if matches!(draft.table[action].doing, Doing::Recur(_)) {
            draft.table.join(told, action, P::ORDERED);
        }
    }
}
