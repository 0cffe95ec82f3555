//! A watchdog for machines that have none, as all machines of a lab are.
//!
//! `lab-watchdog SOCKET BARKS LOG` listens on a Unix socket and behaves as a watchdog device does: whoever connects has
//! it to itself; `timeout SECONDS` is answered with what it waits for, any line feeds it, and `V` says that it is closed
//! on purpose. Closed otherwise it runs on. When its time is over it writes a line to the pipe BARKS, at whose other end
//! somebody takes the machine's power, and ends.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// Longest that is read at once.
const READ_MAX: usize = 256;

struct Watchdog {
    waits: Option<Duration>,
    /// When it barks, if it is armed.
    ends: Option<Instant>,
    /// It was told that it is closed on purpose.
    is_closed_on_purpose: bool,
    log: String,
}

/// Runs until it has barked.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [socket, barks, log] = arguments else { bail!("usage: lab-watchdog SOCKET BARKS LOG") };
    fs::remove_file(socket).ok();
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {socket}"))?;
    listener.set_nonblocking(true)?;
    let mut watchdog = Watchdog { waits: None, ends: None, is_closed_on_purpose: false, log: log.clone() };
    let mut owner: Option<UnixStream> = None;
    while !watchdog.is_over() {
        wait(&listener, owner.as_ref(), watchdog.ends)?;
        if let Ok((stream, _)) = listener.accept() {
            // Whoever comes while another has it is turned away, as a device does.
            if owner.is_none() {
                stream.set_nonblocking(true)?;
                watchdog.feed();
                owner = Some(stream);
            }
        }
        if let Some(stream) = &mut owner
            && !watchdog.hear(stream)?
        {
            owner = None;
        }
    }
    watchdog.note("barked")?;
    let mut pipe = OpenOptions::new().write(true).open(Path::new(barks))?;
    Ok(pipe.write_all(b"bark\n")?)
}

fn wait(listener: &UnixListener, owner: Option<&UnixStream>, ends: Option<Instant>) -> Result<()> {
    let left = ends.map(|ends| {
        let left = ends.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
    });
    let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
    fds.extend(owner.map(|stream| PollFd::new(stream, PollFlags::IN)));
    match poll(&mut fds, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait"),
    }
}

impl Watchdog {
    fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    fn feed(&mut self) {
        self.is_closed_on_purpose = false;
        self.ends = self.waits.map(|waits| Instant::now() + waits);
    }

    /// Hears what its owner says; false when that has closed it.
    fn hear(&mut self, stream: &mut UnixStream) -> Result<bool> {
        let mut bytes = [0; READ_MAX];
        let length = match stream.read(&mut bytes) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            if self.is_closed_on_purpose {
                self.ends = None;
                self.note("stopped")?;
            }
            return Ok(false);
        }
        for line in String::from_utf8_lossy(&bytes[..length]).lines() {
            self.obey(line, stream)?;
        }
        Ok(true)
    }

    fn obey(&mut self, line: &str, stream: &mut UnixStream) -> Result<()> {
        if let Some(seconds) = line.strip_prefix("timeout ").and_then(|seconds| seconds.parse().ok()) {
            self.waits = Some(Duration::from_secs(seconds));
            self.note(&format!("armed for {seconds} s"))?;
            stream.write_all(format!("{seconds}\n").as_bytes())?;
        }
        self.feed();
        self.is_closed_on_purpose = line == "V";
        Ok(())
    }

    fn note(&self, what: &str) -> io::Result<()> {
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        log.write_all(format!("{what}\n").as_bytes())
    }
}
