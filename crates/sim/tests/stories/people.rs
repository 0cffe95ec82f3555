//! What people ask for.

use heart_model::{Duration, NodeName, Profile, Spec, Timing};
use heart_node::core::{Core, Request, Response};
use heart_sim::{Device, Fault, WorldSettings, with_devices};

use crate::told::{Told, node, resource, spec, with_disk};

/// A world in which every start and every stop takes a second.
fn slow() -> Told {
    let settings = WorldSettings {
        operation: (1_000_000_000, 1_000_000_000),
        ..WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1)
    };
    Told::begin(settings)
}

/// What `heart why` says, as the leader knows it.
fn why(story: &mut Told, what: &str) -> Vec<String> {
    story.ask("bob", Request::Why { resource: resource(what) }).run_for(100);
    match story.world.answers.last() {
        Some(Response::Why { reasons, .. }) => reasons.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn moved(what: &str, to: Option<NodeName>) -> Request {
    Request::Move { resource: resource(what), to }
}

#[test]
fn a_group_moves_in_order_and_everything_runs_once() {
    let mut story = Told::three();
    story.ask("cyn", moved("address", Some(node("bob")))).run_for(3000);
    story.expect(
        "
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 bob runs address
        0.0 bob runs site
        ",
    );
}

#[test]
fn a_node_in_standby_runs_nothing_and_takes_nothing_back() {
    let mut story = Told::three();
    story.ask("ada", Request::Standby { node: node("ada") }).run_for(3000);
    story.expect(
        "
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 bob runs address
        0.0 bob runs site
        ",
    );
    story.ask("ada", Request::Resume { node: node("ada") }).run_for(3000);
    story.expect("");
}

#[test]
fn a_move_that_overtakes_a_slow_start_starts_nothing_twice() {
    let settings = WorldSettings {
        operation: (1_500_000_000, 1_500_000_000),
        ..WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1)
    };
    let mut story = Told::begin(settings);
    story.cut_power("ada").run_for(1500);
    story.ask("bob", moved("address", None)).run_for(12_000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs site
        4.5 cyn runs address
        6.0 cyn runs site
        ",
    );
}

#[test]
fn a_node_that_is_asked_to_stop_hands_over_first() {
    let mut story = Told::three();
    let leave = Fault::Leave(story.place("ada"));
    story.happens(leave).run_for(5000);
    story.expect(
        "
        0.0 ada is asked to leave
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 ada has left
        0.0 bob runs address
        0.0 bob runs site
        ",
    );
    // The leader, too: it lets another lead before, so that nobody waits for the clock.
    story.switch_on("ada").run_for(3000).forget();
    let leave = Fault::Leave(story.place("bob"));
    story.happens(leave).run_for(5000);
    story.expect(
        "
        0.0 bob is asked to leave
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 bob has left
        0.0 ada runs address
        0.0 ada runs site
        ",
    );
    assert!(story.leader().is_some_and(|leader| leader != "bob"));
}

/// Before, the wish stayed for ever, and the group left for `cyn` when that came back an hour later.
#[test]
fn a_move_ends_when_its_target_is_lost() {
    let mut story = slow();
    story.ask("bob", moved("site", Some(node("cyn")))).run_for(300);
    story.cut_power("cyn").run_for(8000);
    story.expect(
        "
        0.3 cyn loses power
        0.3 nobody runs cache
        1.0 nobody runs site
        1.8 bob runs cache
        2.0 ada runs site
        ",
    );
    assert!(!story.world.is_asked_for_more());
    let reasons = why(&mut story, "address");
    assert_eq!(reasons[0], "its move to cyn was given up: cyn is lost");
    story.switch_on("cyn").run_for(5000).forget();
    story.run_for(10_000);
    story.expect("");
    assert_eq!(story.owner("site"), Some("ada"));
}

#[test]
fn a_move_ends_when_its_target_goes_into_standby() {
    let mut story = slow();
    story.ask("bob", moved("site", Some(node("cyn")))).run_for(100);
    story.ask("bob", Request::Standby { node: node("cyn") }).run_for(9000);
    assert!(why(&mut story, "site")[0].ends_with("was given up: cyn is in standby"));
    assert_eq!((story.owner("site"), story.owner("address")), (Some("ada"), Some("ada")));
    // Another move is another matter.
    story.ask("bob", moved("site", Some(node("bob")))).run_for(9000);
    assert!(!why(&mut story, "site")[0].contains("given up"));
    assert_eq!(story.owner("site"), Some("bob"));
}

#[test]
fn a_move_ends_when_it_failed_at_its_target_as_often_as_it_may() {
    let mut story = Told::three();
    let breaks = Fault::BreakStarts { node: story.place("cyn"), broken: true };
    story.happens(breaks).ask("bob", moved("site", Some(node("cyn")))).run_for(9000);
    assert_eq!(
        why(&mut story, "address")[0],
        "its move to cyn was given up: address failed on cyn 3 of 3 times"
    );
    assert_ne!(story.owner("address"), Some("cyn"));
    assert!(!story.world.is_asked_for_more());
}

#[test]
fn a_move_that_is_called_off_leaves_everything_where_it_is_by_then() {
    let mut story = slow();
    story.ask("bob", moved("site", Some(node("cyn")))).run_for(500);
    // By whichever member of the group.
    story.ask("cyn", Request::Cancel { resource: resource("address") }).run_for(8000);
    story.expect(
        "
        1.0 nobody runs site
        2.0 ada runs site
        ",
    );
    assert!(!story.world.is_asked_for_more());
    assert_eq!(why(&mut story, "site")[0], "its move to cyn was called off");
    story.ask("cyn", Request::Cancel { resource: resource("site") }).run_for(500);
    let said = format!("{:?}", story.world.answers.last());
    assert!(said.contains("no move of site is under way"), "{said}");
}

#[test]
fn a_move_that_cannot_be_is_refused_and_says_why() {
    let mut story = Told::three();
    story.ask("bob", Request::Standby { node: node("cyn") }).run_for(1000);
    story.ask("ada", moved("site", Some(node("cyn")))).run_for(1000);
    let said = format!("{:?}", story.world.answers.last());
    assert!(said.contains("site cannot move to cyn: it is in standby"), "{said}");
    assert!(said.contains("`heart resume cyn`"), "{said}");
}

#[test]
fn a_leader_that_owns_nothing_leaves_a_cluster_that_is_led() {
    let mut story = Told::three();
    assert_eq!(story.leader(), Some("bob"));
    let leave = Fault::Leave(story.place("bob"));
    story.happens(leave).run_for(50);
    story.expect(
        "
        0.0 bob is asked to leave
        0.0 bob has left
        ",
    );
    // Whoever leads now acts at once: nothing waits until bob is lost.
    story.ask("ada", moved("address", Some(node("cyn")))).run_for(200);
    story.expect(
        "
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 cyn runs address
        0.0 cyn runs site
        ",
    );
}

#[test]
fn all_that_are_asked_to_leave_at_once_leave() {
    let mut story = Told::three();
    for name in ["ada", "bob", "cyn"] {
        let leave = Fault::Leave(story.place(name));
        story.happens(leave);
    }
    story.run_for(5000);
    let told = story.world.take_story();
    assert_eq!(told.iter().filter(|line| line.ends_with("has left")).count(), 3, "{told:?}");
}

/// A node that was promised much stays its owner, although the others by now promise less, and did not
/// know it in between.
#[test]
fn a_shorter_lost_after_does_not_shorten_what_was_promised_before() {
    let long = Timing { lost_after: Duration::from_secs(10), ..Timing::of(Profile::Default) };
    let spec = Spec { timing: long, ..spec(&["ada", "bob", "cyn"], "ada", "cyn") };
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    let both = |story: &mut Told| {
        story.happens(Fault::KillCore(1)).happens(Fault::KillCore(2)).run_for(300);
    };
    story.part(&["ada"], &["bob", "cyn"]);
    story.happens(Fault::Retime(Timing::of(Profile::Default))).happens(Fault::Forget(0));
    both(&mut story);
    story.happens(Fault::Remember(0));
    both(&mut story);
    // And one of them does not even remember what it promised.
    story.cut_power("cyn").run_for(100).switch_on("cyn").run_for(20_000);
    story.expect(
        "
        0.0 ada is taken out of the files of the others
        0.0 the core of bob is killed
        0.0 the core of cyn is killed
        0.3 ada is in the files of the others again
        0.3 the core of bob is killed
        0.3 the core of cyn is killed
        0.6 cyn loses power
        0.6 nobody runs cache
        0.7 cyn is switched on
        5.5 cyn runs cache
        9.6 nobody runs address
        9.6 nobody runs site
        10.7 bob runs address
        10.7 bob runs site
        ",
    );
}

#[test]
fn what_a_node_runs_that_is_taken_out_of_the_file_goes_to_others_once_nobody_promises_it_anything() {
    let mut story = Told::three();
    story.happens(Fault::Forget(story.place("ada")));
    story.happens(Fault::KillCore(1)).happens(Fault::KillCore(2)).run_for(5000);
    story.expect(
        "
        0.0 ada is taken out of the files of the others
        0.0 the core of bob is killed
        0.0 the core of cyn is killed
        0.5 nobody runs address
        0.5 nobody runs site
        0.7 bob runs address
        0.7 bob runs site
        ",
    );
    assert_eq!(story.world.machine(1).core().unwrap().voters().len(), 2);
}

/// Somebody says that ada is off, and it is. The core that was asked stands still, ada boots, takes part and is cut off: by
/// then the word would be about another life of it (rule 11).
#[test]
fn a_word_that_is_heard_too_late_counts_for_nothing() {
    let mut story = with_disk(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    story.cut_power("ada").run_for(3000);
    let cyn = story.place("cyn");
    story.happens(Fault::StallCore { node: cyn, lasts: 20_000_000_000 }).run_for(10);
    story.ask("cyn", Request::ConfirmOff { node: node("ada"), boot: None, who: "eve".into() });
    story.switch_on("ada").run_for(10_000);
    assert_eq!(story.owner("disk"), Some("ada"));
    story.run_for(8000).part(&["ada"], &["bob", "cyn"]).run_for(6000);
    assert!(matches!(story.world.answers.last(), Some(Response::Refused { .. })));
    assert_eq!(story.owner("disk"), None, "nobody knows whether ada is off");
}

/// The same, where the leader hears of it late: it was said of a life of ada that is over.
#[test]
fn a_word_is_about_the_life_that_is_known_where_it_is_said() {
    let mut story = with_disk(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    let boot =
        story.world.machine(story.place("ada")).core().map(|core| core.ledger().nodes[&node("ada")].session);
    let boot = boot.flatten().expect("it takes part").boot;
    story.cut_power("ada").run_for(3000).switch_on("ada").run_for(6000);
    story.part(&["ada"], &["bob", "cyn"]).run_for(3000);
    story
        .ask("cyn", Request::ConfirmOff { node: node("ada"), boot: Some(boot), who: "eve".into() })
        .run_for(3000);
    let said = story.world.answers.last();
    assert!(
        matches!(said, Some(Response::Refused { error, .. }) if error.contains("booted since")),
        "{said:?}"
    );
    assert_eq!(story.owner("disk"), None, "nobody knows whether ada is off");
}

/// The leader was taking the vote of a node that leaves when both others died, and that change of who votes was never agreed
/// on. A person may still say that both are off.
#[test]
fn a_person_may_call_off_others_while_a_change_of_who_votes_is_under_way() {
    let cluster = with_devices(spec(&["ada", "bob", "cyn"], "ada", "ada"));
    let mut story = Told::begin(WorldSettings::quiet(cluster, 1));
    let leader = story.leader().expect("somebody leads").to_owned();
    let leaves = ["bob", "cyn"].into_iter().find(|name| *name != leader).expect("one of them");
    let others: Vec<&str> = ["ada", "bob", "cyn"].into_iter().filter(|name| *name != leader).collect();
    let (me, place) = (story.place(&leader), story.place(leaves));
    for name in &others {
        let node = story.place(name);
        story.happens(Fault::StallDisk(node)).device(name, Device::Refuses);
    }
    story.happens(Fault::Leave(place)).run_for(300);
    others.iter().for_each(|name| story.cut_power(name).forget());
    story.run_for(3000);
    assert!(story.world.machine(me).core().is_some_and(Core::awaits_other_voters), "that is not agreed on");
    let without = others.iter().map(|name| node(name)).collect();
    let request = Request::TakeOver { without, who: "root".into(), sure: true };
    story.ask(&leader, request).run_for(5000);
    let (answer, told) = (story.world.answers.last().cloned(), story.told());
    assert_eq!(story.owner("site"), Some(leader.as_str()), "{answer:?} {told}");
}
