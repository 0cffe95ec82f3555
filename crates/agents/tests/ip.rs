//! The agent `ip`, on machines made of namespaces.

mod support;

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use heart_agents::{
    Agent, Happened, Job, Notices, Stop, ToldLease, clock,
    ip::IpAgent,
    notices,
    wait::{self, Bell},
};
use heart_model::{
    AgentRef, BootId, Epoch, Guard, LogicalTimeouts, Outcome, ResourceName, ResourceSpec, Session,
    SessionNumber, Value, Wishes,
};
use support::World;

fn ms(wait: u64) -> Duration {
    Duration::from_millis(wait)
}

fn spec(parameters: &[(&str, &str)], guard: Guard) -> ResourceSpec {
    let value =
        |text: &str| if text == "false" { Value::Boolean(false) } else { Value::Text(text.to_owned()) };
    ResourceSpec {
        agent: AgentRef::BuiltIn("ip".into()),
        parameters: parameters
            .iter()
            .map(|(key, text)| ((*key).to_owned(), value(text)))
            .collect::<BTreeMap<_, _>>(),
        guard,
        timeouts: LogicalTimeouts {
            start: ms(5000),
            stop: ms(5000),
            status: ms(5000),
            status_every: ms(5000),
        },
        failures_max: 3,
        failovers_max: heart_model::FAILOVERS,
        when_stuck: heart_model::WhenStuck::Report,
        needs: BTreeMap::new(),
        promotable: false,
        wishes: Wishes::default(),
    }
}

/// One operation, as an executor would ask for it.
fn operate(
    agent: &Arc<IpAgent>,
    spec: &ResourceSpec,
    what: fn(&IpAgent, &Job<'_>) -> Outcome,
) -> (Outcome, Duration) {
    let cancel = Bell::new().unwrap();
    let resource = ResourceName::new("site-ip").unwrap();
    let begun = Instant::now();
    let job = Job {
        resource: &resource,
        spec,
        epoch: Epoch(1),
        session: Session { boot: BootId(1), number: SessionNumber(1) },
        deadline: begun + ms(5000),
        cancel: &cancel,
    };
    let outcome = what(agent, &job);
    (outcome, begun.elapsed())
}

const START: fn(&IpAgent, &Job<'_>) -> Outcome = |agent, job| agent.start(job);
const STOP: fn(&IpAgent, &Job<'_>) -> Outcome = |agent, job| agent.stop(job, Stop::Orderly);
const STATUS: fn(&IpAgent, &Job<'_>) -> Outcome = |agent, job| agent.status(job);

struct Node {
    agent: Arc<IpAgent>,
    notices: Notices,
    lease: Arc<ToldLease>,
}

impl Node {
    /// An agent on this machine, with a lease of ten seconds.
    fn new() -> Node {
        let (sender, notices) = notices().unwrap();
        let lease = Arc::new(ToldLease::default());
        lease.tell(clock::now().after(ms(10_000)));
        let view = Arc::clone(&lease);
        let agent = Arc::new(IpAgent::new(view, None, sender));
        Node { agent, notices, lease }
    }

    fn does(
        &self,
        world: &World,
        spec: &ResourceSpec,
        what: fn(&IpAgent, &Job<'_>) -> Outcome,
    ) -> (Outcome, Duration) {
        let (agent, spec) = (Arc::clone(&self.agent), spec.clone());
        world.run(move || operate(&agent, &spec, what))
    }

    /// The next notice, if there is one within two seconds.
    fn hears(&self) -> Option<Happened> {
        use std::os::fd::AsFd;
        wait::any(&[self.notices.as_fd()], Some(Instant::now() + ms(2000))).unwrap();
        self.notices.take().0.pop().map(|notice| notice.what)
    }
}

#[test]
fn an_address_comes_serves_and_goes() {
    let Some((here, there)) = World::pair() else { return };
    let node = Node::new();
    for (address, bare) in [("10.9.0.100", "10.9.0.100"), ("fd00::100/64", "fd00::100")] {
        let spec = spec(&[("address", address)], Guard::Lease);
        assert_eq!(node.does(&here, &spec, STATUS).0, Outcome::NotRunning);
        assert_eq!(node.does(&here, &spec, START).0, Outcome::Done);
        assert_eq!(node.does(&here, &spec, START).0, Outcome::Done, "twice is harmless");
        assert_eq!(node.does(&here, &spec, STATUS).0, Outcome::Done);
        let shown = here.ip(&format!("addr show to {bare}"));
        assert!(shown.contains("valid_lft 1") && shown.contains("sec"), "it has a lifetime: {shown}");
        assert!(!shown.contains("tentative"), "{shown}");
        assert!(there.reaches(&here, bare), "{address}");
        assert_eq!(node.does(&here, &spec, STOP).0, Outcome::Done);
        assert_eq!(node.does(&here, &spec, STOP).0, Outcome::Done, "twice is harmless");
        assert_eq!(node.does(&here, &spec, STATUS).0, Outcome::NotRunning);
    }
}

/// What was last announced may leave until the end of that lease; asking may always.
#[test]
fn an_address_comes_back_long_after_its_last_lease() {
    let Some((here, _there)) = World::pair() else { return };
    let node = Node::new();
    let spec = spec(&[("address", "10.9.0.100")], Guard::Lease);
    node.lease.tell(clock::now().after(ms(300)));
    assert_eq!(node.does(&here, &spec, START).0, Outcome::Done);
    assert_eq!(node.does(&here, &spec, STOP).0, Outcome::Done);
    thread::park_timeout(ms(400));
    node.lease.tell(clock::now().after(ms(10_000)));
    assert_eq!(node.does(&here, &spec, START).0, Outcome::Done);
}

#[test]
fn prefix_broadcast_and_interface_come_from_the_connected_route() {
    let Some((here, _there)) = World::pair() else { return };
    let node = Node::new();
    let derived = spec(&[("address", "10.9.0.100"), ("label", "web")], Guard::None);
    assert_eq!(node.does(&here, &derived, START).0, Outcome::Done);
    let shown = here.ip("addr show dev eth0");
    assert!(shown.contains("inet 10.9.0.100/24 brd 10.9.0.255"), "{shown}");
    assert!(shown.contains("eth0:web") && shown.contains("valid_lft forever"), "{shown}");
    for (parameters, said) in [
        (&[("address", "10.77.0.1")][..], "no interface of this node"),
        (&[("address", "10.9.0.101"), ("interface", "eth7")], "no interface `eth7`"),
        (&[("address", "10.9.0.101"), ("color", "red")], "no parameter `color`"),
        (&[("address", "10.9.0.300")], "no address"),
        (&[], "`address` is missing"),
        (&[("address", "fe80::1/64")], "link-local"),
    ] {
        let (outcome, _) = node.does(&here, &spec(parameters, Guard::None), START);
        let text = outcome.to_string().replace("write an address", "no address");
        assert!(text.contains(said), "{parameters:?}: {text}");
    }
}

#[test]
fn an_address_that_somebody_else_has_is_refused() {
    let Some((here, there)) = World::pair() else { return };
    let node = Node::new();
    there.ip("addr add 10.9.0.100/24 dev eth0");
    there.ip("addr add fd00::100/64 dev eth0 nodad");
    let mac = there.ip("link show eth0").split("link/ether ").nth(1).unwrap()[..17].to_owned();
    for address in ["10.9.0.100", "fd00::100"] {
        let spec = spec(&[("address", address), ("detect", "500ms")], Guard::Lease);
        let (outcome, took) = node.does(&here, &spec, START);
        let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
        assert!(why.starts_with(&mac), "{why}");
        assert!(took < ms(400), "the answer ends the wait: {took:?}");
        assert_eq!(node.does(&here, &spec, STATUS).0, Outcome::NotRunning);
    }
}

#[test]
fn a_removed_address_is_back_at_once() {
    let Some((here, there)) = World::pair() else { return };
    let node = Node::new();
    for address in ["10.9.0.100", "fd00::100"] {
        // The node's own address went with the link when it was down.
        here.ip("addr replace fd00::1/64 dev eth0 nodad");
        let spec = spec(&[("address", address)], Guard::Lease);
        assert_eq!(node.does(&here, &spec, START).0, Outcome::Done);
        let length = if address.contains(':') { 64 } else { 24 };
        here.ip(&format!("addr del {address}/{length} dev eth0"));
        assert!(matches!(node.hears(), Some(Happened::Restored(_))), "{address}");
        assert_eq!(node.does(&here, &spec, STATUS).0, Outcome::Done);
        assert!(there.reaches(&here, address), "{address}");
        here.ip("link set eth0 down");
        assert!(matches!(node.hears(), Some(Happened::Lost(_))), "{address}");
        assert!(matches!(node.does(&here, &spec, STATUS).0, Outcome::Failed(_) | Outcome::NotRunning));
        here.ip("link set eth0 up");
        let mut restored = false;
        for _ in 0..3 {
            restored |= matches!(node.hears(), Some(Happened::Restored(_)));
            if restored {
                break;
            }
        }
        assert_eq!(node.does(&here, &spec, STATUS).0, Outcome::Done, "{address}");
        assert_eq!(node.does(&here, &spec, STOP).0, Outcome::Done);
    }
}

#[test]
fn the_kernel_takes_the_address_away_when_nobody_extends_it() {
    let Some((here, _there)) = World::pair() else { return };
    let node = Node::new();
    let spec = spec(&[("address", "10.9.0.100")], Guard::Lease);
    assert_eq!(node.does(&here, &spec, START).0, Outcome::Done);
    node.lease.tell(clock::now().after(ms(100)));
    assert_eq!(node.does(&here, &spec, START).0, Outcome::Done, "gets the shorter lifetime");
    assert!(matches!(node.hears(), Some(Happened::Lost(_)) | None));
    let end = Instant::now() + ms(5000);
    while node.does(&here, &spec, STATUS).0 != Outcome::NotRunning {
        assert!(Instant::now() < end, "the address outlived its lease");
        thread::yield_now();
    }
    assert!(matches!(node.does(&here, &spec, START).0, Outcome::Refused(_)));
}

/// Figures: `cargo test -p heart-agents --test ip -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_it_takes() {
    let Some((here, _there)) = World::pair() else { return };
    let node = Node::new();
    for detect in ["3ms", "false"] {
        let spec = spec(&[("address", "10.9.0.100"), ("detect", detect)], Guard::Lease);
        let (mut starts, mut stops) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            node.lease.tell(clock::now().after(ms(10_000)));
            starts.push(node.does(&here, &spec, START).1);
            stops.push(node.does(&here, &spec, STOP).1);
        }
        for (what, mut times) in [("start", starts), ("stop", stops)] {
            times.sort();
            eprintln!(
                "detect {detect}: {what} p50 {:?} p99 {:?} max {:?}",
                times[100], times[198], times[199]
            );
        }
    }
}
