//! How much of the heartbeat thread's time strangers may have.
//!
//! What is refused costs time, too, and who can send with a node's address gets past the filter of the
//! kernel. So each link has an allowance for what is refused: once it is used up, the link is not
//! read until the next period. What is good and arrives meanwhile waits in the socket, as long as it
//! finds room there; other links go on as if nothing were.
//!
//! A flood that trickles in would wake the thread for every datagram, and waking costs more than
//! refusing. So a link that brought several refused datagrams is left alone for a moment after each
//! look, and then brings many at once.

use heart_model::{Duration, LINKS_MAX, Moment};

/// How often an allowance is renewed: far below the shortest time after which a node is lost.
const PERIOD: Duration = Duration::from_millis(5);
/// The part of each period that all links together may spend on what is refused.
const ALLOWANCE: Duration = Duration::from_micros(800);

/// How long a link that is flooded is left alone after each look.
const REST: Duration = Duration::from_micros(500);
/// Looks at a link in one period that bring refused datagrams and need no rest.
const LOOKS_MAX: u32 = 2;

/// What one link has spent.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// When the period began.
    since: Moment,
    time: Duration,
    looks: u32,
    /// The last look.
    looked_at: Moment,
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
            // Whoever rested in the last period is flooded until a whole one was quiet.
            let flooded = spent.looks > LOOKS_MAX && now.longest_since(spent.looked_at) < PERIOD;
            let looks = if flooded { LOOKS_MAX } else { 0 };
            *spent = Spent { since: now, looks, ..Spent::default() };
        }
        spent.time += time;
        spent.looks += 1;
        spent.looked_at = now;
    }

    /// Whether `link` has used up its allowance for this period.
    pub(super) fn is_used_up(&self, link: usize, now: Moment) -> bool {
        let spent = &self.links[link];
        spent.time >= self.each && now.longest_since(spent.since) < PERIOD
    }

    /// How long `link` is not read; nothing if it is.
    pub(super) fn pause(&self, link: usize, now: Moment) -> Option<Duration> {
        let spent = &self.links[link];
        let left = |whole: Duration, since: Moment| whole.saturating_sub(now.longest_since(since));
        let over = if self.is_used_up(link, now) { left(PERIOD, spent.since) } else { Duration::ZERO };
        let rest = if spent.looks > LOOKS_MAX { left(REST, spent.looked_at) } else { Duration::ZERO };
        Some(over.max(rest)).filter(|pause| !pause.is_zero())
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
        assert!(patience.is_used_up(0, at(4_999)) && !patience.is_used_up(0, at(5_000)));
        assert_eq!(patience.pause(0, at(5_000)), None, "a new period");
        patience.spend(0, at(5_000), Duration::from_micros(1));
        assert_eq!(patience.pause(0, at(5_000)), None, "with a new allowance");
    }

    #[test]
    fn a_flood_that_trickles_in_is_looked_at_now_and_then() {
        let mut patience = Patience::new(2);
        let mut looks = 0;
        for micros in 0..100_000 {
            if patience.pause(0, at(micros)).is_none() {
                looks += 1;
                patience.spend(0, at(micros), Duration::from_micros(2));
            }
        }
        assert!((150..=260).contains(&looks), "{looks} looks in 100 ms");
        patience.spend(0, at(200_000), Duration::from_micros(2));
        assert_eq!(patience.pause(0, at(200_000)), None, "what goes astray once needs no rest");
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
