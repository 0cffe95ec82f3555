//! From role to role: which steps take a primitive from where it is to where it goes.
//!
//! Roles are rungs: stopped, running, promoted. A resource that moves goes down to the ground and up again
//! elsewhere. One that stays gets the same steps as optional ones, so that others can require a restart.

use heart_model::policy::Role;

use super::{
    draft::Draft,
    fencing, migration, monitors,
    relation::{End, Properties},
    table::{DEMOTE, Doing, PROMOTE, START, STOP},
};
use crate::engine::{
    arena::{MultipleActive, NodeIx, ResIx},
    facts,
};

/// What is known of the way of a primitive.
#[derive(Clone, Copy)]
struct Way {
    from: Role,
    to: Role,
    current: Option<NodeIx>,
    assigned: Option<NodeIx>,
    /// It has to be taken down first.
    restart: bool,
    /// It has to be promoted anew.
    promote_anew: bool,
    migrate: bool,
}

/// Makes the actions of a primitive.
pub(super) fn climb(draft: &mut Draft<'_, '_>, resource: ResIx) {
    stop_leftovers(draft, resource);
    let mut way = way_of(draft, resource);
    restart_if_needed(draft, resource, &mut way);
    optional_restart(draft, resource, way);
    transition(draft, resource, way);
    monitors::make(draft, resource);
    if way.migrate
        && let Some(current) = way.current
    {
        migration::make(draft, resource, current);
    }
}

/// What a migration has left behind is stopped where it was left, and where it may have arrived; but not on a
/// node that is left alone.
fn stop_leftovers(draft: &mut Draft<'_, '_>, resource: ResIx) {
    let (left, perhaps) = (draft.arena[resource].dangling.clone(), draft.arena[resource].perhaps_on.clone());
    let nodes =
        left.into_iter().map(|node| (node, true)).chain(perhaps.into_iter().map(|node| (node, false)));
    for (node, leftover) in nodes {
        if draft.arena.node(node).maintenance {
            continue;
        }
        let stop = draft.need(resource, STOP, Some(node), true);
        draft.table[stop].leftover |= leftover;
    }
}

fn way_of(draft: &Draft<'_, '_>, resource: ResIx) -> Way {
    let found = &draft.arena[resource];
    let assigned = found.assigned;
    Way {
        from: found.role,
        to: if assigned.is_some() { found.next_role } else { Role::Stopped },
        current: current_place(draft, resource),
        assigned,
        restart: false,
        promote_anew: false,
        migrate: found.allow_migrate && !is_taken(draft, resource),
    }
}

/// Whether another instance of the same clone is active where this one goes. Agents do not tell them apart: what is
/// done with the one would be done with the other.
fn is_taken(draft: &Draft<'_, '_>, resource: ResIx) -> bool {
    let found = &draft.arena[resource];
    let (Some(node), Some(clone)) = (found.assigned, draft.arena.clone_of(resource)) else { return false };
    let is_there = |other: &ResIx| {
        let other_one = &draft.arena[*other];
        *other != resource && other_one.name == found.name && other_one.active_on.contains(&node)
    };
    draft.primitives(clone).iter().any(is_there)
}

/// Where it counts as running, if it is active on several nodes.
fn current_place(draft: &Draft<'_, '_>, resource: ResIx) -> Option<NodeIx> {
    let found = &draft.arena[resource];
    let source = found.migration.map(|(source, _)| source).filter(|source| found.active_on.contains(source));
    let clean = facts::clean_places(draft.arena, resource).next();
    source.or(clean).or_else(|| found.active_on.first().copied())
}

fn restart_if_needed(draft: &mut Draft<'_, '_>, resource: ResIx, way: &mut Way) {
    let found = &draft.arena[resource];
    let mut half_way = None;
    let several = facts::clean_places(draft.arena, resource).count() > 1;
    match found.migration {
        Some((source, target)) if way.current == Some(source) && way.assigned == Some(target) => {
            draft.continuing.insert(resource);
        }
        Some((_, target)) => {
            way.restart = true;
            way.migrate = false;
            half_way = Some(target);
        }
        None if several => match found.multiple_active {
            MultipleActive::StopStart | MultipleActive::StopOnly => way.restart = true,
            MultipleActive::StopUnexpected => {
                way.restart = true;
                draft.keeps_expected.insert(resource);
            }
            MultipleActive::Block => {}
        },
        None => {}
    }
    if let Some(target) = half_way.filter(|target| draft.arena.node(*target).online) {
        // It may have arrived before anybody was told.
        draft.need(resource, STOP, Some(target), true);
    }
    let only_there = draft.arena[resource].active_on.iter().all(|node| Some(*node) == way.assigned);
    if draft.arena[resource].start_pending && way.assigned.is_some() && only_there {
        let start = draft.need(resource, START, way.assigned, false);
        draft.table[start].shown = true;
    }
    let found = &draft.arena[resource];
    if way.current.is_some() && way.assigned.is_some() && way.current != way.assigned {
        way.restart = true;
    }
    way.restart |= found.stop_wanted;
    if found.failed {
        way.promote_anew = !found.stop_wanted && way.to == Role::Promoted;
    } else if found.blocked {
        way.restart = true;
    } else if way.from > Role::Started && way.current.is_some() && way.assigned.is_some() {
        let start = draft.need(resource, START, way.assigned, false);
        way.restart |= draft.table[start].required;
    }
}

/// Down from the current role and up to it again: required if it has to be taken down, else optional.
fn optional_restart(draft: &mut Draft<'_, '_>, resource: ResIx, way: Way) {
    if way.from == Role::Promoted {
        let wanted = draft.arena[resource].demote_wanted;
        demote(draft, resource, way.restart || wanted);
    }
    if way.from.is_running() {
        stop(draft, resource, way, way.restart);
    }
    if rung(way.from) > rung(way.to) || draft.arena[resource].blocked || !way.from.is_running() {
        return;
    }
    start(draft, resource, way.assigned, way.restart);
    if way.from == Role::Promoted {
        promote(draft, resource, way.assigned, way.restart || way.promote_anew);
    }
}

fn transition(draft: &mut Draft<'_, '_>, resource: ResIx, way: Way) {
    let (from, to) = (rung(way.from), rung(way.to));
    if from == 2 && to < 2 {
        demote(draft, resource, true);
    }
    if from > 0 && to == 0 {
        stop(draft, resource, way, true);
    }
    if from == 0 && to > 0 {
        start(draft, resource, way.assigned, true);
    }
    if from < 2 && to == 2 {
        promote(draft, resource, way.assigned, true);
    }
}

fn rung(role: Role) -> u8 {
    match role {
        Role::Stopped => 0,
        Role::Started | Role::Unpromoted => 1,
        Role::Promoted => 2,
    }
}

/// Stops it wherever it is active.
fn stop(draft: &mut Draft<'_, '_>, resource: ResIx, way: Way, required: bool) {
    for node in draft.arena[resource].active_on.clone() {
        let arrived = draft.arena[resource].migration.is_some_and(|(_, target)| target == node)
            && way.assigned == Some(node)
            && draft.continuing.contains(&resource);
        if arrived || draft.is_expected(resource, node) {
            continue;
        }
        let stop = draft.need(resource, STOP, Some(node), required);
        if !draft.arena[resource].managed {
            draft.table[stop].runnable = false;
        }
        if draft.arena.options.remove_after_stop {
            super::changes::delete_history(draft, resource, node, required);
        }
        fencing::stop_before_unfencing(draft, resource, node, stop);
    }
}

fn start(draft: &mut Draft<'_, '_>, resource: ResIx, node: Option<NodeIx>, required: bool) {
    let start = draft.need(resource, START, node, false);
    fencing::after_unfencing(draft, resource, node, start, Properties::FORCES_THEN);
    if draft.table[start].runnable && required && draft.arena[resource].managed {
        draft.require(start);
    }
    if node.is_some_and(|node| draft.is_expected(resource, node)) {
        draft.table[start].point = true;
    }
}

/// A promotion needs a start that can be done.
fn promote(draft: &mut Draft<'_, '_>, resource: ResIx, node: Option<NodeIx>, required: bool) {
    let start = draft.table.get(Some(resource), START, node);
    let can_start = start.is_none_or(|start| draft.table[start].runnable);
    let promote = draft.need(resource, PROMOTE, node, required && can_start);
    if !can_start {
        draft.table[promote].runnable = false;
    }
    if node.is_some_and(|node| draft.is_expected(resource, node)) {
        draft.table[promote].point = true;
    }
}

fn demote(draft: &mut Draft<'_, '_>, resource: ResIx, required: bool) {
    for node in draft.arena[resource].active_on.clone() {
        let is_promoted = draft.arena[resource].active_roles.get(&node) != Some(&Role::Unpromoted);
        if is_promoted && !draft.is_expected(resource, node) {
            draft.need(resource, DEMOTE, Some(node), required);
        }
    }
}

/// Tells an agent of new parameters; a stop or a demotion makes that needless.
pub(super) fn reload(draft: &mut Draft<'_, '_>, resource: ResIx, node: NodeIx) {
    let found = &draft.arena[resource];
    if !found.managed || found.failed {
        return;
    }
    if found.start_pending {
        draft.need(resource, STOP, Some(node), true);
        return;
    }
    draft.reloads.insert(resource);
    let reload = draft.need(resource, Doing::Reload, Some(node), true);
    for then in [STOP, DEMOTE] {
        let properties = Properties::ORDERED | Properties::CANCELS_FIRST;
        draft.relate(End::Action(reload), End::Of(resource, then), properties);
    }
}
