//! A file that is on the disk as a whole, its name included, when this says so.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Puts a new file in the place of what is there, if anything is: a power cut leaves the one or the other.
/// Open to be appended to.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let new = path.with_extension("new");
    // Of somebody who was killed here. It may be readable for others, or have another name elsewhere.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
    let replaced = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // Others may need the room.
        fs::remove_file(&new).ok();
    }
    replaced.and_then(|()| sync_name(path)).map(|()| file)
}

/// Writes a file anew that is there already: beside it, or over it where there is no room for both. That is safe only if
/// a part of it is as good as what is there.
pub(super) fn write_anew(path: &Path, bytes: &[u8]) -> io::Result<File> {
    match replace(path, bytes) {
        Err(error) if is_no_room(&error) => {
            tracing::warn!("{} is written over: for a new file beside it {error}", path.display());
            write_over(path, bytes)
        }
        done => done,
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes from its beginning, and cuts off what is behind once that is durable. Only a file system that never writes in
/// place needs room for it.
pub(super) fn write_over(path: &Path, bytes: &[u8]) -> io::Result<File> {
    // What is open to be appended to cannot be written elsewhere.
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()?;
    sync_name(path)?;
    OpenOptions::new().append(true).open(path)
}

/// Makes durable under which name a file is known.
fn sync_name(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
