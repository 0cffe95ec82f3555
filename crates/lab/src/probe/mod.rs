//! What users would notice, measured from the client.
//!
//! A probe is a program of its own on the client, so that a busy test does not disturb it: it asks
//! an address over and over and prints what it finds, line by line. This module starts it and
//! reads its lines.

pub(crate) mod answer;
pub(crate) mod ask;
mod neighbour;
pub(crate) mod track;
pub(crate) mod watch;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Lab, Process, Stamp, layout::CLIENT};

/// Most events that are kept of one probe; later ones are dropped, and that is an event's worth
/// of memory nobody has ever needed.
const EVENTS_MAX: usize = 100_000;

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A datagram every so often, whatever became of the earlier ones.
    Udp,
    /// One request after the other, each on its own connection.
    Http,
}

/// What a probe asks, and how it judges.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// How to ask.
    pub way: Way,
    /// Whom.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// How often.
    pub every: Duration,
    /// Without an answer for longer than this, it is an outage.
    pub gap: Duration,
}

impl Question {
    /// A datagram every 2 ms; an outage is a gap of more than 10 ms.
    #[must_use]
    pub fn udp(address: IpAddr, port: u16) -> Question {
        let (every, gap) = (Duration::from_millis(2), Duration::from_millis(10));
        Question { way: Way::Udp, address, port, every, gap }
    }

    /// A request every 5 ms; an outage is a gap of more than 50 ms.
    #[must_use]
    pub fn http(address: IpAddr, port: u16) -> Question {
        let (every, gap) = (Duration::from_millis(5), Duration::from_millis(50));
        Question { way: Way::Http, address, port, every, gap }
    }
}

/// What a probe found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first answer of all.
    Up {
        /// When it came.
        at: Stamp,
        /// Who gave it.
        node: String,
    },
    /// There was no answer for longer than the gap.
    Down {
        /// When the last answer came.
        since: Stamp,
        /// Who gave it.
        node: String,
    },
    /// Answers are back.
    Outage(Outage),
    /// Another node answers than before, with or without an outage.
    Moved {
        /// When its first answer came.
        at: Stamp,
        /// Who answered before.
        from: String,
        /// Who answers now.
        to: String,
    },
}

/// A time without answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// The last answer before.
    pub from: Stamp,
    /// The first answer after.
    pub to: Stamp,
    /// Who gave the last one.
    pub before: String,
    /// Who gave the first one.
    pub after: String,
    /// The longest time within in which the probe itself did not run: the outage may be shorter
    /// by this.
    pub stalled: Duration,
}

impl Outage {
    /// How long it was.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// A probe that runs on the client.
#[derive(Debug)]
pub struct Probe {
    _feed: Feed<Event>,
    events: Events<Event>,
}

impl Probe {
    /// Starts to ask.
    ///
    /// # Errors
    /// When the client is off.
    pub fn start(lab: &Lab, question: &Question) -> Result<Probe> {
        let way = match question.way {
            Way::Udp => "udp",
            Way::Http => "http",
        };
        let (address, port) = (question.address.to_string(), question.port.to_string());
        let (every, gap) = (question.every.as_micros().to_string(), question.gap.as_micros().to_string());
        let words = ["heart", "lab-probe", way, &address, &port, &every, &gap];
        let feed = Feed::start(lab, CLIENT, &words)?;
        let events = feed.events.clone();
        Ok(Probe { _feed: feed, events })
    }

    /// Everything found out so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// The outages that ended after `since`.
    #[must_use]
    pub fn outages_since(&self, since: Stamp) -> Vec<Outage> {
        let outage = |event: &Event| match event {
            Event::Outage(outage) if outage.to >= since => Some(outage.clone()),
            _ => None,
        };
        self.events.lock().iter().filter_map(outage).collect()
    }

    /// Who answers, if anybody does.
    #[must_use]
    pub fn answering(&self) -> Option<String> {
        answering(&self.events.lock()).map(Into::into)
    }

    /// Waits until somebody answers; returns who.
    ///
    /// # Errors
    /// When nobody does within `wait`.
    pub fn await_up(&self, wait: Duration) -> Result<String> {
        self.await_that(wait, "somebody answers", |events| answering(events).map(Into::into))
    }

    /// Waits until nobody answers.
    ///
    /// # Errors
    /// When somebody still does after `wait`.
    pub fn await_down(&self, wait: Duration) -> Result<Stamp> {
        self.await_that(wait, "nobody answers", |events| match events.last() {
            Some(Event::Down { since, .. }) => Some(*since),
            _ => None,
        })
    }

    /// Waits for the first outage that ends after `since`.
    ///
    /// # Errors
    /// When there is none within `wait`.
    pub fn await_outage(&self, since: Stamp, wait: Duration) -> Result<Outage> {
        self.await_that(wait, "an outage is over", |events| {
            events.iter().find_map(|event| match event {
                Event::Outage(outage) if outage.to >= since => Some(outage.clone()),
                _ => None,
            })
        })
    }

    /// Waits until `look` finds what it looks for among the events; `what` names it.
    ///
    /// # Errors
    /// When it does not within `wait`.
    pub fn await_that<T>(
        &self,
        wait: Duration,
        what: &str,
        look: impl FnMut(&[Event]) -> Option<T>,
    ) -> Result<T> {
        self.events.wait(wait, what, look)
    }
}

fn answering(events: &[Event]) -> Option<&str> {
    match events.last()? {
        Event::Up { node, .. } | Event::Moved { to: node, .. } => Some(node),
        Event::Outage(outage) => Some(&outage.after),
        Event::Down { .. } => None,
    }
}

/// Events of a program that prints them, shared with the thread that reads them.
#[derive(Debug)]
pub(crate) struct Events<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T> Clone for Events<T> {
    fn clone(&self) -> Events<T> {
        Events(Arc::clone(&self.0))
    }
}

impl<T> Events<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: T) {
        let mut events = self.lock();
        if events.len() < EVENTS_MAX {
            events.push(event);
        }
        self.0.1.notify_all();
    }

    fn wait<R>(&self, wait: Duration, what: &str, mut look: impl FnMut(&[T]) -> Option<R>) -> Result<R>
    where
        T: std::fmt::Debug,
    {
        let deadline = Stamp::now().after(wait);
        let mut events = self.lock();
        loop {
            if let Some(found) = look(&events) {
                return Ok(found);
            }
            let left = deadline.remaining();
            if left.is_zero() {
                let last: Vec<&T> = events.iter().rev().take(5).collect();
                anyhow::bail!("waited {wait:?} in vain until {what}; the latest events: {last:?}");
            }
            events = self.0.1.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A program that prints one event a line. It ends when this is dropped: its standard input
/// closes.
#[derive(Debug)]
pub(crate) struct Feed<T> {
    events: Events<T>,
    process: Process,
    _stdin: Option<File>,
}

impl<T: DeserializeOwned + Send + 'static> Feed<T> {
    pub(crate) fn start(lab: &Lab, machine: &str, words: &[&str]) -> Result<Feed<T>> {
        let mut process = lab.node(machine).spawn(words)?;
        let stdout = process.take_stdout().context("a probe without standard output")?;
        let stdin = process.take_stdin();
        let events = Events(Arc::new((Mutex::new(Vec::new()), Condvar::new())));
        let into = events.clone();
        // Ends when the program does, or at the first line that is no event.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Some(event) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { return };
                into.push(event);
            }
        });
        Ok(Feed { events, process, _stdin: stdin })
    }
}

impl<T> Feed<T> {
    /// Whether the program still runs.
    fn runs(&self) -> bool {
        matches!(self.process.wait(Duration::ZERO), Ok(None))
    }
}
