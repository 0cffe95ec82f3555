//! The few calls that no safe wrapper covers.
#![expect(unsafe_code, reason = "packet sockets, filters, scheduling and timers have no safe wrapper")]

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The size of a value as the kernel wants to know it.
fn size<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("options are small")
}

fn set_option<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` lives through the call and is as long as we say; only plain C structures
    // are passed by the callers in this module.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size::<T>())
    };
    check(result).map(drop)
}

/// Runs the calling thread under `SCHED_RR`; its children do not inherit that.
pub(crate) fn become_real_time(priority: i32) -> io::Result<()> {
    make_real_time(0, priority)
}

/// Runs the first thread of a process under `SCHED_RR`, the calling thread if that is 0; its children do not inherit
/// that.
pub(crate) fn make_real_time(pid: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: a number is no memory, and `parameters` lives through the call.
    check(unsafe {
        libc::sched_setscheduler(pid, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    })
    .map(drop)
}

/// Keeps in memory what is touched from now on, so that nothing here waits for a page.
pub(crate) fn lock_memory() -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) }).map(drop)
}

fn attach(fd: BorrowedFd<'_>, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("filters are short"),
        filter: program.as_mut_ptr(),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Lets a netlink socket not hear what the socket with this port caused.
pub(crate) fn hear_others_only(fd: BorrowedFd<'_>, port: u32) -> io::Result<()> {
    // Filters load in network order; a netlink header is in the machine's.
    let port = u32::from_be_bytes(port.to_ne_bytes());
    attach(
        fd,
        &mut [
            instruction(LOAD_WORD, 0, 0, 12),
            instruction(JUMP_EQUAL, 0, 1, port),
            instruction(RETURN, 0, 0, 0),
            instruction(RETURN, 0, 0, u32::MAX),
        ],
    )
}

/// Lets a packet socket hear nothing at all.
pub(crate) fn hear_nothing(fd: BorrowedFd<'_>) -> io::Result<()> {
    attach(fd, &mut [instruction(RETURN, 0, 0, 0)])
}

/// Lets a socket hear everything that is for it.
pub(crate) fn hear_all(fd: BorrowedFd<'_>) -> io::Result<()> {
    attach(fd, &mut [instruction(RETURN, 0, 0, u32::MAX)])
}

/// Lets a packet socket for ARP hear only what `address` says or probes for.
pub(crate) fn hear_arp_of(fd: BorrowedFd<'_>, address: [u8; 4]) -> io::Result<()> {
    let address = u32::from_be_bytes(address);
    attach(
        fd,
        &mut [
            // ARP for Ethernet and IPv4: sender at 14, target at 24.
            instruction(LOAD_HALF, 0, 0, 2),
            instruction(JUMP_EQUAL, 0, 5, 0x0800),
            instruction(LOAD_WORD, 0, 0, 14),
            instruction(JUMP_EQUAL, 2, 0, address),
            instruction(LOAD_WORD, 0, 0, 24),
            instruction(JUMP_EQUAL, 0, 1, address),
            instruction(RETURN, 0, 0, u32::MAX),
            instruction(RETURN, 0, 0, 0),
        ],
    )
}

/// `ETH_P_ARP`.
pub(crate) const ETHER_ARP: u16 = 0x0806;
/// `ETH_P_IPV6`.
pub(crate) const ETHER_IPV6: u16 = 0x86dd;

/// A packet socket that receives all ARP, without link headers.
pub(crate) fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(ETHER_ARP.to_be())) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Marks everything that leaves by this socket.
pub(crate) fn mark(fd: BorrowedFd<'_>, mark: u32) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, &mark)
}

/// Sends one frame's payload to a link-layer address.
pub(crate) fn send_frame(
    fd: BorrowedFd<'_>,
    interface: u32,
    ether: u16,
    to: &[u8],
    payload: &[u8],
) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).expect("address families are small");
    address.sll_protocol = ether.to_be();
    address.sll_ifindex = interface.cast_signed();
    let length = to.len().min(address.sll_addr.len());
    address.sll_halen = u8::try_from(length).expect("at most 8");
    address.sll_addr[..length].copy_from_slice(&to[..length]);
    // SAFETY: both buffers live through the call and are as long as we say.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            payload.as_ptr().cast(),
            payload.len(),
            0,
            std::ptr::from_ref(&address).cast(),
            size::<libc::sockaddr_ll>(),
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A raw socket that hears ICMPv6 messages of one type only.
pub(crate) fn icmp6_socket(kind: u8) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::socket(libc::AF_INET6, flags, libc::IPPROTO_ICMPV6) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // A set bit keeps a type out: `struct icmp6_filter`.
    let mut filter = [u32::MAX; 8];
    filter[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    set_option(std::os::fd::AsFd::as_fd(&fd), libc::IPPROTO_ICMPV6, 1, &filter)?;
    Ok(fd)
}

/// Kills this process, even if it is stopped, at a time that is pushed forward.
pub(crate) struct DeathTimer(libc::timer_t);

impl DeathTimer {
    /// Makes the timer; it is not armed yet.
    pub(crate) fn new() -> io::Result<DeathTimer> {
        // SAFETY: all zeroes is a valid `sigevent`.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGKILL;
        let mut timer: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both pointers are to live values of the right type.
        check(unsafe { libc::timer_create(libc::CLOCK_BOOTTIME, &raw mut event, &raw mut timer) })?;
        Ok(DeathTimer(timer))
    }

    /// Sets the time of death, in nanoseconds of `CLOCK_BOOTTIME`.
    pub(crate) fn set(&self, at: u64) -> io::Result<()> {
        let at = at.max(1);
        let time = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: (at / 1_000_000_000).cast_signed(),
                tv_nsec: (at % 1_000_000_000).cast_signed(),
            },
        };
        // SAFETY: the timer was made by `new` and is never deleted; `time` lives through the call.
        check(unsafe {
            libc::timer_settime(self.0, libc::TIMER_ABSTIME, &raw const time, std::ptr::null_mut())
        })
        .map(drop)
    }
}

/// Blocks these signals in this thread, and makes them readable instead.
pub(crate) fn signals(wanted: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: all zeroes is a valid `sigset_t`; the pointers are to live values throughout.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in wanted {
            libc::sigaddset(&raw mut set, *signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old one, and the number of the new one.
    Parent(i32),
}

/// Forks. Only for processes with one thread: the child may do everything then.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the keeper has one thread, so no lock can be held by a thread that is missing in
    // the child.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Children that this thread forks from now on live in a process namespace of their own.
pub(crate) fn contain_children() -> io::Result<()> {
    // SAFETY: this flag changes only what later forks do.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) }).map(drop)
}

/// Gives this process a `/proc` that fits its process namespace, which nobody else sees.
pub(crate) fn own_proc() -> io::Result<()> {
    // SAFETY: only this process's view of the mounts changes; it has one thread. All pointers are
    // to constant texts that end with a zero byte, or null where that is allowed.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let none = std::ptr::null();
        let slave = libc::MS_SLAVE | libc::MS_REC;
        check(libc::mount(none, c"/".as_ptr(), none, slave, none.cast()))?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        check(libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), flags, none.cast()))
            .map(drop)
    }
}

/// Who a service runs as.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

/// Looks a user up, with all groups. `None` if there is no such user.
pub(crate) fn identity(name: &str) -> Option<Identity> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: the name ends with a zero byte. The answer is read before anybody can ask again:
    // the keeper has one thread.
    let (user, group) = unsafe {
        let entry = libc::getpwnam(name.as_ptr()).as_ref()?;
        (entry.pw_uid, entry.pw_gid)
    };
    let mut groups = vec![0u32; GROUPS_MAX];
    let mut count = i32::try_from(GROUPS_MAX).expect("a small number");
    // SAFETY: `groups` has room for as many as `count` says.
    let found = unsafe { libc::getgrouplist(name.as_ptr(), group, groups.as_mut_ptr(), &raw mut count) };
    let found = usize::try_from(found).ok()?;
    groups.truncate(found);
    Some(Identity { user, group, groups })
}

/// Most groups of one user that are kept.
const GROUPS_MAX: usize = 256;

/// Lets a command begin its life in a new session, as `identity`, in a control group if one is
/// given, and die with the thread that starts it.
pub(crate) fn prepare_service(
    command: &mut std::process::Command,
    identity: Option<Identity>,
    cgroup: Option<OwnedFd>,
) {
    use std::os::unix::process::CommandExt as _;
    let parent = rustix::process::getpid();
    let become_service = move || {
        if let Some(procs) = &cgroup {
            rustix::io::write(procs, b"0")?;
        }
        rustix::process::setsid()?;
        if let Some(identity) = &identity {
            // SAFETY: the list lives through the call; the other two take numbers.
            unsafe {
                check(libc::setgroups(identity.groups.len(), identity.groups.as_ptr()))?;
                check(libc::setgid(identity.group))?;
                check(libc::setuid(identity.user))?;
            }
        }
        // Signals that the keeper blocks would stay blocked in the service.
        // SAFETY: an empty set is made and used in place.
        unsafe {
            let mut none: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&raw mut none);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()))?;
        }
        // Last: a change of user clears it.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // It may have ended before.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(gone()) }
    };
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(become_service) };
}

/// Lets a command be killed when the thread that starts it ends.
pub(crate) fn end_with_thread(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let parent = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // It may have ended before.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(gone()) }
    };
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(bind) };
}

/// Lets a command begin its life by writing down who it is: a line with this word and what `/proc/PID/stat` says. It does
/// not begin if who starts it is gone by then, for nobody else reads the line in time.
pub(crate) fn write_down(command: &mut std::process::Command, word: &str, file: OwnedFd) {
    use std::os::unix::process::CommandExt as _;
    let parent = rustix::process::getpid();
    let word = format!("{word} ").into_bytes();
    let write = move || {
        let mut line = [0u8; STAT_MAX];
        let (before, rest) = line.split_at_mut(word.len().min(STAT_MAX));
        before.copy_from_slice(&word[..before.len()]);
        let none = rustix::fs::Mode::empty();
        let stat = rustix::fs::open(c"/proc/self/stat", rustix::fs::OFlags::CLOEXEC, none)?;
        let length = before.len() + rustix::io::read(&stat, rest)?;
        let written = rustix::io::write(&file, &line[..length])?;
        let is_whole = written == length && line[..length].ends_with(b"\n");
        if is_whole && rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(gone()) }
    };
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(write) };
}

/// Longest line of `/proc/PID/stat`, with a word before it: some fifty numbers and a name of at most 64 bytes.
const STAT_MAX: usize = 2048;

/// What a child fails with that is not to begin. Nothing is allocated.
fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}

/// Lets a command begin its life with this limit of descriptors.
pub(crate) fn limit_descriptors(command: &mut std::process::Command, limit: rustix::process::Rlimit) {
    use std::os::unix::process::CommandExt as _;
    let restore = move || Ok(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?);
    // SAFETY: between fork and exec one system call is made, and nothing is allocated.
    unsafe { command.pre_exec(restore) };
}

/// Lets a command begin its life in the control group that these processes are in.
pub(crate) fn join_group(command: &mut std::process::Command, procs: OwnedFd) {
    use std::os::unix::process::CommandExt as _;
    let join = move || Ok(rustix::io::write(&procs, b"0").map(drop)?);
    // SAFETY: between fork and exec one system call is made, and nothing is allocated.
    unsafe { command.pre_exec(join) };
}

/// Sends a signal to a process.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // Negative and small numbers mean groups, everybody, or ourselves.
    if pid <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: no pointers are passed.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sends a signal to a process group.
pub(crate) fn kill_group(group: i32, signal: i32) -> io::Result<()> {
    if group <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: no pointers are passed.
    check(unsafe { libc::kill(-group, signal) }).map(drop)
}

/// Whether anybody is in a process group, be it somebody who is dead and not buried.
pub(crate) fn is_group(group: i32) -> bool {
    !kill_group(group, 0).is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}

/// Sends a signal to every process that this one can see but itself. Only for the first process
/// of a namespace: elsewhere that is everybody.
pub(crate) fn kill_all(signal: i32) {
    if rustix::process::getpid().as_raw_nonzero().get() == 1 {
        // SAFETY: no pointers are passed.
        unsafe { libc::kill(-1, signal) };
    }
}

/// Takes the pages of program code, this program's and its libraries', out of what this process has
/// mapped. They come back from the page cache when they are run again.
pub(crate) fn unmap_code() -> io::Result<()> {
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some("r-xp")) = (words.next(), words.next()) else { continue };
        let of_a_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
        let ends = range.split_once('-').and_then(|(from, to)| {
            Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
        });
        let Some((from, to)) = ends.filter(|_| of_a_file) else { continue };
        // SAFETY: a private mapping of a file that this process cannot write to holds nothing but what
        // the file holds, so whoever reads or runs it later, this function too, finds the same again.
        check(unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) })?;
    }
    Ok(())
}
