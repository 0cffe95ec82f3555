//! Small clusters, made by hand.

use std::collections::BTreeMap;

use heart_clusters::Situation;
use heart_model::policy::{
    AgentName, AttributeSet, Body, Colocation, Constraint, Discovery, JoinState, Location, LossPolicy, Node,
    NodeKind, NodeState, Operation, OperationStatus, Order, OrderKind, Resource, ResourceHistory, Score,
    TicketUse, Verb, Where,
};

const NOW: i64 = 1_780_000_000;

/// A cluster without fencing, with all nodes there.
pub(crate) struct Small(Situation);

type Pairs<'p> = &'p [(&'p str, &'p str)];

impl Small {
    pub(crate) fn new(nodes: &[&str]) -> Small {
        let mut small = Small(Situation::default());
        small.0.state.quorum = true;
        small.0.state.now = Some(NOW);
        for name in nodes {
            small.0.cluster.nodes.push(Node {
                id: (*name).into(),
                name: (*name).into(),
                kind: NodeKind::Member,
                score: Score::ZERO,
                attributes: vec![AttributeSet::default()],
                utilization: vec![],
            });
            small.0.state.nodes.push(NodeState {
                id: (*name).into(),
                name: Some((*name).into()),
                member: Some(1),
                process: Some(1),
                join: Some(JoinState::Member),
                expected_up: Some(true),
                attributes: vec![AttributeSet::default()],
                ..NodeState::default()
            });
        }
        small.0.cluster.options = vec![AttributeSet::default()];
        small.set("fencing-enabled", "false")
    }

    pub(crate) fn situation(self) -> Situation {
        self.0
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Small {
        self.0.cluster.options[0].values.insert(name.into(), value.into());
        self
    }

    pub(crate) fn set_default(mut self, name: &str, value: &str) -> Small {
        self.0.cluster.resource_defaults = vec![values(&[(name, value)])];
        self
    }

    /// What is written of a node.
    pub(crate) fn node(mut self, name: &str, attribute: &str, value: &str) -> Small {
        let node = self.0.cluster.nodes.iter_mut().find(|node| node.name == name).unwrap();
        node.attributes[0].values.insert(attribute.into(), value.into());
        self
    }

    fn state(&mut self, name: &str) -> &mut NodeState {
        self.0.state.nodes.iter_mut().find(|node| node.id == name).unwrap()
    }

    /// What a node says of itself.
    pub(crate) fn say(mut self, name: &str, attribute: &str, value: &str) -> Small {
        self.state(name).attributes[0].values.insert(attribute.into(), value.into());
        self
    }

    pub(crate) fn lost(mut self, name: &str) -> Small {
        let node = self.state(name);
        (node.member, node.process, node.join) = (Some(0), Some(0), Some(JoinState::Down));
        self
    }

    /// A state of a node that is in a container.
    pub(crate) fn guest(mut self, name: &str) -> Small {
        let (id, name) = (name.to_owned(), Some(name.to_owned()));
        self.0.state.nodes.push(NodeState { id, name, remote: true, ..NodeState::default() });
        self
    }

    pub(crate) fn joining(mut self, name: &str) -> Small {
        let node = self.state(name);
        (node.join, node.expected_up) = (Some(JoinState::Pending), Some(false));
        self
    }

    fn add(mut self, id: &str, body: Body, meta: Pairs<'_>) -> Small {
        self.0.cluster.resources.push(resource(id, body, meta));
        self
    }

    pub(crate) fn primitive(self, id: &str, meta: Pairs<'_>) -> Small {
        self.add(id, Body::Primitive(agent("ocf")), meta)
    }

    pub(crate) fn device(self, id: &str, meta: Pairs<'_>) -> Small {
        self.add(id, Body::Primitive(agent("stonith")), meta)
    }

    pub(crate) fn group(self, id: &str, members: &[&str]) -> Small {
        let members = members.iter().map(|member| resource(member, Body::Primitive(agent("ocf")), &[]));
        let members = members.collect();
        self.add(id, Body::Group(members), &[])
    }

    /// Makes a clone of something that was added before.
    pub(crate) fn clone(mut self, id: &str, inner: &str, meta: Pairs<'_>) -> Small {
        let resources = &mut self.0.cluster.resources;
        let place = resources.iter().position(|resource| resource.id == inner).unwrap();
        let inner = resources.remove(place);
        self.add(id, Body::Clone(Box::new(inner)), meta)
    }

    /// An option of a member of a group.
    pub(crate) fn meta(mut self, id: &str, name: &str, value: &str) -> Small {
        for resource in &mut self.0.cluster.resources {
            if let Body::Group(members) = &mut resource.body {
                let members = members.iter_mut().filter(|member| member.id == id);
                members.for_each(|member| member.meta.push(values(&[(name, value)])));
            }
        }
        self
    }

    /// What was done: `start=0 monitor/10000=1`; `start?` has no answer.
    pub(crate) fn did(mut self, node: &str, resource: &str, operations: &str) -> Small {
        let operations = operations.split(' ').enumerate().map(|(place, said)| operation(place, said));
        let operations: Vec<Operation> = operations.collect();
        let class = if resource.starts_with('f') { "stonith" } else { "ocf" };
        self.history(node, resource, class).operations.extend(operations);
        self
    }

    fn history(&mut self, node: &str, resource: &str, class: &str) -> &mut ResourceHistory {
        let histories = &mut self.state(node).history;
        let place = histories.iter().position(|history| history.resource == resource);
        let place = place.unwrap_or_else(|| {
            let agent = agent(class);
            histories.push(ResourceHistory { resource: resource.into(), agent, ..Default::default() });
            histories.len() - 1
        });
        &mut histories[place]
    }

    /// A migration that lacks only the stop where it came from, or that failed where it began.
    pub(crate) fn migrated(mut self, resource: &str, source: &str, target: &str, arrived: bool) -> Small {
        let step = |name: &str, answer: i32| Operation {
            migrate_source: Some(source.into()),
            migrate_target: Some(target.into()),
            changed_at: Some(NOW - 3),
            ..operation(1, &format!("{name}={answer}"))
        };
        self.history(source, resource, "ocf").operations.push(step("migrate_to", i32::from(!arrived)));
        if arrived {
            self.history(target, resource, "ocf").operations.push(step("migrate_from", 0));
        }
        self
    }

    pub(crate) fn other_agent(mut self, node: &str, resource: &str) -> Small {
        self.history(node, resource, "ocf").agent.agent_type = "Other".into();
        self
    }

    pub(crate) fn order(mut self, first: (Verb, &str), then: (Verb, &str), kind: OrderKind) -> Small {
        self.0.cluster.constraints.push(Constraint::Order(Order {
            id: format!("{first:?} {then:?}"),
            first: first.1.into(),
            first_action: first.0,
            first_instance: None,
            then: then.1.into(),
            then_action: then.0,
            then_instance: None,
            kind,
            symmetrical: None,
            require_all: None,
        }));
        self
    }

    /// One thing must not be where the other is.
    pub(crate) fn apart(self, dependent: &str, primary: &str) -> Small {
        self.with(dependent, primary, Score::NEVER)
    }

    /// One thing goes where the other is.
    pub(crate) fn with(mut self, dependent: &str, primary: &str, score: Score) -> Small {
        self.0.cluster.constraints.push(Constraint::Colocation(Colocation {
            id: format!("{dependent} {primary}"),
            score,
            dependent: dependent.into(),
            dependent_role: None,
            primary: primary.into(),
            primary_role: None,
            node_attribute: None,
            influence: None,
        }));
        self
    }

    pub(crate) fn at(mut self, resource: &str, node: &str, score: Score) -> Small {
        self.0.cluster.constraints.push(location(resource, node, score));
        self
    }

    /// It needs a ticket that nobody has.
    pub(crate) fn ticket(mut self, resource: &str, loss: LossPolicy) -> Small {
        self.0.cluster.constraints.push(Constraint::Ticket(TicketUse {
            id: "ticket".into(),
            ticket: "east".into(),
            resource: resource.into(),
            role: None,
            loss: Some(loss),
        }));
        self
    }
}

fn location(resource: &str, node: &str, score: Score) -> Constraint {
    Constraint::Location(Location {
        id: format!("{resource} {node}"),
        resource: resource.into(),
        at: Where::Node { node: node.into(), score },
        role: None,
        discovery: Discovery::Always,
    })
}

fn agent(class: &str) -> AgentName {
    AgentName { class: class.into(), provider: None, agent_type: "Any".into() }
}

fn values(pairs: Pairs<'_>) -> AttributeSet {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    AttributeSet { values: pairs.collect::<BTreeMap<_, _>>(), ..AttributeSet::default() }
}

fn resource(id: &str, body: Body, meta: Pairs<'_>) -> Resource {
    Resource {
        id: id.into(),
        body,
        meta: vec![values(meta)],
        parameters: vec![],
        utilization: vec![],
        operations: vec![],
    }
}

fn operation(place: usize, said: &str) -> Operation {
    let (what, answer) = said.split_once('=').unwrap_or((said.trim_end_matches('?'), ""));
    let (name, every) = what.split_once('/').unwrap_or((what, "0"));
    let open = answer.is_empty();
    let is_probe = name == "monitor" && every == "0";
    Operation {
        id: said.into(),
        name: name.into(),
        every_ms: every.parse().unwrap(),
        status: if open { OperationStatus::Pending } else { OperationStatus::Done },
        answer: answer.parse().unwrap_or(0),
        expected: Some(if is_probe { 7 } else { 0 }),
        call: if open { -1 } else { 5 + place as i32 },
        changed_at: Some(NOW - 100 + place as i64),
        ..Operation::default()
    }
}
