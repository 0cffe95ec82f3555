//! Nodes that are switched off although they are heard, and given power again.
//!
//! `ada` runs `disk`, which nobody takes from a node that may not be off, and the group `web`; `cyn` leads. Each node
//! has a device.

use heart_model::{AfterFence, Guard, Other, Spec, WhenStuck};
use heart_node::core::{Request, Response};
use heart_sim::{Device, Fault, WorldSettings, with_devices};

use crate::told::{Told, node, resource, spec, with_disk};

fn three() -> Spec {
    with_devices(spec(&["ada", "bob", "cyn"], "ada", "cyn"))
}

fn fence(of: &str, anyway: bool) -> Request {
    Request::Fence { node: node(of), who: "eve".into(), anyway, reboot: false }
}

impl Told {
    fn refused(&self) -> String {
        match self.world.answers.last() {
            Some(Response::Refused { error, hint }) => format!("{error}; {hint}"),
            other => panic!("{other:?}"),
        }
    }

    fn accepted(&self) -> String {
        match self.world.answers.last() {
            Some(Response::Accepted { text }) => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn all_run(&self, on: &[&str]) {
        for name in ["disk", "address", "site"] {
            let owner = self.owner(name);
            assert!(owner.is_some_and(|owner| on.contains(&owner)), "{name}: {owner:?}");
        }
    }
}

#[test]
fn a_node_that_is_heard_is_switched_off_only_if_that_is_meant() {
    let mut story = with_disk(three());
    story.ask("bob", fence("ada", false)).run_for(1000);
    let said = story.refused();
    assert!(said.contains("it runs address, disk, site") && said.contains("--anyway"), "{said}");
    story.all_run(&["ada"]);
    story.ask("bob", fence("ada", true)).run_for(5000);
    let told = story.told();
    assert!(told.contains("ada is switched off"), "{told}");
    assert!(told.find("ada is switched off") < told.rfind("runs disk"), "{told}");
    story.all_run(&["bob", "cyn"]);
    story.switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada"));
}

/// Nobody is without a leader for as long as it takes to miss one.
#[test]
fn a_leader_that_is_to_be_switched_off_has_another_lead_first() {
    let mut story = with_disk(three());
    let leader = story.leader().expect("somebody leads").to_owned();
    story.ask("bob", fence(&leader, true)).run_for(6000);
    let told = story.told();
    assert!(told.contains(&format!("{leader} is switched off")), "{told}");
    assert!(story.leader().is_some_and(|now| now != leader), "{told}");
    assert_ne!(story.owner("disk"), None);
}

#[test]
fn a_node_that_is_to_boot_gets_power_again_and_takes_part() {
    let mut story = with_disk(three());
    let reboot = Request::Fence { node: node("ada"), who: "eve".into(), anyway: true, reboot: true };
    story.ask("bob", reboot).run_for(10_000);
    let told = story.told();
    let (off, on) = (told.find("ada is switched off"), told.find("the device of ada to give it power"));
    assert!(off.is_some() && off < on, "{told}");
    assert!(story.takes_part("ada"), "{told}");
    story.all_run(&["bob", "cyn"]);
}

#[test]
fn with_after_fence_boot_every_node_that_is_switched_off_gets_power_again() {
    let mut spec = three();
    spec.cluster.after_fence = AfterFence::Boot;
    let mut story = with_disk(spec);
    story.part(&["ada"], &["bob", "cyn"]).run_for(2000).heal().run_for(8000);
    let told = story.told();
    assert!(told.contains("ada is switched off"), "{told}");
    assert!(story.takes_part("ada"), "{told}");
    story.all_run(&["bob", "cyn"]);
}

/// What cannot be done is not tried for ever, and the node is not left out for it.
#[test]
fn a_node_that_no_device_switches_off_takes_part_again() {
    let mut story = with_disk(three());
    story.device("ada", Device::Refuses);
    story.ask("bob", fence("ada", true)).run_for(15_000);
    let told = story.told();
    assert_eq!(told.matches("tells the device of ada").count(), 3, "{told}");
    assert!(story.takes_part("ada"), "{told}");
    story.all_run(&["ada", "bob", "cyn"]);
}

/// Rule 11: it says *off*, and the node is heard.
#[test]
fn a_device_that_lies_is_found_out_by_the_voice_of_its_node() {
    let mut story = with_disk(three());
    story.device("ada", Device::Lies);
    story.ask("bob", fence("ada", true)).run_for(20_000);
    let told = story.told();
    assert!(!told.contains("ada is switched off"), "{told}");
    assert!(told.matches("tells the device of ada").count() >= 3, "{told}");
    assert!(story.takes_part("ada"), "{told}");
    story.all_run(&["ada", "bob", "cyn"]);
}

#[test]
fn nobody_is_switched_off_without_whom_nothing_could_be_agreed_on() {
    let mut story = with_disk(three());
    story.cut_power("cyn").run_for(4000).ask("bob", fence("ada", true)).run_for(3000);
    let said = story.refused();
    assert!(said.contains("too few voters"), "{said}");
    story.all_run(&["ada"]);
}

/// Of two one loses its vote before it is off, so the other does not miss it for a moment.
#[test]
fn of_two_nodes_one_can_be_switched_off_and_the_other_does_not_stop() {
    let pair = || with_disk(with_devices(spec(&["ada", "bob"], "ada", "ada")));
    let mut story = pair();
    story.ask("ada", fence("bob", true)).run_for(8000);
    let told = story.told();
    assert!(told.contains("bob is switched off"), "{told}");
    assert!(!told.contains("nobody runs"), "{told}");
    story.all_run(&["ada"]);
    story.switch_on("bob").run_for(8000);
    assert!(story.takes_part("bob"), "{}", story.told());
    story.ask("bob", fence("ada", true)).run_for(8000);
    story.all_run(&["bob"]);
}

#[test]
fn a_lost_node_that_nothing_waits_for_is_switched_off_if_somebody_wants_it() {
    let mut story = with_disk(three());
    story.part(&["bob"], &["ada", "cyn"]).run_for(3000);
    assert!(!story.told().contains("tells the device"), "{}", story.told());
    story.ask("ada", fence("bob", false)).run_for(4000);
    assert!(story.told().contains("bob is switched off"), "{}", story.told());
    story.heal().ask("ada", Request::Unfence { node: node("bob"), who: "eve".into() }).run_for(8000);
    assert!(story.takes_part("bob"), "{}", story.told());
}

#[test]
fn a_lost_node_that_is_heard_again_is_spared() {
    let mut story = with_disk(three());
    story.device("bob", Device::Refuses);
    story.part(&["bob"], &["ada", "cyn"]).run_for(3000);
    story.ask("ada", fence("bob", false)).run_for(300).heal().run_for(3000);
    story.device("bob", Device::Works);
    story.run_for(10_000);
    assert!(!story.told().contains("bob is switched off"), "{}", story.told());
    assert!(story.takes_part("bob"), "{}", story.told());
}

#[test]
fn power_is_for_who_has_none() {
    let mut story = with_disk(three());
    let on = |of| Request::Unfence { node: node(of), who: "eve".into() };
    story.ask("bob", on("ada")).run_for(500);
    assert!(story.refused().contains("ada is heard"));
    story.cut_power("bob").run_for(3000);
    story.device("bob", Device::Refuses);
    story.ask("ada", on("bob")).run_for(3000);
    assert!(story.accepted().contains("bob is to get power"));
    story.ask("ada", Request::Status).run_for(100);
    let Some(Response::Status(view)) = story.world.answers.last() else { panic!() };
    let said = view.problems.iter().any(|said| said.contains("was to get power, and did not"));
    assert!(said, "{:?}", view.problems);
    story.device("bob", Device::Works);
    story.ask("ada", on("bob")).run_for(8000);
    assert!(story.takes_part("bob"), "{}", story.told());
}

fn stuck(when_stuck: WhenStuck) -> Told {
    let mut spec = three();
    let mut disk = spec.resources[&resource("address")].clone();
    disk.when_stuck = when_stuck;
    spec.resources.insert(resource("address"), disk);
    let mut story = with_disk(spec);
    let ada = story.place("ada");
    story.happens(Fault::Stick(ada));
    story
}

fn away(story: &mut Told) {
    let away = Request::Move { resource: resource("disk"), to: Some(node("bob")) };
    story.ask("cyn", away).run_for(12_000);
}

/// The last rung: the file says that it is worth a node.
#[test]
fn what_cannot_be_stopped_by_any_means_costs_its_node_if_the_file_says_so() {
    let mut story = stuck(WhenStuck::Fence);
    away(&mut story);
    let told = story.told();
    assert!(told.find("ada is switched off").is_some(), "{told}");
    story.all_run(&["bob", "cyn"]);
}

#[test]
fn what_cannot_be_stopped_costs_nothing_else_if_the_file_does_not_say_so() {
    let mut story = stuck(WhenStuck::Report);
    away(&mut story);
    let told = story.told();
    assert!(!told.contains("tells the device"), "{told}");
    assert_eq!(story.owner("site"), Some("ada"), "{told}");
}

/// The link to `ada` and to its device was gone for a while, and with it the storage: what it had was taken over, and then it
/// turns out that it cannot be stopped.
#[test]
fn what_cannot_be_stopped_costs_its_node_also_once_it_was_taken_over() {
    let mut story = stuck(WhenStuck::Fence);
    story.device("ada", Device::Refuses).part(&["ada"], &["bob", "cyn"]).run_for(8000);
    assert!(!story.told().contains("ada is switched off"));
    story.device("ada", Device::Works).heal().run_for(30_000);
    let told = story.told();
    assert!(told.contains("ada is switched off"), "{told}");
    story.all_run(&["bob", "cyn"]);
}

/// Once for each grant: what a device cannot do is not tried again and again.
#[test]
fn a_device_that_refuses_is_not_asked_for_ever_for_what_is_stuck() {
    let mut story = stuck(WhenStuck::Fence);
    story.device("ada", Device::Refuses);
    away(&mut story);
    story.run_for(60_000);
    let told = story.told();
    assert_eq!(told.matches("tells the device of ada").count(), 3, "{told}");
}

/// No other node may run it, so it would help nobody.
#[test]
fn nobody_is_switched_off_for_what_is_stuck_and_could_go_nowhere() {
    let mut spec = three();
    let mut disk = spec.resources[&resource("address")].clone();
    (disk.guard, disk.when_stuck) = (Guard::Fence, WhenStuck::Fence);
    disk.wishes.never = ["bob", "cyn"].map(|name| Other::Node(node(name))).into();
    spec.resources.insert(resource("disk"), disk);
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    let ada = story.place("ada");
    story.happens(Fault::Stick(ada));
    story.ask("cyn", Request::Standby { node: node("ada") }).run_for(12_000);
    assert!(!story.told().contains("tells the device of ada"));
    assert_eq!(story.owner("site"), Some("bob"), "all the rest has gone");
}
