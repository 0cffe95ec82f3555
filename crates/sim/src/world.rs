//! The world: what happens, in the order of true time.

use heart_model::{FenceOrder, Order, ResourceName, ToExecutor};
use heart_node::{
    core::{Action as CoreAction, Event as CoreEvent, Response},
    pulse::{Action as PulseAction, Event as PulseEvent},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    rc::Rc,
};

use crate::{
    Broken, Chance, Device, Fault, Machine, Nanos, Power, WorldSettings,
    claims::Claims,
    executor::Obeyed,
    fence::{Acts, Attempt, Fencing, Lie, Proving},
    ms,
    pings::{AtPinger, Targets},
    queue::Queue,
    shared_disk::{AtDisk, SharedDisk},
    tie_break::{Asked, TieBreak},
    watchdog::AtWatchdog,
};

/// Most events that a world may see in one millisecond of true time: more is a loop without an end.
const EVENTS_PER_MS_MAX: u64 = 100_000;
/// The shortest wait a driver makes, so that two clocks that disagree do not make it spin.
const WAIT_MIN: Nanos = 200_000;

#[derive(Debug)]
pub(crate) enum Happening {
    Datagram {
        to: usize,
        link: usize,
        bytes: Rc<[u8]>,
    },
    Core {
        node: usize,
        boots: u64,
        life: u64,
        event: CoreEvent,
    },
    Executor {
        node: usize,
        boots: u64,
        told: ToExecutor,
    },
    Poke {
        node: usize,
    },
    Sync {
        node: usize,
        boots: u64,
    },
    Perform {
        node: usize,
        boots: u64,
        order: Order,
    },
    Gate {
        node: usize,
        boots: u64,
    },
    /// A device does what it was told.
    Acts(Acts),
    Fenced(Fencing),
    Watchdog(AtWatchdog),
    SharedDisk(AtDisk),
    TieBreak(Asked),
    Pinger(AtPinger),
    /// An executor has waited before it tells a device.
    Hesitated {
        by: usize,
        boots: u64,
        order: FenceOrder,
    },
    /// An attempt goes on with the next device of its level.
    Attempt(Box<Attempt>),
    /// A device was tried without doing anything.
    Proved(Proving),
    /// A gate may have closed: see who owns what.
    Look,
    Fault(Fault),
}

/// See the module.
#[derive(Debug)]
pub struct World {
    pub(crate) settings: WorldSettings,
    pub(crate) digest: u64,
    pub(crate) now: Nanos,
    pub(crate) chance: Chance,
    pub(crate) machines: Vec<Machine>,
    /// Slots as each machine counts them by its file: machine by slot.
    pub(crate) by_slot: Vec<Vec<usize>>,
    /// Machines that the files of the others do not know any more.
    pub(crate) forgotten: BTreeSet<usize>,
    queue: Queue,
    /// Where a datagram is opened.
    opened: Vec<u8>,
    /// What the pulse of a step says: one list, as each entry has the room of a datagram.
    pulse_actions: Vec<PulseAction>,
    /// All that can be granted: what the file says later changes nothing of that.
    pub(crate) grantable: Rc<[ResourceName]>,
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Datagrams from one machine to another that are held up until then.
    pub(crate) held: BTreeMap<(usize, usize), Nanos>,
    pub(crate) broken_starts: BTreeSet<usize>,
    /// How the devices are that switch machines off; those not named here work.
    pub(crate) devices: BTreeMap<(usize, usize), Device>,
    /// Devices that have cut their part of a machine's power, since it was switched on last.
    pub(crate) outlets: BTreeSet<(usize, usize)>,
    pub(crate) lies: Vec<Lie>,
    pub(crate) tie_break: TieBreak,
    pub(crate) targets: Targets,
    pub(crate) shared_disk: SharedDisk,
    pub(crate) electors: Electors,
    pub(crate) claims: Claims,
    pub(crate) owners: BTreeMap<ResourceName, Option<usize>>,
    pub(crate) starts: BTreeMap<ResourceName, u64>,
    pub(crate) questions: u64,
    /// How often something ran, and then nobody ran it.
    pub(crate) outages: u64,
    /// What was answered to [`Fault::Ask`], newest last.
    pub answers: Vec<Response>,
    pub(crate) told: Vec<String>,
    keep_notes: bool,
    pub(crate) tolerant: bool,
    pub(crate) events: u64,
}

impl World {
    /// A world of machines that are all switched off.
    #[must_use]
    pub fn new(settings: WorldSettings) -> World {
        let mut chance = Chance::new(settings.seed);
        let most = settings.drift_ppm as i64;
        let nodes = settings.spec.nodes.len();
        let slow = if settings.opposed { chance.below(2 * nodes as u64) as usize } else { nodes };
        let drift = |place: usize, chance: &mut Chance| {
            if slow < nodes {
                let wrong = if place == slow { -most } else { most };
                return (wrong, wrong);
            }
            if settings.opposed {
                let wrong = if chance.happens(500) { most } else { -most };
                return (wrong, wrong);
            }
            let mut one = || chance.between(0, 2 * settings.drift_ppm) as i64 - most;
            (one(), one())
        };
        let machines: Vec<Machine> = settings
            .spec
            .nodes
            .keys()
            .enumerate()
            .map(|(place, name)| {
                let (a, b) = drift(place, &mut chance);
                let mut machine = Machine::new(name.clone(), &settings.spec, chance.draw() >> 8, a, b);
                machine.tears = settings.torn;
                machine
            })
            .collect();
        World {
            digest: 1,
            now: 0,
            chance,
            by_slot: vec![Vec::new(); machines.len()],
            forgotten: BTreeSet::new(),
            machines,
            queue: Queue::default(),
            opened: Vec::new(),
            pulse_actions: Vec::new(),
            grantable: settings.spec.grantable().into_keys().collect(),
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            broken_starts: BTreeSet::new(),
            devices: BTreeMap::new(),
            outlets: BTreeSet::new(),
            lies: Vec::new(),
            tie_break: TieBreak::default(),
            targets: Targets::default(),
            shared_disk: SharedDisk::default(),
            electors: Electors::default(),
            claims: Claims::default(),
            owners: BTreeMap::new(),
            starts: BTreeMap::new(),
            questions: 0,
            outages: 0,
            answers: Vec::new(),
            told: Vec::new(),
            keep_notes: false,
            tolerant: false,
            events: 0,
            settings,
        }
    }

    /// Keeps what the nodes note, beside who owns what: for `replay`.
    pub fn keep_notes(&mut self) {
        self.keep_notes = true;
    }

    /// Two owners are no failure from here on: for the one story that is about them.
    pub fn tolerate_two_owners(&mut self) {
        self.tolerant = true;
    }

    /// That a node counts as off which is on is no failure from here on: for stories of people who are wrong.
    pub fn tolerate_false_words(&mut self) {
        self.claims.words_may_be_false = true;
    }

    /// The true time.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// What happened since the last call, a line each.
    pub fn take_story(&mut self) -> Vec<String> {
        mem::take(&mut self.told)
    }

    pub(crate) fn tell(&mut self, line: impl AsRef<str>) {
        let seconds = self.now as f64 / 1e9;
        self.told.push(format!("{seconds:.3} {}", line.as_ref()));
    }

    pub(crate) fn push(&mut self, at: Nanos, happening: Happening) {
        self.queue.push(at.max(self.now), happening);
    }

    /// Lets a fault happen after `wait`.
    pub fn schedule(&mut self, wait: Nanos, fault: Fault) {
        self.push(self.now + wait, Happening::Fault(fault));
    }

    /// Switches everything on, at once.
    pub fn boot_all(&mut self) {
        (0..self.machines.len()).for_each(|place| self.schedule(0, Fault::PowerOn(place)));
    }

    /// Runs for so long.
    ///
    /// # Errors
    /// The first claim that did not hold.
    pub fn run(&mut self, lasts: Nanos) -> Result<(), Broken> {
        let end = self.now + lasts;
        let mut began = (self.now / ms(1), self.events);
        while let Some((at, next)) = self.next().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.events += 1;
            if self.now / ms(1) != began.0 {
                began = (self.now / ms(1), self.events);
            }
            if self.events - began.1 > EVENTS_PER_MS_MAX {
                return Err(Broken { at: self.now, what: "the world does not come to rest".into() });
            }
            match next {
                Next::Pulse(node) => self.step_pulse(node, PulseEvent::Wake),
                Next::Core(node) => self.step_core(node, CoreEvent::Wake)?,
                Next::Queued => {
                    let happening = self.queue.pop().expect("it was the next");
                    self.happen(happening)?;
                }
            }
        }
        self.now = end;
        Ok(())
    }

    fn next(&self) -> Option<(Nanos, Next)> {
        let mut first: Option<(Nanos, Next)> = None;
        let mut take = |at: Nanos, next: Next| {
            // Of two at the same time the one that was looked at first.
            if first.as_ref().is_none_or(|(before, _)| at < *before) {
                first = Some((at, next));
            }
        };
        for (node, machine) in self.machines.iter().enumerate().filter(|(_, machine)| machine.is_on()) {
            take(
                machine.pulse_wake.max(machine.frozen_until).max(machine.pulse_stalled_until),
                Next::Pulse(node),
            );
            take(
                machine.core_wake.max(machine.frozen_until).max(machine.core_stalled_until),
                Next::Core(node),
            );
        }
        if let Some(at) = self.queue.next_at() {
            take(at, Next::Queued);
        }
        first
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Datagram { to, link, bytes } => {
                if let Some(at) = self.postpone(to, |machine| machine.pulse_stalled_until) {
                    self.push(at, Happening::Datagram { to, link, bytes });
                    return Ok(());
                }
                self.arrive(to, link, &bytes);
                Ok(())
            }
            Happening::Poke { node } => {
                match self.postpone(node, |machine| machine.pulse_stalled_until) {
                    Some(at) => self.push(at, Happening::Poke { node }),
                    None => self.step_pulse(node, PulseEvent::Poke),
                }
                Ok(())
            }
            Happening::Core { node, boots, life, event } => {
                // What the executor says outlives the core that it was said to.
                let same = self.machines[node].lives == life || matches!(event, CoreEvent::Executor(_));
                if self.machines[node].boots != boots || !same {
                    return Ok(());
                }
                match self.postpone(node, |machine| machine.core_stalled_until) {
                    Some(at) => {
                        self.queue.put_back(at, Happening::Core { node, boots, life, event });
                        Ok(())
                    }
                    None => self.step_core(node, event),
                }
            }
            Happening::Executor { node, boots, told } => {
                if self.machines[node].boots != boots {
                    return Ok(());
                }
                match self.postpone(node, |machine| machine.executor_stalled_until) {
                    Some(at) => {
                        self.queue.put_back(at, Happening::Executor { node, boots, told });
                        Ok(())
                    }
                    None => self.execute(node, told),
                }
            }
            Happening::Look => self.look(None),
            Happening::Watchdog(at) => self.on_watchdog(at),
            Happening::SharedDisk(at) => self.on_shared_disk(at),
            Happening::Sync { node, boots } => self.sync(node, boots),
            Happening::Perform { node, boots, order } => self.perform(node, boots, order),
            Happening::Gate { node, boots } => self.gate(node, boots),
            Happening::Acts(acts) => self.act(acts),
            Happening::Fenced(fencing) => {
                self.fenced(fencing);
                Ok(())
            }
            Happening::TieBreak(asked) => {
                self.on_tie_break(asked);
                Ok(())
            }
            Happening::Pinger(at) => self.on_pinger(at),
            Happening::Hesitated { by, boots, order } => self.on_hesitated(by, boots, order),
            Happening::Attempt(attempt) => self.on_attempt(*attempt),
            Happening::Proved(proving) => {
                self.proved(proving);
                Ok(())
            }
            Happening::Fault(fault) => self.on_fault(fault),
        }
    }

    /// A datagram is opened in place, and others get the same one.
    fn arrive(&mut self, to: usize, link: usize, bytes: &[u8]) {
        let mut opened = mem::take(&mut self.opened);
        opened.clear();
        opened.extend_from_slice(bytes);
        self.step_pulse(to, PulseEvent::Datagram { link, bytes: &mut opened });
        self.opened = opened;
    }

    /// When a machine that stands still can take an event.
    pub(crate) fn postpone(&self, node: usize, more: impl Fn(&Machine) -> Nanos) -> Option<Nanos> {
        let machine = &self.machines[node];
        Some(machine.frozen_until.max(more(machine))).filter(|&at| at > self.now)
    }

    fn step_pulse(&mut self, node: usize, event: PulseEvent<'_>) {
        let machine = &mut self.machines[node];
        let local = machine.now(self.now);
        let Some(pulse) = &mut machine.pulse else { return };
        let mut actions = mem::take(&mut self.pulse_actions);
        pulse.step(local, &machine.board, event, &mut actions);
        for action in &actions {
            self.perform_pulse(node, action);
        }
        actions.clear();
        self.pulse_actions = actions;
    }

    fn perform_pulse(&mut self, node: usize, action: &PulseAction) {
        match action {
            PulseAction::Beat { link, datagram } => {
                let bytes: Rc<[u8]> = datagram.bytes().into();
                for slot in 0..self.by_slot[node].len() {
                    if self.machines[node].pulse.as_ref().is_some_and(|pulse| pulse.sends_to(slot)) {
                        self.transmit(node, self.by_slot[node][slot], *link, &bytes);
                    }
                }
            }
            PulseAction::Forward { to, datagram } => self.transmit_all(node, *to, datagram.bytes()),
            PulseAction::Deliver { from, boot, body } => {
                let bytes = body.bytes().to_vec();
                self.tell_core(node, CoreEvent::Segment { from: *from, boot: *boot, bytes });
            }
            PulseAction::Sight(sighting) => self.tell_core(node, CoreEvent::Sight(*sighting)),
            PulseAction::Lease if !self.settings.restless => {}
            PulseAction::Lease | PulseAction::Backed => self.tell_core(node, CoreEvent::Wake),
            PulseAction::WakeAt(at) => {
                let machine = &mut self.machines[node];
                machine.pulse_wake = machine.when(self.now, *at).max(self.now + WAIT_MIN);
            }
        }
    }

    /// From one process of a node to another: a few microseconds.
    pub(crate) fn tell_core(&mut self, node: usize, event: CoreEvent) {
        let from = match event {
            CoreEvent::Executor(_) | CoreEvent::ExecutorBegan => 0,
            CoreEvent::Durable(_) | CoreEvent::Disk { .. } | CoreEvent::Health(_) | CoreEvent::Ping(_) => 1,
            CoreEvent::Wake | CoreEvent::Sight(_) | CoreEvent::Segment { .. } => 2,
            CoreEvent::Leave | CoreEvent::Request { .. } => 2,
        };
        let wait = self.chance.between(5_000, 50_000);
        let machine = &mut self.machines[node];
        let (boots, life) = (machine.boots, machine.lives);
        let at = (self.now + wait).max(machine.core_last[from]);
        machine.core_last[from] = at;
        self.push(at, Happening::Core { node, boots, life, event });
    }

    fn tell_executor(&mut self, node: usize, told: ToExecutor) {
        let wait = self.chance.between(5_000, 50_000);
        let machine = &mut self.machines[node];
        let boots = machine.boots;
        let at = (self.now + wait).max(machine.executor_last);
        machine.executor_last = at;
        self.push(at, Happening::Executor { node, boots, told });
    }

    fn step_core(&mut self, node: usize, event: CoreEvent) -> Result<(), Broken> {
        let machine = &mut self.machines[node];
        let local = machine.now(self.now);
        machine.core_stepped = self.now;
        let Some(core) = &mut machine.core else { return Ok(()) };
        let actions = core.step(local, machine.wall.read(self.now), &machine.board, event);
        self.claims.on_core(self.now, node, &self.machines)?;
        self.note_electors(node);
        if !self.lies.is_empty() {
            self.keep_lies(node)?;
        }
        for action in actions {
            self.perform_core(node, action)?;
        }
        Ok(())
    }

    fn perform_core(&mut self, node: usize, action: CoreAction) -> Result<(), Broken> {
        match action {
            CoreAction::Send { to, via, bytes } => self.send(node, to, via, &bytes),
            CoreAction::Write(write) => {
                let machine = &mut self.machines[node];
                machine.disk.waiting.push_back(write);
                let boots = machine.boots;
                let wait = self.chance.between(self.settings.sync.0, self.settings.sync.1);
                self.push(self.now + wait, Happening::Sync { node, boots });
            }
            CoreAction::Execute(told) => self.tell_executor(node, told),
            CoreAction::Ping(order) => self.ping(node, order),
            CoreAction::Reply { response, .. } => self.answers.push(response),
            CoreAction::Left => {
                self.tell(format!("{} has left", self.machines[node].name));
                self.machines[node].cut_power();
                self.look(None)?;
            }
            CoreAction::Poke => self.push(self.now, Happening::Poke { node }),
            CoreAction::WakeAt(at) => {
                let machine = &mut self.machines[node];
                machine.core_wake = machine.when(self.now, at).max(self.now + WAIT_MIN);
            }
            CoreAction::Note(note) => {
                if self.keep_notes {
                    let name = self.machines[node].name.clone();
                    self.tell(format!("{name}: {note}"));
                }
            }
        }
        Ok(())
    }

    fn execute(&mut self, node: usize, told: ToExecutor) -> Result<(), Broken> {
        let boots = self.machines[node].boots;
        match told {
            ToExecutor::Obey(order) => {
                let said = match self.machines[node].obey(self.now, &order) {
                    Obeyed::Said(said) => said,
                    Obeyed::Begun(said) => {
                        let (low, high) = self.settings.operation;
                        let wait = self.chance.between(low, high);
                        self.push(self.now + wait, Happening::Perform { node, boots, order });
                        said
                    }
                };
                self.look(None)?;
                self.tell_core(node, CoreEvent::Executor(said));
            }
            ToExecutor::LetGo { session, everything } => {
                let said = self.machines[node].let_go(session, everything);
                self.look(None)?;
                said.into_iter().for_each(|said| self.tell_core(node, CoreEvent::Executor(said)));
            }
            ToExecutor::Fence(order) => self.fence(node, order)?,
            ToExecutor::Spare { node: of, attempt } => {
                self.machines[node].spared.insert(of, attempt);
            }
            ToExecutor::Prove(proof) => self.prove(node, proof),
            ToExecutor::TieBreak(order) => self.ask_tie_break(node, *order),
            ToExecutor::Configure { .. } | ToExecutor::Inventory | ToExecutor::Lease { .. } => {
                if let Some(said) = self.machines[node].on_configure(&told) {
                    self.tell_core(node, CoreEvent::Executor(said));
                }
            }
        }
        Ok(())
    }

    fn sync(&mut self, node: usize, boots: u64) -> Result<(), Broken> {
        let machine = &mut self.machines[node];
        if machine.boots != boots || machine.power == Power::Off {
            return Ok(());
        }
        if machine.disk_stalled {
            self.push(self.now + ms(5), Happening::Sync { node, boots });
            return Ok(());
        }
        if let Some(ticket) = machine.sync() {
            self.tell_core(node, CoreEvent::Durable(ticket));
        }
        Ok(())
    }
}

/// Who votes, as far as any machine knows.
#[derive(Debug, Default)]
pub(crate) struct Electors {
    /// The last term in which somebody led.
    pub(crate) term: u64,
    /// The configuration that was applied last anywhere.
    pub(crate) since: u64,
    /// Those who vote.
    pub(crate) places: Vec<usize>,
}

enum Next {
    Pulse(usize),
    Core(usize),
    Queued,
}
