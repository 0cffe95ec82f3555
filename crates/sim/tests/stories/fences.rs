//! Nodes that are switched off: SAFETY rules 9, 11 and 12.
//!
//! `ada` runs `disk`, which nobody takes from a node that may not be off. Each node has a device that switches it
//! off within a quarter of a second.

use heart_model::{Ailment, Duration, Guard, Other, ResourceSpec};
use heart_node::core::{DeviceView, Request, Response, StatusView};
use heart_sim::{Device, Fault, WorldSettings, ms, with_devices};

use crate::told::{Told, node, resource, spec, with_disk};

fn story() -> Told {
    with_disk(with_devices(spec(&["ada", "bob", "cyn"], "ada", "cyn")))
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
    assert!(story.takes_part("ada"));
}

/// The executor stands still while the lease ends and then the session: it answers twice at once, first that what the
/// lease guards is gone. The rest hangs in its stop, so the session has not ended (world 251517).
#[test]
fn a_session_has_not_ended_while_anything_of_it_is_left() {
    let mut story = with_disk(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    let ada = story.place("ada");
    story.happens(Fault::Stick(ada)).happens(Fault::StallExecutor { node: ada, lasts: ms(1500) });
    story.part(&["ada"], &["bob", "cyn"]).run_for(2000);
    story.heal().run_for(10_000);
    let told = story.told();
    assert_eq!(told.matches("runs disk").count(), 0, "{told}");
    assert_eq!(story.owner("disk"), Some("ada"), "{told}");
    // Whoever mends the machine ends it.
    story.cut_power("ada").run_for(2000);
    story.switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada") && story.owner("disk").is_some(), "{}", story.told());
}

/// It has the right and never hears of it, as its disk takes nothing: another one gets it.
#[test]
fn whoever_has_the_right_and_does_not_use_it_loses_it() {
    let mut story = with_disk(with_devices(spec(&["ada", "bob", "cyn", "dan", "eve"], "ada", "cyn")));
    let leader = story.leader().expect("somebody leads").to_owned();
    let next = ["bob", "cyn", "dan", "eve"].into_iter().find(|name| *name != leader).expect("there are four");
    let stalls = story.place(next);
    story.happens(Fault::StallDisk(stalls)).device("ada", Device::Refuses).cut_power("ada").run_for(4000);
    story.device("ada", Device::Works).happens(Fault::Sicken { node: stalls, with: Ailment::DiskStalled });
    story.run_for(30_000);
    assert!(story.owner("disk").is_some_and(|owner| owner != "ada"), "{}", story.told());
}

#[test]
fn nobody_is_switched_off_for_what_nobody_waits_for() {
    let mut story = story();
    story.cut_power("cyn").run_for(8000);
    assert!(!story.told().contains("tells the device"));
    story.switch_on("cyn").run_for(4000);
    assert!(story.takes_part("cyn"));
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
    story.device("ada", Device::Refuses);
    story.cut_power("ada").run_for(20_000);
    assert_eq!(story.owner("disk"), None, "it may still run on ada");
    assert_eq!(story.told().matches("tells the device of ada").count(), 3);
    story.device("ada", Device::Works);
    story.run_for(5000);
    assert_eq!(story.owner("disk"), None, "nobody asked for it");
    story
        .ask("bob", Request::Fence { node: node("ada"), who: "root".into(), anyway: false, reboot: false })
        .run_for(4000);
    assert_ne!(story.owner("disk"), None);
}

/// A switch that was being restarted is back by then, and nobody had to be woken for it.
#[test]
fn a_device_that_was_mended_is_tried_again_without_being_asked() {
    let mut story = story();
    story.device("ada", Device::Refuses);
    story.cut_power("ada");
    for passed in [20_000, 60_000, 120_000] {
        story.run_for(passed);
        assert_eq!(story.told().matches("tells the device of ada").count(), 3, "within {passed} ms");
        // Who leads knows when; the waits are a minute, two and four.
        let said = ["bob", "cyn"].map(|at| story.status(at).problems.join("; "));
        assert!(said.iter().any(|one| one.contains("that is tried again in ")), "{said:?}");
        assert!(said.iter().all(|one| one.contains("`heart fence ada` tries at once")), "{said:?}");
    }
    story.device("ada", Device::Works);
    story.run_for(225_000);
    assert_eq!(story.owner("disk"), None, "each wait is longer than the one before");
    story.run_for(20_000);
    assert_ne!(story.owner("disk"), None);
}

#[test]
fn other_nodes_try_when_one_does_not_reach_the_device() {
    let mut story = story();
    story.device("ada", Device::DoesNothing);
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
    story.device("ada", Device::Refuses);
    let confirm = Request::ConfirmOff { node: node("ada"), boot: None, who: "root".into() };
    story.ask("bob", confirm.clone()).run_for(1000);
    let refused = story.world.answers.last();
    assert!(matches!(refused, Some(Response::Refused { .. })), "ada is heard: {refused:?}");
    story.cut_power("ada").run_for(12_000);
    story.ask("cyn", confirm).run_for(2000);
    assert_ne!(story.owner("disk"), None);
    story.switch_on("ada").run_for(4000);
    assert!(story.takes_part("ada"));
}

/// Schedule 14: the right to fire is closed before the node is taken in, so nobody is shot who came back.
#[test]
fn a_node_is_not_taken_in_while_somebody_may_still_switch_it_off() {
    let mut story = story();
    story.device("ada", Device::Mute);
    story.part(&["ada"], &["bob", "cyn"]).run_for(900);
    story.heal().run_for(8000);
    let told = story.told();
    let (told_device, shot) = (told.find("tells the device of ada"), told.find("ada is switched off"));
    assert!(told_device.is_some() && told_device < shot, "{told}");
    story.switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada"));
    assert_ne!(story.owner("disk"), None);
}

/// All cores begin anew with a new file, which is agreed on: the executor goes on with what it was told.
#[test]
fn a_right_is_not_over_because_another_file_is_agreed_on() {
    let mut story = story();
    story.device("ada", Device::Mute);
    story.part(&["ada"], &["bob", "cyn"]).run_for(520);
    assert!(story.told().contains("bob tells the device of ada"));
    let timing = story.world.spec().timing;
    story.happens(Fault::Retime(timing));
    for name in ["ada", "bob", "cyn"] {
        let core = story.place(name);
        story.happens(Fault::KillCore(core));
    }
    story.heal().run_for(900);
    assert!(!story.takes_part("ada"), "its device may act at any moment");
    story.run_for(8000);
    assert!(story.told().contains("ada is switched off"));
    story.switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada"));
    assert_ne!(story.owner("disk"), None);
}

/// What a node cannot let go of holds up what it has itself. As a voter it says all the same that its promises are over, or
/// nothing would ever be taken over from anybody else (rule 7).
#[test]
fn a_voter_that_cannot_let_go_vouches_all_the_same() {
    let mut story = with_disk(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    let ada = story.place("ada");
    story.happens(Fault::Stick(ada)).part(&["ada"], &["bob", "cyn"]).run_for(3000);
    story.heal().run_for(3000);
    assert!(!story.takes_part("ada"), "something hangs in its stop");
    let owner = story.owner("address").expect("it was taken over").to_owned();
    story.cut_power(&owner).run_for(5000);
    let other = if owner == "bob" { "cyn" } else { "bob" };
    assert_eq!(story.owner("address"), Some(other));
}

/// Nobody can be told to switch it off, as the file does not say how: a person says that it is off.
#[test]
fn a_person_answers_for_a_node_that_is_not_in_the_file_any_more() {
    let mut story = with_disk(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    story.cut_power("ada").run_for(3000);
    let ada = story.place("ada");
    story.happens(Fault::Forget(ada));
    for name in ["bob", "cyn"] {
        let core = story.place(name);
        story.happens(Fault::KillCore(core));
    }
    story.run_for(10_000);
    assert_eq!(story.owner("disk"), None, "nothing proves that it is off");
    story.ask("bob", Request::ConfirmOff { node: node("ada"), boot: None, who: "root".into() }).run_for(3000);
    assert_ne!(story.owner("disk"), None, "{:?}", story.world.answers.last());
}

/// The one who fires dies with the device's answer: another finds out how it ended.
#[test]
fn an_attempt_ends_although_the_one_who_made_it_is_gone() {
    let mut story = story();
    story.device("ada", Device::Mute);
    story.cut_power("ada").run_for(900);
    assert!(story.told().contains("bob tells the device of ada"));
    story.device("ada", Device::Works);
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

impl Told {
    /// What somebody is told on a node.
    fn status(&mut self, at: &str) -> StatusView {
        self.ask(at, Request::Status).run_for(100);
        match self.world.answers.last() {
            Some(Response::Status(view)) => (**view).clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// The device of a node, which has one.
fn only<'v>(view: &'v StatusView, of: &str) -> &'v DeviceView {
    let [one] = view.nodes[of].devices.as_slice() else { panic!("{:?}", view.nodes[of]) };
    one
}

/// Nobody waits for the day on which a device is needed to find out that it is of no use.
#[test]
fn every_node_tries_the_devices_of_the_others_and_says_what_it_found() {
    let mut story = story();
    let view = story.status("cyn");
    assert!(view.nodes["cyn"].devices.is_empty(), "nobody switches itself off");
    for name in ["ada", "bob"] {
        let one = only(&view, name);
        assert_eq!((one.device.as_str(), one.level, one.state.as_str()), ("fence_simulated", 1, "on"));
        assert_eq!((one.proven, &one.message), (one.tried, &None));
    }
    assert!(view.problems.is_empty(), "{:?}", view.problems);
    story.device("bob", Device::Mute);
    story.ask("cyn", Request::Prove { node: Some(node("bob")) }).run_for(2000);
    assert!(matches!(story.world.answers.last(), Some(Response::Accepted { .. })));
    let view = story.status("cyn");
    let bob = only(&view, "bob");
    assert_eq!((bob.state.as_str(), bob.asked), ("unusable", false));
    assert!(bob.proven < bob.tried && bob.failing_since == bob.tried, "{bob:?}");
    let problem = "cyn could not switch bob off: it does not answer";
    assert!(view.problems.iter().any(|said| said == problem), "{:?}", view.problems);
    assert!(story.status("ada").problems.is_empty(), "it works from there, as far as ada knows");
    story.device("bob", Device::Works);
    story.run_for(62_000);
    assert!(story.status("cyn").problems.is_empty(), "it was tried again by itself");
}

#[test]
fn a_device_that_says_off_of_a_node_that_is_heard_has_a_wrong_outlet() {
    let mut story = story();
    story.device("ada", Device::WrongOutlet);
    story.ask("bob", Request::Prove { node: None }).run_for(300);
    assert!(only(&story.status("bob"), "ada").asked, "it may just have been switched off");
    story.run_for(600);
    let view = story.status("bob");
    assert_eq!((only(&view, "ada").state.as_str(), only(&view, "ada").asked), ("wrong", false));
    assert!(
        view.problems.iter().any(|said| said.contains("the outlet of something else")),
        "{:?}",
        view.problems
    );
    // One that is off is off.
    story.device("ada", Device::Works);
    story.cut_power("ada").run_for(5000).ask("bob", Request::Prove { node: None }).run_for(2000);
    let view = story.status("bob");
    assert_eq!(only(&view, "ada").state, "off");
    story.switch_on("ada").run_for(6000);
    let view = story.status("bob");
    assert_eq!(only(&view, "ada").state, "off", "as it was the last time");
    assert!(view.problems.is_empty(), "{:?}", view.problems);
}

/// What many devices would not take: somebody who only wants to know while somebody has to act.
#[test]
fn nothing_is_tried_while_a_node_is_being_switched_off() {
    let mut story = story();
    story.device("ada", Device::Mute);
    story.cut_power("ada").run_for(900);
    assert!(story.told().contains("bob tells the device of ada"));
    story.ask("bob", Request::Prove { node: Some(node("ada")) }).run_for(20);
    let answer = story.world.answers.last();
    assert!(matches!(answer, Some(Response::Refused { .. })), "{answer:?}");
    for (at, of, said) in [("bob", "bob", "does not switch itself off"), ("bob", "eve", "no node is called")]
    {
        story.ask(at, Request::Prove { node: Some(node(of)) }).run_for(20);
        let answer = story.world.answers.last();
        assert!(
            matches!(answer, Some(Response::Refused { error, .. }) if error.contains(said)),
            "{answer:?}"
        );
    }
    story.run_for(20_000).ask("bob", Request::Prove { node: Some(node("cyn")) }).run_for(1000);
    assert!(matches!(story.world.answers.last(), Some(Response::Accepted { .. })));
}

/// Rule 20: of the two that are left each can have the other switched off, so a third is not needed.
#[test]
fn three_nodes_lose_two_one_after_the_other_and_the_last_one_goes_on() {
    let mut story = story();
    for _ in 0..2 {
        let owner = story.owner("disk").expect("somebody runs it").to_owned();
        story.cut_power(&owner).run_for(6000);
        for name in ["disk", "site", "address"] {
            assert_ne!(story.owner(name), None, "{name}, without {owner}");
        }
    }
    for name in ["ada", "bob", "cyn"] {
        story.switch_on(name);
    }
    story.run_for(15_000);
    let leader = story.place(story.leader().expect("somebody leads"));
    assert_eq!(story.world.machine(leader).core().map(|core| core.voters().len()), Some(3), "all vote again");
}

/// Its heartbeats arrive and it hears nobody, as with a firewall that lets nothing in: it is heard, so nobody may switch it
/// off, and it cannot be taken in. It speaks in a later session, so it has let go of what it had.
#[test]
fn a_deaf_owner_is_not_waited_for_once_it_has_let_go() {
    let mut story = story();
    story.device("ada", Device::Refuses).cut_one_way("bob", "ada").cut_one_way("cyn", "ada").run_for(8000);
    let told = story.told();
    assert!(matches!(story.owner("disk"), Some("bob" | "cyn")), "{told}");
    assert!(!story.takes_part("ada"), "{told}");
    story.heal().run_for(8000);
    assert!(story.takes_part("ada"));
}

/// The leader alone does not hear `ada`, which somebody wants off, and cannot stop what it has; and the device is of an
/// outlet that is off already. Whoever else hears it counts as well (rule 11): nothing is started twice, which the
/// simulator asks at each moment.
#[test]
fn a_device_that_says_off_is_not_believed_while_anybody_hears_the_node() {
    let mut story = story();
    let leader = story.leader().expect("somebody leads").to_owned();
    let (ada, other) = (story.place("ada"), if leader == "bob" { "cyn" } else { "bob" });
    story.happens(Fault::Stick(ada)).device("ada", Device::WrongOutlet).cut("ada", &leader).run_for(1000);
    let request = Request::Fence { node: node("ada"), who: "root".into(), anyway: true, reboot: false };
    story.ask(other, request).run_for(20_000);
    let told = story.told();
    assert!(told.contains("tells the device of ada"), "{told}");
    assert_eq!(story.owner("disk"), Some("ada"), "{told}");
}

/// The file gives it two seconds before its device is told, and it is back after one.
#[test]
fn a_node_that_is_heard_again_before_a_device_was_told_is_spared() {
    let mut cluster = with_devices(spec(&["ada", "bob", "cyn"], "ada", "cyn"));
    let ada = cluster.nodes.get_mut(&node("ada")).expect("it is there");
    ada.fence.iter_mut().flatten().for_each(|device| device.delay = Duration::from_secs(2));
    let mut story = with_disk(cluster);
    story.world.keep_notes();
    story.part(&["ada"], &["bob", "cyn"]).run_for(1500).heal().run_for(8000);
    let told = story.told();
    assert!(told.contains("switching ada off, attempt 1"), "{told}");
    assert!(!told.contains("tells the device"), "{told}");
    assert!(story.takes_part("ada") && story.owner("disk").is_some(), "{told}");
}
