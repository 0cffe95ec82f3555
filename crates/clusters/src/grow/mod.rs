//! Growing clusters: everything that can be asked of a cluster and known of one, from one seed.
//!
//! Most of what is drawn makes sense, because what makes none is soon ignored; a little does not, because
//! people write such things. How much trouble there is differs from cluster to cluster: where everything
//! is in trouble, nothing interesting happens any more.

mod constraints;
mod history;
mod nodes;
mod options;
mod resources;
mod rules;

use std::collections::BTreeMap;

use heart_model::policy::{AgentName, AttributeSet, Cluster, Score, State};

use crate::{Situation, chance::Chance};

/// The time in every cluster that knows one: seconds since 1970.
pub(crate) const NOW: i64 = 1_780_000_000;

/// How much of the words is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Nodes, primitives, where, with what, in which order.
    Plain,
    /// Also groups, clones and promotion.
    Clones,
    /// Also fencing, rules, tickets, utilization, migration, sets.
    Everything,
    /// Also remote nodes, guests and bundles.
    Remote,
}

impl Tier {
    /// The tier with this number, 1 to 4.
    #[must_use]
    pub fn numbered(number: u64) -> Option<Tier> {
        Some(match number {
            1 => Tier::Plain,
            2 => Tier::Clones,
            3 => Tier::Everything,
            4 => Tier::Remote,
            _ => return None,
        })
    }

    /// The tier of a seed where none is asked for: 1, 2 and 3 in turn.
    #[must_use]
    pub fn of_seed(seed: u64) -> Tier {
        [Tier::Plain, Tier::Clones, Tier::Everything][(seed % 3) as usize]
    }
}

/// Something that an agent runs, wherever it is nested.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) id: String,
    pub(crate) agent: AgentName,
    /// Instances at the most; 1 if it is in no clone.
    pub(crate) instances: usize,
    pub(crate) cloned: bool,
    pub(crate) unique: bool,
    pub(crate) promotable: bool,
    pub(crate) migrates: bool,
    /// It runs in a container.
    pub(crate) contained: bool,
    /// How often its monitors recur: milliseconds.
    pub(crate) monitors: Vec<u64>,
}

impl Leaf {
    /// Something that is in no clone and has no monitor.
    pub(crate) fn plain(id: &str, agent: &AgentName) -> Leaf {
        Leaf {
            id: id.to_owned(),
            agent: agent.clone(),
            instances: 1,
            cloned: false,
            unique: false,
            promotable: false,
            migrates: false,
            contained: false,
            monitors: Vec::new(),
        }
    }

    /// Whether only full nodes can run it.
    pub(crate) fn needs_full_node(&self) -> bool {
        self.agent.class == "stonith" || matches!(self.agent.agent_type.as_str(), "remote" | "VirtualDomain")
    }
}

/// A cluster while it grows.
pub(crate) struct Grower {
    pub(crate) chance: Chance,
    pub(crate) tier: Tier,
    /// How much trouble there is: of 1000.
    pub(crate) trouble: usize,
    /// Whether everything is healthy, and as Heart has it unless somebody says otherwise.
    pub(crate) calm: bool,
    pub(crate) cluster: Cluster,
    pub(crate) state: State,
    pub(crate) leaves: Vec<Leaf>,
    /// Names that constraints may use, and whether they can be promoted.
    pub(crate) names: Vec<(String, bool)>,
    pub(crate) numbered: u32,
}

/// A cluster in any trouble.
#[must_use]
pub fn wild(seed: u64, tier: Tier) -> Situation {
    grow(seed, tier, false)
}

/// A cluster in no trouble, where nothing was done yet, with Heart's own defaults: what runs stays.
#[must_use]
pub fn calm(seed: u64, tier: Tier) -> Situation {
    grow(seed, tier, true)
}

fn grow(seed: u64, tier: Tier, calm: bool) -> Situation {
    let mut chance = Chance::new(seed.wrapping_mul(4).wrapping_add(tier as u64));
    let trouble = if calm { 0 } else { [0, 60, 200, 500][chance.below(4)] };
    let mut grower = Grower {
        chance,
        tier,
        trouble,
        calm,
        cluster: Cluster::default(),
        state: State::default(),
        leaves: Vec::new(),
        names: Vec::new(),
        numbered: 0,
    };
    grower.options();
    grower.nodes();
    grower.resources();
    grower.constraints();
    if !calm {
        grower.histories();
    }
    Situation { cluster: grower.cluster, state: grower.state }
}

impl Grower {
    /// Something bad, `of` 1000 if there is as much trouble as there can be.
    pub(crate) fn trouble(&mut self, of: usize) -> bool {
        let happens = self.chance.below(500 * 1000) < self.trouble * of;
        happens && !self.calm
    }

    /// Something of tier 3, in `per_mille` of 1000 cases.
    pub(crate) fn rarely(&mut self, per_mille: usize) -> bool {
        let happens = self.chance.happens(per_mille);
        happens && self.tier >= Tier::Everything
    }

    pub(crate) fn node(&mut self) -> String {
        let place = self.chance.below(self.cluster.nodes.len());
        self.cluster.nodes.get(place).map_or_else(|| "n1".to_owned(), |node| node.name.clone())
    }

    pub(crate) fn id(&mut self, kind: &str) -> String {
        self.numbered += 1;
        format!("{kind}{}", self.numbered)
    }

    /// Mostly small scores, some that must or must not be.
    pub(crate) fn score(&mut self) -> Score {
        match self.chance.below(10) {
            0..=2 => Score::INFINITY,
            3 | 4 => Score::NEVER,
            5 => Score::new(-(self.chance.between(1, 500) as i64)),
            6 => Score::new(0),
            _ => Score::new(self.chance.between(1, 500) as i64),
        }
    }
}

/// Values that always hold.
pub(crate) fn set(values: BTreeMap<String, String>) -> AttributeSet {
    AttributeSet { values, ..AttributeSet::default() }
}

/// Named values.
#[derive(Default)]
pub(crate) struct Values(pub(crate) BTreeMap<String, String>);

impl Values {
    pub(crate) fn put(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        self.0.insert(name.to_owned(), value.to_string());
    }

    pub(crate) fn sets(self) -> Vec<AttributeSet> {
        if self.0.is_empty() { Vec::new() } else { vec![set(self.0)] }
    }
}
