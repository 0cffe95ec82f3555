//! The best node for a resource.

use core::cmp::{Ordering, Reverse};

use heart_model::policy::Score;

use super::{
    super::arena::{NodeIx, Placement, ResIx},
    Placing,
};

/// A node that could be chosen.
pub(super) struct Rank {
    pub(super) node: NodeIx,
    pub(super) score: Score,
    /// What is to be placed is there now.
    pub(super) here: bool,
}

impl Placing<'_, '_> {
    /// The best node for a resource. Whether it can be had is not asked here.
    pub(super) fn choose(&mut self, resource: ResIx, wanted: Option<NodeIx>) -> Option<NodeIx> {
        let wanted = match self.counts_capacity() {
            true => {
                let freest = self.leave_out_small_nodes(resource);
                wanted.or(freest)
            }
            false => wanted,
        };
        let current = self.current(resource);
        let best = self.best_node(resource, current)?;
        let table = &self.arena[resource].allowed;
        let score = table.score(best);
        if let Some(wanted) = wanted
            && table.score(wanted) >= score
            && self.is_usable(resource, wanted)
        {
            return Some(wanted);
        }
        // Where it is as good elsewhere, it stays; instances that differ from one another are dealt out anew,
        // unless everything about them is a must.
        let stays = current.filter(|current| {
            score > Score::ZERO
                && (score >= Score::INFINITY || !self.is_unique_instance(resource))
                && self.is_available(*current)
                && table.get(*current).is_some_and(|allowed| allowed.score == score)
        });
        if stays.is_none() && self.is_one_of_many(resource, best) {
            self.heeds_load.set(true);
        }
        Some(stays.unwrap_or(best))
    }

    /// Whether another node has the same score as the best, so that how much each has been given decides.
    fn is_one_of_many(&self, resource: ResIx, best: NodeIx) -> bool {
        let score = |node: NodeIx, score: Score| if self.is_available(node) { score } else { Score::NEVER };
        let table = &self.arena[resource].allowed;
        let most = score(best, table.score(best));
        table.iter().filter(|(node, allowed)| score(*node, allowed.score) == most).nth(1).is_some()
    }

    /// The first node in the order of choice.
    pub(super) fn best_node(&self, resource: ResIx, current: Option<NodeIx>) -> Option<NodeIx> {
        let ranks = self.arena[resource].allowed.iter().map(|(node, allowed)| Rank {
            node,
            score: allowed.score,
            here: current == Some(node),
        });
        ranks.min_by(|one, other| self.compare_nodes(one, other)).map(|rank| rank.node)
    }

    /// Which of two nodes is chosen first.
    pub(super) fn compare_nodes(&self, one: &Rank, other: &Rank) -> Ordering {
        // What cannot be used is as bad as what is forbidden.
        let score = |rank: &Rank| match self.is_available(rank.node) {
            true => rank.score,
            false => Score::NEVER,
        };
        let name = |rank: &Rank| self.by_name.get(rank.node.0 as usize);
        let free = || match self.arena.options.placement {
            Placement::Balanced => self.compare_capacity(one.node, other.node),
            Placement::Default | Placement::Utilization | Placement::Minimal => Ordering::Equal,
        };
        let fewer = || match self.arena.options.placement {
            Placement::Minimal => Ordering::Equal,
            Placement::Default | Placement::Utilization | Placement::Balanced => {
                let load = |rank: &Rank| (self.arena.node(rank.node).assigned, Reverse(rank.here));
                load(one).cmp(&load(other))
            }
        };
        score(other)
            .cmp(&score(one))
            .then_with(free)
            .then_with(fewer)
            .then_with(|| name(one).cmp(&name(other)))
    }

    /// Whether it is an instance of a clone whose instances differ from one another.
    fn is_unique_instance(&self, resource: ResIx) -> bool {
        let clone = self.arena[resource].parent.and_then(|parent| self.arena[parent].clone);
        clone.is_some_and(|facts| facts.unique)
    }
}
