//! How a world is: its cluster, and how good its network, clocks and disks are.

use heart_model::{NodeName, Spec, Timing};

use crate::Nanos;

/// How a world is.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// What all nodes are configured to do.
    pub spec: Spec,
    /// A machine whose file says another timing than all others'.
    pub odd: Option<(NodeName, Timing)>,
    /// What is drawn.
    pub seed: u64,
    /// Clocks are wrong by up to so many parts per million.
    pub drift_ppm: u64,
    /// Each clock is as wrong as that, and both of a machine the same way; often one machine is slow
    /// and all others are fast: the worst case for what that one owns.
    pub opposed: bool,
    /// Datagrams take from .0 to .1.
    pub delay: (Nanos, Nanos),
    /// Datagrams that take up to .1 longer, of 1000: .0.
    pub late: (u64, Nanos),
    /// Datagrams lost, of 1000.
    pub loss: u64,
    /// Datagrams delivered twice, of 1000.
    pub doubles: u64,
    /// A write takes from .0 to .1 to become durable.
    pub sync: (Nanos, Nanos),
    /// A power cut leaves behind some of what was being written, or all of it; else nothing.
    pub torn: bool,
    /// An operation of an agent takes from .0 to .1.
    pub operation: (Nanos, Nanos),
    /// Cores are woken whenever their lease is renewed. Nothing does that in a real node, where whoever goes by the lease
    /// looks at the board; but something else may wake a core at any moment.
    pub restless: bool,
    /// Virtual machines are paused at times, and their clocks with them.
    pub pauses: bool,
    /// The file says at times that something else guards a resource from now on.
    pub reguards: bool,
}

impl WorldSettings {
    /// A quiet world with good clocks.
    #[must_use]
    pub fn quiet(spec: Spec, seed: u64) -> WorldSettings {
        WorldSettings {
            spec,
            odd: None,
            seed,
            drift_ppm: 100,
            opposed: false,
            delay: (100_000, 400_000),
            late: (0, 0),
            loss: 0,
            doubles: 0,
            sync: (100_000, 1_000_000),
            torn: false,
            operation: (1_000_000, 2_000_000),
            restless: false,
            pauses: false,
            reguards: false,
        }
    }
}
