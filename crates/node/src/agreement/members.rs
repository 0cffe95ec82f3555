//! Who is a member of the log, and who of them votes: what is in force, and what was appended to change it.

use std::collections::BTreeSet;

use heart_model::{LogIndex, NodeId};
use raft::eraftpb::{ConfChangeType, Entry};

use super::{Agreement, ConfigurationId, RaftId, conf_change, nodes};

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
    fn unapplied(&self) -> impl Iterator<Item = &Entry> {
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
