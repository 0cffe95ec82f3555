//! How a log begins, and how a node comes back whose log was lost.
//!
//! A history is founded once, by voters that have none: all of them, or after a wait a quorum that
//! hears nobody with a log. A node without a log that meets others with one may have forgotten what
//! it voted for and acknowledged. It never votes under its old identity again: the leader gives it
//! a new one, lets it catch up as a learner, and then swaps the two in one change (SAFETY rule 16).

use heart_model::{LogIndex, Moment, NodeName};
use raft::eraftpb::{ConfChangeType, ConfChangeV2};

use super::{Action, Core, Out, founders, pace};
use crate::{
    agreement::{Agreement, Change, Envelope, Founders, RaftId, Ticket, Write, nothing_here},
    board::{Board, flag},
    journal::Recovered,
    ledger::Ledger,
    plant::{Bug, is_planted},
};

/// How long, in lost-afters, a quorum of voters without a log waits for the rest before it founds a
/// history without them.
pub(crate) const FOUND_WAIT: u32 = 2;

/// When the leader last changed who votes.
#[derive(Debug, Default)]
pub(super) struct Rejoin {
    changed_at: Option<Moment>,
    next: Option<Moment>,
}

impl Rejoin {
    pub(super) fn on_changed(&mut self, now: Moment) {
        self.changed_at = Some(now);
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.next
    }
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
        let voters: Vec<usize> =
            (0..self.ids.len()).filter(|&slot| self.sights.voters >> slot & 1 == 1).collect();
        let agrees = |&&slot: &&usize| {
            slot == self.slot
                || self.sights.heard(slot).is_some_and(|seen| {
                    seen.both_ways && seen.flags & flag::VIRGIN != 0 && seen.digest == self.settings.digest
                })
        };
        let ready = voters.iter().filter(agrees).count();
        let waited = now.has_surely_reached(self.began.after(self.timing.lost_after * FOUND_WAIT));
        ready == voters.len() || is_planted(Bug::LostLogVotes) || (waited && ready >= self.sights.quorum())
    }

    /// A node without a log that meets a history which it did not help to found.
    pub(super) fn meet_history(&mut self, board: &Board, out: &mut Out) {
        let votes = self.settings.spec.nodes[&self.settings.me].voter;
        let late = board.flags() & flag::VIRGIN != 0 && self.listening_until.is_some() && votes;
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

    /// The leader's part: new identities for those who lost theirs, and a vote for those who have
    /// caught up.
    pub(super) fn readmit(&mut self, now: Moment, _board: &Board) {
        self.rejoin.next = None;
        for slot in 0..self.ids.len() {
            if slot != self.slot && self.readmit_one(now, slot) {
                return;
            }
        }
    }

    fn readmit_one(&mut self, now: Moment, slot: usize) -> bool {
        let Some(seen) = self.sights.heard(slot).filter(|seen| seen.both_ways).copied() else { return false };
        let Some(agreement) = &mut self.agreement else { return false };
        let node = self.ids[slot];
        let (voters, learners) = agreement.members();
        let newest = voters.iter().chain(&learners).filter(|id| id.node() == node).max().copied();
        let lost = seen.flags & flag::LOG_LOST != 0;
        let spaced = self.rejoin.changed_at.map(|at| at.after(self.timing.lost_after * 103 / 100));
        if let Some(until) = spaced.filter(|&until| !now.has_surely_reached(until)) {
            if lost || newest.is_some_and(|id| learners.contains(&id)) {
                self.rejoin.next = Some(until);
            }
            return false;
        }
        match newest {
            // It has acknowledged something under the newest identity, and lost it again.
            Some(id) if lost && (voters.contains(&id) || agreement.matched(id) > Some(LogIndex(0))) => {
                let next = RaftId::new(node, id.incarnation() + 1);
                agreement.propose_change(&[(next, Change::AddLearner)])
            }
            // It never acknowledged anything to this leader. The log alone is no new beginning.
            Some(id) if lost && learners.contains(&id) && !agreement.takes_in(id) => {
                self.compact_now = true;
                false
            }
            Some(id) if !lost && learners.contains(&id) => self.promote(slot, id),
            Some(_) | None => false,
        }
    }

    fn promote(&mut self, slot: usize, id: RaftId) -> bool {
        let votes = self.settings.spec.nodes[&self.names[slot]].voter;
        let Some(agreement) = &mut self.agreement else { return false };
        let caught_up = agreement.matched(id) >= Some(agreement.commit());
        let (voters, learners) = agreement.members();
        let old = voters.iter().chain(&learners).filter(|old| old.node() == id.node() && **old != id);
        let mut changes: Vec<(RaftId, Change)> = old.map(|&old| (old, Change::Remove)).collect();
        if votes {
            changes.push((id, Change::AddVoter));
        }
        caught_up && !changes.is_empty() && agreement.propose_change(&changes)
    }
}

/// Whether a change takes in a newcomer: only a snapshot made after it tells who the members are.
pub(super) fn takes_in(change: &ConfChangeV2) -> bool {
    change.changes.iter().any(|single| single.get_change_type() == ConfChangeType::AddLearnerNode)
}

/// A change of members, for people.
pub(super) fn describe(change: &ConfChangeV2, names: &[NodeName]) -> String {
    let one = |single: &raft::eraftpb::ConfChangeSingle| {
        let id = RaftId(single.node_id);
        let name = names.iter().find(|name| name.id() == id.node());
        let name = name.map_or_else(|| id.node().to_string(), ToString::to_string);
        match single.get_change_type() {
            ConfChangeType::AddNode => format!("{name} votes (incarnation {})", id.incarnation()),
            ConfChangeType::AddLearnerNode => format!("{name} follows (incarnation {})", id.incarnation()),
            ConfChangeType::RemoveNode => {
                format!("{name} is no member any more (incarnation {})", id.incarnation())
            }
        }
    };
    change.changes.iter().map(one).collect::<Vec<_>>().join(", ")
}
