//! Bytes for the journal decoders: what has to hold is with the tests of the crate.
#![no_main]

#[path = "../../crates/node/tests/survive/journal.rs"]
mod journal;
#[path = "../../crates/node/tests/survive/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| journal::journal(bytes));
