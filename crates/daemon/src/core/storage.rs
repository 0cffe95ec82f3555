//! The disk: one thread that writes what the core wants durable, many writes in one sync.

mod durable;

use std::{
    fmt::Display,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
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

/// Reads the log that is there, and starts the thread.
pub(super) fn start(path: &Path, bell: Arc<Bell>) -> anyhow::Result<(Log, Storage)> {
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

/// Takes up what is whole of the log. What was read may never have reached the disk: the core writes it anew, and says
/// nothing by it before that is durable.
fn recover(path: &Path) -> anyhow::Result<(Log, LogFile)> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("it cannot be read; see its disk"),
    };
    if bytes.is_empty() {
        return Ok((Log::Empty, LogFile { file: None, length: 0 }));
    }
    let recovered = match journal::recover(&bytes) {
        Ok(recovered) if recovered.length > 0 => recovered,
        // The file comes into being with a whole batch: no power cut leaves a part of one at its beginning.
        Ok(_) => return lost(path, &bytes, &"nothing whole is at its beginning"),
        Err(damage) => return lost(path, &bytes, &damage),
    };
    let torn = bytes.len() - recovered.length;
    if torn > 0 {
        tracing::warn!("{torn} torn bytes at the end of {} are cut off", path.display());
    }
    let file = OpenOptions::new().append(true).open(path)?;
    let length = recovered.length as u64;
    Ok((Log::Recovered(Box::new(recovered)), LogFile { file: Some(file), length }))
}

/// Keeps a damaged log for people, and puts in its place what says that one was lost: a later start must not take this
/// for a node that never ran (SAFETY rule 16). In between the damaged one stays where it is.
fn lost(path: &Path, bytes: &[u8], why: &dyn Display) -> anyhow::Result<(Log, LogFile)> {
    let aside = path.with_extension("damaged");
    let (place, copy) = (path.display(), aside.display());
    match durable::replace(&aside, bytes) {
        Ok(_) => tracing::error!("{place}: {why}; it is kept as {copy}"),
        Err(error) => tracing::error!("{place}: {why}; it cannot be kept as {copy}: {error}"),
    }
    let marker = Batch { lost: true, ..Batch::default() }.encode_framed();
    let file = durable::write_anew(path, &marker).context(
        "it is damaged, and that cannot be written down; see that the disk takes writes and has room: the core is \
         started again until it does",
    )?;
    Ok((Log::Damaged, LogFile { file: Some(file), length: marker.len() as u64 }))
}

fn run(mut file: LogFile, path: &Path, wanted: &Receiver<Write>, say: &Sender<Said>, bell: &Bell) {
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

/// The file of the log, and how much of it is known to be whole.
struct LogFile {
    /// None until something is written.
    file: Option<File>,
    length: u64,
}

/// Writes a batch whole, behind what is whole. What an attempt has left that failed is cut off first: it would be taken for a
/// torn end later, and all that is behind it with it.
fn make_durable(log: &mut LogFile, path: &Path, batch: &[Write]) -> io::Result<()> {
    // What a rewrite replaces needs not be written first.
    let from = batch.iter().rposition(|write| write.replaces);
    let bytes: Vec<u8> =
        batch[from.unwrap_or(0)..].iter().flat_map(|write| write.bytes.iter().copied()).collect();
    let Some(file) = log.file.as_mut().filter(|_| from.is_none()) else {
        let file = durable::replace(path, &bytes)?;
        *log = LogFile { file: Some(file), length: bytes.len() as u64 };
        return Ok(());
    };
    if file.metadata()?.len() != log.length {
        file.set_len(log.length)?;
    }
    let written = file.write_all(&bytes).and_then(|()| file.sync_data());
    match written {
        Ok(()) => log.length += bytes.len() as u64,
        // If that fails, the next attempt begins with it.
        Err(_) => drop(file.set_len(log.length)),
    }
    written
}

#[cfg(test)]
mod tests;
