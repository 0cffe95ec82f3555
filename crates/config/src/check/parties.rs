//! What goes anywhere as one: a group with its members, or a resource that is in none.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;
use crate::{
    Span, Written,
    draft::{Draft, GroupDraft, ResourceDraft},
    tree::cut,
    wishes::{CopiesDraft, WishesDraft},
};

/// A group or a resource by itself.
pub(super) struct Party<'d> {
    pub(super) name: &'d Written<String>,
    pub(super) wishes: &'d WishesDraft,
    pub(super) group: Option<&'d GroupDraft>,
    /// The resource itself, or the members in their order.
    pub(super) members: Vec<&'d ResourceDraft>,
}

impl Party<'_> {
    /// Its name for messages.
    pub(super) fn shown(&self) -> String {
        cut(&self.name.value, 40)
    }

    /// Whether several nodes run it at once.
    pub(super) fn has_copies(&self) -> bool {
        match self.wishes.copies.as_ref().map(|copies| &copies.value) {
            Some(CopiesDraft::Number(number)) => *number > 1,
            Some(CopiesDraft::Word(_)) => true,
            None => false,
        }
    }
}

/// All of them, and who belongs to which.
pub(super) struct Parties<'d> {
    pub(super) all: Vec<Party<'d>>,
    /// By the name of a resource or a group.
    numbers: BTreeMap<&'d str, usize>,
}

impl<'d> Parties<'d> {
    pub(super) fn of(draft: &'d Draft, names: &Names<'d>) -> Parties<'d> {
        let resources: BTreeMap<&str, &ResourceDraft> =
            draft.resources.iter().map(|one| (one.name.value.as_str(), one)).collect();
        let mut parties = Parties { all: Vec::new(), numbers: BTreeMap::new() };
        for group in &draft.groups {
            let name = group.name.value.as_str();
            let mut seen = BTreeSet::new();
            let written =
                group.members.iter().flat_map(|list| &list.value).map(|member| member.value.as_str());
            let members = written.filter(|member| seen.insert(*member)).filter_map(|member| {
                let is_own = names.unit(member).is_some_and(|unit| unit.group == Some(name));
                resources.get(member).copied().filter(|_| is_own)
            });
            let members = members.collect();
            parties.add(Party { name: &group.name, wishes: &group.wishes, group: Some(group), members });
        }
        for resource in &draft.resources {
            if !parties.numbers.contains_key(resource.name.value.as_str()) {
                let members = vec![resource];
                parties.add(Party { name: &resource.name, wishes: &resource.wishes, group: None, members });
            }
        }
        parties
    }

    fn add(&mut self, party: Party<'d>) {
        let number = self.all.len();
        self.numbers.insert(&party.name.value, number);
        self.numbers.extend(party.members.iter().map(|member| (member.name.value.as_str(), number)));
        self.all.push(party);
    }

    /// The party to which a resource belongs, or which a group is.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// With whom a party runs, as it says itself: the number of each, and where it is said.
    pub(super) fn with(&self, party: usize) -> impl Iterator<Item = (usize, Span)> {
        let list = self.all[party].wishes.with.iter().flat_map(|list| &list.value);
        list.filter_map(move |name| {
            Some((self.number(&name.value).filter(|other| *other != party)?, name.span))
        })
    }

    /// Everyone who has to be on the node on which a party runs, itself first. Gives up, with nothing,
    /// when `steps` have been taken.
    pub(super) fn company(&self, party: usize, steps: &mut usize) -> Option<Vec<usize>> {
        let mut company = vec![party];
        let mut known = BTreeSet::from([party]);
        let mut next = 0;
        while let Some(&one) = company.get(next) {
            for (other, _) in self.with(one) {
                *steps = steps.checked_sub(1)?;
                if known.insert(other) {
                    company.push(other);
                }
            }
            next += 1;
        }
        Some(company)
    }
}
