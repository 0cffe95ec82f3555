//! The heartbeat thread: real-time, and after its start without allocation, locks or disk.
//!
//! It performs what the [`Pulse`] asks for and decides nothing. What the core has to know goes
//! through a bounded queue and a bell; if the core does not keep up, pieces of its stream are
//! dropped like datagrams, but heartbeats go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
};

use heart_agents::{clock, wait::Bell};
use heart_model::{BootId, Duration, NodeId};
use heart_node::{
    board::Board,
    frame::{DATAGRAM_MAX, Datagram},
    pulse::{Action, Event, Pulse, Settings, Sighting},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::links::Links;
use crate::sys;

/// Priority of the thread among the real-time ones: above ordinary daemons, below the kernel's own.
const PRIORITY: i32 = 50;
/// What waits for the core at most.
pub(super) const QUEUE: usize = 512;
/// The shortest wait: the two clocks of a deadline never disagree by more for long.
const WAIT_MIN: Duration = Duration::from_micros(50);

/// What the heartbeat thread tells the core.
#[expect(clippy::large_enum_variant, reason = "the queue is allocated once, with room for datagrams")]
pub(super) enum Told {
    /// A piece of another core's stream.
    Segment {
        /// From whom.
        from: NodeId,
        /// In which life.
        boot: BootId,
        /// What.
        body: Datagram,
    },
    /// What is known of a node changed.
    Sight(Sighting),
}

/// What can be seen of the thread from outside.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// What was dropped because the core did not keep up.
    pub(super) dropped: AtomicU64,
}

pub(super) struct Thread {
    pub(super) board: &'static Board,
    pub(super) links: Links,
    pub(super) poke: Arc<Bell>,
    pub(super) queue: SyncSender<Told>,
    pub(super) bell: Arc<Bell>,
    pub(super) counters: Arc<Counters>,
}

/// Starts the thread.
pub(super) fn start(settings: Settings, thread: Thread) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("heartbeats".into()).spawn(move || {
        if let Err(error) = sys::become_real_time(PRIORITY) {
            tracing::warn!("heartbeats run without real-time priority, and may be late under load: {error}");
        }
        let pulse = Pulse::new(clock::now(), settings, thread.board);
        run(pulse, &thread);
    })
}

fn run(mut pulse: Pulse, thread: &Thread) -> ! {
    let mut actions = Vec::with_capacity(ACTIONS);
    let mut bytes = [0; DATAGRAM_MAX + 1];
    pulse.step(clock::now(), thread.board, Event::Wake, &mut actions);
    loop {
        let wait = perform(&pulse, thread, &mut actions);
        let mut fds: [Option<PollFd<'_>>; heart_model::LINKS_MAX + 1] =
            [const { None }; heart_model::LINKS_MAX + 1];
        let ready = wait_for(thread, wait, &mut fds);
        let mut any = false;
        for (link, _) in ready.iter().enumerate().take(thread.links.count()).filter(|(_, ready)| **ready) {
            // One datagram a turn: most of the time there is no second one, and asking costs as much.
            if let Some(length) = thread.links.receive(link, &mut bytes) {
                any = true;
                let event = Event::Datagram { link, bytes: &mut bytes[..length] };
                pulse.step(clock::now(), thread.board, event, &mut actions);
            }
        }
        if ready[thread.links.count()] {
            thread.poke.silence();
            any = true;
            pulse.step(clock::now(), thread.board, Event::Poke, &mut actions);
        }
        if !any {
            pulse.step(clock::now(), thread.board, Event::Wake, &mut actions);
        }
    }
}

/// Room for the actions of one turn, so that the list never grows.
const ACTIONS: usize = 1024;

fn wait_for<'a>(
    thread: &'a Thread,
    wait: Duration,
    fds: &mut [Option<PollFd<'a>>; heart_model::LINKS_MAX + 1],
) -> [bool; heart_model::LINKS_MAX + 1] {
    let count = thread.links.count();
    for (place, socket) in fds.iter_mut().zip(thread.links.sockets()) {
        *place = Some(PollFd::new(socket, PollFlags::IN));
    }
    // The array is filled without gaps; the rest repeats the bell and is not looked at.
    let bell = || PollFd::new(&*thread.poke, PollFlags::IN);
    let mut all: [PollFd<'a>; heart_model::LINKS_MAX + 1] =
        std::array::from_fn(|place| fds[place].take().unwrap_or_else(bell));
    let left = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    poll(&mut all[..=count], Some(&left)).ok();
    std::array::from_fn(|place| place <= count && !all[place].revents().is_empty())
}

/// Performs what was asked for; how long to wait afterwards.
fn perform(pulse: &Pulse, thread: &Thread, actions: &mut Vec<Action>) -> Duration {
    let mut wait = Duration::from_secs(1);
    let mut rings = false;
    send_beats(pulse, thread, actions);
    for action in actions.drain(..) {
        match action {
            Action::Beat { .. } => {}
            Action::Forward { to, datagram } => thread.links.send_all(to, datagram.bytes()),
            Action::Deliver { from, boot, body } => rings |= tell(thread, Told::Segment { from, boot, body }),
            Action::Sight(sighting) => rings |= tell(thread, Told::Sight(sighting)),
            Action::Lease => {}
            Action::WakeAt(at) => wait = clock::now().at_least_until(at).max(WAIT_MIN),
        }
    }
    if rings {
        thread.bell.ring();
    }
    wait
}

/// Sends the beats of all links to one node after the other, so that the copies for a node arrive
/// together and wake it once.
fn send_beats(pulse: &Pulse, thread: &Thread, actions: &[Action]) {
    let beats = || {
        actions.iter().filter_map(|action| match action {
            Action::Beat { link, datagram } => Some((*link, datagram)),
            _ => None,
        })
    };
    for slot in (0..pulse.size()).filter(|&slot| pulse.sends_to(slot)) {
        for (link, datagram) in beats().filter(|(link, _)| !thread.links.is_shared(*link)) {
            thread.links.send(link, slot, datagram.bytes());
        }
    }
    for (link, datagram) in beats().filter(|(link, _)| thread.links.is_shared(*link)) {
        thread.links.send(link, 0, datagram.bytes());
    }
}

fn tell(thread: &Thread, told: Told) -> bool {
    match thread.queue.try_send(told) {
        Ok(()) => true,
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
            thread.counters.dropped.fetch_add(1, Ordering::Relaxed);
            true
        }
    }
}
