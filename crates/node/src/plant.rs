//! Bugs put in on purpose, so that a test can show that the simulator finds them.
//!
//! Each is a rule of SAFETY left out, at the place where the rule is obeyed. Without the cargo
//! feature `planted` the question whether one is there is a constant, and nothing of this is in the
//! program.

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A lease is counted from the receipt of its acknowledgements (rule 2).
    LeaseFromReceipt,
    /// An acknowledgement counts for our newest beat, whichever it names (rule 2).
    AnyAnswerCounts,
    /// The clocks of others are taken to be as right as ours (κ, rule 2).
    ClocksTrusted,
    /// Acknowledgements of different voter configurations make one lease (rule 2).
    ConfigurationsMixed,
    /// A voter goes on promising to a session whose takeover it appended (rule 4).
    PromisesToTheDeposed,
    /// A restarted voter knows of no promises (rule 5).
    PromisesForgotten,
    /// The new owner starts at once (rule 7).
    NoWaitForPromises,
    /// A closed epoch is started again (rule 10).
    ClosedEpochStarts,
    /// Messages leave before what they speak of is durable (rule 15).
    SaidBeforeDurable,
    /// A voter that lost its log votes on (rule 16).
    LostLogVotes,
    /// A quorum of voters begins a history, whatever the others may have (rule 16).
    FoundedByQuorum,
    /// What waits for a fence is started when the lease is over (rule 9).
    NoWaitForFence,
    /// A node is taken in while somebody may still switch it off (rule 12).
    TakenInUnderFire,
    /// A life of a node that is heard passes for a later one than that which takes part (rule 8).
    EarlierLifeTakenIn,
    /// Half of the voters goes on although nothing proves that the others are off (rule 17 d).
    HalfWithoutProof,
    /// Half of the voters goes on although it has not taken part since it was started (rule 17 c).
    FreshHalfFires,
    /// Half of the voters goes on although others may not know who votes, or what decides (rule 17 b).
    HalfUnsettled,
    /// Half of the voters goes on whatever the tie-break says (rule 19).
    TieBreakIgnored,
    /// Half of the voters has a node switched off that left in order (rule 21).
    LeaverShot,
    /// Half of the voters has devices told while others of it may still agree with whom they hit (rule 12).
    NobodyHolds,
    /// A node that resets itself counts as off as soon as somebody has the right to say so (rule 11).
    OffBeforeDeadline,
    /// A watchdog is fed although the lease has ended and nothing was let go (rule 11).
    FedWithoutLease,
    /// A device is believed that says that a node is off which is heard (rule 11).
    VoiceIgnored,
    /// A watchdog is left alone although the lease runs: nobody looks at that (rule 11).
    LeaseUnseen,
    /// Half of the voters goes on by a claim of the tie-break that it made before it heard the others again (rule 19).
    ClaimKept,
    /// Half of the voters goes on because it reaches a ping target (rule 20).
    TargetVotes,
    /// Half of the voters begins what it would although none of its ping targets answers (rule 20).
    VetoIgnored,
    /// What a node says of its ping targets counts at once (decision 18).
    TargetsUnsettled,
    /// A node is taken in although it was not let in to the storage that others shut it out from.
    TakenInShutOut,
    /// A node that is shut out has itself let in while something of its last session is still there.
    LetInBeforeLettingGo,
    /// What a lease guards is started elsewhere as soon as its holder is shut out from storage (rule 7).
    ShutOutEndsLeases,
    /// A node whose disk takes nothing lays down its log, whoever else is sick (rule 17).
    AllLayDown,
    /// What is held counts as guarded by what the file says today, however it was started (rule 7).
    GuardOfToday,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 33] = [
        Bug::LeaseFromReceipt,
        Bug::AnyAnswerCounts,
        Bug::ClocksTrusted,
        Bug::ConfigurationsMixed,
        Bug::PromisesToTheDeposed,
        Bug::PromisesForgotten,
        Bug::NoWaitForPromises,
        Bug::ClosedEpochStarts,
        Bug::SaidBeforeDurable,
        Bug::LostLogVotes,
        Bug::FoundedByQuorum,
        Bug::NoWaitForFence,
        Bug::TakenInUnderFire,
        Bug::EarlierLifeTakenIn,
        Bug::HalfWithoutProof,
        Bug::FreshHalfFires,
        Bug::HalfUnsettled,
        Bug::LeaverShot,
        Bug::NobodyHolds,
        Bug::TieBreakIgnored,
        Bug::OffBeforeDeadline,
        Bug::FedWithoutLease,
        Bug::VoiceIgnored,
        Bug::LeaseUnseen,
        Bug::ClaimKept,
        Bug::TargetVotes,
        Bug::VetoIgnored,
        Bug::TargetsUnsettled,
        Bug::TakenInShutOut,
        Bug::LetInBeforeLettingGo,
        Bug::ShutOutEndsLeases,
        Bug::AllLayDown,
        Bug::GuardOfToday,
    ];
}

heart_model::plantable!(Bug);
