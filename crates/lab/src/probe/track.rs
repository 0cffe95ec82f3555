//! Turns answers into outages. Pure: time is an argument.

use std::time::Duration;

use super::{Event, Outage};
use crate::Stamp;

/// Judges the answers of one address.
pub(crate) struct Tracker {
    gap: Duration,
    last: Option<Answer>,
    /// When the probe last ran, and its longest pause since the last answer.
    ran: Option<Stamp>,
    stalled: Duration,
}

struct Answer {
    at: Stamp,
    node: String,
    told_down: bool,
}

impl Tracker {
    pub(crate) fn new(gap: Duration) -> Tracker {
        Tracker { gap, last: None, ran: None, stalled: Duration::ZERO }
    }

    /// Somebody answered.
    pub(crate) fn answered(&mut self, now: Stamp, node: &str) -> Vec<Event> {
        let next = Answer { at: now, node: node.into(), told_down: false };
        let stalled = std::mem::take(&mut self.stalled);
        let Some(last) = self.last.replace(next) else {
            return vec![Event::Up { at: now, node: node.into() }];
        };
        let mut events = Vec::new();
        if now.since(last.at) > self.gap {
            let (before, after) = (last.node.clone(), node.to_owned());
            events.push(Event::Outage(Outage { from: last.at, to: now, before, after, stalled }));
        }
        if last.node != node {
            events.push(Event::Moved { at: now, from: last.node, to: node.into() });
        }
        events
    }

    /// Nobody answered until now.
    pub(crate) fn passed(&mut self, now: Stamp) -> Option<Event> {
        if let Some(ran) = self.ran.replace(now) {
            self.stalled = self.stalled.max(now.since(ran));
        }
        let last = self.last.as_mut()?;
        if last.told_down || now.since(last.at) <= self.gap {
            return None;
        }
        last.told_down = true;
        Some(Event::Down { since: last.at, node: last.node.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Stamp {
        Stamp(milliseconds * 1_000_000)
    }

    #[test]
    fn a_gap_is_an_outage_and_a_new_name_a_move() {
        let mut tracker = Tracker::new(Duration::from_millis(10));
        assert_eq!(tracker.answered(at(0), "a"), [Event::Up { at: at(0), node: "a".into() }]);
        assert_eq!(tracker.answered(at(10), "a"), []);
        assert_eq!(tracker.passed(at(18)), None);
        assert_eq!(tracker.passed(at(21)), Some(Event::Down { since: at(10), node: "a".into() }));
        assert_eq!(tracker.passed(at(29)), None);
        let outage = Outage {
            from: at(10),
            to: at(30),
            before: "a".into(),
            after: "b".into(),
            stalled: Duration::from_millis(8),
        };
        let moved = Event::Moved { at: at(30), from: "a".into(), to: "b".into() };
        assert_eq!(tracker.answered(at(30), "b"), [Event::Outage(outage), moved]);
    }

    #[test]
    fn a_move_without_a_gap_is_no_outage() {
        let mut tracker = Tracker::new(Duration::from_millis(10));
        let _ = tracker.answered(at(0), "a");
        assert_eq!(
            tracker.answered(at(5), "b"),
            [Event::Moved { at: at(5), from: "a".into(), to: "b".into() }]
        );
    }
}
