//! The gateway: lets people on this node talk to the core.
//!
//! A question is one line of JSON on a Unix socket, the answer is one line, and that is all. The
//! gateway knows nothing and keeps nothing but who waits for which answer.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt, chroot},
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use heart_agents::{clock, memory, wait::timespec};
use heart_model::Moment;
use heart_node::core::{Request, Response};
use rustix::event::{PollFd, PollFlags, poll};

use crate::{
    channel::{Channel, Incoming},
    core::{Answer, Question},
    rights::{self, User},
    setup::Places,
};

/// Most people that are served at a time; more wait to be accepted.
const VISITORS_MAX: usize = 64;
/// Longest question, in bytes.
const QUESTION_MAX: usize = 64 * 1024;
/// How long somebody may take to ask, or an answer to come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Visitor {
    stream: UnixStream,
    heard: Vec<u8>,
    /// When it came.
    came: Moment,
    asked: bool,
    until: Instant,
}

/// Runs the gateway until the guardian is gone.
///
/// # Errors
/// When the socket cannot be used, or the core's channel is closed for good.
pub fn run(places: &Places, listener: OwnedFd, core: OwnedFd) -> anyhow::Result<()> {
    // From within the empty directory it could not be done.
    memory::forget_the_start();
    if let Err(error) = shut_in(&places.run.join("empty")) {
        tracing::warn!("the gateway keeps root's rights, which it does not need: {error}");
    }
    let listener = UnixListener::from(listener);
    let mut gateway = Gateway { channel: Channel::new(core)?, visitors: BTreeMap::new(), next: first_id() };
    loop {
        gateway.turn(&listener)?;
    }
}

/// Leaves this process nothing but its sockets: an empty directory that is not its own, and no rights.
fn shut_in(empty: &Path) -> io::Result<()> {
    fs::create_dir_all(empty)?;
    fs::set_permissions(empty, fs::Permissions::from_mode(0o755))?;
    let user = User::of_gateway();
    chroot(empty)?;
    std::env::set_current_dir("/")?;
    user.become_user(rights::OF_GATEWAY)
}

/// Answers for an earlier gateway must not reach the visitors of this one.
fn first_id() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_micros() as u64)
}

struct Gateway {
    channel: Channel,
    visitors: BTreeMap<u64, Visitor>,
    next: u64,
}

impl Gateway {
    fn turn(&mut self, listener: &UnixListener) -> anyhow::Result<()> {
        let ready = self.wait(listener)?;
        self.channel.flush()?;
        for incoming in self.channel.receive::<Answer>()? {
            match incoming {
                Incoming::Message(Answer { id, response }) => self.answer(id, &response),
                // A core that was killed forgot what it was asked.
                Incoming::Hello => self.ask_again()?,
            }
        }
        if self.visitors.len() < VISITORS_MAX {
            self.welcome(listener);
        }
        for id in ready {
            self.listen(id)?;
        }
        let now = Instant::now();
        self.visitors.retain(|_, visitor| visitor.until > now);
        Ok(())
    }

    fn wait(&self, listener: &UnixListener) -> anyhow::Result<Vec<u64>> {
        let asking: Vec<(&u64, &Visitor)> =
            self.visitors.iter().filter(|(_, visitor)| !visitor.asked).collect();
        let flags =
            if self.channel.wants_to_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = vec![PollFd::new(&self.channel, flags), PollFd::new(listener, PollFlags::IN)];
        fds.extend(asking.iter().map(|(_, visitor)| PollFd::new(&visitor.stream, PollFlags::IN)));
        let left = self.visitors.values().map(|visitor| visitor.until).min();
        let left = left.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(timespec);
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for visitors"),
        }
        let ready = asking.iter().zip(&fds[2..]).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|((id, _), _)| **id).collect())
    }

    fn welcome(&mut self, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.next += 1;
            let visitor = Visitor {
                stream,
                heard: Vec::new(),
                came: clock::now(),
                asked: false,
                until: Instant::now() + PATIENCE,
            };
            self.visitors.insert(self.next, visitor);
            if self.visitors.len() >= VISITORS_MAX {
                return;
            }
        }
    }

    /// Takes in what a visitor says; passes the question on when its line is whole.
    fn listen(&mut self, id: u64) -> anyhow::Result<()> {
        let Some(visitor) = self.visitors.get_mut(&id) else { return Ok(()) };
        let mut bytes = [0; 4096];
        match visitor.stream.read(&mut bytes) {
            Ok(0) => {
                self.visitors.remove(&id);
                return Ok(());
            }
            Ok(length) => visitor.heard.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => {
                self.visitors.remove(&id);
                return Ok(());
            }
        }
        let whole = visitor.heard.contains(&b'\n');
        if !whole && visitor.heard.len() <= QUESTION_MAX {
            return Ok(());
        }
        visitor.asked = true;
        self.pass_on(id)
    }

    fn pass_on(&mut self, id: u64) -> anyhow::Result<()> {
        let Some(visitor) = self.visitors.get(&id) else { return Ok(()) };
        let line = visitor.heard.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match serde_json::from_slice::<Request>(line) {
            // Whoever does not wait any more, as all of Heart stood still, may have thought of something else since.
            Ok(_) if has_hung_up(&visitor.stream) => {
                self.visitors.remove(&id);
            }
            Ok(request) => self.channel.send(&Question { id, request, asked: visitor.came })?,
            Err(error) => {
                let response = Response::Refused {
                    error: format!("this daemon does not understand the question: {error}"),
                    hint: "is the command line of another version than the daemon? `heart version` tells"
                        .into(),
                };
                self.answer(id, &response);
            }
        }
        Ok(())
    }

    fn ask_again(&mut self) -> anyhow::Result<()> {
        let open: Vec<u64> =
            self.visitors.iter().filter(|(_, visitor)| visitor.asked).map(|(id, _)| *id).collect();
        open.into_iter().try_for_each(|id| self.pass_on(id))
    }

    fn answer(&mut self, id: u64, response: &Response) {
        let Some(mut visitor) = self.visitors.remove(&id) else { return };
        let Ok(mut line) = serde_json::to_vec(response) else { return };
        line.push(b'\n');
        // The answer fits the socket's buffer or the visitor reads; one that does not is not waited for.
        visitor.stream.set_nonblocking(false).ok();
        visitor.stream.set_write_timeout(Some(WRITE_PATIENCE)).ok();
        visitor.stream.write_all(&line).ok();
    }
}

/// Whether nobody is there to hear an answer.
fn has_hung_up(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    let at_once = timespec(Duration::ZERO);
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0) && fds[0].revents().contains(PollFlags::HUP)
}

/// How long a visitor may take to read.
const WRITE_PATIENCE: Duration = Duration::from_millis(200);
