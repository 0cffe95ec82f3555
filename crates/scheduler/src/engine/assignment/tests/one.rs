//! What is placed once: primitives and groups.

use super::notation::places;

fn check(cases: &[(&str, &str, &str)]) {
    for (text, wanted, expected) in cases {
        assert_eq!(places(text, wanted), *expected, "{text}");
    }
}

#[test]
fn load_decides_between_equals_then_where_it_is_then_the_name() {
    check(&[
        ("nodes n1 n2\n a\n b\n c", "a b c", "a n1, b n2, c n1"),
        ("nodes n1 n2\n a @n2", "a", "a n2"),
        ("nodes n1 n2\n a\n b @n1", "a b", "a n1, b n2"),
        ("nodes n1 n2\n a\n b @n1 resource-stickiness=1", "a b", "a n1, b n1"),
        ("nodes n1 n2 n10\n a\n b\n c", "a b c", "a n1, b n10, c n2"),
    ]);
}

#[test]
fn a_node_that_cannot_be_used_gets_nothing() {
    check(&[
        ("nodes n1:standby n2\n a @n1\n b", "a b", "a n2, b n2"),
        ("nodes n1:standby\n a @n1", "a", "a -"),
        ("nodes n1 n2\n a at n1 -1\n a\n a at n2 -INFINITY", "a", "a -"),
        ("nodes n1:gone n2\n a", "a", "a n2"),
    ]);
}

#[test]
fn what_is_more_important_is_placed_first() {
    check(&[("nodes n1 n2\n a\n b priority=1", "a b", "a n2, b n1")]);
}

#[test]
fn what_follows_goes_where_the_other_is_or_nowhere() {
    check(&[
        ("nodes n1 n2\n a\n b\n a with b INFINITY\n b at n2 1", "a b", "a n2, b n2"),
        ("nodes n1 n2\n a\n b target-role=Stopped\n a with b INFINITY", "a b", "a -, b -"),
        ("nodes n1 n2\n a\n b target-role=Stopped\n a with b -INFINITY", "a b", "a n1, b -"),
        ("nodes n1 n2\n a\n b target-role=Stopped\n a with b 100", "a b", "a n1, b -"),
        ("nodes n1 n2\n a\n b\n a with b -INFINITY\n a at n1 5\n b at n1 1", "a b", "a n1, b n2"),
        ("nodes n1 n2\n a\n b\n a with b -INFINITY\n a at n1 1\n b at n1 5", "a b", "a n2, b n1"),
        ("nodes n1 n2\n a\n b\n a with b INFINITY\n b with a INFINITY", "a b", "a n1, b n1"),
    ]);
}

#[test]
fn what_follows_has_a_say_before_the_other_runs_and_after_if_it_may() {
    let influence = |said: &str, at: &str| {
        alloc::format!(
            "nodes n1 n2\n b resource-stickiness=5 {at}\n a\n a with b INFINITY influence={said}\n a at n2 10"
        )
    };
    for (said, at, expected) in
        [("true", "@n1", "a n2, b n2"), ("false", "@n1", "a n1, b n1"), ("false", "", "a n2, b n2")]
    {
        assert_eq!(places(&influence(said, at), "a b"), expected, "influence={said} {at}");
    }
}

#[test]
fn the_weight_of_a_wish_is_that_of_the_constraint() {
    check(&[
        ("nodes n1 n2\n b\n a\n a with b 500000\n a at n2 10\n b at n1 4", "a b", "a n2, b n2"),
        ("nodes n1 n2\n b\n a\n a with b 500000\n a at n2 10\n b at n1 6", "a b", "a n1, b n1"),
    ]);
}

#[test]
fn an_attribute_can_stand_for_many_nodes() {
    let text = "nodes n1 n2 n3\n say n1 site=x\n say n2 site=x\n say n3 site=y\n b\n b at n2 1\n a\n \
                a with b INFINITY by=site";
    check(&[(text, "a b", "a n1, b n2")]);
}

#[test]
fn members_are_together_and_later_ones_wait_for_earlier_ones() {
    check(&[
        ("nodes n1 n2\n g (a, b, c)\n c at n2 1", "a b c g", "a n2, b n2, c n2, g n2"),
        ("nodes n1 n2\n g (a, b target-role=Stopped, c)", "a b c", "a n1, b -, c -"),
        ("nodes n1 n2\n g (a, b)\n g at n2 1", "a b", "a n2, b n2"),
        ("nodes n1 n2\n g (a @n1, b)\n b at n1 -INFINITY", "a b", "a n2, b n2"),
    ]);
}

#[test]
fn a_must_follows_the_end_of_a_group_and_a_wish_its_beginning() {
    let group = "nodes n1 n2\n g (a, b target-role=Stopped)\n x\n";
    for (score, expected) in [("INFINITY", "a n1, x -"), ("100", "a n1, x n1")] {
        let text = alloc::format!("{group} x with g {score}");
        assert_eq!(places(&text, "a x"), expected, "{score}");
    }
}

#[test]
fn what_nobody_manages_stays_and_others_follow_it() {
    check(&[
        ("nodes n1 n2\n a @n2 is-managed=false\n a at n1 INFINITY", "a", "a n2"),
        ("nodes n1 n2\n a is-managed=false", "a", "a -"),
        ("nodes n1 n2\n a @n2 is-managed=false\n b\n b with a INFINITY", "a b", "a n2, b n2"),
        ("nodes n1 n2\n a @n2\n set fencing-enabled=true\n a at n1 INFINITY", "a", "a n2"),
    ]);
}

#[test]
fn everything_can_be_stopped() {
    check(&[(
        "nodes n1\n set stop-all-resources=true\n a @n1\n g (b)\n k *(w)",
        "a b w:0",
        "a -, b -, w:0 -",
    )]);
}

#[test]
fn nodes_that_have_too_little_are_left_out() {
    let small = "nodes n1:cpu=2 n2:cpu=4\n";
    for (strategy, resources, wanted, expected) in [
        ("default", "a cpu:3\n b cpu:3", "a b", "a n1, b n2"),
        ("utilization", "a cpu:3\n b cpu:3", "a b", "a n2, b -"),
        ("utilization", "a cpu:1\n b cpu:1", "a b", "a n1, b n2"),
        ("balanced", "a cpu:1\n b cpu:1\n c cpu:1", "a b c", "a n2, b n2, c n1"),
        ("minimal", "a cpu:1\n b cpu:1\n c cpu:1", "a b c", "a n1, b n1, c n2"),
        ("utilization", "a cpu:2\n b cpu:2\n b with a INFINITY", "a b", "a n2, b n2"),
        ("utilization", "g (a cpu:2, b cpu:2)", "a b", "a n2, b n2"),
    ] {
        let text = alloc::format!("{small} set placement-strategy={strategy}\n {resources}");
        assert_eq!(places(&text, wanted), expected, "{strategy}: {resources}");
    }
}
