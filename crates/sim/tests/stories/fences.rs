//! Nodes that are switched off: SAFETY rules 9, 11 and 12.
//!
//! `ada` runs `disk`, which nobody takes from a node that may not be off. Each node has a device that switches it
//! off within a quarter of a second.

use heart_model::{Guard, Other, ResourceSpec};
use heart_node::core::{Request, Response};
use heart_sim::{Device, Fault, WorldSettings, with_devices};

use crate::told::{Told, node, resource, spec};

fn story() -> Told {
    let mut spec = with_devices(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    let address = spec.resources[&resource("address")].clone();
    spec.resources.insert(resource("disk"), ResourceSpec { guard: Guard::Fence, ..address });
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    story.ask("bob", Request::Move { resource: resource("disk"), to: Some(node("ada")) }).run_for(10_000);
    assert_eq!(story.owner("disk"), Some("ada"));
    story.forget();
    story
}

/// Lets a device be like that.
fn device(story: &mut Told, of: &str, device: Device) {
    let node = story.place(of);
    story.happens(Fault::Device { node, device });
}

fn takes_part(story: &Told, name: &str) -> bool {
    story.world.takes_part(story.place(name))
}

#[test]
fn what_a_dead_node_ran_on_a_shared_disk_goes_on_when_it_is_proven_off() {
    let mut story = story();
    story.cut_power("ada").run_for(5000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs disk
        0.0 nobody runs site
        0.5 bob tells the device of ada to switch it off
        0.5 bob runs address
        0.5 bob runs site
        0.6 ada is switched off
        0.6 cyn runs disk",
    );
}

#[test]
fn a_node_that_is_cut_off_is_switched_off_and_then_back_without_a_restart() {
    let mut story = story();
    story.part(&["ada"], &["bob", "cyn"]).run_for(5000);
    let told = story.told();
    assert!(told.contains("ada is switched off"), "{told}");
    let owner = story.owner("disk").map(str::to_owned);
    assert!(owner.as_deref().is_some_and(|owner| owner != "ada"), "{told}");
    story.heal().switch_on("ada").run_for(6000);
    assert_eq!(story.owner("disk").map(str::to_owned), owner, "nothing moves back");
    assert!(takes_part(&story, "ada"));
}

#[test]
fn nobody_is_switched_off_for_what_nobody_waits_for() {
    let mut story = story();
    story.cut_power("cyn").run_for(8000);
    assert!(!story.told().contains("tells the device"));
    story.switch_on("cyn").run_for(4000);
    assert!(takes_part(&story, "cyn"));
}

/// Nobody else may run it, so to switch ada off would help nobody.
#[test]
fn nobody_is_switched_off_for_what_could_go_nowhere() {
    let mut spec = with_devices(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    let mut disk = ResourceSpec { guard: Guard::Fence, ..spec.resources[&resource("address")].clone() };
    disk.wishes.never = ["bob", "cyn"].map(|name| Other::Node(node(name))).into();
    spec.resources.insert(resource("disk"), disk);
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    story.part(&["ada"], &["bob", "cyn"]).run_for(8000);
    assert!(!story.told().contains("tells the device"));
    story.heal().run_for(5000);
    assert_eq!(story.owner("disk"), Some("ada"));
}

#[test]
fn a_device_that_proves_nothing_is_tried_three_times_and_then_a_person_is_asked() {
    let mut story = story();
    device(&mut story, "ada", Device::Refuses);
    story.cut_power("ada").run_for(20_000);
    assert_eq!(story.owner("disk"), None, "it may still run on ada");
    assert_eq!(story.told().matches("tells the device of ada").count(), 3);
    device(&mut story, "ada", Device::Works);
    story.run_for(5000);
    assert_eq!(story.owner("disk"), None, "nobody asked for it");
    story.ask("bob", Request::Fence { node: node("ada") }).run_for(4000);
    assert_ne!(story.owner("disk"), None);
}

#[test]
fn other_nodes_try_when_one_does_not_reach_the_device() {
    let mut story = story();
    device(&mut story, "ada", Device::DoesNothing);
    story.cut_power("ada").run_for(20_000);
    let told = story.told();
    assert!(
        told.contains("bob tells the device of ada") && told.contains("cyn tells the device of ada"),
        "{told}"
    );
}

#[test]
fn a_person_who_answers_for_it_frees_what_a_dead_node_held() {
    let mut story = story();
    device(&mut story, "ada", Device::Refuses);
    let confirm = Request::ConfirmOff { node: node("ada"), who: "root".into() };
    story.ask("bob", confirm.clone()).run_for(1000);
    let refused = story.world.answers.last();
    assert!(matches!(refused, Some(Response::Refused { .. })), "ada is heard: {refused:?}");
    story.cut_power("ada").run_for(12_000);
    story.ask("cyn", confirm).run_for(2000);
    assert_ne!(story.owner("disk"), None);
    story.switch_on("ada").run_for(4000);
    assert!(takes_part(&story, "ada"));
}

/// Schedule 14: the right to fire is closed before the node is taken in, so nobody is shot who came back.
#[test]
fn a_node_is_not_taken_in_while_somebody_may_still_switch_it_off() {
    let mut story = story();
    device(&mut story, "ada", Device::Mute);
    story.part(&["ada"], &["bob", "cyn"]).run_for(900);
    story.heal().run_for(8000);
    let told = story.told();
    let (told_device, shot) = (told.find("tells the device of ada"), told.find("ada is switched off"));
    assert!(told_device.is_some() && told_device < shot, "{told}");
    story.switch_on("ada").run_for(6000);
    assert!(takes_part(&story, "ada"));
    assert_ne!(story.owner("disk"), None);
}

/// The one who fires dies with the device's answer: another finds out how it ended.
#[test]
fn an_attempt_ends_although_the_one_who_made_it_is_gone() {
    let mut story = story();
    device(&mut story, "ada", Device::Mute);
    story.cut_power("ada").run_for(900);
    assert!(story.told().contains("bob tells the device of ada"));
    device(&mut story, "ada", Device::Works);
    story.cut_power("bob").run_for(300).switch_on("bob").run_for(12_000);
    assert_ne!(story.owner("disk"), None);
}

/// Of five nodes two are proven off, one after the other; the three that are left can lose one more.
#[test]
fn who_is_proven_off_is_not_counted_any_more() {
    let mut spec = with_devices(spec(&["ada", "bob", "cyn", "dan", "eve"], "ada", "cyn"));
    let address = spec.resources[&resource("address")].clone();
    spec.resources.insert(resource("disk"), ResourceSpec { guard: Guard::Fence, ..address });
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    for _ in 0..3 {
        let owner = story.owner("disk").expect("somebody runs it").to_owned();
        story.cut_power(&owner).run_for(6000);
        assert_ne!(story.owner("disk"), None, "{owner} is proven off");
    }
    for name in ["ada", "bob", "cyn", "dan", "eve"] {
        story.switch_on(name);
    }
    story.run_for(20_000);
    let leader = story.place(story.leader().expect("somebody leads"));
    assert_eq!(story.world.machine(leader).core().map(|core| core.voters().len()), Some(5), "all vote again");
}
