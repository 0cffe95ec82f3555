//! Until when this machine may go on without a lease, as others were told on disks: in a file of this boot.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use heart_agents::LeaseView;
use heart_disk::pill;
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
    fn read(run: &Path) -> Fed {
        // A file that is there and cannot be read counts as one that says no: others count on it.
        match fs::read(path(run)) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or(Fed { condemned: true, ..Fed::default() }),
            Err(_) => Fed::default(),
        }
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
    Fed::read(run).may_go_on(now, lease_until)
}

/// The file, as its only writer knows it.
pub(super) struct Pledged {
    run: PathBuf,
    fed: Mutex<Fed>,
}

impl Pledged {
    /// Takes up what an earlier process of this boot has written.
    pub(super) fn open(run: &Path) -> Pledged {
        Pledged { run: run.to_owned(), fed: Mutex::new(Fed::read(run)) }
    }

    fn change(&self, change: impl FnOnce(&mut Fed)) {
        let mut fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut fed);
        let written = serde_json::to_vec(&*fed).map(|bytes| replace(&path(&self.run), &bytes));
        if !matches!(written, Ok(Ok(()))) {
            tracing::error!("{} cannot be written: {written:?}", path(&self.run).display());
        }
    }

    /// A look at a disk is through.
    pub(super) fn renew(&self, device: &Path, until: Moment) {
        self.change(|fed| {
            fed.until.insert(device.to_owned(), until);
        });
    }

    /// Nobody counts on it any more.
    pub(super) fn take_back(&self, device: &Path) {
        self.change(|fed| {
            fed.until.remove(device);
        });
    }

    /// This machine is about to be reset.
    pub(super) fn condemn(&self) {
        self.change(|fed| fed.condemned = true);
    }

    pub(super) fn may_go_on(&self, now: Moment, lease: &dyn LeaseView) -> bool {
        let fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        // A reset that is under way is not begun twice.
        fed.condemned || fed.may_go_on(now, lease.until())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{Duration, Instant};

    fn at(seconds: u64) -> Moment {
        Moment::both(Instant(0)).after(Duration::from_secs(seconds))
    }

    #[test]
    fn who_looks_at_its_disks_or_has_a_lease_may_go_on() {
        let run = tempfile::tempdir().unwrap();
        let may = |now, lease| may_feed(run.path(), at(now), at(lease));
        assert!(may(100, 0), "no disk is looked at");
        let pledged = Pledged::open(run.path());
        pledged.renew("/dev/one".as_ref(), at(20));
        pledged.renew("/dev/two".as_ref(), at(30));
        assert!(may(19, 0));
        assert!(!may(20, 0), "each disk counts");
        assert!(may(20, 21));
        let next = Pledged::open(run.path());
        assert!(!may(20, 0), "also after this process was started anew");
        next.take_back("/dev/one".as_ref());
        assert!(may(20, 0));
        next.condemn();
        assert!(!may(1, 100), "who obeys does not go on");
        fs::write(path(run.path()), "x").unwrap();
        assert!(!may(1, 100), "nor who cannot know");
    }
}
