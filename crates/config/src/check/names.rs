//! What each name of the file stands for, and which names a list can have.

use std::{cell::Cell, collections::BTreeMap};

use heart_model::WISHES_MAX;

use super::too_many;
use crate::{Code, Mistake, Span, Written, draft::Draft, tree::cut, wishes::Texts, words};

/// How many unknown names are compared with all known ones: after so many, nobody reads the hints.
const COMPARED_MAX: usize = 100;

/// Everything that has a name.
pub(super) struct Names<'d> {
    nodes: BTreeMap<&'d str, Span>,
    units: BTreeMap<&'d str, Unit<'d>>,
    times: BTreeMap<&'d str, Span>,
    compared: Cell<usize>,
}

/// A resource or a group.
#[derive(Clone, Copy)]
pub(super) struct Unit<'d> {
    pub(super) span: Span,
    /// The group that it is, or whose member it is.
    pub(super) group: Option<&'d str>,
}

/// Who says something.
#[derive(Clone, Copy)]
pub(super) struct Speaker<'d> {
    pub(super) name: &'d str,
    /// The group that it is, or whose member it is.
    pub(super) group: Option<&'d str>,
}

/// What a list of names is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nodes,
    /// Resources and groups.
    Units,
    NodesAndUnits,
    Times,
}

impl Takes {
    fn words(self) -> &'static str {
        match self {
            Takes::Nodes => "nodes",
            Takes::Units => "resources and groups",
            Takes::NodesAndUnits => "nodes, resources and groups",
            Takes::Times => "times",
        }
    }
}

/// A name in a list, and what it turned out to be.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) is_node: bool,
}

impl<'d> Names<'d> {
    pub(super) fn of(draft: &'d Draft) -> Names<'d> {
        let nodes = draft.nodes.iter().map(|node| (node.name.value.as_str(), node.name.span)).collect();
        let times = draft.times.iter().map(|time| (time.name.value.as_str(), time.name.span)).collect();
        let mut units: BTreeMap<&str, Unit<'_>> = draft
            .resources
            .iter()
            .map(|one| (one.name.value.as_str(), Unit { span: one.name.span, group: None }))
            .collect();
        for group in &draft.groups {
            let name = group.name.value.as_str();
            for member in group.members.iter().flat_map(|list| &list.value) {
                if let Some(unit) = units.get_mut(member.value.as_str()) {
                    unit.group = Some(name);
                }
            }
        }
        for group in &draft.groups {
            let name = group.name.value.as_str();
            units.entry(name).or_insert(Unit { span: group.name.span, group: Some(name) });
        }
        Names { nodes, units, times, compared: Cell::new(0) }
    }

    pub(super) fn unit(&self, name: &str) -> Option<Unit<'d>> {
        self.units.get(name).copied()
    }

    pub(super) fn is_node(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    pub(super) fn speaker(&self, name: &'d str) -> Speaker<'d> {
        Speaker { name, group: self.unit(name).and_then(|unit| unit.group) }
    }

    /// The names of a list that can stand in it, each once.
    pub(super) fn list(
        &self,
        speaker: Speaker<'_>,
        key: &str,
        takes: Takes,
        list: &Texts,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Named> {
        if let Some(first) = list.value.get(WISHES_MAX) {
            too_many(list.value.len(), WISHES_MAX, &format!("names in `{key}`"), first.span, mistakes);
        }
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        let mut named = Vec::new();
        for written in list.value.iter().take(WISHES_MAX) {
            if let Some(mistake) = self.judge(speaker, key, takes, written) {
                mistakes.push(mistake);
            } else if let Some(first) = seen.insert(&written.value, written.span) {
                mistakes.push(twice(written, key, first));
            } else {
                let is_node = takes != Takes::Units && self.is_node(&written.value);
                named.push(Named { name: written.value.clone(), is_node });
            }
        }
        named
    }

    /// Why a name cannot stand in a list.
    fn judge(
        &self,
        speaker: Speaker<'_>,
        key: &str,
        takes: Takes,
        written: &Written<String>,
    ) -> Option<Mistake> {
        let name = written.value.as_str();
        if takes == Takes::Times {
            return (!self.times.contains_key(name)).then(|| self.unknown(takes, key, written));
        }
        match (takes, self.nodes.get(name), self.unit(name)) {
            (_, None, None) => Some(self.unknown(takes, key, written)),
            (Takes::NodesAndUnits, Some(node), Some(unit)) => Some(ambiguous(written, *node, unit.span)),
            (Takes::Nodes, None, Some(_)) | (Takes::Units, Some(_), None) => {
                Some(wrong_kind(written, key, takes))
            }
            (Takes::Nodes | Takes::NodesAndUnits, Some(_), _) => None,
            (_, _, Some(unit)) => own(speaker, key, written, unit),
            (_, Some(_), None) => None,
        }
    }

    fn unknown(&self, takes: Takes, key: &str, written: &Written<String>) -> Mistake {
        let shown = cut(&written.value, 40);
        let (code, message, label) = match takes {
            Takes::Nodes => {
                (Code::UnknownNode, format!("there is no node `{shown}`"), "no node has this name")
            }
            Takes::Times => (
                Code::UnknownTime,
                format!("there is no time `{shown}`"),
                "no table `[time.…]` has this name",
            ),
            Takes::Units => (
                Code::UnknownName,
                format!("there is no resource and no group `{shown}`, and `{key}` takes these"),
                "no resource or group has this name",
            ),
            Takes::NodesAndUnits => (
                Code::UnknownName,
                format!("there is no node, resource or group `{shown}`"),
                "nothing has this name",
            ),
        };
        let unknown = Mistake::at(code, written.span, message).label(label);
        let compared = self.compared.get();
        self.compared.set(compared + 1);
        if compared < COMPARED_MAX { unknown.hint(self.way_out(takes, &written.value)) } else { unknown }
    }

    /// Which known name was perhaps meant, or which there are.
    fn way_out(&self, takes: Takes, name: &str) -> String {
        let (nodes, units) = (self.nodes.keys().copied(), self.units.keys().copied());
        match takes {
            Takes::Nodes => words::hint_known(name, &nodes.collect::<Vec<_>>(), "node"),
            Takes::NodesAndUnits => words::hint_known(name, &nodes.chain(units).collect::<Vec<_>>(), "name"),
            Takes::Times if self.times.is_empty() => {
                format!("write a table `[time.{}]` with `hours = \"22:00-06:00\"`", cut(name, 40))
            }
            Takes::Times => words::hint_known(name, &self.times.keys().collect::<Vec<_>>(), "time"),
            Takes::Units => {
                let known: Vec<&str> = units.collect();
                match words::meant(name, &known) {
                    Some(word) => format!("did you mean `{word}`?"),
                    None => format!("there are {}", words::list(&known, "and")),
                }
            }
        }
    }
}

fn ambiguous(written: &Written<String>, node: Span, unit: Span) -> Mistake {
    let shown = cut(&written.value, 40);
    Mistake::at(Code::AmbiguousName, written.span, format!("`{shown}` is a node, and something else too"))
        .label("which of the two is meant?")
        .hint("rename one of them")
        .related(node, "the node")
        .related(unit, "the other")
}

fn wrong_kind(written: &Written<String>, key: &str, takes: Takes) -> Mistake {
    let shown = cut(&written.value, 40);
    let (is, hint) = match takes {
        Takes::Nodes => ("not a node", format!("to run where `{shown}` runs, write `with = [\"{shown}\"]`")),
        Takes::Units | Takes::NodesAndUnits | Takes::Times if key == "after" => (
            "a node",
            "nothing waits for a node: name the resources and groups that have to run first".into(),
        ),
        Takes::Units | Takes::NodesAndUnits | Takes::Times => (
            "a node",
            format!(
                "to run on `{shown}` if it can, write `prefers = [\"{shown}\"]`; to run nowhere else, name the \
                 other nodes in `never`"
            ),
        ),
    };
    Mistake::at(
        Code::WrongKind,
        written.span,
        format!("`{shown}` is {is}, and `{key}` takes {}", takes.words()),
    )
    .label(is)
    .hint(hint)
}

/// What names itself, or what its group keeps with it anyway.
fn own(speaker: Speaker<'_>, key: &str, written: &Written<String>, named: Unit<'_>) -> Option<Mistake> {
    let shown = cut(&written.value, 40);
    if written.value == speaker.name {
        let message = format!("`{key}` of `{shown}` names `{shown}` itself");
        let itself = Mistake::at(Code::NamesItself, written.span, message).label("itself");
        return Some(itself.hint("name something else, or remove it"));
    }
    let group = speaker.group.filter(|group| named.group == Some(group))?;
    let (name, group) = (cut(speaker.name, 40), cut(group, 40));
    let message = if speaker.name == group {
        format!("`{key}` of the group `{group}` names its own member `{shown}`")
    } else {
        format!("`{key}` of `{name}` names `{shown}`, of the same group")
    };
    let hint = if key == "after" {
        "members start in the order of `members`: change that order instead"
    } else {
        "members of a group are always together: take one of them out of the group, or remove this"
    };
    let own = Mistake::at(Code::NamesOwnGroup, written.span, message);
    Some(own.label(format!("belongs to the group `{group}`")).hint(hint))
}

fn twice(written: &Written<String>, key: &str, first: Span) -> Mistake {
    let shown = cut(&written.value, 40);
    let (message, hint) = if key == "prefers" {
        (format!("`{shown}` is preferred twice"), "name each node once, the best first")
    } else {
        (format!("`{shown}` stands in `{key}` twice"), "name it once")
    };
    let twice = Mistake::at(Code::ListedTwice, written.span, message).label("again here").hint(hint);
    if key == "prefers" { twice } else { twice.related(first, "first here") }
}
