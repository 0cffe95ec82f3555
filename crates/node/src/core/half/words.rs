//! What half of the voters tells people, and what people tell it.

use heart_model::{Duration, Moment, NodeName};

use super::{Halves, Stuck, Word};
use crate::{
    board::{Board, flag},
    core::{
        Action, Core, Out, Response,
        requests::refused,
        switching::{AFTER_A_WHILE, WHO_MAX, time_left},
    },
};

/// How long the word of a person holds: it is about what is so now.
const WORD_HOLDS: Duration = Duration::from_secs(10);

impl Core {
    /// A person says that these voters are off, and that the others shall go on without them.
    pub(in crate::core) fn take_over_from(
        &mut self,
        now: Moment,
        board: &Board,
        (without, who, sure): (&[NodeName], &str, bool),
        out: &mut Out,
    ) -> Response {
        let halves = match self.can_take_over(now, board, without) {
            Ok(halves) => halves,
            Err(response) => return response,
        };
        if !sure {
            return self.stakes(&halves);
        }
        let who: String = who.chars().take(WHO_MAX).collect();
        let names = join(without);
        out.actions.push(Action::Note(format!("{who} says that {names} is off: going on without")));
        self.half.word = Some(Word { without: without.to_vec(), who, until: now.after(WORD_HOLDS) });
        self.go_on_alone(now, board, out);
        Response::Accepted { text: format!("the cluster goes on without {names}") }
    }

    /// What may be lost or run twice if a person is wrong.
    fn stakes(&self, halves: &Halves) -> Response {
        let (names, one) = (join(&halves.missing), halves.missing.len() == 1);
        let (is, it, runs) = if one { ("is", "it", "runs") } else { ("are", "they", "run") };
        let lost = if halves.here.len() * 2 < halves.size {
            format!(
                "; those that are here are fewer than half of {} voters, so what the others agreed on last may be lost \
                 too",
                halves.size
            )
        } else {
            String::new()
        };
        let ran = self.ran_last(&halves.missing).map(|ran| format!("; {ran}")).unwrap_or_default();
        let gone_on = match self.is_claimed() {
            true => format!(
                "; the tie-break was asked to let a half go on alone, by {names} or by this node before it was started: \
                 who did go on does so again with power, beside this half, unless the state directory there is emptied \
                 first"
            ),
            false => String::new(),
        };
        refused(
            format!(
                "{is} {names} off for certain? If not, what {it} {runs} would run twice, and there would be two \
                 histories that never come together{ran}{lost}{gone_on}"
            ),
            format!(
                "make sure that {it} {} no power, and say so: `heart takeover --peers-are-off {} --i-made-sure`",
                if one { "has" } else { "have" },
                names.replace(' ', "")
            ),
        )
    }

    /// What these nodes ran, as far as this node's log goes.
    fn ran_last(&self, nodes: &[NodeName]) -> Option<String> {
        let of = |node: &NodeName| {
            let held = self.ledger.resources.iter();
            let held =
                held.filter(|(_, known)| known.grant.as_ref().is_some_and(|grant| grant.node == *node));
            let names: Vec<&str> = held.map(|(name, _)| name.as_str()).collect();
            (!names.is_empty()).then(|| format!("{node} ran {}", names.join(", ")))
        };
        let all: Vec<String> = nodes.iter().filter_map(of).collect();
        (!all.is_empty()).then(|| format!("as far as this node's log goes, {}", all.join(" and ")))
    }

    fn can_take_over(&self, now: Moment, board: &Board, without: &[NodeName]) -> Result<Halves, Response> {
        let me = &self.settings.me;
        let no = |error: String, hint: String| Err(refused(error, hint));
        for name in without {
            self.known_node(name)?;
            let slot = self.names.iter().position(|known| known == name);
            if slot.is_some_and(|slot| slot == self.slot || self.sights.heard(slot).is_some()) {
                return no(
                    format!("{name} is heard by {me}, so it is not off"),
                    format!(
                        "switch {name} off first; or mend what keeps it and {me} apart, and nobody is left out"
                    ),
                );
            }
        }
        if self.agreement.is_none() || !self.has_history() {
            return no(
                format!("{me} has no log to go on from"),
                "ask on a node that has run in the cluster: `heart log` shows what each knows".into(),
            );
        }
        if self.half.is_at_work() {
            return no(
                format!("{me} is just having others switched off, or goes on already"),
                "`heart status` shows what is done; ask again when that has ended".into(),
            );
        }
        let Some(halves) = self.halves(now, board) else {
            return no(
                format!("{me} is not without a quorum, or has not listened long enough to know"),
                "`heart status` shows who leads and who is heard; `heart confirm-off NODE` frees what a lost node ran"
                    .into(),
            );
        };
        let left_out: Vec<NodeName> =
            halves.missing.iter().filter(|node| !without.contains(node)).cloned().collect();
        if !left_out.is_empty() {
            let all = join(&halves.missing);
            return no(
                format!(
                    "{me} hears {} of {} voters: {all} may be at work without it",
                    halves.here.len(),
                    halves.size
                ),
                format!("name all that are off: `heart takeover --peers-are-off {}`", all.replace(' ', "")),
            );
        }
        if self.agreement.as_ref().is_some_and(|agreement| agreement.votes_may_be_new()) {
            return no(
                format!(
                    "{me} does not know who votes: somebody was just being given a vote, and may be at work with it"
                ),
                "ask on each node that has power: one of them may know; or start one more of those that are off".into(),
            );
        }
        if let Some(better) = self.better_log(&halves) {
            return no(
                format!("{better} has the better log of those that are here"),
                format!("ask on {better}"),
            );
        }
        Ok(halves)
    }

    /// A person wants a node switched off that this half was given up to switch off.
    pub(in crate::core) fn try_again_by_half(&mut self, node: &NodeName) -> Option<Response> {
        let again = self.half.try_again(node);
        again.then(|| Response::Accepted { text: format!("{node} is to be switched off") })
    }

    /// What `heart status` says of a node that cannot go on: what is wrong, and what can be done.
    pub(in crate::core) fn view_of_half(&self, now: Moment, board: &Board) -> Option<(String, String)> {
        if let Some(left) = self.listens_for(now) {
            let wrong =
                format!("{} was started just now, and does not judge yet who is lost", self.settings.me);
            return Some((wrong, format!("listen for another {} ms", left.as_millis())));
        }
        let halves = self.halves(now, board)?;
        let missing = join(&halves.missing).replace(' ', "");
        let firing: Vec<NodeName> =
            halves.missing.iter().filter(|node| self.half.fires_at(node)).cloned().collect();
        if !firing.is_empty() {
            let firing = join(&firing);
            let wrong = format!("{firing} is lost: nothing can be agreed on before it is proven off");
            return Some((wrong, format!("switch {firing} off, then go on without it")));
        }
        let back: Vec<NodeName> =
            halves.lost.iter().filter(|node| self.half.fires_at(node)).cloned().collect();
        if !back.is_empty() {
            let back = join(&back);
            let wrong = format!(
                "{back} is heard again, and a device may still switch it off: nothing is agreed on before"
            );
            return Some((wrong, "go on once that is over".into()));
        }
        let stuck = self.half.told.as_ref()?;
        let next = match missing.is_empty() {
            false => format!(
                "wait for {missing}; or, if {missing} is off for certain: `heart takeover --peers-are-off {missing}`"
            ),
            true => {
                let lost = join(&halves.lost).replace(' ', "");
                format!(
                    "go on without what {lost} lost, if nothing newer than here was there: stop Heart on {lost}, then \
                     `heart takeover --peers-are-off {lost}` on {}",
                    self.settings.me
                )
            }
        };
        let ran = self.ran_last(&halves.missing).filter(|_| *stuck == Stuck::Fresh);
        let ran = ran.map(|ran| format!("; {ran}")).unwrap_or_default();
        let at = if let Stuck::GivenUp(node, _) = stuck { self.half.tried_again_at(node) } else { None };
        let when = at.map(|at| format!(", the next time in {}", time_left(now, at))).unwrap_or_default();
        Some((stuck.words(&halves) + &ran + &when, next))
    }

    /// What `heart status` says where enough voters are heard, and too few of them have a disk that takes what is
    /// written: what is wrong, and what can be done.
    pub(in crate::core) fn view_of_disks(&self, board: &Board) -> Option<(String, String)> {
        if self.has_given_up(board) {
            let me = &self.settings.me;
            return Some((
                format!(
                    "the disk of {me} takes nothing: {me} runs nothing and has no vote, so that others go on"
                ),
                format!("mend the disk of {me}: it takes part again by itself"),
            ));
        }
        let heard = |slot: usize| self.sights.heard(slot).filter(|seen| seen.both_ways);
        let is_here = |slot: &usize| *slot == self.slot || heard(*slot).is_some();
        let is_sound = |slot: &usize| match *slot == self.slot {
            true => self.disk_works,
            false => heard(*slot).is_some_and(|seen| seen.flags & flag::SICK == 0),
        };
        let voters = (0..self.names.len()).filter(|slot| self.sights.voters.contains(*slot));
        let (sound, broken): (Vec<usize>, Vec<usize>) = voters.filter(is_here).partition(is_sound);
        let broken: Vec<NodeName> = broken.into_iter().map(|slot| self.names[slot].clone()).collect();
        broken_disks(sound.len(), &broken, self.sights.quorum())
    }

    /// How long this node still listens before it judges, if it hears too few to agree on anything.
    fn listens_for(&self, now: Moment) -> Option<Duration> {
        let ends = self.began.after(self.timing.lost_after);
        let until = self.listening_until.map_or(ends, |until| until.later(ends));
        let few = self.sights.voters_heard() < self.sights.quorum() && self.has_history();
        (few && !now.has_surely_reached(until)).then(|| now.at_least_until(until))
    }
}

impl Stuck {
    /// For people.
    pub(super) fn words(&self, halves: &Halves) -> String {
        let all: Vec<NodeName> = halves.missing.iter().chain(&halves.lost).cloned().collect();
        let missing = join(&all);
        match self {
            Stuck::Led(node) => format!("{node} has the better log, and sees to it that {missing} is off"),
            Stuck::NotHalf => format!(
                "{} of {} voters are here, which is less than half of them; waiting for {missing}",
                halves.here.len(),
                halves.size
            ),
            Stuck::Unsettled => {
                format!("who votes was being changed, and {missing} may not know that: waiting for {missing}")
            }
            Stuck::Fresh => format!(
                "this node was started after it had left the others or lost power, and they may have gone on \
                 without it: waiting for {missing}"
            ),
            Stuck::NoDevice(node) => {
                format!("nothing is configured that could switch {node} off for certain: waiting for it")
            }
            Stuck::NoTieBreak(why) => format!("the tie-break cannot say who goes on: {why}"),
            Stuck::NotNamed => format!(
                "the tie-break does not let this half go on: the other one may have gone on; waiting for {missing}"
            ),
            Stuck::NoTarget => format!(
                "none of this node's ping targets answers, so it may be the one that is cut off, and leaves it to \
                 {missing} to go on: waiting for a target or for {missing}"
            ),
            Stuck::GivenUp(node, why) => {
                format!(
                    "{node} could not be switched off for certain: {why}; that is tried again {AFTER_A_WHILE}"
                )
            }
        }
    }
}

/// What is said of voters that are heard and have a disk that takes nothing, if the others are no quorum.
fn broken_disks(sound: usize, broken: &[NodeName], quorum: usize) -> Option<(String, String)> {
    if sound >= quorum || sound + broken.len() < quorum {
        return None;
    }
    let names = join(broken);
    let (disk, takes, it, they) = match broken.len() {
        1 => ("disk", "takes", "it", "it is"),
        _ => ("disks", "take", "them", "they are"),
    };
    Some((
        format!(
            "the {disk} of {names} {takes} nothing, and without {it} nothing can be agreed on: what runs goes on, and \
             nothing is started, restarted or moved on any node"
        ),
        format!(
            "mend the {disk} of {names}; or switch {names} off by hand, and the others go on as whenever {they} lost"
        ),
    ))
}

fn join(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_that_take_nothing_are_told_where_nothing_can_be_agreed_on() {
        let names = |names: &[&str]| -> Vec<NodeName> {
            names.iter().map(|name| NodeName::new(name).expect("a name")).collect()
        };
        let rows: [(usize, &[&str], usize, &str); 7] = [
            (2, &[], 2, ""),
            (1, &["bob"], 2, "the disk of bob takes nothing, and without it nothing"),
            (0, &["ada", "bob"], 2, "the disks of ada, bob take nothing, and without them nothing"),
            (2, &["cyn"], 2, ""),
            (1, &["bob", "cyn"], 2, "the disks of bob, cyn take nothing, and without them nothing"),
            // Too few are heard at all: that is said instead.
            (1, &[], 2, ""),
            (0, &["ada"], 2, ""),
        ];
        for (sound, broken, quorum, told) in rows {
            let said =
                broken_disks(sound, &names(broken), quorum).map(|(wrong, _)| wrong).unwrap_or_default();
            assert!(
                said.starts_with(told) && said.is_empty() == told.is_empty(),
                "{sound} {broken:?}: {said}"
            );
        }
    }
}
