//! Heartbeats, liveness, promises and the lease.
//!
//! Silence is the only evidence there is, and it proves nothing: a full queue is silent, too. So
//! this half of the node only ever says *heard* or *lost*; what follows from it is for the core.
//!
//! A beat answers the beats of everybody else. If a voter sends it, each answer is a promise: "for
//! P I shall not say that you are lost", counted from when the voter received what it answers. The
//! receiver of Q such answers holds a lease, counted from when it *sent* what they answer (SAFETY
//! rules 1 and 2). Nothing that delays, copies or loses a datagram can make the lease longer.
//!
//! Invariant: after [`Pulse::new`], stepping allocates nothing; the actions go into a list that the
//! caller keeps.

use heart_model::{BootId, Duration, LINKS_MAX, Moment, NODES_MAX, NodeId, Session, SessionNumber};

mod verdict;
mod words;

pub use words::{Action, Event, LinkView, Member, Settings, Sighting};

use crate::{
    agreement::ConfigurationId,
    beat::{self, Ack, BEAT_MAX, Beat, CLAIMS_MAX},
    board::{Board, flag},
    frame::{BODY_MAX, CANDIDATES_MAX, Datagram, Kind, Opener, Rejected, Sealer},
    plant::{Bug, is_planted},
};

/// How many of our own beats are remembered: an answer to an older one earns nothing.
pub const BEATS_REMEMBERED: usize = 512;
/// Shortest time between two beats if the later is sent out of turn.
const URGENT_GAP: Duration = Duration::from_millis(1);

/// What the last beat of a node told, with when it came.
#[derive(Clone, Copy, Debug)]
struct Heard {
    boot: BootId,
    at: Moment,
    beat: Beat,
    /// When we sent the newest of our beats that it answered.
    answered: Option<Moment>,
    /// Until when our lease may count on this voter, and under which configuration.
    vouches_until: Option<(Moment, ConfigurationId)>,
    /// Until when it counts as hearing us, whatever it promises to our session.
    backs_until: Option<Moment>,
    /// It said that it will not vouch for the session we are in.
    refuses: bool,
    hears: u64,
}

/// A boot that says it speaks.
#[derive(Clone, Copy, Debug)]
struct Claim {
    boot: BootId,
    /// Our last beat when it first did: only an answer to a later one proves anything.
    before: u64,
    session: SessionNumber,
    sequence: u64,
}

#[derive(Debug)]
struct Peer {
    member: Member,
    heard: Option<Heard>,
    links: [LinkView; LINKS_MAX],
    /// Boots that say they speak, without proof yet, the one that spoke last first.
    claims: [Option<Claim>; CANDIDATES_MAX],
    told: Option<Sighting>,
}

/// See the module.
#[derive(Debug)]
pub struct Pulse {
    settings: Settings,
    slot: usize,
    sealer: Sealer,
    opener: Opener,
    /// For each slot; the opener's list has the same order.
    peers: Vec<Peer>,
    sent: Vec<(u64, Moment)>,
    next_beat: Moment,
    /// The last beat of this session.
    last_beat: Option<Moment>,
    /// The last beat of any.
    last_beat_ever: Option<Moment>,
    /// Verdicts count silence from here at the earliest: the start, or the end of our last stall.
    listening_since: Moment,
    urgent: bool,
    led: bool,
    /// When to step again at the latest: what is refused does not change it.
    wake_at: Moment,
    stalls: u64,
    session: SessionNumber,
    /// Those that vote, or will, as of the last step: a set of slots.
    voters: u64,
}

impl Pulse {
    /// A pulse that has heard nobody yet. The board was begun for this boot, or handed over.
    ///
    /// # Panics
    /// When this node is not among the members, or there are too many of something.
    #[must_use]
    pub fn new(now: Moment, settings: Settings, board: &Board) -> Pulse {
        let members = &settings.members;
        assert!(members.len() <= NODES_MAX && settings.links <= LINKS_MAX);
        assert!(members.is_sorted_by_key(|member| member.id), "slots are in order of the numbers");
        let slot = members.iter().position(|member| member.id == settings.me).expect("this node is a member");
        let ids: Vec<NodeId> = members.iter().map(|member| member.id).collect();
        let peer = |&member: &Member| Peer {
            member,
            heard: None,
            links: [LinkView::default(); LINKS_MAX],
            claims: [None; CANDIDATES_MAX],
            told: None,
        };
        Pulse {
            slot,
            sealer: Sealer::new(&settings.key, settings.me, board.boot()),
            opener: Opener::new(&settings.key, settings.me, &ids),
            peers: members.iter().map(peer).collect(),
            sent: vec![(0, Moment::default()); BEATS_REMEMBERED],
            next_beat: now,
            last_beat: None,
            last_beat_ever: None,
            listening_since: now,
            urgent: false,
            led: false,
            wake_at: now,
            stalls: 0,
            session: board.session().number,
            voters: board.configuration().slots,
            settings,
        }
    }

    /// The only way in. Actions are added to `actions`, in order.
    ///
    /// A datagram that is refused changes nothing, adds no action (what was said of waking still
    /// holds) and is counted on the board. False says that this was one.
    pub fn step(&mut self, now: Moment, board: &Board, event: Event<'_>, actions: &mut Vec<Action>) -> bool {
        self.notice_stall(now);
        let taken = match event {
            Event::Wake => Ok(()),
            Event::Datagram { link, bytes } => self.on_datagram(now, board, link, bytes, actions),
            Event::Poke => {
                self.urgent = true;
                Ok(())
            }
        };
        if let Err(rejected) = taken {
            board.refuse(rejected);
            // A flood must not keep from what time alone brings about.
            if !now.may_have_reached(self.wake_at) {
                return false;
            }
        }
        self.settle(now, board, actions);
        self.wake_at = self.next_deadline(now);
        actions.push(Action::WakeAt(self.wake_at));
        taken.is_ok()
    }

    /// Whether beats go to the node in this slot: voters speak to all, all speak to voters.
    #[must_use]
    pub fn sends_to(&self, slot: usize) -> bool {
        // Who votes by the file, and who votes now: they differ while the voters change.
        let votes = |slot: usize| self.settings.members[slot].voter || self.voters >> slot & 1 == 1;
        slot != self.slot && (votes(slot) || votes(self.slot))
    }

    /// How many nodes there are, this one included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.peers.len()
    }

    /// How the node in `slot` is heard over each link.
    #[must_use]
    pub fn links(&self, slot: usize) -> &[LinkView] {
        &self.peers[slot].links[..self.settings.links]
    }

    /// How often this pulse was late by more than a heartbeat.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    fn notice_stall(&mut self, now: Moment) {
        // A beat that is late by more than a heartbeat means that we did not listen either.
        if now.longest_since(self.next_beat) > self.settings.timing.heartbeat {
            self.stalls += 1;
            self.listening_since = now;
        }
    }

    fn on_datagram(
        &mut self,
        now: Moment,
        board: &Board,
        link: usize,
        bytes: &mut [u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Rejected> {
        let opened = self.opener.open(link, bytes)?;
        let (slot, boot, admitted) = (opened.peer, opened.boot, opened.admitted);
        match opened.kind {
            Kind::Beat => {
                // `body` borrows the datagram, not the opener.
                let body = opened.body;
                let (beat, acks) = beat::read(body).ok_or(Rejected::Unknown)?;
                self.on_beat(now, board, link, slot, boot, beat, acks);
            }
            Kind::Stream if admitted => {
                let from = self.settings.members[slot].id;
                let body = Datagram::copy_of(opened.body).expect("a body is shorter than a datagram");
                actions.push(Action::Deliver { from, boot, body });
            }
            Kind::Relay if admitted => self.pass_on(opened.body, actions),
            Kind::Stream | Kind::Relay => return Err(Rejected::OldBoot),
        }
        Ok(())
    }

    fn pass_on(&self, body: &[u8], actions: &mut Vec<Action>) {
        let Some((to, inner)) = body.split_first_chunk::<4>() else { return };
        let to = NodeId(u32::from_le_bytes(*to));
        let slot = self.settings.members.iter().position(|member| member.id == to);
        if let (Some(to), Some(datagram)) = (slot.filter(|&slot| slot != self.slot), Datagram::copy_of(inner))
        {
            actions.push(Action::Forward { to, datagram });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one datagram")]
    fn on_beat(
        &mut self,
        now: Moment,
        board: &Board,
        link: usize,
        slot: usize,
        boot: BootId,
        beat: Beat,
        acks: beat::Acks<'_>,
    ) {
        let mine = Mine { boot: beat::boot_tag(board.boot()), last: board.last_beat(), me: self.settings.me };
        self.turn_session(board);
        let answer = acks.clone().find_map(|ack| mine.answer(ack));
        if self.opener.admitted(slot) != Some(boot) && !self.believe(slot, boot, beat, &mine, answer) {
            return;
        }
        let peer = &mut self.peers[slot];
        if let Some(view) = peer.links.get_mut(link) {
            *view = LinkView { heard_at: Some(now), beats: view.beats + 1 };
        }
        // Several links carry the same beat: the first copy counts.
        if peer.heard.is_some_and(|heard| heard.boot == boot && heard.beat.sequence >= beat.sequence) {
            return;
        }
        let before = peer.heard.filter(|heard| heard.boot == boot);
        let sent_at = answer.and_then(|(sequence, _)| sent_at(&self.sent, sequence));
        let answered = before.and_then(|heard| heard.answered).max_by_boottime(sent_at);
        let hears = hears(&self.settings.members, acks);
        peer.heard = Some(Heard {
            boot,
            at: now,
            beat,
            answered,
            vouches_until: before.and_then(|heard| heard.vouches_until),
            backs_until: before.and_then(|heard| heard.backs_until),
            refuses: before.is_some_and(|heard| heard.refuses),
            hears,
        });
        self.on_answer(board, slot, beat, answer, self.counts_from(now, sent_at));
        // Store the promise first; what is revoked is read when the answer is sent (rule 4).
        board.promise(slot, now.after(self.settings.timing.lost_after));
        self.follow(now, board, slot, beat);
    }

    /// Whether a boot that was not known to speak now has just proven that it does: it answered a
    /// beat of ours that we sent after it first claimed to be there. A recording cannot.
    fn believe(
        &mut self,
        slot: usize,
        boot: BootId,
        beat: Beat,
        mine: &Mine,
        answer: Option<(u64, Ack)>,
    ) -> bool {
        let peer = &mut self.peers[slot];
        let place = peer.claims.iter().position(|claim| claim.is_some_and(|claim| claim.boot == boot));
        let known = place.and_then(|place| peer.claims[place]);
        let before = known.map_or(mine.last, |claim| claim.before);
        if known.is_some() && answer.is_some_and(|(sequence, _)| sequence > before) {
            self.opener.admit(slot, boot);
            peer.claims = [None; CANDIDATES_MAX];
            peer.heard = None;
            self.urgent = true;
            return true;
        }
        // Whoever repeats many old boots must not make us send without pause.
        let place = place.unwrap_or(CANDIDATES_MAX - 1);
        self.urgent |= peer.claims[place].is_none();
        peer.claims[place] = Some(Claim { boot, before, session: beat.session, sequence: beat.sequence });
        peer.claims[..=place].rotate_right(1);
        false
    }

    /// What a beat's answer to ours says for our lease.
    fn on_answer(
        &mut self,
        board: &Board,
        slot: usize,
        beat: Beat,
        answer: Option<(u64, Ack)>,
        sent_at: Option<Moment>,
    ) {
        let Some((_, ack)) = answer else { return };
        let lease = self.lease_of(beat.promise);
        let until =
            sent_at.filter(|_| !beat.promise.is_zero()).map(|at| (at.after(lease), beat.configuration));
        let backs_until = sent_at.and_then(|at| self.backs_until(at, beat));
        if let Some(heard) = self.peers[slot].heard.as_mut().filter(|_| ack.heard) {
            heard.backs_until = backs_until.or(heard.backs_until);
        }
        let session = board.session();
        if ack.session != session.number.0 as u32 {
            return;
        }
        if ack.deposed {
            board.depose(session.number);
            self.peers
                .iter_mut()
                .filter_map(|peer| peer.heard.as_mut())
                .for_each(|heard| heard.vouches_until = None);
            return;
        }
        let Some(heard) = &mut self.peers[slot].heard else { return };
        // A voter that waits for our proof does not vouch either, but will.
        heard.refuses = ack.heard && !ack.vouches;
        if ack.vouches {
            heard.vouches_until = until.or(heard.vouches_until);
        }
    }

    /// A session without a lease that a voter refuses may never get one again, also if its takeover
    /// was never agreed on: that voter does not change its mind. So another session begins.
    fn give_up(&self, now: Moment, board: &Board) {
        let voters = board.configuration();
        let refuses = |slot: usize| {
            self.peers[slot].heard.is_some_and(|heard| heard.refuses)
                && self.is_heard(now, slot) == Some(true)
        };
        let over = !board.is_deposed() && now.may_have_reached(board.lease_until());
        if over && (0..self.peers.len()).any(|slot| voters.contains(slot) && refuses(slot)) {
            board.depose(board.session().number);
        }
    }

    /// Notes whether a leader speaks with authority (SAFETY rule 14).
    fn follow(&mut self, now: Moment, board: &Board, slot: usize, beat: Beat) {
        let id = self.settings.members[slot].id;
        let heard = board.leader_heard(now);
        if beat.leads {
            if heard.is_none_or(|(leader, term)| leader == id || term <= beat.term) {
                board.set_leader_heard(Some((id, beat.term)), now.after(self.settings.timing.lost_after));
                self.urgent |= heard.is_none();
            }
        } else if heard.is_some_and(|(leader, _)| leader == id) {
            // It says itself that it leads no longer.
            board.set_leader_heard(None, now);
            self.urgent = true;
        }
    }

    /// Everything that follows from the time alone, and the beat if one is due.
    fn settle(&mut self, now: Moment, board: &Board, actions: &mut Vec<Action>) {
        self.voters = board.configuration().slots | board.electors().slots;
        self.turn_session(board);
        self.lead(now, board);
        for slot in 0..self.peers.len() {
            self.sight(now, board, slot, actions);
        }
        let soonest = self.last_beat.map_or(now, |at| at.after(URGENT_GAP));
        let due = now.may_have_reached(self.next_beat);
        if due || (self.urgent && now.may_have_reached(soonest)) {
            self.send_beat(now, board, actions);
        }
        self.be_backed(now, board, actions);
        self.give_up(now, board);
        let before = board.lease_until();
        let until = self.lease_until(board);
        if !board.is_deposed() && until.boottime > before.boottime {
            board.set_lease_until(until);
        }
        if board.lease_until() != before {
            actions.push(Action::Lease);
        }
    }

    fn send_beat(&mut self, now: Moment, board: &Board, actions: &mut Vec<Action>) {
        self.urgent = false;
        self.next_beat = now.after(self.settings.timing.heartbeat);
        (self.last_beat, self.last_beat_ever) = (Some(now), Some(now));
        let sequence = board.next_beat();
        self.sent[sequence as usize % BEATS_REMEMBERED] = (sequence, now);
        let votes = self.votes(board);
        if votes {
            board.promise(self.slot, now.after(self.settings.timing.lost_after));
        }
        let (term, log_term, log_index) = board.log();
        let leads = self.leads(now, board);
        let mut beat = Beat {
            sequence,
            session: board.session().number,
            link: 0,
            leads: leads.is_some(),
            flags: board.flags() as u8,
            term: leads.unwrap_or(term),
            follows: board.leader_heard(now).map(|(leader, _)| leader),
            log_term,
            log_index,
            configuration: board.configuration().id,
            promise: if votes { self.settings.timing.lost_after } else { Duration::ZERO },
            digest: self.settings.digest,
            era: board.era().0,
            incarnation: board.era().1,
        };
        for link in 0..self.settings.links {
            beat.link = link as u8;
            let mut body = [0; BEAT_MAX];
            let length = beat::write(&beat, self.acks(now, board), &mut body);
            let datagram = self.sealer.seal(Kind::Beat, board.next_frame(), &body[..length]);
            actions.push(Action::Beat { link, datagram });
        }
    }

    /// Whether what this node acknowledges is a promise. Without a log it does not know which
    /// sessions it may have refused before it lost it (SAFETY rule 16).
    fn votes(&self, board: &Board) -> bool {
        let flags = board.flags();
        let empty = flag::VIRGIN | flag::LISTENING;
        let forgetful =
            flags & flag::LOG_LOST != 0 || (flags & empty == empty && !is_planted(Bug::LostLogVotes));
        board.configuration().contains(self.slot) && !forgetful
    }

    /// What was vouched for an earlier session counts for nothing in a new one.
    fn turn_session(&mut self, board: &Board) {
        let session = board.session().number;
        if session != self.session {
            self.session = session;
            self.last_beat = None;
            self.urgent = true;
            self.peers
                .iter_mut()
                .filter_map(|peer| peer.heard.as_mut())
                .for_each(|heard| (heard.vouches_until, heard.refuses) = (None, false));
        }
    }

    fn acks<'a>(&'a self, now: Moment, board: &'a Board) -> impl Iterator<Item = Ack> + 'a {
        let heard = |slot: usize| self.peers[slot].heard.map(|heard| (slot, heard));
        let of_heard = move |(slot, heard): (usize, Heard)| {
            let session = Session { boot: heard.boot, number: heard.beat.session };
            let revoked = board.is_revoked(slot, session) && !is_planted(Bug::PromisesToTheDeposed);
            Ack {
                node: self.settings.members[slot].id,
                boot: beat::boot_tag(heard.boot),
                session: heard.beat.session.0 as u32,
                sequence: heard.beat.sequence as u32,
                heard: self.is_heard(now, slot) == Some(true),
                both_ways: self.is_both_ways(now, slot),
                deposed: revoked && board.is_over(slot, session),
                vouches: !revoked,
            }
        };
        // A boot without proof gets no promise, but the answer that it needs for its proof.
        let of_claim = |(node, claim): (NodeId, Claim)| Ack {
            node,
            boot: beat::boot_tag(claim.boot),
            session: claim.session.0 as u32,
            sequence: claim.sequence as u32,
            heard: false,
            both_ways: false,
            deposed: false,
            vouches: false,
        };
        let all = self
            .peers
            .iter()
            .flat_map(|peer| peer.claims.iter().flatten().map(|&claim| (peer.member.id, claim)));
        // Where there are more than fit, each has its turn.
        let count = all.clone().count();
        let first = (board.last_beat() as usize * CLAIMS_MAX).checked_rem(count).unwrap_or(0);
        let claims = all.cycle().skip(first).take(count.min(CLAIMS_MAX)).map(of_claim);
        (0..self.peers.len()).filter_map(heard).map(of_heard).chain(claims)
    }

    fn next_deadline(&self, now: Moment) -> Moment {
        let wait = self.settings.timing.lost_after;
        let silences = self.peers.iter().filter_map(|peer| {
            let heard = peer.heard?;
            let lost_at = heard.at.later(self.listening_since).after(wait);
            let deaf_at = heard.answered.map(|at| at.later(self.listening_since).after(wait));
            [Some(lost_at), deaf_at]
                .into_iter()
                .flatten()
                .filter(|&at| !now.has_surely_reached(at))
                .min_by_key(|at| at.boottime)
        });
        let urgent = self.urgent.then(|| self.last_beat.map_or(now, |at| at.after(URGENT_GAP)));
        silences.chain(urgent).chain([self.next_beat]).min_by_key(|at| at.boottime).unwrap_or(self.next_beat)
    }
}

/// How to tell an answer to us.
struct Mine {
    me: NodeId,
    boot: u32,
    last: u64,
}

impl Mine {
    fn answer(&self, ack: Ack) -> Option<(u64, Ack)> {
        (ack.node == self.me && ack.boot == self.boot)
            .then(|| beat::whole_sequence(ack.sequence, self.last))
            .flatten()
            .map(|sequence| (sequence, ack))
    }
}

trait LaterOption {
    fn max_by_boottime(self, other: Option<Moment>) -> Option<Moment>;
}

impl LaterOption for Option<Moment> {
    fn max_by_boottime(self, other: Option<Moment>) -> Option<Moment> {
        match (self, other) {
            (Some(a), Some(b)) => Some(a.later(b)),
            (a, b) => a.or(b),
        }
    }
}

fn sent_at(sent: &[(u64, Moment)], sequence: u64) -> Option<Moment> {
    let (number, at) = sent[sequence as usize % BEATS_REMEMBERED];
    (number == sequence).then_some(at)
}

/// The set of slots that a node says it hears both ways.
fn hears(members: &[Member], acks: beat::Acks<'_>) -> u64 {
    acks.filter(|ack| ack.both_ways).fold(0, |set, ack| {
        let slot = members.binary_search_by_key(&ack.node, |member| member.id);
        slot.map_or(set, |slot| set | 1 << slot)
    })
}

const _: () = assert!(NODES_MAX <= 64, "sets of slots are 64 bits");
const _: () = assert!(BEAT_MAX <= BODY_MAX, "a beat fits a frame");
