//! What people ask for.

use heart_model::NodeName;
use heart_node::core::Request;
use heart_sim::Fault;

use crate::told::{Told, node, resource};

fn moved(what: &str, to: Option<NodeName>) -> Request {
    Request::Move { resource: resource(what), to }
}

#[test]
fn a_group_moves_in_order_and_everything_runs_once() {
    let mut story = Told::three();
    story.ask("cyn", moved("address", Some(node("bob")))).run_for(3000);
    story.expect(
        "
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 bob runs address
        0.0 bob runs site
        ",
    );
}

#[test]
fn a_node_in_standby_runs_nothing_and_takes_nothing_back() {
    let mut story = Told::three();
    story.ask("ada", Request::Standby { node: node("ada") }).run_for(3000);
    story.expect(
        "
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 bob runs address
        0.0 bob runs site
        ",
    );
    story.ask("ada", Request::Resume { node: node("ada") }).run_for(3000);
    story.expect("");
}

#[test]
fn a_move_that_overtakes_a_slow_start_starts_nothing_twice() {
    let settings = heart_sim::WorldSettings {
        operation: (1_500_000_000, 1_500_000_000),
        ..heart_sim::WorldSettings::quiet(crate::told::spec(&["ada", "bob", "cyn"], "ada", "cyn"), 1)
    };
    let mut story = Told::begin(settings);
    story.cut_power("ada").run_for(1500);
    story.ask("bob", moved("address", None)).run_for(12_000);
    story.expect(
        "
        0.0 ada loses power
        0.0 nobody runs address
        0.0 nobody runs site
        4.5 cyn runs address
        6.0 cyn runs site
        ",
    );
}

#[test]
fn a_node_that_is_asked_to_stop_hands_over_first() {
    let mut story = Told::three();
    let leave = Fault::Leave(story.place("ada"));
    story.happens(leave).run_for(5000);
    story.expect(
        "
        0.0 ada is asked to leave
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 ada has left
        0.0 bob runs address
        0.0 bob runs site
        ",
    );
    // The leader, too, but it is gone before its successor started the second: one lost-after.
    story.switch_on("ada").run_for(3000).forget();
    let leave = Fault::Leave(story.place("bob"));
    story.happens(leave).run_for(5000);
    story.expect(
        "
        0.0 bob is asked to leave
        0.0 nobody runs site
        0.0 nobody runs address
        0.0 bob has left
        0.0 ada runs address
        0.6 ada runs site
        ",
    );
}
