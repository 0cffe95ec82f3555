//! Trying the devices by which this node could switch others off, before it has to.
//!
//! The way to a device may be broken from one node only, so every node tries all of them, one at a time: soon after
//! its core began, then every hour, and sooner again after a failure. It does nothing to anybody. What is found is
//! this node's own: it is shown to people, and nothing is decided by it.
//!
//! A device that says *off* of a node whose same life is heard later has another outlet than it should, or lies. That
//! is known without switching anything off, and is the worst that can be found: by such a proof what a node still runs
//! would be started elsewhere.

mod kept;

use heart_model::{BootId, Duration, FenceDevice, FenceProof, Finding, Moment, NodeName, Power, ToExecutor};

use super::{Action, Core, DeviceView, Out, Response, StatusView, requests::refused};
use crate::ledger::devices;
pub use kept::Proven;

/// Before that nothing is tried: a core that has just begun has more important things to do.
const FIRST_AFTER: Duration = Duration::from_secs(10);
/// How much later the next node begins, in order of their slots: many devices let only one in at a time.
const APART: Duration = Duration::from_secs(5);
/// How often a device is tried that was found well.
const PROVE_EVERY: Duration = Duration::from_secs(3600);
/// How soon a device is tried again that was not found well; twice that after the next failure, and so on.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Up to that: each failure may be a log-in that a device counts.
const AGAIN_MAX: Duration = Duration::from_secs(900);
/// How long the executor is waited for beyond what a device may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// All devices that are tried from here, in the order in which they are; see the module.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    devices: Vec<Known>,
    under_way: Option<UnderWay>,
    /// What is configured was looked at since it may have changed.
    is_current: bool,
    /// What earlier cores of this node have found.
    earlier: Vec<Proven>,
}

/// What is known of one device.
#[derive(Debug)]
struct Known {
    proof: FenceProof,
    /// Counted from 1.
    level: usize,
    /// When it is tried next.
    due: Moment,
    /// Somebody wants it tried now.
    asked: bool,
    /// So often in a row it was not found well.
    failures: u32,
    /// When the first of these was, by the wall clock, in milliseconds since 1970.
    failing_since: Option<u64>,
    /// When it was found well for the last time, by that clock.
    proven: Option<u64>,
    last: Option<Last>,
}

/// What was found last.
#[derive(Debug)]
struct Last {
    finding: Finding,
    /// Since when it says so of a life that is heard, or else when it was found.
    since: Moment,
    /// When it was tried, by the wall clock.
    wall: u64,
    /// The life of the node that was heard when the device was asked.
    boot: Option<BootId>,
}

/// What the executor was asked for.
#[derive(Debug)]
struct UnderWay {
    proof: FenceProof,
    /// The life of the node that was heard then.
    boot: Option<BootId>,
    until: Moment,
}

/// When, and who is heard then.
struct Now<'a> {
    now: Moment,
    /// Milliseconds since 1970.
    wall: u64,
    /// Which life of a node is heard.
    heard: &'a dyn Fn(&NodeName) -> Option<BootId>,
}

/// The place of this node among all.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: usize,
    nodes: usize,
}

impl Known {
    fn new(proof: FenceProof, level: usize, due: Moment) -> Known {
        let (asked, failures, failing_since, proven, last) = (false, 0, None, None, None);
        Known { proof, level, due, asked, failures, failing_since, proven, last }
    }

    /// Takes note of what was found, and when to try again.
    fn on_found(&mut self, at: &Now<'_>, place: Place, boot: Option<BootId>, finding: Finding) {
        let is_first = self.proven.is_none();
        let doubtful =
            finding == Finding::Ready(Power::Off) && boot.is_some() && boot == (at.heard)(&self.proof.node);
        let well = matches!(finding, Finding::Ready(_)) && !doubtful;
        if well {
            (self.failures, self.failing_since, self.proven) = (0, None, Some(at.wall));
        } else {
            self.failures = self.failures.saturating_add(1);
            self.failing_since.get_or_insert(at.wall);
        }
        let wait = if well { place.wait(is_first) } else { again_after(self.failures) };
        self.due = at.now.after(wait);
        let same = self.last.as_ref().filter(|last| doubtful && last.finding == finding && last.boot == boot);
        let since = same.map_or(at.now, |last| last.since);
        self.last = Some(Last { finding, since, wall: at.wall, boot });
    }

    /// Since when a life is heard of which it said *off*, and which was heard when it was asked.
    fn doubted_since(&self, at: &Now<'_>) -> Option<Moment> {
        let last = self.last.as_ref().filter(|last| last.finding == Finding::Ready(Power::Off))?;
        (last.boot.is_some() && last.boot == (at.heard)(&self.proof.node)).then_some(last.since)
    }

    /// Whether it said *off* of a life that was not off. Before lost-after is over, that may be heard only because
    /// nobody has noticed yet.
    fn is_wrong(&self, at: &Now<'_>, lost_after: Duration) -> bool {
        self.doubted_since(at).is_some_and(|since| at.now.has_surely_reached(since.after(lost_after)))
    }

    /// Why it could not switch its node off from here, and what to do; none if it could, as far as is known.
    fn problem(&self, at: &Now<'_>, lost_after: Duration, me: &NodeName) -> Option<String> {
        let (node, device) = (&self.proof.node, self.proof.device.name());
        match &self.last.as_ref()?.finding {
            Finding::Unusable(why) => Some(format!("{me} could not switch {node} off: {why}")),
            Finding::WithoutNode(why) => {
                Some(format!("{me} could not switch {node} off, as the device does not know it: {why}"))
            }
            Finding::Ready(_) if self.is_wrong(at, lost_after) => Some(format!(
                "{device} says that {node} is off, and {node} is heard: this is the outlet of something else, or \
                 the device does not tell the truth, so nothing that it says proves anything; see where {node} gets \
                 its power from and correct its `fence`, then `heart fence --test {node}`"
            )),
            Finding::Ready(_) => None,
        }
    }

    /// For people; but for whether somebody waits for it.
    fn view(&self, at: &Now<'_>, lost_after: Duration, me: &NodeName) -> DeviceView {
        let state = match self.last.as_ref().map(|last| &last.finding) {
            None => "untried",
            Some(Finding::Ready(_)) if self.is_wrong(at, lost_after) => "wrong",
            Some(Finding::Ready(Power::On)) => "on",
            Some(Finding::Ready(Power::Off)) => "off",
            Some(Finding::Ready(Power::Unsaid)) => "well",
            Some(Finding::WithoutNode(_)) => "without_node",
            Some(Finding::Unusable(_)) => "unusable",
        };
        DeviceView {
            device: self.proof.device.name(),
            level: self.level,
            state: state.into(),
            proven: self.proven,
            tried: self.last.as_ref().map(|last| last.wall),
            failing_since: self.failing_since,
            message: self.problem(at, lost_after, me),
            asked: false,
        }
    }
}

impl Place {
    /// When the first device may be tried.
    fn first(self, began: Moment) -> Moment {
        self.apart(began.after(FIRST_AFTER))
    }

    /// When it is the turn of this node for what all may begin then.
    fn apart(self, then: Moment) -> Moment {
        then.after(APART * self.slot as u32)
    }

    /// After how long a device that was found well is tried again. After the first time nodes that were switched on
    /// together are put apart for good.
    fn wait(self, is_first: bool) -> Duration {
        let (slot, nodes) = (self.slot as u32, self.nodes.max(1) as u32);
        if is_first { PROVE_EVERY - PROVE_EVERY / 2 / nodes * slot.min(nodes) } else { PROVE_EVERY }
    }
}

fn again_after(failures: u32) -> Duration {
    let doubled = failures.saturating_sub(1).min(AGAIN_MAX.as_secs().ilog2());
    (AGAIN_AFTER * 2_u32.pow(doubled)).min(AGAIN_MAX)
}

impl Proofs {
    /// What is configured may have changed, and the executor may know nothing of what it was asked for.
    pub(super) fn begin_anew(&mut self) {
        self.is_current = false;
        self.under_way = None;
    }

    /// Takes up what is configured; keeps what is known of devices that stay.
    fn configure<'s>(
        &mut self,
        levels: impl Fn(&NodeName) -> &'s [Vec<FenceDevice>],
        names: &[NodeName],
        place: Place,
        due: Moment,
    ) {
        let mut known = std::mem::take(&mut self.devices);
        // Nobody else can ask a watchdog anything: whether it is armed is for its own node to know.
        let told = |all: &'s [FenceDevice]| all.iter().filter(|device| !device.is_watchdog());
        // Each node begins with another one.
        let others = (1..place.nodes).filter_map(|step| names.get((place.slot + step) % place.nodes));
        for node in others {
            for (level, device) in
                (1..).zip(levels(node)).flat_map(|(level, all)| told(all).map(move |device| (level, device)))
            {
                let proof = FenceProof { node: node.clone(), device: device.clone() };
                let same = known.iter().position(|old| old.proof == proof);
                let mut one = same.map_or_else(|| Known::new(proof, level, due), |at| known.swap_remove(at));
                one.level = level;
                self.devices.push(one);
            }
        }
        self.is_current = true;
    }

    /// What the executor is to try now.
    fn next(&mut self, at: &Now<'_>) -> Option<FenceProof> {
        if self.under_way.is_some() {
            return None;
        }
        let ready =
            self.devices.iter_mut().filter(|known| known.asked || at.now.has_surely_reached(known.due));
        let known = ready.min_by_key(|known| (!known.asked, known.due.boottime))?;
        // Whatever becomes of it: who dies of it is not asked again at once.
        (known.due, known.asked) = (at.now.after(AGAIN_AFTER), false);
        let proof = known.proof.clone();
        let until = at.now.after(proof.device.longest() + ANSWER_WAIT);
        self.under_way = Some(UnderWay { boot: (at.heard)(&proof.node), proof: proof.clone(), until });
        Some(proof)
    }

    /// Of what the executor says nothing in time.
    fn late(&self, now: Moment) -> Option<FenceProof> {
        let late = self.under_way.as_ref().filter(|under_way| now.has_surely_reached(under_way.until));
        late.map(|under_way| under_way.proof.clone())
    }

    /// Something was tried, or gave way. What a device is now, if that differs from what it was: whether it is well.
    fn on_proved(
        &mut self,
        at: &Now<'_>,
        place: Place,
        proof: &FenceProof,
        finding: Option<Finding>,
    ) -> Option<bool> {
        let UnderWay { boot, .. } = self.under_way.take_if(|under_way| under_way.proof == *proof)?;
        let known = self.devices.iter_mut().find(|known| known.proof == *proof)?;
        let was_well = known.failures == 0;
        if let Some(finding) = finding {
            known.on_found(at, place, boot, finding);
        }
        let is_well = known.failures == 0;
        (was_well != is_well).then_some(is_well)
    }

    /// Whether what it is like is about to be known.
    fn is_awaited(&self, known: &Known, at: &Now<'_>, lost_after: Duration) -> bool {
        let is_under_way = self.under_way.as_ref().is_some_and(|under_way| under_way.proof == known.proof);
        let is_doubted = known.doubted_since(at).is_some() && !known.is_wrong(at, lost_after);
        known.asked || is_under_way || is_doubted
    }

    /// When something has to be done here next.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let due = || self.devices.iter().map(|known| known.due).min_by_key(|due| due.boottime);
        self.under_way.as_ref().map(|under_way| under_way.until).or_else(due)
    }
}

impl Core {
    /// Has devices tried by which this node could switch others off, unless it has to do that just now.
    pub(super) fn prove(&mut self, now: Moment, out: &mut Out) {
        if !self.proofs.is_current
            && let Some(spec) = &self.ledger.spec
        {
            let (place, names) = (self.place(), &self.names);
            self.proofs.configure(
                |node| devices(spec, node),
                names,
                place,
                place.first(self.began).later(place.apart(now)),
            );
        }
        if self.is_fencing() {
            // It gives way, and is tried again when that is over.
            self.proofs.under_way = None;
            return;
        }
        if let Some(proof) = self.proofs.late(now) {
            let me = &self.settings.me;
            let why =
                format!("the executor of {me} did not answer when {} was to be tried", proof.device.name());
            self.on_proved(now, &proof, Some(Finding::Unusable(why + ": its log says why")), out);
        }
        if !self.executor_told || self.leaving_since.is_some() {
            return;
        }
        let (wall, sights, names) = (self.wall, &self.sights, &self.names);
        let heard = |node: &NodeName| heard(sights, names, node);
        let proof = self.proofs.next(&Now { now, wall, heard: &heard });
        out.actions.extend(proof.map(|proof| Action::Execute(ToExecutor::Prove(proof))));
    }

    /// The executor says what it found.
    pub(super) fn on_proved(
        &mut self,
        now: Moment,
        proof: &FenceProof,
        finding: Option<Finding>,
        out: &mut Out,
    ) {
        let (wall, sights, names, place) = (self.wall, &self.sights, &self.names, self.place());
        let heard = |node: &NodeName| heard(sights, names, node);
        let at = Now { now, wall, heard: &heard };
        let said = match &finding {
            Some(Finding::Unusable(why) | Finding::WithoutNode(why)) => why.clone(),
            Some(Finding::Ready(_)) | None => "it says that it is off".into(),
        };
        let (node, device) = (&proof.node, proof.device.name());
        let note = match self.proofs.on_proved(&at, place, proof, finding) {
            Some(true) => format!("{device} can switch {node} off again"),
            Some(false) => format!("{device} may be of no use to switch {node} off: {said}"),
            None => return,
        };
        out.actions.push(Action::Note(note));
    }

    /// A person wants the devices of a node tried now, or all of them.
    pub(super) fn prove_now(&mut self, node: Option<&NodeName>) -> Response {
        let me = &self.settings.me;
        if let Some(node) = node {
            if let Err(refused) = self.known_node(node) {
                return refused;
            }
            if node == me {
                return refused(
                    format!("{me} does not switch itself off, so it does not try what does"),
                    format!("ask on another node: `heart fence --test {me}`"),
                );
            }
        }
        if !self.executor_told || !self.proofs.is_current || self.is_fencing() {
            return refused(
                format!("{me} has no time to try devices: it has just begun, or is switching a node off"),
                "ask again in a minute; `heart status` says what it does".into(),
            );
        }
        let meant =
            self.proofs.devices.iter_mut().filter(|known| node.is_none_or(|node| known.proof.node == *node));
        let count = meant.map(|known| known.asked = true).count();
        match (count, node) {
            (0, Some(node)) => refused(
                format!("no device is configured that switches {node} off"),
                format!("`fence` in `[node.{node}]` names one"),
            ),
            (0, None) => refused(
                format!("no device is configured that {me} could switch another node off by"),
                "`fence` in `[node.NAME]` names one".into(),
            ),
            (count, _) => Response::Accepted { text: format!("{me} tries {count} of them") },
        }
    }

    /// Adds what this node knows of devices, and what is wrong with them.
    pub(super) fn add_proofs(&self, now: Moment, view: &mut StatusView) {
        let (sights, names, me) = (&self.sights, &self.names, &self.settings.me);
        let heard = |node: &NodeName| heard(sights, names, node);
        let at = Now { now, wall: self.wall, heard: &heard };
        let lost_after = self.timing.lost_after;
        for known in &self.proofs.devices {
            let asked = self.proofs.is_awaited(known, &at, lost_after);
            let proven = self.proofs.proven_at(known);
            let one = DeviceView { proven, asked, ..known.view(&at, lost_after, me) };
            view.problems.extend(one.message.clone());
            if let Some(node) = view.nodes.get_mut(known.proof.node.as_str()) {
                node.devices.push(one);
            }
        }
    }

    fn place(&self) -> Place {
        Place { slot: self.slot, nodes: self.names.len() }
    }
}

/// Which life of a node is heard.
fn heard(sights: &crate::ownership::Sights, names: &[NodeName], node: &NodeName) -> Option<BootId> {
    let slot = names.iter().position(|name| name == node)?;
    sights.heard(slot).map(|seen| seen.boot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{FenceAgent, Instant};

    const LOST_AFTER: Duration = Duration::from_millis(600);

    fn node(name: &str) -> NodeName {
        NodeName::new(name).expect("a name")
    }

    fn at(seconds: u64) -> Moment {
        Moment::both(Instant(seconds * 1_000_000_000))
    }

    fn unusable() -> Option<Finding> {
        Some(Finding::Unusable("it does not answer; plug it in".into()))
    }

    /// The middle one of three nodes, each with a device of its own.
    struct Bob {
        proofs: Proofs,
        place: Place,
        /// Which life of ada is heard.
        ada: Option<BootId>,
    }

    impl Bob {
        fn new() -> Bob {
            let mut bob =
                Bob { proofs: Proofs::default(), place: Place { slot: 1, nodes: 3 }, ada: Some(BootId(7)) };
            bob.configure(&["ada", "bob", "cyn"], 0);
            bob
        }

        /// These have devices from now on.
        fn configure(&mut self, with: &[&str], seconds: u64) {
            let device = FenceDevice {
                agent: FenceAgent::parse("fence_test").expect("an agent"),
                parameters: [].into(),
                delay: Duration::ZERO,
                timeout: Duration::from_secs(20),
                timeout_is_least: false,
            };
            let names = ["ada", "bob", "cyn"].map(node);
            let levels = |of: &NodeName| match with.contains(&of.as_str()) {
                true => vec![vec![device.clone()]],
                false => Vec::new(),
            };
            let first = self.place.first(at(0)).later(self.place.apart(at(seconds)));
            let all = names.iter().map(|name| (name.clone(), levels(name))).collect::<Vec<_>>();
            self.proofs.configure(
                |name| &all.iter().find(|one| one.0 == *name).expect("one").1,
                &names,
                self.place,
                first,
            );
        }

        fn with<T>(&mut self, seconds: u64, act: impl FnOnce(&mut Proofs, &Now<'_>, Place) -> T) -> T {
            let ada = self.ada;
            let heard = |of: &NodeName| ada.filter(|_| of.as_str() == "ada");
            act(&mut self.proofs, &Now { now: at(seconds), wall: seconds * 1000, heard: &heard }, self.place)
        }

        /// Whose device is tried next.
        fn tries(&mut self, seconds: u64) -> Option<FenceProof> {
            self.with(seconds, |proofs, now, _| proofs.next(now))
        }

        /// Exactly then the device of this node is tried, not before.
        fn tries_at(&mut self, seconds: u64, whose: &str) -> FenceProof {
            assert_eq!(self.tries(seconds - 1), None, "before {seconds}");
            let proof = self.tries(seconds).expect("it is due");
            assert_eq!(proof.node.as_str(), whose);
            assert_eq!(self.tries(seconds), None, "one at a time");
            proof
        }

        fn found(&mut self, seconds: u64, proof: &FenceProof, finding: Option<Finding>) -> Option<bool> {
            self.with(seconds, |proofs, now, place| proofs.on_proved(now, place, proof, finding))
        }

        fn view(&mut self, seconds: u64, whose: &str) -> DeviceView {
            self.with(seconds, |proofs, now, _| {
                let known = proofs.devices.iter().find(|known| known.proof.node.as_str() == whose);
                known.expect("it has a device").view(now, LOST_AFTER, &node("bob"))
            })
        }
    }

    fn well(power: Power) -> Option<Finding> {
        Some(Finding::Ready(power))
    }

    #[test]
    fn every_device_of_others_is_tried_soon_and_then_every_hour() {
        let mut bob = Bob::new();
        let cyn = bob.tries_at(15, "cyn");
        assert_eq!(bob.found(16, &cyn, well(Power::On)), None, "nothing has changed");
        let ada = bob.tries(16).expect("the next one at once");
        assert_eq!(ada.node.as_str(), "ada");
        bob.found(18, &ada, well(Power::Unsaid));
        let view = bob.view(20, "cyn");
        assert_eq!((view.state.as_str(), view.proven, view.message), ("on", Some(16_000), None));
        assert_eq!(bob.view(20, "ada").state, "well");
        // The first hour is shorter by a third of its half, so that nodes do not do it at once for ever.
        let cyn = bob.tries_at(16 + 3000, "cyn");
        bob.found(3020, &cyn, well(Power::On));
        let ada = bob.tries(3020).expect("it is due too");
        bob.found(3021, &ada, well(Power::On));
        bob.tries_at(3020 + 3600, "cyn");
    }

    #[test]
    fn after_a_failure_it_is_tried_sooner_and_ever_less_often() {
        let mut bob = Bob::new();
        bob.configure(&["cyn"], 0);
        let cyn = bob.tries_at(15, "cyn");
        assert_eq!(bob.found(15, &cyn, unusable()), Some(false));
        let mut when = 15;
        for wait in [60, 120, 240, 480, 900, 900] {
            when += wait;
            let cyn = bob.tries_at(when, "cyn");
            assert_eq!(bob.found(when, &cyn, unusable()), None);
        }
        let view = bob.view(when, "cyn");
        assert_eq!((view.state.as_str(), view.failing_since, view.proven), ("unusable", Some(15_000), None));
        assert_eq!(
            view.message.as_deref(),
            Some("bob could not switch cyn off: it does not answer; plug it in")
        );
        when += 900;
        let cyn = bob.tries_at(when, "cyn");
        assert_eq!(bob.found(when, &cyn, well(Power::Off)), Some(true), "nobody hears cyn, so it may be off");
        let view = bob.view(when + 10, "cyn");
        assert_eq!((view.state.as_str(), view.failing_since, view.message), ("off", None, None));
    }

    #[test]
    fn who_is_heard_is_not_off() {
        let mut bob = Bob::new();
        bob.configure(&["ada"], 0);
        let ada = bob.tries_at(15, "ada");
        assert_eq!(bob.found(15, &ada, well(Power::Off)), Some(false));
        assert_eq!(bob.view(15, "ada").state, "off", "it may have been switched off just now");
        let view = bob.view(17, "ada");
        assert_eq!((view.state.as_str(), view.proven), ("wrong", None));
        bob.with(17, |proofs, _, _| proofs.devices[0].asked = true);
        let ada = bob.tries(17).expect("somebody asks");
        bob.found(17, &ada, well(Power::Off));
        assert_eq!(bob.view(17, "ada").state, "wrong", "that it was asked again changes nothing");
        let message = view.message.expect("it is a problem");
        for part in ["fence_test says that ada is off, and ada is heard", "`heart fence --test ada`"] {
            assert!(message.contains(part), "{message}");
        }
        // What says nothing of the present life is no lie.
        for life in [None, Some(BootId(8))] {
            bob.ada = life;
            assert_eq!(bob.view(17, "ada").state, "off");
        }
        let ada = bob.tries_at(137, "ada");
        bob.ada = None;
        bob.found(138, &ada, well(Power::Off));
        bob.ada = Some(BootId(9));
        assert_eq!(bob.view(150, "ada").state, "off", "it was off, and was switched on since");
    }

    #[test]
    fn what_gave_way_or_was_forgotten_is_tried_again_and_no_answer_is_one() {
        let mut bob = Bob::new();
        bob.configure(&["cyn"], 0);
        let cyn = bob.tries_at(15, "cyn");
        assert_eq!(bob.found(20, &cyn, None), None);
        assert_eq!(bob.view(21, "cyn").state, "untried");
        bob.tries_at(75, "cyn");
        bob.proofs.begin_anew();
        assert_eq!(bob.found(76, &cyn, unusable()), None, "nobody waits for it any more");
        bob.configure(&["ada", "cyn"], 80);
        let ada = bob.tries_at(85, "ada");
        bob.found(85, &ada, well(Power::On));
        let cyn = bob.tries_at(135, "cyn");
        assert_eq!(bob.proofs.late(at(184)), None);
        assert_eq!(bob.proofs.late(at(185)), Some(cyn));
        assert_eq!(bob.view(140, "ada").proven, Some(85_000), "what stays configured stays known");
    }
}
