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
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: 0 names the calling thread and `parameters` lives through the call.
    check(unsafe {
        libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    })
    .map(drop)
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
