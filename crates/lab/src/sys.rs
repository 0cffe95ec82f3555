//! The system calls that need `unsafe`, each wrapped in a safe function.

#![expect(unsafe_code, reason = "these calls have no safe wrapper in std or rustix")]

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::thread::UnshareFlags;

/// Leaves the namespaces in `flags` for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: no flag here shares or splits file descriptors (CLONE_FILES), so every descriptor
    // the rest of the program holds keeps its meaning.
    unsafe { rustix::thread::unshare_unsafe(flags.difference(UnshareFlags::FILES)) }.map_err(Into::into)
}

/// A descriptor that becomes readable when a child ends; see [`signals`].
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    signals(libc::SIGCHLD)
}

/// A descriptor that becomes readable when this process is asked to end; see [`signals`].
pub(crate) fn end_signals() -> io::Result<OwnedFd> {
    signals(libc::SIGTERM)
}

/// A descriptor that becomes readable with a signal, which stays blocked in this process;
/// `std::process::Command` unblocks it in children.
fn signals(signal: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by sigemptyset before it is read, and the descriptor that
    // signalfd returns belongs to nobody else.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Asks for real-time scheduling, so that a busy machine does not delay a measurement.
pub(crate) fn run_real_time(priority: i32) -> io::Result<()> {
    let wish = libc::sched_param { sched_priority: priority };
    // SAFETY: the kernel only reads `wish`, which outlives the call.
    let outcome =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const wish) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A packet socket that sees the frames of this type, as their header has it, of every interface of this network
/// namespace.
pub(crate) fn packet_socket(ether_type: u16) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed, and the new descriptor belongs to nobody else.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, kind, i32::from(ether_type.to_be()));
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Sends one whole frame of this type out of the interface with this index.
pub(crate) fn send_frame(
    socket: BorrowedFd<'_>,
    ether_type: u16,
    interface: u32,
    frame: &[u8],
) -> io::Result<()> {
    // SAFETY: all-zero is a valid sockaddr_ll; the kernel reads `frame` and `to` within their
    // lengths and keeps neither.
    let sent = unsafe {
        let mut to: libc::sockaddr_ll = mem::zeroed();
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_protocol = ether_type.to_be();
        to.sll_ifindex = interface.cast_signed();
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            length,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one frame: its length and the index of the interface it came in by. Frames on their
/// way out are skipped (`None`).
pub(crate) fn receive_frame(socket: BorrowedFd<'_>, frame: &mut [u8]) -> io::Result<Option<(usize, u32)>> {
    // SAFETY: all-zero is a valid sockaddr_ll; the kernel writes at most the given lengths into
    // `frame` and `from`, both of which outlive the call.
    let (received, from) = unsafe {
        let mut from: libc::sockaddr_ll = mem::zeroed();
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let received = libc::recvfrom(
            socket.as_raw_fd(),
            frame.as_mut_ptr().cast(),
            frame.len(),
            0,
            (&raw mut from).cast(),
            &raw mut length,
        );
        (received, from)
    };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    if from.sll_pkttype == libc::PACKET_OUTGOING {
        return Ok(None);
    }
    Ok(Some((received.cast_unsigned(), from.sll_ifindex.cast_unsigned())))
}

/// Sends several packets on a connected socket with one call; how many were.
pub(crate) fn send_many(socket: &OwnedFd, packets: &mut [Vec<u8>]) -> io::Result<usize> {
    let mut rooms: Vec<libc::iovec> = packets
        .iter_mut()
        .map(|packet| libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() })
        .collect();
    let header = |room: &mut libc::iovec| {
        // SAFETY: all-zero is a valid mmsghdr: no address, no control data.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_iov = room;
        header.msg_hdr.msg_iovlen = 1;
        header
    };
    let mut headers: Vec<libc::mmsghdr> = rooms.iter_mut().map(header).collect();
    // SAFETY: every header points to one packet, and all of them outlive the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as u32, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
