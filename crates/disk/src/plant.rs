//! Bugs put in on purpose into what is concluded from a disk; see [`heart_model::plantable`].

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// What a node wants the tie-break to say is taken for what it says before it stands in that node's block.
    ClaimUnwritten,
    /// A node that was told to reset itself counts as off before the time is over after which it said that it would be.
    PillBeforeTime,
}

heart_model::plantable!(Bug);
