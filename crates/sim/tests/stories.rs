//! Failovers, told as stories over the simulated world.

use heart_model::*;
use heart_sim::{Fault, World, WorldSettings, ms};
use std::collections::BTreeMap;

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a name")
}

fn resource(text: &str) -> ResourceName {
    ResourceName::new(text).expect("a name")
}

fn spec(nodes: &[&str]) -> Spec {
    let node = |(n, text): (usize, &&str)| {
        let addresses = (0..2).map(|link| LinkAddress([10, link, 0, 1 + n as u8].into())).collect();
        (name(text), NodeSpec { addresses, voter: true })
    };
    let timeouts = LogicalTimeouts {
        start: Duration::from_secs(20),
        stop: Duration::from_secs(20),
        status: Duration::from_secs(20),
        status_every: Duration::from_secs(10),
    };
    let one = |agent: &str| ResourceSpec {
        agent: AgentRef::BuiltIn(agent.into()),
        parameters: BTreeMap::new(),
        guard: Guard::Lease,
        timeouts,
        failures_max: 3,
        prefers: vec![name(nodes[0])],
    };
    Spec {
        cluster: ClusterSpec {
            name: Name::new("web").expect("a name"),
            key_file: String::new(),
            port: 694,
            links: vec![],
        },
        timing: Timing::of(Profile::Default),
        nodes: nodes.iter().enumerate().map(node).collect(),
        resources: [(resource("address"), one("ip")), (resource("site"), one("process"))].into(),
        groups: [(
            GroupName::new("web").expect("a name"),
            GroupSpec { members: vec![resource("address"), resource("site")], prefers: vec![name(nodes[0])] },
        )]
        .into(),
    }
}

#[test]
fn a_cluster_starts_and_survives_the_loss_of_its_owner() {
    let mut world = World::new(WorldSettings::quiet(spec(&["ada", "bob", "cyn"]), 1));
    world.keep_notes();
    world.boot_all();
    world.run(ms(3000)).expect("the claims hold");
    println!("{}", world.take_story().join("\n"));
    let owner = world.owner(&resource("address")).expect("somebody runs it");
    world.schedule(0, Fault::PowerCut(owner));
    world.run(ms(3000)).expect("the claims hold");
    println!("{}", world.take_story().join("\n"));
    assert!(world.owner(&resource("site")).is_some());
}
