//! Words for messages: lists, and the name that was perhaps meant.

use crate::tree::cut;

/// Most names that a hint counts up; the rest becomes a number.
const LISTED_MAX: usize = 8;

/// `a`, `b` and `c`.
pub(crate) fn list<T: AsRef<str>>(words: &[T], last: &str) -> String {
    let quoted: Vec<String> =
        words.iter().take(LISTED_MAX).map(|word| format!("`{}`", cut(word.as_ref(), 40))).collect();
    let more = words.len() - quoted.len();
    match quoted.split_last() {
        None => String::new(),
        Some(_) if more > 0 => format!("{} {last} {more} more", quoted.join(", ")),
        Some((only, [])) => only.clone(),
        Some((tail, head)) => format!("{} {last} {tail}", head.join(", ")),
    }
}

/// The one of `known` that was probably meant by `found`.
pub(crate) fn meant<'k, T: AsRef<str>>(found: &str, known: &'k [T]) -> Option<&'k str> {
    if found.len() > 100 {
        return None;
    }
    let lower = found.to_lowercase().replace('-', "_");
    let near = |word: &&str| {
        let word = word.to_lowercase().replace('-', "_");
        let allowed = 1 + word.len().max(lower.len()) / 5;
        let distance = strsim::osa_distance(&lower, &word);
        (distance <= allowed && distance < word.len()).then_some(distance)
    };
    known
        .iter()
        .map(AsRef::as_ref)
        .filter_map(|word| near(&word).map(|distance| (distance, word)))
        .min()
        .map(|(_, word)| word)
}

/// The hint for a word that is none of `known`: which one was perhaps meant, and which there are.
pub(crate) fn hint_known<T: AsRef<str>>(found: &str, known: &[T], what: &str) -> String {
    match (meant(found, known), known) {
        (Some(word), _) => format!("did you mean `{word}`?"),
        (None, []) => format!("there is no {what}"),
        (None, [only]) => format!("the only {what} is `{}`", cut(only.as_ref(), 40)),
        (None, many) => format!("the {what}s are {}", list(many, "and")),
    }
}

/// "1 address", "2 addresses".
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_like_sentences() {
        for (words, text) in [
            (&[][..], ""),
            (&["a"][..], "`a`"),
            (&["a", "b"][..], "`a` and `b`"),
            (&["a", "b", "c"][..], "`a`, `b` and `c`"),
        ] {
            assert_eq!(list(words, "and"), text);
        }
        assert_eq!(list(&["x"; 10], "and"), "`x`, `x`, `x`, `x`, `x`, `x`, `x`, `x` and 2 more");
    }

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["address", "interface", "start_timeout", "ip"];
        for (found, word) in [
            ("adress", Some("address")),
            ("Interface", Some("interface")),
            ("start-timeout", Some("start_timeout")),
            ("interfcae", Some("interface")),
            ("colour", None),
            ("xy", None),
        ] {
            assert_eq!(meant(found, &known), word, "{found}");
        }
    }
}
