//! What waits for what, all ways around included.

use heart_scheduler::engine::Outcome;

/// Which actions must be complete before others begin, directly or through others.
pub(crate) struct Order {
    /// For each action, the set of those that come after it.
    after: Vec<Set>,
}

/// A set of small numbers.
#[derive(Clone)]
struct Set(Vec<u64>);

impl Set {
    fn new(size: usize) -> Set {
        Set(vec![0; size.div_ceil(64)])
    }

    fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Adds all of another set; whether that changed anything.
    fn add(&mut self, other: &Set) -> bool {
        let mut changed = false;
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            changed |= *more & !*word != 0;
            *word |= more;
        }
        changed
    }

    /// Takes out everything from this number on.
    fn cut(&mut self, size: usize) {
        self.0.truncate(size.div_ceil(64));
        if let Some(last) = self.0.last_mut().filter(|_| !size.is_multiple_of(64)) {
            *last &= (1 << (size % 64)) - 1;
        }
    }

    fn numbers(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(place, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place * 64 + bit)
        })
    }
}

impl Order {
    /// The order of an outcome.
    pub(crate) fn of(outcome: &Outcome) -> Order {
        let actions = outcome.actions.len();
        let size = actions + outcome.points;
        let mut next: Vec<Vec<usize>> = vec![Vec::new(); size];
        for &(first, then) in outcome.order.iter().filter(|&&(first, then)| first < size && then < size) {
            next[first].push(then);
        }
        let mut after = vec![Set::new(size); size];
        // From the last to the first, so that one pass is enough; what waits in a circle takes a few more,
        // and each but the last adds something.
        let sequence = backwards(&next);
        let mut changed = true;
        while changed {
            changed = false;
            for &first in &sequence {
                let mut set = after[first].clone();
                for &then in &next[first] {
                    set.insert(then);
                    set.add(&after[then]);
                }
                changed |= after[first].add(&set);
            }
        }
        // Points have led from action to action, and nobody asks for them themselves.
        after.truncate(actions);
        after.iter_mut().for_each(|set| set.cut(actions));
        Order { after }
    }

    /// Whether one must be complete before another begins.
    pub(crate) fn is_before(&self, first: usize, then: usize) -> bool {
        self.after.get(first).is_some_and(|set| set.contains(then))
    }

    /// Pairs of those that count, without those that follow from others; `ends` says which of them may be
    /// second. Sorted.
    pub(crate) fn reduced(
        &self,
        counts: impl Fn(usize) -> bool,
        ends: impl Fn(usize) -> bool,
    ) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for first in (0..self.after.len()).filter(|&first| counts(first)) {
            let after: Vec<usize> =
                self.after[first].numbers().filter(|&then| counts(then) && ends(then)).collect();
            // What comes after something that comes after the first, follows from that.
            let mut further = Set::new(self.after.len());
            for &between in after.iter().filter(|&&between| !self.is_before(between, first)) {
                further.add(&self.after[between]);
            }
            pairs.extend(
                after
                    .into_iter()
                    .filter(|&then| then != first && !further.contains(then))
                    .map(|then| (first, then)),
            );
        }
        pairs
    }

    /// All actions, each behind those that it waits for; equals in the order given by `key`.
    pub(crate) fn sequence<K: Ord>(&self, key: impl Fn(usize) -> K) -> Vec<usize> {
        let size = self.after.len();
        let mut waits = vec![0_usize; size];
        for then in self.after.iter().flat_map(Set::numbers) {
            waits[then] += 1;
        }
        // Whoever waits for more stands further back: a number of all before, not only of the nearest.
        let mut sequence: Vec<usize> = (0..size).collect();
        sequence.sort_by_key(|&action| (waits[action], key(action)));
        sequence
    }
}

/// All numbers so that each stands behind those that come after it, as far as there are no circles.
fn backwards(next: &[Vec<usize>]) -> Vec<usize> {
    let mut sequence = Vec::with_capacity(next.len());
    let mut seen = vec![false; next.len()];
    for start in 0..next.len() {
        // Each number is entered once, and each pair is looked at once.
        let mut path = vec![(start, 0)];
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        while let Some((at, place)) = path.last_mut() {
            match next[*at].get(*place) {
                Some(&then) => {
                    *place += 1;
                    if !std::mem::replace(&mut seen[then], true) {
                        path.push((then, 0));
                    }
                }
                None => {
                    sequence.push(*at);
                    path.pop();
                }
            }
        }
    }
    sequence
}
