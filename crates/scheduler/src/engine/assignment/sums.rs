//! Wishes summed up, for all instances of a clone at once.
//!
//! Every instance of a clone hears the same followers, and as long as none of those is placed they say the
//! same. On a cluster where many follow a clone that is on all nodes, asking them again for each instance
//! would be most of the work. So what they say is added up once, node by node, and then given to each
//! instance.
//!
//! That is the same only where no sum leaves the range of what can be said, and where some node stays good
//! throughout, so that no wish is refused. Wherever that is not certain, everybody is asked one by one.

use alloc::vec::Vec;

use heart_model::policy::Score;

use super::{
    super::arena::{Cause, ColocationIx, Kind, NodeIx, ResIx},
    Placing,
    wishes::ASKS_MAX,
};

/// What followers say of one node, added up.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// All that speaks for it.
    good: i64,
    /// All that speaks against it: at most 0.
    bad: i64,
    /// One of them can never be there.
    never: Option<Cause>,
}

/// What some followers say of all nodes.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pairs: Vec<ColocationIx>,
    /// Which pairs of the list: those that must be, or those that would be nice.
    mandatory: bool,
    /// How much had been placed when they were asked.
    at: u64,
    /// None if they cannot be added up.
    nodes: Option<Vec<Sum>>,
}

impl Placing<'_, '_> {
    /// Lets an instance hear all who follow it with this strength at once, if that is the same as hearing
    /// them one by one; whether it was.
    pub(super) fn hear_together(&mut self, instance: ResIx, mandatory: bool) -> bool {
        if !self.has_common_followers(instance) {
            return false;
        }
        self.sum_up(instance, mandatory);
        let Some(sums) = self.sums[usize::from(mandatory)].as_ref().and_then(|sums| sums.nodes.as_ref())
        else {
            return false;
        };
        let table = &self.arena[instance].allowed;
        let fits = table.iter().all(|(node, allowed)| {
            allowed.score <= Score::NEVER || sums[node.0 as usize].fits(allowed.score)
        });
        let stays_good = |(node, allowed): (NodeIx, &super::super::arena::Allowed)| {
            self.is_available(node) && sums[node.0 as usize].stays_good(allowed.score)
        };
        if !fits || !table.iter().any(stays_good) {
            return false;
        }
        for (node, allowed) in self.arena[instance].allowed.iter_mut() {
            let sum = &sums[node.0 as usize];
            match sum.never {
                _ if allowed.score <= Score::NEVER => {}
                Some(cause) => {
                    allowed.score = Score::NEVER;
                    allowed.cause = cause;
                }
                None => allowed.score = sum.of(allowed.score),
            }
        }
        true
    }

    /// What all who follow an instance make of what it thinks of a node; None if they have to be asked one
    /// by one.
    pub(super) fn liked_together(&mut self, instance: ResIx, node: NodeIx, score: Score) -> Option<Score> {
        if !self.has_common_followers(instance) || !self.is_available(node) {
            return None;
        }
        let mut sum = Sum::default();
        for mandatory in [true, false] {
            self.sum_up(instance, mandatory);
            let sums = self.sums[usize::from(mandatory)].as_ref()?.nodes.as_ref()?;
            let more = sums[node.0 as usize];
            sum.good += more.good;
            sum.bad += more.bad;
            sum.never = sum.never.or(more.never);
        }
        (sum.fits(score) && sum.stays_good(score)).then(|| sum.of(score))
    }

    fn has_common_followers(&self, instance: ResIx) -> bool {
        let here = &self.arena[instance];
        here.followed_by.len() > 1 && here.parent.is_some_and(|parent| self.arena[parent].clone.is_some())
    }

    /// Asks those who follow an instance with this strength, unless that is known.
    fn sum_up(&mut self, instance: ResIx, mandatory: bool) {
        let pairs = &self.arena[instance].followed_by;
        let is_known =
            |sums: &Sums| sums.at == self.placed && sums.mandatory == mandatory && sums.pairs == *pairs;
        if self.sums[usize::from(mandatory)].as_ref().is_some_and(is_known) {
            return;
        }
        let pairs = pairs.clone();
        let mut sums = alloc::vec![Sum::default(); self.arena.nodes.len()];
        let mut can_be_added = true;
        for pair in &pairs {
            let (follower, factor) = (self.pair(*pair).dependent, self.pair(*pair).score);
            if can_be_added && factor.is_mandatory() == mandatory && self.has_influence(*pair) {
                self.asks = 0;
                can_be_added = self.add_up(&mut sums, instance, follower, *pair, factor);
            }
        }
        let nodes = can_be_added.then_some(sums);
        self.sums[usize::from(mandatory)] = Some(Sums { pairs, mandatory, at: self.placed, nodes });
    }

    /// Adds what one follower says, and what its own followers say. False if they cannot be added up: what
    /// they say may change, or what has to be the same is not the node.
    fn add_up(
        &mut self,
        sums: &mut [Sum],
        target: ResIx,
        asked: ResIx,
        pair: ColocationIx,
        factor: Score,
    ) -> bool {
        let asked = match (self.arena[asked].kind, self.arena[asked].children.first()) {
            (Kind::Group, Some(first)) => *first,
            (Kind::Group, None) => return true,
            (Kind::Primitive | Kind::Clone | Kind::Bundle, _) => asked,
        };
        let whole = &self.arena[self.arena.outermost(asked)];
        let is_plain = matches!(whole.kind, Kind::Primitive | Kind::Group);
        let here = &self.arena[asked];
        if !is_plain || here.decided || here.deciding {
            return false;
        }
        if !self.is_node(asked, target, self.pair(pair).attribute.as_deref()) {
            return false;
        }
        if self.asks >= ASKS_MAX {
            return false;
        }
        if core::mem::replace(&mut self.asked[asked.0 as usize], true) {
            return true;
        }
        self.asks += 1;
        let mut fits = self.add_up_own(sums, asked, pair, factor);
        for place in 0..self.arena[asked].followed_by.len() {
            let next = self.arena[asked].followed_by[place];
            if fits && self.has_influence(next) {
                let (other, factor) = (self.pair(next).dependent, factor.times(self.pair(next).score));
                fits = self.add_up(sums, target, other, next, factor);
            }
        }
        self.asked[asked.0 as usize] = false;
        fits
    }

    fn add_up_own(&self, sums: &mut [Sum], asked: ResIx, pair: ColocationIx, factor: Score) -> bool {
        if factor.is_negative() {
            return false;
        }
        let group = self.group_behind(asked, pair);
        let cause = self.pair(pair).cause;
        for (node, sum) in self.arena.node_numbers().zip(sums) {
            let score = self.opinion(asked, group, node).unwrap_or(Score::NEVER).times(factor);
            if score >= Score::INFINITY {
                return false;
            }
            if score <= Score::NEVER {
                sum.never.get_or_insert(cause);
            } else if score.is_negative() {
                sum.bad += i64::from(score.value());
            } else {
                sum.good += i64::from(score.value());
            }
        }
        true
    }
}

impl Sum {
    /// Whether no sum on the way leaves the range of what can be said.
    fn fits(&self, score: Score) -> bool {
        let score = i64::from(score.value());
        score + self.good < i64::from(Score::INFINITY.value())
            && score + self.bad > i64::from(Score::NEVER.value())
    }

    /// Whether a node stays good on the whole way.
    fn stays_good(&self, score: Score) -> bool {
        self.never.is_none() && i64::from(score.value()) + self.bad >= 0
    }

    fn of(&self, score: Score) -> Score {
        Score::new(i64::from(score.value()) + self.good + self.bad)
    }
}
