//! A value on a disk that both sides reach: each node writes its own block, and all agree on what they want.
//!
//! How they agree is [`heart_disk::ballot`]; here its steps are carried out.

use std::{path::Path, time::Duration};

use heart_disk::{
    Area,
    ballot::{Change, Step},
    records::Ballot,
};
use heart_model::{NodeName, TieBreakOrder, TieBreakOutcome};
use rustix::rand::{GetRandomFlags, getrandom};

use super::Time;
use crate::disk::{Claim, Disk};

/// The shortest wait for others that are at it.
const WAIT: Duration = Duration::from_millis(4);
/// Most rounds that a wait grows with.
const WAIT_ROUNDS_MAX: u32 = 8;

pub(super) fn carry_out(
    order: &TieBreakOrder,
    path: &Path,
    me: &NodeName,
    time: &Time,
) -> Result<TieBreakOutcome, String> {
    let (disk, slot) = Disk::open_as(path, &order.cluster, me)?;
    // Kept by this thread until the kernel lets it go, should it be given up.
    let _claim = Claim::wait(path, Area::Ballots, slot, time.left()?)?;
    let mut change = Change::new(slot, order.instead_of.clone(), order.set.clone());
    let mut step = Step::Read;
    let mut mine = None;
    // Bounded by the rounds of the change, each of which has a few steps.
    loop {
        time.left()?;
        step = match step {
            Step::Read => {
                let mut all = disk.read_all::<Ballot>(Area::Ballots)?;
                let ballots: Vec<Ballot> = all.iter().map(|stands| stands.record.clone()).collect();
                mine = Some(all.swap_remove(usize::from(slot.0)));
                change.read(&ballots).map_err(|why| format!("{}: {why}", path.display()))?
            }
            Step::Write(ballot) => {
                let before = mine.as_mut().ok_or("a block was to be written that was never read")?;
                disk.write(Area::Ballots, slot, before, ballot)?;
                change.written()
            }
            Step::Wait(round) => {
                pause(round);
                Step::Read
            }
            Step::Done(outcome) => return Ok(outcome),
        };
    }
}

/// Waits for a while that is another one for each who does: two that overtake each other must not do so for ever.
fn pause(round: u32) {
    let mut random = [0];
    getrandom(&mut random, GetRandomFlags::empty()).ok();
    let share = u32::from(random[0]) + 1;
    let wait = WAIT + WAIT * round.min(WAIT_ROUNDS_MAX) * share / 64;
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread does nothing else, and is one that can be given up"
    )]
    std::thread::sleep(wait);
}
