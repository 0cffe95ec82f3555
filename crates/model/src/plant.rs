//! Bugs put in on purpose, so that a test can show that the simulator finds them.
//!
//! Which bugs there are is for the crates to say whose rules they leave out; how one is chosen is the same for all.

/// Makes `plant` and `is_planted` for an enumeration of bugs. The cargo feature `planted` is that of the crate which
/// calls this: without it the question whether a bug is there is a constant, and nothing of this is in the program.
#[macro_export]
macro_rules! plantable {
    ($bug:ident) => {
        #[cfg(feature = "planted")]
        mod choice {
            extern crate std;

            use super::$bug;
            use ::core::cell::Cell;

            std::thread_local! {
                static CHOSEN: Cell<Option<$bug>> = const { Cell::new(None) };
            }

            /// Puts a bug, or none, into everything of this crate that runs on this thread.
            pub fn plant(bug: Option<$bug>) {
                CHOSEN.set(bug);
            }

            /// Whether this bug was put in.
            #[must_use]
            pub fn is_planted(bug: $bug) -> bool {
                CHOSEN.get() == Some(bug)
            }
        }

        #[cfg(not(feature = "planted"))]
        mod choice {
            use super::$bug;

            /// Never, in a program without the feature.
            #[must_use]
            pub const fn is_planted(_: $bug) -> bool {
                false
            }
        }

        pub use choice::*;
    };
}
