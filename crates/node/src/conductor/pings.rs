//! What the leader knows of who reaches how many ping targets, and what it makes of it.
//!
//! Nodes do not find out in the same moment that a target has died. So nothing of what they say counts before it has
//! lasted: of the last [`settles_after`], the least and the most that a node reached is taken. What runs leaves a node
//! only if that reached fewer all the while than another one did all the while.

use heart_model::{
    Duration, Fewer, Moment, NodeName, PingFacts, Reach, Reason, Refusal, ResourceName, Session, Spec,
};
use std::collections::BTreeMap;

use super::Conductor;
use crate::plant::{Bug, is_planted};

/// How long a difference has to last: as long as any target may be silent before it counts as not reached. Two nodes
/// that lose the same target find that out within one interval of each other, which is a third of that at most.
fn settles_after(spec: &Spec) -> Duration {
    spec.pings.values().map(|ping| ping.lost_after).max().unwrap_or_default()
}

/// What nodes say of their targets.
#[derive(Debug, Default)]
pub(super) struct Pings {
    told: BTreeMap<NodeName, Told>,
}

#[derive(Debug)]
struct Told {
    session: Session,
    facts: PingFacts,
    /// Until when it reached each other number last; nothing stands for what was not known. No more than there can be
    /// targets, and two.
    before: BTreeMap<Option<u32>, Moment>,
}

impl Conductor {
    /// A node tells how many targets it reaches.
    pub fn on_pings(&mut self, now: Moment, node: &NodeName, session: Session, facts: PingFacts) {
        self.stir();
        let known = self.pings.told.remove(node).filter(|told| told.session.boot == session.boot);
        let mut before = BTreeMap::from([(None, now)]);
        if let Some(told) = known {
            before = told.before;
            if told.facts.reaches != facts.reaches {
                before.insert(told.facts.reaches, now);
            }
        }
        self.pings.told.insert(node.clone(), Told { session, facts, before });
    }

    /// What a node said of its targets last.
    #[must_use]
    pub fn pings_of(&self, node: &NodeName) -> Option<&PingFacts> {
        self.pings.told.get(node).map(|told| &told.facts)
    }

    /// How many targets a node reached all the while. A later life of it says so itself.
    pub(super) fn reach_of(
        &self,
        now: Moment,
        spec: &Spec,
        node: &NodeName,
        session: Option<Session>,
    ) -> Reach {
        let told = self.pings.told.get(node).filter(|_| !spec.pings.is_empty());
        let told = told.filter(|told| session.is_some_and(|now| now.boot == told.session.boot));
        let Some(told) = told else { return Reach::UNKNOWN };
        let settles_after = settles_after(spec);
        let lasts = |until: &Moment| {
            !(now.has_surely_reached(until.after(settles_after)) || is_planted(Bug::TargetsUnsettled))
        };
        let before = told.before.iter().filter(|(_, until)| lasts(until)).map(|(reached, _)| *reached);
        let all: Option<Vec<u32>> = before.chain([told.facts.reaches]).collect();
        let all = all.unwrap_or_default();
        match (all.iter().min(), all.iter().max()) {
            (Some(&least), Some(&most)) => Reach { least, most },
            (None, _) | (_, None) => Reach::UNKNOWN,
        }
    }

    /// When something that was said has lasted long enough to count, if that is still to come.
    pub(super) fn settles_at(&self, now: Moment, spec: &Spec) -> Option<Moment> {
        let settles_after = settles_after(spec);
        let all = self.pings.told.values().flat_map(|told| told.before.values());
        let all = all.map(|until| until.after(settles_after)).filter(|at| !now.has_surely_reached(*at));
        all.min_by_key(|at| at.boottime)
    }

    /// Why something goes from one node to another, if it is because that reaches more targets: for the log.
    pub(super) fn moved_for_targets(
        &self,
        resource: &ResourceName,
        from: &NodeName,
        to: &NodeName,
    ) -> Option<Reason> {
        let left = self.health.left_because(resource)?;
        let Reason::NotOn { node, refusal: Refusal::Fewer { fewer } } = left else { return None };
        let others = self.status.nodes.get(to)?.reach.least;
        let is_it = node == from && others > fewer.reaches;
        let fewer = Fewer { other: to.clone(), others, ..fewer.clone() };
        is_it.then(|| Reason::NotOn { node: from.clone(), refusal: Refusal::Fewer { fewer } })
    }

    /// Whether a node still reaches fewer targets than another.
    pub(super) fn still_fewer(&self, node: &NodeName, home: &NodeName, fewer: &Fewer) -> Option<Refusal> {
        let reach = |name: &NodeName| self.status.nodes.get(name).map(|known| known.reach);
        let (reaches, others) = (reach(node)?.most, reach(home)?.least);
        let fewer = Fewer { reaches, of: fewer.of, other: home.clone(), others };
        (reaches < others).then_some(Refusal::Fewer { fewer })
    }
}
