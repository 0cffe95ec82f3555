//! The first process of a machine: makes the machine, starts what it is told to, reaps the rest.
//!
//! It runs inside all namespaces of the machine, so what it starts needs no further entering, and
//! when it is killed the kernel kills every process of the machine with it.

use std::{
    fs,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    process::Command,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    system::sethostname,
    thread::UnshareFlags,
};

use crate::{
    children::{self, Children},
    layout::{Layout, SWITCHES, interface},
    message::{CommandLine, FromInit, ToInit},
    netlink::link::Links,
    rootfs, sys, wire,
};

/// Programs that init itself starts carry this number; nobody waits for them.
const OWN: u64 = 0;

/// Leaves for new namespaces and starts the machine's first process in them. Ends at once, so
/// that the first process becomes a child of the holder.
pub(crate) fn enter() -> Result<()> {
    let holder = holder()?;
    let Some((ToInit::Go, _)) = wire::receive(&holder)? else {
        bail!("the lab ended before the machine began")
    };
    let namespaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWCGROUP;
    sys::unshare(namespaces).context("cannot make the machine's namespaces")?;
    let child = Command::new("/proc/self/exe").arg("lab-init").stdin(holder.try_clone()?).spawn()?;
    wire::send(&holder, &FromInit::Started { pid: i32::try_from(child.id())? })
}

/// Runs a machine until it loses power.
pub(crate) fn run() -> Result<()> {
    let holder = holder()?;
    let Some((ToInit::Become { layout, index }, _)) = wire::receive(&holder)? else {
        bail!("the lab ended before the machine was up")
    };
    let signals = sys::child_signals()?;
    let mut children = Children::default();
    if let Err(error) = become_machine(&layout, index, &mut children) {
        return wire::send(&holder, &FromInit::Failed { message: format!("{error:#}") });
    }
    wire::send(&holder, &FromInit::Ready)?;
    loop {
        let mut fds = [PollFd::new(&holder, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for orders"),
        }
        let (ordered, ended) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if ended {
            drain(&signals);
            report_ended(&holder, &mut children);
        }
        if ordered {
            let Some((order, streams)) = wire::receive(&holder)? else { return Ok(()) };
            if let Some(answer) = obey(order, streams, &mut children) {
                wire::send(&holder, &answer)?;
            }
        }
    }
}

/// The socket to the holder came as standard input; children must not inherit it.
fn holder() -> Result<OwnedFd> {
    std::io::stdin().as_fd().try_clone_to_owned().context("no socket to the lab")
}

/// Empties a signal descriptor; what it said is found out by waiting for children.
pub(crate) fn drain(signals: &OwnedFd) {
    let mut buffer = [0; 1024];
    while rustix::io::read(signals, &mut buffer).is_ok_and(|length| length == buffer.len()) {}
}

fn obey(order: ToInit, streams: Vec<OwnedFd>, children: &mut Children) -> Option<FromInit> {
    match order {
        ToInit::Spawn { id, command } => Some(match children.spawn(id, &command, streams) {
            Ok(pid) => FromInit::Spawned { id, pid },
            Err(error) => FromInit::Refused { id, message: format!("{error:#}") },
        }),
        ToInit::Signal { id, target, signal } => Some(match children::signal(&target, signal) {
            Ok(count) => FromInit::Signalled { id, count },
            Err(error) => FromInit::Refused { id, message: format!("{error:#}") },
        }),
        ToInit::Go | ToInit::Become { .. } => None,
    }
}

/// A holder that does not listen any more is about to end, and this machine with it.
fn report_ended(holder: &OwnedFd, children: &mut Children) {
    for ended in children.reap() {
        if let Some(id) = ended.id.filter(|&id| id != OWN) {
            let _ = wire::send(holder, &FromInit::Exited { id, exit: ended.exit });
        }
    }
}

fn become_machine(layout: &Layout, index: usize, children: &mut Children) -> Result<()> {
    rootfs::enter(layout, index)?;
    sethostname(layout.machine_name(index).as_bytes()).context("cannot set the host name")?;
    configure_network(layout, index)?;
    if !layout.is_client(index) {
        for words in &layout.on_boot {
            let line = CommandLine { words: words.clone(), ..CommandLine::default() };
            children.spawn(OWN, &line, Vec::new())?;
        }
    }
    Ok(())
}

fn configure_network(layout: &Layout, index: usize) -> Result<()> {
    // Router advertisements and duplicate detection only cost time in a lab.
    for setting in ["accept_ra", "accept_dad"] {
        let file = format!("/proc/sys/net/ipv6/conf/default/{setting}");
        // A kernel without IPv6 has no such file, and then needs no such setting.
        let _ = fs::write(file, "0");
    }
    let mut links = Links::open()?;
    links.set_up(&["lo".into()], true).context("cannot raise lo")?;
    for switch in 0..SWITCHES {
        let interface = interface(switch);
        links
            .set_up(std::slice::from_ref(&interface), true)
            .with_context(|| format!("cannot raise {interface}"))?;
        links
            .add_address(&interface, IpAddr::V4(layout.v4(index, switch)), 24)
            .with_context(|| format!("cannot give {interface} its address"))?;
        // Optional: a kernel may be built or booted without IPv6.
        let _ = links.add_address(&interface, IpAddr::V6(layout.v6(index, switch)), 64);
    }
    Ok(())
}
