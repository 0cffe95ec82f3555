//! One machine as the holder sees it: its power, its cables, its first process.

use std::{
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{
    freezer::Freezer,
    layout::{Layout, SWITCHES, bridge, interface},
    message::{FromInit, MachineState, MachineStatus, ToInit},
    netlink::link::{Cable, Links},
    wire,
};

/// How long a machine may take from power to ready.
const BOOT_TIME_MAX: Duration = Duration::from_secs(20);
/// How long the kernel may take to end all processes of a machine.
const DEATH_TIME_MAX: Duration = Duration::from_secs(5);

/// One machine.
pub(crate) struct Machine {
    pub(crate) index: usize,
    /// Whether each cable is plugged; survives a power cut.
    pub(crate) plugged: [bool; SWITCHES],
    pub(crate) power: Power,
}

/// Whether a machine has power, and what it has only then.
pub(crate) enum Power {
    Off,
    On(Life),
}

/// What a machine has between boot and power cut.
pub(crate) struct Life {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) socket: OwnedFd,
    pub(crate) frozen: bool,
}

impl Machine {
    pub(crate) fn new(index: usize) -> Machine {
        Machine { index, plugged: [true; SWITCHES], power: Power::Off }
    }

    /// The life of a machine that is up.
    pub(crate) fn life(&mut self, layout: &Layout) -> Result<&mut Life> {
        match &mut self.power {
            Power::On(life) => Ok(life),
            Power::Off => bail!("{} is off: boot it first", layout.machine_name(self.index)),
        }
    }

    pub(crate) fn status(&self, layout: &Layout) -> MachineStatus {
        let (state, pid) = match &self.power {
            Power::Off => (MachineState::Off, None),
            Power::On(life) if life.frozen => (MachineState::Frozen, Some(life.pid)),
            Power::On(life) => (MachineState::Up, Some(life.pid)),
        };
        MachineStatus {
            name: layout.machine_name(self.index).to_owned(),
            state,
            pid,
            links: self.plugged.to_vec(),
            addresses: (0..SWITCHES).map(|switch| layout.v4(self.index, switch).to_string()).collect(),
        }
    }

    fn ports(&self, layout: &Layout) -> [String; SWITCHES] {
        std::array::from_fn(|switch| layout.port(self.index, switch))
    }

    /// Takes its cables off the switches; they may be gone already with their other end.
    pub(crate) fn unplug_for_good(&self, layout: &Layout, links: &mut Links) -> Result<()> {
        for port in self.ports(layout) {
            links.remove(&port).with_context(|| format!("cannot remove port {port}"))?;
        }
        Ok(())
    }

    /// Sets the port of one cable.
    pub(crate) fn plug(&mut self, layout: &Layout, links: &mut Links, switch: usize, up: bool) -> Result<()> {
        self.plugged[switch] = up;
        match self.power {
            Power::Off => Ok(()),
            Power::On(_) => {
                let port = layout.port(self.index, switch);
                links
                    .set_up(std::slice::from_ref(&port), up)
                    .with_context(|| format!("cannot set port {port}"))
            }
        }
    }

    /// Lowers its ports and kills its first process; the kernel kills the rest.
    pub(crate) fn lose_power(&mut self, layout: &Layout, links: &mut Links) -> Result<()> {
        let ports = self.ports(layout);
        let life = self.life(layout)?;
        links.set_up(&ports, false).context("cannot lower the ports")?;
        pidfd_send_signal(&life.pidfd, Signal::KILL).context("cannot end the first process")
    }

    /// Waits until nothing of its last life is left.
    pub(crate) fn await_death(&mut self, layout: &Layout, links: &mut Links) -> Result<()> {
        let name = layout.machine_name(self.index);
        if !wire::readable_within(&self.life(layout)?.pidfd, DEATH_TIME_MAX)? {
            bail!("processes of {name} still run {DEATH_TIME_MAX:?} after SIGKILL");
        }
        self.power = Power::Off;
        self.unplug_for_good(layout, links)
    }
}

/// A machine on its way up; `socket` leads to its first process.
pub(crate) struct Booting {
    index: usize,
    socket: OwnedFd,
}

/// The first step of a boot: a process that leaves for new namespaces.
pub(crate) fn begin_boot(layout: &Layout, index: usize, freezer: &Freezer) -> Result<Booting> {
    let (socket, theirs) = wire::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg("lab-enter")
        .stdin(Stdio::from(theirs))
        .spawn()
        .context("cannot start the machine's first process")?;
    freezer.admit(layout.machine_name(index), child.id())?;
    wire::send(&socket, &ToInit::Go)?;
    Ok(Booting { index, socket })
}

/// The second step: its cables, and who it is.
pub(crate) fn wire_up(
    layout: &Layout,
    booting: &Booting,
    plugged: [bool; SWITCHES],
    links: &mut Links,
) -> Result<i32> {
    let name = layout.machine_name(booting.index);
    let pid = match wire::receive_within(&booting.socket, BOOT_TIME_MAX)
        .with_context(|| format!("booting {name}"))?
    {
        Some(FromInit::Started { pid }) => pid,
        Some(FromInit::Failed { message }) => bail!("{name} did not boot: {message}"),
        other => bail!("{name} ended while it booted ({other:?}); its message is above"),
    };
    for (switch, up) in plugged.into_iter().enumerate() {
        let cable = Cable {
            port: &layout.port(booting.index, switch),
            bridge: &bridge(switch),
            interface: &interface(switch),
            mac: layout.mac(booting.index, switch),
            pid,
        };
        links.add_cable(&cable).with_context(|| format!("cannot plug {name} into {}", cable.bridge))?;
        if !up {
            links.set_up(&[cable.port.to_owned()], false)?;
        }
    }
    wire::send(&booting.socket, &ToInit::Become { layout: Box::new(layout.clone()), index: booting.index })?;
    Ok(pid)
}

/// The last step: it says that it is ready.
pub(crate) fn await_ready(layout: &Layout, booting: Booting, pid: i32) -> Result<Life> {
    let name = layout.machine_name(booting.index);
    match wire::receive_within(booting.socket.as_fd(), BOOT_TIME_MAX)
        .with_context(|| format!("booting {name}"))?
    {
        Some(FromInit::Ready) => {}
        Some(FromInit::Failed { message }) => bail!("{name} did not boot: {message}"),
        other => bail!("{name} ended while it booted ({other:?})"),
    }
    let raw = Pid::from_raw(pid).context("no process id")?;
    let pidfd = pidfd_open(raw, PidfdFlags::empty())
        .with_context(|| format!("the first process of {name} is gone"))?;
    Ok(Life { pid, pidfd, socket: booting.socket, frozen: false })
}
