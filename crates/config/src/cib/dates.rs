//! Dates and lengths of time as CIBs have them: ISO 8601, and a few spellings beside it.

use heart_model::policy::calendar::{
    DAY, Moment, Period, day_number, days_in_month, first_day_of_week, is_leap,
};

/// A date as it is written (`2005-020T12:30`, `2014-05-07 00:28:00`, `2020-W01-1`, `2020-01-01Z`), in
/// seconds since 1970. Without a zone it is UTC; without a time it is the beginning of the day.
#[must_use]
pub fn date(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("epoch") {
        return Some(0);
    }
    let (day, rest) = day(text)?;
    let rest = match rest.strip_prefix(['T', 't']) {
        Some(time) => time,
        None => rest.trim_start(),
    };
    let (time, zone) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let seconds = time_of_day(time.trim_end())? - zone_offset(zone)?;
    Some(day * DAY + seconds)
}

/// The number of the day with which a text begins, and the rest.
fn day(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = number(text, 4)?;
    let year = i64::from(year);
    let dashed = rest.starts_with('-');
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    if let Some(rest) = rest.strip_prefix('W') {
        let (week, rest) = number(rest, 2)?;
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        let (weekday, rest) = number(rest, 1)?;
        let valid = (1..=53).contains(&week) && (1..=7).contains(&weekday);
        return valid.then(|| (first_day_of_week(year, week) + i64::from(weekday) - 1, rest));
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 3 || (digits == 7 && !dashed) {
        let (day, rest) = number(rest, 3)?;
        let valid = (1..=365 + u32::from(is_leap(year))).contains(&day);
        return valid.then(|| (day_number(year, 1, 1) + i64::from(day) - 1, rest));
    }
    let (month, rest) = number(rest, 2)?;
    let rest = if dashed { rest.strip_prefix('-')? } else { rest };
    let (day, rest) = number(rest, 2)?;
    let valid = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    valid.then(|| (day_number(year, month, day), rest))
}

/// Seconds since the day began: `12`, `12:30`, `12:30:15`, `123015`.
fn time_of_day(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (hour, rest) = number(text, 2)?;
    let (minute, rest) = further(rest)?;
    let (second, rest) = further(rest)?;
    // Parts of a second do not count.
    let rest = rest.trim_start_matches(['.', ',']).trim_start_matches(|c: char| c.is_ascii_digit());
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    (rest.is_empty() && minute < 60 && second < 61 && seconds <= DAY).then_some(seconds)
}

/// Two more digits with or without a colon before them, or none.
fn further(text: &str) -> Option<(u32, &str)> {
    match text.strip_prefix(':').unwrap_or(text) {
        rest if rest.starts_with(|c: char| c.is_ascii_digit()) => number(rest, 2),
        _ => Some((0, text)),
    }
}

/// How many seconds a zone is ahead.
fn zone_offset(text: &str) -> Option<i64> {
    let sign = match text.chars().next() {
        None => return Some(0),
        Some('Z' | 'z') => return text[1..].trim().is_empty().then_some(0),
        Some('-') => -1,
        Some(_) => 1,
    };
    Some(sign * time_of_day(text[1..].trim())?)
}

/// A number of exactly so many digits, and the rest.
fn number(text: &str, digits: usize) -> Option<(u32, &str)> {
    let (number, rest) = (text.get(..digits)?, &text[digits..]);
    let all_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { Some((number.parse().ok()?, rest)) } else { None }
}

/// A length of time of ISO 8601: `P1Y2M3W4DT5H6M7S`.
#[must_use]
pub(super) fn period(text: &str) -> Option<Period> {
    let mut rest = text.trim().strip_prefix('P')?;
    let mut sum = Period::default();
    let mut in_time = false;
    let mut parts = 0;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time {
                return None;
            }
            in_time = true;
            rest = time;
            continue;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        sum = sum.and(of_unit(count, unit, in_time)?);
        rest = &rest[digits + unit.len_utf8()..];
        parts += 1;
    }
    (parts > 0).then_some(sum)
}

fn of_unit(count: i64, unit: char, in_time: bool) -> Option<Period> {
    let months = |months: i64| Period { months: count.saturating_mul(months), seconds: 0 };
    let seconds = |seconds: i64| Period { months: 0, seconds: count.saturating_mul(seconds) };
    Some(match (unit, in_time) {
        ('Y', false) => months(12),
        ('M', false) => months(1),
        ('W', false) => seconds(7 * DAY),
        ('D', false) => seconds(DAY),
        ('H', true) => seconds(3600),
        ('M', true) => seconds(60),
        ('S', true) => seconds(1),
        _ => return None,
    })
}

/// A part of a length of time by its name: `hours`, `months`.
pub(super) fn named_period(name: &str, count: i64) -> Option<Period> {
    match name {
        "years" => of_unit(count, 'Y', false),
        "months" => of_unit(count, 'M', false),
        "weeks" => of_unit(count, 'W', false),
        "days" => of_unit(count, 'D', false),
        "hours" => of_unit(count, 'H', true),
        "minutes" => of_unit(count, 'M', true),
        "seconds" => of_unit(count, 'S', true),
        _ => None,
    }
}

/// A moment written the other way round, for people: `2026-07-24 09:30:00`.
#[must_use]
pub fn date_text(seconds: i64) -> String {
    let Moment { year, month, day, hour, minute, second } = Moment::of(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_all_their_spellings() {
        let wanted = Some(1_106_224_200);
        for text in [
            "2005-020T12:30",
            "2005020T1230",
            "2005-01-20 12:30:00",
            "2005-01-20 12:30:00Z",
            "20050120T123000Z",
            "2005-01-20T12:30:00 +00:00",
            "2005-01-20T14:30:00+02:00",
            "2005-01-20 07:00:00 -0530",
            "2005-W03-4 12:30",
            "2005W034T12:30:00.25",
        ] {
            assert_eq!(date(text), wanted, "{text}");
        }
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("epoch"), Some(0));
        assert_eq!(date_text(1_106_224_200), "2005-01-20 12:30:00");
        for text in
            ["", "2005", "2005-13-01", "2005-02-29", "2005-366", "2005-01-20T25:00", "12:30", "2005-W54-1"]
        {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_of_time_are_read() {
        let period_of = |months, seconds| Some(Period { months, seconds });
        assert_eq!(period("P1Y2M"), period_of(14, 0));
        assert_eq!(period("P1WT1M"), period_of(0, 7 * DAY + 60));
        assert_eq!(period("PT10S"), period_of(0, 10));
        assert_eq!(period("P10S"), None);
        for text in ["P", "PT", "10", "P1H", "PTT1S", "P1", "P99999999999999999999Y"] {
            assert_eq!(period(text), None, "{text}");
        }
        assert_eq!(named_period("weeks", 2), period("P2W"));
        assert_eq!(named_period("moons", 2), None);
    }
}
