//! What half of the voters does when the other half is lost (SAFETY rules 17 and 18).
//!
//! Nothing can be agreed on then, so the right to switch the others off cannot be either. It follows from what this
//! node knows for certain: who votes, that everybody knew that, and that it took part in this life. When each of the
//! others is proven off, or a person says so, this node goes on as the only voter, with everything its log holds,
//! under a history of another number: whoever comes back sees that it was gone on from, and is taken in anew.

mod fire;
mod force;
mod give_up;
mod tie;
mod words;

use heart_model::{BootId, Duration, Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Core, Message, OfHalf, Out};
use crate::{
    agreement::{Agreement, RaftId, Ticket},
    board::{Board, flag},
    conductor::fencing::afresh_after,
    half::{self, Blocked, Knowledge, Next, Sides},
    ledger::Ledger,
    plant::{Bug, is_planted},
    pulse::Sighting,
};

/// What this node does as half of the voters.
#[derive(Debug, Default)]
pub(super) struct Half {
    attempts: BTreeMap<NodeName, Attempt>,
    /// The number of the next attempt.
    next_attempt: u32,
    /// Until when a device may act that another of this half had told, by its slot; or an executor or a core of this
    /// node of which nothing is known any more, by none. One that is done says nothing of the others.
    blocked_until: BTreeMap<Option<usize>, Moment>,
    /// The others of this half, which agree to nothing while devices are told.
    holds: BTreeMap<NodeName, Hold>,
    word: Option<Word>,
    going: Option<Going>,
    /// The write after which this node has no vote in a history that another one goes on from.
    standing_back: Option<StandingBack>,
    stood_back: Option<StoodBack>,
    forcing: Option<Forcing>,
    /// Who was asked to give up its vote for this node, and in which life it did: it stays of this half as long as nobody
    /// leads. Not who had lost its log by itself.
    gave_votes: BTreeMap<NodeName, Option<BootId>>,
    tie: tie::Tie,
    /// Which voters everybody is known to know, and since when that is known here.
    settled: Option<(u64, Moment)>,
    /// Since when this node knows that there is no quorum with it.
    since: Option<Moment>,
    /// Why it does not go on, as it was told last.
    told: Option<Stuck>,
    /// Who was told of the histories before this one: in which life, with which history, over which stream.
    told_parents: BTreeMap<usize, (BootId, u64, u64)>,
}

/// An attempt to switch one of the others off.
#[derive(Debug)]
struct Attempt {
    boot: BootId,
    /// The executor was told, and has not answered.
    under_way: bool,
    /// The number of the last attempt.
    number: u32,
    /// In this series of attempts.
    failures: u32,
    failure: Option<String>,
    not_before: Option<Moment>,
    /// This series is over, and the next one is waited for.
    is_given_up: bool,
    /// How many series there were before this one.
    series: u32,
    off: bool,
}

impl Attempt {
    fn new(boot: BootId, off: bool) -> Attempt {
        Attempt {
            boot,
            under_way: false,
            number: 0,
            failures: 0,
            failure: None,
            not_before: None,
            is_given_up: false,
            series: 0,
            off,
        }
    }

    /// Whether the attempts of a series, so many, have all failed, and the next one is waited for; it begins when that is over.
    fn waits_afresh(&mut self, now: Moment, attempts_max: u32) -> bool {
        if self.failures < attempts_max {
            return false;
        }
        if !self.is_given_up {
            (self.is_given_up, self.not_before) = (true, Some(now.after(afresh_after(self.series))));
        }
        let waits = self.not_before.is_some_and(|at| !now.has_surely_reached(at));
        if !waits {
            self.begin(self.series + 1);
        }
        waits
    }

    /// Begins a series.
    fn begin(&mut self, series: u32) {
        (self.series, self.failures, self.not_before, self.is_given_up) = (series, 0, None, false);
    }
}

/// What another of this half was asked to keep still for.
#[derive(Clone, Copy, Debug)]
struct Hold {
    asked_at: Moment,
    over: u64,
    answered: bool,
}

/// What a person said.
#[derive(Debug)]
struct Word {
    without: Vec<NodeName>,
    who: String,
    until: Moment,
}

/// This half goes on, as soon as its others have given up their votes.
#[derive(Debug)]
struct Going {
    halves: Halves,
    /// What lets it.
    by: By,
    since: Moment,
    /// The number of the history that goes on.
    era: u64,
    /// Who was asked to stand back, over which stream, and when.
    asked: BTreeMap<NodeName, (u64, Moment)>,
    /// Who did.
    stood_back: BTreeSet<NodeName>,
    /// The tie-break was asked once more, after all of them did.
    is_claimed_anew: bool,
    /// So many voters are heard again that these may agree without all that; should everybody asked have stood back by
    /// then, they cannot, and this node goes on.
    is_suspended: bool,
}

/// What lets a half go on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    /// All others are proven off.
    Proof,
    /// This person says that they are.
    Word(String),
    /// The tie-break, with a history of this number.
    TieBreak(u64),
}

/// This node gave up its vote, for another one that goes on.
#[derive(Clone, Copy, Debug)]
struct StandingBack {
    ticket: Ticket,
    slot: usize,
    era: u64,
}

/// For whom this node has given up its vote.
#[derive(Clone, Copy, Debug)]
struct StoodBack {
    slot: usize,
    era: u64,
    /// Over which stream it was said last.
    over: Option<u64>,
}

/// A history that goes on, on its way to the disk.
#[derive(Debug)]
struct Forcing {
    ticket: Ticket,
    agreement: Box<Agreement>,
    ledger: Box<Ledger>,
    /// Every quorum of the voters before needed this one, and has for so long that no promise of others runs any more:
    /// what was promised, it promised.
    alone: bool,
}

/// Why this node does not go on without the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// It is less than half of the voters.
    NotHalf,
    /// Another of this half has the better log: it does what is to be done.
    Led(NodeName),
    /// Not everybody is known to know who votes.
    Unsettled,
    /// It has not taken part since it was started: others may have gone on.
    Fresh,
    /// Nothing switches this node off that it could use.
    NoDevice(NodeName),
    /// What switches this node off proved nothing, so often that nothing more is tried for some time.
    GivenUp(NodeName, String),
    /// The tie-break is not reached.
    NoTieBreak(String),
    /// The tie-break does not let this half go on.
    NotNamed,
    /// None of its ping targets answers: it may be the one that is cut off.
    NoTarget,
}

impl Half {
    /// Whether something may switch this node off at any moment, because this one had it told to.
    pub(super) fn fires_at(&self, node: &NodeName) -> bool {
        !self.blocked_until.is_empty() || self.attempts.get(node).is_some_and(|attempt| attempt.under_way)
    }

    /// Whether nothing may change here: a device may act at any moment, or the log is being gone on from.
    pub(super) fn is_at_work(&self) -> bool {
        self.is_forcing() || self.may_hit()
    }

    /// Whether a device may act at any moment that this half had told.
    fn may_hit(&self) -> bool {
        !self.blocked_until.is_empty() || self.attempts.values().any(|attempt| attempt.under_way)
    }

    /// Whether the log is being gone on from.
    pub(super) fn is_forcing(&self) -> bool {
        self.forcing.is_some() || self.going.as_ref().is_some_and(|going| !going.is_suspended)
    }

    /// A core begins, with the number of a frame that was sent by no core before.
    pub(super) fn begin(&mut self, frame: u64, board: &Board) {
        self.tie.count_from(frame << 20);
        self.next_attempt = fire::first_attempt(frame);
        self.keep_still_for_own(board);
        self.fence_anew(board);
    }

    /// This node has no vote any more. The numbers of attempts go on, as the executor does.
    pub(super) fn forget(&mut self) {
        *self = Half { next_attempt: self.next_attempt, tie: self.tie.anew(), ..Half::default() };
    }

    /// A device may act that this node had told, or another of its half: whose the promise on the board is, nobody knows
    /// any more.
    fn keep_still_for_own(&mut self, board: &Board) {
        let until = Some(board.firing_until()).filter(|until| *until != Moment::default());
        self.blocked_until.extend(until.map(|until| (None, until)));
    }

    /// The executor was started anew, and knows nothing of what it was told.
    pub(super) fn fence_anew(&mut self, board: &Board) {
        if self.attempts.values().any(|attempt| attempt.under_way) {
            self.keep_still_for_own(board);
        }
        self.attempts.values_mut().for_each(|attempt| attempt.under_way = false);
        self.tie.ask_anew();
    }

    /// Nothing of its own may act any more: what others of this half were promised holds on.
    fn show_firing(&self, board: &Board) {
        if !self.attempts.values().any(|attempt| attempt.under_way) {
            let last = self.blocked_until.values().copied().reduce(Moment::later);
            board.set_firing_until(last.unwrap_or_default());
        }
    }

    /// Whether everybody has gone by these voters for as long as a promise lasts: one that was made under others before may
    /// run for as long after that was known.
    fn has_been_settled(&self, now: Moment, configuration: u64, lasts: Duration) -> bool {
        self.settled.is_some_and(|(known, since)| {
            known == configuration && now.has_surely_reached(since.after(lasts))
        })
    }

    /// Since when this node knows that there is no quorum with it.
    pub(super) fn since(&self) -> Option<Moment> {
        self.since
    }

    /// A person wants it tried again. Whether it had been given up.
    pub(super) fn try_again(&mut self, node: &NodeName) -> bool {
        let Some(attempt) = self.attempts.get_mut(node).filter(|attempt| attempt.failures > 0) else {
            return false;
        };
        attempt.begin(0);
        true
    }

    /// When a node is tried again that was given up for a while.
    fn tried_again_at(&self, node: &NodeName) -> Option<Moment> {
        self.attempts.get(node).filter(|attempt| attempt.is_given_up)?.not_before
    }

    /// Something else may decide between two halves from now on.
    pub(super) fn on_configured(&mut self) {
        self.tie = self.tie.anew();
    }

    /// This node leads from now on.
    pub(super) fn on_leading(&mut self) {
        self.tie.forget();
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let waiting = self.attempts.values().filter(|attempt| !attempt.under_way && !attempt.off);
        waiting
            .filter_map(|attempt| attempt.not_before)
            .chain(self.blocked_until.values().copied())
            .chain(self.tie.next_deadline())
            .min_by_key(|at| at.boottime)
    }
}

/// The voters, seen from a node that cannot agree with enough of them.
#[derive(Clone, Debug)]
pub(super) struct Halves {
    /// Who is here, this node among them.
    pub(super) here: Vec<NodeName>,
    /// Who is heard, and lost its log: it votes for nobody.
    pub(super) lost: Vec<NodeName>,
    /// Who is not heard at all.
    pub(super) missing: Vec<NodeName>,
    /// How many vote.
    pub(super) size: usize,
}

impl Halves {
    fn sides(&self) -> Sides {
        let (here, lost, missing) = (self.here.len(), self.lost.len(), self.missing.len());
        Sides { here, lost, missing, size: self.size }
    }
}

impl Core {
    /// What half of the voters owes: to have the others switched off, and then to go on.
    pub(super) fn go_on_alone(&mut self, now: Moment, board: &Board, out: &mut Out) {
        self.note_settled(now);
        self.tell_parents(out);
        self.repeat_stood_back(out);
        self.watch_tie(now, out);
        self.half.word.take_if(|word| now.has_surely_reached(word.until));
        self.half.blocked_until.retain(|_, until| !now.has_surely_reached(*until));
        if self.half.forcing.is_some() {
            return;
        }
        if self.is_led(now, board) {
            self.half.gave_votes.clear();
        }
        if self.go_on(now, board, out) {
            // One of the others may have been heard for a moment: what the tie-break says from now on is new.
            self.half.since.get_or_insert(now);
            return;
        }
        let Some(halves) = self.halves(now, board) else {
            (self.half.told, self.half.since) = (None, None);
            self.half.tie.outdate();
            return self.lay_down(board, out);
        };
        self.half.since.get_or_insert(now);
        let stuck = self.free_of(now, board, &halves, out).err();
        if stuck != self.half.told {
            out.actions.extend(stuck.as_ref().map(|stuck| Action::Note(stuck.words(&halves))));
            self.half.told = stuck;
        }
    }

    fn note_settled(&mut self, now: Moment) {
        let settled =
            self.is_settled().then(|| self.agreement.as_ref().map(|agreement| agreement.configuration().0));
        if let Some(settled) = settled.flatten()
            && self.half.settled.is_none_or(|(known, _)| known != settled)
        {
            self.half.settled = Some((settled, now));
        }
    }

    /// Goes on as soon as a person or every device says that the others are off, or the tie-break sides with this half.
    fn free_of(&mut self, now: Moment, board: &Board, halves: &Halves, out: &mut Out) -> Result<(), Stuck> {
        let is_off_by_word = |word: &&Word| {
            !halves.missing.is_empty() && halves.missing.iter().all(|node| word.without.contains(node))
        };
        let word = self.half.word.as_ref().filter(is_off_by_word).map(|word| By::Word(word.who.clone()));
        let by = match word {
            Some(word) => Some(word),
            None => self.decided(now, board, halves, out)?,
        };
        let Some(by) = by else { return Ok(()) };
        self.half.word = None;
        let (asked, stood_back) = (BTreeMap::new(), BTreeSet::new());
        let era = match by {
            By::TieBreak(era) => era,
            By::Proof | By::Word(_) => self.next_era(board),
        };
        self.half.going = Some(Going {
            halves: halves.clone(),
            by,
            since: now,
            era,
            asked,
            stood_back,
            is_claimed_anew: false,
            is_suspended: false,
        });
        self.go_on(now, board, out);
        Ok(())
    }

    /// What lets this half go on without a person, if anything does by now. Where there is a tie-break, it decides
    /// alone: the other half may have gone on by it, and be here again without its log.
    fn decided(
        &mut self,
        now: Moment,
        board: &Board,
        halves: &Halves,
        out: &mut Out,
    ) -> Result<Option<By>, Stuck> {
        let may = self.may_go_on(board, halves);
        if let Err(stuck) = &may {
            self.lay_down(board, out);
            if matches!(stuck, Stuck::Led(_)) {
                self.give_claim_back(now, out);
            }
        }
        may?;
        let is_off = |node: &NodeName| self.half.attempts.get(node).is_some_and(|one| one.off);
        // Who lost its log says so itself; it is only asked to say it for good.
        let off = halves.missing.iter().all(is_off) || is_planted(Bug::HalfWithoutProof);
        let off = off || (is_planted(Bug::TargetVotes) && !self.is_vetoed(now, halves, false, out));
        match half::next(self.tie_break().is_some(), off, self.half.may_hit()) {
            Next::AskTieBreak if is_planted(Bug::TieBreakIgnored) => {
                return Ok(Some(By::TieBreak(self.next_era(board))));
            }
            Next::AskTieBreak => {
                return Ok(self.claim(now, (self.next_era(board), false), halves, out)?.map(By::TieBreak));
            }
            Next::GoOn => return Ok(Some(By::Proof)),
            Next::Wait => return Ok(None),
            Next::Fire => {}
        }
        let has_begun = self.half.attempts.values().any(|attempt| attempt.under_way);
        if self.is_vetoed(now, halves, has_begun, out) {
            return Err(Stuck::NoTarget);
        }
        if !(is_planted(Bug::NobodyHolds) || self.all_hold(now, halves, out)) {
            return Ok(None);
        }
        board.set_half_until(now.after(self.timing.lost_after));
        let mut stuck = Ok(None);
        for node in &halves.missing {
            stuck = stuck.and(self.fire(now, board, halves, node, out).map(|()| None));
        }
        stuck
    }

    /// A number for the history that this node would go on with: another one for each life, each term, and each claim
    /// of a tie-break.
    fn next_era(&self, board: &Board) -> u64 {
        let term = self.agreement.as_ref().map_or(0, |agreement| agreement.term().0);
        (board.boot().0 as u64).rotate_left(32) ^ term ^ self.half.tie.number().rotate_left(16) | 1
    }

    /// Nothing has to be done as half: what is under way ends by itself.
    fn lay_down(&mut self, board: &Board, out: &mut Out) {
        if board.half_until() != Moment::default() {
            board.set_half_until(Moment::default());
        }
        self.half.attempts.retain(|_, attempt| attempt.under_way);
        // What an earlier executor or core of this node had told may act as well.
        if self.half.attempts.is_empty() && !self.half.blocked_until.contains_key(&None) {
            for name in ::core::mem::take(&mut self.half.holds).into_keys() {
                let slot = self.names.iter().position(|known| *known == name);
                slot.into_iter().for_each(|slot| {
                    Core::send(slot, &Message::Half(OfHalf::Release { era: self.ledger.era }), out);
                });
            }
        }
    }

    /// What another node says where nothing can be agreed on.
    pub(super) fn on_half(&mut self, now: Moment, from: usize, said: OfHalf, board: &Board, out: &mut Out) {
        match said {
            OfHalf::WentOn { era, parents, without_you } => {
                self.on_went_on((era, &parents, without_you), board, out);
            }
            OfHalf::Hold { era, lasts } => self.on_hold(now, board, (from, era, lasts), out),
            OfHalf::Held { era } => self.on_held(from, era),
            OfHalf::Release { era } => self.on_release(board, (from, era)),
            OfHalf::StandBack { era, by_word, lost } => {
                self.on_stand_back(now, from, (era, by_word, lost), board, out);
            }
            OfHalf::StoodBack { era } => self.on_stood_back(from, era),
        }
    }

    /// Whether this node may go on too, but for a better log of another one.
    fn agrees_to(&self, now: Moment, board: &Board, era: u64) -> bool {
        let may = self.halves(now, board).map(|halves| self.half_may(board, &halves));
        half::may_keep_still(era == self.ledger.era, may)
    }

    /// Whether this node knows of a change of who votes that it does not know to be agreed on.
    #[must_use]
    pub fn awaits_other_voters(&self) -> bool {
        self.agreement.as_ref().is_some_and(|agreement| !agreement.is_settled())
    }

    /// The voters as this node sees them, when it knows for certain that there is no quorum with it.
    pub(super) fn halves(&self, now: Moment, board: &Board) -> Option<Halves> {
        let agreement = self.agreement.as_ref()?;
        let judges = self.listening_until.is_none()
            && now.has_surely_reached(self.began.after(self.timing.lost_after))
            && self.leaving_since.is_none();
        if self.is_led(now, board) || !judges || !self.has_history() || !agreement.is_voter(agreement.me()) {
            return None;
        }
        let (voters, _) = agreement.members();
        let mut gave = Vec::new();
        let mut halves =
            Halves { here: Vec::new(), lost: Vec::new(), missing: Vec::new(), size: voters.len() };
        for id in voters.into_iter().map(RaftId::node) {
            let slot = self.ids.iter().position(|known| *known == id)?;
            let seen = self.sights.heard(slot);
            if slot == self.slot || seen.is_some_and(|seen| seen.both_ways) {
                let which = match seen {
                    Some(seen) if self.gave_vote(seen) => &mut gave,
                    Some(seen) if seen.flags & flag::LOG_LOST != 0 => &mut halves.lost,
                    Some(_) | None => &mut halves.here,
                };
                which.push(self.names[slot].clone());
            } else if seen.is_none() {
                halves.missing.push(self.names[slot].clone());
            }
        }
        // Where those that have logs are half without them, they count as those that lost theirs.
        let which = if halves.here.len() * 2 < halves.size { &mut halves.here } else { &mut halves.lost };
        which.append(&mut gave);
        // Who hears this node and is not heard, or the other way round, is in neither half.
        half::is_without_quorum(halves.sides()).then_some(halves)
    }

    /// Whether another node gave up its vote for this one and has none since: it belongs to this half, and agrees to
    /// nothing.
    fn gave_vote(&self, seen: &Sighting) -> bool {
        let has_none = seen.flags & flag::LOG_LOST != 0 && (seen.era, seen.incarnation) == (0, 0);
        has_none && self.half.gave_votes.get(&self.names[seen.slot]) == Some(&Some(seen.boot))
    }

    /// Whether this node leads, or hears somebody who does. What it said of itself a moment ago does not count.
    fn is_led(&self, now: Moment, board: &Board) -> bool {
        let leads = self.agreement.as_ref().is_some_and(Agreement::leads);
        leads || board.leader_heard(now).is_some_and(|(leader, _)| leader != self.ids[self.slot])
    }

    /// Whether everybody is known to know who votes, and nothing is under way that changes it (SAFETY rule 17 b).
    fn is_settled(&self) -> bool {
        self.agreement.as_ref().is_some_and(|agreement| {
            agreement.is_settled() && self.ledger.is_settled(agreement.configuration().0)
        })
    }

    /// Whether this half may go on by itself, once the others are off (SAFETY rule 17, a to c).
    fn may_go_on(&self, board: &Board, halves: &Halves) -> Result<(), Stuck> {
        self.half_may(board, halves).map_err(|blocked| match blocked {
            Blocked::NotHalf => Stuck::NotHalf,
            Blocked::Unsettled => Stuck::Unsettled,
            Blocked::Fresh => Stuck::Fresh,
            Blocked::Led => self.better_log(halves).map_or(Stuck::NotHalf, Stuck::Led),
        })
    }

    fn half_may(&self, board: &Board, halves: &Halves) -> Result<(), Blocked> {
        self.agreement.as_ref().ok_or(Blocked::NotHalf)?;
        let admitted = self.ledger.nodes.get(&self.settings.me).and_then(|me| me.session);
        let took_part = admitted.is_some_and(|session| session.boot == board.boot());
        let knows =
            Knowledge { settled: self.is_settled(), took_part, best_log: self.better_log(halves).is_none() };
        match half::may_go_on(halves.sides(), knows) {
            Err(Blocked::Unsettled) if is_planted(Bug::HalfUnsettled) => {
                half::may_go_on(halves.sides(), Knowledge { settled: true, ..knows })
            }
            Err(Blocked::Fresh) if is_planted(Bug::FreshHalfFires) => {
                half::may_go_on(halves.sides(), Knowledge { took_part: true, ..knows })
            }
            may => may,
        }
    }
}
