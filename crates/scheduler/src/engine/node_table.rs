//! What is said of each node: tables of scores, and sets.

use alloc::vec::Vec;

use heart_model::policy::{Discovery, Score};

use super::arena::{Allowed, Cause, NodeIx};

/// Scores of nodes. A node that has none can never be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeTable(Vec<Option<Allowed>>);

impl NodeTable {
    /// An empty table for this many nodes.
    pub(crate) fn new(nodes: usize) -> NodeTable {
        NodeTable(alloc::vec![None; nodes])
    }

    pub(crate) fn get(&self, node: NodeIx) -> Option<&Allowed> {
        self.0.get(node.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, node: NodeIx) -> Option<&mut Allowed> {
        self.0.get_mut(node.0 as usize)?.as_mut()
    }

    /// The node's score; [`Score::NEVER`] if it has none.
    pub(crate) fn score(&self, node: NodeIx) -> Score {
        self.get(node).map_or(Score::NEVER, |allowed| allowed.score)
    }

    /// Gives a node that has no score this one; one that has keeps it.
    pub(crate) fn admit(&mut self, node: NodeIx, score: Score, cause: Cause) {
        let place = node.0 as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place].get_or_insert(Allowed { score, discovery: Discovery::Always, cause });
    }

    /// Adds to the score of a node that has one.
    pub(crate) fn add(&mut self, node: NodeIx, score: Score, cause: Cause) {
        if let Some(allowed) = self.get_mut(node) {
            let before = allowed.score;
            allowed.score += score;
            if allowed.score != before && allowed.score.is_mandatory() {
                allowed.cause = cause;
            }
        }
    }

    /// Adds to the scores of all nodes that have one.
    pub(crate) fn add_everywhere(&mut self, score: Score, cause: Cause) {
        let places = self.0.len() as u32;
        (0..places).for_each(|place| self.add(NodeIx(place), score, cause));
    }

    /// The nodes that have a score, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeIx, &Allowed)> {
        let numbered = self.0.iter().enumerate();
        numbered.filter_map(|(place, allowed)| Some((NodeIx(place as u32), allowed.as_ref()?)))
    }

    /// The same, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeIx, &mut Allowed)> {
        let numbered = self.0.iter_mut().enumerate();
        numbered.filter_map(|(place, allowed)| Some((NodeIx(place as u32), allowed.as_mut()?)))
    }
}

/// Some of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeSet(Vec<u64>);

impl NodeSet {
    /// Adds a node; whether that is new.
    pub(crate) fn insert(&mut self, node: NodeIx) -> bool {
        let (word, bit) = (node.0 as usize / 64, 1 << (node.0 % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    pub(crate) fn contains(&self, node: NodeIx) -> bool {
        self.0.get(node.0 as usize / 64).is_some_and(|word| word >> (node.0 % 64) & 1 == 1)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// All of them, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = NodeIx> {
        self.0.iter().zip(0_u32..).flat_map(|(word, place)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| NodeIx(place * 64 + bit))
        })
    }
}

impl FromIterator<NodeIx> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeIx>>(nodes: I) -> NodeSet {
        let mut set = NodeSet::default();
        for node in nodes {
            set.insert(node);
        }
        set
    }
}
