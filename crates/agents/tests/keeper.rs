//! The agent `process` and its keeper, with real processes.
//!
//! This program is also the keeper: `keeper PLAN`. So it has a `main` of its own.

#[path = "support/board.rs"]
mod board;
#[path = "support/runner.rs"]
mod runner;
#[path = "support/undying.rs"]
mod undying;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    io::Write as _,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use heart_agents::{
    Agent, Job, Stop, ToldLease, clock,
    process::{KeeperSetup, ProcessAgent, keeper::keeper_main},
    wait::{self, Bell},
};
use heart_model::{
    AgentRef, BootId, Epoch, Guard, LogicalTimeouts, Outcome, ResourceName, ResourceSpec, Session,
    SessionNumber, Value, Wishes,
};
use rustix::fs::{FileType, Mode};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "keeper") {
        return keeper_main(arguments, board::open);
    }
    let lists = env::args().any(|argument| argument == "--list");
    if !lists && !rustix::process::geteuid().is_root() {
        eprintln!("skipped: the keeper's tests need root, to contain what they start");
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, fn()); 17] = [
        ("a_service_starts_serves_and_stops", a_service_starts_serves_and_stops),
        ("nothing_outlives_the_lease", nothing_outlives_the_lease),
        ("a_stopped_keeper_dies_in_time", a_stopped_keeper_dies_in_time),
        ("a_lease_that_goes_on_keeps_it", a_lease_that_goes_on_keeps_it),
        ("without_a_lease_as_guard_it_lives_on", without_a_lease_as_guard_it_lives_on),
        ("a_deaf_service_is_killed", a_deaf_service_is_killed),
        ("a_service_says_when_it_is_ready", a_service_says_when_it_is_ready),
        ("output_is_kept_within_bounds", output_is_kept_within_bounds),
        ("nothing_of_a_service_outlives_its_stop", nothing_of_a_service_outlives_its_stop),
        ("what_cannot_be_killed_is_not_stopped", what_cannot_be_killed_is_not_stopped),
        ("who_cannot_look_does_not_say_that_it_is_stopped", who_cannot_look_does_not_say_that_it_is_stopped),
        ("what_nobody_wrote_down_is_found_by_its_group", what_nobody_wrote_down_is_found_by_its_group),
        ("a_keeper_is_written_down_before_it_begins", a_keeper_is_written_down_before_it_begins),
        (
            "a_keeper_whose_executor_dies_before_that_starts_nothing",
            a_keeper_whose_executor_dies_before_that_starts_nothing,
        ),
        ("a_service_is_written_down_before_it_begins", a_service_is_written_down_before_it_begins),
        (
            "what_a_keeper_wrote_down_as_it_was_killed_is_ended",
            what_a_keeper_wrote_down_as_it_was_killed_is_ended,
        ),
        ("a_keeper_that_dies_at_its_gate_is_said_so", a_keeper_that_dies_at_its_gate_is_said_so),
    ];
    runner::run_tests(&tests)
}

fn ms(wait: u64) -> Duration {
    Duration::from_millis(wait)
}

struct Scene {
    dir: tempfile::TempDir,
    agent: ProcessAgent,
    lease: Arc<ToldLease>,
    resource: ResourceName,
    cancel: Bell,
}

impl Scene {
    fn new() -> Scene {
        Scene::kept_by(vec![env::current_exe().unwrap().into(), "keeper".into()])
    }

    fn kept_by(command: Vec<OsString>) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let setup = KeeperSetup { command, run_dir: dir.path().to_owned(), board: dir.path().join("board") };
        let lease = Arc::new(ToldLease::default());
        let view = Arc::clone(&lease);
        let agent = ProcessAgent::new(setup, view);
        // Control groups have the names of resources, and other tests run at the same time.
        let resource = ResourceName::new(&format!("site-{}", std::process::id())).unwrap();
        let scene = Scene { dir, agent, lease, resource, cancel: Bell::new().unwrap() };
        scene.lease(10_000);
        scene
    }

    fn lease(&self, length: u64) {
        let until = clock::now().after(ms(length));
        self.lease.tell(until);
        board::tell(&self.dir.path().join("board"), until);
    }

    fn job<'a>(&'a self, spec: &'a ResourceSpec) -> Job<'a> {
        Job {
            resource: &self.resource,
            spec,
            epoch: Epoch(7),
            session: Session { boot: BootId(1), number: SessionNumber(1) },
            deadline: Instant::now() + ms(2000),
            cancel: &self.cancel,
        }
    }

    /// The file of the resource with this ending.
    fn file(&self, ending: &str) -> PathBuf {
        self.dir.path().join(format!("{}.{ending}", self.resource))
    }

    fn text(&self, ending: &str) -> String {
        fs::read_to_string(self.file(ending)).unwrap_or_default()
    }
}

fn spec(script: &str, guard: Guard, more: &[(&str, Value)]) -> ResourceSpec {
    let words = ["/bin/sh", "-c", script].map(|word| Value::Text(word.to_owned()));
    let mut parameters = BTreeMap::from([("command".to_owned(), Value::List(words.into()))]);
    parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    ResourceSpec {
        agent: AgentRef::BuiltIn("process".into()),
        parameters,
        guard,
        timeouts: LogicalTimeouts {
            start: ms(2000),
            stop: ms(1000),
            status: ms(1000),
            status_every: ms(1000),
        },
        failures_max: 3,
        failovers_max: heart_model::FAILOVERS,
        when_stuck: heart_model::WhenStuck::Report,
        needs: BTreeMap::new(),
        promotable: false,
        wishes: Wishes::default(),
    }
}

/// How many processes have this word in their command line.
fn alive(word: &str) -> usize {
    let is_it = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(is_it_a_process)
        .map(is_it)
        .filter(|yes| *yes)
        .count()
}

fn is_it_a_process(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit())
}

/// Waits until a condition holds, at most five seconds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + ms(5000);
    while !holds() {
        assert!(Instant::now() < end, "{what}: did not happen");
        std::thread::yield_now();
    }
}

fn a_service_starts_serves_and_stops() {
    for (guard, contain) in
        [(Guard::Lease, true), (Guard::Lease, false), (Guard::Fence, false), (Guard::None, true)]
    {
        let scene = Scene::new();
        let spec =
            spec("echo epoch $HEART_EPOCH; exec sleep 70.01", guard, &[("contain", Value::Boolean(contain))]);
        let job = scene.job(&spec);
        assert_eq!(scene.agent.status(&job), Outcome::NotRunning);
        let begun = Instant::now();
        assert_eq!(scene.agent.start(&job), Outcome::Done, "{guard:?} contained: {contain}");
        let started = begun.elapsed();
        assert_eq!(scene.agent.start(&job), Outcome::Done, "twice is harmless");
        assert_eq!(scene.agent.status(&job), Outcome::Done);
        eventually("its output", || scene.text("log") == "epoch 7\n");
        // The shell has written, and becomes the service in the next moment.
        eventually("the service itself", || alive("sleep\x0070.01") == 1);
        let begun = Instant::now();
        assert_eq!(scene.agent.stop(&job, Stop::Orderly), Outcome::Done);
        eprintln!("{guard:?}, contained {contain}: start {started:?}, stop {:?}", begun.elapsed());
        assert_eq!(alive("sleep\x0070.01"), 0);
        assert_eq!(scene.agent.stop(&job, Stop::AtOnce), Outcome::Done, "twice is harmless");
        assert_eq!(scene.agent.status(&job), Outcome::NotRunning);
    }
}

/// A service that does what it can to survive: a new session, and a parent that has gone.
const FUGITIVE: &str = "setsid sleep 70.02 & setsid sh -c 'sleep 70.02 & sleep 70.02' & sleep 70.02";

fn nothing_outlives_the_lease() {
    // A lease that runs out, and one that is taken away: that one is seen at the next look.
    for (length, taken_after) in [(400, None), (600, Some(0))] {
        let scene = Scene::new();
        scene.lease(length);
        let mut end = clock::now().after(ms(length));
        let spec = spec(FUGITIVE, Guard::Lease, &[]);
        let job = scene.job(&spec);
        assert_eq!(scene.agent.start(&job), Outcome::Done);
        let watch = scene.agent.watch(&job).unwrap();
        eventually("all of it", || alive("sleep\x0070.02") == 4);
        if let Some(left) = taken_after {
            scene.lease(left);
            end = clock::now().after(ms(length / 3));
        }
        assert!(wait::any(&[watch.as_fd()], Some(Instant::now() + ms(2000))).unwrap()[0]);
        let late = clock::now().longest_since(end);
        eprintln!("lease of {length} ms, taken: {}: dead {late:?} after the end", taken_after.is_some());
        assert!(late < ms(20));
        eventually("nothing is left", || alive("sleep\x0070.02") == 0);
        assert!(matches!(scene.agent.status(&job), Outcome::NotRunning | Outcome::Failed(_)));
        scene.lease(0);
        assert!(matches!(scene.agent.start(&job), Outcome::Refused(_)));
    }
}

fn a_stopped_keeper_dies_in_time() {
    let scene = Scene::new();
    // A tenth of what is left is kept for a clock that is slewed: long enough to be told from none.
    scene.lease(3000);
    let end = clock::now().after(ms(3000));
    let spec = spec(FUGITIVE, Guard::Lease, &[]);
    let job = scene.job(&spec);
    assert_eq!(scene.agent.start(&job), Outcome::Done);
    let watch = scene.agent.watch(&job).unwrap();
    let record: serde_json::Value = serde_json::from_str(&scene.text("process")).unwrap();
    for pid in [record["keeper"].as_i64().unwrap(), record["service"][0].as_i64().unwrap()] {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }
    assert!(!clock::now().may_have_reached(end), "this machine is too slow for the test");
    assert!(wait::any(&[watch.as_fd()], Some(Instant::now() + ms(5000))).unwrap()[0]);
    let early = clock::remaining(end);
    eprintln!("stopped with SIGSTOP, dead {early:?} before the end of the lease");
    assert!(!early.is_zero(), "a clock that runs a twelfth too slow would have been too late");
    eventually("nothing is left", || alive("sleep\x0070.02") == 0);
}

fn a_lease_that_goes_on_keeps_it() {
    let scene = Scene::new();
    scene.lease(100);
    let spec = spec("exec sleep 70.03", Guard::Lease, &[]);
    let job = scene.job(&spec);
    assert_eq!(scene.agent.start(&job), Outcome::Done);
    let watch = scene.agent.watch(&job).unwrap();
    for _ in 0..50 {
        scene.lease(100);
        assert!(!wait::any(&[watch.as_fd()], Some(Instant::now() + ms(20))).unwrap()[0], "it died");
    }
    assert!(wait::any(&[watch.as_fd()], Some(Instant::now() + ms(2000))).unwrap()[0]);
    eventually("nothing is left", || alive("sleep\x0070.03") == 0);
}

fn without_a_lease_as_guard_it_lives_on() {
    let scene = Scene::new();
    scene.lease(0);
    let spec = spec("exec sleep 70.04", Guard::Fence, &[]);
    let job = scene.job(&spec);
    assert_eq!(scene.agent.start(&job), Outcome::Done);
    let watch = scene.agent.watch(&job).unwrap();
    assert!(!wait::any(&[watch.as_fd()], Some(Instant::now() + ms(200))).unwrap()[0], "it died");
    let begun = Instant::now();
    assert_eq!(scene.agent.stop(&job, Stop::AtOnce), Outcome::Done);
    eprintln!("stopped at once in {:?}", begun.elapsed());
    assert_eq!(alive("sleep\x0070.04"), 0);
}

fn a_deaf_service_is_killed() {
    for contain in [true, false] {
        let scene = Scene::new();
        let more = [("contain", Value::Boolean(contain))];
        let spec = spec("trap '' TERM; while true; do sleep 70.05; done", Guard::Fence, &more);
        let job = scene.job(&spec);
        assert_eq!(scene.agent.start(&job), Outcome::Done);
        assert_eq!(scene.agent.stop(&job, Stop::Orderly), Outcome::Done);
        eventually("nothing is left", || alive("sleep\x0070.05") == 0);
    }
}

fn a_service_says_when_it_is_ready() {
    let scene = Scene::new();
    let file = scene.dir.path().join("here");
    let path = file.display();
    for (script, ready, wanted) in [
        (format!("sleep 0.1; touch {path}; exec sleep 70.06"), format!("file:{path}"), "done"),
        ("exec sleep 70.06".to_owned(), "file:/nowhere".to_owned(), "gave no answer in time"),
        ("exec sleep 70.06".to_owned(), "50ms".to_owned(), "done"),
        ("exit 3".to_owned(), "50ms".to_owned(), "did not become ready: it ended with exit code 3"),
        ("exec sleep 70.06".to_owned(), "soon".to_owned(), "`ready` is `soon`"),
    ] {
        let spec = spec(&script, Guard::Lease, &[("ready", Value::Text(ready.clone()))]);
        let job = scene.job(&spec);
        let outcome = scene.agent.start(&job).to_string();
        assert!(outcome.contains(wanted), "{ready}: {outcome}");
        let job = scene.job(&spec);
        assert_eq!(scene.agent.stop(&job, Stop::Orderly), Outcome::Done);
        assert_eq!(alive("sleep\x0070.06"), 0);
    }
    let spec = spec("exit 0", Guard::Fence, &[("user", Value::Text("nobody-at-all".into()))]);
    let outcome = scene.agent.start(&scene.job(&spec)).to_string();
    assert!(outcome.contains("no user `nobody-at-all`"), "{outcome}");
}

fn output_is_kept_within_bounds() {
    let scene = Scene::new();
    let more = [("log_size", Value::Integer(4096)), ("user", Value::Text("nobody".into()))];
    let spec = spec(
        "id -un; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo END; exec sleep 70.07",
        Guard::Fence,
        &more,
    );
    assert_eq!(scene.agent.start(&scene.job(&spec)), Outcome::Done);
    eventually("all of its output", || scene.text("log").ends_with("END\n"));
    let size = |ending: &str| fs::metadata(scene.file(ending)).unwrap().len();
    assert!(size("log") <= 4096 && size("log.1") <= 4096);
    assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::Orderly), Outcome::Done);
}

/// Whether this machine has control groups for what is not contained.
fn has_groups() -> bool {
    let found = fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - cgroup2 ");
    if !found {
        eprintln!("skipped: no control groups");
    }
    found
}

fn nothing_of_a_service_outlives_its_stop() {
    if !has_groups() {
        return;
    }
    for how in [Stop::Orderly, Stop::AtOnce] {
        let scene = Scene::new();
        let spec = spec(&FUGITIVE.replace("70.02", "70.10"), Guard::Fence, &[]);
        let job = scene.job(&spec);
        assert_eq!(scene.agent.start(&job), Outcome::Done);
        eventually("all of it", || alive("sleep\x0070.10") == 4);
        assert_eq!(scene.agent.stop(&job, how), Outcome::Done);
        assert_eq!(alive("sleep\x0070.10"), 0, "{how:?}");
    }
}

/// What waits for a device in the kernel may go on with it later.
fn what_cannot_be_killed_is_not_stopped() {
    for (contain, script) in
        [(false, "HANGS & exec sleep 70.08"), (false, "exec HANGS"), (true, "exec sleep 70.08")]
    {
        let scene = Scene::new();
        let script = script.replace("HANGS", &undying::script(scene.dir.path()));
        let spec = spec(&script, Guard::Fence, &[("contain", Value::Boolean(contain))]);
        assert_eq!(scene.agent.start(&scene.job(&spec)), Outcome::Done);
        let held = if contain {
            let record: serde_json::Value = serde_json::from_str(&scene.text("process")).unwrap();
            undying::Holder::hold_process(record["service"][0].as_i64().unwrap().try_into().unwrap())
        } else {
            undying::Holder::hold(scene.dir.path())
        };
        let outcome = scene.agent.stop(&scene.job(&spec), Stop::AtOnce).to_string();
        assert!(held.is_there());
        assert!(outcome.starts_with("failed: ") && outcome.contains("process "), "{script}: {outcome}");
        if contain {
            let outcome = scene.agent.start(&scene.job(&spec));
            assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        }
        held.release();
        assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::Orderly), Outcome::Done, "{script}");
    }
}

fn who_cannot_look_does_not_say_that_it_is_stopped() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let scene = Scene::new();
    let spec = spec("exec sleep 70.09", Guard::Fence, &[]);
    assert_eq!(scene.agent.start(&scene.job(&spec)), Outcome::Done);
    eventually("the service itself", || alive("sleep\x0070.09") == 1);
    let before = getrlimit(Resource::Nofile);
    for free in 0..3 {
        let lowest = std::os::fd::AsRawFd::as_raw_fd(&fs::File::open("/").unwrap());
        let current = Some(u64::try_from(lowest).unwrap() + free);
        setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
        let outcomes =
            [scene.agent.adopt(&scene.job(&spec)), scene.agent.stop(&scene.job(&spec), Stop::AtOnce)];
        setrlimit(Resource::Nofile, before).unwrap();
        let runs = alive("sleep\x0070.09") > 0;
        eprintln!("{free} descriptors: {outcomes:?}");
        assert!(!runs || matches!(outcomes[1], Outcome::Failed(_)), "{outcomes:?}");
        assert!(outcomes[0] != Outcome::NotRunning, "nobody can know that: {outcomes:?}");
        if free == 0 {
            assert!(runs, "it could not be killed");
        }
    }
    assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::AtOnce), Outcome::Done);
    assert_eq!(alive("sleep\x0070.09"), 0);
}

/// A keeper may be killed before it writes anything down, and what it had begun may be in its control group by then.
fn what_nobody_wrote_down_is_found_by_its_group() {
    if !has_groups() {
        return;
    }
    let scene = Scene::new();
    let spec = spec(&FUGITIVE.replace("70.02", "70.11"), Guard::Fence, &[]);
    assert_eq!(scene.agent.start(&scene.job(&spec)), Outcome::Done);
    eventually("all of it", || alive("sleep\x0070.11") == 4);
    fs::remove_file(scene.file("process")).unwrap();
    assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::Orderly), Outcome::Done);
    assert_eq!(alive("sleep\x0070.11"), 0);
}

fn number(value: &serde_json::Value) -> i32 {
    i32::try_from(value.as_i64().unwrap()).unwrap()
}

/// The executor may be killed at any moment: the next one has to find what it started.
fn a_keeper_is_written_down_before_it_begins() {
    // What a keeper hears first is that it may begin; this one looks what stands there by then.
    let script = "dd bs=1 count=1 >/dev/null 2>&1; cp \"${0%plan}process\" \"${0%plan}seen\"; echo $$ >\"${0%plan}pid\"; \
                  echo ready; exec sleep 70.12";
    let scene = Scene::kept_by(["/bin/sh", "-c", script].map(OsString::from).into());
    let spec = spec("exec sleep 70.12", Guard::Fence, &[]);
    assert_eq!(scene.agent.start(&scene.job(&spec)), Outcome::Done);
    let seen: serde_json::Value = serde_json::from_str(&scene.text("seen")).unwrap();
    assert_eq!(number(&seen["keeper"]).to_string(), scene.text("pid").trim());
    assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::AtOnce), Outcome::Done);
    assert_eq!(alive("sleep\x0070.12"), 0);
}

fn a_keeper_whose_executor_dies_before_that_starts_nothing() {
    let scene = Scene::new();
    let contain = [("contain", Value::Boolean(true))];
    let spec = spec("echo began; exec sleep 70.13", Guard::Fence, &contain);
    assert_eq!(scene.agent.start(&scene.job(&spec)), Outcome::Done);
    assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::Orderly), Outcome::Done);
    fs::remove_file(scene.file("log")).ok();
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("keeper").arg(scene.file("plan")).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut keeper = command.spawn().unwrap();
    drop(keeper.stdin.take());
    assert!(!keeper.wait().unwrap().success());
    assert_eq!((scene.text("log"), alive("sleep\x0070.13")), (String::new(), 0));
    assert_eq!(scene.agent.status(&scene.job(&spec)), Outcome::NotRunning);
}

/// Its keeper may be killed at any moment, and what it has started must be found.
fn a_service_is_written_down_before_it_begins() {
    for contain in [true, false] {
        let scene = Scene::new();
        let (record, seen) = (scene.file("process"), scene.file("seen"));
        let script = format!("cp {} {}; exec sleep 70.14", record.display(), seen.display());
        let spec = spec(&script, Guard::Fence, &[("contain", Value::Boolean(contain))]);
        assert_eq!(scene.agent.start(&scene.job(&spec)), Outcome::Done);
        eventually("the service itself", || alive("sleep\x0070.14") == 1);
        let seen: serde_json::Value = serde_json::from_str(&scene.text("seen")).unwrap();
        let now: serde_json::Value = serde_json::from_str(&scene.text("process")).unwrap();
        assert!(number(&seen["service"][0]) > 0);
        assert_eq!(seen["service"], now["service"], "contained: {contain}");
        assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::Orderly), Outcome::Done);
    }
}

fn fifo(path: &Path) {
    let made = rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
    made.unwrap();
}

/// It may be about to do so when somebody has read its record to stop it.
fn what_a_keeper_wrote_down_as_it_was_killed_is_ended() {
    let scene = Scene::new();
    let [mut keeper, mut service] =
        ["70.15", "70.16"].map(|time| Command::new("/bin/sleep").arg(time).spawn().unwrap());
    let id = |child: &Child| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        serde_json::json!([child.id(), stat.split(' ').nth(21).unwrap().parse::<u64>().unwrap()])
    };
    let [of_keeper, of_service] = [id(&keeper), id(&service)];
    let text = |service: serde_json::Value| {
        serde_json::json!({
            "keeper": of_keeper[0], "keeper_started": of_keeper[1], "service": service, "cgroup": null,
            "contained": true, "epoch": 7, "phase": "starting", "message": "",
        })
        .to_string()
    };
    let (before, after) = (text(serde_json::Value::Null), text(of_service));
    let (record, next) = (scene.file("process"), scene.file("next"));
    fifo(&record);
    let spec = spec("exec sleep 70.16", Guard::Fence, &[]);
    std::thread::scope(|scope| {
        // As long as it lives the record says nothing of a service, and whoever looks for it or ends it reads that.
        scope.spawn(|| {
            for looks_left in [1, 0] {
                let mut reader = fs::OpenOptions::new().write(true).open(&record).unwrap();
                match looks_left {
                    0 => fs::write(&next, &after).unwrap(),
                    _ => fifo(&next),
                }
                fs::rename(&next, &record).unwrap();
                reader.write_all(before.as_bytes()).unwrap();
            }
        });
        assert_eq!(scene.agent.stop(&scene.job(&spec), Stop::AtOnce), Outcome::Done);
    });
    let left = alive("sleep\x0070.15") + alive("sleep\x0070.16");
    for child in [&mut keeper, &mut service] {
        child.kill().ok();
        child.wait().ok();
    }
    assert_eq!(left, 0);
}

fn a_keeper_that_dies_at_its_gate_is_said_so() {
    // Nobody can write it down before it has left its gate.
    let script = "exec <&-; cat \"${0%plan}process.new\" >/dev/null";
    let scene = Scene::kept_by(["/bin/sh", "-c", script].map(OsString::from).into());
    fifo(&scene.file("process.new"));
    let spec = spec("exec sleep 70.17", Guard::Fence, &[]);
    let outcome = scene.agent.start(&scene.job(&spec));
    assert_eq!(outcome, Outcome::Failed("its keeper died while it started".to_owned()));
}
