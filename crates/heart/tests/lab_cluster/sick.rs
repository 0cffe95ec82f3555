//! Machines that are sick, not dead: what they find out about themselves, on a real file system and with a real limit.
//!
//! Every node could be switched off, and is not: what runs on a sick one is moved in order.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use heart_lab::{MachineState, Stamp, Target, milliseconds};

use crate::{
    cluster::{Cluster, PATIENCE, SIGTERM},
    fences::{DISK, prepare_with},
};

/// Where Heart keeps what has to outlast a power cut.
const STATE: &str = "/var/lib/heart";
/// The file system of the state, as each node finds it.
const DEVICE: &str = "/dev/state";
/// Large enough for a file system with a journal.
const VOLUME: u64 = 32 << 20;
/// Until a node is well again that could not start processes: all has to be good for half a minute.
const WELL_WITHIN: Duration = Duration::from_secs(90);
/// Puts everything back, whatever became of whoever made it: waits until that is gone, in a session of its own.
/// Nothing in the lab can end while it waits for a file system that stands still.
const PUT_BACK: &str = r#"read -r _
for mount; do
    fsfreeze -u "$mount"
    umount "$mount"
    losetup -d "/dev/$(cat "$mount.loop")"
done"#;

/// A file system for the state of every node, each on a loop device. They go with this, which has to go before the lab.
struct Volumes {
    put_back: Child,
    folder: tempfile::TempDir,
}

impl Volumes {
    /// Gives every node its own; nothing where there are no loop devices.
    fn give(cluster: &Cluster) -> Result<Volumes> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mounts = cluster.names().into_iter().map(|name| folder.path().join(name));
        // Started first, so that nothing is left behind if one of them cannot be made.
        let put_back = Command::new("setsid")
            .args(["sh", "-c", PUT_BACK, "sh"])
            .args(mounts)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `setsid`")?;
        let volumes = Volumes { put_back, folder };
        for name in cluster.names() {
            let number = volumes.make(&name)?;
            let node = cluster.lab.node(&name);
            node.shell(&format!("mknod {DEVICE} b {number}; mkdir -p {STATE}"))?;
            node.shell(&format!("mount {DEVICE} {STATE}"))?;
        }
        Ok(volumes)
    }

    /// Makes one, and mounts it here, too, so that it can be reached whatever its node does. Its device's number.
    fn make(&self, name: &str) -> Result<String> {
        let mount = self.mount(name);
        fs::create_dir(&mount)?;
        let image = mount.with_extension("image");
        fs::File::create(&image)?.set_len(VOLUME)?;
        run("mkfs.ext4", &["-q".as_ref(), "-e".as_ref(), "remount-ro".as_ref(), image.as_ref()])?;
        let device = run("losetup", &["--find".as_ref(), "--show".as_ref(), image.as_ref()])?;
        let device = device.trim();
        fs::write(mount.with_extension("loop"), device.trim_start_matches("/dev/"))?;
        run("mount", &[device.as_ref(), mount.as_ref()])?;
        Ok(run("stat", &["-c".as_ref(), "%Hr %Lr".as_ref(), device.as_ref()])?.trim().to_owned())
    }

    fn mount(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All that is written there waits from now on.
    fn freeze(&self, name: &str) {
        run("fsfreeze", &["-f".as_ref(), self.mount(name).as_ref()]).unwrap();
    }

    fn thaw(&self, name: &str) {
        run("fsfreeze", &["-u".as_ref(), self.mount(name).as_ref()]).unwrap();
    }

    /// The kernel finds a mistake in it, and lets nobody write from now on. A person could not do that: a file system
    /// in which files are open to be written cannot be mounted read-only.
    fn find_mistake(&self, name: &str) {
        let device = fs::read_to_string(self.mount(name).with_extension("loop")).unwrap();
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a story of the lab").unwrap();
    }

    /// What a person does about a mistake in it, while its node does not use it.
    fn mend(&self, cluster: &Cluster, name: &str) {
        let node = cluster.lab.node(name);
        run("umount", &[self.mount(name).as_ref()]).unwrap();
        node.shell(&format!("umount {STATE}")).unwrap();
        // The kernel may let go of the device a moment later. 1: there were mistakes, and they are mended.
        Cluster::until("it is mended", || node.shell(&format!("e2fsck -fy {DEVICE} || test $? -eq 1")));
        node.shell(&format!("mount {DEVICE} {STATE}")).unwrap();
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        drop(self.put_back.stdin.take());
        self.put_back.wait().ok();
    }
}

/// Runs a program to its end and returns what it wrote.
fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// A cluster of three with devices, in which every node has a file system of its own for its state.
fn on_volumes() -> Option<(Cluster, Volumes)> {
    let cluster = prepare_with(3, DISK)?;
    let volumes = match Volumes::give(&cluster) {
        Ok(volumes) => volumes,
        Err(error) => {
            println!("skipped: no file systems on loop devices here: {error:#}");
            cluster.no_overlap();
            return None;
        }
    };
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    cluster.page.await_up(PATIENCE).unwrap();
    cluster.is_seen_on_the_wire();
    cluster.settled();
    Some((cluster, volumes))
}

/// The node says that it is sick, in these words; all that runs there is moved in order, and it is not switched off.
fn hands_over(cluster: &Cluster, sick: &str, words: &str, since: Stamp) {
    let asked = cluster.others(sick).remove(0);
    let said = Cluster::until("it is told", || {
        let said = cluster.lab.node(&asked).shell("heart status 2>&1")?;
        ensure!(said.contains(&format!("{sick} is sick, {words}")), "{said}");
        Ok(said)
    });
    println!("told after at most {}:\n{said}", milliseconds(Stamp::now().since(since)));
    let (from, to) = cluster.handed_over(words, since);
    assert_eq!(from, sick);
    Cluster::until("nothing is left there", || {
        let view = cluster.view_of(&asked)?;
        for (name, one) in &view.resources {
            let elsewhere = one.node.as_ref().is_some_and(|node| node != sick);
            ensure!(elsewhere && one.state == "running", "{name} is {} on {:?}", one.state, one.node);
        }
        ensure!(view.nodes[sick].state == "sick", "{sick} is {}", view.nodes[sick].state);
        Ok(())
    });
    println!("all is elsewhere after at most {}", milliseconds(Stamp::now().since(since)));
    assert_eq!(cluster.is_seen_on_the_wire(), to);
    cluster.page.await_up(PATIENCE).unwrap();
    nobody_was_switched_off(cluster);
}

fn nobody_was_switched_off(cluster: &Cluster) {
    for machine in cluster.lab.status().unwrap().machines {
        assert_eq!(machine.state, MachineState::Up, "{}", machine.name);
    }
    for name in cluster.names() {
        let log = cluster.log(&name);
        assert!(!log.contains("switching it off"), "{log}");
    }
}

fn is_well_again(cluster: &Cluster, node: &str, words: &str) {
    Cluster::until_within(WELL_WITHIN, "it is well again", || {
        let log = cluster.log(node);
        ensure!(log.contains(&format!("this node is well again: {words} no longer")), "{log}");
        Ok(())
    });
}

/// A disk that takes nothing and refuses nothing: whoever writes waits, and what looks at how long that takes does not.
#[test]
fn a_node_whose_state_stands_still_hands_over_in_order_and_is_well_again() {
    let Some((cluster, volumes)) = on_volumes() else { return };
    let owner = cluster.owner();
    let frozen = Stamp::now();
    volumes.freeze(&owner);
    hands_over(&cluster, &owner, "its disk has stalled", frozen);
    let log = cluster.log(&owner);
    assert!(log.contains(&format!("a write in {STATE} has taken ")), "{log}");
    volumes.thaw(&owner);
    let before = cluster.mark();
    is_well_again(&cluster, &owner, "its disk has stalled");
    cluster.settled();
    cluster.nothing_happened(&before);
    nobody_was_switched_off(&cluster);
    cluster.no_overlap();
}

/// The kernel has found a mistake in the file system of the state, and lets nobody write: nothing hangs, and a look at how
/// it is mounted may show nothing.
#[test]
fn a_node_whose_state_can_only_be_read_hands_over_in_order_and_is_mended() {
    let Some((cluster, volumes)) = on_volumes() else { return };
    let owner = cluster.owner();
    let broken = Stamp::now();
    volumes.find_mistake(&owner);
    hands_over(&cluster, &owner, "its disk can only be read", broken);
    // It cannot be mended while it is used. Nothing runs here any more that an end of all of Heart could hurt.
    let before = cluster.mark_without(&owner);
    let node = cluster.lab.node(&owner);
    node.signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    Cluster::until("it has stopped", || {
        let left = cluster.processes(&owner);
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    });
    volumes.mend(&cluster, &owner);
    cluster.start_daemon(&owner);
    Cluster::until("it takes part again", || {
        let view = cluster.view()?;
        ensure!(view.nodes[&owner].state == "online", "{}", view.nodes[&owner].state);
        Ok(())
    });
    cluster.nothing_happened(&before);
    nobody_was_switched_off(&cluster);
    cluster.no_overlap();
}

/// Makes a control group for the daemon of a node, which says how many processes there may be. Which of the two kinds of
/// groups has that limit is up to the machine. In the newer one a group that has groups with limits may have no
/// processes itself. The lab takes both away again.
const MAKE_GROUP: &str = r#"set -e
cd /sys/fs/cgroup
if grep -qw pids cgroup.controllers; then
    mkdir rest; for process in $(cat cgroup.procs); do echo $process > rest/cgroup.procs || true; done
    echo +pids > cgroup.subtree_control; group=$PWD/daemon
else
    mkdir /run/pids; mount -t cgroup -o pids none /run/pids; group=/run/pids/heart-lab-LAB/NODE
fi
mkdir -p $group; ln -s $group /run/group; test -e /run/group/pids.max"#;
const START_IN_GROUP: &str = "echo $$ > /run/group/cgroup.procs; \
                              exec heart daemon --config /etc/heart/heart.toml >> /var/log/heart.log 2>&1";

/// A cluster of three with devices, of which each node may have only so many processes as somebody says.
fn in_groups() -> Option<Cluster> {
    let cluster = prepare_with(3, DISK)?;
    for name in cluster.names() {
        let script = MAKE_GROUP.replace("LAB", cluster.lab.name()).replace("NODE", &name);
        if let Err(error) = cluster.lab.node(&name).shell(&script) {
            println!("skipped: no control groups with a limit of processes here: {error:#}");
            cluster.no_overlap();
            return None;
        }
    }
    for name in cluster.names() {
        cluster.lab.node(&name).spawn(&["sh", "-c", START_IN_GROUP]).unwrap();
    }
    cluster.page.await_up(PATIENCE).unwrap();
    cluster.is_seen_on_the_wire();
    cluster.settled();
    Some(cluster)
}

/// There is room for what the executor needs, and none for the service itself: its keeper is refused it.
#[test]
fn a_service_for_which_there_is_no_process_makes_its_node_sick() {
    let Some(cluster) = in_groups() else { return };
    let owner = cluster.owner();
    let node = cluster.lab.node(&owner);
    // What is killed leaves room for three, less one: a thread of the executor and a keeper, and what that makes is refused.
    node.shell("echo $(($(cat /run/group/pids.current) - 1)) > /run/group/pids.max").unwrap();
    let full = Stamp::now();
    node.shell("pkill -KILL -f '[l]ab-http 80'").unwrap();
    hands_over(&cluster, &owner, "it cannot start processes", full);
    cluster.no_overlap();
}

/// No process and no thread may be made any more. That is found out when one is needed: what runs there dies, and is not
/// started again in place but elsewhere. What runs on is stopped in order, which needs a thread as well.
#[test]
fn a_node_that_may_make_no_more_processes_hands_over_in_order_and_is_well_again() {
    let Some(cluster) = in_groups() else { return };
    let owner = cluster.owner();
    let node = cluster.lab.node(&owner);
    node.shell("echo 1 > /run/group/pids.max").unwrap();
    let full = Stamp::now();
    node.shell("pkill -KILL -f '[l]ab-http 80'").unwrap();
    hands_over(&cluster, &owner, "it cannot start processes", full);
    node.shell("echo max > /run/group/pids.max").unwrap();
    let before = cluster.mark();
    is_well_again(&cluster, &owner, "it cannot start processes");
    cluster.settled();
    cluster.nothing_happened(&before);
    nobody_was_switched_off(&cluster);
    cluster.no_overlap();
}
