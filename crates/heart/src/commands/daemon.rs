//! `heart daemon`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use heart_daemon::setup::Places;

/// Run the daemon of this node, in the foreground
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The configuration, the same file on every node
    #[arg(long, default_value = "/etc/heart/heart.toml", value_name = "FILE")]
    config: PathBuf,
    /// Where it keeps what has to survive a power cut
    #[arg(long, default_value = "/var/lib/heart", value_name = "DIR")]
    state: PathBuf,
    /// Where it keeps what lives as long as the machine is up
    #[arg(long, default_value = "/run/heart", value_name = "DIR")]
    run: PathBuf,
    /// Which node of the configuration this machine is, if not the one of its host name
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

/// Runs the daemon until it is told to end.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options { config, state, run, node } = options;
    heart_daemon::daemon(&Places { config, state, run, node })
}
