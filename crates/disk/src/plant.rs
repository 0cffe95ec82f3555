//! Bugs put in on purpose, so that a test can show that the simulator finds them; as in crate `heart-node`.
//!
//! Without the cargo feature `planted` the question whether one is there is a constant.

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// What a node wants the tie-break to say is taken for what it says before it stands in that node's block.
    ClaimUnwritten,
    /// A node that was told to reset itself counts as off before the time is over after which it said that it would be.
    PillBeforeTime,
}

#[cfg(feature = "planted")]
mod choice {
    extern crate std;

    use super::Bug;
    use core::cell::Cell;

    std::thread_local! {
        static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Puts a bug, or none, into whatever this thread concludes from a disk.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.set(bug);
    }

    /// Whether this bug was put in.
    #[must_use]
    pub fn is_planted(bug: Bug) -> bool {
        CHOSEN.get() == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
mod choice {
    use super::Bug;

    /// Never, in a program without the feature.
    #[must_use]
    pub const fn is_planted(_: Bug) -> bool {
        false
    }
}

pub use choice::*;
