//! Letters, lines and times.

use std::fmt::Write as _;

use super::Look;

/// Narrowest column that text is broken into; on less than that, lines run over.
const COLUMN_MIN: usize = 20;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A colour, by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// On its way, or set aside by somebody.
    Between,
    /// Wrong.
    Bad,
    /// A heading.
    Head,
    /// Less important.
    Faint,
    /// Nothing special.
    Normal,
}

/// Paints a text, if colours may be used.
pub(crate) fn paint(look: &Look, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Between => "33",
        Tone::Bad => "31",
        Tone::Head => "1",
        Tone::Faint => "2",
        Tone::Normal => return text.to_owned(),
    };
    if look.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// One line that does nothing to a terminal: messages of agents are shown, not obeyed.
pub(crate) fn plain(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().map(|c| if is_safe(c) { c } else { '\u{fffd}' }).collect())
        .collect();
    words.join(" ")
}

/// Whether a character only shows itself: no control, and nothing that turns the writing around.
fn is_safe(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'))
}

/// A text in lines that fit, each indented; a bad one in its tone.
pub(crate) fn paragraph(look: &Look, indent: usize, tone: Tone, text: &str) -> String {
    // Lines after the first are indented once more.
    let room = look.width.saturating_sub(indent + 2).max(COLUMN_MIN);
    let mut lines: Vec<String> = Vec::new();
    for word in plain(text).split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let mut out = String::new();
    for (place, line) in lines.iter().enumerate() {
        let more = if place > 0 && indent > 0 { indent + 2 } else { indent };
        let _ = writeln!(out, "{:more$}{}", "", paint(look, tone, line));
    }
    out
}

/// Rows of cells in columns as wide as their widest cell. No line has spaces at its end.
pub(crate) fn table(look: &Look, rows: &[Vec<(Tone, String)>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(_, text)| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        let mut owed = 2;
        for ((tone, text), width) in row.iter().zip(&widths) {
            if !text.is_empty() {
                let _ = write!(line, "{:owed$}{}", "", paint(look, *tone, text));
                owed = 0;
            }
            if *width > 0 {
                owed += width - text.chars().count() + 2;
            }
        }
        out += &line;
        out.push('\n');
    }
    out
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(words: &[String]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, head)) => format!("{} and {last}", head.join(", ")),
    }
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// A day as the reader counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    /// Year, month and day.
    pub(crate) day: (i64, i64, i64),
    /// Milliseconds of that day.
    milliseconds: i64,
}

impl Date {
    /// When that is for the reader.
    pub(crate) fn of(look: &Look, at_ms: u64) -> Date {
        let local = i64::try_from(at_ms).unwrap_or(i64::MAX / 2) + (look.zone)(at_ms) * 1000;
        let day_ms = 1000 * i64::try_from(DAY).unwrap_or_default();
        Date { day: civil(local.div_euclid(day_ms)), milliseconds: local.rem_euclid(day_ms) }
    }

    /// `14:03:22`.
    pub(crate) fn time(&self) -> String {
        let seconds = self.milliseconds / 1000;
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// `UTC+01:00`: which clock the reader's is.
    pub(crate) fn zone(look: &Look, at_ms: u64) -> String {
        let minutes = (look.zone)(at_ms) / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        match minutes.abs() {
            0 => "UTC".into(),
            minutes => format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        }
    }

    /// `14:03:22.120`.
    pub(crate) fn precise(&self) -> String {
        format!("{}.{:03}", self.time(), self.milliseconds % 1000)
    }

    /// `2026-03-05`.
    pub(crate) fn date(&self) -> String {
        let (year, month, day) = self.day;
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Year, month and day of a day counted from 1970, in the calendar of today.
fn civil(days: i64) -> (i64, i64, i64) {
    // A year that begins in March ends with the leap day, so months have a regular length; an era
    // of 400 years has 146,097 days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// `since 14:03:22 (12 min ago)`; with the date if that was not today.
pub(crate) fn since(look: &Look, at_ms: u64) -> String {
    let (then, now) = (Date::of(look, at_ms), Date::of(look, look.now_ms));
    let day = if then.day == now.day { String::new() } else { then.date() + " " };
    format!("since {day}{} ({})", then.time(), ago(look.now_ms.saturating_sub(at_ms) / 1000))
}

fn ago(seconds: u64) -> String {
    match seconds {
        0 => "just now".into(),
        _ => span(seconds) + " ago",
    }
}

/// A length of time: `12 min`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        _ if seconds < MINUTE => format!("{seconds} s"),
        _ if seconds < HOUR => format!("{} min", seconds / MINUTE),
        _ if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        _ => format!("{} days", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(width: usize) -> Look {
        Look { now_ms: 1_772_719_402_000, width, color: false, zone: |_| 3600 }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, date) in [
            (-1, (1969, 12, 31)),
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_517, (2026, 3, 5)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }

    #[test]
    fn a_time_says_how_long_ago_it_was() {
        let now = look(80).now_ms;
        for (before, text) in [
            (0, "since 15:03:22 (just now)"),
            (59_000, "since 15:02:23 (59 s ago)"),
            (720_000, "since 14:51:22 (12 min ago)"),
            (16 * 3_600_000, "since 2026-03-04 23:03:22 (16 h ago)"),
            (72 * 3_600_000, "since 2026-03-02 15:03:22 (3 days ago)"),
        ] {
            assert_eq!(since(&look(80), now - before), text);
        }
        assert_eq!(since(&look(80), now + 500), "since 15:03:22 (just now)", "another clock may be ahead");
    }

    #[test]
    fn what_an_agent_says_cannot_command_the_terminal() {
        assert_eq!(plain("a\x1b[2J\nb\tc\u{202e}"), "a\u{fffd}[2J b c\u{fffd}");
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        let text = "one two three four five six seven";
        assert_eq!(paragraph(&look(24), 2, Tone::Normal, text), "  one two three four\n    five six seven\n");
        assert_eq!(paragraph(&look(usize::MAX), 2, Tone::Normal, text), format!("  {text}\n"));
    }
}
