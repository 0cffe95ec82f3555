//! What machines ping: targets that answer, and the ways to them.

use std::net::IpAddr;

use heart_model::{Duration, Name, PingChange, PingOrder, PingSpec, Spec};
use heart_node::{
    core::Event as CoreEvent,
    pinger::{Action, Event, Pinger},
};
use std::collections::BTreeSet;

use crate::{Broken, Nanos, Power, World, ms, world::Happening};

/// The same cluster with ping targets, each of one host, asked every second and lost after five.
#[must_use]
pub fn with_targets(mut spec: Spec, targets: &[&str]) -> Spec {
    let target = |(place, name): (usize, &&str)| {
        let hosts = vec![[192, 0, 2, 1 + place as u8].into()];
        let ping = PingSpec { hosts, interval: Duration::from_secs(1), lost_after: Duration::from_secs(5) };
        (Name::new(name).expect("a name"), ping)
    };
    spec.pings = targets.iter().enumerate().map(target).collect();
    spec
}

/// What is between the machines and what they ping.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Those that answer nobody.
    pub(crate) dead: BTreeSet<Name>,
    /// From which machine which target is not reached.
    pub(crate) cut: BTreeSet<(usize, Name)>,
}

/// What happens to what pings on a machine.
#[derive(Clone, Debug)]
pub(crate) struct AtPinger {
    pub(crate) node: usize,
    pub(crate) boots: u64,
    pub(crate) life: u64,
    pub(crate) event: Event,
}

impl World {
    /// The core of a machine wants something of what pings there.
    pub(crate) fn ping(&mut self, node: usize, order: PingOrder) {
        self.at_pinger(node, 0, Event::Order(order));
    }

    fn at_pinger(&mut self, node: usize, wait: Nanos, event: Event) {
        let machine = &self.machines[node];
        let (boots, life) = (machine.boots, machine.lives);
        self.push(self.now + wait, Happening::Pinger(AtPinger { node, boots, life, event }));
    }

    /// It ends with the core.
    pub(crate) fn on_pinger(&mut self, at: AtPinger) -> Result<(), Broken> {
        let AtPinger { node, boots, life, .. } = at;
        let machine = &self.machines[node];
        if machine.boots != boots || machine.lives != life || machine.power == Power::Off {
            return Ok(());
        }
        if let Some(until) = self.postpone(node, |_| 0) {
            self.push(until, Happening::Pinger(at));
            return Ok(());
        }
        let machine = &mut self.machines[node];
        let local = machine.now(self.now);
        if machine.pinger.0 != life {
            machine.pinger = (life, Pinger::default());
        }
        let is_wake = at.event == Event::Wake;
        let is_order = matches!(at.event, Event::Order(PingOrder::Watch(_)));
        for action in machine.pinger.1.step(local, at.event) {
            match action {
                Action::Ask { host, sequence } => self.ask_host(node, host, sequence),
                Action::Tell(change) => self.tell_core(node, CoreEvent::Ping(change)),
                // What is answered wakes nobody up later than the last time did.
                Action::WakeAt(at) if is_wake || is_order => {
                    let wait = self.machines[node].when(self.now, at).saturating_sub(self.now).max(ms(1));
                    self.at_pinger(node, wait, Event::Wake);
                }
                Action::WakeAt(_) => {}
            }
        }
        Ok(())
    }

    fn ask_host(&mut self, node: usize, host: IpAddr, sequence: u16) {
        let asked = self.settings.spec.pings.iter().find(|(_, ping)| ping.hosts.contains(&host));
        let reached = |name: &Name| {
            !self.targets.dead.contains(name) && !self.targets.cut.contains(&(node, name.clone()))
        };
        if asked.is_some_and(|(name, _)| reached(name)) {
            let wait = self.chance.between(self.settings.delay.0, self.settings.delay.1) * 2;
            self.at_pinger(node, wait, Event::Answer { host, sequence });
        }
    }

    /// What pings on a machine may not, from now on.
    pub(crate) fn on_blind(&mut self, node: usize) {
        self.tell(format!("{} cannot ping", self.machines[node].name));
        let names: Vec<Name> = self.settings.spec.pings.keys().cloned().collect();
        self.targets.cut.extend(names.into_iter().map(|name| (node, name)));
        self.machines[node].pinger.0 = u64::MAX;
        self.tell_core(node, CoreEvent::Ping(PingChange::Blind("it may not".into())));
    }

    /// A target dies or answers again, for everybody or for one machine.
    pub(crate) fn on_target(&mut self, node: Option<usize>, target: &Name, reached: bool) {
        let answers = if reached { "answers again" } else { "does not answer any more" };
        let reaches = if reached { "reaches" } else { "is cut off from" };
        let told = match node {
            None => format!("{target} {answers}"),
            Some(node) => format!("{} {reaches} {target}", self.machines[node].name),
        };
        self.tell(told);
        match (node, reached) {
            (None, true) => drop(self.targets.dead.remove(target)),
            (None, false) => drop(self.targets.dead.insert(target.clone())),
            (Some(node), true) => drop(self.targets.cut.remove(&(node, target.clone()))),
            (Some(node), false) => drop(self.targets.cut.insert((node, target.clone()))),
        }
    }

    /// How many targets a machine reaches at this moment.
    #[must_use]
    pub fn reaches(&self, node: usize) -> usize {
        let reached = |name: &&Name| {
            !self.targets.dead.contains(*name) && !self.targets.cut.contains(&(node, (*name).clone()))
        };
        self.settings.spec.pings.keys().filter(reached).count()
    }
}
