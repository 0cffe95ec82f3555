//! Comparing and setting a value on a disk that can only be read and written.
//!
//! This is Disk Paxos (Gafni and Lamport, 2003) for a single disk. The value changes by one change after another, and
//! for each the nodes agree on what it is. Each node writes only its own block, and reads those of all. To make a
//! change a node begins an attempt with a number that nobody has used ([`Ballot::begun`]), and reads all blocks: if
//! nobody has begun a higher one, it takes what was wanted in the highest attempt that anybody came to want something
//! in, else what it wants itself, writes that ([`Ballot::wanted`]), and reads all blocks again. If still nobody has
//! begun a higher one, that is the value, whatever anybody does from now on: whoever begins later reads it and has to
//! want the same.
//!
//! A node that dies in the middle leaves its block as it was before or after a write. What it wanted may be the value
//! already, and others may have been told so; so whoever finds such a thing carries it through before it compares.
//! What no block wants is not the value: then nothing has to be written to know what stands there.

use alloc::{string::String, vec::Vec};
use heart_model::{Standing, TieBreakOutcome};

use crate::{
    layout::{SLOTS_MAX, Slot},
    plant::{Bug, is_planted},
    records::Ballot,
};

/// How often a change may be overtaken by others before it is given up.
pub const ROUNDS_MAX: u32 = 16;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the blocks of all slots, one after the other or at once, and say what they are: [`Change::read`].
    Read,
    /// Write this to the own block, and say that it is durable: [`Change::written`].
    Write(Ballot),
    /// Others are at it. Wait for a while that grows with this number, and differs from theirs; then as [`Step::Read`].
    Wait(u32),
    /// It is over.
    Done(TieBreakOutcome),
}

/// Comparing and setting once.
#[derive(Clone, Debug)]
pub struct Change {
    me: Slot,
    instead_of: Option<Standing>,
    set: Standing,
    state: State,
    rounds: u32,
    /// It has waited for somebody to carry through what he wants.
    has_waited: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing is written.
    Looking,
    /// An attempt is begun.
    Begun { changes: u64, attempt: u64 },
    /// Something is wanted in it.
    Wanting { changes: u64, attempt: u64, value: Standing },
    /// That is the value, and everybody is told.
    Telling { value: Standing },
}

impl Change {
    /// Begins; the first step is [`Step::Read`].
    #[must_use]
    pub fn new(me: Slot, instead_of: Option<Standing>, set: Standing) -> Change {
        Change { me, instead_of, set, state: State::Looking, rounds: 0, has_waited: false }
    }

    /// Takes what the blocks of all slots say, in their order. What was read of the own block has to be among them.
    ///
    /// # Errors
    /// When it cannot go on: what was found, for people.
    pub fn read(&mut self, all: &[Ballot]) -> Result<Step, String> {
        let changes = all.iter().map(|one| one.changes).max().unwrap_or_default();
        let current: Vec<&Ballot> = all.iter().filter(|one| one.changes == changes).collect();
        let highest = current.iter().map(|one| one.begun).max().unwrap_or_default();
        self.is_mine(all)?;
        match core::mem::replace(&mut self.state, State::Looking) {
            // Somebody has made this change, or knows that it was made: what comes next is another one.
            State::Begun { changes: of, .. } | State::Wanting { changes: of, .. } if of != changes => {
                self.judge(all, changes)
            }
            State::Begun { attempt, .. } | State::Wanting { attempt, .. } if highest > attempt => {
                self.overtaken()
            }
            State::Begun { attempt, .. } => {
                let value = wanted(&current).unwrap_or(&self.set).clone();
                let standing = standing(&current)?;
                if value == self.set && is_planted(Bug::ClaimUnwritten) {
                    return Ok(Step::Done(TieBreakOutcome::Set));
                }
                let wanted = Some((attempt, value.clone()));
                self.state = State::Wanting { changes, attempt, value };
                Ok(Step::Write(Ballot { changes, standing, begun: attempt, wanted }))
            }
            State::Wanting { value, .. } => {
                let standing = Some(value.clone());
                self.state = State::Telling { value };
                let changes = changes.checked_add(1).ok_or_else(used_up)?;
                Ok(Step::Write(Ballot { changes, standing, begun: 0, wanted: None }))
            }
            State::Looking | State::Telling { .. } => self.judge(all, changes),
        }
    }

    /// Whether the own block is as it was left.
    fn is_mine(&self, all: &[Ballot]) -> Result<(), String> {
        let mine = all.get(usize::from(self.me.0)).ok_or("the device has no such slot")?;
        let is = match &self.state {
            State::Looking | State::Telling { .. } => true,
            State::Begun { changes, attempt } => (mine.changes, mine.begun) == (*changes, *attempt),
            State::Wanting { changes, attempt, value } => {
                let wanted = mine.wanted.as_ref().is_some_and(|wanted| *wanted == (*attempt, value.clone()));
                (mine.changes, mine.begun) == (*changes, *attempt) && wanted
            }
        };
        if is {
            return Ok(());
        }
        Err(alloc::format!(
            "the part of {} is not as this node wrote it: see which other machine has its name, or who else writes \
             to this disk",
            self.me
        ))
    }

    /// The own block is as it was to be, durably.
    pub fn written(&mut self) -> Step {
        match &self.state {
            State::Telling { value } if *value == self.set => Step::Done(TieBreakOutcome::Set),
            State::Telling { .. } => {
                // Somebody else's was carried through: now this one's turn begins.
                self.state = State::Looking;
                Step::Read
            }
            State::Looking | State::Begun { .. } | State::Wanting { .. } => Step::Read,
        }
    }

    /// Nothing of this is under way: compares, if nothing may be the value that no one was told yet.
    fn judge(&mut self, all: &[Ballot], changes: u64) -> Result<Step, String> {
        let current: Vec<&Ballot> = all.iter().filter(|one| one.changes == changes).collect();
        let standing = standing(&current)?;
        if wanted(&current).is_none() {
            let outcome = TieBreakOutcome::compared(self.instead_of.as_ref(), &self.set, standing.as_ref());
            if let Some(outcome) = outcome {
                return Ok(Step::Done(outcome));
            }
        } else if !self.has_waited {
            self.has_waited = true;
            return Ok(Step::Wait(1));
        }
        if self.rounds >= ROUNDS_MAX {
            return Err(too_often());
        }
        self.rounds += 1;
        let mine = all.get(usize::from(self.me.0)).ok_or("the device has no such slot")?;
        let highest = current.iter().map(|one| one.begun).max().unwrap_or_default();
        let attempt = attempt_above(highest, self.me).ok_or_else(used_up)?;
        let wanted = mine.wanted.clone().filter(|_| mine.changes == changes);
        self.state = State::Begun { changes, attempt };
        Ok(Step::Write(Ballot { changes, standing, begun: attempt, wanted }))
    }

    fn overtaken(&mut self) -> Result<Step, String> {
        if self.rounds >= ROUNDS_MAX {
            return Err(too_often());
        }
        self.has_waited = true;
        Ok(Step::Wait(self.rounds))
    }
}

fn used_up() -> String {
    "its numbers are used up, or a block was written by something else: format it anew".into()
}

fn too_often() -> String {
    alloc::format!("others changed it {ROUNDS_MAX} times meanwhile; ask again, and see who else writes there")
}

/// What was wanted in the highest attempt at the next change; nothing if nobody came so far.
fn wanted<'a>(current: &[&'a Ballot]) -> Option<&'a Standing> {
    let all = current.iter().filter_map(|one| one.wanted.as_ref());
    all.max_by_key(|(attempt, _)| *attempt).map(|(_, value)| value)
}

/// What stands there, as all say who know of the last change.
fn standing(current: &[&Ballot]) -> Result<Option<Standing>, String> {
    let first = current.first().map(|one| &one.standing);
    if current.iter().any(|one| Some(&one.standing) != first) {
        return Err(
            "its blocks contradict each other about what stands there: only one can be right. See what each \
                    node says with `heart disk show`"
                .into(),
        );
    }
    Ok(first.cloned().flatten())
}

/// A number for an attempt that nobody else uses and that is higher; none if there is none.
fn attempt_above(highest: u64, me: Slot) -> Option<u64> {
    let slots = u64::from(SLOTS_MAX);
    (highest / slots).checked_add(1)?.checked_mul(slots)?.checked_add(u64::from(me.0))
}
