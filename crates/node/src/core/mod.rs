//! The deciding half of a node: agreement, ownership and, on the leader, the conductor.
//!
//! This file only routes: each stage is a type of its own with its own tests, and what they have to
//! say to each other passes through here in a fixed order, once per event. Messages in, the log
//! pumped, entries applied, the holder's and the voter's duties, an election if one is due, the
//! conductor if we lead, messages out.

mod asked;
mod duties;
mod fencing;
mod found;
mod half;
mod health;
mod holds;
mod lead;
mod members;
mod message;
mod peers;
mod pings;
mod promised;
mod proofs;
mod refused;
mod rejoin;
mod requests;
mod shut_out;
mod state;
mod switching;
mod watched;

use heart_model::{
    BootId, Duration, FromExecutor, HealthChange, Inventory, Moment, NodeId, NodeName, Order, PingChange,
    PingOrder, ResourceName, SessionNumber, Spec, Term, Timing, ToExecutor,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use message::{
    DeviceView, Guarded, Message, NodeView, OfHalf, RefusedView, Request, ResourceView, Response, StatusView,
};
use peers::Peers;
pub use promised::promised_before;
pub use proofs::Proven;
pub use rejoin::Log;

use crate::{
    agreement::{self, Agreement, ConfigurationId, RaftId, Ticket, Write},
    board::{Board, flag},
    conductor::Conductor,
    ledger::Ledger,
    ownership::{Campaigns, Holder, Revoked, Sights},
    plant::{Bug, is_planted},
    pulse::Sighting,
};

/// Orders that wait until their owner has applied enough; more are dropped and given again.
const ORDERS_WAITING_MAX: usize = 256;
/// Entries behind the last snapshot before the log is compacted.
const LOG_ENTRIES_MAX: usize = 512;
/// Questions of people that wait for the leader's answer; more are refused.
const QUESTIONS_MAX: usize = 256;

/// What a core is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's name.
    pub me: NodeName,
    /// What the configuration file says.
    pub spec: Spec,
    /// The digest of that file.
    pub digest: u64,
    /// Chance for spreading retries.
    pub seed: u64,
    /// The board was handed over by an earlier core of this boot.
    pub handed_over: bool,
}

impl Settings {
    /// The names of all nodes by slot: in order of their numbers.
    #[must_use]
    pub fn names(&self) -> Vec<NodeName> {
        let mut names: Vec<NodeName> = self.spec.nodes.keys().cloned().collect();
        names.sort_unstable_by_key(NodeName::id);
        names
    }
}

/// What reaches the core.
#[derive(Clone, Debug)]
pub enum Event {
    /// The time asked for by [`Action::WakeAt`] has come, or the lease changed.
    Wake,
    /// What is known of a node changed.
    Sight(Sighting),
    /// A piece of the stream of another core.
    Segment {
        /// From whom.
        from: NodeId,
        /// In which life.
        boot: BootId,
        /// What.
        bytes: Vec<u8>,
    },
    /// The disk has this write, and all before it.
    Durable(Ticket),
    /// The disk has refused or not answered for long; or it answers again. So long this node leads nobody,
    /// whatever else it knows of its health.
    Disk {
        /// Whether it works.
        works: bool,
    },
    /// This node found out that it is sick, or well again.
    Health(HealthChange),
    /// This node found out something about its ping targets.
    Ping(PingChange),
    /// The executor said something.
    Executor(FromExecutor),
    /// The executor began anew and knows nothing.
    ExecutorBegan,
    /// This node shall stop: hand over what runs here, then say [`Action::Left`].
    Leave,
    /// Somebody on this node asks.
    Request {
        /// Names the question.
        id: u64,
        /// What is asked.
        request: Request,
        /// When, by the clocks of this machine.
        asked: Moment,
    },
}

/// What the core asks of the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Seal this and send it over all links.
    Send {
        /// To the node in this slot.
        to: usize,
        /// By way of the node in this slot, if it is not heard itself.
        via: Option<usize>,
        /// What: a segment of the stream.
        bytes: Vec<u8>,
    },
    /// Make this durable, then say so.
    Write(Write),
    /// Tell the executor.
    Execute(ToExecutor),
    /// Tell what pings.
    Ping(PingOrder),
    /// Answer a question.
    Reply {
        /// Which.
        id: u64,
        /// What to say.
        response: Response,
    },
    /// Have the pulse tell everybody soon.
    Poke,
    /// Step again no later than this.
    WakeAt(Moment),
    /// Nothing runs here any more: the process may end.
    Left,
    /// For the log of this node's system.
    Note(String),
}

/// What one step has come to so far.
#[derive(Debug, Default)]
struct Out {
    actions: Vec<Action>,
    /// For other cores.
    messages: Vec<(usize, Vec<u8>)>,
    /// This node is done, once the messages are out.
    left: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    names: Vec<NodeName>,
    ids: Vec<NodeId>,
    slot: usize,
    timing: Timing,
    /// None while this node has no identity in the log: it waits to be given one (SAFETY rule 16).
    agreement: Option<Agreement>,
    ledger: Ledger,
    sights: Sights,
    peers: Peers,
    holder: Holder,
    revoked: Revoked,
    campaigns: Campaigns,
    conductor: Option<Conductor>,
    inventory: BTreeMap<ResourceName, Inventory>,
    executor_told: bool,
    /// When it was asked what it has.
    executor_asked: Option<Moment>,
    orders: VecDeque<Order>,
    /// Rights of this node to switch others off.
    duties: BTreeMap<NodeName, fencing::Duty>,
    switching: switching::Switching,
    shut_out: shut_out::ShutOut,
    /// What was held when the log changed last, by name.
    held_before: BTreeSet<String>,
    half: half::Half,
    watched: watched::Watched,
    proofs: proofs::Proofs,
    questions: BTreeMap<u64, (Request, Moment)>,
    refused: refused::Recent,
    promises: requests::Promises,
    /// What the leader answered in this step.
    answers: Vec<(u64, Response)>,
    began: Moment,
    /// Nothing was decided here for so long that the others may have gone on without this node.
    stood_still: bool,
    listening_until: Option<Moment>,
    next_tick: Moment,
    disk_works: bool,
    health: health::Health,
    pings: pings::Pings,
    /// Who was told what this node has: the leader, its term, and the stream it was told over.
    told_leader: Option<(NodeId, Term, u64)>,
    /// The same, of which promises of this voter are over.
    vouched_to: Option<(NodeId, Term, u64)>,
    hears_less: lead::HearsLess,
    /// The streams that orders went over, by slot.
    ordered_over: Vec<u64>,
    members: members::Members,
    /// When it was read in the log which life of a node takes part.
    lives_known: BTreeMap<NodeName, Moment>,
    founding: found::Founding,
    compact_now: bool,
    /// The first ticket of the next log, if this one is lost.
    next_ticket: Ticket,
    leaving_since: Option<Moment>,
    /// This node led when it was asked to leave, and gave that up.
    handed_over: bool,
    wall: u64,
    /// Since when all voters have had a configuration with shorter promises than one before it.
    shorter_since: Option<Moment>,
    /// The write that makes a new identity durable, until it is.
    adopting: Option<Ticket>,
    owes: rejoin::Owes,
    /// Since when this node is below half of the voters without a lease, and the session that it ended for that.
    unheard: Option<(Moment, Option<SessionNumber>)>,
    /// The history of the log that this run of the core lost last, and its identity there.
    spent: Option<(u64, RaftId)>,
}

impl Core {
    /// Takes up a node's life. The board was begun for this boot, or handed over.
    #[must_use]
    pub fn new(now: Moment, settings: Settings, log: Log, board: &Board) -> Core {
        let names = settings.names();
        let ids: Vec<NodeId> = names.iter().map(NodeName::id).collect();
        let slot =
            names.iter().position(|name| *name == settings.me).expect("this node is in the configuration");
        // An earlier core of this boot found out that its log was lost: that is no new beginning.
        let knew = settings.handed_over && board.flags() & flag::LOG_LOST != 0;
        // Killed before that was written down.
        let unmarked = knew && matches!(&log, Log::Recovered(recovered) if !recovered.lost);
        let log = if knew { Log::Damaged } else { rejoin::usable(log, &settings) };
        let virgin = matches!(log, Log::Empty);
        let promised = promised_before(&log, &settings.spec);
        let mut core = Core {
            slot,
            timing: settings.spec.timing,
            agreement: None,
            ledger: Ledger::default(),
            sights: Sights::new(slot, names.len()),
            peers: Peers::new(names.len(), board.next_frame(), settings.spec.timing),
            holder: Holder::default(),
            revoked: Revoked::default(),
            campaigns: Campaigns::new(settings.seed),
            conductor: None,
            inventory: BTreeMap::new(),
            executor_told: false,
            executor_asked: None,
            orders: VecDeque::new(),
            duties: BTreeMap::new(),
            switching: switching::Switching::default(),
            shut_out: shut_out::ShutOut::default(),
            held_before: BTreeSet::new(),
            half: half::Half::default(),
            watched: watched::Watched::default(),
            proofs: proofs::Proofs::default(),
            questions: BTreeMap::new(),
            refused: refused::Recent::default(),
            promises: requests::Promises::default(),
            answers: Vec::new(),
            began: now,
            stood_still: false,
            listening_until: Some(now.after(promised))
                .filter(|_| virgin || !(settings.handed_over || is_planted(Bug::PromisesForgotten))),
            next_tick: now,
            disk_works: true,
            health: health::Health::default(),
            pings: pings::Pings::default(),
            told_leader: None,
            vouched_to: None,
            hears_less: lead::HearsLess::default(),
            ordered_over: vec![0; names.len()],
            members: members::Members::default(),
            lives_known: BTreeMap::new(),
            founding: found::Founding::default(),
            compact_now: false,
            next_ticket: Ticket(1),
            leaving_since: None,
            handed_over: false,
            wall: 0,
            shorter_since: None,
            adopting: None,
            owes: if unmarked { rejoin::Owes::Mark } else { rejoin::Owes::Nothing },
            unheard: None,
            spent: None,
            names,
            ids,
            settings,
        };
        core.begin(log, virgin, board);
        core
    }

    /// Takes up the log that was found.
    fn begin(&mut self, log: Log, virgin: bool, board: &Board) {
        board.set_leading(None);
        let mut flags = if self.listening_until.is_some() { flag::LISTENING } else { 0 };
        match log {
            Log::Empty => flags |= flag::VIRGIN,
            Log::Damaged => flags |= flag::LOG_LOST,
            Log::Recovered(recovered) => self.take_up(*recovered, board),
        }
        self.half.begin(board.next_frame(), board);
        self.shut_out.count_from(board.next_frame());
        if virgin {
            self.found();
        }
        board.set_flags(flags);
        self.show(board);
    }

    /// The only way in. `wall` is the wall clock in milliseconds since 1970: for people, and for
    /// what the file says of hours and dates. No lease and no promise is judged by it.
    #[must_use]
    pub fn step(&mut self, now: Moment, wall: u64, board: &Board, event: Event) -> Vec<Action> {
        let mut out = Out::default();
        self.stood_still = now.longest_since(board.progress()) >= self.timing.lost_after;
        board.set_progress(now);
        self.wall = wall;
        self.pay_disk(&mut out);
        match event {
            Event::Wake => {}
            Event::Sight(sighting) => self.on_sight(sighting, &mut out),
            Event::Segment { from, boot, bytes } => self.on_segment(now, board, from, boot, &bytes, &mut out),
            Event::Durable(ticket) => self.on_durable(now, board, ticket, &mut out),
            Event::Disk { works } => self.on_disk(board, works, &mut out),
            Event::Health(change) => self.on_health(now, change, &mut out),
            Event::Ping(change) => self.on_ping(change, &mut out),
            Event::Executor(said) => self.on_executor(now, board, said, &mut out),
            Event::ExecutorBegan => {
                self.ask_executor();
                self.fence_anew(now);
                self.watched.on_executor_began();
                self.half.fence_anew(board);
            }
            Event::Leave => {
                self.leaving_since.get_or_insert(now);
                board.set_flags(board.flags() | flag::LEAVING);
                out.actions.push(Action::Poke);
            }
            Event::Request { id, request, asked } => {
                self.on_request(now, board, (id, asked), request, &mut out);
            }
        }
        self.settle(now, board, &mut out);
        self.peers.flush(now, &self.sights, &self.ids, &mut out);
        out.actions.push(Action::WakeAt(self.next_deadline(now, board)));
        out.actions.extend(out.left.then_some(Action::Left));
        out.actions
    }

    /// Everything that follows, in its fixed order.
    fn settle(&mut self, now: Moment, board: &Board, out: &mut Out) {
        self.tick(now);
        self.mind_watchdog(now, board, out);
        self.tell_armed(now, board, out);
        self.recover(now, board, out);
        self.mind_pings(now, board, out);
        self.meet_history(now, board, out);
        self.give_up_log(now, board, out);
        self.doubt_word(now);
        self.listen(now, board);
        self.tell_who_is_missing(now, out);
        self.pump(now, board, out);
        self.hold(now, board, out);
        self.vouch(now, out);
        self.elect(now, board, out);
        self.follow(now, board, out);
        self.go_on_alone(now, board, out);
        self.obey(now, board, out);
        self.fence(now, board, out);
        self.have_let_in(now, board, out);
        self.prove(now, out);
        self.conduct(now, board, out);
        self.pump(now, board, out);
        self.compact(out);
        self.answer_questions(now, board, out);
        self.leave(now, board, out);
        self.show(board);
        self.show_held(board);
    }

    fn on_sight(&mut self, sighting: Sighting, out: &mut Out) {
        let slot = sighting.slot;
        let before = self.sights.heard(slot).is_some();
        let name = &self.names[slot];
        let said = match (before, sighting.heard == Some(true)) {
            (false, true) => Some(format!("{name} is heard")),
            (true, false) => Some(format!("{name} is lost: not heard for {:?}", self.timing.lost_after)),
            (true, true) | (false, false) => None,
        };
        out.actions.extend(said.map(Action::Note));
        if self.sights.seen[slot].is_some_and(|seen| seen.boot != sighting.boot) {
            self.peers.forget(slot);
        }
        let both_ways = |seen: &Sighting| seen.heard == Some(true) && seen.both_ways;
        let comes = both_ways(&sighting) && !self.sights.seen[slot].as_ref().is_some_and(both_ways);
        self.sights.seen[slot] = Some(sighting);
        if let Some(agreement) = self.agreement.as_mut().filter(|_| comes) {
            agreement.on_heard();
        }
    }

    fn on_durable(&mut self, now: Moment, board: &Board, ticket: Ticket, out: &mut Out) {
        if self.adopting.take_if(|adopting| *adopting <= ticket).is_some() {
            board.set_flags(board.flags() & !flag::LOG_LOST);
            out.actions.push(Action::Poke);
        }
        self.revoked.on_durable(ticket);
        if let Some(agreement) = &mut self.agreement {
            let output = agreement.on_durable(ticket);
            self.send_all(output.messages, out);
        }
        self.on_forced(now, board, ticket, out);
    }

    fn tick(&mut self, now: Moment) {
        // The first of the clocks will do: nothing is promised by raft's ticks.
        if now.may_have_reached(self.next_tick) {
            self.next_tick = now.after(self.timing.lost_after / 2);
            // Raft's own timers begin no history either.
            let may = self.may_begin() && !self.half.is_at_work();
            if let Some(agreement) = self.agreement.as_mut().filter(|agreement| may || agreement.leads()) {
                agreement.tick();
            }
        }
    }

    /// Takes what raft has to say, until it has nothing more.
    fn pump(&mut self, now: Moment, board: &Board, out: &mut Out) {
        for _ in 0..ROUNDS_MAX {
            let Some(agreement) = &mut self.agreement else { return };
            let output = agreement.pump();
            let kept_by = output.writes.last().map(|write| write.ticket);
            if let Some(snapshot) = &output.restored {
                self.restore(now, (agreement::state_of(snapshot), kept_by), board, out);
            }
            let is_longer = output.restored.is_some() || !output.appended.is_empty();
            self.revoke(&output.appended, kept_by, board);
            out.actions.extend(output.writes.into_iter().map(Action::Write));
            self.send_all(output.messages, out);
            let applied = self.apply(now, board);
            if is_longer || applied {
                self.show(board);
            }
            if !applied {
                return;
            }
            self.alert_to_holds(out);
        }
    }

    /// Puts on the board what the pulse has to tell everybody.
    fn show(&mut self, board: &Board) {
        let Some(agreement) = &self.agreement else {
            board.set_era(0, 0);
            board.set_flags(board.flags() & !flag::BEGUN);
            return;
        };
        let (log_term, log_index) = agreement.last();
        board.set_log(agreement.term(), log_term, log_index);
        let not = if log_index.0 > 0 { flag::VIRGIN } else { 0 };
        let begun = if self.has_history() { flag::BEGUN } else { 0 };
        board.set_flags((board.flags() & !not & !flag::BEGUN) | begun);
        board.set_era(self.ledger.era, agreement.me().incarnation());
        let (id, voters) = agreement.appended_configuration();
        let appended = members::voters_of(&self.ids, id, &voters.iter().copied());
        let applied = members::voters_of(&self.ids, ConfigurationId::default(), &agreement.voters());
        (self.sights.voters, self.sights.electors) = (appended, applied);
        board.set_configuration(self.sights.voters);
        board.set_electors(self.sights.electors);
    }

    fn next_deadline(&self, now: Moment, board: &Board) -> Moment {
        let lease = Some(board.lease_until()).filter(|&until| !now.may_have_reached(until));
        let backed = Some(board.backed_until()).filter(|&until| !now.may_have_reached(until));
        let listen = self.listening_until;
        let judge = Some(self.began.after(self.timing.lost_after));
        let others = [
            lease,
            backed,
            listen,
            judge,
            self.campaigns.next_deadline(),
            self.holder.next_deadline(),
            self.revoked.next_deadline(),
            self.conductor.as_ref().and_then(Conductor::next_deadline),
            self.peers.next_deadline(),
            self.members.next_deadline(),
            self.switching.next_deadline(),
            self.shut_out.next_deadline(),
            self.half.next_deadline(),
            self.proofs.next_deadline(),
            self.next_silence(),
            self.health.next_deadline(),
            self.gives_up_at(),
            self.pings.next_deadline(),
            self.leaving_since.map(|since| since.after(self.timing.lost_after)),
            self.leaving_since.map(|since| since.after(LEAVE_PATIENCE)),
            self.questions.values().map(|(_, at)| *at).min_by_key(|at| at.boottime),
        ];
        let soon = others.into_iter().flatten().filter(|&at| !now.has_surely_reached(at));
        // Of a deadline that is far away the clocks may differ by more than the next tick is away.
        soon.chain([self.next_tick]).min_by_key(|at| now.wait_until(*at)).unwrap_or(self.next_tick)
    }

    /// The state that the log has led to. For tests and tools.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether this node votes under the identity it has, and no change of voters is under way as far
    /// as it knows. For tests and tools.
    #[must_use]
    pub fn votes(&self) -> bool {
        let agreement = self.agreement.as_ref();
        agreement.is_some_and(|agreement| agreement.is_voter(agreement.me()) && agreement.is_settled())
    }

    /// The nodes that vote, as far as this one has applied the log. For tests and tools.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.agreement.iter().flat_map(Agreement::voters).collect()
    }

    /// Whether a node votes, as far as this one has applied the log. For tests and tools.
    #[must_use]
    pub fn elects(&self, node: NodeId) -> bool {
        self.agreement.iter().flat_map(Agreement::voters).any(|voter| voter == node)
    }

    /// The entry that last changed who votes, of those that this node applied: later ones have higher numbers. For tests
    /// and tools.
    #[must_use]
    pub fn configured_at(&self) -> u64 {
        self.agreement.as_ref().map_or(0, |agreement| agreement.configuration().0)
    }

    /// Which life of a node this one hears, and whether that hears this one too. For tests and tools.
    #[must_use]
    pub fn hears(&self, node: &NodeName) -> Option<(BootId, bool)> {
        let slot = self.names.iter().position(|name| name == node)?;
        self.sights.heard(slot).map(|seen| (seen.boot, seen.both_ways))
    }

    /// Whether this node leads, and in which term. For tests and tools.
    #[must_use]
    pub fn leading(&self) -> Option<Term> {
        self.agreement.as_ref().filter(|agreement| agreement.leads()).map(Agreement::term)
    }
}

/// How long a node that leaves waits for the leader to move what it has.
const LEAVE_PATIENCE: Duration = Duration::from_secs(20);
/// Rounds of messages that one step may cause inside this node.
const ROUNDS_MAX: usize = 64;

fn is_held(inventory: &Inventory) -> bool {
    !matches!(inventory.activity, heart_model::Activity::Stopped)
}

/// A message of the log, as opposed to one of [`Message`].
const LOG_MESSAGE: u8 = 0;
/// A [`Message`] as JSON.
const PLAIN_MESSAGE: u8 = 1;
