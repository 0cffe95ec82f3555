//! `heart why`.

use std::process::ExitCode;

use clap::Args;
use heart_model::ResourceName;
use heart_node::core::{Request, Response};

use crate::{
    client::{Client, unexpected},
    failure::Failure,
    output, render,
};

/// Say why a resource is where it is, or is not
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which
    #[arg(value_parser = ResourceName::new)]
    resource: ResourceName,
}

/// Says why.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let Options { resource } = options;
    match client.ask(&Request::Why { resource: resource.clone() })? {
        Response::Why { reasons, next } => {
            output::print(&render::why(resource.as_str(), &reasons, &next, &output::look()))?;
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}
