//! Two nodes: what goes on when one of them is lost, and what waits for a person.

use anyhow::ensure;
use heart_lab::{Stamp, Target};
use heart_model::Activity;
use heart_node::{
    core::{Request, Response},
    ledger::{Change, Happened, What},
};

use crate::{
    cluster::{Cluster, KEY, QUIET, SIGTERM, pass, plan},
    fences::{outlet, start, work},
};

/// Waits until a node says this of what is wrong.
pub(crate) fn says(cluster: &Cluster, node: &str, words: &str) {
    Cluster::until(words, || {
        let view = cluster.view_of(node)?;
        let said: Vec<&String> = view.problems.iter().chain(&view.next).collect();
        ensure!(said.iter().any(|line| line.contains(words)), "{said:?}");
        Ok(())
    });
}

pub(crate) fn joined(cluster: &Cluster, name: &str) {
    Cluster::until("it is online again", || {
        let view = cluster.view()?;
        ensure!(view.nodes[name].state == "online", "{name} is {}", view.nodes[name].state);
        Ok(())
    });
}

/// Prints how long it took from the proof that the other one is off until the address ran.
fn say_how_long(cluster: &Cluster, node: &str) {
    let Ok(Response::Log { timeline }) = cluster.ask(node, &Request::Log { limit: 100 }) else { return };
    let forced = timeline.iter().rposition(|one| matches!(one.what, What::Changed(Change::Force(_))));
    let runs = |one: &&Happened| {
        matches!(&one.what, What::Changed(Change::Report { resource, activity: Activity::Running, .. })
            if resource.as_str() == "site-ip")
    };
    let Some(forced) = forced else { return };
    if let Some(running) = timeline[forced..].iter().find(runs) {
        println!("from the proof to the address: {} ms", running.at - timeline[forced].at);
    }
}

#[test]
fn the_other_goes_on_once_the_owner_is_off_and_so_it_goes_back_and_forth() {
    let Some(cluster) = start(2) else { return };
    let mut owner = cluster.owner();
    for _ in 0..2 {
        let other = cluster.others(&owner).remove(0);
        let cut = cluster.lab.power_cut(&owner).unwrap();
        outlet(&cluster, &owner, "off");
        let outage = cluster.outage("one of two lost power", cut);
        assert_eq!(outage.after, other);
        say_how_long(&cluster, &other);
        let log = cluster.log(&other);
        assert!(log.contains("going on without the votes"), "{log}");
        let before = cluster.mark_without(&owner);
        cluster.lab.boot(&owner).unwrap();
        outlet(&cluster, &owner, "on");
        // Nobody sits at the switch of a machine that was off.
        work(cluster.lab.name(), &owner);
        joined(&cluster, &owner);
        pass(QUIET);
        cluster.nothing_happened(&before);
        owner = other;
    }
    cluster.no_overlap();
}

/// Schedule 9: no fence loop, and nothing that the one did alone is forgotten by the other.
#[test]
fn a_cut_switches_off_the_one_that_runs_less_and_it_waits_until_it_is_heard() {
    let Some(cluster) = start(2) else { return };
    let owner = cluster.owner();
    let other = cluster.others(&owner).remove(0);
    let before = cluster.mark();
    cluster.lab.partition(&[&[&owner], &[&other]]).unwrap();
    Cluster::until("the owner goes on", || {
        let view = cluster.view_of(&owner)?;
        ensure!(
            view.quorum && view.leader.is_some() && view.nodes[&other].state == "fenced",
            "{:?}",
            view.problems
        );
        Ok(())
    });
    cluster.lab.boot(&other).unwrap();
    outlet(&cluster, &other, "on");
    says(&cluster, &other, "they may have gone on without it");
    says(&cluster, &other, &format!("`heart takeover --peers-are-off {owner}`"));
    pass(QUIET);
    // Once, when it was cut off, and then it waited for the other one to go first.
    let log = cluster.log(&other);
    assert_eq!(log.matches("switching it off").count(), 1, "{log}");
    cluster.lab.heal().unwrap();
    joined(&cluster, &other);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// Rule 21: who leaves in order is not waited for, and nobody switches it off.
#[test]
fn a_node_that_is_stopped_in_order_leaves_the_other_one_with_everything() {
    let Some(cluster) = start(2) else { return };
    let owner = cluster.owner();
    let other = cluster.others(&owner).remove(0);
    let began = Stamp::now();
    cluster.lab.node(&owner).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    cluster.handed_over("stop in order", began);
    let before = Cluster::until("everything runs on the other one", || {
        let view = cluster.view_of(&other)?;
        ensure!(view.quorum && view.nodes[&owner].state == "left", "{owner} is {}", view.nodes[&owner].state);
        Ok(cluster.mark_on(std::slice::from_ref(&other)))
    });
    pass(QUIET);
    let log = cluster.log(&other);
    assert!(!log.contains("switching"), "nobody has to switch it off: {log}");
    cluster.start_daemon(&owner);
    joined(&cluster, &owner);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn without_devices_a_person_says_that_the_other_one_is_off() {
    let Some(cluster) = plan(2).start() else { return };
    let owner = cluster.owner();
    let other = cluster.others(&owner).remove(0);
    let takeover = |more: &str| {
        let command = format!("heart takeover --peers-are-off {owner} {more} 2>&1; true");
        cluster.lab.node(&other).shell(&command).unwrap()
    };
    let said = takeover("--i-made-sure");
    assert!(said.contains("is heard"), "{said}");
    cluster.lab.power_cut(&owner).unwrap();
    says(&cluster, &other, "`heart takeover --peers-are-off");
    let said = takeover("");
    assert!(said.contains("would run twice") && said.contains("site-ip"), "{said}");
    let before = cluster.view_of(&other).unwrap();
    assert!(!before.quorum, "nothing was decided yet");
    let said = takeover("--i-made-sure");
    assert!(said.contains("goes on without"), "{said}");
    Cluster::until("the address is served", || {
        let view = cluster.view_of(&other)?;
        let owner = view.resources["site-ip"].node.clone();
        ensure!(owner.as_ref() == Some(&other) && view.resources["site-ip"].state == "running", "{owner:?}");
        Ok(())
    });
    let log = cluster.ask(&other, &Request::Log { limit: 100 }).unwrap();
    assert!(format!("{log:?}").contains("who: Some("), "it is written down who said it: {log:?}");
    cluster.lab.boot(&owner).unwrap();
    joined(&cluster, &owner);
    cluster.no_overlap();
}

/// What decides between the two, on a third machine.
const TIE_BREAK: &str = "[tie_break]\nwitness = \"10.77.0.250:6940\"\n";

/// Two nodes, and a witness on the client's machine.
fn tied() -> Option<Cluster> {
    tied_with("")
}

/// The same, with further tables.
pub(crate) fn tied_with(tables: &str) -> Option<Cluster> {
    let cluster = plan(2).tables(TIE_BREAK).tables(tables).prepare()?;
    let client = cluster.lab.client();
    client.shell("mkdir -p /tmp/keys && umask 077 && : > /tmp/keys/lab.key").unwrap();
    client.write("/tmp/keys/lab.key", KEY).unwrap();
    let command = "exec /run/lab/bin/heart witness --listen 10.77.0.250:6940 --state /tmp/state --clusters /tmp/keys \
                   > /tmp/witness.log 2>&1";
    client.spawn(&["sh", "-c", command]).unwrap();
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    cluster.settled();
    Cluster::until("the witness names both", || {
        let value = client.shell("cat /tmp/state/lab.json")?;
        ensure!(value.contains("\"n1\"") && value.contains("\"n2\""), "{value}");
        Ok(())
    });
    Some(cluster)
}

#[test]
fn with_a_witness_one_of_two_goes_on_back_and_forth() {
    let Some(cluster) = tied() else { return };
    let mut owner = cluster.owner();
    for _ in 0..2 {
        let other = cluster.others(&owner).remove(0);
        let cut = cluster.lab.power_cut(&owner).unwrap();
        let outage = cluster.outage("one of two lost power, a witness decides", cut);
        assert_eq!(outage.after, other);
        cluster.lab.boot(&owner).unwrap();
        joined(&cluster, &owner);
        Cluster::until("the witness names both again", || {
            let value = cluster.lab.client().shell("cat /tmp/state/lab.json")?;
            ensure!(value.contains("\"n1\"") && value.contains("\"n2\""), "{value}");
            Ok(())
        });
        owner = other;
    }
    cluster.no_overlap();
}

/// Two with a tie-break are cut off from each other, and hear each other again.
pub(crate) fn one_of_two_goes_on(cluster: &Cluster) {
    let names = cluster.names();
    cluster.lab.partition(&[&[&names[0]], &[&names[1]]]).unwrap();
    let went_on = Cluster::until("one of them goes on", || {
        for name in &names {
            let view = cluster.view_of(name)?;
            if view.quorum && view.resources["site-ip"].node.as_deref() == Some(name) {
                return Ok(name.clone());
            }
        }
        anyhow::bail!("neither")
    });
    let other = cluster.others(&went_on).remove(0);
    says(cluster, &other, "the tie-break does not let this half go on");
    cluster.lab.heal().unwrap();
    joined(cluster, &other);
    assert_eq!(cluster.owner(), went_on, "nothing moves when they hear each other again");
    cluster.no_overlap();
}

#[test]
fn of_two_that_are_cut_off_from_each_other_the_witness_lets_one_go_on() {
    let Some(cluster) = tied() else { return };
    one_of_two_goes_on(&cluster);
}
