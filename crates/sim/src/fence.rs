//! What switches machines off: one device for each, which works, refuses, is late or does nothing.
//!
//! What a device does, it does after it was told, whatever has become of who told it. A device that says *off* and
//! lies is caught when it is asked again, so to the executor it is one that did nothing. One of a wrong outlet is
//! only asked how its machine is: what it would do to a cluster that believes it is not for the claims to judge.

use heart_model::{
    BootId, FenceAct, FenceAgent, FenceDevice, FenceOrder, FenceOutcome, FenceProof, FenceReport, FenceRight,
    Finding, FromExecutor, NodeName, Power as Says, Spec,
};
use heart_node::core::Event as CoreEvent;
use std::collections::BTreeMap;

use crate::{Broken, Nanos, Power, World, claims, ms, world::Happening};

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
}

/// How long a simulated device is given.
const PATIENCE: heart_model::Duration = heart_model::Duration::from_millis(500);

/// The same cluster with a device for each node.
#[must_use]
pub fn with_devices(mut spec: Spec) -> Spec {
    for node in spec.nodes.values_mut() {
        node.fence = vec![vec![FenceDevice {
            agent: FenceAgent::Program("fence_simulated".into()),
            parameters: BTreeMap::new(),
            delay: heart_model::Duration::ZERO,
            timeout: PATIENCE,
            timeout_is_least: false,
        }]];
    }
    spec
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
    /// It switches a machine off; for which half of the voters and in which life, if nobody agreed on that.
    Off { target: usize, by_half: Option<(usize, u64)> },
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
        if !self.machines[by].fencing.insert((order.node.clone(), order.boot, order.attempt)) {
            // Told twice, it is done once.
            return Ok(());
        }
        if order.act != FenceAct::Off {
            self.give_power(by, target, order);
            return Ok(());
        }
        let machine = &self.machines[by];
        let until = match order.right {
            FenceRight::Agreed => machine.board.lease_until(),
            FenceRight::Half => machine.board.half_until(),
        };
        if machine.now(self.now).at_least_until(until).is_zero() {
            // It was stopped between the word of its core and now: the right may be another's.
            self.fenced(Fencing { by, boots, order, works: false });
            return Ok(());
        }
        if order.devices.iter().any(|device| device.disk().is_some()) {
            return self.tell_over_disk(by, target, order);
        }
        self.claims.on_told(self.now, &self.machines[by].name, &order.node)?;
        let device = self.devices.get(&target).copied().unwrap_or_default();
        let patience = PATIENCE.as_nanos() as Nanos;
        let soon = self.chance.between(ms(1), patience / 2);
        let (cut, end) = match device {
            Device::Works => (Some(soon), soon + ms(1)),
            Device::Refuses | Device::WrongOutlet => (None, ms(1)),
            Device::DoesNothing => (None, patience * 2),
            Device::Lies => (None, soon),
            Device::Mute => (Some(self.chance.between(ms(1), patience * 2)), patience * 2),
        };
        self.tell(format!("{} tells the device of {} to switch it off", self.machines[by].name, order.node));
        let shuts_out = order.devices.iter().all(FenceDevice::shuts_out);
        if let Some(wait) = cut.filter(|_| shuts_out) {
            let by_half = order.right == FenceRight::Half;
            self.push(self.now + wait, Happening::Acts(Acts::ShutOut { target, by_half }));
        } else if let Some(wait) = cut {
            let by_half = (order.right == FenceRight::Half).then_some((by, boots));
            self.push(self.now + wait, Happening::Acts(Acts::Off { target, by_half }));
        }
        let works = matches!(device, Device::Works | Device::Lies);
        self.push(self.now + end, Happening::Fenced(Fencing { by, boots, order, works }));
        Ok(())
    }

    /// A device gives a machine power, or does not.
    fn give_power(&mut self, by: usize, target: usize, order: FenceOrder) {
        let boots = self.machines[by].boots;
        let device = self.devices.get(&target).copied().unwrap_or_default();
        let soon = self.chance.between(ms(1), PATIENCE.as_nanos() as Nanos / 2);
        let lets_in = order.devices.iter().all(FenceDevice::shuts_out);
        if lets_in {
            return self.tell_to_let_in(by, target, device, order);
        }
        self.tell(format!("{} tells the device of {} to give it power", self.machines[by].name, order.node));
        match device {
            Device::Works | Device::Mute => self.schedule(soon, crate::Fault::PowerOn(target)),
            Device::Refuses | Device::DoesNothing | Device::WrongOutlet | Device::Lies => {}
        }
        let works = matches!(device, Device::Works | Device::Lies);
        let end = if works { soon + ms(1) } else { PATIENCE.as_nanos() as Nanos * 2 };
        self.push(self.now + end, Happening::Fenced(Fencing { by, boots, order, works }));
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
            Device::DoesNothing | Device::Lies => (None, patience * 2),
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
            Acts::Off { target, by_half } => self.shoot(target, by_half),
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
        let has_power = self.machines[target].power == Power::On;
        let power = Finding::Ready(if has_power { Says::On } else { Says::Off });
        let patience = PATIENCE.as_nanos() as Nanos;
        let (finding, wait) = match self.devices.get(&target).copied().unwrap_or_default() {
            Device::Works | Device::DoesNothing | Device::Lies => (power, ms(10)),
            Device::WrongOutlet => (Finding::Ready(Says::Off), ms(10)),
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
            true if order.act == FenceAct::Off => FenceOutcome::Off,
            true => FenceOutcome::On,
            false => FenceOutcome::Failed { message: "the device does not say that it is so".into() },
        };
        let FenceOrder { node, boot, attempt, .. } = order;
        self.machines[by].fencing.remove(&(node.clone(), boot, attempt));
        let report = FenceReport { node, boot, attempt, outcome };
        self.tell_core(by, CoreEvent::Executor(FromExecutor::Fenced(report)));
    }
}
