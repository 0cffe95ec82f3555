//! Links that fail, lose frames, are of other kinds, and strangers on them.

use std::time::Duration;

use anyhow::ensure;
use heart_lab::{CLIENT, Target};

use crate::cluster::{Cluster, PATIENCE, QUIET, SIGTERM, pass, plan};

#[test]
fn a_link_that_is_down_is_reported_and_not_acted_upon() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let others = cluster.others(&owner);
    // Not the network of the client: there the address itself would be cut off.
    cluster.lab.link_down(&others[0], 1).unwrap();
    let before = cluster.mark();
    let problems = Cluster::until("it is reported", || {
        let view = cluster.view_of(&owner)?;
        let wanted = format!("{} is not heard over link 1", others[0]);
        ensure!(view.problems.contains(&wanted), "{:?}", view.problems);
        Ok(view.problems)
    });
    println!("{problems:?}");
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.lab.link_up(&others[0], 1).unwrap();
    Cluster::until("it is well again", || {
        let view = cluster.view_of(&owner)?;
        ensure!(view.problems.is_empty(), "{:?}", view.problems);
        Ok(())
    });
    // The owner's, too.
    cluster.lab.link_down(&owner, 1).unwrap();
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.lab.link_up(&owner, 1).unwrap();
    cluster.settled();
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn a_network_that_is_cut_for_everybody_is_replaced_by_the_other() {
    let Some(cluster) = plan(3).start() else { return };
    let before = cluster.mark();
    let names = cluster.names();
    let sides: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    let sides: Vec<&[&str]> = sides.iter().map(Vec::as_slice).collect();
    cluster.lab.partition_on(&sides, 0).unwrap();
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.lab.heal().unwrap();
    cluster.settled();
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

#[test]
fn a_fifth_of_all_frames_lost_is_no_reason_to_move() {
    let Some(cluster) = plan(3).start() else { return };
    let names = cluster.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.lab.lose(&names, &names, None, 20).unwrap();
    let before = cluster.mark();
    pass(QUIET * 5);
    cluster.nothing_happened(&before);
    cluster.lab.heal().unwrap();
    cluster.settled();
    cluster.no_overlap();
}

/// The links of a configuration carry a failover as the others do.
fn survives_a_power_cut(tables: &str, links: usize) {
    let Some(cluster) = plan(3).links(links).tables(tables).start() else { return };
    let owner = cluster.owner();
    let heard = cluster.heard_by(&owner).unwrap();
    println!("{owner} hears {heard:?}");
    assert_eq!(heard.len(), 2);
    let cut = cluster.lab.power_cut(&owner).unwrap();
    cluster.outage("power cut", cut);
    cluster.lab.boot(&owner).unwrap();
    cluster.settled();
    cluster.no_overlap();
}

#[test]
fn a_multicast_link_beside_one_network() {
    survives_a_power_cut(
        "[link.all]\nkind = \"multicast\"\naddress = \"239.1.2.3\"\ninterface = \"eth1\"\n",
        1,
    );
}

#[test]
fn an_ipv6_multicast_link_beside_one_network() {
    survives_a_power_cut(
        "[link.all]\nkind = \"multicast\"\naddress = \"[ff02::694]:695\"\ninterface = \"eth1\"\n",
        1,
    );
}

#[test]
fn a_broadcast_link_beside_one_network() {
    survives_a_power_cut(
        "[link.all]\nkind = \"broadcast\"\naddress = \"10.78.0.255\"\ninterface = \"eth1\"\n",
        1,
    );
}

/// The unicast links are gone; what carries the cluster is the link that reaches all at once.
fn carries_alone(tables: &str) {
    let Some(cluster) = plan(3).links(1).tables(tables).start() else { return };
    let before = cluster.mark();
    let names = cluster.names();
    let sides: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    let sides: Vec<&[&str]> = sides.iter().map(Vec::as_slice).collect();
    cluster.lab.partition_on(&sides, 0).unwrap();
    pass(QUIET);
    cluster.nothing_happened(&before);
    cluster.lab.heal().unwrap();
    cluster.settled();
    cluster.no_overlap();
}

#[test]
fn a_multicast_link_carries_the_cluster_alone() {
    carries_alone("[link.all]\nkind = \"multicast\"\naddress = \"239.1.2.3\"\ninterface = \"eth1\"\n");
}

#[test]
fn a_broadcast_link_carries_the_cluster_alone() {
    carries_alone("[link.all]\nkind = \"broadcast\"\naddress = \"10.78.0.255\"\ninterface = \"eth1\"\n");
}

#[test]
fn an_ipv6_address_moves_with_its_service() {
    let Some(cluster) = plan(3).on_ipv6().start() else { return };
    let owner = cluster.owner();
    assert_eq!(cluster.is_seen_on_the_wire(), owner);
    let cut = cluster.lab.power_cut(&owner).unwrap();
    let outage = cluster.outage("power cut, IPv6", cut);
    assert_ne!(outage.after, owner);
    cluster.page.await_outage(cut, PATIENCE).unwrap();
    assert_eq!(cluster.is_seen_on_the_wire(), outage.after, "who answers its clients answers the watch");
    cluster.lab.boot(&owner).unwrap();
    cluster.settled();
    let others = cluster.names();
    let owner = cluster.owner();
    let rest: Vec<&str> =
        others.iter().map(String::as_str).filter(|name| *name != owner).chain([CLIENT]).collect();
    let cut = cluster.lab.partition(&[&[&owner], &rest]).unwrap();
    let outage = cluster.outage("cut off with the owner, IPv6", cut);
    // The watch would hear the one that is cut off, too.
    assert_eq!(cluster.is_seen_on_the_wire(), outage.after);
    cluster.lab.heal().unwrap();
    cluster.settled();
    assert_eq!(cluster.is_seen_on_the_wire(), cluster.owner());
    cluster.no_overlap();
}

/// A node with another key is no member: it is refused, and the others go on without it.
#[test]
fn a_node_with_a_wrong_key_is_left_out() {
    let Some(cluster) = plan(3).prepare() else { return };
    cluster.configure("n3", &cluster.configuration(), &"6".repeat(32));
    cluster.names().iter().for_each(|name| cluster.start_daemon(name));
    // A stranger might have run the cluster already: a person has to say that it did not.
    let node = cluster.lab.node("n1");
    let said = Cluster::until("it is said who is missing", || {
        let said = node.shell("heart status 2>&1")?;
        ensure!(said.contains("waits for n3"), "{said}");
        Ok(said)
    });
    println!("before the beginning:\n{said}");
    Cluster::until("it begins without n3", || node.shell("heart found --without n3 --yes 2>&1"));
    cluster.page.await_up(PATIENCE).unwrap();
    let view = Cluster::until("the two others run everything", || {
        let view = cluster.view_of("n1")?;
        ensure!(view.resources.values().all(|one| one.state == "running"), "{:?}", view.problems);
        ensure!(matches!(view.nodes["n3"].state.as_str(), "absent" | "lost"), "{}", view.nodes["n3"].state);
        Ok(view)
    });
    println!("n1 says: {:?}", view.problems);
    println!("n3 says: {:?}", cluster.view_of("n3").unwrap().problems);
    let before = cluster.mark_without("n3");
    pass(QUIET);
    // With the right key it joins, and nothing moves.
    cluster.lab.node("n3").signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    Cluster::until("it has stopped", || {
        let left = cluster.processes("n3");
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    });
    cluster.configure("n3", &cluster.configuration(), &"5".repeat(32));
    cluster.start_daemon("n3");
    cluster.settled();
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}

/// A configuration that only one node has is not put in force, and nothing stops for it.
#[test]
fn a_configuration_that_one_node_has_alone_is_not_put_in_force() {
    let Some(cluster) = plan(3).start() else { return };
    let owner = cluster.owner();
    let other = cluster.others(&owner).remove(0);
    let before = cluster.mark();
    let changed = cluster.configuration()
        + "\n[resource.more]\nagent = \"process\"\ncommand = [\"/bin/sleep\", \"9999\"]\n";
    cluster.configure(&other, &changed, &"5".repeat(32));
    cluster.lab.node(&other).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
    Cluster::until("it has stopped", || {
        let left = cluster.processes(&other);
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    });
    cluster.start_daemon(&other);
    cluster.settled();
    pass(QUIET);
    cluster.nothing_happened(&before);
    let view = cluster.view().unwrap();
    println!("with two configurations: {:?}", view.problems);
    assert!(!view.resources.contains_key("more"));
    // Now all have it.
    for name in cluster.names() {
        cluster.configure(&name, &changed, &"5".repeat(32));
    }
    for name in cluster.others(&other) {
        cluster.lab.node(&name).signal(Target::Name("heart-guardian".into()), SIGTERM).unwrap();
        Cluster::until("it has stopped", || {
            let left = cluster.processes(&name);
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        });
        cluster.start_daemon(&name);
        cluster.settled();
    }
    Cluster::until("the new resource runs", || {
        let view = cluster.view()?;
        ensure!(view.resources.get("more").is_some_and(|one| one.state == "running"), "{:?}", view.problems);
        Ok(())
    });
    cluster.no_overlap();
}

/// Listens to the heartbeats on the switch and sends them again: as they were, with one bit turned,
/// cut short, and garbage with the right beginning; to every port, as fast as it can.
const STRANGER: &str = r#"
import os, random, socket, sys, time
ports = [name for _, name in socket.if_nameindex() if name.startswith('p')]
sockets = {}
for name in ports:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((name, 0)); s.setblocking(False); sockets[name] = s
heard, sent, until = [], 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    for s in sockets.values():
        try: frame = s.recv(2048)
        except OSError: continue
        # IPv4, UDP to port 694.
        if len(frame) > 42 and frame[12:14] == b'\x08\x00' and frame[23] == 17 and frame[36:38] == b'\x02\xb6':
            heard.append(frame)
    if not heard: continue
    heard = heard[-500:]
    for _ in range(20):
        frame = bytearray(random.choice(heard)); way = random.randrange(4)
        if way == 1: frame[random.randrange(42, len(frame))] ^= 1 << random.randrange(8)
        if way == 2: frame = frame[:random.randrange(43, len(frame))]
        if way == 3: frame[62:] = os.urandom(max(0, len(frame) - 62))
        # A zero checksum is none (RFC 768); lengths that do not fit are dropped by the kernel.
        frame[40:42] = b'\0\0'; length = len(frame) - 34
        frame[38:40] = length.to_bytes(2, 'big'); frame[16:18] = (length + 20).to_bytes(2, 'big')
        head = frame[14:24] + b'\0\0' + frame[26:34]
        total = sum(int.from_bytes(head[i:i + 2], 'big') for i in range(0, 20, 2))
        while total >> 16: total = (total & 0xffff) + (total >> 16)
        frame[24:26] = (~total & 0xffff).to_bytes(2, 'big')
        for s in sockets.values():
            try: s.send(bytes(frame)); sent += 1
            except OSError: pass
print(len(heard), sent)
"#;

#[test]
fn a_stranger_who_repeats_and_garbles_frames_changes_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    let before = cluster.mark();
    let stranger = cluster.lab.node("switch").spawn(&["/usr/bin/python3", "-c", STRANGER, "6"]);
    let stranger = match stranger {
        Ok(stranger) => stranger,
        Err(error) => {
            println!("skipped: no /usr/bin/python3 here: {error:#}");
            cluster.no_overlap();
            return;
        }
    };
    let output = stranger.output(PATIENCE).unwrap();
    println!("frames heard and sent by the stranger: {}{}", output.stdout, output.stderr);
    assert!(output.exit.is_success(), "{}", output.stderr);
    assert!(!output.stdout.starts_with("0 "), "the stranger heard nothing");
    pass(Duration::from_millis(200));
    cluster.nothing_happened(&before);
    for name in cluster.names() {
        let lines = cluster.log(&name).lines().count();
        assert!(lines < 40, "{name} wrote {lines} lines");
    }
    cluster.no_overlap();
}

/// Garbage from a machine of the network, at the port itself.
#[test]
fn garbage_at_the_port_changes_nothing() {
    let Some(cluster) = plan(3).start() else { return };
    let before = cluster.mark();
    let flood =
        "for i in 1 2 3; do timeout 4 sh -c \"cat /dev/urandom > /dev/udp/10.77.0.$i/694\" & done; wait";
    cluster.lab.client().exec(&["bash", "-c", &flood.replace("sh -c", "bash -c")]).unwrap();
    cluster.nothing_happened(&before);
    cluster.no_overlap();
}
