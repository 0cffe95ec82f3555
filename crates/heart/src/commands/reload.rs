//! `heart reload`.

use std::{path::Path, process::ExitCode};

use clap::Args;
use heart_daemon::guardian::reload;

use crate::{
    failure::{Failure, Kind},
    output,
};

/// Have this node's daemon read its configuration again, without stopping anything
#[derive(Debug, Args)]
pub(crate) struct Options {}

/// Asks for it. The file is checked first: one with mistakes is refused whole.
pub(crate) fn run(_: &Options, socket: &Path) -> Result<ExitCode, Failure> {
    let directory = socket.parent().unwrap_or(Path::new("/run/heart"));
    let done = match reload(directory) {
        Ok(done) => done,
        // Every mistake of a file stands in lines of its own.
        Err(error) => {
            eprintln!("error: {error:#}\nEverything stays as it is.");
            return Ok(ExitCode::from(Kind::Problem.code()));
        }
    };
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
