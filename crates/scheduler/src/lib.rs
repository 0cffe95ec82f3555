//! What should run where, and why.
//!
//! [`plan`] is a function of what should be and what is. It looks at no clock and remembers
//! nothing: whoever leads next comes to the same plan from the same facts, and a plan that was
//! carried out leads to an empty one. It works in a few passes over plain data:
//!
//! 1. *facts*: what is known, in the shape in which the other passes ask for it;
//! 2. *candidates*: where each unit may run, and why not elsewhere;
//! 3. *placement*: where it shall run: where it is, if it can; else where it is preferred; else
//!    where least runs;
//! 4. *steps*: what has to be done for that, and what waits for what.
//!
//! Every pass adds its reasons, so that a decision and its explanation cannot differ.
//!
//! A *unit* is what is placed as a whole: a group, or a resource that is in none.
//!
//! Invariants: nothing healthy moves because something else failed, or because a node came back.
//! Nothing ends, or does not start, because a node is sick or reaches fewer ping targets. Nothing is started while it may still run elsewhere, except where its guard makes that safe.
#![no_std]
extern crate alloc;

mod asked;
mod candidates;
pub mod engine;
mod facts;
mod gathering;
pub mod lower;
mod placement;
mod reach;
mod refusals;
mod sick;
mod situation;
mod stands;
mod steps;
pub mod survival;

use alloc::{collections::BTreeMap, vec};

use heart_model::{NodeName, Plan, Reason, ResourceName, ResourceState, Spec, Status};

use facts::Facts;

/// Plans what has to be done so that everything runs where it should.
#[must_use]
pub fn plan(spec: &Spec, status: &Status) -> Plan {
    if !status.quorum {
        return undecided(spec, status);
    }
    let facts = Facts::of(spec, status);
    let of_nodes = candidates::of_nodes(&facts);
    sick::plan(&facts, status.bound_to_sick, |spared| {
        let candidates = candidates::candidates(&facts, &of_nodes, spared);
        let targets = situation::ask(&facts, &of_nodes, &candidates);
        let refusals = refusals::Refusals { facts: &facts, candidates: &candidates, targets: &targets };
        let places = placement::place(&refusals);
        let mut plan = steps::steps(&facts, &places);
        plan.ended = asked::ended(&refusals, &status.intents);
        plan.look_again = lower::next_change(spec, status.now);
        plan
    })
}

/// Without a quorum everything stays as it is.
fn undecided(spec: &Spec, status: &Status) -> Plan {
    let grantable = spec.grantable();
    let names = grantable.keys().chain(status.resources.keys());
    let place = |name: &ResourceName| match status.resources.get(name).map(|resource| &resource.state) {
        Some(ResourceState::Granted { node, .. }) => Some(node.clone()),
        Some(ResourceState::Ungranted) | None => None,
    };
    let placement: BTreeMap<ResourceName, Option<NodeName>> =
        names.map(|name| (name.clone(), place(name))).collect();
    let reasons = placement.keys().map(|name| (name.clone(), vec![Reason::NoQuorum])).collect();
    Plan { placement, reasons, ..Plan::default() }
}
