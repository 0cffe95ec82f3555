//! What a node owes whose machine is reset by a watchdog: to say what it has, so that it is fed only as long as that
//! is in order; and if others take what it has by the clock, to start nothing without an armed watchdog, and to let
//! go when its lease is over.

use heart_model::{
    Act, Ailment, Guard, HealthChange, Inventory, Moment, NodeId, NodeSpec, Order, ResourceName, Spec, Term,
};
use std::collections::BTreeSet;

use super::{Core, Message, Out, is_held};
use crate::board::{Board, Held};

/// What the core remembers for the sake of the watchdog.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What the executor was told to start, and has not reported on.
    told: BTreeSet<ResourceName>,
    /// This node counts as sick because its watchdog is not armed.
    is_sick: bool,
    /// Which leader was told that it is armed, and of which configuration.
    told_armed: Option<((NodeId, Term, u64), u64)>,
}

impl Watched {
    /// The executor is told to do something.
    pub(super) fn on_told(&mut self, order: &Order) {
        if order.act == Act::Start {
            self.told.insert(order.resource.clone());
        }
    }

    /// The executor said how that ended.
    pub(super) fn on_report(&mut self, resource: &ResourceName) {
        self.told.remove(resource);
    }

    /// What an earlier executor was told, it has begun or never will; the next one says which.
    pub(super) fn on_executor_began(&mut self) {
        self.told.clear();
    }
}

impl Core {
    /// Whether others take what this node has by the clock alone, by what was agreed on or by what its own file says.
    pub(super) fn resets_itself(&self) -> bool {
        let specs = [self.ledger.spec.as_ref(), Some(&self.settings.spec)];
        let me = &self.settings.me;
        let here = specs.into_iter().flatten().filter_map(|spec| spec.nodes.get(me));
        here.into_iter().any(NodeSpec::resets_itself)
    }

    /// Whether what others may start by the clock is still held although the lease ended one lost-after ago: time to
    /// let go of all of it, so that nothing has to be reset.
    pub(super) fn is_overdue(&self, now: Moment, board: &Board) -> bool {
        self.resets_itself() && now.may_have_reached(board.lease_until().after(self.timing.lost_after))
    }

    /// Why this node must not start something that others would take from it by the clock.
    pub(super) fn unwatched(&self, board: &Board, resource: &ResourceName) -> Option<&'static str> {
        let exposed = self.is_behind_a_fence(resource) && self.resets_itself();
        (exposed && !board.is_watched()).then_some("its watchdog is not armed")
    }

    /// A node on whose watchdog others count is sick without it: what others may start by the clock is better off
    /// elsewhere.
    pub(super) fn mind_watchdog(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let is_sick = self.resets_itself() && !board.is_watched();
        if ::core::mem::replace(&mut self.watched.is_sick, is_sick) == is_sick {
            return;
        }
        let change = match is_sick {
            true => HealthChange::Began(Ailment::NoWatchdog, format!("{} is not in use", self.device())),
            false => HealthChange::Ended(Ailment::NoWatchdog),
        };
        self.on_health(now, change, out);
    }

    /// The watchdog was added to the file while this session took part: others count on it once they know that it is armed.
    pub(super) fn tell_armed(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let (session, digest) = (board.session(), self.ledger.digest);
        let own = self.ledger.nodes.get(&self.settings.me);
        let asked = own.is_some_and(|own| own.unwatched == Some(session)) && self.settings.digest == digest;
        let Some(leader) = self.told_leader.filter(|_| asked && board.is_watched()) else { return };
        if self.watched.told_armed.replace((leader, digest)) != Some((leader, digest)) {
            self.tell_leader(Message::Watched { session, digest }, now, out);
        }
    }

    /// The watchdog that this node's file names.
    fn device(&self) -> &str {
        let node = self.settings.spec.nodes.get(&self.settings.me);
        node.and_then(|node| node.watchdog.as_deref()).unwrap_or("a `watchdog`")
    }

    /// What is wrong with this node's watchdog, where it is not sick for that: each a sentence with what to do.
    pub(super) fn view_of_watchdog(&self, board: &Board) -> Vec<String> {
        let me = &self.settings.me;
        let Some(node) = self.settings.spec.nodes.get(me) else { return Vec::new() };
        let idle = (node.watchdog.is_some() && !board.is_watched() && !self.resets_itself()).then(|| {
            format!(
                "the watchdog of {me} ({}) is not armed: nothing resets {me} if Heart does not get on there; {}",
                self.device(),
                Ailment::NoWatchdog.remedy()
            )
        });
        let guest = (node.never_paused && board.is_guest()).then(|| {
            format!(
                "the file says that {me} is never paused, and it is a guest of a hypervisor: if that pauses it, what it \
                 runs may run twice; have the hypervisor switch it off (`fence`), and remove `never_paused`"
            )
        });
        guest.into_iter().chain(idle).collect()
    }

    /// Whether a fence guards this by what is agreed on, or by the file of this node.
    fn is_behind_a_fence(&self, resource: &ResourceName) -> bool {
        let agreed = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        // Of what nobody knows any more nobody knows what guarded it.
        let guard = |spec: &Spec| spec.granted(resource).map_or(Guard::Fence, |resource| resource.guard);
        [agreed, &self.settings.spec].into_iter().any(|spec| guard(spec) == Guard::Fence)
    }

    /// Says on the board what this node has. As long as the executor has not said what it has, what an earlier core
    /// knew counts as well.
    pub(super) fn show_held(&self, board: &Board) {
        board.set_agreed_lost_after(self.ledger.spec.as_ref().map(|spec| spec.timing.lost_after));
        let has = |inventory: &&Inventory| is_held(inventory);
        let held = || self.inventory.values().filter(has);
        // What was started behind a fence waits for one, whatever the file says since (SAFETY rule 7).
        let waited_for = |inventory: &Inventory| {
            inventory.guard == Some(Guard::Fence) || self.is_behind_a_fence(&inventory.resource)
        };
        let by_the_clock =
            || held().any(waited_for) || self.watched.told.iter().any(|name| self.is_behind_a_fence(name));
        let now = if held().next().is_none() && self.watched.told.is_empty() {
            Held::Nothing
        } else if self.resets_itself() && by_the_clock() {
            Held::TakenByTheClock
        } else {
            Held::Something
        };
        board.set_held(if self.executor_told { now } else { now.max(board.held()) });
    }
}
