//! Orders of many resources at once.
//!
//! A set that is sequential is a chain, one that is not has members that do not care for one another; each
//! set comes after the one before it.

use alloc::vec::Vec;

use heart_model::policy::{OrderKind, OrderSets, ResourceSet, Verb};

use super::{
    draft::Draft,
    relation::{End, Properties as P},
    table::Doing,
    users::{Symmetry, find, properties_of, symmetry_of},
};
use crate::engine::arena::ResIx;

/// A set, read.
struct Members {
    resources: Vec<ResIx>,
    verb: Verb,
    /// It said itself that it is a chain.
    is_chain: bool,
    needs_all: bool,
}

/// Notes what sets say.
pub(super) fn relate(draft: &mut Draft<'_, '_>, order: &OrderSets) {
    let symmetry = symmetry_of(order.kind, order.symmetrical);
    let mut last: Option<Members> = None;
    for set in &order.sets {
        let members = read(draft, set);
        inside(draft, set, &members, order);
        if let Some(last) = &last {
            between(draft, last, &members, order.kind, symmetry);
            if symmetry == Symmetry::Symmetric {
                let (then, first) = (inverse(last), inverse(&members));
                between(draft, &first, &then, order.kind, Symmetry::Inverse);
            }
        }
        last = Some(members);
    }
}

fn read(draft: &Draft<'_, '_>, set: &ResourceSet) -> Members {
    let found = set.members.iter().filter_map(|id| find(draft, id, None));
    Members {
        resources: found.collect(),
        verb: set.action.unwrap_or(Verb::Start),
        is_chain: set.sequential == Some(true),
        needs_all: set.require_all != Some(false),
    }
}

fn inverse(members: &Members) -> Members {
    Members {
        resources: members.resources.clone(),
        verb: members.verb.inverse(),
        is_chain: members.is_chain,
        needs_all: true,
    }
}

fn inside(draft: &mut Draft<'_, '_>, set: &ResourceSet, members: &Members, order: &OrderSets) {
    let kind = set.kind.unwrap_or(order.kind);
    let symmetry = symmetry_of(kind, order.symmetrical);
    let step = Doing::Do(members.verb);
    let properties = properties_of(kind, members.verb, symmetry);
    let resources = &members.resources;
    if kind == OrderKind::Serialize {
        for (place, then) in resources.iter().enumerate() {
            for first in &resources[..place] {
                draft.relate_both((*first, step), (*then, step), properties);
            }
        }
        return;
    }
    if set.sequential == Some(false) {
        return;
    }
    for pair in resources.windows(2) {
        draft.relate_both((pair[0], step), (pair[1], step), properties);
    }
    if symmetry == Symmetry::Symmetric {
        let back = members.verb.inverse();
        let properties = properties_of(kind, back, Symmetry::Inverse);
        for pair in resources.windows(2).rev() {
            draft.relate_both((pair[1], Doing::Do(back)), (pair[0], Doing::Do(back)), properties);
        }
    }
}

/// One set after the other. Chains are joined at their ends.
fn between(draft: &mut Draft<'_, '_>, first: &Members, then: &Members, kind: OrderKind, symmetry: Symmetry) {
    let properties = properties_of(kind, first.verb, symmetry);
    let (one, other) = (Doing::Do(first.verb), Doing::Do(then.verb));
    if !first.needs_all {
        let gate = draft.table.gate(1);
        for resource in &first.resources {
            draft.relate(End::Of(*resource, one), End::Action(gate), P::COUNTS | P::SHOWS_THEN);
        }
        for resource in &then.resources {
            let then = End::Of(*resource, other);
            draft.relate(End::Action(gate), then, properties | P::BLOCKS_THEN);
        }
        return;
    }
    let backwards = symmetry == Symmetry::Inverse;
    let ends_with = |members: &Members, last: bool| -> Vec<ResIx> {
        let end = if last { members.resources.last() } else { members.resources.first() };
        if members.is_chain { end.copied().into_iter().collect() } else { members.resources.clone() }
    };
    for one_resource in ends_with(first, !backwards) {
        for other_resource in ends_with(then, backwards) {
            draft.relate_both((one_resource, one), (other_resource, other), properties);
        }
    }
}
