//! What the two halves of a node show each other: a few numbers, each written by one of them.
//!
//! The board is plain atomics without locks, because the heartbeat thread may wait for nobody. In
//! the daemon it lies in a file below `/run` that every process of the node maps, so that a core
//! that was killed takes up its promises where they were (SAFETY rule 5), and keepers and the gate
//! read the end of the lease without asking anybody.
//!
//! The order of reads and writes is the safety argument of rule 4, so all of them are sequentially
//! consistent: the pulse stores a promise, then reads what is revoked, then sends; the core stores
//! what is revoked, then reads the promise. Whichever comes second sees the other. Only what is merely
//! counted for people needs no order.

mod refusals;
mod watched;

use ::core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use heart_model::{BootId, Instant, LogIndex, Moment, NODES_MAX, NodeId, Session, SessionNumber, Term};

use crate::{
    agreement::ConfigurationId,
    frame::Rejected,
    plant::{Bug, is_planted},
};
pub use refusals::Refusals;
pub use watched::Held;

/// Changes whenever a field of [`Board`] is added, moved or means something else.
pub const LAYOUT: u64 = 0x4845_4152_5400_0007;

/// A moment in two atomics, written by one side only. A torn read mixes two moments of which both
/// were true; every reader takes the more careful of the two clocks, so it errs to the safe side.
#[repr(C)]
#[derive(Debug, Default)]
struct Stamp {
    boottime: AtomicU64,
    raw: AtomicU64,
}

impl Stamp {
    fn load(&self) -> Moment {
        Moment { boottime: Instant(self.boottime.load(SeqCst)), raw: Instant(self.raw.load(SeqCst)) }
    }

    fn store(&self, moment: Moment) {
        self.boottime.store(moment.boottime.0, SeqCst);
        self.raw.store(moment.raw.0, SeqCst);
    }
}

/// What this node has said and heard about one node of the cluster.
#[repr(C)]
#[derive(Debug, Default)]
struct Entry {
    node: AtomicU64,
    /// Until when this voter will not say that the node is lost.
    promised_until: Stamp,
    /// Sessions of this boot (its low 64 bits) up to this number get no more promises.
    revoked_boot: AtomicU64,
    revoked_number: AtomicU64,
    /// Sessions of this boot up to this number were taken over: that was committed.
    over_boot: AtomicU64,
    over_number: AtomicU64,
}

/// See the module.
#[repr(C)]
#[derive(Debug)]
pub struct Board {
    layout: AtomicU64,
    boot_high: AtomicU64,
    boot_low: AtomicU64,
    session: AtomicU64,
    deposed: AtomicU64,
    frames: AtomicU64,
    beats: AtomicU64,
    lease_until: Stamp,
    backed_until: Stamp,
    leading_term: AtomicU64,
    progress: Stamp,
    term: AtomicU64,
    log_term: AtomicU64,
    log_index: AtomicU64,
    flags: AtomicU64,
    era: AtomicU64,
    incarnation: AtomicU64,
    configuration: AtomicU64,
    voters: AtomicU64,
    voters_in_all: AtomicU64,
    electors: AtomicU64,
    electors_in_all: AtomicU64,
    leader: AtomicU64,
    leader_term: AtomicU64,
    leader_until: Stamp,
    entries: [Entry; NODES_MAX],
    refusals: [AtomicU64; Rejected::KINDS],
    forged: [AtomicU64; NODES_MAX],
    filtered: AtomicU64,
    others_until: Stamp,
    half_until: Stamp,
    firing_until: Stamp,
    forced_until: Stamp,
    doubted: AtomicU64,
    watched: watched::Watched,
}

impl Default for Board {
    fn default() -> Board {
        Board {
            layout: AtomicU64::new(0),
            boot_high: AtomicU64::new(0),
            boot_low: AtomicU64::new(0),
            session: AtomicU64::new(0),
            deposed: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            beats: AtomicU64::new(0),
            lease_until: Stamp::default(),
            backed_until: Stamp::default(),
            leading_term: AtomicU64::new(0),
            progress: Stamp::default(),
            term: AtomicU64::new(0),
            log_term: AtomicU64::new(0),
            log_index: AtomicU64::new(0),
            flags: AtomicU64::new(0),
            era: AtomicU64::new(0),
            incarnation: AtomicU64::new(0),
            configuration: AtomicU64::new(0),
            voters: AtomicU64::new(0),
            voters_in_all: AtomicU64::new(0),
            electors: AtomicU64::new(0),
            electors_in_all: AtomicU64::new(0),
            leader: AtomicU64::new(0),
            leader_term: AtomicU64::new(0),
            leader_until: Stamp::default(),
            entries: ::core::array::from_fn(|_| Entry::default()),
            refusals: ::core::array::from_fn(|_| AtomicU64::new(0)),
            forged: ::core::array::from_fn(|_| AtomicU64::new(0)),
            filtered: AtomicU64::new(0),
            others_until: Stamp::default(),
            half_until: Stamp::default(),
            firing_until: Stamp::default(),
            forced_until: Stamp::default(),
            doubted: AtomicU64::new(0),
            watched: watched::Watched::default(),
        }
    }
}

/// The configuration that is being written at this moment.
const WRITING: u64 = u64::MAX;

/// A configuration of voters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voters {
    /// Which one it is.
    pub id: ConfigurationId,
    /// Those that this node's file knows: a set of slots.
    pub slots: u64,
    /// How many there are, those too that this node's file does not know.
    pub size: usize,
}

impl Voters {
    /// How many make a quorum.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.size / 2 + 1
    }

    /// Whether the node in `slot` votes.
    #[must_use]
    pub fn contains(&self, slot: usize) -> bool {
        self.slots >> slot & 1 == 1
    }
}

/// What a node tells all others about itself with every beat; see [`Board::set_flags`].
pub mod flag {
    /// The disk does not take what is written: do not elect me.
    pub const SICK: u64 = 1;
    /// The log is empty and never held anything: this node has not taken part yet.
    pub const VIRGIN: u64 = 2;
    /// The log was lost or reverted, or never began while others' did: this node must come back under
    /// a new raft id (SAFETY rule 16).
    pub const LOG_LOST: u64 = 4;
    /// It has not listened long enough to say that there is no leader.
    pub const LISTENING: u64 = 8;
    /// It was asked to stop and hands over what it has.
    pub const LEAVING: u64 = 16;
    /// Its log holds something that was agreed on: the cluster has run.
    pub const BEGUN: u64 = 32;
    /// It is sick, or was until a moment ago, so that others are better off with what it has: let another
    /// lead, if one can.
    pub const UNWELL: u64 = 64;
    /// It reaches none of the ping targets that are configured.
    pub const NO_TARGET: u64 = 128;
}

impl Board {
    /// Whether this board was begun by a process with the same layout, for this boot.
    #[must_use]
    pub fn belongs_to(&self, boot: BootId) -> bool {
        self.layout.load(SeqCst) == LAYOUT && self.boot() == boot
    }

    /// Begins a board: nothing was promised yet in this boot, so whatever may have been promised
    /// before it still counts until `promised_until` (SAFETY rule 5).
    pub fn begin(&self, boot: BootId, nodes: &[NodeId], promised_until: Moment) {
        self.layout.store(0, SeqCst);
        for count in self.refusals.iter().chain(&self.forged).chain([&self.filtered]) {
            count.store(0, Relaxed);
        }
        self.boot_high.store((boot.0 >> 64) as u64, SeqCst);
        self.boot_low.store(boot.0 as u64, SeqCst);
        self.session.store(1, SeqCst);
        for (entry, node) in self.entries.iter().zip(nodes) {
            entry.node.store(u64::from(node.0), SeqCst);
            let forgotten = is_planted(Bug::PromisesForgotten);
            entry.promised_until.store(if forgotten { Moment::default() } else { promised_until });
        }
        self.others_until.store(promised_until);
        self.half_until.store(Moment::default());
        self.firing_until.store(Moment::default());
        self.forced_until.store(Moment::default());
        self.layout.store(LAYOUT, SeqCst);
    }

    /// Says which node is in which slot from now on, in a life that goes on with another configuration
    /// file. What was promised to a node stays with it; a node without a place may have had one before,
    /// so it counts as promised something until `promised_until`.
    pub fn seat(&self, nodes: &[NodeId], promised_until: Moment) {
        let of = |entry: &Entry| entry.node.load(SeqCst);
        let wanted = |slot: usize| nodes.get(slot).map_or(0, |node| u64::from(node.0));
        if self.entries.iter().enumerate().all(|(slot, entry)| of(entry) == wanted(slot)) {
            return;
        }
        let all = |entry: &Entry| {
            [&entry.revoked_boot, &entry.revoked_number, &entry.over_boot, &entry.over_number]
                .map(|field| field.load(SeqCst))
        };
        let old: Vec<(u64, Moment, [u64; 4])> =
            self.entries.iter().map(|entry| (of(entry), entry.promised_until.load(), all(entry))).collect();
        let dropped = old.iter().filter(|(node, ..)| !nodes.iter().any(|known| u64::from(known.0) == *node));
        let others = dropped.fold(self.others_until.load(), |until, (_, one, _)| until.later(*one));
        self.others_until.store(others);
        for (slot, entry) in self.entries.iter().enumerate() {
            let known = old.iter().find(|(node, ..)| *node != 0 && *node == wanted(slot));
            let unknown = || (0, promised_until.later(others), [0; 4]);
            let (_, until, fields) = known.copied().unwrap_or_else(unknown);
            entry.node.store(wanted(slot), SeqCst);
            entry.promised_until.store(until);
            let places = [&entry.revoked_boot, &entry.revoked_number, &entry.over_boot, &entry.over_number];
            places.into_iter().zip(fields).for_each(|(place, value)| place.store(value, SeqCst));
        }
    }

    /// Until when a node that has no slot may have been promised something, by an earlier life of this voter
    /// or by one that knew another configuration file.
    #[must_use]
    pub fn others_until(&self) -> Moment {
        self.others_until.load().later(self.forced_until.load())
    }

    /// Until when this node may switch others off because nothing can be agreed on before they are: half of the
    /// voters are here, and the others are not heard.
    #[must_use]
    pub fn half_until(&self) -> Moment {
        self.half_until.load()
    }

    /// Says until when. Written by the core, which says it again as long as it is so.
    pub fn set_half_until(&self, until: Moment) {
        self.half_until.store(until);
    }

    /// The nodes of which the core wants to know what they answer from now on: a set of slots.
    #[must_use]
    pub fn doubted(&self) -> u64 {
        self.doubted.load(SeqCst)
    }

    /// Says which. Written by the core.
    pub fn set_doubted(&self, slots: u64) {
        self.doubted.store(slots, SeqCst);
    }

    /// Until when a device that this node had told without an agreement may still act. Outlasts the core.
    #[must_use]
    pub fn firing_until(&self) -> Moment {
        self.firing_until.load()
    }

    /// Says until when. Written by the core.
    pub fn set_firing_until(&self, until: Moment) {
        self.firing_until.store(until);
    }

    /// What others promised, who are no voters any more, may bind until then: it counts as promised by this voter.
    /// Written by the core.
    pub fn take_on_promises(&self, until: Moment) {
        self.forced_until.store(self.forced_until.load().later(until));
    }

    /// This life of the node.
    #[must_use]
    pub fn boot(&self) -> BootId {
        BootId(u128::from(self.boot_high.load(SeqCst)) << 64 | u128::from(self.boot_low.load(SeqCst)))
    }

    /// The session this node is in.
    #[must_use]
    pub fn session(&self) -> Session {
        Session { boot: self.boot(), number: SessionNumber(self.session.load(SeqCst)) }
    }

    /// Begins the next session. Everything of the last one was let go (SAFETY rule 8).
    pub fn begin_session(&self, number: SessionNumber) {
        assert!(number.0 > self.session.load(SeqCst), "a session number is used once");
        self.lease_until.store(Moment::default());
        self.session.store(number.0, SeqCst);
    }

    /// Says that this session, and all before it, were taken over: the lease is over at once.
    pub fn depose(&self, number: SessionNumber) {
        self.deposed.fetch_max(number.0, SeqCst);
        if self.session.load(SeqCst) <= number.0 {
            self.lease_until.store(Moment::default());
        }
    }

    /// Whether the session this node is in was taken over.
    #[must_use]
    pub fn is_deposed(&self) -> bool {
        self.deposed.load(SeqCst) >= self.session.load(SeqCst)
    }

    /// The number of the next sealed frame of this boot; each is used once.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.frames.fetch_add(1, SeqCst) + 1
    }

    /// The sequence number of the next beat of this boot.
    #[must_use]
    pub fn next_beat(&self) -> u64 {
        self.beats.fetch_add(1, SeqCst) + 1
    }

    /// The sequence number of the last beat.
    #[must_use]
    pub fn last_beat(&self) -> u64 {
        self.beats.load(SeqCst)
    }

    /// Until when this node may own things. Written by the pulse.
    #[must_use]
    pub fn lease_until(&self) -> Moment {
        self.lease_until.load()
    }

    /// Sets the end of the lease, unless the session was taken over meanwhile.
    pub fn set_lease_until(&self, until: Moment) {
        self.lease_until.store(until);
        // The core may have deposed this session between the caller's look and the store.
        if self.is_deposed() {
            self.lease_until.store(Moment::default());
        }
    }

    /// Until when a quorum of voters hears this node and says so, whatever it promises to its session:
    /// what it takes to lead. Written by the pulse.
    #[must_use]
    pub fn backed_until(&self) -> Moment {
        self.backed_until.load()
    }

    /// Says until when a quorum of voters stands behind this node.
    pub fn set_backed_until(&self, until: Moment) {
        self.backed_until.store(until);
    }

    /// The term in which this node leads, if it does. Written by the core.
    #[must_use]
    pub fn leading(&self) -> Option<Term> {
        Some(self.leading_term.load(SeqCst)).filter(|&term| term != 0).map(Term)
    }

    /// Says in which term this node leads, or that it does not.
    pub fn set_leading(&self, term: Option<Term>) {
        self.leading_term.store(term.map_or(0, |term| term.0), SeqCst);
    }

    /// When the core last showed that it works.
    #[must_use]
    pub fn progress(&self) -> Moment {
        self.progress.load()
    }

    /// The core works.
    pub fn set_progress(&self, now: Moment) {
        self.progress.store(now);
    }

    /// This node's term, and the place of its last log entry.
    #[must_use]
    pub fn log(&self) -> (Term, Term, LogIndex) {
        let read = |at: &AtomicU64| at.load(SeqCst);
        (Term(read(&self.term)), Term(read(&self.log_term)), LogIndex(read(&self.log_index)))
    }

    /// Says which term this node is in, and the place of its last log entry.
    pub fn set_log(&self, term: Term, last_term: Term, last_index: LogIndex) {
        self.term.store(term.0, SeqCst);
        self.log_term.store(last_term.0, SeqCst);
        self.log_index.store(last_index.0, SeqCst);
    }

    /// What this node tells of itself; see [`flag`].
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.flags.load(SeqCst)
    }

    /// Sets what this node tells of itself.
    pub fn set_flags(&self, flags: u64) {
        self.flags.store(flags, SeqCst);
    }

    /// The history that this node's log belongs to, and how often it began its log anew.
    #[must_use]
    pub fn era(&self) -> (u64, u32) {
        (self.era.load(SeqCst), self.incarnation.load(SeqCst) as u32)
    }

    /// Says which history this node's log belongs to.
    pub fn set_era(&self, era: u64, incarnation: u32) {
        self.era.store(era, SeqCst);
        self.incarnation.store(u64::from(incarnation), SeqCst);
    }

    /// The last voter configuration that this node appended. While it is being written there is none.
    #[must_use]
    pub fn configuration(&self) -> Voters {
        let id = self.configuration.load(SeqCst);
        let (slots, size) = (self.voters.load(SeqCst), self.voters_in_all.load(SeqCst) as usize);
        // What was read in between belongs to this id only if it stood there all the time.
        if id == WRITING || self.configuration.load(SeqCst) != id {
            return Voters { id: ConfigurationId(WRITING), slots: 0, size: 0 };
        }
        Voters { id: ConfigurationId(id), slots, size }
    }

    /// Says which voter configuration this node appended last.
    pub fn set_configuration(&self, voters: Voters) {
        if self.configuration() == voters {
            return;
        }
        self.configuration.store(WRITING, SeqCst);
        self.voters.store(voters.slots, SeqCst);
        self.voters_in_all.store(voters.size as u64, SeqCst);
        self.configuration.store(voters.id.0, SeqCst);
    }

    /// Who elects leaders: the voters of the configuration that is in force for the log. They differ from
    /// [`Board::configuration`] while a change was appended and is not known to be committed.
    #[must_use]
    pub fn electors(&self) -> Voters {
        let (slots, size) = (self.electors.load(SeqCst), self.electors_in_all.load(SeqCst) as usize);
        Voters { id: ConfigurationId::default(), slots, size }
    }

    /// Says who elects leaders.
    pub fn set_electors(&self, electors: Voters) {
        self.electors.store(electors.slots, SeqCst);
        self.electors_in_all.store(electors.size as u64, SeqCst);
    }

    /// The leader that is heard with authority, its term, and until when that counts.
    #[must_use]
    pub fn leader_heard(&self, now: Moment) -> Option<(NodeId, Term)> {
        let leader = self.leader.load(SeqCst) as u32;
        let term = Term(self.leader_term.load(SeqCst));
        (leader != 0 && !now.has_surely_reached(self.leader_until.load())).then_some((NodeId(leader), term))
    }

    /// Says which leader is heard with authority. Written by the pulse.
    pub fn set_leader_heard(&self, leader: Option<(NodeId, Term)>, until: Moment) {
        let (node, term) = leader.map_or((0, 0), |(node, term)| (node.0, term.0));
        self.leader_term.store(term, SeqCst);
        self.leader_until.store(until);
        self.leader.store(u64::from(node), SeqCst);
    }

    /// Until when this voter promised not to say that the node in `slot` is lost.
    #[must_use]
    pub fn promised_until(&self, slot: usize) -> Moment {
        self.entries[slot].promised_until.load()
    }

    /// Promises; never shortens what was promised before.
    pub fn promise(&self, slot: usize, until: Moment) {
        let stamp = &self.entries[slot].promised_until;
        stamp.store(stamp.load().later(until));
    }

    /// Whether `session` of the node in `slot` gets no more promises.
    #[must_use]
    pub fn is_revoked(&self, slot: usize, session: Session) -> bool {
        let entry = &self.entries[slot];
        entry.revoked_boot.load(SeqCst) == session.boot.0 as u64
            && session.number.0 <= entry.revoked_number.load(SeqCst)
    }

    /// Whether it is committed that `session` of the node in `slot` was taken over.
    #[must_use]
    pub fn is_over(&self, slot: usize, session: Session) -> bool {
        let entry = &self.entries[slot];
        entry.over_boot.load(SeqCst) == session.boot.0 as u64
            && session.number.0 <= entry.over_number.load(SeqCst)
    }

    /// It is committed that this session of the node in `slot`, and all before it, were taken over.
    pub fn end(&self, slot: usize, session: Session) {
        let entry = &self.entries[slot];
        // No number may stand beside the boot that it was not said of.
        if entry.over_boot.swap(0, SeqCst) == session.boot.0 as u64 {
            entry.over_number.fetch_max(session.number.0, SeqCst);
        } else {
            entry.over_number.store(session.number.0, SeqCst);
        }
        entry.over_boot.store(session.boot.0 as u64, SeqCst);
    }

    /// No more promises for this session of the node in `slot`, and all before it. Returns until
    /// when promises made before it still bind.
    pub fn revoke(&self, slot: usize, session: Session) -> Moment {
        let entry = &self.entries[slot];
        if entry.revoked_boot.load(SeqCst) == session.boot.0 as u64 {
            entry.revoked_number.fetch_max(session.number.0, SeqCst);
        } else {
            entry.revoked_number.store(session.number.0, SeqCst);
            entry.revoked_boot.store(session.boot.0 as u64, SeqCst);
        }
        entry.promised_until.load().later(self.forced_until.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_to_a_node_stays_with_it_when_the_file_changes() {
        let at =
            |millis: u64| Moment { boottime: Instant(millis * 1_000_000), raw: Instant(millis * 1_000_000) };
        let (board, boot) = (Board::default(), BootId(7));
        board.begin(boot, &[NodeId(10), NodeId(20), NodeId(30)], at(100));
        board.promise(1, at(900));
        let session = Session { boot: BootId(9), number: SessionNumber(3) };
        board.revoke(2, session);
        board.seat(&[NodeId(5), NodeId(20), NodeId(25), NodeId(30)], at(700));
        let promised: Vec<Moment> = (0..4).map(|slot| board.promised_until(slot)).collect();
        assert_eq!(promised, [at(700), at(900), at(700), at(100)]);
        assert!(board.is_revoked(3, session) && !board.is_revoked(2, session));
        board.seat(&[NodeId(10), NodeId(20)], at(1500));
        assert_eq!((board.promised_until(0), board.promised_until(1)), (at(1500), at(900)));
        // A file with shorter promises: what was promised to a node that comes back holds.
        board.promise(0, at(9000));
        board.seat(&[NodeId(20)], at(2100));
        board.seat(&[NodeId(10), NodeId(20)], at(2600));
        assert_eq!((board.promised_until(0), board.promised_until(1)), (at(9000), at(900)));
    }
}
