//! Agents of the Debian package `resource-agents`, unmodified.

mod support;
#[path = "support/undying.rs"]
mod undying;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heart_agents::{
    Agent, Job, Stop,
    ocf::{OCF_ROOT, OcfAgent},
    wait::Bell,
};
use heart_model::{
    AgentRef, BootId, Epoch, Guard, LogicalTimeouts, Outcome, ResourceName, ResourceSpec, Session,
    SessionNumber, Value, Wishes,
};

fn spec(kind: &str, parameters: &[(&str, &str)]) -> ResourceSpec {
    let wait = Duration::from_secs(20);
    ResourceSpec {
        agent: AgentRef::Ocf { provider: "heartbeat".into(), kind: kind.into() },
        parameters: parameters
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::Text((*value).to_owned())))
            .collect::<BTreeMap<_, _>>(),
        guard: Guard::Fence,
        timeouts: LogicalTimeouts { start: wait, stop: wait, status: wait, status_every: wait },
        failures_max: 3,
        failovers_max: heart_model::FAILOVERS,
        when_stuck: heart_model::WhenStuck::Report,
        needs: BTreeMap::new(),
        promotable: false,
        wishes: Wishes::default(),
    }
}

/// Runs one operation with this many milliseconds of time.
fn operate(
    agent: &OcfAgent,
    spec: &ResourceSpec,
    within: u64,
    what: fn(&OcfAgent, &Job<'_>) -> Outcome,
) -> Outcome {
    operate_until(agent, spec, within, &Bell::new().unwrap(), what)
}

fn resource() -> ResourceName {
    ResourceName::new(&format!("heart-test-{}", std::process::id())).unwrap()
}

/// The same until somebody rings.
fn operate_until(
    agent: &OcfAgent,
    spec: &ResourceSpec,
    within: u64,
    cancel: &Bell,
    what: fn(&OcfAgent, &Job<'_>) -> Outcome,
) -> Outcome {
    what(
        agent,
        &Job {
            resource: &resource(),
            spec,
            epoch: Epoch(1),
            session: Session { boot: BootId(1), number: SessionNumber(1) },
            deadline: Instant::now() + Duration::from_millis(within),
            cancel,
        },
    )
}

const START: fn(&OcfAgent, &Job<'_>) -> Outcome = |agent, job| agent.start(job);
const STOP: fn(&OcfAgent, &Job<'_>) -> Outcome = |agent, job| agent.stop(job, Stop::Orderly);
const ADOPT: fn(&OcfAgent, &Job<'_>) -> Outcome = |agent, job| agent.adopt(job);
const STATUS: fn(&OcfAgent, &Job<'_>) -> Outcome = |agent, job| agent.status(job);

/// The agent, if it is installed and may be run.
fn installed(kind: &str) -> Option<OcfAgent> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: OCF agents need root");
        return None;
    }
    let found = OcfAgent::new(OCF_ROOT.into(), "heartbeat", kind, "ada", std::env::temp_dir());
    found.map_err(|why| eprintln!("skipped: {why}")).ok()
}

fn goes_through_its_life(agent: &OcfAgent, spec: &ResourceSpec) {
    assert_eq!(operate(agent, spec, 20_000, STATUS), Outcome::NotRunning);
    assert_eq!(operate(agent, spec, 20_000, START), Outcome::Done);
    assert_eq!(operate(agent, spec, 20_000, START), Outcome::Done);
    assert_eq!(operate(agent, spec, 20_000, STATUS), Outcome::Done);
    assert_eq!(operate(agent, spec, 20_000, STOP), Outcome::Done);
    assert_eq!(operate(agent, spec, 20_000, STOP), Outcome::Done);
    assert_eq!(operate(agent, spec, 20_000, STATUS), Outcome::NotRunning);
}

#[test]
fn dummy_goes_through_its_life() {
    let Some(agent) = installed("Dummy") else { return };
    let dir = tempfile::tempdir().unwrap();
    goes_through_its_life(&agent, &spec("Dummy", &[("state", dir.path().join("state").to_str().unwrap())]));
    let info = agent.info().unwrap();
    assert!(info.parameters.iter().any(|parameter| parameter.name == "state"));
    assert_eq!(info.guard, Guard::Fence);
}

#[test]
fn anything_goes_through_its_life() {
    let Some(agent) = installed("anything") else { return };
    let dir = tempfile::tempdir().unwrap();
    let pidfile = dir.path().join("pid");
    let spec = spec(
        "anything",
        &[("binfile", "/bin/sleep"), ("cmdline_options", "71.01"), ("pidfile", pidfile.to_str().unwrap())],
    );
    goes_through_its_life(&agent, &spec);
    assert!(agent.info().unwrap().parameters.iter().any(|p| p.name == "binfile" && p.required));
}

#[test]
fn ipaddr2_puts_an_address_on_a_machine() {
    let Some(agent) = installed("IPaddr2") else { return };
    let Some((here, _there)) = support::World::pair() else { return };
    let spec = spec("IPaddr2", &[("ip", "10.9.0.150")]);
    let (inner, given) = (agent.clone(), spec.clone());
    assert_eq!(here.run(move || operate(&inner, &given, 20_000, START)), Outcome::Done);
    assert!(here.ip("addr show dev eth0").contains("10.9.0.150/24"));
    let (inner, given) = (agent.clone(), spec.clone());
    assert_eq!(here.run(move || operate(&inner, &given, 20_000, STATUS)), Outcome::Done);
    assert_eq!(here.run(move || operate(&agent, &spec, 20_000, STOP)), Outcome::Done);
    assert!(!here.ip("addr show dev eth0").contains("10.9.0.150"));
}

#[test]
fn a_misconfigured_agent_says_so() {
    let Some(agent) = installed("IPaddr2") else { return };
    // It finds this out before it touches anything.
    let outcome = operate(&agent, &spec("IPaddr2", &[("ip", "no address")]), 20_000, START);
    assert!(matches!(outcome, Outcome::Misconfigured(_)), "{outcome:?}");
    let missing =
        OcfAgent::new(OCF_ROOT.into(), "heartbeat", "NoSuchAgent", "ada", "/run".into()).unwrap_err();
    assert!(missing.contains("resource-agents"), "{missing}");
}

/// An agent of our own making, below a root of our own.
fn scripted(root: &Path, script: &str) -> OcfAgent {
    let folder = root.join("resource.d/test");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Agent"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(folder.join("Agent"), fs::Permissions::from_mode(0o755)).unwrap();
    OcfAgent::new(PathBuf::from(root), "test", "Agent", "ada", root.to_owned()).unwrap()
}

#[test]
fn an_agent_that_hangs_is_cut_with_all_it_started() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("pid");
    let script =
        format!("trap '' TERM; sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exec sleep 71.02'", file.display());
    let agent = scripted(root.path(), &script);
    let begun = Instant::now();
    assert_eq!(operate(&agent, &spec("Agent", &[]), 300, STATUS), Outcome::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let pid = fs::read_to_string(file).unwrap();
    let end = Instant::now() + Duration::from_secs(2);
    while fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| line.contains("sleep"))
    {
        assert!(Instant::now() < end, "it is still there");
    }
}

#[test]
fn an_agent_is_told_what_it_needs_and_may_leave_a_daemon() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("environment");
    let agent = scripted(root.path(), &format!("env >{}; sleep 3 & exit 0", out.display()));
    let begun = Instant::now();
    assert_eq!(operate(&agent, &spec("Agent", &[("color", "light blue")]), 10_000, START), Outcome::Done);
    assert!(begun.elapsed() < Duration::from_secs(2), "it does not wait for what runs in the background");
    let told = fs::read_to_string(out).unwrap();
    for line in [
        "OCF_RESKEY_color=light blue",
        "OCF_RA_VERSION_MAJOR=1",
        "OCF_RESOURCE_TYPE=Agent",
        "OCF_RESOURCE_PROVIDER=test",
        "OCF_RESKEY_CRM_meta_name=start",
        "HEART_EPOCH=1",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} in {told}");
    }
    assert!(
        told.contains("OCF_RESKEY_CRM_meta_timeout=9") && told.contains("OCF_RESOURCE_INSTANCE=heart-test-")
    );
}

/// An agent whose service ends only when it is killed, and what it does when it is asked to stop it while it runs.
/// Nobody may bury what is killed here, so that the agent has to look whether it is dead.
fn stubborn(root: &Path, when_it_runs: &str) -> OcfAgent {
    let script = format!(
        "cd {root}; alive() {{ grep -qs 'State:.[^Z]' /proc/$(cat pid 2>/dev/null)/status; }}
         case $1 in
         start) setsid sh -c 'trap \"\" TERM; echo $$ >pid.new; mv pid.new pid; while :; do sleep 71.03; done' &
                until alive; do :; done;;
         stop) echo asked >>stops; if alive; then {when_it_runs}; fi; exit 0;;
         monitor) if alive; then exit 0; else exit 7; fi;;
         esac",
        root = root.display()
    );
    scripted(root, &script)
}

/// Whether this machine can put what agents start into groups, and kill these.
fn has_groups() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let found = rustix::process::geteuid().is_root() && mounts.contains(" - cgroup2 ");
    if !found {
        eprintln!("skipped: no control groups");
    }
    found
}

/// The first rung of the ladder is the agent, the second its processes: a stop that fails costs no node before that.
#[track_caller]
fn is_stopped_at_the_second_attempt(when_it_runs: &str) {
    if !has_groups() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let agent = stubborn(root.path(), when_it_runs);
    let spec = spec("Agent", &[]);
    assert_eq!(operate(&agent, &spec, 20_000, START), Outcome::Done);
    assert_eq!(operate(&agent, &spec, 20_000, STATUS), Outcome::Done);
    assert_eq!(operate(&agent, &spec, 500, STOP), Outcome::Done);
    assert_eq!(operate(&agent, &spec, 20_000, STATUS), Outcome::NotRunning);
    assert_eq!(fs::read_to_string(root.path().join("stops")).unwrap(), "asked\nasked\n");
}

#[test]
fn what_an_agent_cannot_stop_is_killed_and_stopped_once_more() {
    is_stopped_at_the_second_attempt("exit 1");
}

#[test]
fn what_an_agent_does_not_stop_in_time_is_killed_and_stopped_once_more() {
    is_stopped_at_the_second_attempt("sleep 71.04");
}

#[test]
fn a_stop_that_fails_although_nothing_runs_has_failed() {
    let root = tempfile::tempdir().unwrap();
    let agent = scripted(root.path(), &format!("echo $1 >>{}/asked; [ $1 != stop ]", root.path().display()));
    let spec = spec("Agent", &[]);
    assert_eq!(operate(&agent, &spec, 20_000, START), Outcome::Done);
    let outcome = operate(&agent, &spec, 20_000, STOP);
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert_eq!(fs::read_to_string(root.path().join("asked")).unwrap(), "start\nstop\n");
}

/// What is written down of operations that have not ended.
fn begun(root: &Path) -> Option<String> {
    fs::read_to_string(root.join(format!("{}.begun", resource()))).ok()
}

/// Runs an operation that does not end by itself, and cuts it short when `until` has come; what both say.
fn cut<T>(
    agent: &OcfAgent,
    spec: &ResourceSpec,
    what: fn(&OcfAgent, &Job<'_>) -> Outcome,
    until: impl FnOnce() -> T,
) -> (Outcome, T) {
    let cancel = Bell::new().unwrap();
    std::thread::scope(|scope| {
        let operation = scope.spawn(|| operate_until(agent, spec, 60_000, &cancel, what));
        let found = until();
        cancel.ring();
        (operation.join().unwrap(), found)
    })
}

/// Whether this may make namespaces.
fn may_hold_processes() -> bool {
    let may = rustix::process::geteuid().is_root();
    if !may {
        eprintln!("skipped: this test makes process namespaces, which needs root");
    }
    may
}

/// An agent with a start that hangs in the kernel, and which says truthfully whether that has come to an end.
fn hangs_in(action: &str, root: &Path) -> OcfAgent {
    let hangs = undying::script(root);
    let script = format!(
        "case $1 in
         {action}) {hangs}; touch {0}/mounted;;
         monitor) [ -e {0}/mounted ] || exit 7;;
         esac
         exit 0",
        root.display()
    );
    scripted(root, &script)
}

/// What hangs in the kernel may finish later: a mount that was killed, when its storage is back.
#[test]
fn nothing_is_stopped_while_a_start_of_it_hangs() {
    if !may_hold_processes() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let agent = hangs_in("start", root.path());
    let spec = spec("Agent", &[]);
    let (outcome, held) = cut(&agent, &spec, START, || undying::Holder::hold(root.path()));
    assert_eq!(outcome, Outcome::TimedOut);
    assert!(held.is_there());
    for what in [STOP, START] {
        let outcome = operate(&agent, &spec, 20_000, what).to_string();
        let named = format!("`start`: process {} sh", held.first);
        assert!(outcome.contains(&named) && outcome.contains("switched off"), "{outcome}");
    }
    assert_eq!(operate(&agent, &spec, 20_000, ADOPT), Outcome::NotRunning);
    assert_eq!(operate(&agent, &spec, 20_000, STATUS), Outcome::NotRunning);
    held.release();
    assert_eq!(operate(&agent, &spec, 20_000, STOP), Outcome::Done);
    assert_eq!(begun(root.path()), None, "nothing of it is remembered");
}

/// It does not pile up: not even a question is asked for ever of what hangs.
#[test]
fn no_more_than_a_few_operations_of_a_resource_hang() {
    if !may_hold_processes() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let agent = hangs_in("monitor", root.path());
    let spec = spec("Agent", &[]);
    let (_, held) = cut(&agent, &spec, STATUS, || undying::Holder::hold(root.path()));
    let line = begun(root.path()).unwrap();
    assert!(line.starts_with("monitor "), "{line}");
    fs::write(root.path().join(format!("{}.begun", resource())), line.repeat(8)).unwrap();
    let outcome = operate(&agent, &spec, 20_000, STATUS).to_string();
    assert!(outcome.contains("8 earlier operations of it hang"), "{outcome}");
    held.release();
    fs::remove_file(root.path().join("first")).unwrap();
    let (outcome, _) = cut(&agent, &spec, STATUS, || undying::told(&root.path().join("first")));
    assert_eq!(outcome, Outcome::TimedOut, "it is asked again");
}

/// A service that is starting, of which its agent does not know yet.
#[test]
fn what_an_unfinished_start_left_is_killed_before_it_counts_as_stopped() {
    if !has_groups() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; case $1 in
         start) setsid sh -c 'echo $$ >new; mv new pid; exec sleep 71.08' & wait;;
         stop) echo asked >>stops;;
         monitor) exit 7;;
         esac
         exit 0",
        root.path().display()
    );
    let agent = scripted(root.path(), &script);
    let spec = spec("Agent", &[]);
    let line = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let (outcome, pid) = cut(&agent, &spec, START, || {
        let pid = undying::told(&root.path().join("pid"));
        while !line(&pid).starts_with("sleep") {
            std::thread::yield_now();
        }
        pid
    });
    assert_eq!(outcome, Outcome::TimedOut);
    assert!(line(&pid).starts_with("sleep"), "it is of no group that the start had");
    assert_eq!(operate(&agent, &spec, 20_000, STOP), Outcome::Done);
    assert_eq!(line(&pid), "", "it runs on");
    assert_eq!(fs::read_to_string(root.path().join("stops")).unwrap(), "asked\nasked\n");
}
