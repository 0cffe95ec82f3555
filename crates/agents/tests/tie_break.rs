//! Changes of a tie-break's value, against servers that this test is: an object store, the gateway of etcd, and
//! files in a folder. A `heart witness` is tested where it is.

mod tie_break {
    pub(crate) mod servers;
}

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use heart_agents::{
    disk::Disk,
    tie_break::{carry_out, words::WitnessKey},
    wait::Bell,
};
use heart_disk::{Area, BLOCK, Slot};
use heart_lab::Conditions;
use heart_model::{
    NodeName, Standing, TieBreakOrder, TieBreakOutcome, TieBreakPlace, TieBreakReport, TieBreakSpec,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tie_break::servers::{Gateway, Store};

/// Long enough for a machine that is late.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often two race.
const RACES: u64 = 200;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn standing(era: u64, named: &str) -> Standing {
    Standing { era, parent: None, term: 1, configuration: 1, named: vec![NodeName::new(named).unwrap()] }
}

fn order(place: &TieBreakPlace, instead_of: Option<&Standing>, set: &Standing) -> TieBreakOrder {
    TieBreakOrder {
        number: 7,
        spec: TieBreakSpec { place: place.clone(), timeout: PATIENCE },
        cluster: "web".into(),
        instead_of: instead_of.cloned(),
        set: set.clone(),
    }
}

fn obey(order: &TieBreakOrder) -> TieBreakOutcome {
    // Whoever asks wants to be named, where one is.
    let me = order.set.named.first().cloned().unwrap_or_else(|| name("ada"));
    let TieBreakReport { number, outcome } =
        carry_out(order, &me, &WitnessKey::derive(&[1; 32]), &Bell::new().unwrap());
    assert_eq!(number, order.number);
    outcome
}

fn change(place: &TieBreakPlace, instead_of: Option<&Standing>, set: &Standing) -> TieBreakOutcome {
    obey(&order(place, instead_of, set))
}

/// Why it failed.
fn why(outcome: TieBreakOutcome) -> String {
    match outcome {
        TieBreakOutcome::Failed { message } => message,
        known => panic!("{known:?}"),
    }
}

fn says(outcome: TieBreakOutcome, words: &[&str]) {
    let why = why(outcome);
    words.iter().for_each(|word| assert!(why.contains(word), "`{word}` is not in: {why}"));
}

/// What holds wherever the value is.
fn is_compared_and_set(place: &TieBreakPlace) {
    let (ada, bob, cyn) = (standing(1, "ada"), standing(2, "bob"), standing(3, "cyn"));
    assert_eq!(change(place, Some(&ada), &bob), TieBreakOutcome::Other(None), "nothing was ever set");
    assert_eq!(change(place, None, &ada), TieBreakOutcome::Set);
    assert_eq!(change(place, None, &ada), TieBreakOutcome::Set, "an order can be repeated");
    assert_eq!(change(place, None, &bob), TieBreakOutcome::Other(Some(ada.clone())));
    assert_eq!(change(place, Some(&ada), &bob), TieBreakOutcome::Set);
    assert_eq!(change(place, Some(&ada), &bob), TieBreakOutcome::Set);
    assert_eq!(change(place, Some(&ada), &cyn), TieBreakOutcome::Other(Some(bob)));
}

/// Two want something else in place of the same, again and again: one gets it, and the other finds that.
fn one_of_two_wins(place: &TieBreakPlace) {
    one_of_two_ways_wins([place, place]);
}

/// The same, where each has a way of its own to what they change.
fn one_of_two_ways_wins(ways: [&TieBreakPlace; 2]) {
    let start = Arc::new(Barrier::new(2));
    let mut stands = None;
    for round in 0..RACES {
        let race = |name: &'static str, way: &TieBreakPlace| {
            let (start, place, stands) = (Arc::clone(&start), way.clone(), stands.clone());
            thread::spawn(move || {
                let set = standing(round, name);
                start.wait();
                (change(&place, stands.as_ref(), &set), set)
            })
        };
        let (ada, bob) = (race("ada", ways[0]), race("bob", ways[1]));
        let ((ada, of_ada), (bob, of_bob)) = (ada.join().unwrap(), bob.join().unwrap());
        let won = match (&ada, &bob) {
            (TieBreakOutcome::Set, TieBreakOutcome::Other(found)) if *found == Some(of_ada.clone()) => of_ada,
            (TieBreakOutcome::Other(found), TieBreakOutcome::Set) if *found == Some(of_bob.clone()) => of_bob,
            _ => panic!("round {round}: ada got {ada:?}, bob got {bob:?}"),
        };
        stands = Some(won);
    }
}

/// Waits until it is so.
fn comes_to(is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "it does not come to it");
        thread::yield_now();
    }
}

fn file(path: &Path) -> TieBreakPlace {
    TieBreakPlace::File { path: path.to_str().unwrap().into() }
}

#[test]
fn a_file_is_compared_and_set() {
    let dir = tempfile::tempdir().unwrap();
    is_compared_and_set(&file(&dir.path().join("web")));
    // The value and the one before it; the others are removed after the answer.
    comes_to(|| fs::read_dir(dir.path()).unwrap().count() == 2);
}

#[test]
fn of_two_that_race_for_a_file_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    one_of_two_wins(&file(&dir.path().join("web")));
}

#[test]
fn a_file_that_is_no_value_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (place, new) = (file(&dir.path().join("web")), standing(1, "ada"));
    fs::write(dir.path().join("web.3"), "{\"era\": 1").unwrap();
    says(change(&place, None, &new), &["web.3", "{\"era\": 1", "left as it is", "remove it only if"]);
    assert_eq!(fs::read(dir.path().join("web.3")).unwrap(), b"{\"era\": 1");
    assert!(!dir.path().join("web.4").exists());
}

#[test]
fn a_folder_that_is_missing_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let place = file(&dir.path().join("not-mounted/web"));
    says(change(&place, None, &standing(1, "ada")), &["not-mounted", "No such file", "mounted and writable"]);
    assert!(!dir.path().join("not-mounted").exists());
}

/// A pipe that nobody writes to lets go of its reader as late as a file server that is away.
#[test]
fn a_file_system_that_hangs_costs_the_timeout_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (value, owner) = (dir.path().join("web.1"), Mode::RUSR | Mode::WUSR);
    mknodat(CWD, &value, FileType::Fifo, owner, 0).unwrap();
    let mut order = order(&file(&dir.path().join("web")), None, &standing(1, "ada"));
    order.spec.timeout = Duration::from_millis(200);
    let begun = Instant::now();
    says(obey(&order), &["web", "did not answer within 200ms", "can be reached from this node"]);
    assert!(begun.elapsed() < PATIENCE / 2);
    // It lets go: what was left behind changes nothing any more, and takes its own file away.
    drop(fs::OpenOptions::new().write(true).open(&value).unwrap());
    comes_to(|| fs::read_dir(dir.path()).unwrap().count() == 1);
    assert!(value.exists());
}

/// What was lost on the way to the server for so long that others have gone on: it comes too late.
#[test]
fn a_number_that_comes_back_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let (place, late) = (file(&dir.path().join("web")), standing(9, "late"));
    let mut stands = None;
    for era in 1..=4 {
        let next = standing(era, "ada");
        assert_eq!(change(&place, stands.as_ref(), &next), TieBreakOutcome::Set);
        stands = Some(next);
    }
    // It is removed after the answer, so its number is free.
    comes_to(|| !dir.path().join("web.2").exists());
    fs::write(dir.path().join("web.2"), serde_json::to_vec(&late).unwrap()).unwrap();
    assert_eq!(change(&place, Some(&late), &standing(10, "bob")), TieBreakOutcome::Other(stands));
}

#[test]
fn an_object_is_compared_and_set() {
    let store = Store::start(Conditions::Obeyed);
    is_compared_and_set(&store.place(None));
}

#[test]
fn of_two_that_race_for_an_object_one_wins() {
    let store = Store::start(Conditions::Obeyed);
    one_of_two_wins(&store.place(None));
}

#[test]
fn an_object_is_asked_for_under_a_name_if_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "sesame\n").unwrap();
    let store = Store::start(Conditions::Obeyed);
    is_compared_and_set(&store.place(Some(secret.to_str().unwrap())));
    let signed = store.authorizations();
    assert!(signed.iter().all(|value| value.starts_with("AWS4-HMAC-SHA256 Credential=heart/")), "{signed:?}");
    assert!(signed.iter().any(|value| value.contains("SignedHeaders=host;if-match;x-amz-")), "{signed:?}");
    let nowhere = store.place(Some("/nowhere/secret"));
    says(change(&nowhere, None, &standing(1, "ada")), &["/nowhere/secret", "secret_file"]);
}

#[test]
fn a_store_that_ignores_conditions_is_found_out_before_anything_is_written() {
    for ignores in [Conditions::Ignored, Conditions::OnlyFirst] {
        let store = Store::start(ignores);
        let (ada, bob) = (standing(1, "ada"), standing(2, "bob"));
        let mut stands = None;
        if ignores == Conditions::OnlyFirst {
            assert_eq!(change(&store.place(None), None, &ada), TieBreakOutcome::Set);
            stands = Some(ada);
        }
        let outcome = change(&store.place(None), stands.as_ref(), &bob);
        says(outcome, &["did not refuse", "use a store that obeys conditions"]);
        assert_eq!(store.value(), stands);
    }
}

/// A store that somebody started for this, and a name in it that nobody has used.
///
/// `HEART_STORE` is `http://HOST:PORT/BUCKET`, of another way to the same bucket `HEART_STORE_TOO`; `HEART_STORE_KEY` and
/// `HEART_STORE_SECRET` are an access key and the file of its secret, if it wants them.
fn real_store(name: &str) -> TieBreakPlace {
    let given = |name: &str| env::var(name).ok();
    let bucket = given("HEART_STORE").expect("`HEART_STORE` says where the store is");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    TieBreakPlace::Object {
        url: format!("{bucket}/heart:{name} {now}").replace(' ', "%20"),
        access_key: given("HEART_STORE_KEY"),
        secret_file: given("HEART_STORE_SECRET"),
        region: "us-east-1".into(),
    }
}

#[test]
#[ignore = "needs a store that somebody started: see `real_store`"]
fn a_real_store_is_compared_and_set() {
    is_compared_and_set(&real_store("set"));
}

#[test]
#[ignore = "needs a store that somebody started: see `real_store`"]
fn of_two_that_race_for_a_real_store_one_wins() {
    let one = real_store("race");
    let mut two = one.clone();
    if let (TieBreakPlace::Object { url, .. }, Ok(too)) = (&mut two, env::var("HEART_STORE_TOO")) {
        *url = url.replace(&env::var("HEART_STORE").unwrap(), &too);
    }
    one_of_two_ways_wins([&one, &two]);
}

#[test]
#[ignore = "needs a store that somebody started and that wants a secret: see `real_store`"]
fn a_real_store_refuses_a_wrong_secret_and_a_missing_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let (file, new) = (dir.path().join("secret"), standing(1, "ada"));
    fs::write(&file, "not the secret").unwrap();
    let TieBreakPlace::Object { url, access_key, secret_file, region } = real_store("wrong") else { return };
    let place = |url: &str, secret_file: &Option<String>| TieBreakPlace::Object {
        url: url.to_owned(),
        access_key: access_key.clone(),
        secret_file: secret_file.clone(),
        region: region.clone(),
    };
    let (bucket, key) = url.rsplit_once('/').unwrap();
    let refused = why(change(&place(&url, &file.to_str().map(str::to_owned)), None, &new));
    println!("a wrong secret: {refused}");
    let elsewhere = format!("{bucket}-that-nobody-made/{key}");
    let missing = why(change(&place(&elsewhere, &secret_file), None, &new));
    println!("a missing bucket: {missing}");
    assert!(refused.contains("see `access_key`"), "{refused}");
    assert!(missing.contains("see whether the bucket is there"), "{missing}");
}

#[test]
fn an_object_that_is_no_value_is_left_as_it_is() {
    let store = Store::start(Conditions::Obeyed);
    store.put(b"<html>hello</html>");
    says(change(&store.place(None), None, &standing(1, "ada")), &["<html>hello", "left as it is"]);
    assert_eq!(store.bytes().as_deref(), Some(&b"<html>hello</html>"[..]));
}

#[test]
fn etcd_is_compared_and_set() {
    let gateway = Gateway::start();
    is_compared_and_set(&gateway.place(&[]));
}

#[test]
fn of_two_that_race_for_a_key_one_wins() {
    let gateway = Gateway::start();
    one_of_two_wins(&gateway.place(&[]));
}

#[test]
fn another_member_is_asked_if_the_first_does_not_answer() {
    let gateway = Gateway::start();
    let closed = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let first = format!("http://{closed}");
    assert_eq!(change(&gateway.place(&[&first]), None, &standing(1, "ada")), TieBreakOutcome::Set);
    let nobody = TieBreakPlace::Etcd { endpoints: vec![first], key: "heart/web".into() };
    says(
        change(&nobody, None, &standing(1, "ada")),
        &[&closed.to_string(), "could not be reached", "the way"],
    );
}

/// Places on a server that accepts connections and never says anything.
fn mute(listener: &TcpListener) -> [TieBreakPlace; 3] {
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}/b/k");
    [
        TieBreakPlace::Object { url, access_key: None, secret_file: None, region: "us-east-1".into() },
        TieBreakPlace::Etcd { endpoints: vec![format!("http://{address}")], key: "k".into() },
        TieBreakPlace::Witness { address },
    ]
}

#[test]
fn a_server_that_says_nothing_costs_the_timeout_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for place in mute(&listener) {
        let mut order = order(&place, None, &standing(1, "ada"));
        order.spec.timeout = Duration::from_millis(200);
        let begun = Instant::now();
        says(obey(&order), &["the time was over"]);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(180) && took < PATIENCE / 2, "{place}: {took:?}");
    }
}

#[test]
fn nobody_waits_for_what_was_cancelled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let cancel = Bell::new().unwrap();
    cancel.ring();
    for place in mute(&listener) {
        let begun = Instant::now();
        let key = WitnessKey::derive(&[1; 32]);
        let mut order = order(&place, None, &standing(1, "ada"));
        // Threads that are left behind end soon.
        order.spec.timeout = Duration::from_secs(1);
        says(carry_out(&order, &name("ada"), &key, &cancel).outcome, &["nobody wanted to know"]);
        assert!(begun.elapsed() < Duration::from_millis(900));
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let new = standing(1, "ada");
    let object = |url: &str| TieBreakPlace::Object {
        url: url.into(),
        access_key: None,
        secret_file: None,
        region: "us-east-1".into(),
    };
    says(change(&object("https://store/b/k"), None, &new), &["https://store/b/k", "no TLS", "http://"]);
    says(change(&object("store/b/k"), None, &new), &["`store/b/k`", "http://HOST"]);
    let nameless = TieBreakPlace::Witness { address: "witness.invalid:6940".into() };
    says(change(&nameless, None, &new), &["witness.invalid:6940", "name server"]);
}

fn disk(path: &Path) -> TieBreakPlace {
    fs::write(path, vec![0; 1 << 20]).unwrap();
    Disk::format(path, "web", &["ada", "bob", "cyn"].map(name), None, false).unwrap();
    TieBreakPlace::Disk { device: path.to_str().unwrap().into() }
}

#[test]
fn a_disk_is_compared_and_set() {
    let dir = tempfile::tempdir().unwrap();
    is_compared_and_set(&disk(&dir.path().join("disk")));
}

#[test]
fn of_two_that_race_for_a_disk_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    one_of_two_wins(&disk(&dir.path().join("disk")));
}

#[test]
fn a_disk_that_is_not_prepared_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let place = TieBreakPlace::Disk { device: path.to_str().unwrap().into() };
    let new = standing(1, "ada");
    says(change(&place, None, &new), &["No such file", "see whether the disk is there"]);
    fs::write(&path, [0; 512]).unwrap();
    says(change(&place, None, &new), &["it is too small; a device with 16 slots has 532480 bytes"]);
    fs::write(&path, vec![0; 1 << 20]).unwrap();
    says(change(&place, None, &new), &["is empty", "`heart disk format"]);
    fs::write(&path, vec![7; 1 << 20]).unwrap();
    says(change(&place, None, &new), &["is no disk of Heart's", "damaged in both copies", "the right one"]);
    assert_eq!(fs::read(&path).unwrap(), vec![7; 1 << 20]);
    Disk::format(&path, "other", &[name("ada")], None, true).unwrap();
    says(change(&place, None, &new), &["belongs to the cluster `other`"]);
    Disk::format(&path, "web", &[name("bob")], None, true).unwrap();
    says(change(&place, None, &new), &["ada has no slot on", "`heart disk format"]);
}

/// Whatever becomes of one copy of a block, the other one is left.
#[test]
fn a_disk_of_which_one_copy_is_damaged_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let place = disk(&path);
    let (one, two) = (standing(1, "ada"), standing(2, "ada"));
    assert_eq!(change(&place, None, &one), TieBreakOutcome::Set);
    let damage = |copies: &[u64]| {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let at = Disk::open(&path).unwrap().geometry().offset(Area::Ballots, Slot(0));
        copies.iter().for_each(|copy| file.write_all_at(&[0xff; 512], at + copy * BLOCK as u64).unwrap());
    };
    damage(&[0]);
    assert_eq!(change(&place, Some(&one), &two), TieBreakOutcome::Set);
    damage(&[1]);
    assert_eq!(change(&place, Some(&one), &two), TieBreakOutcome::Set, "it is the same order again");
    damage(&[0, 1]);
    says(change(&place, Some(&two), &one), &["the tie-break's part of slot 0 is damaged in both copies"]);
}
