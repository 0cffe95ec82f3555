//! Making a cluster smaller while something about it stays true.

use std::collections::BTreeMap;

use heart_model::policy::{AttributeSet, Body, Constraint, Resource};

use crate::Situation;

/// How many smaller clusters are tried at the most.
const TRIES_MAX: usize = 20_000;

/// The smallest cluster that was found of which `holds` is true, as it is of `situation`.
pub fn shrink(situation: &Situation, holds: impl Fn(&Situation) -> bool) -> Situation {
    let mut best = situation.clone();
    let (mut place, mut smaller, mut tries) = (0, false, 0);
    // Bounded: tries are counted.
    while tries < TRIES_MAX {
        let mut candidate = best.clone();
        let mut cut = Cut { left: place, done: false };
        cut.situation(&mut candidate);
        if cut.done {
            tries += 1;
            if holds(&candidate) {
                best = candidate;
                smaller = true;
            } else {
                place += 1;
            }
        } else if smaller {
            (place, smaller) = (0, false);
        } else {
            break;
        }
    }
    best
}

/// A walk through everything that can be taken away, the large before the small; takes one thing away.
struct Cut {
    /// How many things are passed by before.
    left: usize,
    done: bool,
}

impl Cut {
    /// Whether it is this one's turn.
    fn here(&mut self) -> bool {
        if self.done {
            return false;
        }
        self.done = self.left == 0;
        self.left = self.left.saturating_sub(1);
        self.done
    }

    fn list<T>(&mut self, list: &mut Vec<T>) {
        let place = (0..list.len()).find(|_| self.here());
        if let Some(place) = place {
            list.remove(place);
        }
    }

    fn values(&mut self, values: &mut BTreeMap<String, String>) {
        let name = values.keys().find(|_| self.here()).cloned();
        if let Some(name) = name {
            values.remove(&name);
        }
    }

    fn sets(&mut self, sets: &mut Vec<AttributeSet>) {
        self.list(sets);
        for set in sets {
            self.values(&mut set.values);
            if set.rule.is_some() && self.here() {
                set.rule = None;
            }
        }
    }

    fn situation(&mut self, situation: &mut Situation) {
        let Situation { cluster, state } = situation;
        self.list(&mut cluster.constraints);
        self.list(&mut cluster.resources);
        let node = cluster.nodes.iter().position(|_| self.here());
        if let Some(node) = node.map(|node| cluster.nodes.remove(node)) {
            state.nodes.retain(|state| state.id != node.id);
        }
        self.list(&mut state.nodes);
        self.list(&mut cluster.fencing_levels);
        for node in &mut state.nodes {
            self.list(&mut node.history);
        }
        self.resources(&mut cluster.resources);
        cluster.constraints.iter_mut().for_each(|constraint| self.constraint(constraint));
        self.sets(&mut cluster.options);
        self.sets(&mut cluster.resource_defaults);
        self.sets(&mut cluster.operation_defaults);
        for node in &mut cluster.nodes {
            self.sets(&mut node.attributes);
            self.sets(&mut node.utilization);
        }
        for node in &mut state.nodes {
            self.sets(&mut node.attributes);
            for history in &mut node.history {
                self.list(&mut history.operations);
            }
        }
    }

    fn constraint(&mut self, constraint: &mut Constraint) {
        let sets = match constraint {
            Constraint::ColocationSets(with) => &mut with.sets,
            Constraint::OrderSets(order) => &mut order.sets,
            Constraint::Location(_)
            | Constraint::Colocation(_)
            | Constraint::Order(_)
            | Constraint::Ticket(_) => return,
        };
        self.list(sets);
        sets.iter_mut().for_each(|set| self.list(&mut set.members));
    }

    fn resources(&mut self, resources: &mut [Resource]) {
        for resource in resources {
            self.sets(&mut resource.meta);
            self.sets(&mut resource.parameters);
            self.sets(&mut resource.utilization);
            self.list(&mut resource.operations);
            for operation in &mut resource.operations {
                self.values(&mut operation.options.values);
            }
            match &mut resource.body {
                Body::Primitive(_) => {}
                Body::Group(members) => {
                    if members.len() > 1 {
                        self.list(members);
                    }
                    self.resources(members);
                }
                Body::Clone(inner) => self.resources(std::slice::from_mut(inner)),
                Body::Bundle(bundle) => {
                    let inner = bundle.inner.as_deref_mut();
                    inner.into_iter().for_each(|inner| self.resources(std::slice::from_mut(inner)));
                    self.values(&mut bundle.container.values);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grow::{self, Tier};

    #[test]
    fn nothing_is_left_that_does_not_matter() {
        let grown = grow::wild(3, Tier::Everything);
        assert_eq!(
            shrink(&grown, |_| true),
            Situation { state: shrunk_state(&grown), ..Situation::default() }
        );
        let resources = grown.cluster.resources.len();
        let kept = shrink(&grown, |smaller| smaller.cluster.resources.len() == resources);
        assert_eq!((kept.cluster.resources.len(), kept.cluster.nodes.len()), (resources, 0));
    }

    /// What is no list stays.
    fn shrunk_state(grown: &Situation) -> heart_model::policy::State {
        heart_model::policy::State { nodes: Vec::new(), ..grown.state.clone() }
    }
}
