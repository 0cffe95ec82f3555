//! How half of the voters has the others switched off: by a right that nobody agreed on.
//!
//! A device may act late, and should hit nobody who takes part by then (SAFETY rule 12). So the others of this half
//! agree to nothing as long as one may act, and neither does this node: what is left is no quorum.

use heart_model::{
    Duration, FenceAct, FenceDevice, FenceOrder, FenceOutcome, FenceReport, FenceRight, Moment, NodeName,
    ToExecutor, longest_fence,
};

use super::{Attempt, Halves, Hold, Stuck};
use crate::{
    agreement::Agreement,
    board::Board,
    conductor::fencing::AGAIN_AFTER,
    core::{Action, Core, Message, OfHalf, Out},
    half::{self, Turn},
    ledger::{Ledger, NodeLedger, addresses, attempts_max, devices},
    plant::{Bug, is_planted},
};

/// The number of the first attempt that nobody agreed on: none of those in the log comes so far.
const ATTEMPTS_FROM: u32 = heart_model::ATTEMPTS_OF_HALF;
/// Attempts to have this node let in to its storage are counted from here.
const ATTEMPTS_UP_TO: u32 = heart_model::ATTEMPTS_TO_BE_LET_IN;

/// The number of the first attempt of a core that begins with this number of a frame: no earlier core of this life of
/// the machine came so far.
pub(super) fn first_attempt(frame: u64) -> u32 {
    let low = u32::try_from(frame % u64::from(ATTEMPTS_FROM)).unwrap_or_default();
    ATTEMPTS_FROM | low
}
/// Longest that another of this half keeps still for: as long as the devices of a node can take.
const HOLD_MAX: Duration = Duration::from_secs(3600);

/// How long an attempt may take: before it is used, a device is asked how the node is, if that one may go first.
fn longest(level: &[FenceDevice], hesitation: Duration) -> Duration {
    let rounds = if hesitation.is_zero() { 1 } else { 2 };
    longest_fence(level) * rounds + hesitation
}

impl Core {
    /// Whether the others of this half agree to nothing while devices are told: these may act late, and then hit
    /// nobody who takes part (SAFETY rule 12).
    pub(super) fn all_hold(&mut self, now: Moment, halves: &Halves, out: &mut Out) -> bool {
        let lasts = self.firing_lasts(halves);
        let mut all = true;
        for name in halves.here.iter().filter(|name| **name != self.settings.me) {
            let Some(slot) = self.names.iter().position(|known| known == name) else { return false };
            if self.sights.heard(slot).is_some_and(|seen| self.gave_vote(seen)) {
                continue;
            }
            let over = self.peers.generation(slot);
            let known = self.half.holds.get(name).copied().filter(|hold| hold.over == over);
            // Said again and again as long as it may be needed: it is soon over when this node is gone.
            let until = |hold: &Hold| hold.asked_at.after(self.timing.lost_after);
            let known = known.filter(|hold| !now.may_have_reached(until(hold)));
            if known.is_none() {
                self.half.holds.insert(name.clone(), Hold { asked_at: now, over, answered: false });
                Core::send(slot, &Message::Half(OfHalf::Hold { era: self.ledger.era, lasts }), out);
            }
            all &= known.is_some_and(|hold| hold.answered);
        }
        all
    }

    /// How long one attempt at all that are missing may take.
    fn firing_lasts(&self, halves: &Halves) -> Duration {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        let levels = halves
            .missing
            .iter()
            .flat_map(|node| devices(spec, node))
            .filter(|level| FenceDevice::prove_off(level));
        let hesitation = self.longest_hesitation();
        levels.map(|level| longest(level, hesitation)).max().unwrap_or_default()
    }

    /// Another of this half has devices told, and this one keeps still: for as long as these may act if they are told
    /// one lost-after after it was asked, counted from now, which is later than that.
    pub(super) fn on_hold(
        &mut self,
        now: Moment,
        board: &Board,
        (slot, era, lasts): (usize, u64, Duration),
        out: &mut Out,
    ) {
        if self.half.is_forcing() || !self.agrees_to(now, board, era) || lasts > HOLD_MAX {
            return;
        }
        let until = now.after(lasts + self.timing.lost_after * 2);
        board.set_firing_until(board.firing_until().later(until));
        let known = self.half.blocked_until.entry(Some(slot)).or_insert(until);
        *known = known.later(until);
        Core::send(slot, &Message::Half(OfHalf::Held { era }), out);
    }

    pub(super) fn on_held(&mut self, from: usize, era: u64) {
        if era == self.ledger.era {
            let name = &self.names[from];
            self.half.holds.get_mut(name).into_iter().for_each(|hold| hold.answered = true);
        }
    }

    /// Another of this half has nothing under way any more. What was promised to a third one holds on.
    pub(super) fn on_release(&mut self, board: &Board, (slot, era): (usize, u64)) {
        if era == self.ledger.era {
            self.half.blocked_until.remove(&Some(slot));
            self.half.show_firing(board);
        }
    }

    /// Has a node of the other half switched off, if that is not proven yet.
    pub(super) fn fire(
        &mut self,
        now: Moment,
        board: &Board,
        halves: &Halves,
        node: &NodeName,
        out: &mut Out,
    ) -> Result<(), Stuck> {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        // A node that resets itself when it is cut off is cut off here too, and nobody proves that of this half.
        let levels: Vec<&Vec<FenceDevice>> =
            devices(spec, node).iter().filter(|level| FenceDevice::prove_off(level)).collect();
        let known = self.ledger.nodes.get(node);
        let gone =
            |known: Option<&NodeLedger>| known.is_some_and(|known| known.is_gone() && !known.fence.is_silent);
        // It may have been taken in by what is not known to be agreed on.
        let Some((rest, _)) = self.agreement.as_ref().and_then(Agreement::rest) else { return Ok(()) };
        let is_gone = gone(known) && (rest.is_empty() || gone(self.ledger_with(&rest).nodes.get(node)));
        let is_gone = is_gone && !(is_planted(Bug::LeaverShot) && known.is_some_and(|known| !known.is_off()));
        let last = known.and_then(NodeLedger::last_session);
        let (Some(last), true) = (last, is_gone || !levels.is_empty()) else {
            return Err(Stuck::NoDevice(node.clone()));
        };
        let fresh = || Attempt::new(last.boot, is_gone);
        let hesitation = self.hesitation(halves);
        let attempt = self.half.attempts.entry(node.clone()).or_insert_with(fresh);
        if attempt.boot != last.boot && !attempt.under_way {
            *attempt = fresh();
        }
        if attempt.off || attempt.under_way {
            return Ok(());
        }
        if attempt.waits_afresh(now, attempts_max(levels.len())) {
            return Err(Stuck::GivenUp(node.clone(), attempt.failure.clone().unwrap_or_default()));
        }
        if attempt.not_before.is_some_and(|at| !now.has_surely_reached(at)) {
            return Ok(());
        }
        // Each has a number of its own: an executor makes none twice that it knows.
        attempt.number = self.half.next_attempt;
        self.half.next_attempt =
            attempt.number.checked_add(1).filter(|next| *next < ATTEMPTS_UP_TO).unwrap_or(ATTEMPTS_FROM);
        attempt.under_way = true;
        let level = levels[attempt.failures as usize % levels.len()];
        let until = now.after(longest(level, hesitation));
        board.set_firing_until(board.firing_until().later(until));
        let order = FenceOrder {
            node: node.clone(),
            boot: attempt.boot,
            attempt: attempt.number,
            devices: (*level).clone(),
            act: FenceAct::Off,
            right: FenceRight::Half,
            session: None,
            hesitation,
            addresses: addresses(spec, node, level),
        };
        out.actions.push(Action::Note(format!(
            "{node} is lost, and without it nothing can be agreed on: switching it off"
        )));
        out.actions.push(Action::Execute(ToExecutor::Fence(order)));
        Ok(())
    }

    /// How long this half lets the other one go first, if that has power: by what it knows to be agreed on, and by all
    /// that may be.
    fn hesitation(&self, halves: &Halves) -> Duration {
        let turn = |ledger: &Ledger| {
            let held = |nodes: &[NodeName]| {
                let grants = ledger.resources.values().filter_map(|known| known.grant.as_ref());
                grants.filter(|grant| nodes.contains(&grant.node)).count()
            };
            let first = |nodes: &[NodeName]| nodes.iter().map(NodeName::id).min();
            half::turn(
                held(&halves.here),
                held(&halves.missing),
                first(&halves.here) < first(&halves.missing),
            )
        };
        let rest =
            self.agreement.as_ref().and_then(Agreement::rest).map(|(rest, _)| rest).unwrap_or_default();
        let whole = (!rest.is_empty()).then(|| turn(&self.ledger_with(&rest)));
        let turn = whole.max(Some(turn(&self.ledger))).unwrap_or(Turn::Last);
        turn.hesitation(self.timing.lost_after)
    }

    fn longest_hesitation(&self) -> Duration {
        Turn::Last.hesitation(self.timing.lost_after)
    }

    /// How an attempt of this half ended. Whether it was one.
    pub(in crate::core) fn on_fenced_by_half(
        &mut self,
        now: Moment,
        board: &Board,
        report: &FenceReport,
        out: &mut Out,
    ) -> bool {
        if report.attempt < ATTEMPTS_FROM {
            return false;
        }
        let slot = self.names.iter().position(|name| *name == report.node);
        let heard = slot.and_then(|slot| self.sights.heard(slot)).map(|seen| seen.boot);
        let is_meant = |one: &&mut Attempt| (one.boot, one.number) == (report.boot, report.attempt);
        let Some(attempt) = self.half.attempts.get_mut(&report.node).filter(is_meant) else { return true };
        attempt.under_way = false;
        self.half.show_firing(board);
        let Some(attempt) = self.half.attempts.get_mut(&report.node) else { return true };
        let why = match &report.outcome {
            FenceOutcome::Off if heard != Some(report.boot) => {
                attempt.off = true;
                out.actions.push(Action::Note(format!("{} is off", report.node)));
                return true;
            }
            FenceOutcome::Off => format!("{} is heard, although its device says that it is off", report.node),
            FenceOutcome::Silent | FenceOutcome::ShutOut | FenceOutcome::On => {
                format!("nothing was heard of {}, which proves nothing here", report.node)
            }
            FenceOutcome::Failed { message } => message.clone(),
        };
        out.actions.push(Action::Note(format!("{} may not be off: {why}", report.node)));
        attempt.failures += 1;
        (attempt.failure, attempt.not_before) = (Some(why), Some(now.after(AGAIN_AFTER)));
        true
    }
}
