//! Attempts to switch nodes off, by a power switch whose outlets are files, and by programs of Debian as they are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use heart_agents::{
    fence::{Fencing, Places},
    wait::Bell,
};
use heart_model::{
    BootId, FenceAct, FenceAgent, FenceDevice, FenceOrder, FenceOutcome, FenceRight, Finding, NodeName,
    Power, Value,
};

/// Longest that a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder with the outlets of a switch.
struct Rack {
    dir: tempfile::TempDir,
    fencing: Fencing,
}

impl Rack {
    fn new() -> Rack {
        let dir = tempfile::tempdir().unwrap();
        for outlet in ["ada", "neighbour", "3", "4"] {
            fs::write(dir.path().join(outlet), "on\n").unwrap();
        }
        fs::write(dir.path().join("secret"), "open sesame\nand more\n").unwrap();
        // Where they are: one that was just written may be busy while another test starts a program.
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support");
        let places =
            Places { programs: vec!["/nowhere".into(), support.clone()], external: support.join("external") };
        Rack { dir, fencing: Fencing::new(places) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn device(&self, agent: &str, told: &[(&str, &str)]) -> FenceDevice {
        let dir = ("dir", self.dir.path().to_str().unwrap());
        device(agent, &[&[dir], told].concat())
    }

    /// The switch as it should be used, and what else it is told.
    fn switch(&self, told: &[(&str, &str)]) -> FenceDevice {
        let secret = self.path("secret");
        self.device("fence_switch", &[&[("password_file", secret.to_str().unwrap())], told].concat())
    }

    /// Switches ada off.
    fn off(&self, devices: &[FenceDevice]) -> FenceOutcome {
        self.fencing.carry_out(&order("ada", devices), &Bell::new().unwrap(), &|| true)
    }

    /// Why ada could not be switched off.
    fn refuses(&self, devices: &[FenceDevice]) -> String {
        match self.off(devices) {
            FenceOutcome::Silent => panic!("no program says that"),
            FenceOutcome::Off | FenceOutcome::ShutOut | FenceOutcome::On => panic!("it is said to be done"),
            FenceOutcome::Failed { message } => message,
        }
    }

    fn prove(&self, device: &FenceDevice) -> Finding {
        self.fencing.prove(device, &node("ada"), &Bell::new().unwrap())
    }

    fn outlet(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap().trim().to_owned()
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Waits for the end of what the switch has left.
    fn nothing_lingers(&self) {
        let pid = fs::read_to_string(self.path("lingers")).unwrap();
        let end = Instant::now() + PATIENCE;
        let line = || fs::read_to_string(format!("/proc/{}/cmdline", pid.trim()));
        while line().is_ok_and(|line| line.contains("73.01")) {
            assert!(Instant::now() < end, "it is still there");
            thread::yield_now();
        }
    }
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn device(agent: &str, told: &[(&str, &str)]) -> FenceDevice {
    let text = |(name, text): &(&str, &str)| ((*name).to_owned(), Value::Text((*text).to_owned()));
    FenceDevice {
        agent: FenceAgent::parse(agent).unwrap(),
        parameters: told.iter().map(text).collect(),
        delay: Duration::ZERO,
        timeout: Duration::from_secs(20),
        timeout_is_least: false,
    }
}

fn within(timeout: u64, device: FenceDevice) -> FenceDevice {
    FenceDevice { timeout: Duration::from_millis(timeout), ..device }
}

fn order(name: &str, devices: &[FenceDevice]) -> FenceOrder {
    FenceOrder {
        node: node(name),
        boot: BootId(7),
        attempt: 1,
        devices: devices.to_vec(),
        act: FenceAct::Off,
        right: FenceRight::Agreed,
        session: None,
        hesitation: Duration::ZERO,
        addresses: Vec::new(),
    }
}

#[test]
fn what_was_told_and_says_so_is_off() {
    let rack = Rack::new();
    assert_eq!(rack.off(&[rack.switch(&[])]), FenceOutcome::Off);
    assert_eq!([rack.outlet("ada"), rack.outlet("neighbour")], ["off", "on"]);
    assert_eq!(rack.log(), ["off ada", "status ada"], "the outlet has the node's name if none is written");
    let environment = fs::read_to_string(rack.path("environment")).unwrap();
    let names: Vec<&str> =
        environment.lines().filter_map(|line| line.split_once('=')).map(|one| one.0).collect();
    for name in names {
        assert!(
            ["LC_ALL", "PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name),
            "{name} is none of its business"
        );
    }
    assert_eq!(rack.off(&[rack.switch(&[("plug", "3")])]), FenceOutcome::Off);
    assert_eq!(rack.outlet("3"), "off");
}

/// The first level of which all say afterwards that the node has power is enough.
#[test]
fn a_node_gets_power_again() {
    let rack = Rack::new();
    let on = |first: &[FenceDevice], other_levels: &[Vec<FenceDevice>]| {
        let act = FenceAct::On { other_levels: other_levels.to_vec() };
        rack.fencing.carry_out(&FenceOrder { act, ..order("ada", first) }, &Bell::new().unwrap(), &|| false)
    };
    assert_eq!(rack.off(&[rack.switch(&[])]), FenceOutcome::Off);
    assert_eq!(on(&[rack.switch(&[])], &[]), FenceOutcome::On, "no right is needed");
    assert_eq!(rack.outlet("ada"), "on");
    let strange = [rack.switch(&[("plug", "9")])];
    assert_eq!(on(&strange, &[vec![rack.switch(&[("plug", "3")])]]), FenceOutcome::On);
    let lies = [within(1500, rack.switch(&[("mode", "lying")]))];
    assert_eq!(rack.off(&[rack.switch(&[])]), FenceOutcome::Off);
    let FenceOutcome::Failed { message } = on(&strange, &[lies.to_vec()]) else { panic!() };
    for part in ["told to switch ada on", "no outlet 9", "said that it had switched ada on", "still off"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_file_is_the_agents_own_if_it_says_so() {
    let rack = Rack::new();
    assert_eq!(rack.off(&[rack.switch(&[("identity_file", "/root/key")])]), FenceOutcome::Off);
    assert_eq!(rack.log(), ["off ada /root/key", "status ada /root/key"]);
}

#[test]
fn a_slow_device_is_asked_until_it_is_off() {
    let rack = Rack::new();
    assert_eq!(rack.off(&[rack.switch(&[("mode", "slow")])]), FenceOutcome::Off);
    assert_eq!(rack.log().iter().filter(|line| *line == "status ada").count(), 4);
}

#[test]
fn what_is_still_on_is_not_off_whatever_was_said() {
    for mode in ["lying", "neighbour"] {
        let rack = Rack::new();
        let message = rack.refuses(&[within(1500, rack.switch(&[("mode", mode)]))]);
        for part in ["fence_switch said that it had switched ada off", "still on", "1.5s", "--action=status"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(rack.log().len() > 2, "it is asked more than once");
    }
}

/// But no longer than whoever closes the right to fire reckons with.
#[test]
fn who_says_that_it_takes_longer_is_given_longer_unless_the_file_says() {
    let rack = Rack::new();
    for (plug, timeout_is_least, given) in
        [("3", false, "its 1s"), ("3", true, "its 2s"), ("ada", true, "its 2s")]
    {
        let told = [("mode", "lying"), ("plug", plug), ("password", "open sesame")];
        let told = if plug == "ada" { &told[..1] } else { &told[..] };
        let device = if plug == "ada" { rack.switch(told) } else { rack.device("fence_switch", told) };
        let message = rack.refuses(&[FenceDevice { timeout_is_least, ..within(1000, device) }]);
        assert!(message.contains(given), "{message}");
    }
}

#[test]
fn a_wrong_password_is_told_without_the_password() {
    let rack = Rack::new();
    fs::write(rack.path("secret"), "friend").unwrap();
    let message = rack.refuses(&[rack.switch(&[])]);
    assert!(message.contains("answered `ERROR: Unable to connect with '***'` (exit code 1)"), "{message}");
    assert_eq!(rack.log(), ["off ada", "monitor ada"], "the rest of its time is for another level");
    assert_eq!(rack.outlet("ada"), "on");
}

#[test]
fn a_secret_that_cannot_be_had_is_an_error() {
    let rack = Rack::new();
    for (name, text, said) in
        [("none", None, "No such file"), ("empty", Some("\n"), "is empty"), (".", None, "no file")]
    {
        let path = rack.path(name);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let message =
            rack.refuses(&[rack.device("fence_switch", &[("password_file", path.to_str().unwrap())])]);
        assert!(message.contains(said) && message.contains("`password`"), "{message}");
    }
    assert!(rack.log().is_empty(), "nothing was tried");
}

#[test]
fn a_device_that_hangs_is_given_up_with_all_it_started() {
    let rack = Rack::new();
    let begun = Instant::now();
    let message = rack.refuses(&[within(1000, rack.switch(&[("mode", "dead"), ("plug", "3")]))]);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(message.contains("(outlet 3)") && message.contains("no answer within its 1s"), "{message}");
    rack.nothing_lingers();
}

#[test]
fn nothing_goes_on_in_the_background() {
    let rack = Rack::new();
    assert_eq!(rack.off(&[rack.switch(&[("mode", "lingers")])]), FenceOutcome::Off);
    rack.nothing_lingers();
}

#[test]
fn one_that_lost_its_connection_may_have_done_it() {
    let rack = Rack::new();
    assert_eq!(rack.off(&[rack.switch(&[("mode", "hasty")])]), FenceOutcome::Off);
    assert_eq!(rack.log(), ["off ada", "monitor ada", "status ada"], "which was read back with that");
    let refusal = |mode: &str| rack.refuses(&[rack.switch(&[("mode", mode), ("plug", "3")])]);
    assert!(refusal("refuses").contains("`ERROR: busy`") && refusal("broken").contains("exit code 2"));
}

#[test]
fn two_power_supplies_are_both_told_before_either_is_asked() {
    let rack = Rack::new();
    let both = [rack.switch(&[("plug", "3")]), rack.switch(&[("plug", "4"), ("mode", "slow")])];
    assert_eq!(rack.off(&both), FenceOutcome::Off);
    assert_eq!(rack.log()[..3], ["off 3", "off 4", "status 3"]);
    assert_eq!((rack.outlet("3").as_str(), rack.outlet("4").as_str()), ("off", "off"));

    let rack = Rack::new();
    let second = within(1000, rack.switch(&[("plug", "4"), ("mode", "lying")]));
    let message = rack.refuses(&[rack.switch(&[("plug", "3")]), second]);
    assert!(message.contains("(outlet 4) said"), "{message}");
    let second = rack.switch(&[("plug", "4"), ("mode", "refuses")]);
    let message = rack.refuses(&[rack.switch(&[("plug", "3")]), second]);
    assert!(message.contains("before that, fence_switch (outlet 3) was told"), "{message}");
}

#[test]
fn outlets_of_a_device_that_lets_one_in_at_a_time_are_used_one_after_the_other() {
    let rack = Rack::new();
    let off = |outlet: &str| {
        let devices = [rack.switch(&[("plug", outlet), ("mode", "narrow")])];
        rack.fencing.carry_out(&order(&format!("n{outlet}"), &devices), &Bell::new().unwrap(), &|| true)
    };
    thread::scope(|scope| {
        let both = ["3", "4"].map(|outlet| scope.spawn(move || off(outlet)));
        for one in both {
            assert_eq!(one.join().unwrap(), FenceOutcome::Off);
        }
    });
    assert!(!rack.log().iter().any(|line| line.contains("refused")), "{:?}", rack.log());
    assert_eq!((rack.outlet("3").as_str(), rack.outlet("4").as_str()), ("off", "off"));
}

#[test]
fn what_is_not_there_is_said_with_the_package_that_has_it() {
    let rack = Rack::new();
    let message = rack.refuses(&[device("fence_nothing", &[])]);
    assert!(message.contains("/nowhere") && message.contains("package fence-agents"), "{message}");
    let message = rack.refuses(&[device("external/nothing", &[])]);
    assert!(message.contains("package cluster-glue"), "{message}");
    assert!(rack.refuses(&[]).contains("write a `fence`"));
}

#[test]
fn nobody_smuggles_in_an_action() {
    let rack = Rack::new();
    for (name, text) in
        [("action", "on"), ("nodename", "bob"), ("plug", "ada\naction=on"), ("plug=ada\nx", "")]
    {
        let message = rack.refuses(&[rack.switch(&[(name, text)])]);
        assert!(message.contains("cannot be told"), "{message}");
    }
    assert!(rack.log().is_empty(), "nothing was tried");
}

#[test]
fn a_delay_is_waited_for_and_can_be_cut_short() {
    let rack = Rack::new();
    let late = FenceDevice { delay: Duration::from_millis(300), ..rack.switch(&[]) };
    let begun = Instant::now();
    assert_eq!(rack.off(std::slice::from_ref(&late)), FenceOutcome::Off);
    assert!(begun.elapsed() >= late.delay);
    let never = FenceDevice { delay: Duration::from_secs(600), ..rack.switch(&[("plug", "3")]) };
    let cancel = Bell::new().unwrap();
    cancel.ring();
    let outcome = rack.fencing.carry_out(&order("ada", &[never]), &cancel, &|| true);
    assert!(matches!(outcome, FenceOutcome::Failed { message } if message.contains("nobody wants it")));
    assert_eq!(rack.outlet("3"), "on");
}

/// The second power supply is not switched off by somebody whose right ended with the first (SAFETY rule 12).
#[test]
fn who_has_the_right_no_more_does_not_use_it() {
    let rack = Rack::new();
    let asked = std::cell::Cell::new(0);
    let once = || asked.replace(asked.get() + 1) == 0;
    let devices = [rack.switch(&[]), rack.switch(&[("plug", "3")])];
    let outcome = rack.fencing.carry_out(&order("ada", &devices), &Bell::new().unwrap(), &once);
    let FenceOutcome::Failed { message } = outcome else { panic!("it is not off") };
    assert!(message.contains("another may have the right; before that, fence_switch"), "{message}");
    assert_eq!(rack.outlet("3"), "on");
}

#[test]
fn a_device_can_be_tried_without_doing_anything() {
    let rack = Rack::new();
    assert_eq!(rack.prove(&rack.switch(&[])), Finding::Ready(Power::On));
    fs::write(rack.path("4"), "off\n").unwrap();
    assert_eq!(rack.prove(&rack.switch(&[("plug", "4")])), Finding::Ready(Power::Off));
    let Finding::WithoutNode(why) = rack.prove(&rack.switch(&[("plug", "99")])) else {
        panic!("it knows it")
    };
    for part in
        ["fence_switch (outlet 99) was asked how ada is", "there is no outlet 99", "has ada on this outlet"]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    let locked = rack.prove(&rack.device("fence_switch", &[("password", "friend")]));
    assert!(matches!(&locked, Finding::Unusable(why) if why.contains("Unable to connect")), "{locked:?}");
    let dead = rack.prove(&within(500, rack.switch(&[("mode", "dead")])));
    assert!(matches!(&dead, Finding::Unusable(why) if why.contains("no answer")), "{dead:?}");
    let absent = rack.prove(&device("fence_nothing", &[]));
    assert!(matches!(absent, Finding::Unusable(_)), "{absent:?}");
    assert!(rack.log().iter().all(|line| !line.starts_with("off") && !line.starts_with("on")));
}

/// What is wrong with it is found before anybody asks the device, and is said in the agent's words.
#[test]
fn an_agent_that_can_looks_at_what_it_is_told_before_the_device_is_asked() {
    let rack = Rack::new();
    let secret = rack.path("secret");
    let careful = |mode: &str| {
        let told = [("password_file", secret.to_str().unwrap()), ("mode", mode), ("plug", "3")];
        rack.device("fence_careful", &told)
    };
    assert_eq!(rack.prove(&careful("fine")), Finding::Ready(Power::On));
    assert_eq!(rack.log(), ["validate-all 3", "status 3"]);
    fs::remove_file(rack.path("log")).unwrap();
    let Finding::Unusable(why) = rack.prove(&careful("thoughtless")) else { panic!("it makes sense") };
    for part in [
        "fence_careful (outlet 3) was asked whether what it is told of ada makes sense (`validate-all`)",
        "answered `ERROR: Failed: You have to set login name` (exit code 1)",
        "correct `fence` in `[node.ada]`",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(rack.log(), ["validate-all 3"]);
    assert_eq!(rack.off(&[careful("fine")]), FenceOutcome::Off);
    assert_eq!(rack.log()[1..], ["off 3", "status 3"], "there is no time for that when it is needed");
}

#[test]
fn agents_say_what_they_can_be_told() {
    let rack = Rack::new();
    let of = |agent: &str| rack.fencing.parameters(&FenceAgent::parse(agent).unwrap(), &Bell::new().unwrap());
    let names =
        |agent: &str| -> Vec<String> { of(agent).unwrap().into_iter().map(|one| one.info.name).collect() };
    assert_eq!(
        names("fence_switch"),
        ["plug", "port", "password", "power_timeout", "identity_file", "dir", "mode"]
    );
    assert_eq!(names("external/switch"), ["hostlist", "mode", "dir"], "each as often as it is there");
    assert!(of("fence_nothing").unwrap_err().contains("package fence-agents"));
}

#[test]
fn a_plug_in_is_believed_if_its_device_is_well_afterwards() {
    let rack = Rack::new();
    let plug_in = |told: &[(&str, &str)]| rack.device("external/switch", told);
    assert_eq!(rack.off(&[plug_in(&[("hostlist", "bob Ada")])]), FenceOutcome::Off);
    assert_eq!(rack.log(), ["gethosts", "off ada", "status"]);
    assert_eq!(rack.outlet("ada"), "off");
    assert_eq!(
        fs::read_to_string(rack.path("whom")).unwrap(),
        "ada\n",
        "some take it from there who is meant"
    );
    let message = rack.refuses(&[plug_in(&[("hostlist", "bob cyn")])]);
    assert!(message.contains("named bob, cyn") && message.contains("`hostlist = \"ada\"`"), "{message}");
    let message = rack.refuses(&[plug_in(&[("hostlist", "ada"), ("mode", "refuses")])]);
    assert!(message.contains("answered `cannot do that` (exit code 1)"), "{message}");
    let message = rack.refuses(&[within(1000, plug_in(&[("hostlist", "ada"), ("mode", "sick")]))]);
    assert!(message.contains("no answer from the device"), "{message}");

    assert_eq!(rack.prove(&plug_in(&[("hostlist", "ada")])), Finding::Ready(Power::Unsaid));
    assert!(matches!(rack.prove(&plug_in(&[("hostlist", "bob")])), Finding::WithoutNode(_)));
    assert!(matches!(rack.prove(&plug_in(&[("mode", "sick")])), Finding::Unusable(_)));
}

/// Whether a test has to do without a package, which is said; with `HEART_LAB_REQUIRED=1` none may be missing.
fn is_missing(program: &Path, package: &str) -> bool {
    if program.exists() {
        return false;
    }
    assert!(env::var_os("HEART_LAB_REQUIRED").is_none(), "the Debian package {package} is not installed");
    eprintln!("skipped: the Debian package {package} is not installed");
    true
}

/// Their words are those of the versions that Debian ships: what differs from them is what this looks for.
#[test]
fn agents_of_debian_look_at_what_they_are_told() {
    if is_missing("/usr/sbin/fence_ipmilan".as_ref(), "fence-agents") {
        return;
    }
    let fencing = Fencing::new(Places::default());
    let never = Bell::new().unwrap();
    for (agent, told, said) in [
        ("fence_virsh", &[("ip", "127.0.0.1"), ("password", "x")][..], "You have to set login name"),
        ("fence_ipmilan", &[("ip", "127.0.0.1"), ("power_timeout", "soon")], "not a valid time"),
        ("fence_apc_snmp", &[("plug", "3")], "You have to enter fence address"),
    ] {
        let found = fencing.prove(&device(agent, told), &node("ada"), &never);
        let Finding::Unusable(why) = &found else { panic!("{agent}: {found:?}") };
        assert!(why.contains("(`validate-all`)") && why.contains(said), "{why}");
    }
    for (agent, today, former) in [
        ("fence_ipmilan", "ip", "ipaddr"),
        ("fence_virsh", "username", "login"),
        ("fence_apc_snmp", "plug", "port"),
    ] {
        let known = fencing.parameters(&FenceAgent::parse(agent).unwrap(), &never).unwrap();
        let of = |name: &str| known.iter().find(|one| one.info.name == name).unwrap();
        assert_eq!(
            (of(today).former.as_deref(), of(today).outdated, of(former).outdated),
            (Some(former), false, true)
        );
    }
}

#[test]
fn plug_ins_of_cluster_glue_say_what_they_can_be_told() {
    let places = Places::default();
    if is_missing(&places.external.join("ipmi"), "cluster-glue") {
        return;
    }
    let fencing = Fencing::new(places);
    for (name, required) in [
        ("external/rackpdu", &["hostlist", "pduip", "community"][..]),
        ("external/ibmrsa-telnet", &["nodename", "ip_address", "username", "password"]),
        ("external/ipmi", &[]),
    ] {
        let agent = FenceAgent::parse(name).unwrap();
        let known = fencing.parameters(&agent, &Bell::new().unwrap()).unwrap();
        let needed: Vec<_> =
            known.iter().filter(|one| one.info.required).map(|one| one.info.name.as_str()).collect();
        assert_eq!(needed, required, "{name}");
        assert!(known.len() > 3, "{name}: {known:?}");
    }
}

#[test]
fn ipmi_of_cluster_glue_switches_a_machine_off() {
    let places = Places::default();
    if is_missing(&places.external.join("ipmi"), "cluster-glue") {
        return;
    }
    let rack = Rack { fencing: Fencing::new(places), ..Rack::new() };
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ipmitool");
    let ipmi = |secret: &str| {
        let told = [("hostname", "ada"), ("ipaddr", "10.2.0.1"), ("userid", "ha"), ("passwd", secret)];
        rack.device("external/ipmi", &[told.as_slice(), &[("ipmitool", tool)]].concat())
    };
    assert_eq!(rack.prove(&ipmi("open sesame")), Finding::Ready(Power::Unsaid));
    let message = rack.refuses(&[ipmi("friend")]);
    assert!(message.contains("Unable to establish LAN session"), "{message}");
    assert_eq!(rack.outlet("ada"), "on");
    assert_eq!(rack.off(&[ipmi("open sesame")]), FenceOutcome::Off);
    assert_eq!(rack.outlet("ada"), "off");
}

#[test]
fn fence_dummy_of_debian_switches_a_file_off() {
    if is_missing("/usr/sbin/fence_dummy".as_ref(), "fence-agents") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::write(&state, "on").unwrap();
    let fencing = Fencing::new(Places::default());
    let never = Bell::new().unwrap();
    // It has a parameter of this name, so what is told is the path.
    let dummy = device("fence_dummy", &[("status_file", state.to_str().unwrap())]);
    assert_eq!(fencing.prove(&dummy, &node("ada"), &never), Finding::Ready(Power::On));
    let begun = Instant::now();
    assert_eq!(
        fencing.carry_out(&order("ada", std::slice::from_ref(&dummy)), &never, &|| true),
        FenceOutcome::Off
    );
    eprintln!("fence_dummy: off and read back in {:?}", begun.elapsed());
    assert_eq!(fs::read_to_string(&state).unwrap(), "off");
    assert_eq!(fencing.prove(&dummy, &node("ada"), &never), Finding::Ready(Power::Off));
    // It forgets at once what it was told.
    let fails = within(10_000, device("fence_dummy", &[("type", "fail"), ("power_timeout", "2")]));
    let outcome = fencing.carry_out(&order("ada", &[fails]), &never, &|| true);
    assert!(matches!(outcome, FenceOutcome::Failed { .. }), "{outcome:?}");
}

#[test]
fn who_cuts_off_from_a_fabric_that_nobody_knows_is_not_believed() {
    let rack = Rack::new();
    let secret = rack.path("secret");
    let fabric = rack.device("fence_fabric", &[("password_file", secret.to_str().unwrap()), ("plug", "ada")]);
    let message = rack.refuses(std::slice::from_ref(&fabric));
    assert!(message.contains("cuts a node off from a fabric and leaves it its power"), "{message}");
    assert_eq!(rack.outlet("ada"), "on", "and it is not told");
    assert!(matches!(rack.prove(&fabric), Finding::Unusable(why) if why.contains("from a fabric")));
}

#[test]
fn what_proves_nothing_is_not_told() {
    let rack = Rack::new();
    for (agent, told, says) in [
        ("fence_crosslink", &[][..], "does not answer a ping"),
        ("fence_kdump", &[], "dumps its memory"),
        ("fence_azure_arm", &[("network-fencing", "1")], "cuts a machine's network"),
        ("external/ssh", &[], "asks the node itself"),
    ] {
        let device = device(agent, told);
        let message = rack.refuses(std::slice::from_ref(&device));
        assert!(message.contains(says), "{message}");
        assert!(matches!(rack.prove(&device), Finding::Unusable(why) if why.contains(says)), "{agent}");
    }
}

/// What stands in our lists is all that there is to say of the programs that Debian ships: those that can be told *off*
/// and say afterwards that it is so, and leave a node its power, say so of themselves.
#[test]
fn nothing_of_debian_calls_off_what_has_power() {
    let Ok(programs) = fs::read_dir("/usr/sbin") else { return };
    let names = programs.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| name.starts_with("fence_")).collect();
    let half = names.len().div_ceil(2).max(1);
    thread::scope(|scope| {
        for some in names.chunks(half) {
            scope.spawn(|| some.iter().for_each(|name| is_what_we_take_it_for(name)));
        }
    });
}

fn is_what_we_take_it_for(name: &str) {
    let Ok(asked) = Command::new(format!("/usr/sbin/{name}")).args(["-o", "metadata"]).output() else {
        return;
    };
    let text = String::from_utf8_lossy(&asked.stdout);
    let has = |action: &str| text.contains(&format!("<action name=\"{action}\""));
    // What is no agent, or cannot describe itself, is of no use.
    if !text.contains("<resource-agent") {
        return;
    }
    let agent = device(name, &[]);
    let (proves, leaves_power) = (agent.no_proof().is_none(), text.contains("automatic=\"1\""));
    assert!(!(leaves_power && proves) || agent.shuts_out(), "{name} leaves a node its power");
    assert!(!proves || has("off") && has("status"), "{name} cannot switch off, or say so");
}
