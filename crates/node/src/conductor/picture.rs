//! What the leader knows, in the shape in which it is planned from.

use heart_model::{
    Activity, Guard, Moment, NodeName, NodeState, NodeStatus, ResourceName, ResourceState, ResourceStatus,
    Session, Spec, Status,
};
use std::collections::{BTreeMap, BTreeSet};

use super::{Conductor, Score};
use crate::{
    board::flag,
    ledger::{Change, Former, NewGrant, NodeLedger, ResourceLedger, waits_by},
    ownership::session_of,
    plant::{Bug, is_planted},
};

impl Conductor {
    /// The grant of a resource that was proposed and is not applied yet.
    pub(super) fn proposed_grant(&self, name: &ResourceName, ledger: &ResourceLedger) -> Option<&NewGrant> {
        let grants = self.proposed.iter().flat_map(|change| match change {
            Change::Grant { grants } | Change::Close { grants, .. } | Change::TakeOver { grants, .. } => {
                grants.as_slice()
            }
            _ => &[],
        });
        let mut grants = grants.filter(|grant| grant.resource == *name && grant.epoch == ledger.epoch.next());
        grants.next()
    }

    pub(super) fn build_status(&self, now: Moment, spec: &Spec, score: &Score<'_>) -> Status {
        let node = |(slot, name): (usize, &NodeName)| {
            let ledger = score.ledger.nodes.get(name);
            let session = ledger.and_then(|node| node.session);
            let state = self.node_state(slot, name, session, score);
            let quarantined = ledger.is_some_and(|node| node.losses.quarantined(score.wall).is_some());
            let (sick, reach) = (self.sick_with(name, session), self.reach_of(now, spec, name, session));
            (name.clone(), NodeStatus { state, session, sick, quarantined, reach })
        };
        let nothing = ResourceLedger::default();
        let resource = |name: &ResourceName| {
            let ledger = score.ledger.resources.get(name).unwrap_or(&nothing);
            let state = match self.proposed_grant(name, ledger) {
                // What is on its way is decided: to decide anew would only be in its way.
                Some(grant) => ResourceState::Granted {
                    node: grant.node.clone(),
                    session: grant.session,
                    epoch: grant.epoch,
                    activity: Activity::Stopped,
                },
                None => self.resource_state(spec, name, ledger),
            };
            let status = ResourceStatus {
                state,
                failures: ledger.failures.clone(),
                last_failure: ledger.last_failure.clone(),
                last: ledger.last.clone(),
                ended: ledger.ended.clone(),
                held: score.ledger.held(name, score.wall).is_some(),
                guard: guard_there(spec, name, ledger),
            };
            (name.clone(), status)
        };
        let grantable = spec.grantable();
        let known: BTreeSet<&ResourceName> = grantable.keys().chain(score.ledger.resources.keys()).collect();
        // Who was taken out of the file is heard by nobody who goes by it.
        let holders = score.ledger.resources.values().filter_map(|known| known.grant.as_ref());
        let gone = holders
            .filter(|grant| !score.names.contains(&grant.node) && !spec.nodes.contains_key(&grant.node));
        let gone = gone.filter(|_| score.may_judge).map(|grant| {
            let status = NodeStatus::well(NodeState::Lost, Some(grant.session));
            (grant.node.clone(), status)
        });
        let nodes: BTreeMap<NodeName, NodeStatus> =
            score.names.iter().enumerate().map(node).chain(gone).collect();
        let some_are_sick = nodes.values().any(|node| !node.sick.is_empty());
        Status {
            bound_to_sick: some_are_sick
                && (self.hesitates_until(now).is_some() || !self.may_agree_without_sick(score)),
            nodes,
            resources: known.into_iter().map(resource).collect(),
            intents: score.ledger.intents.clone(),
            quorum: true,
            gathering: self.start.gathering(now, spec, score.ledger),
            now: i64::try_from(score.wall / 1000).ok().filter(|_| !spec.times.is_empty()),
        }
    }

    fn node_state(
        &self,
        slot: usize,
        name: &NodeName,
        session: Option<Session>,
        score: &Score<'_>,
    ) -> NodeState {
        let seen = if slot == score.sights.me {
            Some(score.session)
        } else {
            score.sights.heard(slot).map(session_of)
        };
        let Some(session) = session else {
            let over = score.ledger.nodes.get(name).is_some_and(|node| node.taken_over.is_some());
            let off = score.ledger.nodes.get(name).is_some_and(NodeLedger::is_off);
            return match (seen, over) {
                (Some(_), _) => NodeState::Joining,
                (None, true) if off => NodeState::Fenced,
                (None, true) => NodeState::Lost,
                (None, false) => NodeState::Absent,
            };
        };
        if score.may_judge && score.sights.is_lost(slot) {
            return NodeState::Lost;
        }
        let leaving = if slot == score.sights.me {
            score.leaving
        } else {
            score.sights.heard(slot).is_some_and(|seen| seen.flags & flag::LEAVING != 0)
        };
        let told = self.facts.get(name).is_some_and(|facts| facts.session == session);
        match (seen == Some(session) && told, leaving) {
            (true, true) => NodeState::Leaving,
            (true, false) => NodeState::Online,
            (false, _) => NodeState::Joining,
        }
    }

    fn resource_state(&self, spec: &Spec, name: &ResourceName, ledger: &ResourceLedger) -> ResourceState {
        let Some(grant) = &ledger.grant else {
            let guard = spec.granted(name).map_or(Guard::None, |resource| resource.guard);
            let waits = |former: &&Former| {
                waits_by(former.guard, guard) == Guard::Fence && !is_planted(Bug::NoWaitForFence)
            };
            let last = ledger.until_gone.iter().rev().find(waits);
            return last.map_or(ResourceState::Ungranted, |former| ResourceState::Granted {
                node: former.node.clone(),
                session: former.session,
                epoch: ledger.epoch,
                activity: Activity::Running,
            });
        };
        let facts = self.facts.get(&grant.node).filter(|facts| facts.session == grant.session);
        let activity = match facts {
            None => grant.activity.clone(),
            Some(facts) => match facts.resources.get(name) {
                Some(inventory) if inventory.closed >= grant.epoch => return ResourceState::Ungranted,
                Some(inventory) if inventory.epoch == grant.epoch => inventory.activity.clone(),
                Some(_) | None => Activity::Stopped,
            },
        };
        ResourceState::Granted {
            node: grant.node.clone(),
            session: grant.session,
            epoch: grant.epoch,
            activity,
        }
    }
}

/// What guards a resource where it is, or was, if that is not what the file says.
fn guard_there(spec: &Spec, name: &ResourceName, ledger: &ResourceLedger) -> Option<Guard> {
    let now = spec.granted(name)?.guard;
    let former = ledger.until_gone.iter().map(|former| former.guard);
    let held = ledger.grant.as_ref().map(|grant| grant.guard);
    held.into_iter().chain(former).map(|there| waits_by(there, now)).find(|guard| *guard != now)
}
