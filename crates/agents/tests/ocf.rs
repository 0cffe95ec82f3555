//! Agents of the Debian package `resource-agents`, unmodified.

mod support;

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
    let cancel = Bell::new().unwrap();
    let resource = ResourceName::new(&format!("heart-test-{}", std::process::id())).unwrap();
    what(
        agent,
        &Job {
            resource: &resource,
            spec,
            epoch: Epoch(1),
            session: Session { boot: BootId(1), number: SessionNumber(1) },
            deadline: Instant::now() + Duration::from_millis(within),
            cancel: &cancel,
        },
    )
}

const START: fn(&OcfAgent, &Job<'_>) -> Outcome = |agent, job| agent.start(job);
const STOP: fn(&OcfAgent, &Job<'_>) -> Outcome = |agent, job| agent.stop(job, Stop::Orderly);
const STATUS: fn(&OcfAgent, &Job<'_>) -> Outcome = |agent, job| agent.status(job);

/// The agent, if it is installed and may be run.
fn installed(kind: &str) -> Option<OcfAgent> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: OCF agents need root");
        return None;
    }
    OcfAgent::new(OCF_ROOT.into(), "heartbeat", kind, "ada").map_err(|why| eprintln!("skipped: {why}")).ok()
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
    let missing = OcfAgent::new(OCF_ROOT.into(), "heartbeat", "NoSuchAgent", "ada").unwrap_err();
    assert!(missing.contains("resource-agents"), "{missing}");
}

/// An agent of our own making, below a root of our own.
fn scripted(root: &Path, script: &str) -> OcfAgent {
    let folder = root.join("resource.d/test");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Agent"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(folder.join("Agent"), fs::Permissions::from_mode(0o755)).unwrap();
    OcfAgent::new(PathBuf::from(root), "test", "Agent", "ada").unwrap()
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
