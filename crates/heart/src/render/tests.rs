//! Whole outputs, as people see them. Change the words there, and review them here.

mod said;

use heart_model::{
    Activity, BootId, Epoch, FenceOutcome, Guard, Intent, LogIndex, NodeName, OffOrder, Reason, Refusal,
    ResourceName, Session, SessionNumber, WhyOff,
};
use heart_node::{
    core::{NodeView, ResourceView, StatusView},
    ledger::{Change, Forced, Happened, NewGrant, What, Without},
};

use super::{Answer, Look, log, status, summary, why};

/// 2026-03-05 14:15:22 in the zone of [`LOOK`].
const NOW: u64 = 1_772_716_522_120;
const MINUTES: u64 = 60_000;
const LOOK: Look = Look { now_ms: NOW, width: 80, color: false, zone: |_| 3600 };

fn node(state: &str, links: &[bool]) -> NodeView {
    NodeView { state: state.into(), voter: true, links: links.into(), ..NodeView::default() }
}

fn resource(agent: &str, node: &str) -> ResourceView {
    ResourceView {
        state: "running".into(),
        node: Some(node.into()),
        epoch: 4,
        since: Some(NOW - 12 * MINUTES),
        agent: agent.into(),
        group: Some("web".into()),
        ..ResourceView::default()
    }
}

/// Three nodes that hear each other, and a group on the first.
fn healthy() -> StatusView {
    let ada = NodeView { lease_ms: Some(543), ..node("online", &[]) };
    StatusView {
        cluster: "web".into(),
        node: "ada".into(),
        leader: Some("ada".into()),
        term: 7,
        quorum: true,
        voters: (3, 3),
        nodes: [
            ("ada".into(), ada),
            ("bob".into(), node("online", &[true, true])),
            ("cyn".into(), node("online", &[true, true])),
        ]
        .into(),
        resources: [("address".into(), resource("ip", "ada")), ("site".into(), resource("process", "ada"))]
            .into(),
        ..StatusView::default()
    }
}

#[track_caller]
fn shows(view: &StatusView, expected: &str) {
    assert_text(&status(view, false, &LOOK), expected);
}

#[track_caller]
fn assert_text(found: &str, expected: &str) {
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}

#[test]
fn a_healthy_cluster() {
    shows(
        &healthy(),
        "\
Cluster web: ada leads (term 7), 3 of 3 voters heard
as ada sees it at 14:15:22 UTC+01:00

Nodes
  ada  online  leads, has a lease for 543 ms
  bob  online  heard on links 0 and 1
  cyn  online  heard on links 0 and 1

Resources
  address  running  on ada  since 14:03:22 (12 min ago)  ip, group web
  site     running  on ada  since 14:03:22 (12 min ago)  process, group web

Wrong
  nothing is wrong

Next
  nothing: everything is where it should be
",
    );
}

#[test]
fn a_node_that_is_lost_and_what_is_done_about_it() {
    let mut view = healthy();
    view.node = "bob".into();
    view.leader = Some("bob".into());
    view.term = 8;
    view.voters = (3, 2);
    view.nodes.insert("ada".into(), node("lost", &[false, false]));
    view.nodes.insert("bob".into(), NodeView { lease_ms: Some(1), ..node("online", &[]) });
    view.nodes.insert("cyn".into(), node("standby", &[true, false]));
    view.nodes.insert("dan".into(), NodeView { voter: false, ..node("online", &[true, true]) });
    view.resources.insert(
        "address".into(),
        ResourceView {
            state: "starting".into(),
            node: Some("bob".into()),
            since: Some(NOW - 120),
            ..resource("ip", "bob")
        },
    );
    view.resources.insert(
        "site".into(),
        ResourceView { state: "stopped".into(), node: None, since: None, ..resource("process", "bob") },
    );
    view.intents = vec![Intent::Standby { node: NodeName::new("cyn").unwrap() }];
    view.problems = vec![
        "site is stopped: waits for address, which starts before it".into(),
        "ada is lost".into(),
        "cyn is not heard over link 1".into(),
    ];
    view.next = vec!["start address on bob".into(), "start site on bob".into()];
    shows(
        &view,
        "\
Cluster web: bob leads (term 8), 2 of 3 voters heard
as bob sees it at 14:15:22 UTC+01:00

Nodes
  ada  lost     not heard
  bob  online   leads, has a lease for 1 ms
  cyn  standby  heard on link 0, not on link 1
  dan  online   no vote, heard on links 0 and 1

Resources
  address  starting  on bob  since 14:15:22 (just now)  ip, group web
  site     stopped                                      process, group web

Asked for
  nothing runs on cyn, until `heart resume cyn`

Wrong
  site is stopped: waits for address, which starts before it
  ada is lost
  cyn is not heard over link 1

Next
  start address on bob
  start site on bob
",
    );
}

#[test]
fn a_node_alone_without_a_quorum() {
    let mut view = healthy();
    view.leader = None;
    view.quorum = false;
    view.voters = (3, 1);
    view.nodes.insert("ada".into(), NodeView { lease_ms: Some(0), ..node("online", &[]) });
    view.nodes.insert("bob".into(), node("lost", &[false]));
    view.nodes.insert("cyn".into(), node("absent", &[false]));
    view.resources.clear();
    view.problems =
        vec!["ada hears 1 of 3 voters: no quorum".into(), "bob is lost".into(), "cyn is absent".into()];
    shows(
        &view,
        "\
Cluster web: nobody leads (term 7), 1 of 3 voters heard: no quorum
as ada sees it at 14:15:22 UTC+01:00

Nodes
  ada  online  has no lease
  bob  lost    not heard
  cyn  absent  not heard

Resources, as this node knew them last
  none are configured

Wrong
  ada hears 1 of 3 voters: no quorum
  bob is lost
  cyn is absent

Next
  nothing, before a leader with a quorum decides
",
    );
}

#[test]
fn a_resource_that_failed_everywhere_with_a_message_that_would_clear_the_screen() {
    let mut view = healthy();
    view.resources.insert(
        "site".into(),
        ResourceView {
            state: "failed".into(),
            group: None,
            since: Some(NOW - 86_400_000),
            ..resource("process", "ada")
        },
    );
    view.problems = vec![
        "site is failed: can run nowhere: not on ada: site failed there 3 of 3 times; not on bob: it is in standby".into(),
        "site failed 3 times on ada: \x1b[2Jcannot bind\nport 80".into(),
    ];
    shows(
        &view,
        "\
Cluster web: ada leads (term 7), 3 of 3 voters heard
as ada sees it at 14:15:22 UTC+01:00

Nodes
  ada  online  leads, has a lease for 543 ms
  bob  online  heard on links 0 and 1
  cyn  online  heard on links 0 and 1

Resources
  site     failed   on ada  since 2026-03-04 14:15:22 (24 h ago)  process
  address  running  on ada  since 14:03:22 (12 min ago)           ip, group web

Wrong
  site is failed: can run nowhere: not on ada: site failed there 3 of 3 times;
    not on bob: it is in standby
  site failed 3 times on ada: \u{fffd}[2Jcannot bind port 80

Next
  nothing is planned
",
    );
}

#[test]
fn many_resources_still_fit_one_screen() {
    let mut view = healthy();
    for number in 0..100 {
        let mut one = resource("ip", "bob");
        one.group = None;
        if number == 99 {
            one.state = "stuck".into();
        }
        view.resources.insert(format!("r{number:02}"), one);
    }
    view.problems = (0..20).map(|number| format!("problem {number}")).collect();
    let short = status(&view, false, &LOOK);
    assert!(short.lines().count() < 60, "{short}");
    assert!(short.contains("Resources\n  r99  stuck "), "what is wrong comes first:\n{short}");
    assert!(
        short.contains("  and 72 more, 72 of them running: `heart status --all` shows them\n"),
        "{short}"
    );
    assert!(short.contains("  and 8 more: `heart status --all` shows them\n"), "{short}");
    let long = status(&view, true, &LOOK);
    assert!(long.contains("r57") && long.contains("problem 19") && !long.contains("more"), "{long}");
}

#[test]
fn colours_say_the_same_words() {
    let mut view = healthy();
    view.problems = vec!["ada is lost".into()];
    let colored = status(&view, false, &Look { color: true, ..LOOK });
    assert!(colored.contains("\x1b[31mada is lost\x1b[0m"), "{colored}");
    let mut bare = String::new();
    for part in colored.split("\x1b[") {
        bare += if bare.is_empty() { part } else { part.split_once('m').unwrap().1 };
    }
    shows(&view, &bare);
}

fn ada() -> NodeName {
    NodeName::new("ada").unwrap()
}

fn bob() -> NodeName {
    NodeName::new("bob").unwrap()
}

fn site() -> ResourceName {
    ResourceName::new("site").unwrap()
}

/// What is said of site for these reasons.
fn answered(reasons: &[Reason], next: &[String]) -> String {
    why("site", Answer { reasons, next, guarded: None, stuck: None }, &LOOK)
}

#[test]
fn why_it_stays() {
    assert_text(
        &answered(&[Reason::Stays { node: ada() }], &[]),
        "\
site
  runs on ada and stays: nothing healthy moves without need

Next
  nothing: it runs where it should
",
    );
}

#[test]
fn why_it_moves() {
    let reasons = [Reason::NodeLost { node: ada() }, Reason::Preferred { node: bob() }];
    assert_text(
        &answered(&reasons, &["take site over to bob".into()]),
        "\
site
  ada, which ran it, is lost
  the configuration prefers bob

Next
  take site over to bob
",
    );
}

#[test]
fn why_it_runs_nowhere_and_what_would_help() {
    let failed = Refusal::Failed { failures: 3, limit: 3, resource: site() };
    let reasons = [
        Reason::FailedThere { node: ada(), failures: 3, limit: 3, message: "cannot bind port 80".into() },
        Reason::Nowhere { refusals: vec![(ada(), failed), (bob(), Refusal::Standby)] },
    ];
    assert_text(
        &answered(&reasons, &[]),
        "\
site
  failed on ada (3 of 3): cannot bind port 80
  can run nowhere: not on ada: site failed there 3 of 3 times; not on bob: it
    is in standby

Next
  nothing, as long as that holds

hint: when its cause is mended, `heart forgive site` forgets the failures
hint: `heart resume bob` lets things run on bob again
",
    );
}

#[test]
fn why_it_waits_for_proof() {
    let reasons =
        [Reason::NodeLost { node: ada() }, Reason::WaitsForGuard { node: ada(), guard: Guard::Fence }];
    assert_text(
        &answered(&reasons, &[]),
        "\
site
  ada, which ran it, is lost
  waits until ada is proven off: it may still run there

Next
  nothing, as long as that holds

hint: bring ada back; as soon as it is heard, it says what it still runs
hint: if it is off for certain, say so: `heart confirm-off ada`
",
    );
}

fn session() -> Session {
    Session { boot: BootId(0x3f2a_0001 << 96), number: SessionNumber(1) }
}

fn grant(resource: &str, node: NodeName, epoch: u64) -> NewGrant {
    NewGrant {
        resource: ResourceName::new(resource).unwrap(),
        node,
        session: session(),
        epoch: Epoch(epoch),
        because: None,
    }
}

fn timeline(changes: Vec<Change>) -> Vec<Happened> {
    let mut index = LogIndex(0);
    let mut next = |what| {
        index = index.next();
        Happened { index, at: NOW - 1000 + 10 * index.0, what }
    };
    let mut all = vec![next(What::Configured { digest: 0xabc })];
    all.extend(changes.into_iter().map(|change| next(What::Changed(change))));
    all.push(next(What::Members { text: "cyn votes".into() }));
    all
}

/// All entries but the first `before`, as they are told.
fn told(story: &[Happened], before: usize) -> String {
    log(story, &(before..story.len()).collect::<Vec<_>>(), &LOOK)
}

fn report(activity: Activity) -> Change {
    Change::Report { resource: site(), epoch: Epoch(4), activity }
}

#[test]
fn the_log_of_a_takeover_reads_like_a_story() {
    let grants = vec![grant("address", ada(), 4), grant("site", ada(), 4)];
    let story = timeline(vec![
        Change::Found { era: 0x51, without: vec![] },
        Change::Admit { node: ada(), session: session() },
        Change::TakeOver { node: bob(), session: session(), grants },
        report(Activity::Starting),
        report(Activity::Running),
    ]);
    assert_text(
        &told(&story, 0),
        "\
times are UTC+01:00, by the clock of who led
14:15:21.130  a new configuration is in force (digest 0000000000000abc)
14:15:21.140  a new cluster begins (era 0000000000000051)
14:15:21.150  ada takes part (session 3f2a0001.1)
14:15:21.160  bob is lost: its session 3f2a0001.1 was taken over; address goes to ada (epoch 4), site goes to ada (epoch 4)
14:15:21.170  site starts on ada (epoch 4)
14:15:21.180  site runs on ada (epoch 4)
14:15:21.190  cyn votes
",
    );
}

#[test]
fn the_log_says_by_what_half_of_the_voters_went_on() {
    let without = vec![Without { node: ada(), boot: session().boot }];
    let forced = Forced { era: 2, parent: 1, without, who: None, by_tie_break: false, configuration: 3 };
    let told = |forced: &Forced| {
        let story = timeline(vec![Change::Force(forced.clone())]);
        log(&story, &(0..story.len()).collect::<Vec<_>>(), &LOOK)
    };
    for (forced, words) in [
        (forced.clone(), "(proven off)"),
        (Forced { by_tie_break: true, ..forced.clone() }, "(by the tie-break; nothing is proven)"),
        (Forced { who: Some("eve".into()), ..forced }, "(eve says that it is off)"),
    ] {
        let told = told(&forced);
        assert!(told.contains(&format!("the cluster goes on without ada {words}\n")), "{told}");
    }
}

#[test]
fn the_log_of_a_node_that_is_switched_off() {
    let boot = session().boot;
    let fence = |attempt| Change::Fence { node: ada(), boot, by: bob(), session: session(), attempt };
    let ended = |attempt, outcome| Change::Fenced { node: ada(), boot, attempt, outcome };
    let order = |why, reboot| OffOrder { boot, why, if_heard: true, reboot };
    let stuck = WhyOff::Stuck { resource: site(), epoch: Epoch(4) };
    let story = timeline(vec![
        Change::TakeOver { node: ada(), session: session(), grants: Vec::new() },
        fence(1),
        ended(1, FenceOutcome::Failed { message: "fence_ipmilan: no answer from 10.2.0.1".into() }),
        fence(2),
        ended(2, FenceOutcome::Off),
        Change::FenceAgain { node: ada(), who: None },
        Change::FenceAgain { node: ada(), who: Some("eve".into()) },
        Change::ConfirmOff { node: ada(), boot, who: "eve".into() },
        Change::OrderOff { node: bob(), order: order(WhyOff::Asked { who: "eve".into() }, true) },
        Change::TakeOver { node: bob(), session: session(), grants: Vec::new() },
        Change::WithdrawOff { node: bob(), boot, because: "it leads, and nobody else can".into() },
        Change::OrderOff { node: ada(), order: order(stuck, false) },
        Change::OrderOn { node: ada(), who: "eve".into() },
        Change::TurnedOn { node: ada(), attempt: 3, failure: Some("no answer".into()) },
        Change::TurnedOn { node: bob(), attempt: 4, failure: None },
    ]);
    let told = told(&story, 0);
    for line in [
        "bob is to switch ada off (attempt 1)",
        "attempt 1 to switch ada off proved nothing: fence_ipmilan: no answer from 10.2.0.1",
        "bob is to switch ada off (attempt 2)",
        "ada is proven off",
        "it is tried again to switch ada off, as some time has passed",
        "eve wants it tried again to switch ada off",
        "eve says that ada is off",
        "eve wants bob to be switched off, and to boot again",
        "bob may run nothing any more: its session 3f2a0001.1 was taken over",
        "bob is not switched off after all: it leads, and nobody else can",
        "site cannot be stopped on ada, so ada is to be switched off",
        "eve wants ada to get power",
        "ada got no power: no answer",
        "bob has power",
    ] {
        assert!(told.lines().any(|told| told.ends_with(line)), "{line}:\n{told}");
    }
}

#[test]
fn the_log_of_failures_and_of_what_people_asked_for() {
    let to_bob = Intent::Move { resource: site(), from: ada(), to: Some(bob()) };
    let away = Intent::Move { resource: site(), from: bob(), to: None };
    let standby = Intent::Standby { node: bob() };
    let failure = Change::Failure {
        resource: site(),
        node: ada(),
        epoch: Epoch(4),
        message: "exit code 1\nat once".into(),
    };
    let story = timeline(vec![
        Change::Grant { grants: vec![grant("site", ada(), 4)] },
        report(Activity::Failed("exit code 1".into())),
        failure,
        report(Activity::Stuck("it ignores every signal".into())),
        Change::Intend(to_bob.clone()),
        report(Activity::Stopping),
        report(Activity::Stopped),
        Change::Close { resource: site(), epoch: Epoch(4), grants: vec![grant("site", bob(), 5)] },
        Change::Withdraw(to_bob),
        Change::Close { resource: site(), epoch: Epoch(3), grants: Vec::new() },
        Change::Intend(away),
        Change::Intend(standby.clone()),
        Change::Withdraw(standby),
        Change::Forgive { resource: Some(site()), node: None },
        Change::Forgive { resource: None, node: Some(ada()) },
        Change::TakeOver { node: bob(), session: session(), grants: Vec::new() },
    ]);
    assert_text(
        &told(&story, 0),
        "\
times are UTC+01:00, by the clock of who led
14:15:21.130  a new configuration is in force (digest 0000000000000abc)
14:15:21.140  site goes to ada (epoch 4)
14:15:21.150  site failed on ada (epoch 4): exit code 1
14:15:21.160  a failure of site counts against ada: exit code 1 at once
14:15:21.170  site could not be stopped on ada (epoch 4): it ignores every signal
14:15:21.180  somebody asked for site to move from ada to bob
14:15:21.190  site stops on ada (epoch 4)
14:15:21.200  site is stopped on ada (epoch 4)
14:15:21.210  site has ended on ada (epoch 4); site goes to bob (epoch 5)
14:15:21.220  the move of site from ada to bob is done
14:15:21.230  site has ended (epoch 3)
14:15:21.240  somebody asked for site to move away from bob
14:15:21.250  somebody put bob in standby
14:15:21.260  bob may run things again
14:15:21.270  the failures of site are forgotten
14:15:21.280  the failures on ada are forgotten
14:15:21.290  bob is lost: its session 3f2a0001.1 was taken over
14:15:21.300  cyn votes
",
    );
}

#[test]
fn entries_of_another_day_bring_their_date_along() {
    let mut story = timeline(Vec::new());
    story[0].at -= 86_400_000;
    assert_text(
        &told(&story, 0),
        "\
times are UTC+01:00, by the clock of who led
2026-03-04 14:15:21.130  a new configuration is in force (digest 0000000000000abc)
2026-03-05 14:15:21.140  cyn votes
",
    );
    assert_text(&told(&[], 0), "nothing has happened yet\n");
}

/// A cluster of three nodes with these resources.
fn on_three_nodes(resources: &str) -> heart_config::Checked {
    let nodes = r#"
[cluster]
name = "web"
[node.ada]
addresses = ["10.0.0.1"]
[node.bob]
addresses = ["10.0.0.2"]
[node.cyn]
addresses = ["10.0.0.3"]
"#;
    let text = [nodes, resources].concat();
    heart_config::read("heart.toml", text.as_bytes(), &heart_config::NoEnvironment).unwrap()
}

#[test]
fn what_a_configuration_comes_to() {
    let checked = on_three_nodes(
        r#"[resource.address]
agent = "ip"
address = "10.0.0.100/24"
[resource.db]
agent = "ocf:heartbeat:Dummy"
guard = "fence"
[resource.report]
agent = "ocf:heartbeat:Dummy"
guard = "none"
"#,
    );
    assert_text(
        &summary(&checked, &LOOK),
        "\
Cluster web: 3 nodes, 3 voters (quorum 2), 3 resources
a node says that it lives every 100 ms, and is lost after 600 ms of silence

If the node of a resource is lost
  address:  guard lease (by its agent):        the kernel lets go of it without us, then another takes it
  db:       guard fence (chosen in the file):  it stays down until that node is proven off
  report:   guard none (chosen in the file):   another takes it at once; it may run twice for a while
",
    );
}

#[test]
fn copies_and_times_of_a_configuration_are_said() {
    let checked = on_three_nodes(
        r#"[time.night]
hours = "22:00-06:00"
[time.weekend]
weekdays = "sat-sun"
[resource.cache]
agent = "process"
command = ["/usr/bin/cache"]
[resource.db]
agent = "ocf:heartbeat:pgsql"
copies = 2
promotable = true
[resource.dns]
agent = "process"
command = ["/usr/bin/dns"]
copies = "all"
ticket = "berlin"
[resource.report]
agent = "process"
command = ["/usr/bin/report"]
during = ["night", "weekend"]
[group.grid]
members = ["cache"]
copies = 2
during = "night"
ticket = "berlin"
"#,
    );
    let summary = summary(&checked, &LOOK);
    let (_, said) = summary.split_once("\n\n").unwrap();
    assert_text(
        said,
        "\
If the node of a resource is lost
  cache:   guard lease (by its agent):  its copies elsewhere go on; a node that has none starts one
  db:      guard fence (by its agent):  its copies elsewhere go on; the next is promoted once that node is proven off
  dns:     guard lease (by its agent):  its copies elsewhere go on; nobody takes this one over
  report:  guard lease (by its agent):  the kernel lets go of it without us, then another takes it

What runs only at times
  dns:     with the ticket berlin
  report:  during any of night and weekend, in UTC
  grid:    during night, in UTC, with the ticket berlin
",
    );
}

#[test]
fn the_last_entries_know_where_things_were_from_those_before() {
    let story =
        timeline(vec![Change::Grant { grants: vec![grant("site", ada(), 4)] }, report(Activity::Running)]);
    let text = told(&story, 2);
    assert!(text.contains("14:15:21.150  site runs on ada (epoch 4)"), "{text}");
    assert!(!text.contains("goes to"), "{text}");
}
