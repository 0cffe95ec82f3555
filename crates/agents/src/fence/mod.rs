//! Switching another node off, for certain: devices, through programs that other people wrote for them.
//!
//! An attempt tells every device of a level to switch the node off, and then asks each whether it is, again and
//! again, until it says so or its time is over. Only what was read back after the request counts (SAFETY rule 11).
//! A program is believed in what it says: one that switches the wrong outlet off, and reports on that one too,
//! cannot be found out from here. A node that is still heard afterwards can.
//!
//! Nothing is kept between two attempts but how programs describe themselves. Whoever carries one out may die at
//! any time: the program that it runs dies with it.

mod description;
mod disk;
mod switch;
mod turns;

use std::{
    os::fd::AsFd as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use heart_model::{
    AGENT_MESSAGE_MAX, FENCE_PLUGIN_FOLDER, FENCE_PROGRAM_FOLDERS, FenceAct, FenceAgent, FenceDevice,
    FenceOrder, FenceOutcome, FenceParameter, Finding, NodeName, Power,
};

use crate::{wait, wait::Bell};
use description::Descriptions;
use disk::{Member, Told};
use switch::{Act, Answer, Switch};
use turns::Turns;

/// How long is waited before a device is asked again.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Where programs that talk to devices are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where those of fence-agents are: the first that has one is taken.
    pub programs: Vec<PathBuf>,
    /// Where the plug-ins of cluster-glue are.
    pub external: PathBuf,
}

impl Default for Places {
    /// Where distributions put them.
    fn default() -> Places {
        Places {
            programs: FENCE_PROGRAM_FOLDERS.map(PathBuf::from).into(),
            external: FENCE_PLUGIN_FOLDER.into(),
        }
    }
}

/// What carries out attempts to switch nodes off.
#[derive(Debug, Default)]
pub struct Fencing {
    places: Places,
    descriptions: Descriptions,
    turns: Turns,
    /// Who this node is: nobody is told over a disk without a slot of one's own.
    member: Option<Member>,
}

impl Fencing {
    /// With programs from these places.
    #[must_use]
    pub fn new(places: Places) -> Fencing {
        Fencing { places, ..Fencing::default() }
    }

    /// As a node of a cluster, which has a slot on its disks.
    #[must_use]
    pub fn of(self, cluster: &str, me: &NodeName) -> Fencing {
        Fencing { member: Some(Member { cluster: cluster.into(), me: me.clone() }), ..self }
    }

    /// Withdraws what an earlier executor of this node told others over a disk: nobody waits for it any more. Blocks
    /// as long as one use of the disk may take.
    ///
    /// # Errors
    /// When the disk is not to be used; for people.
    pub fn forget(&self, device: &FenceDevice, cancel: &Bell) -> Result<(), String> {
        let path = device.disk().ok_or_else(|| format!("{} is no disk", device.name()))?;
        disk::forget(path.as_ref(), self.member()?, cancel)
    }

    fn member(&self) -> Result<&Member, String> {
        self.member.as_ref().ok_or_else(|| "this node does not know which slot it has on disks".into())
    }

    /// Carries out one attempt; blocks until it is over, which is when the delays and the timeouts of its devices
    /// are at the latest, and what killing a program takes. Ends soon after `cancel` was rung.
    ///
    /// `has_right` is asked just before each device is told to switch off: whoever was stopped for so long that the
    /// right is another's by now must not use it (SAFETY rule 12).
    #[must_use]
    pub fn carry_out(&self, order: &FenceOrder, cancel: &Bell, has_right: &dyn Fn() -> bool) -> FenceOutcome {
        let (ended, outcome) = match &order.act {
            FenceAct::Off if order.devices.iter().all(FenceDevice::shuts_out) => {
                (self.attempt(order, cancel, has_right), FenceOutcome::ShutOut)
            }
            FenceAct::Off => (self.attempt(order, cancel, has_right), FenceOutcome::Off),
            FenceAct::On { other_levels } => (self.give_power(order, other_levels, cancel), FenceOutcome::On),
        };
        match ended {
            Ok(()) => outcome,
            Err(message) => FenceOutcome::Failed { message: short(&message) },
        }
    }

    /// Looks whether a device could be used on a node, without doing anything to it; blocks no longer than the
    /// timeout of the device and what killing a program takes. Ends soon after `cancel` was rung.
    #[must_use]
    pub fn prove(&self, device: &FenceDevice, node: &NodeName, cancel: &Bell) -> Finding {
        match self.find_out(device, node, cancel) {
            Finding::WithoutNode(why) => Finding::WithoutNode(short(&why)),
            Finding::Unusable(why) => Finding::Unusable(short(&why)),
            ready @ Finding::Ready(_) => ready,
        }
    }

    /// Whether the program of an agent is on this machine.
    #[must_use]
    pub fn has(&self, agent: &FenceAgent) -> bool {
        switch::find(agent, &self.places).is_ok()
    }

    /// What an agent says that it can be told. Nothing is told to a device; blocks for ten seconds at most, and what
    /// killing a program takes.
    ///
    /// # Errors
    /// When it is not on this machine, or does not say it; as the end of a sentence about it, for people.
    pub fn parameters(&self, agent: &FenceAgent, cancel: &Bell) -> Result<Vec<FenceParameter>, String> {
        switch::parameters(agent, &self.places, cancel)
    }

    fn find_out(&self, device: &FenceDevice, node: &NodeName, cancel: &Bell) -> Finding {
        if device.disk().is_some() {
            return match self.member() {
                Ok(member) => disk::prove(device, member, node, cancel),
                Err(why) => Finding::Unusable(why),
            };
        }
        let mut switch = match self.switch(device, node, cancel) {
            Ok(switch) => switch,
            Err(why) => return Finding::Unusable(why),
        };
        if let Err(why) = switch.validate() {
            return Finding::Unusable(why);
        }
        let refused = match switch.ask() {
            Answer::On => return Finding::Ready(Power::On),
            Answer::Off => return Finding::Ready(Power::Off),
            Answer::Well => match switch.knows_node() {
                Ok(()) => return Finding::Ready(Power::Unsaid),
                Err(why) => return Finding::WithoutNode(why),
            },
            Answer::Unclear(why) => switch.unusable(&why),
        };
        // Devices with many outlets can be well, and not know this one.
        if switch.is_well() { Finding::WithoutNode(refused) } else { Finding::Unusable(refused) }
    }

    fn attempt(&self, order: &FenceOrder, cancel: &Bell, has_right: &dyn Fn() -> bool) -> Result<(), String> {
        let node = &order.node;
        if order.devices.is_empty() {
            return Err(format!("nothing can switch {node} off: write a `fence` for it into the file"));
        }
        let mut told: Vec<Used<'_>> = Vec::new();
        self.hesitate(order, cancel);
        for device in &order.devices {
            pause(device.delay, cancel);
            match self.tell(device, order, cancel, has_right) {
                Ok(used) => told.push(used),
                Err(why) => {
                    let message = why + &left_off(&told);
                    told.iter().for_each(Used::give_up);
                    return Err(message);
                }
            }
        }
        let mut outcome = Ok(());
        for used in told {
            match &outcome {
                Ok(()) => outcome = used.read_back(&self.turns),
                Err(_) => used.give_up(),
            }
        }
        outcome
    }

    /// Gives a node power, by the first level of which all devices say afterwards that it has it.
    fn give_power(
        &self,
        order: &FenceOrder,
        other_levels: &[Vec<FenceDevice>],
        cancel: &Bell,
    ) -> Result<(), String> {
        let mut failures = Vec::new();
        for level in std::iter::once(&order.devices).chain(other_levels) {
            let all: Result<(), String> = level.iter().try_for_each(|device| {
                let mut switch = self.switch(device, &order.node, cancel)?;
                let turn = switch.turn(&self.turns);
                switch.tell(Act::On)?;
                drop(turn);
                read_back(&mut switch, Act::On, &self.turns)
            });
            match all {
                Ok(()) => return Ok(()),
                Err(why) => failures.push(why),
            }
        }
        Err(failures.join("; "))
    }

    /// Tells one device.
    fn tell<'a>(
        &self,
        device: &'a FenceDevice,
        order: &'a FenceOrder,
        cancel: &'a Bell,
        has_right: &dyn Fn() -> bool,
    ) -> Result<Used<'a>, String> {
        if device.disk().is_some() {
            return Told::tell(device, order, self.member()?, cancel, has_right)
                .map(|told| Used::Disk(Box::new(told)));
        }
        let mut switch = self.switch(device, &order.node, cancel)?;
        let _turn = switch.turn(&self.turns);
        if !has_right() {
            return Err(format!(
                "{} was not used on {}: that is heard again, or this node has no lease any more and another may have the \
                 right",
                device.agent, order.node
            ));
        }
        let is_off = switch_off(&mut switch)?;
        Ok(Used::Switch { switch, is_off })
    }

    /// Lets a node that has power go first, if that was ordered: one that has none can switch nobody off.
    fn hesitate(&self, order: &FenceOrder, cancel: &Bell) {
        if order.hesitation.is_zero() {
            return;
        }
        let is_off = |device| {
            let switch = self.switch(device, &order.node, cancel);
            switch.is_ok_and(|mut switch| switch.ask_in_turn(&self.turns) == Answer::Off)
        };
        if !order.devices.iter().all(is_off) {
            pause(order.hesitation, cancel);
        }
    }

    /// Gets a device ready to be used on a node.
    fn switch<'a>(
        &self,
        device: &'a FenceDevice,
        node: &'a NodeName,
        cancel: &'a Bell,
    ) -> Result<Switch<'a>, String> {
        if cancel.is_rung() {
            return Err(format!("{} was not used on {node}: nobody wants it any more", device.agent));
        }
        Switch::new(device, node, &self.places, &self.descriptions, cancel)
    }
}

/// A device that was told.
enum Used<'a> {
    Switch {
        switch: Switch<'a>,
        /// It has said afterwards that the node is off.
        is_off: bool,
    },
    Disk(Box<Told<'a>>),
}

impl Used<'_> {
    fn name(&self) -> String {
        match self {
            Used::Switch { switch, .. } => switch.name(),
            Used::Disk(told) => told.name(),
        }
    }

    fn read_back(self, turns: &Turns) -> Result<(), String> {
        match self {
            Used::Switch { is_off: true, .. } => Ok(()),
            Used::Switch { mut switch, .. } => read_back(&mut switch, Act::Off, turns),
            Used::Disk(told) => told.read_back(),
        }
    }

    /// Another device of the level has failed: what can be taken back, is.
    fn give_up(&self) {
        if let Used::Disk(told) = self {
            told.withdraw();
        }
    }
}

/// As much of what was said as is kept.
fn short(message: &str) -> String {
    message.chars().take(AGENT_MESSAGE_MAX / 4).collect()
}

/// Waits, unless nobody wants the attempt any more. Returns how long.
fn pause(length: Duration, cancel: &Bell) -> Duration {
    let begun = Instant::now();
    // If the kernel does not let us wait, it is only earlier.
    wait::any(&[cancel.as_fd()], Some(begun + length)).ok();
    begun.elapsed()
}

/// Tells a device; whether it has said since that the node is off. One that refuses is asked once: it may be off already,
/// or may have gone with the node. A program that is broken may answer anything with the exit code that means *off*: it has
/// to be well, too, and says so first, so that its last answer is what was read back.
fn switch_off(switch: &mut Switch<'_>) -> Result<bool, String> {
    let Err(why) = switch.tell(Act::Off) else { return Ok(false) };
    let is_off = switch.says_off() && switch.is_well() && switch.has_time() && switch.ask() == Answer::Off;
    if is_off { Ok(true) } else { Err(why) }
}

/// What was done before a level failed, and stays so.
fn left_off(told: &[Used<'_>]) -> String {
    let names: Vec<String> = told.iter().map(Used::name).collect();
    match names.as_slice() {
        [] => String::new(),
        names => {
            format!("; before that, {} was told to switch it off, and may have done so", names.join(" and "))
        }
    }
}

/// Asks a device until it says that the node is off, or has power, or until its time is over.
fn read_back(switch: &mut Switch<'_>, act: Act, turns: &Turns) -> Result<(), String> {
    // Bounded by the time that the device has left: each round takes some of it.
    loop {
        let why = match (switch.ask_in_turn(turns), act) {
            (Answer::Off, Act::Off) | (Answer::On, Act::On) | (Answer::Well, _) => return Ok(()),
            (Answer::On, Act::Off) => "said afterwards that it is still on".to_owned(),
            (Answer::Off, Act::On) => "said afterwards that it is still off".to_owned(),
            (Answer::Unclear(why), _) => format!("asked whether it is, it {why}"),
        };
        if !switch.pause(ASK_EVERY) {
            return Err(switch.unproven(act, &why));
        }
    }
}
