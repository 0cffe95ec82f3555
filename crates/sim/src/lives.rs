//! Worlds in which a node is started anew while what it sent before is still on its way.
//!
//! One voter, the heir, hears a life of a node late, and nothing of the next one, which others have taken in by then;
//! and it is this voter that leads from now on. Of two lives the later one counts (SAFETY rules 7 and 8), and nothing in
//! a life says when it was. With that rule left out, random faults meet no such moment in 3,000 worlds, and a quarter of
//! these do.

use crate::{Broken, Chance, Fault, Nanos, World, ms};

/// How often a node is started anew.
const LIVES: usize = 4;

/// All of it.
pub(crate) fn play(world: &mut World, chance: &mut Chance, lost_after: Nanos) -> Result<(), Broken> {
    let size = world.size();
    for place in 0..size {
        world.schedule(chance.below(lost_after), Fault::PowerOn(place));
    }
    world.run(lost_after * 5)?;
    for _ in 0..LIVES {
        if let Some(leader) = world.leader() {
            let mut others: Vec<usize> = (0..size).filter(|place| *place != leader).collect();
            let node = others.swap_remove(chance.below(others.len() as u64) as usize);
            let voters = world.voters();
            others.retain(|place| voters.contains(place));
            let heir = others[chance.below(others.len() as u64) as usize];
            start_anew(world, chance, lost_after, [leader, node, heir])?;
        }
        world.schedule(0, Fault::Heal);
        (0..size).for_each(|place| world.schedule(ms(1), Fault::PowerOn(place)));
        world.run(lost_after * 5)?;
    }
    Ok(())
}

/// One life of a node ends and another begins, of which the heir hears nothing; then the heir leads.
fn start_anew(
    world: &mut World,
    chance: &mut Chance,
    lost_after: Nanos,
    [leader, node, heir]: [usize; 3],
) -> Result<(), Broken> {
    let rest: Vec<usize> = (0..world.size()).filter(|place| ![node, heir].contains(place)).collect();
    let short = lost_after / 16;
    // The life that ends was taken in, or nobody but the heir ever heard it.
    if chance.happens(500) {
        world.schedule(0, Fault::PowerCut(node));
        for &place in &rest {
            world.schedule(0, Fault::Cut { from: node, to: place });
            world.schedule(0, Fault::Cut { from: place, to: node });
        }
        world.schedule(1 + chance.below(short), Fault::PowerOn(node));
        world.run(short * 2)?;
    }
    let lasts = chance.between(lost_after / 4, lost_after);
    world.schedule(0, Fault::Hold { from: node, to: heir, lasts });
    world.run(1 + chance.below(lost_after / 4))?;
    world.schedule(0, Fault::PowerCut(node));
    world.schedule(0, Fault::Cut { from: node, to: heir });
    for &place in &rest {
        world.schedule(0, Fault::Mend { from: node, to: place });
        world.schedule(0, Fault::Mend { from: place, to: node });
    }
    world.schedule(1 + chance.below(short), Fault::PowerOn(node));
    world.run(short + chance.below(lost_after / 4))?;
    world.schedule(0, Fault::Leave(leader));
    // Who has stood still hears everybody a while longer.
    if chance.happens(500) {
        let (wait, lasts) = (chance.below(lost_after), chance.between(lost_after / 8, lost_after / 2));
        world.schedule(wait, Fault::StallPulse { node: heir, lasts });
    }
    world.run(lost_after + chance.below(lost_after))
}
