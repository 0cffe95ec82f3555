//! When a lost node is switched off, by whom, and what is done when that proves nothing.
//!
//! Only what has to be: a node is fenced when something waits for the proof that it is off, and never while it is
//! heard. One node has the right to do it at a time, agreed on before (SAFETY rule 12); it tells how that ended. Each
//! attempt takes the next level of devices, and each round over all levels another node, as the way to a device may be
//! what is broken. After [`ROUNDS_MAX`] rounds nothing is tried any more until a person asks for it.

use heart_model::{
    Duration, FenceDevice, FenceOutcome, FenceReport, Guard, Moment, NodeName, NodeState, ResourceName,
    Session, Spec, longest_fence,
};
use std::collections::BTreeMap;

use super::{Conductor, Score, Work};
use crate::ledger::{Change, Fencing, NewGrant, NodeLedger};

/// How often each level of devices is tried.
const ROUNDS_MAX: u32 = 3;
/// How long is waited after an attempt that proved nothing.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the leader remembers of attempts.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// What was reported, and by whom.
    reports: BTreeMap<NodeName, (NodeName, FenceReport)>,
    /// Since when the one who has the right is gone, by attempt.
    gone: BTreeMap<NodeName, (u32, Moment)>,
    /// Since when so many attempts have failed.
    failed: BTreeMap<NodeName, (u32, Moment)>,
}

/// Since when this number is known of a node; from now on, if it is new.
fn since(known: &mut BTreeMap<NodeName, (u32, Moment)>, node: &NodeName, number: u32, now: Moment) -> Moment {
    let (of, since) = known.entry(node.clone()).or_insert((number, now));
    if *of != number {
        (*of, *since) = (number, now);
    }
    *since
}

impl Conductor {
    /// A node says how its attempt to switch another one off ended.
    pub fn on_fenced(&mut self, from: &NodeName, report: FenceReport) {
        self.fences.reports.insert(report.node.clone(), (from.clone(), report));
    }

    /// Lost nodes that hold what has to wait for their fence, and can be fenced: their sessions end first.
    pub(super) fn take_from_fenceable<'s>(
        &self,
        spec: &Spec,
        score: &Score<'s>,
        from: &mut BTreeMap<&'s NodeName, (Session, Vec<NewGrant>)>,
    ) {
        let guarded = score.ledger.resources.iter().filter(|(name, _)| is_fence_guarded(spec, name));
        for (name, grant) in guarded.filter_map(|(name, resource)| Some((name, resource.grant.as_ref()?))) {
            let lost = self.status.nodes.get(&grant.node).is_some_and(|node| node.state == NodeState::Lost);
            if lost && !devices(spec, &grant.node).is_empty() && self.goes_elsewhere(name, &grant.node) {
                from.entry(&grant.node).or_insert((grant.session, Vec::new()));
            }
        }
    }

    /// Whether another node is to run it: where none can, nobody has to be switched off for it.
    fn goes_elsewhere(&self, name: &ResourceName, node: &NodeName) -> bool {
        let place = self.plan.placement.get(name).and_then(Option::as_ref);
        place.is_some_and(|place| place != node)
    }

    /// Begins attempts, and ends them.
    pub(super) fn fence(&mut self, now: Moment, spec: &Spec, score: &Score<'_>, work: &mut Work) {
        for (slot, name) in score.names.iter().enumerate() {
            let Some(ledger) = score.ledger.nodes.get(name) else { continue };
            let change = match &ledger.fence.fencing {
                Some(fencing) => self.end_fencing(now, spec, score, name, fencing),
                None if score.sights.heard(slot).is_some() || !score.may_judge => None,
                None => self.begin_fencing(now, spec, score, name, ledger),
            };
            work.proposals.extend(change);
        }
    }

    /// The end of an attempt, as it was told; or when nobody is left to tell it, and no device is still at work.
    fn end_fencing(
        &mut self,
        now: Moment,
        spec: &Spec,
        score: &Score<'_>,
        node: &NodeName,
        fencing: &Fencing,
    ) -> Option<Change> {
        let (boot, attempt) = (fencing.boot, fencing.attempt);
        let ended = |outcome| Some(Change::Fenced { node: node.clone(), boot, attempt, outcome });
        let is_meant = |(from, report): &&(NodeName, FenceReport)| {
            *from == fencing.by && report.boot == boot && report.attempt == attempt
        };
        if let Some((_, report)) = self.fences.reports.get(node).filter(is_meant) {
            let heard = score.names.iter().position(|name| name == node);
            let heard = heard.is_some_and(|slot| score.sights.heard(slot).is_some());
            if report.outcome == FenceOutcome::Silent && heard {
                return ended(FenceOutcome::Failed { message: format!("{node} is heard again") });
            }
            return ended(report.outcome.clone());
        }
        let holder = score.ledger.nodes.get(&fencing.by).and_then(|holder| holder.session);
        if holder == Some(fencing.session) {
            self.fences.gone.remove(node);
            // A right whose holder is lost would stay open as long as its session does.
            let lost = self.status.nodes.get(&fencing.by).is_some_and(|by| by.state == NodeState::Lost);
            let (by, session) = (fencing.by.clone(), fencing.session);
            return lost.then(|| Change::TakeOver { node: by, session, grants: Vec::new() });
        }
        let since = since(&mut self.fences.gone, node, attempt, now);
        let longest = devices(spec, node).iter().map(|level| longest_fence(level)).max();
        let until = since.after(longest.unwrap_or_default() + self.lost_after);
        if now.has_surely_reached(until) {
            let message = format!("{} was to do it, and went away before it said how that ended", fencing.by);
            return ended(FenceOutcome::Failed { message });
        }
        self.wake_at(until);
        None
    }

    fn begin_fencing(
        &mut self,
        now: Moment,
        spec: &Spec,
        score: &Score<'_>,
        node: &NodeName,
        ledger: &NodeLedger,
    ) -> Option<Change> {
        let over = ledger.taken_over.filter(|_| ledger.session.is_none())?;
        let levels = devices(spec, node).len();
        let failures = ledger.fence.fence_failures;
        let waits = score.ledger.resources.iter().any(|(name, resource)| {
            is_fence_guarded(spec, name)
                && resource.until_gone.contains(&(node.clone(), over))
                && self.goes_elsewhere(name, node)
        });
        if !waits || ledger.fence.off == Some(over.boot) || failures >= attempts_max(levels) {
            return None;
        }
        if failures > 0 {
            let at = since(&mut self.fences.failed, node, failures, now).after(AGAIN_AFTER);
            if !now.has_surely_reached(at) {
                self.wake_at(at);
                return None;
            }
        }
        let round = failures as usize / levels;
        let (by, session) = self.who_fences(score, node, round)?;
        Some(Change::Fence {
            node: node.clone(),
            boot: over.boot,
            by,
            session,
            attempt: ledger.fence.attempts + 1,
        })
    }

    /// Who makes an attempt of this round: the leader first, then the others in turn.
    fn who_fences(&self, score: &Score<'_>, node: &NodeName, round: usize) -> Option<(NodeName, Session)> {
        let me = &score.names[score.sights.me];
        let online = self.status.nodes.iter().filter(|(_, status)| status.state == NodeState::Online);
        let others = online.map(|(name, _)| name).filter(|name| *name != me);
        let all: Vec<&NodeName> = [me].into_iter().chain(others).filter(|name| *name != node).collect();
        let who = *all.get(round % all.len().max(1))?;
        Some((who.clone(), score.ledger.nodes.get(who)?.session?))
    }
}

/// How many attempts are made with so many levels of devices, before a person is asked.
pub(crate) fn attempts_max(levels: usize) -> u32 {
    u32::try_from(levels).unwrap_or(u32::MAX).saturating_mul(ROUNDS_MAX)
}

/// What can switch a node off, level by level.
pub(crate) fn devices<'s>(spec: &'s Spec, node: &NodeName) -> &'s [Vec<FenceDevice>] {
    spec.nodes.get(node).map_or(&[], |node| &node.fence)
}

fn is_fence_guarded(spec: &Spec, name: &ResourceName) -> bool {
    spec.granted(name).is_none_or(|resource| resource.guard == Guard::Fence)
}
