//! A web server that says on which node it runs: the service of the demo.
//!
//! `lab-http [NAME] PORT`; without a name it is the machine's. Real HTTP over TCP, as little of it as a browser, `curl` and the probe
//! need: every request gets the same page, one connection at a time.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv6Addr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::system::uname;

/// Longest head of a request.
const HEAD_MAX: u64 = 8 * 1024;
/// How long a client may take to send its request.
const REQUEST_TIME_MAX: Duration = Duration::from_millis(500);

/// Serves until it is killed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (name, port) = match arguments {
        [port] => (uname().nodename().to_string_lossy().into_owned(), port),
        [name, port] => (name.clone(), port),
        _ => bail!("usage: lab-http [NAME] PORT"),
    };
    let port: u16 = port.parse().with_context(|| format!("`{port}` is no port"))?;
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .with_context(|| format!("cannot listen on port {port}"))?;
    for stream in listener.incoming() {
        // One client's trouble is not the next one's.
        let _ = stream.map_err(Into::into).and_then(|stream| serve(stream, &name));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, name: &str) -> Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIME_MAX))?;
    stream.set_write_timeout(Some(REQUEST_TIME_MAX))?;
    let head = BufReader::new(stream.try_clone()?.take(HEAD_MAX));
    for line in head.lines() {
        if line?.is_empty() {
            break;
        }
    }
    let page = format!("{name}\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all((head + &page).as_bytes())?;
    Ok(())
}
