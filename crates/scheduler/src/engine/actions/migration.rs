//! Live migration: a resource moves while it runs.
//!
//! `migrate_to` where it runs, `migrate_from` where it goes, then the stop where it ran; the start becomes a
//! point in time. Everything that is not compatible with that makes it a stop and a start again, which is
//! why those are made, too.

use super::{
    draft::Draft,
    relation::{End, Properties as P},
    table::{DEMOTE, Doing, PROMOTE, START, STOP},
};
use crate::engine::arena::{Kind, NodeIx, ResIx};

/// Whether a resource can move from here without being stopped.
fn can_migrate(draft: &Draft<'_, '_>, resource: ResIx, current: NodeIx, assigned: NodeIx) -> bool {
    let found = &draft.arena[resource];
    let is_clean = |node: NodeIx| draft.arena.node(node).online && !draft.arena.node(node).unclean;
    found.allow_migrate
        && found.managed
        && !found.failed
        && !found.start_pending
        && !found.removed
        && current != assigned
        && is_clean(current)
        && is_clean(assigned)
}

/// Makes the actions of a migration, if the resource moves and can do so.
pub(super) fn make(draft: &mut Draft<'_, '_>, resource: ResIx, current: NodeIx) {
    let Some(assigned) = draft.arena[resource].assigned else { return };
    if !draft.arena[resource].next_role.is_running() || !can_migrate(draft, resource, current, assigned) {
        return;
    }
    let goes_on = draft.continuing.contains(&resource);
    let from = draft.need(resource, Doing::MigrateFrom, Some(assigned), true);
    for (doing, node) in [(START, assigned), (STOP, current)] {
        if let Some(step) = draft.table.on(resource, doing, node) {
            draft.table[step].migratable = true;
        }
    }
    let migrate_from = End::Action(from);
    let probed_there = P::ORDERED | P::BLOCKS_THEN;
    if goes_on {
        draft.relate(End::Of(resource, Doing::Probe), migrate_from, probed_there);
    } else {
        let to = draft.need(resource, Doing::MigrateTo, Some(current), true);
        draft.relate(End::Of(resource, Doing::Probe), End::Action(to), probed_there);
        draft.relate(End::Action(to), migrate_from, P::ORDERED | P::MIGRATES_WITH_THEN);
    }
    draft.relate(migrate_from, End::Of(resource, STOP), P::ORDERED | P::MIGRATES_WITH_THEN);
    let then = P::ORDERED | P::MIGRATES_WITH_THEN | P::MIGRATES_AFTER_FIRST;
    draft.relate(migrate_from, End::Of(resource, START), then);
}

/// What an order of two resources means where one of them can migrate: instead of its start and stop, what
/// takes their place is ordered.
pub(super) fn also_relate(draft: &mut Draft<'_, '_>, first: (ResIx, Doing), then: (ResIx, Doing)) {
    let (one, other) = (first.0, then.0);
    if draft.is_part_of(one, other) || draft.is_part_of(other, one) {
        return;
    }
    let migrates = |resource: ResIx| {
        let found = &draft.arena[resource];
        found.kind == Kind::Primitive && found.allow_migrate
    };
    let (first_migrates, then_migrates) = (migrates(one), migrates(other));
    if !then_migrates {
        return;
    }
    let unless = P::ORDERED | P::UNLESS_FIRST_MIGRATES;
    match (first.1, then.1) {
        (START, START) => {
            if first_migrates {
                note(draft, (one, Doing::MigrateTo), (other, Doing::MigrateTo), P::ORDERED);
                note(draft, (one, Doing::MigrateFrom), (other, Doing::MigrateTo), P::ORDERED);
            }
            note(draft, (one, START), (other, Doing::MigrateTo), unless);
        }
        (STOP, STOP) => {
            note(draft, (one, STOP), (other, Doing::MigrateTo), unless);
            note(draft, (one, STOP), (other, Doing::MigrateFrom), unless);
        }
        (PROMOTE, START) => note(draft, (one, PROMOTE), (other, Doing::MigrateTo), P::ORDERED),
        (DEMOTE, STOP) => {
            note(draft, (one, DEMOTE), (other, Doing::MigrateTo), P::ORDERED);
            note(draft, (one, DEMOTE), (other, Doing::MigrateFrom), P::ORDERED);
        }
        _ => {}
    }
}

fn note(draft: &mut Draft<'_, '_>, first: (ResIx, Doing), then: (ResIx, Doing), properties: P) {
    let (first, then) = (End::Of(first.0, first.1), End::Of(then.0, then.1));
    draft.relations.push(super::relation::Relation { first, then, properties });
}
