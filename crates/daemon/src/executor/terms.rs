//! The words between a unit and the executor that performs for it.

use heart_agents::Stop;
use heart_model::{Duration, Epoch, Order, OrderId, Outcome, ResourceName, ResourceSpec, Session};
use serde::{Deserialize, Serialize};

use super::slow::Vain;

/// Names one operation of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(pub(super) u64);

/// What an agent can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Start,
    Stop(Stop),
    Status,
    Adopt,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// The configuration says what it is, or that it is no more.
    Configured(Option<Box<ResourceSpec>>),
    /// An order came. `lease_left`: what remains of the lease, nothing if the session is over.
    Ordered { order: Order, lease_left: Duration },
    /// The right to run what was granted in this session or before is over.
    LetGo { session: Session, how: Stop },
    /// An operation came to its end. `stalled`: it took too long, and the machine is stalled; how.
    Ended { ticket: Ticket, outcome: Outcome, stalled: Option<String> },
    /// It is gone or does not work.
    Lost(String),
    /// It was gone and may be back.
    Regained,
    /// The time has come that [`Action::WakeAfter`] asked for.
    Due,
    /// This executor has just begun, and the resource may be there.
    Adopt,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Make the unit's record durable before anything that follows.
    Record,
    /// Ask the agent; the end comes as [`Event::Ended`].
    Run { ticket: Ticket, operation: Operation, held: Box<Held> },
    /// Nobody waits for this operation any more: make it end soon.
    Cancel(Ticket),
    /// Tell the core how an order ended.
    Report(OrderId, Outcome),
    /// Tell the core that something changed that it did not order.
    Changed,
    /// Hear of its end from now on.
    Watch,
    /// Send [`Event::Due`] then; an earlier wish is forgotten.
    WakeAfter(Duration),
}

/// What runs, or may run, under which right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) spec: ResourceSpec,
    pub(super) epoch: Epoch,
    pub(super) session: Session,
}

/// What the next executor has to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) resource: ResourceName,
    pub(super) held: Option<Held>,
    /// A stop had begun.
    pub(super) stopping: bool,
    pub(super) closed: Epoch,
    pub(super) barred: Epoch,
    /// Counts starts on this node: what started last stops first.
    pub(super) sequence: u64,
}

/// What is still being asked of something that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Question {
    /// Asked before it failed: the answer means nothing, but it has to be waited for.
    Stale(Ticket),
    /// The same, and since then it may have come back: to be asked anew.
    StaleOnceMore(Ticket),
    /// Asked whether it is back.
    Back(Ticket),
}

impl Question {
    pub(super) fn ticket(self) -> Ticket {
        match self {
            Question::Stale(ticket) | Question::StaleOnceMore(ticket) | Question::Back(ticket) => ticket,
        }
    }
}

/// How something that runs is being asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asking {
    pub(super) ticket: Ticket,
    /// Earlier questions that were not answered in time.
    pub(super) vain: Vain,
    /// Why the answers are slow, if they are.
    pub(super) slow: Option<String>,
}
