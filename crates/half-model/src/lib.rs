//! Takeover with exactly half of the voters, in every order in which it can happen.
//!
//! The simulator tries many worlds; this tries all of them, within bounds: every order in which nodes lose power and
//! boot, cables are cut, entries are appended and agreed on, devices act, and halves go on. To be small enough, the
//! node is reduced to what decides that ([`world`], [`log`]); who may do what is asked of the very functions that the
//! core asks ([`heart_node::half`]). A rule can be taken out ([`bounds::Rule`]), and then the checker has to find what
//! it is for.
//!
//! A ping target may keep a half from beginning something (SAFETY rule 20): that takes orders away and adds none, and
//! nobody here has to begin anything, so what holds in all orders holds with that rule too.
//!
//! What is left out, bounds and numbers of states: `docs/half-model.md`.

pub mod act;
pub mod bounds;
pub mod claims;
mod device;
mod halves;
mod lead;
pub mod log;
pub mod setups;
mod step;
pub mod story;
pub mod world;
