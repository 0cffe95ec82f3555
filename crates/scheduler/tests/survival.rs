//! What a cluster survives, as its own planner sees it.

mod common;

use common::{World, node, resource, word};
use heart_model::{Activity, Copies, Guard, Intent, NodeName, Other, Reason, Refusal};
use heart_scheduler::{
    engine::survive::Enough,
    survival::{Loss, Survival},
};

fn lose(world: &World, nodes: &[&str]) -> Loss {
    let nodes: Vec<NodeName> = nodes.iter().map(|name| node(name)).collect();
    Survival::new(&world.spec, &world.status, Enough::Majority).lose(&nodes)
}

fn moved(loss: &Loss) -> Vec<String> {
    let from = |from: &Option<NodeName>| from.as_ref().map_or("nowhere".to_owned(), NodeName::to_string);
    loss.moved.iter().map(|(what, left, to)| format!("{what}: {} to {to}", from(left))).collect()
}

fn down(loss: &Loss) -> Vec<&str> {
    loss.down.iter().map(|(what, _)| what.as_str()).collect()
}

#[test]
fn what_the_lost_node_ran_goes_elsewhere_and_nothing_else_moves() {
    let mut world = World::new(&["ada", "bob", "cyn"]);
    for (name, home) in [("db", "ada"), ("site", "bob")] {
        world.add(name, Guard::Lease, 3, &[node(home)]);
    }
    assert_eq!(moved(&lose(&world, &["ada"])), ["db: ada to cyn"]);
    let loss = lose(&world, &["cyn"]);
    assert!(loss.is_survived() && loss.moved.is_empty(), "{loss:?}");
    world.grant(&resource("db"), &node("cyn"), Activity::Running);
    let loss = lose(&world, &["ada"]);
    assert!(loss.moved.is_empty(), "it runs on cyn now, whatever is preferred: {loss:?}");
}

#[test]
fn what_has_no_other_node_stays_down_and_says_why() {
    let mut world = World::new(&["ada", "bob", "cyn"]);
    world.add("db", Guard::Lease, 3, &[node("ada")]);
    world.wishes("db").never.push(Other::Node(node("bob")));
    world.status.intents.push(Intent::Standby { node: node("cyn") });
    let loss = lose(&world, &["ada"]);
    assert_eq!(down(&loss), ["db"]);
    let said = &loss.down[0].1;
    let refused = |at: &str| {
        said.iter().find_map(|reason| match reason {
            Reason::Nowhere { refusals } => refusals.iter().find(|(node, _)| node.as_str() == at),
            _ => None,
        })
    };
    assert_eq!(refused("bob").map(|(_, refusal)| refusal), Some(&Refusal::Never));
    assert_eq!(refused("cyn").map(|(_, refusal)| refusal), Some(&Refusal::Standby));
}

#[test]
fn without_a_majority_nothing_runs_unless_half_is_enough() {
    let mut world = World::new(&["ada", "bob"]);
    world.add("db", Guard::Lease, 3, &[node("ada")]);
    let loss = lose(&world, &["ada"]);
    assert!(!loss.quorum);
    assert_eq!(loss.down, [("db".to_owned(), vec![Reason::NoQuorum])]);
    let survival = Survival::new(&world.spec, &world.status, Enough::Half);
    assert_eq!(moved(&survival.lose(&[node("ada")])), ["db: ada to bob"]);
    assert!(!survival.lose(&[node("ada"), node("bob")]).quorum);
}

#[test]
fn copies_are_fewer_or_go_where_there_is_none_yet() {
    let mut world = World::new(&["ada", "bob", "cyn"]);
    for (name, copies) in [("dns", Copies::All), ("two", Copies::Of(2))] {
        world.add(name, Guard::None, 3, &[]);
        world.wishes(name).copies = Some(copies);
    }
    let loss = lose(&world, &["ada"]);
    assert!(loss.is_survived(), "{loss:?}");
    assert_eq!(loss.fewer, ["dns"]);
    assert_eq!(moved(&loss), ["two: ada to cyn"]);
}

#[test]
fn a_promotion_goes_to_another_copy_or_nowhere() {
    let mut world = World::new(&["ada", "bob", "cyn"]);
    world.add("db", Guard::Lease, 3, &[node("ada"), node("bob")]);
    world.wishes("db").copies = Some(Copies::Of(2));
    world.spec.resources.get_mut(&resource("db")).unwrap().promotable = true;
    let loss = lose(&world, &["ada"]);
    assert!(loss.is_survived(), "{loss:?}");
    assert!(moved(&loss).contains(&"db: ada to bob".to_owned()), "{loss:?}");
    world.spec.nodes.remove(&node("cyn"));
    world.status.nodes.remove(&node("cyn"));
    world.wishes("db").never.push(Other::Node(node("bob")));
    let survival = Survival::new(&world.spec, &world.status, Enough::Half);
    let loss = survival.lose(&[node("ada")]);
    assert_eq!(down(&loss), ["db"]);
    assert_eq!(loss.unpromoted.len(), 1);
}

#[test]
fn what_follows_something_stays_down_with_it() {
    let mut world = World::new(&["ada", "bob", "cyn"]);
    world.add("db", Guard::Lease, 3, &[node("ada")]);
    world.wishes("db").never = vec![Other::Node(node("bob")), Other::Node(node("cyn"))];
    world.add("site", Guard::Lease, 3, &[]);
    world.wishes("site").with.push(word("db"));
    let loss = lose(&world, &["ada"]);
    assert_eq!(down(&loss), ["db", "site"]);
    assert_eq!(loss.down[1].1, [Reason::WithoutOther { other: word("db") }]);
}

/// Of five nodes two are proven off, and do not vote any more.
#[test]
fn who_is_proven_off_is_not_needed_for_a_majority() {
    let mut world = World::new(&["ada", "bob", "cyn", "dan", "eve"]);
    world.add("db", Guard::Lease, 3, &[node("ada")]);
    for name in ["dan", "eve"] {
        world.set(&node(name), heart_model::NodeState::Fenced);
    }
    assert_eq!(moved(&lose(&world, &["ada"])), ["db: ada to bob"]);
    assert!(!lose(&world, &["ada", "bob"]).quorum);
}

#[test]
fn each_node_that_takes_part_can_be_lost_and_each_two_of_them() {
    let mut world = World::new(&["ada", "bob", "cyn"]);
    world.set(&node("cyn"), heart_model::NodeState::Lost);
    let survival = Survival::new(&world.spec, &world.status, Enough::Majority);
    assert_eq!(survival.losses(true), [vec![node("ada")], vec![node("bob")], vec![node("ada"), node("bob")]]);
    assert!(!survival.lose(&[node("ada")]).quorum, "cyn is lost already");
}
