//! What the kernel says of processes: `/proc/PID/stat`, proc(5).

use std::{
    fmt, fs, io,
    os::fd::{AsFd as _, OwnedFd},
    time::Instant,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};

use crate::wait;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    name: String,
    state: char,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// When it was started, in ticks since the boot: a number that is used again has another.
    pub(crate) started: u64,
}

impl Stat {
    /// Reads one line. The name stands in brackets, and may hold anything.
    pub(crate) fn parse(line: &str) -> Option<Stat> {
        let (pid, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse().ok();
        Some(Stat {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            group: number(5)?,
            session: number(6)?,
            started: fields.get(22 - 3)?.parse().ok()?,
        })
    }

    /// The process with this number, if there is one; it may have ended, and wait to be buried.
    ///
    /// # Errors
    /// When that cannot be found out: then there may be one.
    pub(crate) fn of(pid: i32) -> io::Result<Option<Stat>> {
        let path = format!("/proc/{pid}/stat");
        let line = match fs::read(&path) {
            Ok(line) => line,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let line = String::from_utf8_lossy(&line);
        let stat = Stat::parse(&line);
        stat.map(Some).ok_or_else(|| io::Error::other(format!("{path} has no meaning: {line}")))
    }

    /// Every process of which that holds.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub(crate) fn all(is_meant: impl Fn(&Stat) -> bool) -> io::Result<Vec<Stat>> {
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
                all.extend(Stat::of(pid)?.filter(|stat| is_meant(stat)));
            }
        }
        Ok(all)
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            'D' => ", in state D: it waits for a device",
            _ => "",
        };
        write!(f, "process {} {}{state}", self.pid, self.name)
    }
}

/// A handle of the process that has this number and was started then; none if that has ended.
///
/// # Errors
/// When that cannot be found out: then it may live.
pub(crate) fn open(pid: i32, started: u64) -> io::Result<Option<OwnedFd>> {
    let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
    // Opened before the start is read: what is meant is what was looked at.
    let fd = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_it = Stat::of(pid)?.is_some_and(|stat| stat.started == started);
    Ok(if is_it && !has_ended(&fd)? { Some(fd) } else { None })
}

/// Buries the process that has this number and was started then, if it has ended and is a child of ours.
pub(crate) fn bury(pid: i32, started: u64) {
    let is_it = Stat::of(pid).is_ok_and(|stat| stat.is_some_and(|stat| stat.started == started));
    if let Some(pid) = Pid::from_raw(pid).filter(|_| is_it) {
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok();
    }
}

/// Kills the process that has this number and was started then, and waits until it has ended; whether that came before
/// `until`.
///
/// # Errors
/// When it cannot be found out whether it lives.
pub(crate) fn end(pid: i32, started: u64, until: Instant) -> io::Result<bool> {
    let gone = match open(pid, started)? {
        None => true,
        Some(fd) => {
            pidfd_send_signal(&fd, Signal::KILL).ok();
            wait::any(&[fd.as_fd()], Some(until))?[0]
        }
    };
    bury(pid, started);
    Ok(gone)
}

/// proc(5): a process that goes while it is read answers `ESRCH`.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Whether a process has ended, with all its threads, and if it is the first of a namespace with all that is in that.
pub(crate) fn has_ended(fd: &OwnedFd) -> io::Result<bool> {
    Ok(wait::any(&[fd.as_fd()], Some(Instant::now()))?[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "4711 (a) b (c) D 1 42 43 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 2712294 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.group, stat.session, stat.started), (4711, 42, 43, 2_712_294));
        assert_eq!(stat.to_string(), "process 4711 a) b (c, in state D: it waits for a device");
        assert_eq!(Stat::parse("4711 (a) D 1"), None);
    }

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let me = Stat::of(std::process::id().cast_signed()).unwrap().unwrap();
        assert!(open(me.pid, me.started).unwrap().is_some());
        assert!(open(me.pid, me.started + 1).unwrap().is_none(), "another one had this number");
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = child.id().cast_signed();
        let started = Stat::of(pid).unwrap().unwrap().started;
        let fd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        wait::any(&[fd.as_fd()], None).unwrap();
        assert!(open(pid, started).unwrap().is_none(), "nobody has buried it yet, and it has ended");
        child.wait().unwrap();
        assert!(open(pid, started).unwrap().is_none());
    }
}
