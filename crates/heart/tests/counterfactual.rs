//! What is named as a cause is one: if it were gone, something else would be decided, and just what was said.
//!
//! Asked of the reference cases: a test run asks of the first resources of every case that is not too large. More
//! resources, also of large cases, are asked about by
//!
//! ```text
//! cargo test -p heart --test counterfactual --locked -- --ignored --nocapture
//! ```

#[path = "support/cases.rs"]
mod cases;

use std::{collections::BTreeMap, fs, path::PathBuf};

use heart_config::cib::{self, Imported};
use heart_model::policy::Role;
use heart_scheduler::engine::{
    self, Outcome,
    explain::{self, Cause, Explanation},
    outcome::Decision,
};

/// How many questions are asked.
struct Reach {
    /// Larger cases take long, and say the same.
    resources_max: usize,
    /// How many resources of a case are asked about, and of how many nodes each.
    asked_max: usize,
    nodes_max: usize,
    /// Of questions of one kind, how many are asked at least.
    asked_min: usize,
}

/// What every test run asks.
const SOME: Reach = Reach { resources_max: 40, asked_max: 4, nodes_max: 1, asked_min: 300 };
/// What takes minutes. Of many alike, some are enough also here.
const MORE: Reach = Reach { resources_max: usize::MAX, asked_max: 24, nodes_max: 2, asked_min: 600 };

/// Of questions that can have a cause, how many in a hundred have one: what was reached.
const EXPLAINED_PERCENT: usize = 98;

type Places = Vec<(String, Role)>;

/// Where a resource will be, and what is done with it for that.
fn stand(outcome: &Outcome, resource: &str) -> (Places, Vec<Decision>) {
    let view = outcome.after.resources.get(resource);
    let places = view.map(|view| view.on.iter().map(|(node, role, _)| (node.clone(), *role)).collect());
    let base = |name: &str| name.split(':').next().unwrap_or(name).to_owned();
    let concerns = |decision: &&Decision| base(&decision.subject) == base(resource);
    (places.unwrap_or_default(), outcome.decisions.iter().filter(concerns).cloned().collect())
}

/// The role on one node.
fn role_at(places: &Places, node: &str) -> Option<Role> {
    places.iter().filter(|(at, _)| at == node).map(|(_, role)| *role).max()
}

/// Whether it is answered otherwise without these causes, and as it was said.
fn holds(told: &Explanation, imported: &Imported, causes: &[&Cause], otherwise: &Places) -> bool {
    let (cluster, state) = explain::without(&imported.cluster, &imported.state, causes);
    let (places, decisions) = stand(&engine::decide(&cluster, &state), &told.resource);
    let answers_otherwise = match told.node.as_deref().filter(|_| !told.elsewhere) {
        Some(node) => role_at(&places, node) != role_at(&told.stands, node),
        None if told.stands.is_empty() => !places.is_empty(),
        None => (&places, &decisions) != (&told.stands, &told.decisions),
    };
    answers_otherwise && places == *otherwise
}

/// Asks, and takes away what is named: how many causes were.
fn ask(
    case: &str,
    imported: &Imported,
    resource: &str,
    node: Option<&str>,
    wrong: &mut Vec<String>,
) -> usize {
    let told = explain::why(&imported.cluster, &imported.state, resource, node)
        .unwrap_or_else(|unknown| panic!("{case}: {resource} is there: {unknown:?}"));
    let gone: Vec<Vec<&Cause>> = match told.together {
        true => vec![told.because.iter().map(|because| &because.cause).collect()],
        false => told.because.iter().map(|because| vec![&because.cause]).collect(),
    };
    for (causes, because) in gone.iter().zip(&told.because) {
        if !holds(&told, imported, causes, &because.otherwise) {
            wrong.push(format!("{case}: {resource} on {node:?} without {causes:?}"));
        }
    }
    told.because.len()
}

/// What was asked, by kind of question, and how much of that has an answer.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<&'static str, (usize, usize)>,
    causes: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn ask(
        &mut self,
        kind: &'static str,
        case: &str,
        imported: &Imported,
        resource: &str,
        node: Option<&str>,
    ) {
        let causes = ask(case, imported, resource, node, &mut self.wrong);
        let (asked, known) = self.counts.entry(kind).or_default();
        (*asked, *known) = (*asked + 1, *known + usize::from(causes > 0));
        self.causes += causes;
        if causes == 0 {
            println!("{case}: {resource} {kind} {}, and nothing is named", node.unwrap_or_default());
        }
    }
}

fn ask_case(case: &str, imported: &Imported, reach: &Reach, tally: &mut Tally) {
    let outcome = engine::decide(&imported.cluster, &imported.state);
    if outcome.before.resources.len() > reach.resources_max {
        return;
    }
    for (resource, view) in outcome.before.resources.iter().take(reach.asked_max) {
        if view.flags.contains('O') {
            continue;
        }
        let (after, decisions) = stand(&outcome, resource);
        if after.is_empty() {
            tally.ask("runs nowhere", case, imported, resource, None);
        } else if decisions.iter().any(|decision| decision.subject == *resource && decision.verb != "Start") {
            // That something starts that did not run needs no cause but that it is wanted.
            tally.ask("is changed", case, imported, resource, None);
        }
        for node in outcome.before.nodes.keys().filter(|_| after.len() == 1).take(reach.nodes_max) {
            // Where all is equal nothing has to speak against a node, so these are only checked.
            if after.iter().all(|(at, _)| at != node) {
                tally.ask("is not on", case, imported, resource, Some(node));
            }
        }
    }
}

fn ask_all(reach: &Reach) {
    let Some(beside) = cases::beside() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = cases::unpack(&beside, folder.path());
    let mut tally = Tally::default();
    for file in &files {
        let case = file.file_stem().unwrap_or_default().to_string_lossy();
        let Ok(imported) = cib::read(&case, &fs::read(file).unwrap()) else { continue };
        ask_case(&case, &imported, reach, &mut tally);
    }
    let Tally { counts, causes, wrong } = tally;
    println!("{counts:?}, {causes} causes, of which {} are none", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for kind in ["runs nowhere", "is changed"] {
        let (asked, explained) = counts[kind];
        assert!(asked > reach.asked_min, "{kind}: only {asked} asked");
        assert!(
            explained * 100 >= asked * EXPLAINED_PERCENT,
            "{kind}: {explained} of {asked} have a cause\n{counts:?}"
        );
    }
}

#[test]
fn a_cause_that_is_gone_changes_what_is_decided() {
    ask_all(&SOME);
}

#[test]
#[ignore = "takes minutes; how it is run stands above"]
fn a_cause_that_is_gone_changes_what_is_decided_wherever_one_asks() {
    ask_all(&MORE);
}
