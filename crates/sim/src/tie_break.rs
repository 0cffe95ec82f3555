//! The tie-break of a world: one value somewhere else, which is compared and set in one step.
//!
//! What was asked of it may be done long after nobody waits for it any more, and what it answers may get lost.

use heart_model::{
    Duration, FromExecutor, Spec, Standing, TieBreakOrder, TieBreakOutcome, TieBreakPlace, TieBreakReport,
    TieBreakSpec,
};
use heart_node::core::Event as CoreEvent;
use std::collections::{BTreeMap, BTreeSet};

use crate::{Nanos, World, ms, world::Happening};

/// How long a simulated tie-break is given.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);

/// The value that stands at each place, and who reaches none of them.
#[derive(Debug, Default)]
pub(crate) struct TieBreak {
    stands: BTreeMap<String, Standing>,
    pub(crate) cut: BTreeSet<usize>,
}

/// The same cluster with something that decides between two halves.
#[must_use]
pub fn with_tie_break(mut spec: Spec) -> Spec {
    let place = TieBreakPlace::Witness { address: "10.9.0.1:6940".into() };
    spec.tie_break = Some(TieBreakSpec { place, timeout: TIMEOUT });
    spec
}

/// An order on its way, and back.
#[derive(Debug)]
pub(crate) struct Asked {
    by: usize,
    boots: u64,
    order: TieBreakOrder,
    outcome: Option<TieBreakOutcome>,
}

impl World {
    /// Nothing stands there any more.
    pub(crate) fn forget_tie_break(&mut self) {
        self.tell("the tie-break forgets its value");
        self.tie_break.stands.clear();
    }

    /// An executor asks the tie-break.
    pub(crate) fn ask_tie_break(&mut self, by: usize, order: TieBreakOrder) {
        let boots = self.machines[by].boots;
        let timeout = TIMEOUT.as_nanos() as Nanos;
        if self.tie_break.cut.contains(&by) || self.chance.happens(self.settings.loss) {
            let outcome = Some(TieBreakOutcome::Failed { message: "it does not answer".into() });
            self.push(self.now + timeout, Happening::TieBreak(Asked { by, boots, order, outcome }));
            return;
        }
        if matches!(order.spec.place, TieBreakPlace::Disk { .. }) {
            return self.change_on_disk(by, order);
        }
        // Now and then it is late, and nobody waits for what it does.
        let late = self.settings.late.0 > 0 && self.chance.happens(100);
        let wait =
            if late { self.chance.between(timeout, timeout * 4) } else { self.chance.between(0, ms(3)) };
        if late {
            let outcome = Some(TieBreakOutcome::Failed { message: "it does not answer".into() });
            let failed = Asked { by, boots, order: order.clone(), outcome };
            self.push(self.now + timeout, Happening::TieBreak(failed));
        }
        let by = if late { usize::MAX } else { by };
        self.push(self.now + wait, Happening::TieBreak(Asked { by, boots, order, outcome: None }));
    }

    /// An executor knows after `wait` what came of it.
    pub(crate) fn tie_broken(
        &mut self,
        wait: Nanos,
        by: usize,
        order: TieBreakOrder,
        outcome: TieBreakOutcome,
    ) {
        let boots = self.machines[by].boots;
        let outcome = Some(outcome);
        self.push(self.now + wait, Happening::TieBreak(Asked { by, boots, order, outcome }));
    }

    /// The tie-break does what it was asked to, or its answer arrives.
    pub(crate) fn on_tie_break(&mut self, asked: Asked) {
        let Asked { by, boots, order, outcome } = asked;
        let Some(outcome) = outcome else {
            let place = order.spec.place.to_string();
            let stands = self.tie_break.stands.get(&place);
            let outcome = if stands == order.instead_of.as_ref() || stands == Some(&order.set) {
                self.tie_break.stands.insert(place, order.set.clone());
                TieBreakOutcome::Set
            } else {
                TieBreakOutcome::Other(stands.cloned())
            };
            if by < self.machines.len() {
                let wait = self.chance.between(0, ms(3));
                let outcome = Some(outcome);
                self.push(self.now + wait, Happening::TieBreak(Asked { by, boots, order, outcome }));
            }
            return;
        };
        if self.machines[by].boots != boots || !self.machines[by].is_on() {
            return;
        }
        if let Some(at) = self.postpone(by, |machine| machine.executor_stalled_until) {
            let outcome = Some(outcome);
            self.push(at, Happening::TieBreak(Asked { by, boots, order, outcome }));
            return;
        }
        let report = TieBreakReport { number: order.number, outcome };
        self.tell_core(by, CoreEvent::Executor(FromExecutor::TieBroken(report)));
    }
}
