//! Who is a member of the log, and who of them votes: what is in force, and what was appended to change it.

use std::collections::BTreeSet;

use heart_model::{BootId, LogIndex, NodeId};
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, Message, MessageType};

use super::{
    Agreement, Change, ConfigurationId, RaftId, WRITES_UNDER_WAY_MAX, conf_change, encode,
    envelope::for_life, nodes,
};

impl Agreement {
    /// Whether the node with this identity votes in the configuration that is in force.
    #[must_use]
    pub fn is_voter(&self, id: RaftId) -> bool {
        self.raw.store().conf.voters.contains(&id.0)
    }

    /// Whether no change of the members is under way: none between two sets of voters, where a quorum
    /// of both is needed, and none that was appended but not applied.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let store = self.raw.store();
        store.conf.voters_outgoing.is_empty() && !self.changes_members()
    }

    /// Whether an entry that was appended but not applied changes the members.
    fn changes_members(&self) -> bool {
        self.unapplied().any(|entry| conf_change(entry).is_some())
    }

    /// Entries that were appended and not handed out yet: few, however long the log is.
    pub(super) fn unapplied(&self) -> impl Iterator<Item = &Entry> {
        let entries = &self.raw.store().entries;
        let first = entries.partition_point(|entry| entry.index <= self.applied);
        entries.range(first..)
    }

    /// The nodes that vote in the configuration that is in force, one for each of their identities.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + Clone {
        self.raw.store().conf.voters.iter().map(|&id| RaftId(id).node())
    }

    /// How many identities vote in the configuration that is in force.
    #[must_use]
    pub fn size(&self) -> usize {
        self.raw.store().conf.voters.len()
    }

    /// The configuration that is in force: voters and learners.
    #[must_use]
    pub fn members(&self) -> (Vec<RaftId>, Vec<RaftId>) {
        let ids = |ids: &[u64]| ids.iter().copied().map(RaftId).collect();
        (ids(&self.raw.store().conf.voters), ids(&self.raw.store().conf.learners))
    }

    /// Proposes a change of members, all in one. False if we do not lead, or another change is
    /// under way.
    pub fn propose_change(&mut self, changes: &[(RaftId, Change)]) -> bool {
        let single = |&(id, change): &(RaftId, Change)| {
            let mut single = ConfChangeSingle { node_id: id.0, ..ConfChangeSingle::default() };
            single.set_change_type(match change {
                Change::AddVoter => ConfChangeType::AddNode,
                Change::AddLearner => ConfChangeType::AddLearnerNode,
                Change::Remove => ConfChangeType::RemoveNode,
            });
            single
        };
        let change =
            ConfChangeV2 { changes: changes.iter().map(single).collect(), ..ConfChangeV2::default() };
        let proposed = self.leads()
            && self.unpersisted.len() < WRITES_UNDER_WAY_MAX
            && !self.raw.raft.has_pending_conf()
            && self.raw.propose_conf_change(Vec::new(), change).is_ok();
        if proposed {
            // From here on its votes may count: no other log may take its place.
            self.given.retain(|id, _| !changes.contains(&(*id, Change::AddVoter)));
        }
        proposed
    }

    /// An identity that nobody had is given to this life of its node, which has no log; by this leader, in this term.
    pub fn give(&mut self, id: RaftId, boot: BootId) {
        let term = self.term();
        self.given.retain(|other, (by, _)| *by == term && other.node() != id.node());
        self.given.insert(id, (term, boot));
    }

    /// For which life this leader gave an identity that does not vote yet. What another leader gave, and one that voted,
    /// may have a log somewhere, and may have lost it again.
    #[must_use]
    pub fn given_to(&self, id: RaftId) -> Option<BootId> {
        let current = self.given.get(&id).filter(|(term, _)| self.leads() && *term == self.term());
        current.map(|(_, boot)| *boot)
    }

    /// A snapshot says for which life it is a new beginning, if it is one.
    pub(super) fn encode(&self, message: &Message) -> (NodeId, Vec<u8>) {
        let snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
        match self.given_to(RaftId(message.to)).filter(|_| snapshot) {
            Some(boot) => encode(&for_life(message, boot)),
            None => encode(message),
        }
    }

    /// How far the follower with this identity has the log, if we lead.
    #[must_use]
    pub fn matched(&self, id: RaftId) -> Option<LogIndex> {
        let progress = self.raw.raft.prs().get(id.0).filter(|_| self.leads())?;
        Some(LogIndex(progress.matched))
    }

    /// Whether the snapshot that this log begins with knows the node with this identity as a learner:
    /// only such a one can be the new beginning of a node without a log.
    #[must_use]
    pub fn takes_in(&self, id: RaftId) -> bool {
        self.raw.store().snapshot.get_metadata().get_conf_state().learners.contains(&id.0)
    }

    /// The last voter configuration that was appended, committed or not: the place of the entry that
    /// last changed which nodes vote, and those nodes. A node that comes back under a new identity
    /// is the same node to this, and may be named twice.
    #[must_use]
    pub fn appended_configuration(&self) -> (ConfigurationId, Vec<NodeId>) {
        let mut at = self.configured_at;
        // Nearly always.
        if !self.changes_members() {
            return (at, self.voters().collect());
        }
        let mut voters: BTreeSet<u64> = self.raw.store().conf.voters.iter().copied().collect();
        for entry in self.unapplied() {
            let Some(change) = conf_change(entry) else { continue };
            let before = nodes(&voters);
            for single in &change.changes {
                if single.get_change_type() == ConfChangeType::AddNode {
                    voters.insert(single.node_id);
                } else {
                    voters.remove(&single.node_id);
                }
            }
            if nodes(&voters) != before {
                at = ConfigurationId::of(entry);
            }
        }
        (at, nodes(&voters).into_iter().collect())
    }

    /// The configuration that this log began with, as long as it is known by nothing but the file of that
    /// day; a log that begins with a snapshot says itself who its members are.
    #[must_use]
    pub fn origin(&self) -> Option<ConfigurationId> {
        (self.raw.store().snapshot_index() == 0).then_some(self.origin)
    }

    /// Whether the entry at this place is the one that last changed which nodes vote.
    #[must_use]
    pub fn altered_by(&self, index: LogIndex) -> bool {
        self.configured_at.place() == index.0
    }
}
