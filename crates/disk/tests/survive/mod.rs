//! What has to hold whatever stands on a disk: for the tests of this crate, and for the fuzzer.

use heart_disk::{
    Area, BLOCK, DeviceId, PAIR, Slot,
    ballot::Change,
    layout::{self, Stands},
    pill::{Look, Pill, Rounds, Seen, Times, named},
    records::{Ballot, Beat, Header, Messages, Owner},
};
use heart_model::{BootId, Duration, Moment, Standing};
use serde::{Serialize, de::DeserializeOwned};

const DEVICE: DeviceId = DeviceId(7);
const SLOT: Slot = Slot(0);

/// Takes the bytes for a block, and for the record of one; whatever they are, they are refused or understood.
pub(crate) fn block(bytes: &[u8]) {
    let mut pair = [0; PAIR];
    let (one, other) = pair.split_at_mut(BLOCK);
    let length = bytes.len().min(BLOCK);
    one[..length].copy_from_slice(&bytes[..length]);
    other[..length].copy_from_slice(&bytes[..length]);
    understand(&pair);
    layout::read_header::<Header>(&pair).ok();
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    for area in [Area::Header, Area::Owners, Area::Beats, Area::Messages, Area::Ballots] {
        let Ok(block) = layout::write(DEVICE, area, SLOT, 1, &value) else { return };
        understand(&[&block[..], &block[..]].concat());
    }
}

fn understand(pair: &[u8]) {
    again::<Header>(Area::Header, pair);
    again::<Owner>(Area::Owners, pair);
    if let Some(beat) = again::<Beat>(Area::Beats, pair) {
        let longest = Duration::from_secs(10);
        let times = Times { look_every: Duration::from_secs(1), longest };
        let mut pill = Pill::new(times, BootId(1), beat.clone());
        pill.look(Duration::ZERO, Ok(beat.clone()));
        pill.look(Duration::from_secs(60), Ok(beat.clone()));
        Rounds::new(BootId(1), &beat, beat.pledge).go_on(None, 0);
    }
    if let Some(mut messages) = again::<Messages>(Area::Messages, pair) {
        let (now, lost_after) = (Moment::default(), Duration::ZERO);
        let look = Look { now, lease_until: now, lost_after };
        let _ = Seen::default().told(SLOT, BootId(1), &[(SLOT, messages.clone())], &look);
        messages.tell(SLOT, named(BootId(1), &Beat::default())).ok();
    }
    if let Some(ballot) = again::<Ballot>(Area::Ballots, pair) {
        let set = Standing { era: 1, parent: None, term: 1, configuration: 1, named: Vec::new() };
        for me in [SLOT, Slot(1)] {
            let mut change = Change::new(me, None, set.clone());
            let all = [ballot.clone(), Ballot::default()];
            // Bounded by the rounds that it makes of its own.
            for _ in 0..4 {
                if change.read(&all).is_err() {
                    break;
                }
                change.written();
            }
        }
    }
}

/// What was understood, written again, is understood in the same way.
fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    area: Area,
    pair: &[u8],
) -> Option<T> {
    let Stands { sequence, record, .. } = layout::read::<T>(DEVICE, area, SLOT, pair).ok()?;
    if let Ok(block) = layout::write(DEVICE, area, SLOT, sequence, &record) {
        let read = layout::read::<T>(DEVICE, area, SLOT, &[&block[..], &block[..]].concat());
        assert_eq!(read.map(|stands| stands.record).as_ref(), Ok(&record));
    }
    Some(record)
}
