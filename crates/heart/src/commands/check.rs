//! `heart check`.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use heart_agents::{disk::bounded, fence::Fencing, wait::Bell};
use heart_config::{Environment, FileFacts, FolderFacts, Found};
use heart_daemon::setup::{Places, ThisMachine};
use heart_model::{AgentInfo, AgentRef, CONFIGURATION_BYTES_MAX, FenceAgent, FenceParameter};

use crate::{
    failure::{Failure, Kind},
    output, render,
};

/// How long a file system may take to say what a folder is.
const LOOK_MAX: Duration = Duration::from_secs(2);

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

    /// Asked on a thread of its own: a file system that hangs is none of a person's who has a file checked.
    fn folder_of(&self, path: &str) -> Found<FolderFacts> {
        let Some(folder) = Path::new(path).parent().map(Path::to_owned) else { return Found::Unknown };
        let looks = folder.clone();
        let seen = bounded(&folder, LOOK_MAX, &self.never, move || Ok(look_at(&looks, &state())));
        seen.unwrap_or(Found::Unknown)
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

/// Where Heart keeps what has to survive here, if nobody said otherwise.
fn state() -> PathBuf {
    Places::default().state
}

/// On which file system a folder lies, compared with those that are this machine's own.
fn look_at(folder: &Path, state: &Path) -> Found<FolderFacts> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    match (device(folder), device(&folder.join(".."))) {
        (Ok(here), Ok(above)) => {
            let local = [Path::new("/"), state].iter().any(|path| device(path).is_ok_and(|own| own == here));
            Found::Present(FolderFacts { mount_point: here != above, local })
        }
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
        _ => Found::Unknown,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_on_the_nodes_own_disk_is_told_from_one_that_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("heart");
        fs::create_dir(&folder).unwrap();
        let own = look_at(&folder, dir.path());
        assert_eq!(own, Found::Present(FolderFacts { mount_point: false, local: true }));
        let mounted = look_at("/proc".as_ref(), dir.path());
        assert_eq!(mounted, Found::Present(FolderFacts { mount_point: true, local: false }));
        let below = look_at("/proc/self".as_ref(), dir.path());
        assert_eq!(below, Found::Present(FolderFacts { mount_point: false, local: false }));
        assert_eq!(look_at(&dir.path().join("none"), dir.path()), Found::Missing);
    }
}
