//! Two nodes, each of which can have the other switched off: SAFETY rules 9, 17 and 18.
//!
//! `ada` runs everything. Neither can agree on anything without the other, unless that one is proven off.

use heart_model::{Guard, Reason};
use heart_node::core::{Request, Response};
use heart_sim::{Device, Fault, WorldSettings, ms, with_devices, with_tie_break};

use crate::told::{Told, node, resource, spec, with_disk};

pub(crate) fn pair(devices: bool) -> Told {
    let spec = spec(&["ada", "bob"], "ada", "ada");
    with_disk(if devices { with_devices(spec) } else { spec })
}

/// One lost-after, a quarter of a second for the device at most, and what three writes and a start take.
#[test]
fn the_other_goes_on_when_the_owner_has_lost_power_and_is_proven_off() {
    let mut story = pair(true);
    story.cut_power("ada").run_for(900);
    let told = story.told();
    let (off, first) = (told.find("ada is switched off"), told.find("bob runs"));
    assert!(off.is_some() && off < first, "{told}");
    for name in ["disk", "site", "address"] {
        assert_eq!(story.owner(name), Some("bob"), "{name}: {told}");
    }
}

#[test]
fn who_comes_back_is_taken_in_and_nothing_moves() {
    let mut story = pair(true);
    story.cut_power("ada").run_for(5000).switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada") && story.takes_part("bob"));
    for name in ["disk", "site", "address"] {
        assert_eq!(story.owner(name), Some("bob"), "{name}");
    }
    // And the same again, the other way round.
    story.cut_power("bob").run_for(5000);
    for name in ["disk", "site", "address"] {
        assert_eq!(story.owner(name), Some("ada"), "{name}");
    }
}

/// Half of the voters counts its attempts by itself: what it did says nothing of the age of what the log says next.
#[test]
fn of_two_nodes_the_one_that_was_switched_off_gets_power_again_if_the_file_says_so() {
    let mut spec = with_devices(spec(&["ada", "bob"], "ada", "ada"));
    spec.cluster.after_fence = heart_model::AfterFence::Boot;
    let mut story = with_disk(spec);
    story.cut_power("ada").run_for(15_000);
    let told = story.told();
    assert!(told.find("ada is switched off") < told.find("ada is switched on"), "{told}");
    assert!(story.takes_part("ada") && story.owner("disk") == Some("bob"), "{told}");
}

/// Rule 9: what a dying standby must not do is stop the healthy node.
#[test]
fn the_owner_runs_on_while_its_standby_is_switched_off() {
    let mut story = pair(true);
    story.device("bob", Device::Refuses);
    story.cut_power("bob").run_for(20_000);
    assert_eq!(story.owner("disk"), Some("ada"));
    assert!(!story.told().contains("nobody runs disk"), "{}", story.told());
    story.device("bob", Device::Works);
    story
        .ask("ada", Request::Fence { node: node("bob"), who: "root".into(), anyway: false, reboot: false })
        .run_for(5000);
    assert_eq!(story.owner("site"), Some("ada"), "with a lease of its own again");
}

/// Without a quorum, too, a device that was mended is found by itself.
#[test]
fn the_half_that_is_left_tries_again_after_a_while() {
    let mut story = pair(true);
    story.device("ada", Device::Refuses);
    story.cut_power("ada").run_for(20_000);
    assert_eq!(story.told().matches("tells the device of ada").count(), 3);
    story.device("ada", Device::Works);
    story.run_for(30_000);
    assert_eq!(story.owner("disk"), None);
    story.run_for(30_000);
    assert_eq!(story.owner("disk"), Some("bob"));
}

/// The one that runs more goes first, and the other gives it the time.
#[test]
fn two_halves_do_not_switch_each_other_off() {
    let mut story = pair(true);
    story.part(&["ada"], &["bob"]).run_for(8000);
    let told = story.told();
    assert!(told.contains("bob is switched off") && !told.contains("ada is switched off"), "{told}");
    assert!(!told.contains("nobody runs disk"), "{told}");
    assert_eq!(story.owner("site"), Some("ada"));
}

/// A machine that hangs is as lost as one without power, but its device says that it is on.
#[test]
fn an_owner_that_hangs_is_switched_off_after_it_had_its_chance() {
    let mut story = pair(true);
    let ada = story.place("ada");
    story.happens(Fault::Freeze { node: ada, lasts: 60_000_000_000 });
    story.run_for(6000);
    assert!(story.told().contains("ada is switched off"), "{}", story.told());
    assert_eq!(story.owner("disk"), Some("bob"));
}

/// Schedule 9: whoever was switched off does not shoot back, however often it is started behind a cut.
#[test]
fn a_node_that_was_switched_off_and_boots_into_a_cut_network_waits() {
    let mut story = pair(true);
    story.part(&["ada"], &["bob"]).run_for(8000).switch_on("bob").run_for(20_000);
    assert_eq!(story.told().matches("is switched off").count(), 1, "{}", story.told());
    assert_eq!(story.owner("disk"), Some("ada"));
    story.cut_power("ada").run_for(10_000);
    assert_eq!(story.owner("disk"), None, "bob does not know what ada did without it");
    story.heal().switch_on("ada").run_for(8000);
    assert!(story.takes_part("ada") && story.takes_part("bob"));
    assert_ne!(story.owner("disk"), None);
}

/// Of two, one lost its disk: nothing that was agreed on is lost, as each entry needed both.
#[test]
fn the_one_with_the_whole_log_goes_on_when_the_other_lost_its_disk() {
    let mut story = pair(false);
    let bob = story.place("bob");
    story.cut_power("bob").run_for(100);
    story.happens(Fault::LoseTail { node: bob, bytes: usize::MAX });
    story.switch_on("bob").run_for(8000);
    assert!(story.takes_part("bob"), "{}", story.told());
    assert_eq!(story.owner("disk"), Some("ada"));
}

/// Rule 21: who left in order is not waited for, and nobody has to switch it off.
#[test]
fn the_other_goes_on_alone_when_one_has_left_in_order() {
    let mut story = pair(true);
    let ada = story.place("ada");
    story.happens(Fault::Leave(ada));
    story.run_for(8000);
    assert!(story.told().contains("ada has left"), "{}", story.told());
    assert!(!story.told().contains("switched off"), "{}", story.told());
    for name in ["disk", "site", "address"] {
        assert_eq!(story.owner(name), Some("bob"), "{name}");
    }
    story.switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada") && !story.told().contains("switched off"), "{}", story.told());
}

#[test]
fn without_devices_nothing_goes_on_by_itself_and_a_person_may_say_so() {
    let mut story = pair(false);
    story.cut_power("ada").run_for(8000);
    assert_eq!(story.owner("site"), None);
    let say = |without: &[&str]| Request::TakeOver {
        without: without.iter().map(|name| node(name)).collect(),
        who: "eve".into(),
        sure: true,
    };
    story.ask("bob", say(&["bob"])).run_for(2000);
    assert!(
        matches!(story.world.answers.last(), Some(Response::Refused { .. })),
        "it is the one that was asked"
    );
    story.ask("bob", say(&["ada"])).run_for(2000);
    for name in ["disk", "site", "address"] {
        assert_eq!(story.owner(name), Some("bob"), "{name}: {:?}", story.world.answers.last());
    }
    story.switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada"));
}

/// A person is asked again for what the network was only cut for.
#[test]
fn a_node_that_is_heard_is_not_off_whatever_a_person_says() {
    let mut story = pair(false);
    story
        .ask("bob", Request::TakeOver { without: vec![node("ada")], who: "eve".into(), sure: true })
        .run_for(2000);
    let said = story.world.answers.last();
    assert!(matches!(said, Some(Response::Refused { .. })), "{said:?}");
    assert_eq!(story.owner("disk"), Some("ada"));
}

/// Two nodes and something small on a third machine.
pub(crate) fn tied() -> Told {
    let spec = with_tie_break(spec(&["ada", "bob"], "ada", "ada"));
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    story.run_for(10_000);
    assert_eq!(story.owner("site"), Some("ada"));
    story.forget();
    story
}

fn reaches(story: &mut Told, name: &str, reached: bool) {
    let node = story.place(name);
    story.happens(Fault::TieBreak { node, reached });
}

#[test]
fn with_a_tie_break_the_other_goes_on_after_one_lost_after() {
    let mut story = tied();
    story.cut_power("ada").run_for(700);
    for name in ["site", "address", "cache"] {
        assert_eq!(story.owner(name), Some("bob"), "{name}");
    }
    story.run_for(5000).switch_on("ada").run_for(6000);
    assert!(story.takes_part("ada"));
    assert_eq!(story.owner("site"), Some("bob"), "nothing moves back");
    // And the other way round: the tie-break names both again.
    story.cut_power("bob").run_for(700);
    assert_eq!(story.owner("site"), Some("ada"));
}

/// The other one may have gone on by it before: what a device proves is no help while it is not reached.
#[test]
fn with_devices_and_a_tie_break_that_is_not_reached_nobody_goes_on() {
    let mut story = with_disk(with_tie_break(with_devices(spec(&["ada", "bob"], "ada", "ada"))));
    story.run_for(10_000);
    reaches(&mut story, "bob", false);
    story.cut_power("ada").run_for(20_000);
    assert_eq!((story.owner("site"), story.owner("disk")), (None, None));
    reaches(&mut story, "bob", true);
    story.run_for(15_000);
    assert_eq!((story.owner("site"), story.owner("disk")), (Some("bob"), Some("bob")));
    assert!(story.told().contains("ada is switched off"));
}

/// It counts as one that was never set, and the leader sets it at its next look.
#[test]
fn a_tie_break_that_forgets_its_value_decides_nothing_until_a_leader_has_set_it_again() {
    let mut story = tied();
    story.happens(Fault::ForgetTieBreak).cut_power("ada").run_for(20_000);
    assert_eq!(story.owner("site"), None);
    story.switch_on("ada").run_for(20_000);
    assert!(story.owner("site").is_some() && story.takes_part("ada"), "{}", story.told());
    story.happens(Fault::ForgetTieBreak).run_for(11_000);
    let owner = story.owner("site").expect("it runs").to_owned();
    story.cut_power(&owner).run_for(700);
    assert!(story.owner("site").is_some_and(|now| now != owner), "{}", story.told());
}

/// `bob` asked it to side with him, and lost power before he went on. It names nobody who is left; after a person has said
/// that he is off, it is of use again, and names both.
#[test]
fn the_tie_break_follows_a_person_who_says_that_the_one_it_sided_with_is_off() {
    let mut story = tied();
    let stall = Fault::StallDisk(story.place("bob"));
    story.cut_power("ada").happens(stall).run_for(3000);
    let mended = Fault::MendDisk(story.place("bob"));
    story.cut_power("bob").happens(mended).switch_on("ada").run_for(5000);
    assert_eq!(story.owner("site"), None);
    let request = |sure| Request::TakeOver { without: vec![node("bob")], who: "eve".into(), sure };
    story.ask("ada", request(false)).run_for(100);
    let Some(Response::Refused { error, .. }) = story.world.answers.last() else {
        panic!("it is not asked back")
    };
    assert!(error.contains("asked to let a half go on alone, by bob or by this node"), "{error}");
    story.ask("ada", request(true)).run_for(5000);
    assert_eq!(story.owner("site"), Some("ada"));
    story.switch_on("bob").run_for(10_000);
    assert!(story.takes_part("bob"));
    story.cut_power("ada").run_for(3000);
    assert_eq!(story.owner("site"), Some("bob"));
}

#[test]
fn of_two_halves_that_both_reach_the_tie_break_one_goes_on() {
    let mut story = tied();
    story.part(&["ada"], &["bob"]).run_for(5000);
    let owner = story.owner("site").map(str::to_owned);
    assert!(owner.is_some(), "{}", story.told());
    story.heal().run_for(5000);
    assert_eq!(story.owner("site").map(str::to_owned), owner);
    assert!(story.takes_part("ada") && story.takes_part("bob"));
}

/// Schedule 9: what ada did alone is not known to bob, so bob does not go on although the tie-break is reached.
#[test]
fn who_was_gone_on_from_does_not_go_on_when_the_other_dies() {
    let mut story = tied();
    reaches(&mut story, "bob", false);
    story.part(&["ada"], &["bob"]).run_for(5000);
    assert_eq!(story.owner("site"), Some("ada"));
    story.cut_power("ada");
    reaches(&mut story, "bob", true);
    story.run_for(10_000);
    assert_eq!(story.owner("site"), None);
    story.heal().switch_on("ada").run_for(6000);
    assert!(story.owner("site").is_some() && story.takes_part("bob"));
}

#[test]
fn a_tie_break_that_nobody_reaches_stops_nothing_while_both_are_there() {
    let mut story = tied();
    reaches(&mut story, "ada", false);
    reaches(&mut story, "bob", false);
    story.run_for(30_000);
    assert!(!story.told().contains("nobody runs"), "{}", story.told());
    story.cut_power("ada").run_for(8000);
    assert_eq!(story.owner("site"), None, "nobody can say who goes on");
    reaches(&mut story, "bob", true);
    story.run_for(3000);
    assert_eq!(story.owner("site"), Some("bob"));
}

/// Two of four were left, and one waited until the other had given up its vote. Then a beat of those that were gone
/// arrived. It asked the tie-break over and over from there on, and took none of its answers for new: the half stood
/// still for good (world 40063; rule 19).
#[test]
fn a_half_that_hears_one_of_the_others_for_a_moment_goes_on_all_the_same() {
    let names = ["ada", "bob", "cyn", "dan"];
    let mut story = Told::dark(WorldSettings::quiet(with_tie_break(spec(&names, "ada", "ada")), 1));
    story.world.boot_all();
    story.run_for(20_000);
    let (ada, bob) = (story.place("ada"), story.place("bob"));
    story.part(&["ada", "bob"], &["cyn", "dan"]);
    for name in ["cyn", "dan"] {
        reaches(&mut story, name, false);
    }
    // One of the two stands back as soon as its disk has that.
    story.run_for(500).happens(Fault::StallDisk(ada)).happens(Fault::StallDisk(bob)).run_for(400);
    story.forget();
    for one in ["ada", "bob"] {
        let (from, to) = (story.place("dan"), story.place(one));
        story.happens(Fault::Mend { from, to });
    }
    story.run_for(150).cut_one_way("dan", "ada").cut_one_way("dan", "bob").run_for(1000);
    story.happens(Fault::MendDisk(ada)).happens(Fault::MendDisk(bob)).run_for(8000);
    let told = story.told();
    assert!(story.owner("address").is_some_and(|owner| ["ada", "bob"].contains(&owner)), "{told}");
}

/// The leader of four is left with another one, and only they reach the tie-break. From so many milliseconds after that,
/// what this one says is held up for so many, what it says of its log too. It may hear the others a little longer.
fn leader_hears_late(leader: &str, other: &str, longer: u64, (after, lasts): (u64, u64)) -> Told {
    let names = ["ada", "bob", "cyn", "dan"];
    let mut story = Told::dark(WorldSettings::quiet(with_tie_break(spec(&names, "cyn", "cyn")), 1));
    story.world.boot_all();
    story.run_for(10_000);
    if leader != "bob" {
        story.freeze("bob", 2000).run_for(10_000);
    }
    assert_eq!(story.leader(), Some(leader));
    let others: Vec<&str> = names.into_iter().filter(|name| *name != other && *name != leader).collect();
    for name in &others {
        reaches(&mut story, name, false);
    }
    story.part(&[leader], &others).run_for(longer).part(&[other], &others).run_for(after - longer);
    let (from, to) = (story.place(other), story.place(leader));
    story.happens(Fault::Hold { from, to, lasts: ms(lasts) });
    story.ask(leader, Request::Standby { node: node("cyn") }).run_for(6000);
    story
}

/// The leader of four was left with one whose log was a moment behind, as far as it knew, and claimed the tie-break. Then
/// that log was as good, and came first: it was refused from there on, as that claim stood there (world 251441; rule 19).
#[test]
fn a_claim_is_given_back_where_another_one_turns_out_to_have_as_good_a_log() {
    for lasts in 195..=215 {
        let mut story = leader_hears_late("dan", "bob", 60, (300, lasts));
        assert!(story.owner("address").is_some(), "held up for {lasts} ms: {}", story.told());
    }
}

/// It gave up its vote, and that it did came late, when it had not been heard for a moment. What it had given was forgotten,
/// and neither went on before others were back (rule 18).
#[test]
fn who_gave_up_its_vote_for_a_half_belongs_to_it_although_it_was_not_heard_for_a_moment() {
    for lasts in [540, 560, 600, 700, 900] {
        let mut story = leader_hears_late("bob", "ada", 0, (110, lasts));
        assert!(story.owner("address").is_some(), "held up for {lasts} ms: {}", story.told());
    }
}

/// Two with devices got a tie-break, and the file says from then on that a lease guards what a fence did. What runs was
/// started without a gate: it does not end with its lease, so it is taken over only once its node is off (rule 7).
#[test]
fn what_was_started_under_a_fence_waits_for_one_whatever_the_file_says_since() {
    for device in [Device::Works, Device::Refuses] {
        let mut story = with_disk(with_devices(spec(&["ada", "bob"], "ada", "ada")));
        story.device("ada", device).happens(Fault::DecideBy(
            with_tie_break(spec(&["ada"], "ada", "ada")).tie_break.expect("one").place,
        ));
        story.happens(Fault::Guard { resource: resource("disk"), guard: Guard::Lease });
        for name in ["ada", "bob"] {
            let core = story.place(name);
            story.happens(Fault::KillCore(core)).run_for(5000);
        }
        assert_eq!(story.owner("disk"), Some("ada"), "nothing stops");
        reaches(&mut story, "ada", false);
        story.part(&["ada"], &["bob"]).run_for(20_000);
        assert_eq!(story.owner("site"), Some("bob"));
        let owner = if device == Device::Works { "bob" } else { "ada" };
        assert_eq!(story.owner("disk"), Some(owner));
        story.ask("bob", Request::Why { resource: resource("disk") }).run_for(100);
        let Some(Response::Why { reasons, .. }) = story.world.answers.last() else { panic!("no answer") };
        let waits = Reason::WaitsForGuard { node: node("ada"), guard: Guard::Fence };
        assert_eq!(reasons.contains(&waits), owner == "ada", "{reasons:?}");
    }
}

/// The one that went on alone made promises that needed nobody else. They run on for a while after the other one votes again:
/// should that one go on alone next, it waits for them, although it made none (world 405745; rules 2 and 7).
#[test]
fn promises_of_a_lone_voter_outlast_that_it_is_alone() {
    let pair = with_tie_break(spec(&["ada", "bob"], "ada", "ada"));
    for seed in 300..=400u64 {
        // Some beats are lost, and what the log says is sent again at once.
        let settings = WorldSettings { loss: 200, ..WorldSettings::quiet(pair.clone(), seed) };
        let mut story = Told::dark(settings);
        story.world.boot_all();
        story.run_for(10_000).part(&["ada"], &["bob"]);
        reaches(&mut story, "ada", false);
        story.run_for(3000);
        reaches(&mut story, "ada", true);
        story.heal().run_for(60 + seed % 70 * 8);
        reaches(&mut story, "bob", false);
        story.part(&["ada"], &["bob"]).run_for(5000);
        reaches(&mut story, "bob", true);
        story.heal().run_for(10_000);
        assert!(story.owner("site").is_some(), "world {seed}");
    }
}

/// Half of four has devices told. One of the others is proven off, and the last one booted without its log and is heard again,
/// at any moment: nobody is taken in who may be switched off a moment later (world 3257; rule 12).
#[test]
fn a_half_goes_on_only_once_what_it_had_told_is_over_for_all() {
    for heard in (560..1000).step_by(20) {
        let names = ["ada", "bob", "cyn", "dan"];
        let mut story = Told::dark(WorldSettings::quiet(with_devices(spec(&names, "ada", "ada")), 1));
        story.world.boot_all();
        story.run_for(10_000);
        let cyn = story.place("cyn");
        story.part(&["ada", "bob"], &["cyn", "dan"]).cut("cyn", "dan").run_for(300);
        story.cut_power("cyn").happens(Fault::LoseDisk(cyn)).cut_power("dan").switch_on("cyn");
        story.run_for(heard - 300);
        for name in ["ada", "bob"] {
            let one = story.place(name);
            story.happens(Fault::Mend { from: one, to: cyn }).happens(Fault::Mend { from: cyn, to: one });
        }
        story.run_for(3000);
        story.switch_on("cyn").run_for(5000);
        let told = story.told();
        assert!(story.leader().is_some_and(|leader| leader == "ada" || leader == "bob"), "{heard}: {told}");
        assert!(story.takes_part("cyn"), "{heard}: {told}");
    }
}

/// Two of four are left, and one gives up its vote for the other. That it did is lost with the link between them, which is
/// back a moment later: neither of them is a half without that (rule 18).
#[test]
fn that_a_vote_was_given_up_is_said_again_when_the_link_is_back() {
    let names = ["ada", "bob", "cyn", "dan"];
    let mut story = Told::dark(WorldSettings::quiet(with_devices(spec(&names, "ada", "ada")), 1));
    story.world.boot_all();
    story.run_for(10_000);
    let disks = [story.place("ada"), story.place("bob")];
    story.cut_power("cyn").cut_power("dan").run_for(600);
    for disk in disks {
        story.happens(Fault::StallDisk(disk));
    }
    story.run_for(1500).cut("ada", "bob").run_for(50);
    for disk in disks {
        story.happens(Fault::MendDisk(disk));
    }
    story.run_for(1500).heal().run_for(8000);
    let told = story.told();
    assert!(told.contains("cyn is switched off") && told.contains("dan is switched off"), "{told}");
    assert!(matches!(story.owner("site"), Some("ada" | "bob")), "{told}");
}
