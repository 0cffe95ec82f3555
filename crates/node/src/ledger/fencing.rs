//! What the log says of switching nodes off.
//!
//! The right to fire a device is agreed on before it is used, and one node has it at a time. While somebody has it,
//! the node that it is aimed at is not taken in: so whatever the device does, and however late, it hits a node that
//! holds nothing (SAFETY rules 11 and 12).

use heart_model::{
    AfterFence, BootId, Duration, FenceDevice, FenceOutcome, Guard, NodeName, NodeSpec, OffOrder, Session,
    Spec, WhyOff, longest_fence,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

use super::{Ledger, NodeLedger, failures::clip};
use crate::plant::{Bug, is_planted};

/// How often each level of devices is tried.
const ROUNDS_MAX: u32 = 3;

/// How many attempts are made with so many levels of devices, before a person is asked.
pub(crate) fn attempts_max(levels: usize) -> u32 {
    u32::try_from(levels).unwrap_or(u32::MAX).saturating_mul(ROUNDS_MAX)
}

/// What can switch a node off, level by level.
pub(crate) fn devices<'s>(spec: &'s Spec, node: &NodeName) -> &'s [Vec<FenceDevice>] {
    spec.nodes.get(node).map_or(&[], |node| &node.fence)
}

/// What can be used against the life of a node that the log knows, level by level: that it resets itself counts only
/// from the session in which that was agreed on.
pub(crate) fn levels<'s>(
    spec: &'s Spec,
    node: &NodeName,
    known: Option<&NodeLedger>,
) -> Vec<&'s Vec<FenceDevice>> {
    let unwatched = known.is_some_and(|known| known.unwatched.is_some());
    let counts = |level: &&Vec<FenceDevice>| !(unwatched && level.iter().any(FenceDevice::is_watchdog));
    devices(spec, node).iter().filter(counts).collect()
}

/// How long an attempt at a node may take, whichever level of its devices is used.
fn longest(spec: &Spec, node: &NodeName) -> Duration {
    devices(spec, node).iter().map(|level| longest_fence(level)).max().unwrap_or_default()
}

/// What does not answer any more once these devices have switched a node off: its addresses, unless a disk is one of
/// them, as who is told by that resets itself and boots.
pub(crate) fn addresses(spec: &Spec, node: &NodeName, level: &[FenceDevice]) -> Vec<IpAddr> {
    let boots = level.iter().any(|device| device.disk().is_some());
    let known = spec.nodes.get(node).filter(|_| !boots);
    known.map(|node| node.addresses.iter().map(|one| one.0).collect()).unwrap_or_default()
}

/// A right to switch a node off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fencing {
    /// Which life of it is to end.
    pub boot: BootId,
    /// Who has the right.
    pub by: NodeName,
    /// In which session.
    pub session: Session,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// Since when, by the leader's wall clock, in milliseconds since 1970.
    pub since: u64,
    /// How long the devices of the node may take, by the file that said longest since the right was given.
    pub longest: Duration,
}

/// What the log says of switching one node off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FenceLedger {
    /// The attempt that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing: Option<Fencing>,
    /// The life of it that is proven to be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<BootId>,
    /// Of that life it is only known that it is off or has let go of everything: it resets itself, and was not heard
    /// for long enough.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub is_silent: bool,
    /// Of that life a person said so: if it is heard with a later session, it has let go of everything.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub by_word: bool,
    /// Of that life it is known that it cannot use the storage that all share; it may have power.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub is_shut_out: bool,
    /// How many attempts were made against it, in all its lives: each has a number of its own.
    #[serde(default)]
    pub attempts: u32,
    /// How many attempts in a row proved nothing.
    #[serde(default)]
    pub fence_failures: u32,
    /// What was said of the last of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence_failure: Option<String>,
    /// It is to be switched off, whether it is heard or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<OffOrder>,
    /// It has no power and is to get it; the number of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_on: Option<u32>,
    /// Why it did not get power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_failure: Option<String>,
}

impl FenceLedger {
    /// Whether this life of the node is to be switched off, even if it is heard.
    #[must_use]
    pub fn is_ordered_off(&self, boot: BootId) -> bool {
        self.ordered.as_ref().is_some_and(|order| order.boot == boot && order.if_heard)
    }

    fn begin_on(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        (self.power_on, self.power_failure) = (Some(self.attempts), None);
    }

    /// Whether a boot may be taken in: nobody may or shall switch the node off, and it was not proven off. A boot that speaks
    /// after it was proven off shows that the proof was none. One that was only silent may have let go in time, and of one
    /// whom a person called off nothing was proven.
    #[must_use]
    pub fn lets_in(&self, boot: BootId) -> bool {
        (self.fencing.is_none() || is_planted(Bug::TakenInUnderFire))
            && (self.off != Some(boot) || self.is_silent || self.by_word)
            && !self.is_ordered_off(boot)
    }
}

impl NodeLedger {
    /// Whether the last life of it that could hold anything is proven to be over.
    #[must_use]
    pub fn is_off(&self) -> bool {
        let last = self.taken_over.filter(|_| self.session.is_none());
        last.is_some_and(|last| self.fence.off == Some(last.boot))
    }
}

impl Ledger {
    pub(super) fn fence(
        &mut self,
        at: u64,
        node: &NodeName,
        boot: BootId,
        by: &NodeName,
        session: Session,
        attempt: u32,
    ) -> bool {
        let may = self.nodes.get(by).and_then(|by| by.session) == Some(session) && by != node;
        let Some(ledger) = self.nodes.get_mut(node).filter(|_| may) else { return false };
        let is_over = ledger.session.is_none() && ledger.taken_over.is_some_and(|over| over.boot == boot);
        let longest = self.spec.as_ref().map(|spec| longest(spec, node)).unwrap_or_default();
        let fence = &mut ledger.fence;
        let is_open = fence.fencing.is_none() && fence.off != Some(boot);
        if !is_over || !is_open || attempt != fence.attempts.saturating_add(1) {
            return false;
        }
        fence.attempts = attempt;
        fence.fencing = Some(Fencing { boot, by: by.clone(), session, attempt, since: at, longest });
        true
    }

    /// An attempt that is under way goes by the file that it began with, or by this one.
    pub(super) fn fence_longer(&mut self, spec: &Spec) {
        for (name, ledger) in &mut self.nodes {
            if let Some(fencing) = &mut ledger.fence.fencing {
                fencing.longest = fencing.longest.max(longest(spec, name));
            }
        }
    }

    pub(super) fn fenced(
        &mut self,
        node: &NodeName,
        boot: BootId,
        attempt: u32,
        outcome: &FenceOutcome,
    ) -> bool {
        let levels = self.spec.as_ref().map_or(0, |spec| levels(spec, node, self.nodes.get(node)).len());
        let Some(ledger) = self.nodes.get_mut(node) else { return false };
        let fence = &mut ledger.fence;
        let is_meant = |fencing: &Fencing| fencing.boot == boot && fencing.attempt == attempt;
        if !fence.fencing.as_ref().is_some_and(is_meant) {
            return false;
        }
        fence.fencing = None;
        match outcome {
            FenceOutcome::Off => {
                let reboot = fence.ordered.as_ref().is_some_and(|order| order.boot == boot && order.reboot);
                self.is_off(node, boot);
                self.boot_again(node, reboot);
            }
            FenceOutcome::Silent => {
                self.is_off(node, boot);
                self.nodes.get_mut(node).into_iter().for_each(|ledger| ledger.fence.is_silent = true);
            }
            FenceOutcome::ShutOut => self.is_shut_out(node, boot),
            // It was to be switched off.
            FenceOutcome::On => {}
            // It was said in the meantime, and nothing more is tried.
            FenceOutcome::Failed { .. } if fence.off == Some(boot) => {}
            FenceOutcome::Failed { message } => {
                fence.fence_failures = fence.fence_failures.saturating_add(1);
                fence.fence_failure = Some(clip(message));
                if fence.fence_failures >= attempts_max(levels) {
                    // Nothing more is tried: it may as well take part, if it is heard.
                    fence.ordered = None;
                }
            }
        }
        true
    }

    /// A node of which this session was taken over speaks in a later one: it has let go of all that it held in it.
    pub(super) fn let_go(&mut self, node: &NodeName, session: Session) -> bool {
        let Some(ledger) = self.nodes.get(node) else { return false };
        if ledger.session.is_some() || ledger.taken_over != Some(session) {
            return false;
        }
        let mut any = false;
        for resource in self.resources.values_mut() {
            let before = resource.until_gone.len();
            let is_over = |former: &super::Former| {
                former.session.boot == session.boot && former.session.number <= session.number
            };
            resource.until_gone.retain(|former| former.node != *node || !is_over(former));
            any |= resource.until_gone.len() < before;
        }
        self.forget_removed();
        any
    }

    /// A person answers for it that the node is off; an attempt that is under way goes on, and hits what is off.
    pub(super) fn confirm_off(&mut self, node: &NodeName, boot: BootId) -> bool {
        let is_over = |node: &NodeLedger| {
            node.session.is_none() && node.taken_over.is_some_and(|over| over.boot == boot)
        };
        if !self.nodes.get(node).is_some_and(|node| is_over(node) && node.fence.off != Some(boot)) {
            return false;
        }
        self.is_off_by_word(node, boot);
        true
    }

    pub(super) fn fence_again(&mut self, node: &NodeName) -> bool {
        let Some(ledger) = self.nodes.get_mut(node) else { return false };
        let again = ledger.fence.fencing.is_none() && ledger.fence.fence_failures > 0;
        if again {
            (ledger.fence.fence_failures, ledger.fence.fence_failure) = (0, None);
        }
        again
    }

    /// Somebody wants a node off that takes part, or that nothing waits for. One order at a time, and one for each
    /// grant of something that could not be stopped.
    pub(super) fn order_off(&mut self, node: &NodeName, order: &OffOrder) -> bool {
        let Some(ledger) = self.nodes.get_mut(node) else { return false };
        let over = ledger.taken_over.filter(|_| ledger.left.is_none());
        let life = ledger.session.or(over).map(|session| session.boot);
        if life != Some(order.boot) || ledger.fence.off == life || ledger.fence.ordered.is_some() {
            return false;
        }
        if let WhyOff::Stuck { resource, epoch } = &order.why {
            let Some(resource) = self.resources.get_mut(resource) else { return false };
            let holds = |grant: &super::Grant| grant.node == *node && grant.epoch == *epoch;
            let is_left = |former: &super::Former| former.node == *node && former.session.boot == order.boot;
            let waits = resource.until_gone.iter().any(is_left);
            if !(resource.grant.as_ref().is_some_and(holds) || waits) || resource.cost_a_node >= *epoch {
                return false;
            }
            resource.cost_a_node = *epoch;
        }
        let fence = &mut ledger.fence;
        (fence.fence_failures, fence.fence_failure) = (0, None);
        fence.ordered = Some(order.clone());
        true
    }

    pub(super) fn withdraw_off(&mut self, node: &NodeName, boot: BootId) -> bool {
        let Some(ledger) = self.nodes.get_mut(node) else { return false };
        let ordered = ledger.fence.ordered.as_ref().is_some_and(|order| order.boot == boot);
        let is_meant = ordered && ledger.fence.fencing.is_none();
        if is_meant {
            ledger.fence.ordered = None;
        }
        is_meant
    }

    /// Nodes that the new file says reset themselves, and the old one did not: whether what runs there began with an armed
    /// watchdog is not known of the session that takes part, or did last.
    pub(super) fn watch_anew(&mut self, spec: &Spec) {
        let Some(before) = &self.spec else { return };
        let watched = |spec: &Spec, node| spec.nodes.get(node).is_some_and(NodeSpec::resets_itself);
        for (node, ledger) in &mut self.nodes {
            if watched(spec, node) && !watched(before, node) {
                ledger.unwatched = ledger.last_session();
            }
        }
    }

    /// The watchdog of a node is armed, in the session that took part when the file began to say that it resets itself.
    pub(super) fn watched(&mut self, node: &NodeName, session: Session) -> bool {
        let known = self.nodes.get_mut(node);
        known.is_some_and(|known| known.unwatched.take_if(|unwatched| *unwatched == session).is_some())
    }

    /// The configuration has changed: what no device is left for cannot be carried out, and keeps nobody out.
    pub(super) fn withdraw_orders(&mut self) {
        let Some(spec) = &self.spec else { return };
        for (node, ledger) in &mut self.nodes {
            if levels(spec, node, Some(ledger)).is_empty() && ledger.fence.fencing.is_none() {
                ledger.fence.ordered = None;
            }
        }
    }

    pub(super) fn order_on(&mut self, node: &NodeName) -> bool {
        let Some(ledger) = self.nodes.get_mut(node) else { return false };
        let is_new = ledger.fence.power_on.is_none() && ledger.fence.fencing.is_none();
        if is_new {
            ledger.fence.begin_on();
        }
        is_new
    }

    pub(super) fn turned_on(&mut self, node: &NodeName, attempt: u32, failure: Option<&str>) -> bool {
        let under_way = |ledger: &&mut NodeLedger| ledger.fence.power_on == Some(attempt);
        let Some(ledger) = self.nodes.get_mut(node).filter(under_way) else { return false };
        (ledger.fence.power_on, ledger.fence.power_failure) = (None, failure.map(clip));
        true
    }

    /// A node that a device has proven off gets power again, if the file or who ordered it says so.
    pub(super) fn boot_again(&mut self, node: &NodeName, reboot: bool) {
        let Some(spec) = &self.spec else { return };
        let has_power = devices(spec, node).iter().flatten().any(FenceDevice::has_power);
        let boots = reboot || spec.cluster.after_fence == AfterFence::Boot;
        if let Some(ledger) = self.nodes.get_mut(node).filter(|_| boots && has_power) {
            ledger.fence.begin_on();
        }
    }

    /// What this life of the node held is free.
    pub(super) fn is_off(&mut self, node: &NodeName, boot: BootId) {
        self.is_over(node, boot, |_| true);
    }

    /// The same, because a person says that it is off.
    pub(super) fn is_off_by_word(&mut self, node: &NodeName, boot: BootId) {
        self.is_off(node, boot);
        self.nodes.get_mut(node).into_iter().for_each(|ledger| ledger.fence.by_word = true);
    }

    /// What this life of the node held is free, but for what a lease guards: it has its power, and its lease may run.
    fn is_shut_out(&mut self, node: &NodeName, boot: BootId) {
        for former in self.resources.values_mut().flat_map(|resource| &mut resource.until_gone) {
            if former.node == *node && former.session.boot == boot {
                // Nothing but a promise is left to be waited for, however it was started.
                former.guard.get_or_insert(Guard::Lease);
            }
        }
        self.is_over(node, boot, |there| there != Some(Guard::Lease) || is_planted(Bug::ShutOutEndsLeases));
        let ledger = self.nodes.get_mut(node).into_iter();
        ledger.for_each(|ledger| (ledger.fence.is_silent, ledger.fence.is_shut_out) = (true, true));
    }

    fn is_over(&mut self, node: &NodeName, boot: BootId, is_free: impl Fn(Option<Guard>) -> bool) {
        if let Some(ledger) = self.nodes.get_mut(node) {
            let fence = &mut ledger.fence;
            (fence.off, fence.fence_failures, fence.fence_failure) = (Some(boot), 0, None);
            (fence.is_silent, fence.is_shut_out, fence.by_word) = (false, false, false);
            fence.ordered.take_if(|order| order.boot == boot);
        }
        for resource in self.resources.values_mut() {
            resource.until_gone.retain(|former| {
                former.node != *node || former.session.boot != boot || !is_free(former.guard)
            });
        }
        self.forget_removed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        example,
        ledger::{Change, Entry, VERSION},
    };
    use heart_model::{FenceAgent, LogIndex, SessionNumber};
    use std::collections::BTreeMap;

    /// An operator adds the watchdog to the file while the node hangs: nothing has armed it there.
    #[test]
    fn that_a_node_resets_itself_counts_from_the_session_in_which_that_was_agreed_on() {
        let node = NodeName::new("cyn").unwrap();
        let session = |number| Session { boot: BootId(1), number: SessionNumber(number) };
        let device = |agent| FenceDevice {
            agent,
            parameters: BTreeMap::new(),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(5),
            timeout_is_least: false,
        };
        let power = vec![device(FenceAgent::Program("fence_ipmilan".into()))];
        let both = [power, vec![device(FenceAgent::Watchdog)]];
        let file = |levels: &[Vec<FenceDevice>]| Change::Configure {
            digest: levels.len() as u64,
            spec: Box::new(example::spec(&[("cyn", levels)])),
        };
        let (before, after) = (file(&both[..1]), file(&both));
        let mut ledger = Ledger::default();
        let mut index = 0;
        let mut apply = |ledger: &mut Ledger, change| {
            index += 1;
            assert!(ledger.apply(LogIndex(index), &Entry { v: VERSION, at: 0, change }));
        };
        let count =
            |ledger: &Ledger| levels(ledger.spec.as_ref().unwrap(), &node, ledger.nodes.get(&node)).len();
        apply(&mut ledger, before);
        apply(&mut ledger, Change::Admit { node: node.clone(), session: session(1) });
        apply(&mut ledger, after);
        assert_eq!(count(&ledger), 1, "it runs what it ran before");
        let mut armed = ledger.clone();
        apply(&mut armed, Change::Watched { node: node.clone(), session: session(1) });
        assert_eq!(count(&armed), 2, "it said that it is armed");
        apply(&mut ledger, Change::TakeOver { node: node.clone(), session: session(1), grants: Vec::new() });
        assert_eq!(count(&ledger), 1, "and is waited for until a device proves that it is off");
        apply(&mut ledger, Change::Admit { node: node.clone(), session: session(2) });
        assert_eq!(count(&ledger), 2);
    }
}
