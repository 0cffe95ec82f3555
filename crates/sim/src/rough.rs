//! The rough part of a world: which faults come, and when.
//!
//! Faults at random moments seldom meet. So most of them are timed around lost-after, where the edges are, and some come
//! in company: the combinations that a rule of SAFETY exists for.

mod files;

use heart_model::{Ailment, NodeName, ResourceName};
use heart_node::core::Request;

use crate::{Chance, Device, Fault, Nanos, World, ms};

/// What all worlds run.
const RESOURCES: [&str; 3] = ["address", "site", "cache"];

pub(crate) fn resource(text: &str) -> ResourceName {
    ResourceName::new(text).expect("a name")
}

/// Schedules trouble.
pub(crate) struct Rough<'a> {
    chance: &'a mut Chance,
    names: Vec<NodeName>,
    lost_after: Nanos,
    /// Troubles so far begin before this, counted from the beginning of the world.
    at: Nanos,
    /// Some of them last until then.
    ends: Nanos,
    disk_lost: bool,
}

impl<'a> Rough<'a> {
    pub(crate) fn new(chance: &'a mut Chance, names: Vec<NodeName>, lost_after: Nanos) -> Rough<'a> {
        Rough { chance, names, lost_after, at: lost_after, ends: 0, disk_lost: false }
    }

    /// Schedules all of it, with machines that are `sick` at times; when the last of it begins.
    pub(crate) fn schedule(mut self, world: &mut World, sick: bool) -> Nanos {
        let first = world.voters();
        if first.len() == 1 && self.names.len() > 1 && self.chance.happens(800) {
            self.grow(world, first[0]);
            return self.at.max(self.ends);
        }
        for place in 0..self.names.len() {
            let wait = self.chance.below(self.lost_after);
            world.schedule(wait, Fault::PowerOn(place));
        }
        let quiet = self.chance.happens(700);
        if quiet {
            // Something runs before anything goes wrong.
            self.at = self.lost_after * 4;
            if world.changes_guards() {
                self.reguard(world);
                self.at = self.ends;
            }
        }
        // Votes that were given under another file, before there was a history, take a person.
        let anew = quiet && self.names.len() > 2 && self.chance.happens(200);
        if anew {
            self.configure(world);
        }
        for _ in 0..self.chance.between(4, 24) {
            let gap = [self.lost_after / 20, self.lost_after / 2, self.lost_after * 2];
            let gap = gap[self.chance.below(3) as usize];
            self.at += self.chance.below(gap + 1);
            if self.chance.happens(150) { self.company(world) } else { self.trouble(world) }
        }
        self.at = self.at.max(self.ends);
        if sick {
            self.sickness(world);
        }
        if anew || world.changes_guards() {
            // Whoever has not heard of it does at the end.
            (0..self.names.len()).for_each(|node| world.schedule(self.at, Fault::KillCore(node)));
        }
        self.at
    }

    /// A cluster of one is to grow, and the new nodes do not always reach it (rule 16).
    fn grow(&mut self, world: &mut World, first: usize) {
        let nodes = self.names.len();
        world.schedule(0, Fault::PowerOn(first));
        self.at = self.lost_after * 4;
        if self.chance.happens(700) {
            self.cut_off(world, self.at, first);
        }
        world.schedule(self.at, Fault::Configure { voters: (0..nodes).collect() });
        for place in self.others(first) {
            let wait = self.chance.below(self.lost_after);
            world.schedule(self.at + wait, Fault::PowerOn(place));
        }
        let hears = self.at + self.edge() * 4;
        world.schedule(hears, Fault::KillCore(first));
        for _ in 0..self.chance.between(2, 12) {
            self.at += self.chance.below(self.lost_after);
            self.trouble(world);
        }
        self.at = self.at.max(hears);
        (0..nodes).for_each(|node| world.schedule(self.at, Fault::KillCore(node)));
    }

    fn node(&mut self) -> usize {
        self.chance.below(self.names.len() as u64) as usize
    }

    /// A node other than this, if there is one.
    fn other(&mut self, than: usize) -> usize {
        (than + 1 + self.chance.below(self.names.len() as u64 - 1) as usize) % self.names.len()
    }

    fn others(&self, than: usize) -> Vec<usize> {
        (0..self.names.len()).filter(|&place| place != than).collect()
    }

    /// A time around lost-after: where the edges are.
    fn edge(&mut self) -> Nanos {
        self.chance.between(self.lost_after / 8, self.lost_after * 3)
    }

    fn trouble(&mut self, world: &mut World) {
        if world.has_fences_on_disk() {
            if self.chance.happens(400) {
                return self.disk_trouble(world);
            }
        } else if world.has_storage_devices() && self.chance.happens(250) {
            return self.in_and_out(world);
        } else if world.has_devices() && self.chance.happens(400) {
            return self.shot(world);
        }
        if world.has_watchdogs() && self.chance.happens(250) {
            return self.stuck(world);
        }
        if world.changes_guards() && self.chance.happens(150) {
            return self.reguard(world);
        }
        let (at, node, lasts) = (self.at, self.node(), self.edge());
        if world.is_paused_at_times() && self.chance.happens(300) {
            return world.schedule(at, Fault::Pause { node, lasts });
        }
        if world.spec().tie_break.is_some() && self.chance.happens(200) {
            if self.chance.happens(100) {
                world.schedule(at, Fault::ForgetTieBreak);
            }
            world.schedule(at, Fault::TieBreak { node, reached: false });
            return world.schedule(at + lasts, Fault::TieBreak { node, reached: true });
        }
        match self.chance.below(21) {
            0 | 1 => self.power_cut(world, node),
            2 | 3 => world.schedule(at, Fault::Freeze { node, lasts }),
            4 => world.schedule(at, Fault::StallCore { node, lasts }),
            5 => world.schedule(at, Fault::KillCore(node)),
            6 | 7 => self.partition(world),
            8 => {
                let to = self.node();
                if to != node {
                    world.schedule(at, Fault::Cut { from: node, to });
                }
            }
            9 => self.isolate(world, node),
            10 | 11 => world.schedule(at, Fault::Heal),
            12 => {
                world.schedule(at, Fault::StallDisk(node));
                world.schedule(at + lasts, Fault::MendDisk(node));
            }
            13 => {
                let which = self.resource(world);
                world.schedule(at, Fault::KillService(which));
            }
            14 => world.schedule(at, Fault::Loss([0, 0, 100, 300][self.chance.below(4) as usize])),
            15 => world.schedule(at, Fault::StallPulse { node, lasts }),
            16 => world.schedule(at, Fault::StallExecutor { node, lasts }),
            17 => self.hold(world, node),
            18 => {
                let back = at + lasts + self.edge();
                world.schedule(at, Fault::Leave(node));
                world.schedule(at + lasts, Fault::PowerCut(node));
                world.schedule(back, Fault::PowerOn(node));
            }
            _ => self.ask(world, node),
        }
    }

    /// A node is cut off, for about as long as it takes until it counts as off, and something of it stands still that is
    /// needed to let go, or to feed its watchdog (rule 11).
    fn stuck(&mut self, world: &mut World) {
        let (node, at) = (self.node(), self.at);
        let timing = world.timing();
        let deadline = timing.watchdog().as_nanos() as Nanos;
        let lasts = self.chance.between(deadline / 2, timing.self_fence().as_nanos() as Nanos * 3 / 2);
        self.cut_off(world, at, node);
        self.mend(world, at + lasts, node);
        let late = at + self.chance.below(deadline * 2);
        match self.chance.below(6) {
            0 => world.schedule(at, Fault::StallCore { node, lasts }),
            1 => world.schedule(at, Fault::Freeze { node, lasts }),
            2 => {
                let lasts = self.chance.below(deadline * 2);
                world.schedule(late, Fault::StallGuardian { node, lasts });
            }
            3 | 4 => {
                world.schedule(at, Fault::StallExecutor { node, lasts });
                let lasts = self.chance.below(deadline);
                world.schedule(late, Fault::StallGuardian { node, lasts });
            }
            _ => {}
        }
        // The last stop of a guardian, and the reset that it may end with.
        self.ends = self.ends.max(at + lasts.max(deadline * 5));
        self.at += self.chance.below(lasts);
    }

    /// Somebody has a node shut out whose lease runs, and which hears nothing of it for a while (rule 7).
    fn shut_out_unawares(&mut self, world: &mut World, node: usize) {
        let (at, lasts, asked) = (self.at, self.edge(), self.other(node));
        if self.chance.happens(500) {
            world.schedule(at, Fault::StallPulse { node, lasts });
        } else {
            self.cut_off(world, at, node);
            self.mend(world, at + lasts, node);
        }
        let request = Request::Fence {
            node: self.names[node].clone(),
            who: "somebody".to_owned(),
            anyway: true,
            reboot: false,
        };
        let wait = self.chance.below(self.lost_after / 4);
        world.schedule(at + wait, Fault::Ask { node: asked, request });
        self.ends = self.ends.max(at + lasts);
        self.at += self.chance.below(lasts);
    }

    /// A node is cut off for about as long as it takes until it is shut out, and meanwhile or just when it is back
    /// something of it stands still, ends, or cannot be stopped (rules 10 to 12).
    fn in_and_out(&mut self, world: &mut World) {
        let (node, at) = (self.node(), self.at);
        if self.names.len() > 1 && self.chance.happens(150) {
            return self.shut_out_unawares(world, node);
        }
        let lasts = self.chance.between(self.lost_after / 2, self.lost_after * 2 + ms(1_200));
        self.cut_off(world, at, node);
        self.mend(world, at + lasts, node);
        let moment = at + self.chance.below(lasts + self.lost_after);
        let stands = self.edge();
        match self.chance.below(8) {
            0 => world.schedule(moment, Fault::KillCore(node)),
            1 => world.schedule(moment, Fault::StallExecutor { node, lasts: stands }),
            2 => world.schedule(moment, Fault::Freeze { node, lasts: stands }),
            3 => {
                world.schedule(moment, Fault::PowerCut(node));
                world.schedule(moment + stands, Fault::PowerOn(node));
            }
            4 => world.schedule(at, Fault::Stick(node)),
            5 | 6 => {
                world.schedule(moment, Fault::Device { node, device: Device::Mute });
                world.schedule(moment + stands, Fault::Device { node, device: Device::Works });
                world.schedule(moment + self.chance.below(ms(600)), Fault::KillCore(node));
            }
            _ => {}
        }
        self.ends = self.ends.max(at + lasts);
        self.at += self.chance.below(lasts + self.lost_after);
    }

    /// The disk that all share is not what it should be to one machine or to all, or a machine that is cut off stands
    /// still.
    fn disk_trouble(&mut self, world: &mut World) {
        let (node, at) = (self.node(), self.at);
        let longest = world.timing().disk_fence().as_nanos() as Nanos;
        let lasts = self.edge() + if self.chance.happens(300) { self.chance.below(longest) } else { 0 };
        let (gone, slow) = match self.chance.below(6) {
            0 | 1 => (vec![node], vec![]),
            2 => ((0..self.names.len()).collect(), vec![]),
            3 => (vec![], vec![node]),
            4 => (vec![], (0..self.names.len()).collect()),
            _ => return self.stuck(world),
        };
        for node in gone {
            world.schedule(at, Fault::SharedDisk { node, reached: false });
            world.schedule(at + lasts, Fault::SharedDisk { node, reached: true });
        }
        for node in slow {
            let takes = self.chance.between(ms(1), self.lost_after * 2);
            world.schedule(at, Fault::SlowSharedDisk { node, takes });
            world.schedule(at + lasts, Fault::SlowSharedDisk { node, takes: 0 });
        }
        self.ends = self.ends.max(at + lasts);
    }

    /// A device is no longer what it was, something cannot be stopped, or somebody has a node switched off or on.
    fn shot(&mut self, world: &mut World) {
        let (at, node, asked) = (self.at, self.node(), self.node());
        let devices =
            [Device::Works, Device::Refuses, Device::Mute, Device::DoesNothing, Device::LiesIfHeard];
        let device = devices[self.chance.below(5) as usize];
        let (name, who) = (self.names[node].clone(), "somebody".to_owned());
        match self.chance.below(11) {
            0..=3 => match world.devices_of(node) {
                0 | 1 => world.schedule(at, Fault::Device { node, device }),
                all => {
                    let which = self.chance.below(all as u64) as usize;
                    world.schedule(at, Fault::OneDevice { node, which, device });
                }
            },
            4..=6 => (0..self.names.len()).for_each(|node| world.schedule(at, Fault::PowerOn(node))),
            7 => world.schedule(at, Fault::Stick(node)),
            8 => {
                let (anyway, reboot) = (self.chance.happens(700), self.chance.happens(500));
                let request = Request::Fence { node: name, who, anyway, reboot };
                world.schedule(at, Fault::Ask { node: asked, request });
            }
            9 => {
                // What lies is asked for a node that is heard.
                let lasts = self.edge() * 4;
                world.schedule(at, Fault::Device { node, device: Device::LiesIfHeard });
                world.schedule(at + lasts, Fault::Device { node, device: Device::Works });
                let request = Request::Fence { node: name, who, anyway: true, reboot: false };
                world.schedule(at + 1, Fault::Ask { node: asked, request });
            }
            _ => {
                let request = Request::Unfence { node: name, who };
                world.schedule(at, Fault::Ask { node: asked, request });
            }
        }
    }

    /// Troubles that together are what a rule is for.
    fn company(&mut self, world: &mut World) {
        if self.names.len() == 1 {
            return self.trouble(world);
        }
        match self.chance.below(7) {
            0 => self.outage(world),
            1 => self.quick_restart(world),
            2 => self.forgetful(world),
            3 => self.late_answers(world),
            4 => self.awake_again(world),
            5 => self.struck_dumb(world),
            _ => self.restless(world),
        }
    }

    /// Machines fall sick while all the rest goes on, several at once too; some are well again soon.
    fn sickness(&mut self, world: &mut World) {
        for _ in 0..self.chance.between(1, 6) {
            let (node, begin) = (self.node(), self.chance.below(self.at));
            let with = Ailment::ALL[self.chance.below(Ailment::ALL.len() as u64) as usize];
            world.schedule(begin, Fault::Sicken { node, with });
            if self.chance.happens(600) {
                world.schedule(begin + self.edge(), Fault::Cure { node, of: with });
            }
        }
    }

    fn power_cut(&mut self, world: &mut World, node: usize) {
        world.schedule(self.at, Fault::PowerCut(node));
        let back = self.at + self.edge();
        if !self.disk_lost && self.chance.happens(150) {
            self.disk_lost = true;
            world.schedule(self.at + 1, Fault::LoseDisk(node));
        }
        world.schedule(back, Fault::PowerOn(node));
    }

    /// Two sides that do not reach each other, or only one way.
    fn partition(&mut self, world: &mut World) {
        let sides: Vec<bool> = (0..self.names.len()).map(|_| self.chance.happens(500)).collect();
        let one_way = self.chance.happens(300);
        for from in 0..self.names.len() {
            for to in 0..self.names.len() {
                if sides[from] != sides[to] && (sides[from] || !one_way) {
                    world.schedule(self.at, Fault::Cut { from, to });
                }
            }
        }
    }

    /// One machine is deaf, dumb or both.
    fn isolate(&mut self, world: &mut World, node: usize) {
        let (deaf, dumb) = [(true, false), (false, true), (true, true)][self.chance.below(3) as usize];
        for other in self.others(node) {
            if deaf {
                world.schedule(self.at, Fault::Cut { from: other, to: node });
            }
            if dumb {
                world.schedule(self.at, Fault::Cut { from: node, to: other });
            }
        }
    }

    fn cut_off(&self, world: &mut World, at: Nanos, node: usize) {
        for other in self.others(node) {
            world.schedule(at, Fault::Cut { from: node, to: other });
            world.schedule(at, Fault::Cut { from: other, to: node });
        }
    }

    fn mend(&self, world: &mut World, at: Nanos, node: usize) {
        for other in self.others(node) {
            world.schedule(at, Fault::Mend { from: node, to: other });
            world.schedule(at, Fault::Mend { from: other, to: node });
        }
    }

    /// What one machine sends, or is sent, arrives late, all of it at once.
    fn hold(&mut self, world: &mut World, node: usize) {
        let (lasts, to) = (self.edge(), self.chance.happens(500));
        for other in self.others(node) {
            let (from, to) = if to { (other, node) } else { (node, other) };
            if self.chance.happens(700) {
                world.schedule(self.at, Fault::Hold { from, to, lasts });
            }
        }
    }

    /// Something that runs, copies and promotions too where there are any.
    fn resource(&mut self, world: &World) -> ResourceName {
        let mut all: Vec<ResourceName> = RESOURCES.iter().map(|name| resource(name)).collect();
        let copied = |name: &ResourceName| !RESOURCES.contains(&name.as_str());
        all.extend(world.spec().grantable().into_keys().filter(copied));
        all.swap_remove(self.chance.below(all.len() as u64) as usize)
    }

    fn ask(&mut self, world: &mut World, node: usize) {
        let target = self.node();
        let target = self.names[target].clone();
        let which = self.resource(world);
        let request = match self.chance.below(4) {
            0 | 1 => Request::Move { resource: which, to: Some(target).filter(|_| self.chance.happens(700)) },
            2 => {
                let back = Request::Resume { node: target.clone() };
                let later = self.at + self.edge();
                world.schedule(later, Fault::Ask { node, request: back });
                Request::Standby { node: target }
            }
            _ => Request::Forgive { resource: None },
        };
        world.schedule(self.at, Fault::Ask { node, request });
    }

    /// Many machines lose power in the same instant (rule 15).
    fn outage(&mut self, world: &mut World) {
        for node in 0..self.names.len() {
            if self.chance.happens(700) {
                let back = self.at + self.edge() / 2;
                world.schedule(self.at, Fault::PowerCut(node));
                world.schedule(back, Fault::PowerOn(node));
            }
        }
    }

    /// The last voter that hears somebody restarts quickly, and does not hear it any more (rule 5).
    fn quick_restart(&mut self, world: &mut World) {
        let (node, at) = (self.node(), self.at);
        let voter = self.other(node);
        for other in self.others(node) {
            if other != voter {
                world.schedule(at, Fault::Cut { from: node, to: other });
                world.schedule(at, Fault::Cut { from: other, to: node });
            }
        }
        let later = at + self.chance.between(self.lost_after / 2, self.lost_after * 2);
        world.schedule(later, Fault::PowerCut(voter));
        world.schedule(later, Fault::Cut { from: node, to: voter });
        world.schedule(later, Fault::Cut { from: voter, to: node });
        let back = later + self.chance.between(ms(5), self.lost_after / 4);
        world.schedule(back, Fault::PowerOn(voter));
        self.at = back;
    }

    /// One lags behind, another forgets, the third is gone: who is left must not decide (rule 16).
    fn forgetful(&mut self, world: &mut World) {
        let (lags, mut at) = (self.node(), self.at);
        let forgets = self.other(lags);
        if self.chance.happens(300) {
            // Not for the first time: somebody keeps what it was taken in with the last time.
            world.schedule(at, Fault::PowerCut(forgets));
            world.schedule(at + 1, Fault::LoseDisk(forgets));
            let back = at + self.chance.below(self.lost_after * 2);
            world.schedule(back, Fault::PowerOn(forgets));
            at = back + self.chance.below(self.lost_after * 3);
        }
        self.cut_off(world, at, lags);
        let later = at + self.chance.between(self.lost_after, self.lost_after * 4);
        world.schedule(later, Fault::PowerCut(forgets));
        world.schedule(later + 1, Fault::LoseDisk(forgets));
        for gone in self.others(lags).into_iter().filter(|&gone| gone != forgets) {
            self.cut_off(world, later + 2, gone);
        }
        for (one, other) in [(lags, forgets), (forgets, lags)] {
            world.schedule(later + 3, Fault::Mend { from: one, to: other });
        }
        let back = later + self.chance.between(ms(5), self.lost_after);
        world.schedule(back, Fault::PowerOn(forgets));
        self.at = back;
    }

    /// Answers to an owner arrive long after they were given, when nobody hears it any more (rule 2).
    fn late_answers(&mut self, world: &mut World) {
        let (node, at) = (self.node(), self.at);
        let lasts = self.chance.between(self.lost_after / 4, self.lost_after * 3 / 2);
        for other in self.others(node) {
            world.schedule(at, Fault::Hold { from: other, to: node, lasts });
            let dumb = at + self.chance.below(lasts);
            world.schedule(dumb, Fault::Cut { from: node, to: other });
        }
        self.at += lasts;
    }

    /// Nobody hears one machine any more, which hears all that was said to it until then: between its
    /// last acknowledgement and the voters' verdict lies nothing but the rules (rules 2 and 7).
    fn struck_dumb(&mut self, world: &mut World) {
        let (node, at) = (self.node(), self.at);
        let back = at + self.lost_after + self.chance.below(self.lost_after);
        for to in self.others(node) {
            world.schedule(at, Fault::Cut { from: node, to });
            world.schedule(back, Fault::Mend { from: node, to });
        }
        self.at = back;
    }

    /// An owner is silent for about as long as it takes to lose what it has, and then goes on (rules
    /// 4 and 8).
    fn awake_again(&mut self, world: &mut World) {
        let (node, at) = (self.node(), self.at);
        let lasts = self.lost_after + self.chance.below(self.lost_after);
        if self.chance.happens(500) {
            world.schedule(at, Fault::Freeze { node, lasts });
        } else {
            self.cut_off(world, at, node);
            let back = at + lasts;
            self.mend(world, back, node);
            let lasts = lasts + self.chance.below(self.lost_after);
            match self.chance.below(3) {
                0 => world.schedule(at, Fault::StallCore { node, lasts }),
                1 => world.schedule(at, Fault::StallExecutor { node, lasts }),
                _ => {}
            }
        }
        self.at += lasts;
    }

    /// Moves here and there while operations are slow and executors stand still (rule 10).
    fn restless(&mut self, world: &mut World) {
        for _ in 0..4 {
            let node = self.node();
            self.ask(world, node);
            let (node, lasts) = (self.node(), self.chance.below(self.lost_after));
            if self.chance.happens(500) {
                world.schedule(self.at, Fault::StallExecutor { node, lasts });
            }
            self.at += self.chance.below(self.lost_after / 2);
        }
    }
}
