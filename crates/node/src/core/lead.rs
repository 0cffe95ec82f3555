//! What only the leader does: it has the conductor say what is to be done, proposes and orders that,
//! and lets another lead before it leaves.

use heart_model::{Duration, Moment, Order};

use super::{Action, Core, Message, ORDERS_WAITING_MAX, Out};
use crate::{
    agreement::Agreement,
    board::{Board, flag},
    conductor::Score,
    ledger,
    pulse::Sighting,
};

/// For so many lost-afters a leader misses a node that others hear before it has another one lead.
const MISSES_FOR: u32 = 4;
/// After so long it does that again, if it leads again and still misses one.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A leader that hears less than another voter.
#[derive(Debug, Default)]
pub(super) struct HearsLess {
    since: Option<Moment>,
    /// When it had another one lead for that.
    given_up: Option<Moment>,
}

impl Core {
    /// Ends the time in which this node only listens, because it may have promised something
    /// before it was started (SAFETY rules 5 and 13).
    pub(super) fn listen(&mut self, now: Moment, board: &Board) {
        let virgin = board.flags() & flag::VIRGIN != 0;
        let Some(until) = self.listening_until else { return };
        // Who votes may have been changed: then those that do not vote here may have a history.
        let knows_all = self.sights.voters.size == self.ids.len();
        let has_listened = now.has_surely_reached(until);
        let over = if virgin { self.may_found() && (knows_all || has_listened) } else { has_listened };
        if over {
            self.listening_until = None;
            board.set_flags(board.flags() & !flag::LISTENING);
        }
    }

    /// The leader's work.
    pub(super) fn conduct(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let (leaves, losing_votes) = (self.leave_in_order(now), self.losing_votes(now));
        let Some(conductor) = &mut self.conductor else { return };
        let Some(agreement) = self.agreement.as_mut().filter(|agreement| agreement.has_committed_in_term())
        else {
            return;
        };
        let score = Score {
            wall: self.wall,
            names: &self.names,
            file: (&self.settings.spec, self.settings.digest),
            ledger: &self.ledger,
            applied: agreement.applied(),
            sights: &self.sights,
            session: board.session(),
            lives_known: (&self.lives_known, self.began),
            left_out: &self.founding.without,
            leaving: self.leaving_since.is_some(),
            leaves: &leaves,
            losing_votes: &losing_votes,
            flags: board.flags(),
            may_judge: self.listening_until.is_none()
                && now.has_surely_reached(self.began.after(self.timing.lost_after)),
        };
        for (slot, over) in self.ordered_over.iter_mut().enumerate() {
            if ::core::mem::replace(over, self.peers.generation(slot)) != self.peers.generation(slot) {
                conductor.forget_orders(self.ids[slot]);
                agreement.on_unreachable(Some(self.ids[slot]));
                if self.sights.heard(slot).is_some_and(|seen| seen.both_ways) {
                    agreement.on_heard();
                }
            }
        }
        let work = conductor.run(now, &score);
        board.set_doubted(conductor.doubted());
        for change in work.proposals {
            let entry = ledger::Entry { v: ledger::VERSION, at: self.wall, change };
            if agreement.propose(ledger::write(&entry)) {
                conductor.on_proposed(entry.change);
            }
        }
        for order in work.orders {
            self.give(order, out);
        }
        self.switch(now, board.session(), out);
        self.settle_voters(now);
        let rested = self.rest(now);
        if let (Some(change), Some(agreement)) = (rested, &mut self.agreement) {
            let entry = ledger::Entry { v: ledger::VERSION, at: self.wall, change };
            // Asked for again only after as long, should it be lost.
            self.shorter_since = Some(now).filter(|_| agreement.propose(ledger::write(&entry)));
        }
        self.tend_members(now, out);
    }

    /// Says in the log that every voter knows who votes, as soon as that is so (SAFETY rule 17 b).
    fn settle_voters(&mut self, now: Moment) {
        let Some(agreement) = &mut self.agreement else { return };
        let configuration = agreement.configuration().0;
        let again = self.members.settling.filter(|(of, _)| *of == configuration).map(|(_, at)| at);
        let waits = again.is_some_and(|at| !now.has_surely_reached(at.after(self.timing.lost_after)));
        if self.ledger.is_settled(configuration)
            || waits
            || !agreement.is_known_to_all(self.ledger.decides_since)
        {
            return;
        }
        let change = ledger::Change::Settle { configuration };
        let entry = ledger::Entry { v: ledger::VERSION, at: self.wall, change };
        // Asked for again only after a while, should it be lost.
        self.members.settling = agreement.propose(ledger::write(&entry)).then_some((configuration, now));
    }

    fn give(&mut self, order: Order, out: &mut Out) {
        let Some(slot) = self.ids.iter().position(|id| *id == order.node) else { return };
        if slot == self.slot {
            self.accept(order);
        } else {
            Core::send(slot, &Message::Order(order), out);
        }
    }

    pub(super) fn accept(&mut self, order: Order) {
        if self.orders.len() < ORDERS_WAITING_MAX {
            self.orders.push_back(order);
        }
    }

    /// A leader that is asked to leave, is sick or hears less than others lets another voter lead first: what it runs then changes hands
    /// under a leader that stays, and nobody has to notice by the clock that it is gone. Once only:
    /// a leader that comes to it again because nobody else can leaves as it is.
    pub(super) fn hand_over(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let leads = self.agreement.as_ref().is_some_and(Agreement::leads);
        let leaves = self.leaving_since.is_some() && !self.handed_over;
        let is_unwell = board.flags() & flag::UNWELL != 0 && !self.health.handed_over;
        let hears_less = self.hears_less(now, leads);
        if !leads || !(leaves || is_unwell || hears_less) || self.heirs(true) == 0 {
            return;
        }
        if leaves {
            self.handed_over = true;
        } else if is_unwell {
            self.health.handed_over = true;
        } else {
            self.hears_less.given_up = Some(now);
        }
        if let Some(agreement) = &mut self.agreement {
            agreement.step_down();
        }
        let why = match leaves {
            true => "leaves",
            false if !is_unwell => "does not hear a node that others hear",
            false if self.is_ordered_off(board.session()) => "is to be switched off",
            false => "is sick",
        };
        out.actions.push(Action::Note(format!("this node {why}: another shall lead")));
    }

    /// Whether this leader has missed for a while what a voter hears that could lead instead and misses nobody whom this
    /// one hears: a node that the leader does not hear is not taken in, and nothing is given to it (SAFETY rule 14).
    fn hears_less(&mut self, now: Moment, leads: bool) -> bool {
        let own = self.sights.hears() | 1 << self.slot;
        let better = |seen: &Sighting| {
            let theirs = seen.hears | 1 << seen.slot;
            theirs & own == own && theirs != own
        };
        let is_so = leads && self.could_lead(false).any(better);
        let known = &mut self.hears_less;
        known.since = known.since.filter(|_| is_so).or(is_so.then_some(now));
        known.given_up.take_if(|at| now.has_surely_reached(at.after(AGAIN_AFTER)));
        let patience = self.timing.lost_after * MISSES_FOR;
        known.given_up.is_none() && known.since.is_some_and(|at| now.has_surely_reached(at.after(patience)))
    }

    /// How many other voters could lead instead.
    pub(super) fn heirs(&self, whole_log: bool) -> usize {
        self.could_lead(whole_log).count()
    }

    /// The other voters that could lead: heard both ways, sound, and not leaving themselves; with the whole log, if that
    /// matters.
    fn could_lead(&self, whole_log: bool) -> impl Iterator<Item = &Sighting> {
        let bad = flag::LEAVING | flag::SICK | flag::UNWELL | flag::LOG_LOST | flag::LISTENING | flag::VIRGIN;
        let voters = self.agreement.iter().flat_map(|agreement| agreement.members().0);
        voters.filter_map(move |id| {
            let agreement = self.agreement.as_ref()?;
            let slot = self.ids.iter().position(|node| *node == id.node()).filter(|slot| *slot != self.slot);
            let seen = self.sights.heard(slot?).filter(|seen| seen.both_ways && seen.flags & bad == 0)?;
            let has_all = !whole_log || agreement.matched(id) == Some(agreement.last().1);
            has_all.then_some(seen)
        })
    }

    /// Whether a node that leaves still has to see to it that somebody leads; not for longer than
    /// lost-after.
    pub(super) fn is_handing_over(&self, now: Moment, board: &Board) -> bool {
        let waited = self.leaving_since.map(|since| since.after(self.timing.lost_after));
        if waited.is_none_or(|until| now.has_surely_reached(until)) {
            return false;
        }
        let leader = self.leader(now, board).map(|(leader, _)| leader);
        match leader {
            Some(leader) if leader == self.ids[self.slot] => !self.handed_over && self.heirs(false) > 0,
            Some(_) => false,
            None => self.handed_over,
        }
    }
}
