//! The binary as it is called: what it prints, on which stream, and how it ends.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn heart(arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_heart"))
        .args(arguments)
        .env_remove("HEART_SOCKET")
        .env("TZ", "UTC")
        .output()
        .unwrap();
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn failed(code: i32, err: &str) -> Ended {
    Ended { code, out: String::new(), err: err.into() }
}

fn done(out: &str) -> Ended {
    Ended { code: 0, out: out.into(), err: String::new() }
}

/// A daemon that knows its answers beforehand, and tells what it was asked.
struct Script {
    folder: TempDir,
    daemon: JoinHandle<Vec<String>>,
}

impl Script {
    fn new(answers: &[&str]) -> Script {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let answers: Vec<String> = answers.iter().map(|&answer| answer.into()).collect();
        let daemon = thread::spawn(move || {
            let reply = |answer| reply(&listener.accept().unwrap().0, answer);
            answers.iter().map(|answer| reply(answer)).collect()
        });
        Script { folder, daemon }
    }

    /// Calls `heart`, and returns how it ended and what the daemon was asked.
    fn heart(self, arguments: &[&str]) -> (Ended, Vec<String>) {
        let socket = self.folder.path().join("s");
        let socket = ["--socket", socket.to_str().unwrap()];
        let ended = heart(&[&socket, arguments].concat());
        (ended, self.daemon.join().unwrap())
    }
}

fn reply(mut stream: &UnixStream, answer: &str) -> String {
    let mut asked = String::new();
    BufReader::new(stream).read_line(&mut asked).unwrap();
    writeln!(stream, "{answer}").unwrap();
    asked.trim_end().into()
}

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// A cluster whose key is there.
fn good(folder: &TempDir) -> PathBuf {
    let key = file(folder, "key", "0123456789abcdef0123456789abcdef");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[cluster]\nname = \"web\"\nkey_file = \"{}\"\n[node.ada]\naddresses = [\"10.0.0.1\"]\n\
         [resource.address]\nagent = \"ip\"\naddress = \"10.0.0.100/24\"\n",
        key.display()
    );
    file(folder, "good.toml", &text)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn without_a_daemon_every_question_says_how_to_start_one() {
    let expected = failed(
        3,
        "error: no daemon listens at /nowhere/heart.sock\n\
         hint: is the daemon running? start it with `heart daemon`\n",
    );
    for command in [&["status"][..], &["why", "site"], &["log"], &["move", "site"], &["standby", "ada"]] {
        assert_eq!(heart(&[&["--socket", "/nowhere/heart.sock"], command].concat()), expected, "{command:?}");
    }
}

#[test]
fn a_socket_that_can_be_none_is_named() {
    let long = format!("/{}", "x".repeat(200));
    let ended = heart(&["--socket", &long, "status"]);
    assert_eq!(ended.code, 3);
    assert!(
        ended.err.ends_with("hint: name its socket with `--socket PATH` or HEART_SOCKET\n"),
        "{}",
        ended.err
    );
}

#[test]
fn a_refusal_is_told_with_its_hint() {
    let script = Script::new(&[
        r#"{"answer":"refused","error":"no node is called `dan`","hint":"the nodes are `ada`"}"#,
    ]);
    let (ended, asked) = script.heart(&["standby", "dan"]);
    assert_eq!(ended, failed(1, "error: no node is called `dan`\nhint: the nodes are `ada`\n"));
    assert_eq!(asked, [r#"{"ask":"standby","node":"dan"}"#]);
}

#[test]
fn what_is_accepted_is_told_in_the_daemons_words() {
    for (command, asked) in [
        (&["standby", "ada"][..], r#"{"ask":"standby","node":"ada"}"#),
        (&["resume", "ada"], r#"{"ask":"resume","node":"ada"}"#),
        (&["move", "site", "--cancel"], r#"{"ask":"cancel","resource":"site"}"#),
        (&["forgive"], r#"{"ask":"forgive","resource":null}"#),
        (&["forgive", "site"], r#"{"ask":"forgive","resource":"site"}"#),
    ] {
        let script = Script::new(&[r#"{"answer":"accepted","text":"so be it"}"#]);
        assert_eq!(script.heart(command), (done("so be it\n"), vec![asked.into()]), "{command:?}");
    }
}

/// A status in which `site` is on this node.
fn view(node: &str, epoch: u64) -> String {
    format!(
        r#"{{"answer":"status","cluster":"web","node":"ada","leader":"ada","term":1,"quorum":true,
        "voters":[1,1],"nodes":{{"ada":{{"state":"online","voter":true,"links":[],"lease_ms":9}}}},
        "resources":{{"site":{{"state":"running","node":"{node}","epoch":{epoch},"since":0,"agent":"process",
        "group":null,"failures":{{}},"why":null}}}},"intents":[],"problems":[],"next":[],"planned":null}}"#
    )
    .replace('\n', "")
}

#[test]
fn a_move_is_waited_for() {
    let (before, after) = (view("ada", 1), view("bob", 2));
    let accepted = r#"{"answer":"accepted","text":"site moves from ada to bob"}"#;
    let (ended, asked) = Script::new(&[&before, accepted, &before, &after]).heart(&["move", "site", "bob"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let (first, second) = ended.out.split_once('\n').unwrap();
    assert_eq!(first, "site moves from ada to bob");
    assert!(second.starts_with("site runs on bob after ") && second.ends_with(" ms\n"), "{second}");
    let status = r#"{"ask":"status"}"#;
    assert_eq!(asked, [status, r#"{"ask":"move","resource":"site","to":"bob"}"#, status, status]);
}

/// A status in which bob's device was tried then, and whether it is being tried.
fn proven(tried: u64, state: &str, asked: bool) -> String {
    let message = if state == "on" { "null" } else { "\"ada could not switch bob off: no route\"" };
    let device = format!(
        r#"{{"device":"fence_apc","level":1,"state":"{state}","tried":{tried},"message":{message},"asked":{asked}}}"#
    );
    let bob =
        format!(r#""bob":{{"state":"online","voter":true,"links":[],"lease_ms":null,"devices":[{device}]}}"#);
    view("ada", 1).replace(r#""nodes":{"#, &format!(r#""nodes":{{{bob},"#))
}

#[test]
fn a_test_of_devices_says_what_was_found() {
    let accepted = r#"{"answer":"accepted","text":"ada tries 1 of them"}"#;
    for (after, code, said) in [
        (proven(2, "on", false), 0, "days ago: on\n"),
        (proven(2, "unusable", false), 1, "not usable\n\n  ada could not switch bob off: no route\n"),
        (proven(1, "on", false), 1, "fence_apc of bob was not tried: ada was busy"),
    ] {
        let script = Script::new(&[&proven(1, "on", false), accepted, &proven(1, "on", true), &after]);
        let (ended, asked) = script.heart(&["fence", "--test"]);
        assert_eq!((ended.code, ended.err.as_str()), (code, ""));
        assert!(ended.out.starts_with("  bob  fence_apc  ") && ended.out.contains(said), "{}", ended.out);
        assert_eq!(asked[1], r#"{"ask":"prove","node":null}"#);
    }
    assert_eq!(heart(&["fence"]).code, 2, "whom?");
}

#[test]
fn a_status_for_programs_has_the_promised_keys_and_nothing_around_it() {
    let (ended, _) = Script::new(&[&view("ada", 1)]).heart(&["status", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(value["leader"], "ada");
    assert_eq!(value["quorum"], true);
    assert_eq!(value["nodes"]["ada"]["state"], "online");
    let site = &value["resources"]["site"];
    assert_eq!((&site["state"], &site["node"]), (&"running".into(), &"ada".into()));
    assert_eq!((&site["since"], &site["epoch"]), (&0.into(), &1.into()));
}

#[test]
fn a_status_for_people_has_no_colours_in_a_pipe() {
    let (ended, _) = Script::new(&[&view("ada", 1)]).heart(&["status"]);
    assert!(ended.out.starts_with("Cluster web: ada leads (term 1), 1 of 1 voter heard\n"), "{}", ended.out);
    assert!(ended.out.contains("since 1970-01-01 00:00:00 ("), "{}", ended.out);
}

#[test]
fn a_watch_ends_when_nobody_reads_on() {
    let mut watch = Command::new(env!("CARGO_BIN_EXE_heart"))
        .args(["--socket", "/nowhere/heart.sock", "status", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(watch.stdout.take());
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn reasons_and_the_log_are_told() {
    let why = r#"{"answer":"why","reasons":[{"why":"stays","node":"ada"}],"next":[]}"#;
    let (ended, asked) = Script::new(&[why]).heart(&["why", "site"]);
    assert_eq!(asked, [r#"{"ask":"why","resource":"site"}"#]);
    assert!(ended.out.starts_with("site\n  runs on ada and stays"), "{ended:?}");

    let log = r#"{"answer":"log","timeline":[{"index":1,"at":1000,"what":{"configured":{"digest":10}}}]}"#;
    let (ended, asked) = Script::new(&[log]).heart(&["log", "-n", "7"]);
    assert_eq!(asked, [r#"{"ask":"log","limit":207}"#]);
    let sentence = "a new configuration is in force (digest 000000000000000a)";
    assert_eq!(
        ended,
        done(&format!("times are UTC, by the clock of who led\n1970-01-01 00:00:01.000  {sentence}\n"))
    );
    let (ended, _) = Script::new(&[log]).heart(&["log", "--json"]);
    let entries: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(entries[0]["what"]["configured"]["digest"], 10);
}

#[test]
fn a_good_configuration_is_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = good(&folder);
    let lease = "the kernel lets go of it without us, then another takes it";
    let expected = format!(
        "{}: no mistakes\n\n\
         Cluster web: 1 node, 1 voter (quorum 1), 1 resource\n\
         a node says that it lives every 100 ms, and is lost after 600 ms of silence\n\n\
         If the node of a resource is lost\n\
         \x20 address:  guard lease (by its agent):  {lease}\n",
        path.display()
    );
    assert_eq!(heart(&["check", text(&path)]), done(&expected));
}

#[test]
fn a_bad_configuration_is_reported_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(good(&folder)).unwrap();
    let path = file(&folder, "bad.toml", &good.replace("agent = \"ip\"", "agent = \"ipp\""));
    let ended = heart(&["check", text(&path)]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    assert!(ended.out.contains("bad.toml:7:9"), "{}", ended.out);
    assert!(ended.out.contains("hint: did you mean \"ip\"?"), "{}", ended.out);
    assert!(ended.out.ends_with("bad.toml: 1 error\n"), "{}", ended.out);

    let ended = heart(&["check", "--json", text(&path)]);
    let value: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &value["errors"], &value["mistakes"][0]["line"]), (1, &1.into(), &7.into()));
}

/// The agent on this machine is asked, by its own words of today and by former ones.
#[test]
fn what_a_device_is_told_is_compared_with_what_its_agent_takes() {
    if !Path::new("/usr/sbin/fence_ipmilan").exists() {
        assert!(std::env::var_os("HEART_LAB_REQUIRED").is_none(), "fence-agents is not installed");
        eprintln!("skipped: the Debian package fence-agents is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(good(&folder)).unwrap();
    let with = |told: &str| {
        let device = format!("[node.ada]\nfence = {{ agent = \"fence_ipmilan\", {told} }}\n");
        heart(&["check", text(&file(&folder, "fence.toml", &good.replace("[node.ada]\n", &device)))])
    };
    for right in ["ip = \"10.2.0.1\", lanplus = 1", "ipaddr = \"10.2.0.1\", login = \"ha\", port = 3"] {
        let ended = with(right);
        assert_eq!(ended.code, 0, "{}", ended.out);
    }
    let ended = with("ip = \"10.2.0.1\", cypher = 3");
    assert_eq!(ended.code, 1);
    for part in ["`fence_ipmilan` has no parameter `cypher`", "fence.toml:5:53", "did you mean `cipher`?"] {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_no_mistake_in_it() {
    let folder = tempfile::tempdir().unwrap();
    for (path, what) in [
        (folder.path().join("none.toml"), "it is not there\nhint: name the file: `heart check FILE`"),
        (folder.path().into(), "it is a folder\nhint: name a file in it: `heart check FILE`"),
    ] {
        let expected = format!("error: cannot read {}: {what}\n", path.display());
        assert_eq!(heart(&["check", text(&path)]), failed(1, &expected));
    }
    // A file without end is not read to it.
    let endless = heart(&["check", "/dev/zero"]);
    assert_eq!(endless.code, 1);
    assert!(endless.out.contains("larger than 4 MiB"), "{}", endless.out);
}

#[test]
fn a_command_line_that_cannot_be_read_is_another_kind_of_failure() {
    for arguments in [
        &["stauts"][..],
        &["move", "site", "ada", "--cancel"],
        &["why"],
        &["why", "-x"],
        &["standby", "a/b"],
        &["status", "--json", "--all"],
    ] {
        assert_eq!(heart(arguments).code, 2, "{arguments:?}");
    }
    let ended = heart(&["standby", "a/b"]);
    assert!(ended.err.contains("a name is made of ASCII letters"), "{}", ended.err);
}

#[test]
fn help_tells_the_exit_codes_and_the_version_is_told() {
    let ended = heart(&["--help"]);
    assert!(ended.code == 0 && ended.out.contains("3  no daemon answered"), "{}", ended.out);
    assert_eq!(heart(&["version"]), done(&format!("heart {} (log format 1)\n", env!("CARGO_PKG_VERSION"))));
}

const CIB: &str = r#"<cib have-quorum="1">
<configuration><nodes><node id="1" uname="ada"/></nodes><gadget/></configuration>
</cib>"#;

#[test]
fn simulate_reads_one_description_or_a_folder_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(path("one.xml"), CIB).unwrap();
    fs::write(path("two.xml"), "<cib>").unwrap();
    fs::write(path("readme.txt"), "no case").unwrap();
    fs::write(path("args.json"), r#"{"one": ["-t", "2014-05-07 00:28:00"], "two": {"tier": 1}}"#).unwrap();

    let one = heart(&["simulate", &path("one.xml")]);
    assert_eq!((one.code, one.err.as_str()), (0, ""));
    assert!(one.out.starts_with("Now\n") && one.out.contains("line 2, column 57: <gadget>"), "{}", one.out);
    let json = heart(&["simulate", "--json", "--now", "2026-01-01", &path("one.xml")]);
    assert!(json.out.contains("\"notes\": ["), "{}", json.out);
    let dot = heart(&["simulate", "--graph", "dot", "--fail-node", "ada", &path("one.xml")]);
    assert!(dot.out.starts_with("digraph"), "{}", dot.out);

    let suite = heart(&["simulate", "--suite", &folder.path().to_string_lossy()]);
    let lines: Vec<serde_json::Value> =
        suite.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((suite.code, lines.len()), (1, 2), "one cannot be read");
    assert_eq!((&lines[0]["case"], &lines[1]["case"]), (&"one".into(), &"two".into()));
    assert!(
        lines[0].get("error").is_none() && lines[1]["error"].as_str().unwrap().contains("this is not XML")
    );
}

#[test]
fn simulate_says_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(path("one.xml"), CIB).unwrap();
    fs::write(path("html.xml"), "<html/>").unwrap();
    for (arguments, said) in [
        (vec!["simulate", &path("none.xml")], "it is not there"),
        (vec!["simulate", &path("html.xml")], "html.xml:1:1: the document is <html>, not <cib>"),
        (vec!["simulate", &path("one.xml"), "--fail-node", "eve"], "no node `eve`\nhint: its nodes are: ada"),
    ] {
        let ended = heart(&arguments);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{arguments:?}");
        assert!(ended.err.contains(said) && ended.err.contains("\nhint: "), "{}", ended.err);
    }
    assert_eq!(heart(&["simulate", "--now", "soon", "x"]).code, 2);
    assert_eq!(heart(&["simulate"]).code, 2);
}

/// Three nodes; `db` runs on ada, leaves a node with its first failure there, and may not run on eve.
const DB: &str = r#"<cib have-quorum="1" dc-uuid="1">
<configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="ada"/><node id="2" uname="bob"/><node id="3" uname="eve"/></nodes>
<resources><primitive id="db" class="ocf" provider="heartbeat" type="Dummy">
<meta_attributes id="m"><nvpair id="m1" name="migration-threshold" value="1"/></meta_attributes>
<operations><op id="db-monitor" name="monitor" interval="10s"/></operations></primitive></resources>
<constraints><rsc_location id="db-not-eve" rsc="db" node="eve" score="-INFINITY"/></constraints>
</configuration>
<status>
<node_state id="1" uname="ada" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources><lrm_resource id="db" class="ocf" provider="heartbeat" type="Dummy">
<lrm_rsc_op id="db_last_0" operation="start" interval="0" call-id="5" rc-code="0" op-status="0" transition-key="1:1:0:a" transition-magic="0:0;1:1:0:a"/>
<lrm_rsc_op id="db_monitor_10000" operation="monitor" interval="10000" call-id="6" rc-code="0" op-status="0" transition-key="2:1:0:a" transition-magic="0:0;2:1:0:a"/>
</lrm_resource></lrm_resources></lrm></node_state>
<node_state id="2" uname="bob" in_ccm="true" crmd="online" join="member" expected="member"/>
<node_state id="3" uname="eve" in_ccm="true" crmd="online" join="member" expected="member"/>
</status></cib>"#;

#[test]
fn simulate_makes_resources_fail_and_goes_on_until_nothing_is_left_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let db = file(&folder, "db.xml", DB);
    let simulate = |options: &[&str]| heart(&[&["simulate", text(&db)], options].concat());
    let json = |options: &[&str]| -> serde_json::Value {
        serde_json::from_str(&simulate(&[options, &["--json"]].concat()).out).unwrap()
    };
    let failed = json(&["--fail-resource", "db@ada"]);
    assert_eq!(failed["before"]["rscs"]["db"]["f"], "F");
    assert_eq!(failed["after"]["rscs"]["db"]["on"][0][0], "bob");
    let forgiven = json(&["--fail-resource", "db", "--recover-resource", "db@ada"]);
    assert_eq!(forgiven["after"]["rscs"]["db"]["on"][0][0], "ada");

    let settled = json(&["--fail-resource", "db", "--settle"]);
    assert_eq!(
        (&settled["settled"], &settled["rounds"][0]["decide"][0]),
        (&true.into(), &"Recover db ada -> bob".into())
    );
    let rounds = settled["rounds"].as_array().unwrap();
    assert!(
        rounds.len() > 1 && rounds.last().unwrap()["actions"].as_array().unwrap().is_empty(),
        "{settled}"
    );
    assert_eq!(settled["after"]["rscs"]["db"]["on"][0][0], "bob");
    let told = simulate(&["--fail-resource", "db", "--settle"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    for part in ["Now\n", "\nRound 1\n", "\nThen\n", "It settles: after "] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }

    for (options, said) in [
        (["--fail-resource", "web"], "the description knows no resource `web`"),
        (["--fail-resource", "db@dan"], "no node `dan`\nhint: its nodes are: ada, bob, eve"),
        (
            ["--fail-resource", "db@bob"],
            "db cannot fail on bob: it is not active there\nhint: it is active on: ada",
        ),
        (["--recover-resource", "db"], "db has no failure anywhere that could be forgotten"),
    ] {
        let ended = simulate(&options);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{options:?}");
        assert!(ended.err.contains(said) && ended.err.contains("\nhint: "), "{}", ended.err);
    }
}

#[test]
fn what_if_tells_programs_why_something_stays_down() {
    let folder = tempfile::tempdir().unwrap();
    let db = file(&folder, "db.xml", &DB.replace("node=\"eve\"", "node=\"bob\""));
    let ended = heart(&["what-if", "--single", "--json", text(&db)]);
    assert_eq!(ended.code, 0, "eve takes over: {}", ended.err);
    let second =
        r#"<rsc_location id="db-not-eve-either" rsc="db" node="eve" score="-INFINITY"/></constraints>"#;
    let pinned = DB.replace("node=\"eve\"", "node=\"bob\"").replace("</constraints>", second);
    let pinned = file(&folder, "pinned.xml", &pinned);
    let ended = heart(&["what-if", "--single", "--json", text(&pinned)]);
    assert_eq!(ended.code, 1);
    let losses: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let why = &losses[0]["because"][0];
    assert_eq!(
        (&losses[0]["down"][0], &why["resource"], &why["together"]),
        (&"db".into(), &"db".into(), &false.into())
    );
    let causes: Vec<_> =
        why["causes"].as_array().unwrap().iter().filter(|cause| cause["kind"] == "constraint").collect();
    assert_eq!((&causes[0]["name"], &causes[0]["otherwise"][0]), (&"db-not-eve".into(), &"bob".into()));
    assert_eq!(causes[0]["text"], "constraint `db-not-eve`: db may not run on bob");
    assert_eq!(losses[1]["because"], serde_json::json!([]));
}

#[test]
fn what_if_knows_what_a_configuration_of_heart_survives() {
    let folder = tempfile::tempdir().unwrap();
    let base = "[cluster]\nname = \"web\"\nkey_file = \"/etc/heart/key\"\n[node.ada]\naddresses = [\"10.0.0.1\"]\n\
        [node.bob]\naddresses = [\"10.0.0.2\"]\n[node.cyn]\naddresses = [\"10.0.0.3\"]\n\
        [resource.db]\nagent = \"process\"\ncommand = [\"/bin/sleep\", \"infinity\"]\nprefers = \"ada\"\n";
    let good = file(&folder, "good.toml", base);
    let ended = heart(&["what-if", "--single", "--all", text(&good)]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains("ada: moves: db to bob"), "{}", ended.out);
    let pinned = file(&folder, "pinned.toml", &format!("{base}never = [\"bob\", \"cyn\"]\n"));
    let ended = heart(&["what-if", "--single", text(&pinned)]);
    assert_eq!(ended.code, 1);
    let said = "db stays down because (together): not on bob: the configuration says never; not on cyn: ";
    assert!(ended.out.split_whitespace().collect::<Vec<_>>().join(" ").contains(said), "{}", ended.out);
    let ended = heart(&["--socket", "/nowhere/heart.sock", "what-if"]);
    assert_eq!(ended.code, 3, "the cluster that runs is asked: {}", ended.err);
}

/// `heart disk`, on a file as the disk.
#[test]
fn a_disk_is_prepared_once_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (disk, config) = (path("disk"), path("heart.toml"));
    let write = |nodes: &[&str]| {
        let key = path("key");
        fs::write(&key, [7; 32]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let mut text = format!("[cluster]\nname = \"web\"\nkey_file = \"{key}\"\n");
        for (number, node) in (1..).zip(nodes) {
            text += &format!("[node.{node}]\naddresses = [\"10.0.0.{number}\"]\n");
        }
        fs::write(&config, text).unwrap();
    };
    let format = |more: &[&str]| heart(&[&["disk", "format", &disk, "--config", &config], more].concat());
    write(&["ada"]);
    let missing = format(&[]);
    assert_eq!(
        (missing.code, missing.err.contains("see whether the disk is there")),
        (1, true),
        "{missing:?}"
    );
    fs::write(&disk, vec![0; 1 << 20]).unwrap();
    assert_eq!(format(&[]), done(&format!("{disk} is prepared for `web`: 16 slots, one each for ada\n")));
    assert_eq!(format(&[]), done(&format!("{disk} is prepared for `web` already\n")));
    write(&["ada", "bob", "cyn"]);
    assert_eq!(
        format(&[]),
        done(&format!("{disk} was prepared for `web`, and has a slot for bob, cyn now\n"))
    );
    let shown = heart(&["disk", "show", &disk]);
    for line in ["of the cluster `web`, 16 slots", "slot 1   bob  never wrote", "free slots: 13", "never set"]
    {
        assert!(shown.out.contains(line), "{shown:?}");
    }
    fs::write(&disk, vec![9; 1 << 20]).unwrap();
    let foreign = format(&[]);
    assert!(
        foreign.err.contains("is no disk of Heart's") && foreign.err.contains("--overwrite"),
        "{foreign:?}"
    );
    assert_eq!(format(&["--overwrite", "--slots", "4"]).code, 0);
    assert!(heart(&["disk", "show", &disk]).out.contains("4 slots"));
}
