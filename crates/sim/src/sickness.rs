//! Worlds that end with sick nodes: what runs there moves if others can take it and can agree on that.

use heart_model::{Ailment, ResourceName};

use crate::{
    Broken, Chance, Fault, Nanos, World,
    chaos::{CALM, calm, settled, starts, unmoved, wanted},
    ms,
};

/// How long nothing is moved for somebody who fell sick within five seconds, and a moment more.
const HESITATION: Nanos = ms(12_000);

/// Some fall sick where all is well, or all do. Whatever ran runs on, and on those that are well if they can take it
/// and are enough to agree on that; where nobody is better off elsewhere, nothing is touched.
pub(crate) fn play(
    world: &mut World,
    chance: &mut Chance,
    away: &[usize],
    lost_after: Nanos,
) -> Result<(), Broken> {
    let there: Vec<usize> = (0..world.size()).filter(|place| !away.contains(place)).collect();
    let all = chance.happens(300);
    let sick: Vec<usize> = there.iter().copied().filter(|_| all || chance.happens(400)).collect();
    let with = Ailment::ALL[chance.below(4) as usize];
    // Without a leader nobody knows whether who is shut out from storage is let in.
    let takes_nothing = with == Ailment::DiskStalled && chance.happens(500) && !world.has_storage_devices();
    let before = (starts(world), world.outages());
    for &node in &sick {
        let at = chance.below(ms(5_000));
        world.schedule(at, Fault::Sicken { node, with });
        if takes_nothing {
            world.schedule(at, Fault::StallDisk(node));
        }
    }
    world.run(HESITATION + lost_after * CALM)?;
    let voters = world.voters();
    let sound = voters.iter().filter(|place| there.contains(place) && !sick.contains(place)).count();
    let here = voters.iter().all(|place| there.contains(place));
    let half = sound > 0 && sound * 2 == voters.len();
    let lay_down = with == Ailment::DiskStalled && half && here && !world.has_storage_devices();
    let gave_up: Vec<usize> =
        sick.iter().copied().filter(|place| lay_down && voters.contains(place)).collect();
    let gone: Vec<usize> = away.iter().copied().chain(gave_up.iter().copied()).collect();
    settled(world, &gone, "while some are sick")?;
    if with.is_of_disk() && sound <= voters.len() / 2 && !lay_down || sick.len() == there.len() {
        return unmoved(world, &before, "although nobody is better off elsewhere");
    }
    let stays = |one: &ResourceName| world.owner(one).is_some_and(|owner| sick.contains(&owner));
    if let Some(one) = wanted(world).into_iter().find(stays) {
        let what = format!("{one} stays on a sick node, although others are well");
        return Err(Broken { at: world.now(), what });
    }
    match gave_up.as_slice() {
        [] => Ok(()),
        gave_up => come_back(world, chance, gave_up, lost_after),
    }
}

/// Those that laid down their logs get well, or lose power before that, or everybody does.
fn come_back(
    world: &mut World,
    chance: &mut Chance,
    gave_up: &[usize],
    lost_after: Nanos,
) -> Result<(), Broken> {
    let dark: Vec<usize> = match chance.below(3) {
        0 => Vec::new(),
        1 => gave_up.to_vec(),
        _ => (0..world.size()).collect(),
    };
    let before = (starts(world), world.outages());
    dark.iter().for_each(|place| world.schedule(0, Fault::PowerCut(*place)));
    world.run(lost_after * 2)?;
    calm(world, &[], lost_after);
    world.run(lost_after * CALM + world.fencing_takes())?;
    settled(world, &[], "after the sick got well")?;
    match dark.len() == world.size() {
        true => Ok(()),
        false => unmoved(world, &before, "because the sick got well"),
    }
}
