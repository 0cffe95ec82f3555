//! Agreement: the log that all voters have in the same order.
//!
//! Raft, by the `raft` crate, driven without IO: messages come in and go out as values, what must
//! be durable goes out with a ticket, and what waits for the disk waits here, where the simulator
//! sees it. This module adds what the crate leaves to its user: the store in memory, one write for
//! entries, term, vote and commit index (SAFETY rule 15), a configuration change is applied only
//! once its commit is durable, and a node whose log is shorter than it once said never panics but
//! says that it lost its log (rule 16).
//!
//! When to campaign is not decided here: liveness drives elections, see [`crate::ownership`].

use heart_model::{BootId, LogIndex, NodeId, Term};
use prost::Message as _;
use raft::{
    Config, INVALID_ID, ProgressState, RawNode, SnapshotStatus, StateRole,
    eraftpb::{ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType, Snapshot},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

mod envelope;
mod force;
mod members;
mod store;
mod words;

pub use envelope::{Envelope, envelope, nothing_here};
pub use force::Beginning;
use store::Store;
pub use words::{Change, ConfigurationId, Founders, Output, Pace, RaftId, Refused, Ticket, Write};

use crate::{
    journal::{Batch, Recovered},
    plant::{Bug, is_planted},
};

/// Ticks after which a snapshot that was not acknowledged is sent again.
const SNAPSHOT_TICKS: u64 = 6;
/// Bytes of entries in one message; one entry may be longer.
const MESSAGE_BYTES: u64 = 256 * 1024;
/// Messages to one follower that are under way at a time.
const INFLIGHT_MAX: usize = 64;
/// Writes on their way to the disk beyond which a leader proposes nothing: it would only be told later.
const WRITES_UNDER_WAY_MAX: usize = 1024;
/// Bytes of proposals that a leader takes before a quorum has them.
const UNCOMMITTED_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug)]
struct Unpersisted {
    ticket: Ticket,
    /// The number of raft's `Ready`; none for a rewrite of the file.
    ready: Option<u64>,
    commit: u64,
    term: u64,
    /// The place of a snapshot that was taken over with it.
    restored: Option<u64>,
    /// Leave once this is durable, never before.
    messages: Vec<Message>,
}

/// See the module.
pub struct Agreement {
    raw: RawNode<Store>,
    me: RaftId,
    next_ticket: Ticket,
    unpersisted: VecDeque<Unpersisted>,
    durable_commit: u64,
    durable_term: u64,
    committed: VecDeque<Entry>,
    applied: u64,
    /// The last applied configuration that changed which nodes vote.
    configured_at: ConfigurationId,
    origin: ConfigurationId,
    /// What this log begins with, until it is on its way to the disk.
    founders: Option<ConfState>,
    /// The members that it began with, if it was not begun by a snapshot.
    founding: Option<ConfState>,
    pace: Pace,
    ticks: u64,
    /// For which life an identity was given, and by the leader of which term; until it is to vote.
    given: BTreeMap<RaftId, (Term, BootId)>,
}

impl ::core::fmt::Debug for Agreement {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "{:?} in term {}, applied {}", self.me, self.term(), self.applied)
    }
}

impl Agreement {
    /// Takes up a log, or begins an empty one with `founders` as its first configuration.
    ///
    /// # Panics
    /// When the pace is not one that raft can keep: a programming error.
    #[must_use]
    pub fn new(me: RaftId, recovered: Recovered, founders: &Founders, pace: Pace) -> Agreement {
        let founding = recovered
            .founders
            .clone()
            .unwrap_or_else(|| ConfState::from((founders.voters.clone(), Vec::new())));
        let fresh = recovered.snapshot.get_metadata().index == 0;
        let founders = Some(founding.clone()).filter(|_| fresh && recovered.founders.is_none());
        let origin = ConfigurationId::of_founders(&founding.voters);
        let began_with = Some(founding.clone()).filter(|founding| fresh && !founding.voters.is_empty());
        let conf = if fresh { founding } else { recovered.snapshot.get_metadata().get_conf_state().clone() };
        let applied = recovered.snapshot.get_metadata().index;
        let configured_at = if fresh { origin } else { configured_at(recovered.snapshot.get_data()) };
        let durable_commit = recovered.hard_state.commit.max(applied);
        let durable_term = recovered.hard_state.term;
        let store = Store {
            hard_state: recovered.hard_state,
            snapshot: recovered.snapshot,
            entries: recovered.entries.into(),
            conf,
        };
        let config = Config {
            id: me.0,
            election_tick: pace.election_ticks,
            // One value only, so that raft's own generator has nothing to choose.
            min_election_tick: pace.election_ticks,
            max_election_tick: pace.election_ticks + 1,
            heartbeat_tick: pace.heartbeat_ticks,
            applied,
            max_size_per_msg: MESSAGE_BYTES,
            max_inflight_msgs: INFLIGHT_MAX,
            max_uncommitted_size: UNCOMMITTED_BYTES,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, store, &logger).expect("the pace is one that raft can keep");
        Agreement {
            raw,
            me,
            next_ticket: Ticket(1),
            unpersisted: VecDeque::new(),
            durable_commit,
            durable_term,
            committed: VecDeque::new(),
            applied,
            configured_at,
            origin,
            founders,
            founding: began_with,
            pace,
            ticks: 0,
            given: BTreeMap::new(),
        }
    }

    /// Counts tickets on from those of an earlier log of this process, whose writes may still be on
    /// their way to the disk.
    pub fn count_tickets_from(&mut self, next: Ticket) {
        self.next_ticket = self.next_ticket.max(next);
    }

    /// The next ticket.
    #[must_use]
    pub fn next_ticket(&self) -> Ticket {
        self.next_ticket
    }

    /// The whole file for a log that begins with what this one holds.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let store = self.raw.store();
        let batch = Batch {
            raft_id: Some(self.me.0),
            hard_state: Some(store.hard_state),
            snapshot: (store.snapshot_index() > 0).then(|| store.snapshot.clone()),
            entries: store.entries.iter().cloned().collect(),
            founders: self.founding.clone().filter(|_| store.snapshot_index() == 0),
            lost: false,
        };
        batch.encode_framed()
    }

    /// What was taken up may never have reached the disk: who wrote it was killed before it had synced that, or the disk
    /// refused, and it is in memory only. It is written anew, and until that is durable nothing is said by it.
    pub fn save_anew(&mut self) -> Write {
        let store = self.raw.store();
        (self.durable_commit, self.durable_term) = (store.snapshot_index(), 0);
        self.rewrite()
    }

    /// Writes the whole file; what comes after that waits for it.
    fn rewrite(&mut self) -> Write {
        let hard_state = self.raw.store().hard_state;
        let ticket = self.ticket();
        self.unpersisted.push_back(Unpersisted {
            ticket,
            ready: None,
            commit: hard_state.commit,
            term: hard_state.term,
            restored: None,
            messages: Vec::new(),
        });
        Write { ticket, replaces: true, bytes: self.file() }
    }

    /// This node's identity in the log.
    #[must_use]
    pub fn me(&self) -> RaftId {
        self.me
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    /// Whether this node leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// The leader, as far as the log knows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        Some(self.raw.raft.leader_id).filter(|&id| id != INVALID_ID).map(|id| RaftId(id).node())
    }

    /// Term and place of the last entry.
    #[must_use]
    pub fn last(&self) -> (Term, LogIndex) {
        let log = &self.raw.raft.raft_log;
        (Term(log.last_term()), LogIndex(log.last_index()))
    }

    /// The place up to which entries were handed out to be applied.
    #[must_use]
    pub fn applied(&self) -> LogIndex {
        LogIndex(self.applied)
    }

    /// The place up to which a quorum has the log, as far as known here.
    #[must_use]
    pub fn commit(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.committed)
    }

    /// Whether an entry of the current term is committed: before that a leader does not know what
    /// its predecessors committed.
    #[must_use]
    pub fn has_committed_in_term(&self) -> bool {
        self.raw.raft.commit_to_current_term()
    }

    /// How many writes are on their way to the disk.
    #[must_use]
    pub fn writes_under_way(&self) -> usize {
        self.unpersisted.len()
    }

    /// How many entries lie behind the snapshot.
    #[must_use]
    pub fn length(&self) -> usize {
        self.raw.store().entries.len()
    }

    /// One tick of the back-stop timers.
    pub fn tick(&mut self) {
        if self.is_restoring() || !(self.leads() || self.unpersisted.is_empty()) {
            return;
        }
        self.raw.tick();
        self.ticks += 1;
        if self.ticks.is_multiple_of(SNAPSHOT_TICKS) {
            // A snapshot that did not arrive is sent again; raft waits for somebody to say so.
            self.on_unreachable(None);
        }
    }

    /// What was under way to a node, or to all, may be gone.
    pub fn on_unreachable(&mut self, node: Option<NodeId>) {
        let concerned = |id: u64| node.is_none_or(|node| RaftId(id).node() == node);
        let prs = self.raw.raft.prs().iter().filter(|(id, _)| **id != self.me.0 && concerned(**id));
        let of: Vec<(u64, ProgressState)> = prs.map(|(&id, progress)| (id, progress.state)).collect();
        for (id, state) in of {
            if state == ProgressState::Snapshot {
                self.raw.report_snapshot(id, SnapshotStatus::Failure);
            } else if node.is_some() {
                self.raw.report_unreachable(id);
            }
        }
    }

    /// Somebody is heard who was not. Raft spoke to it in vain, and would speak to it again only with
    /// its next heartbeat, which is a back-stop and slow: a node that comes would join that much later.
    pub fn on_heard(&mut self) {
        if self.leads() && !self.is_restoring() {
            self.raw.ping();
        }
    }

    /// Campaigns at once, past pre-vote and the voters' own timers (SAFETY rule 13 says when).
    pub fn campaign(&mut self) {
        let term = self.raw.raft.term;
        // Who alone is a quorum wins at once, and raft leads with nothing that is not durable.
        if self.leads() || !self.is_voter(self.me) || !self.unpersisted.is_empty() {
            return;
        }
        self.raw.raft.become_follower(term, INVALID_ID);
        let hurry = Message { to: self.me.0, from: self.me.0, ..message(MessageType::MsgTimeoutNow, term) };
        let _ = self.raw.step(hurry);
    }

    /// Stops leading at once.
    pub fn step_down(&mut self) {
        if self.leads() {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, INVALID_ID);
        }
    }

    /// Forgets whom it follows, so that raft's own refusals do not hold up a campaign that a quorum
    /// of voters wants.
    pub fn forget_leader(&mut self) {
        if !self.leads() && self.raw.raft.leader_id != INVALID_ID {
            self.raw.raft.leader_id = INVALID_ID;
        }
    }

    /// Proposes an entry. False if we do not lead, or too much is under way.
    pub fn propose(&mut self, data: Vec<u8>) -> bool {
        self.leads()
            && self.unpersisted.len() < WRITES_UNDER_WAY_MAX
            && self.raw.propose(Vec::new(), data).is_ok()
    }

    /// Takes a message in.
    ///
    /// # Errors
    /// When it is not for us, or proves that this log was cut.
    pub fn on_message(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let message = Message::decode(bytes).map_err(|_| Refused::NotForUs)?;
        if message.to != self.me.0 || is_local(message.get_msg_type()) {
            return Err(Refused::NotForUs);
        }
        // The leader never sends a commit index beyond what this node acknowledged.
        if message.get_msg_type() == MessageType::MsgHeartbeat && message.commit > self.last().1.0 {
            return Err(Refused::LogLost);
        }
        let _ = self.raw.step(message);
        Ok(())
    }

    /// Hands out everything that came of what was put in.
    pub fn pump(&mut self) -> Output {
        let mut output = Output::default();
        while self.raw.has_ready() {
            self.take_ready(&mut output);
        }
        output
    }

    fn take_ready(&mut self, output: &mut Output) {
        let mut ready = self.raw.ready();
        let at_once = ready.take_messages();
        let mut batch = Batch::default();
        if !ready.snapshot().get_metadata().eq(&raft::eraftpb::SnapshotMetadata::default()) {
            self.restore(ready.snapshot().clone());
            batch.snapshot = Some(ready.snapshot().clone());
            output.restored = Some(ready.snapshot().clone());
        }
        if let Some(hard_state) = ready.hs() {
            self.raw.mut_store().hard_state = *hard_state;
            batch.hard_state = Some(*hard_state);
        }
        batch.entries = ready.take_entries();
        self.raw.mut_store().append(&batch.entries);
        self.committed.extend(ready.take_committed_entries());
        let (number, mut messages) = (ready.number(), ready.take_persisted_messages());
        self.raw.advance_append_async(ready);
        let term = self.raw.store().hard_state.term;
        if term <= self.durable_term {
            output.messages.extend(at_once.iter().map(|message| self.encode(message)));
        } else {
            // A lone voter leads before its disk has the term: after a power cut it would lead in that term once more, with
            // other entries in the same places.
            messages.splice(0..0, at_once);
        }
        output.appended.extend(batch.entries.iter().cloned());
        let nothing = batch == Batch::default();
        if !nothing {
            // An empty list of founders is that of a log which begins with a snapshot.
            batch.founders = self.founders.take().filter(|founders| !founders.voters.is_empty());
            batch.raft_id = batch.founders.is_some().then_some(self.me.0);
        }
        if nothing && self.unpersisted.is_empty() {
            self.raw.on_persist_ready(number);
            output.messages.extend(messages.iter().map(|message| self.encode(message)));
        } else if nothing {
            let last = self.unpersisted.back_mut().expect("not empty");
            last.ready = Some(number);
            last.messages.extend(messages);
        } else {
            let ticket = self.ticket();
            let commit = self.raw.store().hard_state.commit;
            output.writes.push(Write { ticket, replaces: false, bytes: batch.encode_framed() });
            let restored = batch.snapshot.as_ref().map(|snapshot| snapshot.get_metadata().index);
            let mut unpersisted =
                Unpersisted { ticket, ready: Some(number), commit, term, restored, messages };
            if is_planted(Bug::SaidBeforeDurable) && restored.is_none() {
                self.raw.on_persist_ready(number);
                output.messages.extend(unpersisted.messages.drain(..).map(|message| self.encode(&message)));
                unpersisted.ready = None;
            }
            self.unpersisted.push_back(unpersisted);
        }
    }

    fn restore(&mut self, snapshot: Snapshot) {
        let index = snapshot.get_metadata().index;
        self.configured_at = configured_at(snapshot.get_data());
        let store = self.raw.mut_store();
        store.conf = snapshot.get_metadata().get_conf_state().clone();
        store.entries.clear();
        store.snapshot = snapshot;
        self.committed.clear();
        self.applied = index;
    }

    fn ticket(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = Ticket(ticket.0 + 1);
        ticket
    }

    /// The disk has this write, and all before it.
    pub fn on_durable(&mut self, ticket: Ticket) -> Output {
        let mut output = Output::default();
        while self.unpersisted.front().is_some_and(|write| write.ticket <= ticket) {
            let write = self.unpersisted.pop_front().expect("looked at above");
            self.durable_commit = self.durable_commit.max(write.commit);
            self.durable_term = self.durable_term.max(write.term);
            output.messages.extend(write.messages.iter().map(|message| self.encode(message)));
            if let Some(number) = write.ready {
                self.raw.on_persist_ready(number);
            }
            if let Some(index) = write.restored {
                self.raw.advance_apply_to(index);
            }
        }
        output
    }

    /// Whether a snapshot was taken over that the disk does not have yet. Until it has, raft cannot
    /// look at its own log.
    fn is_restoring(&self) -> bool {
        self.unpersisted.iter().any(|write| write.restored.is_some())
    }

    /// The next entry to apply. A change of the configuration is applied here, and only once its
    /// commit is durable (SAFETY rule 15).
    pub fn next_committed(&mut self) -> Option<Entry> {
        let entry = self.committed.front()?;
        let change = conf_change(entry);
        if change.is_some() && entry.index > self.durable_commit {
            return None;
        }
        let entry = self.committed.pop_front()?;
        if let Some(change) = change
            && let Ok(conf) = self.raw.apply_conf_change(&change)
        {
            let before = nodes(&self.raw.store().conf.voters);
            if nodes(&conf.voters) != before {
                self.configured_at = ConfigurationId::of(&entry);
            }
            self.raw.mut_store().conf = conf;
        }
        self.applied = entry.index;
        self.raw.advance_apply_to(entry.index);
        Some(entry)
    }

    /// Replaces the log up to what was applied by `state`, which is the state after it. Returns the
    /// write; `None` if nothing was applied since the last time.
    pub fn compact(&mut self, state: &[u8]) -> Option<Write> {
        let configured_at = self.configured_at;
        let index = self.applied;
        if index <= self.raw.store().snapshot_index() {
            return None;
        }
        let store = self.raw.mut_store();
        let term = store.term_at(index)?;
        let mut snapshot = Snapshot { data: with_configured_at(configured_at, state), ..Snapshot::default() };
        snapshot.mut_metadata().index = index;
        snapshot.mut_metadata().term = term;
        snapshot.mut_metadata().set_conf_state(store.conf.clone());
        store.entries.retain(|entry| entry.index > index);
        store.snapshot = snapshot;
        Some(self.rewrite())
    }
}

/// The change of configuration that an entry carries, if it does.
#[must_use]
pub fn conf_change(entry: &Entry) -> Option<ConfChangeV2> {
    (entry.get_entry_type() == EntryType::EntryConfChangeV2)
        .then(|| ConfChangeV2::decode(entry.data.as_slice()).ok())
        .flatten()
}

/// The state that a snapshot carries.
#[must_use]
pub fn state_of(snapshot: &Snapshot) -> &[u8] {
    snapshot.get_data().get(8..).unwrap_or_default()
}

fn nodes<'a>(ids: impl IntoIterator<Item = &'a u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(|&id| RaftId(id).node()).collect()
}

fn with_configured_at(at: ConfigurationId, state: &[u8]) -> Vec<u8> {
    [&at.0.to_le_bytes(), state].concat()
}

fn configured_at(data: &[u8]) -> ConfigurationId {
    ConfigurationId(data.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

fn message(kind: MessageType, term: u64) -> Message {
    let mut message = Message { term, ..Message::default() };
    message.set_msg_type(kind);
    message
}

fn is_local(kind: MessageType) -> bool {
    raft::raw_node::is_local_msg(kind)
}

fn encode(message: &Message) -> (NodeId, Vec<u8>) {
    (RaftId(message.to).node(), message.encode_to_vec())
}
