//! What those that follow a resource would like, and what follows them.
//!
//! A resource that others follow is placed with them in mind: what a follower thinks of a node is added
//! to what the resource thinks of it, weaker where the constraint is weaker, and what the follower's own
//! followers think of it likewise. Wishes are only wishes: if they would leave no node at all, they are
//! not heard.

use alloc::{collections::BTreeMap, vec::Vec};

use heart_model::policy::{Role, Score};

use super::{
    super::{
        arena::{Allowed, Cause, ColocationIx, Kind, NodeIx, NodeTable, ResIx},
        colocation::Side,
    },
    Placing,
};

/// How many are asked for one resource, at the most. Whoever follows in several ways is asked once for each:
/// where layers of resources follow one another, everyone everyone, that multiplies with every layer.
pub(super) const ASKS_MAX: u32 = 100_000;

/// How wishes are added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Whose wishes: of those that follow, or of those that are followed.
    pub(super) side: Side,
    /// Wishes that would leave no node are not heard.
    pub(super) keep_one: bool,
    /// Wishes never turn a node that was good into one that is forbidden.
    pub(super) never_forbid: bool,
}

impl Manner {
    /// For something that is placed once.
    pub(super) const OF_FOLLOWERS: Manner =
        Manner { side: Side::FollowedBy, keep_one: true, never_forbid: false };
    /// For something that is on many nodes.
    pub(super) const OF_FOLLOWERS_OF_MANY: Manner =
        Manner { side: Side::FollowedBy, keep_one: true, never_forbid: true };
    /// For the order in which things are placed.
    pub(super) const OF_FOLLOWED: Manner =
        Manner { side: Side::Follows, keep_one: false, never_forbid: false };
}

/// Scores that wishes are added to.
#[derive(Clone)]
struct Wishes {
    /// The nodes that have a score. Often it is one only: how an instance likes where it is.
    nodes: Vec<Wish>,
}

/// The score of one node.
#[derive(Clone, Copy)]
struct Wish {
    node: NodeIx,
    score: Score,
    cause: Cause,
    /// The node was good and wishes would have forbidden it: it becomes the least good.
    spared: bool,
}

impl Placing<'_, '_> {
    /// Hears what a follower of a resource would like, before the resource is placed.
    pub(super) fn hear(&mut self, resource: ResIx, pair: ColocationIx) {
        if !self.has_influence(pair) {
            return;
        }
        let manner = match self.arena[resource].kind {
            Kind::Clone => Manner::OF_FOLLOWERS_OF_MANY,
            Kind::Primitive | Kind::Group | Kind::Bundle => Manner::OF_FOLLOWERS,
        };
        let (follower, factor) = (self.pair(pair).dependent, self.pair(pair).score);
        let mut table = core::mem::take(&mut self.arena[resource].allowed);
        // Whoever follows in a circle must find the table where it was.
        self.arena[resource].allowed = table.clone();
        self.add_wishes(&mut table, follower, resource, Some(pair), factor, manner);
        self.arena[resource].allowed = table;
    }

    /// Whether what follows has a say where the other goes. Before that is active, everybody has.
    pub(super) fn has_influence(&self, pair: ColocationIx) -> bool {
        let pair = self.pair(pair);
        let active = &self.active[pair.primary.0 as usize];
        let dependent = &self.arena[pair.dependent];
        let in_bundle = dependent.parent.is_some_and(|parent| self.arena[parent].kind == Kind::Bundle);
        if in_bundle
            && dependent.connection_to.is_some()
            && active.len() == 1
            && !self.has_failed(pair.primary)
        {
            // A connection moves easily, and a container that is well does not.
            return false;
        }
        pair.influence || active.is_empty()
    }

    /// Adds to a table for `target` what `asked` thinks of its nodes, and what those think that have
    /// something to do with it. Without a pair only those.
    pub(super) fn add_wishes(
        &mut self,
        table: &mut NodeTable,
        asked: ResIx,
        target: ResIx,
        pair: Option<ColocationIx>,
        factor: Score,
        manner: Manner,
    ) {
        let wish = |(node, allowed): (NodeIx, &Allowed)| {
            let Allowed { score, cause, .. } = *allowed;
            Wish { node, score, cause, spared: false }
        };
        let mut wishes = Wishes { nodes: table.iter().map(wish).collect() };
        self.asks = 0;
        self.ask(&mut wishes, asked, target, pair, factor, manner);
        for wish in wishes.nodes {
            if let Some(allowed) = table.get_mut(wish.node) {
                allowed.score = wish.score;
                allowed.cause = wish.cause;
            }
        }
    }

    fn ask(
        &mut self,
        wishes: &mut Wishes,
        asked: ResIx,
        target: ResIx,
        pair: Option<ColocationIx>,
        factor: Score,
        manner: Manner,
    ) {
        let asked = match (self.arena[asked].kind, self.arena[asked].children.first()) {
            // A group is where its first member is; and those behind it follow that one.
            (Kind::Group, Some(first)) => *first,
            (Kind::Group, None) => return,
            (Kind::Primitive | Kind::Clone | Kind::Bundle, _) => asked,
        };
        if self.asks >= ASKS_MAX || core::mem::replace(&mut self.asked[asked.0 as usize], true) {
            return;
        }
        self.asks += 1;
        let mut changed = wishes.clone();
        if let Some(pair) = pair {
            self.add_own_wishes(&mut changed, asked, target, pair, factor, manner);
        }
        if self.leave_a_node(&changed) {
            for place in 0..manner.side.of(&self.arena[asked]).len() {
                let next = manner.side.of(&self.arena[asked])[place];
                if self.has_influence(next) {
                    let other = manner.side.other(self.arena, next);
                    let factor = factor.times(self.pair(next).score);
                    self.ask(&mut changed, other, target, Some(next), factor, manner);
                }
            }
        } else if manner.keep_one {
            self.asked[asked.0 as usize] = false;
            return;
        }
        for wish in &mut changed.nodes {
            if core::mem::take(&mut wish.spared) {
                wish.score = Score::ONE;
            }
        }
        *wishes = changed;
        self.asked[asked.0 as usize] = false;
    }

    /// Whether a table leaves a node that can be used.
    pub(super) fn leaves_a_node(&self, table: &NodeTable) -> bool {
        table.iter().any(|(node, allowed)| !allowed.score.is_negative() && self.is_available(node))
    }

    /// Whether wishes leave a node that can be used.
    fn leave_a_node(&self, wishes: &Wishes) -> bool {
        wishes.nodes.iter().any(|wish| !wish.score.is_negative() && self.is_available(wish.node))
    }

    /// Adds what one resource thinks of nodes that look the same as its own do.
    fn add_own_wishes(
        &self,
        wishes: &mut Wishes,
        asked: ResIx,
        target: ResIx,
        pair: ColocationIx,
        factor: Score,
        manner: Manner,
    ) {
        let attribute = self.pair(pair).attribute.as_deref();
        let group = self.group_behind(asked, pair);
        // Mostly what has to be the same is the node itself, and nothing has to be looked up.
        let is_node = self.is_node(asked, target, attribute);
        let best = if is_node { BTreeMap::new() } else { self.best_by_value(asked, attribute, group) };
        let mut heeds_dislike = None;
        for wish in &mut wishes.nodes {
            let score = match is_node {
                true => self.opinion(asked, group, wish.node),
                false => best.get(&self.attribute(target, wish.node, attribute)).copied(),
            };
            let score = score.unwrap_or(Score::NEVER);
            if factor.is_negative() && score.is_negative() {
                let least = *heeds_dislike.get_or_insert_with(|| self.heeds_dislike_of_dislike(pair));
                if least.is_none_or(|stickiness| stickiness >= -score) {
                    continue;
                }
            }
            if wish.spared {
                continue;
            }
            let sum = wish.score + score.times(factor);
            if manner.never_forbid && sum.is_negative() {
                if wish.score > Score::ZERO {
                    wish.spared = true;
                    wish.score = Score::NEVER;
                    continue;
                }
                if wish.score == Score::ZERO {
                    continue;
                }
            }
            if sum != wish.score && sum.is_mandatory() {
                wish.cause = self.pair(pair).cause;
            }
            wish.score = sum;
        }
    }

    /// What does not want to be here, and does not want to be with the other, says nothing about where
    /// the other goes. Unless it can be on one node only, and the other would not mind to leave it: then it
    /// has to dislike more than this, how gladly the other stays.
    fn heeds_dislike_of_dislike(&self, pair: ColocationIx) -> Option<Score> {
        let has_influence = self.has_influence(pair);
        let pair = self.pair(pair);
        let nodes = self.arena[pair.dependent].allowed.iter();
        let alone = nodes.filter(|(_, allowed)| !allowed.score.is_negative()).take(2).count() == 1;
        (has_influence && alone).then_some(self.arena[pair.primary].stickiness)
    }

    /// What a resource thinks of a node that it could use.
    pub(super) fn opinion(&self, asked: ResIx, group: Option<ResIx>, node: NodeIx) -> Option<Score> {
        let allowed = self.arena[asked].allowed.get(node).filter(|_| self.is_available(node))?;
        Some(match group {
            Some(group) => {
                allowed.score + self.arena[group].allowed.score(node) + -self.arena.node(node).score
            }
            None => allowed.score,
        })
    }

    /// The best that a resource thinks of nodes it could use, for each value of an attribute.
    fn best_by_value(
        &self,
        asked: ResIx,
        attribute: Option<&str>,
        group: Option<ResIx>,
    ) -> BTreeMap<Option<&str>, Score> {
        let mut best = BTreeMap::new();
        for (node, _) in self.arena[asked].allowed.iter() {
            if let Some(score) = self.opinion(asked, group, node) {
                let known = best.entry(self.attribute(asked, node, attribute)).or_insert(Score::NEVER);
                *known = score.max(*known);
            }
        }
        best
    }

    /// Whether it is part of a bundle.
    pub(super) fn is_bundled(&self, resource: ResIx) -> bool {
        self.arena[self.arena.outermost(resource)].kind == Kind::Bundle
    }

    /// The group whose locations a member has to speak for: they were given to its first member, and where
    /// a later one is asked by itself, that one would not know.
    pub(super) fn group_behind(&self, asked: ResIx, pair: ColocationIx) -> Option<ResIx> {
        let pair = self.pair(pair);
        let group = self.arena[asked].parent.filter(|parent| self.arena[*parent].kind == Kind::Group)?;
        let written = matches!(pair.cause, Cause::Constraint(_));
        let is_first = self.arena[group].children.first() == Some(&asked);
        (written && pair.dependent == asked && !is_first).then_some(group)
    }

    /// What locations say that speak of one role only.
    pub(super) fn location_in_role(&self, resource: ResIx, role: Role, node: NodeIx) -> Score {
        let locations = self.arena.role_locations.iter();
        let locations = locations.filter(|location| location.resource == resource && location.role == role);
        let scores = locations.flat_map(|location| &location.scores);
        scores.filter(|(at, _)| *at == node).fold(Score::ZERO, |sum, (_, score)| sum + *score)
    }

    /// Says in a table why a node was left out.
    pub(super) fn forbid(&mut self, resource: ResIx, node: NodeIx, cause: Cause) {
        self.arena[resource].allowed.add(node, Score::NEVER, cause);
    }
}
