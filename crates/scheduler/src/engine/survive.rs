//! What a cluster survives: nodes are lost, one or two at a time, and the engine says what becomes of
//! everything that would run otherwise.
//!
//! Each loss is decided by itself, so that losses can be looked at in parallel. What was looked for and not found,
//! nearly all of what is known, is the same in each, and noted once (`absences`). Of each only the plan is made:
//! where everything would be is read from that ([`rehearse::places`]), unless there are guests or bundles, of
//! which a plan does not say what goes with what, or unless so much is wrong already that plan and look ahead do
//! not agree even without a loss.
//!
//! To find out why something stays down takes many decisions more. So it is asked only of what is new in a loss
//! ([`Survey::questions`]), and apart from the rest.

use alloc::{
    borrow::ToOwned as _,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use heart_model::policy::{Body, Cluster, JoinState, NodeKind, NodeState, Resource, Role, State};

use super::{
    Outcome,
    absences::Absences,
    explain::{self, Explanation, How},
    inject,
    rehearse::{self, Places},
};
use crate::survival::singly_and_in_pairs;

/// Most resources of one loss that it is asked of why they stay down.
pub const EXPLAINED_MAX: usize = 3;
/// Most causes that are found of each.
pub const CAUSES_MAX: usize = 3;
/// Most questions in all.
pub const QUESTIONS_MAX: usize = 64;

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
    /// Why some of those that are down are; empty until that is asked.
    pub because: Vec<Explanation>,
}

impl Loss {
    /// Whether everything that is served goes on being served.
    #[must_use]
    pub fn is_survived(&self) -> bool {
        self.down.is_empty() && self.unpromoted.is_empty()
    }
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

/// A cluster of which it is asked what it survives.
#[derive(Clone, Debug)]
pub struct Survey<'c> {
    cluster: &'c Cluster,
    /// What is known; while a loss is looked at, with that loss.
    state: State,
    /// Which histories need not be read for each loss: a loss changes none.
    absences: Absences,
    enough: Enough,
    before: Outcome,
    /// Whether a plan says where everything ends up.
    is_plain: bool,
}

/// Why something stays down, which has not been asked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Of which of the losses.
    pub loss: usize,
    /// Of which primitive.
    pub resource: String,
}

impl<'c> Survey<'c> {
    /// Decides what would be without any loss.
    #[must_use]
    pub fn new(cluster: &'c Cluster, state: &State, enough: Enough) -> Survey<'c> {
        let absences = Absences::of(state);
        let before = super::decide_noted(cluster, state, &absences);
        let has_bundles = cluster.resources.iter().any(|resource| matches!(resource.body, Body::Bundle(_)));
        let has_guests = before.before.nodes.values().any(|node| node.guest || node.remote);
        let is_plain = !has_bundles && !has_guests && agree(&ahead(&before), &rehearse::places(&before));
        Survey { cluster, state: state.clone(), absences, enough, before, is_plain }
    }

    /// All single losses of the nodes that can be lost, then all of two at a time if `pairs` are wanted.
    #[must_use]
    pub fn losses(&self, pairs: bool) -> Vec<Vec<String>> {
        let nodes = self.before.before.nodes.iter();
        let there = nodes.filter(|(_, node)| node.online && !node.guest && !node.remote);
        let names: Vec<&String> = there.map(|(name, _)| name).collect();
        singly_and_in_pairs(&names, pairs)
    }

    /// What becomes of the cluster when these nodes are lost.
    #[must_use]
    pub fn lose(&mut self, nodes: &[String]) -> Loss {
        let quorum = self.has_quorum_without(nodes);
        let mut loss = Loss { nodes: nodes.to_vec(), quorum, ..Loss::default() };
        let (cluster, is_plain) = (self.cluster, self.is_plain);
        let after = self.without(nodes, |state, absences| match is_plain {
            true => super::plan_noted(cluster, state, absences),
            false => super::decide_noted(cluster, state, absences),
        });
        let now = self.standing(&after);
        for (resource, then) in self.standing(&self.before) {
            let mut now = now.get(resource).cloned().unwrap_or_default();
            // What may still run on a node that nobody could fence serves nobody.
            now.retain(|(node, _)| !nodes.iter().any(|lost| lost == node));
            compare(&mut loss, resource, &then, &now);
        }
        loss
    }

    /// What is to be asked of these losses: why something stays down that a smaller one does not take down
    /// already, and that no other of its size was asked about. Of a group, a clone, or what else belongs
    /// together, one is enough. Without a majority that is the reason. At most [`QUESTIONS_MAX`].
    #[must_use]
    pub fn questions(&self, losses: &[Loss]) -> Vec<Question> {
        let whole = wholes(self.cluster);
        let whole_of = |resource: &str| whole.get(resource).copied().unwrap_or_default().to_owned();
        let single = losses.iter().filter(|loss| loss.nodes.len() == 1);
        let single: BTreeSet<(&str, &str)> = single
            .flat_map(|loss| loss.down.iter().map(|resource| (loss.nodes[0].as_str(), resource.as_str())))
            .collect();
        let mut asked = BTreeSet::new();
        let mut questions = Vec::new();
        for (number, loss) in losses.iter().enumerate().filter(|(_, loss)| loss.quorum) {
            let is_new = |resource: &&String| {
                let by_one = |node: &String| single.contains(&(node.as_str(), resource.as_str()));
                loss.nodes.len() == 1 || !loss.nodes.iter().any(by_one)
            };
            let first = |resource: &&String| asked.insert((loss.nodes.len(), whole_of(resource)));
            let these = loss.down.iter().filter(is_new).filter(first).take(EXPLAINED_MAX);
            questions.extend(these.map(|resource| Question { loss: number, resource: resource.clone() }));
        }
        questions.truncate(QUESTIONS_MAX);
        questions
    }

    /// Why something stays down when these nodes are lost.
    #[must_use]
    pub fn why(&mut self, nodes: &[String], resource: &str) -> Option<Explanation> {
        let cluster = self.cluster;
        let how = if self.is_plain { How::ByPlan } else { How::Ahead };
        let why = |state: &mut State, absences: &Absences| {
            explain::some(cluster, state, absences, (resource, how), nodes, CAUSES_MAX)
        };
        self.without(nodes, why).ok()
    }

    /// Asks something of the state without these nodes.
    fn without<T>(&mut self, nodes: &[String], ask: impl FnOnce(&mut State, &Absences) -> T) -> T {
        let quorum = self.state.quorum;
        let known: Vec<_> = self.state.nodes.iter().map(Presence::of).collect();
        for node in nodes {
            inject::fail(self.cluster, &mut self.state, node);
        }
        self.state.quorum &= self.has_quorum_without(nodes);
        let answer = ask(&mut self.state, &self.absences);
        self.state.quorum = quorum;
        self.state.nodes.truncate(known.len());
        self.state.nodes.iter_mut().zip(known).for_each(|(node, known)| known.give_back(node));
        answer
    }

    fn has_quorum_without(&self, nodes: &[String]) -> bool {
        let members = self.cluster.nodes.iter().filter(|node| node.kind == NodeKind::Member);
        let is_left = |name: &String| {
            !nodes.contains(name) && self.before.before.nodes.get(name).is_some_and(|node| node.online)
        };
        let left = members.clone().filter(|node| is_left(&node.name)).count();
        match self.enough {
            Enough::Majority => 2 * left > members.count(),
            Enough::Half => left > 0 && 2 * left >= members.count(),
        }
    }

    /// Where everything is in the end.
    fn standing<'o>(&self, outcome: &'o Outcome) -> Places<'o> {
        if self.is_plain { rehearse::places(outcome) } else { ahead(outcome) }
    }
}

/// Where everything is, by looking ahead.
fn ahead(outcome: &Outcome) -> Places<'_> {
    let mut ahead = Places::new();
    for (name, view) in &outcome.after.resources {
        ahead.insert(name, view.on.iter().map(|(node, role, _)| (node.as_str(), *role)).collect());
    }
    ahead
}

/// Whether a plan says of everything what looking ahead says. Where much is wrong already, what is told
/// afterwards may be read otherwise.
fn agree(ahead: &Places<'_>, by_plan: &Places<'_>) -> bool {
    fn serving<'p>(on: &[(&'p str, Role)]) -> BTreeSet<(&'p str, bool)> {
        on.iter().map(|(node, role)| (*node, *role == Role::Promoted)).collect()
    }
    ahead.iter().all(|(resource, on)| by_plan.get(resource).is_some_and(|plan| serving(on) == serving(plan)))
}

/// Whether a node is there, as [`inject::fail`] changes it.
struct Presence {
    member: Option<i64>,
    process: Option<i64>,
    join: Option<JoinState>,
    expected_up: Option<bool>,
}

impl Presence {
    fn of(node: &NodeState) -> Presence {
        let NodeState { member, process, join, expected_up, .. } = *node;
        Presence { member, process, join, expected_up }
    }

    fn give_back(self, node: &mut NodeState) {
        let Presence { member, process, join, expected_up } = self;
        (node.member, node.process, node.join, node.expected_up) = (member, process, join, expected_up);
    }
}

/// The outermost resource of each primitive.
fn wholes(cluster: &Cluster) -> BTreeMap<&str, &str> {
    let mut wholes = BTreeMap::new();
    for whole in &cluster.resources {
        let mut open: Vec<&Resource> = Vec::from([whole]);
        while let Some(resource) = open.pop() {
            wholes.insert(resource.id.as_str(), whole.id.as_str());
            open.extend(resource.parts());
        }
    }
    wholes
}

/// Notes what is different of a resource.
fn compare(loss: &mut Loss, resource: &str, then: &[(&str, Role)], now: &[(&str, Role)]) {
    fn nodes<'n>(on: &[(&'n str, Role)]) -> BTreeSet<&'n str> {
        on.iter().map(|(node, _)| *node).collect()
    }
    let is_promoted = |on: &[(&str, Role)]| on.iter().any(|(_, role)| *role == Role::Promoted);
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
    for node in is.difference(&was) {
        loss.moved.push((resource.into(), left.next().map(|left| (*left).into()), (*node).into()));
    }
    if now.len() < then.len() {
        loss.fewer.push(resource.into());
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use super::{CAUSES_MAX, Enough, Loss, Survey};
    use crate::engine::{assignment::tests::notation::cluster, explain::Cause};

    /// What each loss does, a line each.
    fn told(text: &str, pairs: bool) -> Vec<String> {
        let (cluster, state) = cluster(text);
        let mut survey = Survey::new(&cluster, &state, Enough::Majority);
        let losses = survey.losses(pairs);
        let mut say = |nodes: &Vec<String>| {
            let loss = survey.lose(nodes);
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
            words
        };
        losses.iter().map(&mut say).collect()
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

    #[test]
    fn what_is_new_in_a_loss_is_asked_about_once_and_explained_beside_the_loss() {
        let text = "nodes n1 n2 n3 n4 n5\n g (a @n1, b @n1)\n g at n2 -INFINITY\n g at n3 -INFINITY\n \
                    g at n4 -INFINITY\n g at n5 -INFINITY\n c @n2\n c at n1 -INFINITY\n c at n3 -INFINITY\n \
                    c at n4 -INFINITY";
        let (cluster, state) = cluster(text);
        let mut survey = Survey::new(&cluster, &state, Enough::Majority);
        let wanted = survey.losses(true);
        let losses: Vec<Loss> = wanted.iter().map(|nodes| survey.lose(nodes)).collect();
        let asked: Vec<String> = survey
            .questions(&losses)
            .iter()
            .map(|question| format!("{}: {}", wanted[question.loss].join("+"), question.resource))
            .collect();
        // A group once, and no pair with n1: what is down there is down without n1 alone.
        assert_eq!(asked, ["n1: a", "n2+n5: c"]);
        let why = survey.why(&wanted[0], "a").expect("it is known");
        assert_eq!(why.because.len(), CAUSES_MAX);
        assert!(why.cut && !why.together);
        let names_the_loss = |cause: &Cause| matches!(cause, Cause::Node { node, .. } if node == "n1");
        assert!(!why.because.iter().any(|because| names_the_loss(&because.cause)));
    }

    #[test]
    fn after_a_loss_everything_is_known_as_before() {
        let (cluster, state) = cluster("nodes n1 n2 n3\n a @n1\n b @n2");
        let mut survey = Survey::new(&cluster, &state, Enough::Majority);
        let first = survey.lose(&["n1".into()]);
        let _ = survey.lose(&["n1".into(), "n2".into()]);
        assert_eq!(survey.state, state);
        assert_eq!(survey.lose(&["n1".into()]), first);
    }
}
