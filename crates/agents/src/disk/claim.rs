//! Who writes a block of this node on a device: one at a time.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use heart_disk::{Area, Slot};

/// A device, a number of the area, and the slot.
type Block = (PathBuf, u8, Slot);

/// The blocks that are being written by this process.
static CLAIMED: Mutex<BTreeSet<Block>> = Mutex::new(BTreeSet::new());
static FREED: Condvar = Condvar::new();

/// The right of one thread to write a block, until it is dropped. Between reading the block and
/// having written it nobody else may.
#[derive(Debug)]
pub struct Claim(Block);

impl Claim {
    /// Waits for it, no longer than so.
    ///
    /// # Errors
    /// When somebody else has it for longer: that one hangs at the disk.
    pub fn wait(device: &Path, area: Area, slot: Slot, within: Duration) -> Result<Claim, String> {
        let (key, end) = ((device.to_owned(), area.number(), slot), Instant::now() + within);
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded by the time.
        while !claimed.insert(key.clone()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!(
                    "an earlier write to {} still hangs there; see the kernel's log about this disk",
                    device.display()
                ));
            }
            claimed = FREED.wait_timeout(claimed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Claim(key))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.remove(&self.0);
        FREED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_for_each_block() {
        let claim = |area, device: &str| Claim::wait(Path::new(device), area, Slot(1), Duration::ZERO);
        let first = claim(Area::Ballots, "/dev/one").unwrap();
        assert!(claim(Area::Ballots, "/dev/one").unwrap_err().contains("still hangs"));
        let others = [claim(Area::Messages, "/dev/one"), claim(Area::Ballots, "/dev/two")];
        assert!(others.iter().all(Result::is_ok));
        drop(first);
        claim(Area::Ballots, "/dev/one").unwrap();
    }
}
