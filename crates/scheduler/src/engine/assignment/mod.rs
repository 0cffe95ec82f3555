//! Where everything goes, and in which role.
//!
//! Resources are placed one after the other, in the order of their priorities. Whatever a resource
//! follows is placed before it; whatever follows the resource has its wishes heard. Then the resource
//! goes to the best node that is left, and stays there: nothing that was placed is placed again.
//!
//! 1. *order*: who comes first;
//! 2. *wishes*: what those that follow would like, and how far that counts;
//! 3. *following*: what it means that something followed is where it is;
//! 4. *choice*: the best node; *capacity*: those that have too little to give;
//! 5. *instances*: of clones, and the containers of *bundles*;
//! 6. *promotion*: which instances are promoted.

mod bundle;
mod capacity;
mod choice;
mod following;
mod instances;
mod order;
mod promotion;
mod sums;
mod wishes;

#[cfg(test)]
pub(crate) mod tests;

use alloc::{collections::BTreeMap, rc::Rc, vec, vec::Vec};
use core::cell::Cell;

use heart_model::policy::{Role, Score};

use super::{
    arena::{Arena, Cause, ColocationIx, Kind, NodeIx, NodeKind, NodeSet, Pair, Placement, ResIx},
    trace::Turn,
};

/// Places all resources: fills the fields of the arena that are marked *(assignment)*.
pub(crate) fn assign(arena: &mut Arena<'_>) {
    let mut placing = Placing::new(arena);
    placing.pin();
    for (turn, resource) in placing.in_order().into_iter().enumerate() {
        placing.begin_turn(turn);
        // A connection that is on its way already had better arrive.
        let here = &placing.arena[resource];
        let target = here.connection_to.and(here.migration).map(|(_, target)| target);
        placing.place(resource, target, true);
        placing.end_turn(resource);
    }
    placing.write_roles();
    leave_alone_without_fencing(arena);
}

/// Where fencing is wanted and nothing could do it, nothing is done at all.
fn leave_alone_without_fencing(arena: &mut Arena<'_>) {
    if arena.options.fencing && !arena.options.fencing_possible {
        arena.resources.iter_mut().for_each(|resource| resource.managed = false);
    }
}

/// What is known while things are being placed.
struct Placing<'a, 's> {
    arena: &'a mut Arena<'s>,
    /// What each resource shall be; None as long as nothing speaks against anything.
    roles: Vec<Option<Role>>,
    /// How important each resource is. What its agent says of promotion raises that of an instance.
    priorities: Vec<Score>,
    /// Where each resource is active, parts included.
    active: Vec<Vec<NodeIx>>,
    /// The number of each instance among those of its clone.
    numbers: Vec<u32>,
    /// Whose wishes are being asked: whoever comes back here has found a loop.
    asked: Vec<bool>,
    /// How many were asked so far for one resource.
    asks: u32,
    /// Whether something can be given to each node now.
    available: Vec<bool>,
    /// The place of each node's name among all names.
    by_name: Vec<usize>,
    /// Where instances of clones are that have their places.
    sound_places: BTreeMap<ResIx, Rc<NodeSet>>,
    /// How many instances of a clone or a bundle were given to each node.
    crowds: BTreeMap<ResIx, Vec<u32>>,
    /// How much has been placed that is no instance, and how often nodes became available or not.
    placed: u64,
    /// What nodes were given, and had taken away again, in this turn.
    given: Vec<(NodeIx, i64)>,
    /// Whether something depended on how much nodes had been given before.
    heeds_load: Cell<bool>,
    /// What followers of instances say, added up: of those that would like to, and of those that must.
    sums: [Option<sums::Sums>; 2],
}

impl<'a, 's> Placing<'a, 's> {
    fn new(arena: &'a mut Arena<'s>) -> Placing<'a, 's> {
        let roles = arena.resources.iter().map(|resource| match resource.next_role {
            Role::Stopped => Some(Role::Stopped),
            Role::Unpromoted => Some(Role::Unpromoted),
            Role::Started | Role::Promoted => None,
        });
        let roles = roles.collect();
        let priorities = arena.resources.iter().map(|resource| Score::new(i64::from(resource.priority)));
        let priorities = priorities.collect();
        let mut numbers = vec![0; arena.resources.len()];
        for resource in &arena.resources {
            for (number, child) in resource.children.iter().enumerate() {
                numbers[child.0 as usize] = number as u32;
            }
        }
        let active = arena.resource_numbers().map(|resource| active_parts(arena, resource)).collect();
        let asked = vec![false; arena.resources.len()];
        let available = arena.node_numbers().map(|node| arena.is_available(node)).collect();
        let (by_name, sound_places) = (places_by_name(arena), BTreeMap::new());
        let (crowds, placed, sums) = (BTreeMap::new(), 0, [None, None]);
        let (given, heeds_load) = (Vec::new(), Cell::new(false));
        Placing {
            arena,
            roles,
            priorities,
            active,
            numbers,
            asked,
            asks: 0,
            available,
            by_name,
            sound_places,
            crowds,
            placed,
            given,
            heeds_load,
            sums,
        }
    }

    /// Leaves what is pinned where it is. Whoever pins it has counted it where it is, too.
    fn pin(&mut self) {
        for (id, node) in &self.arena.given.pinned {
            let Some(resource) = self.arena.by_id.get(id).copied() else { continue };
            let parent = self.arena[resource].parent;
            for pinned in [Some(resource), parent].into_iter().flatten() {
                self.arena[pinned].decided = true;
            }
            self.arena[resource].assigned = *node;
            if node.is_none() {
                self.set_role(resource, Role::Stopped);
            }
        }
    }

    /// Before the next one is placed: where this is a part of a cluster, others have been placed since.
    fn begin_turn(&mut self, turn: usize) {
        let loads = &self.arena.given.loads;
        let before = turn.checked_sub(1).and_then(|before| loads.get(before));
        if let Some(loads) = loads.get(turn) {
            for (place, node) in self.arena.nodes.iter_mut().enumerate() {
                let known = before.and_then(|before| before.get(place)).copied().unwrap_or(0);
                let since = loads.get(place).copied().unwrap_or(0) - known;
                node.assigned = (i64::from(node.assigned) + since).max(0) as u32;
            }
        }
    }

    /// Notes what the turn of a resource has come to.
    fn end_turn(&mut self, resource: ResIx) {
        let mut load: Vec<(NodeIx, i64)> = Vec::new();
        self.given.sort_unstable();
        for (node, change) in core::mem::take(&mut self.given) {
            match load.last_mut().filter(|(last, _)| *last == node) {
                Some((_, sum)) => *sum += change,
                None => load.push((node, change)),
            }
        }
        load.retain(|(_, sum)| *sum != 0);
        let top = self.arena[resource].id.clone();
        self.arena.turns.push(Turn { top, load, heeds_load: self.heeds_load.take() });
    }

    fn pair(&self, pair: ColocationIx) -> &Pair {
        &self.arena.colocations[pair.0 as usize]
    }

    /// What a resource shall be, as far as that is decided.
    fn role(&self, resource: ResIx) -> Option<Role> {
        self.roles[resource.0 as usize]
    }

    fn set_role(&mut self, resource: ResIx, role: Role) {
        self.roles[resource.0 as usize] = Some(role);
    }

    /// What a resource is; what could be promoted and only runs is unpromoted.
    fn role_now(&self, resource: ResIx) -> Role {
        let here = &self.arena[resource];
        let role = match here.kind {
            Kind::Primitive => here.role,
            Kind::Group | Kind::Clone | Kind::Bundle => {
                here.children.iter().map(|child| self.role_now(*child)).max().unwrap_or_default()
            }
        };
        match role {
            Role::Started if self.is_promotable(resource) => Role::Unpromoted,
            role => role,
        }
    }

    /// Whether it is an instance of something promotable, or a member of one.
    fn is_promotable(&self, resource: ResIx) -> bool {
        let clone = self.arena.clone_of(resource);
        clone.and_then(|clone| self.arena[clone].clone).is_some_and(|facts| facts.promotable)
    }

    /// Whether anything may be done with it. Nothing may be where nothing could be fenced.
    fn is_managed(&self, resource: ResIx) -> bool {
        let options = &self.arena.options;
        self.arena[resource].managed && (options.fencing_possible || !options.fencing)
    }

    /// Where it is now: where it is meant to be, if it is on several nodes.
    fn current(&self, resource: ResIx) -> Option<NodeIx> {
        self.active[resource.0 as usize].first().copied()
    }

    /// Whether it or a part of it is left for a person to mend.
    fn is_blocked(&self, resource: ResIx) -> bool {
        let here = &self.arena[resource];
        here.blocked || here.children.iter().any(|child| self.is_blocked(*child))
    }

    /// Whether something can be given to this node now.
    fn is_available(&self, node: NodeIx) -> bool {
        self.available.get(node.0 as usize).is_some_and(|available| *available)
    }

    /// Whether the resource may go to this node.
    fn is_usable(&self, resource: ResIx, node: NodeIx) -> bool {
        self.is_available(node) && !self.arena[resource].allowed.score(node).is_negative()
    }

    /// Places a resource, with all that it consists of, and says where it goes. It goes to the node that
    /// is `wanted` if no other is better. Unless this is the `last` try, it may be placed again.
    fn place(&mut self, resource: ResIx, wanted: Option<NodeIx>, last: bool) -> Option<NodeIx> {
        match self.arena[resource].kind {
            Kind::Primitive => self.place_primitive(resource, wanted, last),
            Kind::Group => self.place_group(resource, wanted, last),
            Kind::Clone => {
                self.place_clone(resource);
                None
            }
            Kind::Bundle => {
                self.place_bundle(resource);
                None
            }
        }
    }

    fn place_group(&mut self, group: ResIx, wanted: Option<NodeIx>, last: bool) -> Option<NodeIx> {
        if let Some(parent) = self.arena[group].parent.filter(|parent| !self.arena[*parent].deciding) {
            self.place(parent, wanted, last);
        }
        if self.arena[group].decided || self.arena[group].deciding {
            return self.arena[group].assigned;
        }
        self.arena[group].deciding = true;
        let members = self.arena[group].children.clone();
        let mut chosen = None;
        for (place, member) in members.iter().enumerate() {
            let node = self.place(*member, wanted, last);
            if place == 0 {
                chosen = node;
            }
        }
        let here = &mut self.arena[group];
        here.deciding = false;
        here.decided = true;
        here.assigned = chosen;
        chosen
    }

    fn place_primitive(&mut self, resource: ResIx, wanted: Option<NodeIx>, last: bool) -> Option<NodeIx> {
        if let Some(parent) = self.arena[resource].parent.filter(|parent| !self.arena[*parent].deciding) {
            self.place(parent, wanted, last);
        }
        if self.arena[resource].decided || self.arena[resource].deciding {
            return self.arena[resource].assigned;
        }
        self.arena[resource].deciding = true;
        // What instances think is asked while they are placed, by nobody else.
        if self.arena.clone_of(resource).is_none() {
            self.placed += 1;
        }
        self.heed_colocations(resource);
        if self.role(resource) == Some(Role::Stopped) {
            self.arena[resource].allowed.add_everywhere(Score::NEVER, Cause::TargetRole);
        }
        if !self.is_managed(resource) {
            let (role, node) = (self.role_now(resource), self.current(resource));
            self.set_role(resource, role);
            self.settle(resource, node, true, last);
        } else if self.arena.options.stop_all {
            self.arena[resource].allowed.add_everywhere(Score::NEVER, Cause::StopAll);
            self.settle(resource, None, true, last);
        } else if !self.arena[resource].decided {
            let node = self.choose(resource, wanted);
            self.settle(resource, node, false, last);
        }
        self.arena[resource].deciding = false;
        if let Some(node) = self.arena[resource].connection_to {
            self.connect(resource, node);
        }
        self.arena[resource].assigned
    }

    /// Lets colocations act: those that must be before those that would be nice, and what is followed
    /// before what follows.
    fn heed_colocations(&mut self, resource: ResIx) {
        for mandatory in [true, false] {
            for place in 0..self.arena[resource].follows.len() {
                let pair = self.arena[resource].follows[place];
                if self.pair(pair).score.is_mandatory() == mandatory {
                    self.follow(resource, pair);
                }
            }
            if self.hear_together(resource, mandatory) {
                continue;
            }
            for place in 0..self.arena[resource].followed_by.len() {
                let pair = self.arena[resource].followed_by[place];
                if self.pair(pair).score.is_mandatory() == mandatory {
                    self.hear(resource, pair);
                }
            }
        }
    }

    /// Gives a resource to a node, or to none. If it is not forced, the node must be able to take it.
    fn settle(&mut self, resource: ResIx, node: Option<NodeIx>, forced: bool, last: bool) {
        // A guest is taken to be there by then: if it will not be, its container stops what is in it.
        let can_be_had = |node: &NodeIx| {
            let is_guest = matches!(self.arena.node(*node).kind, NodeKind::Guest { .. });
            let is_allowed = !self.arena[resource].allowed.score(*node).is_negative();
            self.is_usable(resource, *node) || (is_guest && is_allowed)
        };
        let node = node.filter(|node| forced || can_be_had(node));
        self.release(resource);
        self.arena[resource].decided = true;
        let Some(node) = node else {
            if last {
                self.set_role(resource, Role::Stopped);
            }
            return;
        };
        self.arena[resource].assigned = Some(node);
        self.arena.node_mut(node).assigned += 1;
        self.given.push((node, 1));
        self.take_capacity(resource, node);
    }

    /// Takes back where a resource and its parts go.
    fn release(&mut self, resource: ResIx) {
        if let Some(node) = self.arena[resource].assigned.take()
            && self.arena[resource].kind == Kind::Primitive
        {
            let counter = &mut self.arena.node_mut(node).assigned;
            *counter = counter.saturating_sub(1);
            self.given.push((node, -1));
            self.give_capacity_back(resource, node);
        }
        self.arena[resource].decided = false;
        for place in 0..self.arena[resource].children.len() {
            let child = self.arena[resource].children[place];
            self.release(child);
        }
    }

    /// A connection that was placed makes its node a node that others can be given to.
    fn connect(&mut self, connection: ResIx, number: NodeIx) {
        let connected =
            self.arena[connection].assigned.is_some() && self.role(connection) != Some(Role::Stopped);
        let node = self.arena.node_mut(number);
        if connected {
            node.online = true;
            // A guest is as clean as its container. A remote node is asked again, unless its connection
            // failed in a way that takes a fencing.
            if node.unseen || matches!(node.kind, NodeKind::Guest { .. }) {
                node.unclean = false;
                node.fence_why = None;
            }
        } else {
            node.shutting_down = true;
        }
        self.available[number.0 as usize] = self.arena.is_available(number);
        self.placed += 1;
    }

    /// What the attribute of a colocation is on a node. What is in a bundle counts where its container is.
    fn attribute(&self, resource: ResIx, node: NodeIx, name: Option<&str>) -> Option<&str> {
        let node = self.host_of_bundled(resource, node).unwrap_or(node);
        let node = self.arena.node(node);
        match name {
            None | Some("#uname") => Some(&node.name),
            Some("#id") => Some(&node.id),
            Some(name) => node.attributes.get(name).map(|value| value.as_str()),
        }
    }

    /// Where the container is in which this node is, if resource and node belong to bundles.
    fn host_of_bundled(&self, resource: ResIx, node: NodeIx) -> Option<NodeIx> {
        let NodeKind::Guest { connection, container } = self.arena.node(node).kind else { return None };
        self.arena[container].assigned.filter(|_| self.is_bundled(resource) && self.is_bundled(connection))
    }

    /// Writes into the arena what was decided of roles.
    fn write_roles(&mut self) {
        for resource in self.arena.resource_numbers() {
            self.arena[resource].next_role = self.final_role(resource);
        }
    }

    fn final_role(&self, resource: ResIx) -> Role {
        let here = &self.arena[resource];
        if here.kind != Kind::Primitive {
            return here.children.iter().map(|child| self.final_role(*child)).max().unwrap_or_default();
        }
        let promotable = self.is_promotable(resource);
        match (here.assigned, self.role(resource)) {
            (None, _) => Role::Stopped,
            (Some(_), Some(Role::Stopped)) => Role::Stopped,
            (Some(_), Some(Role::Promoted)) => Role::Promoted,
            (Some(_), None | Some(Role::Started | Role::Unpromoted)) if promotable => Role::Unpromoted,
            (Some(_), None | Some(Role::Started | Role::Unpromoted)) => Role::Started,
        }
    }

    /// Whether needs count.
    fn counts_capacity(&self) -> bool {
        self.arena.options.placement != Placement::Default
    }
}

/// The place of each node's name among all names; nodes with the same name have the same place.
fn places_by_name(arena: &Arena<'_>) -> Vec<usize> {
    let mut sorted: Vec<&str> = arena.nodes.iter().map(|node| node.name.as_str()).collect();
    sorted.sort_unstable();
    arena.nodes.iter().map(|node| sorted.partition_point(|name| *name < node.name.as_str())).collect()
}

/// Where a resource is active: where it is said to be, else where its parts are.
fn active_parts(arena: &Arena<'_>, resource: ResIx) -> Vec<NodeIx> {
    let here = &arena[resource];
    let mut nodes = here.active_on.clone();
    if nodes.is_empty() {
        for node in here.children.iter().flat_map(|child| active_parts(arena, *child)) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
    }
    nodes
}
