//! Heart's own configuration in the words of the policy engine.
//!
//! Heart's file has no scores: here its words get them, and Heart's defaults are said explicitly, so that
//! the engine decides about both kinds of cluster in one way.
//!
//! | Heart says | the engine is told |
//! |---|---|
//! | nothing: what is healthy stays | `resource-stickiness` is infinite |
//! | `prefers = ["ada", "bob"]` | a location each; the first wins over the second, none over what runs |
//! | `failures` | `migration-threshold` |
//! | a group | a group |
//! | nothing: a lease guards | `fencing-enabled` is off: what a lost node held ends with its lease |

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::{
    AgentRef, Duration, NodeName, ResourceName, ResourceSpec, Spec, Value,
    policy::{
        AgentName, AttributeSet, Body, Cluster, Constraint, Discovery, JoinState, Location, NamedOperation,
        Node, NodeKind, NodeState, Resource, Score, State, Where,
    },
};

/// What the first preference is worth to the next: more than any count of resources on a node.
const PREFERENCE: i64 = 1000;

/// The cluster that a configuration describes.
#[must_use]
pub fn lower(spec: &Spec) -> Cluster {
    let grouped = |name: &ResourceName| spec.group_of(name).is_some();
    let group = |members: &[ResourceName]| -> Vec<Resource> {
        let known = members.iter().filter_map(|name| Some((name, spec.resources.get(name)?)));
        known.map(|(name, resource)| primitive(name, resource)).collect()
    };
    let groups = spec.groups.iter().map(|(name, written)| Resource {
        id: name.as_str().into(),
        body: Body::Group(group(&written.members)),
        meta: Vec::new(),
        parameters: Vec::new(),
        utilization: Vec::new(),
        operations: Vec::new(),
    });
    let alone = spec.resources.iter().filter(|(name, _)| !grouped(name));
    let of_groups = spec.groups.iter().map(|(name, group)| (name.as_str(), &group.wishes.prefers));
    let of_resources = alone.clone().map(|(name, resource)| (name.as_str(), &resource.wishes.prefers));
    Cluster {
        options: said([
            ("fencing-enabled", "false"),
            ("symmetric-cluster", "true"),
            ("no-quorum-policy", "stop"),
        ]),
        nodes: spec.nodes.keys().map(node).collect(),
        resources: groups.chain(alone.map(|(name, resource)| primitive(name, resource))).collect(),
        resource_defaults: said([("resource-stickiness", "INFINITY")]),
        constraints: of_groups
            .chain(of_resources)
            .flat_map(|(name, prefers)| locations(name, prefers))
            .collect(),
        ..Cluster::default()
    }
}

/// The state in which every node is there and nothing was done yet.
#[must_use]
pub fn at_rest(cluster: &Cluster) -> State {
    let node = |node: &Node| NodeState {
        id: node.id.clone(),
        name: Some(node.name.clone()),
        member: Some(1),
        process: Some(1),
        join: Some(JoinState::Member),
        expected_up: Some(true),
        ..NodeState::default()
    };
    State {
        quorum: true,
        had_quorum: true,
        leader: cluster.nodes.first().map(|node| node.id.clone()),
        nodes: cluster.nodes.iter().map(node).collect(),
        ..State::default()
    }
}

fn node(name: &NodeName) -> Node {
    Node {
        id: name.as_str().into(),
        name: name.as_str().into(),
        kind: NodeKind::Member,
        score: Score::ZERO,
        attributes: Vec::new(),
        utilization: Vec::new(),
    }
}

fn primitive(name: &ResourceName, spec: &ResourceSpec) -> Resource {
    let agent = match &spec.agent {
        AgentRef::BuiltIn(kind) => {
            AgentName { class: "heart".into(), provider: None, agent_type: kind.clone() }
        }
        AgentRef::Ocf { provider, kind } => {
            AgentName { class: "ocf".into(), provider: Some(provider.clone()), agent_type: kind.clone() }
        }
    };
    let parameters: BTreeMap<String, String> =
        spec.parameters.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let operation = |operation: &str, every: Duration, timeout: Duration| NamedOperation {
        id: format!("{name}-{operation}"),
        name: operation.into(),
        every_ms: u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
        role: None,
        options: AttributeSet {
            values: BTreeMap::from([("timeout".into(), format!("{}ms", timeout.as_millis()))]),
            ..AttributeSet::default()
        },
        meta: Vec::new(),
        parameters: Vec::new(),
    };
    let timeouts = &spec.timeouts;
    Resource {
        id: name.as_str().into(),
        body: Body::Primitive(agent),
        meta: said([("migration-threshold", spec.failures_max.to_string())]),
        parameters: Vec::from([AttributeSet { values: parameters, ..AttributeSet::default() }]),
        utilization: Vec::new(),
        operations: Vec::from([
            operation("start", Duration::ZERO, timeouts.start),
            operation("stop", Duration::ZERO, timeouts.stop),
            operation("monitor", timeouts.status_every, timeouts.status),
        ]),
    }
}

/// A parameter as agents are told it.
fn text(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::List(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Table(values) => {
            let pairs = values.iter().map(|(name, value)| format!("{name}={}", text(value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
    }
}

fn locations(resource: &str, prefers: &[NodeName]) -> Vec<Constraint> {
    let score = |place: usize| Score::new(PREFERENCE * (prefers.len() - place) as i64);
    let location = |(place, node): (usize, &NodeName)| {
        Constraint::Location(Location {
            id: format!("{resource} prefers {node}"),
            resource: resource.into(),
            at: Where::Node { node: node.as_str().into(), score: score(place) },
            role: None,
            discovery: Discovery::Always,
        })
    };
    prefers.iter().enumerate().map(location).collect()
}

fn said<V: Into<String>, const N: usize>(values: [(&str, V); N]) -> Vec<AttributeSet> {
    let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    Vec::from([AttributeSet { values, ..AttributeSet::default() }])
}
