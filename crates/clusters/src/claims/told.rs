//! Who is told of a step of a clone is told at its time: beforehand, before any instance takes the step;
//! afterwards, when all that take it have. Nobody is told who was stopped before, and will not be started again.
//!
//! Where nodes are let in by fence devices, a stop may have to wait for a probe that waits for another stop of the
//! same clone; and orders in a ring cannot all be kept. Nothing is claimed of either. An instance that is not
//! configured any more is no part of its clone.

use heart_model::policy::Body;

use super::{Broken, Claim, Plan, broken, tangle};

pub(super) fn check(plan: &Plan<'_>) -> Option<Broken> {
    let lets_in = plan.known.primitives.values().any(|found| {
        found.meta("provides") == Some("unfencing") || found.meta("requires") == Some("unfencing")
    });
    if lets_in || tangle::orders_are_tangled(&plan.situation.cluster) {
        return None;
    }
    let told = plan.outcome.actions.iter().enumerate().filter(|(_, action)| action.name == "notify");
    told.into_iter().find_map(|(place, action)| {
        let resource = action.resource.as_deref()?;
        let (when, step) = action.kind.as_deref()?.split_once('-')?;
        let clone = clone_of(plan, resource)?;
        out_of_turn(plan, place, clone, when, step).or_else(|| is_gone(plan, place, resource, step))
    })
}

/// The clone that a resource is in.
fn clone_of<'p>(plan: &Plan<'p>, resource: &str) -> Option<&'p str> {
    let around = &plan.known.primitive(resource)?.around;
    around.iter().find(|around| matches!(around.body, Body::Clone(_))).map(|clone| clone.id.as_str())
}

/// Steps of the clone on the wrong side of the notification; a step that a fencing takes is taken with it.
fn out_of_turn(plan: &Plan<'_>, told: usize, clone: &str, when: &str, step: &str) -> Option<Broken> {
    let in_clone = |name: &&str| clone_of(plan, name) == Some(clone) && !plan.flags(name).contains('O');
    let steps = plan.places.get(step).into_iter().flatten();
    let taken = steps.filter(|(name, _)| in_clone(name)).flat_map(|(_, places)| places).copied();
    let implied = plan.outcome.implied.iter().filter(|action| action.name == step && when == "post");
    let of_clone = implied.filter(|action| action.resource.as_deref().is_some_and(|name| in_clone(&name)));
    let fencings = of_clone.filter_map(|action| plan.fencing(&action.node));
    let late = taken.chain(fencings).find(|place| match when {
        "pre" => !plan.comes_before(told, *place),
        _ => !plan.comes_before(*place, told),
    })?;
    let side = if when == "pre" { "not before" } else { "not after" };
    Some(broken(Claim::Told, format!("{}, {side} {}", plan.say(told), plan.say(late))))
}

/// Whether somebody is told who is not there any more.
fn is_gone(plan: &Plan<'_>, told: usize, resource: &str, step: &str) -> Option<Broken> {
    let node = &plan.action(told).node;
    let stop = plan.on("stop", resource, node)?;
    let there = match plan.on("start", resource, node) {
        Some(start) if plan.comes_before(start, told) => true,
        Some(_) | None => plan.comes_before(told, stop),
    };
    (!there && step != "stop").then(|| broken(Claim::Told, format!("{} when it is stopped", plan.say(told))))
}
