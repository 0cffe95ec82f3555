//! The reference cases, which lie beside the project and are no part of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where they lie, if they are there; says so if they are not.
pub(crate) fn beside() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/scheduler");
    if !beside.is_dir() {
        println!("skipped: {} is not there", beside.display());
        return None;
    }
    Some(beside)
}

/// Unpacks them into a folder; where they are then, in the order of their names.
pub(crate) fn unpack(beside: &Path, folder: &Path) -> Vec<PathBuf> {
    let archive = beside.join("cases.tar.zst");
    let unpacked = Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(folder).status();
    assert!(
        unpacked.is_ok_and(|status| status.success()),
        "cannot unpack {}: is zstd there?",
        archive.display()
    );
    let read = fs::read_dir(folder.join("cases")).unwrap();
    let mut files: Vec<PathBuf> = read.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
