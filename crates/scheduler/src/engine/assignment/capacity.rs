//! What nodes have to give, and what resources need of it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::cmp::Ordering;

use heart_model::policy::Score;

use super::{
    super::{
        arena::{Cause, Kind, NodeIx, ResIx},
        colocation::Side,
    },
    Placing,
    following::Effect,
};

/// How much of what.
type Needs = BTreeMap<String, i64>;

impl Placing<'_, '_> {
    /// Forbids nodes that have too little for a resource. If one has enough for all that has to be with
    /// it, those that have not are left out; else those that have too little for the resource alone, and
    /// the one that has most to give is named.
    pub(super) fn leave_out_small_nodes(&mut self, resource: ResIx) -> Option<NodeIx> {
        let nodes: Vec<NodeIx> = self.arena[resource].allowed.iter().map(|(node, _)| node).collect();
        let nodes: Vec<NodeIx> = nodes.into_iter().filter(|node| self.is_usable(resource, *node)).collect();
        let together = self.needs_together(resource);
        let fits_all = nodes.iter().any(|node| self.has_enough(*node, &together));
        let alone;
        let needs = match fits_all {
            true => &together,
            false => {
                alone = self.arena[resource].needs.clone();
                &alone
            }
        };
        // The first of those that have as much as any other.
        let freest = nodes.iter().copied().reduce(|best, node| match self.compare_capacity(node, best) {
            Ordering::Less => node,
            Ordering::Equal | Ordering::Greater => best,
        });
        for node in &nodes {
            if !self.has_enough(*node, needs) {
                self.arena[resource].allowed.add(*node, Score::NEVER, Cause::Capacity);
            }
        }
        freest.filter(|_| !fits_all)
    }

    /// Whether a node can give all of this.
    fn has_enough(&self, node: NodeIx, needs: &Needs) -> bool {
        let capacity = &self.arena.node(node).capacity;
        needs.iter().all(|(name, need)| *need <= capacity.get(name).copied().unwrap_or(0))
    }

    /// Which of two nodes has more to give: more of most things.
    pub(super) fn compare_capacity(&self, one: NodeIx, other: NodeIx) -> Ordering {
        let (one, other) = (&self.arena.node(one).capacity, &self.arena.node(other).capacity);
        let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        let of = |capacity: &Needs, name: &String| capacity.get(name).copied().unwrap_or(0);
        let compared = names.into_iter().map(|name| of(other, name).cmp(&of(one, name)) as i32);
        compared.sum::<i32>().cmp(&0)
    }

    /// What a resource takes from its node.
    pub(super) fn take_capacity(&mut self, resource: ResIx, node: NodeIx) {
        self.change_capacity(resource, node, -1);
    }

    /// What a resource leaves to its node again.
    pub(super) fn give_capacity_back(&mut self, resource: ResIx, node: NodeIx) {
        self.change_capacity(resource, node, 1);
    }

    fn change_capacity(&mut self, resource: ResIx, node: NodeIx, sign: i64) {
        let capacity = &mut self.arena.nodes[node.0 as usize].capacity;
        for (name, need) in &self.arena.resources[resource.0 as usize].needs {
            if let Some(left) = capacity.get_mut(name) {
                *left = left.saturating_add(need.saturating_mul(sign));
            }
        }
    }

    /// What a resource needs, and all that has to be with it and has no place yet.
    fn needs_together(&self, resource: ResIx) -> Needs {
        let mut bound = BTreeSet::new();
        self.bind(resource, resource, &mut bound);
        let mut needs = Needs::new();
        for resource in &bound {
            if self.arena[*resource].decided {
                continue;
            }
            match self.arena[*resource].kind {
                Kind::Primitive => self.add_needs(*resource, &mut needs),
                // Its members are among those that are bound.
                Kind::Group => {}
                Kind::Clone | Kind::Bundle => self.add_needs_of_an_instance(*resource, &bound, &mut needs),
            }
        }
        needs
    }

    fn add_needs(&self, resource: ResIx, needs: &mut Needs) {
        for (name, need) in &self.arena[resource].needs {
            let sum = needs.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*need);
        }
    }

    /// Nobody knows which instance it will be: the first stands for it, unless one is bound anyway.
    fn add_needs_of_an_instance(&self, whole: ResIx, bound: &BTreeSet<ResIx>, needs: &mut Needs) {
        let here = &self.arena[whole];
        let first = match &here.bundle {
            Some(facts) => facts.replicas.first().map(|replica| replica.container),
            None => here.children.first().copied(),
        };
        let Some(first) = first else { return };
        let is_bound = |part: &ResIx| {
            bound.contains(part) || self.arena[*part].children.iter().any(|member| bound.contains(member))
        };
        if here.children.iter().any(is_bound) {
            return;
        }
        match self.arena[first].children.as_slice() {
            [] => self.add_needs(first, needs),
            members => members.iter().for_each(|member| self.add_needs(*member, needs)),
        }
    }

    /// Collects all that has to be where a resource is.
    fn bind(&self, resource: ResIx, origin: ResIx, bound: &mut BTreeSet<ResIx>) {
        if !bound.insert(resource) {
            return;
        }
        let here = &self.arena[resource];
        if here.kind == Kind::Group {
            here.children.iter().for_each(|member| self.bind(*member, origin, bound));
            return;
        }
        for side in [Side::Follows, Side::FollowedBy] {
            for pair in side.of(here) {
                let other = side.other(self.arena, *pair);
                if other == origin || self.pair(*pair).score < Score::INFINITY {
                    continue;
                }
                let (dependent, primary) = match side {
                    Side::Follows => (resource, other),
                    Side::FollowedBy => (other, resource),
                };
                // Which instance something will follow cannot be told yet.
                let unsure = side == Side::FollowedBy
                    && here.kind == Kind::Clone
                    && self.arena[other].kind != Kind::Clone;
                if !unsure && self.effect_to_come(dependent, primary, *pair) == Effect::Place {
                    self.bind(other, origin, bound);
                }
            }
        }
    }
}
