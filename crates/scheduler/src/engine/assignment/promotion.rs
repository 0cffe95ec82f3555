//! Which instances of a promotable clone are promoted.
//!
//! Agents say on each node how gladly they would be promoted there. Locations and colocations that speak
//! of the role add to that; the best are promoted, as many as are wanted.

use alloc::{format, vec::Vec};
use core::cmp::Reverse;

use heart_model::policy::{Constraint, Role, Score};

use super::{
    super::{
        arena::{Cause, Kind, NoQuorum, NodeIx, NodeKind, ResIx},
        colocation::{Side, insert},
    },
    Placing,
    wishes::Manner,
};

impl Placing<'_, '_> {
    /// Lets what agents say of promotion count when instances are placed.
    pub(super) fn add_promotion_scores(&mut self, clone: ResIx) {
        for instance in self.arena[clone].children.clone() {
            let nodes: Vec<NodeIx> = self.arena[instance].allowed.iter().map(|(node, _)| node).collect();
            for node in nodes {
                if !self.is_available(node) {
                    continue;
                }
                let score = self.said_of_promotion(clone, instance, node).unwrap_or_default();
                if score > Score::ZERO {
                    self.arena[instance].allowed.add(node, score, Cause::Promotion);
                }
                let priority = &mut self.priorities[instance.0 as usize];
                *priority = score.max(*priority);
            }
        }
    }

    /// What the agents of an instance say of promotion on a node; None if they say nothing.
    fn said_of_promotion(&self, clone: ResIx, instance: ResIx, node: NodeIx) -> Option<Score> {
        if self.arena[instance].kind == Kind::Group {
            let members = self.arena[instance].children.iter();
            let said = members.filter_map(|member| self.said_of_promotion(clone, *member, node));
            return said.reduce(|sum, score| sum + score);
        }
        if !self.promotion_counts(clone, instance, node) {
            return None;
        }
        let here = &self.arena[instance];
        // Histories there may have it under another number than it has today.
        let there = here.history.iter().filter(|history| history.node == node);
        let told = there.map(|history| history.entry.resource.as_str());
        let host = self.where_attributes_are(instance, node);
        let attributes = &self.arena.node(host).attributes;
        let mut names = told.chain([here.id.as_str()]);
        let said = names.find_map(|name| attributes.get(&format!("master-{name}")));
        let of_all = || {
            let name = without_number(&here.id);
            attributes.get(&format!("master-{name}")).filter(|_| !here.unique)
        };
        said.or_else(of_all).map(|said| read_score(said))
    }

    /// What agents say counts where an instance is, or was looked for; everywhere if nothing is known.
    fn promotion_counts(&self, clone: ResIx, instance: ResIx, node: NodeIx) -> bool {
        let here = &self.arena[instance];
        if !here.unique {
            let mut alike = self.alike(clone, instance);
            let active = alike.clone().find(|other| self.arena[*other].active_on.contains(&node));
            if active == Some(instance) {
                return true;
            }
            if active.is_none() && alike.any(|other| self.arena[other].known_on.contains(node)) {
                return true;
            }
        }
        if here.active_on.is_empty() && here.known_on.is_empty() {
            return true;
        }
        here.active_on.contains(&node) || here.known_on.contains(node)
    }

    /// The same thing in all instances of a clone.
    fn alike(&self, clone: ResIx, part: ResIx) -> impl Iterator<Item = ResIx> + Clone {
        let name = &self.arena[part].name;
        self.arena[clone].children.iter().flat_map(move |instance| {
            let members = self.arena[*instance].children.iter().copied();
            members.chain([*instance]).filter(move |other| self.arena[*other].name == *name)
        })
    }

    /// The node whose attributes count: agents in a container may mean the node that holds it.
    fn where_attributes_are(&self, resource: ResIx, node: NodeIx) -> NodeIx {
        let NodeKind::Guest { container, .. } = self.arena.node(node).kind else { return node };
        let target = self.arena[resource].meta.get("container-attribute-target");
        match target.is_some_and(|target| target == "host") {
            true => self.arena[container].assigned.or_else(|| self.current(container)).unwrap_or(node),
            false => node,
        }
    }

    /// Whether a node that is inside a container will be there.
    fn has_host(&self, node: NodeIx) -> bool {
        match self.arena.node(node).kind {
            NodeKind::Guest { container, .. } => self.arena[container].assigned.is_some(),
            NodeKind::Member | NodeKind::Ping | NodeKind::Remote { .. } => true,
        }
    }

    /// Chooses which instances are promoted, once all are placed.
    pub(super) fn choose_promotions(&mut self, clone: ResIx, instances: &[ResIx]) {
        self.hear_of_bundle(clone);
        for instance in instances {
            self.rate(clone, *instance);
        }
        self.add_to_ratings(clone, instances);
        self.forget_crowds(clone);
        let mut order = self.in_order_of_claims(clone, instances);
        order.sort_by_key(|instance| Reverse((self.arena[*instance].promotion, self.role_now(*instance))));
        let most = self.arena[clone].clone.map_or(1, |facts| facts.promoted_max);
        let mut promoted = 0;
        for instance in order {
            match self.can_promote(clone, instance, promoted < most) {
                Some(node) => {
                    promoted += 1;
                    self.join_crowd(clone, node);
                    self.give_role(instance, Role::Promoted);
                }
                None => self.give_role(instance, Role::Unpromoted),
            }
        }
    }

    /// From now on, what is said of a bundle is said of the roles of what is inside.
    fn hear_of_bundle(&mut self, clone: ResIx) {
        let Some(bundle) = self.arena[clone].parent.filter(|parent| self.arena[*parent].kind == Kind::Bundle)
        else {
            return;
        };
        for side in [Side::Follows, Side::FollowedBy] {
            let added = side.of(&self.arena[bundle]).to_vec();
            let instances = self.arena[clone].children.clone();
            for part in instances.into_iter().chain([clone]) {
                let mut list = core::mem::take(side.of_mut(&mut self.arena[part]));
                added.iter().for_each(|pair| insert(self.arena, side, &mut list, *pair));
                *side.of_mut(&mut self.arena[part]) = list;
            }
        }
    }

    /// How gladly an instance would be promoted where it goes, without regard to others.
    fn rate(&mut self, clone: ResIx, instance: ResIx) {
        let next = self.next_role(instance);
        let Some(node) = self.arena[instance].assigned else {
            self.arena[instance].promotion = Score::NEVER;
            self.priorities[instance.0 as usize] = Score::NEVER;
            return;
        };
        let rating = match next {
            None | Some(Role::Started) => {
                self.said_of_promotion(clone, instance, node).unwrap_or(Score::new(-1))
            }
            Some(Role::Stopped | Role::Unpromoted) => Score::NEVER,
            Some(Role::Promoted) => self.priorities[instance.0 as usize],
        };
        // What is said of roles in a bundle means the clone inside.
        let bundle = self.arena[clone].parent;
        let located = [Some(instance), Some(clone), bundle].into_iter().flatten();
        let located = located.map(|whole| self.location_in_role(whole, Role::Promoted, node));
        self.priorities[instance.0 as usize] = located.fold(rating, |sum, score| sum + score);
        for place in 0..self.arena[instance].follows.len() {
            let pair = self.arena[instance].follows[place];
            self.heed(instance, self.pair(pair).primary, pair);
        }
        self.arena[instance].promotion = match next {
            Some(Role::Promoted) => Score::INFINITY,
            None | Some(Role::Stopped | Role::Started | Role::Unpromoted) => {
                self.priorities[instance.0 as usize]
            }
        };
    }

    /// Adds to each rating what is said of its node by those that are to be where something is promoted.
    fn add_to_ratings(&mut self, clone: ResIx, instances: &[ResIx]) {
        let mut table = self.arena[clone].allowed.clone();
        table.iter_mut().for_each(|(_, allowed)| allowed.score = Score::ZERO);
        for instance in instances {
            let here = &self.arena[*instance];
            if let Some(node) = here.assigned
                && !here.promotion.is_negative()
            {
                table.add(node, here.promotion, Cause::Promotion);
            }
        }
        for place in 0..self.arena[clone].followed_by.len() {
            let pair = self.arena[clone].followed_by[place];
            let said = self.pair(pair);
            if said.primary_role == Some(Role::Promoted) && self.has_influence(pair) {
                let (other, factor) = (said.dependent, said.score);
                self.add_wishes(&mut table, other, clone, Some(pair), factor, Manner::OF_FOLLOWERS_OF_MANY);
            }
        }
        if self.arena[clone].no_promotion || self.lacks_ticket(clone) {
            table.add_everywhere(Score::NEVER, Cause::Promotion);
        }
        for instance in instances {
            let managed = self.is_managed(*instance);
            let promoted = self.next_role(*instance) == Some(Role::Promoted);
            let here = &mut self.arena[*instance];
            if !managed && promoted {
                here.promotion = Score::INFINITY;
            } else if let Some(node) = here.assigned
                && !here.promotion.is_negative()
            {
                here.promotion = table.score(node);
            }
        }
        self.arena[clone].allowed = table;
    }

    /// Whether a ticket for the promoted role is not here.
    fn lacks_ticket(&self, clone: ResIx) -> bool {
        self.arena.spec.constraints.iter().any(|constraint| match constraint {
            Constraint::Ticket(said) => {
                said.role == Some(Role::Promoted)
                    && self.arena.by_id.get(&said.resource) == Some(&clone)
                    && self
                        .arena
                        .state
                        .tickets
                        .get(&said.ticket)
                        .is_none_or(|one| !one.granted || one.standby)
            }
            Constraint::Location(_)
            | Constraint::Colocation(_)
            | Constraint::ColocationSets(_)
            | Constraint::Order(_)
            | Constraint::OrderSets(_) => false,
        })
    }

    /// The node where an instance is promoted, if it may be.
    fn can_promote(&self, clone: ResIx, instance: ResIx, has_room: bool) -> Option<NodeIx> {
        let managed = self.is_managed(instance);
        if self.arena[instance].promotion.is_negative() || (managed && !has_room) {
            return None;
        }
        let node = self.node_for_promotion(clone, instance)?;
        let keeps_role = self.role_now(instance) == Role::Promoted;
        let refused = !self.arena.state.quorum
            && match self.arena.options.no_quorum {
                NoQuorum::Freeze => !keeps_role,
                NoQuorum::Demote => true,
                NoQuorum::Stop | NoQuorum::Ignore | NoQuorum::Fence => false,
            };
        (!refused).then_some(node)
    }

    fn node_for_promotion(&self, clone: ResIx, resource: ResIx) -> Option<NodeIx> {
        for member in &self.arena[resource].children {
            self.node_for_promotion(clone, *member)?;
        }
        let here = &self.arena[resource];
        let node = here.assigned?;
        let managed = self.is_managed(resource);
        if !managed {
            if self.role_now(resource) != Role::Promoted {
                return None;
            }
        } else if here.no_promotion
            || self.priorities[resource.0 as usize].is_negative()
            || !self.is_available(node)
            || !self.has_host(node)
        {
            return None;
        }
        if self.arena[clone].allowed.get(node).is_none() {
            // What is inside of a bundle, or stays where nobody would put it.
            return (!managed).then_some(node);
        }
        let most = self.arena[clone].clone.map_or(1, |facts| facts.promoted_node_max);
        (self.crowd(clone, node) < most || !managed).then_some(node)
    }

    /// Says what an instance shall be, where nothing has been said before.
    fn give_role(&mut self, resource: ResIx, role: Role) {
        for member in self.arena[resource].children.clone() {
            self.give_role(member, role);
        }
        if self.role(resource).is_none() {
            let role = if self.arena[resource].assigned.is_some() { role } else { Role::Stopped };
            self.set_role(resource, role);
        }
    }
}

/// The name that all instances have.
fn without_number(name: &str) -> &str {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match name.rsplit_once(':') {
        Some((name, text)) if number(text) => name,
        Some(_) | None => name,
    }
}

/// A score as an agent writes it.
fn read_score(said: &str) -> Score {
    match said.trim() {
        "INFINITY" | "+INFINITY" => Score::INFINITY,
        "-INFINITY" => Score::NEVER,
        number => {
            let digits = number.strip_prefix('+').unwrap_or(number);
            let end = digits
                .bytes()
                .enumerate()
                .find(|(at, byte)| !(byte.is_ascii_digit() || (*at == 0 && *byte == b'-')));
            let digits = &digits[..end.map_or(digits.len(), |(at, _)| at)];
            digits.parse::<i64>().map_or(Score::ZERO, Score::new)
        }
    }
}
