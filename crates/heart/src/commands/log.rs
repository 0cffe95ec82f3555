//! `heart log`.

use std::process::ExitCode;

use clap::Args;
use heart_node::core::{Request, Response};

use crate::{
    client::{Client, unexpected},
    failure::Failure,
    output, render,
};

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
    match client.ask(&Request::Log { limit: options.limit })? {
        Response::Log { timeline } => {
            if options.json {
                output::print_json(&timeline)?;
            } else {
                output::print(&render::log(&timeline, &output::look()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}
