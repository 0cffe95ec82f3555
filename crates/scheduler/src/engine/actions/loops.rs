//! Putting actions into an order in which they can be done.
//!
//! If some wait for one another in a ring, migrations in it do not wait for room. Of the rings that are left, a
//! relation that speaks of order alone is given up: first one that makes something wait for a later action. What
//! is a requirement is given up only if a ring has nothing else; what keeps a resource from being in two
//! places at once, last of all.

use alloc::{collections::BTreeSet, vec, vec::Vec};

/// Something that comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) first: usize,
    pub(super) bond: Bond,
}

/// How much a relation says; the weakest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bond {
    /// It keeps a resource from being in two places, or in two roles, at once.
    Safety,
    /// One needs the other.
    Need,
    /// It speaks of order alone.
    Order,
    /// A migration had better wait until there is room.
    Room,
}

/// An order in which everything can be done. Relations that make this impossible are taken out.
pub(super) fn sort(before: &mut [Vec<Edge>]) -> Vec<usize> {
    for (then, edges) in before.iter_mut().enumerate() {
        edges.retain(|edge| edge.first != then);
    }
    let mut sorting = Sorting::new(before);
    let mut is_stuck = false;
    // Bounded: each turn puts one into the sequence, or takes one relation out.
    while sorting.sequence.len() < before.len() {
        if let Some(next) = sorting.ready.pop_first() {
            sorting.put(next);
        } else if !is_stuck {
            is_stuck = true;
            sorting.give_up_rooms(before);
        } else {
            sorting.give_up_one(before);
        }
    }
    sorting.sequence
}

/// What is known while actions are put into order.
struct Sorting {
    after: Vec<Vec<usize>>,
    /// For how many others each waits still.
    waits: Vec<usize>,
    ready: BTreeSet<usize>,
    done: Vec<bool>,
    sequence: Vec<usize>,
}

impl Sorting {
    fn new(before: &[Vec<Edge>]) -> Sorting {
        let mut after: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
        for (then, edges) in before.iter().enumerate() {
            edges.iter().for_each(|edge| after[edge.first].push(then));
        }
        let waits: Vec<usize> = before.iter().map(Vec::len).collect();
        let ready = (0..before.len()).filter(|place| waits[*place] == 0).collect();
        let done = vec![false; before.len()];
        Sorting { after, waits, ready, done, sequence: Vec::with_capacity(before.len()) }
    }

    fn put(&mut self, next: usize) {
        self.done[next] = true;
        self.sequence.push(next);
        for then in &self.after[next] {
            self.waits[*then] = self.waits[*then].saturating_sub(1);
            if self.waits[*then] == 0 && !self.done[*then] {
                self.ready.insert(*then);
            }
        }
    }

    /// Takes out that one waits for another.
    fn part(&mut self, before: &mut [Vec<Edge>], then: usize, first: usize) {
        let known = before[then].len();
        before[then].retain(|edge| edge.first != first);
        self.waits[then] -= known - before[then].len();
        self.after[first].retain(|other| *other != then);
        if self.waits[then] == 0 {
            self.ready.insert(then);
        }
    }

    /// Migrations that would wait for themselves do not wait for room, the last of them first.
    fn give_up_rooms(&mut self, before: &mut [Vec<Edge>]) {
        for then in (0..before.len()).rev().filter(|then| !self.done[*then]).collect::<Vec<_>>() {
            let rooms: Vec<usize> = before[then]
                .iter()
                .filter(|edge| edge.bond == Bond::Room && !self.done[edge.first])
                .map(|edge| edge.first)
                .collect();
            for first in rooms {
                if self.leads_to(then, first) {
                    self.part(before, then, first);
                }
            }
        }
    }

    /// Whether something waits for another, directly or through others.
    fn leads_to(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.done.len()];
        let mut open = vec![from];
        // Bounded: each is seen once.
        while let Some(at) = open.pop() {
            if at == to {
                return true;
            }
            if !core::mem::replace(&mut seen[at], true) {
                open.extend(self.after[at].iter().copied());
            }
        }
        false
    }

    /// Takes one relation of a ring out.
    fn give_up_one(&mut self, before: &mut [Vec<Edge>]) {
        let Some(ring) = ring(before, &self.done) else { return };
        let in_ring = |place: usize| (ring[place], ring[(place + 1) % ring.len()]);
        let weakest = (0..ring.len()).max_by_key(|place| {
            let (then, first) = in_ring(*place);
            let bonds = before[then].iter().filter(|edge| edge.first == first).map(|edge| edge.bond);
            (bonds.min(), first, then)
        });
        if let Some((then, first)) = weakest.map(in_ring) {
            self.part(before, then, first);
        }
    }
}

/// Some that wait for one another: each for the next, the last for the first.
fn ring(before: &[Vec<Edge>], done: &[bool]) -> Option<Vec<usize>> {
    let open = |edge: &&Edge| !done[edge.first];
    let mut at = done.iter().position(|done| !done)?;
    let mut way = Vec::new();
    let mut seen: Vec<Option<usize>> = vec![None; before.len()];
    // Bounded: each turn sees one that was not seen, and all that are open wait for another open one.
    loop {
        if let Some(begin) = seen[at] {
            return Some(way.split_off(begin));
        }
        seen[at] = Some(way.len());
        way.push(at);
        at = before[at].iter().find(open)?.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Bond::{Need, Order, Room, Safety};

    fn edges(pairs: &[(usize, usize, Bond)], count: usize) -> Vec<Vec<Edge>> {
        let mut before = vec![Vec::new(); count];
        for &(first, then, bond) in pairs {
            before[then].push(Edge { first, bond });
        }
        before
    }

    #[test]
    fn what_waits_comes_behind_what_it_waits_for() {
        let mut before = edges(&[(2, 0, Need), (1, 2, Order)], 3);
        assert_eq!(sort(&mut before), [1, 2, 0]);
    }

    #[test]
    fn a_ring_gives_up_what_is_only_an_order() {
        let mut before = edges(&[(0, 1, Need), (1, 2, Order), (2, 0, Need)], 3);
        assert_eq!(sort(&mut before), [2, 0, 1]);
        assert!(before[2].is_empty(), "the order was given up, the requirements were not");
    }

    #[test]
    fn a_migration_waits_for_room_only_if_it_can() {
        let mut before = edges(&[(0, 1, Room), (1, 2, Order), (2, 0, Order)], 3);
        assert_eq!(sort(&mut before), [1, 2, 0]);
        assert!(before[1].is_empty());
    }

    #[test]
    fn a_ring_keeps_what_keeps_a_resource_from_being_in_two_places() {
        let mut before = edges(&[(0, 1, Need), (1, 2, Safety), (2, 0, Safety)], 3);
        assert_eq!(sort(&mut before), [1, 2, 0]);
    }

    #[test]
    fn a_ring_of_requirements_ends_too() {
        let mut before = edges(&[(0, 1, Need), (1, 0, Need)], 2);
        assert_eq!(sort(&mut before).len(), 2);
    }
}
