//! Every file of the corpus says what it should, word for word.
//!
//! `REWRITE=1` writes what is said now; the difference is for review. Files in `valid` have a
//! `.txt` only if there is a warning.

use std::{fs, path::PathBuf};

use heart_config::{Code, Environment, FileFacts, FolderFacts, Found, Report, print, read};
use heart_model::{
    AgentInfo, AgentRef, FenceAgent, FenceParameter, Guard, ParameterInfo, ParameterKind, builtin_agents,
};

/// A machine on which two OCF agents are installed, and files are what their names say.
struct Machine;

impl Environment for Machine {
    fn file(&self, path: &str) -> Found<FileFacts> {
        match path.rsplit('/').next() {
            Some("missing" | "fence_missing") => Found::Missing,
            Some("exposed") => Found::Present(FileFacts { executable: false, exposed: true }),
            Some("key" | "plain" | "bmc") => Found::Present(FileFacts { executable: false, exposed: false }),
            _ => Found::Present(FileFacts { executable: true, exposed: false }),
        }
    }

    fn agent(&self, agent: &AgentRef) -> Found<AgentInfo> {
        match agent.to_string().as_str() {
            "ocf:heartbeat:Dummy" => Found::Present(dummy("Dummy", false)),
            "ocf:heartbeat:Stateful" => Found::Present(dummy("Stateful", true)),
            _ => Found::Missing,
        }
    }

    fn fence_agent(&self, agent: &FenceAgent) -> Found<Result<Vec<FenceParameter>, String>> {
        match agent.to_string().as_str() {
            "fence_described" => Found::Present(Ok(described())),
            "external/described" => {
                Found::Present(Ok(vec![told("hostlist", true, None), told("community", true, None)]))
            }
            "fence_mute" => Found::Present(Err("gave no answer within 10s".into())),
            _ => Found::Unknown,
        }
    }

    fn folder_of(&self, path: &str) -> Found<FolderFacts> {
        match path {
            "/mnt/shared/web" => Found::Present(FolderFacts { mount_point: true, local: false }),
            "/mnt/missing/heart/web" => Found::Present(FolderFacts { mount_point: false, local: true }),
            _ => Found::Present(FolderFacts { mount_point: false, local: false }),
        }
    }

    fn guest(&self) -> Option<String> {
        Some("guest".into())
    }

    fn agents(&self) -> Vec<AgentRef> {
        vec![dummy("Dummy", false).agent, dummy("Stateful", true).agent]
    }
}

/// An agent that does nothing, and says whether it can promote a copy.
fn dummy(kind: &str, promotes: bool) -> AgentInfo {
    let parameter = |name: &str| ParameterInfo {
        name: name.into(),
        summary: String::new(),
        kind: ParameterKind::Text,
        required: false,
        default: None,
    };
    AgentInfo {
        agent: AgentRef::Ocf { provider: "heartbeat".into(), kind: kind.into() },
        summary: "Does nothing".into(),
        description: String::new(),
        parameters: vec![parameter("state"), parameter("fake")],
        guard: Guard::Fence,
        promotes,
    }
}

fn told(name: &str, required: bool, former: Option<&str>) -> FenceParameter {
    let (name, kind) = (name.to_owned(), ParameterKind::Text);
    let summary = if name == "ip" { "Address of the device".into() } else { String::new() };
    let info = ParameterInfo { name, summary, kind, required, default: None };
    FenceParameter { info, former: former.map(str::to_owned), outdated: false }
}

/// As programs of fence-agents say it: what has a new name stands there under both.
fn described() -> Vec<FenceParameter> {
    let outdated = |name| FenceParameter { outdated: true, ..told(name, true, None) };
    let action = told("action", true, None);
    let action =
        FenceParameter { info: ParameterInfo { default: Some("reboot".into()), ..action.info }, ..action };
    vec![
        action,
        told("ip", true, Some("ipaddr")),
        outdated("ipaddr"),
        told("username", true, Some("login")),
        outdated("login"),
        told("plug", true, Some("port")),
        outdated("port"),
        told("password", false, Some("passwd")),
        outdated("passwd"),
        told("ssl_insecure", false, None),
        told("identity_file", false, None),
    ]
}

fn files(kind: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(kind);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

/// Compares what is said with what is written beside the file, or writes it there.
fn expect(path: PathBuf, said: &str, wrong: &mut Vec<String>) {
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected == said {
        return;
    }
    if std::env::var_os("REWRITE").is_some() {
        if said.is_empty() { fs::remove_file(path).unwrap() } else { fs::write(path, said).unwrap() }
    } else {
        wrong.push(format!("{}\n--- expected\n{expected}\n--- said\n{said}", path.display()));
    }
}

fn judge(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} differ; REWRITE=1 writes them anew\n{}", wrong.len(), wrong.join("\n"));
}

fn compare(path: &std::path::Path, report: &Report, wrong: &mut Vec<String>) {
    let json = if report.is_empty() { String::new() } else { report.to_json() + "\n" };
    expect(path.with_extension("txt"), &report.render_text(false), wrong);
    expect(path.with_extension("json"), &json, wrong);
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_invalid_file_is_refused_in_these_words() {
    let mut wrong = Vec::new();
    let files = files("invalid");
    assert!(files.len() >= 220, "only {} files", files.len());
    for path in files {
        match read(&name(&path), &fs::read(&path).unwrap(), &Machine) {
            Ok(_) => wrong.push(format!("{}: no mistake was found", path.display())),
            Err(report) => compare(&path, &report, &mut wrong),
        }
    }
    judge(&wrong);
}

#[test]
fn the_example_of_the_first_cluster_is_right() {
    let text = include_str!("../../../docs/first-cluster.md");
    let (_, rest) = text.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let report = read("first-cluster.md", example.as_bytes(), &Machine).map(|checked| checked.warnings);
    let said = report.unwrap_or_else(|mistakes| mistakes).render_text(false);
    assert_eq!(said, "");
}

#[test]
fn every_valid_file_is_read_and_printing_keeps_its_meaning() {
    let mut wrong = Vec::new();
    let files = files("valid");
    assert!(files.len() >= 46, "only {} files", files.len());
    for path in files {
        match read(&name(&path), &fs::read(&path).unwrap(), &Machine) {
            Err(report) => wrong.push(report.render_text(false)),
            Ok(checked) => {
                compare(&path, &checked.warnings, &mut wrong);
                let printed = print(&checked.spec);
                expect(path.with_extension("printed"), &printed, &mut wrong);
                let again = read("printed", printed.as_bytes(), &Machine).unwrap();
                assert_eq!(again.spec, checked.spec, "{}", path.display());
                assert_eq!(print(&again.spec), printed, "{}", path.display());
            }
        }
    }
    judge(&wrong);
}

#[test]
fn every_kind_of_mistake_has_a_file() {
    let mut said = Vec::new();
    for path in files("invalid").into_iter().chain(files("valid")) {
        let report = match read("", &fs::read(&path).unwrap(), &Machine) {
            Ok(checked) => checked.warnings,
            Err(report) => report,
        };
        said.extend(report.mistakes().iter().map(|mistake| mistake.code));
    }
    // These need files that are huge, no text, very deep, or found by search: see `limits.rs`.
    let elsewhere = [Code::TooLarge, Code::NotText, Code::TooDeep, Code::NumberTaken];
    let missing: Vec<&Code> =
        Code::ALL.iter().filter(|code| !said.contains(code) && !elsewhere.contains(code)).collect();
    assert!(missing.is_empty(), "no file shows {missing:?}");
}

#[test]
fn every_mistake_that_has_a_place_says_what_is_there() {
    for path in files("invalid") {
        let Err(report) = read("", &fs::read(&path).unwrap(), &Machine) else { continue };
        for mistake in report.mistakes() {
            assert!(mistake.span.is_none() || !mistake.label.is_empty(), "{}: {mistake:?}", path.display());
            assert!(!mistake.message.ends_with('.'), "{}: {mistake:?}", path.display());
        }
    }
}

#[test]
fn built_in_agents_are_described() {
    for agent in builtin_agents() {
        assert!(!agent.summary.is_empty() && !agent.description.is_empty(), "{}", agent.agent);
        for parameter in agent.parameters {
            assert!(!parameter.summary.is_empty(), "{}: {}", agent.agent, parameter.name);
        }
    }
}
