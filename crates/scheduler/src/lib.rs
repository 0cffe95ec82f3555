//! To be written.
extern crate std;
use heart_model::*;
use std::{vec, vec::Vec};
/// temporary
pub fn plan(spec: &Spec, status: &Status) -> Plan {
    let mut plan = Plan::default();
    if !status.quorum {
        return plan;
    }
    let online = |n: &NodeName| {
        status.nodes.get(n).is_some_and(|n| n.state == NodeState::Online)
            && !status.intents.contains(&Intent::Standby { node: n.clone() })
    };
    let mut units: Vec<Vec<ResourceName>> = spec.groups.values().map(|g| g.members.clone()).collect();
    for r in spec.resources.keys() {
        if spec.group_of(r).is_none() {
            units.push(vec![r.clone()]);
        }
    }
    for unit in units {
        let st = |r: &ResourceName| status.resources.get(r).map(|s| s.state.clone()).unwrap_or_default();
        let mut cur = None;
        for r in &unit {
            if let ResourceState::Granted { node, .. } = st(r) {
                cur = cur.or(Some(node));
            }
        }
        let mv = status.intents.iter().find_map(|i| match i {
            Intent::Move { resource, from, to } if unit.contains(resource) => {
                Some((from.clone(), to.clone()))
            }
            _ => None,
        });
        let allowed = |n: &NodeName| {
            online(n)
                && mv.as_ref().is_none_or(|(from, _)| from != n)
                && !unit.iter().any(|r| {
                    status.resources.get(r).is_some_and(|s| {
                        s.failures.get(n).copied().unwrap_or(0) >= spec.resources[r].failures_max
                    })
                })
        };
        let want = mv
            .as_ref()
            .and_then(|(_, to)| to.clone())
            .filter(|n| allowed(n))
            .or(cur.clone().filter(|n| allowed(n)))
            .or(spec.resources[&unit[0]].prefers.iter().find(|n| allowed(n)).cloned())
            .or(spec.nodes.keys().find(|n| allowed(n)).cloned());
        let mut stops = Vec::new();
        for r in unit.iter().rev() {
            if let ResourceState::Granted { node, activity, .. } = st(r) {
                let lost = status.nodes.get(&node).is_some_and(|n| n.state == NodeState::Lost);
                if Some(&node) != want.as_ref() || matches!(activity, Activity::Failed(_)) {
                    if lost {
                        if let Some(w) = &want {
                            plan.steps.push(Step {
                                resource: r.clone(),
                                node: w.clone(),
                                action: StepAction::TakeOver,
                                after: vec![],
                            });
                        }
                    } else {
                        stops.push(plan.steps.len());
                        let after = stops.iter().rev().skip(1).take(1).copied().collect();
                        plan.steps.push(Step { resource: r.clone(), node, action: StepAction::Stop, after });
                    }
                }
            }
        }
        let mut prev: Vec<usize> = stops.last().copied().into_iter().collect();
        for r in &unit {
            plan.placement.insert(r.clone(), want.clone());
            if let Some(w) = &want {
                let running = matches!(st(r), ResourceState::Granted { node, activity: Activity::Running, .. } if node == *w);
                if !running {
                    plan.steps.push(Step {
                        resource: r.clone(),
                        node: w.clone(),
                        action: StepAction::Start,
                        after: prev.clone(),
                    });
                    prev = vec![plan.steps.len() - 1];
                }
            }
        }
    }
    plan
}
