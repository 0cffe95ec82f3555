//! A plan carried out in thought, as the engine does it.

use heart_scheduler::engine::{Outcome, rehearse};

use crate::{Situation, grow::NOW};

/// What is known when all of it has succeeded.
#[must_use]
pub fn carry_out(situation: &Situation, outcome: &Outcome) -> Situation {
    let Situation { cluster, state } = situation;
    // Nodes have clocks, also where nobody knows the time.
    let now = state.now.unwrap_or(NOW);
    Situation { cluster: cluster.clone(), state: rehearse::carry_out(cluster, state, now, outcome) }
}

/// A name without the number of an instance.
pub(crate) fn without_instance(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
