//! How long a cluster that begins waits for who is still on the way.
//!
//! The first leader of a cold start is there before the last node is, by some milliseconds or by the
//! time that another machine needs to boot. What it placed at once would stay there, whatever the
//! configuration prefers. So for a while what nobody ran waits for the node it prefers. What lost its
//! owner never waits: then somebody notices every millisecond.

use heart_model::{Duration, Epoch, Gathering, Moment, ResourceName, Spec};
use std::collections::BTreeMap;

use super::Score;
use crate::ledger::Ledger;

/// How long, in lost-afters since it leads, a leader waits for preferred nodes at a cold start.
const GATHER_WAIT: u32 = 1;

/// What a leader found when it began.
#[derive(Debug, Default)]
pub(super) enum Start {
    /// It has not looked yet.
    #[default]
    Unseen,
    /// Something was held by somebody: this is no cold start.
    Running,
    /// Nothing was held by anybody.
    Cold {
        /// Until when nodes are waited for.
        until: Moment,
        /// The last epoch of every resource that was known.
        epochs: BTreeMap<ResourceName, Epoch>,
    },
}

impl Start {
    /// The first look of a leader that leads since `since`.
    pub(super) fn look(since: Moment, lost_after: Duration, score: &Score<'_>) -> Start {
        let resources = &score.ledger.resources;
        if resources.values().any(|resource| resource.grant.is_some()) {
            return Start::Running;
        }
        let until = since.after(lost_after * GATHER_WAIT);
        let epochs = resources.iter().map(|(name, resource)| (name.clone(), resource.epoch)).collect();
        Start::Cold { until, epochs }
    }

    /// What may wait, and for how long.
    pub(super) fn gathering(&self, now: Moment, spec: &Spec, ledger: &Ledger) -> Option<Gathering> {
        let (until, epochs) = match self {
            Start::Cold { until, epochs } if !now.has_surely_reached(*until) => (*until, epochs),
            Start::Cold { .. } | Start::Unseen | Start::Running => return None,
        };
        // Nobody was given it since, and its last owner stopped it in order, if it had one.
        let rests = |name: &&ResourceName| {
            let before = epochs.get(*name).copied().unwrap_or_default();
            let known = ledger.resources.get(*name);
            known.is_none_or(|known| known.epoch == before && known.closed == before)
        };
        let resources = spec.grantable().into_keys().filter(|name| rests(&name)).collect();
        Some(Gathering { resources, left_ms: left_ms(now, until) })
    }

    /// When nobody is waited for any more.
    pub(super) fn until(&self) -> Option<Moment> {
        match self {
            Start::Cold { until, .. } => Some(*until),
            Start::Unseen | Start::Running => None,
        }
    }
}

/// Milliseconds, begun ones counted.
pub(super) fn left_ms(now: Moment, until: Moment) -> u64 {
    u64::try_from(now.at_most_until(until).as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
