//! Disks that lose what they had.

use heart_sim::Fault;

use crate::told::Told;

#[test]
fn a_node_with_an_empty_disk_comes_back_under_a_new_identity() {
    let mut story = Told::three();
    story.world.keep_notes();
    story.cut_power("bob").run_for(2000);
    let wipe = Fault::LoseDisk(story.place("bob"));
    story.happens(wipe).switch_on("bob").run_for(6000);
    story.expect(
        "
        0.0 bob loses power
        0.5 ada: leading term 2
        2.0 bob gets an empty disk
        2.0 bob is switched on
        2.0 bob: this node has no log, or one that is shorter than it once was: it asks for a new identity and does not vote until it has caught up
        2.0 bob: taking part again as incarnation 2
        ",
    );
    assert!(story.world.votes(story.place("bob")));
}

#[test]
fn a_node_that_rejoined_counts_for_the_quorum_again() {
    let mut story = Told::three();
    story.cut_power("bob").run_for(2000);
    let wipe = Fault::LoseDisk(story.place("bob"));
    story.happens(wipe).switch_on("bob").run_for(6000).forget();
    story.cut_power("ada").run_for(5000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        ",
    );
}

/// The leader begins its log with a snapshot of the day on which `bob` was taken in: to a later life of `bob`, which has lost
/// what it has agreed to since, that is no beginning.
#[test]
fn a_node_that_loses_its_disk_again_gets_another_identity_again() {
    for away_ms in [300, 1000, 2500] {
        let mut story = Told::three();
        story.cut_power("bob").run_for(2000);
        let wipe = Fault::LoseDisk(story.place("bob"));
        story.happens(wipe.clone()).switch_on("bob").run_for(3000).forget();
        story.world.keep_notes();
        // Whoever leads anew does not know how far each of the others has the log.
        let leader = story.leader().expect("somebody leads").to_owned();
        story.cut_power("bob").freeze(&leader, 1500).run_for(1500 + away_ms);
        story.happens(wipe).switch_on("bob").run_for(6000);
        let told = story.world.take_story();
        let taken: Vec<&String> = told.iter().filter(|line| line.contains("taking part again")).collect();
        assert!(
            matches!(taken.as_slice(), [once] if once.ends_with("incarnation 3")),
            "{away_ms} ms: {told:#?}"
        );
        assert!(story.world.votes(story.place("bob")));
    }
}

/// Schedule 10: the next heartbeat's commit index lies beyond the log.
#[test]
fn a_voter_whose_log_lost_its_tail_does_not_vote_until_it_has_caught_up() {
    let mut story = Told::three();
    story.cut_power("cyn").run_for(2000).forget();
    story.world.keep_notes();
    let cut = Fault::LoseTail { node: story.place("cyn"), bytes: 400 };
    story.happens(cut).switch_on("cyn").run_for(6000);
    story.expect(
        "
        0.0 the disk of cyn loses its last 400 bytes
        0.0 cyn is switched on
        0.0 cyn: this node has no log, or one that is shorter than it once was: it asks for a new identity and does not vote until it has caught up
        0.0 cyn: taking part again as incarnation 2
        ",
    );
    assert!(story.world.votes(story.place("cyn")));
}

/// What it led and agreed on with `cyn` is gone but for a torn beginning: with it nobody is elected who was away.
#[test]
fn a_log_of_which_only_a_torn_beginning_is_left_elects_nobody() {
    let mut story = Told::three();
    story.part(&["ada"], &["bob", "cyn"]).run_for(5000);
    assert_eq!(story.owner("site"), Some("bob"));
    let kept = 5;
    let written = story.world.written(story.place("bob"));
    let torn = Fault::LoseTail { node: story.place("bob"), bytes: written - kept };
    story.cut_power("bob").cut_power("cyn").happens(torn);
    // It has listened for long enough, and heard nobody.
    story.switch_on("bob").run_for(2000).heal().run_for(10_000);
    assert_eq!((story.leader(), story.owner("site")), (None, None));
    assert!(!story.takes_part("bob"));
    story.switch_on("cyn").run_for(10_000);
    assert!(story.owner("site").is_some() && story.takes_part("bob"));
}

/// The disk of `ada` takes nothing, and its core is killed: what that had written is in memory and can be read. The next one
/// says nothing by it, so `bob` and `ada` agree on nothing that a power cut could take from `ada`.
#[test]
fn what_was_not_synced_when_a_core_was_killed_is_not_vouched_for() {
    let mut story = Told::three();
    assert_eq!((story.leader(), story.owner("cache")), (Some("bob"), Some("cyn")));
    let ada = story.place("ada");
    story.happens(Fault::StallDisk(ada)).part(&["cyn"], &["ada", "bob"]).run_for(1500);
    assert_eq!(story.owner("cache"), None, "that cyn is taken over from is written, and not durable");
    story.happens(Fault::KillCore(ada)).run_for(3000);
    assert_eq!(story.owner("cache"), None, "it can be read now, and still is not durable");
    story.happens(Fault::MendDisk(ada)).run_for(3000);
    assert!(matches!(story.owner("cache"), Some("ada" | "bob")), "{}", story.told());
}
