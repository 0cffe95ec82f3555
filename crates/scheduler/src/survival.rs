//! What a cluster of Heart's own survives: nodes are lost, one or two at a time, and the planner says what becomes
//! of everything.
//!
//! It is asked as the leader will ask it when all is over that such a loss brings with it: what the lost nodes ran
//! is known to have ended there, nothing else is under way. So the answer is what will be, not what will be done
//! first; and its reasons are those that `heart why` would give then.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use heart_model::{
    Activity, BootId, Epoch, NodeName, NodeState, NodeStatus, Reason, ResourceName, ResourceState, Session,
    SessionNumber, Spec, Status, voters_left,
};

use crate::{engine::survive::Enough, plan};

/// Most plans after one another until everything is where it stays.
const PLANS_MAX: usize = 8;

/// What becomes of a cluster when nodes are lost all at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    /// The nodes.
    pub nodes: Vec<NodeName>,
    /// Whether the voters that are left are enough to go on.
    pub quorum: bool,
    /// What runs elsewhere then: what, the node that it left if one is known, where it goes.
    pub moved: Vec<(String, Option<NodeName>, NodeName)>,
    /// What runs nowhere then, and would run otherwise; with what is said of it.
    pub down: Vec<(String, Vec<Reason>)>,
    /// What nobody is promoted of then, and would be otherwise; with what is said of it.
    pub unpromoted: Vec<(String, Vec<Reason>)>,
    /// What has fewer copies then.
    pub fewer: Vec<String>,
}

impl Loss {
    /// Whether everything that is served goes on being served.
    #[must_use]
    pub fn is_survived(&self) -> bool {
        self.down.is_empty() && self.unpromoted.is_empty()
    }
}

/// Where each resource is.
type Placement = BTreeMap<ResourceName, Option<NodeName>>;
/// What is said of each.
type Reasons = BTreeMap<ResourceName, Vec<Reason>>;
/// On which nodes each thing is that is served, all copies of it together.
type Served<'n> = BTreeMap<&'n str, BTreeSet<&'n NodeName>>;

/// A cluster of which it is asked what it survives.
#[derive(Clone, Debug)]
pub struct Survival<'s> {
    spec: &'s Spec,
    enough: Enough,
    /// Everything as it will be if nothing else happens.
    settled: Status,
    places: Placement,
}

impl<'s> Survival<'s> {
    /// Plans what would be without any loss.
    #[must_use]
    pub fn new(spec: &'s Spec, status: &Status, enough: Enough) -> Survival<'s> {
        let mut settled = Status { quorum: true, gathering: None, ..status.clone() };
        let places = settle(spec, &mut settled, None).0;
        Survival { spec, enough, settled, places }
    }

    /// All single losses of nodes that take part, then all of two at a time if `pairs` are wanted.
    #[must_use]
    pub fn losses(&self, pairs: bool) -> Vec<Vec<NodeName>> {
        let there: Vec<&NodeName> =
            self.settled.nodes.iter().filter(|(_, node)| takes_part(node)).map(|(name, _)| name).collect();
        singly_and_in_pairs(&there, pairs)
    }

    /// What becomes of the cluster when these nodes are lost.
    #[must_use]
    pub fn lose(&self, nodes: &[NodeName]) -> Loss {
        let mut loss = Loss { nodes: nodes.to_vec(), quorum: self.has_quorum(nodes), ..Loss::default() };
        if !loss.quorum {
            self.end(&mut loss);
            return loss;
        }
        let mut status = self.settled.clone();
        for (_, node) in status.nodes.iter_mut().filter(|(name, _)| nodes.contains(name)) {
            *node = NodeStatus::well(NodeState::Absent, None);
        }
        for resource in status.resources.values_mut() {
            if matches!(&resource.state, ResourceState::Granted { node, .. } if nodes.contains(node)) {
                resource.state = ResourceState::Ungranted;
            }
        }
        let (places, reasons) = settle(self.spec, &mut status, Some(&self.places));
        self.compare(&places, &reasons, &mut loss);
        loss
    }

    fn has_quorum(&self, lost: &[NodeName]) -> bool {
        let is_off = |name: &&NodeName| {
            self.settled.nodes.get(*name).is_some_and(|node| node.state == NodeState::Fenced)
        };
        let off = self.spec.voters().filter(is_off).count();
        let voters = voters_left(self.spec.voters().count(), off, self.spec.halves_go_on());
        let is_left =
            |name: &&NodeName| self.settled.nodes.get(*name).is_some_and(takes_part) && !lost.contains(name);
        let left = self.spec.voters().filter(is_left).count();
        match self.enough {
            Enough::Majority => left * 2 > voters,
            Enough::Half => left * 2 >= voters && left > 0,
        }
    }

    /// Without a quorum leases end, and with them all that runs.
    fn end(&self, loss: &mut Loss) {
        let (served, promoted) = self.served(&self.places);
        loss.down.extend(served.keys().map(|name| ((*name).into(), Vec::from([Reason::NoQuorum]))));
        loss.unpromoted.extend(promoted.keys().map(|name| ((*name).into(), Vec::from([Reason::NoQuorum]))));
    }

    /// What is served, and what is promoted, and where.
    fn served<'n>(&self, places: &'n Placement) -> (Served<'n>, Served<'n>) {
        let (mut served, mut promoted) = (Served::new(), Served::new());
        for (name, node) in places.iter().filter_map(|(name, node)| Some((name, node.as_ref()?))) {
            let of = name.copy().map_or(name.as_str(), |(of, _)| of);
            let kind = if self.spec.is_promotion(name) { &mut promoted } else { &mut served };
            kind.entry(of).or_default().insert(node);
        }
        (served, promoted)
    }

    fn compare(&self, places: &Placement, reasons: &Reasons, loss: &mut Loss) {
        let (before, promoted_before) = self.served(&self.places);
        let (after, promoted_after) = self.served(places);
        for (promotion, all, then) in [(false, before, after), (true, promoted_before, promoted_after)] {
            for (of, nodes) in all {
                let now = then.get(of).cloned().unwrap_or_default();
                if now.is_empty() {
                    let said = self.said(of, promotion, reasons, &loss.nodes);
                    let nowhere = if promotion { &mut loss.unpromoted } else { &mut loss.down };
                    nowhere.push((of.into(), said));
                    continue;
                }
                if now.len() < nodes.len() {
                    loss.fewer.push(of.into());
                }
                let mut left = nodes.difference(&now);
                for to in now.difference(&nodes) {
                    loss.moved.push((of.into(), left.next().map(|from| (*from).clone()), (*to).clone()));
                }
            }
        }
    }

    /// What is said of something that is nowhere; of its copies, of the first that could be.
    fn said(&self, of: &str, promotion: bool, reasons: &Reasons, lost: &[NodeName]) -> Vec<Reason> {
        let is_meant = |name: &&ResourceName| {
            let (whole, node) = name.copy().map_or((name.as_str(), None), |(of, node)| (of, Some(node)));
            whole == of
                && self.spec.is_promotion(name) == promotion
                && node.is_none_or(|node| !lost.iter().any(|lost| lost.as_str() == node))
        };
        let mut said = reasons.iter().filter(|(name, _)| is_meant(name)).map(|(_, said)| said);
        said.next().cloned().unwrap_or_default()
    }
}

/// The state in which every node is there and nothing was done yet, at that time of the wall clock in seconds
/// since 1970.
#[must_use]
pub fn at_rest(spec: &Spec, now: Option<i64>) -> Status {
    let session = Session { boot: BootId(1), number: SessionNumber(1) };
    let node = |name: &NodeName| (name.clone(), NodeStatus::well(NodeState::Online, Some(session)));
    Status { nodes: spec.nodes.keys().map(node).collect(), quorum: true, now, ..Status::default() }
}

/// All of these, each alone, then all of two if `pairs` are wanted.
pub(crate) fn singly_and_in_pairs<N: Clone>(names: &[&N], pairs: bool) -> Vec<Vec<N>> {
    let mut all: Vec<Vec<N>> = names.iter().map(|name| Vec::from([(*name).clone()])).collect();
    for (place, one) in names.iter().enumerate().filter(|_| pairs) {
        let others = names[place + 1..].iter();
        all.extend(others.map(|other| Vec::from([(*one).clone(), (*other).clone()])));
    }
    all
}

fn takes_part(node: &NodeStatus) -> bool {
    node.state == NodeState::Online && node.session.is_some()
}

/// Plans, and takes it that all of it is done, until nothing changes any more: where everything is then, and why.
/// Nothing healthy moves, so where everything that is `wanted` has a place, the first plan is the last.
fn settle(spec: &Spec, status: &mut Status, wanted: Option<&Placement>) -> (Placement, Reasons) {
    let mut last = plan(spec, status);
    for _ in 1..PLANS_MAX {
        let is_placed = |(name, place): (&ResourceName, &Option<NodeName>)| {
            place.is_none() || last.placement.get(name).is_some_and(Option::is_some)
        };
        if wanted.is_some_and(|wanted| wanted.iter().all(is_placed)) {
            break;
        }
        carry_out(&last.placement, status);
        let next = plan(spec, status);
        let is_settled = next.placement == last.placement;
        last = next;
        if is_settled {
            break;
        }
    }
    (last.placement, last.reasons)
}

/// Everything runs where it shall, where that can be.
fn carry_out(places: &Placement, status: &mut Status) {
    for (name, place) in places {
        let known = status.resources.entry(name.clone()).or_default();
        match place.as_ref().map(|node| (node, status.nodes.get(node))) {
            Some((node, Some(NodeStatus { session: Some(session), state: NodeState::Online, .. }))) => {
                let stuck =
                    matches!(&known.state, ResourceState::Granted { activity: Activity::Stuck(_), .. });
                if !stuck {
                    let (node, session) = (node.clone(), *session);
                    let (epoch, activity) = (Epoch(1), Activity::Running);
                    known.state = ResourceState::Granted { node, session, epoch, activity };
                }
            }
            // On a node that is not heard it stays what it is.
            Some(_) => {}
            None => known.state = ResourceState::Ungranted,
        }
    }
}
