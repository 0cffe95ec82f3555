//! A stranger floods the port of the heartbeats: what it costs, and that nothing comes of it.

use std::time::Duration;

use anyhow::ensure;
use heart_node::core::RefusedView;

use crate::cluster::{Cluster, pass, plan};

/// How long each kind is sent.
const FLOOD: Duration = Duration::from_secs(3);
/// The most that the core may need meanwhile, in per cent of one CPU.
const CPU_MAX: f64 = 30.0;
const STRANGER: &str = "10.77.0.250";
/// Prints a heartbeat from one address to another, in hexadecimal, as the switch sees it.
const RECORD: &str = r#"
import socket, sys
wanted = socket.inet_aton(sys.argv[1]) + socket.inet_aton(sys.argv[2])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.settimeout(5)
while True:
    frame = s.recv(2048)
    # IPv4, UDP to port 694, and a frame that carries a beat (kind 1).
    if frame[12:14] == b'\x08\x00' and frame[26:34] == wanted and frame[36:38] == b'\x02\xb6' and frame[47] == 1:
        print(frame[42:].hex()); break
"#;
/// Nanoseconds that all threads of the core have run.
const CORE_TIME: &str = "for p in /proc/[0-9]*; do [ \"$(cat $p/comm 2>/dev/null)\" = heart-core ] && \
                         cat $p/task/*/schedstat; done | awk '{ sum += $1 } END { printf \"%.0f\", sum }'";

/// What one flood came to.
struct Cost {
    sent: u64,
    /// Of a core's time, by the process and by the kernel on behalf of all.
    cpu: f64,
    softirq: f64,
    refused: RefusedView,
}

/// Nanoseconds that this machine spent on the network for all, by its own account.
fn softirq() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks = stat.lines().next().and_then(|line| line.split_whitespace().nth(7)).unwrap();
    // A tick is a hundredth of a second on every kernel there is.
    ticks.parse::<f64>().unwrap() * 1e7
}

fn flood(cluster: &Cluster, node: &str, (kind, rate): (&str, &str), from: &str, frame: &str) -> Cost {
    let to = format!("10.77.0.{}", &node[1..]);
    let time = FLOOD.as_millis().to_string();
    let core = || cluster.lab.node(node).shell(CORE_TIME).unwrap().trim().parse::<f64>().unwrap();
    let refused = || Cluster::until("it says what it refused", || Ok(cluster.view_of(node)?.refused));
    let before = refused();
    let (cpu, kernel) = (core(), softirq());
    let words = ["heart", "lab-flood", kind, from, &to, "694", &time, rate, frame];
    let sent = cluster.lab.client().exec(&words).unwrap();
    let (cpu, kernel) = (core() - cpu, softirq() - kernel);
    assert!(sent.exit.is_success(), "{}", sent.stderr);
    // What the kernel dropped is looked at once a second.
    pass(Duration::from_millis(1200));
    let share = |nanoseconds: f64| nanoseconds / FLOOD.as_nanos() as f64 * 100.0;
    Cost {
        sent: sent.stdout.trim().parse().unwrap(),
        cpu: share(cpu),
        softirq: share(kernel),
        refused: since(&before, refused()),
    }
}

fn since(before: &RefusedView, mut after: RefusedView) -> RefusedView {
    after.by_kernel -= before.by_kernel;
    after.not_a_frame -= before.not_a_frame;
    after.too_long -= before.too_long;
    after.other_cluster -= before.other_cluster;
    after.unknown -= before.unknown;
    after.stranger -= before.stranger;
    after.own -= before.own;
    after.replayed -= before.replayed;
    after.copies -= before.copies;
    after.forged -= before.forged;
    after.old_boot -= before.old_boot;
    after
}

/// All kinds of datagrams as fast as one process can send them, under the stranger's own address and
/// under that of a node.
#[test]
fn a_flood_of_any_kind_costs_little_and_changes_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    let node = cluster.owner();
    let other = cluster.others(&node).remove(0);
    let address = |name: &str| format!("10.77.0.{}", &name[1..]);
    let recorded = cluster.lab.node("switch").exec(&[
        "/usr/bin/python3",
        "-c",
        RECORD,
        &address(&other),
        &address(&node),
    ]);
    let frame = match recorded {
        Ok(output) => output.stdout.trim().to_owned(),
        Err(error) => {
            println!("skipped: no /usr/bin/python3 here: {error:#}");
            cluster.no_overlap();
            return;
        }
    };
    assert!(frame.len() > 100, "nothing was recorded: {frame}");
    let before = cluster.mark();
    let term = cluster.view().unwrap().term;
    println!("{:<8} {:<12} {:>9} {:>7} {:>8}  refused", "kind", "from", "sent/s", "core", "softirq");
    let fast = ["noise", "magic", "header", "boot", "counter", "replay", "flipped"].map(|kind| (kind, "0"));
    // A flood that trickles in wakes whoever waits for every single datagram.
    let slow = ["40000", "10000"].into_iter().flat_map(|rate| [("boot", rate), ("replay", rate)]);
    for (kind, rate) in fast.into_iter().chain(slow) {
        for from in [STRANGER, &address(&other)] {
            let cost = flood(&cluster, &node, (kind, rate), from, &frame);
            let per_second = cost.sent as f64 / FLOOD.as_secs_f64();
            let r = &cost.refused;
            let counted = r.by_kernel + r.unknown + r.replayed + r.copies + r.forged + r.old_boot;
            println!(
                "{kind:<8} {from:<12} {per_second:>9.0} {:>6.1}% {:>7.1}%  kernel {}, replayed {}, forged {}, {} in all",
                cost.cpu, cost.softirq, r.by_kernel, r.replayed, r.forged, counted
            );
            assert!(cost.cpu < CPU_MAX, "{kind} from {from}: {:.1} % of a core", cost.cpu);
            // What is still on its way when the flood ends is the only thing not counted.
            assert!(counted * 10 >= cost.sent * 9, "{counted} of {} were counted", cost.sent);
            if from == STRANGER {
                assert_eq!((r.replayed, r.forged, r.unknown), (0, 0, 0), "the kernel refused all");
            }
        }
    }
    cluster.nothing_happened(&before);
    assert_eq!(cluster.view().unwrap().term, term, "there was an election");
    let problems = Cluster::until("it is told", || {
        let problems = cluster.view_of(&node)?.problems;
        ensure!(problems.iter().any(|problem| problem.contains("floods the port")), "{problems:?}");
        Ok(problems)
    });
    println!("{node} says: {problems:#?}");
    cluster.lab.node(&node).shell("heart status").map(|text| println!("{text}")).unwrap();
    cluster.no_overlap();
}
