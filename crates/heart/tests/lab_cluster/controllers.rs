//! Nodes that are switched off by their management controllers, with the unmodified `fence_ipmilan` of Debian's
//! fence-agents. What it talks to is OpenIPMI's `ipmi_sim`, one for each node, on the client's machine: real
//! sessions, real passwords. Behind it stands a node of the lab, which loses its power by it; or does not.

use std::{
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use heart_lab::{Exit, Lab, Stamp, Target, milliseconds};
use heart_model::NodeName;
use heart_node::core::Request;

use crate::{
    cluster::{Cluster, PATIENCE, QUIET, SIGKILL, pass, plan},
    fences::{DISK, await_disk, starts},
    pairs::joined,
};

/// What has to be installed.
const NEEDS: [&str; 3] = ["/usr/sbin/fence_ipmilan", "/usr/bin/ipmitool", "/usr/bin/ipmi_sim"];
/// Where the controllers keep what they know; a directory for each node.
const HOME: &str = "/tmp/controllers";
const ADDRESS: &str = "10.77.0.250";
const PASSWORD: &str = "open-sesame";
/// What a controller asks of the machine that it is in: `get power`, `set power 0`.
const CHASSIS: &str = r#"#!/bin/sh
cd "/tmp/controllers/$1" || exit 1
case "$2 $3" in
"get power") echo "power:$(cat power)";;
"set power")
    case $(cat mode) in
    obeys) echo "$1" > ../orders;;
    boasts) echo 0 > power;;
    ignores) :;;
    esac;;
*) :;;
esac
"#;
/// How long a slow one takes: less than the device's time, and longer than three times `lost_after`.
const SLOW: Duration = Duration::from_secs(4);
/// How long somebody stands behind the controllers: longer than any test.
const SITS: Duration = Duration::from_secs(240);
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

/// A cluster with a controller in each node.
struct Fenced {
    cluster: Cluster,
    /// For each node that lost its power by its controller, how often `disk` had been started before.
    cuts: Receiver<usize>,
}

/// Whether what these tests need is there; it may not be missing where nothing may be skipped.
fn is_installed() -> bool {
    let missing: Vec<&&str> = NEEDS.iter().filter(|program| !Path::new(program).exists()).collect();
    if missing.is_empty() {
        return true;
    }
    let hint = "apt-get install fence-agents ipmitool openipmi";
    assert!(std::env::var_os("HEART_LAB_REQUIRED").is_none(), "not installed: {missing:?}; {hint}");
    eprintln!("skipped: not installed: {missing:?}; {hint}");
    false
}

/// Stands behind the controllers until the lab ends: takes the power of whom they are told to switch off, after so
/// long.
fn stand_behind(cluster: &Cluster, takes: Duration, cuts: Sender<usize>) {
    let names = cluster.names();
    let lab = Lab::attach(cluster.lab.name()).unwrap();
    thread::spawn(move || {
        let next = || {
            let order = lab.client().spawn(&["cat", &format!("{HOME}/orders")]).ok()?.output(SITS).ok()?;
            order.exit.is_success().then_some(order.stdout.trim().to_owned())
        };
        while let Some(node) = next() {
            pass(takes);
            let count = |name: &String| {
                lab.node(name)
                    .shell("cat /var/log/disk-starts 2>/dev/null || true")
                    .map_or(0, |text| text.lines().count())
            };
            let started = names.iter().map(count).sum();
            // That it is off already is no mistake.
            if lab.power_cut(&node).is_ok() && cuts.send(started).is_err() {
                return;
            }
            lab.client().write(&format!("{HOME}/{node}/power"), "0\n").unwrap();
        }
    });
}

impl Fenced {
    /// Three nodes where `disk` runs; an attempt to switch one off may take so many seconds.
    fn start(timeout: u64, takes: Duration, password: &str) -> Option<Fenced> {
        if !is_installed() {
            return None;
        }
        let mut plan = plan(3).tables(DISK);
        for number in 1..=3 {
            plan = plan.of_node(
                number,
                &format!(
                    "fence = {{ agent = \"fence_ipmilan\", ip = \"{ADDRESS}\", ipport = 960{number}, lanplus = 1, \
                     cipher = 3, username = \"ha\", password_file = \"/etc/heart/bmc\", timeout = \"{timeout}s\" }}\n"
                ),
            );
        }
        let cluster = plan.prepare()?;
        let client = cluster.lab.client();
        client.shell(&format!("mkdir -p {HOME}; mkfifo {HOME}/orders; : > {HOME}/chassis")).unwrap();
        client.shell(&format!("chmod 755 {HOME}/chassis")).unwrap();
        client.write(&format!("{HOME}/chassis"), CHASSIS).unwrap();
        let (tell, cuts) = channel();
        stand_behind(&cluster, takes, tell);
        let fenced = Fenced { cluster, cuts };
        for (at, name) in fenced.cluster.names().iter().enumerate() {
            fenced.build_controller(at + 1, name);
            fenced.set_password(name, password);
            fenced.cluster.start_daemon(name);
        }
        await_disk(&fenced.cluster, "");
        fenced.cluster.settled();
        Some(fenced)
    }

    fn build_controller(&self, number: usize, name: &str) {
        let client = self.cluster.lab.client();
        let wide = format!(
            "name \"{name}\"\nset_working_mc 0x20\n startlan 1\n  addr {ADDRESS} 960{number}\n  priv_limit admin\n  \
             allowed_auths_admin none md2 md5 straight\n  guid 0123456789abcdef0123456789abcd0{number}\n endlan\n \
             chassis_control \"{HOME}/chassis {name}\"\n startnow false\n user 2 true \"ha\" \"{PASSWORD}\" admin 10 \
             none md2 md5 straight\n"
        );
        let within = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
                      mc_enable 0x20\n";
        for (file, text) in
            [("lan", wide.as_str()), ("emulator", within), ("power", "1\n"), ("mode", "obeys\n")]
        {
            client.write(&format!("{HOME}/{name}/{file}"), text).unwrap();
        }
        self.plug_in(name);
    }

    /// Starts a controller, and waits until it listens.
    fn plug_in(&self, name: &str) {
        let client = self.cluster.lab.client();
        let command =
            format!("cd {HOME}/{name}; exec ipmi_sim -n -c lan -f emulator -s state > said 2>&1 < /dev/null");
        client.spawn(&["sh", "-c", &command]).unwrap();
        let port = format!("{:04X}", 9600 + name.trim_start_matches('n').parse::<u16>().unwrap());
        Cluster::until("the controller listens", || {
            let sockets = client.read("/proc/net/udp")?;
            ensure!(sockets.contains(&format!(":{port} ")), "{sockets}");
            Ok(())
        });
    }

    fn set_password(&self, name: &str, password: &str) {
        let node = self.cluster.lab.node(name);
        node.shell("umask 077; mkdir -p /etc/heart; : > /etc/heart/bmc").unwrap();
        node.write("/etc/heart/bmc", &format!("{password}\n")).unwrap();
    }

    fn set_mode(&self, name: &str, mode: &str) {
        self.cluster.lab.client().write(&format!("{HOME}/{name}/mode"), &format!("{mode}\n")).unwrap();
    }

    /// Sends a signal to the controller of a node.
    fn signal(&self, name: &str, signal: i32) {
        let client = self.cluster.lab.client();
        let find = format!(
            "grep -l '^name \"{name}\"' /proc/[0-9]*/cwd/lan | cut -d/ -f3 | while read -r p; do \
             grep -qx ipmi_sim /proc/$p/comm && echo $p; done; true"
        );
        let text = client.shell(&find).unwrap();
        let pid =
            text.lines().next().unwrap_or_else(|| panic!("no controller of {name} runs")).parse().unwrap();
        client.signal(Target::Pid(pid), signal).unwrap();
    }

    /// Cuts off the node where `disk` runs: returns it, and the others.
    fn cut_off(&self) -> (String, Vec<String>, Stamp) {
        let first = await_disk(&self.cluster, "");
        let others = self.cluster.others(&first);
        let rest: Vec<&str> = others.iter().map(String::as_str).collect();
        let at = self.cluster.lab.partition(&[&[&first], &rest]).unwrap();
        (first, others, at)
    }

    /// What a command says on a node, whatever its exit code.
    fn heart(&self, node: &str, words: &[&str]) -> (Exit, String) {
        let output =
            self.cluster.lab.node(node).exec(&[&["timeout", "30", "heart"], words].concat()).unwrap();
        (output.exit, format!("{}{}", output.stdout, output.stderr))
    }

    /// Waits until a command says this.
    fn says(&self, node: &str, words: &[&str], what: &str) -> String {
        Cluster::until(&format!("{words:?} says `{what}`"), || {
            let (_, said) = self.heart(node, words);
            ensure!(said.contains(what), "{said}");
            Ok(said)
        })
    }

    /// Nobody has started what the cut off one may still run, which still has power.
    fn nothing_moved(&self, first: &str) -> Result<()> {
        ensure!(starts(&self.cluster) == 1, "{} starts", starts(&self.cluster));
        ensure!(self.cuts.try_recv().is_err(), "{first} lost its power");
        Ok(())
    }
}

#[test]
fn a_controller_that_obeys_is_the_proof_by_which_everything_moves() {
    let Some(fenced) = Fenced::start(10, Duration::ZERO, PASSWORD) else { return };
    let (exit, said) = fenced.heart("n1", &["fence", "--test"]);
    assert!(exit.is_success() && said.matches("fence_ipmilan").count() == 2, "{said}");
    let (first, others, cut) = fenced.cut_off();
    let second = await_disk(&fenced.cluster, &first);
    println!(
        "fence_ipmilan, read back: the disk was elsewhere after {}",
        milliseconds(Stamp::now().since(cut))
    );
    assert_eq!(fenced.cuts.recv_timeout(PATIENCE), Ok(1), "its power went before the disk was started again");
    fenced.says(&second, &["status"], "fenced");
    fenced.says(&second, &["log"], &format!("{first} is proven off"));
    let (exit, said) = fenced.heart(&others[0], &["fence", &first]);
    assert!(!exit.is_success() && said.contains("is off already"), "{said}");
    fenced.cluster.lab.heal().unwrap();
    fenced.cluster.lab.boot(&first).unwrap();
    joined(&fenced.cluster, &first);
    assert_eq!(starts(&fenced.cluster), 2, "once here and once there");
    fenced.cluster.no_overlap();
}

#[test]
fn a_controller_that_is_slow_is_waited_for() {
    let Some(fenced) = Fenced::start(15, SLOW, PASSWORD) else { return };
    let (first, others, cut) = fenced.cut_off();
    fenced.says(&others[0], &["status"], &format!("switches {first} off, attempt 1"));
    fenced.nothing_moved(&first).unwrap();
    await_disk(&fenced.cluster, &first);
    let after = Stamp::now().since(cut);
    assert_eq!(fenced.cuts.recv_timeout(PATIENCE), Ok(1), "its power went before the disk was started again");
    println!("a controller that takes {SLOW:?}: the disk was elsewhere after {}", milliseconds(after));
    let (_, log) = fenced.heart(&others[0], &["log"]);
    assert!(after > SLOW && !log.contains("proved nothing"), "{log}");
    fenced.cluster.no_overlap();
}

/// A controller that is of no use, until somebody mends it: nothing moves before that.
fn check(
    timeout: u64,
    password: &str,
    words: &str,
    spoil: impl Fn(&Fenced, &str),
    mend: impl Fn(&Fenced, &str),
) {
    let Some(fenced) = Fenced::start(timeout, Duration::ZERO, password) else { return };
    let first = await_disk(&fenced.cluster, "");
    spoil(&fenced, &first);
    let (first, others, _) = fenced.cut_off();
    let status = fenced.says(&others[0], &["status"], &format!("`heart confirm-off {first}`"));
    assert!(status.contains(words), "{status}");
    fenced.says(&others[0], &["log"], &format!("attempt 3 to switch {first} off proved nothing"));
    let (_, why) = fenced.heart(&others[0], &["why", "disk"]);
    assert!(why.contains(&first), "{why}");
    pass(QUIET);
    fenced.nothing_moved(&first).unwrap();
    mend(&fenced, &first);
    let (exit, said) = fenced.heart(&others[0], &["fence", &first]);
    assert!(exit.is_success(), "{said}");
    await_disk(&fenced.cluster, &first);
    assert_eq!(fenced.cuts.recv_timeout(PATIENCE), Ok(1), "its power went before the disk was started again");
    fenced.cluster.no_overlap();
}

#[test]
fn a_controller_that_says_done_and_does_nothing_proves_nothing() {
    let (spoil, mend) = (
        |f: &Fenced, node: &str| f.set_mode(node, "ignores"),
        |f: &Fenced, node: &str| f.set_mode(node, "obeys"),
    );
    // It waits for the outlet itself, for longer than it is given here.
    check(4, PASSWORD, "gave no answer within its 4s", spoil, mend);
}

#[test]
fn a_controller_that_does_not_let_us_in_proves_nothing() {
    let spoil = |f: &Fenced, node: &str| {
        // Found before it is needed.
        let me = f.cluster.others(node).remove(0);
        let (exit, said) = f.heart(&me, &["fence", "--test", node]);
        assert!(!exit.is_success() && said.contains("could not switch"), "{said}");
        assert!(!said.contains("sesame"), "a password is repeated: {said}");
    };
    let mend = |f: &Fenced, node: &str| {
        f.cluster.others(node).iter().for_each(|name| f.set_password(name, PASSWORD));
    };
    check(10, "shut-sesame", "fence_ipmilan was told to switch", spoil, mend);
}

#[test]
fn a_controller_that_is_dead_proves_nothing() {
    let spoil = |f: &Fenced, node: &str| f.signal(node, SIGKILL);
    let mend = |f: &Fenced, node: &str| f.plug_in(node);
    check(4, PASSWORD, "fence_ipmilan was told to switch", spoil, mend);
}

#[test]
fn a_controller_that_takes_what_it_is_told_and_never_answers_proves_nothing() {
    let spoil = |f: &Fenced, node: &str| f.signal(node, SIGSTOP);
    let mend = |f: &Fenced, node: &str| f.signal(node, SIGCONT);
    check(4, PASSWORD, "gave no answer within its 4s", spoil, mend);
}

/// The one lie that nobody can find out in time: *off* is read back, of a machine that runs and is not heard.
#[test]
fn a_controller_that_shows_off_what_runs_is_found_out_when_that_is_heard() {
    let Some(fenced) = Fenced::start(10, Duration::ZERO, PASSWORD) else { return };
    let first = await_disk(&fenced.cluster, "");
    fenced.set_mode(&first, "boasts");
    let (first, others, _) = fenced.cut_off();
    await_disk(&fenced.cluster, &first);
    assert!(fenced.cuts.try_recv().is_err(), "{first} has power");
    fenced.cluster.lab.heal().unwrap();
    fenced.says(&others[0], &["status"], "does not tell the truth");
    let view = fenced.cluster.view_of(&others[0]).unwrap();
    assert_ne!(view.nodes[&first].state, "online", "it is not taken in before it is booted anew");
    Cluster::until("it has let go of everything", || {
        let left = fenced.cluster.lab.node(&first).shell("pgrep -fx '[s]leep infinity' || true")?;
        ensure!(left.is_empty(), "it still runs");
        Ok(())
    });
    let node = NodeName::new(&first).unwrap();
    let asked = fenced
        .cluster
        .ask(&others[0], &Request::Fence { node, who: "root".into(), anyway: false, reboot: false })
        .unwrap();
    assert!(format!("{asked:?}").contains("is heard"), "{asked:?}");
    fenced.cluster.lab.power_cut(&first).unwrap();
    fenced.cluster.lab.boot(&first).unwrap();
    joined(&fenced.cluster, &first);
    fenced.cluster.no_overlap();
}
