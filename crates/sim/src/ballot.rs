//! The tie-break of a world on the disk that all its machines share: a block of each, and what the real thing makes of
//! what stands in all of them.

use heart_disk::{
    Slot,
    ballot::{Change, Step},
    records::Ballot,
};
use heart_model::{Spec, TieBreakOrder, TieBreakOutcome, TieBreakPlace, TieBreakSpec};

use crate::{Nanos, World, ms, shared_disk::Of, tie_break::TIMEOUT};

/// How long a read or a write takes at most where the disk is not slow.
const USE: Nanos = ms(2);
/// The shortest wait for others that are at it.
const WAIT: Nanos = ms(4);
/// Most rounds that a wait grows with.
const WAIT_ROUNDS_MAX: u32 = 8;

/// Changing the value: what is done when the next step of it is over.
#[derive(Debug)]
pub(crate) struct Changing {
    order: TieBreakOrder,
    change: Change,
    step: Step,
    /// Nobody waits for it any longer than that, in true time.
    until: Nanos,
}

/// The same cluster, in which a disk that all nodes share decides between two halves.
#[must_use]
pub fn with_tie_break_on_disk(mut spec: Spec) -> Spec {
    let place = TieBreakPlace::Disk { device: "/dev/shared".into() };
    spec.tie_break = Some(TieBreakSpec { place, timeout: TIMEOUT });
    spec
}

impl World {
    /// An executor begins to change the value.
    pub(crate) fn change_on_disk(&mut self, by: usize, order: TieBreakOrder) {
        let boots = self.machines[by].boots;
        let until = self.now + TIMEOUT.as_nanos() as Nanos;
        // One at a time writes into a block.
        if !self.shared_disk.changing.insert((by, boots)) {
            let outcome = TieBreakOutcome::Failed { message: "another change of it is not over".into() };
            return self.tie_broken(until - self.now, by, order, outcome);
        }
        let change = Change::new(Slot(by as u16), order.instead_of.clone(), order.set.clone());
        self.take_step(by, Changing { order, change, step: Step::Read, until });
    }

    /// Takes the next step, which takes its time.
    fn take_step(&mut self, by: usize, changing: Changing) {
        let wait = match &changing.step {
            Step::Read => self.chance.between(0, USE),
            Step::Write(_) => self.chance.between(0, USE) + self.write_takes(by),
            Step::Wait(round) => {
                WAIT + self.chance.below(WAIT * 4 * u64::from((*round).min(WAIT_ROUNDS_MAX)) + 1)
            }
            Step::Done(_) => 0,
        };
        self.at_disk(wait, by, Of::Changing(Box::new(changing)));
    }

    /// A step is over.
    pub(crate) fn on_changing(&mut self, by: usize, mut changing: Changing) {
        let failed = |message: &str| TieBreakOutcome::Failed { message: message.into() };
        if self.shared_disk.cut.contains(&by) {
            return self.end_change(by, changing.order, failed("the disk does not answer"));
        }
        let next = match changing.step {
            Step::Read => {
                let block = |place: usize| self.shared_disk.ballots.get(&place).cloned().unwrap_or_default();
                let all: Vec<Ballot> = (0..self.machines.len()).map(block).collect();
                match changing.change.read(&all) {
                    Ok(next) => next,
                    Err(why) => return self.end_change(by, changing.order, failed(&why)),
                }
            }
            Step::Write(ballot) => {
                self.shared_disk.ballots.insert(by, ballot);
                changing.change.written()
            }
            Step::Wait(_) => Step::Read,
            Step::Done(outcome) => return self.end_change(by, changing.order, outcome),
        };
        if self.now > changing.until {
            return self.end_change(by, changing.order, failed("it takes too long"));
        }
        self.take_step(by, Changing { step: next, ..changing });
    }

    fn end_change(&mut self, by: usize, order: TieBreakOrder, outcome: TieBreakOutcome) {
        let boots = self.machines[by].boots;
        self.shared_disk.changing.remove(&(by, boots));
        self.tie_broken(0, by, order, outcome);
    }

    /// What a machine wrote last before it lost power stands there.
    pub(crate) fn leave_ballot_behind(&mut self, by: usize, changing: Changing) {
        if let Step::Write(ballot) = changing.step {
            self.shared_disk.ballots.insert(by, ballot);
        }
    }
}
