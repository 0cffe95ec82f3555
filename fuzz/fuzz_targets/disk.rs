//! Bytes for what stands on a shared disk: what has to hold is with the tests of the crate.
#![no_main]

#[path = "../../crates/disk/tests/survive/mod.rs"]
mod survive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| survive::block(bytes));
