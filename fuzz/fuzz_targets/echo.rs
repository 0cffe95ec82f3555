//! Bytes for who hears answers to pings: what has to hold is with the tests of the crate.
#![no_main]

#[path = "../../crates/node/tests/survive/echo.rs"]
mod echo;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| echo::answer(bytes));
