//! Instances of an ordered clone take turns: they start by number and stop in reverse.
//!
//! Neighbours are related before anything is handed on. Here those that really do something are, whoever is
//! between them and has nothing to do.

use alloc::vec::Vec;

use heart_model::policy::Verb;

use super::{
    collective::{member_action, summary},
    draft::Draft,
    propagate::complete,
    relation::Properties as P,
    table::{ActionIx, Doing},
};
use crate::engine::arena::{Kind, ResIx};

/// Joins the starts and the stops of all ordered clones.
pub(super) fn take(draft: &mut Draft<'_, '_>) {
    for clone in draft.arena.resource_numbers() {
        if draft.arena[clone].clone.is_some_and(|facts| facts.ordered) {
            let mut instances = draft.arena[clone].children.clone();
            in_turn(draft, &instances, Verb::Start);
            instances.reverse();
            in_turn(draft, &instances, Verb::Stop);
            after_probes(draft, &instances);
        }
    }
}

/// What an instance has to do, if anything.
fn step(draft: &mut Draft<'_, '_>, instance: ResIx, verb: Verb) -> Option<ActionIx> {
    let begins = member_action(draft, instance, Doing::Do(verb))?;
    summary(draft, begins, None).required.then_some(begins)
}

fn in_turn(draft: &mut Draft<'_, '_>, instances: &[ResIx], verb: Verb) {
    let mut last = None;
    for instance in instances {
        let Some(begins) = step(draft, *instance, verb) else { continue };
        if let Some(last) = last {
            draft.table.join(last, begins, P::ORDERED);
        }
        let is_primitive = draft.arena[*instance].kind == Kind::Primitive;
        last = Some(if is_primitive { begins } else { complete(draft, *instance, begins) });
    }
}

/// An instance stops when it is known of all that stop before it whether they run.
fn after_probes(draft: &mut Draft<'_, '_>, instances: &[ResIx]) {
    let mut probes: Vec<ActionIx> = Vec::new();
    for instance in instances {
        if !probes.is_empty()
            && let Some(stop) = step(draft, *instance, Verb::Stop)
            && !draft.table[stop].implied
        {
            probes.iter().for_each(|probe| {
                draft.table.join(*probe, stop, P::ORDERED);
            });
        }
        for part in draft.primitives(*instance) {
            probes.extend(draft.table.of(part, Doing::Probe));
        }
    }
}
