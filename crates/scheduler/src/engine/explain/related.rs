//! Which resources have to do with which.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use heart_model::policy::{Cluster, Constraint, Resource, ResourceSet};

use crate::engine::facts::without_instance;

/// How far constraints are followed from one resource to the next.
const STEPS_MAX: usize = 3;

/// How resources contain one another.
pub(super) struct Family<'c> {
    /// For each resource what contains it.
    parents: BTreeMap<&'c str, &'c str>,
    /// For each resource what it contains, in order.
    children: BTreeMap<&'c str, Vec<&'c str>>,
}

impl<'c> Family<'c> {
    pub(super) fn of(cluster: &'c Cluster) -> Family<'c> {
        let mut family = Family { parents: BTreeMap::new(), children: BTreeMap::new() };
        let mut open: Vec<&Resource> = cluster.resources.iter().collect();
        while let Some(resource) = open.pop() {
            let parts: Vec<&Resource> = resource.parts().collect();
            for part in &parts {
                family.parents.insert(&part.id, &resource.id);
            }
            family.children.insert(&resource.id, parts.iter().map(|part| part.id.as_str()).collect());
            open.extend(parts);
        }
        family
    }

    pub(super) fn is_primitive(&self, name: &str) -> bool {
        self.children.get(without_instance(name)).is_some_and(Vec::is_empty)
    }

    /// The primitives within a resource, in order.
    pub(super) fn primitives(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = Vec::from([name]);
        while let Some(at) = open.pop() {
            match self.children.get(without_instance(at)).map(Vec::as_slice) {
                None => {}
                Some([]) => found.push(at.into()),
                Some(parts) => open.extend(parts.iter().rev()),
            }
        }
        found
    }

    /// A resource and all that contains it, from within.
    fn line(&self, name: &'c str) -> Vec<&'c str> {
        let mut line = Vec::from([name]);
        let mut at = name;
        // Bounded by how deep resources are nested.
        while let Some(parent) = self.parents.get(at) {
            line.push(parent);
            at = parent;
        }
        line
    }

    /// All that is within the outermost resource around this one.
    fn clan(&self, name: &'c str) -> BTreeSet<&'c str> {
        let outermost = self.line(name).pop().unwrap_or(name);
        let mut all = BTreeSet::new();
        let mut open = Vec::from([outermost]);
        while let Some(at) = open.pop() {
            if all.insert(at) {
                open.extend(self.children.get(at).into_iter().flatten());
            }
        }
        all
    }
}

/// What has to do with a resource, the nearest first.
pub(super) struct Related<'c> {
    /// Resources, itself first, then what contains it, then others.
    pub(super) resources: Vec<&'c str>,
    /// Constraints, by their places in the specification.
    pub(super) constraints: Vec<usize>,
}

/// Follows constraints and containment from a resource.
pub(super) fn related<'c>(cluster: &'c Cluster, family: &Family<'c>, resource: &'c str) -> Related<'c> {
    let mut resources = family.line(without_instance(resource));
    let mut known: BTreeSet<&str> = resources.iter().copied().collect();
    let mut constraints = Vec::new();
    let mut taken = BTreeSet::new();
    let named: Vec<Vec<&str>> =
        cluster.constraints.iter().map(|constraint| names(cluster, constraint)).collect();
    for _ in 0..STEPS_MAX {
        let mut next: Vec<&str> = known.iter().flat_map(|name| family.clan(name)).collect();
        for (place, names) in named.iter().enumerate() {
            let touches = names.iter().any(|name| known.contains(name));
            if touches && taken.insert(place) {
                constraints.push(place);
                next.extend(names.iter().flat_map(|name| family.clan(name)));
            }
        }
        for name in next {
            if known.insert(name) {
                resources.push(name);
            }
        }
    }
    Related { resources, constraints }
}

/// The resources that a constraint names; a tag names all that have it.
fn names<'c>(cluster: &'c Cluster, constraint: &'c Constraint) -> Vec<&'c str> {
    let of_sets = |sets: &'c [ResourceSet]| -> Vec<&'c str> {
        sets.iter().flat_map(|set| set.members.iter().map(String::as_str)).collect()
    };
    let written: Vec<&str> = match constraint {
        Constraint::Location(location) => Vec::from([location.resource.as_str()]),
        Constraint::Colocation(pair) => Vec::from([pair.dependent.as_str(), &pair.primary]),
        Constraint::ColocationSets(sets) => of_sets(&sets.sets),
        Constraint::Order(order) => Vec::from([order.first.as_str(), &order.then]),
        Constraint::OrderSets(sets) => of_sets(&sets.sets),
        Constraint::Ticket(ticket) => Vec::from([ticket.resource.as_str()]),
    };
    let meant = |name: &'c str| match cluster.tags.get(name) {
        Some(tagged) => tagged.iter().map(String::as_str).collect(),
        None => Vec::from([name]),
    };
    written.into_iter().flat_map(meant).collect()
}
