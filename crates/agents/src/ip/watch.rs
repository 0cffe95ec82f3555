//! Keeping addresses where they are.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::AsFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use heart_model::ResourceName;

use super::{
    Desk,
    route::{Event, Held, Interface, read_event},
    wanted::{Placed, Wanted},
};
use crate::{gate::Gate, lease, netlink::Socket, notice::Happened, sys, wait};

/// When everybody is told again after the first time. Switches and hosts lose packets when a
/// network has just changed, and some look only later.
const ANNOUNCE_AFTER: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];
/// How often a removed address is put back within [`RESTORES_WITHIN`]. Whoever removes it more
/// often means it.
const RESTORES_MAX: u32 = 20;
const RESTORES_WITHIN: Duration = Duration::from_secs(10);
/// Real-time priority: below the gate.
const PRIORITY: i32 = 9;
/// How often the lifetime of an address is extended.
const EXTEND_EVERY: Duration = Duration::from_secs(1);
/// How long to wait before a change that the kernel refused is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Well,
    /// Reported as lost, and why; waits for a stop, or for the trouble to go.
    Lost(String),
}

/// One address of this node.
pub(super) struct Owned {
    resource: ResourceName,
    pub(super) held: Held,
    pub(super) broadcast: Option<Ipv4Addr>,
    pub(super) label: Option<String>,
    pub(super) gate: Option<Arc<Gate>>,
    standing: Standing,
    /// How many announcements of the series have been made, and when the series began.
    announced: (usize, Instant),
    extend_at: Option<Instant>,
    restores: u32,
    restores_since: Instant,
}

impl Owned {
    pub(super) fn new(
        resource: ResourceName,
        wanted: &Wanted,
        placed: &Placed,
        gate: Option<Arc<Gate>>,
    ) -> Owned {
        let now = Instant::now();
        Owned {
            resource,
            held: Held { address: wanted.address, prefix: placed.prefix, interface: placed.interface.index },
            broadcast: placed.broadcast,
            label: placed.label.clone(),
            extend_at: gate.is_some().then(|| now + EXTEND_EVERY),
            gate,
            standing: Standing::Well,
            announced: (ANNOUNCE_AFTER.len(), now),
            restores: 0,
            restores_since: now,
        }
    }

    /// Puts the address where it belongs, or extends its lifetime if it is there.
    pub(super) fn put(&mut self, desk: &Desk) -> io::Result<()> {
        let addition = desk.addition(self);
        let mut route = desk.route();
        match route.add_new(&addition) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => route.add(&addition),
            done => done,
        }
    }

    /// Lets it be reached.
    pub(super) fn open(&self) -> io::Result<()> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate.open(&[self.held.address]))
    }

    /// Tells everybody, and plans to do so again.
    pub(super) fn announce(&mut self, desk: &Desk, interface: &Interface) {
        self.announced = (0, Instant::now());
        self.announce_once(desk, interface);
    }

    fn announce_once(&self, desk: &Desk, interface: &Interface) {
        if let Some(gate) = &self.gate {
            if lease::remaining(&*desk.lease).is_zero() {
                return;
            }
            // Where the kernel cannot hold back our own packets, the look at the lease has to do.
            if let Err(error) = gate.announce(&interface.name) {
                tracing::debug!("announcements on {} are not shielded: {error}", interface.name);
            }
        }
        if let Err(error) = desk.speaker.announce(interface, self.held.address) {
            tracing::warn!("cannot announce {} on {}: {error}", self.held.address, interface.name);
        }
    }

    fn announce_at(&self) -> Option<Instant> {
        ANNOUNCE_AFTER.get(self.announced.0).map(|after| self.announced.1 + *after)
    }

    /// When something has to be done for it next.
    fn due(&self) -> Option<Instant> {
        [self.announce_at(), self.extend_at].into_iter().flatten().min()
    }

    /// Does what is due.
    fn tend(&mut self, desk: &Desk, now: Instant) {
        if self.announce_at().is_some_and(|at| now >= at) {
            self.announced.0 += 1;
            if let Ok(Some(interface)) = desk.route().interface(self.held.interface) {
                self.announce_once(desk, &interface);
            }
        }
        if self.extend_at.is_some_and(|at| now >= at) {
            self.extend(desk, now);
        }
    }

    /// Extends the lifetime, while there is a lease to extend it for.
    fn extend(&mut self, desk: &Desk, now: Instant) {
        self.extend_at = Some(now + EXTEND_EVERY);
        if self.standing != Standing::Well || lease::remaining(&*desk.lease).is_zero() {
            return;
        }
        if let Err(error) = desk.route().add(&desk.addition(self)) {
            tracing::warn!("cannot extend the lifetime of {}: {error}", self.held.address);
            self.extend_at = Some(now + AGAIN_AFTER);
        }
    }

    fn lose(&mut self, desk: &Desk, why: String) {
        if self.standing == Standing::Well {
            desk.notices.tell(&self.resource, Happened::Lost(why.clone()));
        }
        self.standing = Standing::Lost(why);
    }

    /// The address is gone: puts it back, if we still have the right to.
    fn restore(&mut self, desk: &Desk) {
        if self.gate.is_some() && lease::remaining(&*desk.lease).is_zero() {
            return self.lose(desk, "the lease is over, so the kernel took the address away".to_owned());
        }
        if self.restores_since.elapsed() > RESTORES_WITHIN {
            (self.restores, self.restores_since) = (0, Instant::now());
        }
        self.restores += 1;
        if self.restores > RESTORES_MAX {
            let message = format!(
                "somebody removed {} {RESTORES_MAX} times within {RESTORES_WITHIN:?}: find out who",
                self.held.address
            );
            return self.lose(desk, message);
        }
        let interface = desk.route().interface(self.held.interface).ok().flatten();
        let Some(interface) = interface else {
            return self.lose(desk, "its interface is gone".to_owned());
        };
        if let Some(trouble) = interface.trouble() {
            return self.lose(desk, trouble);
        }
        match self.put(desk).and_then(|()| self.open()) {
            Ok(()) => {
                self.announce(desk, &interface);
                self.standing = Standing::Well;
                let message = format!("{} was removed by somebody else and is back", self.held.address);
                desk.notices.tell(&self.resource, Happened::Restored(message));
            }
            Err(error) => {
                self.lose(desk, format!("{} was removed and cannot be put back: {error}", self.held.address));
            }
        }
    }

    /// Its interface changed.
    fn on_link(&mut self, desk: &Desk, interface: &Interface) {
        match (interface.trouble(), &self.standing) {
            (Some(trouble), Standing::Well) => self.lose(desk, trouble),
            // It works again: IPv6 addresses have vanished with the link, neighbours have forgotten.
            (None, Standing::Lost(_)) => self.restore(desk),
            (Some(_), Standing::Lost(_)) | (None, Standing::Well) => {}
        }
    }
}

/// Starts the thread that watches.
pub(super) fn start(desk: Arc<Desk>, mut events: Socket) -> io::Result<()> {
    thread::Builder::new().name("heart-ip".into()).spawn(move || {
        // The kernel takes an address away whose lifetime is not extended in time.
        if let Err(error) = sys::become_real_time(PRIORITY) {
            tracing::warn!(
                "addresses are kept without real-time priority, and may be lost under load: {error}"
            );
        }
        // It lives as long as the process, as the agent does.
        loop {
            if let Err(error) = turn(&desk, &mut events) {
                tracing::error!("cannot watch addresses, only polling notices their loss now: {error}");
                return;
            }
        }
    })?;
    Ok(())
}

/// Waits for something to do and does it.
fn turn(desk: &Desk, events: &mut Socket) -> io::Result<()> {
    let due = desk.owned().values().filter_map(Owned::due).min();
    wait::any(&[events.as_fd(), desk.bell.as_fd()], due)?;
    desk.bell.silence();
    let mut happened = Vec::new();
    let complete = events.drain(|message| happened.extend(read_event(message)))?;
    let mut owned = desk.owned();
    for event in happened {
        for owned in owned.values_mut() {
            obey(desk, owned, &event);
        }
    }
    if !complete {
        owned.values_mut().for_each(|owned| look(desk, owned));
    }
    let now = Instant::now();
    owned.values_mut().for_each(|owned| owned.tend(desk, now));
    Ok(())
}

fn obey(desk: &Desk, owned: &mut Owned, event: &Event) {
    match event {
        Event::Removed(held) if *held == owned.held => look(desk, owned),
        Event::Link(interface) if interface.index == owned.held.interface => owned.on_link(desk, interface),
        Event::LinkGone(index) if *index == owned.held.interface => {
            owned.lose(desk, "its interface is gone".to_owned());
        }
        Event::Removed(_) | Event::Link(_) | Event::LinkGone(_) | Event::Added(_) => {}
    }
}

/// Looks whether the address is really gone: the event may be older than what was done since.
fn look(desk: &Desk, owned: &mut Owned) {
    let places = desk.route().places_of(owned.held.address);
    if places.is_ok_and(|places| !places.contains(&owned.held)) {
        owned.restore(desk);
    }
}
