//! How programs of fence-agents describe themselves: asked once, and again when a program has changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use heart_model::ParameterInfo;

use crate::ocf::metadata;

/// Most descriptions that are kept; beyond, all are asked for anew.
const DESCRIPTIONS_MAX: usize = 64;

/// What one program can be told.
pub(super) type Description = Arc<[ParameterInfo]>;

/// The descriptions that were asked for, each with when its program was written.
#[derive(Debug, Default)]
pub(super) struct Descriptions(Mutex<BTreeMap<PathBuf, (SystemTime, Description)>>);

impl Descriptions {
    /// What the program at `path` can be told; `ask` gets its own words.
    pub(super) fn of(
        &self,
        path: &Path,
        ask: impl FnOnce() -> Result<String, String>,
    ) -> Result<Description, String> {
        let written = fs::metadata(path).and_then(|file| file.modified()).ok();
        let known = self.0.lock().expect("no holder of this lock can panic").get(path).cloned();
        if let Some((at, description)) = known
            && Some(at) == written
        {
            return Ok(description);
        }
        let parameters =
            metadata::read_parameters(&ask()?).map_err(|why| format!("{}: {why}", path.display()))?;
        let description = Description::from(parameters);
        if let Some(written) = written {
            let mut all = self.0.lock().expect("no holder of this lock can panic");
            if all.len() >= DESCRIPTIONS_MAX {
                all.clear();
            }
            all.insert(path.to_owned(), (written, Arc::clone(&description)));
        }
        Ok(description)
    }
}
