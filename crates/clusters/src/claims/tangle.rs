//! What people have written that nobody can fulfil.

use std::collections::{BTreeMap, BTreeSet};

use heart_model::policy::{Cluster, Constraint, OperationStatus, Score, Verb};
use heart_scheduler::engine::Outcome;

use crate::{Situation, known::Known};

/// Which leads to which.
#[derive(Default)]
pub(super) struct Ways<'c>(BTreeMap<&'c str, BTreeSet<&'c str>>);

impl<'c> Ways<'c> {
    pub(super) fn join(&mut self, from: &'c str, to: &'c str) {
        self.0.entry(from).or_default().insert(to);
    }

    /// Whether a way leads from one to the other; from one to itself only if it goes through something.
    pub(super) fn leads(&self, from: &'c str, to: &str) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        // Bounded: each is seen once.
        while let Some(at) = open.pop() {
            for next in self.0.get(at).into_iter().flatten() {
                if *next == to {
                    return true;
                }
                if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
        false
    }

    /// Whether some way from here ends in a ring.
    pub(super) fn leads_into_ring(&self, from: &'c str) -> bool {
        self.0.keys().any(|ring| self.leads(ring, ring) && (*ring == from || self.leads(from, ring)))
    }

    fn mentions(&self, name: &str) -> bool {
        self.0.contains_key(name) || self.0.values().any(|to| to.contains(name))
    }

    fn in_rings(&self) -> impl Iterator<Item = &'c str> {
        self.0.keys().copied().filter(|from| self.leads(from, from))
    }

    fn has_ring(&self) -> bool {
        self.in_rings().next().is_some()
    }
}

/// Whether what is wanted may turn in a circle for ever: because of a ring, or because wishes count only
/// while what they are about does not run; or because instances of a cloned group are torn; or because what nobody
/// wants any more was leaving a node that is lost.
pub(super) fn may_turn(situation: &Situation, first: &Outcome) -> bool {
    let cluster = &situation.cluster;
    places_are_tangled(cluster)
        || orders_are_tangled(cluster)
        || some_have_no_say(cluster)
        || leans_on_what_is_left_alone(cluster)
        || is_torn(cluster, first)
        || was_leaving(situation)
}

/// Whether something that is not configured any more was on its way from one node to another, without an answer. As
/// long as the first is lost and cannot be fenced, it is stopped where it may have arrived; that it was stopped is
/// forgotten with everything else about it, and so it is stopped again.
fn was_leaving(situation: &Situation) -> bool {
    let known = Known::of(&situation.cluster);
    let histories = situation.state.nodes.iter().flat_map(|node| &node.history);
    let mut gone = histories.filter(|history| known.primitive(&history.resource).is_none());
    gone.any(|history| {
        history
            .operations
            .iter()
            .any(|operation| operation.name == "migrate_to" && operation.status == OperationStatus::Pending)
    })
}

/// Whether only some members of a cloned group are active on a node where they are left alone. The others may run
/// elsewhere; histories do not tell which of them belong together, so with every plan some instance may be taken
/// for one too many. That numbers are given to instances node by node is what the rules say.
fn is_torn(cluster: &Cluster, first: &Outcome) -> bool {
    let known = Known::of(cluster);
    let mut whole: BTreeMap<(&str, &str), (usize, bool)> = BTreeMap::new();
    for (name, view) in &first.before.resources {
        let Some(found) = known.primitive(name) else { continue };
        let [group, .., _clone] = found.around.as_slice() else { continue };
        for (node, _, _) in &view.on {
            let in_maintenance = first.before.nodes.get(node).is_some_and(|node| node.maintenance);
            let (members, left) = whole.entry((group.id.as_str(), node.as_str())).or_default();
            *members += 1;
            *left |= in_maintenance || found.is_left_alone();
        }
    }
    let members = |group: &str| {
        known
            .primitives
            .values()
            .filter(|found| found.around.first().is_some_and(|around| around.id == group))
            .count()
    };
    whole.iter().any(|((group, _), (active, left))| *left && *active != members(group))
}

/// Whether something is ordered with a cloned group of which a member is left alone. A member before that one may
/// have to start and not be able to, and one behind it to stop and not be able to; that this is so is found only
/// after those who wait for the clone were told to start anew. The rules ask for no more: what is required may
/// be found late, and a second plan may still have work.
fn leans_on_what_is_left_alone(cluster: &Cluster) -> bool {
    let known = Known::of(cluster);
    let left = known.primitives.values().filter(|found| found.is_left_alone() && found.around.len() > 1);
    let clones: BTreeSet<&str> =
        left.filter_map(|found| found.around.last()).map(|top| top.id.as_str()).collect();
    let orders = orders(&known);
    clones.iter().any(|clone| orders.mentions(clone))
}

fn some_have_no_say(cluster: &Cluster) -> bool {
    let known = Known::of(cluster);
    let not_critical = known.primitives.values().any(|found| found.meta("critical") == Some("false"));
    let no_influence = |constraint: &Constraint| match constraint {
        Constraint::Colocation(with) => with.influence == Some(false),
        Constraint::ColocationSets(with) => with.influence == Some(false),
        Constraint::Location(_) | Constraint::Order(_) | Constraint::OrderSets(_) | Constraint::Ticket(_) => {
            false
        }
    };
    not_critical || cluster.constraints.iter().any(no_influence)
}

/// Whether some resources are each before the next in a ring, or one whose stop others wait for comes with
/// them: then one may be taken down for another that cannot come.
pub(super) fn orders_are_tangled(cluster: &Cluster) -> bool {
    orders(&Known::of(cluster)).has_ring()
}

/// What a name stands for in rings: what is ordered with a group is ordered with its members.
pub(super) fn top<'c>(known: &Known<'c>, name: &'c str) -> &'c str {
    let part = known.primitives.get(name).and_then(|found| found.around.last());
    part.map_or(name, |top| top.id.as_str())
}

/// What comes before what, by any order.
pub(super) fn orders<'c>(known: &Known<'c>) -> Ways<'c> {
    let mut ways = Ways::default();
    for constraint in &known.cluster.constraints {
        match constraint {
            Constraint::Order(order) => {
                let (first, then) = (top(known, &order.first), top(known, &order.then));
                ways.join(first, then);
                if [order.first_action, order.then_action].iter().any(|verb| !is_up(*verb)) {
                    // Its inverse may say the same of starts the other way round.
                    ways.join(then, first);
                }
            }
            Constraint::OrderSets(sets) => {
                chain(known, &mut ways, sets.sets.iter().map(|set| &set.members));
                if sets.sets.iter().filter_map(|set| set.action).any(|verb| !is_up(verb)) {
                    chain(known, &mut ways, sets.sets.iter().rev().map(|set| &set.members));
                    let members = sets.sets.iter().flat_map(|set| &set.members);
                    members.for_each(|name| ways.join(top(known, name), top(known, name)));
                }
            }
            Constraint::Location(_)
            | Constraint::Colocation(_)
            | Constraint::ColocationSets(_)
            | Constraint::Ticket(_) => {}
        }
    }
    ways
}

fn is_up(verb: Verb) -> bool {
    matches!(verb, Verb::Start | Verb::Promote)
}

fn places_are_tangled(cluster: &Cluster) -> bool {
    !tangled_places(cluster).is_empty()
}

/// Resources that have a wish about their places each about the next in a ring, or wishes that speak against one
/// another (with something, and never with it): whatever follows whom is then decided by where they were, and they
/// may follow one another for ever.
pub(super) fn tangled_places(cluster: &Cluster) -> BTreeSet<&str> {
    let known = Known::of(cluster);
    let mut ways = Ways::default();
    let mut knots = Knots::default();
    for constraint in &cluster.constraints {
        for (dependent, primary, score) in pairs(constraint) {
            let (dependent, primary) = (top(&known, dependent), top(&known, primary));
            ways.join(dependent, primary);
            knots.tie(dependent, primary, score);
        }
    }
    ways.in_rings().chain(knots.in_tight()).collect()
}

/// What follows what.
fn pairs(constraint: &Constraint) -> Vec<(&str, &str, Score)> {
    match constraint {
        Constraint::Colocation(with) => vec![(with.dependent.as_str(), with.primary.as_str(), with.score)],
        Constraint::ColocationSets(with) => {
            let mut pairs = Vec::new();
            for (place, set) in with.sets.iter().enumerate() {
                let score = set.score.unwrap_or(with.score);
                for (member, name) in set.members.iter().enumerate() {
                    let earlier = set.members[..member].iter();
                    let later = with.sets[place + 1..].iter().flat_map(|set| &set.members);
                    pairs.extend(earlier.chain(later).map(|other| (name.as_str(), other.as_str(), score)));
                }
            }
            pairs
        }
        Constraint::Location(_) | Constraint::Order(_) | Constraint::OrderSets(_) | Constraint::Ticket(_) => {
            Vec::new()
        }
    }
}

/// What hangs together, in whatever direction.
#[derive(Default)]
struct Knots<'c> {
    /// Each with the first of its knot.
    knot: BTreeMap<&'c str, &'c str>,
    pairs: BTreeSet<(&'c str, &'c str, bool)>,
    /// Knots in which more than one way leads from one to another.
    double: BTreeSet<&'c str>,
}

impl<'c> Knots<'c> {
    fn tie(&mut self, one: &'c str, other: &'c str, score: Score) {
        if !self.pairs.insert((one, other, score.is_negative())) {
            return;
        }
        let (kept, lost) = (self.of(one), self.of(other));
        if kept == lost {
            self.double.insert(kept);
        }
        self.knot.values_mut().filter(|knot| **knot == lost).for_each(|knot| *knot = kept);
        if self.double.remove(lost) {
            self.double.insert(kept);
        }
    }

    fn of(&mut self, name: &'c str) -> &'c str {
        self.knot.entry(name).or_insert(name)
    }

    /// What hangs together in several ways that do not all say the same.
    fn in_tight(&self) -> impl Iterator<Item = &'c str> {
        let is_apart =
            |knot: &&str| self.pairs.iter().any(|(one, _, apart)| *apart && self.knot.get(one) == Some(knot));
        let tight: BTreeSet<&str> = self.double.iter().copied().filter(is_apart).collect();
        self.knot.iter().filter(move |(_, knot)| tight.contains(**knot)).map(|(name, _)| *name)
    }
}

fn chain<'c>(known: &Known<'c>, ways: &mut Ways<'c>, sets: impl Iterator<Item = &'c Vec<String>>) {
    let all: Vec<&str> = sets.flatten().map(|name| top(known, name)).collect();
    for (place, first) in all.iter().enumerate() {
        all[place + 1..].iter().for_each(|then| ways.join(first, then));
    }
}
