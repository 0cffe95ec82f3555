//! What has to be done, and what waits for what.
//!
//! Within a unit: stops first, from the last member to the first; then what is taken over; then
//! starts, from the first to the last. Units do not wait for each other.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use heart_model::{Activity, Guard, NodeName, Plan, Reason, Refusal, ResourceName, Step, StepAction};

use crate::{
    facts::{Facts, Holding, Member, Unit},
    placement::Place,
};

/// Makes the plan that leads to these places.
pub(crate) fn steps(facts: &Facts<'_>, places: &[Place<'_>]) -> Plan {
    let mut plan = Plan::default();
    for (unit, place) in facts.units.iter().zip(places) {
        unit_steps(&mut plan, unit, place);
    }
    for &(name, holding) in &facts.removed {
        remove(&mut plan, name, holding);
    }
    plan
}

/// Why nothing may be done with a unit for now.
fn blocked(unit: &Unit<'_>) -> Option<Reason> {
    unit.members.iter().find_map(|member| match member.holding {
        Holding::Live { node, activity: Activity::Stuck(message) } => {
            Some(Reason::StopStuck { node: node.clone(), message: message.clone() })
        }
        Holding::Lost { node } if member.spec.guard == Guard::Fence => {
            Some(Reason::WaitsForGuard { node: node.clone(), guard: Guard::Fence })
        }
        Holding::Unheard { node } => {
            Some(Reason::WaitsForGuard { node: node.clone(), guard: member.spec.guard })
        }
        Holding::Free | Holding::Live { .. } | Holding::Lost { .. } => None,
    })
}

fn unit_steps(plan: &mut Plan, unit: &Unit<'_>, place: &Place<'_>) {
    let mut waits: Vec<Option<Reason>> = vec![blocked(unit); unit.members.len()];
    let first = plan.steps.len();
    if waits.first().is_some_and(Option::is_none) {
        let stops = stops(plan, unit, place);
        starts(plan, unit, place, &stops, &mut waits);
    }
    let busy: BTreeSet<ResourceName> = plan.steps[first..].iter().map(|step| step.resource.clone()).collect();
    for (number, (member, wait)) in unit.members.iter().zip(waits).enumerate() {
        let target = place.target.filter(|_| number < place.keep);
        let runs = matches!(member.holding, Holding::Live { node, activity: Activity::Running } if Some(node) == target);
        let settled = runs && !busy.contains(member.name);
        let mut reasons = before(unit, member, place);
        match target {
            Some(_) => {
                reasons.extend(place.reasons.iter().filter_map(|reason| here(reason, member, settled)));
            }
            None => {
                let stays = |reason: &&Reason| matches!(reason, Reason::Stays { .. });
                reasons.extend(place.reasons.iter().filter(|reason| !stays(reason)).cloned());
                reasons.extend(place.nowhere.clone());
            }
        }
        reasons.extend(wait.filter(|_| !settled));
        plan.reasons.insert(member.name.clone(), once(reasons, target));
        plan.placement.insert(member.name.clone(), target.cloned());
    }
}

/// What came before the place was looked for: that a move ended, that the resource failed, that it
/// goes as one with its group.
fn before(unit: &Unit<'_>, member: &Member<'_>, place: &Place<'_>) -> Vec<Reason> {
    let ended = unit.members.iter().find_map(|member| member.status?.ended.as_ref());
    let ended = ended.map(|ended| Reason::MoveEnded { to: ended.to.clone(), because: ended.because.clone() });
    // While the wish is still there, it says itself why it is not fulfilled.
    let ended = ended.filter(|_| !place.reasons.iter().any(is_wish));
    let group = unit.group.map(|group| Reason::WithGroup { group: group.clone() });
    ended.into_iter().chain(failure(member)).chain(group).collect()
}

fn is_wish(reason: &Reason) -> bool {
    matches!(reason, Reason::Asked { .. })
}

/// Says nothing twice, and nothing that is not so: what was wished for comes before what follows from
/// it; a node that is passed over is not named again where all are; and where something stays, it
/// was not passed over.
fn once(reasons: Vec<Reason>, target: Option<&NodeName>) -> Vec<Reason> {
    let all: Vec<(NodeName, Refusal)> = reasons
        .iter()
        .flat_map(|reason| match reason {
            Reason::Nowhere { refusals } => refusals.as_slice(),
            _ => &[],
        })
        .cloned()
        .collect();
    let wished = reasons.iter().any(is_wish);
    let (wishes, rest): (Vec<Reason>, Vec<Reason>) = reasons.into_iter().partition(is_wish);
    let says_more = |reason: &Reason| match reason {
        Reason::NotOn { node, refusal } => {
            let again = all.iter().any(|(known, why)| known == node && why == refusal);
            let wish_again = wished && *refusal == Refusal::MovedAway;
            !again && !wish_again && target != Some(node)
        }
        _ => true,
    };
    wishes.into_iter().chain(rest.into_iter().filter(says_more)).collect()
}

/// A reason of the unit, as it holds for one member: what does not run does not stay, it starts
/// again; and what never ran there only goes with its group.
fn here(reason: &Reason, member: &Member<'_>, settled: bool) -> Option<Reason> {
    let Reason::Stays { node } = reason else { return Some(reason.clone()) };
    let ran_there = match member.holding {
        Holding::Live { node: holder, .. } => holder == node,
        Holding::Free => {
            member.status.and_then(|status| status.last.as_ref()).is_some_and(|(last, _)| last == node)
        }
        Holding::Lost { .. } | Holding::Unheard { .. } => false,
    };
    match (settled, ran_there) {
        (true, _) => Some(reason.clone()),
        (false, true) => Some(Reason::Again { node: node.clone() }),
        (false, false) => None,
    }
}

/// What happened to it, if it does not run any more where it should.
fn failure(member: &Member<'_>) -> Option<Reason> {
    match member.holding {
        Holding::Live { node, activity: Activity::Failed(message) } => Some(Reason::FailedThere {
            node: node.clone(),
            failures: member.failures(node),
            limit: member.limit(),
            message: message.clone(),
        }),
        Holding::Live { .. } | Holding::Free | Holding::Lost { .. } | Holding::Unheard { .. } => None,
    }
}

/// Adds the stops of a unit. Gives the position of each member's stop.
fn stops(plan: &mut Plan, unit: &Unit<'_>, place: &Place<'_>) -> Vec<Option<usize>> {
    // A member stands on those before it: if one of them broke under it, it has to stop too.
    let mut shaken = false;
    let mut wanted: Vec<Option<&NodeName>> = Vec::new();
    for (number, member) in unit.members.iter().enumerate() {
        let Holding::Live { node, activity } = member.holding else {
            wanted.push(None);
            continue;
        };
        let in_place = place.target == Some(node) && number < place.keep;
        let broken = matches!(activity, Activity::Failed(_) | Activity::Stopping);
        let runs = !matches!(activity, Activity::Stopped);
        let stop = !in_place || broken || (shaken && runs);
        shaken |= stop && in_place;
        wanted.push(stop.then_some(node));
    }
    let mut positions = vec![None; wanted.len()];
    let mut before: Option<usize> = None;
    for (number, node) in wanted.iter().enumerate().rev() {
        let Some(node) = node else { continue };
        let step = (unit.members[number].name, *node, StepAction::Stop);
        before = Some(add(plan, step, before.into_iter().collect()));
        positions[number] = before;
    }
    positions
}

/// Adds what is taken over and what is started, and says which member waits for which.
fn starts(
    plan: &mut Plan,
    unit: &Unit<'_>,
    place: &Place<'_>,
    stops: &[Option<usize>],
    waits: &mut [Option<Reason>],
) {
    let Some(target) = place.target else { return };
    // Stops go from the last member to the first, so that this one comes last.
    let last_stop = stops.iter().find_map(|stop| *stop);
    let members = || unit.members.iter().take(place.keep).enumerate();
    let mut taken: Vec<Option<usize>> = vec![None; unit.members.len()];
    for (number, member) in members() {
        if matches!(member.holding, Holding::Lost { .. }) {
            let step = (member.name, target, StepAction::TakeOver);
            taken[number] = Some(add(plan, step, last_stop.into_iter().collect()));
        }
    }
    let mut before: Option<(usize, &ResourceName)> = None;
    for (number, member) in members() {
        let runs =
            matches!(member.holding, Holding::Live { node, activity: Activity::Running } if node == target);
        if runs && stops[number].is_none() {
            continue;
        }
        let mut after: Vec<usize> = last_stop.into_iter().chain(taken[number]).collect();
        after.extend(before.map(|(position, _)| position));
        if let Some((_, previous)) = before {
            waits[number] = Some(Reason::WaitsFor { resource: previous.clone() });
        }
        before = Some((add(plan, (member.name, target, StepAction::Start), after), member.name));
    }
}

/// Stops what is configured no more.
fn remove(plan: &mut Plan, name: &ResourceName, holding: Holding<'_>) {
    let mut reasons = vec![Reason::Removed];
    match holding {
        Holding::Free => return,
        Holding::Live { node, activity: Activity::Stuck(message) } => {
            reasons.push(Reason::StopStuck { node: node.clone(), message: message.clone() });
        }
        Holding::Live { node, .. } => {
            add(plan, (name, node, StepAction::Stop), Vec::new());
        }
        Holding::Lost { node } | Holding::Unheard { node } => {
            reasons.push(Reason::NodeLost { node: node.clone() });
        }
    }
    plan.placement.insert(name.clone(), None);
    plan.reasons.insert(name.clone(), reasons);
}

fn add(
    plan: &mut Plan,
    (resource, node, action): (&ResourceName, &NodeName, StepAction),
    after: Vec<usize>,
) -> usize {
    let position = plan.steps.len();
    plan.steps.push(Step { resource: resource.clone(), node: node.clone(), action, after });
    position
}
