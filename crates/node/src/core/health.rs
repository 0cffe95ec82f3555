//! A node that is sick, not dead: it says so, to people and to the leader, and does not lead if another can.
//!
//! What is found out about the machine comes in as changes, each once. A node counts as sick for a while after
//! it is well again, so that nothing moves to and fro. It judges that itself; nothing of it outlives the core.

use heart_model::{Ailment, Duration, HealthChange, HealthFact, Moment, WhenSick};
use std::collections::BTreeMap;

use super::{Action, Core, Message, Out};
use crate::board::{Board, flag};

/// How long a node has to be well before it is trusted again.
pub(super) const AVOIDED_FOR: Duration = Duration::from_secs(60);

/// What a node knows of its own health.
#[derive(Debug, Default)]
pub(super) struct Health {
    facts: BTreeMap<Ailment, Known>,
    /// It led when it fell sick, and gave that up.
    pub(super) handed_over: bool,
    changed: bool,
    /// Since when its disk takes nothing. That little room is left, or that something cannot be written to, does not keep
    /// the log from being written.
    disk_sick_since: Option<Moment>,
    /// This node is to be switched off: it does not lead if another can, as if it were sick.
    condemned: bool,
}

#[derive(Debug)]
struct Known {
    fact: HealthFact,
    /// When it ends to count, if the node is well again.
    forgotten_at: Option<Moment>,
}

impl Health {
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.facts.values().filter_map(|known| known.forgotten_at).min_by_key(|at| at.boottime)
    }

    /// Since when its disk takes nothing.
    pub(super) fn disk_sick_since(&self) -> Option<Moment> {
        self.disk_sick_since
    }

    /// All that is told of it.
    pub(super) fn facts(&self) -> Vec<HealthFact> {
        self.facts.values().map(|known| known.fact.clone()).collect()
    }
}

impl Core {
    pub(super) fn on_disk(&mut self, board: &Board, works: bool, out: &mut Out) {
        if self.disk_works != works {
            let said =
                if works { "the disk answers again" } else { "the disk does not answer: this node is sick" };
            out.actions.push(Action::Note(said.into()));
        }
        self.disk_works = works;
        self.show_sick(board, out);
    }

    /// Says to everybody whether the disk of this node takes what is written; without a log, whether it would take one.
    pub(super) fn show_sick(&self, board: &Board, out: &mut Out) {
        let is_sick = !self.disk_works || (self.agreement.is_none() && self.health.disk_sick_since.is_some());
        let flags = board.flags() & !flag::SICK;
        let flags = if is_sick { flags | flag::SICK } else { flags };
        if flags != board.flags() {
            board.set_flags(flags);
            out.actions.push(Action::Poke);
        }
    }

    pub(super) fn on_health(&mut self, now: Moment, change: HealthChange, out: &mut Out) {
        let note = match change {
            HealthChange::Began(ailment, figures) => {
                let said = format!("this node is sick, {ailment}: {figures}");
                let fact = HealthFact { ailment, figures, since: self.wall, well_since: None };
                self.health.facts.insert(ailment, Known { fact, forgotten_at: None });
                said
            }
            HealthChange::Ended(ailment) => {
                let Some(known) = self.health.facts.get_mut(&ailment) else { return };
                known.fact.well_since = Some(self.wall);
                known.forgotten_at = Some(now.after(AVOIDED_FOR));
                format!("this node is well again: {ailment} no longer")
            }
        };
        out.actions.push(Action::Note(note));
        self.health.changed = true;
    }

    /// Forgets what was over long enough ago, and tells everybody how this node is, if that changed.
    pub(super) fn recover(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let before = self.health.facts.len();
        let over = |known: &Known| known.forgotten_at.is_some_and(|at| now.has_surely_reached(at));
        self.health.facts.retain(|_, known| !over(known));
        let stalled = self.health.facts.get(&Ailment::DiskStalled);
        let disk_sick = !self.disk_works || stalled.is_some_and(|known| known.fact.well_since.is_none());
        self.health.disk_sick_since = disk_sick.then(|| self.health.disk_sick_since.unwrap_or(now));
        self.show_sick(board, out);
        let condemned = self.is_ordered_off(board.session());
        let changed = ::core::mem::take(&mut self.health.changed)
            | (self.health.facts.len() != before)
            | (::core::mem::replace(&mut self.health.condemned, condemned) != condemned);
        if !changed {
            return;
        }
        let moves = self.moves_when_sick();
        let unwell = condemned || moves && self.health.facts.keys().any(|ailment| ailment.hands_over());
        let flags = board.flags() & !flag::UNWELL;
        board.set_flags(if unwell { flags | flag::UNWELL } else { flags });
        self.health.handed_over &= unwell;
        self.tell_leader(Message::Health { session: board.session(), facts: self.health.facts() }, now, out);
        out.actions.push(Action::Poke);
    }

    /// Whether what runs on a sick node moves.
    pub(super) fn moves_when_sick(&self) -> bool {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        spec.cluster.when_sick == WhenSick::Move
    }

    /// What this node knows of the health of another, or of its own.
    fn health_of(&self, slot: usize) -> Vec<HealthFact> {
        match &self.conductor {
            _ if slot == self.slot => self.health.facts(),
            Some(conductor) if self.sights.heard(slot).is_some() => {
                conductor.health_of(&self.names[slot]).to_vec()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Whether a node is sick now, in a way that makes it hand over.
    pub(super) fn is_sick(&self, slot: usize) -> bool {
        let is_now = |fact: &HealthFact| fact.well_since.is_none() && fact.ailment.hands_over();
        self.health_of(slot).iter().any(is_now)
    }

    /// What is said of a node that is sick, or was until a moment ago: each a sentence with what to do.
    pub(super) fn say_sick(&self, slot: usize) -> Vec<String> {
        let name = &self.names[slot];
        let facts = self.health_of(slot);
        if facts.is_empty() && self.sights.heard(slot).is_some_and(|seen| seen.flags & flag::UNWELL != 0) {
            return vec![format!(
                "{name} says that it is sick; ask there: `heart status` on {name} says more"
            )];
        }
        let said = |fact: &HealthFact| {
            let HealthFact { ailment, figures, .. } = fact;
            match fact.well_since {
                None => format!("{name} is sick, {ailment}: {figures}; {}", ailment.remedy()),
                Some(_) => format!(
                    "{name} was sick a moment ago, {ailment}: {figures}; it is avoided until it was well for {} s",
                    AVOIDED_FOR.as_secs()
                ),
            }
        };
        facts.iter().filter(|fact| fact.well_since.is_none() || fact.ailment.hands_over()).map(said).collect()
    }
}
