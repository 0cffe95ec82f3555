//! What the log says: the state that every node computes from the same entries.
//!
//! The leader proposes, but whether an entry holds is decided here, when it is applied, by rules
//! that look at nothing but the state before it. So a proposal that was overtaken by events, or of
//! a leader that had been replaced, changes nothing.
//!
//! Invariant: a resource has at most one live grant. It ends only by its holder's close, by a
//! takeover of the holder's session, or by a newer session of the holder (SAFETY rules 7, 8, 10).

mod entry;
mod eras;
mod failures;
mod fencing;
mod holds;
mod intents;
mod timeline;

use heart_model::{
    Activity, BootId, Duration, EndedMove, Epoch, Guard, Intent, LogIndex, NodeId, NodeName, ResourceName,
    Session, SessionNumber, Spec,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::plant::{Bug, is_planted};

pub use entry::{Change, Entry, NewGrant, VERSION, read, write};
pub use eras::{Forced, Without};
pub use fencing::{FenceLedger, Fencing};
pub(crate) use fencing::{addresses, attempts_max, devices, levels};
pub use holds::{Failovers, Hold, Losses};
pub use timeline::{Happened, TIMELINE_MAX, What};

/// How many lives of a node that are over are remembered. It is the leader that keeps out older ones, and those that were
/// never taken in.
const PAST_MAX: usize = 16;
/// Longest message that is kept with a failure, in bytes.
pub const MESSAGE_MAX: usize = 500;

/// A right to run a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who has it.
    pub node: NodeName,
    /// In which session.
    pub session: Session,
    /// Under which epoch.
    pub epoch: Epoch,
    /// What the holder does with it, as reported last.
    pub activity: Activity,
    /// Since when, by the leader's wall clock, in milliseconds since 1970.
    pub since: u64,
    /// What guards it there; none if the file changed that since the right was given: it may run either way.
    pub guard: Option<Guard>,
}

/// A session that was taken over while it held a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Whose.
    pub node: NodeName,
    /// Which.
    pub session: Session,
    /// What guarded the resource there: see [`Grant::guard`].
    pub guard: Option<Guard>,
}

/// What is waited for before something is taken from a holder: by what guards it there (see [`Grant::guard`]), and what
/// the file says now. What was started without a gate does not let go with its lease, whatever a later file says.
#[must_use]
pub fn waits_by(there: Option<Guard>, now: Guard) -> Guard {
    match (there, now) {
        (_, Guard::None) => Guard::None,
        (_, now) if is_planted(Bug::GuardOfToday) => now,
        (Some(guard), _) => guard,
        (None, _) => Guard::Fence,
    }
}

/// What the log says of one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceLedger {
    /// The last epoch that was given.
    pub epoch: Epoch,
    /// Who has the right to run it.
    pub grant: Option<Grant>,
    /// Sessions that were taken over while they held it: each must be known to have let go before
    /// it is started elsewhere.
    pub until_gone: Vec<Former>,
    /// The last node that held it, and in which session.
    pub last: Option<(NodeName, Session)>,
    /// Failures by node.
    pub failures: BTreeMap<NodeName, u32>,
    /// What was said of the last failure on each node.
    pub last_failure: BTreeMap<NodeName, String>,
    /// The last epoch of which a failure was counted.
    pub failed_epoch: Epoch,
    /// The last epoch that its holder closed in order.
    #[serde(default)]
    pub closed: Epoch,
    /// The last epoch under which its node was ordered off because it could not be stopped.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cost_a_node: Epoch,
    /// The last move that somebody asked for, if it ended before it was done.
    #[serde(default)]
    pub ended: Option<EndedMove>,
    /// How often it was taken over.
    #[serde(default)]
    pub failovers: Failovers,
}

fn is_none(epoch: &Epoch) -> bool {
    *epoch == Epoch(0)
}

/// What the log says of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeLedger {
    /// The session that may be given grants.
    pub session: Option<Session>,
    /// The last session that was taken over.
    pub taken_over: Option<Session>,
    /// The session in which it left in order, if it has not been back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Session>,
    /// Its last lives that are over, oldest first: what is heard of one of them was long on its way.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub past: VecDeque<BootId>,
    /// The session in which it took part when the file began to say that it resets itself, until it is in another one or
    /// says that its watchdog is armed: nobody knows that it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwatched: Option<Session>,
    /// What is known of switching it off.
    #[serde(default, flatten)]
    pub fence: FenceLedger,
    /// How often it was lost.
    #[serde(default, flatten)]
    pub losses: Losses,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The history this is the state of; zero before its first entry.
    pub era: u64,
    /// The histories that this one went on from, without some of their voters; oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub parents: VecDeque<u64>,
    /// Those of them from which this one went on by a person's word.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub overruled: BTreeSet<u64>,
    /// The last configuration of voters that every one of them has durably applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<u64>,
    /// The entry that last changed what decides between two halves.
    #[serde(default)]
    pub decides_since: LogIndex,
    /// The configuration in force.
    pub spec: Option<Spec>,
    /// The digest of the file it came from.
    pub digest: u64,
    /// The longest *lost-after* by which promises may have been made that still run: that of the
    /// configuration in force, or of one before it (SAFETY rule 2).
    #[serde(default)]
    pub promised: Duration,
    /// By node.
    pub nodes: BTreeMap<NodeName, NodeLedger>,
    /// By resource.
    pub resources: BTreeMap<ResourceName, ResourceLedger>,
    /// How often nodes were taken over, or something failed over.
    #[serde(default)]
    pub failovers: Failovers,
    /// What people asked for.
    pub intents: Vec<Intent>,
    /// The last incarnation that each node had, of those that were changed since the beginning: none is
    /// given twice (SAFETY rule 16).
    #[serde(default)]
    pub identities: BTreeMap<NodeId, u32>,
    /// What happened, oldest first.
    pub timeline: VecDeque<Happened>,
}

impl Ledger {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// When the bytes are no state of a version that this code understands.
    pub fn restore(bytes: &[u8]) -> Result<Ledger, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The state as a snapshot.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the state is plain data with text keys")
    }

    /// Applies an entry. Returns whether it held; what does not hold changes nothing.
    pub fn apply(&mut self, index: LogIndex, entry: &Entry) -> bool {
        let held = self.change(index, entry);
        if held {
            match &entry.change {
                Change::Configure { digest, .. } => {
                    self.note(index, entry.at, What::Configured { digest: *digest });
                }
                Change::Rest { .. } | Change::Settle { .. } => {}
                change => self.note(index, entry.at, What::Changed(change.clone())),
            }
        }
        self.check();
        held
    }

    /// The members were changed.
    pub fn on_members(
        &mut self,
        index: LogIndex,
        text: String,
        identities: impl Iterator<Item = (NodeId, u32)>,
    ) {
        self.on_identities(identities);
        // A change of members carries no clock: it came after whatever came before it.
        let at = self.timeline.back().map_or(0, |last| last.at);
        self.note(index, at, What::Members { text });
    }

    /// Members had these incarnations.
    pub fn on_identities(&mut self, identities: impl Iterator<Item = (NodeId, u32)>) {
        for (node, incarnation) in identities {
            let last = self.identities.entry(node).or_default();
            *last = incarnation.max(*last);
        }
    }

    fn change(&mut self, index: LogIndex, entry: &Entry) -> bool {
        match &entry.change {
            Change::Found { era, .. } => self.found(*era),
            Change::Configure { digest, spec } => self.configure(index, *digest, spec),
            Change::Admit { node, session } => self.admit(entry.at, node, *session),
            Change::Leave { node, session } => self.leave(node, *session),
            Change::LetGo { node, session } => self.let_go(node, *session),
            Change::Watched { node, session } => self.watched(node, *session),
            Change::TakeOver { node, session, grants } => self.take_over(entry.at, node, *session, grants),
            Change::Grant { grants } => self.grant_all(entry.at, grants),
            Change::Close { resource, epoch, grants } => self.close(entry.at, resource, *epoch, grants),
            Change::Report { resource, epoch, activity } => self.report(entry.at, resource, *epoch, activity),
            Change::Failure { resource, node, epoch, message } => self.fail(resource, node, *epoch, message),
            Change::Fence { node, boot, by, session, attempt } => {
                self.fence(entry.at, node, *boot, by, *session, *attempt)
            }
            Change::Fenced { node, boot, attempt, outcome } => self.fenced(node, *boot, *attempt, outcome),
            Change::ConfirmOff { node, boot, .. } => self.confirm_off(node, *boot),
            Change::FenceAgain { node, .. } => self.fence_again(node),
            Change::OrderOff { node, order } => self.order_off(node, order),
            Change::WithdrawOff { node, boot, .. } => self.withdraw_off(node, *boot),
            Change::OrderOn { node, .. } => self.order_on(node),
            Change::TurnedOn { node, attempt, failure } => self.turned_on(node, *attempt, failure.as_deref()),
            Change::Rest { digest } => self.rest(*digest),
            Change::Settle { configuration } => self.settle(*configuration),
            Change::Force(forced) => self.force(entry.at, forced),
            Change::Forgive { resource, node } => self.forgive(resource.as_ref(), node.as_ref()),
            Change::Release { resources, node } => self.release(resources, node.as_ref()),
            Change::Intend(intent) => self.intend(intent),
            Change::Withdraw(intent) => self.withdraw(intent),
            Change::End { intent, because } => self.end(index, intent, because),
        }
    }

    fn found(&mut self, era: u64) -> bool {
        let first = self.era == 0 && era != 0;
        if first {
            self.era = era;
        }
        first
    }

    fn configure(&mut self, index: LogIndex, digest: u64, spec: &Spec) -> bool {
        self.decide_by(index, spec);
        self.digest = digest;
        self.promised = self.promised.max(spec.timing.lost_after);
        self.guard_anew(spec);
        self.fence_longer(spec);
        self.watch_anew(spec);
        self.spec = Some(spec.clone());
        for name in spec.grantable().into_keys() {
            self.resources.entry(name).or_default();
        }
        for name in spec.nodes.keys() {
            self.nodes.entry(name.clone()).or_default();
        }
        self.withdraw_orders();
        true
    }

    /// What is held goes on as it was started, whatever guards it from now on. Who had it before starts nothing under another
    /// file: it has heard of the takeover before it hears of that.
    fn guard_anew(&mut self, spec: &Spec) {
        for (name, resource) in &mut self.resources {
            let Some(now) = spec.granted(name).map(|known| known.guard) else { continue };
            if let Some(grant) = &mut resource.grant {
                grant.guard.take_if(|guard| *guard != now);
            }
        }
    }

    fn rest(&mut self, digest: u64) -> bool {
        let Some(spec) = self.spec.as_ref().filter(|_| digest == self.digest) else { return false };
        self.promised = spec.timing.lost_after;
        true
    }

    fn admit(&mut self, at: u64, node: &NodeName, session: Session) -> bool {
        let Some(ledger) = self.nodes.get_mut(node) else { return false };
        if !ledger.lets_in(session) {
            return false;
        }
        ledger.fence = FenceLedger { attempts: ledger.fence.attempts, ..FenceLedger::default() };
        // What failed before a boot says nothing of what works after it.
        let rebooted = ledger.last_session().is_some_and(|known| known.boot != session.boot);
        // It held nothing that anybody had to take over, or was back too soon for that.
        if ledger.session.is_some_and(|known| known.boot != session.boot) {
            ledger.losses.count(at);
        }
        ledger.begin_life(session.boot);
        (ledger.session, ledger.left, ledger.unwatched) = (Some(session), None, None);
        for resource in self.resources.values_mut() {
            if rebooted {
                resource.failures.remove(node);
                resource.last_failure.remove(node);
            }
            if resource.grant.as_ref().is_some_and(|grant| grant.node == *node && grant.session != session) {
                resource.grant = None;
                resource.ended = None;
            }
            resource.until_gone.retain(|former| former.node != *node);
        }
        true
    }

    fn take_over(&mut self, at: u64, node: &NodeName, session: Session, grants: &[NewGrant]) -> bool {
        let Some(ledger) = self.nodes.get_mut(node) else { return false };
        if ledger.session != Some(session) || grants.iter().any(|grant| grant.node == *node) {
            return false;
        }
        ledger.session = None;
        ledger.taken_over = Some(session);
        ledger.losses.count(at);
        let mut held_some = false;
        for resource in self.resources.values_mut() {
            if let Some(grant) = resource.grant.take_if(|grant| grant.node == *node) {
                resource.ended = None;
                resource.until_gone.push(Former { node: grant.node, session, guard: grant.guard });
                held_some = true;
            }
        }
        if held_some {
            self.count_for_cluster(at);
        }
        self.grant_all(at, grants);
        true
    }

    /// Each grant holds or not by itself: what was overtaken by events is left out.
    fn grant_all(&mut self, at: u64, grants: &[NewGrant]) -> bool {
        let mut any = false;
        for grant in grants {
            any |= self.grant(at, grant);
        }
        any
    }

    fn grant(&mut self, at: u64, new: &NewGrant) -> bool {
        let session = self.nodes.get(&new.node).and_then(|node| node.session);
        let Some(resource) = self.resources.get(&new.resource) else { return false };
        if resource.grant.is_some() || new.epoch != resource.epoch.next() || session != Some(new.session) {
            return false;
        }
        self.count_failover(at, &new.resource, &new.node);
        let guard = self.spec.as_ref().and_then(|spec| spec.granted(&new.resource)).map(|known| known.guard);
        let Some(resource) = self.resources.get_mut(&new.resource) else { return false };
        resource.epoch = new.epoch;
        resource.last = Some((new.node.clone(), new.session));
        resource.grant = Some(Grant {
            node: new.node.clone(),
            session: new.session,
            epoch: new.epoch,
            activity: Activity::Stopped,
            since: at,
            guard,
        });
        true
    }

    fn close(&mut self, at: u64, resource: &ResourceName, epoch: Epoch, grants: &[NewGrant]) -> bool {
        let Some(ledger) = self.resources.get_mut(resource) else { return false };
        if ledger.grant.as_ref().is_none_or(|grant| grant.epoch != epoch) {
            return false;
        }
        ledger.grant = None;
        ledger.closed = epoch;
        self.grant_all(at, grants);
        self.forget_removed();
        true
    }

    /// A resource that is in no configuration any more and has no grant leaves the state.
    fn forget_removed(&mut self) {
        let Some(spec) = &self.spec else { return };
        self.resources.retain(|name, ledger| {
            spec.granted(name).is_some() || ledger.grant.is_some() || !ledger.until_gone.is_empty()
        });
    }

    fn report(&mut self, at: u64, resource: &ResourceName, epoch: Epoch, activity: &Activity) -> bool {
        let Some(ledger) = self.resources.get_mut(resource) else { return false };
        let Some(grant) = ledger.grant.as_mut().filter(|grant| grant.epoch == epoch) else { return false };
        if grant.activity == *activity {
            return false;
        }
        grant.activity = activity.clone();
        grant.since = at;
        if *activity == Activity::Running {
            // It runs, so whoever held it before was known to be gone.
            ledger.until_gone.clear();
        }
        true
    }

    /// Whether `node` holds this grant in this session.
    #[must_use]
    pub fn holds(&self, node: &NodeName, session: Session, resource: &ResourceName, epoch: Epoch) -> bool {
        let grant = self.resources.get(resource).and_then(|resource| resource.grant.as_ref());
        grant.is_some_and(|grant| grant.node == *node && grant.session == session && grant.epoch == epoch)
    }

    /// Sessions that were taken over, by node.
    pub fn taken_over(&self) -> impl Iterator<Item = (&NodeName, Session)> {
        self.nodes.iter().filter_map(|(name, node)| Some((name, node.taken_over?)))
    }

    /// Whether a session number of `boot` is new to `node`.
    #[must_use]
    pub fn next_session(&self, node: &NodeName, boot: BootId) -> SessionNumber {
        let known = self.nodes.get(node);
        let of_boot = |session: Option<Session>| {
            session.filter(|session| session.boot == boot).map(|session| session.number)
        };
        let last = known
            .and_then(|node| of_boot(node.session).max(of_boot(node.taken_over)).max(of_boot(node.left)));
        last.unwrap_or_default().next()
    }

    fn check(&self) {
        for (name, resource) in &self.resources {
            let Some(grant) = &resource.grant else { continue };
            assert!(grant.epoch <= resource.epoch, "{name}: a grant is never newer than the last one given");
            let session = self.nodes.get(&grant.node).and_then(|node| node.session);
            assert_eq!(session, Some(grant.session), "{name}: only an admitted session holds a grant");
        }
    }
}
