//! The thread that keeps the gate.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use heart_model::Moment;
use rustix::{
    net::netlink,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};

use super::{
    Request, Wish,
    nft::{self, ARP, INET, NETDEV, Opening, TABLE},
};
use crate::{
    clock,
    lease::LeaseView,
    netlink::{Batch, Socket, attributes},
    sys,
    wait::{self, Bell},
};

/// The group that hears of changes in the packet filter: `NFNLGRP_NFTABLES`.
const EVENTS: u32 = 1 << (7 - 1);
/// How late a refresh may come before the gate closes. It is not asked for earlier than that needs,
/// as each is a transaction of the packet filter: this thread is real-time, and what delays it for
/// longer has stopped the whole machine.
const RESERVE: Duration = Duration::from_millis(100);
/// The part of an opening after which it is refreshed at the earliest, however short it is: with two
/// more of them in reserve.
const REFRESHES_PER_OPENING: u32 = 3;
/// The gate is not refreshed more often than this.
const REFRESH_EVERY_MIN: Duration = Duration::from_millis(2);
/// How often a lease that is over is looked at, if nobody wakes us.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Real-time priority: below the heartbeat, above everybody else.
const PRIORITY: i32 = 10;
/// Whoever removes our tables again and again is answered at most this often.
const REINSTALL_EVERY_MIN: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Closed,
    Open,
}

/// Everything the gate's thread knows.
pub(super) struct Warden {
    lease: Arc<dyn LeaseView>,
    wake: Option<OwnedFd>,
    bell: Arc<Bell>,
    requests: Socket,
    events: Socket,
    /// Becomes readable when somebody sets the time of day: all deadlines are wrong then.
    clock_set: OwnedFd,
    batch: Batch,
    doors: BTreeMap<IpAddr, Door>,
    shields: BTreeSet<String>,
    installed: bool,
    reinstalled_at: Option<Instant>,
    /// The end of the lease that the kernel was told last.
    told: Option<Moment>,
    /// When to look at the lease again; nothing is open without it.
    look_at: Option<Instant>,
}

impl Warden {
    pub(super) fn new(
        lease: Arc<dyn LeaseView>,
        wake: Option<OwnedFd>,
        bell: Arc<Bell>,
    ) -> io::Result<Warden> {
        let requests = Socket::open(Some(netlink::NETFILTER), 0)?;
        let events = Socket::open(Some(netlink::NETFILTER), EVENTS)?;
        sys::hear_others_only(events.as_fd(), requests.port())?;
        let warden = Warden {
            lease,
            wake,
            bell,
            requests,
            events,
            clock_set: watch_clock()?,
            batch: Batch::default(),
            doors: BTreeMap::new(),
            shields: BTreeSet::new(),
            installed: false,
            reinstalled_at: None,
            told: None,
            look_at: None,
        };
        Ok(warden)
    }

    /// Serves until nobody can ask any more.
    pub(super) fn run(&mut self, inbox: &mpsc::Receiver<Request>) {
        if let Err(error) = sys::become_real_time(PRIORITY) {
            tracing::warn!("the gate runs without real-time priority, refreshes may be late: {error}");
        }
        loop {
            if let Err(error) = self.wait() {
                tracing::error!("the gate cannot wait for events: {error}");
            }
            self.bell.silence();
            if self.serve(inbox) == Served::Over {
                return;
            }
            self.hear();
            if self.look_at.is_some_and(|at| Instant::now() >= at) {
                self.refresh();
            }
        }
    }

    /// Waits until there is something to do, and takes note of what is level-triggered.
    fn wait(&mut self) -> io::Result<()> {
        let mut fds = vec![self.bell.as_fd(), self.events.as_fd(), self.clock_set.as_fd()];
        fds.extend(self.wake.as_ref().map(AsFd::as_fd));
        let ready = wait::any(&fds, self.look_at)?;
        let woken = ready.get(3).copied().unwrap_or_default();
        if ready[2] {
            self.clock_set = watch_clock()?;
            self.told = None;
        }
        if let Some(wake) = self.wake.as_ref().filter(|_| woken) {
            rustix::io::read(wake, &mut [0u8; 8]).ok();
        }
        if self.look_at.is_some() && (ready[2] || woken) {
            self.look_at = Some(Instant::now());
        }
        Ok(())
    }

    fn serve(&mut self, inbox: &mpsc::Receiver<Request>) -> Served {
        // Bounded by the channel's capacity, as askers wait for their answers.
        loop {
            match inbox.try_recv() {
                Ok(Request { wish, answer }) => {
                    // An asker that has gone does not want to know.
                    answer.send(self.fulfil(&wish)).ok();
                }
                Err(mpsc::TryRecvError::Empty) => return Served::All,
                Err(mpsc::TryRecvError::Disconnected) => return Served::Over,
            }
        }
    }

    fn fulfil(&mut self, wish: &Wish) -> io::Result<()> {
        match wish {
            Wish::Manage(addresses) => self.manage(addresses),
            Wish::Reclaim(addresses) => self.reclaim(addresses),
            Wish::Open(addresses) => self.open(addresses),
            Wish::Close(addresses) => self.close(addresses),
            Wish::Forget(addresses) => self.forget(addresses),
            Wish::Announce(interface) => self.announce(interface),
            Wish::Uninstall => self.uninstall(),
        }
    }

    pub(super) fn manage(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let before = self.doors.clone();
        for address in addresses {
            self.doors.entry(*address).or_insert(Door::Closed);
        }
        let done = if self.installed {
            let new: Vec<_> = addresses.iter().filter(|new| !before.contains_key(new)).copied().collect();
            self.transact(|batch| nft::manage(batch, &new))
        } else {
            self.install()
        };
        if done.is_err() {
            self.doors = before;
        }
        done
    }

    fn reclaim(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        self.mark(addresses, Door::Open);
        self.install()
    }

    pub(super) fn open(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        if let Some(stranger) = addresses.iter().find(|address| !self.doors.contains_key(address)) {
            return Err(io::Error::other(format!("the gate does not manage {stranger}")));
        }
        let closed = self.that_are(addresses, Door::Closed);
        let opening = self.opening().ok_or_else(no_lease)?;
        self.mark(&closed, Door::Open);
        let until = self.lease.until();
        let done = self.transact(|batch| {
            nft::open(batch, &closed);
            nft::refresh(batch, opening);
        });
        match done {
            Ok(()) => self.plan_next(until),
            Err(_) => self.mark(&closed, Door::Closed),
        }
        done
    }

    fn close(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let open = self.that_are(addresses, Door::Open);
        self.mark(&open, Door::Closed);
        let done = self.transact(|batch| nft::close(batch, &open));
        if self.doors.values().all(|door| *door == Door::Closed) {
            self.look_at = None;
        }
        done
    }

    fn forget(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        self.close(addresses)?;
        let known = self.that_are(addresses, Door::Closed);
        self.doors.retain(|address, _| !known.contains(address));
        self.transact(|batch| nft::forget(batch, &known))
    }

    pub(super) fn announce(&mut self, interface: &str) -> io::Result<()> {
        let opening = self.opening().ok_or_else(no_lease)?;
        self.shields.insert(interface.to_owned());
        self.attempt(|batch| nft::shield(batch, interface, opening.deadline))
    }

    fn uninstall(&mut self) -> io::Result<()> {
        self.doors.clear();
        self.installed = false;
        self.look_at = None;
        self.attempt(|batch| {
            nft::uninstall(batch, INET);
            nft::uninstall(batch, ARP);
        })?;
        if std::mem::take(&mut self.shields).is_empty() {
            return Ok(());
        }
        self.attempt(|batch| nft::uninstall(batch, NETDEV))
    }

    fn that_are(&self, addresses: &[IpAddr], door: Door) -> Vec<IpAddr> {
        addresses.iter().filter(|address| self.doors.get(address) == Some(&door)).copied().collect()
    }

    fn mark(&mut self, addresses: &[IpAddr], door: Door) {
        for address in addresses {
            self.doors.insert(*address, door);
        }
    }

    /// Until when the gate may be open, reckoned now; `None` if there is no lease.
    pub(super) fn opening(&self) -> Option<Opening> {
        // The time of day is read first. If we are stopped between the two readings, the deadline
        // comes out too early, never too late.
        let today = clock::realtime();
        let left = clock::remaining(self.lease.until());
        let open = clock::for_kernel(left);
        let timeout_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let deadline = today.saturating_add(u64::try_from(open.as_nanos()).unwrap_or(u64::MAX));
        (timeout_ms > 0).then_some(Opening { deadline, timeout_ms })
    }

    /// What to tell the kernel if the lease was taken away before the end that it was told.
    fn shutting(&self) -> Option<Opening> {
        let told = self.told.filter(|told| !clock::now().may_have_reached(*told));
        told.map(|_| Opening { deadline: 0, timeout_ms: 1 })
    }

    /// Tells the kernel that the lease goes on, if it does.
    pub(super) fn refresh(&mut self) {
        let until = self.lease.until();
        if !self.installed {
            // Lease or not: without the tables everything would pass.
            return self.reinstall();
        }
        if self.doors.values().all(|door| *door == Door::Closed) {
            self.look_at = None;
            return;
        }
        if self.told == Some(until) {
            // The heartbeats have not earned more than the kernel knows.
            return self.plan_next(until);
        }
        let Some(opening) = self.opening().or_else(|| self.shutting()) else { return self.plan_next(until) };
        match self.transact(|batch| nft::refresh(batch, opening)) {
            Ok(()) => self.plan_next(until),
            Err(error) => {
                tracing::error!("the gate cannot be refreshed, it closes soon: {error}");
                self.look_at = Some(Instant::now() + REFRESH_EVERY_MIN);
            }
        }
    }

    fn plan_next(&mut self, until: Moment) {
        let left = clock::remaining(until);
        let wait = if left.is_zero() {
            LOOK_EVERY
        } else {
            let open = clock::for_kernel(left);
            wait::before(open, RESERVE, REFRESHES_PER_OPENING).max(REFRESH_EVERY_MIN)
        };
        self.told = Some(until);
        self.look_at = Some(Instant::now() + wait);
    }

    /// Hears what others did to the packet filter; puts back what they took from us.
    fn hear(&mut self) {
        let mut touched = false;
        let heard = self.events.drain(|message| {
            let ours = attributes(message.body, 4)
                .any(|(kind, value)| kind == 1 && value.strip_suffix(&[0]) == Some(TABLE.as_bytes()));
            touched |= ours;
        });
        // Events that were lost could have been ours.
        let touched = touched || !heard.unwrap_or_default();
        if !touched || !self.installed {
            return;
        }
        self.installed = false;
        // Whoever removes them again and again is answered at a bounded rate.
        match self.reinstalled_at.map(|at| at + REINSTALL_EVERY_MIN).filter(|at| Instant::now() < *at) {
            Some(at) => self.look_at = Some(at),
            None => self.reinstall(),
        }
    }

    fn reinstall(&mut self) {
        tracing::warn!("somebody changed the tables of the gate: they are put back");
        if let Err(error) = self.install() {
            tracing::error!("the gate cannot be put back: {error}");
            self.look_at = Some(Instant::now() + REINSTALL_EVERY_MIN);
        }
    }

    /// Installs everything anew, in one transaction.
    fn install(&mut self) -> io::Result<()> {
        self.reinstalled_at = Some(Instant::now());
        let managed: Vec<_> = self.doors.keys().copied().collect();
        let open = self.that_are(&managed, Door::Open);
        let opening = self.opening();
        let until = self.lease.until();
        self.attempt(|batch| {
            nft::install(batch);
            nft::manage(batch, &managed);
            nft::open(batch, &open);
            if let Some(opening) = opening {
                nft::refresh(batch, opening);
            }
        })?;
        self.installed = true;
        if open.is_empty() {
            self.look_at = None;
        } else {
            self.plan_next(until);
        }
        for interface in self.shields.clone() {
            // Closed until the next announcement; an interface that has gone needs none.
            if self.attempt(|batch| nft::shield(batch, &interface, 0)).is_err() {
                self.shields.remove(&interface);
            }
        }
        Ok(())
    }

    /// Changes what is installed. If that fails, the tables are not what we think: all anew.
    pub(super) fn transact(&mut self, fill: impl FnOnce(&mut Batch)) -> io::Result<()> {
        if !self.installed {
            return self.install();
        }
        self.attempt(fill).or_else(|error| {
            tracing::warn!("the gate's tables are not as they were left, they are put back: {error}");
            self.install()
        })
    }

    fn attempt(&mut self, fill: impl FnOnce(&mut Batch)) -> io::Result<()> {
        nft::begin(&mut self.batch);
        fill(&mut self.batch);
        match nft::commit(&mut self.batch) {
            true => self.requests.ask(&self.batch, 1, |_| ()),
            false => Ok(()),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Served {
    All,
    Over,
}

fn no_lease() -> io::Error {
    io::Error::other("this node has no lease, so the gate stays closed")
}

/// A timer that never ends, except when somebody sets the time of day.
fn watch_clock() -> io::Result<OwnedFd> {
    let timer = rustix::time::timerfd_create(
        TimerfdClockId::Realtime,
        TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
    )?;
    let never = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: i64::MAX / 1_000_000_000, tv_nsec: 0 },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    rustix::time::timerfd_settime(&timer, flags, &never)?;
    Ok(timer)
}
