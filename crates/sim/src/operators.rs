//! People who force things: that a history goes on without others, that a node counts as off, that a node is switched
//! off although it is heard.
//!
//! They look before they speak, so what they say is true at that moment. A moment later it need not be: who is off is
//! switched on, while the word is still on its way or waits to be used. They do not leave out more than half of the
//! voters, as what those agreed on last would be lost with it, nor do they speak for others than the newest history:
//! `docs/failure-modes.md` says what comes of that, and of words that are false.

use heart_model::{LogIndex, NodeName};
use heart_node::{
    agreement::state_of,
    board::flag,
    core::Request,
    ledger::{self, Ledger},
};

use crate::{Chance, Fault, Machine, Nanos, Power, World};

/// What somebody says who has looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// All that are off are off: the others shall go on without them.
    TakeOver,
    /// This machine is off, and what it ran may be started elsewhere.
    Off(usize),
    /// This machine is to be switched off, although it is heard.
    Anyway(usize),
}

impl World {
    /// Somebody says something at this machine, or the next one that is on; nothing, if it is not true.
    pub(crate) fn say(&mut self, node: usize, word: Word) {
        let size = self.size();
        let Some(node) = (node..node + size).map(|at| at % size).find(|&at| self.machines[at].is_on()) else {
            return;
        };
        let name = |of: usize| self.machines[of].name.clone();
        let who = "eve".to_owned();
        let (request, said) = match word {
            Word::TakeOver => {
                let Some(off) = self.may_be_left_out(node) else { return };
                let without: Vec<NodeName> = off.into_iter().map(name).collect();
                let names = without.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" and ");
                (Request::TakeOver { without, who, sure: true }, format!("{names} is off, go on without"))
            }
            Word::Off(off) if self.machines[off].is_on() => return,
            Word::Off(off) => {
                (Request::ConfirmOff { node: name(off), boot: None, who }, format!("{} is off", name(off)))
            }
            Word::Anyway(of) => {
                let hears = self.machines[node].core.as_ref().and_then(|core| core.hears(&name(of)));
                if hears.is_none() {
                    return;
                }
                let request = Request::Fence { node: name(of), who, anyway: true, reboot: false };
                (request, format!("{} shall be switched off anyway", name(of)))
            }
        };
        self.tell(format!("somebody says at {}: {said}", self.machines[node].name));
        self.questions += 1;
        let id = self.questions;
        let asked = self.machines[node].now(self.now);
        self.tell_core(node, heart_node::core::Event::Request { id, request, asked });
    }

    /// The voters that are off, if those that are on may go on without them by the word of a person: they are half of
    /// the voters at least, and have whole logs of the newest history.
    fn may_be_left_out(&self, node: usize) -> Option<Vec<usize>> {
        let core = self.machines[node].core.as_ref()?;
        let known: Vec<usize> =
            (0..self.size()).filter(|&place| core.elects(self.machines[place].id)).collect();
        let is_off = |place: &usize| self.machines[*place].power == Power::Off;
        let off: Vec<usize> = known.iter().copied().filter(is_off).collect();
        let is_newest = |machine: &Machine| {
            let parents = machine.core.as_ref().map(|core| core.ledger().parents.len());
            parents == Some(self.claims.parents())
        };
        // What was written last before the power was lost may be a history that nobody has heard of.
        let is_ahead = |place: &usize| self.histories_on_disk(*place) > self.claims.parents();
        let is_sound =
            |place: &usize| is_off(place) || (self.is_whole(*place) && is_newest(&self.machines[*place]));
        let may = !self.was_configured_anew()
            && !off.is_empty()
            && off.len() * 2 <= known.len()
            && known == self.electors()
            && known.iter().all(is_sound)
            && !off.iter().any(is_ahead);
        may.then_some(off)
    }
}

impl World {
    /// How many histories the one on a disk went on from.
    fn histories_on_disk(&self, place: usize) -> usize {
        let Some(kept) = self.kept(place) else { return 0 };
        let mut ledger = Ledger::restore(state_of(&kept.snapshot)).unwrap_or_default();
        for entry in &kept.entries {
            if let Ok(read) = ledger::read(&entry.data) {
                ledger.apply(LogIndex(entry.index), &read);
            }
        }
        ledger.parents.len()
    }
}

/// In a quarter of the worlds somebody forces something before `end`, and machines lose power for somebody to say so.
pub(crate) fn trouble(world: &mut World, chance: &mut Chance, end: Nanos, lost_after: Nanos) {
    let size = world.size();
    if size < 2 || !chance.happens(250) {
        return;
    }
    let place = |chance: &mut Chance| chance.below(size as u64) as usize;
    let last = end + lost_after;
    for _ in 0..chance.between(2, 8) {
        let (at, node) = (chance.below(end), place(chance));
        let said = (at + chance.between(lost_after, lost_after * 6)).min(last);
        let word = match chance.below(6) {
            0 | 1 => {
                half_loses_power(world, chance, (at, last), lost_after);
                Word::TakeOver
            }
            2 => Word::TakeOver,
            3 | 4 => {
                let off = place(chance);
                world.schedule(at, Fault::PowerCut(off));
                world.schedule((said + chance.below(lost_after * 8)).min(last), Fault::PowerOn(off));
                Word::Off(off)
            }
            _ => Word::Anyway(place(chance)),
        };
        world.schedule(said, Fault::Say { node, word });
        if chance.happens(500) {
            let (also, later) = (place(chance), [0, chance.below(lost_after)]);
            let wait = later[chance.below(2) as usize];
            world.schedule(said + wait, Fault::Say { node: also, word });
        }
    }
}

/// If nobody knows of a history and somebody lost a log, all wait for a person, who says that there is none. Whether that
/// was said.
pub(crate) fn found_anew(world: &mut World) -> bool {
    let lost = |place: &usize| {
        let machine = world.machine(*place);
        machine.is_on() && machine.board.flags() & flag::LOG_LOST != 0
    };
    let lost: Vec<usize> = (0..world.size()).filter(lost).collect();
    let asked = (0..world.size()).find(|place| world.machine(*place).is_on() && !lost.contains(place));
    let Some(node) = asked.filter(|_| !lost.is_empty() && !world.has_begun()) else { return false };
    let without = lost.into_iter().map(|place| world.machine(place).name.clone()).collect();
    world.schedule(0, Fault::Ask { node, request: Request::Found { without } });
    true
}

/// Half of the voters loses power, all at once or one after the other, and has it again some time.
fn half_loses_power(world: &mut World, chance: &mut Chance, (at, last): (Nanos, Nanos), lost_after: Nanos) {
    let mut off = world.voters();
    let half = off.len() / 2;
    while off.len() > half {
        off.remove(chance.below(off.len() as u64) as usize);
    }
    let apart = [0, lost_after / 4][chance.below(2) as usize];
    for node in off {
        world.schedule(at + chance.below(apart), Fault::PowerCut(node));
        let back = at + chance.between(lost_after, lost_after * 14);
        world.schedule(back.min(last), Fault::PowerOn(node));
    }
}
