//! As much of HTTP/1.1 as a tie-break needs: one short request on a connection, and its answer.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use super::{Time, text::printable};

/// Longest answer, head and all, in bytes.
const ANSWER_MAX: usize = 64 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 64;
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// As much of an answer as people are told.
const WORDS_MAX: usize = 300;
const PORT: u16 = 80;

/// Where something is asked for: `http://HOST[:PORT]/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Host and port, as they were written.
    pub(super) authority: String,
    /// What is connected to.
    address: String,
    /// With its first slash; empty if there is none.
    pub(super) path: String,
}

impl Url {
    /// Takes a URL apart.
    pub(super) fn parse(url: &str) -> Result<Url, String> {
        if url.starts_with("https://") {
            return Err(format!(
                "`{url}`: Heart speaks no TLS; write `http://`, through a tunnel or a proxy on this node if the way \
                 there is not trusted"
            ));
        }
        let wrong = || format!("`{url}` cannot be asked; write `http://HOST[:PORT]/PATH`");
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty()
            || url.contains(['?', '#', '@'])
            || url.contains(|c: char| !c.is_ascii_graphic())
        {
            return Err(wrong());
        }
        // A colon behind the last bracket separates a port; those before are of IPv6.
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let address = match port {
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            Some(_) => return Err(wrong()),
            None => format!("{authority}:{PORT}"),
        };
        Ok(Url { authority: authority.to_owned(), address, path: path.to_owned() })
    }

    /// Another path there.
    pub(super) fn at(&self, path: String) -> Url {
        Url { path, ..self.clone() }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, if it is there.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        all.next().map(|(_, value)| value.as_str())
    }

    /// What it says, for people.
    pub(super) fn words(&self) -> String {
        match printable(&self.body, WORDS_MAX) {
            words if words.is_empty() => format!("status {}", self.status),
            words => format!("status {}: {words}", self.status),
        }
    }
}

/// Asks once; `headers` without those of the host, the length and the connection.
pub(super) fn ask(
    method: &str,
    url: &Url,
    headers: &[(String, String)],
    body: &[u8],
    time: &Time,
) -> Result<Answer, String> {
    let authority = &url.authority;
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n",
        url.path,
        body.len()
    );
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    head += "\r\n";
    let mut stream = Stream::connect(&url.address, time)?;
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .map_err(|error| format!("{authority} did not take the request: {}", plain(&error)))?;
    read_answer(&mut stream).map_err(|why| format!("{authority} was asked ({method}), and {why}"))
}

fn read_answer(stream: &mut Stream<'_>) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    // Bounded by the longest answer: each round adds something or ends it.
    loop {
        let read = stream.read(&mut buffer).map_err(|error| format!("did not answer: {}", plain(&error)))?;
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(answer) = parse(&bytes, read == 0)? {
            return Ok(answer);
        }
        if bytes.len() > ANSWER_MAX {
            return Err(format!(
                "answered with more than {ANSWER_MAX} bytes; see whether that is the right place"
            ));
        }
    }
}

/// Reads an answer; nothing if more has to come. `ended`: nothing more can.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<Answer>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let torn = || "closed the connection before it had answered; see whether it runs".to_owned();
    let unreadable =
        |what: &dyn std::fmt::Display| format!("its answer is not HTTP ({what}); see what listens there");
    let length = match head.parse(bytes).map_err(|error| unreadable(&error))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if ended => return Err(torn()),
        httparse::Status::Partial => return Ok(None),
    };
    let text = |header: &httparse::Header<'_>| {
        (header.name.to_owned(), String::from_utf8_lossy(header.value).trim().to_owned())
    };
    let mut answer = Answer {
        status: head.code.unwrap_or_default(),
        headers: head.headers.iter().map(text).collect(),
        body: Vec::new(),
    };
    let rest = &bytes[length..];
    let body = if matches!(answer.status, 204 | 304) {
        Some(Vec::new())
    } else if answer.header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
        from_chunks(rest).map_err(|()| unreadable(&"a chunk without length"))?
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().map_err(|_| unreadable(&"a length that is no number"))?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else {
        ended.then(|| rest.to_vec())
    };
    match body {
        Some(body) => {
            answer.body = body;
            Ok(Some(answer))
        }
        None if ended => Err(torn()),
        None => Ok(None),
    }
}

/// Puts a body together that came in chunks; nothing if more has to come.
fn from_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let mut body = Vec::new();
    // Bounded by the bytes: each round takes some.
    loop {
        let (begin, length) = match httparse::parse_chunk_size(rest).map_err(|_| ())? {
            httparse::Status::Complete((begin, length)) => (begin, usize::try_from(length).map_err(|_| ())?),
            httparse::Status::Partial => return Ok(None),
        };
        if length == 0 {
            return Ok(Some(body));
        }
        let end = begin.checked_add(length).and_then(|end| end.checked_add(2)).ok_or(())?;
        let Some(chunk) = rest.get(begin..end) else { return Ok(None) };
        body.extend_from_slice(&chunk[..length]);
        rest = &rest[end..];
    }
}

/// A connection that lasts no longer than an attempt, whatever the other side does.
pub(super) struct Stream<'a> {
    stream: TcpStream,
    time: &'a Time,
}

impl<'a> Stream<'a> {
    /// Connects to `HOST:PORT`: to the first of its addresses that lets us.
    pub(super) fn connect(address: &str, time: &'a Time) -> Result<Stream<'a>, String> {
        let unknown = |why: String| {
            format!("no address of {address} is known: {why}; see the name and the name server")
        };
        let all: Vec<SocketAddr> = address
            .to_socket_addrs()
            .map_err(|error| unknown(error.to_string()))?
            .take(ADDRESSES_MAX)
            .collect();
        let mut last = unknown("the name has none".to_owned());
        for (number, one) in all.iter().enumerate() {
            let share = time.left()? / u32::try_from(all.len() - number).unwrap_or(u32::MAX);
            match TcpStream::connect_timeout(one, share.max(Duration::from_millis(1))) {
                Ok(stream) => {
                    // Without it an answer is only a little later.
                    stream.set_nodelay(true).ok();
                    return Ok(Stream { stream, time });
                }
                Err(error) => {
                    last = format!(
                        "{one} could not be reached: {}; see whether it runs, and the way there",
                        plain(&error)
                    );
                }
            }
        }
        Err(last)
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        self.time.left().map(Some).map_err(|_| io::ErrorKind::TimedOut.into())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// An error of a socket; running out of time has several names there.
pub(super) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the time was over".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |url: &str| Url::parse(url).map(|url| (url.authority, url.address, url.path));
        let three = |a: &str, b: &str, c: &str| Ok((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(parts("http://store/b/k"), three("store", "store:80", "/b/k"));
        assert_eq!(
            parts("http://10.0.0.1:9000/b/k%20x"),
            three("10.0.0.1:9000", "10.0.0.1:9000", "/b/k%20x")
        );
        assert_eq!(parts("http://[fd00::1]/b"), three("[fd00::1]", "[fd00::1]:80", "/b"));
        assert_eq!(parts("http://[fd00::1]:2379"), three("[fd00::1]:2379", "[fd00::1]:2379", ""));
        for wrong in [
            "store/b",
            "http://",
            "http:///k",
            "http://h:x/",
            "http://h/k?a",
            "http://u@h/k",
            "http://h/\r\n",
        ] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
        assert!(parts("https://store/b/k").unwrap_err().contains("no TLS"));
    }

    #[test]
    fn an_answer_is_complete_when_its_last_byte_is_there() {
        let with_length = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 3\r\n\r\nabc";
        let in_chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        for whole in [with_length, in_chunks] {
            let answer = parse(whole.as_bytes(), false).unwrap().unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
            let shorter = whole.len() - 1 - if whole == in_chunks { 4 } else { 0 };
            for length in 0..shorter {
                let part = &whole.as_bytes()[..length];
                assert_eq!(parse(part, false), Ok(None), "{length}");
                assert!(parse(part, true).unwrap_err().contains("before it had answered"));
            }
        }
        assert_eq!(parse(with_length.as_bytes(), false).unwrap().unwrap().header("etag"), Some("\"a\""));
        let to_the_end = b"HTTP/1.0 404 Not Found\r\n\r\nno\nsuch";
        assert_eq!(parse(to_the_end, false), Ok(None));
        assert_eq!(parse(to_the_end, true).unwrap().unwrap().words(), "status 404: no such");
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n\r\n", false).unwrap().unwrap().words(), "status 204");
    }

    #[test]
    fn what_is_no_http_is_refused() {
        for bytes in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"] {
            assert!(parse(bytes, false).unwrap_err().contains("not HTTP"));
        }
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false).is_err());
    }
}
