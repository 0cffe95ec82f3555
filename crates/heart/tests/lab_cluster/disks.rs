//! A disk that all nodes share, as what decides between two halves and as what switches nodes off. It is a file of the
//! host, which every machine of the lab has as a device file.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use anyhow::ensure;
use heart_lab::{DISK, MachineState};

use crate::{
    cluster::{Cluster, Plan, plan},
    pairs::{joined, one_of_two_goes_on, says},
    watchdogs::give_watchdog,
};

const TIE_BREAK: &str = "[tie_break]\ndisk = \"/dev/shared\"\n";
const FENCE: &str = "watchdog = \"/var/lib/watchdog/socket\"\nnever_paused = true\n\
                     fence = { agent = \"disk\", device = \"/dev/shared\" }\n";
/// What nobody starts while it may still run elsewhere.
const SHARED: &str = r#"
[resource.data]
agent = "process"
guard = "fence"
command = ["/bin/sh", "-c", "date +%s.%N >> /var/log/data-starts; exec sleep infinity"]
"#;

/// The shared disk of one test; it goes with this.
struct Disk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Disk {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("disk");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        Disk { path, _folder: folder }
    }

    /// A cluster that has this disk, which its first node has prepared.
    fn start(&self, plan: Plan) -> Option<Cluster> {
        let cluster = plan.disk(&self.path).prepare()?;
        let first = cluster.lab.node("n1");
        let said = first.shell(&format!("heart disk format {DISK}")).unwrap();
        assert!(said.contains("is prepared for `lab`: 16 slots, one each for n1, n2"), "{said}");
        for name in cluster.names() {
            if cluster.configuration().contains("watchdog") {
                give_watchdog(&cluster, &name);
            }
            cluster.start_daemon(&name);
        }
        cluster.settled();
        Some(cluster)
    }
}

fn show(cluster: &Cluster, node: &str) -> String {
    cluster.lab.node(node).shell(&format!("heart disk show {DISK}")).unwrap()
}

fn shows(cluster: &Cluster, node: &str, words: &str) {
    Cluster::until(words, || {
        let shown = show(cluster, node);
        ensure!(shown.contains(words), "{shown}");
        Ok(())
    });
}

#[test]
fn with_a_shared_disk_one_of_two_goes_on_back_and_forth() {
    let disk = Disk::new();
    let Some(cluster) = disk.start(plan(2).tables(TIE_BREAK)) else { return };
    let mut owner = cluster.owner();
    for _ in 0..2 {
        let other = cluster.others(&owner).remove(0);
        shows(&cluster, &other, "tie-break: any half of n1, n2");
        let cut = cluster.lab.power_cut(&owner).unwrap();
        let outage = cluster.outage("one of two lost power, a shared disk decides", cut);
        assert_eq!(outage.after, other);
        cluster.lab.boot(&owner).unwrap();
        joined(&cluster, &owner);
        owner = other;
    }
    cluster.no_overlap();
}

#[test]
fn of_two_that_are_cut_off_from_each_other_the_shared_disk_lets_one_go_on() {
    let disk = Disk::new();
    let Some(cluster) = disk.start(plan(2).tables(TIE_BREAK)) else { return };
    shows(&cluster, "n1", "tie-break: any half of n1, n2");
    one_of_two_goes_on(&cluster);
}

#[test]
fn a_shared_disk_that_is_gone_is_told_and_stops_nothing() {
    let disk = Disk::new();
    let Some(cluster) = disk.start(plan(2).tables(TIE_BREAK)) else { return };
    let before = cluster.mark();
    let kept = fs::read(&disk.path).unwrap();
    File::options().write(true).open(&disk.path).unwrap().set_len(0).unwrap();
    says(&cluster, "n1", "the disk /dev/shared cannot decide between two halves");
    says(&cluster, "n2", "it is too small");
    cluster.nothing_happened(&before);
    // The same file, as it was: every machine has it under its own name.
    fs::write(&disk.path, kept).unwrap();
    Cluster::until("it is reached again", || {
        let problems = cluster.view_of("n1")?.problems;
        ensure!(problems.iter().all(|problem| !problem.contains("/dev/shared")), "{problems:?}");
        Ok(())
    });
    cluster.no_overlap();
}

/// Where a machine is, and who runs `data`.
fn state(cluster: &Cluster, name: &str) -> MachineState {
    let machines = cluster.lab.status().unwrap().machines;
    machines.into_iter().find(|machine| machine.name == name).unwrap().state
}

fn await_data(cluster: &Cluster, than: &str) -> String {
    Cluster::until("data runs elsewhere", || {
        let view = cluster.view()?;
        let data = &view.resources["data"];
        let node = data.node.clone().unwrap_or_default();
        ensure!(data.state == "running" && node != than, "{} on {node}: {:?}", data.state, view.problems);
        Ok(node)
    })
}

fn fenced(nodes: usize) -> Plan {
    (1..=nodes).fold(plan(nodes).tables(SHARED), |plan, number| plan.of_node(number, FENCE))
}

#[test]
fn a_node_that_is_cut_off_reads_on_the_disk_that_it_is_to_reset_itself() {
    let disk = Disk::new();
    let Some(cluster) = disk.start(fenced(3)) else { return };
    let first = await_data(&cluster, "");
    let others = cluster.others(&first);
    shows(&cluster, &others[0], "off within 16 s");
    let rest: Vec<&str> = others.iter().map(String::as_str).collect();
    cluster.lab.partition(&[&[&first], &rest]).unwrap();
    Cluster::until("it has reset itself", || {
        ensure!(state(&cluster, &first) == MachineState::Off, "it has power");
        Ok(())
    });
    let shown = show(&cluster, &others[0]);
    assert!(shown.contains("and reset itself"), "{shown}");
    let second = await_data(&cluster, &first);
    assert_ne!(second, first);
    cluster.lab.heal().unwrap();
    cluster.lab.boot(&first).unwrap();
    give_watchdog(&cluster, &first);
    joined(&cluster, &first);
    assert_eq!(await_data(&cluster, ""), second, "nothing moves back");
    cluster.no_overlap();
}

#[test]
fn over_a_disk_that_is_gone_nobody_is_switched_off_and_it_is_said() {
    let disk = Disk::new();
    let Some(cluster) = disk.start(fenced(3)) else { return };
    let first = await_data(&cluster, "");
    File::options().write(true).open(&disk.path).unwrap().set_len(0).unwrap();
    cluster.lab.power_cut(&first).unwrap();
    let asked = cluster.others(&first).remove(0);
    says(&cluster, &asked, &format!("{first} could not be told over disk /dev/shared"));
    says(&cluster, &asked, "`heart confirm-off");
    let view = cluster.view().unwrap();
    assert_ne!(view.resources["data"].state, "running", "nobody knows whether it is off");
    cluster.no_overlap();
}

/// Longest that anything here may take is what `Cluster::until` waits for; an attempt takes less.
const _: () = assert!(crate::cluster::PATIENCE.as_secs() > Duration::from_secs(29).as_secs());
