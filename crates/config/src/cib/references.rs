//! Names that stand for resources: their own, those of templates and tags, and patterns.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::{Regex, RegexBuilder};

use super::reader::{Element, Reader, children, named};

/// More memory than any honest pattern needs.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What names in constraints may mean.
#[derive(Default)]
pub(super) struct Names<'d> {
    resources: BTreeSet<&'d str>,
    bundles: BTreeSet<&'d str>,
    /// Those that are part of no other, in their order.
    top: Vec<&'d str>,
    /// Resources made of a template.
    templates: BTreeMap<&'d str, Vec<&'d str>>,
    tags: BTreeMap<&'d str, Vec<&'d str>>,
    nodes: BTreeSet<&'d str>,
}

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'d> {
    /// One resource.
    One(&'d str),
    /// All resources of a tag or a template.
    Many(Vec<&'d str>),
    /// Nothing.
    Nothing,
}

impl Meaning<'_> {
    /// The resources themselves, however many.
    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Meaning::One(one) => vec![(*one).to_owned()],
            Meaning::Many(many) => many.iter().map(|&one| one.to_owned()).collect(),
            Meaning::Nothing => Vec::new(),
        }
    }
}

impl<'d> Names<'d> {
    /// All names in a configuration.
    pub(super) fn of(reader: &Reader<'d>, configuration: Element<'d>) -> Names<'d> {
        let mut names = Names::default();
        for resources in named(configuration, "resources") {
            for element in children(resources).filter(|element| is_resource(*element)) {
                names.top.extend(element.attribute("id"));
            }
            for element in resources.descendants() {
                names.note_resource(element);
            }
        }
        for nodes in named(configuration, "nodes") {
            names.nodes.extend(children(nodes).filter_map(|node| node.attribute("uname")));
        }
        for tag in named(configuration, "tags").flat_map(|tags| named(tags, "tag")) {
            reader.known(tag, &["id"]);
            reader.known_children(tag, &["obj_ref"]);
            let members = named(tag, "obj_ref").filter_map(|member| member.attribute("id"));
            names.tags.entry(tag.attribute("id").unwrap_or_default()).or_default().extend(members);
        }
        names
    }

    fn note_resource(&mut self, element: Element<'d>) {
        if element.has_tag_name("nvpair") && element.attribute("name") == Some("remote-node") {
            // A guest comes with a connection that nobody wrote down.
            self.resources.extend(element.attribute("value"));
            self.nodes.extend(element.attribute("value"));
        }
        let Some(id) = element.attribute("id") else { return };
        if element.has_tag_name("template") {
            self.templates.entry(id).or_default();
        } else if is_resource(element) {
            self.resources.insert(id);
            if let Some(template) = element.attribute("template") {
                self.templates.entry(template).or_default().push(id);
            }
            if element.has_tag_name("bundle") {
                self.bundles.insert(id);
            }
            if element.attribute("type") == Some("remote") {
                self.nodes.insert(id);
            }
        }
    }

    /// All tags.
    pub(super) fn tags(&self) -> BTreeMap<String, Vec<String>> {
        let owned = |members: &Vec<&str>| members.iter().map(|&member| member.to_owned()).collect();
        self.tags.iter().map(|(&tag, members)| (tag.to_owned(), owned(members))).collect()
    }

    /// What a name in a constraint means.
    pub(super) fn meaning(&self, name: &'d str) -> Meaning<'d> {
        if self.is_resource(name) {
            return Meaning::One(name);
        }
        match self.templates.get(name).or_else(|| self.tags.get(name)) {
            Some(members) => {
                Meaning::Many(members.iter().copied().filter(|member| self.is_resource(member)).collect())
            }
            None => Meaning::Nothing,
        }
    }

    /// Whether a resource has this name: one that was written, an instance of it, or a part of a bundle.
    fn is_resource(&self, name: &str) -> bool {
        let numbered = |text: &str| text.split_once(':').is_some_and(|(id, _)| self.resources.contains(id));
        self.resources.contains(name) || numbered(name) || self.is_in_a_bundle(name)
    }

    fn is_in_a_bundle(&self, name: &str) -> bool {
        // The bundle whose name is a part of this one sorts at or before it, but others may lie between.
        name.match_indices('-').any(|(at, _)| self.bundles.contains(&name[..at]))
    }

    /// Whether a node has this name.
    pub(super) fn is_node(&self, name: &str) -> bool {
        self.nodes.contains(name) || self.is_in_a_bundle(name)
    }

    /// Resources whose names match a pattern, each with what its groups have matched.
    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<(&'d str, Captures)>, String> {
        let (inverted, expression) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let expression = compiled(expression)?;
        let matched = self.top.iter().filter_map(|&name| match expression.captures(name) {
            Some(groups) if !inverted => Some((name, Captures::of(&groups))),
            None if inverted => Some((name, Captures::default())),
            _ => None,
        });
        Ok(matched.collect())
    }
}

fn compiled(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| error.to_string())
}

fn is_resource(element: Element<'_>) -> bool {
    matches!(element.tag_name().name(), "primitive" | "group" | "clone" | "master" | "bundle")
}

/// What the groups of a pattern have matched; the first is the whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Captures(Vec<String>);

impl Captures {
    fn of(groups: &regex_lite::Captures<'_>) -> Captures {
        let groups = groups.iter().take(10);
        Captures(groups.map(|group| group.map_or("", |group| group.as_str()).to_owned()).collect())
    }

    /// A text with `%0` to `%9` replaced by what was matched.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            let digit = rest.peek().and_then(|next| next.to_digit(10)).filter(|_| character == '%');
            match digit {
                Some(number) if !self.0.is_empty() => {
                    rest.next();
                    filled.push_str(self.0.get(number as usize).map_or("", String::as_str));
                }
                _ => filled.push(character),
            }
        }
        filled
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
