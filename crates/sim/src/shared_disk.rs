//! A disk that all machines of the world share, over which they tell each other to reset themselves.
//!
//! What stands there is data here, and a read takes no time; who may conclude what is the real thing. A machine that
//! does not reach the disk makes no rounds, and one that stands still neither. For one to which the disk is slow, what
//! it writes stands there later; if it loses power meanwhile, all of that stands there or nothing, as of the two copies
//! of a block one is whole.

use heart_disk::{
    Slot,
    pill::{Look, Pill, Rounds, Seen, Times, Verdict, may_go_on, named},
    records::{Ballot, Beat, Messages, Pledge},
};
use heart_model::{Duration, FenceAgent, FenceDevice, FenceOrder, FenceRight, Moment, Spec, Value};
use std::collections::{BTreeMap, BTreeSet};

use crate::{Broken, Fault, Nanos, Power, World, ballot::Changing, fence::Fencing, ms, world::Happening};

/// How often the slot of a machine is looked at that was told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a machine takes that was reset until it runs again.
const BOOT: Nanos = ms(3_000);

/// What stands on the disk, by slots that are the machines' places, and who does not reach it.
#[derive(Debug, Default)]
pub(crate) struct SharedDisk {
    beats: BTreeMap<usize, Beat>,
    messages: BTreeMap<usize, Messages>,
    /// Who wrote which message by which right, and in which life.
    rights: BTreeMap<(usize, u64), (FenceRight, u64)>,
    /// Until when a machine may go on without a lease, in which life: what its guardian reads.
    until: BTreeMap<usize, (u64, Moment)>,
    /// What each life of a machine has read.
    seen: BTreeMap<(usize, u64), Seen>,
    pub(crate) cut: BTreeSet<usize>,
    /// How long a write of a machine takes, where that is not at once.
    slow: BTreeMap<usize, Nanos>,
    /// What each machine says of the tie-break's value.
    pub(crate) ballots: BTreeMap<usize, Ballot>,
    /// Who is at changing that value, in which life.
    pub(crate) changing: BTreeSet<(usize, u64)>,
}

/// What happens at the disk.
#[derive(Debug)]
pub(crate) enum Of {
    /// A machine reads what it is told.
    Round,
    /// What it says after a round stands there.
    Wrote(Box<Wrote>),
    /// What it tells another one, at this place, stands there.
    Told(usize, Box<FenceOrder>),
    /// A step of changing the value of the tie-break is done.
    Changing(Box<Changing>),
    /// A machine looks whether another one that it told is off.
    Look(Box<Looking>),
}

/// What a machine says after a round.
#[derive(Debug)]
pub(crate) struct Wrote {
    beat: Beat,
    /// Until when it may go on without a lease once that stands there, if it pledged anything.
    until: Option<Moment>,
    obeys: bool,
}

/// Waiting for a machine that was told.
#[derive(Debug)]
pub(crate) struct Looking {
    order: FenceOrder,
    target: usize,
    number: u64,
    since: Moment,
    pill: Pill,
}

/// One of these, at one machine, in one life.
#[derive(Debug)]
pub(crate) struct AtDisk {
    node: usize,
    boots: u64,
    of: Of,
}

/// The same cluster, in which every node is told over a shared disk to reset itself, and has a watchdog.
#[must_use]
pub fn with_fences_on_disk(mut spec: Spec) -> Spec {
    let timeout = spec.timing.disk_fence();
    for node in spec.nodes.values_mut() {
        (node.watchdog, node.never_paused) = (Some("/dev/watchdog0".into()), true);
        node.fence = vec![vec![FenceDevice {
            agent: FenceAgent::Disk,
            parameters: [(FenceDevice::DISK.into(), Value::Text("/dev/shared".into()))].into(),
            delay: Duration::ZERO,
            timeout,
            timeout_is_least: true,
        }]];
    }
    spec
}

fn slot(node: usize) -> Slot {
    Slot(node as u16)
}

impl World {
    /// A machine was switched on: it withdraws what it told others, and begins its rounds.
    pub(crate) fn read_on_disk(&mut self, node: usize) {
        let spec = &self.settings.spec.nodes[&self.machines[node].name];
        if spec.fence.iter().flatten().any(|device| device.disk().is_some()) {
            self.shared_disk.messages.entry(node).or_default().all.clear();
            self.at_disk(0, node, Of::Round);
        }
    }

    /// A machine reaches the disk from now on, or does not.
    pub(crate) fn reach_disk(&mut self, node: usize, reached: bool) {
        let cut = &mut self.shared_disk.cut;
        if if reached { cut.remove(&node) } else { cut.insert(node) } {
            let does = if reached { "reaches" } else { "does not reach" };
            self.tell(format!("{} {does} the shared disk", self.machines[node].name));
        }
    }

    /// Whether the guardian of a machine may feed its watchdog, as far as this disk is concerned.
    pub(crate) fn may_feed(&self, node: usize) -> bool {
        let machine = &self.machines[node];
        let until = self.shared_disk.until.get(&node).filter(|(boots, _)| *boots == machine.boots);
        until.is_none_or(|(_, until)| may_go_on(machine.now(self.now), *until, machine.board.lease_until()))
    }

    /// The disk is so slow to a machine from now on; not at all, if that is no time.
    pub(crate) fn slow_down_disk(&mut self, node: usize, takes: Nanos) {
        if self.shared_disk.slow.insert(node, takes).unwrap_or_default() != takes {
            let name = &self.machines[node].name;
            self.tell(format!("writing to the shared disk takes {name} {} ms", takes / ms(1)));
        }
    }

    /// How long the next write of a machine takes.
    pub(crate) fn write_takes(&mut self, node: usize) -> Nanos {
        match self.shared_disk.slow.get(&node).copied().unwrap_or_default() {
            0 => 0,
            most => self.chance.between(1, most),
        }
    }

    pub(crate) fn at_disk(&mut self, wait: Nanos, node: usize, of: Of) {
        let boots = self.machines[node].boots;
        self.push(self.now + wait, Happening::SharedDisk(AtDisk { node, boots, of }));
    }

    pub(crate) fn on_shared_disk(&mut self, at: AtDisk) -> Result<(), Broken> {
        let machine = &self.machines[at.node];
        if machine.boots != at.boots || machine.power == Power::Off {
            let is_last = machine.boots == at.boots;
            self.leave_behind(at, is_last);
            return Ok(());
        }
        if let Some(later) = self.postpone(at.node, |machine| machine.executor_stalled_until) {
            self.push(later, Happening::SharedDisk(at));
            return Ok(());
        }
        match at.of {
            Of::Round => self.round(at.node),
            Of::Wrote(wrote) => self.wrote(at.node, *wrote),
            Of::Told(target, order) => self.told_over_disk(at.node, target, *order),
            Of::Changing(changing) => {
                self.on_changing(at.node, *changing);
                Ok(())
            }
            Of::Look(looking) => {
                self.look_at_slot(at.node, *looking);
                Ok(())
            }
        }
    }

    /// What a machine was writing when it lost power stands there, or it does not.
    fn leave_behind(&mut self, at: AtDisk, is_last: bool) {
        if !is_last {
            return;
        }
        match at.of {
            Of::Wrote(wrote) if self.chance.happens(500) => {
                self.shared_disk.beats.insert(at.node, wrote.beat);
            }
            Of::Changing(changing) if self.chance.happens(500) => {
                self.leave_ballot_behind(at.node, *changing);
            }
            Of::Round | Of::Wrote(_) | Of::Told(..) | Of::Changing(_) | Of::Look(_) => {}
        }
    }

    fn round(&mut self, node: usize) -> Result<(), Broken> {
        let timing = self.machines[node].timing;
        if self.shared_disk.cut.contains(&node) {
            self.at_disk(timing.disk_look().as_nanos() as Nanos, node, Of::Round);
            if !self.may_feed(node) {
                let machine = &self.machines[node];
                if machine.has_lease(self.now) {
                    let what = format!("{} resets itself, although it has a lease", machine.name);
                    return Err(Broken { at: self.now, what });
                }
                return self.reset(node, "has no lease and reads nothing on the shared disk", None);
            }
            return Ok(());
        }
        let machine = &self.machines[node];
        let (local, boot) = (machine.now(self.now), machine.board.boot());
        let look =
            Look { now: local, lease_until: machine.board.lease_until(), lost_after: timing.lost_after };
        let pledge = Pledge { off_within: timing.disk_off_within(), reset: timing.disk_reset() };
        let pledge = Some(pledge).filter(|_| machine.board.is_watched());
        let boots = machine.boots;
        let disk = &mut self.shared_disk;
        let all: Vec<(Slot, Messages)> =
            disk.messages.iter().map(|(by, messages)| (slot(*by), messages.clone())).collect();
        let told = disk.seen.entry((node, boots)).or_default().told(slot(node), boot, &all, &look);
        let before = disk.beats.entry(node).or_default();
        let (beat, obeys) = Rounds::new(boot, before, pledge).go_on(told, 0);
        let until = pledge.map(|_| local.after(timing.disk_patience()));
        let wrote = Wrote { beat, until, obeys };
        match self.write_takes(node) {
            0 => self.wrote(node, wrote),
            takes => {
                self.at_disk(takes, node, Of::Wrote(Box::new(wrote)));
                Ok(())
            }
        }
    }

    /// What a machine says stands on the disk.
    fn wrote(&mut self, node: usize, Wrote { beat, until, obeys }: Wrote) -> Result<(), Broken> {
        let look_every = self.machines[node].timing.disk_look().as_nanos() as Nanos;
        if self.shared_disk.cut.contains(&node) {
            self.at_disk(0, node, Of::Round);
            return Ok(());
        }
        let boots = self.machines[node].boots;
        self.shared_disk.beats.insert(node, beat.clone());
        if let Some(until) = until {
            self.shared_disk.until.insert(node, (boots, until));
        }
        self.at_disk(look_every, node, Of::Round);
        if !obeys {
            return Ok(());
        }
        let by = beat.obeys.map(|obeys| (usize::from(obeys.by.0), obeys.number));
        let by_half = by.and_then(|message| match self.shared_disk.rights.get(&message)? {
            (FenceRight::Half, boots) => Some((message.0, *boots)),
            (FenceRight::Agreed, _) => None,
        });
        self.reset(node, "was told to over the shared disk", Some(by_half))
    }

    /// A machine resets itself; who told it, if somebody did without an agreement.
    fn reset(&mut self, node: usize, why: &str, told: Option<Option<(usize, u64)>>) -> Result<(), Broken> {
        self.tell(format!("{} {why}, and resets itself", self.machines[node].name));
        self.schedule(BOOT, Fault::PowerOn(node));
        match told {
            Some(by_half) => self.shoot(node, by_half),
            None => {
                self.machines[node].cut_power();
                self.look(None)
            }
        }
    }

    /// An executor tells a machine over the disk, unless it does not reach it.
    pub(crate) fn tell_over_disk(
        &mut self,
        by: usize,
        target: usize,
        order: FenceOrder,
    ) -> Result<(), Broken> {
        match self.write_takes(by) {
            0 => return self.told_over_disk(by, target, order),
            takes => self.at_disk(takes, by, Of::Told(target, Box::new(order))),
        }
        Ok(())
    }

    fn told_over_disk(&mut self, by: usize, target: usize, order: FenceOrder) -> Result<(), Broken> {
        let boots = self.machines[by].boots;
        if self.shared_disk.cut.contains(&by) {
            self.push(self.now + ms(1), Happening::Fenced(Fencing { by, boots, order, works: false }));
            return Ok(());
        }
        self.claims.on_told(self.now, &self.machines[by].name, &order.node)?;
        self.tell(format!(
            "{} tells {} over the shared disk to reset itself",
            self.machines[by].name, order.node
        ));
        let since = self.machines[by].now(self.now);
        let disk = &mut self.shared_disk;
        let first = disk.beats.get(&target).cloned().unwrap_or_default();
        let told = disk.messages.entry(by).or_default().tell(slot(target), named(order.boot, &first));
        let Ok(number) = told else {
            self.push(self.now + ms(1), Happening::Fenced(Fencing { by, boots, order, works: false }));
            return Ok(());
        };
        disk.rights.insert((by, number), (order.right, boots));
        let longest = order.devices.iter().map(|device| device.timeout).max().unwrap_or_default();
        let pill = Pill::new(Times { look_every: LOOK_EVERY, longest }, order.boot, first);
        self.at_disk(0, by, Of::Look(Box::new(Looking { order, target, number, since, pill })));
        Ok(())
    }

    /// Whether a node is waited for whose last known life never wrote to the disk on which it could be told to reset
    /// itself: nobody can find out whether it runs on, and a person has to say.
    pub(crate) fn never_spoke_on_disk(&self) -> bool {
        let Some(core) = self.leader().and_then(|place| self.machines[place].core.as_ref()) else {
            return false;
        };
        let held = core.ledger().resources.values().flat_map(|known| &known.until_gone);
        let mut waits_for = held.filter_map(|former| {
            let place = self.machines.iter().position(|machine| machine.name == former.node)?;
            Some((place, former.session.boot))
        });
        let spoke = |place: &usize, boot| {
            self.shared_disk.beats.get(place).is_some_and(|beat| beat.boot == Some(boot))
        };
        self.has_fences_on_disk() && waits_for.any(|(place, boot)| !spoke(&place, boot))
    }

    fn look_at_slot(&mut self, by: usize, mut looking: Looking) {
        let disk = &self.shared_disk;
        let beat = match disk.cut.contains(&by) {
            true => Err("it does not answer".into()),
            false => Ok(disk.beats.get(&looking.target).cloned().unwrap_or_default()),
        };
        let elapsed = self.machines[by].now(self.now).shortest_since(looking.since);
        let works = match looking.pill.look(elapsed, beat) {
            Verdict::Wait => {
                return self.at_disk(LOOK_EVERY.as_nanos() as Nanos, by, Of::Look(Box::new(looking)));
            }
            Verdict::Off => true,
            Verdict::Unproven(why) => {
                self.tell(format!("{} {why}", looking.order.node));
                false
            }
        };
        if !self.shared_disk.cut.contains(&by) {
            self.shared_disk.messages.entry(by).or_default().withdraw(looking.number);
        }
        let boots = self.machines[by].boots;
        self.fenced(Fencing { by, boots, order: looking.order, works });
    }
}
