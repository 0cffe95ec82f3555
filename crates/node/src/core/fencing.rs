//! The duty of a node that was given the right to switch another one off: to do it once, and to say how it ended.
//!
//! The right stands in the log, so no order is sent: every core looks for its own. It is used only in the session it
//! was given to and with a lease, as a start is, and not on a node that is heard again (SAFETY rules 10 to 12).

use heart_model::{
    BootId, Duration, FenceAct, FenceDevice, FenceOrder, FenceOutcome, FenceReport, FenceRight, Moment,
    NodeId, NodeName, Term, Timing, ToExecutor,
};

use super::{Action, Core, Message, Out};
use crate::{
    board::Board,
    ledger::{Fencing, addresses, levels},
    plant::{Bug, is_planted},
};

/// One right of this node.
#[derive(Debug)]
pub(super) struct Duty {
    boot: BootId,
    attempt: u32,
    /// The executor was told, or there is nobody to be told.
    begun: bool,
    /// Since when an earlier executor, or one that an earlier core told, may be at it without this core knowing.
    in_doubt: Option<Moment>,
    /// It was an earlier executor: what the next one says of it tells nothing of what a device was told before.
    was_dropped: bool,
    /// The executor was told that the node is heard again.
    spared: bool,
    /// The node resets itself: what it has is off or let go, if nothing is heard of it until then.
    silent_until: Option<Moment>,
    report: Option<FenceReport>,
    /// Which leader was told how it ended.
    told: Option<(NodeId, Term, u64)>,
}

impl Duty {
    fn of(fencing: &Fencing, in_doubt: Option<Moment>) -> Duty {
        Duty {
            boot: fencing.boot,
            attempt: fencing.attempt,
            begun: false,
            in_doubt,
            was_dropped: false,
            spared: false,
            silent_until: None,
            report: None,
            told: None,
        }
    }

    fn is_for(&self, fencing: &Fencing) -> bool {
        (self.boot, self.attempt) == (fencing.boot, fencing.attempt)
    }
}

impl Core {
    /// Uses the rights that this node has, and tells the leader what came of them.
    pub(super) fn fence(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let (me, session) = (&self.settings.me, board.session());
        let all =
            self.ledger.nodes.iter().filter_map(|(name, node)| Some((name, node.fence.fencing.as_ref()?)));
        let mine = all.filter(|(_, fencing)| fencing.by == *me && fencing.session == session);
        let mine: Vec<(NodeName, Fencing)> =
            mine.map(|(name, fencing)| (name.clone(), fencing.clone())).collect();
        self.duties.retain(|node, duty| mine.iter().any(|(of, fencing)| of == node && duty.is_for(fencing)));
        // A right that stands in the log before the executor has said anything may be one that an earlier core used.
        let in_doubt = (!self.executor_told).then_some(now);
        for (node, fencing) in mine {
            self.duties.entry(node.clone()).or_insert_with(|| Duty::of(&fencing, in_doubt));
            self.use_right(now, board, &node, &fencing, out);
            self.hear_silence(now, &node, out);
            self.spare(&node, out);
            let told_leader = self.told_leader;
            let Some(duty) = self.duties.get_mut(&node) else { continue };
            let may_act = duty.in_doubt.map(|since| since.after(fencing.longest + self.timing.lost_after));
            let is_vain = |report: &FenceReport| matches!(report.outcome, FenceOutcome::Failed { .. });
            // Before that the node must not take part (SAFETY rule 12).
            let waits = duty.report.as_ref().is_some_and(is_vain)
                && may_act.is_some_and(|until| !now.has_surely_reached(until));
            if told_leader.is_some()
                && duty.told != told_leader
                && !waits
                && let Some(report) = duty.report.clone()
            {
                duty.told = told_leader;
                self.tell_leader(Message::Fenced(report), now, out);
            }
        }
    }

    fn use_right(&mut self, now: Moment, board: &Board, node: &NodeName, fencing: &Fencing, out: &mut Out) {
        let lost_after = self.timing.lost_after;
        // By the longest timing that the node may still go by.
        let wait = Timing { lost_after: self.longest_promise(), ..self.timing }.self_fence();
        let Some(duty) = self.duties.get_mut(node).filter(|duty| !duty.begun && duty.report.is_none()) else {
            return;
        };
        let (boot, attempt) = (fencing.boot, fencing.attempt);
        let heard = self.names.iter().position(|name| name == node).and_then(|slot| self.sights.heard(slot));
        let known = self.ledger.nodes.get(node);
        let levels = self.ledger.spec.as_ref().map(|spec| levels(spec, node, known)).unwrap_or_default();
        let failed = |message: String| {
            Some(FenceReport { node: node.clone(), boot, attempt, outcome: FenceOutcome::Failed { message } })
        };
        let fence = self.ledger.nodes.get(node).map(|known| &known.fence);
        let failures = fence.map_or(0, |fence| fence.fence_failures);
        let ordered = fence.is_some_and(|fence| fence.is_ordered_off(boot));
        let level = (failures as usize).checked_rem(levels.len());
        match level {
            _ if heard.is_some_and(|seen| !ordered || seen.boot != boot) => {
                duty.report = failed(format!("{node} is heard again"));
            }
            None => duty.report = failed(format!("no device is configured that switches {node} off")),
            Some(level) => {
                if board.is_deposed() || now.may_have_reached(board.lease_until()) {
                    return;
                }
                duty.begun = true;
                let devices = levels[level].clone();
                if devices.iter().any(FenceDevice::is_watchdog) {
                    let wait = if is_planted(Bug::OffBeforeDeadline) { lost_after } else { wait };
                    duty.silent_until = Some(now.after(wait));
                    out.actions.push(Action::Note(format!(
                        "{node} resets itself: waiting for {} s of silence, attempt {attempt}",
                        wait.as_secs()
                    )));
                    return;
                }
                let spec = self.ledger.spec.as_ref();
                let addresses = spec.map(|spec| addresses(spec, node, &devices)).unwrap_or_default();
                let order = FenceOrder {
                    node: node.clone(),
                    boot,
                    attempt,
                    devices,
                    act: FenceAct::Off,
                    right: FenceRight::Agreed,
                    session: Some(fencing.session),
                    hesitation: Duration::ZERO,
                    addresses,
                };
                out.actions.push(Action::Note(format!("switching {node} off, attempt {attempt}")));
                out.actions.push(Action::Execute(ToExecutor::Fence(order)));
            }
        }
    }

    /// A node is heard again while its attempt waits for its turn, or as long as the file says: it is not switched off any
    /// more, unless somebody wants it off anyway.
    fn spare(&mut self, node: &NodeName, out: &mut Out) {
        let heard = self.names.iter().position(|name| name == node).and_then(|slot| self.sights.heard(slot));
        let known = self.ledger.nodes.get(node).map(|known| &known.fence);
        // An executor may be at it by the word of an earlier core.
        let may_be_at_it = |duty: &&mut Duty| match duty.in_doubt {
            Some(_) => true,
            None => duty.begun && duty.report.is_none(),
        };
        let Some(duty) = self.duties.get_mut(node).filter(may_be_at_it).filter(|duty| !duty.spared) else {
            return;
        };
        let is_back = heard.is_some_and(|seen| seen.both_ways && seen.boot == duty.boot);
        let ordered = known.is_some_and(|fence| fence.is_ordered_off(duty.boot));
        if is_back && !ordered && duty.silent_until.is_none() {
            duty.spared = true;
            let attempt = duty.attempt;
            out.actions.push(Action::Execute(ToExecutor::Spare { node: node.clone(), attempt }));
        }
    }

    /// A node that resets itself was given time for that, and was silent all the while; or was not.
    fn hear_silence(&mut self, now: Moment, node: &NodeName, out: &mut Out) {
        let heard = self.names.iter().position(|name| name == node).and_then(|slot| self.sights.heard(slot));
        let waits = |duty: &&mut Duty| duty.report.is_none() && duty.silent_until.is_some();
        let Some(duty) = self.duties.get_mut(node).filter(waits) else { return };
        let outcome = match heard {
            Some(_) => FenceOutcome::Failed { message: format!("{node} is heard again") },
            None if duty.silent_until.is_some_and(|until| now.has_surely_reached(until)) => {
                FenceOutcome::Silent
            }
            None => return,
        };
        let report = FenceReport { node: node.clone(), boot: duty.boot, attempt: duty.attempt, outcome };
        self.on_fenced(report, out);
    }

    /// When a node that resets itself was silent for long enough.
    pub(super) fn next_silence(&self) -> Option<Moment> {
        let waits = self.duties.values().filter(|duty| duty.report.is_none());
        waits.filter_map(|duty| duty.silent_until).min_by_key(|at| at.boottime)
    }

    /// The executor says how an attempt ended.
    pub(super) fn on_fenced(&mut self, report: FenceReport, out: &mut Out) {
        if self.switching.on_report(&report) {
            return;
        }
        let of = self.duties.get_mut(&report.node);
        let Some(duty) = of.filter(|duty| (duty.boot, duty.attempt) == (report.boot, report.attempt)) else {
            return;
        };
        let said = match &report.outcome {
            FenceOutcome::Off => format!("{} is off", report.node),
            FenceOutcome::On => format!("{} has power", report.node),
            FenceOutcome::ShutOut => format!("{} is shut out from its storage", report.node),
            FenceOutcome::Silent => {
                format!("{} was silent for long enough: it is off, or has let go", report.node)
            }
            FenceOutcome::Failed { message } => format!("{} may not be off: {message}", report.node),
        };
        out.actions.push(Action::Note(said));
        // It knows what it was told itself, by whichever core.
        duty.in_doubt.take_if(|_| !duty.was_dropped);
        duty.report = Some(report);
    }

    /// The executor was started anew, and knows nothing of what it was told; what the last one has told a device may act.
    pub(super) fn fence_anew(&mut self, now: Moment) {
        let told = |duty: &&mut Duty| duty.begun && duty.report.is_none() && duty.silent_until.is_none();
        for duty in self.duties.values_mut().filter(told) {
            (duty.begun, duty.spared, duty.in_doubt, duty.was_dropped) = (false, false, Some(now), true);
        }
    }

    /// What the executor is told is reckoned anew, but for the rights that it uses.
    pub(super) fn tell_executor_anew(&mut self) {
        self.switching.begin_anew();
        self.shut_out.begin_anew();
        self.proofs.begin_anew();
    }

    /// Whether this node has to switch another one off, and has not yet.
    pub(super) fn is_fencing(&self) -> bool {
        self.duties.values().any(|duty| duty.report.is_none())
    }
}
