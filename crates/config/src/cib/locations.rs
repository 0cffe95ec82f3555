//! Where things may run.

use heart_model::policy::{Constraint, Location, Role, Rule, Score, ScoredRule, Test, Where};

use super::{
    reader::{Element, Reader, named},
    references::{Captures, Meaning, Names},
    rules, words,
};

/// One resource that a location speaks of.
struct Subject {
    resource: String,
    /// What its set says.
    role: Option<Role>,
    score: Option<Score>,
    /// What the pattern found in its name.
    captures: Captures,
}

/// One location, for each resource that it speaks of.
pub(super) fn read<'d>(
    reader: &Reader<'d>,
    names: &Names<'d>,
    element: Element<'d>,
    into: &mut Vec<Constraint>,
) {
    reader.known(
        element,
        &[
            "id",
            "rsc",
            "rsc-pattern",
            "node",
            "score",
            "role",
            "resource-discovery",
            "rsc-discovery",
            "description",
        ],
    );
    reader.known_children(element, &["rule", "resource_set", "lifetime"]);
    let discovery = |name| reader.parsed(element, name, "a way to look for resources", words::discovery);
    let discovery =
        discovery("resource-discovery").or_else(|| discovery("rsc-discovery")).unwrap_or_default();
    let role = reader.parsed(element, "role", "a role", words::role);
    let score = reader.parsed(element, "score", "a score", words::score);
    let rules: Vec<ScoredRule> =
        named(element, "rule").filter_map(|rule| rules::scored(reader, rule)).collect();
    let node = element.attribute("node");
    if node.is_none() && rules.is_empty() {
        reader.note(element, "the location says not where; it is left out");
        return;
    }
    if let Some(node) = node.filter(|node| !names.is_node(node)) {
        reader.note_at(element, "node", format!("there is no node `{node}`"));
    }
    let id = element.attribute("id").unwrap_or_default();
    for subject in subjects(reader, names, element) {
        let at = match node {
            Some(node) => {
                Where::Node { node: node.to_owned(), score: subject.score.or(score).unwrap_or_default() }
            }
            None => Where::Rules(rules.iter().map(|rule| filled(rule, &subject.captures)).collect()),
        };
        into.push(Constraint::Location(Location {
            id: id.to_owned(),
            resource: subject.resource,
            at,
            role: subject.role.or(role),
            discovery,
        }));
    }
}

/// The resources that a location speaks of.
fn subjects<'d>(reader: &Reader<'d>, names: &Names<'d>, element: Element<'d>) -> Vec<Subject> {
    let plain =
        |resource: String| Subject { resource, role: None, score: None, captures: Captures::default() };
    if let Some(name) = element.attribute("rsc") {
        let meaning = names.meaning(name);
        if meaning == Meaning::Nothing {
            reader.note_at(
                element,
                "rsc",
                format!("there is no resource `{name}`; the location is left out"),
            );
        }
        return meaning.list().into_iter().map(plain).collect();
    }
    if let Some(pattern) = element.attribute("rsc-pattern") {
        return match names.matching(pattern) {
            Ok(found) => found
                .into_iter()
                .map(|(resource, captures)| Subject { captures, ..plain(resource.to_owned()) })
                .collect(),
            Err(error) => {
                let message = format!("`{pattern}` is no pattern, and the location is left out: {error}");
                reader.note_at(element, "rsc-pattern", message);
                Vec::new()
            }
        };
    }
    let mut subjects = Vec::new();
    for set in named(element, "resource_set").filter_map(|set| reader.referred(set)) {
        let role = reader.parsed(set, "role", "a role", words::role);
        let score = reader.parsed(set, "score", "a score", words::score);
        let members = super::constraints::members(reader, names, set);
        subjects.extend(members.into_iter().map(|resource| Subject { role, score, ..plain(resource) }));
    }
    if subjects.is_empty() {
        reader.note(element, "the location says not of what; it is left out");
    }
    subjects
}

/// A rule with what a pattern found in place of `%0` to `%9`.
fn filled(rule: &ScoredRule, captures: &Captures) -> ScoredRule {
    let mut filled = rule.clone();
    if !captures.is_empty() {
        fill_rule(&mut filled.rule, captures);
        filled.score_attribute = filled.score_attribute.map(|name| captures.fill(&name));
    }
    filled
}

fn fill_rule(rule: &mut Rule, captures: &Captures) {
    for test in &mut rule.tests {
        match test {
            // As deep as they could be read.
            Test::Rule(rule) => fill_rule(rule, captures),
            Test::Attribute { name, .. } => *name = captures.fill(name),
            Test::Date(_)
            | Test::DateParts(_)
            | Test::Agent { .. }
            | Test::Operation { .. }
            | Test::Never => {}
        }
    }
}
