//! The rules of half of the voters, over plain facts (SAFETY rules 17 to 19, decision 12).
//!
//! Each function answers one question that [`core`](crate::core) asks before it acts. They are apart from it so that
//! the exhaustive model in `heart-half-model` asks the same ones: what that shows of them it shows of this code. How
//! the facts are come by is not decided here.

use ::core::cmp::Ordering;

use heart_model::Duration;

/// How long a half that does not go first waits at least, beside lost-after, before it switches off a node that has
/// power: in this time the other half has switched this one off, if it can.
const HESITATION: Duration = Duration::from_secs(2);

/// The voters of the configuration in force, counted from one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Who is here with a log, the one that counts among them.
    pub here: usize,
    /// Who is heard both ways and lost its log.
    pub lost: usize,
    /// Who is not heard at all.
    pub missing: usize,
    /// All voters. Who is heard one way only is in none of the others.
    pub size: usize,
}

/// What one voter knows when it asks whether it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knowledge {
    /// Its log says that every voter has durably applied the configuration in force, and holds no later change of who
    /// votes (rule 17 b).
    pub settled: bool,
    /// Its log has the session of this life as one that takes part (rule 17 c).
    pub took_part: bool,
    /// Nobody else who is here has the better log, or as good a one and comes first (rule 17 a).
    pub best_log: bool,
}

/// Why a half may not go on, although it could be proven that the others are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// It is not half of the voters.
    NotHalf,
    /// Not everybody is known to know who votes.
    Unsettled,
    /// It has not taken part in this life.
    Fresh,
    /// Another one of this half has the better log.
    Led,
}

/// What a half that may go on does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The tie-break is asked, and nothing else decides (rule 19).
    AskTieBreak,
    /// All others are proven off: it goes on (rule 17 d).
    GoOn,
    /// All others are proven off, but a device may still act on somebody who is heard again: that would be taken in and
    /// switched off then (rule 12).
    Wait,
    /// It has devices told, once all others of this half keep still (rule 12).
    Fire,
}

/// When a half has the other one switched off that may want to do the same (decision 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turn {
    /// At once.
    First,
    /// After the other one had the time to go first, if that has power.
    Second,
    /// After one that goes second.
    Third,
    /// After all others.
    Last,
}

impl Turn {
    /// How long it lets the other half go first, if that has power.
    #[must_use]
    pub fn hesitation(self, lost_after: Duration) -> Duration {
        match self {
            Turn::First => Duration::ZERO,
            Turn::Second => HESITATION + lost_after,
            Turn::Third => HESITATION + lost_after * 2,
            Turn::Last => HESITATION + lost_after * 3,
        }
    }
}

/// What a voter knows that is asked to give up its vote for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// It has a log.
    pub has_log: bool,
    /// It is asked as one that lost its log.
    pub as_lost: bool,
    /// A person said that the others are off.
    pub by_word: bool,
    /// Who asks has all that this one has.
    pub asker_has_more: bool,
    /// Who asks goes by the same history.
    pub same_era: bool,
    /// It knows for certain that there is no quorum with it.
    pub without_quorum: bool,
    /// It would keep still too: see [`may_keep_still`].
    pub keeps_still: bool,
}

/// What a voter knows whose disk takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burden {
    /// Everybody is known to know who votes (rule 17 b).
    pub settled: bool,
    /// How many other voters are heard both ways.
    pub heard: usize,
    /// How many of these have a log and a disk that works, and took part in this life.
    pub sound: usize,
    /// All voters.
    pub size: usize,
}

/// Whether a voter whose disk takes nothing lays its log down (decision 13): nothing can be agreed on while it keeps it,
/// and without it those whose disks work are half of all, and nobody is missing who would have to be proven off.
#[must_use]
pub fn may_lay_down(burden: Burden) -> bool {
    let Burden { settled, heard, sound, size } = burden;
    settled && heard + 1 == size && sound * 2 == size
}

/// Whether there is certainly no quorum with the one that counts: everybody is heard both ways or not at all, and no
/// more than half is here.
#[must_use]
pub fn is_without_quorum(sides: Sides) -> bool {
    sides.here <= sides.size / 2 && sides.here + sides.lost + sides.missing == sides.size
}

/// What is known of the ping targets of a voter that would begin something as half of the voters (SAFETY rule 20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// One of them answered what it was asked since there is no quorum, and a moment ago.
    pub answered: bool,
    /// This one reached none of them, nor did those that are lost when they were heard last: that none answers is
    /// nothing that parts one half from the other.
    pub nobody_did: bool,
    /// What it would begin is under way.
    pub has_begun: bool,
}

/// Whether half of the voters begins nothing because none of its ping targets answers: it may be the one that is cut
/// off. Whoever may do something without this rule may at most not do it for now: it lets nobody do anything.
#[must_use]
pub fn is_vetoed(targets: Targets) -> bool {
    !(targets.answered || targets.nobody_did || targets.has_begun)
}

/// Whether this half may go on by itself, once the others are off (rule 17, a to c).
///
/// # Errors
/// When it may not; the first rule that forbids it.
pub fn may_go_on(sides: Sides, knows: Knowledge) -> Result<(), Blocked> {
    if sides.here * 2 != sides.size {
        return Err(Blocked::NotHalf);
    }
    // Who has no log knows nothing else of who votes.
    if !(knows.settled || sides.missing == 0) {
        return Err(Blocked::Unsettled);
    }
    // Of two, neither goes on before both know that everybody knows who votes.
    let nobody_did = !knows.settled && sides.size == 2 && sides.missing == 0;
    if !(knows.took_part || nobody_did) {
        return Err(Blocked::Fresh);
    }
    if knows.best_log { Ok(()) } else { Err(Blocked::Led) }
}

/// Whether a voter agrees to nothing while another one of its half has devices told, as that asks: it might go on too,
/// but for the better log of the other one.
#[must_use]
pub fn may_keep_still(same_era: bool, may: Option<Result<(), Blocked>>) -> bool {
    same_era && matches!(may, Some(Ok(()) | Err(Blocked::Led)))
}

/// What a half that may go on does next. A device `may_act` that this half had told, as far as is known here.
#[must_use]
pub fn next(has_tie_break: bool, all_missing_off: bool, may_act: bool) -> Next {
    match (has_tie_break, all_missing_off) {
        // The other half may have gone on by it, and be here again without its log.
        (true, _) => Next::AskTieBreak,
        (false, true) if may_act => Next::Wait,
        (false, true) => Next::GoOn,
        (false, false) => Next::Fire,
    }
}

/// When a half has the other one switched off: the one that runs more goes first, of equals the one with the first
/// node. Each half has to ask that of what is agreed on and of its whole log, and take the later turn: what was agreed
/// on last is in the logs of both, but one of them may not know yet that it was. So both may believe that they run
/// less, or no more; then too no two have the same turn.
#[must_use]
pub fn turn(held_here: usize, held_missing: usize, has_first: bool) -> Turn {
    match (held_here.cmp(&held_missing), has_first) {
        (Ordering::Greater, _) | (Ordering::Equal, true) => Turn::First,
        (Ordering::Less, true) => Turn::Second,
        (Ordering::Less, false) => Turn::Third,
        (Ordering::Equal, false) => Turn::Last,
    }
}

/// Whether a half goes on now. A leader that one of its others stood behind may have found that a claim of the tie-break
/// came to nothing, and what it asked for instead may be on its way (rule 19). So the claim has to be `claimed_since` the
/// last of them gave up its vote, or, without others, since there was no quorum any more.
#[must_use]
pub fn may_force(all_stood_back: bool, by_tie_break: bool, claimed_since: bool) -> bool {
    all_stood_back && (claimed_since || !by_tie_break)
}

/// Whether a voter gives up its vote, for good, for another one of its half that goes on (rule 17 a).
#[must_use]
pub fn may_stand_back(asked: Asked) -> bool {
    match (asked.has_log, asked.by_word) {
        // What it had may have been agreed on: it has to be asked as one that lost it.
        (false, by_word) => asked.as_lost || by_word,
        (true, true) => asked.asker_has_more && asked.same_era && asked.without_quorum,
        (true, false) => asked.asker_has_more && asked.keeps_still,
    }
}

/// Whether the value of the tie-break lets any half of the voters go on that a node knows (rule 19): it is of the
/// same history and the same configuration, and names exactly these voters.
#[must_use]
pub fn is_named(same_era: bool, same_configuration: bool, names_all: bool) -> bool {
    same_era && same_configuration && names_all
}

/// Whether a leader of the history `era`, which went on from `parents`, may replace a value of the history `known`,
/// which went on from `known_parent`. It has a quorum in its history, so nobody has gone on from that: what says so
/// came to nothing. Whatever else went on from those of its parents that are `overruled` does not count: from these it
/// went on because a person said that all others are off.
#[must_use]
pub fn may_replace(
    era: u64,
    mut parents: impl Iterator<Item = u64>,
    mut overruled: impl Iterator<Item = u64>,
    known: u64,
    known_parent: Option<u64>,
) -> bool {
    let is_overruled = overruled.any(|parent| known_parent == Some(parent));
    known == era || known_parent == Some(era) || parents.any(|parent| parent == known) || is_overruled
}

/// Whether a node of the history `own` is left behind by one of the history `era`, which went on from `parents`
/// (rule 18). Two that went on from the same are not: they are held apart.
#[must_use]
pub fn is_left_behind(own: u64, era: u64, mut parents: impl Iterator<Item = u64>) -> bool {
    era != own && own != 0 && parents.any(|parent| parent == own)
}

/// Whether nothing of what another node says counts for agreement, as it says it in another history (rule 18). Zero is the
/// history of who has no log.
#[must_use]
pub fn is_foreign(own: u64, theirs: u64) -> bool {
    theirs != 0 && own != 0 && theirs != own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_goes_on_only_when_everybody_knew_and_it_took_part() {
        let check = |(here, lost, missing, size), (settled, took_part, best_log), expected| {
            let (sides, knows) =
                (Sides { here, lost, missing, size }, Knowledge { settled, took_part, best_log });
            assert_eq!(may_go_on(sides, knows), expected, "{sides:?} {knows:?}");
        };
        check((1, 0, 1, 2), (true, true, true), Ok(()));
        check((2, 0, 2, 4), (true, true, true), Ok(()));
        check((2, 0, 2, 4), (true, true, false), Err(Blocked::Led));
        check((1, 0, 3, 4), (true, true, true), Err(Blocked::NotHalf));
        check((1, 0, 2, 3), (true, true, true), Err(Blocked::NotHalf));
        check((1, 0, 1, 2), (false, true, true), Err(Blocked::Unsettled));
        check((1, 0, 1, 2), (true, false, true), Err(Blocked::Fresh));
        check((1, 1, 0, 2), (true, false, true), Err(Blocked::Fresh));
        check((1, 1, 0, 2), (false, false, true), Ok(()));
        check((2, 2, 0, 4), (false, false, true), Err(Blocked::Fresh));
    }

    #[test]
    fn half_begins_nothing_while_no_target_answers_that_somebody_reached() {
        for (answered, nobody_did, has_begun, vetoed) in [
            (true, false, false, false),
            (false, false, false, true),
            (false, true, false, false),
            (false, false, true, false),
        ] {
            let targets = Targets { answered, nobody_did, has_begun };
            assert_eq!(is_vetoed(targets), vetoed, "{targets:?}");
        }
    }

    #[test]
    fn a_leader_replaces_what_came_to_nothing_or_does_not_count() {
        let check = |(parents, overruled): (&[u64], &[u64]), (known, known_parent), expected| {
            let (parents, overruled) = (parents.iter().copied(), overruled.iter().copied());
            assert_eq!(
                may_replace(9, parents, overruled, known, known_parent),
                expected,
                "{known} {known_parent:?}"
            );
        };
        check((&[1], &[]), (9, Some(1)), true);
        check((&[1], &[]), (7, Some(9)), true);
        check((&[1], &[]), (1, None), true);
        check((&[1], &[]), (7, Some(1)), false);
        check((&[1], &[1]), (7, Some(1)), true);
        check((&[1, 2], &[2]), (7, Some(1)), false);
        check((&[1], &[1]), (7, None), false);
    }

    #[test]
    fn a_log_is_laid_down_only_where_half_is_sound_and_nobody_is_missing() {
        let check = |(settled, heard, sound, size), expected| {
            assert_eq!(
                may_lay_down(Burden { settled, heard, sound, size }),
                expected,
                "{settled} {heard} {sound} {size}"
            );
        };
        check((true, 1, 1, 2), true);
        check((false, 1, 1, 2), false);
        check((true, 1, 0, 2), false);
        check((true, 0, 0, 2), false);
        check((true, 3, 2, 4), true);
        check((true, 3, 3, 4), false);
        check((true, 2, 2, 4), false);
        check((true, 2, 1, 3), false);
    }

    #[test]
    fn a_history_is_left_behind_by_what_went_on_from_it_only() {
        assert!(is_left_behind(1, 2, [1].into_iter()));
        assert!(!is_left_behind(3, 2, [1].into_iter()), "both went on from 1");
        assert!(!is_left_behind(0, 2, [0].into_iter()), "who has no log is behind nobody");
        assert!(is_foreign(1, 2) && !is_foreign(1, 1) && !is_foreign(1, 0) && !is_foreign(0, 2));
    }
}
