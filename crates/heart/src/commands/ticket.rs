//! `heart ticket`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use heart_model::Name;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output};

/// Say which tickets this cluster has
///
/// A resource with `ticket = "NAME"` in the configuration runs only while this cluster has that ticket. Give it to
/// one site at a time.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// This cluster has the ticket: what needs it may run here
    Grant {
        /// Which
        #[arg(value_parser = Name::new)]
        ticket: Name,
    },
    /// This cluster has it no more: what needs it stops
    Revoke {
        /// Which
        #[arg(value_parser = Name::new)]
        ticket: Name,
    },
}

/// Asks for it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let request = match options.what {
        What::Grant { ticket } => Request::Ticket { ticket, held: true },
        What::Revoke { ticket } => Request::Ticket { ticket, held: false },
    };
    let text = client.demand(&request)?;
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
