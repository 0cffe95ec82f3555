//! Which resources have to do with which.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use heart_model::policy::{Body, Cluster, Constraint, Resource, ResourceSet};

use crate::engine::facts::without_instance;

/// How far constraints are followed from one resource to the next.
const STEPS_MAX: usize = 3;

/// How resources contain one another.
#[derive(Default)]
pub(super) struct Family<'c> {
    /// For each resource what contains it.
    parents: BTreeMap<&'c str, &'c str>,
    /// For each resource what it contains, in order.
    children: BTreeMap<&'c str, Vec<&'c str>>,
    /// What has parts that nobody has written: they are called after it.
    bundles: Vec<&'c str>,
    /// What runs in what else, and is of one fate with it.
    contained: Vec<[&'c str; 2]>,
    /// Nodes, and what there is of them: a guest is as long there as what it runs in.
    hosts: BTreeMap<&'c str, &'c str>,
}

impl<'c> Family<'c> {
    pub(super) fn of(cluster: &'c Cluster) -> Family<'c> {
        let mut family = Family::default();
        let mut open: Vec<&Resource> = cluster.resources.iter().collect();
        while let Some(resource) = open.pop() {
            let parts: Vec<&Resource> = resource.parts().collect();
            for part in &parts {
                family.parents.insert(&part.id, &resource.id);
            }
            if matches!(resource.body, Body::Bundle(_)) {
                family.bundles.push(&resource.id);
            }
            for set in &resource.meta {
                if let Some(container) = set.values.get("container") {
                    family.contained.push([&resource.id, container]);
                }
                if let Some(guest) = set.values.get("remote-node") {
                    family.hosts.insert(guest, &resource.id);
                }
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

    /// The bundle that has this part, which nobody has written.
    fn bundle_of(&self, name: &str) -> Option<&'c str> {
        let called_after =
            |bundle: &&str| name.strip_prefix(*bundle).is_some_and(|rest| rest.starts_with('-'));
        let bundles = self.bundles.iter().copied().filter(|_| !self.children.contains_key(name));
        bundles.filter(called_after).max_by_key(|bundle| bundle.len())
    }

    /// What a node is made by: what runs it as a guest, or the connection to it.
    fn host(&self, node: &str) -> Option<&'c str> {
        let connection = || self.children.get_key_value(node).map(|(id, _)| *id);
        self.hosts.get(node).copied().or_else(connection).or_else(|| self.bundle_of(node))
    }

    /// A resource and all that contains it, from within.
    pub(super) fn line(&self, name: &'c str) -> Vec<&'c str> {
        let mut line = Vec::from([name]);
        let mut at = name;
        if let Some(bundle) = self.bundle_of(name) {
            line.push(bundle);
            at = bundle;
        }
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

/// Follows constraints and containment from a resource, and from what makes these nodes.
pub(super) fn related<'c>(
    cluster: &'c Cluster,
    family: &Family<'c>,
    resource: &'c str,
    nodes: &[String],
) -> Related<'c> {
    let mut resources = family.line(without_instance(resource));
    for host in nodes.iter().filter_map(|node| family.host(node)).flat_map(|host| family.line(host)) {
        if !resources.contains(&host) {
            resources.push(host);
        }
    }
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
        for pair in family.contained.iter().filter(|pair| pair.iter().any(|name| known.contains(name))) {
            next.extend(pair.iter().flat_map(|name| family.clan(name)));
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
