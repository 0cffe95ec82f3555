//! The wall clocks of the world's machines, which people and time servers set as they like.
//!
//! A wall clock is for what people read, for the hours and dates of a file, and for how long something is held. So it
//! may say anything and jump at any moment, by minutes or by years, and every claim holds all the same. What counts for
//! leases and promises are the clocks of a [`Machine`] that nobody can set.

use crate::{Chance, Machine, Nanos, World, ms};

/// What a clock that is right shows at the beginning of a world, in milliseconds since 1970.
const BEGINNING: i64 = 1_750_000_000_000;
/// By how many milliseconds clocks are wrong, or jump.
const JUMPS: [i64; 8] = [
    40,
    2_000,
    5 * 60_000,
    61 * 60_000,
    25 * 3_600_000,
    400 * 86_400_000,
    20 * 365 * 86_400_000,
    // Further than any clock goes back: a battery was empty, and it is 1970.
    100 * 365 * 86_400_000,
];

/// How far a wall clock is ahead, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wall {
    ahead: i64,
}

impl Wall {
    /// What it shows at a true time, in milliseconds since 1970.
    pub(crate) fn read(self, now: Nanos) -> u64 {
        u64::try_from(BEGINNING + (now / ms(1)) as i64 + self.ahead).unwrap_or_default()
    }

    /// Somebody sets it.
    fn jump(&mut self, now: Nanos, by: i64) {
        let right = BEGINNING + (now / ms(1)) as i64;
        self.ahead = (self.ahead + by).clamp(-right, right);
    }
}

impl Machine {
    /// What its wall clock shows.
    pub(crate) fn wall(&self, now: Nanos) -> u64 {
        self.wall.read(now)
    }
}

impl World {
    /// The wall clock of a machine is set.
    pub(crate) fn set_clock(&mut self, node: usize, by: i64) {
        let now = self.now;
        let machine = &mut self.machines[node];
        machine.wall.jump(now, by);
        let shows = machine.wall(now);
        let line = format!("the clock of {} is set by {by} ms and shows {shows}", machine.name);
        self.tell(line);
    }
}

/// In half of the worlds clocks are wrong from the beginning, and jump before `end` and a while later.
pub(crate) fn trouble(world: &mut World, chance: &mut Chance, end: Nanos) {
    if chance.happens(500) {
        return;
    }
    for node in 0..world.size() {
        if chance.happens(500) {
            world.set_clock(node, jump(chance));
        }
    }
    for _ in 0..chance.between(1, 8) {
        let node = chance.below(world.size() as u64) as usize;
        let (wait, by) = (chance.below(end + end / 4), jump(chance));
        world.schedule(wait, crate::Fault::SetClock { node, by });
    }
}

fn jump(chance: &mut Chance) -> i64 {
    let by = JUMPS[chance.below(JUMPS.len() as u64) as usize];
    if chance.happens(500) { by } else { -by }
}
