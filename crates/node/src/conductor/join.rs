//! Who is taken in: the configuration, and sessions that want to take part.

use heart_model::{BootId, Moment, NodeName, Session};

use super::{Conductor, Score, Work};
use crate::{
    board::flag,
    ledger::{Change, NodeLedger},
    ownership::session_of,
    plant::{Bug, is_planted},
    pulse::Sighting,
};

impl Conductor {
    /// A node says that its watchdog is armed.
    pub(crate) fn on_watched(&mut self, node: &NodeName, session: Session, digest: u64) {
        self.stir();
        self.watched.insert(node.clone(), (session, digest));
    }

    /// The configuration, and sessions that want to take part.
    pub(super) fn join(&mut self, score: &Score<'_>, work: &mut Work) {
        let (spec, digest) = score.file;
        let others = (0..score.names.len()).filter_map(|slot| score.sights.heard(slot));
        let agreed = others.clone().all(|seen| seen.digest == digest);
        if score.ledger.era == 0 {
            let without = score.left_out.to_vec();
            work.proposals.push(Change::Found { era: score.session.boot.0 as u64 | 1, without });
        }
        if score.ledger.spec.is_none() || (score.ledger.digest != digest && agreed) {
            work.proposals.push(Change::Configure { digest, spec: Box::new(spec.clone()) });
        }
        for &slot in score.leaves {
            let name = &score.names[slot];
            let session = score.ledger.nodes.get(name).and_then(|node| node.session);
            let seen = score.sights.heard(slot).map(session_of);
            if let Some(session) = session.filter(|session| seen == Some(*session)) {
                work.proposals.push(Change::Leave { node: name.clone(), session });
            }
        }
        self.doubted = 0;
        let own = (score.sights.me, score.session, None);
        let comes = |seen: &&Sighting| seen.both_ways && seen.flags & flag::LEAVING == 0;
        let sessions = others.clone().filter(comes).map(|seen| (seen.slot, session_of(seen), seen.answered));
        for (slot, session, answered) in sessions.chain([own]) {
            let name = &score.names[slot];
            let Some(node) = score.ledger.nodes.get(name) else { continue };
            // What the log would refuse would be proposed again as soon as it has.
            let is_later = slot == score.sights.me || is_later_life(score, name, session.boot, answered);
            self.doubted |= u64::from(!is_later) << slot;
            let inside = self.is_inside(score, name, session, node.fence.attempts);
            if node.lets_in(session) && is_later && inside {
                work.proposals.push(Change::Admit { node: name.clone(), session });
            }
        }
        let armed = score.ledger.nodes.iter().filter_map(|(name, known)| {
            let session = known.unwatched.filter(|_| known.session == known.unwatched)?;
            let says_so = self.watched.get(name) == Some(&(session, score.ledger.digest));
            says_so.then(|| Change::Watched { node: name.clone(), session })
        });
        work.proposals.extend(armed);
        for seen in others {
            let is_taken_in = |change: &Change| matches!(change, Change::Admit { node, .. } if *node == score.names[seen.slot]);
            let taken_in = work.proposals.iter().any(is_taken_in);
            work.proposals.extend(has_let_go(score, seen).filter(|_| !taken_in));
        }
    }
}

/// A node of which something is waited for is heard in a later session of the same life, which begins only once all is let
/// go of. It may be deaf, and so nobody who could take part.
fn has_let_go(score: &Score<'_>, seen: &Sighting) -> Option<Change> {
    let name = &score.names[seen.slot];
    let known = score.ledger.nodes.get(name).filter(|node| node.session.is_none())?;
    let (over, session) = (known.taken_over?, session_of(seen));
    // Whom somebody wants off is not to be trusted.
    let is_trusted = !known.fence.is_ordered_off(session.boot);
    let is_over = is_trusted && over.boot == session.boot && over.number < session.number;
    let mut formers = score.ledger.resources.values().flat_map(|resource| &resource.until_gone);
    let waits = is_over && formers.any(|former| former.node == *name && former.session.boot == over.boot);
    waits.then(|| Change::LetGo { node: name.clone(), session: over })
}

/// Whether a life of a node is not one before that which takes part: beats may have been held up, and whoever hears them
/// may have stood still since. It is the later one if it answered something that was sent when the other one was known
/// to take part.
fn is_later_life(score: &Score<'_>, node: &NodeName, boot: BootId, answered: Option<Moment>) -> bool {
    let last = score.ledger.nodes.get(node).and_then(NodeLedger::last_session);
    if last.is_none_or(|last| last.boot == boot) || is_planted(Bug::EarlierLifeTakenIn) {
        return true;
    }
    let (lives, began) = score.lives_known;
    let known = lives.get(node).copied().unwrap_or(began);
    answered.is_some_and(|answered| answered.has_surely_reached(known))
}
