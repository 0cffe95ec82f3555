//! The configuration changes while everything runs.

use anyhow::ensure;

use crate::cluster::{Cluster, KEY, QUIET, pass, plan};

/// A file with mistakes is refused whole, with all of them; so is one that takes a restart.
#[test]
fn a_file_with_mistakes_changes_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    let before = cluster.mark();
    let good = cluster.configuration();
    for (text, expected) in [
        (good.replace("[cluster]", "[cluser]\nname = \"x\"\n[cluster]"), "cluser"),
        (good.replace("[cluster]", "[cluster]\nport = 700"), "changes the port"),
        (good.clone(), "goes by already"),
    ] {
        cluster.configure("n1", &text, KEY);
        let said = cluster.lab.node("n1").shell("heart reload 2>&1 || true").unwrap();
        assert!(said.contains(expected), "{said}");
    }
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// Three vote, two more follow; then all five vote. Nobody who uses the service notices, and afterwards
/// the cluster can do without two.
#[test]
fn three_voters_become_five() {
    let (four, five) = ("voter = false", "voter = false");
    let Some(cluster) = plan(5).of_node(4, four).of_node(5, five).start() else { return };
    let before = cluster.mark();
    let changed = cluster.configuration().replace("voter = false", "");
    for name in cluster.names() {
        cluster.configure(&name, &changed, KEY);
        let said = cluster.lab.node(&name).shell("heart reload 2>&1").unwrap();
        assert!(said.contains("from now on"), "{said}");
    }
    Cluster::until("five vote", || {
        let view = cluster.view()?;
        ensure!(view.voters == (5, 5), "{:?} vote and are heard", view.voters);
        Ok(())
    });
    cluster.settled();
    cluster.nothing_happened(&before);
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    let before = cluster.mark_on(&[owner, others[2].clone(), others[3].clone()]);
    others[..2].iter().for_each(|name| {
        cluster.lab.power_cut(name).unwrap();
    });
    pass(QUIET);
    cluster.nothing_moved(&before);
    cluster.no_overlap();
}

/// Somebody takes a node out of the file while it runs everything: it lets go, and the others take it.
#[test]
fn a_node_that_is_taken_out_of_the_file_loses_what_it_runs() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    let text = cluster.configuration();
    let from = text.find(&format!("\n[node.{owner}]")).unwrap();
    let to = text[from + 1..].find("\n[").unwrap() + from + 1;
    let without = [&text[..from], &text[to..]].concat();
    for name in &others {
        cluster.configure(name, &without, KEY);
        cluster.lab.node(name).shell("heart reload").unwrap();
    }
    Cluster::until("another runs it", || {
        let view = cluster.view_of(&others[0])?;
        let site = &view.resources["site"];
        ensure!(site.state == "running" && site.node.as_ref() != Some(&owner), "{site:?}");
        ensure!(view.voters == (2, 2), "{:?} vote and are heard", view.voters);
        Ok(())
    });
    cluster.no_overlap();
}
