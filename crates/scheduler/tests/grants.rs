//! What a grant is worth, and what is done about it: one row for each case.

mod common;

use common::{World, node, resource};
use heart_model::{Activity, Guard, NodeState, Reason, StepAction};

/// What is done with `db`, which ada holds in this activity, when ada is in this state.
fn check(guard: Guard, state: NodeState, activity: &Activity, rebooted: bool) -> String {
    let mut world = World::new(&["ada", "bob"]);
    world.add("db", guard, 3, &[]);
    world.grant(&resource("db"), &node("ada"), activity.clone());
    if rebooted {
        world.boot(&node("ada"));
    }
    world.set(&node("ada"), state);
    let plan = world.plan();
    let step = |step: &heart_model::Step| {
        let what = match step.action {
            StepAction::Stop => "stop",
            StepAction::Start => "start",
            StepAction::TakeOver => "take",
        };
        format!("{what} {}", step.node)
    };
    let steps: Vec<String> = plan.steps.iter().map(step).collect();
    if !steps.is_empty() {
        return steps.join(", ");
    }
    match plan.reasons[&resource("db")].last().expect("every decision has a reason") {
        Reason::Stays { .. } => "stays".into(),
        Reason::WaitsForGuard { .. } => "waits".into(),
        Reason::StopStuck { .. } => "stuck".into(),
        other => format!("{other}"),
    }
}

#[test]
fn a_grant_is_worth_what_its_holder_may_still_do() {
    use Guard::{Fence, Lease, None as Harmless};
    use NodeState::{Absent, Fenced, Joining, Leaving, Lost, Online};
    let failed = Activity::Failed("exit status 1".into());
    let stuck = Activity::Stuck("a child remains".into());
    for (guard, state, activity, rebooted, expected) in [
        (Lease, Online, &Activity::Running, false, "stays"),
        (Lease, Online, &Activity::Stopped, false, "start ada"),
        (Lease, Online, &Activity::Starting, false, "start ada"),
        (Lease, Online, &Activity::Stopping, false, "stop ada, start ada"),
        (Lease, Online, &failed, false, "stop ada, start ada"),
        (Lease, Online, &stuck, false, "stuck"),
        (Lease, Leaving, &Activity::Running, false, "stop ada, start bob"),
        (Lease, Leaving, &stuck, false, "stuck"),
        // Lost: the lease runs out by itself; what needs proof waits for it.
        (Lease, Lost, &Activity::Running, false, "take bob, start bob"),
        (Harmless, Lost, &Activity::Running, false, "take bob, start bob"),
        (Lease, Lost, &stuck, false, "take bob, start bob"),
        (Fence, Lost, &Activity::Running, false, "waits"),
        (Fence, Lost, &Activity::Stopped, false, "waits"),
        // Proven off, or in a newer session: the grant is over, whatever its guard.
        (Fence, Fenced, &Activity::Running, false, "start bob"),
        (Lease, Fenced, &stuck, false, "start bob"),
        (Fence, Online, &Activity::Running, true, "start ada"),
        (Fence, Lost, &Activity::Running, true, "start bob"),
        (Lease, Absent, &Activity::Running, true, "start bob"),
        // Not heard yet, or not admitted: nothing is known, so nothing is done.
        (Lease, Absent, &Activity::Running, false, "waits"),
        (Harmless, Absent, &Activity::Running, false, "waits"),
        (Lease, Joining, &Activity::Running, false, "waits"),
        (Lease, Joining, &Activity::Running, true, "start bob"),
    ] {
        let found = check(guard, state, activity, rebooted);
        assert_eq!(found, expected, "{guard:?} {state:?} {activity:?}, rebooted: {rebooted}");
    }
}

#[test]
fn nothing_is_decided_without_a_quorum() {
    let mut world = World::new(&["ada", "bob"]);
    world.add("db", Guard::Lease, 3, &[]);
    world.grant(&resource("db"), &node("ada"), Activity::Running);
    world.set(&node("ada"), NodeState::Lost);
    world.status.quorum = false;
    let plan = world.plan();
    assert_eq!(plan.steps, []);
    assert_eq!(plan.reasons[&resource("db")], [Reason::NoQuorum]);
    assert_eq!(plan.placement[&resource("db")], Some(node("ada")));
}
