//! What happens on one machine: foreign hands, full disks, agents of others, and what Heart costs.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use heart_lab::{Stamp, Target, milliseconds};
use heart_model::NodeName;
use heart_node::core::Request;

use crate::cluster::{Cluster, PATIENCE, Plan, QUIET, SIGKILL, SIGTERM, pass, plan};

/// What all of Heart may use on an idle node, of one processor; the goal is 0.3 %, measured in
/// benchmarks. This one is built for finding mistakes, on a machine that does other things.
const CPU_MAX: f64 = 3.0;
/// In MiB, counted proportionally where memory is shared.
const MEMORY_MAX: f64 = 60.0;

#[test]
fn a_removed_address_is_restored() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let before = cluster.mark();
    for _ in 0..3 {
        let removed = Stamp::now();
        cluster.lab.node(&owner).shell("ip address del 10.77.0.100/24 dev eth0").unwrap();
        Cluster::until("it is back", || {
            let shown = cluster.lab.node(&owner).shell("ip address show to 10.77.0.100")?;
            ensure!(shown.contains("10.77.0.100"), "{shown}");
            Ok(())
        });
        println!("address removed: seen again after at most {}", milliseconds(Stamp::now().since(removed)));
    }
    pass(QUIET / 2);
    cluster.nothing_moved(&before);
    cluster.no_overlap();
}

#[test]
fn a_flushed_firewall_is_repaired() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let before = cluster.mark();
    for name in cluster.names() {
        cluster.lab.node(&name).shell("nft flush ruleset").unwrap();
    }
    Cluster::until("the gate is back", || {
        let rules = cluster.lab.node(&owner).shell("nft list ruleset")?;
        ensure!(rules.contains("table inet heart") && rules.contains("10.77.0.100"), "{rules}");
        Ok(())
    });
    cluster.nothing_happened(&before);
    // And it still does what it is for.
    let stopped = Stamp::now();
    cluster.lab.node(&owner).shell("pkill -STOP '^heart-'").unwrap();
    cluster.outage("stopped after the firewall was flushed", stopped);
    cluster.lab.node(&owner).shell("pkill -CONT '^heart-'").unwrap();
    cluster.settled();
    cluster.no_overlap();
}

/// Starts a cluster in which every node keeps Heart's things on a small file system of their own.
fn on_small_disks(plan: Plan) -> Option<Cluster> {
    let cluster = plan.prepare()?;
    for name in cluster.names() {
        let small = "mkdir -p /var/lib/heart && mount -t tmpfs -o size=1m,mode=700 heart /var/lib/heart";
        cluster.lab.node(&name).shell(small).unwrap();
        cluster.start_daemon(&name);
    }
    cluster.page.await_up(PATIENCE).unwrap();
    Some(cluster)
}

fn fill(cluster: &Cluster, node: &str) {
    cluster.lab.node(node).shell("dd if=/dev/zero of=/var/lib/heart/full bs=1k 2>/dev/null; true").unwrap();
}

/// The disk is full, but not broken: the node says that it is sick, and what runs on it goes in order.
#[test]
fn a_node_whose_disk_is_full_hands_over_in_order() {
    let Some(cluster) = on_small_disks(plan(3)) else { return };
    let owner = cluster.owner();
    let filled = Stamp::now();
    fill(&cluster, &owner);
    Cluster::until("another has it", || {
        let node = cluster.view()?.resources["site"].node.clone();
        ensure!(node.as_ref().is_some_and(|node| *node != owner), "{node:?}");
        Ok(())
    });
    println!("disk full: elsewhere after {}", milliseconds(Stamp::now().since(filled)));
    cluster.page.await_up(PATIENCE).unwrap();
    let (view, log) = (cluster.view().unwrap(), cluster.log(&owner));
    let problems = view.problems.join("\n");
    assert!(problems.contains(&format!("{owner} is sick, its disk is full")), "{problems}");
    assert!(problems.contains("are free on /var/lib/heart; make room"), "{problems}");
    assert_eq!(view.nodes[&owner].state, "sick");
    let told = log.lines().filter(|line| line.contains("this node is sick, its disk is full")).count();
    assert_eq!(told, 1, "it is said once: {log}");
    // With room it is well again, and nothing goes back.
    let before = cluster.mark();
    cluster.lab.node(&owner).shell("rm /var/lib/heart/full").unwrap();
    Cluster::until("it is well again", || {
        let log = cluster.log(&owner);
        ensure!(log.contains("well again"), "{log}");
        Ok(())
    });
    cluster.settled();
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// It cannot write what it finds of its log anew, and says nothing by it; but it is heard, and what runs goes on: a full disk
/// does not turn a core that is killed into a lost node.
#[test]
fn a_core_that_is_killed_on_a_full_disk_is_back() {
    let Some(cluster) = on_small_disks(plan(3)) else { return };
    let full = cluster.others(&cluster.owner()).remove(0);
    fill(&cluster, &full);
    let says = |what: &str, times: usize| {
        Cluster::until(what, || {
            let log = cluster.log(&full);
            ensure!(log.matches(what).count() == times, "{log}");
            Ok(())
        });
    };
    let sick = "this node is sick, its disk is full";
    says(sick, 1);
    let before = cluster.mark();
    cluster.lab.node(&full).signal(Target::Name("heart-core".into()), SIGKILL).unwrap();
    says(sick, 2);
    cluster.settled();
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// People ask for so much of `other` that the log of a node with a full disk is refused.
fn until_the_log_is_refused(cluster: &Cluster, full: &str, other: &str) {
    let node = NodeName::new(other).unwrap();
    Cluster::until("the log is refused", || {
        for request in [Request::Standby { node: node.clone() }, Request::Resume { node: node.clone() }] {
            cluster.ask(other, &request).ok();
        }
        let log = cluster.log(full);
        ensure!(log.contains("the disk does not answer"), "{log}");
        Ok(())
    });
}

/// Without the disk of the other nothing is agreed on: as soon as that takes nothing of the log, its node lets go and
/// lays its log down. It is taken in again with room.
#[test]
fn of_two_nodes_one_with_a_full_disk_lets_the_other_one_go_on() {
    let Some(cluster) = on_small_disks(plan(2)) else { return };
    let owner = cluster.owner();
    let other = cluster.others(&owner).remove(0);
    fill(&cluster, &owner);
    until_the_log_is_refused(&cluster, &owner, &other);
    Cluster::until("the other one has it", || {
        // It may have been sent to standby last.
        cluster.ask(&other, &Request::Resume { node: NodeName::new(&other).unwrap() })?;
        let node = cluster.view()?.resources["site"].node.clone();
        ensure!(node.as_ref().is_some_and(|node| *node != owner), "{node:?}");
        Ok(())
    });
    cluster.page.await_up(PATIENCE).unwrap();
    let said = cluster.view_of(&owner).unwrap().problems.join("\n");
    assert!(said.contains(&format!("{owner} runs nothing and has no vote, so that others go on")), "{said}");
    // Nothing goes back.
    cluster.lab.node(&owner).shell("rm /var/lib/heart/full").unwrap();
    Cluster::until("it takes part again", || {
        let log = cluster.log(&owner);
        ensure!(log.contains("taking part again as incarnation 2"), "{log}");
        Ok(())
    });
    let before = cluster.mark();
    assert_ne!(cluster.owner(), owner);
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

const OCF: &str = r#"
[resource.dummy]
agent = "ocf:heartbeat:Dummy"
guard = "none"
status_every = "1s"
parameters = { state = "/run/dummy.state" }

[resource.sleeper]
agent = "ocf:heartbeat:anything"
guard = "none"
status_every = "1s"
parameters = { binfile = "/bin/sleep", cmdline_options = "99999", pidfile = "/run/sleeper.pid" }

[resource.site-ip]
agent = "ocf:heartbeat:IPaddr2"
guard = "none"
status_every = "1s"
parameters = { ip = "10.77.0.100", cidr_netmask = 24, nic = "eth0" }

[group.old]
members = ["dummy", "sleeper", "site-ip"]
"#;

#[test]
fn agents_of_the_open_cluster_framework_run_move_and_stop() {
    if !Path::new("/usr/lib/ocf/resource.d/heartbeat/Dummy").exists() {
        println!("skipped: install the package resource-agents to run the agents of others");
        return;
    }
    let Some(cluster) = plan(3).resources(OCF).serves_nothing().start() else { return };
    cluster.address.await_up(PATIENCE).unwrap();
    let owner = cluster.owner();
    let before = cluster.mark();
    pass(QUIET);
    cluster.nothing_happened(&before);
    // What dies is seen by the next look at it.
    let killed = Stamp::now();
    cluster.lab.node(&owner).shell("kill -KILL $(cat /run/sleeper.pid)").unwrap();
    Cluster::until("it runs again", || {
        cluster.lab.node(&owner).shell("kill -0 $(cat /run/sleeper.pid)")?;
        ensure!(cluster.view()?.resources["sleeper"].state == "running", "not yet");
        Ok(())
    });
    println!("an OCF service that died ran again after {}", milliseconds(Stamp::now().since(killed)));
    let cut = cluster.lab.power_cut(&owner).unwrap();
    cluster.outage("power cut, OCF", cut);
    cluster.lab.boot(&owner).unwrap();
    let owner = cluster.owner();
    let stopped = Stamp::now();
    cluster.lab.node(&owner).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    cluster.handed_over("orderly stop, OCF", stopped);
    Cluster::until("nothing is left", || {
        let left = cluster.processes(&owner);
        ensure!(left.is_empty(), "{left:?}");
        let sleepers = cluster.lab.node(&owner).shell("pgrep -f '[s]leep 99999' || true")?;
        ensure!(sleepers.trim().is_empty(), "{sleepers}");
        Ok(())
    });
    cluster.no_overlap();
}

/// Processor time in clock ticks, memory in KiB, descriptors and threads of all of Heart on a node.
fn costs(cluster: &Cluster, node: &str) -> (u64, u64, u64, u64) {
    let script = "for p in $(pgrep '^heart-'); do \
                  echo $(sed 's/.*) //' /proc/$p/stat | cut -d' ' -f12,13) \
                  $(sed -n 's/^Pss: *\\([0-9]*\\).*/\\1/p' /proc/$p/smaps_rollup) \
                  $(ls /proc/$p/fd | wc -l) $(ls /proc/$p/task | wc -l); done";
    let mut sums = (0, 0, 0, 0);
    for line in cluster.lab.node(node).shell(script).unwrap().lines() {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [user, system, memory, descriptors, threads] = numbers[..] else { continue };
        sums = (sums.0 + user + system, sums.1 + memory, sums.2 + descriptors, sums.3 + threads);
    }
    sums
}

/// An idle cluster does next to nothing, says nothing, and does not grow.
#[test]
fn an_idle_cluster_costs_next_to_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    pass(QUIET);
    let names = cluster.names();
    let lines: Vec<usize> = names.iter().map(|name| cluster.log(name).lines().count()).collect();
    let began = Stamp::now();
    let first: Vec<_> = names.iter().map(|name| costs(&cluster, name)).collect();
    pass(Duration::from_secs(10));
    let seconds = Stamp::now().since(began).as_secs_f64();
    for (place, name) in names.iter().enumerate() {
        let (ticks, memory, descriptors, threads) = costs(&cluster, name);
        // 100 ticks a second: sysconf(_SC_CLK_TCK) on every architecture Linux has.
        let percent = (ticks - first[place].0) as f64 / seconds;
        let memory = memory as f64 / 1024.0;
        let role = if *name == owner { "owner" } else { "standby" };
        println!(
            "{name} ({role}): {percent:.2} % of a processor, {memory:.1} MiB, {descriptors} descriptors, {threads} threads"
        );
        assert!(percent < CPU_MAX && memory < MEMORY_MAX);
        assert_eq!((descriptors, threads), (first[place].2, first[place].3), "they grow");
        assert_eq!(cluster.log(name).lines().count(), lines[place], "it writes although nothing happens");
    }
    cluster.no_overlap();
}

/// Whatever happens a hundred times leaves no descriptor and no process behind.
#[test]
fn moving_over_and_over_leaves_nothing_behind() {
    let Some(cluster) = plan(3).start() else { return };
    let names = cluster.names();
    let other = cluster.others(&cluster.owner()).remove(0);
    let around = |cluster: &Cluster| {
        for _ in 0..3 {
            let owner = cluster.owner();
            cluster.stand_by(&owner, true);
            Cluster::until("it has moved", || {
                ensure!(cluster.view()?.resources["site"].node.as_deref() != Some(&owner), "not yet");
                Ok(())
            });
            cluster.stand_by(&owner, false);
            cluster.settled();
        }
    };
    around(&cluster);
    let first: Vec<_> = names.iter().map(|name| costs(&cluster, name)).collect();
    (0..4).for_each(|_| around(&cluster));
    for (place, name) in names.iter().enumerate() {
        let now = costs(&cluster, name);
        let processes = cluster.processes(name);
        println!("{name}: {:?} before, {now:?} after, {processes:?}", first[place]);
        let grown = now.2.saturating_sub(first[place].2);
        assert!(grown <= 8, "{grown} descriptors more: the owner has a few for what it runs, not so many");
    }
    println!("{other} and the others are through");
    cluster.no_overlap();
}

/// Under which of the kernel's policies the threads of a node run: process, thread, and whether real-time.
fn policies(cluster: &Cluster, node: &str) -> Vec<(String, String, bool)> {
    let look = "for t in /proc/[0-9]*/task/[0-9]*; do p=${t%/task/*}; \
                echo \"$(cat $p/comm 2>/dev/null)|$(cat $t/stat 2>/dev/null)\"; done";
    let text = cluster.lab.node(node).shell(look).unwrap();
    // A thread's name may have anything in it; what follows has no brackets. The policy is the 41st word.
    let one = |line: &str| {
        let (process, rest) = line.split_once('|')?;
        let (before, after) = rest.rsplit_once(')')?;
        let (_, thread) = before.split_once('(')?;
        let policy = after.split_whitespace().nth(38)?;
        Some((process.to_owned(), thread.to_owned(), policy != "0"))
    };
    text.lines().filter_map(one).collect()
}

/// On a machine that has ten times as much to do as it can, whoever waits for a turn is too late for a lease of half
/// a second. What is kept running is nobody's business but its own.
#[test]
fn what_a_lease_hangs_on_is_real_time_and_what_is_kept_running_is_not() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let found = policies(&cluster, &owner);
    for (process, thread, wanted) in [
        ("heart-core", "heartbeats", true),
        ("heart-core", "heart-core", true),
        ("heart-core", "disk", true),
        ("heart-keeper", "heart-keeper", true),
        ("heart-executor", "heart-executor", true),
        ("heart-executor", "heart-gate", true),
        ("heart-executor", "heart-ip", true),
        ("heart-gateway", "heart-gateway", false),
    ] {
        let of: Vec<bool> =
            found.iter().filter(|(p, t, _)| p == process && t == thread).map(|(_, _, real)| *real).collect();
        // The first process of a service's namespace is called as the keeper is: it has to get a turn to die.
        assert!(!of.is_empty() && of.iter().all(|real| *real == wanted), "{process}, {thread}: {found:?}");
    }
    // The answerer is no part of the cluster, and real-time. The service has the same name.
    assert!(found.contains(&("heart".into(), "heart".into(), false)), "{found:?}");
    cluster.no_overlap();
}
