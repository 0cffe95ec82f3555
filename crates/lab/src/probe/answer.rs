//! The answerer: says whose an address is, whoever manages it.
//!
//! It is bound to the address itself, which it need not have yet. So it answers from that address
//! only, and exactly as long as the kernel lets that address speak.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt},
    system::uname,
};

use super::ask::PRIORITY;
use crate::sys;

/// Longest question; the answer repeats it.
const QUESTION_MAX: usize = 1024;

/// `lab-answer ADDRESS PORT`; ends with its machine.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [address, port] = arguments else { bail!("usage: lab-answer ADDRESS PORT") };
    let _ = sys::run_real_time(PRIORITY);
    let at = SocketAddr::new(address.parse()?, port.parse()?);
    let socket = bound(at).with_context(|| format!("cannot answer on {at}"))?;
    let name = uname().nodename().to_string_lossy().into_owned();
    let mut bytes = [0; QUESTION_MAX];
    loop {
        // An error here belongs to an answer that could not be delivered.
        let Ok((length, from)) = socket.recv_from(&mut bytes) else {
            std::thread::park_timeout(Duration::from_millis(1));
            continue;
        };
        let answer = [&bytes[..length], name.as_bytes()].concat();
        let _ = socket.send_to(&answer, from);
    }
}

/// A socket on an address that may not be here yet.
fn bound(at: SocketAddr) -> Result<UdpSocket> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    match at.ip() {
        IpAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
        IpAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
    }
    bind(&socket, &at)?;
    Ok(UdpSocket::from(socket))
}
