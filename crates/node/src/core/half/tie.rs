//! What decides between two halves where the file names a tie-break (SAFETY rules 19 and 20).
//!
//! The value says which configuration of which history may be gone on from. The leader sees to it that this is the one
//! in force once every voter knows it, and that it is none while the voters change: so a node that has missed a change
//! finds a value that is not its own. Of two halves that want to go on, one sets the value, and the other finds that.

use heart_model::{
    Duration, Moment, NodeName, Standing, TieBreakOrder, TieBreakOutcome, TieBreakReport, TieBreakSpec,
    ToExecutor,
};
use std::collections::BTreeSet;

use super::{Halves, Stuck};
use crate::{
    agreement::RaftId,
    core::{Action, Core, Out},
    half,
    ledger::Ledger,
    plant::{Bug, is_planted},
};

/// How long is waited before a tie-break is asked again that was not reached.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often every voter looks at it.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many of the values are known that this node wanted before.
const OUTDATED_MAX: usize = 8;
/// How long an order may take beside the time that the file gives it: then the executor has lost it.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// What this node knows of the tie-break.
#[derive(Debug, Default)]
pub(super) struct Tie {
    /// Counts orders.
    number: u64,
    under_way: Option<UnderWay>,
    /// What stood there last, once it was looked at.
    known: Option<Option<Standing>>,
    /// What was last tried in vain.
    failure: Option<String>,
    not_before: Option<Moment>,
    /// When it was looked at last, or tried to.
    asked_at: Option<Moment>,
    /// What this half wants to stand there, to go on.
    claim: Option<Standing>,
    /// What it wanted before, the last first: see [`Tie::outdate`].
    outdated: Vec<Standing>,
}

#[derive(Debug)]
struct UnderWay {
    set: Standing,
    is_look: bool,
    until: Moment,
}

impl Tie {
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let until = self.under_way.as_ref().map(|order| order.until);
        until.into_iter().chain(self.not_before).min_by_key(|at| at.boottime)
    }

    /// Changes with each order.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// No number is given twice in a life of this node: an order of an earlier core may be answered late.
    pub(super) fn count_from(&mut self, number: u64) {
        self.number = number;
    }

    /// Nothing is known of the one that it is about from now on.
    pub(super) fn anew(&self) -> Tie {
        Tie { number: self.number, ..Tie::default() }
    }

    /// This node leads from now on: what it knew may be what another half meant to change.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// What this half claims: what it did before, or `new` if it did not, or of another history.
    fn claim_anew(&mut self, new: Standing) -> Standing {
        let claim = self.claim.take().filter(|claim| claim.parent == new.parent).unwrap_or(new);
        self.claim = Some(claim.clone());
        claim
    }

    /// What this half claimed is worth nothing from now on but another claim in its place: who is heard, or was until
    /// now, may have a leader that found that it came to nothing.
    pub(super) fn outdate(&mut self) {
        if is_planted(Bug::ClaimKept) {
            return;
        }
        if let Some(claim) = self.claim.take() {
            self.outdated.insert(0, claim);
            self.outdated.truncate(OUTDATED_MAX);
        }
    }

    /// The executor was started anew, and knows nothing of what it was told.
    pub(super) fn ask_anew(&mut self) {
        self.under_way = None;
    }
}

impl Core {
    /// What the file that was agreed on names.
    pub(super) fn tie_break(&self) -> Option<&TieBreakSpec> {
        self.ledger.spec.as_ref()?.tie_break.as_ref()
    }

    /// Looks at it now and then: that it is not reached is better known before it is needed, and what it says may have
    /// been changed by who meant to go on and did not.
    pub(super) fn watch_tie(&mut self, now: Moment, out: &mut Out) {
        let tie = &self.half.tie;
        let rested = tie.asked_at.is_none_or(|at| now.has_surely_reached(at.after(LOOK_EVERY)));
        let votes = self.agreement.as_ref().is_some_and(|agreement| agreement.is_voter(agreement.me()));
        if rested && votes && self.tie_break().is_some() {
            self.look(now, out);
        }
    }

    /// Looks at it if that was not done since the disk of this node is sick: what it is on may be what fails.
    pub(super) fn look_since_sick(&mut self, now: Moment, out: &mut Out) {
        if self.known_since_sick().is_none() {
            self.look(now, out);
        }
    }

    /// What stands there, if it was looked at since the disk of this node is sick.
    fn known_since_sick(&self) -> Option<&Standing> {
        let tie = &self.half.tie;
        let (at, since) = tie.asked_at.zip(self.health.disk_sick_since())?;
        tie.known.as_ref().and_then(Option::as_ref).filter(|_| at.boottime >= since.boottime)
    }

    /// What is wrong with the tie-break, as far as this node knows.
    pub(in crate::core) fn view_of_tie(&self) -> Option<String> {
        let (spec, failure) = (self.tie_break()?, self.half.tie.failure.as_ref()?);
        Some(format!("{} cannot decide between two halves: {failure}", spec.place))
    }

    /// Whether somebody claimed the tie-break to go on from this history, as this node saw it last; and not this node,
    /// as far as it knows.
    pub(super) fn is_claimed(&self) -> bool {
        let tie = &self.half.tie;
        let known = tie.known.as_ref().and_then(Option::as_ref);
        let is_own = |known: &Standing| tie.claim.iter().chain(&tie.outdated).any(|claim| claim == known);
        known.is_some_and(|known| known.parent == Some(self.ledger.era) && !is_own(known))
    }

    /// The value in which nobody may go on, or the voters of the configuration in force; as this node would set it.
    fn standing(&self, named: Vec<NodeName>) -> Option<Standing> {
        let agreement = self.agreement.as_ref()?;
        Some(Standing {
            era: self.ledger.era,
            parent: self.ledger.parents.back().copied(),
            term: agreement.term().0,
            configuration: agreement.configuration().0,
            named,
        })
    }

    /// The leader's part: has the value follow the voters. Whether they may change now.
    pub(in crate::core) fn keep_standing(&mut self, now: Moment, changes: bool, out: &mut Out) -> bool {
        if self.tie_break().is_none() {
            return true;
        }
        if !(changes || self.is_settled()) {
            return false;
        }
        let names = self.voter_names();
        let is_even = names.len().is_multiple_of(2);
        let Some(wanted) = self.standing(if changes || !is_even { Vec::new() } else { names }) else {
            return false;
        };
        let stands = match &self.half.tie.known {
            Some(Some(known)) if changes => *known == wanted,
            Some(Some(known)) => Standing { term: wanted.term, ..known.clone() } == wanted,
            _ => false,
        };
        if !stands {
            self.set_standing(now, wanted, out);
        }
        stands
    }

    fn set_standing(&mut self, now: Moment, wanted: Standing, out: &mut Out) {
        let known = match &self.half.tie.known {
            None => return self.look(now, out),
            Some(known) => known.clone(),
        };
        let ours = |known: &Standing| {
            let Ledger { era, parents, overruled, .. } = &self.ledger;
            let (parents, overruled) = (parents.iter().copied(), overruled.iter().copied());
            half::may_replace(*era, parents, overruled, known.era, known.parent)
        };
        if known.as_ref().is_none_or(ours) {
            self.order_tie(now, known, wanted, out);
        } else {
            self.half.tie.failure = Some("it belongs to another history of this cluster".into());
        }
    }

    /// Asks what stands there: nothing is ever set to this.
    fn look(&mut self, now: Moment, out: &mut Out) {
        let nothing = Standing { era: 0, parent: None, term: 0, configuration: 0, named: Vec::new() };
        self.order_tie(now, Some(nothing.clone()), nothing, out);
    }

    fn order_tie(&mut self, now: Moment, instead_of: Option<Standing>, set: Standing, out: &mut Out) {
        let Some(spec) = self.tie_break().cloned() else { return };
        let tie = &mut self.half.tie;
        tie.under_way.take_if(|order| now.has_surely_reached(order.until));
        let waits = tie.not_before.is_some_and(|at| !now.has_surely_reached(at));
        if tie.under_way.is_some() || waits {
            return;
        }
        tie.number += 1;
        tie.not_before = None;
        let (is_look, until) = (instead_of.as_ref() == Some(&set), now.after(spec.timeout + LOST_AFTER));
        tie.under_way = Some(UnderWay { set: set.clone(), is_look, until });
        let cluster = self.settings.spec.cluster.name.to_string();
        let order = TieBreakOrder { number: tie.number, spec, cluster, instead_of, set };
        out.actions.push(Action::Execute(ToExecutor::TieBreak(Box::new(order))));
    }

    pub(in crate::core) fn on_tie_broken(&mut self, now: Moment, report: TieBreakReport) {
        let tie = &mut self.half.tie;
        tie.asked_at = Some(now);
        if report.number != tie.number {
            return;
        }
        let Some(order) = tie.under_way.take() else { return };
        match report.outcome {
            TieBreakOutcome::Set => (tie.known, tie.failure) = (Some(Some(order.set)), None),
            TieBreakOutcome::Other(standing) => {
                (tie.known, tie.failure) = (Some(standing), None);
                if !order.is_look {
                    // Somebody else set it: it is looked at again before it is judged.
                    tie.not_before = Some(now.after(AGAIN_AFTER / 10));
                }
            }
            TieBreakOutcome::Failed { message } => {
                (tie.known, tie.failure) = (None, Some(message));
                tie.not_before = Some(now.after(AGAIN_AFTER));
            }
        }
    }

    /// Has the tie-break decide for this half: with which history it goes on, once that is so. If that `has_begun`,
    /// others have given up their votes for it already.
    ///
    /// # Errors
    /// When it sides with others, or is not reached.
    pub(super) fn claim(
        &mut self,
        now: Moment,
        (next_era, has_begun): (u64, bool),
        halves: &Halves,
        out: &mut Out,
    ) -> Result<Option<u64>, Stuck> {
        if let Some(message) = self.half.tie.failure.clone() {
            // It is asked again all the same.
            self.look(now, out);
            return Err(Stuck::NoTieBreak(message));
        }
        let parent = Some(self.ledger.era);
        let new = Standing { era: next_era, parent, ..self.standing(Vec::new()).ok_or(Stuck::NotNamed)? };
        // What stood there before may have been changed since.
        let is_new = self
            .half
            .tie
            .asked_at
            .zip(self.half.since)
            .is_some_and(|(at, since)| at.boottime >= since.boottime);
        let Some(known) = self.half.tie.known.clone().filter(|_| is_new) else {
            self.look(now, out);
            return Ok(None);
        };
        let claim = self.half.tie.claim_anew(new);
        match known {
            Some(known) if known == claim => return Ok(Some(claim.era)),
            // What it claimed before stands there: nobody else goes on unless it does.
            Some(known) if self.is_outdated(&known) => self.order_tie(now, Some(known), claim, out),
            Some(known) if self.names_this_half(&known, halves) => {
                let is_asked = self.half.tie.under_way.as_ref().is_some_and(|order| !order.is_look);
                if self.is_vetoed(now, halves, has_begun || is_asked, out) {
                    self.look_again(now, out);
                    return Err(Stuck::NoTarget);
                }
                self.order_tie(now, Some(known), claim, out);
            }
            Some(_) | None => {
                self.look_again(now, out);
                return Err(Stuck::NotNamed);
            }
        }
        Ok(None)
    }

    /// Another of this half turned out to have the better log: it cannot claim where a claim of this node stands, which
    /// this node will not use any more.
    pub(super) fn give_claim_back(&mut self, now: Moment, out: &mut Out) {
        self.half.tie.outdate();
        if self.half.tie.outdated.is_empty() {
            return;
        }
        match (self.half.tie.known.clone(), self.standing(self.voter_names())) {
            (None, _) => self.look(now, out),
            (Some(Some(known)), Some(all)) if self.is_outdated(&known) => {
                self.order_tie(now, Some(known), all, out);
            }
            (Some(_), _) => {}
        }
    }

    /// Looks again after a while: what stands there may change.
    fn look_again(&mut self, now: Moment, out: &mut Out) {
        self.half.tie.not_before.get_or_insert(now.after(AGAIN_AFTER));
        self.look(now, out);
    }

    /// Whether the value lets any half of the voters go on that this node knows.
    fn names_this_half(&self, known: &Standing, halves: &Halves) -> bool {
        self.names_exactly(known, &halves.here.iter().chain(&halves.missing).chain(&halves.lost).collect())
    }

    /// Whether it would let any half of the voters in force go on, if there is one.
    pub(super) fn tie_break_names_all(&self) -> bool {
        let Some(known) = self.known_since_sick() else { return self.tie_break().is_none() };
        let all = self.voter_names();
        self.names_exactly(known, &all.iter().collect())
    }

    /// Whether the value lets any half of these voters go on.
    fn names_exactly(&self, known: &Standing, all: &BTreeSet<&NodeName>) -> bool {
        let configuration = self.agreement.as_ref().map(|agreement| agreement.configuration().0);
        half::is_named(
            known.era == self.ledger.era,
            Some(known.configuration) == configuration,
            known.named.iter().collect::<BTreeSet<_>>() == *all,
        )
    }

    /// Whether this is what this half claimed before, for the voters that are in force.
    fn is_outdated(&self, known: &Standing) -> bool {
        let configuration = self.agreement.as_ref().map(|agreement| agreement.configuration().0);
        let own = known.parent == Some(self.ledger.era) && Some(known.configuration) == configuration;
        own && self.half.tie.outdated.contains(known)
    }

    fn voter_names(&self) -> Vec<NodeName> {
        let voters = self.agreement.as_ref().map(|agreement| agreement.members().0).unwrap_or_default();
        let known = |id: RaftId| self.ids.iter().position(|known| *known == id.node());
        voters.into_iter().filter_map(known).map(|slot| self.names[slot].clone()).collect()
    }
}
