//! The leader's work: from what is known to what is ordered.
//!
//! Whenever something changes, the conductor builds the [`Status`], has it planned, and does of the
//! plan what can be done now: it proposes entries, and orders what the ledger already allows. It
//! remembers little, and nothing that matters: the next leader starts with an empty conductor and
//! the same ledger, asks every node what it has, and goes on (DESIGN §5, *Conductor*).
//!
//! What makes a takeover safe is the ledger's `until_gone` together with [`Conductor::may_start`]:
//! the new owner is told to start only when enough voters said that their promise to the old one
//! has run out (SAFETY rule 7).

pub(crate) mod fencing;
pub(crate) mod health;
mod join;
mod picture;
mod pings;
mod rest;
mod start;

use heart_model::{
    Act, Activity, Duration, Epoch, Guard, Intent, Inventory, LogIndex, Moment, NodeId, NodeName, NodeState,
    Order, OrderId, Outcome, Plan, Reason, Report, ResourceName, ResourceState, Session, Spec, Status,
    StepAction, Term,
};
use std::collections::{BTreeMap, BTreeSet};

use start::Start;

use crate::{
    ledger::{Change, Ledger, NewGrant, ResourceLedger, waits_by},
    ownership::Sights,
    plant::{Bug, is_planted},
};

/// For how long nobody looks whether the wall clock was set, where the file says something of times.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(60);

/// What the conductor looks at.
#[derive(Debug)]
pub struct Score<'a> {
    /// The wall clock of this node, in milliseconds since 1970: for what the file says of hours and dates.
    pub wall: u64,
    /// The names of all nodes, by slot.
    pub names: &'a [NodeName],
    /// The configuration file of this node, with its digest.
    pub file: (&'a Spec, u64),
    /// What the log says.
    pub ledger: &'a Ledger,
    /// Up to where it was applied.
    pub applied: LogIndex,
    /// What is seen of the others.
    pub sights: &'a Sights,
    /// The session this node is in.
    pub session: Session,
    /// When this node read in the log which life of a node takes part; of those that are missing, when its core began.
    pub lives_known: (&'a BTreeMap<NodeName, Moment>, Moment),
    /// Voters that a history which begins now is begun without, by the word of a person.
    pub left_out: &'a [NodeName],
    /// This node was asked to stop.
    pub leaving: bool,
    /// Nodes that have let everything go, and of which nothing more is needed before they leave.
    pub leaves: &'a [usize],
    /// Nodes that are to be switched off, and have a vote that is taken from them first.
    pub losing_votes: &'a [usize],
    /// What this node tells of itself; see [`crate::board::flag`].
    pub flags: u64,
    /// This node has listened long enough to say that another is lost.
    pub may_judge: bool,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Work {
    /// To propose.
    pub proposals: Vec<Change>,
    /// To send.
    pub orders: Vec<Order>,
}

#[derive(Debug)]
struct Facts {
    session: Session,
    resources: BTreeMap<ResourceName, Inventory>,
}

#[derive(Debug)]
struct Given {
    order: Order,
    until: Moment,
}

/// See the module.
#[derive(Debug)]
pub struct Conductor {
    term: Term,
    since: Moment,
    lost_after: Duration,
    orders: u64,
    facts: BTreeMap<NodeName, Facts>,
    over: BTreeMap<(NodeName, Session), BTreeSet<NodeId>>,
    health: health::Healths,
    /// For which session a node had itself let in to its storage, and how many attempts against it the log counted.
    inside: BTreeMap<NodeName, (Session, u32)>,
    /// In which session a node said that its watchdog is armed, and by which configuration.
    watched: BTreeMap<NodeName, (Session, u64)>,
    pings: pings::Pings,
    given: BTreeMap<ResourceName, Given>,
    not_before: BTreeMap<ResourceName, Moment>,
    proposed: Vec<Change>,
    fences: fencing::Fences,
    start: Start,
    plan: Plan,
    /// The digest of the configuration that the plan was made from, with the status; nothing if there is no plan
    /// from these yet.
    planned: Option<u64>,
    status: Status,
    deadline: Option<Moment>,
    rest: Option<rest::Rest>,
    doubted: u64,
}

impl Conductor {
    /// Begins with the leadership of `term`.
    #[must_use]
    pub fn new(now: Moment, term: Term, lost_after: Duration) -> Conductor {
        Conductor {
            term,
            since: now,
            lost_after,
            orders: 0,
            facts: BTreeMap::new(),
            over: BTreeMap::new(),
            health: health::Healths::default(),
            inside: BTreeMap::new(),
            watched: BTreeMap::new(),
            pings: pings::Pings::default(),
            given: BTreeMap::new(),
            not_before: BTreeMap::new(),
            proposed: Vec::new(),
            fences: fencing::Fences::default(),
            start: Start::Unseen,
            plan: Plan::default(),
            planned: None,
            status: Status::default(),
            deadline: None,
            rest: None,
            doubted: 0,
        }
    }

    /// The plan under way.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Why a resource is where it is, or is not, with what is left of a wait as it is now.
    #[must_use]
    pub fn reasons(&self, now: Moment, resource: &ResourceName) -> Vec<Reason> {
        let mut reasons = self.plan.reasons.get(resource).cloned().unwrap_or_default();
        for reason in &mut reasons {
            if let (Reason::WaitsForPreferred { left_ms, .. }, Some(until)) = (reason, self.start.until()) {
                *left_ms = start::left_ms(now, until);
            }
        }
        self.came_from_sick(resource, &mut reasons);
        reasons
    }

    /// Why a resource that runs does not say in time how it is, if its machine is stalled.
    #[must_use]
    pub fn slow(&self, resource: &ResourceName) -> Option<&str> {
        let resources = self.facts.values().filter_map(|facts| facts.resources.get(resource));
        resources.filter_map(|inventory| inventory.slow.as_deref()).next()
    }

    /// What the plan was made from.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Nodes that wait until it is known that the life which is heard is the later one: a set of slots.
    #[must_use]
    pub fn doubted(&self) -> u64 {
        self.doubted
    }

    /// When to look again although nothing happened.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.deadline
    }

    /// A node told all that it has.
    pub fn on_inventory(&mut self, node: &NodeName, session: Session, all: Vec<Inventory>) {
        self.stir();
        let resources = all.into_iter().map(|inventory| (inventory.resource.clone(), inventory)).collect();
        self.facts.insert(node.clone(), Facts { session, resources });
        self.forget_orders(node.id());
    }

    /// What this node was told may not have reached it, or it has forgotten: tell it again.
    pub fn forget_orders(&mut self, node: NodeId) {
        self.stir();
        self.given.retain(|_, given| given.order.node != node);
    }

    /// A resource of a node changed.
    pub fn on_changed(&mut self, node: &NodeName, inventory: Inventory) {
        self.stir();
        if let Some(facts) = self.facts.get_mut(node) {
            facts.resources.insert(inventory.resource.clone(), inventory);
        }
    }

    /// A node says how an order ended.
    pub fn on_report(&mut self, now: Moment, node: &NodeName, report: Report) {
        self.stir();
        let resource = report.resource.resource.clone();
        if self.given.get(&resource).is_some_and(|given| given.order.id == report.id) {
            self.given.remove(&resource);
        }
        if matches!(report.outcome, Outcome::Refused(_)) {
            // Asking again at once would only be refused again.
            self.not_before.insert(resource, now.after(self.lost_after / 4));
        }
        self.on_changed(node, report.resource);
    }

    /// A voter says that its promise to a session that was taken over has run out.
    pub fn on_over(&mut self, voter: NodeId, node: NodeName, session: Session) {
        self.stir();
        self.over.entry((node, session)).or_default().insert(voter);
    }

    /// An entry was applied, whether it held or not.
    pub fn on_applied(&mut self, change: &Change) {
        self.stir();
        self.proposed.retain(|proposed| proposed != change);
        if let Change::Admit { node, session } = change {
            self.over.retain(|(of, old), _| of != node || old == session);
        }
    }

    /// What can be done now.
    pub fn run(&mut self, now: Moment, score: &Score<'_>) -> Work {
        if self.rests(now, score) {
            return Work::default();
        }
        let work = self.look(now, score);
        if work.proposals.is_empty() && work.orders.is_empty() {
            self.take_rest(now, score);
        } else {
            self.stir();
        }
        work
    }

    fn look(&mut self, now: Moment, score: &Score<'_>) -> Work {
        let mut work = Work::default();
        self.deadline = None;
        if matches!(self.start, Start::Unseen) {
            self.start = Start::look(self.since, self.lost_after, score);
        }
        self.join(score, &mut work);
        let Some(spec) = &score.ledger.spec else { return self.finish(work) };
        let mut status = self.build_status(now, spec, score);
        // How much is left of a wait changes nothing of the plan, and is told as it is then.
        if let (Some(left), Some(before)) = (&mut status.gathering, &self.status.gathering) {
            left.left_ms = before.left_ms;
        }
        // A plan is a function of what it is made from.
        if self.planned != Some(score.ledger.digest) || self.status != status {
            (self.planned, self.status) = (None, status);
        }
        if let (Some(until), Some(_)) = (self.start.until(), &self.status.gathering) {
            self.wake_at(until);
        }
        self.settles_at(now, spec).into_iter().for_each(|at| self.wake_at(at));
        self.hesitates_until(now).into_iter().for_each(|until| self.wake_at(until));
        self.tell(score, &mut work);
        if self.waits_for_facts(now) {
            return self.finish(work);
        }
        if self.planned.is_none() {
            self.plan = heart_scheduler::plan(spec, &self.status);
            self.planned = Some(score.ledger.digest);
            self.remember_moves();
        }
        self.look_again(now, score);
        self.fulfil_intents(spec, &mut work);
        self.take_over(spec, score, &mut work);
        self.fence(now, spec, score, &mut work);
        self.grant(score, &mut work);
        self.order(now, spec, score, &mut work);
        self.finish(work)
    }

    /// Wakes when a time of the file begins or ends, or something is held no longer. Wall clocks are set, so not only
    /// then.
    fn look_again(&mut self, now: Moment, score: &Score<'_>) {
        let of_file = self.plan.look_again.and_then(|at| u64::try_from(at).ok());
        let of_file = of_file.map(|seconds| seconds.saturating_mul(1000));
        for at in of_file.into_iter().chain(score.ledger.next_release(score.wall)) {
            let wait = Duration::from_millis(at.saturating_sub(score.wall));
            self.wake_at(now.after(wait.min(LOOK_AGAIN_MAX)));
        }
    }

    /// Leaves out what is already on its way.
    fn finish(&mut self, mut work: Work) -> Work {
        work.proposals.retain(|change| !self.proposed.contains(change));
        work
    }

    /// Whether this was proposed, and is not applied yet.
    #[must_use]
    pub fn has_proposed(&self, change: &Change) -> bool {
        self.proposed.contains(change)
    }

    /// The caller proposed this and raft took it.
    pub fn on_proposed(&mut self, change: Change) {
        self.stir();
        if let Change::TakeOver { node, session, .. } = &change {
            // Who said so of an entry that came to nothing may have promised anew since: whoever appends this one says it.
            self.over.remove(&(node.clone(), *session));
        }
        self.proposed.push(change);
    }

    /// What the log should know: failures, and how things are.
    fn tell(&self, score: &Score<'_>, work: &mut Work) {
        for (name, ledger) in &score.ledger.resources {
            let Some(grant) = &ledger.grant else { continue };
            let facts = self.facts.get(&grant.node).filter(|facts| facts.session == grant.session);
            let Some(inventory) = facts.and_then(|facts| facts.resources.get(name)) else { continue };
            if inventory.epoch != grant.epoch {
                continue;
            }
            if let Activity::Failed(message) = &inventory.activity
                && ledger.failed_epoch < grant.epoch
            {
                work.proposals.push(Change::Failure {
                    resource: name.clone(),
                    node: grant.node.clone(),
                    epoch: grant.epoch,
                    message: message.clone(),
                });
            }
            let lasting = !matches!(inventory.activity, Activity::Starting | Activity::Stopping);
            if lasting && inventory.activity != grant.activity {
                work.proposals.push(Change::Report {
                    resource: name.clone(),
                    epoch: grant.epoch,
                    activity: inventory.activity.clone(),
                });
            }
        }
    }

    /// A new leader plans only once every node that takes part has told what it has; one that does
    /// not is not waited for longer than lost-after. A failure that was proposed is counted first.
    fn waits_for_facts(&mut self, now: Moment) -> bool {
        if self.proposed.iter().any(|change| matches!(change, Change::Failure { .. })) {
            return true;
        }
        let patience = self.since.after(self.lost_after);
        let silent =
            self.status.nodes.values().any(|node| node.state == NodeState::Joining && node.session.is_some());
        if silent && !now.has_surely_reached(patience) {
            self.wake_at(patience);
            return true;
        }
        false
    }

    fn wake_at(&mut self, at: Moment) {
        let sooner = self.deadline.is_none_or(|deadline| at.boottime < deadline.boottime);
        if sooner {
            self.deadline = Some(at);
        }
    }

    /// A move is over as soon as everything it moved runs where it should, or cannot any more.
    fn fulfil_intents(&self, spec: &Spec, work: &mut Work) {
        for intent in &self.status.intents {
            let Intent::Move { resource, from, to } = intent else { continue };
            let members = spec.companions(resource);
            let arrived = |name: &ResourceName| {
                let state = self.status.resources.get(name).map(|resource| &resource.state);
                matches!(state, Some(ResourceState::Granted { node, activity: Activity::Running, .. })
                    if node != from && to.as_ref().is_none_or(|to| to == node))
            };
            if members.iter().all(arrived) {
                work.proposals.push(Change::Withdraw(intent.clone()));
            } else if let Some((intent, because)) = self.plan.ended.iter().find(|(ended, _)| ended == intent)
            {
                work.proposals.push(Change::End { intent: intent.clone(), because: because.clone() });
            }
        }
    }

    /// Takes from each lost node what the plan wants elsewhere, all in one entry (SAFETY rule 7).
    fn take_over(&self, spec: &Spec, score: &Score<'_>, work: &mut Work) {
        let mut from: BTreeMap<&NodeName, (Session, Vec<NewGrant>)> = BTreeMap::new();
        for step in self.plan.steps.iter().filter(|step| step.action == StepAction::TakeOver) {
            let Some(ledger) = score.ledger.resources.get(&step.resource) else { continue };
            let Some(grant) = &ledger.grant else { continue };
            let new = self.new_grant(&step.resource, &step.node, ledger, score);
            from.entry(&grant.node).or_insert((grant.session, Vec::new())).1.extend(new);
        }
        self.take_from_fenceable(spec, score, &mut from);
        for (node, (session, grants)) in from {
            work.proposals.push(Change::TakeOver { node: node.clone(), session, grants });
        }
    }

    fn new_grant(
        &self,
        resource: &ResourceName,
        node: &NodeName,
        ledger: &ResourceLedger,
        score: &Score<'_>,
    ) -> Option<NewGrant> {
        if self.proposed_grant(resource, ledger).is_some() {
            return None;
        }
        let session = score.ledger.nodes.get(node)?.session?;
        let from = ledger.grant.as_ref().map(|grant| &grant.node);
        Some(NewGrant {
            resource: resource.clone(),
            node: node.clone(),
            session,
            epoch: ledger.epoch.next(),
            because: from.and_then(|from| self.moved_for_targets(resource, from, node)),
        })
    }

    /// Grants what nobody holds to where the plan starts it, and closes what its holder closed.
    fn grant(&self, score: &Score<'_>, work: &mut Work) {
        let starts: BTreeMap<&ResourceName, &NodeName> = self
            .plan
            .steps
            .iter()
            .filter(|step| step.action == StepAction::Start)
            .map(|step| (&step.resource, &step.node))
            .collect();
        let mut grants = Vec::new();
        for (name, ledger) in &score.ledger.resources {
            let new = starts.get(name).and_then(|node| self.new_grant(name, node, ledger, score));
            match &ledger.grant {
                None => grants.extend(new),
                Some(grant) if self.is_closing(name, grant.epoch) => {}
                Some(grant) if self.is_closed(name, ledger) => work.proposals.push(Change::Close {
                    resource: name.clone(),
                    epoch: grant.epoch,
                    grants: new.into_iter().collect(),
                }),
                Some(_) => {}
            }
        }
        if !grants.is_empty() {
            work.proposals.push(Change::Grant { grants });
        }
    }

    /// Whether it was proposed to close a grant.
    fn is_closing(&self, name: &ResourceName, epoch: Epoch) -> bool {
        self.proposed.iter().any(|change| {
            matches!(change, Change::Close { resource, epoch: of, .. } if resource == name && *of == epoch)
        })
    }

    fn is_closed(&self, name: &ResourceName, ledger: &ResourceLedger) -> bool {
        let Some(grant) = &ledger.grant else { return false };
        let facts = self.facts.get(&grant.node).filter(|facts| facts.session == grant.session);
        let inventory = facts.and_then(|facts| facts.resources.get(name));
        inventory.is_some_and(|inventory| inventory.closed >= grant.epoch)
    }

    /// Orders the steps that nothing stands before and that the ledger allows.
    fn order(&mut self, now: Moment, spec: &Spec, score: &Score<'_>, work: &mut Work) {
        for place in 0..self.plan.steps.len() {
            let step = &self.plan.steps[place];
            let act = match step.action {
                StepAction::Start => Act::Start,
                StepAction::Stop => Act::Stop,
                StepAction::TakeOver => continue,
            };
            if !step.after.is_empty() {
                continue;
            }
            let (resource, node) = (step.resource.clone(), step.node.clone());
            let Some(ledger) = score.ledger.resources.get(&resource) else { continue };
            let Some(grant) = ledger.grant.clone().filter(|grant| grant.node == node) else { continue };
            let closed = self.is_closed(&resource, ledger);
            if closed || (act == Act::Start && !self.may_start(spec, &resource, ledger, score)) {
                continue;
            }
            if self.is_given(now, &resource, &grant, act) {
                continue;
            }
            let timeouts = spec.granted(&resource).map(|resource| resource.timeouts);
            let wait = timeouts.map_or(self.lost_after, |timeouts| match act {
                Act::Start => timeouts.start,
                Act::Stop => timeouts.stop,
            });
            self.orders += 1;
            let order = Order {
                id: OrderId { term: self.term, number: self.orders },
                commit: score.applied,
                node: node.id(),
                session: grant.session,
                resource: resource.clone(),
                epoch: grant.epoch,
                act,
            };
            let until = now.after(wait * 2 + self.lost_after);
            self.given.insert(resource, Given { order: order.clone(), until });
            self.wake_at(until);
            work.orders.push(order);
        }
        let given = self.given.values().map(|given| given.until).min_by_key(|at| at.boottime);
        given.into_iter().for_each(|at| self.wake_at(at));
    }

    /// Whether the same was ordered and is under way, or was refused a moment ago.
    fn is_given(
        &mut self,
        now: Moment,
        resource: &ResourceName,
        grant: &crate::ledger::Grant,
        act: Act,
    ) -> bool {
        if let Some(&until) = self.not_before.get(resource) {
            if !now.has_surely_reached(until) {
                self.wake_at(until);
                return true;
            }
            self.not_before.remove(resource);
        }
        self.given.get(resource).is_some_and(|given| {
            given.order.epoch == grant.epoch
                && given.order.session == grant.session
                && given.order.act == act
                && !now.has_surely_reached(given.until)
        })
    }

    /// Whether everybody who held it before is known to have let go (SAFETY rule 7).
    #[must_use]
    pub fn may_start(
        &self,
        spec: &Spec,
        resource: &ResourceName,
        ledger: &ResourceLedger,
        score: &Score<'_>,
    ) -> bool {
        let now = spec.granted(resource).map_or(Guard::Fence, |resource| resource.guard);
        ledger.until_gone.iter().all(|former| match waits_by(former.guard, now) {
            Guard::None => true,
            Guard::Fence => is_planted(Bug::NoWaitForFence),
            Guard::Lease if is_planted(Bug::NoWaitForPromises) => true,
            Guard::Lease => {
                let over = self.over.get(&(former.node.clone(), former.session));
                let votes = |id: &&NodeId| {
                    let slot = score.names.iter().position(|name| name.id() == **id);
                    slot.is_some_and(|slot| score.sights.voters.contains(slot))
                };
                over.is_some_and(|voters| voters.iter().filter(votes).count() >= score.sights.quorum())
            }
        })
    }
}
