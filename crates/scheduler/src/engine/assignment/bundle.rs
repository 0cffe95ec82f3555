//! Bundles: containers are placed like instances; what belongs to one goes with it, and what runs inside
//! runs on the node inside and nowhere else.

use heart_model::policy::Score;

use super::{
    super::{
        arena::{Cause, NodeIx, NodeKind, Pair, Replica, ResIx},
        colocation::pair_up,
    },
    Placing,
};

impl Placing<'_, '_> {
    pub(super) fn place_bundle(&mut self, bundle: ResIx) {
        if self.arena[bundle].decided || self.arena[bundle].deciding {
            return;
        }
        let Some(facts) = self.arena[bundle].bundle.clone() else { return };
        self.arena[bundle].deciding = true;
        let containers: alloc::vec::Vec<ResIx> = facts.replicas.iter().map(|one| one.container).collect();
        let containers = self.in_order_of_claims(bundle, &containers);
        self.place_instances(bundle, &containers, containers.len() as u32, facts.per_host);
        for replica in &facts.replicas {
            self.place_replica(replica, facts.inner);
        }
        if let Some(inner) = facts.inner {
            let mut table = core::mem::take(&mut self.arena[inner].allowed);
            for (node, allowed) in table.iter_mut() {
                let is_inside = facts.replicas.iter().any(|replica| replica.node == Some(node));
                allowed.score = if is_inside { Score::ZERO } else { Score::NEVER };
            }
            for node in facts.replicas.iter().filter_map(|replica| replica.node) {
                table.admit(node, Score::ZERO, Cause::None);
            }
            self.arena[inner].allowed = table;
            self.place_clone(inner);
        }
        let here = &mut self.arena[bundle];
        here.deciding = false;
        here.decided = true;
    }

    /// Places what belongs to a container that has been placed.
    fn place_replica(&mut self, replica: &Replica, clone: Option<ResIx>) {
        if let Some(address) = replica.address {
            self.place(address, None, true);
        }
        if let Some(connection) = replica.connection {
            self.keep_connections_together(replica, connection);
            self.place(connection, None, true);
        }
        let (Some(inner), Some(inside)) = (replica.inner, replica.node) else { return };
        self.keep_inside(inner, inside);
        let deciding = clone.map(|clone| core::mem::replace(&mut self.arena[clone].deciding, true));
        self.place(inner, Some(inside), true);
        if let (Some(clone), Some(deciding)) = (clone, deciding) {
            self.arena[clone].deciding = deciding;
        }
    }

    /// An instance inside may run on the node inside only, and there as gladly as can be.
    fn keep_inside(&mut self, inner: ResIx, inside: NodeIx) {
        let banned = self.arena[inner].failures.get(&inside);
        let threshold = self.arena[inner].migration_threshold;
        let is_banned = banned.is_some_and(|failures| threshold > Score::ZERO && failures.count >= threshold);
        let mut table = core::mem::take(&mut self.arena[inner].allowed);
        table.admit(inside, Score::ZERO, Cause::None);
        for (node, allowed) in table.iter_mut() {
            if node != inside {
                allowed.score = Score::NEVER;
                allowed.cause = Cause::Unsuitable;
            } else if !is_banned {
                allowed.score = Score::INFINITY;
            }
        }
        self.arena[inner].allowed = table;
    }

    /// A container on a remote node is reached from where the connection to that node is, since a node
    /// answers one connection only.
    fn keep_connections_together(&mut self, replica: &Replica, connection: ResIx) {
        let Some(host) = self.arena[replica.container].assigned else { return };
        let other = match self.arena.node(host).kind {
            NodeKind::Remote { connection } => connection,
            NodeKind::Guest { connection, .. } => Some(connection),
            NodeKind::Member | NodeKind::Ping => None,
        };
        if let Some(other) = other {
            let pair = Pair {
                cause: Cause::Implied(connection),
                id: "#connection".into(),
                score: Score::INFINITY,
                dependent: connection,
                dependent_role: None,
                primary: other,
                primary_role: None,
                attribute: None,
                influence: true,
            };
            pair_up(self.arena, pair);
        }
    }
}
