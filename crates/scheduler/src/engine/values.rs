//! Values as people write them: yes and no, numbers, scores, spans of time.

use alloc::{collections::BTreeMap, string::String};

use heart_model::policy::Score;

/// Yes or no; None if it is neither.
pub(crate) fn truth(text: &str) -> Option<bool> {
    const YES: [&str; 5] = ["true", "on", "yes", "y", "1"];
    const NO: [&str; 5] = ["false", "off", "no", "n", "0"];
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
    if is(&YES) {
        Some(true)
    } else if is(&NO) {
        Some(false)
    } else {
        None
    }
}

/// The truth of a named value; `otherwise` if it is not there or is neither.
pub(crate) fn flag(values: &BTreeMap<String, String>, name: &str, otherwise: bool) -> bool {
    values.get(name).and_then(|text| truth(text)).unwrap_or(otherwise)
}

/// A whole number, with what stands behind it left out.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = digits[..length].parse().ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}

/// A named whole number.
pub(crate) fn number(values: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    values.get(name).and_then(|text| integer(text))
}

/// A score: a number, or one of the words for the greatest.
pub(crate) fn score(text: &str) -> Option<Score> {
    match text.trim() {
        "INFINITY" | "+INFINITY" | "infinity" | "+infinity" => Some(Score::INFINITY),
        "-INFINITY" | "-infinity" => Some(Score::NEVER),
        other => integer(other).map(Score::new),
    }
}

/// A span of time in milliseconds: a number with a unit (seconds if none), or `P…T…` as ISO 8601 has it.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix('P') {
        return iso_milliseconds(iso);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = text[..digits].parse().ok()?;
    let (multiply, divide) = match text[digits..].trim() {
        "" | "s" | "sec" => (1000, 1),
        "ms" | "msec" => (1, 1),
        "us" | "usec" => (1, 1000),
        "m" | "min" => (60_000, 1),
        "h" | "hr" => (3_600_000, 1),
        _ => return None,
    };
    Some(count.checked_mul(multiply)? / divide)
}

fn iso_milliseconds(text: &str) -> Option<u64> {
    let (mut sum, mut clock, mut digits) = (0u64, false, String::new());
    for letter in text.chars() {
        let unit = match (letter, clock) {
            ('T', _) => {
                clock = true;
                continue;
            }
            ('0'..='9', _) => {
                digits.push(letter);
                continue;
            }
            ('Y', _) => 365 * 86_400,
            ('M', false) => 30 * 86_400,
            ('W', _) => 7 * 86_400,
            ('D', _) => 86_400,
            ('H', _) => 3600,
            ('M', true) => 60,
            ('S', _) => 1,
            _ => return None,
        };
        let count: u64 = digits.parse().ok()?;
        sum = sum.checked_add(count.checked_mul(unit * 1000)?)?;
        digits.clear();
    }
    digits.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_in_all_spellings() {
        for (text, expected) in [
            ("10", Some(10_000)),
            ("10s", Some(10_000)),
            (" 5 min", Some(300_000)),
            ("5min", Some(300_000)),
            ("500ms", Some(500)),
            ("2h", Some(7_200_000)),
            ("PT1M", Some(60_000)),
            ("P1DT2H", Some(93_600_000)),
            ("ten", None),
            ("10x", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }

    #[test]
    fn scores_and_numbers() {
        assert_eq!(score("-INFINITY"), Some(Score::NEVER));
        assert_eq!(score("2000000"), Some(Score::INFINITY));
        assert_eq!(score("x"), None);
        assert_eq!(integer("-12"), Some(-12));
        assert_eq!(truth("Yes"), Some(true));
        assert_eq!(truth("2"), None);
    }
}
