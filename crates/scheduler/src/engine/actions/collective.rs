//! Groups, clones and bundles: points in time at which their members begin and have done something.
//!
//! Such a point is required if anything of a member is, and can be reached if all members of a group,
//! or any instance of a clone, can do it.

use alloc::{collections::BTreeMap, vec::Vec};

use heart_model::policy::Verb;

use super::{
    draft::Draft,
    ladder, notify,
    table::{ActionIx, Doing, PROMOTE, RUNNING, START},
};
use crate::engine::arena::{Kind, NodeIx, NodeSet, ResIx};

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

impl Summary {
    /// Whether an instance that has to do this makes its clone do it: what cannot come up does not.
    fn counts(self, doing: Doing) -> bool {
        self.required && (self.runnable || !comes_up(doing))
    }
}

/// What points amounted to when they were last looked at. It holds as long as nothing of their members has
/// changed.
#[derive(Default)]
pub(super) struct Summaries {
    /// By action: when it was looked at, and what it was.
    wholes: Vec<(u64, Summary)>,
    /// On which nodes the instances of a clone have to do it.
    required_on: BTreeMap<ActionIx, (u64, NodeSet)>,
}

/// What an action amounts to; asked for a node, a clone is required as far as it is there.
pub(super) fn summary(draft: &mut Draft<'_, '_>, action: ActionIx, node: Option<NodeIx>) -> Summary {
    let whole = refresh(draft, action);
    let found = &draft.table[action];
    match (found.resource, node) {
        (Some(resource), Some(node)) if draft.arena[resource].kind == Kind::Clone => {
            Summary { required: is_required_on(draft, action, resource, node), runnable: whole.runnable }
        }
        (_, _) => whole,
    }
}

/// Whether any instance of a clone has to do something on a node.
fn is_required_on(draft: &mut Draft<'_, '_>, action: ActionIx, clone: ResIx, node: NodeIx) -> bool {
    let now = draft.table.changed_at(clone);
    if let Some((_, nodes)) = draft.summaries.required_on.get(&action).filter(|(at, _)| *at == now) {
        return nodes.contains(node);
    }
    let doing = step_of(draft.table[action].doing);
    let mut nodes = NodeSet::default();
    for instance in instances_for(draft, clone, doing) {
        if draft.arena[instance].kind == Kind::Primitive {
            for action in draft.table.each(instance, step_of_member(doing)) {
                let found = &draft.table[action];
                let own = Summary { required: found.is_required(), runnable: found.runnable };
                if let Some(node) = found.node.filter(|_| own.counts(doing)) {
                    nodes.insert(node);
                }
            }
        } else if let Some(point) = draft.table.any(instance, doing)
            && summary(draft, point, None).counts(doing)
        {
            for part in draft.primitives(instance) {
                let steps = draft.table.each(part, step_of_member(doing));
                steps.filter_map(|step| draft.table[step].node).for_each(|node| {
                    nodes.insert(node);
                });
            }
        }
    }
    let is_there = nodes.contains(node);
    let now = draft.table.changed_at(clone);
    draft.summaries.required_on.insert(action, (now, nodes));
    is_there
}

/// Who has been told of a step is asked for the step.
fn step_of(doing: Doing) -> Doing {
    match doing {
        Doing::Tell(_, verb) | Doing::Told(_, verb) => Doing::Do(verb),
        other => other,
    }
}

/// What a primitive does for a step of its collective to be complete is the step.
fn step_of_member(doing: Doing) -> Doing {
    match doing {
        Doing::Done(verb) => Doing::Do(verb),
        other => other,
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
    let place = action.0 as usize;
    let now = draft.table.changed_at(resource);
    if let Some((_, known)) = draft.summaries.wholes.get(place).filter(|(at, _)| *at == now) {
        return *known;
    }
    let sum = look_again(draft, action, resource);
    if draft.summaries.wholes.len() <= place {
        let none = Summary { required: false, runnable: false };
        draft.summaries.wholes.resize(draft.table.len().max(place + 1), (0, none));
    }
    draft.summaries.wholes[place] = (draft.table.changed_at(resource), sum);
    sum
}

/// Brings the point of a collective in line with its members, of which something has changed.
fn look_again(draft: &mut Draft<'_, '_>, action: ActionIx, resource: ResIx) -> Summary {
    let (kind, doing) = (draft.arena[resource].kind, draft.table[action].doing);
    let members = match kind {
        Kind::Group => of_members(draft, action, resource),
        Kind::Clone | Kind::Bundle | Kind::Primitive => of_instances(draft, action, resource),
    };
    // What runs in the containers of a bundle is promoted without them.
    let is_inside =
        kind == Kind::Bundle && matches!(doing, Doing::Do(Verb::Promote) | Doing::Done(Verb::Promote));
    if members.required && !is_inside && !draft.table[action].required {
        draft.table[action].required = true;
    }
    if kind != Kind::Group && draft.table[action].runnable && !members.runnable {
        draft.table[action].runnable = false;
    }
    let found = &draft.table[action];
    Summary { required: found.is_required(), runnable: found.runnable && members.runnable }
}

fn of_members(draft: &mut Draft<'_, '_>, action: ActionIx, group: ResIx) -> Summary {
    let doing = draft.table[action].doing;
    let mut sum = Summary { required: false, runnable: true };
    for member in draft.arena[group].children.clone() {
        match member_action(draft, member, doing) {
            Some(of_member) => {
                let of_member = summary(draft, of_member, None);
                sum.required |= of_member.required;
                if matches!(doing, Doing::Done(_)) && !of_member.runnable {
                    sum.runnable = false;
                    if draft.table[action].runnable {
                        draft.table[action].runnable = false;
                    }
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

fn of_instances(draft: &mut Draft<'_, '_>, action: ActionIx, resource: ResIx) -> Summary {
    let doing = step_of(draft.table[action].doing);
    let mut sum = Summary { required: false, runnable: false };
    for instance in instances_for(draft, resource, doing) {
        if let Some(of_instance) = member_action(draft, instance, doing) {
            let of_instance = summary(draft, of_instance, None);
            sum.required |= of_instance.counts(doing);
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
pub(super) fn member_action(draft: &Draft<'_, '_>, member: ResIx, doing: Doing) -> Option<ActionIx> {
    if draft.arena[member].kind == Kind::Primitive {
        return first_required(draft, member, step_of_member(doing));
    }
    draft.table.any(member, doing)
}

/// Of the same step on several nodes, one that is required if any is.
fn first_required(draft: &Draft<'_, '_>, member: ResIx, doing: Doing) -> Option<ActionIx> {
    let mut all = draft.table.each(member, doing);
    let first = all.next()?;
    let required = core::iter::once(first).chain(all).find(|action| draft.table[*action].is_required());
    Some(required.unwrap_or(first))
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
