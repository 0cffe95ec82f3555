//! Where, with what and when: each wish by itself. Whether they fit together is for `company` to say.

use std::collections::BTreeMap;

use heart_model::{Copies, INSTEADS_MAX, Instead, NODES_MAX, Name, NodeName, Other, Wishes};

use super::{
    name,
    names::{Named, Names, Speaker, Takes},
    too_many,
};
use crate::{
    Code, Mistake, Span, Written,
    draft::ResourceDraft,
    tree::cut,
    wishes::{CopiesDraft, InsteadDraft, Texts, WishesDraft},
    words,
};

/// What a resource or a group wishes.
pub(super) fn wishes(
    owner: &str,
    draft: &WishesDraft,
    names: &Names<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Wishes {
    let speaker = names.speaker(owner);
    let mut list = |key, takes, written: &Option<Texts>| {
        full_list(speaker, key, takes, written.as_ref(), names, mistakes)
    };
    let prefers = nodes(&list("prefers", Takes::Nodes, &draft.prefers));
    let avoids = others(&list("avoids", Takes::NodesAndUnits, &draft.avoids));
    let never = others(&list("never", Takes::NodesAndUnits, &draft.never));
    let with = plain(&list("with", Takes::Units, &draft.with));
    let after = plain(&list("after", Takes::Units, &draft.after));
    let during = plain(&list("during", Takes::Times, &draft.during));
    let ticket = draft.ticket.as_ref().and_then(|ticket| name(ticket, "ticket", Name::new, mistakes));
    let copies = draft.copies.as_ref().and_then(|copies| self::copies(copies, mistakes));
    if let Some(first) = draft.at.get(INSTEADS_MAX) {
        too_many(draft.at.len(), INSTEADS_MAX, "tables in `at`", first.time.span, mistakes);
    }
    let at =
        draft.at.iter().take(INSTEADS_MAX).filter_map(|at| instead(at, speaker, names, mistakes)).collect();
    Wishes { prefers, avoids, never, with, after, copies, during, ticket, at }
}

/// A list in which something has to be.
fn full_list(
    speaker: Speaker<'_>,
    key: &str,
    takes: Takes,
    written: Option<&Texts>,
    names: &Names<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Named> {
    let Some(written) = written else { return Vec::new() };
    if written.value.is_empty() {
        mistakes.push(empty(key, written.span));
    }
    names.list(speaker, key, takes, written, mistakes)
}

/// Reports a list in which nothing is.
pub(super) fn empty(key: &str, at: Span) -> Mistake {
    Mistake::at(Code::EmptyList, at, format!("`{key}` names nothing"))
        .label("nothing in it")
        .hint(format!("write something into it, or remove `{key}`"))
}

fn nodes(named: &[Named]) -> Vec<NodeName> {
    named.iter().filter_map(|one| NodeName::new(&one.name).ok()).collect()
}

fn plain(named: &[Named]) -> Vec<Name> {
    named.iter().filter_map(|one| Name::new(&one.name).ok()).collect()
}

fn others(named: &[Named]) -> Vec<Other> {
    let other = |one: &Named| {
        let text = &one.name;
        if one.is_node { NodeName::new(text).map(Other::Node) } else { Name::new(text).map(Other::Unit) }
    };
    named.iter().filter_map(|one| other(one).ok()).collect()
}

/// What is wished while a time is. Here an empty list says something: that nothing is then.
fn instead(
    draft: &InsteadDraft,
    speaker: Speaker<'_>,
    names: &Names<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<(Name, Instead)> {
    let time = Written { value: vec![draft.time.clone()], span: draft.time.span };
    let known = !names.list(speaker, "at", Takes::Times, &time, mistakes).is_empty();
    if draft.is_empty {
        let shown = cut(&draft.time.value, 40);
        let message = format!("nothing is said of what else is wished while `{shown}` is");
        mistakes.push(
            Mistake::at(Code::EmptyList, draft.time.span, message)
                .label("nothing in this table")
                .hint("write `prefers`, `avoids` or `never` into it, or remove it"),
        );
    }
    let mut list = |key, takes, written: &Option<Texts>| {
        written.as_ref().map(|written| {
            let names = names.list(speaker, key, takes, written, mistakes);
            (nodes(&names), others(&names))
        })
    };
    let prefers = list("prefers", Takes::Nodes, &draft.prefers).map(|(nodes, _)| nodes);
    let avoids = list("avoids", Takes::NodesAndUnits, &draft.avoids).map(|(_, others)| others);
    let never = list("never", Takes::NodesAndUnits, &draft.never).map(|(_, others)| others);
    let name = Name::new(&draft.time.value).ok().filter(|_| known)?;
    Some((name, Instead { prefers, avoids, never }))
}

/// On how many nodes it runs.
pub(super) fn copies(written: &Written<CopiesDraft>, mistakes: &mut Vec<Mistake>) -> Option<Copies> {
    let refused = |code, message: String, label: &str, hint: String| {
        Mistake::at(code, written.span, message).label(label).hint(hint)
    };
    match &written.value {
        CopiesDraft::Word(word) if word == "all" => return Some(Copies::All),
        CopiesDraft::Number(number) => match u32::try_from(*number) {
            Ok(number) if (1..=NODES_MAX).contains(&(number as usize)) => return Some(Copies::Of(number)),
            _ => mistakes.push(refused(
                Code::NumberRange,
                format!("`copies` cannot be {number}"),
                "out of bounds",
                format!(
                    "it is 1 to {NODES_MAX}, one copy a node, or \"all\"; what shall run on one node and move, \
                     has no `copies`"
                ),
            )),
        },
        CopiesDraft::Word(word) => mistakes.push(refused(
            Code::UnknownWord,
            format!("`copies` cannot be `{}`", cut(word, 40)),
            "unknown word",
            match (words::meant(word, &["all"]), word.parse::<u32>()) {
                (Some(word), _) => format!("did you mean \"{word}\"?"),
                (None, Ok(number)) => format!("without quotes: {number}"),
                (None, Err(_)) => "it can be \"all\" or a whole number".into(),
            },
        )),
    }
    None
}

/// Refuses what a member of a group cannot say: it goes where and when its group goes.
pub(super) fn member(resource: &ResourceDraft, group: &str, mistakes: &mut Vec<Mistake>) {
    let (name, group) = (cut(&resource.name.value, 40), cut(group, 40));
    for (key, at) in resource.wishes.said.iter().filter(|(key, _)| *key != "after") {
        let (code, message) = match *key {
            "prefers" => {
                (Code::PrefersInGroup, format!("`{name}` cannot prefer a node: it goes where its group goes"))
            }
            key => (
                Code::WishInGroup,
                format!("`{name}` cannot have `{key}`: its group says that for all members"),
            ),
        };
        mistakes.push(
            Mistake::at(code, *at, message)
                .label(format!("a member of group `{group}`"))
                .hint(format!("write `{key}` into `[group.{group}]`")),
        );
    }
    if let Some(promotable) = resource.promotable.as_ref().filter(|promotable| promotable.value) {
        mistakes.push(
            Mistake::at(
                Code::WishInGroup,
                promotable.span,
                format!("`{name}` cannot be promoted: members of a group are all alike"),
            )
            .label(format!("a member of group `{group}`"))
            .hint("take it out of the group; let the others run `with` it and `after` it"),
        );
    }
}

/// The times that are named anywhere.
pub(super) fn times_named<'d>(all: impl Iterator<Item = &'d WishesDraft>) -> BTreeMap<&'d str, Span> {
    all.flat_map(|wishes| {
        let during = wishes.during.iter().flat_map(|list| &list.value);
        during.chain(wishes.at.iter().map(|at| &at.time)).map(|name| (name.value.as_str(), name.span))
    })
    .collect()
}
