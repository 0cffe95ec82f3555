//! What is named as the cause of something is one: without it something else is decided, and just what was said.
//!
//! Asked are what runs nowhere, what is changed, and why something is not on a node. Of causes that count only
//! together also this holds: none of them alone would do, and none of them is too many.
//!
//! That a cause is named wherever there is one is not claimed: what speaks for another place is not always
//! something that could be taken away.

use heart_model::policy::Role;
use heart_scheduler::engine::{
    Outcome, decide,
    explain::{self, Because, Cause, Explanation},
    outcome::Decision,
};

use super::{Broken, Claim, broken};
use crate::{Situation, run::without_instance};

/// Which questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Questions {
    /// Each that can be asked.
    All,
    /// One of each kind, which this number chooses.
    OneOfEach(u64),
}

/// A question: why a resource is as it will be, or why it is not on a node.
type Question<'q> = (&'q str, Option<&'q str>);

/// Checks that what is named as a cause is one.
#[must_use]
pub fn explained(situation: &Situation, questions: Questions) -> Option<Broken> {
    let outcome = decide(&situation.cluster, &situation.state);
    kinds(&outcome).iter().flat_map(|kind| chosen(kind, questions)).find_map(|question| {
        let what = ask(situation, *question)?;
        Some(broken(Claim::Explained, what))
    })
}

fn chosen<'k, 'q>(kind: &'k [Question<'q>], questions: Questions) -> &'k [Question<'q>] {
    match questions {
        Questions::OneOfEach(number) if !kind.is_empty() => {
            let place = (number % kind.len() as u64) as usize;
            &kind[place..=place]
        }
        Questions::OneOfEach(_) | Questions::All => kind,
    }
}

/// What could be asked: of what runs nowhere, of what is changed, of nodes where something is not.
fn kinds(outcome: &Outcome) -> [Vec<Question<'_>>; 3] {
    let [mut nowhere, mut changed, mut absent] = [const { Vec::new() }; 3];
    for (resource, view) in &outcome.after.resources {
        let is_changed = || outcome.decisions.iter().any(|decision| concerns(decision, resource));
        if view.on.is_empty() {
            nowhere.push((resource.as_str(), None));
        } else if is_changed() {
            changed.push((resource.as_str(), None));
        }
        let nodes = outcome.before.nodes.keys();
        let others = nodes.filter(|node| view.on.iter().all(|(at, _, _)| at != *node));
        absent.extend(others.map(|node| (resource.as_str(), Some(node.as_str()))));
    }
    [nowhere, changed, absent]
}

fn concerns(decision: &Decision, resource: &str) -> bool {
    without_instance(&decision.subject) == without_instance(resource)
}

/// Asks, and tries each answer; what was wrong with one.
fn ask(situation: &Situation, (resource, node): Question<'_>) -> Option<String> {
    let Situation { cluster, state } = situation;
    let asked = || format!("why {resource} {}", node.map(|node| format!("on {node}")).unwrap_or_default());
    let Ok(told) = explain::why(cluster, state, resource, node) else {
        return Some(format!("{}: nobody knows it", asked()));
    };
    let wrong = match told.together {
        true => of_all(situation, &told),
        false => told.because.iter().find_map(|because| {
            let Because { cause, otherwise } = because;
            let (then, differs) = without(situation, &told, &[cause]);
            wrong(&[cause], then == *otherwise, differs)
        }),
    };
    wrong.map(|wrong| format!("{}: {wrong}", asked()))
}

fn wrong(causes: &[&Cause], is_as_said: bool, differs: bool) -> Option<String> {
    match (is_as_said, differs) {
        (true, true) => None,
        (true, false) => Some(format!("without {causes:?} it is the same")),
        (false, _) => Some(format!("without {causes:?} it is not as was said")),
    }
}

/// What causes do that count together.
fn of_all(situation: &Situation, told: &Explanation) -> Option<String> {
    let causes: Vec<&Cause> = told.because.iter().map(|because| &because.cause).collect();
    let (then, differs) = without(situation, told, &causes);
    let as_said = told.because.iter().all(|because| because.otherwise == then);
    let one_too_many = || {
        causes.iter().enumerate().find_map(|(place, cause)| {
            let alone = without(situation, told, &[cause]).1;
            let others: Vec<&Cause> = [&causes[..place], &causes[place + 1..]].concat();
            match (alone, without(situation, told, &others).1) {
                (true, _) => Some(format!("{cause:?} is enough alone, and {causes:?} are named")),
                (false, true) => Some(format!("{cause:?} is one too many of {causes:?}")),
                (false, false) => None,
            }
        })
    };
    wrong(&causes, as_said, differs).or_else(one_too_many)
}

/// Where the resource is without these, and whether that is another answer to what was asked.
fn without(situation: &Situation, told: &Explanation, causes: &[&Cause]) -> (explain::Places, bool) {
    let (cluster, state) = explain::without(&situation.cluster, &situation.state, causes);
    let outcome = decide(&cluster, &state);
    let view = outcome.after.resources.get(&told.resource);
    let on = view.into_iter().flat_map(|view| &view.on);
    let places: explain::Places = on.map(|(node, role, _)| (node.clone(), *role)).collect();
    let at = |places: &explain::Places, node: &str| -> Option<Role> {
        places.iter().filter(|(at, _)| at == node).map(|(_, role)| *role).max()
    };
    let is_done =
        || outcome.decisions.iter().filter(|decision| concerns(decision, &told.resource)).eq(&told.decisions);
    let differs = match told.node.as_deref().filter(|_| !told.elsewhere) {
        Some(node) => at(&places, node) != at(&told.stands, node),
        None if told.stands.is_empty() => !places.is_empty(),
        None => places != told.stands || !is_done(),
    };
    (places, differs)
}
