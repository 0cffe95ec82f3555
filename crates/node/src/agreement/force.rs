//! A log that goes on without voters that nobody has to ask any more (SAFETY rules 17 and 18).
//!
//! Whether it may is not decided here. What this log holds counts as agreed on from then on, which is right as long
//! as no quorum of the old voters can be without all of those that go on.

use heart_model::{LogIndex, Term};
use raft::eraftpb::{ConfChangeType, ConfState, Entry, HardState, Snapshot};

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

    /// Whether somebody may vote by now that this node does not know to vote.
    #[must_use]
    pub fn votes_may_be_new(&self) -> bool {
        let conf = &self.raw.store().conf;
        let changes = self.unapplied().filter_map(conf_change).flat_map(|change| change.changes);
        let mut added = changes.filter(|one| one.get_change_type() == ConfChangeType::AddNode);
        !conf.voters_outgoing.is_empty() || added.any(|one| !conf.voters.contains(&one.node_id))
    }

    /// As [`rest`](Agreement::rest), also if it takes votes from some. Not if it may have given a vote to somebody: they may
    /// decide without those that this node knows to vote.
    #[must_use]
    pub fn whole_rest(&self) -> Option<(Vec<Entry>, Beginning)> {
        if !self.unpersisted.is_empty() || self.votes_may_be_new() {
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

#[cfg(test)]
mod tests {
    use heart_model::NodeId;
    use prost::Message as _;
    use raft::eraftpb::{ConfChangeSingle, ConfChangeV2, EntryType};

    use super::*;
    use crate::agreement::Pace;

    const ADA: RaftId = RaftId(1 << 32 | 1);
    const BOB: RaftId = RaftId(1 << 32 | 2);
    const CYN: RaftId = RaftId(1 << 32 | 3);

    /// Whether `ada` could go on from a log of `ada` and `bob` that ends with this change of members: by itself, and by a
    /// person's word.
    #[track_caller]
    fn check(kind: ConfChangeType, id: RaftId, by_itself: bool, by_word: bool) {
        let mut single = ConfChangeSingle { node_id: id.0, ..ConfChangeSingle::default() };
        single.set_change_type(kind);
        let change = ConfChangeV2 { changes: vec![single], ..ConfChangeV2::default() };
        let mut last = Entry { index: 2, term: 1, data: change.encode_to_vec(), ..Entry::default() };
        last.set_entry_type(EntryType::EntryConfChangeV2);
        let first = Entry { index: 1, term: 1, ..Entry::default() };
        let recovered = Recovered {
            raft_id: ADA.0,
            hard_state: HardState { term: 1, commit: 1, ..HardState::default() },
            entries: vec![first, last],
            founders: Some(ConfState::from((vec![ADA.0, BOB.0], Vec::new()))),
            ..Recovered::default()
        };
        assert_eq!(NodeId(1), ADA.node());
        let pace = Pace { election_ticks: 10, heartbeat_ticks: 1 };
        let mut log = Agreement::new(ADA, recovered, &Founders::default(), pace);
        while log.next_committed().is_some() {}
        let found = (log.rest().is_some(), log.whole_rest().is_some());
        assert_eq!(found, (by_itself, by_word), "{kind:?} {id:?}");
    }

    /// Whoever may have got a vote may decide something with others, without those that this node knows to vote.
    #[test]
    fn a_person_is_not_heard_where_somebody_may_have_got_a_vote() {
        check(ConfChangeType::RemoveNode, BOB, false, true);
        check(ConfChangeType::AddLearnerNode, BOB, false, true);
        check(ConfChangeType::AddNode, CYN, false, false);
        check(ConfChangeType::AddNode, BOB, false, true);
    }
}
