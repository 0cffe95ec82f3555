//! Times that come again: working hours, nights, the weeks of a closing.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::policy::calendar::{DAY, Moment as Date, days_in_month, weekday};

/// When something holds, in UTC. What is not said does not matter; what is said must all hold.
///
/// Hours may go past midnight: what began on a day it may begin on goes on then, whatever day follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Days of the week on which it may begin: Monday is 1, Sunday 7. Each from and to, ends included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<(u32, u32)>,
    /// Days of the month on which it may begin: 1 to 31. Each from and to, ends included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<(u32, u32)>,
    /// Months in which it may begin: 1 to 12. Each from and to, ends included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<(u32, u32)>,
    /// From when to when on each such day: minutes since midnight, the second not included. Where the
    /// second is not later than the first it is on the next day. The whole day if nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<(u32, u32)>,
    /// Not before this: seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Not from this on: seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

const MINUTE: i64 = 60;

/// How many days ahead it is looked for the next change: a 29 February comes again within eight years.
const AHEAD_MAX: i64 = 8 * 366;

/// After how many days at the latest even the rarest of days has come again: a 29 February on a given day
/// of the week may be 40 years away.
const RAREST: i64 = 41 * 366;

/// A year that has a 29 February.
const LEAP_YEAR: i64 = 2000;

impl Hours {
    /// Whether it holds at a moment: seconds since 1970.
    #[must_use]
    pub fn hold(&self, at: i64) -> bool {
        if self.from.is_some_and(|from| at < from) || self.until.is_some_and(|until| at >= until) {
            return false;
        }
        let day = at.div_euclid(DAY);
        // What began yesterday may go on until now.
        [day, day - 1]
            .into_iter()
            .filter(|day| self.begins_on(*day))
            .any(|day| self.spans(day).any(|(from, until)| (from..until).contains(&at)))
    }

    /// Whether there is any moment at which it holds.
    #[must_use]
    pub fn can_hold(&self) -> bool {
        let months = (1..=12).filter(|month| is_among(&self.months, *month));
        let mut days = months
            .flat_map(|month| (1..=days_in_month(LEAP_YEAR, month)).filter(|day| is_among(&self.days, *day)));
        if days.next().is_none() {
            return false;
        }
        let (Some(from), Some(until)) = (self.from, self.until) else { return true };
        if until.saturating_sub(from) > RAREST * DAY {
            return true;
        }
        let begins = from.div_euclid(DAY) - 1..=until.div_euclid(DAY);
        let within = |(begin, end): (i64, i64)| begin.max(from) < end.min(until);
        begins.into_iter().any(|day| self.begins_on(day) && self.spans(day).any(within))
    }

    /// When it begins or ends to hold next: seconds since 1970. Nothing if it stays as it is for years.
    #[must_use]
    pub fn next_change(&self, after: i64) -> Option<i64> {
        let now = self.hold(after);
        let start = self.from.filter(|from| *from > after).map_or(after, |from| from - 1);
        let changes = |at: &i64| *at > after && self.hold(*at) != now;
        let first = start.div_euclid(DAY);
        for day in first..first + AHEAD_MAX {
            // What began the day before may end on this one.
            let spans = self.spans(day - 1).chain(self.spans(day));
            let edges = spans.flat_map(|(from, until)| [from, until]).chain(self.from).chain(self.until);
            if let Some(next) = edges.filter(changes).filter(|at| *at <= (day + 1) * DAY).min() {
                return Some(next);
            }
            if self.until.is_some_and(|until| day * DAY > until) {
                return None;
            }
        }
        None
    }

    /// From when to when it holds if it begins on a day, whether it may begin there or not.
    fn spans(&self, day: i64) -> impl Iterator<Item = (i64, i64)> {
        let whole: &[(u32, u32)] = if self.times.is_empty() { &[(0, 0)] } else { &self.times };
        whole.iter().map(move |&(from, until)| {
            let (from, until) = (i64::from(from) * MINUTE, i64::from(until) * MINUTE);
            let next_day = if until <= from { DAY } else { 0 };
            (day * DAY + from, day * DAY + until + next_day)
        })
    }

    fn begins_on(&self, day: i64) -> bool {
        let date = Date::of(day * DAY);
        is_among(&self.weekdays, weekday(day))
            && is_among(&self.days, date.day)
            && is_among(&self.months, date.month)
    }
}

/// Whether a value lies within one of the spans; if there are none, it does not matter.
fn is_among(spans: &[(u32, u32)], value: u32) -> bool {
    spans.is_empty() || spans.iter().any(|&(from, to)| is_between(value, from, to))
}

/// Whether a value lies between two others, which may go round: from Friday to Monday.
fn is_between(value: u32, from: u32, to: u32) -> bool {
    if from <= to { (from..=to).contains(&value) } else { value >= from || value <= to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::calendar::day_number;
    use alloc::vec;

    /// 23 November 2026 is a Monday.
    fn at(day: u32, hour: i64, minute: i64) -> i64 {
        day_number(2026, 11, day) * DAY + hour * 3600 + minute * 60
    }

    #[test]
    fn a_night_that_begins_on_a_friday_ends_on_a_saturday() {
        let nights = Hours { weekdays: vec![(1, 5)], times: vec![(22 * 60, 6 * 60)], ..Hours::default() };
        for (moment, holds) in [
            (at(23, 5, 0), false),
            (at(23, 21, 59), false),
            (at(23, 22, 0), true),
            (at(24, 5, 59), true),
            (at(24, 6, 0), false),
            (at(28, 5, 59), true),
            (at(28, 6, 0), false),
            (at(28, 23, 0), false),
        ] {
            assert_eq!(nights.hold(moment), holds, "{:?}", Date::of(moment));
        }
        assert_eq!(nights.next_change(at(23, 12, 0)), Some(at(23, 22, 0)));
        assert_eq!(nights.next_change(at(23, 22, 0)), Some(at(24, 6, 0)));
        assert_eq!(nights.next_change(at(28, 6, 0)), Some(at(30, 22, 0)));
    }

    #[test]
    fn whole_days_join_each_other() {
        let week = Hours { weekdays: vec![(1, 5)], ..Hours::default() };
        assert!(week.hold(at(23, 0, 0)) && week.hold(at(27, 23, 59)) && !week.hold(at(28, 0, 0)));
        assert_eq!(week.next_change(at(23, 0, 0)), Some(at(28, 0, 0)));
        let round = Hours { weekdays: vec![(6, 1)], ..Hours::default() };
        assert!(round.hold(at(28, 12, 0)) && round.hold(at(29, 12, 0)) && round.hold(at(23, 12, 0)));
        assert!(!round.hold(at(24, 12, 0)));
    }

    #[test]
    fn dates_bound_it_and_what_never_changes_has_no_next_change() {
        let once = Hours { from: Some(at(24, 8, 30)), until: Some(at(26, 0, 0)), ..Hours::default() };
        assert!(!once.hold(at(24, 8, 29)) && once.hold(at(24, 8, 30)) && !once.hold(at(26, 0, 0)));
        assert_eq!(once.next_change(at(1, 0, 0)), Some(at(24, 8, 30)));
        assert_eq!(once.next_change(at(25, 0, 0)), Some(at(26, 0, 0)));
        assert_eq!(once.next_change(at(27, 0, 0)), None);
        assert_eq!(Hours::default().next_change(at(1, 0, 0)), None);
        let leap = Hours { days: vec![(29, 29)], months: vec![(2, 2)], ..Hours::default() };
        assert_eq!(leap.next_change(at(1, 0, 0)), Some(day_number(2028, 2, 29) * DAY));
    }

    #[test]
    fn what_no_calendar_has_can_never_be() {
        let day = |year, month, day| Some(day_number(year, month, day) * DAY);
        let february = vec![(2, 2)];
        for (hours, can) in [
            (Hours::default(), true),
            (Hours { days: vec![(29, 29)], months: february.clone(), ..Hours::default() }, true),
            (Hours { days: vec![(30, 31)], months: february.clone(), ..Hours::default() }, false),
            (Hours { days: vec![(31, 31)], months: vec![(6, 6), (9, 9)], ..Hours::default() }, false),
            (Hours { from: day(2027, 1, 1), until: day(2027, 1, 1), ..Hours::default() }, false),
            // 24 and 25 December 2026 are a Thursday and a Friday.
            (
                Hours {
                    weekdays: vec![(6, 7)],
                    from: day(2026, 12, 24),
                    until: day(2026, 12, 26),
                    ..Hours::default()
                },
                false,
            ),
            (
                Hours {
                    weekdays: vec![(3, 3)],
                    times: vec![(22 * 60, 6 * 60)],
                    from: day(2026, 12, 24),
                    until: day(2026, 12, 26),
                    ..Hours::default()
                },
                true,
            ),
            (
                Hours {
                    weekdays: vec![(1, 1)],
                    days: vec![(29, 29)],
                    months: february,
                    from: day(2029, 1, 1),
                    until: day(2051, 1, 1),
                    ..Hours::default()
                },
                true,
            ),
        ] {
            assert_eq!(hours.can_hold(), can, "{hours:?}");
        }
    }
}
