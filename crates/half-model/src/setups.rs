//! The situations that are checked.

use crate::{
    act::Act,
    bounds::{Budget, Guard, Rule, Setup},
    world::{between, cable},
};

const CUT_OF_TWO: &[u8] = &[0, cable(0, 1)];
const FIRST_ALONE: &[u8] = &[0, between(0b001, 0b110)];

/// Two of four are cut off from the other two.
pub const TWO_AND_TWO: &[u8] = &[0, between(0b0011, 0b1100)];
/// Or the first of four from all others.
pub const TWO_AND_TWO_OR_LAST_THREE: &[u8] = &[0, between(0b0011, 0b1100), between(0b0001, 0b1110)];
/// Or the second of four from all others.
pub const TWO_AND_TWO_OR_ALL_BUT_SECOND: &[u8] = &[0, between(0b0011, 0b1100), between(0b0010, 0b1101)];
/// Or the second of four still hears all.
pub const SECOND_HEARS_ALL: &[u8] = &[0, between(0b0011, 0b1100), between(0b0001, 0b1100)];

/// Two nodes with devices; everything that may go wrong once or twice.
#[must_use]
pub fn pair() -> Setup {
    Setup {
        nodes: 2,
        voters: 0b11,
        configured: 0b11,
        leader: 0,
        guard: Guard::Fence,
        tie_break: false,
        devices: true,
        cuts: CUT_OF_TWO,
        budget: Budget {
            power_cuts: 1,
            boots: 2,
            cuts: 2,
            fires: 2,
            refusals: 1,
            elections: 3,
            changes: 1,
            grants: 1,
            forces: 2,
            ..Budget::NONE
        },
        prelude: &[],
        must_go_on: false,
        sought: None,
        without: &[],
    }
}

/// Two nodes with a tie-break and a resource that is guarded by the lease.
#[must_use]
pub fn tied() -> Setup {
    Setup {
        guard: Guard::Lease,
        tie_break: true,
        devices: false,
        budget: Budget {
            power_cuts: 1,
            boots: 1,
            cuts: 2,
            elections: 2,
            changes: 1,
            grants: 1,
            forces: 2,
            swaps: 3,
            ..Budget::NONE
        },
        ..pair()
    }
}

/// Two nodes with a tie-break, devices, and a resource that is guarded by them.
#[must_use]
pub fn tied_and_fenced() -> Setup {
    Setup { guard: Guard::Fence, devices: true, budget: Budget { fires: 1, ..tied().budget }, ..tied() }
}

/// Three voters, of which the third is to vote no longer (schedule 8).
#[must_use]
pub fn shrinking() -> Setup {
    Setup {
        nodes: 3,
        voters: 0b111,
        configured: 0b011,
        cuts: FIRST_ALONE,
        budget: Budget {
            power_cuts: 1,
            boots: 1,
            cuts: 1,
            fires: 1,
            elections: 1,
            changes: 1,
            forces: 1,
            ..Budget::NONE
        },
        ..pair()
    }
}

/// Four voters with devices, of which two are cut off from the others.
#[must_use]
pub fn four() -> Setup {
    Setup {
        nodes: 4,
        voters: 0b1111,
        configured: 0b1111,
        cuts: TWO_AND_TWO,
        budget: Budget { boots: 1, cuts: 2, fires: 2, elections: 2, grants: 1, forces: 1, ..Budget::NONE },
        ..pair()
    }
}

/// Four voters with a tie-break, of which the second may hear all others while the first does not.
#[must_use]
pub fn four_tied() -> Setup {
    Setup {
        leader: 2,
        tie_break: true,
        devices: false,
        cuts: SECOND_HEARS_ALL,
        budget: Budget { cuts: 3, elections: 1, forces: 2, swaps: 4, ..Budget::NONE },
        ..four()
    }
}

/// Four voters with a tie-break, and a resource that is guarded by the lease.
#[must_use]
pub fn four_leased() -> Setup {
    Setup {
        leader: 0,
        guard: Guard::Lease,
        cuts: TWO_AND_TWO,
        budget: Budget { cuts: 1, elections: 1, grants: 1, forces: 1, swaps: 2, ..Budget::NONE },
        ..four_tied()
    }
}

/// Three voters, and a fourth one that comes back: two of them may not know that it votes.
#[must_use]
pub fn growing() -> Setup {
    Setup {
        voters: 0b0111,
        budget: Budget { boots: 2, cuts: 1, fires: 2, elections: 1, changes: 1, forces: 1, ..Budget::NONE },
        ..four()
    }
}

/// The owner of two has lost power, and nothing else goes wrong.
#[must_use]
pub fn left_alone() -> Setup {
    Setup {
        prelude: &[Act::PowerCut(0)],
        must_go_on: true,
        budget: Budget { fires: 1, elections: 1, grants: 1, forces: 1, ..Budget::NONE },
        ..pair()
    }
}

/// Two of four have lost power, and nothing else goes wrong.
#[must_use]
pub fn two_left() -> Setup {
    Setup {
        prelude: &[Act::PowerCut(0), Act::PowerCut(2)],
        budget: Budget { fires: 2, elections: 1, grants: 1, forces: 1, ..Budget::NONE },
        must_go_on: true,
        ..four()
    }
}

/// The same with these rules left out.
#[must_use]
pub fn without(setup: &Setup, rules: &'static [Rule]) -> Setup {
    Setup { without: rules, ..setup.clone() }
}
