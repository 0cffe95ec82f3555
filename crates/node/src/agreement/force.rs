//! A log that goes on without voters that nobody has to ask any more (SAFETY rules 17 and 18).
//!
//! Whether it may is not decided here. What this log holds counts as agreed on from then on, which is right as long
//! as no quorum of the old voters can be without all of those that go on.

use heart_model::{LogIndex, Term};
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

use super::{Agreement, ConfigurationId, Founders, RaftId, Ticket, Write, conf_change, with_configured_at};
use crate::journal::Recovered;

/// The first place of a log that goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// A term in which nobody led, as far as this node gave its vote.
    pub term: Term,
    /// The place in the log, behind everything it holds.
    pub index: u64,
}

impl Beginning {
    /// The configuration that begins there.
    #[must_use]
    pub fn configuration(self) -> ConfigurationId {
        ConfigurationId::at(self.term.0, self.index)
    }
}

impl Agreement {
    /// The configuration that was applied last.
    #[must_use]
    pub fn configuration(&self) -> ConfigurationId {
        self.configured_at
    }

    /// Whether every voter has durably applied the configuration of voters that is in force, and the log up to
    /// `since`, as far as the leader knows (SAFETY rule 17, settled).
    #[must_use]
    pub fn is_known_to_all(&self, since: LogIndex) -> bool {
        let place = self.configured_at.index().max(since.0);
        let (voters, _) = self.members();
        let knows = |id: &RaftId| {
            if *id == self.me {
                return self.durable_commit >= place;
            }
            let progress = self.raw.raft.prs().get(id.0);
            progress.is_some_and(|progress| progress.committed_index >= place)
        };
        self.leads() && self.is_settled() && voters.iter().all(knows)
    }

    /// The entries that were appended here and not applied, and where a log that goes on after them begins.
    /// None while something of them is not on the disk, or changes who the members are.
    #[must_use]
    pub fn rest(&self) -> Option<(Vec<Entry>, Beginning)> {
        let whole = self.whole_rest().filter(|_| self.is_settled());
        whole.filter(|(rest, _)| rest.iter().all(|entry| conf_change(entry).is_none()))
    }

    /// The same, whatever it changes.
    #[must_use]
    pub fn whole_rest(&self) -> Option<(Vec<Entry>, Beginning)> {
        if !self.unpersisted.is_empty() {
            return None;
        }
        let store = self.raw.store();
        let rest: Vec<Entry> =
            store.entries.iter().filter(|entry| entry.index > self.applied).cloned().collect();
        let begins = Beginning { term: Term(self.raw.raft.term + 1), index: store.last() + 1 };
        Some((rest, begins))
    }

    /// The log that goes on from `begins` with this node as its only voter, and `state` as what everything before
    /// led to; and the write that makes it so. Until that is durable this log is the one that holds, and nothing
    /// may be added to it.
    #[must_use]
    pub fn forced(&self, state: &[u8], begins: Beginning) -> (Agreement, Write) {
        let conf = ConfState::from((vec![self.me.0], Vec::new()));
        let data = with_configured_at(begins.configuration(), state);
        let mut snapshot = Snapshot { data, ..Snapshot::default() };
        snapshot.mut_metadata().index = begins.index;
        snapshot.mut_metadata().term = begins.term.0;
        snapshot.mut_metadata().set_conf_state(conf);
        let hard_state = HardState { term: begins.term.0, commit: begins.index, ..HardState::default() };
        let recovered = Recovered { raft_id: self.me.0, hard_state, snapshot, ..Recovered::default() };
        let mut forced = Agreement::new(self.me, recovered, &Founders::default(), self.pace);
        let ticket = self.next_ticket;
        forced.count_tickets_from(Ticket(ticket.0 + 1));
        let write = Write { ticket, replaces: true, bytes: forced.file() };
        (forced, write)
    }
}
