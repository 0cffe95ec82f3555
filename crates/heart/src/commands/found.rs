//! `heart found`.

use std::process::ExitCode;

use clap::Args;
use heart_model::NodeName;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output, render::text::list};

/// Begin a cluster that never ran, without voters that are not there
///
/// A cluster that never ran begins by itself once all its voters are there: one that is missing might
/// have run it already, and hold what it says. If you know that the missing ones never ran in this
/// cluster, or lost their disks and are off, name them here. They can join at any time later.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Whom not to wait for, separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "NODE", value_parser = NodeName::new)]
    without: Vec<NodeName>,
    /// It is true that none of them runs anything of this cluster
    #[arg(long)]
    yes: bool,
}

/// Asks for it, if it was said that it is safe.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let names: Vec<String> = options.without.iter().map(ToString::to_string).collect();
    if !options.yes {
        let (all, one) = (list(&names), names.len() == 1);
        let (runs, it) = if one { ("runs", "it is") } else { ("run", "they are") };
        return Err(Failure::problem(
            format!(
                "if {all} {runs} anything of this cluster now, it would run twice from here on: two owners, and \
                 two histories that never come together"
            ),
            format!(
                "make sure that {it} off or never ran in this cluster, then add `--yes`: `heart found --without {} \
                 --yes`",
                names.join(",")
            ),
        ));
    }
    let text = client.demand(&Request::Found { without: options.without })?;
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
