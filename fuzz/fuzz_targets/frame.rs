//! Bytes for the frame decoders: what has to hold is with the tests of the crate.
#![no_main]

#[path = "../../crates/node/tests/survive/frame.rs"]
mod frame;
#[path = "../../crates/node/tests/survive/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frame::frame(bytes));
