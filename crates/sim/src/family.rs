//! What kinds of worlds there are, and which seed gives which: the cluster, its file, and how good its network, clocks
//! and disks are.

use heart_model::{
    AfterFence, AgentRef, ClusterSpec, Copies, Duration, GroupName, GroupSpec, Guard, LinkAddress,
    LogicalTimeouts, Name, NodeName, NodeSpec, Profile, ResourceSpec, Spec, Timing, WhenSick, WhenStuck,
    Wishes,
};
use std::collections::BTreeMap;

use crate::{
    Chance, Nanos, WorldSettings, pinging, rough::resource, with_devices, with_fences_on_disk, with_levels,
    with_storage_devices, with_tie_break, with_tie_break_on_disk, with_watchdogs,
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

/// Of so many worlds, in one all share a disk, over which they tell each other to reset themselves, and which decides
/// between two halves.
const ON_DISK_EVERY: u64 = 32;
/// Which of these that is.
const ON_DISK: u64 = 23;

/// Of so many worlds, in one there are devices that leave a machine its power, and shut it out from what all share.
const SHUT_OUT_EVERY: u64 = 32;
/// Which of these that is.
const SHUT_OUT: u64 = 31;
/// Of so many of those, in one something decides between two halves: being shut out proves nothing to a half.
const SHUT_OUT_TIED_EVERY: u64 = 3;

/// Of so many worlds, in two machines are sick at times: in one of these, something has copies.
const SICK_EVERY: u64 = 16;
/// Which of these they are.
const SICK: [u64; 2] = [3, 8];

/// Of so many worlds, in two nodes part while one knows what another does not: in one there are devices, in the other
/// something decides between two halves.
const PARTS_EVERY: u64 = 32;
/// Which of these that is.
const PARTS: [u64; 2] = [21, 17];

/// Of so many worlds, in one a node is started anew while what it sent before is still on its way.
const LIVES_EVERY: u64 = 32;
/// Which of these that is.
const LIVES: u64 = 15;

/// Of so many worlds, in two cores are woken more often than they have to be: among these are those where nodes part.
const RESTLESS_EVERY: u64 = 4;
/// Which of these that is.
const RESTLESS: [u64; 2] = [0, 1];

/// Of so many worlds, in two virtual machines are paused at times, and do not know it: in one of these there are devices.
const PAUSED_EVERY: u64 = 32;
/// Which of these that is.
const PAUSED: [u64; 2] = [9, 25];

/// Of so many worlds, in three the file says at times that something else guards a resource from now on: two have devices,
/// of which one a tie-break as well, and in one watchdogs reset nodes.
const REGUARDED_EVERY: u64 = 32;
/// Which of these that is.
const REGUARDED: [u64; 3] = [5, 13, 27];

/// Of so many worlds, in one little is taken over until a person says so.
const HELD_EVERY: u64 = 4;
/// Which of these that is.
const HELD: u64 = 2;

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
        when_stuck: WhenStuck::Report,
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
            after_fence: AfterFence::StayOff,
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

fn tie(tied: bool, spec: Spec) -> Spec {
    if tied { with_tie_break(spec) } else { spec }
}

/// What a world is there for, beside all that may happen in any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing else.
    Any,
    /// Machines are sick at times.
    Sick,
    /// Nodes part while one knows what another does not know yet.
    Parts,
    /// A node is started anew while what it sent before is still on its way.
    Lives,
}

pub(crate) fn kind(seed: u64) -> Kind {
    match seed {
        _ if SICK.contains(&(seed % SICK_EVERY)) => Kind::Sick,
        _ if PARTS.contains(&(seed % PARTS_EVERY)) => Kind::Parts,
        _ if seed % LIVES_EVERY == LIVES => Kind::Lives,
        _ => Kind::Any,
    }
}

fn shuts_out(seed: u64) -> bool {
    seed % SHUT_OUT_EVERY == SHUT_OUT
}

fn is_tied(seed: u64) -> bool {
    let place = seed / SHUT_OUT_EVERY;
    TIED.contains(&(seed % TIED_EVERY)) || shuts_out(seed) && place.is_multiple_of(SHUT_OUT_TIED_EVERY)
}

/// What kind of world this seed gives, in a word or two.
#[must_use]
pub fn name_of(seed: u64) -> &'static str {
    let (fenced, tied) = (seed % FENCED_EVERY == FENCED, is_tied(seed));
    let copied = seed.is_multiple_of(COPIES_EVERY);
    match (kind(seed), copied, fenced, tied) {
        (Kind::Parts, _, _, true) => "parting, tie-break",
        (Kind::Parts, ..) => "parting, devices",
        (Kind::Sick, true, ..) => "sick, copies",
        (Kind::Sick, ..) => "sick",
        (Kind::Lives, ..) => "lives",
        _ if seed % WATCHED_EVERY == WATCHED => "watchdogs",
        _ if seed % ON_DISK_EVERY == ON_DISK => "shared disk",
        _ if shuts_out(seed) && tied => "shut out, tie-break",
        _ if shuts_out(seed) => "shut out",
        _ if seed % PAUSED_EVERY == PAUSED[0] => "paused",
        _ if seed % PAUSED_EVERY == PAUSED[1] => "paused, devices",
        (Kind::Any, _, true, true) => "devices, tie-break",
        (Kind::Any, _, true, false) => "devices",
        (Kind::Any, _, false, true) => "tie-break",
        (Kind::Any, true, ..) => "copies",
        (Kind::Any, ..) if seed % HELD_EVERY == HELD => "held",
        (Kind::Any, ..) => "plain",
    }
}

/// The cluster of this seed, and what surrounds it.
pub(crate) fn settings(chance: &mut Chance, seed: u64) -> WorldSettings {
    let fenced = seed % FENCED_EVERY == FENCED;
    let tied = is_tied(seed);
    let on_disk = seed % ON_DISK_EVERY == ON_DISK;
    let sizes = if kind(seed) == Kind::Parts && tied {
        [2, 2, 2, 2, 2, 4, 4, 4, 4, 4]
    } else if kind(seed) == Kind::Parts {
        [3, 3, 3, 3, 4, 4, 4, 5, 5, 7]
    } else if kind(seed) == Kind::Lives {
        [3, 3, 3, 3, 3, 3, 3, 4, 5, 5]
    } else if fenced || tied || on_disk {
        [2, 2, 2, 2, 3, 3, 4, 4, 5, 7]
    } else if shuts_out(seed) {
        // Of two, nobody is ever shut out.
        [2, 3, 3, 3, 3, 4, 4, 5, 5, 7]
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
        spec: tie(tied, surrounded(spec, seed)),
        odd: None,
        seed,
        drift_ppm: [100, 5_000, 9_900][chance.below(3) as usize],
        delay: (50_000, slow),
        late: ([0, 0, 5, 50][chance.below(4) as usize], lost_after * 5 / 4),
        opposed: chance.happens(500),
        loss: [0, 0, 20, 100][chance.below(4) as usize],
        doubles: [0, 20][chance.below(2) as usize],
        sync: (100_000, [1_000_000, 10_000_000, 80_000_000][chance.below(3) as usize]),
        torn: true,
        operation: (500_000, [2_000_000, 50_000_000, lost_after][chance.below(3) as usize]),
        restless: RESTLESS.contains(&(seed % RESTLESS_EVERY)),
        pauses: PAUSED.contains(&(seed % PAUSED_EVERY)),
        reguards: REGUARDED.contains(&(seed % REGUARDED_EVERY)),
    };
    if chance.happens(120) { on_the_edge(settings) } else { settings }
}

/// The cluster with what the kind of its world adds to it.
fn surrounded(spec: Spec, seed: u64) -> Spec {
    let voters = spec.nodes.values().filter(|node| node.voter).count();
    let on_disk = seed % ON_DISK_EVERY == ON_DISK;
    match seed {
        _ if seed.is_multiple_of(COPIES_EVERY) => with_copies(spec),
        // The lowest bits say what kind of world it is.
        _ if seed % FENCED_EVERY == FENCED => {
            let devices =
                if kind(seed) == Kind::Any { in_levels(spec, seed >> 5) } else { with_devices(spec) };
            at_any_price(with_shared_disk(devices), seed, seed >> 3)
        }
        _ if shuts_out(seed) => at_any_price(with_shared_disk(with_storage_devices(spec)), seed, seed >> 6),
        _ if seed % WATCHED_EVERY == WATCHED => with_shared_disk(with_watchdogs(spec)),
        _ if seed % PAUSED_EVERY == PAUSED[1] => with_shared_disk(with_devices(spec)),
        _ if on_disk && voters.is_multiple_of(2) => {
            with_shared_disk(with_tie_break_on_disk(with_fences_on_disk(spec)))
        }
        _ if on_disk => with_shared_disk(with_fences_on_disk(spec)),
        _ => spec,
    }
}

/// In three of four of these worlds there are several devices in levels, and in half of these one is used late.
fn in_levels(spec: Spec, place: u64) -> Spec {
    let sizes: [&[usize]; 4] = [&[1], &[1, 1], &[2], &[2, 1]];
    let mut spec = with_levels(spec, sizes[(place % 4) as usize]);
    if (place / 4).is_multiple_of(2) {
        for device in spec.nodes.values_mut().filter_map(|node| node.fence.first_mut()?.last_mut()) {
            device.delay = Duration::from_millis(200);
        }
    }
    spec
}

/// What cannot be stopped costs its node in half of these worlds, and in a third of them who is switched off boots.
fn at_any_price(mut spec: Spec, seed: u64, half: u64) -> Spec {
    if half.is_multiple_of(2) {
        spec.resources.values_mut().for_each(|one| one.when_stuck = WhenStuck::Fence);
    }
    if seed.is_multiple_of(3) {
        spec.cluster.after_fence = AfterFence::Boot;
    }
    spec
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
