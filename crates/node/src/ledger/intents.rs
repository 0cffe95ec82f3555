//! What the log says of what people asked for.

use heart_model::{Ended, EndedMove, Intent, LogIndex};

use super::Ledger;

impl Ledger {
    pub(super) fn intend(&mut self, intent: &Intent) -> bool {
        let same_subject = |known: &Intent| match (known, intent) {
            (Intent::Standby { node: a }, Intent::Standby { node: b }) => a == b,
            (Intent::Move { resource: a, .. }, Intent::Move { resource: b, .. }) => a == b,
            (Intent::Ticket { ticket: a }, Intent::Ticket { ticket: b }) => a == b,
            (Intent::Standby { .. } | Intent::Move { .. } | Intent::Ticket { .. }, _) => false,
        };
        if self.intents.contains(intent) {
            return false;
        }
        self.intents.retain(|known| !same_subject(known));
        self.intents.push(intent.clone());
        if let Intent::Move { resource, .. } = intent {
            let group = self.spec.as_ref().map_or_else(Vec::new, |spec| spec.companions(resource));
            let members = self.resources.iter_mut().filter(|(name, _)| group.contains(name));
            members.for_each(|(_, ledger)| ledger.ended = None);
        }
        true
    }

    pub(super) fn end(&mut self, at: LogIndex, intent: &Intent, because: &Ended) -> bool {
        let held = self.withdraw(intent);
        if let (true, Intent::Move { resource, to, .. }) = (held, intent)
            && let Some(ledger) = self.resources.get_mut(resource)
        {
            ledger.ended = Some(EndedMove { at, to: to.clone(), because: because.clone() });
        }
        held
    }

    pub(super) fn withdraw(&mut self, intent: &Intent) -> bool {
        let before = self.intents.len();
        self.intents.retain(|known| known != intent);
        self.intents.len() != before
    }
}
