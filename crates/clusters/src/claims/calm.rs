//! Nothing healthy moves because something else failed.
//!
//! A cluster without trouble, with Heart's own defaults, is brought up until nothing is left to do. Then one
//! thing happens: a resource fails, or a node is lost. What is *unrelated* to it must not be stopped, moved
//! or demoted. A resource is related to another if some way of constraints, groups and containers leads from
//! the one to the other; it is related to the loss of a node if it, or something that is related to it, ran
//! there or waits for a place.

use std::collections::{BTreeMap, BTreeSet};

use heart_model::policy::{Body, Constraint, JoinState, Operation, OperationStatus, Resource, Role};
use heart_scheduler::engine::{Outcome, decide, inject, outcome::Action, plan};

use super::{Broken, Claim, broken, foreseen, settles, tangle};
use crate::{Situation, run::without_instance, show};

/// Which failures are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// Each that can happen.
    All,
    /// One of a resource and one of a node, which this number chooses.
    OneOfEach(u64),
}

impl Failures {
    fn tries(self, place: usize, of: usize) -> bool {
        match self {
            Failures::All => true,
            Failures::OneOfEach(number) => number % of as u64 == place as u64,
        }
    }
}

/// Checks that what is unrelated rests, whatever is written about the rest.
#[must_use]
pub fn rests(situation: &Situation, failures: Failures) -> Option<Broken> {
    let settles::Course { broken, settled, last: quiet, .. } = settles::run(situation);
    if broken.is_some() {
        return broken;
    }
    let related = related(&settled);
    // What has wishes in a ring, or against one another, has no right place, and may go on moving without any
    // failure; everything else in the cluster must rest.
    let busy = quiet.actions.iter().filter_map(|action| action.resource.as_deref());
    let torn = tangle::tangled_places(&settled.cluster).into_iter();
    let restless: BTreeSet<usize> = busy.chain(torn).map(|name| whole(&related, name)).collect();
    let names: Vec<_> = quiet.before.resources.iter().map(|(name, view)| (name, &view.on)).collect();
    let active: Vec<_> = names.iter().filter_map(|(name, on)| Some((*name, &on.first()?.0))).collect();
    for (place, (name, node)) in active.iter().enumerate() {
        if !failures.tries(place, active.len()) {
            continue;
        }
        let mut failed = settled.clone();
        fail(&mut failed, name, node);
        let concerned = restless.iter().copied().chain([whole(&related, name)]).collect();
        let concerned = with_hosted(&related, &quiet, concerned);
        let what = format!("{name} fails on {node}");
        // What will be then does not matter here.
        let outcome = plan(&failed.cluster, &failed.state);
        if let Some(broken) = unrelated_rest(&related, &outcome, &concerned, &what) {
            return Some(broken);
        }
    }
    for (place, node) in settled.cluster.nodes.iter().enumerate() {
        let mut lost = settled.clone();
        if !failures.tries(place, settled.cluster.nodes.len()) || !lose(&mut lost, &node.name) {
            continue;
        }
        let ran = names.iter().filter(|(_, on)| on.iter().any(|(at, _, _)| *at == node.name));
        // What waits for something was to go to some node, perhaps to that; also if nobody says so, because it
        // waits for another that is nowhere.
        let waits = quiet.decisions.iter().map(|decision| &decision.subject);
        let nowhere = names.iter().filter(|(_, on)| on.is_empty()).map(|(name, _)| *name);
        let concerned = ran.map(|(name, _)| *name).chain(waits).chain(nowhere);
        let wholes = concerned.map(|name| whole(&related, name)).chain(restless.iter().copied()).collect();
        let wholes = with_hosted(&related, &quiet, wholes);
        let what = format!("{} is lost", node.name);
        let outcome = decide(&lost.cluster, &lost.state);
        let broken = unrelated_rest(&related, &outcome, &wholes, &what);
        if let Some(broken) = broken.or_else(|| foreseen::check(&outcome, &what)) {
            return Some(broken);
        }
    }
    None
}

/// Adds what runs on nodes that are kept by what is concerned: remote nodes and guests.
fn with_hosted(
    related: &BTreeMap<String, usize>,
    quiet: &Outcome,
    mut concerned: BTreeSet<usize>,
) -> BTreeSet<usize> {
    // Bounded: each turn but the last adds at least one of the resources.
    loop {
        let on_any = |on: &[(String, Role, Option<String>)]| {
            on.iter().any(|(node, _, _)| concerned.contains(&whole(related, node)))
        };
        let resources = quiet.before.resources.iter();
        let hosted = resources.filter(|(_, view)| on_any(&view.on)).map(|(name, _)| whole(related, name));
        let more: BTreeSet<usize> = hosted.filter(|whole| !concerned.contains(whole)).collect();
        if more.is_empty() {
            return concerned;
        }
        concerned.extend(more);
    }
}

fn unrelated_rest(
    related: &BTreeMap<String, usize>,
    outcome: &Outcome,
    concerned: &BTreeSet<usize>,
    what: &str,
) -> Option<Broken> {
    let (_, unrest) = moved(outcome).find(|(name, _)| !concerned.contains(&whole(related, name)))?;
    Some(broken(Claim::Calm, format!("{what}: {}", show::action(unrest))))
}

/// What a plan takes from where it is, or from its role.
fn moved(outcome: &Outcome) -> impl Iterator<Item = (&str, &Action)> {
    let touches =
        |action: &&Action| matches!(action.name.as_str(), "stop" | "demote" | "migrate_to" | "migrate_from");
    let all = outcome.actions.iter().chain(&outcome.implied).filter(touches);
    all.filter_map(|action| Some((action.resource.as_deref()?, action)))
}

/// A monitor of the resource finds that it does not run as it should.
fn fail(situation: &mut Situation, resource: &str, node: &str) {
    let entry = inject::entry(&situation.cluster, &mut situation.state, node);
    let Some(history) = entry.history.iter_mut().find(|history| history.resource == resource) else { return };
    let call = history.operations.iter().map(|operation| operation.call).max().unwrap_or(0) + 1;
    history.operations.push(Operation {
        id: "failed".into(),
        name: "monitor".into(),
        every_ms: 10_000,
        status: OperationStatus::Done,
        answer: 1,
        expected: Some(0),
        call,
        ..Operation::default()
    });
}

/// The node is lost all at once; whether it was there.
fn lose(situation: &mut Situation, node: &str) -> bool {
    let entry = inject::entry(&situation.cluster, &mut situation.state, node);
    let was_there = entry.member == Some(1);
    (entry.member, entry.process, entry.join) = (Some(0), Some(0), Some(JoinState::Down));
    let id = entry.id.clone();
    if situation.state.leader.as_ref() == Some(&id) {
        let other = situation.state.nodes.iter().find(|other| other.id != id && other.member == Some(1));
        situation.state.leader = other.map(|other| other.id.clone());
    }
    was_there
}

/// What each resource belongs to: the number of all that are related with one another.
fn related(situation: &Situation) -> BTreeMap<String, usize> {
    let mut wholes = BTreeMap::new();
    for (number, resource) in situation.cluster.resources.iter().enumerate() {
        name_all(resource, number, &mut wholes);
    }
    let sets = |sets: &[heart_model::policy::ResourceSet]| {
        sets.iter().flat_map(|set| set.members.clone()).collect::<Vec<String>>()
    };
    for constraint in &situation.cluster.constraints {
        let together = match constraint {
            Constraint::Colocation(with) => vec![with.dependent.clone(), with.primary.clone()],
            Constraint::Order(order) => vec![order.first.clone(), order.then.clone()],
            Constraint::ColocationSets(with) => sets(&with.sets),
            Constraint::OrderSets(order) => sets(&order.sets),
            Constraint::Location(_) | Constraint::Ticket(_) => continue,
        };
        let numbers: Vec<usize> = together.iter().map(|name| whole(&wholes, name)).collect();
        let Some(least) = numbers.iter().copied().min() else { continue };
        wholes.values_mut().filter(|number| numbers.contains(number)).for_each(|number| *number = least);
    }
    wholes
}

fn name_all(resource: &Resource, number: usize, wholes: &mut BTreeMap<String, usize>) {
    wholes.insert(resource.id.clone(), number);
    let meta = resource.meta.iter().filter(|set| set.rule.is_none());
    for guest in meta.filter_map(|set| set.values.get("remote-node")) {
        wholes.insert(guest.clone(), number);
    }
    match &resource.body {
        Body::Primitive(_) => {}
        Body::Group(members) => members.iter().for_each(|member| name_all(member, number, wholes)),
        Body::Clone(inner) => name_all(inner, number, wholes),
        Body::Bundle(bundle) => {
            if let Some(inner) = &bundle.inner {
                name_all(inner, number, wholes);
            }
        }
    }
}

/// Containers and connections of a bundle are not written; they are named after it.
fn whole(wholes: &BTreeMap<String, usize>, name: &str) -> usize {
    let base = without_instance(name);
    let written = wholes.get(base).or_else(|| wholes.get(base.split('-').next().unwrap_or(base)));
    written.copied().unwrap_or(usize::MAX)
}
