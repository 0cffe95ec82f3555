//! Nodes that are reset by a watchdog, which nobody else tells anything.
//!
//! The watchdog is a program on each machine that behaves as a device does, as the machines of a lab have none. When
//! its time is over it says so into a pipe, and somebody at the other end takes the machine's power.

use std::{thread, time::Duration};

use anyhow::ensure;
use heart_lab::{Lab, Stamp, Target, milliseconds};
use heart_model::{Profile, Timing};

use crate::{
    cluster::{Cluster, SIGTERM, pass, plan},
    fences::{DISK, await_disk, starts},
};

/// What all of Heart's processes are called, as `pkill` is told.
const HEART: &str = "^heart-";
const FOLDER: &str = "/var/lib/watchdog";
/// How long somebody sits at the other end of a pipe: longer than any test.
const SITS: Duration = Duration::from_secs(180);

/// Longer than a watchdog waits to be fed.
fn a_deadline() -> Duration {
    Timing::of(Profile::Default).watchdog() + Duration::from_secs(2)
}

/// Gives a machine its watchdog, and sits at the other end of it.
pub(crate) fn give_watchdog(cluster: &Cluster, name: &str) {
    let node = cluster.lab.node(name);
    node.shell(&format!("mkdir -p {FOLDER}; cd {FOLDER}; rm -f barks; mkfifo barks")).unwrap();
    let program = format!("exec /run/lab/bin/heart lab-watchdog {FOLDER}/socket {FOLDER}/barks {FOLDER}/log");
    node.spawn(&["sh", "-c", &program]).unwrap();
    Cluster::until("the watchdog is there", || node.shell(&format!("test -S {FOLDER}/socket")));
    let (lab, name) = (Lab::attach(cluster.lab.name()).unwrap(), name.to_owned());
    thread::spawn(move || {
        let barks = format!("{FOLDER}/barks");
        let Ok(reader) = lab.node(&name).spawn(&["cat", &barks]) else { return };
        if reader.output(SITS).is_ok_and(|heard| heard.stdout.contains("bark")) {
            lab.power_cut(&name).ok();
        }
    });
}

/// A cluster of three in which each node resets itself, where `disk` runs, and who runs it.
fn start() -> Option<(Cluster, String)> {
    let node =
        "watchdog = \"/var/lib/watchdog/socket\"\nnever_paused = true\nfence = { agent = \"watchdog\" }\n";
    let mut cluster = plan(3).tables(DISK);
    for number in 1..=3 {
        cluster = cluster.of_node(number, node);
    }
    let cluster = cluster.prepare()?;
    for name in cluster.names() {
        give_watchdog(&cluster, &name);
        cluster.start_daemon(&name);
    }
    cluster.settled();
    let owner = await_disk(&cluster, "");
    Some((cluster, owner))
}

/// What the watchdog of a node did so far.
fn log(cluster: &Cluster, name: &str) -> String {
    cluster.lab.node(name).read(&format!("{FOLDER}/log")).unwrap_or_default()
}

fn has_power(cluster: &Cluster, name: &str) -> bool {
    cluster.lab.node(name).exec(&["true"]).is_ok()
}

/// Waits until a machine has lost its power to its watchdog.
fn await_reset(cluster: &Cluster, name: &str, since: Stamp) {
    Cluster::until("the watchdog resets the machine", || {
        ensure!(!has_power(cluster, name), "{name} has power: {}", log(cluster, name));
        Ok(())
    });
    println!("reset after {}", milliseconds(Stamp::now().since(since)));
}

/// It is switched on again, has a watchdog a moment later, and takes part.
fn get_back(cluster: &Cluster, name: &str) {
    cluster.lab.boot(name).unwrap();
    give_watchdog(cluster, name);
    Cluster::until("it is online and armed", || {
        let view = cluster.view()?;
        let state = &view.nodes[name].state;
        ensure!(!matches!(state.as_str(), "lost" | "silent" | "absent"), "{:?}", view.nodes[name]);
        ensure!(log(cluster, name).lines().last() == Some("armed for 4 s"), "{}", log(cluster, name));
        Ok(())
    });
}

#[test]
fn an_owner_of_which_all_processes_stand_still_is_reset_before_another_starts_what_it_ran() {
    let Some((cluster, owner)) = start() else { return };
    let stopped = Stamp::now();
    cluster.lab.node(&owner).shell(&format!("pkill -STOP '{HEART}'")).unwrap();
    await_reset(&cluster, &owner, stopped);
    let elsewhere: usize = cluster.others(&owner).iter().map(|name| starts_on(&cluster, name)).sum();
    assert_eq!(elsewhere, 0, "nobody started it while it may have run on {owner}");
    let next = await_disk(&cluster, &owner);
    println!("elsewhere after {}", milliseconds(Stamp::now().since(stopped)));
    assert_ne!(next, owner);
    get_back(&cluster, &owner);
    assert_eq!(await_disk(&cluster, &owner), next, "nothing moves back");
    assert_eq!(starts(&cluster), 2, "once here and once there");
    cluster.no_overlap();
}

fn starts_on(cluster: &Cluster, name: &str) -> usize {
    let text = cluster.lab.node(name).shell("cat /var/log/disk-starts 2>/dev/null || true").unwrap();
    text.lines().count()
}

#[test]
fn a_machine_on_which_everything_is_killed_at_once_is_reset() {
    let Some((cluster, owner)) = start() else { return };
    let killed = Stamp::now();
    cluster.lab.node(&owner).shell(&format!("pkill -KILL '{HEART}'")).unwrap();
    await_reset(&cluster, &owner, killed);
    assert_ne!(await_disk(&cluster, &owner), owner);
    cluster.no_overlap();
}

#[test]
fn killing_all_but_one_resets_nothing() {
    let Some((cluster, owner)) = start() else { return };
    let before = cluster.mark();
    let node = cluster.lab.node(&owner);
    let roles = ["heart-core", "heart-executor", "heart-gateway", "heart-guardian", "heart-spare"];
    for role in roles {
        node.kill(role).unwrap();
        cluster.settled();
    }
    for survivor in ["heart-guardian", "heart-spare", "heart-executor"] {
        let victims: Vec<&str> = roles.into_iter().filter(|role| *role != survivor).collect();
        node.shell(&format!("pkill -KILL '^({})$'", victims.join("|"))).unwrap();
        cluster.settled();
        pass(a_deadline());
        assert!(has_power(&cluster, &owner), "{}", log(&cluster, &owner));
    }
    cluster.nothing_moved(&before);
    assert_eq!(starts(&cluster), 1);
    cluster.no_overlap();
}

#[test]
fn a_node_that_stops_in_order_stops_its_watchdog_and_arms_it_again() {
    let Some((cluster, owner)) = start() else { return };
    cluster.lab.node(&owner).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    Cluster::until("the watchdog is stopped", || {
        ensure!(log(&cluster, &owner).ends_with("stopped\n"), "{}", log(&cluster, &owner));
        Ok(())
    });
    assert_ne!(await_disk(&cluster, &owner), owner);
    pass(a_deadline());
    assert!(has_power(&cluster, &owner));
    cluster.start_daemon(&owner);
    Cluster::until("the watchdog is armed again", || {
        ensure!(log(&cluster, &owner).ends_with("armed for 4 s\n"), "{}", log(&cluster, &owner));
        Ok(())
    });
    cluster.settled();
    cluster.no_overlap();
}

#[test]
fn a_node_that_is_cut_off_lets_go_and_is_taken_in_again_without_a_reset() {
    let Some((cluster, owner)) = start() else { return };
    let others = cluster.others(&owner);
    let rest: Vec<&str> = others.iter().map(String::as_str).collect();
    let cut = Stamp::now();
    cluster.lab.partition(&[&[&owner], &rest]).unwrap();
    let next = await_disk(&cluster, &owner);
    println!("elsewhere after {}", milliseconds(Stamp::now().since(cut)));
    cluster.lab.heal().unwrap();
    cluster.settled();
    assert!(has_power(&cluster, &owner), "{}", log(&cluster, &owner));
    assert_eq!(await_disk(&cluster, &owner), next);
    assert_eq!(starts(&cluster), 2);
    cluster.no_overlap();
}
