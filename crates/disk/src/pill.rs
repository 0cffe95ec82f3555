//! Telling a machine over the disk to reset itself, and knowing when it is off.
//!
//! Who may switch a node off writes a message with its life into a block of his own. That node reads all messages
//! again and again, in rounds: it reads, and then counts the round in its beat. Finding a message of its life while it
//! has no lease, it writes into its beat that it obeys, as the last thing it ever writes there in that life, and
//! resets itself. A node that has a lease obeys nobody: while it takes part there is no right to switch it off, so the
//! message is one that nobody withdrew in time.
//!
//! Silence on the disk proves nothing, as it proves nothing on a network. There are three proofs:
//!
//! - *It obeys, and the time of its watchdog is over.* If the reset itself hangs, the watchdog is left alone from then on.
//! - *Its slot has another life.* So the machine has started anew.
//! - *Nothing was heard for as long as it takes.* A machine that does not get through a round and has no lease is left
//!   alone by what feeds its watchdog, and says in its beat after how long it is off then. This counts only if that
//!   life said it and has not taken it back, and from the moment on in which the message stood on the disk: no round that
//!   began later can have missed it.
//!
//! A beat that goes on afterwards shows that the machine is not off, whatever was promised. All of this holds for a
//! machine whose clock counts while it runs, and not for a guest that may be paused: its watchdog pauses with it.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use heart_model::{BootId, Duration, Moment};

use crate::{
    layout::Slot,
    plant::{Bug, is_planted},
    records::{Beat, MESSAGES_MAX, Message, Messages, Obeyed, Pledge},
};

/// When a machine looks at its messages, and what it knows then.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// When it began to read them.
    pub now: Moment,
    /// When its lease ends, or ended.
    pub lease_until: Moment,
    /// How long a promise lasts: no lease is longer, counted from when it was asked for.
    pub lost_after: Duration,
}

/// The messages that a life of a machine has read, and which of them nobody has a right to any more.
///
/// Whoever has the right to switch a node off has it since that was taken over, and from then on no quorum renews its
/// lease. So a lease that was asked for after a message was read shows that the message was left behind.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<Obeyed, Reading>);

#[derive(Clone, Copy, Debug)]
enum Reading {
    First(Moment),
    LeftBehind,
}

impl Seen {
    /// The message that this life of a machine has to obey now, if there is one: `all` are the messages of each slot.
    #[must_use]
    pub fn told(&mut self, me: Slot, boot: BootId, all: &[(Slot, Messages)], look: &Look) -> Option<Obeyed> {
        let for_me = |message: &&Message| message.to == me && message.boots.contains(&boot);
        let of = |(by, messages): &(Slot, Messages)| {
            let number = |message: &Message| Obeyed { by: *by, number: message.number };
            messages.all.iter().filter(for_me).map(number).collect::<Vec<_>>()
        };
        let there: Vec<Obeyed> = all.iter().flat_map(of).collect();
        // Bounded by what stands there.
        self.0.retain(|message, _| there.contains(message));
        for message in &there {
            let reading = self.0.entry(*message).or_insert(Reading::First(look.now));
            if let Reading::First(first) = *reading
                && !first.after(look.lost_after).may_have_reached(look.lease_until)
            {
                *reading = Reading::LeftBehind;
            }
        }
        let has_lease = !look.now.at_least_until(look.lease_until).is_zero();
        let holds = |message: &Obeyed| matches!(self.0.get(message), Some(Reading::First(_)));
        there.into_iter().find(|message| !has_lease && holds(message))
    }
}

/// The lives that a message has to name to end `boot`, where the slot of that machine says `beat`.
#[must_use]
pub fn named(boot: BootId, beat: &Beat) -> Vec<BootId> {
    let other = beat.boot.filter(|other| *other != boot);
    core::iter::once(boot).chain(other).collect()
}

impl Messages {
    /// Adds a message, and says its number. One for the same machine is replaced by it.
    ///
    /// # Errors
    /// When there are [`MESSAGES_MAX`] for others, or the numbers are used up; for people.
    pub fn tell(&mut self, to: Slot, boots: Vec<BootId>) -> Result<u64, String> {
        self.all.retain(|message| message.to != to);
        if self.all.len() >= MESSAGES_MAX {
            return Err(format!(
                "{MESSAGES_MAX} other machines are told to reset themselves: try again later"
            ));
        }
        self.newest = self.newest.checked_add(1).ok_or("the numbers of its messages are used up")?;
        self.all.push(Message { number: self.newest, to, boots });
        Ok(self.newest)
    }

    /// Takes a message back, if it is still there.
    pub fn withdraw(&mut self, number: u64) {
        self.all.retain(|message| message.number != number);
    }
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How often the beat is looked at, and rounds are made.
    pub look_every: Duration,
    /// Longest that is waited for anything, from when the message stood on the disk.
    pub longest: Duration,
}

/// What follows from what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet: look again.
    Wait,
    /// That life of the machine is over.
    Off,
    /// That is not proven, and will not be by waiting; why, as the end of a sentence about the machine.
    Unproven(String),
}

/// Waiting for a machine to be off that was told to reset itself.
#[derive(Clone, Debug)]
pub struct Pill {
    times: Times,
    /// Which life is to end.
    boot: BootId,
    /// What its slot said when the message stood on the disk.
    first: Beat,
    last: Beat,
    /// That life was seen to say that nobody may count on its watchdog any more.
    took_back: bool,
    /// When the last change of the beat was seen.
    changed_at: Duration,
    /// When it was seen that it obeys.
    obeys_since: Option<Duration>,
    /// Why the beat could not be read the last time; none if it was.
    unread: Option<String>,
}

impl Pill {
    /// Begins when the message stands on the disk; `first` is what the slot said just before it was written.
    #[must_use]
    pub fn new(times: Times, boot: BootId, first: Beat) -> Pill {
        let (last, changed_at) = (first.clone(), Duration::ZERO);
        Pill { times, boot, first, last, took_back: false, changed_at, obeys_since: None, unread: None }
    }

    /// Takes what the slot says, so long after the message stood on the disk: the shorter of what two clocks say.
    pub fn look(&mut self, elapsed: Duration, beat: Result<Beat, String>) -> Verdict {
        match beat {
            Err(why) => self.unread = Some(why),
            Ok(beat) => {
                self.unread = None;
                if beat.boot != self.first.boot && beat.boot == Some(self.boot) {
                    return Verdict::Unproven("wrote its slot only after it was told: it is there".into());
                }
                if beat.boot != self.first.boot {
                    return Verdict::Off;
                }
                // Heart that is stopped there takes it back in the same round, and given anew it is another promise.
                self.took_back |= beat.pledge.is_none();
                self.last.pledge = beat.pledge;
                if (beat.round, beat.obeys) != (self.last.round, self.last.obeys) {
                    if self.obeys_since.is_some() {
                        return Verdict::Unproven("said that it obeys, and goes on all the same".into());
                    }
                    self.obeys_since = beat.obeys.map(|_| elapsed);
                    (self.last, self.changed_at) = (beat, elapsed);
                } else if beat.obeys.is_some() {
                    // It obeyed somebody else before this message stood there.
                    self.obeys_since.get_or_insert(elapsed);
                }
            }
        }
        self.judge(elapsed)
    }

    fn judge(&self, elapsed: Duration) -> Verdict {
        let looks = self.times.look_every * 2;
        let due = match (self.obeys_since, self.last.pledge, self.pledge()) {
            (Some(since), Some(pledge), _) => since + pledge.reset,
            (None, _, Some(pledge)) => pledge.off_within,
            (Some(_), None, _) | (None, _, None) => self.times.longest,
        };
        let off_after = if is_planted(Bug::PillBeforeTime) { Duration::ZERO } else { due + looks };
        if elapsed < off_after.min(self.times.longest) {
            return Verdict::Wait;
        }
        if let Some(why) = &self.unread {
            return Verdict::Unproven(format!("may be off, but its slot cannot be read: {why}"));
        }
        let rounds = self.last.round.saturating_sub(self.first.round);
        if self.obeys_since.is_none() && (rounds > 1 || self.changed_at >= due) {
            return Verdict::Unproven(format!(
                "got through {rounds} rounds since, and does not obey: it has a lease, or runs something else than \
                 Heart there"
            ));
        }
        let pledged = if self.obeys_since.is_some() { self.last.pledge } else { self.pledge() };
        if pledged.is_none() {
            return Verdict::Unproven(self.without_proof());
        }
        if elapsed < off_after {
            return Verdict::Unproven(format!(
                "needs {} s to be off, which is longer than this attempt lasts",
                due.as_secs()
            ));
        }
        Verdict::Off
    }

    /// After how long it is off if it does not read the message: said by the life that is to end.
    fn pledge(&self) -> Option<Pledge> {
        self.first.pledge.filter(|_| self.first.boot == Some(self.boot) && !self.took_back)
    }

    fn without_proof(&self) -> String {
        if self.obeys_since.is_some() {
            return "says that it obeys, but has no watchdog that is armed: its reset may hang".into();
        }
        let why = match self.first.boot {
            Some(boot) if boot == self.boot && self.first.pledge.is_some() => {
                "it took its promise back that its watchdog sees to it"
            }
            Some(boot) if boot == self.boot => "its watchdog was not armed when it said so last",
            Some(_) => "that life of it never wrote its slot",
            None => "it never wrote its slot",
        };
        format!("does not say that it obeys, and {why}: so it may run on, cut off from the disk")
    }
}

/// The rounds of one machine.
#[derive(Clone, Debug)]
pub struct Rounds(Beat);

impl Rounds {
    /// Begins, in a life of the machine, where its slot says `beat`, with what its watchdog sees to.
    #[must_use]
    pub fn new(boot: BootId, beat: &Beat, pledge: Option<Pledge>) -> Rounds {
        let same = beat.boot == Some(boot);
        let obeys = beat.obeys.filter(|_| same);
        Rounds(Beat { boot: Some(boot), pledge, obeys, ..beat.clone() })
    }

    /// One round: all messages were read, and one has to be obeyed if [`Seen`] says so; at this time of the wall clock,
    /// in milliseconds since 1970. What is to be written; whether the machine is
    /// to be reset once it is.
    pub fn go_on(&mut self, told: Option<Obeyed>, at: u64) -> (Beat, bool) {
        self.0.obeys = self.0.obeys.or(told);
        let obeys = self.0.obeys.is_some();
        if !obeys {
            (self.0.round, self.0.at) = (self.0.round.saturating_add(1), at);
        }
        (self.0.clone(), obeys)
    }
}

/// Whether a machine may go on that has made a pledge: it got through a round in time, which is so until `until`, or has
/// a lease. Whoever feeds its watchdog asks this each time.
#[must_use]
pub fn may_go_on(now: Moment, until: Moment, lease_until: Moment) -> bool {
    !now.may_have_reached(until) || !now.at_least_until(lease_until).is_zero()
}

/// Whether a reader whose slot said `before`, and says `now`, is at work there.
#[must_use]
pub fn is_at_work(before: &Beat, now: &Beat) -> bool {
    now.obeys.is_none() && (now.boot, now.round) != (before.boot, before.round)
}

/// The messages that stand there for a slot, for people.
#[must_use]
pub fn told(to: Slot, all: &[(Slot, Messages)]) -> Vec<(Slot, u64)> {
    let of = |(by, messages): &(Slot, Messages)| {
        let for_it = messages.all.iter().filter(|message| message.to == to);
        for_it.map(|message| (*by, message.number)).collect::<Vec<_>>()
    };
    all.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use heart_model::Instant;

    const LIFE: BootId = BootId(7);
    const TIMES: Times = Times { look_every: Duration::from_secs(1), longest: Duration::from_secs(30) };
    const OBEYS: Option<Obeyed> = Some(Obeyed { by: Slot(1), number: 4 });

    fn beat(boot: u128, round: u64) -> Beat {
        let pledge = Some(Pledge { off_within: Duration::from_secs(16), reset: Duration::from_secs(10) });
        Beat { boot: Some(BootId(boot)), round, at: round, pledge, obeys: None }
    }

    /// Looks every second at what the slot says from which second on; when it is decided, and what.
    fn check(first: &Beat, says: &[(u64, Result<Beat, &str>)]) -> (u64, Verdict) {
        let mut pill = Pill::new(TIMES, LIFE, first.clone());
        for second in 0..=60 {
            let now = says.iter().rev().find(|(from, _)| *from <= second);
            let now = now.map_or_else(|| Ok(first.clone()), |(_, said)| said.clone().map_err(Into::into));
            match pill.look(Duration::from_secs(second), now) {
                Verdict::Wait => {}
                verdict => return (second, verdict),
            }
        }
        panic!("it waits for ever");
    }

    fn is_off_after(seconds: u64, first: &Beat, says: &[(u64, Result<Beat, &str>)]) {
        assert_eq!(check(first, says), (seconds, Verdict::Off));
    }

    fn is_unproven(words: &str, first: &Beat, says: &[(u64, Result<Beat, &str>)]) {
        match check(first, says) {
            (_, Verdict::Unproven(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_obeys_is_off_when_its_watchdog_would_have_fired() {
        let obeys = Beat { obeys: OBEYS, ..beat(7, 5) };
        is_off_after(14, &beat(7, 5), &[(2, Ok(obeys.clone()))]);
        // One more round that had read before the message stood there is no lie.
        is_off_after(15, &beat(7, 5), &[(1, Ok(beat(7, 6))), (3, Ok(Beat { obeys: OBEYS, ..beat(7, 6) }))]);
        is_off_after(12, &obeys, &[]);
    }

    #[test]
    fn who_obeys_and_goes_on_is_not_off() {
        let obeys = Beat { obeys: OBEYS, ..beat(7, 5) };
        is_unproven("goes on all the same", &beat(7, 5), &[(2, Ok(obeys)), (8, Ok(beat(7, 6)))]);
    }

    #[test]
    fn another_life_in_its_slot_proves_that_the_one_before_is_over() {
        is_off_after(9, &beat(7, 5), &[(2, Ok(Beat { obeys: OBEYS, ..beat(7, 5) })), (9, Ok(beat(8, 5)))]);
        is_off_after(4, &beat(7, 5), &[(4, Ok(beat(8, 1)))]);
        is_off_after(4, &beat(6, 5), &[(4, Ok(beat(8, 1)))]);
        is_unproven("it is there", &beat(6, 5), &[(4, Ok(beat(7, 1)))]);
    }

    #[test]
    fn who_does_not_read_is_off_when_it_said_that_it_would_be() {
        is_off_after(18, &beat(7, 5), &[]);
        is_off_after(18, &beat(7, 5), &[(5, Ok(beat(7, 6)))]);
        is_off_after(18, &beat(7, 5), &[(5, Err("it hangs")), (18, Ok(beat(7, 5)))]);
    }

    #[test]
    fn who_goes_on_without_obeying_is_not_off() {
        let rounds: Vec<_> = (1..30).map(|second| (second, Ok(beat(7, 5 + second)))).collect();
        is_unproven("does not obey", &beat(7, 5), &rounds);
        is_unproven("does not obey", &beat(7, 5), &[(17, Ok(beat(7, 6)))]);
    }

    #[test]
    fn silence_alone_proves_nothing() {
        is_unproven("watchdog was not armed", &Beat { pledge: None, ..beat(7, 5) }, &[]);
        is_unproven("that life of it never wrote", &beat(6, 5), &[]);
        is_unproven("it never wrote", &Beat::default(), &[]);
        let pledge =
            beat(7, 5).pledge.map(|pledge| Pledge { off_within: Duration::from_secs(100), ..pledge });
        let long = Beat { pledge, ..beat(7, 5) };
        let obeys = Beat { pledge: None, obeys: OBEYS, ..beat(7, 5) };
        is_unproven("its reset may hang", &beat(7, 5), &[(3, Ok(obeys))]);
        is_unproven("longer than this attempt", &long, &[]);
        is_unproven("cannot be read: it hangs", &beat(7, 5), &[(3, Err("it hangs"))]);
    }

    #[test]
    fn a_promise_that_was_taken_back_proves_nothing() {
        let without = |round| Beat { pledge: None, ..beat(7, round) };
        is_unproven("took its promise back", &beat(7, 5), &[(3, Ok(without(5)))]);
        is_unproven("took its promise back", &beat(7, 5), &[(3, Ok(without(6)))]);
        is_unproven("took its promise back", &beat(7, 5), &[(3, Ok(without(5))), (5, Ok(beat(7, 6)))]);
        is_unproven("took its promise back", &beat(7, 5), &[(3, Err("it hangs")), (18, Ok(without(5)))]);
        let obeys = Beat { obeys: OBEYS, ..beat(7, 5) };
        is_off_after(17, &beat(7, 5), &[(3, Ok(without(5))), (5, Ok(obeys.clone()))]);
        is_unproven("its reset may hang", &obeys, &[(3, Ok(Beat { pledge: None, ..obeys.clone() }))]);
    }

    /// A machine that looks once a second, with a lease of 600 ms that ends when the test says so.
    struct Machine {
        seen: Seen,
        beat: Beat,
        now: u64,
        lease_until: u64,
    }

    impl Machine {
        /// Its lease ends so many milliseconds later, or is not renewed.
        fn looks(&mut self, messages: &Messages, lease_millis: u64) -> bool {
            self.now += 1000;
            if lease_millis > 0 {
                self.lease_until = self.now + lease_millis;
            }
            let at = |millis| Moment::both(Instant(millis * 1_000_000));
            let look = Look {
                now: at(self.now),
                lease_until: at(self.lease_until),
                lost_after: Duration::from_millis(600),
            };
            let told = self.seen.told(
                Slot(0),
                LIFE,
                &[(Slot(0), Messages::default()), (Slot(1), messages.clone())],
                &look,
            );
            let (beat, obeys) = Rounds::new(LIFE, &self.beat, None).go_on(told, 0);
            self.beat = beat;
            obeys
        }
    }

    fn machine() -> Machine {
        Machine { seen: Seen::default(), beat: beat(6, 9), now: 0, lease_until: 0 }
    }

    #[test]
    fn a_machine_obeys_what_is_meant_for_its_life_and_never_writes_again() {
        let (mut machine, mut messages) = (machine(), Messages::default());
        assert!(!machine.looks(&messages, 0));
        assert_eq!(machine.beat.round, 10, "the slot counts on through lives");
        messages.tell(Slot(0), vec![BootId(6)]).unwrap();
        messages.tell(Slot(2), vec![LIFE]).unwrap();
        assert!(!machine.looks(&messages, 0), "another life, another machine");
        let number = messages.tell(Slot(0), vec![BootId(6), LIFE]).unwrap();
        assert!(machine.looks(&messages, 0));
        assert_eq!((machine.beat.obeys, machine.beat.round), (Some(Obeyed { by: Slot(1), number }), 11));
        messages.withdraw(number);
        assert!(machine.looks(&messages, 500), "there is no way back, nor by starting Heart anew");
        assert_eq!(machine.beat.round, 11);
        assert!(!Rounds::new(BootId(8), &machine.beat, None).go_on(None, 0).1, "but by a new life");
    }

    #[test]
    fn the_rest_of_a_lease_is_waited_for() {
        let (mut machine, mut messages) = (machine(), Messages::default());
        messages.tell(Slot(0), vec![LIFE]).unwrap();
        assert!(!machine.looks(&messages, 500), "the last promises hold");
        assert!(machine.looks(&messages, 0), "and were not renewed");
    }

    #[test]
    fn a_message_that_was_left_behind_is_never_obeyed() {
        let (mut machine, mut messages) = (machine(), Messages::default());
        messages.tell(Slot(0), vec![LIFE]).unwrap();
        assert!(!machine.looks(&messages, 500) && !machine.looks(&messages, 500), "it was heard since");
        assert!(!machine.looks(&messages, 0), "so nobody has that right");
        messages.tell(Slot(0), vec![LIFE]).unwrap();
        assert!(machine.looks(&messages, 0), "a new one is another one");
    }

    #[test]
    fn messages_are_bounded_and_one_a_machine() {
        let mut messages = Messages::default();
        for slot in 0..MESSAGES_MAX as u16 {
            messages.tell(Slot(slot), vec![LIFE]).unwrap();
        }
        assert_eq!(messages.tell(Slot(3), vec![BootId(8)]), Ok(MESSAGES_MAX as u64 + 1));
        assert!(messages.tell(Slot(99), vec![LIFE]).unwrap_err().contains("try again later"));
        assert_eq!(told(Slot(3), &[(Slot(0), messages)]), [(Slot(0), MESSAGES_MAX as u64 + 1)]);
    }
}
