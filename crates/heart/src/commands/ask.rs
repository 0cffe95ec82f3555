//! `heart ask`: for tests and tools.

use std::process::ExitCode;

use clap::Args;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output};

/// Ask the daemon a question in its own words, and print the answer in its own words
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The question, as JSON
    #[arg(value_parser = read)]
    question: Request,
}

fn read(text: &str) -> Result<Request, serde_json::Error> {
    serde_json::from_str(text)
}

/// Asks.
pub(crate) fn run(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    let text = client.ask_plainly(&options.question)?;
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
