//! What a cluster does when something breaks.

use heart_sim::Fault;

use crate::told::{Told, resource};

#[test]
fn an_owner_that_loses_power_is_replaced_after_one_lost_after() {
    let mut story = Told::three();
    story.cut_power("ada").run_for(5000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        ",
    );
}

#[test]
fn an_owner_that_leads_is_replaced_just_as_fast() {
    let mut story = Told::of(&["ada", "bob", "cyn"], "bob");
    assert_eq!((story.leader(), story.owner("address")), (Some("bob"), Some("bob")));
    story.cut_power("bob").run_for(5000);
    story.expect(
        "
        0.0 bob loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.5 ada runs address
        0.5 ada runs site
        ",
    );
}

#[test]
fn a_node_that_returns_takes_nothing_back() {
    let mut story = Told::three();
    story.cut_power("ada").run_for(5000).forget();
    story.switch_on("ada").run_for(10_000);
    story.expect("0.0 ada is switched on");
}

#[test]
fn a_service_that_dies_is_restarted_where_it_was_and_after_three_times_elsewhere() {
    let mut story = Told::three();
    for _ in 0..3 {
        story.happens(Fault::KillService(resource("site"))).run_for(2000);
    }
    story.expect(
        "
        0.0 site dies on ada
        0.0 nobody runs site
        0.0 ada runs site
        2.0 site dies on ada
        2.0 nobody runs site
        2.0 ada runs site
        4.0 site dies on ada
        4.0 nobody runs site
        4.0 nobody runs address
        4.0 bob runs address
        4.0 bob runs site
        ",
    );
}

#[test]
fn of_five_the_larger_part_goes_on_and_the_smaller_lets_go() {
    let mut story = Told::of(&["ada", "bob", "cyn", "dan", "eve"], "ada");
    story.part(&["ada", "bob"], &["cyn", "dan", "eve"]).run_for(5000);
    story.expect(
        "
        0.4 nobody runs address
        0.4 nobody runs site
        0.5 dan runs address
        0.5 dan runs site
        ",
    );
    story.heal().run_for(10_000);
    story.expect("0.0 the network is whole");
}

#[test]
fn a_link_that_comes_and_goes_moves_nothing_as_long_as_others_hear_both_ends() {
    let mut story = Told::three();
    for millis in [200, 400, 600, 800, 1200, 1600, 2000, 2500, 3000] {
        story.cut("ada", "bob").run_for(millis);
        story.heal().run_for(millis);
    }
    let told = story.world.take_story();
    assert!(!told.iter().any(|line| line.contains("runs")), "{told:?}");
    assert_eq!((story.owner("address"), story.owner("cache")), (Some("ada"), Some("cyn")));
}

#[test]
fn nobody_notices_that_a_core_was_killed() {
    let mut story = Told::three();
    for name in ["ada", "bob", "cyn"] {
        let fault = Fault::KillCore(story.place(name));
        story.happens(fault).run_for(3000);
    }
    story.expect(
        "
        0.0 the core of ada is killed
        3.0 the core of bob is killed
        6.0 the core of cyn is killed
        ",
    );
}

#[test]
fn a_leader_whose_disk_stands_still_hands_over_and_keeps_what_it_runs() {
    let mut story = Told::of(&["ada", "bob", "cyn"], "bob");
    let stall = Fault::StallDisk(story.place("bob"));
    story.happens(stall).run_for(5000);
    story.expect("0.0 the disk of bob does not answer");
    assert_ne!(story.leader(), Some("bob"));
    let mend = Fault::MendDisk(story.place("bob"));
    story.happens(mend).run_for(5000);
    story.expect("0.0 the disk of bob answers again");
}

#[test]
fn after_a_power_cut_of_everything_everything_comes_back() {
    let mut story = Told::three();
    story.cut_power("ada").cut_power("bob").cut_power("cyn").run_for(1000);
    story.switch_on("ada").switch_on("bob").switch_on("cyn").run_for(6000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.0 bob loses power
        0.0 cyn loses power
        0.0 nobody runs cache
        1.0 ada is switched on
        1.0 bob is switched on
        1.0 cyn is switched on
        1.6 ada runs address
        1.6 cyn runs cache
        1.6 ada runs site
        ",
    );
}
