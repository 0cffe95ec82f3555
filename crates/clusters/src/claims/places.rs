//! Nothing starts where nothing may start, and without a quorum nothing starts that needs one.

use super::{Broken, Claim, Plan, broken};

pub(super) fn check(plan: &Plan<'_>) -> Option<Broken> {
    for (place, action) in plan.outcome.actions.iter().enumerate() {
        let starts = matches!(action.name.as_str(), "start" | "promote" | "migrate_from");
        let Some(resource) = action.resource.as_deref().filter(|_| starts) else { continue };
        if !takes(plan, &action.node) && !stays(plan, resource, &action.node) {
            return Some(broken(Claim::FitNodes, plan.say(place)));
        }
        if action.name != "migrate_from" && lacks_quorum(plan, resource) {
            return Some(broken(Claim::Quorum, plan.say(place)));
        }
    }
    None
}

fn takes(plan: &Plan<'_>, node: &str) -> bool {
    // A guest, or a remote node, may come in the same plan.
    let Some(view) = plan.node(node) else { return true };
    let is_there = view.guest || view.remote || (view.online && !view.unclean && !view.pending);
    is_there && !view.standby && !view.maintenance && !view.shutting_down
}

/// Where nothing could be fenced, everything is left where it is, and mended there.
fn stays(plan: &Plan<'_>, resource: &str, node: &str) -> bool {
    let view = plan.node(node);
    let may =
        view.is_some_and(|view| view.online && view.standby && !view.maintenance && !view.shutting_down);
    may && !plan.known.can_fence(plan.situation) && plan.active(resource).any(|(at, _)| at == node)
}

fn lacks_quorum(plan: &Plan<'_>, resource: &str) -> bool {
    let stops = match plan.known.option("no-quorum-policy") {
        Some("ignore" | "freeze" | "demote") => false,
        Some(_) | None => true,
    };
    let said = plan.known.primitive(resource).and_then(|found| found.meta("requires"));
    !plan.situation.state.quorum && stops && said != Some("nothing")
}
