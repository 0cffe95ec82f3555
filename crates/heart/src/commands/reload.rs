//! `heart reload`.

use std::{path::Path, process::ExitCode};

use clap::Args;
use heart_daemon::guardian::reload;

use crate::{failure::Failure, output};

/// Have this node's daemon read its configuration again, without stopping anything
#[derive(Debug, Args)]
pub(crate) struct Options {}

/// Asks for it. The file is checked first: one with mistakes is refused whole.
pub(crate) fn run(_: &Options, socket: &Path) -> Result<ExitCode, Failure> {
    let directory = socket.parent().unwrap_or(Path::new("/run/heart"));
    let done = reload(directory).map_err(|error| {
        let text = format!("{error:#}");
        let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, "nothing was changed"));
        Failure::problem(message, hint)
    })?;
    let (file, node) = (done.file.display(), done.node);
    let text = if done.changed {
        format!(
            "{node} goes by {file} from now on; what it says of the cluster counts as soon as all nodes that \
             are heard have the same: `heart status` tells"
        )
    } else {
        format!("{file} says what {node} goes by already")
    };
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
