//! The schedules of SAFETY that broke earlier designs. The others are told elsewhere: 3 and 21 in
//! `elections`, 4 in `failover`, 5 as a test of the node's board, 6, 9 and 16 in `pairs`, 10 in `logs`,
//! 12 and 14 in `fences`, 13 in `people`, 15 in `watchdogs`. Worlds made of chance meet 8 and 11, and
//! with the rules left out that these are there for, they are found to break: see `planted.rs`.

use heart_model::{Duration, Timing};
use heart_sim::{Fault, WorldSettings, ms};

use crate::told::{Told, node, resource, spec};

/// Schedule 1.
#[test]
fn nobody_notices_the_loss_of_a_leader_that_owns_nothing() {
    let mut story = Told::three();
    assert_eq!(story.leader(), Some("bob"));
    story.cut_power("bob").run_for(5000);
    story.expect("0.0 bob loses power");
    assert_ne!(story.leader(), Some("bob"));
}

/// Schedule 2.
#[test]
fn a_cut_between_leader_and_owner_moves_nothing_while_a_third_hears_both() {
    for owner in ["ada", "bob"] {
        let mut story = Told::of(&["ada", "bob", "cyn"], owner);
        story.cut("ada", "bob").run_for(5000);
        story.expect("");
        assert_eq!(story.owner("address"), Some(owner));
        story.heal().run_for(5000);
        story.expect("0.0 the network is whole");
    }
}

/// Schedule 7, as far as voters change today: a new identity is a change of voters, and a power cut
/// of everybody takes all commit indices that were not durable.
#[test]
fn two_changes_of_voters_and_a_power_cut_lose_nothing() {
    let mut story = Told::of(&["ada", "bob", "cyn", "dan", "eve"], "ada");
    for name in ["dan", "eve"] {
        story.cut_power(name).run_for(700);
        let wipe = Fault::LoseDisk(story.place(name));
        story.happens(wipe).switch_on(name).run_for(3000);
    }
    story.cut_power("cyn").cut_power("dan").cut_power("eve").run_for(20);
    story.part(&["ada", "bob"], &["cyn", "dan", "eve"]);
    story.switch_on("cyn").switch_on("dan").switch_on("eve").run_for(6000);
    assert!(["cyn", "dan", "eve"].map(Some).contains(&story.leader()));
    story.heal().run_for(4000);
    assert!(["address", "site", "cache"].iter().all(|what| story.owner(what).is_some()));
}

/// Schedules 17 and 18: nobody is left to close the gate but the kernel.
#[test]
fn an_owner_of_which_all_stands_still_is_silenced_by_its_kernel() {
    let mut story = Told::three();
    story.freeze("ada", 10_000).run_for(9000);
    story.expect(
        "
        0.0 ada stands still for 10000 ms
        0.4 nobody runs address
        0.4 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        ",
    );
    story.run_for(6000);
    story.expect("");
}

/// Schedule 19. It cannot be closed for what a lease guards, only shrunk: the paused machine does
/// not know that it was paused until it hears somebody.
#[test]
fn a_paused_machine_that_goes_on_owns_what_moved_until_it_hears_a_first_frame() {
    let mut story = Told::three();
    let pause = Fault::Pause { node: story.place("ada"), lasts: ms(8000) };
    story.world.tolerate_two_owners();
    story.happens(pause).run_for(7999);
    story.expect(
        "
        0.0 ada is paused for 8000 ms
        0.0 nobody runs address
        0.0 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        ",
    );
    let mut both = 0;
    for _ in 0..500 {
        story.run_for(1);
        both += u64::from(story.world.owners(&resource("address")).len() > 1);
    }
    assert!((1..=5).contains(&both), "both answer for {both} ms");
    assert_eq!(story.owner("address"), Some("bob"));
}

/// Schedule 20.
#[test]
fn an_owner_that_was_told_a_longer_lost_after_goes_by_that_of_its_voters() {
    let mut settings = WorldSettings::quiet(spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1);
    let odd = Timing { lost_after: Duration::from_secs(2), ..settings.spec.timing };
    settings.odd = Some((node("ada"), odd));
    let mut story = Told::begin(settings);
    story.freeze("ada", 3000).run_for(2900);
    story.expect(
        "
        0.0 ada stands still for 3000 ms
        0.4 nobody runs address
        0.4 nobody runs site
        0.5 bob runs address
        0.5 bob runs site
        ",
    );
    story.run_for(3000);
    story.expect("");
}
