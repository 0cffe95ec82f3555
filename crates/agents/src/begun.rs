//! What agents have begun and may not have ended, written down so that whoever comes next finds it.
//!
//! What an operation starts is a process group of its own. Its first process writes itself down before it becomes the
//! agent, and ends instead if whoever started it is gone by then: so there is none that nobody knows of. It is struck
//! out when the operation has ended by itself. What was cut, or whose executor died, stays written down: it may hang in
//! the kernel, killed or not, and finish there what it had begun (a mount) long after an agent has said that nothing
//! runs. Nothing is stopped before it is gone.
//!
//! One file for each resource, in `/run`, one line for each operation: a word, and the line that `/proc/PID/stat` had.

use std::{
    fmt, fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use heart_model::ResourceName;

use crate::{
    proc::{self, Stat},
    sys, wait,
    whole::write_whole,
};

/// Most operations of one resource that may hang before none is begun any more.
const HANGING_MAX: usize = 8;
/// Most processes that are named to people.
const NAMED_MAX: usize = 3;
/// Most processes that are waited for at a time.
const WATCHED_MAX: usize = 64;

/// What was begun for one resource.
pub(crate) struct Begun {
    path: PathBuf,
}

/// One operation that did not end by itself, or has not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    line: String,
    action: String,
    /// Its first process, as that was before it became the agent.
    first: Stat,
}

/// A line for an operation that is to be run.
pub(crate) struct Entered {
    file: OwnedFd,
    before: Before,
}

/// What was there before an operation, and is when that was struck out.
pub(crate) struct Before(Vec<Entry>);

impl Entered {
    /// Lets the first process of an operation write itself down.
    pub(crate) fn write_down(self, command: &mut Command, action: &str) -> Before {
        sys::write_down(command, action, self.file);
        self.before
    }
}

/// Which operations are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All that may not have ended.
    All,
    /// Those whose first process lives. What others left in the background may be the service.
    Led,
}

/// A process of an operation that outlives being killed.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    action: String,
    process: Stat,
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.action, self.process)
    }
}

/// For people: why nothing can be said to be stopped, and what to do.
pub(crate) fn explain(remains: &[Remains]) -> String {
    let named: Vec<_> = remains.iter().take(NAMED_MAX).map(Remains::to_string).collect();
    format!(
        "what was begun for it was killed and does not end ({}; {} in all), and may still finish what it does: mend what \
         that waits for, which is mostly storage, or have this node switched off",
        named.join("; "),
        remains.len()
    )
}

impl Begun {
    /// What was begun for a resource.
    pub(crate) fn of(folder: &Path, resource: &ResourceName) -> Begun {
        Begun { path: folder.join(format!("{resource}.begun")) }
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.wrong("read", &error)),
        };
        let entry = |line: &str| {
            let (action, first) = line.split_once(' ')?;
            let first = Stat::parse(first)?;
            Some(Entry { line: line.to_owned(), action: action.to_owned(), first })
        };
        let wrong = |line: &str| self.wrong("read", &io::Error::other(format!("`{line}` has no meaning")));
        text.lines().map(|line| entry(line).ok_or_else(|| wrong(line))).collect()
    }

    fn write(&self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return self.forget();
        }
        let text: String = entries.iter().map(|entry| format!("{}\n", entry.line)).collect();
        write_whole(&self.path, text.as_bytes()).map_err(|error| self.wrong("write", &error))
    }

    fn wrong(&self, what: &str, error: &io::Error) -> io::Error {
        let path = self.path.display();
        io::Error::other(format!("cannot {what} {path}, which says what was begun for it: {error}"))
    }

    /// Opens a line for one more operation.
    ///
    /// # Errors
    /// When it cannot be written down, or too many hang already.
    pub(crate) fn enter(&self) -> io::Result<Entered> {
        let mut before = self.entries()?;
        let known = before.len();
        // A start is remembered until a stop, for what it may have left outside of its group.
        before.retain(|entry| entry.is_start() || !entry.processes().is_ok_and(|all| all.is_empty()));
        if before.len() >= HANGING_MAX {
            return Err(io::Error::other(format!("{HANGING_MAX} earlier operations of it hang")));
        }
        if before.len() < known {
            self.write(&before)?;
        }
        let options = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        let file = options.map_err(|error| self.wrong("write", &error))?;
        Ok(Entered { file: file.into(), before: Before(before) })
    }

    /// Strikes an operation out: it has ended by itself. What it left in the background is its own affair.
    pub(crate) fn leave(&self, before: &Before) -> io::Result<()> {
        self.write(&before.0)
    }

    /// Whether there is a start that did not end by itself.
    pub(crate) fn has_start(&self) -> io::Result<bool> {
        Ok(self.entries()?.iter().any(Entry::is_start))
    }

    /// Strikes out what has no first process any more: by now it is known how that ended.
    pub(crate) fn forget_unled(&self) -> io::Result<()> {
        let mut entries = self.entries()?;
        entries.retain(Entry::is_led);
        self.write(&entries)
    }

    /// Forgets all of it: nothing of it is left.
    pub(crate) fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.wrong("remove", &error)),
            _ => Ok(()),
        }
    }

    /// Kills what was begun and has not ended, and waits until it is gone, but not longer than `until`; what is left
    /// then.
    ///
    /// # Errors
    /// When it cannot be found out what is left.
    pub(crate) fn end(&self, which: Which, until: Instant) -> io::Result<Vec<Remains>> {
        let mut entries = self.entries()?;
        entries.retain(|entry| which == Which::All || entry.is_led());
        loop {
            let mut left = Vec::new();
            for entry in &entries {
                let remains = |(process, fd)| (Remains { action: entry.action.clone(), process }, fd);
                let living = entry.processes()?;
                if !living.is_empty() {
                    sys::kill_group(entry.first.group, libc::SIGKILL).ok();
                }
                left.extend(living.into_iter().map(remains));
            }
            let (remains, fds): (Vec<_>, Vec<_>) = left.into_iter().unzip();
            if remains.is_empty() || Instant::now() >= until {
                return Ok(remains);
            }
            // Bounded by time, and by what there is to end: each round ends something.
            wait::any(&fds.iter().take(WATCHED_MAX).map(OwnedFd::as_fd).collect::<Vec<_>>(), Some(until))?;
        }
    }
}

impl Entry {
    fn is_start(&self) -> bool {
        self.action == "start"
    }

    fn is_led(&self) -> bool {
        // Who may live is taken for alive.
        !matches!(proc::open(self.first.pid, self.first.started), Ok(None))
    }

    /// Everything in its group that has not ended. The same group is of the same session, and began no earlier.
    fn processes(&self) -> io::Result<Vec<(Stat, OwnedFd)>> {
        let first = &self.first;
        // Its number was given to somebody else since: then nothing of it was left at some time.
        if Stat::of(first.pid)?.is_some_and(|now| now.started != first.started) {
            return Ok(Vec::new());
        }
        proc::bury(first.pid, first.started);
        if !sys::is_group(first.group) {
            return Ok(Vec::new());
        }
        let mut living = Vec::new();
        for stat in Stat::all(|stat| {
            (stat.group, stat.session) == (first.group, first.session) && stat.started >= first.started
        })? {
            living.extend(proc::open(stat.pid, stat.started)?.map(|fd| (stat, fd)));
        }
        Ok(living)
    }
}
