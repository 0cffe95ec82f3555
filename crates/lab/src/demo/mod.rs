//! The demonstration: a cluster on one machine, broken before your eyes.

pub(crate) mod service;
