//! What half of the voters does when the other half is lost (SAFETY rules 17 and 18).
//!
//! Nothing can be agreed on then, so the right to switch the others off cannot be either. It follows from what this
//! node knows for certain: who votes, that everybody knew that, and that it took part in this life. When each of the
//! others is proven off, or a person says so, this node goes on as the only voter, with everything its log holds,
//! under a history of another number: whoever comes back sees that it was gone on from, and is taken in anew.

mod words;

use heart_model::{
    BootId, Duration, FenceOrder, FenceOutcome, FenceReport, FenceRight, LogIndex, Moment, NodeName, Term,
    ToExecutor, longest_fence,
};
use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Core, Message, OfHalf, Out};
use crate::{
    agreement::{Agreement, RaftId, Ticket},
    board::{Board, flag},
    conductor::fencing::{AGAIN_AFTER, attempts_max, devices},
    ledger::{Change, Entry, Forced, Ledger, NodeLedger, VERSION, Without, read},
    plant::{Bug, is_planted},
};

/// The number of the first attempt that nobody agreed on: none of those in the log comes so far.
const ATTEMPTS_FROM: u32 = 1 << 30;
/// How long the half that runs less waits, beside lost-after, before it switches off a node that has power: in this
/// time the other half has switched this one off, if it can.
const HESITATION: Duration = Duration::from_secs(1);

/// Longest that another of this half is kept still for: as long as the devices of a node can take.
const HOLD_MAX: Duration = Duration::from_secs(3600);

/// What this node does as half of the voters.
#[derive(Debug, Default)]
pub(super) struct Half {
    attempts: BTreeMap<NodeName, Attempt>,
    /// Until when a device may act that an executor or a core had told, of which nothing is known any more.
    blocked_until: Option<Moment>,
    /// The others of this half, which agree to nothing while devices are told.
    holds: BTreeMap<NodeName, Hold>,
    word: Option<Word>,
    going: Option<Going>,
    forcing: Option<Forcing>,
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
    failures: u32,
    failure: Option<String>,
    not_before: Option<Moment>,
    off: bool,
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

/// This half goes on: nothing that is heard now changes that, as others may have given up their votes.
#[derive(Debug)]
struct Going {
    halves: Halves,
    who: Option<String>,
    /// Who was asked to stand back, over which stream.
    asked: BTreeMap<NodeName, u64>,
    /// Who did.
    stood_back: BTreeSet<NodeName>,
}

/// This node gave up its vote, for another one that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct StandingBack {
    pub(super) ticket: Ticket,
    pub(super) slot: usize,
    pub(super) era: u64,
}

/// A history that goes on, on its way to the disk.
#[derive(Debug)]
struct Forcing {
    ticket: Ticket,
    agreement: Box<Agreement>,
    ledger: Box<Ledger>,
    /// Every quorum of the voters before needed this one: what they promised, it promised.
    alone: bool,
}

/// Why this node does not go on without the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// It is less than half of the voters.
    NotHalf,
    /// Another of this half has the better log: it does what is to be done.
    Led(NodeName),
    /// One of this half lost its log, and with it maybe what was agreed on.
    LogLost(NodeName),
    /// Not everybody is known to know who votes.
    Unsettled,
    /// It has not taken part since it was started: others may have gone on.
    Fresh,
    /// Nothing switches this node off that it could use.
    NoDevice(NodeName),
    /// What switches this node off proved nothing, so often that nothing more is tried.
    GivenUp(NodeName, String),
}

impl Half {
    /// Whether something may switch this node off at any moment, because this one had it told to.
    pub(super) fn fires_at(&self, node: &NodeName) -> bool {
        self.blocked_until.is_some() || self.attempts.get(node).is_some_and(|attempt| attempt.under_way)
    }

    /// Whether nothing may change here: a device may act at any moment, or the log is being gone on from.
    pub(super) fn is_at_work(&self) -> bool {
        self.is_forcing()
            || self.blocked_until.is_some()
            || self.attempts.values().any(|attempt| attempt.under_way)
    }

    /// Whether the log is being gone on from.
    pub(super) fn is_forcing(&self) -> bool {
        self.forcing.is_some() || self.going.is_some()
    }

    /// The executor was started anew, and knows nothing of what it was told.
    pub(super) fn fence_anew(&mut self, board: &Board) {
        self.blocked_until = Some(board.firing_until()).filter(|until| *until != Moment::default());
        self.attempts.values_mut().for_each(|attempt| attempt.under_way = false);
    }

    /// A person wants it tried again. Whether it had been given up.
    pub(super) fn try_again(&mut self, node: &NodeName) -> bool {
        let Some(attempt) = self.attempts.get_mut(node).filter(|attempt| attempt.failures > 0) else {
            return false;
        };
        (attempt.failures, attempt.not_before) = (0, None);
        true
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let waiting = self.attempts.values().filter(|attempt| !attempt.under_way && !attempt.off);
        waiting
            .filter_map(|attempt| attempt.not_before)
            .chain(self.blocked_until)
            .min_by_key(|at| at.boottime)
    }
}

/// The voters, seen from a node that cannot agree with enough of them.
#[derive(Clone, Debug)]
pub(super) struct Halves {
    /// Who is here, this node among them.
    pub(super) here: Vec<NodeName>,
    /// Who is not heard at all.
    pub(super) missing: Vec<NodeName>,
    /// How many vote.
    pub(super) size: usize,
}

impl Core {
    /// What half of the voters owes: to have the others switched off, and then to go on.
    pub(super) fn go_on_alone(&mut self, now: Moment, board: &Board, out: &mut Out) {
        self.tell_parents(out);
        self.half.word.take_if(|word| now.has_surely_reached(word.until));
        self.half.blocked_until.take_if(|until| now.has_surely_reached(*until));
        if self.half.forcing.is_some() || self.go_on(now, board, out) {
            return;
        }
        let Some(halves) = self.halves(now, board) else { return self.lay_down(board, out) };
        let stuck = self.free_of(now, board, &halves, out).err();
        if stuck != self.half.told {
            out.actions.extend(stuck.as_ref().map(|stuck| Action::Note(self.stuck(stuck, &halves))));
            self.half.told = stuck;
        }
    }

    /// Goes on as soon as a person or every device says that the others are off.
    fn free_of(&mut self, now: Moment, board: &Board, halves: &Halves, out: &mut Out) -> Result<(), Stuck> {
        let is_off_by_word = |word: &&Word| halves.missing.iter().all(|node| word.without.contains(node));
        let word = self.half.word.as_ref().filter(is_off_by_word).map(|word| word.who.clone());
        if word.is_none() {
            let may = self.may_go_on(board, halves);
            if may.is_err() {
                self.lay_down(board, out);
            }
            may?;
            board.set_half_until(now.after(self.timing.lost_after));
            if !self.all_hold(now, halves, out) {
                return Ok(());
            }
            let mut stuck = Ok(());
            for node in &halves.missing {
                stuck = stuck.and(self.fire(now, board, halves, node, out));
            }
            let is_off = |node: &NodeName| self.half.attempts.get(node).is_some_and(|one| one.off);
            if !halves.missing.iter().all(is_off) && !is_planted(Bug::HalfWithoutProof) {
                return stuck;
            }
        }
        self.half.word = None;
        let (asked, stood_back) = (BTreeMap::new(), BTreeSet::new());
        self.half.going = Some(Going { halves: halves.clone(), who: word, asked, stood_back });
        self.go_on(now, board, out);
        Ok(())
    }

    /// Has the others of this half stand back, then goes on. Whether this node is about to.
    fn go_on(&mut self, now: Moment, board: &Board, out: &mut Out) -> bool {
        let Some(mut going) = self.half.going.take() else { return false };
        let me = &self.settings.me;
        let slot_of = |name: &NodeName| self.names.iter().position(|known| known == name);
        let here = going.halves.here.iter().filter(|name| *name != me);
        let slots: Vec<(NodeName, usize)> =
            here.filter_map(|name| Some((name.clone(), slot_of(name)?))).collect();
        let is_heard =
            |(_, slot): &(NodeName, usize)| self.sights.heard(*slot).is_some_and(|seen| seen.both_ways);
        if board.leader_heard(now).is_some() || !slots.iter().all(is_heard) {
            return false;
        }
        for (name, slot) in &slots {
            let over = self.peers.generation(*slot);
            if !going.stood_back.contains(name) && going.asked.insert(name.clone(), over) != Some(over) {
                let by_word = going.who.is_some();
                Core::send(*slot, &Message::Half(OfHalf::StandBack { era: self.ledger.era, by_word }), out);
            }
        }
        let all = slots.iter().all(|(name, _)| going.stood_back.contains(name));
        if !(all && self.force(&going.halves, going.who.clone(), board.boot(), out)) {
            self.half.going = Some(going);
        }
        true
    }

    /// Another of this half goes on from this history: it has what this node has, and this one's vote may not count
    /// for anybody else any more (SAFETY rules 17 a and 18).
    fn on_stand_back(
        &mut self,
        now: Moment,
        (slot, era, by_word): (usize, u64, bool),
        board: &Board,
        out: &mut Out,
    ) {
        if self.half.is_forcing() || self.standing_back.is_some() {
            return;
        }
        let lost = self.agreement.is_none();
        let has_more = self.sights.heard(slot).is_some_and(|seen| seen.log >= self.last_entry());
        let agrees = if by_word {
            lost || (has_more && era == self.ledger.era && self.halves(now, board).is_some())
        } else {
            !lost && has_more && self.agrees_to(now, board, era)
        };
        if agrees {
            let ticket = self.lose_log(board, out);
            self.standing_back = Some(StandingBack { ticket, slot, era });
        }
    }

    fn on_stood_back(&mut self, from: usize, era: u64) {
        let name = self.names[from].clone();
        if let Some(going) = self.half.going.as_mut().filter(|_| era == self.ledger.era) {
            going.stood_back.insert(name);
        }
    }

    fn last_entry(&self) -> (Term, LogIndex) {
        self.agreement.as_ref().map_or((Term(0), LogIndex(0)), Agreement::last)
    }

    /// Nothing has to be done as half: what is under way ends by itself.
    fn lay_down(&mut self, board: &Board, out: &mut Out) {
        if board.half_until() != Moment::default() {
            board.set_half_until(Moment::default());
        }
        self.half.told = None;
        self.half.attempts.retain(|_, attempt| attempt.under_way);
        if self.half.attempts.is_empty() {
            for name in ::core::mem::take(&mut self.half.holds).into_keys() {
                let slot = self.names.iter().position(|known| *known == name);
                slot.into_iter().for_each(|slot| {
                    Core::send(slot, &Message::Half(OfHalf::Release { era: self.ledger.era }), out)
                });
            }
        }
    }

    /// Whether the others of this half agree to nothing while devices are told: these may act late, and then hit
    /// nobody who takes part (SAFETY rule 12).
    fn all_hold(&mut self, now: Moment, halves: &Halves, out: &mut Out) -> bool {
        let lasts = self.firing_lasts(halves);
        let mut all = true;
        for name in halves.here.iter().filter(|name| **name != self.settings.me) {
            let Some(slot) = self.names.iter().position(|known| known == name) else { return false };
            let over = self.peers.generation(slot);
            let known = self.half.holds.get(name).copied().filter(|hold| hold.over == over);
            let patience =
                if known.is_some_and(|hold| hold.answered) { lasts } else { self.timing.lost_after };
            let known = known.filter(|hold| !now.may_have_reached(hold.asked_at.after(patience)));
            if known.is_none() {
                self.half.holds.insert(name.clone(), Hold { asked_at: now, over, answered: false });
                Core::send(slot, &Message::Half(OfHalf::Hold { era: self.ledger.era, lasts }), out);
            }
            all &= known.is_some_and(|hold| hold.answered);
        }
        all
    }

    /// How long one attempt at all that are missing may take.
    fn firing_lasts(&self, halves: &Halves) -> Duration {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        let levels = halves.missing.iter().flat_map(|node| devices(spec, node));
        let longest = levels.map(|level| longest_fence(level)).max().unwrap_or_default();
        longest + HESITATION + self.timing.lost_after
    }

    /// What another node says where nothing can be agreed on.
    pub(super) fn on_half(&mut self, now: Moment, from: usize, said: OfHalf, board: &Board, out: &mut Out) {
        match said {
            OfHalf::WentOn { era, parents } => self.on_went_on(era, &parents, board, out),
            OfHalf::Hold { era, lasts } => self.on_hold(now, board, (from, era, lasts), out),
            OfHalf::Held { era } => self.on_held(from, era),
            OfHalf::Release { era } => self.on_release(board, era),
            OfHalf::StandBack { era, by_word } => self.on_stand_back(now, (from, era, by_word), board, out),
            OfHalf::StoodBack { era } => self.on_stood_back(from, era),
        }
    }

    /// Another of this half has devices told, and this one keeps still: for as long as these may act if they are told
    /// as late as may be, counted from now, which is later than it was asked.
    fn on_hold(
        &mut self,
        now: Moment,
        board: &Board,
        (slot, era, lasts): (usize, u64, Duration),
        out: &mut Out,
    ) {
        if self.half.is_forcing() || !self.agrees_to(now, board, era) || lasts > HOLD_MAX {
            return;
        }
        let until = now.after(lasts * 2 + self.timing.lost_after);
        board.set_firing_until(board.firing_until().later(until));
        self.half.blocked_until = Some(board.firing_until());
        Core::send(slot, &Message::Half(OfHalf::Held { era }), out);
    }

    fn on_held(&mut self, from: usize, era: u64) {
        if era == self.ledger.era {
            let name = &self.names[from];
            self.half.holds.get_mut(name).into_iter().for_each(|hold| hold.answered = true);
        }
    }

    fn on_release(&mut self, board: &Board, era: u64) {
        if era == self.ledger.era && !self.half.attempts.values().any(|attempt| attempt.under_way) {
            board.set_firing_until(Moment::default());
            self.half.blocked_until = None;
        }
    }

    /// Whether this node may go on too, but for a better log of another one.
    fn agrees_to(&self, now: Moment, board: &Board, era: u64) -> bool {
        let may = |halves: &Halves| matches!(self.may_go_on(board, halves), Ok(()) | Err(Stuck::Led(_)));
        era == self.ledger.era && self.halves(now, board).is_some_and(|halves| may(&halves))
    }

    /// The voters as this node sees them, when it knows for certain that there is no quorum with it.
    pub(super) fn halves(&self, now: Moment, board: &Board) -> Option<Halves> {
        let agreement = self.agreement.as_ref()?;
        let judges = self.listening_until.is_none()
            && now.has_surely_reached(self.began.after(self.timing.lost_after))
            && self.leaving_since.is_none();
        let leads = agreement.leads() || board.leader_heard(now).is_some();
        if leads || !judges || !self.has_history() || !agreement.is_voter(agreement.me()) {
            return None;
        }
        let (voters, _) = agreement.members();
        let mut halves = Halves { here: Vec::new(), missing: Vec::new(), size: voters.len() };
        for id in voters.into_iter().map(RaftId::node) {
            let slot = self.ids.iter().position(|known| *known == id)?;
            let seen = self.sights.heard(slot);
            if slot == self.slot || seen.is_some_and(|seen| seen.both_ways) {
                halves.here.push(self.names[slot].clone());
            } else if seen.is_none() {
                halves.missing.push(self.names[slot].clone());
            }
        }
        // Who hears this node and is not heard, or the other way round, is in neither half.
        let (here, all) = (halves.here.len(), halves.here.len() + halves.missing.len());
        (here <= halves.size / 2 && all == halves.size).then_some(halves)
    }

    /// Whether this half may go on by itself, once the others are off (SAFETY rule 17, a to c).
    fn may_go_on(&self, board: &Board, halves: &Halves) -> Result<(), Stuck> {
        let agreement = self.agreement.as_ref().ok_or(Stuck::NotHalf)?;
        if halves.here.len() * 2 != halves.size {
            return Err(Stuck::NotHalf);
        }
        let lost = |slot: &usize| {
            let seen = self.sights.heard(*slot).filter(|_| halves.here.contains(&self.names[*slot]));
            seen.is_some_and(|seen| seen.flags & flag::LOG_LOST != 0)
        };
        if let Some(slot) = (0..self.ids.len()).find(lost) {
            return Err(Stuck::LogLost(self.names[slot].clone()));
        }
        if !agreement.is_settled() || !self.ledger.is_settled(agreement.configuration().0) {
            return Err(Stuck::Unsettled);
        }
        let admitted = self.ledger.nodes.get(&self.settings.me).and_then(|me| me.session);
        let is_fresh = admitted.is_none_or(|session| session.boot != board.boot());
        if is_fresh && !is_planted(Bug::FreshHalfFires) {
            return Err(Stuck::Fresh);
        }
        self.better_log(halves).map_or(Ok(()), |better| Err(Stuck::Led(better)))
    }

    /// Who else of this half has the better log, or as good a one and comes first.
    fn better_log(&self, halves: &Halves) -> Option<NodeName> {
        let own = (self.last_entry(), ::core::cmp::Reverse(self.slot));
        let others = (0..self.ids.len()).filter(|&slot| halves.here.contains(&self.names[slot]));
        let of = |slot: usize| Some(((self.sights.heard(slot)?.log, ::core::cmp::Reverse(slot)), slot));
        let best = others.filter_map(of).max().filter(|(log, _)| *log > own);
        best.map(|(_, slot)| self.names[slot].clone())
    }

    /// Has a node of the other half switched off, if that is not proven yet.
    fn fire(
        &mut self,
        now: Moment,
        board: &Board,
        halves: &Halves,
        node: &NodeName,
        out: &mut Out,
    ) -> Result<(), Stuck> {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        let levels = devices(spec, node);
        let known = self.ledger.nodes.get(node);
        let is_gone = known.is_some_and(NodeLedger::is_gone);
        let last = known.and_then(NodeLedger::last_session);
        let (Some(last), true) = (last, is_gone || !levels.is_empty()) else {
            return Err(Stuck::NoDevice(node.clone()));
        };
        let fresh = || Attempt {
            boot: last.boot,
            under_way: false,
            failures: 0,
            failure: None,
            not_before: None,
            off: is_gone,
        };
        let hesitation =
            if self.goes_first(halves) { Duration::ZERO } else { HESITATION + self.timing.lost_after };
        let attempt = self.half.attempts.entry(node.clone()).or_insert_with(fresh);
        if attempt.boot != last.boot && !attempt.under_way {
            *attempt = fresh();
        }
        if attempt.off || attempt.under_way {
            return Ok(());
        }
        if attempt.failures >= attempts_max(levels.len()) {
            return Err(Stuck::GivenUp(node.clone(), attempt.failure.clone().unwrap_or_default()));
        }
        if attempt.not_before.is_some_and(|at| !now.has_surely_reached(at)) {
            return Ok(());
        }
        attempt.under_way = true;
        let level = &levels[attempt.failures as usize % levels.len()];
        let until = now.after(hesitation + longest_fence(level));
        board.set_firing_until(board.firing_until().later(until));
        let order = FenceOrder {
            node: node.clone(),
            boot: attempt.boot,
            attempt: ATTEMPTS_FROM + attempt.failures,
            devices: level.clone(),
            right: FenceRight::Half,
            hesitation,
        };
        out.actions.push(Action::Note(format!(
            "{node} is lost, and without it nothing can be agreed on: switching it off"
        )));
        out.actions.push(Action::Execute(ToExecutor::Fence(order)));
        Ok(())
    }

    /// Whether this half does not wait for what the other does: the one that runs more, or else the one with the
    /// first node.
    fn goes_first(&self, halves: &Halves) -> bool {
        let held = |nodes: &[NodeName]| {
            let grants = self.ledger.resources.values().filter_map(|known| known.grant.as_ref());
            grants.filter(|grant| nodes.contains(&grant.node)).count()
        };
        let first = |nodes: &[NodeName]| ::core::cmp::Reverse(nodes.iter().map(NodeName::id).min());
        (held(&halves.here), first(&halves.here)) > (held(&halves.missing), first(&halves.missing))
    }

    /// How an attempt of this half ended. Whether it was one.
    pub(super) fn on_fenced_by_half(
        &mut self,
        now: Moment,
        board: &Board,
        report: &FenceReport,
        out: &mut Out,
    ) -> bool {
        if report.attempt < ATTEMPTS_FROM {
            return false;
        }
        let slot = self.names.iter().position(|name| *name == report.node);
        let heard = slot.and_then(|slot| self.sights.heard(slot)).map(|seen| seen.boot);
        self.half.attempts.get_mut(&report.node).into_iter().for_each(|one| one.under_way = false);
        if !self.half.attempts.values().any(|attempt| attempt.under_way) {
            board.set_firing_until(Moment::default());
            self.half.blocked_until = None;
        }
        let Some(attempt) = self.half.attempts.get_mut(&report.node) else { return true };
        if attempt.boot != report.boot {
            return true;
        }
        let why = match &report.outcome {
            FenceOutcome::Off if heard != Some(report.boot) => {
                attempt.off = true;
                out.actions.push(Action::Note(format!("{} is off", report.node)));
                return true;
            }
            FenceOutcome::Off => format!("{} is heard, although its device says that it is off", report.node),
            FenceOutcome::Failed { message } => message.clone(),
        };
        out.actions.push(Action::Note(format!("{} may not be off: {why}", report.node)));
        attempt.failures += 1;
        (attempt.failure, attempt.not_before) = (Some(why), Some(now.after(AGAIN_AFTER)));
        true
    }

    /// Goes on as the only voter, without those that are missing: proof, entries and who votes become durable in one
    /// write. Whether that could be begun.
    pub(super) fn force(
        &mut self,
        halves: &Halves,
        who: Option<String>,
        boot: BootId,
        out: &mut Out,
    ) -> bool {
        let Some(agreement) = self.agreement.as_ref().filter(|_| self.disk_works) else { return false };
        let Some((rest, begins)) = agreement.rest() else { return false };
        let mut ledger = self.ledger.clone();
        for entry in &rest {
            if let Ok(read) = read(&entry.data) {
                ledger.apply(LogIndex(entry.index), &read);
            }
        }
        let last = |node: &NodeName| Some(ledger.nodes.get(node)?.last_session()?.boot);
        let of = |node: &NodeName| Some(Without { node: node.clone(), boot: last(node)? });
        let forced = Forced {
            era: (boot.0 as u64).rotate_left(32) ^ begins.term.0 | 1,
            parent: ledger.era,
            without: halves.missing.iter().filter_map(of).collect(),
            who,
            configuration: begins.configuration().0,
        };
        let entry = Entry { v: VERSION, at: self.wall, change: Change::Force(forced) };
        if !ledger.apply(LogIndex(begins.index), &entry) {
            return false;
        }
        let (agreement, write) = agreement.forced(&ledger.save(), begins);
        let names = halves.missing.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        out.actions.push(Action::Note(format!("going on without {names}")));
        self.half.forcing = Some(Forcing {
            ticket: write.ticket,
            agreement: Box::new(agreement),
            ledger: Box::new(ledger),
            alone: halves.size == 2,
        });
        out.actions.push(Action::Write(write));
        true
    }

    /// The disk has a history that goes on: it holds from now on.
    pub(super) fn on_forced(&mut self, now: Moment, board: &Board, ticket: Ticket, out: &mut Out) {
        let Some(forcing) = self.half.forcing.take_if(|forcing| forcing.ticket <= ticket) else { return };
        if !forcing.alone {
            board.take_on_promises(now.after(self.longest_promise()));
        }
        let same = forcing.ledger.digest == self.ledger.digest;
        self.agreement = Some(*forcing.agreement);
        self.take_state(*forcing.ledger, board);
        self.half.going = None;
        self.half.attempts.clear();
        // Who stands behind this node is counted anew.
        out.actions.push(Action::Poke);
        board.set_half_until(Moment::default());
        if !same {
            self.ask_executor();
        }
    }

    /// Tells who goes by another history which ones this one went on from.
    fn tell_parents(&mut self, out: &mut Out) {
        if self.ledger.parents.is_empty() {
            return;
        }
        for slot in (0..self.ids.len()).filter(|&slot| slot != self.slot) {
            let other = |seen: &&crate::pulse::Sighting| {
                seen.both_ways && seen.era != 0 && seen.era != self.ledger.era
            };
            let Some(seen) = self.sights.heard(slot).filter(other) else { continue };
            let now = (seen.boot, seen.era, self.peers.generation(slot));
            if self.half.told_parents.insert(slot, now) != Some(now) {
                let parents = self.ledger.parents.iter().copied().collect();
                Core::send(slot, &Message::Half(OfHalf::WentOn { era: self.ledger.era, parents }), out);
            }
        }
    }

    /// Somebody goes by a history that went on from others: if ours is one of these, it is over.
    fn on_went_on(&mut self, era: u64, parents: &[u64], board: &Board, out: &mut Out) {
        if era != self.ledger.era && self.ledger.era != 0 && parents.contains(&self.ledger.era) {
            out.actions.push(Action::Note("the cluster went on without this node while it was away".into()));
            self.lose_log(board, out);
        }
    }
}
