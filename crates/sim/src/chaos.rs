//! Worlds in which things go wrong at random, and then stop going wrong.
//!
//! A world has a rough part, in which faults of every kind come and go, and a calm part, at the end
//! of which a healthy quorum must have everything running, and nothing may have been restarted by
//! the healing as such.

use heart_model::{AfterFence, Ailment, FenceDevice, NodeName, ResourceName, longest_fence};
use heart_node::core::Request;

use crate::{
    Broken, Chance, Device, Fault, Nanos, World, clocks,
    family::{Kind, kind, settings},
    lives, ms, operators, parting, pinging,
    rough::{Rough, resource},
    sickness,
};

/// How long a machine is avoided that was sick, and a moment more.
const AVOIDED: Nanos = ms(61_000);

/// How long after the last fault a healthy cluster may take until everything runs, in lost-afters.
/// Six to find a leader in the worst case, with its retries; the rest for takeovers and starts.
pub(crate) const CALM: u64 = 14;

/// How much longer it may take where a node has to be switched off first, and nobody may be left to say that it was.
pub(crate) const FENCING: Nanos = ms(8_000);

/// What of the time of an attempt with one device is for a program to be killed.
const KILLED: heart_model::Duration = heart_model::Duration::from_secs(2);

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
    /// All that the world came to, in one number: its story, its events, its disks and its chance.
    pub fingerprint: u64,
    /// What happened, if it was kept.
    pub story: Vec<String>,
    /// The claim that did not hold.
    pub broken: Option<Broken>,
}

impl World {
    /// How much longer it may take where a node has to be off first.
    pub(crate) fn fencing_takes(&self) -> Nanos {
        let self_fence = self.timing().self_fence().as_nanos() as Nanos;
        if self.has_fences_on_disk() {
            return self.timing().disk_fence().as_nanos() as Nanos * 3;
        }
        match (self.has_watchdogs(), self.has_devices()) {
            // Whoever waits for silence may be the next that is switched on anew.
            (true, _) => self_fence * 3,
            (false, true) => FENCING + self.levels_take() * 2,
            (false, false) => 0,
        }
    }

    /// How much longer the others wait for the end of an attempt whose maker is gone, where a level has several devices
    /// or they are used late.
    fn levels_take(&self) -> Nanos {
        let levels = || self.spec().nodes.values().flat_map(|node| &node.fence);
        let longest = levels().map(|level| longest_fence(level)).max().unwrap_or_default();
        let least = levels().flatten().map(FenceDevice::longest).min().unwrap_or_default();
        longest.saturating_sub(least + KILLED).as_nanos() as Nanos
    }
}

/// What has to run somewhere when all is well.
pub(crate) fn wanted(world: &World) -> Vec<ResourceName> {
    world.spec().resources.keys().cloned().collect()
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
    let mut more = Chance::new(seed.wrapping_mul(0xc2b2_ae35));
    let broken = play(&mut world, &mut chance, &mut more, lost_after, kind(seed)).err();
    if keep_notes && std::env::var_os("HEART_SIM_STATE").is_some() {
        (0..nodes).for_each(|place| eprintln!("{:#?}", world.machine(place).core()));
    }
    let starts = starts(&world).iter().sum();
    Outcome {
        node_time: u128::from(world.now()) * nodes as u128,
        events: world.events(),
        starts,
        fingerprint: world.fingerprint(),
        story: world.take_story(),
        broken,
    }
}

fn play(
    world: &mut World,
    chance: &mut Chance,
    more: &mut Chance,
    lost_after: Nanos,
    kind: Kind,
) -> Result<(), Broken> {
    let sick = kind == Kind::Sick;
    rough_part(world, chance, more, lost_after, kind)?;
    let away = away(world, chance);
    calm(world, &away, lost_after);
    if sick {
        world.run(AVOIDED)?;
    }
    if world.is_pinged() {
        world.run(pinging::SETTLED)?;
    }
    world.run(lost_after * CALM + world.fencing_takes())?;
    if operators::found_anew(world) {
        world.run(lost_after * CALM)?;
    }
    if world.was_configured_anew() {
        world.run(lost_after * ALTERING)?;
        // Who voted to found another set of voters founds nothing with these: a person says who never ran.
        if !world.has_begun() || world.lacks_logs(&away) {
            return Ok(());
        }
        if !world.votes_as_configured() {
            return Err(Broken { at: world.now(), what: "the wrong nodes vote".into() });
        }
    }
    no_half_went_on(world)?;
    // Half of the logs at most are left: who of them goes on is for a person to say.
    if world.needs_a_person(&away) {
        return Ok(());
    }
    settled(world, &away, "after the faults")?;
    let before = (starts(world), world.outages());
    world.run(lost_after * 5)?;
    settled(world, &away, "and later")?;
    unmoved(world, &before, "although nothing was wrong")?;
    // Of an even number, half may have to go on without those that are sick, whatever decides between halves there.
    let halves = away.is_empty() && world.voters().len().is_multiple_of(2);
    if (sick || halves && chance.happens(150)) && !world.was_configured_anew() {
        return sickness::play(world, chance, &away, lost_after);
    }
    if world.is_pinged() && !world.was_configured_anew() {
        return pinging::play(world, chance, &away, lost_after);
    }
    if halves && !world.was_configured_anew() {
        return lose_half(world, chance, lost_after);
    }
    // Whoever comes back may be where somebody wants something to be.
    if away.is_empty() || world.is_asked_for_more() || world.was_configured_anew() {
        return Ok(());
    }
    // What waited for who comes back may start then.
    let waited = world.never_spoke_on_disk();
    calm(world, &[], lost_after);
    world.run(lost_after * CALM + world.fencing_takes())?;
    settled(world, &[], "after the last came back")?;
    if waited {
        return Ok(());
    }
    unmoved(world, &before, "because somebody came back")
}

/// Everything that goes wrong.
fn rough_part(
    world: &mut World,
    chance: &mut Chance,
    more: &mut Chance,
    lost_after: Nanos,
    kind: Kind,
) -> Result<(), Broken> {
    match kind {
        Kind::Parts => {
            clocks::trouble(world, more, lost_after * 30);
            parting::play(world, chance, lost_after)
        }
        Kind::Lives => {
            clocks::trouble(world, more, lost_after * 30);
            lives::play(world, chance, lost_after)
        }
        Kind::Any | Kind::Sick => {
            let names = (0..world.size()).map(|place| world.machine(place).name.clone()).collect();
            let end = Rough::new(chance, names, lost_after).schedule(world, kind == Kind::Sick);
            clocks::trouble(world, more, end);
            operators::trouble(world, more, end, lost_after);
            if world.is_pinged() {
                pinging::trouble(world, chance, end);
            }
            world.run(end + lost_after * 3)
        }
    }
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
    // That somebody cannot use what all share proves nothing to a half.
    let devices = world.has_devices() && !world.has_storage_devices();
    let tied = world.spec().tie_break.is_some();
    if world.has_storage_devices() && !tied && chance.happens(500) {
        return part_in_halves(world, &away, lost_after);
    }
    let off = !(tied || devices) || chance.happens(500);
    cut_off(world, &away, off);
    if !(tied || devices) {
        let without: Vec<NodeName> = away.iter().map(|&place| world.machine(place).name.clone()).collect();
        for node in (0..world.size()).filter(|place| !away.contains(place)) {
            for wait in [3, 5, 7] {
                let request = Request::TakeOver { without: without.clone(), who: "eve".into(), sure: true };
                world.schedule(lost_after * wait, Fault::Ask { node, request });
            }
        }
    }
    let fencing = if world.has_fences_on_disk() { world.fencing_takes() } else { FENCING };
    world.run(lost_after * CALM + fencing)?;
    // Who is off, or was and waits since it has power again, does not go on.
    let may_be_on = tied || world.spec().cluster.after_fence == AfterFence::Boot;
    let left = |place: &usize| if may_be_on { world.goes_on(*place) } else { world.machine(*place).is_on() };
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
    world.run(lost_after * CALM + world.fencing_takes())?;
    settled(world, &[], "after the other half came back")
}

/// Those that are away do not reach the others any more, and have lost power if they are `off`.
fn cut_off(world: &mut World, away: &[usize], off: bool) {
    for place in 0..world.size() {
        let gone = away.contains(&place);
        if gone && off {
            world.schedule(0, Fault::PowerCut(place));
        }
        for to in (0..world.size()).filter(|to| gone != away.contains(to)) {
            world.schedule(0, Fault::Cut { from: place, to });
        }
    }
}

/// Half of the voters does not reach the other half, which it could shut out: neither goes on (SAFETY rule 17 d).
fn part_in_halves(world: &mut World, away: &[usize], lost_after: Nanos) -> Result<(), Broken> {
    cut_off(world, away, false);
    world.run(lost_after * CALM + FENCING)?;
    calm(world, &[], lost_after);
    world.run(lost_after * CALM + world.fencing_takes())?;
    no_half_went_on(world)?;
    settled(world, &[], "after two halves had parted")
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
        if world.has_fences_on_disk() {
            world.schedule(0, Fault::SharedDisk { node, reached: true });
            world.schedule(0, Fault::SlowSharedDisk { node, takes: 0 });
        } else if world.has_devices() {
            world.schedule(0, Fault::Device { node, device: Device::Works });
        }
        if world.machine(node).is_stuck() {
            world.schedule(0, Fault::PowerCut(node));
        }
        if !away.contains(&node) {
            world.schedule(0, Fault::PowerOn(node));
            if world.has_devices() {
                // Who was switched off is switched on again by somebody, some time: the last may be by what is asked for
                // last of all (below), after the end of an attempt whose maker is gone.
                let until = lost_after * CALM + world.fencing_takes();
                let times = (1..).map(|times| lost_after * (2 * times - 1)).take_while(|wait| *wait < until);
                times.for_each(|wait| world.schedule(wait, Fault::PowerOn(node)));
            }
        }
        let name = world.machine(node).name.clone();
        let mut requests = vec![Request::Resume { node: name.clone() }, Request::Release { name: None }];
        if world.has_devices() {
            // What was given up while the device did not work.
            requests.push(Request::Fence { node: name, who: "root".into(), anyway: false, reboot: false });
        }
        // Again after the end of an attempt whose maker is gone, which may be the last that is made by itself.
        let late = lost_after * 12 + world.levels_take();
        let (late, devices) = ([late, late + FENCING / 2], world.has_devices());
        for asked in 0..world.size() {
            for wait in [ms(1), lost_after * 4, lost_after * 7, lost_after * 11] {
                for request in requests.clone() {
                    world.schedule(wait, Fault::Ask { node: asked, request });
                }
            }
            // Nobody may have led before that.
            for request in requests.iter().filter(|_| devices) {
                for wait in late {
                    world.schedule(wait, Fault::Ask { node: asked, request: request.clone() });
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
    let unknown = world.forgotten().next().is_some() || world.never_spoke_on_disk();
    let waits = |one: &ResourceName| *one == resource("disk") && unknown;
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
    if world.has_storage_devices() { all_inside(world, away, when) } else { Ok(()) }
}

/// Nobody stays shut out, and everybody takes part.
fn all_inside(world: &World, away: &[usize], when: &str) -> Result<(), Broken> {
    let broken = |what: String| Err(Broken { at: world.now(), what });
    for place in (0..world.size()).filter(|place| !away.contains(place)) {
        let machine = world.machine(place);
        if machine.shut_out {
            return broken(format!("{} is still shut out, {when}", machine.name));
        }
        // Of a node that was taken out of the file the others know nothing.
        if !(world.is_taken_in(place) || world.forgotten().any(|gone| gone == place)) {
            return broken(format!("{} is not taken in, {when}", machine.name));
        }
    }
    Ok(())
}

/// No half goes on because it could shut others out: only without those that left in order, by the tie-break, or by the
/// word of a person.
fn no_half_went_on(world: &World) -> Result<(), Broken> {
    match world.claims.gone_on_without().filter(|_| world.has_storage_devices()) {
        None => Ok(()),
        Some(node) => {
            let what = format!("half of the voters has gone on without {node}, which may be on");
            Err(Broken { at: world.now(), what })
        }
    }
}
