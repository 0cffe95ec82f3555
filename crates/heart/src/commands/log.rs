//! `heart log`.

use std::process::ExitCode;

use clap::Args;
use heart_node::core::{Request, Response};

use crate::{
    client::{Client, unexpected},
    failure::Failure,
    output, render,
};

/// So many entries before those that are told are looked at: they say on which node things were.
const LOOK_BACK: usize = 200;

/// Tell what happened in the cluster, oldest first
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Tell the last so many entries
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Tells it.
pub(crate) fn run(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    match client.ask(&Request::Log { limit: options.limit.saturating_add(LOOK_BACK) })? {
        Response::Log { timeline } => {
            let before = timeline.len().saturating_sub(options.limit);
            if options.json {
                output::print_json(&timeline[before..])?;
            } else {
                output::print(&render::log(&timeline, before, &output::look()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}
