//! A lease in a file, as the heartbeat thread would keep it: two numbers, one for each clock.
#![allow(dead_code, clippy::allow_attributes, reason = "the keeper and the test use different halves")]

use std::{fs, io, os::unix::fs::FileExt, path::Path};

use heart_agents::LeaseView;
use heart_model::{Instant, Moment};

/// The keeper's view.
pub(crate) struct Board(fs::File);

/// Opens the view.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn LeaseView>> {
    Ok(Box::new(Board(fs::File::open(path)?)))
}

/// Writes the end of the lease.
pub(crate) fn tell(path: &Path, until: Moment) {
    let bytes = [until.boottime.0.to_ne_bytes(), until.raw.0.to_ne_bytes()].concat();
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}

impl LeaseView for Board {
    fn until(&self) -> Moment {
        let mut bytes = [0u8; 16];
        self.0.read_exact_at(&mut bytes, 0).ok();
        let number = |at: usize| Instant(u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap()));
        Moment { boottime: number(0), raw: number(8) }
    }
}
