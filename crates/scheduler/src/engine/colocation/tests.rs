//! Which pairs come of what is written, and whose lists they are in.

use alloc::{format, string::String, vec, vec::Vec};

use heart_model::policy::{ColocationSets, ResourceSet, Score};

use super::{Side, written};
use crate::engine::{arena::Arena, assignment::tests::notation::arena};

fn pairs(arena: &Arena<'_>) -> Vec<String> {
    let name = |resource| arena[resource].id.clone();
    let pairs = arena.colocations.iter();
    pairs.map(|pair| format!("{}>{} {}", name(pair.dependent), name(pair.primary), pair.score)).collect()
}

fn list(arena: &Arena<'_>, side: Side, holder: &str) -> Vec<String> {
    let holder = &arena[*arena.by_id.get(holder).unwrap()];
    side.of(holder).iter().map(|pair| arena[side.other(arena, *pair)].id.clone()).collect()
}

fn set(members: &str, sequential: Option<bool>) -> ResourceSet {
    ResourceSet {
        id: members.into(),
        members: members.split(' ').map(String::from).collect(),
        sequential,
        require_all: None,
        role: None,
        action: None,
        score: None,
        kind: None,
    }
}

#[test]
fn sets_are_chains_between_which_ends_meet() {
    let (chain, bag) = (None, Some(false));
    for (score, sets, expected) in [
        (10, vec![("a b c", chain)], "b>a c>b"),
        (-10, vec![("a b c", chain)], "b>a c>a c>b"),
        (10, vec![("a b c", bag)], ""),
        (10, vec![("a b", chain), ("c d", chain)], "b>a d>c a>d"),
        (10, vec![("a b", bag), ("c d", bag)], "a>c a>d b>c b>d"),
        (10, vec![("a b", bag), ("c d", chain)], "d>c a>d b>d"),
        (10, vec![("a", chain), ("b", chain), ("c", chain)], "a>b b>c"),
        (0, vec![("a b", chain)], ""),
    ] {
        let mut arena = arena("nodes n1\n a\n b\n c\n d");
        let said = ColocationSets {
            id: "s".into(),
            score: Score::new(score),
            sets: sets.iter().map(|(members, sequential)| set(members, *sequential)).collect(),
            node_attribute: None,
            influence: None,
        };
        written::sets(&mut arena, 0, &said);
        let found: Vec<String> =
            pairs(&arena).into_iter().filter_map(|pair| Some(pair.split_once(' ')?.0.into())).collect();
        assert_eq!(found.join(" "), expected, "{score} {sets:?}");
    }
}

#[test]
fn one_end_may_be_a_tag_and_not_both() {
    for (dependent, primary, expected) in
        [("t", "c", "a>c 5 b>c 5"), ("c", "t", "c>a 5 c>b 5"), ("t", "t", ""), ("nobody", "c", "")]
    {
        let text = format!("nodes n1\n a\n b\n c\n tag t a b\n {dependent} with {primary} 5");
        assert_eq!(pairs(&arena(&text)).join(" "), expected, "{dependent} with {primary}");
    }
}

#[test]
fn what_is_said_of_a_whole_acts_on_the_parts_that_stand_for_it() {
    let group = arena("nodes n1\n x\n g (a, b, c)\n g with x 5\n x with g 7");
    for (side, holder, expected) in [
        (Side::Follows, "g", vec!["x"]),
        (Side::Follows, "a", vec!["x"]),
        (Side::Follows, "b", vec!["a"]),
        (Side::Follows, "c", vec!["b"]),
        (Side::FollowedBy, "g", vec!["x"]),
        (Side::FollowedBy, "a", vec!["b"]),
        (Side::FollowedBy, "b", vec!["c"]),
        (Side::FollowedBy, "c", vec!["x"]),
    ] {
        assert_eq!(list(&group, side, holder), expected, "{side:?} {holder}");
    }
    let clone = arena("nodes n1 n2\n x\n k *(w)\n k with x 5");
    for holder in ["k", "w:0", "w:1"] {
        assert_eq!(list(&clone, Side::Follows, holder), ["x"], "{holder}");
    }
    let cloned_group = arena("nodes n1\n x\n k *(g (a, b))\n k with x 5\n x with k 5");
    assert_eq!(list(&cloned_group, Side::Follows, "a:0"), ["x"]);
    assert_eq!(list(&cloned_group, Side::Follows, "b:0"), ["a:0"]);
    assert_eq!(list(&cloned_group, Side::FollowedBy, "b:0"), ["x"]);
}

#[test]
fn behind_a_member_that_nobody_manages_what_the_group_must_follow_counts_again() {
    let broken = arena("nodes n1\n x\n g (a is-managed=false, b, c)\n g with x INFINITY");
    assert_eq!(list(&broken, Side::Follows, "b"), ["a", "x"]);
    assert_eq!(list(&broken, Side::Follows, "c"), ["b", "x"]);
}

#[test]
fn what_is_more_important_comes_first_then_what_is_more_then_the_name() {
    let text = "nodes n1\n x\n a\n b priority=9\n g (c)\n k *(w)\n m *(v) promotable=true\n \
                x with a 1\n x with b 1\n x with g 1\n x with k 1\n x with m 1";
    assert_eq!(list(&arena(text), Side::Follows, "x"), ["b", "m", "k", "g", "a"]);
}
