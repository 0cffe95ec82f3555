//! The process that holds a lab together.
//!
//! It is the first process of a pid namespace that contains everything, lives in the network
//! namespace of the switches, and obeys requests that arrive on a socket. Whoever uses the lab, a
//! test or a command line, is a client of that socket. When the holder ends, the kernel ends the
//! rest; it ends when asked to, or when its lifeline to the program that started it breaks.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{SocketFlags, accept_with},
    process::{Signal, set_parent_process_death_signal},
    system::sethostname,
    thread::UnshareFlags,
};

use crate::{
    Stamp,
    children::{self, Children},
    faults::{Faults, switches},
    freezer::Freezer,
    init::drain,
    layout::{Layout, SWITCH, SWITCHES, bridge, bridge_mac},
    machine::{self, Machine, Power},
    message::{CommandLine, Exit, FromInit, Reply, Request, Status, Target, ToInit},
    netlink::{link::Links, nft::Rules},
    rootfs, sys, wire,
};

/// Most connections that have not said yet what they want, or wait for a program to end.
const CONNECTIONS_MAX: usize = 512;
/// Most cables that flap at the same time.
const FLAPS_MAX: usize = 64;

/// A cable that is being unplugged and plugged.
struct Flap {
    machine: usize,
    switch: usize,
    /// Half-periods left; even numbers unplug.
    left: u32,
    down: Duration,
    up: Duration,
    next: Stamp,
}

/// What the loop has to look at next.
enum Wake {
    Lifeline,
    Listener,
    Children,
    Asked(usize),
    Machine(usize),
}

/// What goes on after a request.
enum Next {
    GoOn,
    Stop,
}

/// A connection that waits for a program to end, by the program's number.
type Waiters = BTreeMap<u64, (usize, OwnedFd)>;

struct Hold {
    layout: Layout,
    listener: OwnedFd,
    lifeline: Option<OwnedFd>,
    signals: OwnedFd,
    asking: Vec<OwnedFd>,
    waiters: Waiters,
    machines: Vec<Machine>,
    children: Children,
    freezer: Freezer,
    links: Links,
    rules: Rules,
    faults: Faults,
    flaps: Vec<Flap>,
    next_id: u64,
}

/// Runs a lab until it ends. The starter is told when everything is up, or what went wrong; a
/// lab that is not kept ends when the starter does.
pub(crate) fn run(layout: Layout, listener: OwnedFd, starter: OwnedFd, keep: bool) -> Result<()> {
    let hold = set_up(layout, listener).and_then(|mut hold| {
        let everybody: Vec<usize> = (0..hold.machines.len()).collect();
        hold.boot(&everybody).map(|()| hold)
    });
    match hold {
        Ok(mut hold) => {
            wire::send(&starter, &Reply::Done { at: Stamp::now() })?;
            hold.lifeline = (!keep).then_some(starter);
            hold.serve()
        }
        Err(error) => wire::send(&starter, &Reply::Failed { message: format!("{error:#}") }),
    }
}

fn set_up(layout: Layout, listener: OwnedFd) -> Result<Hold> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie the lab to its parent")?;
    // The group lies outside: it has to be made before this process loses sight of it.
    let freezer = Freezer::make(&layout.name);
    let namespaces = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    sys::unshare(namespaces).context("cannot make the lab's namespaces")?;
    rootfs::prepare_work(&layout.directory)?;
    sethostname(SWITCH.as_bytes())?;
    // Ports and bridges need no addresses of their own, and must not announce any.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    let mut links = Links::open()?;
    for switch in 0..SWITCHES {
        links.add_bridge(&bridge(switch), bridge_mac(switch)).context("cannot make a switch")?;
    }
    let machines = (0..layout.machines()).map(Machine::new).collect();
    Ok(Hold {
        layout,
        listener,
        lifeline: None,
        signals: sys::child_signals()?,
        asking: Vec::new(),
        waiters: Waiters::new(),
        machines,
        children: Children::default(),
        freezer,
        links,
        rules: Rules::load()?,
        faults: Faults::default(),
        flaps: Vec::new(),
        next_id: 1,
    })
}

impl Hold {
    fn serve(&mut self) -> Result<()> {
        loop {
            for wake in self.wait()? {
                match wake {
                    Wake::Lifeline => return Ok(()),
                    Wake::Listener => self.welcome()?,
                    Wake::Children => self.on_children_ended(),
                    Wake::Asked(place) => {
                        let connection = self.asking.remove(place);
                        if let Next::Stop = self.on_asked(connection) {
                            return Ok(());
                        }
                    }
                    Wake::Machine(index) => self.on_machine_spoke(index),
                }
            }
            self.flap_what_is_due();
        }
    }

    /// What there is to do. At most one connection at a time: answering it changes the list.
    fn wait(&self) -> Result<Vec<Wake>> {
        let mut wakes = vec![Wake::Listener, Wake::Children];
        let mut fds =
            vec![PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(lifeline) = &self.lifeline {
            wakes.push(Wake::Lifeline);
            fds.push(PollFd::new(lifeline, PollFlags::IN));
        }
        for machine in &self.machines {
            if let Power::On(life) = &machine.power {
                wakes.push(Wake::Machine(machine.index));
                fds.push(PollFd::new(&life.socket, PollFlags::IN));
            }
        }
        for (place, connection) in self.asking.iter().enumerate() {
            wakes.push(Wake::Asked(place));
            fds.push(PollFd::new(connection, PollFlags::IN));
        }
        let due = self.flaps.iter().map(|flap| flap.next.remaining()).min().map(wire::timespec);
        match poll(&mut fds, due.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("the lab cannot wait"),
        }
        let hot: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut asked = false;
        let mut ready = Vec::new();
        for (wake, hot) in wakes.into_iter().zip(hot) {
            if hot && !(matches!(wake, Wake::Asked(_)) && std::mem::replace(&mut asked, true)) {
                ready.push(wake);
            }
        }
        Ok(ready)
    }

    fn welcome(&mut self) -> Result<()> {
        let connection = match accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::CONNABORTED) => return Ok(()),
            outcome => outcome.context("the lab cannot accept a connection")?,
        };
        if self.asking.len() + self.waiters.len() >= CONNECTIONS_MAX {
            let message = format!("{CONNECTIONS_MAX} connections are open: close some");
            let _ = wire::send(&connection, &Reply::Failed { message });
            return Ok(());
        }
        self.asking.push(connection);
        Ok(())
    }

    fn on_asked(&mut self, connection: OwnedFd) -> Next {
        let (request, streams) = match wire::receive::<Request>(&connection) {
            Ok(Some(asked)) => asked,
            Ok(None) => return Next::GoOn,
            Err(error) => {
                answer(&connection, Err(error));
                return Next::GoOn;
            }
        };
        match request {
            Request::Stop => {
                answer(&connection, Ok(Reply::Done { at: Stamp::now() }));
                return Next::Stop;
            }
            Request::Status => answer(&connection, Ok(Reply::Status(self.status()))),
            Request::Spawn { machine, command } => self.on_spawn(connection, &machine, command, streams),
            Request::Signal { machine, target, signal } => {
                self.on_signal(connection, &machine, target, signal);
            }
            fault => {
                let outcome = self.on_fault(fault).map(|at| Reply::Done { at });
                answer(&connection, outcome);
            }
        }
        Next::GoOn
    }

    fn status(&self) -> Status {
        Status {
            name: self.layout.name.clone(),
            machines: self.machines.iter().map(|machine| machine.status(&self.layout)).collect(),
            losses: self.faults.named(&self.layout),
        }
    }

    /// Does one thing to the lab; the answer is when it had taken hold.
    fn on_fault(&mut self, request: Request) -> Result<Stamp> {
        match request {
            Request::Boot { machines } => {
                let machines = self.find_all(&machines)?;
                self.boot(&machines)?;
            }
            Request::PowerCut { machines } => return self.cut_power(&machines),
            Request::Freeze { machine } => self.set_frozen(&machine, true)?,
            Request::Thaw { machine } => self.set_frozen(&machine, false)?,
            Request::Link { machine, switch, up } => {
                let machine = self.layout.find(&machine)?;
                for switch in switches(switch)? {
                    self.flaps.retain(|flap| (flap.machine, flap.switch) != (machine, switch));
                    self.machines[machine].plug(&self.layout, &mut self.links, switch, up)?;
                }
            }
            Request::Flap { machine, switch, times, down_ms, up_ms } => {
                let machine = self.layout.find(&machine)?;
                switches(Some(switch))?;
                if self.flaps.len() >= FLAPS_MAX {
                    bail!("{FLAPS_MAX} cables flap already: wait, or heal");
                }
                let (down, up) = (Duration::from_millis(down_ms), Duration::from_millis(up_ms));
                let left = times.saturating_mul(2);
                self.flaps.push(Flap { machine, switch, left, down, up, next: Stamp::now() });
            }
            Request::Loss { from, to, switch, percent } => {
                let (from, to) = (self.find_all(&from)?, self.find_all(&to)?);
                self.change_faults(|faults| faults.lose(&from, &to, switch, percent))?;
            }
            Request::Partition { groups, switch } => {
                let groups = groups.iter().map(|group| self.find_all(group)).collect::<Result<Vec<_>>>()?;
                self.change_faults(|faults| faults.partition(&groups, switch))?;
            }
            Request::Heal => self.heal()?,
            Request::Status | Request::Stop | Request::Spawn { .. } | Request::Signal { .. } => {
                bail!("not a fault");
            }
        }
        Ok(Stamp::now())
    }

    fn find_all(&self, names: &[String]) -> Result<Vec<usize>> {
        names.iter().map(|name| self.layout.find(name)).collect()
    }

    /// All or nothing: a mistake changes neither the table nor the rules.
    fn change_faults(&mut self, change: impl FnOnce(&mut Faults) -> Result<()>) -> Result<()> {
        let mut faults = self.faults.clone();
        change(&mut faults)?;
        self.rules.set(&faults.losses(&self.layout)).context("the kernel refuses the fault's rules")?;
        self.faults = faults;
        Ok(())
    }

    fn heal(&mut self) -> Result<()> {
        self.flaps.clear();
        self.change_faults(|faults| {
            faults.heal();
            Ok(())
        })?;
        for machine in &mut self.machines {
            for switch in 0..SWITCHES {
                if !machine.plugged[switch] {
                    machine.plug(&self.layout, &mut self.links, switch, true)?;
                }
            }
        }
        Ok(())
    }

    /// Boots machines side by side: each step is begun for all before the next.
    fn boot(&mut self, machines: &[usize]) -> Result<()> {
        let mut booting = Vec::new();
        for &index in machines {
            if let Power::On(_) = self.machines[index].power {
                bail!("{} is up already", self.layout.machine_name(index));
            }
            self.machines[index].unplug_for_good(&self.layout, &mut self.links)?;
            booting.push((index, machine::begin_boot(&self.layout, index, &self.freezer)?));
        }
        let mut wired = Vec::new();
        for (index, boot) in booting {
            let plugged = self.machines[index].plugged;
            let pid = machine::wire_up(&self.layout, &boot, plugged, &mut self.links)?;
            wired.push((index, boot, pid));
        }
        for (index, boot, pid) in wired {
            self.machines[index].power = Power::On(machine::await_ready(&self.layout, boot, pid)?);
        }
        Ok(())
    }

    /// Returns when the last port was down and the last process marked for death.
    fn cut_power(&mut self, machines: &[String]) -> Result<Stamp> {
        let machines = self.find_all(machines)?;
        for &index in &machines {
            self.machines[index].life(&self.layout)?;
        }
        for &index in &machines {
            self.machines[index].lose_power(&self.layout, &mut self.links)?;
        }
        let at = Stamp::now();
        for &index in &machines {
            self.machines[index].await_death(&self.layout, &mut self.links)?;
            self.on_machine_died(index);
        }
        Ok(at)
    }

    fn set_frozen(&mut self, machine: &str, frozen: bool) -> Result<()> {
        let index = self.layout.find(machine)?;
        let life = self.machines[index].life(&self.layout)?;
        if frozen {
            self.freezer.freeze(machine, life.pid)?;
        } else {
            self.freezer.thaw(machine, life.pid)?;
        }
        life.frozen = frozen;
        Ok(())
    }

    fn on_spawn(&mut self, connection: OwnedFd, machine: &str, command: CommandLine, streams: Vec<OwnedFd>) {
        let id = self.next_id;
        self.next_id += 1;
        if machine == SWITCH {
            match self.children.spawn(id, &own_program(command), streams) {
                Ok(pid) => {
                    answer(&connection, Ok(Reply::Spawned { pid }));
                    self.waiters.insert(id, (usize::MAX, connection));
                }
                Err(error) => answer(&connection, Err(error)),
            }
            return;
        }
        self.pass_on(id, connection, machine, &ToInit::Spawn { id, command }, &streams);
    }

    fn on_signal(&mut self, connection: OwnedFd, machine: &str, target: Target, signal: i32) {
        if machine == SWITCH {
            let outcome = children::signal(&target, signal).map(|_| Reply::Done { at: Stamp::now() });
            return answer(&connection, outcome);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.pass_on(id, connection, machine, &ToInit::Signal { id, target, signal }, &[]);
    }

    /// Hands an order to a machine; its answer goes to the connection.
    fn pass_on(&mut self, id: u64, connection: OwnedFd, machine: &str, order: &ToInit, streams: &[OwnedFd]) {
        let layout = &self.layout;
        let outcome = layout.find(machine).and_then(|index| {
            let life = self.machines[index].life(layout)?;
            if life.frozen {
                bail!("{machine} is frozen: thaw it first");
            }
            let streams: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
            wire::send_with(&life.socket, order, &streams)?;
            Ok(index)
        });
        match outcome {
            Ok(index) => drop(self.waiters.insert(id, (index, connection))),
            Err(error) => answer(&connection, Err(error)),
        }
    }

    fn on_machine_spoke(&mut self, index: usize) {
        let Power::On(life) = &self.machines[index].power else { return };
        let Ok(Some((news, _))) = wire::receive::<FromInit>(&life.socket) else {
            // Its first process has ended without being asked to: as good as a power cut.
            let _ = self.machines[index].await_death(&self.layout, &mut self.links);
            return self.on_machine_died(index);
        };
        match news {
            FromInit::Spawned { id, pid } => self.tell(id, Reply::Spawned { pid }),
            FromInit::Refused { id, message } => self.tell_last(id, Reply::Failed { message }),
            FromInit::Signalled { id, .. } => self.tell_last(id, Reply::Done { at: Stamp::now() }),
            FromInit::Exited { id, exit } => self.tell_last(id, Reply::Exited(exit)),
            FromInit::Started { .. } | FromInit::Ready | FromInit::Failed { .. } => {}
        }
    }

    fn on_machine_died(&mut self, index: usize) {
        // Its control group outlives it, and its next life must not begin frozen.
        if let Err(error) = self.freezer.forget(self.layout.machine_name(index)) {
            eprintln!("heart lab: {error:#}");
        }
        let ids: Vec<u64> =
            self.waiters.iter().filter(|(_, (on, _))| *on == index).map(|(&id, _)| id).collect();
        for id in ids {
            self.tell_last(id, Reply::Exited(Exit::PowerLost));
        }
    }

    fn on_children_ended(&mut self) {
        drain(&self.signals);
        for ended in self.children.reap() {
            if let Some(id) = ended.id {
                self.tell_last(id, Reply::Exited(ended.exit));
            }
        }
    }

    fn tell(&self, id: u64, reply: Reply) {
        if let Some((_, connection)) = self.waiters.get(&id) {
            answer(connection, Ok(reply));
        }
    }

    fn tell_last(&mut self, id: u64, reply: Reply) {
        if let Some((_, connection)) = self.waiters.remove(&id) {
            answer(&connection, Ok(reply));
        }
    }

    fn flap_what_is_due(&mut self) {
        let now = Stamp::now();
        for flap in self.flaps.iter_mut().filter(|flap| flap.next <= now && flap.left > 0) {
            let up = flap.left % 2 == 1;
            flap.left -= 1;
            flap.next = now.after(if up { flap.up } else { flap.down });
            if let Err(error) =
                self.machines[flap.machine].plug(&self.layout, &mut self.links, flap.switch, up)
            {
                eprintln!("heart lab: a cable stopped flapping: {error:#}");
                flap.left = 0;
            }
        }
        self.flaps.retain(|flap| flap.left > 0);
    }
}

/// Who asked may have left; that is nobody else's trouble.
fn answer(connection: &OwnedFd, outcome: Result<Reply>) {
    let reply = outcome.unwrap_or_else(|error| Reply::Failed { message: format!("{error:#}") });
    let _ = wire::send(connection, &reply);
}

/// Beside the switches nothing is mounted for programs: `heart` is this very binary.
fn own_program(mut command: CommandLine) -> CommandLine {
    if command.words.first().is_some_and(|word| word == "heart") {
        command.words[0] = "/proc/self/exe".into();
    }
    command
}
