//! Which ping targets this node reaches.
//!
//! What is found out comes in as changes. It is told to the leader, who has things moved to where more are reached,
//! and to everybody, in one bit. It never lets this node do anything (SAFETY rule 20): a node that is half of the
//! voters asks its targets before it begins something, and does not begin if none answers, because it may be the one
//! that is cut off.

use heart_model::{Duration, Moment, Name, PingChange, PingFacts, PingOrder, PingSpec};
use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Core, Message, Out, half::Halves};
use crate::{
    board::{Board, flag},
    half::{self, Targets},
    plant::{Bug, is_planted},
};

/// How often the targets are asked while this node would begin something.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long an answer counts, from when it was asked for. The half that runs more goes first within this time.
const ANSWER_COUNTS: Duration = Duration::from_secs(3);

/// What a node knows of its ping targets.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// What it was found to be pinged last.
    watched: BTreeMap<Name, PingSpec>,
    /// Whether each is reached, once that is known.
    reached: BTreeMap<Name, bool>,
    /// Why nothing can be found out.
    blind: Option<String>,
    changed: bool,
    /// Who reached none, of others, when they were heard last; by slot.
    without: BTreeSet<usize>,
    /// The last question, by its number, and when it was asked.
    asked: Option<(u64, Moment)>,
    /// When the last question was asked that was answered.
    answered: Option<Moment>,
}

impl Pings {
    /// When the targets are asked again, or an answer no longer counts.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let again = self.asked.map(|(_, at)| at.after(ASK_EVERY));
        let over = self.answered.map(|at| at.after(ANSWER_COUNTS));
        again.into_iter().chain(over).min_by_key(|at| at.boottime)
    }

    /// What is told of it, if there is something to tell.
    pub(super) fn facts(&self) -> Option<PingFacts> {
        let missed = self.reached.iter().filter(|(_, reached)| !**reached).map(|(name, _)| name.clone());
        let known = self.blind.is_none() && self.reached.len() == self.watched.len();
        let reaches = self.reached.values().filter(|reached| **reached).count();
        let reaches = u32::try_from(reaches).ok().filter(|_| known);
        let facts = PingFacts { reaches, missed: missed.collect(), blind: self.blind.clone() };
        (!self.watched.is_empty()).then_some(facts)
    }

    /// Whether none is reached, for certain or because nothing can be found out.
    fn reaches_none(&self) -> bool {
        let none = self.reached.len() == self.watched.len() && !self.reached.values().any(|reached| *reached);
        !self.watched.is_empty() && (none || self.blind.is_some())
    }
}

impl Core {
    pub(super) fn on_ping(&mut self, change: PingChange, out: &mut Out) {
        let pings = &mut self.pings;
        let said = match change {
            PingChange::Reached(name) => {
                let said = format!("the ping target {name} is reached");
                pings.blind = None;
                (pings.watched.contains_key(&name) && pings.reached.insert(name, true) != Some(true))
                    .then_some(said)
            }
            PingChange::Missed(name) => {
                let said = format!("the ping target {name} is not reached");
                pings.blind = None;
                (pings.watched.contains_key(&name) && pings.reached.insert(name, false) != Some(false))
                    .then_some(said)
            }
            PingChange::Answered(number) => {
                let asked = pings.asked.filter(|(asked, _)| *asked == number);
                pings.answered = asked.map(|(_, at)| at).or(pings.answered);
                None
            }
            PingChange::Blind(why) => {
                pings.reached.clear();
                pings.blind = Some(why.clone());
                Some(format!("the ping targets cannot be asked: {why}"))
            }
        };
        self.pings.changed |= said.is_some();
        out.actions.extend(said.map(Action::Note));
    }

    /// Has the targets of the configuration in force pinged, and tells how many are reached if that changed.
    pub(super) fn mind_pings(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let wanted = &self.ledger.spec.as_ref().unwrap_or(&self.settings.spec).pings;
        if *wanted != self.pings.watched {
            self.pings.watched = wanted.clone();
            self.pings.reached.clear();
            (self.pings.blind, self.pings.changed) = (None, true);
            out.actions.push(Action::Ping(PingOrder::Watch(wanted.clone())));
        }
        for seen in (0..self.ids.len()).filter_map(|slot| self.sights.heard(slot)) {
            match seen.flags & flag::NO_TARGET {
                0 => self.pings.without.remove(&seen.slot),
                _ => self.pings.without.insert(seen.slot),
            };
        }
        if !::core::mem::take(&mut self.pings.changed) {
            return;
        }
        let flags = board.flags() & !flag::NO_TARGET;
        board.set_flags(if self.pings.reaches_none() { flags | flag::NO_TARGET } else { flags });
        out.actions.push(Action::Poke);
        self.tell_pings(now, board, out);
    }

    /// Tells the leader how many are reached.
    pub(super) fn tell_pings(&mut self, now: Moment, board: &Board, out: &mut Out) {
        if let Some(pings) = self.pings.facts() {
            self.tell_leader(Message::Pings { session: board.session(), pings }, now, out);
        }
    }

    /// Asks the targets, if that is due, and says whether this half may begin nothing because none answers.
    pub(super) fn is_vetoed(&mut self, now: Moment, halves: &Halves, has_begun: bool, out: &mut Out) -> bool {
        if self.pings.watched.is_empty() || is_planted(Bug::VetoIgnored) {
            return false;
        }
        let since = self.half.since().unwrap_or(now);
        let (asked, answered) = (self.pings.asked, self.pings.answered);
        let is_due = |at: Moment| at.boottime < since.boottime || now.has_surely_reached(at.after(ASK_EVERY));
        if asked.is_none_or(|(_, at)| is_due(at)) {
            let number = asked.map_or(0, |(number, _)| number) + 1;
            self.pings.asked = Some((number, now));
            out.actions.push(Action::Ping(PingOrder::Ask(number)));
        }
        let counts =
            |at: Moment| at.boottime >= since.boottime && !now.may_have_reached(at.after(ANSWER_COUNTS));
        let slot = |name| self.names.iter().position(|known| known == name);
        let nobody_did = self.pings.reaches_none()
            && halves
                .missing
                .iter()
                .all(|name| slot(name).is_some_and(|slot| self.pings.without.contains(&slot)));
        half::is_vetoed(Targets { answered: answered.is_some_and(counts), nobody_did, has_begun })
    }

    /// What is said of a node that does not reach all its targets: with what to do.
    pub(super) fn say_pings(&self, slot: usize) -> Vec<String> {
        let name = &self.names[slot];
        let facts = match &self.conductor {
            _ if slot == self.slot => self.pings.facts(),
            Some(conductor) if self.sights.heard(slot).is_some() => conductor.pings_of(name).cloned(),
            Some(_) | None => None,
        };
        let Some(facts) = facts else {
            let none = self.sights.heard(slot).is_some_and(|seen| seen.flags & flag::NO_TARGET != 0);
            return none
                .then(|| format!("{name} reaches no ping target; see its cables and routes: `ip route`"))
                .into_iter()
                .collect();
        };
        if let Some(why) = facts.blind {
            return vec![format!("{name} cannot find out which ping targets it reaches: {why}")];
        }
        if facts.missed.is_empty() {
            return Vec::new();
        }
        let hosts = |name: &Name| {
            let hosts = self.pings.watched.get(name).map(|ping| ping.hosts.as_slice()).unwrap_or_default();
            format!("{name} ({})", hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        };
        let missed = facts.missed.iter().map(hosts).collect::<Vec<_>>().join(" and ");
        let (all, does) = (self.pings.watched.len(), if facts.missed.len() == 1 { "does" } else { "do" });
        let reached = all.saturating_sub(facts.missed.len());
        vec![format!(
            "{name} reaches {reached} of {all} ping targets: {missed} {does} not answer; see its cables and routes, \
             `ip route`, and whether others reach it"
        )]
    }
}
