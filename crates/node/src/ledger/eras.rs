//! What the log says of histories: this one, and those that it goes on from.
//!
//! A history goes on without some of its voters only when these are proven off, or a person says so (SAFETY rules 17
//! and 18). It has another number from then on, so that whoever comes back with the old one knows that it was gone on
//! from without it.

use heart_model::{BootId, LogIndex, NodeName, Session, Spec};
use serde::{Deserialize, Serialize};

use super::{Ledger, NodeLedger, PAST_MAX};
use crate::plant::{Bug, is_planted};

/// How many histories are remembered that this one went on from: who comes back with an older one is not recognised,
/// and a person has to empty its log.
const PARENTS_MAX: usize = 64;

/// A voter that a history goes on without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Without {
    /// Which.
    pub node: NodeName,
    /// The life of it that is over.
    pub boot: BootId,
}

/// How a history goes on without some of its voters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// Its number from now on.
    pub era: u64,
    /// Its number so far.
    pub parent: u64,
    /// The voters that are proven off, or of which a person says so; or that only are not here.
    pub without: Vec<Without>,
    /// The person, if nothing else proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The tie-break sided with those that go on: of the others nothing is proven.
    #[serde(default)]
    pub by_tie_break: bool,
    /// The configuration that begins with it: every voter of it knows it.
    pub configuration: u64,
}

impl Ledger {
    /// Whether every voter has durably applied this configuration (SAFETY rule 17).
    #[must_use]
    pub fn is_settled(&self, configuration: u64) -> bool {
        self.settled == Some(configuration)
    }

    /// A node left in order: its session holds nothing, and whoever had it ordered off is answered by that.
    pub(super) fn leave(&mut self, node: &NodeName, session: Session) -> bool {
        let holds = self.resources.values().filter_map(|known| known.grant.as_ref());
        let holds = holds.into_iter().any(|grant| grant.node == *node);
        let known = self.nodes.get_mut(node).filter(|known| known.session == Some(session) && !holds);
        let Some(known) = known else { return false };
        (known.session, known.left) = (None, Some(session));
        known.fence.ordered = None;
        true
    }

    /// Something else decides between two halves from here on, or nothing: nobody goes on before everybody knows that,
    /// or each half could ask another one.
    pub(super) fn decide_by(&mut self, index: LogIndex, spec: &Spec) {
        let place = |spec: &Spec| spec.tie_break.as_ref().map(|tie_break| tie_break.place.clone());
        if self.spec.as_ref().and_then(place) != place(spec) && !is_planted(Bug::HalfUnsettled) {
            (self.decides_since, self.settled) = (index, None);
        }
    }

    pub(super) fn settle(&mut self, configuration: u64) -> bool {
        self.settled.replace(configuration) != Some(configuration)
    }

    pub(super) fn force(&mut self, at: u64, forced: &Forced) -> bool {
        if self.era != forced.parent || forced.era == forced.parent {
            return false;
        }
        self.parents.push_back(forced.parent);
        if forced.who.is_some() {
            self.overruled.insert(forced.parent);
        }
        if self.parents.len() > PARENTS_MAX {
            let oldest = self.parents.pop_front();
            self.overruled.retain(|parent| Some(*parent) != oldest);
        }
        self.era = forced.era;
        self.settled = Some(forced.configuration);
        let off = forced.without.iter().filter(|_| !forced.by_tie_break);
        for Without { node, boot } in off {
            let session = self.nodes.get(node).and_then(|known| known.session);
            if let Some(session) = session.filter(|session| session.boot == *boot) {
                self.take_over(at, node, session, &[]);
            }
            // Of who is only called off a device may be at work still: the right ends as it would otherwise.
            let known = self.nodes.get_mut(node).filter(|_| forced.who.is_none()).into_iter();
            known.for_each(|known| known.fence.fencing = None);
            // It holds nothing, and nothing was said of its machine.
            if self.nodes.get(node).is_some_and(|known| known.left.is_some_and(|left| left.boot == *boot)) {
                continue;
            }
            if forced.who.is_some() {
                self.is_off_by_word(node, *boot);
            } else {
                self.is_off(node, *boot);
                self.boot_again(node, false);
            }
        }
        true
    }
}

impl NodeLedger {
    /// Whether it holds nothing, and everybody knows that: it left in order, or its last life is proven to be over.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.session.is_none() && (self.left.is_some() || self.is_off())
    }

    /// Whether this session of it may be taken in: it is none of those that are over, and nobody may be switching that
    /// life off (SAFETY rule 12).
    #[must_use]
    pub fn lets_in(&self, session: Session) -> bool {
        let is_old = |known: &Session| known.boot == session.boot && known.number >= session.number;
        let is_known = [self.session, self.taken_over, self.left].iter().flatten().any(is_old);
        let is_over = self.past.contains(&session.boot) && !is_planted(Bug::EarlierLifeTakenIn);
        !is_known && !is_over && self.fence.lets_in(session.boot)
    }

    /// Another life of the node is taken in, or another session of the same: what came before is over for good. Lives
    /// have no order of their own, so an old one that is heard late would pass for a new one.
    pub(super) fn begin_life(&mut self, boot: BootId) {
        for known in [self.taken_over, self.left, self.session].into_iter().flatten() {
            if known.boot != boot && !self.past.contains(&known.boot) {
                self.past.push_back(known.boot);
            }
        }
        while self.past.len() > PAST_MAX {
            self.past.pop_front();
        }
    }

    /// The session that it took part in last.
    #[must_use]
    pub fn last_session(&self) -> Option<Session> {
        self.session.or(self.left).or(self.taken_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Change, Entry, entry};
    use heart_model::{OffOrder, SessionNumber, WhyOff};

    /// World 192191: it had been lost before in the same life, and so it was shot.
    #[test]
    fn an_order_to_switch_a_node_off_ends_when_the_node_leaves_in_order() {
        let session = |number| session(1, number);
        let node = NodeName::new("cyn").unwrap();
        let mut ledger = Ledger::default();
        ledger.nodes.insert(node.clone(), NodeLedger::default());
        let order = OffOrder {
            boot: BootId(1),
            why: WhyOff::Asked { who: "eve".into() },
            if_heard: true,
            reboot: false,
        };
        let changes = [
            Change::Admit { node: node.clone(), session: session(1) },
            Change::TakeOver { node: node.clone(), session: session(1), grants: Vec::new() },
            Change::Admit { node: node.clone(), session: session(2) },
            Change::OrderOff { node: node.clone(), order },
            Change::Leave { node: node.clone(), session: session(2) },
        ];
        for (index, change) in (1..).zip(changes) {
            assert!(
                ledger.apply(LogIndex(index), &Entry { v: entry::VERSION, at: index, change }),
                "{index}"
            );
        }
        let known = &ledger.nodes[&node];
        assert!(known.is_gone() && known.fence.ordered.is_none(), "{known:?}");
    }

    /// What holds of `cyn`, which took part in one session, after these changes.
    fn after(changes: impl IntoIterator<Item = Change>) -> NodeLedger {
        let node = NodeName::new("cyn").unwrap();
        let mut ledger = Ledger { era: 1, ..Ledger::default() };
        ledger.nodes.insert(node.clone(), NodeLedger::default());
        let admit = Change::Admit { node: node.clone(), session: session(1, 1) };
        for (index, change) in (1..).zip([admit].into_iter().chain(changes)) {
            let entry = Entry { v: entry::VERSION, at: index, change };
            assert!(ledger.apply(LogIndex(index), &entry), "{index}: {:?}", entry.change);
        }
        ledger.nodes[&node].clone()
    }

    fn session(boot: u128, number: u64) -> Session {
        Session { boot: BootId(boot), number: SessionNumber(number) }
    }

    /// Half of the voters goes on without `cyn`, by the word of a person or by proof.
    fn force(who: Option<&str>) -> Change {
        let without = vec![Without { node: NodeName::new("cyn").unwrap(), boot: BootId(1) }];
        let who = who.map(str::to_owned);
        Change::Force(Forced { era: 2, parent: 1, without, who, by_tie_break: false, configuration: 7 })
    }

    #[test]
    fn who_was_called_off_is_taken_in_again_once_it_has_let_go() {
        let known = after([force(Some("eve"))]);
        assert!(known.is_off() && !known.lets_in(session(1, 1)) && known.lets_in(session(1, 2)), "{known:?}");
        let known = after([force(None)]);
        assert!(known.is_off() && !known.lets_in(session(1, 2)) && known.lets_in(session(2, 1)), "{known:?}");
    }

    #[test]
    fn of_who_left_in_order_nothing_is_said_by_going_on_without_it() {
        let leave = Change::Leave { node: NodeName::new("cyn").unwrap(), session: session(1, 1) };
        for who in [None, Some("eve")] {
            let known = after([leave.clone(), force(who)]);
            assert!(
                known.is_gone() && known.fence.off.is_none() && known.lets_in(session(1, 2)),
                "{known:?}"
            );
        }
    }

    #[test]
    fn a_life_that_is_over_is_not_taken_in_again_however_late_it_is_heard() {
        let mut node = NodeLedger::default();
        for boot in 1..=3 {
            assert!(node.lets_in(session(boot, 1)), "{boot}");
            node.begin_life(BootId(boot));
            node.session = Some(session(boot, 1));
        }
        assert!(!node.lets_in(session(1, 1)) && !node.lets_in(session(2, 7)));
        assert!(node.lets_in(session(3, 2)) && node.lets_in(session(4, 1)));
        (4..100).for_each(|boot| {
            node.begin_life(BootId(boot));
            node.session = Some(session(boot, 1));
        });
        assert_eq!(node.past.len(), PAST_MAX);
    }
}
