//! How long promises last that were made under an earlier configuration.
//!
//! A promise lasts as long as the configuration of its day said (SAFETY rule 2). So whoever waits until
//! promises are over that it does not know waits as long as the longest of them, until all voters
//! have had a configuration with shorter ones for that long.

use heart_model::{Duration, Moment, NodeName, Spec};

use super::{Core, Log};
use crate::{
    agreement::state_of,
    ledger::{self, Change, Ledger},
};

/// How long everybody keeps to a shorter lost-after before longer promises are taken to be over, in
/// percent of those: clocks differ.
const REST_PERCENT: u32 = 103;

/// How long promises may have run that were made before this life, as far as `log` and the file tell.
#[must_use]
pub fn promised_before(log: &Log, spec: &Spec) -> Duration {
    let of_file = spec.timing.lost_after;
    let Log::Recovered(recovered) = log else { return of_file };
    let before = Ledger::restore(state_of(&recovered.snapshot)).unwrap_or_default();
    let (mut promised, mut digest, mut last) =
        (before.promised, before.digest, before.spec.map_or(Duration::ZERO, |spec| spec.timing.lost_after));
    promised = promised.max(last);
    for entry in &recovered.entries {
        match ledger::read(&entry.data).map(|entry| entry.change) {
            Ok(Change::Configure { digest: new, spec }) => {
                (digest, last) = (new, spec.timing.lost_after);
                promised = promised.max(last);
            }
            Ok(Change::Rest { digest: of }) if of == digest && entry.index <= recovered.hard_state.commit => {
                promised = last;
            }
            _ => {}
        }
    }
    promised.max(of_file)
}

impl Core {
    /// The longest time for which a promise that still runs may have been made.
    pub(super) fn longest_promise(&self) -> Duration {
        self.ledger.promised.max(self.timing.lost_after)
    }

    /// The leader's part: says when the longer promises of an earlier configuration are over.
    pub(super) fn rest(&mut self, now: Moment) -> Option<Change> {
        let digest = self.ledger.digest;
        let voters = self.voters();
        let has_it = |slot: usize| {
            let seen = self.sights.heard(slot).filter(|seen| seen.both_ways);
            slot == self.slot || seen.is_some_and(|seen| seen.digest == digest)
        };
        let all = voters.iter().all(|id| self.ids.iter().position(|known| known == id).is_some_and(has_it));
        // What is said of a node that resets itself goes by the longest timing that it may have.
        let may_hold = |name: &NodeName| {
            let known = self.ledger.nodes.get(name);
            known.is_some_and(|known| known.last_session().is_some() && !known.is_gone())
        };
        let nodes = self.ledger.spec.iter().flat_map(|spec| &spec.nodes);
        let mut by_the_clock =
            nodes.filter(|(name, node)| node.resets_itself() && may_hold(name)).map(|(name, _)| name);
        let all = all
            && by_the_clock.all(|name| self.names.iter().position(|known| known == name).is_some_and(has_it));
        let shortens = self.ledger.promised > self.timing.lost_after;
        let same = digest == self.settings.digest && all && shortens;
        self.shorter_since = self.shorter_since.or(Some(now)).filter(|_| same);
        let until = self.shorter_since?.after(self.ledger.promised * REST_PERCENT / 100);
        now.has_surely_reached(until).then_some(Change::Rest { digest })
    }
}

#[cfg(test)]
mod tests {
    use heart_model::{Profile, Timing};
    use raft::eraftpb::{Entry, HardState};

    use super::*;
    use crate::{example, journal::Recovered};

    fn spec(seconds: u64) -> Spec {
        let timing = Timing { lost_after: Duration::from_secs(seconds), ..Timing::of(Profile::Default) };
        Spec { timing, ..example::spec(&[]) }
    }

    /// How long a node waits that finds these changes in its log, the first `agreed` of them agreed on.
    fn check(changes: &[Change], agreed: u64, file: u64, waits: u64) {
        let entry = |(place, change): (usize, &Change)| Entry {
            index: place as u64 + 1,
            data: ledger::write(&ledger::Entry { v: ledger::VERSION, at: 0, change: change.clone() }),
            ..Entry::default()
        };
        let entries = changes.iter().enumerate().map(entry).collect();
        let hard_state = HardState { commit: agreed, ..HardState::default() };
        let log = Log::Recovered(Box::new(Recovered { hard_state, entries, ..Recovered::default() }));
        assert_eq!(promised_before(&log, &spec(file)), Duration::from_secs(waits), "{changes:?}");
    }

    #[test]
    fn a_node_that_boots_waits_as_long_as_it_may_have_promised_under_any_file() {
        let is = |seconds: u64| Change::Configure { digest: seconds, spec: Box::new(spec(seconds)) };
        let rest = |digest: u64| Change::Rest { digest };
        check(&[], 0, 1, 1);
        check(&[is(1)], 1, 30, 30);
        check(&[is(30)], 1, 1, 30);
        check(&[is(30), is(1)], 2, 1, 30);
        check(&[is(30), is(1), rest(1)], 3, 1, 1);
        // Nobody has agreed yet that they are over.
        check(&[is(30), is(1), rest(1)], 2, 1, 30);
        // That was said of a configuration that is not the last one.
        check(&[is(30), is(1), is(2), rest(1)], 4, 2, 30);
        check(&[is(30), is(1), rest(1), is(2)], 4, 2, 2);
    }
}
