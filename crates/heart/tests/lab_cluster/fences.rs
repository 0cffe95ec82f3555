//! Nodes that are switched off by a power switch: what is guarded by `fence` goes on elsewhere only then.
//!
//! The switch is a fence agent on every node that writes what it is told into a pipe. Somebody at its other end
//! takes a node's power, or not, and writes down how the outlet is.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use heart_lab::Lab;
use heart_model::NodeName;
use heart_node::core::{Request, Response, StatusView};

use crate::cluster::{Cluster, plan};

/// The agent, in the place where programs of fence-agents are.
const PROGRAM: &str = "/usr/sbin/fence_lab";
/// Outlets are files, a word in each, beside the two pipes.
const AGENT: &str = r#"#!/bin/sh
dir=/var/lib/switch
while read -r line; do
    case $line in action=*) action=${line#*=};; plug=*) plug=${line#*=};; esac
done
case $action in
metadata)
    cat <<END
<?xml version="1.0" ?>
<resource-agent name="fence_lab"><parameters>
<parameter name="plug" required="1"><content type="string"/></parameter>
</parameters></resource-agent>
END
    exit 0;;
on|off)
    [ "$(cat $dir/mode)" = refuses ] && { echo "ERROR: the switch does not let us in" >&2; exit 1; }
    echo "$action $plug" > $dir/orders
    # Whoever is at the other end opens this when it is done, whatever that was.
    read -r _ < $dir/done
    exit 0;;
status) [ "$(cat $dir/$plug)" = off ] && exit 2; exit 0;;
esac
exit 1
"#;

/// What is kept running: beside the usual, a service that nobody starts while it may still run elsewhere.
pub(crate) const DISK: &str = r#"
[resource.disk]
agent = "process"
guard = "fence"
command = ["/bin/sh", "-c", "date +%s.%N >> /var/log/disk-starts; exec sleep infinity"]
"#;

/// How long somebody sits at the other end of the pipes: longer than any test.
const SITS: Duration = Duration::from_secs(120);

/// Sits at the other end of a node's pipes until the lab ends: takes the power of whom it names, or gives it, unless
/// the switch only says so.
pub(crate) fn work(lab: &str, node: &str) {
    let (lab, node) = (Lab::attach(lab).unwrap(), node.to_owned());
    thread::spawn(move || {
        let node = lab.node(&node);
        let next = || {
            let order = node.spawn(&["cat", "/var/lib/switch/orders"]).ok()?.output(SITS).ok()?;
            order.exit.is_success().then_some(order.stdout.trim().to_owned())
        };
        while let Some(order) = next() {
            let Some((action, target)) = order.split_once(' ') else { continue };
            if node.read("/var/lib/switch/mode").is_ok_and(|mode| mode.trim() == "works") {
                // That it is so already is no mistake.
                match action {
                    "off" => lab.power_cut(target).ok(),
                    _ => lab.boot(target).ok(),
                };
                node.write(&format!("/var/lib/switch/{target}"), &format!("{action}\n")).ok();
            }
            // Whoever asked may have lost its own power meanwhile.
            if node.shell("echo done > /var/lib/switch/done").is_err() {
                return;
            }
        }
    });
}

pub(crate) fn set(cluster: &Cluster, mode: &str, except: &str) {
    for name in cluster.names().iter().filter(|name| *name != except) {
        cluster.lab.node(name).write("/var/lib/switch/mode", &format!("{mode}\n")).unwrap();
    }
}

/// A cluster of so many nodes, each of which the switch can switch off, where `disk` runs.
pub(crate) fn start(nodes: usize) -> Option<Cluster> {
    let cluster = start_with(nodes, DISK)?;
    await_disk(&cluster, "");
    Some(cluster)
}

/// The same with these resources instead, of which nothing has to run yet.
pub(crate) fn start_with(nodes: usize, tables: &str) -> Option<Cluster> {
    let cluster = prepare_with(nodes, tables)?;
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    Some(cluster)
}

/// The same before any daemon was started.
pub(crate) fn prepare_with(nodes: usize, tables: &str) -> Option<Cluster> {
    let fence = "fence = { agent = \"fence_lab\", timeout = \"1s\" }\n";
    let mut cluster = plan(nodes).tables(tables);
    for number in 1..=nodes {
        cluster = cluster.of_node(number, fence);
    }
    let cluster = cluster.prepare()?;
    let outlets = cluster.names().join(" ");
    for name in cluster.names() {
        let node = cluster.lab.node(&name);
        node.shell(&format!(
            "mkdir /var/lib/switch; cd /var/lib/switch; mkfifo orders done; : > mode; : > {PROGRAM}"
        ))
        .unwrap();
        node.shell(&format!(
            "chmod 755 {PROGRAM}; cd /var/lib/switch; for n in {outlets}; do echo on > $n; done"
        ))
        .unwrap();
        node.write(PROGRAM, AGENT).unwrap();
        work(cluster.lab.name(), &name);
    }
    set(&cluster, "works", "");
    Some(cluster)
}

/// How an outlet is, as every switch shows it.
pub(crate) fn outlet(cluster: &Cluster, target: &str, state: &str) {
    for name in cluster.others(target) {
        cluster.lab.node(&name).write(&format!("/var/lib/switch/{target}"), &format!("{state}\n")).unwrap();
    }
}

/// How often `disk` was started, on all nodes together.
pub(crate) fn starts(cluster: &Cluster) -> usize {
    let on = |name: &String| {
        let text = cluster.lab.node(name).shell("cat /var/log/disk-starts 2>/dev/null || true").unwrap();
        text.lines().count()
    };
    cluster.names().iter().map(on).sum()
}

/// Who runs `disk`, once that is not `than`.
pub(crate) fn await_disk(cluster: &Cluster, than: &str) -> String {
    Cluster::until("disk runs elsewhere", || {
        let disk = disk(&cluster.view()?)?;
        ensure!(disk != than, "it is on {disk}");
        Ok(disk)
    })
}

fn disk(view: &StatusView) -> Result<String> {
    let disk = &view.resources["disk"];
    ensure!(disk.state == "running", "disk is {}: {:?}", disk.state, disk.why);
    Ok(disk.node.clone().unwrap_or_default())
}

fn ask(cluster: &Cluster, request: &Request) -> Response {
    let names = cluster.names();
    let up = names.iter().find(|name| cluster.view_of(name).is_ok()).unwrap();
    cluster.ask(up, request).unwrap()
}

#[test]
fn a_node_that_is_cut_off_is_switched_off_before_its_disk_is_used_elsewhere() {
    let Some(cluster) = start(3) else { return };
    let first = await_disk(&cluster, "");
    let others = cluster.others(&first);
    let rest: Vec<&str> = others.iter().map(String::as_str).collect();
    cluster.lab.partition(&[&[&first], &rest]).unwrap();
    let second = await_disk(&cluster, &first);
    let status = cluster.view().unwrap();
    assert_eq!(status.nodes[&first].state, "fenced");
    // It comes back with power and a network, and nothing moves.
    cluster.lab.heal().unwrap();
    cluster.lab.boot(&first).unwrap();
    Cluster::until("it is online again", || {
        let view = cluster.view()?;
        ensure!(view.nodes[&first].state == "online", "{first} is {}", view.nodes[&first].state);
        Ok(())
    });
    assert_eq!(disk(&cluster.view().unwrap()).unwrap(), second);
    assert_eq!(starts(&cluster), 2, "once here and once there");
    cluster.no_overlap();
}

/// As a person does it, who sees what it costs before.
#[test]
fn a_node_that_is_heard_is_switched_off_and_boots_again() {
    let Some(cluster) = start(3) else { return };
    let first = await_disk(&cluster, "");
    let other = cluster.others(&first)[0].clone();
    let heart = |words: &[&str]| {
        cluster
            .lab
            .node(&other)
            .exec(&[&["timeout", "30", "heart", "fence", &first], words].concat())
            .unwrap()
    };
    let refused = heart(&[]);
    assert!(!refused.exit.is_success() && refused.stderr.contains("it runs"), "{refused:?}");
    let ended = heart(&["--anyway", "--reboot"]);
    assert!(ended.exit.is_success() && ended.stdout.contains("boot again"), "{ended:?}");
    let second = await_disk(&cluster, &first);
    Cluster::until("it is online again", || {
        let view = cluster.view_of(&other)?;
        ensure!(view.nodes[&first].state == "online", "{first} is {}", view.nodes[&first].state);
        Ok(())
    });
    let log = cluster.lab.node(&other).exec(&["heart", "log"]).unwrap().stdout;
    // It may take part before its device has said that it has power.
    for said in ["wants", "may run nothing any more", "is proven off", "takes part"] {
        assert!(log.lines().any(|line| line.contains(&first) && line.contains(said)), "{said}:\n{log}");
    }
    assert_eq!(disk(&cluster.view().unwrap()).unwrap(), second, "nothing moves back");
    assert_eq!(starts(&cluster), 2, "once here and once there");
    cluster.no_overlap();
}

#[test]
fn a_wrong_outlet_is_found_before_it_is_needed() {
    let Some(cluster) = start(3) else { return };
    let (me, other) = ("n1", NodeName::new("n2").unwrap());
    let test = || cluster.lab.node(me).exec(&["timeout", "30", "heart", "fence", "--test", "n2"]).unwrap();
    let finds = |state: &str| {
        let found = Cluster::until("the switch was tried", || {
            cluster.ask(me, &Request::Prove { node: Some(other.clone()) })?;
            let view = cluster.view_of(me)?;
            let one = view.nodes["n2"].devices.first().cloned();
            let one = one.filter(|one| one.state == state && !one.asked);
            one.with_context(|| format!("{:?}", view.nodes["n2"]))
        });
        assert_eq!(found.device, "fence_lab");
    };
    finds("on");
    let ended = test();
    assert!(ended.exit.is_success() && ended.stdout.contains(": on"), "{ended:?}");
    // What n2 is said to have is the outlet of something that is off.
    cluster.lab.node(me).write("/var/lib/switch/n2", "off\n").unwrap();
    finds("wrong");
    let problems = cluster.view_of(me).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.contains("n2 is off, and n2 is heard")), "{problems:?}");
    assert!(!test().exit.is_success());
    cluster.lab.node(me).write("/var/lib/switch/n2", "on\n").unwrap();
    let ended = test();
    assert!(ended.exit.is_success(), "{ended:?}");
    assert_eq!(starts(&cluster), 1, "nothing came of all this");
    cluster.no_overlap();
}

#[test]
fn when_a_device_was_proven_is_known_over_a_restart_of_the_core() {
    let Some(cluster) = start(3) else { return };
    let me = "n1";
    let device = |state: &str| {
        Cluster::until(state, || {
            let view = cluster.view_of(me)?;
            let one = view.nodes["n2"].devices.first().filter(|one| one.state == state).cloned();
            one.with_context(|| format!("{:?}", view.nodes["n2"]))
        })
    };
    cluster.ask(me, &Request::Prove { node: None }).unwrap();
    let proven = device("on").proven;
    assert!(proven.is_some());
    cluster.lab.node(me).shell("pkill -KILL '^heart-core$'").unwrap();
    assert_eq!(device("untried").proven, proven, "the next core has not tried it yet");
    assert_eq!(starts(&cluster), 1, "nothing came of all this");
    cluster.no_overlap();
}

#[test]
fn a_switch_that_proves_nothing_is_given_up_and_a_person_goes_on() {
    let Some(cluster) = start(3) else { return };
    let first = await_disk(&cluster, "");
    // It says that it did it, and the outlet is still on: read-back finds that out.
    set(&cluster, "lies", "");
    cluster.lab.power_cut(&first).unwrap();
    let status = |words: &str| {
        Cluster::until(words, || {
            let view = cluster.view()?;
            ensure!(view.problems.iter().any(|problem| problem.contains(words)), "{:?}", view.problems);
            Ok(view)
        })
    };
    let view = status("`heart confirm-off");
    assert!(disk(&view).is_err(), "nobody knows whether it is off: {:?}", view.resources["disk"]);
    set(&cluster, "refuses", &first);
    let node = NodeName::new(&first).unwrap();
    let again = ask(
        &cluster,
        &Request::Fence { node: node.clone(), who: "root".into(), anyway: false, reboot: false },
    );
    assert!(matches!(again, Response::Accepted { .. }), "{again:?}");
    status("the switch does not let us in");
    // A person looks, and says so.
    status("`heart confirm-off");
    let confirmed = ask(&cluster, &Request::ConfirmOff { node, boot: None, who: "somebody".into() });
    assert!(matches!(confirmed, Response::Accepted { .. }), "{confirmed:?}");
    let second = await_disk(&cluster, &first);
    assert_ne!(second, first);
    cluster.no_overlap();
}
