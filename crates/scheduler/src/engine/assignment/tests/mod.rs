//! Tables of small clusters, and where everything goes in them.

mod many;
pub(crate) mod notation;
mod one;
