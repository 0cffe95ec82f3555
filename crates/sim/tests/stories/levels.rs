//! Devices in levels: of one level all have to say that a node is off, and where a level fails the next one is tried.
//!
//! `ada` runs `disk`, which nobody takes from a node that may not be off. The devices of a node are counted through from
//! zero, all levels together.

use heart_model::{Duration, Spec};
use heart_sim::{Device, Fault, with_levels};

use crate::told::{Told, spec, with_disk};

fn three(sizes: &[usize]) -> Told {
    with_disk(with_levels(spec(&["ada", "bob", "cyn"], "ada", "cyn"), sizes))
}

fn two(sizes: &[usize]) -> Told {
    with_disk(with_levels(spec(&["ada", "bob"], "ada", "ada"), sizes))
}

fn one_device(story: &mut Told, of: &str, which: usize, device: Device) {
    let node = story.place(of);
    story.happens(Fault::OneDevice { node, which, device });
}

/// In the order of the lines that are told of devices.
fn of_devices(story: &mut Told) -> Vec<String> {
    let is_of_device = |line: &&str| {
        ["tells", "switched off", "cut its part"].iter().any(|known| line.contains(known))
            && !line.contains("is one that")
    };
    let told = story.told();
    let what = |line: &str| line.split_once(' ').map_or(String::new(), |(_, what)| what.to_owned());
    told.lines().filter(is_of_device).map(what).collect()
}

#[test]
fn the_second_level_switches_off_when_the_first_refuses() {
    let mut story = three(&[1, 1]);
    one_device(&mut story, "ada", 0, Device::Refuses);
    story.cut_power("ada").run_for(6000);
    assert_eq!(
        of_devices(&mut story),
        [
            "bob tells the device of ada to switch it off",
            "bob tells device 1 of ada to switch it off",
            "ada is switched off"
        ]
    );
    assert_ne!(story.owner("disk"), None);
}

/// What a read-back shows counts, whatever was said before.
#[test]
fn the_second_level_switches_off_when_the_first_does_nothing() {
    let mut story = three(&[1, 1]);
    one_device(&mut story, "ada", 0, Device::DoesNothing);
    story.part(&["ada"], &["bob", "cyn"]).run_for(6000);
    let told = of_devices(&mut story);
    assert_eq!(told.last().map(String::as_str), Some("ada is switched off"), "{told:?}");
    assert!(story.owner("disk").is_some_and(|owner| owner != "ada"));
}

#[test]
fn a_node_with_two_supplies_is_off_when_both_are() {
    let mut story = three(&[2]);
    story.part(&["ada"], &["bob", "cyn"]).run_for(6000);
    assert_eq!(
        of_devices(&mut story),
        [
            "bob tells the device of ada to switch it off",
            "the device of ada has cut its part",
            "bob tells device 1 of ada to switch it off",
            "ada is switched off"
        ]
    );
    assert!(story.owner("disk").is_some_and(|owner| owner != "ada"));
    story.heal().switch_on("ada").run_for(8000);
    assert!(story.takes_part("ada"));
}

/// Half of the power is gone, and that proves nothing: what the node ran goes nowhere. It lets go of that itself, as it
/// hears too few.
#[test]
fn where_one_of_two_supplies_refuses_nothing_moves() {
    for (which, device) in [(0, Device::Refuses), (1, Device::Refuses), (1, Device::DoesNothing)] {
        let mut story = three(&[2]);
        one_device(&mut story, "ada", which, device);
        story.part(&["ada"], &["bob", "cyn"]).run_for(20_000);
        let told = story.told();
        assert!(!told.contains("is switched off"), "{told}");
        assert!(!told.contains("bob runs disk") && !told.contains("cyn runs disk"), "{told}");
        story.heal().run_for(6000);
        assert!(story.takes_part("ada"));
        assert_ne!(story.owner("disk"), None);
    }
}

#[test]
fn where_one_of_two_supplies_refuses_the_next_level_is_tried() {
    for which in [0, 1] {
        let mut story = three(&[2, 1]);
        one_device(&mut story, "ada", which, Device::Refuses);
        story.part(&["ada"], &["bob", "cyn"]).run_for(8000);
        let told = of_devices(&mut story);
        assert!(told.iter().any(|line| line == "bob tells device 2 of ada to switch it off"), "{told:?}");
        assert!(story.owner("disk").is_some_and(|owner| owner != "ada"), "{told:?}");
    }
}

/// SAFETY rule 17 d: half of the voters needs the same proof.
#[test]
fn of_two_nodes_the_second_level_of_the_other_proves_it_off() {
    let mut story = two(&[1, 1]);
    one_device(&mut story, "ada", 0, Device::Refuses);
    story.cut_power("ada").run_for(6000);
    assert_eq!(
        of_devices(&mut story),
        [
            "bob tells the device of ada to switch it off",
            "bob tells device 1 of ada to switch it off",
            "ada is switched off"
        ]
    );
    assert_eq!((story.owner("disk"), story.owner("site")), (Some("bob"), Some("bob")));
}

#[test]
fn of_two_nodes_one_does_not_go_on_by_half_of_the_others_supplies() {
    let mut story = two(&[2]);
    one_device(&mut story, "ada", 1, Device::Refuses);
    // Or ada has bob switched off first.
    story.device("bob", Device::Refuses);
    story.part(&["ada"], &["bob"]).run_for(30_000);
    let told = of_devices(&mut story);
    assert!(told.iter().any(|line| line.contains("the device of ada has cut its part")), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("is switched off")), "{told:?}");
    assert_eq!((story.owner("disk"), story.owner("site")), (Some("ada"), None), "{told:?}");
    one_device(&mut story, "ada", 1, Device::Works);
    let again = heart_node::core::Request::Fence {
        node: crate::told::node("ada"),
        who: "root".into(),
        anyway: false,
        reboot: false,
    };
    story.ask("bob", again).run_for(8000);
    assert_eq!((story.owner("disk"), story.owner("site")), (Some("bob"), Some("bob")));
}

fn late(mut spec: Spec, of: &str, delay: Duration) -> Spec {
    let fence = &mut spec.nodes.get_mut(&crate::told::node(of)).expect("a node of this story").fence;
    fence.iter_mut().flatten().for_each(|device| device.delay = delay);
    spec
}

#[test]
fn a_device_with_a_delay_is_used_that_much_later() {
    let spec = with_levels(spec(&["ada", "bob", "cyn"], "ada", "cyn"), &[1]);
    let mut story = with_disk(late(spec, "ada", Duration::from_secs(3)));
    story.cut_power("ada").run_for(6000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs disk
        0.0 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        3.5 bob tells the device of ada to switch it off
        3.6 ada is switched off
        3.6 cyn runs disk",
    );
}

/// The delay is over after who waits has lost the right: the device is not told (SAFETY rule 12).
#[test]
fn who_loses_its_right_while_it_waits_does_not_tell_the_device() {
    let spec = with_levels(spec(&["ada", "bob", "cyn"], "ada", "cyn"), &[1]);
    let mut story = with_disk(late(spec, "ada", Duration::from_secs(3)));
    story.cut_power("ada").run_for(1500);
    story.part(&["bob"], &["ada", "cyn"]).run_for(4000);
    assert!(!story.told().contains("tells the device"));
    story.heal().run_for(15_000);
    let told = story.told();
    assert_ne!(story.owner("disk"), None, "{told}");
}

/// Of two that part, the one whose device has a delay wins, whatever else decides.
#[test]
fn of_two_halves_the_one_with_the_delay_is_not_shot() {
    for spared in ["ada", "bob"] {
        let spec = with_levels(spec(&["ada", "bob"], "ada", "ada"), &[1]);
        let mut story = with_disk(late(spec, spared, Duration::from_secs(10)));
        story.part(&["ada"], &["bob"]).run_for(20_000);
        let told = story.told();
        assert!(!told.contains(&format!("{spared} is switched off")), "{told}");
        assert_eq!(story.owner("disk"), Some(spared), "{told}");
    }
}
