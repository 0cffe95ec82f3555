//! Until when this machine may go on without a lease, as others were told on disks: in a file of this boot.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use heart_agents::LeaseView;
use heart_disk::{pill, records::Pledge};
use heart_model::Moment;
use serde::{Deserialize, Serialize};

use crate::setup::replace;

/// What stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fed {
    /// For each disk until when; none if nobody counts on it.
    until: BTreeMap<PathBuf, Moment>,
    /// A message is obeyed: this machine is about to be reset.
    condemned: bool,
}

impl Fed {
    /// Reads it; nothing if no disk is looked at in this boot.
    fn read(run: &Path) -> io::Result<Fed> {
        match fs::read(path(run)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| Fed::no())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Fed::default()),
            Err(error) => Err(error),
        }
    }

    /// What a file that is there and cannot be read counts as: others count on it.
    fn no() -> Fed {
        Fed { condemned: true, ..Fed::default() }
    }

    /// Whether this machine may go on: it looked at each disk not long ago, or it has a lease.
    fn may_go_on(&self, now: Moment, lease_until: Moment) -> bool {
        !self.condemned && self.until.values().all(|until| pill::may_go_on(now, *until, lease_until))
    }
}

fn path(run: &Path) -> PathBuf {
    run.join("disk.fed")
}

/// Whether the watchdog of this machine may be fed, as far as shared disks are concerned. Whoever feeds it has to ask
/// this each time: other nodes take this machine for off when it has not looked at the disk for too long.
#[must_use]
pub fn may_feed(run: &Path, now: Moment, lease_until: Moment) -> bool {
    Fed::read(run).unwrap_or_else(|_| Fed::no()).may_go_on(now, lease_until)
}

/// The file, as its only writer knows it.
pub(super) struct Pledged {
    run: PathBuf,
    fed: Mutex<Fed>,
}

impl Pledged {
    /// Takes up what an earlier process of this boot has written.
    ///
    /// # Errors
    /// When that is there and cannot be read; until it can, the watchdog is not fed.
    pub(super) fn open(run: &Path) -> io::Result<Pledged> {
        Ok(Pledged { run: run.to_owned(), fed: Mutex::new(Fed::read(run)?) })
    }

    /// Changes it in the file first: whoever feeds the watchdog looks there.
    fn change(&self, change: impl FnOnce(&mut Fed)) -> Result<(), String> {
        let mut fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = fed.clone();
        change(&mut next);
        let path = path(&self.run);
        let written =
            serde_json::to_vec(&next).map_err(io::Error::from).and_then(|bytes| replace(&path, &bytes));
        if written.is_ok() || next.condemned {
            *fed = next;
        }
        written.map_err(|error| {
            format!("{} cannot be written: {error}; see whether there is room", path.display())
        })
    }

    /// A look at a disk is through.
    ///
    /// # Errors
    /// When that could not be written: then nobody may be told to count on it.
    pub(super) fn renew(&self, device: &Path, until: Moment) -> Result<(), String> {
        self.change(|fed| {
            fed.until.insert(device.to_owned(), until);
        })
    }

    /// Nobody counts on it any more.
    ///
    /// # Errors
    /// When that could not be written: the watchdog is fed as before.
    pub(super) fn take_back(&self, device: &Path) -> Result<(), String> {
        self.change(|fed| {
            fed.until.remove(device);
        })
    }

    /// This machine is about to be reset.
    ///
    /// # Errors
    /// When that could not be written: the watchdog may still be fed.
    pub(super) fn condemn(&self) -> Result<(), String> {
        self.change(|fed| fed.condemned = true)
    }

    pub(super) fn may_go_on(&self, now: Moment, lease: &dyn LeaseView) -> bool {
        let fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        // A reset that is under way is not begun twice.
        fed.condemned || fed.may_go_on(now, lease.until())
    }
}

/// What others may be told to count on after a look at a disk, which holds until then; and why nothing, if it is less
/// than was asked for.
pub(super) fn told(
    pledged: &Pledged,
    pledge: Option<Pledge>,
    device: &Path,
    until: Moment,
) -> (Option<Pledge>, Result<(), String>) {
    match pledge.map(|_| pledged.renew(device, until)) {
        Some(Err(why)) => (None, Err(format!("nobody can count on its watchdog: {why}"))),
        _ => (pledge, Ok(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{Duration, Instant};

    const PLEDGE: Pledge = Pledge { off_within: Duration::from_secs(16), reset: Duration::from_secs(10) };

    fn at(seconds: u64) -> Moment {
        Moment::both(Instant(0)).after(Duration::from_secs(seconds))
    }

    #[test]
    fn who_looks_at_its_disks_or_has_a_lease_may_go_on() {
        let run = tempfile::tempdir().unwrap();
        let may = |now, lease| may_feed(run.path(), at(now), at(lease));
        assert!(may(100, 0), "no disk is looked at");
        let pledged = Pledged::open(run.path()).unwrap();
        pledged.renew("/dev/one".as_ref(), at(20)).unwrap();
        pledged.renew("/dev/two".as_ref(), at(30)).unwrap();
        assert!(may(19, 0));
        assert!(!may(20, 0), "each disk counts");
        assert!(may(20, 21));
        let next = Pledged::open(run.path()).unwrap();
        assert!(!may(20, 0), "also after this process was started anew");
        next.take_back("/dev/one".as_ref()).unwrap();
        assert!(may(20, 0));
        next.condemn().unwrap();
        assert!(!may(1, 100), "who obeys does not go on");
        fs::write(path(run.path()), "x").unwrap();
        assert!(!may(1, 100), "nor who cannot know");
    }

    #[test]
    fn a_promise_that_is_there_and_cannot_be_read_counts() {
        let run = tempfile::tempdir().unwrap();
        fs::create_dir(path(run.path())).unwrap();
        assert!(!may_feed(run.path(), at(1), at(100)), "others count on it");
        assert!(Pledged::open(run.path()).is_err(), "nor is it taken for none");
        fs::remove_dir(path(run.path())).unwrap();
        assert!(may_feed(run.path(), at(1), at(100)));
    }

    #[test]
    fn what_could_not_be_written_is_no_promise() {
        let run = tempfile::tempdir().unwrap();
        let pledged = Pledged::open(run.path()).unwrap();
        let device = Path::new("/dev/one");
        pledged.renew(device, at(20)).unwrap();
        fs::create_dir(path(run.path()).with_extension("new")).unwrap();
        let why = pledged.renew(device, at(30)).unwrap_err();
        assert!(why.contains("disk.fed cannot be written"), "{why}");
        assert!(!may_feed(run.path(), at(25), at(0)));
        let what_is_told = told(&pledged, Some(PLEDGE), device, at(30));
        assert!(matches!(what_is_told, (None, Err(_))), "so others are told of none");
        assert!(pledged.condemn().is_err());
        fs::remove_dir(path(run.path()).with_extension("new")).unwrap();
        assert!(matches!(told(&pledged, Some(PLEDGE), device, at(30)), (Some(PLEDGE), Ok(()))));
        assert!(matches!(told(&pledged, None, device, at(30)), (None, Ok(()))));
    }
}
