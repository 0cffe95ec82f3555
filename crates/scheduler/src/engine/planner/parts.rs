//! Parts of a cluster that no constraint joins.
//!
//! A part is made of resources that are part of no other and that constraints join, directly or through
//! others. What is not configured any more belongs to no part.
//!
//! Often many things rest on a clone that is everywhere, and are joined by nothing else. Such a clone is an
//! *anchor*: others follow it and start after it, and it follows and waits for none of them. While it is at
//! rest, what rests on it can be taken apart further, into *fine* parts.

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

use heart_model::policy::{
    AttributeSet, Body, Cluster, Constraint, Resource, ResourceSet, Rule, State, Test, Verb, Where,
};

/// A resource that is part of no other, by its place in the cluster.
pub(super) type Top = u32;

/// What is known of a resource that is part of no other.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What was done with it: places of nodes in the state, and of histories there.
    histories: Vec<(u32, u32)>,
    /// The ids of its primitives.
    primitives: Vec<String>,
    part: u32,
    fine: u32,
    is_anchor: bool,
}

/// One part.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// Its resources that are part of no other.
    pub(super) tops: Vec<Top>,
    /// The anchors that they rest on, which are no part of it.
    pub(super) anchors: Vec<Top>,
    /// Its constraints, by their places in the cluster; those of its anchors, too.
    constraints: Vec<u32>,
}

/// All parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    tops: Vec<Known>,
    all: Vec<Part>,
    fine: Vec<Part>,
    /// Whose part each resource is, members and inner ones too, by id.
    names: BTreeMap<String, Top>,
    /// Attributes of nodes that rules or colocations ask for.
    asked: Vec<String>,
    /// Something depends on the time.
    pub(super) time_matters: bool,
    /// There is something that may join everything: a ticket.
    pub(super) inseparable: bool,
}

impl Parts {
    /// The parts of a cluster.
    pub(super) fn of(cluster: &Cluster, state: &State) -> Parts {
        let mut parts = Parts::default();
        for (place, resource) in (0_u32..).zip(&cluster.resources) {
            let mut known = Known::default();
            each(resource, &mut |found| {
                parts.names.insert(found.id.clone(), place);
                if matches!(found.body, Body::Primitive(_)) {
                    known.primitives.push(found.id.clone());
                }
            });
            parts.tops.push(known);
        }
        let joined: Vec<Vec<Top>> = cluster
            .constraints
            .iter()
            .map(|constraint| {
                names_of(constraint).into_iter().flat_map(|name| parts.meant(cluster, name)).collect()
            })
            .collect();
        parts.find_anchors(cluster);
        let count = cluster.resources.len();
        let mut sets = Sets::new(count);
        joined.iter().for_each(|joined| sets.join_all(joined));
        parts.all = parts_of(&mut sets, count);
        let mut fine_sets = Sets::new(count);
        for joined in &joined {
            let (anchors, others): (Vec<Top>, Vec<Top>) =
                joined.iter().copied().partition(|top| parts.tops[*top as usize].is_anchor);
            fine_sets.join_all(&anchors);
            fine_sets.join_all(&others);
        }
        parts.fine = parts_of(&mut fine_sets, count);
        for (number, part) in (0_u32..).zip(&parts.all) {
            part.tops.iter().for_each(|top| parts.tops[*top as usize].part = number);
        }
        for (number, part) in (0_u32..).zip(&parts.fine) {
            part.tops.iter().for_each(|top| parts.tops[*top as usize].fine = number);
        }
        parts.give_constraints(&joined);
        parts.look_for_conditions(cluster, state);
        parts.note_histories(state);
        parts
    }

    /// What a name in a constraint means: a resource, or all that have a tag.
    fn meant(&self, cluster: &Cluster, name: &str) -> Vec<Top> {
        let one = self.names.get(name).into_iter();
        let tagged = cluster.tags.get(name).into_iter().flatten().filter_map(|name| self.names.get(name));
        one.chain(tagged).copied().collect()
    }

    /// Gives every constraint to its parts, and every fine part the anchors that it rests on.
    fn give_constraints(&mut self, joined: &[Vec<Top>]) {
        for (place, joined) in (0_u32..).zip(joined) {
            let Some(first) = joined.first() else { continue };
            let part = self.tops[*first as usize].part;
            self.all[part as usize].constraints.push(place);
            let is_anchor = |top: &&Top| self.tops[**top as usize].is_anchor;
            let own = joined.iter().find(|top| !is_anchor(top)).unwrap_or(first);
            let fine = self.tops[*own as usize].fine as usize;
            self.fine[fine].constraints.push(place);
            for anchor in joined.iter().filter(is_anchor) {
                let group = self.tops[*anchor as usize].fine as usize;
                if group != fine {
                    let tops = self.fine[group].tops.clone();
                    self.fine[fine].anchors.extend(tops);
                }
            }
        }
        for fine in 0..self.fine.len() {
            let mut anchors = core::mem::take(&mut self.fine[fine].anchors);
            anchors.sort_unstable();
            anchors.dedup();
            let mut constraints = core::mem::take(&mut self.fine[fine].constraints);
            for anchor in &anchors {
                let group = &self.fine[self.tops[*anchor as usize].fine as usize];
                constraints.extend(&group.constraints);
            }
            constraints.sort_unstable();
            constraints.dedup();
            (self.fine[fine].anchors, self.fine[fine].constraints) = (anchors, constraints);
        }
    }

    /// Finds the clones that others rest on and that rest on nobody.
    fn find_anchors(&mut self, cluster: &Cluster) {
        let plain = |sets: &[AttributeSet]| {
            let special =
                ["promotable", "notify", "globally-unique", "clone-min", "clone-max", "clone-node-max"];
            sets.iter().all(|set| special.iter().all(|name| !set.values.contains_key(*name)))
        };
        let defaults_plain = plain(&cluster.resource_defaults);
        for (known, resource) in self.tops.iter_mut().zip(&cluster.resources) {
            let is_clone = matches!(resource.body, Body::Clone(_));
            known.is_anchor = is_clone && defaults_plain && plain(&resource.meta);
        }
        for constraint in &cluster.constraints {
            let (carried, carriers): (Vec<&str>, Option<&str>) = match constraint {
                Constraint::Location(_) => continue,
                Constraint::Colocation(said) => {
                    let plain = said.dependent_role.is_none() && said.primary_role.is_none();
                    (vec![&said.dependent], Some(said.primary.as_str()).filter(|_| plain))
                }
                Constraint::Order(order) => {
                    let starts = order.first_action == Verb::Start && order.then_action == Verb::Start;
                    let plain = starts
                        && order.first_instance.is_none()
                        && order.then_instance.is_none()
                        && order.require_all != Some(false);
                    (vec![&order.then], Some(order.first.as_str()).filter(|_| plain))
                }
                Constraint::ColocationSets(_) | Constraint::OrderSets(_) | Constraint::Ticket(_) => {
                    (names_of(constraint), None)
                }
            };
            let carried: Vec<Top> = carried.into_iter().flat_map(|name| self.meant(cluster, name)).collect();
            let named: Vec<Top> =
                names_of(constraint).into_iter().flat_map(|name| self.meant(cluster, name)).collect();
            // Anchors may rest on one another: they are taken together.
            let among_anchors =
                carriers.is_some() && named.iter().all(|top| self.tops[*top as usize].is_anchor);
            let refused = if carriers.is_some() { &carried } else { &named };
            for top in refused.iter().filter(|_| !among_anchors) {
                self.tops[*top as usize].is_anchor = false;
            }
        }
    }

    /// Notes where the histories of each resource are.
    fn note_histories(&mut self, state: &State) {
        for (node, entry) in (0_u32..).zip(&state.nodes) {
            for (place, history) in (0_u32..).zip(&entry.history) {
                if let Some(top) = self.named(&history.resource) {
                    self.tops[top as usize].histories.push((node, place));
                }
            }
        }
    }

    /// Notes a new history.
    pub(super) fn add_history(&mut self, top: Top, node: usize, place: usize) {
        let histories = &mut self.tops[top as usize].histories;
        let entry = (node as u32, place as u32);
        histories.insert(histories.partition_point(|known| *known < entry), entry);
    }

    /// How many parts there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The part that a resource belongs to.
    pub(super) fn part_of(&self, top: Top) -> &Part {
        &self.all[self.tops[top as usize].part as usize]
    }

    /// The fine part that a resource belongs to, if it rests on anchors.
    pub(super) fn fine_part_of(&self, top: Top) -> Option<&Part> {
        let part = &self.fine[self.tops[top as usize].fine as usize];
        (!part.anchors.is_empty()).then_some(part)
    }

    /// The ids of all primitives of a part.
    pub(super) fn primitives<'p>(&'p self, part: &'p Part) -> impl Iterator<Item = &'p String> {
        part.tops.iter().flat_map(|top| &self.tops[*top as usize].primitives)
    }

    /// A part as a cluster of its own on all nodes, with its anchors if these are wanted.
    pub(super) fn cut_out(
        &self,
        part: &Part,
        with_anchors: bool,
        frame: &Cluster,
        (cluster, state): (&Cluster, &State),
    ) -> (Cluster, State) {
        let anchors = if with_anchors { part.anchors.as_slice() } else { &[] };
        let mut tops: Vec<Top> = part.tops.iter().chain(anchors).copied().collect();
        tops.sort_unstable();
        let mut cut = frame.clone();
        cut.resources = tops.iter().map(|top| cluster.resources[*top as usize].clone()).collect();
        let constraints = part.constraints.iter().map(|place| cluster.constraints[*place as usize].clone());
        cut.constraints = constraints.collect();
        let mut known = State {
            nodes: Vec::new(),
            tickets: state.tickets.clone(),
            leader: state.leader.clone(),
            ..*state
        };
        known.nodes = state.nodes.iter().map(super::without_history).collect();
        let mut histories: Vec<(u32, u32)> =
            tops.iter().flat_map(|top| &self.tops[*top as usize].histories).copied().collect();
        histories.sort_unstable();
        for (node, place) in histories {
            let history = state.nodes[node as usize].history[place as usize].clone();
            known.nodes[node as usize].history.push(history);
        }
        (cut, known)
    }

    /// Whose part this resource is; instances may have a number behind a colon.
    pub(super) fn named(&self, name: &str) -> Option<Top> {
        let base = || name.rsplit_once(':').and_then(|(base, _)| self.names.get(base));
        self.names.get(name).or_else(base).copied()
    }

    /// Of which resource alone this attribute of a node speaks.
    pub(super) fn spoken_of(&self, attribute: &str) -> Option<Top> {
        if self.asked.iter().any(|asked| asked == attribute) {
            return None;
        }
        let prefixes = ["fail-count-", "last-failure-", "master-"];
        let name = prefixes.iter().find_map(|prefix| attribute.strip_prefix(prefix))?;
        self.named(name.rsplit_once('#').map_or(name, |(name, _)| name))
    }

    /// Notes what rules ask for.
    fn look_for_conditions(&mut self, cluster: &Cluster, state: &State) {
        self.look_into(&cluster.options);
        self.look_into(&cluster.resource_defaults);
        self.look_into(&cluster.operation_defaults);
        for node in &cluster.nodes {
            self.look_into(&node.attributes);
            self.look_into(&node.utilization);
        }
        for node in &state.nodes {
            self.look_into(&node.attributes);
            // How long a node has been on its way is compared with the time.
            self.time_matters |=
                node.member.is_some_and(|since| since > 0) && node.process.is_none_or(|at| at <= 0);
        }
        for resource in &cluster.resources {
            each(resource, &mut |resource| {
                self.look_into(&resource.meta);
                self.look_into(&resource.parameters);
                self.look_into(&resource.utilization);
                for operation in &resource.operations {
                    self.look_into(core::slice::from_ref(&operation.options));
                    self.look_into(&operation.meta);
                    self.look_into(&operation.parameters);
                }
            });
        }
        for constraint in &cluster.constraints {
            match constraint {
                Constraint::Location(location) => {
                    if let Where::Rules(rules) = &location.at {
                        for scored in rules {
                            self.look_into_rule(&scored.rule);
                            self.asked.extend(scored.score_attribute.clone());
                        }
                    }
                }
                Constraint::Colocation(said) => self.asked.extend(said.node_attribute.clone()),
                Constraint::ColocationSets(said) => self.asked.extend(said.node_attribute.clone()),
                Constraint::Ticket(_) => self.inseparable = true,
                Constraint::Order(_) | Constraint::OrderSets(_) => {}
            }
        }
        self.asked.sort_unstable();
        self.asked.dedup();
    }

    fn look_into(&mut self, sets: &[AttributeSet]) {
        for set in sets {
            self.time_matters |= set.values.contains_key("failure-timeout");
            if let Some(rule) = &set.rule {
                self.look_into_rule(rule);
            }
        }
    }

    fn look_into_rule(&mut self, rule: &Rule) {
        for test in &rule.tests {
            match test {
                Test::Rule(rule) => self.look_into_rule(rule),
                Test::Attribute { name, .. } => self.asked.push(name.clone()),
                Test::Date(_) | Test::DateParts(_) => self.time_matters = true,
                Test::Agent { .. } | Test::Operation { .. } | Test::Never => {}
            }
        }
    }
}

/// What is joined.
struct Sets(Vec<u32>);

impl Sets {
    fn new(count: usize) -> Sets {
        Sets((0..count as u32).collect())
    }

    fn join_all(&mut self, places: &[u32]) {
        places.windows(2).for_each(|two| self.join(two[0], two[1]));
    }

    fn find(&mut self, place: u32) -> u32 {
        let mut root = place;
        // Bounded: each step goes to a lower place.
        while self.0[root as usize] != root {
            root = self.0[root as usize];
        }
        let mut at = place;
        while self.0[at as usize] != root {
            at = core::mem::replace(&mut self.0[at as usize], root);
        }
        root
    }

    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.find(one), self.find(other));
        self.0[one.max(other) as usize] = one.min(other);
    }
}

/// The parts that sets make, in the order of their first resources.
fn parts_of(sets: &mut Sets, count: usize) -> Vec<Part> {
    let mut number: BTreeMap<u32, usize> = BTreeMap::new();
    let mut parts: Vec<Part> = Vec::new();
    for top in 0..count as u32 {
        let place = *number.entry(sets.find(top)).or_insert(parts.len());
        if place == parts.len() {
            parts.push(Part::default());
        }
        parts[place].tops.push(top);
    }
    parts
}

/// A resource and all that it is made of.
fn each<'r>(resource: &'r Resource, see: &mut impl FnMut(&'r Resource)) {
    see(resource);
    match &resource.body {
        Body::Primitive(_) => {}
        Body::Group(members) => members.iter().for_each(|member| each(member, see)),
        Body::Clone(inner) => each(inner, see),
        Body::Bundle(bundle) => {
            if let Some(inner) = &bundle.inner {
                each(inner, see);
            }
        }
    }
}

/// What a constraint joins.
fn names_of(constraint: &Constraint) -> Vec<&str> {
    fn members(sets: &[ResourceSet]) -> Vec<&str> {
        sets.iter().flat_map(|set| &set.members).map(String::as_str).collect()
    }
    match constraint {
        Constraint::Location(location) => alloc::vec![&location.resource],
        Constraint::Colocation(said) => alloc::vec![&said.dependent, &said.primary],
        Constraint::ColocationSets(said) => members(&said.sets),
        Constraint::Order(order) => alloc::vec![&order.first, &order.then],
        Constraint::OrderSets(order) => members(&order.sets),
        Constraint::Ticket(ticket) => alloc::vec![&ticket.resource],
    }
}
