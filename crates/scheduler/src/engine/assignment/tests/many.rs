//! What is placed many times: clones, and what is promoted of them.

use super::notation::places;

fn check(cases: &[(&str, &str, &str)]) {
    for (text, wanted, expected) in cases {
        assert_eq!(places(text, wanted), *expected, "{text}");
    }
}

#[test]
fn instances_are_spread_and_stay_where_they_are() {
    check(&[
        ("nodes n1 n2 n3\n k *(w)", "w:0 w:1 w:2", "w:0 n1, w:1 n2, w:2 n3"),
        ("nodes n1 n2 n3\n k *(w @n3) clone-max=2", "w:0 w:1", "w:0 n3, w:1 n1"),
        ("nodes n1 n2 n3:standby\n k *(w @n3)", "w:0 w:1 w:2", "w:0 n1, w:1 n2, w:2 -"),
        ("nodes n1 n2\n k *(w)\n k at n1 -INFINITY", "w:0 w:1", "w:0 n2, w:1 -"),
        ("nodes n1 n2\n k *(w) clone-max=4 clone-node-max=2 globally-unique=true", "w:3", "w:3 n2"),
    ]);
}

#[test]
fn a_preference_moves_an_instance_only_if_there_is_room_for_all() {
    check(&[
        ("nodes n1 n2\n k *(w @n1 @n2)\n k at n2 100", "w:0 w:1", "w:0 n1, w:1 n2"),
        ("nodes n1 n2 n3\n k *(w @n1) clone-max=1\n k at n2 100", "w:0", "w:0 n2"),
    ]);
}

#[test]
fn what_follows_a_clone_is_where_an_instance_is() {
    let clone = "nodes n1 n2 n3\n k *(w) clone-max=1\n k at n2 1\n x\n";
    for (score, expected) in [("INFINITY", "x n2"), ("100", "x n2"), ("-INFINITY", "x n1")] {
        let text = alloc::format!("{clone} x with k {score}");
        assert_eq!(places(&text, "x"), expected, "{score}");
    }
}

#[test]
fn a_wish_never_forbids_a_clone_a_node() {
    let text = "nodes n1 n2\n k *(w) resource-stickiness=0\n k at n1 10\n k at n2 10\n x\n \
                x with k INFINITY\n x at n1 -INFINITY";
    check(&[(text, "w:0 w:1 x", "w:0 n2, w:1 n1, x n2")]);
}

#[test]
fn instances_have_partners_where_they_are_interleaved() {
    let clones = "nodes n1 n2\n k *(w) clone-max=1\n k at n2 1\n l *(v) interleave=true\n";
    for (score, expected) in [("INFINITY", "v:0 n2, v:1 -"), ("10", "v:0 n2, v:1 n1")] {
        let text = alloc::format!("{clones} l with k {score}");
        assert_eq!(places(&text, "v:0 v:1"), expected, "{score}");
    }
}

#[test]
fn those_are_promoted_that_say_they_want_it_most() {
    let clone = "nodes n1 n2 n3\n k *(w @n1 @n2 @n3) promotable=true";
    let say = "say n1 master-w=5\n say n2 master-w=10\n say n3 master-w=7";
    for (options, more, expected) in [
        ("", say, "w:0 n1, w:1 n2+, w:2 n3"),
        ("promoted-max=2", say, "w:0 n1, w:1 n2+, w:2 n3+"),
        ("", "", "w:0 n1, w:1 n2, w:2 n3"),
        ("target-role=Unpromoted", say, "w:0 n1, w:1 n2, w:2 n3"),
        ("", "say n1 master-w=-5\n say n2 master-w=-INFINITY", "w:0 n1, w:1 n2, w:2 n3"),
        ("", "k[P] at n3 100", "w:0 n1, w:1 n2, w:2 n3+"),
        ("", "say n2 master-w=10\n k[P] at n2 -INFINITY", "w:0 n1, w:1 n2, w:2 n3"),
    ] {
        let text = alloc::format!("{clone} {options}\n {more}");
        assert_eq!(places(&text, "w:0 w:1 w:2"), expected, "{options} {more}");
    }
}

#[test]
fn colocations_speak_of_roles() {
    let clone = "nodes n1 n2\n say n1 master-w=5\n say n2 master-w=4\n k *(w @n1 @n2) promotable=true\n x\n";
    for (more, expected) in [
        ("x with k[P] INFINITY", "w:0 n1+, w:1 n2, x n1"),
        ("x with k[U] INFINITY", "w:0 n1+, w:1 n2, x n2"),
        ("x with k[P] -INFINITY", "w:0 n1+, w:1 n2, x n2"),
        ("x with k[P] INFINITY\n x at n2 100", "w:0 n1, w:1 n2+, x n2"),
        ("x with k[P] INFINITY\n x at n1 -INFINITY", "w:0 n1, w:1 n2+, x n2"),
        ("k[P] with x INFINITY\n x at n2 1", "w:0 n1, w:1 n2+, x n2"),
        ("k[P] with x 100\n x at n2 1", "w:0 n1, w:1 n2+, x n2"),
        ("k[P] with x -INFINITY\n x at n1 1", "w:0 n1, w:1 n2+, x n1"),
    ] {
        let text = alloc::format!("{clone} {more}");
        assert_eq!(places(&text, "w:0 w:1 x"), expected, "{more}");
    }
}

#[test]
fn nothing_is_promoted_where_that_needs_a_quorum() {
    let clone = "nodes n1\n say n1 master-w=5\n";
    for (instance, policy, quorum, expected) in [
        ("w @n1", "freeze", true, "w:0 n1+"),
        ("w @n1", "freeze", false, "w:0 n1"),
        ("w @n1+", "freeze", false, "w:0 n1+"),
        ("w @n1+", "demote", false, "w:0 n1"),
        ("w @n1", "ignore", false, "w:0 n1+"),
    ] {
        let text = alloc::format!(
            "{clone} set no-quorum-policy={policy} quorum={quorum}\n k *({instance}) promotable=true"
        );
        assert_eq!(places(&text, "w:0"), expected, "{instance} {policy} {quorum}");
    }
}

#[test]
fn groups_can_be_cloned_and_promoted_as_a_whole() {
    let text =
        "nodes n1 n2\n say n1 master-a=1\n say n2 master-b=2\n k *(g (a @n1 @n2, b @n1 @n2)) promotable=true";
    check(&[(text, "a:0 b:0 a:1 b:1", "a:0 n1, b:0 n1, a:1 n2+, b:1 n2+")]);
}
