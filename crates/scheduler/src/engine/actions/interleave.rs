//! Clones whose instances wait only for the instance on their own node.

use alloc::vec::Vec;

use heart_model::policy::Verb;

use super::{
    collective::{brings_up, instances_for, member_action},
    draft::Draft,
    propagate::{self, Agenda},
    relation::Properties as P,
    table::{ActionIx, Doing, PROMOTE, RUNNING, START, STOP},
};
use crate::engine::{
    arena::{Kind, NodeIx, NodeKind, ResIx},
    values::flag,
};

/// The pairs that a relation of two clones is about, if their instances go in pairs. Each is joined, too.
pub(super) fn pairs(
    draft: &mut Draft<'_, '_>,
    agenda: &mut Agenda,
    first: ActionIx,
    then: ActionIx,
    properties: P,
) -> Option<Vec<(ActionIx, ActionIx)>> {
    let (one, other) = (draft.table[first].resource?, draft.table[then].resource?);
    let step = match draft.table[first].doing {
        Doing::Do(verb) | Doing::Done(verb) | Doing::Told(_, verb) => Doing::Do(verb),
        _ => return None,
    };
    let then_step = draft.table[then].doing;
    if !is_paired(draft, first, then) {
        return None;
    }
    let goes_down = matches!(then_step, Doing::Do(Verb::Stop | Verb::Demote));
    let mut pairs = Vec::new();
    for instance in instances_for(draft, other, then_step) {
        let place = host_of(draft, instance, goes_down);
        let partner = place.and_then(|node| partner_on(draft, one, step, node, goes_down));
        let Some(partner) = partner else {
            let is_mandatory = properties.has_any(P::BLOCKS_THEN | P::FORCES_THEN);
            if !goes_down && is_mandatory && draft.assigned(instance_root(draft, instance)).is_some() {
                lose_place(draft, agenda, instance);
            }
            continue;
        };
        let complete = |draft: &Draft<'_, '_>, partner: ResIx| {
            let begins = member_action(draft, partner, step)?;
            let is_primitive = draft.arena[partner].kind == Kind::Primitive;
            Some(if is_primitive { begins } else { propagate::complete(draft, partner, begins) })
        };
        let before = complete(draft, partner);
        let after = member_action(draft, instance, then_step);
        if let Some((before, after)) = before.zip(after) {
            if draft.table.join(before, after, properties.without(P::NEEDED_BY_THEN)) {
                agenda.add(after);
            }
            pairs.push((before, after));
        }
    }
    Some(pairs)
}

/// Takes instances out whose partner is not there, before anything is handed on: what is never started must
/// not make others start anew.
pub(super) fn leave_out_unpaired(draft: &mut Draft<'_, '_>, agenda: &mut Agenda) {
    // Bounded: each turn but the last takes out an instance. Whoever pairs with that one loses its place, too;
    // it is not kept from running, which would take others down with it.
    loop {
        let known = draft.unpaired.len();
        for then in draft.table.numbers() {
            if !brings_up(draft.table[then].doing) {
                continue;
            }
            for input in draft.table[then].before.clone() {
                pairs(draft, agenda, input.first, then, input.properties);
            }
        }
        if draft.unpaired.len() == known {
            break;
        }
    }
    for part in draft.unpaired.clone() {
        forget(draft, part);
        let mut at = draft.arena[part].parent;
        // Bounded by how deep resources are nested.
        while let Some(whole) = at.filter(|whole| draft.arena[*whole].kind != Kind::Bundle) {
            forget(draft, whole);
            at = draft.arena[whole].parent;
        }
    }
}

/// Takes back that something is started; what it is made of may say so again.
fn forget(draft: &mut Draft<'_, '_>, resource: ResIx) {
    for doing in [START, RUNNING, PROMOTE] {
        for action in draft.table.of(resource, doing) {
            draft.table[action].required = false;
        }
    }
}

/// Whether a relation of two clones is one of pairs of their instances.
pub(super) fn is_paired(draft: &Draft<'_, '_>, first: ActionIx, then: ActionIx) -> bool {
    let (Some(one), Some(other)) = (draft.table[first].resource, draft.table[then].resource) else {
        return false;
    };
    let is_inside = draft.is_part_of(one, other) || draft.is_part_of(other, one);
    if one == other || is_inside || !has_instances(draft, one) || !has_instances(draft, other) {
        return false;
    }
    let goes_down = matches!(draft.table[then].doing, Doing::Do(Verb::Stop | Verb::Demote));
    is_interleaved(draft, if goes_down { one } else { other })
}

fn has_instances(draft: &Draft<'_, '_>, resource: ResIx) -> bool {
    matches!(draft.arena[resource].kind, Kind::Clone | Kind::Bundle)
}

fn is_interleaved(draft: &Draft<'_, '_>, resource: ResIx) -> bool {
    let found = &draft.arena[resource];
    match found.clone {
        Some(clone) => clone.interleave,
        None => flag(&found.meta, "interleave", false),
    }
}

/// On which machine an instance is: of one inside a container, where the container is.
fn host_of(draft: &Draft<'_, '_>, instance: ResIx, current: bool) -> Option<NodeIx> {
    let node = draft.place(instance, current)?;
    match draft.arena.node(node).kind {
        NodeKind::Guest { container, .. } => draft.place(container, current),
        NodeKind::Member | NodeKind::Ping | NodeKind::Remote { .. } => Some(node),
    }
}

/// The first primitive of an instance, which tells where the instance goes.
fn instance_root(draft: &Draft<'_, '_>, instance: ResIx) -> ResIx {
    draft.primitives(instance).first().copied().unwrap_or(instance)
}

fn partner_on(
    draft: &Draft<'_, '_>,
    clone: ResIx,
    step: Doing,
    node: NodeIx,
    current: bool,
) -> Option<ResIx> {
    let instances = instances_for(draft, clone, step);
    instances.into_iter().find(|instance| host_of(draft, *instance, current) == Some(node))
}

/// An instance whose partner is not there cannot be where it was to go.
fn lose_place(draft: &mut Draft<'_, '_>, agenda: &mut Agenda, instance: ResIx) {
    for part in draft.primitives(instance) {
        if !draft.unpaired.insert(part) {
            continue;
        }
        for action in draft.table.all_of(part) {
            match draft.table[action].doing {
                STOP => propagate::must(draft, agenda, action),
                Doing::Do(Verb::Start | Verb::Promote) | Doing::Recur(_) => {
                    propagate::lacks_place(draft, agenda, action);
                }
                _ => {}
            }
        }
        // Who pairs with it has lost its partner.
        let Some(clone) = draft.arena.clone_of(part) else { continue };
        for point in draft.table.all_of(clone) {
            agenda.changed(draft, point);
        }
    }
}
