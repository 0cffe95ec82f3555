//! Putting what was decided of a part in the place of what was decided of it before.

use alloc::{string::String, vec, vec::Vec};

use crate::engine::outcome::{Action, Decision, NodeView, Outcome, Picture};

/// Whether an outcome can be taken apart: it has no points, tells nobody, and does not depend on the time.
pub(super) fn is_plain(outcome: &Outcome) -> bool {
    let tells = |action: &Action| action.name == "notify";
    outcome.points == 0 && outcome.look_again.is_none() && !outcome.actions.iter().any(tells)
}

/// Replaces what is ours in an outcome. False if what is done with nodes differs: then nothing is replaced.
pub(super) fn replace<'p>(
    whole: &mut Outcome,
    part: &Outcome,
    primitives: impl Iterator<Item = &'p String>,
    is_ours: impl Fn(&str) -> bool,
) -> bool {
    if !same_nodes(whole, part) {
        return false;
    }
    for id in primitives {
        forget_views(&mut whole.before, id);
        forget_views(&mut whole.after, id);
    }
    whole.before.resources.extend(part.before.resources.clone());
    whole.after.resources.extend(part.after.resources.clone());
    let of_ours = |resource: &Option<String>| resource.as_ref().is_some_and(|resource| is_ours(resource));
    whole.decisions.retain(|decision| of_node(decision) || !is_ours(&decision.subject));
    let decisions = part.decisions.iter().filter(|decision| !of_node(decision));
    whole.decisions.extend(decisions.cloned());
    whole.decisions.sort();
    whole.implied.retain(|action| !of_ours(&action.resource));
    whole.implied.extend(part.implied.iter().filter(|action| action.resource.is_some()).cloned());
    whole.implied.sort();
    replace_actions(whole, part, |action| of_ours(&action.resource));
    true
}

/// Whether a decision is about a node.
fn of_node(decision: &Decision) -> bool {
    decision.verb.starts_with("Fence/")
}

/// Whether both understand nodes in the same way, and do the same with them.
fn same_nodes(whole: &Outcome, part: &Outcome) -> bool {
    let same_views = |one: &Picture, other: &Picture| {
        let plain = |view: &NodeView| NodeView { active: false, ..*view };
        one.nodes.len() == other.nodes.len()
            && one
                .nodes
                .iter()
                .zip(&other.nodes)
                .all(|(one, other)| one.0 == other.0 && plain(one.1) == plain(other.1))
    };
    let decided = |outcome: &Outcome| -> Vec<Decision> {
        outcome.decisions.iter().filter(|decision| of_node(decision)).cloned().collect()
    };
    same_views(&whole.before, &part.before)
        && same_views(&whole.after, &part.after)
        && decided(whole) == decided(part)
        && node_actions(whole).eq(node_actions(part))
}

fn node_actions(outcome: &Outcome) -> impl Iterator<Item = &Action> {
    outcome.actions.iter().filter(|action| action.resource.is_none())
}

/// Forgets how a primitive was seen. Instances that differ from one another have numbers: all that is between
/// `id:` and `id;`.
fn forget_views(picture: &mut Picture, id: &str) {
    picture.resources.remove(id);
    let range = alloc::format!("{id}:")..alloc::format!("{id};");
    let instances: Vec<String> = picture.resources.range(range).map(|(name, _)| name.clone()).collect();
    for instance in instances {
        picture.resources.remove(&instance);
    }
}

/// Replaces actions, and brings the order to their new places.
fn replace_actions(whole: &mut Outcome, part: &Outcome, is_ours: impl Fn(&Action) -> bool) {
    // What is kept, and what is new; of what is done with nodes, the known is kept.
    let ours: Vec<bool> = whole.actions.iter().map(is_ours).collect();
    let mut sources: Vec<(Action, bool, usize)> = Vec::with_capacity(whole.actions.len());
    for (place, action) in core::mem::take(&mut whole.actions).into_iter().enumerate() {
        if !ours[place] {
            sources.push((action, false, place));
        }
    }
    let new = part.actions.iter().enumerate().filter(|(_, action)| action.resource.is_some());
    sources.extend(new.map(|(place, action)| (action.clone(), true, place)));
    sources.sort();
    let mut places = vec![None; ours.len()];
    let mut new_places = vec![None; part.actions.len()];
    for (place, (_, is_new, from)) in sources.iter().enumerate() {
        let places = if *is_new { &mut new_places } else { &mut places };
        places[*from] = Some(place);
    }
    whole.actions = sources.into_iter().map(|(action, ..)| action).collect();
    // What is done with nodes stands in the same order on both sides.
    let mut known = (0..whole.actions.len()).filter(|place| whole.actions[*place].resource.is_none());
    for (place, action) in part.actions.iter().enumerate() {
        if action.resource.is_none() {
            new_places[place] = known.next();
        }
    }
    let move_to = |places: &[Option<usize>], (first, then): (usize, usize)| {
        Some((places.get(first).copied().flatten()?, places.get(then).copied().flatten()?))
    };
    let kept = whole.order.iter().filter_map(|pair| move_to(&places, *pair));
    let added = part.order.iter().filter_map(|pair| move_to(&new_places, *pair));
    let mut order: Vec<(usize, usize)> = kept.chain(added).collect();
    order.sort_unstable();
    order.dedup();
    whole.order = order;
}
