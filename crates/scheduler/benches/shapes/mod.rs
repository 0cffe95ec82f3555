//! Clusters of any size, in the shapes that are measured.
//!
//! Everything runs where it was placed, and what was done there is known as a real cluster knows it: starts
//! and monitors with digests of what they were told, and, where it is asked for, the probes of all other
//! nodes. So a shape by itself gives nothing to do, unless something is wrong in it.
#![allow(dead_code, clippy::allow_attributes, reason = "each bench and test uses its part")]

pub(crate) mod mixed;

use std::collections::BTreeMap;

use heart_model::policy::{
    AgentName, AttributeSet, Body, Cluster, Colocation, Constraint, Digests, Discovery, JoinState, Location,
    NamedOperation, Node, NodeKind, NodeState, Operation, OperationStatus, Order, OrderKind, Resource,
    ResourceHistory, Score, State, Verb, Where,
};
use md5::{Digest, Md5};

/// How often everything is monitored: milliseconds.
const MONITOR_MS: u64 = 10_000;

/// How long a monitor may take: milliseconds.
const TIMEOUT_MS: u64 = 20_000;

/// The time at which it is planned, in seconds since 1970, and when everything was done.
const NOW: i64 = 1_790_000_000;

/// How many clones there are in a shape that has some.
const CLONES: usize = 4;

/// What an agent is told: names and values.
type Parameters<'p> = &'p [(&'p str, &'p str)];

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Groups of three, all well.
    Groups,
    /// The same, and one node is lost.
    NodeLost,
    /// Clones on all nodes, and groups that are with one of them and start after it.
    Clones,
    /// Groups of three of which nobody knows anything: all of them are probed on all nodes.
    Probes,
    /// As with clones, and nothing runs yet.
    Begin,
    /// Groups of three, and of every ten one that may run only where it is.
    Pinned,
}

/// How large it is, and what is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How many nodes.
    pub(crate) nodes: usize,
    /// How many primitives were written; instances of clones come on top.
    pub(crate) resources: usize,
    /// Every node was asked for every resource once, and that is in its history. Without it nodes are not
    /// asked at all, as an option of the cluster says.
    pub(crate) probed: bool,
}

/// A cluster of this shape and size.
pub(crate) fn cluster(shape: Shape, size: Size) -> (Cluster, State) {
    let mut world = World::new(size, matches!(shape, Shape::Probes | Shape::Begin));
    world.fence_device();
    let has_clones = matches!(shape, Shape::Clones | Shape::Begin);
    let clones = if has_clones { CLONES.min(size.resources) } else { 0 };
    (0..clones).for_each(|number| world.clone(number));
    let mut left = size.resources.saturating_sub(clones);
    let mut number = 0;
    while left > 0 {
        world.group(number, left.min(3));
        if clones > 0 {
            world.bind(number, number % clones);
        }
        if shape == Shape::Pinned && number.is_multiple_of(10) {
            world.pin(number);
        }
        left -= left.min(3);
        number += 1;
    }
    if shape == Shape::NodeLost {
        lose(&mut world.state, size.nodes / 2);
    }
    (world.cluster, world.state)
}

/// The node is no longer part of the cluster, and nobody expected that.
pub(crate) fn lose(state: &mut State, node: usize) {
    let node = &mut state.nodes[node];
    node.member = Some(0);
    node.process = Some(0);
    node.join = Some(JoinState::Down);
}

/// What is known of the last thing that runs on a node, and the same with a monitor that has failed.
pub(crate) fn failure(state: &State, node: usize) -> Option<(ResourceHistory, ResourceHistory)> {
    let running = |history: &&ResourceHistory| history.operations.len() > 1;
    let known = state.nodes[node].history.iter().rfind(running)?;
    let last = known.operations.last().cloned()?;
    let mut failed = known.clone();
    failed.operations.push(Operation {
        id: format!("{}_last_failure", last.id),
        answer: 7,
        call: last.call + 100_000,
        changed_at: Some(NOW - 1),
        ..last
    });
    Some((known.clone(), failed))
}

/// A cluster while it is made.
struct World {
    cluster: Cluster,
    state: State,
    /// The nodes are asked for what runs there, and have not been.
    unknown: bool,
    probed: bool,
    calls: i32,
}

impl World {
    fn new(size: Size, unknown: bool) -> World {
        let mut world = World {
            cluster: Cluster::default(),
            state: State::default(),
            unknown,
            probed: size.probed && !unknown,
            calls: 0,
        };
        let options = [
            ("fencing-enabled", "true"),
            ("no-quorum-policy", "stop"),
            ("dc-version", "2.1.9"),
            ("cluster-infrastructure", "corosync"),
            ("enable-startup-probes", if size.probed { "true" } else { "false" }),
        ];
        world.cluster.options = vec![set("cluster-options", &options)];
        world.cluster.resource_defaults = vec![set("resource-defaults", &[("resource-stickiness", "1")])];
        for number in 0..size.nodes {
            world.node(number);
        }
        world.state.now = Some(NOW);
        world.state.quorum = true;
        world.state.had_quorum = true;
        world.state.leader = Some("1".to_owned());
        world
    }

    fn node(&mut self, number: usize) {
        let (id, name) = ((number + 1).to_string(), format!("node-{:04}", number + 1));
        self.state.nodes.push(NodeState {
            id: id.clone(),
            name: Some(name.clone()),
            member: Some(NOW - 86_400),
            process: Some(NOW - 86_400),
            join: Some(JoinState::Member),
            expected_up: Some(true),
            attributes: vec![set(&format!("status-{id}"), &[("#feature-set", "3.19.0")])],
            ..NodeState::default()
        });
        self.cluster.nodes.push(Node {
            id,
            name,
            kind: NodeKind::Member,
            score: Score::ZERO,
            attributes: vec![set(
                "site",
                &[("site", if number.is_multiple_of(2) { "north" } else { "south" })],
            )],
            utilization: Vec::new(),
        });
    }

    fn fence_device(&mut self) {
        let agent =
            AgentName { class: "stonith".to_owned(), provider: None, agent_type: "fence_ipmilan".to_owned() };
        let device = primitive("fencing", agent, &[("lanplus", "1"), ("username", "admin")]);
        self.runs(&device, "fencing", Some(0));
        self.cluster.resources.push(device);
    }

    /// A group of so many, on a node that its number says.
    fn group(&mut self, number: usize, members: usize) {
        let node = number % self.cluster.nodes.len();
        let name = format!("service-{number:05}");
        let address = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
        let parts: [(&str, &str, Parameters<'_>); 3] = [
            ("ip", "IPaddr2", &[("ip", &address), ("cidr_netmask", "24")]),
            ("fs", "Filesystem", &[("device", "/dev/vg/lv"), ("directory", "/srv"), ("fstype", "xfs")]),
            ("app", "apache", &[("configfile", "/etc/httpd/conf/httpd.conf")]),
        ];
        let mut group = Vec::new();
        for (part, agent, parameters) in parts.into_iter().take(members) {
            let member = primitive(&format!("{name}-{part}"), ocf(agent), parameters);
            self.runs(&member, &member.id, Some(node));
            group.push(member);
        }
        self.cluster.resources.push(collective(&name, Body::Group(group), &[]));
    }

    /// A clone with an instance on every node.
    fn clone(&mut self, number: usize) {
        let inner = primitive(&format!("storage-{number}"), ocf("dlm"), &[("daemon", "controld")]);
        self.runs(&inner, &inner.id, None);
        let name = format!("storage-{number}-clone");
        let body = Body::Clone(Box::new(inner));
        self.cluster.resources.push(collective(&name, body, &[("interleave", "true")]));
    }

    /// A group is where a clone is, and starts after it.
    fn bind(&mut self, group: usize, clone: usize) {
        let (group, clone) = (format!("service-{group:05}"), format!("storage-{clone}-clone"));
        self.cluster.constraints.push(Constraint::Colocation(Colocation {
            id: format!("{group}-with-{clone}"),
            score: Score::INFINITY,
            dependent: group.clone(),
            dependent_role: None,
            primary: clone.clone(),
            primary_role: None,
            node_attribute: None,
            influence: None,
        }));
        self.cluster.constraints.push(Constraint::Order(Order {
            id: format!("{group}-after-{clone}"),
            first: clone,
            first_action: Verb::Start,
            first_instance: None,
            then: group,
            then_action: Verb::Start,
            then_instance: None,
            kind: OrderKind::Mandatory,
            symmetrical: None,
            require_all: None,
        }));
    }

    /// A group may run only where it is.
    fn pin(&mut self, group: usize) {
        let count = self.cluster.nodes.len();
        for number in (0..count).filter(|number| *number != group % count) {
            self.cluster.constraints.push(Constraint::Location(Location {
                id: format!("service-{group:05}-not-on-{}", number + 1),
                resource: format!("service-{group:05}"),
                at: Where::Node { node: self.cluster.nodes[number].name.clone(), score: Score::NEVER },
                role: None,
                discovery: Discovery::Always,
            }));
        }
    }

    /// Notes that a resource runs on a node, or on all, and on no other.
    fn runs(&mut self, resource: &Resource, id: &str, on: Option<usize>) {
        let Body::Primitive(agent) = &resource.body else { return };
        for number in 0..self.state.nodes.len() {
            let is_here = on.is_none_or(|on| on == number) && !self.unknown;
            if !is_here && !self.probed {
                continue;
            }
            self.calls += 3;
            let call = self.calls;
            let probe = done(resource, &format!("{id}_last_0"), "monitor", 0, 7, call);
            let operations = if is_here {
                let monitor = format!("{id}_monitor_{MONITOR_MS}");
                vec![
                    done(resource, &format!("{id}_last_0"), "start", 0, 0, call + 1),
                    done(resource, &monitor, "monitor", MONITOR_MS, 0, call + 2),
                ]
            } else {
                vec![probe]
            };
            self.state.nodes[number].history.push(ResourceHistory {
                resource: id.to_owned(),
                agent: agent.clone(),
                operations,
                ..ResourceHistory::default()
            });
        }
    }
}

fn ocf(agent_type: &str) -> AgentName {
    AgentName {
        class: "ocf".to_owned(),
        provider: Some("heartbeat".to_owned()),
        agent_type: agent_type.to_owned(),
    }
}

fn set(id: &str, values: &[(&str, &str)]) -> AttributeSet {
    let values: BTreeMap<String, String> =
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    AttributeSet { id: id.to_owned(), values, ..AttributeSet::default() }
}

fn primitive(id: &str, agent: AgentName, parameters: &[(&str, &str)]) -> Resource {
    let monitor = NamedOperation {
        id: format!("{id}-monitor"),
        name: "monitor".to_owned(),
        every_ms: MONITOR_MS,
        role: None,
        options: set("", &[("timeout", "20s")]),
        meta: Vec::new(),
        parameters: Vec::new(),
    };
    Resource {
        id: id.to_owned(),
        body: Body::Primitive(agent),
        meta: Vec::new(),
        parameters: vec![set(&format!("{id}-parameters"), parameters)],
        utilization: Vec::new(),
        operations: vec![monitor],
    }
}

fn collective(id: &str, body: Body, options: &[(&str, &str)]) -> Resource {
    let meta = if options.is_empty() { Vec::new() } else { vec![set(&format!("{id}-options"), options)] };
    Resource {
        id: id.to_owned(),
        body,
        meta,
        parameters: Vec::new(),
        utilization: Vec::new(),
        operations: Vec::new(),
    }
}

/// An operation that ended as it was expected to.
fn done(resource: &Resource, id: &str, name: &str, every_ms: u64, answer: i32, call: i32) -> Operation {
    Operation {
        id: id.to_owned(),
        name: name.to_owned(),
        every_ms,
        status: OperationStatus::Done,
        answer,
        expected: Some(answer),
        call,
        transition: Some((1, call, "0f2b4c1e-7f2d-4a35-9c3c-0d5c8d1f6a10".to_owned())),
        changed_at: Some(NOW - 80_000),
        ran_at: Some(NOW - 80_000),
        digests: Digests {
            all: Some(digest(resource, every_ms > 0)),
            feature_set: Some("3.19.0".to_owned()),
            ..Digests::default()
        },
        ..Operation::default()
    }
}

/// The digest of what an operation is told.
fn digest(resource: &Resource, recurs: bool) -> String {
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in resource.parameters.iter().flat_map(|set| &set.values) {
        told.insert(name, value.clone());
    }
    if recurs {
        told.insert("CRM_meta_timeout", TIMEOUT_MS.to_string());
    }
    let told: String = told.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
    let sum = Md5::digest(format!(" <parameters{told}/>\n"));
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
