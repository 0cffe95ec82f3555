//! What a service prints, kept within bounds: one file, and the one before it.

use std::{
    fs, io,
    io::Write as _,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::PathBuf,
};

/// Most bytes that are taken at a time, so that output never keeps the keeper from its duties.
const CHUNK: usize = 16 * 1024;

/// Takes the output of a service.
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    file: Option<fs::File>,
    written: u64,
}

impl Log {
    pub(super) fn open(path: PathBuf, limit: u64) -> Log {
        let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path).ok();
        let written = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |data| data.len());
        Log { path, limit, file, written }
    }

    /// Moves what is there from the pipe to the file; `false` when nobody can write any more.
    pub(super) fn take(&mut self, pipe: &OwnedFd) -> bool {
        let mut buffer = [0u8; CHUNK];
        match rustix::io::read(pipe.as_fd(), &mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                // A full disk costs output, never the service.
                self.write(&buffer[..length]).ok();
                true
            }
            Err(error) => matches!(error, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // More at once than the file may hold: the end of it says more than the beginning.
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let bytes = &bytes[bytes.len().saturating_sub(limit)..];
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.written + length > self.limit {
            let mut before = self.path.as_os_str().to_owned();
            before.push(".1");
            fs::rename(&self.path, before)?;
            let options = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
            self.file = Some(options?);
            self.written = 0;
        }
        self.written += length;
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }
}
