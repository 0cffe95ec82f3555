//! `heart takeover`.

use std::process::ExitCode;

use clap::Args;
use heart_model::NodeName;
use heart_node::core::Request;

use super::confirm_off::who;
use crate::{client::Client, failure::Failure, output};

/// Go on without nodes that are off, where too few are left to agree on anything
///
/// Ask on a node that is left. Of a pair without a witness and without devices that switch a node off, the other one
/// goes on by itself only if its peer left in order; after a power cut it waits until you say this.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --i-made-sure it only says what is at stake. It is written down who said it, and when.")]
pub(crate) struct Options {
    /// All nodes that vote and are not heard, separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "NODE", value_parser = NodeName::new)]
    peers_are_off: Vec<NodeName>,
    /// You have made sure that none of them has power
    #[arg(long)]
    i_made_sure: bool,
}

/// Asks what is at stake, or does it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let Options { peers_are_off: without, i_made_sure: sure } = options;
    let said = client.demand(&Request::TakeOver { without, who: who(), sure })?;
    output::print(&format!("{said}\n"))?;
    Ok(ExitCode::SUCCESS)
}
