//! Bytes as a CIB: what has to hold is with the tests of the crate.
#![no_main]

#[path = "../../crates/config/tests/survive/cib.rs"]
mod survive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| survive::cib(bytes));
