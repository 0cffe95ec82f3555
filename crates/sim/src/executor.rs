//! The executor of a simulated machine: what the one of the daemon promises, without agents.
//!
//! It refuses what is over (SAFETY rule 10): an epoch that was closed, a session that was let go, a
//! start without a lease. Its memory lies in `/run` and outlives the core.

use heart_model::{
    Act, Activity, Epoch, FromExecutor, Guard, Inventory, Moment, Order, Outcome, Report, ResourceName,
    ResourceSpec, Session, ToExecutor,
};
use heart_node::{
    core::Event as CoreEvent,
    plant::{Bug, is_planted},
};
use std::collections::BTreeMap;

use crate::{Broken, Machine, Nanos, Power, World, machine::Kernel, ms, world::Happening};

/// What it remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Executor {
    specs: BTreeMap<ResourceName, ResourceSpec>,
    known: BTreeMap<ResourceName, Inventory>,
    /// Up to which epoch a start is refused: a stop of it was begun.
    barred: BTreeMap<ResourceName, Epoch>,
    /// The last session of which everything was let go.
    over: Option<Session>,
    /// Nothing that a fence guards can be stopped, until the machine boots.
    pub(crate) sticks: bool,
}

/// What comes of an order.
#[derive(Debug)]
pub(crate) enum Obeyed {
    /// This is said, and nothing else happens.
    Said(FromExecutor),
    /// This is said, and the operation begins.
    Begun(FromExecutor),
}

impl Machine {
    /// What the executor knows of a resource.
    pub(crate) fn inventory(&self, resource: &ResourceName) -> Inventory {
        let guard = self.kernel.get(resource).map(|kernel| kernel.guard);
        let known = self.executor.known.get(resource).cloned();
        let nothing = || Inventory {
            resource: resource.clone(),
            epoch: Epoch(0),
            session: self.board.session(),
            activity: Activity::Stopped,
            closed: Epoch(0),
            slow: None,
            given_up: false,
            guard,
        };
        known.map_or_else(nothing, |known| Inventory { guard, ..known })
    }

    /// What guards a resource: by what it was started under, or will be as far as the executor was told.
    pub(crate) fn guard(&self, resource: &ResourceName) -> Guard {
        self.kernel.get(resource).map_or_else(|| self.guard_to_be(resource), |kernel| kernel.guard)
    }

    fn guard_to_be(&self, resource: &ResourceName) -> Guard {
        self.executor.specs.get(resource).map_or(Guard::Lease, |spec| spec.guard)
    }

    pub(crate) fn is_guarded_by_lease(&self, resource: &ResourceName) -> bool {
        self.guard(resource) == Guard::Lease
    }

    /// An order comes in.
    pub(crate) fn obey(&mut self, now: Nanos, order: &Order) -> Obeyed {
        let mut inventory = self.inventory(&order.resource);
        let report = |outcome: Outcome, resource: Inventory| {
            Obeyed::Said(FromExecutor::Report(Report { id: order.id, outcome, resource }))
        };
        match order.act {
            Act::Start => {
                if let Some(why) = self.refusal(now, order, &inventory) {
                    return report(Outcome::Refused(why.into()), inventory);
                }
                if inventory.activity == Activity::Running {
                    (inventory.epoch, inventory.session) = (order.epoch, order.session);
                    self.executor.known.insert(order.resource.clone(), inventory.clone());
                    self.kernel.entry(order.resource.clone()).and_modify(|kernel| kernel.epoch = order.epoch);
                    return report(Outcome::Done, inventory);
                }
                (inventory.epoch, inventory.session) = (order.epoch, order.session);
                inventory.activity = Activity::Starting;
            }
            Act::Stop => {
                let barred = self.executor.barred.entry(order.resource.clone()).or_default();
                *barred = order.epoch.max(*barred);
                if matches!(inventory.activity, Activity::Stopped) {
                    self.close(&order.resource, order.epoch);
                    return report(Outcome::Done, self.inventory(&order.resource));
                }
                inventory.activity = Activity::Stopping;
            }
        }
        self.executor.known.insert(order.resource.clone(), inventory.clone());
        Obeyed::Begun(FromExecutor::Changed(inventory))
    }

    fn refusal(&self, now: Nanos, order: &Order, inventory: &Inventory) -> Option<&'static str> {
        let over = self.executor.over.filter(|over| over.boot == order.session.boot);
        if over.is_some_and(|over| order.session.number <= over.number) {
            return Some("its session is over");
        }
        if matches!(inventory.activity, Activity::Failed(_)) {
            return Some("it has to be stopped first");
        }
        let left = self.now(now).at_least_until(self.board.lease_until());
        if self.is_guarded_by_lease(&order.resource) && left.is_zero() {
            return Some("there is no lease");
        }
        if self.is_barred(order, inventory) || order.epoch < inventory.epoch {
            return Some("its epoch is over");
        }
        if order.epoch > inventory.epoch && self.guard(&order.resource) != self.guard_to_be(&order.resource) {
            return Some("it runs under another guard");
        }
        None
    }

    fn is_barred(&self, order: &Order, inventory: &Inventory) -> bool {
        let barred = self.executor.barred.get(&order.resource).copied().unwrap_or_default();
        order.epoch <= barred.max(inventory.closed) && !is_planted(Bug::ClosedEpochStarts)
    }

    /// An operation ends. Whether it started something.
    pub(crate) fn perform(&mut self, now: Nanos, order: &Order, works: bool) -> (bool, FromExecutor) {
        let mut inventory = self.inventory(&order.resource);
        let report =
            |outcome: Outcome, resource| FromExecutor::Report(Report { id: order.id, outcome, resource });
        if order.act == Act::Stop {
            if self.sticks(&order.resource) {
                let why = self.stick(&order.resource);
                return (false, report(Outcome::Failed(why), self.inventory(&order.resource)));
            }
            self.close(&order.resource, order.epoch);
            return (false, report(Outcome::Done, self.inventory(&order.resource)));
        }
        if self.is_barred(order, &inventory) || inventory.epoch > order.epoch {
            return (false, report(Outcome::Refused("it was stopped before it ran".into()), inventory));
        }
        (inventory.epoch, inventory.session) = (order.epoch, order.session);
        let left = self.now(now).at_least_until(self.board.lease_until());
        let killed = self.is_guarded_by_lease(&order.resource) && left.is_zero();
        if killed || !works {
            let why = if killed { "its keeper ended it with the lease" } else { "it does not start" };
            inventory.activity = Activity::Failed(why.into());
            self.executor.known.insert(order.resource.clone(), inventory.clone());
            return (false, report(Outcome::Failed(why.into()), inventory));
        }
        inventory.activity = Activity::Running;
        let guard = self.guard(&order.resource);
        let open_until = (guard == Guard::Lease).then(Moment::default);
        let kernel = Kernel { present: true, guard, open_until, epoch: order.epoch };
        self.kernel.insert(order.resource.clone(), kernel);
        self.refresh_gates(now);
        inventory.guard = Some(guard);
        self.executor.known.insert(order.resource.clone(), inventory.clone());
        (true, report(Outcome::Done, inventory))
    }

    /// Whether something on this machine cannot be stopped until it boots.
    pub(crate) fn is_stuck(&self) -> bool {
        self.executor.sticks
    }

    /// Whether this is here, and cannot be stopped.
    fn sticks(&self, resource: &ResourceName) -> bool {
        let runs = self.kernel.get(resource).is_some_and(|kernel| kernel.present);
        self.executor.sticks && runs && !self.is_guarded_by_lease(resource)
    }

    /// A stop has failed, as often as it is tried.
    fn stick(&mut self, resource: &ResourceName) -> String {
        let mut inventory = self.inventory(resource);
        let why = "it does not end, whatever is done".to_owned();
        (inventory.activity, inventory.given_up) = (Activity::Stuck(why.clone()), true);
        self.executor.known.insert(resource.clone(), inventory);
        why
    }

    fn close(&mut self, resource: &ResourceName, epoch: Epoch) {
        let mut inventory = self.inventory(resource);
        self.kernel.remove(resource);
        (inventory.activity, inventory.guard) = (Activity::Stopped, None);
        inventory.closed = inventory.closed.max(epoch).max(inventory.epoch);
        self.executor.known.insert(resource.clone(), inventory);
    }

    /// Lets go of everything, or of what the lease guards.
    /// Says so when all of that is gone.
    pub(crate) fn let_go(&mut self, session: Session, everything: bool) -> Option<FromExecutor> {
        if everything {
            self.executor.over = Some(session);
        }
        let held: Vec<ResourceName> = self.executor.known.keys().cloned().collect();
        let mut all = true;
        for name in held {
            if self.sticks(&name) {
                self.stick(&name);
                all &= !everything;
            } else if everything || self.is_guarded_by_lease(&name) {
                let epoch = self.inventory(&name).epoch;
                self.close(&name, epoch);
            }
        }
        all.then_some(FromExecutor::LetGo { session })
    }

    /// What the executor knows, as it tells it.
    pub(crate) fn on_configure(&mut self, told: &ToExecutor) -> Option<FromExecutor> {
        match told {
            ToExecutor::Configure { resources } => {
                self.executor.specs = resources.iter().cloned().collect();
                None
            }
            ToExecutor::Inventory => {
                let all = self.executor.known.keys().map(|name| self.inventory(name));
                Some(FromExecutor::Inventory(all.collect()))
            }
            ToExecutor::Obey(_)
            | ToExecutor::LetGo { .. }
            | ToExecutor::Lease { .. }
            | ToExecutor::TieBreak(_)
            | ToExecutor::Fence(_)
            | ToExecutor::Spare { .. }
            | ToExecutor::Prove(_) => None,
        }
    }

    /// The service dies by itself; the executor notices.
    pub(crate) fn kill_service(&mut self, resource: &ResourceName) -> Option<FromExecutor> {
        self.kernel.remove(resource)?;
        let known = self.executor.known.get_mut(resource)?;
        known.activity = Activity::Failed("it died".into());
        Some(FromExecutor::Changed(known.clone()))
    }
}

impl World {
    /// An executor is done with what it was told.
    pub(crate) fn perform(&mut self, node: usize, boots: u64, order: Order) -> Result<(), Broken> {
        if self.machines[node].boots != boots || self.machines[node].power == Power::Off {
            return Ok(());
        }
        if let Some(at) = self.postpone(node, |machine| machine.executor_stalled_until) {
            self.push(at, Happening::Perform { node, boots, order });
            return Ok(());
        }
        let machine = &self.machines[node];
        let reached = !machine.shut_out || machine.is_guarded_by_lease(&order.resource);
        let works = reached && !self.broken_starts.contains(&node);
        let (started, said) = self.machines[node].perform(self.now, &order, works);
        if started {
            *self.starts.entry(order.resource.clone()).or_default() += 1;
            let timing = self.settings.spec.timing;
            self.claims
                .on_start(self.now, node, &order, &self.machines, &timing)
                .or_else(|broken| if self.tolerant { Ok(()) } else { Err(broken) })?;
            if !::core::mem::replace(&mut self.machines[node].gating, true) {
                self.push(self.now + ms(1), Happening::Gate { node, boots });
            }
        }
        self.look(Some(&order.resource))?;
        self.tell_core(node, CoreEvent::Executor(said));
        Ok(())
    }
}
