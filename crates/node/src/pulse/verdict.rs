//! What follows from what was heard: who is heard and who is lost, until when voters stand behind this
//! node, and whether it leads with authority.

use heart_model::{Duration, Moment, Term, Timing};

use super::{Action, Heard, LinkView, Pulse, Sighting};
use crate::{
    agreement::ConfigurationId,
    beat::Beat,
    board::{Board, Voters, flag},
    plant::{Bug, is_planted},
};

impl Pulse {
    /// Whether this node leads with authority, and what it then hears of itself.
    pub(super) fn lead(&mut self, now: Moment, board: &Board) {
        let leads = self.leads(now, board);
        if leads.is_some() != self.led {
            self.led = leads.is_some();
            self.urgent = true;
        }
        match leads {
            Some(term) => {
                board.set_leader_heard(
                    Some((self.settings.me, term)),
                    now.after(self.settings.timing.lost_after),
                );
            }
            None => {
                if board.leader_heard(now).is_some_and(|(leader, _)| leader == self.settings.me) {
                    board.set_leader_heard(None, now);
                }
            }
        }
    }

    pub(super) fn leads(&self, now: Moment, board: &Board) -> Option<Term> {
        let term = board.leading()?;
        let fresh = now.longest_since(board.progress()) < self.settings.timing.lost_after;
        let backed = fresh && !now.may_have_reached(self.backed_until(board));
        (backed && board.flags() & flag::SICK == 0).then_some(term)
    }

    /// Until when a quorum of voters hears this node, whatever becomes of its session. Whichever
    /// configuration they know: a leader brings them the last one.
    pub(super) fn backed_until(&self, board: &Board) -> Moment {
        let own = self.last_beat_ever;
        self.until(board.electors(), own, |slot| self.peers[slot].heard?.backs_until)
    }

    /// The end of the lease: the Qth newest of what the voters of one configuration vouch for. A
    /// voter's promise to itself counts likewise, unless it revoked it itself.
    pub(super) fn lease_until(&self, board: &Board) -> Moment {
        let own = self.last_beat.filter(|_| !board.is_revoked(self.slot, board.session()));
        let voters = board.configuration();
        let same = |at: ConfigurationId| at == voters.id || is_planted(Bug::ConfigurationsMixed);
        self.until(voters, own, |slot| {
            let vouches = self.peers[slot].heard?.vouches_until;
            vouches.filter(|&(_, at)| same(at)).map(|(until, _)| until)
        })
    }

    pub(super) fn be_backed(&self, now: Moment, board: &Board, actions: &mut Vec<Action>) {
        let (before, until) = (board.backed_until(), self.backed_until(board));
        if until != before {
            board.set_backed_until(until);
        }
        if now.may_have_reached(before) && !now.may_have_reached(until) {
            actions.push(Action::Backed);
        }
    }

    /// Until when a voter backs us that heard what we sent then. It may not know yet that it votes, and
    /// promise nothing; who has no log backs nobody.
    pub(super) fn backs_until(&self, sent_at: Moment, beat: Beat) -> Option<Moment> {
        let lost = u64::from(beat.flags) & (flag::LOG_LOST | flag::VIRGIN) != 0;
        let promise = if beat.promise.is_zero() { self.settings.timing.lost_after } else { beat.promise };
        (!lost || !beat.promise.is_zero()).then(|| sent_at.after(self.lease_of(promise)))
    }

    /// The Qth newest end of what this node, if it votes, and others stand for.
    fn until(&self, voters: Voters, own: Option<Moment>, of: impl Fn(usize) -> Option<Moment>) -> Moment {
        let mut ends = [Moment::default(); heart_model::VOTERS_MAX];
        let mut count = 0;
        for slot in (0..self.peers.len()).filter(|&slot| voters.contains(slot)) {
            let end = if slot == self.slot {
                own.map(|at| at.after(self.lease_of(self.settings.timing.lost_after)))
            } else {
                of(slot)
            };
            if let (Some(end), Some(place)) = (end, ends.get_mut(count)) {
                *place = end;
                count += 1;
            }
        }
        if voters.size == 0 || count < voters.quorum() {
            return Moment::default();
        }
        let ends = &mut ends[..count];
        ends.sort_unstable_by_key(|end| ::core::cmp::Reverse(end.boottime));
        ends[voters.quorum() - 1]
    }

    pub(super) fn is_heard(&self, now: Moment, slot: usize) -> Option<bool> {
        let wait = self.settings.timing.lost_after;
        let silent = |at: Moment| now.has_surely_reached(at.later(self.listening_since).after(wait));
        match &self.peers[slot].heard {
            Some(heard) => Some(!silent(heard.at)),
            None => silent(self.listening_since).then_some(false),
        }
    }

    pub(super) fn is_both_ways(&self, now: Moment, slot: usize) -> bool {
        let wait = self.settings.timing.lost_after;
        let answered = self.peers[slot].heard.and_then(|heard| heard.answered);
        self.is_heard(now, slot) == Some(true)
            && answered.is_some_and(|at| !now.has_surely_reached(at.later(self.listening_since).after(wait)))
    }

    pub(super) fn links_heard(&self, now: Moment, slot: usize) -> u64 {
        let wait = self.settings.timing.lost_after;
        let heard = |view: &LinkView| {
            view.heard_at
                .is_some_and(|at| !now.has_surely_reached(at.later(self.listening_since).after(wait)))
        };
        self.links(slot)
            .iter()
            .enumerate()
            .filter(|(_, view)| heard(view))
            .fold(0, |set, (link, _)| set | 1 << link)
    }

    /// Tells the core what changed about the node in `slot`, and everybody if it was lost.
    pub(super) fn sight(&mut self, now: Moment, board: &Board, slot: usize, actions: &mut Vec<Action>) {
        if slot == self.slot {
            return;
        }
        let (heard, both_ways) = (self.is_heard(now, slot), self.is_both_ways(now, slot));
        let Some(last) = self.peers[slot].heard else { return };
        let alive = heard == Some(true);
        let sighting = Sighting {
            slot,
            heard,
            both_ways,
            answered: self.answered(board, &last, slot),
            boot: last.boot,
            session: last.beat.session,
            flags: u64::from(last.beat.flags),
            leads: alive && last.beat.leads,
            term: last.beat.term,
            follows: last.beat.follows.filter(|_| alive),
            log: (last.beat.log_term, last.beat.log_index),
            hears: if alive { last.hears } else { 0 },
            links: self.links_heard(now, slot),
            digest: last.beat.digest,
            era: last.beat.era,
            incarnation: last.beat.incarnation,
        };
        let told = self.peers[slot].told;
        if told == Some(sighting) {
            return;
        }
        if told.is_none_or(|told| told.heard != heard || told.both_ways != both_ways) {
            self.urgent = true;
        }
        if !alive && board.leader_heard(now).is_none() {
            self.urgent = true;
        }
        self.peers[slot].told = Some(sighting);
        actions.push(Action::Sight(sighting));
    }

    /// What is told of when we sent what a node answered: what was told of this life already, unless the core wants to
    /// know more. Nobody shall be woken for each beat.
    fn answered(&self, board: &Board, last: &Heard, slot: usize) -> Option<Moment> {
        let told = self.peers[slot].told.filter(|told| told.boot == last.boot);
        let known = told.and_then(|told| told.answered).filter(|_| board.doubted() >> slot & 1 == 0);
        known.or(last.answered)
    }

    /// From when an answer to what we sent then counts: from then.
    pub(super) fn counts_from(&self, now: Moment, sent_at: Option<Moment>) -> Option<Moment> {
        if is_planted(Bug::LeaseFromReceipt) {
            return sent_at.map(|_| now);
        }
        if is_planted(Bug::AnyAnswerCounts) {
            return sent_at.and(self.last_beat);
        }
        sent_at
    }

    /// How long what was promised for `promise` counts here, from when we sent what earned it.
    pub(super) fn lease_of(&self, promise: Duration) -> Duration {
        let timing = Timing { lost_after: promise, ..self.settings.timing };
        if is_planted(Bug::ClocksTrusted) { promise.saturating_sub(timing.let_go) } else { timing.lease() }
    }
}
