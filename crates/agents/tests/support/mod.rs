//! Machines made of nothing but a network namespace, for tests.
//!
//! A world is a thread in its own namespace; what it opens and spawns lives there, and all of it
//! goes when the test ends. Tests that need rights this process does not have say so and pass.
#![allow(dead_code, clippy::allow_attributes, reason = "every test uses another part of this")]

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::thread::UnshareFlags;

type Job = Box<dyn FnOnce() + Send>;

/// One machine.
pub(crate) struct World {
    jobs: mpsc::Sender<Job>,
    path: String,
}

impl World {
    /// Makes a machine whose loopback is up; `None`, and a word to the reader, without the right.
    pub(crate) fn new() -> Option<World> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::sync_channel(1);
        thread::spawn(move || {
            #[expect(deprecated, reason = "a new network namespace invalidates no memory or descriptor")]
            let unshared = rustix::thread::unshare(UnshareFlags::NEWNET);
            let tid = rustix::thread::gettid().as_raw_nonzero();
            let path = format!("/proc/{}/task/{tid}/ns/net", std::process::id());
            ready.send(unshared.map(|()| path)).unwrap();
            for job in inbox {
                job();
            }
        });
        match made.recv().unwrap() {
            Ok(path) => {
                let world = World { jobs, path };
                world.ip("link set lo up");
                Some(world)
            }
            Err(error) => {
                eprintln!("skipped: this test makes network namespaces, and may not: {error}");
                None
            }
        }
    }

    /// Two machines on one cable: `eth0` has 10.9.0.1 and fd00::1 here, 10.9.0.2 and fd00::2 there.
    pub(crate) fn pair() -> Option<(World, World)> {
        let (here, there) = (World::new()?, World::new()?);
        here.ip(&format!("link add eth0 type veth peer name eth0 netns {}", there.path));
        for (world, number) in [(&here, 1), (&there, 2)] {
            world.ip("link set eth0 up");
            world.ip(&format!("addr add 10.9.0.{number}/24 dev eth0"));
            world.ip(&format!("addr add fd00::{number}/64 dev eth0 nodad"));
        }
        Some((here, there))
    }

    /// Runs something on this machine and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::sync_channel(1);
        self.jobs.send(Box::new(move || answer.send(job()).unwrap())).unwrap();
        answered.recv().expect("the job panicked")
    }

    /// Starts a thread on this machine.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        self.run(move || thread::spawn(job))
    }

    /// Runs a command on this machine; its output.
    pub(crate) fn command(&self, line: &str) -> (bool, String) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        self.run(move || {
            let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        })
    }

    /// Whether a datagram from this machine to `address` arrives at the other one within 2 s.
    pub(crate) fn reaches(&self, other: &World, address: &str) -> bool {
        let address: IpAddr = address.parse().unwrap();
        let Ok(server) = other.run(move || UdpSocket::bind(SocketAddr::new(address, 7))) else {
            return false;
        };
        server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let client = self.run(move || UdpSocket::bind(any).unwrap());
        (0..4).any(|_| {
            client.send_to(b"?", SocketAddr::new(address, 7)).is_ok() && server.recv_from(&mut [0; 8]).is_ok()
        })
    }

    /// Runs `ip` on this machine, which must succeed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let (done, output) = self.command(&format!("ip {arguments}"));
        assert!(done, "ip {arguments}: {output}");
        output
    }
}

/// The CPU time that this process has used so far.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}
