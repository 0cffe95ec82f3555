//! What is planned again is what would be planned anew.

#[path = "../benches/shapes/mod.rs"]
mod shapes;

use heart_scheduler::engine::{Planner, decide, outcome::Picture, plan, planner::News};
use shapes::{Shape, Size, mixed};

fn assert_same(planner: &Planner, when: &str) {
    let anew = decide(planner.cluster(), planner.state());
    assert_eq!(*planner.outcome(), anew, "{when}");
}

#[test]
fn whatever_is_learnt_of_mixed_clusters() {
    let (mut parts, mut fine_parts, mut moved) = (0, 0, 0);
    for seed in 0..500 {
        let (cluster, state) = mixed::cluster(seed);
        let mut planner = Planner::new(cluster, state);
        for step in 0..5 {
            let (node, news) = mixed::news(planner.cluster(), planner.state(), seed * 1000 + step);
            let (before, whole) = (planner.outcome().clone(), planner.runs().whole);
            let now = planner.state().now.map(|now| now + i64::from(step % 2 == 1));
            planner.learn(now, node, news.clone());
            assert_same(&planner, &format!("seed {seed}, step {step}: {news:?}"));
            moved += u64::from(planner.runs().whole == whole && *planner.outcome() != before);
        }
        parts += planner.runs().parts;
        fine_parts += planner.runs().fine_parts;
    }
    // Otherwise it has shown nothing.
    let shown = parts > 300 && fine_parts > 10 && moved > 100;
    assert!(shown, "{parts} parts and {fine_parts} fine ones, {moved} with something new");
}

#[test]
fn who_does_not_look_ahead_plans_the_same() {
    for seed in 0..200 {
        let (cluster, state) = mixed::cluster(seed);
        let decided = decide(&cluster, &state);
        let mut planned = plan(&cluster, &state);
        assert_eq!(planned.after, Picture::default(), "seed {seed}");
        planned.after = decided.after.clone();
        assert_eq!(planned, decided, "seed {seed}");
    }
}

#[test]
fn failures_in_large_clusters() {
    for shape in [Shape::Groups, Shape::NodeLost, Shape::Clones, Shape::Begin] {
        let (cluster, state) = shapes::cluster(shape, Size { nodes: 9, resources: 60, probed: true });
        let mut planner = Planner::new(cluster, state);
        let now = planner.state().now;
        for node in 0..9 {
            let Some((well, failed)) = shapes::failure(planner.state(), node) else { continue };
            let name = format!("fail-count-{}", failed.resource);
            for news in [
                News::History(failed),
                News::Attribute(name.clone(), Some("INFINITY".to_owned())),
                News::Attribute(name, None),
                News::History(well),
            ] {
                planner.learn(now, node, news.clone());
                assert_same(&planner, &format!("{shape:?}, node {node}: {news:?}"));
            }
        }
        // Clones are at rest while what rests on them fails.
        let fine = planner.runs().fine_parts;
        assert_eq!(fine > 9, shape == Shape::Clones, "{shape:?}: {:?}", planner.runs());
    }
}

#[test]
fn any_other_change() {
    let (cluster, state) = shapes::cluster(Shape::Groups, Size { nodes: 5, resources: 30, probed: true });
    let mut planner = Planner::new(cluster, state);
    planner.change(|_, state| shapes::lose(state, 1));
    assert_same(&planner, "a node is lost");
    planner.change(|cluster, _| drop(cluster.resources.pop()));
    assert_same(&planner, "a resource is removed");
}
