//! Daemons whose log nobody reads: a journal that stands still, a terminal that somebody has paused.

use anyhow::ensure;
use heart_lab::Target;

use crate::cluster::{Cluster, QUIET, SIGKILL, SIGTERM, pass, plan};

/// Starts a daemon whose standard error is a pipe that is full, and that somebody holds who does not read.
const START: &str = "mkfifo /var/log/unread; sleep infinity < /var/log/unread & exec 2> /var/log/unread; \
                     timeout 0.2 cat /dev/zero >&2; exec heart daemon --config /etc/heart/heart.toml";
/// Reads what has been written until now.
const READ: &str = "timeout 0.5 cat /var/log/unread | tr -d '\\000'; true";

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let Some(cluster) = plan(3).prepare() else { return };
    for name in cluster.names() {
        cluster.lab.node(&name).spawn(&["sh", "-c", START]).unwrap();
    }
    let owner = cluster.owner();
    cluster.is_seen_on_the_wire();
    let before = cluster.mark();
    for name in cluster.names() {
        cluster.lab.node(&name).signal(Target::Name("heart-core".into()), SIGKILL).unwrap();
    }
    pass(QUIET);
    cluster.nothing_moved(&before);
    let node = cluster.lab.node(&owner);
    node.shell(READ).unwrap();
    node.signal(Target::Name("heart-gateway".into()), SIGKILL).unwrap();
    let mut heard = String::new();
    Cluster::until("it is said what is missing", || {
        heard += &node.shell(READ)?;
        ensure!(heard.contains(" missing here: nobody read the log in time\n"), "{heard}");
        ensure!(heard.contains("the gateway (process"), "{heard}");
        Ok(())
    });
    let other = cluster.others(&owner).remove(0);
    cluster.lab.node(&other).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    Cluster::until("it has stopped", || {
        let left = cluster.processes(&other);
        ensure!(left.is_empty(), "{left:?} still run");
        Ok(())
    });
    cluster.no_overlap();
}
