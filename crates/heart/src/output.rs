//! Where output goes, and what that place can show.

use std::{
    io::{self, IsTerminal, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{failure::Failure, render::Look, sys::seconds_east};

/// Prints to standard output. Returns whether somebody reads on: `head` leaves, and that is no failure.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::problem(format!("cannot write the answer: {error}"), "is the disk full?")),
    }
}

/// How to draw on standard output, at this moment.
pub(crate) fn look() -> Look {
    let terminal = io::stdout().is_terminal();
    let width = rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .filter(|size| terminal && size.ws_col > 0)
        .map_or(usize::MAX, |size| usize::from(size.ws_col));
    Look { now_ms: now_ms(), width, color: terminal && color_wanted(), zone: seconds_east }
}

/// Whether somebody asked for no colour: <https://no-color.org>.
fn color_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
pub(crate) fn now_s() -> i64 {
    i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX)
}

/// Prints a value as JSON, and nothing else.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::problem(format!("cannot be said in JSON: {error}"), "ask without `--json`, and report this")
    })?;
    print(&format!("{text}\n"))?;
    Ok(())
}
