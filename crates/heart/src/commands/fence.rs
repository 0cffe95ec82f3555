//! `heart fence`.

use std::process::ExitCode;

use clap::Args;
use heart_model::NodeName;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output};

/// Try again to switch off a lost node, after it was given up
#[derive(Debug, Args)]
#[command(after_help = "\
A lost node is switched off by itself when something it ran may be started elsewhere only then. When no
device can prove that it is off, that is given up after some attempts, and `heart status` says so: this
begins them anew.")]
pub(crate) struct Options {
    /// The node
    #[arg(value_parser = NodeName::new)]
    node: NodeName,
}

/// Asks for it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let said = client.demand(&Request::Fence { node: options.node })?;
    output::print(&format!("{said}\n"))?;
    Ok(ExitCode::SUCCESS)
}
