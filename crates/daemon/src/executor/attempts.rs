//! Attempts to switch other nodes off: each on a thread of its own, one at a time for each node.
//!
//! An attempt that is told again while it is under way, or after it has ended, is not made again: it has one answer.
//! A newer one waits for the end of the older, as two programs that talk to one device at once can disturb each
//! other. What is remembered here saves work and nothing else: after the end of an executor the core asks again.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use heart_agents::wait::Bell;
use heart_model::{BootId, FenceAct, FenceOrder, FenceOutcome, FenceReport, NODES_MAX, NodeName, series};

use super::work::Work;

/// Most attempts that are made at once: each may be a program with an interpreter of its own.
const AT_ONCE_MAX: usize = 16;

/// What carries out an attempt; gives up soon after the bell was rung.
pub(super) type CarryOut = dyn Fn(&FenceOrder, &Bell) -> FenceOutcome + Send + Sync;

/// Which attempt at which life of a node.
type Which = (BootId, u32);

/// All attempts: under way, waiting, and the last of each node.
pub(super) struct Attempts {
    carry_out: Arc<CarryOut>,
    work: Work<FenceReport>,
    /// Rung when this executor ends.
    cancel: Arc<Bell>,
    /// At most one for each node, in the order in which they were told.
    waiting: VecDeque<FenceOrder>,
    under_way: BTreeMap<NodeName, Which>,
    ended: BTreeMap<NodeName, FenceReport>,
    /// What can be said at once.
    answers: Vec<FenceReport>,
}

impl AsFd for Attempts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.work.as_fd()
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.cancel.ring();
    }
}

impl Attempts {
    pub(super) fn new(carry_out: Arc<CarryOut>) -> io::Result<Attempts> {
        Ok(Attempts {
            carry_out,
            work: Work::new()?,
            cancel: Arc::new(Bell::new()?),
            waiting: VecDeque::new(),
            under_way: BTreeMap::new(),
            ended: BTreeMap::new(),
            answers: Vec::new(),
        })
    }

    /// Makes an attempt as soon as may be, unless it was made.
    pub(super) fn take(&mut self, order: FenceOrder) {
        let (node, which) = (&order.node, (order.boot, order.attempt));
        if let Some(report) = self.ended.get(node).filter(|report| (report.boot, report.attempt) == which) {
            let again = report.clone();
            return self.answer(again);
        }
        let waits = self.waiting.iter().position(|other| other.node == *node);
        let waiting = waits.and_then(|at| self.waiting.get(at)).map(|other| (other.boot, other.attempt));
        let ended = self.ended.get(node).map(|report| (report.boot, report.attempt));
        let known = [self.under_way.get(node).copied(), waiting, ended];
        if known.contains(&Some(which)) {
            return;
        }
        let is_newer = |(boot, attempt): &Which| {
            *boot == which.0 && *attempt > which.1 && series(*attempt) == series(which.1)
        };
        if let Some((_, newer)) = known.into_iter().flatten().find(is_newer) {
            return self.answer(overtaken(order, newer));
        }
        if let Some(older) = waits.and_then(|at| self.waiting.remove(at)) {
            self.answer(overtaken(older, order.attempt));
        }
        if self.waiting.len() >= NODES_MAX {
            let message = format!("{NODES_MAX} other attempts wait for their turn: try again later");
            return self.answer(failed(order, message));
        }
        self.waiting.push_back(order);
        self.begin();
    }

    /// The attempts that have ended since the last call.
    pub(super) fn finished(&mut self) -> Vec<FenceReport> {
        let mut all = std::mem::take(&mut self.answers);
        for report in self.work.ended() {
            self.under_way.remove(&report.node);
            if self.ended.len() >= NODES_MAX {
                // Nodes that are no more: what is forgotten is at most done once again.
                self.ended.clear();
            }
            self.ended.insert(report.node.clone(), report.clone());
            all.push(report);
        }
        self.begin();
        all
    }

    fn answer(&mut self, report: FenceReport) {
        self.answers.push(report);
        self.work.ring();
    }

    /// Begins what there are places for.
    fn begin(&mut self) {
        let mut later = VecDeque::new();
        while let Some(order) = self.waiting.pop_front() {
            if self.under_way.len() >= AT_ONCE_MAX || self.under_way.contains_key(&order.node) {
                later.push_back(order);
            } else {
                self.spawn(order);
            }
        }
        self.waiting = later;
    }

    fn spawn(&mut self, order: FenceOrder) {
        self.under_way.insert(order.node.clone(), (order.boot, order.attempt));
        let (carry_out, cancel) = (Arc::clone(&self.carry_out), Arc::clone(&self.cancel));
        let message = "what carries it out broke down; the log says where".to_owned();
        let (broken, kept) = (failed(order.clone(), message), order.clone());
        let work = move || {
            let to = if order.act == FenceAct::Off { "switch it off" } else { "give it power" };
            tracing::info!("{}: attempt {} to {to} begins", order.node, order.attempt);
            let outcome = carry_out(&order, &cancel);
            match &outcome {
                FenceOutcome::Off => tracing::info!("{} is off", order.node),
                FenceOutcome::ShutOut => tracing::info!("{} is shut out from its storage", order.node),
                FenceOutcome::On => tracing::info!("{} has power", order.node),
                FenceOutcome::Silent => tracing::info!("{} was silent for long enough", order.node),
                FenceOutcome::Failed { message } => {
                    tracing::warn!("{}: nothing is proven: {message}", order.node);
                }
            }
            report(order, outcome)
        };
        if let Err(error) = self.work.begin("heart-fence", work, || broken) {
            self.work.end(failed(kept, format!("the executor has no thread for it: {error}")));
        }
    }
}

fn report(order: FenceOrder, outcome: FenceOutcome) -> FenceReport {
    FenceReport { node: order.node, boot: order.boot, attempt: order.attempt, outcome }
}

fn failed(order: FenceOrder, message: String) -> FenceReport {
    report(order, FenceOutcome::Failed { message })
}

fn overtaken(order: FenceOrder, newer: u32) -> FenceReport {
    failed(order, format!("attempt {newer} came before it was begun: nothing was done for it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_agents::wait;
    use heart_model::FenceRight;
    use std::{
        sync::{Mutex, mpsc},
        time::{Duration, Instant},
    };

    /// Longest that a test waits for what has to happen.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn order(node: &str, boot: u128, attempt: u32) -> FenceOrder {
        FenceOrder {
            node: NodeName::new(node).unwrap(),
            boot: BootId(boot),
            attempt,
            devices: Vec::new(),
            act: FenceAct::Off,
            right: FenceRight::Agreed,
            session: None,
            hesitation: Duration::ZERO,
            addresses: Vec::new(),
        }
    }

    /// Attempts that begin when they are told to, and end when the test says so.
    struct Stage {
        attempts: Attempts,
        begun: mpsc::Receiver<String>,
        end: mpsc::Sender<FenceOutcome>,
    }

    impl Stage {
        fn new() -> Stage {
            let (begins, begun) = mpsc::channel();
            let (end, ends) = mpsc::channel();
            let (begins, ends) = (Mutex::new(begins), Mutex::new(ends));
            let carry_out = move |order: &FenceOrder, _: &Bell| {
                begins.lock().unwrap().send(format!("{} {}", order.node, order.attempt)).unwrap();
                ends.lock().unwrap().recv_timeout(PATIENCE).unwrap()
            };
            Stage { attempts: Attempts::new(Arc::new(carry_out)).unwrap(), begun, end }
        }

        fn begins(&self, what: &str) {
            assert_eq!(self.begun.recv_timeout(PATIENCE).unwrap(), what);
        }

        /// What is said next, in short.
        fn says(&mut self) -> Vec<String> {
            let until = Instant::now() + PATIENCE;
            assert!(wait::any(&[self.attempts.as_fd()], Some(until)).unwrap()[0], "nothing is said");
            let short = |report: FenceReport| match report.outcome {
                FenceOutcome::Silent => "silent".into(),
                FenceOutcome::On => "on".into(),
                FenceOutcome::ShutOut => "shut out".into(),
                FenceOutcome::Off => format!("{} {} off", report.node, report.attempt),
                FenceOutcome::Failed { message } => format!("{} {} {message}", report.node, report.attempt),
            };
            self.attempts.finished().into_iter().map(short).collect()
        }
    }

    #[test]
    fn an_attempt_is_made_once_and_has_one_answer() {
        let mut stage = Stage::new();
        stage.attempts.take(order("ada", 7, 1));
        stage.begins("ada 1");
        stage.attempts.take(order("ada", 7, 1));
        stage.end.send(FenceOutcome::Off).unwrap();
        assert_eq!(stage.says(), ["ada 1 off"]);
        stage.attempts.take(order("ada", 7, 1));
        assert_eq!(stage.says(), ["ada 1 off"], "told again, it is answered from memory");
        assert!(stage.begun.try_recv().is_err(), "and not made again");
        stage.attempts.take(order("ada", 8, 1));
        stage.begins("ada 1");
        stage.end.send(FenceOutcome::Failed { message: "no".into() }).unwrap();
        assert_eq!(stage.says(), ["ada 1 no"], "another life of the node is another attempt");
    }

    #[test]
    fn a_newer_attempt_waits_for_the_end_of_the_older() {
        let mut stage = Stage::new();
        stage.attempts.take(order("ada", 7, 1));
        stage.begins("ada 1");
        stage.attempts.take(order("ada", 7, 2));
        stage.attempts.take(order("ada", 7, 4));
        let said = stage.says();
        assert!(said[0].starts_with("ada 2 attempt 4 came"), "{said:?}");
        stage.attempts.take(order("ada", 7, 3));
        let said = stage.says();
        assert!(said[0].starts_with("ada 3 attempt 4 came"), "{said:?}");
        assert!(stage.begun.try_recv().is_err(), "one after another");
        stage.end.send(FenceOutcome::Failed { message: "no".into() }).unwrap();
        assert_eq!(stage.says(), ["ada 1 no"]);
        stage.begins("ada 4");
        stage.end.send(FenceOutcome::Off).unwrap();
        assert_eq!(stage.says(), ["ada 4 off"]);
    }

    /// Half of the voters counts from a number that the log never reaches.
    #[test]
    fn attempts_of_half_of_the_voters_say_nothing_of_the_age_of_those_in_the_log() {
        let mut stage = Stage::new();
        for attempt in [heart_model::ATTEMPTS_OF_HALF + 3, 1, heart_model::ATTEMPTS_TO_BE_LET_IN, 2] {
            stage.attempts.take(order("ada", 7, attempt));
            stage.begins(&format!("ada {attempt}"));
            stage.end.send(FenceOutcome::On).unwrap();
            assert_eq!(stage.says(), ["on"]);
        }
    }

    #[test]
    fn nodes_do_not_wait_for_each_other_up_to_a_bound() {
        let (begins, begun) = mpsc::channel();
        let begins = Mutex::new(begins);
        let until_cancelled = move |order: &FenceOrder, cancel: &Bell| {
            begins.lock().unwrap().send(order.attempt).unwrap();
            wait::any(&[cancel.as_fd()], Some(Instant::now() + PATIENCE)).unwrap();
            begins.lock().unwrap().send(0).unwrap();
            FenceOutcome::Off
        };
        let mut attempts = Attempts::new(Arc::new(until_cancelled)).unwrap();
        for node in 0..=AT_ONCE_MAX {
            attempts.take(order(&format!("n{node}"), 7, 1));
        }
        for _ in 0..AT_ONCE_MAX {
            assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), 1);
        }
        assert_eq!((attempts.under_way.len(), attempts.waiting.len()), (AT_ONCE_MAX, 1));
        drop(attempts);
        assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), 0, "they end with the executor");
    }

    #[test]
    fn what_breaks_down_is_a_failure() {
        let mut attempts = Attempts::new(Arc::new(|_: &FenceOrder, _: &Bell| panic!("on purpose"))).unwrap();
        attempts.take(order("ada", 7, 1));
        assert!(wait::any(&[attempts.as_fd()], Some(Instant::now() + PATIENCE)).unwrap()[0]);
        let said = attempts.finished();
        assert!(
            matches!(&said[0].outcome, FenceOutcome::Failed { message } if message.contains("broke down"))
        );
    }
}
