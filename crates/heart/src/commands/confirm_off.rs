//! `heart confirm-off`.

use std::{env, process::ExitCode};

use clap::Args;
use heart_model::NodeName;
use heart_node::core::Request;

use crate::{client::Client, failure::Failure, output};

/// Say that a lost node is off for certain, so that what it ran may be started elsewhere
#[derive(Debug, Args)]
#[command(after_help = "\
Go and look before you say it: what the node runs on shared data is started a second time, and if it was
not off, the data is lost. It is written down who said it, and when.")]
pub(crate) struct Options {
    /// The node
    #[arg(value_parser = NodeName::new)]
    node: NodeName,
    /// You have made sure that it has no power, or was booted anew and is cut off from its storage
    #[arg(long)]
    i_made_sure: bool,
}

/// Says it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    let node = options.node;
    if !options.i_made_sure {
        let what =
            format!("is {node} off for certain? If not, what it runs would run twice on the same data");
        let hint = format!("make sure, and say so: `heart confirm-off {node} --i-made-sure`");
        return Err(Failure::problem(what, hint));
    }
    let said = client.demand(&Request::ConfirmOff { node, boot: None, who: who() })?;
    output::print(&format!("{said}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Who sits there, as far as the environment says.
pub(super) fn who() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".into())
}
