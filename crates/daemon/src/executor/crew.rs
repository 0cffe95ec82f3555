//! The threads that do what agents do: one for each operation under way, and one in reserve for stops. A node that can
//! make no thread any more is sick, and is to hand over what it runs: it has to be able to stop it.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Instant,
};

use heart_agents::{Agents, Job, wait::Bell};
use heart_model::{Duration, ORDERS_IN_FLIGHT_MAX, Outcome, ResourceName};

use super::{
    terms::{Held, Operation, Ticket},
    work::Work,
};

/// Stops never wait for starts and questions: they have places of their own.
const STOPS_MAX: usize = ORDERS_IN_FLIGHT_MAX;

/// One operation that is to be done.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) resource: ResourceName,
    pub(super) ticket: Ticket,
    pub(super) operation: Operation,
    pub(super) held: Held,
}

impl Task {
    fn is_stop(&self) -> bool {
        matches!(self.operation, Operation::Stop(_))
    }

    fn timeout(&self) -> Duration {
        let timeouts = &self.held.spec.timeouts;
        match self.operation {
            Operation::Start => timeouts.start,
            Operation::Stop(_) => timeouts.stop,
            Operation::Status => timeouts.status,
            // What was starting when the last executor died may still be at it.
            Operation::Adopt => timeouts.start.max(timeouts.status),
        }
    }
}

/// How an operation ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) resource: ResourceName,
    pub(super) ticket: Ticket,
    pub(super) outcome: Outcome,
    /// By how much it ended later than it should have at the latest.
    pub(super) late: Duration,
}

/// Everybody who works, and what waits for them.
pub(super) struct Crew {
    agents: Arc<Agents>,
    /// What ends, and whether it was a stop.
    work: Work<(Done, bool)>,
    waiting: VecDeque<Task>,
    cancels: BTreeMap<(ResourceName, Ticket), Arc<Bell>>,
    busy: usize,
    stopping: usize,
}

impl AsFd for Crew {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.work.as_fd()
    }
}

impl Crew {
    pub(super) fn new(agents: Arc<Agents>) -> io::Result<Crew> {
        Ok(Crew {
            agents,
            work: Work::with_reserve()?,
            waiting: VecDeque::new(),
            cancels: BTreeMap::new(),
            busy: 0,
            stopping: 0,
        })
    }

    /// Does it now, or as soon as there is a place. Bounded by one operation for each resource.
    pub(super) fn take(&mut self, task: Task) {
        self.waiting.push_back(task);
        self.begin();
    }

    /// Lets an operation end soon; one that has not begun ends at once.
    pub(super) fn cancel(&mut self, resource: &ResourceName, ticket: Ticket) {
        if let Some(bell) = self.cancels.get(&(resource.clone(), ticket)) {
            bell.ring();
        }
        let waits = self.waiting.iter().position(|task| task.resource == *resource && task.ticket == ticket);
        // A stop that waits is not worth less for being in a hurry.
        if let Some(task) = waits.and_then(|at| self.waiting.get(at)).filter(|task| !task.is_stop()) {
            let outcome = Outcome::Refused("it was cancelled before it began".to_owned());
            let done = Done { resource: task.resource.clone(), ticket, outcome, late: Duration::ZERO };
            self.waiting.retain(|task| task.resource != *resource || task.ticket != ticket);
            self.busy += 1;
            self.work.end((done, false));
        }
    }

    /// What has ended since the last call.
    pub(super) fn finished(&mut self) -> Vec<Done> {
        let mut all = Vec::new();
        for (done, was_stop) in self.work.ended() {
            *if was_stop { &mut self.stopping } else { &mut self.busy } -= 1;
            self.cancels.remove(&(done.resource.clone(), done.ticket));
            all.push(done);
        }
        self.begin();
        all
    }

    /// Begins what there are places for.
    fn begin(&mut self) {
        let mut later = VecDeque::new();
        while let Some(task) = self.waiting.pop_front() {
            let is_stop = task.is_stop();
            let place = if is_stop { self.stopping < STOPS_MAX } else { self.busy < ORDERS_IN_FLIGHT_MAX };
            if !place {
                later.push_back(task);
                continue;
            }
            *if is_stop { &mut self.stopping } else { &mut self.busy } += 1;
            self.spawn(task);
        }
        self.waiting = later;
    }

    fn spawn(&mut self, task: Task) {
        let is_stop = task.is_stop();
        let (resource, ticket) = (task.resource.clone(), task.ticket);
        let ended =
            |outcome| (Done { resource: resource.clone(), ticket, outcome, late: Duration::ZERO }, is_stop);
        let failed =
            |why: io::Error| ended(Outcome::Failed(format!("the executor has no thread for it: {why}")));
        let cancel = match Bell::new() {
            Ok(bell) => Arc::new(bell),
            Err(error) => return self.work.end(failed(error)),
        };
        self.cancels.insert((resource.clone(), ticket), Arc::clone(&cancel));
        let agents = Arc::clone(&self.agents);
        let broken = ended(Outcome::Failed("its agent broke down; the log says where".to_owned()));
        let work = move || {
            let deadline = Instant::now() + task.timeout();
            let outcome = operate(&agents, &task, deadline, &cancel);
            let late = Instant::now().saturating_duration_since(deadline);
            (Done { resource: task.resource, ticket: task.ticket, outcome, late }, is_stop)
        };
        let begun = match is_stop {
            true => self.work.begin_in_any_case("heart-agent", work, || broken),
            false => self.work.begin("heart-agent", work, || broken),
        };
        if let Err(error) = begun {
            self.work.end(failed(error));
        }
    }
}

fn operate(agents: &Agents, task: &Task, deadline: Instant, cancel: &Bell) -> Outcome {
    let agent = match agents.get(&task.held.spec.agent) {
        Ok(agent) => agent,
        Err(why) => return Outcome::Unable(why),
    };
    let job = Job {
        resource: &task.resource,
        spec: &task.held.spec,
        epoch: task.held.epoch,
        session: task.held.session,
        deadline,
        cancel,
    };
    match task.operation {
        Operation::Start => agent.start(&job),
        Operation::Stop(how) => agent.stop(&job, how),
        Operation::Status => agent.status(&job),
        Operation::Adopt => agent.adopt(&job),
    }
}
