//! The state that the log leads to: entries applied, snapshots taken up and made.

use heart_model::{LogIndex, Moment};

use super::{Action, Core, LOG_ENTRIES_MAX, Out, members};
use crate::{
    agreement::{self, Agreement, Ticket},
    board::Board,
    ledger::{self, Change, Ledger},
};

impl Core {
    /// Takes up the state of a snapshot, which the disk has after this write.
    pub(super) fn restore(
        &mut self,
        now: Moment,
        (state, waits_for): (&[u8], Option<Ticket>),
        board: &Board,
        out: &mut Out,
    ) {
        match Ledger::restore(state) {
            Ok(ledger) => {
                self.take_state(ledger, waits_for, board);
                self.lives_known = self.ledger.nodes.keys().map(|name| (name.clone(), now)).collect();
            }
            Err(error) => {
                out.actions.push(Action::Note(format!("the leader's snapshot cannot be read: {error}")));
            }
        }
        self.ask_executor();
    }

    /// Takes up a state whole. What was taken over before it binds this voter as if it had appended
    /// the takeovers itself (SAFETY rule 4). The disk has it after this write; none if it has it already.
    pub(super) fn take_state(&mut self, ledger: Ledger, waits_for: Option<Ticket>, board: &Board) {
        self.ledger = ledger;
        for (name, session) in self.ledger.taken_over() {
            self.revoked.on_appended(board, (self.slot, &self.names), (name, session), waits_for);
            if let Some(slot) = self.names.iter().position(|known| known == name) {
                board.end(slot, session);
            }
        }
    }

    /// The executor is to be told what is configured, and to say what it has.
    pub(super) fn ask_executor(&mut self) {
        self.executor_told = false;
        self.executor_asked = None;
        self.tell_executor_anew();
    }

    /// Applies what was committed. Whether there was anything.
    pub(super) fn apply(&mut self, now: Moment, board: &Board) -> bool {
        let mut any = false;
        while let Some(entry) = self.agreement.as_mut().and_then(Agreement::next_committed) {
            any = true;
            let index = LogIndex(entry.index);
            if let Some(change) = agreement::conf_change(&entry) {
                let text = members::describe(&change, self.ledger.spec.as_ref());
                self.ledger.on_members(index, text, members::identities(&change));
                self.on_members(now, index);
                self.compact_now |= members::takes_in(&change);
                continue;
            }
            let Ok(entry) = ledger::read(&entry.data) else { continue };
            let held = self.ledger.apply(index, &entry);
            if let Change::TakeOver { node, session, .. } = &entry.change
                && let Some(slot) = self.names.iter().position(|name| name == node).filter(|_| held)
            {
                board.end(slot, *session);
            }
            if let Change::Admit { node, .. } = &entry.change
                && held
            {
                self.lives_known.insert(node.clone(), now);
            }
            if matches!(entry.change, Change::Configure { .. }) {
                self.half.on_configured();
                self.ask_executor();
            }
            if let Some(conductor) = &mut self.conductor {
                conductor.on_applied(&entry.change);
            }
        }
        any
    }

    /// A voter that appends a takeover promises nothing more to that session (SAFETY rule 4). The disk has it after this
    /// write; none if it has it already.
    pub(super) fn revoke(
        &mut self,
        appended: &[raft::eraftpb::Entry],
        waits_for: Option<Ticket>,
        board: &Board,
    ) {
        for entry in appended {
            let Ok(entry) = ledger::read(&entry.data) else { continue };
            let Change::TakeOver { node, session, .. } = entry.change else { continue };
            self.revoked.on_appended(board, (self.slot, &self.names), (&node, session), waits_for);
        }
    }

    pub(super) fn compact(&mut self, out: &mut Out) {
        let Some(agreement) = self.agreement.as_mut().filter(|_| !self.half.is_forcing()) else { return };
        if ::core::mem::take(&mut self.compact_now) || agreement.length() > LOG_ENTRIES_MAX {
            out.actions.extend(agreement.compact(&self.ledger.save()).map(Action::Write));
        }
    }
}
