//! When devices were proven for the last time, kept for the next core of this node.
//!
//! It stands in the run directory, which is memory: whoever writes there waits for no disk, and a machine that boots tries
//! all devices soon anyway. Nothing is decided by it, so whatever is wrong with the file, it is only forgotten.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use heart_node::core::Proven;

/// Longest file that is read; devices of a large cluster take some hundred KiB.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The file, and what stands in it.
pub(super) struct Kept {
    file: Option<File>,
    known: Vec<Proven>,
}

impl Kept {
    /// Opens it; to be done by somebody who may.
    pub(super) fn open(path: &Path) -> Kept {
        // A device may be told a secret as it is.
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let read = |mut file: File| {
            let mut text = Vec::new();
            (&mut file).take(BYTES_MAX).read_to_end(&mut text)?;
            Ok((file, serde_json::from_slice(&text).unwrap_or_default()))
        };
        match opened.and_then(read) {
            Ok((file, known)) => Kept { file: Some(file), known },
            Err(error) => {
                let path = path.display();
                tracing::warn!(
                    "when devices were proven is not kept in {path}, and forgotten with this core: {error}"
                );
                Kept { file: None, known: Vec::new() }
            }
        }
    }

    /// What an earlier core knew.
    pub(super) fn known(&self) -> Vec<Proven> {
        self.known.clone()
    }

    /// Writes down what is known now, if that is something else.
    pub(super) fn keep(&mut self, now: Vec<Proven>) {
        if now == self.known {
            return;
        }
        self.known = now;
        let Some(file) = &self.file else { return };
        if let Err(error) = write(file, &self.known) {
            tracing::warn!(
                "when devices were proven cannot be kept, and is forgotten with this core: {error}"
            );
            self.file = None;
        }
    }
}

fn write(file: &File, known: &[Proven]) -> io::Result<()> {
    let text = serde_json::to_vec(known)?;
    file.write_all_at(&text, 0)?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{Duration, FenceAgent, FenceDevice, FenceProof, NodeName};

    fn proven(at: u64) -> Proven {
        let device = FenceDevice {
            agent: FenceAgent::parse("fence_test").unwrap(),
            parameters: [].into(),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(20),
            timeout_is_least: false,
        };
        Proven { proof: FenceProof { node: NodeName::new("ada").unwrap(), device }, at }
    }

    #[test]
    fn what_one_core_knew_the_next_one_knows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proven");
        let mut kept = Kept::open(&path);
        assert_eq!(kept.known(), []);
        for all in [vec![proven(1), proven(2)], vec![proven(3)]] {
            kept.keep(all.clone());
            assert_eq!(Kept::open(&path).known(), all, "a shorter text leaves nothing of a longer one");
        }
        std::fs::write(&path, "[{\"proof\"").unwrap();
        assert_eq!(Kept::open(&path).known(), [], "what was written half is forgotten");
        assert_eq!(Kept::open(folder.path()).known(), [], "and so is what is no file");
    }
}
