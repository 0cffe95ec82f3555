//! A result in the form in which the reference suite has its expected ones: one JSON object.

use std::collections::BTreeMap;

use heart_model::policy::Role;
use heart_scheduler::engine::{
    Outcome,
    outcome::{Decision, Picture, ResourceView},
    rehearse,
    settle::{Course, End},
};
use serde::Serialize;

use super::{Order, action_text, node_text};

/// The result of one case; what is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CaseResult {
    /// The case.
    pub(crate) case: String,
    /// Why there is no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<State>,
    /// What people see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decide: Vec<String>,
    /// What is to be done, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
    /// What fencing does by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    implied: Vec<String>,
    /// What comes before what: places in `actions`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    order: Vec<(usize, usize)>,
    /// The same, where what comes first only looks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    porder: Vec<(usize, usize)>,
    /// What will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<State>,
    /// Who is told of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notify: Vec<String>,
    /// What was not understood; not part of the suite's form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// When it should be looked again; not part of the suite's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) look_again: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct State {
    nodes: BTreeMap<String, String>,
    rscs: BTreeMap<String, Resource>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Resource {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on: Vec<(String, String)>,
    #[serde(rename = "f", skip_serializing_if = "String::is_empty")]
    flags: String,
}

impl CaseResult {
    /// The result of a case that was decided.
    pub(crate) fn of(case: &str, outcome: &Outcome) -> CaseResult {
        // Notifications stand apart, and what waits for what goes through them all the same.
        let is_notice: Vec<bool> = outcome.actions.iter().map(|action| action.name == "notify").collect();
        let is_probe: Vec<bool> = outcome.actions.iter().map(|action| action.name == "probe").collect();
        let texts: Vec<String> = outcome.actions.iter().map(action_text).collect();
        let mut real: Vec<usize> = (0..texts.len()).filter(|&action| !is_notice[action]).collect();
        real.sort_by(|one, other| texts[*one].cmp(&texts[*other]));
        let mut place = vec![0; texts.len()];
        for (sorted, &action) in real.iter().enumerate() {
            place[action] = sorted;
        }
        let pairs = Order::of(outcome).reduced(|action| !is_notice[action], |action| !is_probe[action]);
        let pairs_of = |probes: bool| {
            let pairs = pairs.iter().filter(|(first, _)| is_probe[*first] == probes);
            sorted(pairs.map(|&(first, then)| (place[first], place[then])).collect())
        };
        let decide = outcome.decisions.iter().map(decision_text);
        let notices = (0..texts.len()).filter(|&action| is_notice[action]);
        CaseResult {
            case: case.to_owned(),
            before: Some(state(&outcome.before)),
            decide: sorted(decide.collect()),
            actions: real.iter().map(|&action| texts[action].clone()).collect(),
            // As a stop is one, wherever it would have been.
            implied: sorted(outcome.implied.iter().map(implied_text).collect()),
            order: pairs_of(false),
            porder: pairs_of(true),
            after: Some(state(&outcome.after)),
            notify: sorted(notices.map(|action| texts[action].clone()).collect()),
            ..CaseResult::default()
        }
    }

    /// The result of a case that came to nothing.
    pub(crate) fn failed(case: &str, error: String) -> CaseResult {
        CaseResult { case: case.to_owned(), error: Some(error), ..CaseResult::default() }
    }
}

/// How it goes on, plan after plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CourseResult {
    case: String,
    /// Whether in the end nothing is left to do.
    settled: bool,
    /// If not: two rounds, from 0, in which the same is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    same: Option<(usize, usize)>,
    /// What is done in each round, in an order in which it can be done; nothing in the last, if it settles.
    rounds: Vec<Round>,
    before: State,
    after: State,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// When it should be looked again at what is left in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    look_again: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Round {
    decide: Vec<String>,
    actions: Vec<String>,
    implied: Vec<String>,
}

impl CourseResult {
    /// The result of a course, with what was not understood in its description.
    pub(crate) fn of(case: &str, course: &Course, notes: Vec<String>) -> CourseResult {
        let (first, last) = (course.rounds.first(), course.rounds.last());
        CourseResult {
            case: case.to_owned(),
            settled: course.end == End::Settled,
            same: match course.end {
                End::Settled => None,
                End::Unsettled { same } => same,
            },
            rounds: course.rounds.iter().map(Round::of).collect(),
            before: first.map(|first| state(&first.before)).unwrap_or_default(),
            after: last.map(|last| state(ending(last))).unwrap_or_default(),
            notes,
            look_again: last.and_then(|last| last.look_again),
        }
    }
}

/// What is in the end: what will be, if something is done yet.
pub(crate) fn ending(last: &Outcome) -> &Picture {
    if last.actions.is_empty() { &last.before } else { &last.after }
}

impl Round {
    fn of(outcome: &Outcome) -> Round {
        let sequence = rehearse::sequence(outcome).into_iter().filter_map(|place| outcome.actions.get(place));
        Round {
            decide: outcome.decisions.iter().map(decision_text).collect(),
            actions: sequence.map(action_text).collect(),
            implied: outcome.implied.iter().map(implied_text).collect(),
        }
    }
}

fn decision_text(decision: &Decision) -> String {
    let words = [&decision.verb, &decision.subject, &decision.detail];
    let words: Vec<&str> = words.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

fn implied_text(action: &heart_scheduler::engine::outcome::Action) -> String {
    format!("{} {}", action.name, action.resource.as_deref().unwrap_or(&action.node))
}

fn state(picture: &Picture) -> State {
    let nodes = picture.nodes.iter().filter_map(|(name, node)| Some((name.clone(), node_text(node)?)));
    let resources = picture.resources.iter().map(|(name, view)| (name.clone(), resource(view)));
    State { nodes: nodes.collect(), rscs: resources.collect() }
}

fn resource(view: &ResourceView) -> Resource {
    let on = view.on.iter().map(|(node, role, pending)| {
        let letter = match pending.as_deref() {
            Some("start") => "s",
            Some("stop") => "t",
            Some("promote") => "p",
            Some("demote") => "d",
            Some("migrate_to" | "migrate_from") => "m",
            Some(_) | None => match role {
                Role::Stopped => "-",
                Role::Started => "S",
                Role::Unpromoted => "U",
                Role::Promoted => "P",
            },
        };
        (node.clone(), letter.to_owned())
    });
    let flags: Vec<char> = sorted(view.flags.chars().collect());
    Resource { on: sorted(on.collect()), flags: flags.into_iter().collect() }
}
