//! What people and the file want of the devices: to switch a node off that is heard, or that nothing waits for, and to
//! give one power again.
//!
//! A node that takes part is not simply shot. Its session is taken over first, so that it holds nothing; it loses its
//! vote, if the others are better off without; only then somebody gets the right to fire (SAFETY rule 12). A leader has
//! another lead before that. To give power needs no right: what boots holds nothing.

use heart_model::{
    BootId, Duration, FenceAct, FenceDevice, FenceOrder, FenceOutcome, FenceReport, FenceRight, Moment,
    NodeName, OffOrder, Session, Spec, ToExecutor, WhyOff,
};
use std::collections::BTreeMap;

use super::{Action, Core, Out, Response, requests::refused};
use crate::{
    conductor::fencing::is_told,
    ledger::{Change, NodeLedger, attempts_max, devices, levels},
};

/// Longest name of a person that is kept, in characters.
pub(super) const WHO_MAX: usize = 100;
/// How long a leader that is to be switched off tries to have another lead, before it is spared.
const HAND_OVER_MAX: Duration = Duration::from_secs(10);

/// When the next attempt follows, as far as who does not lead knows.
pub(super) const AFTER_A_WHILE: &str = "after some minutes";

/// How long it is until then, for people: to the second, or, from two minutes on, to the minute.
pub(super) fn time_left(now: Moment, until: Moment) -> String {
    match now.at_most_until(until).as_millis().div_ceil(1000) {
        seconds @ 0..120 => format!("{} s", seconds.max(1)),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// What the leader remembers of it.
#[derive(Debug, Default)]
pub(super) struct Switching {
    /// Nodes that are given power.
    on: BTreeMap<NodeName, Powering>,
    /// Since when this node leads and is to be switched off.
    condemned_since: Option<Moment>,
}

/// An attempt to give a node power.
#[derive(Debug)]
struct Powering {
    attempt: u32,
    boot: BootId,
    /// The executor was told.
    begun: bool,
    ended: Option<FenceOutcome>,
}

impl Switching {
    /// Whether the executor speaks of an attempt to give power.
    pub(super) fn on_report(&mut self, report: &FenceReport) -> bool {
        let known = self.on.get_mut(&report.node);
        let known = known.filter(|known| (known.boot, known.attempt) == (report.boot, report.attempt));
        let Some(known) = known else { return false };
        known.ended = Some(report.outcome.clone());
        true
    }

    /// The executor was started anew, and knows nothing of what it was told.
    pub(super) fn begin_anew(&mut self) {
        self.on.values_mut().filter(|known| known.ended.is_none()).for_each(|known| known.begun = false);
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.condemned_since.map(|since| since.after(HAND_OVER_MAX))
    }
}

impl Core {
    /// Whether this life of a node is to be switched off although it is heard.
    pub(super) fn is_ordered_off(&self, session: Session) -> bool {
        let own = self.ledger.nodes.get(&self.settings.me);
        own.is_some_and(|own| own.fence.is_ordered_off(session.boot))
    }

    /// The leader's part: gives power, and orders nodes off for what cannot be stopped there.
    pub(super) fn switch(&mut self, now: Moment, session: Session, out: &mut Out) {
        let (Some(conductor), Some(spec)) = (&self.conductor, &self.ledger.spec) else {
            self.switching = Switching::default();
            return;
        };
        let stuck = conductor.stuck(spec, &self.ledger);
        if let Some((node, order)) = stuck.into_iter().find(|(node, _)| self.can_lose(node)) {
            self.propose_once(Change::OrderOff { node, order });
        }
        self.give_power(out);
        self.spare_leader(now, session);
    }

    /// A leader that is to be switched off, and that nobody relieves, is not.
    fn spare_leader(&mut self, now: Moment, session: Session) {
        if !self.is_ordered_off(session) {
            self.switching.condemned_since = None;
            return;
        }
        let since = *self.switching.condemned_since.get_or_insert(now);
        if now.has_surely_reached(since.after(HAND_OVER_MAX)) {
            let (node, boot) = (self.settings.me.clone(), session.boot);
            let because = "it leads, and nobody else can".into();
            self.propose_once(Change::WithdrawOff { node, boot, because });
        }
    }

    /// Has nodes given power that are to get it, and says in the log what came of it.
    fn give_power(&mut self, out: &mut Out) {
        let Some(spec) = &self.ledger.spec else { return };
        let nodes = self.ledger.nodes.iter();
        let wanted = nodes.filter_map(|(node, known)| Some((node, known, known.fence.power_on?)));
        let known = &mut self.switching.on;
        known.retain(|node, one| {
            self.ledger.nodes.get(node).is_some_and(|known| known.fence.power_on == Some(one.attempt))
        });
        let mut ended = Vec::new();
        for (node, ledger, attempt) in wanted {
            let boot = ledger.last_session().map_or(BootId(0), |session| session.boot);
            let fresh = || Powering { attempt, boot, begun: false, ended: None };
            let one = known.entry(node.clone()).or_insert_with(fresh);
            if let Some(outcome) = &one.ended {
                let failure = match outcome {
                    FenceOutcome::Failed { message } => Some(message.clone()),
                    FenceOutcome::On | FenceOutcome::Off | FenceOutcome::Silent | FenceOutcome::ShutOut => {
                        None
                    }
                };
                ended.push(Change::TurnedOn { node: node.clone(), attempt, failure });
            } else if !::core::mem::replace(&mut one.begun, true) {
                let Some(order) = power_order(spec, node, boot, attempt) else {
                    one.ended = Some(FenceOutcome::Failed { message: no_power(node) });
                    continue;
                };
                out.actions.push(Action::Note(format!("giving {node} power, attempt {attempt}")));
                out.actions.push(Action::Execute(ToExecutor::Fence(order)));
            }
        }
        ended.into_iter().for_each(|change| self.propose_once(change));
    }

    /// Proposes something that the leader wants, unless it is on its way.
    fn propose_once(&mut self, change: Change) {
        let is_new = self.conductor.as_ref().is_some_and(|conductor| !conductor.has_proposed(&change));
        if is_new
            && self.propose(change.clone())
            && let Some(conductor) = &mut self.conductor
        {
            conductor.on_proposed(change);
        }
    }
}

/// What gives a node power: nothing, if no device of it can.
fn power_order(spec: &Spec, node: &NodeName, boot: BootId, attempt: u32) -> Option<FenceOrder> {
    let of_level = |level: &Vec<FenceDevice>| {
        let can: Vec<FenceDevice> = level.iter().filter(|device| device.has_power()).cloned().collect();
        (!can.is_empty()).then_some(can)
    };
    let mut levels = devices(spec, node).iter().filter_map(of_level);
    let devices = levels.next()?;
    let act = FenceAct::On { other_levels: levels.collect() };
    let (right, hesitation) = (FenceRight::Agreed, Duration::ZERO);
    let addresses = Vec::new();
    let (node, session) = (node.clone(), None);
    Some(FenceOrder { node, boot, attempt, devices, act, right, session, hesitation, addresses })
}

fn no_power(node: &NodeName) -> String {
    format!("no device of {node} can give it power: the file names none that can")
}

/// What a person asks for who wants a node off.
#[derive(Debug)]
pub(super) struct WantedOff {
    /// Who it is.
    pub(super) who: String,
    /// Although it is heard.
    pub(super) anyway: bool,
    /// It is to get power again.
    pub(super) reboot: bool,
}

/// What people ask of the leader.
impl Core {
    /// A person wants a node switched off: one that was given up, one that nothing waits for, or one that is heard.
    pub(super) fn fence_now(&mut self, node: &NodeName, wanted: &WantedOff) -> Response {
        match self.may_fence(node, wanted) {
            Err(answer) => return answer,
            Ok(true) => {
                let who = Some(wanted.who.chars().take(WHO_MAX).collect());
                let change = Change::FenceAgain { node: node.clone(), who };
                return self.intend(change, format!("{node} is to be switched off"));
            }
            Ok(false) => {}
        }
        let Some(session) = self.ledger.nodes.get(node).and_then(NodeLedger::last_session) else {
            return self.no_leader();
        };
        let who = wanted.who.chars().take(WHO_MAX).collect();
        let order = OffOrder {
            boot: session.boot,
            why: WhyOff::Asked { who },
            if_heard: wanted.anyway,
            reboot: wanted.reboot,
        };
        let text = match wanted.reboot {
            true => {
                format!("{node} is to be switched off, and to boot again; `heart status` says how far it is")
            }
            false => format!("{node} is to be switched off; `heart status` says how far it is"),
        };
        self.intend(Change::OrderOff { node: node.clone(), order }, text)
    }

    /// Whether a node may be switched off; true if that was given up and only has to be begun again.
    fn may_fence(&self, node: &NodeName, wanted: &WantedOff) -> Result<bool, Response> {
        self.known_node(node)?;
        let known = self.not_yet_off(node)?;
        if known.left.is_some() {
            return Err(refused(
                format!("{node} left in order, and holds nothing"),
                "its own device switches its power off, if that is what you want".into(),
            ));
        }
        if let Some(fencing) = &known.fence.fencing {
            let text = format!("{} is switching {node} off at the moment", fencing.by);
            return Err(Response::Accepted { text });
        }
        if known.fence.ordered.is_some() {
            return Err(Response::Accepted { text: format!("{node} is about to be switched off already") });
        }
        let levels = self.ledger.spec.as_ref().map_or(&[][..], |spec| devices(spec, node));
        if !is_told(levels) {
            return Err(self.no_device(node, levels.is_empty()));
        }
        if !self.is_about(node) {
            return Ok(known.fence.fence_failures > 0 && !wanted.reboot);
        }
        let runs = self
            .ledger
            .resources
            .iter()
            .filter(|(_, known)| known.grant.as_ref().is_some_and(|grant| grant.node == *node));
        let runs: Vec<&str> = runs.map(|(name, _)| name.as_str()).collect();
        if !wanted.anyway {
            let what = if runs.is_empty() { "nothing".into() } else { runs.join(", ") };
            return Err(refused(
                format!("{node} is heard and takes part; it runs {what}"),
                format!(
                    "`heart standby {node}` empties it in an orderly way; to switch it off as it is: `heart fence {node} \
                     --anyway`"
                ),
            ));
        }
        if !self.can_lose(node) {
            return Err(refused(
                format!("without {node} too few voters would be left to agree on anything"),
                "`heart status` says who is missing: bring that back first".into(),
            ));
        }
        Ok(false)
    }

    fn no_device(&self, node: &NodeName, is_empty: bool) -> Response {
        let lost = !self.is_about(node);
        let if_off = format!("; if {node} is off for certain, `heart confirm-off {node}`");
        let way_out = format!("`fence` in `[node.{node}]` names one{}", if lost { &*if_off } else { "" });
        let error = match is_empty {
            true => format!("no device is configured that switches {node} off"),
            false => format!("{node} has only its own watchdog, and nobody can tell that anything"),
        };
        refused(error, way_out)
    }

    /// A person wants a node to get power.
    pub(super) fn unfence(&mut self, node: &NodeName, who: &str) -> Response {
        if let Err(refused) = self.known_node(node) {
            return refused;
        }
        if self.is_about(node) {
            return refused(format!("{node} is heard: it has power"), "nothing has to be done".into());
        }
        let Some(known) = self.ledger.nodes.get(node) else { return self.no_leader() };
        if let Some(fencing) = &known.fence.fencing {
            return refused(
                format!("{} is switching {node} off at the moment", fencing.by),
                "ask again when `heart status` says that it is off".into(),
            );
        }
        if known.fence.power_on.is_some() {
            return Response::Accepted { text: format!("{node} is being given power already") };
        }
        let spec = self.ledger.spec.as_ref();
        if spec.is_none_or(|spec| power_order(spec, node, BootId(0), 0).is_none()) {
            return refused(no_power(node), format!("switch {node} on by hand"));
        }
        let who = who.chars().take(WHO_MAX).collect();
        let text = format!("{node} is to get power; `heart status` says how far it is");
        self.intend(Change::OrderOn { node: node.clone(), who }, text)
    }

    /// A person answers for it that a node is off.
    pub(super) fn confirm_off(&mut self, node: &NodeName, boot: Option<BootId>, who: &str) -> Response {
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
        if boot.is_some_and(|boot| boot != session.boot) {
            return refused(
                format!("{node} has booted since that was said"),
                format!("see whether {node} is off now, and say it again"),
            );
        }
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
        // Who was taken out of the file may hold something all the same.
        if !self.ledger.nodes.contains_key(node) {
            self.known_node(node)?;
        }
        if self.is_about(node) {
            let error = format!("{node} is heard: it is not off");
            return Err(refused(
                error,
                format!(
                    "`heart standby {node}` empties it in an orderly way; `heart fence {node}` switches it off"
                ),
            ));
        }
        self.not_yet_off(node)
    }

    /// Whether a node is heard, or was a moment ago, or is this one.
    fn is_about(&self, node: &NodeName) -> bool {
        self.names.iter().position(|name| name == node).is_some_and(|slot| {
            slot == self.slot || self.sights.heard(slot).is_some() || !self.sights.is_lost(slot)
        })
    }

    /// What the log says of a node that took part, and is not off.
    fn not_yet_off(&self, node: &NodeName) -> Result<&NodeLedger, Response> {
        let known = self.ledger.nodes.get(node).filter(|known| known.last_session().is_some());
        let known = known
            .ok_or_else(|| refused(format!("{node} never took part"), "nothing has to be done".into()))?;
        if known.is_off() && known.fence.is_shut_out {
            return Err(refused(
                format!("{node} is shut out from its storage already"),
                format!("{node} has itself let in once it has let go of all that it ran, or was booted"),
            ));
        }
        if known.is_off() && self.is_about(node) && known.fence.by_word {
            return Err(refused(
                format!("{node} is heard, although somebody said that it is off"),
                "it is taken in once it has let go of what it had: then it can be switched off".into(),
            ));
        }
        if known.is_off() && self.is_about(node) {
            return Err(refused(
                format!("{node} is heard, although it was proven off: its device does not tell the truth"),
                "boot it by hand, and mend its device; it is not taken in before".into(),
            ));
        }
        if known.is_off() {
            let power = format!("`heart unfence {node}` gives it power");
            return Err(refused(format!("{node} is off already"), power));
        }
        Ok(known)
    }

    /// What is wrong with switching nodes off, and what a person can do.
    pub(super) fn view_of_fencing(&self, now: Moment) -> Vec<String> {
        let mut said: Vec<String> =
            self.ledger.nodes.keys().filter_map(|node| self.attempts_against(now, node)).collect();
        for seen in (0..self.ids.len()).filter_map(|slot| self.sights.heard(slot)) {
            let name = &self.names[seen.slot];
            let fence = self.ledger.nodes.get(name).map(|known| &known.fence);
            let off = fence.filter(|fence| !fence.is_silent).and_then(|fence| fence.off);
            if off == Some(seen.boot) && fence.is_some_and(|fence| fence.by_word) {
                said.push(format!(
                    "{name} is heard although somebody said that it is off; it is taken in once it has let go of what it had"
                ));
            } else if off == Some(seen.boot) {
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
        let known = self.ledger.nodes.get(node);
        let levels = self.ledger.spec.as_ref().map_or(0, |spec| levels(spec, node, known).len());
        attempts_max(levels) <= failures
    }

    /// When a node is tried anew that no device could switch off. Only who leads knows it to the second.
    fn tried_again(&self, now: Moment, node: &NodeLedger, name: &NodeName) -> String {
        let boot = node.last_session().map(|session| session.boot);
        let conductor = self.conductor.as_ref().zip(boot);
        let at =
            conductor.and_then(|(conductor, boot)| conductor.next_series(name, boot, node.fence.attempts));
        at.map_or_else(|| AFTER_A_WHILE.into(), |at| format!("in {}", time_left(now, at)))
    }

    /// How far it is with switching a node off.
    pub(super) fn attempts_against(&self, now: Moment, node: &NodeName) -> Option<String> {
        let known = self.ledger.nodes.get(node)?;
        let fence = &known.fence;
        if let Some(failure) = &fence.power_failure {
            return Some(format!(
                "{node} was to get power, and did not: {failure}; `heart unfence {node}` tries again"
            ));
        }
        let ordered = fence.ordered.as_ref().map(|order| match &order.why {
            WhyOff::Asked { who } => format!("{who} asked for it"),
            WhyOff::Stuck { resource, .. } => format!("{resource} cannot be stopped there"),
        });
        if known.session.is_some() {
            return ordered.map(|why| format!("{node} is to be switched off: {why}"));
        }
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
            None if ordered.is_some() => {
                ordered.map(|why| format!("{node} is about to be switched off: {why}"))
            }
            None if failures > 0 => Some(format!(
                "{node} may not be off{failed}; that is tried again {}. `heart fence {node}` tries at once, \
                 `heart confirm-off {node}` says that it is off for certain",
                self.tried_again(now, known, node)
            )),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::Instant;

    #[test]
    fn what_is_waited_for_is_said_with_how_long() {
        let at = |milliseconds: u64| Moment::both(Instant(milliseconds * 1_000_000));
        for (left, said) in [
            (0, "1 s"),
            (1, "1 s"),
            (59_001, "60 s"),
            (119_000, "119 s"),
            (119_001, "2 min"),
            (880_000, "15 min"),
        ] {
            assert_eq!(time_left(at(5), at(5 + left)), said, "{left}");
        }
    }
}
