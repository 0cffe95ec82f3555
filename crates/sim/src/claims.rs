//! The standing claims, checked after every step.

use heart_model::{Epoch, LogIndex, NodeName, ResourceName, Term};
use heart_node::ledger::Happened;
use std::collections::BTreeMap;

use crate::{Machine, Nanos};

/// A claim that did not hold: the world ends here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When, in true time.
    pub at: Nanos,
    /// What did not hold.
    pub what: String,
}

impl ::core::fmt::Display for Broken {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "at {}.{:06} s: {}", self.at / 1_000_000_000, self.at / 1_000 % 1_000_000, self.what)
    }
}

/// What has to be remembered to check the claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    leaders: BTreeMap<Term, NodeName>,
    history: BTreeMap<LogIndex, Happened>,
    read_up_to: BTreeMap<NodeName, LogIndex>,
    newest: BTreeMap<ResourceName, Epoch>,
}

impl Claims {
    /// At most one node leads in a term, and what one node has applied, all have.
    pub(crate) fn on_core(&mut self, at: Nanos, machine: &Machine) -> Result<(), Broken> {
        let Some(core) = &machine.core else { return Ok(()) };
        if let Some(term) = core.leading() {
            let leader = self.leaders.entry(term).or_insert_with(|| machine.name.clone());
            if *leader != machine.name {
                let what = format!("{leader} and {} both lead term {term}", machine.name);
                return Err(Broken { at, what });
            }
        }
        let read = self.read_up_to.entry(machine.name.clone()).or_default();
        let timeline = &core.ledger().timeline;
        let new = timeline.iter().rev().take_while(|happened| happened.index > *read);
        for happened in new {
            let known = self.history.entry(happened.index).or_insert_with(|| happened.clone());
            // A change of members carries no text that nodes have to agree on to the letter.
            if known != happened {
                let what = format!(
                    "entry {} is {:?} on {} but was {:?}",
                    happened.index, happened.what, machine.name, known.what
                );
                return Err(Broken { at, what });
            }
        }
        *read = timeline.back().map_or(LogIndex(0), |happened| happened.index);
        Ok(())
    }

    /// A machine lost its memory: it reads its log anew.
    pub(crate) fn on_boot(&mut self, machine: &NodeName) {
        self.read_up_to.remove(machine);
    }

    /// At most one machine answers for a resource at this instant, and epochs never go back.
    pub(crate) fn on_kernel(
        &mut self,
        at: Nanos,
        resource: &ResourceName,
        machines: &[Machine],
    ) -> Result<(), Broken> {
        let owners: Vec<(&NodeName, Epoch)> = machines
            .iter()
            .filter_map(|machine| Some((&machine.name, machine.owns(resource, at)?)))
            .collect();
        if owners.len() > 1 {
            let all: Vec<String> =
                owners.iter().map(|(name, epoch)| format!("{name} (epoch {epoch})")).collect();
            return Err(Broken { at, what: format!("{resource} has two owners: {}", all.join(" and ")) });
        }
        if let Some(&(name, epoch)) = owners.first() {
            let newest = self.newest.entry(resource.clone()).or_default();
            if epoch < *newest {
                let what = format!(
                    "{name} owns {resource} in epoch {epoch}, but epoch {newest} was started already"
                );
                return Err(Broken { at, what });
            }
            *newest = epoch;
        }
        Ok(())
    }
}
