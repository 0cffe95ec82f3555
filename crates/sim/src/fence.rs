//! What switches machines off: devices in levels, each of which works, refuses, is late, does nothing or lies.
//!
//! What a device does, it does after it was told, whatever has become of who told it. All devices of a level are told,
//! one after the other, and a machine is off when each of them has cut its part of the power. A device that says that it
//! has done so, and shows something else when it is asked again, did nothing.
//!
//! One that lies twice, or is of a wrong outlet that is off, is found out only by the voice of the machine. Where nobody
//! hears that, it is believed, and no claim holds then: worlds made of chance have it lie only as long as everybody who
//! might believe it hears the machine, and in time ([`Device::LiesIfHeard`]). That a machine is shut out is believed
//! whether it is heard or not, so nothing there could find out such a lie, and none is told.

use heart_model::{
    BootId, FenceAct, FenceAgent, FenceDevice, FenceOrder, FenceOutcome, FenceProof, FenceReport, FenceRight,
    Finding, FromExecutor, NodeName, Power as Says, Spec, Value, series,
};
use heart_node::core::Event as CoreEvent;

use crate::{Broken, Machine, Nanos, Power, World, claims, ms, world::Happening};

/// How a device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// It switches off, and says so.
    #[default]
    Works,
    /// It refuses at once.
    Refuses,
    /// It switches off, but nobody hears of it before the patience is over.
    Mute,
    /// It does nothing, and says something else when it is asked again.
    DoesNothing,
    /// It is of an outlet that is off, whatever becomes of the machine; it does not switch anything off.
    WrongOutlet,
    /// It says *off* when it was told so, and *on* otherwise, and switches nothing.
    Lies,
    /// It always says *off* as long as everybody hears the machine, and switches nothing; should somebody not hear it any
    /// more before the lie is found out, the machine happens to lose power. It does nothing where somebody does not hear
    /// the machine.
    LiesIfHeard,
}

/// How a device takes it that it was told to switch something off.
enum Told {
    /// It says so, and says *off* when it is asked again.
    Off,
    /// It says so, and shows something else when it is asked again.
    Disproved,
    /// It does not say so.
    Failed,
}

/// An attempt with the devices of a level, of which one is told after the other.
#[derive(Debug)]
pub(crate) struct Attempt {
    by: usize,
    boots: u64,
    target: usize,
    order: FenceOrder,
    /// Which of its devices is told next.
    next: usize,
    /// What has to be waited before that is told is over.
    waited: bool,
    /// Not all devices so far will say *off* when they are asked again.
    disproved: bool,
}

/// A lie that is not found out yet.
#[derive(Debug)]
pub(crate) struct Lie {
    target: usize,
    boot: BootId,
    attempt: u32,
}

/// How long a simulated device is given.
const PATIENCE: heart_model::Duration = heart_model::Duration::from_millis(500);

/// The same cluster with a device for each node.
#[must_use]
pub fn with_devices(spec: Spec) -> Spec {
    with_levels(spec, &[1])
}

/// The same cluster with so many devices in each level of each node, which are counted through from zero.
#[must_use]
pub fn with_levels(mut spec: Spec, sizes: &[usize]) -> Spec {
    let device = |which: usize| FenceDevice {
        agent: FenceAgent::Program("fence_simulated".into()),
        parameters: (which > 0)
            .then(|| (FenceDevice::OUTLET[0].into(), Value::Integer(which as i64)))
            .into_iter()
            .collect(),
        delay: heart_model::Duration::ZERO,
        timeout: PATIENCE,
        timeout_is_least: false,
    };
    for node in spec.nodes.values_mut() {
        let mut which = 0..;
        node.fence = sizes.iter().map(|&size| which.by_ref().take(size).map(device).collect()).collect();
    }
    spec
}

/// Which of the devices of its node this is.
fn which(device: &FenceDevice) -> usize {
    match device.parameters.get(FenceDevice::OUTLET[0]) {
        Some(Value::Integer(which)) => usize::try_from(*which).unwrap_or_default(),
        _ => 0,
    }
}

fn called(which: usize) -> String {
    if which == 0 { "the device".into() } else { format!("device {which}") }
}

/// The same cluster with devices that only shut a node out from what a fence guards.
#[must_use]
pub fn with_storage_devices(spec: Spec) -> Spec {
    let mut spec = with_devices(spec);
    for device in spec.nodes.values_mut().flat_map(|node| node.fence.iter_mut().flatten()) {
        device.agent = FenceAgent::Program("fence_scsi".into());
    }
    spec
}

/// What a device does, some time after it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acts {
    /// It takes its part of a machine's power; for which half of the voters and in which life, if nobody agreed on that.
    Off { target: usize, which: usize, by_half: Option<(usize, u64)> },
    /// It shuts a machine out from what a fence guards; for half of the voters, if nobody agreed on that.
    ShutOut { target: usize, by_half: bool },
    /// It lets a machine in again, in this life of it: what it is told by runs there.
    LetIn { target: usize, boots: u64 },
}

/// What an executor tries without doing anything.
#[derive(Debug)]
pub(crate) struct Proving {
    by: usize,
    boots: u64,
    proof: FenceProof,
    finding: Option<Finding>,
}

/// What an executor has begun.
#[derive(Debug)]
pub(crate) struct Fencing {
    /// Who tells the device.
    pub(crate) by: usize,
    pub(crate) boots: u64,
    pub(crate) order: FenceOrder,
    pub(crate) works: bool,
}

impl World {
    /// An executor is to have a machine switched off: at once, or after it was given time to go first.
    pub(crate) fn fence(&mut self, by: usize, order: FenceOrder) -> Result<(), Broken> {
        let target = self.machines.iter().position(|machine| machine.name == order.node);
        let is_on = target.is_some_and(|target| self.machines[target].is_on());
        let boots = self.machines[by].boots;
        if order.hesitation.is_zero() || !is_on {
            return self.tell_device(by, order);
        }
        let wait = order.hesitation.as_nanos() as Nanos;
        let told = FenceOrder { hesitation: heart_model::Duration::ZERO, ..order };
        self.push(self.now + wait, Happening::Hesitated { by, boots, order: told });
        Ok(())
    }

    /// An executor has given a machine time to go first.
    pub(crate) fn on_hesitated(&mut self, by: usize, boots: u64, order: FenceOrder) -> Result<(), Broken> {
        if self.machines[by].boots != boots || !self.machines[by].is_on() {
            return Ok(());
        }
        match self.postpone(by, |machine| machine.executor_stalled_until) {
            Some(at) => self.push(at, Happening::Hesitated { by, boots, order }),
            None => return self.tell_device(by, order),
        }
        Ok(())
    }

    /// An executor tells a device to switch a machine off.
    pub(crate) fn tell_device(&mut self, by: usize, order: FenceOrder) -> Result<(), Broken> {
        let Some(target) = self.machines.iter().position(|machine| machine.name == order.node) else {
            return Ok(());
        };
        let boots = self.machines[by].boots;
        let lets_in = order.act != FenceAct::Off && order.devices.iter().all(FenceDevice::shuts_out);
        let is_other = |known: &(NodeName, BootId, u32)| {
            known.0 == order.node && (known.1, known.2) != (order.boot, order.attempt)
        };
        if lets_in && self.machines[by].fencing.iter().any(is_other) {
            // One attempt at a time.
            self.push(self.now + ms(1), Happening::Hesitated { by, boots, order });
            return Ok(());
        }
        let is_meant = |known: &&FenceReport| (known.boot, known.attempt) == (order.boot, order.attempt);
        if let Some(report) = self.machines[by].fenced.get(&order.node).filter(is_meant).cloned() {
            self.tell_core(by, CoreEvent::Executor(FromExecutor::Fenced(report)));
            return Ok(());
        }
        let machine = &self.machines[by];
        let ended = machine.fenced.get(&order.node).map(|report| (report.boot, report.attempt));
        let begun = machine.fencing.iter().filter(|(node, ..)| *node == order.node).map(|one| (one.1, one.2));
        let is_newer = |(boot, attempt): (BootId, u32)| {
            boot == order.boot && attempt > order.attempt && series(attempt) == series(order.attempt)
        };
        if begun.chain(ended).any(is_newer) {
            let FenceOrder { node, boot, attempt, .. } = order;
            let outcome = FenceOutcome::Failed { message: "a newer attempt came before it".into() };
            let report = FenceReport { node, boot, attempt, outcome };
            self.tell_core(by, CoreEvent::Executor(FromExecutor::Fenced(report)));
            return Ok(());
        }
        if !self.machines[by].fencing.insert((order.node.clone(), order.boot, order.attempt)) {
            // Told twice, it is done once.
            return Ok(());
        }
        if order.act != FenceAct::Off {
            self.give_power(by, target, order);
            return Ok(());
        }
        if order.devices.iter().any(|device| device.disk().is_some()) {
            if !self.has_right(by, &order) || self.is_spared(by, &order) {
                self.fenced(Fencing { by, boots, order, works: false });
                return Ok(());
            }
            return self.tell_over_disk(by, target, order);
        }
        self.tell_next(Attempt { by, boots, target, order, next: 0, waited: false, disproved: false })
    }

    /// Whether an executor may use a right: it may have been stopped between the word of its core and now, and the right
    /// may be another's.
    fn has_right(&self, by: usize, order: &FenceOrder) -> bool {
        let machine = &self.machines[by];
        if !order.is_of(machine.board.session()) {
            return false;
        }
        let until = match order.right {
            FenceRight::Agreed => machine.board.lease_until(),
            FenceRight::Half => machine.board.half_until(),
        };
        !machine.now(self.now).at_least_until(until).is_zero()
    }

    /// Whether the node is heard again, as its core said: no device is told first any more.
    fn is_spared(&self, by: usize, order: &FenceOrder) -> bool {
        order.right == FenceRight::Agreed && self.machines[by].spared.get(&order.node) == Some(&order.attempt)
    }

    /// An executor goes on with an attempt, if it is still there.
    pub(crate) fn on_attempt(&mut self, attempt: Attempt) -> Result<(), Broken> {
        let by = attempt.by;
        if self.machines[by].boots != attempt.boots || !self.machines[by].is_on() {
            return Ok(());
        }
        match self.postpone(by, |machine| machine.executor_stalled_until) {
            Some(at) => self.push(at, Happening::Attempt(Box::new(attempt))),
            None => return self.tell_next(attempt),
        }
        Ok(())
    }

    /// The next device of a level is told.
    fn tell_next(&mut self, mut attempt: Attempt) -> Result<(), Broken> {
        let Attempt { by, boots, target, next, .. } = attempt;
        let Some(device) = attempt.order.devices.get(next) else { return Ok(()) };
        let (which, delay, shuts_out) = (which(device), device.delay, device.shuts_out());
        if !(delay.is_zero() || attempt.waited) {
            attempt.waited = true;
            self.push(self.now + delay.as_nanos() as Nanos, Happening::Attempt(Box::new(attempt)));
            return Ok(());
        }
        let spared = next == 0 && self.is_spared(by, &attempt.order);
        if spared || !self.has_right(by, &attempt.order) {
            self.fenced(Fencing { by, boots, order: attempt.order, works: false });
            return Ok(());
        }
        self.claims.on_told(self.now, &self.machines[by].name, &attempt.order.node)?;
        let lies = !shuts_out && self.is_heard_by_all(target);
        let patience = PATIENCE.as_nanos() as Nanos;
        let soon = self.chance.between(ms(1), patience / 2);
        let (cut, takes, told) = match self.device(target, which) {
            Device::Works => (Some(soon), soon + ms(1), Told::Off),
            Device::Refuses => (None, ms(1), Told::Failed),
            Device::LiesIfHeard if lies => {
                let boot = self.machines[target].board.boot();
                self.lies.push(Lie { target, boot, attempt: attempt.order.attempt });
                (None, soon + ms(1), Told::Off)
            }
            Device::Lies | Device::WrongOutlet => (None, soon + ms(1), Told::Off),
            Device::DoesNothing | Device::LiesIfHeard => (None, ms(1), Told::Disproved),
            Device::Mute => (Some(self.chance.between(ms(1), patience * 2)), patience * 2, Told::Failed),
        };
        let (name, of, what) = (&self.machines[by].name, &attempt.order.node, called(which));
        self.tell(format!("{name} tells {what} of {of} to switch it off"));
        let by_half = (attempt.order.right == FenceRight::Half).then_some((by, boots));
        if let Some(wait) = cut {
            let acts = match shuts_out {
                true => Acts::ShutOut { target, by_half: by_half.is_some() },
                false => Acts::Off { target, which, by_half },
            };
            self.push(self.now + wait, Happening::Acts(acts));
        }
        attempt.disproved |= matches!(told, Told::Disproved);
        let is_last = next + 1 == attempt.order.devices.len();
        match told {
            Told::Off | Told::Disproved if !is_last => {
                (attempt.next, attempt.waited) = (next + 1, false);
                self.push(self.now + takes, Happening::Attempt(Box::new(attempt)));
            }
            told => {
                let works = !(attempt.disproved || matches!(told, Told::Failed));
                let end = if attempt.disproved { patience * 2 } else { takes };
                let order = attempt.order;
                self.push(self.now + end, Happening::Fenced(Fencing { by, boots, order, works }));
            }
        }
        Ok(())
    }

    fn device(&self, target: usize, which: usize) -> Device {
        self.devices.get(&(target, which)).copied().unwrap_or_default()
    }

    /// All devices of a machine are like that, or one of them.
    pub(crate) fn set_device(&mut self, target: usize, only: Option<usize>, device: Device) {
        for which in (0..self.devices_of(target)).filter(|which| only.is_none_or(|only| only == *which)) {
            if self.devices.insert((target, which), device).unwrap_or_default() != device {
                let (what, of) = (called(which), &self.machines[target].name);
                self.tell(format!("{what} of {of} is one that {device:?}"));
            }
        }
    }

    /// Whether everybody who is on hears this life of a machine.
    fn is_heard_by_all(&self, target: usize) -> bool {
        let shot = &self.machines[target];
        let hears = |machine: &Machine| machine.core.as_ref().and_then(|core| core.hears(&shot.name));
        let others = self.machines.iter().filter(|machine| machine.is_on() && machine.id != shot.id);
        let boot = shot.board.boot();
        shot.is_on() && others.into_iter().all(|machine| hears(machine).is_some_and(|heard| heard.0 == boot))
    }

    /// A core has done something: should it not hear a machine any more of which a device lies, nobody could find out
    /// that lie, and the machine loses power. One that has just begun has not listened yet, and judges nobody.
    pub(crate) fn keep_lies(&mut self, node: usize) -> Result<(), Broken> {
        let lost_after = self.settings.spec.timing.lost_after.as_nanos() as Nanos;
        for Lie { target, boot, attempt } in ::core::mem::take(&mut self.lies) {
            let (shot, machine) = (&self.machines[target], &self.machines[node]);
            let Some(core) = machine.core.as_ref().filter(|_| node != target) else {
                self.lies.push(Lie { target, boot, attempt });
                continue;
            };
            let fence = core.ledger().nodes.get(&shot.name).map(|known| &known.fence);
            let is_over = fence.is_some_and(|fence| {
                let is_open = fence.fencing.as_ref().is_some_and(|fencing| fencing.attempt == attempt);
                fence.attempts >= attempt && !is_open
            });
            if is_over || !shot.is_on() || shot.board.boot() != boot {
                continue;
            }
            // By its own clocks, which may be fast.
            let has_listened = self.now >= machine.core_began + lost_after / 10 * 9;
            if has_listened && core.hears(&shot.name).is_none_or(|heard| heard.0 != boot) {
                self.tell(format!("{} is not heard any more, and loses power", self.machines[target].name));
                self.machines[target].cut_power();
                self.look(None)?;
                continue;
            }
            self.lies.push(Lie { target, boot, attempt });
        }
        Ok(())
    }

    /// The devices of a level give a machine power, or those of the next one, or none.
    fn give_power(&mut self, by: usize, target: usize, order: FenceOrder) {
        let boots = self.machines[by].boots;
        let soon = self.chance.between(ms(1), PATIENCE.as_nanos() as Nanos / 2);
        if order.devices.iter().all(FenceDevice::shuts_out) {
            let device = self.device(target, 0);
            return self.tell_to_let_in(by, target, device, order);
        }
        let FenceAct::On { other_levels } = &order.act else { return };
        let levels: Vec<Vec<usize>> = std::iter::once(&order.devices)
            .chain(other_levels)
            .map(|level| level.iter().map(which).collect())
            .collect();
        self.tell(format!("{} tells the device of {} to give it power", self.machines[by].name, order.node));
        let mut works = false;
        for level in levels.iter().filter(|level| !level.is_empty()) {
            let gives = |which: &&usize| matches!(self.device(target, **which), Device::Works | Device::Mute);
            let given: Vec<usize> = level.iter().filter(gives).copied().collect();
            given.iter().for_each(|which| _ = self.outlets.remove(&(target, *which)));
            let is_lie = |which: &usize| self.device(target, *which) == Device::Lies;
            let says_so = |which: &usize| is_lie(which) || self.device(target, *which) == Device::Works;
            works = level.iter().all(says_so) && (!self.is_held_off(target) || level.iter().all(is_lie));
            if given.len() == level.len() && !self.is_held_off(target) {
                self.schedule(soon, crate::Fault::PowerOn(target));
            }
            if works {
                break;
            }
        }
        let end = if works { soon + ms(1) } else { PATIENCE.as_nanos() as Nanos * 2 };
        self.push(self.now + end, Happening::Fenced(Fencing { by, boots, order, works }));
    }

    /// Whether all devices of a level keep a machine without power.
    fn is_held_off(&self, target: usize) -> bool {
        let levels = &self.settings.spec.nodes[&self.machines[target].name].fence;
        let cuts = |device: &FenceDevice| self.outlets.contains(&(target, which(device)));
        levels.iter().any(|level| !level.is_empty() && level.iter().all(cuts))
    }

    /// A device lets a machine in, or does not; a mute one does so at any time before it is given up.
    fn tell_to_let_in(&mut self, by: usize, target: usize, device: Device, order: FenceOrder) {
        let boots = self.machines[by].boots;
        let patience = PATIENCE.as_nanos() as Nanos;
        let (acts, end) = match device {
            Device::Works => {
                let soon = self.chance.between(ms(1), patience / 2);
                (Some(soon), soon + ms(1))
            }
            Device::Mute => (Some(self.chance.between(ms(1), patience * 2)), patience * 2),
            Device::Refuses | Device::WrongOutlet => (None, ms(1)),
            Device::DoesNothing | Device::Lies | Device::LiesIfHeard => (None, patience * 2),
        };
        self.tell(format!("{} tells the device of {} to let it in", self.machines[by].name, order.node));
        if let Some(wait) = acts {
            self.push(self.now + wait, Happening::Acts(Acts::LetIn { target, boots }));
        }
        let works = device == Device::Works;
        self.push(self.now + end, Happening::Fenced(Fencing { by, boots, order, works }));
    }

    /// A device acts.
    pub(crate) fn act(&mut self, acts: Acts) -> Result<(), Broken> {
        match acts {
            Acts::Off { target, which, by_half } => {
                self.outlets.insert((target, which));
                if self.is_held_off(target) {
                    return self.shoot(target, by_half);
                }
                self.tell(format!("{} of {} has cut its part", called(which), self.machines[target].name));
                Ok(())
            }
            Acts::ShutOut { target, by_half } => self.shut_out(target, by_half),
            Acts::LetIn { target, boots } => self.let_in(target, boots),
        }
    }

    fn shut_out(&mut self, target: usize, by_half: bool) -> Result<(), Broken> {
        let name = &self.machines[target].name;
        if by_half {
            // It proves nothing to a half (SAFETY rule 17 d).
            let what = format!("half of the voters has {name} shut out");
            return Err(Broken { at: self.now, what });
        }
        self.tell(format!("{name} is shut out from its storage"));
        claims::on_shot(&self.claims, self.now, target, "shut out", &self.machines)?;
        self.machines[target].shut_out = true;
        self.look(None)
    }

    /// The program that lets a machine in runs on it: it stands still and ends with it.
    fn let_in(&mut self, target: usize, boots: u64) -> Result<(), Broken> {
        let machine = &self.machines[target];
        if !machine.is_on() || machine.boots != boots {
            return Ok(());
        }
        if let Some(at) = self.postpone(target, |_| 0) {
            self.push(at, Happening::Acts(Acts::LetIn { target, boots }));
            return Ok(());
        }
        self.machines[target].shut_out = false;
        self.tell(format!("{} is let in to its storage", self.machines[target].name));
        self.look(None)
    }

    pub(crate) fn shoot(&mut self, target: usize, by_half: Option<(usize, u64)>) -> Result<(), Broken> {
        match by_half {
            None => claims::on_shot(&self.claims, self.now, target, "switched off", &self.machines)?,
            // What a device does late for somebody who lost power, nobody knows of.
            Some((by, boots)) if self.machines[by].is_on() && self.machines[by].boots == boots => {
                claims::on_shot_by_half(self.now, target, &self.machines)?;
            }
            Some(_) => {}
        }
        self.tell(format!("{} is switched off", self.machines[target].name));
        self.machines[target].cut_power();
        self.look(None)
    }

    /// An executor tries a device without doing anything, unless it is switching a machine off.
    pub(crate) fn prove(&mut self, by: usize, proof: FenceProof) {
        let Some(target) = self.machines.iter().position(|machine| machine.name == proof.node) else {
            return;
        };
        let which = which(&proof.device);
        let has_power = self.machines[target].power == Power::On && !self.outlets.contains(&(target, which));
        let power = Finding::Ready(if has_power { Says::On } else { Says::Off });
        let patience = PATIENCE.as_nanos() as Nanos;
        let (finding, wait) = match self.device(target, which) {
            Device::Works | Device::DoesNothing | Device::Lies => (power, ms(10)),
            Device::WrongOutlet | Device::LiesIfHeard => (Finding::Ready(Says::Off), ms(10)),
            Device::Refuses => (Finding::Unusable("it does not let us in".into()), ms(1)),
            Device::Mute => (Finding::Unusable("it does not answer".into()), patience),
        };
        let finding = Some(finding).filter(|_| self.machines[by].fencing.is_empty());
        let boots = self.machines[by].boots;
        self.push(self.now + wait, Happening::Proved(Proving { by, boots, proof, finding }));
    }

    /// The executor says what it found, if it is still there.
    pub(crate) fn proved(&mut self, proving: Proving) {
        let by = proving.by;
        if self.machines[by].boots != proving.boots || self.machines[by].power == Power::Off {
            return;
        }
        if let Some(at) = self.postpone(by, |machine| machine.executor_stalled_until) {
            return self.push(at, Happening::Proved(proving));
        }
        let Proving { proof, finding, .. } = proving;
        self.tell_core(by, CoreEvent::Executor(FromExecutor::Proved { proof, finding }));
    }

    /// Whether a machine that is said to be off answers who had it switched off: its kernel does, whatever its processes
    /// do (SAFETY rule 11).
    fn answers(&self, by: usize, order: &FenceOrder) -> bool {
        let target = self.machines.iter().position(|machine| machine.name == order.node);
        let is_reached = |target: &usize| {
            let machine = &self.machines[*target];
            let cut = self.cut.contains(&(by, *target)) || self.cut.contains(&(*target, by));
            machine.is_on() && machine.frozen_until <= self.now && !cut
        };
        order.act == FenceAct::Off
            && !order.addresses.is_empty()
            && target.is_some_and(|one| is_reached(&one))
    }

    /// The executor says how it ended, if it is still there.
    pub(crate) fn fenced(&mut self, fencing: Fencing) {
        let Fencing { by, boots, order, works } = fencing;
        if self.machines[by].boots != boots || self.machines[by].power == Power::Off {
            return;
        }
        if let Some(at) = self.postpone(by, |machine| machine.executor_stalled_until) {
            self.push(at, Happening::Fenced(Fencing { by, boots, order, works }));
            return;
        }
        let outcome = match works {
            true if order.act == FenceAct::Off && order.devices.iter().all(FenceDevice::shuts_out) => {
                FenceOutcome::ShutOut
            }
            true if self.answers(by, &order) => {
                FenceOutcome::Failed { message: format!("an address of {} still answers", order.node) }
            }
            true if order.act == FenceAct::Off => FenceOutcome::Off,
            true => FenceOutcome::On,
            false => FenceOutcome::Failed { message: "the device does not say that it is so".into() },
        };
        let FenceOrder { node, boot, attempt, .. } = order;
        self.machines[by].fencing.remove(&(node.clone(), boot, attempt));
        let report = FenceReport { node: node.clone(), boot, attempt, outcome };
        self.machines[by].fenced.insert(node, report.clone());
        self.tell_core(by, CoreEvent::Executor(FromExecutor::Fenced(report)));
    }
}
