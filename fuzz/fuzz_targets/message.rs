//! Bytes for the message decoders: what has to hold is with the tests of the crate.
#![no_main]

#[path = "../../crates/node/tests/survive/message.rs"]
mod message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| message::message(bytes));
