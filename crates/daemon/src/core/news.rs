//! What the heartbeat thread tells the core, through a queue that holds nobody up.
//!
//! A piece of a stream may be dropped like a datagram: who sent it sends it again. What is known of a node is told
//! once only, so it is never dropped: what finds no room is kept, the newest of each node, and goes first when there is
//! room again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{SyncSender, TrySendError},
};

use heart_model::{BootId, Duration, NODES_MAX, NodeId};
use heart_node::{frame::Datagram, pulse::Sighting};

/// What waits for the core at most.
pub(super) const QUEUE: usize = 512;
/// How soon what found no room is told again.
pub(super) const AGAIN: Duration = Duration::from_millis(5);

/// What the heartbeat thread tells the core.
#[expect(clippy::large_enum_variant, reason = "the queue is allocated once, with room for datagrams")]
pub(super) enum Told {
    /// A piece of another core's stream.
    Segment {
        /// From whom.
        from: NodeId,
        /// In which life.
        boot: BootId,
        /// What.
        body: Datagram,
    },
    /// What is known of a node changed.
    Sight(Sighting),
}

/// What can be seen of the thread from outside.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// What was dropped because the core did not keep up.
    pub(super) dropped: AtomicU64,
}

/// The end of the queue at which the heartbeat thread is; it neither waits nor allocates.
pub(super) struct News {
    queue: SyncSender<Told>,
    counters: Arc<Counters>,
    /// What found no room, for each slot.
    kept: [Option<Sighting>; NODES_MAX],
    /// The slots of these: a set.
    waiting: u64,
}

const _: () = assert!(NODES_MAX <= u64::BITS as usize);

impl News {
    pub(super) fn new(queue: SyncSender<Told>, counters: Arc<Counters>) -> News {
        News { queue, counters, kept: [None; NODES_MAX], waiting: 0 }
    }

    /// Whether something is kept until there is room.
    pub(super) fn waits(&self) -> bool {
        self.waiting != 0
    }

    /// Tells a piece of a stream, or drops it.
    pub(super) fn segment(&mut self, from: NodeId, boot: BootId, body: Datagram) {
        // Whoever floods the queue shall not keep out what is told once.
        self.tell_kept();
        if self.waits() || self.queue.try_send(Told::Segment { from, boot, body }).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells what is known of a node, now or later.
    pub(super) fn sight(&mut self, sighting: Sighting) {
        // In place of an older one that is kept, so that this is never told before that.
        self.kept[sighting.slot] = Some(sighting);
        self.waiting |= 1 << sighting.slot;
        self.tell_kept();
    }

    /// Tells what was kept, as far as there is room; whether anything was told.
    pub(super) fn tell_kept(&mut self) -> bool {
        let before = self.waiting;
        for (slot, kept) in self.kept.iter_mut().enumerate() {
            if self.waiting == 0 {
                break;
            }
            let Some(sighting) = *kept else { continue };
            match self.queue.try_send(Told::Sight(sighting)) {
                Ok(()) => {
                    *kept = None;
                    self.waiting &= !(1 << slot);
                }
                // Without a core there is nobody to tell, and this process ends.
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => break,
            }
        }
        self.waiting != before
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use heart_model::{LogIndex, SessionNumber, Term};

    use super::*;

    fn sighting(slot: usize, heard: bool) -> Sighting {
        Sighting {
            slot,
            heard: Some(heard),
            both_ways: heard,
            answered: None,
            boot: BootId(1),
            session: SessionNumber(1),
            flags: 0,
            leads: false,
            term: Term(1),
            follows: None,
            log: (Term(1), LogIndex(1)),
            hears: 0,
            links: 0,
            digest: 0,
            era: 0,
            incarnation: 0,
        }
    }

    fn news(room: usize) -> (News, Receiver<Told>) {
        let (queue, told) = sync_channel(room);
        (News::new(queue, Arc::default()), told)
    }

    fn flood(news: &mut News, segments: usize) {
        for _ in 0..segments {
            news.segment(NodeId(7), BootId(1), Datagram::default());
        }
    }

    /// What the core hears of nodes: of which slot, and whether it is heard.
    fn hear(told: &Receiver<Told>) -> Vec<(usize, bool)> {
        let sight = |told| match told {
            Told::Sight(sighting) => Some((sighting.slot, sighting.heard == Some(true))),
            Told::Segment { .. } => None,
        };
        told.try_iter().filter_map(sight).collect()
    }

    #[test]
    fn a_core_that_does_not_keep_up_hears_of_a_dead_node_all_the_same() {
        let (mut news, told) = news(8);
        news.sight(sighting(1, true));
        flood(&mut news, 100);
        news.sight(sighting(1, false));
        assert_eq!(hear(&told), [(1, true)], "there was no room for more");
        assert!(news.waits());
        assert!(news.tell_kept(), "so the core is woken again");
        assert_eq!(hear(&told), [(1, false)]);
        assert!(!news.waits() && !news.tell_kept(), "it is told once");
    }

    #[test]
    fn the_newest_of_each_node_is_kept_and_never_an_older_one_told_after_it() {
        let (mut news, told) = news(2);
        flood(&mut news, 2);
        for heard in [true, false, true, false] {
            news.sight(sighting(0, heard));
            news.sight(sighting(NODES_MAX - 1, !heard));
        }
        assert_eq!(hear(&told), []);
        news.sight(sighting(0, true));
        assert_eq!(hear(&told), [(0, true), (NODES_MAX - 1, true)]);
        assert!(!news.waits());
    }

    #[test]
    fn a_flood_of_segments_does_not_take_the_room_of_what_is_kept() {
        let (mut news, told) = news(1);
        flood(&mut news, 1);
        for slot in 0..3 {
            news.sight(sighting(slot, false));
        }
        assert!(matches!(told.try_recv(), Ok(Told::Segment { .. })));
        for slot in 0..3 {
            flood(&mut news, 10);
            assert_eq!(hear(&told), [(slot, false)]);
        }
        assert_eq!(news.counters.dropped.load(Ordering::Relaxed), 30);
    }
}
