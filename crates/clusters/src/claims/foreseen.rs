//! Where everything ends up can be read from the plan alone.
//!
//! Claims only of clusters without bundles and guests: a plan does not say what goes with a container; and of
//! resources of which everything has an answer: what is asked of others yet is read as if it came last. And it
//! claims it only where a node is lost and all was well. Where much is wrong already, what is told afterwards may
//! be read otherwise than the plan meant it.

use heart_model::policy::Role;
use heart_scheduler::engine::{Outcome, rehearse};

use super::{Broken, Claim, broken};

pub(super) fn check(outcome: &Outcome, what: &str) -> Option<Broken> {
    if outcome.before.nodes.values().any(|node| node.guest || node.remote) {
        return None;
    }
    let places = rehearse::places(outcome);
    let is_answered = |resource: &str| {
        let before = outcome.before.resources.get(resource).into_iter().flat_map(|view| &view.on);
        before.into_iter().all(|(_, _, asked)| asked.is_none())
    };
    let after = outcome.after.resources.iter().filter(|(resource, _)| is_answered(resource));
    after.into_iter().find_map(|(resource, view)| {
        let mut ahead: Vec<(&str, bool)> =
            view.on.iter().map(|(node, role, _)| (node.as_str(), *role == Role::Promoted)).collect();
        let by_plan = places.get(resource.as_str()).into_iter().flatten();
        let mut by_plan: Vec<(&str, bool)> =
            by_plan.map(|(node, role)| (*node, *role == Role::Promoted)).collect();
        for on in [&mut ahead, &mut by_plan] {
            on.sort_unstable();
            on.dedup();
        }
        let what = || format!("{what}: {resource} by the plan on {by_plan:?}, by looking ahead on {ahead:?}");
        (ahead != by_plan).then(|| broken(Claim::Foreseen, what()))
    })
}
