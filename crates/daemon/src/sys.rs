//! What the standard library and rustix do not offer safely: shared memory, real time, file
//! descriptors of another process, and what sockets can do beyond sending and receiving.
#![expect(unsafe_code, reason = "none of these calls has a safe form")]

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::thread::JoinHandleExt as _,
    },
    thread::JoinHandle,
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

/// Makes another thread real-time with this priority, be it at its end already; its children do not inherit it.
pub(crate) fn make_real_time(thread: &JoinHandle<()>, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the structure lives through the call, and a thread that was neither joined nor let go has its number.
    let code = unsafe {
        libc::pthread_setschedparam(
            thread.as_pthread_t(),
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
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
    // SAFETY: asks for the flags of the number, if it is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
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

/// Has `command` start its program with these descriptors under these numbers, whichever they have here.
pub(crate) fn hand_over(command: &mut std::process::Command, mut fds: Vec<(RawFd, RawFd)>) {
    use std::os::unix::process::CommandExt;
    let above = fds.iter().map(|(_, to)| to + 1).max().unwrap_or_default();
    let place = move || {
        // Out of the way first: one could have the number that another one is to get.
        for (from, _) in &mut fds {
            // SAFETY: fcntl is async-signal-safe, and both are plain numbers.
            *from = unsafe { libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, above) };
            if *from < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        for &(from, to) in &fds {
            // SAFETY: dup2 is async-signal-safe, and both are plain numbers.
            if unsafe { libc::dup2(from, to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure only calls fcntl and dup2, which are async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(place) };
}

/// Keeps from all that this process starts whatever it has open itself, but for its input and its outputs.
pub(crate) fn share_nothing() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        // SAFETY: sets a flag of the number, if it is open.
        if number > libc::STDERR_FILENO && unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
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

/// Makes a process whose first thread ends while a second one lives: what is left of one that was killed while a thread of
/// it waits in the kernel.
#[cfg(test)]
pub(crate) fn fork_one_whose_first_thread_ends() -> i32 {
    extern "C" fn wait(_: *mut libc::c_void) -> *mut libc::c_void {
        loop {
            // SAFETY: no memory is passed.
            unsafe { libc::pause() };
        }
    }
    // SAFETY: the child calls the C library only, which is ready for that after a fork.
    match unsafe { libc::fork() } {
        0 => {
            let mut thread = 0;
            // SAFETY: `thread` lives through the call, and `wait` takes nothing. The system call ends this thread alone,
            // and nothing of it is used any more.
            unsafe {
                libc::pthread_create(&raw mut thread, std::ptr::null(), wait, std::ptr::null_mut());
                libc::syscall(libc::SYS_exit, 0);
            }
            unreachable!("this thread has ended")
        }
        child => child,
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

/// What the kernel looks for in a datagram before it wakes anybody.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The first bytes of a frame, and the cluster's tag.
    pub(crate) marks: [[u8; 4]; 2],
    /// The shortest and the longest frame, in bytes.
    pub(crate) lengths: (usize, usize),
    /// The numbers of those who seal frames, as frames carry them.
    pub(crate) senders: Vec<[u8; 4]>,
    /// The addresses that frames come from, all of one family; of anybody if there are none.
    pub(crate) sources: Vec<IpAddr>,
}

/// Has a raw socket of ICMP, or of ICMPv6, hear nothing but answers to echo requests.
pub(crate) fn only_echo_answers(fd: RawFd, is_six: bool) -> io::Result<()> {
    /// `ICMP_FILTER` of linux/icmp.h, and `ICMPV6_FILTER` of linux/icmpv6.h.
    const FILTER: libc::c_int = 1;
    // A bit for each type that is dropped: all but 0, and all but 129.
    let mut dropped = [u32::MAX; 8];
    let (level, words) = if is_six { (libc::SOL_ICMPV6, 8) } else { (libc::SOL_RAW, 1) };
    let kept = if is_six { 129 } else { 0 };
    dropped[kept / 32] &= !(1 << (kept % 32));
    // SAFETY: the words live through the call, and the kernel reads no more of them than it is told.
    let code = unsafe {
        libc::setsockopt(
            fd,
            level,
            FILTER,
            dropped.as_ptr().cast(),
            (words * size_of::<u32>()) as libc::socklen_t,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel drop what is not wanted: garbage at line rate costs little then.
pub(crate) fn filter(fd: RawFd, wanted: &Wanted) -> io::Result<()> {
    let mut program = program(wanted);
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
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

/// The filter as a program for the kernel's packet filter. A UDP socket's filter sees the datagram
/// from its UDP header on: 8 bytes before the frame.
fn program(wanted: &Wanted) -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20;
    const LOAD_LENGTH: u16 = 0x80;
    const EQUAL: u16 = 0x15;
    const GREATER: u16 = 0x25;
    const JUMP: u16 = 0x05;
    const RETURN: u16 = 0x06;
    /// Offsets from here on count from the header of IP (linux/filter.h, SKF_NET_OFF).
    const NETWORK: u32 = 0xfff0_0000;
    const UDP: u32 = 8;
    let one = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let word = u32::from_be_bytes;
    let (shortest, longest) = wanted.lengths;
    let mut all = vec![
        one(LOAD_LENGTH, 0, 0, 0),
        one(GREATER, 0, 1, UDP + longest as u32),
        one(RETURN, 0, 0, 0),
        one(GREATER, 1, 0, UDP + shortest as u32 - 1),
        one(RETURN, 0, 0, 0),
    ];
    // Each list of alternatives: words at places, all of which have to be there. Whoever fits jumps
    // over the rest of the list and over the refusal at its end.
    let mut any_of = |alternatives: Vec<Vec<(u32, u32)>>| {
        let lengths: Vec<usize> = alternatives.iter().map(|words| 2 * words.len() + 1).collect();
        let mut behind: usize = lengths.iter().sum::<usize>() + 1;
        for (words, length) in alternatives.iter().zip(lengths) {
            for (number, &(place, value)) in words.iter().enumerate() {
                all.push(one(LOAD, 0, 0, place));
                let next = 2 * (words.len() - number - 1) + 1;
                all.push(one(EQUAL, 0, next as u8, value));
            }
            behind -= length;
            all.push(one(JUMP, 0, 0, behind as u32));
        }
        all.push(one(RETURN, 0, 0, 0));
    };
    let [magic, cluster] = wanted.marks.map(word);
    any_of(vec![vec![(UDP, magic), (UDP + 8, cluster)]]);
    any_of(wanted.senders.iter().map(|&sender| vec![(UDP + 12, word(sender))]).collect());
    let source = |address: &IpAddr| match address {
        // RFC 791, 3.1: the source address begins with byte 12 of the header.
        IpAddr::V4(address) => vec![(NETWORK + 12, word(address.octets()))],
        // RFC 8200, 3: with byte 8.
        IpAddr::V6(address) => {
            let octets = address.octets();
            let (words, _) = octets.as_chunks::<4>();
            (8..).step_by(4).zip(words).map(|(at, &bytes)| (NETWORK + at, word(bytes))).collect()
        }
    };
    if !wanted.sources.is_empty() {
        any_of(wanted.sources.iter().map(source).collect());
    }
    all.push(one(RETURN, 0, 0, u32::MAX));
    all
}

/// How many datagrams the kernel dropped at this socket: refused by the filter, or without room. The
/// number wraps around.
pub(crate) fn dropped(fd: RawFd) -> io::Result<u32> {
    /// The place of the drops among the numbers (linux/sock_diag.h, SK_MEMINFO_DROPS).
    const DROPS: usize = 8;
    let mut numbers = [0u32; DROPS + 1];
    let mut length = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `numbers`, which outlives the call.
    let code = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, numbers.as_mut_ptr().cast(), &raw mut length)
    };
    if code == 0 { Ok(numbers[DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// Takes as many datagrams off a socket as wait, and as there is room for, without waiting; how many,
/// and how long each is.
pub(crate) fn receive_many<const N: usize, const LENGTH: usize>(
    fd: RawFd,
    into: &mut [[u8; LENGTH]; N],
    lengths: &mut [usize; N],
) -> io::Result<usize> {
    // SAFETY: all-zero is a valid value of both: no pointers, no lengths.
    let (mut rooms, mut headers): ([libc::iovec; N], [libc::mmsghdr; N]) = unsafe { std::mem::zeroed() };
    for ((room, header), bytes) in rooms.iter_mut().zip(&mut headers).zip(into) {
        *room = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: LENGTH };
        header.msg_hdr.msg_iov = room;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: every header points to one room of `LENGTH` bytes of its own, and all outlive the call;
    // without a timeout none is passed.
    let count = unsafe {
        libc::recvmmsg(fd, headers.as_mut_ptr(), N as u32, libc::MSG_DONTWAIT, std::ptr::null_mut())
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    for (length, header) in lengths.iter_mut().zip(&headers) {
        *length = header.msg_len as usize;
    }
    Ok(count)
}
