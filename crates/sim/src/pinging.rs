//! Worlds with ping targets: these die, and ways to them are cut, while all the rest goes on; and at the end, where
//! all is well but for that.

use heart_model::{Guard, Name, ResourceName, Spec};

use crate::{
    Broken, Chance, Fault, Nanos, World,
    chaos::{CALM, FENCING, calm, settled, starts, unmoved, wanted},
    ms, with_targets,
};

/// Of so many worlds, in one there is nothing else; of so many, in one there are devices beside, and in one something
/// that decides between two halves.
const EVERY: [(u64, u64); 3] = [(32, 7), (64, 37), (64, 33)];

/// How long it takes until a difference between nodes has lasted, from when it begins or ends, and a moment more: five
/// seconds until a node says so, one between two questions, and five more for the leader.
pub(crate) const SETTLED: Nanos = ms(12_000);

/// The same cluster with targets, if this world has any.
pub(crate) fn ping(seed: u64, spec: Spec) -> Spec {
    let pinged = EVERY.iter().any(|(every, which)| seed % every == *which);
    let targets: &[&str] =
        if (seed / 64).is_multiple_of(2) { &["gateway"] } else { &["gateway", "provider"] };
    if pinged { with_targets(spec, targets) } else { spec }
}

impl World {
    /// Whether anything is pinged here.
    pub(crate) fn is_pinged(&self) -> bool {
        !self.spec().pings.is_empty()
    }

    fn target_names(&self) -> Vec<Name> {
        self.spec().pings.keys().cloned().collect()
    }
}

/// Targets die and ways to them are cut before `end`; some are back soon.
pub(crate) fn trouble(world: &mut World, chance: &mut Chance, end: Nanos) {
    let names = world.target_names();
    for _ in 0..chance.between(0, 8) {
        let target = names[chance.below(names.len() as u64) as usize].clone();
        let node = chance.below(world.size() as u64) as usize;
        let (begin, lasts) = (chance.below(end), chance.below(ms(20_000)));
        let for_all = chance.happens(250);
        let fault = |reached: bool| match for_all {
            true => Fault::Target { target: target.clone(), answers: reached },
            false => Fault::Uplink { node, target: target.clone(), reached },
        };
        world.schedule(begin, fault(false));
        world.schedule(begin + lasts, fault(true));
    }
}

/// All targets answer, and everybody reaches them.
pub(crate) fn mend(world: &mut World) {
    for target in world.target_names() {
        world.schedule(0, Fault::Target { target: target.clone(), answers: true });
        for node in 0..world.size() {
            world.schedule(0, Fault::Uplink { node, target: target.clone(), reached: true });
        }
    }
}

/// What becomes of a cluster that is well when targets are not reached.
pub(crate) fn play(
    world: &mut World,
    chance: &mut Chance,
    away: &[usize],
    lost_after: Nanos,
) -> Result<(), Broken> {
    let is_even = away.is_empty() && world.voters().len().is_multiple_of(2);
    let decides = world.spec().tie_break.is_some() || world.has_devices();
    match chance.below(3) {
        0 => all_lose_it(world, chance, away),
        1 if is_even && decides && world.electors() == world.voters() => halves(world, chance, lost_after),
        _ => some_lose_it(world, chance, away, lost_after),
    }
}

/// Nobody is better off elsewhere, although they find out one after the other.
fn all_lose_it(world: &mut World, chance: &mut Chance, away: &[usize]) -> Result<(), Broken> {
    let before = (starts(world), world.outages());
    let names = world.target_names();
    let target = names[chance.below(names.len() as u64) as usize].clone();
    if chance.happens(500) {
        world.schedule(0, Fault::Target { target, answers: false });
    } else {
        for node in (0..world.size()).filter(|node| !away.contains(node)) {
            let fault = Fault::Uplink { node, target: target.clone(), reached: false };
            world.schedule(chance.below(ms(3_500)), fault);
        }
    }
    world.run(SETTLED * 2)?;
    settled(world, away, "while a target is dead")?;
    unmoved(world, &before, "although nobody reaches the target")?;
    mend(world);
    world.run(SETTLED * 2)?;
    unmoved(world, &before, "because a target answers again")
}

/// What runs where fewer are reached moves once, to where most are.
fn some_lose_it(
    world: &mut World,
    chance: &mut Chance,
    away: &[usize],
    lost_after: Nanos,
) -> Result<(), Broken> {
    let before = starts(world);
    let there: Vec<usize> = (0..world.size()).filter(|node| !away.contains(node)).collect();
    for &node in &there {
        for target in world.target_names() {
            if chance.happens(400) {
                world.schedule(chance.below(ms(2_000)), Fault::Uplink { node, target, reached: false });
            }
        }
    }
    world.run(SETTLED + lost_after * CALM)?;
    settled(world, away, "while some do not reach their targets")?;
    let most = there.iter().map(|&node| world.reaches(node)).max().unwrap_or_default();
    let is_worse = |one: &ResourceName| world.owner(one).is_some_and(|owner| world.reaches(owner) < most);
    let stays = wanted(world).into_iter().find(is_worse);
    let again = starts(world).iter().zip(&before).any(|(now, before)| *now > before + 1);
    let what = match (stays, again) {
        (Some(one), _) => format!("{one} stays where fewer targets are reached than elsewhere"),
        (None, true) => "something was moved more than once".into(),
        (None, false) => return Ok(()),
    };
    Err(Broken { at: world.now(), what })
}

/// Two halves part, and one of them, or both, with all targets: who reaches none begins nothing.
fn halves(world: &mut World, chance: &mut Chance, lost_after: Nanos) -> Result<(), Broken> {
    let mut cut = world.voters();
    let size = cut.len();
    while cut.len() > size / 2 {
        cut.remove(chance.below(cut.len() as u64) as usize);
    }
    let others: Vec<usize> = (0..world.size()).filter(|node| !cut.contains(node)).collect();
    let both = chance.happens(400);
    for target in world.target_names() {
        for &node in &cut {
            world.schedule(0, Fault::Uplink { node, target: target.clone(), reached: false });
        }
        let more = if both { others.as_slice() } else { &[] };
        for &node in more {
            world.schedule(0, Fault::Uplink { node, target: target.clone(), reached: false });
        }
    }
    for (&one, &other) in cut.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
        world.schedule(0, Fault::Cut { from: one, to: other });
        world.schedule(0, Fault::Cut { from: other, to: one });
    }
    world.run(lost_after * CALM + FENCING)?;
    let broken = |world: &World, what: String| Err(Broken { at: world.now(), what });
    if both {
        if let Some(off) = (0..world.size()).find(|&node| !world.machine(node).is_on()) {
            return broken(world, format!("{} was shot by who reaches no target", world.machine(off).name));
        }
        // What is taken only from nodes that are off is not let go.
        let runs = |one: &&ResourceName| {
            world.spec().resources[*one].guard == Guard::Lease && world.owner(one).is_some()
        };
        if let Some(one) = wanted(world).iter().find(runs) {
            return broken(world, format!("{one} runs where no half reaches a target"));
        }
    } else {
        if let Some(&off) = others.iter().find(|&&node| !world.machine(node).is_on()) {
            return broken(world, format!("{} was shot by who reaches no target", world.machine(off).name));
        }
        settled(world, &cut, "although one half reaches its targets")?;
    }
    mend(world);
    calm(world, &[], lost_after);
    world.run(SETTLED + lost_after * CALM + FENCING)?;
    settled(world, &[], "after both halves met again")
}
