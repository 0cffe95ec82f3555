//! Why a unit is not on a node, once everything is placed.
//!
//! What forbids it whatever the others do was known before; here is what follows from where they went.

use alloc::collections::BTreeMap;
use heart_model::{Name, Other, Refusal};

use crate::{
    candidates::Candidates,
    facts::{Facts, Kind, Node, Unit},
};

/// What is needed to say why not.
pub(crate) struct Refusals<'r, 'f> {
    pub(crate) facts: &'r Facts<'f>,
    pub(crate) candidates: &'r [Candidates<'r>],
    /// Where each unit goes.
    pub(crate) targets: &'r [Option<Node>],
}

impl<'f> Refusals<'_, 'f> {
    /// Why a unit does not go to a node; nothing if it does.
    pub(crate) fn of(&self, number: usize, node: Node) -> Option<Refusal> {
        let unit = &self.facts.units[number];
        if let Some(refusal) = self.candidates[number].refusal(node) {
            return Some(refusal.clone());
        }
        if self.targets[number] == Some(node) {
            return None;
        }
        let refusal = self.company(unit, node).or_else(|| self.room(unit, node));
        Some(refusal.unwrap_or(Refusal::Outweighed))
    }

    /// What a unit runs only with and what runs nowhere.
    pub(crate) fn without(&self, unit: &Unit<'f>) -> Option<Name> {
        let runs = |other: &&Name| self.named(other.as_str()).any(|(_, target)| target.is_some());
        unit.wishes.with.iter().find(|other| !runs(other)).cloned()
    }

    /// Who keeps it from a node by being there, or by not being there.
    fn company(&self, unit: &Unit<'f>, node: Node) -> Option<Refusal> {
        let is_there = |name: &str| self.named(name).any(|(_, target)| target == Some(node));
        if unit.kind == Kind::Promotion {
            let mut copies = self.facts.units.iter().zip(self.targets);
            let copy = copies.any(|(copy, target)| {
                copy.name == unit.name && copy.kind == Kind::Copy(node) && target.is_some()
            });
            if !copy {
                return Some(Refusal::NoCopy);
            }
        }
        if let Some(other) = unit.wishes.with.iter().find(|other| !is_there(other.as_str())) {
            return Some(Refusal::NotWith { other: other.clone() });
        }
        let kept_apart = unit.wishes.never.iter().find_map(|other| match other {
            Other::Unit(other) if is_there(other.as_str()) => Some(other.clone()),
            Other::Unit(_) | Other::Node(_) => None,
        });
        let keeps_apart = || {
            let mut others = self.facts.units.iter().zip(self.targets);
            let is_it = |other: &Unit<'f>| self.facts.is_never_beside(other, unit);
            let (other, _) = others.find(|(other, target)| **target == Some(node) && is_it(other))?;
            Name::new(other.name).ok()
        };
        kept_apart.or_else(keeps_apart).map(|other| Refusal::Apart { other })
    }

    /// What there is too little of on a node.
    fn room(&self, unit: &Unit<'f>, node: Node) -> Option<Refusal> {
        let mut left: BTreeMap<&Name, u64> =
            self.facts.nodes[node].capacity.iter().map(|(name, amount)| (name, *amount)).collect();
        let there = self.facts.units.iter().zip(self.targets).filter(|(_, target)| **target == Some(node));
        // What is promoted needs nothing beside its copy.
        let runs = there.map(|(unit, _)| unit).filter(|unit| unit.kind != Kind::Promotion);
        for (name, needs) in runs.flat_map(|unit| &unit.members).flat_map(|member| &member.spec.needs) {
            let left = left.entry(name).or_default();
            *left = left.saturating_sub(*needs);
        }
        let mut wanted: BTreeMap<&Name, u64> = BTreeMap::new();
        for (name, needs) in unit.members.iter().flat_map(|member| &member.spec.needs) {
            *wanted.entry(name).or_default() += needs;
        }
        wanted.into_iter().find_map(|(name, needs)| {
            let left = left.get(name).copied().unwrap_or(0);
            (needs > left).then(|| Refusal::NoRoom { of: name.clone(), needs, left })
        })
    }

    /// The units that a name in the file means, and where they go.
    fn named(&self, name: &str) -> impl Iterator<Item = (&Unit<'f>, Option<Node>)> {
        self.facts.named(name).map(|(number, unit)| (unit, self.targets[number]))
    }
}
