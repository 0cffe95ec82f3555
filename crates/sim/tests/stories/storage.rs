//! Nodes that are shut out from the storage that all share, and keep their power: SAFETY rules 11 and 17 d.
//!
//! `ada` runs `disk`, which nobody takes from a node that may still write there. Each node has a device that shuts it out
//! within a quarter of a second, as a reservation of a disk does.

use heart_model::{AfterFence, Spec};
use heart_node::core::{Request, Response};
use heart_sim::{Device, Fault, WorldSettings, ms, with_storage_devices};

use crate::told::{Told, node, spec, with_disk};

fn three() -> Spec {
    with_storage_devices(spec(&["ada", "bob", "cyn"], "ada", "cyn"))
}

#[test]
fn a_node_that_is_cut_off_is_shut_out_and_has_itself_let_in_when_it_is_back() {
    let mut story = with_disk(three());
    story.part(&["ada"], &["bob", "cyn"]).run_for(5000);
    let told = story.told();
    assert!(told.contains("ada is shut out from its storage"), "{told}");
    let owner = story.owner("disk").map(str::to_owned);
    assert!(owner.as_deref().is_some_and(|owner| owner != "ada"), "{owner:?}");
    story.heal().run_for(6000);
    let told = story.told();
    assert!(told.contains("ada is let in to its storage"), "{told}");
    assert!(story.takes_part("ada"), "{told}");
    assert_eq!(story.owner("disk").map(str::to_owned), owner, "nothing moves back");
    story.ask("bob", Request::Move { resource: crate::told::resource("disk"), to: Some(node("ada")) });
    story.run_for(8000);
    assert_eq!(story.owner("disk"), Some("ada"), "it can use it again");
}

/// `ada` lost its storage because `disk` could not be stopped there. It was back, had itself let in, and wrote beside the
/// next owner: what was shut out had never ended (world 95).
#[test]
fn who_cannot_let_go_is_not_let_in_before_it_was_booted() {
    let mut story = with_disk(three());
    let ada = story.place("ada");
    story.happens(Fault::Stick(ada)).part(&["ada"], &["bob", "cyn"]).run_for(5000);
    let told = story.told();
    assert!(told.contains("ada is shut out from its storage"), "{told}");
    story.heal().run_for(15_000);
    let told = story.told();
    assert!(!told.contains("let it in"), "{told}");
    assert_ne!(story.owner("disk"), Some("ada"));
    story
        .cut_power("ada")
        .run_for(100)
        .switch_on("ada")
        .run_for(6000)
        .ask("bob", Request::Status)
        .run_for(100);
    let told = story.told();
    assert!(told.contains("ada is let in to its storage"), "{told}");
    let Some(Response::Status(view)) = story.world.answers.last() else { panic!() };
    assert_eq!(view.nodes["ada"].state, "online", "{:?}", view.problems);
}

/// `ada` was shut out by the word of a person, and had not heard of that: its address went to another node at once, as if
/// it were off, while its lease ran and its own gate was open (world 28671; rule 7).
#[test]
fn what_a_lease_guards_waits_for_the_lease_of_who_is_shut_out() {
    let spec = with_storage_devices(spec(&["ada", "bob", "cyn", "dan", "eve"], "ada", "cyn"));
    let mut story = with_disk(spec);
    let ada = story.place("ada");
    let request = Request::Fence { node: node("ada"), who: "eve".into(), anyway: true, reboot: false };
    story.happens(Fault::StallPulse { node: ada, lasts: ms(1500) }).ask("bob", request).run_for(450);
    let told = story.told();
    assert!(told.contains("ada is shut out from its storage"), "{told}");
    assert_ne!(story.owner("disk"), Some("ada"), "{told}");
    assert_eq!(story.owner("address"), Some("ada"), "its lease runs: {told}");
    story.run_for(1000);
    let told = story.told();
    assert!(story.owner("address").is_some_and(|owner| owner != "ada"), "{told}");
}

/// What would fail there would only go back and forth.
#[test]
fn who_is_not_let_in_takes_no_part_and_says_so() {
    let mut story = with_disk(three());
    story.part(&["ada"], &["bob", "cyn"]).run_for(5000);
    story.device("ada", Device::Refuses);
    story.heal().run_for(8000).ask("ada", Request::Status).run_for(100);
    let Some(Response::Status(view)) = story.world.answers.last() else { panic!() };
    let said = view.problems.iter().any(|said| said.contains("ada is shut out from its storage"));
    assert!(said, "{:?}", view.problems);
    let fence = Request::Fence { node: node("ada"), who: "eve".into(), anyway: true, reboot: false };
    story.ask("bob", fence).run_for(100).ask("ada", Request::Status).run_for(100);
    let refused = &story.world.answers[story.world.answers.len() - 2];
    assert!(matches!(refused, Response::Refused { error, .. } if error.contains("already")), "{refused:?}");
    let Some(Response::Status(view)) = story.world.answers.last() else { panic!() };
    let said = view.problems.iter().any(|said| said.contains("ada is shut out from its storage"));
    assert!(said, "{:?}", view.problems);
    assert_ne!(view.nodes["ada"].state, "online");
    story.device("ada", Device::Works);
    story.run_for(12_000).ask("ada", Request::Status).run_for(100);
    let Some(Response::Status(view)) = story.world.answers.last() else { panic!() };
    assert_eq!(view.nodes["ada"].state, "online", "{:?}", view.problems);
}

/// Rule 17 d: the other one may be on, and do the same.
#[test]
fn of_two_nodes_neither_goes_on_because_the_other_cannot_write() {
    let mut story = with_disk(with_storage_devices(spec(&["ada", "bob"], "ada", "ada")));
    story.part(&["ada"], &["bob"]).run_for(10_000);
    let told = story.told();
    assert!(!told.contains("tells the device"), "{told}");
    story.heal().run_for(8000);
    assert!(story.takes_part("ada") && story.takes_part("bob"));
}

/// There is nothing to give power to.
#[test]
fn who_is_shut_out_needs_no_power() {
    let mut spec = three();
    spec.cluster.after_fence = AfterFence::Boot;
    let mut story = with_disk(spec);
    story.part(&["ada"], &["bob", "cyn"]).run_for(5000).heal().run_for(6000);
    assert!(!story.told().contains("give it power"));
    let unfence = Request::Unfence { node: node("ada"), who: "eve".into() };
    story.cut_power("ada").run_for(3000).ask("bob", unfence).run_for(500);
    let refused = story.world.answers.last();
    assert!(matches!(refused, Some(Response::Refused { .. })), "{refused:?}");
}

#[test]
fn a_cluster_that_starts_lets_everybody_in_first() {
    let story = Told::begin(WorldSettings::quiet(three(), 1));
    let leader = story.leader().map(str::to_owned);
    assert!(leader.is_some());
    for name in ["ada", "bob", "cyn"] {
        assert!(story.takes_part(name), "{name}");
    }
}
