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
    let file = LogFile { length: file.metadata()?.len(), file };
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
    file: File,
    length: u64,
}

/// Writes a batch whole, behind what is whole. What an attempt has left that failed is cut off first: it would be taken for a
/// torn end later, and all that is behind it with it.
fn make_durable(log: &mut LogFile, path: &Path, batch: &[Write]) -> io::Result<()> {
    // What a rewrite replaces needs not be written first.
    let from = batch.iter().rposition(|write| write.replaces);
    if let Some(from) = from {
        let mut bytes = batch[from].bytes.clone();
        batch[from + 1..].iter().for_each(|write| bytes.extend_from_slice(&write.bytes));
        crate::setup::replace(path, &bytes)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let file = OpenOptions::new().append(true).open(path)?;
        *log = LogFile { file, length: bytes.len() as u64 };
        return Ok(());
    }
    if log.file.metadata()?.len() != log.length {
        log.file.set_len(log.length)?;
    }
    let bytes: Vec<u8> = batch.iter().flat_map(|write| write.bytes.iter().copied()).collect();
    let written = log.file.write_all(&bytes).and_then(|()| log.file.sync_data());
    match written {
        Ok(()) => log.length += bytes.len() as u64,
        // If that fails, the next attempt begins with it.
        Err(_) => drop(log.file.set_len(log.length)),
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(ticket: u64, term: u64) -> Write {
        let mut batch = Batch::default();
        batch.hard_state.get_or_insert_default().term = term;
        let bytes = batch.encode_framed();
        Write { ticket: Ticket(ticket), replaces: false, bytes }
    }

    fn term(path: &Path) -> u64 {
        match recover(path).unwrap() {
            (Log::Recovered(recovered), _) => recovered.hard_state.term,
            (other, _) => panic!("{other:?}"),
        }
    }

    /// The disk was full in the middle of a batch, and did not even let the rest of it be cut off.
    #[test]
    fn what_a_write_that_failed_has_left_does_not_cost_what_comes_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (_, file) = recover(&path).unwrap();
        let mut log = LogFile { length: 0, file };
        make_durable(&mut log, &path, &[write(1, 7)]).unwrap();
        let torn = write(2, 8).bytes;
        log.file.write_all(&torn[..torn.len() - 1]).unwrap();
        make_durable(&mut log, &path, &[write(3, 9)]).unwrap();
        assert_eq!(term(&path), 9);
        make_durable(&mut log, &path, &[Write { replaces: true, ..write(4, 10) }]).unwrap();
        log.file.write_all(&torn[..3]).unwrap();
        make_durable(&mut log, &path, &[write(5, 11)]).unwrap();
        assert_eq!(term(&path), 11);
    }
}
