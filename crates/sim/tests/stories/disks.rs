//! Nodes that are told over a disk that all share to reset themselves: SAFETY rules 11 and 12, schedules 14 and 18.
//!
//! `ada` runs `disk`, which nobody takes from a node that may not be off. With the default timing a node that obeys is
//! off after ten seconds, and one that does not read what it is told after sixteen.

use heart_sim::{Fault, with_fences_on_disk};

use crate::told::{Told, spec, with_disk};

fn story() -> Told {
    with_disk(with_fences_on_disk(spec(&["ada", "bob", "cyn"], "ada", "cyn")))
}

fn reaches(story: &mut Told, name: &str, reached: bool) {
    let node = story.place(name);
    story.happens(Fault::SharedDisk { node, reached });
}

/// One thing comes before another.
fn in_order(told: &str, first: &str, then: &str) {
    let find = |words: &str| told.find(words).unwrap_or_else(|| panic!("`{words}` is not in {told}"));
    assert!(find(first) < find(then), "{told}");
}

#[test]
fn a_node_that_is_cut_off_reads_that_it_is_to_reset_itself() {
    let mut story = story();
    story.part(&["ada"], &["bob", "cyn"]).run_for(20_000);
    let told = story.told();
    in_order(&told, "ada was told to over the shared disk, and resets itself", "cyn runs disk");
    assert_eq!(told.matches("resets itself").count(), 1, "{told}");
    story.heal().run_for(6000);
    assert!(story.takes_part("ada"));
    assert_eq!(story.owner("disk"), Some("cyn"), "nothing moves back");
}

#[test]
fn a_node_without_power_is_off_when_it_would_have_been_reset() {
    let mut story = story();
    story.cut_power("ada").run_for(15_000);
    assert_eq!(story.owner("disk"), None, "it may only be slow");
    story.run_for(8000);
    assert_eq!(story.owner("disk"), Some("cyn"));
}

#[test]
fn a_node_that_reaches_neither_the_others_nor_the_disk_is_off_before_its_disk_is_used_elsewhere() {
    let mut story = story();
    reaches(&mut story, "ada", false);
    story.part(&["ada"], &["bob", "cyn"]).run_for(25_000);
    let told = story.told();
    in_order(
        &told,
        "ada has no lease and reads nothing on the shared disk, and resets itself",
        "cyn runs disk",
    );
}

#[test]
fn a_machine_that_stands_still_is_reset_by_its_watchdog_before_its_disk_is_used_elsewhere() {
    let mut story = story();
    story.freeze("ada", 60_000).run_for(25_000);
    in_order(&story.told(), "the watchdog of ada resets it", "cyn runs disk");
}

#[test]
fn without_an_armed_watchdog_silence_proves_nothing() {
    let mut story = story();
    let ada = story.place("ada");
    story.happens(Fault::LoseWatchdog(ada)).run_for(3000);
    story.cut_power("ada").run_for(60_000);
    assert!(story.told().contains("its watchdog was not armed"), "{}", story.told());
    assert_eq!(story.owner("disk"), None);
}

#[test]
fn a_disk_that_nobody_reaches_harms_nobody_who_is_heard() {
    let mut story = story();
    ["ada", "bob", "cyn"].into_iter().for_each(|name| reaches(&mut story, name, false));
    story.run_for(60_000);
    assert!(!story.told().contains("resets"), "{}", story.told());
    assert_eq!(story.owner("disk"), Some("ada"));
    // Nobody can be switched off over it.
    story.cut_power("ada").run_for(60_000);
    assert_eq!(story.owner("disk"), None);
}

#[test]
fn a_node_that_is_heard_again_before_it_has_read_what_it_was_told_goes_on() {
    let mut story = story();
    reaches(&mut story, "ada", false);
    story.part(&["ada"], &["bob", "cyn"]).run_for(3000);
    assert!(story.told().contains("tells ada over the shared disk"), "{}", story.told());
    reaches(&mut story, "ada", true);
    story.heal().run_for(40_000);
    assert!(story.owner("disk").is_some(), "{}", story.told());
    assert!(story.takes_part("ada"));
}
