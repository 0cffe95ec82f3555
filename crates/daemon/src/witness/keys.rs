//! The keys of the clusters that a witness serves: a folder of files `CLUSTER.key`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use heart_agents::tie_break::words::WitnessKey;
use heart_model::Name;

use crate::setup::read_key;

/// What the name of a key's file ends with.
const END: &str = ".key";
/// Most clusters of one witness.
const CLUSTERS_MAX: usize = 1024;

/// The folder.
pub(super) struct Keys(PathBuf);

impl Keys {
    /// Takes it up.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Keys> {
        let keys = Keys(folder.to_owned());
        keys.names()?;
        Ok(keys)
    }

    /// The clusters that have a key, in order.
    ///
    /// # Errors
    /// When the folder cannot be read, or there are too many.
    pub(super) fn names(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.0.display();
        let entries = fs::read_dir(&self.0).with_context(|| {
            format!(
                "cannot read the keys in {folder}; make it, with a copy of each cluster's key as CLUSTER{END}"
            )
        })?;
        let name = |entry: fs::DirEntry| {
            let name = entry.file_name().to_str()?.strip_suffix(END)?.to_owned();
            Name::new(&name).is_ok().then_some(name)
        };
        let mut names: Vec<String> = entries.flatten().filter_map(name).take(CLUSTERS_MAX + 1).collect();
        if names.len() > CLUSTERS_MAX {
            bail!("{folder} has more than {CLUSTERS_MAX} keys; run another witness for the rest");
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads the key of a cluster, as it is now.
    ///
    /// # Errors
    /// When it has none, or it is of no use.
    pub(super) fn find(&self, cluster: &Name) -> anyhow::Result<WitnessKey> {
        let path = self.0.join(format!("{cluster}{END}"));
        let key = read_key(&path).with_context(|| format!("{cluster} is not served here"))?;
        Ok(WitnessKey::derive(&key))
    }
}
