//! An object store and the gateway of etcd: as much of them as a tie-break uses. Nothing of either outlasts its process.
//!
//! `lab-object-store ADDRESS:PORT` and `lab-etcd ADDRESS:PORT` serve on a machine of a lab, and write a line for every
//! value that is put there, as it came. A test of one change starts them beside itself, on loopback.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// Longest body of a request.
const BODY_MAX: usize = 64 * 1024;
/// The key that the gateway has room for: `heart/web`, in base64.
const KEY: &str = "aGVhcnQvd2Vi";

/// A request as it came.
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one; nothing if the other side went away.
    fn read(stream: &TcpStream) -> Option<Request> {
        let mut from = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line).ok().filter(|&length| length > 0)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut first = lines.first()?.split(' ').map(str::to_owned);
        let (method, path) = (first.next()?, first.next()?);
        let split = |line: &String| line.split_once(": ").map(|(a, b)| (a.to_lowercase(), b.to_owned()));
        let headers: Vec<_> = lines.iter().skip(1).filter_map(split).collect();
        let mut request = Request { method, path, headers, body: Vec::new() };
        let length = request.header("content-length")?.parse().ok().filter(|&length| length <= BODY_MAX)?;
        request.body = vec![0; length];
        from.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What a server answers to a request; nothing if it is none that it knows.
type Answer = Box<dyn Fn(&Request) -> Option<Vec<u8>> + Send + Sync>;

/// Answers every request, until the process ends.
fn serve(listener: &TcpListener, answer: Answer) {
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        let (Ok(mut stream), answer) = (stream, Arc::clone(&answer)) else { continue };
        thread::spawn(move || {
            let answer = Request::read(&stream).and_then(|request| answer(&request));
            // Whoever has gone by now wants no answer.
            stream.write_all(&answer.unwrap_or_else(|| response("400 Bad Request", "", b"")))
        });
    }
}

/// The same on loopback and beside whoever calls this; where.
fn serve_here(answer: Answer) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().spawn(move || serve(&listener, answer))?;
    Ok(address)
}

/// Tells whoever reads the output what was put.
fn print_put(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    // Nobody has to read it.
    out.write_all(bytes).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).ok();
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What a store makes of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// It obeys them.
    Obeyed,
    /// It writes anyway, as all stores did once.
    Ignored,
    /// It knows `If-None-Match` and not `If-Match`.
    OnlyFirst,
}

#[derive(Debug, Default)]
struct Shelf {
    /// Path, how often it was written, and what stands there.
    objects: Vec<(String, u64, Vec<u8>)>,
    authorizations: Vec<String>,
    prints: bool,
}

/// An object store on loopback.
#[derive(Debug)]
pub struct ObjectStore {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
}

impl ObjectStore {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start(conditions: Conditions) -> io::Result<ObjectStore> {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let address = serve_here(Shelf::answers(&shelf, conditions))?;
        Ok(ObjectStore { address, shelf })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts something there without being asked.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        lock(&self.shelf).put(path, bytes);
    }

    /// What stands at this path.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        lock(&self.shelf).find(path).map(|(_, bytes)| bytes)
    }

    /// How requests were signed, those that were.
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        lock(&self.shelf).authorizations.clone()
    }
}

/// `lab-object-store ADDRESS:PORT`
pub(crate) fn run_object_store(arguments: &[String]) -> Result<()> {
    let shelf = Arc::new(Mutex::new(Shelf { prints: true, ..Shelf::default() }));
    run(arguments, Shelf::answers(&shelf, Conditions::Obeyed))
}

/// `lab-etcd ADDRESS:PORT`
pub(crate) fn run_etcd(arguments: &[String]) -> Result<()> {
    run(arguments, Key::answers(Key { prints: true, ..Key::default() }))
}

/// Serves until it is killed.
fn run(arguments: &[String], answer: Answer) -> Result<()> {
    let [address] = arguments else { bail!("usage: lab-object-store|lab-etcd ADDRESS:PORT") };
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    serve(&listener, answer);
    Ok(())
}

impl Shelf {
    fn answers(shelf: &Arc<Mutex<Shelf>>, conditions: Conditions) -> Answer {
        let shelf = Arc::clone(shelf);
        Box::new(move |request| lock(&shelf).answer(request, conditions))
    }

    fn find(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let found = self.objects.iter().find(|(other, ..)| other == path);
        found.map(|(_, version, bytes)| (format!("\"version-{version}\""), bytes.clone()))
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        match self.objects.iter_mut().find(|(other, ..)| other == path) {
            Some((_, version, stands)) => (*version, *stands) = (*version + 1, bytes.to_vec()),
            None => self.objects.push((path.to_owned(), 1, bytes.to_vec())),
        }
        if self.prints {
            print_put(bytes);
        }
    }

    fn answer(&mut self, request: &Request, conditions: Conditions) -> Option<Vec<u8>> {
        self.authorizations.extend(request.header("authorization").map(str::to_owned));
        let stands = self.find(&request.path);
        if request.method == "GET" {
            return Some(match stands {
                Some((etag, bytes)) => response("200 OK", &format!("ETag: {etag}\r\n"), &bytes),
                None => response("404 Not Found", "", b"<Code>NoSuchKey</Code>"),
            });
        }
        if request.method != "PUT" {
            return None;
        }
        let first = request.header("if-none-match") == Some("*");
        let fits = match request.header("if-match") {
            Some(etag) => stands.is_some_and(|(other, _)| other == etag),
            None => first && stands.is_none(),
        };
        let obeyed = match conditions {
            Conditions::Obeyed => true,
            Conditions::Ignored => false,
            Conditions::OnlyFirst => first,
        };
        if obeyed && !fits {
            return Some(response("412 Precondition Failed", "", b"<Code>PreconditionFailed</Code>"));
        }
        self.put(&request.path, &request.body);
        Some(response("200 OK", "", b""))
    }
}

/// The gateway of an etcd with room for one key, `heart/web`, on loopback.
#[derive(Debug)]
pub struct EtcdGateway(SocketAddr);

impl EtcdGateway {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start() -> io::Result<EtcdGateway> {
        Ok(EtcdGateway(serve_here(Key::answers(Key::default()))?))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0
    }
}

#[derive(Debug, Default)]
struct Key {
    value: Value,
    /// None: it was never written.
    revision: Option<u64>,
    prints: bool,
}

impl Key {
    fn answers(key: Key) -> Answer {
        let key = Mutex::new(key);
        Box::new(move |request| {
            let question: Value = serde_json::from_slice(&request.body).ok()?;
            let answer = lock(&key).answer(&request.path, &question)?;
            Some(response("200 OK", "Content-Type: application/json\r\n", answer.to_string().as_bytes()))
        })
    }

    fn answer(&mut self, path: &str, question: &Value) -> Option<Value> {
        match path {
            "/v3/kv/range" if question["key"] == KEY => Some(match self.revision {
                None => json!({ "header": {} }),
                Some(revision) => json!({ "header": {}, "count": "1", "kvs": [{
                    "key": KEY, "value": self.value, "mod_revision": revision.to_string(),
                }] }),
            }),
            "/v3/kv/txn" => self.change(&question["compare"][0], &question["success"][0]["request_put"]),
            _ => None,
        }
    }

    fn change(&mut self, compare: &Value, put: &Value) -> Option<Value> {
        if compare["result"] != "EQUAL" || compare["key"] != KEY || put["key"] != KEY {
            return None;
        }
        let fits = match compare["target"].as_str()? {
            "CREATE" => compare["create_revision"] == "0" && self.revision.is_none(),
            "MOD" => self
                .revision
                .is_some_and(|revision| compare["mod_revision"].as_str() == Some(&revision.to_string())),
            _ => return None,
        };
        if !fits {
            return Some(json!({ "header": {} }));
        }
        self.value = put["value"].clone();
        self.revision = Some(self.revision.unwrap_or(1) + 1);
        if self.prints {
            print_put(self.value.as_str()?.as_bytes());
        }
        Some(json!({ "header": {}, "succeeded": true }))
    }
}
