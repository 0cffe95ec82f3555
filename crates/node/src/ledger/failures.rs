//! What failed where, how often, and what was said of it.

use heart_model::{Epoch, NodeName, ResourceName};

use super::{Ledger, MESSAGE_MAX};

impl Ledger {
    pub(super) fn fail(
        &mut self,
        resource: &ResourceName,
        node: &NodeName,
        epoch: Epoch,
        message: &str,
    ) -> bool {
        let Some(ledger) = self.resources.get_mut(resource) else { return false };
        if epoch <= ledger.failed_epoch {
            return false;
        }
        ledger.failed_epoch = epoch;
        *ledger.failures.entry(node.clone()).or_default() += 1;
        ledger.last_failure.insert(node.clone(), clip(message));
        true
    }

    pub(super) fn forgive(&mut self, resource: Option<&ResourceName>, node: Option<&NodeName>) -> bool {
        let mut any = false;
        for (name, ledger) in &mut self.resources {
            if resource.is_some_and(|only| only != name) {
                continue;
            }
            let before = ledger.failures.len();
            ledger.failures.retain(|at, _| node.is_some_and(|only| only != at));
            ledger.last_failure.retain(|at, _| node.is_some_and(|only| only != at));
            any |= ledger.failures.len() != before;
        }
        any
    }
}

/// Cuts a message to what is kept.
pub(super) fn clip(message: &str) -> String {
    let end = (0..=MESSAGE_MAX.min(message.len())).rev().find(|&end| message.is_char_boundary(end));
    message[..end.unwrap_or(0)].to_string()
}
