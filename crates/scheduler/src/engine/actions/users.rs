//! Orders that people have written.
//!
//! A mandatory order says that what comes then needs what comes first: it waits for it, restarts with it, and
//! stops before it. An optional one, and one that only serialises, says something only if both are done.

use alloc::vec::Vec;

use heart_model::policy::{Constraint, Order, OrderKind, Role, Score, Verb};

use super::{
    draft::Draft,
    relation::{End, Properties as P},
    sets,
    table::Doing,
};
use crate::engine::arena::{Kind, ResIx};

/// In which direction an order is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symmetry {
    /// As written, and the inverse holds, too.
    Symmetric,
    /// As written only.
    OneWay,
    /// The inverse of one that is symmetric.
    Inverse,
}

/// Notes all that was written about order, and what forbidding two things to be together means for it.
pub(super) fn relate(draft: &mut Draft<'_, '_>) {
    let spec = draft.arena.spec;
    for constraint in &spec.constraints {
        match constraint {
            Constraint::Order(order) => simple(draft, order),
            Constraint::OrderSets(order) => sets::relate(draft, order),
            Constraint::Location(_)
            | Constraint::Colocation(_)
            | Constraint::ColocationSets(_)
            | Constraint::Ticket(_) => {}
        }
    }
    apart(draft);
}

/// What an order of this kind means.
pub(super) fn properties_of(kind: OrderKind, first: Verb, symmetry: Symmetry) -> P {
    match kind {
        OrderKind::Optional | OrderKind::Serialize => P::ORDERED,
        OrderKind::Mandatory => match symmetry {
            Symmetry::OneWay => P::ORDERED | P::ONE_WAY,
            Symmetry::Inverse => P::ORDERED | P::NEEDED_BY_THEN,
            Symmetry::Symmetric => match first {
                Verb::Start | Verb::Promote => P::ORDERED | P::FORCES_THEN | P::BLOCKS_THEN,
                Verb::Stop | Verb::Demote => P::ORDERED | P::FORCES_THEN,
            },
        },
    }
}

/// Whether the inverse of an order holds.
pub(super) fn symmetry_of(kind: OrderKind, said: Option<bool>) -> Symmetry {
    match (kind, said) {
        (OrderKind::Serialize, _) | (_, Some(false)) => Symmetry::OneWay,
        (OrderKind::Mandatory | OrderKind::Optional, Some(true) | None) => Symmetry::Symmetric,
    }
}

/// What a constraint speaks of: a resource, or one instance of a clone.
pub(super) fn find(draft: &Draft<'_, '_>, id: &str, instance: Option<u32>) -> Option<ResIx> {
    let resource = draft.arena.by_id.get(id).copied()?;
    let Some(number) = instance else { return Some(resource) };
    let ends_so = |child: &&ResIx| {
        let number_of = draft.arena[**child].id.rsplit_once(':').map(|(_, number)| number);
        number_of.and_then(|text| text.parse().ok()) == Some(number)
    };
    draft.arena[resource].children.iter().find(ends_so).copied()
}

fn simple(draft: &mut Draft<'_, '_>, order: &Order) {
    let first = find(draft, &order.first, order.first_instance);
    let then = find(draft, &order.then, order.then_instance);
    let (Some(first), Some(then)) = (first, then) else { return };
    let symmetry = symmetry_of(order.kind, order.symmetrical);
    let properties = properties_of(order.kind, order.first_action, symmetry);
    match needed_of(draft, first, order) {
        Some(needed) => {
            some_of(draft, (first, order.first_action), (then, order.then_action), properties, needed);
        }
        None => {
            let (one, other) = (Doing::Do(order.first_action), Doing::Do(order.then_action));
            draft.relate_both((first, one), (then, other), properties);
        }
    }
    if symmetry == Symmetry::Symmetric {
        let inverse = order.then_action.inverse();
        let properties = properties_of(order.kind, inverse, Symmetry::Inverse);
        let then_inverse = Doing::Do(order.first_action.inverse());
        draft.relate_both((then, Doing::Do(inverse)), (first, then_inverse), properties);
    }
}

/// How many instances of what comes first are needed, if not all that there are.
fn needed_of(draft: &Draft<'_, '_>, first: ResIx, order: &Order) -> Option<u32> {
    let found = &draft.arena[first];
    let is_clone = matches!(found.kind, Kind::Clone | Kind::Bundle);
    let brings_up = matches!(order.first_action, Verb::Start | Verb::Promote);
    if !is_clone || !brings_up {
        return None;
    }
    let least = found.clone.map_or(0, |clone| clone.min);
    match (order.require_all, least) {
        (_, 1..) => Some(least),
        (Some(false), 0) => Some(1),
        (Some(true) | None, 0) => None,
    }
}

/// What comes then needs some instances of what comes first.
fn some_of(draft: &mut Draft<'_, '_>, first: (ResIx, Verb), then: (ResIx, Verb), properties: P, needed: u32) {
    let gate = draft.table.gate(needed);
    let step = Doing::Do(first.1);
    for instance in super::collective::instances_for(draft, first.0, step) {
        draft.relate(End::Of(instance, step), End::Action(gate), P::COUNTS | P::SHOWS_THEN);
    }
    let properties = properties | P::BLOCKS_THEN;
    draft.relate(End::Action(gate), End::Of(then.0, Doing::Do(then.1)), properties);
}

/// Two that may not be together: on a node that one leaves and the other takes, the first leaves first.
fn apart(draft: &mut Draft<'_, '_>) {
    let forbidden: Vec<_> = draft
        .arena
        .colocations
        .iter()
        .filter(|pair| pair.score <= Score::NEVER && pair.dependent != pair.primary)
        .map(|pair| ((pair.dependent, pair.dependent_role), (pair.primary, pair.primary_role)))
        .collect();
    for (dependent, primary) in forbidden {
        leaves_first(draft, dependent, primary);
        leaves_first(draft, primary, dependent);
    }
}

fn leaves_first(draft: &mut Draft<'_, '_>, first: (ResIx, Option<Role>), then: (ResIx, Option<Role>)) {
    let leaves: &[Verb] = match first.1 {
        Some(Role::Promoted) => &[Verb::Demote],
        Some(Role::Unpromoted) => &[Verb::Stop, Verb::Promote],
        Some(Role::Started | Role::Stopped) | None => &[Verb::Stop],
    };
    let arrives: &[Verb] = match then.1 {
        Some(Role::Promoted) => &[Verb::Promote],
        Some(Role::Unpromoted) => &[Verb::Start, Verb::Demote],
        Some(Role::Started | Role::Stopped) | None => &[Verb::Start],
    };
    for leave in leaves {
        for arrive in arrives {
            let (first, then) = ((first.0, Doing::Do(*leave)), (then.0, Doing::Do(*arrive)));
            draft.relate_both(first, then, P::SAME_NODE_IF_REQUIRED);
        }
    }
}
