//! Which entries of the timeline somebody wants to see.

use std::collections::BTreeSet;

use heart_model::{Intent, NodeName, ResourceName, WhyOff};
use heart_node::ledger::{Change, Happened, NewGrant, What};

use super::Holders;

/// What somebody wants to see of the log; everything by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Only what is about one of these: nodes, resources or tickets.
    pub(crate) of: Option<BTreeSet<String>>,
    /// Only what is about switching nodes off or on.
    pub(crate) fencing: bool,
}

impl Wanted {
    /// The last so many entries of those that are wanted, by their place in the timeline.
    pub(crate) fn pick(&self, timeline: &[Happened], limit: usize) -> Vec<usize> {
        let mut holders = Holders::default();
        let mut places = Vec::new();
        for (place, happened) in timeline.iter().enumerate() {
            if self.wants(&happened.what, &holders) {
                places.push(place);
            }
            if let What::Changed(change) = &happened.what {
                holders.note(change);
            }
        }
        places.split_off(places.len().saturating_sub(limit))
    }

    fn wants(&self, what: &What, holders: &Holders) -> bool {
        let Some(names) = &self.of else { return !self.fencing || what.is_fencing() };
        (!self.fencing || what.is_fencing()) && About { names, holders }.entry(what)
    }
}

/// Whether something is about one of these names.
struct About<'a> {
    names: &'a BTreeSet<String>,
    holders: &'a Holders,
}

impl About<'_> {
    fn entry(&self, what: &What) -> bool {
        match what {
            What::Configured { .. } => false,
            What::Members { text } => {
                let mut words = text.split(|c: char| c.is_whitespace() || c == ',');
                words.any(|word| self.names.contains(word))
            }
            What::Changed(change) => self.change(change),
        }
    }

    fn change(&self, change: &Change) -> bool {
        match change {
            Change::Configure { .. } | Change::Settle { .. } | Change::Rest { .. } => false,
            Change::Found { without, .. } => without.iter().any(|node| self.node(node)),
            Change::Admit { node, .. }
            | Change::Leave { node, .. }
            | Change::LetGo { node, .. }
            | Change::Watched { node, .. }
            | Change::Fenced { node, .. }
            | Change::ConfirmOff { node, .. }
            | Change::FenceAgain { node, .. }
            | Change::WithdrawOff { node, .. }
            | Change::OrderOn { node, .. }
            | Change::TurnedOn { node, .. } => self.node(node),
            Change::OrderOff { node, order } => {
                let stuck = match &order.why {
                    WhyOff::Stuck { resource, .. } => Some(resource),
                    WhyOff::Asked { .. } => None,
                };
                self.node(node) || stuck.is_some_and(|resource| self.resource(resource))
            }
            Change::Fence { node, by, .. } => self.node(node) || self.node(by),
            Change::Force(forced) => forced.without.iter().any(|one| self.node(&one.node)),
            Change::TakeOver { node, grants, .. } => self.node(node) || self.grants(grants),
            Change::Grant { grants } => self.grants(grants),
            Change::Close { resource, epoch, grants } => {
                let place = self.holders.holder(resource, *epoch);
                self.resource(resource) || place.is_some_and(|node| self.node(node)) || self.grants(grants)
            }
            Change::Report { resource, epoch, .. } => {
                let place = self.holders.holder(resource, *epoch);
                self.resource(resource) || place.is_some_and(|node| self.node(node))
            }
            Change::Failure { resource, node, .. } => self.resource(resource) || self.node(node),
            // What names nothing is about everything.
            Change::Forgive { resource: None, node: None } => true,
            Change::Forgive { resource, node } => {
                resource.iter().any(|resource| self.resource(resource))
                    || node.iter().any(|node| self.node(node))
            }
            Change::Release { resources, node: None } if resources.is_empty() => true,
            Change::Release { resources, node } => {
                resources.iter().any(|resource| self.resource(resource))
                    || node.iter().any(|node| self.node(node))
            }
            Change::Intend(intent) | Change::Withdraw(intent) | Change::End { intent, .. } => {
                self.intent(intent)
            }
        }
    }

    fn intent(&self, intent: &Intent) -> bool {
        match intent {
            Intent::Ticket { ticket } => self.names.contains(ticket.as_str()),
            Intent::Standby { node } => self.node(node),
            Intent::Move { resource, from, to } => {
                self.resource(resource) || self.node(from) || to.iter().any(|node| self.node(node))
            }
        }
    }

    fn grants(&self, grants: &[NewGrant]) -> bool {
        grants.iter().any(|grant| self.resource(&grant.resource) || self.node(&grant.node))
    }

    fn node(&self, node: &NodeName) -> bool {
        self.names.contains(node.as_str())
    }

    /// One copy of something is meant as well when that is named.
    fn resource(&self, resource: &ResourceName) -> bool {
        self.names.contains(resource.as_str())
            || resource.copy().is_some_and(|(of, _)| self.names.contains(of))
    }
}
