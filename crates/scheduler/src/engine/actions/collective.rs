//! Groups, clones and bundles: points in time at which their members begin and have done something.
//!
//! Such a point is required if anything of a member is, and can be reached if all members of a group,
//! or any instance of a clone, can do it.

use alloc::vec::Vec;

use heart_model::policy::Verb;

use super::{
    draft::Draft,
    ladder, notify,
    table::{ActionIx, Doing, PROMOTE, RUNNING, START},
};
use crate::engine::arena::{Kind, NodeIx, ResIx};

/// Makes the actions of everything.
pub(super) fn make_all(draft: &mut Draft<'_, '_>) {
    for resource in draft.arena.top.clone() {
        make(draft, resource);
    }
}

fn make(draft: &mut Draft<'_, '_>, resource: ResIx) {
    match draft.arena[resource].kind {
        Kind::Primitive => ladder::climb(draft, resource),
        Kind::Group => {
            make_parts(draft, resource);
            points(draft, resource, is_in_promotable(draft, resource));
        }
        Kind::Clone => {
            make_parts(draft, resource);
            let promotable = draft.arena[resource].clone.is_some_and(|clone| clone.promotable);
            points(draft, resource, promotable);
            let can_run = any_runs(draft, resource);
            let running = draft.point(Some(resource), RUNNING);
            draft.table[running].runnable = can_run;
            notify::make_points(draft, resource);
        }
        Kind::Bundle => {
            make_parts(draft, resource);
            points(draft, resource, is_promotable_bundle(draft, resource));
        }
    }
}

fn make_parts(draft: &mut Draft<'_, '_>, resource: ResIx) {
    for part in draft.parts(resource) {
        make(draft, part);
    }
}

/// Whether a group is the inner part of a clone that promotes.
fn is_in_promotable(draft: &Draft<'_, '_>, resource: ResIx) -> bool {
    let clone = draft.arena.clone_of(resource);
    clone.and_then(|clone| draft.arena[clone].clone).is_some_and(|clone| clone.promotable)
}

/// Whether the clone in a bundle promotes.
pub(super) fn is_promotable_bundle(draft: &Draft<'_, '_>, bundle: ResIx) -> bool {
    let inner = draft.arena[bundle].bundle.as_ref().and_then(|bundle| bundle.inner);
    inner.and_then(|inner| draft.arena[inner].clone).is_some_and(|clone| clone.promotable)
}

/// The points of a collective: required, if one of its members already has to do it.
fn points(draft: &mut Draft<'_, '_>, resource: ResIx, promotable: bool) {
    let verbs: &[Verb] = if promotable {
        &[Verb::Start, Verb::Stop, Verb::Demote, Verb::Promote]
    } else {
        &[Verb::Start, Verb::Stop]
    };
    for verb in verbs {
        draft.point(Some(resource), Doing::Do(*verb));
        draft.point(Some(resource), Doing::Done(*verb));
    }
}

/// Whether anything of a clone runs, or is to be started.
fn any_runs(draft: &Draft<'_, '_>, clone: ResIx) -> bool {
    draft.primitives(clone).into_iter().any(|part| {
        let starts = draft.table.of(part, START);
        let starting = |start: &ActionIx| draft.table[*start].required && draft.table[*start].runnable;
        !draft.arena[part].active_on.is_empty() || starts.iter().any(starting)
    })
}

/// What an action amounts to, members included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) required: bool,
    pub(super) runnable: bool,
}

/// What an action amounts to; asked for a node, a clone is required as far as it is there.
pub(super) fn summary(draft: &mut Draft<'_, '_>, action: ActionIx, node: Option<NodeIx>) -> Summary {
    let whole = refresh(draft, action);
    let found = &draft.table[action];
    match (found.resource, node) {
        (Some(resource), Some(_)) if draft.arena[resource].kind == Kind::Clone => {
            let there = of_instances(draft, action, resource, node);
            Summary { required: there.required, runnable: whole.runnable }
        }
        (_, _) => whole,
    }
}

/// Brings the point of a collective in line with its members.
fn refresh(draft: &mut Draft<'_, '_>, action: ActionIx) -> Summary {
    let found = &draft.table[action];
    let own = Summary { required: found.is_required(), runnable: found.runnable };
    let Some(resource) = found.resource else { return own };
    let (kind, doing) = (draft.arena[resource].kind, found.doing);
    if kind == Kind::Primitive || !matches!(doing, Doing::Do(_) | Doing::Done(_)) {
        return own;
    }
    let members = match kind {
        Kind::Group => of_members(draft, action, resource),
        Kind::Clone | Kind::Bundle | Kind::Primitive => of_instances(draft, action, resource, None),
    };
    // What runs in the containers of a bundle is promoted without them.
    let is_inside =
        kind == Kind::Bundle && matches!(doing, Doing::Do(Verb::Promote) | Doing::Done(Verb::Promote));
    draft.table[action].required |= members.required && !is_inside;
    let found = &mut draft.table[action];
    match kind {
        Kind::Group => {
            Summary { required: found.is_required(), runnable: found.runnable && members.runnable }
        }
        Kind::Clone | Kind::Bundle | Kind::Primitive => {
            found.runnable &= members.runnable;
            Summary { required: found.is_required(), runnable: found.runnable }
        }
    }
}

fn of_members(draft: &mut Draft<'_, '_>, action: ActionIx, group: ResIx) -> Summary {
    let doing = draft.table[action].doing;
    let mut sum = Summary { required: false, runnable: true };
    for member in draft.arena[group].children.clone() {
        match member_action(draft, member, doing, None) {
            Some(of_member) => {
                let of_member = summary(draft, of_member, None);
                sum.required |= of_member.required;
                if matches!(doing, Doing::Done(_)) && !of_member.runnable {
                    sum.runnable = false;
                    draft.table[action].runnable = false;
                }
            }
            None => {
                sum.runnable &= !matches!(
                    doing,
                    Doing::Do(Verb::Start | Verb::Promote) | Doing::Done(Verb::Start | Verb::Promote)
                );
            }
        }
    }
    sum
}

fn of_instances(
    draft: &mut Draft<'_, '_>,
    action: ActionIx,
    resource: ResIx,
    node: Option<NodeIx>,
) -> Summary {
    let doing = match draft.table[action].doing {
        // Who has been told of a step is asked for the step.
        Doing::Tell(_, verb) | Doing::Told(_, verb) => Doing::Do(verb),
        other => other,
    };
    let mut sum = Summary { required: false, runnable: false };
    for instance in instances_for(draft, resource, doing) {
        if let Some(of_instance) = member_action(draft, instance, doing, node) {
            let of_instance = summary(draft, of_instance, None);
            sum.required |= of_instance.required && (of_instance.runnable || !comes_up(doing));
            sum.runnable |= of_instance.runnable;
        }
    }
    sum
}

/// Who does a step of a collective: in bundles, containers start and stop, and what is inside is promoted.
pub(super) fn instances_for(draft: &Draft<'_, '_>, resource: ResIx, doing: Doing) -> Vec<ResIx> {
    let inner = draft.arena[resource].bundle.as_ref().and_then(|bundle| bundle.inner);
    match (inner, doing) {
        (
            Some(inner),
            Doing::Do(Verb::Promote | Verb::Demote) | Doing::Done(Verb::Promote | Verb::Demote),
        ) => draft.arena[inner].children.clone(),
        (_, _) => draft.instances(resource),
    }
}

/// The step of a member that belongs to a point of its collective: of a group inside, the point of the same
/// name.
pub(super) fn member_action(
    draft: &Draft<'_, '_>,
    member: ResIx,
    doing: Doing,
    node: Option<NodeIx>,
) -> Option<ActionIx> {
    let is_primitive = draft.arena[member].kind == Kind::Primitive;
    let doing = match doing {
        Doing::Done(verb) if is_primitive => Doing::Do(verb),
        other => other,
    };
    match node {
        Some(node) if is_primitive => draft.table.on(member, doing, node),
        Some(node) => {
            let there = draft.primitives(member);
            let step = match doing {
                Doing::Done(verb) => Doing::Do(verb),
                other => other,
            };
            let is_there = there.iter().any(|part| draft.table.on(*part, step, node).is_some());
            draft.table.any(member, doing).filter(|_| is_there)
        }
        None if is_primitive => first_required(draft, member, doing),
        None => draft.table.any(member, doing),
    }
}

/// Of the same step on several nodes, one that is required if any is.
fn first_required(draft: &Draft<'_, '_>, member: ResIx, doing: Doing) -> Option<ActionIx> {
    let all = draft.table.of(member, doing);
    all.iter().find(|action| draft.table[**action].is_required()).or(all.first()).copied()
}

/// The points whose summary an action is part of.
pub(super) fn points_above(draft: &Draft<'_, '_>, action: ActionIx) -> Vec<ActionIx> {
    let found = &draft.table[action];
    let (Some(resource), Doing::Do(verb) | Doing::Done(verb)) = (found.resource, found.doing) else {
        return Vec::new();
    };
    let Some(parent) = draft.arena[resource].parent else { return Vec::new() };
    let bundle = draft.arena[parent].parent.filter(|above| draft.arena[*above].kind == Kind::Bundle);
    let above = [Some(parent), bundle];
    let points = |of: ResIx| [draft.table.any(of, Doing::Do(verb)), draft.table.any(of, Doing::Done(verb))];
    above.into_iter().flatten().flat_map(points).flatten().collect()
}

/// Whether a point is one at which something comes up, or has.
fn comes_up(doing: Doing) -> bool {
    brings_up(doing) || matches!(doing, Doing::Done(Verb::Start | Verb::Promote))
}

/// Whether a step is one that brings something up.
pub(super) fn brings_up(doing: Doing) -> bool {
    matches!(doing, START | PROMOTE)
}
