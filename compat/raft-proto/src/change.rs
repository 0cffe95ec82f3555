//! Changes of the voters: the older form with one change, the newer with several.

use std::borrow::Cow;

use crate::eraftpb::{ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

/// One change of one node.
#[must_use]
pub fn new_conf_change_single(node_id: u64, ty: ConfChangeType) -> ConfChangeSingle {
    ConfChangeSingle { change_type: ty.into(), node_id }
}

/// Either form of a change of the voters.
pub trait ConfChangeI {
    /// The newer form.
    fn into_v2(self) -> ConfChangeV2;

    /// The newer form, made if need be.
    fn as_v2(&self) -> Cow<'_, ConfChangeV2>;

    /// The older form, if it is one: raft logs it as such.
    fn as_v1(&self) -> Option<&ConfChange>;
}

impl ConfChangeI for ConfChange {
    fn into_v2(self) -> ConfChangeV2 {
        ConfChangeV2 {
            transition: ConfChangeTransition::Auto.into(),
            changes: vec![ConfChangeSingle { change_type: self.change_type, node_id: self.node_id }],
            context: self.context,
        }
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Owned(self.clone().into_v2())
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        Some(self)
    }
}

impl ConfChangeI for ConfChangeV2 {
    fn into_v2(self) -> ConfChangeV2 {
        self
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Borrowed(self)
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        None
    }
}

impl ConfChangeV2 {
    /// Whether this change goes through a joint configuration, and if so, whether raft leaves it
    /// by itself. A single change that asks for nothing special needs none.
    #[must_use]
    pub fn enter_joint(&self) -> Option<bool> {
        match self.get_transition() {
            ConfChangeTransition::Auto => (self.changes.len() > 1).then_some(true),
            ConfChangeTransition::Implicit => Some(true),
            ConfChangeTransition::Explicit => Some(false),
        }
    }

    /// Whether this change only ends a joint configuration: it changes nothing else.
    #[must_use]
    pub fn leave_joint(&self) -> bool {
        self.get_transition() == ConfChangeTransition::Auto && self.changes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConfChangeTransition::{Auto, Explicit, Implicit};

    #[test]
    fn the_transition_decides_about_the_joint_configuration() {
        for (transition, changes, enters, leaves) in [
            (Auto, 0, None, true),
            (Auto, 1, None, false),
            (Auto, 2, Some(true), false),
            (Implicit, 0, Some(true), false),
            (Implicit, 1, Some(true), false),
            (Explicit, 1, Some(false), false),
        ] {
            let changes = (0..changes).map(|node| new_conf_change_single(node, ConfChangeType::AddNode));
            let change = ConfChangeV2 {
                transition: transition.into(),
                changes: changes.collect(),
                context: Vec::new(),
            };
            assert_eq!((change.enter_joint(), change.leave_joint()), (enters, leaves), "{change:?}");
        }
    }

    #[test]
    fn the_older_form_keeps_its_meaning_in_the_newer() {
        let mut old = ConfChange { id: 3, node_id: 9, context: b"why".to_vec(), ..ConfChange::default() };
        old.set_change_type(ConfChangeType::AddLearnerNode);
        let new = old.as_v2().into_owned();
        assert_eq!(new.changes, [new_conf_change_single(9, ConfChangeType::AddLearnerNode)]);
        assert_eq!(new.context, b"why");
        assert_eq!(old.as_v1(), Some(&old));
        assert_eq!(new.as_v1(), None);
    }
}
