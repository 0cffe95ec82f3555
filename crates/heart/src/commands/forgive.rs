//! `heart forgive`.

use std::process::ExitCode;

use clap::Args;
use heart_model::ResourceName;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output};

/// Forget the failures of a resource, or of all: their cause is mended
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which; all if not said
    #[arg(value_parser = ResourceName::parse)]
    resource: Option<ResourceName>,
}

/// Asks for it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let text = client.demand(&Request::Forgive { resource: options.resource })?;
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
