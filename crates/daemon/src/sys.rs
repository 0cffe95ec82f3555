//! What the standard library and rustix do not offer safely: shared memory, real time, and file
//! descriptors of another process.
#![expect(unsafe_code, reason = "mapping shared memory and taking over descriptors have no safe form")]

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use heart_node::board::Board;

/// A board in a file that all processes of the node map.
#[derive(Debug)]
pub(crate) struct MappedBoard(&'static Board);

impl MappedBoard {
    /// Maps the board in `file`, which is made long enough.
    pub(crate) fn map(file: &File) -> io::Result<MappedBoard> {
        let length = size_of::<Board>();
        if file.metadata()?.len() < length as u64 {
            file.set_len(length as u64)?;
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice; the file is long enough and
        // nobody shortens it: only root can, and its mapping is never undone.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a board is made of atomics only, for which every bit pattern is a value and which may
        // be changed by other processes; a mapping is aligned to a page, and lives as long as the process.
        Ok(MappedBoard(unsafe { &*at.cast::<Board>() }))
    }

    /// The board.
    pub(crate) fn board(&self) -> &'static Board {
        self.0
    }
}

/// Makes the calling thread real-time with this priority; children do not inherit it.
pub(crate) fn become_real_time(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the structure lives through the call; 0 is the calling thread.
    let code = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps in memory what is touched from now on, so that no heartbeat waits for a page.
pub(crate) fn lock_memory() -> io::Result<()> {
    // SAFETY: no memory is passed.
    let code = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the descriptor that this process was started with.
///
/// Each number is taken once, at the start of the process: see `handed`.
pub(crate) fn take_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: sets a flag of the number, if it is open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and by the contract of this function nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Copies a descriptor of another process, which we may trace.
pub(crate) fn copy_fd(pidfd: &OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the result is checked below and owned by nobody else.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    let copy = RawFd::try_from(copy).unwrap_or(-1);
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made by the kernel for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Has `command` start its program with these descriptors under these numbers.
pub(crate) fn hand_over(command: &mut std::process::Command, fds: Vec<(RawFd, RawFd)>) {
    use std::os::unix::process::CommandExt;
    let place = move || {
        for &(from, to) in &fds {
            // SAFETY: dup2 is async-signal-safe, and both are plain numbers.
            if unsafe { libc::dup2(from, to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure only calls dup2, which is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(place) };
}

/// Names this process for `ps` and `top`: it was started from a path that ends in `exe`. Fifteen bytes
/// at most; the rest is cut off.
pub(crate) fn name_process(name: &str) {
    let Ok(name) = std::ffi::CString::new(name) else { return };
    // SAFETY: the string lives through the call, which copies it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Makes a second process of this one, as fork(2): the child's number in the parent, `None` in the child.
///
/// # Errors
/// When this process has more than one thread, or the kernel has no room for another.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    let threads = std::fs::read_dir("/proc/self/task")?.take(2).count();
    if threads != 1 {
        return Err(io::Error::other("a process with threads cannot be forked"));
    }
    // SAFETY: no other thread exists, so no lock is held by anybody whom the child would not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}

/// Has this process be the one to whom orphans of its descendants fall.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: no memory is passed.
    let code = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Blocks these signals and hands out a descriptor on which they can be read.
pub(crate) fn signals(wanted: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set lives through all three calls, and is initialised by the first.
    let fd = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        wanted.iter().for_each(|&signal| {
            libc::sigaddset(&raw mut set, signal);
        });
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made by the kernel for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Undoes what a parent blocked, in a program that wants its signals.
pub(crate) fn unblock_signals() {
    // SAFETY: the set lives through both calls, and is initialised by the first.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Has the kernel drop, before anybody is woken, what is not sealed for this cluster by one of
/// these IPv4 senders: garbage at line rate costs little then. Only for IPv4 sockets.
pub(crate) fn filter(fd: RawFd, magic: u32, cluster: u32) -> io::Result<()> {
    // A UDP socket's filter sees the datagram from its UDP header on: 8 bytes before the frame.
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let one = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        one(LOAD, 0, 0, 8),
        one(EQUAL, 0, 3, magic),
        one(LOAD, 0, 0, 16),
        one(EQUAL, 0, 1, cluster),
        one(RETURN, 0, 0, u32::MAX),
        one(RETURN, 0, 0, 0),
    ];
    let filter = libc::sock_fprog { len: 6, filter: program.as_mut_ptr() };
    // SAFETY: the program lives through the call; the kernel copies and verifies it.
    let code = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
