//! What is checked: from where the model begins, how much may happen, and which rules are left out.

use crate::{act::Act, log::Ledger};

/// A node, by its place.
pub type Node = usize;

/// Nodes at most.
pub const PLACES: usize = 4;

/// A rule of `SAFETY` or of decision 12 that can be taken out, to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The best log of a half goes on (17 a).
    BestLog,
    /// Every voter had applied the configuration (17 b).
    Settled,
    /// It took part in this boot (17 c).
    TookPart,
    /// The others are proven off (17 d).
    Proof,
    /// Nobody is taken in under an open right to fire (12).
    Right,
    /// An older era neither votes nor is obeyed (18).
    EraOrder,
    /// A tie-break is changed by compare-and-swap (19).
    CompareAndSwap,
    /// A tie-break names nobody while the voters change (19).
    NamesNobody,
    /// The others of a half keep still while a device may act (decision 12).
    KeepStill,
    /// The others of a half give up their votes before it goes on (decision 12).
    StandBack,
    /// Who runs less lets the other one go first (decision 12).
    Hesitate,
    /// Who runs less is asked of the whole log too, not only of what is known to be agreed on.
    WholeLog,
    /// What was claimed of a tie-break counts for nothing once others were heard again (19).
    ClaimsEnd,
    /// The tie-break is asked once more when the others of a half have given up their votes (19).
    ClaimOnceMore,
    /// Nothing is taken over before promises have run out (7).
    WaitForPromises,
    /// Who goes on takes the promises of the others on (decision 12).
    TakePromisesOn,
}

/// What lets the resource change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Only proof that the boot is over.
    Fence,
    /// Promises that ran out.
    Lease,
}

/// How often what may go wrong does, in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Times that a node loses power by itself.
    pub power_cuts: u8,
    /// Times that a node without power gets it back.
    pub boots: u8,
    /// Times that cables are cut or mended.
    pub cuts: u8,
    /// Times that a device is told.
    pub fires: u8,
    /// Attempts that fail.
    pub refusals: u8,
    /// Times that a device says *off* and lies.
    pub lies: u8,
    /// Disks that are lost.
    pub disks: u8,
    /// Disks that take nothing any more.
    pub stalls: u8,
    /// Words of persons who looked.
    pub words: u8,
    /// Words of persons who are wrong.
    pub wrong_words: u8,
    /// Elections.
    pub elections: u8,
    /// Changes of who votes.
    pub changes: u8,
    /// Times that the resource is given to another node.
    pub grants: u8,
    /// Histories that begin.
    pub forces: u8,
    /// Changes of the tie-break that are asked for.
    pub swaps: u8,
}

impl Budget {
    /// Nothing goes wrong, and nothing is decided.
    pub const NONE: Budget = Budget {
        power_cuts: 0,
        boots: 0,
        cuts: 0,
        fires: 0,
        refusals: 0,
        lies: 0,
        disks: 0,
        stalls: 0,
        words: 0,
        wrong_words: 0,
        elections: 0,
        changes: 0,
        grants: 0,
        forces: 0,
        swaps: 0,
    };
}

/// A model to be checked.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many nodes there are.
    pub nodes: usize,
    /// Who votes in the beginning, one bit each; their logs say that everybody knows that.
    pub voters: u8,
    /// Who is to vote.
    pub configured: u8,
    /// Who leads in the beginning.
    pub leader: Node,
    /// What guards the resource. Node 0 runs it in the beginning.
    pub guard: Guard,
    /// Whether the file names a tie-break.
    pub tie_break: bool,
    /// Whether nodes have devices.
    pub devices: bool,
    /// The cables that may be cut together: each set has one bit for each pair, see
    /// [`cable`](crate::world::cable). The empty one mends all.
    pub cuts: &'static [u8],
    /// How much may happen.
    pub budget: Budget,
    /// What happens before anything else; beside the budget.
    pub prelude: &'static [Act],
    /// Whether a half goes on and owns whatever happens, once nothing more can happen.
    pub must_go_on: bool,
    /// The only claim that is of interest: no world in which it does not hold is gone on from. All, if not said.
    pub sought: Option<&'static str>,
    /// What is left out.
    pub without: &'static [Rule],
}

impl Setup {
    /// Whether a rule is obeyed.
    #[must_use]
    pub fn obeys(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    /// What every log begins with.
    #[must_use]
    pub fn beginning(&self) -> Ledger {
        let part = |of: u8| core::array::from_fn(|node| u8::from(of & 1 << node != 0));
        Ledger {
            era: 0,
            parents: 0,
            overruled: 0,
            voters: part(self.voters),
            configuration: (1, 0),
            settled: Some((1, 0)),
            session: part(self.voters),
            last: part(self.voters),
            off: [0; PLACES],
            right: [None; PLACES],
            bars_targets: self.obeys(Rule::Right),
            grant: Some((0, 1)),
            until_gone: [0; PLACES],
        }
    }
}
