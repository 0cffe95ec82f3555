//! How a node takes up its log, and how it comes back if that was lost.
//!
//! A node without a log that meets others with one may have forgotten what it voted for and
//! acknowledged. It never votes under its old identity again: the leader gives it a new one, lets it
//! catch up as a learner, and then swaps the two in one change (SAFETY rule 16).

use heart_model::Moment;

use super::{
    Action, Core, Out, Settings,
    found::{founded_otherwise, founders, has_history, pace},
};
use crate::{
    agreement::{Agreement, Envelope, Founders, RaftId, Ticket, Write, nothing_here},
    board::{Board, flag},
    journal::{Batch, Recovered},
    ledger::Ledger,
    plant::{Bug, is_planted},
    pulse::Sighting,
};

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

/// What the disk is owed when a core begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owes {
    /// Nothing.
    #[default]
    Nothing,
    /// That the log on it is lost: an earlier core of this boot was killed before it had written that.
    Mark,
    /// The log that was taken up.
    Log,
}

/// What of a log this node may take up under this configuration.
pub(super) fn usable(log: Log, settings: &Settings) -> Log {
    // Nothing whole is left of it: that counts as a disk that was empty.
    let log = match log {
        Log::Recovered(recovered) if recovered.length == 0 => Log::Empty,
        log => log,
    };
    match log {
        // Who does not vote founds nothing: the leader takes it in.
        Log::Empty if !settings.spec.nodes[&settings.me].voter => Log::Damaged,
        // A vote that was given to found another set of voters is none for this one.
        Log::Recovered(recovered) if recovered.lost || founded_otherwise(&recovered, &settings.spec) => {
            Log::Damaged
        }
        // Of another node: its machine was copied, or it had another name. Who agreed to what is in it is somebody else.
        Log::Recovered(recovered) if is_of_another(&recovered, settings) => Log::Damaged,
        // It was taken in, and what it was taken in with never became durable: it does not know who its members are.
        Log::Recovered(recovered) if is_bare(&recovered) => Log::Damaged,
        log => log,
    }
}

fn is_of_another(recovered: &Recovered, settings: &Settings) -> bool {
    recovered.raft_id != 0 && RaftId(recovered.raft_id).node() != settings.me.id()
}

fn is_bare(recovered: &Recovered) -> bool {
    let begins = recovered.founders.is_some() || recovered.snapshot.get_metadata().index != 0;
    recovered.raft_id != 0 && !begins && recovered.entries.is_empty()
}

impl Core {
    /// Takes up a log that was found.
    pub(super) fn take_up(&mut self, recovered: Recovered, board: &Board) {
        let state = recovered.snapshot.clone();
        if let Ok(ledger) = Ledger::restore(crate::agreement::state_of(&state)) {
            self.take_state(ledger, None, board);
        }
        // What was appended before binds this voter as before (SAFETY rule 4).
        let entries = recovered.entries.clone();
        self.revoke(&entries, None, board);
        let me = RaftId(recovered.raft_id);
        let me = if me.0 == 0 { RaftId::new(self.ids[self.slot], 1) } else { me };
        self.agreement = Some(Agreement::new(me, recovered, &founders(&self.settings.spec), pace(self.slot)));
        self.owes = Owes::Log;
    }

    /// First of all, what the disk is owed of what was found there.
    pub(super) fn pay_disk(&mut self, out: &mut Out) {
        match (::core::mem::take(&mut self.owes), &mut self.agreement) {
            (Owes::Mark, _) => _ = self.mark_lost(out),
            (Owes::Log, Some(agreement)) => out.actions.push(Action::Write(agreement.save_anew())),
            (Owes::Log | Owes::Nothing, _) => {}
        }
    }

    /// A node without a log that meets a history which it did not help to found; or of which nothing
    /// reaches it, because there it is somebody else or nobody, although it may have voted for the first
    /// leader of another.
    pub(super) fn meet_history(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let heard: Vec<&Sighting> = (0..self.ids.len()).filter_map(|slot| self.sights.heard(slot)).collect();
        let begun = heard.iter().any(|seen| has_history(seen) && seen.digest == self.settings.digest);
        let empty = self.agreement.as_ref().is_some_and(|agreement| agreement.last().1.0 == 0);
        self.founding.met_at = self.founding.met_at.or(Some(now)).filter(|_| begun && empty);
        let passed_by =
            self.founding.met_at.is_some_and(|at| now.has_surely_reached(at.after(self.timing.lost_after)));
        let late = board.flags() & flag::VIRGIN != 0 && self.listening_until.is_some();
        let begun_already = heard.iter().any(|seen| has_history(seen));
        if !is_planted(Bug::LostLogVotes) && (passed_by || (late && begun_already)) {
            self.lose_log(board, out);
        }
    }

    /// This log cannot be used any more.
    /// Returns the write after which no later life takes it up.
    pub(super) fn lose_log(&mut self, board: &Board, out: &mut Out) -> Ticket {
        out.actions.push(Action::Note(
            "this node has no log, or one that is shorter than it once was: it asks for a new identity and does \
             not vote until it has caught up"
                .into(),
        ));
        out.actions.push(Action::Poke);
        if let Some(agreement) = self.agreement.take() {
            self.next_ticket = agreement.next_ticket();
            self.spent = Some((self.ledger.era, agreement.me()));
        }
        let ticket = self.mark_lost(out);
        self.adopting = None;
        self.conductor = None;
        self.listening_until = None;
        self.ledger = Ledger::default();
        // Who has no vote agrees to nothing as it is.
        self.half.forget();
        board.set_firing_until(Moment::default());
        board.set_leading(None);
        board.set_flags((board.flags() | flag::LOG_LOST) & !(flag::VIRGIN | flag::LISTENING));
        ticket
    }

    /// What is on the disk is not to be taken up again by a later life (SAFETY rule 16).
    pub(super) fn mark_lost(&mut self, out: &mut Out) -> Ticket {
        let bytes = Batch { lost: true, ..Batch::default() }.encode_framed();
        let ticket = self.next_ticket;
        out.actions.push(Action::Write(Write { ticket, replaces: false, bytes }));
        self.next_ticket = Ticket(ticket.0 + 1);
        ticket
    }

    /// A leader of this history spoke to this node, which has no log: a snapshot that takes this life of it in as a
    /// learner is its new beginning; to anything else it says that it has nothing.
    pub(super) fn adopt(&mut self, board: &Board, era: u64, message: (Envelope, &[u8]), out: &mut Out) {
        let (envelope, bytes) = message;
        // What it would be taken in with has to become durable.
        let takes = self.health.disk_sick_since().is_none();
        let lost = board.flags() & flag::LOG_LOST != 0 && self.agreement.is_none();
        if !(lost && takes) || envelope.to.node() != self.ids[self.slot] {
            return;
        }
        // A leader that was cut off meanwhile may still send what it sent before this life had the identity, and lost it.
        let spent = self.spent.is_some_and(|(of, last)| of == era && envelope.to <= last);
        let meant = envelope.takes_in == Some(board.boot()) && !spent;
        if !meant {
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
        self.show(board);
        // Until the disk has it, a later life would find the old one.
        self.adopting = Some(ticket);
    }
}

#[cfg(test)]
mod tests {
    use heart_model::NodeName;
    use raft::eraftpb::{ConfState, Entry};

    use super::*;
    use crate::example;

    /// What becomes of this log on `bob`.
    #[track_caller]
    fn check(what: &str, recovered: Recovered, is_taken_up: bool) {
        let me = NodeName::new("bob").expect("a name");
        let spec = example::spec(&[("ada", &[]), ("bob", &[])]);
        let settings = Settings { me, spec, digest: 1, seed: 1, handed_over: false };
        let log = usable(Log::Recovered(Box::new(Recovered { length: 1, ..recovered })), &settings);
        assert_eq!(matches!(log, Log::Recovered(_)), is_taken_up, "{what}: {log:?}");
        assert!(is_taken_up || matches!(log, Log::Damaged), "{what}: it is no new beginning");
    }

    #[test]
    fn a_log_is_taken_up_only_by_whose_it_is() {
        let of =
            |name: &str, incarnation| RaftId::new(NodeName::new(name).expect("a name").id(), incarnation).0;
        let voters = ["ada", "bob"].map(|name| of(name, 1)).to_vec();
        let founders = Some(ConfState::from((voters, Vec::new())));
        let log = |raft_id| Recovered { raft_id, founders: founders.clone(), ..Recovered::default() };
        check("its own", log(of("bob", 1)), true);
        check("its own, of before logs said whose they are", log(0), true);
        check("of the machine it was copied from", log(of("ada", 1)), false);
        check("one that was lost", Recovered { lost: true, ..log(of("bob", 1)) }, false);
        let bare = Recovered { raft_id: of("bob", 2), ..Recovered::default() };
        check("of which only the identity was written", bare.clone(), false);
        check("with entries", Recovered { entries: vec![Entry::default()], ..bare }, true);
    }
}
