//! The words of a CIB: scores, switches, intervals, roles, actions, and names that have changed.

use heart_model::policy::{Discovery, LossPolicy, OrderKind, Role, Score, Verb};

use super::dates;

/// A score: a whole number, or `INFINITY` with or without a sign.
pub(super) fn score(text: &str) -> Option<Score> {
    let text = text.trim();
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if size.eq_ignore_ascii_case("infinity") {
        return Some(if negative { Score::NEVER } else { Score::INFINITY });
    }
    let size = i64::try_from(count(size)?).unwrap_or(i64::MAX);
    Some(Score::new(if negative { -size } else { size }))
}

/// A whole number without a sign; one that is too large becomes the largest there is.
pub(super) fn count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// On or off.
pub(super) fn switch(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
    if is(&["true", "on", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "off", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A length of time in milliseconds: `10`, `10s`, `1min`, `500ms`, `2h`, `PT1M`.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.starts_with('P') {
        // Some write `P10S` for ten seconds.
        let with_time = text.replacen('P', "PT", 1);
        let period = dates::period(text).or_else(|| dates::period(&with_time))?;
        return u64::try_from(period.after(0)).ok()?.checked_mul(1000);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let size = count(&text[..digits])?;
    let unit = text[digits..].trim_start();
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(unit));
    let factor = if is(&["", "s", "sec"]) {
        1000
    } else if is(&["ms", "msec"]) {
        1
    } else if is(&["us", "usec"]) {
        return Some(size / 1000);
    } else if is(&["m", "min"]) {
        60_000
    } else if is(&["h", "hr"]) {
        3_600_000
    } else {
        return None;
    };
    size.checked_mul(factor)
}

/// A role, under its present name or the one it had.
pub(super) fn role(text: &str) -> Option<Role> {
    match text.to_ascii_lowercase().as_str() {
        "stopped" => Some(Role::Stopped),
        "started" => Some(Role::Started),
        "unpromoted" | "slave" => Some(Role::Unpromoted),
        "promoted" | "master" => Some(Role::Promoted),
        _ => None,
    }
}

/// What is done with a resource.
pub(super) fn verb(text: &str) -> Option<Verb> {
    match text {
        "start" => Some(Verb::Start),
        "stop" => Some(Verb::Stop),
        "promote" => Some(Verb::Promote),
        "demote" => Some(Verb::Demote),
        _ => None,
    }
}

/// How strict an order is.
pub(super) fn order_kind(text: &str) -> Option<OrderKind> {
    match text.to_ascii_lowercase().as_str() {
        "optional" => Some(OrderKind::Optional),
        "mandatory" => Some(OrderKind::Mandatory),
        "serialize" => Some(OrderKind::Serialize),
        _ => None,
    }
}

/// Where a resource is looked for.
pub(super) fn discovery(text: &str) -> Option<Discovery> {
    match text.to_ascii_lowercase().as_str() {
        "always" => Some(Discovery::Always),
        "never" => Some(Discovery::Never),
        "exclusive" => Some(Discovery::Exclusive),
        _ => None,
    }
}

/// What happens when a ticket is lost.
pub(super) fn loss_policy(text: &str) -> Option<LossPolicy> {
    match text.to_ascii_lowercase().as_str() {
        "stop" => Some(LossPolicy::Stop),
        "demote" => Some(LossPolicy::Demote),
        "fence" => Some(LossPolicy::Fence),
        "freeze" => Some(LossPolicy::Freeze),
        _ => None,
    }
}

/// Names of options that have changed, each with the one it has now.
const RENAMED: [(&str, &str); 14] = [
    ("stonith-enabled", "fencing-enabled"),
    ("stonith_enabled", "fencing-enabled"),
    ("stonith-action", "fencing-action"),
    ("stonith_action", "fencing-action"),
    ("stonith-timeout", "fencing-timeout"),
    ("stonith-watchdog-timeout", "fencing-watchdog-timeout"),
    ("stonith-max-attempts", "fencing-max-attempts"),
    ("symmetric_cluster", "symmetric-cluster"),
    ("no_quorum_policy", "no-quorum-policy"),
    ("stop_orphan_resources", "stop-removed-resources"),
    ("stop-orphan-resources", "stop-removed-resources"),
    ("stop-orphan-actions", "stop-removed-actions"),
    ("master-max", "promoted-max"),
    ("master-node-max", "promoted-node-max"),
];

/// The present name of an option.
pub(super) fn option_name(name: &str) -> &str {
    RENAMED.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_cut_to_what_can_be_said() {
        for (text, wanted) in [
            ("INFINITY", Some(Score::INFINITY)),
            ("+infinity", Some(Score::INFINITY)),
            ("-INFINITY", Some(Score::NEVER)),
            ("-7", Some(Score::new(-7))),
            ("+7", Some(Score::new(7))),
            ("99999999999999999999999", Some(Score::INFINITY)),
            ("-99999999999999999999999", Some(Score::NEVER)),
            ("red", None),
            ("", None),
            ("--7", None),
        ] {
            assert_eq!(score(text), wanted, "{text}");
        }
    }

    #[test]
    fn intervals_are_read_in_all_their_spellings() {
        for (text, wanted) in [
            ("10", Some(10_000)),
            (" 10s ", Some(10_000)),
            ("10 sec", Some(10_000)),
            ("500ms", Some(500)),
            ("1500us", Some(1)),
            ("1min", Some(60_000)),
            ("2m", Some(120_000)),
            ("2h", Some(7_200_000)),
            ("1HR", Some(3_600_000)),
            ("PT1M", Some(60_000)),
            ("P10S", Some(10_000)),
            ("P1D", Some(86_400_000)),
            ("", None),
            ("soon", None),
            ("10 moons", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(milliseconds(text), wanted, "{text}");
        }
    }

    #[test]
    fn old_names_are_understood() {
        assert_eq!(role("Master"), Some(Role::Promoted));
        assert_eq!(role("slave"), Some(Role::Unpromoted));
        assert_eq!(role("leader"), None);
        assert_eq!(option_name("stonith-enabled"), "fencing-enabled");
        assert_eq!(option_name("batch-limit"), "batch-limit");
        assert_eq!(switch("Yes"), Some(true));
        assert_eq!(switch("maybe"), None);
    }
}
