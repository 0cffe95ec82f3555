//! The places where two halves can have what decides between them, beside a witness and a disk: an object store and an
//! etcd on the client's machine, and a folder that both nodes have.

use std::path::Path;

use anyhow::{Result, ensure};
use heart_lab::FOLDER;

use crate::{
    cluster::{Cluster, Plan, plan},
    pairs::{joined, one_of_two_goes_on},
};

/// What the servers have written down that were started on the client's machine.
const PUTS: &str = "/tmp/puts";

/// Starts two nodes with this tie-break, and on the client's machine `server`, if there is one.
fn start(plan: Plan, server: Option<&str>) -> Option<Cluster> {
    let cluster = plan.prepare()?;
    if let Some(server) = server {
        let command = format!("exec /run/lab/bin/heart {server} > {PUTS} 2>&1");
        cluster.lab.client().spawn(&["sh", "-c", &command]).unwrap();
    }
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    cluster.settled();
    Some(cluster)
}

/// Two are cut off from each other, and then one of them loses power: each time one goes on, if the tie-break named both.
fn one_goes_on_each_time(cluster: &Cluster, what: &str, stands: impl Fn() -> Result<String>) {
    let names_both = || {
        Cluster::until(&format!("{what} names both"), || {
            let value = stands()?;
            ensure!(value.contains("\"n1\"") && value.contains("\"n2\""), "{value}");
            Ok(())
        });
    };
    names_both();
    one_of_two_goes_on(cluster);
    names_both();
    let owner = cluster.owner();
    let other = cluster.others(&owner).remove(0);
    let cut = cluster.lab.power_cut(&owner).unwrap();
    let outage = cluster.outage(&format!("one of two lost power, {what} decides"), cut);
    assert_eq!(outage.after, other);
    let value = stands().unwrap();
    assert!(!value.contains(&format!("\"{owner}\"")), "{owner} could go on by it, too: {value}");
    cluster.lab.boot(&owner).unwrap();
    joined(cluster, &owner);
    names_both();
    cluster.no_overlap();
}

#[test]
fn with_an_object_store_one_of_two_goes_on() {
    let tie_break = "[tie_break]\nobject = \"http://10.77.0.250:9000/bucket/web\"\n";
    let server = "lab-object-store 10.77.0.250:9000";
    let Some(cluster) = start(plan(2).tables(tie_break), Some(server)) else { return };
    one_goes_on_each_time(&cluster, "an object store", || {
        cluster.lab.client().shell(&format!("tail -n 1 {PUTS}"))
    });
}

#[test]
fn with_an_etcd_one_of_two_goes_on() {
    let tie_break = "[tie_break]\netcd = [\"http://10.77.0.250:2379\"]\nkey = \"heart/web\"\n";
    let server = "lab-etcd 10.77.0.250:2379";
    let Some(cluster) = start(plan(2).tables(tie_break), Some(server)) else { return };
    one_goes_on_each_time(&cluster, "an etcd", || {
        cluster.lab.client().shell(&format!("tail -n 1 {PUTS} | base64 -d"))
    });
}

#[test]
fn with_a_file_in_a_shared_folder_one_of_two_goes_on() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let tie_break = format!("[tie_break]\nfile = \"{FOLDER}/web\"\n");
    let Some(cluster) = start(plan(2).tables(&tie_break).folder(folder.path()), None) else { return };
    one_goes_on_each_time(&cluster, "a file", || value_in(folder.path()));
}

/// What stands in the file with the highest number behind its name.
fn value_in(folder: &Path) -> Result<String> {
    let mut last = (0, String::new());
    for entry in folder.read_dir()? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix("web.")?.parse().ok());
        if let Some(number) = number.filter(|&number: &u64| number > last.0) {
            last = (number, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(last.1)
}
