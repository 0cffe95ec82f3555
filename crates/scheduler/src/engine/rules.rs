//! Rules: whether a condition holds, and which values follow from it.
//!
//! A rule asks for what the [`Context`] has: the time, a node, a resource, an operation. What it asks for
//! and the context has not, does not hold; only that an attribute is *not* there, or is *not* this, can be
//! said of a node that has none. Where nobody speaks of a node at all, nothing about attributes holds.
//!
//! Values come in sets. Sets of a higher score are asked first, and the first value of a name stays.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::cmp::{Ordering, Reverse};

use heart_model::policy::{
    AgentName, AttributeSet, Combine, Compare, DateSpec, Rule, Span, Test, ValueSource, ValueType,
    calendar::{self, Moment},
};

/// How an attribute of a node is asked for.
pub(crate) type Ask<'c> = &'c dyn Fn(&str) -> Option<String>;

/// What a rule can ask for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Context<'c> {
    /// The time: seconds since 1970.
    pub(crate) now: Option<i64>,
    /// The attributes of the node that is spoken of, `#uname` and the like included.
    pub(crate) attribute: Option<Ask<'c>>,
    /// The agent of the resource that is spoken of.
    pub(crate) agent: Option<&'c AgentName>,
    /// The operation that is spoken of: its name, and how often it recurs in milliseconds.
    pub(crate) operation: Option<(&'c str, u64)>,
    /// The parameters of the resource that is spoken of.
    pub(crate) parameters: Option<&'c BTreeMap<String, String>>,
    /// The options of the resource that is spoken of.
    pub(crate) meta: Option<&'c BTreeMap<String, String>>,
}

/// A value that takes back what sets of a higher score said.
const TAKEN_BACK: &str = "#default";

/// Whether a rule holds.
pub(crate) fn holds(rule: &Rule, context: &Context<'_>) -> bool {
    let mut tests = rule.tests.iter();
    match rule.combine {
        Combine::All => tests.all(|test| test_holds(test, context)),
        Combine::Any => tests.any(|test| test_holds(test, context)),
    }
}

/// All values of sets that apply: sets of higher score first, the first value of a name wins.
pub(crate) fn values(sets: &[AttributeSet], context: &Context<'_>) -> BTreeMap<String, String> {
    let values = chosen(sets, context).into_iter();
    values.map(|(name, value)| (String::from(name), String::from(value))).collect()
}

/// The same, to be looked at.
pub(crate) fn chosen<'s>(sets: &'s [AttributeSet], context: &Context<'_>) -> BTreeMap<&'s str, &'s str> {
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in that_apply(sets, context).into_iter().flat_map(|set| &set.values) {
        if value.eq_ignore_ascii_case(TAKEN_BACK) {
            values.remove(name.as_str());
        } else {
            values.entry(name).or_insert(value);
        }
    }
    values
}

/// One of them.
pub(crate) fn value<'s>(sets: &'s [AttributeSet], context: &Context<'_>, name: &str) -> Option<&'s str> {
    let said = that_apply(sets, context).into_iter().filter_map(|set| set.values.get(name));
    said.fold(None, |value, said| match said.eq_ignore_ascii_case(TAKEN_BACK) {
        true => None,
        false => value.or(Some(said)),
    })
}

fn that_apply<'s>(sets: &'s [AttributeSet], context: &Context<'_>) -> Vec<&'s AttributeSet> {
    let applies = |set: &&AttributeSet| set.rule.as_ref().is_none_or(|rule| holds(rule, context));
    let mut sets: Vec<&AttributeSet> = sets.iter().filter(applies).collect();
    sets.sort_by_key(|set| Reverse(set.score));
    sets
}

/// The next time after `now` at which the answer of a rule may change.
pub(crate) fn next_change(rule: &Rule, now: i64) -> Option<i64> {
    let change = |test: &Test| match test {
        Test::Rule(rule) => next_change(rule, now),
        Test::Date(span) => change_of_span(*span, now),
        Test::DateParts(parts) => change_of_parts(parts, now),
        Test::Attribute { .. } | Test::Agent { .. } | Test::Operation { .. } | Test::Never => None,
    };
    rule.tests.iter().filter_map(change).min()
}

fn test_holds(test: &Test, context: &Context<'_>) -> bool {
    match test {
        Test::Rule(rule) => holds(rule, context),
        Test::Attribute { name, compare, value, source, value_type } => {
            let Some(attribute) = context.attribute else { return false };
            let found = attribute(name);
            let wanted = value.as_ref().and_then(|value| match source {
                ValueSource::Literal => Some(value),
                ValueSource::Parameter => context.parameters?.get(value),
                ValueSource::Meta => context.meta?.get(value),
            });
            compares(found.as_deref(), *compare, wanted.map(String::as_str), *value_type)
        }
        Test::Date(span) => context.now.is_some_and(|now| lies_in(*span, now)),
        Test::DateParts(parts) => context.now.is_some_and(|now| has_parts(parts, now)),
        Test::Agent { class, provider, agent_type } => context.agent.is_some_and(|agent| {
            is_or_open(class, Some(&agent.class))
                && is_or_open(provider, agent.provider.as_ref())
                && is_or_open(agent_type, Some(&agent.agent_type))
        }),
        Test::Operation { name, every_ms } => context
            .operation
            .is_some_and(|(actual, every)| name == actual && every_ms.is_none_or(|wanted| wanted == every)),
        Test::Never => false,
    }
}

fn is_or_open(wanted: &Option<String>, found: Option<&String>) -> bool {
    wanted.is_none() || wanted.as_ref() == found
}

/// Whether what was found compares so with what is wanted. What is not there comes before everything else
/// when it is asked for sameness, and nowhere when it is asked for order.
fn compares(found: Option<&str>, compare: Compare, wanted: Option<&str>, value_type: ValueType) -> bool {
    let order = match (found, wanted) {
        (Some(found), Some(wanted)) => {
            Some(order_of(found, wanted, type_of(value_type, compare, found, wanted)))
        }
        (None, Some(_) | None) | (Some(_), None) => None,
    };
    let both_missing = found.is_none() && wanted.is_none();
    match compare {
        Compare::Defined => found.is_some(),
        Compare::NotDefined => found.is_none(),
        Compare::Equal => both_missing || order == Some(Ordering::Equal),
        Compare::NotEqual => !both_missing && order != Some(Ordering::Equal),
        Compare::Less => order.is_some_and(Ordering::is_lt),
        Compare::AtMost => order.is_some_and(Ordering::is_le),
        Compare::More => order.is_some_and(Ordering::is_gt),
        Compare::AtLeast => order.is_some_and(Ordering::is_ge),
    }
}

/// As what two values are read, if it was not said: what is put in order is a number, all else is text.
fn type_of(value_type: ValueType, compare: Compare, one: &str, other: &str) -> ValueType {
    if value_type != ValueType::Any {
        return value_type;
    }
    match compare {
        Compare::Less | Compare::AtMost | Compare::More | Compare::AtLeast => {
            if one.contains('.') || other.contains('.') { ValueType::Number } else { ValueType::Integer }
        }
        Compare::Equal | Compare::NotEqual | Compare::Defined | Compare::NotDefined => ValueType::Text,
    }
}

fn order_of(one: &str, other: &str, value_type: ValueType) -> Ordering {
    let as_numbers = match value_type {
        ValueType::Any | ValueType::Text => None,
        ValueType::Integer => integer(one).zip(integer(other)).map(|(one, other)| one.cmp(&other)),
        ValueType::Number => number(one).zip(number(other)).map(|(one, other)| one.cmp(&other)),
        ValueType::Version => Some(order_of_versions(one, other)),
    };
    as_numbers.unwrap_or_else(|| order_of_texts(one, other))
}

/// As text, capitals or not.
fn order_of_texts(one: &str, other: &str) -> Ordering {
    let lower = |text: &str| -> Vec<u8> { text.bytes().map(|byte| byte.to_ascii_lowercase()).collect() };
    lower(one).cmp(&lower(other))
}

/// The whole number with which a text begins.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = leading_digits(digits);
    let add = |sum: i64, digit: u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    (!digits.is_empty()).then(|| digits.bytes().fold(0, add) * sign)
}

/// The number with which a text begins, in parts of a millionth of a millionth.
fn number(text: &str) -> Option<i128> {
    const PLACES: usize = 12;
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let whole = leading_digits(digits);
    let rest = &digits[whole.len()..];
    let part = rest.strip_prefix('.').map_or("", leading_digits);
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let part_digits = part.bytes().chain(core::iter::repeat(b'0')).take(PLACES);
    let add = |sum: i128, digit: u8| sum.saturating_mul(10).saturating_add(i128::from(digit - b'0'));
    let size = whole.bytes().chain(part_digits).fold(0, add);
    let behind = &rest[if part.is_empty() { 0 } else { part.len() + 1 }..];
    let exponent = behind.strip_prefix(['e', 'E']).and_then(integer).unwrap_or(0).clamp(-40, 40);
    let scaled = (0..exponent.unsigned_abs()).fold(size, |size, _| match exponent > 0 {
        true => size.saturating_mul(10),
        false => size / 10,
    });
    Some(scaled * sign)
}

fn leading_digits(text: &str) -> &str {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit());
    &text[..end.unwrap_or(text.len())]
}

/// Part by part; a part that is missing counts as nothing.
fn order_of_versions(one: &str, other: &str) -> Ordering {
    let parts =
        |version: &str| -> Vec<i64> { version.split('.').map(|part| integer(part).unwrap_or(0)).collect() };
    let (mut one, mut other) = (parts(one), parts(other));
    let length = one.len().max(other.len());
    one.resize(length, 0);
    other.resize(length, 0);
    one.cmp(&other)
}

fn lies_in(span: Span, now: i64) -> bool {
    let in_order = |one: i64, other: i64| one < other || (one == other && !span.open);
    span.from.is_none_or(|from| in_order(from, now)) && span.until.is_none_or(|until| in_order(now, until))
}

fn change_of_span(span: Span, now: i64) -> Option<i64> {
    let begins = span.from.map(|from| if span.open { from.saturating_add(1) } else { from });
    let is_over = span.until.map(|until| if span.open { until } else { until.saturating_add(1) });
    [begins, is_over].into_iter().flatten().filter(|&at| at > now).min()
}

/// Parts of a date, from the coarsest to the finest, each with how long it stays the same at least.
const PARTS: [(&str, i64); 10] = [
    ("years", calendar::DAY),
    ("weekyears", calendar::DAY),
    ("months", calendar::DAY),
    ("weeks", calendar::DAY),
    ("monthdays", calendar::DAY),
    ("yeardays", calendar::DAY),
    ("weekdays", calendar::DAY),
    ("hours", 3600),
    ("minutes", 60),
    ("seconds", 1),
];

fn part_of(name: &str, moment: Moment) -> Option<i64> {
    let day = moment.day_number();
    Some(match name {
        "years" => moment.year,
        "weekyears" => calendar::week(day).0,
        "months" => i64::from(moment.month),
        "weeks" => i64::from(calendar::week(day).1),
        "monthdays" => i64::from(moment.day),
        "yeardays" => i64::from(moment.day_of_year()),
        "weekdays" => i64::from(calendar::weekday(day)),
        "hours" => i64::from(moment.hour),
        "minutes" => i64::from(moment.minute),
        "seconds" => i64::from(moment.second),
        _ => return None,
    })
}

fn has_parts(parts: &DateSpec, now: i64) -> bool {
    let moment = Moment::of(now);
    parts.parts.iter().all(|(name, &(first, last))| {
        part_of(name, moment).is_some_and(|value| {
            first.is_none_or(|first| value >= i64::from(first))
                && last.is_none_or(|last| value <= i64::from(last))
        })
    })
}

/// Goes from one change of the finest part to the next until the answer is another one. After so many
/// steps it gives up and names the time that it has reached: it is looked again then.
fn change_of_parts(parts: &DateSpec, now: i64) -> Option<i64> {
    const STEPS: u32 = 400;
    let of_interest = |&&(name, _): &&(&str, i64)| parts.parts.contains_key(name);
    let (_, step) = PARTS.iter().rfind(of_interest)?;
    let today = has_parts(parts, now);
    let mut at = now;
    for _ in 0..STEPS {
        at = at.div_euclid(*step).saturating_add(1).checked_mul(*step)?;
        if has_parts(parts, at) != today {
            break;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use alloc::{boxed::Box, string::ToString, vec};

    use heart_model::policy::Score;

    use super::*;

    fn rule(combine: Combine, tests: Vec<Test>) -> Rule {
        Rule { id: "rule".to_string(), combine, tests }
    }

    fn parts(named: &[(&str, Option<u32>, Option<u32>)]) -> DateSpec {
        DateSpec {
            parts: named.iter().map(|&(name, first, last)| (name.to_string(), (first, last))).collect(),
        }
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        use Compare::{AtLeast, AtMost, Defined, Equal, Less, More, NotDefined, NotEqual};
        use ValueType::{Any, Integer, Number, Text, Version};
        for (found, compare, wanted, as_type, answer) in [
            (Some("Yes"), Equal, Some("yes"), Any, true),
            (Some("9"), Less, Some("10"), Any, true),
            (Some("9"), Less, Some("10"), Text, false),
            (Some("9.5"), Less, Some("10"), Any, true),
            (Some("-1.5"), Less, Some("-1.25"), Number, true),
            (Some("1e3"), Equal, Some("1000.0"), Number, true),
            (Some("010"), Equal, Some("10"), Integer, true),
            (Some("010"), Equal, Some("10"), Any, false),
            (Some("1.10"), More, Some("1.9"), Version, true),
            (Some("1.10"), More, Some("1.9"), Any, false),
            (Some("2.0"), Equal, Some("2"), Version, true),
            (Some("abc"), More, Some("10"), Integer, true),
            (None, Equal, Some("x"), Any, false),
            (None, NotEqual, Some("x"), Any, true),
            (None, Less, Some("1"), Any, false),
            (None, AtLeast, Some("1"), Any, false),
            (None, NotDefined, None, Any, true),
            (Some(""), Defined, None, Any, true),
            (Some("3"), AtMost, Some("3"), Any, true),
        ] {
            assert_eq!(compares(found, compare, wanted, as_type), answer, "{found:?} {compare:?} {wanted:?}");
        }
    }

    #[test]
    fn without_a_node_nothing_about_attributes_holds() {
        let test = |compare| Test::Attribute {
            name: "color".to_string(),
            compare,
            value: Some("red".to_string()),
            source: ValueSource::Literal,
            value_type: ValueType::Any,
        };
        let none: &dyn Fn(&str) -> Option<String> = &|_| None;
        let on_a_node = Context { attribute: Some(none), ..Context::default() };
        for compare in [Compare::Equal, Compare::NotEqual, Compare::NotDefined, Compare::Defined] {
            assert!(!holds(&rule(Combine::All, vec![test(compare)]), &Context::default()), "{compare:?}");
        }
        assert!(holds(&rule(Combine::All, vec![test(Compare::NotEqual)]), &on_a_node));
        assert!(holds(&rule(Combine::All, vec![]), &Context::default()));
        assert!(!holds(&rule(Combine::Any, vec![]), &Context::default()));
    }

    #[test]
    fn what_is_wanted_may_come_from_the_resource() {
        let color: &dyn Fn(&str) -> Option<String> = &|name| (name == "color").then(|| "red".to_string());
        let parameters = BTreeMap::from([("paint".to_string(), "red".to_string())]);
        let context = Context { attribute: Some(color), parameters: Some(&parameters), ..Context::default() };
        let test = |source| Test::Attribute {
            name: "color".to_string(),
            compare: Compare::Equal,
            value: Some("paint".to_string()),
            source,
            value_type: ValueType::Any,
        };
        assert!(test_holds(&test(ValueSource::Parameter), &context));
        assert!(!test_holds(&test(ValueSource::Meta), &context));
        assert!(!test_holds(&test(ValueSource::Literal), &context));
    }

    #[test]
    fn the_first_value_of_the_highest_set_stays() {
        let set = |score: i64, holds: bool, values: &[(&str, &str)]| AttributeSet {
            id: "set".to_string(),
            score: Score::new(score),
            rule: (!holds).then(|| rule(Combine::Any, vec![])),
            values: values.iter().map(|&(name, value)| (name.to_string(), value.to_string())).collect(),
        };
        let sets = [
            set(1, true, &[("a", "low"), ("b", "low")]),
            set(5, true, &[("a", "high"), ("c", "high")]),
            set(9, false, &[("a", "never")]),
            set(0, true, &[("c", "#default")]),
        ];
        let wanted = [("a", "high"), ("b", "low")];
        let wanted = wanted.map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(values(&sets, &Context::default()), BTreeMap::from(wanted));
    }

    #[test]
    fn the_end_of_a_span_is_inside_unless_it_is_open() {
        let closed = Span { from: Some(10), until: Some(20), open: false };
        let open = Span { open: true, ..closed };
        for (now, in_closed, in_open) in
            [(9, false, false), (10, true, false), (11, true, true), (20, true, false), (21, false, false)]
        {
            assert_eq!((lies_in(closed, now), lies_in(open, now)), (in_closed, in_open), "{now}");
        }
        // Every change is foretold, and nothing changes before.
        for span in [closed, open] {
            let mut at = 0;
            while let Some(next) = change_of_span(span, at) {
                assert!((at..next).all(|now| lies_in(span, now) == lies_in(span, at)));
                assert_ne!(lies_in(span, next), lies_in(span, at));
                at = next;
            }
            assert_eq!(at, if span.open { 20 } else { 21 });
        }
    }

    #[test]
    fn office_hours_begin_and_end_when_they_should() {
        let office = parts(&[("weekdays", Some(1), Some(5)), ("hours", Some(9), Some(16))]);
        let at = |day, hour| Moment { year: 2026, month: 7, day, hour, minute: 30, second: 0 }.seconds();
        // 24 July 2026 is a Friday.
        for (day, hour, answer) in
            [(24, 8, false), (24, 9, true), (24, 16, true), (24, 17, false), (25, 10, false)]
        {
            assert_eq!(has_parts(&office, at(day, hour)), answer, "{day} {hour}");
        }
        let boundary = |day, hour| at(day, hour) - 1800;
        assert_eq!(change_of_parts(&office, at(24, 12)), Some(boundary(24, 17)));
        assert_eq!(change_of_parts(&office, at(24, 17)), Some(boundary(27, 9)));
        let both = rule(
            Combine::Any,
            vec![
                Test::DateParts(office),
                Test::Rule(Box::new(rule(
                    Combine::All,
                    vec![Test::Date(Span { from: Some(at(24, 13)), until: None, open: false })],
                ))),
            ],
        );
        assert_eq!(next_change(&both, at(24, 12)), Some(at(24, 13)));
        assert_eq!(next_change(&rule(Combine::All, vec![Test::Never]), 0), None);
    }

    #[test]
    fn weeks_and_open_ranges_are_understood() {
        let new_year = Moment { year: 2005, month: 1, day: 1, hour: 0, minute: 0, second: 0 }.seconds();
        for (name, first, last, answer) in [
            ("weeks", Some(53), Some(53), true),
            ("weekyears", Some(2004), Some(2004), true),
            ("years", Some(2005), None, true),
            ("yeardays", None, Some(1), true),
            ("monthdays", Some(2), None, false),
            ("moons", None, None, false),
        ] {
            assert_eq!(has_parts(&parts(&[(name, first, last)]), new_year), answer, "{name}");
        }
    }
}
