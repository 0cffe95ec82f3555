//! Worlds in which things go wrong at random, and then stop going wrong.
//!
//! A world has a rough part, in which faults of every kind come and go, and a calm part, at the end
//! of which a healthy quorum must have everything running, and nothing may have been restarted by
//! the healing as such.

use heart_model::{
    AgentRef, ClusterSpec, Duration, GroupName, GroupSpec, Guard, LinkAddress, LogicalTimeouts, Name,
    NodeName, NodeSpec, Profile, ResourceName, ResourceSpec, Spec, Timing,
};
use std::collections::BTreeMap;

use crate::{Broken, Chance, Fault, Nanos, World, WorldSettings};

/// How long after the last fault a healthy cluster may take until everything runs, in lost-afters.
/// Six to find a leader in the worst case, with its retries; the rest for takeovers and starts.
const CALM: u64 = 14;

/// What a world came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How much time passed in it, times its nodes, in nanoseconds.
    pub node_time: u128,
    /// How many events there were.
    pub events: u64,
    /// How often something was started.
    pub starts: u64,
    /// What happened, if it was kept.
    pub story: Vec<String>,
    /// The claim that did not hold.
    pub broken: Option<Broken>,
}

fn name(place: usize) -> NodeName {
    const NAMES: [&str; 7] = ["ada", "bob", "cyn", "dan", "eve", "fay", "gus"];
    NodeName::new(NAMES[place]).expect("a name")
}

fn resource(text: &str) -> ResourceName {
    ResourceName::new(text).expect("a name")
}

/// A cluster of `voters` voters and `members` others, with a group of two and a resource alone.
#[must_use]
pub fn spec(voters: usize, members: usize, timing: Timing) -> Spec {
    let node = |place: usize| {
        let addresses = (0..2).map(|link| LinkAddress([10, link, 0, 1 + place as u8].into())).collect();
        (name(place), NodeSpec { addresses, voter: place < voters })
    };
    let timeouts = LogicalTimeouts {
        start: Duration::from_secs(5),
        stop: Duration::from_secs(5),
        status: Duration::from_secs(5),
        status_every: Duration::from_secs(10),
    };
    let one = |agent: &str| ResourceSpec {
        agent: AgentRef::BuiltIn(agent.into()),
        parameters: BTreeMap::new(),
        guard: Guard::Lease,
        timeouts,
        failures_max: 1000,
        prefers: Vec::new(),
    };
    let group = GroupSpec { members: vec![resource("address"), resource("site")], prefers: vec![name(0)] };
    Spec {
        cluster: ClusterSpec {
            name: Name::new("web").expect("a name"),
            key_file: String::new(),
            port: 694,
            links: vec![],
        },
        timing,
        nodes: (0..voters + members).map(node).collect(),
        resources: [
            (resource("address"), one("ip")),
            (resource("site"), one("process")),
            (resource("cache"), one("process")),
        ]
        .into(),
        groups: [(GroupName::new("web").expect("a name"), group)].into(),
    }
}

fn settings(chance: &mut Chance, seed: u64) -> WorldSettings {
    let voters = [1, 2, 3, 3, 3, 3, 3, 5, 5, 7][chance.below(10) as usize];
    let members = if voters == 3 { [0, 0, 0, 1, 2][chance.below(5) as usize] } else { 0 };
    let timing = Timing::of(Profile::Default);
    let slow = [400_000, 2_000_000, 10_000_000, 40_000_000][chance.below(4) as usize];
    WorldSettings {
        spec: spec(voters, members, timing),
        seed,
        drift_ppm: [100, 5_000, 9_900][chance.below(3) as usize],
        delay: (50_000, slow),
        loss: [0, 0, 20, 100][chance.below(4) as usize],
        doubles: [0, 20][chance.below(2) as usize],
        sync: (100_000, [1_000_000, 10_000_000, 80_000_000][chance.below(3) as usize]),
        operation: (500_000, [2_000_000, 50_000_000][chance.below(2) as usize]),
    }
}

struct Rough<'a> {
    chance: &'a mut Chance,
    nodes: usize,
    lost_after: Nanos,
    at: Nanos,
    disk_lost: bool,
}

impl Rough<'_> {
    fn node(&mut self) -> usize {
        self.chance.below(self.nodes as u64) as usize
    }

    /// A time around lost-after: where the edges are.
    fn edge(&mut self) -> Nanos {
        self.chance.between(self.lost_after / 8, self.lost_after * 3)
    }

    fn trouble(&mut self, world: &mut World) {
        let (at, node) = (self.at, self.node());
        match self.chance.below(15) {
            0 | 1 => {
                world.schedule(at, Fault::PowerCut(node));
                let back = at + self.edge();
                if !self.disk_lost && self.chance.happens(150) {
                    self.disk_lost = true;
                    world.schedule(at + 1, Fault::LoseDisk(node));
                }
                world.schedule(back, Fault::PowerOn(node));
            }
            2 | 3 => {
                let lasts = self.edge();
                world.schedule(at, Fault::Freeze { node, lasts });
            }
            4 => {
                let lasts = self.edge();
                world.schedule(at, Fault::StallCore { node, lasts });
            }
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
                let back = at + self.edge();
                world.schedule(back, Fault::MendDisk(node));
            }
            13 => {
                let which = ["address", "site", "cache"][self.chance.below(3) as usize];
                world.schedule(at, Fault::KillService(resource(which)));
            }
            _ => {
                let loss = [0, 0, 100, 300][self.chance.below(4) as usize];
                world.schedule(at, Fault::Loss(loss));
            }
        }
    }

    /// Two sides that do not reach each other, or only one way.
    fn partition(&mut self, world: &mut World) {
        let sides: Vec<bool> = (0..self.nodes).map(|_| self.chance.happens(500)).collect();
        let one_way = self.chance.happens(300);
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                if sides[from] != sides[to] && (sides[from] || !one_way) {
                    world.schedule(self.at, Fault::Cut { from, to });
                }
            }
        }
    }

    /// One machine is deaf, dumb or both.
    fn isolate(&mut self, world: &mut World, node: usize) {
        let (deaf, dumb) = [(true, false), (false, true), (true, true)][self.chance.below(3) as usize];
        for other in (0..self.nodes).filter(|&other| other != node) {
            if deaf {
                world.schedule(self.at, Fault::Cut { from: other, to: node });
            }
            if dumb {
                world.schedule(self.at, Fault::Cut { from: node, to: other });
            }
        }
    }
}

/// Runs the world of this seed.
#[must_use]
pub fn run(seed: u64, keep_notes: bool) -> Outcome {
    let mut chance = Chance::new(seed.wrapping_mul(0x9e37_79b9));
    let settings = settings(&mut chance, seed);
    let lost_after = settings.spec.timing.lost_after.as_nanos() as Nanos;
    let nodes = settings.spec.nodes.len();
    let mut world = World::new(settings);
    if keep_notes {
        world.keep_notes();
    }
    let broken = play(&mut world, &mut chance, nodes, lost_after).err();
    if keep_notes && std::env::var_os("HEART_SIM_STATE").is_some() {
        (0..nodes).for_each(|place| eprintln!("{:#?}", world.machine(place).core()));
    }
    let starts = ["address", "site", "cache"].iter().map(|one| world.starts(&resource(one))).sum();
    Outcome {
        node_time: u128::from(world.now()) * nodes as u128,
        events: world.events(),
        starts,
        story: world.take_story(),
        broken,
    }
}

fn play(world: &mut World, chance: &mut Chance, nodes: usize, lost_after: Nanos) -> Result<(), Broken> {
    for place in 0..nodes {
        let wait = chance.below(lost_after);
        world.schedule(wait, Fault::PowerOn(place));
    }
    let mut rough = Rough { chance, nodes, lost_after, at: lost_after, disk_lost: false };
    let troubles = rough.chance.between(4, 24);
    for _ in 0..troubles {
        let gap = [lost_after / 20, lost_after / 2, lost_after * 2][rough.chance.below(3) as usize];
        rough.at += rough.chance.below(gap + 1);
        rough.trouble(world);
    }
    let end = rough.at + lost_after * 3;
    world.run(end)?;
    calm(world, nodes);
    world.run(lost_after * CALM)?;
    settled(world, "after the faults")?;
    let before: Vec<u64> =
        ["address", "site", "cache"].iter().map(|one| world.starts(&resource(one))).collect();
    world.run(lost_after * 5)?;
    settled(world, "and later")?;
    let after: Vec<u64> =
        ["address", "site", "cache"].iter().map(|one| world.starts(&resource(one))).collect();
    if before != after {
        return Err(Broken {
            at: world.now(),
            what: "something was restarted although nothing was wrong".into(),
        });
    }
    Ok(())
}

fn calm(world: &mut World, nodes: usize) {
    world.schedule(0, Fault::Heal);
    world.schedule(0, Fault::Loss(0));
    for node in 0..nodes {
        world.schedule(0, Fault::MendDisk(node));
        world.schedule(0, Fault::PowerOn(node));
    }
}

/// A healthy quorum has everything running.
fn settled(world: &World, when: &str) -> Result<(), Broken> {
    for one in ["address", "site", "cache"] {
        if world.owner(&resource(one)).is_none() {
            return Err(Broken {
                at: world.now(),
                what: format!("nobody runs {one}, {when}: all is well, but for that"),
            });
        }
    }
    if let Some(place) = (0..world.size()).find(|&place| !world.takes_part(place)) {
        let what = format!("{} does not take part, {when}", world.machine(place).name);
        return Err(Broken { at: world.now(), what });
    }
    Ok(())
}
