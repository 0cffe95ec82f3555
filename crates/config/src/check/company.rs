//! Whether what is wished of a place can come true together: by one, and by all who have to be on one node.

use std::collections::BTreeSet;

use super::parties::{Parties, Party};
use crate::{
    Code, Mistake, Span, Written,
    tree::cut,
    wishes::{InsteadDraft, Texts},
};

/// How far it is looked who has to be with whom, in all: a file of the largest size that says nothing else
/// has not many more of these. Beyond it, nothing is found any more, and the plan will show it.
pub(super) const STEPS_MAX: usize = 1_000_000;

/// Reports wishes that contradict each other.
pub(super) fn contradictions(parties: &Parties<'_>, mistakes: &mut Vec<Mistake>) {
    for party in &parties.all {
        let wishes = party.wishes;
        against(wishes.prefers.as_ref(), wishes.avoids.as_ref(), wishes.never.as_ref(), mistakes);
        for at in &wishes.at {
            instead_against(party, at, mistakes);
        }
    }
    let mut reported = BTreeSet::new();
    let mut steps = STEPS_MAX;
    for (number, party) in parties.all.iter().enumerate() {
        if party.wishes.with.is_none() {
            continue;
        }
        let Some(company) = parties.company(number, &mut steps) else { return };
        let members: BTreeSet<usize> = company.iter().copied().collect();
        for &one in &company {
            for (key, name) in kept_away(&parties.all[one]) {
                let Some(left) = steps.checked_sub(1) else { return };
                steps = left;
                let other =
                    parties.number(&name.value).filter(|other| *other != one && members.contains(other));
                if let Some(other) = other
                    && reported.insert(name.span)
                {
                    mistakes.push(apart(parties, number, (one, key, name), other));
                }
            }
        }
    }
}

/// Everything that a party keeps away from, always or at a time.
fn kept_away<'d>(party: &Party<'d>) -> impl Iterator<Item = (&'static str, &'d Written<String>)> + use<'d> {
    let wishes = party.wishes;
    let avoids = wishes.avoids.iter().chain(wishes.at.iter().filter_map(|at| at.avoids.as_ref()));
    let never = wishes.never.iter().chain(wishes.at.iter().filter_map(|at| at.never.as_ref()));
    let avoids = avoids.flat_map(|list| &list.value).map(|name| ("avoids", name));
    avoids.chain(never.flat_map(|list| &list.value).map(|name| ("never", name)))
}

/// That somebody keeps away from who has to be on the same node.
fn apart(
    parties: &Parties<'_>,
    who: usize,
    (one, key, name): (usize, &str, &Written<String>),
    other: usize,
) -> Mistake {
    let shown = |number: usize| parties.all[number].shown();
    let together = if who == one {
        format!("`{}` runs only where `{}` runs, and cannot keep away from it", shown(one), shown(other))
    } else if who == other {
        format!("`{}` cannot keep away from `{}`, which runs only where it runs", shown(one), shown(other))
    } else {
        format!(
            "`{}` cannot keep away from `{}`: `{}` runs only where both run",
            shown(one),
            shown(other),
            shown(who)
        )
    };
    let mistake = Mistake::at(Code::Contradiction, name.span, together)
        .label(format!("named in `{key}`"))
        .hint("remove this, or the `with`");
    match parties.with(who).next() {
        Some((with, at)) => mistake.related(at, format!("`{}` runs with `{}`", shown(who), shown(with))),
        None => mistake,
    }
}

/// Compares what one says itself: whom it prefers with whom it does not want.
fn against(
    prefers: Option<&Texts>,
    avoids: Option<&Texts>,
    never: Option<&Texts>,
    mistakes: &mut Vec<Mistake>,
) {
    both(prefers, never, |shown| format!("`{shown}` is preferred, and never used"), mistakes);
    both(prefers, avoids, |shown| format!("`{shown}` is preferred, and avoided"), mistakes);
    for (name, first) in common(avoids, never) {
        let shown = cut(&name.value, 40);
        mistakes.push(
            Mistake::at(Code::ListedTwice, name.span, format!("`{shown}` stands in `avoids` and in `never`"))
                .label("again here")
                .hint("`never` includes that it is avoided: remove it from one of the two")
                .related(first, "first here"),
        );
    }
}

fn both(
    wanted: Option<&Texts>,
    unwanted: Option<&Texts>,
    says: impl Fn(&str) -> String,
    mistakes: &mut Vec<Mistake>,
) {
    for (name, first) in common(wanted, unwanted) {
        mistakes.push(
            Mistake::at(Code::Contradiction, name.span, says(&cut(&name.value, 40)))
                .label("not wanted here")
                .hint("remove it from one of the two")
                .related(first, "preferred here"),
        );
    }
}

/// What stands in both lists: as the second says it, and where the first does.
fn common<'d>(one: Option<&Texts>, other: Option<&'d Texts>) -> Vec<(&'d Written<String>, Span)> {
    let (Some(one), Some(other)) = (one, other) else { return Vec::new() };
    let found = |name: &'d Written<String>| {
        one.value.iter().find(|first| first.value == name.value).map(|first| (name, first.span))
    };
    other.value.iter().filter_map(found).collect()
}

/// The same while a time is: what is not said then, stays as it is. That a node which is always preferred is
/// not wanted for once, is no contradiction; that one is preferred then which is never wanted, is.
fn instead_against(party: &Party<'_>, at: &InsteadDraft, mistakes: &mut Vec<Mistake>) {
    let wishes = party.wishes;
    let prefers = at.prefers.as_ref().or(wishes.prefers.as_ref());
    let avoids = at.avoids.as_ref().or(wishes.avoids.as_ref());
    let never = at.never.as_ref().or(wishes.never.as_ref());
    let shown = cut(&at.time.value, 40);
    let stays =
        format!("what is not said for `{shown}` stays as it always is: say both there, or remove one");
    let mut compare = |one: Option<&Texts>, other: Option<&Texts>, both_then: bool, says: &str| {
        for (name, first) in common(one, other) {
            let hint = if both_then { "remove it from one of the two" } else { &stays };
            let message = format!("while `{shown}` is, `{}` is {says}", cut(&name.value, 40));
            mistakes.push(
                Mistake::at(Code::Contradiction, name.span, message)
                    .label("named here")
                    .hint(hint)
                    .related(first, "and here"),
            );
        }
    };
    if at.prefers.is_some() {
        compare(prefers, never, at.never.is_some(), "preferred, and never used");
        compare(prefers, avoids, at.avoids.is_some(), "preferred, and avoided");
    }
    if at.avoids.is_some() {
        compare(avoids, never, at.never.is_some(), "avoided, and never used");
    }
}
