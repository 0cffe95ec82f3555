//! What is going to happen, in the order of true time; of two things at the same time, what was said first.
//!
//! Happenings are large and wait in one place. What is sorted is small.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{Nanos, world::Happening};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// When, which one of all so far, and where it waits.
    order: BinaryHeap<Reverse<(Nanos, u64, usize)>>,
    waiting: Vec<Option<Happening>>,
    free: Vec<usize>,
    sequence: u64,
    /// That of what came out last.
    last: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Nanos, happening: Happening) {
        self.sequence += 1;
        self.put(at, self.sequence, happening);
    }

    /// Puts back what came out last, for later: what was sent after it stays behind it.
    pub(crate) fn put_back(&mut self, at: Nanos, happening: Happening) {
        self.put(at, self.last, happening);
    }

    fn put(&mut self, at: Nanos, sequence: u64, happening: Happening) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        self.waiting[place] = Some(happening);
        self.order.push(Reverse((at, sequence, place)));
    }

    /// When the next of all is due.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next of all.
    pub(crate) fn pop(&mut self) -> Option<Happening> {
        let Reverse((_, sequence, place)) = self.order.pop()?;
        self.last = sequence;
        self.free.push(place);
        self.waiting[place].take()
    }
}
