//! Wall clocks that jump. They are for people and for how long something is held, and nothing else goes by them.

use heart_sim::Fault;

use crate::told::Told;

const MINUTE: i64 = 60_000;
const YEAR: i64 = 365 * 24 * 60 * MINUTE;

fn set(story: &mut Told, name: &str, by: i64) {
    let node = story.place(name);
    story.happens(Fault::SetClock { node, by });
}

#[test]
fn clocks_that_jump_move_nothing() {
    for by in [-100 * YEAR, -YEAR, -61 * MINUTE, -40, 40, 61 * MINUTE, YEAR, 20 * YEAR] {
        for name in ["ada", "bob", "cyn"] {
            let mut story = Told::three();
            set(&mut story, name, by);
            story.run_for(20_000);
            let told = story.told();
            assert_eq!(told.lines().count(), 1, "{name} by {by} ms: {told}");
        }
    }
}

/// The leader's clock is years ahead, its heir's years behind.
#[test]
fn a_failover_takes_as_long_as_ever_whatever_the_clocks_show() {
    let mut story = Told::three();
    set(&mut story, "bob", 20 * YEAR);
    set(&mut story, "cyn", -100 * YEAR);
    story.run_for(5000).forget();
    story.cut_power("ada").run_for(3000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs site
        0.5 bob runs address
        0.5 bob runs site",
    );
    story.switch_on("ada").run_for(5000).forget();
    story.cut_power("bob").run_for(5000);
    let told = story.told();
    let runs = |name: &str| told.contains(&format!("{name} runs site"));
    assert!(runs("ada") || runs("cyn"), "{told}");
}
