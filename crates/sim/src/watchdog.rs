//! The watchdogs of the world's machines, and the guardians that feed them.
//!
//! A watchdog is a timer of its machine's hardware: it counts true time, wrong by up to 1 %, and may be late by a
//! whole second. A guardian looks and then feeds; in between it may be stopped for as long as it likes.

use heart_model::{Duration, FenceAgent, FenceDevice, Spec};
use heart_node::watchdog::Feeder;
use std::collections::BTreeMap;

use crate::{Broken, Fault, Machine, Nanos, Power, World, claims, ms, world::Happening};

/// How long a machine takes that was reset until it runs again.
const BOOT: Nanos = ms(3_000);
/// How late a watchdog may be.
const TICK: Nanos = ms(1_000);
/// How wrong its clock may be, in parts per million.
const WRONG_PPM: u64 = 10_000;

/// The watchdog of a machine that has one, and what its guardian remembers.
#[derive(Debug)]
pub(crate) struct Watchdog {
    feeder: Feeder,
    /// How often it was fed.
    fed: u64,
    /// Why it is not fed at the moment is known.
    told: bool,
    /// When it was fed last.
    fed_at: Nanos,
    /// Whenever its guardian looked since then, all was well.
    well: bool,
}

/// What happens to one of them.
#[derive(Debug)]
pub(crate) enum Of {
    /// Its guardian looks whether to feed it.
    Look,
    /// Its guardian has looked, and feeds it: it is to wait for so long.
    Feed(Duration),
    /// It was fed so many times, and its time is over.
    Bite(u64),
}

/// One of these, at one machine, in one life.
#[derive(Debug)]
pub(crate) struct AtWatchdog {
    node: usize,
    boots: u64,
    of: Of,
}

/// The same cluster, in which every node is reset by its watchdog when it is cut off, and nothing else fences it.
#[must_use]
pub fn with_watchdogs(mut spec: Spec) -> Spec {
    let timeout = spec.timing.self_fence();
    for node in spec.nodes.values_mut() {
        (node.watchdog, node.never_paused) = (Some("/dev/watchdog0".into()), true);
        node.fence = vec![vec![FenceDevice {
            agent: FenceAgent::Watchdog,
            parameters: BTreeMap::new(),
            delay: Duration::ZERO,
            timeout,
            timeout_is_least: false,
        }]];
    }
    spec
}

impl World {
    /// Whether machines are reset by watchdogs when they are cut off.
    pub(crate) fn has_watchdogs(&self) -> bool {
        self.settings.spec.nodes.values().any(heart_model::NodeSpec::resets_itself)
    }

    /// A machine was switched on: its guardian arms the watchdog before it starts anything else.
    pub(crate) fn arm(&mut self, node: usize) {
        let now = self.now;
        let machine = &mut self.machines[node];
        let is_watched = self.settings.spec.nodes[&machine.name].watchdog.is_some();
        machine.board.set_machine(is_watched, false);
        machine.watchdog = is_watched.then(|| {
            let local = machine.now(now);
            let feeder = Feeder::new(local, &machine.board, true);
            Feeder::on_begin(local, &machine.board);
            Watchdog { feeder, fed: 0, told: false, fed_at: now, well: true }
        });
        self.read_on_disk(node);
        if is_watched {
            self.at_watchdog(0, node, Of::Feed(self.settings.spec.timing.watchdog()));
            self.at_watchdog(0, node, Of::Look);
        }
    }

    fn at_watchdog(&mut self, wait: Nanos, node: usize, of: Of) {
        let boots = self.machines[node].boots;
        self.push(self.now + wait, Happening::Watchdog(AtWatchdog { node, boots, of }));
    }

    pub(crate) fn on_watchdog(&mut self, at: AtWatchdog) -> Result<(), Broken> {
        let machine = &self.machines[at.node];
        if machine.boots != at.boots || machine.power == Power::Off {
            return Ok(());
        }
        let is_guardian = !matches!(at.of, Of::Bite(_));
        if let Some(later) = self.postpone(at.node, |machine| machine.guardian_stalled_until)
            && is_guardian
        {
            self.push(later, Happening::Watchdog(at));
            return Ok(());
        }
        match at.of {
            Of::Look => self.look_after(at.node),
            Of::Feed(deadline) => {
                self.feed(at.node, deadline);
                Ok(())
            }
            Of::Bite(fed) => self.bite(at.node, fed),
        }
    }

    fn look_after(&mut self, node: usize) -> Result<(), Broken> {
        let now = self.now;
        let is_well = self.is_well(node);
        let machine = &mut self.machines[node];
        let (local, timing) = (machine.now(now), machine.timing);
        let Some(watchdog) = &mut machine.watchdog else { return Ok(()) };
        watchdog.well &= is_well;
        let feeding = watchdog.feeder.look(local, &machine.board, &timing);
        let news = ::core::mem::replace(&mut watchdog.told, feeding.withheld.is_some()) != watchdog.told;
        let name = machine.name.clone();
        let may_feed = self.may_feed(node);
        claims::on_feeding(now, &self.machines[node], &feeding, may_feed)?;
        if news && let Some(why) = feeding.withheld {
            self.tell(format!("{name} no longer feeds its watchdog: {why}"));
        }
        if feeding.withheld.is_none() && may_feed {
            let wait = self.chance.between(1_000, 20_000);
            self.at_watchdog(wait, node, Of::Feed(feeding.deadline));
        }
        self.at_watchdog(feeding.again_after.as_nanos() as Nanos, node, Of::Look);
        if feeding.restart_core {
            self.tell(format!("the guardian of {name} kills its core, which does not get on"));
            // What stood still was that process.
            self.machines[node].core_stalled_until = 0;
            self.on_fault(Fault::KillCore(node))?;
        }
        Ok(())
    }

    /// Whether a machine hears a majority of the voters both ways, nothing was taken from it, and its core gets on.
    fn is_well(&self, node: usize) -> bool {
        let machine = &self.machines[node];
        let gets_on = self.now - machine.core_stepped < machine.timing.lost_after.as_nanos() as Nanos;
        gets_on && !machine.board.is_deposed() && machine.hears_majority(&self.machines)
    }

    fn feed(&mut self, node: usize, deadline: Duration) {
        let Some(watchdog) = &mut self.machines[node].watchdog else { return };
        watchdog.fed += 1;
        (watchdog.fed_at, watchdog.well) = (self.now, true);
        let fed = watchdog.fed;
        let told = deadline.as_nanos() as Nanos;
        let wrong = told / 1_000_000 * WRONG_PPM;
        let late = if self.chance.happens(500) { self.chance.below(TICK) } else { 0 };
        let wait = self.chance.between(told - wrong, told + wrong) + late;
        self.at_watchdog(wait, node, Of::Bite(fed));
    }

    fn bite(&mut self, node: usize, fed: u64) -> Result<(), Broken> {
        let machine = &self.machines[node];
        let Some(watchdog) = machine.watchdog.as_ref().filter(|watchdog| watchdog.fed == fed) else {
            return Ok(());
        };
        let stood_until = machine.guardian_stalled_until.max(machine.frozen_until);
        if watchdog.well && stood_until <= watchdog.fed_at && self.is_well(node) {
            let what = format!("{} is reset, which hears a majority and gets on", machine.name);
            return Err(Broken { at: self.now, what });
        }
        self.tell(format!("the watchdog of {} resets it", self.machines[node].name));
        self.machines[node].cut_power();
        self.schedule(BOOT, Fault::PowerOn(node));
        self.look(None)
    }
}

impl Machine {
    pub(crate) fn lose_watchdog(&mut self) {
        self.board.set_machine(false, false);
        self.watchdog = None;
    }

    /// Whether a hypervisor may pause it: the file says of some that this never happens.
    pub(crate) fn may_be_paused(&self) -> bool {
        self.watchdog.is_none()
    }
}
