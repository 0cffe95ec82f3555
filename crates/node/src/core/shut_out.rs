//! A node that others shut out from the storage that all share has itself let in again before it takes part.
//!
//! Such a device leaves the node its power: its session is over, it lets go, and it is back in the same life. So before a
//! session is taken in, the node tells its own devices to let it in, and asks them whether it is. Whoever may still shut
//! it out has the right to do so in the log, and as long as that is open nothing is asked for. Nor is it while anything of
//! the session that is over is still there: it would write beside the next owner.

use heart_model::{
    BootId, Duration, FenceAct, FenceDevice, FenceOrder, FenceOutcome, FenceReport, FenceRight, Moment,
    NodeName, Session, ToExecutor,
};

use super::{Action, Core, Message, Out};
use crate::{
    board::Board,
    ledger::devices,
    plant::{Bug, is_planted},
};

/// How long is waited after an attempt that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The number of the first attempt of a node to be let in: none in the log comes so far.
const ATTEMPTS_FROM: u32 = heart_model::ATTEMPTS_TO_BE_LET_IN;

/// What a node remembers of being let in.
#[derive(Debug, Default)]
pub(super) struct ShutOut {
    /// The number of the next attempt: no two in one life of the machine are the same.
    next: u32,
    under_way: Option<Attempt>,
    /// For which session it was let in, and how many attempts against it the log counted then.
    inside: Option<(Session, u32)>,
    not_before: Option<Moment>,
    failure: Option<String>,
    /// It takes no part before it is let in.
    waits: bool,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u32,
    boot: BootId,
    of: (Session, u32),
}

impl ShutOut {
    /// Counts on from a number that is not reached twice in one life of the machine.
    pub(super) fn count_from(&mut self, frame: u64) {
        let low = u32::try_from(frame % u64::from(ATTEMPTS_FROM)).unwrap_or_default();
        self.next = ATTEMPTS_FROM | low;
    }

    /// Whether the executor speaks of an attempt to let this node in.
    pub(super) fn on_report(
        &mut self,
        now: Moment,
        me: &NodeName,
        report: &FenceReport,
        out: &mut Out,
    ) -> bool {
        let is_meant = |known: &Attempt| (known.boot, known.number) == (report.boot, report.attempt);
        let Some(attempt) = self.under_way.filter(|_| report.node == *me).filter(is_meant) else {
            return false;
        };
        self.under_way = None;
        match &report.outcome {
            FenceOutcome::On => (self.inside, self.failure) = (Some(attempt.of), None),
            FenceOutcome::Failed { message } => {
                out.actions.push(Action::Note(format!("this node is not let in to its storage: {message}")));
                (self.not_before, self.failure) = (Some(now.after(AGAIN_AFTER)), Some(message.clone()));
            }
            // It was to be let in.
            FenceOutcome::Off | FenceOutcome::Silent | FenceOutcome::ShutOut => {}
        }
        true
    }

    /// The executor was started anew, and knows nothing of what it was told.
    pub(super) fn begin_anew(&mut self) {
        self.under_way = None;
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.not_before.filter(|_| self.under_way.is_none())
    }
}

impl Core {
    /// Has this node let in to its storage before it takes part.
    pub(super) fn have_let_in(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        let all = devices(spec, &self.settings.me).iter().flatten();
        let devices: Vec<FenceDevice> = all.filter(|device| device.shuts_out()).cloned().collect();
        let (own, session) = (self.ledger.nodes.get(&self.settings.me), board.session());
        let takes_part = own.is_some_and(|own| own.session == Some(session));
        let of = (session, own.map_or(0, |own| own.fence.attempts));
        let waits = !devices.is_empty() && !takes_part && self.shut_out.inside != Some(of);
        self.shut_out.waits = waits;
        let is_aimed_at = own.is_some_and(|own| own.fence.fencing.is_some());
        let lets_go = self.has_not_let_go(board) && !is_planted(Bug::LetInBeforeLettingGo);
        let too_soon = self.shut_out.not_before.is_some_and(|at| !now.has_surely_reached(at));
        if !waits
            || is_aimed_at
            || lets_go
            || too_soon
            || self.shut_out.under_way.is_some()
            || !self.executor_told
        {
            return;
        }
        let (number, boot) = (self.shut_out.next, session.boot);
        self.shut_out.next = number.checked_add(1).unwrap_or(ATTEMPTS_FROM);
        self.shut_out.under_way = Some(Attempt { number, boot, of });
        let order = FenceOrder {
            node: self.settings.me.clone(),
            boot,
            attempt: number,
            devices,
            act: FenceAct::On { other_levels: Vec::new() },
            right: FenceRight::Agreed,
            session: None,
            hesitation: Duration::ZERO,
            addresses: Vec::new(),
        };
        out.actions.push(Action::Note("having this node let in to its storage".into()));
        out.actions.push(Action::Execute(ToExecutor::Fence(order)));
    }

    /// Whether something of a session that is over may still be there, or cannot be stopped: that is shut out as long as
    /// it is. Or this node takes part already, and has not read that yet.
    fn has_not_let_go(&self, board: &Board) -> bool {
        board.is_deposed() || self.holder.is_letting_go() || self.holds().anything
    }

    /// Tells the leader for which session it was let in. The log of this node may be behind by then; the leader's is not.
    pub(super) fn tell_let_in(&mut self, now: Moment, out: &mut Out) {
        if let Some((session, attempts)) = self.shut_out.inside {
            self.tell_leader(Message::LetIn { session, attempts }, now, out);
        }
    }

    /// What is wrong with it, for people.
    pub(super) fn view_of_shut_out(&self) -> Option<String> {
        let me = &self.settings.me;
        let failure = self.shut_out.failure.as_ref().filter(|_| self.shut_out.waits)?;
        Some(format!("{me} is shut out from its storage, and takes no part until it is let in: {failure}"))
    }
}
