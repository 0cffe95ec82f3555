//! A whole executor, as a process of its own, ordered about by this one.
//!
//! This program is also the executor (`executor DIR`, its socket is standard input) and the keeper
//! (`keeper PLAN`), so it has a `main` of its own.

#[path = "../../agents/tests/support/board.rs"]
mod board;
#[path = "../../agents/tests/support/runner.rs"]
mod runner;
#[path = "../../agents/tests/support/mod.rs"]
mod support;
#[path = "../../agents/tests/support/undying.rs"]
mod undying;

use std::{
    collections::BTreeMap,
    env, fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use heart_agents::{
    LeaseView, clock, fence::Places, ocf::OCF_ROOT, process::keeper::keeper_main,
    tie_break::words::WitnessKey, wait,
};
use heart_daemon::{
    channel::{self, Channel, Incoming},
    executor::{self, Options},
};
use heart_model::{
    Act, Activity, AgentRef, BootId, Epoch, FenceAgent, FenceDevice, FenceOrder, FenceOutcome, FenceProof,
    FenceRight, Finding, FromExecutor, Guard, Inventory, LogIndex, LogicalTimeouts, NodeId, NodeName, Order,
    OrderId, Outcome, Power, Report, ResourceName, ResourceSpec, Session, SessionNumber, Standing, Term,
    TieBreakOrder, TieBreakOutcome, TieBreakPlace, TieBreakReport, TieBreakSpec, ToExecutor, Value, Wishes,
};
use support::World;

/// Where the power switch is.
const SUPPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../agents/tests/support");

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|first| first.to_str()) {
        Some("keeper") => return keeper_main(arguments, board::open),
        Some("executor") => {
            let [dir, ocf_root] = [(); 2].map(|()| PathBuf::from(arguments.next().unwrap()));
            return be_executor(&dir, ocf_root);
        }
        _ => {}
    }
    let lists = env::args().any(|argument| argument == "--list");
    if !lists && World::new().is_none() {
        return ExitCode::SUCCESS;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let tests: [(&str, fn()); 11] = [
        ("orders_are_obeyed_once", orders_are_obeyed_once),
        ("a_killed_executor_loses_nothing", a_killed_executor_loses_nothing),
        (
            "the_end_of_a_session_lets_go_of_what_a_lease_guards",
            the_end_of_a_session_lets_go_of_what_a_lease_guards,
        ),
        ("an_address_survives_its_executor", an_address_survives_its_executor),
        ("a_stopped_executor_cannot_keep_an_address", a_stopped_executor_cannot_keep_an_address),
        ("an_ocf_agent_is_run_and_asked", an_ocf_agent_is_run_and_asked),
        (
            "a_start_whose_executor_dies_does_not_go_on_behind_a_stop",
            a_start_whose_executor_dies_does_not_go_on_behind_a_stop,
        ),
        ("another_node_is_switched_off_once", another_node_is_switched_off_once),
        ("an_attempt_ends_with_its_executor", an_attempt_ends_with_its_executor),
        ("a_device_is_tried_and_nothing_comes_of_it", a_device_is_tried_and_nothing_comes_of_it),
        ("a_tie_break_is_changed_and_asked_anew_each_time", a_tie_break_is_changed_and_asked_anew_each_time),
    ];
    runner::run_tests(&tests)
}

fn be_executor(dir: &Path, ocf_root: PathBuf) -> ExitCode {
    let connection = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let lease: Arc<dyn LeaseView> = Arc::from(board::open(&dir.join("board")).unwrap());
    let options = Options {
        node: NodeName::new("ada").unwrap(),
        run_dir: dir.join("run"),
        keeper: vec![env::current_exe().unwrap().into(), "keeper".into()],
        board: dir.join("board"),
        lease: Some(lease),
        wake: None,
        ocf_root,
        fence: Places { programs: vec![SUPPORT.into()], external: SUPPORT.into() },
        cluster: "web".into(),
        disks: Vec::new(),
        witness_key: WitnessKey::derive(&[1; 32]),
    };
    match executor::run(connection, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("executor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ms(wait: u64) -> Duration {
    Duration::from_millis(wait)
}

/// Control groups have the names of resources, and other tests run at the same time.
fn name(text: &str) -> ResourceName {
    ResourceName::new(&format!("{text}-{}", std::process::id())).unwrap()
}

fn session(number: u64) -> Session {
    Session { boot: BootId(1), number: SessionNumber(number) }
}

fn spec(agent: &str, parameters: &[(&str, &str)], guard: Guard) -> ResourceSpec {
    let long = ms(10_000);
    ResourceSpec {
        agent: AgentRef::try_from(agent.to_owned()).unwrap(),
        parameters: parameters
            .iter()
            .map(|(key, text)| ((*key).to_owned(), Value::Text((*text).to_owned())))
            .collect::<BTreeMap<_, _>>(),
        guard,
        timeouts: LogicalTimeouts { start: long, stop: long, status: long, status_every: ms(300) },
        failures_max: 3,
        failovers_max: heart_model::FAILOVERS,
        when_stuck: heart_model::WhenStuck::Report,
        needs: BTreeMap::new(),
        promotable: false,
        wishes: Wishes::default(),
    }
}

/// The core's side, and the guardian's: it keeps the executor's end for the next one.
struct Core {
    dir: tempfile::TempDir,
    ocf_root: PathBuf,
    world: World,
    channel: Channel,
    kept: OwnedFd,
    executor: Child,
    resources: Vec<(ResourceName, ResourceSpec)>,
    orders: u64,
    pending: Vec<FromExecutor>,
}

impl Core {
    fn new(world: World, resources: &[(&str, ResourceSpec)]) -> Core {
        Core::with_agents_in(Path::new(OCF_ROOT), world, resources)
    }

    fn with_agents_in(ocf_root: &Path, world: World, resources: &[(&str, ResourceSpec)]) -> Core {
        let dir = tempfile::tempdir().unwrap();
        board::tell(&dir.path().join("board"), clock::now().after(ms(10_000)));
        let (ours, kept) = channel::pair().unwrap();
        let ocf_root = ocf_root.to_owned();
        let executor = Core::spawn(&world, dir.path(), &ocf_root, &kept);
        let resources = resources.iter().map(|(text, spec)| (name(text), spec.clone())).collect();
        let channel = Channel::new(ours).unwrap();
        let mut core =
            Core { dir, ocf_root, world, channel, kept, executor, resources, orders: 0, pending: Vec::new() };
        core.greet();
        // The answer to our own hello.
        core.hears_inventory();
        core
    }

    fn spawn(world: &World, dir: &Path, ocf_root: &Path, kept: &OwnedFd) -> Child {
        let (dir, ocf_root, end) = (dir.to_owned(), ocf_root.to_owned(), kept.try_clone().unwrap());
        world.run(move || {
            let mut command = Command::new(env::current_exe().unwrap());
            command.arg("executor").arg(dir).arg(ocf_root).stdin(Stdio::from(end)).spawn().unwrap()
        })
    }

    /// Waits for the executor's hello and tells it what there is.
    fn greet(&mut self) {
        let end = Instant::now() + ms(5000);
        while !self.receive(end) {}
        let resources = self.resources.clone();
        self.channel.send(&ToExecutor::Configure { resources }).unwrap();
    }

    /// Takes what comes; whether a hello was among it.
    fn receive(&mut self, end: Instant) -> bool {
        assert!(wait::any(&[self.channel.as_fd()], Some(end)).unwrap()[0], "the executor says nothing");
        let mut hello = false;
        for incoming in self.channel.receive().unwrap() {
            match incoming {
                Incoming::Hello => hello = true,
                Incoming::Message(message) => self.pending.push(message),
            }
        }
        hello
    }

    /// Waits for the first message that `pick` takes; the others wait for their turn.
    fn expect<T>(&mut self, what: &str, pick: impl Fn(&FromExecutor) -> Option<T>) -> T {
        let end = Instant::now() + ms(10_000);
        loop {
            if let Some((at, found)) =
                self.pending.iter().enumerate().find_map(|(at, message)| Some((at, pick(message)?)))
            {
                self.pending.remove(at);
                return found;
            }
            assert!(Instant::now() < end, "{what}: did not come");
            self.receive(end);
        }
    }

    fn order(&mut self, resource: &str, number: u64, epoch: u64, act: Act) -> (OrderId, Instant) {
        self.order_in(session(1), resource, number, epoch, act)
    }

    fn order_in(
        &mut self,
        session: Session,
        resource: &str,
        number: u64,
        epoch: u64,
        act: Act,
    ) -> (OrderId, Instant) {
        let id = OrderId { term: Term(1), number };
        let order = Order {
            id,
            commit: LogIndex(0),
            node: NodeId(1),
            session,
            resource: name(resource),
            epoch: Epoch(epoch),
            act,
        };
        let now = Instant::now();
        self.channel.send(&ToExecutor::Obey(order)).unwrap();
        (id, now)
    }

    fn report(&mut self, id: OrderId) -> Report {
        self.expect("a report", |message| match message {
            FromExecutor::Report(report) if report.id == id => Some(report.clone()),
            _ => None,
        })
    }

    /// Orders, and waits for the report.
    fn does(&mut self, resource: &str, epoch: u64, act: Act) -> (Outcome, Duration) {
        self.orders += 1;
        let (id, begun) = self.order(resource, 1000 + self.orders, epoch, act);
        (self.report(id).outcome, begun.elapsed())
    }

    fn inventory(&mut self) -> Vec<Inventory> {
        self.channel.send(&ToExecutor::Inventory).unwrap();
        self.hears_inventory()
    }

    fn hears_inventory(&mut self) -> Vec<Inventory> {
        self.expect("an inventory", |message| match message {
            FromExecutor::Inventory(all) => Some(all.clone()),
            _ => None,
        })
    }

    fn changed(&mut self, resource: &str) -> Activity {
        let resource = name(resource);
        self.expect("a change", |message| match message {
            FromExecutor::Changed(inventory) if inventory.resource == resource => {
                Some(inventory.activity.clone())
            }
            _ => None,
        })
    }

    /// Kills the executor and starts the next one on the same socket.
    fn replace_executor(&mut self) {
        self.executor.kill().unwrap();
        self.executor.wait().unwrap();
        self.executor = Core::spawn(&self.world, self.dir.path(), &self.ocf_root, &self.kept);
        self.greet();
    }

    /// The numbers of the keeper and of the service of a process.
    fn process(&self, resource: &str) -> (i32, i32) {
        let text = fs::read(self.dir.path().join(format!("run/{}.process", name(resource)))).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let number = |value: &serde_json::Value| i32::try_from(value.as_i64().unwrap()).unwrap();
        (number(&record["keeper"]), number(&record["service"][0]))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.executor.kill().ok();
        self.executor.wait().ok();
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn service(guard: Guard) -> ResourceSpec {
    spec("process", &[("command", "/bin/sleep 72.01")], guard)
}

fn orders_are_obeyed_once() {
    let mut core = Core::new(World::new().unwrap(), &[("site", service(Guard::Lease))]);
    let (first, _) = core.order("site", 1, 5, Act::Start);
    assert_eq!(core.report(first).outcome, Outcome::Done);
    let before = core.process("site");
    let (again, _) = core.order("site", 1, 5, Act::Start);
    assert_eq!(core.report(again).outcome, Outcome::Done);
    assert_eq!(core.process("site"), before, "nothing was started again");
    let killed = Instant::now();
    kill(before.1);
    assert!(matches!(core.changed("site"), Activity::Failed(_)));
    eprintln!("service killed, core knows after {:?}", killed.elapsed());
    assert!(killed.elapsed() < ms(100));
    assert!(matches!(core.does("site", 5, Act::Start).0, Outcome::Refused(_)), "it has to be stopped first");
    assert_eq!(core.does("site", 5, Act::Stop).0, Outcome::Done);
    assert!(matches!(core.does("site", 5, Act::Start).0, Outcome::Refused(_)), "epoch 5 is closed");
    let (outcome, took) = core.does("site", 6, Act::Start);
    assert_eq!(outcome, Outcome::Done);
    eprintln!("process: start {took:?}, stop {:?}", core.does("site", 6, Act::Stop).1);
    let inventory = core.inventory();
    assert_eq!((inventory[0].activity.clone(), inventory[0].closed), (Activity::Stopped, Epoch(6)));
    core.replace_executor();
    assert!(matches!(core.does("site", 6, Act::Start).0, Outcome::Refused(_)), "also for the next executor");
}

fn a_killed_executor_loses_nothing() {
    let mut core =
        Core::new(World::new().unwrap(), &[("site", service(Guard::Lease)), ("db", service(Guard::Fence))]);
    for resource in ["site", "db"] {
        assert_eq!(core.does(resource, 5, Act::Start).0, Outcome::Done);
    }
    let before = (core.process("site"), core.process("db"));
    core.replace_executor();
    for resource in ["site", "db"] {
        assert_eq!(core.changed(resource), Activity::Running);
    }
    assert_eq!((core.process("site"), core.process("db")), before, "nothing was touched");
    assert_eq!(core.does("site", 5, Act::Start).0, Outcome::Done, "it runs");
    kill(before.0.1);
    assert!(matches!(core.changed("site"), Activity::Failed(_)), "a death is noticed by the next executor");
    // One dies while nobody is there to see it.
    core.executor.kill().unwrap();
    core.executor.wait().unwrap();
    kill(before.1.0);
    core.replace_executor();
    // Dying takes a moment: the next executor may still find it.
    let first = core.changed("db");
    assert!(matches!(first, Activity::Failed(_)) || matches!(core.changed("db"), Activity::Failed(_)));
    for resource in ["site", "db"] {
        assert_eq!(core.does(resource, 5, Act::Stop).0, Outcome::Done);
    }
}

fn the_end_of_a_session_lets_go_of_what_a_lease_guards() {
    let mut core =
        Core::new(World::new().unwrap(), &[("site", service(Guard::Lease)), ("db", service(Guard::Fence))]);
    for resource in ["site", "db"] {
        assert_eq!(core.does(resource, 5, Act::Start).0, Outcome::Done);
    }
    for (everything, db) in [(false, Activity::Running), (true, Activity::Stopped)] {
        let begun = Instant::now();
        core.channel.send(&ToExecutor::LetGo { session: session(1), everything }).unwrap();
        core.expect("let go", |message| match message {
            FromExecutor::LetGo { session: gone } => (*gone == session(1)).then_some(()),
            _ => None,
        });
        eprintln!("let go, everything: {everything}: {:?}", begun.elapsed());
        let inventory = core.inventory();
        let activity = |resource: &str| {
            inventory.iter().find(|one| one.resource == name(resource)).unwrap().activity.clone()
        };
        assert_eq!((activity("site"), activity("db")), (Activity::Stopped, db));
    }
    assert!(matches!(core.does("site", 6, Act::Start).0, Outcome::Refused(_)), "its session is over");
    core.replace_executor();
    assert!(matches!(core.does("site", 6, Act::Start).0, Outcome::Refused(_)), "also for the next executor");
    let (id, _) = core.order_in(session(2), "site", 1, 6, Act::Start);
    assert_eq!(core.report(id).outcome, Outcome::Done, "the next session begins");
    assert_eq!(core.does("site", 6, Act::Stop).0, Outcome::Done);
}

fn an_address_survives_its_executor() {
    let (here, there) = World::pair().unwrap();
    let mut core = Core::new(here, &[("ip", spec("ip", &[("address", "10.9.0.100")], Guard::Lease))]);
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for epoch in 1..=30 {
        board::tell(&core.dir.path().join("board"), clock::now().after(ms(10_000)));
        let (started, stopped) = (core.does("ip", epoch, Act::Start), core.does("ip", epoch, Act::Stop));
        assert_eq!((started.0, stopped.0), (Outcome::Done, Outcome::Done));
        starts.push(started.1);
        stops.push(stopped.1);
    }
    starts.sort();
    stops.sort();
    eprintln!(
        "ip, order to report: start p50 {:?} max {:?}, stop p50 {:?} max {:?}",
        starts[15], starts[29], stops[15], stops[29]
    );
    assert_eq!(core.does("ip", 31, Act::Start).0, Outcome::Done);
    assert!(there.reaches(&core.world, "10.9.0.100"));
    core.replace_executor();
    assert_eq!(core.changed("ip"), Activity::Running);
    assert!(there.reaches(&core.world, "10.9.0.100"), "it is still there");
    core.world.ip("addr del 10.9.0.100/24 dev eth0");
    let end = Instant::now() + ms(2000);
    while !there.reaches(&core.world, "10.9.0.100") {
        assert!(Instant::now() < end, "the next executor puts it back");
    }
    core.world.ip("link set eth0 down");
    assert!(matches!(core.changed("ip"), Activity::Failed(_)));
    core.world.ip("link set eth0 up");
    assert_eq!(core.changed("ip"), Activity::Running);
    assert_eq!(core.does("ip", 31, Act::Stop).0, Outcome::Done);
}

fn a_stopped_executor_cannot_keep_an_address() {
    use rustix::process::{Pid, Signal, kill_process};
    let (here, there) = World::pair().unwrap();
    let mut core = Core::new(here, &[("ip", spec("ip", &[("address", "10.9.0.100")], Guard::Lease))]);
    let lease = |core: &Core, length| {
        let until = clock::now().after(ms(length));
        board::tell(&core.dir.path().join("board"), until);
        until
    };
    let until = lease(&core, 1500);
    assert_eq!(core.does("ip", 1, Act::Start).0, Outcome::Done);
    assert!(there.reaches(&core.world, "10.9.0.100"));
    let executor = Pid::from_child(&core.executor);
    kill_process(executor, Signal::STOP).unwrap();
    // No heartbeats either: all of this node is stopped.
    let never = wait::Bell::new().unwrap();
    let end = Instant::now() + clock::now().at_most_until(until);
    wait::any(&[never.as_fd()], Some(end)).unwrap();
    assert!(clock::now().has_surely_reached(until));
    assert!(!there.reaches(&core.world, "10.9.0.100"), "it is silent");
    kill_process(executor, Signal::CONT).unwrap();
    assert!(!there.reaches(&core.world, "10.9.0.100"), "and stays so");
    assert_eq!(core.does("ip", 1, Act::Stop).0, Outcome::Done);
}

fn an_ocf_agent_is_run_and_asked() {
    if !Path::new(OCF_ROOT).join("resource.d/heartbeat/Dummy").exists() {
        eprintln!("skipped: the Debian package resource-agents is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let dummy = spec("ocf:heartbeat:Dummy", &[("state", state.to_str().unwrap())], Guard::Fence);
    let mut core = Core::new(World::new().unwrap(), &[("dummy", dummy)]);
    assert_eq!(core.does("dummy", 5, Act::Start).0, Outcome::Done);
    core.replace_executor();
    assert_eq!(core.changed("dummy"), Activity::Running);
    fs::remove_file(state).unwrap();
    assert!(matches!(core.changed("dummy"), Activity::Failed(_)), "the second opinion notices");
    assert_eq!(core.does("dummy", 5, Act::Stop).0, Outcome::Done);
}

/// Nobody hears any more how it ends, and its agent says that nothing runs as long as it has not.
fn a_start_whose_executor_dies_does_not_go_on_behind_a_stop() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("resource.d/test");
    fs::create_dir_all(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\ncd {}\ncase $1 in\n\
         start) sh -c 'echo $$ >new; mv new pid; while [ ! -e go ]; do sleep 0.01; done; touch mounted';;\n\
         monitor) [ -e mounted ] || exit 7;;\nesac\nexit 0\n",
        root.path().display()
    );
    fs::write(folder.join("slow"), script).unwrap();
    fs::set_permissions(folder.join("slow"), fs::Permissions::from_mode(0o755)).unwrap();
    let slow = spec("ocf:test:slow", &[], Guard::Fence);
    let mut core = Core::with_agents_in(root.path(), World::new().unwrap(), &[("disk", slow)]);
    core.order("disk", 1, 5, Act::Start);
    let pid = undying::told(&root.path().join("pid"));
    core.replace_executor();
    assert!(matches!(core.changed("disk"), Activity::Failed(_)));
    assert_eq!(core.does("disk", 5, Act::Stop).0, Outcome::Done);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")), "it runs on, and may mount");
    assert_eq!(core.inventory()[0].activity, Activity::Stopped);
    assert_eq!(core.does("disk", 6, Act::Stop).0, Outcome::Done);
}

/// An attempt at ada, with the switch whose outlets are files in `dir`.
fn attempt(dir: &Path, attempt: u32, mode: &str) -> FenceOrder {
    let told = [("dir", dir.to_str().unwrap()), ("password", "open sesame"), ("mode", mode)];
    let text = |(name, text): (&str, &str)| (name.to_owned(), Value::Text(text.to_owned()));
    let device = FenceDevice {
        agent: FenceAgent::parse("fence_switch").unwrap(),
        parameters: told.into_iter().map(text).collect(),
        delay: Duration::ZERO,
        timeout: ms(10_000),
        timeout_is_least: false,
    };
    FenceOrder {
        node: NodeName::new("ada").unwrap(),
        boot: BootId(7),
        attempt,
        devices: vec![device],
        act: heart_model::FenceAct::Off,
        right: FenceRight::Agreed,
        session: None,
        hesitation: Duration::ZERO,
        addresses: Vec::new(),
    }
}

impl Core {
    fn fence(&mut self, order: &FenceOrder) {
        self.channel.send(&ToExecutor::Fence(order.clone())).unwrap();
    }

    fn fenced(&mut self, attempt: u32) -> FenceOutcome {
        self.expect("the end of an attempt", |message| match message {
            FromExecutor::Fenced(report) if report.attempt == attempt => Some(report.outcome.clone()),
            _ => None,
        })
    }
}

fn another_node_is_switched_off_once() {
    let outlets = tempfile::tempdir().unwrap();
    fs::write(outlets.path().join("ada"), "on\n").unwrap();
    let mut core = Core::new(World::new().unwrap(), &[]);
    let (first, second) = (attempt(outlets.path(), 1, "refuses"), attempt(outlets.path(), 2, "good"));
    core.fence(&first);
    core.fence(&second);
    core.fence(&second);
    assert!(matches!(core.fenced(1), FenceOutcome::Failed { message } if message.contains("busy")));
    assert_eq!(core.fenced(2), FenceOutcome::Off);
    core.fence(&second);
    assert_eq!(core.fenced(2), FenceOutcome::Off);
    let log = fs::read_to_string(outlets.path().join("log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.starts_with("off ada")).count(), 2, "once each: {log}");
    core.replace_executor();
    core.fence(&second);
    assert_eq!(core.fenced(2), FenceOutcome::Off, "the next executor knows nothing of it, and does it again");
}

fn a_device_is_tried_and_nothing_comes_of_it() {
    let outlets = tempfile::tempdir().unwrap();
    fs::write(outlets.path().join("ada"), "on\n").unwrap();
    let FenceOrder { node, mut devices, .. } = attempt(outlets.path(), 1, "good");
    let proof = FenceProof { node, device: devices.remove(0) };
    let mut core = Core::new(World::new().unwrap(), &[]);
    core.channel.send(&ToExecutor::Prove(proof.clone())).unwrap();
    let found = core.expect("what was found", |message| match message {
        FromExecutor::Proved { proof: of, finding } => (*of == proof).then(|| finding.clone()),
        _ => None,
    });
    assert_eq!(found, Some(Finding::Ready(Power::On)));
    let log = fs::read_to_string(outlets.path().join("log")).unwrap();
    assert_eq!(log.trim(), "status ada");
}

fn a_tie_break_is_changed_and_asked_anew_each_time() {
    let shared = tempfile::tempdir().unwrap();
    let path = shared.path().join("web").to_str().unwrap().to_owned();
    let spec = TieBreakSpec { place: TieBreakPlace::File { path }, timeout: ms(10_000) };
    let set = Standing { era: 1, parent: None, term: 1, configuration: 1, named: Vec::new() };
    let order = TieBreakOrder { number: 1, spec, cluster: "web".into(), instead_of: None, set };
    let mut core = Core::new(World::new().unwrap(), &[]);
    let mut tell = || {
        core.channel.send(&ToExecutor::TieBreak(Box::new(order.clone()))).unwrap();
        core.expect("what came of it", |message| match message {
            FromExecutor::TieBroken(TieBreakReport { number: 1, outcome }) => Some(outcome.clone()),
            _ => None,
        })
    };
    assert_eq!(tell(), TieBreakOutcome::Set);
    assert_eq!(tell(), TieBreakOutcome::Set);
    let theirs = Standing { era: 2, ..order.set.clone() };
    fs::write(shared.path().join("web.2"), serde_json::to_vec(&theirs).unwrap()).unwrap();
    assert_eq!(tell(), TieBreakOutcome::Other(Some(theirs)), "the other half was faster since");
}

fn an_attempt_ends_with_its_executor() {
    let outlets = tempfile::tempdir().unwrap();
    let mut core = Core::new(World::new().unwrap(), &[]);
    core.fence(&attempt(outlets.path(), 1, "dead"));
    // It says that it hangs by this file.
    let (lingers, end) = (outlets.path().join("lingers"), Instant::now() + ms(10_000));
    while !lingers.exists() {
        assert!(Instant::now() < end, "the switch was not told");
        core.inventory();
    }
    let agent = fs::read_to_string(format!("/proc/{}/stat", fs::read_to_string(&lingers).unwrap().trim()));
    let parent: i32 = agent.unwrap().split(' ').nth(3).unwrap().parse().unwrap();
    core.replace_executor();
    let end = Instant::now() + ms(10_000);
    let line = || fs::read_to_string(format!("/proc/{parent}/cmdline"));
    while line().is_ok_and(|line| line.contains("fence_switch")) {
        assert!(Instant::now() < end, "the program goes on without its executor");
        core.inventory();
    }
    kill(fs::read_to_string(&lingers).unwrap().trim().parse().unwrap());
}
