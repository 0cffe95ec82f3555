//! Failovers are counted, so that they do not go on without end.
//!
//! What kills the node it runs on would take one node after another; a node that comes and goes takes what runs there
//! with it each time. So a resource that was taken over too often within an hour is *held* for a while; then it is
//! taken over once more, and held from then on, until it has run for an hour or a person says so. The cluster as a
//! whole is held the same way. A node that was lost several times in a row is in *quarantine*: it is avoided until a
//! while after it was lost last.
//!
//! None of it is needed for safety: the times are those of leaders' wall clocks, and one that was set makes a hold
//! shorter, or longer by what is stated here at most.

use heart_model::{Activity, Duration, NodeName, ResourceName};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::{Ledger, ResourceLedger};

/// Failovers count for so long.
const WITHIN: Duration = Duration::from_secs(3600);
/// What was taken over too often waits for so long, before it is taken over once more.
const COOL_DOWN: Duration = Duration::from_secs(300);
/// How often a node may be lost within [`LOSSES_WITHIN`].
const LOSSES_MAX: usize = 3;
/// Losses of a node count for so long.
const LOSSES_WITHIN: Duration = Duration::from_secs(600);
/// A node is avoided for so long after it was lost once too often.
const QUARANTINE: Duration = Duration::from_secs(600);
/// Failovers that are remembered, whatever the file allows.
const REMEMBERED_MAX: usize = 100;

/// The failovers of a resource, or of the cluster, and what came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failovers {
    /// When the last ones were, in milliseconds since 1970; as many as are remembered.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    times: VecDeque<u64>,
    /// It is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
}

/// Something is not taken over any more by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// After so many failovers.
    pub failovers: usize,
    /// Until when, in milliseconds since 1970; until a person says so, or it has run for long enough, if not said.
    pub until: Option<u64>,
}

impl Failovers {
    /// One more, of which there may be so many within an hour.
    fn count(&mut self, at: u64, most: u32) {
        self.times.retain(|time| at < time.saturating_add(millis(WITHIN)) && *time <= at);
        self.times.push_back(at);
        if self.times.len() > REMEMBERED_MAX {
            self.times.pop_front();
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.hold = match self.times.len() {
            count if count < most => None,
            count if count == most => Some(Hold { failovers: count, until: Some(at + millis(COOL_DOWN)) }),
            count => Some(Hold { failovers: count, until: None }),
        };
    }

    /// Whether it is held at this time; since when it runs is only asked if that matters.
    fn held(&self, wall: u64, runs_since: impl FnOnce() -> Option<u64>) -> Option<Hold> {
        let hold = self.hold?;
        let lasts = match hold.until {
            Some(until) => is_within(wall, until, COOL_DOWN),
            // Who started it may have had a clock that was ahead.
            None => runs_since()
                .is_none_or(|since| is_within(wall, since.saturating_add(millis(WITHIN)), WITHIN * 2)),
        };
        lasts.then_some(hold)
    }
}

/// How often a node was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// When, in milliseconds since 1970; the last [`LOSSES_MAX`].
    #[serde(default, rename = "losses", skip_serializing_if = "VecDeque::is_empty")]
    times: VecDeque<u64>,
    /// Until when it is avoided.
    #[serde(default, rename = "quarantined_until", skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl Losses {
    pub(super) fn count(&mut self, at: u64) {
        self.times.retain(|time| at < time.saturating_add(millis(LOSSES_WITHIN)) && *time <= at);
        self.times.push_back(at);
        if self.times.len() > LOSSES_MAX {
            self.times.pop_front();
        }
        if self.times.len() >= LOSSES_MAX {
            self.until = Some(at + millis(QUARANTINE));
        }
    }

    /// Until when the node is avoided, if it still is.
    #[must_use]
    pub fn quarantined(&self, wall: u64) -> Option<u64> {
        self.until.filter(|until| is_within(wall, *until, QUARANTINE))
    }
}

/// Whether something that lasts so long at most still does. A clock that was set back does not make it longer.
fn is_within(wall: u64, until: u64, longest: Duration) -> bool {
    wall < until && until - wall <= millis(longest)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Since when it runs.
fn runs_since(resource: &ResourceLedger) -> Option<u64> {
    resource.grant.as_ref().filter(|grant| grant.activity == Activity::Running).map(|grant| grant.since)
}

impl Ledger {
    /// Whether a resource is held at this time, by its own failovers or by those of the cluster.
    #[must_use]
    pub fn held(&self, resource: &ResourceName, wall: u64) -> Option<Hold> {
        let own = self.resources.get(resource);
        own.and_then(|known| known.failovers.held(wall, || runs_since(known)))
            .or_else(|| self.cluster_held(wall))
    }

    /// Whether nothing at all is taken over by itself.
    #[must_use]
    pub fn cluster_held(&self, wall: u64) -> Option<Hold> {
        // What nobody has a right to run is nowhere on purpose, or because of the hold itself.
        let all_run_since = || {
            let granted = self.resources.values().filter(|known| known.grant.is_some());
            let since: Option<Vec<u64>> = granted.map(runs_since).collect();
            since?.into_iter().chain(self.failovers.times.back().copied()).max()
        };
        self.failovers.held(wall, all_run_since)
    }

    /// A node that held something is taken over, or something failed there as often as it may.
    pub(super) fn count_for_cluster(&mut self, at: u64) {
        let most = self.spec.as_ref().map_or(u32::MAX, |spec| spec.cluster.failovers_max);
        self.failovers.count(at, most);
    }

    /// A grant to another node than the last is a failover if that one was lost, or it failed there.
    pub(super) fn count_failover(&mut self, at: u64, name: &ResourceName, to: &NodeName) {
        let Some(resource) = self.resources.get_mut(name) else { return };
        let Some((from, session)) = resource.last.as_ref().filter(|(from, _)| from != to) else { return };
        let lost = self.nodes.get(from).is_some_and(|node| node.taken_over == Some(*session));
        let failed = resource.failed_epoch == resource.epoch;
        if !(lost || failed) {
            return;
        }
        let spec = self.spec.as_ref().and_then(|spec| spec.granted(name));
        resource.failovers.count(at, spec.map_or(u32::MAX, |spec| spec.failovers_max));
        if failed && !lost {
            self.count_for_cluster(at);
        }
    }

    /// When the next hold or quarantine ends by itself, in milliseconds since 1970.
    #[must_use]
    pub fn next_release(&self, wall: u64) -> Option<u64> {
        let of_resources = self.resources.values().map(|known| &known.failovers).chain([&self.failovers]);
        let holds = of_resources.filter_map(|failovers| failovers.held(wall, || None)?.until);
        holds.chain(self.nodes.values().filter_map(|node| node.losses.quarantined(wall))).min()
    }

    /// A person wants failovers again, or a node back: counts begin anew, of what is named or of everything.
    pub(super) fn release(&mut self, resources: &[ResourceName], node: Option<&NodeName>) -> bool {
        let mut any = false;
        let everything = resources.is_empty() && node.is_none();
        if everything {
            any |= std::mem::take(&mut self.failovers) != Failovers::default();
        }
        let of_resources =
            self.resources.iter_mut().filter(|(name, _)| everything || resources.contains(name));
        for (_, known) in of_resources {
            any |= std::mem::take(&mut known.failovers) != Failovers::default();
        }
        for (_, known) in self.nodes.iter_mut().filter(|(name, _)| everything || node == Some(name)) {
            any |= std::mem::take(&mut known.losses) != Losses::default();
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Grant;
    use heart_model::{BootId, Epoch, Session, SessionNumber};

    const MINUTE: u64 = 60_000;

    /// What holds after failovers in these minutes, of which three are allowed, at another minute.
    #[track_caller]
    fn check(failovers: &[u64], at: u64, runs_since: Option<u64>, held: Option<Option<u64>>) {
        let mut known = Failovers::default();
        failovers.iter().for_each(|minute| known.count(minute * MINUTE, 3));
        let found = known.held(at * MINUTE, || runs_since.map(|minute| minute * MINUTE));
        assert_eq!(found.map(|hold| hold.until.map(|until| until / MINUTE)), held, "{failovers:?} at {at}");
    }

    #[test]
    fn what_is_taken_over_too_often_cools_down_has_one_more_chance_and_is_held() {
        check(&[100, 110], 110, None, None);
        check(&[100, 110, 120], 121, None, Some(Some(125)));
        check(&[100, 110, 120], 125, None, None);
        check(&[100, 110, 120, 125], 126, None, Some(None));
        check(&[100, 110, 120, 125], 1000, None, Some(None));
    }

    #[test]
    fn what_has_run_for_an_hour_is_trusted_again() {
        check(&[100, 110, 120, 125], 184, Some(125), Some(None));
        check(&[100, 110, 120, 125], 185, Some(125), None);
        check(&[100, 110, 120, 125, 186], 187, None, None);
    }

    /// It was started under a leader whose clock was ahead.
    #[test]
    fn a_start_in_the_future_holds_for_no_more_than_an_hour_longer() {
        check(&[100, 110, 120, 125], 130, Some(150), Some(None));
        check(&[100, 110, 120, 125], 130, Some(191), None);
        check(&[100, 110, 120, 125], 130, Some(20 * 365 * 24 * 60), None);
    }

    /// A copy on a node that is off, or what runs at night only, is granted to nobody.
    #[test]
    fn a_hold_of_the_cluster_does_not_wait_for_what_runs_nowhere_on_purpose() {
        let mut ledger = Ledger::default();
        (0..5).for_each(|minute| ledger.failovers.count((100 + minute) * MINUTE, 3));
        let name = |text| ResourceName::new(text).expect("a name");
        let runs = |since| Grant {
            node: NodeName::new("ada").expect("a name"),
            session: Session { boot: BootId(1), number: SessionNumber(1) },
            epoch: Epoch(1),
            activity: Activity::Running,
            since,
            guard: None,
        };
        ledger.resources.insert(name("nowhere"), ResourceLedger::default());
        let site = ResourceLedger { grant: Some(runs(110 * MINUTE)), ..ResourceLedger::default() };
        ledger.resources.insert(name("site"), site);
        let held = |ledger: &Ledger, minute: u64| ledger.cluster_held(minute * MINUTE).is_some();
        assert!(held(&ledger, 169) && !held(&ledger, 170));
        // Nothing runs at all since the last of these failovers.
        ledger.resources.remove(&name("site"));
        assert!(held(&ledger, 163) && !held(&ledger, 164));
    }

    #[test]
    fn one_an_hour_is_never_too_often() {
        check(&[100, 160, 220, 280, 340], 341, None, None);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_longer() {
        check(&[100, 110, 120], 10, None, None);
        check(&[100, 110, 120, 20], 21, None, None);
    }

    #[test]
    fn a_node_that_is_lost_over_and_over_is_avoided_for_a_while() {
        let mut losses = Losses::default();
        losses.count(100 * MINUTE);
        losses.count(104 * MINUTE);
        assert_eq!(losses.quarantined(104 * MINUTE), None);
        losses.count(108 * MINUTE);
        assert_eq!(losses.quarantined(109 * MINUTE), Some(118 * MINUTE));
        losses.count(112 * MINUTE);
        assert_eq!(losses.quarantined(119 * MINUTE), Some(122 * MINUTE));
        assert_eq!(losses.quarantined(122 * MINUTE), None);
        losses.count(130 * MINUTE);
        assert_eq!(losses.quarantined(131 * MINUTE), None);
    }
}
