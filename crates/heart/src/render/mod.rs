//! Answers as text. Everything here is a pure function of what is shown and of how: the time and
//! the place the reader lives in are arguments, so that the tests below can compare whole screens.

mod check;
mod course;
mod devices;
pub(crate) mod disk;
mod explanation;
mod halves;
mod log;
mod losses;
mod simulation;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod why;

pub(crate) use check::summary;
pub(crate) use course::course;
pub(crate) use devices::devices;
pub(crate) use explanation::{explanation, words as cause};
pub(crate) use log::{Wanted, log};
pub(crate) use losses::{Cause, Lost, Moved, Why, losses};
pub(crate) use simulation::simulation;
pub(crate) use status::{problem, status};
pub(crate) use why::{Answer, about_node, why};

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Now, in milliseconds since 1970.
    pub(crate) now_ms: u64,
    /// How many characters fit a line; more than any line has if nobody looks.
    pub(crate) width: usize,
    /// Whether colours may be used.
    pub(crate) color: bool,
    /// How many seconds the reader's clock is ahead of UTC at a moment in milliseconds since 1970.
    pub(crate) zone: fn(u64) -> i64,
}
