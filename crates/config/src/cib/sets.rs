//! Sets of named values, each perhaps under a condition.

use std::collections::BTreeMap;

use heart_model::policy::AttributeSet;

use super::{
    reader::{Element, Reader, children, named},
    rules, words,
};

/// All sets of one kind in an element, those referred to as well.
pub(super) fn all<'d>(reader: &Reader<'d>, parent: Element<'d>, kind: &'static str) -> Vec<AttributeSet> {
    let sets = named(parent, kind).filter_map(|set| reader.referred(set));
    sets.map(|set| one(reader, set)).collect()
}

/// One set. Of a name that is there twice, the first value counts.
pub(super) fn one<'d>(reader: &Reader<'d>, set: Element<'d>) -> AttributeSet {
    reader.known(set, &["id", "id-ref", "score"]);
    // What agents and nodes call their parameters is theirs to say.
    let of_the_cluster = set.has_tag_name("cluster_property_set") || set.has_tag_name("meta_attributes");
    let mut values = BTreeMap::new();
    let mut conditions = Vec::new();
    let mut parts: Vec<Element<'d>> = children(set).collect();
    // Before schema 1, values stood in an element of their own.
    let wrapped: Vec<Element<'d>> = parts
        .iter()
        .filter(|part| part.has_tag_name("attributes"))
        .flat_map(|part| children(*part))
        .collect();
    parts.extend(wrapped);
    for part in parts {
        match part.tag_name().name() {
            "nvpair" => value(reader, part, of_the_cluster, &mut values),
            "rule" => conditions.extend(rules::condition(reader, part)),
            "attributes" => {}
            _ => reader.unknown(part),
        }
    }
    if conditions.len() > 1 {
        reader.note(set, "the set has several rules; only the first counts");
    }
    AttributeSet {
        id: set.attribute("id").unwrap_or_default().to_owned(),
        score: reader.parsed(set, "score", "a score", words::score).unwrap_or_default(),
        rule: conditions.into_iter().next(),
        values,
    }
}

fn value<'d>(
    reader: &Reader<'d>,
    pair: Element<'d>,
    of_the_cluster: bool,
    values: &mut BTreeMap<String, String>,
) {
    reader.known(pair, &["id", "id-ref", "name", "value"]);
    let Some(referred) = reader.referred(pair) else { return };
    // A reference may give the value another name.
    let Some(name) = pair.attribute("name").or_else(|| referred.attribute("name")) else {
        reader.note(pair, "a value has no name; it is left out");
        return;
    };
    // A name without a value is as if it were not there.
    if let Some(value) = referred.attribute("value") {
        let name = if of_the_cluster { words::option_name(name) } else { name };
        values.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
}

/// The attributes of an element as a set of values, but for those that mean something else.
pub(super) fn of_attributes(element: Element<'_>, without: &[&str]) -> AttributeSet {
    let attributes = element.attributes().filter(|attribute| !without.contains(&attribute.name()));
    AttributeSet {
        id: element.attribute("id").unwrap_or_default().to_owned(),
        values: attributes
            .map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()))
            .collect(),
        ..AttributeSet::default()
    }
}
