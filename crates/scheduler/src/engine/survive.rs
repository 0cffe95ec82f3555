//! What a cluster survives: nodes are lost, one or two at a time, and the engine says what becomes of
//! everything that would run otherwise.
//!
//! Each loss is decided by itself, so that losses can be looked at in parallel.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use heart_model::policy::{Cluster, NodeKind, Role, State};

use super::{
    Outcome,
    explain::{self, Explanation},
    inject,
    outcome::ResourceView,
};

/// Most resources of one loss that it is explained of why they stay down.
pub const EXPLAINED_MAX: usize = 3;

/// What becomes of a cluster when nodes are lost all at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    /// The nodes.
    pub nodes: Vec<String>,
    /// Whether the others are enough to go on.
    pub quorum: bool,
    /// What runs elsewhere then: resource, the node that it had to leave if one is known, where it goes.
    pub moved: Vec<(String, Option<String>, String)>,
    /// What runs nowhere then, and would run otherwise.
    pub down: Vec<String>,
    /// What nobody is promoted of then, and would be otherwise.
    pub unpromoted: Vec<String>,
    /// What runs on fewer nodes then, and has nowhere else to go.
    pub fewer: Vec<String>,
    /// Why the first of those that are down are.
    pub because: Vec<Explanation>,
}

impl Loss {
    /// Whether everything that is served goes on being served.
    #[must_use]
    pub fn is_survived(&self) -> bool {
        self.down.is_empty() && self.unpromoted.is_empty()
    }
}

/// All single losses of the nodes that can be lost, then all of two at a time if `pairs` are wanted.
#[must_use]
pub fn losses(before: &Outcome, pairs: bool) -> Vec<Vec<String>> {
    let there = before.before.nodes.iter().filter(|(_, node)| node.online && !node.guest && !node.remote);
    let names: Vec<&String> = there.map(|(name, _)| name).collect();
    let mut all: Vec<Vec<String>> = names.iter().map(|name| Vec::from([(*name).clone()])).collect();
    if pairs {
        for (place, one) in names.iter().enumerate() {
            all.extend(names[place + 1..].iter().map(|other| Vec::from([(*one).clone(), (*other).clone()])));
        }
    }
    all
}

/// How many of the nodes that are configured have to be left to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enough {
    /// More than half.
    #[default]
    Majority,
    /// Half, as where one of two nodes may go on.
    Half,
}

/// What becomes of a cluster when these nodes are lost; `before` is what was decided without that.
#[must_use]
pub fn lose(cluster: &Cluster, state: &State, before: &Outcome, nodes: &[String], enough: Enough) -> Loss {
    let mut state = state.clone();
    for node in nodes {
        inject::fail(cluster, &mut state, node);
    }
    let members = cluster.nodes.iter().filter(|node| node.kind == NodeKind::Member);
    let is_left = |name: &String| {
        !nodes.contains(name) && before.before.nodes.get(name).is_some_and(|node| node.online)
    };
    let left = members.clone().filter(|node| is_left(&node.name)).count();
    let quorum = match enough {
        Enough::Majority => 2 * left > members.count(),
        Enough::Half => left > 0 && 2 * left >= members.count(),
    };
    state.quorum &= quorum;
    let after = super::decide(cluster, &state);
    let mut loss = Loss { nodes: nodes.to_vec(), quorum, ..Loss::default() };
    for (resource, then) in &before.after.resources {
        let mut now = after.after.resources.get(resource).cloned().unwrap_or_default();
        // What may still run on a node that nobody could fence serves nobody.
        now.on.retain(|(node, ..)| !nodes.contains(node));
        compare(&mut loss, resource, then, &now);
    }
    for resource in loss.down.iter().take(EXPLAINED_MAX) {
        loss.because.extend(explain::why(cluster, &state, resource, None).ok());
    }
    loss
}

/// Notes what is different of a resource.
fn compare(loss: &mut Loss, resource: &str, then: &ResourceView, now: &ResourceView) {
    let nodes =
        |view: &ResourceView| -> BTreeSet<String> { view.on.iter().map(|(node, ..)| node.clone()).collect() };
    let is_promoted = |view: &ResourceView| view.on.iter().any(|(_, role, _)| *role == Role::Promoted);
    let (was, is) = (nodes(then), nodes(now));
    if was.is_empty() {
        return;
    }
    if is.is_empty() {
        loss.down.push(resource.into());
        return;
    }
    if is_promoted(then) && !is_promoted(now) {
        loss.unpromoted.push(resource.into());
    }
    let mut left = was.difference(&is);
    let new: Vec<&String> = is.difference(&was).collect();
    for node in &new {
        loss.moved.push((resource.into(), left.next().cloned(), (*node).clone()));
    }
    if now.on.len() < then.on.len() {
        loss.fewer.push(resource.into());
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use super::{Enough, lose, losses};
    use crate::engine::{assignment::tests::notation::cluster, decide};

    /// What each loss does, a line each.
    fn told(text: &str, pairs: bool) -> Vec<String> {
        let (cluster, state) = cluster(text);
        let before = decide(&cluster, &state);
        let say = |nodes: &Vec<String>| {
            let loss = lose(&cluster, &state, &before, nodes, Enough::Majority);
            let moved: Vec<String> =
                loss.moved.iter().map(|(resource, _, to)| format!("{resource} to {to}")).collect();
            let mut words = nodes.join("+") + ":";
            for (what, names) in [
                ("", &moved),
                ("down ", &loss.down),
                ("unpromoted ", &loss.unpromoted),
                ("fewer ", &loss.fewer),
            ] {
                if !names.is_empty() {
                    words += &format!(" {what}{}", names.join(", "));
                }
            }
            if !loss.quorum {
                words += " no quorum";
            }
            words.clone()
        };
        losses(&before, pairs).iter().map(say).collect()
    }

    #[test]
    fn what_can_run_elsewhere_survives_one_loss() {
        assert_eq!(
            told("nodes n1 n2 n3\n a @n1\n b @n2\n b at n3 -INFINITY\n b at n1 -INFINITY", true),
            [
                "n1: a to n2",
                "n2: down b",
                "n3:",
                "n1+n2: down a, b no quorum",
                "n1+n3: down a, b no quorum",
                "n2+n3: down a, b no quorum",
            ]
        );
    }

    #[test]
    fn a_node_that_is_too_small_for_two_takes_one() {
        let text = "nodes n1:cpu=1 n2:cpu=1 n3:cpu=1\n set placement-strategy=utilization\n \
                    a @n1 cpu:1\n b @n2 cpu:1\n c @n3 cpu:1";
        assert_eq!(told(text, false), ["n1: down a", "n2: down b", "n3: down c"]);
    }

    #[test]
    fn a_clone_goes_on_with_fewer() {
        let text = "nodes n1 n2 n3\n k *(w @n1 @n2 @n3)";
        assert_eq!(told(text, false), ["n1: fewer w", "n2: fewer w", "n3: fewer w"]);
    }
}
