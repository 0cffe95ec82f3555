//! Lives of a node: of two of them the later one counts, and nothing in a life says when it was (SAFETY rules 7 and 8).
//!
//! The incident was world 15896: a leader that had been cut off heard what an owner had sent before it was started
//! anew, took that for a new life, and had it taken in. By the log, what the true life held was free then, and somebody
//! else started it while a lease still ran.
//!
//! A node is lost after three seconds here, and beats every 300 ms. `bob` leads, and `ada` runs the group `web`.

use heart_model::{Ailment, Duration, Spec, Timing};
use heart_sim::{Broken, Fault, WorldSettings, ms};

use crate::told::{Told, spec};

fn three() -> Told {
    let timing = Timing {
        heartbeat: Duration::from_millis(300),
        lost_after: Duration::from_secs(3),
        let_go: Duration::from_millis(5),
    };
    let spec = Spec { timing, ..spec(&["ada", "bob", "cyn"], "ada", "cyn") };
    let story = Told::begin(WorldSettings::quiet(spec, 1));
    assert_eq!((story.leader(), story.owner("site")), (Some("bob"), Some("ada")));
    story
}

/// `bob` steps down, and `cyn` is the only one to lead: who was just started anew only listens.
fn cyn_leads(story: &mut Told) -> Result<(), Broken> {
    let bob = story.place("bob");
    story.happens(Fault::Sicken { node: bob, with: Ailment::DiskStalled });
    story.world.run(ms(50))?;
    assert_eq!(story.leader(), Some("cyn"));
    Ok(())
}

/// `cyn` was cut off from `ada`, which `bob` hears all the while. The cable is whole again, but a switch keeps for two
/// seconds what `ada` sends over it; it loses power after 0.7 s, and the cable is cut once more. `bob` takes in the next
/// life, which starts all that was there before. Then `cyn` leads, and gets what was held up: the life before answers
/// what `cyn` said just 1.3 s ago.
fn the_life_before_is_heard(story: &mut Told) -> Result<(), Broken> {
    let (ada, cyn) = (story.place("ada"), story.place("cyn"));
    story.cut("ada", "cyn");
    story.world.run(ms(5000))?;
    story.forget();
    story.happens(Fault::Mend { from: cyn, to: ada }).happens(Fault::Mend { from: ada, to: cyn });
    story.happens(Fault::Hold { from: ada, to: cyn, lasts: ms(2000) });
    story.world.run(ms(700))?;
    story.cut_power("ada").cut_one_way("ada", "cyn");
    story.world.run(ms(50))?;
    story.switch_on("ada");
    story.world.run(ms(500))?;
    cyn_leads(story)?;
    story.world.run(ms(6000))
}

/// A life of `ada` that only `cyn` ever heard: the log does not know that it is over, as it never knew of it. It lasted
/// for less than a second, and what it sent last is held up.
fn a_life_that_was_never_taken_in_is_heard(story: &mut Told) -> Result<(), Broken> {
    let (ada, bob, cyn) = (story.place("ada"), story.place("bob"), story.place("cyn"));
    story.cut_power("ada").cut("ada", "bob");
    story.world.run(ms(50))?;
    story.switch_on("ada");
    story.world.run(ms(250))?;
    story.happens(Fault::Hold { from: ada, to: cyn, lasts: ms(2000) });
    story.world.run(ms(600))?;
    story.cut_power("ada").cut_one_way("ada", "cyn");
    story.world.run(ms(50))?;
    story.happens(Fault::Mend { from: ada, to: bob }).happens(Fault::Mend { from: bob, to: ada });
    story.switch_on("ada");
    story.world.run(ms(500))?;
    cyn_leads(story)?;
    story.world.run(ms(6000))
}

/// The same, and the heartbeats of `cyn` stand still for a moment after what was held up has come: it gives everybody
/// the benefit of the doubt for another three seconds, that life too.
fn it_is_heard_and_then_the_leader_stands_still(story: &mut Told) -> Result<(), Broken> {
    let cyn = story.place("cyn");
    story.world.schedule(ms(2950), Fault::StallPulse { node: cyn, lasts: ms(600) });
    a_life_that_was_never_taken_in_is_heard(story)
}

/// What the true life of `ada` runs it goes on running, and all is well once all hear each other.
#[track_caller]
fn ada_runs_on(story: &mut Told) {
    let bob = story.place("bob");
    story.heal().happens(Fault::Cure { node: bob, of: Ailment::DiskStalled }).run_for(10_000);
    let told = story.told();
    for name in ["address", "site"] {
        assert_eq!(story.owner(name), Some("ada"), "{name}: {told}");
    }
    assert!(["ada", "bob", "cyn"].iter().all(|name| story.takes_part(name)));
}

#[test]
fn what_a_life_that_is_over_sent_does_not_make_it_a_new_one() {
    let mut story = three();
    the_life_before_is_heard(&mut story).unwrap();
    story.expect(
        "
        0.0 cyn reaches ada
        0.0 ada reaches cyn
        0.0 what ada sends to cyn is held up for 2000 ms
        0.7 ada loses power
        0.7 nobody runs address
        0.7 nobody runs site
        0.7 ada is switched on
        0.7 ada runs address
        0.7 ada runs site
        1.2 bob is sick: its disk has stalled
        ",
    );
    ada_runs_on(&mut story);
}

#[test]
fn a_life_that_nobody_took_in_is_not_taken_in_after_the_next_one() {
    let mut story = three();
    a_life_that_was_never_taken_in_is_heard(&mut story).unwrap();
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.0 ada is switched on
        0.3 what ada sends to cyn is held up for 2000 ms
        0.9 ada loses power
        0.9 ada reaches bob
        0.9 bob reaches ada
        0.9 ada is switched on
        0.9 ada runs address
        0.9 ada runs site
        1.4 bob is sick: its disk has stalled
        ",
    );
    ada_runs_on(&mut story);
}

/// Before, a life that was heard both ways three seconds after the next one was known passed for a later one.
#[test]
fn a_leader_that_stood_still_does_not_take_an_earlier_life_for_a_later_one() {
    let mut story = three();
    it_is_heard_and_then_the_leader_stands_still(&mut story).unwrap();
    let told = story.told();
    assert!(told.contains("the heartbeats of cyn stand still") && !told.contains("cyn runs"), "{told}");
    ada_runs_on(&mut story);
}

/// What the rule is there for: without it all of these end with two owners.
#[cfg(feature = "planted")]
#[test]
fn without_the_rule_an_earlier_life_is_taken_in_and_there_are_two_owners() {
    use heart_node::plant::{Bug, plant};
    let all = [
        the_life_before_is_heard,
        a_life_that_was_never_taken_in_is_heard,
        it_is_heard_and_then_the_leader_stands_still,
    ];
    for happens in all {
        plant(Some(Bug::EarlierLifeTakenIn));
        let broken = happens(&mut three()).expect_err("two owners");
        plant(None);
        assert!(broken.what.contains("starts address while the lease of ada still runs"), "{broken}");
    }
}
