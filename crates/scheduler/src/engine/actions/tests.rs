//! Tables of small clusters, and what is done in them.

use alloc::{format, string::String, vec::Vec};

use super::act;
use crate::engine::{Outcome, assignment, assignment::tests::notation, outcome, picture};

fn outcome(text: &str) -> Outcome {
    let mut arena =
        notation::arena(&format!("set enable-startup-probes=false stop-orphan-actions=false\n{text}"));
    let before = picture::before(&arena);
    assignment::assign(&mut arena);
    act(&mut arena, before)
}

fn named(action: &outcome::Action) -> String {
    let of = action.resource.clone().unwrap_or_default();
    let notice = action.kind.as_deref().filter(|_| action.name == "notify");
    [notice.unwrap_or(&action.name), of.as_str(), &action.node]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What is done, and behind it what each waits for: `stop a n1; start a n2 < stop a n1`.
fn plan(text: &str) -> String {
    let outcome = outcome(text);
    let names: Vec<String> = outcome.actions.iter().map(named).collect();
    let line = |(place, name): (usize, &String)| {
        // What is between two others is said of these only.
        let between = |first: usize| {
            let mut middle = outcome.order.iter().filter(|(before, _)| *before == first);
            middle.any(|(_, middle)| outcome.order.contains(&(*middle, place)))
        };
        let firsts: Vec<&str> = outcome
            .order
            .iter()
            .filter(|(first, then)| *then == place && !between(*first))
            .map(|(first, _)| names[*first].as_str())
            .collect();
        if firsts.is_empty() { name.clone() } else { format!("{name} < {}", firsts.join(", ")) }
    };
    names.iter().enumerate().map(line).collect::<Vec<_>>().join("; ")
}

fn decisions(text: &str) -> String {
    let said = outcome(text).decisions.into_iter();
    said.map(|said| format!("{} {} {}", said.verb, said.subject, said.detail)).collect::<Vec<_>>().join("; ")
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(plan(text), *expected, "{text}");
    }
}

#[test]
fn what_moves_is_stopped_before_it_is_started() {
    check(&[
        ("nodes n1\n a", "start a n1"),
        ("nodes n1\n a @n1", ""),
        ("nodes n1 n2\n a @n1\n a at n1 -INFINITY", "start a n2 < stop a n1; stop a n1"),
        ("nodes n1\n a @n1\n a at n1 -INFINITY", "stop a n1"),
        ("nodes n1\n a @n1!", "start a n1 < stop a n1; stop a n1"),
        ("nodes n1\n a @n1 is-managed=false\n a at n1 -INFINITY", ""),
    ]);
}

#[test]
fn what_needs_another_restarts_with_it_and_is_stopped_before_it() {
    check(&[
        ("nodes n1\n a\n b\n a then b", "start a n1; start b n1 < start a n1"),
        (
            "nodes n1\n a @n1!\n b @n1\n a then b",
            "start a n1 < stop a n1; start b n1 < start a n1, stop b n1; stop a n1 < stop b n1; stop b n1",
        ),
        ("nodes n1\n a @n1\n b @n1!\n a then b", "start b n1 < stop b n1; stop b n1"),
        ("nodes n1\n a @n1\n b @n1\n a then b\n a at n1 -INFINITY", "stop a n1 < stop b n1; stop b n1"),
        ("nodes n1\n a\n b\n a then b\n a at n1 -INFINITY", ""),
        ("nodes n1\n a\n b\n a then b Optional\n a at n1 -INFINITY", "start b n1"),
        ("nodes n1\n a @n1!\n b @n1\n a then b Optional", "start a n1 < stop a n1; stop a n1"),
        ("nodes n1\n a @n1\n b @n1\n a then b Mandatory one-way\n a at n1 -INFINITY", "stop a n1"),
    ]);
}

#[test]
fn groups_start_in_order_and_stop_in_reverse() {
    check(&[
        ("nodes n1\n g (a, b)", "start a n1; start b n1 < start a n1"),
        ("nodes n1\n g (a @n1, b @n1)\n g at n1 -INFINITY", "stop a n1 < stop b n1; stop b n1"),
        (
            "nodes n1\n g (a @n1!, b @n1)",
            "start a n1 < stop a n1; start b n1 < start a n1; stop a n1 < stop b n1; stop b n1",
        ),
        ("nodes n1\n g (a @n1, b @n1!)", "start b n1 < stop b n1; stop b n1"),
        (
            "nodes n1\n g (a, b)\n c\n g then c",
            "start a n1; start b n1 < start a n1; start c n1 < start b n1",
        ),
    ]);
}

#[test]
fn clones_that_promote_go_down_before_they_go_up() {
    check(&[
        ("nodes n1 n2\n k *(w)", "start w n1; start w n2"),
        (
            "nodes n1 n2\n k *(w @n1+ @n2) promotable=true\n say n1 master-w=5\n say n2 master-w=10",
            "demote w n1; promote w n2 < demote w n1",
        ),
        (
            "nodes n1\n k *(w) promotable=true\n say n1 master-w=10\n a\n k.promote then a",
            "promote w n1 < start w n1; start a n1 < promote w n1; start w n1",
        ),
    ]);
}

#[test]
fn what_may_not_be_together_changes_places_in_order() {
    let text = "nodes n1 n2\n a @n1\n b\n b with a -INFINITY\n a at n1 -INFINITY\n b at n2 -INFINITY";
    check(&[(text, "start a n2 < stop a n1; start b n1 < stop a n1; stop a n1")]);
}

#[test]
fn rings_of_orders_are_broken_and_nobody_waits_for_what_is_not_done() {
    check(&[(
        "nodes n1\n a\n b\n a then b Optional\n b then a Optional",
        "start a n1; start b n1 < start a n1",
    )]);
}

#[test]
fn people_are_told_what_happens() {
    for (text, expected) in [
        ("nodes n1\n a", "Start a n1"),
        ("nodes n1\n a @n1!", "Recover a n1"),
        ("nodes n1 n2\n a @n1\n a at n1 -INFINITY", "Move a n1 -> n2"),
        ("nodes n1\n a @n1\n a at n1 -INFINITY", "Stop a n1"),
        ("nodes n1\n a @n1!\n b @n1\n a then b", "Recover a n1; Restart b n1"),
        ("nodes n1\n k *(w @n1) promotable=true\n say n1 master-w=10", "Promote w Unpromoted -> Promoted n1"),
    ] {
        assert_eq!(decisions(text), expected, "{text}");
    }
}

#[test]
fn afterwards_everything_is_where_it_was_to_go_and_nothing_is_left_to_do() {
    let outcome = outcome("nodes n1 n2\n a @n1\n a at n1 -INFINITY");
    let view = &outcome.after.resources["a"];
    let places: Vec<String> = view.on.iter().map(|(node, _, _)| node.clone()).collect();
    assert_eq!(places, ["n2"]);
}

#[test]
fn what_has_recovered_is_not_shown_as_failed() {
    let outcome = outcome("nodes n1\n a @n1!");
    assert_eq!(outcome.before.resources["a"].flags, "F");
    let view = &outcome.after.resources["a"];
    assert_eq!((view.flags.as_str(), view.on.len()), ("", 1));
}

#[test]
fn if_there_is_nothing_to_do_everything_is_as_it_was() {
    let outcome = outcome("nodes n1\n a @n1\n k *(w @n1+) promotable=true\n say n1 master-w=10");
    assert_eq!(outcome.actions, []);
    assert_eq!(outcome.after, outcome.before);
}

#[test]
fn ordered_instances_take_turns_whoever_is_between_them() {
    check(&[(
        "nodes n1 n2 n3\n k *(w @n1! @n2 @n3!) ordered=true",
        "start w n1 < stop w n1; start w n3 < start w n1; stop w n1 < stop w n3; stop w n3",
    )]);
}

#[test]
fn instances_are_told_of_a_step_before_it_begins_and_when_it_is_done() {
    check(&[
        (
            "nodes n1 n2\n k *(w @n1) notify=true",
            "post-start w n1 < start w n2; pre-start w n1; post-start w n2 < start w n2; \
             start w n2 < pre-start w n1",
        ),
        (
            "nodes n1\n k *(w) notify=true\n a\n k then a",
            "post-start w n1 < start w n1; start a n1 < post-start w n1; start w n1",
        ),
        (
            "nodes n1 n2\n k *(w @n1+ @n2) promotable=true notify=true\n say n1 master-w=5\n say n2 master-w=10",
            "demote w n1 < pre-demote w n1, pre-demote w n2; post-demote w n1 < demote w n1; \
             post-promote w n1 < promote w n2; pre-demote w n1; \
             pre-promote w n1 < post-demote w n1, post-demote w n2; post-demote w n2 < demote w n1; \
             post-promote w n2 < promote w n2; pre-demote w n2; \
             pre-promote w n2 < post-demote w n1, post-demote w n2; \
             promote w n2 < pre-promote w n1, pre-promote w n2",
        ),
    ]);
}

#[test]
fn who_is_stopped_is_not_told_of_starts_and_who_is_started_is_told_of_promotions() {
    check(&[(
        "nodes n1\n k *(w @n1!) promotable=true notify=true\n say n1 master-w=10",
        "post-promote w n1 < promote w n1; post-start w n1 < start w n1; pre-promote w n1 < post-start w n1; \
         pre-stop w n1; promote w n1 < pre-promote w n1; start w n1 < stop w n1; stop w n1 < pre-stop w n1",
    )]);
}

#[test]
fn a_ring_of_orders_leaves_notifications_where_they_are() {
    let outcome = outcome(
        "nodes n1\n a\n k *(w) promotable=true notify=true\n say n1 master-w=10\n k[U] with a -INFINITY\n \
         a then k.promote Optional one-way",
    );
    let names: Vec<String> = outcome.actions.iter().map(named).collect();
    let place = |name: &str| names.iter().position(|other| other == name).unwrap();
    for (first, then) in [("pre-promote w n1", "promote w n1"), ("promote w n1", "post-promote w n1")] {
        assert!(outcome.order.contains(&(place(first), place(then))), "{first}, {then}: {names:?}");
    }
}
