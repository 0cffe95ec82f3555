//! How a cluster begins when not every node is there with the first.

use heart_node::core::{Request, Response};
use heart_sim::{Fault, WorldSettings};

use heart_model::{Name, Other};

use crate::told::{Told, node, resource, spec};

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
        0.1 cyn runs cache
        0.1 ada runs address
        0.1 ada runs site
        ",
    );
    assert_eq!(story.leader(), Some("bob"));
}

#[test]
fn what_prefers_a_node_that_is_still_booting_waits_for_it() {
    let mut story = Told::dark(without_a_vote());
    story.switch_on("bob").switch_on("cyn").switch_on("dan").run_for(850);
    // Who does not vote may know of a history: the voters listen before they begin one.
    story.expect(
        "
        0.0 bob is switched on
        0.0 cyn is switched on
        0.0 dan is switched on
        0.6 cyn runs cache
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
        0.6 cyn runs cache
        1.2 bob runs address
        1.2 bob runs site
        ",
    );
    // Who comes later takes nothing back.
    story.switch_on("ada").run_for(5000);
    story.expect("0.0 ada is switched on");
}

/// What a node answers to `heart status`: what is wrong, and what comes next.
fn status(story: &mut Told, at: &str) -> (Vec<String>, Vec<String>) {
    story.ask(at, Request::Status).run_for(50);
    match story.world.answers.pop() {
        Some(Response::Status(view)) => (view.problems, view.next),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cluster_that_never_ran_waits_for_all_voters_however_long_it_takes() {
    let mut story = Told::dark(WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1));
    story.switch_on("bob").switch_on("cyn").run_for(600_000);
    story.expect(
        "
        0.0 bob is switched on
        0.0 cyn is switched on
        ",
    );
    let (wrong, next) = status(&mut story, "bob");
    assert_eq!(wrong[0], "the cluster has never run here: it waits for ada (not heard)");
    assert_eq!(
        next,
        [
            "the cluster begins as soon as it is there; what never ran in it can be left out: `heart found --without \
          ada`"
        ]
    );
    story.switch_on("ada").run_for(5000);
    story.expect(
        "
        0.1 ada is switched on
        0.1 cyn runs cache
        0.1 ada runs address
        0.1 ada runs site
        ",
    );
}

#[test]
fn a_person_may_say_that_a_missing_voter_never_ran() {
    let mut story = Told::dark(WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1));
    story.switch_on("bob").switch_on("cyn").run_for(5000).forget();
    let without = |names: &[&str]| Request::Found { without: names.iter().map(|name| node(name)).collect() };
    for (names, error) in [
        (vec!["bob"], "bob is the node that was asked"),
        (vec!["cyn"], "cyn is here and ready"),
        (vec!["dan"], "no node is called `dan`"),
    ] {
        story.ask("bob", without(&names)).run_for(50);
        let said = story.world.answers.pop();
        assert!(matches!(&said, Some(Response::Refused { error: said, .. }) if said == error), "{said:?}");
    }
    story.forget();
    story.ask("bob", without(&["ada"])).run_for(2000);
    story.expect(
        "
        0.0 cyn runs cache
        0.6 bob runs address
        0.6 bob runs site
        ",
    );
    // It is taken in, and nothing moves.
    story.switch_on("ada").run_for(5000);
    story.expect("0.0 ada is switched on");
    assert!(story.world.votes(story.place("ada")));
    story.ask("bob", without(&["ada"])).run_for(50);
    let said = story.world.answers.pop();
    assert!(matches!(&said, Some(Response::Refused { error, .. }) if error.contains("already")), "{said:?}");
}

#[test]
fn a_person_cannot_begin_a_cluster_with_less_than_a_quorum() {
    let mut story = Told::dark(WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1));
    story.switch_on("bob").run_for(5000);
    story.ask("bob", Request::Found { without: vec![node("ada"), node("cyn")] }).run_for(5000);
    story.expect("0.0 bob is switched on");
    let said = story.world.answers.pop();
    let is_refusal = |error: &str| error == "1 of 3 voters are here, and 2 have to be";
    assert!(matches!(&said, Some(Response::Refused { error, .. }) if is_refusal(error)), "{said:?}");
}

#[test]
fn a_cluster_of_one_that_grows_keeps_its_owner_although_the_new_nodes_do_not_reach_it() {
    let mut alone = spec(&["ada", "bob", "cyn"], "ada", "cyn");
    ["bob", "cyn"].iter().for_each(|name| alone.nodes.get_mut(&node(name)).expect("a node").voter = false);
    let mut story = Told::dark(WorldSettings::quiet(alone, 1));
    story.switch_on("ada").run_for(5000).forget();
    let all = (0..3).collect();
    story.part(&["ada"], &["bob", "cyn"]).happens(Fault::Configure { voters: all });
    story.switch_on("bob").switch_on("cyn").run_for(60_000);
    story.expect(
        "
        0.0 the file says that ada, bob, cyn vote
        0.0 bob is switched on
        0.0 cyn is switched on
        ",
    );
    assert_eq!(story.leader(), Some("ada"));
    story.heal().happens(Fault::KillCore(0)).run_for(10_000);
    story.expect(
        "
        0.0 the network is whole
        0.0 the core of ada is killed
        ",
    );
    assert!(["ada", "bob", "cyn"].iter().all(|name| story.world.votes(story.place(name))));
}

/// Two voted for a first leader that never got to write anything; then the third ran on its own.
#[test]
fn votes_for_a_history_that_never_began_do_not_begin_a_second_one() {
    // Two have a vote on their disks, and nothing else; the third has nothing: a moment that not every world has.
    let empty_but_voted = |story: &Told, place: usize| {
        story.world.kept(place).is_some_and(|log| log.hard_state.vote != 0 && log.entries.is_empty())
    };
    let has_voted = |story: &Told| {
        empty_but_voted(story, 1) && empty_but_voted(story, 2) && story.world.kept(0).is_none()
    };
    let mut stories = (1..100).map(|seed| {
        let all = spec(&["ada", "bob", "cyn"], "ada", "cyn");
        let mut story = Told::dark(WorldSettings::quiet(all, seed));
        story.switch_on("ada").switch_on("bob").switch_on("cyn");
        (0..20_000)
            .any(|_| {
                story.world.run(10_000).expect("nothing is broken yet");
                has_voted(&story)
            })
            .then_some(story)
    });
    let mut story = stories.find_map(|story| story).expect("one world of a hundred has it");
    for name in ["ada", "bob", "cyn"] {
        story.cut_power(name);
    }
    story.happens(Fault::Configure { voters: [0].into() }).run_for(1000);
    story.switch_on("ada").run_for(5000).forget();
    assert_eq!(story.owner("address"), Some("ada"));
    story.part(&["ada"], &["bob", "cyn"]).happens(Fault::Configure { voters: (0..3).collect() });
    story.switch_on("bob").switch_on("cyn").run_for(60_000);
    story.expect(
        "
        0.0 the file says that ada, bob, cyn vote
        0.0 bob is switched on
        0.0 cyn is switched on
        ",
    );
    // Heard, the one that runs cannot be left out either; it takes the two in.
    story.heal().run_for(300);
    story.ask("bob", Request::Found { without: vec![node("ada")] }).run_for(50);
    let said = story.world.answers.pop();
    let runs = |said: &str| said == "ada is heard and has run in a cluster";
    assert!(matches!(&said, Some(Response::Refused { error, .. }) if runs(error)), "{said:?}");
    story.happens(Fault::KillCore(0)).run_for(10_000);
    story.expect(
        "
        0.0 the network is whole
        0.4 the core of ada is killed
        ",
    );
    assert!(["ada", "bob", "cyn"].iter().all(|name| story.world.votes(story.place(name))));
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
    story.switch_on("bob").switch_on("cyn").switch_on("dan").run_for(700).forget();
    story.happens(Fault::KillService(resource("cache"))).run_for(300);
    story.expect(
        "
        0.0 cache dies on cyn
        0.0 nobody runs cache
        0.0 cyn runs cache
        ",
    );
}

/// Nodes tell what they have one after the other, and what was granted a moment ago is not in the log yet: the next
/// plan must not decide it anew, with another place for it, and then mend what came of that.
#[test]
fn a_cold_start_of_what_keeps_apart_starts_each_thing_once() {
    for seed in 1..40 {
        let mut spec = spec(&["ada", "bob", "cyn"], "ada", "cyn");
        let group = spec.groups.values_mut().next().expect("a group");
        group.wishes.prefers.clear();
        let cache = spec.resources.get_mut(&resource("cache")).expect("a cache");
        cache.wishes.prefers.clear();
        cache.wishes.never = vec![Other::Unit(Name::new("web").expect("a name"))];
        let mut story = Told::dark(WorldSettings::quiet(spec, seed));
        story.world.boot_all();
        story.run_for(5000);
        for name in ["address", "site", "cache"] {
            assert_eq!(story.world.starts(&resource(name)), 1, "{name}, seed {seed}");
        }
    }
}
