//! A witness on loopback, asked by nodes as they ask.

use std::{fs, net::Shutdown, os::unix::fs::PermissionsExt as _, path::Path};

use heart_agents::{tie_break, wait::Bell};
use heart_model::{NodeName, Standing, TieBreakOrder, TieBreakPlace, TieBreakSpec};

use super::{
    guests::CONNECTIONS_OF_ONE_MAX,
    words::{Change, write_question},
    *,
};

/// Long enough for a machine that is late.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often two race.
const RACES: u64 = 100;

/// A witness with the key of `web`, which is 32 times 1.
struct Stage {
    dir: tempfile::TempDir,
    address: SocketAddr,
    desk: Arc<Desk>,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keys")).unwrap();
        give_key(dir.path(), "web", 1);
        let witness = Witness::open(&options(dir.path())).unwrap();
        let (address, desk) = (witness.address().unwrap(), Arc::clone(&witness.desk));
        thread::spawn(move || witness.run());
        Stage { dir, address, desk }
    }

    fn change_as(
        &self,
        key: u8,
        cluster: &str,
        instead_of: Option<&Standing>,
        set: &Standing,
    ) -> TieBreakOutcome {
        let place = TieBreakPlace::Witness { address: self.address.to_string() };
        let order = TieBreakOrder {
            number: 1,
            spec: TieBreakSpec { place, timeout: PATIENCE },
            cluster: cluster.into(),
            instead_of: instead_of.cloned(),
            set: set.clone(),
        };
        tie_break::carry_out(
            &order,
            &NodeName::new("ada").unwrap(),
            &WitnessKey::derive(&[key; 32]),
            &Bell::new().unwrap(),
        )
        .outcome
    }

    fn change(&self, instead_of: Option<&Standing>, set: &Standing) -> TieBreakOutcome {
        self.change_as(1, "web", instead_of, set)
    }

    fn value(&self) -> PathBuf {
        self.dir.path().join("state/web.json")
    }

    /// Connects and hears the nonce.
    fn connect(&self) -> (TcpStream, [u8; NONCE]) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut nonce = [0; NONCE];
        stream.read_exact(&mut nonce).unwrap();
        (stream, nonce)
    }

    /// Whether it closes the connection without a word.
    fn is_refused(&self, bytes: &[u8]) -> bool {
        let (mut stream, _) = self.connect();
        let asked = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        asked.map_or_else(|error| is_gone(&error), |()| is_closed(&mut stream))
    }
}

/// Whether it has gone before it had read all.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// Whether the witness says nothing more and closes the connection, within the stream's timeout.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => is_gone(&error),
    }
}

fn options(dir: &Path) -> Options {
    Options { listen: ([127, 0, 0, 1], 0).into(), state: dir.join("state"), clusters: dir.join("keys") }
}

fn give_key(dir: &Path, cluster: &str, byte: u8) {
    let path = dir.join(format!("keys/{cluster}.key"));
    fs::write(&path, [byte; 32]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn standing(era: u64, named: &str) -> Standing {
    Standing { era, parent: None, term: 1, configuration: 1, named: vec![NodeName::new(named).unwrap()] }
}

fn says(outcome: TieBreakOutcome, words: &[&str]) {
    let TieBreakOutcome::Failed { message } = outcome else { panic!("{outcome:?}") };
    words.iter().for_each(|word| assert!(message.contains(word), "`{word}` is not in: {message}"));
}

#[test]
fn a_value_is_compared_and_set_and_outlives_the_witness() {
    let stage = Stage::new();
    let (ada, bob) = (standing(1, "ada"), standing(2, "bob"));
    assert_eq!(stage.change(Some(&ada), &bob), TieBreakOutcome::Other(None));
    assert_eq!(stage.change(None, &ada), TieBreakOutcome::Set);
    assert_eq!(stage.change(None, &ada), TieBreakOutcome::Set, "an order can be repeated");
    assert_eq!(stage.change(None, &bob), TieBreakOutcome::Other(Some(ada.clone())));
    assert_eq!(stage.change(Some(&ada), &bob), TieBreakOutcome::Set);
    let kept: Standing = serde_json::from_slice(&fs::read(stage.value()).unwrap()).unwrap();
    assert_eq!(kept, bob, "the next witness begins with it");
}

#[test]
fn of_two_that_race_one_wins() {
    let stage = Arc::new(Stage::new());
    let mut stands = None;
    for round in 0..RACES {
        let race = |name: &'static str| {
            let (stage, stands) = (Arc::clone(&stage), stands.clone());
            thread::spawn(move || {
                let set = standing(round, name);
                (stage.change(stands.as_ref(), &set), set)
            })
        };
        let (ada, bob) = (race("ada"), race("bob"));
        let ((ada, of_ada), (bob, of_bob)) = (ada.join().unwrap(), bob.join().unwrap());
        let (lost, won) = if ada == TieBreakOutcome::Set { (bob, of_ada) } else { (ada, of_bob) };
        assert_eq!(lost, TieBreakOutcome::Other(Some(won.clone())), "round {round}");
        stands = Some(won);
    }
}

#[test]
fn each_cluster_has_a_value_of_its_own_and_keys_are_taken_up_as_they_come() {
    let stage = Stage::new();
    let (ada, eve) = (standing(1, "ada"), standing(7, "eve"));
    assert_eq!(stage.change(None, &ada), TieBreakOutcome::Set);
    says(stage.change_as(2, "shop", None, &eve), &["shop.key", "did not answer"]);
    give_key(stage.dir.path(), "shop", 2);
    assert_eq!(stage.change_as(2, "shop", None, &eve), TieBreakOutcome::Set);
    says(stage.change_as(1, "shop", None, &ada), &["shop.key"]);
    give_key(stage.dir.path(), "web", 3);
    says(stage.change(Some(&ada), &eve), &["web.key"]);
    assert_eq!(stage.change_as(3, "web", None, &eve), TieBreakOutcome::Other(Some(ada)));
}

#[test]
fn nobody_without_the_key_learns_or_changes_anything() {
    let stage = Stage::new();
    let ada = standing(1, "ada");
    assert_eq!(stage.change(None, &ada), TieBreakOutcome::Set);
    says(stage.change_as(2, "web", Some(&ada), &standing(2, "eve")), &["did not answer", "web.key"]);
    let framed = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    for nothing in
        [&framed(b"")[..], &framed(&[0; 200]), &framed(&[b'x'; 4000]), &[0xff; 64], b"GET / HTTP/1.1\r\n\r\n"]
    {
        assert!(stage.is_refused(nothing), "{nothing:?}");
    }
    // A question that was right on another connection.
    let (_first, nonce) = stage.connect();
    let change = Change { instead_of: Some(ada.clone()), set: standing(2, "bob") };
    let key = WitnessKey::derive(&[1; 32]);
    let recorded = write_question(&key, &nonce, &[0; NONCE], "web", &change).unwrap();
    assert!(stage.is_refused(&recorded.bytes));
    let elsewhere = write_question(&key, &nonce, &[0; NONCE], "../keys/web", &change).unwrap();
    assert!(stage.is_refused(&elsewhere.bytes));
    assert_eq!(stage.change(None, &standing(3, "cyn")), TieBreakOutcome::Other(Some(ada)));
}

#[test]
fn those_who_say_nothing_do_not_keep_others_waiting() {
    let stage = Stage::new();
    // All but one of the places that this address has.
    let idle: Vec<_> = (1..CONNECTIONS_OF_ONE_MAX).map(|_| stage.connect()).collect();
    let begun = Instant::now();
    assert_eq!(stage.change(None, &standing(1, "ada")), TieBreakOutcome::Set);
    assert!(begun.elapsed() < CONNECTION_MAX, "none of them had to end for it");
    // And each of them ends at its time.
    for (mut stream, _) in idle {
        assert!(is_closed(&mut stream));
    }
}

#[test]
fn one_address_has_a_bounded_number_of_connections() {
    let stage = Stage::new();
    let mut idle: Vec<_> = (0..CONNECTIONS_OF_ONE_MAX).map(|_| stage.connect()).collect();
    let mut more = TcpStream::connect(stage.address).unwrap();
    more.set_read_timeout(Some(CONNECTION_MAX / 2)).unwrap();
    assert!(is_closed(&mut more), "it does not have to wait for that");
    let peer = stage.address.ip();
    drop(idle.pop());
    let until = Instant::now() + PATIENCE;
    let place = loop {
        assert!(Instant::now() < until, "its place is not free");
        if let Some(guest) = Guests::enter(&stage.desk, peer) {
            break guest;
        }
        thread::yield_now();
    };
    drop(place);
    assert_eq!(stage.change(None, &standing(1, "ada")), TieBreakOutcome::Set);
}

#[test]
fn what_is_damaged_is_left_as_it_is() {
    let stage = Stage::new();
    fs::write(stage.value(), "{\"era\": 1").unwrap();
    says(
        stage.change(None, &standing(1, "ada")),
        &["web.json", "damaged", "left as it is", "move it away only if"],
    );
    assert_eq!(fs::read(stage.value()).unwrap(), b"{\"era\": 1");
}

#[test]
fn what_cannot_be_made_durable_is_not_answered_as_set() {
    let stage = Stage::new();
    // A folder is where the new value has to be written.
    fs::create_dir(stage.dir.path().join("state/web.json.new")).unwrap();
    says(stage.change(None, &standing(1, "ada")), &["cannot write", "web.json", "see its disk"]);
    assert!(!stage.value().exists());
}

#[test]
fn two_witnesses_do_not_share_a_folder() {
    let stage = Stage::new();
    let why = Witness::open(&options(stage.dir.path())).err().unwrap().to_string();
    assert!(why.contains("another witness uses") && why.contains("--state"), "{why}");
    let mut missing = options(stage.dir.path());
    missing.clusters = "/nowhere/keys".into();
    let why = Witness::open(&missing).err().unwrap().to_string();
    assert!(why.contains("/nowhere/keys") && why.contains("CLUSTER.key"), "{why}");
}
