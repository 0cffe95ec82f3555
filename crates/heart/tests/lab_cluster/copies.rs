//! A service with a copy on every node, one of which is promoted, and an address that goes with that one.

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, plan};

/// What the agent under test writes of each thing it is told, with the time.
const TOLD: &str = "/var/log/db-told";
/// A service of which one copy is promoted, as an agent of the Open Cluster Framework. Its state is a word in a file.
const AGENT: &str = r#"#!/bin/sh
state=/run/db-state
is=$(cat $state 2>/dev/null)
case $1 in
meta-data)
    cat <<END
<resource-agent name="Pair"><version>1.0</version><parameters/><actions>
<action name="start" timeout="20s"/><action name="stop" timeout="20s"/>
<action name="promote" timeout="20s"/><action name="demote" timeout="20s"/>
<action name="monitor" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/>
</actions></resource-agent>
END
    exit 0;;
monitor)
    case $is in promoted) exit 8;; unpromoted) exit 0;; *) exit 7;; esac;;
validate-all) exit 0;;
esac
echo "$(date +%s.%N) $1" >> /var/log/db-told
case $1 in
start) [ -n "$is" ] || echo unpromoted > $state;;
promote) [ -n "$is" ] || exit 7; echo promoted > $state;;
demote) [ -n "$is" ] || exit 7; echo unpromoted > $state;;
stop) rm -f $state;;
*) exit 3;;
esac
exit 0
"#;
const FOLDER: &str = "/usr/lib/ocf/resource.d";
const DATABASE: &str = r#"
[resource.db]
agent = "ocf:heart-test:Pair"
guard = "none"                      # its state is a word in a file of its own node
copies = "all"
promotable = true
status_every = "200ms"

[resource.site-ip]
agent = "ip"
address = "10.77.0.100/24"
with = "db"
after = "db"
"#;

/// Where the right `name` is, once everything that has power runs.
fn place(cluster: &Cluster, up: &[&str]) -> String {
    Cluster::until("all copies run, one is promoted, and the address is there", || {
        let view = cluster.view()?;
        for node in up {
            let copy = view.resources.get(&format!("db@{node}")).context("no such copy")?;
            ensure!(copy.state == "running", "db@{node} is {}", copy.state);
        }
        let of = |name: &str| -> Result<String> {
            let one = &view.resources[name];
            ensure!(one.state == "running", "{name} is {}: {:?}", one.state, one.why);
            one.node.clone().context("it runs nowhere")
        };
        let (promoted, address) = (of("db")?, of("site-ip")?);
        ensure!(promoted == address && up.contains(&promoted.as_str()), "{promoted} and {address}");
        Ok(promoted)
    })
}

/// What the agent of a node was told, without monitors.
fn told(cluster: &Cluster, node: &str) -> Vec<(f64, String)> {
    let text = cluster.lab.node(node).shell(&format!("cat {TOLD} 2>/dev/null || true")).unwrap();
    let line = |line: &str| {
        let (at, what) = line.split_once(' ')?;
        Some((at.parse().ok()?, what.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn words(told: &[(f64, String)]) -> Vec<&str> {
    told.iter().map(|(_, what)| what.as_str()).collect()
}

#[test]
fn one_copy_is_promoted_and_the_address_goes_with_it() {
    let Some(cluster) = plan(3).resources(DATABASE).prepare() else { return };
    for name in cluster.names() {
        let node = cluster.lab.node(&name);
        // Only this node sees it: it has its own table of mounts.
        node.shell(&format!("mount -t tmpfs none {FOLDER} && mkdir {FOLDER}/heart-test")).unwrap();
        let file = format!("{FOLDER}/heart-test/Pair");
        node.shell(&format!(": > {file} && chmod 755 {file}")).unwrap();
        node.write(&file, AGENT).unwrap();
        cluster.start_daemon(&name);
    }
    let first = place(&cluster, &["n1", "n2", "n3"]);
    assert_eq!(words(&told(&cluster, &first)), ["start", "promote"]);

    // A node that is emptied demotes before another promotes.
    cluster.stand_by(&first, true);
    let others = cluster.others(&first);
    let up: Vec<&str> = others.iter().map(String::as_str).collect();
    let second = place(&cluster, &up);
    let before = told(&cluster, &first);
    assert_eq!(words(&before), ["start", "promote", "demote", "stop"]);
    let demoted = before[2].0;
    let promoted = told(&cluster, &second).last().unwrap().clone();
    assert_eq!(promoted.1, "promote");
    assert!(promoted.0 > demoted, "promoted at {} and demoted at {demoted}", promoted.0);

    // Nothing moves back, and the copy is there again.
    cluster.stand_by(&first, false);
    assert_eq!(place(&cluster, &["n1", "n2", "n3"]), second);
    assert_eq!(words(&told(&cluster, &first)), ["start", "promote", "demote", "stop", "start"]);

    // The copy fails under what is promoted: demoted first, promoted again in place.
    let count = told(&cluster, &second).len();
    cluster.lab.node(&second).shell("echo unpromoted > /run/db-state").unwrap();
    Cluster::until("it is promoted again", || {
        let told = told(&cluster, &second);
        ensure!(words(&told[count..]) == ["demote", "promote"], "{:?}", words(&told[count..]));
        Ok(())
    });
    assert_eq!(place(&cluster, &["n1", "n2", "n3"]), second);

    // Its node loses power: another copy is promoted, and the address follows.
    cluster.lab.power_cut(&second).unwrap();
    let others = cluster.others(&second);
    let up: Vec<&str> = others.iter().map(String::as_str).collect();
    let third = place(&cluster, &up);
    assert_ne!(third, second);
    cluster.no_overlap();
}
