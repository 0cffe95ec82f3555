//! Decides whether the watchdog of a machine is fed, and when a core that stands still is started anew.
//!
//! Two things count. The core has to get on, if this node owns anything: a node that cannot let go any more must not
//! stay as it is. And on a node that resets itself, of which others take what it runs by the clock and nothing else
//! (SAFETY rule 11), that has to be let go soon after the lease has ended, whatever becomes of the core. Who owns
//! nothing is never reset: there is nothing to be saved by that.
//!
//! The guardian asks on its own thread and tells nobody but the device, so nothing here waits for anything. All that
//! the next guardian has to know stands on the board.

use heart_model::{Duration, FEEDS_PER_DEADLINE, Moment, Timing};

use crate::{
    board::{Board, Held},
    plant::{Bug, is_planted},
};

/// What is to be done with a watchdog and the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feeding {
    /// Why it is not fed, if it is not.
    pub withheld: Option<Withheld>,
    /// The core is to be killed: it has shown no progress for its whole patience, and was not killed for that yet.
    pub restart_core: bool,
    /// How long the device is to wait.
    pub deadline: Duration,
    /// When to ask again.
    pub again_after: Duration,
}

/// Why a watchdog is not fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The core shows no progress, although it was started anew for that, and this node owns something.
    NoProgress,
    /// The lease has ended, and what others take by the clock is not let go.
    NotLetGo,
}

impl ::core::fmt::Display for Withheld {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        to.write_str(match self {
            Withheld::NoProgress => {
                "the core shows no progress, although it was started anew, and this node owns something"
            }
            Withheld::NotLetGo => {
                "the lease has ended, and what others start without asking this node is not let go"
            }
        })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Feeder {
    /// When this guardian looked last.
    looked_at: Option<Moment>,
}

impl Feeder {
    /// A guardian takes up its office; `begins` if no earlier one of this boot did.
    #[must_use]
    pub fn new(now: Moment, board: &Board, begins: bool) -> Feeder {
        if begins {
            board.set_excused_until(now);
            board.set_held(Held::Nothing);
            board.set_agreed_lost_after(None);
        }
        Feeder { looked_at: None }
    }

    /// The core is about to be started for the first time in this run of the daemon.
    pub fn on_begin(now: Moment, board: &Board) {
        board.set_given_time_at(now);
    }

    /// How things are now, by the file's timing and by what was agreed on, whichever is stricter: until both are the
    /// same others may go by either.
    pub fn look(&mut self, now: Moment, board: &Board, of_file: &Timing) -> Feeding {
        let lost_after = board.agreed_lost_after().unwrap_or(of_file.lost_after).min(of_file.lost_after);
        let timing = Timing { lost_after, ..*of_file };
        let again_after = timing.watchdog() / FEEDS_PER_DEADLINE;
        let before = self.looked_at.replace(now);
        // Whoever was late itself knows nothing of how the others got on.
        let on_time = before.is_some_and(|before| now.longest_since(before) < again_after * 2);
        let patience = timing.watchdog_patience();
        let held = board.held();
        let (restart_core, stuck) = progress(now, board, patience, on_time, held);
        let not_let_go = !is_excused(now, board, patience, held);
        let withheld =
            if not_let_go { Some(Withheld::NotLetGo) } else { stuck.then_some(Withheld::NoProgress) };
        Feeding { withheld, restart_core, deadline: timing.watchdog(), again_after }
    }
}

/// Whether the core is to be killed, and whether that was done in vain.
fn progress(now: Moment, board: &Board, patience: Duration, on_time: bool, held: Held) -> (bool, bool) {
    let (shown, given) = (board.progress(), board.given_time_at());
    // A machine that slept was not idle: the clock counts that did not go on meanwhile.
    let is_silent = |since: Moment| now.shortest_since(since) >= patience;
    if !(is_silent(shown) && is_silent(given)) {
        return (false, false);
    }
    let was_restarted = given.shortest_since(shown) >= patience;
    let stuck = was_restarted && held > Held::Nothing;
    let restart = on_time && !stuck;
    if restart {
        board.set_given_time_at(now);
    }
    (restart, stuck)
}

/// Whether it is in order that this node runs what it runs, or was until a moment ago.
fn is_excused(now: Moment, board: &Board, patience: Duration, held: Held) -> bool {
    if held < Held::TakenByTheClock || is_planted(Bug::FedWithoutLease) {
        board.set_excused_until(now);
        return true;
    }
    let lease_until = board.lease_until();
    let is_seen = !is_planted(Bug::LeaseUnseen);
    if is_seen && !board.is_deposed() && !now.may_have_reached(lease_until) {
        board.set_excused_until(lease_until);
        return true;
    }
    now.longest_since(board.excused_until()) < patience
}

#[cfg(test)]
mod tests {
    use heart_model::{BootId, Instant, Profile};

    use super::*;

    const TIMING: Timing = Timing::of(Profile::Default);

    fn at(millis: u64) -> Moment {
        Moment::both(Instant(millis * 1_000_000))
    }

    /// A guardian that looks as often as it should, at a node whose core and lease end when the test says so.
    struct Watch {
        feeder: Feeder,
        board: Board,
        now: u64,
        restarts: Vec<u64>,
    }

    impl Watch {
        fn new(held: Held) -> Watch {
            let board = Board::default();
            board.begin(BootId(7), &[], Moment::default());
            let feeder = Feeder::new(at(0), &board, true);
            Feeder::on_begin(at(0), &board);
            board.set_held(held);
            Watch { feeder, board, now: 0, restarts: Vec::new() }
        }

        /// Looks every second until `millis`; `each` happens before each look. When feeding ends, if it does.
        fn until(&mut self, millis: u64, each: impl Fn(&Board, u64)) -> Option<(u64, Withheld)> {
            while self.now < millis {
                self.now += 1000;
                each(&self.board, self.now);
                let feeding = self.feeder.look(at(self.now), &self.board, &TIMING);
                assert_eq!(feeding.again_after, Duration::from_secs(1));
                self.restarts.extend(feeding.restart_core.then_some(self.now));
                if let Some(why) = feeding.withheld {
                    return Some((self.now, why));
                }
            }
            None
        }
    }

    fn works(board: &Board, now: u64) {
        board.set_progress(at(now - 50));
        board.set_lease_until(at(now + 500));
    }

    #[test]
    fn a_node_that_gets_on_and_has_a_lease_is_fed() {
        for held in [Held::Nothing, Held::Something, Held::TakenByTheClock] {
            let mut watch = Watch::new(held);
            assert_eq!(watch.until(60_000, works), None, "{held:?}");
            assert!(watch.restarts.is_empty(), "{held:?}");
        }
    }

    #[test]
    fn a_core_that_stands_still_is_started_anew_and_then_the_machine_is_reset_if_it_owns_anything() {
        let mut watch = Watch::new(Held::Something);
        watch.until(10_000, works);
        assert_eq!(watch.until(60_000, |_, _| {}), Some((18_000, Withheld::NoProgress)));
        assert_eq!(watch.restarts, [14_000]);
        let mut idle = Watch::new(Held::Nothing);
        assert_eq!(idle.until(60_000, |_, _| {}), None);
        assert!(idle.restarts.len() > 5, "{:?}", idle.restarts);
    }

    #[test]
    fn a_core_that_gets_on_after_it_was_started_anew_may_stand_still_once_more() {
        let mut watch = Watch::new(Held::Something);
        let stalls = |board: &Board, now: u64| {
            if !matches!(now, 10_000..14_500 | 30_000..34_500) {
                board.set_progress(at(now - 50));
            }
        };
        assert_eq!(watch.until(60_000, stalls), None);
        assert_eq!(watch.restarts, [13_000, 33_000]);
    }

    #[test]
    fn a_guardian_that_was_late_itself_blames_nobody() {
        let mut watch = Watch::new(Held::Something);
        watch.until(10_000, works);
        watch.now = 25_000;
        assert_eq!(watch.until(26_000, |_, _| {}), None);
        assert!(watch.restarts.is_empty());
        assert_eq!(watch.until(40_000, works), None);
        assert!(watch.restarts.is_empty());
    }

    #[test]
    fn what_others_take_by_the_clock_is_let_go_in_time_or_the_machine_is_reset() {
        let no_lease = |board: &Board, now: u64| board.set_progress(at(now));
        for (held, ends) in [
            (Held::Nothing, None),
            (Held::Something, None),
            (Held::TakenByTheClock, Some((14_000, Withheld::NotLetGo))),
        ] {
            let mut watch = Watch::new(held);
            watch.until(10_000, works);
            assert_eq!(watch.until(60_000, no_lease), ends, "{held:?}");
        }
        let mut lets_go = Watch::new(Held::TakenByTheClock);
        lets_go.until(10_000, works);
        assert_eq!(lets_go.until(13_000, no_lease), None);
        lets_go.board.set_held(Held::Nothing);
        assert_eq!(lets_go.until(60_000, no_lease), None);
    }

    #[test]
    fn guardians_that_are_killed_over_and_over_do_not_make_it_later() {
        let mut watch = Watch::new(Held::TakenByTheClock);
        watch.until(10_000, works);
        let mut ended = None;
        while ended.is_none() && watch.now < 60_000 {
            watch.feeder = Feeder::new(at(watch.now), &watch.board, false);
            ended = watch.until(watch.now + 1000, |board, now| board.set_progress(at(now)));
        }
        assert_eq!(ended, Some((14_000, Withheld::NotLetGo)));
    }

    #[test]
    fn of_two_timings_the_stricter_one_counts() {
        let long = Timing { lost_after: Duration::from_secs(10), ..TIMING };
        let (board, mut feeder) = (Board::default(), Feeder::default());
        for (file, agreed, deadline) in
            [(TIMING, None, 4), (long, None, 16), (long, Some(TIMING), 4), (TIMING, Some(long), 4)]
        {
            board.set_agreed_lost_after(agreed.map(|agreed: Timing| agreed.lost_after));
            assert_eq!(feeder.look(at(1), &board, &file).deadline, Duration::from_secs(deadline));
        }
    }
}
