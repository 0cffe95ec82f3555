//! What has to hold for any bytes that somebody takes for a configuration.

use heart_config::{Code, Environment, FileFacts, Found, Mistake, NoEnvironment, Report, print, read};
use heart_model::{AgentInfo, AgentRef};

/// A machine where nothing is as it should be.
struct Bare;

impl Environment for Bare {
    fn file(&self, _path: &str) -> Found<FileFacts> {
        Found::Missing
    }

    fn agent(&self, _agent: &AgentRef) -> Found<AgentInfo> {
        Found::Missing
    }

    fn agents(&self) -> Vec<AgentRef> {
        Vec::new()
    }
}

/// Reads and reports: whatever the bytes are, this ends and does not panic; what is valid is printed
/// and read back as the same, and every mistake has its place.
pub(crate) fn configuration(bytes: &[u8]) {
    match read("heart.toml", bytes, &NoEnvironment) {
        Ok(checked) => {
            let printed = print(&checked.spec);
            let again = read("printed", printed.as_bytes(), &NoEnvironment);
            let again = again.unwrap_or_else(|report| panic!("{printed}\n{}", report.render_text(false)));
            assert_eq!(again.spec, checked.spec, "{printed}");
            assert_eq!(print(&again.spec), printed);
            reported(&checked.warnings, &checked.text);
        }
        Err(report) => {
            let json = reported(&report, &String::from_utf8_lossy(bytes));
            assert!(json["errors"].as_u64() > Some(0));
        }
    }
    // What is no mistake of the text alone may be one on a machine.
    let _ = read("heart.toml", bytes, &Bare);
}

fn reported(report: &Report, text: &str) -> serde_json::Value {
    let rendered = report.render_text(false);
    assert_eq!(rendered.is_empty(), report.is_empty());
    assert!(rendered.len() < 1_000_000);
    let _ = report.render_text(true);
    for mistake in report.mistakes() {
        placed(mistake, text);
    }
    serde_json::from_str(&report.to_json()).expect("it is JSON")
}

/// Only what is missing from the whole file, or wrong with all of it, has no place in it.
fn placed(mistake: &Mistake, text: &str) {
    let whole = [Code::Empty, Code::TooLarge, Code::NotText, Code::NoNodes, Code::MissingCluster];
    match mistake.span {
        None => assert!(whole.contains(&mistake.code), "no place: {mistake:?}"),
        Some(span) => {
            // A broken character is shown as one of three bytes; a mistake may be that something is missing at the end.
            let end = text.len() + 1;
            assert!(span.start <= span.end && span.start <= end, "{span:?} of {end}: {mistake:?}");
        }
    }
    assert!(!mistake.message.is_empty());
}
