//! Talks to the daemon of this machine.
//!
//! One connection is one question: a line of JSON goes there, a line of JSON comes back. Whether
//! the daemon is absent, mute or of another version, the person is told what to do.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heart_model::LOCAL_MESSAGE_MAX;
use heart_node::core::{Request, Response, StatusView};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::failure::Failure;

/// Where the daemon listens, unless said otherwise.
pub(crate) const SOCKET: &str = "/run/heart/heart.sock";
/// How long an answer is waited for, from the first step to the last.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The least that a timeout of a socket can be: zero would mean none.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// The daemon of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    within: Duration,
}

impl Client {
    /// The daemon that listens there.
    pub(crate) fn new(socket: &Path) -> Client {
        Client { socket: socket.to_owned(), within: ANSWER_WITHIN }
    }

    /// Asks. An answer that refuses is a failure: nobody can do anything with it but report it.
    pub(crate) fn ask(&self, request: &Request) -> Result<Response, Failure> {
        let answer = self.exchange(request)?;
        match serde_json::from_slice(&answer) {
            Ok(Response::Refused { error, hint }) => Err(Failure::problem(error, hint)),
            Ok(response) => Ok(response),
            Err(error) => Err(strange(&error.to_string())),
        }
    }

    /// Asks, and hands out the answer as it came, one line.
    pub(crate) fn ask_plainly(&self, request: &Request) -> Result<String, Failure> {
        let answer = self.exchange(request)?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// Asks how everything is.
    pub(crate) fn status(&self) -> Result<StatusView, Failure> {
        match self.ask(&Request::Status)? {
            Response::Status(view) => Ok(*view),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for something to be done, and returns what was agreed on.
    pub(crate) fn demand(&self, request: &Request) -> Result<String, Failure> {
        match self.ask(request)? {
            Response::Accepted { text } => Ok(text),
            other => Err(unexpected(&other)),
        }
    }

    fn exchange(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + self.within;
        let mut line = serde_json::to_vec(request).map_err(|error| strange(&error.to_string()))?;
        line.push(b'\n');
        let mut stream = self.connect(deadline).map_err(|error| self.no_connection(&error))?;
        stream.write_all(&line).map_err(|error| self.no_answer(&error))?;
        let answer = read_line(&mut stream, deadline).map_err(|error| self.no_answer(&error))?;
        if answer.is_empty() {
            return Err(Failure::no_daemon(
                format!("the daemon at {} hung up without an answer", self.socket.display()),
                "its log says why; ask again in a moment",
            ));
        }
        Ok(answer)
    }

    /// Connects. The socket gets its timeout first: a daemon that accepts nobody any more would
    /// otherwise be waited for without end.
    fn connect(&self, deadline: Instant) -> io::Result<UnixStream> {
        let address = SocketAddrUnix::new(&self.socket)?;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(left(deadline)?))?;
        rustix::net::connect(&socket, &address)?;
        Ok(UnixStream::from(socket))
    }

    fn no_connection(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::no_daemon(
                format!("no daemon listens at {socket}"),
                "is the daemon running? start it with `heart daemon`",
            ),
            io::ErrorKind::PermissionDenied => Failure::no_daemon(
                format!("this user may not talk to the daemon at {socket}"),
                "ask again as root, with `sudo`",
            ),
            _ if is_late(error) => self.no_answer(error),
            _ => Failure::no_daemon(
                format!("cannot talk to a daemon at {socket}: {error}"),
                "name its socket with `--socket PATH` or HEART_SOCKET",
            ),
        }
    }

    fn no_answer(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        if is_late(error) {
            let seconds = self.within.as_secs_f64();
            return Failure::no_daemon(
                format!("the daemon at {socket} gave no answer within {seconds} s"),
                "its log says what it is busy with; if it says nothing, restart the daemon",
            );
        }
        Failure::no_daemon(
            format!("the daemon at {socket} gave no answer: {error}"),
            "its log says why; ask again in a moment",
        )
    }
}

/// An answer that means nothing here.
fn strange(what: &str) -> Failure {
    Failure::no_daemon(
        format!("the daemon's answer is not understood: {what}"),
        "`heart` and the daemon may be of different versions: restart the daemon after an update",
    )
}

/// An answer to another question.
pub(crate) fn unexpected(response: &Response) -> Failure {
    let kind = match response {
        Response::Status(_) => "a status",
        Response::Why { .. } => "reasons",
        Response::Log { .. } => "a log",
        Response::Picture { .. } => "a picture of the cluster",
        Response::Accepted { .. } => "consent",
        Response::Refused { .. } => "a refusal",
    };
    strange(&format!("{kind} was not asked for"))
}

/// What is left until the deadline.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left < TIMEOUT_MIN { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Reads to the end of a line, or of the stream.
fn read_line(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let count = match stream.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = chunk[..count].iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&chunk[..end.unwrap_or(count)]);
        if end.is_some() || count == 0 {
            return Ok(line);
        }
        if line.len() > LOCAL_MESSAGE_MAX {
            return Err(io::Error::other(format!("it is longer than {LOCAL_MESSAGE_MAX} bytes")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// Asks a daemon that answers with these bytes and hangs up.
    fn ask(answer: &'static [u8]) -> Result<Response, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = read_line(&mut stream, Instant::now() + ANSWER_WITHIN).unwrap();
            stream.write_all(answer).unwrap();
            asked
        });
        let response = Client::new(&path).ask(&Request::Log { limit: 3 });
        assert_eq!(daemon.join().unwrap(), br#"{"ask":"log","limit":3}"#);
        response
    }

    #[test]
    fn an_answer_is_one_line() {
        let log = Ok(Response::Log { timeline: Vec::new() });
        assert_eq!(ask(b"{\"answer\":\"log\",\"timeline\":[]}\n"), log);
        assert_eq!(ask(b"{\"answer\":\"log\",\"timeline\":[]}"), log, "also at the end of the stream");
    }

    #[test]
    fn a_refusal_is_handed_on_in_the_daemons_words() {
        let refused = ask(b"{\"answer\":\"refused\",\"error\":\"no\",\"hint\":\"do\"}\n").unwrap_err();
        assert_eq!(refused, Failure::problem("no", "do"));
    }

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        for (answer, text) in [
            (&b""[..], "hung up without an answer"),
            (b"\n", "hung up without an answer"),
            (b"{\"answer\":\"poem\"}\n", "not understood: unknown variant `poem`"),
            (b"{\"ans", "not understood: EOF"),
        ] {
            let failure = ask(answer).unwrap_err();
            assert!(failure.message.contains(text), "{failure:?}");
            assert_eq!(failure.kind.code(), 3);
        }
    }

    #[test]
    fn a_daemon_that_is_mute_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let client = Client { socket: path, within: Duration::from_millis(20) };
        let failure = client.ask(&Request::Status).unwrap_err();
        assert!(failure.message.ends_with("gave no answer within 0.02 s"), "{failure:?}");
    }
}
