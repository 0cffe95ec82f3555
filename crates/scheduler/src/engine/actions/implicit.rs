//! Relations that nobody has to write down: between the steps of one resource, of members and their group,
//! of instances and their clone, of what is in a container and the container.

use alloc::vec::Vec;

use heart_model::policy::Verb;

use super::{
    collective,
    draft::Draft,
    fencing,
    relation::{End, Properties as P},
    table::{DEMOTE, DEMOTED, Doing, PROMOTE, PROMOTED, RUNNING, START, STOP, STOPPED},
};
use crate::engine::{
    arena::{Kind, Placement, ResIx},
    values::flag,
};

/// Notes the relations of everything.
pub(super) fn relate(draft: &mut Draft<'_, '_>) {
    for resource in draft.arena.top.clone() {
        of(draft, resource);
    }
}

fn of(draft: &mut Draft<'_, '_>, resource: ResIx) {
    match draft.arena[resource].kind {
        Kind::Primitive => of_primitive(draft, resource),
        Kind::Group => of_group(draft, resource),
        Kind::Clone => of_clone(draft, resource),
        Kind::Bundle => of_bundle(draft, resource),
    }
}

fn of_primitive(draft: &mut Draft<'_, '_>, resource: ResIx) {
    let both = |draft: &mut Draft<'_, '_>, first: Doing, then: Doing, properties: P| {
        draft.relate_both((resource, first), (resource, then), properties);
    };
    both(draft, STOP, START, P::ORDERED | P::FORCES_THEN | P::RESTARTS);
    both(draft, DEMOTE, STOP, P::ORDERED | P::DEMOTED_FIRST);
    both(draft, START, PROMOTE, P::ORDERED | P::BLOCKS_THEN);
    both(draft, DEMOTE, PROMOTE, P::ORDERED);
    both(draft, Doing::DeleteHistory, Doing::Probe, P::SAME_NODE | P::CANCELS_FIRST);
    if draft.arena.options.placement != Placement::Default && !draft.arena[resource].needs.is_empty() {
        free_capacity(draft, resource);
    }
    fencing::unfencing_around(draft, resource);
    let is_connection = draft.arena[resource].connection_to.is_some();
    let in_bundle = draft.arena[draft.arena.outermost(resource)].kind == Kind::Bundle;
    // In a bundle, everything but the connection has relations of its own.
    if let Some(container) = draft.arena[resource].container.filter(|_| is_connection || !in_bundle) {
        of_contained(draft, resource, container);
    }
}

/// Starts on a node wait for the stops that free what they need.
fn free_capacity(draft: &mut Draft<'_, '_>, resource: ResIx) {
    let nodes: Vec<_> = draft.arena[resource].allowed.iter().map(|(node, _)| node).collect();
    for node in nodes {
        let freed = draft.table.make(None, Doing::Freed, Some(node));
        draft.table[freed].point = true;
        draft.table[freed].required = true;
        let end = End::Action(freed);
        let properties = P::SAME_NODE_OR_TARGET;
        draft.relate(End::Of(resource, STOP), end, properties);
        draft.relate(end, End::Of(resource, START), properties);
        draft.relate(end, End::Of(resource, Doing::MigrateTo), properties);
    }
}

/// What is in a container starts after it and stops before it. What runs on the node inside does so through
/// the connection, which has relations of its own.
fn of_contained(draft: &mut Draft<'_, '_>, resource: ResIx, container: ResIx) {
    let is_connection = draft.arena[resource].connection_to.is_some();
    let through_connection = draft.arena[container]
        .contains
        .iter()
        .any(|inner| *inner != resource && draft.arena[*inner].connection_to.is_some());
    if is_connection || !through_connection {
        draft.relate_both((container, START), (resource, START), P::FORCES_THEN | P::BLOCKS_THEN);
        draft.relate_both((resource, STOP), (container, STOP), P::NEEDED_BY_THEN);
    }
}

fn of_group(draft: &mut Draft<'_, '_>, group: ResIx) {
    let clone = draft.arena.clone_of(group).and_then(|clone| draft.arena[clone].clone);
    let promotable = clone.is_some_and(|clone| clone.promotable);
    let is_ordered = flag(&draft.arena[group].meta, "ordered", true);
    draft.relate_both((group, STOPPED), (group, START), P::ORDERED);
    draft.relate_both((group, START), (group, RUNNING), P::BLOCKS_THEN);
    draft.relate_both((group, STOP), (group, STOPPED), P::BLOCKS_THEN);
    let mut previous = None;
    for member in draft.arena[group].children.clone() {
        of(draft, member);
        around_member(draft, group, member, Verb::Stop, Verb::Start);
        if promotable {
            around_member(draft, group, member, Verb::Demote, Verb::Promote);
        }
        if !is_ordered {
            draft.relate_both((group, START), (member, START), P::ORDERED);
            if promotable {
                draft.relate_both((group, PROMOTE), (member, PROMOTE), P::ORDERED);
            }
        } else if let Some(previous) = previous {
            after_previous(draft, previous, member, promotable);
        } else {
            draft.relate_both((group, START), (member, START), P::ORDERED);
        }
        previous = Some(member);
    }
}

/// The points of a group around the steps of a member.
fn around_member(draft: &mut Draft<'_, '_>, group: ResIx, member: ResIx, down: Verb, up: Verb) {
    draft.relate_both((group, Doing::Do(down)), (member, Doing::Do(down)), P::SHOWS_FIRST);
    draft.relate_both((member, Doing::Do(down)), (group, Doing::Done(down)), P::SHOWS_THEN);
    draft.relate_both((group, Doing::Do(up)), (member, Doing::Do(up)), P::SHOWS_FIRST);
    let complete = P::BLOCKS_THEN | P::FORCES_THEN | P::SHOWS_THEN;
    draft.relate_both((member, Doing::Do(up)), (group, Doing::Done(up)), complete);
}

/// Members start after one another and stop before one another. One that runs although the one before
/// does not has to stop before that starts.
fn after_previous(draft: &mut Draft<'_, '_>, previous: ResIx, member: ResIx, promotable: bool) {
    draft.relate_both((previous, START), (member, START), P::FORCES_THEN | P::BLOCKS_THEN);
    draft.relate_both((member, STOP), (previous, STOP), P::ORDERED | P::RESTARTS);
    if !draft.is_active(previous) && draft.is_active(member) {
        draft.relate_both((member, STOP), (previous, START), P::FORCES_THEN | P::BLOCKS_THEN);
    }
    if promotable {
        draft.relate_both((previous, PROMOTE), (member, PROMOTE), P::FORCES_THEN | P::BLOCKS_THEN);
        draft.relate_both((member, DEMOTE), (previous, DEMOTE), P::ORDERED);
    }
}

fn of_clone(draft: &mut Draft<'_, '_>, clone: ResIx) {
    let Some(facts) = draft.arena[clone].clone else { return };
    draft.relate_both((clone, STOPPED), (clone, START), P::ORDERED);
    draft.relate_both((clone, START), (clone, RUNNING), P::BLOCKS_THEN);
    draft.relate_both((clone, STOP), (clone, STOPPED), P::BLOCKS_THEN);
    if facts.promotable {
        turns_of_promotable(draft, clone);
    }
    let mut previous = None;
    for instance in draft.arena[clone].children.clone() {
        of(draft, instance);
        draft.relate_both((clone, START), (instance, START), P::BLOCKS_THEN | P::SHOWS_FIRST);
        draft.relate_both((instance, start_end(draft, instance)), (clone, RUNNING), P::SHOWS_THEN);
        draft.relate_both((clone, STOP), (instance, STOP), P::SHOWS_FIRST);
        draft.relate_both((instance, stop_end(draft, instance)), (clone, STOPPED), P::SHOWS_THEN);
        if facts.promotable {
            for (begins, done) in [(DEMOTE, DEMOTED), (PROMOTE, PROMOTED)] {
                draft.relate_both((clone, begins), (instance, begins), P::SHOWS_FIRST);
                let end = end_of(draft, instance, begins);
                draft.relate_both((instance, end), (clone, done), P::SHOWS_THEN);
            }
        }
        if let Some(previous) = previous.filter(|_| facts.ordered) {
            in_turn(draft, previous, instance, facts.promotable);
        }
        previous = Some(instance);
    }
}

/// The step of an instance that completes something: of a group inside, its point of completion.
fn end_of(draft: &Draft<'_, '_>, instance: ResIx, begins: Doing) -> Doing {
    match (draft.arena[instance].kind, begins) {
        (Kind::Primitive, other) => other,
        (_, Doing::Do(verb)) => Doing::Done(verb),
        (_, other) => other,
    }
}

fn start_end(draft: &Draft<'_, '_>, instance: ResIx) -> Doing {
    end_of(draft, instance, START)
}

fn stop_end(draft: &Draft<'_, '_>, instance: ResIx) -> Doing {
    end_of(draft, instance, STOP)
}

/// All demotions, then all stops, then all starts, then all promotions.
fn turns_of_promotable(draft: &mut Draft<'_, '_>, clone: ResIx) {
    for (first, then) in [
        (DEMOTED, STOP),
        (DEMOTED, START),
        (DEMOTED, PROMOTE),
        (STOPPED, PROMOTE),
        (DEMOTE, DEMOTED),
        (PROMOTE, PROMOTED),
    ] {
        draft.relate_both((clone, first), (clone, then), P::ORDERED);
    }
    draft.relate_both((clone, RUNNING), (clone, PROMOTE), P::ORDERED | P::BLOCKS_THEN);
}

/// Instances of an ordered clone start by number and stop in reverse.
fn in_turn(draft: &mut Draft<'_, '_>, previous: ResIx, instance: ResIx, promotable: bool) {
    let started = start_end(draft, previous);
    draft.relate_both((previous, started), (instance, START), P::ORDERED);
    let stopped = stop_end(draft, instance);
    draft.relate_both((instance, stopped), (previous, STOP), P::ORDERED);
    if promotable {
        let promoted = end_of(draft, previous, PROMOTE);
        draft.relate_both((previous, promoted), (instance, PROMOTE), P::ORDERED);
        let demoted = end_of(draft, instance, DEMOTE);
        draft.relate_both((instance, demoted), (previous, DEMOTE), P::ORDERED);
    }
}

fn of_bundle(draft: &mut Draft<'_, '_>, bundle: ResIx) {
    let Some(facts) = draft.arena[bundle].bundle.clone() else { return };
    draft.relate_both((bundle, START), (bundle, RUNNING), P::BLOCKS_THEN);
    draft.relate_both((bundle, STOP), (bundle, STOPPED), P::BLOCKS_THEN);
    if let Some(inner) = facts.inner {
        of(draft, inner);
        let promotable = collective::is_promotable_bundle(draft, bundle);
        let verbs: &[Verb] = if promotable {
            &[Verb::Start, Verb::Stop, Verb::Promote, Verb::Demote]
        } else {
            &[Verb::Start, Verb::Stop]
        };
        for verb in verbs {
            draft.relate_both((bundle, Doing::Do(*verb)), (inner, Doing::Do(*verb)), P::SHOWS_FIRST);
            // Whoever waits for the bundle waits for what is in it.
            draft.relate_both((inner, Doing::Done(*verb)), (bundle, Doing::Done(*verb)), P::SHOWS_THEN);
        }
        if promotable {
            turns_of_promotable(draft, bundle);
        }
    }
    for replica in &facts.replicas {
        let container = replica.container;
        of(draft, container);
        draft.relate_both((bundle, START), (container, START), P::BLOCKS_THEN | P::SHOWS_FIRST);
        draft.relate_both((bundle, STOP), (container, STOP), P::SHOWS_FIRST);
        if facts.inner.is_none() {
            draft.relate_both((container, START), (bundle, RUNNING), P::SHOWS_THEN);
        }
        draft.relate_both((container, STOP), (bundle, STOPPED), P::SHOWS_THEN);
        if let Some(address) = replica.address {
            of(draft, address);
            draft.relate_both((address, START), (container, START), P::FORCES_THEN | P::BLOCKS_THEN);
            draft.relate_both((container, STOP), (address, STOP), P::NEEDED_BY_THEN);
        }
        if let Some(connection) = replica.connection {
            of(draft, connection);
        }
    }
}
