//! `heart unfence`.

use std::process::ExitCode;

use clap::Args;
use heart_model::NodeName;
use heart_node::core::Request;

use super::confirm_off::who;
use crate::{client::Client, failure::Failure, output};

/// Give a node power that was switched off
#[derive(Debug, Args)]
#[command(after_help = "\
The device that can switch the node off is told to switch it on, and asked whether it is. \
`after_fence = \"boot\"` in `[cluster]` does this by itself after each node that was switched off.")]
pub(crate) struct Options {
    /// The node
    #[arg(value_parser = NodeName::new)]
    node: NodeName,
}

/// Asks for it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let said = client.demand(&Request::Unfence { node: options.node, who: who() })?;
    output::print(&format!("{said}\n"))?;
    Ok(ExitCode::SUCCESS)
}
