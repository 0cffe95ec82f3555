//! What goes where something else is: constraints, and what groups, bundles and containers imply, taken
//! apart into colocations of two resources.
//!
//! Every resource then gets the two lists that decide about it, those in which it *follows* others and
//! those in which others *follow it*. The lists are complete: a member or an instance has those of what
//! it is part of, too, where they act on it. So `dependent` and `primary` of a pair are as they were
//! written, while the resource that holds the pair in its list may be a part of one of them.

mod implied;
mod lists;
mod written;

#[cfg(test)]
mod tests;

pub(super) use implied::is_together;
pub(super) use lists::{Side, insert};

use heart_model::policy::Constraint;

use super::arena::{Arena, ColocationIx, Pair};

/// Fills [`Arena::colocations`], and the lists of every resource.
pub(crate) fn unfold(arena: &mut Arena<'_>) {
    let spec = arena.spec;
    for (place, constraint) in spec.constraints.iter().enumerate() {
        match constraint {
            Constraint::Colocation(colocation) => written::colocation(arena, place as u32, colocation),
            Constraint::ColocationSets(sets) => written::sets(arena, place as u32, sets),
            Constraint::Location(_)
            | Constraint::Order(_)
            | Constraint::OrderSets(_)
            | Constraint::Ticket(_) => {}
        }
    }
    implied::imply(arena);
    lists::complete(arena);
}

/// Adds a pair to the arena, and to the lists of its two ends. One that says nothing is left out.
pub(super) fn pair_up(arena: &mut Arena<'_>, pair: Pair) -> Option<ColocationIx> {
    let (dependent, primary) = (pair.dependent, pair.primary);
    if pair.score == 0 || dependent == primary {
        return None;
    }
    let number = ColocationIx(arena.colocations.len() as u32);
    arena.colocations.push(pair);
    for (holder, side) in [(dependent, Side::Follows), (primary, Side::FollowedBy)] {
        let mut list = core::mem::take(side.of_mut(&mut arena[holder]));
        insert(arena, side, &mut list, number);
        *side.of_mut(&mut arena[holder]) = list;
    }
    Some(number)
}
