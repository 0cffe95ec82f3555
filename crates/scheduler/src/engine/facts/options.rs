//! The options of the cluster as a whole.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString as _},
};

use heart_model::policy::State;

use crate::engine::{
    arena::{NoQuorum, Options, Placement},
    values::{flag, milliseconds},
};

/// Reads the options; where nothing is said, the defaults of the field count.
pub(super) fn read(values: &BTreeMap<String, String>, state: &State) -> Options {
    let said = |name: &str| values.get(name).map(String::as_str);
    let seconds = |name: &str| said(name).and_then(milliseconds).unwrap_or(0) / 1000;
    let fencing = flag(values, "fencing-enabled", true);
    let has_watchdog = state.watchdog || flag(values, "have-watchdog", false);
    Options {
        no_quorum: no_quorum(said("no-quorum-policy"), fencing, state),
        symmetric: flag(values, "symmetric-cluster", true),
        stop_all: flag(values, "stop-all-resources", false),
        maintenance: flag(values, "maintenance-mode", false),
        startup_probes: flag(values, "enable-startup-probes", true),
        stop_removed_resources: either(values, ["stop-removed-resources", "stop-orphan-resources"]),
        stop_removed_actions: either(values, ["stop-removed-actions", "stop-orphan-actions"]),
        remove_after_stop: flag(values, "remove-after-stop", false),
        fencing,
        startup_fencing: flag(values, "startup-fencing", true),
        fencing_action: said("fencing-action").filter(|word| *word == "off").unwrap_or("reboot").to_string(),
        concurrent_fencing: flag(values, "concurrent-fencing", true),
        fencing_possible: has_watchdog,
        node_pending_timeout_s: seconds("node-pending-timeout"),
        placement: match said("placement-strategy") {
            Some("utilization") => Placement::Utilization,
            Some("balanced") => Placement::Balanced,
            Some("minimal") => Placement::Minimal,
            Some(_) | None => Placement::Default,
        },
        shutdown_lock: flag(values, "shutdown-lock", false),
        shutdown_lock_limit_s: seconds("shutdown-lock-limit"),
    }
}

fn either(values: &BTreeMap<String, String>, names: [&str; 2]) -> bool {
    let said = names.iter().find(|name| values.contains_key(**name));
    said.is_none_or(|name| flag(values, name, true))
}

/// Those who lost the quorum fence themselves only if they ever had it, and if there is fencing.
fn no_quorum(word: Option<&str>, fencing: bool, state: &State) -> NoQuorum {
    match word {
        Some("ignore") => NoQuorum::Ignore,
        Some("freeze") => NoQuorum::Freeze,
        Some("demote") => NoQuorum::Demote,
        Some("fence" | "suicide") if fencing && (state.quorum || state.had_quorum) => NoQuorum::Fence,
        Some(_) | None => NoQuorum::Stop,
    }
}
