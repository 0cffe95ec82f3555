//! `heart standby`.

use std::process::ExitCode;

use clap::Args;
use heart_model::NodeName;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output};

/// Run nothing on a node until it is resumed
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which
    #[arg(value_parser = NodeName::new)]
    node: NodeName,
}

/// Asks for it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let text = client.demand(&Request::Standby { node: options.node })?;
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
