//! The log: lines on the standard error, written without waiting for who reads them.
//!
//! All processes of a node have one reader: the journal, a pipe, a terminal. If that stands still, nothing of Heart may:
//! not the core at its next note, nor the guardian, which feeds the watchdog. So what is not taken at once is dropped and
//! counted, and the next line that is taken says how many are missing. What waits to be read waits in the kernel, whose
//! room for that is bounded, and is not lost with a process. There is no thread for it, either: the guardian forks, and
//! the core and the gateway give up their rights for one thread only.
//!
//! What stands in a file is written as ever: a disk that stalls holds up who writes to it.

use std::{
    io::{self, IsTerminal, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use heart_agents::wait::timespec;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FileType, Mode, OFlags, fstat, open},
    io::{Errno, retry_on_intr},
    net::{SendFlags, send},
};

/// How long a process that ends waits for its last words to be taken.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes that a pipe takes whole if it takes any (pipe(7), PIPE_BUF).
const PIPE_WHOLE: usize = 4096;

/// Has this process log from now on, what it says as it panics too.
pub(crate) fn start() {
    // Without its rights, or in another root, this process could not open it again.
    writer();
    let level = std::env::var("HEART_LOG").ok().and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::INFO))
        .with_target(false)
        // Colours are for people who look at it now, not for a file.
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Lines)
        .init();
    // What the standard library does here waits for the reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Says something before this process ends, and what is missing until then. Waits for the reader, but not for long.
pub(crate) fn last_words(words: &str) {
    if let Some(writer) = writer() {
        writer.lock().unwrap_or_else(PoisonError::into_inner).last_words(words.as_bytes(), LAST_WORDS);
    }
}

/// None if there is no descriptor left for it now; the next line tries again.
fn writer() -> Option<&'static Mutex<Writer>> {
    static WRITER: OnceLock<Mutex<Writer>> = OnceLock::new();
    if WRITER.get().is_none() {
        let fd = io::stderr().as_fd().try_clone_to_owned().ok()?;
        WRITER.set(Mutex::new(Writer::new(fd))).ok();
    }
    WRITER.get()
}

/// Where lines go; each is written in one go.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(writer) = writer() {
            writer.lock().unwrap_or_else(PoisonError::into_inner).line(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How to write without waiting. The flag for that belongs to an opening that others share, and is not ours to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A socket can be told each time.
    Told,
    /// Through an opening of our own. Or it is a file, with which nothing helps.
    Own,
    /// There is no way but to look first. Others may fill the room between the look and the writing.
    Looked,
}

#[derive(Debug)]
struct Writer {
    fd: OwnedFd,
    way: Way,
    /// What is left of a line that was taken in part.
    rest: Vec<u8>,
    /// Lines that were dropped and not told of yet.
    missing: u64,
}

impl Writer {
    fn new(fd: OwnedFd) -> Writer {
        let kind = fstat(&fd).map(|facts| FileType::from_raw_mode(facts.st_mode));
        let again = || {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            open(format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty())
        };
        let (fd, way) = match kind {
            Ok(FileType::Socket) => (fd, Way::Told),
            Ok(FileType::Fifo | FileType::CharacterDevice) => match again() {
                Ok(own) => (own, Way::Own),
                Err(_) => (fd, Way::Looked),
            },
            _ => (fd, Way::Own),
        };
        Writer { fd, way, rest: Vec::new(), missing: 0 }
    }

    /// Writes a line, or counts it.
    fn line(&mut self, line: &[u8]) {
        let taken = if self.catch_up() { self.put(line) } else { 0 };
        match taken {
            0 => self.missing += 1,
            _ => self.rest = line[taken..].to_vec(),
        }
    }

    /// Writes what is left of an earlier line, and how many are missing; whether there may be room for more.
    fn catch_up(&mut self) -> bool {
        if !self.rest.is_empty() {
            let taken = self.put(&self.rest);
            self.rest.drain(..taken);
        }
        if self.rest.is_empty() && self.missing > 0 {
            let said = match self.missing {
                1 => "1 line is missing here: nobody read the log in time\n".to_owned(),
                lines => format!("{lines} lines are missing here: nobody read the log in time\n"),
            };
            let taken = self.put(said.as_bytes());
            if taken == 0 {
                return false;
            }
            self.missing = 0;
            self.rest = said.as_bytes()[taken..].to_vec();
        }
        self.rest.is_empty()
    }

    /// How many of these bytes are taken at once. If nobody is there to read them ever, they count as taken.
    fn put(&self, bytes: &[u8]) -> usize {
        let done = retry_on_intr(|| match self.way {
            Way::Told => send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Own => rustix::io::write(&self.fd, bytes),
            Way::Looked if self.has_room(Duration::ZERO) => {
                rustix::io::write(&self.fd, &bytes[..bytes.len().min(PIPE_WHOLE)])
            }
            Way::Looked => Err(Errno::AGAIN),
        });
        match done {
            Err(Errno::AGAIN) => 0,
            done => done.unwrap_or(bytes.len()),
        }
    }

    /// Whether something is taken, within that time.
    fn has_room(&self, within: Duration) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        poll(&mut fds, Some(&timespec(within))).is_ok_and(|_| fds[0].revents().contains(PollFlags::OUT))
    }

    fn last_words(&mut self, words: &[u8], patience: Duration) {
        let end = Instant::now() + patience;
        let mut left = words;
        loop {
            if self.catch_up() {
                left = &left[self.put(left)..];
            }
            let wait = end.saturating_duration_since(Instant::now());
            let done = left.is_empty() && self.rest.is_empty() && self.missing == 0;
            if done || wait.is_zero() || !self.has_room(wait) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, os::unix::net::UnixStream, thread};

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    /// Two ends of everything that a reader may hold.
    fn ends() -> Vec<(File, Writer)> {
        let socket = || {
            let (reader, writer) = UnixStream::pair().unwrap();
            (File::from(OwnedFd::from(reader)), Writer::new(writer.into()))
        };
        let pipe = || {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            (File::from(reader), Writer::new(writer))
        };
        let looked = || {
            let (reader, writer) = pipe();
            let (other, shared) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            drop((reader, writer));
            (File::from(other), Writer { fd: shared, way: Way::Looked, rest: Vec::new(), missing: 0 })
        };
        vec![socket(), pipe(), looked()]
    }

    /// Writes numbered lines until many were dropped; how many were written in all.
    fn flood(writer: &mut Writer) -> u64 {
        let mut lines = 0;
        while writer.missing < 100 {
            writer.line(format!("line {lines:090}\n").as_bytes());
            lines += 1;
            assert!(lines < 1_000_000, "somebody reads this");
        }
        lines
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_hears_what_it_missed() {
        for (mut reader, mut writer) in ends() {
            let way = writer.way;
            let written = flood(&mut writer);
            // Of what fits no more nothing was lost of what had been taken.
            let heard = thread::spawn(move || {
                let mut text = String::new();
                reader.read_to_string(&mut text).unwrap();
                text
            });
            writer.last_words(b"that was all\n", Duration::from_secs(60));
            drop(writer);
            let text = heard.join().unwrap();
            let (mut whole, mut missing) = (0, 0);
            for line in text.lines() {
                let note = line.split_once(" line");
                match note {
                    Some((count, _)) => missing += count.parse::<u64>().unwrap(),
                    None if line == "that was all" => assert_eq!(whole + missing, written, "{way:?}"),
                    None => {
                        assert_eq!(line, format!("line {:090}", whole + missing), "{way:?}");
                        whole += 1;
                    }
                }
            }
            assert!(text.ends_with("in time\nthat was all\n") && missing >= 100, "{way:?}: {text}");
        }
    }

    #[test]
    fn the_last_words_of_who_is_not_heard_have_an_end() {
        for (reader, mut writer) in ends() {
            flood(&mut writer);
            writer.last_words(b"that was all\n", Duration::from_millis(10));
            drop(reader);
            writer.last_words(b"and nobody is there\n", Duration::from_secs(60));
        }
    }
}
