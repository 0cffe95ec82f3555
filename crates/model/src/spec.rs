//! What should be: the configuration, checked, with every default filled in.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};
use serde::{Deserialize, Serialize};

use crate::{
    AfterFence, AgentRef, Copies, Duration, FenceDevice, GroupName, Hours, Name, NodeId, NodeName, PingSpec,
    ResourceName, TieBreakSpec, WhenSick, Wishes,
};

/// A whole cluster, as its administrators want it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// What concerns the cluster as a whole.
    pub cluster: ClusterSpec,
    /// How fast it reacts.
    pub timing: Timing,
    /// The machines.
    pub nodes: BTreeMap<NodeName, NodeSpec>,
    /// What is kept running.
    pub resources: BTreeMap<ResourceName, ResourceSpec>,
    /// Which resources stay together, and in which order they start.
    pub groups: BTreeMap<GroupName, GroupSpec>,
    /// Times that resources name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<Name, Hours>,
    /// What decides between two halves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_break: Option<TieBreakSpec>,
    /// What every node should reach beside the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pings: BTreeMap<Name, PingSpec>,
}

impl Spec {
    /// The voters, in order of their names.
    pub fn voters(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.iter().filter(|(_, node)| node.voter).map(|(name, _)| name)
    }

    /// The node with this number.
    #[must_use]
    pub fn node_by_id(&self, id: NodeId) -> Option<&NodeName> {
        self.nodes.keys().find(|name| name.id() == id)
    }

    /// The group that `resource`, or what it is a copy of, is a member of.
    #[must_use]
    pub fn group_of(&self, resource: &ResourceName) -> Option<(&GroupName, &GroupSpec)> {
        let name = resource.copy().map_or(resource.as_str(), |(of, _)| of);
        self.groups.iter().find(|(_, group)| group.members.iter().any(|member| member.as_str() == name))
    }

    /// The members of the group of `resource`, in the order of their start, or it alone; with a copy,
    /// the copies on the same node.
    #[must_use]
    pub fn companions(&self, resource: &ResourceName) -> Vec<ResourceName> {
        let Some((_, group)) = self.group_of(resource) else { return Vec::from([resource.clone()]) };
        let node = resource.copy().and_then(|(_, node)| NodeName::new(node).ok());
        let member = |name: &ResourceName| node.as_ref().map_or(name.clone(), |node| name.copy_on(node));
        group.members.iter().map(member).collect()
    }

    /// On how many nodes a resource runs at once, if on several: itself, or with its group.
    #[must_use]
    pub fn copies_of(&self, resource: &ResourceName) -> Option<Copies> {
        match self.group_of(resource) {
            Some((_, group)) => group.wishes.copies,
            None => self.resources.get(resource)?.wishes.copies,
        }
    }

    /// Everything that a node can be granted, by name: each resource; of one with copies, the copy on
    /// each node, and if one of these is promoted, the right to be that under the resource's own name.
    #[must_use]
    pub fn grantable(&self) -> BTreeMap<ResourceName, &ResourceSpec> {
        let mut all = BTreeMap::new();
        for (name, resource) in &self.resources {
            let copies = self.copies_of(name).is_some();
            if copies {
                all.extend(self.nodes.keys().map(|node| (name.copy_on(node), resource)));
            }
            if !copies || resource.promotable {
                all.insert(name.clone(), resource);
            }
        }
        all
    }

    /// What is configured for something that can be granted; see [`Spec::grantable`].
    #[must_use]
    pub fn granted(&self, name: &ResourceName) -> Option<&ResourceSpec> {
        let Some((of, node)) = name.copy() else {
            let resource = self.resources.get(name)?;
            return (resource.promotable || self.copies_of(name).is_none()).then_some(resource);
        };
        let (of, resource) = self.resources.get_key_value(of)?;
        (self.nodes.contains_key(node) && self.copies_of(of).is_some()).then_some(resource)
    }

    /// Whether half of the voters can go on without a person when the others are lost: there is a tie-break, or each
    /// voter has devices that prove it off.
    #[must_use]
    pub fn halves_go_on(&self) -> bool {
        let proves = |level: &Vec<FenceDevice>| FenceDevice::prove_off(level);
        let mut voters = self.nodes.values().filter(|node| node.voter);
        self.tie_break.is_some() || voters.all(|node| node.fence.iter().any(proves))
    }

    /// Whether this is not a resource that runs but the right of one of its copies to be promoted.
    #[must_use]
    pub fn is_promotion(&self, name: &ResourceName) -> bool {
        name.copy().is_none() && self.resources.get(name).is_some_and(|resource| resource.promotable)
    }
}

/// What concerns the cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Its name: frames of a cluster with another name are not for us.
    pub name: Name,
    /// The file that holds the cluster's key, the same on every node.
    pub key_file: String,
    /// The UDP port of all links. 694 is the port registered for Linux-HA heartbeats.
    pub port: u16,
    /// Where multicast and broadcast links send to, beside the nodes' own addresses.
    pub links: Vec<Link>,
    /// What follows from it that a node is sick.
    #[serde(default)]
    pub when_sick: WhenSick,
    /// After how many failovers within an hour, of all nodes together, nothing is taken over for a while;
    /// at least 1.
    #[serde(default = "failovers_of_cluster")]
    pub failovers_max: u32,
    /// What becomes of a node that was switched off.
    #[serde(default)]
    pub after_fence: AfterFence,
}

/// How many failovers within an hour a cluster may have, unless the file says something else.
pub const FAILOVERS_OF_CLUSTER: u32 = 50;
/// How many failovers within an hour a resource may have, unless the file says something else.
pub const FAILOVERS: u32 = 10;

fn failovers_of_cluster() -> u32 {
    FAILOVERS_OF_CLUSTER
}

fn failovers() -> u32 {
    FAILOVERS
}

/// A link that reaches all nodes with one datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// How it reaches them.
    pub kind: LinkKind,
    /// The multicast group or broadcast address.
    pub address: SocketAddr,
    /// The interface it leaves by.
    pub interface: String,
}

/// How a link reaches its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// One datagram a node.
    Unicast,
    /// One datagram for all who joined the group.
    Multicast,
    /// One datagram for the whole subnet.
    Broadcast,
}

/// Named sets of timings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Heartbeats every 100 ms, lost after 600 ms: for any machine and network.
    Default,
    /// Heartbeats every 4 ms, lost after 20 ms: for machines and networks that are never late.
    Fastest,
}

/// How fast the cluster reacts. See `Timing::lease` for what must hold between the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// *h*: how often a node says that it lives.
    pub heartbeat: Duration,
    /// *P*: how long a node may be silent before it counts as lost; what a promise lasts.
    pub lost_after: Duration,
    /// *g*: how long a guard may need to let go at the end of a lease.
    pub let_go: Duration,
}

impl Timing {
    /// The timings of a named profile.
    #[must_use]
    pub const fn of(profile: Profile) -> Timing {
        match profile {
            Profile::Default => Timing {
                heartbeat: Duration::from_millis(100),
                lost_after: Duration::from_millis(600),
                let_go: Duration::from_millis(20),
            },
            Profile::Fastest => Timing {
                heartbeat: Duration::from_millis(4),
                lost_after: Duration::from_millis(20),
                let_go: Duration::from_millis(2),
            },
        }
    }

    /// How long a lease lasts from the sending of the heartbeat that earned it: κP − g, with
    /// κ = 0.98 for clocks that are up to 1 % wrong (SAFETY, "The rules").
    #[must_use]
    pub fn lease(&self) -> Duration {
        drift_safe(self.lost_after).saturating_sub(self.let_go)
    }
}

/// κ·`wait`: the part of `wait` that has surely passed for us when `wait` has for another, with
/// both clocks up to 1 % wrong.
#[must_use]
fn drift_safe(wait: Duration) -> Duration {
    wait * 98 / 100
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its addresses, one for each link, in the order of the links.
    pub addresses: Vec<LinkAddress>,
    /// Whether it votes. Nodes beyond the voters follow as members.
    pub voter: bool,
    /// What it has to give, by name: what a resource needs and is not named here, it has none of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<Name, u64>,
    /// What can switch it off: levels, tried one after another; all devices of a level are needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fence: Vec<Vec<FenceDevice>>,
    /// The device file of the watchdog that resets it when Heart does not get on there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<String>,
    /// Somebody answers for it that this machine is never paused, moved or put to sleep as a whole: its watchdog counts
    /// on whatever happens.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub never_paused: bool,
}

impl NodeSpec {
    /// Whether it counts as off when nothing was heard of it for long enough, as its watchdog resets it then: others
    /// take what it runs by the clock.
    #[must_use]
    pub fn resets_itself(&self) -> bool {
        self.fence.iter().flatten().any(FenceDevice::is_watchdog)
    }
}

/// An address of a node on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkAddress(pub IpAddr);

/// One thing that is kept running on exactly one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceSpec {
    /// What knows how to start, stop and watch it.
    pub agent: AgentRef,
    /// What the agent is told, as written.
    pub parameters: BTreeMap<String, Value>,
    /// What makes taking it over safe.
    pub guard: Guard,
    /// How long its operations may take, and how often it is asked how it is.
    pub timeouts: LogicalTimeouts,
    /// After how many failures on one node it moves to another; at least 1.
    pub failures_max: u32,
    /// After how many failovers within an hour it is not taken over for a while; at least 1.
    #[serde(default = "failovers")]
    pub failovers_max: u32,
    /// What is done when it cannot be stopped by any gentler means.
    #[serde(default)]
    pub when_stuck: WhenStuck,
    /// What it takes of a node, by name. Where nothing is named, room does not matter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub needs: BTreeMap<Name, u64>,
    /// One of its copies is promoted: it is the one that serves.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub promotable: bool,
    /// Where, with what and when. For a member of a group, its group's count.
    #[serde(flatten)]
    pub wishes: Wishes,
}

/// How long the operations of a resource may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalTimeouts {
    /// A start.
    pub start: Duration,
    /// A stop, before the ladder goes on to the next rung.
    pub stop: Duration,
    /// One answer to "how are you".
    pub status: Duration,
    /// How often to ask; events come first, this is the second opinion.
    pub status_every: Duration,
}

/// What is done when a resource cannot be stopped: its agent has failed, what it left was killed, and that was tried
/// again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenStuck {
    /// It is told, and a person has to see to it; nothing else on its node is touched.
    #[default]
    Report,
    /// Its node is switched off, if others can run it and can do without that node.
    Fence,
}

/// What makes taking a resource over safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// The kernel lets go at the end of the lease, without us.
    Lease,
    /// Nobody takes it before the boot that held it is proven off.
    Fence,
    /// Running twice does no harm.
    None,
}

/// A parameter's value, as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any text.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// Named values.
    Table(BTreeMap<String, Value>),
}

/// As programs outside of Heart are told it: a list with spaces between, a table as `NAME=VALUE`.
impl fmt::Display for Value {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => write!(to, "{value}"),
            Value::Integer(value) => write!(to, "{value}"),
            Value::Text(value) => to.write_str(value),
            Value::List(values) => {
                for (place, value) in values.iter().enumerate() {
                    write!(to, "{}{value}", if place == 0 { "" } else { " " })?;
                }
                Ok(())
            }
            Value::Table(values) => {
                for (place, (name, value)) in values.iter().enumerate() {
                    write!(to, "{}{name}={value}", if place == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    }
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Boolean(_) | Value::Integer(_) | Value::List(_) | Value::Table(_) => None,
        }
    }
}

/// Resources that run on one node, start in order and stop in reverse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// The members, in the order of their start.
    pub members: Vec<ResourceName>,
    /// Where, with what and when it runs as a whole.
    #[serde(flatten)]
    pub wishes: Wishes,
}
