//! Ping targets: they steer placement, and may veto (SAFETY rule 20, decision 18).

use heart_model::Name;
use heart_node::core::{Request, Response};
use heart_sim::{Device, Fault, WorldSettings, with_devices, with_targets, with_tie_break};

use crate::told::{Told, node, resource, spec, with_disk};

fn target(name: &str) -> Name {
    Name::new(name).expect("a name")
}

/// The usual three, which ping `gateway` and have done so for a while.
fn three(targets: &[&str]) -> Told {
    let mut story = Told::begin(WorldSettings::quiet(
        with_targets(spec(&["ada", "bob", "cyn"], "ada", "cyn"), targets),
        1,
    ));
    story.run_for(1000).forget();
    story
}

/// `ada` and `bob`, of which `ada` runs everything; both reach `gateway`.
fn pair(devices: bool) -> Told {
    let spec = with_targets(spec(&["ada", "bob"], "ada", "ada"), &["gateway"]);
    let mut story = match devices {
        true => with_disk(with_devices(spec)),
        false => Told::begin(WorldSettings::quiet(with_tie_break(spec), 1)),
    };
    story.run_for(1000).forget();
    story
}

impl Told {
    /// A node does not reach a target, or reaches it again.
    fn uplink(&mut self, of: &str, to: &str, reached: bool) -> &mut Told {
        let fault = Fault::Uplink { node: self.place(of), target: target(to), reached };
        self.happens(fault)
    }

    /// A target answers nobody, or answers again.
    fn target(&mut self, name: &str, answers: bool) -> &mut Told {
        self.happens(Fault::Target { target: target(name), answers })
    }

    /// What `heart status` shows at `at`: what is wrong, and what is next.
    fn wrong_and_next(&mut self, at: &str) -> (String, String) {
        self.ask(at, Request::Status).run_for(100);
        match self.world.answers.last() {
            Some(Response::Status(view)) => (view.problems.join("\n"), view.next.join("\n")),
            other => panic!("{other:?}"),
        }
    }

    /// Who runs something, if anybody does.
    #[track_caller]
    fn runs(&mut self, what: &str, on: Option<&str>) {
        let told = self.told();
        assert_eq!(self.owner(what), on, "{what}; told was:\n{told}");
    }

    /// What `heart why` says, as the leader knows it.
    fn reasons(&mut self, what: &str) -> String {
        self.ask("bob", Request::Why { resource: resource(what) }).run_for(100);
        match self.world.answers.last() {
            Some(Response::Why { reasons, .. }) => {
                reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Five seconds until the node says so, five more until that has lasted.
#[test]
fn what_runs_goes_once_to_where_the_target_is_reached() {
    let mut story = three(&["gateway"]);
    story.uplink("ada", "gateway", false).run_for(12_000);
    let told = story.told();
    assert_eq!((story.owner("address"), story.owner("site")), (Some("bob"), Some("bob")), "{told}");
    assert_eq!(told.matches("nobody runs address").count(), 1, "{told}");
    assert!(
        story.reasons("site").contains("not on ada: it reaches 0 of 1 ping targets, bob 1"),
        "{}",
        story.reasons("site")
    );
    let (wrong, _) = story.wrong_and_next("cyn");
    assert!(
        wrong.contains("ada reaches 0 of 1 ping targets: gateway (192.0.2.1) does not answer"),
        "{wrong}"
    );
    // It is reached again, and nothing goes back by itself.
    story.uplink("ada", "gateway", true).run_for(30_000);
    story.forget();
    // Nor does anything move when all that is left loses it.
    story.target("gateway", false).run_for(30_000);
    story.expect("0.0 gateway does not answer any more");
}

/// Found out by one node after the other, as if each had asked just after the last answer and stood still a while.
#[test]
fn a_target_that_dies_for_everybody_moves_nothing() {
    let mut story = three(&["gateway"]);
    story.target("gateway", false).run_for(60_000);
    story.target("gateway", true).run_for(60_000);
    story.expect(
        "
        0.0 gateway does not answer any more
        60.0 gateway answers again
        ",
    );
    for name in ["ada", "bob", "cyn"] {
        story.uplink(name, "gateway", false).run_for(2_000);
    }
    story.run_for(60_000);
    assert!(!story.told().contains("nobody runs"), "somebody was moved");
}

#[test]
fn who_reaches_one_of_two_hands_over_to_who_reaches_both_and_neither_counts_more() {
    let mut story = three(&["gateway", "provider"]);
    story.uplink("ada", "gateway", false).uplink("bob", "provider", false).run_for(15_000);
    story.runs("site", Some("cyn"));
    // One each: that is equal.
    story.uplink("cyn", "gateway", false).run_for(30_000);
    story.runs("site", Some("cyn"));
}

#[test]
fn nothing_stops_where_nobody_else_can_take_it() {
    let mut settings =
        WorldSettings::quiet(with_targets(spec(&["ada", "bob", "cyn"], "ada", "cyn"), &["gateway"]), 1);
    let group = settings.spec.groups.values_mut().next().expect("there is one");
    group.wishes.never = ["bob", "cyn"].map(|name| heart_model::Other::Node(node(name))).into();
    let mut story = Told::begin(settings);
    story.run_for(1000).forget();
    story.uplink("ada", "gateway", false).run_for(30_000);
    story.expect("0.0 ada is cut off from gateway");
    let said = story.reasons("site");
    assert!(
        said.contains("ada reaches 0 of 1 ping targets, bob 1; no node that reaches more can take it"),
        "{said}"
    );
}

/// A target that answers one node now and then gives nobody a reason to go there, nor to stay away from others.
#[test]
fn a_node_that_flaps_moves_nothing_and_keeps_nothing_from_moving() {
    let mut story = three(&["gateway"]);
    for _ in 0..5 {
        story.uplink("cyn", "gateway", false).run_for(7_000);
        story.uplink("cyn", "gateway", true).run_for(7_000);
    }
    let told = story.told();
    assert!(told.matches("nobody runs cache").count() <= 1 && !told.contains("nobody runs site"), "{told}");
    story.uplink("ada", "gateway", false);
    for _ in 0..2 {
        story.uplink("cyn", "gateway", false).run_for(6_500);
        story.uplink("cyn", "gateway", true).run_for(6_500);
    }
    story.runs("site", Some("bob"));
}

/// A new leader knows nothing of it, and takes its time.
#[test]
fn a_new_leader_moves_nothing_before_it_has_seen_a_difference_last() {
    let mut story = three(&["gateway"]);
    story.uplink("ada", "gateway", false).run_for(6_000);
    story.cut_power("bob").run_for(3_000);
    story.runs("site", Some("ada"));
    story.run_for(12_000);
    story.runs("site", Some("cyn"));
}

/// The cable of the owner breaks, with all that is reached by it.
#[test]
fn of_two_the_one_that_is_cut_off_does_not_ask_the_tie_break() {
    let mut story = pair(false);
    story.uplink("ada", "gateway", false).part(&["ada"], &["bob"]).run_for(9_000);
    story.runs("site", Some("bob"));
    story.heal().uplink("ada", "gateway", true).run_for(10_000);
    assert!(story.takes_part("ada") && story.takes_part("bob"), "{}", story.told());
    story.runs("site", Some("bob"));
}

/// Without targets it would shoot first, as it runs more.
#[test]
fn of_two_the_one_that_is_cut_off_does_not_shoot() {
    let mut story = pair(true);
    story.uplink("ada", "gateway", false).part(&["ada"], &["bob"]).run_for(9_000);
    let told = story.told();
    assert!(told.contains("ada is switched off") && !told.contains("bob is switched off"), "{told}");
    assert_eq!((story.owner("disk"), story.owner("site")), (Some("bob"), Some("bob")), "{told}");
}

/// The switch that is between them, and between them and all others, has died.
#[test]
fn when_both_are_cut_off_nobody_goes_on_until_a_target_answers() {
    for devices in [true, false] {
        let mut story = pair(devices);
        story.target("gateway", false).part(&["ada"], &["bob"]).run_for(60_000);
        let told = story.told();
        assert!(!told.contains("is switched off") && !told.contains("bob runs"), "{told}");
        assert_eq!(story.owner("site"), None, "{told}");
        if devices {
            story.runs("disk", Some("ada"));
        }
        for (name, other) in [("ada", "bob"), ("bob", "ada")] {
            let (wrong, next) = story.wrong_and_next(name);
            assert!(wrong.contains("none of this node's ping targets answers"), "{wrong}");
            assert!(next.contains(&format!("heart takeover --peers-are-off {other}")), "{next}");
        }
        story.target("gateway", true).run_for(9_000);
        assert_ne!(story.owner("site"), None);
    }
}

/// It answers again before they hear each other, or the other way round: then they agree as ever.
#[test]
fn when_both_were_cut_off_and_hear_each_other_again_all_runs_where_it_ran() {
    let mut story = pair(true);
    story.target("gateway", false).part(&["ada"], &["bob"]).run_for(20_000).heal().run_for(9_000);
    let told = story.told();
    assert!(!told.contains("is switched off"), "{told}");
    assert_eq!(story.owner("site"), Some("ada"), "{told}");
}

/// That nobody reached it before parts nobody from anybody.
#[test]
fn a_target_that_was_dead_already_vetoes_nothing() {
    for devices in [true, false] {
        let mut story = pair(devices);
        story.target("gateway", false).run_for(15_000).cut_power("ada").run_for(9_000);
        story.runs("site", Some("bob"));
    }
}

/// The other one loses power, the target answers: nothing takes longer than without it.
#[test]
fn who_reaches_its_target_goes_on_as_soon_as_without_one() {
    let mut story = pair(true);
    story.cut_power("ada").run_for(900);
    story.runs("disk", Some("bob"));
}

#[test]
fn a_target_that_answers_lets_nobody_do_anything() {
    let mut story = pair(true);
    story.device("ada", Device::Refuses).device("bob", Device::Refuses);
    story.cut_power("ada").run_for(60_000);
    story.runs("disk", None);
    let mut story = pair(false);
    for name in ["ada", "bob"] {
        let node = story.place(name);
        story.happens(Fault::TieBreak { node, reached: false });
    }
    story.cut_power("ada").run_for(60_000);
    story.runs("site", None);
}

#[test]
fn a_person_decides_whatever_answers() {
    let mut story = pair(true);
    story.cut_power("ada").target("gateway", false).run_for(5_000);
    story.runs("site", None);
    let takeover = Request::TakeOver { without: vec![node("ada")], who: "eve".into(), sure: true };
    story.ask("bob", takeover).run_for(5_000);
    story.runs("site", Some("bob"));
}

/// Who cannot ping is no better and no worse than others, and says so.
#[test]
fn a_node_that_cannot_ping_says_so_and_keeps_what_it_runs() {
    let mut story = three(&["gateway"]);
    let ada = story.place("ada");
    story.happens(Fault::Blind(ada)).run_for(30_000);
    story.runs("site", Some("ada"));
    let (wrong, _) = story.wrong_and_next("bob");
    assert!(wrong.contains("ada cannot find out which ping targets it reaches"), "{wrong}");
}
