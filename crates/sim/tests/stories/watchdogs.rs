//! Nodes that are reset by their own watchdog when they are cut off, and that nobody else can switch off: SAFETY
//! rules 9 and 11, schedules 15 and 18.
//!
//! `ada` runs `disk`, which nobody takes from a node that may not be off. With the default timing a watchdog fires
//! after four seconds, and a node of which nothing is heard for fourteen is off, or has let go.

use heart_model::Guard;
use heart_sim::{Fault, ms, with_watchdogs};

use crate::told::{Told, resource, spec, with_disk};

fn story() -> Told {
    with_disk(with_watchdogs(spec(&["ada", "bob", "cyn"], "ada", "cyn")))
}

#[test]
fn what_a_dead_node_ran_goes_on_when_its_watchdog_would_have_fired() {
    let mut story = story();
    story.cut_power("ada").run_for(20_000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs disk
        0.0 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        14.6 cyn runs disk",
    );
}

#[test]
fn a_node_that_is_cut_off_lets_go_in_time_and_is_not_reset() {
    let mut story = story();
    story.part(&["ada"], &["bob", "cyn"]).run_for(20_000);
    let told = story.told();
    assert!(told.contains("nobody runs disk") && told.contains("cyn runs disk"), "{told}");
    assert!(!told.contains("resets it"), "{told}");
    story.heal().run_for(5000);
    assert!(story.takes_part("ada"));
    assert_eq!(story.owner("disk"), Some("cyn"), "nothing moves back");
    story.cut_power("cyn").run_for(20_000);
    assert!(matches!(story.owner("disk"), Some("ada" | "bob")));
}

#[test]
fn a_node_that_is_heard_again_in_time_was_not_off() {
    let mut story = story();
    story.part(&["ada"], &["bob", "cyn"]).run_for(8000);
    story.heal().run_for(8000);
    let told = story.told();
    assert!(!told.contains("resets it"), "{told}");
    assert!(story.owner("disk").is_some(), "{told}");
}

#[test]
fn a_node_that_is_cut_off_and_cannot_let_go_is_reset() {
    let mut story = story();
    let node = story.place("ada");
    story.happens(Fault::StallExecutor { node, lasts: ms(60_000) });
    story.part(&["ada"], &["bob", "cyn"]).run_for(13_000);
    let told = story.told();
    assert!(told.contains("no longer feeds its watchdog: the lease has ended"), "{told}");
    assert!(told.contains("the watchdog of ada resets it"), "{told}");
    assert_eq!(story.owner("disk"), None, "the others wait for longer than that");
}

/// The file says since yesterday that a lease guards `disk`, which was started behind a fence, and runs without a gate: the
/// others wait for the watchdog, so that has to do what they wait for (SAFETY rule 7).
#[test]
fn what_was_started_behind_a_fence_is_let_go_or_reset_whatever_the_file_says_since() {
    let mut story = story();
    story.happens(Fault::Guard { resource: resource("disk"), guard: Guard::Lease });
    for name in ["ada", "bob", "cyn"] {
        let core = story.place(name);
        story.happens(Fault::KillCore(core)).run_for(5000);
    }
    assert_eq!(story.owner("disk"), Some("ada"), "nothing stops");
    story.forget();
    let node = story.place("ada");
    story.happens(Fault::StallExecutor { node, lasts: ms(60_000) });
    story.part(&["ada"], &["bob", "cyn"]).run_for(20_000);
    let told = story.told();
    let reset = told.find("the watchdog of ada resets it").unwrap_or_else(|| panic!("{told}"));
    let starts = told.find("cyn runs disk").unwrap_or_else(|| panic!("{told}"));
    assert!(reset < starts, "{told}");
}

#[test]
fn a_machine_of_which_all_processes_stand_still_is_reset_before_others_start_what_it_ran() {
    let mut story = story();
    story.freeze("ada", 60_000).run_for(5_000);
    let first = story.told();
    let line = first.lines().find(|line| line.contains("the watchdog of ada resets it"));
    let reset: f64 =
        line.and_then(|line| line.split_once(' ')?.0.parse().ok()).unwrap_or_else(|| panic!("{first}"));
    // It boots three seconds after that, and loses power.
    let ada = story.place("ada");
    story.world.schedule(ms((reset * 1000.0) as u64 + 3_002 - 5_000), Fault::PowerCut(ada));
    story.run_for(20_000);
    let told = first.clone() + &story.told();
    let reset = told.find("the watchdog of ada resets it").unwrap_or_else(|| panic!("{told}"));
    let starts = told.find("cyn runs disk").unwrap_or_else(|| panic!("{told}"));
    assert!(reset < starts, "{told}");
}

#[test]
fn a_core_that_hangs_is_killed_and_nothing_else_happens() {
    let mut story = story();
    let node = story.place("ada");
    story.happens(Fault::StallCore { node, lasts: ms(60_000) }).run_for(20_000);
    let told = story.told();
    assert!(told.contains("the guardian of ada kills its core"), "{told}");
    assert!(!told.contains("resets it") && !told.contains("nobody runs disk"), "{told}");
    assert_eq!(story.owner("disk"), Some("ada"));
}

#[test]
fn a_guardian_that_stands_still_for_less_than_the_deadline_costs_nothing() {
    let mut story = story();
    let node = story.place("ada");
    for _ in 0..20 {
        story.happens(Fault::StallGuardian { node, lasts: ms(2_500) }).run_for(4_000);
    }
    assert!(!story.told().contains("resets it"));
    assert_eq!(story.owner("disk"), Some("ada"));
}

#[test]
fn a_node_that_runs_nothing_is_not_reset_for_being_alone() {
    let mut story = story();
    story.part(&["bob"], &["ada", "cyn"]).run_for(40_000);
    assert!(!story.told().contains("resets it"));
}

#[test]
fn without_an_armed_watchdog_nothing_starts_that_others_would_take_by_the_clock() {
    let mut story = story();
    let (bob, cyn) = (story.place("bob"), story.place("cyn"));
    story.happens(Fault::LoseWatchdog(bob)).happens(Fault::LoseWatchdog(cyn));
    story.cut_power("ada").run_for(20_000);
    assert_eq!(story.owner("disk"), None);
    assert_eq!(story.owner("address"), Some("bob"), "what its lease guards starts all the same");
    story.switch_on("ada").run_for(5000);
    assert_eq!(story.owner("disk"), Some("ada"));
}
