//! Small clusters of everything that can be asked, from a seed: to compare two ways to decide, not to be
//! measured.

use heart_model::policy::{
    AttributeSet, Body, Cluster, Colocation, Constraint, Discovery, JoinState, Location, NamedOperation,
    Node, NodeKind, NodeState, Operation, OperationStatus, Order, OrderKind, Resource, ResourceHistory, Role,
    Score, State, Verb, Where,
};

use heart_scheduler::engine::planner::News;

use super::{NOW, collective, ocf, set};

/// A small cluster; the same for the same seed.
pub(crate) fn cluster(seed: u64) -> (Cluster, State) {
    let mut world = Mixed {
        random: Random(seed),
        cluster: Cluster::default(),
        state: State::default(),
        calls: 1,
        calm: false,
    };
    world.options();
    let nodes = world.random.below(6) + 2;
    (0..nodes).for_each(|number| world.node(number));
    let resources = world.random.below(7) + 2;
    (0..resources).for_each(|number| world.resource(number));
    let constraints = world.random.below(9);
    (0..constraints).for_each(|number| world.constraint(number));
    (world.cluster, world.state)
}

/// Something that may be learnt next: on which node, and what.
pub(crate) fn news(cluster: &Cluster, state: &State, seed: u64) -> (usize, News) {
    let mut random = Random(seed);
    let node = random.below(state.nodes.len() as u64) as usize;
    let mut names = Vec::new();
    cluster.resources.iter().for_each(|resource| primitives(resource, &mut names));
    let name = names[random.below(names.len() as u64) as usize].clone();
    if random.once_in(4) {
        let attribute = random.one_of(&["fail-count-", "master-", "last-failure-"]);
        let value = random.one_of(&[None, Some("1"), Some("5"), Some("INFINITY")]);
        return (node, News::Attribute(format!("{attribute}{name}"), value.map(str::to_owned)));
    }
    let known = state.nodes[node].history.iter().find(|history| history.resource == name);
    let mut history = known.cloned().unwrap_or_else(|| ResourceHistory {
        resource: name.clone(),
        agent: ocf("Dummy"),
        ..ResourceHistory::default()
    });
    let (name, every_ms, answer, expected) = random.one_of(&[
        ("start", 0, 0, 0),
        ("stop", 0, 0, 0),
        ("monitor", 10_000, 7, 0),
        ("monitor", 10_000, 0, 0),
        ("monitor", 0, 7, 7),
        ("stop", 0, 1, 0),
        ("start", 0, 1, 0),
        ("start", 0, 5, 0),
        ("promote", 0, 0, 0),
        ("demote", 0, 0, 0),
    ]);
    let status = if random.once_in(10) { OperationStatus::Pending } else { OperationStatus::Done };
    history.operations.push(Operation {
        id: format!("later-{seed}"),
        name: name.to_owned(),
        every_ms,
        status,
        answer,
        expected: Some(expected),
        call: history.operations.iter().map(|operation| operation.call).max().unwrap_or(0) + 1,
        changed_at: Some(NOW),
        ..Operation::default()
    });
    (node, News::History(history))
}

fn primitives(resource: &Resource, names: &mut Vec<String>) {
    match &resource.body {
        Body::Primitive(_) => names.push(resource.id.clone()),
        Body::Group(members) => members.iter().for_each(|member| primitives(member, names)),
        Body::Clone(inner) => primitives(inner, names),
        Body::Bundle(_) => {}
    }
}

/// Numbers that look like chance, from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True about once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

struct Mixed {
    random: Random,
    cluster: Cluster,
    state: State,
    calls: i32,
    /// Constraints are those of clones on which others rest, and clones are plain.
    calm: bool,
}

impl Mixed {
    fn options(&mut self) {
        self.calm = self.random.once_in(3);
        let random = &mut self.random;
        let mut options = vec![("fencing-enabled", random.one_of(&["true", "true", "false"]))];
        if random.once_in(3) && !self.calm {
            let placements = ["default", "utilization", "balanced", "minimal"];
            options.push(("placement-strategy", random.one_of(&placements)));
        }
        if random.once_in(8) && !self.calm {
            options.push(("symmetric-cluster", "false"));
        }
        if random.once_in(3) {
            options.push(("enable-startup-probes", "false"));
        }
        if random.once_in(4) {
            let policies = ["ignore", "freeze", "stop", "demote"];
            options.push(("no-quorum-policy", random.one_of(&policies)));
        }
        self.cluster.options = vec![set("options", &options)];
        let stickiness = random.one_of(&["0", "1", "100", "INFINITY"]);
        self.cluster.resource_defaults = vec![set("defaults", &[("resource-stickiness", stickiness)])];
        self.state.now = Some(NOW);
        self.state.quorum = self.calm || !random.once_in(8);
        self.state.leader = Some("1".to_owned());
        let device = Resource {
            id: "fencing".to_owned(),
            body: Body::Primitive(heart_model::policy::AgentName {
                class: "stonith".to_owned(),
                provider: None,
                agent_type: "fence_xvm".to_owned(),
            }),
            ..collective("fencing", Body::Group(Vec::new()), &[])
        };
        self.cluster.resources.push(device);
    }

    fn node(&mut self, number: u64) {
        let (id, name) = ((number + 1).to_string(), format!("n{}", number + 1));
        let random = &mut self.random;
        let mut told: Vec<(&str, &str)> = Vec::new();
        if random.once_in(10) && !self.calm {
            told.push(("standby", "on"));
        }
        if random.once_in(20) && !self.calm {
            told.push(("maintenance", "true"));
        }
        if random.once_in(20) && !self.calm {
            told.push(("shutdown", "1"));
        }
        let is_there = self.calm || !random.once_in(6);
        let since = if is_there { Some(1) } else { Some(0) };
        let join = if is_there { JoinState::Member } else { JoinState::Down };
        self.state.nodes.push(NodeState {
            id: id.clone(),
            name: Some(name.clone()),
            member: since,
            process: since,
            join: Some(join),
            expected_up: Some(is_there || random.once_in(2)),
            attributes: vec![set("told", &told)],
            ..NodeState::default()
        });
        let capacity = random.one_of(&["2", "4", "8"]);
        self.cluster.nodes.push(Node {
            id,
            name,
            kind: NodeKind::Member,
            score: random.one_of(&[Score::ZERO, Score::ZERO, Score::ZERO, Score::new(5)]),
            attributes: vec![set("site", &[("site", random.one_of(&["north", "south"]))])],
            utilization: vec![set("gives", &[("cpu", capacity)])],
        });
    }

    fn resource(&mut self, number: u64) {
        let id = format!("r{number}");
        let resource = match self.random.below(10) {
            0..4 if !self.calm || number > 0 => {
                let id = format!("{id}p");
                self.primitive(&id, false, false)
            }
            0..7 if !self.calm || number > 0 => self.group(&id, false, false),
            _ => self.clone(&id),
        };
        self.cluster.resources.push(resource);
    }

    fn group(&mut self, id: &str, on_many: bool, promotable: bool) -> Resource {
        let count = self.random.below(3) + 1;
        let at = self.random.next();
        let members = (0..count).map(|place| {
            let saved = self.random.0;
            // Members are mostly where the others are.
            let member = self.primitive_at(&format!("{id}m{place}"), on_many, promotable, at);
            self.random.0 = saved.wrapping_add(at | 1);
            member
        });
        let body = Body::Group(members.collect());
        let options = self.meta();
        collective(&format!("{id}g"), body, &options)
    }

    fn clone(&mut self, id: &str) -> Resource {
        let promotable = !self.calm && self.random.once_in(3);
        let inner = match self.random.once_in(3) {
            true => self.group(id, true, promotable),
            false => self.primitive(&format!("{id}p"), true, promotable),
        };
        let mut options = self.meta();
        options.push(("interleave", self.random.one_of(&["true", "false"])));
        if promotable {
            options.push(("promotable", "true"));
        }
        if self.calm {
            return collective(&format!("{id}c"), Body::Clone(Box::new(inner)), &options);
        }
        if self.random.once_in(3) {
            options.push(("clone-max", self.random.one_of(&["1", "2", "3"])));
        }
        if self.random.once_in(4) {
            options.push(("ordered", "true"));
        }
        if self.random.once_in(4) {
            options.push(("notify", "true"));
        }
        if self.random.once_in(6) {
            options.push(("clone-min", "1"));
        }
        collective(&format!("{id}c"), Body::Clone(Box::new(inner)), &options)
    }

    fn meta(&mut self) -> Vec<(&'static str, &'static str)> {
        let random = &mut self.random;
        let mut meta = Vec::new();
        if random.once_in(5) {
            meta.push(("priority", random.one_of(&["1", "10"])));
        }
        if random.once_in(12) && !self.calm {
            meta.push(("target-role", random.one_of(&["Stopped", "Unpromoted"])));
        }
        if random.once_in(15) && !self.calm {
            meta.push(("is-managed", "false"));
        }
        if random.once_in(5) {
            meta.push(("migration-threshold", "1"));
        }
        if random.once_in(6) {
            meta.push(("allow-migrate", "true"));
        }
        if random.once_in(8) {
            meta.push(("critical", "false"));
        }
        if random.once_in(8) {
            meta.push(("resource-stickiness", "50"));
        }
        meta
    }

    fn primitive(&mut self, id: &str, on_many: bool, promotable: bool) -> Resource {
        let at = self.random.next();
        self.primitive_at(id, on_many, promotable, at)
    }

    fn primitive_at(&mut self, id: &str, on_many: bool, promotable: bool, at: u64) -> Resource {
        let meta = self.meta();
        let monitor = |every_ms: u64, role| NamedOperation {
            id: format!("{id}-monitor-{every_ms}"),
            name: "monitor".to_owned(),
            every_ms,
            role,
            options: AttributeSet::default(),
            meta: Vec::new(),
            parameters: Vec::new(),
        };
        let mut operations = vec![monitor(10_000, None)];
        if promotable {
            operations.push(monitor(11_000, Some(Role::Promoted)));
        }
        let needs = self.random.one_of(&["0", "1", "2"]);
        let resource = Resource {
            id: id.to_owned(),
            body: Body::Primitive(ocf("Dummy")),
            meta: vec![set("meta", &meta)],
            parameters: Vec::new(),
            utilization: if needs == "0" { Vec::new() } else { vec![set("needs", &[("cpu", needs)])] },
            operations,
        };
        let nodes = self.state.nodes.len() as u64;
        for place in 0..nodes {
            let is_here = if on_many {
                self.calm || (at >> place) & 3 != 0
            } else {
                at % nodes == place && at & 256 != 0
            };
            self.history(id, place as usize, is_here, promotable && (at >> 32) % nodes == place);
        }
        resource
    }

    fn history(&mut self, id: &str, node: usize, is_here: bool, promoted: bool) {
        if !self.calm && self.random.once_in(9) {
            return;
        }
        let mut operations = Vec::new();
        self.calls += 5;
        let mut done = |name: &str, every_ms: u64, answer: i32, expected: i32| {
            self.calls += 1;
            operations.push(Operation {
                id: format!("{id}_{name}_{every_ms}"),
                name: name.to_owned(),
                every_ms,
                status: OperationStatus::Done,
                answer,
                expected: Some(expected),
                call: self.calls,
                changed_at: Some(NOW - 1000),
                ..Operation::default()
            });
        };
        if is_here {
            done("start", 0, 0, 0);
            if promoted {
                done("promote", 0, 0, 0);
            }
            done("monitor", 10_000, 0, 0);
            match if self.calm { 9 } else { self.random.below(24) } {
                0 => done("monitor", 10_000, 7, 0),
                1 => done("stop", 0, 1, 0),
                2 => done("monitor", 10_000, 1, 0),
                _ => {}
            }
        } else {
            done("monitor", 0, 7, 7);
        }
        if !self.calm && self.random.once_in(15) {
            let name = format!("fail-count-{id}");
            self.state.nodes[node].attributes.push(set("failed", &[(&name, "1")]));
        }
        if promoted || (!self.calm && self.random.once_in(8)) {
            let name = format!("master-{id}");
            let score = self.random.one_of(&["5", "10"]);
            self.state.nodes[node].attributes.push(set("promotion", &[(&name, score)]));
        }
        self.state.nodes[node].history.push(ResourceHistory {
            resource: id.to_owned(),
            agent: ocf("Dummy"),
            operations,
            ..ResourceHistory::default()
        });
    }

    /// Something that can be named in a constraint.
    fn any(&mut self) -> String {
        let place = self.random.below(self.cluster.resources.len() as u64) as usize;
        let found = &self.cluster.resources[place];
        match &found.body {
            Body::Group(members) if self.random.once_in(5) => {
                members.last().map_or_else(|| found.id.clone(), |member| member.id.clone())
            }
            _ => found.id.clone(),
        }
    }

    /// Something rests on a clone, as it does in most clusters that have one.
    fn rest(&mut self, number: u64) {
        let is_clone = |resource: &&Resource| matches!(resource.body, Body::Clone(_));
        let clones: Vec<String> =
            self.cluster.resources.iter().filter(is_clone).map(|clone| clone.id.clone()).collect();
        let dependent = self.any();
        if clones.is_empty() || clones.contains(&dependent) {
            return;
        }
        let primary = clones[self.random.below(clones.len() as u64) as usize].clone();
        if !self.random.once_in(4) {
            self.cluster.constraints.push(Constraint::Colocation(Colocation {
                id: format!("rests-{number}"),
                score: self.random.one_of(&[Score::INFINITY, Score::INFINITY, Score::new(50)]),
                dependent: dependent.clone(),
                dependent_role: None,
                primary: primary.clone(),
                primary_role: None,
                node_attribute: None,
                influence: self.random.one_of(&[None, None, Some(false)]),
            }));
        }
        if !self.random.once_in(4) {
            self.cluster.constraints.push(Constraint::Order(Order {
                id: format!("starts-after-{number}"),
                first: primary,
                first_action: Verb::Start,
                first_instance: None,
                then: dependent,
                then_action: Verb::Start,
                then_instance: None,
                kind: self.random.one_of(&[OrderKind::Mandatory, OrderKind::Mandatory, OrderKind::Optional]),
                symmetrical: self.random.one_of(&[None, None, Some(false)]),
                require_all: None,
            }));
        }
    }

    fn constraint(&mut self, number: u64) {
        if self.calm {
            self.rest(number);
            return;
        }
        let id = format!("constraint-{number}");
        let (one, other) = (self.any(), self.any());
        let random = &mut self.random;
        let scores =
            [Score::INFINITY, Score::INFINITY, Score::NEVER, Score::new(100), Score::new(-60), Score::new(7)];
        let score = random.one_of(&scores);
        let roles = [None, None, None, Some(Role::Promoted), Some(Role::Unpromoted)];
        let constraint = match random.below(7) {
            0 | 1 => {
                let node = random.below(self.state.nodes.len() as u64) + 1;
                Constraint::Location(Location {
                    id,
                    resource: one,
                    at: Where::Node { node: format!("n{node}"), score },
                    role: None,
                    discovery: random.one_of(&[
                        Discovery::Always,
                        Discovery::Always,
                        Discovery::Always,
                        Discovery::Never,
                        Discovery::Exclusive,
                    ]),
                })
            }
            2..5 if one != other => Constraint::Colocation(Colocation {
                id,
                score,
                dependent: one,
                dependent_role: random.one_of(&roles),
                primary: other,
                primary_role: random.one_of(&roles),
                node_attribute: random.once_in(6).then(|| "site".to_owned()),
                influence: random.one_of(&[None, None, Some(false), Some(true)]),
            }),
            _ if one != other => Constraint::Order(Order {
                id,
                first: one,
                first_action: random.one_of(&[Verb::Start, Verb::Start, Verb::Promote, Verb::Stop]),
                first_instance: None,
                then: other,
                then_action: random.one_of(&[Verb::Start, Verb::Start, Verb::Promote]),
                then_instance: None,
                kind: random.one_of(&[
                    OrderKind::Mandatory,
                    OrderKind::Mandatory,
                    OrderKind::Optional,
                    OrderKind::Serialize,
                ]),
                symmetrical: random.one_of(&[None, None, Some(false)]),
                require_all: random.one_of(&[None, None, Some(false)]),
            }),
            _ => return,
        };
        self.cluster.constraints.push(constraint);
    }
}
