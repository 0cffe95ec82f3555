//! What needs another starts behind it, and only if it is there; and stops before it.
//!
//! Needs are those of groups, each member of the one before, and those that orders say between primitives.
//! Where people want two things each before the other, or make a stop wait for something, nothing is claimed.

use std::collections::BTreeSet;

use heart_model::policy::{Body, Constraint, Order, OrderKind, Verb};

use super::{Broken, Claim, Plan, broken, tangle};

pub(super) fn check(plan: &Plan<'_>) -> Option<Broken> {
    let needs = needs(plan);
    let rings = rings(plan);
    let single = |name: &str| plan.known.primitives.get(name).is_some_and(|found| !found.is_cloned());
    let clear = needs.iter().filter(|need| single(need.first) && single(need.then));
    // Nodes that are let in by fence devices bring orders of their own.
    let lets_in = plan.known.primitives.values().any(|found| found.meta("provides") == Some("unfencing"));
    let is_device =
        |name: &str| plan.known.primitive(name).is_some_and(|found| found.agent.class == "stonith");
    let clear = clear.filter(|need| !(lets_in && (is_device(need.first) || is_device(need.then))));
    let clear = clear.filter(|need| !rings.contains(&(need.first, need.then)));
    clear.into_iter().find_map(|need| starts_behind(plan, need).or_else(|| stops_before(plan, need)))
}

/// One primitive that needs another.
struct Need<'p> {
    first: &'p str,
    then: &'p str,
    symmetrical: bool,
}

fn needs<'p>(plan: &Plan<'p>) -> Vec<Need<'p>> {
    let cluster = &plan.situation.cluster;
    let orders = cluster.constraints.iter().filter_map(|constraint| match constraint {
        Constraint::Order(order) => plain(order),
        _ => None,
    });
    let mut needs: Vec<Need<'p>> = orders.collect();
    for resource in &cluster.resources {
        if let Body::Group(members) = &resource.body {
            let pairs = members.windows(2);
            needs.extend(pairs.map(|pair| Need { first: &pair[0].id, then: &pair[1].id, symmetrical: true }));
        }
    }
    needs
}

fn plain(order: &Order) -> Option<Need<'_>> {
    let starts = order.first_action == Verb::Start && order.then_action == Verb::Start;
    let is_need = order.kind == OrderKind::Mandatory && starts && order.first != order.then;
    let symmetrical = order.symmetrical != Some(false);
    is_need.then_some(Need { first: &order.first, then: &order.then, symmetrical })
}

/// Pairs that wait for one another by what was written, by whatever way.
fn rings<'p>(plan: &Plan<'p>) -> BTreeSet<(&'p str, &'p str)> {
    let orders = tangle::orders(&plan.known);
    let needs = needs(plan);
    let pairs = needs.iter().map(|need| (need.first, need.then));
    let tops = |(first, then)| (tangle::top(&plan.known, first), tangle::top(&plan.known, then));
    pairs
        .filter(|pair| {
            let (first, then) = tops(*pair);
            orders.leads(then, first) || orders.leads_into_ring(first)
        })
        .collect()
}

fn starts_behind(plan: &Plan<'_>, need: &Need<'_>) -> Option<Broken> {
    let start = *plan.all("start", need.then).first()?;
    let to = plan.action(start).node.as_str();
    if plan.active(need.then).any(|(node, _)| node == to) && plan.all("stop", need.then).is_empty() {
        // It was told to start already, and is told once more.
        return None;
    }
    let arrives = ["start", "migrate_from"].iter().flat_map(|verb| plan.all(verb, need.first)).next();
    if let Some(first) = arrives {
        if !plan.comes_before(*first, start) {
            let what = format!("{} does not wait for {}", plan.say(start), plan.say(*first));
            return Some(broken(Claim::Needs, what));
        }
        return None;
    }
    let mut stays = plan
        .active(need.first)
        .filter(|(node, _)| plan.on("stop", need.first, node).is_none() && plan.fencing(node).is_none());
    if stays.next().is_none() {
        let what = format!("{} without {}", plan.say(start), need.first);
        return Some(broken(Claim::Needs, what));
    }
    None
}

fn stops_before(plan: &Plan<'_>, need: &Need<'_>) -> Option<Broken> {
    if !need.symmetrical || cannot_stop(plan, need.then) {
        return None;
    }
    let stop = *plan.all("stop", need.first).iter().find(|stop| {
        // What is only left over from a migration is stopped whenever it is ready.
        plan.all("migrate_from", need.first).is_empty()
            && !is_left_over(plan, need.first, &plan.action(**stop).node)
    })?;
    for (node, _) in plan.active(need.then).filter(|(node, _)| plan.fencing(node).is_none()) {
        let reachable = plan.node(node).is_some_and(|view| view.online && !view.unclean && !view.pending);
        let ends = plan.on("stop", need.then, node);
        if reachable && !ends.is_some_and(|ends| plan.comes_before(ends, stop)) {
            let what = format!("{} while {} is on {node}", plan.say(stop), need.then);
            return Some(broken(Claim::Needs, what));
        }
    }
    None
}

/// Whether it stays for a reason of its own: it, or what is in the same group, is not managed; what needs it
/// cannot be stopped; it is on its way to another node; or one of several places where it is active is where
/// it is expected.
fn cannot_stop(plan: &Plan<'_>, name: &str) -> bool {
    let Some(found) = plan.known.primitives.get(name) else { return true };
    let group = found.around.iter().find_map(|around| match &around.body {
        Body::Group(members) => Some(members.as_slice()),
        Body::Primitive(_) | Body::Clone(_) | Body::Bundle(_) => None,
    });
    let members = group.unwrap_or(std::slice::from_ref(found.source));
    let left_alone = members.iter().any(|member| plan.flags(&member.id).contains(['M', 'X', 'B']));
    let waits = plan.outcome.decisions.iter().any(|decision| {
        decision.verb == "Stop" && decision.subject == name && decision.detail.contains("[blocked]")
    });
    let histories = plan.situation.state.nodes.iter().flat_map(|node| &node.history);
    let mut operations = histories.filter(|history| history.resource == name).flat_map(|of| &of.operations);
    let half_way = operations.any(|operation| operation.name.starts_with("migrate"));
    left_alone || waits || half_way || found.meta("multiple-active") == Some("stop_unexpected")
}

/// Whether something is stopped where it is not, or in one of several places.
fn is_left_over(plan: &Plan<'_>, resource: &str, node: &str) -> bool {
    let active: Vec<&str> = plan.active(resource).map(|(node, _)| node).collect();
    active.len() > 1 || !active.contains(&node)
}
