//! Days, hours and dates as text, and back.

use heart_model::policy::calendar::{DAY, Moment, days_in_month};

/// What days or months are counted with: numbers, and words for them where there are any.
pub(crate) struct Scale {
    /// What one of them is, for messages.
    pub(crate) noun: &'static str,
    /// The first number has the first word.
    words: &'static [&'static str],
    last: u32,
    /// What may be written.
    examples: &'static str,
}

/// Days of the week.
pub(crate) const WEEKDAYS: Scale = Scale {
    noun: "day of the week",
    words: &["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    last: 7,
    examples: "write \"mon\", \"mon-fri\" or a list such as [\"mon-wed\", \"fri\"]",
};
/// Days of the month.
pub(crate) const DAYS: Scale = Scale {
    noun: "day of the month",
    words: &[],
    last: 31,
    examples: "write a number from 1 to 31, \"1-7\" or a list such as [1, \"15-20\"]",
};
/// Months.
pub(crate) const MONTHS: Scale = Scale {
    noun: "month",
    words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    last: 12,
    examples: "write \"jan\", \"jan-mar\" or a list such as [\"jan-mar\", 12]",
};

/// Minutes of a day.
const DAY_MINUTES: u32 = 24 * 60;
/// The first and the last year that a date may have.
const YEARS: (i64, i64) = (1970, 9999);

impl Scale {
    fn point(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().position(|word| *word == text).map(|at| at as u32 + 1);
        let number = || text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        word.or_else(number).filter(|point| (1..=self.last).contains(point))
    }

    /// The point that was probably meant: its word may be longer, or written large.
    fn meant(&self, text: &str) -> Option<String> {
        let lower = text.trim().to_lowercase();
        if self.point(&lower).is_some() {
            return Some(lower);
        }
        let is_begun = |word: &&&str| {
            lower.strip_prefix(**word).is_some_and(|rest| rest.chars().all(char::is_alphabetic))
        };
        self.words.iter().find(is_begun).map(|word| (*word).to_owned())
    }

    /// Reads `mon`, `1`, `mon-fri`; from a later to an earlier one goes round.
    ///
    /// # Errors
    /// What to write instead.
    pub(crate) fn read(&self, text: &str) -> Result<(u32, u32), String> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        if let (Some(from), Some(to)) = (self.point(from.trim()), self.point(to.trim())) {
            return Ok((from, to));
        }
        let plain = text.replace(['–', '—', '‐'], "-").replace("..", "-").replace(" to ", "-");
        let ends: Option<Vec<String>> = plain.splitn(2, '-').map(|end| self.meant(end)).collect();
        Err(match ends {
            Some(ends) => format!("did you mean \"{}\"?", ends.join("-")),
            None => self.examples.into(),
        })
    }

    /// The text of a span.
    pub(crate) fn print(&self, (from, to): (u32, u32)) -> String {
        let point = |at: u32| match self.words.get(at as usize - 1) {
            Some(word) => (*word).to_owned(),
            None => at.to_string(),
        };
        if from == to { point(from) } else { format!("{}-{}", point(from), point(to)) }
    }
}

/// Minutes since midnight of `8:00` or `08:00`, up to `24:00`.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |part: &str, least| {
        (least..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(hours, 1) || !is_number(minutes, 2) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
    let since = hours * 60 + minutes;
    (minutes < 60 && since <= DAY_MINUTES).then_some(since)
}

/// Reads `22:00-06:00`: minutes since midnight.
///
/// # Errors
/// What to write instead.
pub(crate) fn read_hours(text: &str) -> Result<(u32, u32), String> {
    let Some((from, until)) = text.split_once('-') else {
        let alone = minutes(text.trim()).map(clock);
        return Err(match alone {
            Some(from) => format!("say until when, too: \"{from}-24:00\""),
            None => HOURS.into(),
        });
    };
    match (minutes(from.trim()), minutes(until.trim())) {
        (Some(DAY_MINUTES), Some(until)) => Err(format!("a day begins at 00:00: \"00:00-{}\"", clock(until))),
        (Some(from), Some(until)) => Ok((from, until)),
        (_, _) => {
            let whole = |text: &str| minutes(&format!("{}:00", text.trim())).or_else(|| minutes(text.trim()));
            Err(match (whole(from), whole(until)) {
                (Some(from), Some(until)) => format!("did you mean \"{}-{}\"?", clock(from), clock(until)),
                (_, _) => HOURS.into(),
            })
        }
    }
}

const HOURS: &str =
    "write hours and minutes from 00:00 to 24:00: \"08:00-17:30\", or \"22:00-06:00\" for a night";

fn clock(minutes: u32) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The text of hours.
pub(crate) fn print_hours((from, until): (u32, u32)) -> String {
    format!("{}-{}", clock(from), clock(until))
}

/// Reads a date, with or without a time of the day: seconds since 1970.
///
/// # Errors
/// What to write instead.
pub(crate) fn read_moment(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (date, time) = match text.split_once([' ', 'T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let day = read_date(date)?;
    let Some(time) = time else { return Ok(day) };
    let (time, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => split_offset(time).ok_or(MOMENT)?,
    };
    let (clock, seconds) = match time.match_indices(':').nth(1) {
        Some((at, _)) => {
            (&time[..at], two_digits(&time[at + 1..]).filter(|seconds| *seconds < 60).ok_or(MOMENT)?)
        }
        None => (time, 0),
    };
    let minutes = minutes(clock).filter(|minutes| *minutes < DAY_MINUTES).ok_or(MOMENT)?;
    let moment = day + i64::from(minutes) * 60 + i64::from(seconds);
    if offset == 0 {
        return Ok(moment);
    }
    Err(format!("dates are in UTC, which every node can tell: \"{}\"", print_moment(moment - offset * 60)))
}

const MOMENT: &str =
    "write year, month and day, and the time if it matters: \"2026-12-24\" or \"2026-12-24 18:00\", in UTC";

fn two_digits(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Takes `+01:00` from the end of a time: minutes.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let offset = i64::from(minutes(&time[at + 1..])?);
    Some((&time[..at], if time[at..].starts_with('-') { -offset } else { offset }))
}

fn read_date(text: &str) -> Result<i64, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return Err(MOMENT.into()) };
    let year = year.parse::<i64>().ok().filter(|_| year.len() == 4 && !year.starts_with(['+', '-']));
    let (Some(year), Some(month), Some(day)) = (year, two_digits(month), two_digits(day)) else {
        return Err(MOMENT.into());
    };
    let (first, last) = YEARS;
    if !(first..=last).contains(&year) {
        return Err(format!("years are {first} to {last}"));
    }
    if !(1..=12).contains(&month) {
        return Err(format!("there is no month {month}: write year, month and day"));
    }
    let days = days_in_month(year, month);
    if !(1..=days).contains(&day) {
        return Err(format!("that month has the days 1 to {days}"));
    }
    Ok(Moment { year, month, day, hour: 0, minute: 0, second: 0 }.seconds())
}

/// The text of a moment.
pub(crate) fn print_moment(seconds: i64) -> String {
    let Moment { year, month, day, hour, minute, second } = Moment::of(seconds);
    let date = format!("{year:04}-{month:02}-{day:02}");
    if seconds.rem_euclid(DAY) == 0 {
        date
    } else if second == 0 {
        format!("{date} {hour:02}:{minute:02}")
    } else {
        format!("{date} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_read_and_printed() {
        for (scale, text, span, printed) in [
            (&WEEKDAYS, "mon-fri", (1, 5), "mon-fri"),
            (&WEEKDAYS, "6-7", (6, 7), "sat-sun"),
            (&WEEKDAYS, "sat - mon", (6, 1), "sat-mon"),
            (&DAYS, "1-7", (1, 7), "1-7"),
            (&DAYS, "31", (31, 31), "31"),
            (&MONTHS, "nov-2", (11, 2), "nov-feb"),
            (&MONTHS, "12", (12, 12), "dec"),
        ] {
            assert_eq!(scale.read(text), Ok(span), "{text}");
            assert_eq!(scale.print(span), printed);
        }
    }

    #[test]
    fn what_is_no_day_has_a_way_out() {
        for (scale, text, said) in [
            (&WEEKDAYS, "Monday-Friday", "did you mean \"mon-fri\"?"),
            (&WEEKDAYS, "mon–fri", "did you mean \"mon-fri\"?"),
            (&WEEKDAYS, "8", WEEKDAYS.examples),
            (&WEEKDAYS, "mon-wed,fri", WEEKDAYS.examples),
            (&WEEKDAYS, "", WEEKDAYS.examples),
            (&DAYS, "0", DAYS.examples),
            (&DAYS, "+1", DAYS.examples),
            (&MONTHS, "Sept", "did you mean \"sep\"?"),
            (&MONTHS, "-", MONTHS.examples),
        ] {
            assert_eq!(scale.read(text).unwrap_err(), said, "{text}");
        }
    }

    #[test]
    fn hours_are_read_and_printed() {
        for (text, hours, printed) in [
            ("22:00-06:00", (1320, 360), "22:00-06:00"),
            ("8:00-17:30", (480, 1050), "08:00-17:30"),
            ("00:00-24:00", (0, 1440), "00:00-24:00"),
        ] {
            assert_eq!(read_hours(text), Ok(hours), "{text}");
            assert_eq!(print_hours(hours), printed);
        }
        for (text, said) in [
            ("8-17", "did you mean \"08:00-17:00\"?"),
            ("22:00", "say until when, too: \"22:00-24:00\""),
            ("24:00-06:00", "a day begins at 00:00: \"00:00-06:00\""),
            ("10pm-6am", HOURS),
            ("22:60-23:00", HOURS),
            ("22:00-25:00", HOURS),
            ("22:00-24:01", HOURS),
            ("é:00-1:00", HOURS),
        ] {
            assert_eq!(read_hours(text).unwrap_err(), said, "{text}");
        }
    }

    #[test]
    fn dates_are_read_and_printed() {
        for (text, printed) in [
            ("1970-01-01", "1970-01-01"),
            ("2026-12-24", "2026-12-24"),
            ("2026-12-24 18:00", "2026-12-24 18:00"),
            ("2026-12-24T18:00:05Z", "2026-12-24 18:00:05"),
            ("2026-12-24 00:00:00", "2026-12-24"),
            ("2028-02-29", "2028-02-29"),
        ] {
            assert_eq!(read_moment(text).map(print_moment).as_deref(), Ok(printed), "{text}");
        }
        assert_eq!(read_moment("1970-01-02 01:00"), Ok(DAY + 3600));
        for (text, said) in [
            ("24.12.2026", MOMENT),
            ("2026-12-24 24:00", MOMENT),
            ("2026-12-24 18", MOMENT),
            ("18:00", MOMENT),
            ("2026-1-2", MOMENT),
            ("2026-12-24 18:00:05.5", MOMENT),
            ("2026-12-24 é+é", MOMENT),
            ("2026-13-01", "there is no month 13: write year, month and day"),
            ("2027-02-29", "that month has the days 1 to 28"),
            ("1492-10-12", "years are 1970 to 9999"),
            ("2026-12-24T00:30+01:00", "dates are in UTC, which every node can tell: \"2026-12-23 23:30\""),
        ] {
            assert_eq!(read_moment(text).unwrap_err(), said, "{text}");
        }
    }
}
