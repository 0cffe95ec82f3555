//! Worlds in which things go wrong at random, and then stop going wrong.
//!
//! A world has a rough part, in which faults of every kind come and go, and a calm part, at the end
//! of which a healthy quorum must have everything running, and nothing may have been restarted by
//! the healing as such.

use heart_model::{
    AgentRef, Ailment, ClusterSpec, Copies, Duration, GroupName, GroupSpec, Guard, LinkAddress,
    LogicalTimeouts, Name, NodeName, NodeSpec, Profile, ResourceName, ResourceSpec, Spec, Timing, WhenSick,
    Wishes,
};
use heart_node::core::Request;
use std::collections::BTreeMap;

use crate::{
    Broken, Chance, Device, Fault, Nanos, World, WorldSettings, ms, parting, pinging,
    rough::{Rough, resource},
    with_devices, with_tie_break, with_watchdogs,
};

/// Of so many worlds, one has a service with copies.
const COPIES_EVERY: u64 = 8;
/// Of so many worlds, one has devices that switch machines off, and something that waits for that.
const FENCED_EVERY: u64 = 8;
/// Which of these that is.
const FENCED: u64 = 5;
/// Of so many worlds, in two something decides between two halves: in one of these, there are devices as well.
const TIED_EVERY: u64 = 16;
/// Which of these that is.
const TIED: [u64; 2] = [1, 13];

/// Of so many worlds, in one every node is reset by its watchdog when it is cut off.
const WATCHED_EVERY: u64 = 16;
/// Which of these that is.
const WATCHED: u64 = 11;

/// Of so many worlds, in two machines are sick at times: in one of these, something has copies.
const SICK_EVERY: u64 = 16;
/// Which of these they are.
const SICK: [u64; 2] = [3, 8];

/// Of so many worlds, in two nodes part while one knows what another does not: in one there are devices, in the other
/// something decides between two halves.
const PARTS_EVERY: u64 = 32;
/// Which of these that is.
const PARTS: [u64; 2] = [21, 17];

/// Of so many worlds, in one little is taken over until a person says so.
const HELD_EVERY: u64 = 4;
/// Which of these that is.
const HELD: u64 = 2;

/// How long a machine is avoided that was sick, and a moment more.
const AVOIDED: Nanos = ms(61_000);

/// How long nothing is moved for somebody who fell sick within five seconds, and a moment more.
const HESITATION: Nanos = ms(12_000);

/// How long after the last fault a healthy cluster may take until everything runs, in lost-afters.
/// Six to find a leader in the worst case, with its retries; the rest for takeovers and starts.
pub(crate) const CALM: u64 = 14;

/// How much longer it may take where a node has to be switched off first, and nobody may be left to say that it was.
pub(crate) const FENCING: Nanos = ms(8_000);

/// How much longer it may take until those vote that the file says, in lost-afters: one node at a time,
/// in the largest cluster.
const ALTERING: u64 = 10;

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

/// A cluster of `voters` voters and `members` others, with a group of two and a resource alone.
#[must_use]
pub fn spec(voters: usize, members: usize, timing: Timing) -> Spec {
    let node = |place: usize| {
        let addresses = (0..2).map(|link| LinkAddress([10, link, 0, 1 + place as u8].into())).collect();
        (
            name(place),
            NodeSpec {
                addresses,
                voter: place < voters,
                capacity: BTreeMap::new(),
                fence: Vec::new(),
                watchdog: None,
                never_paused: false,
            },
        )
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
        failovers_max: heart_model::FAILOVERS,
        needs: BTreeMap::new(),
        promotable: false,
        wishes: Wishes::default(),
    };
    let group = GroupSpec {
        members: vec![resource("address"), resource("site")],
        wishes: Wishes::preferring(vec![name(0)]),
    };
    Spec {
        cluster: ClusterSpec {
            name: Name::new("web").expect("a name"),
            key_file: String::new(),
            port: 694,
            links: vec![],
            when_sick: WhenSick::Move,
            failovers_max: heart_model::FAILOVERS_OF_CLUSTER,
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
        times: BTreeMap::new(),
        tie_break: None,
        pings: BTreeMap::new(),
    }
}

/// The same cluster with a service of which every node has a copy and one is promoted, and something that goes with
/// that one and stands on it.
#[must_use]
pub fn with_copies(mut spec: Spec) -> Spec {
    let mut database = spec.resources[&resource("cache")].clone();
    (database.promotable, database.wishes.copies) = (true, Some(Copies::All));
    let mut follower = spec.resources[&resource("cache")].clone();
    let promoted = Name::new("db").expect("a name");
    (follower.wishes.with, follower.wishes.after) = (vec![promoted.clone()], vec![promoted]);
    spec.resources.extend([(resource("db"), database), (resource("follower"), follower)]);
    spec
}

/// The same cluster with something that nobody takes from a node that may not be off.
#[must_use]
pub fn with_shared_disk(mut spec: Spec) -> Spec {
    let mut disk = spec.resources[&resource("cache")].clone();
    disk.guard = Guard::Fence;
    spec.resources.insert(resource("disk"), disk);
    spec
}

impl World {
    /// How much longer it may take where a node has to be off first.
    fn fencing_takes(&self) -> Nanos {
        let self_fence = self.timing().self_fence().as_nanos() as Nanos;
        match (self.has_watchdogs(), self.has_devices()) {
            // Whoever waits for silence may be the next that is switched on anew.
            (true, _) => self_fence * 3,
            (false, true) => FENCING,
            (false, false) => 0,
        }
    }
}

/// What has to run somewhere when all is well.
pub(crate) fn wanted(world: &World) -> Vec<ResourceName> {
    world.spec().resources.keys().cloned().collect()
}

fn tie(tied: bool, spec: Spec) -> Spec {
    if tied { with_tie_break(spec) } else { spec }
}

/// What a world is there for, beside all that may happen in any.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing else.
    Any,
    /// Machines are sick at times.
    Sick,
    /// Nodes part while one knows what another does not know yet.
    Parts,
}

fn kind(seed: u64) -> Kind {
    match seed {
        _ if SICK.contains(&(seed % SICK_EVERY)) => Kind::Sick,
        _ if PARTS.contains(&(seed % PARTS_EVERY)) => Kind::Parts,
        _ => Kind::Any,
    }
}

fn settings(chance: &mut Chance, seed: u64) -> WorldSettings {
    let fenced = seed % FENCED_EVERY == FENCED;
    let tied = TIED.contains(&(seed % TIED_EVERY));
    let watched = seed % WATCHED_EVERY == WATCHED;
    let sizes = if kind(seed) == Kind::Parts && tied {
        [2, 2, 2, 2, 2, 4, 4, 4, 4, 4]
    } else if kind(seed) == Kind::Parts {
        [3, 3, 3, 3, 4, 4, 4, 5, 5, 7]
    } else if fenced || tied {
        [2, 2, 2, 2, 3, 3, 4, 4, 5, 7]
    } else {
        [1, 2, 3, 3, 3, 3, 3, 5, 5, 7]
    };
    let voters = sizes[chance.below(10) as usize];
    let members = match voters {
        1 => [0, 2, 4][chance.below(3) as usize],
        3 => [0, 0, 0, 1, 2][chance.below(5) as usize],
        _ => 0,
    };
    let timing = match chance.below(8) {
        0 => Timing {
            heartbeat: Duration::from_millis(300),
            lost_after: Duration::from_secs(3),
            let_go: Duration::from_millis(5),
        },
        1 => Timing {
            heartbeat: Duration::from_millis(50),
            lost_after: Duration::from_millis(500),
            let_go: Duration::from_millis(20),
        },
        _ => Timing::of(Profile::Default),
    };
    let lost_after = timing.lost_after.as_nanos() as Nanos;
    let slow = [400_000, 2_000_000, 10_000_000, 40_000_000][chance.below(4) as usize];
    let mut spec = spec(voters, members, timing);
    if seed % HELD_EVERY == HELD {
        spec.cluster.failovers_max = 5;
        spec.resources.values_mut().for_each(|one| one.failovers_max = 2);
    }
    let spec = pinging::ping(seed, spec);
    let settings = WorldSettings {
        spec: tie(
            tied,
            match seed {
                _ if seed.is_multiple_of(COPIES_EVERY) => with_copies(spec),
                _ if fenced => with_shared_disk(with_devices(spec)),
                _ if watched => with_shared_disk(with_watchdogs(spec)),
                _ => spec,
            },
        ),
        odd: None,
        seed,
        drift_ppm: [100, 5_000, 9_900][chance.below(3) as usize],
        delay: (50_000, slow),
        late: ([0, 0, 5, 50][chance.below(4) as usize], lost_after * 5 / 4),
        opposed: chance.happens(500),
        loss: [0, 0, 20, 100][chance.below(4) as usize],
        doubles: [0, 20][chance.below(2) as usize],
        sync: (100_000, [1_000_000, 10_000_000, 80_000_000][chance.below(3) as usize]),
        operation: (500_000, [2_000_000, 50_000_000, lost_after][chance.below(3) as usize]),
    };
    if chance.happens(120) { on_the_edge(settings) } else { settings }
}

/// Clocks as wrong as they may be, opposed, little time to let go beside that, and a network without
/// any delay that would make up for it: the factor for wrong clocks has to do the work alone.
fn on_the_edge(settings: WorldSettings) -> WorldSettings {
    let timing = Timing {
        heartbeat: Duration::from_millis(200),
        lost_after: Duration::from_secs(2),
        let_go: Duration::from_millis(2),
    };
    let (late, delay) = ((0, 0), (50_000, 400_000));
    let spec = Spec { timing, ..settings.spec };
    let operation = (500_000, 2_000_000);
    WorldSettings { spec, drift_ppm: 9_900, opposed: true, loss: 0, delay, late, operation, ..settings }
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
    let broken = play(&mut world, &mut chance, lost_after, kind(seed)).err();
    if keep_notes && std::env::var_os("HEART_SIM_STATE").is_some() {
        (0..nodes).for_each(|place| eprintln!("{:#?}", world.machine(place).core()));
    }
    let starts = starts(&world).iter().sum();
    Outcome {
        node_time: u128::from(world.now()) * nodes as u128,
        events: world.events(),
        starts,
        story: world.take_story(),
        broken,
    }
}

fn play(world: &mut World, chance: &mut Chance, lost_after: Nanos, kind: Kind) -> Result<(), Broken> {
    let nodes = world.size();
    let sick = kind == Kind::Sick;
    if kind == Kind::Parts {
        parting::play(world, chance, lost_after)?;
    } else {
        let names = (0..nodes).map(|place| world.machine(place).name.clone()).collect();
        let end = Rough::new(chance, names, lost_after).schedule(world, sick);
        if world.is_pinged() {
            pinging::trouble(world, chance, end);
        }
        world.run(end + lost_after * 3)?;
    }
    let away = away(world, chance);
    calm(world, &away, lost_after);
    if sick {
        world.run(AVOIDED)?;
    }
    if world.is_pinged() {
        world.run(pinging::SETTLED)?;
    }
    world.run(lost_after * CALM + world.fencing_takes())?;
    if world.was_configured_anew() {
        world.run(lost_after * ALTERING)?;
        if !world.votes_as_configured() {
            return Err(Broken { at: world.now(), what: "the wrong nodes vote".into() });
        }
    }
    // Half of the logs at most are left: who of them goes on is for a person to say.
    if world.needs_a_person() {
        return Ok(());
    }
    settled(world, &away, "after the faults")?;
    let before = (starts(world), world.outages());
    world.run(lost_after * 5)?;
    settled(world, &away, "and later")?;
    unmoved(world, &before, "although nothing was wrong")?;
    if sick && !world.was_configured_anew() {
        return fall_sick(world, chance, &away, lost_after);
    }
    if world.is_pinged() && !world.was_configured_anew() {
        return pinging::play(world, chance, &away, lost_after);
    }
    if away.is_empty() && world.voters().len().is_multiple_of(2) && !world.was_configured_anew() {
        return lose_half(world, chance, lost_after);
    }
    // Whoever comes back may be where somebody wants something to be.
    if away.is_empty() || world.is_asked_for_more() || world.was_configured_anew() {
        return Ok(());
    }
    calm(world, &[], lost_after);
    world.run(lost_after * CALM)?;
    settled(world, &[], "after the last came back")?;
    unmoved(world, &before, "because somebody came back")
}

/// Exactly half of the voters is lost, and the other half goes on once that is switched off, or a person says that
/// it is.
fn lose_half(world: &mut World, chance: &mut Chance, lost_after: Nanos) -> Result<(), Broken> {
    let mut away = world.voters();
    let size = away.len();
    if !size.is_multiple_of(2) || world.electors() != away || away.iter().any(|&place| !world.votes(place)) {
        return Ok(());
    }
    while away.len() > size / 2 {
        away.remove(chance.below(away.len() as u64) as usize);
    }
    let (tied, devices) = (world.spec().tie_break.is_some(), world.has_devices());
    let off = !(tied || devices) || chance.happens(500);
    for place in 0..world.size() {
        let gone = away.contains(&place);
        if gone && off {
            world.schedule(0, Fault::PowerCut(place));
        }
        for to in (0..world.size()).filter(|to| gone != away.contains(to)) {
            world.schedule(0, Fault::Cut { from: place, to });
        }
    }
    if !(tied || devices) {
        let without: Vec<NodeName> = away.iter().map(|&place| world.machine(place).name.clone()).collect();
        for node in (0..world.size()).filter(|place| !away.contains(place)) {
            for wait in [3, 5, 7] {
                let request = Request::TakeOver { without: without.clone(), who: "eve".into(), sure: true };
                world.schedule(lost_after * wait, Fault::Ask { node, request });
            }
        }
    }
    world.run(lost_after * CALM + FENCING)?;
    let left = |place: &usize| if tied { world.goes_on(*place) } else { world.machine(*place).is_on() };
    let here: Vec<usize> = (0..size).filter(left).collect();
    if here.len() > size / 2 {
        return Err(Broken {
            at: world.now(),
            what: format!("{here:?} are all left of {size}, half of them cut off"),
        });
    }
    let gone: Vec<usize> = (0..world.size()).filter(|place| !here.contains(place)).collect();
    settled(world, &gone, "without the other half")?;
    calm(world, &[], lost_after);
    world.run(lost_after * CALM)?;
    settled(world, &[], "after the other half came back")
}

/// Some fall sick where all is well, or all do. Whatever ran runs on, and on those that are well if they can take it
/// and are enough to agree on that; where nobody is better off elsewhere, nothing is touched.
fn fall_sick(
    world: &mut World,
    chance: &mut Chance,
    away: &[usize],
    lost_after: Nanos,
) -> Result<(), Broken> {
    let there: Vec<usize> = (0..world.size()).filter(|place| !away.contains(place)).collect();
    let all = chance.happens(300);
    let sick: Vec<usize> = there.iter().copied().filter(|_| all || chance.happens(400)).collect();
    let with = Ailment::ALL[chance.below(4) as usize];
    let before = (starts(world), world.outages());
    for &node in &sick {
        world.schedule(chance.below(ms(5_000)), Fault::Sicken { node, with });
    }
    world.run(HESITATION + lost_after * CALM)?;
    settled(world, away, "while some are sick")?;
    let voters = world.voters();
    let sound = voters.iter().filter(|place| there.contains(place) && !sick.contains(place)).count();
    if with.is_of_disk() && sound <= voters.len() / 2 || sick.len() == there.len() {
        return unmoved(world, &before, "although nobody is better off elsewhere");
    }
    let stays = |one: &ResourceName| world.owner(one).is_some_and(|owner| sick.contains(&owner));
    match wanted(world).into_iter().find(stays) {
        Some(one) => {
            let what = format!("{one} stays on a sick node, although others are well");
            Err(Broken { at: world.now(), what })
        }
        None => Ok(()),
    }
}

/// A minority that stays away for a while longer, off or cut off.
fn away(world: &mut World, chance: &mut Chance) -> Vec<usize> {
    // Who may be missed while the voters change is for the nodes to find out.
    if world.was_configured_anew() {
        return world.forgotten().collect();
    }
    // Nor while others come back that have to vote again.
    if world.electors() != world.voters() {
        return Vec::new();
    }
    let voters = world.voters();
    let mut left = (voters.len() - 1) / 2;
    let mut away = Vec::new();
    for place in 0..world.size() {
        let votes = voters.contains(&place);
        if chance.happens(250) && (left > 0 || !votes) && world.may_miss(place, &away) {
            left -= usize::from(votes);
            away.push(place);
        }
    }
    let off = chance.happens(500);
    for &place in &away {
        if off {
            world.schedule(0, Fault::PowerCut(place));
        }
    }
    away
}

pub(crate) fn starts(world: &World) -> Vec<u64> {
    wanted(world).iter().map(|one| world.starts(one)).collect()
}

pub(crate) fn unmoved(world: &World, before: &(Vec<u64>, u64), why: &str) -> Result<(), Broken> {
    let what = match (starts(world) == before.0, world.outages() == before.1) {
        (true, true) => return Ok(()),
        (false, _) => "restarted",
        (true, false) => "silent for a while",
    };
    Err(Broken { at: world.now(), what: format!("something was {what} {why}") })
}

/// Mends everything but what is away.
pub(crate) fn calm(world: &mut World, away: &[usize], lost_after: Nanos) {
    world.schedule(0, Fault::Heal);
    pinging::mend(world);
    world.schedule(0, Fault::Loss(0));
    for node in 0..world.size() {
        world.schedule(0, Fault::MendDisk(node));
        world.schedule(0, Fault::TieBreak { node, reached: true });
        Ailment::ALL.into_iter().for_each(|of| world.schedule(0, Fault::Cure { node, of }));
        if world.has_devices() {
            world.schedule(0, Fault::Device { node, device: Device::Works });
        }
        if !away.contains(&node) {
            world.schedule(0, Fault::PowerOn(node));
            // Who was switched off is switched on again by somebody, some time.
            let again: &[u64] = if world.has_devices() { &[1, 3, 5] } else { &[] };
            again.iter().for_each(|wait| world.schedule(lost_after * wait, Fault::PowerOn(node)));
        }
        let name = world.machine(node).name.clone();
        let mut requests = vec![Request::Resume { node: name.clone() }, Request::Release { name: None }];
        if world.has_devices() || world.has_watchdogs() {
            // What was given up while the device did not work, or nobody was left to say that all was silent.
            requests.push(Request::Fence { node: name });
        }
        for asked in 0..world.size() {
            for wait in [ms(1), lost_after * 4, lost_after * 7] {
                for request in requests.clone() {
                    world.schedule(wait, Fault::Ask { node: asked, request });
                }
            }
        }
    }
    for &from in away {
        for to in (0..world.size()).filter(|&to| to != from) {
            world.schedule(1, Fault::Cut { from, to });
            world.schedule(1, Fault::Cut { from: to, to: from });
        }
    }
}

/// A healthy quorum has everything running.
pub(crate) fn settled(world: &World, away: &[usize], when: &str) -> Result<(), Broken> {
    // Nobody knows any more how to switch off who was taken out of the file.
    let waits = |one: &ResourceName| *one == resource("disk") && world.forgotten().next().is_some();
    for one in wanted(world).into_iter().filter(|one| !waits(one)) {
        if world.owner(&one).is_none_or(|owner| away.contains(&owner)) {
            return Err(Broken {
                at: world.now(),
                what: format!("nobody runs {one}, {when}: all is well, but for that"),
            });
        }
    }
    let copied = world.spec().resources.values().any(|one| one.wishes.copies.is_some());
    for place in (0..world.size()).filter(|place| !away.contains(place)) {
        let copy = resource("db").copy_on(&world.machine(place).name);
        // Of a node that was taken out of the file there is none.
        if copied && !world.was_configured_anew() && world.owner(&copy) != Some(place) {
            return Err(Broken { at: world.now(), what: format!("{copy} does not run, {when}") });
        }
    }
    if let Some(place) = (0..world.size()).find(|place| !away.contains(place) && !world.takes_part(*place)) {
        let what = format!("{} does not take part, {when}", world.machine(place).name);
        return Err(Broken { at: world.now(), what });
    }
    Ok(())
}
