//! How a cluster begins: where things go that prefer a node, and after how long.

use std::time::Duration;

use heart_lab::{Stamp, milliseconds};

use crate::cluster::{PATIENCE, QUIET, pass, plan};

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
