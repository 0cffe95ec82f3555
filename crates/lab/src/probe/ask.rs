//! The probe itself, as a program on the client.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};

use super::{Event, track::Tracker};
use crate::{Stamp, sys, wire};

/// A busy machine must not look like an outage.
pub(crate) const PRIORITY: i32 = 40;
/// Longest answer that is looked at.
const ANSWER_MAX: usize = 2048;

/// `lab-probe udp|http ADDRESS PORT EVERY_US GAP_US`; ends when standard input closes.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [way, address, port, every, gap] = arguments else {
        bail!("usage: lab-probe udp|http ADDRESS PORT EVERY_US GAP_US");
    };
    let to = SocketAddr::new(address.parse()?, port.parse()?);
    let (every, gap) = (Duration::from_micros(every.parse()?), Duration::from_micros(gap.parse()?));
    // Refused to ordinary users; then `stalled` tells how much the probe missed.
    let _ = sys::run_real_time(PRIORITY);
    match way.as_str() {
        "udp" => ask_by_datagram(to, every, gap),
        "http" => ask_by_http(to, every, gap),
        other => bail!("a probe asks by udp or http, not by `{other}`"),
    }
}

/// Every datagram carries the time it was sent; an answer to one that is older than the gap came
/// out of some queue and is no sign of service.
fn ask_by_datagram(to: SocketAddr, every: Duration, gap: Duration) -> Result<()> {
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    let mut tracker = Tracker::new(gap);
    let mut next = Stamp::now();
    while !abandoned(&socket, next)? {
        let now = Stamp::now();
        if now >= next {
            // What cannot be sent is not answered either.
            let _ = socket.send_to(&now.0.to_ne_bytes(), to);
            next = next.after(every).max(now);
        }
        let mut bytes = [0; ANSWER_MAX];
        loop {
            match socket.recv_from(&mut bytes) {
                Ok((length, from)) => {
                    let now = Stamp::now();
                    if let Some(node) =
                        fresh_answer(&bytes[..length], now, gap).filter(|_| from.ip() == to.ip())
                    {
                        print_all(&tracker.answered(now, node))?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // An ICMP error that belongs to some earlier datagram.
                Err(_) => {}
            }
        }
        print_all(tracker.passed(Stamp::now()).as_slice())?;
    }
    Ok(())
}

fn fresh_answer(answer: &[u8], now: Stamp, gap: Duration) -> Option<&str> {
    let (sent, node) = answer.split_first_chunk()?;
    let age = now.since(Stamp(u64::from_ne_bytes(*sent)));
    if age > gap { None } else { std::str::from_utf8(node).ok() }
}

/// Waits for an answer or until `next`; true when whoever reads the events has left.
fn abandoned(socket: &UdpSocket, next: Stamp) -> Result<bool> {
    let stdin = std::io::stdin();
    let mut fds =
        [PollFd::new(socket, PollFlags::IN), PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    match poll(&mut fds, Some(&wire::timespec(next.remaining()))) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!fds[1].revents().is_empty()),
        Err(error) => Err(error).context("the probe cannot wait"),
    }
}

/// One request after the other; each may take as long as the gap.
fn ask_by_http(to: SocketAddr, every: Duration, gap: Duration) -> Result<()> {
    let stdin = std::io::stdin();
    let mut tracker = Tracker::new(gap);
    let mut next = Stamp::now();
    while !wire::readable_within(stdin.as_fd(), next.remaining())? {
        next = Stamp::now().after(every);
        if let Ok(node) = get(to, gap) {
            print_all(&tracker.answered(Stamp::now(), &node))?;
        }
        print_all(tracker.passed(Stamp::now()).as_slice())?;
    }
    Ok(())
}

/// The first line of the page at `/`, which the service fills with its node's name.
fn get(to: SocketAddr, limit: Duration) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", to.ip()).as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX as u64).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "not a page");
    Ok(body.lines().next().context("an empty page")?.to_owned())
}

fn print_all(events: &[Event]) -> Result<()> {
    for event in events {
        print_line(event)?;
    }
    Ok(())
}

/// Prints one event; standard output is flushed with every line.
pub(crate) fn print_line(event: &impl serde::Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}
