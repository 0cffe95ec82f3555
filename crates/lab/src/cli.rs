//! The lab on the command line: `heart lab …`.

use std::{
    io::Write,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::{
    Event, Exit, Lab, Probe, Stamp,
    layout::CLIENT,
    message::CommandLine,
    milliseconds,
    probe::{Question, Way},
    process::Process,
};

/// Longest that a program started by `exec` is waited for in one go.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Nodes as network namespaces on this machine: break things here, not in production.
#[derive(Debug, clap::Parser)]
pub struct Cli {
    #[command(flatten)]
    which: Which,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Which {
    /// Which lab, if there is more than one
    #[arg(long, global = true, default_value = "lab", value_name = "NAME")]
    lab: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a lab and leave it running
    Up {
        /// How many nodes, called n1, n2, …
        #[arg(long, default_value_t = 3, conflicts_with = "names")]
        nodes: usize,
        /// The nodes' names, separated by commas
        #[arg(long, value_delimiter = ',')]
        names: Vec<String>,
        /// End the lab when this command ends
        #[arg(long)]
        foreground: bool,
    },
    /// End a lab and everything in it
    Down,
    /// Run a program on a node, on `client`, or beside the switches on `switch`
    Exec {
        /// Where
        machine: String,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Break something
    #[command(subcommand)]
    Fault(Fault),
    /// Ask an address over and over from the client and report outages as they happen
    Probe {
        /// The address
        address: IpAddr,
        /// The port
        #[arg(long, default_value_t = 7000)]
        port: u16,
        /// Ask by HTTP instead of UDP
        #[arg(long)]
        http: bool,
    },
    /// Show the machines and what is broken
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Fault {
    /// Cut the power of nodes
    PowerCut {
        /// Which
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Give power back to nodes
    Boot {
        /// Which
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Stop every process of a node in its tracks
    Freeze {
        /// Which
        node: String,
    },
    /// Let a frozen node go on
    Thaw {
        /// Which
        node: String,
    },
    /// Kill processes of a node by name
    Kill {
        /// Which node
        node: String,
        /// The name, as in /proc/PID/comm
        process: String,
    },
    /// Unplug a cable
    LinkDown(Cable),
    /// Plug a cable in
    LinkUp(Cable),
    /// Unplug and plug a cable over and over
    Flap {
        /// Whose cable
        machine: String,
        /// To which switch
        switch: usize,
        /// How often
        #[arg(long, default_value_t = 10)]
        times: u32,
        /// How long it is unplugged, in milliseconds
        #[arg(long, default_value_t = 100)]
        down: u64,
        /// How long it is plugged, in milliseconds
        #[arg(long, default_value_t = 100)]
        up: u64,
    },
    /// Lose a part of what goes one way
    Lose {
        /// From where
        from: String,
        /// To where
        to: String,
        /// How much of it, in percent; 0 ends it
        percent: u8,
        /// On one switch only
        #[arg(long)]
        switch: Option<usize>,
    },
    /// Cut the network between groups such as `n1 n2,n3`
    Partition {
        /// The groups; names within one are separated by commas
        #[arg(required = true, num_args = 2..)]
        groups: Vec<String>,
        /// On one switch only
        #[arg(long)]
        switch: Option<usize>,
    },
    /// Undo everything that was done to the network
    Heal,
}

#[derive(Debug, Args)]
struct Cable {
    /// Whose
    machine: String,
    /// To one switch only
    #[arg(long)]
    switch: Option<usize>,
}

/// Obeys a command line.
#[must_use]
pub fn cli(cli: Cli) -> ExitCode {
    match obey(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(cli: Cli) -> Result<ExitCode> {
    let name = &cli.which.lab;
    match cli.command {
        Command::Up { nodes, names, foreground } => up(name, nodes, &names, foreground)?,
        Command::Down => Lab::attach(name)?.stop()?,
        Command::Exec { machine, words } => return exec(&Lab::attach(name)?, &machine, words),
        Command::Fault(fault) => {
            let began = Stamp::now();
            let at = cause(&Lab::attach(name)?, fault)?;
            println!("done at {at}, {} after the command began", milliseconds(at.since(began)));
        }
        Command::Probe { address, port, http } => probe(&Lab::attach(name)?, address, port, http)?,
        Command::Status { json } => status(&Lab::attach(name)?, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn up(name: &str, nodes: usize, names: &[String], foreground: bool) -> Result<()> {
    let began = Stamp::now();
    let mut builder = Lab::builder().nodes(nodes).name(name).keep(!foreground);
    if !names.is_empty() {
        builder = builder.names(&borrowed(names));
    }
    let lab = builder.start()?;
    println!("lab `{name}` is up after {}", milliseconds(Stamp::now().since(began)));
    status(&lab, false)?;
    let first = lab.nodes().next().unwrap_or(CLIENT);
    println!(
        "\nTry: heart lab exec {first} -- ip address\nEnd: {}",
        if foreground { "^C" } else { "heart lab down" }
    );
    if foreground {
        // Whoever ends this program ends the lab: its holder notices.
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

fn cause(lab: &Lab, fault: Fault) -> Result<Stamp> {
    match fault {
        Fault::PowerCut { nodes } => lab.power_cut_all(&borrowed(&nodes)),
        Fault::Boot { nodes } => lab.boot_all(&borrowed(&nodes)),
        Fault::Freeze { node } => lab.freeze(&node),
        Fault::Thaw { node } => lab.thaw(&node),
        Fault::Kill { node, process } => lab.node(&node).kill(&process),
        Fault::LinkDown(cable) => lab.link_down(&cable.machine, cable.switch),
        Fault::LinkUp(cable) => lab.link_up(&cable.machine, cable.switch),
        Fault::Flap { machine, switch, times, down, up } => {
            lab.flap(&machine, switch, times, Duration::from_millis(down), Duration::from_millis(up))
        }
        Fault::Lose { from, to, percent, switch } => lab.lose(&[&from], &[&to], switch, percent),
        Fault::Partition { groups, switch } => {
            let groups: Vec<Vec<&str>> = groups.iter().map(|group| group.split(',').collect()).collect();
            let groups: Vec<&[&str]> = groups.iter().map(Vec::as_slice).collect();
            lab.partition_on(&groups, switch)
        }
        Fault::Heal => lab.heal(),
    }
}

/// Runs a program on our own streams and ends as it ends.
fn exec(lab: &Lab, machine: &str, words: Vec<String>) -> Result<ExitCode> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let streams: [OwnedFd; 3] =
        [own(std::io::stdin().as_fd())?, own(std::io::stdout().as_fd())?, own(std::io::stderr().as_fd())?];
    let environment = std::env::var("TERM").map(|term| ("TERM".into(), term)).into_iter().collect();
    let process = Process::start_on(&lab.node(machine), CommandLine { words, environment }, &streams)?;
    loop {
        match process.wait(LOOK_EVERY)? {
            None => {}
            Some(Exit::Code(code)) => return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
            // As a shell reports it.
            Some(Exit::Signal(signal)) => return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))),
            Some(Exit::PowerLost) => bail!("{machine} lost power"),
        }
    }
}

fn probe(lab: &Lab, address: IpAddr, port: u16, http: bool) -> Result<()> {
    let question = if http { Question::http(address, port) } else { Question::udp(address, port) };
    if question.way == Way::Udp {
        let address = address.to_string();
        for node in lab.nodes() {
            // An answerer may run already; a second one on the same port ends by itself.
            let _ = lab.node(node).spawn(&["heart", "lab-answer", &address, &port.to_string()]);
        }
    }
    let probe = Probe::start(lab, &question)?;
    println!("asking {address} every {} (end with ^C)", milliseconds(question.every));
    let mut told = 0;
    loop {
        let fresh = probe.await_that(LOOK_EVERY, "something happens", |events| {
            (events.len() > told).then(|| events[told..].to_vec())
        });
        for event in fresh.unwrap_or_default() {
            told += 1;
            say(&event).context("cannot write")?;
        }
    }
}

fn say(event: &Event) -> Result<()> {
    let mut out = std::io::stdout();
    match event {
        Event::Up { at, node } => writeln!(out, "{at} {node} answers")?,
        Event::Down { since, node } => writeln!(out, "{since} {node} answered last")?,
        Event::Outage(outage) => {
            writeln!(
                out,
                "{} answers are back from {} after {}",
                outage.to,
                outage.after,
                milliseconds(outage.length())
            )?;
        }
        Event::Moved { at, from, to } => writeln!(out, "{at} {to} answers instead of {from}")?,
    }
    Ok(())
}

fn status(lab: &Lab, json: bool) -> Result<()> {
    let status = lab.status()?;
    if json {
        println!("{}", serde_json::to_string(&status)?);
        return Ok(());
    }
    for machine in &status.machines {
        print!("{:<12} {:<7}", machine.name, machine.state);
        for (address, plugged) in machine.addresses.iter().zip(&machine.links) {
            print!(" {address}{}", if *plugged { "" } else { " (unplugged)" });
        }
        println!();
    }
    for (from, to, switch, percent) in &status.losses {
        println!("{percent} % from {from} to {to} is lost on switch {switch}");
    }
    Ok(())
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
