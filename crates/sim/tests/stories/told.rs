//! How a story is told: a cluster, what happens to it, and what is heard of it.

use heart_model::{
    AgentRef, ClusterSpec, Duration, GroupName, GroupSpec, Guard, LinkAddress, LogicalTimeouts, Name,
    NodeName, NodeSpec, Profile, ResourceName, ResourceSpec, Spec, Timing, WhenSick, Wishes,
};
use heart_node::core::Request;
use heart_sim::{Device, Fault, Nanos, World, WorldSettings, ms};
use std::collections::BTreeMap;

/// A cluster in a quiet world. `bob` leads, `ada` runs the group `web` of `address` and `site`, and
/// `cyn` runs `cache`; heartbeats come every 100 ms, and lost-after is 600 ms.
pub(crate) struct Told {
    pub(crate) world: World,
    since: Nanos,
}

pub(crate) fn node(text: &str) -> NodeName {
    NodeName::new(text).expect("a name")
}

pub(crate) fn resource(text: &str) -> ResourceName {
    ResourceName::new(text).expect("a name")
}

/// What `names` are configured to do; the group prefers the first of `web`.
pub(crate) fn spec(names: &[&str], web: &str, cache: &str) -> Spec {
    let one = |(place, text): (usize, &&str)| {
        let addresses = (0..2).map(|link| LinkAddress([10, link, 0, 1 + place as u8].into())).collect();
        let plain = NodeSpec {
            addresses,
            voter: true,
            capacity: BTreeMap::new(),
            fence: Vec::new(),
            watchdog: None,
            never_paused: false,
        };
        (node(text), plain)
    };
    let timeouts = LogicalTimeouts {
        start: Duration::from_secs(20),
        stop: Duration::from_secs(20),
        status: Duration::from_secs(20),
        status_every: Duration::from_secs(10),
    };
    let runs = |agent: &str, prefers: &str| ResourceSpec {
        agent: AgentRef::BuiltIn(agent.into()),
        parameters: BTreeMap::new(),
        guard: Guard::Lease,
        timeouts,
        failures_max: 3,
        failovers_max: heart_model::FAILOVERS,
        when_stuck: heart_model::WhenStuck::Report,
        needs: BTreeMap::new(),
        promotable: false,
        wishes: Wishes::preferring(vec![node(prefers)]),
    };
    let group = GroupSpec {
        members: vec![resource("address"), resource("site")],
        wishes: Wishes::preferring(vec![node(web)]),
    };
    Spec {
        cluster: ClusterSpec {
            name: Name::new("web").expect("a name"),
            key_file: String::new(),
            port: 694,
            links: vec![],
            when_sick: WhenSick::Move,
            failovers_max: heart_model::FAILOVERS_OF_CLUSTER,
            after_fence: heart_model::AfterFence::StayOff,
        },
        timing: Timing::of(Profile::Default),
        nodes: names.iter().enumerate().map(one).collect(),
        resources: [
            (resource("address"), runs("ip", web)),
            (resource("site"), runs("process", web)),
            (resource("cache"), runs("process", cache)),
        ]
        .into(),
        groups: [(GroupName::new("web").expect("a name"), group)].into(),
        times: BTreeMap::new(),
        tie_break: None,
        pings: BTreeMap::new(),
    }
}

/// The story says itself who is cut off from whom, and what follows from that is not its point.
const UNTOLD: [&str; 4] = ["does not reach", "is heard", "is lost", "campaigning"];

fn parse(line: &str) -> (f64, &str) {
    let (at, what) = line.split_once(' ').expect("a line begins with its time");
    (at.parse().expect("seconds"), what)
}

/// The same cluster with something on `ada` that nobody takes from a node that may not be off; once it runs there.
pub(crate) fn with_disk(mut spec: Spec) -> Told {
    let disk = ResourceSpec { guard: Guard::Fence, ..spec.resources[&resource("address")].clone() };
    spec.resources.insert(resource("disk"), disk);
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    story.ask("bob", Request::Move { resource: resource("disk"), to: Some(node("ada")) }).run_for(10_000);
    assert_eq!(story.owner("disk"), Some("ada"));
    story.forget();
    story
}

impl Told {
    /// The usual three, all well.
    pub(crate) fn three() -> Told {
        Told::of(&["ada", "bob", "cyn"], "ada")
    }

    /// These nodes, all well; `web` says who runs the group.
    pub(crate) fn of(names: &[&str], web: &str) -> Told {
        Told::begin(WorldSettings::quiet(spec(names, web, "cyn"), 1))
    }

    /// All well, in this world, and everything where it is preferred.
    pub(crate) fn begin(settings: WorldSettings) -> Told {
        let web = settings.spec.resources[&resource("address")].wishes.prefers[0].clone();
        let cache = settings.spec.resources[&resource("cache")].wishes.prefers[0].clone();
        let mut story = Told::dark(settings);
        story.world.boot_all();
        story.run_for(10_000);
        for (what, to) in [("address", web), ("cache", cache)] {
            let to = Some(to);
            story.ask("bob", Request::Move { resource: resource(what), to }).run_for(10_000);
        }
        story.forget();
        story
    }

    /// Nothing is switched on yet.
    pub(crate) fn dark(settings: WorldSettings) -> Told {
        Told { world: World::new(settings), since: 0 }
    }

    /// Lets time pass, in milliseconds.
    #[track_caller]
    pub(crate) fn run_for(&mut self, millis: u64) -> &mut Told {
        if let Err(broken) = self.world.run(ms(millis)) {
            panic!("{broken}; before that:\n{}", self.told());
        }
        self
    }

    /// What was told is of no interest; the clock of the story begins anew.
    pub(crate) fn forget(&mut self) {
        self.world.take_story();
        self.since = self.world.now();
    }

    /// Exactly this was told since the last time, each line within two tenths of a second of when it is
    /// expected. The clock of the story begins anew.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &str) {
        let expected: Vec<(f64, &str)> =
            lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(parse).collect();
        let told = self.told();
        let same = |((at, what), (then, expected)): ((f64, &str), &(f64, &str))| {
            what == *expected && (at - then).abs() <= 0.2
        };
        let all = told.lines().count() == expected.len() && told.lines().map(parse).zip(&expected).all(same);
        assert!(all, "told was:\n{told}\nexpected was:\n{lines}");
        self.since = self.world.now();
    }

    /// What was told since the last time.
    pub(crate) fn told(&mut self) -> String {
        let since = self.since as f64 / 1e9;
        let line = |line: String| {
            let (at, what) = parse(&line);
            format!("{:.3} {what}\n", at - since)
        };
        let lines = self.world.take_story().into_iter();
        lines.filter(|line| !UNTOLD.iter().any(|known| line.contains(known))).map(line).collect()
    }

    pub(crate) fn place(&self, name: &str) -> usize {
        (0..self.world.size())
            .find(|&place| self.world.machine(place).name.as_str() == name)
            .expect("a node of this story")
    }

    pub(crate) fn leader(&self) -> Option<&str> {
        self.world.leader().map(|place| self.world.machine(place).name.as_str())
    }

    pub(crate) fn owner(&self, what: &str) -> Option<&str> {
        self.world.owner(&resource(what)).map(|place| self.world.machine(place).name.as_str())
    }

    pub(crate) fn happens(&mut self, fault: Fault) -> &mut Told {
        self.world.schedule(0, fault);
        self
    }

    /// Lets the device that switches this node off be like that.
    pub(crate) fn device(&mut self, of: &str, device: Device) -> &mut Told {
        let node = self.place(of);
        self.happens(Fault::Device { node, device });
        self
    }

    /// Whether a node has power, and a log that it may use.
    pub(crate) fn takes_part(&self, name: &str) -> bool {
        self.world.takes_part(self.place(name))
    }

    pub(crate) fn cut_power(&mut self, name: &str) -> &mut Told {
        let fault = Fault::PowerCut(self.place(name));
        self.happens(fault)
    }

    pub(crate) fn switch_on(&mut self, name: &str) -> &mut Told {
        let fault = Fault::PowerOn(self.place(name));
        self.happens(fault)
    }

    pub(crate) fn freeze(&mut self, name: &str, millis: u64) -> &mut Told {
        let fault = Fault::Freeze { node: self.place(name), lasts: ms(millis) };
        self.happens(fault)
    }

    /// Nothing of `from` reaches `to`.
    pub(crate) fn cut_one_way(&mut self, from: &str, to: &str) -> &mut Told {
        let fault = Fault::Cut { from: self.place(from), to: self.place(to) };
        self.happens(fault)
    }

    pub(crate) fn cut(&mut self, one: &str, other: &str) -> &mut Told {
        self.cut_one_way(one, other).cut_one_way(other, one)
    }

    /// The nodes of one side and of the other do not reach each other.
    pub(crate) fn part(&mut self, one: &[&str], other: &[&str]) -> &mut Told {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
            self.cut(a, b);
        }
        self
    }

    pub(crate) fn heal(&mut self) -> &mut Told {
        self.happens(Fault::Heal)
    }

    /// Somebody asks `at` for something.
    pub(crate) fn ask(&mut self, at: &str, request: Request) -> &mut Told {
        let fault = Fault::Ask { node: self.place(at), request };
        self.happens(fault)
    }
}
