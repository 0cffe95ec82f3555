//! Instances: of clones, and containers of bundles.
//!
//! Instances that run well stay where they are, as far as that is fair to the others: this is tried
//! first, for those that have most reason to stay. Then the rest go to the best nodes that have room.

use alloc::vec::Vec;
use core::cmp::Ordering;

use heart_model::policy::Score;

use super::{
    super::arena::{Cause, NodeIx, NodeTable, ResIx},
    Placing,
    wishes::Manner,
};

/// How much reason an instance has to be placed before others.
#[derive(Clone, Debug)]
struct Claim {
    instance: ResIx,
    /// On how many nodes it is active.
    spread: usize,
    /// The node it is on now is allowed still, or it is on none.
    allowed: bool,
    priority: Score,
    /// It is on a node that is still allowed for it.
    active: bool,
    available: bool,
    /// It is on a node that its clone may use.
    welcome: bool,
    /// How many instances are there already.
    crowd: u32,
    sound: bool,
    /// What it and those around it think of where it is.
    liking: Score,
    number: u32,
}

impl Claim {
    fn compare(&self, other: &Claim) -> Ordering {
        let spread = match self.spread > 0 && other.spread > 0 {
            true => self.spread.cmp(&other.spread),
            false => Ordering::Equal,
        };
        let sooner = spread
            .then(other.allowed.cmp(&self.allowed))
            .then(other.priority.cmp(&self.priority))
            .then(other.active.cmp(&self.active));
        if !self.active || !other.active {
            return sooner.then(self.number.cmp(&other.number));
        }
        sooner
            .then(other.available.cmp(&self.available))
            .then(other.welcome.cmp(&self.welcome))
            .then(self.crowd.cmp(&other.crowd))
            .then(other.sound.cmp(&self.sound))
            .then(other.liking.cmp(&self.liking))
            .then(self.number.cmp(&other.number))
    }
}

impl Placing<'_, '_> {
    pub(super) fn place_clone(&mut self, clone: ResIx) {
        if self.arena[clone].decided || self.arena[clone].deciding {
            return;
        }
        if let Some(parent) = self.arena[clone].parent.filter(|parent| !self.arena[*parent].deciding) {
            self.place(parent, None, true);
            if self.arena[clone].decided {
                return;
            }
        }
        self.arena[clone].deciding = true;
        let Some(facts) = self.arena[clone].clone else { return };
        if facts.promotable {
            self.add_promotion_scores(clone);
        }
        for place in 0..self.arena[clone].follows.len() {
            let pair = self.arena[clone].follows[place];
            self.place(self.pair(pair).primary, None, true);
        }
        for place in 0..self.arena[clone].followed_by.len() {
            let pair = self.arena[clone].followed_by[place];
            self.hear(clone, pair);
        }
        let instances = self.arena[clone].children.clone();
        let instances = self.in_order_of_claims(clone, &instances);
        self.place_instances(clone, &instances, facts.max, facts.node_max);
        if facts.promotable {
            self.choose_promotions(clone, &instances);
        }
        let here = &mut self.arena[clone];
        here.deciding = false;
        here.decided = true;
    }

    /// Those with most reason first.
    pub(super) fn in_order_of_claims(&mut self, whole: ResIx, instances: &[ResIx]) -> Vec<ResIx> {
        let mut claims: Vec<Claim> = instances.iter().map(|instance| self.claim(whole, *instance)).collect();
        claims.sort_by(Claim::compare);
        claims.into_iter().map(|claim| claim.instance).collect()
    }

    /// Which of two instances has more reason, for an order of many: their places in it.
    fn claim(&mut self, whole: ResIx, instance: ResIx) -> Claim {
        let current = self.current(instance);
        let allowed_at =
            |node| self.arena[instance].allowed.get(node).is_some_and(|at| !at.score.is_negative());
        let home = current.filter(|node| allowed_at(*node));
        let here = home.and_then(|node| self.arena[whole].allowed.get(node)).copied();
        Claim {
            instance,
            spread: self.active[instance.0 as usize].len(),
            allowed: current.is_none() || home.is_some(),
            priority: self.priorities[instance.0 as usize],
            active: home.is_some(),
            available: home.is_some_and(|node| self.is_available(node)),
            welcome: here.is_some(),
            crowd: home.map_or(0, |node| self.crowd(whole, node)),
            sound: !self.has_failed(instance),
            liking: home.map_or(Score::NEVER, |node| self.liking(instance, node)),
            number: self.numbers[instance.0 as usize],
        }
    }

    /// What an instance, those that it follows and those that follow it think of a node.
    fn liking(&mut self, instance: ResIx, node: NodeIx) -> Score {
        let Some(own) = self.arena[instance].allowed.get(node).copied() else { return Score::NEVER };
        let mut table = NodeTable::new(self.arena.nodes.len());
        table.admit(node, own.score, own.cause);
        for place in 0..self.arena[instance].follows.len() {
            let pair = self.arena[instance].follows[place];
            let (other, factor) = (self.pair(pair).primary, self.pair(pair).score);
            let manner = Manner { keep_one: false, ..Manner::OF_FOLLOWERS };
            self.add_wishes(&mut table, other, instance, Some(pair), factor, manner);
        }
        if let Some(score) = self.liked_together(instance, node, table.score(node)) {
            return score;
        }
        for place in 0..self.arena[instance].followed_by.len() {
            let pair = self.arena[instance].followed_by[place];
            if self.has_influence(pair) {
                let (other, factor) = (self.pair(pair).dependent, self.pair(pair).score);
                self.add_wishes(
                    &mut table,
                    other,
                    instance,
                    Some(pair),
                    factor,
                    Manner::OF_FOLLOWERS_OF_MANY,
                );
            }
        }
        table.score(node)
    }

    /// Whether it or a part of it has failed.
    pub(super) fn has_failed(&self, resource: ResIx) -> bool {
        let here = &self.arena[resource];
        here.failed || here.children.iter().any(|child| self.has_failed(*child))
    }

    /// Places instances in this order, at most so many, and at most so many on one node.
    pub(super) fn place_instances(&mut self, whole: ResIx, instances: &[ResIx], most: u32, most_here: u32) {
        self.forget_crowds(whole);
        let nodes = self.arena[whole].allowed.iter();
        let available = nodes.filter(|(node, _)| self.is_available(*node)).count() as u32;
        let fair = most.checked_div(available).unwrap_or(most).max(1);
        let mut placed = 0;
        for instance in instances {
            if placed >= most {
                break;
            }
            if let Some(node) = self.stays_at(whole, *instance, fair)
                && self.keep(whole, *instance, node, most_here, most - placed)
            {
                placed += 1;
            }
        }
        for instance in instances {
            if self.arena[*instance].decided {
                continue;
            }
            if placed >= most {
                self.leave_out(*instance);
            } else if self.place_instance(whole, *instance, None, most_here).is_some() {
                placed += 1;
            }
        }
    }

    /// An instance for which there is no room stays down.
    fn leave_out(&mut self, instance: ResIx) {
        let members = self.arena[instance].children.clone();
        for part in members.into_iter().chain([instance]) {
            self.arena[part].allowed.add_everywhere(Score::NEVER, Cause::Full);
            self.settle(part, None, true, true);
        }
    }

    /// The node where a healthy instance could stay, if there are not too many there already.
    fn stays_at(&self, whole: ResIx, instance: ResIx, fair: u32) -> Option<NodeIx> {
        let node = self.current(instance)?;
        let crowd = self.crowd(whole, node);
        let stays = !self.arena[instance].decided
            && !self.arena[instance].failed
            && self.is_available(node)
            && crowd < fair;
        stays.then_some(node)
    }

    /// Tries to leave an instance where it is. If it would rather be elsewhere, a place there is reserved
    /// for another one and it tries again, as long as there are places.
    fn keep(&mut self, whole: ResIx, instance: ResIx, node: NodeIx, most_here: u32, places: u32) -> bool {
        let unwanted = |resource: ResIx| self.arena[resource].allowed.score(node).is_negative();
        if unwanted(instance) && unwanted(whole) {
            // Where only what follows the clone wants it, that may be enough: it is tried.
            return false;
        }
        let parts: Vec<ResIx> = self.arena[instance].children.iter().copied().chain([instance]).collect();
        let saved: Vec<NodeTable> = parts.iter().map(|part| self.arena[*part].allowed.clone()).collect();
        let crowds = self.crowds.get(&whole).cloned().unwrap_or_default();
        let mut kept = false;
        for _ in 0..places {
            let chosen = self.place_instance(whole, instance, Some(node), most_here);
            kept = chosen == Some(node);
            if kept {
                break;
            }
            self.release(instance);
            for (part, table) in parts.iter().zip(&saved) {
                self.arena[*part].allowed = table.clone();
            }
            if chosen.is_none() {
                break;
            }
        }
        self.crowds.insert(whole, crowds);
        if kept {
            self.join_crowd(whole, node);
        }
        kept
    }

    /// Places one instance where there is room.
    fn place_instance(
        &mut self,
        whole: ResIx,
        instance: ResIx,
        wanted: Option<NodeIx>,
        most_here: u32,
    ) -> Option<NodeIx> {
        if self.arena[instance].decided {
            return self.arena[instance].assigned;
        }
        let nodes: Vec<NodeIx> = self.arena[instance].allowed.iter().map(|(node, _)| node).collect();
        let members = self.arena[instance].children.clone();
        for node in nodes {
            if !self.has_room(whole, instance, node, most_here) {
                self.forbid(instance, node, Cause::Full);
                members.iter().for_each(|member| self.forbid(*member, node, Cause::Full));
            }
        }
        let chosen = self.place(instance, wanted, wanted.is_none())?;
        self.join_crowd(whole, chosen);
        Some(chosen)
    }

    /// How many instances of a whole were given to a node so far.
    pub(super) fn crowd(&self, whole: ResIx, node: NodeIx) -> u32 {
        self.crowds.get(&whole).and_then(|crowds| crowds.get(node.0 as usize)).copied().unwrap_or(0)
    }

    /// One more instance of a whole was given to a node that is one of its own.
    pub(super) fn join_crowd(&mut self, whole: ResIx, node: NodeIx) {
        if self.arena[whole].allowed.get(node).is_none() {
            return;
        }
        let nodes = self.arena.nodes.len();
        let crowds = self.crowds.entry(whole).or_default();
        crowds.resize(nodes, 0);
        crowds[node.0 as usize] += 1;
    }

    /// No instance of a whole was given to any node yet.
    pub(super) fn forget_crowds(&mut self, whole: ResIx) {
        self.crowds.remove(&whole);
    }

    /// Whether a node can take another instance.
    fn has_room(&self, whole: ResIx, instance: ResIx, node: NodeIx, most_here: u32) -> bool {
        let here = self.arena[whole].allowed.get(node);
        !self.arena[instance].removed
            && self.is_available(node)
            && here.is_some_and(|here| !here.score.is_negative())
            && self.crowd(whole, node) < most_here
    }
}
