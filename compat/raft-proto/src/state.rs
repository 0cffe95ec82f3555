//! Sets of voters and learners.

use crate::eraftpb::{ConfState, Snapshot};

/// Whether both name the same nodes in the same roles; the order in which they do is nobody's
/// business.
#[must_use]
pub fn conf_state_eq(one: &ConfState, other: &ConfState) -> bool {
    let same = |one: &[u64], other: &[u64]| {
        let (mut one, mut other) = (one.to_vec(), other.to_vec());
        one.sort_unstable();
        other.sort_unstable();
        one == other
    };
    same(&one.voters, &other.voters)
        && same(&one.learners, &other.learners)
        && same(&one.voters_outgoing, &other.voters_outgoing)
        && same(&one.learners_next, &other.learners_next)
        && one.auto_leave == other.auto_leave
}

impl<Voters, Learners> From<(Voters, Learners)> for ConfState
where
    Voters: IntoIterator<Item = u64>,
    Learners: IntoIterator<Item = u64>,
{
    fn from((voters, learners): (Voters, Learners)) -> ConfState {
        ConfState {
            voters: voters.into_iter().collect(),
            learners: learners.into_iter().collect(),
            ..ConfState::default()
        }
    }
}

impl Snapshot {
    /// Whether it stands for "no snapshot": it covers no entry of the log.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.get_metadata().index == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_equal_when_roles_are() {
        let state = |voters: &[u64], learners: &[u64]| ConfState::from((voters.to_vec(), learners.to_vec()));
        assert!(conf_state_eq(&state(&[1, 2, 3], &[4]), &state(&[3, 1, 2], &[4])));
        assert!(!conf_state_eq(&state(&[1, 2], &[]), &state(&[1], &[2])));
        assert!(!conf_state_eq(&state(&[1, 1, 2], &[]), &state(&[1, 2, 2], &[])));
        let leaving = ConfState { auto_leave: true, ..state(&[1], &[]) };
        assert!(!conf_state_eq(&leaving, &state(&[1], &[])));
    }

    #[test]
    fn a_snapshot_without_entries_is_empty() {
        let mut snapshot = Snapshot::default();
        assert!(snapshot.is_empty());
        snapshot.mut_metadata().index = 1;
        assert!(!snapshot.is_empty());
    }
}
