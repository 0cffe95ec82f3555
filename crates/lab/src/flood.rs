//! The stranger: sends datagrams to one port as fast as it can, in the name of whoever it wants.
//!
//! It writes whole IPv4 packets, many with one system call, so that a lab shows what a flood costs
//! those who receive it and not what it costs to send.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::{Stamp, sys};

/// Packets that are sent at once.
const BATCH: usize = 64;
/// Longest payload of a packet, in bytes.
const PAYLOAD_MAX: usize = 1472;
/// IPv4 and UDP.
const HEADERS: usize = 28;
/// Where a frame of Heart keeps its sender's boot, and its counter.
const BOOT: usize = 16;
const COUNTER: usize = 32;
/// The end of a frame's header.
const HEADER: usize = 40;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Random bytes of all lengths.
    Noise,
    /// A frame's first bytes, then noise: another cluster's, or none.
    Magic,
    /// A true header, then noise.
    Header,
    /// A true header of a boot that never was, then noise: opening it takes a key of its own.
    Boot,
    /// A true header with a counter to come, then noise: the costliest refusal of a known boot.
    Counter,
    /// The frame as it was.
    Replay,
    /// The frame with one bit turned.
    Flipped,
}

/// Chance enough for noise (xorshift64*).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 33) as usize) % limit
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }
}

/// `lab-flood KIND FROM TO PORT MILLISECONDS RATE FRAME`: so many packets a second, one by one, or as
/// fast as it can for zero; the frame, in hexadecimal, is a recorded one. Prints how many were sent.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [kind, from, to, port, time, rate, frame] = arguments else {
        bail!("usage: lab-flood KIND FROM TO PORT MILLISECONDS RATE FRAME");
    };
    let kind = kind_of(kind)?;
    let (from, to): (Ipv4Addr, Ipv4Addr) = (from.parse()?, to.parse()?);
    let port: u16 = port.parse()?;
    let frame = bytes_of(frame)?;
    ensure!(frame.len() > HEADER || matches!(kind, Kind::Noise), "this kind needs a recorded frame");
    let socket = socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW))
        .context("cannot make packets: this needs root")?;
    rustix::net::connect(&socket, &SocketAddrV4::new(to, 0))?;
    let rate: u64 = rate.parse()?;
    let began = Stamp::now();
    let until = began.after(Duration::from_millis(time.parse()?));
    let mut noise = Noise(Stamp::now().0 | 1);
    // Made beforehand, so that the time goes into sending; counters and boots are made anew each time.
    let mut packets: Vec<Vec<u8>> =
        (0..BATCH * 4).map(|_| packet(from, to, port, &payload(kind, &frame, &mut noise))).collect();
    let mut sent: u64 = 0;
    while !until.remaining().is_zero() {
        for batch in packets.chunks_mut(if rate == 0 { BATCH } else { 1 }) {
            let due = Duration::from_secs(sent).checked_div(u32::try_from(rate)?).unwrap_or_default();
            // Only spinning is as even as a flood has to be.
            while Stamp::now().since(began) < due {
                std::hint::spin_loop();
            }
            batch.iter_mut().for_each(|packet| renew(kind, packet, &mut noise));
            sent += sys::send_many(&socket, batch).unwrap_or(0) as u64;
        }
    }
    println!("{sent}");
    Ok(())
}

fn kind_of(word: &str) -> Result<Kind> {
    Ok(match word {
        "noise" => Kind::Noise,
        "magic" => Kind::Magic,
        "header" => Kind::Header,
        "boot" => Kind::Boot,
        "counter" => Kind::Counter,
        "replay" => Kind::Replay,
        "flipped" => Kind::Flipped,
        other => bail!("`{other}` is no kind: noise, magic, header, boot, counter, replay and flipped are"),
    })
}

fn bytes_of(hexadecimal: &str) -> Result<Vec<u8>> {
    let digit = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16).context("no hexadecimal digits");
    ensure!(hexadecimal.is_ascii() && hexadecimal.len().is_multiple_of(2), "no hexadecimal digits");
    (0..hexadecimal.len()).step_by(2).map(digit).collect()
}

fn payload(kind: Kind, frame: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    match kind {
        Kind::Replay => {}
        Kind::Flipped => {
            let at = noise.below(bytes.len());
            bytes[at] ^= 1 << noise.below(8);
        }
        Kind::Noise | Kind::Magic | Kind::Header | Kind::Boot | Kind::Counter => {
            let kept = match kind {
                Kind::Noise => 0,
                Kind::Magic => 4,
                _ => HEADER,
            };
            bytes.resize((kept + 1 + noise.below(PAYLOAD_MAX - kept)).min(PAYLOAD_MAX), 0);
            noise.fill(&mut bytes[kept..]);
        }
    }
    bytes
}

/// Makes a packet that has to differ from the last one do so.
fn renew(kind: Kind, packet: &mut [u8], noise: &mut Noise) {
    let at = HEADERS
        + match kind {
            Kind::Boot => BOOT,
            // The higher bytes of the counter stay as they are, so that it is near.
            Kind::Counter => COUNTER + 2,
            _ => return,
        };
    let length = if kind == Kind::Boot { 8 } else { 2 };
    noise.fill(&mut packet[at..at + length]);
}

/// RFC 791 and RFC 768. The kernel fills in the sum of the header; a sum of zero is none in UDP.
fn packet(from: Ipv4Addr, to: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = |with: usize| u16::try_from(with + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x45, 0];
    packet.extend(length(HEADERS));
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(port.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(length(8));
    packet.extend([0, 0]);
    packet.extend_from_slice(payload);
    packet
}
