//! What a cluster survives, asked of random clusters.
//!
//! A survey reads once what all losses have in common. So here each loss is decided from scratch as well, and what
//! is said to be a cause is taken away from the outside. With debug assertions, the engine also compares
//! every decision of a survey, the whole of it, with one for which nothing was read beforehand.

use std::collections::{BTreeMap, BTreeSet};

use heart_clusters::{
    Situation,
    grow::{self, Tier},
};
use heart_model::policy::{Cluster, NodeKind, Role, State};
use heart_scheduler::engine::{
    self, Outcome,
    explain::{self, Cause},
    inject, rehearse,
    survive::{Enough, Loss, Survey},
};

/// How many clusters of each tier are looked at.
const SEEDS: u64 = 60;

/// Where everything is, and whether something is promoted there.
type Places = BTreeMap<String, BTreeSet<(String, bool)>>;

fn owned<'p>(places: impl Iterator<Item = (&'p str, Vec<(&'p str, Role)>)>) -> Places {
    let of = |(node, role): (&str, Role)| (node.to_owned(), role == Role::Promoted);
    places.map(|(resource, on)| (resource.to_owned(), on.into_iter().map(of).collect())).collect()
}

fn ahead(outcome: &Outcome) -> Places {
    let on = |view: &'_ engine::outcome::ResourceView| -> Vec<(String, Role)> {
        view.on.iter().map(|(node, role, _)| (node.clone(), *role)).collect()
    };
    let all: Vec<_> = outcome.after.resources.iter().map(|(name, view)| (name, on(view))).collect();
    owned(
        all.iter().map(|(name, on)| {
            (name.as_str(), on.iter().map(|(node, role)| (node.as_str(), *role)).collect())
        }),
    )
}

fn by_plan(outcome: &Outcome) -> Places {
    owned(rehearse::places(outcome).into_iter())
}

/// What is known without these nodes.
fn without(cluster: &Cluster, state: &State, loss: &Loss) -> State {
    let mut state = state.clone();
    for node in &loss.nodes {
        inject::fail(cluster, &mut state, node);
    }
    state.quorum &= loss.quorum;
    state
}

/// What stays down without these nodes, decided from scratch, by looking ahead and by the plan.
fn down(before: &Outcome, cluster: &Cluster, state: &State, loss: &Loss) -> [Vec<String>; 2] {
    let after = engine::decide(cluster, &without(cluster, state, loss));
    [(ahead(before), ahead(&after)), (by_plan(before), by_plan(&after))].map(|(then, mut now)| {
        now.values_mut().for_each(|on| on.retain(|(node, _)| !loss.nodes.contains(node)));
        let is_up =
            |places: &Places, resource: &String| places.get(resource).is_some_and(|on| !on.is_empty());
        then.keys().filter(|resource| is_up(&then, resource) && !is_up(&now, resource)).cloned().collect()
    })
}

fn survey(seed: u64, situation: &Situation) {
    let Situation { cluster, state } = situation;
    if cluster.nodes.iter().filter(|node| node.kind == NodeKind::Member).count() > 8 {
        return;
    }
    let before = engine::decide(cluster, state);
    let mut survey = Survey::new(cluster, state, Enough::Majority);
    let wanted = survey.losses(true);
    let losses: Vec<Loss> = wanted.iter().map(|nodes| survey.lose(nodes)).collect();
    for loss in &losses {
        let known = down(&before, cluster, state, loss);
        assert!(known.contains(&loss.down), "cluster {seed}: {loss:?}, and from scratch {known:?}");
    }
    for question in survey.questions(&losses).into_iter().take(3) {
        let loss = &losses[question.loss];
        let Some(why) = survey.why(&loss.nodes, &question.resource) else { continue };
        let all: Vec<&Cause> = why.because.iter().map(|because| &because.cause).collect();
        let each: Vec<Vec<&Cause>> =
            if why.together { vec![all] } else { all.into_iter().map(|cause| vec![cause]).collect() };
        let lost = without(cluster, state, loss);
        for (causes, because) in each.iter().zip(&why.because) {
            let (cluster, state) = explain::without(cluster, &lost, causes);
            let then = engine::decide(&cluster, &state);
            let told: BTreeSet<(String, bool)> = because
                .otherwise
                .iter()
                .map(|(node, role)| (node.clone(), *role == Role::Promoted))
                .collect();
            let known = [ahead(&then), by_plan(&then)].map(|places| places.get(&question.resource).cloned());
            let is_known = known.into_iter().any(|on| on.unwrap_or_default() == told);
            assert!(is_known, "cluster {seed}: {question:?} without {causes:?}: {told:?}");
        }
    }
    // Asked again, it says the same: whatever was taken away was put back.
    for (nodes, loss) in wanted.iter().zip(&losses) {
        assert_eq!(survey.lose(nodes), *loss, "cluster {seed}");
    }
}

#[test]
fn a_survey_says_of_each_loss_what_is_decided_from_scratch() {
    for tier in (1..=4).filter_map(Tier::numbered) {
        for seed in 1..=SEEDS {
            survey(seed, &grow::wild(seed, tier));
            survey(seed, &grow::calm(seed, tier));
        }
    }
}
