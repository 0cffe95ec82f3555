//! The agent `ip`: an address that moves.
//!
//! What happens at a start, in this order:
//!
//! 1. Is somebody else answering for the address? (RFC 5227 for IPv4, RFC 4862 for IPv6; a few
//!    milliseconds, see `detect`.) Meanwhile the gate begins to manage it, closed.
//! 2. The address is added, with a lifetime of few seconds that we keep extending.
//! 3. The gate opens.
//! 4. Everybody on the link is told, at once and a few times more over the next seconds.
//!
//! After that one thread watches: an address that somebody removes is put back and announced
//! again, an interface that loses its carrier is reported.
//!
//! With another guard than `lease` there is neither gate nor lifetime: then something else makes
//! sure that only one node has it.

mod route;
mod speaker;
mod wanted;
mod watch;
mod wire;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, OnceLock},
};

use heart_model::{AgentInfo, Outcome, ResourceName, ResourceSpec, builtin_agent};

use crate::{
    agent::{Agent, Job, Stop},
    gate::Gate,
    lease::{self, LeaseView},
    notice::NoticeSender,
    wait::Bell,
};
use route::{Addition, Held, Route};
use speaker::Speaker;
use wanted::{Placed, Wanted};
use watch::Owned;

/// What the lifetime of an address is longer than the lease, at least.
const LIFETIME_SPARE_SECONDS: u64 = 1;

/// The agent. Its sockets are opened, and its threads started, with the first address.
pub struct IpAgent {
    lease: Arc<dyn LeaseView>,
    wake: Mutex<Option<OwnedFd>>,
    notices: NoticeSender,
    gate: Mutex<Option<Arc<Gate>>>,
    desk: OnceLock<Arc<Desk>>,
}

/// What operations and the watching thread share.
struct Desk {
    lease: Arc<dyn LeaseView>,
    notices: NoticeSender,
    route: Mutex<Route>,
    speaker: Speaker,
    /// What is on this node. Whoever needs both locks takes this one first.
    owned: Mutex<BTreeMap<ResourceName, Owned>>,
    bell: Bell,
}

impl IpAgent {
    /// Makes the agent. `wake`: see [`Gate::start`].
    #[must_use]
    pub fn new(lease: Arc<dyn LeaseView>, wake: Option<OwnedFd>, notices: NoticeSender) -> IpAgent {
        let (gate, desk) = (Mutex::default(), OnceLock::new());
        IpAgent { lease, wake: Mutex::new(wake), notices, gate, desk }
    }

    /// Takes up the gate for addresses that are on this node since an earlier executor: all of
    /// them in one go, before the first is adopted, as installing the gate replaces all of it.
    ///
    /// # Errors
    /// When the gate cannot be had; then the addresses stay as they are.
    pub fn reclaim<'a>(&self, specs: impl IntoIterator<Item = &'a ResourceSpec>) -> io::Result<()> {
        let guarded =
            specs.into_iter().filter_map(|spec| Wanted::read(spec).ok()).filter(|wanted| wanted.guarded);
        let addresses: Vec<IpAddr> = guarded.map(|wanted| wanted.address).collect();
        if addresses.is_empty() {
            return Ok(());
        }
        self.gate()?.reclaim(&addresses)
    }

    /// Closes the gate for these addresses in one transaction, before they are removed.
    pub fn cut<'a>(&self, specs: impl IntoIterator<Item = &'a ResourceSpec>) {
        let gate = self.gate.lock().expect("no holder of this lock can panic").clone();
        let addresses: Vec<IpAddr> = specs
            .into_iter()
            .filter_map(|spec| Wanted::read(spec).ok())
            .map(|wanted| wanted.address)
            .collect();
        if let Some(gate) = gate
            && let Err(error) = gate.close(&addresses)
        {
            tracing::error!("the gate cannot be closed, it closes with the lease: {error}");
        }
    }

    fn gate(&self) -> io::Result<Arc<Gate>> {
        let mut gate = self.gate.lock().expect("no holder of this lock can panic");
        if let Some(gate) = &*gate {
            return Ok(Arc::clone(gate));
        }
        let wake = self.wake.lock().expect("no holder of this lock can panic").take();
        let started = Arc::new(Gate::start(Arc::clone(&self.lease), wake)?);
        Ok(Arc::clone(gate.insert(started)))
    }

    fn desk(&self) -> io::Result<&Arc<Desk>> {
        if let Some(desk) = self.desk.get() {
            return Ok(desk);
        }
        let desk = Arc::new(Desk {
            lease: Arc::clone(&self.lease),
            notices: self.notices.clone(),
            route: Mutex::new(Route::open()?),
            speaker: Speaker::open()?,
            owned: Mutex::default(),
            bell: Bell::new()?,
        });
        let events = route::events()?;
        if self.desk.set(Arc::clone(&desk)).is_ok() {
            watch::start(desk, events)?;
        }
        self.desk.get().ok_or_else(|| io::Error::other("the desk was set just now"))
    }

    /// What every operation needs first.
    fn prepare(&self, job: &Job<'_>) -> Result<(&Arc<Desk>, Wanted), Outcome> {
        let wanted = Wanted::read(job.spec).map_err(Outcome::Misconfigured)?;
        let desk = self.desk().map_err(|error| {
            Outcome::Unable(format!("cannot open sockets to manage addresses (root needed): {error}"))
        })?;
        Ok((desk, wanted))
    }

    fn try_start(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let (desk, wanted) = self.prepare(job)?;
        let (placed, here) = desk.find(&wanted)?;
        let gate = if wanted.guarded { Some(self.gate_for_start()?) } else { None };
        let mut managed = Ok(());
        let holder = if here {
            managed = manage(gate.as_deref(), &wanted);
            None
        } else {
            let meanwhile = || managed = manage(gate.as_deref(), &wanted);
            let detected =
                desk.speaker.detect(&placed.interface, wanted.address, wanted.detect, job.cancel, meanwhile);
            detected
                .map_err(|error| failed("ask the link for the address", &placed.interface.name, &error))?
        };
        managed.map_err(|error| failed("close the gate for the address", "the packet filter", &error))?;
        let settled = match holder {
            Some(holder) => Err(Outcome::Failed(format!(
                "{holder} answers for {} on {}: find that host, or switch this check off with `detect = false`",
                wanted.address, placed.interface.name
            ))),
            None if job.is_over() => Err(Outcome::TimedOut),
            None => desk.settle(job, &wanted, &placed, gate.clone()),
        };
        if settled.is_err() && !here {
            desk.withdraw(&wanted, placed.interface.index, gate.as_deref());
        }
        settled
    }

    fn gate_for_start(&self) -> Result<Arc<Gate>, Outcome> {
        if lease::remaining(&*self.lease).is_zero() {
            return Err(Outcome::Refused("this node has no lease".to_owned()));
        }
        self.gate().map_err(|error| {
            Outcome::Unable(format!(
                "the kernel offers no packet filter (nftables) to guard the address with: {error}; \
                 load nf_tables, or give the resource the guard `fence`"
            ))
        })
    }

    fn try_stop(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let (desk, wanted) = self.prepare(job)?;
        let gate = self.gate.lock().expect("no holder of this lock can panic").clone();
        desk.owned().remove(job.resource);
        if let Some(gate) = &gate {
            // What cannot be closed is removed below, and closes by itself besides.
            gate.close(&[wanted.address]).ok();
        }
        let places = desk.route().places_of(wanted.address).map_err(|error| kernel_says(&error))?;
        for held in places {
            desk.route().delete(held).map_err(|error| {
                Outcome::Failed(format!("the kernel does not take {} away: {error}", wanted.address))
            })?;
        }
        if let Some(gate) = &gate {
            gate.forget(&[wanted.address]).map_err(|error| {
                Outcome::Failed(format!(
                    "{} is gone, but its gate cannot be removed: {error}",
                    wanted.address
                ))
            })?;
        }
        Ok(())
    }

    fn try_status(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let (desk, wanted) = self.prepare(job)?;
        let places = desk.route().places_of(wanted.address).map_err(|error| kernel_says(&error))?;
        let Some(held) = places.first() else { return Err(Outcome::NotRunning) };
        let interface = desk.route().interface(held.interface).map_err(|error| kernel_says(&error))?;
        let interface = interface.ok_or(Outcome::NotRunning)?;
        if wanted.interface.as_ref().is_some_and(|name| *name != interface.name) {
            return Err(Outcome::Failed(format!("{} is on {} instead", wanted.address, interface.name)));
        }
        match interface.trouble() {
            Some(trouble) => Err(Outcome::Failed(trouble)),
            None => Ok(()),
        }
    }
}

impl Desk {
    fn owned(&self) -> std::sync::MutexGuard<'_, BTreeMap<ResourceName, Owned>> {
        self.owned.lock().expect("no holder of this lock can panic")
    }

    fn route(&self) -> std::sync::MutexGuard<'_, Route> {
        self.route.lock().expect("no holder of this lock can panic")
    }

    /// Where the address belongs, and whether it is there already.
    fn find(&self, wanted: &Wanted) -> Result<(Placed, bool), Outcome> {
        let mut route = self.route();
        let places = route.places_of(wanted.address).map_err(|error| kernel_says(&error))?;
        let mut wanted = wanted.clone();
        if let Some(held) = places.first() {
            // It is there: its place says what was not written.
            wanted.prefix = wanted.prefix.or(Some(held.prefix));
            if wanted.interface.is_none() {
                wanted.interface = route.interface(held.interface).ok().flatten().map(|found| found.name);
            }
        }
        let placed = wanted.find(&mut route)?;
        match places.iter().find(|held| held.interface != placed.interface.index) {
            Some(_) => Err(Outcome::Failed(format!(
                "{} is on another interface of this node already: `ip address` shows where; remove it there",
                wanted.address
            ))),
            None => Ok((placed, !places.is_empty())),
        }
    }

    /// Adds the address, opens the gate, tells everybody.
    fn settle(
        &self,
        job: &Job<'_>,
        wanted: &Wanted,
        placed: &Placed,
        gate: Option<Arc<Gate>>,
    ) -> Result<(), Outcome> {
        let mut owned = Owned::new(job.resource.clone(), wanted, placed, gate);
        owned.put(self).map_err(|error| failed("add the address", &placed.interface.name, &error))?;
        owned.open().map_err(|error| failed("open the gate for the address", "the packet filter", &error))?;
        owned.announce(self, &placed.interface);
        self.owned().insert(job.resource.clone(), owned);
        self.bell.ring();
        Ok(())
    }

    /// Undoes what a start that failed has done.
    fn withdraw(&self, wanted: &Wanted, interface: u32, gate: Option<&Gate>) {
        let places = self.route().places_of(wanted.address).unwrap_or_default();
        for held in places.into_iter().filter(|held| held.interface == interface) {
            if let Err(error) = self.route().delete(held) {
                tracing::error!("{} stays on this node, closed: {error}", wanted.address);
                return;
            }
        }
        if let Some(gate) = gate
            && let Err(error) = gate.forget(&[wanted.address])
        {
            tracing::error!("the gate of {} stays, closed: {error}", wanted.address);
        }
    }

    /// The lifetime that an address gets now: it covers the lease, in whole seconds.
    fn lifetime(&self) -> u32 {
        let left = lease::remaining(&*self.lease).as_secs() + 1 + LIFETIME_SPARE_SECONDS;
        u32::try_from(left).unwrap_or(u32::MAX - 1)
    }

    fn addition<'a>(&self, owned: &'a Owned) -> Addition<'a> {
        Addition {
            address: owned.held.address,
            prefix: owned.held.prefix,
            interface: owned.held.interface,
            broadcast: owned.broadcast,
            label: owned.label.as_deref(),
            lifetime: owned.gate.is_some().then(|| self.lifetime()),
        }
    }
}

fn manage(gate: Option<&Gate>, wanted: &Wanted) -> io::Result<()> {
    gate.map_or(Ok(()), |gate| gate.manage(&[wanted.address]))
}

fn failed(what: &str, whom: &str, error: &io::Error) -> Outcome {
    Outcome::Failed(format!("cannot {what}: {whom} says: {error}"))
}

fn kernel_says(error: &io::Error) -> Outcome {
    Outcome::Failed(format!("cannot ask the kernel for its addresses: {error}"))
}

fn outcome(result: Result<(), Outcome>) -> Outcome {
    result.err().unwrap_or(Outcome::Done)
}

impl Agent for IpAgent {
    fn start(&self, job: &Job<'_>) -> Outcome {
        outcome(self.try_start(job))
    }

    fn stop(&self, job: &Job<'_>, _how: Stop) -> Outcome {
        outcome(self.try_stop(job))
    }

    fn status(&self, job: &Job<'_>) -> Outcome {
        outcome(self.try_status(job))
    }

    fn adopt(&self, job: &Job<'_>) -> Outcome {
        match self.try_status(job) {
            Ok(()) => self.start(job),
            Err(outcome) => outcome,
        }
    }

    fn info(&self) -> Result<AgentInfo, String> {
        builtin_agent("ip").ok_or_else(|| "the agent `ip` is not described".to_owned())
    }
}

impl From<&Owned> for Held {
    fn from(owned: &Owned) -> Held {
        owned.held
    }
}
