//! Planning again after something has changed, without deciding everything anew.
//!
//! A [`Planner`] keeps what it was told and what it decided. Most of what happens in a cluster happens to one
//! resource, and most resources have nothing to do with one another. So when it learns something of a
//! resource, only the *part* of the cluster that constraints join with it is decided again, and put in
//! the place of what was decided of it before.
//!
//! Parts share the nodes. What a part needs of the others is given to it: whether there is a fence device, and
//! how much every node had been given before each of its turns. If what has changed reaches the others, which
//! is when a node stands otherwise now, or when others look at how much nodes have been given and that is
//! no longer the same, everything is decided anew. So it is where a part cannot be told from the rest: with
//! remote nodes and bundles, where needs count, while a node leaves, or with tickets.
//!
//! A part may *rest* on clones that are everywhere, with much else. While such an anchor is at rest, and hears
//! of what has changed the same as before, it stays as it is; then only what has changed is decided again.
//!
//! Invariant: what a planner has decided is what [`decide`](super::decide) decides.

mod parts;
mod splice;

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

use heart_model::policy::{AttributeSet, Cluster, NodeState, ResourceHistory, State};

use super::{
    Outcome, decide_part, said,
    trace::{Given, NOTHING, Said, Trace, Turn},
};
use parts::{Part, Parts, Top};

/// Something that was learnt of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// What was done there with a resource; it takes the place of what was known of it.
    History(ResourceHistory),
    /// What the node says of itself until it leaves; None if it says nothing any more.
    Attribute(String, Option<String>),
}

/// Plans, and plans again when something changes.
#[derive(Clone, Debug)]
pub struct Planner {
    cluster: Cluster,
    state: State,
    outcome: Outcome,
    trace: Trace,
    parts: Parts,
    /// The cluster without resources and constraints.
    frame: Cluster,
    /// On how many parts' account each node counts as active, before and after.
    active: [BTreeMap<String, u32>; 2],
    runs: Runs,
}

/// How often how much was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Everything.
    pub whole: u64,
    /// A part that nothing joins with the rest.
    pub parts: u64,
    /// Less than that: a part that rests on what stays as it is.
    pub fine_parts: u64,
}

impl Planner {
    /// Plans a cluster.
    #[must_use]
    pub fn new(cluster: Cluster, state: State) -> Planner {
        let frame = Cluster { resources: Vec::new(), constraints: Vec::new(), ..cluster.clone() };
        let mut planner = Planner {
            cluster,
            state,
            outcome: Outcome::default(),
            trace: Trace::default(),
            parts: Parts::default(),
            frame,
            active: [BTreeMap::new(), BTreeMap::new()],
            runs: Runs::default(),
        };
        planner.plan_all();
        planner
    }

    /// What is wanted.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What is known.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What was decided.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// How often how much was decided.
    #[must_use]
    pub fn runs(&self) -> Runs {
        self.runs
    }

    /// Changes anything, and decides everything anew.
    pub fn change(&mut self, change: impl FnOnce(&mut Cluster, &mut State)) -> &Outcome {
        change(&mut self.cluster, &mut self.state);
        self.frame = Cluster { resources: Vec::new(), constraints: Vec::new(), ..self.cluster.clone() };
        self.plan_all();
        &self.outcome
    }

    /// Takes in what was learnt of a node, by its place in the state, at a time (seconds since 1970).
    pub fn learn(&mut self, now: Option<i64>, node: usize, news: News) -> &Outcome {
        let top = match &news {
            News::History(history) => self.parts.named(&history.resource),
            News::Attribute(name, _) => self.parts.spoken_of(name),
        };
        let same_time = now == self.state.now || !self.parts.time_matters;
        let top = top.filter(|_| same_time && self.can_be_taken_apart());
        // Read before it is known: what rests on an anchor may change, but not what it says of nodes.
        let said = top.and_then(|top| self.said_to_anchors(top));
        self.state.now = now;
        if let Some(known) = self.state.nodes.get_mut(node) {
            match news {
                News::History(history) => {
                    let named = self.parts.named(&history.resource);
                    if let (Some(place), Some(top)) = (note_history(known, history), named) {
                        self.parts.add_history(top, node, place);
                    }
                }
                News::Attribute(name, value) => note_attribute(known, &name, value),
            }
        }
        match top {
            Some(top) if said.is_some() && said == self.said_to_anchors(top) && self.plan_part(top, true) => {
                self.runs.fine_parts += 1;
            }
            Some(top) if self.parts.count() > 1 && self.plan_part(top, false) => self.runs.parts += 1,
            Some(_) | None => self.plan_all(),
        }
        &self.outcome
    }

    fn plan_all(&mut self) {
        self.runs.whole += 1;
        (self.outcome, self.trace) = decide_part(&self.cluster, &self.state, &NOTHING);
        self.parts = Parts::of(&self.cluster, &self.state);
        self.active = [&self.trace.active_before, &self.trace.active_after].map(|active| {
            let mut counts = BTreeMap::new();
            active.iter().for_each(|(_, node)| *counts.entry(node.clone()).or_default() += 1);
            counts
        });
    }

    /// Whether what was decided can be taken apart.
    fn can_be_taken_apart(&self) -> bool {
        let trace = &self.trace;
        trace.separable && !trace.nodes_changed && !self.parts.inseparable && splice::is_plain(&self.outcome)
    }

    /// What anchors hear of what rests on them; None if it does not rest on any, or if they are not at rest.
    fn said_to_anchors(&self, top: Top) -> Option<Vec<Said>> {
        let part = self.parts.fine_part_of(top)?;
        let id = |top: &Top| &self.cluster.resources[*top as usize].id;
        let turn = |top: &Top| self.trace.turns.iter().position(|turn| turn.top == *id(top));
        let first = part.tops.iter().filter_map(turn).min()?;
        let at_rest = |anchor: &Top| {
            !self.trace.restless.contains(id(anchor)) && turn(anchor).is_some_and(|turn| turn < first)
        };
        if !part.anchors.iter().all(at_rest) {
            return None;
        }
        let (cluster, state) = self.parts.cut_out(part, false, &self.frame, (&self.cluster, &self.state));
        Some(said(&cluster, &state, &self.given_to(part, false)?))
    }

    /// Decides a part again; false if that is not enough.
    fn plan_part(&mut self, top: Top, fine: bool) -> bool {
        let part = if fine { self.parts.fine_part_of(top) } else { Some(self.parts.part_of(top)) };
        let Some(part) = part.cloned() else { return false };
        let (cluster, state) = self.parts.cut_out(&part, fine, &self.frame, (&self.cluster, &self.state));
        let Some(given) = self.given_to(&part, fine) else { return false };
        let (outcome, mut trace) = decide_part(&cluster, &state, &given);
        let is_anchor = |name: &str| self.parts.named(name).is_some_and(|top| part.anchors.contains(&top));
        if trace.nodes_changed
            || !trace.separable
            || !splice::is_plain(&outcome)
            || (fine && trace.restless.iter().any(|top| is_anchor(top)))
        {
            return false;
        }
        trace.turns.retain(|turn| !is_anchor(&turn.top));
        if !self.take_turns(&part, &trace.turns) {
            return false;
        }
        let parts = &self.parts;
        let is_ours = |name: &str| parts.named(name).is_some_and(|top| part.tops.contains(&top));
        if !splice::replace(&mut self.outcome, &outcome, parts.primitives(&part), is_ours) {
            // Its turns are no longer what was decided of it.
            return false;
        }
        self.take_over(&part, &trace);
        true
    }

    /// What other parts have to do with this one.
    fn given_to(&self, part: &Part, with_anchors: bool) -> Option<Given> {
        let anchors = if with_anchors { part.anchors.as_slice() } else { &[] };
        let top = |name: &String| self.parts.named(name);
        let mut load = vec![0_i64; self.cluster.nodes.len()];
        let mut loads = Vec::new();
        for turn in &self.trace.turns {
            let whose = top(&turn.top);
            let is_ours = whose.is_some_and(|top| part.tops.contains(&top));
            if is_ours || whose.is_some_and(|top| anchors.contains(&top)) {
                loads.push(load.clone());
            }
            // Anchors stay where they are, and count there as they did.
            for (node, count) in turn.load.iter().filter(|_| !is_ours) {
                *load.get_mut(node.0 as usize)? += count;
            }
        }
        let mut pinned = Vec::new();
        for anchor in anchors {
            let id = &self.cluster.resources[*anchor as usize].id;
            pinned.extend(self.trace.places.get(id)?.iter().cloned());
        }
        Some(Given {
            fencing_possible: self.trace.any_fence_device,
            any_managed: self
                .trace
                .managed
                .iter()
                .any(|managed| top(managed).is_none_or(|top| !part.tops.contains(&top))),
            loads,
            pinned,
        })
    }

    /// Takes over what the turns of a part have come to; false if others would have to know.
    fn take_turns(&mut self, part: &Part, turns: &[Turn]) -> bool {
        let is_ours = |turn: &Turn| self.parts.named(&turn.top).is_some_and(|top| part.tops.contains(&top));
        let known = self.trace.turns.iter().enumerate().filter(|(_, turn)| is_ours(turn));
        let known: Vec<usize> = known.map(|(place, _)| place).collect();
        let same_tops = |(known, new): (&usize, &Turn)| self.trace.turns[*known].top == new.top;
        if known.len() != turns.len() || !known.iter().zip(turns).all(same_tops) {
            return false;
        }
        let changed = known.iter().zip(turns).find(|(known, new)| self.trace.turns[**known].load != new.load);
        if let Some((from, _)) = changed
            && self.trace.turns[*from..].iter().any(|turn| turn.heeds_load && !is_ours(turn))
        {
            return false;
        }
        for (place, turn) in known.iter().zip(turns) {
            self.trace.turns[*place] = turn.clone();
        }
        true
    }

    /// Takes over what else was noted of a part.
    fn take_over(&mut self, part: &Part, new: &Trace) {
        let parts = &self.parts;
        let is_ours = |name: &String| parts.named(name).is_some_and(|top| part.tops.contains(&top));
        let known = [&mut self.trace.active_before, &mut self.trace.active_after];
        let views = [&mut self.outcome.before, &mut self.outcome.after];
        let both = known.into_iter().zip([&new.active_before, &new.active_after]);
        for (((known, new), counts), view) in both.zip(&mut self.active).zip(views) {
            for (_, node) in known.iter().filter(|(top, _)| is_ours(top)) {
                if let Some(count) = counts.get_mut(node) {
                    *count = count.saturating_sub(1);
                }
            }
            known.retain(|(top, _)| !is_ours(top));
            for active in new.iter().filter(|(top, _)| is_ours(top)) {
                *counts.entry(active.1.clone()).or_default() += 1;
                known.push(active.clone());
            }
            for (name, node) in &mut view.nodes {
                node.active = counts.get(name).is_some_and(|count| *count > 0);
            }
        }
        let trace = &mut self.trace;
        trace.managed.retain(|top| !is_ours(top));
        trace.managed.extend(new.managed.iter().filter(|top| is_ours(top)).cloned());
        trace.restless.retain(|top| !is_ours(top));
        trace.restless.extend(new.restless.iter().filter(|top| is_ours(top)).cloned());
        trace.places.retain(|top, _| !is_ours(top));
        let places = new.places.iter().filter(|(top, _)| is_ours(top));
        trace.places.extend(places.map(|(top, places)| (top.clone(), places.clone())));
    }
}

fn without_history(node: &NodeState) -> NodeState {
    NodeState {
        id: node.id.clone(),
        name: node.name.clone(),
        remote: node.remote,
        member: node.member,
        process: node.process,
        join: node.join,
        expected_up: node.expected_up,
        fenced: node.fenced,
        in_maintenance: node.in_maintenance,
        attributes: node.attributes.clone(),
        utilization: node.utilization.clone(),
        history: Vec::new(),
    }
}

/// Notes what was done with a resource; its place, if it is a new one.
fn note_history(node: &mut NodeState, history: ResourceHistory) -> Option<usize> {
    match node.history.iter_mut().find(|known| known.resource == history.resource) {
        Some(known) => {
            *known = history;
            None
        }
        None => {
            node.history.push(history);
            Some(node.history.len() - 1)
        }
    }
}

/// Notes what a node says of itself: in the set that has it, or in one of its own.
pub(super) fn note_attribute(node: &mut NodeState, name: &str, value: Option<String>) {
    let is_plain = |set: &&mut AttributeSet| set.rule.is_none();
    let known = node.attributes.iter_mut().filter(is_plain).find(|set| set.values.contains_key(name));
    match (known, value) {
        (Some(set), Some(value)) => {
            set.values.insert(String::from(name), value);
        }
        (Some(set), None) => {
            set.values.remove(name);
        }
        (None, Some(value)) => {
            let values = BTreeMap::from([(String::from(name), value)]);
            node.attributes.push(AttributeSet { values, ..AttributeSet::default() });
        }
        (None, None) => {}
    }
}
