//! `heart simulate`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use heart_config::cib::{CIB_BYTES_MAX, CibMistake, Imported, date};

use heart_model::{Spec, policy::State};
use heart_scheduler::{
    engine::{
        inject::{self, Refused},
        settle::{self, End},
    },
    lower,
};

use crate::{
    failure::{Failure, Kind},
    output, render,
    simulation::{
        self, graph,
        result::{CaseResult, CourseResult},
    },
};

/// Say what would be done in a cluster that a file describes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  heart simulate cib.xml --fail-node ada           if ada were lost
  heart simulate cib.xml --fail-resource db@ada    if db failed on ada
  heart simulate cib.xml --fail-node ada --settle  the same, and everything that follows

The exit code is 1 if it does not settle.")]
pub(crate) struct Options {
    /// The description: the CIB of a Pacemaker cluster, as `cibadmin --query` prints it, or the
    /// configuration of Heart (a name that ends with `.toml`)
    #[arg(required_unless_present = "suite")]
    file: Option<PathBuf>,
    /// Say it as if it were that time (UTC), such as `2026-07-24 09:30:00`
    #[arg(short = 't', long, value_name = "TIME", value_parser = time)]
    now: Option<i64>,
    /// Say what would be done if that node were lost
    #[arg(long, value_name = "NODE")]
    fail_node: Vec<String>,
    /// Say what would be done if that node came back
    #[arg(long, value_name = "NODE")]
    recover_node: Vec<String>,
    /// Say what would be done if that resource failed: on that node, or wherever it is active. A group or a
    /// clone fails with all that is in it
    #[arg(long, value_name = "RESOURCE[@NODE]")]
    fail_resource: Vec<String>,
    /// Say what would be done if the failures of that resource were forgotten, as `heart forgive` does it
    #[arg(long, value_name = "RESOURCE[@NODE]")]
    recover_resource: Vec<String>,
    /// Go on until nothing is left to do: take it that all of it succeeds, and plan again from there
    #[arg(long, conflicts_with = "graph")]
    settle: bool,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "graph")]
    json: bool,
    /// Print a drawing of what waits for what
    #[arg(long, value_name = "FORM")]
    graph: Option<Form>,
    /// Print the result of every description in that folder, a line of JSON each; a file `args.json`
    /// there may say the time of some
    #[arg(long, value_name = "FOLDER", conflicts_with_all = [
        "file", "json", "graph", "settle", "fail_node", "recover_node", "fail_resource", "recover_resource",
    ])]
    suite: Option<PathBuf>,
}

/// How a drawing is made.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For Graphviz
    Dot,
    /// A picture for browsers
    Svg,
}

pub(super) fn time(text: &str) -> Result<i64, String> {
    date(text).ok_or_else(|| "this is no time; write it as `2026-07-24 09:30:00`".to_owned())
}

/// Says it.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    if let Some(folder) = &options.suite {
        return suite(folder, options.now);
    }
    let Some(file) = &options.file else {
        return Err(Failure::problem("no file is named", "name it: `heart simulate FILE`"));
    };
    let name = file.to_string_lossy();
    let mut imported = described(file, options.now)?;
    inject(options, &mut imported)?;
    if options.settle {
        return settled(&name, &imported, options.json);
    }
    let outcome = simulation::decide(&imported);
    if options.json {
        let mut result = CaseResult::of(&name, &outcome);
        result.notes = imported.report.iter().map(ToString::to_string).collect();
        result.look_again = outcome.look_again;
        output::print_json(&result)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = match options.graph {
        Some(Form::Dot) => graph::dot(&outcome),
        Some(Form::Svg) => graph::svg(&outcome),
        None => render::simulation(&outcome, &imported.report, &output::look()),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The cluster that a file describes, at a time.
pub(super) fn described(file: &Path, now: Option<i64>) -> Result<Imported, Failure> {
    if is_configuration(file) {
        return Ok(at_rest(&configured(file)?, now));
    }
    let bytes = bytes_of(file).map_err(|error| unreadable(file, &error))?;
    let read = simulation::read(&file.to_string_lossy(), &bytes, output::now_s());
    let mut imported = read.map_err(|mistakes| of_mistakes(&mistakes))?;
    imported.state.now = now.or(imported.state.now);
    Ok(imported)
}

/// Whether a file is one of Heart's own, by its name.
pub(super) fn is_configuration(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "toml")
}

/// What Heart's own file configures. Paths in it belong to the machines of that cluster, which need not be this one.
pub(super) fn configured(file: &Path) -> Result<Spec, Failure> {
    let bytes = bytes_of(file).map_err(|error| unreadable(file, &error))?;
    let read = heart_config::read(&file.to_string_lossy(), &bytes, &heart_config::NoEnvironment);
    let checked = read.map_err(|report| {
        let hint = format!("`heart check {}` shows every mistake at its place", file.display());
        Failure::problem(report.summary(), hint)
    })?;
    Ok(checked.spec)
}

/// The same in the words of the policy engine, with all its nodes there and nothing started yet.
fn at_rest(spec: &Spec, now: Option<i64>) -> Imported {
    let now = now.or(Some(output::now_s()));
    let cluster = lower::lower(spec, now);
    let state = State { now, ..lower::at_rest(&cluster) };
    Imported { cluster, state, report: Vec::new() }
}

fn inject(options: &Options, imported: &mut Imported) -> Result<(), Failure> {
    let Imported { cluster, state, .. } = imported;
    let unknown = |name: &String| {
        let known: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        let hint = format!("its nodes are: {}", known.join(", "));
        Failure::problem(format!("the description knows no node `{name}`"), hint)
    };
    for name in &options.fail_node {
        if !inject::fail(cluster, state, name) {
            return Err(unknown(name));
        }
    }
    for name in &options.recover_node {
        if !inject::recover(cluster, state, name) {
            return Err(unknown(name));
        }
    }
    for text in &options.fail_resource {
        let (resource, node) = resource_at(text);
        let done = inject::fail_resource(cluster, state, resource, node);
        done.map_err(|refused| unchanged(resource, node, refused, &unknown))?;
    }
    for text in &options.recover_resource {
        let (resource, node) = resource_at(text);
        let done = inject::recover_resource(cluster, state, resource, node);
        done.map_err(|refused| unchanged(resource, node, refused, &unknown))?;
    }
    Ok(())
}

/// `RESOURCE` or `RESOURCE@NODE`.
fn resource_at(text: &str) -> (&str, Option<&str>) {
    text.rsplit_once('@').map_or((text, None), |(resource, node)| (resource, Some(node)))
}

/// Why a resource was made neither to fail nor to come back.
fn unchanged(
    resource: &str,
    node: Option<&str>,
    refused: Refused,
    unknown: &dyn Fn(&String) -> Failure,
) -> Failure {
    let there = node.map_or_else(|| "anywhere".to_owned(), |node| format!("on {node}"));
    let elsewhere = |on: &[String], nowhere: &str, what: &str| match on {
        [] => nowhere.to_owned(),
        on => format!("{what} on: {}", on.join(", ")),
    };
    match refused {
        Refused::Node => unknown(&node.unwrap_or_default().to_owned()),
        Refused::Resource => Failure::problem(
            format!("the description knows no resource `{resource}`"),
            "`heart simulate FILE` shows what there is",
        ),
        Refused::Inactive(on) => Failure::problem(
            format!("{resource} cannot fail {there}: it is not active there"),
            elsewhere(&on, "what is active where shows `heart simulate FILE`", "it is active"),
        ),
        Refused::Unfailed(on) => Failure::problem(
            format!("{resource} has no failure {there} that could be forgotten"),
            elsewhere(&on, "what has failed shows `heart simulate FILE`", "it has one"),
        ),
    }
}

/// Says how it goes on, plan after plan.
fn settled(name: &str, imported: &Imported, json: bool) -> Result<ExitCode, Failure> {
    let now = imported.state.now.unwrap_or_else(output::now_s);
    let course = settle::settle(&imported.cluster, &imported.state, now);
    if json {
        let notes = imported.report.iter().map(ToString::to_string).collect();
        output::print_json(&CourseResult::of(name, &course, notes))?;
    } else {
        output::print(&render::course(&course, &imported.report, &output::look()))?;
    }
    Ok(match course.end {
        End::Settled => ExitCode::SUCCESS,
        End::Unsettled { .. } => ExitCode::from(Kind::Problem.code()),
    })
}

/// Every description in a folder, in the order of the names.
fn suite(folder: &Path, now: Option<i64>) -> Result<ExitCode, Failure> {
    let mut files = descriptions(folder).map_err(|error| unreadable(folder, &error))?;
    files.sort();
    let times = times(folder)?;
    let mut failed = false;
    for file in files {
        let case = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let result = one_case(&file, &case, times.get(&case).copied().or(now));
        failed |= result.error.is_some();
        let line = serde_json::to_string(&result).map_err(|error| {
            Failure::problem(format!("cannot be said in JSON: {error}"), "report this with the case")
        })?;
        if !output::print(&format!("{line}\n"))? {
            break;
        }
    }
    Ok(if failed { ExitCode::from(Kind::Problem.code()) } else { ExitCode::SUCCESS })
}

fn descriptions(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            files.push(path);
        }
    }
    Ok(files)
}

fn one_case(file: &Path, case: &str, now: Option<i64>) -> CaseResult {
    let decided = bytes_of(file).map_err(|error| error.to_string()).and_then(|bytes| {
        let read = simulation::read(case, &bytes, output::now_s());
        let mut imported = read.map_err(|mistakes| of_mistakes(&mistakes).message)?;
        imported.state.now = now.or(imported.state.now);
        // One case that breaks the engine must not hide what becomes of the others.
        let outcome = std::panic::catch_unwind(|| simulation::decide(&imported));
        outcome.map_err(|_| "the engine failed: report this with the case".to_owned())
    });
    match decided {
        Ok(outcome) => CaseResult::of(case, &outcome),
        Err(error) => CaseResult::failed(case, error),
    }
}

/// The times that `args.json` gives: `{"origin": "2014-05-07 00:28:00"}`, or `["-t", "2014-…"]`.
fn times(folder: &Path) -> Result<BTreeMap<String, i64>, Failure> {
    let path = folder.join("args.json");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(BTreeMap::new()) };
    let wrong = |what: String| {
        let hint = r#"write it as {"case": "2026-07-24 09:30:00"}"#;
        Failure::problem(format!("{} cannot be used: {what}", path.display()), hint)
    };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let cases = value.as_object().ok_or_else(|| wrong("it is no object".to_owned()))?;
    let mut times = BTreeMap::new();
    for (case, value) in cases {
        // As a whole index has it, or the arguments alone, or the time alone.
        let value = value.get("args").unwrap_or(value);
        let words: Vec<&str> = match value {
            serde_json::Value::String(text) => vec![text],
            serde_json::Value::Array(words) => words.iter().filter_map(|word| word.as_str()).collect(),
            _ => continue,
        };
        let Some(text) = words.last().map(|text| text.trim().trim_start_matches("-t").trim()) else {
            continue;
        };
        let time = date(text).ok_or_else(|| wrong(format!("`{text}` of {case} is no time")))?;
        times.insert(case.clone(), time);
    }
    Ok(times)
}

/// The file, but not more of it than it takes to see that it is too large.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CIB_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn of_mistakes(mistakes: &[CibMistake]) -> Failure {
    let messages: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let hint = mistakes.first().map_or("", |mistake| mistake.hint.as_str());
    Failure::problem(messages.join("; "), hint)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let (what, hint) = match error.kind() {
        io::ErrorKind::NotFound => ("it is not there".into(), "is its name right, and the folder?"),
        io::ErrorKind::PermissionDenied => ("this user may not read it".into(), "try again with `sudo`"),
        io::ErrorKind::IsADirectory => {
            ("it is a folder".into(), "for a folder: `heart simulate --suite FOLDER`")
        }
        _ => (error.to_string(), "is the file on a disk that works?"),
    };
    Failure::problem(format!("cannot read {}: {what}", path.display()), hint)
}
