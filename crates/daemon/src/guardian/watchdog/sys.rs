//! What the kernel offers of a watchdog (linux/watchdog.h).
#![expect(unsafe_code, reason = "requests to a device have no safe form")]

use std::{io, os::fd::RawFd};

use rustix::ioctl::{Opcode, opcode};

/// The letter of all its requests.
const WATCHDOG: u8 = b'W';
/// `WDIOC_GETSUPPORT`.
const SUPPORT: Opcode = opcode::read::<Support>(WATCHDOG, 0);
/// `WDIOC_SETOPTIONS`.
const SET_OPTIONS: Opcode = opcode::read::<libc::c_int>(WATCHDOG, 4);
/// `WDIOC_KEEPALIVE`.
const KEEP_ALIVE: Opcode = opcode::read::<libc::c_int>(WATCHDOG, 5);
/// `WDIOC_SETTIMEOUT`.
const SET_TIMEOUT: Opcode = opcode::read_write::<libc::c_int>(WATCHDOG, 6);
/// `WDIOC_GETTIMEOUT`.
const TIMEOUT: Opcode = opcode::read::<libc::c_int>(WATCHDOG, 7);
/// `WDIOS_DISABLECARD`.
const DISABLE: libc::c_int = 1;
/// `WDIOF_SETTIMEOUT`.
const SETTABLE: u32 = 0x80;
/// `WDIOF_MAGICCLOSE`.
const CLOSABLE: u32 = 0x100;

/// `struct watchdog_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Support {
    options: u32,
    firmware: u32,
    identity: [u8; 32],
}

impl Support {
    /// Whether it takes a timeout.
    pub(super) fn can_set_timeout(&self) -> bool {
        self.options & SETTABLE != 0
    }

    /// Whether it can be told that it is closed on purpose.
    pub(super) fn can_be_closed(&self) -> bool {
        self.options & CLOSABLE != 0
    }

    /// What its driver calls it.
    pub(super) fn name(&self) -> String {
        let length = self.identity.iter().position(|&byte| byte == 0).unwrap_or(self.identity.len());
        let text = String::from_utf8_lossy(&self.identity[..length]);
        text.chars().filter(|c| !c.is_control()).collect()
    }
}

/// What the driver is and can do.
pub(super) fn support(fd: RawFd) -> io::Result<Support> {
    let mut support = Support::default();
    // SAFETY: the request writes one such structure, which outlives the call.
    let code = unsafe { libc::ioctl(fd, libc::Ioctl::from(SUPPORT), &raw mut support) };
    answer(code).map(|()| support)
}

/// How long it waits, in seconds.
pub(super) fn timeout(fd: RawFd) -> io::Result<u32> {
    ask(fd, TIMEOUT, 0)
}

/// Has it wait for so many seconds; how many it waits for in truth.
pub(super) fn set_timeout(fd: RawFd, seconds: u32) -> io::Result<u32> {
    let said = ask(fd, SET_TIMEOUT, seconds)?;
    // Some drivers hand back what they were told, and take something else.
    Ok(timeout(fd).unwrap_or(said))
}

/// Feeds it.
pub(super) fn keep_alive(fd: RawFd) -> io::Result<()> {
    ask(fd, KEEP_ALIVE, 0).map(drop)
}

/// Stops it.
pub(super) fn disable(fd: RawFd) -> io::Result<()> {
    ask(fd, SET_OPTIONS, DISABLE as u32).map(drop)
}

/// A request that takes and hands back one number.
fn ask(fd: RawFd, request: Opcode, number: u32) -> io::Result<u32> {
    let mut number = number as libc::c_int;
    // SAFETY: these requests read or write one such number at most, which outlives the call.
    let code = unsafe { libc::ioctl(fd, libc::Ioctl::from(request), &raw mut number) };
    answer(code)?;
    u32::try_from(number).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn answer(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn requests_have_the_numbers_of_the_kernel() {
        for (request, number) in [
            (SUPPORT, 0x8028_5700),
            (SET_OPTIONS, 0x8004_5704),
            (KEEP_ALIVE, 0x8004_5705),
            (SET_TIMEOUT, 0xc004_5706),
            (TIMEOUT, 0x8004_5707),
        ] {
            assert_eq!(u64::from(request), number, "{number:x}");
        }
    }

    #[test]
    fn a_driver_says_who_it_is() {
        let mut support = Support { options: 0x8180, ..Support::default() };
        support.identity[..17].copy_from_slice(b"Software\nWatchdog");
        assert_eq!(support.name(), "SoftwareWatchdog");
        assert!(support.can_be_closed() && support.can_set_timeout());
        assert_eq!(Support { identity: [b'x'; 32], ..Support::default() }.name().len(), 32);
    }
}
