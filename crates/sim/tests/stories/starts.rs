//! How a cluster begins when not every node is there with the first.

use heart_sim::{Fault, WorldSettings};

use crate::told::{Told, node, spec};

/// Four nodes of which `ada`, which the group prefers, has no vote: the others begin without her.
fn without_a_vote() -> WorldSettings {
    let mut spec = spec(&["ada", "bob", "cyn", "dan"], "ada", "cyn");
    spec.nodes.get_mut(&node("ada")).expect("a node").voter = false;
    WorldSettings::quiet(spec, 1)
}

#[test]
fn a_cold_start_of_all_puts_everything_where_it_is_preferred_without_a_wait() {
    let mut story = Told::dark(WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1));
    story.world.boot_all();
    story.run_for(5000);
    story.expect(
        "
        0.0 ada is switched on
        0.0 bob is switched on
        0.0 cyn is switched on
        0.1 ada runs address
        0.1 cyn runs cache
        0.1 ada runs site
        ",
    );
    assert_eq!(story.leader(), Some("bob"));
}

#[test]
fn what_prefers_a_node_that_is_still_booting_waits_for_it() {
    let mut story = Told::dark(without_a_vote());
    story.switch_on("bob").switch_on("cyn").switch_on("dan").run_for(350);
    story.expect(
        "
        0.0 bob is switched on
        0.0 cyn is switched on
        0.0 dan is switched on
        0.1 cyn runs cache
        ",
    );
    story.switch_on("ada").run_for(5000);
    story.expect(
        "
        0.0 ada is switched on
        0.1 ada runs address
        0.1 ada runs site
        ",
    );
}

#[test]
fn a_preferred_node_that_stays_away_is_waited_for_no_longer_than_lost_after() {
    let mut story = Told::dark(without_a_vote());
    story.switch_on("bob").switch_on("cyn").switch_on("dan").run_for(5000);
    story.expect(
        "
        0.0 bob is switched on
        0.0 cyn is switched on
        0.0 dan is switched on
        0.1 cyn runs cache
        0.7 bob runs address
        0.7 bob runs site
        ",
    );
    // Who comes later takes nothing back.
    story.switch_on("ada").run_for(5000);
    story.expect("0.0 ada is switched on");
}

#[test]
fn a_history_that_was_founded_without_a_node_has_waited_for_it_already() {
    let mut story = Told::dark(WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1));
    story.switch_on("bob").switch_on("cyn").run_for(5000);
    story.expect(
        "
        0.0 bob is switched on
        0.0 cyn is switched on
        1.2 bob runs address
        1.2 cyn runs cache
        1.2 bob runs site
        ",
    );
}

#[test]
fn a_lost_owner_is_replaced_at_once_although_a_preferred_node_is_away() {
    let mut story = Told::dark(without_a_vote());
    story.switch_on("bob").switch_on("cyn").switch_on("dan").run_for(5000).forget();
    assert_eq!((story.leader(), story.owner("address")), (Some("bob"), Some("bob")));
    story.cut_power("bob").run_for(5000);
    story.expect(
        "
        0.0 bob loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.5 dan runs address
        0.5 dan runs site
        ",
    );
    story.switch_on("bob").run_for(5000).forget();
    // The leader, too: the next one begins anew, and knows that this is no start.
    story.cut_power("dan").run_for(5000);
    story.expect(
        "
        0.0 dan loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        ",
    );
}

#[test]
fn a_service_that_fails_while_the_cluster_gathers_is_started_again_at_once() {
    let mut story = Told::dark(without_a_vote());
    story.switch_on("bob").switch_on("cyn").switch_on("dan").run_for(200).forget();
    story.happens(Fault::KillService(crate::told::resource("cache"))).run_for(300);
    story.expect(
        "
        0.0 cache dies on cyn
        0.0 nobody runs cache
        0.0 cyn runs cache
        ",
    );
}
