//! `heart version`.

use std::process::ExitCode;

use clap::Args;
use heart_node::ledger;

use crate::{failure::Failure, output};

/// Say which version this is
#[derive(Debug, Args)]
pub(crate) struct Options {}

/// Says it.
pub(crate) fn run(_options: Options) -> Result<ExitCode, Failure> {
    output::print(&format!("heart {} (log format {})\n", env!("CARGO_PKG_VERSION"), ledger::VERSION))?;
    Ok(ExitCode::SUCCESS)
}
