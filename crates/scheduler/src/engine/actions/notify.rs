//! Notifications: instances of a clone are told before and after something happens to any of them.
//!
//! Instances are told between two points in time, before and after a step of the clone: `Tell`, then each
//! instance, then `Told`. The step begins when all were told that it will, and whoever waits for it from outside
//! waits until all were told that it is done. What comes first is told of first: that all demotions are done
//! before that stops come, then starts, then promotions, as the steps themselves come.

use alloc::vec::Vec;

use heart_model::policy::{Role, Verb};

use super::{
    draft::Draft,
    emit,
    relation::Properties as P,
    table::{ActionIx, Doing, START, STOP, When},
};
use crate::engine::arena::{NodeIx, ResIx};

/// The steps that instances are told of, in the order in which a clone takes them.
const STEPS: [Verb; 4] = [Verb::Demote, Verb::Stop, Verb::Start, Verb::Promote];

/// Makes the points around each step of a clone that notifies.
pub(super) fn make_points(draft: &mut Draft<'_, '_>, clone: ResIx) {
    let Some(facts) = draft.arena[clone].clone.filter(|facts| facts.notify) else { return };
    let mut earlier: Vec<ActionIx> = Vec::new();
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
        for done in &earlier {
            draft.table.join(*done, tell, P::ORDERED);
        }
        earlier.push(told_after);
    }
}

/// What is told after a fencing has stopped or demoted an instance is told after the fencing.
pub(super) fn after_fencing(draft: &mut Draft<'_, '_>, resource: ResIx, verb: Verb, fence: ActionIx) {
    let Some(clone) = draft.arena.clone_of(resource) else { return };
    if let Some(tell) = draft.table.any(clone, Doing::Tell(When::After, verb)) {
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
    let is_done = parts.iter().any(|part| does(draft, *part, Doing::Do(verb), None));
    if !is_done {
        return;
    }
    let around = |when| {
        let tell = draft.table.any(clone, Doing::Tell(when, verb))?;
        Some((tell, draft.table.any(clone, Doing::Told(when, verb))?))
    };
    let (Some(before), Some(after)) = (around(When::Before), around(When::After)) else { return };
    for point in [before.0, before.1] {
        draft.table[point].shown = true;
    }
    around_steps(draft, parts, verb, before.1, after.0);
    // What is never complete is not told of.
    let completes = emit::is_done(draft, after.0);
    let managed: Vec<ResIx> = parts.iter().copied().filter(|part| draft.arena[*part].managed).collect();
    for part in managed {
        for node in runs_before(draft, part, verb) {
            let notify = tell_one(draft, (part, node), Doing::Notify(When::Before, verb), before);
            after_own_start(draft, part, verb, notify);
        }
        if let Some(node) = runs_afterwards(draft, part, verb).filter(|_| completes) {
            tell_one(draft, (part, node), Doing::Notify(When::After, verb), after);
            monitors_wait(draft, part, after.1);
        }
    }
}

/// Each that takes the step waits until all were told that it comes, and all are told afterwards only when each
/// has: also where the points in between are not reached, because a group that is cloned is not complete.
fn around_steps(draft: &mut Draft<'_, '_>, parts: &[ResIx], verb: Verb, told: ActionIx, tell: ActionIx) {
    for step in parts.iter().flat_map(|part| draft.table.of(*part, Doing::Do(verb))).collect::<Vec<_>>() {
        draft.table.join(told, step, P::ORDERED);
        draft.table.join(step, tell, P::ORDERED);
    }
}

/// One instance is told something, between two points.
fn tell_one(
    draft: &mut Draft<'_, '_>,
    (part, node): (ResIx, NodeIx),
    what: Doing,
    (tell, told): (ActionIx, ActionIx),
) -> Option<ActionIx> {
    if !hears(draft, node) {
        return None;
    }
    let notify = draft.table.make(Some(part), what, Some(node));
    draft.table[notify].required = true;
    draft.table.join(tell, notify, P::ORDERED);
    draft.table.join(notify, told, P::ORDERED);
    Some(notify)
}

/// Whether somebody on a node can be told anything, and the node is not switched off in the same plan.
fn hears(draft: &Draft<'_, '_>, node: NodeIx) -> bool {
    let fence = draft.table.get(None, Doing::Fence, Some(node));
    let is_fenced =
        fence.is_some_and(|fence| draft.table[fence].is_required() && emit::is_done(draft, fence));
    draft.arena.node(node).online && !draft.arena.node(node).unclean && !is_fenced
}

/// One that is started is told of promotions when it is there.
fn after_own_start(draft: &mut Draft<'_, '_>, part: ResIx, verb: Verb, notify: Option<ActionIx>) {
    let Some(notify) = notify.filter(|_| verb == Verb::Promote) else { return };
    let node = draft.table[notify].node;
    if let Some(start) = draft.table.get(Some(part), START, node) {
        draft.table.join(start, notify, P::ORDERED);
    }
}

/// Whether a step of a resource is part of the plan, on a node if that matters.
fn does(draft: &Draft<'_, '_>, part: ResIx, step: Doing, on: Option<NodeIx>) -> bool {
    let mut steps = draft.table.each(part, step).filter(|step| on.is_none() || draft.table[*step].node == on);
    steps.any(|step| draft.table[step].is_required() && emit::is_done(draft, step))
}

/// Where an instance runs when a step of its clone is about to begin.
fn runs_before(draft: &Draft<'_, '_>, part: ResIx, verb: Verb) -> Vec<NodeIx> {
    let active = &draft.arena[part].active_on;
    match verb {
        Verb::Demote | Verb::Stop => active.clone(),
        Verb::Start => active.iter().copied().filter(|node| !does(draft, part, STOP, Some(*node))).collect(),
        Verb::Promote => runs_afterwards(draft, part, Verb::Start).into_iter().collect(),
    }
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
fn monitors_wait(draft: &mut Draft<'_, '_>, part: ResIx, told: ActionIx) {
    for action in draft.table.all_of(part) {
        if matches!(draft.table[action].doing, Doing::Recur(_)) {
            draft.table.join(told, action, P::ORDERED);
        }
    }
}
