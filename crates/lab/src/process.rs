//! A program that runs on a machine of a lab.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::{
    Exit, Stamp, Target,
    lab::answer,
    message::{CommandLine, Reply, Request},
    node::Node,
    wire,
};

/// How long a machine may take to start a program.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// Most bytes that are kept of each stream of a program.
const OUTPUT_MAX: u64 = 64 * 1024 * 1024;
/// How long a stream may stay open after its program ended: a program that it started and left
/// behind may hold it for ever.
const STREAM_TIME_MAX: Duration = Duration::from_millis(300);

/// A running program. Dropping it leaves the program alone.
#[derive(Debug)]
pub struct Process {
    connection: OwnedFd,
    machine: String,
    pid: i32,
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
}

/// What a program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Process {
    pub(crate) fn start(node: &Node<'_>, command: CommandLine) -> Result<Process> {
        let (stdin, our_in) = pipe_with(PipeFlags::CLOEXEC)?;
        let (our_out, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (our_err, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut process = Process::start_on(node, command, &[stdin, stdout, stderr])?;
        process.stdin = Some(File::from(our_in));
        process.stdout = Some(File::from(our_out));
        process.stderr = Some(File::from(our_err));
        Ok(process)
    }

    /// Starts a program on streams of the caller's.
    pub(crate) fn start_on(node: &Node<'_>, command: CommandLine, streams: &[OwnedFd; 3]) -> Result<Process> {
        let connection = node.lab.dial()?;
        let words = command.words.join(" ");
        let request = Request::Spawn { machine: node.name.clone(), command };
        wire::send_with(&connection, &request, &streams.each_ref().map(AsFd::as_fd))?;
        match answer(&connection, START_TIME_MAX).with_context(|| format!("`{words}` on {}", node.name))? {
            Reply::Spawned { pid } => {
                let machine = node.name.clone();
                Ok(Process { connection, machine, pid, stdin: None, stdout: None, stderr: None })
            }
            other => bail!("the lab answered {other:?} when asked to start `{words}`"),
        }
    }

    /// Its process id, as its machine sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// It and what it started, as the target of a signal.
    #[must_use]
    pub fn group(&self) -> Target {
        Target::Group(self.pid)
    }

    /// The end of its standard input, once.
    pub fn take_stdin(&mut self) -> Option<File> {
        self.stdin.take()
    }

    /// The end of its standard output, once.
    pub fn take_stdout(&mut self) -> Option<File> {
        self.stdout.take()
    }

    /// The end of its standard error, once.
    pub fn take_stderr(&mut self) -> Option<File> {
        self.stderr.take()
    }

    /// Waits until it has ended; `None` when it still runs after `wait`.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn wait(&self, wait: Duration) -> Result<Option<Exit>> {
        if !wire::readable_within(&self.connection, wait)? {
            return Ok(None);
        }
        match answer(&self.connection, wait)? {
            Reply::Exited(exit) => Ok(Some(exit)),
            other => bail!("the lab answered {other:?} instead of how process {} ended", self.pid),
        }
    }

    /// Waits for its end and returns what it wrote.
    ///
    /// # Errors
    /// When it does not end within `wait`.
    pub fn output(self, wait: Duration) -> Result<Output> {
        self.feed(&[], wait)
    }

    /// Writes to its standard input, waits for its end and returns what it wrote.
    ///
    /// # Errors
    /// When it does not end within `wait`.
    pub fn feed(mut self, input: &[u8], wait: Duration) -> Result<Output> {
        let deadline = Stamp::now().after(wait);
        let (out, err) = (collect(self.stdout.take()), collect(self.stderr.take()));
        if let Some(mut stdin) = self.stdin.take() {
            // A program that does not want its input may say so by closing it.
            let _ = stdin.write_all(input);
        }
        let Some(exit) = self.wait(deadline.remaining())? else {
            bail!("process {} on {} still runs after {wait:?}", self.pid, self.machine);
        };
        let deadline = Stamp::now().after(STREAM_TIME_MAX);
        Ok(Output { exit, stdout: text(&out, deadline), stderr: text(&err, deadline) })
    }
}

/// Reads a stream beside the program, so that a full pipe cannot stop it.
fn collect(stream: Option<File>) -> Receiver<Vec<u8>> {
    let (parts, collected) = channel();
    std::thread::spawn(move || {
        let Some(stream) = stream else { return };
        let mut stream = stream.take(OUTPUT_MAX);
        let mut part = vec![0; 64 * 1024];
        // Ends with the stream, at an error, or when nobody collects any more.
        while let Ok(length @ 1..) = stream.read(&mut part) {
            if parts.send(part[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    collected
}

/// What has been read until the stream's end or `deadline`.
fn text(parts: &Receiver<Vec<u8>>, deadline: Stamp) -> String {
    let mut bytes = Vec::new();
    while let Ok(part) = parts.recv_timeout(deadline.remaining()) {
        bytes.extend(part);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
