//! Which nodes are left for something, and whether any of them has room for it.

use std::collections::{BTreeMap, BTreeSet};

use heart_model::{AMOUNTS_MAX, NODES_MAX, Name};

use super::{
    company::STEPS_MAX,
    name,
    parties::{Parties, Party},
    too_many,
};
use crate::{
    Code, Mistake, Span, Written,
    draft::{Draft, NodeDraft},
    keys::Amounts,
    tree::cut,
    wishes::{CopiesDraft, Texts},
    words,
};

/// Amounts by name; each has to be a name, and no amount can be less than nothing.
pub(super) fn amounts(
    key: &str,
    written: Option<&Written<Amounts>>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<Name, u64> {
    let Some(written) = written else { return BTreeMap::new() };
    if let Some((first, _)) = written.value.get(AMOUNTS_MAX) {
        too_many(written.value.len(), AMOUNTS_MAX, &format!("things in `{key}`"), first.span, mistakes);
    }
    let mut amounts = BTreeMap::new();
    for (what, amount) in written.value.iter().take(AMOUNTS_MAX) {
        let named = name(what, "thing", Name::new, mistakes);
        match (named, u64::try_from(amount.value)) {
            (Some(name), Ok(amount)) => drop(amounts.insert(name, amount)),
            (None, Ok(_)) => {}
            (_, Err(_)) => mistakes.push(
                Mistake::at(
                    Code::NumberRange,
                    amount.span,
                    format!("`{}` cannot be {}", cut(&what.value, 40), amount.value),
                )
                .label("less than nothing")
                .hint("write a whole number from 0 on"),
            ),
        }
    }
    amounts
}

/// Most parties of which it is shown what they refuse.
const SHOWN_MAX: usize = 8;

/// A set of nodes: one bit for each, in the order of the text.
type Nodes = u64;

struct Rooms<'d> {
    nodes: &'d [NodeDraft],
    /// What each node has, by name.
    capacities: Vec<BTreeMap<&'d str, u64>>,
    /// What any node says it has.
    known: Vec<&'d str>,
}

/// Reports what has no node at all, no room anywhere, or more copies than nodes.
pub(super) fn room(draft: &Draft, parties: &Parties<'_>, mistakes: &mut Vec<Mistake>) {
    if draft.nodes.is_empty() || draft.nodes.len() > NODES_MAX {
        return;
    }
    let rooms = Rooms::of(draft);
    let mut hopeless = BTreeSet::new();
    for (number, party) in parties.all.iter().enumerate() {
        let before = mistakes.len();
        rooms.alone(party, mistakes);
        if mistakes.len() > before {
            hopeless.insert(number);
        }
        rooms.copies(party, mistakes);
        rooms.preferred(party, mistakes);
    }
    let left: Vec<Nodes> =
        parties.all.iter().map(|party| rooms.left_by(party.wishes.never.as_ref())).collect();
    let mut steps = STEPS_MAX;
    for (number, party) in parties.all.iter().enumerate() {
        let Some(with) = &party.wishes.with else { continue };
        let Some(company) = parties.company(number, &mut steps) else { return };
        if company.len() > 1 && company.iter().all(|one| !hopeless.contains(one)) {
            let allowed = company.iter().fold(Nodes::MAX, |nodes, one| nodes & left[*one]);
            rooms.together(with, &company, allowed, parties, mistakes);
        }
    }
}

impl<'d> Rooms<'d> {
    fn of(draft: &'d Draft) -> Rooms<'d> {
        let capacity = |node: &'d NodeDraft| {
            let amounts = node.capacity.iter().flat_map(|capacity| &capacity.value);
            amounts
                .map(|(what, amount)| (what.value.as_str(), u64::try_from(amount.value).unwrap_or(0)))
                .collect()
        };
        let capacities: Vec<BTreeMap<&str, u64>> = draft.nodes.iter().map(capacity).collect();
        let known: BTreeSet<&str> = capacities.iter().flat_map(|one| one.keys().copied()).collect();
        Rooms { nodes: &draft.nodes, capacities, known: known.into_iter().collect() }
    }

    /// The nodes that a list of what is never used leaves.
    fn left_by(&self, never: Option<&Texts>) -> Nodes {
        let named: BTreeSet<&str> =
            never.into_iter().flat_map(|list| &list.value).map(|name| name.value.as_str()).collect();
        self.filter(|node| !named.contains(self.nodes[node].name.value.as_str()))
    }

    fn filter(&self, is_in: impl Fn(usize) -> bool) -> Nodes {
        (0..self.nodes.len()).filter(|node| is_in(*node)).fold(0, |nodes, node| nodes | 1 << node)
    }

    /// What parties need of one node, where any node says that it has such a thing.
    fn needs<'p>(&self, parties: impl Iterator<Item = &'p Party<'p>>) -> BTreeMap<&'p str, u64> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        let needs = parties.flat_map(|party| &party.members).filter_map(|member| member.needs.as_ref());
        for (what, amount) in needs.flat_map(|needs| &needs.value) {
            if self.known.contains(&what.value.as_str()) {
                let sum = sums.entry(&what.value).or_default();
                *sum = sum.saturating_add(u64::try_from(amount.value).unwrap_or(0));
            }
        }
        sums
    }

    /// What a node lacks of what is needed.
    fn lacks<'n>(&self, node: usize, needs: &BTreeMap<&'n str, u64>) -> Option<(&'n str, u64)> {
        let has = |what: &str| self.capacities[node].get(what).copied().unwrap_or(0);
        needs.iter().find(|(what, amount)| has(what) < **amount).map(|(what, amount)| (*what, *amount))
    }

    fn with_room(&self, needs: &BTreeMap<&str, u64>) -> Nodes {
        self.filter(|node| self.lacks(node, needs).is_none())
    }

    /// What can be seen of a party by itself: unknown things, no node, no room.
    fn alone(&self, party: &Party<'_>, mistakes: &mut Vec<Mistake>) {
        let before = mistakes.len();
        let lists = party.wishes.at.iter().map(|at| (at.never.as_ref(), Some(&at.time)));
        for (never, time) in std::iter::once((party.wishes.never.as_ref(), None)).chain(lists) {
            if let Some(list) = never.filter(|never| self.left_by(Some(never)) == 0) {
                mistakes.push(nowhere(party, list.span, time));
            }
        }
        for member in &party.members {
            for (what, amount) in member.needs.iter().flat_map(|needs| &needs.value) {
                self.one_need(&member.name, what, amount, mistakes);
            }
        }
        let needs = self.needs(std::iter::once(party));
        let left = self.left_by(party.wishes.never.as_ref()) & self.with_room(&needs);
        if mistakes.len() > before || left != 0 {
            return;
        }
        let at = match (party.group, party.members.first().and_then(|one| one.needs.as_ref())) {
            (Some(group), _) => group.members.as_ref().map_or(group.name.span, |list| list.span),
            (None, Some(needs)) => needs.span,
            (None, None) => return,
        };
        let message = format!("no node on which `{}` may run has room for all of it", party.shown());
        mistakes.push(
            Mistake::at(Code::NoRoom, at, message)
                .label(format!("needs {} on one node", listed(&needs)))
                .hint("let it need less, or give a node more `capacity`"),
        );
    }

    /// What one resource needs of one thing.
    fn one_need(
        &self,
        owner: &Written<String>,
        what: &Written<String>,
        amount: &Written<i64>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let Ok(needed) = u64::try_from(amount.value) else { return };
        let (name, shown) = (cut(&owner.value, 40), cut(&what.value, 40));
        if !self.known.contains(&what.value.as_str()) {
            let hint = match (words::meant(&what.value, &self.known), self.known.as_slice()) {
                (Some(word), _) => format!("did you mean `{word}`?"),
                (None, []) => {
                    format!("say of each node what it has: `capacity = {{ {shown} = {} }}`", needed.max(1))
                }
                (None, known) => format!(
                    "nodes have {}; write what they have of this into their `capacity`",
                    words::list(known, "and")
                ),
            };
            mistakes.push(
                Mistake::at(
                    Code::UnknownCapacity,
                    what.span,
                    format!("`{name}` needs `{shown}`, and no node says that it has any"),
                )
                .label("in no `capacity`")
                .hint(hint),
            );
            return;
        }
        let of = |node: &usize| self.capacities[*node].get(what.value.as_str()).copied().unwrap_or(0);
        let Some(most) = (0..self.nodes.len()).max_by_key(of) else { return };
        if of(&most) < needed {
            let message =
                format!("`{name}` needs {needed} of `{shown}`, and no node has more than {}", of(&most));
            mistakes.push(
                Mistake::at(Code::NoRoom, amount.span, message)
                    .label("more than any node has")
                    .hint("let it need less, or give a node more `capacity`")
                    .related(self.nodes[most].name.span, format!("has {}, the most", of(&most))),
            );
        }
    }

    fn copies(&self, party: &Party<'_>, mistakes: &mut Vec<Mistake>) {
        let Some(written) = &party.wishes.copies else { return };
        let CopiesDraft::Number(wanted) = written.value else { return };
        let left = self.left_by(party.wishes.never.as_ref()).count_ones() as usize;
        let wanted = usize::try_from(wanted).unwrap_or(0);
        if left == 0 || wanted <= left || wanted > NODES_MAX {
            return;
        }
        let nodes = words::count(left, "node", "nodes");
        let message = format!("`{}` has {wanted} copies, and there are {nodes} for it", party.shown());
        let wait = Mistake::at(Code::CopiesWait, written.span, message).label("one copy on each node");
        let rest = words::count(wanted - left, "copy waits", "copies wait");
        mistakes.push(
            wait.hint(format!("{rest} for another node; for one on every node, write `copies = \"all\"`")),
        );
    }

    /// Nodes that are preferred, and have no room whatever else runs there.
    fn preferred(&self, party: &Party<'_>, mistakes: &mut Vec<Mistake>) {
        let needs = self.needs(std::iter::once(party));
        let lists =
            party.wishes.prefers.iter().chain(party.wishes.at.iter().filter_map(|at| at.prefers.as_ref()));
        for preferred in lists.flat_map(|list| &list.value) {
            let node = self.nodes.iter().position(|node| node.name.value == preferred.value);
            let Some(node) = node.filter(|_| self.with_room(&needs) != 0) else { continue };
            let Some((what, amount)) = self.lacks(node, &needs) else { continue };
            let has = self.capacities[node].get(what).copied().unwrap_or(0);
            let (node, what) = (cut(&preferred.value, 40), cut(what, 40));
            let message = format!("`{}` prefers `{node}`, which has no room for it", party.shown());
            mistakes.push(
                Mistake::at(Code::NoRoom, preferred.span, message)
                    .label(format!("has {has} of `{what}`, and {amount} are needed"))
                    .hint("prefer another node, let it need less, or give that node more `capacity`"),
            );
        }
    }

    /// Whether those who have to be on one node find one among those that none of them refuses.
    fn together(
        &self,
        with: &Texts,
        company: &[usize],
        allowed: Nodes,
        parties: &Parties<'_>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let all = || company.iter().map(|one| &parties.all[*one]);
        let needs = self.needs(all());
        if allowed & self.with_room(&needs) != 0 {
            return;
        }
        let names: Vec<&str> = all().skip(1).map(|party| party.name.value.as_str()).collect();
        let (who, others) = (parties.all[company[0]].shown(), words::list(&names, "and"));
        let mistake = if allowed & self.filter(|_| true) == 0 {
            let message = format!("there is no node on which `{who}` may run together with {others}");
            Mistake::at(Code::Nowhere, with.span, message)
                .label("together their `never` name every node")
                .hint("leave at least one node that none of them refuses")
        } else {
            let message = format!("no node has room for `{who}` together with {others}");
            Mistake::at(Code::NoRoom, with.span, message)
                .label(format!("together they need {} on one node", listed(&needs)))
                .hint("let them need less, or give a node more `capacity`")
        };
        let refusing = all().filter_map(|party| Some((party, party.wishes.never.as_ref()?)));
        let is_nowhere = mistake.code == Code::Nowhere;
        mistakes.push(refusing.filter(|_| is_nowhere).take(SHOWN_MAX).fold(
            mistake,
            |mistake, (party, never)| {
                mistake.related(never.span, format!("never used by `{}`", party.shown()))
            },
        ));
    }
}

fn nowhere(party: &Party<'_>, at: Span, time: Option<&Written<String>>) -> Mistake {
    let shown = party.shown();
    let (when, hint) = match time {
        Some(time) => (
            format!(" while `{}` is", cut(&time.value, 40)),
            "leave at least one node; for what shall not run at that time, name the others in `during`",
        ),
        None => (String::new(), "leave at least one node"),
    };
    Mistake::at(Code::Nowhere, at, format!("there is no node on which `{shown}` may run{when}"))
        .label("names every node")
        .hint(hint)
}

/// Amounts in words: 8 of `memory` and 2 of `cpus`.
fn listed(needs: &BTreeMap<&str, u64>) -> String {
    let parts: Vec<String> =
        needs.iter().map(|(what, amount)| format!("{amount} of `{}`", cut(what, 40))).collect();
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}
