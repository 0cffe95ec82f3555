//! How a history begins: once, by voters that all have an empty log.
//!
//! A voter that is not there may have a history already, and run what it says. So nobody begins one
//! without it, however long it stays away, unless a person says that it has none.

use heart_model::{Duration, Moment, NodeName, Spec};

use super::{
    Action, Core, Message, Out, Response,
    requests::{begun, refused},
};
use crate::{
    agreement::{Agreement, Founders, Pace, RaftId},
    board::flag,
    journal::Recovered,
    plant::{Bug, is_planted},
    pulse::Sighting,
};

/// How long the word of a person holds: it is about what is so now.
const WORD_HOLDS: Duration = Duration::from_secs(10);

/// What is known of a history that has not begun.
#[derive(Debug, Default)]
pub(super) struct Founding {
    /// Voters that it may begin without, by the word of a person.
    pub(super) without: Vec<NodeName>,
    /// Until when that holds.
    until: Moment,
    /// Since when somebody is heard who has a history, of which this node has nothing.
    pub(super) met_at: Option<Moment>,
    /// Who was told to be missing.
    told: Vec<usize>,
}

impl Core {
    /// Begins an empty log under the first identity; whether it may vote with it is not said yet.
    pub(super) fn found(&mut self) {
        let me = RaftId::new(self.ids[self.slot], 1);
        let recovered = Recovered { raft_id: me.0, ..Recovered::default() };
        self.agreement = Some(Agreement::new(me, recovered, &founders(&self.settings.spec), pace(self.slot)));
    }

    /// Whether this node, which has no log, may vote for the first leader of a new history.
    pub(super) fn may_found(&self) -> bool {
        self.are_founders(flag::LOG_LOST)
    }

    /// Whether this node may stand for election. If it knows of nothing that was agreed on, that would
    /// begin a history: while another voter is not ready that would take that one for somebody who lost
    /// its log, and one that is not heard may have a history of its own.
    pub(super) fn may_begin(&self) -> bool {
        self.has_history() || self.are_founders(flag::LOG_LOST | flag::LISTENING)
    }

    /// Whether this node knows of something that was agreed on.
    pub fn has_history(&self) -> bool {
        let agreed = |agreement: &Agreement| agreement.commit().0 > 0;
        self.ledger.era != 0 || self.agreement.as_ref().is_some_and(agreed)
    }

    /// Forgets the word of a person once it is old, or turns out to be wrong.
    pub(super) fn doubt_word(&mut self, now: Moment) {
        if self.founding.without.is_empty() {
            return;
        }
        let with_history = |slot: usize| self.sights.heard(slot).is_some_and(has_history);
        let known: Vec<&NodeName> =
            (0..self.ids.len()).filter(|&slot| with_history(slot)).map(|slot| &self.names[slot]).collect();
        let wrong = !self.has_history() && self.founding.without.iter().any(|name| known.contains(&name));
        if wrong || now.may_have_reached(self.founding.until) {
            self.founding.without.clear();
        }
    }

    /// Whether all voters that a history needs to begin are here and say none of this of themselves.
    fn are_founders(&self, not: u64) -> bool {
        let missing = self.missing(not);
        let ready = self.sights.voters.size.saturating_sub(missing.len());
        let excused = |&slot: &usize| self.founding.without.contains(&self.names[slot]);
        let all = is_planted(Bug::FoundedByQuorum) || missing.iter().all(excused);
        is_planted(Bug::LostLogVotes) || (ready >= self.sights.quorum() && all)
    }

    /// The voters that are not heard both ways with the same file and a log in which nothing was agreed on (a
    /// vote may be in it, or entries that few have), or say this of themselves.
    fn missing(&self, not: u64) -> Vec<usize> {
        let is_ready = |seen: &Sighting| {
            let ready = !has_history(seen) && seen.flags & not == 0;
            seen.both_ways && ready && seen.digest == self.settings.digest
        };
        let is_missing = |&slot: &usize| slot != self.slot && !self.sights.heard(slot).is_some_and(is_ready);
        (0..self.ids.len()).filter(|&slot| self.sights.voters.contains(slot)).filter(is_missing).collect()
    }

    /// Whether this node votes and knows of no history.
    fn waits_to_begin(&self) -> bool {
        self.agreement.as_ref().is_some_and(|agreement| !self.has_history() && !agreement.leads())
    }

    /// Says once for whom it waits.
    pub(super) fn tell_who_is_missing(&mut self, now: Moment, out: &mut Out) {
        let early = !now.has_surely_reached(self.began.after(self.timing.lost_after));
        if early || !self.waits_to_begin() {
            return;
        }
        let missing = self.missing(flag::LOG_LOST);
        if missing == self.founding.told {
            return;
        }
        if !missing.is_empty() {
            let said = format!("no cluster has begun yet; waiting for {}", self.who_and_why(&missing));
            out.actions.push(Action::Note(said));
        }
        self.founding.told = missing;
    }

    /// What `heart status` says of a cluster that has not begun: what is wrong, and what comes next.
    pub(super) fn view_of_founding(&self) -> Option<(String, String)> {
        let missing = self.missing(flag::LOG_LOST);
        if !self.waits_to_begin() || missing.is_empty() {
            return None;
        }
        let wrong = format!("the cluster has never run here: it waits for {}", self.who_and_why(&missing));
        Some((wrong, self.what_to_do_about(&missing)))
    }

    fn what_to_do_about(&self, missing: &[usize]) -> String {
        let names = |slots: &[usize], between: &str| {
            slots.iter().map(|&slot| self.names[slot].as_str()).collect::<Vec<_>>().join(between)
        };
        let begun = |&slot: &usize| self.sights.heard(slot).is_some_and(has_history);
        let runs: Vec<usize> = missing.iter().copied().filter(begun).collect();
        if !runs.is_empty() {
            return format!(
                "{} has run in a cluster: this node is taken in as soon as that one runs with a configuration \
                 file that knows it",
                names(&runs, ", ")
            );
        }
        let all = if missing.len() == 1 { "it is".into() } else { format!("all {} are", missing.len()) };
        format!(
            "the cluster begins as soon as {all} there; what never ran in it can be left out: `heart found \
             --without {}`",
            names(missing, ",")
        )
    }

    fn who_and_why(&self, missing: &[usize]) -> String {
        let one = |&slot: &usize| {
            let why = match self.sights.heard(slot) {
                None => "not heard",
                Some(seen) if !seen.both_ways => "heard, but does not hear this node",
                Some(seen) if seen.digest != self.settings.digest => "has another configuration file",
                Some(seen) if seen.flags & flag::LOG_LOST != 0 => "has a log that it cannot use",
                Some(seen) if has_history(seen) => "has run in a cluster already",
                Some(_) => "not ready yet",
            };
            format!("{} ({why})", self.names[slot])
        };
        missing.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// A person says that these voters have no history, and are not to be waited for.
    pub(super) fn found_without(&mut self, now: Moment, names: &[NodeName], out: &mut Out) -> Response {
        if let Err(response) = self.can_found_without(names) {
            return response;
        }
        self.take_word(now, names.to_vec());
        let digest = self.settings.digest;
        let heard: Vec<usize> =
            (0..self.ids.len()).filter(|&slot| self.sights.heard(slot).is_some()).collect();
        for slot in heard {
            Core::send(slot, &Message::Found { without: names.to_vec(), digest }, out);
        }
        let list = names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        out.actions.push(Action::Note(format!("a person says that the cluster shall begin without {list}")));
        Response::Accepted { text: format!("the cluster begins without {list}") }
    }

    fn can_found_without(&self, names: &[NodeName]) -> Result<(), Response> {
        let me = &self.settings.me;
        let no = |error: String, hint: &str| Err(refused(error, hint.into()));
        for name in names {
            self.known_node(name)?;
            let votes = self.settings.spec.nodes.get(name).is_some_and(|node| node.voter);
            if name == me {
                return no(format!("{me} is the node that was asked"), "ask on a node that stays");
            }
            if !votes {
                return no(format!("{name} does not vote"), "nobody waits for it: leave it out of the list");
            }
        }
        if self.has_history() {
            return Err(begun());
        }
        if !self.waits_to_begin() {
            let hint = "ask on a node that votes and has never run in a cluster; if no node has a log that can be \
                        used, empty the state directory of all";
            return no(format!("{me} cannot begin a cluster: it waits to be taken in by others"), hint);
        }
        let missing = self.missing(flag::LOG_LOST);
        let here = names.iter().find(|name| !missing.iter().any(|&slot| self.names[slot] == **name));
        if let Some(here) = here {
            return no(format!("{here} is here and ready"), "leave it out of the list");
        }
        let runs = |name: &&NodeName| {
            let slot = self.names.iter().position(|known| known == *name);
            slot.and_then(|slot| self.sights.heard(slot)).is_some_and(has_history)
        };
        if let Some(runs) = names.iter().find(runs) {
            let hint = "give it a configuration file that knows this node, and it takes this node in; or, if what \
                        it knows is of no use any more, stop it and empty its state directory";
            return no(format!("{runs} is heard and has run in a cluster"), hint);
        }
        let ready = self.sights.voters.size.saturating_sub(missing.len());
        if ready < self.sights.quorum() {
            let error = format!(
                "{ready} of {} voters are here, and {} have to be",
                self.sights.voters.size,
                self.sights.quorum()
            );
            return no(error, "start more of them, or give all a configuration file with fewer nodes");
        }
        let more: Vec<usize> =
            missing.into_iter().filter(|&slot| !names.contains(&self.names[slot])).collect();
        if !more.is_empty() {
            let error = format!("the cluster waits for {} too", self.who_and_why(&more));
            return no(error, "name them as well, or see to it that they come");
        }
        Ok(())
    }

    /// Another node was told by a person.
    pub(super) fn on_found_without(&mut self, now: Moment, without: Vec<NodeName>, digest: u64) {
        if digest == self.settings.digest && self.waits_to_begin() {
            self.take_word(now, without);
        }
    }

    fn take_word(&mut self, now: Moment, without: Vec<NodeName>) {
        self.founding.without = without;
        self.founding.until = now.after(WORD_HOLDS);
    }
}

/// Whether a node that is heard has something that was agreed on.
pub(super) fn has_history(seen: &Sighting) -> bool {
    seen.era != 0 || seen.flags & flag::BEGUN != 0
}

/// How raft's own timers run: a tick is half of lost-after, so no follower campaigns by itself before
/// twice that (SAFETY, "The rules").
pub(super) fn pace(slot: usize) -> Pace {
    Pace { election_ticks: 12 + slot, heartbeat_ticks: 4 }
}

/// Whether a log that has no entry yet was begun with other voters than the file has now.
pub(super) fn founded_otherwise(recovered: &Recovered, spec: &Spec) -> bool {
    let empty = recovered.entries.is_empty() && recovered.snapshot.get_metadata().index == 0;
    let voters = recovered.founders.as_ref().map(|founders| founders.voters.clone());
    empty && voters.is_some_and(|voters| voters != founders(spec).voters)
}

pub(super) fn founders(spec: &Spec) -> Founders {
    let voters = spec.nodes.iter().filter(|(_, node)| node.voter);
    Founders { voters: voters.map(|(name, _)| RaftId::new(name.id(), 1).0).collect() }
}
