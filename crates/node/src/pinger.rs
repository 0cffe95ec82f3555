//! Asks ping targets, and says which are reached.
//!
//! The daemon's thread and the simulated machine drive the same state machine: whoever drives it sends what it asks
//! and tells it what is answered. It says so little that the core can take every word: that a target is reached or
//! not, after both had time to be certain, and the first answer to a question of the core. An answer counts as of the
//! moment in which it was asked for, and answers to nothing that was asked count for nothing.

use heart_model::{Moment, Name, PingChange, PingOrder, PingSpec};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

/// Most questions that may still be answered; older ones are forgotten.
const ROUNDS_MAX: usize = 256;
/// So many questions have to stay without an answer before a target counts as not reached: after a time in which
/// nothing was asked, because the machine stood still, silence says nothing.
const UNANSWERED_MIN: u32 = 3;
/// So many intervals may pass between answers while a target is about to count as reached again.
const GAP_INTERVALS: u32 = 2;

/// What happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time asked for by [`Action::WakeAt`] has come.
    Wake,
    /// The core wants something.
    Order(PingOrder),
    /// A host answered what has this number.
    Answer {
        /// Who.
        host: IpAddr,
        /// The number.
        sequence: u16,
    },
}

/// What it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask a host, by this number.
    Ask {
        /// Whom.
        host: IpAddr,
        /// The number.
        sequence: u16,
    },
    /// Tell the core.
    Tell(PingChange),
    /// Step again no later than this.
    WakeAt(Moment),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pinger {
    targets: BTreeMap<Name, Target>,
    rounds: VecDeque<Round>,
    sequence: u16,
}

/// What is known of one target.
#[derive(Debug)]
struct Target {
    spec: PingSpec,
    /// When it is asked next.
    next: Moment,
    /// Since when it has been asked, or for when the last answer counts.
    answered: Moment,
    /// How often it was asked since.
    unanswered: u32,
    /// Since when answers come again, while it counts as not reached.
    steady_since: Option<Moment>,
    /// Whether it is reached, once that was told.
    reached: Option<bool>,
}

/// All hosts of a target were asked at once.
#[derive(Debug)]
struct Round {
    sequence: u16,
    at: Moment,
    target: Name,
    /// For a question of the core that is not answered yet.
    question: Option<u64>,
}

impl Pinger {
    /// The only way in.
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wake => {}
            Event::Order(PingOrder::Watch(specs)) => self.watch(now, specs),
            Event::Order(PingOrder::Ask(question)) => {
                let names: Vec<Name> = self.targets.keys().cloned().collect();
                names.into_iter().for_each(|name| self.ask(now, name, Some(question), &mut actions));
            }
            Event::Answer { host, sequence } => self.on_answer(host, sequence, &mut actions),
        }
        let is_due =
            |(name, target): (&Name, &Target)| now.has_surely_reached(target.next).then(|| name.clone());
        let due: Vec<Name> = self.targets.iter().filter_map(is_due).collect();
        for name in due {
            if let Some(target) = self.targets.get_mut(&name) {
                target.next = now.after(target.spec.interval);
                target.unanswered = target.unanswered.saturating_add(1);
            }
            self.ask(now, name, None, &mut actions);
        }
        for (name, target) in &mut self.targets {
            actions.extend(target.judge(now).then(|| Action::Tell(PingChange::Missed(name.clone()))));
        }
        let next = self.targets.values().map(|target| target.next).min_by_key(|at| at.boottime);
        actions.extend(next.map(Action::WakeAt));
        actions
    }

    /// Everything that is known of what is watched no longer, or in another way, is forgotten.
    fn watch(&mut self, now: Moment, specs: BTreeMap<Name, PingSpec>) {
        let target = |spec| Target {
            spec,
            next: now,
            answered: now,
            unanswered: 0,
            steady_since: None,
            reached: None,
        };
        self.targets = specs.into_iter().map(|(name, spec)| (name, target(spec))).collect();
        self.rounds.clear();
    }

    fn ask(&mut self, at: Moment, target: Name, question: Option<u64>, actions: &mut Vec<Action>) {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let hosts = self.targets.get(&target).into_iter().flat_map(|target| &target.spec.hosts);
        actions.extend(hosts.map(|host| Action::Ask { host: *host, sequence }));
        self.rounds.push_back(Round { sequence, at, target, question });
        if self.rounds.len() > ROUNDS_MAX {
            self.rounds.pop_front();
        }
    }

    fn on_answer(&mut self, host: IpAddr, sequence: u16, actions: &mut Vec<Action>) {
        let Some(round) = self.rounds.iter_mut().find(|round| round.sequence == sequence) else { return };
        let Some(target) = self.targets.get_mut(&round.target) else { return };
        if !target.spec.hosts.contains(&host) {
            return;
        }
        let (name, question) = (round.target.clone(), round.question.take());
        if target.on_answer(round.at) {
            actions.push(Action::Tell(PingChange::Reached(name)));
        }
        if question.is_some() {
            self.rounds
                .iter_mut()
                .filter(|round| round.question == question)
                .for_each(|round| round.question = None);
            actions.extend(question.map(|question| Action::Tell(PingChange::Answered(question))));
        }
    }
}

impl Target {
    /// One of its hosts answers what was asked at that time. Whether it counts as reached from now on.
    fn on_answer(&mut self, asked_at: Moment) -> bool {
        let gap = asked_at.longest_since(self.answered) > self.spec.interval * GAP_INTERVALS;
        if asked_at.boottime > self.answered.boottime {
            (self.answered, self.unanswered) = (asked_at, 0);
        }
        match self.reached {
            Some(true) => return false,
            None => {}
            Some(false) => {
                let since = self.steady_since.filter(|_| !gap).unwrap_or(asked_at);
                self.steady_since = Some(since);
                if asked_at.shortest_since(since) < self.spec.lost_after {
                    return false;
                }
            }
        }
        (self.reached, self.steady_since) = (Some(true), None);
        true
    }

    /// Whether it counts as not reached from now on.
    fn judge(&mut self, now: Moment) -> bool {
        let is_silent = self.unanswered >= UNANSWERED_MIN
            && now.has_surely_reached(self.answered.after(self.spec.lost_after));
        let is_new = is_silent && self.reached != Some(false);
        if is_new {
            (self.reached, self.steady_since) = (Some(false), None);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{Duration, Instant};

    fn at(millis: u64) -> Moment {
        Moment::both(Instant::default().after(Duration::from_millis(1_000_000 + millis)))
    }

    fn name() -> Name {
        Name::new("gateway").unwrap()
    }

    fn host(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// A target of two hosts, asked once a second and lost after five. Each answers from and until its times, in
    /// seconds; what is told until `end`, with its time in seconds.
    fn check(first: &[(u64, u64)], second: &[(u64, u64)], end: u64, expected: &[(u64, bool)]) {
        let (interval, lost_after) = (Duration::from_secs(1), Duration::from_secs(5));
        let spec = PingSpec { hosts: vec![host(1), host(2)], interval, lost_after };
        let mut pinger = Pinger::default();
        let mut told = Vec::new();
        let mut event = Event::Order(PingOrder::Watch(BTreeMap::from([(name(), spec)])));
        for millis in (0..=end * 1000).step_by(500) {
            let mut actions = pinger.step(at(millis), event);
            event = Event::Wake;
            for action in actions.clone() {
                let Action::Ask { host: asked, sequence } = action else { continue };
                let times = if asked == host(1) { first } else { second };
                if times.iter().any(|(from, until)| (from * 1000..until * 1000).contains(&millis)) {
                    actions.extend(pinger.step(at(millis + 1), Event::Answer { host: asked, sequence }));
                }
            }
            for action in actions {
                match action {
                    Action::Tell(PingChange::Reached(_)) => told.push((millis / 1000, true)),
                    Action::Tell(PingChange::Missed(_)) => told.push((millis / 1000, false)),
                    Action::Tell(_) | Action::Ask { .. } | Action::WakeAt(_) => {}
                }
            }
        }
        assert_eq!(told, expected, "{first:?} {second:?}");
    }

    #[test]
    fn any_one_host_is_enough_and_both_ways_take_time() {
        check(&[(0, 99)], &[], 30, &[(0, true)]);
        check(&[], &[(0, 99)], 30, &[(0, true)]);
        check(&[], &[], 30, &[(5, false)]);
        check(&[(0, 10)], &[], 30, &[(0, true), (14, false)]);
        check(&[(0, 10)], &[(8, 99)], 30, &[(0, true)]);
        check(&[(0, 10), (13, 99)], &[], 30, &[(0, true)]);
        check(&[(0, 10), (20, 99)], &[], 40, &[(0, true), (14, false), (25, true)]);
        // Answers that come now and then are not enough to be trusted again.
        check(&[(0, 10), (20, 22), (26, 28), (32, 34)], &[], 60, &[(0, true), (14, false)]);
    }

    #[test]
    fn who_stood_still_says_nothing_of_others() {
        let spec = PingSpec {
            hosts: vec![host(1)],
            interval: Duration::from_secs(1),
            lost_after: Duration::from_secs(5),
        };
        let mut pinger = Pinger::default();
        pinger.step(at(0), Event::Order(PingOrder::Watch(BTreeMap::from([(name(), spec)]))));
        let told = pinger.step(at(1), Event::Answer { host: host(1), sequence: 1 });
        assert!(told.contains(&Action::Tell(PingChange::Reached(name()))), "{told:?}");
        let told = pinger.step(at(60_000), Event::Wake);
        assert!(!told.iter().any(|action| matches!(action, Action::Tell(_))), "{told:?}");
        let told = pinger.step(at(60_001), Event::Answer { host: host(1), sequence: 2 });
        assert!(!told.iter().any(|action| matches!(action, Action::Tell(_))), "{told:?}");
    }

    #[test]
    fn a_question_is_answered_once_and_only_by_who_was_asked() {
        let spec = PingSpec {
            hosts: vec![host(1), host(2)],
            interval: Duration::from_secs(1),
            lost_after: Duration::from_secs(5),
        };
        let mut pinger = Pinger::default();
        pinger.step(at(0), Event::Order(PingOrder::Watch(BTreeMap::from([(name(), spec)]))));
        let asked = pinger.step(at(10), Event::Order(PingOrder::Ask(7)));
        assert!(asked.contains(&Action::Ask { host: host(2), sequence: 2 }), "{asked:?}");
        let answered = Action::Tell(PingChange::Answered(7));
        for (from, sequence, says) in
            [(3, 2, false), (1, 9, false), (1, 1, false), (1, 2, true), (2, 2, false)]
        {
            let told = pinger.step(at(20), Event::Answer { host: host(from), sequence });
            assert_eq!(told.contains(&answered), says, "{from} {sequence}");
        }
    }
}
