//! Who is a member of the cluster's log, and who of them votes: the leader brings it in line with the
//! configuration that was agreed on, one change at a time.
//!
//! A node that is new, or lost its log, gets an identity it never had and follows until it has caught
//! up; then it takes the place of its old identity in one change (SAFETY rule 16). Which *nodes* vote
//! is changed one node at a time and not faster than promises run out (rule 5): so what one
//! configuration promised is over before the next but one can decide anything. Nodes that are
//! proven off do not vote before they are back, so that a cluster that shrinks can lose more of what is left.

use heart_model::{LogIndex, Moment, NodeId, NodeName, Spec, Timing, voters_left};
use raft::eraftpb::{ConfChangeType, ConfChangeV2};
use std::collections::BTreeSet;

use super::{Core, Out};
use crate::{
    agreement::{Agreement, Change, ConfigurationId, RaftId},
    board::{Voters, flag},
    ledger::NodeLedger,
    pulse::Sighting,
};

/// Time between two changes of who votes, in percent of lost-after (SAFETY rule 5).
const SPACING_PERCENT: u32 = 103;

/// The leader's memory of changes.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// When it was last applied that other nodes vote, or when this node began to lead.
    altered_at: Option<Moment>,
    /// When any change was applied last.
    changed_at: Option<Moment>,
    next: Option<Moment>,
    /// The configuration of voters that was said to be known to all, and when.
    pub(super) settling: Option<(u64, Moment)>,
}

impl Members {
    /// Other nodes vote from now on, or this node leads from now on.
    pub(super) fn on_altered(&mut self, now: Moment) {
        self.altered_at = Some(now);
        self.changed_at = Some(now);
    }

    /// Whether everybody has spoken since the last change.
    fn rests(&self, now: Moment, timing: Timing) -> bool {
        self.changed_at.is_none_or(|at| now.has_surely_reached(at.after(timing.lost_after)))
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.next
    }
}

/// A change that is due.
type Due = Vec<(RaftId, Change)>;

/// The members in force, and who of those that the file has vote does not have to.
struct Tally {
    voters: Vec<RaftId>,
    learners: Vec<RaftId>,
    spared: Vec<usize>,
}

impl Core {
    /// The leader's part. One change at a time is under way; raft refuses a second one.
    pub(super) fn tend_members(&mut self, now: Moment, out: &mut Out) {
        self.members.next = None;
        self.compact_now |= self.waits_for_snapshot();
        let due = self.due_change(now, true);
        let voters = self.agreement.as_ref().map(|agreement| agreement.members().0).unwrap_or_default();
        let alters = due.as_ref().is_some_and(|due| nodes(&altered(&voters, due)) != nodes(&voters));
        let free = self.keep_standing(now, alters, out);
        // One that has to wait keeps nobody from getting an identity.
        let due = if free || !alters { due } else { self.due_change(now, false) };
        if let (Some(due), Some(agreement)) = (due, &mut self.agreement)
            && agreement.propose_change(&due)
        {
            self.give_identities(&due);
        }
    }

    /// A newcomer without a log gets its identity for this life of it alone (SAFETY rule 16).
    fn give_identities(&mut self, proposed: &Due) {
        let Some(agreement) = &mut self.agreement else { return };
        let (voters, learners) = agreement.members();
        for (id, _) in proposed.iter().filter(|(id, change)| {
            *change == Change::AddLearner && !voters.contains(id) && !learners.contains(id)
        }) {
            let slot = self.ids.iter().position(|known| *known == id.node());
            let seen = slot.and_then(|slot| self.sights.heard(slot));
            if let Some(seen) = seen.filter(|seen| seen.flags & flag::LOG_LOST != 0) {
                agreement.give(*id, seen.boot);
            }
        }
    }

    /// Whether a follower without a log is to begin with a snapshot, and there is none that knows it: the
    /// log alone is no new beginning.
    fn waits_for_snapshot(&self) -> bool {
        let Some(agreement) = &self.agreement else { return false };
        let (_, learners) = agreement.members();
        let lost = |id: &&RaftId| {
            let slot = self.ids.iter().position(|known| *known == id.node());
            let seen = slot.and_then(|slot| self.sights.heard(slot));
            seen.is_some_and(|seen| seen.both_ways && seen.flags & flag::LOG_LOST != 0)
        };
        learners.iter().filter(lost).any(|id| !agreement.takes_in(*id))
    }

    /// The first change that is due and may be made: newcomers, then who caught up, then who is to vote
    /// no longer, then who is no member any more, and this node itself at the end.
    fn due_change(&mut self, now: Moment, may_alter: bool) -> Option<Due> {
        let (agreement, spec) = (self.agreement.as_ref()?, self.ledger.spec.as_ref()?);
        let tally = self.tally(spec, agreement);
        let voters = &tally.voters;
        let strangers = voters.iter().chain(&tally.learners).filter(|id| !is_known(spec, id.node()));
        let removals = strangers.map(|&id| vec![(id, Change::Remove)]);
        let others = (0..self.ids.len()).filter(|&slot| slot != self.slot);
        let of_others = others.filter_map(|slot| self.change_of(now, slot, spec, agreement, &tally));
        let all: Vec<Due> = of_others.chain(removals).chain(self.own_change(spec, agreement)).collect();
        let (mut wait, mut due) = (None, None);
        for change in all {
            let after = altered(voters, &change);
            if nodes(&after) != nodes(voters) {
                if !may_alter {
                    continue;
                }
                if let Some(until) = self.altered_until().filter(|&until| !now.has_surely_reached(until)) {
                    wait = Some(until);
                    continue;
                }
                if !self.can_do_with(&after) {
                    continue;
                }
            }
            due = Some(change);
            break;
        }
        self.members.next = wait;
        due
    }

    /// A change of members was applied.
    pub(super) fn on_members(&mut self, now: Moment, index: LogIndex) {
        let Some(agreement) = &mut self.agreement else { return };
        self.members.changed_at = Some(now);
        if agreement.altered_by(index) {
            self.members.on_altered(now);
        }
        // A leader without a vote cannot go on: who votes elects another.
        if agreement.leads() && !agreement.is_voter(agreement.me()) {
            agreement.step_down();
        }
    }

    /// Until when the last change of who votes has to rest.
    fn altered_until(&self) -> Option<Moment> {
        let spacing = self.longest_promise() * SPACING_PERCENT / 100;
        self.members.altered_at.map(|at| at.after(spacing))
    }

    /// Whether a quorum of these voters is heard: a change must not leave the cluster without one. An identity that a
    /// node had before it lost its log answers nobody any more.
    fn can_do_with(&self, voters: &[RaftId]) -> bool {
        self.heard_of(voters) > voters.len() / 2
    }

    /// How many of these voters are heard, this node counted.
    fn heard_of(&self, voters: &[RaftId]) -> usize {
        let heard = |id: &&RaftId| {
            self.ids.iter().position(|known| *known == id.node()).is_some_and(|slot| {
                let has_it = |seen: &Sighting| {
                    seen.incarnation == id.incarnation() && seen.flags & flag::LOG_LOST == 0
                };
                slot == self.slot
                    || self.sights.heard(slot).is_some_and(|seen| seen.both_ways && has_it(seen))
            })
        };
        voters.iter().filter(heard).count()
    }

    fn tally(&self, spec: &Spec, agreement: &Agreement) -> Tally {
        let (voters, learners) = agreement.members();
        let spared = self.spared(spec, &voters);
        Tally { voters, learners, spared }
    }

    /// Who does not have to vote, because it is proven off or leaves in order.
    fn spared(&self, spec: &Spec, voters: &[RaftId]) -> Vec<usize> {
        let configured = |name: &NodeName| spec.nodes.get(name).is_some_and(|node| node.voter);
        let is_away = |slot: usize| {
            let known = self.ledger.nodes.get(&self.names[slot]);
            known.is_some_and(NodeLedger::is_gone) || self.leaves_empty(slot) || self.is_condemned(slot)
        };
        let all = (0..self.ids.len()).filter(|&slot| configured(&self.names[slot]));
        let mut off: Vec<usize> = all.clone().filter(|&slot| is_away(slot)).collect();
        if off.is_empty() {
            return off;
        }
        // Who does not vote already is spared first, so that nothing is changed without need.
        off.sort_by_key(|&slot| (voters.iter().any(|id| id.node() == self.ids[slot]), slot));
        let count = all.count();
        off.truncate(count - voters_left(count, off.len(), spec.halves_go_on()));
        off
    }

    /// Who has let everything go and does not vote any more, or votes on because it has to: such a node may be off.
    pub(super) fn leave_in_order(&self, now: Moment) -> Vec<usize> {
        let (Some(agreement), Some(spec)) = (&self.agreement, &self.ledger.spec) else { return Vec::new() };
        let mut others = (0..self.ids.len()).filter(|&slot| slot != self.slot && self.leaves_empty(slot));
        let Some(first) = others.next() else { return Vec::new() };
        let tally = self.tally(spec, agreement);
        let stays = |slot: &usize| self.change_of(now, *slot, spec, agreement, &tally).is_none();
        [first].into_iter().chain(others).filter(stays).collect()
    }

    /// Whether the node in this slot is to be switched off, and holds nothing any more.
    fn is_condemned(&self, slot: usize) -> bool {
        let known = self.ledger.nodes.get(&self.names[slot]).filter(|known| known.session.is_none());
        known.is_some_and(|known| known.fence.ordered.is_some())
    }

    /// Nodes that are to be switched off, and whose vote is taken from them first.
    pub(super) fn losing_votes(&self, now: Moment) -> Vec<usize> {
        let (Some(agreement), Some(spec)) = (&self.agreement, &self.ledger.spec) else { return Vec::new() };
        let mut condemned = (0..self.ids.len()).filter(|&slot| self.is_condemned(slot));
        let Some(first) = condemned.next() else { return Vec::new() };
        let tally = self.tally(spec, agreement);
        let changes = |slot: &usize| self.change_of(now, *slot, spec, agreement, &tally).is_some();
        [first].into_iter().chain(condemned).filter(changes).collect()
    }

    /// Whether those that are heard could agree on something without this node, and one of them lead.
    pub(super) fn can_lose(&self, node: &NodeName) -> bool {
        let Some(agreement) = &self.agreement else { return false };
        let (voters, _) = agreement.members();
        let rest: Vec<RaftId> = voters.iter().copied().filter(|id| id.node() != node.id()).collect();
        let leads = self.settings.me == *node && self.heirs(true) == 0;
        // As it is before the node is off: it loses its vote first, if the others are better off without.
        let halves_go_on = self.ledger.spec.as_ref().is_some_and(Spec::halves_go_on);
        let electors = voters_left(voters.len(), voters.len() - rest.len(), halves_go_on);
        !leads && self.heard_of(&rest) > electors / 2
    }

    /// Whether the node in this slot was asked to leave, and holds nothing any more.
    pub(super) fn leaves_empty(&self, slot: usize) -> bool {
        let leaves = self.sights.heard(slot).is_some_and(|seen| seen.flags & flag::LEAVING != 0);
        let mut grants = self.ledger.resources.values().filter_map(|known| known.grant.as_ref());
        leaves && grants.all(|grant| grant.node != self.names[slot])
    }

    fn change_of(
        &self,
        now: Moment,
        slot: usize,
        spec: &Spec,
        agreement: &Agreement,
        tally: &Tally,
    ) -> Option<Due> {
        let node = self.ids[slot];
        let Tally { voters, learners, spared } = tally;
        let votes = spec.nodes.get(&self.names[slot])?.voter && !spared.contains(&slot);
        let own = |id: &&RaftId| id.node() == node;
        if let Some(&id) = voters.iter().find(own).filter(|_| !votes) {
            return Some(vec![(id, Change::AddLearner)]);
        }
        let seen = self.sights.heard(slot).filter(|seen| seen.both_ways)?;
        let lost = seen.flags & flag::LOG_LOST != 0;
        if lost && seen.flags & flag::SICK != 0 {
            // It could not keep what it is given.
            return None;
        }
        let newest = voters.iter().chain(learners).filter(own).max().copied();
        let given = newest.map(RaftId::incarnation).max(self.ledger.identities.get(&node).copied());
        let next = given.map_or(1, |last| last + 1);
        let follow = |incarnation| Some(vec![(RaftId::new(node, incarnation), Change::AddLearner)]);
        // The log it has belongs to this history.
        let has = (!lost && seen.era == self.ledger.era && seen.incarnation > 0).then_some(seen.incarnation);
        let Some(newest) = newest else {
            // Who was a member before comes back with that.
            return has.map_or_else(|| follow(next).filter(|_| lost), follow);
        };
        if lost {
            // Under this identity it voted, or acknowledged something, and lost it; an earlier leader may have seen that.
            // What it said of itself may be older than the identity that it was given just now.
            let acknowledged = agreement.matched(newest).is_some_and(|matched| matched.0 > 0);
            let earlier = agreement.given_to(newest) != Some(seen.boot);
            let used = voters.contains(&newest)
                || ((acknowledged || earlier) && self.members.rests(now, self.timing));
            return follow(next).filter(|_| used);
        }
        let has = has.map(|incarnation| RaftId::new(node, incarnation));
        let is_member = |id: &RaftId| voters.contains(id) || learners.contains(id);
        // It took up an identity that was taken away again: only that one will ever answer. So also if another one was
        // meant for it since; but what it said of itself may be older than that.
        if let Some(id) = has.filter(|id| !is_member(id)) {
            let stays = id > newest || self.members.rests(now, self.timing);
            return stays.then(|| vec![(id, Change::AddLearner)]);
        }
        // A newer one may have been meant for it that it did not need any more; or it took that up, and
        // what it said of itself is older.
        let id = has.filter(is_member).unwrap_or(newest);
        if id < newest && !self.members.rests(now, self.timing) {
            return None;
        }
        let follows = learners.contains(&id);
        if follows && agreement.matched(id) < Some(agreement.commit()) {
            return None;
        }
        let others = voters.iter().chain(learners).filter(|other| other.node() == node && **other != id);
        let mut due: Due = others.map(|&other| (other, Change::Remove)).collect();
        due.extend((follows && votes).then_some((id, Change::AddVoter)));
        Some(due).filter(|due| !due.is_empty())
    }

    /// A leader that is to vote no longer says so of itself when nothing else is to be done.
    fn own_change(&self, spec: &Spec, agreement: &Agreement) -> Option<Due> {
        let stays = spec.nodes.get(&self.settings.me).is_some_and(|node| node.voter);
        let votes = agreement.is_voter(agreement.me());
        (votes && !stays).then(|| vec![(agreement.me(), Change::AddLearner)])
    }
}

/// Voters by slot, where each node counts once, whatever the number of its identities.
pub(super) fn voters_of(
    ids: &[NodeId],
    id: ConfigurationId,
    nodes: &(impl Iterator<Item = NodeId> + Clone),
) -> Voters {
    let (mut slots, mut size) = (0, 0);
    for (place, node) in nodes.clone().enumerate() {
        if nodes.clone().take(place).all(|before| before != node) {
            size += 1;
            slots |= ids.iter().position(|known| *known == node).map_or(0, |slot| 1 << slot);
        }
    }
    Voters { id, slots, size }
}

fn is_known(spec: &Spec, id: NodeId) -> bool {
    spec.nodes.keys().any(|name| name.id() == id)
}

fn nodes(ids: &[RaftId]) -> BTreeSet<NodeId> {
    ids.iter().map(|id| id.node()).collect()
}

/// Who votes after a change.
fn altered(voters: &[RaftId], changes: &Due) -> Vec<RaftId> {
    let mut ids: BTreeSet<RaftId> = voters.iter().copied().collect();
    for (id, change) in changes {
        if *change == Change::AddVoter {
            ids.insert(*id)
        } else {
            ids.remove(id)
        };
    }
    ids.into_iter().collect()
}

/// Whether a change takes in a newcomer: only a snapshot made after it tells who the members are.
pub(super) fn takes_in(change: &ConfChangeV2) -> bool {
    change.changes.iter().any(|single| single.get_change_type() == ConfChangeType::AddLearnerNode)
}

/// The identities that a change speaks of.
pub(super) fn identities(change: &ConfChangeV2) -> impl Iterator<Item = (NodeId, u32)> {
    change.changes.iter().map(|single| {
        let id = RaftId(single.node_id);
        (id.node(), id.incarnation())
    })
}

/// A change of members, for people: every node says the same of it, whatever its file says.
pub(super) fn describe(change: &ConfChangeV2, spec: Option<&Spec>) -> String {
    let one = |single: &raft::eraftpb::ConfChangeSingle| {
        let id = RaftId(single.node_id);
        let name = spec.and_then(|spec| spec.nodes.keys().find(|name| name.id() == id.node()));
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
