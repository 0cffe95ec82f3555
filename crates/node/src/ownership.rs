//! Who may own things, seen from both sides.
//!
//! As a *holder* a node lets go when its lease ends or its session is taken over, and begins a new
//! session only after everything was let go (SAFETY rule 8). As a *voter* it revokes a session at
//! the moment it appends the takeover, and says when its own promise has run out (rules 4 and 7).
//! And from what all voters say of each other it judges whether a node is lost (rule 6) and whether
//! the cluster is without a leader (rule 13).

use heart_model::{Duration, LogIndex, Moment, NodeId, NodeName, Session, Term, Timing};
use std::collections::BTreeMap;

use crate::{
    agreement::Ticket,
    board::{Board, Voters, flag},
    chance::Chance,
    pulse::Sighting,
};

/// What is known of all nodes, by slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Sights {
    /// This node's slot.
    pub me: usize,
    /// The voters as this node knows them last.
    pub voters: Voters,
    /// Who elects leaders.
    pub electors: Voters,
    /// What was seen of each; nothing of ourselves.
    pub seen: Vec<Option<Sighting>>,
}

impl Sights {
    /// Nobody was seen yet.
    #[must_use]
    pub fn new(me: usize, nodes: usize) -> Sights {
        Sights { me, voters: Voters::default(), electors: Voters::default(), seen: vec![None; nodes] }
    }

    /// How many voters make a quorum.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.voters.quorum()
    }

    fn is_voter(&self, slot: usize) -> bool {
        self.voters.contains(slot)
    }

    fn voter_slots(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.seen.len()).filter(|&slot| self.is_voter(slot))
    }

    /// What was seen of the node in `slot`, if it is heard now.
    #[must_use]
    pub fn heard(&self, slot: usize) -> Option<&Sighting> {
        self.seen[slot].as_ref().filter(|seen| seen.heard == Some(true))
    }

    /// Whether `voter` says that it hears the node in `slot` both ways. A voter that we do not hear
    /// says nothing.
    fn says_it_hears(&self, voter: usize, slot: usize) -> bool {
        if voter == self.me {
            return self.heard(slot).is_some_and(|seen| seen.both_ways);
        }
        self.heard(voter).is_some_and(|seen| seen.hears >> slot & 1 == 1)
    }

    /// Whether the node in `slot` is lost: fewer than a quorum of voters hear it both ways, itself
    /// counted if it votes (SAFETY rule 6).
    #[must_use]
    pub fn is_lost(&self, slot: usize) -> bool {
        if slot == self.me {
            return false;
        }
        let voices = self.voter_slots().filter(|&voter| voter == slot || self.says_it_hears(voter, slot));
        voices.count() < self.quorum()
    }

    /// How many voters this node hears both ways, itself included if it votes.
    #[must_use]
    pub fn voters_heard(&self) -> usize {
        self.voter_slots().filter(|&voter| voter == self.me || self.says_it_hears(self.me, voter)).count()
    }

    /// The set of nodes that this node hears both ways.
    #[must_use]
    pub fn hears(&self) -> u64 {
        let heard = |slot: &usize| self.says_it_hears(self.me, *slot);
        (0..self.seen.len()).filter(heard).fold(0, |set, slot| set | 1 << slot)
    }

    /// A node that hears `slot` both ways and that we hear: whom to ask to pass something on.
    #[must_use]
    pub fn relay_to(&self, slot: usize) -> Option<usize> {
        let can = |via: &usize| {
            *via != slot && self.heard(*via).is_some_and(|seen| seen.both_ways && seen.hears >> slot & 1 == 1)
        };
        (0..self.seen.len()).find(can)
    }
}

/// What a voter brings to an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    /// It is not about to leave: who leaves leads only if nobody else can.
    stays: bool,
    /// It is not sick: who is leads only if nobody else can.
    well: bool,
    log: (Term, LogIndex),
    hears: u32,
    /// Any fixed order will do for the rest: the lower slot first.
    slot: ::core::cmp::Reverse<usize>,
}

/// The order in which the voters that report no leader shall campaign, best first; `None` unless a
/// quorum of the voters reports so (SAFETY rule 13).
#[must_use]
pub fn candidates(sights: &Sights, board: &Board, now: Moment) -> Option<Vec<usize>> {
    let me_flags = board.flags();
    let (_, log_term, log_index) = board.log();
    let mut without = 0;
    let mut merits = Vec::new();
    for slot in (0..sights.seen.len()).filter(|&slot| sights.electors.contains(slot)) {
        let (flags, follows, log, hears) = if slot == sights.me {
            (
                me_flags,
                board.leader_heard(now).map(|(leader, _)| leader),
                (log_term, log_index),
                sights.hears(),
            )
        } else {
            let Some(seen) = sights.heard(slot).filter(|seen| seen.both_ways) else { continue };
            (seen.flags, seen.follows, seen.log, seen.hears)
        };
        if follows.is_some() || flags & flag::LISTENING != 0 {
            continue;
        }
        without += 1;
        if flags & (flag::SICK | flag::LOG_LOST) == 0 {
            let (stays, well) = (flags & flag::LEAVING == 0, flags & flag::UNWELL == 0);
            merits.push(Merit {
                stays,
                well,
                log,
                hears: hears.count_ones(),
                slot: ::core::cmp::Reverse(slot),
            });
        }
    }
    merits.sort_unstable_by(|a, b| b.cmp(a));
    (without >= sights.electors.quorum()).then(|| merits.into_iter().map(|merit| merit.slot.0).collect())
}

/// How far the patience between two campaigns of a node grows, in steps of a quarter of lost-after.
const PATIENCE_MAX: u32 = 4;

/// When this node campaigns.
#[derive(Debug)]
pub struct Campaigns {
    chance: Chance,
    next: Option<Moment>,
    /// How often this node campaigned since there was a leader.
    tries: u32,
    /// The term at the last look.
    term: Term,
}

impl Campaigns {
    /// None under way. The seed spreads the retries of different nodes.
    #[must_use]
    pub fn new(seed: u64) -> Campaigns {
        Campaigns { chance: Chance::new(seed), next: None, tries: 0, term: Term(0) }
    }

    /// Whether to campaign now, given the order of the candidates. The best does so at once; the
    /// next one if nothing came of it, and so on, each again with jitter and more patience each
    /// time: an election that needs slow disks must not be ended by the next one.
    pub fn is_due(
        &mut self,
        now: Moment,
        me: usize,
        order: Option<&[usize]>,
        term: Term,
        timing: &Timing,
    ) -> bool {
        let raised = ::core::mem::replace(&mut self.term, term) != term;
        let Some(rank) = order.and_then(|order| order.iter().position(|&slot| slot == me)) else {
            (self.next, self.tries) = (None, 0);
            return false;
        };
        let patience = timing.lost_after / 4;
        if raised && rank > 0 && self.next.is_some() {
            // Somebody else campaigns: let it, unless we are the best, and it cannot win.
            let wait = self.wait(patience);
            self.next = self.next.map(|next| next.later(now.after(wait)));
        }
        let due = *self.next.get_or_insert_with(|| now.after(patience * rank as u32));
        if !now.has_surely_reached(due) {
            return false;
        }
        self.tries += 1;
        self.next = Some(now.after(self.wait(patience)));
        true
    }

    /// This node raised the term itself.
    pub fn on_campaigned(&mut self, term: Term) {
        self.term = term;
    }

    /// Until the next try: longer each time, and not the same for everybody.
    fn wait(&mut self, patience: Duration) -> Duration {
        let patience = patience * (1 + self.tries.min(PATIENCE_MAX));
        let jitter = self.chance.below(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX).max(1));
        patience + Duration::from_nanos(jitter)
    }

    /// When to look again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.next
    }
}

/// The holder's side.
#[derive(Debug, Default)]
pub struct Holder {
    letting_go: Option<(Session, bool)>,
    /// The executor said that it let go, and is to say what it has now.
    answered: bool,
    not_before: Option<Moment>,
}

/// What the holder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Something that is guarded by a lease.
    pub by_lease: bool,
    /// Anything at all.
    pub anything: bool,
}

/// What the holder has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetGo {
    /// Nothing.
    Nothing,
    /// Have the executor let go of what is guarded by the lease, or of everything.
    Now {
        /// In which session.
        session: Session,
        /// Of everything.
        everything: bool,
    },
}

impl Holder {
    /// What follows from the lease. What was let go is closed for good, so the session itself ends
    /// only when everything was: when it was taken over, or where nothing may run on: below half of the voters (SAFETY
    /// rule 9), and on a node that resets itself (`alone`). A session that was taken over is let go even if nothing is known to
    /// be held: an order may be on its way to the executor, which then refuses it.
    pub fn on_lease(
        &mut self,
        now: Moment,
        board: &Board,
        holds: Holds,
        alone: bool,
        patience: ::core::time::Duration,
    ) -> LetGo {
        if self.not_before.is_some_and(|at| !now.has_surely_reached(at)) {
            return LetGo::Nothing;
        }
        let deposed = board.is_deposed();
        let over = deposed || now.may_have_reached(board.lease_until());
        let session = board.session();
        // What was said once has to be carried through, also when things are better meanwhile: the
        // executor may have ended the session already.
        let begun = self.letting_go.filter(|(letting_go, _)| *letting_go == session);
        let everything = deposed || (over && alone) || begun.is_some_and(|(_, everything)| everything);
        let due = deposed || (over && if everything { holds.anything } else { holds.by_lease });
        if due && everything {
            // The executor ends the session for good; a core that is killed now has to know that.
            board.depose(session.number);
        }
        if due || begun.is_some() {
            self.letting_go = Some((session, everything));
            self.answered = false;
            // Said again if nothing comes of it: the executor may have begun anew.
            self.not_before = Some(now.after(patience));
            return LetGo::Now { session, everything };
        }
        LetGo::Nothing
    }

    /// The executor says that it let go in `session`.
    pub fn on_let_go(&mut self, session: Session) {
        self.answered |= self.letting_go.is_some_and(|(letting_go, _)| letting_go == session);
    }

    /// The executor said all that it has. Now it is known what was let go; whether that was
    /// everything, so that the next session begins. What was answered may have been an earlier word, of less: while
    /// something is held, it is said again.
    pub fn on_inventory(&mut self, holds_anything: bool) -> bool {
        let everything = self.letting_go.is_some_and(|(_, everything)| everything);
        self.answered &= !(everything && holds_anything);
        if !self.answered {
            return false;
        }
        *self = Holder::default();
        everything
    }

    /// Whether something is being let go.
    #[must_use]
    pub fn is_letting_go(&self) -> bool {
        self.letting_go.is_some()
    }

    /// When to look again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.not_before
    }
}

/// The voter's side: sessions it revoked, until its own promise to each has run out.
#[derive(Debug, Default)]
pub struct Revoked {
    /// By node.
    sessions: BTreeMap<NodeName, Over>,
}

/// One revoked session.
#[derive(Clone, Copy, Debug)]
struct Over {
    session: Session,
    /// Until when what was promised to it binds. Promises to a later session of the same node do not
    /// count: a node that is deaf may begin one, and would be promised something for ever.
    until: Moment,
    /// The write after which a later life of this voter promises nothing to that session either.
    waits_for: Option<Ticket>,
    /// It has run out, and that was said.
    told: bool,
}

impl Revoked {
    /// This voter, in slot `me` of `names`, appended a takeover: no more promises for that session. A node
    /// that its file does not know is promised nothing as it is.
    pub fn on_appended(
        &mut self,
        board: &Board,
        (me, names): (usize, &[NodeName]),
        (node, session): (&NodeName, Session),
        waits_for: Option<Ticket>,
    ) {
        let slot = names.iter().position(|name| name == node);
        let until = slot.map_or_else(|| board.others_until(), |slot| board.revoke(slot, session));
        if slot == Some(me) && session.boot == board.boot() {
            board.depose(session.number);
        }
        self.sessions.insert(node.clone(), Over { session, until, waits_for, told: false });
    }

    /// The disk has this write, and all before it.
    pub fn on_durable(&mut self, ticket: Ticket) {
        for one in self.sessions.values_mut() {
            one.waits_for.take_if(|waits_for| *waits_for <= ticket);
        }
    }

    /// The sessions whose promise has run out since the last look. A voter whose disk does not have the takeover yet
    /// would promise again if it lost power: it says nothing.
    pub fn newly_over(&mut self, now: Moment) -> Vec<(NodeName, Session)> {
        let mut over = Vec::new();
        for (node, one) in &mut self.sessions {
            if !one.told && one.waits_for.is_none() && now.has_surely_reached(one.until) {
                one.told = true;
                over.push((node.clone(), one.session));
            }
        }
        over
    }

    /// All sessions whose promise has run out, for a new leader.
    #[must_use]
    pub fn all_over(&self) -> Vec<(NodeName, Session)> {
        let over = self.sessions.iter().filter(|(_, one)| one.told);
        over.map(|(node, one)| (node.clone(), one.session)).collect()
    }

    /// When the next promise runs out.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        let open = self.sessions.values().filter(|one| !one.told && one.waits_for.is_none());
        open.map(|one| one.until).min_by_key(|at| at.boottime)
    }
}

/// The node that a sighting speaks of, with its session.
#[must_use]
pub fn session_of(seen: &Sighting) -> Session {
    Session { boot: seen.boot, number: seen.session }
}

/// A node's number as a place among `members`, which are in order.
#[must_use]
pub fn slot_of(members: &[NodeId], id: NodeId) -> Option<usize> {
    members.binary_search(&id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{BootId, Instant, SessionNumber};

    fn at(millis: u64) -> Moment {
        Moment::both(Instant(millis * 1_000_000))
    }

    fn board() -> Board {
        let board = Board::default();
        board.begin(BootId(7), &[NodeId(10), NodeId(20)], at(100));
        board
    }

    /// It would promise again if it lost power before: the same session, for as long as ever.
    #[test]
    fn a_voter_says_that_its_promise_is_over_once_its_disk_has_the_takeover() {
        let names = ["ada", "bob"].map(|name| NodeName::new(name).unwrap());
        let session = Session { boot: BootId(8), number: SessionNumber(1) };
        let (board, mut revoked) = (board(), Revoked::default());
        revoked.on_appended(&board, (0, &names), (&names[1], session), Some(Ticket(3)));
        assert!(revoked.newly_over(at(500)).is_empty() && revoked.next_deadline().is_none());
        revoked.on_durable(Ticket(2));
        assert!(revoked.newly_over(at(500)).is_empty());
        revoked.on_durable(Ticket(3));
        assert!(revoked.newly_over(at(50)).is_empty() && revoked.next_deadline().is_some());
        assert_eq!(revoked.newly_over(at(500)), [(names[1].clone(), session)]);
    }

    /// What was answered first was said of less.
    #[test]
    fn a_session_ends_once_nothing_of_it_is_held() {
        let (board, mut holder) = (board(), Holder::default());
        let holds = Holds { by_lease: true, anything: true };
        let patience = Duration::from_millis(600);
        let session = board.session();
        let said = holder.on_lease(at(200), &board, holds, false, patience);
        assert_eq!(said, LetGo::Now { session, everything: false });
        let said = holder.on_lease(at(900), &board, holds, true, patience);
        assert_eq!(said, LetGo::Now { session, everything: true });
        holder.on_let_go(session);
        assert!(!holder.on_inventory(true) && holder.is_letting_go());
        holder.on_let_go(session);
        assert!(holder.on_inventory(false) && !holder.is_letting_go());
    }
}
