//! Rules: conditions, alone or with a score.

use std::collections::BTreeMap;

use heart_model::policy::{
    Combine, Compare, DateSpec, Rule, ScoredRule, Span, Test, ValueSource, ValueType, calendar::Period,
};

use super::{
    dates,
    reader::{Element, Reader, children, named},
    words,
};

/// Rules in rules in rules: no deeper than this.
const DEPTH_MAX: usize = 32;

/// A rule as a condition; none if it refers to one that is not there.
pub(super) fn condition<'d>(reader: &Reader<'d>, rule: Element<'d>) -> Option<Rule> {
    reader.referred(rule).map(|rule| nested(reader, rule, 0))
}

/// A rule that gives a score, for a location.
pub(super) fn scored<'d>(reader: &Reader<'d>, rule: Element<'d>) -> Option<ScoredRule> {
    let rule = reader.referred(rule)?;
    let score_attribute =
        rule.attribute("score-attribute").or_else(|| rule.attribute("score-attribute-mangled"));
    if !rule.has_attribute("score") && score_attribute.is_none() {
        reader.note(rule, "the rule has no score; it counts as 0");
    }
    Some(ScoredRule {
        rule: nested(reader, rule, 0),
        score: reader.parsed(rule, "score", "a score", words::score).unwrap_or_default(),
        score_attribute: score_attribute.map(str::to_owned),
        role: reader.parsed(rule, "role", "a role", words::role),
    })
}

fn nested<'d>(reader: &Reader<'d>, rule: Element<'d>, depth: usize) -> Rule {
    let known = ["id", "id-ref", "score", "score-attribute", "score-attribute-mangled", "boolean-op", "role"];
    reader.known(rule, &known);
    let combine = |text: &str| match text.to_ascii_lowercase().as_str() {
        "and" => Some(Combine::All),
        "or" => Some(Combine::Any),
        _ => None,
    };
    let test = |part: Element<'d>| match part.tag_name().name() {
        "expression" => Some(attribute(reader, part)),
        "date_expression" => Some(date(reader, part)),
        "rsc_expression" => Some(agent(reader, part)),
        "op_expression" => Some(operation(reader, part)),
        "rule" if depth < DEPTH_MAX => {
            let rule = reader.referred(part)?;
            Some(Test::Rule(Box::new(nested(reader, rule, depth + 1))))
        }
        "rule" => {
            reader.note(part, "rules are nested too deep; this one never holds");
            Some(Test::Never)
        }
        _ => {
            reader.unknown(part);
            None
        }
    };
    Rule {
        id: rule.attribute("id").unwrap_or_default().to_owned(),
        combine: reader.parsed(rule, "boolean-op", "`and` or `or`", combine).unwrap_or_default(),
        tests: children(rule).filter_map(test).collect(),
    }
}

/// What a node says of itself.
fn attribute<'d>(reader: &Reader<'d>, expression: Element<'d>) -> Test {
    reader.known(expression, &["id", "attribute", "operation", "value", "type", "value-source"]);
    let compare = |text: &str| {
        Some(match text {
            "lt" => Compare::Less,
            "lte" => Compare::AtMost,
            "gt" => Compare::More,
            "gte" => Compare::AtLeast,
            "eq" => Compare::Equal,
            "ne" => Compare::NotEqual,
            "defined" => Compare::Defined,
            "not_defined" => Compare::NotDefined,
            _ => return None,
        })
    };
    let value_type = |text: &str| {
        Some(match text {
            "string" => ValueType::Text,
            "integer" => ValueType::Integer,
            "number" => ValueType::Number,
            "version" => ValueType::Version,
            _ => return None,
        })
    };
    let source = |text: &str| {
        Some(match text {
            "literal" => ValueSource::Literal,
            "param" => ValueSource::Parameter,
            "meta" => ValueSource::Meta,
            _ => return None,
        })
    };
    let compare = reader.parsed(expression, "operation", "a comparison", compare);
    let (Some(name), Some(compare)) = (expression.attribute("attribute"), compare) else {
        reader.note(expression, "it is not said what is compared, or how; it never holds");
        return Test::Never;
    };
    Test::Attribute {
        name: name.to_owned(),
        compare,
        value: expression.attribute("value").map(str::to_owned),
        source: reader.parsed(expression, "value-source", "a source of values", source).unwrap_or_default(),
        value_type: reader.parsed(expression, "type", "a type", value_type).unwrap_or_default(),
    }
}

fn agent<'d>(reader: &Reader<'d>, expression: Element<'d>) -> Test {
    reader.known(expression, &["id", "class", "provider", "type"]);
    let text = |name| expression.attribute(name).map(str::to_owned);
    Test::Agent { class: text("class"), provider: text("provider"), agent_type: text("type") }
}

fn operation<'d>(reader: &Reader<'d>, expression: Element<'d>) -> Test {
    reader.known(expression, &["id", "name", "interval"]);
    let Some(name) = expression.attribute("name") else {
        reader.note(expression, "it is not said which operation is meant; it never holds");
        return Test::Never;
    };
    let every_ms = reader.parsed(expression, "interval", "a length of time", words::milliseconds);
    if expression.has_attribute("interval") && every_ms.is_none() {
        return Test::Never;
    }
    Test::Operation { name: name.to_owned(), every_ms }
}

/// A span of time, or parts of a date.
fn date<'d>(reader: &Reader<'d>, expression: Element<'d>) -> Test {
    reader.known(expression, &["id", "operation", "start", "end"]);
    reader.known_children(expression, &["duration", "date_spec"]);
    let end = |name| reader.parsed(expression, name, "a date", dates::date);
    let span = match expression.attribute("operation").unwrap_or("in_range") {
        "lt" => end("end").map(|until| Span { from: None, until: Some(until), open: true }),
        "gt" => end("start").map(|from| Span { from: Some(from), until: None, open: true }),
        "in_range" => span(reader, expression),
        "date_spec" => {
            let spec = named(expression, "date_spec").find_map(|spec| reader.referred(spec));
            if let Some(spec) = spec {
                return Test::DateParts(parts(reader, spec));
            }
            None
        }
        other => {
            reader.note_at(expression, "operation", format!("`{other}` is no comparison of dates"));
            None
        }
    };
    span.map_or_else(
        || {
            reader.note(expression, "it is not said with what the time is compared; it never holds");
            Test::Never
        },
        Test::Date,
    )
}

fn span<'d>(reader: &Reader<'d>, expression: Element<'d>) -> Option<Span> {
    let end = |name| reader.parsed(expression, name, "a date", dates::date);
    let (from, until) = (end("start"), end("end"));
    let unreadable = |name, value: Option<i64>| expression.has_attribute(name) && value.is_none();
    if unreadable("start", from) || unreadable("end", until) {
        return None;
    }
    let length = || {
        let length = named(expression, "duration").find_map(|length| reader.referred(length))?;
        Some(duration(reader, length))
    };
    let until = until.or_else(|| length().zip(from).map(|(length, from)| length.after(from)));
    (from.is_some() || until.is_some()).then_some(Span { from, until, open: false })
}

fn duration<'d>(reader: &Reader<'d>, duration: Element<'d>) -> Period {
    let mut sum = Period::default();
    for attribute in duration.attributes().filter(|attribute| !matches!(attribute.name(), "id" | "id-ref")) {
        let count = attribute.value().trim().parse().ok();
        match count.and_then(|count| dates::named_period(attribute.name(), count)) {
            Some(part) => sum = sum.and(part),
            None => reader.note_at(duration, attribute.name(), "this is no part of a length of time"),
        }
    }
    sum
}

fn parts<'d>(reader: &Reader<'d>, spec: Element<'d>) -> DateSpec {
    let mut parts = BTreeMap::new();
    for attribute in spec.attributes().filter(|attribute| !matches!(attribute.name(), "id" | "id-ref")) {
        let names = [
            "years",
            "months",
            "monthdays",
            "hours",
            "minutes",
            "seconds",
            "yeardays",
            "weekyears",
            "weeks",
            "weekdays",
        ];
        if !names.contains(&attribute.name()) {
            reader.note_at(spec, attribute.name(), "this is no part of a date; it does not count");
            continue;
        }
        let range = range(attribute.value()).unwrap_or_else(|| {
            reader.note_at(spec, attribute.name(), "this is no range of numbers; it never holds");
            (Some(1), Some(0))
        });
        parts.insert(attribute.name().to_owned(), range);
    }
    DateSpec { parts }
}

/// `9`, `9-16`, `9-`, `-16`.
fn range(text: &str) -> Option<(Option<u32>, Option<u32>)> {
    let number = |text: &str| text.trim().parse().ok();
    match text.trim().split_once('-') {
        None => number(text).map(|only| (Some(only), Some(only))),
        Some(("", last)) => number(last).map(|last| (None, Some(last))),
        Some((first, "")) => number(first).map(|first| (Some(first), None)),
        Some((first, last)) => Some((Some(number(first)?), Some(number(last)?))),
    }
}
