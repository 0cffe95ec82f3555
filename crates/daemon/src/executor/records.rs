//! What an executor leaves for the next one: one small file for each resource, in `/run`.
//!
//! They are written beside and renamed, so that a reader sees the old or the new one. `/run` is
//! memory, and ends with the boot: as do the things that these records speak of. So nothing is
//! forced to a disk.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use heart_model::{ResourceName, Session};

use super::terms::Record;

/// How the records' names end.
const ENDING: &str = "unit";
/// The session that was let go last.
const SESSION: &str = "session";

/// The folder of the records.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    /// Opens the folder, and makes it if need be. Services of other users have to reach their
    /// sockets in it, but need not see what else is there.
    pub(super) fn open(folder: &Path) -> io::Result<Records> {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(folder)?;
        Ok(Records { folder: folder.to_owned() })
    }

    /// Everything that an earlier executor left. What cannot be read is an error: it may run.
    pub(super) fn read(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                let record = serde_json::from_slice(&fs::read(&path)?)
                    .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Writes what is known of one resource.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let bytes = serde_json::to_vec(record).map_err(io::Error::other)?;
        self.write_whole(&format!("{}.{ENDING}", record.resource), &bytes)
    }

    /// Forgets one resource: nobody will ask for it any more.
    pub(super) fn remove(&self, resource: &ResourceName) {
        fs::remove_file(self.folder.join(format!("{resource}.{ENDING}"))).ok();
    }

    /// The session that was let go last, if any.
    pub(super) fn session(&self) -> Option<Session> {
        serde_json::from_slice(&fs::read(self.folder.join(SESSION)).ok()?).ok()
    }

    /// Writes down that a session is over.
    pub(super) fn end_session(&self, session: Session) -> io::Result<()> {
        self.write_whole(SESSION, &serde_json::to_vec(&session).map_err(io::Error::other)?)
    }

    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.folder.join(format!("{name}.new"));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        fs::rename(&beside, self.folder.join(name))
    }
}
