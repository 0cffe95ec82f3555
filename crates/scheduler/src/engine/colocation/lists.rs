//! Which colocations act on which resource, and in which order.
//!
//! What is said of a whole acts on its parts as follows. *Clones*: on every instance. *Groups*: where
//! the group follows, on its first member, since the others follow that one; where others follow the
//! group, on its last member, since that follows all the others. *Bundles*: on every container; roles of
//! what is inside are chosen later, see the assignment.
//!
//! Those with what has a higher priority come first, then those with what is more: bundles, clones,
//! groups, primitives; then by what they are called.

use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use heart_model::policy::Score;

use super::super::arena::{Arena, Cause, ColocationIx, Kind, Res, ResIx};

/// The two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// In which the resource follows.
    Follows,
    /// In which others follow the resource.
    FollowedBy,
}

impl Side {
    /// This list of a resource.
    pub(crate) fn of<'r>(self, resource: &'r Res<'_>) -> &'r [ColocationIx] {
        match self {
            Side::Follows => &resource.follows,
            Side::FollowedBy => &resource.followed_by,
        }
    }

    /// The same, to be changed.
    pub(crate) fn of_mut<'r>(self, resource: &'r mut Res<'_>) -> &'r mut Vec<ColocationIx> {
        match self {
            Side::Follows => &mut resource.follows,
            Side::FollowedBy => &mut resource.followed_by,
        }
    }

    /// The other end of a pair.
    pub(crate) fn other(self, arena: &Arena<'_>, pair: ColocationIx) -> ResIx {
        let pair = &arena.colocations[pair.0 as usize];
        match self {
            Side::Follows => pair.primary,
            Side::FollowedBy => pair.dependent,
        }
    }
}

/// Which of two pairs counts first.
fn compare(arena: &Arena<'_>, side: Side, one: ColocationIx, other: ColocationIx) -> Ordering {
    let rank = |pair: ColocationIx| {
        let end = &arena[side.other(arena, pair)];
        let kind = match end.kind {
            Kind::Bundle => 3,
            Kind::Clone => 2,
            Kind::Group => 1,
            Kind::Primitive => 0,
        };
        let promotable = end.clone.is_some_and(|clone| clone.promotable);
        Reverse((end.priority, kind, promotable))
    };
    let id = |pair: ColocationIx| &arena.colocations[pair.0 as usize].id;
    rank(one).cmp(&rank(other)).then_with(|| id(one).cmp(id(other)))
}

/// Puts a pair where it belongs: before those that are no different.
pub(crate) fn insert(arena: &Arena<'_>, side: Side, list: &mut Vec<ColocationIx>, pair: ColocationIx) {
    let place = list.partition_point(|listed| compare(arena, side, *listed, pair) == Ordering::Less);
    list.insert(place, pair);
}

/// Gives every resource the pairs of what it is part of.
pub(super) fn complete(arena: &mut Arena<'_>) {
    for side in [Side::Follows, Side::FollowedBy] {
        // Own lists must be kept until all are complete, since parts read those of their wholes.
        let mut completed = Vec::with_capacity(arena.resources.len());
        for resource in arena.resource_numbers() {
            let mut list = Vec::new();
            gather(arena, side, resource, resource, &mut list);
            completed.push(list);
        }
        for (resource, list) in arena.resource_numbers().zip(completed) {
            *side.of_mut(&mut arena[resource]) = list;
        }
    }
}

/// Adds what `at` has for the list of `holder`, which is itself or a part of it.
fn gather(arena: &Arena<'_>, side: Side, at: ResIx, holder: ResIx, list: &mut Vec<ColocationIx>) {
    let here = &arena[at];
    match here.kind {
        Kind::Primitive if at == holder => {
            merge(arena, side, list, side.of(here));
            if let Some(parent) = here.parent {
                gather(arena, side, parent, holder, list);
            }
        }
        // The other members of a group count for the one that stands for it, as far as somebody wrote it.
        Kind::Primitive => {
            for pair in side.of(here) {
                if matches!(arena.colocations[pair.0 as usize].cause, Cause::Constraint(_)) {
                    insert(arena, side, list, *pair);
                }
            }
        }
        Kind::Group => gather_group(arena, side, at, holder, list),
        Kind::Clone => {
            merge(arena, side, list, side.of(here));
            if let Some(parent) = here.parent {
                gather(arena, side, parent, holder, list);
            }
        }
        Kind::Bundle => {
            let facts = here.bundle.as_ref();
            let is_container = |facts: &super::super::arena::BundleFacts| {
                facts.replicas.iter().any(|replica| replica.container == holder)
            };
            if at == holder || facts.is_some_and(is_container) {
                merge(arena, side, list, side.of(here));
            }
        }
    }
}

fn gather_group(arena: &Arena<'_>, side: Side, group: ResIx, holder: ResIx, list: &mut Vec<ColocationIx>) {
    let members = &arena[group].children;
    let stands_for_it = match side {
        Side::Follows => members.first(),
        Side::FollowedBy => members.last(),
    };
    if holder == group || stands_for_it == Some(&holder) {
        if let Some(parent) = arena[group].parent {
            gather(arena, side, parent, holder, list);
        }
        merge(arena, side, list, side.of(&arena[group]));
        for member in members.iter().filter(|member| **member != holder) {
            gather(arena, side, *member, holder, list);
        }
        return;
    }
    // What is behind a member that nobody manages cannot rely on it: it follows on its own.
    let broken = members.iter().take_while(|member| **member != holder).any(|member| !arena[*member].managed);
    if side == Side::Follows && broken {
        for pair in &arena[group].follows {
            if arena.colocations[pair.0 as usize].score >= Score::INFINITY {
                insert(arena, side, list, *pair);
            }
        }
    }
}

/// Adds the pairs of a whole to those of a part.
fn merge(arena: &Arena<'_>, side: Side, list: &mut Vec<ColocationIx>, added: &[ColocationIx]) {
    if list.is_empty() {
        list.extend_from_slice(added);
    } else {
        added.iter().for_each(|pair| insert(arena, side, list, *pair));
    }
}
