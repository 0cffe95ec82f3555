//! Small clusters as text, one line for each thing, so that a table of cases can be read:
//!
//! ```text
//! nodes n1 n2:standby n3:cpu=4      machines, and what they have to give
//! set placement-strategy=balanced   an option of the cluster; `quorum=false` for none
//! a @n1 priority=3 cpu:2            a primitive: where it is, its options, what it needs
//! g (b @n1, c)                      a group
//! k *(w @n1 @n2+) clone-max=2       a clone; + is promoted, ! is failed
//! tag t a b                         a name for several
//! say n1 master-w=10                what a node says of itself
//! a at n1 100                       a location; `k[P]` speaks of the promoted role
//! a with k[P] INFINITY              a colocation; `[U]` for the unpromoted role
//! a then b Optional                 an order; `k.promote` speaks of another action than the start
//! ```

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec,
    vec::Vec,
};

use heart_model::policy::{
    AgentName, AttributeSet, Body, Cluster, Colocation, Constraint, Discovery, JoinState, Location, Node,
    NodeKind, NodeState, Operation, Order, OrderKind, Resource, ResourceHistory, Role, Score, State, Verb,
    Where,
};

use crate::engine::{arena::Arena, assignment, candidates, colocation, facts};

/// What was written, and what is.
#[derive(Default)]
struct Small {
    cluster: Cluster,
    state: State,
    options: BTreeMap<String, String>,
}

/// The cluster of this text.
pub(crate) fn cluster(text: &str) -> (Cluster, State) {
    let mut small = Small::default();
    small.options.insert("fencing-enabled".into(), "false".into());
    small.state.quorum = true;
    text.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| small.line(line));
    small.cluster.options = vec![set(&small.options)];
    (small.cluster, small.state)
}

/// The same, with nothing placed yet.
pub(crate) fn arena(text: &str) -> Arena<'static> {
    let (cluster, state) = cluster(text);
    // A test has an end: what it was made of may stay.
    let (cluster, state) = (Box::leak(Box::new(cluster)), Box::leak(Box::new(state)));
    let mut arena = facts::gather(cluster, state);
    candidates::admit(&mut arena);
    colocation::unfold(&mut arena);
    arena
}

/// Where the named resources go, and in which role: `a n1, k:0 n2 Promoted, b -`.
pub(crate) fn places(text: &str, wanted: &str) -> String {
    let mut arena = arena(text);
    assignment::assign(&mut arena);
    let place = |name: &str| {
        let Some(number) = arena.by_id.get(name) else { return format!("{name} ?") };
        let here = &arena[*number];
        match (here.assigned, here.next_role) {
            (None, _) | (_, Role::Stopped) => format!("{name} -"),
            (Some(node), Role::Promoted) => format!("{name} {}+", arena.node(node).name),
            (Some(node), Role::Started | Role::Unpromoted) => format!("{name} {}", arena.node(node).name),
        }
    };
    wanted.split(' ').map(place).collect::<Vec<_>>().join(", ")
}

impl Small {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["nodes", nodes @ ..] => nodes.iter().for_each(|node| self.node(node)),
            ["set", options @ ..] => {
                self.options.extend(options.iter().filter_map(|one| pair(one, '=')));
                self.state.quorum = self.options.get("quorum").is_none_or(|said| said == "true");
            }
            ["say", node, said @ ..] => {
                let said: BTreeMap<_, _> = said.iter().filter_map(|one| pair(one, '=')).collect();
                if let Some(state) = self.state.nodes.iter_mut().find(|state| state.id == *node) {
                    state.attributes.push(set(&said));
                }
            }
            ["tag", tag, names @ ..] => {
                let names = names.iter().map(|name| name.to_string()).collect();
                self.cluster.tags.insert(tag.to_string(), names);
            }
            [resource, "at", node, score] => {
                let (resource, role) = with_role(resource);
                let at = Where::Node { node: node.to_string(), score: read(score) };
                let id = line.into();
                let discovery = Discovery::Always;
                let location = Location { id, resource, at, role, discovery };
                self.cluster.constraints.push(Constraint::Location(location));
            }
            [dependent, "with", primary, score, more @ ..] => {
                let ((dependent, dependent_role), (primary, primary_role)) =
                    (with_role(dependent), with_role(primary));
                let options: BTreeMap<_, _> = more.iter().filter_map(|one| pair(one, '=')).collect();
                self.cluster.constraints.push(Constraint::Colocation(Colocation {
                    id: line.into(),
                    score: read(score),
                    dependent,
                    dependent_role,
                    primary,
                    primary_role,
                    node_attribute: options.get("by").cloned(),
                    influence: options.get("influence").map(|said| said == "true"),
                }));
            }
            [first, "then", then, kind @ ..] => {
                let kind = match kind {
                    ["Optional", ..] => OrderKind::Optional,
                    ["Serialize", ..] => OrderKind::Serialize,
                    [..] => OrderKind::Mandatory,
                };
                let ((first, first_action), (then, then_action)) = (with_action(first), with_action(then));
                self.cluster.constraints.push(Constraint::Order(Order {
                    id: line.into(),
                    first,
                    first_action,
                    first_instance: None,
                    then,
                    then_action,
                    then_instance: None,
                    kind,
                    symmetrical: line.ends_with("one-way").then_some(false),
                    require_all: None,
                }));
            }
            [..] => {
                let resource = self.resource(line);
                self.cluster.resources.push(resource);
            }
        }
    }

    fn node(&mut self, said: &str) {
        let (name, what) = said.split_once(':').unwrap_or((said, ""));
        let capacity: BTreeMap<_, _> = pair(what, '=').into_iter().collect();
        let standby = BTreeMap::from([("standby".to_string(), (what == "standby").to_string())]);
        self.cluster.nodes.push(Node {
            id: name.into(),
            name: name.into(),
            kind: NodeKind::Member,
            score: Score::ZERO,
            attributes: vec![set(&standby)],
            utilization: vec![set(&capacity)],
        });
        let there = what != "gone";
        self.state.nodes.push(NodeState {
            id: name.into(),
            name: Some(name.into()),
            member: Some(i64::from(there)),
            process: Some(i64::from(there)),
            join: Some(if there { JoinState::Member } else { JoinState::Down }),
            expected_up: Some(there),
            ..NodeState::default()
        });
    }

    fn resource(&mut self, line: &str) -> Resource {
        let (head, rest) = line.split_once(['(']).map_or((line, None), |(head, rest)| (head, Some(rest)));
        let (inside, tail) = rest.and_then(|rest| rest.rsplit_once(')')).unwrap_or(("", ""));
        let mut words = head.split_whitespace().chain(tail.split_whitespace());
        let id = words.next().unwrap_or_default().to_string();
        let words: Vec<&str> = words.collect();
        let options: BTreeMap<_, _> = words.iter().filter_map(|one| pair(one, '=')).collect();
        let needs: BTreeMap<_, _> = words.iter().filter_map(|one| pair(one, ':')).collect();
        let is_clone = head.trim_end().ends_with('*');
        let inside: Vec<&str> = match rest {
            None => vec![],
            Some(_) if is_clone => vec![inside],
            Some(_) => inside.split(',').collect(),
        };
        let mut inner: Vec<Resource> = inside.iter().map(|part| self.resource(part.trim())).collect();
        words.iter().filter_map(|word| word.strip_prefix('@')).for_each(|at| self.history(&id, at));
        let body = match rest {
            None => Body::Primitive(agent()),
            Some(_) if is_clone => Body::Clone(Box::new(inner.swap_remove(0))),
            Some(_) => Body::Group(inner),
        };
        let utilization = vec![set(&needs)];
        Resource { id, body, meta: vec![set(&options)], parameters: vec![], utilization, operations: vec![] }
    }

    fn history(&mut self, resource: &str, at: &str) {
        let node = at.trim_end_matches(['+', '!']);
        let operation = |name: &str, call, answer| Operation {
            id: format!("{resource}-{name}"),
            name: name.into(),
            answer,
            expected: Some(0),
            call,
            every_ms: if name == "monitor" { 1000 } else { 0 },
            ..Operation::default()
        };
        let mut operations = vec![operation("start", 1, 0)];
        if at.ends_with('+') {
            operations.push(operation("promote", 2, 0));
        }
        if at.ends_with('!') {
            operations.push(operation("monitor", 3, 1));
        }
        let entry = ResourceHistory {
            resource: resource.into(),
            agent: agent(),
            operations,
            ..ResourceHistory::default()
        };
        if let Some(state) = self.state.nodes.iter_mut().find(|state| state.id == node) {
            state.history.push(entry);
        }
    }
}

fn agent() -> AgentName {
    AgentName { class: "ocf".into(), provider: Some("heart".into()), agent_type: "nothing".into() }
}

fn with_action(word: &str) -> (String, Verb) {
    let (name, action) = word.split_once('.').unwrap_or((word, "start"));
    let action = match action {
        "stop" => Verb::Stop,
        "promote" => Verb::Promote,
        "demote" => Verb::Demote,
        _ => Verb::Start,
    };
    (name.into(), action)
}

fn set(values: &BTreeMap<String, String>) -> AttributeSet {
    AttributeSet { values: values.clone(), ..AttributeSet::default() }
}

fn pair(word: &str, sign: char) -> Option<(String, String)> {
    let (name, value) = word.split_once(sign)?;
    Some((name.to_string(), value.to_string()))
}

fn read(score: &str) -> Score {
    match score {
        "INFINITY" => Score::INFINITY,
        "-INFINITY" => Score::NEVER,
        number => Score::new(number.parse().unwrap_or_default()),
    }
}

fn with_role(name: &str) -> (String, Option<Role>) {
    if let Some(name) = name.strip_suffix("[P]") {
        (name.into(), Some(Role::Promoted))
    } else if let Some(name) = name.strip_suffix("[U]") {
        (name.into(), Some(Role::Unpromoted))
    } else {
        (name.into(), None)
    }
}
