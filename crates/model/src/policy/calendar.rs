//! Dates, in whole numbers: the calendar of Gregory reckoned back and forth for ever, without leap
//! seconds, in UTC.
//!
//! A day is a number, 0 for 1 January 1970; a moment is a number of seconds since then. Everything here
//! is a way from these numbers to what people write, or back. It looks at no clock.

/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// The last moment that is reckoned with, and the first if negative: far outside of every history.
const FURTHEST: i64 = 10_000_000 * DAY;

/// A moment as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The year.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
}

/// A length of time as people say it: months are not all of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Months; a year is twelve of them.
    pub months: i64,
    /// Seconds; a week or a day is many of them.
    pub seconds: i64,
}

/// Whether a year has a 29 February.
#[must_use]
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// How many days a month has.
#[must_use]
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The number of a day. The year counts from March, so that the day that is sometimes there is its last.
#[must_use]
pub fn day_number(year: i64, month: u32, day: u32) -> i64 {
    let year = year.clamp(-20_000, 20_000) - i64::from(month <= 2);
    let since_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * since_march + 2) / 5 + i64::from(day) - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The year, month and day of a day's number.
fn of_day_number(number: i64) -> (i64, u32, u32) {
    let since_era_began = number + 719_468;
    let era = since_era_began.div_euclid(146_097);
    let day_of_era = since_era_began.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let since_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * since_march + 2) / 5 + 1) as u32;
    let month = if since_march < 10 { since_march + 3 } else { since_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day of the week of a day's number: Monday is 1, Sunday 7.
#[must_use]
pub fn weekday(number: i64) -> u32 {
    (number + 3).rem_euclid(7) as u32 + 1
}

/// The week of a day's number, and the year to which that week belongs: the one that has its Thursday.
#[must_use]
pub fn week(number: i64) -> (i64, u32) {
    let thursday = number + 4 - i64::from(weekday(number));
    let (year, _, _) = of_day_number(thursday);
    let week = (thursday - day_number(year, 1, 1)) / 7 + 1;
    (year, week as u32)
}

/// The number of the day on which a week begins: the first week of a year has its first Thursday.
#[must_use]
pub fn first_day_of_week(year: i64, week: u32) -> i64 {
    let fourth = day_number(year, 1, 4);
    fourth - i64::from(weekday(fourth)) + 1 + (i64::from(week) - 1) * 7
}

impl Moment {
    /// The moment that lies so many seconds after the beginning of 1970.
    #[must_use]
    pub fn of(seconds: i64) -> Moment {
        let seconds = seconds.clamp(-FURTHEST, FURTHEST);
        let (year, month, day) = of_day_number(seconds.div_euclid(DAY));
        let within = seconds.rem_euclid(DAY) as u32;
        Moment { year, month, day, hour: within / 3600, minute: within / 60 % 60, second: within % 60 }
    }

    /// How many seconds after the beginning of 1970 it lies.
    #[must_use]
    pub fn seconds(self) -> i64 {
        let within = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        self.day_number() * DAY + within
    }

    /// The number of its day.
    #[must_use]
    pub fn day_number(self) -> i64 {
        day_number(self.year, self.month, self.day)
    }

    /// The place of its day in its year: 1 January is 1.
    #[must_use]
    pub fn day_of_year(self) -> u32 {
        (self.day_number() - day_number(self.year, 1, 1) + 1) as u32
    }
}

impl Period {
    /// One period and another.
    #[must_use]
    pub fn and(self, other: Period) -> Period {
        Period {
            months: self.months.saturating_add(other.months),
            seconds: self.seconds.saturating_add(other.seconds),
        }
    }

    /// The moment so much later than `from`. A day that the month has not becomes its last.
    #[must_use]
    pub fn after(self, from: i64) -> i64 {
        let mut moment = Moment::of(from);
        let months = (moment.year * 12 + i64::from(moment.month) - 1)
            .saturating_add(self.months)
            .clamp(-120_000, 120_000);
        moment.year = months.div_euclid(12);
        moment.month = months.rem_euclid(12) as u32 + 1;
        moment.day = moment.day.min(days_in_month(moment.year, moment.month));
        moment.seconds().saturating_add(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_found_again_and_follows_the_one_before() {
        let mut before = Moment::of(-400 * 366 * DAY);
        for number in -400 * 366 + 1..400 * 366 {
            let moment = Moment::of(number * DAY);
            assert_eq!(moment.day_number(), number);
            assert!(moment > before, "{moment:?} after {before:?}");
            assert!((1..=days_in_month(moment.year, moment.month)).contains(&moment.day), "{moment:?}");
            before = moment;
        }
    }

    #[test]
    fn known_days_have_their_known_names() {
        for (date, day, week_of) in [
            ((1970, 1, 1), 4, (1970, 1)),
            ((2005, 1, 1), 6, (2004, 53)),
            ((2008, 12, 29), 1, (2009, 1)),
            ((2010, 1, 3), 7, (2009, 53)),
            ((2024, 2, 29), 4, (2024, 9)),
        ] {
            let number = day_number(date.0, date.1, date.2);
            assert_eq!(weekday(number), day, "{date:?}");
            assert_eq!(week(number), week_of, "{date:?}");
            assert_eq!(first_day_of_week(week_of.0, week_of.1) + i64::from(day) - 1, number, "{date:?}");
        }
        let moment = Moment { year: 2009, month: 2, day: 13, hour: 23, minute: 31, second: 30 };
        assert_eq!(moment.seconds(), 1_234_567_890);
        assert_eq!(Moment::of(1_234_567_890), moment);
        assert_eq!(moment.day_of_year(), 44);
    }

    #[test]
    fn a_month_after_the_last_of_january_is_the_last_of_february() {
        let day = |year, month, day| day_number(year, month, day) * DAY;
        let months = |months| Period { months, seconds: 0 };
        assert_eq!(months(1).after(day(2023, 1, 31)), day(2023, 2, 28));
        assert_eq!(months(13).after(day(2023, 1, 31)), day(2024, 2, 29));
        assert_eq!(months(-2).after(day(2023, 1, 31)), day(2022, 11, 30));
        assert_eq!(Period { months: i64::MAX, seconds: i64::MAX }.after(i64::MAX), i64::MAX);
        assert!(Period { months: i64::MIN, seconds: i64::MIN }.after(i64::MIN) < 0);
    }
}
