//! The manual tells no lies: its examples are right, its mistakes are those that are found, and every key
//! of the file is in it.
//!
//! A block that is marked `toml` goes on from the first one, unless it has nodes itself. One marked `toml
//! wrong` is a whole file, and the block `text` after it what is said of it. `REWRITE=1` writes that anew.

use std::{fs, path::PathBuf};

use heart_config::{Code, NoEnvironment, read};
use heart_model::builtin_agents;

const FILE: &str = "/etc/heart/heart.toml";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md")
}

/// The blocks of a text: how each is marked, and what is in it.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let opened = text.split("\n```").skip(1).step_by(2);
    opened.filter_map(|block| block.split_once('\n')).collect()
}

/// The examples that are right, each as a whole file.
fn examples(text: &str) -> Vec<String> {
    let all: Vec<&str> =
        blocks(text).into_iter().filter(|(mark, _)| *mark == "toml").map(|(_, body)| body).collect();
    let first = all[0];
    let whole = |body: &&str| match (body.contains("[cluster]"), body.contains("[node.")) {
        (true, true) => (*body).to_owned(),
        (_, _) => format!("{first}\n{body}"),
    };
    all.iter().map(whole).collect()
}

#[test]
fn every_example_is_right() {
    let text = fs::read_to_string(path()).unwrap();
    let examples = examples(&text);
    assert!(examples.len() >= 14, "only {} examples", examples.len());
    for example in examples {
        let warnings = match read(FILE, example.as_bytes(), &NoEnvironment) {
            Ok(checked) => checked.warnings,
            Err(report) => panic!("{example}\n{}", report.render_text(false)),
        };
        let expected = |code: Code| matches!(code, Code::UnusedTime) && !example.contains("[resource.");
        for mistake in warnings.mistakes() {
            assert!(expected(mistake.code), "{example}\n{}", warnings.render_text(false));
        }
    }
}

#[test]
fn what_is_said_of_mistakes_is_what_stands_there() {
    let text = fs::read_to_string(path()).unwrap();
    let blocks = blocks(&text);
    let mut pairs = blocks.windows(2).filter(|pair| pair[0].0 == "toml wrong").peekable();
    assert!(pairs.peek().is_some(), "no mistake is shown");
    for pair in pairs {
        let ((_, wrong), (mark, shown)) = (pair[0], pair[1]);
        assert_eq!(mark, "text", "after {wrong}");
        let report = read(FILE, wrong.as_bytes(), &NoEnvironment).expect_err("it has mistakes");
        let said = report.render_text(false);
        if std::env::var_os("REWRITE").is_some() {
            let place = text.find(wrong).unwrap() + wrong.len();
            let (before, after) = text.split_at(place);
            let anew =
                after.replacen(&format!("```text\n{shown}"), &format!("```text\n{}", said.trim_end()), 1);
            fs::write(path(), format!("{before}{anew}")).unwrap();
        } else {
            assert_eq!(shown.trim_end(), said.trim_end());
        }
    }
}

#[test]
fn every_key_is_explained() {
    let text = fs::read_to_string(path()).unwrap();
    let shown: String = blocks(&text).into_iter().map(|(_, body)| body).collect();
    let tables =
        ["name", "key_file", "port", "profile", "heartbeat", "lost_after", "let_go", "kind", "interface"];
    let nodes = ["addresses", "voter", "capacity", "fence", "watchdog", "never_paused", "members"];
    let resources = ["agent", "guard", "start_timeout", "stop_timeout", "status_timeout", "status_every"];
    let wishes =
        ["prefers", "avoids", "never", "with", "after", "needs", "copies", "promotable", "during", "ticket"];
    let times = ["weekdays", "days", "months", "hours", "from", "until", "failures_max"];
    let all = tables.into_iter().chain(nodes).chain(resources).chain(wishes).chain(times);
    for key in all {
        assert!(shown.contains(&format!("{key} = ")), "`{key}` is in no example");
    }
    for parameter in builtin_agents().into_iter().flat_map(|agent| agent.parameters) {
        let said = format!("{} = ", parameter.name);
        assert!(
            shown.contains(&said) || text.contains(&format!("`{said}")),
            "`{}` is nowhere",
            parameter.name
        );
    }
}
