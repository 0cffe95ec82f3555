//! `heart release`.

use std::process::ExitCode;

use clap::Args;
use heart_model::Name;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output};

/// Take over again what was taken over too often, and use a node again that was lost over and over
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A resource, a group or a node; everything if not said
    #[arg(value_parser = Name::new)]
    name: Option<Name>,
}

/// Asks for it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let text = client.demand(&Request::Release { name: options.name })?;
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
