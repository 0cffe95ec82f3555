//! What has to hold for any bytes from a network or a disk: one function a decoder, for the tests of
//! this crate and for the fuzzer alike.

pub(crate) mod echo;
pub(crate) mod frame;
pub(crate) mod journal;
pub(crate) mod message;
mod script;
