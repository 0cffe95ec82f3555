//! Random clusters for the policy engine, and what must hold in each of them.
//!
//! A seed grows a cluster ([`grow`]); the engine decides; what it has decided is looked at from outside,
//! with nothing but its words ([`claims`]), and carried out in thought ([`run`]), until nothing is left to
//! do. A cluster in which a claim does not hold is made as small as it can be while the claim still does not
//! hold ([`shrink`]), and printed ([`show`]).
//!
//! The seed is all that is needed to see it again.

mod chance;
pub mod claims;
pub mod grow;
mod known;
pub mod run;
pub mod show;
pub mod shrink;

use heart_model::policy::{Cluster, State};

/// A cluster, and how it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Situation {
    /// What is wanted.
    pub cluster: Cluster,
    /// What is known.
    pub state: State,
}
