//! What a process that waits most of its life keeps in memory.

use crate::sys;

/// Gives back the code that only the start needed: a process of a node reads its configuration once
/// and then waits for years. Best effort; what is needed again comes back by itself.
///
/// Not for who must never wait for a page: whoever locks its memory calls this before.
pub fn forget_the_start() {
    if let Err(error) = sys::unmap_code() {
        tracing::debug!("the code that only the start needed stays in memory: {error}");
    }
}
