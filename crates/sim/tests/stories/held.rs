//! What is taken over too often is held, and a node that is lost over and over is avoided: until a while has passed,
//! or a person says so.

use heart_model::Name;
use heart_node::core::{Request, Response};
use heart_sim::{Fault, WorldSettings};

use crate::told::{Told, resource, spec};

const MINUTE: u64 = 60_000;

/// Five nodes, of which two may be lost under the group without harm, and what it is told.
fn five(failovers: u32) -> Told {
    let mut spec = spec(&["ada", "bob", "cyn", "dan", "eve"], "ada", "cyn");
    spec.resources.values_mut().for_each(|one| one.failovers_max = failovers);
    Told::begin(WorldSettings::quiet(spec, 1))
}

/// Whoever runs the group loses power, and is back a little later.
fn kills(story: &mut Told) {
    let owner = story.world.owner(&resource("site")).expect("it runs");
    story.world.schedule(0, Fault::PowerCut(owner));
    story.run_for(3000);
    story.world.schedule(0, Fault::PowerOn(owner));
    story.run_for(5000);
}

fn release(story: &mut Told, name: Option<&str>) {
    let name = name.map(|name| Name::new(name).expect("a name"));
    story.ask("cyn", Request::Release { name }).run_for(3000);
}

/// What is said to be wrong.
fn problems(story: &mut Told) -> String {
    story.ask("cyn", Request::Status).run_for(100);
    match story.world.answers.last() {
        Some(Response::Status(view)) => view.problems.join("\n"),
        other => panic!("{other:?}"),
    }
}

/// A service that kills its node takes two of them, and after a while, in which somebody may look, one more.
#[test]
fn what_kills_its_nodes_does_not_take_all_of_them() {
    let mut story = five(2);
    story.world.keep_notes();
    kills(&mut story);
    assert!(story.owner("site").is_some(), "one failover is no reason to wait");
    assert!(!problems(&mut story).contains("was taken over"));
    kills(&mut story);
    let last = story.owner("site").map(str::to_owned);
    assert!(last.is_some(), "the second is allowed");
    let said = problems(&mut story);
    assert!(said.contains("web was taken over 2 times") && said.contains("`heart release web`"), "{said}");
    let told = story.told();
    let alerts = told.lines().filter(|line| line.contains("cyn: alert: web was taken over 2 times"));
    assert_eq!(alerts.count(), 1, "whoever reads the journal is told once: {told}");

    let owner = story.world.owner(&resource("site")).expect("it runs");
    story.world.schedule(0, Fault::PowerCut(owner));
    story.run_for(MINUTE);
    assert_eq!(story.owner("site"), None, "it is held, and its node is off");
    let said = problems(&mut story);
    assert!(said.contains("taken over too often"), "{said}");
    story.run_for(5 * MINUTE);
    assert!(story.owner("site").is_some(), "it had one more chance");

    let owner = story.world.owner(&resource("site")).expect("it runs");
    story.world.schedule(0, Fault::PowerCut(owner));
    story.run_for(10 * MINUTE);
    assert_eq!(story.owner("site"), None, "and no other");
    release(&mut story, Some("web"));
    assert!(story.owner("site").is_some(), "a person decides");
}

/// What is held still runs where it runs, comes back there, and is moved in order.
#[test]
fn what_is_held_is_only_kept_from_failovers() {
    let mut story = five(1);
    kills(&mut story);
    let owner = story.owner("site").expect("it runs").to_owned();
    assert!(problems(&mut story).contains("web was taken over once"));
    story.world.schedule(0, Fault::KillService(resource("site")));
    story.run_for(3000);
    assert_eq!(story.owner("site"), Some(owner.as_str()), "it starts again in place");
    let place = story.world.owner(&resource("site")).expect("it runs");
    story.world.schedule(0, Fault::PowerCut(place));
    story.run_for(3000);
    assert_eq!(story.owner("site"), None);
    story.world.schedule(0, Fault::PowerOn(place));
    story.run_for(5000);
    assert_eq!(story.owner("site"), Some(owner.as_str()), "its node is back");
    let to = if owner == "dan" { "eve" } else { "dan" };
    story.ask("cyn", Request::Standby { node: crate::told::node(&owner) }).run_for(5000);
    assert_ne!(story.owner("site"), Some(owner.as_str()), "a person wanted it to go");
    assert!(story.owner("site").is_some(), "{to} and others can take it");
}

/// `ada` loses power three times, and is back each time.
fn ada_comes_and_goes() -> Told {
    let mut story = Told::three();
    for _ in 0..3 {
        story.world.schedule(0, Fault::PowerCut(0));
        story.run_for(5000);
        story.world.schedule(0, Fault::PowerOn(0));
        story.run_for(5000);
    }
    story
}

/// The same node is lost three times in ten minutes: it gets nothing while another can take it.
#[test]
fn a_node_that_comes_and_goes_is_avoided_for_a_while() {
    let mut story = ada_comes_and_goes();
    let said = problems(&mut story);
    assert!(said.contains("ada was lost several times") && said.contains("`heart release ada`"), "{said}");
    let owner = story.world.owner(&resource("site")).expect("it runs");
    let other = if owner == 1 { 2 } else { 1 };
    story.ask("cyn", Request::Standby { node: story.world.machine(owner).name.clone() }).run_for(5000);
    assert_eq!(story.world.owner(&resource("site")), Some(other), "anywhere but on ada");
    story.ask("cyn", Request::Standby { node: story.world.machine(other).name.clone() }).run_for(5000);
    assert_eq!(story.owner("site"), Some("ada"), "better there than nowhere");
    story.run_for(11 * MINUTE);
    assert!(
        !problems(&mut story).contains("ada was lost several times"),
        "it has been there for long enough"
    );
}

#[test]
fn a_node_that_is_released_is_used_at_once() {
    let mut story = ada_comes_and_goes();
    assert!(problems(&mut story).contains("ada was lost several times"));
    release(&mut story, Some("ada"));
    assert!(!problems(&mut story).contains("ada was lost several times"));
}

/// Nodes fall one after the other, whatever runs there: at some number nothing is taken over any more.
#[test]
fn a_cluster_that_loses_node_after_node_stops_to_run_after_them() {
    let mut spec = spec(&["ada", "bob", "cyn", "dan", "eve"], "ada", "cyn");
    spec.cluster.failovers_max = 2;
    let mut story = Told::begin(WorldSettings::quiet(spec, 1));
    kills(&mut story);
    kills(&mut story);
    let said = problems(&mut story);
    assert!(said.contains("nothing is taken over by itself"), "{said}");
    let owner = story.world.owner(&resource("site")).expect("it runs");
    story.world.schedule(0, Fault::PowerCut(owner));
    story.run_for(MINUTE);
    assert_eq!(story.owner("site"), None);
    release(&mut story, None);
    assert!(story.owner("site").is_some());
}
