//! Questions about small clusters, and what is answered.

use alloc::{format, string::String, vec::Vec};

use super::{Cause, Explanation, NodeTrouble, Unknown, why};
use crate::engine::assignment::tests::notation::cluster;

/// An explanation in one line: `runs on n2: a at n2 100 | it runs there`.
fn told(explanation: &Explanation) -> String {
    let places: Vec<&str> = explanation.stands.iter().map(|(node, _)| node.as_str()).collect();
    let stands = if places.is_empty() { "nowhere".into() } else { places.join(" ") };
    let causes: Vec<String> = explanation.because.iter().map(|because| word(&because.cause)).collect();
    let between = if explanation.together { " + " } else { " | " };
    format!("{stands}: {}", causes.join(between))
}

fn word(cause: &Cause) -> String {
    match cause {
        Cause::Constraint { id, .. } => id.trim().into(),
        Cause::Node { node, trouble: NodeTrouble::Standby } => format!("{node} is in standby"),
        Cause::Node { node, trouble: NodeTrouble::Maintenance } => format!("{node} is in maintenance"),
        Cause::Node { node, trouble: NodeTrouble::Absent } => format!("{node} is absent"),
        Cause::Node { node, trouble: NodeTrouble::Health } => format!("{node} is not healthy"),
        Cause::Quorum => "no quorum".into(),
        Cause::ResourceOption { resource, name } => format!("{name} of {resource}"),
        Cause::Default { name } => format!("default {name}"),
        Cause::ClusterOption { name } => format!("option {name}"),
        Cause::Failed { resource, node } => format!("{resource} failed on {node}"),
        Cause::Active { resource, node } => format!("{resource} runs on {node}"),
        Cause::Changed { resource, node } => format!("{resource} has changed since on {node}"),
        Cause::PromotionScore { resource, node } => format!("promotion of {resource} on {node}"),
        Cause::Ticket { ticket } => format!("ticket {ticket}"),
        Cause::Needs { resource } => format!("needs of {resource}"),
    }
}

/// `why a` or `why a on n1`, asked of a cluster in the notation of the assignment's tests.
fn check(cases: &[(&str, &str, &str)]) {
    for (text, question, answer) in cases {
        let (cluster, state) = cluster(text);
        let (resource, node) = match question.split_once(" on ") {
            Some((resource, node)) => (resource, Some(node)),
            None => (*question, None),
        };
        let explanation = why(&cluster, &state, resource, node).expect("both are known");
        assert_eq!(told(&explanation), *answer, "why {question}?\n{text}");
    }
}

#[test]
fn what_runs_where_it_is_wanted_is_there_for_that() {
    check(&[
        ("nodes n1 n2\n a\n a at n2 100", "a", "n2: a at n2 100"),
        (
            "nodes n1 n2\n a @n2 resource-stickiness=5\n a at n1 1",
            "a",
            "n2: resource-stickiness of a | a runs on n2",
        ),
        ("nodes n1 n2\n a\n b\n b at n2 1\n a with b INFINITY", "a", "n2: a with b INFINITY | b at n2 1"),
    ]);
}

#[test]
fn what_is_not_somewhere_is_kept_off_by_what_would_let_it_go_there() {
    check(&[
        ("nodes n1 n2\n a\n a at n1 -INFINITY", "a on n1", "n2: a at n1 -INFINITY"),
        ("nodes n1:standby n2\n a", "a on n1", "n2: n1 is in standby"),
        ("nodes n1:gone n2\n a", "a on n1", "n2: n1 is absent"),
        (
            "nodes n1:standby n2\n a\n a at n1 -INFINITY",
            "a on n1",
            "n2: n1 is in standby + a at n1 -INFINITY",
        ),
    ]);
}

#[test]
fn what_runs_nowhere_is_kept_from_it() {
    check(&[
        ("nodes n1 n2\n a target-role=Stopped", "a", "nowhere: target-role of a"),
        (
            "nodes n1 n2\n a\n b target-role=Stopped\n a with b INFINITY",
            "a",
            "nowhere: target-role of b | a with b INFINITY",
        ),
        ("nodes n1 n2\n set quorum=false\n a", "a", "nowhere: no quorum"),
        ("nodes n1:standby n2:standby\n a", "a", "nowhere: n1 is in standby | n2 is in standby"),
        (
            "nodes n1 n2\n a target-role=Stopped\n a at n1 -INFINITY\n a at n2 -INFINITY",
            "a",
            "nowhere: target-role of a + a at n1 -INFINITY",
        ),
    ]);
}

#[test]
fn where_all_is_equal_nothing_decides() {
    check(&[("nodes n1 n2\n a", "a on n2", "n1: ")]);
}

#[test]
fn what_moves_although_nothing_drives_it_away_is_held_by_nothing() {
    check(&[("nodes n1 n2\n a @n1\n b @n1", "b", "n2: resource-stickiness of b")]);
}

#[test]
fn what_a_node_that_leaves_had_is_gone_because_it_leaves() {
    check(&[("nodes n1 n2\n say n1 shutdown=1780000000\n a @n1", "a", "n2: n1 is absent")]);
}

#[test]
fn what_is_promoted_is_where_it_would_be_most_gladly() {
    check(&[(
        "nodes n1 n2\n say n2 master-w=10\n k *(w @n1+ @n2) promotable=true",
        "w",
        "n1 n2: promotion of w on n2",
    )]);
}

#[test]
fn that_a_node_has_one_instance_of_an_anonymous_clone_is_no_cause() {
    check(&[("nodes n1 n2\n k *(w @n1 @n2)", "w", "n1 n2: ")]);
}

#[test]
fn what_is_in_a_container_has_the_fate_of_what_else_is_there() {
    check(&[(
        "nodes n1 n2\n c target-role=Stopped\n a container=c\n b container=c",
        "a",
        "nowhere: target-role of c",
    )]);
}

#[test]
fn what_is_written_otherwise_by_now_is_why_it_is_begun_anew() {
    let (cluster, mut state) = cluster("nodes n1 n2\n a @n1 resource-stickiness=5");
    let histories = state.nodes.iter_mut().flat_map(|node| &mut node.history);
    histories.for_each(|history| history.agent.agent_type = "Former".into());
    let explanation = why(&cluster, &state, "a", None).expect("it is known");
    assert_eq!(told(&explanation), "n1: a has changed since on n1");
}

#[test]
fn what_nothing_keeps_off_is_where_it_is_for_a_cause_of_its_own() {
    check(&[("nodes n1 n2 n3\n a\n a at n2 100", "a on n3", "n2: a at n2 100")]);
}

#[test]
fn what_nobody_knows_is_not_explained() {
    let (cluster, state) = cluster("nodes n1\n a");
    assert_eq!(why(&cluster, &state, "b", None), Err(Unknown::Resource("b".into())));
    assert_eq!(why(&cluster, &state, "a", Some("n7")), Err(Unknown::Node("n7".into())));
}
