//! The gate, seen by packets.
//!
//! Two machines on a cable; one has addresses behind the gate and echoes datagrams, the other
//! sends them.

mod support;

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use heart_agents::{ToldLease, clock, gate::Gate};
use support::World;

const OWNED4: &str = "10.9.0.100";
const OWNED6: &str = "fd00::100";

fn ms(wait: u64) -> Duration {
    Duration::from_millis(wait)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Echoes what comes to `address` until the test ends.
fn echo(world: &World, address: &str) {
    let address = ip(address);
    let socket = world.run(move || UdpSocket::bind(SocketAddr::new(address, 7)).unwrap());
    world.spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], from).ok();
        }
    });
}

/// A client of one address.
struct Client(UdpSocket);

impl Client {
    fn of(world: &World, address: &str) -> Client {
        let address = ip(address);
        let socket = world.run(move || {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(SocketAddr::new(address, 7)).unwrap();
            socket
        });
        Client(socket)
    }

    /// Asks once; whether the answer came within the time.
    fn asks(&self, within: Duration) -> bool {
        self.0.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 64];
        self.0.send(b"?").ok();
        match self.0.recv(&mut buffer) {
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            // The other side, or its silence, made the kernel give up.
            Err(_) => false,
        }
    }

    /// Asks until an answer comes, at most five seconds.
    fn is_answered(&self) -> bool {
        let end = Instant::now() + ms(5000);
        while Instant::now() < end {
            if self.asks(ms(50)) {
                return true;
            }
        }
        false
    }
}

struct Scene {
    here: World,
    there: World,
    lease: Arc<ToldLease>,
    gate: Arc<Gate>,
}

/// Both addresses managed, added, and echoing; nothing is open yet.
fn scene() -> Option<Scene> {
    let (here, there) = World::pair()?;
    let lease = Arc::new(ToldLease::default());
    let view = Arc::clone(&lease);
    let gate = Arc::new(here.run(move || Gate::start(view, None).unwrap()));
    gate.manage(&[ip(OWNED4), ip(OWNED6)]).unwrap();
    here.ip(&format!("addr add {OWNED4}/24 dev eth0"));
    here.ip(&format!("addr add {OWNED6}/64 dev eth0 nodad"));
    echo(&here, OWNED4);
    echo(&here, OWNED6);
    Some(Scene { here, there, lease, gate })
}

/// Extends the lease by `lease` every `every` until told to stop.
fn keep(
    lease: &Arc<ToldLease>,
    length: Duration,
    every: Duration,
) -> (Arc<AtomicBool>, thread::JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (lease, stopped) = (Arc::clone(lease), Arc::clone(&stop));
    lease.tell(clock::now().after(length));
    let thread = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            lease.tell(clock::now().after(length));
            thread::park_timeout(every);
        }
    });
    (stop, thread)
}

#[test]
fn what_is_managed_is_closed_and_opens_only_under_a_lease() {
    let Some(scene) = scene() else { return };
    for (owned, own) in [(OWNED4, "10.9.0.2"), (OWNED6, "fd00::2")] {
        let client = Client::of(&scene.there, owned);
        assert!(!client.asks(ms(200)), "{owned} is closed");
        let neighbours = scene.there.ip("neigh show");
        assert!(!neighbours.contains(&format!("{owned} dev eth0 lladdr")), "nobody learns it: {neighbours}");
        assert!(scene.gate.open(&[ip(owned)]).is_err(), "without a lease it stays closed");
        assert!(!client.asks(ms(100)), "{owned} is still closed");
        scene.here.ip(&format!("neigh flush to {own}"));
        scene.there.ip(&format!("neigh flush to {owned}"));
        let (stop, thread) = keep(&scene.lease, ms(300), ms(50));
        scene.gate.open(&[ip(owned)]).unwrap();
        assert!(client.is_answered(), "{owned} is open");
        scene.gate.close(&[ip(owned)]).unwrap();
        assert!(!client.asks(ms(100)), "{owned} is closed again");
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        scene.lease.tell(clock::now());
    }
}

#[test]
fn what_is_open_falls_silent_before_the_lease_ends() {
    let Some(scene) = scene() else { return };
    for (length, owned) in [(300, OWNED4), (60, OWNED4), (300, OWNED6)] {
        let (stop, thread) = keep(&scene.lease, ms(length), ms(length / 6));
        scene.gate.open(&[ip(owned)]).unwrap();
        let client = Client::of(&scene.there, owned);
        assert!(client.is_answered());
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        let end = clock::now().after(ms(length));
        scene.lease.tell(end);
        let mut last = clock::now();
        let mut asked = 0;
        while !clock::now().may_have_reached(end.after(ms(300))) {
            asked += 1;
            if client.asks(ms(2)) {
                last = clock::now();
            }
        }
        assert!(asked > 20);
        let early = last.at_least_until(end);
        eprintln!("lease {length} ms, {owned}: silent {early:?} before its end");
        assert!(!early.is_zero(), "an answer came after the end of the lease");
        assert!(early < ms(length / 10 + 60), "silent {early:?} before the end: far too early");
        scene.gate.close(&[ip(owned)]).unwrap();
    }
}

#[test]
fn refreshing_leaves_no_gap() {
    let Some(scene) = scene() else { return };
    // The lease is long, so that nothing but a gap can lose a packet, however slow this machine is.
    scene.lease.tell(clock::now().after(ms(60_000)));
    scene.gate.open(&[ip(OWNED4), ip(OWNED6)]).unwrap();
    for owned in [OWNED4, OWNED6] {
        let client = Client::of(&scene.there, owned);
        assert!(client.is_answered());
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, gate) = (Arc::clone(&stop), Arc::clone(&scene.gate));
        let refresher = thread::spawn(move || {
            // Opening what is open is a refresh.
            let mut refreshed = 0;
            while !stopped.load(Ordering::Relaxed) {
                gate.open(&[ip(owned)]).unwrap();
                refreshed += 1;
            }
            refreshed
        });
        let end = Instant::now() + ms(1000);
        let (mut asked, mut missed) = (0, 0);
        while Instant::now() < end {
            asked += 1;
            missed += u32::from(!client.asks(ms(2000)));
        }
        stop.store(true, Ordering::Relaxed);
        let refreshed = refresher.join().unwrap();
        eprintln!("{owned}: {refreshed} refreshes, {asked} asked, {missed} missed");
        assert_eq!(missed, 0, "of {asked} to {owned}");
        assert!(refreshed > 20, "only {refreshed} refreshes");
    }
}

#[test]
fn a_flushed_ruleset_is_put_back_at_once() {
    let Some(scene) = scene() else { return };
    if !scene.here.command("nft --version").0 {
        eprintln!("skipped: this test flushes tables with `nft`, which is not installed");
        return;
    }
    let client = Client::of(&scene.there, OWNED4);
    for flush in ["nft flush ruleset", "nft delete table inet heart", "nft flush table arp heart"] {
        assert!(scene.here.command(flush).0);
        let end = Instant::now() + ms(2000);
        let whole = loop {
            let (_, rules) = scene.here.command("nft list ruleset");
            if rules.contains("table inet heart") && rules.matches("goto lease").count() == 8 {
                break true;
            }
            if Instant::now() > end {
                break false;
            }
        };
        assert!(whole, "{flush}: the tables are back");
        assert!(!client.asks(ms(100)), "{flush}: closed again");
    }
    let (stop, thread) = keep(&scene.lease, ms(300), ms(50));
    scene.gate.open(&[ip(OWNED4)]).unwrap();
    assert!(client.is_answered());
    assert!(scene.here.command("nft flush ruleset").0);
    assert!(client.is_answered(), "what was open is open again");
    // Again and again, faster than it is answered, and with no lease any more at the end.
    for _ in 0..5 {
        assert!(scene.here.command("nft flush ruleset").0);
    }
    assert!(client.is_answered(), "it is open still");
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    assert!(scene.gate.forget(&[ip(OWNED4)]).is_ok());
    assert!(scene.gate.uninstall().is_ok());
    assert_eq!(scene.here.command("nft list ruleset").1, "");
}

/// What the gate costs while nothing happens. Not a test: `cargo test -p heart-agents --test gate
/// -- --ignored --nocapture cost`.
#[test]
#[ignore = "a measurement"]
fn cost_of_refreshing() {
    let Some(scene) = scene() else { return };
    for (length, every) in [(568, 100), (21, 4)] {
        let (stop, thread) = keep(&scene.lease, ms(length), ms(every));
        let idle = support::cpu_time();
        thread::park_timeout(ms(5000));
        let idle = support::cpu_time() - idle;
        scene.gate.open(&[ip(OWNED4), ip(OWNED6)]).unwrap();
        let busy = support::cpu_time();
        thread::park_timeout(ms(5000));
        let busy = support::cpu_time() - busy;
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        scene.gate.close(&[ip(OWNED4), ip(OWNED6)]).unwrap();
        eprintln!("lease {length} ms: {:?} in 5 s ({idle:?} without the gate)", busy.saturating_sub(idle));
    }
}
