//! The policy engine beside the reference: on how many of its cases both say the same.
//!
//! The cases and the program that compares lie beside the project, and are no part of it. A level that
//! falls below what was reached fails; what is gained is written down here.

#[path = "support/cases.rs"]
mod cases;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use heart_model::policy::{Operation, ResourceHistory};
use heart_scheduler::engine::{Planner, decide, planner::News};

/// Cases that agree, level by level: each level needs those before it only where it builds on them.
const REACHED: [(&str, usize); 5] =
    [("before", 682), ("decide", 681), ("final", 682), ("actions", 681), ("order", 676)];
/// Cases that there are.
const CASES: usize = 682;
/// Cases in which instances of clones are told of steps.
const TOLD: usize = 58;
/// Of those the ones in which others are told, or of other steps: `docs/scheduler-differences.md` says why.
const TOLD_OTHERWISE: [&str; 1] = ["bug-cl-5212"];

/// The times of the cases that have one, in the form that `--suite` reads.
fn times(index: &Path) -> String {
    let index: serde_json::Value = serde_json::from_slice(&fs::read(index).unwrap()).unwrap();
    let cases = index.as_object().unwrap().iter();
    let timed: serde_json::Map<String, serde_json::Value> =
        cases.filter_map(|(case, told)| Some((case.clone(), told.get("args")?.clone()))).collect();
    serde_json::Value::Object(timed).to_string()
}

/// How many cases agree at each level, as the table of `compare.py` has it.
fn agreement(table: &str) -> Vec<(String, usize)> {
    let mut lines = table.lines();
    let names = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned);
    let all = lines.find(|line| line.starts_with("all")).unwrap_or_default();
    let counts = all.split_whitespace().skip(1).filter_map(|word| word.parse().ok());
    names.zip(counts).collect()
}

/// Who is told of what, in the cases in which somebody is: what `compare.py` does not look at.
fn told(results: &Path) -> BTreeMap<String, Vec<String>> {
    let read = |line: &str| -> Option<(String, Vec<String>)> {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        let notices = result.get("notify")?.as_array()?.iter();
        let mut notices: Vec<String> = notices.filter_map(|told| Some(told.as_str()?.to_owned())).collect();
        notices.sort();
        Some((result.get("case")?.as_str()?.to_owned(), notices))
    };
    let results = fs::read_to_string(results).unwrap();
    results.lines().filter_map(read).filter(|(_, notices)| !notices.is_empty()).collect()
}

/// Checks that the same ones are told of the same steps as in the reference, but in the cases that are known.
fn check_who_is_told(expected: &Path, actual: &Path) {
    let (expected, actual) = (told(expected), told(actual));
    assert_eq!(expected.len(), TOLD, "cases in which somebody is told of something");
    let cases: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
    let (alike, otherwise): (Vec<&String>, Vec<&String>) =
        cases.into_iter().partition(|case| expected.get(*case) == actual.get(*case));
    println!("notify: {} of {TOLD} agree, all but {otherwise:?}", alike.len());
    let worse: Vec<_> = otherwise.iter().filter(|case| !TOLD_OTHERWISE.contains(&case.as_str())).collect();
    assert!(worse.is_empty(), "others are told, or of other steps, in {worse:?}");
    assert_eq!(otherwise, TOLD_OTHERWISE, "they agree now: take them from the list, and from the document");
}

#[test]
fn the_engine_agrees_with_the_reference_as_often_as_it_did() {
    let Some(beside) = cases::beside() else { return };
    let folder = tempfile::tempdir().unwrap();
    cases::unpack(&beside, folder.path());
    let folder_of_cases = folder.path().join("cases");
    fs::write(folder_of_cases.join("args.json"), times(&beside.join("index.json"))).unwrap();

    let expected = folder.path().join("expected.jsonl");
    let unpacked = Command::new("zstd")
        .args(["-q", "-d", "-c"])
        .arg(beside.join("expected.jsonl.zst"))
        .stdout(File::create(&expected).unwrap())
        .status();
    assert!(unpacked.is_ok_and(|status| status.success()), "zstd is needed for this test");

    let actual = folder.path().join("actual.jsonl");
    let simulate = Command::new(env!("CARGO_BIN_EXE_heart"))
        .args(["simulate", "--suite"])
        .arg(&folder_of_cases)
        .stdout(File::create(&actual).unwrap())
        .status();
    assert!(simulate.is_ok_and(|status| status.success()), "a case has no result");

    let compared = Command::new("python3")
        .arg(beside.join("compare.py"))
        .args([&expected, &actual])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&compared.stdout);
    println!("{table}");
    let found = agreement(&table);
    assert!(found.contains(&("cases".to_owned(), CASES)), "{table}");
    for (level, reached) in REACHED {
        let count = found.iter().find(|(name, _)| name == level).map_or(0, |(_, count)| *count);
        assert!(count >= reached, "{level}: {count} of {CASES}, and it was {reached}\n{table}");
    }
    check_who_is_told(&expected, &actual);
}

/// A failed monitor, and a stop, behind everything that is known.
fn later(history: &ResourceHistory) -> [ResourceHistory; 2] {
    let call = history.operations.iter().map(|operation| operation.call).max().unwrap_or(0) + 1;
    [("monitor", 10_000, 7), ("stop", 0, 0)].map(|(name, every_ms, answer)| {
        let mut later = history.clone();
        later.operations.push(Operation {
            name: name.to_owned(),
            every_ms,
            answer,
            expected: Some(0),
            call,
            ..Operation::default()
        });
        later
    })
}

#[test]
fn what_is_planned_again_is_what_would_be_planned_anew() {
    let Some(beside) = cases::beside() else { return };
    let folder = tempfile::tempdir().unwrap();
    for path in cases::unpack(&beside, folder.path()) {
        let Ok(imported) = heart_config::cib::read("case", &fs::read(&path).unwrap()) else { continue };
        let mut planner = Planner::new(imported.cluster, imported.state);
        let now = planner.state().now;
        for node in 0..planner.state().nodes.len() {
            for place in 0..planner.state().nodes[node].history.len().min(12) {
                let known = planner.state().nodes[node].history[place].clone();
                let [failed, stopped] = later(&known);
                for news in [failed, stopped, known] {
                    planner.learn(now, node, News::History(news));
                    let anew = decide(planner.cluster(), planner.state());
                    assert!(*planner.outcome() == anew, "{}: {node}, {place}", path.display());
                }
            }
        }
    }
}
