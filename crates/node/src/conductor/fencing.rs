//! When a lost node is switched off, by whom, and what is done when that proves nothing.
//!
//! Only what has to be: a node is fenced when something waits for the proof that it is off, and never while it is
//! heard. One node has the right to do it at a time, agreed on before (SAFETY rule 12); it tells how that ended. Each
//! attempt takes the next level of devices, and each round over all levels another node, as the way to a device may be
//! what is broken. After [`ROUNDS_MAX`] rounds that series is over, and the next one begins after a while, which grows:
//! what is broken may be mended, and a device may count the log-ins that fail.

use heart_model::{
    Activity, BootId, Duration, FenceDevice, FenceOutcome, FenceReport, Guard, Inventory, Moment, NodeName,
    NodeState, NodeStatus, OffOrder, Other, ResourceName, Session, Spec, Timing, WhenStuck, WhyOff,
};
use std::collections::BTreeMap;

use super::{Conductor, Facts, Score, Work};
use crate::{
    ledger::{
        Change, Fencing, Former, Grant, Ledger, NewGrant, NodeLedger, attempts_max, devices, levels, waits_by,
    },
    plant::{Bug, is_planted},
};

/// How long is waited after an attempt that proved nothing.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long is waited after a series of attempts that proved nothing; twice that after the next one, and so on.
const AFRESH_AFTER: Duration = Duration::from_secs(60);
/// Up to that.
const AFRESH_MAX: Duration = Duration::from_secs(900);
/// For how many lost-afters a node may be heard after a device said that it is off: what was on its way then is one.
const SPEAKS_ON: u32 = 2;
/// For how many lost-afters a node that is to be switched off may keep its vote: changes of who votes lie apart.
const VOTES_ON: u32 = 4;
/// For how many lost-afters, beside what its devices may take, whoever has a right may be silent about it.
const ANSWERS_AFTER: u32 = 8;

/// What the leader remembers of attempts.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// What was reported, and by whom.
    reports: BTreeMap<NodeName, (NodeName, FenceReport)>,
    /// Since when the one who has the right is gone, by attempt.
    gone: BTreeMap<NodeName, (u32, Moment)>,
    /// Since when the one who has the right has it, by attempt, as this leader knows.
    open: BTreeMap<NodeName, (u32, Moment)>,
    /// Since when so many attempts have failed.
    failed: BTreeMap<NodeName, (u32, Moment)>,
    /// Series of attempts that proved nothing.
    series: BTreeMap<NodeName, Series>,
    /// Since when a node is heard that is said to be off, by attempt.
    speaks: BTreeMap<NodeName, (u32, Moment)>,
    /// Since when a node that is to be switched off keeps its vote, by the number of the last attempt.
    votes: BTreeMap<NodeName, (u32, Moment)>,
}

/// A series of attempts that is over, and proved nothing.
#[derive(Debug)]
struct Series {
    boot: BootId,
    /// The number of its last attempt.
    last: u32,
    over_since: Moment,
    /// How many there were before it against this life.
    before: u32,
}

/// How long is waited for the next series of attempts, when there were so many before the last.
pub(crate) fn afresh_after(before: u32) -> Duration {
    let doubled = 1_u32.checked_shl(before).and_then(|times| AFRESH_AFTER.checked_mul(times));
    doubled.unwrap_or(AFRESH_MAX).min(AFRESH_MAX)
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
        self.stir();
        self.fences.reports.insert(report.node.clone(), (from.clone(), report));
    }

    /// Lost nodes that hold what has to wait for their fence, and can be fenced: their sessions end first.
    pub(super) fn take_from_fenceable<'s>(
        &self,
        spec: &Spec,
        score: &Score<'s>,
        from: &mut BTreeMap<&'s NodeName, (Session, Vec<NewGrant>)>,
    ) {
        let lost = |node| self.status.nodes.get(node).is_some_and(|node| node.state == NodeState::Lost);
        let held = score.ledger.resources.iter();
        for (name, grant) in held.filter_map(|(name, resource)| Some((name, resource.grant.as_ref()?))) {
            if lost(&grant.node)
                && waits_for_fence(spec, name, grant.guard)
                && !levels(spec, &grant.node, score.ledger.nodes.get(&grant.node)).is_empty()
                && self.goes_elsewhere(name, &grant.node)
            {
                from.entry(&grant.node).or_insert((grant.session, Vec::new()));
            }
        }
        let me = &score.names[score.sights.me];
        for (name, known) in score.ledger.nodes.iter().filter(|(name, _)| *name != me) {
            let (Some(session), Some(order)) = (known.session, &known.fence.ordered) else { continue };
            if order.boot == session.boot && (order.if_heard || lost(name)) {
                from.entry(name).or_insert((session, Vec::new()));
            }
        }
    }

    /// Nodes that have to be switched off for what cannot be stopped there: the file says that it is worth a node, and
    /// another node could run it.
    #[must_use]
    pub fn stuck(&self, spec: &Spec, ledger: &Ledger) -> Vec<(NodeName, OffOrder)> {
        let stuck = |(node, facts): (&NodeName, &Facts)| {
            let is_stuck = |one: &&Inventory| one.given_up && matches!(one.activity, Activity::Stuck(_));
            let all = facts.resources.values().filter(is_stuck);
            all.filter_map(|one| self.costs_a_node(spec, ledger, node, facts.session, one))
                .collect::<Vec<_>>()
        };
        self.facts.iter().flat_map(stuck).collect()
    }

    fn costs_a_node(
        &self,
        spec: &Spec,
        ledger: &Ledger,
        node: &NodeName,
        session: Session,
        stuck: &Inventory,
    ) -> Option<(NodeName, OffOrder)> {
        let name = &stuck.resource;
        let known = ledger.resources.get(name).filter(|known| known.cost_a_node < stuck.epoch)?;
        let holds =
            |grant: &&Grant| (&grant.node, grant.session, grant.epoch) == (node, session, stuck.epoch);
        // What it held when it was taken over is waited for there.
        let is_left = |former: &Former| former.node == *node && former.session == session;
        if !(known.grant.as_ref().is_some_and(|grant| holds(&grant)) || known.until_gone.iter().any(is_left))
        {
            return None;
        }
        let resource = spec.granted(name).filter(|resource| resource.when_stuck == WhenStuck::Fence)?;
        let could = |(other, status): (&NodeName, &NodeStatus)| {
            let never = resource.wishes.never.iter().any(|never| *never == Other::Node(other.clone()));
            other != node && status.state == NodeState::Online && !never
        };
        let goes_on =
            self.status.nodes.iter().any(could) && is_told(&levels(spec, node, ledger.nodes.get(node)));
        let why = WhyOff::Stuck { resource: name.clone(), epoch: stuck.epoch };
        let order = OffOrder { boot: session.boot, why, if_heard: true, reboot: false };
        goes_on.then(|| (node.clone(), order))
    }

    /// Whether another node is to run it: where none can, nobody has to be switched off for it.
    fn goes_elsewhere(&self, name: &ResourceName, node: &NodeName) -> bool {
        let place = self.plan.placement.get(name).and_then(Option::as_ref);
        place.is_some_and(|place| place != node)
    }

    /// A node says that it was let in to the storage that others could shut it out from.
    pub fn on_let_in(&mut self, node: &NodeName, session: Session, attempts: u32) {
        self.stir();
        self.inside.insert(node.clone(), (session, attempts));
    }

    /// Whether a node may use all that others could shut it out from: it had itself let in after the last attempt.
    pub(super) fn is_inside(
        &self,
        score: &Score<'_>,
        node: &NodeName,
        session: Session,
        attempts: u32,
    ) -> bool {
        let spec = score.ledger.spec.as_ref();
        let mut levels = spec.map_or(&[][..], |spec| devices(spec, node)).iter().flatten();
        let is_let_in = self.inside.get(node) == Some(&(session, attempts));
        !levels.any(FenceDevice::shuts_out) || is_let_in || is_planted(Bug::TakenInShutOut)
    }

    /// Begins attempts, and ends them.
    pub(super) fn fence(&mut self, now: Moment, spec: &Spec, score: &Score<'_>, work: &mut Work) {
        for (slot, name) in score.names.iter().enumerate() {
            let Some(ledger) = score.ledger.nodes.get(name) else { continue };
            let change = match &ledger.fence.fencing {
                Some(fencing) => self.end_fencing(now, spec, score, name, fencing),
                None => {
                    let heard = score.sights.heard(slot);
                    work.proposals.extend(heard.and_then(|seen| spared(name, ledger, seen.boot)));
                    let ordered = heard.is_some_and(|seen| ledger.fence.is_ordered_off(seen.boot));
                    let may = score.may_judge && (heard.is_none() || ordered);
                    may.then(|| self.begin_fencing(now, spec, score, name, ledger)).flatten()
                }
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
            // Whoever has just begun has not heard yet who speaks.
            if !score.may_judge {
                return None;
            }
            let slot = score.names.iter().position(|name| name == node);
            let heard = slot.and_then(|slot| score.sights.heard(slot));
            // A leader hears nothing of itself, and knows all the same that it is on.
            let is_own = slot == Some(score.sights.me) && score.session.boot == boot;
            let speaks =
                is_own || heard.map_or_else(|| is_heard_by_others(score, slot), |seen| seen.boot == boot);
            return match &report.outcome {
                FenceOutcome::Silent if heard.is_some() => {
                    ended(FenceOutcome::Failed { message: format!("{node} is heard again") })
                }
                FenceOutcome::Off if speaks && !is_planted(Bug::VoiceIgnored) => {
                    self.doubt_device(now, node, attempt).and_then(ended)
                }
                outcome => ended(outcome.clone()),
            };
        }
        let holder = score.ledger.nodes.get(&fencing.by).and_then(|holder| holder.session);
        if holder == Some(fencing.session) {
            self.fences.gone.remove(node);
            return self.end_of_holder(now, spec, score, node, fencing);
        }
        let since = since(&mut self.fences.gone, node, attempt, now);
        let until = since.after(fencing.longest + self.lost_after.max(score.ledger.promised));
        if now.has_surely_reached(until) {
            let message = format!("{} was to do it, and went away before it said how that ended", fencing.by);
            return ended(FenceOutcome::Failed { message });
        }
        self.wake_at(until);
        None
    }

    /// A right whose holder will not say how it ended would stay open as long as its session does: one that is lost, or
    /// that the file does not know any more; or one that stays silent about it for twice as long as its devices may take,
    /// as its disk takes nothing, or its executor does nothing.
    fn end_of_holder(
        &mut self,
        now: Moment,
        spec: &Spec,
        score: &Score<'_>,
        node: &NodeName,
        fencing: &Fencing,
    ) -> Option<Change> {
        let holder = self.status.nodes.get(&fencing.by);
        let is_gone = match holder {
            Some(holder) => holder.state == NodeState::Lost,
            None => {
                let is_known = score.names.contains(&fencing.by) || spec.nodes.contains_key(&fencing.by);
                score.may_judge && !is_known
            }
        };
        let begun = since(&mut self.fences.open, node, fencing.attempt, now);
        let (levels, mut longest) = (devices(spec, node), fencing.longest);
        if levels.iter().flatten().any(FenceDevice::is_watchdog) {
            // The file may have said a longer time before, and the node may go by that.
            longest = longest.max(Timing { lost_after: score.ledger.promised, ..spec.timing }.self_fence());
        }
        let until = begun.after(longest * 2 + self.lost_after * ANSWERS_AFTER);
        let is_own = fencing.by == score.names[score.sights.me];
        let is_overdue = !is_own && now.has_surely_reached(until);
        if !is_gone && !is_overdue {
            if !is_own {
                self.wake_at(until);
            }
            return None;
        }
        Some(Change::TakeOver { node: fencing.by.clone(), session: fencing.session, grants: Vec::new() })
    }

    /// A device says that a node is off, and its same life was heard a moment ago: either it falls silent now, or the
    /// device does not tell the truth (SAFETY rule 11).
    fn doubt_device(&mut self, now: Moment, node: &NodeName, attempt: u32) -> Option<FenceOutcome> {
        let until = since(&mut self.fences.speaks, node, attempt, now).after(self.lost_after * SPEAKS_ON);
        if now.has_surely_reached(until) {
            let message = format!(
                "its device says that {node} is off, and {node} is still heard: it is of another outlet, or lies"
            );
            return Some(FenceOutcome::Failed { message });
        }
        self.wake_at(until);
        None
    }

    /// Whether a node that is to be switched off has a vote still that is about to be taken from it: without that those
    /// that are left may be too few to go on.
    fn waits_for_vote(&mut self, now: Moment, score: &Score<'_>, node: &NodeName, attempts: u32) -> bool {
        let votes = score.losing_votes.iter().any(|&slot| score.names[slot] == *node);
        let until = since(&mut self.fences.votes, node, attempts, now).after(self.lost_after * VOTES_ON);
        let waits = votes && !now.has_surely_reached(until);
        if waits {
            self.wake_at(until);
        }
        waits
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
        // A leader knows that it is on, and is the last one to be switched off by its own order.
        if *node == score.names[score.sights.me] && over.boot == score.session.boot {
            return None;
        }
        let against = levels(spec, node, Some(ledger));
        let levels = against.len();
        let failures = ledger.fence.fence_failures;
        let ordered = ledger.fence.ordered.as_ref().is_some_and(|order| order.boot == over.boot);
        let mut held = score.ledger.resources.iter();
        let waits = held.any(|(name, resource)| {
            let former = resource.until_gone.iter();
            let mut there = former.filter(|former| former.node == *node && former.session == over);
            there.any(|former| waits_for_fence(spec, name, former.guard)) && self.goes_elsewhere(name, node)
        });
        if ordered && self.waits_for_vote(now, score, node, ledger.fence.attempts) {
            return None;
        }
        if !(waits || ordered) || ledger.fence.off == Some(over.boot) || levels == 0 {
            return None;
        }
        // To wait for the silence of a node that resets itself harms nobody, and always comes to an end.
        if failures >= attempts_max(levels) && is_told(&against) {
            return self.begin_afresh(now, node, over.boot, ledger.fence.attempts);
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

    /// When the next series of attempts against this life of a node begins, if the one that ended with this attempt proved
    /// nothing and something waits for the next.
    #[must_use]
    pub(crate) fn next_series(&self, node: &NodeName, boot: BootId, last: u32) -> Option<Moment> {
        let known = self.fences.series.get(node);
        let known = known.filter(|series| (series.boot, series.last) == (boot, last))?;
        Some(known.over_since.after(afresh_after(known.before)))
    }

    /// Begins the next series of attempts once its time has come.
    fn begin_afresh(&mut self, now: Moment, node: &NodeName, boot: BootId, last: u32) -> Option<Change> {
        let known = self.fences.series.get(node).filter(|series| series.boot == boot);
        if known.is_none_or(|series| series.last != last) {
            let before = known.map_or(0, |series| series.before + 1);
            self.fences.series.insert(node.clone(), Series { boot, last, over_since: now, before });
        }
        let series = &self.fences.series[node];
        let at = series.over_since.after(afresh_after(series.before));
        if now.has_surely_reached(at) {
            return Some(Change::FenceAgain { node: node.clone(), who: None });
        }
        self.wake_at(at);
        None
    }

    /// Who makes an attempt of this round: the leader first, then the others in turn. Who takes no part cannot, and who is
    /// sick does only if nobody else can.
    fn who_fences(&self, score: &Score<'_>, node: &NodeName, round: usize) -> Option<(NodeName, Session)> {
        let me = &score.names[score.sights.me];
        let online = self.status.nodes.iter().filter(|(_, status)| status.state == NodeState::Online);
        let others = online.map(|(name, _)| name).filter(|name| *name != me);
        let all: Vec<&NodeName> = [me].into_iter().chain(others).filter(|name| *name != node).collect();
        let in_turn = (0..all.len()).map(|step| all[(round + step) % all.len()]);
        let able = in_turn.filter_map(|who| Some((who, score.ledger.nodes.get(who)?.session?)));
        let able: Vec<(&NodeName, Session)> = able.collect();
        let is_well = |who: &NodeName| self.status.nodes.get(who).is_none_or(|node| node.sick.is_empty());
        let (who, session) = able.iter().find(|(who, _)| is_well(who)).or_else(|| able.first())?;
        Some(((*who).clone(), *session))
    }
}

/// Whether somebody else hears a node both ways that this one does not hear.
fn is_heard_by_others(score: &Score<'_>, slot: Option<usize>) -> bool {
    let Some(slot) = slot.filter(|&slot| slot < u64::BITS as usize) else { return false };
    let mut others = (0..score.names.len()).filter_map(|other| score.sights.heard(other));
    others.any(|seen| seen.both_ways && seen.hears & 1 << slot != 0)
}

/// A node that was to be switched off because it was lost, and is heard again and takes part.
fn spared(node: &NodeName, ledger: &NodeLedger, heard: BootId) -> Option<Change> {
    let order = ledger.fence.ordered.as_ref().filter(|order| !order.if_heard)?;
    let back = ledger.session.is_some_and(|session| session.boot == heard) && order.boot == heard;
    let because = format!("{node} is heard again");
    back.then(|| Change::WithdrawOff { node: node.clone(), boot: heard, because })
}

/// Whether something can be told to switch a node off: its own watchdog cannot.
pub(crate) fn is_told<L: AsRef<[FenceDevice]>>(levels: &[L]) -> bool {
    levels.iter().any(|level| !level.as_ref().iter().any(FenceDevice::is_watchdog))
}

/// Whether a resource that was guarded like that, as far as is known, waits for its holder to be off.
fn waits_for_fence(spec: &Spec, name: &ResourceName, there: Option<Guard>) -> bool {
    let now = spec.granted(name).map_or(Guard::Fence, |resource| resource.guard);
    waits_by(there, now) == Guard::Fence
}
