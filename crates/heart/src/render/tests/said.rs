//! Why something has its guard, what that means, what a half waits for, and what is picked from the log.

use heart_model::{
    Activity, Copies, Epoch, FenceOutcome, Guard, Intent, NodeName, Reason, ResourceName, Session,
};
use heart_node::{
    core::Guarded,
    ledger::{Change, Happened},
};

use super::{LOOK, ada, assert_text, bob, grant, report, session, site, timeline};
use crate::render::{Answer, Wanted, log, summary, why};

/// What is said of the resources of these two nodes.
#[track_caller]
fn check(nodes: &str, resources: &str, expected: &str) {
    let text = format!("[cluster]\nname = \"web\"\n{nodes}{resources}");
    let checked = heart_config::read("heart.toml", text.as_bytes(), &heart_config::NoEnvironment);
    let checked = checked.unwrap_or_else(|report| panic!("{}", report.render_text(false)));
    let summary = summary(&checked, &LOOK);
    let (_, said) = summary.split_once("If the node of a resource is lost\n").expect("a table");
    assert_text(said, expected);
}

const DEVICES: &str = "
[node.ada]
addresses = [\"10.0.0.1\"]
fence = { agent = \"fence_apc\", plug = 1 }
[node.bob]
addresses = [\"10.0.0.2\"]
fence = { agent = \"fence_apc\", plug = 2 }
";
const NOTHING: &str = "
[node.ada]
addresses = [\"10.0.0.1\"]
[node.bob]
addresses = [\"10.0.0.2\"]
";
const ADDRESSES: &str = "
[resource.chosen]
agent = \"ip\"
address = \"10.0.0.100/24\"
guard = \"lease\"
[resource.left]
agent = \"ip\"
address = \"10.0.0.101/24\"
";

#[test]
fn who_chose_a_guard_is_said() {
    check(
        DEVICES,
        ADDRESSES,
        "  chosen:  guard lease (chosen in the file):                 the kernel lets go of it without us, then another takes it
  left:    guard fence (as two with devices have no lease):  it stays down until that node is proven off
",
    );
    let tie_break = [DEVICES, "[tie_break]\nwitness = \"10.9.0.1:6940\"\n"].concat();
    check(
        &tie_break,
        ADDRESSES,
        "  chosen:  guard lease (chosen in the file):  the kernel lets go of it without us, then another takes it
  left:    guard lease (by its agent):        the kernel lets go of it without us, then another takes it
",
    );
}

#[test]
fn with_nothing_that_decides_a_person_does() {
    check(
        NOTHING,
        "[resource.db]\nagent = \"ocf:heartbeat:Dummy\"\n[resource.report]\nagent = \"ocf:heartbeat:Dummy\"\n\
         guard = \"none\"\n[resource.site]\nagent = \"process\"\ncommand = [\"/usr/bin/site\"]\n",
        "  db:      guard fence (by its agent):       it stays down until a person says that its node is off
  report:  guard none (chosen in the file):  another takes it once a person says that it may
  site:    guard lease (by its agent):       the kernel lets go of it without us, then a person says that another may take it
",
    );
}

#[test]
fn what_runs_says_its_guard() {
    let lease =
        Guarded { guard: Guard::Lease, copies: None, promotable: false, by_person: false, changed: false };
    for (guarded, line) in [
        (
            lease,
            "guard lease: if its node is lost, the kernel lets go of it without us, then another takes it",
        ),
        (
            Guarded { guard: Guard::Fence, ..lease },
            "guard fence: if its node is lost, it stays down until that node is proven off",
        ),
        (
            Guarded { guard: Guard::Fence, by_person: true, ..lease },
            "guard fence: if its node is lost, it stays down until a person says that its node is off",
        ),
        (
            Guarded { copies: Some(Copies::Of(2)), ..lease },
            "guard lease: if its node is lost, its copies elsewhere go on; a node that has none starts one",
        ),
    ] {
        let reasons = [Reason::Stays { node: ada() }];
        let answer = Answer { reasons: &reasons, next: &[], guarded: Some(guarded), stuck: None };
        let said = why("site", answer, &super::Look { width: usize::MAX, ..LOOK });
        let expected = format!(
            "site\n  runs on ada and stays: nothing healthy moves without need\n  {line}\n\n\
             Next\n  nothing: it runs where it should\n"
        );
        assert_text(&said, &expected);
    }
}

#[test]
fn a_half_that_waits_says_for_what() {
    let reasons = [Reason::NoQuorum, Reason::LastKnown { node: bob() }];
    let next = ["wait for bob; or, if bob is off for certain: `heart takeover --peers-are-off bob`".into()];
    let stuck = Some("nothing is configured that could switch bob off for certain: waiting for it");
    let answer = Answer { reasons: &reasons, next: &next, guarded: None, stuck };
    assert_text(
        &why("site", answer, &LOOK),
        "\
site
  too few voters are heard to decide anything
  bob had it when the log was last heard; it may be elsewhere by now
  nothing is configured that could switch bob off for certain: waiting for it

Next
  wait for bob; or, if bob is off for certain: `heart takeover --peers-are-off
    bob`

hint: `heart status` shows which voters are not heard; a node that hears more
of them knows more
",
    );
}

/// A node is lost, switched off, and what it ran goes elsewhere; beside that, somebody moves something else.
fn story() -> Vec<Happened> {
    let boot = session().boot;
    let other = ResourceName::new("other").unwrap();
    let to: NodeName = bob();
    timeline(vec![
        Change::Grant { grants: vec![grant("site", ada(), 4), grant("other", bob(), 3)] },
        report(Activity::Running),
        Change::Report { resource: other.clone(), epoch: Epoch(3), activity: Activity::Running },
        Change::Intend(Intent::Move { resource: other, from: bob(), to: None }),
        Change::TakeOver { node: ada(), session: session(), grants: Vec::new() },
        Change::Fence { node: ada(), boot, by: to, session: session(), attempt: 1 },
        Change::Fenced { node: ada(), boot, attempt: 1, outcome: FenceOutcome::Off },
        Change::Close { resource: site(), epoch: Epoch(4), grants: vec![grant("site", bob(), 5)] },
        Change::Admit { node: ada(), session: Session { ..session() } },
        Change::Forgive { resource: None, node: None },
    ])
}

/// The entries that are told of these names, without their times.
#[track_caller]
fn picks(of: &[&str], fencing: bool, limit: usize, expected: &[&str]) {
    let of = (!of.is_empty()).then(|| of.iter().map(|name| (*name).to_owned()).collect());
    let story = story();
    let places = Wanted { of, fencing }.pick(&story, limit);
    let told = log(&story, &places, &LOOK);
    let told: Vec<&str> = told.lines().skip(1).map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_log_of_one_thing() {
    let first = "site goes to ada (epoch 4), other goes to bob (epoch 3)";
    let lost = "ada is lost: its session 3f2a0001.1 was taken over";
    let order = "bob is to switch ada off (attempt 1)";
    let ended = "site has ended on ada (epoch 4); site goes to bob (epoch 5)";
    let runs = "site runs on ada (epoch 4)";
    let forgotten = "the failures are forgotten";
    let admitted = "ada takes part (session 3f2a0001.1)";
    picks(&["site"], false, 50, &[first, runs, ended, forgotten]);
    picks(&["ada"], false, 50, &[first, runs, lost, order, "ada is proven off", ended, admitted, forgotten]);
    picks(&["ada"], false, 2, &[admitted, forgotten]);
    picks(&["cyn"], false, 50, &[forgotten, "cyn votes"]);
    picks(&[], true, 50, &[order, "ada is proven off"]);
    picks(&["bob"], true, 50, &[order]);
    let moved = "somebody asked for other to move away from bob";
    picks(&["other", "web"], false, 50, &[first, "other runs on bob (epoch 3)", moved, forgotten]);
}

#[test]
fn a_log_without_what_is_asked_for_says_how_far_it_goes() {
    let story = story();
    let of = Some(["other".to_owned()].into());
    let places = Wanted { of, fencing: true }.pick(&story, 50);
    assert_text(&log(&story, &places, &LOOK), "nothing of that is among the 12 entries that are kept\n");
}
