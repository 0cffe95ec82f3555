//! What is written, in the shape in which claims and runs ask for it. It is read here once more, and in a
//! simpler way than the engine does, so that a mistake of the engine is not made twice.

use std::collections::BTreeMap;

use heart_model::policy::{AgentName, AttributeSet, Body, Cluster, Resource};

use crate::{Situation, run::without_instance};

/// A primitive, and what is around it.
pub(crate) struct Primitive<'c> {
    pub(crate) source: &'c Resource,
    pub(crate) agent: &'c AgentName,
    /// What it is part of, from the inside out.
    pub(crate) around: Vec<&'c Resource>,
}

/// The primitives of a cluster, by id.
pub(crate) struct Known<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) primitives: BTreeMap<&'c str, Primitive<'c>>,
}

impl<'c> Known<'c> {
    pub(crate) fn of(cluster: &'c Cluster) -> Known<'c> {
        let mut known = Known { cluster, primitives: BTreeMap::new() };
        for resource in &cluster.resources {
            known.add(resource, &[]);
        }
        known
    }

    fn add(&mut self, resource: &'c Resource, around: &[&'c Resource]) {
        let inside: Vec<&Resource> = core::iter::once(resource).chain(around.iter().copied()).collect();
        match &resource.body {
            Body::Primitive(agent) => {
                let primitive = Primitive { source: resource, agent, around: around.to_vec() };
                self.primitives.insert(&resource.id, primitive);
            }
            Body::Group(members) => members.iter().for_each(|member| self.add(member, &inside)),
            Body::Clone(inner) => self.add(inner, &inside),
            Body::Bundle(bundle) => {
                if let Some(inner) = &bundle.inner {
                    self.add(inner, &inside);
                }
            }
        }
    }

    /// A primitive, by the name that actions have for it.
    pub(crate) fn primitive(&self, name: &str) -> Option<&Primitive<'c>> {
        self.primitives.get(name).or_else(|| self.primitives.get(without_instance(name)))
    }

    /// An option of the cluster.
    pub(crate) fn option(&self, name: &str) -> Option<&'c str> {
        plain(&self.cluster.options, name)
    }

    /// Whether anything could be fenced, or nothing has to be.
    pub(crate) fn can_fence(&self, situation: &Situation) -> bool {
        let devices = self.primitives.values().any(|primitive| primitive.agent.class == "stonith");
        let watchdog = situation.state.watchdog || self.option("have-watchdog") == Some("true");
        devices || watchdog || !self.has_fencing()
    }

    pub(crate) fn has_fencing(&self) -> bool {
        self.option("fencing-enabled") != Some("false")
    }
}

impl Primitive<'_> {
    /// An option as it was written, on itself or around it.
    pub(crate) fn meta(&self, name: &str) -> Option<&str> {
        let around = self.around.iter().map(|around| &around.meta);
        core::iter::once(&self.source.meta).chain(around).find_map(|sets| plain(sets, name))
    }

    pub(crate) fn is_cloned(&self) -> bool {
        self.around.iter().any(|around| matches!(around.body, Body::Clone(_) | Body::Bundle(_)))
    }

    /// Whether somebody said that it is not to be touched.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.meta("is-managed") == Some("false") || self.meta("maintenance") == Some("true")
    }
}

/// A value that holds under no condition.
fn plain<'s>(sets: &'s [AttributeSet], name: &str) -> Option<&'s str> {
    sets.iter().filter(|set| set.rule.is_none()).find_map(|set| set.values.get(name)).map(String::as_str)
}
