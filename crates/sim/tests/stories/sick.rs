//! Nodes that are sick, not dead.

use heart_model::{Ailment, WhenSick};
use heart_node::core::{Request, Response};
use heart_sim::{Fault, WorldSettings};

use crate::told::{Told, node, resource, spec};

fn sicken(story: &mut Told, name: &str, with: Ailment) {
    let fault = Fault::Sicken { node: story.place(name), with };
    story.happens(fault);
}

fn cure(story: &mut Told, name: &str, of: Ailment) {
    let fault = Fault::Cure { node: story.place(name), of };
    story.happens(fault);
}

/// What `heart why` says, as the leader knows it.
fn why(story: &mut Told, what: &str) -> Vec<String> {
    story.ask("bob", Request::Why { resource: resource(what) }).run_for(100);
    match story.world.answers.last() {
        Some(Response::Why { reasons, .. }) => reasons.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

/// What `heart status` shows at `at`: the problems.
fn problems(story: &mut Told, at: &str) -> Vec<String> {
    story.ask(at, Request::Status).run_for(100);
    match story.world.answers.last() {
        Some(Response::Status(view)) => view.problems.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_whose_disk_is_full_hands_over_in_order_and_is_avoided_for_a_while() {
    let mut story = Told::three();
    sicken(&mut story, "ada", Ailment::DiskFull);
    story.run_for(9000);
    story.expect(
        "
        0.0 ada is sick: its disk is full
        6.0 nobody runs site
        6.0 nobody runs address
        6.0 bob runs address
        6.0 bob runs site
        ",
    );
    assert_eq!(
        why(&mut story, "site")[1..],
        [
            "not on ada: it is sick, or was until a moment ago: its disk is full",
            "runs on bob and stays: nothing healthy moves without need"
        ]
    );
    let said = problems(&mut story, "cyn").join("\n");
    assert!(said.contains("ada is sick, its disk is full: as the story says; make room"), "{said}");
    cure(&mut story, "ada", Ailment::DiskFull);
    story.run_for(3000);
    story.forget();
    // It comes last of all until it was well for a minute, and after that nothing goes back by itself.
    story.cut_power("bob").run_for(3000);
    assert_eq!((story.owner("site"), story.owner("cache")), (Some("cyn"), Some("cyn")));
    story.switch_on("bob").run_for(60_000).forget();
    story.ask("cyn", Request::Move { resource: resource("site"), to: Some(node("ada")) }).run_for(3000);
    assert_eq!(story.owner("site"), Some("ada"));
}

#[test]
fn what_nobody_else_can_run_stays_on_a_sick_node() {
    let mut settings = WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1);
    let group = settings.spec.groups.values_mut().next().expect("there is one");
    group.wishes.never = ["bob", "cyn"].map(|name| heart_model::Other::Node(node(name))).into();
    let mut story = Told::begin(settings);
    sicken(&mut story, "ada", Ailment::NoProcesses);
    story.run_for(5000);
    story.expect("0.0 ada is sick: it cannot start processes");
    let said = why(&mut story, "site").join("\n");
    assert!(
        said.contains("ada is sick, or was until a moment ago: it cannot start processes; no node"),
        "{said}"
    );
}

/// What they all write to hangs, and they notice it one after the other: nobody is better off anywhere.
#[test]
fn when_all_are_sick_nothing_moves() {
    let mut story = Told::three();
    for name in ["ada", "bob", "cyn"] {
        sicken(&mut story, name, Ailment::DiskFull);
        story.run_for(2500);
    }
    story.run_for(70_000);
    story.expect(
        "
        0.0 ada is sick: its disk is full
        2.5 bob is sick: its disk is full
        5.0 cyn is sick: its disk is full
        ",
    );
}

/// The disk has stalled: the node applies nothing more, and stops what it runs all the same.
#[test]
fn a_node_whose_disk_has_stalled_hands_over_what_it_has() {
    let mut story = Told::three();
    let stall = Fault::StallDisk(story.place("ada"));
    story.happens(stall).run_for(3000);
    sicken(&mut story, "ada", Ailment::DiskStalled);
    story.run_for(9000);
    story.expect(
        "
        0.0 the disk of ada does not answer
        3.0 ada is sick: its disk has stalled
        9.0 nobody runs site
        9.0 nobody runs address
        9.0 bob runs address
        9.0 bob runs site
        ",
    );
}

/// With two voters nothing is agreed on without both disks: so the one whose disk has stalled lays its log down, and
/// the other one goes on, with what it runs itself untouched.
#[test]
fn of_two_nodes_the_one_with_a_stalled_disk_lets_the_other_one_go_on() {
    let settings = WorldSettings::quiet(spec(&["ada", "bob"], "ada", "bob"), 1);
    let mut story = Told::begin(settings);
    let stall = Fault::StallDisk(story.place("ada"));
    story.happens(stall);
    sicken(&mut story, "ada", Ailment::DiskStalled);
    story.run_for(10_000);
    story.expect(
        "
        0.0 the disk of ada does not answer
        0.0 ada is sick: its disk has stalled
        6.0 nobody runs address
        6.0 nobody runs site
        6.6 bob runs address
        6.6 bob runs site
        ",
    );
    // It waits with its log until its disk is well, and is taken in then. Nothing moves for that.
    assert!(!story.takes_part("ada"));
    let said = problems(&mut story, "ada").join("\n");
    assert!(said.contains("ada runs nothing and has no vote, so that others go on"), "{said}");
    let mended = Fault::MendDisk(story.place("ada"));
    story.happens(mended);
    cure(&mut story, "ada", Ailment::DiskStalled);
    story.run_for(5000);
    story.expect(
        "
        0.0 the disk of ada answers again
        0.0 ada is well again: its disk has stalled no longer
        ",
    );
    assert!(story.takes_part("ada"));
}

/// What has nothing to do with the disk is moved in order with two nodes, too.
#[test]
fn of_two_nodes_one_that_cannot_start_processes_hands_over_in_order() {
    let settings = WorldSettings::quiet(spec(&["ada", "bob"], "ada", "bob"), 1);
    let mut story = Told::begin(settings);
    sicken(&mut story, "ada", Ailment::NoProcesses);
    story.run_for(9000);
    story.expect(
        "
        0.0 ada is sick: it cannot start processes
        6.0 nobody runs site
        6.0 nobody runs address
        6.0 bob runs address
        6.0 bob runs site
        ",
    );
    assert!(story.takes_part("ada"));
}

/// Both write to the same storage, and it is full: neither lays down anything, and what runs goes on.
#[test]
fn of_two_nodes_whose_disks_are_sick_both_keep_what_they_have() {
    let mut story = Told::begin(WorldSettings::quiet(spec(&["ada", "bob"], "ada", "bob"), 1));
    sicken(&mut story, "ada", Ailment::DiskStalled);
    story.run_for(5000);
    sicken(&mut story, "bob", Ailment::DiskStalled);
    story.run_for(30_000);
    story.expect(
        "
        0.0 ada is sick: its disk has stalled
        5.0 bob is sick: its disk has stalled
        ",
    );
    assert!(story.takes_part("ada") && story.takes_part("bob"));
}

/// It could not write that it laid its log down, and comes back with it: it has taken no part in this life, and waits.
#[test]
fn who_laid_its_log_down_goes_on_alone_neither_then_nor_after_its_next_start() {
    let mut story = Told::begin(WorldSettings::quiet(spec(&["ada", "bob"], "ada", "bob"), 1));
    let stall = Fault::StallDisk(story.place("ada"));
    story.happens(stall);
    sicken(&mut story, "ada", Ailment::DiskStalled);
    story.run_for(10_000);
    assert_eq!((story.owner("site"), story.owner("cache")), (Some("bob"), Some("bob")));
    story.cut_power("ada").run_for(1000);
    let mended = Fault::MendDisk(story.place("ada"));
    cure(&mut story, "ada", Ailment::DiskStalled);
    story.happens(mended).cut_power("bob").switch_on("ada").run_for(20_000);
    assert_eq!((story.owner("site"), story.leader()), (None, None));
    story.switch_on("bob").run_for(20_000);
    assert!(story.owner("site").is_some() && story.takes_part("ada"));
}

#[test]
fn a_sick_leader_lets_another_lead() {
    let mut story = Told::three();
    assert_eq!(story.leader(), Some("bob"));
    sicken(&mut story, "bob", Ailment::ReadOnly);
    story.run_for(3000);
    story.expect("0.0 bob is sick: its disk can only be read");
    let next = story.leader().expect("somebody leads").to_owned();
    assert_ne!(next, "bob");
    // And it is not chosen again while others can lead.
    story.cut_power(&next).run_for(3000);
    assert!(story.leader().is_some_and(|leader| leader != "bob" && leader != next));
}

#[test]
fn short_of_memory_or_with_a_clock_that_jumped_a_node_is_only_reported() {
    let mut story = Told::three();
    sicken(&mut story, "ada", Ailment::MemoryPressure);
    sicken(&mut story, "ada", Ailment::ClockJumped);
    story.run_for(3000);
    story.expect(
        "
        0.0 ada is sick: it is short of memory
        0.0 ada is sick: its clock jumped
        ",
    );
    let said = problems(&mut story, "bob").join("\n");
    assert!(said.contains("ada is sick, it is short of memory"), "{said}");
}

#[test]
fn where_the_file_says_so_sickness_moves_nothing() {
    let mut settings = WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1);
    settings.spec.cluster.when_sick = WhenSick::Report;
    let mut story = Told::begin(settings);
    sicken(&mut story, "ada", Ailment::DiskFull);
    sicken(&mut story, "bob", Ailment::DiskFull);
    story.run_for(3000);
    story.expect(
        "
        0.0 ada is sick: its disk is full
        0.0 bob is sick: its disk is full
        ",
    );
    assert_eq!(story.leader(), Some("bob"));
    let said = problems(&mut story, "cyn").join("\n");
    assert!(said.contains("ada is sick") && said.contains("bob is sick"), "{said}");
}

/// A disk that comes and goes: one move, not one for each time.
#[test]
fn a_disk_that_comes_and_goes_moves_things_once() {
    let mut story = Told::three();
    for _ in 0..6 {
        sicken(&mut story, "ada", Ailment::DiskStalled);
        story.run_for(8000);
        cure(&mut story, "ada", Ailment::DiskStalled);
        story.run_for(10_000);
    }
    let moves = story.told().lines().filter(|line| line.contains("runs site")).count();
    assert_eq!(moves, 2, "nobody runs it, then bob does");
}
