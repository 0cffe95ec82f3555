//! A value in files on a file system that both sides reach.
//!
//! The value is the file with the highest number behind its name, and is never changed: who changes it makes the
//! next number with link(2), which the file system does once for each number, whoever asks first. There is no lock
//! on purpose. A node that loses power keeps its lock, over NFS for minutes or for good, just when the other side
//! needs it; and a rename that was under way when a lock was lost is still carried out when the way to the server
//! is back, over what others have set meanwhile. A link that comes too late finds its number taken, or that it is
//! not the highest any more.
//!
//! What is of no use any more is removed after the answer: an NFS 4 server takes a name away only when each client has
//! given back what it was promised about that file, and waits for one that has lost power for as long as its lease
//! (90 s by default). A link has nothing to wait for, as nobody was promised anything about what is linked.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use heart_model::{Standing, TieBreakOrder, TieBreakOutcome};
use rustix::rand::{GetRandomFlags, getrandom};

use super::{ROUNDS_MAX, Time, VALUE_MAX, compare, read_value, text::hex, too_many_rounds, write_value};

/// Most files beside the value.
const ENTRIES_MAX: usize = 10_000;
/// What the name of a value ends with that has no number yet, before some random digits.
const NEW: &str = "new-";
/// A value without number that is that old was left behind by a node that died.
const NEW_FOR: Duration = Duration::from_secs(3600);

/// Most threads that remove files at once: each may have to wait for a server.
const CLEARING_MAX: usize = 4;

/// How many do.
static CLEARING: AtomicUsize = AtomicUsize::new(0);

/// What came of it, and what may be removed once that was said.
pub(super) fn carry_out(
    order: &TieBreakOrder,
    path: &Path,
    time: &Time,
) -> Result<(TieBreakOutcome, Option<Leavings>), String> {
    let place = Place::new(path)?;
    let bytes = write_value(&order.set)?;
    for _ in 0..ROUNDS_MAX {
        time.left()?;
        // Made before the folder is looked at: so an NFS client learns that what it knows of the folder is old.
        let new = New::write(&place, &bytes)?;
        let (number, stands) = place.look()?;
        if let Some(outcome) = compare(order, stands.as_ref()) {
            place.sync()?;
            return Ok((outcome, None));
        }
        let next = number.checked_add(1).ok_or("its number is the last there is; remove its files")?;
        time.left()?;
        match fs::hard_link(&new.path, place.numbered(next)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => {
                return Err(place.wrong("does not take a hard link, which this needs", &error));
            }
        }
        // Too late, and a number that was removed long ago: the next round sees what stands there.
        if place.numbers()?.last() == Some(&next) {
            place.sync()?;
            return Ok((TieBreakOutcome::Set, Some(Leavings { path: path.to_owned(), below: number })));
        }
    }
    Err(too_many_rounds())
}

/// The folder, and the name before the number.
struct Place<'a> {
    folder: &'a Path,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn new(path: &'a Path) -> Result<Place<'a>, String> {
        let folder = path.parent().filter(|_| path.is_absolute());
        let name = path.file_name().and_then(|name| name.to_str());
        match (folder, name) {
            (Some(folder), Some(name)) => Ok(Place { folder, name }),
            _ => Err("its path has to begin with `/` and to end with a name".to_owned()),
        }
    }

    fn numbered(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}.{number}", self.name))
    }

    fn wrong(&self, what: &str, error: &io::Error) -> String {
        format!(
            "the folder {} {what}: {error}; see whether it is there, mounted and writable",
            self.folder.display()
        )
    }

    /// What stands behind the name and a dot, of all files that have both.
    fn ends(&self) -> Result<Vec<String>, String> {
        let wrong = |error: io::Error| self.wrong("cannot be read", &error);
        let mut ends = Vec::new();
        for (count, entry) in fs::read_dir(self.folder).map_err(wrong)?.enumerate() {
            if count >= ENTRIES_MAX {
                return Err(format!(
                    "the folder {} has more than {ENTRIES_MAX} files; give the tie-break one of its own",
                    self.folder.display()
                ));
            }
            let name = entry.map_err(wrong)?.file_name();
            let end = name.to_str().and_then(|name| name.strip_prefix(self.name)?.strip_prefix('.'));
            ends.extend(end.map(str::to_owned));
        }
        Ok(ends)
    }

    /// The numbers that are there, the highest last.
    fn numbers(&self) -> Result<Vec<u64>, String> {
        let ends = self.ends()?;
        let mut numbers: Vec<u64> = ends.iter().filter_map(|end| number(end)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What stands there under the highest number; 0 if nothing does.
    fn look(&self) -> Result<(u64, Option<Standing>), String> {
        let mut last = String::new();
        // It is gone by now only if two higher ones have come.
        for _ in 0..ROUNDS_MAX {
            let Some(&number) = self.numbers()?.last() else { return Ok((0, None)) };
            let path = self.numbered(number);
            match read(&path) {
                Ok(bytes) => {
                    let value = read_value(&bytes).map_err(|why| format!("{}: {why}", path.display()))?;
                    return Ok((number, Some(value)));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = error.to_string(),
                Err(error) => {
                    return Err(format!("{} cannot be read: {error}; see its rights", path.display()));
                }
            }
        }
        Err(format!("{} ({last})", too_many_rounds()))
    }

    /// Makes durable what stands there, also if somebody else wrote it and died.
    fn sync(&self) -> Result<(), String> {
        File::open(self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.wrong("did not say that it is durable", &error))
    }
}

/// What is of no use any more: numbers below one that is not the highest, so that this only grows, and what nodes left
/// behind that died.
#[derive(Debug)]
pub(super) struct Leavings {
    path: PathBuf,
    below: u64,
}

impl Leavings {
    /// Removes it, as far as that can be done; what stays is found the next time. Blocks for as long as the file server
    /// wants it to.
    pub(super) fn clear(&self) {
        if CLEARING.fetch_add(1, Ordering::Relaxed) < CLEARING_MAX
            && let Ok(place) = Place::new(&self.path)
        {
            self.clear_in(&place);
        }
        CLEARING.fetch_sub(1, Ordering::Relaxed);
    }

    fn clear_in(&self, place: &Place<'_>) {
        let made = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
        let ends = place.ends().unwrap_or_default();
        // What was made last says what time it is at the server.
        let last = ends.iter().filter_map(|end| number(end)).max();
        let Some(Ok(now)) = last.map(|last| made(&place.numbered(last))) else { return };
        for end in ends {
            let path = place.folder.join(format!("{}.{end}", place.name));
            let is_old = if end.starts_with(NEW) {
                made(&path).is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > NEW_FOR))
            } else {
                number(&end).is_some_and(|number| number < self.below)
            };
            if is_old {
                fs::remove_file(path).ok();
            }
        }
    }
}

/// The number that a name ends with, written as Heart writes it.
fn number(end: &str) -> Option<u64> {
    end.parse().ok().filter(|number: &u64| number.to_string() == end)
}

/// Opens it anew, as only that asks an NFS server, and reads it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(VALUE_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A value that has no number yet. That name of it goes with this.
struct New {
    path: PathBuf,
}

impl Drop for New {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

impl New {
    fn write(place: &Place<'_>, bytes: &[u8]) -> Result<New, String> {
        let mut random = [0; 8];
        if getrandom(&mut random, GetRandomFlags::empty()) != Ok(random.len()) {
            return Err("the kernel of this node gives no random numbers; see its log".to_owned());
        }
        let path = place.folder.join(format!("{}.{NEW}{}", place.name, hex(&random)));
        let wrong = |error: io::Error| place.wrong("cannot be written", &error);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(wrong)?;
        let new = New { path };
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)?;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{TieBreakPlace, TieBreakSpec};
    use std::time::{Instant, SystemTime};

    #[test]
    fn only_whole_numbers_behind_the_name_count() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["web.2", "web.10", "web.010", "web.+11", "web.12.json", "web.new-1", "webs.99", "web", "x"]
        {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let path = dir.path().join("web");
        assert_eq!(Place::new(&path).unwrap().numbers().unwrap(), [2, 10]);
    }

    #[test]
    fn what_is_written_over_stays_until_the_next_and_what_is_older_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web");
        let place = Place::new(&path).unwrap();
        for number in 1..=4 {
            fs::write(place.numbered(number), "").unwrap();
        }
        let new = New::write(&place, b"").unwrap();
        let dead = dir.path().join("web.new-dead");
        let long_ago = SystemTime::now() - 2 * NEW_FOR;
        File::create(&dead).unwrap().set_modified(long_ago).unwrap();
        Leavings { path: path.clone(), below: 3 }.clear();
        assert_eq!(place.numbers().unwrap(), [3, 4]);
        assert!(new.path.exists() && !dead.exists());
        let path = new.path.clone();
        drop(new);
        assert!(!path.exists());
    }

    /// A server may let it wait for minutes, and somebody waits for the answer.
    #[test]
    fn nothing_is_removed_before_the_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web");
        let time = Time::new(Instant::now() + NEW_FOR, "".into());
        let mut stands = None;
        let mut left = None;
        for era in 1..=3 {
            let set = Standing { era, parent: None, term: 1, configuration: 1, named: Vec::new() };
            let place = TieBreakPlace::File { path: path.to_str().unwrap().into() };
            let spec = TieBreakSpec { place, timeout: NEW_FOR };
            let order = TieBreakOrder { number: 1, spec, cluster: "web".into(), instead_of: stands, set };
            let (outcome, leavings) = carry_out(&order, &path, &time).unwrap();
            assert_eq!(outcome, TieBreakOutcome::Set);
            (stands, left) = (Some(order.set), leavings);
        }
        let place = Place::new(&path).unwrap();
        assert_eq!(place.numbers().unwrap(), [1, 2, 3]);
        left.unwrap().clear();
        assert_eq!(place.numbers().unwrap(), [2, 3]);
    }

    #[test]
    fn a_path_says_where_it_is() {
        assert!(Place::new(Path::new("web")).is_err());
        assert!(Place::new(Path::new("/")).is_err());
    }
}
