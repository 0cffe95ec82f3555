//! What people are told where nothing can be done.

use heart_model::Ailment;
use heart_node::core::{Request, Response};
use heart_sim::Fault;

use crate::{
    pairs::pair,
    told::{Told, resource},
};

fn asked(story: &mut Told, at: &str, request: Request) -> Response {
    story.ask(at, request).run_for(100);
    story.world.answers.last().cloned().expect("an answer")
}

/// A half that waits says for what and names the command, to who asks about a resource as well.
#[test]
fn a_half_that_waits_says_for_what_and_what_a_person_can_do() {
    let mut story = pair(false);
    story.cut_power("ada").run_for(3000);
    let Response::Why { stuck, next, .. } =
        asked(&mut story, "bob", Request::Why { resource: resource("site") })
    else {
        panic!("no reasons")
    };
    assert_eq!(
        stuck.as_deref(),
        Some("nothing is configured that could switch ada off for certain: waiting for it")
    );
    assert_eq!(next, ["wait for ada; or, if ada is off for certain: `heart takeover --peers-are-off ada`"]);
}

/// Of two, one has a disk that takes nothing, and is still heard: nothing is restarted until it has laid its log down.
#[test]
fn of_two_nothing_is_restarted_until_the_one_whose_disk_takes_nothing_has_let_go() {
    let mut story = pair(true);
    let stall = Fault::StallDisk(story.place("bob"));
    story.happens(stall).run_for(3000);
    story.happens(Fault::Sicken { node: 1, with: Ailment::DiskStalled });
    story.happens(Fault::KillService(resource("cache"))).run_for(2000);
    let told = story.told();
    for at in ["ada", "bob"] {
        let Response::Status(view) = asked(&mut story, at, Request::Status) else { panic!("no status") };
        let said = view.problems.join("\n");
        assert!(
            said.contains("the disk of bob takes nothing, and without it nothing can be agreed on"),
            "{said}"
        );
    }
    assert!(told.contains("nobody runs cache") && !told.contains("ada runs cache"), "{told}");
    story.run_for(5000);
    let told = story.told();
    assert!(told.contains("ada runs cache"), "{told}");
}
