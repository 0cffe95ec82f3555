//! The values that a witness keeps: a folder with one file for each cluster.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, bail};
use heart_agents::tie_break::words::{Change, MESSAGE_MAX};
use heart_model::{Name, Standing, TieBreakOutcome};

/// The folder. One change at a time.
pub(super) struct Store {
    folder: PathBuf,
    turn: Mutex<()>,
    /// Locked as long as this is there.
    _lock: File,
}

impl Store {
    /// Takes it up, for this process alone.
    ///
    /// # Errors
    /// When it cannot be used, or another witness uses it.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Store> {
        let place = folder.display();
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| {
            format!("cannot make the folder {place}; make it, and give it to the user who runs this")
        })?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(".lock"))
            .with_context(|| format!("cannot write into {place}; see whose it is"))?;
        if lock.try_lock().is_err() {
            bail!("another witness uses {place}; end that one first, or give this one another `--state`");
        }
        Ok(Store { folder: folder.to_owned(), turn: Mutex::new(()), _lock: lock })
    }

    /// Compares and sets; what it answers is durable.
    ///
    /// # Errors
    /// When the value cannot be read or written, or is not certainly durable: then nobody knows it.
    pub(super) fn change(&self, cluster: &Name, change: &Change) -> anyhow::Result<TieBreakOutcome> {
        // Whoever broke down here left the old file or the new one.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join(format!("{cluster}.json"));
        let stands = self.read(&path)?;
        if let Some(outcome) =
            TieBreakOutcome::compared(change.instead_of.as_ref(), &change.set, stands.as_ref())
        {
            return Ok(outcome);
        }
        let new = self.folder.join(format!("{cluster}.json.new"));
        write(&new, &serde_json::to_vec(&change.set)?)
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| self.sync())
            .with_context(|| format!("cannot write {}; see its disk", path.display()))?;
        Ok(TieBreakOutcome::Set)
    }

    fn read(&self, path: &Path) -> anyhow::Result<Option<Standing>> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| {
            (&file).take(MESSAGE_MAX as u64).read_to_end(&mut bytes)?;
            // What was written before may not have become durable; nobody was told then.
            file.sync_all()
        });
        match read {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}; see its disk", path.display()));
            }
        }
        self.sync().with_context(|| format!("cannot sync {}; see its disk", self.folder.display()))?;
        let value = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is damaged and is left as it is; move it away only if you know which nodes go on, as then nobody \
                 was ever named",
                path.display()
            )
        })?;
        Ok(Some(value))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
