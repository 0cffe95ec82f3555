//! What is in no clone is never active twice because of a plan: wherever it may run, it is stopped, or its
//! node is switched off, before it is started somewhere.

use super::{Broken, Claim, Plan, broken};
use crate::known::Primitive;

pub(super) fn check(plan: &Plan<'_>) -> Option<Broken> {
    let single = plan.known.primitives.iter().filter(|(_, primitive)| !primitive.is_cloned());
    single.into_iter().find_map(|(name, primitive)| of_primitive(plan, name, primitive))
}

fn of_primitive(plan: &Plan<'_>, name: &str, primitive: &Primitive<'_>) -> Option<Broken> {
    let starts: Vec<usize> =
        ["start", "migrate_from"].iter().flat_map(|verb| plan.all(verb, name).iter().copied()).collect();
    let [start] = starts.as_slice() else {
        let [one, other, ..] = starts.as_slice() else { return None };
        return Some(broken(Claim::Once, format!("{} and {}", plan.say(*one), plan.say(*other))));
    };
    let to = plan.action(*start).node.as_str();
    let migrates = plan.action(*start).name == "migrate_from";
    for (node, _) in plan.active(name).filter(|(node, _)| *node != to) {
        if !may_matter(plan, primitive, node) {
            continue;
        }
        let leaves = plan.on("stop", name, node);
        let is_first = |place: usize| plan.comes_before(place, *start);
        let sent = plan.on("migrate_to", name, node);
        let safe = leaves.is_some_and(is_first)
            || plan.fencing(node).is_some_and(is_first)
            || (migrates && (sent.is_some_and(is_first) || leaves.is_some()));
        if !safe {
            return Some(broken(Claim::Once, format!("{} while it is on {node}", plan.say(*start))));
        }
    }
    // What is known to run somewhere is not where nobody knows.
    let was_there = plan.active(name).next().is_some();
    if requires_fencing(plan, primitive) && !migrates && !was_there {
        // Nobody knows what runs on a node that has to be fenced.
        let unclean = plan.outcome.before.nodes.iter().filter(|(_, node)| node.unclean && !node.guest);
        for (node, view) in unclean.filter(|(node, _)| node.as_str() != to) {
            let is_first = plan.fencing(node).is_some_and(|fencing| plan.comes_before(fencing, *start));
            if !is_first && !view.remote {
                return Some(broken(Claim::Once, format!("{} while {node} is unclean", plan.say(*start))));
            }
        }
    }
    None
}

/// Whether it counts where it runs: what needs no fencing is not waited for where it cannot be stopped.
fn may_matter(plan: &Plan<'_>, primitive: &Primitive<'_>, node: &str) -> bool {
    let reachable = plan.node(node).is_some_and(|view| view.online && !view.unclean);
    (reachable && plan.fencing(node).is_none()) || requires_fencing(plan, primitive)
}

fn requires_fencing(plan: &Plan<'_>, primitive: &Primitive<'_>) -> bool {
    let plain = primitive.agent.class == "stonith" || primitive.agent.agent_type == "remote";
    let said = primitive.meta("requires");
    plan.known.has_fencing() && !plain && !matches!(said, Some("nothing" | "quorum"))
}
