//! Handing on along relations what is required and what cannot be done, until nothing changes.
//!
//! It ends: of each action only five things change, each of them once and in one direction (required,
//! cancelled, cannot be done, cannot be migrated, shown), and an action is looked at again only when
//! something around it has changed. Relations that are added on the way join two actions that are there in
//! a way that was not there, and no action is added.

use alloc::{collections::VecDeque, vec, vec::Vec};

use heart_model::policy::Role;

use super::{
    blocked,
    collective::{self, Summary, points_above, summary},
    draft::Draft,
    emit, interleave,
    relation::Properties as P,
    table::{ActionIx, Before, Doing, RUNNING, START, STOP},
};
use crate::engine::arena::{Kind, NodeIx, ResIx};

/// Actions that have to be looked at again.
pub(super) struct Agenda {
    waiting: VecDeque<ActionIx>,
    is_waiting: Vec<bool>,
    /// What cannot be done, and may keep others from what they would do with it.
    stuck: Vec<ActionIx>,
}

impl Agenda {
    fn of_all(draft: &Draft<'_, '_>) -> Agenda {
        Agenda {
            waiting: draft.table.numbers().collect(),
            is_waiting: vec![true; draft.table.len()],
            stuck: draft.table.numbers().filter(|action| !draft.table[*action].runnable).collect(),
        }
    }

    /// Puts an action on the agenda, unless it is on it.
    pub(super) fn add(&mut self, action: ActionIx) {
        let place = action.0 as usize;
        if self.is_waiting.len() <= place {
            self.is_waiting.resize(place + 1, false);
        }
        if !self.is_waiting[place] {
            self.is_waiting[place] = true;
            self.waiting.push_back(action);
        }
    }

    fn next(&mut self) -> Option<ActionIx> {
        let action = self.waiting.pop_front()?;
        self.is_waiting[action.0 as usize] = false;
        Some(action)
    }

    /// Something about this action has changed.
    pub(super) fn changed(&mut self, draft: &Draft<'_, '_>, action: ActionIx) {
        self.add(action);
        for after in &draft.table[action].after {
            self.add(*after);
        }
        for point in points_above(draft, action) {
            self.add(point);
            for after in &draft.table[point].after {
                self.add(*after);
            }
        }
    }
}

/// Hands everything on.
pub(super) fn settle(draft: &mut Draft<'_, '_>) {
    leave_unreachable(draft);
    let mut agenda = Agenda::of_all(draft);
    interleave::leave_out_unpaired(draft, &mut agenda);
    // Bounded: see the module.
    loop {
        while let Some(action) = agenda.stuck.pop() {
            for dependent in blocked::dependents_of(draft, action) {
                cannot(draft, &mut agenda, dependent);
            }
        }
        let Some(action) = agenda.next() else { break };
        look_at(draft, &mut agenda, action);
    }
}

/// What nobody can be told is no part of the plan, so nothing may count on it. Nor is a node let in anew
/// that something stays on which nobody stops.
fn leave_unreachable(draft: &mut Draft<'_, '_>) {
    for action in draft.table.numbers() {
        let found = &draft.table[action];
        if found.doing == Doing::Unfence {
            let stuck = |input: &Before| is_stuck_stop(draft, input.first);
            let is_stuck = found.before.iter().any(stuck);
            draft.table[action].runnable &= !is_stuck;
            continue;
        }
        let for_others = found.point || found.by_leader || found.implied;
        let is_told = found.node.is_none_or(|node| emit::can_be_told(draft, node));
        if !for_others && !is_told {
            draft.table[action].runnable = false;
        }
    }
}

fn look_at(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, then: ActionIx) {
    refresh(draft, agenda, then);
    let mut place = 0;
    // Bounded: replacements are behind, and replace nothing further.
    while place < draft.table[then].before.len() {
        let input = draft.table[then].before[place];
        if !input.dropped {
            hand_on(draft, agenda, then, place, input);
        }
        place += 1;
    }
    if let Some(needed) = draft.table[then].needed {
        count(draft, agenda, then, needed);
    }
}

/// Brings a point in line with its members.
fn refresh(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, action: ActionIx) {
    let before = (draft.table[action].required, draft.table[action].runnable);
    summary(draft, action, None);
    if before != (draft.table[action].required, draft.table[action].runnable) {
        agenda.changed(draft, action);
    }
}

/// A point that needs some of many is reached while enough of them can be done.
fn count(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, then: ActionIx, needed: u32) {
    let counted =
        draft.table[then].before.iter().filter(|input| !input.dropped && input.properties.has(P::COUNTS));
    let can = counted.filter(|input| draft.table[input.first].runnable).count();
    if draft.table[then].runnable && (can as u64) < u64::from(needed) {
        cannot(draft, agenda, then);
    }
}

fn nodes_differ(first: Option<NodeIx>, then: Option<NodeIx>) -> bool {
    first.zip(then).is_some_and(|(first, then)| first != then)
}

/// Where an action is, as far as relations ask for that: the start of a group is where the group goes.
fn node_of(draft: &Draft<'_, '_>, action: ActionIx) -> Option<NodeIx> {
    let found = &draft.table[action];
    match found.resource {
        Some(resource) if found.doing == START && draft.arena[resource].kind == Kind::Group => {
            draft.place(resource, false)
        }
        _ => found.node,
    }
}

fn hand_on(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, then: ActionIx, place: usize, input: Before) {
    let (first, properties) = (input.first, input.properties);
    let (first_node, then_node) = (node_of(draft, first), node_of(draft, then));
    if properties.has(P::SAME_NODE) && nodes_differ(first_node, then_node) {
        draft.table.drop_before(then, place);
        return;
    }
    if properties.has(P::CANCELS_FIRST) && draft.table[then].is_required() {
        cancel(draft, agenda, first);
    }
    let exact = completion(draft, first, then);
    if exact != first {
        draft.table.drop_before(then, place);
        if draft.table.join(exact, then, properties) {
            agenda.add(then);
        }
        return;
    }
    apply(draft, agenda, first, then, properties);
}

/// What a relation from outside waits for: of a collective, not its beginning but its completion; with
/// notifications, that all have been told.
fn completion(draft: &Draft<'_, '_>, first: ActionIx, then: ActionIx) -> ActionIx {
    let (Some(one), Some(other)) = (draft.table[first].resource, draft.table[then].resource) else {
        return first;
    };
    if one == other || draft.arena[one].kind == Kind::Primitive || draft.is_part_of(other, one) {
        return first;
    }
    complete(draft, one, first)
}

/// The point at which a step of a collective is complete.
pub(super) fn complete(draft: &Draft<'_, '_>, resource: ResIx, action: ActionIx) -> ActionIx {
    let (Doing::Do(verb) | Doing::Done(verb)) = draft.table[action].doing else { return action };
    let told = draft.table.any(resource, Doing::Told(super::table::When::After, verb));
    told.or_else(|| draft.table.any(resource, Doing::Done(verb))).unwrap_or(action)
}

fn apply(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, first: ActionIx, then: ActionIx, properties: P) {
    let then_node = node_of(draft, then);
    let of_first = summary(draft, first, then_node);
    let is_stuck = is_stuck_stop(draft, first);
    let is_paired = interleave::is_paired(draft, first, then);
    if properties.has(P::NEEDED_BY_THEN) && !is_paired {
        needed(draft, agenda, first, then);
    }
    let is_stuck = is_stuck && properties.has_any(P::FORCES_THEN | P::NEEDED_BY_THEN | P::RESTARTS);
    // What says nothing to members needs not be said to each of them.
    if is_paired || is_stuck || properties.has_any(SAYS_SOMETHING) {
        for (first, target, of_first) in targets(draft, agenda, first, then, of_first, properties) {
            relation(draft, agenda, first, target, of_first, properties);
            if is_stuck {
                cannot(draft, agenda, target);
            }
        }
    }
    if properties.has(P::SHOWS_THEN) && of_first.required {
        show(draft, agenda, then);
    }
    let of_then = summary(draft, then, None);
    if properties.has(P::SHOWS_FIRST) && of_then.required {
        show(draft, agenda, first);
    }
}

/// A stop that nobody will do, of something that is left for a person.
fn is_stuck_stop(draft: &Draft<'_, '_>, first: ActionIx) -> bool {
    let found = &draft.table[first];
    let left = |resource: ResIx| !draft.arena[resource].managed && draft.arena[resource].blocked;
    found.doing == STOP && !found.runnable && found.resource.is_some_and(left)
}

type Target = (ActionIx, ActionIx, Summary);

/// To whom a relation applies: the steps of all members, too, if what comes then has some; with instances
/// that go in pairs, to each pair.
fn targets(
    draft: &mut Draft<'_, '_>,
    agenda: &mut Agenda,
    first: ActionIx,
    then: ActionIx,
    of_first: Summary,
    properties: P,
) -> Vec<Target> {
    if let Some(pairs) = interleave::pairs(draft, agenda, first, then, properties) {
        let mut targets = Vec::new();
        for (first, then) in pairs {
            let of_first = summary(draft, first, None);
            targets.extend(downwards(draft, first, then).into_iter().map(|target| (first, target, of_first)));
        }
        return targets;
    }
    downwards(draft, first, then).into_iter().map(|target| (first, target, of_first)).collect()
}

/// An action with the same step of everything that is part of its resource; those of what both are part of
/// have relations of their own.
fn downwards(draft: &Draft<'_, '_>, first: ActionIx, then: ActionIx) -> Vec<ActionIx> {
    let mut found = vec![then];
    let (Some(resource), doing) = (draft.table[then].resource, draft.table[then].doing) else { return found };
    let one = draft.table[first].resource;
    let is_inner = one.is_some_and(|one| one == resource || draft.is_part_of(one, resource));
    if draft.arena[resource].kind == Kind::Primitive || is_inner || !matches!(doing, Doing::Do(_)) {
        return found;
    }
    let mut place = 0;
    // Bounded by what is part of the resource.
    while place < found.len() {
        let at = found[place];
        place += 1;
        let Some(of) = draft.table[at].resource else { continue };
        if draft.arena[of].kind == Kind::Primitive {
            continue;
        }
        for instance in collective::instances_for(draft, of, doing) {
            found.extend(draft.table.each(instance, doing));
        }
    }
    found
}

/// What [`relation`] acts on.
const SAYS_SOMETHING: P = P::ONE_WAY
    .and(P::FORCES_THEN)
    .and(P::FORCES_THEN_THERE)
    .and(P::RESTARTS)
    .and(P::DEMOTED_FIRST)
    .and(P::MIGRATES_WITH_THEN)
    .and(P::MIGRATES_AFTER_FIRST)
    .and(P::BLOCKS_THEN);

fn relation(
    draft: &mut Draft<'_, '_>,
    agenda: &mut Agenda,
    first: ActionIx,
    then: ActionIx,
    of_first: Summary,
    properties: P,
) {
    let migrates = draft.table[first].migratable;
    if properties.has(P::ONE_WAY) && !of_first.runnable {
        one_way(draft, agenda, then);
    }
    // A node that is not let in anew gives nobody a reason to begin anew.
    let is_idle = draft.table[first].doing == Doing::Unfence && !of_first.runnable;
    if properties.has(P::FORCES_THEN) && of_first.required && !migrates && !is_idle {
        must(draft, agenda, then);
        let starts = matches!(draft.table[first].doing, START | RUNNING);
        if starts && draft.table[then].doing == START {
            // It would have to be there before what it waits for is.
            stay(draft, agenda, then);
        }
    }
    let same_node = draft.table[first].node == draft.table[then].node;
    if properties.has(P::FORCES_THEN_THERE) && of_first.required && same_node && !is_idle {
        must(draft, agenda, then);
    }
    if properties.has(P::RESTARTS) {
        restart(draft, agenda, first, then);
    }
    if properties.has(P::DEMOTED_FIRST) && draft.table[then].is_required() {
        let resource = draft.table[then].resource;
        if resource.is_some_and(|resource| draft.arena[resource].role == Role::Promoted) {
            must(draft, agenda, first);
        }
    }
    if properties.has(P::MIGRATES_WITH_THEN) {
        let after = &draft.table[then];
        let is_part = after.migratable || after.doing == Doing::MigrateFrom;
        if !(is_part && after.runnable) {
            cannot(draft, agenda, first);
        }
        if draft.table[then].is_required() {
            must(draft, agenda, first);
        }
    }
    if properties.has(P::MIGRATES_AFTER_FIRST) && !of_first.runnable {
        stay(draft, agenda, then);
    }
    if properties.has(P::BLOCKS_THEN) && !of_first.runnable && draft.table[then].runnable {
        cannot(draft, agenda, then);
        stay(draft, agenda, then);
    }
}

/// What comes then is required, so that the first is: of a clone, what it does on the same node. A first that
/// comes before a live migration is not needed for it.
fn needed(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, first: ActionIx, then: ActionIx) {
    let node = draft.table[first].node;
    let of_then = summary(draft, then, node);
    if !of_then.required || draft.table[then].migratable || ends_leftover(draft, first, then) {
        return;
    }
    let comes = collective::brings_up(draft.table[then].doing) || draft.table[then].doing == Doing::Unfence;
    if !of_then.runnable && comes {
        // What cannot come anyway takes nothing down for it.
        return;
    }
    must(draft, agenda, first);
    let is_primitive = |resource: ResIx| draft.arena[resource].kind == Kind::Primitive;
    if draft.table[then].resource.is_some_and(is_primitive) {
        stay(draft, agenda, first);
    }
}

/// What is to be taken down before something else: it has to be, if that is required, or cannot be done
/// although it is the same resource's.
fn restart(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, first: ActionIx, then: ActionIx) {
    if ends_leftover(draft, first, then) {
        return;
    }
    let (one, other) = (draft.table[first].resource, draft.table[then].resource);
    let is_managed = other.is_some_and(|resource| draft.arena[resource].managed);
    let after = &draft.table[then];
    let then_required = after.is_required();
    let then_stuck = !after.runnable && is_managed && one == other;
    if !then_required && !then_stuck {
        return;
    }
    if draft.table[first].runnable || then_required {
        must(draft, agenda, first);
    }
    if draft.table[first].is_required() && !draft.table[then].migratable {
        stay(draft, agenda, first);
    }
    if draft.table[first].is_required() && !draft.table[first].runnable {
        cannot(draft, agenda, then);
    }
}

/// Whether what comes then only ends what a migration of another resource has left behind: that runs elsewhere by
/// now, and so does what needs it.
fn ends_leftover(draft: &Draft<'_, '_>, first: ActionIx, then: ActionIx) -> bool {
    draft.table[then].leftover && draft.table[first].resource != draft.table[then].resource
}

/// A relation that holds in one direction only: what is there already is left alone, everything else is
/// required and cannot be done.
fn one_way(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, then: ActionIx) {
    let found = &draft.table[then];
    let Some(resource) = found.resource else { return };
    let role = draft.role(resource);
    let is_stopped = role == Role::Stopped && found.doing == STOP;
    let is_there = role.is_running()
        && found.doing == START
        && !found.is_required()
        && (found.node.is_none() || draft.arena[resource].active_on.as_slice() == found.node.as_slice());
    if !is_stopped && !is_there {
        must(draft, agenda, then);
        cannot(draft, agenda, then);
    }
}

/// An action becomes required.
pub(super) fn must(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, action: ActionIx) {
    let found = &draft.table[action];
    let is_left = found.resource.is_some_and(|resource| !draft.arena[resource].managed) && !found.point;
    if is_left && collective::brings_up(found.doing) {
        // Nobody will do it, so nobody need make way for it.
        return;
    }
    if !draft.table[action].required {
        draft.table[action].required = true;
        agenda.changed(draft, action);
    }
}

/// An action cannot be done.
pub(super) fn cannot(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, action: ActionIx) {
    if draft.table[action].runnable && !draft.table[action].implied {
        draft.table[action].runnable = false;
        agenda.changed(draft, action);
        agenda.stuck.push(action);
    }
}

/// An action has no place any more. That alone keeps nobody from running who has to be together with it: it was
/// not decided that it stops, it only does not come.
pub(super) fn lacks_place(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, action: ActionIx) {
    if draft.table[action].runnable && !draft.table[action].implied {
        draft.table[action].runnable = false;
        agenda.changed(draft, action);
    }
}

/// A step cannot be replaced by a live migration.
fn stay(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, action: ActionIx) {
    if draft.table[action].migratable {
        draft.table[action].migratable = false;
        agenda.changed(draft, action);
        // What migrates only as far as this does has to be looked at from this side.
        let then: Vec<ActionIx> = draft.table[action].before.iter().map(|input| input.first).collect();
        then.into_iter().for_each(|first| agenda.add(first));
    }
}

fn show(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, point: ActionIx) {
    if draft.table[point].point && !draft.table[point].shown {
        draft.table[point].shown = true;
        agenda.changed(draft, point);
    }
}

fn cancel(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, action: ActionIx) {
    if draft.table[action].cancelled {
        return;
    }
    draft.table[action].cancelled = true;
    let found = &draft.table[action];
    if let (Some(resource), Doing::Reload) = (found.resource, found.doing) {
        draft.reloads.remove(&resource);
    }
    agenda.changed(draft, action);
}
