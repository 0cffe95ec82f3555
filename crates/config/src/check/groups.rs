//! Which resources stay together.

use std::collections::{BTreeMap, BTreeSet};

use heart_model::{GroupName, GroupSpec, ResourceName};

use super::{absent, missing_key, name, names::Names, resources, wishes};
use crate::{
    Code, Mistake, Span, Written,
    draft::{Draft, GroupDraft},
    tree::cut,
    words,
};

pub(super) fn groups(
    draft: &Draft,
    names: &Names<'_>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<GroupName, GroupSpec> {
    let known = resources::names(draft);
    let group_names: BTreeSet<&str> = draft.groups.iter().map(|group| group.name.value.as_str()).collect();
    let mut member_of: BTreeMap<&str, (&GroupDraft, Span)> = BTreeMap::new();
    let mut groups = BTreeMap::new();
    for group in &draft.groups {
        let mut members = Vec::new();
        for member in group.members.iter().flat_map(|list| &list.value) {
            match judge(member, group, &known, &group_names) {
                Some(mistake) => mistakes.push(mistake),
                None => {
                    if let Some((other, first)) = member_of.insert(&member.value, (group, member.span)) {
                        mistakes.push(twice(member, group, other, first));
                    }
                    members.extend(ResourceName::new(&member.value));
                }
            }
        }
        emptiness(group, mistakes);
        let wishes = wishes::wishes(&group.name.value, &group.wishes, names, mistakes);
        if let Some(resource) = draft.resources.iter().find(|one| one.name.value == group.name.value) {
            let message = format!("a group and a resource are both called `{}`", cut(&group.name.value, 40));
            mistakes.push(
                Mistake::at(Code::NameTaken, group.name.span, message)
                    .label("the group")
                    .hint("rename one of them, so that a command can tell which is meant")
                    .related(resource.name.span, "the resource"),
            );
        }
        if let Some(name) = name(&group.name, "group", GroupName::new, mistakes) {
            groups.insert(name, GroupSpec { members, wishes });
        }
    }
    groups
}

/// Why `member` cannot be a member.
fn judge(
    member: &Written<String>,
    group: &GroupDraft,
    resources: &BTreeSet<&str>,
    groups: &BTreeSet<&str>,
) -> Option<Mistake> {
    let shown = cut(&member.value, 40);
    if resources.contains(member.value.as_str()) {
        return None;
    }
    if member.value == group.name.value {
        let message = format!("the group `{shown}` is a member of itself");
        let itself = Mistake::at(Code::NestedGroup, member.span, message).label("the group itself");
        return Some(itself.hint("members are resources").related(group.name.span, "this group"));
    }
    if groups.contains(member.value.as_str()) {
        let message = format!("`{shown}` is a group, and groups do not nest");
        let nested = Mistake::at(Code::NestedGroup, member.span, message).label("a group, not a resource");
        return Some(nested.hint("name the members of that group instead, in one of the two groups"));
    }
    let known: Vec<&str> = resources.iter().copied().collect();
    let unknown = Mistake::at(Code::UnknownResource, member.span, format!("there is no resource `{shown}`"));
    Some(unknown.label("no resource has this name").hint(words::hint_known(
        &member.value,
        &known,
        "resource",
    )))
}

fn twice(member: &Written<String>, group: &GroupDraft, other: &GroupDraft, first: Span) -> Mistake {
    let shown = cut(&member.value, 40);
    let message = if group.name.value == other.name.value {
        format!("`{shown}` is a member of this group twice")
    } else {
        format!(
            "`{shown}` is a member of two groups, `{}` and `{}`",
            cut(&other.name.value, 40),
            cut(&group.name.value, 40)
        )
    };
    let twice = Mistake::at(Code::MemberTwice, member.span, message).label("again here");
    let hint = if group.name.value == other.name.value {
        "name it once, where it shall start"
    } else {
        "a resource has one place: remove it from one of the groups"
    };
    twice.hint(hint).related(first, "first here")
}

fn emptiness(group: &GroupDraft, mistakes: &mut Vec<Mistake>) {
    let name = cut(&group.name.value, 40);
    let way_out = "write its resources in the order in which they start: `members = [\"…\", \"…\"]`";
    match &group.members {
        None if absent("members", &group.present) => {
            mistakes.push(missing_key("members", &format!("[group.{name}]"), group.name.span, way_out));
        }
        Some(list) if list.value.is_empty() => mistakes.push(
            Mistake::at(Code::EmptyGroup, list.span, format!("the group `{name}` has no members"))
                .label("nothing in it")
                .hint("name its resources, or remove the group"),
        ),
        None | Some(_) => {}
    }
}
