//! What reaches the kernel late must not open anything.
//!
//! Here the moments between computing and performing are stretched on purpose, which no test from
//! outside can do: a process is stopped just there.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{MARK, nft, warden::Warden};
use crate::{ToldLease, clock, sys, wait, wait::Bell};
use support::World;

const OWNED: &str = "10.9.0.100";

fn ms(wait: u64) -> Duration {
    Duration::from_millis(wait)
}

/// Lets time pass, as it does for a process that is stopped.
fn stopped_for(time: Duration) {
    let bell = Bell::new().unwrap();
    wait::any(&[bell.as_fd()], Some(Instant::now() + time)).unwrap();
}

/// A gate without its thread, and the lease it looks at.
fn warden(world: &World) -> (Warden, Arc<ToldLease>) {
    let lease = Arc::new(ToldLease::default());
    let view = Arc::clone(&lease);
    let warden = world.run(move || Warden::new(view, None, Arc::new(Bell::new().unwrap())).unwrap());
    (warden, lease)
}

#[test]
fn a_refresh_computed_before_a_stop_opens_nothing_after_it() {
    let Some((here, there)) = World::pair() else { return };
    let (mut warden, lease) = warden(&here);
    let owned: IpAddr = OWNED.parse().unwrap();
    warden.manage(&[owned]).unwrap();
    here.ip(&format!("addr add {OWNED}/24 dev eth0"));
    let server = here.run(move || UdpSocket::bind(SocketAddr::new(owned, 7)).unwrap());
    server.set_read_timeout(Some(ms(100))).unwrap();
    let client = there.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let arrives = || {
        client.send_to(b"?", SocketAddr::new(owned, 7)).unwrap();
        server.recv_from(&mut [0; 8]).is_ok()
    };
    lease.tell(clock::now().after(ms(3000)));
    warden.open(&[owned]).unwrap();
    assert!(arrives(), "it is open in time");

    lease.tell(clock::now());
    warden.refresh();
    assert!(!arrives(), "a lease that is taken away closes what was open for longer");
    lease.tell(clock::now().after(ms(300)));
    warden.refresh();
    assert!(arrives(), "and opens again with the next");

    let late = warden.opening().unwrap();
    stopped_for(ms(300));
    warden.transact(|batch| nft::refresh(batch, late)).unwrap();
    // The timeout alone would let packets pass for another 300 ms.
    assert!(!arrives(), "the deadline has passed");
    assert!(warden.open(&[owned]).is_err(), "there is no lease");
}

#[test]
fn an_announcement_sent_after_a_stop_does_not_leave() {
    let Some((here, there)) = World::pair() else { return };
    let (mut warden, lease) = warden(&here);
    let index: u32 =
        here.run(|| std::fs::read_to_string("/proc/thread-self/net/dev_mcast")).map_or(0, |text| {
            text.lines().find_map(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        });
    assert!(index > 0, "eth0 has a number");
    let ears = there.run(|| sys::packet_socket().unwrap());
    sys::hear_arp_of(ears.as_fd(), [10, 9, 0, 100]).unwrap();
    let mouth = here.run(|| sys::packet_socket().unwrap());
    sys::mark(mouth.as_fd(), MARK).unwrap();
    let heard = |within: Duration| {
        let packet =
            [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 9, 0, 100, 0, 0, 0, 0, 0, 0, 10, 9, 0, 100];
        // A packet that the filter drops is an error for whoever sends it.
        sys::send_frame(mouth.as_fd(), index, sys::ETHER_ARP, &[0xff; 6], &packet).ok();
        let ready = wait::any(&[ears.as_fd()], Some(Instant::now() + within)).unwrap()[0];
        rustix::io::read(&ears, &mut [0u8; 64]).ok();
        ready
    };
    assert!(warden.announce("eth0").is_err(), "there is no lease");
    lease.tell(clock::now().after(ms(2000)));
    if let Err(error) = warden.announce("eth0") {
        eprintln!("skipped: this kernel cannot filter what leaves an interface: {error}");
        return;
    }
    assert!(heard(ms(1000)), "it leaves in time");
    lease.tell(clock::now().after(ms(200)));
    warden.announce("eth0").unwrap();
    stopped_for(ms(200));
    assert!(!heard(ms(100)), "it is too late");
}
