//! `heart status`.

use std::{process::ExitCode, thread, time::Duration};

use clap::Args;

use crate::{client::Client, failure::Failure, output, render};

/// How often `--watch` looks again.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Empties a terminal, and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Show who leads, who is heard, what runs where, what is wrong and what happens next
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print it as JSON, for programs; keys are only ever added
    #[arg(long)]
    json: bool,
    /// Show every resource, problem and step, however many there are
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Show it again every second, until ^C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// Shows it.
pub(crate) fn run(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    if options.watch {
        return watch(options, client);
    }
    let view = client.status()?;
    if options.json {
        output::print_json(&view)?;
    } else {
        output::print(&render::status(&view, options.all, &output::look()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows it over and over. A daemon that is away may come back, so its absence is shown too.
fn watch(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    loop {
        let screen = match client.status() {
            Ok(view) => render::status(&view, options.all, &output::look()),
            Err(failure) => failure.text(),
        };
        if !output::print(&format!("{CLEAR}{screen}"))? {
            return Ok(ExitCode::SUCCESS);
        }
        thread::park_timeout(WATCH_EVERY);
    }
}
