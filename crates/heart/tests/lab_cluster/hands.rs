//! People who ask for things: moves, standby, and services that are killed or keep failing.

use anyhow::{Context, ensure};
use heart_lab::{Outage, Stamp, milliseconds};
use heart_node::core::{Request, Response};

use heart_model::{NodeName, ResourceName};

use crate::cluster::{Cluster, PATIENCE, QUIET, pass, plan};

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn resource(name: &str) -> ResourceName {
    ResourceName::new(name).unwrap()
}

fn await_owner(cluster: &Cluster, wanted: &str) {
    Cluster::until(&format!("{wanted} has everything"), || {
        let view = cluster.view()?;
        for (name, one) in &view.resources {
            ensure!(one.node.as_deref() == Some(wanted) && one.state == "running", "{name}: {one:?}");
        }
        Ok(())
    });
}

#[test]
fn a_service_moves_where_it_is_told_from_whichever_node() {
    let Some(cluster) = plan(3).start() else { return };
    for asked in cluster.names() {
        let owner = cluster.owner();
        let to = cluster.others(&owner).remove(0);
        let began = Stamp::now();
        let request = Request::Move { resource: resource("site"), to: Some(node(&to)) };
        cluster.accepted(&asked, &request);
        let moved = cluster.handed_over(&format!("planned move, asked on {asked}"), began);
        assert_eq!(moved, (owner.clone(), to.clone()));
        await_owner(&cluster, &to);
        Cluster::until("the page is served there", || {
            ensure!(cluster.page.answering().as_deref() == Some(&to), "{:?}", cluster.page.answering());
            Ok(())
        });
        let before = cluster.mark();
        pass(QUIET);
        cluster.nothing_happened(&before);
    }
    let page = cluster.page.events();
    for outage in page.iter().filter_map(|event| match event {
        heart_lab::Event::Outage(outage) => Some(outage),
        _ => None,
    }) {
        println!("the page was missed for {}", milliseconds(outage.length()));
    }
    cluster.no_overlap();
}

#[test]
fn a_move_that_cannot_be_is_refused_with_a_way_out() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let before = cluster.mark();
    let names = cluster.names();
    for (resource, to) in [("site", owner.as_str()), ("sight", "n1"), ("site", "n9")] {
        let request = Request::Move { resource: self::resource(resource), to: Some(node(to)) };
        for asked in &names {
            match cluster.ask(asked, &request).unwrap() {
                Response::Refused { error, hint } => println!("{error}\n  {hint}"),
                other => panic!("{request:?}: {other:?}"),
            }
        }
    }
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn a_node_in_standby_runs_nothing_until_it_is_resumed() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let began = Stamp::now();
    cluster.accepted(&owner, &Request::Standby { node: node(&owner) });
    let (_, next) = cluster.handed_over("standby of the owner", began);
    assert_ne!(next, owner);
    let view = cluster.settled();
    assert_eq!(view.nodes[&owner].state, "standby");
    let before = cluster.mark();
    // It stays so, also after it lost power.
    cluster.lab.power_cut(&owner).unwrap();
    cluster.lab.boot(&owner).unwrap();
    Cluster::until("it is in standby again", || {
        let state = cluster.view()?.nodes[&owner].state.clone();
        ensure!(state == "standby", "{owner} is {state}");
        Ok(())
    });
    cluster.accepted(&cluster.others(&owner)[0], &Request::Resume { node: node(&owner) });
    Cluster::until("it is online", || {
        let state = cluster.view()?.nodes[&owner].state.clone();
        ensure!(state == "online", "{owner} is {state}");
        Ok(())
    });
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// Kills the service where it runs, and waits until it was started once more; returns where.
fn kill_service(cluster: &Cluster, owner: &str) -> String {
    let starts = cluster.starts();
    let killed = Stamp::now();
    cluster.lab.node(owner).shell("pkill -KILL -f '[l]ab-http'").unwrap();
    let began = Cluster::until("it was started once more", || {
        let now = cluster.starts();
        let more = |name: &&String| now[*name] > starts[*name];
        Ok(now.keys().find(more).context("it was not")?.clone())
    });
    Cluster::until("the page is served there", || {
        ensure!(cluster.page.answering().as_ref() == Some(&began), "{:?}", cluster.page.answering());
        Ok(())
    });
    let missed = cluster.page.outages_since(killed).iter().map(Outage::length).max();
    let missed = missed.map_or_else(|| "less than 50 ms".into(), milliseconds);
    println!("service killed on {owner}, back on {began}: the page was missed for {missed}");
    began
}

#[test]
fn a_service_that_is_killed_is_back_in_place() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let starts = cluster.starts();
    let before = cluster.mark();
    assert_eq!(kill_service(&cluster, &owner), owner);
    assert_eq!(cluster.owner(), owner);
    pass(QUIET);
    let after = cluster.starts();
    assert_eq!(after[&owner], starts[&owner] + 1, "started once");
    cluster.no_outage(&before);
    cluster.no_overlap();
}

#[test]
fn a_service_that_keeps_failing_moves() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    for round in 1..=3 {
        let next = kill_service(&cluster, &owner);
        assert_eq!(next == owner, round < 3, "it moves with its third failure");
        cluster.settled();
    }
    let view = cluster.settled();
    println!("{:?}", view.problems);
    let next = cluster.owner();
    assert_ne!(next, owner);
    assert_eq!(view.resources["site"].failures.get(&owner), Some(&3));
    // Once forgiven it may come back when it has to, but it does not by itself.
    let before = cluster.mark();
    cluster.accepted(&next, &Request::Forgive { resource: None });
    pass(QUIET);
    cluster.nothing_happened(&before);
    let view = cluster.settled();
    assert!(view.resources["site"].failures.is_empty());
    cluster.no_overlap();
}

/// A service that starts nowhere is given up, said so, and leaves the address alone.
#[test]
fn a_service_that_starts_nowhere_is_given_up_and_said_so() {
    let broken = r#"
[resource.site-ip]
agent = "ip"
address = "10.77.0.100/24"

[resource.site]
agent = "process"
command = ["/bin/sh", "-c", "date >> /var/log/site-starts; exit 3"]
start_timeout = "1s"
failures_max = 2
"#;
    let Some(cluster) = plan(3).resources(broken).serves_nothing().prepare() else { return };
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    cluster.address.await_up(PATIENCE).unwrap();
    let began = Stamp::now();
    let view = Cluster::until("it is given up", || {
        let view = cluster.view()?;
        let failures: u32 = view.resources["site"].failures.values().sum();
        ensure!(failures >= 6, "{:?}", view.resources["site"]);
        Ok(view)
    });
    println!("given up after {:?}: {:?}", Stamp::now().since(began), view.problems);
    pass(QUIET);
    let starts: usize = cluster.starts().values().sum();
    pass(QUIET);
    assert_eq!(cluster.starts().values().sum::<usize>(), starts, "it was given up and is started");
    assert!(starts <= 8, "{starts} starts");
    assert!(cluster.outages(began).is_empty(), "the address has nothing to do with it");
    let lines: usize = cluster.names().iter().map(|name| cluster.log(name).lines().count()).sum();
    println!("{starts} starts, {lines} lines in all logs");
    cluster.no_overlap();
}

#[test]
fn what_a_cluster_survives_is_asked_of_it_while_it_runs() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    let asked = |node: &str| -> (bool, serde_json::Value) {
        let output = cluster.lab.node(node).exec(&["heart", "what-if", "--single", "--json"]).unwrap();
        (output.exit.is_success(), serde_json::from_str(&output.stdout).unwrap())
    };
    for node in cluster.names() {
        let (safe, losses) = asked(&node);
        assert!(safe, "{losses}");
        for loss in losses.as_array().unwrap() {
            let moved: Vec<_> =
                loss["moved"].as_array().unwrap().iter().map(|moved| &moved["from"]).collect();
            let gone = loss["nodes"][0] == owner.as_str();
            assert_eq!(!moved.is_empty(), gone, "{loss}");
            assert!(moved.iter().all(|from| **from == owner.as_str()), "{loss}");
        }
    }
    others.iter().for_each(|node| cluster.stand_by(node, true));
    let (safe, losses) = asked(&others[0]);
    assert!(!safe, "nobody else may run it: {losses}");
    let lost = losses.as_array().unwrap().iter().find(|loss| loss["nodes"][0] == owner.as_str()).unwrap();
    let causes = lost["because"][0]["causes"].as_array().unwrap();
    assert!(causes.iter().all(|cause| cause["reason"]["refusal"]["refusal"] == "standby"), "{lost}");
    cluster.no_overlap();
}
