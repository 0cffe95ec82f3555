//! What is known, in the shape in which the other passes ask for it.
//!
//! Nodes and units become numbers here, so that nothing behind has to search by name. The one
//! judgement made is what a grant is worth: whether its holder may still act under it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use heart_model::{
    Activity, Ailment, Copies, Gathering, GroupName, Guard, Intent, Name, NodeName, NodeState, Other, Reach,
    Refusal, ResourceName, ResourceSpec, ResourceState, ResourceStatus, Session, Spec, Status, WhenSick,
    Wishes,
};

use crate::lower;

/// The number of a node: its place among all that are configured, by name.
pub(crate) type Node = usize;

/// Everything that planning starts from.
pub(crate) struct Facts<'f> {
    /// The configuration.
    pub(crate) spec: &'f Spec,
    /// The time, in seconds since 1970, if it is known.
    pub(crate) now: Option<i64>,
    /// The tickets that this cluster has.
    pub(crate) tickets: BTreeSet<&'f Name>,
    /// The nodes that are configured, by name.
    pub(crate) nodes: Vec<NodeFacts<'f>>,
    /// What is placed as a whole: groups and resources outside of groups, by name; of those with copies,
    /// one for each node, and behind them the right to be promoted.
    pub(crate) units: Vec<Unit<'f>>,
    /// Resources that have a grant and are configured no more.
    pub(crate) removed: Vec<(&'f ResourceName, Holding<'f>)>,
    /// The cluster has just begun.
    pub(crate) gathering: Option<&'f Gathering>,
    /// Whether anything is never to be beside something else.
    pub(crate) some_keep_apart: bool,
}

/// What is known of a node.
pub(crate) struct NodeFacts<'f> {
    pub(crate) name: &'f NodeName,
    pub(crate) state: NodeState,
    /// The session in which it can be granted things.
    pub(crate) session: Option<Session>,
    pub(crate) standby: bool,
    /// What it is sick with, if that is a reason to go.
    pub(crate) sick: Vec<Ailment>,
    /// Whether it was lost several times a short while ago.
    pub(crate) quarantined: bool,
    /// How many ping targets it reaches.
    pub(crate) reach: Reach,
    /// What it has to give.
    pub(crate) capacity: &'f BTreeMap<Name, u64>,
}

impl NodeFacts<'_> {
    /// Why nothing goes there if another node can take it.
    pub(crate) fn avoided(&self) -> Option<Refusal> {
        if self.sick.is_empty() {
            return self.quarantined.then_some(Refusal::Quarantined);
        }
        Some(Refusal::Sick { with: self.sick.clone() })
    }
}

/// What is placed as a whole.
pub(crate) struct Unit<'f> {
    /// The name of the group or resource, whether this is one of its copies or all there is of it.
    pub(crate) name: &'f str,
    pub(crate) kind: Kind,
    /// The group, if it is one.
    pub(crate) group: Option<&'f GroupName>,
    /// Its resources, in the order of their start.
    pub(crate) members: Vec<Member<'f>>,
    acts_on: Option<&'f NodeName>,
    /// What the file wishes of it, as it is now.
    pub(crate) wishes: Wishes,
    /// The nodes it prefers, best first.
    pub(crate) prefers: Vec<Node>,
    /// What a person asked for, the latest if there are several.
    pub(crate) asked: Option<Asked<'f>>,
}

/// What kind of thing is placed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All there is of it: it runs on one node, and moves.
    Whole,
    /// One copy, which runs on this node or not at all.
    Copy(Node),
    /// The right of one copy to be promoted.
    Promotion,
}

/// A request to move.
pub(crate) struct Asked<'f> {
    pub(crate) from: &'f NodeName,
    pub(crate) to: Option<&'f NodeName>,
}

/// A resource of a unit.
pub(crate) struct Member<'f> {
    pub(crate) name: ResourceName,
    pub(crate) spec: &'f ResourceSpec,
    pub(crate) status: Option<&'f ResourceStatus>,
    pub(crate) holding: Holding<'f>,
}

impl Member<'_> {
    /// What is waited for before it is taken from its holder.
    pub(crate) fn guard(&self) -> Guard {
        self.status.and_then(|status| status.guard).unwrap_or(self.spec.guard)
    }
}

/// What the grant of a resource is worth.
#[derive(Clone, Copy)]
pub(crate) enum Holding<'f> {
    /// There is none, or the session it was given in is over: it may be given anew.
    Free,
    /// Its holder is there and acts under it.
    Live {
        /// The holder; it may be configured no more.
        node: &'f NodeName,
        activity: &'f Activity,
    },
    /// Its holder is lost and may still act under it.
    Lost { node: &'f NodeName },
    /// Its holder was not heard yet, or is not admitted yet: nothing is known.
    Unheard { node: &'f NodeName },
}

impl<'f> Facts<'f> {
    /// Gathers what is known.
    pub(crate) fn of(spec: &'f Spec, status: &'f Status) -> Facts<'f> {
        let nodes: Vec<NodeFacts<'f>> =
            spec.nodes.keys().map(|name| node_facts(name, spec, status)).collect();
        let ticket = |intent: &'f Intent| match intent {
            Intent::Ticket { ticket } => Some(ticket),
            Intent::Standby { .. } | Intent::Move { .. } => None,
        };
        let removed = status
            .resources
            .iter()
            .filter(|(name, _)| spec.granted(name).is_none())
            .map(|(name, resource)| (name, holding(&resource.state, status)))
            .collect();
        let mut facts = Facts {
            spec,
            now: status.now,
            tickets: status.intents.iter().filter_map(ticket).collect(),
            nodes,
            units: Vec::new(),
            removed,
            gathering: status.gathering.as_ref(),
            some_keep_apart: false,
        };
        facts.units = facts.all_units(status);
        let keeps_apart = |unit: &Unit<'_>| unit.wishes.never.iter().any(|one| matches!(one, Other::Unit(_)));
        facts.some_keep_apart = facts.units.iter().any(keeps_apart);
        ask(&mut facts.units, status);
        facts
    }

    /// The number of a node, if it is configured.
    pub(crate) fn number(&self, name: &NodeName) -> Option<Node> {
        self.nodes.binary_search_by(|node| node.name.cmp(name)).ok()
    }

    /// The units that a name in the file means, each with its number: of a resource with a promoted copy, the
    /// right to be that.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = (usize, &Unit<'f>)> {
        self.units.iter().enumerate().filter(move |(_, unit)| self.is_named(unit, name))
    }

    /// Whether a name in the file means this unit.
    pub(crate) fn is_named(&self, unit: &Unit<'f>, name: &str) -> bool {
        is_called(unit, name) && (unit.kind == Kind::Promotion || self.promotion_of(name).is_none())
    }

    /// How many copies of a resource or group are on nodes that were not heard yet.
    pub(crate) fn unheard_copies(&self, name: &str) -> usize {
        let unheard = |unit: &&Unit<'_>| {
            unit.name == name && matches!(unit.kind, Kind::Copy(_)) && unit.unheard().is_some()
        };
        self.units.iter().filter(unheard).count()
    }

    /// The right of one of the copies of a resource to be promoted, if it has such copies.
    pub(crate) fn promotion_of(&self, name: &str) -> Option<&Unit<'f>> {
        self.units.iter().find(|unit| unit.kind == Kind::Promotion && unit.name == name)
    }

    /// Whether one of two units is never to be beside the other.
    pub(crate) fn keep_apart(&self, one: &Unit<'f>, other: &Unit<'f>) -> bool {
        self.some_keep_apart && (self.is_never_beside(one, other) || self.is_never_beside(other, one))
    }

    /// Whether the file says of one unit that it is never to be beside another.
    pub(crate) fn is_never_beside(&self, one: &Unit<'f>, other: &Unit<'f>) -> bool {
        one.wishes.never.iter().any(|never| match never {
            Other::Node(_) => false,
            Other::Unit(name) => self.is_named(other, name.as_str()),
        })
    }

    fn all_units(&self, status: &'f Status) -> Vec<Unit<'f>> {
        let mut grouped: BTreeSet<&ResourceName> = BTreeSet::new();
        let mut units = Vec::new();
        for (name, group) in &self.spec.groups {
            // A member of two groups, or twice in one, counts where it comes first.
            let fresh = |member: &&'f ResourceName| grouped.insert(*member);
            let members: Vec<_> = group.members.iter().filter(fresh).collect();
            let found = Found { name: name.as_str(), group: Some(name), members, wishes: &group.wishes };
            self.add_units(&found, status, &mut units);
        }
        for (name, resource) in self.spec.resources.iter().filter(|(name, _)| !grouped.contains(name)) {
            let members = Vec::from([name]);
            let found = Found { name: name.as_str(), group: None, members, wishes: &resource.wishes };
            self.add_units(&found, status, &mut units);
            if resource.promotable && resource.wishes.copies.is_some() {
                units.push(self.unit(&found, Kind::Promotion, status));
            }
        }
        units
    }

    fn add_units(&self, found: &Found<'f>, status: &'f Status, units: &mut Vec<Unit<'f>>) {
        match found.wishes.copies {
            None => units.push(self.unit(found, Kind::Whole, status)),
            Some(Copies::All | Copies::Of(_)) => {
                let copies = (0..self.nodes.len()).map(|node| self.unit(found, Kind::Copy(node), status));
                units.extend(copies);
            }
        }
    }

    fn unit(&self, found: &Found<'f>, kind: Kind, status: &'f Status) -> Unit<'f> {
        let member = |of: &&'f ResourceName| {
            let spec = self.spec.resources.get(*of)?;
            let name = match kind {
                Kind::Copy(node) => of.copy_on(self.nodes[node].name),
                Kind::Whole | Kind::Promotion => (*of).clone(),
            };
            let known = status.resources.get(&name);
            let holding = known.map_or(Holding::Free, |resource| holding(&resource.state, status));
            Some(Member { name, spec, status: known, holding })
        };
        let wishes = found.wishes.while_times(|time| lower::is_time(self.spec, time, self.now));
        let members: Vec<Member<'f>> = found.members.iter().filter_map(member).collect();
        Unit {
            name: found.name,
            kind,
            group: found.group,
            acts_on: where_most_act(&members),
            members,
            prefers: wishes.prefers.iter().filter_map(|name| self.number(name)).collect(),
            wishes,
            asked: None,
        }
    }
}

/// What the file says of something that is placed as a whole.
struct Found<'f> {
    name: &'f str,
    group: Option<&'f GroupName>,
    members: Vec<&'f ResourceName>,
    wishes: &'f Wishes,
}

fn node_facts<'f>(name: &'f NodeName, spec: &'f Spec, status: &'f Status) -> NodeFacts<'f> {
    let known = status.nodes.get(name);
    let standby = |intent: &Intent| matches!(intent, Intent::Standby { node } if node == name);
    let counts = spec.cluster.when_sick == WhenSick::Move;
    NodeFacts {
        name,
        state: known.map_or(NodeState::Absent, |node| node.state),
        session: known.and_then(|node| node.session),
        standby: status.intents.iter().any(standby),
        sick: known.filter(|_| counts).into_iter().flat_map(|node| node.sick.iter().copied()).collect(),
        quarantined: known.is_some_and(|node| node.quarantined),
        reach: known.map(|node| node.reach).unwrap_or_default(),
        capacity: &spec.nodes[name].capacity,
    }
}

/// Where most of these act; of two such nodes, where the first of them does.
fn where_most_act<'f>(members: &[Member<'f>]) -> Option<&'f NodeName> {
    let live = |member: &Member<'f>| match member.holding {
        Holding::Live { node, .. } => Some(node),
        Holding::Free | Holding::Lost { .. } | Holding::Unheard { .. } => None,
    };
    let mut holders: BTreeMap<&NodeName, (usize, core::cmp::Reverse<usize>)> = BTreeMap::new();
    for (place, node) in members.iter().filter_map(live).enumerate() {
        holders.entry(node).or_insert((0, core::cmp::Reverse(place))).0 += 1;
    }
    holders.into_iter().max_by_key(|(_, weight)| *weight).map(|(node, _)| node)
}

/// Gives every unit the request that concerns it.
fn ask<'f>(units: &mut [Unit<'f>], status: &'f Status) {
    if status.intents.is_empty() {
        return;
    }
    let mut moves = BTreeMap::new();
    for intent in &status.intents {
        if let Intent::Move { resource, from, to } = intent {
            moves.insert(resource, (from, to.as_ref()));
        }
    }
    for unit in units {
        let asked = unit.members.iter().find_map(|member| moves.get(&member.name));
        unit.asked = asked.map(|&(from, to)| Asked { from, to });
    }
}

/// What a grant is worth.
fn holding<'f>(state: &'f ResourceState, status: &'f Status) -> Holding<'f> {
    let ResourceState::Granted { node, session, activity, .. } = state else { return Holding::Free };
    let Some(holder) = status.nodes.get(node) else { return Holding::Unheard { node } };
    // A newer session begins only after the older one has let everything go; a newer boot proves
    // that the older one is over.
    let over = holder.session.is_some_and(|now| now.boot != session.boot || now.number > session.number);
    match holder.state {
        _ if over => Holding::Free,
        NodeState::Fenced => Holding::Free,
        NodeState::Lost => Holding::Lost { node },
        NodeState::Absent | NodeState::Joining => Holding::Unheard { node },
        NodeState::Online | NodeState::Leaving => Holding::Live { node, activity },
    }
}

impl<'f> Unit<'f> {
    /// Where it is: where most of its members act; of two such nodes, where the first of them does.
    pub(crate) fn acts_on(&self) -> Option<&'f NodeName> {
        self.acts_on
    }

    /// Where it is, or if none of it acts where it would go on: its last holder, as long as that
    /// session lasts.
    pub(crate) fn home(&self, facts: &Facts<'f>) -> Option<&'f NodeName> {
        self.acts_on().or_else(|| {
            self.members.iter().find_map(|member| {
                let (node, session) = member.status?.last.as_ref()?;
                let number = facts.number(node)?;
                (facts.nodes[number].session == Some(*session)).then_some(node)
            })
        })
    }

    /// How much it needs of something.
    pub(crate) fn needs(&self, name: &Name) -> u64 {
        self.members.iter().filter_map(|member| member.spec.needs.get(name)).sum()
    }

    /// Whether a node has less than it needs, even if nothing else runs there.
    pub(crate) fn is_too_large_for(&self, node: &NodeFacts<'_>) -> bool {
        let mut names = self.members.iter().flat_map(|member| member.spec.needs.keys());
        names.any(|name| self.needs(name) > node.capacity.get(name).copied().unwrap_or(0))
    }

    /// The node that holds something of it and was not heard yet.
    pub(crate) fn unheard(&self) -> Option<&'f NodeName> {
        self.members.iter().find_map(|member| match member.holding {
            Holding::Unheard { node } => Some(node),
            Holding::Free | Holding::Live { .. } | Holding::Lost { .. } => None,
        })
    }
}

impl Member<'_> {
    /// How often it failed on a node.
    pub(crate) fn failures(&self, node: &NodeName) -> u32 {
        self.status.and_then(|status| status.failures.get(node)).copied().unwrap_or(0)
    }

    /// How often it may fail on a node before it moves.
    pub(crate) fn limit(&self) -> u32 {
        self.spec.failures_max.max(1)
    }
}

/// Whether a name in the file means this unit, or a member of it.
pub(crate) fn is_called(unit: &Unit<'_>, name: &str) -> bool {
    let member = |one: &Member<'_>| one.name.copy().map_or(one.name.as_str(), |(of, _)| of) == name;
    unit.name == name || unit.members.iter().any(member)
}
