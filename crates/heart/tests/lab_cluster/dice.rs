//! Chance for stories in which anything may happen.

use std::env;

use heart_lab::Stamp;

/// Chance that can be had again: `HEART_SEED` repeats a run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Dice {
        let fresh = || Stamp::now().0;
        let seed = env::var("HEART_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh);
        println!("HEART_SEED={seed}");
        Dice(seed | 1)
    }

    /// A number below `limit` (xorshift64*).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}
