//! What has to be done, and what waits for what.
//!
//! Stops first, from what stands on others down to what it stands on; then what is taken over; then starts,
//! from the ground up. A member of a group stands on those before it, what starts `after` others on those,
//! and what is promoted on its copy. What stands on nothing of another unit waits for none.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use heart_model::{Activity, Guard, NodeName, Plan, Reason, Refusal, ResourceName, Step, StepAction};

use crate::{
    facts::{Facts, Holding, Kind, Member, Unit},
    placement::Place,
    stands::{Needs, Spot, Stands},
};

/// Makes the plan that leads to these places.
pub(crate) fn steps(facts: &Facts<'_>, places: &[Place<'_>]) -> Plan {
    let stands = Stands::of(facts, places);
    let mut builder = Builder::new(facts, places, &stands);
    for part in stands.parts() {
        builder.part(part);
    }
    let mut plan = builder.finish();
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
        // A copy stays where it is: nobody else takes it.
        Holding::Lost { node } if member.guard() == Guard::Fence && !matches!(unit.kind, Kind::Copy(_)) => {
            Some(Reason::WaitsForGuard { node: node.clone(), guard: Guard::Fence })
        }
        Holding::Unheard { node } => {
            Some(Reason::WaitsForGuard { node: node.clone(), guard: member.guard() })
        }
        Holding::Free | Holding::Live { .. } | Holding::Lost { .. } => None,
    })
}

/// A plan in the making.
struct Builder<'b, 'f> {
    facts: &'b Facts<'f>,
    places: &'b [Place<'f>],
    stands: &'b Stands,
    plan: Plan,
    /// Where each member that has to stop does.
    wanted: Vec<Vec<Option<&'f NodeName>>>,
    /// The position of each member's stop and start.
    stops: Vec<Vec<Option<usize>>>,
    starts: Vec<Vec<Option<usize>>>,
    /// Why nothing may be done with a unit, and what a member waits for.
    blocked: Vec<Option<Reason>>,
    waits: Vec<Vec<Option<Reason>>>,
}

impl<'b, 'f> Builder<'b, 'f> {
    fn new(facts: &'b Facts<'f>, places: &'b [Place<'f>], stands: &'b Stands) -> Builder<'b, 'f> {
        let positions = || facts.units.iter().map(|unit| vec![None; unit.members.len()]).collect::<Vec<_>>();
        let blocked: Vec<Option<Reason>> = facts.units.iter().map(blocked).collect();
        let waits = facts.units.iter().zip(&blocked).map(|(unit, why)| vec![why.clone(); unit.members.len()]);
        Builder {
            facts,
            places,
            stands,
            plan: Plan::default(),
            wanted: facts.units.iter().map(|unit| vec![None; unit.members.len()]).collect(),
            stops: positions(),
            starts: positions(),
            waits: waits.collect(),
            blocked,
        }
    }

    /// Plans units that stand on one another, those below first.
    fn part(&mut self, units: &[usize]) {
        let free: Vec<usize> = units.iter().copied().filter(|unit| self.blocked[*unit].is_none()).collect();
        free.iter().for_each(|unit| self.want_stops(*unit));
        free.iter().rev().for_each(|unit| self.stop(*unit));
        free.iter().for_each(|unit| self.start(*unit));
    }

    fn member(&self, (unit, member): Spot) -> &'b Member<'f> {
        &self.facts.units[unit].members[member]
    }

    /// Where a member shall run.
    fn target(&self, (unit, member): Spot) -> Option<&'f NodeName> {
        self.places[unit].target.filter(|_| member < self.places[unit].keep)
    }

    fn runs_in_place(&self, spot: Spot) -> bool {
        let target = self.target(spot);
        matches!(self.member(spot).holding, Holding::Live { node, activity: Activity::Running } if Some(node) == target)
    }

    /// Whether what was stood on gives way: it stops, or it was lost.
    fn gives_way(&self, (unit, member): Spot) -> bool {
        self.wanted[unit][member].is_some()
            || matches!(self.member((unit, member)).holding, Holding::Lost { .. })
    }

    /// Finds out which members of a unit have to stop.
    fn want_stops(&mut self, number: usize) {
        // A member stands on those before it: if one of them broke under it, it has to stop too.
        let mut shaken = false;
        for (place, member) in self.facts.units[number].members.iter().enumerate() {
            let spot = (number, place);
            let Holding::Live { node, activity } = member.holding else { continue };
            let in_place = self.target(spot) == Some(node);
            let broken = matches!(activity, Activity::Failed(_) | Activity::Stopping);
            let runs = !matches!(activity, Activity::Stopped);
            let needs = self.stands.to_stay(spot);
            shaken |= needs.iter().any(|need| need.any_of.iter().all(|below| self.gives_way(*below)));
            let stop = !in_place || broken || (shaken && runs);
            shaken |= stop && in_place;
            self.wanted[number][place] = stop.then_some(node);
        }
    }

    /// Adds the stops of a unit, each behind those of what stands on it.
    fn stop(&mut self, number: usize) {
        let mut before: Option<usize> = None;
        for place in (0..self.facts.units[number].members.len()).rev() {
            let Some(node) = self.wanted[number][place] else { continue };
            let above = self
                .stands
                .above((number, place))
                .iter()
                .filter_map(|&(unit, place)| self.stops[unit][place]);
            let mut after: Vec<usize> = before.into_iter().chain(above).collect();
            after.sort_unstable();
            after.dedup();
            let name = self.member((number, place)).name.clone();
            before = Some(add(&mut self.plan, (&name, node, StepAction::Stop), after));
            self.stops[number][place] = before;
        }
    }

    /// Adds what is taken over and what is started of a unit, and says which member waits for what.
    fn start(&mut self, number: usize) {
        let (unit, place) = (&self.facts.units[number], &self.places[number]);
        let Some(target) = place.target else { return };
        // Stops go from the last member to the first, so that this one comes last.
        let last_stop = self.stops[number].iter().find_map(|stop| *stop);
        let mut taken: Vec<Option<usize>> = vec![None; unit.members.len()];
        for (place, member) in unit.members.iter().take(place.keep).enumerate() {
            if matches!(member.holding, Holding::Lost { .. }) {
                let step = (&member.name, target, StepAction::TakeOver);
                taken[place] = Some(add(&mut self.plan, step, last_stop.into_iter().collect()));
            }
        }
        let mut before: Option<&ResourceName> = None;
        let mut position: Option<usize> = None;
        let mut held = false;
        for (place, member) in unit.members.iter().take(place.keep).enumerate() {
            let spot = (number, place);
            if self.runs_in_place(spot) && self.stops[number][place].is_none() {
                continue;
            }
            if let Some(previous) = before {
                self.waits[number][place] = Some(Reason::WaitsFor { resource: previous.clone() });
            }
            before = Some(&member.name);
            let mut after: Vec<usize> = last_stop.into_iter().chain(taken[place]).chain(position).collect();
            held |= !self.wait_for_needs(spot, &mut after);
            if held {
                continue;
            }
            position = Some(add(&mut self.plan, (&member.name, target, StepAction::Start), after));
            self.starts[number][place] = position;
        }
    }

    /// Adds what a member waits for in other units. False if that is not going to run.
    fn wait_for_needs(&mut self, spot: Spot, after: &mut Vec<usize>) -> bool {
        let mut can_start = true;
        for need in self.stands.to_start(spot) {
            let stays = |below: &Spot| self.runs_in_place(*below) && self.stops[below.0][below.1].is_none();
            if need.any_of.iter().any(stays) {
                continue;
            }
            let start = need.any_of.iter().find_map(|&(unit, place)| self.starts[unit][place]);
            can_start &= start.is_some();
            after.extend(start);
            self.waits[spot.0][spot.1] = Some(waits_for(need, self.facts));
        }
        can_start
    }

    /// Says of every member where it goes, and why.
    fn finish(mut self) -> Plan {
        let busy: BTreeSet<ResourceName> = self.plan.steps.iter().map(|step| step.resource.clone()).collect();
        for (number, (unit, place)) in self.facts.units.iter().zip(self.places).enumerate() {
            for (position, member) in unit.members.iter().enumerate() {
                let spot = (number, position);
                let target = self.target(spot);
                let settled = self.runs_in_place(spot) && !busy.contains(&member.name);
                let mut reasons = before(unit, member, place);
                match target {
                    Some(_) => {
                        reasons
                            .extend(place.reasons.iter().filter_map(|reason| here(reason, member, settled)));
                    }
                    None => {
                        let stays = |reason: &&Reason| matches!(reason, Reason::Stays { .. });
                        reasons.extend(place.reasons.iter().filter(|reason| !stays(reason)).cloned());
                        reasons.extend(place.nowhere.clone());
                    }
                }
                reasons.extend(self.waits[number][position].take().filter(|_| !settled));
                self.plan.reasons.insert(member.name.clone(), once(reasons, target));
                self.plan.placement.insert(member.name.clone(), target.cloned());
            }
        }
        self.plan
    }
}

/// That something is waited for, by the name of what runs or would.
fn waits_for(need: &Needs, facts: &Facts<'_>) -> Reason {
    let below = need.any_of.first().map(|&(unit, place)| facts.units[unit].members[place].name.clone());
    Reason::WaitsFor { resource: below.unwrap_or_else(|| need.name.clone()) }
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
