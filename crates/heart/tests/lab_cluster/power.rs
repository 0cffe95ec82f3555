//! Nodes that lose power, come back, start cold, and clusters of every size.

use heart_lab::Stamp;

use crate::cluster::{Cluster, PATIENCE, QUIET, pass, plan};

/// The owner loses power; another node takes over. Returns who was lost, and who has it now.
fn lose_the_owner(cluster: &Cluster) -> (String, String) {
    let owner = cluster.owner();
    let cut = cluster.lab.power_cut(&owner).unwrap();
    let outage = cluster.outage("power cut", cut);
    assert_ne!(outage.after, owner, "it has no power");
    cluster.page.await_outage(cut, PATIENCE).unwrap();
    assert_eq!(cluster.owner(), outage.after);
    (owner, outage.after)
}

fn get_it_back(cluster: &Cluster, lost: &str) {
    let before = cluster.mark();
    cluster.lab.boot(lost).unwrap();
    cluster.settled();
    pass(QUIET);
    cluster.nothing_happened(&before);
}

#[test]
fn a_lost_owner_is_replaced_and_nothing_moves_when_it_returns() {
    let Some(cluster) = plan(3).start() else { return };
    for _ in 0..2 {
        let (lost, _) = lose_the_owner(&cluster);
        get_it_back(&cluster, &lost);
    }
    cluster.no_overlap();
}

#[test]
fn a_lost_standby_touches_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    for name in cluster.others(&owner) {
        let before = cluster.mark();
        cluster.lab.power_cut(&name).unwrap();
        pass(QUIET);
        cluster.nothing_happened(&before);
        cluster.lab.boot(&name).unwrap();
        cluster.settled();
        cluster.nothing_happened(&before);
    }
    cluster.no_overlap();
}

#[test]
fn a_whole_cluster_that_lost_power_starts_again() {
    let Some(cluster) = plan(3).start() else { return };
    let names = cluster.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let cut = cluster.lab.power_cut_all(&names).unwrap();
    cluster.lab.boot_all(&names).unwrap();
    cluster.outage("power cut of everything, boot included", cut);
    cluster.settled();
    cluster.no_overlap();
}

#[test]
fn one_node_alone_serves_and_starts_again() {
    let Some(cluster) = plan(1).start() else { return };
    let cut = cluster.lab.power_cut("n1").unwrap();
    cluster.lab.boot("n1").unwrap();
    cluster.outage("power cut of the only node, boot included", cut);
    cluster.settled();
    cluster.no_overlap();
}

#[test]
fn five_voters_lose_two() {
    let Some(cluster) = plan(5).start() else { return };
    let (first, _) = lose_the_owner(&cluster);
    let (second, _) = lose_the_owner(&cluster);
    get_it_back(&cluster, &first);
    get_it_back(&cluster, &second);
    cluster.no_overlap();
}

/// Three voters and two members: the service runs on a member, too, and moves when that is lost.
#[test]
fn a_member_without_a_vote_runs_the_service_and_is_replaced() {
    let members = plan(5).of_node(4, "voter = false\n").of_node(5, "voter = false\n");
    let Some(cluster) = members.prefers(&["n4", "n5"]).start() else { return };
    let view = cluster.settled();
    assert_eq!(view.voters, (3, 3));
    assert_eq!(cluster.owner(), "n4");
    let (_, next) = lose_the_owner(&cluster);
    assert_eq!(next, "n5");
    cluster.no_overlap();
}

/// Two voters need both to agree on anything. The service goes on where it is, as long as they
/// hear each other; when one is lost nobody may act, and everything is back once both are.
#[test]
fn two_nodes_let_go_rather_than_guess() {
    let Some(cluster) = plan(2).start() else { return };
    let owner = cluster.owner();
    let cut = cluster.lab.partition(&[&["n1"], &["n2"]]).unwrap();
    cluster.address.await_down(PATIENCE).unwrap();
    pass(QUIET);
    let healed = cluster.lab.heal().unwrap();
    let outage = cluster.outage("two nodes that do not hear each other", cut);
    println!("served {:?} after the heal", outage.to.since(healed));
    assert!(outage.to >= healed);
    println!("{owner} before, {} after", outage.after);
    cluster.settled();
    cluster.no_overlap();
}

#[test]
fn power_lost_during_a_start_leaves_a_cluster_that_starts() {
    let Some(cluster) = plan(3).prepare() else { return };
    for name in cluster.names() {
        cluster.start_daemon(&name);
    }
    let first = cluster.page.await_up(PATIENCE).unwrap();
    let cut = cluster.lab.power_cut(&first).unwrap();
    cluster.outage("power cut at the first answer", cut);
    let began = Stamp::now();
    cluster.lab.boot(&first).unwrap();
    cluster.settled();
    println!("all online {:?} after the boot", Stamp::now().since(began));
    cluster.no_overlap();
}
