//! What it means for a resource that something it follows is where it is.
//!
//! Mostly it means where the resource may go. Once an instance of something promotable has its place, a
//! colocation that speaks of its role means how gladly it is promoted there.

use alloc::{collections::BTreeMap, rc::Rc, vec::Vec};

use heart_model::policy::{Role, Score};

use super::{
    super::{
        arena::{ColocationIx, Kind, NodeIx, NodeSet, ResIx},
        colocation::is_together,
    },
    Placing,
    choice::Rank,
};

/// What a colocation acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Place,
    Promotion,
}

impl Placing<'_, '_> {
    /// Places what a resource follows, and then lets that act on the resource.
    pub(super) fn follow(&mut self, resource: ResIx, pair: ColocationIx) {
        let primary = self.pair(pair).primary;
        self.place(primary, None, true);
        // What only would be nice must not leave the resource without a node. Neither must what speaks of
        // its promotion: that can be refused later.
        let pair_here = self.pair(pair);
        let may_leave_none =
            pair_here.score.is_mandatory() && pair_here.dependent_role != Some(Role::Promoted);
        let before = (!may_leave_none).then(|| self.arena[resource].allowed.clone());
        self.heed(resource, primary, pair);
        if let Some(before) = before
            && !self.leaves_a_node(&self.arena[resource].allowed)
        {
            self.arena[resource].allowed = before;
        }
    }

    /// Lets the place of `primary` act on `subject`. Either may be a part of what the pair names.
    pub(super) fn heed(&mut self, subject: ResIx, primary: ResIx, pair: ColocationIx) {
        // A group goes where its first member can; as a whole it is promoted.
        if let (Kind::Group, Some(first)) = (self.arena[subject].kind, self.arena[subject].children.first())
            && !self.arena[subject].decided
        {
            return self.heed(*first, primary, pair);
        }
        match self.arena[primary].kind {
            Kind::Primitive => self.heed_one(subject, primary, pair),
            Kind::Group => self.heed_group(subject, primary, pair),
            Kind::Clone => self.heed_clone(subject, primary, pair),
            Kind::Bundle => self.heed_bundle(subject, primary, pair),
        }
    }

    /// What a colocation acts on now.
    fn effect(&self, subject: ResIx, primary: ResIx, pair: ColocationIx) -> Effect {
        if !self.arena[primary].decided {
            return Effect::Nothing;
        }
        let actor = self.bearer_of_role(subject);
        let of_role = matches!(self.pair(pair).dependent_role, Some(Role::Unpromoted | Role::Promoted));
        if of_role && self.is_promotable(actor) && self.arena[actor].decided {
            return Effect::Promotion;
        }
        if self.arena[subject].decided {
            return Effect::Nothing;
        }
        self.effect_to_come(subject, primary, pair)
    }

    /// What a colocation would act on if its ends were placed now.
    pub(super) fn effect_to_come(&self, subject: ResIx, primary: ResIx, pair: ColocationIx) -> Effect {
        let pair = self.pair(pair);
        let fits = |wanted: Option<Role>, resource| match wanted {
            Some(wanted) => self.role(self.bearer_of_role(resource)) == Some(wanted),
            None => true,
        };
        match fits(pair.dependent_role, subject) && fits(pair.primary_role, primary) {
            true => Effect::Place,
            false => Effect::Nothing,
        }
    }

    /// Whose role counts: for a container, that of what runs in it.
    fn bearer_of_role(&self, resource: ResIx) -> ResIx {
        let parent = self.arena[resource].parent;
        let facts = parent.and_then(|parent| self.arena[parent].bundle.as_ref());
        let replica = facts.and_then(|facts| facts.replicas.iter().find(|one| one.container == resource));
        replica.and_then(|replica| replica.inner).unwrap_or(resource)
    }

    fn heed_one(&mut self, subject: ResIx, primary: ResIx, pair: ColocationIx) {
        match self.effect(subject, primary, pair) {
            Effect::Nothing => {}
            Effect::Place => self.heed_place(subject, primary, pair),
            Effect::Promotion => self.heed_for_promotion(subject, primary, pair),
        }
    }

    /// The resource may go only where the other is, or rather there, or not there.
    fn heed_place(&mut self, subject: ResIx, primary: ResIx, pair: ColocationIx) {
        let said = self.pair(pair);
        let (score, cause) = (said.score, said.cause);
        let attribute = said.attribute.clone();
        let attribute = attribute.as_deref();
        let at = self.arena[primary].assigned;
        if at.is_none() && score.is_negative() {
            return;
        }
        let value = at.and_then(|node| self.attribute(primary, node, attribute));
        let mut table = self.arena[subject].allowed.clone();
        for (node, allowed) in table.iter_mut() {
            let added = match at {
                None => -score,
                // Where a must is kept there is nothing to add: it only forbids all other nodes.
                Some(_) if self.attribute(subject, node, attribute) == value => match score {
                    Score::INFINITY => continue,
                    score => score,
                },
                Some(_) if score >= Score::INFINITY => Score::NEVER,
                Some(_) => continue,
            };
            allowed.score += added;
            if added.is_mandatory() {
                allowed.cause = cause;
            }
        }
        if score.is_mandatory() || self.leaves_a_node(&table) {
            self.arena[subject].allowed = table;
        }
    }

    /// An instance is promoted rather, or not, for where the other is.
    fn heed_for_promotion(&mut self, subject: ResIx, primary: ResIx, pair: ColocationIx) {
        let Some(here) = self.arena[subject].assigned else { return };
        let said = self.pair(pair);
        let attribute = said.attribute.as_deref();
        let promoted = said.dependent_role == Some(Role::Promoted);
        let priority = self.priorities[subject.0 as usize];
        let there = self.arena[primary].assigned;
        let is_there = there.is_some_and(|there| {
            self.attribute(subject, here, attribute) == self.attribute(primary, there, attribute)
        });
        let new = if !is_there {
            match promoted && said.score >= Score::INFINITY {
                true => Score::NEVER,
                false => return,
            }
        } else if said.primary_role.is_some() && said.primary_role != self.role(self.bearer_of_role(primary))
        {
            return;
        } else if promoted {
            priority + said.score
        } else {
            priority + -said.score
        };
        self.priorities[subject.0 as usize] = new;
    }

    /// A group is where its last member is, if it has to be there as a whole; else where it begins.
    fn heed_group(&mut self, subject: ResIx, group: ResIx, pair: ColocationIx) {
        let mandatory = self.pair(pair).score >= Score::INFINITY;
        let members = &self.arena[group].children;
        if is_together(self.arena, group) || self.arena[group].parent.is_some() {
            let member = if mandatory { members.last() } else { members.first() };
            if let Some(member) = member {
                self.heed(subject, *member, pair);
            }
        } else if !mandatory {
            for member in members.clone() {
                self.heed(subject, member, pair);
            }
        }
    }

    fn heed_clone(&mut self, subject: ResIx, clone: ResIx, pair: ColocationIx) {
        if !self.arena[clone].decided {
            return;
        }
        let said = self.pair(pair);
        let (score, dependent_role, primary_role) = (said.score, said.dependent_role, said.primary_role);
        let promotable = self.arena[clone].clone.is_some_and(|facts| facts.promotable);
        if let (true, Some(role)) = (promotable, primary_role) {
            if !self.arena[subject].decided {
                self.heed_role_of_clone(subject, clone, pair, role);
                return;
            }
            if self.is_promotable(subject) && dependent_role == Some(Role::Promoted) {
                self.heed_role_for_promotion(subject, clone, pair, role);
                return;
            }
        }
        // Where it must not be with any, one partner says nothing of the others.
        if self.is_interleaved(pair) && !score.is_negative() {
            let partner = self.partner(subject, &self.arena[clone].children);
            self.heed_partner(subject, partner, pair);
            return;
        }
        if score >= Score::INFINITY {
            let nodes = self.sound_places(clone);
            self.keep_only(subject, clone, pair, &nodes, false);
            return;
        }
        for instance in self.arena[clone].children.clone() {
            self.heed(subject, instance, pair);
        }
    }

    /// Where instances of a clone are that are not left for a person; it is asked once it has its places.
    fn sound_places(&mut self, clone: ResIx) -> Rc<NodeSet> {
        if let Some(known) = self.sound_places.get(&clone) {
            return Rc::clone(known);
        }
        let instances = self.arena[clone].children.iter();
        let sound = instances.filter(|instance| !self.is_blocked(**instance));
        let places: Rc<NodeSet> = Rc::new(sound.filter_map(|one| self.arena[*one].assigned).collect());
        self.sound_places.insert(clone, Rc::clone(&places));
        places
    }

    /// The resource goes where an instance has a certain role.
    fn heed_role_of_clone(&mut self, subject: ResIx, clone: ResIx, pair: ColocationIx, role: Role) {
        let said = self.pair(pair);
        let (score, cause) = (said.score, said.cause);
        let both_promoted = role == Role::Promoted && said.dependent_role == Some(Role::Promoted);
        let attribute = said.attribute.clone();
        let instances = self.arena[clone].children.iter();
        let with_role = instances.filter(|instance| self.next_role(**instance) == Some(role));
        let nodes: Vec<NodeIx> = with_role.filter_map(|instance| self.arena[*instance].assigned).collect();
        if score >= Score::INFINITY {
            // Whether it is promoted there can be refused later.
            if !both_promoted {
                self.keep_only(subject, clone, pair, &nodes.into_iter().collect(), true);
            }
            return;
        }
        let mut table = core::mem::take(&mut self.arena[subject].allowed);
        for at in nodes {
            let value = self.attribute(clone, at, attribute.as_deref());
            for (node, allowed) in table.iter_mut() {
                if self.attribute(subject, node, attribute.as_deref()) == value {
                    allowed.score += score;
                    if score.is_mandatory() {
                        allowed.cause = cause;
                    }
                }
            }
        }
        self.arena[subject].allowed = table;
    }

    /// An instance is promoted rather where an instance of the other has a certain role.
    fn heed_role_for_promotion(&mut self, subject: ResIx, clone: ResIx, pair: ColocationIx, role: Role) {
        let score = self.pair(pair).score;
        let attribute = self.pair(pair).attribute.as_deref();
        let Some(here) = self.arena[subject].assigned else { return };
        let value = self.attribute(subject, here, attribute);
        let is_there = self.arena[clone].children.iter().any(|instance| {
            let at = self.arena[*instance].assigned;
            at.is_some_and(|at| self.attribute(*instance, at, attribute) == value)
                && self.next_role(*instance) == Some(role)
                && !self.is_blocked(*instance)
        });
        let priority = self.priorities[subject.0 as usize];
        self.priorities[subject.0 as usize] = match is_there {
            true => priority + score,
            false if score >= Score::INFINITY => Score::NEVER,
            false => return,
        };
    }

    /// Forbids all nodes but those that look the same as these. Where the other has scores of its own,
    /// they may be added.
    fn keep_only(
        &mut self,
        subject: ResIx,
        primary: ResIx,
        pair: ColocationIx,
        nodes: &NodeSet,
        add_scores: bool,
    ) {
        let cause = self.pair(pair).cause;
        let attribute = self.pair(pair).attribute.clone();
        let attribute = attribute.as_deref();
        // Nodes that look the same count as the first of them.
        let mut values: BTreeMap<Option<&str>, Score> = BTreeMap::new();
        let is_node = self.is_node(subject, primary, attribute);
        for node in nodes.iter().filter(|_| !is_node) {
            let score = self.arena[primary].allowed.score(node);
            values.entry(self.attribute(primary, node, attribute)).or_insert(score);
        }
        let mut table = self.arena[subject].allowed.clone();
        for (node, allowed) in table.iter_mut() {
            let known = match is_node {
                true => nodes.contains(node).then(|| self.arena[primary].allowed.score(node)),
                false => values.get(&self.attribute(subject, node, attribute)).copied(),
            };
            match known {
                Some(score) if add_scores => allowed.score += score,
                Some(_) => {}
                None => {
                    allowed.score = Score::NEVER;
                    allowed.cause = cause;
                }
            }
        }
        self.arena[subject].allowed = table;
    }

    /// Whether what has to be the same is the node itself, so that nothing has to be looked up.
    pub(super) fn is_node(&self, subject: ResIx, primary: ResIx, attribute: Option<&str>) -> bool {
        matches!(attribute, None | Some("#uname")) && !self.is_bundled(subject) && !self.is_bundled(primary)
    }

    /// Whether each instance has a partner of its own.
    fn is_interleaved(&self, pair: ColocationIx) -> bool {
        let pair = self.pair(pair);
        let (dependent, primary) = (&self.arena[pair.dependent], &self.arena[pair.primary]);
        let per_node = |facts: &super::super::arena::Res<'_>| {
            let of_clone = facts.clone.map(|clone| clone.node_max);
            of_clone.or(facts.bundle.as_ref().map(|bundle| bundle.per_host))
        };
        let said = match dependent.kind {
            Kind::Clone => dependent.clone.is_some_and(|facts| facts.interleave),
            Kind::Bundle => dependent.meta.get("interleave").is_some_and(|said| said == "true"),
            Kind::Primitive | Kind::Group => false,
        };
        said && per_node(dependent).is_some() && per_node(dependent) == per_node(primary)
    }

    /// The instance that a resource belongs to: on its node, or on the best that it could have.
    fn partner(&self, subject: ResIx, instances: &[ResIx]) -> Option<ResIx> {
        let sound = instances.iter().filter(|instance| !self.is_blocked(**instance));
        let mut placed = sound.filter_map(|instance| Some((*instance, self.arena[*instance].assigned?)));
        if let Some(node) = self.arena[subject].assigned {
            let node = self.host_of_bundled(subject, node).unwrap_or(node);
            return placed.find(|(_, at)| *at == node).map(|(instance, _)| instance);
        }
        self.heeds_load.set(true);
        let table = &self.arena[subject].allowed;
        let ranked = placed.filter_map(|(instance, node)| {
            Some((instance, Rank { node, score: table.get(node)?.score, here: false }))
        });
        ranked.min_by(|(_, one), (_, other)| self.compare_nodes(one, other)).map(|(instance, _)| instance)
    }

    fn heed_partner(&mut self, subject: ResIx, partner: Option<ResIx>, pair: ColocationIx) {
        match partner {
            Some(partner) => self.heed(subject, partner, pair),
            // It has to be with one and there is none.
            None if self.pair(pair).score >= Score::INFINITY => self.settle(subject, None, true, true),
            None => {}
        }
    }

    fn heed_bundle(&mut self, subject: ResIx, bundle: ResIx, pair: ColocationIx) {
        if !self.arena[bundle].decided {
            return;
        }
        let Some(facts) = &self.arena[bundle].bundle else { return };
        let replicas = facts.replicas.clone();
        let containers: Vec<ResIx> = replicas.iter().map(|replica| replica.container).collect();
        let said = self.pair(pair);
        if self.is_interleaved(pair) && !said.score.is_negative() {
            let partner = self.partner(subject, &containers);
            self.heed_partner(subject, partner, pair);
            return;
        }
        if said.score < Score::INFINITY {
            for container in containers {
                self.heed(subject, container, pair);
            }
            return;
        }
        let promoted = said.primary_role == Some(Role::Promoted);
        let fits = |replica: &&super::super::arena::Replica| {
            let is_promoted =
                || replica.inner.is_some_and(|inner| self.next_role(inner) == Some(Role::Promoted));
            !self.is_blocked(replica.container) && (!promoted || is_promoted())
        };
        let nodes = replicas.iter().filter(fits).filter_map(|replica| self.arena[replica.container].assigned);
        let nodes: NodeSet = nodes.collect();
        self.keep_only(subject, bundle, pair, &nodes, false);
    }

    /// What a resource or the best of its parts shall be, as far as that is decided.
    pub(super) fn next_role(&self, resource: ResIx) -> Option<Role> {
        let here = &self.arena[resource];
        match here.kind {
            Kind::Primitive => self.role(resource),
            Kind::Group | Kind::Clone | Kind::Bundle => {
                here.children.iter().map(|child| self.next_role(*child)).max().flatten()
            }
        }
    }
}
