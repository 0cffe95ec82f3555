//! The hasher that raft keeps its small maps of node numbers with.
//!
//! raft 0.7 asks for the crate `fxhash`, which nobody maintains. This one has the name that raft
//! uses and an algorithm of its own: multiply while reading, mix at the end. It draws no random
//! seed, so that the order of raft's maps, and with it a simulated world, depends on nothing but
//! what was put into them. Keys come from the configuration; nobody can choose them to collide.
#![no_std]

use core::hash::Hasher;

/// 2⁶⁴ divided by the golden ratio, made odd: its multiples spread evenly.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A fast hasher without a seed; not for keys that an attacker chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct FxHasher {
    read: u64,
}

impl FxHasher {
    fn absorb(&mut self, word: u64) {
        self.read = (self.read.rotate_left(23) ^ word).wrapping_mul(SPREAD);
    }
}

impl Hasher for FxHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.absorb(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.absorb(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.absorb(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.absorb(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.absorb(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.absorb(value as u64);
    }

    fn finish(&self) -> u64 {
        // Hash tables look at the lowest bits and at the highest; multiplying leaves the low ones
        // poor, so the high half is folded into them.
        let folded = (self.read ^ (self.read >> 32)).wrapping_mul(SPREAD);
        folded ^ (folded >> 32)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::hash::{BuildHasher, BuildHasherDefault};
    use std::collections::HashSet;

    #[test]
    fn equal_keys_hash_alike_in_every_run() {
        let build = BuildHasherDefault::<FxHasher>::default();
        assert_eq!(build.hash_one(7_u64), build.hash_one(7_u64));
        assert_ne!(build.hash_one(7_u64), build.hash_one(8_u64));
        assert_ne!(build.hash_one("ab"), build.hash_one("ba"));
        assert_ne!(build.hash_one([1_u8, 2, 3].as_slice()), build.hash_one([1_u8, 2, 3, 0].as_slice()));
    }

    #[test]
    fn small_numbers_spread_over_small_tables() {
        let build = BuildHasherDefault::<FxHasher>::default();
        for shift in [0, 16, 32, 48] {
            let low: HashSet<u64> = (0..64_u64).map(|key| build.hash_one(key << shift) & 127).collect();
            let high: HashSet<u64> = (0..64_u64).map(|key| build.hash_one(key << shift) >> 57).collect();
            assert!(
                low.len() >= 32 && high.len() >= 32,
                "shift {shift}: {} low, {} high",
                low.len(),
                high.len()
            );
        }
    }
}
