//! A plan while it is made: the arena, the actions so far, and relations that are not joined yet.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use heart_model::policy::{Role, Verb};

use super::{
    collective::Summaries,
    migration,
    relation::{End, Properties, Relation},
    table::{ActionIx, Doing, START, Table},
};
use crate::engine::arena::{Arena, Kind, MultipleActive, NoQuorum, NodeIx, NodeKind, Requires, ResIx};
use crate::engine::facts;

/// What may be done while a resource is not managed.
fn is_watching(doing: Doing) -> bool {
    match doing {
        Doing::Recur(_) | Doing::Cancel(_) | Doing::Probe => true,
        Doing::Do(_)
        | Doing::Done(_)
        | Doing::MigrateTo
        | Doing::MigrateFrom
        | Doing::Reload
        | Doing::DeleteHistory
        | Doing::Forget
        | Doing::ClearFailures
        | Doing::Tell(..)
        | Doing::Told(..)
        | Doing::Notify(..)
        | Doing::Fence
        | Doing::Unfence
        | Doing::Shutdown
        | Doing::Freed
        | Doing::Enough(_) => false,
    }
}

/// A plan while it is made.
pub(super) struct Draft<'d, 's> {
    pub(super) arena: &'d mut Arena<'s>,
    pub(super) table: Table,
    /// What points amounted to when they were last looked at.
    pub(super) summaries: Summaries,
    /// Relations that are joined when all actions are known.
    pub(super) relations: Vec<Relation>,
    /// What has to be started anew, because what it was told has changed.
    pub(super) start_anew: BTreeSet<ResIx>,
    /// What its agent is told to reload.
    pub(super) reloads: BTreeSet<ResIx>,
    /// Recurring operations that run, by resource and node.
    pub(super) recurring: BTreeMap<(ResIx, NodeIx), BTreeSet<(alloc::string::String, u64)>>,
    /// Recurring operations that are to be asked for again, although they run.
    pub(super) ask_again: BTreeSet<(ResIx, NodeIx, alloc::string::String, u64)>,
    /// Migrations that go on where they stopped.
    pub(super) continuing: BTreeSet<ResIx>,
    /// Instances that lost their node because what they pair with is not there.
    pub(super) unpaired: BTreeSet<ResIx>,
    /// The fencing of nodes that do not lead, in order.
    pub(super) fencings: Vec<ActionIx>,
    /// Those that are active several times and keep the one that is where it is meant to be.
    pub(super) keeps_expected: BTreeSet<ResIx>,
}

impl<'d, 's> Draft<'d, 's> {
    pub(super) fn new(arena: &'d mut Arena<'s>) -> Draft<'d, 's> {
        let parents = arena.resources.iter().map(|resource| resource.parent).collect();
        Draft {
            arena,
            table: Table::new(parents),
            summaries: Summaries::default(),
            relations: Vec::new(),
            start_anew: BTreeSet::new(),
            reloads: BTreeSet::new(),
            recurring: BTreeMap::new(),
            ask_again: BTreeSet::new(),
            continuing: BTreeSet::new(),
            unpaired: BTreeSet::new(),
            fencings: Vec::new(),
            keeps_expected: BTreeSet::new(),
        }
    }

    /// Makes an action of a resource, or finds it; required, if this says so or somebody said so before.
    pub(super) fn need(
        &mut self,
        resource: ResIx,
        doing: Doing,
        node: Option<NodeIx>,
        required: bool,
    ) -> ActionIx {
        let known = self.table.get(Some(resource), doing, node);
        let action = known.unwrap_or_else(|| self.table.make(Some(resource), doing, node));
        if known.is_none() {
            self.table[action].by_leader = doing == Doing::ClearFailures;
            self.table[action].runnable = self.can_run(resource, doing, node);
        }
        let required = required || (doing == START && self.start_anew.contains(&resource));
        if required && (self.arena[resource].managed || is_watching(doing)) {
            self.require(action);
        }
        action
    }

    /// A point in time of what has members.
    pub(super) fn point(&mut self, resource: Option<ResIx>, doing: Doing) -> ActionIx {
        let point = self.table.make(resource, doing, None);
        self.table[point].point = true;
        point
    }

    /// Says that an action has to be done. A managed stop on a node that cannot be reached means that the
    /// node has to be fenced.
    pub(super) fn require(&mut self, action: ActionIx) {
        self.table[action].required = true;
        let (doing, node, by_leader) = {
            let action = &self.table[action];
            (action.doing, action.node, action.by_leader)
        };
        let Some(node) = node.filter(|_| doing == Doing::Do(Verb::Stop) && !by_leader) else { return };
        let is_managed = self.table[action].resource.is_some_and(|resource| self.arena[resource].managed);
        if is_managed && self.is_unreachable(node) && !self.arena.node(node).unclean {
            facts::fence_node(self.arena, node, "what runs there cannot be stopped otherwise");
        }
    }

    /// Whether a node cannot be told anything. A guest whose container is not to be recovered will be
    /// there by then.
    fn is_unreachable(&self, node: NodeIx) -> bool {
        let node = self.arena.node(node);
        let is_guest = matches!(node.kind, NodeKind::Guest { .. });
        !node.online && (!is_guest || node.reset_remote)
    }

    fn can_run(&mut self, resource: ResIx, doing: Doing, node: Option<NodeIx>) -> bool {
        let Some(node) = node else { return false };
        if doing == Doing::ClearFailures {
            return true;
        }
        if self.is_unreachable(node) || self.arena.node(node).pending {
            return false;
        }
        if doing == START && !self.may_start(resource, node) {
            return false;
        }
        let requires = match doing {
            Doing::Do(Verb::Start | Verb::Promote) => self.arena[resource].requires,
            _ => Requires::Nothing,
        };
        if requires == Requires::Nothing {
            let is_guest = matches!(self.arena.node(node).kind, NodeKind::Guest { .. });
            return !is_guest || self.can_fence(node);
        }
        self.has_quorum_for(resource)
    }

    /// Where nothing could be fenced, everything is left where it is, whatever was asked for. What is not
    /// wanted any more, or has failed on a node that takes nothing, is not started anew for that.
    fn may_start(&self, resource: ResIx, node: NodeIx) -> bool {
        let found = &self.arena[resource];
        let stays = !found.failed && !self.arena.node(node).shutting_down;
        let is_there = stays && found.active_on.contains(&node);
        !found.removed && (is_there || self.arena.is_available(node))
    }

    fn has_quorum_for(&mut self, resource: ResIx) -> bool {
        if self.arena.state.quorum {
            return true;
        }
        let (role, next) = (self.arena[resource].role, self.arena[resource].next_role);
        match self.arena.options.no_quorum {
            NoQuorum::Ignore => true,
            NoQuorum::Stop | NoQuorum::Fence => false,
            NoQuorum::Freeze => self.is_active(resource) && next <= role,
            NoQuorum::Demote => match role {
                Role::Promoted | Role::Unpromoted => {
                    self.arena[resource].next_role = next.min(Role::Unpromoted);
                    true
                }
                Role::Stopped | Role::Started => false,
            },
        }
    }

    /// Whether a node can be fenced.
    pub(super) fn can_fence(&self, node: NodeIx) -> bool {
        let found = self.arena.node(node);
        if let NodeKind::Guest { container, .. } = found.kind {
            let host = self.arena[container].active_on.first();
            return host.is_none_or(|host| {
                let host_node = self.arena.node(*host);
                host_node.online && !host_node.unclean || self.can_fence_member(*host)
            });
        }
        self.can_fence_member(node)
    }

    fn can_fence_member(&self, node: NodeIx) -> bool {
        let options = &self.arena.options;
        options.fencing
            && options.fencing_possible
            && (self.arena.state.quorum
                || options.no_quorum == NoQuorum::Ignore
                || self.arena.node(node).online)
    }

    /// The node that leads, whether or not anything is known of it.
    pub(super) fn leader(&self) -> Option<NodeIx> {
        let named = |node: &NodeIx| self.arena.state.leader.as_ref() == Some(&self.arena.node(*node).id);
        self.arena.leader.or_else(|| self.arena.node_numbers().find(named))
    }

    /// Whether anything of it is active anywhere.
    pub(super) fn is_active(&self, resource: ResIx) -> bool {
        !self.arena[resource].active_on.is_empty()
            || self.parts(resource).iter().any(|part| self.is_active(*part))
    }

    /// The members, instances or containers of a resource.
    pub(super) fn parts(&self, resource: ResIx) -> Vec<ResIx> {
        let found = &self.arena[resource];
        match (&found.kind, &found.bundle) {
            (Kind::Bundle, Some(bundle)) => {
                let of_replica = bundle.replicas.iter().flat_map(|replica| {
                    [replica.address, Some(replica.container), replica.connection].into_iter().flatten()
                });
                of_replica.chain(bundle.inner).collect()
            }
            (Kind::Group | Kind::Clone | Kind::Bundle | Kind::Primitive, _) => found.children.clone(),
        }
    }

    /// What the steps of a collective are made of: members, instances, or the containers of a bundle.
    pub(super) fn instances(&self, resource: ResIx) -> Vec<ResIx> {
        match &self.arena[resource].bundle {
            Some(bundle) => bundle.replicas.iter().map(|replica| replica.container).collect(),
            None => self.arena[resource].children.clone(),
        }
    }

    /// All primitives that a resource is made of; itself if it is one.
    pub(super) fn primitives(&self, resource: ResIx) -> Vec<ResIx> {
        if self.arena[resource].kind == Kind::Primitive {
            return alloc::vec![resource];
        }
        self.parts(resource).into_iter().flat_map(|part| self.primitives(part)).collect()
    }

    /// The highest role that anything of a resource has.
    pub(super) fn role(&self, resource: ResIx) -> Role {
        let found = &self.arena[resource];
        if found.kind == Kind::Primitive {
            return found.role;
        }
        self.parts(resource).into_iter().map(|part| self.role(part)).max().unwrap_or(found.role)
    }

    /// Whether one resource is part of another, at any depth.
    pub(super) fn is_part_of(&self, part: ResIx, whole: ResIx) -> bool {
        let mut at = self.arena[part].parent;
        // Bounded by how deep resources are nested.
        while let Some(parent) = at {
            if parent == whole {
                return true;
            }
            at = self.arena[parent].parent;
        }
        false
    }

    /// Where a resource is, or where it goes: of one with members, where its first member is.
    pub(super) fn place(&self, resource: ResIx, current: bool) -> Option<NodeIx> {
        let found = &self.arena[resource];
        if found.kind == Kind::Primitive {
            return if current { found.active_on.first().copied() } else { self.assigned(resource) };
        }
        self.instances(resource).into_iter().find_map(|part| self.place(part, current))
    }

    /// Where a resource goes.
    pub(super) fn assigned(&self, resource: ResIx) -> Option<NodeIx> {
        self.arena[resource].assigned.filter(|_| !self.unpaired.contains(&resource))
    }

    /// Whether this is the one place where something that is active several times was expected.
    pub(super) fn is_expected(&self, resource: ResIx, node: NodeIx) -> bool {
        let found = &self.arena[resource];
        self.keeps_expected.contains(&resource)
            && found.multiple_active == MultipleActive::StopUnexpected
            && found.next_role.is_running()
            && found.assigned == Some(node)
            && found.active_on.contains(&node)
    }

    /// Whether a resource may only run when nothing unclean is left.
    pub(super) fn needs_fencing(&self, resource: ResIx) -> bool {
        matches!(self.arena[resource].requires, Requires::Fencing | Requires::Unfencing)
    }

    /// Notes a relation, and what it means for live migration.
    pub(super) fn relate(&mut self, first: End, then: End, properties: Properties) {
        self.relations.push(Relation { first, then, properties });
        if let (End::Of(one, doing), End::Of(other, then_doing)) = (first, then)
            && one != other
        {
            migration::also_relate(self, (one, doing), (other, then_doing));
        }
    }

    /// Notes a relation between what is done with two resources.
    pub(super) fn relate_both(
        &mut self,
        first: (ResIx, Doing),
        then: (ResIx, Doing),
        properties: Properties,
    ) {
        self.relate(End::Of(first.0, first.1), End::Of(then.0, then.1), properties);
    }
}
