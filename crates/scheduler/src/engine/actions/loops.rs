//! Putting actions into an order in which they can be done.
//!
//! If some wait for one another in a ring, a relation of the ring that speaks of order alone is given up:
//! first one that makes something wait for a later action. What is a requirement is given up only if a ring
//! has nothing else; what keeps a resource from being in two places at once, last of all.

use alloc::{collections::BTreeSet, vec, vec::Vec};

/// Something that comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) first: usize,
    /// It speaks of order alone.
    pub(super) order_only: bool,
    /// It keeps a resource from being in two places, or in two roles, at once.
    pub(super) is_safety: bool,
}

/// An order in which everything can be done. Relations that make this impossible are taken out.
pub(super) fn sort(before: &mut [Vec<Edge>]) -> Vec<usize> {
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    let mut waits: Vec<usize> = vec![0; before.len()];
    for (then, edges) in before.iter_mut().enumerate() {
        edges.retain(|edge| edge.first != then);
        waits[then] = edges.len();
        for edge in edges.iter() {
            after[edge.first].push(then);
        }
    }
    let mut ready: BTreeSet<usize> = (0..before.len()).filter(|place| waits[*place] == 0).collect();
    let mut done = vec![false; before.len()];
    let mut sequence = Vec::with_capacity(before.len());
    // Bounded: each turn puts one into the sequence, or takes one relation out.
    while sequence.len() < before.len() {
        if let Some(next) = ready.pop_first() {
            done[next] = true;
            sequence.push(next);
            for then in &after[next] {
                waits[*then] = waits[*then].saturating_sub(1);
                if waits[*then] == 0 && !done[*then] {
                    ready.insert(*then);
                }
            }
        } else {
            give_up_one(before, &done, &mut after, &mut waits, &mut ready);
        }
    }
    sequence
}

/// Takes one relation of a ring out.
fn give_up_one(
    before: &mut [Vec<Edge>],
    done: &[bool],
    after: &mut [Vec<usize>],
    waits: &mut [usize],
    ready: &mut BTreeSet<usize>,
) {
    let Some(ring) = ring(before, done) else { return };
    let in_ring = |place: usize| (ring[place], ring[(place + 1) % ring.len()]);
    let weakest = (0..ring.len()).max_by_key(|place| {
        let (then, first) = in_ring(*place);
        let edges = || before[then].iter().filter(|edge| edge.first == first);
        let order_only = edges().all(|edge| edge.order_only);
        (order_only, !edges().any(|edge| edge.is_safety), first, then)
    });
    let Some((then, first)) = weakest.map(in_ring) else { return };
    let known = before[then].len();
    before[then].retain(|edge| edge.first != first);
    waits[then] -= known - before[then].len();
    after[first].retain(|other| *other != then);
    if waits[then] == 0 {
        ready.insert(then);
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

    fn edges(pairs: &[(usize, usize, bool)], count: usize) -> Vec<Vec<Edge>> {
        let mut before = vec![Vec::new(); count];
        for &(first, then, order_only) in pairs {
            before[then].push(Edge { first, order_only, is_safety: false });
        }
        before
    }

    #[test]
    fn what_waits_comes_behind_what_it_waits_for() {
        let mut before = edges(&[(2, 0, false), (1, 2, true)], 3);
        assert_eq!(sort(&mut before), [1, 2, 0]);
    }

    #[test]
    fn a_ring_gives_up_what_is_only_an_order() {
        let mut before = edges(&[(0, 1, false), (1, 2, true), (2, 0, false)], 3);
        assert_eq!(sort(&mut before), [2, 0, 1]);
        assert!(before[2].is_empty(), "the order was given up, the requirements were not");
    }

    #[test]
    fn a_ring_keeps_what_keeps_a_resource_from_being_in_two_places() {
        let mut before = edges(&[(0, 1, false), (1, 2, false), (2, 0, false)], 3);
        before[0][0].is_safety = true;
        before[2][0].is_safety = true;
        assert_eq!(sort(&mut before), [1, 2, 0]);
    }

    #[test]
    fn a_ring_of_requirements_ends_too() {
        let mut before = edges(&[(0, 1, false), (1, 0, false)], 2);
        assert_eq!(sort(&mut before).len(), 2);
    }
}
