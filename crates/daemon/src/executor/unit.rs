//! One resource on this node, as a state machine.
//!
//! [`Unit::step`] takes what happened and returns what has to be done; it does nothing itself. The
//! order of the actions is the order in which they must be done: a record comes before the report
//! that rests on it.
//!
//! Two numbers guard against late orders (SAFETY 10 and schedule 13). *Barred* is the highest
//! epoch that a stop was begun for: nothing up to it starts any more. *Closed* is the highest
//! epoch that a stop has succeeded for: only that is told to the core, for somebody else may start
//! on the strength of it.

use std::collections::VecDeque;

use heart_agents::Stop;
use heart_model::{
    Act, Activity, Duration, Epoch, Guard, Inventory, Order, OrderId, Outcome, ResourceName, ResourceSpec,
    Session,
};

use super::{
    slow::{self, Vain, Verdict},
    terms::{Action, Asking, Event, Held, Operation, Question, Record, Ticket},
};

/// What must be left of the lease for a start to begin.
pub(super) const LEASE_MARGIN: Duration = Duration::from_millis(3);
/// How many answers are remembered, for orders that come twice.
const ANSWERS_MAX: usize = 16;
/// Most orders that wait for the same operation; a leader repeats itself once a term at most.
const ORDERS_MAX: usize = 16;
/// When a stop that did not succeed is tried again, if the right to run is over.
const LET_GO_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// When a stop that was ordered and did not succeed is tried again.
const STOP_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How often a stop is tried, before a person has to see to it.
const STOPS_MAX: u8 = 5;

#[derive(Clone, Debug, PartialEq)]
enum State {
    Stopped,
    /// A start is under way, or an adoption: it serves when that ends well.
    Starting {
        held: Held,
        ticket: Ticket,
        orders: Vec<OrderId>,
        adopting: bool,
    },
    Running {
        held: Held,
        asking: Option<Asking>,
    },
    Failed {
        held: Held,
        why: String,
        asking: Option<Question>,
    },
    /// `after`: an operation that was cancelled and has to end before the stop can begin.
    Stopping {
        held: Held,
        stop: Stopping,
    },
    Stuck {
        held: Held,
        why: String,
        letting_go: Option<Stop>,
    },
}

#[derive(Clone, Debug, PartialEq)]
struct Stopping {
    ticket: Ticket,
    after: Option<Ticket>,
    how: Stop,
    orders: Vec<OrderId>,
    letting_go: Option<Stop>,
}

/// One resource.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    name: ResourceName,
    configured: Option<ResourceSpec>,
    state: State,
    closed: Epoch,
    barred: Epoch,
    last_session: Session,
    tickets: u64,
    /// It was reported as lost while it was starting.
    suspect: bool,
    /// Stops in a row that did not succeed.
    stops_in_vain: u8,
    answers: VecDeque<(OrderId, Outcome)>,
    pub(super) sequence: u64,
}

const NO_SESSION: Session = Session { boot: heart_model::BootId(0), number: heart_model::SessionNumber(0) };

impl Unit {
    pub(super) fn new(name: ResourceName) -> Unit {
        Unit {
            name,
            configured: None,
            state: State::Stopped,
            closed: Epoch(0),
            barred: Epoch(0),
            last_session: NO_SESSION,
            tickets: 0,
            suspect: false,
            stops_in_vain: 0,
            answers: VecDeque::new(),
            sequence: 0,
        }
    }

    /// What an earlier executor left; [`Event::Adopt`] has to follow.
    pub(super) fn from_record(record: Record) -> Unit {
        let mut unit = Unit::new(record.resource);
        (unit.closed, unit.barred, unit.sequence) = (record.closed, record.barred, record.sequence);
        if let Some(held) = record.held {
            unit.last_session = held.session;
            let why = "a new executor has not looked at it yet".to_owned();
            unit.state = if record.stopping {
                State::Stuck { held, why, letting_go: Some(Stop::AtOnce) }
            } else {
                State::Failed { held, why, asking: None }
            };
        }
        unit
    }

    pub(super) fn record(&self) -> Record {
        Record {
            resource: self.name.clone(),
            held: self.held().cloned(),
            stopping: matches!(self.state, State::Stopping { .. } | State::Stuck { .. }),
            closed: self.closed,
            barred: self.barred,
            sequence: self.sequence,
        }
    }

    /// What runs or may run; nothing when it is stopped.
    pub(super) fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Stopped => None,
            State::Starting { held, .. }
            | State::Running { held, .. }
            | State::Failed { held, .. }
            | State::Stopping { held, .. }
            | State::Stuck { held, .. } => Some(held),
        }
    }

    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.state, State::Stuck { .. })
    }

    /// Whether nobody needs to remember it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.configured.is_none() && self.state == State::Stopped && self.closed == Epoch(0)
    }

    pub(super) fn inventory(&self) -> Inventory {
        let activity = match &self.state {
            State::Stopped => Activity::Stopped,
            State::Starting { .. } => Activity::Starting,
            State::Running { .. } => Activity::Running,
            State::Failed { why, .. } => Activity::Failed(why.clone()),
            State::Stopping { .. } => Activity::Stopping,
            State::Stuck { why, .. } => Activity::Stuck(why.clone()),
        };
        let slow = match &self.state {
            State::Running { asking: Some(asking), .. } => asking.slow.clone(),
            _ => None,
        };
        Inventory {
            slow,
            resource: self.name.clone(),
            epoch: self.held().map_or(self.closed, |held| held.epoch),
            session: self.held().map_or(self.last_session, |held| held.session),
            given_up: self.stops_in_vain >= STOPS_MAX && self.is_stuck(),
            guard: self.held().map(|held| held.spec.guard),
            activity,
            closed: self.closed,
        }
    }

    /// Takes one event; what has to be done, in this order.
    #[must_use]
    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Configured(spec) => self.configured = spec.map(|spec| *spec),
            Event::Ordered { order, lease_left } => self.on_order(&order, lease_left, &mut actions),
            Event::LetGo { session, how } => self.on_let_go(session, how, &mut actions),
            Event::Ended { ticket, outcome, stalled } => {
                self.on_end(ticket, outcome, stalled, &mut actions);
            }
            Event::Lost(why) => self.on_lost(why, &mut actions),
            Event::Regained => self.on_regained(&mut actions),
            Event::Due => self.on_due(&mut actions),
            Event::Adopt => self.on_adopt(&mut actions),
        }
        assert!(self.closed <= self.barred, "what is closed does not start again");
        actions
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn run(&mut self, operation: Operation, held: &Held, actions: &mut Vec<Action>) -> Ticket {
        let ticket = self.ticket();
        actions.push(Action::Run { ticket, operation, held: Box::new(held.clone()) });
        ticket
    }

    fn answer(&mut self, order: OrderId, outcome: Outcome, actions: &mut Vec<Action>) {
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back((order, outcome.clone()));
        actions.push(Action::Report(order, outcome));
    }

    fn on_order(&mut self, order: &Order, lease_left: Duration, actions: &mut Vec<Action>) {
        if let Some((id, outcome)) = self.answers.iter().find(|(id, _)| *id == order.id) {
            actions.push(Action::Report(*id, outcome.clone()));
            return;
        }
        match order.act {
            Act::Start => match self.may_start(order, lease_left) {
                Ok(()) => self.on_start(order, actions),
                // Not remembered: the same order may be right a moment later.
                Err(why) => actions.push(Action::Report(order.id, Outcome::Refused(why))),
            },
            Act::Stop => self.on_stop(order, actions),
        }
    }

    /// Whether a start may begin, or join what is there.
    fn may_start(&self, order: &Order, lease_left: Duration) -> Result<(), String> {
        let epoch = order.epoch;
        if epoch <= self.barred {
            return Err(format!("epoch {epoch} was stopped here and does not start again"));
        }
        if let Some(held) = self.held().filter(|held| epoch < held.epoch) {
            return Err(format!("it runs here under epoch {}, which is later than {epoch}", held.epoch));
        }
        let now = self.configured.as_ref().ok_or_else(|| "this node has not heard what it is".to_owned())?;
        if lease_left < LEASE_MARGIN {
            return Err(format!("the lease has only {lease_left:?} left, or this session is over"));
        }
        match &self.state {
            State::Running { held, .. } if held.epoch < epoch && held.spec.guard != now.guard => {
                Err("it has to be stopped first: it was started under another guard".to_owned())
            }
            State::Stopped | State::Running { .. } => Ok(()),
            State::Starting { held, .. } if held.epoch == epoch => Ok(()),
            State::Starting { held, .. } => Err(format!("it is starting under epoch {}", held.epoch)),
            State::Failed { why, .. } => Err(format!("it has to be stopped first, it failed: {why}")),
            State::Stopping { .. } => Err("it is being stopped".to_owned()),
            State::Stuck { why, .. } => Err(format!("it could not be stopped: {why}")),
        }
    }

    fn on_start(&mut self, order: &Order, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Starting { orders, .. } => push_order(orders, order.id),
            State::Running { held, .. } => {
                // What runs keeps running, under the later right.
                (held.epoch, held.session) = (order.epoch, order.session);
                self.last_session = order.session;
                actions.push(Action::Record);
                self.answer(order.id, Outcome::Done, actions);
            }
            State::Stopped | State::Failed { .. } | State::Stopping { .. } | State::Stuck { .. } => {
                let Some(spec) = self.configured.clone() else { return };
                let held = Held { spec, epoch: order.epoch, session: order.session };
                self.last_session = order.session;
                self.suspect = false;
                let mut begin = Vec::new();
                let ticket = self.run(Operation::Start, &held, &mut begin);
                self.state = State::Starting { held, ticket, orders: vec![order.id], adopting: false };
                actions.push(Action::Record);
                actions.extend(begin);
            }
        }
    }

    fn on_stop(&mut self, order: &Order, actions: &mut Vec<Action>) {
        self.barred = self.barred.max(order.epoch);
        let later = self.held().is_some_and(|held| held.epoch > order.epoch);
        if self.state == State::Stopped || later {
            self.closed = self.closed.max(order.epoch);
            actions.push(Action::Record);
            return self.answer(order.id, Outcome::Done, actions);
        }
        self.begin_stop(Stop::Orderly, Some(order.id), None, actions);
    }

    /// Begins to stop what is held, or joins a stop that is under way.
    fn begin_stop(
        &mut self,
        how: Stop,
        order: Option<OrderId>,
        letting_go: Option<Stop>,
        actions: &mut Vec<Action>,
    ) {
        let (held, busy) = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Stopped => return,
            State::Stopping { held, mut stop } => {
                if let Some(order) = order {
                    push_order(&mut stop.orders, order);
                }
                if how == Stop::AtOnce && stop.how == Stop::Orderly {
                    // Cancelling a stop makes it faster.
                    stop.how = how;
                    actions.push(Action::Cancel(stop.after.unwrap_or(stop.ticket)));
                }
                stop.letting_go = stop.letting_go.or(letting_go);
                self.state = State::Stopping { held, stop };
                return;
            }
            State::Starting { held, ticket, orders, .. } => {
                for start in orders {
                    let outcome = Outcome::Refused("it was stopped before it had started".to_owned());
                    self.answer(start, outcome, actions);
                }
                (held, Some(ticket))
            }
            State::Running { held, asking } => (held, asking.map(|asking| asking.ticket)),
            State::Failed { held, asking, .. } => (held, asking.map(Question::ticket)),
            State::Stuck { held, .. } => (held, None),
        };
        self.barred = self.barred.max(held.epoch);
        let mut begin = Vec::new();
        let (ticket, after) = match busy {
            Some(busy) => {
                begin.push(Action::Cancel(busy));
                (busy, Some(busy))
            }
            None => (self.run(Operation::Stop(how), &held, &mut begin), None),
        };
        let orders = order.into_iter().collect();
        self.state = State::Stopping { held, stop: Stopping { ticket, after, how, orders, letting_go } };
        actions.push(Action::Record);
        actions.extend(begin);
    }

    fn on_let_go(&mut self, session: Session, how: Stop, actions: &mut Vec<Action>) {
        let over = self
            .held()
            .is_some_and(|held| held.session.boot != session.boot || held.session.number <= session.number);
        if over {
            self.begin_stop(how, None, Some(how), actions);
        }
    }

    fn on_end(
        &mut self,
        ended: Ticket,
        outcome: Outcome,
        stalled: Option<String>,
        actions: &mut Vec<Action>,
    ) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Starting { held, ticket, orders, adopting } if ticket == ended => {
                self.started(held, orders, adopting, &outcome, actions);
            }
            State::Running { held, asking: Some(asking) } if asking.ticket == ended => {
                if outcome == Outcome::TimedOut {
                    self.not_answered(held, &asking, stalled, actions);
                } else {
                    self.answered(held, &asking, outcome, actions);
                }
            }
            State::Failed { held, why, asking: Some(question) } if question.ticket() == ended => {
                self.doubted(held, why, question, &outcome, actions);
            }
            State::Stopping { held, mut stop } if stop.after == Some(ended) => {
                let ticket = self.run(Operation::Stop(stop.how), &held, actions);
                (stop.ticket, stop.after) = (ticket, None);
                self.state = State::Stopping { held, stop };
            }
            State::Stopping { held, stop } if stop.after.is_none() && stop.ticket == ended => {
                self.stopped(held, stop, &outcome, actions);
            }
            // The end of something that nobody waits for any more.
            other => self.state = other,
        }
    }

    fn started(
        &mut self,
        held: Held,
        orders: Vec<OrderId>,
        adopting: bool,
        outcome: &Outcome,
        actions: &mut Vec<Action>,
    ) {
        match outcome {
            Outcome::Done => {
                self.state = State::Running { held, asking: None };
                actions.extend([Action::Record, Action::Watch]);
                if std::mem::take(&mut self.suspect) {
                    actions.push(Action::WakeAfter(Duration::ZERO));
                } else {
                    self.wake_for_status(actions);
                }
            }
            // An agent that refuses has done nothing.
            Outcome::Refused(_) if !adopting => actions.push(Action::Record),
            Outcome::NotRunning if adopting => {
                let why = "it ended while no executor was there to see it".to_owned();
                self.state = State::Failed { held, why, asking: None };
            }
            other => self.state = State::Failed { held, why: other.to_string(), asking: None },
        }
        for order in orders {
            self.answer(order, outcome.clone(), actions);
        }
        if adopting {
            actions.push(Action::Changed);
        }
    }

    /// A question for the status was answered.
    fn answered(&mut self, held: Held, asking: &Asking, outcome: Outcome, actions: &mut Vec<Action>) {
        match outcome {
            Outcome::Done => {
                self.state = State::Running { held, asking: None };
                actions.extend(asking.slow.as_ref().map(|_| Action::Changed));
                self.wake_for_status(actions);
            }
            Outcome::NotRunning => self.fail(held, "it does not run any more".to_owned(), actions),
            other => self.fail(held, other.to_string(), actions),
        }
    }

    /// A question for the status was not answered in time.
    fn not_answered(
        &mut self,
        held: Held,
        asking: &Asking,
        stalled: Option<String>,
        actions: &mut Vec<Action>,
    ) {
        let (vain, slow) = match slow::judge(asking.vain, stalled.is_some()) {
            Verdict::Again(vain) => (vain, asking.slow.clone()),
            Verdict::Slow(vain) => (vain, asking.slow.clone().or(stalled)),
            Verdict::Failed(why) => return self.fail(held, why, actions),
        };
        let ticket = self.run(Operation::Status, &held, actions);
        let changed = slow != asking.slow;
        self.state = State::Running { held, asking: Some(Asking { ticket, vain, slow }) };
        actions.extend(changed.then_some(Action::Changed));
    }

    fn fail(&mut self, held: Held, why: String, actions: &mut Vec<Action>) {
        self.state = State::Failed { held, why, asking: None };
        actions.push(Action::Changed);
    }

    fn stopped(&mut self, held: Held, stop: Stopping, outcome: &Outcome, actions: &mut Vec<Action>) {
        let outcome = if *outcome == Outcome::NotRunning { &Outcome::Done } else { outcome };
        if outcome.is_done() {
            self.closed = self.closed.max(held.epoch).max(self.barred);
            self.stops_in_vain = 0;
        } else {
            self.stops_in_vain = self.stops_in_vain.saturating_add(1);
            let why = outcome.to_string();
            self.state = State::Stuck { held, why, letting_go: stop.letting_go };
        }
        actions.push(Action::Record);
        let nobody_waits = stop.orders.is_empty();
        for order in stop.orders {
            self.answer(order, outcome.clone(), actions);
        }
        // Nobody may have been told: it was tried again by itself.
        if stop.letting_go.is_some() || !outcome.is_done() || nobody_waits {
            actions.push(Action::Changed);
        }
        let again = match stop.letting_go {
            Some(_) => Some(LET_GO_AGAIN_AFTER),
            None => (self.stops_in_vain < STOPS_MAX).then_some(STOP_AGAIN_AFTER),
        };
        actions.extend(again.filter(|_| !outcome.is_done()).map(Action::WakeAfter));
    }

    fn on_lost(&mut self, why: String, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Running { held, asking } => {
                let asking = asking.map(|asking| Question::Stale(asking.ticket));
                actions.extend(asking.map(|question| Action::Cancel(question.ticket())));
                self.state = State::Failed { held, why, asking };
                actions.push(Action::Changed);
            }
            // The start may not know it yet.
            State::Starting { held, ticket, orders, adopting } => {
                self.suspect = true;
                self.state = State::Starting { held, ticket, orders, adopting };
            }
            other => self.state = other,
        }
    }

    fn on_regained(&mut self, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Failed { held, why, asking: None } => {
                let asked = self.run(Operation::Status, &held, actions);
                self.state = State::Failed { held, why, asking: Some(Question::Back(asked)) };
            }
            State::Failed { held, why, asking: Some(Question::Stale(ticket)) } => {
                self.state = State::Failed { held, why, asking: Some(Question::StaleOnceMore(ticket)) };
            }
            other => self.state = other,
        }
    }

    /// A question about something that failed was answered.
    fn doubted(
        &mut self,
        held: Held,
        why: String,
        question: Question,
        outcome: &Outcome,
        actions: &mut Vec<Action>,
    ) {
        match question {
            Question::Back(_) if outcome.is_done() => {
                self.state = State::Running { held, asking: None };
                actions.extend([Action::Changed, Action::Watch]);
                self.wake_for_status(actions);
            }
            Question::Back(_) | Question::Stale(_) => self.state = State::Failed { held, why, asking: None },
            Question::StaleOnceMore(_) => {
                self.state = State::Failed { held, why, asking: None };
                self.on_regained(actions);
            }
        }
    }

    fn on_due(&mut self, actions: &mut Vec<Action>) {
        match &self.state {
            State::Running { held, asking: None } => {
                let held = held.clone();
                let ticket = self.run(Operation::Status, &held, actions);
                self.state = State::Running {
                    held,
                    asking: Some(Asking { ticket, vain: Vain::default(), slow: None }),
                };
            }
            State::Stuck { letting_go, .. } if letting_go.is_some() || self.stops_in_vain < STOPS_MAX => {
                let letting_go = *letting_go;
                self.begin_stop(letting_go.unwrap_or(Stop::Orderly), None, letting_go, actions);
            }
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Failed { .. }
            | State::Stopping { .. }
            | State::Stuck { .. } => {}
        }
    }

    fn on_adopt(&mut self, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Failed { held, asking: None, .. } => {
                let ticket = self.run(Operation::Adopt, &held, actions);
                self.state = State::Starting { held, ticket, orders: Vec::new(), adopting: true };
            }
            State::Stuck { held, why, letting_go } => {
                self.state = State::Stuck { held, why, letting_go };
                self.begin_stop(letting_go.unwrap_or(Stop::Orderly), None, letting_go, actions);
            }
            other => self.state = other,
        }
    }

    fn wake_for_status(&self, actions: &mut Vec<Action>) {
        if let Some(every) =
            self.held().map(|held| held.spec.timeouts.status_every).filter(|every| !every.is_zero())
        {
            actions.push(Action::WakeAfter(every));
        }
    }

    /// Whether a lease alone makes taking it over safe.
    pub(super) fn is_guarded_by_lease(&self) -> bool {
        self.held().is_some_and(|held| held.spec.guard == Guard::Lease)
    }
}

fn push_order(orders: &mut Vec<OrderId>, order: OrderId) {
    if !orders.contains(&order) && orders.len() < ORDERS_MAX {
        orders.push(order);
    }
}
