//! The demonstration: a cluster on one machine, broken before your eyes.
//!
//! Three nodes and a client, the real daemon on each node, a real web server as the service. The
//! story loses the active node, gets it back, cuts the network in two and heals it. What is shown
//! is what the client measured and what the cluster says of itself; what is claimed (nobody ever
//! had the address twice, nothing moved back, nothing restarted) is checked.

mod cluster;
mod screen;
pub(crate) mod service;
mod story;

use std::process::ExitCode;

use anyhow::Result;

use crate::{Lab, Stamp, milliseconds};
use screen::Screen;
use story::{Report, Stage};

/// How to run the demonstration.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Run without a terminal; the last line is a summary as JSON
    #[arg(long)]
    pub script: bool,
    /// Leave the cluster running afterwards
    #[arg(long)]
    pub keep: bool,
}

/// What a kept cluster is called.
const NAME: &str = "demo";

/// Runs the demonstration; fails unless everything was as it should be.
#[must_use]
pub fn demo(options: Options) -> ExitCode {
    let began = Stamp::now();
    let mut report = Report::default();
    if let Err(error) = perform(options, &mut report) {
        report.problems.push(format!("{error:#}"));
    }
    report.seconds = Stamp::now().since(began).as_secs_f64();
    print!("{}", table(&report));
    if options.script {
        println!("{}", summary(&report));
    }
    if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn perform(options: Options, report: &mut Report) -> Result<()> {
    let lab = cluster::builder(NAME, options.keep).start()?;
    let kept = options.keep.then(|| lab.name().to_owned());
    let screen = if options.script { Screen::lines() } else { Screen::live() };
    let outcome = tell(&lab, screen, report);
    if let Some(name) = kept {
        println!("{}", farewell(&name));
    }
    outcome
}

fn tell(lab: &Lab, screen: Screen, report: &mut Report) -> Result<()> {
    let mut stage = Stage::set(lab, screen)?;
    let outcome = stage.play(report);
    if outcome.is_err() {
        report.problems.extend(cluster::last_words(lab));
    }
    outcome
}

/// How to talk to a cluster that is left running.
fn farewell(name: &str) -> String {
    let [first, ..] = cluster::NODES;
    format!(
        "\nThe cluster runs on. To talk to it:\n\
         \x20 heart lab --lab {name} exec {first} -- heart status\n\
         \x20 heart lab --lab {name} fault power-cut {first}\n\
         \x20 heart lab --lab {name} probe {}\n\
         To end it:\n\
         \x20 heart lab --lab {name} down",
        cluster::ADDRESS
    )
}

fn table(report: &Report) -> String {
    let mut text = String::from("\n");
    for (what, length) in &report.measured {
        text += &format!("{:<52} {:>12}\n", what.text(), milliseconds(*length));
    }
    if let Some(overlaps) = report.overlaps {
        text += &format!("{:<52} {overlaps:>12}\n", "times that two nodes had the address");
    }
    for problem in &report.problems {
        text += &format!("not as it should be: {problem}\n");
    }
    text
}

fn summary(report: &Report) -> String {
    let measured: serde_json::Map<String, serde_json::Value> = report
        .measured
        .iter()
        .map(|(what, length)| (what.key().to_owned(), (length.as_micros() as f64 / 1e3).into()))
        .collect();
    serde_json::json!({
        "ok": report.problems.is_empty(),
        "seconds": (report.seconds * 10.0).round() / 10.0,
        "measured_ms": measured,
        "overlaps": report.overlaps,
        "problems": report.problems,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use story::Measure;

    #[test]
    fn the_summary_is_one_line_and_says_whether_all_was_well() {
        let mut report = Report { seconds: 12.34, overlaps: Some(0), ..Report::default() };
        report.measured.push((Measure::PowerCut, Duration::from_micros(812_400)));
        let expected =
            r#"{"measured_ms":{"power_cut":812.4},"ok":true,"overlaps":0,"problems":[],"seconds":12.3}"#;
        assert_eq!(summary(&report), expected);
        report.problems.push("x\ny".into());
        assert!(summary(&report).contains(r#""ok":false"#) && !summary(&report).contains('\n'));
    }
}
