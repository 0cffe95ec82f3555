//! Ping targets: the client is one, and users are where it is.

use anyhow::ensure;
use heart_lab::CLIENT;
use heart_node::core::{Request, Response};

use crate::cluster::{Cluster, QUIET, pass, plan};

/// The client, asked so often that a story is soon told.
const TARGET: &str = "[ping.client]\nhosts = [\"10.77.0.250\"]\ninterval = \"200ms\"\nlost_after = \"1s\"\n";

/// Waits until the leader says of exactly these that they do not reach their target.
fn missed_by(cluster: &Cluster, nodes: &[String]) {
    Cluster::until("it is said who does not reach the target", || {
        let view = cluster.view()?;
        for (name, node) in &view.nodes {
            let (says, expected) = (!node.pings.is_empty(), nodes.contains(name));
            ensure!(says == expected, "{name}: {:?}", node.pings);
        }
        Ok(())
    });
}

/// The client answers no pings, or does again.
fn mute(cluster: &Cluster, muted: bool) {
    let command = format!("echo {} > /proc/sys/net/ipv4/icmp_echo_ignore_all", u8::from(muted));
    cluster.lab.client().shell(&command).unwrap();
}

#[test]
fn a_target_that_dies_moves_nothing_and_an_uplink_that_is_cut_moves_the_address_once() {
    let Some(cluster) = plan(3).tables(TARGET).start() else { return };
    missed_by(&cluster, &[]);
    pass(QUIET);
    let before = cluster.mark();
    mute(&cluster, true);
    missed_by(&cluster, &cluster.names());
    pass(QUIET * 2);
    mute(&cluster, false);
    missed_by(&cluster, &[]);
    pass(QUIET * 2);
    cluster.nothing_happened(&before);

    let owner = cluster.owner();
    let others = cluster.others(&owner);
    let rest: Vec<&str> = others.iter().map(String::as_str).chain([CLIENT]).collect();
    // The network of the users; heartbeats have another one.
    let cut = cluster.lab.partition_on(&[&[&owner], &rest], 0).unwrap();
    let outage = cluster.outage("the owner was cut off from its users alone", cut);
    assert!(others.contains(&outage.after), "{} serves", outage.after);
    missed_by(&cluster, std::slice::from_ref(&owner));
    let Ok(Response::Log { timeline }) = cluster.ask(&outage.after, &Request::Log { limit: 50 }) else {
        panic!("no log")
    };
    let said = format!("{timeline:?}");
    assert!(said.contains("Fewer { reaches: 0, of: 1"), "{said}");
    Cluster::until("all of it runs there", || {
        let view = cluster.view()?;
        ensure!(view.resources.values().all(|one| one.state == "running"), "{:?}", view.resources);
        Ok(())
    });
    let moved = cluster.mark();
    cluster.lab.heal().unwrap();
    missed_by(&cluster, &[]);
    pass(QUIET * 2);
    cluster.nothing_happened(&moved);
    assert_eq!(cluster.owner(), outage.after, "nothing goes back by itself");
    cluster.no_overlap();
}
