//! The duty of a node that was given the right to switch another one off: to do it once, and to say how it ended.
//!
//! The right stands in the log, so no order is sent: every core looks for its own. It is used only in the session it
//! was given to and with a lease, as a start is, and not on a node that is heard again (SAFETY rules 10 to 12).

use heart_model::{
    BootId, Duration, FenceDevice, FenceOrder, FenceOutcome, FenceReport, FenceRight, Moment, NodeId,
    NodeName, Term, Timing, ToExecutor,
};

use super::{Action, Core, Message, Out, Response, requests::refused};
use crate::{
    board::Board,
    conductor::fencing::{attempts_max, devices},
    ledger::{Change, Fencing, NodeLedger},
    plant::{Bug, is_planted},
};

/// Longest name of a person that is kept, in characters.
pub(super) const WHO_MAX: usize = 100;

/// One right of this node.
#[derive(Debug)]
pub(super) struct Duty {
    boot: BootId,
    attempt: u32,
    /// The executor was told, or there is nobody to be told.
    begun: bool,
    /// The node resets itself: what it has is off or let go, if nothing is heard of it until then.
    silent_until: Option<Moment>,
    report: Option<FenceReport>,
    /// Which leader was told how it ended.
    told: Option<(NodeId, Term, u64)>,
}

impl Duty {
    fn of(fencing: &Fencing) -> Duty {
        Duty {
            boot: fencing.boot,
            attempt: fencing.attempt,
            begun: false,
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
        for (node, fencing) in mine {
            self.duties.entry(node.clone()).or_insert_with(|| Duty::of(&fencing));
            self.use_right(now, board, &node, &fencing, out);
            self.hear_silence(now, &node, out);
            let told_leader = self.told_leader;
            let Some(duty) = self.duties.get_mut(&node) else { continue };
            if told_leader.is_some()
                && duty.told != told_leader
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
        let levels = self.ledger.spec.as_ref().map_or(&[][..], |spec| devices(spec, node));
        let failed = |message: String| {
            Some(FenceReport { node: node.clone(), boot, attempt, outcome: FenceOutcome::Failed { message } })
        };
        let failures = self.ledger.nodes.get(node).map_or(0, |known| known.fence.fence_failures);
        let level = (failures as usize).checked_rem(levels.len());
        match level {
            _ if heard.is_some() => duty.report = failed(format!("{node} is heard again")),
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
                let order = FenceOrder {
                    node: node.clone(),
                    boot,
                    attempt,
                    devices,
                    right: FenceRight::Agreed,
                    hesitation: Duration::ZERO,
                };
                out.actions.push(Action::Note(format!("switching {node} off, attempt {attempt}")));
                out.actions.push(Action::Execute(ToExecutor::Fence(order)));
            }
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
        let of = self.duties.get_mut(&report.node);
        let Some(duty) = of.filter(|duty| (duty.boot, duty.attempt) == (report.boot, report.attempt)) else {
            return;
        };
        let said = match &report.outcome {
            FenceOutcome::Off => format!("{} is off", report.node),
            FenceOutcome::Silent => {
                format!("{} was silent for long enough: it is off, or has let go", report.node)
            }
            FenceOutcome::Failed { message } => format!("{} may not be off: {message}", report.node),
        };
        out.actions.push(Action::Note(said));
        duty.report = Some(report);
    }

    /// The executor was started anew, and knows nothing of what it was told.
    pub(super) fn fence_anew(&mut self) {
        let told = |duty: &&mut Duty| duty.report.is_none() && duty.silent_until.is_none();
        self.duties.values_mut().filter(told).for_each(|duty| duty.begun = false);
        self.proofs.begin_anew();
    }

    /// Whether this node has to switch another one off, and has not yet.
    pub(super) fn is_fencing(&self) -> bool {
        self.duties.values().any(|duty| duty.report.is_none())
    }
}

/// What people ask of the leader.
impl Core {
    /// A person wants a node switched off that it was given up to switch off.
    pub(super) fn fence_again(&mut self, node: &NodeName) -> Response {
        let known = match self.lost_node(node) {
            Ok(known) => known,
            Err(refused) => return refused,
        };
        if let Some(fencing) = &known.fence.fencing {
            let text = format!("{} is switching {node} off at the moment", fencing.by);
            return Response::Accepted { text };
        }
        let none = self.ledger.spec.as_ref().is_none_or(|spec| devices(spec, node).is_empty());
        if none {
            return refused(
                format!("no device is configured that switches {node} off"),
                format!(
                    "`fence` in `[node.{node}]` names one; if {node} is off for certain, `heart confirm-off {node}`"
                ),
            );
        }
        if known.fence.fence_failures == 0 {
            return refused(
                format!("nothing waits for the proof that {node} is off, so it is left alone"),
                format!("`heart why RESOURCE` says what a resource waits for; `heart log` what {node} ran"),
            );
        }
        self.intend(Change::FenceAgain { node: node.clone() }, format!("{node} is to be switched off"))
    }

    /// A person answers for it that a node is off.
    pub(super) fn confirm_off(&mut self, node: &NodeName, who: &str) -> Response {
        let known = match self.lost_node(node) {
            Ok(known) => known.clone(),
            Err(refused) => return refused,
        };
        let Some(session) = known.session.or(known.taken_over) else {
            return refused(
                format!("{node} never took part, so nothing waits for it"),
                "nothing has to be done".into(),
            );
        };
        if known.session.is_some() {
            let take = Change::TakeOver { node: node.clone(), session, grants: Vec::new() };
            let taken = self.intend(take, String::new());
            if !matches!(taken, Response::Accepted { .. }) {
                return taken;
            }
        }
        let who = who.chars().take(WHO_MAX).collect();
        let confirm = Change::ConfirmOff { node: node.clone(), boot: session.boot, who };
        self.intend(confirm, format!("{node} counts as off: what it ran may be started elsewhere"))
    }

    /// A node that nobody hears.
    fn lost_node(&self, node: &NodeName) -> Result<&NodeLedger, Response> {
        self.known_node(node)?;
        let heard = self.names.iter().position(|name| name == node).is_some_and(|slot| {
            slot == self.slot || self.sights.heard(slot).is_some() || !self.sights.is_lost(slot)
        });
        if heard {
            let error = format!("{node} is heard: it is not off, and nobody has to switch it off");
            return Err(refused(error, format!("`heart standby {node}` empties it in an orderly way")));
        }
        let known = self.ledger.nodes.get(node);
        let known = known
            .ok_or_else(|| refused(format!("{node} never took part"), "nothing has to be done".into()))?;
        if known.is_off() {
            return Err(refused(format!("{node} is off already"), "nothing has to be done".into()));
        }
        Ok(known)
    }

    /// What is wrong with switching nodes off, and what a person can do.
    pub(super) fn view_of_fencing(&self) -> Vec<String> {
        let mut said: Vec<String> =
            self.ledger.nodes.keys().filter_map(|node| self.attempts_against(node)).collect();
        for seen in (0..self.ids.len()).filter_map(|slot| self.sights.heard(slot)) {
            let name = &self.names[seen.slot];
            let fence = self.ledger.nodes.get(name).map(|known| &known.fence);
            let off = fence.filter(|fence| !fence.is_silent).and_then(|fence| fence.off);
            if off == Some(seen.boot) {
                said.push(format!(
                    "{name} is heard although it was proven off: what switches it off does not tell the truth; \
                     {name} is not taken in before it is booted anew"
                ));
            }
        }
        said
    }

    /// Whether no attempt follows by itself.
    fn is_given_up(&self, node: &NodeName, failures: u32) -> bool {
        let levels = self.ledger.spec.as_ref().map_or(0, |spec| devices(spec, node).len());
        attempts_max(levels) <= failures
    }

    /// How far it is with switching a node off.
    pub(super) fn attempts_against(&self, node: &NodeName) -> Option<String> {
        let known = self.ledger.nodes.get(node).filter(|known| known.session.is_none())?;
        let fence = &known.fence;
        let failures = fence.fence_failures;
        let last = fence.attempts.saturating_sub(u32::from(fence.fencing.is_some()));
        let failed = fence.fence_failure.as_ref().map(|why| format!("; attempt {last} failed: {why}"));
        let failed = failed.unwrap_or_default();
        match &fence.fencing {
            Some(fencing) => {
                Some(format!("{} switches {node} off, attempt {}{failed}", fencing.by, fencing.attempt))
            }
            None if !self.is_given_up(node, failures) && failures > 0 => {
                Some(format!("{node} may not be off{failed}; the next attempt follows"))
            }
            None if failures > 0 => Some(format!(
                "{node} may not be off{failed}; `heart fence {node}` tries again, `heart confirm-off {node}` says \
                 that it is off for certain"
            )),
            None => None,
        }
    }
}
