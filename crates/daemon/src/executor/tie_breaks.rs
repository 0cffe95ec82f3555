//! Changes of the tie-break's value: one at a time, on a thread of its own.
//!
//! Nothing is remembered of what has ended. An order that is told again is carried out again, which is harmless; an
//! answer from before could be wrong by now, as others may have changed the value.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use heart_agents::wait::Bell;
use heart_model::{TieBreakOrder, TieBreakOutcome, TieBreakReport};

use super::work::Work;

/// What carries out an order; gives up soon after the bell was rung.
pub(super) type Change = dyn Fn(&TieBreakOrder, &Bell) -> TieBreakReport + Send + Sync;

/// What is changed, and what is changed next.
pub(super) struct TieBreaks {
    change: Arc<Change>,
    work: Work<TieBreakReport>,
    /// Rung when this executor ends.
    cancel: Arc<Bell>,
    under_way: Option<TieBreakOrder>,
    waiting: Option<TieBreakOrder>,
    /// What can be said at once.
    answers: Vec<TieBreakReport>,
    /// Why it failed, as the log of this process has it.
    failing: Option<String>,
}

impl AsFd for TieBreaks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.work.as_fd()
    }
}

impl Drop for TieBreaks {
    fn drop(&mut self) {
        self.cancel.ring();
    }
}

impl TieBreaks {
    pub(super) fn new(change: Arc<Change>) -> io::Result<TieBreaks> {
        let (work, cancel) = (Work::new()?, Arc::new(Bell::new()?));
        Ok(TieBreaks {
            change,
            work,
            cancel,
            under_way: None,
            waiting: None,
            answers: Vec::new(),
            failing: None,
        })
    }

    /// Carries an order out as soon as may be, in place of one that waits. The one that is under way comes to its
    /// end first, and is not begun again.
    pub(super) fn take(&mut self, order: TieBreakOrder) {
        let begun = self.under_way.as_ref() == Some(&order);
        let newer = order.number;
        let older = if begun { self.waiting.take() } else { self.waiting.replace(order) };
        if let Some(older) = older.filter(|older| Some(older) != self.waiting.as_ref()) {
            let message = format!("order {newer} came before it was begun: nothing was done for it");
            self.answers.push(failed(&older, message));
        }
        self.begin();
        self.work.ring();
    }

    /// What has ended since the last call.
    pub(super) fn finished(&mut self) -> Vec<TieBreakReport> {
        let ended = self.work.ended();
        if !ended.is_empty() {
            self.under_way = None;
        }
        for report in &ended {
            match news(&mut self.failing, &report.outcome) {
                Some(News::Fails(message)) => tracing::warn!("{message}"),
                Some(News::Answers) => tracing::info!("the tie-break answers again"),
                None => {}
            }
        }
        let mut all = std::mem::take(&mut self.answers);
        all.extend(ended);
        self.begin();
        all
    }

    /// Begins what waits, if nothing is under way.
    fn begin(&mut self) {
        let Some(order) = self.waiting.take_if(|_| self.under_way.is_none()) else { return };
        let (change, cancel, obeyed) = (Arc::clone(&self.change), Arc::clone(&self.cancel), order.clone());
        let broken = failed(&order, "what carries it out broke down; the log says where".to_owned());
        let work = move || change(&obeyed, &cancel);
        match self.work.begin("heart-tiebreaks", work, || broken) {
            Ok(()) => self.under_way = Some(order),
            Err(error) => self.work.end(failed(
                &order,
                format!(
                    "the executor has no thread for it: {error}; see what takes up the threads of this node"
                ),
            )),
        }
    }
}

/// What the log has to say.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Fails(String),
    Answers,
}

/// What an outcome adds to what the log has of it: a leader asks every second as long as it fails.
fn news(failing: &mut Option<String>, outcome: &TieBreakOutcome) -> Option<News> {
    match outcome {
        TieBreakOutcome::Failed { message } if failing.as_ref() == Some(message) => None,
        TieBreakOutcome::Failed { message } => {
            *failing = Some(message.clone());
            Some(News::Fails(message.clone()))
        }
        TieBreakOutcome::Set | TieBreakOutcome::Other(_) => failing.take().map(|_| News::Answers),
    }
}

fn failed(order: &TieBreakOrder, message: String) -> TieBreakReport {
    TieBreakReport { number: order.number, outcome: TieBreakOutcome::Failed { message } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_agents::wait;
    use heart_model::{Standing, TieBreakPlace, TieBreakSpec};
    use std::{
        sync::{Mutex, mpsc},
        time::{Duration, Instant},
    };

    /// Longest that a test waits for what has to happen.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn order(number: u64, era: u64) -> TieBreakOrder {
        let place = TieBreakPlace::Witness { address: "nowhere:1".into() };
        TieBreakOrder {
            number,
            spec: TieBreakSpec { place, timeout: Duration::from_secs(1) },
            cluster: "web".into(),
            instead_of: None,
            set: Standing { era, parent: None, term: 1, configuration: 1, named: Vec::new() },
        }
    }

    /// Changes that begin when they are told to, and end when the test says so.
    struct Stage {
        all: TieBreaks,
        begun: mpsc::Receiver<(u64, u64)>,
        end: mpsc::Sender<()>,
    }

    impl Stage {
        fn new() -> Stage {
            let (begins, begun) = mpsc::channel();
            let (end, ends) = mpsc::channel();
            let (begins, ends) = (Mutex::new(begins), Mutex::new(ends));
            let change = move |order: &TieBreakOrder, _: &Bell| {
                begins.lock().unwrap().send((order.number, order.set.era)).unwrap();
                ends.lock().unwrap().recv_timeout(PATIENCE).unwrap();
                TieBreakReport { number: order.number, outcome: TieBreakOutcome::Set }
            };
            Stage { all: TieBreaks::new(Arc::new(change)).unwrap(), begun, end }
        }

        fn begins(&self, number: u64, era: u64) {
            assert_eq!(self.begun.recv_timeout(PATIENCE).unwrap(), (number, era));
        }

        fn ends(&self) {
            self.end.send(()).unwrap();
        }

        /// What is said next, that many times: of which order, and what came of it.
        fn says(&mut self, times: usize) -> Vec<String> {
            let until = Instant::now() + PATIENCE;
            let mut said = Vec::new();
            while said.len() < times {
                assert!(wait::any(&[self.all.as_fd()], Some(until)).unwrap()[0], "nothing is said: {said:?}");
                said.extend(self.all.finished().into_iter().map(|report| match report.outcome {
                    TieBreakOutcome::Failed { message } => format!("{}: {message}", report.number),
                    known => format!("{}: {known:?}", report.number),
                }));
            }
            said
        }
    }

    #[test]
    fn one_order_at_a_time_and_the_newest_of_those_that_wait() {
        let mut stage = Stage::new();
        stage.all.take(order(1, 1));
        stage.begins(1, 1);
        stage.all.take(order(2, 2));
        stage.all.take(order(3, 3));
        let overtaken = "2: order 3 came before it was begun: nothing was done for it";
        assert_eq!(stage.says(1), [overtaken]);
        stage.ends();
        assert_eq!(stage.says(1), ["1: Set"]);
        stage.begins(3, 3);
        stage.ends();
        assert_eq!(stage.says(1), ["3: Set"]);
    }

    #[test]
    fn the_same_order_is_answered_again_and_not_from_memory() {
        let mut stage = Stage::new();
        stage.all.take(order(1, 1));
        stage.begins(1, 1);
        stage.all.take(order(1, 1));
        stage.ends();
        assert_eq!(stage.says(1), ["1: Set"]);
        assert!(stage.begun.try_recv().is_err(), "it was under way");
        stage.all.take(order(1, 1));
        stage.begins(1, 1);
        stage.ends();
        assert_eq!(stage.says(1), ["1: Set"]);
    }

    /// A core that starts again may count from the beginning.
    #[test]
    fn the_same_number_for_something_else_is_another_order() {
        let mut stage = Stage::new();
        stage.all.take(order(1, 1));
        stage.begins(1, 1);
        stage.all.take(order(1, 2));
        stage.ends();
        assert_eq!(stage.says(1), ["1: Set"]);
        stage.begins(1, 2);
        stage.ends();
        assert_eq!(stage.says(1), ["1: Set"]);
    }

    #[test]
    fn why_it_fails_is_logged_once_and_that_it_does_not_any_more() {
        let fails = |why: &str| TieBreakOutcome::Failed { message: why.into() };
        let told = |why: &str| Some(News::Fails(why.into()));
        let mut failing = None;
        for (outcome, expected) in [
            (TieBreakOutcome::Set, None),
            (fails("it hangs"), told("it hangs")),
            (fails("it hangs"), None),
            (fails("it is not mounted"), told("it is not mounted")),
            (TieBreakOutcome::Other(None), Some(News::Answers)),
            (TieBreakOutcome::Set, None),
            (fails("it hangs"), told("it hangs")),
        ] {
            assert_eq!(news(&mut failing, &outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn what_breaks_down_has_failed() {
        let change = |_: &TieBreakOrder, _: &Bell| panic!("on purpose");
        let mut all = TieBreaks::new(Arc::new(change)).unwrap();
        all.take(order(1, 1));
        let until = Instant::now() + PATIENCE;
        let report = loop {
            assert!(wait::any(&[all.as_fd()], Some(until)).unwrap()[0], "nothing is said");
            if let Some(report) = all.finished().pop() {
                break report;
            }
        };
        assert!(
            matches!(report.outcome, TieBreakOutcome::Failed { message } if message.contains("broke down"))
        );
    }
}
