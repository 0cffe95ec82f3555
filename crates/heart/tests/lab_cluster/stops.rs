//! Nodes that are stopped in order, and what is in the way of that.

use std::time::Duration;

use anyhow::ensure;
use heart_lab::{Stamp, Target, milliseconds};

use crate::cluster::{Cluster, SIGKILL, SIGTERM, pass, plan};

/// A service that ends when it is let, and not before.
const STUBBORN: &str = r#"
[resource.stubborn]
agent = "process"
guard = "fence"
stop_timeout = "120s"
command = ["/bin/sh", "-c", "trap 'touch /var/log/asked' TERM; while ! test -e /var/log/may-end; do sleep 0.1; done"]
"#;
/// Longer than a stop could take once, whatever its agents said.
const LONG: Duration = Duration::from_secs(32);

/// A cluster of which the node that runs what is stubborn was asked to stop, and has asked that; and which one it is.
fn asked_to_stop(tables: &str) -> Option<(Cluster, String)> {
    let cluster = plan(3).tables(tables).start()?;
    let owner = cluster.settled().resources["stubborn"].node.clone().unwrap();
    cluster.lab.node(&owner).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    Cluster::until("it is asked to end", || cluster.lab.node(&owner).shell("test -e /var/log/asked"));
    Some((cluster, owner))
}

/// Lets the service end, and waits until nothing of Heart is left, and the others know that it left in order.
fn ends_in_order(cluster: &Cluster, owner: &str) {
    let let_go = Stamp::now();
    cluster.lab.node(owner).shell("touch /var/log/may-end").unwrap();
    Cluster::until("nothing of Heart is left there", || {
        let left = cluster.processes(owner);
        ensure!(left.is_empty(), "{left:?} still run");
        Ok(())
    });
    println!("ended after {}", milliseconds(Stamp::now().since(let_go)));
    assert!(!cluster.log(owner).contains("error: "), "{}", cluster.log(owner));
    Cluster::until("it has left", || {
        let state = cluster.view()?.nodes[owner].state.clone();
        ensure!(state == "left", "{owner} is {state}");
        Ok(())
    });
    Cluster::until("it runs elsewhere", || {
        let stubborn = cluster.view()?.resources["stubborn"].clone();
        ensure!(stubborn.node.as_deref().is_some_and(|node| node != owner), "{stubborn:?}");
        ensure!(stubborn.state == "running", "{stubborn:?}");
        Ok(())
    });
}

#[test]
fn a_stop_takes_as_long_as_agents_may_take() {
    let Some((cluster, owner)) = asked_to_stop(STUBBORN) else { return };
    pass(LONG);
    ends_in_order(&cluster, &owner);
    cluster.no_overlap();
}

#[test]
fn whoever_dies_in_a_stop_is_started_again_and_the_stop_goes_on() {
    let Some((cluster, owner)) = asked_to_stop(STUBBORN) else { return };
    let node = cluster.lab.node(&owner);
    for role in ["heart-core", "heart-gateway"] {
        node.signal(Target::Name(role.into()), SIGKILL).unwrap();
        let note = format!("the {} (process", role.trim_start_matches("heart-"));
        Cluster::until(&format!("{role} is started again"), || {
            ensure!(cluster.log(&owner).contains(&note), "{}", cluster.log(&owner));
            ensure!(cluster.processes(&owner).iter().any(|one| one == role), "{role} is missing");
            Ok(())
        });
    }
    // The next executor finds a stop that had begun, and waits for nothing.
    node.signal(Target::Name("heart-executor".into()), SIGKILL).unwrap();
    ends_in_order(&cluster, &owner);
    cluster.no_overlap();
}

/// Nobody stops what runs: whoever could hangs.
#[test]
fn a_stop_that_does_not_get_on_is_given_up_and_said_so() {
    let Some((cluster, owner)) = asked_to_stop(&STUBBORN.replace("120s", "1s")) else { return };
    cluster.lab.node(&owner).shell("pkill -STOP '^heart-executor$'").unwrap();
    Cluster::until_within(2 * LONG, "nothing of Heart is left there but the keeper", || {
        let left = cluster.processes(&owner);
        ensure!(left.iter().all(|one| one == "heart-keeper"), "{left:?} still run");
        Ok(())
    });
    let log = cluster.log(&owner);
    assert!(log.contains("`stubborn` may still run here"), "{log}");
    assert!(log.contains("hint: stop that by hand, start Heart here again"), "{log}");
    cluster.no_overlap();
}
