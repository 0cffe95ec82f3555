//! What can go wrong in a world, and be mended.

use std::collections::BTreeSet;

use heart_model::{
    Ailment, FromExecutor, Guard, HealthChange, Name, NodeName, ResourceName, Spec, TieBreakPlace,
    TieBreakSpec, Timing,
};
use heart_node::core::{Event as CoreEvent, Request};

use crate::{Broken, Device, Machine, Nanos, Power, Word, World, ms, tie_break::TIMEOUT, world::Happening};

/// What can go wrong, and be mended. Machines are places in the list of nodes by name.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Power is lost.
    PowerCut(usize),
    /// Power is back.
    PowerOn(usize),
    /// Everything of Heart on the machine stands still; its kernel runs on.
    Freeze {
        /// Which machine.
        node: usize,
        /// For how long.
        lasts: Nanos,
    },
    /// Only the core stands still; heartbeats go on.
    StallCore {
        /// Which machine.
        node: usize,
        /// For how long.
        lasts: Nanos,
    },
    /// The core process is killed and comes back at once.
    KillCore(usize),
    /// Only the heartbeat thread stands still; the core runs on.
    StallPulse {
        /// Which machine.
        node: usize,
        /// For how long.
        lasts: Nanos,
    },
    /// Only the executor stands still.
    StallExecutor {
        /// Which machine.
        node: usize,
        /// For how long.
        lasts: Nanos,
    },
    /// Only the guardian stands still, which feeds the watchdog.
    StallGuardian {
        /// Which machine.
        node: usize,
        /// For how long.
        lasts: Nanos,
    },
    /// The wall clock of a machine is set, or sets itself.
    SetClock {
        /// Which machine.
        node: usize,
        /// By how many milliseconds.
        by: i64,
    },
    /// The watchdog of a machine was never armed: its device file is not there.
    LoseWatchdog(usize),
    /// Datagrams from one machine to another are held up, and then all arrive.
    Hold {
        /// From which.
        from: usize,
        /// To which.
        to: usize,
        /// For how long.
        lasts: Nanos,
    },
    /// Datagrams from one machine to another are lost.
    Cut {
        /// From which.
        from: usize,
        /// To which.
        to: usize,
    },
    /// Datagrams from one machine to another arrive again.
    Mend {
        /// From which.
        from: usize,
        /// To which.
        to: usize,
    },
    /// All machines hear each other again.
    Heal,
    /// The disk does not answer.
    StallDisk(usize),
    /// The disk answers again.
    MendDisk(usize),
    /// A machine finds out that it is sick.
    Sicken {
        /// Which machine.
        node: usize,
        /// With what.
        with: Ailment,
    },
    /// A machine is well again, as far as this is concerned.
    Cure {
        /// Which machine.
        node: usize,
        /// Of what.
        of: Ailment,
    },
    /// The disk is replaced by an empty one; only while the power is off.
    LoseDisk(usize),
    /// The disk loses the last bytes that it had made durable; only while the power is off.
    LoseTail {
        /// Which machine.
        node: usize,
        /// How many bytes.
        bytes: usize,
    },
    /// A virtual machine is paused and resumed: its clocks stop meanwhile, and so does its kernel.
    Pause {
        /// Which machine.
        node: usize,
        /// For how long.
        lasts: Nanos,
    },
    /// The service of a resource dies, wherever it runs.
    KillService(ResourceName),
    /// Starts of a resource fail on this machine, or work again.
    BreakStarts {
        /// Where.
        node: usize,
        /// Whether they fail.
        broken: bool,
    },
    /// On this machine nothing that a fence guards can be stopped any more, by any means, until it boots.
    Stick(usize),
    /// A machine reaches the disk that all share, or does not.
    SharedDisk {
        /// Which machine.
        node: usize,
        /// Whether it does from now on.
        reached: bool,
    },
    /// What a machine writes to the disk that all share takes up to so long from now on.
    SlowSharedDisk {
        /// Which machine.
        node: usize,
        /// How long a write takes at most.
        takes: Nanos,
    },
    /// A machine does not reach what decides between two halves, or reaches it again.
    TieBreak {
        /// Which machine.
        node: usize,
        /// Whether it reaches what decides between two halves.
        reached: bool,
    },
    /// What decides between two halves forgets its value.
    ForgetTieBreak,
    /// A ping target answers nobody, or answers again.
    Target {
        /// Which.
        target: Name,
        /// Whether it answers from now on.
        answers: bool,
    },
    /// A machine does not reach a ping target, or reaches it again.
    Uplink {
        /// Which machine.
        node: usize,
        /// Which target.
        target: Name,
        /// Whether it is reached from now on.
        reached: bool,
    },
    /// What pings on a machine may not.
    Blind(usize),
    /// All that switches a machine off is like that from now on.
    Device {
        /// Which machine it switches off.
        node: usize,
        /// How it is.
        device: Device,
    },
    /// One of the devices that switch a machine off is like that from now on.
    OneDevice {
        /// Which machine it switches off.
        node: usize,
        /// Which of them, of all levels counted through from zero.
        which: usize,
        /// How it is.
        device: Device,
    },
    /// Somebody says something at a machine who has looked before.
    Say {
        /// At which machine, or the next one that is on.
        node: usize,
        /// What.
        word: Word,
    },
    /// A machine is asked to stop in an orderly way: it hands over first.
    Leave(usize),
    /// The configuration file of all machines says from now on that these vote, and only these. What runs
    /// hears of it when its core is restarted.
    Configure {
        /// Places of the voters.
        voters: BTreeSet<usize>,
    },
    /// The configuration file of all machines says from now on that something else decides between two halves. What
    /// runs hears of it when its core is restarted.
    DecideBy(TieBreakPlace),
    /// The configuration file of all machines says from now on that something else guards a resource. What runs hears of
    /// it when its core is restarted.
    Guard {
        /// Which resource.
        resource: ResourceName,
        /// What guards it.
        guard: Guard,
    },
    /// The configuration file of all machines says from now on that all this takes so long. What runs hears
    /// of it when its core is restarted.
    Retime(Timing),
    /// The configuration file of all machines but this one does not know it any more. What runs hears of it
    /// when its core is restarted.
    Forget(usize),
    /// It knows it again.
    Remember(usize),
    /// Datagrams lost from now on, of 1000.
    Loss(u64),
    /// Somebody asks a machine.
    Ask {
        /// Which machine.
        node: usize,
        /// What.
        request: Request,
    },
}

impl World {
    pub(crate) fn on_fault(&mut self, fault: Fault) -> Result<(), Broken> {
        let name = |world: &World, node: usize| -> NodeName { world.machines[node].name.clone() };
        match fault {
            Fault::Freeze { .. }
            | Fault::StallCore { .. }
            | Fault::StallPulse { .. }
            | Fault::StallExecutor { .. }
            | Fault::StallGuardian { .. }
            | Fault::Pause { .. } => self.on_stand_still(&fault)?,
            Fault::Hold { .. } | Fault::Mend { .. } | Fault::Cut { .. } | Fault::Heal | Fault::Loss(_) => {
                self.on_network(&fault);
            }
            Fault::StallDisk(_) | Fault::MendDisk(_) | Fault::LoseDisk(_) | Fault::LoseTail { .. } => {
                self.on_disk(&fault);
            }
            Fault::Target { target, answers } => self.on_target(None, &target, answers),
            Fault::Uplink { node, target, reached } => self.on_target(Some(node), &target, reached),
            Fault::Blind(node) => self.on_blind(node),
            Fault::Sicken { .. } | Fault::Cure { .. } => self.on_sickness(&fault),
            Fault::PowerCut(node) => {
                self.tell(format!("{} loses power", name(self, node)));
                self.machines[node].cut_power();
                self.look(None)?;
            }
            Fault::PowerOn(node) if self.machines[node].power == Power::Off => {
                self.tell(format!("{} is switched on", name(self, node)));
                self.outlets.retain(|(of, _)| *of != node);
                self.begin(node, Machine::boot);
                self.arm(node);
            }
            Fault::PowerOn(_) => {}
            Fault::KillCore(node) if self.machines[node].power == Power::On => {
                self.tell(format!("the core of {} is killed", name(self, node)));
                self.begin(node, Machine::restart_core);
            }
            Fault::KillCore(_) => {}
            Fault::KillService(resource) => self.end_service(&resource)?,
            Fault::BreakStarts { node, broken } => self.break_starts(node, broken),
            Fault::SetClock { node, by } => self.set_clock(node, by),
            Fault::Stick(node) => self.machines[node].executor.sticks = true,
            Fault::LoseWatchdog(node) => self.machines[node].lose_watchdog(),
            Fault::TieBreak { .. }
            | Fault::ForgetTieBreak
            | Fault::SharedDisk { .. }
            | Fault::SlowSharedDisk { .. } => self.on_place(&fault),
            Fault::Device { node, device } => self.set_device(node, None, device),
            Fault::OneDevice { node, which, device } => self.set_device(node, Some(which), device),
            Fault::Say { node, word } => self.say(node, word),
            Fault::Configure { .. }
            | Fault::DecideBy(_)
            | Fault::Guard { .. }
            | Fault::Forget(_)
            | Fault::Remember(_)
            | Fault::Retime(_) => self.on_file(&fault),
            Fault::Leave(node) => {
                self.tell(format!("{} is asked to leave", name(self, node)));
                self.tell_core(node, CoreEvent::Leave);
            }
            Fault::Ask { node, request } => {
                self.questions += 1;
                let id = self.questions;
                let asked = self.machines[node].now(self.now);
                self.tell_core(node, CoreEvent::Request { id, request, asked });
            }
        }
        Ok(())
    }

    fn break_starts(&mut self, node: usize, broken: bool) {
        if broken {
            self.broken_starts.insert(node);
        } else {
            self.broken_starts.remove(&node);
        }
    }

    /// A service dies, if it runs.
    fn end_service(&mut self, resource: &ResourceName) -> Result<(), Broken> {
        let Some(node) = self.owner(resource) else { return Ok(()) };
        self.tell(format!("{resource} dies on {}", self.machines[node].name));
        let said = self.machines[node].kill_service(resource);
        said.into_iter().for_each(|said: FromExecutor| self.tell_core(node, CoreEvent::Executor(said)));
        self.look(Some(resource))
    }

    /// What decides between two halves, or tells nodes to reset themselves, is not what it was.
    fn on_place(&mut self, fault: &Fault) {
        match *fault {
            Fault::TieBreak { node, reached } => self.reach_tie_break(node, reached),
            Fault::SharedDisk { node, reached } => self.reach_disk(node, reached),
            Fault::SlowSharedDisk { node, takes } => self.slow_down_disk(node, takes),
            Fault::ForgetTieBreak => self.forget_tie_break(),
            _ => {}
        }
    }

    fn reach_tie_break(&mut self, node: usize, reached: bool) {
        let cut = &mut self.tie_break.cut;
        if if reached { cut.remove(&node) } else { cut.insert(node) } {
            let does = if reached { "reaches" } else { "does not reach" };
            self.tell(format!("{} {does} the tie-break", self.machines[node].name));
        }
    }

    /// Whether these have no log, and others have.
    fn never_ran(&self, voters: &BTreeSet<usize>) -> bool {
        let has_log = |node: &usize| self.machines[*node].has_log();
        !voters.iter().any(has_log) && (0..self.machines.len()).any(|node| has_log(&node))
    }

    /// The files say something else.
    fn on_file(&mut self, fault: &Fault) {
        match fault {
            // By a file of which all voters never ran they found a cluster, beside the one that there may be.
            Fault::Configure { voters } if self.never_ran(voters) => {}
            Fault::Configure { voters } => {
                let names: BTreeSet<NodeName> =
                    voters.iter().map(|&node| self.machines[node].name.clone()).collect();
                let all: Vec<&str> = names.iter().map(NodeName::as_str).collect();
                self.tell(format!("the file says that {} vote", all.join(", ")));
                for (name, node) in &mut self.settings.spec.nodes {
                    node.voter = names.contains(name);
                }
            }
            Fault::Forget(node) => {
                self.tell(format!("{} is taken out of the files of the others", self.machines[*node].name));
                self.forgotten.insert(*node);
            }
            Fault::Remember(node) => {
                self.tell(format!("{} is in the files of the others again", self.machines[*node].name));
                self.forgotten.remove(node);
            }
            Fault::DecideBy(place) => {
                self.tell(format!("the file says that {place} decides"));
                let tie_break = TieBreakSpec { place: place.clone(), timeout: TIMEOUT };
                self.settings.spec.tie_break = Some(tie_break);
            }
            Fault::Guard { resource, guard } => {
                let what = match guard {
                    Guard::Lease => "a lease",
                    Guard::Fence => "a fence",
                    Guard::None => "nothing",
                };
                self.tell(format!("the file says that {what} guards {resource}"));
                if let Some(known) = self.settings.spec.resources.get_mut(resource) {
                    known.guard = *guard;
                }
            }
            Fault::Retime(timing) => {
                self.tell(format!("the file says that a node is lost after {:?}", timing.lost_after));
                self.settings.spec.timing = *timing;
            }
            _ => {}
        }
        self.digest += 1;
    }

    /// Has this machine read its file: what it says, and its digest.
    pub(crate) fn read_file(&mut self, node: usize) -> (Spec, u64) {
        let mut spec = self.settings.spec.clone();
        let odd = self.settings.odd.as_ref().filter(|(name, _)| *name == self.machines[node].name);
        spec.timing = odd.map_or(spec.timing, |(_, timing)| *timing);
        let is_forgotten = self.forgotten.contains(&node);
        if !is_forgotten {
            let gone: Vec<&NodeName> =
                self.forgotten.iter().map(|&place| &self.machines[place].name).collect();
            spec.nodes.retain(|name, _| !gone.contains(&name));
        }
        let known = |place: &usize| spec.nodes.contains_key(&self.machines[*place].name);
        let mut by_slot: Vec<usize> = (0..self.machines.len()).filter(known).collect();
        by_slot.sort_unstable_by_key(|&place| self.machines[place].id);
        self.by_slot[node] = by_slot;
        (spec, self.digest - u64::from(is_forgotten))
    }

    /// Something stands still for a while; what stands still for longer as it is goes on doing so.
    fn on_stand_still(&mut self, fault: &Fault) -> Result<(), Broken> {
        let name = |world: &World, node: usize| -> NodeName { world.machines[node].name.clone() };
        let now = self.now;
        let extend = |until: &mut Nanos, lasts: Nanos| *until = (*until).max(now + lasts);
        match *fault {
            // Nothing of it runs.
            Fault::Freeze { node, .. }
            | Fault::StallCore { node, .. }
            | Fault::StallPulse { node, .. }
            | Fault::StallExecutor { node, .. }
            | Fault::StallGuardian { node, .. }
            | Fault::Pause { node, .. }
                if self.machines[node].power == Power::Off => {}
            Fault::Freeze { node, lasts } => {
                self.tell(format!("{} stands still for {} ms", name(self, node), lasts / ms(1)));
                extend(&mut self.machines[node].frozen_until, lasts);
            }
            Fault::StallCore { node, lasts } => {
                self.tell(format!("the core of {} stands still for {} ms", name(self, node), lasts / ms(1)));
                extend(&mut self.machines[node].core_stalled_until, lasts);
            }
            Fault::StallPulse { node, lasts } => {
                let name = name(self, node);
                self.tell(format!("the heartbeats of {name} stand still for {} ms", lasts / ms(1)));
                extend(&mut self.machines[node].pulse_stalled_until, lasts);
            }
            Fault::StallExecutor { node, lasts } => {
                let name = name(self, node);
                self.tell(format!("the executor of {name} stands still for {} ms", lasts / ms(1)));
                extend(&mut self.machines[node].executor_stalled_until, lasts);
            }
            Fault::StallGuardian { node, lasts } => {
                let name = name(self, node);
                self.tell(format!("the guardian of {name} stands still for {} ms", lasts / ms(1)));
                extend(&mut self.machines[node].guardian_stalled_until, lasts);
            }
            Fault::Pause { node, .. }
                if !self.machines[node].may_be_paused() || self.machines[node].is_paused(now) => {}
            Fault::Pause { node, lasts } => {
                self.tell(format!("{} is paused for {} ms", name(self, node), lasts / ms(1)));
                self.machines[node].pause(self.now, lasts);
                self.look(None)?;
                self.push(self.now + lasts, Happening::Look);
            }
            _ => {}
        }
        Ok(())
    }

    /// Somebody is not reached, or again.
    fn on_network(&mut self, fault: &Fault) {
        let name = |world: &World, node: usize| -> NodeName { world.machines[node].name.clone() };
        match *fault {
            Fault::Hold { from, to, lasts } => {
                let (one, other) = (name(self, from), name(self, to));
                self.tell(format!("what {one} sends to {other} is held up for {} ms", lasts / ms(1)));
                self.held.insert((from, to), self.now + lasts);
            }
            Fault::Mend { from, to } => {
                self.tell(format!("{} reaches {}", name(self, from), name(self, to)));
                self.cut.remove(&(from, to));
            }
            Fault::Cut { from, to } => {
                self.tell(format!("{} does not reach {}", name(self, from), name(self, to)));
                self.cut.insert((from, to));
            }
            Fault::Heal => {
                self.tell("the network is whole");
                self.cut.clear();
                self.held.clear();
            }
            Fault::Loss(loss) => self.settings.loss = loss,
            _ => {}
        }
    }

    /// A machine is sick, or well again.
    fn on_sickness(&mut self, fault: &Fault) {
        match *fault {
            Fault::Sicken { node, with } if self.machines[node].sick.insert(with) => {
                self.tell(format!("{} is sick: {with}", self.machines[node].name));
                self.find_out(node, with);
            }
            Fault::Cure { node, of } if self.machines[node].sick.remove(&of) => {
                self.tell(format!("{} is well again: {of} no longer", self.machines[node].name));
                self.tell_core(node, CoreEvent::Health(HealthChange::Ended(of)));
            }
            _ => {}
        }
    }

    /// Begins a core, which is told how its machine is.
    fn begin(&mut self, node: usize, how: fn(&mut Machine, Nanos, &Spec, u64)) {
        let (spec, digest) = self.read_file(node);
        self.claims.on_boot(&self.machines[node].name);
        how(&mut self.machines[node], self.now, &spec, digest);
        for with in self.machines[node].sick.clone() {
            self.find_out(node, with);
        }
    }

    fn find_out(&mut self, node: usize, with: Ailment) {
        self.tell_core(node, CoreEvent::Health(HealthChange::Began(with, "as the story says".into())));
    }

    /// A disk does not do what it should, or again.
    fn on_disk(&mut self, fault: &Fault) {
        let name = |world: &World, node: usize| -> NodeName { world.machines[node].name.clone() };
        match *fault {
            Fault::StallDisk(node) => self.disk(node, true),
            Fault::MendDisk(node) => self.disk(node, false),
            Fault::LoseDisk(node) => {
                // Without a quorum that keeps its logs it would be no loss of one disk but of the history.
                let electors = self.electors();
                let others = electors.iter().filter(|place| **place != node);
                let keep = others.filter(|place| self.is_whole(**place)).count();
                let voters = electors.len();
                // While the voters change, which logs make a quorum is not for this world to say.
                if self.digest > 1 {
                    return;
                }
                if self.machines[node].power == Power::Off && keep > voters / 2 {
                    self.tell(format!("{} gets an empty disk", name(self, node)));
                    self.machines[node].disk.durable = None;
                }
            }
            Fault::LoseTail { node, bytes } => {
                self.tell(format!("the disk of {} loses its last {bytes} bytes", name(self, node)));
                let durable = self.machines[node].disk.durable.as_mut();
                durable.into_iter().for_each(|file| file.truncate(file.len().saturating_sub(bytes)));
            }
            _ => {}
        }
    }

    fn disk(&mut self, node: usize, stalled: bool) {
        let name = self.machines[node].name.clone();
        self.tell(format!(
            "the disk of {name} {}",
            if stalled { "does not answer" } else { "answers again" }
        ));
        self.machines[node].disk_stalled = stalled;
        self.tell_core(node, CoreEvent::Disk { works: !stalled });
    }
}
