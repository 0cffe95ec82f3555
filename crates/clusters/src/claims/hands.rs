//! What is not managed is neither started nor stopped, and neither is anything on a node in maintenance.

use super::{Broken, Claim, Plan, broken};

const TOUCHES: [&str; 7] =
    ["start", "stop", "promote", "demote", "migrate_to", "migrate_from", "reload-agent"];

pub(super) fn check(plan: &Plan<'_>) -> Option<Broken> {
    let everything = plan.known.option("maintenance-mode") == Some("true");
    for (place, action) in plan.outcome.actions.iter().enumerate() {
        let Some(resource) = action.resource.as_deref() else { continue };
        if !TOUCHES.contains(&action.name.as_str()) {
            continue;
        }
        let left_alone = plan.known.primitive(resource).is_some_and(|found| found.is_left_alone());
        let in_maintenance = plan.node(&action.node).is_some_and(|node| node.maintenance);
        let single = plan.known.primitives.get(resource).is_some_and(|found| !found.is_cloned());
        let flagged = single && plan.flags(resource).contains(['M', 'X', 'B']);
        let rests = everything
            && plan.known.primitive(resource).is_some_and(|found| found.meta("maintenance").is_none());
        if left_alone || in_maintenance || flagged || rests {
            return Some(broken(Claim::HandsOff, plan.say(place)));
        }
    }
    None
}
