//! Networks that are cut: two ways, one way, on and off. At no instant have two nodes the address, and
//! a majority always ends up with it.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, ensure};
use heart_lab::CLIENT;

use crate::{
    cluster::{Cluster, PATIENCE, QUIET, pass, plan},
    dice::Dice,
};

/// How long a cut lasts, at least.
const CUT: Duration = Duration::from_millis(1500);

type Side = Vec<String>;

/// Every way to cut the nodes in two, each once.
fn cuts(names: &[String]) -> Vec<(Side, Side)> {
    // The first node is on the first side; the other bits say who joins it.
    let all = 0..(1u32 << (names.len() - 1)) - 1;
    let side = |bits: u32, first: bool| -> Side {
        let joins = |place: usize| place == 0 || bits >> (place - 1) & 1 == 1;
        names
            .iter()
            .enumerate()
            .filter(|(place, _)| joins(*place) == first)
            .map(|(_, name)| name.clone())
            .collect()
    };
    all.map(|bits| (side(bits, true), side(bits, false))).collect()
}

fn names(side: &[String]) -> Vec<&str> {
    side.iter().map(String::as_str).collect()
}

/// Waits until one node of this side has the address, and nobody else.
fn await_owner_in(cluster: &Cluster, side: &[String], what: &str) -> String {
    Cluster::until(what, || {
        let owners: BTreeSet<String> = cluster.watch.owners();
        let owner = owners.iter().next().context("nobody has it")?;
        ensure!(owners.len() == 1 && side.contains(owner), "{owners:?} have it");
        Ok(owner.clone())
    })
}

/// Cuts the network, the client being with the majority, and heals it.
fn cut_and_heal(cluster: &Cluster, one: &[String], other: &[String]) {
    let (majority, minority) = if one.len() > other.len() { (one, other) } else { (other, one) };
    let before = cluster.mark();
    let owner = cluster.owner();
    let mut with_client = names(majority);
    with_client.push(CLIENT);
    let cut = cluster.lab.partition(&[&with_client, &names(minority)]).unwrap();
    if majority.contains(&owner) {
        pass(CUT);
        let silent = cluster.outages(cut);
        assert!(silent.is_empty(), "the owner {owner} is with the majority {majority:?}: {silent:?}");
        cluster.lab.heal().unwrap();
        cluster.settled();
        pass(QUIET);
        cluster.nothing_happened(&before);
        return;
    }
    let outage = cluster.outage(&format!("{minority:?} cut off with the owner"), cut);
    assert!(majority.contains(&outage.after), "{} serves", outage.after);
    cluster.page.await_outage(cut, PATIENCE).unwrap();
    let during = Cluster::until("the majority runs everything", || {
        let view = cluster.view_of(&outage.after)?;
        for (name, one) in &view.resources {
            ensure!(one.state == "running", "{name} is {}", one.state);
        }
        Ok(cluster.mark_on(majority))
    });
    cluster.lab.heal().unwrap();
    cluster.settled();
    pass(QUIET);
    cluster.nothing_happened(&during);
}

#[test]
fn in_every_cut_of_three_the_majority_has_the_address() {
    let Some(cluster) = plan(3).start() else { return };
    // Twice, so that the owner is met on both sides of most cuts.
    for (one, other) in cuts(&cluster.names()).into_iter().chain(cuts(&cluster.names())) {
        cut_and_heal(&cluster, &one, &other);
    }
    cluster.no_overlap();
}

#[test]
fn in_some_cuts_of_five_the_majority_has_the_address() {
    let Some(cluster) = plan(5).start() else { return };
    for _ in 0..3 {
        let owner = cluster.owner();
        let others = cluster.others(&owner);
        // The owner alone, with one other, and then on the majority's side.
        cut_and_heal(&cluster, &[owner], &others);
        let owner = cluster.owner();
        let others = cluster.others(&owner);
        cut_and_heal(&cluster, &[owner, others[0].clone()], &others[1..]);
        let owner = cluster.owner();
        let others = cluster.others(&owner);
        cut_and_heal(&cluster, &[owner, others[0].clone(), others[1].clone()], &others[2..]);
    }
    cluster.no_overlap();
}

#[test]
#[ignore = "some minutes: every cut of five nodes"]
fn in_every_cut_of_five_the_majority_has_the_address() {
    let Some(cluster) = plan(5).start() else { return };
    for (one, other) in cuts(&cluster.names()) {
        cut_and_heal(&cluster, &one, &other);
    }
    cluster.no_overlap();
}

/// No side has a majority: nobody has the address, and after the heal one node does.
#[test]
fn without_a_majority_nobody_has_the_address() {
    let Some(cluster) = plan(5).start() else { return };
    let names = cluster.names();
    let sides: Vec<Vec<&str>> = [&names[..2], &names[2..4], &names[4..]].map(self::names).into();
    let sides: Vec<&[&str]> = sides.iter().map(Vec::as_slice).collect();
    cluster.lab.partition(&sides).unwrap();
    cluster.watch.await_owners(&[], PATIENCE).unwrap();
    pass(QUIET);
    assert!(cluster.watch.owners().is_empty());
    let healed = cluster.lab.heal().unwrap();
    cluster.outage("five nodes in three parts, until the heal", healed);
    cluster.settled();
    cluster.no_overlap();
}

/// One direction of one pair, of one node, of a side: whoever is heard by a majority both ways goes on.
fn one_way(cluster: &Cluster, from: &[String], to: &[String]) {
    let what = format!("{from:?} not heard by {to:?}");
    cluster.lab.lose(&names(from), &names(to), None, 100).unwrap();
    pass(CUT);
    let owner = await_owner_in(cluster, &cluster.names(), &what);
    cluster.page.await_up(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error:#}"));
    println!("{what}: {owner} has the address");
    let before = cluster.mark_on(&cluster.names());
    cluster.lab.heal().unwrap();
    cluster.settled();
    pass(QUIET / 2);
    cluster.nothing_happened(&before);
}

#[test]
fn in_one_way_cuts_of_three_one_node_has_the_address() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    // The owner and one other: the third hears both, so that nothing has to move.
    let before = cluster.mark();
    one_way(&cluster, std::slice::from_ref(&owner), &others[..1]);
    one_way(&cluster, &others[..1], std::slice::from_ref(&owner));
    cluster.nothing_moved(&before);
    // Nobody hears the owner; then the owner, whoever that is now, hears nobody.
    one_way(&cluster, std::slice::from_ref(&owner), &others);
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    one_way(&cluster, &others, std::slice::from_ref(&owner));
    // A standby that hears nobody, one that nobody hears.
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    let before = cluster.mark();
    let all_but = cluster.others(&others[0]);
    one_way(&cluster, &others[..1], &all_but);
    one_way(&cluster, &all_but, &others[..1]);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn in_some_one_way_cuts_of_five_one_node_has_the_address() {
    let Some(cluster) = plan(5).start() else { return };
    for size in [1, 2] {
        let owner = cluster.owner();
        let others = cluster.others(&owner);
        let mut side = vec![owner];
        side.extend_from_slice(&others[..size - 1]);
        one_way(&cluster, &side, &others[size - 1..]);
        let owner = cluster.owner();
        let others = cluster.others(&owner);
        let mut side = vec![owner];
        side.extend_from_slice(&others[..size - 1]);
        one_way(&cluster, &others[size - 1..], &side);
    }
    cluster.no_overlap();
}

#[test]
#[ignore = "some minutes: every one-way cut of three and of five nodes"]
fn in_every_one_way_cut_one_node_has_the_address() {
    for nodes in [3, 5] {
        let Some(cluster) = plan(nodes).start() else { return };
        for (one, other) in cuts(&cluster.names()) {
            one_way(&cluster, &one, &other);
            one_way(&cluster, &other, &one);
        }
        cluster.no_overlap();
    }
}

/// A cut that comes and goes.
fn flap(cluster: &Cluster, every: Duration, times: u32) {
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    for _ in 0..times {
        cluster.lab.partition(&[&[&owner], &names(&others)]).unwrap();
        pass(every);
        cluster.lab.heal().unwrap();
        pass(every);
    }
    let after = cluster.owner();
    println!("{times} cuts of {every:?}: {owner} had the address, {after} has it");
    cluster.page.await_up(PATIENCE).unwrap();
}

#[test]
fn a_cut_that_comes_and_goes_never_makes_two_owners() {
    let Some(cluster) = plan(3).start() else { return };
    for (millis, times) in [(200, 8), (550, 4), (650, 4), (3000, 1)] {
        flap(&cluster, Duration::from_millis(millis), times);
    }
    cluster.no_overlap();
}

#[test]
#[ignore = "some minutes: cuts at random, each way and both"]
fn random_cuts_never_make_two_owners() {
    for nodes in [3, 5] {
        let Some(cluster) = plan(nodes).start() else { return };
        let (mut dice, all) = (Dice::new(), cuts(&cluster.names()));
        for _ in 0..100 {
            let (one, other) = &all[dice.below(all.len() as u64) as usize];
            match dice.below(3) {
                0 => cluster.lab.partition(&[&names(one), &names(other)]).unwrap(),
                1 => cluster.lab.lose(&names(one), &names(other), None, 100).unwrap(),
                _ => cluster.lab.lose(&names(other), &names(one), None, 100).unwrap(),
            };
            pass(Duration::from_millis(20 + dice.below(1500)));
            if dice.below(3) > 0 {
                cluster.lab.heal().unwrap();
                pass(Duration::from_millis(dice.below(800)));
            }
        }
        cluster.lab.heal().unwrap();
        cluster.settled();
        cluster.no_overlap();
    }
}
