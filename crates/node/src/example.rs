//! A configuration for tests.

use heart_model::{
    AfterFence, ClusterSpec, FAILOVERS_OF_CLUSTER, FenceDevice, Name, NodeName, NodeSpec, Profile, Spec,
    Timing, WhenSick,
};
use std::collections::BTreeMap;

/// A cluster of these voters, each of which can be switched off by these devices; nothing runs there.
pub(crate) fn spec(nodes: &[(&str, &[Vec<FenceDevice>])]) -> Spec {
    let cluster = ClusterSpec {
        name: Name::new("web").expect("a name"),
        key_file: String::new(),
        port: 694,
        links: Vec::new(),
        when_sick: WhenSick::Move,
        failovers_max: FAILOVERS_OF_CLUSTER,
        after_fence: AfterFence::StayOff,
    };
    let node = |(name, fence): &(&str, &[Vec<FenceDevice>])| {
        let spec = NodeSpec {
            addresses: Vec::new(),
            voter: true,
            capacity: BTreeMap::new(),
            fence: fence.to_vec(),
            watchdog: None,
            never_paused: true,
        };
        (NodeName::new(name).expect("a name"), spec)
    };
    Spec {
        cluster,
        timing: Timing::of(Profile::Default),
        nodes: nodes.iter().map(node).collect(),
        resources: BTreeMap::new(),
        groups: BTreeMap::new(),
        times: BTreeMap::new(),
        tie_break: None,
        pings: BTreeMap::new(),
    }
}
