//! An object store and the gateway of etcd: as much of them as a tie-break uses, on loopback.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use heart_model::{Standing, TieBreakPlace};
use serde_json::{Value, json};

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
        request.body = vec![0; request.header("content-length")?.parse().ok()?];
        from.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Answers every request, until the test ends.
fn serve(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                let Some(request) = Request::read(&stream) else { return };
                // Whoever has gone by now wants no answer.
                stream.write_all(&answer(&request)).ok();
            });
        }
    });
    address
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What a store makes of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conditions {
    Obeyed,
    /// As all stores were once.
    Ignored,
    /// It knows `If-None-Match` and not `If-Match`.
    OnlyFirst,
}

#[derive(Default)]
struct Shelf {
    /// Path, how often it was written, and what stands there.
    objects: Vec<(String, u64, Vec<u8>)>,
    authorizations: Vec<String>,
}

/// An object store.
pub(crate) struct Store {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
}

const OBJECT: &str = "/bucket/web%3A1";

impl Store {
    pub(crate) fn start(conditions: Conditions) -> Store {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let kept = Arc::clone(&shelf);
        let address = serve(move |request| kept.lock().unwrap().answer(request, conditions));
        Store { address, shelf }
    }

    pub(crate) fn place(&self, secret_file: Option<&str>) -> TieBreakPlace {
        TieBreakPlace::Object {
            url: format!("http://{}/bucket/web:1", self.address),
            access_key: secret_file.map(|_| "heart".into()),
            secret_file: secret_file.map(str::to_owned),
            region: "us-east-1".into(),
        }
    }

    pub(crate) fn put(&self, bytes: &[u8]) {
        self.shelf.lock().unwrap().put(OBJECT, bytes);
    }

    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        self.shelf.lock().unwrap().find(OBJECT).map(|(_, bytes)| bytes)
    }

    pub(crate) fn value(&self) -> Option<Standing> {
        self.bytes().map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.shelf.lock().unwrap().authorizations.clone()
    }
}

impl Shelf {
    fn find(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let found = self.objects.iter().find(|(other, ..)| other == path);
        found.map(|(_, version, bytes)| (format!("\"version-{version}\""), bytes.clone()))
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        match self.objects.iter_mut().find(|(other, ..)| other == path) {
            Some((_, version, stands)) => (*version, *stands) = (*version + 1, bytes.to_vec()),
            None => self.objects.push((path.to_owned(), 1, bytes.to_vec())),
        }
    }

    fn answer(&mut self, request: &Request, conditions: Conditions) -> Vec<u8> {
        self.authorizations.extend(request.header("authorization").map(str::to_owned));
        let stands = self.find(&request.path);
        if request.method == "GET" {
            return match stands {
                Some((etag, bytes)) => response("200 OK", &format!("ETag: {etag}\r\n"), &bytes),
                None => response("404 Not Found", "", b"<Code>NoSuchKey</Code>"),
            };
        }
        assert_eq!(request.method, "PUT");
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
            return response("412 Precondition Failed", "", b"<Code>PreconditionFailed</Code>");
        }
        self.put(&request.path, &request.body);
        response("200 OK", "", b"")
    }
}

/// The gateway of an etcd with room for one key.
pub(crate) struct Gateway(SocketAddr);

#[derive(Default)]
struct Key {
    name: Value,
    value: Value,
    /// None: it was never written.
    revision: Option<u64>,
}

impl Gateway {
    pub(crate) fn start() -> Gateway {
        let key = Mutex::new(Key::default());
        Gateway(serve(move |request| {
            let question: Value = serde_json::from_slice(&request.body).unwrap();
            let answer = key.lock().unwrap().answer(&request.path, &question);
            response("200 OK", "Content-Type: application/json\r\n", answer.to_string().as_bytes())
        }))
    }

    /// Behind these members.
    pub(crate) fn place(&self, before: &[&str]) -> TieBreakPlace {
        let mut endpoints: Vec<String> = before.iter().map(|&endpoint| endpoint.to_owned()).collect();
        endpoints.push(format!("http://{}", self.0));
        TieBreakPlace::Etcd { endpoints, key: "heart/web".into() }
    }
}

impl Key {
    fn answer(&mut self, path: &str, question: &Value) -> Value {
        if path == "/v3/kv/range" {
            assert_eq!(question["key"], "aGVhcnQvd2Vi", "heart/web in base64");
            return match self.revision {
                None => json!({ "header": {} }),
                Some(revision) => json!({ "header": {}, "count": "1", "kvs": [{
                    "key": self.name, "value": self.value, "mod_revision": revision.to_string(),
                }] }),
            };
        }
        assert_eq!(path, "/v3/kv/txn");
        let compare = &question["compare"][0];
        assert_eq!(compare["result"], "EQUAL");
        let fits = match compare["target"].as_str().unwrap() {
            "CREATE" => compare["create_revision"] == "0" && self.revision.is_none(),
            "MOD" => self
                .revision
                .is_some_and(|revision| compare["mod_revision"].as_str() == Some(&revision.to_string())),
            other => panic!("{other}"),
        };
        if !fits {
            return json!({ "header": {} });
        }
        let put = &question["success"][0]["request_put"];
        (self.name, self.value) = (put["key"].clone(), put["value"].clone());
        self.revision = Some(self.revision.unwrap_or(1) + 1);
        json!({ "header": {}, "succeeded": true })
    }
}
