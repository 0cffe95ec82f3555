//! Whether two nodes ever answer for one address.
//!
//! From beside the switches, every node is asked on every cable whether it has the address (by ARP or
//! neighbour discovery), past all losses and partitions: what a fault hides from the nodes it does not
//! hide from the watch. Whoever answers would answer its part of the network, too. So two answers
//! to one question are two owners, on whichever sides of whichever cut they are.
//!
//! Resolution: two owners are seen if they overlap for more than one interval.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};

use super::{
    Events, Feed,
    ask::{PRIORITY, print_line},
    neighbour::{answerer, ether_type, question},
};
use crate::{Lab, Stamp, layout::SWITCH, netlink, sys, wire};

/// How often the ports are looked up again: a node that boots has new ones.
const LOOKUP_EVERY: Duration = Duration::from_millis(50);
/// Longest frame that is read; padding is ignored.
const FRAME_MAX: usize = 128;

/// Who answered for the address from one moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Since when.
    pub at: Stamp,
    /// Who; nobody is a valid answer.
    pub owners: BTreeSet<String>,
}

/// A time in which more than one node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Since when.
    pub from: Stamp,
    /// Until when, if it is over.
    pub to: Option<Stamp>,
    /// Who.
    pub owners: BTreeSet<String>,
}

/// A watch over one address.
#[derive(Debug)]
pub struct Watch {
    feed: Feed<Sighting>,
    events: Events<Sighting>,
}

impl Watch {
    /// Starts to ask, every so often.
    ///
    /// # Errors
    /// When packet sockets are not allowed here.
    pub fn start(lab: &Lab, address: IpAddr, every: Duration) -> Result<Watch> {
        let (address, every) = (address.to_string(), every.as_micros().to_string());
        let mut words = vec!["heart", "lab-watch", &address, &every];
        words.extend(lab.nodes());
        let feed: Feed<Sighting> = Feed::start(lab, SWITCH, &words)?;
        let events = feed.events.clone();
        // The first round reports who owns the address, be it nobody.
        events.wait(Duration::from_secs(10), "the watch has begun", |seen| seen.first().map(|_| ()))?;
        Ok(Watch { feed, events })
    }

    /// Everything seen so far: who owned the address from when on.
    #[must_use]
    pub fn sightings(&self) -> Vec<Sighting> {
        self.events.lock().clone()
    }

    /// Who owns the address now.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<String> {
        self.events.lock().last().map(|seen| seen.owners.clone()).unwrap_or_default()
    }

    /// The times in which more than one node answered.
    ///
    /// # Errors
    /// When the watch does not run any more: then it cannot say that there were none.
    pub fn overlaps(&self) -> Result<Vec<Overlap>> {
        anyhow::ensure!(self.feed.runs(), "the watch over the address has ended early");
        Ok(overlaps(&self.events.lock()))
    }

    /// Waits until exactly these nodes own the address.
    ///
    /// # Errors
    /// When they do not within `wait`.
    pub fn await_owners(&self, owners: &[&str], wait: Duration) -> Result<Stamp> {
        let wanted: BTreeSet<String> = owners.iter().map(|&name| name.into()).collect();
        self.events.wait(wait, &format!("{wanted:?} own the address"), |seen| {
            seen.last().filter(|seen| seen.owners == wanted).map(|seen| seen.at)
        })
    }
}

fn overlaps(sightings: &[Sighting]) -> Vec<Overlap> {
    let mut found = Vec::new();
    for (place, seen) in sightings.iter().enumerate().filter(|(_, seen)| seen.owners.len() > 1) {
        let to = sightings.get(place + 1).map(|next| next.at);
        found.push(Overlap { from: seen.at, to, owners: seen.owners.clone() });
    }
    found
}

/// `lab-watch ADDRESS EVERY_US NODE…`, in the namespace of the switches; ends when standard input
/// closes.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [address, every, nodes @ ..] = arguments else { bail!("usage: lab-watch ADDRESS EVERY_US NODE…") };
    let (address, every): (IpAddr, _) = (address.parse()?, Duration::from_micros(every.parse()?));
    let _ = sys::run_real_time(PRIORITY);
    let socket = sys::packet_socket(ether_type(address)).context("cannot open a packet socket")?;
    let (mut ports, mut looked_up) = (Vec::new(), None);
    let mut known = None;
    loop {
        let began = Stamp::now();
        if looked_up.is_none_or(|then| began.since(then) > LOOKUP_EVERY) {
            ports = node_ports(nodes.len())?;
            looked_up = Some(began);
        }
        for &(port, switch) in &ports {
            // A port that is down or gone cannot ask, and its node not answer.
            let _ = sys::send_frame(socket.as_fd(), ether_type(address), port, &question(address, switch));
        }
        let Some(owners) = collect(&socket, address, nodes, began.after(every))? else { return Ok(()) };
        if known.as_ref() != Some(&owners) {
            print_line(&Sighting { at: began, owners: owners.clone() })?;
            known = Some(owners);
        }
    }
}

/// Who answers until `deadline`; `None` when whoever reads the sightings has left.
fn collect(
    socket: &OwnedFd,
    address: IpAddr,
    nodes: &[String],
    deadline: Stamp,
) -> Result<Option<BTreeSet<String>>> {
    let stdin = std::io::stdin();
    let mut owners = BTreeSet::new();
    loop {
        let left = deadline.remaining();
        let mut fds =
            [PollFd::new(socket, PollFlags::IN), PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&wire::timespec(left))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("the watch cannot wait"),
        }
        if !fds[1].revents().is_empty() {
            return Ok(None);
        }
        let mut frame = [0; FRAME_MAX];
        // Ends with WouldBlock; everything that came before the deadline counts.
        while let Ok(received) = sys::receive_frame(socket.as_fd(), &mut frame) {
            let owner = received.and_then(|(length, _)| answerer(frame.get(..length)?, address));
            if let Some(name) = owner.and_then(|number| nodes.get(usize::from(number).checked_sub(1)?)) {
                owners.insert(name.clone());
            }
        }
        if left.is_zero() {
            return Ok(Some(owners));
        }
    }
}

/// The ports of the nodes and their switches; the client is not asked.
fn node_ports(nodes: usize) -> Result<Vec<(u32, usize)>> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let port = |name: &str| {
        let (number, switch) = name.strip_prefix('p')?.split_once('.')?;
        let (number, switch): (usize, usize) = (number.parse().ok()?, switch.parse().ok()?);
        // A port may vanish between the listing and the look-up.
        (number <= nodes).then_some((netlink::link::index(name).ok()?, switch))
    };
    Ok(names.filter_map(port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_owners_are_an_overlap_until_one_is_left() {
        let seen = |at, owners: &[&str]| Sighting {
            at: Stamp(at),
            owners: owners.iter().map(|&name| name.into()).collect(),
        };
        let sightings =
            [seen(1, &[]), seen(2, &["a"]), seen(3, &["a", "b"]), seen(5, &["b"]), seen(9, &["a", "b"])];
        let found: Vec<_> =
            overlaps(&sightings).into_iter().map(|o| (o.from.0, o.to.map(|to| to.0))).collect();
        assert_eq!(found, [(3, Some(5)), (9, None)]);
    }
}
