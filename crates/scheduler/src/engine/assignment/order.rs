//! Who is placed first.
//!
//! Connections come before everything else, since whether their nodes can be used depends on them. Then
//! priorities decide, and where they are equal the order of the file. Where needs count, that order
//! would waste what there is: then those come first that are most at home where they are, or anywhere.

use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use heart_model::policy::Score;

use super::{
    super::arena::{Kind, NodeIx, NodeTable, ResIx},
    Placing,
    choice::Rank,
    wishes::Manner,
};

impl Placing<'_, '_> {
    /// All resources that are part of no other, in the order in which they are placed.
    pub(super) fn in_order(&mut self) -> Vec<ResIx> {
        let mut order = self.arena.top.clone();
        order.sort_by_key(|resource| {
            let here = &self.arena[*resource];
            (here.removed, Reverse(here.priority))
        });
        if self.counts_capacity() {
            self.sort_by_homes(&mut order);
        }
        let is_connection = |resource: &ResIx| {
            let here = &self.arena[*resource];
            here.kind == Kind::Primitive && here.connection_to.is_some()
        };
        // A stable sort: within both parts the order stays.
        order.sort_by_key(|resource| !is_connection(resource));
        order
    }

    /// Sorts by what each resource has at best: where it is, else on the first node that differs.
    fn sort_by_homes(&mut self, order: &mut Vec<ResIx>) {
        let nodes = self.best_nodes_first();
        let mut homes = Vec::with_capacity(order.len());
        for resource in order.iter() {
            let table = self.table_with_followed(*resource);
            let now = self.current(*resource).map_or(Score::NEVER, |node| table.score(node));
            let scores: Vec<Score> = nodes.iter().map(|node| table.score(*node)).collect();
            homes.push((*resource, self.arena[*resource].priority, now, scores));
        }
        homes.sort_by_key(|(_, priority, now, scores)| Reverse((*priority, *now, scores.clone())));
        *order = homes.into_iter().map(|(resource, ..)| resource).collect();
    }

    /// What a resource's nodes are worth with all that it follows.
    fn table_with_followed(&mut self, resource: ResIx) -> NodeTable {
        let start = match (self.arena[resource].kind, self.arena[resource].children.last()) {
            (Kind::Group, Some(last)) => *last,
            (Kind::Primitive | Kind::Group | Kind::Clone | Kind::Bundle, _) => resource,
        };
        let mut table = self.arena[start].allowed.clone();
        self.add_wishes(&mut table, start, start, None, Score::INFINITY, Manner::OF_FOLLOWED);
        table
    }

    /// All nodes, the best first.
    fn best_nodes_first(&self) -> Vec<NodeIx> {
        let rank = |node: NodeIx| Rank { node, score: self.arena.node(node).score, here: false };
        let mut nodes: Vec<NodeIx> = self.arena.node_numbers().collect();
        nodes.sort_by(|one, other| -> Ordering { self.compare_nodes(&rank(*one), &rank(*other)) });
        nodes
    }
}
