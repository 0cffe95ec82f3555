//! What is kept running, and where.

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{AttributeSet, Role, Score};

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The number or name under which the cluster knows it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it can do.
    pub kind: NodeKind,
    /// How much everything likes to run there.
    pub score: Score,
    /// What it says of itself, permanently.
    pub attributes: Vec<AttributeSet>,
    /// What it has to give.
    pub utilization: Vec<AttributeSet>,
}

/// What a machine can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeKind {
    /// A full node.
    #[default]
    Member,
    /// Only answers pings.
    Ping,
    /// Takes orders through a connection that another node keeps.
    Remote,
}

/// Something that is kept running, or that holds others together.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Its name.
    pub id: String,
    /// What it is.
    pub body: Body,
    /// Its options.
    pub meta: Vec<AttributeSet>,
    /// What its agent is told.
    pub parameters: Vec<AttributeSet>,
    /// What it needs of a node.
    pub utilization: Vec<AttributeSet>,
    /// Its operations as far as something is said of them.
    pub operations: Vec<NamedOperation>,
}

impl Resource {
    /// What it directly consists of, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Resource> {
        let (many, one): (&[Resource], Option<&Resource>) = match &self.body {
            Body::Primitive(_) => (&[], None),
            Body::Group(members) => (members, None),
            Body::Clone(inner) => (&[], Some(inner)),
            Body::Bundle(bundle) => (&[], bundle.inner.as_deref()),
        };
        many.iter().chain(one)
    }

    /// The same, to be changed.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut Resource> {
        let (many, one): (&mut [Resource], Option<&mut Resource>) = match &mut self.body {
            Body::Primitive(_) => (&mut [], None),
            Body::Group(members) => (members, None),
            Body::Clone(inner) => (&mut [], Some(inner)),
            Body::Bundle(bundle) => (&mut [], bundle.inner.as_deref_mut()),
        };
        many.iter_mut().chain(one)
    }

    /// The resource with this id, in it or itself.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Resource> {
        if self.id == id { Some(self) } else { self.parts().find_map(|part| part.find(id)) }
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, id: &str) -> Option<&mut Resource> {
        if self.id == id {
            return Some(self);
        }
        self.parts_mut().find_map(|part| part.find_mut(id))
    }
}

/// What a resource is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Something that an agent runs.
    Primitive(AgentName),
    /// Members that run on one node, start in order and stop in reverse.
    Group(Vec<Resource>),
    /// The same thing on several nodes. Whether instances can be promoted is one of its options.
    Clone(Box<Resource>),
    /// Containers, and what runs in them.
    Bundle(Box<Bundle>),
}

/// What runs a resource: `ocf:heartbeat:IPaddr2` has all three parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentName {
    /// The kind of agent.
    pub class: String,
    /// Who made it, for kinds that have makers.
    pub provider: Option<String>,
    /// Its name.
    pub agent_type: String,
}

/// Containers with an address each, and one instance of something in each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bundle {
    /// What makes the containers: `docker`, `podman`, `rkt`.
    pub technology: String,
    /// The image they are made of, and how they are run: attributes as written.
    pub container: AttributeSet,
    /// How they are reached: attributes as written. None if nothing is said of a network.
    pub network: Option<AttributeSet>,
    /// Ports that lead into them: attributes as written.
    pub ports: Vec<AttributeSet>,
    /// Directories that they see: attributes as written.
    pub storage: Vec<AttributeSet>,
    /// What runs in each.
    pub inner: Option<Box<Resource>>,
}

/// What is said of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedOperation {
    /// What it is called where it was written.
    pub id: String,
    /// Its name: `start`, `stop`, `monitor`.
    pub name: String,
    /// How often it recurs: milliseconds; 0 if it does not.
    pub every_ms: u64,
    /// For which role it is; any if not said.
    pub role: Option<Role>,
    /// What else was said directly, by name: `timeout`, `on-fail`, `enabled`, `start-delay`, and more.
    pub options: AttributeSet,
    /// More of the same, under conditions.
    pub meta: Vec<AttributeSet>,
    /// Parameters for this operation alone.
    pub parameters: Vec<AttributeSet>,
}

/// Devices that together switch a node off.
#[derive(Clone, Debug, PartialEq)]
pub struct FencingLevel {
    /// Which nodes.
    pub target: FencingTarget,
    /// Lower numbers are tried first: 1 to 9.
    pub index: u32,
    /// All of these have to succeed.
    pub devices: Vec<String>,
}

/// Which nodes a level of fencing is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FencingTarget {
    /// The node with this name.
    Node(String),
    /// Nodes whose names match.
    Pattern(String),
    /// Nodes with this attribute and value.
    Attribute(String, String),
}

/// What is done with a resource in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// It begins to run.
    Start,
    /// It ends.
    Stop,
    /// It becomes the one that serves.
    Promote,
    /// It stops being the one that serves.
    Demote,
}

impl Verb {
    /// What undoes it.
    #[must_use]
    pub fn inverse(self) -> Verb {
        match self {
            Verb::Start => Verb::Stop,
            Verb::Stop => Verb::Start,
            Verb::Promote => Verb::Demote,
            Verb::Demote => Verb::Promote,
        }
    }
}
