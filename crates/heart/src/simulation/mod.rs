//! What would be done in a cluster that is only described.
//!
//! A file says what is wanted and what is; the policy engine says what would be done and what would be
//! then. Everything here turns its [`Outcome`] into something that can be read: by programs and the
//! reference suite ([`result`]), by people who like pictures ([`graph`]). Nothing touches a cluster.

pub(crate) mod graph;
mod order;
pub(crate) mod result;
#[cfg(test)]
mod tests;

pub(crate) use order::Order;

use heart_config::cib::{CibMistake, Imported};
use heart_scheduler::engine::{
    self, Outcome,
    outcome::{Action, Health, NodeView},
};

/// Reads a description; what it does not say of the time is as `now` has it.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(name: &str, bytes: &[u8], now: i64) -> Result<Imported, Vec<CibMistake>> {
    let mut imported = heart_config::cib::read(name, bytes)?;
    imported.state.now.get_or_insert(now);
    Ok(imported)
}

/// Decides what would be done.
pub(crate) fn decide(imported: &Imported) -> Outcome {
    engine::decide(&imported.cluster, &imported.state)
}

/// An action in a few words, the same as in the reference suite: `start db n1`, `monitor/10000 db n1`,
/// `fence/reboot n1`.
pub(crate) fn action_text(action: &Action) -> String {
    let kind = action.kind.as_deref();
    let what = match (action.name.as_str(), kind, action.every_ms) {
        ("cancel", kind, every_ms) => format!("cancel:{}/{every_ms}", kind.unwrap_or("monitor")),
        (name, Some(kind), _) => format!("{name}/{kind}"),
        (name, None, 0) => name.to_owned(),
        (name, None, every_ms) => format!("{name}/{every_ms}"),
    };
    match &action.resource {
        Some(resource) => format!("{what} {resource} {}", action.node),
        None => format!("{what} {}", action.node),
    }
}

/// How a node is, in a word or two; None for a guest that is simply not there.
pub(crate) fn node_text(node: &NodeView) -> Option<String> {
    let state = if node.unclean {
        match (node.online, node.pending) {
            (true, _) => "unclean-online",
            (false, true) => "unclean-pending",
            (false, false) => "unclean-offline",
        }
    } else if node.pending {
        "pending"
    } else if node.standby_by_failure && node.online {
        "standby-on-fail"
    } else if node.standby {
        match (node.online, node.active) {
            (true, true) => "standby-active",
            (true, false) => "standby",
            (false, _) => "offline-standby",
        }
    } else if node.maintenance {
        if node.online { "maintenance" } else { "offline-maintenance" }
    } else if node.online {
        match node.health {
            Health::Green => "online",
            Health::Yellow => "online-health-is-yellow",
            Health::Red => "online-health-is-red",
        }
    } else if node.guest {
        return None;
    } else {
        "offline"
    };
    let kind = if node.guest {
        "guest-"
    } else if node.remote {
        "remote-"
    } else {
        ""
    };
    Some(format!("{kind}{state}"))
}
