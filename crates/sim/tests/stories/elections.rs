//! Leaders that are gone, deaf, hung or badly placed (schedules 3 and 21): a healthy quorum recovers
//! from each in bounded time, and nothing that runs stops for it.

use heart_node::core::Request;
use heart_sim::{Fault, WorldSettings};

use crate::told::{Told, node, spec};

#[test]
fn a_restarted_follower_does_not_depose_a_leader_that_others_hear() {
    let mut story = Told::three();
    for _ in 0..3 {
        story.cut_power("cyn").run_for(30);
        story.switch_on("cyn").run_for(3000);
        assert_eq!(story.leader(), Some("bob"));
        assert_eq!(story.owner("address"), Some("ada"));
    }
}

#[test]
fn a_deaf_leader_is_replaced_and_nothing_stops() {
    let mut story = Told::three();
    story.cut_one_way("ada", "bob").cut_one_way("cyn", "bob").run_for(3000);
    story.expect("");
    assert_ne!(story.leader(), Some("bob"));
}

#[test]
fn a_dumb_leader_is_replaced_and_nothing_stops() {
    let mut story = Told::three();
    story.cut_one_way("bob", "ada").cut_one_way("bob", "cyn").run_for(3000);
    story.expect("");
    assert_ne!(story.leader(), Some("bob"));
}

#[test]
fn a_deaf_owner_loses_what_it_runs() {
    let mut story = Told::three();
    story.cut_one_way("bob", "ada").cut_one_way("cyn", "ada").run_for(3000);
    story.expect(
        "
        0.5 nobody runs address
        0.5 nobody runs site
        1.1 bob runs address
        1.1 bob runs site
        ",
    );
}

#[test]
fn a_leader_whose_core_hangs_while_its_heartbeats_go_on_is_replaced() {
    let mut story = Told::three();
    let hang = Fault::StallCore { node: story.place("bob"), lasts: 5_000_000_000 };
    story.happens(hang).run_for(3000);
    story.expect("0.0 the core of bob stands still for 5000 ms");
    assert_ne!(story.leader(), Some("bob"));
    story.run_for(5000);
    story.expect("");
}

#[test]
fn an_owner_whose_core_hangs_keeps_what_it_runs() {
    let mut story = Told::three();
    let hang = Fault::StallCore { node: story.place("ada"), lasts: 5_000_000_000 };
    story.happens(hang).run_for(8000);
    story.expect("0.0 the core of ada stands still for 5000 ms");
}

#[test]
fn an_owner_that_two_of_four_voters_hear_is_lost() {
    let mut story = Told::of(&["ada", "bob", "cyn", "dan"], "ada");
    story.part(&["ada"], &["cyn", "dan"]).run_for(4000);
    // The last promises run out at the latest when lost-after is over; how long before depends on who beat when.
    story.expect(
        "
        0.4 nobody runs address
        0.4 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        ",
    );
}

#[test]
fn a_candidate_with_an_old_log_does_not_keep_others_from_leading() {
    let mut story = Told::of(&["ada", "bob", "cyn", "dan", "eve"], "ada");
    // eve lags, and hears everybody again just as the leader is gone.
    story.part(&["eve"], &["ada", "bob", "cyn", "dan"]).run_for(2000);
    story.heal().cut_power("bob").run_for(2000);
    assert!(story.leader().is_some_and(|leader| leader != "bob"));
    assert_eq!((story.owner("address"), story.owner("cache")), (Some("ada"), Some("cyn")));
}

#[test]
fn a_leader_that_forgot_the_term_it_led_is_told_again_what_its_members_have() {
    let mut spec = spec(&["ada", "bob", "cyn"], "ada", "cyn");
    for (_, it) in spec.nodes.iter_mut().filter(|(name, _)| **name != node("bob")) {
        it.voter = false;
    }
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    let bob = story.place("bob");
    // The only voter leads a new term that its disk has not written, and the next life of it leads that
    // term once more.
    story.happens(Fault::StallDisk(bob)).happens(Fault::KillCore(bob)).run_for(400);
    story.cut_power("bob").happens(Fault::MendDisk(bob)).run_for(600);
    story.switch_on("bob").run_for(5000);
    for what in ["address", "site", "cache"] {
        assert!(story.owner(what).is_some(), "nobody runs {what}");
    }
}

/// The lone voter leads before its disk has the term. What it hands out in that term must wait for it: after a power cut it
/// leads in that term once more, and puts something else into the same places.
#[test]
fn a_lone_voter_hands_nothing_out_in_a_term_that_its_disk_does_not_have() {
    let mut spec = spec(&["ada", "bob", "cyn"], "ada", "cyn");
    for (_, it) in spec.nodes.iter_mut().filter(|(name, _)| **name != node("bob")) {
        it.voter = false;
    }
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    let bob = story.place("bob");
    story.happens(Fault::StallDisk(bob)).happens(Fault::KillCore(bob)).run_for(300);
    story.ask("bob", Request::Standby { node: node("cyn") }).run_for(300);
    story.cut_power("bob").happens(Fault::MendDisk(bob)).run_for(600);
    story.switch_on("bob").run_for(5000);
    let [ada, bob] = ["ada", "bob"].map(|name| story.world.kept(story.place(name)).expect("a log").entries);
    let both = ada.iter().filter_map(|one| Some((one, bob.iter().find(|other| other.index == one.index)?)));
    both.for_each(|(one, other)| assert_eq!(one, other));
}

/// Nobody but the leader misses it. It is not lost, so nothing of it is taken over; it is not heard by the leader, so it is
/// not taken in, and nothing is given to it (rule 14).
#[test]
fn a_leader_that_alone_does_not_hear_a_node_has_another_one_lead() {
    let mut story = Told::three();
    story.cut_power("cyn").run_for(3000);
    story.cut("bob", "cyn").switch_on("cyn").run_for(10_000);
    assert!(story.takes_part("cyn"), "{}", story.told());
    assert_eq!(story.leader(), Some("ada"));
    story.forget();
    story.run_for(30_000);
    story.expect("");
    assert_eq!(story.leader(), Some("ada"), "and that is that");
}
