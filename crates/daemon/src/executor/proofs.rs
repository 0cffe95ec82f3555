//! Devices that are tried without doing anything to a node: one at a time, on a thread of its own.
//!
//! Many devices let only one in at a time, so whatever is tried gives way to an attempt to switch a node off, through
//! whichever device, and nothing is tried while one is under way. An attempt never waits for it for long: what hangs
//! in a trial must not keep a node from being switched off.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use heart_agents::wait::Bell;
use heart_model::{FenceProof, Finding};

use super::work::Work;

/// Longest that an attempt waits for the end of what gives way to it: killing a program takes less.
const GIVE_WAY_MAX: Duration = Duration::from_secs(1);

/// What tries a device; gives up soon after the bell was rung.
pub(super) type Prove = dyn Fn(&FenceProof, &Bell) -> Finding + Send + Sync;

/// What was to be tried, and what was found; none if it gave way.
pub(super) type Proved = (FenceProof, Option<Finding>);

/// Who uses devices at the moment: attempts, or what is tried.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<Users>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Users {
    attempts: usize,
    /// By this it is told to give way.
    trial: Option<Arc<Bell>>,
}

/// Says at its end that something does not use devices any more, also if that broke down.
struct End<'a>(&'a Turns, fn(&mut Users));

impl Drop for End<'_> {
    fn drop(&mut self) {
        (self.1)(&mut self.0.users());
        self.0.ended.notify_all();
    }
}

impl Turns {
    /// Makes an attempt; what is tried gives way.
    pub(super) fn attempt<T>(&self, attempt: impl FnOnce() -> T) -> T {
        let mut users = self.users();
        users.attempts += 1;
        let _end = End(self, |users| users.attempts -= 1);
        if let Some(bell) = &users.trial {
            bell.ring();
        }
        drop(self.ended.wait_timeout_while(users, GIVE_WAY_MAX, |users| users.trial.is_some()));
        attempt()
    }

    /// Tries something, unless there is an attempt; none if it gave way.
    fn trial<T>(&self, bell: &Arc<Bell>, trial: impl FnOnce() -> T) -> Option<T> {
        let mut users = self.users();
        if users.attempts > 0 || bell.is_rung() {
            return None;
        }
        users.trial = Some(Arc::clone(bell));
        drop(users);
        let _end = End(self, |users| users.trial = None);
        let found = trial();
        (!bell.is_rung()).then_some(found)
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        // Nothing that can panic happens between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is tried, and what is tried next.
pub(super) struct Proofs {
    prove: Arc<Prove>,
    turns: Arc<Turns>,
    work: Work<Proved>,
    under_way: Option<(FenceProof, Arc<Bell>)>,
    waiting: Option<FenceProof>,
    /// What can be said at once.
    answers: Vec<Proved>,
}

impl AsFd for Proofs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.work.as_fd()
    }
}

impl Drop for Proofs {
    fn drop(&mut self) {
        if let Some((_, bell)) = &self.under_way {
            bell.ring();
        }
    }
}

impl Proofs {
    pub(super) fn new(prove: Arc<Prove>, turns: Arc<Turns>) -> io::Result<Proofs> {
        let (work, answers) = (Work::new()?, Vec::new());
        Ok(Proofs { prove, turns, work, under_way: None, waiting: None, answers })
    }

    /// Tries a device as soon as may be; another one gives way.
    pub(super) fn take(&mut self, proof: FenceProof) {
        let begun = self.under_way.as_ref().is_some_and(|(other, bell)| *other == proof && !bell.is_rung());
        let older = if begun { self.waiting.take() } else { self.waiting.replace(proof) };
        if let Some(older) = older.filter(|older| self.waiting.as_ref() != Some(older)) {
            self.answers.push((older, None));
        }
        if let Some((_, bell)) = self.under_way.as_ref().filter(|_| !begun) {
            bell.ring();
        }
        self.begin();
        self.work.ring();
    }

    /// What has ended since the last call.
    pub(super) fn finished(&mut self) -> Vec<Proved> {
        let ended = self.work.ended();
        if !ended.is_empty() {
            self.under_way = None;
        }
        self.begin();
        let mut all = std::mem::take(&mut self.answers);
        all.extend(ended);
        all
    }

    /// Begins what waits, if nothing is under way.
    fn begin(&mut self) {
        let Some(proof) = self.waiting.take_if(|_| self.under_way.is_none()) else { return };
        let unusable = |why: String| Some(Finding::Unusable(why));
        let bell = match Bell::new() {
            Ok(bell) => Arc::new(bell),
            Err(error) => return self.answers.push((proof, unusable(no_room(&error)))),
        };
        let (prove, turns, cancel, tried) =
            (Arc::clone(&self.prove), Arc::clone(&self.turns), Arc::clone(&bell), proof.clone());
        let broken = (proof.clone(), unusable("what tries it broke down; the log says where".to_owned()));
        let work = move || {
            let finding = turns.trial(&cancel, || prove(&tried, &cancel));
            (tried, finding)
        };
        match self.work.begin("heart-prove", work, || broken) {
            Ok(()) => self.under_way = Some((proof, bell)),
            Err(error) => self.answers.push((proof, unusable(no_room(&error)))),
        }
    }
}

fn no_room(error: &io::Error) -> String {
    format!("the executor cannot try it: {error}; see what takes up the threads and files of this node")
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_agents::wait;
    use heart_model::{FenceAgent, FenceDevice, NodeName, Power};
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    /// Longest that a test waits for what has to happen.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn proof(node: &str) -> FenceProof {
        let device = FenceDevice {
            agent: FenceAgent::parse("fence_test").unwrap(),
            parameters: [].into(),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(1),
            timeout_is_least: false,
        };
        FenceProof { node: NodeName::new(node).unwrap(), device }
    }

    /// Devices that are tried when the test says so, and end when it says so or they are told to give way.
    struct Stage {
        proofs: Proofs,
        turns: Arc<Turns>,
        begun: mpsc::Receiver<NodeName>,
        end: Arc<Bell>,
    }

    impl Stage {
        fn new() -> Stage {
            let (begins, begun) = mpsc::channel();
            let (begins, end) = (Mutex::new(begins), Arc::new(Bell::new().unwrap()));
            let ends = Arc::clone(&end);
            let prove = move |proof: &FenceProof, cancel: &Bell| {
                begins.lock().unwrap().send(proof.node.clone()).unwrap();
                wait::any(&[ends.as_fd(), cancel.as_fd()], Some(Instant::now() + PATIENCE)).unwrap();
                Finding::Ready(Power::On)
            };
            let turns = Arc::new(Turns::default());
            let proofs = Proofs::new(Arc::new(prove), Arc::clone(&turns)).unwrap();
            Stage { proofs, turns, begun, end }
        }

        fn begins(&self, node: &str) {
            assert_eq!(self.begun.recv_timeout(PATIENCE).unwrap().as_str(), node);
        }

        /// What is said next, that many times: of which node, and whether something was found.
        fn says(&mut self, times: usize) -> Vec<String> {
            let until = Instant::now() + PATIENCE;
            let mut said = Vec::new();
            while said.len() < times {
                assert!(
                    wait::any(&[self.proofs.as_fd()], Some(until)).unwrap()[0],
                    "nothing is said: {said:?}"
                );
                let word = |found: Option<Finding>| if found.is_some() { "found" } else { "gave way" };
                let all = self.proofs.finished().into_iter();
                said.extend(all.map(|(of, found)| format!("{} {}", of.node, word(found))));
            }
            said
        }
    }

    #[test]
    fn a_device_is_tried_once_and_another_one_takes_its_place() {
        let mut stage = Stage::new();
        stage.proofs.take(proof("ada"));
        stage.begins("ada");
        stage.proofs.take(proof("ada"));
        stage.end.ring();
        assert_eq!(stage.says(1), ["ada found"]);
        stage.end.silence();
        stage.proofs.take(proof("bob"));
        stage.begins("bob");
        stage.proofs.take(proof("cyn"));
        stage.proofs.take(proof("dan"));
        assert_eq!(stage.says(2), ["cyn gave way", "bob gave way"], "what was found of it says nothing");
        stage.begins("dan");
        stage.end.ring();
        assert_eq!(stage.says(1), ["dan found"]);
    }

    #[test]
    fn what_is_tried_gives_way_to_an_attempt_and_does_not_begin_during_one() {
        let mut stage = Stage::new();
        stage.proofs.take(proof("ada"));
        stage.begins("ada");
        let turns = Arc::clone(&stage.turns);
        turns.attempt(|| {
            assert!(turns.users().trial.is_none(), "its program has ended");
            assert_eq!(stage.says(1), ["ada gave way"]);
            stage.proofs.take(proof("ada"));
            assert_eq!(stage.says(1), ["ada gave way"]);
        });
        stage.proofs.take(proof("ada"));
        stage.begins("ada");
        stage.end.ring();
        assert_eq!(stage.says(1), ["ada found"]);
    }

    #[test]
    fn an_attempt_does_not_wait_for_what_hangs() {
        let (turns, bell) = (Arc::new(Turns::default()), Arc::new(Bell::new().unwrap()));
        let (begins, begun) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let hangs = {
            let (turns, bell) = (Arc::clone(&turns), Arc::clone(&bell));
            thread::spawn(move || {
                turns.trial(&bell, || {
                    begins.send(()).unwrap();
                    ends.recv_timeout(PATIENCE).unwrap();
                })
            })
        };
        begun.recv_timeout(PATIENCE).unwrap();
        assert!(turns.attempt(|| bell.is_rung()), "it is made although that did not end");
        end.send(()).unwrap();
        assert_eq!(hangs.join().unwrap(), None);
    }

    #[test]
    fn what_breaks_down_is_of_no_use() {
        let prove = |_: &FenceProof, _: &Bell| panic!("on purpose");
        let mut proofs = Proofs::new(Arc::new(prove), Arc::default()).unwrap();
        proofs.take(proof("ada"));
        let until = Instant::now() + PATIENCE;
        let found = loop {
            assert!(wait::any(&[proofs.as_fd()], Some(until)).unwrap()[0], "nothing is said");
            if let Some((_, found)) = proofs.finished().pop() {
                break found;
            }
        };
        assert!(matches!(found, Some(Finding::Unusable(why)) if why.contains("broke down")));
        assert!(proofs.turns.users().trial.is_none());
    }
}
