//! The kernels of the world: their gates, and who answers for what.

use heart_model::ResourceName;
use std::rc::Rc;

use crate::{Broken, Nanos, Power, World, ms, world::Happening};

impl World {
    /// The gate thread wakes four times in a lease while anything is open, and more often near its end.
    pub(crate) fn gate(&mut self, node: usize, boots: u64) -> Result<(), Broken> {
        let machine = &mut self.machines[node];
        if machine.boots != boots || machine.power == Power::Off {
            return Ok(());
        }
        if machine.kernel.is_empty() {
            machine.gating = false;
            return Ok(());
        }
        if let Some(at) = self.postpone(node, |_| 0) {
            self.push(at, Happening::Gate { node, boots });
            return Ok(());
        }
        let (opened, until) = self.machines[node].refresh_gates(self.now);
        if !opened.is_empty() {
            self.look(None)?;
            self.push(until, Happening::Look);
        }
        let every = (self.settings.spec.timing.lease() / 4).as_nanos() as Nanos;
        let left = (until.saturating_sub(self.now) / 2).max(ms(5));
        let wait = if opened.is_empty() { every } else { every.min(left) };
        self.push(self.now + wait, Happening::Gate { node, boots });
        Ok(())
    }

    /// Checks who owns what, and tells it.
    pub(crate) fn look(&mut self, only: Option<&ResourceName>) -> Result<(), Broken> {
        let all = Rc::clone(&self.grantable);
        for resource in only.map_or(&*all, std::slice::from_ref) {
            if !self.tolerant {
                self.claims.on_kernel(self.now, resource, &self.machines)?;
            }
            let owner = self.owner(resource);
            let known = self.owners.get(resource).copied().flatten();
            if known != owner {
                self.owners.insert(resource.clone(), owner);
                self.outages += u64::from(owner.is_none());
                let line = match owner {
                    Some(place) => format!("{} runs {resource}", self.machines[place].name),
                    None => format!("nobody runs {resource}"),
                };
                self.tell(line);
            }
        }
        Ok(())
    }
}
