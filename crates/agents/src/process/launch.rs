//! Processes that begin only when they have been written down.
//!
//! Whoever starts one may be killed at any moment. One that nobody has written down would run on, and nobody would find
//! it: so each waits at a gate, and ends if that is closed before it was opened.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::Command,
};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::{
    refused,
    sys::{self, Forked},
};

/// What opens a gate.
pub(super) const OPEN: &[u8] = b"!";

/// Waits at a gate; whether it was opened.
pub(super) fn wait_at(gate: impl AsFd) -> bool {
    let mut heard = [0u8; OPEN.len()];
    loop {
        match rustix::io::read(&gate, &mut heard) {
            Ok(length) => return heard[..length] == *OPEN,
            // Bounded by the signals that arrive.
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Makes a pipe for a child.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// Reads until the other side has closed, or has said that all is well; answers here are short.
pub(super) fn read_all(pipe: &OwnedFd) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0u8; 512];
    while let Ok(length) = rustix::io::read(pipe, &mut buffer) {
        all.extend_from_slice(&buffer[..length]);
        if length == 0 || all == b"+" || all.len() > heart_model::AGENT_MESSAGE_MAX {
            break;
        }
    }
    all
}

/// Starts a command, which begins when `write_down` knows its number. The caller has one thread.
///
/// # Errors
/// When it cannot be started or written down: then nothing of it runs.
pub(super) fn start(
    command: &mut Command,
    write_down: impl FnOnce(i32) -> Result<(), String>,
) -> Result<i32, String> {
    let refused = |error: io::Error| refused::told(&error, format!("cannot make a process: {error}"));
    let (waits, gate) = pipe().map_err(refused)?;
    let (heard, said) = pipe().map_err(refused)?;
    match sys::fork().map_err(refused)? {
        Forked::Child => {
            // Else nobody would hear the end of the keeper.
            drop((gate, heard));
            if wait_at(&waits) {
                let error = command.exec();
                rustix::io::write(&said, refused::told(&error, error.to_string()).as_bytes()).ok();
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "what the parent owns is not ours to drop after a fork"
            )]
            std::process::exit(1)
        }
        Forked::Parent(pid) => {
            drop((waits, said));
            write_down(pid)?;
            rustix::io::write(&gate, OPEN).map_err(|error| format!("it ended before it began: {error}"))?;
            // Becoming the service closes its end.
            match read_all(&heard).as_slice() {
                [] => Ok(pid),
                why => Err(String::from_utf8_lossy(why).into_owned()),
            }
        }
    }
}
