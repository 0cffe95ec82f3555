//! A lab as a library: start one, break it, look at it.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with},
    process::{Pid, PidfdFlags, geteuid, pidfd_open},
};

use crate::{
    Stamp,
    janitor::Begin,
    layout::{CLIENT, Layout, Network, SWITCHES},
    message::{Reply, Request, Status},
    node::Node,
    wire,
};

/// How long a lab may take to start, a machine to boot, or a request to be answered.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a lab may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(20);
/// Connections that may wait to be welcomed.
const BACKLOG: i32 = 128;

/// Describes a lab before it starts.
#[derive(Clone, Debug)]
pub struct Builder {
    layout: Layout,
    keep: bool,
}

/// A running lab. It ends when this value is dropped, unless it is kept.
#[derive(Debug)]
pub struct Lab {
    name: String,
    directory: PathBuf,
    /// The layout is known to who started the lab; who attaches asks the holder.
    machines: Vec<String>,
    owned: Option<Owned>,
}

/// What ties a lab to the program that started it.
#[derive(Debug)]
struct Owned {
    lifeline: OwnedFd,
    janitor: Child,
}

impl Lab {
    /// A lab of three nodes, `n1` to `n3`, unless told otherwise.
    #[must_use]
    pub fn builder() -> Builder {
        let layout = Layout::default();
        Builder { layout, keep: false }.nodes(3)
    }

    /// Finds a lab that was left running.
    ///
    /// # Errors
    /// When none of this name runs.
    pub fn attach(name: &str) -> Result<Lab> {
        let directory = state_directory()?.join(name);
        let mut lab = Lab { name: name.into(), directory, machines: Vec::new(), owned: None };
        let running = lab.status().with_context(|| {
            let others = Lab::running().unwrap_or_default().join(", ");
            format!("no lab called `{name}` runs (running: {}); `heart lab up` starts one", or_none(&others))
        })?;
        lab.machines = running.machines.into_iter().map(|machine| machine.name).collect();
        Ok(lab)
    }

    /// The names of the labs that run.
    ///
    /// # Errors
    /// When the directory of labs cannot be read.
    pub fn running() -> Result<Vec<String>> {
        let entries = fs::read_dir(state_directory()?).context("cannot list the labs")?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| state_directory().is_ok_and(|all| dial(&all.join(name)).is_ok())).collect();
        names.sort();
        Ok(names)
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One of its machines: a node, `client`, or `switch` for running programs beside the switches.
    #[must_use]
    pub fn node(&self, name: &str) -> Node<'_> {
        Node { lab: self, name: name.into() }
    }

    /// The names of its nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.machines.iter().map(String::as_str).filter(|&name| name != CLIENT)
    }

    /// The machine that is on both networks and in no cluster.
    #[must_use]
    pub fn client(&self) -> Node<'_> {
        self.node(CLIENT)
    }

    /// How everything is.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub fn status(&self) -> Result<Status> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            other => bail!("the lab answered {other:?} when asked how it is"),
        }
    }

    /// Cuts the power of a node: its ports go down and all its processes die at once.
    ///
    /// # Errors
    /// When there is no such node, or it is off.
    pub fn power_cut(&self, node: &str) -> Result<Stamp> {
        self.power_cut_all(&[node])
    }

    /// Cuts the power of several nodes at the same time.
    ///
    /// # Errors
    /// As [`Lab::power_cut`]; then no node has lost power.
    pub fn power_cut_all(&self, nodes: &[&str]) -> Result<Stamp> {
        self.fault(&Request::PowerCut { machines: owned(nodes) })
    }

    /// Gives power back to a node and waits until it is up.
    ///
    /// # Errors
    /// When there is no such node, or it is up.
    pub fn boot(&self, node: &str) -> Result<Stamp> {
        self.boot_all(&[node])
    }

    /// Boots several nodes side by side.
    ///
    /// # Errors
    /// As [`Lab::boot`].
    pub fn boot_all(&self, nodes: &[&str]) -> Result<Stamp> {
        self.fault(&Request::Boot { machines: owned(nodes) })
    }

    /// Stops every process of a node in its tracks; its kernel still answers.
    ///
    /// # Errors
    /// When there is no such node, or it is off.
    pub fn freeze(&self, node: &str) -> Result<Stamp> {
        self.fault(&Request::Freeze { machine: node.into() })
    }

    /// Lets a frozen node go on.
    ///
    /// # Errors
    /// When there is no such node, or it is off.
    pub fn thaw(&self, node: &str) -> Result<Stamp> {
        self.fault(&Request::Thaw { machine: node.into() })
    }

    /// Unplugs the cable of a machine to one switch, or to all.
    ///
    /// # Errors
    /// When there is no such machine or switch.
    pub fn link_down(&self, machine: &str, switch: impl Into<Option<usize>>) -> Result<Stamp> {
        self.fault(&Request::Link { machine: machine.into(), switch: switch.into(), up: false })
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// When there is no such machine or switch.
    pub fn link_up(&self, machine: &str, switch: impl Into<Option<usize>>) -> Result<Stamp> {
        self.fault(&Request::Link { machine: machine.into(), switch: switch.into(), up: true })
    }

    /// Unplugs and plugs a cable `times` times, in the background; it ends plugged.
    ///
    /// # Errors
    /// When there is no such machine or switch.
    pub fn flap(
        &self,
        machine: &str,
        switch: usize,
        times: u32,
        down: Duration,
        up: Duration,
    ) -> Result<Stamp> {
        let (down_ms, up_ms) = (whole_milliseconds(down), whole_milliseconds(up));
        self.fault(&Request::Flap { machine: machine.into(), switch, times, down_ms, up_ms })
    }

    /// Loses `percent` of the frames that go one way, from each of `from` to each of `to`, on one
    /// switch or on all; 100 loses everything, 0 ends it.
    ///
    /// # Errors
    /// When there is no such machine or switch, or the percentage exceeds 100.
    pub fn lose(
        &self,
        from: &[&str],
        to: &[&str],
        switch: impl Into<Option<usize>>,
        percent: u8,
    ) -> Result<Stamp> {
        self.fault(&Request::Loss { from: owned(from), to: owned(to), switch: switch.into(), percent })
    }

    /// Cuts the network between groups, on all switches at the same instant. A machine that is in
    /// no group still reaches everybody; name the client in a group to take it along.
    ///
    /// # Errors
    /// When there is no such machine, or one is in two groups.
    pub fn partition(&self, groups: &[&[&str]]) -> Result<Stamp> {
        self.partition_on(groups, None)
    }

    /// As [`Lab::partition`], on one switch only.
    ///
    /// # Errors
    /// As [`Lab::partition`].
    pub fn partition_on(&self, groups: &[&[&str]], switch: impl Into<Option<usize>>) -> Result<Stamp> {
        let groups = groups.iter().map(|group| owned(group)).collect();
        self.fault(&Request::Partition { groups, switch: switch.into() })
    }

    /// Undoes everything that was done to the network: losses, partitions, unplugged and flapping
    /// cables. Nodes that are off or frozen stay so.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub fn heal(&self) -> Result<Stamp> {
        self.fault(&Request::Heal)
    }

    /// Ends the lab and everything in it, also one that was kept.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let ended = self.ask(&Request::Stop);
        if let Some(mut owned) = self.owned.take() {
            drop(owned.lifeline);
            let status = await_end(&mut owned.janitor)?;
            anyhow::ensure!(status.success(), "the lab's janitor ended with {status}");
            return Ok(());
        }
        ended?;
        let deadline = Stamp::now().after(END_TIME_MAX);
        while self.directory.exists() {
            anyhow::ensure!(!deadline.remaining().is_zero(), "lab `{}` still ends", self.name);
            std::thread::yield_now();
        }
        Ok(())
    }

    pub(crate) fn fault(&self, request: &Request) -> Result<Stamp> {
        match self.ask(request)? {
            Reply::Done { at } => Ok(at),
            other => bail!("the lab answered {other:?} to {request:?}"),
        }
    }

    pub(crate) fn ask(&self, request: &Request) -> Result<Reply> {
        let connection = self.dial()?;
        wire::send(&connection, request)?;
        answer(&connection, ANSWER_TIME_MAX)
    }

    pub(crate) fn dial(&self) -> Result<OwnedFd> {
        dial(&self.directory)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned.is_some()
            && let Err(error) = self.end()
        {
            eprintln!("heart lab: lab `{}` did not end cleanly: {error:#}", self.name);
        }
    }
}

impl Builder {
    /// That many nodes, called `n1`, `n2`, ….
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Builder {
        self.layout.nodes = (1..=count).map(|number| format!("n{number}")).collect();
        self
    }

    /// Nodes with these names.
    #[must_use]
    pub fn names(mut self, names: &[&str]) -> Builder {
        self.layout.nodes = owned(names);
        self
    }

    /// What the lab is called; needed only to find it again.
    #[must_use]
    pub fn name(mut self, name: &str) -> Builder {
        self.layout.name = name.into();
        self
    }

    /// The addresses behind one switch: a /24 and a /64, each written with zero for the machine.
    ///
    /// # Panics
    /// When there is no such switch.
    #[must_use]
    pub fn network(mut self, switch: usize, v4: Ipv4Addr, v6: Ipv6Addr) -> Builder {
        assert!(switch < SWITCHES, "the switches are 0 to {}", SWITCHES - 1);
        self.layout.networks[switch] = Network { v4, v6 };
        self
    }

    /// A command that every node runs at every boot; `heart` is the lab's own binary.
    #[must_use]
    pub fn on_boot(mut self, words: &[&str]) -> Builder {
        self.layout.on_boot.push(owned(words));
        self
    }

    /// Lets every node answer on a UDP port of an address whenever it has that address, whoever
    /// gave it: what a [`crate::Probe`] asks.
    #[must_use]
    pub fn answer_on(self, address: std::net::IpAddr, port: u16) -> Builder {
        self.on_boot(&["heart", "lab-answer", &address.to_string(), &port.to_string()])
    }

    /// The binary that calls [`crate::hidden_main`] first; this program itself if not said.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Builder {
        self.layout.program = program.into();
        self
    }

    /// A file that all nodes share as a disk, at [`DISK`](crate::DISK). What is written there outlasts power cuts.
    #[must_use]
    pub fn disk(mut self, file: &Path) -> Builder {
        self.layout.disk = Some(file.into());
        self
    }

    /// A folder that all nodes share, at [`FOLDER`](crate::FOLDER), as a file server would give it to them. What is
    /// written there outlasts power cuts.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Builder {
        self.layout.folder = Some(folder.into());
        self
    }

    /// Lets the lab outlive this program; `heart lab down` ends it.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Builder {
        self.keep = keep;
        self
    }

    /// Starts the lab and waits until all its machines are up.
    ///
    /// # Errors
    /// When namespaces are not permitted here, something is missing, or a lab of that name runs.
    pub fn start(mut self) -> Result<Lab> {
        if self.layout.name.is_empty() {
            self.layout.name = fresh_name();
        }
        if self.layout.program.as_os_str().is_empty() {
            self.layout.program = std::env::current_exe().context("cannot find this program's own file")?;
        }
        self.layout.check()?;
        let directory = state_directory()?.join(&self.layout.name);
        self.layout.directory.clone_from(&directory);
        let listener = listen_in(&directory)?;
        let (lifeline, theirs) = wire::pair()?;
        let log = if self.keep {
            Stdio::from(fs::File::create(directory.join("log"))?)
        } else {
            Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?)
        };
        let janitor = Command::new(&self.layout.program)
            .arg("lab-janitor")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.layout.program.display()))?;
        let (name, keep) = (self.layout.name.clone(), self.keep);
        let machines =
            (0..self.layout.machines()).map(|index| self.layout.machine_name(index).into()).collect();
        let begin = Begin { layout: self.layout, keep };
        wire::send_with(&lifeline, &begin, &[listener.as_fd()])?;
        drop(listener);
        let mut lab = Lab { name, directory, machines, owned: Some(Owned { lifeline, janitor }) };
        lab.await_ready()?;
        if keep {
            lab.owned = None;
        }
        Ok(lab)
    }
}

impl Lab {
    fn await_ready(&mut self) -> Result<()> {
        let Some(owned) = &self.owned else { return Ok(()) };
        let outcome = answer(&owned.lifeline, ANSWER_TIME_MAX);
        if let Err(error) = outcome {
            // The janitor sweeps up and ends by itself; there is nobody to ask to stop.
            if let Some(mut owned) = self.owned.take() {
                drop(owned.lifeline);
                let _ = await_end(&mut owned.janitor);
            }
            return Err(error.context("the lab did not start"));
        }
        Ok(())
    }
}

/// Waits for a janitor, which sweeps up and ends when its holder has.
fn await_end(janitor: &mut Child) -> Result<ExitStatus> {
    let pid = Pid::from_raw(i32::try_from(janitor.id())?).context("no process id")?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).context("cannot watch the lab's janitor")?;
    if !wire::readable_within(&ended, END_TIME_MAX)? {
        bail!("the lab still runs {END_TIME_MAX:?} after it was ended: kill process {pid}");
    }
    janitor.wait().context("cannot wait for the lab's end")
}

/// One answer of a lab; a failure it reports becomes an error here.
pub(crate) fn answer(connection: &OwnedFd, wait: Duration) -> Result<Reply> {
    match wire::receive_within(connection, wait)? {
        Some(Reply::Failed { message }) => bail!(message),
        Some(reply) => Ok(reply),
        None => bail!("the lab ended"),
    }
}

fn dial(directory: &Path) -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let address = SocketAddrUnix::new(directory.join("control"))?;
    connect(&socket, &address).with_context(|| format!("no lab listens in {}", directory.display()))?;
    Ok(socket)
}

/// Makes the directory of a lab and its socket; what a dead lab left is replaced.
fn listen_in(directory: &Path) -> Result<OwnedFd> {
    if dial(directory).is_ok() {
        bail!("a lab runs in {} already: choose another name, or end it first", directory.display());
    }
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(directory.join("control"))?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Where labs show themselves: root's in `/run`, another user's in the runtime directory.
fn state_directory() -> Result<PathBuf> {
    let uid = geteuid().as_raw();
    let parent = match std::env::var_os("XDG_RUNTIME_DIR") {
        _ if uid == 0 => PathBuf::from("/run"),
        Some(runtime) => PathBuf::from(runtime),
        None => std::env::temp_dir().join(format!("heart-{uid}")),
    };
    let directory = parent.join("heart-lab");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

/// A name that no other lab of this machine has.
fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.into()).collect()
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
