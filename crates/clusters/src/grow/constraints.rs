//! Constraints between whatever there is.

use heart_model::policy::{
    Colocation, ColocationSets, Constraint, Discovery, Location, LossPolicy, Order, OrderKind, OrderSets,
    ResourceSet, Role, Score, ScoredRule, TicketUse, Verb, Where,
};

use super::{Grower, Tier};

impl Grower {
    pub(super) fn constraints(&mut self) {
        let most = [3, 8, 16][self.chance.below(3)];
        for _ in 0..self.chance.below(most + 1) {
            if let Some(constraint) = self.constraint() {
                self.cluster.constraints.push(constraint);
            }
        }
    }

    /// A resource, and whether it can be promoted.
    fn resource(&mut self) -> Option<(String, bool)> {
        self.chance.pick(&self.names).cloned()
    }

    fn role(&mut self, promotable: bool) -> Option<Role> {
        match self.chance.below(10) {
            0 | 1 if promotable => Some(Role::Promoted),
            2 if promotable => Some(Role::Unpromoted),
            3 => Some(Role::Started),
            4 if self.chance.happens(100) => Some([Role::Promoted, Role::Stopped][self.chance.below(2)]),
            _ => None,
        }
    }

    fn constraint(&mut self) -> Option<Constraint> {
        Some(match self.chance.below(10) {
            0..=3 => Constraint::Location(self.location()?),
            4 | 5 => Constraint::Colocation(self.colocation()?),
            6 | 7 => Constraint::Order(self.order()?),
            _ if self.tier < Tier::Everything => Constraint::Order(self.order()?),
            8 => match self.chance.below(2) {
                0 => Constraint::ColocationSets(self.colocation_sets()),
                _ => Constraint::OrderSets(self.order_sets()),
            },
            _ => Constraint::Ticket(self.ticket()?),
        })
    }

    fn location(&mut self) -> Option<Location> {
        let (resource, promotable) = self.resource()?;
        let at = if self.rarely(350) {
            let rules = (0..self.chance.between(1, 2)).map(|_| {
                let score_attribute = self.chance.happens(100).then(|| "pingd".to_owned());
                let role = if self.chance.happens(150) { Some(Role::Promoted) } else { None };
                ScoredRule { rule: self.rule(), score: self.score(), score_attribute, role }
            });
            Where::Rules(rules.collect())
        } else {
            Where::Node { node: self.node(), score: self.score() }
        };
        let discovery = match self.chance.below(30) {
            0 => Discovery::Never,
            1 => Discovery::Exclusive,
            _ => Discovery::Always,
        };
        let role = self.role(promotable);
        Some(Location { id: self.id("l"), resource, at, role, discovery })
    }

    fn colocation(&mut self) -> Option<Colocation> {
        let ((dependent, follows), (primary, leads)) = (self.resource()?, self.resource()?);
        Some(Colocation {
            id: self.id("w"),
            score: self.score(),
            dependent,
            dependent_role: self.role(follows),
            primary,
            primary_role: self.role(leads),
            node_attribute: self.chance.happens(80).then(|| "rack".to_owned()),
            influence: self.chance.happens(100).then(|| self.chance.happens(500)),
        })
    }

    fn verb(&mut self, promotable: bool) -> Verb {
        match self.chance.below(10) {
            0..=2 if promotable => Verb::Promote,
            3 if promotable => Verb::Demote,
            4 => Verb::Stop,
            _ => Verb::Start,
        }
    }

    fn kind(&mut self) -> OrderKind {
        match self.chance.below(10) {
            0..=5 => OrderKind::Mandatory,
            6..=8 => OrderKind::Optional,
            _ => OrderKind::Serialize,
        }
    }

    fn order(&mut self) -> Option<Order> {
        let ((first, first_promotable), (then, then_promotable)) = (self.resource()?, self.resource()?);
        Some(Order {
            id: self.id("b"),
            first,
            first_action: self.verb(first_promotable),
            first_instance: None,
            then,
            then_action: self.verb(then_promotable),
            then_instance: None,
            kind: self.kind(),
            symmetrical: self.chance.happens(200).then(|| self.chance.happens(300)),
            require_all: self.chance.happens(100).then(|| self.chance.happens(300)),
        })
    }

    fn sets(&mut self, order: bool) -> Vec<ResourceSet> {
        let count = self.chance.between(1, 3);
        (0..count).map(|_| self.resource_set(order)).collect()
    }

    fn resource_set(&mut self, order: bool) -> ResourceSet {
        let mut members: Vec<String> = Vec::new();
        for _ in 0..self.chance.between(1, 3) {
            if let Some((name, _)) = self.resource().filter(|(name, _)| !members.contains(name)) {
                members.push(name);
            }
        }
        let say = |grower: &mut Grower| grower.chance.happens(300).then(|| grower.chance.happens(500));
        ResourceSet {
            id: self.id("set"),
            members,
            sequential: say(self),
            require_all: if order { say(self) } else { None },
            role: if self.chance.happens(100) { Some(Role::Promoted) } else { None },
            action: (order && self.chance.happens(150))
                .then(|| [Verb::Start, Verb::Stop, Verb::Promote, Verb::Demote][self.chance.below(4)]),
            score: (!order && self.chance.happens(300)).then(|| self.score()),
            kind: (order && self.chance.happens(200)).then(|| self.kind()),
        }
    }

    fn colocation_sets(&mut self) -> ColocationSets {
        let score = if self.chance.happens(600) { Score::INFINITY } else { self.score() };
        ColocationSets {
            id: self.id("ws"),
            score,
            sets: self.sets(false),
            node_attribute: self.chance.happens(60).then(|| "rack".to_owned()),
            influence: self.chance.happens(60).then_some(false),
        }
    }

    fn order_sets(&mut self) -> OrderSets {
        OrderSets {
            id: self.id("bs"),
            kind: self.kind(),
            symmetrical: self.chance.happens(150).then(|| self.chance.happens(400)),
            sets: self.sets(true),
        }
    }

    fn ticket(&mut self) -> Option<TicketUse> {
        let (resource, promotable) = self.resource()?;
        let losses = [
            None,
            None,
            Some(LossPolicy::Stop),
            Some(LossPolicy::Demote),
            Some(LossPolicy::Fence),
            Some(LossPolicy::Freeze),
        ];
        Some(TicketUse {
            id: self.id("t"),
            ticket: self.chance.one_of(&["east", "west"]).to_owned(),
            resource,
            role: self.role(promotable),
            loss: losses[self.chance.below(6)],
        })
    }
}
