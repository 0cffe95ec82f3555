//! Each rule is needed: without it the checker finds what it is for.

use std::collections::BTreeSet;

use heart_half_model::{
    bounds::{Budget, Guard, Rule, Setup},
    claims::{NOBODY_HIT, NOT_EACH_OTHER, NOTHING_LOST, ONE_HISTORY, ONE_OWNER},
    setups, story,
};
use stateright::{Checker, HasDiscoveries, Model};

/// With all rules `claim` holds in all worlds of `setup`; without `rules` it does not. Prints how.
fn check(setup: &Setup, rules: &'static [Rule], claim: &'static str) {
    let setup = Setup { sought: Some(claim), ..setup.clone() };
    let sought = || HasDiscoveries::AnyOf(BTreeSet::from([claim]));
    holds_in(&setup, claim);
    let broken = setups::without(&setup, rules);
    let checker = broken.clone().checker().finish_when(sought()).spawn_bfs().join();
    let Some(path) = checker.discovery(claim) else {
        panic!("{rules:?}: {claim} holds in {} worlds without it too", checker.unique_state_count());
    };
    println!("without {rules:?}: not {claim}\n{}", story::tell(&broken, &path.into_vec()));
}

fn holds_in(setup: &Setup, claim: &'static str) {
    let sought = HasDiscoveries::AnyOf(BTreeSet::from([claim]));
    let checker = setup.clone().checker().finish_when(sought).spawn_bfs().join();
    if let Some(path) = checker.discovery(claim) {
        panic!("without {:?}: not {claim}\n{}", setup.without, story::tell(setup, &path.into_vec()));
    }
}

/// What two nodes need: nothing happens that the rule does not need.
fn pair(budget: Budget) -> Setup {
    Setup { budget, ..setups::pair() }
}

#[test]
fn without_proof_two_own() {
    check(
        &pair(Budget { cuts: 1, forces: 2, grants: 1, elections: 2, ..Budget::NONE }),
        &[Rule::Proof],
        ONE_OWNER,
    );
}

#[test]
fn a_fresh_boot_that_goes_on_makes_a_second_history() {
    check(
        &pair(Budget { cuts: 1, forces: 2, fires: 2, boots: 2, elections: 2, ..Budget::NONE }),
        &[Rule::TookPart],
        ONE_HISTORY,
    );
}

/// It could not write that it laid its log down, and has it again.
#[test]
fn who_laid_its_log_down_and_goes_on_in_its_next_boot_makes_a_second_history() {
    check(
        &pair(Budget {
            stalls: 1,
            power_cuts: 2,
            boots: 1,
            forces: 2,
            fires: 1,
            elections: 1,
            ..Budget::NONE
        }),
        &[Rule::TookPart],
        ONE_HISTORY,
    );
}

/// Schedule 8.
#[test]
fn what_not_everybody_knows_is_gone_on_from_twice() {
    check(
        &Setup {
            budget: Budget {
                cuts: 1,
                forces: 1,
                fires: 1,
                boots: 1,
                elections: 2,
                changes: 1,
                ..Budget::NONE
            },
            ..setups::shrinking()
        },
        &[Rule::Settled],
        ONE_HISTORY,
    );
}

/// Schedule 14.
#[test]
fn who_is_taken_in_under_an_open_right_is_hit() {
    check(
        &Setup {
            budget: Budget {
                cuts: 2,
                forces: 1,
                swaps: 2,
                fires: 1,
                boots: 1,
                power_cuts: 1,
                elections: 2,
                grants: 1,
                ..Budget::NONE
            },
            ..setups::tied_and_fenced()
        },
        &[Rule::Right],
        NOBODY_HIT,
    );
}

#[test]
fn a_tie_break_that_is_set_blindly_sides_with_both() {
    check(
        &Setup { budget: Budget { cuts: 1, forces: 2, swaps: 2, ..Budget::NONE }, ..setups::tied() },
        &[Rule::CompareAndSwap],
        ONE_HISTORY,
    );
}

/// Also where a voter took no notice of a change that it has in its log, it would not be named.
#[test]
fn a_tie_break_that_names_somebody_while_the_voters_change_lets_an_old_half_go_on() {
    let setup = Setup {
        configured: 0b01,
        budget: Budget { cuts: 1, forces: 1, swaps: 3, changes: 1, ..Budget::NONE },
        ..setups::tied()
    };
    holds_in(&setups::without(&setup, &[Rule::Settled]), ONE_HISTORY);
    check(&setup, &[Rule::Settled, Rule::NamesNobody], ONE_HISTORY);
}

#[test]
fn a_claim_that_outlives_its_parting_makes_a_second_history() {
    check(&setups::tied(), &[Rule::ClaimsEnd], ONE_HISTORY);
}

#[test]
fn who_does_not_let_the_other_one_go_first_is_switched_off_too() {
    check(&pair(Budget { cuts: 1, fires: 2, ..Budget::NONE }), &[Rule::Hesitate], NOT_EACH_OTHER);
}

#[test]
fn who_asks_only_what_is_agreed_on_goes_first_on_both_sides() {
    check(&setups::pair(), &[Rule::WholeLog], NOT_EACH_OTHER);
}

#[test]
fn a_promise_that_is_not_waited_for_makes_two_owners() {
    check(&setups::tied(), &[Rule::WaitForPromises], ONE_OWNER);
}

/// Two of four: the checks that need two halves of two.
fn four(cuts: &'static [u8], budget: Budget) -> Setup {
    Setup { budget, cuts, ..setups::four() }
}

#[test]
fn who_does_not_keep_still_agrees_with_whom_a_device_hits() {
    check(
        &four(setups::TWO_AND_TWO, Budget { cuts: 2, fires: 1, elections: 1, grants: 1, ..Budget::NONE }),
        &[Rule::KeepStill],
        NOBODY_HIT,
    );
}

#[test]
fn who_keeps_its_vote_makes_a_quorum_of_the_old_history() {
    check(
        &four(
            setups::TWO_AND_TWO_OR_LAST_THREE,
            Budget { cuts: 2, fires: 2, boots: 2, forces: 1, elections: 1, ..Budget::NONE },
        ),
        &[Rule::StandBack],
        ONE_HISTORY,
    );
}

#[test]
fn a_worse_log_that_goes_on_loses_what_was_agreed_on() {
    check(
        &four(
            setups::TWO_AND_TWO_OR_ALL_BUT_SECOND,
            Budget { cuts: 2, power_cuts: 1, boots: 1, fires: 2, forces: 1, ..Budget::NONE },
        ),
        &[Rule::BestLog],
        NOTHING_LOST,
    );
}

/// A leader that nobody of this half heard of has a newer term, and who went on would vote for it.
#[test]
fn who_obeys_an_older_history_loses_what_was_agreed_on() {
    check(
        &four(
            setups::TWO_AND_TWO_OR_LAST_THREE,
            Budget { cuts: 3, fires: 2, boots: 2, forces: 1, elections: 2, ..Budget::NONE },
        ),
        &[Rule::EraOrder],
        NOTHING_LOST,
    );
}

#[test]
fn a_half_of_four_that_does_not_ask_the_tie_break_once_more_makes_a_second_history() {
    check(
        &Setup {
            leader: 2,
            tie_break: true,
            devices: false,
            ..four(
                setups::SECOND_HEARS_ALL,
                Budget { cuts: 3, forces: 2, swaps: 5, elections: 1, ..Budget::NONE },
            )
        },
        &[Rule::ClaimOnceMore],
        ONE_HISTORY,
    );
}

#[test]
fn promises_that_are_not_taken_on_make_two_owners() {
    check(
        &Setup {
            tie_break: true,
            devices: false,
            guard: Guard::Lease,
            ..four(
                setups::TWO_AND_TWO,
                Budget { cuts: 1, forces: 1, swaps: 2, elections: 1, grants: 1, ..Budget::NONE },
            )
        },
        &[Rule::TakePromisesOn],
        ONE_OWNER,
    );
}
