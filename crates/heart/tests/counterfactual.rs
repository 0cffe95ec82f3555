//! What is named as a cause is one: if it were gone, something else would be decided.
//!
//! Asked of the reference cases: of every [`EACH`]th that is not too large, of its first resources.

#[path = "support/cases.rs"]
mod cases;

use std::{collections::BTreeMap, fs};

use heart_config::cib::{self, Imported};
use heart_model::policy::Role;
use heart_scheduler::engine::{self, explain};

/// Every how many cases one is asked about.
const EACH: usize = 9;
/// Larger cases take long, and say the same.
const RESOURCES_MAX: usize = 40;
/// How many resources of a case are asked about, and of how many nodes each.
const ASKED_MAX: usize = 6;
/// Of questions that can have a cause, how many in a hundred have one: what was reached.
const EXPLAINED_PERCENT: usize = 90;

type Places = Vec<(String, Role)>;

fn places(imported: &Imported, resource: &str) -> Places {
    let outcome = engine::decide(&imported.cluster, &imported.state);
    let view = outcome.after.resources.get(resource);
    view.map(|view| view.on.iter().map(|(node, role, _)| (node.clone(), *role)).collect()).unwrap_or_default()
}

/// Asks, and takes away what is named. Whether something was named.
fn ask(case: &str, imported: &Imported, resource: &str, node: Option<&str>) -> bool {
    let Imported { cluster, state, .. } = imported;
    let told = explain::why(cluster, state, resource, node)
        .unwrap_or_else(|unknown| panic!("{case}: {resource} is there: {unknown:?}"));
    let gone: Vec<Vec<&explain::Cause>> = match told.together {
        true => vec![told.because.iter().map(|because| &because.cause).collect()],
        false => told.because.iter().map(|because| vec![&because.cause]).collect(),
    };
    for (causes, because) in gone.iter().zip(&told.because) {
        let (cluster, state) = explain::without(cluster, state, causes);
        let then = Imported { cluster, state, report: Vec::new() };
        assert_eq!(places(&then, resource), because.otherwise, "{case}: {resource} without {causes:?}");
        let at =
            |places: &Places| places.iter().filter(|(at, _)| Some(at.as_str()) == node).cloned().collect();
        let (now, otherwise): (Places, Places) = (at(&told.stands), at(&because.otherwise));
        let of_node = node.is_some() && !told.elsewhere;
        assert!(!of_node || now != otherwise, "{case}: {resource} on {node:?} without {causes:?}");
    }
    !told.because.is_empty()
}

#[test]
fn a_cause_that_is_gone_changes_what_is_decided() {
    let Some(beside) = cases::beside() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = cases::unpack(&beside, folder.path());
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for file in files.iter().step_by(EACH) {
        let case = file.file_stem().unwrap_or_default().to_string_lossy();
        let Ok(imported) = cib::read(&case, &fs::read(file).unwrap()) else { continue };
        let outcome = engine::decide(&imported.cluster, &imported.state);
        if outcome.before.resources.len() > RESOURCES_MAX {
            continue;
        }
        for (resource, view) in outcome.before.resources.iter().take(ASKED_MAX) {
            let after = places(&imported, resource);
            let mut count = |kind: &'static str, explained: bool| {
                let (asked, known) = counts.entry(kind).or_default();
                (*asked, *known) = (*asked + 1, *known + usize::from(explained));
                if !explained {
                    println!("{case}: {resource} {kind}, and nothing is named");
                }
            };
            if view.flags.contains('O') {
                continue;
            }
            if after.is_empty() {
                count("runs nowhere", ask(&case, &imported, resource, None));
            } else if outcome.decisions.iter().any(|decision| {
                // That something starts that did not run needs no cause but that it is wanted.
                decision.subject == *resource && decision.verb != "Start"
            }) {
                count("is changed", ask(&case, &imported, resource, None));
            }
            for node in outcome.before.nodes.keys().filter(|_| after.len() == 1).take(2) {
                // Where all is equal nothing has to speak against a node, so these are only checked.
                if after.iter().all(|(at, _)| at != node) {
                    count("is not on a node", ask(&case, &imported, resource, Some(node)));
                }
            }
        }
    }
    println!("{counts:?}");
    for kind in ["runs nowhere", "is changed"] {
        let (asked, explained) = counts[kind];
        assert!(asked > 30, "{kind}: only {asked} asked");
        assert!(
            explained * 100 >= asked * EXPLAINED_PERCENT,
            "{kind}: {explained} of {asked} have a cause\n{counts:?}"
        );
    }
}
