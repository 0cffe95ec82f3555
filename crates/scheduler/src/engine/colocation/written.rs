//! Colocations that were written: of two resources, or of sets of them.

use alloc::{string::String, vec, vec::Vec};

use heart_model::policy::{Colocation, ColocationSets, ResourceSet, Role, Score};

use super::{
    super::arena::{Arena, Cause, Pair, ResIx},
    pair_up,
};

/// What all pairs of one constraint have in common.
struct Common<'s> {
    cause: Cause,
    attribute: Option<&'s String>,
    influence: Option<bool>,
}

/// One end of a pair.
#[derive(Clone, Copy)]
struct End {
    resource: ResIx,
    role: Option<Role>,
}

impl Common<'_> {
    fn pair(&self, arena: &mut Arena<'_>, id: &str, score: Score, dependent: End, primary: End) {
        // Without a word about it, what is critical has a say, and what is not has none.
        let influence = self.influence.unwrap_or(arena[dependent.resource].critical);
        let pair = Pair {
            cause: self.cause,
            id: id.into(),
            score,
            dependent: dependent.resource,
            dependent_role: dependent.role,
            primary: primary.resource,
            primary_role: primary.role,
            attribute: self.attribute.cloned(),
            influence,
        };
        pair_up(arena, pair);
    }
}

/// A colocation of two resources. One of them may stand for several, by a tag.
pub(super) fn colocation(arena: &mut Arena<'_>, place: u32, said: &Colocation) {
    let common = Common {
        cause: Cause::Constraint(place),
        attribute: said.node_attribute.as_ref(),
        influence: said.influence,
    };
    let dependents = ends(arena, &said.dependent, said.dependent_role);
    let primaries = ends(arena, &said.primary, said.primary_role);
    if named(arena, &said.dependent).is_none() && named(arena, &said.primary).is_none() {
        // Several with several can be meant in more than one way.
        return;
    }
    for dependent in dependents {
        for primary in &primaries {
            common.pair(arena, &said.id, said.score, dependent, *primary);
        }
    }
}

/// A colocation of sets: pairs within each, and between each and the next.
pub(super) fn sets(arena: &mut Arena<'_>, place: u32, said: &ColocationSets) {
    let common = Common {
        cause: Cause::Constraint(place),
        attribute: said.node_attribute.as_ref(),
        influence: said.influence,
    };
    let mut before: Option<(&ResourceSet, Vec<End>)> = None;
    for set in &said.sets {
        let members: Vec<End> = set.members.iter().flat_map(|name| ends(arena, name, set.role)).collect();
        within(arena, &common, set, said.score, &members);
        if let Some((earlier, dependents)) = before {
            between(arena, &common, said, (earlier, &dependents), (set, &members));
        }
        before = Some((set, members));
    }
}

/// Each member follows the one before it. Those that must not be together must not with any other.
fn within(arena: &mut Arena<'_>, common: &Common<'_>, set: &ResourceSet, score: Score, members: &[End]) {
    if set.sequential == Some(false) {
        return;
    }
    let score = set.score.unwrap_or(score);
    for (place, member) in members.iter().enumerate() {
        let others = match score.is_negative() {
            true => &members[..place],
            false => &members[place.saturating_sub(1)..place],
        };
        for other in others {
            common.pair(arena, &set.id, score, *member, *other);
        }
    }
}

/// The first of a set follows the last of the next one; where a set has no order, all of it counts.
fn between(
    arena: &mut Arena<'_>,
    common: &Common<'_>,
    said: &ColocationSets,
    (dependent_set, dependents): (&ResourceSet, &[End]),
    (primary_set, primaries): (&ResourceSet, &[End]),
) {
    let dependents = match dependent_set.sequential {
        Some(false) => dependents,
        Some(true) | None => dependents.get(..1).unwrap_or_default(),
    };
    let primaries = match primary_set.sequential {
        Some(false) => primaries,
        Some(true) | None => &primaries[primaries.len().saturating_sub(1)..],
    };
    for dependent in dependents {
        for primary in primaries {
            common.pair(arena, &said.id, said.score, *dependent, *primary);
        }
    }
}

/// What a name in a constraint stands for: a resource, what is in a clone for the clone, a tag for all
/// that has it.
fn ends(arena: &Arena<'_>, name: &str, role: Option<Role>) -> Vec<End> {
    let role = role.filter(|role| *role != Role::Started);
    let end = |resource| End { resource, role };
    if let Some(resource) = named(arena, name) {
        return vec![end(resource)];
    }
    match arena.spec.tags.get(name) {
        Some(names) => names.iter().filter_map(|name| named(arena, name)).map(end).collect(),
        None => Vec::new(),
    }
}

/// The resource with this name.
fn named(arena: &Arena<'_>, name: &str) -> Option<ResIx> {
    if let Some(resource) = arena.by_id.get(name) {
        return Some(*resource);
    }
    // What is in a clone goes by the numbers of the instances; by its own name it means all of them.
    let part = arena
        .resource_numbers()
        .find(|resource| arena[*resource].source.is_some_and(|source| source.id == name))?;
    arena.clone_of(part).or(Some(part))
}
