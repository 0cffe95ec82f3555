//! What every process of a node needs to know, and where things are.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use heart_agents::{LeaseView, tie_break::words::WitnessKey};
use heart_config::{Environment, FileFacts, Found};
use heart_model::{AgentInfo, AgentRef, BootId, CONFIGURATION_BYTES_MAX, Moment, NodeName, Session, Spec};
use heart_node::frame::{ClusterKey, cluster_tag};
use serde::{Deserialize, Serialize};

use crate::{life, sys::MappedBoard};

/// Where a node keeps its things.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Places {
    /// The configuration file.
    pub config: PathBuf,
    /// What has to survive a power cut: `/var/lib/heart`.
    pub state: PathBuf,
    /// What lives as long as the boot: `/run/heart`.
    pub run: PathBuf,
    /// The node's name; the host's name if not given.
    pub node: Option<String>,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            config: "/etc/heart/heart.toml".into(),
            state: "/var/lib/heart".into(),
            run: "/run/heart".into(),
            node: None,
        }
    }
}

impl Places {
    /// The file of the board.
    #[must_use]
    pub fn board(&self) -> PathBuf {
        self.run.join("board")
    }

    /// The socket that the command line talks to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("heart.sock")
    }

    /// When devices were proven for the last time.
    #[must_use]
    pub fn proven(&self) -> PathBuf {
        self.run.join("proven")
    }

    /// The log.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }
}

/// What is read from the configuration, once, when the node starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Where things are.
    pub places: Places,
    /// This node.
    pub me: NodeName,
    /// What the file says.
    pub spec: Spec,
    /// A digest of what it says, the same on every node with the same file.
    pub digest: u64,
}

impl Setup {
    /// Reads the configuration and finds out who this node is.
    ///
    /// # Errors
    /// All mistakes of the file, rendered; or why this machine is no node of it.
    pub fn read(places: &Places) -> anyhow::Result<Setup> {
        let checked = read_config(&places.config)?;
        let name = match &places.node {
            Some(name) => name.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        let nodes: Vec<String> = checked.spec.nodes.keys().map(|node| format!("`{node}`")).collect();
        let Some(me) = NodeName::new(&name).ok().filter(|me| checked.spec.nodes.contains_key(me)) else {
            bail!(
                "{} names no node `{name}`, which is what this machine is called; its nodes are {}\n\
                 hint: name this machine like one of them, or start with `--node NAME`",
                places.config.display(),
                nodes.join(", ")
            );
        };
        let canonical = heart_config::print(&checked.spec);
        let digest = u64::from(cluster_tag(&canonical)) << 32 | u64::from(cluster_tag(&checked.text));
        Ok(Setup { places: places.clone(), me, spec: checked.spec, digest })
    }

    /// How many sockets the node's links have.
    #[must_use]
    pub fn links(&self) -> usize {
        self.spec.nodes[&self.me].addresses.len() + self.spec.cluster.links.len()
    }

    /// Reads the cluster's secret.
    ///
    /// # Errors
    /// When the file is not there, is open to others, or is too short to be secret.
    fn secret(&self) -> anyhow::Result<Secret> {
        read_key(Path::new(&self.spec.cluster.key_file)).map(Secret)
    }

    /// Maps the board.
    ///
    /// # Errors
    /// When the run directory does not take it.
    pub(crate) fn board(&self) -> anyhow::Result<MappedBoard> {
        open_board(&self.places.board())
            .with_context(|| format!("cannot use the board {}", self.places.board().display()))
    }

    /// This boot's number, kept in the run directory (SAFETY rule 8).
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub fn boot(&self) -> anyhow::Result<BootId> {
        life::known(&self.places)
    }
}

/// The secret of a cluster's key. It is never printed.
#[derive(Clone, Serialize, Deserialize)]
struct Secret([u8; 32]);

/// Reads the key of a cluster.
///
/// # Errors
/// When the file is not there, is open to others, or is too short to be secret.
pub(crate) fn read_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let hint = "hint: make one with `head -c 32 /dev/urandom >FILE; chmod 600 FILE`, the same on every node";
    let unreadable = || format!("cannot read the key {}\n{hint}", path.display());
    let metadata = fs::metadata(path).with_context(unreadable)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("the key {} can be read by others than its owner\nhint: chmod 600 {0}", path.display());
    }
    let bytes = fs::read(path).with_context(unreadable)?;
    let Some(secret) = bytes.first_chunk::<32>() else {
        bail!("the key {} has {} bytes, and needs 32\n{hint}", path.display(), bytes.len());
    };
    Ok(*secret)
}

/// What a node runs with from its start to its stop, whatever becomes of the files it was read from.
#[derive(Clone, Serialize, Deserialize)]
pub struct Running {
    /// What was read.
    pub setup: Setup,
    secret: Secret,
}

impl Running {
    /// Reads the configuration and the key.
    ///
    /// # Errors
    /// All mistakes of the file, rendered; or what is wrong with this machine or the key.
    pub fn read(places: &Places) -> anyhow::Result<Running> {
        let setup = Setup::read(places)?;
        let secret = setup.secret()?;
        Ok(Running { setup, secret })
    }

    /// Reads the configuration again, for a node that goes on running.
    ///
    /// # Errors
    /// All mistakes of the file, rendered; or what it says that takes a restart of this node.
    pub fn read_again(&self) -> anyhow::Result<Running> {
        let new = Running::read(&self.setup.places)?;
        let (now, then) = (&self.setup, &new.setup);
        let file = then.places.config.display();
        let same = [
            ("the name of the cluster", now.spec.cluster.name == then.spec.cluster.name),
            ("the port", now.spec.cluster.port == then.spec.cluster.port),
            ("the links", now.spec.cluster.links == then.spec.cluster.links),
            ("the key", self.secret.0 == new.secret.0),
            (
                "this node's addresses",
                now.spec.nodes[&now.me].addresses == then.spec.nodes[&then.me].addresses,
            ),
        ];
        let watched = |setup: &Setup| {
            let node = &setup.spec.nodes[&setup.me];
            (node.watchdog.clone(), node.never_paused, node.resets_itself())
        };
        let same = same.into_iter().chain([("this node's watchdog", watched(now) == watched(then))]);
        let others: Vec<&str> = same.filter(|(_, same)| !same).map(|(what, _)| what).collect();
        if !others.is_empty() {
            bail!(
                "{file} changes {}, which a daemon that runs cannot take up\n                 hint: stop this node's daemon in order and start it again; then the next node's",
                others.join(" and ")
            );
        }
        Ok(new)
    }

    /// What the node in this run directory was started with, in this boot; `None` if it was not.
    #[must_use]
    pub fn find(run: &Path) -> Option<Running> {
        let file = File::open(running_path(run)).ok()?;
        let mut bytes = Vec::new();
        file.take(RUNNING_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps it for every process of the node.
    ///
    /// # Errors
    /// When the run directory does not take it.
    pub fn write(&self) -> anyhow::Result<()> {
        let path = running_path(&self.setup.places.run);
        replace(&path, &serde_json::to_vec(self)?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The cluster's key.
    #[must_use]
    pub fn key(&self) -> ClusterKey {
        ClusterKey::new(self.setup.spec.cluster.name.as_str(), self.secret.0, 1)
    }

    /// What proves to a witness that this node belongs to the cluster.
    #[must_use]
    pub fn witness_key(&self) -> WitnessKey {
        WitnessKey::derive(&self.secret.0)
    }
}

pub(crate) fn running_path(run: &Path) -> PathBuf {
    run.join("running.json")
}

/// Longest description of what a node runs with: a configuration of full length is written more
/// tersely than this allows for.
const RUNNING_BYTES_MAX: u64 = 16 * CONFIGURATION_BYTES_MAX as u64;

/// Reads and checks a configuration file, with what this machine has.
///
/// # Errors
/// All mistakes, rendered.
pub fn read_config(path: &Path) -> anyhow::Result<heart_config::Checked> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CONFIGURATION_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    heart_config::read(&path.to_string_lossy(), &bytes, &ThisMachine)
        .map_err(|report| anyhow::anyhow!("{}", report.render_text(false)))
}

/// Replaces a file, whole or not at all.
///
/// # Errors
/// What the file system says.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&new, path)
}

fn open_board(path: &Path) -> io::Result<MappedBoard> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    MappedBoard::map(&file)
}

/// The end of the lease, as the board has it.
#[derive(Debug)]
pub struct BoardLease(MappedBoard);

impl BoardLease {
    /// Opens the board in a file.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn open(path: &Path) -> io::Result<BoardLease> {
        open_board(path).map(BoardLease)
    }
}

impl LeaseView for BoardLease {
    fn until(&self) -> Moment {
        self.0.board().lease_until()
    }

    fn session(&self) -> Option<Session> {
        Some(self.0.board().session())
    }

    fn half_until(&self) -> Moment {
        self.0.board().half_until()
    }
}

/// The machine this runs on, as far as a configuration is concerned.
#[derive(Clone, Copy, Debug)]
pub struct ThisMachine;

impl Environment for ThisMachine {
    fn file(&self, path: &str) -> Found<FileFacts> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                let mode = metadata.permissions().mode();
                Found::Present(FileFacts { executable: mode & 0o111 != 0, exposed: mode & 0o077 != 0 })
            }
            Ok(_) => Found::Missing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(_) => Found::Unknown,
        }
    }

    fn agent(&self, agent: &AgentRef) -> Found<AgentInfo> {
        match agent {
            AgentRef::BuiltIn(_) => Found::Unknown,
            AgentRef::Ocf { provider, kind } => {
                let path =
                    Path::new(heart_agents::ocf::OCF_ROOT).join("resource.d").join(provider).join(kind);
                if !path.is_file() {
                    return Found::Missing;
                }
                // What it can be told is asked when it is used: running it here would make checking slow.
                Found::Unknown
            }
        }
    }

    fn guest(&self) -> Option<String> {
        let name = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        crate::guardian::is_guest().then(name)
    }

    fn agents(&self) -> Vec<AgentRef> {
        ocf_agents(&Path::new(heart_agents::ocf::OCF_ROOT).join("resource.d"))
    }
}

/// The agents below a folder of providers, in order; hidden files and folders among them are none.
fn ocf_agents(root: &Path) -> Vec<AgentRef> {
    let names = |folder: &Path, wanted: fn(&Path) -> bool| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let wanted = entries.filter(|entry| wanted(&entry.path()));
        let names = wanted.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    };
    let of = |provider: String| {
        let kinds = names(&root.join(&provider), Path::is_file);
        kinds.into_iter().map(move |kind| AgentRef::Ocf { provider: provider.clone(), kind })
    };
    let mut agents: Vec<AgentRef> = names(root, Path::is_dir).into_iter().flat_map(of).collect();
    agents.sort_unstable();
    agents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_files_that_are_not_hidden_in_order() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["pacemaker", "heartbeat/lib", ".git"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in [
            "heartbeat/zfs",
            "heartbeat/Dummy",
            "heartbeat/.ocf-shellfuncs",
            "pacemaker/ping",
            ".git/x",
            "README",
        ] {
            fs::write(root.path().join(file), "").unwrap();
        }
        let found: Vec<String> = ocf_agents(root.path()).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["ocf:heartbeat:Dummy", "ocf:heartbeat:zfs", "ocf:pacemaker:ping"]);
    }
}
