//! The policy engine: from everything that is wanted and known to what has to be done.
//!
//! Passes over one arena of plain data, in this order, none of which takes back what an earlier one
//! decided:
//!
//! 1. *facts*: options and rules are evaluated, resources unfolded into instances, histories read: what
//!    is each node, what is active where, what has failed;
//! 2. *candidates*: where each resource may run at all, and how gladly;
//! 3. *assignment*: where each resource goes, and in which role;
//! 4. *actions*: what has to be done for that, and what waits for what.

mod absences;
mod actions;
mod arena;
mod assignment;
mod candidates;
mod colocation;
mod compare;
mod digest;
pub mod explain;
mod facts;
mod failures;
pub mod inject;
mod names;
mod node_table;
pub mod outcome;
mod picture;
pub mod planner;
pub mod rehearse;
mod rules;
mod settings;
pub mod settle;
pub mod survive;
mod trace;
mod values;

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use heart_model::policy::{Cluster, Role, State};

pub use outcome::Outcome;
pub use planner::Planner;

use absences::Absences;
use trace::{Given, Trace};

/// Decides what has to be done in a cluster.
#[must_use]
pub fn decide(spec: &Cluster, state: &State) -> Outcome {
    let mut arena = facts::gather(spec, state);
    decide_in(&mut arena)
}

/// The same for who carries it out and does not ask what will be then: [`Outcome::after`] stays empty. To find
/// that out, everything that will have been done is written down and read again, which takes about as long as
/// the decision itself.
#[must_use]
pub fn plan(spec: &Cluster, state: &State) -> Outcome {
    let mut arena = facts::gather(spec, state);
    arena.foresees = false;
    decide_in(&mut arena)
}

/// The same as [`decide`], where it was noted which histories say no more than that something is not there.
fn decide_noted(spec: &Cluster, state: &State, absences: &Absences) -> Outcome {
    let outcome = decide_in(&mut facts::gather_noted(spec, state, absences));
    debug_assert_eq!(outcome, decide(spec, state), "what is noted decides nothing");
    outcome
}

/// The same as [`plan`], where that was noted.
fn plan_noted(spec: &Cluster, state: &State, absences: &Absences) -> Outcome {
    let mut arena = facts::gather_noted(spec, state, absences);
    arena.foresees = false;
    let outcome = decide_in(&mut arena);
    debug_assert_eq!(outcome, plan(spec, state), "what is noted decides nothing");
    outcome
}

/// Where each primitive goes, by its id; instances of anonymous clones under the id that they share. For who
/// carries things out in a way of its own: no action is thought of.
#[must_use]
pub fn places(spec: &Cluster, state: &State) -> BTreeMap<String, Vec<(String, Role)>> {
    let mut arena = facts::gather(spec, state);
    candidates::admit(&mut arena);
    colocation::unfold(&mut arena);
    assignment::assign(&mut arena);
    let mut places: BTreeMap<String, Vec<(String, Role)>> = BTreeMap::new();
    for resource in arena.resources.iter().filter(|resource| resource.kind == arena::Kind::Primitive) {
        let on = places.entry(resource.name.clone()).or_default();
        on.extend(resource.assigned.map(|node| (arena.node(node).name.clone(), resource.next_role)));
    }
    places
}

fn decide_in(arena: &mut arena::Arena<'_>) -> Outcome {
    let before = picture::before(arena);
    candidates::admit(arena);
    colocation::unfold(arena);
    assignment::assign(arena);
    actions::act(arena, before)
}

/// Decides what has to be done in a part of a cluster, and notes what other parts have to know of that.
fn decide_part(spec: &Cluster, state: &State, given: &Given) -> (Outcome, Trace) {
    let mut arena = facts::gather_part(spec, state, given);
    let active_before = trace::active(&arena);
    let any_fence_device = arena.resources.iter().any(|resource| resource.fence_device);
    let managed = trace::managed(&arena);
    let separable = trace::is_separable(&arena);
    let outcome = decide_in(&mut arena);
    let active_after = arena.active_after.take().unwrap_or_else(|| active_before.clone());
    let trace = Trace {
        turns: core::mem::take(&mut arena.turns),
        active_before,
        active_after,
        nodes_changed: arena.nodes_changed,
        separable,
        any_fence_device,
        managed,
        restless: core::mem::take(&mut arena.restless),
        places: trace::places(&arena),
    };
    (outcome, trace)
}

/// What others hear of the resources of a part of a cluster before any of them is placed.
fn said(spec: &Cluster, state: &State, given: &Given) -> Vec<trace::Said> {
    let mut arena = facts::gather_part(spec, state, given);
    candidates::admit(&mut arena);
    trace::said(&arena)
}
