//! Worlds in which nodes part while one knows what another does not know yet.
//!
//! A node shall not vote any more, and they part just when some know of that and some do not: half of the voters
//! that are left may go on once the others are off, and those could come back and agree, by the old rules, with the
//! one that shall not vote any more (SAFETY rule 17 b, schedule 8). Or one hears half of the voters, and another of
//! that half hears them all. Random faults meet such a moment in one of hundreds of worlds.

use crate::{Broken, Chance, Fault, Nanos, World, ms};

/// How often halves part and meet.
const FLICKERS: usize = 8;

/// How long the nodes may take to begin with the change, in lost-afters.
const CHANGE: u64 = 6;

/// All of it, until they have been apart for a while: with an odd number of voters the first, else the second.
pub(crate) fn play(world: &mut World, chance: &mut Chance, lost_after: Nanos) -> Result<(), Broken> {
    let size = world.size();
    for place in 0..size {
        world.schedule(chance.below(lost_after), Fault::PowerOn(place));
    }
    world.run(lost_after * 5)?;
    if world.spec().tie_break.is_some() {
        return flicker(world, chance, lost_after);
    }
    if size.is_multiple_of(2) {
        return unlike(world, chance, lost_after);
    }
    let mut voters = world.voters();
    let dropped = voters.remove(chance.below(voters.len() as u64) as usize);
    world.schedule(0, Fault::Configure { voters: voters.iter().copied().collect() });
    for place in 0..size {
        world.schedule(chance.below(ms(50)), Fault::KillCore(place));
    }
    let Some(unaware) = first_to_hear(world, &voters, lost_after * CHANGE)? else { return Ok(()) };
    let mut side = vec![dropped, unaware];
    let leader = world.leader();
    let others = voters.iter().copied().filter(|place| *place != unaware && Some(*place) != leader);
    side.extend(others.take(voters.len() / 2 - 1));
    world.run(chance.below(ms(10)))?;
    part(world, &side);
    // Who is switched off meanwhile is switched on again, and meets those that know as little.
    for wait in [2, 3, 5] {
        side.iter().for_each(|&place| world.schedule(lost_after * wait, Fault::PowerOn(place)));
    }
    world.run(lost_after * 10)
}

/// One hears half of the voters and another, in that half, hears them all for a while (rule 12): what the one decides,
/// the other may undo.
fn unlike(world: &mut World, chance: &mut Chance, lost_after: Nanos) -> Result<(), Broken> {
    let size = world.size();
    let place = |at: u64| (at as usize) % size;
    let one = chance.below(size as u64);
    let half: Vec<usize> = (one..one + size as u64 / 2).map(place).collect();
    for other in (0..size).filter(|other| !half.contains(other)) {
        let wait = chance.below(lost_after / 2);
        world.schedule(wait, Fault::Cut { from: half[0], to: other });
        world.schedule(wait, Fault::Cut { from: other, to: half[0] });
    }
    for &other in &half[1..] {
        let wait = chance.below(lost_after * 2);
        world.schedule(wait, Fault::Cut { from: half[0], to: other });
        if chance.happens(500) {
            world.schedule(wait, Fault::Cut { from: other, to: half[0] });
        }
    }
    for wait in [3, 5] {
        (0..size).for_each(|place| world.schedule(lost_after * wait, Fault::PowerOn(place)));
    }
    world.run(lost_after * 8)
}

/// Two halves part, hear each other again, and part again, while what decides between them answers late or to one of
/// them only (rule 19): what was asked of it in one parting must not count in another.
fn flicker(world: &mut World, chance: &mut Chance, lost_after: Nanos) -> Result<(), Broken> {
    let size = world.size();
    let half: Vec<usize> = (0..size / 2).collect();
    for _ in 0..FLICKERS {
        if chance.happens(300) {
            let (node, lasts) = (chance.below(size as u64) as usize, chance.below(lost_after * 2));
            world.schedule(0, Fault::TieBreak { node, reached: false });
            world.schedule(lasts, Fault::TieBreak { node, reached: true });
        }
        part(world, &half);
        world.run(lost_after + chance.below(lost_after / 4))?;
        world.schedule(0, Fault::Heal);
        world.run(chance.below(lost_after))?;
    }
    part(world, &half);
    world.run(lost_after * 4)
}

/// The first voter but the leader that has heard of the change and does not know that it is agreed on.
fn first_to_hear(world: &mut World, voters: &[usize], patience: Nanos) -> Result<Option<usize>, Broken> {
    let end = world.now() + patience;
    while world.now() < end {
        let leader = world.leader();
        let hears = |place: usize| {
            world.machine(place).core().is_some_and(heart_node::core::Core::awaits_other_voters)
        };
        if let Some(&place) = voters.iter().find(|&&place| Some(place) != leader && hears(place)) {
            return Ok(Some(place));
        }
        world.run(ms(1) / 4)?;
    }
    Ok(None)
}

fn part(world: &mut World, side: &[usize]) {
    for from in 0..world.size() {
        for to in (0..world.size()).filter(|to| side.contains(&from) != side.contains(to)) {
            world.schedule(0, Fault::Cut { from, to });
        }
    }
}
