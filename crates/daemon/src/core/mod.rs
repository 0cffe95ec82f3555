//! The core process: drives [`heart_node`] with real time, sockets, disk and executor.
//!
//! Threads, so that none waits for another: heartbeats (real-time), the disk, two that look after the machine, one
//! that pings, and this one, which steps the deciding half. It performs actions and decides nothing.

mod beats;
mod health;
pub(crate) mod links;
mod news;
mod patience;
mod pings;
mod proven;
mod storage;

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use heart_agents::{
    clock, memory,
    wait::{self, Bell, timespec},
};
use heart_model::{BootId, Duration, FromExecutor, HealthChange, Moment, NodeId, PingChange, ToExecutor};
use heart_node::{
    agreement::{Ticket, Write},
    board::Board,
    core::{Action, Core, Event, Log, Request, Response, Settings, promised_before},
    frame::{Kind, Sealer},
    pulse::{self, Member},
};
use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};

use crate::{
    channel::{Channel, Incoming},
    echo::Sockets,
    rights::{self, User},
    setup::{Running, Setup},
    sys,
};
use links::Links;
use news::News;

/// The shortest wait: the two clocks of a deadline never disagree by more for long.
const WAIT_MIN: Duration = Duration::from_micros(100);
/// How late the core may be before the heartbeat thread, to whom it shows its progress, no longer takes
/// it for working. With the default timing it sleeps as long as a tick of the agreement then, so that
/// one wake-up does for both.
const RESERVE: Duration = Duration::from_millis(300);
/// The part of lost-after that the core sleeps at most if there is no room for that reserve, and while
/// the disk has not answered, whose stalling is noticed on waking.
const WAIT_MAX_PART: u32 = 3;

/// How long the process stays to have its last beat sent.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// From the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Names it.
    pub id: u64,
    /// What is asked.
    pub request: Request,
    /// When it came.
    pub asked: Moment,
}

/// To the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Names the question.
    pub id: u64,
    /// What to say.
    pub response: Response,
}

/// What the guardian hands to the core.
#[derive(Debug)]
pub struct Handed {
    /// The channel to the executor.
    pub executor: OwnedFd,
    /// The channel to the gateway.
    pub gateway: OwnedFd,
    /// The sockets of all links.
    pub links: Vec<OwnedFd>,
}

/// Who has something to say.
struct Ready {
    /// The heartbeat thread or the disk.
    bell: bool,
    executor: bool,
    gateway: bool,
}

struct Driver {
    core: Core,
    board: &'static Board,
    sealer: Sealer,
    ids: Vec<NodeId>,
    links: Links,
    executor: Channel,
    gateway: Channel,
    storage: storage::Storage,
    /// What the disk was asked for and has not said yet: the newest ticket, and since when.
    unwritten: Option<(Ticket, Moment)>,
    disk_works: bool,
    health: health::Health,
    pings: pings::Pings,
    proven: proven::Kept,
    told: Receiver<news::Told>,
    bell: Arc<Bell>,
    poke: Arc<Bell>,
    signals: OwnedFd,
    wake_at: Moment,
    lost_after: Duration,
    /// This node is to be left, once it is known what runs here.
    asked_to_leave: bool,
    /// The executor has told what runs here.
    knows_what_runs: bool,
    left: bool,
}

/// Priority of the core's own thread, and of the one that writes its log, among the real-time ones: below the
/// heartbeats and the gate, which wait for nobody, and above everything that is no part of this.
const PRIORITY: i32 = 5;

/// Runs the core until it has left, or the guardian is gone.
///
/// # Errors
/// Why it cannot run.
pub fn run(running: &Running, handed: Handed) -> anyhow::Result<()> {
    let mut driver = Driver::begin(running, handed)?;
    // A leader whose core does not get on has no authority, and on a busy machine that is an election.
    if let Err(error) = sys::become_real_time(PRIORITY) {
        tracing::warn!("the core runs without real-time priority, and may be late under load: {error}");
    }
    driver.step(Event::Wake)?;
    while !driver.left {
        driver.turn()?;
    }
    driver.say_goodbye();
    Ok(())
}

fn members(setup: &Setup) -> Vec<Member> {
    let mut members: Vec<Member> =
        setup.spec.nodes.iter().map(|(name, node)| Member { id: name.id(), voter: node.voter }).collect();
    members.sort_unstable_by_key(|member| member.id);
    members
}

/// Gives up the rights that the core does not need, once it has what takes them, and stays in memory with the rest.
fn prepare() -> Sockets {
    let sockets = Sockets::open();
    if let Err(error) = User::of_core().become_user(rights::OF_CORE) {
        tracing::warn!("the core keeps root's rights, which it does not need: {error}");
    }
    memory::forget_the_start();
    if let Err(error) = sys::lock_memory() {
        tracing::warn!("memory is not locked, and heartbeats may wait for a page: {error}");
    }
    sockets
}

fn settings(setup: &Setup, boot: BootId, handed_over: bool) -> Settings {
    Settings {
        me: setup.me.clone(),
        spec: setup.spec.clone(),
        digest: setup.digest,
        seed: boot.0 as u64 ^ u64::from(setup.me.id().0),
        handed_over,
    }
}

fn open_log(setup: &Setup, bell: &Arc<Bell>) -> anyhow::Result<(Log, storage::Storage)> {
    let path = setup.places.journal();
    storage::start(&path, Arc::clone(bell)).with_context(|| format!("cannot use the log {}", path.display()))
}

impl Driver {
    fn begin(running: &Running, handed: Handed) -> anyhow::Result<Driver> {
        let setup = &running.setup;
        let boot = setup.boot()?;
        let board = setup.board()?.board();
        let proven = proven::Kept::open(&setup.places.proven());
        let sockets = prepare();
        let key = running.key();
        let now = clock::now();
        let members = members(setup);
        let ids: Vec<NodeId> = members.iter().map(|member| member.id).collect();
        let signals = sys::signals(&[libc::SIGTERM]).context("cannot hear signals")?;
        let (bell, poke) = (Arc::new(Bell::new()?), Arc::new(Bell::new()?));
        let (log, storage) = open_log(setup, &bell)?;
        let health = health::start(&setup.places.state, Arc::clone(&bell))?;
        let promised_until = now.after(promised_before(&log, &setup.spec));
        let handed_over = board.belongs_to(boot);
        if !handed_over {
            // Nothing is known of what an earlier boot promised (SAFETY rule 5).
            board.begin(boot, &ids, promised_until);
        }
        board.seat(&ids, promised_until);
        let settings = settings(setup, boot, handed_over);
        let names = settings.names();
        let mut core = Core::new(now, settings, log, board);
        core.recall_proven(proven.known());
        let links = Links::take_up(handed.links, &setup.spec, &setup.me, &names);
        let (queue, told) = sync_channel(news::QUEUE);
        let thread =
            beats::Thread { board, links: links.share()?, poke: Arc::clone(&poke), bell: Arc::clone(&bell) };
        let settings = pulse::Settings {
            me: setup.me.id(),
            members,
            links: links.count(),
            timing: setup.spec.timing,
            key: key.clone(),
            digest: setup.digest,
        };
        let news = News::new(queue, Arc::default());
        beats::start(settings, thread, news).context("cannot start the heartbeat thread")?;
        Ok(Driver {
            core,
            board,
            sealer: Sealer::new(&key, setup.me.id(), boot),
            ids,
            links,
            executor: Channel::new(handed.executor)?,
            gateway: Channel::new(handed.gateway)?,
            storage,
            unwritten: None,
            disk_works: true,
            health,
            pings: pings::start(sockets, Arc::clone(&bell))?,
            proven,
            told,
            bell,
            poke,
            signals,
            wake_at: now,
            lost_after: setup.spec.timing.lost_after,
            asked_to_leave: false,
            knows_what_runs: false,
            left: false,
        })
    }

    /// Waits for something to happen, and deals with all that has.
    fn turn(&mut self) -> anyhow::Result<()> {
        let ready = self.wait()?;
        if ready.bell {
            self.bell.silence();
        }
        let told: Vec<news::Told> = self.told.try_iter().take(news::QUEUE).collect();
        let mut any = !told.is_empty();
        for told in told {
            self.step(match told {
                news::Told::Segment { from, boot, body } => {
                    Event::Segment { from, boot, bytes: body.bytes().to_vec() }
                }
                news::Told::Sight(sighting) => Event::Sight(sighting),
            })?;
        }
        any |= self.hear_disk()?;
        any |= self.hear_health()?;
        any |= self.hear_pings()?;
        any |= ready.executor && self.hear_executor()?;
        any |= ready.gateway && self.hear_gateway()?;
        if self.asked_to_leave && self.knows_what_runs {
            self.asked_to_leave = false;
            any = true;
            self.step(Event::Leave)?;
        }
        if !any {
            self.step(Event::Wake)?;
        }
        Ok(())
    }

    /// Waits for something to happen; who has something to say.
    fn wait(&mut self) -> anyhow::Result<Ready> {
        let now = clock::now();
        let longest = match self.unwritten {
            None => wait::before(self.lost_after, RESERVE, WAIT_MAX_PART),
            Some(_) => self.lost_after / WAIT_MAX_PART,
        };
        let wait = now.wait_until(self.wake_at).clamp(WAIT_MIN, longest);
        let left = timespec(wait);
        let flags = |channel: &Channel| {
            if channel.wants_to_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
        };
        let mut fds = [
            PollFd::new(&*self.bell, PollFlags::IN),
            PollFd::new(&self.executor, flags(&self.executor)),
            PollFd::new(&self.gateway, flags(&self.gateway)),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        let [bell, executor, gateway, asked_to_stop] = fds.map(|fd| !fd.revents().is_empty());
        if asked_to_stop {
            rustix::io::read(&self.signals, &mut [0u8; 128]).ok();
            self.asked_to_leave = true;
        }
        self.executor.flush()?;
        self.gateway.flush()?;
        Ok(Ready { bell, executor, gateway })
    }

    fn hear_disk(&mut self) -> anyhow::Result<bool> {
        let said: Vec<storage::Said> = self.storage.said.try_iter().collect();
        let any = !said.is_empty();
        for said in said {
            match said {
                storage::Said::Durable(ticket) => {
                    if self.unwritten.is_some_and(|(newest, _)| newest == ticket) {
                        self.unwritten = None;
                    } else if let Some((_, since)) = &mut self.unwritten {
                        *since = clock::now();
                    }
                    self.step(Event::Durable(ticket))?;
                    self.judge_disk(true)?;
                }
                storage::Said::Failed => self.judge_disk(false)?,
            }
        }
        // A disk that says nothing for a lost-after is as good as one that refuses.
        let stalled =
            self.unwritten.is_some_and(|(_, since)| clock::now().longest_since(since) > self.lost_after);
        if stalled {
            self.judge_disk(false)?;
        }
        Ok(any)
    }

    fn hear_health(&mut self) -> anyhow::Result<bool> {
        let changes: Vec<HealthChange> = self.health.changes.try_iter().collect();
        let any = !changes.is_empty();
        for change in changes {
            self.step(Event::Health(change))?;
        }
        Ok(any)
    }

    fn hear_pings(&mut self) -> anyhow::Result<bool> {
        let changes: Vec<PingChange> = self.pings.changes.try_iter().collect();
        let any = !changes.is_empty();
        for change in changes {
            self.step(Event::Ping(change))?;
        }
        Ok(any)
    }

    fn judge_disk(&mut self, works: bool) -> anyhow::Result<()> {
        if self.disk_works != works {
            self.disk_works = works;
            self.step(Event::Disk { works })?;
        }
        Ok(())
    }

    fn hear_executor(&mut self) -> anyhow::Result<bool> {
        let heard: Vec<Incoming<FromExecutor>> = self.executor.receive()?;
        let any = !heard.is_empty();
        let proved = |one: &Incoming<_>| matches!(one, Incoming::Message(FromExecutor::Proved { .. }));
        let proved = heard.iter().any(proved);
        let tells_all = |one: &Incoming<_>| matches!(one, Incoming::Message(FromExecutor::Inventory(_)));
        self.knows_what_runs |= heard.iter().any(tells_all);
        for incoming in heard {
            self.step(match incoming {
                Incoming::Hello => Event::ExecutorBegan,
                Incoming::Message(FromExecutor::NoProcess(why)) => {
                    self.health.on_refused(why);
                    continue;
                }
                Incoming::Message(said) => Event::Executor(said),
            })?;
        }
        if proved {
            self.proven.keep(self.core.proven());
        }
        Ok(any)
    }

    fn hear_gateway(&mut self) -> anyhow::Result<bool> {
        let heard: Vec<Incoming<Question>> = self.gateway.receive()?;
        let any = !heard.is_empty();
        for incoming in heard {
            if let Incoming::Message(Question { id, request, asked }) = incoming {
                self.step(Event::Request { id, request, asked })?;
            }
        }
        Ok(any)
    }

    fn step(&mut self, event: Event) -> anyhow::Result<()> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let actions = self.core.step(clock::now(), wall, self.board, event);
        for action in actions {
            self.perform(action)?;
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Send { to, via, bytes } => self.send(to, via, &bytes),
            Action::Write(write) => self.write(write),
            Action::Execute(told) => self.executor.send::<ToExecutor>(&told)?,
            Action::Ping(order) => self.pings.order(order),
            Action::Reply { id, response } => self.gateway.send(&Answer { id, response })?,
            Action::Poke => self.poke.ring(),
            Action::Left => self.left = true,
            Action::WakeAt(at) => self.wake_at = at,
            Action::Note(note) => tracing::info!("{note}"),
        }
        Ok(())
    }

    /// Everything was handed over. The heartbeat thread says so, and the process ends.
    fn say_goodbye(&self) {
        self.poke.ring();
        tracing::info!("nothing runs here any more; leaving");
        #[expect(
            clippy::disallowed_methods,
            reason = "the last beat goes out meanwhile; nothing else is to be done"
        )]
        std::thread::sleep(LAST_WORDS);
    }

    fn send(&self, to: usize, via: Option<usize>, bytes: &[u8]) {
        let sealed = self.sealer.seal(Kind::Stream, self.board.next_frame(), bytes);
        let Some(via) = via else { return self.links.send_all(to, sealed.bytes()) };
        let body = [&self.ids[to].0.to_le_bytes(), sealed.bytes()].concat();
        let relayed = self.sealer.seal(Kind::Relay, self.board.next_frame(), &body);
        self.links.send_all(via, relayed.bytes());
    }

    fn write(&mut self, write: Write) {
        let since = self.unwritten.map_or_else(clock::now, |(_, since)| since);
        self.unwritten = Some((write.ticket, since));
        // If the thread is gone, the process ends: nothing can be promised without a disk.
        self.storage.writes.send(write).expect("the disk thread ends with the process");
    }
}
