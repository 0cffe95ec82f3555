//! `heart witness`: keeps the values of tie-breaks for clusters that are elsewhere.
//!
//! It decides nothing and knows nobody: whoever proves that it belongs to a cluster may compare and set that
//! cluster's value. Each connection has a thread and a few seconds, and asks one question; a value is durable before
//! anybody is told what it is. See `heart_agents::tie_break::words` for what is said.

mod guests;
mod keys;
mod store;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use heart_agents::{
    memory,
    tie_break::words::{self, LENGTH, NONCE, Question, WitnessKey},
    wait,
};
use heart_model::{Name, TieBreakOutcome};

use guests::Guests;
use keys::Keys;
use store::Store;

/// How long one connection may take, whatever it does.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
/// How long nobody new is let in after the kernel refused: it has no room, and asking it again does not make any.
const REFUSED_WAIT: Duration = Duration::from_millis(200);
/// Enough for one question and its answer.
const STACK: usize = 128 * 1024;

/// Where a witness listens, and where its things are.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder of the values; it is made if it is missing.
    pub state: PathBuf,
    /// The folder of the keys, one file `CLUSTER.key` for each cluster; they are read each time one is used.
    pub clusters: PathBuf,
}

/// A witness that listens.
pub struct Witness {
    listener: TcpListener,
    desk: Arc<Desk>,
}

/// What every connection needs.
struct Desk {
    keys: Keys,
    store: Store,
    guests: Guests,
}

/// Why a connection got no answer.
enum Silence {
    /// Its writer did not prove anything: wrong key, unknown cluster, or no question at all.
    Unproven(String),
    /// It went away, or took too long.
    Gone(io::Error),
}

impl Witness {
    /// Takes up the folders and begins to listen.
    ///
    /// # Errors
    /// When a folder cannot be used, another witness uses it, or nobody can listen there.
    pub fn open(options: &Options) -> anyhow::Result<Witness> {
        let keys = Keys::open(&options.clusters)?;
        let store = Store::open(&options.state)?;
        let listener = TcpListener::bind(options.listen).with_context(|| {
            format!("cannot listen at {}; see what does already, or `--listen` elsewhere", options.listen)
        })?;
        Ok(Witness { listener, desk: Arc::new(Desk { keys, store, guests: Guests::default() }) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers, for ever.
    pub fn run(&self) {
        loop {
            match self.listener.accept() {
                Ok((stream, peer)) => self.welcome(stream, peer.ip()),
                Err(error) => {
                    self.desk.guests.complain(None, &format!("nobody can be let in: {error}"));
                    // Nothing rings: it is a wait with a bound, and new connections queue meanwhile.
                    wait::any(&[], Some(Instant::now() + REFUSED_WAIT)).ok();
                }
            }
        }
    }

    fn welcome(&self, stream: TcpStream, peer: IpAddr) {
        let Some(guest) = Guests::enter(&self.desk, peer) else {
            return self
                .desk
                .guests
                .complain(Some(peer), "it has too many connections, or all have together");
        };
        let talk = move || {
            if let Err(silence) = guest.desk().talk(stream) {
                match silence {
                    Silence::Unproven(why) => guest.desk().guests.complain(Some(peer), &why),
                    Silence::Gone(error) => tracing::debug!("{peer} went away: {error}"),
                }
            }
        };
        let begun = thread::Builder::new().name("heart-witness".into()).stack_size(STACK).spawn(talk);
        if let Err(error) = begun {
            self.desk.guests.complain(Some(peer), &format!("there is no thread for it: {error}"));
        }
    }
}

impl Desk {
    /// Hears one question and answers it.
    fn talk(&self, stream: TcpStream) -> Result<(), Silence> {
        let mut line = Line { stream, until: Instant::now() + CONNECTION_MAX };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| Silence::Gone(io::Error::other(error)))?;
        line.write(&nonce)?;
        let mut length = [0; LENGTH];
        line.read(&mut length)?;
        let length = words::read_length(length)
            .ok_or_else(|| Silence::Unproven("what it sent is longer than any question".to_owned()))?;
        let mut bytes = vec![0; length];
        line.read(&mut bytes)?;
        let question = Question::read(&bytes)
            .ok_or_else(|| Silence::Unproven("what it sent is no question".to_owned()))?;
        let (key, answer) = self.answer(&question, &nonce)?;
        let answer = words::write_answer(&key, &nonce, &question.tag(), &answer)
            .map_err(|why| Silence::Gone(io::Error::other(why)))?;
        line.write(&answer)
    }

    fn answer(
        &self,
        question: &Question<'_>,
        nonce: &[u8; NONCE],
    ) -> Result<(WitnessKey, TieBreakOutcome), Silence> {
        let cluster = Name::new(question.cluster)
            .map_err(|_| Silence::Unproven("it named something that is no cluster".to_owned()))?;
        let key = self.keys.find(&cluster).map_err(|why| Silence::Unproven(format!("{why:#}")))?;
        let change = question.open(&key, nonce).ok_or_else(|| {
            Silence::Unproven(format!(
                "it does not know the key of {cluster}; if it is a node of that cluster, give both the same key"
            ))
        })?;
        let outcome = self.store.change(&cluster, &change).unwrap_or_else(|why| {
            let message = format!("the witness cannot keep the value of {cluster}: {why:#}");
            tracing::error!("{message}");
            TieBreakOutcome::Failed { message: message.chars().take(words::MESSAGE_MAX / 8).collect() }
        });
        Ok((key, outcome))
    }
}

/// A connection that ends at its time, whatever the other side does.
struct Line {
    stream: TcpStream,
    until: Instant,
}

impl Line {
    fn left(&self) -> Result<Option<Duration>, Silence> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Silence::Gone(io::ErrorKind::TimedOut.into())) } else { Ok(Some(left)) }
    }

    /// Reads until `into` is full.
    fn read(&mut self, mut into: &mut [u8]) -> Result<(), Silence> {
        // Bounded by the time: somebody may send one byte after the other.
        while !into.is_empty() {
            self.stream.set_read_timeout(self.left()?).map_err(Silence::Gone)?;
            match self.stream.read(into).map_err(Silence::Gone)? {
                0 => return Err(Silence::Gone(io::ErrorKind::UnexpectedEof.into())),
                read => into = &mut into[read..],
            }
        }
        Ok(())
    }

    /// Writes something that is shorter than what the kernel keeps for a connection.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Silence> {
        self.stream.set_write_timeout(self.left()?).map_err(Silence::Gone)?;
        self.stream.write_all(bytes).map_err(Silence::Gone)
    }
}

/// Runs a witness until it is killed: it keeps nothing that is not on its disk.
///
/// # Errors
/// Why it cannot begin.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let witness = Witness::open(options)?;
    let clusters = witness.desk.keys.names()?;
    tracing::info!(
        "listening at {}, for {}",
        witness.address()?,
        if clusters.is_empty() { "no cluster yet".to_owned() } else { clusters.join(", ") }
    );
    memory::forget_the_start();
    witness.run();
    Ok(())
}
