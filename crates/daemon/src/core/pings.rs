//! Asks ping targets, and hears what they answer: drives [`Pinger`] with sockets.
//!
//! It is here, in the core's process, because the core has to ask and be answered within milliseconds, and needs
//! nothing more for it than two sockets, which are opened before it gives up the rights of root. A thread of its own,
//! of no priority: neither heartbeats nor the core ever wait for it. It decides nothing; see [`heart_node::pinger`].

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use heart_agents::{
    clock,
    wait::{self, Bell},
};
use heart_model::{Moment, PingChange, PingOrder};
use heart_node::pinger::{Action, Event, Pinger};

use crate::echo::{Mark, Sockets};

/// Orders and findings that wait for somebody; the core gives one order a second.
const QUEUE: usize = 64;
/// Answers that are taken from one socket before everything else has its turn.
const ANSWERS_MAX: usize = 64;
/// Longest wait, so that it is noticed that the core is gone.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The near end.
pub(super) struct Pings {
    /// What was found out.
    pub(super) changes: Receiver<PingChange>,
    orders: SyncSender<PingOrder>,
    wake: Arc<Bell>,
}

impl Pings {
    /// Never waits. Should the thread take no order for a minute, it is stuck, and nothing is known of any target.
    pub(super) fn order(&self, order: PingOrder) {
        if let Err(error) = self.orders.try_send(order) {
            tracing::warn!("what pings the ping targets takes no orders any more: {error}");
        }
        self.wake.ring();
    }
}

/// Starts the thread; `bell` rings when something was found out.
///
/// # Errors
/// When the kernel gives no chance, no bell or no thread.
pub(super) fn start(sockets: Sockets, bell: Arc<Bell>) -> anyhow::Result<Pings> {
    let mark = Mark::draw().context("cannot draw a number for pings")?;
    let wake = Arc::new(Bell::new()?);
    let (orders, wanted) = sync_channel(QUEUE);
    let (say, changes) = sync_channel(QUEUE);
    let thread = Thread { sockets, mark, wanted, say, wake: Arc::clone(&wake), bell };
    let name = thread::Builder::new().name("pings".into());
    name.spawn(move || thread.run()).context("cannot start a thread that pings")?;
    Ok(Pings { changes, orders, wake })
}

struct Thread {
    sockets: Sockets,
    mark: Mark,
    wanted: Receiver<PingOrder>,
    say: SyncSender<PingChange>,
    wake: Arc<Bell>,
    bell: Arc<Bell>,
}

impl Thread {
    /// Ends with the core, which takes nothing more then.
    fn run(self) {
        let mut pinger = Pinger::default();
        let mut wake_at = clock::now();
        loop {
            let wait = clock::now().wait_until(wake_at).min(WAIT_MAX);
            let sockets = self.sockets.all.iter().map(|socket| socket.fd.as_fd());
            let fds: Vec<BorrowedFd<'_>> = sockets.chain([self.wake.as_fd()]).collect();
            if wait::any(&fds, Some(Instant::now() + wait)).is_err() {
                return;
            }
            self.wake.silence();
            let mut events = Vec::new();
            loop {
                match self.wanted.try_recv() {
                    Ok(order) => events.push(Event::Order(order)),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            events.extend(self.answers());
            events.push(Event::Wake);
            for event in events {
                match self.perform(clock::now(), &mut pinger, event) {
                    Some(Some(at)) => wake_at = at,
                    Some(None) => wake_at = clock::now().after(WAIT_MAX),
                    None => return,
                }
            }
        }
    }

    fn answers(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for socket in &self.sockets.all {
            for _ in 0..ANSWERS_MAX {
                match socket.hear(self.mark) {
                    Ok(Some((host, sequence))) => events.push(Event::Answer { host, sequence }),
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // What a host refuses is told here too, once.
                    Err(_) => break,
                }
            }
        }
        events
    }

    /// When to wake next, if at all; nothing if the core is gone.
    fn perform(&self, now: Moment, pinger: &mut Pinger, event: Event) -> Option<Option<Moment>> {
        if let (Event::Order(PingOrder::Watch(targets)), true) = (&event, self.sockets.all.is_empty())
            && !targets.is_empty()
        {
            self.tell(PingChange::Blind(self.sockets.refused.join("; ")))?;
        }
        let mut wake_at = None;
        for action in pinger.step(now, event) {
            match action {
                Action::Ask { host, sequence } => {
                    let socket = self.sockets.of(host);
                    socket.into_iter().for_each(|one| one.ask(host, self.mark, sequence));
                }
                // Without a socket nothing is found out.
                Action::Tell(_) if self.sockets.all.is_empty() => {}
                Action::Tell(change) => self.tell(change)?,
                Action::WakeAt(at) => wake_at = Some(at),
            }
        }
        Some(wake_at)
    }

    fn tell(&self, change: PingChange) -> Option<()> {
        self.say.send(change).ok()?;
        self.bell.ring();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{Name, PingSpec};
    use std::{
        collections::BTreeMap,
        net::{IpAddr, Ipv4Addr, Ipv6Addr},
    };

    /// The loopback answers; an address that was never given away does not.
    #[test]
    fn a_host_that_answers_is_told_from_one_that_does_not() {
        let sockets = Sockets::open();
        if sockets.all.len() < 2 {
            println!("skipped: this user may not ping: {:?}", sockets.refused);
            return;
        }
        let bell = Arc::new(Bell::new().unwrap());
        let pings = start(sockets, Arc::clone(&bell)).unwrap();
        let (interval, lost_after) = (Duration::from_millis(200), Duration::from_millis(600));
        let target = |hosts: Vec<IpAddr>| PingSpec { hosts, interval, lost_after };
        let name = |text: &str| Name::new(text).unwrap();
        let nobody = IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255));
        let mut targets = BTreeMap::from([
            (name("four"), target(vec![nobody, Ipv4Addr::LOCALHOST.into()])),
            (name("nobody"), target(vec![IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1))])),
        ]);
        // Not every machine has IPv6.
        if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            targets.insert(name("six"), target(vec![Ipv6Addr::LOCALHOST.into()]));
        }
        let mut left = targets.len();
        pings.order(PingOrder::Watch(targets));
        while left > 0 {
            match pings.changes.recv_timeout(Duration::from_secs(60)).expect("it is told of each") {
                PingChange::Reached(target) => assert_ne!(target, name("nobody")),
                PingChange::Missed(target) => assert_eq!(target, name("nobody")),
                other => panic!("{other:?}"),
            }
            left -= 1;
        }
        pings.order(PingOrder::Ask(7));
        let answered = pings.changes.recv_timeout(Duration::from_secs(60));
        assert_eq!(answered, Ok(PingChange::Answered(7)));
    }
}
