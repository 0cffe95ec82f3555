//! The heartbeat thread: real-time, and after its start without allocation, locks or disk.
//!
//! It performs what the [`Pulse`] asks for and decides nothing. What the core has to know goes
//! through a bounded queue and a bell ([`News`]); if the core does not keep up, pieces of its stream are
//! dropped like datagrams and the newest of each node is kept, but heartbeats go on.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use heart_agents::{
    clock,
    wait::{Bell, timespec},
};
use heart_model::{Duration, LINKS_MAX, Moment};
use heart_node::{
    board::Board,
    frame::DATAGRAM_MAX,
    pulse::{Action, Event, Pulse, Settings},
};
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    links::{BATCH_MAX, Batch, Links},
    news::{AGAIN, News},
    patience::Patience,
};
use crate::sys;

/// Priority of the thread among the real-time ones: above ordinary daemons, below the kernel's own.
const PRIORITY: i32 = 50;
/// The shortest wait: the two clocks of a deadline never disagree by more for long.
const WAIT_MIN: Duration = Duration::from_micros(50);

/// How often what the kernel dropped is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Thread {
    pub(super) board: &'static Board,
    pub(super) links: Links,
    pub(super) poke: Arc<Bell>,
    pub(super) bell: Arc<Bell>,
}

/// Starts the thread.
pub(super) fn start(settings: Settings, thread: Thread, news: News) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("heartbeats".into()).spawn(move || {
        if let Err(error) = sys::become_real_time(PRIORITY) {
            tracing::warn!("heartbeats run without real-time priority, and may be late under load: {error}");
        }
        let pulse = Pulse::new(clock::now(), settings, thread.board);
        run(pulse, &thread, news);
    })
}

/// What the thread keeps between two turns; all of it is there from the start.
struct Turns {
    pulse: Pulse,
    news: News,
    actions: Vec<Action>,
    patience: Patience,
    batch: Box<Batch>,
    /// Until when to wait at most.
    wake_at: Moment,
    /// What the kernel has dropped on each link when it was last looked at, and when that was.
    dropped: [u32; LINKS_MAX],
    looked_at: Moment,
}

fn run(pulse: Pulse, thread: &Thread, news: News) -> ! {
    let now = clock::now();
    let mut turns = Turns {
        pulse,
        news,
        actions: Vec::with_capacity(ACTIONS),
        patience: Patience::new(thread.links.count()),
        batch: Batch::new(),
        wake_at: now,
        dropped: std::array::from_fn(|link| {
            if link < thread.links.count() { thread.links.dropped(link) } else { 0 }
        }),
        looked_at: now,
    };
    let mut bytes = [0; DATAGRAM_MAX + 1];
    turns.step(thread, now, Event::Wake);
    loop {
        let ready = turns.wait(thread);
        let mut any = false;
        for (link, _) in ready.iter().enumerate().take(thread.links.count()).filter(|(_, ready)| **ready) {
            // One datagram a turn: most of the time there is no second one, and asking costs as much.
            if let Some(length) = thread.links.receive(link, &mut bytes) {
                any = true;
                let now = clock::now();
                let event = Event::Datagram { link, bytes: &mut bytes[..length] };
                if !turns.step(thread, now, event) {
                    turns.wade(thread, link, now);
                }
            }
        }
        if ready[thread.links.count()] {
            thread.poke.silence();
            any = true;
            turns.step(thread, clock::now(), Event::Poke);
        }
        if !any {
            turns.step(thread, clock::now(), Event::Wake);
        }
    }
}

impl Turns {
    /// Steps the pulse and performs what it asks for; false if it refused a datagram.
    fn step(&mut self, thread: &Thread, now: Moment, event: Event<'_>) -> bool {
        let taken = self.pulse.step(now, thread.board, event, &mut self.actions);
        if !self.actions.is_empty() {
            self.perform(thread);
        }
        taken
    }

    /// Where one datagram was refused, more are likely, and what is good may be behind them: takes all
    /// that wait, many at once, as long as the link has an allowance, and charges it for the time.
    fn wade(&mut self, thread: &Thread, link: usize, since: Moment) {
        let (mut since, mut more) = (since, true);
        for _ in 0..BATCHES_MAX {
            if !more || self.patience.is_used_up(link, since) {
                return;
            }
            let count = thread.links.receive_many(link, &mut self.batch);
            more = count == BATCH_MAX;
            let good = self.take(thread, link, count);
            let all = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
            let now = clock::now();
            self.patience.spend(link, now, now.longest_since(since) * (all - good) / all);
            since = now;
        }
    }

    /// Steps through the first datagrams of the batch; how many were taken.
    fn take(&mut self, thread: &Thread, link: usize, count: usize) -> u32 {
        let Turns { pulse, news, actions, batch, .. } = self;
        let now = clock::now();
        let mut good = 0;
        for bytes in batch.iter_mut(count) {
            // Room for what one step may ask for at most is left in the list.
            if pulse.step(now, thread.board, Event::Datagram { link, bytes }, actions) {
                good += 1;
            }
            if actions.len() > ACTIONS / 2 {
                self.wake_at = perform(pulse, thread, news, actions).unwrap_or(self.wake_at);
            }
        }
        if !self.actions.is_empty() {
            self.perform(thread);
        }
        good
    }

    fn perform(&mut self, thread: &Thread) {
        if let Some(at) = perform(&self.pulse, thread, &mut self.news, &mut self.actions) {
            self.wake_at = at;
        }
    }

    /// Counts what the kernel dropped since the last look.
    fn look_at_drops(&mut self, thread: &Thread, now: Moment) {
        if now.longest_since(self.looked_at) < LOOK_EVERY {
            return;
        }
        self.looked_at = now;
        for (link, before) in self.dropped.iter_mut().enumerate().take(thread.links.count()) {
            let dropped = thread.links.dropped(link);
            let more = dropped.wrapping_sub(*before);
            *before = dropped;
            if more > 0 {
                thread.board.add_filtered(u64::from(more));
            }
        }
    }

    /// Waits for a datagram on a link that is read, for the bell, or until there is something to do.
    fn wait(&mut self, thread: &Thread) -> [bool; LINKS_MAX + 1] {
        let now = clock::now();
        self.look_at_drops(thread, now);
        let count = thread.links.count();
        if self.news.waits() && self.news.tell_kept() {
            thread.bell.ring();
        }
        let mut wait = now.wait_until(self.wake_at).max(WAIT_MIN);
        if self.news.waits() {
            wait = wait.min(AGAIN);
        }
        let mut read = [false; LINKS_MAX];
        for (link, read) in read.iter_mut().enumerate().take(count) {
            match self.patience.pause(link, now) {
                None => *read = true,
                Some(pause) => wait = wait.min(pause.max(WAIT_MIN)),
            }
        }
        // A link that pauses is not asked for errors either: the bell stands in for it.
        let mut sockets = thread.links.sockets();
        let mut all: [PollFd<'_>; LINKS_MAX + 1] = std::array::from_fn(|place| match sockets.next() {
            Some(socket) if read[place] => PollFd::new(socket, PollFlags::IN),
            _ => PollFd::new(&*thread.poke, PollFlags::IN),
        });
        let left = timespec(wait);
        poll(&mut all[..=count], Some(&left)).ok();
        std::array::from_fn(|place| {
            let looked_at = place == count || (place < count && read[place]);
            looked_at && !all[place].revents().is_empty()
        })
    }
}

/// Most batches of datagrams that are taken in one look at a link.
const BATCHES_MAX: usize = 32;
/// Room for the actions of some steps, so that the list never grows.
const ACTIONS: usize = 1024;

/// Performs what was asked for; until when to wait afterwards, if that was said.
fn perform(pulse: &Pulse, thread: &Thread, news: &mut News, actions: &mut Vec<Action>) -> Option<Moment> {
    let mut wake_at = None;
    let mut rings = false;
    send_beats(pulse, thread, actions);
    for action in actions.drain(..) {
        match action {
            Action::Beat { .. } => {}
            Action::Forward { to, datagram } => thread.links.send_all(to, datagram.bytes()),
            Action::Deliver { from, boot, body } => {
                news.segment(from, boot, body);
                rings = true;
            }
            Action::Sight(sighting) => {
                news.sight(sighting);
                rings = true;
            }
            Action::Lease => {}
            Action::Backed => rings = true,
            Action::WakeAt(at) => wake_at = Some(at),
        }
    }
    if rings {
        thread.bell.ring();
    }
    wake_at
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
