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

mod actions;
mod arena;
mod assignment;
mod candidates;
mod colocation;
mod digest;
mod facts;
mod node_table;
pub mod outcome;
mod picture;
mod rules;
mod values;

use heart_model::policy::{Cluster, State};

pub use outcome::Outcome;

/// Decides what has to be done in a cluster.
#[must_use]
pub fn decide(spec: &Cluster, state: &State) -> Outcome {
    let mut arena = facts::gather(spec, state);
    let before = picture::before(&arena);
    candidates::admit(&mut arena);
    colocation::unfold(&mut arena);
    assignment::assign(&mut arena);
    actions::act(&mut arena, before)
}
