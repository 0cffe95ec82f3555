//! What holds for every text and every specification. The same function runs under the fuzzer for
//! hours: `cargo xtask fuzz configuration`.

mod survive;
mod wished;

use std::{collections::BTreeMap, fs, path::Path};

use heart_config::{NoEnvironment, print, read};
use heart_model::{
    AfterFence, AgentRef, ClusterSpec, Duration, FenceAgent, FenceDevice, GroupName, GroupSpec, Guard, Link,
    LinkAddress, LinkKind, LogicalTimeouts, Name, NodeName, NodeSpec, PingSpec, Profile, ResourceName,
    ResourceSpec, Spec, Timing, Value, WhenSick, WhenStuck, Wishes,
};
use proptest::{collection, option, prelude::*, sample};
use survive::configuration;
use wished::{Picks, wish};

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut texts = Vec::new();
    for kind in ["valid", "invalid"] {
        let mut files: Vec<_> =
            fs::read_dir(folder.join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        texts.extend(files.iter().map(|path| fs::read(path).unwrap()));
    }
    texts
}

const PIECES: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "=",
    ".",
    ",",
    "#",
    "\n",
    "\r",
    "\r\n",
    "\\",
    "\\u12",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "€",
    "\u{1f600}",
    "name",
    "node",
    "resource",
    "group",
    "cluster",
    "agent",
    "true",
    "1",
    "-1",
    "0x",
    "1e9",
    "1979-05-27",
    "inf",
    "10.0.0.1",
    "\"ip\"",
    "parameters",
    "[node.ada]",
    "a = 1",
    "with",
    "after",
    "never",
    "copies",
    "during",
    "[time.night]",
    "hours = ",
    "\"22:00-06:00\"",
    "[resource.x.at.night]",
    "needs = { memory = 1 }",
    "fence = { agent = \"fence_x\" }",
    "fence = [",
    "{ agent = \"external/x\", delay = \"2s\" }",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_bytes_do_harm(bytes in collection::vec(any::<u8>(), 0..400)) {
        configuration(&bytes);
    }

    #[test]
    fn no_pieces_do_harm(pieces in collection::vec(sample::select(PIECES), 0..120)) {
        configuration(pieces.concat().as_bytes());
    }

    #[test]
    fn no_damage_does_harm(
        which in any::<sample::Index>(),
        damage in collection::vec((any::<sample::Index>(), 0_usize..12, sample::select(PIECES)), 1..6),
    ) {
        let corpus = corpus();
        let mut bytes = corpus[which.index(corpus.len())].clone();
        for (at, cut, piece) in damage {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        configuration(&bytes);
    }

    #[test]
    fn what_is_printed_is_read_back(spec in spec()) {
        let printed = print(&spec);
        match read("printed", printed.as_bytes(), &NoEnvironment) {
            Ok(checked) => {
                let said: Spec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
                prop_assert_eq!(&said, &spec, "as JSON");
                prop_assert_eq!(checked.spec, spec);
            }
            Err(report) => prop_assert!(false, "{}\n{}", printed, report.render_text(false)),
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9][a-zA-Z0-9_.-]{0,20}"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,30}", "\\PC{1,10}"]
}

fn length() -> impl Strategy<Value = Duration> {
    (10_000_u64..86_400_000_000).prop_map(Duration::from_micros)
}

fn timing() -> impl Strategy<Value = Timing> {
    let by_hand = (1_u64..100, 1_u64..20).prop_map(|(heartbeat, let_go)| Timing {
        heartbeat: Duration::from_millis(heartbeat),
        lost_after: Duration::from_millis(heartbeat * 4 + let_go * 2 + 20),
        let_go: Duration::from_millis(let_go),
    });
    prop_oneof![Just(Timing::of(Profile::Default)), Just(Timing::of(Profile::Fastest)), by_hand]
}

fn timeouts() -> impl Strategy<Value = LogicalTimeouts> {
    (length(), length(), length(), length()).prop_map(|(start, stop, status, status_every)| LogicalTimeouts {
        start,
        stop,
        status,
        status_every,
    })
}

/// An agent, what it is told, and what guards it. `number` keeps addresses apart.
fn kind(number: u8) -> impl Strategy<Value = (AgentRef, BTreeMap<String, Value>, Guard)> {
    let guard = sample::select(vec![Guard::Lease, Guard::Fence, Guard::None]);
    let ip = (24_u8..=30, option::of(text())).prop_map(move |(prefix, label)| {
        let mut parameters = BTreeMap::new();
        // Two beside each other are never both the first and the last of a network.
        let host = number * 4 + 2;
        parameters.insert("address".into(), Value::Text(format!("10.9.0.{host}/{prefix}")));
        parameters.extend(label.map(|label| ("label".into(), Value::Text(label))));
        (AgentRef::BuiltIn("ip".into()), parameters)
    });
    let arguments = collection::vec(text(), 0..4);
    let process =
        (arguments, collection::btree_map(word(), text(), 0..3)).prop_map(|(arguments, variables)| {
            let command = std::iter::once("/bin/x".to_owned()).chain(arguments).map(Value::Text).collect();
            let variables = variables.into_iter().map(|(name, text)| (name, Value::Text(text))).collect();
            let parameters = [("command", Value::List(command)), ("environment", Value::Table(variables))];
            let parameters = parameters.map(|(key, value)| (key.to_owned(), value));
            (AgentRef::BuiltIn("process".into()), parameters.into_iter().collect())
        });
    let ocf = collection::btree_map(text(), told(), 0..4).prop_map(|parameters| {
        (AgentRef::Ocf { provider: "heartbeat".into(), kind: "Dummy".into() }, parameters)
    });
    (prop_oneof![ip, process, ocf], guard).prop_map(|((agent, parameters), guard)| {
        let other = matches!(agent, AgentRef::Ocf { .. }) && guard == Guard::Lease;
        (agent, parameters, if other { Guard::Fence } else { guard })
    })
}

/// What an agent that is not built in can be told.
fn told() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::Text),
        any::<i64>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean)
    ]
}

/// Levels of devices that switch a node off.
fn fence() -> impl Strategy<Value = Vec<Vec<FenceDevice>>> {
    let agent = sample::select(vec!["fence_ipmilan", "fence_apc-snmp", "external/ipmi"]);
    let parameters = collection::btree_map("(plug|ip|[A-Z0-9_-]{1,9}[a-z]_file)", told(), 0..4);
    let delay = (0_u64..600_000_000).prop_map(Duration::from_micros);
    let written = (1_000_000_u64..600_000_000).prop_map(|micros| (Duration::from_micros(micros), false));
    let timeout = prop_oneof![written, Just((Duration::from_secs(60), true))];
    let device = (agent, parameters, delay, timeout).prop_map(|(agent, mut parameters, delay, timeout)| {
        for (key, value) in &mut parameters {
            if let Value::Text(path) = value
                && key.ends_with("_file")
            {
                path.insert(0, '/');
            }
        }
        let (timeout, timeout_is_least) = timeout;
        FenceDevice { agent: FenceAgent::parse(agent).unwrap(), parameters, delay, timeout, timeout_is_least }
    });
    collection::vec(collection::vec(device, 1..4), 0..4)
}

fn resource(number: u8, nodes: usize) -> impl Strategy<Value = ResourceSpec> {
    let prefers = sample::subsequence((0..nodes).collect::<Vec<_>>(), 0..=nodes).prop_shuffle();
    (kind(number), timeouts(), 1_u32.., prefers).prop_map(
        |((agent, parameters, guard), timeouts, failures_max, prefers)| ResourceSpec {
            agent,
            parameters,
            guard,
            timeouts,
            failures_max,
            failovers_max: failures_max.saturating_add(7),
            when_stuck: if failures_max % 2 == 0 { WhenStuck::Report } else { WhenStuck::Fence },
            needs: BTreeMap::new(),
            promotable: false,
            wishes: Wishes::preferring(prefers.into_iter().map(node).collect()),
        },
    )
}

fn node(number: usize) -> NodeName {
    NodeName::new(&format!("node{number}.example")).unwrap()
}

/// A specification with all kinds of wishes.
fn spec() -> impl Strategy<Value = Spec> {
    (plain_spec(), collection::vec(any::<u32>(), 1..400)).prop_map(|(mut spec, picks)| {
        wish(&mut spec, &mut Picks::new(picks));
        spec
    })
}

fn plain_spec() -> impl Strategy<Value = Spec> {
    let watchdog = (option::of("/dev/[a-z/0-9]{1,20}"), any::<bool>());
    (bare_spec(), collection::vec((fence(), watchdog), 9)).prop_map(|(mut spec, all)| {
        for (node, (fence, watchdog)) in spec.nodes.values_mut().zip(all) {
            (node.fence, (node.watchdog, node.never_paused)) = (fence, watchdog);
            if node.watchdog.is_some() && node.never_paused {
                node.fence.push(vec![FenceDevice {
                    agent: FenceAgent::Watchdog,
                    parameters: BTreeMap::new(),
                    delay: Duration::ZERO,
                    timeout: spec.timing.self_fence(),
                    timeout_is_least: false,
                }]);
            }
        }
        spec
    })
}

fn bare_spec() -> impl Strategy<Value = Spec> {
    let sizes = (1_usize..9, 0_u8..12, 0_usize..3);
    let rest = (word(), "/[a-z/]{0,20}", 1_u16.., timing(), 0_usize..4);
    (sizes, rest)
        .prop_flat_map(|((nodes, resources, links), (name, key_file, port, timing, groups))| {
            let resources: Vec<_> = (0..resources).map(|number| resource(number, nodes)).collect();
            (Just((nodes, links, name, key_file, port, timing, groups)), resources)
        })
        .prop_map(|((nodes, links, name, key_file, port, timing, groups), resources)| {
            let voters = match nodes {
                1 | 2 => nodes,
                _ => (nodes - 1 + nodes % 2).min(7),
            };
            let link = |number: usize| Link {
                kind: if number == 0 { LinkKind::Multicast } else { LinkKind::Broadcast },
                address: format!("{}:{port}", if number == 0 { "239.1.2.3" } else { "10.1.0.255" })
                    .parse()
                    .unwrap(),
                interface: format!("eth{number}"),
            };
            let address = |number: usize| LinkAddress(format!("10.0.0.{}", number + 1).parse().unwrap());
            let mut resources: BTreeMap<ResourceName, ResourceSpec> = resources
                .into_iter()
                .enumerate()
                .map(|(number, spec)| (ResourceName::new(&format!("r{number:02}")).unwrap(), spec))
                .collect();
            let names: Vec<ResourceName> = resources.keys().cloned().collect();
            let chunks = names.chunks(3).take(groups).enumerate();
            let groups: BTreeMap<GroupName, GroupSpec> = chunks
                .map(|(number, members)| {
                    let prefers = resources
                        .get_mut(&members[0])
                        .map(|first| first.wishes.prefers.clone())
                        .unwrap_or_default();
                    for member in members {
                        resources.get_mut(member).unwrap().wishes.prefers.clear();
                    }
                    (
                        GroupName::new(&format!("g{number}")).unwrap(),
                        GroupSpec { members: members.to_vec(), wishes: Wishes::preferring(prefers) },
                    )
                })
                .collect();
            Spec {
                cluster: ClusterSpec {
                    name: Name::new(&name).unwrap(),
                    key_file,
                    port,
                    links: (0..links).map(link).collect(),
                    when_sick: if port % 2 == 0 { WhenSick::Move } else { WhenSick::Report },
                    failovers_max: u32::from(port) + 1,
                    after_fence: if port % 3 == 0 { AfterFence::Boot } else { AfterFence::StayOff },
                },
                timing,
                nodes: (0..nodes)
                    .map(|number| {
                        (
                            node(number),
                            NodeSpec {
                                addresses: vec![address(number)],
                                voter: number < voters,
                                capacity: BTreeMap::new(),
                                fence: Vec::new(),
                                watchdog: None,
                                never_paused: false,
                            },
                        )
                    })
                    .collect(),
                resources,
                groups,
                times: BTreeMap::new(),
                tie_break: None,
                pings: (0..usize::from(port % 3)).map(ping).collect(),
            }
        })
}

fn ping(number: usize) -> (Name, PingSpec) {
    let host = |family: &str| format!("{family}{}", number + 1).parse().unwrap();
    let hosts = vec![host("192.0.2."), host("2001:db8::")];
    let interval = Duration::from_millis(300 + 100 * number as u64);
    (Name::new(&format!("t{number}")).unwrap(), PingSpec { hosts, interval, lost_after: interval * 4 })
}
