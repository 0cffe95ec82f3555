//! Who is connected to a witness, and of whom it complained.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Desk;

/// Most connections at a time, of all together.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// Most connections at a time of one address.
pub(super) const CONNECTIONS_OF_ONE_MAX: usize = 8;
/// How often something is said about one address.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// Most addresses that are remembered because something was said about them.
const COMPLAINTS_MAX: usize = 256;

/// All connections, and what was said about them.
#[derive(Default)]
pub(super) struct Guests(Mutex<Book>);

#[derive(Default)]
struct Book {
    connected: BTreeMap<IpAddr, usize>,
    /// Whom it was about (nobody: the witness itself), when it was said, and how often it was not since.
    complaints: BTreeMap<Option<IpAddr>, (Instant, u64)>,
}

/// One connection, counted as long as this is there.
pub(super) struct Guest {
    desk: Arc<Desk>,
    peer: IpAddr,
}

impl Guest {
    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.desk.guests.book().leave(self.peer);
    }
}

impl Guests {
    /// Counts a connection; nothing if there are too many.
    pub(super) fn enter(desk: &Arc<Desk>, peer: IpAddr) -> Option<Guest> {
        desk.guests.book().enter(peer).then(|| Guest { desk: Arc::clone(desk), peer })
    }

    /// Says in the log what is wrong with somebody, but not more often than is of use.
    pub(super) fn complain(&self, peer: Option<IpAddr>, why: &str) {
        let Some(unsaid) = self.book().is_news(peer, Instant::now()) else { return };
        let who = peer.map_or_else(String::new, |peer| format!("a connection of {peer} was closed: "));
        match unsaid {
            0 => tracing::warn!("{who}{why}"),
            unsaid => tracing::warn!("{who}{why} (and {unsaid} more since that was last said)"),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that can panic happens between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn enter(&mut self, peer: IpAddr) -> bool {
        let all: usize = self.connected.values().sum();
        let of_one = self.connected.get(&peer).copied().unwrap_or_default();
        if all >= CONNECTIONS_MAX || of_one >= CONNECTIONS_OF_ONE_MAX {
            return false;
        }
        self.connected.insert(peer, of_one + 1);
        true
    }

    fn leave(&mut self, peer: IpAddr) {
        match self.connected.get_mut(&peer) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(self.connected.remove(&peer)),
        }
    }

    /// Whether it is time to say something, and how often that was not done since the last time.
    fn is_news(&mut self, about: Option<IpAddr>, now: Instant) -> Option<u64> {
        if let Some((said, unsaid)) = self.complaints.get_mut(&about) {
            if now.saturating_duration_since(*said) < COMPLAIN_EVERY {
                *unsaid += 1;
                return None;
            }
            let count = std::mem::take(unsaid);
            *said = now;
            return Some(count);
        }
        if self.complaints.len() >= COMPLAINTS_MAX {
            self.complaints.retain(|_, (said, _)| now.saturating_duration_since(*said) < COMPLAIN_EVERY);
        }
        // So many in one minute: the log has enough about them.
        (self.complaints.len() < COMPLAINTS_MAX).then(|| {
            self.complaints.insert(about, (now, 0));
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 9, 0, last].into()
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let mut book = Book::default();
        for _ in 0..CONNECTIONS_OF_ONE_MAX {
            assert!(book.enter(address(1)));
        }
        assert!(!book.enter(address(1)));
        assert!(book.enter(address(2)));
        book.leave(address(1));
        assert!(book.enter(address(1)));
        let entered = (3..100).filter(|&last| book.enter(address(last))).count();
        assert_eq!(entered, CONNECTIONS_MAX - CONNECTIONS_OF_ONE_MAX - 1);
        for last in 0..100 {
            (0..CONNECTIONS_OF_ONE_MAX).for_each(|_| book.leave(address(last)));
        }
        assert!(book.connected.is_empty());
    }

    #[test]
    fn one_address_is_complained_of_once_a_minute() {
        let (mut book, begin) = (Book::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let one = Some(address(1));
        assert_eq!(book.is_news(one, at(0)), Some(0));
        assert_eq!(book.is_news(one, at(1)), None);
        assert_eq!(book.is_news(Some(address(2)), at(1)), Some(0));
        assert_eq!(book.is_news(one, at(59)), None);
        assert_eq!(book.is_news(one, at(60)), Some(2));
        assert_eq!(book.is_news(one, at(61)), None);
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let (mut book, begin) = (Book::default(), Instant::now());
        for number in 0..10_000u32 {
            book.is_news(Some(number.to_be_bytes().into()), begin);
        }
        assert_eq!(book.complaints.len(), COMPLAINTS_MAX);
        assert_eq!(book.is_news(None, begin + COMPLAIN_EVERY), Some(0));
        assert_eq!(book.complaints.len(), 1);
    }
}
