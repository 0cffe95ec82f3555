//! Lengths of time as people write them: a number and a unit.

use heart_model::Duration;

/// The units, and how many microseconds each has; the largest first, as printing tries them.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Reads `"500ms"`, `"1.5s"`, `"2min"`.
///
/// # Errors
/// What to do instead.
pub(crate) fn read(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim());
    if number.is_empty() {
        return Err("write a number and a unit, such as \"500ms\", \"20s\" or \"2min\"".into());
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("add a unit: \"{number}ms\" or \"{number}s\"?"),
            "m" => format!("\"m\" could be many things: write \"{number}min\" or \"{number}ms\""),
            "sec" | "secs" | "second" | "seconds" => format!("seconds are written \"{number}s\""),
            "msec" | "millis" | "milliseconds" => format!("milliseconds are written \"{number}ms\""),
            "minute" | "minutes" | "mins" => format!("minutes are written \"{number}min\""),
            _ => "the units are `us`, `ms`, `s`, `min` and `h`".into(),
        });
    };
    microseconds(number, *scale)
        .map(Duration::from_micros)
        .ok_or_else(|| "write a plain number before the unit, such as \"500ms\" or \"1.5s\"".into())
}

/// `number` units of `scale` microseconds; nothing if it is no number, finer than a microsecond,
/// or beyond counting.
fn microseconds(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let divisor = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
    if part % divisor != 0 {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part / divisor)
}

/// Writes a length of time in the largest unit of which it is a whole number.
pub(crate) fn print(duration: Duration) -> String {
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let fits = |(_, scale): &&(&str, u64)| microseconds >= *scale && microseconds.is_multiple_of(*scale);
    match UNITS.iter().find(fits) {
        Some((unit, scale)) => format!("{}{unit}", microseconds / scale),
        None => "0s".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        for (text, milliseconds) in [
            ("100ms", 100),
            ("1.5s", 1500),
            ("2min", 120_000),
            ("1h", 3_600_000),
            (" 20 s ", 20_000),
            ("0s", 0),
        ] {
            assert_eq!(read(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(read("250us"), Ok(Duration::from_micros(250)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_way_out() {
        for (text, part) in [
            ("", "write a number and a unit"),
            ("fast", "write a number and a unit"),
            ("100", "\"100ms\" or \"100s\""),
            ("5m", "\"5min\""),
            ("5 seconds", "\"5s\""),
            ("5 fortnights", "the units are"),
            ("-5s", "write a number"),
            ("1.2.3s", "plain number"),
            ("0.0000001s", "plain number"),
            ("99999999999999999999s", "plain number"),
            ("5\u{fc}s", "the units are"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for microseconds in [0, 1, 999, 1000, 1500, 60_000_000, 90_000_000, 86_400_000_000] {
            let duration = Duration::from_micros(microseconds);
            assert_eq!(read(&print(duration)), Ok(duration), "{}", print(duration));
        }
        assert_eq!(print(Duration::from_secs(90)), "90s");
        assert_eq!(print(Duration::from_secs(120)), "2min");
    }
}
