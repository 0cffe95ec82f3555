//! What else waits for probes: whatever would follow a stop that a probe may show to be necessary.

use alloc::{collections::BTreeSet, vec, vec::Vec};

use super::{
    draft::Draft,
    relation::{End, Properties as P, Relation},
    table::{ActionIx, DEMOTE, Doing, START, STOP},
};
use crate::engine::arena::{Kind, ResIx};

/// Joins probes with what waits for them indirectly.
pub(super) fn join(draft: &mut Draft<'_, '_>) {
    for relation in draft.relations.clone() {
        before_what_follows_a_stop(draft, relation);
    }
    for probe in draft.table.numbers() {
        if draft.table[probe].doing == Doing::Probe {
            before_restarts(draft, probe);
        }
    }
}

/// What comes after a stop of a resource comes after its probes, too: they may show that it runs.
fn before_what_follows_a_stop(draft: &mut Draft<'_, '_>, relation: Relation) {
    let (resource, doing) = end_of(draft, relation.first);
    let (then_resource, then_doing) = end_of(draft, relation.then);
    let Some(resource) = resource.filter(|_| doing == STOP) else { return };
    // Who is let in anew is probed only then.
    if then_resource == Some(resource) || then_doing == Doing::Unfence {
        return;
    }
    let is_own_container = draft.arena[resource].container.is_some()
        && draft.arena[resource].container == then_resource
        && then_doing == STOP;
    if is_own_container {
        return;
    }
    if relation.properties.has(P::SAME_NODE_OR_TARGET) {
        return;
    }
    let mut properties = P::ORDERED;
    if relation.properties.has(P::SAME_NODE_IF_REQUIRED) {
        properties |= P::SAME_NODE_IF_REQUIRED;
    }
    let probes = draft.table.of(resource, Doing::Probe);
    if probes.is_empty() {
        return;
    }
    let then = match relation.then {
        End::Action(action) => vec![action],
        End::Of(resource, doing) => draft.table.of(resource, doing),
    };
    for probe in probes {
        for then in &then {
            draft.table.join(probe, *then, properties);
        }
    }
}

fn end_of(draft: &Draft<'_, '_>, end: End) -> (Option<ResIx>, Doing) {
    match end {
        End::Action(action) => (draft.table[action].resource, draft.table[action].doing),
        End::Of(resource, doing) => (Some(resource), doing),
    }
}

/// What restarts when the probed resource starts is taken down after the probe only: the probe may show that
/// no restart is needed.
fn before_restarts(draft: &mut Draft<'_, '_>, probe: ActionIx) {
    let Some(probed) = draft.table[probe].resource else { return };
    let direct = |then: &&ActionIx| {
        let relations = draft.table[**then].before.iter().filter(|input| input.first == probe);
        relations.into_iter().any(|input| !input.properties.has(P::SAME_NODE_IF_REQUIRED))
    };
    let mut waiting: Vec<ActionIx> = draft.table[probe].after.iter().filter(direct).copied().collect();
    let mut seen: BTreeSet<ActionIx> = BTreeSet::new();
    // Bounded: each action is seen once.
    while let Some(after) = waiting.pop() {
        if !seen.insert(after) {
            continue;
        }
        let (of, doing) = (draft.table[after].resource, draft.table[after].doing);
        let is_primitive = |of: &ResIx| draft.arena[*of].kind == Kind::Primitive;
        if let Some(of) = of.filter(|of| doing == START && *of != probed && is_primitive(of)) {
            for step in [STOP, DEMOTE] {
                for down in draft.table.of(of, step) {
                    // What fencing implies waits for nobody.
                    if !draft.table[down].implied {
                        draft.table.join(probe, down, P::ORDERED);
                    }
                }
            }
        }
        waiting.extend(followers(draft, probed, after));
    }
}

/// What is forced by an action, and the members of what it is the beginning of.
fn followers(draft: &Draft<'_, '_>, probed: ResIx, after: ActionIx) -> Vec<ActionIx> {
    let of = draft.table[after].resource;
    let only = of.and_then(|of| pair_of(draft, probed, of));
    let mut found = Vec::new();
    for then in &draft.table[after].after {
        let relations = draft.table[*then].before.iter();
        let forces =
            relations.filter(|input| input.first == after).any(|input| input.properties.has(P::FORCES_THEN));
        let leads_inside = of.zip(draft.table[*then].resource).is_some_and(|(of, member)| {
            draft.arena[of].kind != Kind::Primitive
                && draft.arena[member].parent == Some(of)
                && draft.arena[probed].parent != Some(of)
                && only.is_none_or(|only| only == Some(member))
        });
        if forces || leads_inside {
            found.push(*then);
        }
    }
    found
}

/// Of a clone whose instances go in pairs, the instance that goes where the probed resource goes; None if it
/// does not matter.
fn pair_of(draft: &Draft<'_, '_>, probed: ResIx, clone: ResIx) -> Option<Option<ResIx>> {
    let _ = draft.arena[clone].clone.filter(|facts| facts.interleave)?;
    let place = draft.place(probed, false);
    let there = |instance: &&ResIx| place.is_some() && draft.place(**instance, false) == place;
    Some(draft.arena[clone].children.iter().find(there).copied())
}
