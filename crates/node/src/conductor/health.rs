//! What the leader knows of who is sick, and what it makes of it.

use heart_model::{
    Ailment, Duration, HealthFact, Moment, NodeName, Reason, Refusal, ResourceName, Session, StepAction,
};
use std::collections::{BTreeMap, BTreeSet};

use super::{Conductor, Score};
use crate::board::flag;

/// How long after somebody fell sick nothing is moved for it. What is wrong with one disk may be wrong with all that
/// are reached in the same way, and nodes do not find out in the same moment: they look every five seconds.
pub(crate) const HESITATION: Duration = Duration::from_secs(6);

/// What nodes say of their health, and what was moved because of it.
#[derive(Debug, Default)]
pub(super) struct Healths {
    told: BTreeMap<NodeName, (Session, Vec<HealthFact>)>,
    /// Since when each node was sick with what, when that was last told.
    begun: BTreeMap<(NodeName, Ailment), u64>,
    /// When this leader last heard of something new that a node is sick with.
    fell_sick: Option<Moment>,
    /// From which node each resource was moved because that is sick, or reaches fewer ping targets.
    left: BTreeMap<ResourceName, Reason>,
}

impl Healths {
    /// Why a resource was moved away, and from where, if it was because of how the node is.
    pub(super) fn left_because(&self, resource: &ResourceName) -> Option<&Reason> {
        self.left.get(resource)
    }
}

impl Conductor {
    /// A node tells all that it is sick with.
    pub fn on_health(&mut self, now: Moment, node: &NodeName, session: Session, facts: Vec<HealthFact>) {
        self.stir();
        for fact in facts.iter().filter(|fact| fact.ailment.hands_over() && fact.well_since.is_none()) {
            let begun = self.health.begun.insert((node.clone(), fact.ailment), fact.since);
            if begun != Some(fact.since) {
                self.health.fell_sick = Some(now);
            }
        }
        if facts.is_empty() {
            self.health.told.remove(node);
        } else {
            self.health.told.insert(node.clone(), (session, facts));
        }
    }

    /// What a node said of its health last.
    #[must_use]
    pub fn health_of(&self, node: &NodeName) -> &[HealthFact] {
        self.health.told.get(node).map_or(&[], |(_, facts)| facts)
    }

    /// What a node is sick with, of what makes it hand over. A later life of it says so itself.
    pub(super) fn sick_with(&self, node: &NodeName, session: Option<Session>) -> BTreeSet<Ailment> {
        let told = self.health.told.get(node);
        let told = told.filter(|(in_session, _)| session.is_some_and(|now| now.boot == in_session.boot));
        let facts = told.into_iter().flat_map(|(_, facts)| facts);
        facts.map(|fact| fact.ailment).filter(|ailment| ailment.hands_over()).collect()
    }

    /// Until when nothing is moved because a node is sick, if that is still to come.
    pub(super) fn hesitates_until(&self, now: Moment) -> Option<Moment> {
        let until = self.health.fell_sick.map(|at| at.after(HESITATION));
        until.filter(|until| !now.has_surely_reached(*until))
    }

    /// Whether a quorum agrees without the voters whose disks are sick. If not, what is stopped on a sick node
    /// may wait for its disk before it starts elsewhere: then it is not stopped.
    pub(super) fn may_agree_without_sick(&self, score: &Score<'_>) -> bool {
        let is_sound = |slot: usize| {
            let flags = match score.sights.heard(slot) {
                _ if slot == score.sights.me => score.flags,
                Some(seen) => seen.flags,
                None => return false,
            };
            let facts = self.health_of(&score.names[slot]);
            flags & flag::SICK == 0 && !facts.iter().any(|fact| fact.ailment.is_of_disk())
        };
        let voters = (0..score.names.len()).filter(|&slot| score.sights.voters.contains(slot));
        voters.filter(|&slot| is_sound(slot)).count() >= score.sights.quorum()
    }

    /// Remembers what the plan moves because a node is sick, or reaches fewer ping targets.
    pub(super) fn remember_moves(&mut self) {
        for step in self.plan.steps.iter().filter(|step| step.action == StepAction::Stop) {
            let reasons = self.plan.reasons.get(&step.resource).into_iter().flatten();
            let is_it = |reason: &&Reason| {
                matches!(reason, Reason::NotOn { node, refusal: Refusal::Sick { .. } | Refusal::Fewer { .. } }
                    if *node == step.node)
            };
            match reasons.into_iter().find(is_it) {
                Some(reason) => drop(self.health.left.insert(step.resource.clone(), reason.clone())),
                None => drop(self.health.left.remove(&step.resource)),
            }
        }
    }

    /// Says of what runs now that it was moved because a node is sick, or reaches fewer ping targets, as long as that
    /// is so.
    pub(super) fn came_from_sick(&self, resource: &ResourceName, reasons: &mut Vec<Reason>) {
        let Some(Reason::NotOn { node, refusal }) = self.health.left.get(resource) else { return };
        let stays = reasons.iter().enumerate().find_map(|(place, reason)| match reason {
            Reason::Stays { node: home } if home != node => Some((place, home)),
            _ => None,
        });
        let Some((place, home)) = stays else { return };
        let refusal = match refusal {
            Refusal::Fewer { fewer } => self.still_fewer(node, home, fewer),
            _ => {
                let known = self.status.nodes.get(node);
                let with: Vec<Ailment> =
                    known.into_iter().flat_map(|node| node.sick.iter().copied()).collect();
                (!with.is_empty()).then_some(Refusal::Sick { with })
            }
        };
        if let Some(refusal) = refusal {
            reasons.insert(place, Reason::NotOn { node: node.clone(), refusal });
        }
    }
}
