//! Whether a node that is said to be off is silent: an address of it that still answers shows that it is not
//! (SAFETY rule 11).
//!
//! That Heart hears nothing of it says less: its processes may stand still or be dead while the machine runs on what
//! they had started. Who is not reached does not answer either, so silence proves nothing, and is no more than what
//! the device says.

use std::{
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use heart_agents::wait::{self, Bell};
use heart_model::{FenceOrder, FenceOutcome};

use crate::echo::{Mark, Sockets};

/// How long an answer is waited for: what is on the same network answers within a millisecond.
const ANSWER_WAIT: Duration = Duration::from_millis(5);
/// How often an address is asked in that time: one request may be lost.
const ASKED: u16 = 2;
/// How long an address may answer still: what feeds a machine holds on for some milliseconds without power.
const FALLS_SILENT: Duration = Duration::from_secs(1);
/// How long is waited until it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Datagrams that are taken from one socket at a time.
const DATAGRAMS_MAX: usize = 64;

/// What came of an attempt, with what the addresses of the node say of it.
pub(super) fn compared(order: &FenceOrder, outcome: FenceOutcome, cancel: &Bell) -> FenceOutcome {
    if outcome != FenceOutcome::Off || order.addresses.is_empty() {
        return outcome;
    }
    match still_answers(&order.addresses, cancel) {
        None => outcome,
        Some(address) => FenceOutcome::Failed {
            message: format!(
                "its device says that {} is off, and {address} still answers pings: it is of another outlet, or lies",
                order.node
            ),
        },
    }
}

/// An address that does not fall silent. Where this process may not ping, nobody answers.
fn still_answers(addresses: &[IpAddr], cancel: &Bell) -> Option<IpAddr> {
    let (sockets, mark) = (Sockets::open(), Mark::draw().ok()?);
    let end = Instant::now() + FALLS_SILENT;
    let mut round = 0;
    loop {
        let answers = who_answers(&sockets, mark, addresses, round)?;
        if Instant::now() >= end || cancel.is_rung() {
            return Some(answers);
        }
        wait::any(&[cancel.as_fd()], Some(Instant::now() + AGAIN_AFTER)).ok();
        round += 1;
    }
}

/// Asks all once.
fn who_answers(sockets: &Sockets, mark: Mark, addresses: &[IpAddr], round: u16) -> Option<IpAddr> {
    for request in 0..ASKED {
        for &host in addresses {
            sockets.of(host).into_iter().for_each(|socket| socket.ask(host, mark, round * ASKED + request));
        }
        let end = Instant::now() + ANSWER_WAIT / u32::from(ASKED);
        // An answer to an earlier round says nothing of now.
        while let Some((host, sequence)) = hear(sockets, mark, end) {
            if sequence >= round * ASKED && addresses.contains(&host) {
                return Some(host);
            }
        }
    }
    None
}

/// The next answer, until then.
fn hear(sockets: &Sockets, mark: Mark, until: Instant) -> Option<(IpAddr, u16)> {
    while Instant::now() < until {
        for socket in &sockets.all {
            for _ in 0..DATAGRAMS_MAX {
                match socket.hear(mark) {
                    Ok(Some(answer)) => return Some(answer),
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
        }
        let fds: Vec<BorrowedFd<'_>> = sockets.all.iter().map(|socket| socket.fd.as_fd()).collect();
        wait::any(&fds, Some(until)).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{BootId, Duration, FenceAct, FenceRight, NodeName};

    fn check(addresses: &[&str], outcome: &FenceOutcome) -> FenceOutcome {
        let order = FenceOrder {
            node: NodeName::new("ada").unwrap(),
            boot: BootId(7),
            attempt: 1,
            devices: Vec::new(),
            act: FenceAct::Off,
            right: FenceRight::Agreed,
            session: None,
            hesitation: Duration::ZERO,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        compared(&order, outcome.clone(), &Bell::new().unwrap())
    }

    #[test]
    fn a_device_is_not_believed_while_an_address_of_the_node_answers() {
        if Sockets::open().all.is_empty() {
            println!("skipped: this user may not ping");
            return;
        }
        let nobody = "240.0.0.1";
        assert_eq!(check(&[], &FenceOutcome::Off), FenceOutcome::Off);
        assert_eq!(check(&[nobody], &FenceOutcome::Off), FenceOutcome::Off);
        // What does not speak of power is not asked about.
        assert_eq!(check(&["127.0.0.1"], &FenceOutcome::ShutOut), FenceOutcome::ShutOut);
        let FenceOutcome::Failed { message } = check(&[nobody, "127.0.0.1"], &FenceOutcome::Off) else {
            panic!("it answers");
        };
        assert!(message.contains("127.0.0.1 still answers"), "{message}");
    }
}
