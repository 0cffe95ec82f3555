//! Clusters in which a claim once did not hold, made as small as they could be.

mod small;

use heart_clusters::{
    Situation,
    claims::{self, Questions},
    show,
};
use heart_model::policy::{AttributeSet, Body, LossPolicy, NamedOperation, OrderKind, Role, Score, Verb};
use heart_scheduler::engine::explain;
use small::Small;

fn check(small: Small) {
    let situation = small.situation();
    if let Some(broken) = claims::check(&situation) {
        panic!("{broken}\n{}", show::situation(&situation));
    }
}

#[test]
fn what_is_not_configured_is_not_started_anew_where_nothing_can_be_fenced() {
    check(Small::new(&["n1"]).set("fencing-enabled", "true").did("n1", "gone", "start?"));
    let standby = Small::new(&["n1"]).set("fencing-enabled", "true").node("n1", "standby", "on");
    check(standby.did("n1", "gone", "monitor/10000=1"));
}

#[test]
fn nothing_is_started_on_a_node_that_leaves() {
    let leaves = Small::new(&["n1"]).set("fencing-enabled", "true").say("n1", "shutdown", "1779999990");
    check(leaves.primitive("db", &[]).did("n1", "db", "monitor/10000=0"));
}

#[test]
fn nothing_counts_on_what_an_unclean_node_is_told() {
    // The stop on n1 has failed, and nobody can fence n1: what needs the stop must wait.
    let group = Small::new(&["n1", "n2"]).set("fencing-enabled", "true").group("g", &["a", "b"]);
    check(group.did("n1", "a", "stop=1").did("n2", "b", "monitor/10000=0"));
    let twice = Small::new(&["n2", "n4"]).set("fencing-enabled", "true").primitive("db", &[]);
    check(twice.did("n2", "db", "monitor/10000=0").did("n4", "gone", "stop=1").did("n4", "db", "start=0"));
}

#[test]
fn one_of_several_is_kept_only_where_it_is() {
    let group = Small::new(&["n1", "n2", "n3"]).set("have-watchdog", "true").set("fencing-enabled", "true");
    let group = group.group("g", &["a", "b", "c"]).meta("b", "multiple-active", "stop_unexpected");
    check(group.did("n1", "b", "start=0").did("n2", "b", "start?").did("n3", "a", "monitor/10000=0"));
}

#[test]
fn nothing_is_told_of_what_is_not_done() {
    let clone = Small::new(&["n2"]).set("fencing-enabled", "false").group("g", &["a", "b"]);
    let clone = clone.meta("b", "is-managed", "false").device("f", &[]);
    let clone = clone.clone("c", "g", &[("notify", "true"), ("promotable", "true")]);
    check(clone.apart("c", "f").did("n2", "a", "start=0").did("n2", "b", "promote=0"));
}

#[test]
fn instances_that_go_in_pairs_keep_away_from_all_others() {
    let clones = Small::new(&["n2", "n3"]).primitive("a", &[]).primitive("b", &[]);
    let clones = clones.clone("c", "a", &[]).clone("d", "b", &[("interleave", "true")]);
    check(clones.apart("d", "c"));
}

#[test]
fn a_lost_ticket_fences_no_node_where_nothing_is_fenced() {
    let small = Small::new(&["n1", "n2"]).primitive("db", &[]).ticket("gone", LossPolicy::Fence);
    let small = small.did("n1", "gone", "stop=4").did("n1", "db", "start?");
    check(small.did("n2", "db", "start=0"));
}

#[test]
fn what_runs_in_a_guest_is_there_as_long_as_the_guest_is() {
    // Nobody can stop the guest's container on n1, so what runs in it must not start elsewhere.
    let small = Small::new(&["n1", "n6"]).set("fencing-enabled", "true").device("f", &[]);
    let small = small.primitive("db", &[]).primitive("vm", &[("remote-node", "guest")]);
    let small = small.joining("n1").guest("guest").did("n1", "vm", "monitor/10000=1");
    check(small.did("n6", "vm", "start=6").did("guest", "db", "monitor/10000=0"));
}

#[test]
fn what_is_frozen_keeps_nobody_starting_anew() {
    for frozen in ["a", "b"] {
        let small = Small::new(&["n1"]).set("fencing-enabled", "true").primitive("a", &[]).group("g", &["b"]);
        let small = small.device("f", &[("provides", "unfencing")]);
        check(small.ticket(frozen, LossPolicy::Freeze).did("n1", frozen, "start=0"));
    }
}

#[test]
fn nobody_waits_for_the_start_on_a_node_that_is_gone() {
    let small = Small::new(&["n1", "n2"]).set("shutdown-lock", "true").device("f", &[]).lost("n1");
    check(small.did("n1", "f", "start?").did("n2", "f", "start=0"));
}

#[test]
fn a_ring_gives_up_no_stop_before_a_start() {
    let twice = Small::new(&["n2", "n4", "n5"]).primitive("a", &[]).primitive("b", &[]);
    let twice = twice.order((Verb::Start, "b"), (Verb::Stop, "a"), OrderKind::Mandatory);
    check(twice.did("n2", "b", "start=0").did("n4", "b", "start?").did("n5", "a", "start=0"));
    let own = Small::new(&["n4", "n6"]).primitive("a", &[]);
    let own = own.order((Verb::Start, "a"), (Verb::Stop, "a"), OrderKind::Optional);
    check(own.did("n4", "a", "start=0").did("n6", "a", "start?"));
}

#[test]
fn an_instance_too_many_of_a_clone_in_maintenance_is_left_alone() {
    let small = Small::new(&["n5"]).primitive("a", &[]);
    let small = small.clone("c", "a", &[("globally-unique", "true"), ("maintenance", "true")]);
    check(small.did("n5", "a:3", "start=0"));
}

#[test]
fn what_a_migration_has_left_on_a_node_in_maintenance_is_left_alone() {
    let small = Small::new(&["n1", "n2"]).node("n2", "maintenance", "true");
    check(small.migrated("db", "n2", "n1", true));
}

#[test]
fn a_migration_that_failed_is_over_once_it_was_started_anew() {
    let small = Small::new(&["n1", "n3"]).set("fencing-enabled", "true").set("have-watchdog", "true");
    let small = small.primitive("db", &[]).joining("n3");
    check(small.did("n3", "db", "monitor=7").migrated("db", "n1", "n3", false));
}

#[test]
fn only_what_is_promoted_is_demoted() {
    let small = Small::new(&["n1", "n3"]).set("fencing-enabled", "true").group("g", &["a", "b"]);
    check(small.did("n1", "a", "monitor/10000=1").did("n3", "a", "monitor/10000=8").did("n3", "b", "stop=1"));
}

#[test]
fn another_agent_of_what_is_left_alone_restarts_nobody() {
    let small = Small::new(&["n2"]).primitive("b", &[]).group("g", &["a"]).device("f", &[]);
    let clone = small.clone("c", "g", &[("promotable", "true"), ("maintenance", "true")]);
    let clone = clone.order((Verb::Promote, "c"), (Verb::Start, "b"), OrderKind::Mandatory);
    check(clone.did("n2", "a", "promote=0").other_agent("n2", "a"));
    let device = Small::new(&["n2"]).set("fencing-enabled", "true").node("n2", "maintenance", "true");
    check(device.device("f", &[("provides", "unfencing")]).did("n2", "f", "start=0").other_agent("n2", "f"));
}

#[test]
fn what_cannot_come_takes_nothing_down() {
    let small = Small::new(&["n1"]).primitive("a", &[("target-role", "Stopped")]).primitive("b", &[]);
    let small = small.primitive("c", &[]);
    let small = small.order((Verb::Start, "a"), (Verb::Start, "b"), OrderKind::Mandatory);
    let small = small.order((Verb::Stop, "b"), (Verb::Start, "c"), OrderKind::Mandatory);
    let situation = small.did("n1", "c", "start=0").situation();
    let outcome = heart_scheduler::engine::decide(&situation.cluster, &situation.state);
    assert!(outcome.actions.iter().all(|action| action.name != "stop"), "{}", show::outcome(&outcome));
}

#[test]
fn an_instance_without_a_partner_makes_nobody_start_anew() {
    let small = Small::new(&["n1", "n2"]).primitive("a", &[]).primitive("b", &[]);
    let small = small.clone("c", "a", &[("clone-max", "1")]).clone("d", "b", &[("interleave", "true")]);
    let small = small.primitive("db", &[]);
    let small = small.order((Verb::Start, "c"), (Verb::Start, "d"), OrderKind::Mandatory);
    check(small.order((Verb::Start, "d"), (Verb::Start, "db"), OrderKind::Mandatory));
}

#[test]
fn an_instance_that_cannot_start_makes_nobody_start_anew() {
    let small = Small::new(&["n1", "n4"]).group("g", &["a", "b"]).meta("b", "maintenance", "true");
    let small = small.clone("c", "g", &[]).primitive("w", &[]).clone("d", "w", &[]);
    let small = small.order((Verb::Start, "c"), (Verb::Start, "d"), OrderKind::Mandatory);
    check(small.did("n1", "b", "start=0").did("n4", "a", "start=0").did("n4", "b", "start=0"));
}

#[test]
fn what_is_not_configured_is_stopped_under_its_own_name() {
    let small = Small::new(&["n1", "n2"]).did("n1", "gone:0", "monitor/10000=0");
    check(small.did("n2", "gone:3", "monitor/10000=0"));
}

#[test]
fn what_differs_stays_where_it_must_be_when_another_node_is_lost() {
    let small = Small::new(&["n1", "n2", "n3"]).primitive("a", &[]).primitive("b", &[]);
    let small = small.clone("c", "a", &[("clone-node-max", "3"), ("globally-unique", "true")]);
    let small =
        small.at("c", "n2", Score::INFINITY).at("c", "n3", Score::INFINITY).at("c", "n1", Score::NEVER);
    let situation = small.set_default("resource-stickiness", "INFINITY").situation();
    assert_eq!(claims::rests(&situation, claims::Failures::All), None, "{}", show::situation(&situation));
}

/// A resource was leaving a node that is lost; nobody knows whether it arrived.
fn was_leaving(small: Small, resource: &str, from: &str, to: &str) -> Situation {
    let mut situation = small.lost(from).did(from, resource, "migrate_to?").situation();
    let told = situation.state.nodes.iter_mut().flat_map(|node| &mut node.history);
    for operation in told.flat_map(|history| &mut history.operations) {
        operation.changed_at = Some(1_779_999_000);
        (operation.migrate_source, operation.migrate_target) = (Some(from.into()), Some(to.into()));
    }
    situation
}

#[test]
fn where_a_migration_may_have_arrived_nothing_is_stopped_in_maintenance() {
    let small = Small::new(&["n3", "n7"]).set("fencing-enabled", "true").device("f", &[]);
    let situation = was_leaving(small.node("n3", "maintenance", "true"), "gone", "n7", "n3");
    assert_eq!(claims::check(&situation), None, "{}", show::situation(&situation));
}

#[test]
fn where_a_migration_may_have_arrived_it_is_stopped_once() {
    let small = Small::new(&["n1", "n2"]).set("fencing-enabled", "true").primitive("db", &[]);
    let situation = was_leaving(small, "db", "n2", "n1");
    assert_eq!(claims::check(&situation), None, "{}", show::situation(&situation));
}

#[test]
fn what_is_removed_is_not_looked_at_while_it_is_stopped() {
    let small = Small::new(&["n1"]).primitive("w", &[]);
    let mut situation = small.clone("c", "w", &[("clone-max", "0"), ("globally-unique", "true")]).situation();
    let Body::Clone(inner) = &mut situation.cluster.resources[0].body else { panic!("it is a clone") };
    inner.operations.push(NamedOperation {
        id: "while-stopped".into(),
        name: "monitor".into(),
        every_ms: 12_000,
        role: Some(Role::Stopped),
        options: AttributeSet::default(),
        meta: vec![],
        parameters: vec![],
    });
    assert_eq!(claims::check(&situation), None, "{}", show::situation(&situation));
}

#[test]
fn what_a_migration_has_left_behind_makes_nobody_start_anew() {
    // n2, from where a came, is on its way: what is left there cannot be stopped yet.
    let small = Small::new(&["n1", "n2"]).group("g", &["a", "b"]).joining("n2");
    check(small.migrated("a", "n2", "n1", true).did("n1", "b", "start=0"));
}

#[test]
fn an_instance_stays_where_only_what_follows_its_clone_wants_it() {
    let small = Small::new(&["n1"]).primitive("w", &[]).primitive("db", &[]);
    let small = small.clone("c", "w", &[("clone-max", "3")]).at("c", "n1", Score::new(-52));
    check(small.at("db", "n1", Score::INFINITY).with("db", "c", Score::INFINITY));
}

#[test]
fn no_instance_migrates_to_where_another_one_is_stopped() {
    let small = Small::new(&["n1", "n2"]).primitive("w", &[("allow-migrate", "true")]);
    let small = small.clone("c", "w", &[("clone-max", "1"), ("notify", "true")]).at("c", "n1", Score::NEVER);
    check(small.did("n1", "w", "start=0").did("n2", "w", "start=0"));
}

#[test]
fn of_what_keeps_something_off_together_nothing_is_too_many() {
    // The wish for n1 counts only once a may go there; what forbids that plays no part.
    let small = Small::new(&["n1", "n2"]).node("n2", "standby", "on").primitive("b", &[("priority", "10")]);
    let small = small.primitive("a", &[]).at("b", "n1", Score::new(100)).at("a", "n1", Score::new(100));
    let situation = small.at("a", "n1", Score::NEVER).at("a", "n2", Score::NEVER).situation();
    let explanation = explain::why(&situation.cluster, &situation.state, "a", Some("n2")).unwrap();
    assert_eq!((explanation.together, explanation.because.len()), (true, 2), "{:?}", explanation.because);
    assert_eq!(claims::explained(&situation, Questions::All), None, "{}", show::situation(&situation));
}
