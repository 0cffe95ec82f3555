//! Heart's own processes are killed, stopped, and end in order: what they keep running goes on.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use heart_lab::{Stamp, Target};

use crate::{
    cluster::{Cluster, PATIENCE, QUIET, SIGKILL, SIGTERM, pass, plan},
    dice::Dice,
};

const ROLES: [&str; 5] = ["heart-core", "heart-executor", "heart-gateway", "heart-guardian", "heart-spare"];
/// Longest gap between two kills, in milliseconds.
const GAP_MAX: u64 = 120;

fn all_run(cluster: &Cluster, node: &str) {
    Cluster::until(&format!("all of Heart runs on {node}"), || {
        let running = cluster.processes(node);
        let missing: Vec<&&str> =
            ROLES.iter().filter(|role| !running.iter().any(|one| one == **role)).collect();
        ensure!(missing.is_empty(), "{missing:?} are missing among {running:?}");
        Ok(())
    });
}

/// Kills these processes at the same moment, and waits until they are gone: one that is killed has its name for a
/// while yet, and is neither there to start others nor seen to have ended.
fn kill_together(cluster: &Cluster, node: &str, victims: &[&str]) {
    let pattern = format!("'^({})$'", victims.join("|"));
    let stage = cluster.lab.node(node);
    let killed = stage.shell(&format!("pgrep -d ' ' {pattern}; pkill -KILL {pattern}")).unwrap();
    Cluster::until(&format!("{victims:?} of {node} are gone"), || {
        let states = format!("cat $(printf '/proc/%s/stat ' {}) 2>/dev/null || true", killed.trim());
        let left = stage.shell(&states)?;
        let is_left = |line: &&str| line.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'));
        let left: Vec<&str> = left.lines().filter(is_left).collect();
        ensure!(left.is_empty(), "{left:?} are still there");
        Ok(())
    });
}

/// Kills processes of Heart at random, on all nodes, and looks whether anybody noticed.
fn kill_at_random(cluster: &Cluster, kills: u32) {
    let before = cluster.mark();
    let mut dice = Dice::new();
    let names = cluster.names();
    let (mut done, mut by_role) = (0, BTreeMap::<&str, u32>::new());
    while done < kills {
        pass(Duration::from_millis(dice.below(GAP_MAX)));
        let node = names[dice.below(names.len() as u64) as usize].as_str();
        let role = ROLES[dice.below(ROLES.len() as u64) as usize];
        // None is there if it was just killed.
        if cluster.lab.node(node).signal(Target::Name(role.into()), SIGKILL).is_ok() {
            done += 1;
            *by_role.entry(role).or_default() += 1;
        }
    }
    println!("killed {by_role:?}");
    names.iter().for_each(|name| all_run(cluster, name));
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn killing_hearts_processes_a_thousand_times_touches_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    kill_at_random(&cluster, 1000);
    for name in cluster.names() {
        let count = cluster.lab.node(&name).shell("ls /proc/$(pgrep -x heart-guardian)/fd | wc -l").unwrap();
        println!("{name}: the guardian has {} descriptors, {:?} run", count.trim(), cluster.processes(&name));
    }
}

/// What listens to strangers has no rights that they could take over.
#[test]
fn core_and_gateway_are_not_root() {
    let Some(cluster) = plan(3).start() else { return };
    for (role, capabilities) in [("heart-core", "SYS_NICE and IPC_LOCK"), ("heart-gateway", "none")] {
        let node = cluster.lab.node("n1");
        let status = node.shell(&format!("cat /proc/$(pgrep -x {role})/status")).unwrap();
        let line =
            |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim();
        assert!(!line("Uid:").split_whitespace().any(|uid| uid == "0"), "{role} is root: {status}");
        assert!(
            !line("Gid:").split_whitespace().any(|gid| gid == "0"),
            "{role} is of root's group: {status}"
        );
        assert_eq!(line("NoNewPrivs:"), "1", "{role}");
        // capability.h: IPC_LOCK is 14, SYS_NICE is 23.
        let expected = if role == "heart-core" { 1 << 14 | 1 << 23 } else { 0 };
        let found = u64::from_str_radix(line("CapEff:"), 16).unwrap();
        assert_eq!(found & !expected, 0, "{role} should have {capabilities}: {status}");
    }
    cluster.no_overlap();
}

/// What each process of a node has open, by its numbers, behind the process's name.
fn in_hand(cluster: &Cluster, node: &str) -> Vec<(String, BTreeMap<u32, String>)> {
    let list = "for one in /proc/[0-9]*; do \
                echo $(cat $one/comm) $(ls -l $one/fd | sed -n 's/.* \\([0-9]*\\) -> /\\1=/p'); done 2>/dev/null";
    let open = |word: &str| {
        let (number, what) = word.split_once('=')?;
        Some((number.parse().ok()?, what.to_owned()))
    };
    let line = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        Some((name.to_owned(), rest.split_whitespace().filter_map(open).collect()))
    };
    cluster.lab.node(node).shell(list).unwrap().lines().filter_map(line).collect()
}

/// Who has a channel of the daemon in hand speaks for its core to root; who has its sockets keeps it from starting.
#[test]
fn nothing_that_is_started_has_the_channels_of_heart_in_hand() {
    let bare = r#"
[resource.bare]
agent = "process"
guard = "fence"
command = ["/usr/bin/sleep", "infinity"]
"#;
    let Some(cluster) = plan(3).tables(bare).start() else { return };
    let owner = cluster.settled().resources["bare"].node.clone().unwrap();
    for name in cluster.names() {
        all_run(&cluster, &name);
        let all = in_hand(&cluster, &name);
        let of = |program: &str| all.iter().find(|(one, _)| one == program).map(|(_, open)| open);
        let is_handed = |(number, what): &(&u32, &String)| **number >= 40 && what.starts_with("socket:");
        let handed: Vec<&String> =
            of("heart-executor").unwrap().iter().filter(is_handed).map(|(_, what)| what).collect();
        assert!(handed.len() > 5, "{handed:?}");
        for (program, open) in all.iter().filter(|(program, _)| !ROLES.contains(&program.as_str())) {
            assert!(open.values().all(|what| !handed.contains(&what)), "{program} has {open:?}");
        }
        assert!(of("heart-core").unwrap().contains_key(&40));
        assert!(!of("heart-gateway").unwrap().contains_key(&40), "the gateway speaks for the core");
        let service = of("sleep").map(|open| open.keys().copied().collect::<Vec<_>>());
        assert_eq!(service, (name == owner).then(|| vec![0, 1, 2]), "{name}");
    }
    // What runs on keeps nobody from starting, nor does a gateway, which has not enough to go on with.
    let all_but_gateway: Vec<&str> = ROLES.into_iter().filter(|role| *role != "heart-gateway").collect();
    for victims in [&ROLES[..], &all_but_gateway] {
        kill_together(&cluster, &owner, victims);
        cluster.start_daemon(&owner);
        all_run(&cluster, &owner);
        assert_eq!(cluster.settled().resources["bare"].node.as_deref(), Some(owner.as_str()));
    }
    cluster.no_overlap();
}

/// What a node runs with was read once. Somebody edits the file, and something is killed that night.
#[test]
fn a_configuration_that_is_edited_into_nonsense_harms_nothing_that_runs() {
    let Some(cluster) = plan(3).start() else { return };
    let before = cluster.mark();
    for name in cluster.names() {
        cluster.lab.node(&name).shell("echo '[cluser]' > /etc/heart/heart.toml").unwrap();
        for role in ROLES {
            kill_together(&cluster, &name, &[role]);
            all_run(&cluster, &name);
        }
        kill_together(&cluster, &name, &["heart-guardian", "heart-spare"]);
        all_run(&cluster, &name);
    }
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// A node that is asked to stop does, even if its guardian is killed meanwhile.
#[test]
fn a_stop_is_not_forgotten_when_the_guardian_is_killed() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let stop = "kill -TERM $(pgrep -x heart-guardian); kill -KILL $(pgrep -x heart-guardian)";
    cluster.lab.node(&owner).shell(stop).unwrap();
    Cluster::until("nothing of Heart is left on the node", || {
        let left = cluster.processes(&owner);
        ensure!(left.is_empty(), "{left:?} still run");
        Ok(())
    });
    cluster.no_overlap();
}

/// Each process alone, and all of a node but one at the same moment.
#[test]
fn every_process_alone_may_die_and_all_but_one_together() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let before = cluster.mark();
    for role in ROLES {
        kill_together(&cluster, &owner, &[role]);
        all_run(&cluster, &owner);
        cluster.nothing_happened(&before);
    }
    for survivor in ["heart-guardian", "heart-spare", "heart-executor"] {
        let victims: Vec<&str> = ROLES.into_iter().filter(|role| *role != survivor).collect();
        kill_together(&cluster, &owner, &victims);
        all_run(&cluster, &owner);
        cluster.nothing_happened(&before);
    }
    cluster.no_overlap();
}

/// Nobody of Heart is left to let go: the kernel does, at the end of the lease, and only then another
/// node takes over. Processes that wake up long after are not fooled.
#[test]
fn an_owner_whose_daemons_stand_still_is_silent_before_another_answers() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let stopped = Stamp::now();
    cluster.lab.node(&owner).shell("pkill -STOP '^heart-'").unwrap();
    let outage = cluster.outage("all of Heart stopped on the owner", stopped);
    assert_eq!(outage.before, owner);
    assert_ne!(outage.after, owner);
    cluster.page.await_outage(stopped, PATIENCE).unwrap();
    let before = cluster.mark_without(&owner);
    pass(QUIET);
    let woken = Stamp::now();
    cluster.lab.node(&owner).shell("pkill -CONT '^heart-'").unwrap();
    cluster.settled();
    pass(QUIET);
    cluster.nothing_moved(&before);
    let after = cluster.outages(woken);
    assert!(after.is_empty(), "the client noticed that {owner} woke up: {after:?}");
    cluster.no_overlap();
}

/// The node stands still as a whole, its kernel answers: as a virtual machine that is not scheduled.
#[test]
fn a_frozen_owner_is_silent_before_another_answers() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let frozen = cluster.lab.freeze(&owner).unwrap();
    let outage = cluster.outage("the owner is frozen", frozen);
    assert_ne!(outage.after, owner);
    let before = cluster.mark_without(&owner);
    cluster.lab.thaw(&owner).unwrap();
    cluster.settled();
    pass(QUIET);
    cluster.nothing_moved(&before);
    cluster.no_overlap();
}

/// An orderly stop hands over first; then nothing of Heart or of the service is left, and the node
/// comes back when it is started.
#[test]
fn a_node_that_stops_hands_over_and_leaves_nothing_behind() {
    let Some(cluster) = plan(3).start() else { return };
    for _ in 0..2 {
        let owner = cluster.owner();
        let asked = cluster.lab.node(&owner).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
        let (_, next) = cluster.handed_over("orderly stop of the owner", asked);
        assert_ne!(next, owner);
        Cluster::until("nothing is left on the node that stopped", || {
            let left = cluster.processes(&owner);
            ensure!(left.is_empty(), "{left:?} still run");
            let services = cluster.lab.node(&owner).shell("pgrep -f '[l]ab-http' || true")?;
            ensure!(services.trim().is_empty(), "the service still runs: {services}");
            let address = cluster.lab.node(&owner).shell("ip address show to 10.77.0.100")?;
            ensure!(address.trim().is_empty(), "the address is still there: {address}");
            Ok(())
        });
        let gates = cluster.lab.node(&owner).shell("nft list ruleset").unwrap();
        println!("{} bytes of firewall rules are left on {owner}", gates.trim().len());
        cluster.start_daemon(&owner);
        let before = cluster.mark();
        pass(QUIET);
        cluster.nothing_happened(&before);
    }
    cluster.no_overlap();
}

/// A standby that stops is no reason to do anything.
#[test]
fn a_standby_that_stops_and_starts_touches_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let before = cluster.mark();
    for name in cluster.others(&owner) {
        cluster.lab.node(&name).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
        Cluster::until("it has stopped", || {
            let left = cluster.processes(&name);
            ensure!(left.is_empty(), "{left:?} still run");
            Ok(())
        });
        cluster.start_daemon(&name);
        cluster.settled();
    }
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// All daemons of the cluster stop one after the other, the last one too, and start again.
#[test]
fn a_cluster_that_is_stopped_node_by_node_starts_again() {
    let Some(cluster) = plan(3).start() else { return };
    for name in cluster.names() {
        cluster.lab.node(&name).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    }
    for name in cluster.names() {
        Cluster::until("it has stopped", || {
            let left = cluster.processes(&name);
            ensure!(left.is_empty(), "{left:?} still run on {name}");
            Ok(())
        });
    }
    let began = Stamp::now();
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    cluster.settled();
    println!("everything runs {:?} after the start", Stamp::now().since(began));
    cluster.no_overlap();
}
