//! Heart's own configuration in the words of the policy engine.
//!
//! Heart's file has no scores: here its words get them, and Heart's defaults are said explicitly, so that
//! the engine decides about both kinds of cluster in one way.
//!
//! | Heart says | the engine is told |
//! |---|---|
//! | nothing: what is healthy stays | `resource-stickiness` is infinite |
//! | `prefers = ["ada", "bob"]` | a location each; the first wins over the second, none over what runs |
//! | `avoids` | a location on all other nodes, worth more than any preference; a colocation below zero |
//! | `never` | a location or a colocation of minus infinity |
//! | `with` | a colocation of infinity |
//! | `after` | a mandatory order |
//! | `copies`, `promotable` | a clone with one instance on a node |
//! | `needs`, `capacity` | utilization |
//! | `during`, if it is none of these times | `target-role` is stopped |
//! | `ticket` | a use of the ticket, which stops what depends on it |
//! | `failures_max` | `migration-threshold` |
//! | a group | a group |
//! | nothing: a lease guards | `fencing-enabled` is off: what a lost node held ends with its lease |

mod constraints;

use alloc::{
    borrow::ToOwned as _,
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use heart_model::{
    AgentRef, Copies, Duration, Name, NodeName, NodeSpec, ResourceName, ResourceSpec, Spec, Wishes,
    policy::{
        AgentName, AttributeSet, Body, Cluster, JoinState, NamedOperation, Node, NodeKind, NodeState,
        Resource, Score, State,
    },
};

/// Whether a time that the file names is at a moment: seconds since 1970. Without a clock none is.
#[must_use]
pub fn is_time(spec: &Spec, name: &Name, now: Option<i64>) -> bool {
    now.is_some_and(|now| spec.times.get(name).is_some_and(|hours| hours.hold(now)))
}

/// Whether something runs at a moment, as far as times go.
pub(crate) fn runs_now(spec: &Spec, wishes: &Wishes, now: Option<i64>) -> bool {
    wishes.during.is_empty() || wishes.during.iter().any(|time| is_time(spec, time, now))
}

/// When one of the times that the file names begins or ends next: seconds since 1970.
#[must_use]
pub fn next_change(spec: &Spec, now: Option<i64>) -> Option<i64> {
    let now = now?;
    spec.times.values().filter_map(|hours| hours.next_change(now)).min()
}

/// The cluster that a configuration describes, at a moment: seconds since 1970.
#[must_use]
pub fn lower(spec: &Spec, now: Option<i64>) -> Cluster {
    let grouped = |name: &ResourceName| spec.group_of(name).is_some();
    let wishes = |wishes: &Wishes| wishes.while_times(|time| is_time(spec, time, now));
    let mut resources = Vec::new();
    let mut constraints = Vec::new();
    for (name, group) in &spec.groups {
        let known = group.members.iter().filter_map(|name| Some((name, spec.resources.get(name)?)));
        let members: Vec<Resource> =
            known.map(|(name, resource)| primitive(name.as_str(), resource)).collect();
        let wishes = wishes(&group.wishes);
        let body = resource_of(name.as_str(), Body::Group(members));
        resources.push(unit(spec, body, &wishes, false, now));
        constraints.extend(constraints::of_unit(spec, name.as_str(), &wishes, false));
        for member in &group.members {
            let after = spec.resources.get(member).map(|resource| &resource.wishes.after);
            constraints.extend(constraints::orders(spec, member.as_str(), after.into_iter().flatten()));
        }
    }
    for (name, resource) in spec.resources.iter().filter(|(name, _)| !grouped(name)) {
        let wishes = wishes(&resource.wishes);
        let body = primitive(name.as_str(), resource);
        resources.push(unit(spec, body, &wishes, resource.promotable, now));
        constraints.extend(constraints::of_unit(spec, name.as_str(), &wishes, resource.promotable));
    }
    let strategy = match spec.resources.values().any(|resource| !resource.needs.is_empty()) {
        true => "utilization",
        false => "default",
    };
    Cluster {
        options: said([
            ("fencing-enabled", "false"),
            ("symmetric-cluster", "true"),
            ("no-quorum-policy", "stop"),
            ("placement-strategy", strategy),
        ]),
        nodes: spec.nodes.iter().map(|(name, spec)| node(name, spec)).collect(),
        resources,
        resource_defaults: said([("resource-stickiness", "INFINITY")]),
        constraints,
        ..Cluster::default()
    }
}

/// What the engine calls all copies of a resource or group together. No name in a file has this form.
pub(crate) fn all_copies(name: &str) -> String {
    format!("{name}@all")
}

/// Something that is placed as a whole, with its copies around it if it has any.
fn unit(spec: &Spec, body: Resource, wishes: &Wishes, promotable: bool, now: Option<i64>) -> Resource {
    let mut whole = match wishes.copies {
        None => body,
        Some(copies) => {
            let nodes = u32::try_from(spec.nodes.len()).unwrap_or(u32::MAX);
            let most = match copies {
                Copies::All => nodes,
                Copies::Of(most) => most,
            };
            let mut whole = resource_of(&all_copies(&body.id), Body::Clone(Box::new(body)));
            whole.meta = said([
                ("clone-max", most.to_string()),
                ("clone-node-max", "1".to_owned()),
                ("interleave", "true".to_owned()),
                ("promotable", promotable.to_string()),
            ]);
            whole
        }
    };
    if !runs_now(spec, wishes, now) {
        tell(&mut whole, "target-role", "Stopped");
    }
    whole
}

/// Sets an option of a resource.
pub(crate) fn tell(resource: &mut Resource, option: &str, value: &str) {
    if resource.meta.is_empty() {
        resource.meta.push(AttributeSet::default());
    }
    resource.meta[0].values.insert(option.into(), value.into());
}

fn resource_of(id: &str, body: Body) -> Resource {
    Resource {
        id: id.into(),
        body,
        meta: Vec::new(),
        parameters: Vec::new(),
        utilization: Vec::new(),
        operations: Vec::new(),
    }
}

fn amounts(amounts: &BTreeMap<Name, u64>) -> Vec<AttributeSet> {
    if amounts.is_empty() {
        return Vec::new();
    }
    let values = amounts.iter().map(|(name, amount)| (name.to_string(), amount.to_string())).collect();
    Vec::from([AttributeSet { values, ..AttributeSet::default() }])
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

fn node(name: &NodeName, spec: &NodeSpec) -> Node {
    Node {
        id: name.as_str().into(),
        name: name.as_str().into(),
        kind: NodeKind::Member,
        score: Score::ZERO,
        attributes: Vec::new(),
        utilization: amounts(&spec.capacity),
    }
}

fn primitive(name: &str, spec: &ResourceSpec) -> Resource {
    let agent = match &spec.agent {
        AgentRef::BuiltIn(kind) => {
            AgentName { class: "heart".into(), provider: None, agent_type: kind.clone() }
        }
        AgentRef::Ocf { provider, kind } => {
            AgentName { class: "ocf".into(), provider: Some(provider.clone()), agent_type: kind.clone() }
        }
    };
    let parameters: BTreeMap<String, String> =
        spec.parameters.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
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
        id: name.into(),
        body: Body::Primitive(agent),
        meta: said([("migration-threshold", spec.failures_max.to_string())]),
        parameters: Vec::from([AttributeSet { values: parameters, ..AttributeSet::default() }]),
        utilization: amounts(&spec.needs),
        operations: Vec::from([
            operation("start", Duration::ZERO, timeouts.start),
            operation("stop", Duration::ZERO, timeouts.stop),
            operation("monitor", timeouts.status_every, timeouts.status),
        ]),
    }
}

fn said<V: Into<String>, const N: usize>(values: [(&str, V); N]) -> Vec<AttributeSet> {
    let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    Vec::from([AttributeSet { values, ..AttributeSet::default() }])
}
