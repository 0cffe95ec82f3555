//! Two nodes, `ada` and `bob`, which part or meet just while something is decided: SAFETY rules 17 and 19.
//!
//! `ada` runs everything. What matters happens within a millisecond or two, so each of these stories is played over and
//! over, every time 50 microseconds later.

use heart_model::TieBreakPlace;
use heart_node::core::{Request, Response};
use heart_sim::{Broken, Fault, Nanos, WorldSettings, ms};

use crate::{
    pairs::{pair, tied},
    told::{Told, node, spec},
};

const STEP: Nanos = 50_000;

/// How many of the two have a history that went on from the first one.
fn gone_on(story: &Told) -> usize {
    let parents = |place| story.world.machine(place).core().map_or(0, |core| core.ledger().parents.len());
    (0..2).filter(|&place| parents(place) > 0).count()
}

/// The file names another witness from now on. The core of one reads it at once, that of the other a moment later.
fn another_witness(first: usize) -> Told {
    let mut story = tied();
    story.happens(Fault::DecideBy(other_place()));
    story.world.schedule(0, Fault::KillCore(first));
    story.world.schedule(ms(20), Fault::KillCore(1 - first));
    story
}

fn other_place() -> TieBreakPlace {
    TieBreakPlace::Witness { address: "10.9.0.2:6940".into() }
}

/// How long it takes until one of the two knows that this is agreed on.
fn until_agreed(first: usize) -> Nanos {
    let mut story = another_witness(first);
    let began = story.world.now();
    let knows = |story: &Told, place: usize| {
        let spec = story.world.machine(place).core().and_then(|core| core.ledger().spec.clone());
        spec.and_then(|spec| spec.tie_break).is_some_and(|tie_break| tie_break.place == other_place())
    };
    for _ in 0..100_000 {
        if knows(&story, 0) || knows(&story, 1) {
            return story.world.now() - began;
        }
        story.world.run(STEP).unwrap();
    }
    panic!("it is never agreed on");
}

/// They part so long after the file was changed. How many go on, each of them without the other one.
fn part_after(first: usize, wait: Nanos) -> (Told, Result<usize, Broken>) {
    let mut story = another_witness(first);
    for (from, to) in [(0, 1), (1, 0)] {
        story.world.schedule(wait, Fault::Cut { from, to });
    }
    let done = story.world.run(ms(5000));
    let gone = gone_on(&story);
    (story, done.map(|()| gone))
}

/// From a millisecond before one knows until two after: then the other one does, too.
fn moments(first: usize) -> impl Iterator<Item = Nanos> {
    let agreed = until_agreed(first);
    (0..60).map(move |step| agreed - ms(1) + step * STEP)
}

/// One asks the witness of the old file, the other one that of the new file: both would say yes. So nobody sets the
/// value of the new one before both know of it, and nobody goes on before it is set.
#[test]
fn of_two_that_part_while_another_tie_break_is_agreed_on_never_both_go_on() {
    for first in [0, 1] {
        let mut went = [0; 2];
        for wait in moments(first) {
            let (mut story, gone) = part_after(first, wait);
            let gone = gone.unwrap_or_else(|broken| panic!("{broken}; parted after {wait} ns"));
            assert!(gone < 2, "both went on, parted after {wait} ns: {}", story.told());
            went[gone] += 1;
            story.heal().run_for(6000);
            assert!(story.takes_part("ada") && story.takes_part("bob"), "{}", story.told());
            assert!(story.owner("site").is_some(), "{}", story.told());
        }
        assert!(went[0] > 0 && went[1] > 0, "the moment is missed: {went:?}");
    }
}

/// What the rule is there for.
#[cfg(feature = "planted")]
#[test]
fn without_the_rule_each_asks_another_tie_break_and_both_go_on() {
    use heart_node::plant::{Bug, plant};
    plant(Some(Bug::HalfUnsettled));
    for first in [0, 1] {
        let both = |wait| part_after(first, wait).1.is_err();
        assert!(moments(first).any(both), "{first}");
    }
    plant(None);
}

fn say_that_ada_is_off(story: &mut Told) {
    let request = Request::TakeOver { without: vec![node("ada")], who: "eve".into(), sure: true };
    story.world.tolerate_false_words();
    story.ask("bob", request);
}

/// `bob` cannot write yet what a person has said, and hears `ada` meanwhile: whoever said so was wrong.
#[test]
fn a_word_is_worth_nothing_once_the_node_is_heard_that_it_is_about() {
    let mut story = pair(false);
    let bob = story.place("bob");
    story.part(&["ada"], &["bob"]).run_for(3000);
    story.happens(Fault::StallDisk(bob)).run_for(10);
    say_that_ada_is_off(&mut story);
    story.run_for(300).heal().run_for(3000);
    assert!(matches!(story.world.answers.last(), Some(Response::Accepted { .. })), "nobody was heard then");
    story.happens(Fault::MendDisk(bob)).run_for(8000);
    assert_eq!(gone_on(&story), 0);
    let told = story.told();
    assert!(!told.contains("bob runs") && !told.contains("nobody runs disk"), "{told}");
    for name in ["disk", "site", "address"] {
        assert_eq!(story.owner(name), Some("ada"), "{name}: {told}");
    }
}

/// It was off indeed, and comes back before that counts: nothing has to go on without it any more.
#[test]
fn a_node_that_was_off_and_is_heard_before_the_word_counts_takes_part_again() {
    let mut story = pair(false);
    let bob = story.place("bob");
    story.cut_power("ada").run_for(3000);
    story.happens(Fault::StallDisk(bob)).run_for(10);
    say_that_ada_is_off(&mut story);
    story.run_for(300).switch_on("ada").run_for(3000);
    assert_eq!(story.owner("disk"), None);
    story.happens(Fault::MendDisk(bob)).run_for(8000);
    assert_eq!(gone_on(&story), 0);
    assert!(story.takes_part("ada") && story.takes_part("bob"));
    for name in ["disk", "site", "address"] {
        assert!(story.owner(name).is_some(), "{name}: {}", story.told());
    }
}

/// A person was wrong, and the two hear each other while `bob` goes on by that word, at whichever moment: what a lease
/// guards `ada` has let go of long before, and with the first frame that it hears it learns that it was gone on from.
#[test]
fn a_wrong_word_that_is_overtaken_at_any_moment_gives_nothing_to_two_that_a_lease_guards() {
    for step in 0..200 {
        let mut story = Told::begin(WorldSettings::quiet(spec(&["ada", "bob"], "ada", "ada"), 1));
        story.part(&["ada"], &["bob"]).run_for(3000);
        assert_eq!(story.owner("site"), None);
        say_that_ada_is_off(&mut story);
        story.world.schedule(step * STEP, Fault::Heal);
        story.run_for(8000);
        assert_eq!(story.owner("site"), Some("bob"), "{step}");
        assert!(story.takes_part("ada") && story.takes_part("bob"));
    }
}

/// What waits for a fence still runs on `ada`: it stops that with the first frame that it hears, and if the network is
/// whole by the time that the word is given, that is before `bob` starts it.
#[test]
fn who_hears_that_it_was_gone_on_from_lets_go_of_everything() {
    let mut story = pair(false);
    story.part(&["ada"], &["bob"]).run_for(3000);
    assert_eq!(story.owner("disk"), Some("ada"));
    story.forget();
    say_that_ada_is_off(&mut story);
    story.heal().run_for(8000);
    story.expect(
        "
        0.0 the network is whole
        0.0 nobody runs disk
        0.0 bob runs disk
        0.0 bob runs address
        0.0 bob runs cache
        0.0 bob runs site
        ",
    );
    assert!(story.takes_part("ada"));
}
