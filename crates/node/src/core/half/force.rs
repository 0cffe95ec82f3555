//! How half of the voters goes on: one of it, with the best log, as the only voter of a history with another number.
//!
//! The others of this half give up their votes before, and for good. So whatever becomes of those that are left out,
//! no quorum of the old history is left, and whoever comes back with it learns that it was gone on from.

use heart_model::{LogIndex, Moment, NodeName, Term};
use raft::eraftpb::ConfChangeV2;

use super::{By, Forcing, Going, Halves, StandingBack, StoodBack, Stuck};
use crate::{
    agreement::{Agreement, RaftId, Ticket, conf_change},
    board::{Board, flag},
    core::{Action, Core, Message, OfHalf, Out, members::identities},
    half,
    ledger::{Change, Entry, Forced, Ledger, VERSION, Without, read},
    pulse::Sighting,
};

impl Core {
    /// Has the others of this half stand back, then goes on. Whether this node is about to.
    pub(super) fn go_on(&mut self, now: Moment, board: &Board, out: &mut Out) -> bool {
        let Some(mut going) = self.half.going.take() else { return false };
        let me = &self.settings.me;
        let slot_of = |name: &NodeName| self.names.iter().position(|known| known == name);
        let here = going.halves.here.iter().chain(&going.halves.lost).filter(|name| *name != me);
        let slots: Vec<(NodeName, usize)> =
            here.filter_map(|name| Some((name.clone(), slot_of(name)?))).collect();
        // Who gave up its vote has nothing more to say.
        let is_heard = |(name, slot): &(NodeName, usize)| {
            going.stood_back.contains(name) || self.sights.heard(*slot).is_some_and(|seen| seen.both_ways)
        };
        let is_back = |node: &NodeName| slot_of(node).is_some_and(|slot| self.sights.heard(slot).is_some());
        // Who is heard is not off, whatever a person says.
        let is_wrong = matches!(going.by, By::Word(_)) && going.halves.missing.iter().any(is_back);
        let suspends = self.halves(now, board).is_none();
        let is_outdone = !suspends && self.is_outdone(now, &going);
        if is_wrong || is_outdone || self.is_led(now, board) || !slots.iter().all(is_heard) {
            return false;
        }
        going.is_suspended = suspends;
        if !suspends {
            slots.iter().for_each(|one| self.ask_to_stand_back(now, &mut going, one, out));
        }
        let all = slots.iter().all(|(name, _)| going.stood_back.contains(name));
        let goes = !going.is_suspended;
        let by_tie_break = matches!(going.by, By::TieBreak(_));
        let claimed = match all && by_tie_break && !slots.is_empty() {
            true => self.claim_once_more(now, board, &mut going, out),
            false => Ok(true),
        };
        if claimed == Err(Stuck::NotNamed) {
            return false;
        }
        if !(half::may_force(all, by_tie_break, claimed == Ok(true)) && self.force(now, board, &going, out)) {
            self.half.going = Some(going);
        }
        goes
    }

    /// Asks another of this half for its vote, again and again: who does not know yet that the others are lost does not
    /// answer.
    fn ask_to_stand_back(
        &mut self,
        now: Moment,
        going: &mut Going,
        (name, slot): &(NodeName, usize),
        out: &mut Out,
    ) {
        let over = self.peers.generation(*slot);
        let again = self.timing.lost_after / 2;
        let waits = |(of, at): &(u64, Moment)| *of == over && !now.has_surely_reached(at.after(again));
        if going.stood_back.contains(name) || going.asked.get(name).is_some_and(waits) {
            return;
        }
        going.asked.insert(name.clone(), (over, now));
        let by_itself = going.halves.lost.contains(name);
        let gave = if by_itself {
            self.half.gave_votes.remove(name);
            None
        } else {
            *self.half.gave_votes.entry(name.clone()).or_default()
        };
        let (by_word, lost) = (matches!(going.by, By::Word(_)), by_itself || gave.is_some());
        Core::send(*slot, &Message::Half(OfHalf::StandBack { era: self.ledger.era, by_word, lost }), out);
    }

    /// The others of this half have given up their votes: the tie-break is asked once more. Whether it sides with this
    /// half.
    ///
    /// # Errors
    /// When it does not, or is not reached.
    fn claim_once_more(
        &mut self,
        now: Moment,
        board: &Board,
        going: &mut Going,
        out: &mut Out,
    ) -> Result<bool, Stuck> {
        if !::core::mem::replace(&mut going.is_claimed_anew, true) {
            self.half.tie.outdate();
        }
        let era = self.claim(now, (self.next_era(board), true), &going.halves, out)?;
        if let Some(era) = era {
            (going.by, going.era) = (By::TieBreak(era), era);
        }
        Ok(era.is_some())
    }

    /// Another of this half goes on from this history: it has what this node has, and this one's vote may not count
    /// for anybody else any more (SAFETY rules 17 a and 18).
    pub(super) fn on_stand_back(
        &mut self,
        now: Moment,
        slot: usize,
        (era, by_word, lost): (u64, bool, bool),
        board: &Board,
        out: &mut Out,
    ) {
        if self.half.is_forcing() {
            return;
        }
        let has_more = self.sights.heard(slot).is_some_and(|seen| seen.log >= self.last_entry());
        let asked = half::Asked {
            has_log: self.agreement.is_some(),
            as_lost: lost,
            by_word,
            asker_has_more: has_more,
            same_era: era == self.ledger.era,
            without_quorum: self.halves(now, board).is_some(),
            keeps_still: self.agrees_to(now, board, era),
        };
        if !half::may_stand_back(asked) {
            return;
        }
        // Whoever is asked as one that lost its log is of the other half: what it cannot write need not be written.
        if lost && !by_word && self.has_given_up(board) {
            return Core::send(slot, &Message::Half(OfHalf::StoodBack { era }), out);
        }
        if self.half.standing_back.is_none() {
            let ticket = self.lose_log(board, out);
            self.half.standing_back = Some(StandingBack { ticket, slot, era });
        }
    }

    /// Says for whom this node gave up its vote, over each stream anew, until it has a log again: what was sent may have been
    /// lost with the stream, and whoever asked takes it for one that lost its log by itself.
    pub(super) fn repeat_stood_back(&mut self, out: &mut Out) {
        if self.agreement.is_some() {
            self.half.stood_back = None;
        }
        let Some(done) = &mut self.half.stood_back else { return };
        let over = Some(self.peers.generation(done.slot));
        let hears = self.sights.heard(done.slot).is_some_and(|seen| seen.both_ways);
        if hears && ::core::mem::replace(&mut done.over, over) != over {
            Core::send(done.slot, &Message::Half(OfHalf::StoodBack { era: done.era }), out);
        }
    }

    pub(super) fn on_stood_back(&mut self, from: usize, era: u64) {
        if era != self.ledger.era {
            return;
        }
        let name = &self.names[from];
        self.half.gave_votes.entry(name.clone()).and_modify(|life| *life = self.peers.boot(from));
        self.half.going.iter_mut().for_each(|going| {
            going.stood_back.insert(name.clone());
        });
    }

    /// What everything leads to that this node has, with what it does not know to be agreed on.
    pub(super) fn ledger_with(&self, rest: &[raft::eraftpb::Entry]) -> Ledger {
        let mut ledger = self.ledger.clone();
        for entry in rest {
            if let Ok(read) = read(&entry.data) {
                ledger.apply(LogIndex(entry.index), &read);
            }
        }
        ledger
    }

    pub(super) fn last_entry(&self) -> (Term, LogIndex) {
        self.agreement.as_ref().map_or((Term(0), LogIndex(0)), Agreement::last)
    }

    /// Goes on as the only voter, without those that are missing: proof, entries and who votes become durable in one
    /// write. Whether that could be begun.
    fn force(&mut self, now: Moment, board: &Board, going: &Going, out: &mut Out) -> bool {
        let halves = &going.halves;
        let Some(agreement) = self.agreement.as_ref().filter(|_| self.disk_works) else { return false };
        // Who were to be members matters to nobody whom a person calls off.
        let known = if let By::Word(_) = going.by { agreement.whole_rest() } else { agreement.rest() };
        let Some((rest, begins)) = known else { return false };
        let voters = agreement.configuration().0;
        let alone = halves.size == 2
            && agreement.is_settled()
            && self.half.has_been_settled(now, voters, self.longest_promise());
        let mut ledger = self.ledger_with(&rest);
        let last = |node: &NodeName| Some(ledger.nodes.get(node)?.last_session()?.boot);
        let of = |node: &NodeName| Some(Without { node: node.clone(), boot: last(node)? });
        let forced = Forced {
            era: going.era,
            parent: ledger.era,
            without: halves.missing.iter().filter_map(of).collect(),
            who: if let By::Word(who) = &going.by { Some(who.clone()) } else { None },
            by_tie_break: matches!(going.by, By::TieBreak(_)),
            configuration: begins.configuration().0,
        };
        let (voters, learners) = agreement.members();
        ledger.on_identities(voters.into_iter().chain(learners).map(|id| (id.node(), id.incarnation())));
        let entry = Entry { v: VERSION, at: self.wall, change: Change::Force(forced) };
        if !ledger.apply(LogIndex(begins.index), &entry) {
            return false;
        }
        let changed: Vec<ConfChangeV2> = rest.iter().filter_map(conf_change).collect();
        ledger.on_identities(changed.iter().flat_map(identities));
        if !alone {
            // A core that is killed before it hears that this is durable is followed by one that knows of no promise of others.
            board.take_on_promises(now.after(self.longest_promise()));
        }
        let (agreement, write) = agreement.forced(&ledger.save(), begins);
        let gone = halves.missing.iter().chain(&halves.lost);
        let names = gone.map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        out.actions.push(Action::Note(format!("going on without the votes of {names}")));
        self.half.forcing = Some(Forcing {
            ticket: write.ticket,
            agreement: Box::new(agreement),
            ledger: Box::new(ledger),
            alone,
        });
        out.actions.push(Action::Write(write));
        true
    }

    /// The disk has what half of the voters waits for: that this node gave up its vote, or the history that goes on,
    /// which holds from now on.
    pub(in crate::core) fn on_forced(&mut self, now: Moment, board: &Board, ticket: Ticket, out: &mut Out) {
        if let Some(done) = self.half.standing_back.take_if(|back| back.ticket <= ticket) {
            self.half.stood_back = Some(StoodBack { slot: done.slot, era: done.era, over: None });
            self.repeat_stood_back(out);
        }
        let Some(forcing) = self.half.forcing.take_if(|forcing| forcing.ticket <= ticket) else { return };
        if !forcing.alone {
            board.take_on_promises(now.after(self.longest_promise()));
        }
        let same = forcing.ledger.digest == self.ledger.digest;
        self.agreement = Some(*forcing.agreement);
        self.take_state(*forcing.ledger, None, board);
        self.show(board);
        self.half.going = None;
        self.half.gave_votes.clear();
        self.half.attempts.clear();
        self.half.blocked_until.clear();
        board.set_firing_until(Moment::default());
        // Who stands behind this node is counted anew.
        out.actions.push(Action::Poke);
        board.set_half_until(Moment::default());
        if !same {
            self.ask_executor();
        }
    }

    /// Tells who goes by another history which ones this one went on from.
    pub(super) fn tell_parents(&mut self, out: &mut Out) {
        if self.ledger.parents.is_empty() {
            return;
        }
        for slot in (0..self.ids.len()).filter(|&slot| slot != self.slot) {
            let other = |seen: &&Sighting| seen.both_ways && seen.era != self.ledger.era;
            let Some(seen) = self.sights.heard(slot).filter(other) else { continue };
            let without_you = self.leaves_out(slot, seen.incarnation);
            if seen.era == 0 && !without_you {
                continue;
            }
            let now = (seen.boot, seen.era, self.peers.generation(slot));
            if self.half.told_parents.insert(slot, now) != Some(now) {
                let parents = self.ledger.parents.iter().copied().collect();
                let went_on = OfHalf::WentOn { era: self.ledger.era, parents, without_you };
                Core::send(slot, &Message::Half(went_on), out);
            }
        }
    }

    /// Whether this node leads, and knows nobody of this identity.
    fn leaves_out(&self, slot: usize, incarnation: u32) -> bool {
        let Some(agreement) = self.agreement.as_ref().filter(|agreement| agreement.leads()) else {
            return false;
        };
        let (voters, learners) = agreement.members();
        let identity = RaftId::new(self.ids[slot], incarnation);
        !voters.iter().chain(&learners).any(|member| *member == identity)
    }

    /// Somebody goes by a history that went on from others: if ours is one of these, it is over. A log in which nothing
    /// was agreed on as far as is known here does not say which history it is of; but it is over if this node is nobody
    /// in one that went on.
    pub(super) fn on_went_on(
        &mut self,
        (era, parents, without_us): (u64, &[u64], bool),
        board: &Board,
        out: &mut Out,
    ) {
        let has_entries = self.agreement.as_ref().is_some_and(|agreement| agreement.last().1.0 != 0);
        let is_left_out = self.ledger.era == 0 && has_entries && without_us;
        if is_left_out || half::is_left_behind(self.ledger.era, era, parents.iter().copied()) {
            out.actions.push(Action::Note("the cluster went on without this node while it was away".into()));
            self.lose_log(board, out);
        }
    }

    /// Whether another of this half turned out to have the better log, and gave up its vote in none of the beats that it
    /// has sent since it was asked.
    fn is_outdone(&self, now: Moment, going: &Going) -> bool {
        let answered = going.since.after(self.timing.lost_after * 2);
        if matches!(going.by, By::Word(_)) || !now.has_surely_reached(answered) {
            return false;
        }
        let has_log = |node: &NodeName| {
            let slot = self.names.iter().position(|known| known == node);
            let seen = slot.and_then(|slot| self.sights.heard(slot));
            !going.stood_back.contains(node) && seen.is_some_and(|seen| seen.flags & flag::LOG_LOST == 0)
        };
        let here = going.halves.here.iter().filter(|node| has_log(node)).cloned().collect();
        let halves = Halves { here, ..going.halves.clone() };
        self.better_log(&halves).is_some()
    }

    /// Who else of this half has the better log, or as good a one and comes first.
    pub(super) fn better_log(&self, halves: &Halves) -> Option<NodeName> {
        let own = (self.last_entry(), ::core::cmp::Reverse(self.slot));
        let others = (0..self.ids.len()).filter(|&slot| halves.here.contains(&self.names[slot]));
        let of = |slot: usize| Some(((self.sights.heard(slot)?.log, ::core::cmp::Reverse(slot)), slot));
        let best = others.filter_map(of).max().filter(|(log, _)| *log > own);
        best.map(|(_, slot)| self.names[slot].clone())
    }
}
