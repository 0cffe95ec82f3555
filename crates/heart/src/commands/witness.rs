//! `heart witness`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;

/// Decide between halves of clusters that are elsewhere, in the foreground
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where nodes reach it, such as 10.9.0.1:6940
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Where it keeps what has to survive a power cut
    #[arg(long, default_value = "/var/lib/heart-witness", value_name = "DIR")]
    state: PathBuf,
    /// The keys of the clusters, each as CLUSTER.key
    #[arg(long, default_value = "/etc/heart/witness", value_name = "DIR")]
    clusters: PathBuf,
}

/// Runs the witness until it is killed.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options { listen, state, clusters } = options;
    heart_daemon::witness(&heart_daemon::witness::Options { listen, state, clusters })
}
