//! A watchdog device, by the kernel's interface (linux/Documentation/watchdog/watchdog-api.rst).
//!
//! Opened it runs. Closed it runs on, unless it was told before that it is closed on purpose, and resets the machine
//! if nobody opens it again in time. A path that is a socket is a watchdog of the laboratory, where there is no
//! hardware: it is told the same in lines of text.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{FileTypeExt as _, OpenOptionsExt as _},
            net::UnixStream,
        },
    },
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::sys;

/// What a file is written before it is closed on purpose (watchdog-api.rst, "magic close").
const CLOSED_ON_PURPOSE: &[u8] = b"V";
/// How long a watchdog of the laboratory may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);
/// Longest answer of one.
const ANSWER_MAX: u64 = 32;

/// An armed watchdog.
#[derive(Debug)]
pub(super) struct Device {
    means: Means,
    /// Who it is, for people.
    pub(super) name: String,
    /// How long it waits.
    pub(super) waits: Duration,
    /// What it was told last may have been told by another process.
    unsure: bool,
    /// When it was opened or fed last.
    pub(super) fed_at: Instant,
}

#[derive(Debug)]
enum Means {
    Kernel {
        file: File,
        /// It takes another time than the one that it has.
        settable: bool,
        /// It can be told that it is closed on purpose.
        closes: bool,
    },
    Laboratory(UnixStream),
    /// One that cannot be fed, or told how long to wait, that often, and says why.
    #[cfg(test)]
    Stubborn(u32, i32),
}

/// Whether what a device did not take may be taken a moment later. Not what it does not know or does not do, nor if it
/// is gone.
pub(super) fn may_pass(error: &anyhow::Error) -> bool {
    let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) else { return false };
    let gone = [libc::ENODEV, libc::ENXIO, libc::EBADF, libc::EPIPE, libc::ECONNRESET, libc::ENOTCONN];
    let refused = [libc::EINVAL, libc::ENOTTY, libc::EOPNOTSUPP, libc::EPERM, libc::EACCES];
    error.raw_os_error().is_some_and(|code| !gone.contains(&code) && !refused.contains(&code))
}

impl Device {
    /// Opens a watchdog, which runs from then on, and tells it how long to wait.
    ///
    /// # Errors
    /// When it cannot be opened, or takes another time; then it is as it was before, if its driver can do that.
    pub(super) fn arm(path: &Path, deadline: Duration) -> anyhow::Result<Device> {
        let shown = path.display();
        let mut device = Device::open(path).with_context(|| format!("cannot open the watchdog {shown}"))?;
        if let Err(error) = device.wait_for(deadline) {
            let runs = match device.disarm() {
                Ok(()) => String::new(),
                Err(error) => {
                    format!(", and resets this machine in {} s ({error:#})", device.waits.as_secs())
                }
            };
            return Err(error.context(format!("the watchdog {shown} ({}) is of no use{runs}", device.name)));
        }
        if no_way_out(path) {
            tracing::warn!(
                "the watchdog {shown} cannot be stopped any more (nowayout): this machine is reset {} s after Heart has \
                 stopped, for whatever reason",
                deadline.as_secs()
            );
        }
        Ok(device)
    }

    fn open(path: &Path) -> io::Result<Device> {
        if fs::metadata(path)?.file_type().is_socket() {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
            stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
            let name = "a watchdog of the laboratory".into();
            return Ok(Device::new(Means::Laboratory(stream), name, Duration::ZERO));
        }
        let file = OpenOptions::new().write(true).custom_flags(libc::O_CLOEXEC).open(path)?;
        let support = sys::support(file.as_raw_fd())?;
        let (settable, closes) = (support.can_set_timeout(), support.can_be_closed());
        let waits = Duration::from_secs(u64::from(sys::timeout(file.as_raw_fd()).unwrap_or(0)));
        Ok(Device::new(Means::Kernel { file, settable, closes }, support.name(), waits))
    }

    fn new(means: Means, name: String, waits: Duration) -> Device {
        Device { means, name, waits, unsure: false, fed_at: Instant::now() }
    }

    /// One that refuses what it is to do that often, with this error.
    #[cfg(test)]
    pub(super) fn stubborn(refusals: u32, error: i32, waits: Duration) -> Device {
        Device::new(Means::Stubborn(refusals, error), "a stubborn one".into(), waits)
    }

    /// When it resets this machine, if it is not fed before.
    pub(super) fn left(&self, now: Instant) -> Duration {
        (self.fed_at + self.waits).saturating_duration_since(now)
    }

    /// Has it wait for so long; whole seconds.
    ///
    /// # Errors
    /// When it waits for longer or shorter after that, whatever it said.
    pub(super) fn wait_for(&mut self, deadline: Duration) -> anyhow::Result<()> {
        if self.waits == deadline && !self.unsure {
            return Ok(());
        }
        let wanted = u32::try_from(deadline.as_secs()).context("longer than any watchdog waits")?;
        let taken = match &mut self.means {
            Means::Kernel { file, settable: true, .. } => sys::set_timeout(file.as_raw_fd(), wanted)
                .with_context(|| format!("it does not take {wanted} s"))?,
            Means::Kernel { .. } => self.waits.as_secs() as u32,
            Means::Laboratory(stream) => ask(stream, &format!("timeout {wanted}\n"))?,
            #[cfg(test)]
            Means::Stubborn(0, _) => wanted,
            #[cfg(test)]
            Means::Stubborn(refusals, error) => {
                *refusals -= 1;
                return Err(io::Error::from_raw_os_error(*error).into());
            }
        };
        self.unsure = false;
        self.waits = Duration::from_secs(u64::from(taken));
        if taken != wanted {
            bail!(
                "it was told to wait for {wanted} s, and waits for {taken} s\n\
                 hint: what a watchdog waits follows from `lost_after`; use another one, such as that of `modprobe \
                 softdog`, or a `lost_after` that fits"
            );
        }
        Ok(())
    }

    /// What it was told last was told by another process: it is told again.
    pub(super) fn tell_again(&mut self) {
        self.unsure = !matches!(self.means, Means::Kernel { settable: false, .. });
        // When that was nobody knows; this machine was not reset, so it is over later.
        self.fed_at = Instant::now();
    }

    /// Feeds it.
    ///
    /// # Errors
    /// When its driver does not take it.
    pub(super) fn feed(&mut self) -> io::Result<()> {
        match &mut self.means {
            Means::Kernel { file, .. } => sys::keep_alive(file.as_raw_fd())?,
            Means::Laboratory(stream) => stream.write_all(b"feed\n")?,
            #[cfg(test)]
            Means::Stubborn(0, _) => {}
            #[cfg(test)]
            Means::Stubborn(refusals, error) => {
                *refusals -= 1;
                return Err(io::Error::from_raw_os_error(*error));
            }
        }
        self.fed_at = Instant::now();
        Ok(())
    }

    /// Stops it: the machine is not reset any more. It is closed with that, once no other process has it.
    ///
    /// # Errors
    /// When it runs on.
    pub(super) fn disarm(&mut self) -> anyhow::Result<()> {
        match &mut self.means {
            Means::Kernel { file, closes, .. } => {
                let stopped = sys::disable(file.as_raw_fd());
                let told = file.write_all(CLOSED_ON_PURPOSE);
                match (stopped, told) {
                    (Ok(()), _) => Ok(()),
                    (Err(_), Ok(())) if *closes => Ok(()),
                    (Err(error), _) => Err(error).context("it cannot be stopped"),
                }
            }
            Means::Laboratory(stream) => {
                stream.write_all(b"V\n").context("it does not take that it is closed")
            }
            #[cfg(test)]
            Means::Stubborn(..) => Ok(()),
        }
    }
}

/// Asks a watchdog of the laboratory for a number.
fn ask(stream: &UnixStream, question: &str) -> anyhow::Result<u32> {
    (&mut &*stream).write_all(question.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(io::Read::take(stream, ANSWER_MAX)).read_line(&mut answer)?;
    answer.trim().parse().with_context(|| format!("`{}` is no number of seconds", answer.trim()))
}

/// Whether the kernel refuses to stop this watchdog.
fn no_way_out(path: &Path) -> bool {
    let name = fs::canonicalize(path).ok().and_then(|path| Some(path.file_name()?.to_owned()));
    let Some(name) = name else { return false };
    let facts =
        Path::new("/sys/class/watchdog").join(if name == "watchdog" { "watchdog0".into() } else { name });
    fs::read_to_string(facts.join("nowayout")).is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// A watchdog that waits for `waits` whatever it is told; what it heard until it was closed.
    fn laboratory(waits: u32, with: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchdog");
        let listener = UnixListener::bind(&path).unwrap();
        let hears = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut heard = String::new();
            for line in BufReader::new(&stream).lines() {
                let line = line.unwrap();
                if line.starts_with("timeout") {
                    (&stream).write_all(format!("{waits}\n").as_bytes()).unwrap();
                }
                heard += &format!("{line};");
            }
            heard
        });
        with(&path);
        hears.join().unwrap()
    }

    #[test]
    fn one_that_takes_its_time_is_fed_and_closed_on_purpose() {
        let heard = laboratory(4, |path| {
            let mut device = Device::arm(path, Duration::from_secs(4)).unwrap();
            assert_eq!(device.waits, Duration::from_secs(4));
            device.feed().unwrap();
            device.wait_for(Duration::from_secs(4)).unwrap();
            device.disarm().unwrap();
        });
        assert_eq!(heard, "timeout 4;feed;V;");
    }

    #[test]
    fn one_that_waits_for_longer_than_it_was_told_is_of_no_use_and_let_go() {
        let heard = laboratory(30, |path| {
            let error = format!("{:#}", Device::arm(path, Duration::from_secs(4)).unwrap_err());
            assert!(error.contains("told to wait for 4 s, and waits for 30 s"), "{error}");
        });
        assert_eq!(heard, "timeout 4;V;");
    }

    #[test]
    fn one_that_is_not_there_or_is_no_watchdog_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        for path in [folder.path().join("missing"), plain] {
            let error = format!("{:#}", Device::arm(&path, Duration::from_secs(4)).unwrap_err());
            assert!(error.starts_with("cannot open the watchdog /"), "{error}");
        }
    }
}
