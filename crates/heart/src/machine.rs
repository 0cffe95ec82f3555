//! The machine this runs on, as far as a configuration is concerned.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use heart_agents::ocf::OCF_ROOT;
use heart_config::{Environment, FileFacts, Found};
use heart_model::{AgentInfo, AgentRef};

/// Looks at the files of this machine. No agent is run: what one can be told stays unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisMachine;

impl Environment for ThisMachine {
    fn file(&self, path: &str) -> Found<FileFacts> {
        match fs::metadata(path) {
            Ok(metadata) => {
                let mode = metadata.permissions().mode();
                let executable = metadata.is_file() && mode & 0o111 != 0;
                Found::Present(FileFacts { executable, exposed: mode & 0o077 != 0 })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(_) => Found::Unknown,
        }
    }

    fn agent(&self, agent: &AgentRef) -> Found<AgentInfo> {
        match agent {
            AgentRef::BuiltIn(_) => Found::Unknown,
            AgentRef::Ocf { provider, kind } => {
                let there = ocf_agents().join(provider).join(kind).is_file();
                if there { Found::Unknown } else { Found::Missing }
            }
        }
    }

    fn agents(&self) -> Vec<AgentRef> {
        let of = |provider: String| {
            let kinds = names(&ocf_agents().join(&provider));
            kinds
                .into_iter()
                .filter_map(move |kind| AgentRef::try_from(format!("ocf:{provider}:{kind}")).ok())
        };
        names(&ocf_agents()).into_iter().flat_map(of).collect()
    }
}

fn ocf_agents() -> PathBuf {
    Path::new(OCF_ROOT).join("resource.d")
}

/// What is in a folder, in order, without what is hidden.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort_unstable();
    names
}
