//! What a unit does with orders that come late, twice, or while it is busy.

use std::collections::BTreeMap;

use heart_agents::Stop;
use heart_model::{
    Act, Activity, AgentRef, BootId, Duration, Epoch, Guard, LogIndex, LogicalTimeouts, NodeId, Order,
    OrderId, Outcome, ResourceName, ResourceSpec, Session, SessionNumber, Term, Wishes,
};

use super::{
    terms::{Action, Event, Operation, Ticket},
    unit::Unit,
};

const LEASE: Duration = Duration::from_millis(500);

fn spec() -> ResourceSpec {
    let wait = Duration::from_secs(10);
    ResourceSpec {
        agent: AgentRef::BuiltIn("ip".into()),
        parameters: BTreeMap::new(),
        guard: Guard::Lease,
        timeouts: LogicalTimeouts { start: wait, stop: wait, status: wait, status_every: wait },
        failures_max: 3,
        failovers_max: heart_model::FAILOVERS,
        when_stuck: heart_model::WhenStuck::Report,
        needs: BTreeMap::new(),
        promotable: false,
        wishes: Wishes::default(),
    }
}

fn session(number: u64) -> Session {
    Session { boot: BootId(1), number: SessionNumber(number) }
}

fn order(number: u64, epoch: u64, act: Act) -> Event {
    ordered(number, epoch, act, LEASE)
}

fn ordered(number: u64, epoch: u64, act: Act, lease_left: Duration) -> Event {
    let id = OrderId { term: Term(1), number };
    let resource = ResourceName::new("site").unwrap();
    let order = Order {
        id,
        commit: LogIndex(0),
        node: NodeId(1),
        session: session(1),
        resource,
        epoch: Epoch(epoch),
        act,
    };
    Event::Ordered { order, lease_left }
}

fn ended(ticket: u64, outcome: Outcome) -> Event {
    Event::Ended { ticket: Ticket(ticket), outcome, stalled: None }
}

/// The same, too late, on a machine that is stalled.
fn stalled(ticket: u64) -> Event {
    let stalled = Some("everything waits for memory".to_owned());
    Event::Ended { ticket: Ticket(ticket), outcome: Outcome::TimedOut, stalled }
}

/// A unit after these events, and what the last of them made it do, in short.
fn after(events: Vec<Event>) -> (Unit, String) {
    let mut unit = Unit::new(ResourceName::new("site").unwrap());
    let mut actions = unit.step(Event::Configured(Some(Box::new(spec()))));
    for event in events {
        actions = unit.step(event);
    }
    let text = actions.iter().map(short).collect::<Vec<_>>().join(", ");
    (unit, text)
}

fn short(action: &Action) -> String {
    match action {
        Action::Record => "record".into(),
        Action::Run { ticket, operation, .. } => match operation {
            Operation::Start => format!("start#{}", ticket.0),
            Operation::Stop(Stop::Orderly) => format!("stop#{}", ticket.0),
            Operation::Stop(Stop::AtOnce) => format!("kill#{}", ticket.0),
            Operation::Status => format!("ask#{}", ticket.0),
            Operation::Adopt => format!("adopt#{}", ticket.0),
        },
        Action::Cancel(ticket) => format!("cancel#{}", ticket.0),
        Action::Report(id, outcome) => {
            let word = match outcome {
                Outcome::Done => "done",
                Outcome::Refused(_) => "refused",
                Outcome::TimedOut => "late",
                Outcome::Failed(_) | Outcome::NotRunning | Outcome::Unable(_) | Outcome::Misconfigured(_) => {
                    "failed"
                }
            };
            format!("report {}: {word}", id.number)
        }
        Action::Changed => "changed".into(),
        Action::Watch => "watch".into(),
        Action::WakeAfter(wait) => format!("wake {}s", wait.as_secs()),
    }
}

fn running() -> Vec<Event> {
    vec![order(1, 5, Act::Start), ended(1, Outcome::Done)]
}

fn guarded(guard: Guard) -> Event {
    Event::Configured(Some(Box::new(ResourceSpec { guard, ..spec() })))
}

fn then(mut before: Vec<Event>, more: Vec<Event>) -> Vec<Event> {
    before.extend(more);
    before
}

fn failed() -> Outcome {
    Outcome::Failed("no".into())
}

#[test]
fn every_event_has_its_actions() {
    let let_go = |number| Event::LetGo { session: session(number), how: Stop::AtOnce };
    for (what, events, wanted) in [
        ("a start is recorded before it begins", vec![order(1, 5, Act::Start)], "record, start#1"),
        ("a start that ends well", running(), "record, watch, wake 10s, report 1: done"),
        ("the same order twice", then(running(), vec![order(1, 5, Act::Start)]), "report 1: done"),
        (
            "another leader's order for what runs",
            then(running(), vec![order(2, 5, Act::Start)]),
            "record, report 2: done",
        ),
        (
            "a later grant for what runs under another guard than the file says by now",
            then(running(), vec![guarded(Guard::Fence), order(2, 6, Act::Start)]),
            "report 2: refused",
        ),
        (
            "the same grant for that",
            then(running(), vec![guarded(Guard::Fence), order(2, 5, Act::Start)]),
            "record, report 2: done",
        ),
        (
            "a later grant for what runs",
            then(running(), vec![order(2, 6, Act::Start)]),
            "record, report 2: done",
        ),
        ("an earlier grant", then(running(), vec![order(2, 4, Act::Start)]), "report 2: refused"),
        ("no lease", vec![ordered(1, 5, Act::Start, Duration::from_millis(1))], "report 1: refused"),
        ("a second start while one is under way", vec![order(1, 5, Act::Start), order(2, 5, Act::Start)], ""),
        (
            "both are answered",
            vec![order(1, 5, Act::Start), order(2, 5, Act::Start), ended(1, Outcome::Done)],
            "record, watch, wake 10s, report 1: done, report 2: done",
        ),
        ("a start that fails", vec![order(1, 5, Act::Start), ended(1, failed())], "report 1: failed"),
        (
            "what failed has to be stopped first",
            vec![order(1, 5, Act::Start), ended(1, failed()), order(2, 6, Act::Start)],
            "report 2: refused",
        ),
        (
            "a stop is recorded before it begins",
            then(running(), vec![order(2, 5, Act::Stop)]),
            "record, stop#2",
        ),
        (
            "a stop is recorded before it is confirmed",
            then(running(), vec![order(2, 5, Act::Stop), ended(2, Outcome::Done)]),
            "record, report 2: done",
        ),
        (
            "a late start of a closed epoch",
            then(running(), vec![order(2, 5, Act::Stop), ended(2, Outcome::Done), order(3, 5, Act::Start)]),
            "report 3: refused",
        ),
        (
            "a start of the next epoch",
            then(running(), vec![order(2, 5, Act::Stop), ended(2, Outcome::Done), order(3, 6, Act::Start)]),
            "record, start#3",
        ),
        ("a stop of what never ran closes its epoch", vec![order(1, 5, Act::Stop)], "record, report 1: done"),
        ("and bars it", vec![order(1, 5, Act::Stop), order(2, 5, Act::Start)], "report 2: refused"),
        (
            "a stop of an earlier grant",
            then(running(), vec![order(2, 4, Act::Stop)]),
            "record, report 2: done",
        ),
        (
            "a stop during a start cancels it",
            vec![order(1, 5, Act::Start), order(2, 5, Act::Stop)],
            "report 1: refused, record, cancel#1",
        ),
        (
            "and begins when that has ended",
            vec![order(1, 5, Act::Start), order(2, 5, Act::Stop), ended(1, Outcome::Done)],
            "stop#2",
        ),
        (
            "a stop that does not succeed",
            then(running(), vec![order(2, 5, Act::Stop), ended(2, Outcome::TimedOut)]),
            "record, report 2: late, changed, wake 10s",
        ),
        (
            "is tried again by order",
            then(running(), vec![order(2, 5, Act::Stop), ended(2, failed()), order(3, 5, Act::Stop)]),
            "record, stop#3",
        ),
        ("a death", then(running(), vec![Event::Lost("x".into())]), "changed"),
        ("a question is asked", then(running(), vec![Event::Due]), "ask#2"),
        ("slow is not failed", then(running(), vec![Event::Due, ended(2, Outcome::TimedOut)]), "ask#3"),
        (
            "slow twice is",
            then(running(), vec![Event::Due, ended(2, Outcome::TimedOut), ended(3, Outcome::TimedOut)]),
            "changed",
        ),
        (
            "on a stalled machine it is slow, and asked again",
            then(running(), vec![Event::Due, stalled(2)]),
            "ask#3, changed",
        ),
        ("slow is told once", then(running(), vec![Event::Due, stalled(2), stalled(3), stalled(4)]), "ask#5"),
        (
            "slow no longer",
            then(running(), vec![Event::Due, stalled(2), stalled(3), ended(4, Outcome::Done)]),
            "changed, wake 10s",
        ),
        ("well", then(running(), vec![Event::Due, ended(2, Outcome::Done)]), "wake 10s"),
        ("not running any more", then(running(), vec![Event::Due, ended(2, Outcome::NotRunning)]), "changed"),
        ("it may be back", then(running(), vec![Event::Lost("x".into()), Event::Regained]), "ask#2"),
        (
            "it is back",
            then(running(), vec![Event::Lost("x".into()), Event::Regained, ended(2, Outcome::Done)]),
            "changed, watch, wake 10s",
        ),
        ("the session is over", then(running(), vec![let_go(1)]), "record, kill#2"),
        ("let go", then(running(), vec![let_go(1), ended(2, Outcome::Done)]), "record, changed"),
        ("an earlier session is over", then(running(), vec![let_go(0)]), ""),
        (
            "a stop under way gets faster",
            then(running(), vec![order(2, 5, Act::Stop), let_go(1)]),
            "cancel#2",
        ),
        (
            "what cannot be let go is tried again",
            then(running(), vec![let_go(1), ended(2, failed()), Event::Due]),
            "record, kill#3",
        ),
        (
            "a loss in mid-question",
            then(running(), vec![Event::Due, Event::Lost("x".into())]),
            "cancel#2, changed",
        ),
        (
            "the answer comes too late to count",
            then(running(), vec![Event::Due, Event::Lost("x".into()), ended(2, Outcome::Done)]),
            "",
        ),
        (
            "but it may be back",
            then(
                running(),
                vec![Event::Due, Event::Lost("x".into()), Event::Regained, ended(2, Outcome::Done)],
            ),
            "ask#3",
        ),
        (
            "a loss during a stop is no news",
            then(running(), vec![order(2, 5, Act::Stop), Event::Lost("x".into()), ended(2, Outcome::Done)]),
            "record, report 2: done",
        ),
        (
            "a loss during a start is looked into",
            vec![order(1, 5, Act::Start), Event::Lost("x".into()), ended(1, Outcome::Done)],
            "record, watch, wake 0s, report 1: done",
        ),
        ("the end of something forgotten", then(running(), vec![ended(77, failed())]), ""),
    ] {
        assert_eq!(after(events).1, wanted, "{what}");
    }
}

#[test]
fn closed_is_only_what_a_stop_succeeded_for() {
    let stopping = then(running(), vec![order(2, 5, Act::Stop)]);
    assert_eq!(after(stopping.clone()).0.inventory().closed, Epoch(0));
    let (stuck, _) = after(then(stopping.clone(), vec![ended(2, failed())]));
    assert_eq!(stuck.inventory().closed, Epoch(0));
    assert!(matches!(stuck.inventory().activity, Activity::Stuck(_)));
    let (mut late, _) = after(then(stopping.clone(), vec![ended(2, failed())]));
    assert!(late.step(order(3, 5, Act::Start)).iter().any(|action| short(action) == "report 3: refused"));
    assert_eq!(after(then(stopping, vec![ended(2, Outcome::Done)])).0.inventory().closed, Epoch(5));
}

/// What kept it from being stopped may be over soon: nobody has to be woken up for that.
#[test]
fn a_stop_that_failed_is_tried_again_a_few_times() {
    let mut events = then(running(), vec![order(2, 5, Act::Stop), ended(2, failed())]);
    for ticket in 3..=5 {
        events.extend([Event::Due, ended(ticket, failed())]);
    }
    let (mended, said) = after(then(events.clone(), vec![Event::Due, ended(6, Outcome::Done)]));
    assert_eq!(said, "record, changed");
    assert_eq!((mended.inventory().activity, mended.inventory().closed), (Activity::Stopped, Epoch(5)));
    events.extend([Event::Due, ended(6, failed())]);
    let (_, said) = after(then(events.clone(), vec![Event::Due]));
    assert_eq!(said, "", "from here on it is for a person");
    let (given_up, _) = after(events.clone());
    events.pop();
    assert_eq!((given_up.inventory().given_up, after(events).0.inventory().given_up), (true, false));
}

#[test]
fn the_next_executor_takes_up_what_there_is() {
    for (what, events, adopting, outcome, wanted) in [
        ("running", running(), "adopt#1", Outcome::Done, "record, watch, wake 10s, changed"),
        ("gone meanwhile", running(), "adopt#1", Outcome::NotRunning, "changed"),
        (
            "starting",
            vec![order(1, 5, Act::Start)],
            "adopt#1",
            Outcome::Done,
            "record, watch, wake 10s, changed",
        ),
        (
            "stopping",
            then(running(), vec![order(2, 5, Act::Stop)]),
            "record, kill#1",
            Outcome::Done,
            "record, changed",
        ),
        ("stopped", vec![order(1, 5, Act::Stop)], "", Outcome::Done, ""),
    ] {
        let record = after(events).0.record();
        let copy = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        let mut unit = Unit::from_record(copy);
        let shorts = |actions: Vec<Action>| actions.iter().map(short).collect::<Vec<_>>().join(", ");
        assert_eq!(shorts(unit.step(Event::Adopt)), adopting, "{what}");
        assert_eq!(shorts(unit.step(ended(1, outcome))), wanted, "{what}");
        assert!(unit.step(order(9, 5, Act::Stop)).iter().any(|action| matches!(action, Action::Record)));
    }
}

#[test]
fn random_events_never_start_what_was_barred() {
    // A small generator of our own: the seed is the whole world.
    let mut seed: u64 = 1;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for world in 0..2000 {
        let mut unit = Unit::new(ResourceName::new("site").unwrap());
        let _ = unit.step(Event::Configured(Some(Box::new(spec()))));
        let (mut open, mut barred, mut busy): (Vec<u64>, u64, Option<u64>) = (Vec::new(), 0, None);
        for number in 0..60 {
            let epoch = random(6) + 1;
            let event = match random(9) {
                0 | 1 => order(number, epoch, Act::Start),
                2 => {
                    barred = barred.max(epoch);
                    order(number, epoch, Act::Stop)
                }
                3 | 4 if !open.is_empty() => {
                    let at = usize::try_from(random(open.len() as u64)).unwrap();
                    let ticket = open.remove(at);
                    busy = busy.filter(|busy| *busy != ticket);
                    ended(
                        ticket,
                        [Outcome::Done, failed(), Outcome::TimedOut, Outcome::NotRunning][random(4) as usize]
                            .clone(),
                    )
                }
                7 => Event::Lost("x".into()),
                8 => Event::Regained,
                5 => Event::LetGo { session: session(1), how: Stop::AtOnce },
                _ => Event::Due,
            };
            for action in unit.step(event) {
                if let Action::Run { ticket, operation, held } = action {
                    assert!(busy.is_none(), "world {world}: two operations at a time");
                    assert!(operation != Operation::Start || held.epoch.0 > barred, "world {world}: barred");
                    busy = Some(ticket.0);
                    open.push(ticket.0);
                }
            }
            assert!(unit.inventory().closed.0 <= 6);
            let held = unit.held().is_some();
            let waits = matches!(unit.inventory().activity, Activity::Starting | Activity::Stopping);
            assert!(!waits || busy.is_some(), "world {world}: it waits for nothing");
            assert!(held || busy.is_none(), "world {world}: something is under way, and nobody knows");
        }
    }
}
