//! How a cluster begins: where things go that prefer a node, and after how long.

use std::time::Duration;

use anyhow::ensure;
use heart_lab::{Stamp, milliseconds};

use crate::cluster::{Cluster, KEY, PATIENCE, QUIET, pass, plan};

/// From the start of all daemons to an address that answers.
const START_WITHIN: Duration = Duration::from_millis(1500);
/// So much later than the others the preferred node is started.
const LATE: Duration = Duration::from_millis(250);

#[test]
fn a_cold_start_puts_the_group_where_it_is_preferred_in_time() {
    let Some(cluster) = plan(3).prefers(&["n3"]).prepare() else { return };
    let began = Stamp::now();
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    let first = cluster.address.await_up(PATIENCE).unwrap();
    let took = Stamp::now().since(began);
    println!("{first} answers {} after the start of all", milliseconds(took));
    assert_eq!(first, "n3");
    assert!(took <= START_WITHIN, "it took {took:?}");
    cluster.settled();
    cluster.no_overlap();
}

#[test]
fn a_preferred_node_that_starts_a_little_later_is_waited_for() {
    let late = plan(4).of_node(4, "voter = false\n").prefers(&["n4"]);
    let Some(cluster) = late.prepare() else { return };
    let began = Stamp::now();
    ["n1", "n2", "n3"].iter().for_each(|name| cluster.start_daemon(name));
    pass(LATE);
    cluster.start_daemon("n4");
    let first = cluster.address.await_up(PATIENCE).unwrap();
    let took = Stamp::now().since(began);
    println!("{first} answers {} after the start of the others", milliseconds(took));
    assert_eq!(first, "n4");
    assert!(took <= START_WITHIN, "it took {took:?}");
    let before = cluster.mark();
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn a_preferred_node_that_is_off_holds_nobody_up_for_long() {
    let Some(cluster) = plan(4).of_node(4, "voter = false\n").prefers(&["n4"]).prepare() else { return };
    let began = Stamp::now();
    ["n1", "n2", "n3"].iter().for_each(|name| cluster.start_daemon(name));
    let first = cluster.address.await_up(PATIENCE).unwrap();
    let took = Stamp::now().since(began);
    println!("{first} answers {} after the start, without n4", milliseconds(took));
    assert!(took <= START_WITHIN, "it took {took:?}");
    // Who comes later takes nothing.
    cluster.start_daemon("n4");
    let before = cluster.mark();
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn a_cluster_of_one_grows_to_three_although_the_new_nodes_do_not_reach_it_at_first() {
    let Some(cluster) = plan(3).prepare() else { return };
    let three = cluster.configuration();
    let at = |name: &str| three.find(&format!("\n[node.{name}]")).unwrap();
    let (from, to) = (at("n2"), three.find("\n[resource").unwrap());
    let alone = [&three[..from], &three[to..]].concat();
    cluster.configure("n1", &alone, KEY);
    cluster.start_daemon("n1");
    cluster.page.await_up(PATIENCE).unwrap();
    let before = cluster.mark_on(&["n1".into()]);
    cluster.lab.partition(&[&["n1", "client"], &["n2", "n3"]]).unwrap();
    ["n2", "n3"].iter().for_each(|name| cluster.start_daemon(name));
    pass(QUIET);
    let view = Cluster::until("n2 answers", || cluster.view_of("n2"));
    let waits = "the cluster has never run here: it waits for n1 (not heard)";
    assert!(view.problems.iter().any(|problem| problem == waits), "{:?}", view.problems);
    cluster.lab.heal().unwrap();
    cluster.configure("n1", &three, KEY);
    cluster.lab.node("n1").shell("heart reload").unwrap();
    Cluster::until("three vote", || {
        let view = cluster.view()?;
        ensure!(view.voters == (3, 3), "{:?} vote and are heard", view.voters);
        Ok(())
    });
    cluster.settled();
    cluster.nothing_moved(&before);
    cluster.no_overlap();
}

#[test]
fn a_person_may_begin_a_cluster_without_a_voter_that_never_ran() {
    let Some(cluster) = plan(3).prepare() else { return };
    ["n1", "n2"].iter().for_each(|name| cluster.start_daemon(name));
    let waits = "the cluster has never run here: it waits for n3 (not heard)";
    Cluster::until("it is said who is missing", || {
        let view = cluster.view_of("n1")?;
        ensure!(view.problems.iter().any(|problem| problem == waits), "{:?}", view.problems);
        Ok(())
    });
    let node = cluster.lab.node("n1");
    let warned = node.exec(&["heart", "found", "--without", "n3"]).unwrap();
    assert!(!warned.exit.is_success() && warned.stderr.contains("two owners"), "{}", warned.stderr);
    Cluster::until("it is accepted", || node.shell("heart found --without n3 --yes 2>&1"));
    cluster.page.await_up(PATIENCE).unwrap();
    let said = node.shell("heart log").unwrap();
    assert!(said.contains("a new cluster begins without n3, as somebody asked"), "{said}");
    let before = cluster.mark_on(&["n1".into(), "n2".into()]);
    cluster.start_daemon("n3");
    Cluster::until("n3 votes", || {
        let view = cluster.view()?;
        ensure!(view.voters == (3, 3), "{:?} vote and are heard", view.voters);
        Ok(())
    });
    cluster.settled();
    cluster.nothing_moved(&before);
    cluster.no_overlap();
}
