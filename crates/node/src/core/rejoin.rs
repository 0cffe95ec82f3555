//! How a log begins, and how a node comes back whose log was lost.
//!
//! A history is founded once, by voters that have none: all of them, or after a wait a quorum that
//! hears nobody with a log. A node without a log that meets others with one may have forgotten what
//! it voted for and acknowledged. It never votes under its old identity again: the leader gives it
//! a new one, lets it catch up as a learner, and then swaps the two in one change (SAFETY rule 16).

use heart_model::Moment;

use super::{Action, Core, Out, founders, pace};
use crate::{
    agreement::{Agreement, Envelope, Founders, RaftId, Ticket, Write, nothing_here},
    board::{Board, flag},
    journal::Recovered,
    ledger::Ledger,
    plant::{Bug, is_planted},
};

/// How long, in lost-afters, a quorum of voters without a log waits for the rest before it founds a
/// history without them.
pub(crate) const FOUND_WAIT: u32 = 2;

/// What was found of this node's log.
#[derive(Clone, Debug)]
pub enum Log {
    /// There was none.
    Empty,
    /// It was taken up.
    Recovered(Box<Recovered>),
    /// It was there but cannot be used: the node comes back under a new identity.
    Damaged,
}

impl Core {
    /// Takes up a log that was found.
    pub(super) fn take_up(&mut self, recovered: Recovered, board: &Board) {
        let state = recovered.snapshot.clone();
        if let Ok(ledger) = Ledger::restore(crate::agreement::state_of(&state)) {
            self.take_state(ledger, board);
        }
        // What was appended before binds this voter as before (SAFETY rule 4).
        let entries = recovered.entries.clone();
        self.revoke(&entries, board);
        let me = RaftId(recovered.raft_id);
        let me = if me.0 == 0 { RaftId::new(self.ids[self.slot], 1) } else { me };
        self.agreement = Some(Agreement::new(me, recovered, &founders(&self.settings.spec), pace(self.slot)));
    }

    /// Begins an empty log under the first identity; whether it may vote with it is not said yet.
    pub(super) fn found(&mut self) {
        let me = RaftId::new(self.ids[self.slot], 1);
        let recovered = Recovered { raft_id: me.0, ..Recovered::default() };
        self.agreement = Some(Agreement::new(me, recovered, &founders(&self.settings.spec), pace(self.slot)));
    }

    /// Whether this node, which has no log, may vote for the first leader of a new history.
    pub(super) fn may_found(&self, now: Moment) -> bool {
        self.are_founders(now, flag::LOG_LOST)
    }

    /// Whether this node, if it has no log, may stand for election: a history that begins while another
    /// voter is not ready yet would take that one for somebody who lost its log.
    pub(super) fn may_begin(&self, now: Moment, board: &Board) -> bool {
        board.log().2.0 > 0 || self.are_founders(now, flag::LOG_LOST | flag::LISTENING)
    }

    /// Whether all voters are heard, go by the same file, have an empty log (a vote may be in it) and say
    /// none of this of themselves; or a quorum of them, after a wait.
    fn are_founders(&self, now: Moment, not: u64) -> bool {
        let voters = (0..self.ids.len()).filter(|&slot| self.sights.voters.contains(slot));
        let agrees = |&slot: &usize| {
            slot == self.slot
                || self.sights.heard(slot).is_some_and(|seen| {
                    let empty = seen.log.1.0 == 0 && seen.flags & not == 0;
                    seen.both_ways && empty && seen.digest == self.settings.digest
                })
        };
        let ready = voters.filter(agrees).count();
        let waited = now.has_surely_reached(self.began.after(self.timing.lost_after * FOUND_WAIT));
        ready == self.sights.voters.size
            || is_planted(Bug::LostLogVotes)
            || (waited && ready >= self.sights.quorum())
    }

    /// A node without a log that meets a history which it did not help to found.
    pub(super) fn meet_history(&mut self, board: &Board, out: &mut Out) {
        let late = board.flags() & flag::VIRGIN != 0 && self.listening_until.is_some();
        let others = (0..self.ids.len()).filter_map(|slot| self.sights.heard(slot));
        if late
            && !is_planted(Bug::LostLogVotes)
            && others
                .into_iter()
                .any(|seen| seen.flags & (flag::VIRGIN | flag::LOG_LOST) == 0 && seen.log.1.0 > 0)
        {
            self.lose_log(board, out);
        }
    }

    /// This log cannot be used any more.
    pub(super) fn lose_log(&mut self, board: &Board, out: &mut Out) {
        out.actions.push(Action::Note(
            "this node has no log, or one that is shorter than it once was: it asks for a new identity and does \
             not vote until it has caught up"
                .into(),
        ));
        out.actions.push(Action::Poke);
        if let Some(agreement) = self.agreement.take() {
            self.next_ticket = agreement.next_ticket();
        }
        self.conductor = None;
        self.listening_until = None;
        self.ledger = Ledger::default();
        board.set_leading(None);
        board.set_flags((board.flags() | flag::LOG_LOST) & !(flag::VIRGIN | flag::LISTENING));
    }

    /// A leader spoke to this node, which has no log: a snapshot that takes it in as a learner is
    /// its new beginning; to anything else it says that it has nothing.
    pub(super) fn adopt(&mut self, board: &Board, envelope: Envelope, bytes: &[u8], out: &mut Out) {
        let lost = board.flags() & flag::LOG_LOST != 0 && self.agreement.is_none();
        if !lost || envelope.to.node() != self.ids[self.slot] {
            return;
        }
        if !envelope.takes_in {
            self.send_all(nothing_here(bytes).into_iter().collect(), out);
            return;
        }
        let recovered = Recovered { raft_id: envelope.to.0, ..Recovered::default() };
        let nobody = Founders::default();
        let mut agreement = Agreement::new(envelope.to, recovered, &nobody, pace(self.slot));
        let ticket = self.next_ticket;
        agreement.count_tickets_from(Ticket(ticket.0 + 1));
        let bytes = agreement.file();
        out.actions.push(Action::Write(Write { ticket, replaces: true, bytes }));
        out.actions
            .push(Action::Note(format!("taking part again as incarnation {}", envelope.to.incarnation())));
        self.agreement = Some(agreement);
        board.set_flags(board.flags() & !flag::LOG_LOST);
    }
}
