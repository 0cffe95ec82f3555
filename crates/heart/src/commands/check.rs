//! `heart check`.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use heart_agents::{fence::Fencing, wait::Bell};
use heart_config::{Environment, FileFacts, Found};
use heart_daemon::setup::ThisMachine;
use heart_model::{AgentInfo, AgentRef, CONFIGURATION_BYTES_MAX, FenceAgent, FenceParameter};

use crate::{
    failure::{Failure, Kind},
    output, render,
};

/// Check a configuration, and say what it comes to
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The configuration
    #[arg(default_value = "/etc/heart/heart.toml")]
    file: PathBuf,
    /// Print every mistake as JSON
    #[arg(long)]
    json: bool,
}

/// This machine, with the programs that know how to talk to devices: they are asked what they can be told, each once.
/// A daemon does not do that: it would wait for them when it starts.
struct Asking {
    fencing: Fencing,
    never: Bell,
    known: RefCell<BTreeMap<FenceAgent, Result<Vec<FenceParameter>, String>>>,
}

impl Environment for Asking {
    fn file(&self, path: &str) -> Found<FileFacts> {
        ThisMachine.file(path)
    }

    fn agent(&self, agent: &AgentRef) -> Found<AgentInfo> {
        ThisMachine.agent(agent)
    }

    fn fence_agent(&self, agent: &FenceAgent) -> Found<Result<Vec<FenceParameter>, String>> {
        if !self.fencing.has(agent) {
            return Found::Missing;
        }
        let mut known = self.known.borrow_mut();
        let ask = || self.fencing.parameters(agent, &self.never);
        Found::Present(known.entry(agent.clone()).or_insert_with(ask).clone())
    }

    fn guest(&self) -> Option<String> {
        ThisMachine.guest()
    }

    fn agents(&self) -> Vec<AgentRef> {
        ThisMachine.agents()
    }
}

/// Checks it. Warnings are shown, and do not fail.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let bytes = bytes_of(&options.file).map_err(|error| unreadable(&options.file, &error))?;
    let look = output::look();
    let never = Bell::new().map_err(|error| {
        let what = format!("cannot ask the agents of devices what they can be told: {error}");
        Failure::problem(what, "has this user too many files open?")
    })?;
    let machine = Asking { fencing: Fencing::default(), never, known: RefCell::default() };
    let checked = heart_config::read(&options.file.to_string_lossy(), &bytes, &machine);
    let report = checked.as_ref().map_or_else(|report| report, |checked| &checked.warnings);
    if options.json {
        output::print(&format!("{}\n", report.to_json()))?;
    } else {
        let mut text =
            if report.is_empty() { report.summary() + "\n" } else { report.render_text(look.color) };
        if let Ok(checked) = &checked {
            text = format!("{text}\n{}", render::summary(checked, &look));
        }
        output::print(&text)?;
    }
    Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(Kind::Problem.code()) })
}

/// The file, but not more of it than it takes to see that it is too large.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CONFIGURATION_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let (what, hint) = match error.kind() {
        io::ErrorKind::NotFound => ("it is not there".into(), "name the file: `heart check FILE`"),
        io::ErrorKind::PermissionDenied => {
            ("this user may not read it".into(), "try again as root, with `sudo`")
        }
        io::ErrorKind::IsADirectory => ("it is a folder".into(), "name a file in it: `heart check FILE`"),
        _ => (error.to_string(), "is the file on a disk that works?"),
    };
    Failure::problem(format!("cannot read {}: {what}", path.display()), hint)
}
