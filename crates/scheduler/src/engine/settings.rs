//! The options of the cluster, read and with defaults.

use alloc::string::String;

/// What happens without a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoQuorum {
    /// Everything stops.
    Stop,
    /// As if there were one.
    Ignore,
    /// What runs may go on; nothing starts.
    Freeze,
    /// What can be demoted is, all else stops.
    Demote,
    /// Everybody here is fenced.
    Fence,
}

/// How nodes are chosen when things have needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Needs do not count.
    Default,
    /// Nodes that have too little are left out.
    Utilization,
    /// Of the others, those with most to give.
    Balanced,
    /// As few nodes as possible.
    Minimal,
}

/// The options of the cluster, read and with defaults.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) no_quorum: NoQuorum,
    pub(crate) symmetric: bool,
    pub(crate) stop_all: bool,
    pub(crate) maintenance: bool,
    pub(crate) startup_probes: bool,
    pub(crate) stop_removed_resources: bool,
    pub(crate) stop_removed_actions: bool,
    pub(crate) remove_after_stop: bool,
    pub(crate) fencing: bool,
    pub(crate) startup_fencing: bool,
    /// `reboot` or `off`.
    pub(crate) fencing_action: String,
    pub(crate) concurrent_fencing: bool,
    /// There is a device, or a watchdog that counts as one.
    pub(crate) fencing_possible: bool,
    pub(crate) node_pending_timeout_s: u64,
    pub(crate) placement: Placement,
    pub(crate) shutdown_lock: bool,
    pub(crate) shutdown_lock_limit_s: u64,
}
