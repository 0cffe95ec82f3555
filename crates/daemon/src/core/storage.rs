//! The disk: one thread that writes what the core wants durable, many writes in one sync.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use heart_agents::wait::Bell;
use heart_node::{
    agreement::{Ticket, Write},
    core::Log,
    journal::{self, Batch},
};

use super::PRIORITY;
use crate::sys;

/// How long to wait before a write that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Failures in a row of which one is told: about one a minute.
const SAY_EVERY: u32 = 300;
/// Most writes that one sync makes durable.
const BATCH_MAX: usize = 1024;

/// What the disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This write, and all before it, are durable.
    Durable(Ticket),
    /// It refuses.
    Failed,
}

/// The writing end.
pub(super) struct Storage {
    pub(super) writes: Sender<Write>,
    pub(super) said: Receiver<Said>,
}

/// Reads the log that is there, cuts off what was torn, and starts the thread.
pub(super) fn start(path: &Path, bell: Arc<Bell>) -> io::Result<(Log, Storage)> {
    let (log, file) = recover(path)?;
    let (writes, wanted) = channel();
    let (say, said) = channel();
    let path = path.to_owned();
    thread::Builder::new().name("disk".into()).spawn(move || {
        if let Err(error) = sys::become_real_time(PRIORITY) {
            tracing::warn!(
                "the log is written without real-time priority, and may be late under load: {error}"
            );
        }
        run(file, &path, &wanted, &say, &bell);
    })?;
    Ok((log, Storage { writes, said }))
}

fn recover(path: &Path) -> io::Result<(Log, File)> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    if bytes.is_empty() {
        return Ok((Log::Empty, open()?));
    }
    match journal::recover(&bytes) {
        Ok(recovered) => {
            let file = open()?;
            if recovered.length < bytes.len() {
                tracing::warn!(
                    "{} torn bytes at the end of {} are cut off",
                    bytes.len() - recovered.length,
                    path.display()
                );
                file.set_len(recovered.length as u64)?;
                file.sync_data()?;
            }
            Ok((Log::Recovered(Box::new(recovered)), file))
        }
        Err(damage) => {
            let aside = aside(path);
            tracing::error!("{}: {damage}; it is kept as {}", path.display(), aside.display());
            std::fs::rename(path, &aside)?;
            let mut file = open()?;
            // A later start must not take it for a node that never ran (SAFETY rule 16).
            file.write_all(&Batch { lost: true, ..Batch::default() }.encode_framed())?;
            file.sync_data()?;
            Ok((Log::Damaged, file))
        }
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("damaged")
}

fn run(mut file: File, path: &Path, wanted: &Receiver<Write>, say: &Sender<Said>, bell: &Bell) {
    while let Ok(first) = wanted.recv() {
        let mut batch = vec![first];
        batch.extend(wanted.try_iter().take(BATCH_MAX));
        let last = batch.last().expect("it has a first").ticket;
        let mut failures = 0;
        // Bounded by the disk's return: without it nothing may be said to be durable.
        while let Err(error) = make_durable(&mut file, path, &batch) {
            if failures % SAY_EVERY == 0 {
                tracing::error!("cannot write {}: {error}; trying on", path.display());
            }
            failures += 1;
            if say.send(Said::Failed).is_err() {
                return;
            }
            bell.ring();
            #[expect(clippy::disallowed_methods, reason = "this thread only waits for the disk")]
            thread::sleep(RETRY);
        }
        if say.send(Said::Durable(last)).is_err() {
            return;
        }
        bell.ring();
    }
}

/// Writes a batch whole; after an error the file ends where it ended before.
fn make_durable(file: &mut File, path: &Path, batch: &[Write]) -> io::Result<()> {
    // What a rewrite replaces needs not be written first.
    let from = batch.iter().rposition(|write| write.replaces);
    if let Some(from) = from {
        let mut bytes = batch[from].bytes.clone();
        batch[from + 1..].iter().for_each(|write| bytes.extend_from_slice(&write.bytes));
        crate::setup::replace(path, &bytes)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        *file = OpenOptions::new().append(true).open(path)?;
        return Ok(());
    }
    let before = file.metadata()?.len();
    let bytes: Vec<u8> = batch.iter().flat_map(|write| write.bytes.iter().copied()).collect();
    let written = file.write_all(&bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(before)?;
    }
    written
}
