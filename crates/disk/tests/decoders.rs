//! Bytes that nobody wrote, and bytes that somebody changed.

mod survive;

use std::{fs, path::Path};

use heart_disk::{Area, BLOCK, DeviceId, Slot, layout, records::Beat};
use proptest::prelude::*;

#[test]
fn the_seeds_of_the_fuzzer_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/disk");
    let seeds: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() >= 4, "only {} seeds", seeds.len());
    seeds.iter().for_each(|seed| survive::block(seed));
}

proptest! {
    #[test]
    fn whatever_stands_there_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..BLOCK)) {
        survive::block(&bytes);
    }

    #[test]
    fn a_block_of_which_any_byte_was_changed_is_damaged(at in 0..BLOCK, by in 1_u8..) {
        let mut block = layout::write(DeviceId(1), Area::Beats, Slot(3), 9, &Beat::default()).unwrap();
        block[at] ^= by;
        let pair = [&block[..], &block[..]].concat();
        prop_assert!(layout::read::<Beat>(DeviceId(1), Area::Beats, Slot(3), &pair).is_err());
    }
}
