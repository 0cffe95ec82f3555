//! What every agent can do.

use std::{os::fd::OwnedFd, time::Instant};

use heart_model::{AgentInfo, Epoch, Outcome, ResourceName, ResourceSpec, Session};

use crate::wait::Bell;

/// One operation on one resource.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Which resource.
    pub resource: &'a ResourceName,
    /// What it is.
    pub spec: &'a ResourceSpec,
    /// Under which grant. A service can be told, so that it refuses a stale owner.
    pub epoch: Epoch,
    /// In which session of this node.
    pub session: Session,
    /// When the operation has to be over; an agent gives up by itself, cleanly, before.
    pub deadline: Instant,
    /// Rung when nobody wants the operation any more: give up as soon as possible.
    pub cancel: &'a Bell,
}

impl Job<'_> {
    /// Whether to give up: time is over, or somebody cancelled.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline || self.cancel.is_rung()
    }
}

/// How a resource shall be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// As its configuration says, giving it time to end well.
    Orderly,
    /// Now: the right to run it is over.
    AtOnce,
}

/// What knows how to run one kind of resource on this node.
///
/// Operations block the thread they are called on, never longer than until the job's deadline
/// plus what killing takes. Each is harmless when there is nothing to do.
pub trait Agent: Send + Sync {
    /// Starts it; `Done` when it serves.
    fn start(&self, job: &Job<'_>) -> Outcome;

    /// Stops it; `Done` when nothing of it is left.
    fn stop(&self, job: &Job<'_>, how: Stop) -> Outcome;

    /// Asks how it is: `Done` when it serves, `NotRunning` when nothing of it is there.
    fn status(&self, job: &Job<'_>) -> Outcome;

    /// Describes this kind of resource.
    ///
    /// # Errors
    /// When the description cannot be had, why, for people.
    fn info(&self) -> Result<AgentInfo, String>;

    /// Takes up what ran under an earlier executor, as it is: `Done` when it serves, and is
    /// watched again. Nothing is started or stopped.
    fn adopt(&self, job: &Job<'_>) -> Outcome {
        self.status(job)
    }

    /// Something that can be read as soon as the running resource has ended; asked for after a
    /// start or an adoption. Agents that notice otherwise, or not at all, have none.
    fn watch(&self, _job: &Job<'_>) -> Option<OwnedFd> {
        None
    }
}
