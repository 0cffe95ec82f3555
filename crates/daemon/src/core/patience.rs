//! How much of the heartbeat thread's time strangers may have.
//!
//! What is refused costs time, too, and who can send with a node's address gets past the filter of the
//! kernel. So each link has an allowance for what is refused: once it is used up, the link is not
//! read until the next period. What is good and arrives meanwhile waits in the socket, as long as it
//! finds room there; other links go on as if nothing were.

use heart_model::{Duration, LINKS_MAX, Moment};

/// How often an allowance is renewed: far below the shortest time after which a node is lost.
const PERIOD: Duration = Duration::from_millis(5);
/// The part of each period that all links together may spend on what is refused.
const ALLOWANCE: Duration = Duration::from_micros(800);

/// What one link has spent.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// When the period began.
    since: Moment,
    time: Duration,
}

/// What all links have spent.
#[derive(Debug)]
pub(super) struct Patience {
    links: [Spent; LINKS_MAX],
    /// What each may spend in a period.
    each: Duration,
}

impl Patience {
    /// Allowances for that many links.
    pub(super) fn new(links: usize) -> Patience {
        Patience {
            links: [Spent::default(); LINKS_MAX],
            each: ALLOWANCE / u32::try_from(links.max(1)).unwrap_or(u32::MAX),
        }
    }

    /// Notes that something refused on `link` took this long.
    pub(super) fn spend(&mut self, link: usize, now: Moment, time: Duration) {
        let spent = &mut self.links[link];
        if now.longest_since(spent.since) >= PERIOD {
            *spent = Spent { since: now, time: Duration::ZERO };
        }
        spent.time += time;
    }

    /// How long `link` is not read; nothing if it is.
    pub(super) fn pause(&self, link: usize, now: Moment) -> Option<Duration> {
        let spent = &self.links[link];
        let left = PERIOD.saturating_sub(now.longest_since(spent.since));
        (spent.time >= self.each && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::Instant;

    fn at(micros: u64) -> Moment {
        Moment::both(Instant(1_000_000_000 + micros * 1_000))
    }

    #[test]
    fn a_link_that_used_up_its_allowance_pauses_until_the_next_period_and_others_do_not() {
        let mut patience = Patience::new(2);
        let half = ALLOWANCE / 2;
        patience.spend(0, at(0), half - Duration::from_micros(1));
        assert_eq!(patience.pause(0, at(10)), None, "there is something left");
        patience.spend(0, at(1_000), Duration::from_micros(1));
        assert_eq!(patience.pause(0, at(1_000)), Some(PERIOD - Duration::from_millis(1)));
        assert_eq!(patience.pause(1, at(1_000)), None, "the other link has its own");
        assert_eq!(patience.pause(0, at(5_000)), None, "a new period");
        patience.spend(0, at(5_000), Duration::from_micros(1));
        assert_eq!(patience.pause(0, at(5_000)), None, "with a new allowance");
    }

    #[test]
    fn all_links_together_never_spend_more_than_a_fifth_of_the_time() {
        for links in 1..=LINKS_MAX {
            let mut patience = Patience::new(links);
            let (mut spent, step) = (Duration::ZERO, Duration::from_micros(20));
            let mut micros = 0;
            while micros < 1_000_000 {
                let before = micros;
                for link in 0..links {
                    if patience.pause(link, at(micros)).is_none() {
                        micros += 20;
                        spent += step;
                        patience.spend(link, at(micros), step);
                    }
                }
                micros += if micros == before { 50 } else { 0 };
            }
            assert!(spent < Duration::from_millis(220), "{links} links: {spent:?} of a second");
        }
    }
}
