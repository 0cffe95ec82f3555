//! When devices were proven for the last time, over restarts of the core.
//!
//! Whoever drives a core keeps this for the next one: it is shown to people, and nothing is decided by it. When a device is
//! tried again does not follow from it either: what an earlier core found need not be so any more.

use heart_model::FenceProof;
use serde::{Deserialize, Serialize};

use super::{Core, Known, Proofs};

/// When a device was found to be of use for the last time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proven {
    /// Which device, of which node.
    pub proof: FenceProof,
    /// Milliseconds since 1970, by this node's wall clock.
    pub at: u64,
}

impl Proofs {
    /// When a device was proven for the last time, by this core or one before it.
    pub(super) fn proven_at(&self, known: &Known) -> Option<u64> {
        let earlier = || self.earlier.iter().find(|one| one.proof == known.proof).map(|one| one.at);
        known.proven.or_else(earlier)
    }
}

impl Core {
    /// Takes note of what an earlier core of this node knew.
    pub fn recall_proven(&mut self, earlier: Vec<Proven>) {
        self.proofs.earlier = earlier;
    }

    /// What the next core of this node should know; empty before anything is configured.
    #[must_use]
    pub fn proven(&self) -> Vec<Proven> {
        let all = self.proofs.devices.iter();
        let one =
            |known: &Known| Some(Proven { at: self.proofs.proven_at(known)?, proof: known.proof.clone() });
        all.filter_map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{Duration, FenceAgent, FenceDevice, Moment, NodeName};

    #[test]
    fn what_an_earlier_core_found_is_known_until_this_one_finds_it() {
        let device = FenceDevice {
            agent: FenceAgent::parse("fence_test").expect("an agent"),
            parameters: [].into(),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(20),
            timeout_is_least: false,
        };
        let node = |name| NodeName::new(name).expect("a name");
        let proof = FenceProof { node: node("ada"), device };
        let other = FenceProof { node: node("bob"), ..proof.clone() };
        let earlier = vec![Proven { proof: proof.clone(), at: 5 }];
        let proofs = Proofs { earlier, ..Proofs::default() };
        let mut known = Known::new(proof, 1, Moment::default());
        assert_eq!(proofs.proven_at(&known), Some(5));
        known.proven = Some(9);
        assert_eq!(proofs.proven_at(&known), Some(9));
        assert_eq!(proofs.proven_at(&Known::new(other, 1, Moment::default())), None);
    }
}
