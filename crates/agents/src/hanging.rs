//! How many attempts hang, by place: a place that lets nobody go is no reason not to ask another one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// The attempts of this process that are counted, and how many there may be.
pub(crate) struct Hanging {
    /// Most at one place.
    each: usize,
    /// Most at all places: each takes a thread.
    all: usize,
    counts: Mutex<BTreeMap<String, usize>>,
}

impl Hanging {
    pub(crate) const fn new(each: usize, all: usize) -> Hanging {
        Hanging { each, all, counts: Mutex::new(BTreeMap::new()) }
    }

    /// Whether there may be one more at a place.
    ///
    /// # Errors
    /// How many there are and where, as the end of a sentence about why nothing was asked.
    pub(crate) fn may_begin(&self, place: &str) -> Result<(), String> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.get(place).copied().unwrap_or(0);
        if here >= self.each {
            return Err(format!("{here} earlier attempts still hang there"));
        }
        let all: usize = counts.values().sum();
        if all >= self.all {
            let most = counts.iter().max_by_key(|(_, count)| **count).map_or("", |(place, _)| place);
            return Err(format!(
                "{all} earlier attempts still hang at several places, most of them at {most}"
            ));
        }
        Ok(())
    }

    /// One more is counted at a place.
    pub(crate) fn begin(&self, place: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(place.to_owned()).or_default() += 1;
    }

    /// One of them has ended.
    pub(crate) fn end(&self, place: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(place) {
            *count -= 1;
            if *count == 0 {
                counts.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_hangs_does_not_stand_in_for_another() {
        let hanging = Hanging::new(2, 5);
        hanging.begin("/mnt/dead");
        assert_eq!(hanging.may_begin("/mnt/dead"), Ok(()));
        hanging.begin("/mnt/dead");
        let why = hanging.may_begin("/mnt/dead").unwrap_err();
        assert_eq!(why, "2 earlier attempts still hang there");
        assert_eq!(hanging.may_begin("10.9.0.1:6940"), Ok(()), "it is asked for the first time");
        hanging.end("/mnt/dead");
        assert_eq!(hanging.may_begin("/mnt/dead"), Ok(()));
        hanging.end("/mnt/dead");
        assert!(hanging.counts.lock().unwrap().is_empty(), "nothing is kept of what has ended");
    }

    #[test]
    fn there_is_a_bound_for_all_places() {
        let hanging = Hanging::new(2, 3);
        ["one", "two", "two"].iter().for_each(|place| hanging.begin(place));
        let why = hanging.may_begin("three").unwrap_err();
        assert_eq!(why, "3 earlier attempts still hang at several places, most of them at two");
    }
}
