//! Relations between actions, as data.
//!
//! A relation joins a first action with one that comes then. What it means is a set of
//! [`Properties`]: that both come in this order says each of them; some also hand on that one is
//! required, or that one cannot be done.

use core::ops;

use super::table::{ActionIx, Doing};
use crate::engine::arena::ResIx;

/// What a relation means, beyond its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Properties(u32);

impl Properties {
    /// If both are done, the first completes before the other begins.
    pub(super) const ORDERED: Properties = Properties(1);
    /// If the first is required, so is what comes then.
    pub(super) const FORCES_THEN: Properties = Properties(1 << 1);
    /// If what comes then is required, so is the first.
    pub(super) const NEEDED_BY_THEN: Properties = Properties(1 << 2);
    /// If the first cannot be done, neither can what comes then.
    pub(super) const BLOCKS_THEN: Properties = Properties(1 << 3);
    /// The first is a stop on the way to what comes then.
    pub(super) const RESTARTS: Properties = Properties(1 << 4);
    /// The first is a demotion before a stop.
    pub(super) const DEMOTED_FIRST: Properties = Properties(1 << 5);
    /// If the first is required, the point that comes then is shown.
    pub(super) const SHOWS_THEN: Properties = Properties(1 << 6);
    /// If what comes then is required, the point that comes first is shown.
    pub(super) const SHOWS_FIRST: Properties = Properties(1 << 7);
    /// Only on the same node, and only if the first is required.
    pub(super) const SAME_NODE_IF_REQUIRED: Properties = Properties(1 << 8);
    /// Only on the same node; of a migration the target counts.
    pub(super) const SAME_NODE_OR_TARGET: Properties = Properties(1 << 9);
    /// Only on the same node.
    pub(super) const SAME_NODE: Properties = Properties(1 << 10);
    /// The first is one of several, of which what comes then needs some.
    pub(super) const COUNTS: Properties = Properties(1 << 11);
    /// It holds in this direction only: what is there already is left alone.
    pub(super) const ONE_WAY: Properties = Properties(1 << 12);
    /// What comes then makes the first needless.
    pub(super) const CANCELS_FIRST: Properties = Properties(1 << 13);
    /// The first is part of a live migration, which goes only as far as what comes then does.
    pub(super) const MIGRATES_WITH_THEN: Properties = Properties(1 << 14);
    /// Only if the first is not part of a live migration.
    pub(super) const UNLESS_FIRST_MIGRATES: Properties = Properties(1 << 15);
    /// If the first cannot be done, what comes then is no longer part of a live migration.
    pub(super) const MIGRATES_AFTER_FIRST: Properties = Properties(1 << 17);
    /// If the first is required, so is what comes then on the same node.
    pub(super) const FORCES_THEN_THERE: Properties = Properties(1 << 16);

    /// Whether it has all of these.
    pub(super) const fn has(self, others: Properties) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether it has any of these.
    pub(super) const fn has_any(self, others: Properties) -> bool {
        self.0 & others.0 != 0
    }

    /// The same without these.
    pub(super) const fn without(self, others: Properties) -> Properties {
        Properties(self.0 & !others.0)
    }

    /// Whether nothing but an order is said: it can be left out if the first is not done.
    pub(super) const fn is_order_only(self) -> bool {
        self.without(Properties::ORDERED.and(Properties::SHOWS_THEN)).0 == 0
    }

    /// All of both.
    pub(super) const fn and(self, other: Properties) -> Properties {
        Properties(self.0 | other.0)
    }
}

impl ops::BitOr for Properties {
    type Output = Properties;

    fn bitor(self, other: Properties) -> Properties {
        self.and(other)
    }
}

impl ops::BitOrAssign for Properties {
    fn bitor_assign(&mut self, other: Properties) {
        *self = self.and(other);
    }
}

/// One end of a relation that is not joined yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// An action that is there.
    Action(ActionIx),
    /// Whatever is done in this way with this resource, once all of it is known.
    Of(ResIx, Doing),
}

/// A relation that is joined when all actions are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relation {
    pub(super) first: End,
    pub(super) then: End,
    pub(super) properties: Properties,
}
