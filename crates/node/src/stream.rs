//! Messages between two cores, in order and each once, over datagrams that may be lost, doubled
//! and reordered.
//!
//! A message is cut into segments; segments are numbered, acknowledged at once, and sent again
//! until they are. A stream belongs to one run of each core: when either begins anew, both start
//! over and what was under way is gone. Agreement and conductor ask again; nothing here may be
//! relied on to arrive.
//!
//! Layout of a segment, little-endian: stream (8), number (8) or 0 for a bare acknowledgement,
//! acknowledged stream (8), next number wanted of it (8), last-of-message (1), bytes.

use heart_model::{Duration, Moment};
use std::collections::{BTreeMap, VecDeque};

use crate::frame::BODY_MAX;

const HEADER: usize = 33;
/// Room of one segment, in bytes; what a relay adds must fit beside it.
const ROOM: usize = BODY_MAX - HEADER - 128;
/// Most segments that are under way at a time.
const WINDOW: usize = 128;
/// Longest message, in bytes.
pub const MESSAGE_MAX: usize = 16 * 1024 * 1024;
/// Most bytes that wait to be sent; beyond, new messages are dropped.
const QUEUE_MAX: usize = 2 * MESSAGE_MAX;

#[derive(Debug)]
struct Segment {
    number: u64,
    last: bool,
    bytes: Vec<u8>,
    sent: Option<Moment>,
    tries: u32,
}

/// Both directions between this core and one other.
#[derive(Debug)]
pub struct Stream {
    /// Our stream: grows with every new beginning, never used twice in a boot.
    mine: u64,
    next_number: u64,
    out: VecDeque<Segment>,
    queued: usize,
    /// The other's stream, 0 before its first segment.
    theirs: u64,
    wanted: u64,
    early: BTreeMap<u64, (bool, Vec<u8>)>,
    partial: Vec<u8>,
    owes_ack: bool,
    resend_after: Duration,
}

impl Stream {
    /// A stream that nobody has heard of. `id` is larger than that of any earlier stream of this
    /// boot to the same peer; `resend_after` is about two round trips.
    #[must_use]
    pub fn new(id: u64, resend_after: Duration) -> Stream {
        Stream {
            mine: id,
            next_number: 1,
            out: VecDeque::new(),
            queued: 0,
            theirs: 0,
            wanted: 1,
            early: BTreeMap::new(),
            partial: Vec::new(),
            owes_ack: false,
            resend_after,
        }
    }

    /// Queues a message. False if there is no room: it is dropped.
    pub fn send(&mut self, message: &[u8]) -> bool {
        if message.len() > MESSAGE_MAX || self.queued + message.len() > QUEUE_MAX {
            return false;
        }
        let pieces = message.chunks(ROOM).count().max(1);
        let mut rest = message;
        for piece in 1..=pieces {
            let (bytes, behind) = rest.split_at(rest.len().min(ROOM));
            rest = behind;
            self.queued += bytes.len();
            let segment = Segment {
                number: self.next_number,
                last: piece == pieces,
                bytes: bytes.to_vec(),
                sent: None,
                tries: 0,
            };
            self.out.push_back(segment);
            self.next_number += 1;
        }
        true
    }

    /// Starts our direction over: what was under way is gone.
    pub fn restart(&mut self) {
        self.mine += 1;
        self.next_number = 1;
        self.out.clear();
        self.queued = 0;
    }

    /// Changes whenever something that was under way may be gone.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.mine
    }

    /// The stream to the same node in another life: it knows nothing of this one.
    #[must_use]
    pub fn for_a_new_life(&self) -> Stream {
        Stream::new(self.mine + 1, self.resend_after)
    }

    /// Whether anything waits for an acknowledgement.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.out.is_empty() && !self.owes_ack
    }

    /// Takes a segment in; returns the messages that it completes, in order.
    pub fn on_segment(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else { return Vec::new() };
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
        let (stream, number, acked, wanted) = (word(0), word(8), word(16), word(24));
        if stream < self.theirs {
            return Vec::new();
        }
        if stream > self.theirs {
            self.meet(stream, acked == self.mine && wanted >= self.base());
        }
        if acked == self.mine {
            self.on_ack(wanted);
        }
        if number == 0 {
            return Vec::new();
        }
        self.owes_ack = true;
        self.on_piece(number, header[32] != 0, payload)
    }

    /// The other core began a new stream.
    fn meet(&mut self, stream: u64, remembers_ours: bool) {
        // If it remembers ours, it merely started its own direction over.
        if self.theirs != 0 && !remembers_ours {
            self.restart();
        }
        self.theirs = stream;
        self.wanted = 1;
        self.early.clear();
        self.partial.clear();
    }

    /// The first number that was not acknowledged.
    fn base(&self) -> u64 {
        self.out.front().map_or(self.next_number, |segment| segment.number)
    }

    fn on_ack(&mut self, wanted: u64) {
        while self.out.front().is_some_and(|segment| segment.number < wanted) {
            let segment = self.out.pop_front().expect("looked at above");
            self.queued -= segment.bytes.len();
        }
    }

    fn on_piece(&mut self, number: u64, last: bool, payload: &[u8]) -> Vec<Vec<u8>> {
        if number < self.wanted || number >= self.wanted + WINDOW as u64 {
            return Vec::new();
        }
        self.early.entry(number).or_insert_with(|| (last, payload.to_vec()));
        let mut messages = Vec::new();
        while let Some((last, bytes)) = self.early.remove(&self.wanted) {
            self.wanted += 1;
            self.partial.extend_from_slice(&bytes);
            if self.partial.len() > MESSAGE_MAX {
                self.partial.clear();
            } else if last {
                messages.push(::core::mem::take(&mut self.partial));
            }
        }
        messages
    }

    /// The segments to send now: new ones, and those that were not acknowledged in time.
    pub fn poll(&mut self, now: Moment) -> Vec<Vec<u8>> {
        let (mine, theirs, wanted) = (self.mine, self.theirs, self.wanted);
        let resend_after = self.resend_after;
        let due = |segment: &Segment| {
            segment.sent.is_none_or(|at| now.shortest_since(at) >= patience(resend_after, segment.tries))
        };
        let mut segments = Vec::new();
        for segment in self.out.iter_mut().take(WINDOW).filter(|segment| due(segment)) {
            segment.sent = Some(now);
            segment.tries += 1;
            segments.push(lay_out([mine, segment.number, theirs, wanted], segment.last, &segment.bytes));
        }
        if self.owes_ack && segments.is_empty() {
            segments.push(lay_out([mine, 0, theirs, wanted], false, &[]));
        }
        self.owes_ack = false;
        segments
    }

    /// When [`Stream::poll`] has something to send again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        let due = |segment: &Segment| Some(segment.sent?.after(patience(self.resend_after, segment.tries)));
        self.out.iter().take(WINDOW).filter_map(due).min_by_key(|at| at.boottime)
    }
}

/// How long to wait for an acknowledgement: doubles with every try, up to eightfold.
fn patience(resend_after: Duration, tries: u32) -> Duration {
    resend_after * (1 << tries.saturating_sub(1).min(3))
}

fn lay_out(words: [u64; 4], last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    bytes.push(u8::from(last));
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use heart_model::Instant;

    fn at(ms: u64) -> Moment {
        Moment::both(Instant(ms * 1_000_000))
    }

    #[test]
    fn messages_arrive_in_order_and_once_over_a_network_that_loses_doubles_and_reorders() {
        for seed in 0..20 {
            let mut chance = Chance::new(seed);
            let mut ends =
                [Stream::new(1, Duration::from_millis(5)), Stream::new(1, Duration::from_millis(5))];
            let sent: Vec<Vec<u8>> =
                (0..60u32).map(|n| n.to_le_bytes().repeat(1 + n as usize * 40)).collect();
            let mut got = Vec::new();
            let mut wire: Vec<(usize, Vec<u8>)> = Vec::new();
            for ms in 0..3_000 {
                if let Some(message) = sent.get(ms as usize) {
                    assert!(ends[0].send(message));
                }
                for (end, stream) in ends.iter_mut().enumerate() {
                    for segment in stream.poll(at(ms)) {
                        for _ in 0..chance.below(3) {
                            wire.push((1 - end, segment.clone()));
                        }
                    }
                }
                for _ in 0..wire.len().min(6) {
                    let (to, segment) = wire.swap_remove(chance.below(wire.len() as u64) as usize);
                    let messages = ends[to].on_segment(&segment);
                    got.extend(messages.into_iter().filter(|_| to == 1));
                }
            }
            assert_eq!(got.len(), sent.len(), "seed {seed}");
            assert!(got == sent, "seed {seed}: in order");
        }
    }

    #[test]
    fn a_core_that_starts_over_is_spoken_to_afresh() {
        let mut a = Stream::new(1, Duration::from_millis(5));
        let mut b = Stream::new(1, Duration::from_millis(5));
        a.send(b"one");
        for segment in a.poll(at(0)) {
            assert_eq!(b.on_segment(&segment), [b"one"]);
        }
        b.poll(at(0)).iter().for_each(|segment| assert!(a.on_segment(segment).is_empty()));
        // b is killed and comes back, knowing nothing; a speaks on in the middle of its stream.
        let mut b = Stream::new(2, Duration::from_millis(5));
        a.send(b"two");
        for segment in a.poll(at(1)) {
            assert!(b.on_segment(&segment).is_empty());
        }
        b.poll(at(1)).iter().for_each(|segment| assert!(a.on_segment(segment).is_empty()));
        a.send(b"three");
        let segments = a.poll(at(2));
        let got: Vec<Vec<u8>> = segments.iter().flat_map(|segment| b.on_segment(segment)).collect();
        assert_eq!(got, [b"three"]);
    }
}
