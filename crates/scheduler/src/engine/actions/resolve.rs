//! Joining actions: relations between resources become relations between what is done with them.
//!
//! If what comes first does not exist, that may be because it is not needed: what is stopped needs no stop.
//! Otherwise it stands for something that cannot be done.

use alloc::{vec, vec::Vec};

use heart_model::policy::Role;

use super::{
    draft::Draft,
    relation::{End, Properties as P, Relation},
    table::{ActionIx, DEMOTE, Doing, STOP},
};
use crate::engine::arena::{Kind, ResIx};

/// Joins everything that was noted so far.
pub(super) fn join(draft: &mut Draft<'_, '_>) {
    for relation in core::mem::take(&mut draft.relations) {
        join_one(draft, relation);
        draft.relations.push(relation);
    }
}

fn join_one(draft: &mut Draft<'_, '_>, relation: Relation) {
    let then: Vec<ActionIx> = match relation.then {
        End::Action(action) => vec![action],
        End::Of(resource, doing) => draft.table.of(resource, doing),
    };
    if then.is_empty() {
        return;
    }
    for first in firsts(draft, relation) {
        let mut properties = relation.properties;
        let is_same = draft.table[first].resource == draft.table[then[0]].resource;
        if draft.table[first].leftover && is_same {
            properties = properties.without(P::FORCES_THEN);
        }
        for then in &then {
            draft.table.join(first, *then, properties);
        }
    }
}

fn firsts(draft: &mut Draft<'_, '_>, relation: Relation) -> Vec<ActionIx> {
    let (resource, doing) = match relation.first {
        End::Action(action) => return vec![action],
        End::Of(resource, doing) => (resource, doing),
    };
    let found = draft.table.of(resource, doing);
    if !found.is_empty() || of_same(draft, relation.then, resource) || is_satisfied(draft, resource, doing) {
        return found;
    }
    let missing = draft.table.make(Some(resource), doing, None);
    draft.table[missing].runnable = false;
    draft.table[missing].point = draft.arena[resource].kind != Kind::Primitive;
    vec![missing]
}

fn of_same(draft: &Draft<'_, '_>, then: End, resource: ResIx) -> bool {
    match then {
        End::Action(action) => draft.table[action].resource == Some(resource),
        End::Of(other, _) => other == resource,
    }
}

fn is_satisfied(draft: &Draft<'_, '_>, resource: ResIx, doing: Doing) -> bool {
    let role = draft.role(resource);
    match doing {
        STOP => role == Role::Stopped,
        DEMOTE => role != Role::Promoted,
        // Migrations, deletions and reloads that are not there are not needed.
        Doing::MigrateTo | Doing::MigrateFrom | Doing::Reload | Doing::DeleteHistory | Doing::Probe => true,
        _ => false,
    }
}
