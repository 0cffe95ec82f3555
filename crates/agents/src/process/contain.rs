//! A process namespace for one service.
//!
//! Its first process is ours: it starts the service, buries orphans, and passes signals on. When
//! it dies, the kernel kills everything in the namespace, whatever it forked and wherever it went.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::process::{Pid, Signal, WaitOptions, wait};

use super::{keeper, launch};
use crate::{
    refused,
    sys::{self, Forked},
    wait as waiting,
};

/// The signal that is passed on to everything in the namespace instead of the first process only.
const TO_ALL: u8 = 0x80;

/// The keeper's end of a contained service.
pub(super) struct Contained {
    /// The first process of the namespace.
    pub(super) pid: i32,
    control: OwnedFd,
}

impl Contained {
    /// Sends a signal to the service, or to everything in its namespace.
    pub(super) fn signal(&self, signal: i32, all: bool) {
        let byte = u8::try_from(signal & 0x7f).expect("seven bits") | if all { TO_ALL } else { 0 };
        rustix::io::write(&self.control, &[byte]).ok();
    }
}

/// Starts a namespace, and when `write_down` knows the number of its first process, in it `spawn`. The caller has one
/// thread.
///
/// # Errors
/// When the kernel refuses: no right, or no process namespaces. When it cannot be written down: then nothing of it runs.
pub(super) fn start(
    spawn: impl FnOnce() -> Result<i32, String>,
    write_down: impl FnOnce(i32) -> Result<(), String>,
) -> Result<Contained, String> {
    let refused = |error: io::Error| {
        let why = format!(
            "cannot contain the service: {error}; `contain = false` if nothing of it may stay behind anyway"
        );
        refused::told(&error, why)
    };
    let (orders, control) = launch::pipe().map_err(refused)?;
    let (heard, said) = launch::pipe().map_err(refused)?;
    sys::contain_children().map_err(refused)?;
    match sys::fork().map_err(refused)? {
        Forked::Child => {
            // Else nobody would hear the end of the keeper.
            drop((control, heard));
            let status = be_first(&orders, &said, spawn);
            #[expect(
                clippy::disallowed_methods,
                reason = "what the parent owns is not ours to drop after a fork"
            )]
            std::process::exit(status)
        }
        Forked::Parent(pid) => {
            drop((orders, said));
            write_down(pid)?;
            rustix::io::write(&control, launch::OPEN)
                .map_err(|error| format!("the first process of its namespace died: {error}"))?;
            let answer = launch::read_all(&heard);
            match answer.as_slice() {
                [b'+'] => Ok(Contained { pid, control }),
                [b'-', why @ ..] => Err(String::from_utf8_lossy(why).into_owned()),
                _ => Err("the first process of its namespace died".to_owned()),
            }
        }
    }
}

/// The life of the first process: until the service ends.
fn be_first(orders: &OwnedFd, said: &OwnedFd, spawn: impl FnOnce() -> Result<i32, String>) -> i32 {
    let begun = begin(orders, spawn);
    let (service, signals) = match begun {
        Ok(begun) => begun,
        Err(why) => {
            rustix::io::write(said, format!("-{why}").as_bytes()).ok();
            return 1;
        }
    };
    rustix::io::write(said, b"+").ok();
    loop {
        let Ok(ready) = waiting::any(&[orders.as_fd(), signals.as_fd()], None) else { return 1 };
        if ready[0] && !pass_on(orders, service) {
            return 1;
        }
        rustix::io::read(&signals, &mut [0u8; 512]).ok();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == service {
                return status
                    .exit_status()
                    .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
                    .unwrap_or(1);
            }
        }
    }
}

fn begin(orders: &OwnedFd, spawn: impl FnOnce() -> Result<i32, String>) -> Result<(Pid, OwnedFd), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| error.to_string())?;
    let is_open = launch::wait_at(orders);
    // It may have ended before the signal was set. Nobody orders anything yet: what there is to read is the end.
    if !is_open || waiting::any(&[orders.as_fd()], Some(Instant::now())).map_or(true, |ready| ready[0]) {
        return Err("its keeper ended before it began".to_owned());
    }
    // What is killed has to get a turn to die, and all in the namespace runs until this has died. It is a fork of a keeper
    // that may have been allowed to, and did not inherit it; neither does the service.
    sys::become_real_time(keeper::PRIORITY).ok();
    if let Err(error) = sys::own_proc() {
        return Err(format!("cannot give the service a /proc of its own: {error}"));
    }
    let signals = sys::signals(&[libc::SIGCHLD]).map_err(|error| error.to_string())?;
    let pid = Pid::from_raw(spawn()?).ok_or("the service has no process number")?;
    Ok((pid, signals))
}

/// Passes one signal on; `false` when the keeper has gone.
fn pass_on(orders: &OwnedFd, service: Pid) -> bool {
    let mut byte = [0u8; 1];
    let Ok(1) = rustix::io::read(orders, &mut byte) else { return false };
    let signal = i32::from(byte[0] & !TO_ALL);
    if byte[0] & TO_ALL == 0 {
        sys::kill(service.as_raw_nonzero().get(), signal).ok();
    } else {
        sys::kill_all(signal);
    }
    true
}
