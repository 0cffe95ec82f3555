//! Every order of what can happen, within bounds, with all rules: every claim holds in all of them.

use heart_half_model::{
    act::Act,
    bounds::{Budget, Setup},
    claims::{ALWAYS, COMES_BACK, GOES_ON, NEVER_STUCK, ONE_OWNER},
    setups, story,
};
use stateright::{Checker, Model};

/// Tries everything; `reached` must be possible. Prints the number of worlds.
fn check(what: &str, setup: &Setup, reached: &[&'static str]) {
    let checker = setup.clone().checker().spawn_bfs().join();
    for claim in ALWAYS.into_iter().chain([NEVER_STUCK]) {
        if let Some(path) = checker.discovery(claim) {
            panic!("{what}: not {claim}\n{}", story::tell(setup, &path.into_vec()));
        }
    }
    for claim in reached {
        assert!(checker.discovery(claim).is_some(), "{what}: never: {claim}");
    }
    println!("{what}: {} worlds, {} steps deep", checker.unique_state_count(), checker.max_depth());
}

#[test]
fn two_nodes_with_devices() {
    check("two with devices", &setups::pair(), &[GOES_ON, COMES_BACK]);
}

#[test]
fn two_nodes_with_a_tie_break() {
    check("two with a tie-break", &setups::tied(), &[GOES_ON, COMES_BACK]);
}

#[test]
fn two_nodes_with_a_tie_break_and_devices() {
    check("two with both", &setups::tied_and_fenced(), &[GOES_ON]);
}

#[test]
fn two_of_three_are_left_to_vote() {
    check("three, then two", &setups::shrinking(), &[]);
}

#[test]
fn a_fourth_voter_comes_to_three() {
    check("three, then four", &setups::growing(), &[]);
}

#[test]
fn two_of_four_with_devices() {
    check("four with devices", &setups::four(), &[GOES_ON]);
}

#[test]
fn two_of_four_with_a_tie_break() {
    check("four with a tie-break", &setups::four_tied(), &[]);
    check("four with a tie-break and leases", &setups::four_leased(), &[GOES_ON]);
}

#[test]
fn one_of_two_lost_its_disk() {
    let setup = setups::pair();
    let budget = Budget { disks: 1, cuts: 0, fires: 0, refusals: 0, ..setup.budget };
    check("two, and a disk", &Setup { budget, ..setup }, &[GOES_ON]);
}

/// It lays its log down without being able to write that, and comes back with it.
#[test]
fn disks_of_half_of_the_voters_take_nothing() {
    let (pair, tied) = (setups::pair(), setups::tied());
    let budget = Budget { stalls: 1, cuts: 1, fires: 1, refusals: 0, changes: 0, ..pair.budget };
    check("two, and a disk that takes nothing", &Setup { budget, ..pair }, &[GOES_ON]);
    let budget = Budget { stalls: 1, cuts: 1, changes: 0, swaps: 2, ..tied.budget };
    check("two with a tie-break, and such a disk", &Setup { budget, ..tied }, &[GOES_ON]);
    let budget = Budget { stalls: 2, power_cuts: 1, boots: 1, elections: 1, forces: 1, ..Budget::NONE };
    check("four, and two such disks", &Setup { budget, devices: false, ..setups::four() }, &[GOES_ON]);
    let budget = Budget { stalls: 2, cuts: 2, forces: 1, swaps: 2, grants: 1, ..Budget::NONE };
    check("four with a tie-break, and two such disks", &Setup { budget, ..setups::four_tied() }, &[]);
}

/// A person who looked says that the other one is off, and it may boot again in the next moment.
#[test]
fn a_person_who_looked_is_right() {
    let setup = setups::pair();
    let budget = Budget { words: 1, fires: 0, refusals: 0, ..setup.budget };
    check("two, and a person", &Setup { devices: false, budget, ..setup }, &[GOES_ON, COMES_BACK]);
}

#[test]
fn who_is_left_of_two_goes_on_with_a_device_that_works() {
    check("one is left, device", &setups::left_alone(), &[GOES_ON]);
}

#[test]
fn who_is_left_of_two_goes_on_with_a_tie_break() {
    let budget = Budget { elections: 1, grants: 1, forces: 1, swaps: 2, ..Budget::NONE };
    let setup = Setup { prelude: &[Act::PowerCut(0)], must_go_on: true, budget, ..setups::tied() };
    check("one is left, tie-break", &setup, &[GOES_ON]);
}

#[test]
fn who_is_left_of_four_goes_on_with_devices_that_work() {
    check("two are left, devices", &setups::two_left(), &[GOES_ON]);
}

/// What is assumed of devices and persons: without that there are two owners.
#[test]
fn a_device_that_lies_and_a_person_who_is_wrong_make_two_owners() {
    let check = |budget: Budget| {
        let setup = Setup { budget, sought: Some(ONE_OWNER), ..setups::pair() };
        let checker = setup.clone().checker().spawn_bfs().join();
        let path = checker.discovery(ONE_OWNER).expect("two owners");
        println!("{}", story::tell(&setup, &path.into_vec()));
    };
    let budget = Budget { cuts: 1, elections: 1, grants: 1, forces: 1, ..Budget::NONE };
    check(Budget { fires: 1, lies: 1, ..budget });
    check(Budget { words: 1, wrong_words: 1, ..budget });
}

#[test]
#[ignore = "minutes, and gigabytes of memory: larger bounds"]
fn two_nodes_with_devices_larger() {
    let budget = Budget { power_cuts: 2, cuts: 3, fires: 3, grants: 2, ..setups::pair().budget };
    check("two with devices", &Setup { budget, ..setups::pair() }, &[GOES_ON, COMES_BACK]);
}

#[test]
#[ignore = "minutes, and gigabytes of memory: larger bounds"]
fn two_nodes_with_a_tie_break_larger() {
    let budget = Budget { elections: 3, swaps: 4, ..setups::tied().budget };
    check("two with a tie-break", &Setup { budget, ..setups::tied() }, &[GOES_ON, COMES_BACK]);
}

#[test]
#[ignore = "minutes, and gigabytes of memory: larger bounds"]
fn two_of_four_with_a_tie_break_larger() {
    let budget = Budget { elections: 2, ..setups::four_tied().budget };
    check("four with a tie-break", &Setup { budget, ..setups::four_tied() }, &[]);
    let budget = Budget { cuts: 2, swaps: 3, ..setups::four_leased().budget };
    check("four with a tie-break and leases", &Setup { budget, ..setups::four_leased() }, &[GOES_ON]);
}

#[test]
#[ignore = "minutes, and gigabytes of memory: larger bounds"]
fn disks_of_half_of_the_voters_take_nothing_larger() {
    let (pair, tied) = (setups::pair(), setups::tied());
    let budget = Budget { stalls: 1, fires: 1, refusals: 0, ..pair.budget };
    check("two, and a disk that takes nothing", &Setup { budget, ..pair }, &[GOES_ON, COMES_BACK]);
    let budget = Budget { stalls: 1, changes: 0, ..tied.budget };
    check("two with a tie-break, and such a disk", &Setup { budget, ..tied }, &[GOES_ON]);
    let budget =
        Budget { stalls: 2, power_cuts: 2, boots: 2, cuts: 1, elections: 1, forces: 2, ..Budget::NONE };
    check("four, and two such disks", &Setup { budget, devices: false, ..setups::four() }, &[GOES_ON]);
}
