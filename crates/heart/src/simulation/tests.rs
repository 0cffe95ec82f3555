//! One outcome, made by hand, in all forms.

use heart_config::cib::Note;
use heart_model::policy::{Cluster, JoinState, Node, NodeKind, Role, Score, State};
use heart_scheduler::engine::{
    Outcome,
    inject::{fail, recover},
    outcome::{Action, Decision, Health, NodeView, Picture, ResourceView},
};

use super::{Order, graph, node_text, result::CaseResult};
use crate::render::{self, Look};

fn action(name: &str, resource: &str, node: &str) -> Action {
    Action {
        name: name.into(),
        resource: (!resource.is_empty()).then(|| resource.into()),
        node: node.into(),
        every_ms: 0,
        kind: None,
    }
}

fn with_kind(kind: &str, action: Action) -> Action {
    Action { kind: Some(kind.into()), ..action }
}

/// Where something is active, in which role.
type On<'t> = &'t [(&'t str, Role)];

fn picture(nodes: &[(&str, NodeView)], on: &[(&str, On<'_>, &str)]) -> Picture {
    let view = |on: On<'_>, flags: &str| ResourceView {
        on: on.iter().map(|&(node, role)| (node.into(), role, None)).collect(),
        flags: flags.into(),
    };
    Picture {
        nodes: nodes.iter().map(|&(name, node)| (name.into(), node)).collect(),
        resources: on.iter().map(|&(name, on, flags)| (name.into(), view(on, flags))).collect(),
    }
}

/// Node `a` failed with the database; it is fenced, and `b` takes over.
fn outcome() -> Outcome {
    let (online, gone) = (NodeView { online: true, ..NodeView::default() }, NodeView::default());
    let lost = NodeView { unclean: true, active: true, ..NodeView::default() };
    let every = |every_ms, action| Action { every_ms, ..action };
    Outcome {
        before: picture(
            &[("a", lost), ("b", online)],
            &[("db", &[("b", Role::Unpromoted), ("a", Role::Promoted)], "MF"), ("web", &[], "")],
        ),
        decisions: vec![
            Decision { verb: "Promote".into(), subject: "db".into(), detail: "b".into() },
            Decision { verb: "Fence/reboot".into(), subject: "a".into(), detail: String::new() },
        ],
        actions: vec![
            with_kind("pre-promote", action("notify", "db", "b")),
            with_kind("reboot", action("fence", "", "a")),
            action("probe", "web", "b"),
            action("promote", "db", "b"),
            every(10_000, action("monitor", "db", "b")),
            with_kind("monitor", every(5000, action("cancel", "db", "b"))),
        ],
        implied: vec![action("stop", "db", "a"), action("demote", "db", "a")],
        // The promotion waits for the fencing and the probe, both by way of the notification.
        order: vec![(1, 0), (2, 0), (0, 3), (3, 4), (1, 4), (5, 3), (1, 2)],
        points: 0,
        after: picture(&[("a", gone), ("b", online)], &[("db", &[("b", Role::Promoted)], "")]),
        look_again: Some(0),
    }
}

#[test]
fn a_result_has_the_form_of_the_suite() {
    let wanted = concat!(
        r#"{"case":"lost","before":{"nodes":{"a":"unclean-offline","b":"online"},"#,
        r#""rscs":{"db":{"on":[["a","P"],["b","U"]],"f":"FM"},"web":{}}},"#,
        r#""decide":["Fence/reboot a","Promote db b"],"#,
        r#""actions":["cancel:monitor/5000 db b","fence/reboot a","monitor/10000 db b","probe web b","promote db b"],"#,
        r#""implied":["demote db","stop db"],"order":[[0,4],[1,4],[4,2]],"porder":[[3,4]],"#,
        r#""after":{"nodes":{"a":"offline","b":"online"},"rscs":{"db":{"on":[["b","P"]]}}},"#,
        r#""notify":["notify/pre-promote db b"]}"#
    );
    assert_eq!(serde_json::to_string(&CaseResult::of("lost", &outcome())).unwrap(), wanted);
    let failed = CaseResult::failed("lost", "no XML".into());
    assert_eq!(serde_json::to_string(&failed).unwrap(), r#"{"case":"lost","error":"no XML"}"#);
}

#[test]
fn nodes_are_called_what_the_suite_calls_them() {
    let node = NodeView::default();
    let online = NodeView { online: true, ..node };
    for (node, wanted) in [
        (online, Some("online")),
        (node, Some("offline")),
        (NodeView { unclean: true, ..online }, Some("unclean-online")),
        (NodeView { unclean: true, remote: true, ..node }, Some("remote-unclean-offline")),
        (NodeView { pending: true, ..online }, Some("pending")),
        (NodeView { standby: true, active: true, ..online }, Some("standby-active")),
        (NodeView { standby: true, ..online }, Some("standby")),
        (NodeView { standby: true, ..node }, Some("offline-standby")),
        (NodeView { maintenance: true, guest: true, ..online }, Some("guest-maintenance")),
        (NodeView { health: Health::Red, ..online }, Some("online-health-is-red")),
        (NodeView { guest: true, ..node }, None),
    ] {
        assert_eq!(node_text(&node).as_deref(), wanted, "{node:?}");
    }
}

#[test]
fn what_a_point_comes_between_waits_as_if_it_were_said_directly() {
    let outcome = Outcome {
        actions: (0..4).map(|number| action("start", &format!("r{number}"), "a")).collect(),
        order: vec![(0, 4), (1, 4), (4, 2), (4, 5), (5, 3)],
        points: 2,
        ..Outcome::default()
    };
    let pairs = Order::of(&outcome).reduced(|_| true, |_| true);
    assert_eq!(pairs, [(0, 2), (0, 3), (1, 2), (1, 3)]);
}

#[test]
fn order_ends_with_circles_and_keeps_them() {
    let outcome = Outcome {
        actions: (0..4).map(|number| action("start", &format!("r{number}"), "a")).collect(),
        order: vec![(0, 1), (1, 2), (2, 1), (2, 3), (0, 3), (9, 1)],
        ..Outcome::default()
    };
    let order = Order::of(&outcome);
    for (first, then) in [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1), (2, 2), (1, 3)] {
        assert!(order.is_before(first, then), "{first} {then}");
    }
    assert!(!order.is_before(3, 0) && !order.is_before(1, 0) && !order.is_before(9, 0));
    let reduced = order.reduced(|_| true, |_| true);
    assert!(!reduced.contains(&(0, 3)), "{reduced:?}");
    assert_eq!(order.sequence(|action| action)[0], 0);
    assert_eq!(order.sequence(|action| action)[3], 3);
}

#[test]
fn people_are_told_in_words() {
    let look = Look { now_ms: 0, width: 80, color: false, zone: |_| 0 };
    let note = Note { line: 3, column: 7, message: "there is no resource `gone`".into() };
    let wanted = "\
Now
  a:  unclean-offline
  b:  online
  db:  promoted on a; unpromoted on b  not managed and failed
  1 resource not active

What would happen
  Promote       db  b
  Fence/reboot  a
  What fencing does by itself: stop db on a and demote db on a.

Step by step
  1.  end the monitor of db on b, every 5 s
  2.  fence node a (reboot)
  3.  look whether web is active on b        after 2
  4.  tell db on b: pre-promote              after 3
  5.  promote db on b                        after 1 and 4
  6.  watch db on b, every 10 s              after 5

Then
  a:  offline
  b:  online
  db:  promoted on b

It depends on the time, and has to be looked again at 1970-01-01 00:00:00 UTC.

Not understood in the description
  line 3, column 7: there is no resource `gone`
";
    assert_eq!(render::simulation(&outcome(), &[note], &look), wanted);
    let nothing = render::simulation(&Outcome::default(), &[], &look);
    assert_eq!(nothing, "Now\n\nNothing has to be done.\n");
}

#[test]
fn drawings_show_every_action_and_no_more_arrows_than_needed() {
    let mut outcome = outcome();
    outcome.actions[3].resource = Some("d\"b<&".into());
    let dot = graph::dot(&outcome);
    assert!(dot.starts_with("digraph actions {") && dot.ends_with("}\n"));
    assert!(dot.contains(r#"[label="promote d\"b<& b""#), "{dot}");
    assert_eq!(dot.matches(" -> ").count(), 5, "{dot}");
    let svg = graph::svg(&outcome);
    assert_eq!((svg.matches("<rect").count(), svg.matches("marker-end").count()), (6, 5), "{svg}");
    assert!(svg.contains("promote d&quot;b&lt;&amp; b"), "{svg}");
    assert!(graph::svg(&Outcome::default()).contains("</svg>"));
}

#[test]
fn nodes_fail_and_come_back_in_thought() {
    let node = |id: &str, name: &str| Node {
        id: id.into(),
        name: name.into(),
        kind: NodeKind::Member,
        score: Score::ZERO,
        attributes: vec![],
        utilization: vec![],
    };
    let cluster = Cluster { nodes: vec![node("1", "a"), node("2", "b")], ..Cluster::default() };
    let mut state = State::default();
    assert!(fail(&cluster, &mut state, "b") && recover(&cluster, &mut state, "a"));
    assert!(!fail(&cluster, &mut state, "c"), "nobody knows it");
    let [b, a] = &state.nodes[..] else { panic!("two") };
    assert_eq!(
        (b.id.as_str(), b.member, b.join, b.expected_up),
        ("2", Some(0), Some(JoinState::Down), Some(true))
    );
    assert_eq!(
        (a.id.as_str(), a.member, a.join, a.process),
        ("1", Some(1), Some(JoinState::Member), Some(1))
    );
    assert!(recover(&cluster, &mut state, "b"));
    assert_eq!((state.nodes.len(), state.nodes[0].member), (2, Some(1)));
}
